//! Statements in XMP, IPTC-IIM and EXIF (IPTC Photo Metadata Standard 2025.1, XMP basic, CIPA DC-008), and a few
//! vendors' own marks in them.

use crate::bytes::{base64, is_uuid};
use crate::json::{self, Value};
use crate::marks::{Draft, has_word, source_type};
use crate::report::{Grade, Location, Says, Statement, WarningCode};
use crate::sink::{Sink, Space, Text};

const IPTC_EXT: &str = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/";
const PHOTOSHOP: &str = "http://ns.adobe.com/photoshop/1.0/";
const XMP_BASIC: &str = "http://ns.adobe.com/xap/1.0/";
const TIFF: &str = "http://ns.adobe.com/tiff/1.0/";
const DCTERMS: &str = "http://purl.org/dc/terms/";
const GOOGLE_CREDIT: &str = "Made with Google AI";

/// Programs that do nothing but generate, by the names that they write into fields for the maker or the program.
const GENERATORS: &[&str] = &[
    "Adobe Firefly",
    "Aphrodite AI",
    "ComfyUI",
    "DALL-E",
    "DALL·E",
    "Draw Things",
    "DreamStudio",
    "Fooocus",
    "Ideogram AI",
    "InvokeAI",
    "Leonardo.Ai",
    "Midjourney",
    "NovelAI",
    "Recraft AI",
    "reve.com",
    "Stable Diffusion",
    "Stable Diffusion XL",
    "SwarmUI",
];

fn same(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}

pub(crate) fn read(sink: &mut Sink<'_>, out: &mut Vec<Statement>) {
    let mut remote = false;
    for packet in &sink.packets {
        let get = |ns: &str, name: &str| {
            packet.props.iter().find(|p| p.top && p.name == name && same(&p.ns, ns)).map(|p| p.value.trim())
        };
        let credit = get(PHOTOSHOP, "Credit").unwrap_or_default();
        let by_google = has_word(credit, GOOGLE_CREDIT);
        let typed = get(IPTC_EXT, "DigitalSourceType").map(|v| ("DigitalSourceType", v));
        let typed =
            typed.or_else(|| get(IPTC_EXT, "DigitalSourceFileType").map(|v| ("DigitalSourceFileType", v)));
        let system = get(IPTC_EXT, "AISystemUsed").filter(|v| !v.is_empty());
        if let Some((key, value)) = typed
            && let Some(source) = source_type(value)
        {
            let grade = if source.says == Says::Other { Grade::Weak } else { Grade::Strong };
            let words = format!("The file's XMP metadata states that it {}.", source.words);
            let mut draft =
                Draft::new("xmp/digital-source-type", grade, source.says, &packet.location, words)
                    .field(key, value);
            if by_google {
                draft = draft.field("Credit", credit);
            }
            if let Some(name) = system.filter(|_| source.says.is_ai()) {
                draft = draft.generator(name);
            } else if by_google && source.says.is_ai() {
                draft = draft.generator("Google AI");
            }
            out.push(draft.done());
        }
        let prompt = get(IPTC_EXT, "AIPromptInformation").filter(|v| !v.is_empty());
        if system.is_some() || prompt.is_some() {
            let words = "The file's XMP metadata names the AI system that was used, or its prompt.";
            let mut draft = Draft::new("xmp/ai-system", Grade::Strong, Says::Ai, &packet.location, words);
            for key in ["AISystemUsed", "AISystemVersionUsed", "AIPromptInformation", "AIPromptWriterName"] {
                if let Some(value) = get(IPTC_EXT, key).filter(|v| !v.is_empty()) {
                    draft = draft.field(key, value);
                }
            }
            if let Some(name) = system {
                draft = draft.generator(name);
            }
            out.push(draft.done());
        }
        if by_google && typed.and_then(|(_, v)| source_type(v)).is_none() {
            out.push(google(credit, "Credit", &packet.location));
        }
        for (ns, name, key) in [
            (XMP_BASIC, "CreatorTool", "xmp:CreatorTool"),
            (TIFF, "Software", "tiff:Software"),
            (TIFF, "Make", "tiff:Make"),
            (TIFF, "Model", "tiff:Model"),
        ] {
            if let Some(value) = get(ns, name) {
                out.extend(named(key, value, &packet.location));
            }
        }
        if let Some(value) = get(DCTERMS, "provenance") {
            remote |= value.starts_with("http://") || value.starts_with("https://");
        }
    }
    if remote && sink.stores.is_empty() {
        sink.warn(
            WarningCode::Remote,
            "the file names an address where Content Credentials are kept; it is not asked",
        );
    }
    for text in &sink.texts {
        match (text.space, text.key.as_str()) {
            (Space::Iim, "2:110") if has_word(&text.value, GOOGLE_CREDIT) => {
                out.push(google(&text.value, "IPTC 2:110", &text.location));
            }
            (Space::Exif, "Software" | "Make" | "Model")
            | (Space::Png, "Software")
            | (Space::Pdf, "Creator" | "Producer") => {
                out.extend(named(&text.key, &text.value, &text.location));
            }
            (Space::Comment, "samsung:PEg_Info") => out.extend(samsung(text)),
            _ => {}
        }
    }
    grok(sink, out);
    png(sink, out);
}

