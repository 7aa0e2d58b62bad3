//! The mark that people hear: "AI" in Morse code before a recording.

use crate::mark::MarkError;

/// Length of a short tone in seconds. A long one has three of these, as has the pause between the letters.
const UNIT: f64 = 0.12;
/// Tone and silence in units: short, long, pause, short, short, and the silence before the recording begins.
const RHYTHM: [(bool, u8); 8] =
    [(true, 1), (false, 1), (true, 3), (false, 3), (true, 1), (false, 1), (true, 1), (false, 5)];
/// Pitch in Hz, which a telephone carries too.
const PITCH: f64 = 800.0;
/// Amplitude, of 1: heard beside speech at its usual level.
const AMPLITUDE: f64 = 0.25;
/// Seconds in which a tone comes and goes, so that it does not click.
const RAMP: f64 = 0.005;
/// Sample rates that are marked, in Hz: the pitch fits in, and a lying header asks for little memory.
const RATES: std::ops::RangeInclusive<u32> = 4_000..=768_000;
/// Most channels.
const CHANNELS: u16 = 64;

/// How a WAV file stores a sample.
#[derive(Debug, Clone, Copy)]
enum Sample {
    Unsigned8,
    /// Little-endian, this many bytes.
    Signed(usize),
    Float32,
    Float64,
}

impl Sample {
    fn new(format: u16, bits: u16) -> Option<Self> {
        match (format, bits) {
            (1, 8) => Some(Self::Unsigned8),
            (1, 16 | 24 | 32) => Some(Self::Signed(usize::from(bits / 8))),
            (3, 32) => Some(Self::Float32),
            (3, 64) => Some(Self::Float64),
            _ => None,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Unsigned8 => 1,
            Self::Signed(bytes) => bytes,
            Self::Float32 => 4,
            Self::Float64 => 8,
        }
    }

    /// Appends a value between -1 and 1.
    fn write(self, value: f64, out: &mut Vec<u8>) {
        match self {
            Self::Unsigned8 => out.push((value * 127.0 + 128.0).round() as u8),
            Self::Signed(bytes) => {
                let full = 2_f64.powi(8 * bytes as i32 - 1) - 1.0;
                out.extend(((value * full).round() as i32).to_le_bytes().iter().take(bytes));
            }
            Self::Float32 => out.extend((value as f32).to_le_bytes()),
            Self::Float64 => out.extend(value.to_le_bytes()),
        }
    }
}

/// Whether a file is a RIFF WAVE file.
pub(crate) fn is_wav(bytes: &[u8]) -> bool {
    bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WAVE")
}

/// A WAV file with the rhythm short-long short-short in front, some two seconds; its own samples and other chunks stay as they are.
/// One that has it stays as it is.
///
/// # Errors
/// [`MarkError::Recording`] where the file is damaged or compressed.
pub(crate) fn mark(bytes: &[u8]) -> Result<Vec<u8>, MarkError> {
    let damaged = || MarkError::Recording("it is damaged".to_owned());
    let (mut fmt, mut fact, mut at) = (None, None, 12_usize);
    while let Some((head, rest)) = bytes.get(at..).and_then(<[u8]>::split_first_chunk::<8>) {
        let [n0, n1, n2, n3, size @ ..] = *head;
        let body = at + 8;
        // What is recorded while it is written has no length yet.
        let len = (u32::from_le_bytes(size) as usize).min(rest.len());
        match &[n0, n1, n2, n3] {
            b"fmt " => fmt = rest.get(..len),
            b"fact" if len >= 4 => fact = Some(body),
            b"data" => {
                let tones = tones(fmt.ok_or_else(damaged)?)?;
                if rest.starts_with(&tones.bytes) {
                    return Ok(bytes.to_vec());
                }
                return spliced(bytes, body, len, fact, &tones).ok_or_else(|| {
                    MarkError::Recording("it would have more than the 4 GiB of a WAV file".to_owned())
                });
            }
            _ => {}
        }
        at = body + len + (len & 1);
    }
    Err(damaged())
}

/// The tones in the format of a recording, and how many frames they are.
struct Tones {
    bytes: Vec<u8>,
    frames: u32,
}

fn tones(fmt: &[u8]) -> Result<Tones, MarkError> {
    let refused = |what: &str| MarkError::Recording(format!("{what}; write it as plain PCM first"));
    let u16_at = |at: usize| Some(u16::from_le_bytes(*fmt.get(at..)?.first_chunk()?));
    let header = || {
        let rate = u32::from_le_bytes(*fmt.get(4..)?.first_chunk()?);
        // An extensible header keeps the format at the beginning of its GUID.
        let format = if u16_at(0)? == 0xfffe { u16_at(24)? } else { u16_at(0)? };
        Some((format, u16_at(2)?, rate, u16_at(12)?, u16_at(14)?))
    };
    let (format, channels, rate, frame, bits) = header().ok_or_else(|| refused("its header is cut"))?;
    let sample = Sample::new(format, bits).ok_or_else(|| refused("its samples are compressed"))?;
    let plain = usize::from(frame) == usize::from(channels) * sample.bytes();
    if !plain || !RATES.contains(&rate) || !(1..=CHANNELS).contains(&channels) {
        return Err(refused("its header is unusual"));
    }
    let rate = f64::from(rate);
    let (mut bytes, mut frames) = (Vec::new(), 0);
    for (tone, units) in RHYTHM {
        let seconds = f64::from(units) * UNIT;
        for i in 0..(seconds * rate) as u32 {
            let t = f64::from(i) / rate;
            let edge = (t.min(seconds - t) / RAMP).clamp(0.0, 1.0);
            let envelope =
                if tone { AMPLITUDE * (0.5 - 0.5 * (edge * std::f64::consts::PI).cos()) } else { 0.0 };
            let value = envelope * (t * PITCH * std::f64::consts::TAU).sin();
            for _ in 0..channels {
                sample.write(value, &mut bytes);
            }
            frames += 1;
        }
    }
    Ok(Tones { bytes, frames })
}

