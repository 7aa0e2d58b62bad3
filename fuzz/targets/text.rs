//! Texts and documents: decoding, normal form, sentences, measures.
#![no_main]

use candor_features::Limits;
use candor_features::sniff::{Format, sniff};
use candor_features::text::{TextConfig, decode, features};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: candor_fuzz::contained(), |bytes: &[u8]| {
    let Ok(Format::Text(format)) = sniff(bytes) else { return };
    let limits = Limits { max_text_bytes: 1 << 14, ..Limits::default() };
    let Ok(document) = decode(bytes, format, &limits) else { return };
    let config: TextConfig = TextConfig::default();
    let features = features(&document, &config);
    assert!(features.style.iter().all(|x| x.is_finite()));
    for sentence in features.document_sentences() {
        assert!(document.text.get(sentence).is_some(), "a sentence is no part of the text");
    }
});
