//! HTML: the readable text of a page.
//!
//! A tag stripper, not a tree builder: one pass that knows which elements hold boilerplate, which break lines and
//! where the main content is. Linear on any input: nothing recurses, and every look-ahead that fails is not tried
//! again.

use super::mapped::Mapped;
use crate::Markup;

/// Elements whose content is no running text.
const RAW: [&str; 4] = ["script", "style", "title", "textarea"];
/// Elements that are dropped with their content in any case.
const DROPPED: [&str; 9] =
    ["noscript", "template", "svg", "math", "iframe", "object", "select", "button", "canvas"];
/// Elements that hold boilerplate on most pages.
const BOILERPLATE: [&str; 5] = ["nav", "header", "footer", "aside", "form"];
/// Elements that start a paragraph.
const BLOCKS: [&str; 33] = [
    "address",
    "article",
    "blockquote",
    "body",
    "center",
    "dd",
    "details",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "li",
    "main",
    "ol",
    "p",
    "pre",
    "section",
    "summary",
    "table",
    "td",
    "th",
    "tr",
    "ul",
    "caption",
];
/// Elements without content.
const VOID: [&str; 13] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];
/// Bytes of main content below which the whole page is taken.
const ENOUGH: usize = 250;
/// Elements left open that may be looked at again; more are taken as if they hid nothing.
const RETRIES: u32 = 16;

/// Whether a text starts as an HTML page does.
pub(super) fn looks_like_html(text: &str) -> bool {
    let start = text.trim_start();
    ["<!doctype html", "<html"]
        .iter()
        .any(|tag| start.get(..tag.len()).is_some_and(|head| head.eq_ignore_ascii_case(tag)))
}

/// The readable text of a page and the counts of its markup.
///
/// Scripts, styles, navigation, headers, footers, asides, forms, comments and hidden elements are dropped; blocks
/// become paragraphs; entities are decoded. The content of `main` and `article` is taken alone if it is long enough,
/// and a page that is all boilerplate is read once more with it.
pub(super) fn strip(source: &str) -> (Mapped, Markup) {
    let strict = Pass::run(source, true);
    let (main, all) = strict.lengths();
    if main >= ENOUGH && main * 4 >= all {
        return strict.finish(true);
    }
    if all >= ENOUGH {
        return strict.finish(false);
    }
    let lenient = Pass::run(source, false);
    if lenient.lengths().1 > 2 * all { lenient.finish(false) } else { strict.finish(false) }
}

/// A piece of the readable text.
#[derive(Debug, Clone, Copy)]
enum Piece {
    /// Source bytes as they are.
    Copy(usize, usize),
    /// A character that stands for the source's bytes from the first to the second offset.
    Char(char, usize, usize),
}

/// One pass over a page.
struct Pass<'a> {
    source: &'a str,
    boilerplate: bool,
    pieces: Vec<(Piece, bool)>,
    /// Depth inside `main` and `article`.
    main: u32,
    /// Depth inside `ol` and `pre`.
    ordered: u32,
    pre: u32,
    markup: Markup,
    /// Where to start again if the skipped element is never closed.
    skip: Option<Skip<'a>>,
    retries: u32,
    /// Elements that were found unclosed and no longer hide anything.
    unclosed: Vec<&'a str>,
}

/// An element that is being skipped.
struct Skip<'a> {
    name: &'a str,
    depth: u32,
    resume: usize,
}

impl<'a> Pass<'a> {
    fn run(source: &'a str, boilerplate: bool) -> Self {
        let mut pass = Self {
            source,
            boilerplate,
            pieces: Vec::new(),
            main: 0,
            ordered: 0,
            pre: 0,
            markup: Markup::default(),
            skip: None,
            retries: 0,
            unclosed: Vec::new(),
        };
        let mut quotes = true;
        let mut at = 0;
        loop {
            let rest = source.get(at..).unwrap_or_default();
            if rest.is_empty() {
                // The end inside an element that should be skipped: it was never closed, so it hides nothing.
                let Some(skip) = pass.skip.take() else { break };
                pass.retries += 1;
                pass.unclosed.push(skip.name);
                at = skip.resume;
                continue;
            }
            let text = rest.find('<').unwrap_or(rest.len());
            if text > 0 {
                pass.text(at, at + text);
                at += text;
                continue;
            }
            let next = rest.as_bytes().get(1).copied().unwrap_or(b' ');
            if rest.starts_with("<!--") {
                at = rest.get(4..).and_then(|r| r.find("-->")).map_or(source.len(), |end| at + 4 + end + 3);
            } else if next.is_ascii_alphabetic() || next == b'/' {
                match tag_end(rest, &mut quotes) {
                    Some(end) => at = pass.tag(at, at + end),
                    // No `>` is left at all.
                    None => at = source.len(),
                }
            } else if matches!(next, b'!' | b'?') {
                at = rest.find('>').map_or(source.len(), |end| at + end + 1);
            } else {
                pass.text(at, at + 1);
                at += 1;
            }
        }
        pass
    }

