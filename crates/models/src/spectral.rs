//! Detection of synthetic speech by features that were learned from photographs, read from spectrograms, beside cepstra.

use std::ops::Range;

use candle_core::{Device, Tensor};
use candor_features::{
    Media, MediaKind, Waveform,
    audio::{LfccConfig, Stft, WindowShape, equalise, tile},
};

use crate::{
    Detection, Detector, Error, Result, ScoreMap,
    audio::{LfccDetector, WINDOW},
    net::{EfficientNetLite, FrozenLinear, LfccNetConfig, LiteSize, Params},
};

/// Samples of a frame of the spectrogram.
const FRAME: usize = 512;
/// Samples between frames.
const HOP: usize = 160;
/// Rows of the picture: all bins but that of 8 kHz.
const ROWS: usize = FRAME / 2;
/// Decibels for one unit of brightness.
const UNIT_DB: f32 = 25.0;
/// Units at which brightness ends.
const MOST: f32 = 2.0;
/// Power that is added before the logarithm; a sine of amplitude 1 has 1/4.
const FLOOR: f32 = 1e-11;

/// Share of the peak that ends the silence before and after.
const EDGE: f32 = 0.02;

/// What lies between the silence before and after: it says how a file was cut and nothing of who speaks, but would weigh on
/// every mean.
pub(crate) fn between_silence(samples: &[f32]) -> Range<usize> {
    let peak = samples.iter().fold(0.0_f32, |peak, x| peak.max(x.abs()));
    let loud = |x: &f32| x.abs() > EDGE * peak;
    match (samples.iter().position(loud), samples.iter().rposition(loud)) {
        (Some(first), Some(last)) => first..last + 1,
        _ => 0..samples.len(),
    }
}

/// Windows of recordings as pictures, and their description by maps of a backbone.
pub(crate) struct Spectrogram {
    stft: Stft,
    /// Sum of the analysis window.
    gain: f32,
}

impl Spectrogram {
    pub(crate) fn new() -> Result<Self> {
        let shape = WindowShape::Hann;
        let stft =
            Stft::new(FRAME, FRAME, HOP, shape).ok_or_else(|| Error::model("audio", "no transform"))?;
        Ok(Self { stft, gain: shape.coefficients(FRAME).iter().sum() })
    }

    /// The picture of an equalised window of 4 s, `[1, 3, 256, frames]`: decibels above the mean of each frequency, which
    /// removes what a fixed linear channel adds, as brightness; low frequencies first.
    pub(crate) fn picture(&self, window: &[f32]) -> Result<Tensor> {
        let power = self.stft.power(window);
        // Frames that reach beyond the end are left out.
        let frames = (window.len().saturating_sub(FRAME) / HOP + 1).min(power.nrows());
        let scale = 1.0 / (self.gain * self.gain);
        let mut plane = Vec::with_capacity(ROWS * frames);
        for bin in 0..ROWS {
            let column = power.column(bin);
            let db: Vec<f32> =
                column.iter().take(frames).map(|p| 10.0 * (p * scale + FLOOR).log10()).collect();
            let mean = db.iter().sum::<f32>() / frames as f32;
            plane.extend(db.iter().map(|v| ((v - mean) / UNIT_DB).clamp(-MOST, MOST)));
        }
        Ok(Tensor::from_vec(plane.repeat(3), (1, 3, ROWS, frames), &Device::Cpu)?)
    }

    /// Mean and standard deviation over each channel of the wanted maps of an equalised window of 4 s.
    pub(crate) fn describe(
        &self,
        net: &EfficientNetLite,
        maps: &[usize],
        window: &[f32],
    ) -> Result<Vec<f32>> {
        let last = maps.iter().copied().max().unwrap_or_default();
        let found = net.forward_to(&self.picture(window)?, last)?;
        let mut out = Vec::new();
        for map in maps.iter().filter_map(|&m| found.get(m)) {
            let (_, _, h, w) = map.dims4()?;
            for plane in map.flatten_all()?.to_vec1::<f32>()?.chunks_exact(h * w) {
                let mean = plane.iter().sum::<f32>() / plane.len() as f32;
                let variance = plane.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / plane.len() as f32;
                out.extend([mean, variance.sqrt()]);
            }
        }
        Ok(out)
    }
}

/// Numbers in a description by these maps of a backbone.
pub(crate) fn len(size: LiteSize, maps: &[usize]) -> usize {
    let channels = size.channels();
    maps.iter().filter_map(|&m| channels.get(m)).map(|c| 2 * c).sum()
}

/// A linear layer on frozen features of spectrograms, its logit added to that of an [`LfccDetector`].
///
/// Frozen features of a network for things do not know any voice or microphone; statistics of its middle maps describe the
/// texture of a spectrogram, in which vocoders differ from people whoever speaks.
pub(crate) struct SpectralDetector {
    cepstral: LfccDetector,
    spectrogram: Spectrogram,
    net: EfficientNetLite,
    maps: Vec<usize>,
    linear: FrozenLinear,
}

