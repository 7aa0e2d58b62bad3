//! What happens to recordings between their making and their judging.
//!
//! [`AudioLaundering`] is the one random law that training and evaluation apply to both classes alike, so that
//! quality tells nothing about the class. [`AudioCondition`] has the fixed conditions under which results are
//! reported. Every step is a function of its own; all take and give samples at 16 kHz.

mod codec;
pub mod g711;
pub mod rawboost;

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
};

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

pub use codec::simulate_codec;
pub use g711::Law;

use super::{Biquads, activity, decode, filter::convolve, resample, rms, vad};
use crate::{Error, Limits, Result, Waveform, sniff::AudioFormat};

const RATE: f64 = Waveform::RATE as f64;
/// Sample rate of telephony.
const NARROW: u32 = 8_000;

/// The random law: for each step its probability, from 0 to 1, and the range that its strength is drawn from.
///
/// The steps come in the order in which the world applies them: speed, room, noise, `RawBoost`, gain, clipping, then
/// the channel (band, companding, bit depth, lossy codec, lost packets) and trimming.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AudioLaundering {
    /// Change of speed and pitch together.
    pub speed: f64,
    /// Its factor.
    pub speed_factor: [f64; 2],
    /// Synthetic reverberation.
    pub reverb: f64,
    /// Its decay time RT60 in seconds.
    pub rt60: [f64; 2],
    /// Its level against the direct sound in dB.
    pub reverb_db: [f64; 2],
    /// White, pink or brown noise.
    pub noise: f64,
    /// Its signal-to-noise ratio in dB.
    pub snr_db: [f64; 2],
    /// One of the three `RawBoost` algorithms.
    pub rawboost: f64,
    /// Change of level.
    pub gain: f64,
    /// In dB.
    pub gain_db: [f64; 2],
    /// Clipping.
    pub clip: f64,
    /// Its level as a share of the peak.
    pub clip_level: [f64; 2],
    /// Band limit: one of [`LOW_PASSES_HZ`] or the telephone band.
    pub band: f64,
    /// Mu-law or A-law at 8 kHz.
    pub companding: f64,
    /// Coarser samples.
    pub bits: f64,
    /// How many bits they keep.
    pub bit_depth: [u32; 2],
    /// Simulated lossy codec.
    pub codec: f64,
    /// Its bit rates in kb/s, one of which is drawn.
    pub codec_kbps: Vec<f64>,
    /// Lost packets.
    pub packet_loss: f64,
    /// Share of the packets that are lost.
    pub packet_loss_share: [f64; 2],
    /// Cutting off a random part of the silence at each end.
    pub trim: f64,
}

impl Default for AudioLaundering {
    fn default() -> Self {
        Self {
            speed: 0.15,
            speed_factor: [0.9, 1.1],
            reverb: 0.25,
            rt60: [0.1, 0.6],
            reverb_db: [-20.0, -3.0],
            noise: 0.4,
            snr_db: [10.0, 40.0],
            rawboost: 0.2,
            gain: 0.5,
            gain_db: [-20.0, 6.0],
            clip: 0.05,
            clip_level: [0.3, 0.9],
            band: 0.3,
            companding: 0.15,
            bits: 0.1,
            bit_depth: [8, 14],
            codec: 0.4,
            codec_kbps: vec![12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 96.0, 128.0],
            packet_loss: 0.05,
            packet_loss_share: [0.005, 0.05],
            trim: 0.5,
        }
    }
}

/// Low-pass frequencies in Hz that [`AudioLaundering::band`] draws from.
pub const LOW_PASSES_HZ: [f64; 4] = [3_400.0, 4_000.0, 5_500.0, 7_000.0];

impl AudioLaundering {
    /// A law that changes nothing, to set single steps in.
    pub fn none() -> Self {
        Self {
            speed: 0.0,
            reverb: 0.0,
            noise: 0.0,
            rawboost: 0.0,
            gain: 0.0,
            clip: 0.0,
            band: 0.0,
            companding: 0.0,
            bits: 0.0,
            codec: 0.0,
            packet_loss: 0.0,
            trim: 0.0,
            ..Self::default()
        }
    }

