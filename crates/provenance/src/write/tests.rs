use proptest::prelude::*;

use super::*;
use crate::container::{jpeg, pdf, png};
use crate::meta::exif;
use crate::{Says, Trust, inspect};

fn sample() -> Label {
    Label { reserved_code1: "{\"Type\":\"x\"}".into(), ..Label::generated("Maker <&> Co", "no-1") }
}

/// Labels a file, labels it again, replaces the label, and checks that it is read each time.
fn round(name: &str, file: &[u8]) -> Vec<u8> {
    let one = label(file, &sample(), Options::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let report = inspect(&one.bytes, &Limits::default(), &Trust::default());
    let found: Vec<_> = report.statements.iter().filter(|s| s.id == "china-aigc").collect();
    assert_eq!(found.len(), 1, "{name}: {report:?}");
    assert_eq!(found[0].says, Says::Ai);
    assert!(found[0].raw.iter().any(|f| f.key == "ContentProducer" && f.value == "Maker <&> Co"), "{name}");
    assert!(report.warnings.is_empty(), "{name}: {:?}", report.warnings);
    let again = label(&one.bytes, &sample(), Options::default());
    assert!(matches!(again, Err(Error::AlreadyLabelled)), "{name}");
    let other = Label { kind: LabelKind::Suspected, ..Label::generated("Another", "") };
    let two = label(&one.bytes, &other, Options { replace: true }).unwrap_or_else(|e| panic!("{name}: {e}"));
    let (labels, ..) = survey(&two.bytes);
    assert_eq!(labels.iter().map(|l| l.label).collect::<Vec<_>>(), [3], "{name}");
    one.bytes
}

fn riff(kind: &[u8], chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut body = kind.to_vec();
    for (id, data) in chunks {
        image::riff_chunk(**id, data, &mut body);
    }
    [b"RIFF", &(body.len() as u32).to_le_bytes()[..], &body].concat()
}

fn gif() -> Vec<u8> {
    let mut out = b"GIF87a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff".to_vec();
    out.extend(b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b");
    out
}

fn bx(kind: &[u8], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat()
}

/// `ftyp`, `moov` with one chunk offset, `mdat`: the offset points at the first byte of the media.
fn mp4(user: &[u8]) -> Vec<u8> {
    let start = bx(b"ftyp", b"isom\0\0\0\0");
    let movie = |offset: u32| {
        let table = bx(b"stco", &[&[0, 0, 0, 0, 0, 0, 0, 1], &offset.to_be_bytes()[..]].concat());
        let track = bx(b"trak", &bx(b"mdia", &bx(b"minf", &bx(b"stbl", &table))));
        bx(b"moov", &[track, user.to_vec()].concat())
    };
    let offset = (start.len() + movie(0).len() + 8) as u32;
    [start, movie(offset), bx(b"mdat", b"MEDIA")].concat()
}

fn chunk_offset(file: &[u8]) -> usize {
    let at = crate::bytes::find(file, b"stco").unwrap() + 12;
    crate::bytes::be32(file, at).unwrap() as usize
}

fn ogg_page(flags: u8, number: u32, packets: &[&[u8]]) -> Vec<u8> {
    let mut out = b"OggS\0".to_vec();
    out.push(flags);
    out.extend([0; 8]);
    out.extend(7_u32.to_le_bytes());
    out.extend(number.to_le_bytes());
    out.extend([0; 4]);
    let mut lacing = Vec::new();
    for packet in packets {
        lacing.extend(std::iter::repeat_n(255, packet.len() / 255));
        lacing.push((packet.len() % 255) as u8);
    }
    out.push(lacing.len() as u8);
    out.extend(lacing);
    for packet in packets {
        out.extend_from_slice(packet);
    }
    let crc = audio::ogg_crc(&out);
    out[22..26].copy_from_slice(&crc.to_le_bytes());
    out
}

#[test]
fn jpeg_keeps_its_segments() {
    let exif = [b"Exif\0\0", &exif::tests::tiff(&[(0x0131, b"Program\0")])[..]].concat();
    let file = jpeg::tests::jpeg(&[(0xe0, b"JFIF\0\x01\x01"), (0xe1, &exif), (0xfe, b"a comment")]);
    let out = round("jpeg", &file);
    let (segments, ..) = jpeg::segments(&out, 99);
    let markers: Vec<_> = segments.iter().map(|s| s.marker).collect();
    assert_eq!(markers, [0xe0, 0xe1, 0xe1, 0xfe, 0xda]);
    assert!(out.ends_with(&file[file.len() - 24..]));
}

#[test]
fn a_label_elsewhere_is_not_overlooked() {
    let exif = [b"Exif\0\0", &exif::tests::tiff(&[(0x9286, b"ASCII\0\0\0{\"AIGC\":{\"Label\":\"1\"}}")])[..]]
        .concat();
    let file = jpeg::tests::jpeg(&[(0xe1, &exif)]);
    assert!(matches!(label(&file, &sample(), Options::default()), Err(Error::AlreadyLabelled)));
    let new = label(&file, &sample(), Options { replace: true }).unwrap();
    assert_eq!(survey(&new.bytes).0.len(), 1);
    let wide: Vec<u8> = b"{\"AIGC\":{\"Label\":\"1\"}}".iter().flat_map(|b| [0, *b]).collect();
    let exif =
        [b"Exif\0\0", &exif::tests::tiff(&[(0x9286, &[b"UNICODE\0", &wide[..]].concat())])[..]].concat();
    let file = jpeg::tests::jpeg(&[(0xe1, &exif)]);
    assert!(matches!(label(&file, &sample(), Options { replace: true }), Err(Error::Refused(_))));
}

#[test]
fn png_keeps_its_chunks() {
    let out = round("png", &png::tests::png(&[(b"tEXt", b"Title\0x")]));
    assert!(crate::bytes::find(&out, b"tEXtTitle\0x").is_some());
    let old = png::tests::png(&[(b"tEXt", b"AIGC\0{\"Label\":\"2\"}")]);
    let new = label(&old, &sample(), Options { replace: true }).unwrap();
    assert_eq!(survey(&new.bytes).0[0].label, 1);
}

#[test]
fn webp_gets_its_extended_header() {
    let lossy = [&[0, 0, 0, 0x9d, 1, 0x2a, 16, 0, 9, 0][..], &[0; 5]].concat();
    let out = round("webp", &riff(b"WEBP", &[(b"VP8 ", &lossy)]));
    assert_eq!(&out[12..16], b"VP8X");
    assert_eq!(&out[20..30], &[4, 0, 0, 0, 15, 0, 0, 8, 0, 0]);
    round("webp with a header", &riff(b"WEBP", &[(b"VP8X", &[0; 10]), (b"VP8 ", &lossy)]));
}

#[test]
fn gif_and_tiff() {
    let out = round("gif", &gif());
    assert!(out.starts_with(b"GIF89a"));
    let out = round("tiff", &exif::tests::tiff(&[(0x0131, b"Program\0"), (0x8298, b"Somebody\0")]));
    let limits = Limits::default();
    let mut sink = Sink::new(&limits);
    exif::read(&out, "TIFF", 0, &mut sink);
    assert_eq!(sink.texts.iter().map(|t| t.value.as_str()).collect::<Vec<_>>(), ["Program", "Somebody"]);
}

#[test]
fn recordings() {
    let frame = [&[0xff, 0xfb, 0x90, 0x00][..], &[0; 413]].concat();
    round("mp3 without a tag", &frame.repeat(3));
    let tagged = [b"ID3\x03\0\0\0\0\0\x0f", &b"TIT2\0\0\0\x05\0\0\0Song"[..], &frame].concat();
    let out = round("mp3 with a tag", &tagged);
    assert!(crate::bytes::find(&out, b"TIT2\0\0\0\x05\0\0\0Song").is_some());
    let padded = [&b"ID3\x04\0\0\0\0\x07\x68"[..], &[0; 1000], &frame].concat();
    assert_eq!(round("mp3 with padding", &padded).len(), padded.len());
    let wav = riff(b"WAVE", &[(b"fmt ", &[0; 16]), (b"data", &[1; 7])]);
    let out = round("wav", &wav);
    assert_eq!(out[12..wav.len()], wav[12..]);
    let flac = [b"fLaC\0\0\0\x22", &[0; 34][..], &[0x81, 0, 0, 2, 0, 0], b"frames"].concat();
    assert!(round("flac", &flac).ends_with(b"frames"));
    let tags = b"OpusTags\x01\0\0\0v\x01\0\0\0\x03\0\0\0a=b";
    let opus =
        [ogg_page(2, 0, &[b"OpusHead\x01"]), ogg_page(0, 1, &[tags]), ogg_page(4, 2, &[b"sound"])].concat();
    let out = round("ogg", &opus);
    assert!(crate::bytes::find(&out, b"a=b").is_some());
    let last = crate::bytes::rfind(&out, b"OggS").unwrap();
    assert_eq!(out[last..], opus[opus.len() - (out.len() - last)..]);
}

#[test]
fn mp4_offsets_follow_the_media() {
    let list = bx(b"ilst", &bx(b"\xa9too", &bx(b"data", b"\0\0\0\x01\0\0\0\0Enc")));
    let itunes = bx(
        b"meta",
        &[&[0; 4], &bx(b"hdlr", b"\0\0\0\0\0\0\0\0mdirappl\0\0\0\0\0\0\0\0\0")[..], &list].concat(),
    );
    let users =
        [vec![], bx(b"udta", &[bx(b"\xa9cmt", b"\0\x01\0\0x"), vec![0; 4]].concat()), bx(b"udta", &itunes)];
    for (i, user) in users.iter().enumerate() {
        let out = round(&format!("mp4 {i}"), &mp4(user));
        let at = chunk_offset(&out);
        assert_eq!(&out[at..at + 5], b"MEDIA");
    }
    let fragmented = [mp4(&[]), bx(b"moof", &[])].concat();
    assert!(matches!(label(&fragmented, &sample(), Options::default()), Err(Error::Refused(_))));
}

#[test]
fn documents() {
    let file = pdf::tests::pdf(&["<< /Type /Catalog >>", "<< /Title (A) >>"], "/Root 1 0 R /Info 2 0 R");
    let out = round("pdf", &file);
    assert!(out.starts_with(&file));
    round("pdf without info", &pdf::tests::pdf(&["<< /Type /Catalog >>"], "/Root 1 0 R"));
    let out = round("markdown", b"---\ntitle: A\n---\nText\n");
    assert!(out.starts_with(b"---\ntitle: A\nAIGC:\n  Label: \"1\"\n") && out.ends_with(b"---\nText\n"));
    round("markdown without front matter", b"# Title\n\nText\n");
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in [
        ("[Content_Types].xml", "<Types></Types>"),
        ("_rels/.rels", "<Relationships></Relationships>"),
        ("word/document.xml", "<w/>"),
    ] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    round("docx", &zip.finish().unwrap().into_inner());
}

#[test]
fn labels_are_checked() {
    assert!(matches!(Label::generated("é", "1").to_json(), Err(Error::Label(_))));
    assert!(matches!(Label::generated("", "1").to_json(), Err(Error::Label(_))));
    assert!(Label::generated("a\"b", "").to_json().unwrap().contains("a\\\"b"));
    assert!(matches!(label(b"\0\x01\x02", &sample(), Options::default()), Err(Error::Unsupported(_))));
}

#[test]
fn a_file_is_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    std::fs::write(&path, png::tests::png(&[])).unwrap();
    assert!(label_file(&path, &sample(), Options::default()).unwrap().is_empty());
    assert!(inspect(&std::fs::read(&path).unwrap(), &Limits::default(), &Trust::default()).ai().is_some());
    assert!(matches!(label_file(&path, &sample(), Options::default()), Err(Error::AlreadyLabelled)));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

proptest! {
    #[test]
    fn damaged_files_are_refused_or_labelled(cut in 0_usize..400, flip in 0_usize..400, value in any::<u8>(), which in 0..6) {
        let mut file = match which {
            0 => jpeg::tests::jpeg(&[(0xfe, b"x")]),
            1 => png::tests::png(&[(b"tEXt", b"a\0b")]),
            2 => mp4(&bx(b"udta", &[])),
            3 => exif::tests::tiff(&[(0x0131, b"Program\0")]),
            4 => pdf::tests::pdf(&["<< /Type /Catalog >>"], "/Root 1 0 R"),
            _ => gif(),
        };
        let at = flip % file.len();
        file[at] = value;
        file.truncate(cut.max(1));
        if let Ok(done) = label(&file, &sample(), Options::default()) {
            prop_assert_eq!(survey(&done.bytes).0.len(), 1);
        }
    }
}
