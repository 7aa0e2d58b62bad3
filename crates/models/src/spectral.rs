//! Detection of synthetic speech by features that were learned from photographs, read from spectrograms, and by those of a recogniser of
//! speech, beside cepstra.

use std::ops::Range;

use candle_core::{Device, Tensor};
use candor_features::{
    Media, MediaKind, Waveform,
    audio::{LfccConfig, LogMel, Stft, WindowShape, equalise, tile},
};

use crate::{
    Detection, Detector, Error, Result, ScoreMap,
    audio::{LfccDetector, WINDOW},
    net::{EfficientNetLite, FrozenLinear, LfccNetConfig, LiteSize, Params, Whisper},
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

/// Seconds of a window, which are described one by one.
pub(crate) const SECONDS: usize = 4;
/// Samples of a second.
const SECOND: usize = Waveform::RATE as usize;
/// Share of a second itself in its logit; the rest is that of the windows that it is part of. A second alone says little.
const WITHIN: f64 = 0.3;
/// How much more the cepstral network counts in a second than in the whole: the mean over the windows around a second, which it has,
/// differs less from second to second.
const SHARPER: f64 = 2.0;
/// Share of the recording's logit in that of each second.
const OF_WHOLE: f64 = 0.5;

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

/// What a window is described by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hearing {
    pub(crate) size: LiteSize,
    /// Maps of the backbone that looks at spectrograms.
    pub(crate) maps: Vec<usize>,
    /// Layers of the encoder of speech; none without it.
    pub(crate) layers: Vec<usize>,
}

impl Hearing {
    /// Every map, and every layer where there is an encoder.
    pub(crate) fn all(&self) -> Self {
        let layers = if self.layers.is_empty() { 0 } else { Whisper::LAYERS };
        Self { size: self.size, maps: (0..LiteSize::MAPS).collect(), layers: (0..layers).collect() }
    }

    /// Numbers in a description: means and standard deviations, first those of the maps in this order, then those of the layers.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = usize> {
        let channels = self.size.channels();
        let maps = self.maps.iter().filter_map(move |&m| channels.get(m).map(|c| 2 * c));
        maps.chain(self.layers.iter().map(|_| 2 * Whisper::WIDTH))
    }

    /// Numbers in a description.
    pub(crate) fn len(&self) -> usize {
        self.sizes().sum()
    }

    /// Where the numbers of this description lie in that of [`Self::all`].
    pub(crate) fn places(&self) -> Vec<usize> {
        let all: Vec<usize> = self.all().sizes().collect();
        let start = |i: usize| all.iter().take(i).sum::<usize>();
        let layers = self.layers.iter().map(|l| LiteSize::MAPS + l);
        self.maps.iter().copied().chain(layers).flat_map(|i| start(i)..start(i + 1)).collect()
    }

    fn check(&self) -> Result<()> {
        if self.maps.iter().any(|&m| m >= LiteSize::MAPS) || self.layers.iter().any(|&l| l >= Whisper::LAYERS)
        {
            return Err(Error::model("audio", "a map or layer that the backbone does not have"));
        }
        Ok(())
    }
}

/// The frozen networks with what goes into them.
pub(crate) struct Ears {
    stft: Stft,
    /// Sum of the analysis window.
    gain: f32,
    net: EfficientNetLite,
    speech: Option<(LogMel, Whisper)>,
}

impl Ears {
    /// Makes the variables; the encoder of speech has none where no layer of it is wanted.
    pub(crate) fn new(params: &mut Params, hearing: &Hearing) -> Result<Self> {
        hearing.check()?;
        let shape = WindowShape::Hann;
        let none = || Error::model("audio", "no transform");
        let speech = if hearing.layers.is_empty() {
            None
        } else {
            Some((LogMel::new().ok_or_else(none)?, Whisper::new(params)?))
        };
        Ok(Self {
            stft: Stft::new(FRAME, FRAME, HOP, shape).ok_or_else(none)?,
            gain: shape.coefficients(FRAME).iter().sum(),
            net: EfficientNetLite::new(params, hearing.size)?,
            speech,
        })
    }

    /// Call it after the parameters were set.
    pub(crate) fn ready(self) -> Result<Self> {
        let speech = self.speech.map(|(mel, net)| Ok::<_, Error>((mel, net.ready()?))).transpose()?;
        Ok(Self { speech, ..self })
    }

