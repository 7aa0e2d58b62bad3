//! Band-limited conversion of the sample rate.

use rubato::{Fft, FixedSync, Indexing, Resampler, audioadapter_buffers::direct::InterleavedSlice};

use crate::{Error, Result};

/// Lowest sample rate in Hz that is read.
pub const MIN_RATE: u32 = 4_000;
/// Highest sample rate in Hz that is read.
pub const MAX_RATE: u32 = 768_000;

/// Frames of the shorter side of a block. The anti-alias filter is as long as a block: at 2048 the passband reaches
/// 98.7 % of the lower Nyquist frequency and aliases are below -100 dB.
const BLOCK: usize = 2_048;

/// Rates above this are rounded to a multiple of 100 Hz (at most 0.08 % off), so that no file can ask for transforms
/// of a million points.
const EXACT_UP_TO: u32 = 65_536;

/// Streaming mono conversion from one sample rate to another.
///
/// The filter's delay is taken out: an event at second `t` of the input is at second `t` of the output, and `n` input
/// samples give `ceil(n * to / from)` output samples.
pub struct Converter {
    fft: Option<Fft<f32>>,
    /// Input that does not fill a block yet.
    pending: Vec<f32>,
    block_in: usize,
    block_out: Vec<f32>,
    /// Samples of the delay that are still to be dropped.
    skip: usize,
    from: u64,
    to: u64,
    taken: u64,
    given: u64,
}

impl Converter {
    /// A converter from `from` Hz to `to` Hz, both within [`MIN_RATE`] and [`MAX_RATE`].
    ///
    /// # Errors
    /// [`Error::Limit`] for a rate outside that range.
    pub fn new(from: u32, to: u32) -> Result<Self> {
        for rate in [from, to] {
            if rate > MAX_RATE {
                let limit = u64::from(MAX_RATE);
                return Err(Error::Limit { what: "sample rate in Hz", value: u64::from(rate), limit });
            }
            if rate < MIN_RATE {
                let reason =
                    format!("a sample rate of {rate} Hz is below the lowest that is read, {MIN_RATE} Hz");
                return Err(Error::Decode { format: "audio", reason });
            }
        }
        let [from, to] = [from, to].map(|rate| {
            let rounded = (rate + 50) / 100 * 100;
            if rate > EXACT_UP_TO { rounded as usize } else { rate as usize }
        });
        let mut this = Self {
            fft: None,
            pending: Vec::new(),
            block_in: 0,
            block_out: Vec::new(),
            skip: 0,
            from: from as u64,
            to: to as u64,
            taken: 0,
            given: 0,
        };
        if from != to {
            let divisor = gcd(from, to);
            let (unit_in, unit_out) = (from / divisor, to / divisor);
            // An even number of units keeps both block sizes even, and so the delay a whole number of samples.
            let units = BLOCK.div_ceil(unit_in.min(unit_out)).next_multiple_of(2);
            let fft = Fft::new_custom(
                from,
                to,
                units * unit_in,
                1,
                1,
                rubato::WindowFunction::BlackmanHarris2,
                FixedSync::Both,
            )
            .map_err(failed)?;
            this.block_in = fft.input_frames_next();
            this.block_out = vec![0.0; fft.output_frames_next()];
            this.skip = fft.output_delay();
            this.fft = Some(fft);
        }
        Ok(this)
    }

    /// Converts more input; whatever is ready is appended to `out`.
    ///
    /// # Errors
    /// [`Error::Decode`] if the converter refuses the block, which only a defect can cause.
    pub fn push(&mut self, mut input: &[f32], out: &mut Vec<f32>) -> Result<()> {
        self.taken += input.len() as u64;
        if self.fft.is_none() {
            out.extend_from_slice(input);
            self.given += input.len() as u64;
            return Ok(());
        }
        while !input.is_empty() {
            let (head, tail) = input.split_at(input.len().min(self.block_in - self.pending.len()));
            self.pending.extend_from_slice(head);
            input = tail;
            if self.pending.len() == self.block_in {
                self.block(out)?;
            }
        }
        Ok(())
    }

    /// Flushes the filter and appends what is left to `out`.
    ///
    /// # Errors
    /// As [`Converter::push`].
    pub fn finish(mut self, out: &mut Vec<f32>) -> Result<()> {
        let expected = (self.taken * self.to).div_ceil(self.from);
        while self.given < expected {
            self.pending.resize(self.block_in, 0.0);
            self.block(out)?;
        }
        out.truncate(out.len().saturating_sub((self.given - expected) as usize));
        Ok(())
    }

