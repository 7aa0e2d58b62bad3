//! Text decoding and features on input that no writer would write.

use candor_features::{
    Document, DocumentKind, Limits, WarningCode,
    sniff::TextFormat,
    text::{TextConfig, TextFeatures, decode, document, each_hit, features, normalise},
};
use proptest::{prelude::*, test_runner::RngSeed};

/// Decodes and computes everything; checks what holds for any input.
fn check(bytes: &[u8], format: TextFormat, limits: &Limits) -> Option<(Document, TextFeatures)> {
    let document = decode(bytes, format, limits).ok()?;
    let made = check_document(&document, bytes.len());
    Some((document, made))
}

fn check_document(document: &Document, source_len: usize) -> TextFeatures {
    let config = TextConfig::default();
    let made = features(document, &config);
    let (text, normal) = (&document.text, &made.normalised.text);
    let mut before = 0;
    for (at, c) in text.char_indices() {
        let source = document.map.source_range(at..at + c.len_utf8());
        assert!(source.start <= source.end && source.end <= source_len, "{source:?} of {source_len}");
        assert!(source.start >= before, "offsets go back");
        before = source.start;
    }
    for (at, c) in normal.char_indices() {
        let range = made.normalised.map.source_range(at..at + c.len_utf8());
        assert!(text.get(range.clone()).is_some(), "{range:?} is no part of the document");
    }
    let parts = &made.segmentation;
    let words = parts.words.iter().map(candor_features::text::Word::range);
    let mut end = 0;
    for sentence in &parts.sentences {
        assert!(sentence.start >= end && sentence.start < sentence.end);
        assert!(normal.get(end..sentence.start).is_some_and(|gap| gap.trim().is_empty()), "a gap holds text");
        end = sentence.end;
    }
    assert!(normal.get(end..).is_some_and(|gap| gap.trim().is_empty()));
    for range in words.chain(parts.paragraphs.iter().cloned()) {
        assert!(normal.get(range).is_some_and(|part| !part.is_empty()));
    }
    for range in made.document_sentences() {
        assert!(text.get(range).is_some());
    }
    assert!(made.style.iter().all(|v| v.is_finite()));
    assert!(made.bag.index.is_sorted_by(|a, b| a < b));
    let mut hits = 0;
    for sentence in 0..parts.sentences.len() {
        each_hit(normal, parts, sentence, &config.ngrams, |_| hits += 1);
    }
    assert_eq!(hits, made.bag.count.iter().map(|c| *c as usize).sum::<usize>());
    made
}

/// Pieces that parsers stumble over.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~]{0,20}",
        prop::sample::select(vec![
            "<",
            ">",
            "<p hidden>",
            "</p>",
            "<nav>",
            "<a b=\"",
            "'",
            "<!--",
            "-->",
            "<script>",
            "</script",
            "&",
            "&#x110000;",
            "&nbsp",
            "<pre>\n",
            "<main>",
            "```\n",
            "~~~~\n",
            "```md\n",
            "|a|\n|--|\n",
            "**",
            "_",
            "[",
            "](",
            ")",
            "![",
            "[^1]",
            "# ",
            "- ",
            "\n",
            "\r\n",
            "---\n",
            "\\",
            "\u{200D}",
            "\u{E0041}",
            "\u{301}",
            "e\u{323}\u{301}",
            "\u{1100}\u{1161}",
            "ﬀ",
            "ａ",
            "аbc",
            "α",
            "—",
            "--",
            "…",
            "....",
            "。",
            "\u{FEFF}",
            "\u{FFFD}",
            "😀",
            "👩\u{200D}🚀",
            "Dr.",
            "3.5",
            "\u{3000}",
            "\u{A0}",
            "中",
            "かな",
            "한글",
            "İ",
            "ß",
            "\u{0}",
        ])
        .prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 1..400), html: bool, cut in 0_u64..500) {
        let format = if html { TextFormat::Html } else { TextFormat::Plain };
        check(&bytes, format, &Limits { max_text_bytes: cut, ..Limits::default() });
    }

    #[test]
    fn any_text(pieces in prop::collection::vec(piece(), 0..30), html: bool) {
        let text = pieces.concat();
        let format = if html { TextFormat::Html } else { TextFormat::Plain };
        check(text.as_bytes(), format, &Limits::default());
        check_document(&document(&text), text.len());
        // The normal form is its own normal form.
        let once = normalise(&text).text;
        prop_assert_eq!(&normalise(&once).text, &once);
    }

    #[test]
    fn utf16_keeps_places(text in "[a-z 中文。é😀]{1,80}", big: bool, bom: bool) {
        let order = if big { u16::to_be_bytes } else { u16::to_le_bytes };
        let mark = if bom { "\u{FEFF}" } else { "" };
        // Enough spaces to be known without a mark.
        let text = format!("{text} a b. c d");
        let bytes: Vec<u8> = mark.encode_utf16().chain(text.encode_utf16()).flat_map(order).collect();
        let (made, _) = check(&bytes, TextFormat::Plain, &Limits::default()).unwrap();
        prop_assert_eq!(&made.text, &text);
        for (at, c) in made.text.char_indices() {
            let source = made.map.source_range(at..at + c.len_utf8());
            let expected: Vec<u8> = c.encode_utf16(&mut [0; 2]).iter().flat_map(|unit| order(*unit)).collect();
            prop_assert_eq!(&bytes[source], expected.as_slice());
        }
    }
}

