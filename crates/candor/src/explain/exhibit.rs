//! What a report shows of a file: the parts of an explanation, for a page to put together.

use std::io::Cursor;

use candor_features::audio::stft::{Stft, WindowShape};
use candor_features::{Media, Pixels, Waveform};
use candor_models::ScoreMap;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::thumbnail;
use image::{ExtendedColorType, GrayImage, ImageBuffer, ImageFormat, Rgb, RgbaImage};

use super::colour::viridis;
use super::{audio, scale_limit};
use crate::{Scan, Verdict};

/// Longer side of a preview in pixels, at most.
const PREVIEW_SIDE: u32 = 960;
/// Quality of a preview's JPEG.
const PREVIEW_QUALITY: u8 = 82;
/// Seconds of a recording that can be played.
const PLAYED_SECONDS: f64 = 60.0;
/// Columns of a spectrogram, at most.
const COLUMNS: usize = 880;
/// Characters of a text that are shown.
const SHOWN_CHARS: usize = 60_000;

/// What can be shown of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Exhibit {
    /// A picture.
    Picture {
        /// The picture as JPEG, longer side at most 960 px.
        preview: Vec<u8>,
        /// Width and height of the preview in pixels.
        size: (u32, u32),
        /// Evidence as PNG, a pixel for each cell, over the whole picture; `None` when the detector gave no map.
        heat: Option<Vec<u8>>,
        /// The scale of the colours goes from minus this to plus this, in natural-log likelihood ratio.
        limit: f64,
    },
    /// A recording.
    Recording {
        /// The beginning, at most 60 s of it, as it was judged: WAV, mono, 16 kHz, 16 bit.
        wave: Vec<u8>,
        /// Seconds of the whole recording.
        seconds: f64,
        /// Waveform and score over time as SVG; `None` when the detector gave no timeline.
        timeline: Option<String>,
        /// Spectrogram of the whole recording as PNG: 0 to 8 kHz from bottom to top, dark to light over 80 dB.
        spectrogram: Vec<u8>,
    },
    /// A text.
    Text {
        /// The text in its order, in pieces.
        pieces: Vec<Marked>,
        /// As for pictures.
        limit: f64,
        /// Whether it goes on.
        cut: bool,
    },
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Marked {
    /// The characters.
    pub text: String,
    /// What they add to the evidence of the whole; `None` between the sentences that were judged.
    pub evidence: Option<f64>,
}

/// What can be shown of a scanned file; `None` when it could not be decoded.
pub fn exhibit(scan: &Scan) -> Option<Exhibit> {
    let parts = scan.evidence.as_ref().map(|e| e.parts.as_slice()).unwrap_or_default();
    let map = scan.detection.as_ref().map(|d| &d.map);
    match scan.media.as_ref()? {
        Media::Image(pixels) => picture(pixels, map, parts),
        Media::Audio(wave) => recording(&scan.verdict, wave, map, scan),
        Media::Text(document) => {
            let ranges = match map {
                Some(ScoreMap::Sentences { ranges, .. }) => ranges.as_slice(),
                _ => &[],
            };
            Some(text(&document.text, ranges, parts))
        }
    }
}

