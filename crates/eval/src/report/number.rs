//! Numbers in one format, the same on every machine.

use super::data::{Counts, Estimate};

/// Shown for what could not be measured.
pub(super) const MISSING: &str = "n/a";

/// Three decimals. A zero has no sign.
pub(super) fn fixed(value: f64) -> String {
    if !value.is_finite() {
        return MISSING.to_owned();
    }
    let text = format!("{value:.3}");
    if text == "-0.000" { "0.000".to_owned() } else { text }
}

/// As [`fixed`], with a sign in front of every number.
pub(super) fn signed(value: f64) -> String {
    let text = fixed(value);
    if value.is_finite() && !text.starts_with('-') { format!("+{text}") } else { text }
}

/// The interval in brackets, or nothing.
pub(super) fn interval(estimate: Estimate) -> Option<String> {
    estimate.interval().map(|(low, high)| format!("[{}, {}]", fixed(low), fixed(high)))
}

/// The number and its interval.
pub(super) fn estimate(e: Estimate) -> String {
    match interval(e) {
        Some(interval) => format!("{} {interval}", fixed(e.value)),
        None => fixed(e.value),
    }
}

/// Digits in groups of three.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// "1 group", "1,200 groups".
pub(super) fn items(n: u64, what: &str) -> String {
    format!("{} {what}{}", count(n), if n == 1 { "" } else { "s" })
}

/// "1,200 genuine and 900 machine-made".
pub(super) fn both(counts: Counts) -> String {
    format!("{} genuine and {} machine-made", count(counts.genuine), count(counts.fabricated))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_fixed() {
        assert_eq!(fixed(0.12349), "0.123");
        assert_eq!(fixed(-0.0001), "0.000");
        assert_eq!(fixed(f64::INFINITY), "n/a");
        assert_eq!(
            (signed(0.5), signed(-0.5), signed(f64::NAN)),
            ("+0.500".into(), "-0.500".into(), "n/a".into())
        );
        assert_eq!(estimate(Estimate::new(0.9, 0.8, 1.0)), "0.900 [0.800, 1.000]");
        assert_eq!(estimate(Estimate::bare(0.9)), "0.900");
        assert_eq!(
            (count(0), count(999), count(1_000), count(1_234_567)),
            ("0".into(), "999".into(), "1,000".into(), "1,234,567".into())
        );
    }
}