    fn push(&mut self, piece: Piece) {
        self.pieces.push((piece, self.main > 0));
    }

    /// Text between tags: white space collapsed (line ends kept in `pre`), entities decoded.
    fn text(&mut self, start: usize, end: usize) {
        if self.skip.is_some() {
            return;
        }
        let Some(text) = self.source.get(start..end) else { return };
        let mut from = 0;
        let mut i = 0;
        let bytes = text.as_bytes();
        while let Some(&byte) = bytes.get(i) {
            let (c, len) = match byte {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0C => {
                    let run = bytes.get(i..).unwrap_or_default();
                    let run = run.iter().take_while(|b| b.is_ascii_whitespace()).count();
                    let newline = self.pre > 0 && text.get(i..i + run).is_some_and(|r| r.contains('\n'));
                    if run == 1 && byte == b' ' {
                        i += 1;
                        continue;
                    }
                    (if newline { '\n' } else { ' ' }, run)
                }
                b'&' if let Some(found) = entity(text.get(i..).unwrap_or_default()) => found,
                _ => {
                    i += 1;
                    continue;
                }
            };
            if i > from {
                self.push(Piece::Copy(start + from, start + i));
            }
            self.push(Piece::Char(c, start + i, start + i + len));
            i += len;
            from = i;
        }
        if i > from {
            self.push(Piece::Copy(start + from, start + i));
        }
    }

    /// Handles the tag in `start..end`; returns where to go on.
    fn tag(&mut self, start: usize, end: usize) -> usize {
        let tag = self.source.get(start + 1..end - 1).unwrap_or_default();
        let (closing, tag) = tag.strip_prefix('/').map_or((false, tag), |rest| (true, rest));
        let name_len = tag.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'-').count();
        let name = tag.get(..name_len).unwrap_or_default();
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        let any = |list: &[&str]| list.iter().any(|other| name.eq_ignore_ascii_case(other));

        if let Some(skip) = &mut self.skip {
            if name.eq_ignore_ascii_case(skip.name) {
                if closing {
                    skip.depth -= 1;
                    if skip.depth == 0 {
                        self.skip = None;
                        self.push(Piece::Char('\n', end, end));
                    }
                } else {
                    skip.depth += 1;
                }
                return end;
            }
            // Text that only looks like markup stays inside its element.
            return if !closing && any(&RAW) { self.after_raw(name, end) } else { end };
        }
        if !closing && any(&RAW) {
            return self.after_raw(name, end);
        }
        let attributes = tag.get(name_len..).unwrap_or_default();
        let hides = !closing
            && !any(&VOID)
            && (any(&DROPPED) || (self.boilerplate && any(&BOILERPLATE)) || is_hidden(attributes))
            && self.retries < RETRIES
            && !self.unclosed.iter().any(|u| is(u));
        if hides {
            self.skip = Some(Skip { name, depth: 1, resume: end });
            return end;
        }
        let step = |depth: u32| if closing { depth.saturating_sub(1) } else { depth + 1 };
        if is("main") || is("article") {
            self.main = step(self.main);
        } else if is("ol") {
            self.ordered = step(self.ordered);
        } else if is("pre") {
            self.pre = step(self.pre);
        }
        if !closing {
            let count = match name.to_ascii_lowercase().as_str() {
                "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => Some(&mut self.markup.headings),
                "li" if self.ordered > 0 => Some(&mut self.markup.numbered),
                "li" => Some(&mut self.markup.bullets),
                "b" | "strong" => Some(&mut self.markup.bold),
                "a" => Some(&mut self.markup.links),
                "pre" => Some(&mut self.markup.code_blocks),
                "table" => Some(&mut self.markup.tables),
                _ => None,
            };
            if let Some(count) = count {
                *count += 1;
            }
        }
        if is("br") {
            self.push(Piece::Char('\n', start, end));
        } else if any(&BLOCKS) {
            self.push(Piece::Char('\n', start, end));
            self.push(Piece::Char('\n', end, end));
        }
        end
    }

    /// Where the element of raw text that starts at `from` ends.
    fn after_raw(&self, name: &str, from: usize) -> usize {
        let rest = self.source.as_bytes().get(from..).unwrap_or_default();
        let mut at = 0;
        while let Some(next) = rest.get(at..).and_then(|r| r.iter().position(|b| *b == b'<')) {
            at += next;
            let after = rest.get(at + 2..at + 2 + name.len());
            if rest.get(at + 1) == Some(&b'/')
                && after.is_some_and(|n| n.eq_ignore_ascii_case(name.as_bytes()))
            {
                let close = rest.get(at..).and_then(|r| r.iter().position(|b| *b == b'>'));
                return close.map_or(self.source.len(), |close| from + at + close + 1);
            }
            at += 1;
        }
        self.source.len()
    }

    /// Bytes of text inside the main content and in all, white space left out.
    fn lengths(&self) -> (usize, usize) {
        let mut lengths = (0, 0);
        for (piece, main) in &self.pieces {
            let len = match piece {
                Piece::Copy(start, end) => end - start,
                Piece::Char(c, ..) => usize::from(!c.is_whitespace()),
            };
            lengths.0 += if *main { len } else { 0 };
            lengths.1 += len;
        }
        lengths
    }

    /// Writes the text, all of it or the main content only. White space does not pile up.
    fn finish(self, main_only: bool) -> (Mapped, Markup) {
        let mut out = Mapped::new(self.source.len());
        for (piece, main) in self.pieces {
            if main_only && !main {
                continue;
            }
            match piece {
                Piece::Copy(start, end) => {
                    // One space alone between two tags.
                    let blank = self.source.get(start..end) == Some(" ");
                    if !(blank && out.text.chars().next_back().is_none_or(char::is_whitespace)) {
                        out.copy(self.source, start..end);
                    }
                }
                Piece::Char(c, start, end) => {
                    let space = c == ' ' && out.text.chars().next_back().is_none_or(char::is_whitespace);
                    let newline = c == '\n' && (out.text.is_empty() || out.text.ends_with("\n\n"));
                    if !(space || newline) {
                        out.put(c, start);
                        out.mark(end);
                    }
                }
            }
        }
        (out, self.markup)
    }
}

