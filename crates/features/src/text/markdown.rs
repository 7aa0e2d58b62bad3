//! Markdown: what is markup and what is left without it.
//!
//! Not a full parser: one pass by lines and one along each line, linear on any input, that finds the marks
//! which writers and chat products use.

use std::ops::Range;

use super::mapped::Mapped;
use crate::Markup;

/// Longest front matter in lines.
const FRONT_MATTER: usize = 200;
/// Longest tag in bytes that counts as HTML inside Markdown.
const TAG: usize = 300;

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    Blank,
    Heading,
    /// Fence with its character, its length (at most 16) and whether it may close a block.
    Fence(u8, usize, bool),
    Rule,
    Bullet,
    Numbered,
    TableRule,
    Reference,
    Text,
}

/// Splits a line into its block marks (their length in bytes) and what it is.
fn block(line: &str) -> (usize, Block) {
    let mut at = 0;
    let bytes = line.as_bytes();
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(b'\n');
    // Indentation and quotation marks; a mark is followed by a space or another mark.
    while matches!(byte(at), b' ' | b'\t')
        || (byte(at) == b'>' && matches!(byte(at + 1), b' ' | b'>' | b'\n'))
    {
        at += 1;
    }
    let rest = line.get(at..).unwrap_or_default();
    let trimmed = rest.trim_end();
    let first = byte(at);
    let run = rest.bytes().take_while(|b| *b == first).count();
    let space = |n: usize| matches!(byte(at + n), b' ' | b'\t');
    match first {
        _ if trimmed.is_empty() => (at, Block::Blank),
        b'#' if run <= 6 && space(run) => (at + run + 1, Block::Heading),
        b'`' | b'~' if run >= 3 => {
            let info = trimmed.get(run..).unwrap_or_default();
            if first == b'`' && info.contains('`') {
                return (at, Block::Text);
            }
            (at, Block::Fence(first, run.min(16), info.is_empty()))
        }
        b'-' | b'*' | b'_' | b'='
            if trimmed.bytes().all(|b| b == first || b == b' ')
                && trimmed.matches(first as char).count() >= 3 =>
        {
            (at, Block::Rule)
        }
        b'|' | b'-' | b':'
            if trimmed.contains('|')
                && trimmed.contains("--")
                && trimmed.bytes().all(|b| b"|-: ".contains(&b)) =>
        {
            (at, Block::TableRule)
        }
        b'-' | b'*' | b'+' if space(1) => {
            let task =
                ["[ ] ", "[x] ", "[X] "].iter().any(|t| rest.get(2..).is_some_and(|r| r.starts_with(t)));
            (at + if task { 6 } else { 2 }, Block::Bullet)
        }
        b'0'..=b'9' => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if digits <= 3 && matches!(byte(at + digits), b'.' | b')') && space(digits + 1) {
                (at + digits + 2, Block::Numbered)
            } else {
                (at, Block::Text)
            }
        }
        b'[' if trimmed.contains("]: ") && !trimmed.get(1..).unwrap_or_default().starts_with(']') => {
            let label = trimmed.split("]: ").next().unwrap_or_default();
            let url = trimmed.get(label.len() + 3..).unwrap_or_default();
            let one_word = !url.trim_matches(['<', '>']).contains(' ') || url.ends_with(['"', '\'', ')']);
            (
                at,
                if label.len() < 80 && one_word && url.contains(['/', '.', '#']) {
                    Block::Reference
                } else {
                    Block::Text
                },
            )
        }
        _ => (at, Block::Text),
    }
}

/// The lines of a text as byte ranges, line ends included.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_inclusive('\n').scan(0, |at, line| {
        let start = *at;
        *at += line.len();
        Some((start, line))
    })
}

/// Counts the markup of a text.
pub(super) fn count(text: &str) -> Markup {
    let mut markup = Markup::default();
    let mut open: Option<(u8, usize)> = None;
    let mut drops = Vec::new();
    for (_, line) in lines(text) {
        let (marks, block) = block(line);
        if let (Some((byte, len)), Block::Fence(b, l, closes)) = (open, block) {
            if b == byte && l >= len && closes {
                open = None;
                markup.code_blocks += 1;
            }
            continue;
        }
        match block {
            Block::Heading => markup.headings += 1,
            Block::Bullet => markup.bullets += 1,
            Block::Numbered => markup.numbered += 1,
            Block::TableRule => markup.tables += 1,
            Block::Fence(byte, len, _) => open = Some((byte, len)),
            _ => {}
        }
        if line.contains(['*', '_', ']']) {
            drops.clear();
            let found = inline(line.get(marks..).unwrap_or_default(), &mut drops);
            markup.bold += found.bold;
            markup.links += found.links;
        }
    }
    markup
}

