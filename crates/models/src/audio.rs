//! Detection of synthetic speech.

use candle_core::{Device, Tensor};
use candor_features::{
    Media, MediaKind, Waveform,
    audio::{Lfcc, LfccConfig, audio_stats, equalise, tile, windows},
};

use crate::{
    Abstention, AbstentionCode, Detection, Detector, Error, Fact, Result, ScoreMap,
    net::{Aasist, AasistSize, LfccNet, LfccNetConfig, Mode, Params},
};

/// Length of a window in samples: 4 seconds.
pub(crate) const WINDOW: usize = 4 * Waveform::RATE as usize;
/// Seconds between windows up to [`FINE_SECONDS`] of recording; beyond that, windows do not overlap.
const HOP: f64 = 1.0;
/// Longest recording that is read with overlap.
const FINE_SECONDS: f64 = 60.0;
/// Windows in one pass of the network.
const BATCH: usize = 8;
/// Least seconds for an answer.
const LEAST_SECONDS: f64 = 1.0;
/// Level in dBFS below which a recording is silence.
const SILENCE_DB: f64 = -65.0;

/// The network's input for an equalised window: cepstra with their deltas, the mean over time taken out of each, which
/// removes what a fixed linear channel adds (cepstral mean subtraction, Atal 1974). `[3 * n_ceps * frames]`.
pub(crate) fn cepstra(plan: &Lfcc, window: &[f32]) -> (usize, usize, Vec<f32>) {
    let mut c = plan.lfcc(window);
    for mut row in c.rows_mut() {
        let mean = row.mean().unwrap_or(0.0);
        row.mapv_inplace(|v| v - mean);
    }
    let (rows, cols) = c.dim();
    (rows, cols, c.as_standard_layout().iter().copied().collect())
}

/// An [`LfccNet`] with its front end and its way of reading a whole recording.
pub(crate) struct LfccDetector {
    net: LfccNet,
    plan: Lfcc,
}

impl LfccDetector {
    pub(crate) fn new(params: &mut Params, config: &LfccNetConfig, lfcc: &LfccConfig) -> Result<Self> {
        let plan =
            Lfcc::new(lfcc).ok_or_else(|| Error::model("audio", "the cepstrum's settings make no sense"))?;
        Ok(Self { net: LfccNet::new(params, config)?, plan })
    }
}

impl Detector for LfccDetector {
    fn kind(&self) -> MediaKind {
        MediaKind::Audio
    }

    /// Equalises the recording, reads it in windows of 4 seconds (a shorter one is repeated to that length) and averages
    /// their logits.
    fn detect(&self, media: &Media) -> Result<Detection> {
        let Media::Audio(wave) = media else { return Err(Error::WrongKind("an audio detector".into())) };
        let samples = equalise(&wave.samples);
        let hop = if wave.seconds() <= FINE_SECONDS { HOP } else { 4.0 };
        let windows = windows(samples.len(), hop);
        let mut logits = Vec::with_capacity(windows.len());
        for batch in windows.chunks(BATCH) {
            let (mut data, mut shape) = (Vec::new(), (0, 0));
            for window in batch {
                let part = samples.get(window.range.clone()).unwrap_or_default();
                let (rows, cols, c) = cepstra(&self.plan, &tile(part, WINDOW));
                shape = (rows, cols);
                data.extend(c);
            }
            let x = Tensor::from_vec(data, (batch.len(), 1, shape.0, shape.1), &Device::Cpu)?;
            logits.extend(self.net.forward(&x, Mode::Eval)?.clip.to_vec1::<f32>()?);
        }
        let timeline =
            ScoreMap::Timeline { windows: windows.iter().map(|w| (w.start, w.end)).collect(), logits };
        detection(wave, timeline)
    }
}

/// The answer for a recording: the mean of a timeline's logits, and what else is known of it.
fn detection(wave: &Waveform, timeline: ScoreMap) -> Result<Detection> {
    let ScoreMap::Timeline { logits, .. } = &timeline else {
        return Err(Error::model("audio", "no timeline"));
    };
    let n = logits.len().max(1) as f64;
    let logit = logits.iter().map(|&l| f64::from(l)).sum::<f64>() / n;
    if !logit.is_finite() {
        return Err(Error::NotFinite("audio".into()));
    }
    let spread = (logits.iter().map(|&l| (f64::from(l) - logit).powi(2)).sum::<f64>() / n).sqrt();
    let stats = audio_stats(wave);
    let facts =
        stats.named().into_iter().map(|(name, value)| Fact { name: name.into(), value, unit: String::new() });
    Ok(Detection {
        logit,
        spread,
        abstain: abstain(wave, stats.rms_db),
        stratum: stratum(stats.effective_bandwidth_hz).to_owned(),
        map: timeline,
        facts: facts.collect(),
    })
}

/// An [`Aasist`] with its authors' way of reading, over a whole recording: samples as they are, a short recording repeated.
pub(crate) struct AasistDetector {
    net: Aasist,
}

impl AasistDetector {
    pub(crate) fn new(params: &mut Params, size: AasistSize) -> Result<Self> {
        Ok(Self { net: Aasist::new(params, size)? })
    }
}

impl Detector for AasistDetector {
    fn kind(&self) -> MediaKind {
        MediaKind::Audio
    }

    fn detect(&self, media: &Media) -> Result<Detection> {
        let Media::Audio(wave) = media else { return Err(Error::WrongKind("an audio detector".into())) };
        let (samples, rate) = (&wave.samples, f64::from(Waveform::RATE));
        // A second apart, without overlap in long recordings; the last window ends with the recording.
        let hop = if wave.seconds() <= FINE_SECONDS { Waveform::RATE as usize } else { Aasist::SAMPLES };
        let last = samples.len().saturating_sub(Aasist::SAMPLES);
        let mut starts: Vec<usize> = (0..last).step_by(hop).collect();
        starts.push(last);
        let (mut windows, mut logits) = (Vec::new(), Vec::new());
        for start in starts {
            let end = (start + Aasist::SAMPLES).min(samples.len());
            let part = samples.get(start..end).unwrap_or_default();
            let x = Tensor::from_vec(tile(part, Aasist::SAMPLES), (1, Aasist::SAMPLES), &Device::Cpu)?;
            let found = self.net.forward(&x)?.flatten_all()?.to_vec1::<f32>()?;
            logits.extend(found.first().zip(found.get(1)).map(|(spoof, genuine)| spoof - genuine));
            windows.push((start as f64 / rate, end as f64 / rate));
        }
        detection(wave, ScoreMap::Timeline { windows, logits })
    }
}

/// Edge between a telephone's band, which ends at 3.4 kHz, and wider ones.
const NARROW_HZ: f64 = 4_200.0;

/// What the telephone leaves is a small part of what a vocoder does: scores lie closer together there.
fn stratum(bandwidth_hz: f64) -> &'static str {
    if bandwidth_hz < NARROW_HZ { "narrow band" } else { "wide band" }
}

fn abstain(wave: &Waveform, rms_dbfs: f64) -> Option<Abstention> {
    let seconds = wave.seconds();
    if seconds < LEAST_SECONDS {
        return Some(Abstention {
            code: AbstentionCode::TooShort,
            message: format!("{seconds:.2} s of sound; at least {LEAST_SECONDS} s are needed"),
        });
    }
    (rms_dbfs < SILENCE_DB).then(|| Abstention {
        code: AbstentionCode::NoContent,
        message: format!("nearly silent: {rms_dbfs:.0} dBFS, at least {SILENCE_DB:.0} are needed"),
    })
}