fn picture(pixels: &Pixels, map: Option<&ScoreMap>, parts: &[f64]) -> Option<Exhibit> {
    let (w, h) = (u32::try_from(pixels.width).ok()?, u32::try_from(pixels.height).ok()?);
    let source = ImageBuffer::<Rgb<u8>, &[u8]>::from_raw(w, h, &pixels.rgb)?;
    let longer = w.max(h);
    let scaled = |side: u32| {
        if longer <= PREVIEW_SIDE {
            return side;
        }
        ((u64::from(side) * u64::from(PREVIEW_SIDE) / u64::from(longer)) as u32).max(1)
    };
    let size = (scaled(w), scaled(h));
    let small = thumbnail(&source, size.0, size.1);
    let mut preview = Vec::new();
    JpegEncoder::new_with_quality(&mut preview, PREVIEW_QUALITY)
        .encode(small.as_raw(), size.0, size.1, ExtendedColorType::Rgb8)
        .ok()?;
    let limit = scale_limit(parts);
    let heat = match map {
        Some(&ScoreMap::Grid { cols, rows, .. }) if cols * rows == parts.len() && !parts.is_empty() => {
            let mut cells = RgbaImage::new(u32::try_from(cols).ok()?, u32::try_from(rows).ok()?);
            for (cell, &evidence) in cells.pixels_mut().zip(parts) {
                let [r, g, b] = viridis(f64::midpoint(evidence / limit, 1.0));
                cell.0 = [r, g, b, 255];
            }
            png(&image::DynamicImage::ImageRgba8(cells))
        }
        _ => None,
    };
    Some(Exhibit::Picture { preview, size, heat, limit })
}

fn recording(verdict: &Verdict, wave: &Waveform, map: Option<&ScoreMap>, scan: &Scan) -> Option<Exhibit> {
    let timeline = match (map, &scan.evidence) {
        (Some(ScoreMap::Timeline { windows, .. }), Some(evidence)) => {
            audio::draw(verdict, wave, windows, evidence, None)
        }
        _ => None,
    };
    let played = wave.samples.len().min((PLAYED_SECONDS * 16_000.0) as usize);
    Some(Exhibit::Recording {
        wave: wav(wave.samples.get(..played).unwrap_or_default()),
        seconds: wave.seconds(),
        timeline,
        spectrogram: spectrogram(&wave.samples)?,
    })
}

/// 16-bit mono at 16 kHz.
fn wav(samples: &[f32]) -> Vec<u8> {
    let length = 2 * samples.len() as u32;
    let mut out = Vec::with_capacity(44 + length as usize);
    out.extend(b"RIFF");
    out.extend((36 + length).to_le_bytes());
    out.extend(b"WAVEfmt ");
    out.extend(16_u32.to_le_bytes());
    out.extend(1_u16.to_le_bytes());
    out.extend(1_u16.to_le_bytes());
    out.extend(16_000_u32.to_le_bytes());
    out.extend(32_000_u32.to_le_bytes());
    out.extend(2_u16.to_le_bytes());
    out.extend(16_u16.to_le_bytes());
    out.extend(b"data");
    out.extend(length.to_le_bytes());
    for &sample in samples {
        out.extend(((sample.clamp(-1.0, 1.0) * 32_767.0).round() as i16).to_le_bytes());
    }
    out
}

/// See [`Exhibit::Recording`].
pub(super) fn spectrogram(samples: &[f32]) -> Option<Vec<u8>> {
    let columns = COLUMNS.min((samples.len() / 128).max(1));
    let hop = samples.len().div_ceil(columns).max(1);
    let stft = Stft::new(512, 512, 128, WindowShape::Hann)?;
    let bins = stft.bins();
    let mut levels = vec![f32::MIN; columns * bins];
    // A column is the mean of the frames in its stretch, so that nothing short is passed over.
    for (c, column) in levels.chunks_exact_mut(bins).enumerate() {
        let from = (c * hop).min(samples.len());
        let piece = samples.get(from..(from + hop.max(512)).min(samples.len())).unwrap_or_default();
        let power = stft.power(piece);
        for (b, level) in column.iter_mut().enumerate() {
            let mean = power.column(b).iter().sum::<f32>() / power.nrows().max(1) as f32;
            *level = 10.0 * mean.max(1e-12).log10();
        }
    }
    let top = levels.iter().copied().fold(f32::MIN, f32::max);
    let picture = GrayImage::from_fn(columns as u32, bins as u32, |x, y| {
        let level = levels.get(x as usize * bins + (bins - 1 - y as usize)).copied().unwrap_or(f32::MIN);
        image::Luma([(255.0 * (1.0 + (level - top) / 80.0).clamp(0.0, 1.0)).round() as u8])
    });
    png(&image::DynamicImage::ImageLuma8(picture))
}

