//! Measured properties of a recording: what a reader of a verdict wants to know, and what a condition is made of.

use serde::{Deserialize, Serialize};

use super::{
    Activity, Biquads, activity, decibels, rms,
    stft::{Stft, WindowShape},
    vad::{self, percentile},
};
use crate::Waveform;

const N_FFT: usize = 512;
const WIN: usize = 400;
const HOP: usize = vad::HOP / 2;
/// Samples whose spectra are held at once: 10 s, so that an hour takes no more memory than that.
const SEGMENT: usize = 10 * Waveform::RATE as usize;
const BIN_HZ: f64 = Waveform::RATE as f64 / N_FFT as f64;

/// Measured properties of a recording. Every number is finite, whatever the recording.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AudioStats {
    /// Length in seconds.
    pub seconds: f64,
    /// Sample rate of the file in Hz.
    pub source_rate_hz: f64,
    /// Highest frequency in Hz, at most 8000, that stands out of the noise floor: its mean level over the loud frames is
    /// 6 dB above that over the others (if there are any) and within 75 dB of the strongest. Sharp edges read up to
    /// 0.5 kHz too high, as the window's side lobes reach that far.
    pub effective_bandwidth_hz: f64,
    /// Level that a twentieth of the 10 ms frames stay below, in dB re full scale, at least -120.
    pub noise_floor_db: f64,
    /// Share of the frames that are not loud against the rest, 0 to 1.
    pub silence_share: f64,
    /// Seconds before the first loud frame; the whole length if there is none.
    pub leading_silence_s: f64,
    /// Peak over root mean square in dB, 0 for silence.
    pub crest_factor_db: f64,
    /// Share of the samples within 1 % of full scale or beyond.
    pub clipping_share: f64,
    /// Root mean square in dB re full scale, at least -120.
    pub rms_db: f64,
    /// Mean of the samples.
    pub dc_offset: f64,
    /// Share of the energy below 70 Hz, the mean left out.
    pub rumble_share: f64,
    /// Energy from 7.2 to 7.8 kHz in dB re all energy, at least -120.
    pub high_band_db: f64,
    /// Circular variance, 0 to 1, of the change of instantaneous frequency from frame to frame (the second difference
    /// of the phase over 5 ms), weighted by amplitude over the strong bins of voiced frames. A steady tone has 0.
    pub frequency_deviation: f64,
    /// Circular variance, 0 to 1, of the change of group delay from bin to bin, over the same bins.
    pub group_delay_deviation: f64,
    /// Geometric over arithmetic mean of the power from 100 Hz to 7 kHz, averaged over the loud frames, 0 to 1.
    pub spectral_flatness: f64,
    /// Share of the frames that hold speech or something like it (see [`activity()`]).
    pub speech_share: f64,
}

impl AudioStats {
    /// Names and values, in the order of the fields.
    pub fn named(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("seconds", self.seconds),
            ("source_rate_hz", self.source_rate_hz),
            ("effective_bandwidth_hz", self.effective_bandwidth_hz),
            ("noise_floor_db", self.noise_floor_db),
            ("silence_share", self.silence_share),
            ("leading_silence_s", self.leading_silence_s),
            ("crest_factor_db", self.crest_factor_db),
            ("clipping_share", self.clipping_share),
            ("rms_db", self.rms_db),
            ("dc_offset", self.dc_offset),
            ("rumble_share", self.rumble_share),
            ("high_band_db", self.high_band_db),
            ("frequency_deviation", self.frequency_deviation),
            ("group_delay_deviation", self.group_delay_deviation),
            ("spectral_flatness", self.spectral_flatness),
            ("speech_share", self.speech_share),
        ]
    }
}

