use proptest::prelude::*;

use super::*;
use crate::container::{jpeg, png};
use crate::meta::exif;

fn ids(file: &[u8]) -> Vec<(String, Grade, Says)> {
    let report = inspect(file, &Limits::default(), &Trust::default());
    report.statements.into_iter().map(|s| (s.id, s.grade, s.says)).collect()
}

fn xmp(properties: &str) -> Vec<u8> {
    let packet = format!(
        "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>\
         <rdf:Description rdf:about='' xmlns:e='http://iptc.org/std/Iptc4xmpExt/2008-02-29/' \
         xmlns:p='http://ns.adobe.com/photoshop/1.0/' xmlns:t='http://www.tc260.org.cn/ns/AIGC/1.0/' \
         xmlns:dc='http://purl.org/dc/elements/1.1/' xmlns:xmp='http://ns.adobe.com/xap/1.0/'>{properties}\
         </rdf:Description></rdf:RDF></x:xmpmeta>"
    );
    jpeg::tests::jpeg(&[(0xe1, &[jpeg::XMP, packet.as_bytes()].concat())])
}

fn with_exif(tags: &[(u16, &[u8])]) -> Vec<u8> {
    jpeg::tests::jpeg(&[(0xe1, &[b"Exif\0\0", &exif::tests::tiff(tags)[..]].concat())])
}

#[test]
fn xmp_statements_and_their_traps() {
    let typed = |code: &str| {
        xmp(&format!(
            "<e:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/{code}</e:DigitalSourceType>"
        ))
    };
    assert_eq!(
        ids(&typed("trainedAlgorithmicMedia")),
        [("xmp/digital-source-type".into(), Grade::Strong, Says::Ai)]
    );
    assert_eq!(ids(&typed("compositeSynthetic"))[0].2, Says::AiEdited);
    assert_eq!(ids(&typed("digitalCapture"))[0].2, Says::Capture);
    assert_eq!(ids(&typed("algorithmicMedia"))[0].2, Says::Procedural);
    assert_eq!(ids(&xmp("<p:Credit>Made with Google AI</p:Credit>"))[0].0, "iptc/credit");
    assert_eq!(ids(&xmp("<xmp:CreatorTool>Ideogram AI</xmp:CreatorTool>"))[0].0, "metadata/generator-name");
    for trap in [
        "<dc:description>trainedAlgorithmicMedia, AIGC, made with Google AI</dc:description>",
        "<e:ArtworkOrObject rdf:parseType='Resource'><e:DigitalSourceType>trainedAlgorithmicMedia</e:DigitalSourceType></e:ArtworkOrObject>",
        "<xmp:CreatorTool>Not Midjourney at all</xmp:CreatorTool>",
        "<t:AIGC>soon</t:AIGC>",
    ] {
        assert!(ids(&xmp(trap)).is_empty(), "{trap}");
    }
}

#[test]
fn exif_statements_and_their_traps() {
    let parameters = b"UNICODE\0\0a\0\n\0S\0t\0e\0p\0s\0:\0 \x009\0,\0 \0S\0e\0e\0d\0:\0 \x005";
    assert_eq!(ids(&with_exif(&[(0x9286, parameters)]))[0].0, "generator/a1111");
    let graph = b"prompt:{\"3\": {\"class_type\": \"KSampler\", \"inputs\": {}}}\0";
    assert_eq!(ids(&with_exif(&[(0x0110, graph)]))[0].0, "generator/comfyui");
    let uuid = b"2b6e053b-9a65-4ca9-9e13-b6f4465164d4\0";
    let signature = [b"Signature: ", &b"QUJD".repeat(16)[..], b"\0"].concat();
    assert_eq!(ids(&with_exif(&[(0x010e, &signature), (0x013b, uuid)]))[0].0, "generator/grok");
    assert!(ids(&with_exif(&[(0x010e, &signature)])).is_empty());
    assert!(ids(&with_exif(&[(0x013b, uuid)])).is_empty());
    assert!(ids(&with_exif(&[(0x9286, b"oplus_1048576"), (0x010f, b"OPPO\0")])).is_empty());
    let app = br#"{"data":{"product":"x","aigc_info":"{\"aigc_type\":0}"}}"#;
    assert!(ids(&with_exif(&[(0x9286, app)])).iter().all(|s| !s.2.is_ai()));
}

