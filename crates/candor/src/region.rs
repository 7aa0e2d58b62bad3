//! From partial logits to places in the file with evidence of their own.

use candor_features::Media;
use candor_models::{Calibration, ScoreMap};

use crate::verdict::Region;

/// Most regions that a verdict lists: those with the strongest evidence either way.
pub(crate) const MAX_REGIONS: usize = 64;

/// Partial logits in units of evidence (natural-log likelihood ratio), in the order of the map.
///
/// A tile or a window is scored on the scale of the whole file, so it passes through the calibration as a whole would;
/// a sentence holds a share of the sum, so only the slope applies.
pub(crate) fn evidence(map: &ScoreMap, calibration: &Calibration) -> Vec<f64> {
    match map {
        ScoreMap::Grid { logits, .. } | ScoreMap::Timeline { logits, .. } => {
            logits.iter().map(|&l| calibration.llr(f64::from(l))).collect()
        }
        ScoreMap::Sentences { logits, .. } => {
            logits.iter().map(|&l| calibration.slope * f64::from(l)).collect()
        }
        ScoreMap::None => Vec::new(),
    }
}

/// The places of a map with their evidence; empty when the map does not belong to this kind of media.
pub(crate) fn regions(map: &ScoreMap, media: &Media, evidence: &[f64]) -> Vec<Region> {
    let scored = evidence.iter().copied();
    match (map, media) {
        (&ScoreMap::Grid { cols, rows, .. }, Media::Image(m)) if cols > 0 && rows > 0 => (0..cols * rows)
            .zip(scored)
            .map(|(i, score)| {
                let (r, c) = (i / cols, i % cols);
                let (x, y) = (c * m.width / cols, r * m.height / rows);
                let (right, bottom) = ((c + 1) * m.width / cols, (r + 1) * m.height / rows);
                Region::Pixels { x, y, width: right - x, height: bottom - y, score }
            })
            .collect(),
        (ScoreMap::Timeline { windows, .. }, Media::Audio(_)) => windows
            .iter()
            .zip(scored)
            .map(|(&(start, end), score)| Region::Seconds { start, end, score })
            .collect(),
        (ScoreMap::Sentences { ranges, .. }, Media::Text(m)) => ranges
            .iter()
            .zip(scored)
            .map(|(range, score)| {
                let source = m.map.source_range(range.clone());
                Region::Bytes { start: source.start, end: source.end, score }
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// The [`MAX_REGIONS`] strongest regions in their old order.
pub(crate) fn strongest(regions: Vec<Region>) -> Vec<Region> {
    if regions.len() <= MAX_REGIONS {
        return regions;
    }
    let mut order: Vec<usize> = (0..regions.len()).collect();
    order.sort_by(|&a, &b| regions[b].score().abs().total_cmp(&regions[a].score().abs()));
    order.truncate(MAX_REGIONS);
    order.sort_unstable();
    order.into_iter().map(|i| regions[i]).collect()
}

#[cfg(test)]
mod tests {
    use candor_features::{Document, DocumentKind, OffsetMap, Pixels};

    use super::*;

    const CALIBRATION: Calibration =
        Calibration { slope: 2.0, intercept: -1.0, fabricated: 1000, genuine: Vec::new() };

    #[test]
    fn a_grid_covers_the_picture_without_gaps() {
        let media = Media::Image(Pixels::from_rgb(10, 7, vec![0; 210]).unwrap());
        let map = ScoreMap::Grid { cols: 3, rows: 2, logits: vec![0.0; 6] };
        let regions = regions(&map, &media, &[0.0; 6]);
        let area: usize = regions
            .iter()
            .map(|r| match r {
                Region::Pixels { width, height, .. } => width * height,
                _ => 0,
            })
            .sum();
        assert_eq!((regions.len(), area), (6, 70));
    }

    #[test]
    fn sentences_point_into_the_source_and_take_only_the_slope() {
        let mut offsets = OffsetMap::new(12);
        offsets.push(0, 3, true);
        let media = Media::Text(Document {
            text: "One. Two.".to_owned(),
            map: offsets,
            encoding: "UTF-8",
            kind: DocumentKind::Html,
            markup: candor_features::Markup::default(),
            warnings: Vec::new(),
        });
        let map = ScoreMap::Sentences { ranges: vec![0..4, 5..9], logits: vec![0.5, -0.25] };
        let evidence = evidence(&map, &CALIBRATION);
        assert_eq!(evidence, [1.0, -0.5]);
        assert_eq!(
            regions(&map, &media, &evidence),
            [
                Region::Bytes { start: 3, end: 7, score: 1.0 },
                Region::Bytes { start: 8, end: 12, score: -0.5 }
            ]
        );
    }

    #[test]
    fn a_map_of_another_kind_gives_no_regions() {
        let media = Media::Image(Pixels::from_rgb(1, 1, vec![0; 3]).unwrap());
        let map = ScoreMap::Timeline { windows: vec![(0.0, 1.0)], logits: vec![0.0] };
        assert!(regions(&map, &media, &[0.0]).is_empty());
    }

    #[test]
    fn only_the_strongest_regions_are_kept_in_order() {
        let all: Vec<Region> = (0..200_u8)
            .map(|i| {
                let start = f64::from(i);
                Region::Seconds { start, end: start + 1.0, score: if i % 2 == 0 { start } else { -start } }
            })
            .collect();
        let kept = strongest(all.clone());
        assert_eq!(kept, all[200 - MAX_REGIONS..]);
    }
}