    /// Draws from the law and applies it. The result is within [-1, 1]; speed and trimming change its length, and it
    /// is empty only if `samples` is.
    pub fn launder(&self, samples: &[f32], rng: &mut impl Rng) -> Vec<f32> {
        let mut x = samples.to_vec();
        if x.is_empty() {
            return x;
        }
        if chance(self.speed, rng) {
            x = change_speed(&x, pick(self.speed_factor, rng));
        }
        if chance(self.reverb, rng) {
            x = reverberate(&x, pick(self.rt60, rng), pick(self.reverb_db, rng), rng);
        }
        if chance(self.noise, rng) {
            let colour = one_of(&[NoiseColour::White, NoiseColour::Pink, NoiseColour::Brown], rng);
            x = add_noise(&x, colour.unwrap_or_default(), pick(self.snr_db, rng), rng);
        }
        if chance(self.rawboost, rng) {
            x = match rng.random_range(0..3) {
                0 => rawboost::convolutive_noise(&x, rng),
                1 => rawboost::impulsive_noise(&x, rng),
                _ => rawboost::coloured_noise(&x, rng),
            };
        }
        if chance(self.gain, rng) {
            change_gain(&mut x, pick(self.gain_db, rng));
        }
        if chance(self.clip, rng) {
            clip(&mut x, pick(self.clip_level, rng));
        }
        if chance(self.band, rng) {
            match LOW_PASSES_HZ.get(rng.random_range(0..=LOW_PASSES_HZ.len())) {
                Some(&hz) => low_pass(&mut x, hz),
                None => x = telephone_band(&x),
            }
        }
        if chance(self.companding, rng) {
            x = compand(&x, if rng.random() { Law::Mu } else { Law::A });
        }
        if chance(self.bits, rng) {
            let [low, high] = self.bit_depth.map(f64::from);
            reduce_bits(&mut x, pick([low, high + 1.0], rng) as u32);
        }
        if chance(self.codec, rng)
            && let Some(kbps) = one_of(&self.codec_kbps, rng)
        {
            x = simulate_codec(&x, kbps);
        }
        if chance(self.packet_loss, rng) {
            lose_packets(&mut x, pick(self.packet_loss_share, rng), rng);
        }
        if chance(self.trim, rng) {
            x = trim_silence(&x, rng).to_vec();
        }
        for v in &mut x {
            *v = v.clamp(-1.0, 1.0);
        }
        x
    }
}

/// Fixed conditions under which results are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AudioCondition {
    /// As it is.
    Clean,
    /// Telephone band, 8 kHz, mu-law.
    Telephone,
    /// MP3 at 32 kb/s, mono, 16 kHz: the real thing, encoded by an installed `ffmpeg` with libmp3lame.
    #[serde(rename = "mp3-32k")]
    Mp3_32k,
}

impl AudioCondition {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Clean, Self::Telephone, Self::Mp3_32k];

    /// Applies the condition; length and alignment are kept.
    ///
    /// # Errors
    /// For [`AudioCondition::Mp3_32k`] only: [`Error::Unsupported`] without an installed `ffmpeg`, [`Error::Decode`]
    /// if it fails.
    pub fn apply(self, samples: &[f32]) -> Result<Vec<f32>> {
        match self {
            Self::Clean => Ok(samples.to_vec()),
            Self::Telephone => Ok(compand(&telephone_band(samples), Law::Mu)),
            Self::Mp3_32k => lossy(samples, Codec::Mp3, 32),
        }
    }
}

/// What may happen to a recording on its way, one thing at a time: the grid of robustness tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it; `Perturbation::apply` has the figures")]
pub enum Perturbation {
    Telephone,
    Mp3_64k,
    Mp3_32k,
    Opus24k,
    Opus12k,
    Aac32k,
    LowPass,
    Noise20,
    Noise10,
    Reverberation,
    Resampled,
    Slower,
    Faster,
}

