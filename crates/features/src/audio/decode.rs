//! Decodes compressed or plain audio to mono at 16 kHz.

use std::io::{Cursor, Read, Seek, SeekFrom};

use symphonia::core::{
    codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions, well_known::CODEC_ID_OPUS},
    errors::Error as Fault,
    formats::{FormatOptions, FormatReader, TrackType, probe::Hint},
    io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions},
    meta::MetadataOptions,
    packet::Packet,
};

use super::{
    opus::{self, OpusTrack},
    resample::Converter,
};
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
/// Samples of all channels that are decoded of one file: half an hour of stereo at 24 kHz. High rates and many channels
/// cost time, not output, so the limit on seconds alone would not bound them.
const MAX_VALUES: u64 = 96_000_000;
/// Samples beyond this magnitude are clamped.
const MAX_MAGNITUDE: f32 = 8.0;

/// What to do with a file whose codec is not read.
pub(super) const CONVERT: &str = "convert it first, for instance with `ffmpeg -i FILE -ac 1 OUT.wav`";

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
    let source: Box<dyn MediaSource + '_> = if bytes.starts_with(b"RIFF") {
        Box::new(Riff(Cursor::new(bytes)))
    } else {
        Box::new(Cursor::new(bytes))
    };
    let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
    let mut reader = symphonia::default::get_probe()
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(|e| fail(&format!("no readable audio stream: {e}")))?;
    let container = match reader.format_info().short_name {
        "wave" => "wav",
        other => other,
    };
    let mut track = Track::first(reader.as_ref())?;
    let format = format!("{container}/{}", track.codec.name());
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
            // How a WAV of unknown length ends.
            Err(Fault::IoError(_)) if container == "wav" && track.claimed_frames.is_none() => break,
            Err(e) => {
                damage = Some(e.to_string());
                break;
            }
        };
        if packet.track_id != track.id {
            idle -= 1;
            continue;
        }
        match track.codec.decode(&packet, &mut sink.interleaved) {
            Ok(_) if sink.interleaved.is_empty() => idle -= 1,
            Ok((rate, channels)) => sink.push(rate, channels)?,
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

/// A RIFF file that claims to be of unknown length.
///
/// Writers that were interrupted leave a length of zero or an old one, which the reader would believe more than the
/// samples that are there.
struct Riff<'a>(Cursor<&'a [u8]>);

impl Read for Riff<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let start = self.0.position();
        let count = self.0.read(buffer)?;
        for (at, byte) in (start..).zip(buffer.iter_mut().take(count)) {
            if (4..8).contains(&at) {
                *byte = 0xff;
            }
        }
        Ok(count)
    }
}

impl Seek for Riff<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

impl MediaSource for Riff<'_> {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.0.get_ref().len() as u64)
    }
}

/// The track that is decoded.
struct Track {
    id: u32,
    codec: Codec,
    /// Length that the file claims, in frames.
    claimed_frames: Option<u64>,
}

enum Codec {
    Opus(Box<OpusTrack>),
    Other(Box<dyn AudioDecoder>),
}

impl Codec {
    fn new(params: &AudioCodecParameters) -> Result<Self> {
        if params.codec == CODEC_ID_OPUS {
            return Ok(Self::Opus(Box::new(OpusTrack::new(params)?)));
        }
        let decoder = symphonia::default::get_codecs()
            .make_audio_decoder(params, &AudioDecoderOptions::default())
            .map_err(|e| match e {
                Fault::Unsupported(_) => {
                    Error::Unsupported { format: "this audio codec or channel layout", remedy: CONVERT }
                }
                other => fail(&other.to_string()),
            })?;
        Ok(Self::Other(decoder))
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Opus(_) => "opus",
            Self::Other(decoder) => decoder.codec_info().short_name,
        }
    }

    /// Decodes into `out`, interleaved; returns the rate and the channels.
    fn decode(&mut self, packet: &Packet, out: &mut Vec<f32>) -> std::result::Result<(u32, usize), Fault> {
        match self {
            Self::Opus(track) => {
                let channels = track.channels;
                let samples = track.decode(packet).ok_or(Fault::DecodeError("opus: damaged packet"))?;
                out.clear();
                out.extend_from_slice(samples);
                Ok((opus::RATE, channels))
            }
            Self::Other(decoder) => {
                let buffer = decoder.decode(packet)?;
                buffer.copy_to_vec_interleaved(out);
                Ok((buffer.spec().rate(), buffer.spec().channels().count()))
            }
        }
    }
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
        Ok(Self { id: track.id, codec: Codec::new(params)?, claimed_frames: track.num_frames })
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
    /// Samples decoded, of all channels.
    values: u64,
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
            values: 0,
            mended: 0,
        }
    }

    fn full(&self) -> bool {
        self.samples.len() >= self.max || self.values >= MAX_VALUES
    }

    /// Takes the packet in `interleaved`.
    fn push(&mut self, rate: u32, channels: usize) -> Result<()> {
        check_channels(channels)?;
        self.values += self.interleaved.len() as u64;
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

fn fail(reason: &str) -> Error {
    Error::Decode { format: "audio", reason: reason.into() }
}
