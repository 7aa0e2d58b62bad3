//! Decodes compressed or plain audio to mono at 16 kHz.

use std::io::Cursor;

use symphonia::core::{
    codecs::audio::{AudioCodecId, AudioDecoder, AudioDecoderOptions, well_known::CODEC_ID_OPUS},
    errors::Error as Fault,
    formats::{FormatOptions, FormatReader, TrackType, probe::Hint},
    io::{MediaSourceStream, MediaSourceStreamOptions},
    meta::MetadataOptions,
};

use super::resample::Converter;
use crate::{Error, Limits, Result, Warning, WarningCode, Waveform, sniff::AudioFormat};

/// Name of the thread that decodes. A program may keep its panic hook quiet for this name: a panic there is caught
/// and returned as [`Error::Decode`].
pub const DECODER_THREAD: &str = "candor-audio-decoder";

/// Undecodable packets that are skipped before the rest of the file is given up.
const MAX_BAD_PACKETS: usize = 256;
/// Changes of the sample rate or of the track list within one file.
const MAX_RESTARTS: usize = 16;
/// Most channels of a file.
const MAX_CHANNELS: usize = 64;
/// Samples beyond this magnitude are clamped.
const MAX_MAGNITUDE: f32 = 8.0;

/// Decodes the first audio track of a file to mono at [`Waveform::RATE`], channels averaged.
///
/// The container and the codec are found from the bytes; `format` is not needed. Nothing is allocated from lengths
/// that the file claims, and at most [`Limits::max_seconds`] are decoded. A damaged file gives what was read before
/// the damage, with [`WarningCode::Truncated`]. The work runs on a thread of its own ([`DECODER_THREAD`]), so that a
/// panic inside a decoder ends only that thread.
///
/// # Errors
/// [`Error::Empty`], [`Error::Decode`], [`Error::Limit`] for the sample rate or the channels, or
/// [`Error::Unsupported`] for a codec that is not read.
pub fn decode(bytes: &[u8], format: AudioFormat, limits: &Limits) -> Result<Waveform> {
    let _ = format;
    if bytes.is_empty() {
        return Err(Error::Empty);
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(DECODER_THREAD.into());
        let handle = thread
            .spawn_scoped(scope, || decode_here(bytes, limits))
            .map_err(|e| fail(&format!("cannot start a thread: {e}")))?;
        handle.join().unwrap_or_else(|_| Err(fail("the decoder broke down on malformed data")))
    })
}

fn decode_here(bytes: &[u8], limits: &Limits) -> Result<Waveform> {
    let stream = MediaSourceStream::new(Box::new(Cursor::new(bytes)), MediaSourceStreamOptions::default());
    let mut reader = symphonia::default::get_probe()
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(|e| fail(&format!("no readable audio stream: {e}")))?;
    let container = match reader.format_info().short_name {
        "wave" => "wav",
        other => other,
    };
    let mut track = Track::first(reader.as_ref())?;
    let format = format!("{container}/{}", track.decoder.codec_info().short_name);
    let mut sink = Sink::new((limits.max_seconds.max(0.0) * f64::from(Waveform::RATE)) as usize);
    let mut bad = 0;
    let mut restarts = 0;
    // A packet that yields no samples costs the file at least some bytes, or it is one of few.
    let mut idle = 10_000 + bytes.len() / 8;
    let mut damage: Option<String> = None;
    while !sink.full() && idle > 0 {
        let packet = match reader.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            Err(Fault::ResetRequired) if restarts < MAX_RESTARTS => {
                restarts += 1;
                track = Track::first(reader.as_ref())?;
                continue;
            }
            Err(e) => {
                damage = Some(e.to_string());
                break;
            }
        };
        if packet.track_id != track.id {
            idle -= 1;
            continue;
        }
        match track.decoder.decode(&packet) {
            Ok(buffer) => {
                if buffer.frames() == 0 {
                    idle -= 1;
                    continue;
                }
                let (rate, channels) = (buffer.spec().rate(), buffer.spec().channels().count());
                buffer.copy_to_vec_interleaved(&mut sink.interleaved);
                sink.push(rate, channels)?;
            }
            Err(Fault::ResetRequired) if restarts < MAX_RESTARTS => {
                restarts += 1;
                track = Track::first(reader.as_ref())?;
            }
            Err(e @ (Fault::DecodeError(_) | Fault::IoError(_))) if bad < MAX_BAD_PACKETS => {
                bad += 1;
                damage.get_or_insert_with(|| e.to_string());
            }
            Err(e) => {
                damage = Some(e.to_string());
                break;
            }
        }
    }
    if idle == 0 {
        damage.get_or_insert_with(|| "too many packets without samples".into());
    }
    sink.finish(format, track.claimed_frames, bad, damage)
}

/// The track that is decoded.
struct Track {
    id: u32,
    decoder: Box<dyn AudioDecoder>,
    /// Length that the file claims, in frames.
    claimed_frames: Option<u64>,
}

