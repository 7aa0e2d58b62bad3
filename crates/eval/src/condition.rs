//! The conditions that items are measured under: what may happen to a file before it is judged.
//!
//! Those of training's own report come first, so that both speak of the same thing; the rest of the grid changes one
//! thing at a time.

use candor::{Media, MediaKind};
use candor_features::{
    Limits, Waveform,
    audio::{equalise, launder::Perturbation as AudioPerturbation, tile},
    image::launder::{
        Condition as ImageCondition, Perturbation as ImagePerturbation, crop, encode_jpeg, reflect_to,
    },
    text::{Quotes, TextCondition, TextLaundering, document},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// Name of the condition that leaves an item as it is.
pub const CLEAN: &str = "clean";
/// Name of the condition that makes the files of both classes alike, see [`matched`].
pub const MATCHED: &str = "matched";

/// Side of a matched picture in pixels.
const SIDE: usize = 256;
/// Length of a matched recording in samples: 4 seconds.
const SAMPLES: usize = 4 * Waveform::RATE as usize;
/// Words of a matched text.
const WORDS: usize = 150;

/// Makes an item's file like that of any other, so that size, format, rate and length tell nothing, and returns it with
/// the file's bytes: of a picture the central 256x256 pixels (continued by reflection) as JPEG of quality 60, which is coarser than what most files have been through; of a
/// recording 4 seconds, repeated if shorter, with level, band and noise floor equalised; of a text 150 words without
/// markup.
///
/// # Errors
/// A sentence, when a picture can't be encoded.
pub fn matched(media: Media) -> Result<(Media, usize), String> {
    match media {
        Media::Image(pixels) => {
            let (x, y) = (pixels.width.saturating_sub(SIDE) / 2, pixels.height.saturating_sub(SIDE) / 2);
            let square = reflect_to(crop(&pixels, x, y, SIDE, SIDE), SIDE, SIDE);
            let bytes = encode_jpeg(&square, 60, false).map_err(|error| error.to_string())?;
            let again =
                candor_features::decode(&bytes, &Limits::default()).map_err(|error| error.to_string())?;
            Ok((again, bytes.len()))
        }
        Media::Audio(wave) => {
            let samples = equalise(wave.samples.get(..SAMPLES).unwrap_or(&wave.samples));
            let samples = tile(&samples, SAMPLES);
            let (rate, format) = (Waveform::RATE, "wav/pcm_s16le".to_owned());
            let bytes = 2 * samples.len();
            let wave =
                Waveform { samples, source_rate: rate, source_channels: 1, format, warnings: Vec::new() };
            Ok((Media::Audio(wave), bytes))
        }
        Media::Text(text) => {
            let plain = TextLaundering {
                strip_formatting: true,
                truncate_words: Some(WORDS),
                flatten_newlines: true,
                quotes: Some(Quotes::Straight),
                ..TextLaundering::default()
            };
            let text = plain.launder(&text.text, &mut ChaCha8Rng::seed_from_u64(0));
            Ok((Media::Text(document(&text)), text.len()))
        }
    }
}

/// Names of the conditions of a kind of media, [`CLEAN`] first.
pub fn names(kind: MediaKind) -> Vec<String> {
    match kind {
        MediaKind::Image => {
            let fixed = ImageCondition::ALL.iter().map(|c| c.name());
            fixed.chain(ImagePerturbation::ALL.iter().map(|p| p.name())).map(str::to_owned).collect()
        }
        MediaKind::Audio => {
            let grid = AudioPerturbation::ALL.iter().map(|p| p.name());
            std::iter::once(CLEAN).chain(grid).map(str::to_owned).collect()
        }
        MediaKind::Text => TextCondition::ALL.iter().map(ToString::to_string).collect(),
    }
}

/// Puts media into a condition. What is random is drawn by the item's name and the condition alone.
///
/// # Errors
/// A sentence, when the condition is not one of this kind of media or needs a program that is not installed.
pub fn apply(media: Media, condition: &str, item: &str) -> Result<Media, String> {
    if condition == CLEAN {
        return Ok(media);
    }
    let digest = Sha256::new().chain_update(condition).chain_update([0]).chain_update(item).finalize();
    let mut rng = ChaCha8Rng::from_seed(digest.into());
    let unknown = || format!("\"{condition}\" is no condition of this kind of media");
    match media {
        Media::Image(pixels) => {
            if let Some(fixed) = ImageCondition::ALL.into_iter().find(|c| c.name() == condition) {
                return Ok(Media::Image(fixed.apply(&pixels, &mut rng)));
            }
            let found = ImagePerturbation::ALL.into_iter().find(|p| p.name() == condition);
            Ok(Media::Image(found.ok_or_else(unknown)?.apply(&pixels, &mut rng)))
        }
        Media::Audio(wave) => {
            let found = AudioPerturbation::ALL.into_iter().find(|p| p.name() == condition);
            let samples = found.ok_or_else(unknown)?.apply(&wave.samples, &mut rng);
            Ok(Media::Audio(Waveform { samples: samples.map_err(|error| error.to_string())?, ..wave }))
        }
        Media::Text(text) => {
            let found = TextCondition::ALL.into_iter().find(|c| c.to_string() == condition);
            let edited = found.ok_or_else(unknown)?.laundering().launder(&text.text, &mut rng);
            Ok(Media::Text(document(&edited)))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by a panic")]
mod tests {
    use super::*;

    #[test]
    fn conditions_do_the_same_each_time() {
        let text =
            "\"One thing,\" he said, \"is **the** other.\"\nA quiet evening follows the noisy morning. ";
        let media = || Media::Text(document(&text.repeat(20)));
        for name in names(MediaKind::Text) {
            let body = || match apply(media(), &name, "a").unwrap() {
                Media::Text(t) => t.text,
                _ => String::new(),
            };
            assert_eq!(body(), body(), "{name}");
            let same = matches!(media(), Media::Text(t) if t.text == body());
            if [CLEAN, "homoglyph", "zero-width", "whitespace", "first-50-words"].contains(&name.as_str()) {
                assert_eq!(same, name == CLEAN, "{name}");
            }
        }
        assert!(apply(media(), "telephone", "a").unwrap_err().contains("telephone"));
    }
}
