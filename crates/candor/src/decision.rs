//! From a raw score to a label. The only place where thresholds are compared.

use candor_models::{Calibration, Detection, WEAK_P};

use crate::{Label, Note};

/// What the policy makes of one detection.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) label: Label,
    /// Null when the detector abstains: its score must not be quoted.
    pub(crate) llr: Option<f64>,
    pub(crate) p_value: Option<f64>,
    pub(crate) abstention: Option<Note>,
    pub(crate) warning: Option<Note>,
}

/// Decides on one detection; `flag_p` in (0, 1), `plural` names the media in messages.
pub(crate) fn decide(
    detection: &Detection,
    calibration: &Calibration,
    flag_p: f64,
    plural: &str,
) -> Decision {
    let reachable = calibration.threshold(flag_p).is_some();
    let warning = (!reachable).then(|| {
        let message = format!(
            "{} genuine {plural} in the calibration set are too few to flag at p <= {flag_p}: at least {} are \
             needed; nothing is flagged",
            calibration.genuine_items(),
            // p * (n + 1) >= 1
            (1.0 / flag_p).ceil() - 1.0,
        );
        Note::new(Note::THRESHOLD_UNREACHABLE, message)
    });
    if let Some(abstain) = &detection.abstain {
        return Decision {
            label: Label::Inconclusive,
            llr: None,
            p_value: None,
            abstention: Some(Note::of(abstain.code, &abstain.message)),
            warning,
        };
    }
    let (llr, p) = (calibration.llr(detection.logit), calibration.p_value(detection.logit));
    let (label, abstention) = if reachable && p <= flag_p {
        (Label::Suspected, None)
    } else if p <= WEAK_P && llr > 0.0 {
        let message = if reachable {
            format!("the p-value {p:.3} lies between the flagging threshold {flag_p} and {WEAK_P}")
        } else {
            format!(
                "the p-value {p:.3} is at most {WEAK_P}, but the flagging threshold {flag_p} is out of reach"
            )
        };
        (Label::Inconclusive, Some(Note::new(Note::WEAK_EVIDENCE, message)))
    } else {
        (Label::NoSign, None)
    };
    Decision { label, llr: Some(llr), p_value: Some(p), abstention, warning }
}

#[cfg(test)]
mod tests {
    use candor_models::{Abstention, AbstentionCode, ScoreMap};

    use super::*;

    fn detection(logit: f64) -> Detection {
        Detection {
            logit,
            spread: 0.0,
            abstain: None,
            stratum: String::new(),
            map: ScoreMap::None,
            facts: Vec::new(),
        }
    }

    /// Genuine scores 0, 1, ... n - 1; a ratio of one at `centre`.
    fn calibration(n: u16, centre: f64) -> Calibration {
        Calibration {
            slope: 1.0,
            intercept: -centre,
            fabricated: 100,
            genuine: vec![(0..n).map(f32::from).collect()],
        }
    }

    fn label(logit: f64, n: u16, centre: f64, flag_p: f64) -> (Label, Option<String>) {
        let d = decide(&detection(logit), &calibration(n, centre), flag_p, "images");
        (d.label, d.abstention.map(|a| a.code))
    }

    #[test]
    fn labels_follow_the_p_value() {
        // 99 genuine items: 98.5 has p 0.01, 97.5 has 0.02, 96.5 has 0.03, 89.5 has 0.10, 88.5 has 0.11
        assert_eq!(label(98.5, 99, 50.0, 0.02), (Label::Suspected, None));
        assert_eq!(label(97.5, 99, 50.0, 0.02), (Label::Suspected, None));
        assert_eq!(label(96.5, 99, 50.0, 0.02), (Label::Inconclusive, Some("weak-evidence".into())));
        assert_eq!(label(89.5, 99, 50.0, 0.02), (Label::Inconclusive, Some("weak-evidence".into())));
        assert_eq!(label(88.5, 99, 50.0, 0.02), (Label::NoSign, None));
        assert_eq!(label(96.5, 99, 50.0, 0.05), (Label::Suspected, None));
    }

    #[test]
    fn a_rare_score_that_speaks_for_genuine_is_no_weak_evidence() {
        assert_eq!(label(96.5, 99, 97.0, 0.02), (Label::NoSign, None));
    }

    #[test]
    fn a_threshold_out_of_reach_never_flags_and_warns() {
        let d = decide(&detection(1e6), &calibration(20, 10.0), 0.02, "recordings");
        assert_eq!(d.label, Label::Inconclusive);
        let warning = d.warning.unwrap();
        assert_eq!(warning.code, "threshold-unreachable");
        assert!(warning.message.contains("20 genuine recordings"), "{}", warning.message);
        assert!(warning.message.contains("at least 49"), "{}", warning.message);
        assert!(decide(&detection(1e6), &calibration(49, 10.0), 0.02, "recordings").warning.is_none());
    }

    #[test]
    fn abstention_hides_the_figures() {
        let mut abstaining = detection(98.5);
        abstaining.abstain =
            Some(Abstention { code: AbstentionCode::TooSmall, message: "too small".to_owned() });
        let d = decide(&abstaining, &calibration(99, 50.0), 0.02, "images");
        assert_eq!((d.label, d.llr, d.p_value), (Label::Inconclusive, None, None));
        assert_eq!(d.abstention, Some(Note::new("too-small", "too small")));
    }
}
