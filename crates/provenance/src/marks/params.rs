//! Parameters that generators of pictures, sound and video write into their output.

use crate::json::{self, Value};
use crate::marks::Draft;
use crate::report::{Grade, Says, Statement};
use crate::sink::{Sink, Space, Text};

const EXIF_NS: &str = "http://ns.adobe.com/exif/1.0";

/// The number behind `key` in a list `Key: value, …`.
fn number_after(text: &str, key: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find(key) {
        let before = rest.get(..at).and_then(|t| t.chars().next_back());
        rest = rest.get(at + key.len()..).unwrap_or_default();
        if before.is_none_or(|c| !c.is_alphanumeric()) && rest.starts_with(|c: char| c.is_ascii_digit()) {
            return true;
        }
    }
    false
}

/// Text in the form of AUTOMATIC1111: a line `Steps: n, …` with a sampler or a seed.
pub(crate) fn is_a1111(text: &str) -> bool {
    let mut from = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("Steps: ") {
            let rest = text.get(from..).unwrap_or_default();
            return number_after(line, "Steps: ")
                && (rest.contains("Sampler: ") || number_after(rest, "Seed: "));
        }
        from += line.len();
    }
    false
}

fn a1111_product(text: &str) -> &'static str {
    if text.contains("App: SD.Next") {
        "SD.Next"
    } else if text.contains("Version: ComfyUI") {
        "ComfyUI"
    } else if text.contains("Version: f") || text.contains("Version: neo") {
        "Stable Diffusion WebUI Forge"
    } else {
        "Stable Diffusion web UI (AUTOMATIC1111)"
    }
}

/// Whether a type of node runs a sampler. A node that only picks one does not.
fn samples(class: &str) -> bool {
    let class = class.to_ascii_lowercase();
    class.contains("sampler") && !class.ends_with("samplerselect") && !class.contains("sampler_select")
}

/// Whether the graph that was executed (`{id: {class_type, inputs}}`) has a sampler. `None` if it is no such graph.
fn prompt_samples(value: &Value) -> Option<bool> {
    let mut classes = value.entries().iter().filter_map(|(_, node)| node.get("class_type")?.str()).peekable();
    classes.peek()?;
    Some(classes.any(samples))
}

/// The same for the graph of the editor (`{nodes: [{type}], links}`); muted and bypassed nodes do not count.
fn workflow_samples(value: &Value) -> Option<bool> {
    let nodes = value.get("nodes")?.items();
    let inner =
        value.get("definitions").and_then(|d| d.get("subgraphs")).map(Value::items).unwrap_or_default();
    let inner = inner.iter().filter_map(|s| s.get("nodes")).flat_map(Value::items);
    let mut types = nodes.iter().chain(inner).filter_map(|node| {
        let mode = node.get("mode").and_then(Value::scalar).unwrap_or_default();
        (mode != "2" && mode != "4").then(|| node.get("type")?.str()).flatten()
    });
    Some(types.any(samples))
}

/// A key of `ComfyUI` in whatever container, with its JSON.
fn comfy<'a>(text: &'a Text, key: &str) -> Option<&'a str> {
    let value = text.value.trim().trim_end_matches('\0');
    if text.space == Space::Exif {
        let start = value.get(..key.len() + 1)?;
        return (start.eq_ignore_ascii_case(&format!("{key}:")))
            .then(|| value.get(key.len() + 1..))
            .flatten();
    }
    let name = text.key.trim();
    let name = match text.space {
        Space::Id3 => name.strip_prefix("TXXX:").or_else(|| name.strip_prefix("COMM:"))?,
        Space::Mp4 => name.rsplit([':', '.']).next()?,
        Space::Png | Space::Vorbis | Space::Video | Space::Chunk => name,
        _ => return None,
    };
    name.eq_ignore_ascii_case(key).then_some(value)
}

/// Keys of generation parameters that any tool may use; four of them with a prompt are more than chance.
fn looks_generated(value: &Value) -> bool {
    const KEYS: [&[&str]; 6] = [
        &["seed"],
        &["steps", "num_inference_steps", "num_steps"],
        &["sampler", "sampler_name", "scheduler", "scheduler_name"],
        &["cfg", "cfg_scale", "cfgscale", "guidance_scale", "scale", "cfgScale"],
        &["negative_prompt", "negativePrompt", "uc"],
        &["model", "model_name", "base_model", "base_model_name", "use_stable_diffusion_model", "model_hash"],
    ];
    let has = |key: &str| value.get(key).is_some();
    let prompt = has("prompt") || has("positive_prompt") || has("c");
    let known = KEYS.iter().filter(|names| names.iter().any(|n| has(n))).count();
    prompt && known >= 3
}