/// Whether the counts speak for Markdown rather than plain text.
pub(super) fn is_markdown(markup: &Markup, text: &str) -> bool {
    let marks = markup.headings + markup.bold + markup.links + markup.code_blocks + markup.tables;
    marks > 0 || markup.bullets + markup.numbered >= 3 || front_matter(text) > 0
}

/// Length in bytes of the front matter at the start, 0 without one.
fn front_matter(text: &str) -> usize {
    let mut all = lines(text);
    let Some((_, first)) = all.next() else { return 0 };
    if first.trim_end() != "---" {
        return 0;
    }
    let mut keys = 0;
    for (at, line) in all.take(FRONT_MATTER) {
        match line.trim_end() {
            "---" | "..." => return if keys > 0 { at + line.len() } else { 0 },
            line if line.contains(':') => keys += 1,
            line if line.is_empty() || line.starts_with([' ', '-', '#']) => {}
            _ => return 0,
        }
    }
    0
}

/// The readable text of a Markdown source.
///
/// Front matter, fenced code, tables, images, tags and rules are dropped; the marks of headings, lists, quotations,
/// emphasis, inline code and links go and their text stays. A fence without an end is only a line, so that it can't
/// hide the rest of a text; fences that say they hold prose are opened.
pub(super) fn strip(text: &str) -> Mapped {
    let mut out = Mapped::new(text.len());
    let start = front_matter(text);
    let body = text.get(start..).unwrap_or_default();
    let all: Vec<(usize, &str)> = lines(body).map(|(at, line)| (at + start, line)).collect();
    let blocks: Vec<(usize, Block)> = all.iter().map(|(_, line)| block(line)).collect();
    // For each mark of fences, the shortest length for which no closing fence is left.
    let mut hopeless = [usize::MAX; 2];
    let mut drops: Vec<Range<usize>> = Vec::new();
    // Line of the fence that closes the opened prose; nothing is opened inside it, which keeps the search linear.
    let mut prose_end = 0;
    let mut i = 0;
    while let (Some(&(at, line)), Some(&(marks, block))) = (all.get(i), blocks.get(i)) {
        i += 1;
        match block {
            Block::Fence(byte, len, _) => {
                let Some(hopeless) = hopeless.get_mut(usize::from(byte == b'~')) else { continue };
                let opens_prose = is_prose(line);
                if len >= *hopeless || i - 1 == prose_end || (i <= prose_end && opens_prose) {
                    continue;
                }
                let closing = blocks
                    .get(i..)
                    .unwrap_or_default()
                    .iter()
                    .position(|(_, b)| matches!(b, Block::Fence(b, l, true) if *b == byte && *l >= len));
                match closing {
                    Some(lines) if opens_prose => prose_end = i + lines,
                    Some(lines) => i += lines + 1,
                    None => *hopeless = len,
                }
                continue;
            }
            Block::Rule | Block::Reference => continue,
            Block::TableRule => {
                while all.get(i).is_some_and(|(_, row)| row.contains('|')) {
                    i += 1;
                }
                continue;
            }
            Block::Text
                if line.contains('|') && blocks.get(i).is_some_and(|(_, b)| *b == Block::TableRule) =>
            {
                continue;
            }
            Block::Blank => {
                out.copy(text, at..at + line.len());
                continue;
            }
            Block::Heading | Block::Bullet | Block::Numbered | Block::Text => {}
        }
        let content = line.get(marks..).unwrap_or_default();
        drops.clear();
        inline(content, &mut drops);
        if block == Block::Heading {
            // Closing marks of a heading.
            let kept = content.trim_end().trim_end_matches('#');
            drops.push(kept.len()..content.trim_end().len());
        }
        drops.sort_unstable_by_key(|d| d.start);
        let base = at + marks;
        let mut from = 0;
        for drop in &drops {
            if drop.start > from {
                out.copy(text, base + from..base + drop.start);
            }
            from = from.max(drop.end);
        }
        out.copy(text, base + from..base + content.len());
    }
    out
}

/// Whether the fence's info string says that the block holds prose.
fn is_prose(fence: &str) -> bool {
    let info = fence.trim_matches(|c: char| c.is_whitespace() || matches!(c, '`' | '~' | '>'));
    ["markdown", "md", "text", "txt", "plaintext", "plain"].iter().any(|name| info.eq_ignore_ascii_case(name))
}

/// What was found along a line.
struct Inline {
    bold: u32,
    links: u32,
}