impl Perturbation {
    /// Every one of them.
    pub const ALL: [Self; 13] = [
        Self::Telephone,
        Self::Mp3_64k,
        Self::Mp3_32k,
        Self::Opus24k,
        Self::Opus12k,
        Self::Aac32k,
        Self::LowPass,
        Self::Noise20,
        Self::Noise10,
        Self::Reverberation,
        Self::Resampled,
        Self::Slower,
        Self::Faster,
    ];

    /// Short lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Telephone => "telephone",
            Self::Mp3_64k => "mp3-64k",
            Self::Mp3_32k => "mp3-32k",
            Self::Opus24k => "opus-24k",
            Self::Opus12k => "opus-12k",
            Self::Aac32k => "aac-32k",
            Self::LowPass => "low-pass-4k",
            Self::Noise20 => "noise-20db",
            Self::Noise10 => "noise-10db",
            Self::Reverberation => "reverberation",
            Self::Resampled => "resampled",
            Self::Slower => "speed-95",
            Self::Faster => "speed-105",
        }
    }

    /// Applies it: the telephone band at 8 kHz with mu-law; MP3, Opus and AAC at the bit rate in the name, mono; a low-pass
    /// at 4 kHz; pink noise at the signal-to-noise ratio in the name; a synthetic room of 0.5 s whose reverberation lies
    /// 6 dB below the direct sound; to 11,025 Hz and back; 0.95 and 1.05 times the speed, pitch included. All but the last
    /// two keep the length.
    ///
    /// # Errors
    /// For the lossy codecs only: [`Error::Unsupported`] without an installed `ffmpeg`, [`Error::Decode`] if it fails.
    pub fn apply(self, samples: &[f32], rng: &mut impl Rng) -> Result<Vec<f32>> {
        Ok(match self {
            Self::Telephone => return AudioCondition::Telephone.apply(samples),
            Self::Mp3_64k => return lossy(samples, Codec::Mp3, 64),
            Self::Mp3_32k => return lossy(samples, Codec::Mp3, 32),
            Self::Opus24k => return lossy(samples, Codec::Opus, 24),
            Self::Opus12k => return lossy(samples, Codec::Opus, 12),
            Self::Aac32k => return lossy(samples, Codec::Aac, 32),
            Self::LowPass => {
                let mut x = samples.to_vec();
                low_pass(&mut x, 4_000.0);
                x
            }
            Self::Noise20 => add_noise(samples, NoiseColour::Pink, 20.0, rng),
            Self::Noise10 => add_noise(samples, NoiseColour::Pink, 10.0, rng),
            Self::Reverberation => reverberate(samples, 0.5, -6.0, rng),
            Self::Resampled => {
                let low = resample(samples, Waveform::RATE, 11_025)?;
                let mut back = resample(&low, 11_025, Waveform::RATE)?;
                back.resize(samples.len(), 0.0);
                back
            }
            Self::Slower => change_speed(samples, 0.95),
            Self::Faster => change_speed(samples, 1.05),
        })
    }
}

/// Plays `factor` times as fast, in steps of 1 %, pitch included; 0.5 to 2 are sane and others are brought there.
pub fn change_speed(samples: &[f32], factor: f64) -> Vec<f32> {
    let percent = (100.0 * factor.clamp(0.5, 2.0)).round() as u32;
    // Whole per cent keep the ratio's terms small, and with them the resampler's blocks.
    resample(samples, percent * Waveform::RATE / 100, Waveform::RATE).unwrap_or_else(|_| samples.to_vec())
}

/// Convolves with a synthetic room: the direct sound and exponentially decaying noise that falls by 60 dB in `rt60`
/// seconds (0.02 to 3) and whose energy is `level_db` dB re the direct sound's. Length and level stay.
pub fn reverberate(samples: &[f32], rt60: f64, level_db: f64, rng: &mut impl Rng) -> Vec<f32> {
    let len = (rt60.clamp(0.02, 3.0) * RATE) as usize;
    let decay = 10.0_f64.powf(-3.0 / len as f64);
    let mut envelope = 1.0;
    let mut room: Vec<f32> = (0..len)
        .map(|_| {
            envelope *= decay;
            gaussian(rng) * envelope as f32
        })
        .collect();
    scale_to(&mut room, amplitude(level_db) / (len as f64).sqrt());
    if let Some(direct) = room.first_mut() {
        *direct = 1.0;
    }
    let mut out = convolve(samples, &room);
    out.truncate(samples.len());
    scale_to(&mut out, rms(samples));
    out
}