/// Length of the tag that `rest` starts with, its `>` included. Quoted values may hold a `>`, until one is found that
/// never ends; from then on `quotes` is false and they may not.
fn tag_end(rest: &str, quotes: &mut bool) -> Option<usize> {
    if *quotes {
        let mut quote = None;
        let mut value = false;
        for (i, byte) in rest.bytes().enumerate() {
            match (quote, byte) {
                (None, b'>') => return Some(i + 1),
                (None, b'"' | b'\'') if value => quote = Some(byte),
                (Some(q), b) if q == b => quote = None,
                _ => {}
            }
            value = byte == b'=' || (value && byte.is_ascii_whitespace());
        }
        *quotes = false;
    }
    rest.find('>').map(|end| end + 1)
}

/// Whether an element's attributes hide it.
fn is_hidden(attributes: &str) -> bool {
    // Most tags have none; long values such as inlined pictures are no style.
    if attributes.len() < 7 || attributes.len() > 4096 {
        return false;
    }
    let lower = attributes.to_ascii_lowercase();
    let compact: String = lower.chars().filter(|c| !matches!(c, ' ' | '"' | '\'' | ';')).collect();
    compact.contains("display:none")
        || compact.contains("visibility:hidden")
        || compact.contains("aria-hidden=true")
        || lower.split([' ', '\n', '\t', '/']).any(|a| a == "hidden" || a.starts_with("hidden="))
}

/// The character of the entity that `text` starts with, and its length in bytes.
fn entity(text: &str) -> Option<(char, usize)> {
    let head = text.as_bytes().get(1..34.min(text.len()))?;
    if let Some(number) = head.strip_prefix(b"#") {
        let (digits, radix, skip) = match number.first()? {
            b'x' | b'X' => (number.get(1..)?, 16, 3),
            _ => (number, 10, 2),
        };
        let len = digits.iter().take_while(|b| (**b as char).is_digit(radix)).count();
        let code = u32::from_str_radix(std::str::from_utf8(digits.get(..len)?).ok()?, radix).ok();
        if len == 0 {
            return None;
        }
        let c = code.and_then(|code| match code {
            0 => None,
            // Browsers read these as windows-1252.
            0x80..=0x9F => {
                encoding_rs::WINDOWS_1252.decode_without_bom_handling(&[code as u8]).0.chars().next()
            }
            _ => char::from_u32(code),
        });
        let end = usize::from(digits.get(len) == Some(&b';'));
        return Some((c.unwrap_or(char::REPLACEMENT_CHARACTER), skip + len + end));
    }
    let len = head.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
    let name = std::str::from_utf8(head.get(..len)?).ok()?;
    let end = usize::from(head.get(len) == Some(&b';'));
    let c = if let Some(i) = LATIN_1.iter().position(|n| *n == name) {
        char::from_u32(0xA0 + i as u32)?
    } else {
        NAMED.iter().find(|(n, _)| *n == name)?.1
    };
    Some((c, 1 + len + end))
}