impl Track {
    /// The first audio track whose codec is known, else the first.
    fn first(reader: &(dyn FormatReader + '_)) -> Result<Self> {
        let track = reader
            .first_track_known_codec(TrackType::Audio)
            .or_else(|| reader.first_track(TrackType::Audio))
            .ok_or_else(|| fail("the file has no audio track"))?;
        let params = track
            .codec_params
            .as_ref()
            .and_then(|p| p.audio())
            .ok_or_else(|| fail("the audio track has no parameters"))?;
        if let Some(channels) = &params.channels {
            check_channels(channels.count())?;
        }
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(params, &AudioDecoderOptions::default())
            .map_err(|e| match e {
                Fault::Unsupported(_) => unsupported(params.codec),
                other => fail(&other.to_string()),
            })?;
        Ok(Self { id: track.id, decoder, claimed_frames: track.num_frames })
    }
}

/// Collects decoded packets as mono samples at the common rate.
struct Sink {
    samples: Vec<f32>,
    max: usize,
    /// The packet in work: interleaved channels, then mono.
    interleaved: Vec<f32>,
    mono: Vec<f32>,
    converter: Option<(u32, Converter)>,
    rate: u32,
    channels: usize,
    changes: usize,
    /// Frames decoded, at the file's rate.
    frames: u64,
    mended: u64,
}

impl Sink {
    fn new(max: usize) -> Self {
        Self {
            samples: Vec::new(),
            max,
            interleaved: Vec::new(),
            mono: Vec::new(),
            converter: None,
            rate: 0,
            channels: 0,
            changes: 0,
            frames: 0,
            mended: 0,
        }
    }

    fn full(&self) -> bool {
        self.samples.len() >= self.max
    }

    /// Takes the packet in `interleaved`.
    fn push(&mut self, rate: u32, channels: usize) -> Result<()> {
        check_channels(channels)?;
        for x in &mut self.interleaved {
            let mended = if x.is_finite() { x.clamp(-MAX_MAGNITUDE, MAX_MAGNITUDE) } else { 0.0 };
            self.mended += u64::from(mended.to_bits() != x.to_bits());
            *x = mended;
        }
        self.mono.clear();
        let scale = 1.0 / channels as f32;
        self.mono.extend(self.interleaved.chunks_exact(channels).map(|f| f.iter().sum::<f32>() * scale));
        self.frames += self.mono.len() as u64;
        if self.frames == self.mono.len() as u64 {
            (self.rate, self.channels) = (rate, channels);
        }
        if self.converter.as_ref().is_none_or(|(r, _)| *r != rate) {
            if let Some((_, old)) = self.converter.take() {
                self.changes += 1;
                if self.changes > MAX_RESTARTS {
                    return Err(fail("the sample rate keeps changing"));
                }
                old.finish(&mut self.samples)?;
            }
            self.converter = Some((rate, Converter::new(rate, Waveform::RATE)?));
        }
        if let Some((_, converter)) = &mut self.converter {
            converter.push(&self.mono, &mut self.samples)?;
        }
        Ok(())
    }

    fn finish(
        mut self,
        format: String,
        claimed: Option<u64>,
        bad: usize,
        damage: Option<String>,
    ) -> Result<Waveform> {
        let full = self.full();
        if let Some((_, converter)) = self.converter.take() {
            converter.finish(&mut self.samples)?;
        }
        self.samples.truncate(self.max);
        if self.samples.is_empty() {
            return Err(fail(&damage.map_or("no samples".into(), |d| format!("no samples ({d})"))));
        }
        let mut warnings = Vec::new();
        let mut warn = |code, message: String| warnings.push(Warning::new(code, message));
        if full {
            let seconds = self.samples.len() as f64 / f64::from(Waveform::RATE);
            warn(WarningCode::LimitReached, format!("only the first {seconds:.0} s were decoded"));
        }
        // Encoders pad, so a few lost frames are no damage.
        let short = claimed.filter(|&c| !full && self.frames + c / 50 + u64::from(self.rate) / 5 < c);
        match (damage, short) {
            (Some(d), _) if bad > 0 => {
                warn(WarningCode::Truncated, format!("{bad} damaged packets were skipped: {d}"));
            }
            (Some(d), _) => warn(WarningCode::Truncated, format!("the file ends early or is damaged: {d}")),
            (None, Some(claimed)) => warn(
                WarningCode::Truncated,
                format!("the file claims {claimed} frames and holds {}", self.frames),
            ),
            (None, None) => {}
        }
        if self.mended > 0 {
            warn(
                WarningCode::BadSamples,
                format!(
                    "{} samples were not finite or beyond +-{MAX_MAGNITUDE} and were mended",
                    self.mended
                ),
            );
        }
        Ok(Waveform {
            samples: self.samples,
            source_rate: self.rate,
            source_channels: self.channels as u16,
            format,
            warnings,
        })
    }
}

fn check_channels(channels: usize) -> Result<()> {
    match channels {
        0 => Err(fail("the file has no channels")),
        1..=MAX_CHANNELS => Ok(()),
        _ => Err(Error::Limit { what: "channels", value: channels as u64, limit: MAX_CHANNELS as u64 }),
    }
}

fn unsupported(codec: AudioCodecId) -> Error {
    let remedy = "convert it first, for instance with `ffmpeg -i FILE -ar 16000 -ac 1 OUT.wav`";
    let format = if codec == CODEC_ID_OPUS { "Opus" } else { "this audio codec" };
    Error::Unsupported { format, remedy }
}

fn fail(reason: &str) -> Error {
    Error::Decode { format: "audio", reason: reason.into() }
}