    /// Converts the full block in `pending`.
    fn block(&mut self, out: &mut Vec<f32>) -> Result<()> {
        let Some(fft) = &mut self.fft else { return Ok(()) };
        let frames = self.block_out.len();
        let input = InterleavedSlice::new(&self.pending, 1, self.block_in).map_err(failed)?;
        let mut output = InterleavedSlice::new_mut(&mut self.block_out, 1, frames).map_err(failed)?;
        let (_, made) =
            fft.process_into_buffer(&input, &mut output, Some(&Indexing::new())).map_err(failed)?;
        self.pending.clear();
        let drop = self.skip.min(made);
        self.skip -= drop;
        let ready = self.block_out.get(drop..made).unwrap_or_default();
        self.given += ready.len() as u64;
        out.extend_from_slice(ready);
        Ok(())
    }
}

/// Converts a whole signal from `from` Hz to `to` Hz.
///
/// # Errors
/// As [`Converter::new`].
pub fn resample(samples: &[f32], from: u32, to: u32) -> Result<Vec<f32>> {
    let mut converter = Converter::new(from, to)?;
    let mut out = Vec::with_capacity(samples.len() / from as usize * to as usize + 2 * BLOCK);
    converter.push(samples, &mut out)?;
    converter.finish(&mut out)?;
    Ok(out)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Decode { format: "audio", reason: format!("cannot convert the sample rate: {error}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(rate: u32, hz: f64, seconds: f64) -> Vec<f32> {
        let step = std::f64::consts::TAU * hz / f64::from(rate);
        (0..(seconds * f64::from(rate)) as usize).map(|n| (0.5 * (step * n as f64).sin()) as f32).collect()
    }

    fn level(x: impl Iterator<Item = f64>) -> f64 {
        let (sum, n) = x.fold((0.0, 0), |(s, n), v| (s + v * v, n + 1));
        10.0 * (sum / f64::from(n)).max(1e-30).log10()
    }

    #[test]
    fn a_sine_keeps_its_phase_and_level() {
        for rate in
            [4_000, 8_000, 11_025, 11_127, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000, 768_000]
        {
            for hz in [100.0, 997.0, 0.45 * f64::from(rate.min(16_000))] {
                let got = resample(&sine(rate, hz, 0.8), rate, 16_000).unwrap();
                let want = sine(16_000, hz, 0.8);
                assert!(got.len().abs_diff(want.len()) <= 1, "{rate} Hz: {} samples", got.len());
                // The edges ring, because the sine is cut there.
                let error = level(
                    got.iter()
                        .zip(&want)
                        .take(11_000)
                        .skip(1_800)
                        .map(|(&a, &b)| f64::from(a) - f64::from(b)),
                );
                assert!(error < -75.0, "{rate} Hz, tone {hz} Hz: error {error:.1} dB");
            }
        }
    }

    #[test]
    fn tones_above_the_new_nyquist_are_gone() {
        for (rate, hz) in [(44_100, 8_400.0), (44_100, 15_000.0), (48_000, 8_200.0), (48_000, 23_000.0)] {
            let got = resample(&sine(rate, hz, 1.0), rate, 16_000).unwrap();
            let alias = level(got.iter().take(14_000).skip(2_000).map(|&v| f64::from(v)));
            assert!(alias < -80.0, "{hz} Hz of {rate}: {alias:.1} dB");
        }
    }

    #[test]
    fn an_impulse_stays_in_its_place() {
        for rate in [8_000_u32, 44_100, 48_000] {
            let mut x = vec![0.0_f32; rate as usize];
            x[rate as usize / 4] = 1.0;
            let y = resample(&x, rate, 16_000).unwrap();
            let peak = (0..y.len()).max_by(|&a, &b| y[a].abs().total_cmp(&y[b].abs())).unwrap();
            assert_eq!((peak, y.len()), (4_000, 16_000));
        }
    }

    #[test]
    fn pieces_give_what_the_whole_gives() {
        let x = sine(44_100, 440.0, 0.7);
        let whole = resample(&x, 44_100, 16_000).unwrap();
        let (mut c, mut out) = (Converter::new(44_100, 16_000).unwrap(), Vec::new());
        for piece in x.chunks(777) {
            c.push(piece, &mut out).unwrap();
        }
        c.finish(&mut out).unwrap();
        assert_eq!(whole, out);
        assert!(resample(&[], 44_100, 16_000).unwrap().is_empty());
        assert_eq!(resample(&[0.5], 48_000, 16_000).unwrap().len(), 1);
    }

    #[test]
    fn odd_rates_are_refused() {
        assert!(matches!(Converter::new(3_999, 16_000), Err(Error::Decode { .. })));
        assert!(matches!(Converter::new(0, 16_000), Err(Error::Decode { .. })));
        assert!(matches!(Converter::new(768_001, 16_000), Err(Error::Limit { .. })));
        assert!(Converter::new(767_999, 16_000).is_ok());
    }
}
