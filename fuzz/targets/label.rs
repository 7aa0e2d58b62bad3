//! Labels into damaged files: refused, or read back as written.
#![no_main]

use candor_provenance::write::{Label, Options, label};
use candor_provenance::{Limits, Trust, inspect};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: candor_fuzz::contained(), |bytes: &[u8]| {
    let new = Label::generated("candor-fuzz", "1");
    for replace in [false, true] {
        let Ok(done) = label(bytes, &new, Options { replace }) else { continue };
        let report = inspect(&done.bytes, &Limits::default(), &Trust::default());
        assert!(report.statements.iter().any(|s| s.id == "china-aigc"), "the label cannot be read");
        assert!(label(&done.bytes, &new, Options { replace: false }).is_err(), "labelled twice");
    }
});
