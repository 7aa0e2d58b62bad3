//! Marks that music services write into tags.

use crate::bytes::is_uuid;
use crate::marks::{Draft, has_word};
use crate::report::{Grade, Says, Statement};
use crate::sink::{Sink, Space};

/// Whether a text is a comment of its container.
fn is_comment(space: Space, key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    match space {
        Space::Id3 => key.starts_with("comm:") || key == "txxx:comment" || key == "txxx:description",
        Space::Mp4 => {
            matches!(key.as_str(), "©cmt" | "comment" | "com.apple.quicktime.comment" | "desc" | "©des")
        }
        Space::Chunk => matches!(key.as_str(), "icmt" | "anno" | "comments" | "comment"),
        Space::Vorbis => matches!(key.as_str(), "comment" | "description"),
        Space::Video => matches!(key.as_str(), "comment" | "description"),
        _ => false,
    }
}

pub(crate) fn read(sink: &Sink<'_>, out: &mut Vec<Statement>) {
    for text in &sink.texts {
        let value = text.value.trim();
        if text.space == Space::Id3 && (text.key == "WOAS" || text.key.starts_with('W')) {
            let id = [
                "https://suno.com/song/",
                "http://suno.com/song/",
                "https://www.suno.com/song/",
                "https://suno.ai/song/",
            ]
            .iter()
            .find_map(|start| value.strip_prefix(start));
            if id.and_then(|i| i.get(..36)).is_some_and(is_uuid) {
                let words = "The file names a song of the music generator Suno as its source.";
                let draft = Draft::new("generator/suno", Grade::Strong, Says::Ai, &text.location, words)
                    .generator("Suno")
                    .field(&text.key, value);
                out.push(draft.done());
            }
        }
        if is_comment(text.space, &text.key) {
            out.extend(suno(value).map(|(grade, words)| {
                Draft::new("generator/suno", grade, Says::Ai, &text.location, words)
                    .generator("Suno")
                    .field(&text.key, value)
                    .done()
            }));
        }
    }
}

/// `made with suno; created=<time>; id=<uuid>`, with either verb.
fn suno(value: &str) -> Option<(Grade, &'static str)> {
    let lower = value.to_ascii_lowercase();
    let phrase = has_word(&lower, "made with suno") || has_word(&lower, "made by suno");
    if !phrase {
        return None;
    }
    let part = |key: &str| {
        lower.split(';').find_map(|p| p.trim().strip_prefix(key).map(str::trim).filter(|v| !v.is_empty()))
    };
    let dated = part("created=").is_some_and(|t| t.len() >= 10 && t.starts_with("20"));
    let numbered = part("id=").is_some_and(|i| i.get(..36).is_some_and(is_uuid));
    Some(if dated || numbered {
        (Grade::Strong, "The file's comment states that it was made with the music generator Suno.")
    } else {
        (
            Grade::Weak,
            "The file's comment says that it was made with Suno, without the time and number that Suno writes.",
        )
    })
}