/// Measures a recording.
pub fn audio_stats(waveform: &Waveform) -> AudioStats {
    let samples = &waveform.samples;
    let count = samples.len().max(1) as f64;
    let activity = activity(samples);
    let mut levels = activity.level_db.clone();
    levels.sort_by(f32::total_cmp);
    let level = rms(samples);
    let peak = samples.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    let dc_offset = samples.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let first_loud = activity.loud.iter().position(|&l| l).unwrap_or(activity.loud.len());

    let centred: Vec<f32> = samples.iter().map(|&x| (f64::from(x) - dc_offset) as f32).collect();
    let mut low = centred.clone();
    Biquads::low_pass(4, 70.0).run(&mut low);
    let spectrum = Spectrum::of(&centred, &activity);

    AudioStats {
        seconds: waveform.seconds(),
        source_rate_hz: f64::from(waveform.source_rate),
        effective_bandwidth_hz: spectrum.bandwidth(),
        noise_floor_db: if levels.is_empty() { -120.0 } else { f64::from(percentile(&levels, 0.05)) },
        silence_share: if activity.loud.is_empty() { 1.0 } else { 1.0 - Activity::share(&activity.loud) },
        leading_silence_s: (first_loud as f64 * 0.01).min(waveform.seconds()),
        crest_factor_db: if level > 0.0 { 20.0 * (f64::from(peak) / level).log10() } else { 0.0 },
        clipping_share: samples.iter().filter(|x| x.abs() >= 0.99).count() as f64 / count,
        rms_db: decibels(level),
        dc_offset,
        rumble_share: ratio(rms(&low).powi(2), rms(&centred).powi(2)).min(1.0),
        high_band_db: decibels(ratio(spectrum.high, spectrum.total).sqrt()),
        frequency_deviation: spectrum.frequency.variance(),
        group_delay_deviation: spectrum.delay.variance(),
        spectral_flatness: ratio(spectrum.flatness, spectrum.loud_frames),
        speech_share: Activity::share(&activity.active),
    }
}

/// Weighted sum of unit vectors.
#[derive(Default)]
struct Circular {
    re: f64,
    im: f64,
    weight: f64,
}

impl Circular {
    fn add(&mut self, angle: f64, weight: f64) {
        self.re += weight * angle.cos();
        self.im += weight * angle.sin();
        self.weight += weight;
    }