/// Texts of a picture, a sound or a video that may hold parameters under any of several keys.
fn is_free(text: &Text) -> bool {
    match text.space {
        Space::Png | Space::Comment => true,
        Space::Exif => {
            matches!(text.key.as_str(), "UserComment" | "ImageDescription" | "XPComment" | "Model" | "Make")
        }
        Space::Vorbis | Space::Video | Space::Mp4 => {
            let key = text.key.to_lowercase();
            ["comment", "description", "parameters", "©cmt", "©des"].iter().any(|k| key.ends_with(k))
        }
        Space::Id3 => text.key.starts_with("COMM") || text.key.starts_with("TXXX"),
        Space::Chunk => matches!(text.key.as_str(), "ICMT"),
        _ => false,
    }
}

pub(crate) fn read(sink: &Sink<'_>, out: &mut Vec<Statement>) {
    let mut found = Vec::new();
    novelai(sink, &mut found);
    invokeai(sink, &mut found);
    comfyui(sink, &mut found);
    draw_things(sink, &mut found);
    easy_diffusion(sink, &mut found);
    let taken: Vec<String> = found.iter().map(|s| s.location.place.clone()).collect();
    let scheme = sink.texts.iter().any(|t| t.space == Space::Png && t.key == "fooocus_scheme");
    for text in sink.texts.iter().filter(|t| is_free(t) && !taken.contains(&t.location.place)) {
        found.extend(free(text, scheme));
        if found.len() > sink.limits.max_statements {
            break;
        }
    }
    out.append(&mut found);
}

fn generated(id: &str, grade: Grade, product: &str, text: &Text, words: &str) -> Draft {
    Draft::new(id, grade, Says::Ai, &text.location, words)
        .generator(product)
        .field(&text.key, text.value.clone())
}

/// A1111, Fooocus, `SwarmUI`, upscalers, and JSON of tools that are not known by name.
fn free(text: &Text, fooocus_scheme: bool) -> Option<Statement> {
    let words = "The file carries the parameters with which a picture generator made it.";
    let parameters = text.space == Space::Png && text.key == "parameters";
    if parameters && fooocus_scheme {
        let json = json::parse_object(&text.value);
        let real = is_a1111(&text.value)
            || json.is_some_and(|v| v.get("prompt").is_some() || v.get("seed").is_some());
        return real.then(|| generated("generator/fooocus", Grade::Strong, "Fooocus", text, words).done());
    }
    let mut value = text.value.as_str();
    if text.space == Space::Exif {
        // A legacy form puts a key before the JSON.
        value = value.strip_prefix("parameters:").unwrap_or(value);
    }
    if let Some(json) = json::parse_object(value) {
        if json.get("sui_image_params").is_some_and(Value::is_object) {
            return Some(generated("generator/swarmui", Grade::Strong, "SwarmUI", text, words).done());
        }
        if json.get("base_model_name").is_some() && json.get("sampler_name").is_some() {
            return Some(generated("generator/fooocus", Grade::Strong, "Fooocus", text, words).done());
        }
        if looks_generated(&json) {
            let draft = Draft::new("generator/parameters", Grade::Medium, Says::Ai, &text.location, words);
            return Some(draft.field(&text.key, text.value.clone()).done());
        }
        return None;
    }
    if text.space == Space::Png && text.key == "postprocessing" && text.value.contains("Postprocess") {
        let words = "The file says that it was enlarged or otherwise processed, not that it was generated.";
        let draft =
            Draft::new("generator/a1111-postprocessing", Grade::Weak, Says::Other, &text.location, words);
        return Some(draft.field(&text.key, text.value.clone()).done());
    }
    is_a1111(value)
        .then(|| generated("generator/a1111", Grade::Strong, a1111_product(value), text, words).done())
}

