//! A likelihood ratio in words, and what it does to a prior.

/// How strongly a finding supports one proposition over the other.
///
/// The steps are those of the ENFSI Guideline for Evaluative Reporting in Forensic Science (2015), table of verbal
/// equivalents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Support {
    /// A ratio below 2: the finding does not help to decide.
    None,
    /// 2 to 10.
    Weak,
    /// 10 to 100.
    Moderate,
    /// 100 to 1,000.
    ModeratelyStrong,
    /// 1,000 to 10,000.
    Strong,
    /// 10,000 to 1,000,000.
    VeryStrong,
    /// More.
    ExtremelyStrong,
}

/// The support that a natural-log likelihood ratio gives to the side of its sign.
pub fn support(llr: f64) -> Support {
    match llr.abs().exp() {
        r if r < 2.0 => Support::None,
        r if r < 10.0 => Support::Weak,
        r if r < 100.0 => Support::Moderate,
        r if r < 1e3 => Support::ModeratelyStrong,
        r if r < 1e4 => Support::Strong,
        r if r < 1e6 => Support::VeryStrong,
        _ => Support::ExtremelyStrong,
    }
}

/// The probability after a natural-log likelihood ratio, from that before it, by Bayes' rule.
pub fn posterior(prior: f64, llr: f64) -> f64 {
    let odds = prior / (1.0 - prior) * llr.exp();
    if odds.is_infinite() { 1.0 } else { odds / (1.0 + odds) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_follow_the_ratio_to_either_side() {
        let steps = [
            (1.5, Support::None),
            (2.1, Support::Weak),
            (50.0, Support::Moderate),
            (500.0, Support::ModeratelyStrong),
            (5e3, Support::Strong),
            (5e5, Support::VeryStrong),
            (5e7, Support::ExtremelyStrong),
        ];
        for (ratio, expected) in steps {
            assert_eq!(support(f64::ln(ratio)), expected);
            assert_eq!(support(-f64::ln(ratio)), expected);
        }
    }

    #[test]
    fn bayes_rule() {
        assert!((posterior(0.5, 9.0_f64.ln()) - 0.9).abs() < 1e-12);
        assert!((posterior(0.01, 99.0_f64.ln()) - 0.5).abs() < 1e-12);
        assert_eq!(posterior(0.5, 1e6), 1.0);
        assert_eq!(posterior(0.5, -1e6), 0.0);
    }
}
