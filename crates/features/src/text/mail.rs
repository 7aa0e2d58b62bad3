//! E-mail: what its sender wrote, without what is quoted, forwarded or signed.

use mail_parser::{MessageParser, PartType};

use super::html;

/// Fields of which a message has several at its head, in lower case (RFC 5322, sections 3.6 and 4.5; RFC 2045, section 4).
const FIELDS: [&[u8]; 14] = [
    b"from",
    b"to",
    b"cc",
    b"date",
    b"subject",
    b"message-id",
    b"in-reply-to",
    b"received",
    b"return-path",
    b"delivered-to",
    b"reply-to",
    b"mime-version",
    b"content-type",
    b"dkim-signature",
];
/// Lines after which another's message stands, as mail programs write them.
const FORWARDED: [&str; 6] = [
    "original message",
    "forwarded message",
    "begin forwarded message",
    "原始邮件",
    "转发的邮件",
    "转发邮件信息",
];

/// Whether a text begins as a message does: header fields only, at least three of them well known and one of these `From` or
/// `Received`, and an empty line.
pub(crate) fn is_mail(start: &[u8]) -> bool {
    let (mut known, mut sender) = (0, false);
    for line in start.split(|&c| c == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return known >= 3 && sender;
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            continue;
        }
        let Some(colon) = line.iter().position(|&c| c == b':') else { return false };
        let name = line.get(..colon).unwrap_or_default().to_ascii_lowercase();
        if name.is_empty() || !name.iter().all(|c| (33..127).contains(c)) {
            return false;
        }
        known += usize::from(FIELDS.contains(&name.as_slice()));
        sender |= matches!(name.as_slice(), b"from" | b"received");
    }
    // Headers longer than what is looked at.
    known >= 3 && sender
}

/// The bodies of a message as text, one after the other; `None` if it cannot be read.
pub(super) fn read(bytes: &[u8]) -> Option<String> {
    let message = MessageParser::default().parse(bytes)?;
    let mut out = String::new();
    for part in message.text_bodies() {
        match &part.body {
            PartType::Text(text) => own(text, &mut out),
            PartType::Html(source) => own(&html::strip(source).0.text, &mut out),
            _ => {}
        }
    }
    Some(out)
}

/// Adds the lines of a body that its sender wrote.
fn own(body: &str, out: &mut String) {
    // Where the last paragraph began, which introduces a quotation if one follows.
    let mut paragraph = out.len();
    for line in body.lines() {
        let trimmed = line.trim();
        // RFC 3676, section 4.3, with or without its blank.
        if line == "-- " || line == "--" || forwarded(trimmed) {
            break;
        }
        if trimmed.starts_with('>') {
            let introduced = out.get(paragraph..).is_some_and(|p| p.trim_end().ends_with([':', ':']));
            if introduced && out.get(paragraph..).is_some_and(|p| p.len() < 400) {
                out.truncate(paragraph);
            }
            continue;
        }
        if trimmed.is_empty() {
            if !out.is_empty() && !out.ends_with("\n\n") {
                out.push('\n');
            }
        } else {
            if out.is_empty() || out.ends_with("\n\n") {
                paragraph = out.len();
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    if !out.is_empty() {
        out.truncate(out.trim_end().len());
        out.push_str("\n\n");
    }
}

fn forwarded(line: &str) -> bool {
    let words = line.trim_matches(|c: char| c == '-' || c == ':' || c == '_' || c.is_whitespace());
    words.len() < line.len() && FORWARDED.iter().any(|f| words.eq_ignore_ascii_case(f))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "Received: from mx.example.org (mx.example.org [192.0.2.1])\r\n\tby in.example.net; Mon, 2 Nov 2026 09:00:00 +0000\r\n\
        From: =?utf-8?q?Ren=C3=A9?= <rene@example.org>\r\nTo: list@example.net\r\nSubject: The bridge\r\nDate: Mon, 2 Nov 2026 09:00:00 +0000\r\n\
        MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\nThe caf=E9 by the bridge is shut until =\r\nspring.\r\n\r\nOn Sunday, Ana wrote:\r\n> Is it open?\r\n> I hope so.\r\n\r\n\
        It opens again in April.\r\n\r\n-- \r\nRen=E9, Harbour Street\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>The same</p>\r\n--b--\r\n";

    #[test]
    fn what_the_sender_wrote_and_nothing_else() {
        assert!(is_mail(MESSAGE.as_bytes()));
        let text = read(MESSAGE.as_bytes()).unwrap();
        assert_eq!(text, "The café by the bridge is shut until spring.\n\nIt opens again in April.\n\n");
    }

    #[test]
    fn a_body_of_html_in_base64_and_a_forwarded_message() {
        // printf '<html><body><p>See you on Monday.</p><p>--- Original Message ---</p><p>Old words.</p></body></html>' | base64 -w0
        let body = "PGh0bWw+PGJvZHk+PHA+U2VlIHlvdSBvbiBNb25kYXkuPC9wPjxwPi0tLSBPcmlnaW5hbCBNZXNzYWdlIC0tLTwvcD48cD5PbGQgd29yZHMuPC9wPjwvYm9keT48L2h0bWw+";
        let mail = format!(
            "From: a@example.org\nTo: b@example.org\nSubject: x\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\n{body}\n"
        );
        assert_eq!(read(mail.as_bytes()).unwrap().trim_end(), "See you on Monday.");
    }

    #[test]
    fn texts_that_only_look_like_messages() {
        for text in [
            "From: the author\nTo: the reader\n\nA letter in prose.",
            "Subject: a play\nDate: never\nFrom here it went on without a colon\n\nmore",
            "title: Notes\nauthor: me\ndate: today\n\nbody",
            "From the beginning: it was so.",
            "",
        ] {
            assert!(!is_mail(text.as_bytes()), "{text}");
        }
    }
}