    /// The picture of an equalised window of 4 s, `[1, 3, 256, frames]`: decibels above the mean of each frequency, which
    /// removes what a fixed linear channel adds, as brightness; low frequencies first.
    fn picture(&self, window: &[f32]) -> Result<Tensor> {
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

    /// The wanted maps and layers of an equalised window of 4 s.
    pub(crate) fn maps(&self, hearing: &Hearing, window: &[f32]) -> Result<WindowMaps> {
        let last = |wanted: &[usize]| wanted.iter().copied().max();
        let mut planes = Vec::with_capacity(hearing.maps.len() + hearing.layers.len());
        if let Some(last) = last(&hearing.maps) {
            let found = self.net.forward_to(&self.picture(window)?, last)?;
            for map in hearing.maps.iter().filter_map(|&m| found.get(m)) {
                let (_, _, height, width) = map.dims4()?;
                planes.push(Planes { height, width, values: map.flatten_all()?.to_vec1()? });
            }
        }
        if let (Some(last), Some((mel, net))) = (last(&hearing.layers), &self.speech) {
            let found = net.forward(&mel.frames(window), last)?;
            for layer in hearing.layers.iter().filter_map(|&l| found.get(l)) {
                let values = layer.t()?.flatten_all()?.to_vec1()?;
                planes.push(Planes { height: 1, width: layer.dim(0)?, values });
            }
        }
        Ok(WindowMaps(planes))
    }
}

/// Channels of a map, frequency by time, or of a layer, time alone.
struct Planes {
    height: usize,
    width: usize,
    values: Vec<f32>,
}

/// Maps of a window.
pub(crate) struct WindowMaps(Vec<Planes>);

impl WindowMaps {
    /// Mean and standard deviation over each channel of the maps, for each second of the window.
    pub(crate) fn describe_seconds(&self) -> [Vec<f32>; SECONDS] {
        std::array::from_fn(|k| {
            self.describe_part(k as f64 / SECONDS as f64..(k + 1) as f64 / SECONDS as f64)
        })
    }

    /// The same over a part of the window, in shares of its length.
    fn describe_part(&self, part: Range<f64>) -> Vec<f32> {
        let mut out = Vec::new();
        for Planes { height, width, values } in &self.0 {
            let first = ((part.start * *width as f64) as usize).min(width - 1);
            let end = ((part.end * *width as f64).ceil() as usize).clamp(first + 1, *width);
            let n = (height * (end - first)) as f32;
            for plane in values.chunks_exact(height * width) {
                let within =
                    || plane.chunks_exact(*width).flat_map(|row| row.get(first..end).unwrap_or_default());
                let mean = within().sum::<f32>() / n;
                let variance = within().map(|v| (v - mean).powi(2)).sum::<f32>() / n;
                out.extend([mean, variance.sqrt()]);
            }
        }
        out
    }
}

/// A linear layer on frozen features of windows, its logit added to that of an [`LfccDetector`].
///
/// The layer reads single seconds of a window of four, and a window's logit is the mean of theirs: a channel's deviation is then that
/// within a second and not that from word to word, and the layer is fitted on four times as many descriptions.
///
/// Frozen features of a network for things do not know any voice or microphone; statistics of its middle maps describe the
/// texture of a spectrogram, in which vocoders differ from people whoever speaks. An encoder of speech that learned to understand people in
/// any noise has heard hundreds of thousands of hours of them, and its first layers know how they sound.
pub(crate) struct SpectralDetector {
    cepstral: LfccDetector,
    ears: Ears,
    hearing: Hearing,
    linear: FrozenLinear,
}

impl SpectralDetector {
    /// From weight files: the detector's own and those that it names.
    pub(crate) fn load(
        network: &LfccNetConfig,
        lfcc: &LfccConfig,
        hearing: &Hearing,
        files: &[&[u8]],
    ) -> Result<Self> {
        let mut params = Params::blank();
        let detector = Self::new(&mut params, network, lfcc, hearing)?;
        params.load_files(files)?;
        Ok(Self { ears: detector.ears.ready()?, ..detector })
    }

    fn new(
        params: &mut Params,
        network: &LfccNetConfig,
        lfcc: &LfccConfig,
        hearing: &Hearing,
    ) -> Result<Self> {
        Ok(Self {
            cepstral: LfccDetector::new(params, network, lfcc)?,
            ears: Ears::new(params, hearing)?,
            hearing: hearing.clone(),
            linear: FrozenLinear::new(params, hearing.len())?,
        })
    }