/// PNG texts, or in WebP the EXIF tags `DocumentName`, `Software` and `UserComment`.
fn novelai(sink: &Sink<'_>, out: &mut Vec<Statement>) {
    let get = |space: Space, key: &str| sink.texts.iter().find(|t| t.space == space && t.key == key);
    let titled = |text: Option<&Text>| {
        text.is_some_and(|t| t.value.trim().eq_ignore_ascii_case("NovelAI generated image"))
    };
    let is_novelai = |text: Option<&Text>| text.is_some_and(|t| t.value.trim().starts_with("NovelAI"));
    let words = "The file carries the parameters that NovelAI writes.";
    for (software, title, comment) in [
        (get(Space::Png, "Software"), get(Space::Png, "Title"), get(Space::Png, "Comment")),
        (get(Space::Exif, "Software"), get(Space::Exif, "DocumentName"), get(Space::Exif, "UserComment")),
    ] {
        let Some(comment) = comment else { continue };
        if !(is_novelai(software) || titled(title)) {
            continue;
        }
        let Some(json) = json::parse_object(&comment.value) else { continue };
        // The picture's data may be wrapped once more.
        let inner = json.get("Comment").and_then(Value::str).and_then(json::parse_object);
        let json = inner.unwrap_or(json);
        if json.get("steps").is_some() && (json.get("sampler").is_some() || json.get("scale").is_some()) {
            out.push(generated("generator/novelai", Grade::Strong, "NovelAI", comment, words).done());
            return;
        }
    }
}

/// Whether a command line has this flag with a number behind it.
fn has_flag(line: &str, flag: &str) -> bool {
    line.match_indices(flag).any(|(at, _)| {
        let rest = line.get(at + flag.len()..).unwrap_or_default();
        rest.strip_prefix(' ').unwrap_or(rest).starts_with(|c: char| c.is_ascii_digit())
    })
}

fn invokeai(sink: &Sink<'_>, out: &mut Vec<Statement>) {
    let words = "The file carries the parameters that InvokeAI writes.";
    let known = ["invokeai_metadata", "sd-metadata", "Dream", "dream"];
    let texts = sink.texts.iter().filter(|t| t.space == Space::Png && known.contains(&t.key.as_str()));
    for text in texts.take(16) {
        let grade = match text.key.as_str() {
            "invokeai_metadata" => json::parse_object(&text.value).map(|v| {
                let known = [
                    "positive_prompt",
                    "generation_mode",
                    "seed",
                    "model",
                    "steps",
                    "cfg_scale",
                    "scheduler",
                ];
                if known.iter().any(|k| v.get(k).is_some()) { Grade::Strong } else { Grade::Medium }
            }),
            "sd-metadata" => json::parse_object(&text.value).and_then(|v| {
                let app = v.get("app_id").and_then(Value::str).unwrap_or_default();
                (app.eq_ignore_ascii_case("invoke-ai/InvokeAI")
                    || v.get("image").is_some_and(|i| i.get("prompt").is_some()))
                .then_some(Grade::Strong)
            }),
            "Dream" | "dream" => {
                let flags = [" -s", " -S", " -W", " -C"];
                let count = flags.iter().filter(|flag| has_flag(&text.value, flag)).count();
                (count >= 2).then_some(Grade::Strong)
            }
            _ => None,
        };
        if let Some(grade) = grade {
            out.push(generated("generator/invokeai", grade, "InvokeAI", text, words).done());
        }
    }
}

fn comfyui(sink: &Sink<'_>, out: &mut Vec<Statement>) {
    let mut graphs: Vec<(&Text, bool)> = Vec::new();
    let mut editors: Vec<(&Text, bool)> = Vec::new();
    for text in &sink.texts {
        if let Some(json) = comfy(text, "prompt").and_then(json::parse_object) {
            graphs.extend(prompt_samples(&json).map(|s| (text, s)));
        } else if let Some(json) = comfy(text, "workflow").and_then(json::parse_object) {
            editors.extend(workflow_samples(&json).map(|s| (text, s)));
        } else if is_free(text) && text.value.contains("class_type") {
            // Nodes that save video put both graphs into the comment, as objects or as strings.
            let Some(json) = json::parse_object(&text.value) else { continue };
            let prompt = json.get("prompt").or_else(|| json.get("Prompt"));
            let graph = prompt.and_then(|p| p.str().map_or_else(|| Some(p.clone()), json::parse_object));
            graphs.extend(graph.as_ref().and_then(prompt_samples).map(|s| (text, s)));
        }
    }
    // What was executed counts; the editor's graph only where that is missing.
    let found = if graphs.is_empty() { editors } else { graphs };
    let Some((text, _)) = found.iter().find(|(_, samples)| *samples).or(found.first()) else { return };
    let draft = if found.iter().any(|(_, samples)| *samples) {
        let words = "The file carries the ComfyUI graph, with a sampler, that made it.";
        Draft::new("generator/comfyui", Grade::Strong, Says::Ai, &text.location, words)
    } else {
        let words = "The file carries a ComfyUI graph without a sampler: it was processed, not generated.";
        Draft::new("generator/comfyui-processing", Grade::Weak, Says::Other, &text.location, words)
    };
    out.push(draft.generator("ComfyUI").field(&text.key, text.value.clone()).done());
}

