//! Untrusted text made harmless for pages and terminals.

use std::fmt::Write;

/// Whether a character can move the cursor, start a new line, reorder the text around it, hide in it or is none.
///
/// The joiners U+200C and U+200D stay: Persian and emoji need them.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || (c as u32) & 0xfffe == 0xfffe
        || matches!(
            c,
            '\u{00ad}'
                | '\u{061c}'
                | '\u{200b}'
                | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{fdd0}'..='\u{fdef}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// One line of text, with hostile characters written as `\n` or `\u{202e}`. Markup is escaped elsewhere.
pub fn line(text: &str) -> String {
    escape(text, false)
}

/// As [`line`], but ends of lines stay.
pub fn block(text: &str) -> String {
    escape(&text.replace("\r\n", "\n"), true)
}

fn escape(text: &str, lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' if lines => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Writing to a string does not fail.
            c if is_hostile(c) => _ = write!(out, "\\u{{{:x}}}", c as u32),
            c => out.push(c),
        }
    }
    out
}

/// At most `limit` characters, with an ellipsis in place of what is cut off.
pub fn head(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default().trim_end()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_characters_become_visible() {
        assert_eq!(
            line("a\n\u{1b}[31m\u{202e}gpj\u{7f}\u{fffe}"),
            "a\\n\\u{1b}[31m\\u{202e}gpj\\u{7f}\\u{fffe}"
        );
        assert_eq!(block("a\r\n\tb\rc\u{2066}"), "a\n\tb\\rc\\u{2066}");
        assert_eq!(line("größe 写真 👩\u{200d}🔬.jpg"), "größe 写真 👩\u{200d}🔬.jpg");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        assert_eq!(head("äöü", 3), "äöü");
        assert_eq!(head("ä öü", 2), "ä…");
    }
}