    /// 0 for equal angles and for none, 1 for scattered ones.
    fn variance(&self) -> f64 {
        if self.weight > 0.0 { (1.0 - self.re.hypot(self.im) / self.weight).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// Sums over the frames of a recording.
#[derive(Default)]
struct Spectrum {
    /// Power of each bin over the loud frames.
    loud: Vec<f64>,
    loud_frames: f64,
    /// Power of each bin over the other frames.
    quiet: Vec<f64>,
    quiet_frames: f64,
    flatness: f64,
    total: f64,
    high: f64,
    frequency: Circular,
    delay: Circular,
}

impl Spectrum {
    fn of(samples: &[f32], activity: &Activity) -> Self {
        let mut this =
            Self { loud: vec![0.0; N_FFT / 2 + 1], quiet: vec![0.0; N_FFT / 2 + 1], ..Self::default() };
        let Some(stft) = Stft::new(N_FFT, WIN, HOP, WindowShape::Hann) else { return this };
        for start in (0..samples.len()).step_by(SEGMENT) {
            let segment = &samples[start..(start + SEGMENT + WIN - HOP).min(samples.len())];
            let spectra = stft.complex(segment);
            // Frames that run past the end have an edge that sounds in all bands.
            let whole = (segment.len().saturating_sub(WIN) / HOP + 1).min(SEGMENT / HOP);
            let rows: Vec<_> = spectra.rows().into_iter().take(whole).collect();
            for (t, row) in rows.iter().enumerate() {
                let frame = (start + t * HOP) / vad::HOP;
                let flag = |flags: &[bool]| flags.get(frame).copied().unwrap_or_default();
                let power: Vec<f64> = row.iter().map(|x| f64::from(x.norm_sqr())).collect();
                this.add_power(&power, flag(&activity.loud));
                if flag(&activity.voiced) && t > 0 && t + 1 < rows.len() {
                    let phases = |row: &ndarray::ArrayView1<_>| -> Vec<f64> {
                        row.iter().map(|x: &realfft::num_complex::Complex32| f64::from(x.arg())).collect()
                    };
                    this.add_phases(&power, [&rows[t - 1], row, &rows[t + 1]].map(phases));
                }
            }
        }
        this
    }

    fn add_power(&mut self, power: &[f64], loud: bool) {
        let band = |from: f64, to: f64| {
            let bins = (from / BIN_HZ).ceil() as usize..(to / BIN_HZ) as usize + 1;
            power.get(bins).unwrap_or_default()
        };
        self.total += power.iter().sum::<f64>();
        self.high += band(7_200.0, 7_800.0).iter().sum::<f64>();
        let (sums, frames) = if loud {
            (&mut self.loud, &mut self.loud_frames)
        } else {
            (&mut self.quiet, &mut self.quiet_frames)
        };
        *frames += 1.0;
        for (sum, p) in sums.iter_mut().zip(power) {
            *sum += p;
        }
        if loud {
            let middle = band(100.0, 7_000.0);
            let count = middle.len() as f64;
            let mean = middle.iter().sum::<f64>() / count;
            // A floor 100 dB below the mean keeps single empty bins from deciding.
            let log = middle.iter().map(|&p| p.max(1e-10 * mean).max(1e-30).ln()).sum::<f64>() / count;
            self.flatness += ratio(log.exp(), mean).min(1.0);
        }
    }

    /// Adds the bins that are within 25 dB of the frame's strongest, from 100 Hz to 4 kHz.
    fn add_phases(&mut self, power: &[f64], [before, now, after]: [Vec<f64>; 3]) {
        let range = (100.0 / BIN_HZ) as usize..(4_000.0 / BIN_HZ) as usize;
        let strongest = power.get(range.clone()).unwrap_or_default().iter().fold(0.0, |m: f64, &p| m.max(p));
        for k in range {
            let (Some(&p), Some(&phase)) = (power.get(k), now.get(k)) else { continue };
            if p > 0.0 && p >= strongest * 10.0_f64.powf(-2.5) {
                let weight = p.sqrt();
                let at = |row: &[f64], k: usize| row.get(k).copied().unwrap_or_default();
                self.frequency.add(at(&after, k) - 2.0 * phase + at(&before, k), weight);
                self.delay.add(at(&now, k + 1) - 2.0 * phase + at(&now, k - 1), weight);
            }
        }
    }

    fn bandwidth(&self) -> f64 {
        let smooth = |sums: &[f64], frames: f64| -> Vec<f64> {
            sums.windows(5).map(|w| ratio(w.iter().sum(), frames)).collect()
        };
        let loud = smooth(&self.loud, self.loud_frames);
        let quiet = smooth(&self.quiet, self.quiet_frames);
        let strongest = loud.iter().fold(0.0, |m: f64, &p| m.max(p));
        let floor = strongest * 10.0_f64.powf(-7.5);
        let above = |(&l, &q): (&f64, &f64)| l > 0.0 && l >= floor && l >= 4.0 * q;
        loud.iter().zip(&quiet).rposition(above).map_or(0.0, |i| {
            // The middle of five bins, but the top for the last five.
            if i + 5 == self.loud.len() { f64::from(Waveform::RATE) / 2.0 } else { (i + 2) as f64 * BIN_HZ }
        })
    }
}

/// `a / b`, 0 if that is not finite.
fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;
    use crate::audio::{equalise, launder};

    fn stats(samples: Vec<f32>) -> AudioStats {
        audio_stats(&Waveform {
            samples,
            source_rate: 16_000,
            source_channels: 1,
            format: "test".into(),
            warnings: Vec::new(),
        })
    }

    fn noise(len: usize, gain: f32) -> Vec<f32> {
        let mut s = 1_u32;
        (0..len)
            .map(|_| {
                s = s.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                gain * ((s >> 8) as f32 / 8_388_608.0 - 1.0)
            })
            .collect()
    }

    fn sine(hz: f64, len: usize) -> Vec<f32> {
        (0..len).map(|n| (0.5 * (TAU * hz * n as f64 / 16_000.0).sin()) as f32).collect()
    }

    #[test]
    fn everything_is_finite_for_anything() {
        let odd = [
            vec![],
            vec![0.0],
            vec![1.0],
            vec![0.0; 16_000],
            vec![1.0; 16_000],
            noise(20_000, 1.0),
            noise(3, 1e-20),
        ];
        for x in odd {
            let s = stats(x.clone());
            for (name, value) in s.named() {
                assert!(value.is_finite(), "{name} is {value} for {} samples", x.len());
            }
            let text = serde_json::to_string(&s).unwrap();
            assert_eq!(serde_json::from_str::<AudioStats>(&text).unwrap().named().len(), 16);
        }
    }

    #[test]
    fn a_sine_measures_as_one() {
        let s = stats(sine(1_000.0, 32_000));
        assert!((s.rms_db + 9.03).abs() < 0.01 && (s.crest_factor_db - 3.01).abs() < 0.01);
        assert!(s.dc_offset.abs() < 1e-6 && s.rumble_share < 1e-4 && s.clipping_share == 0.0);
        assert!(s.spectral_flatness < 0.01 && s.high_band_db < -80.0);
        assert!((990.0..1_600.0).contains(&s.effective_bandwidth_hz), "{}", s.effective_bandwidth_hz);
    }

    #[test]
    fn noise_measures_as_noise() {
        let s = stats(noise(64_000, 0.1));
        assert!((s.effective_bandwidth_hz - 8_000.0).abs() < 1.0);
        assert!((s.high_band_db - 10.0 * (600.0_f64 / 8_000.0).log10()).abs() < 0.5, "{}", s.high_band_db);
        // Single periodograms of white noise: exp(-Euler's constant) = 0.56, a little less with a window.
        assert!((0.5..0.62).contains(&s.spectral_flatness), "{}", s.spectral_flatness);
        assert!(
            s.speech_share < 0.05 && (s.rms_db + 24.8).abs() < 0.2 && (s.noise_floor_db + 24.8).abs() < 1.5
        );
    }

    #[test]
    fn the_band_of_a_telephone_is_seen() {
        let s = stats(launder::telephone_band(&noise(64_000, 0.3)));
        assert!((3_600.0..4_300.0).contains(&s.effective_bandwidth_hz), "{}", s.effective_bandwidth_hz);
        let e = stats(equalise(&noise(64_000, 0.3)));
        assert!(e.rumble_share < 0.01);
    }

    #[test]
    fn silence_offset_and_clipping_are_measured() {
        let mut x = vec![0.01; 16_000];
        x.extend(sine(200.0, 16_000).iter().map(|v| (4.0 * v).clamp(-1.0, 1.0) + 0.0));
        let s = stats(x);
        assert!((s.leading_silence_s - 1.0).abs() < 0.03 && (s.silence_share - 0.5).abs() < 0.03);
        assert!((s.clipping_share - 0.333).abs() < 0.02, "{}", s.clipping_share);
        assert!((s.dc_offset - 0.005).abs() < 1e-3);
    }

    #[test]
    fn phases_tell_steady_from_shaken() {
        let buzz = |jitter: f64| -> Vec<f32> {
            let mut phase = 0.0;
            let shake = noise(48_000, 1.0);
            (0..48_000)
                .map(|n| {
                    phase += TAU * 150.0 * (1.0 + jitter * f64::from(shake[n / 80 * 80])) / 16_000.0;
                    (1..20).map(|h| (h as f64 * phase).cos()).sum::<f64>() as f32 * 0.03
                })
                .collect()
        };
        let (steady, shaken) = (stats(buzz(0.0)), stats(buzz(0.2)));
        assert!(steady.speech_share > 0.95 && shaken.speech_share > 0.5);
        assert!(steady.frequency_deviation < 0.1, "{}", steady.frequency_deviation);
        assert!(
            shaken.frequency_deviation > steady.frequency_deviation + 0.1,
            "{}",
            shaken.frequency_deviation
        );
        assert!((0.0..=1.0).contains(&shaken.group_delay_deviation));
    }
}