#[test]
fn legacy_encodings_keep_places() {
    let cases = [
        (
            encoding_rs::GB18030,
            "委员会于星期二召开了今年的第三次会议，一致认为没有任何变化。ABC 然而，格林博士没有投票；她提前离开了。",
        ),
        (
            encoding_rs::SHIFT_JIS,
            "委員会は火曜日に今年三回目の会議を開き、何も変わっていないと認めた。ABC しかし、グリーン博士は投票しなかった。",
        ),
        (
            encoding_rs::EUC_KR,
            "위원회는 화요일에 올해 세 번째 회의를 열었다. 그러나 그린 박사는 투표하지 않았다.",
        ),
        (
            encoding_rs::BIG5,
            "委員會於星期二召開了今年的第三次會議，一致認為沒有任何變化。然而，格林博士沒有投票。",
        ),
        (
            encoding_rs::WINDOWS_1252,
            "The café’s owner said “naïve” things—and déjà vu came over the façade again.",
        ),
    ];
    for (encoding, text) in cases {
        let (bytes, _, failed) = encoding.encode(text);
        assert!(!failed);
        let (made, _) = check(&bytes, TextFormat::Plain, &Limits::default()).unwrap();
        assert_eq!(made.text, text);
        assert!(made.warnings.iter().any(|w| w.code == WarningCode::EncodingGuessed), "{}", made.encoding);
        for (at, c) in made.text.char_indices() {
            let source = made.map.source_range(at..at + c.len_utf8());
            let (expected, _, _) = encoding.encode(&text[at..at + c.len_utf8()]);
            assert_eq!(&bytes[source], &*expected, "{} {c}", made.encoding);
        }
        // A cut inside a character loses that character only.
        let cut = Limits { max_text_bytes: bytes.len() as u64 - 3, ..Limits::default() };
        let (made, _) = check(&bytes, TextFormat::Plain, &cut).unwrap();
        assert!(text.starts_with(&made.text) && made.text.chars().count() + 4 > text.chars().count());
        assert!(made.warnings.iter().any(|w| w.code == WarningCode::LimitReached));
    }
}

#[test]
fn damage_is_reported() {
    let codes = |bytes: &[u8]| {
        let made = decode(bytes, TextFormat::Plain, &Limits::default()).unwrap();
        (made.warnings.iter().map(|w| w.code).collect::<Vec<_>>(), made.text)
    };
    assert_eq!(codes("中文中文".as_bytes()).0, []);
    assert_eq!(codes(&"中文中文".as_bytes()[..11]), (vec![WarningCode::Truncated], "中文中".to_owned()));
    let mut bytes = "一份足够长的中文文本，其中一个字节是错的。".as_bytes().to_vec();
    bytes.insert(6, 0xFF);
    let (found, text) = codes(&bytes);
    assert_eq!(found, [WarningCode::BadSamples]);
    assert_eq!(text.matches('\u{FFFD}').count(), 1);
    assert!(decode(b"", TextFormat::Plain, &Limits::default()).is_err());
    // A page may say what it is written in.
    let page =
        [b"<html><meta charset=\"windows-1251\"><p>".as_slice(), &[0xCF, 0xF0, 0xE8], b"</p>"].concat();
    let made = decode(&page, TextFormat::Html, &Limits::default()).unwrap();
    assert_eq!((made.text.trim(), made.encoding, made.kind), ("При", "windows-1251", DocumentKind::Html));
}

#[test]
fn long_and_repetitive_input_ends() {
    let limits = Limits { max_text_bytes: 64 << 20, ..Limits::default() };
    let line = "word ".repeat(4 << 20);
    let (made, _) = check_quickly(line.as_bytes(), TextFormat::Plain, &limits);
    assert_eq!(made.text.len(), line.len());
    for unit in [
        "a",
        "<",
        "<a ",
        "<a b=\"",
        "<div hidden>",
        "<nav>",
        "<p hidden><p>",
        "[",
        "](",
        "![",
        "[a](b",
        "*a",
        "```\n",
        "```md\n",
        "````\n```\n",
        "|\n|--|\n",
        ". ",
        ".",
        "\"",
        "&",
        "&#",
        "\u{301}",
        "e\u{301}\u{323}",
        "\u{200B}",
        "а",
        "—",
        "…",
        "!\n",
        " ",
        "\n\n",
        "<script>",
        "<!--",
        "</",
        "\\",
        "1.",
        "'a",
        "\u{FFFD}",
        "한",
        "> ",
        "---\n",
        "a: b\n",
    ] {
        let text = unit.repeat((1 << 20) / unit.len());
        check_quickly(text.as_bytes(), TextFormat::Plain, &limits);
        check_quickly(text.as_bytes(), TextFormat::Html, &limits);
    }
    check_quickly(&vec![0xFF; 1 << 20], TextFormat::Plain, &limits);
    check_quickly(&vec![0x81; 1 << 20], TextFormat::Html, &limits);
    check_quickly(&vec![0; 1 << 20], TextFormat::Plain, &limits);
}

fn check_quickly(bytes: &[u8], format: TextFormat, limits: &Limits) -> (Document, TextFeatures) {
    let document = decode(bytes, format, limits).expect("damaged text is mended");
    let made = features(&document, &TextConfig::default());
    (document, made)
}

#[test]
fn emoji_and_code_are_read() {
    let (_, made) =
        check("😀🎉👍🏽👩\u{200D}🚀 ".repeat(100).as_bytes(), TextFormat::Plain, &Limits::default()).unwrap();
    assert_eq!(made.normalised.oddities.hidden(), 0);
    assert!(made.words == 0 && !made.language.covered());
    let code = "fn main() {\n    let x: Vec<u8> = vec![1, 2];\n    println!(\"{x:?}\");\n}\n".repeat(20);
    let (_, made) = check(code.as_bytes(), TextFormat::Plain, &Limits::default()).unwrap();
    assert!(!made.language.covered());
}