/// Spectrum of added noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NoiseColour {
    /// Flat.
    #[default]
    White,
    /// -3 dB per octave.
    Pink,
    /// -6 dB per octave above 20 Hz.
    Brown,
}

/// Adds noise `snr_db` dB below the signal.
pub fn add_noise(samples: &[f32], colour: NoiseColour, snr_db: f64, rng: &mut impl Rng) -> Vec<f32> {
    let mut noise = coloured(samples.len(), colour, rng);
    scale_to(&mut noise, rms(samples) * amplitude(-snr_db));
    samples.iter().zip(noise).map(|(x, n)| x + n).collect()
}

fn coloured(len: usize, colour: NoiseColour, rng: &mut impl Rng) -> Vec<f32> {
    let mut state = [0.0_f32; 6];
    (0..len)
        .map(|_| {
            let white = gaussian(rng);
            match colour {
                NoiseColour::White => white,
                NoiseColour::Pink => {
                    // Paul Kellet's sum of one-pole filters, within 0.1 dB of -3 dB per octave over nine octaves.
                    const POLES: [(f32, f32); 6] = [
                        (0.998_86, 0.055_517_9),
                        (0.993_32, 0.075_075_9),
                        (0.969, 0.153_852),
                        (0.866_5, 0.310_485_6),
                        (0.55, 0.532_952_2),
                        (-0.761_6, -0.016_898),
                    ];
                    for (s, (pole, gain)) in state.iter_mut().zip(POLES) {
                        *s = pole * *s + gain * white;
                    }
                    state.iter().sum::<f32>() + 0.536_2 * white
                }
                NoiseColour::Brown => {
                    state[0] = 0.992 * state[0] + white;
                    state[0]
                }
            }
        })
        .collect()
}

/// Changes the level by `db` dB.
pub fn change_gain(samples: &mut [f32], db: f64) {
    let factor = amplitude(db) as f32;
    for x in samples.iter_mut() {
        *x *= factor;
    }
}

/// Clips at `level` (0.01 to 1) times the peak.
pub fn clip(samples: &mut [f32], level: f64) {
    let peak = samples.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    let limit = peak * level.clamp(0.01, 1.0) as f32;
    for x in samples.iter_mut() {
        *x = x.clamp(-limit, limit);
    }
}

/// 8th-order Butterworth low-pass at `hz`.
pub fn low_pass(samples: &mut [f32], hz: f64) {
    Biquads::low_pass(8, hz).run(samples);
}

/// The band from 300 to 3400 Hz at 8 kHz, and back to 16 kHz.
pub fn telephone_band(samples: &[f32]) -> Vec<f32> {
    let mut x = samples.to_vec();
    Biquads::high_pass(4, 300.0).run(&mut x);
    Biquads::low_pass(8, 3_400.0).run(&mut x);
    at_8_khz(&x, |v| v)
}

/// 8-bit companded samples (ITU-T G.711) at 8 kHz, and back to 16 kHz.
pub fn compand(samples: &[f32], law: Law) -> Vec<f32> {
    at_8_khz(samples, |v| law.round_trip(v))
}

/// Applies `change` to the samples at 8 kHz; the length stays.
fn at_8_khz(samples: &[f32], change: impl Fn(f32) -> f32) -> Vec<f32> {
    // The rates are in range, so neither conversion fails.
    let Ok(mut narrow) = resample(samples, Waveform::RATE, NARROW) else { return samples.to_vec() };
    for x in &mut narrow {
        *x = change(*x);
    }
    let Ok(mut wide) = resample(&narrow, NARROW, Waveform::RATE) else { return samples.to_vec() };
    wide.resize(samples.len(), 0.0);
    wide
}