    /// Reads a recording by both.
    pub(crate) fn both(&self, media: &Media) -> Result<Reading> {
        let Media::Audio(wave) = media else { return Err(Error::WrongKind("an audio detector".into())) };
        let cepstral = self.cepstral.detect(media)?;
        let ScoreMap::Timeline { windows, .. } = &cepstral.map else {
            return Err(Error::model("audio", "no timeline"));
        };
        let samples = equalise(&wave.samples);
        let sound = between_silence(&samples);
        let place = |seconds: f64| (seconds * f64::from(Waveform::RATE)).round() as usize;
        let (mut logits, mut described) = (Vec::new(), None::<(usize, f64)>);
        // Of each second, the logits in the windows that hold at least half of it.
        let mut seconds = vec![Vec::new(); (samples.len() / SECOND).max(1)];
        for &(start, _) in windows {
            // A window that reaches into the silence is moved.
            let start = place(start).min(sound.end.saturating_sub(WINDOW)).max(sound.start);
            let end = (start + WINDOW).min(sound.end);
            let logit = match described {
                Some((at, logit)) if start.saturating_sub(at) <= WINDOW / 2 => logit,
                _ => {
                    let window = tile(samples.get(start..end).unwrap_or_default(), WINDOW);
                    let maps = self.ears.maps(&self.hearing, &window)?;
                    let mut logit = 0.0;
                    for second in maps.describe_seconds() {
                        logit += self.linear.logit(&second)? / SECONDS as f64;
                    }
                    described = Some((start, logit));
                    for (i, second) in
                        seconds.iter_mut().enumerate().take(end / SECOND + 1).skip(start / SECOND)
                    {
                        let from = (i * SECOND).clamp(start, end) - start;
                        let to = ((i + 1) * SECOND).clamp(start, end) - start;
                        if to - from >= SECOND / 2 {
                            let share = |sample: usize| sample as f64 / WINDOW as f64;
                            let within = self.linear.logit(&maps.describe_part(share(from)..share(to)))?;
                            second.push(logit + WITHIN * (within - logit));
                        }
                    }
                    logit
                }
            };
            logits.push(logit);
        }
        let mean =
            |found: &Vec<f64>| (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64);
        let mut seconds: Vec<Option<f64>> = seconds.iter().map(mean).collect();
        // Silence at the ends has what is next to it.
        let mut last = None;
        for second in &mut seconds {
            last = second.or(last);
            *second = last;
        }
        for second in seconds.iter_mut().rev() {
            last = second.or(last);
            *second = last;
        }
        let whole = logits.first().copied().unwrap_or_default();
        let seconds = seconds.into_iter().map(|s| s.unwrap_or(whole)).collect();
        Ok(Reading { windows: logits, seconds, cepstral })
    }
}

/// What both parts of a [`SpectralDetector`] say.
pub(crate) struct Reading {
    /// Logits of the linear layer for the windows of the cepstral network's timeline.
    pub(crate) windows: Vec<f64>,
    /// Logits of the linear layer for each whole second.
    seconds: Vec<f64>,
    /// The whole of the cepstral network's answer.
    pub(crate) cepstral: Detection,
}

impl Detector for SpectralDetector {
    fn kind(&self) -> MediaKind {
        MediaKind::Audio
    }

