//! The conditions that items are measured under: what may happen to a file before it is judged.
//!
//! They are those of training's own report, so that both speak of the same thing.

use candor::{Media, MediaKind};
use candor_features::{
    Waveform,
    audio::AudioCondition,
    image::launder::Condition as ImageCondition,
    text::{TextCondition, document},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// Name of the condition that leaves an item as it is.
pub const CLEAN: &str = "clean";

/// Names of the conditions of a kind of media, [`CLEAN`] first.
pub fn names(kind: MediaKind) -> Vec<String> {
    match kind {
        MediaKind::Image => ImageCondition::ALL.iter().map(|c| c.name().to_owned()).collect(),
        MediaKind::Audio => AudioCondition::ALL.iter().map(|c| audio_name(*c).to_owned()).collect(),
        MediaKind::Text => TextCondition::ALL.iter().map(ToString::to_string).collect(),
    }
}

fn audio_name(condition: AudioCondition) -> &'static str {
    match condition {
        AudioCondition::Clean => CLEAN,
        AudioCondition::Telephone => "telephone",
        AudioCondition::Mp3_32k => "mp3-32k",
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
            let found = ImageCondition::ALL.into_iter().find(|c| c.name() == condition);
            Ok(Media::Image(found.ok_or_else(unknown)?.apply(&pixels, &mut rng)))
        }
        Media::Audio(wave) => {
            let found = AudioCondition::ALL.into_iter().find(|c| audio_name(*c) == condition);
            let samples =
                found.ok_or_else(unknown)?.apply(&wave.samples).map_err(|error| error.to_string())?;
            Ok(Media::Audio(Waveform { samples, ..wave }))
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
            if [CLEAN, "homoglyph", "zero-width", "whitespace", "truncated"].contains(&name.as_str()) {
                assert_eq!(same, name == CLEAN, "{name}");
            }
        }
        assert!(apply(media(), "telephone", "a").unwrap_err().contains("telephone"));
    }
}