/// Names of U+00A0 to U+00FF, in order.
const LATIN_1: [&str; 96] = [
    "nbsp", "iexcl", "cent", "pound", "curren", "yen", "brvbar", "sect", "uml", "copy", "ordf", "laquo",
    "not", "shy", "reg", "macr", "deg", "plusmn", "sup2", "sup3", "acute", "micro", "para", "middot",
    "cedil", "sup1", "ordm", "raquo", "frac14", "frac12", "frac34", "iquest", "Agrave", "Aacute", "Acirc",
    "Atilde", "Auml", "Aring", "AElig", "Ccedil", "Egrave", "Eacute", "Ecirc", "Euml", "Igrave", "Iacute",
    "Icirc", "Iuml", "ETH", "Ntilde", "Ograve", "Oacute", "Ocirc", "Otilde", "Ouml", "times", "Oslash",
    "Ugrave", "Uacute", "Ucirc", "Uuml", "Yacute", "THORN", "szlig", "agrave", "aacute", "acirc", "atilde",
    "auml", "aring", "aelig", "ccedil", "egrave", "eacute", "ecirc", "euml", "igrave", "iacute", "icirc",
    "iuml", "eth", "ntilde", "ograve", "oacute", "ocirc", "otilde", "ouml", "divide", "oslash", "ugrave",
    "uacute", "ucirc", "uuml", "yacute", "thorn", "yuml",
];

/// Other names that running text uses.
const NAMED: [(&str, char); 30] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("ndash", '–'),
    ("mdash", '—'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("sbquo", '‚'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("bdquo", '„'),
    ("hellip", '…'),
    ("bull", '•'),
    ("prime", '′'),
    ("euro", '€'),
    ("trade", '™'),
    ("larr", '←'),
    ("rarr", '→'),
    ("minus", '−'),
    ("OElig", 'Œ'),
    ("oelig", 'œ'),
    ("Scaron", 'Š'),
    ("scaron", 'š'),
    ("ensp", '\u{2002}'),
    ("emsp", '\u{2003}'),
    ("thinsp", '\u{2009}'),
    ("zwnj", '\u{200C}'),
    ("zwj", '\u{200D}'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_text_of_a_page() {
        let source = "<!DOCTYPE html><html><head><title>T</title><style>p>a{}</style></head><body><nav>Menu</nav>\
            <h1>Head</h1><p class=\"a>b\">One &amp; two&#8212;three\n  four<br>five <b>bold</b> <a href=x>link</a></p>\
            <!-- no --><div hidden>x<div>y</div></div><script>if (a<b) \"</p>\"</script><ol><li>i</li></ol>\
            <span style=\"display: none\">z</span>1 < 2</body></html>";
        let (out, markup) = strip(source);
        assert_eq!(out.text, "Head\n\nOne & two—three four\nfive bold link\n\ni\n\n1 < 2\n\n");
        assert_eq!((markup.headings, markup.numbered, markup.bold, markup.links), (1, 1, 1, 1));
        let at = out.text.find('—').unwrap();
        assert_eq!(&source[out.map.source_range(at..at + 3)], "&#8212;");
        let at = out.text.find("bold link").unwrap();
        assert_eq!(&source[out.map.source_range(at..at + 9)], "bold</b> <a href=x>link");
    }

    #[test]
    fn prefers_the_main_content() {
        let words = "Words of the story go on and on. ".repeat(20);
        let (out, _) = strip(&format!("<div>Sidebar</div><main><p>{words}</p></main><div>More</div>"));
        assert!(out.text.starts_with("Words") && !out.text.contains("More"));
        let (out, _) = strip("<form><p>All inside a form.</p></form>");
        assert_eq!(out.text.trim(), "All inside a form.");
    }

    #[test]
    fn unclosed_elements_hide_nothing() {
        let (out, _) = strip("<p>a</p><nav><p>b</p>");
        assert_eq!(out.text.split_whitespace().collect::<Vec<_>>(), ["a", "b"]);
        let many = "<p hidden>".repeat(50_000) + "end";
        assert!(strip(&many).0.text.contains("end"));
        let many = (0..50_000).map(|i| format!("<x{i} hidden>")).collect::<Vec<_>>().concat();
        assert!(strip(&many).0.text.is_empty());
        strip(&"<a b=\"'".repeat(100_000));
        strip(&"<a b=\">".repeat(100_001));
    }
}