fn png(picture: &image::DynamicImage) -> Option<Vec<u8>> {
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, ImageFormat::Png).ok()?;
    Some(out.into_inner())
}

fn text(text: &str, ranges: &[std::ops::Range<usize>], parts: &[f64]) -> Exhibit {
    let end = text.char_indices().nth(SHOWN_CHARS).map_or(text.len(), |(i, _)| i);
    let mut pieces = Vec::new();
    let mut done = 0;
    for (range, &evidence) in ranges.iter().zip(parts) {
        if range.start >= end {
            break;
        }
        let Some((before, sentence)) =
            text.get(done..range.start).zip(text.get(range.start..range.end.min(end)))
        else {
            continue;
        };
        if !before.is_empty() {
            pieces.push(Marked { text: before.to_owned(), evidence: None });
        }
        pieces.push(Marked { text: sentence.to_owned(), evidence: Some(evidence) });
        done = range.end.min(end);
    }
    if let Some(rest) = text.get(done..end).filter(|r| !r.is_empty()) {
        pieces.push(Marked { text: rest.to_owned(), evidence: None });
    }
    Exhibit::Text { pieces, limit: scale_limit(parts), cut: end < text.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shown_whole_and_in_order() {
        let all = "One. Two. Three.";
        let Exhibit::Text { pieces, cut, .. } = text(all, &[0..4, 5..9, 40..50], &[1.0, -1.0, 2.0]) else {
            panic!("a text")
        };
        assert_eq!(pieces.iter().map(|p| p.text.as_str()).collect::<String>(), all);
        let evidence: Vec<Option<f64>> = pieces.iter().map(|p| p.evidence).collect();
        assert_eq!(evidence, [Some(1.0), None, Some(-1.0), None]);
        assert!(!cut);
        let long = "é".repeat(SHOWN_CHARS + 10);
        let Exhibit::Text { pieces, cut, .. } = text(&long, std::slice::from_ref(&(0..long.len())), &[1.0])
        else {
            panic!("a text")
        };
        assert_eq!(pieces[0].text.chars().count(), SHOWN_CHARS);
        assert!(cut);
    }

    #[test]
    fn a_recording_can_be_heard_and_seen() {
        let samples: Vec<f32> =
            (0..32_000).map(|i| (std::f32::consts::TAU * 1000.0 * i as f32 / 16_000.0).sin()).collect();
        let played = wav(&samples);
        assert_eq!(played.len(), 44 + 64_000);
        let picture = image::load_from_memory(&spectrogram(&samples).unwrap()).unwrap().to_luma8();
        assert_eq!((picture.width(), picture.height()), (250, 257));
        // 1 kHz is bin 32 of 256 from the bottom; 6 kHz is silent.
        assert!(picture.get_pixel(100, 256 - 32).0[0] > 250);
        assert!(picture.get_pixel(100, 256 - 192).0[0] < 60);
        assert!(spectrogram(&[]).is_some());
    }

    #[test]
    fn a_picture_has_a_cell_of_heat_for_each_part() {
        let pixels = Pixels::from_rgb(2000, 1000, vec![90; 2000 * 1000 * 3]).unwrap();
        let map = ScoreMap::Grid { cols: 4, rows: 2, logits: vec![0.0; 8] };
        let shown = picture(&pixels, Some(&map), &[0.0, 1.0, 2.0, 3.0, 4.0, -1.0, -2.0, -4.0]).unwrap();
        let Exhibit::Picture { size, heat, limit, preview } = shown else { panic!("a picture") };
        assert_eq!((size, limit), ((960, 480), 4.0));
        let heat = image::load_from_memory(&heat.unwrap()).unwrap().to_rgb8();
        assert_eq!((heat.dimensions(), heat.get_pixel(0, 1).0), ((4, 2), viridis(1.0)));
        assert_eq!(image::load_from_memory(&preview).unwrap().width(), 960);
    }
}
