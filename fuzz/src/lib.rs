//! What the targets share.

use candor_provenance::{Limits, Trust, inspect};

/// Lets a panic that the code itself contains go by: a decoder's fault that becomes an error is no finding. One that comes out
/// still ends the run, since libFuzzer's wrapper aborts.
pub fn contained() {
    std::panic::set_hook(Box::new(|_| {}));
}

/// Reads what a file declares, and checks that no limit is passed.
pub fn inspected(bytes: &[u8]) {
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
}
