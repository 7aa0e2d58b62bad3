//! Marks in plain text: what chat products leave when their answers are copied, characters that are not seen, and the
//! explicit label of Chinese services.

use std::sync::LazyLock;

use regex::Regex;

use crate::bytes::clip;
use crate::marks::Draft;
use crate::report::{Grade, Location, Says, Statement};
use crate::sink::{Sink, place};

struct Mark {
    id: &'static str,
    pattern: &'static str,
    grade: Grade,
    says: Says,
    product: &'static str,
    words: &'static str,
}

const COPIED: &str = "The file holds a citation mark that a chat product leaves in copied answers.";
const LINK: &str = "The file holds a link that only a chat product makes.";

#[rustfmt::skip]
const MARKS: &[Mark] = &[
    Mark { id: "text/chatgpt-citation", grade: Grade::Strong, says: Says::AiAssisted, product: "ChatGPT", words: COPIED,
        pattern: r"\b(?:cite|navlist|i)?turn\d{1,4}(?:search|image|news|file|view|fetch|product|forecast|finance|sports|calculator|time|maps)\d{1,4}(?:turn\d|\b)" },
    Mark { id: "text/chatgpt-citation", grade: Grade::Strong, says: Says::AiAssisted, product: "ChatGPT", words: COPIED,
        pattern: r"[\u{E200}-\u{E202}](?:cite|navlist|i|turn\d)" },
    Mark { id: "text/chatgpt-citation", grade: Grade::Strong, says: Says::AiAssisted, product: "ChatGPT", words: COPIED,
        pattern: r":?contentReference\[oaicite:\d+\]\{index=\d+\}|\boaicite\b|\boai_citation\b" },
    Mark { id: "text/chatgpt-citation", grade: Grade::Strong, says: Says::AiAssisted, product: "ChatGPT", words: COPIED,
        pattern: r#"\(\{"attribution":\{"attributableIndex":""# },
    Mark { id: "text/file-citation", grade: Grade::Strong, says: Says::AiAssisted, product: "OpenAI assistants or DeepSeek", words: COPIED,
        pattern: r"【\d+(?::\d+)?†[^】\n]+】" },
    Mark { id: "text/chatgpt-sandbox", grade: Grade::Strong, says: Says::AiAssisted, product: "ChatGPT", words: LINK,
        pattern: r"sandbox:/mnt/data/" },
    Mark { id: "text/chatgpt-block", grade: Grade::Medium, says: Says::AiAssisted, product: "ChatGPT", words: COPIED,
        pattern: r":::writing\{" },
    Mark { id: "text/gemini-citation", grade: Grade::Strong, says: Says::AiAssisted, product: "Gemini", words: COPIED,
        pattern: r"\[cite_start\]|\[cite:\s*\d+(?:\s*[,–-]\s*\d+)*\]|\[span_\d+\]\((?:start|end)_span\)" },
    Mark { id: "text/gemini-link", grade: Grade::Strong, says: Says::AiAssisted, product: "Gemini", words: LINK,
        pattern: r"vertexaisearch\.cloud\.google\.com/grounding-api-redirect/" },
    Mark { id: "text/grok-card", grade: Grade::Strong, says: Says::AiAssisted, product: "Grok", words: COPIED,
        pattern: r"<grok-card\b|\bgrok_card\b|<grok:render\b|\bgrok_render_citation_card_json\b" },
    Mark { id: "text/perplexity", grade: Grade::Strong, says: Says::AiAssisted, product: "Perplexity", words: LINK,
        pattern: r"\bppl-ai-file-upload\b" },
    Mark { id: "text/perplexity", grade: Grade::Medium, says: Says::AiAssisted, product: "Perplexity", words: COPIED,
        pattern: r"\[attached_file:\d+\]|\[web:\d+\]" },
    Mark { id: "text/chat-citation", grade: Grade::Medium, says: Says::AiAssisted, product: "DeepSeek or Copilot", words: COPIED,
        pattern: r"\[citation:\d+\]|\[\^\d+\^\]" },
    Mark { id: "text/reasoning-block", grade: Grade::Medium, says: Says::AiAssisted, product: "a reasoning model",
        words: "The file holds a block of reasoning as some models print it.",
        pattern: r"(?s)<think>.*?</think>" },
    Mark { id: "text/chat-link", grade: Grade::Weak, says: Says::AiAssisted, product: "a chat product",
        words: "The file holds a link that was found by a chat product; the text itself may be a person's.",
        pattern: r"[?&](?:utm_source=(?:chatgpt\.com|openai|copilot\.com)|referrer=grok\.com)" },
    Mark { id: "text/placeholder", grade: Grade::Weak, says: Says::Other, product: "",
        words: "The file holds placeholders that nobody filled in; templates by people have them too.",
        pattern: r"\[(?:Your|Insert|Recipient|Company|Client|Manager|Hiring Manager|Date|Current Date)(?:['’]s)?(?: [A-Za-z/'’ ]+)?\]|\b20\d\d-XX-XX\b|\bPASTE_[A-Z_]+_HERE\b" },
];

static PATTERNS: LazyLock<Vec<Option<Regex>>> =
    LazyLock::new(|| MARKS.iter().map(|m| Regex::new(m.pattern).ok()).collect());

/// Sentences of an assistant about itself.
static DISCLAIMER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?i)\bas an? (?:AI|artificial intelligence)(?: (?:language|chat))?(?: model| assistant)\b|\bas of my (?:last|latest|most recent) (?:knowledge |training )?(?:update|cut-?off)|\bmy (?:knowledge|training)(?: data)? cut-?off\b|\bI (?:cannot|can['’]t|am unable to|don['’]t have the ability to) browse\b",
    )
    .ok()
});