/// Rounds to `bits` bits (2 to 24) re full scale, without dither.
pub fn reduce_bits(samples: &mut [f32], bits: u32) {
    let steps = (1_u32 << (bits.clamp(2, 24) - 1)) as f32;
    for x in samples.iter_mut() {
        *x = (*x * steps).round() / steps;
    }
}

/// Loses the given share of 20 ms packets; each is replaced by the one before at half its level.
pub fn lose_packets(samples: &mut [f32], share: f64, rng: &mut impl Rng) {
    const PACKET: usize = 320;
    let mut before = vec![0.0; PACKET];
    for packet in samples.chunks_mut(PACKET) {
        if chance(share, rng) {
            for (x, b) in packet.iter_mut().zip(&before) {
                *x = 0.5 * b;
            }
        }
        for (b, x) in before.iter_mut().zip(packet.iter()) {
            *b = *x;
        }
    }
}

/// Cuts off a random part of what is not loud at each end (see [`activity()`]); recordings without loud frames stay.
pub fn trim_silence<'a>(samples: &'a [f32], rng: &mut impl Rng) -> &'a [f32] {
    let loud = activity(samples).loud;
    let Some(first) = loud.iter().position(|&l| l) else { return samples };
    let lead = first * vad::HOP;
    let trail = loud.iter().rev().position(|&l| l).unwrap_or_default() * vad::HOP;
    let from = rng.random_range(0..=lead);
    let to = samples.len().saturating_sub(rng.random_range(0..=trail));
    samples.get(from..to).filter(|s| !s.is_empty()).unwrap_or(samples)
}

/// Lossy codecs that an installed `ffmpeg` encodes.
#[derive(Debug, Clone, Copy)]
enum Codec {
    Mp3,
    Opus,
    Aac,
}

impl Codec {
    fn name(self) -> &'static str {
        match self {
            Self::Mp3 => "MP3",
            Self::Opus => "Opus",
            Self::Aac => "AAC",
        }
    }

    fn encoding(self) -> &'static str {
        match self {
            Self::Mp3 => "encoding MP3",
            Self::Opus => "encoding Opus",
            Self::Aac => "encoding AAC",
        }
    }

    /// Encoder, container, what it is read back as, and the samples by which it then comes late.
    ///
    /// Of an MP3 without its own note of the delay, 576 are LAME's and 529 any decoder's; AAC in ADTS begins with one
    /// frame of 1,024; Ogg Opus notes its delay.
    fn parts(self) -> ([&'static str; 2], AudioFormat, usize) {
        match self {
            Self::Mp3 => (["libmp3lame", "mp3"], AudioFormat::Mp3, 576 + 529),
            Self::Opus => (["libopus", "ogg"], AudioFormat::Ogg, 0),
            Self::Aac => (["aac", "adts"], AudioFormat::Aac, 1_024),
        }
    }
}

/// MP3, Opus or AAC at one of the rates that speech is sent at, by an installed `ffmpeg`, and back; length and alignment
/// stay.
///
/// # Errors
/// [`Error::Unsupported`] without `ffmpeg`, [`Error::Decode`] if it fails.
pub fn encode_somehow(samples: &[f32], rng: &mut impl Rng) -> Result<Vec<f32>> {
    const RATES: [(Codec, &[u32]); 3] =
        [(Codec::Opus, &[12, 16, 24, 32]), (Codec::Mp3, &[24, 32, 48, 64]), (Codec::Aac, &[24, 32, 48])];
    let Some((codec, rates)) = one_of(&RATES, rng) else { return Ok(samples.to_vec()) };
    lossy(samples, codec, one_of(rates, rng).unwrap_or(32))
}