/// The file with the tones before its samples and the lengths made right. `None` where they do not fit.
fn spliced(bytes: &[u8], body: usize, len: usize, fact: Option<usize>, tones: &Tones) -> Option<Vec<u8>> {
    let mut out = bytes.get(..body)?.to_vec();
    out.extend(&tones.bytes);
    out.extend(bytes.get(body..body + len)?);
    let data = tones.bytes.len() + len;
    let rest = bytes.get(body + len + (len & 1)..).unwrap_or_default();
    if data & 1 == 1 {
        out.push(0);
    }
    out.extend(rest);
    let riff = out.len().checked_sub(8)?;
    let mut put = |at: usize, value: usize| {
        out.get_mut(at..at + 4)?.copy_from_slice(&u32::try_from(value).ok()?.to_le_bytes());
        Some(())
    };
    put(body - 4, data)?;
    if let Some(at) = fact {
        let frames = u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
        put(at, frames.checked_add(tones.frames)? as usize)?;
    }
    put(4, riff)?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(format: u16, bits: u16, channels: u16, rate: u32, samples: &[u8]) -> Vec<u8> {
        let frame = channels * bits / 8;
        let mut chunks = b"WAVEfmt \x10\0\0\0".to_vec();
        chunks.extend(format.to_le_bytes());
        chunks.extend(channels.to_le_bytes());
        chunks.extend(rate.to_le_bytes());
        chunks.extend((rate * u32::from(frame)).to_le_bytes());
        chunks.extend(frame.to_le_bytes());
        chunks.extend(bits.to_le_bytes());
        chunks.extend(b"LIST\x04\0\0\0INFOdata");
        chunks.extend((samples.len() as u32).to_le_bytes());
        chunks.extend(samples);
        chunks.extend(std::iter::repeat_n(0, samples.len() % 2));
        chunks.extend(b"end \x02\0\0\0ab");
        [b"RIFF".as_slice(), &(chunks.len() as u32).to_le_bytes(), &chunks].concat()
    }

    /// Runs of tone (true) and silence among the first units.
    fn heard(wave: &candor_features::Waveform, units: usize) -> Vec<(bool, usize)> {
        let unit = (UNIT * f64::from(candor_features::Waveform::RATE)) as usize;
        let mut runs: Vec<(bool, usize)> = Vec::new();
        for part in wave.samples.chunks(unit).take(units) {
            let loud = part.iter().map(|v| v * v).sum::<f32>() / part.len() as f32 > 1e-3;
            match runs.last_mut() {
                Some((last, n)) if *last == loud => *n += 1,
                _ => runs.push((loud, 1)),
            }
        }
        runs
    }

    #[test]
    fn the_rhythm_is_heard_before_the_recording_in_every_format() {
        for (format, bits) in [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64)] {
            for (channels, rate) in [(1, 8_000), (2, 44_100)] {
                let silence = if bits == 8 { 128 } else { 0 };
                let samples = vec![silence; usize::from(channels * bits / 8) * rate as usize];
                let plain = wav(format, bits, channels, rate, &samples);
                let marked = mark(&plain).unwrap();
                assert_eq!(
                    u32::from_le_bytes(*marked[4..].first_chunk().unwrap()) as usize,
                    marked.len() - 8
                );
                assert!(marked.ends_with(&[&samples[..], b"end \x02\0\0\0ab"].concat()));
                let media = candor_features::decode(&marked, &candor_features::Limits::default()).unwrap();
                let candor_features::Media::Audio(wave) = media else { panic!("no recording") };
                let seconds = wave.samples.len() as f64 / f64::from(candor_features::Waveform::RATE);
                assert!((seconds - 1.0 - 16.0 * UNIT).abs() < 0.02, "{seconds}");
                let expected =
                    vec![(true, 1), (false, 1), (true, 3), (false, 3), (true, 1), (false, 1), (true, 1)];
                assert_eq!(heard(&wave, 11), expected, "{format} {bits} {channels} {rate}");
                assert_eq!(mark(&marked).unwrap(), marked);
            }
        }
    }

    #[test]
    fn odd_lengths_are_padded() {
        for (n, cut) in [(7, 0), (8, 0), (7, 11)] {
            // Without the last chunk and the zero that should stand before it.
            let mut plain = wav(1, 8, 1, 8_001, &vec![128_u8; n]);
            plain.truncate(plain.len() - cut);
            let marked = mark(&plain).unwrap();
            assert_eq!(u32::from_le_bytes(*marked[4..].first_chunk().unwrap()) as usize, marked.len() - 8);
            let media = candor_features::decode(&marked, &candor_features::Limits::default());
            assert!(media.is_ok());
            assert_eq!(marked.ends_with(b"end \x02\0\0\0ab"), cut == 0);
            assert_eq!(marked.len() % 2, 0);
        }
    }

    #[test]
    fn what_is_compressed_damaged_or_lies_is_refused() {
        let plain = wav(1, 16, 1, 16_000, &[0; 64]);
        for (at, value) in [(20, 85), (22, 0), (22, 9), (34, 17), (36, b'x')] {
            let mut file = plain.clone();
            file[at] = value;
            if at == 36 {
                file.truncate(40);
            }
            assert!(matches!(mark(&file), Err(MarkError::Recording(_))), "{at}");
        }
        for end in 0..plain.len() {
            let _ = mark(&plain[..end]);
        }
    }
}