    /// The mean over the windows of both is the recording's logit. The timeline has seconds: by how much each differs from their mean,
    /// and half of the recording's logit.
    fn detect(&self, media: &Media) -> Result<Detection> {
        let Reading { windows: linear, seconds, cepstral: mut found } = self.both(media)?;
        let [of_linear, of_cepstral] = self.linear.mix()?;
        let ScoreMap::Timeline { logits, windows } = &mut found.map else { return Ok(found) };
        let n = logits.len().max(1) as f64;
        let whole: Vec<f64> = logits
            .iter()
            .zip(&linear)
            .map(|(&cepstral, linear)| of_linear * linear + of_cepstral * f64::from(cepstral))
            .collect();
        found.logit = whole.iter().sum::<f64>() / n;
        found.spread = (whole.iter().map(|l| (l - found.logit).powi(2)).sum::<f64>() / n).sqrt();
        if !found.logit.is_finite() {
            return Err(Error::NotFinite("audio".into()));
        }
        let end = windows.iter().map(|w| w.1).fold(0.0, f64::max);
        let last = seconds.len() - 1;
        let cell = |i: usize| (i as f64, if i == last { end } else { i as f64 + 1.0 });
        let cells: Vec<(f64, f64)> = (0..seconds.len()).map(cell).collect();
        // Starts and ends of the windows rise.
        let cepstral = |(from, to): (f64, f64)| {
            let over = windows.partition_point(|w| w.1 <= from)..windows.partition_point(|w| w.0 < to);
            let over = logits.get(over).unwrap_or_default();
            over.iter().map(|&l| f64::from(l)).sum::<f64>() / over.len().max(1) as f64
        };
        let timeline: Vec<f64> = cells
            .iter()
            .zip(&seconds)
            .map(|(&c, l)| of_linear * l + SHARPER * of_cepstral * cepstral(c))
            .collect();
        let beside = OF_WHOLE * found.logit - timeline.iter().sum::<f64>() / timeline.len() as f64;
        let timeline = timeline.iter().map(|l| (l + beside) as f32).collect();
        found.map = ScoreMap::Timeline { windows: cells, logits: timeline };
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hearing(maps: &[usize], layers: &[usize]) -> Hearing {
        Hearing { size: LiteSize::Lite0, maps: maps.to_vec(), layers: layers.to_vec() }
    }

    fn ears(maps: &[usize], layers: &[usize]) -> Ears {
        Ears::new(&mut Params::new(4), &hearing(maps, layers)).unwrap().ready().unwrap()
    }

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
        let ears = ears(&[0], &[]);
        let tone = |n: usize| (n as f32 * 0.3).sin() * (0.2 + 0.1 * (n as f32 * 2e-3).sin());
        let x: Vec<f32> = (0..WINDOW).map(tone).collect();
        let quiet: Vec<f32> = x.iter().map(|v| v * 0.25).collect();
        let [a, b] = [&x, &quiet].map(|x| ears.picture(x).unwrap());
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
        let ears = ears(&[0], &[0]);
        let x: Vec<f32> = (0..WINDOW).map(|n| (n as f32 * n as f32 * 1e-5).sin() * 0.1).collect();
        let described = |maps: &[usize], layers: &[usize]| {
            let hearing = hearing(maps, layers);
            let found = ears.maps(&hearing, &x).unwrap().describe_part(0.0..1.0);
            assert_eq!(found.len(), hearing.len());
            (found, hearing.places())
        };
        let (all, _) = described(&[0, 1, 2, 3, 4, 5, 6], &[0, 1, 2, 3]);
        for (maps, layers) in [(&[1, 2][..], &[1, 3][..]), (&[0], &[2]), (&[], &[0, 1])] {
            let (some, places) = described(maps, layers);
            assert_eq!(some, places.iter().map(|&p| all[p]).collect::<Vec<_>>());
        }
        assert!(described(&[0], &[]).0.iter().all(|v| v.is_finite()));
    }

    #[test]
    fn a_part_of_a_window_is_described_by_itself() {
        let half = |left: f32, right: f32| [[left; 4], [right; 4]].concat();
        let planes = |values| WindowMaps(vec![Planes { height: 1, width: 8, values }]);
        let maps = planes(half(1.0, 3.0));
        assert_eq!(maps.describe_part(0.0..1.0), [2.0, 1.0]);
        assert_eq!(maps.describe_seconds(), [[1.0, 0.0], [1.0, 0.0], [3.0, 0.0], [3.0, 0.0]]);
        assert_eq!(maps.describe_part(0.0..0.5), [1.0, 0.0]);
        assert_eq!(maps.describe_part(0.5..1.0), [3.0, 0.0]);
        // Never without a column.
        assert_eq!(maps.describe_part(1.0..1.0), [3.0, 0.0]);
    }

    #[test]
    fn a_timeline_has_seconds_up_to_the_end() {
        let (network, lfcc) = (LfccNetConfig { widths: [2; 5] }, LfccConfig::default());
        let detector =
            SpectralDetector::new(&mut Params::new(4), &network, &lfcc, &hearing(&[0, 1], &[])).unwrap();
        for (length, expected) in [(0.6, 1), (1.9, 1), (6.5, 6), (70.2, 70)] {
            let n = (length * f64::from(Waveform::RATE)) as usize;
            let samples =
                (0..n).map(|i: usize| if i < 3 * n / 4 { (i as f32 * 0.05).sin() * 0.2 } else { 0.0 });
            let wave = Waveform {
                samples: samples.collect(),
                source_rate: Waveform::RATE,
                source_channels: 1,
                format: String::new(),
                warnings: Vec::new(),
            };
            let found = detector.detect(&Media::Audio(wave)).unwrap();
            let ScoreMap::Timeline { windows, logits } = found.map else { panic!("no timeline") };
            assert_eq!((windows.len(), logits.len()), (expected, expected));
            assert!(windows.windows(2).all(|w| w[0].1 == w[1].0));
            assert!(windows[0].0 == 0.0 && (windows[expected - 1].1 - length).abs() < 1e-3);
        }
    }
}
