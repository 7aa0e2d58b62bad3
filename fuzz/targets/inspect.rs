//! Containers and metadata, all of them: what a file declares.
#![no_main]

use candor_provenance::{Limits, Trust, inspect};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: candor_fuzz::contained(), |bytes: &[u8]| {
    let limits = Limits {
        max_items: 4_096,
        max_inflated: 1 << 20,
        max_value: 1 << 20,
        max_pixels: 1 << 16,
        ..Limits::default()
    };
    let report = inspect(bytes, &limits, &Trust::default());
    assert!(report.statements.len() <= limits.max_statements);
    for statement in &report.statements {
        assert!(statement.raw.iter().all(|field| field.value.len() <= limits.max_raw));
    }
});
