//! Untrusted names and messages on terminals and in spreadsheets.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a character can move the cursor, start a new line, reorder the text around it or hide in it.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{00ad}'
                | '\u{061c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// The text with hostile characters written as `\n`, `\t`, `\x1b` or `\u{202e}`.
///
/// A backslash stays one, because escaping it would spoil Windows paths; so a name that holds a literal `\n` looks the
/// same. Use JSON where that matters.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Writing to a string does not fail.
            c if c.is_ascii_control() => _ = write!(out, "\\x{:02x}", c as u32),
            c if is_hostile(c) => _ = write!(out, "\\u{{{:x}}}", c as u32),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// The text for a spreadsheet's cell: escaped, and with an apostrophe in front of what a spreadsheet would run as a
/// formula.
pub(crate) fn cell(text: &str) -> Cow<'_, str> {
    let escaped = escape(text);
    // A lone dash, the name of standard input, is no formula.
    if escaped != "-" && escaped.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']) {
        return Cow::Owned(format!("'{escaped}"));
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_characters_become_visible() {
        assert_eq!(
            escape("a\n\u{1b}[31mb\u{9b}c\u{202e}gpj\u{7f}"),
            "a\\n\\x1b[31mb\\u{9b}c\\u{202e}gpj\\x7f"
        );
        assert_eq!(escape("\u{200b}\u{2066}\u{e0041}"), "\\u{200b}\\u{2066}\\u{e0041}");
    }

    #[test]
    fn ordinary_names_stay_as_they_are() {
        assert!(matches!(escape("C:\\Bilder\\größe 写真 🎉.jpg"), Cow::Borrowed(_)));
    }

    #[test]
    fn formulas_are_disarmed_in_cells() {
        for formula in ["=cmd|' /C calc'!A0", "+1", "-2", "@SUM(A1)", " =1", "＝1"] {
            assert!(cell(formula).starts_with('\''), "{formula}");
        }
        assert_eq!((cell("a=b").as_ref(), cell("-").as_ref()), ("a=b", "-"));
    }
}
