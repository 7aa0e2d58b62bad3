//! Untrusted text inside SVG and HTML.

use std::fmt::Write;

/// Escapes markup, replaces characters that XML forbids and makes direction controls visible.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                // Writing to a string does not fail.
                let _ = write!(out, "[U+{:04X}]", c as u32);
            }
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn nothing_active_survives() {
        assert_eq!(
            escape("<a href=\"x\" 'y'>&\u{1b}[1m\r\u{202e}é"),
            "&lt;a href=&quot;x&quot; &#39;y&#39;&gt;&amp;\u{fffd}[1m\u{fffd}[U+202E]é"
        );
    }
}