fn google(credit: &str, key: &str, location: &Location) -> Statement {
    let words = "The file's credit line states that it was made with Google AI.";
    Draft::new("iptc/credit", Grade::Medium, Says::Ai, location, words)
        .generator("Google AI")
        .field(key, credit)
        .done()
}

/// A generator named as maker or program. Only the whole value counts, perhaps with a version behind it.
fn named(key: &str, value: &str, location: &Location) -> Option<Statement> {
    let value = value.trim().trim_end_matches('\0');
    let name = GENERATORS.iter().find(|name| {
        value.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
            && value.get(name.len()..).is_some_and(|rest| {
                let rest = rest.trim_start_matches([' ', '/', '-', '_', '(', 'v', 'V']);
                rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit())
            })
    })?;
    let words = "The file names a generator of pictures as the program that made it.";
    let draft = Draft::new("metadata/generator-name", Grade::Strong, Says::Ai, location, words);
    Some(draft.generator(*name).field(key, value).done())
}

/// `PEg_Info{"genImageVersion": …, "genAIType": n}` behind the end of a picture.
fn samsung(text: &Text) -> Option<Statement> {
    let info = json::parse_object(&text.value)?;
    let kind = info.get("genAIType").and_then(Value::scalar)?;
    let draft = if kind == "0" {
        let words = "The file's Samsung trailer says that no generative edit was made.";
        Draft::new("samsung-trailer", Grade::Weak, Says::Other, &text.location, words)
    } else {
        let words = "The file's Samsung trailer states that a generative edit was made.";
        Draft::new("samsung-trailer", Grade::Strong, Says::AiEdited, &text.location, words)
            .generator("Samsung Photo assist")
    };
    Some(draft.field("genAIType", kind).done())
}

/// xAI: Artist is a UUID and `ImageDescription` a signature in base64. Only both together count.
fn grok(sink: &Sink<'_>, out: &mut Vec<Statement>) {
    let get = |key: &str| sink.texts.iter().find(|t| t.space == Space::Exif && t.key == key);
    let (Some(artist), Some(description)) = (get("Artist"), get("ImageDescription")) else { return };
    let Some(signature) = description.value.trim().strip_prefix("Signature: ") else { return };
    if is_uuid(artist.value.trim()) && signature.len() >= 64 && base64(signature, 4096).is_some() {
        let words = "The file carries the signature and identifier that xAI's Grok writes; they cannot be checked here.";
        let draft = Draft::new("generator/grok", Grade::Strong, Says::Ai, &description.location, words)
            .generator("xAI Grok")
            .field("Artist", artist.value.trim())
            .field("ImageDescription", description.value.trim());
        out.push(draft.done());
    }
}

/// Midjourney, Luma and Hugging Face write PNG texts of their own.
fn png(sink: &Sink<'_>, out: &mut Vec<Statement>) {
    let get = |key: &str| sink.texts.iter().find(|t| t.space == Space::Png && t.key == key);
    let job = |value: &str| {
        let at = value.rfind("Job ID: ")?;
        let id = value.get(at + 8..)?.get(..36)?;
        is_uuid(id).then(|| id.to_owned())
    };
    let mut jobs = 0;
    for text in &sink.texts {
        if jobs >= 16 {
            break;
        }
        let described = matches!(
            (text.space, text.key.as_str()),
            (Space::Png, "Description") | (Space::Exif, "ImageDescription")
        );
        if described && let Some(id) = job(&text.value) {
            jobs += 1;
            let flags =
                ["--v ", "--ar ", "--niji", "--stylize", "--s ", "--chaos", "--style", "--seed", "--q "];
            let flagged = flags.iter().any(|f| text.value.contains(f));
            let same_id =
                sink.packets.iter().flat_map(|p| &p.props).any(|p| p.name == "DigImageGUID" && p.value == id);
            let grade = if flagged || same_id { Grade::Strong } else { Grade::Medium };
            let words = "The file's description ends with the job number that Midjourney writes.";
            let draft = Draft::new("generator/midjourney", grade, Says::Ai, &text.location, words)
                .generator("Midjourney")
                .field("Description", text.value.clone());
            out.push(draft.done());
        }
    }
    if let (Some(source), Some(comment)) = (get("Source"), get("Comment"))
        && source.value.trim() == "Luma AI"
        && comment.value.starts_with("Generated by Luma AI")
    {
        let words = "The file's texts state that it was generated by Luma AI.";
        let draft = Draft::new("generator/luma", Grade::Strong, Says::Ai, &comment.location, words)
            .generator("Luma AI")
            .field("Comment", comment.value.clone());
        out.push(draft.done());
    }
    if let Some(id) = get("hf-job-id") {
        let words = "The file carries the number of an inference job of Hugging Face.";
        let draft = Draft::new("generator/hugging-face", Grade::Medium, Says::Ai, &id.location, words)
            .generator("Hugging Face")
            .field("hf-job-id", id.value.clone());
        out.push(draft.done());
    }
}