static EDGES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"^\s*(?:Certainly|Sure|Absolutely|Of course)! (?:Here|Below)|^\s*Here(?:'s| is|’s) (?:a|the|your) (?:revised|polished|improved|updated) version|(?:I hope this helps|Would you like me to [^?\n]+\?|Let me know if you(?:'d|’d| would) like [^.\n]+)[.!]?\s*$").ok()
});

/// 由AI生成 and its variants, and a line that is nothing but the label.
static CHINESE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?m)(?P<not>非|不是|没有|未|并非|而非)?(?:由|系|经|使用|通过|借助)\s*(?:AI|ＡＩ|人工智能)[^\n。；]{0,10}?(?:生成|合成)|^[\s（(【\[*#“]*(?:AI|人工智能)(?:辅助)?(?:生成|合成)(?:的?内容)?[\s）)】\]*”。]*$").ok()
});

/// The text without code and quotations: fenced blocks, spans between backquotes, lines that begin with `>`.
pub(crate) fn prose(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut fence: Option<&str> = None;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|m| trimmed.starts_with(m));
        match (fence, mark) {
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, Some(mark)) => fence = Some(mark),
            (None, None) if !trimmed.starts_with('>') => {
                // An odd backquote is no code.
                let parts: Vec<&str> = line.split('`').collect();
                if parts.len() >= 3 && parts.len() % 2 == 1 {
                    for part in parts.iter().step_by(2) {
                        out.push_str(part);
                        out.push(' ');
                    }
                } else {
                    out.push_str(line);
                }
                continue;
            }
            _ => {}
        }
        out.push('\n');
    }
    out
}

/// Whether the part between `start` and `end` stands directly in quotation marks.
fn quoted(text: &str, start: usize, end: usize) -> bool {
    let is_quote =
        |c: char| matches!(c, '"' | '\'' | '“' | '”' | '‘' | '’' | '«' | '»' | '「' | '」' | '『' | '』');
    let before = text.get(..start).and_then(|t| t.chars().next_back()).is_some_and(is_quote);
    let after = text.get(end..).and_then(|t| t.chars().next()).is_some_and(is_quote);
    before && after
}