#[test]
fn png_statements_and_their_traps() {
    let of = |key: &str, text: &str| ids(&png::tests::png(&[(b"tEXt", format!("{key}\0{text}").as_bytes())]));
    assert_eq!(of("parameters", "x\nSteps: 2, Sampler: y")[0].0, "generator/a1111");
    assert_eq!(of("parameters", "{\"sui_image_params\": {\"prompt\": \"x\"}}")[0].0, "generator/swarmui");
    assert_eq!(of("Dream", "\"a cat\" -s 50 -S 42 -W 512 -H 512 -C 7.5 -A k_lms")[0].0, "generator/invokeai");
    assert_eq!(of("AIGC", "{\"Label\":\"2\"}")[0].2, Says::AiSuspected);
    assert!(of("parameters", "{\"exposure\": 1.5, \"steps\": 12}").is_empty());
    assert!(of("Comment", "made with AIGC and xAI").is_empty());
    assert!(
        of("postprocessing", "Postprocess upscale by: 4, Postprocess upscaler: R-ESRGAN")
            .iter()
            .all(|s| !s.2.is_ai())
    );
    let scale = "{\"1\": {\"class_type\": \"LoadImage\"}, \"2\": {\"class_type\": \"ImageScale\"}}";
    assert!(of("prompt", scale).iter().all(|s| !s.2.is_ai()));
}

#[test]
fn contradicting_labels_are_named() {
    let file =
        png::tests::png(&[(b"tEXt", b"AIGC\0{\"Label\":\"1\"}"), (b"tEXt", b"AIGC\0{\"Label\":\"3\"}")]);
    let report = inspect(&file, &Limits::default(), &Trust::default());
    assert_eq!(report.statements.len(), 2);
    assert!(report.warnings.iter().any(|w| w.code == WarningCode::Contradiction));
}

#[test]
fn values_are_cut_and_the_report_has_a_stable_shape() {
    let file = png::tests::png(&[(
        b"tEXt",
        format!("parameters\0{}\nSteps: 1, Seed: 2", "x".repeat(9999)).as_bytes(),
    )]);
    let limits = Limits { max_raw: 10, ..Limits::default() };
    let report = inspect(&file, &limits, &Trust::default());
    assert_eq!(report.statements[0].raw[0].value, "xxxxxxxxxx");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["statements"][0]["grade"], "strong");
    assert_eq!(json["statements"][0]["says"], "ai");
    assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
}

const STARTS: [&[u8]; 20] = [
    b"\xff\xd8\xff\xe1",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF\xff\0\0\0WEBP",
    b"RIFF\xff\0\0\0WAVE",
    b"RIFF\xff\0\0\0AVI ",
    b"RF64\xff\xff\xff\xffWAVE",
    b"GIF89a",
    b"II*\0\x08\0\0\0",
    b"MM\0+\0\x08\0\0\0\0\0\0\0\0\0\x10",
    b"\0\0\0\x10ftypisom\0\0\0\0",
    b"\0\0\0\0moov\0\0\0\0udta\0\0\0\0meta",
    b"FORM\0\0\0\xffAIFF",
    b"caff\0\x01\0\0info",
    b"fLaC\x04\0\0\x40",
    b"OggS\0\x02",
    b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff\x12\x54\xc3\x67\x90",
    b"FLV\x01\x05\0\0\0\x09\0\0\0\0\x12\0\0\x40",
    b"%PDF-1.7\n",
    b"PK\x03\x04",
    b"<svg xmlns='",
];

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..600), start in 0..STARTS.len()) {
        let _ = inspect(&bytes, &Limits::default(), &Trust::default());
        let _ = inspect(&[STARTS[start], &bytes].concat(), &Limits::default(), &Trust::default());
    }

    #[test]
    fn a_changed_byte_does_no_harm(at in any::<usize>(), value in any::<u8>(), cut in any::<usize>()) {
        let mut file = xmp("<e:DigitalSourceType>trainedAlgorithmicMedia</e:DigitalSourceType>");
        let n = file.len();
        file[at % n] = value;
        let _ = inspect(&file, &Limits::default(), &Trust::default());
        let _ = inspect(&file[..cut % n], &Limits::default(), &Trust::default());
    }
}