impl SpectralDetector {
    pub(crate) fn new(
        params: &mut Params,
        network: &LfccNetConfig,
        lfcc: &LfccConfig,
        backbone: LiteSize,
        maps: &[usize],
    ) -> Result<Self> {
        if maps.iter().any(|&m| m >= LiteSize::MAPS) {
            return Err(Error::model("audio", "a map that the backbone does not have"));
        }
        Ok(Self {
            cepstral: LfccDetector::new(params, network, lfcc)?,
            spectrogram: Spectrogram::new()?,
            net: EfficientNetLite::new(params, backbone)?,
            maps: maps.to_vec(),
            linear: FrozenLinear::new(params, len(backbone, maps))?,
        })
    }

    /// Logits of the linear layer for the windows of a timeline, and the whole of the cepstral network's answer. Windows
    /// that overlap by half or more share one description.
    pub(crate) fn both(&self, media: &Media) -> Result<(Vec<f64>, Detection)> {
        let Media::Audio(wave) = media else { return Err(Error::WrongKind("an audio detector".into())) };
        let found = self.cepstral.detect(media)?;
        let ScoreMap::Timeline { windows, .. } = &found.map else {
            return Err(Error::model("audio", "no timeline"));
        };
        let samples = equalise(&wave.samples);
        let sound = between_silence(&samples);
        let place = |seconds: f64| (seconds * f64::from(Waveform::RATE)).round() as usize;
        let (mut logits, mut described): (Vec<f64>, Option<(usize, f64)>) = (Vec::new(), None);
        for &(start, _) in windows {
            // A window that reaches into the silence is moved.
            let start = place(start).min(sound.end.saturating_sub(WINDOW)).max(sound.start);
            let end = (start + WINDOW).min(sound.end);
            let logit = match described {
                Some((at, logit)) if start.saturating_sub(at) <= WINDOW / 2 => logit,
                _ => {
                    let window = tile(samples.get(start..end).unwrap_or_default(), WINDOW);
                    let features = self.spectrogram.describe(&self.net, &self.maps, &window)?;
                    let logit = self.linear.logit(&features)?;
                    described = Some((start, logit));
                    logit
                }
            };
            logits.push(logit);
        }
        Ok((logits, found))
    }
}

impl Detector for SpectralDetector {
    fn kind(&self) -> MediaKind {
        MediaKind::Audio
    }

    /// The timeline is the sum of both; its mean is the recording's logit.
    fn detect(&self, media: &Media) -> Result<Detection> {
        let (linear, mut found) = self.both(media)?;
        let [of_linear, of_cepstral] = self.linear.mix()?;
        let ScoreMap::Timeline { logits, .. } = &mut found.map else { return Ok(found) };
        for (cell, linear) in logits.iter_mut().zip(&linear) {
            *cell = (of_linear * linear + of_cepstral * f64::from(*cell)) as f32;
        }
        let n = logits.len().max(1) as f64;
        found.logit = logits.iter().map(|&l| f64::from(l)).sum::<f64>() / n;
        found.spread = (logits.iter().map(|&l| (f64::from(l) - found.logit).powi(2)).sum::<f64>() / n).sqrt();
        if !found.logit.is_finite() {
            return Err(Error::NotFinite("audio".into()));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_at_the_ends_is_cut_and_none_inside() {
        let mut x = vec![0.001_f32; 100];
        x[20] = 0.5;
        x[60] = -0.4;
        assert_eq!(between_silence(&x), 20..61);
        assert_eq!(between_silence(&[0.0; 5]), 0..5);
        assert_eq!(between_silence(&[]), 0..0);
    }

    #[test]
    fn a_fixed_channel_and_the_level_leave_no_trace_in_a_picture() {
        let spectrogram = Spectrogram::new().unwrap();
        let tone = |n: usize| (n as f32 * 0.3).sin() * (0.2 + 0.1 * (n as f32 * 2e-3).sin());
        let x: Vec<f32> = (0..WINDOW).map(tone).collect();
        let quiet: Vec<f32> = x.iter().map(|v| v * 0.25).collect();
        let [a, b] = [&x, &quiet].map(|x| spectrogram.picture(x).unwrap());
        assert_eq!(a.dims(), [1, 3, ROWS, (WINDOW - FRAME) / HOP + 1]);
        // At the tone's frequency, far above the floor.
        let row = (0.3 / std::f32::consts::TAU * FRAME as f32).round() as usize;
        let line = |x: &Tensor| x.get(0).unwrap().get(1).unwrap().get(row).unwrap().to_vec1::<f32>().unwrap();
        let (a, b) = (line(&a), line(&b));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-3));
        assert!(a.iter().any(|v| v.abs() > 0.05));
    }

    #[test]
    fn what_a_description_needs_is_what_is_computed() {
        let mut params = Params::new(4);
        let size = LiteSize::Lite0;
        let net = EfficientNetLite::new(&mut params, size).unwrap();
        let spectrogram = Spectrogram::new().unwrap();
        let x: Vec<f32> = (0..WINDOW).map(|n| (n as f32 * n as f32 * 1e-5).sin() * 0.1).collect();
        let all = spectrogram.describe(&net, &[0, 1, 2, 3, 4, 5, 6], &x).unwrap();
        let some = spectrogram.describe(&net, &[1, 2], &x).unwrap();
        assert_eq!(all.len(), len(size, &[0, 1, 2, 3, 4, 5, 6]));
        assert_eq!(some, all[len(size, &[0])..len(size, &[0, 1, 2])]);
    }
}