/// Whether a quotation is open at `at`, within its line.
fn in_quotation(text: &str, at: usize) -> bool {
    let line = text.get(..at).unwrap_or_default().rsplit('\n').next().unwrap_or_default();
    let mut from = line.len().saturating_sub(2000);
    while !line.is_char_boundary(from) {
        from += 1;
    }
    let line = line.get(from..).unwrap_or_default();
    let count = |c: char| line.matches(c).count();
    count('"') % 2 == 1 || count('“') > count('”') || count('«') > count('»') || count('「') > count('」')
}

fn at(offset: usize) -> Location {
    place("text", offset)
}

/// `text` is the prose, `tagged` the same with its tags where it was a page.
pub(crate) fn read(text: &str, tagged: &str, sink: &mut Sink<'_>, out: &mut Vec<Statement>) {
    for (mark, pattern) in MARKS.iter().zip(PATTERNS.iter()) {
        let Some(pattern) = pattern else { continue };
        let text = if mark.pattern.starts_with('<') { tagged } else { text };
        let mut hits = pattern.find_iter(text).take(1000).filter(|m| !quoted(text, m.start(), m.end()));
        let Some(first) = hits.next() else { continue };
        let count = 1 + hits.count();
        if let Some(same) = out.iter_mut().find(|s| s.id == mark.id) {
            same.grade = same.grade.max(mark.grade);
            continue;
        }
        let mut draft = Draft::new(mark.id, mark.grade, mark.says, &at(first.start()), mark.words)
            .field("found", first.as_str())
            .field("count", count.to_string());
        if !mark.product.is_empty() {
            draft = draft.generator(mark.product);
        }
        out.push(draft.done());
    }
    disclaimer(text, out);
    if let Some(found) = EDGES.as_ref().and_then(|e| e.find(text)) {
        let words = "The file begins or ends with a phrase that assistants use; people use it too.";
        let draft = Draft::new("text/assistant-phrase", Grade::Weak, Says::Other, &at(found.start()), words);
        out.push(draft.field("found", found.as_str().trim()).done());
    }
    chinese(text, out);
    hidden(text, sink, out);
}

fn disclaimer(text: &str, out: &mut Vec<Statement>) {
    let Some(pattern) = DISCLAIMER.as_ref() else { return };
    let mut best: Option<(bool, &str, usize)> = None;
    for found in pattern.find_iter(text).take(1000) {
        let before =
            text.get(..found.start()).unwrap_or_default().trim_end_matches([' ', '\t', '*', '_', '#']);
        let starts = before.is_empty() || before.ends_with(['.', '!', '?', '\n', ':', '。']);
        let rest = text.get(found.end()..).unwrap_or_default();
        let rest = clip(rest, 120).trim_start_matches(|c: char| !c.is_alphanumeric());
        let first_person = found.as_str().starts_with('I')
            || found.as_str().to_lowercase().contains("my ")
            || ["I ", "I'", "I’", "my "].iter().any(|p| rest.starts_with(p))
            || rest.contains(" I ");
        let strong = starts && first_person && !in_quotation(text, found.start());
        if best.is_none_or(|(s, ..)| strong && !s) {
            best = Some((strong, found.as_str(), found.start()));
        }
    }
    let Some((strong, found, start)) = best else { return };
    let (grade, says, words) = if strong {
        (
            Grade::Strong,
            Says::AiAssisted,
            "The file holds a sentence in which an AI assistant speaks about itself.",
        )
    } else {
        (
            Grade::Weak,
            Says::Other,
            "The file quotes or mentions a sentence that AI assistants use about themselves.",
        )
    };
    out.push(
        Draft::new("text/assistant-disclaimer", grade, says, &at(start), words).field("found", found).done(),
    );
}