/// XMP `exif:UserComment` holds JSON.
fn draw_things(sink: &Sink<'_>, out: &mut Vec<Statement>) {
    for packet in &sink.packets {
        for prop in packet.props.iter().filter(|p| p.top && p.name == "UserComment") {
            if prop.ns.trim_end_matches('/') != EXIF_NS {
                continue;
            }
            let text = Text {
                space: Space::Exif,
                key: "UserComment".to_owned(),
                value: prop.value.clone(),
                location: packet.location.clone(),
            };
            let json = json::parse_object(&prop.value);
            if json.is_some_and(|v| ["c", "sampler", "seed", "steps"].iter().all(|k| v.get(k).is_some())) {
                let words = "The file carries the parameters that Draw Things writes.";
                out.push(
                    generated("generator/draw-things", Grade::Strong, "Draw Things", &text, words).done(),
                );
            } else {
                out.extend(free(&text, false));
            }
        }
    }
}

fn easy_diffusion(sink: &Sink<'_>, out: &mut Vec<Statement>) {
    let get = |keys: &[&str]| {
        sink.texts
            .iter()
            .find(|t| t.space == Space::Png && keys.iter().any(|k| t.key.eq_ignore_ascii_case(k)))
    };
    let words = "The file carries the parameters that Easy Diffusion writes.";
    if let (Some(prompt), Some(_)) = (get(&["prompt"]), get(&["negative_prompt", "Negative Prompt"])) {
        let seeded = get(&["seed"]).is_some()
            || get(&["sampler_name", "Sampler", "num_inference_steps", "Steps", "Inference Steps"]).is_some();
        let grade = if seeded { Grade::Strong } else { Grade::Medium };
        out.push(generated("generator/easy-diffusion", grade, "Easy Diffusion", prompt, words).done());
        return;
    }
    for text in sink.texts.iter().filter(|t| t.space == Space::Exif && t.key == "UserComment").take(16) {
        let json = json::parse_object(&text.value);
        let known = ["prompt", "negative_prompt", "seed", "use_stable_diffusion_model"];
        if json.is_some_and(|v| known.iter().all(|k| v.get(k).is_some())) {
            out.push(
                generated("generator/easy-diffusion", Grade::Strong, "Easy Diffusion", text, words).done(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a1111_needs_steps_and_a_sampler_or_a_seed() {
        assert!(is_a1111("a cat\nNegative prompt: x\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1"));
        assert!(is_a1111("Steps: 8, Seed: 12"));
        assert!(!is_a1111("Steps: 8, exposure: 2"));
        assert!(!is_a1111("Steps to reproduce: none, Seed: 12"));
        assert!(!is_a1111("{\"steps\": 12}"));
    }

    #[test]
    fn graphs_count_with_a_sampler_only() {
        let of = |class: &str| {
            let json = format!("{{\"1\": {{\"class_type\": \"{class}\", \"inputs\": {{\"x\": NaN}}}}}}");
            prompt_samples(&json::parse_object(&json).unwrap())
        };
        assert_eq!(of("KSampler"), Some(true));
        assert_eq!(of("SamplerCustomAdvanced"), Some(true));
        assert_eq!(of("KSamplerSelect"), Some(false));
        assert_eq!(of("ImageScale"), Some(false));
        assert_eq!(prompt_samples(&json::parse_object("{\"a\": 1}").unwrap()), None);
        let muted =
            r#"{"nodes": [{"type": "KSampler", "mode": 4}, {"type": "SaveImage", "mode": 0}], "links": []}"#;
        assert_eq!(workflow_samples(&json::parse_object(muted).unwrap()), Some(false));
    }
}