/// Encodes with `ffmpeg` and decodes again; length and alignment stay.
fn lossy(samples: &[f32], codec: Codec, kbps: u32) -> Result<Vec<f32>> {
    if samples.is_empty() {
        return Ok(Vec::new());
    }
    let ([encoder, container], format, delay) = codec.parts();
    let failed = |reason: String| Error::Decode { format: codec.name(), reason };
    let mut child = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-f", "f32le", "-ar", "16000", "-ac", "1", "-i", "pipe:0"])
        .args(["-c:a", encoder, "-b:a", &format!("{kbps}k")])
        .args(if matches!(codec, Codec::Mp3) { &["-write_xing", "0"][..] } else { &[] })
        .args(["-f", container, "pipe:1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|_| Error::Unsupported {
            format: codec.encoding(),
            remedy: "install ffmpeg, for instance with `apt-get install ffmpeg`, or leave this condition out",
        })?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let mut encoded = Vec::new();
    // Written from another thread, or both processes could wait for each other.
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let bytes: Vec<u8> = samples.iter().flat_map(|x| x.to_le_bytes()).collect();
            // A failure shows in the exit status.
            let _ = stdin.map(|mut pipe| pipe.write_all(&bytes));
        });
        stdout.map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut encoded))
    })
    .map_err(|e| failed(e.to_string()))?;
    let status = child.wait().map_err(|e| failed(e.to_string()))?;
    if !status.success() {
        return Err(failed(format!("ffmpeg ended with {status}")));
    }
    let limits = Limits { max_seconds: samples.len() as f64 / RATE + 1.0, ..Limits::default() };
    let mut out = decode(&encoded, format, &limits)?.samples;
    out.drain(..delay.min(out.len()));
    out.resize(samples.len(), 0.0);
    Ok(out)
}