/// GB 45438-2025, 4: a text label has an AI element and a generation element, at the start or the end of the text.
fn chinese(text: &str, out: &mut Vec<Statement>) {
    let Some(pattern) = CHINESE.as_ref() else { return };
    let trimmed = text.trim();
    let offset = text.len().saturating_sub(text.trim_start().len());
    let head_end = trimmed.char_indices().nth(64).map_or(trimmed.len(), |(i, _)| i);
    let tail_start = trimmed.char_indices().rev().nth(63).map_or(0, |(i, _)| i);
    for (part, from) in [
        (trimmed.get(..head_end).unwrap_or_default(), 0),
        (trimmed.get(tail_start..).unwrap_or_default(), tail_start),
    ] {
        for found in pattern.captures_iter(part) {
            let Some(whole) = found.get(0) else { continue };
            let before = part.get(..whole.start()).unwrap_or_default();
            let negated = found.name("not").is_some()
                || ["非", "不是", "没有", "未", "不", "禁止"].iter().any(|n| before.ends_with(n));
            if negated {
                continue;
            }
            let words = "The file states at its edge, in Chinese, that it was generated by AI.";
            let start = offset + from + whole.start();
            let draft = Draft::new("text/china-label", Grade::Strong, Says::Ai, &at(start), words);
            out.push(draft.field("found", whole.as_str().trim()).done());
            return;
        }
    }
}