/// Finds the marks inside a line and puts their ranges into `drops`, in no order.
fn inline(line: &str, drops: &mut Vec<Range<usize>>) -> Inline {
    let bytes = line.as_bytes();
    let mut brackets: Vec<(usize, bool)> = Vec::new();
    let (mut bold_marks, mut links) = (0, 0);
    // The next closing mark at or after a place, looked up again only when passed.
    let mut ahead = [b')', b']', b'>'].map(|byte| Ahead { byte, next: Some(0) });
    let mut i = 0;
    while let Some(&byte) = bytes.get(i) {
        let after = bytes.get(i + 1).copied().unwrap_or(b'\n');
        match byte {
            b'\\' if after.is_ascii_punctuation() => {
                drops.push(i..i + 1);
                i += 1;
            }
            b'`' => {
                let run = run_of(bytes, i);
                drops.push(i..i + run);
                i += run - 1;
            }
            b'*' | b'_' | b'~' => {
                let run = run_of(bytes, i);
                if is_emphasis(line, i, run, byte) {
                    drops.push(i..i + run);
                    bold_marks += u32::from(byte != b'~' && (2..=3).contains(&run));
                }
                i += run - 1;
            }
            b'[' => brackets.push((i, i > 0 && bytes.get(i - 1) == Some(&b'!'))),
            b']' => {
                if let Some((open, image)) = brackets.pop() {
                    let [round, square, _] = &mut ahead;
                    let end = match after {
                        b'(' => round.find(bytes, i + 2),
                        b'[' => square.find(bytes, i + 2),
                        _ => None,
                    };
                    let note = bytes.get(open + 1) == Some(&b'^');
                    if image && let Some(end) = end {
                        drops.push(open - 1..end + 1);
                        i = end;
                    } else if note {
                        drops.push(open..i + 1);
                    } else if let Some(end) = end {
                        links += 1;
                        drops.push(open..open + 1);
                        drops.push(i..end + 1);
                        i = end;
                    }
                }
            }
            b'<' if after.is_ascii_alphabetic() || matches!(after, b'/' | b'!') => {
                if let Some(end) = ahead[2].find(bytes, i + 1).filter(|end| end - i < TAG) {
                    let inside = line.get(i + 1..end).unwrap_or_default();
                    if inside.contains("://") && !inside.contains(' ') {
                        drops.push(i..i + 1);
                        drops.push(end..end + 1);
                    } else {
                        drops.push(i..end + 1);
                    }
                    i = end;
                }
            }
            _ => {}
        }
        i += 1;
    }
    Inline { bold: bold_marks / 2, links }
}

/// A look-ahead for one byte, never from the line's first byte, that costs linear time over a line.
struct Ahead {
    byte: u8,
    next: Option<usize>,
}

impl Ahead {
    fn find(&mut self, bytes: &[u8], from: usize) -> Option<usize> {
        if self.next.is_some_and(|next| next < from) {
            self.next =
                bytes.get(from..).and_then(|b| b.iter().position(|b| *b == self.byte)).map(|at| at + from);
        }
        self.next
    }
}

/// Length of the run of equal bytes from `at` on.
fn run_of(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.iter().take_while(|b| Some(*b) == rest.first()).count()
}

/// Whether a run of `*`, `_` or `~` at `at` marks emphasis: it touches a word on one side, `_` not on both, and a
/// lone `*` is no sign of multiplication.
fn is_emphasis(line: &str, at: usize, run: usize, byte: u8) -> bool {
    let before = line.get(..at).and_then(|s| s.chars().next_back()).unwrap_or(' ');
    let after = line.get(at + run..).and_then(|s| s.chars().next()).unwrap_or(' ');
    let inside = before.is_alphanumeric() && after.is_alphanumeric();
    if run > 3 || (before.is_whitespace() && after.is_whitespace()) {
        return false;
    }
    match byte {
        b'_' => !inside,
        b'~' => run == 2,
        _ => run > 1 || !(inside && before.is_ascii() && after.is_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_marks_and_keeps_words() {
        let source = "---\ntitle: x\n---\n# A *title* #\n\nSome **bold** and [a link](http://x.y) and ![alt](i.png)`code`.\n\n\
            - one\n2. two\n> quoted\n\n```rust\nfn main() {}\n```\n| a | b |\n|---|---|\n| 1 | 2 |\nsnake_case 2 * 3 <b>end</b>\n";
        let out = strip(source);
        assert_eq!(
            out.text,
            "A title \n\nSome bold and a link and code.\n\none\ntwo\nquoted\n\nsnake_case 2 * 3 end\n"
        );
        let at = out.text.find("a link").unwrap();
        assert_eq!(&source[out.map.source_range(at..at + 6)], "a link");
        let markup = count(source);
        assert_eq!(
            markup,
            Markup { headings: 1, bullets: 1, numbered: 1, bold: 1, links: 1, code_blocks: 1, tables: 1 }
        );
        assert!(is_markdown(&markup, source));
    }

    #[test]
    fn an_open_fence_hides_nothing() {
        assert_eq!(strip("a\n```\nb\n").text, "a\nb\n");
        assert_eq!(strip("```markdown\n# b\n```\nc").text, "b\nc");
        let plain = "He said so; 5 - 3 = 2 and a_b.\nYes.";
        assert!(!is_markdown(&count(plain), plain));
    }
}
