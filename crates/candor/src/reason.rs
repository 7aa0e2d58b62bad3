//! Verdicts in plain language.

use candor_features::MediaKind;
use candor_models::Calibrations;

use crate::verdict::Region;

/// `image` and `images`, as they are written in sentences.
pub(crate) fn nouns(kind: MediaKind) -> (&'static str, &'static str) {
    match kind {
        MediaKind::Image => ("image", "images"),
        MediaKind::Audio => ("recording", "recordings"),
        MediaKind::Text => ("text", "texts"),
    }
}

/// Where a score stands among the genuine items of the calibration set, those of its stratum where that has a
/// calibration of its own.
pub(crate) fn rank(score: f64, calibrations: &Calibrations, stratum: &str, kind: MediaKind) -> String {
    let mut plural = nouns(kind).1.to_owned();
    if calibrations.strata.contains_key(stratum) {
        plural = format!("{plural} ({stratum})");
    }
    let (at_least, n) = calibrations.of(stratum).at_least(score);
    let below = n - at_least;
    // Rounded down, so that "100.0 %" is never said of less than all.
    let percent = |count: usize| (1000.0 * count as f64 / n.max(1) as f64).floor() / 10.0;
    if n > 0 && below == n {
        format!("network score {score:.2} is higher than all {n} genuine {plural} of the calibration set")
    } else if 2 * below >= n {
        format!("network score {score:.2} is higher than {:.1} % of genuine {plural}", percent(below))
    } else {
        let at_least = percent(at_least);
        format!(
            "network score {score:.2} is common: {at_least:.1} % of genuine {plural} score at least as high"
        )
    }
}

/// A likelihood ratio in words; `llr` is its natural logarithm.
pub(crate) fn ratio(llr: f64, kind: MediaKind) -> String {
    let (one, _) = nouns(kind);
    let article = if kind == MediaKind::Image { "an" } else { "a" };
    let times = llr.abs().exp();
    let times = if times < 10.0 { format!("{times:.1}") } else { format!("{times:.0}") };
    if llr.abs() < 0.1 {
        format!("such a score is about as likely for {article} {one} of either kind")
    } else if llr > 0.0 {
        format!("such a score is {times} times as likely for a machine-made {one} as for a genuine one")
    } else {
        format!("such a score is {times} times as likely for a genuine {one} as for a machine-made one")
    }
}

/// The place with the strongest evidence for a machine; `None` when the parts cannot be told apart.
pub(crate) fn place(regions: &[Region]) -> Option<String> {
    if regions.len() < 2 {
        return None;
    }
    let strongest = regions.iter().max_by(|a, b| a.score().total_cmp(&b.score()))?;
    Some(match *strongest {
        Region::Pixels { x, y, width, height, .. } => {
            format!("strongest in the {width}x{height} px rectangle at ({x}, {y})")
        }
        Region::Seconds { start, end, .. } => format!("strongest from {start:.1} s to {end:.1} s"),
        Region::Bytes { start, end, .. } => format!("strongest in bytes {start} to {end}"),
    })
}

#[cfg(test)]
mod tests {
    use candor_models::Calibration;

    use super::*;

    #[test]
    fn ranks_read_as_sentences_and_never_overstate() {
        let calibration = |genuine: u16| Calibration {
            slope: 1.0,
            intercept: 0.0,
            fabricated: 9,
            genuine: vec![(0..genuine).map(f32::from).collect()],
        };
        let mut c = Calibrations::from(calibration(2000));
        c.strata.insert("small".to_owned(), calibration(100));
        assert_eq!(
            rank(50.5, &c, "small", MediaKind::Image),
            "network score 50.50 is higher than 51.0 % of genuine images (small)"
        );
        let rank = |s| rank(s, &c, "", MediaKind::Image);
        assert_eq!(
            rank(1e4),
            "network score 10000.00 is higher than all 2000 genuine images of the calibration set"
        );
        assert_eq!(rank(1998.5), "network score 1998.50 is higher than 99.9 % of genuine images");
        assert_eq!(
            rank(0.5),
            "network score 0.50 is common: 99.9 % of genuine images score at least as high"
        );
    }

    #[test]
    fn ratios_name_the_side_they_speak_for() {
        assert!(ratio(3.0, MediaKind::Audio).contains("20 times as likely for a machine-made recording"));
        assert!(ratio(-1.0, MediaKind::Text).contains("2.7 times as likely for a genuine text"));
        assert!(ratio(0.01, MediaKind::Image).contains("an image of either kind"));
    }

    #[test]
    fn the_strongest_place_is_named_only_among_several() {
        let a = Region::Seconds { start: 0.0, end: 4.0, score: 1.0 };
        let b = Region::Seconds { start: 2.0, end: 6.0, score: 2.0 };
        assert_eq!(place(&[a]), None);
        assert_eq!(place(&[a, b]).unwrap(), "strongest from 2.0 s to 6.0 s");
    }
}