fn is_selector(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// The byte that a variation selector stands for (C2PA, text embedding).
fn selector_byte(c: char) -> u8 {
    let n = c as u32;
    if n < 0xfe10 { (n - 0xfe00) as u8 } else { (n - 0xe_0100 + 16) as u8 }
}

/// Letters of scripts that part words with spaces.
fn spaced_letter(c: char) -> bool {
    c.is_alphabetic() && matches!(c as u32, 0x41..=0x24f | 0x370..=0x52f | 0x1e00..=0x1fff)
}

fn hidden(text: &str, sink: &mut Sink<'_>, out: &mut Vec<Statement>) {
    let (mut narrow, mut zero, mut tags) = ((0, 0), (0, 0), (0, 0));
    let mut run: Vec<u8> = Vec::new();
    let mut runs: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut in_flag = false;
    let mut previous = ' ';
    let count = |slot: &mut (usize, usize), at: usize| {
        if slot.0 == 0 {
            slot.1 = at;
        }
        slot.0 += 1;
    };
    let mut chars = text.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        let next = chars.peek().map_or(' ', |(_, c)| *c);
        match c {
            '\u{202f}' if (spaced_letter(previous) || previous == ',') && spaced_letter(next) => {
                count(&mut narrow, i);
            }
            '\u{200b}' | '\u{2060}' | '\u{feff}' if spaced_letter(previous) && spaced_letter(next) => {
                count(&mut zero, i);
            }
            // Flags of regions are a black flag, tag characters, and a tag that ends them.
            '\u{e0020}'..='\u{e007f}' | '\u{e0001}' => {
                if !in_flag {
                    count(&mut tags, i);
                }
                in_flag = in_flag && c != '\u{e007f}';
            }
            _ => in_flag = c == '\u{1f3f4}',
        }
        if is_selector(c) {
            run.push(selector_byte(c));
        } else if !run.is_empty() {
            if run.len() > 3 && runs.len() < 64 {
                runs.push((i, std::mem::take(&mut run)));
            }
            run.clear();
        }
        previous = c;
    }
    if run.len() > 3 {
        runs.push((text.len(), run));
    }
    let mut weak = |id: &str, (n, first): (usize, usize), words: &str| {
        if n > 0 {
            let draft = Draft::new(id, Grade::Weak, Says::Other, &at(first), words);
            out.push(draft.field("count", n.to_string()).done());
        }
    };
    weak(
        "text/narrow-space",
        narrow,
        "The file has narrow no-break spaces between words, which chat products leave and typesetters use.",
    );
    weak("text/zero-width", zero, "The file has invisible characters inside words.");
    if tags.0 > 0 {
        let words = "The file hides text in tag characters, which are not seen.";
        let draft = Draft::new("text/hidden-tags", Grade::Strong, Says::Other, &at(tags.1), words);
        out.push(draft.field("count", tags.0.to_string()).done());
    }
    for (end, bytes) in runs {
        // C2PA: a magic number, a version, a length, a manifest store.
        if bytes.starts_with(b"C2PATXT\0") {
            let len = crate::bytes::be32(&bytes, 9).unwrap_or(0) as usize;
            if let Some(store) = crate::bytes::slice(&bytes, 13, len) {
                sink.store(store, place("text, variation selectors", end));
            }
            continue;
        }
        let words = "The file hides data in a run of variation selectors.";
        let draft = Draft::new("text/hidden-data", Grade::Medium, Says::Other, &at(end), words);
        out.push(draft.field("bytes", bytes.len().to_string()).done());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::Limits;

    fn found(text: &str) -> Vec<(String, Grade, Says)> {
        let limits = Limits::default();
        let mut sink = Sink::new(&limits);
        let mut out = Vec::new();
        let prose = prose(text);
        read(&prose, &prose, &mut sink, &mut out);
        out.into_iter().map(|s| (s.id, s.grade, s.says)).collect()
    }

    fn ai(text: &str) -> bool {
        found(text).iter().any(|(_, _, says)| says.is_ai())
    }

    #[test]
    fn every_pattern_is_valid() {
        assert!(PATTERNS.iter().all(Option::is_some));
        assert!(DISCLAIMER.is_some() && EDGES.is_some() && CHINESE.is_some());
    }

    #[test]
    fn marks_are_found_in_prose_only() {
        for mark in [
            "x citeturn0search1turn0news2 y",
            "x \u{e200}cite\u{e202}turn0search1\u{e201} y",
            ":contentReference[oaicite:3]{index=3}",
            "see 【85†L261-L269】 and 【4:0†source】",
            "[cite: 1, 4]",
            "<grok:render card_id=\"1\">",
            "As an AI language model, I cannot do that.",
        ] {
            assert!(ai(mark), "{mark}");
            assert!(!ai(&format!("```\n{mark}\n```\n")), "{mark}");
            assert!(!ai(&format!("> {mark}\n")), "{mark}");
        }
        for plain in [
            "[cite omitted] [citation needed] [2019] UKSC 5",
            "【重要通知】会议",
            "He wrote \"As an AI language model, I cannot\" in jest.",
            "return0search turn5",
            "It was said as an AI model of 1990 would.",
        ] {
            assert!(!ai(plain), "{plain}");
        }
    }

    #[test]
    fn chinese_labels_stand_at_the_edges() {
        assert!(ai("本内容由AI生成,仅供参考\n今天天气很好。"));
        assert!(ai("今天天气很好。\n（人工智能生成）"));
        assert!(!ai("本文并非由AI生成。"));
        assert!(!ai("国家网信办发布人工智能生成合成内容标识办法"));
        let middle = format!("{}由AI生成{}", "好".repeat(100), "好".repeat(100));
        assert!(!ai(&middle));
    }

    #[test]
    fn characters_that_are_not_seen() {
        assert_eq!(found("The\u{202f}budget")[0].0, "text/narrow-space");
        assert!(found("1\u{202f}200 personnes\u{202f}; vrai\u{202f}?").is_empty());
        assert_eq!(found("bud\u{200b}get")[0].0, "text/zero-width");
        assert!(found("می\u{200c}خواهم").is_empty());
        assert!(found("🏴\u{e0067}\u{e0062}\u{e007f}").is_empty());
        assert_eq!(found("a\u{e0067}\u{e0062}b")[0].0, "text/hidden-tags");
        assert_eq!(found("a\u{fe01}\u{fe02}\u{fe03}\u{fe04}")[0].0, "text/hidden-data");
        assert!(found("👩\u{200d}❤\u{fe0f}\u{200d}👨").is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            let _ = found(&text);
        }
    }
}