/// A number from the standard normal distribution (Box and Muller 1958).
fn gaussian(rng: &mut impl Rng) -> f32 {
    let (u, v): (f32, f32) = (1.0 - rng.random::<f32>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (std::f32::consts::TAU * v).cos()
}

/// Brings a signal to a root mean square; silence stays.
fn scale_to(samples: &mut [f32], target: f64) {
    let now = rms(samples);
    if now > 0.0 {
        let factor = (target / now) as f32;
        for x in samples.iter_mut() {
            *x *= factor;
        }
    }
}

fn amplitude(db: f64) -> f64 {
    10.0_f64.powf(db / 20.0)
}

fn chance(probability: f64, rng: &mut impl Rng) -> bool {
    rng.random::<f64>() < probability
}

fn pick([low, high]: [f64; 2], rng: &mut impl Rng) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

fn one_of<T: Copy>(choices: &[T], rng: &mut impl Rng) -> Option<T> {
    // The draw is made for an empty list too, so that the rest of the law stays in step.
    let at = (rng.random::<f64>() * choices.len() as f64) as usize;
    choices.get(at).copied()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::audio::{Stft, WindowShape};

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(7)
    }

    fn sine(hz: f64, len: usize) -> Vec<f32> {
        (0..len).map(|n| (0.5 * (std::f64::consts::TAU * hz * n as f64 / RATE).sin()) as f32).collect()
    }

    fn white(len: usize) -> Vec<f32> {
        let mut rng = rng();
        (0..len).map(|_| 0.1 * gaussian(&mut rng)).collect()
    }

    /// Mean level in dB between two frequencies.
    fn level(x: &[f32], from: f64, to: f64) -> f64 {
        let power = Stft::new(1_024, 1_024, 512, WindowShape::Hann).unwrap().power(x);
        let bins = (from / 15.625) as usize..(to / 15.625) as usize;
        let frames = power.nrows() - 2;
        let sum: f64 =
            (0..frames).flat_map(|t| bins.clone().map(move |b| (t, b))).map(|i| f64::from(power[i])).sum();
        10.0 * (sum / (frames * bins.len()) as f64).max(1e-20).log10()
    }

    fn peak_hz(x: &[f32]) -> f64 {
        let power = Stft::new(4_096, 4_096, 2_048, WindowShape::Hann).unwrap().power(x);
        let row = power.row(1);
        (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap() as f64 * 16_000.0 / 4_096.0
    }

    #[test]
    fn the_law_is_deterministic_and_bounded() {
        let law = AudioLaundering::default();
        let x = sine(300.0, 16_000);
        let mut differing = 0;
        for seed in 0..60 {
            let [a, b] = [(); 2].map(|()| law.launder(&x, &mut ChaCha8Rng::seed_from_u64(seed)));
            assert_eq!(a, b);
            assert!(!a.is_empty() && a.iter().all(|v| v.is_finite() && v.abs() <= 1.0));
            differing += usize::from(a != x);
        }
        assert!(differing > 50);
        assert_eq!(AudioLaundering::none().launder(&x, &mut rng()), x);
        let all = AudioLaundering {
            speed: 1.0,
            reverb: 1.0,
            noise: 1.0,
            rawboost: 1.0,
            gain: 1.0,
            clip: 1.0,
            band: 1.0,
            companding: 1.0,
            bits: 1.0,
            codec: 1.0,
            packet_loss: 1.0,
            trim: 1.0,
            ..law
        };
        for x in [&[][..], &[0.5], &[0.0; 700], &x] {
            let y = all.launder(x, &mut rng());
            assert!(y.is_empty() == x.is_empty() && y.iter().all(|v| v.is_finite()));
        }
    }

    #[test]
    fn settings_are_read_strictly() {
        let law: AudioLaundering = serde_json::from_str(r#"{"noise": 0.9, "snr_db": [5, 20]}"#).unwrap();
        let want = AudioLaundering { noise: 0.9, snr_db: [5.0, 20.0], ..AudioLaundering::default() };
        assert_eq!(law, want);
        assert!(serde_json::from_str::<AudioLaundering>(r#"{"nosie": 0.9}"#).is_err());
        assert_eq!(serde_json::to_string(&AudioCondition::Mp3_32k).unwrap(), r#""mp3-32k""#);
    }

    #[test]
    fn speed_moves_the_pitch() {
        for factor in [0.9, 0.97, 1.1] {
            let y = change_speed(&sine(1_000.0, 32_000), factor);
            assert!((peak_hz(&y) - 1_000.0 * factor).abs() < 5.0);
            assert!((y.len() as f64 - 32_000.0 / factor).abs() < 2.0);
        }
    }

    #[test]
    fn reverberation_decays_as_told() {
        let mut x = vec![0.0; 16_000];
        x[0] = 1.0;
        let y = reverberate(&x, 0.3, 0.0, &mut rng());
        // From 50 ms to 150 ms: a third of 60 dB.
        let fall = 20.0 * (rms(&y[400..1_200]) / rms(&y[2_000..2_800])).log10();
        assert!((fall - 20.0).abs() < 2.0, "{fall}");
        assert!((rms(&y) / rms(&x) - 1.0).abs() < 1e-3);
    }

    #[test]
    fn noise_has_its_level_and_colour() {
        let x = sine(50.0, 64_000);
        for (colour, octave) in
            [(NoiseColour::White, 0.0), (NoiseColour::Pink, -3.0), (NoiseColour::Brown, -6.0)]
        {
            let y = add_noise(&x, colour, 20.0, &mut rng());
            let noise: Vec<f32> = y.iter().zip(&x).map(|(a, b)| a - b).collect();
            assert!((20.0 * (rms(&x) / rms(&noise)).log10() - 20.0).abs() < 0.01);
            // Two octaves.
            let slope = (level(&noise, 2_000.0, 2_400.0) - level(&noise, 500.0, 600.0)) / 2.0;
            assert!((slope - octave).abs() < 0.6, "{colour:?}: {slope}");
        }
    }

    #[test]
    fn bands_are_cut() {
        let x = white(64_000);
        for hz in LOW_PASSES_HZ {
            let mut y = x.clone();
            low_pass(&mut y, hz);
            assert!(
                level(&y, 1_000.0, hz - 700.0) > level(&y, f64::min(hz + 800.0, 7_700.0), 7_900.0) + 20.0
            );
        }
        let y = telephone_band(&x);
        assert_eq!(y.len(), x.len());
        let middle = level(&y, 500.0, 3_000.0);
        assert!((middle - level(&x, 500.0, 3_000.0)).abs() < 0.5);
        assert!(level(&y, 20.0, 100.0) < middle - 35.0 && level(&y, 4_100.0, 8_000.0) < middle - 60.0);
    }

    #[test]
    fn companding_costs_about_38_db() {
        for law in [Law::Mu, Law::A] {
            let x = sine(700.0, 16_000);
            let y = compand(&x, law);
            let error: Vec<f32> = x.iter().zip(&y).map(|(a, b)| a - b).take(14_000).skip(2_000).collect();
            let snr = 20.0 * (rms(&x) / rms(&error)).log10();
            assert!((33.0..45.0).contains(&snr), "{law:?}: {snr}");
        }
    }

    #[test]
    fn small_steps_do_what_they_say() {
        let mut x = sine(100.0, 1_600);
        reduce_bits(&mut x, 8);
        assert!(x.iter().all(|v| (v * 128.0).fract() == 0.0));
        clip(&mut x, 0.5);
        assert!((x.iter().fold(0.0_f32, |m, v| m.max(*v)) - 0.25).abs() < 1e-6);
        change_gain(&mut x, -20.0);
        assert!((x.iter().fold(0.0_f32, |m, v| m.max(*v)) - 0.025).abs() < 1e-6);
        let mut y = vec![1.0; 320 * 1_000];
        lose_packets(&mut y, 0.1, &mut rng());
        let lost = y.iter().step_by(320).filter(|&&v| v < 1.0).count();
        assert!((70..130).contains(&lost), "{lost}");
    }

    #[test]
    fn only_silence_is_trimmed() {
        let mut x = vec![0.0; 48_000];
        x[16_000..32_000].copy_from_slice(&sine(200.0, 16_000));
        let mut rng = rng();
        let mut lengths = Vec::new();
        for _ in 0..20 {
            let y = trim_silence(&x, &mut rng);
            assert!((15_900..=48_000).contains(&y.len()));
            assert!((rms(y) * (y.len() as f64).sqrt() - rms(&x) * (48_000.0_f64).sqrt()).abs() < 0.5);
            lengths.push(y.len());
        }
        lengths.sort_unstable();
        assert!(lengths[19] - lengths[0] > 8_000);
        assert_eq!(trim_silence(&[0.0; 100], &mut rng).len(), 100);
    }

    #[test]
    fn conditions_keep_length_and_place() {
        let mut x = white(24_000);
        low_pass(&mut x, 3_000.0);
        for condition in AudioCondition::ALL {
            let y = match condition.apply(&x) {
                Err(Error::Unsupported { .. }) if condition == AudioCondition::Mp3_32k => continue,
                other => other.unwrap(),
            };
            assert_eq!(y.len(), x.len());
            let at = |shift: isize| -> f32 {
                (4_000..20_000_usize).map(|n| x[n] * y[n.wrapping_add_signed(shift)]).sum()
            };
            let best = (-1_500..=1_500).max_by(|&a, &b| at(a).total_cmp(&at(b))).unwrap();
            assert!(best.abs() <= 8, "{condition:?}: {best} samples late");
        }
    }

    #[test]
    fn perturbations_do_the_same_each_time_and_keep_place() {
        let mut x = white(24_000);
        low_pass(&mut x, 3_000.0);
        for p in Perturbation::ALL {
            let run = |x: &[f32]| p.apply(x, &mut rng());
            let y = match run(&x) {
                Err(Error::Unsupported { .. }) => continue,
                other => other.unwrap(),
            };
            assert_eq!(y, run(&x).unwrap(), "{}", p.name());
            assert!(y != x && run(&[]).unwrap().is_empty(), "{}", p.name());
            if matches!(p, Perturbation::Slower | Perturbation::Faster) {
                let factor = x.len() as f64 / y.len() as f64;
                assert!((factor - if p == Perturbation::Slower { 0.95 } else { 1.05 }).abs() < 0.01);
                continue;
            }
            assert_eq!(y.len(), x.len(), "{}", p.name());
            let at = |shift: isize| -> f32 {
                (4_000..20_000_usize).map(|n| x[n] * y[n.wrapping_add_signed(shift)]).sum()
            };
            let best = (-1_500..=1_500).max_by(|&a, &b| at(a).total_cmp(&at(b))).unwrap();
            assert!(best.abs() <= 8, "{}: {best} samples late", p.name());
        }
    }
}
