//! How far a detector's map finds what was put into a genuine item.
//!
//! A composite is a genuine item with a part of a machine-made one in it: a rectangle of a picture, one to three seconds of
//! a recording, sentences of a text. Both come from the collection, so that host and part have been through the same
//! hands; the place is drawn by the names of both.

use candor::{Media, MediaKind, Pixels, Scanner, Waveform};
use candor_features::{
    image::launder::{crop, recompress, resize_to_longest},
    text::{document, segment},
};
use candor_metrics::{self as metrics, Scored};
use candor_models::ScoreMap;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use crate::{
    data::Item,
    measure::booted,
    report::data::{Estimate, Localisation, MetricRow},
};

/// Longest side of a composite picture in pixels.
const LONGEST: usize = 1024;
/// Least side of what is put into a picture, in pixels.
const LEAST_SIDE: usize = 32;
/// Least length of a host recording in seconds; shorter ones are continued by others of their group.
const HOST_SECONDS: usize = 12;
/// Cross-fade at both ends of what is put into a recording, in samples: 10 ms.
const FADE: usize = Waveform::RATE as usize / 100;
/// Samples of a second.
const SECOND: usize = Waveform::RATE as usize;

/// Where a part was put.
#[derive(Debug, Clone, PartialEq)]
enum Place {
    /// Left, top, right and bottom as shares of width and height.
    Rectangle([f64; 4]),
    /// Start and end in seconds.
    Seconds([f64; 2]),
    /// Start and end in bytes of the text.
    Bytes([usize; 2]),
}

/// A composite that was scored.
#[derive(Debug, Clone, PartialEq)]
pub struct Composite {
    /// Name of the host.
    pub name: String,
    /// Group of the host.
    pub group: String,
    /// Score of each part of the map, and whether the part lies in what was put in.
    pub parts: Vec<(f64, bool)>,
}

/// Puts a part of `donor` into the first of `hosts`, which is continued by the others where it is a short recording, and
/// scores the parts of the result. `None` where an item can't be read, is too small or is not scored.
pub fn composite(scanner: &Scanner, hosts: &[&Item], donor: &Item) -> Option<Composite> {
    let read = |item: &Item| candor_features::decode(&item.bytes().ok()?, &scanner.options().limits).ok();
    let first = hosts.first()?;
    let digest =
        Sha256::new().chain_update(&first.name).chain_update([0]).chain_update(&donor.name).finalize();
    let mut rng = ChaCha8Rng::from_seed(digest.into());
    let (media, place) = match (read(first)?, read(donor)?) {
        (Media::Image(host), Media::Image(donor)) => {
            let (pixels, rectangle) = picture(&host, &donor, &mut rng)?;
            (Media::Image(pixels), Place::Rectangle(rectangle))
        }
        (Media::Audio(host), Media::Audio(donor)) => {
            let mut samples = host.samples.clone();
            for more in hosts.iter().skip(1) {
                if samples.len() >= HOST_SECONDS * SECOND {
                    break;
                }
                let Some(Media::Audio(more)) = read(more) else { continue };
                samples.extend(more.samples);
            }
            let seconds = recording(&mut samples, &donor.samples, &mut rng)?;
            (Media::Audio(Waveform { samples, ..host }), Place::Seconds(seconds))
        }
        (Media::Text(host), Media::Text(donor)) => {
            let (text, bytes) = text(&host.text, &donor.text, &mut rng)?;
            (Media::Text(document(&text)), Place::Bytes(bytes))
        }
        _ => return None,
    };
    let map = scanner.scan_media(&first.name, media).detection?.map;
    let parts = parts(&map, &place);
    let inside = parts.iter().filter(|p| p.1).count();
    (inside > 0 && inside < parts.len()).then(|| Composite {
        name: first.name.clone(),
        group: first.group.clone(),
        parts,
    })
}

/// A rectangle of three to six tenths of either side, from anywhere in the donor to anywhere in the host; the whole is
/// saved as JPEG once more, so that a missing round does not tell the place.
fn picture(host: &Pixels, donor: &Pixels, rng: &mut impl Rng) -> Option<(Pixels, [f64; 4])> {
    let (mut host, donor) = (resize_to_longest(host, LONGEST), resize_to_longest(donor, LONGEST));
    let mut side = |of: usize, most: usize| ((of as f64 * rng.random_range(0.3..0.6)) as usize).min(most);
    let (w, h) = (side(host.width, donor.width), side(host.height, donor.height));
    if w.min(h) < LEAST_SIDE {
        return None;
    }
    let (x, y) = (rng.random_range(0..=host.width - w), rng.random_range(0..=host.height - h));
    let (from_x, from_y) = (rng.random_range(0..=donor.width - w), rng.random_range(0..=donor.height - h));
    let part = crop(&donor, from_x, from_y, w, h);
    let row = 3 * host.width;
    for (line, part) in host.rgb.chunks_exact_mut(row).skip(y).zip(part.rgb.chunks_exact(3 * w)) {
        line[3 * x..3 * (x + w)].copy_from_slice(part);
    }
    let (width, height) = (host.width as f64, host.height as f64);
    let place = [x as f64 / width, y as f64 / height, (x + w) as f64 / width, (y + h) as f64 / height];
    Some((recompress(host, rng.random_range(80..=95)), place))
}

/// One to three seconds of the donor, at the host's level, in place of as much of the host.
fn recording(host: &mut [f32], donor: &[f32], rng: &mut impl Rng) -> Option<[f64; 2]> {
    let n = rng.random_range(SECOND..=3 * SECOND).min(donor.len());
    if n < SECOND || host.len() < n + 4 * SECOND {
        return None;
    }
    let from = rng.random_range(0..=donor.len() - n);
    let at = rng.random_range(SECOND..=host.len() - n - SECOND);
    let (part, place) = (donor.get(from..from + n)?, host.get_mut(at..at + n)?);
    let level = |x: &[f32]| (x.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / x.len() as f64).sqrt();
    let gain = (level(place) / level(part).max(1e-9)).min(100.0) as f32;
    for (i, (host, donor)) in place.iter_mut().zip(part).enumerate() {
        let share = (i.min(n - 1 - i) as f32 / FADE as f32).min(1.0);
        *host += share * (gain * donor - *host);
    }
    let second = |sample: usize| sample as f64 / f64::from(Waveform::RATE);
    Some([second(at), second(at + n)])
}

/// A third of the sentences of the donor, but no more than half as many as the host has, between two sentences of the
/// host.
fn text(host: &str, donor: &str, rng: &mut impl Rng) -> Option<(String, [usize; 2])> {
    let (into, of) = (segment(host).sentences, segment(donor).sentences);
    let n = (of.len() / 3).min(into.len() / 2);
    if n < 2 {
        return None;
    }
    let from = rng.random_range(0..=of.len() - n);
    let part = donor.get(of[from].start..of[from + n - 1].end)?;
    let at = into[rng.random_range(1..into.len())].start;
    let (before, after) = (host.get(..at)?, host.get(at..)?);
    Some((format!("{before}{part} {after}"), [at, at + part.len()]))
}

/// Scores of the parts of a map and whether they lie in the place: cells and sentences by their middle, and of a
/// timeline every second, by the mean of the windows that it lies in, where half of it or more does.
fn parts(map: &ScoreMap, place: &Place) -> Vec<(f64, bool)> {
    match (map, place) {
        (ScoreMap::Grid { cols, rows, logits }, Place::Rectangle([left, top, right, bottom])) => {
            let inside = |i: usize| {
                let x = ((i % cols) as f64 + 0.5) / *cols as f64;
                let y = ((i / cols) as f64 + 0.5) / *rows as f64;
                x > *left && x < *right && y > *top && y < *bottom
            };
            logits.iter().enumerate().map(|(i, &l)| (f64::from(l), inside(i))).collect()
        }
        (ScoreMap::Timeline { windows, logits }, Place::Seconds([start, end])) => {
            let last = windows.iter().map(|w| w.1).fold(0.0, f64::max).floor() as usize;
            let of = |second: usize| {
                let (from, to) = (second as f64, second as f64 + 1.0);
                let over = windows.iter().zip(logits).filter(|((a, b), _)| *a < to && *b > from);
                let found: Vec<f64> = over.map(|(_, &l)| f64::from(l)).collect();
                let mean = found.iter().sum::<f64>() / found.len() as f64;
                (!found.is_empty()).then(|| (mean, end.min(to) - start.max(from) >= 0.5))
            };
            (0..last).filter_map(of).collect()
        }
        (ScoreMap::Sentences { ranges, logits }, Place::Bytes([start, end])) => {
            let inside =
                |r: &std::ops::Range<usize>| (*start..*end).contains(&usize::midpoint(r.start, r.end));
            ranges.iter().zip(logits).map(|(r, &l)| (f64::from(l), inside(r))).collect()
        }
        _ => Vec::new(),
    }
}

/// What the parts are called.
fn noun(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "cell",
        MediaKind::Audio => "second",
        MediaKind::Text => "sentence",
    }
}

/// The figures over all composites; `None` without any.
pub fn localisation(composites: &[Composite], kind: MediaKind) -> Option<Localisation> {
    if composites.is_empty() {
        return None;
    }
    let noun = noun(kind);
    let scored = |c: &Composite, score: f64, fabricated: bool| Scored {
        name: c.name.clone(),
        score,
        fabricated,
        group: c.group.clone(),
    };
    // One figure a composite, drawn by groups; the class has no part in a mean.
    let mean = |of: &dyn Fn(&Composite) -> Option<f64>| -> Estimate {
        let values: Vec<Scored> = composites.iter().filter_map(|c| Some(scored(c, of(c)?, false))).collect();
        booted(&values, |s| (!s.is_empty()).then(|| s.iter().map(|v| v.score).sum::<f64>() / s.len() as f64))
    };
    let within = |c: &Composite, metric: fn(&[&Scored]) -> Option<f64>| {
        let all: Vec<Scored> = c.parts.iter().map(|&(score, inside)| scored(c, score, inside)).collect();
        metric(&all.iter().collect::<Vec<_>>())
    };
    let inside = |c: &Composite| c.parts.iter().filter(|p| p.1).count() as f64 / c.parts.len() as f64;
    let best = |c: &Composite| {
        let top = c.parts.iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
        Some(f64::from(u8::from(top.1)))
    };
    let all: Vec<Scored> = composites
        .iter()
        .flat_map(|c| c.parts.iter().map(|&(score, inside)| scored(c, score, inside)))
        .collect();
    let together = |metric: fn(&[&Scored]) -> Option<f64>| {
        Estimate::bare(metric(&all.iter().collect::<Vec<_>>()).unwrap_or(f64::NAN))
    };
    let row = |name: String, estimate: Estimate, note: String| MetricRow { name, estimate, note };
    let chance = composites.iter().map(inside).sum::<f64>() / composites.len() as f64;
    let metrics = vec![
        row(
            format!("{noun} AUROC, mean over composites"),
            mean(&|c| within(c, metrics::auroc)),
            String::new(),
        ),
        row(format!("{noun} EER, mean over composites"), mean(&|c| within(c, metrics::eer)), String::new()),
        // Under one threshold for all: what is meant by the EER of segments elsewhere.
        row(format!("{noun} AUROC, all together"), together(metrics::auroc), String::new()),
        row(format!("{noun} EER, all together"), together(metrics::eer), String::new()),
        row(
            format!("highest {noun} in what was put in"),
            mean(&best),
            format!("{:.0} % by chance", 100.0 * chance),
        ),
        row("correlation of the map with the place, mean".to_owned(), mean(&correlation), String::new()),
    ];
    Some(Localisation { composites: composites.len() as u64, metrics })
}

/// Pearson's correlation of the scores with the place.
fn correlation(c: &Composite) -> Option<f64> {
    let n = c.parts.len() as f64;
    let place = |inside: bool| f64::from(u8::from(inside));
    let (x, y) = c.parts.iter().fold((0.0, 0.0), |m, p| (m.0 + p.0 / n, m.1 + place(p.1) / n));
    let sums = c.parts.iter().fold([0.0; 3], |[xx, yy, xy], p| {
        let (a, b) = (p.0 - x, place(p.1) - y);
        [xx + a * a, yy + b * b, xy + a * b]
    });
    let r = sums[2] / (sums[0] * sums[1]).sqrt();
    r.is_finite().then_some(r)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by a panic")]
mod tests {
    use super::*;

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(3)
    }

    fn plain(width: usize, height: usize, value: u8) -> Pixels {
        Pixels::from_rgb(width, height, vec![value; 3 * width * height]).unwrap()
    }

    #[test]
    fn a_part_lies_where_its_place_is_said_to_be() {
        let (pixels, place) = picture(&plain(300, 200, 20), &plain(400, 400, 220), &mut rng()).unwrap();
        for (i, rgb) in pixels.rgb.chunks_exact(3).enumerate() {
            let (x, y) = (((i % 300) as f64 + 0.5) / 300.0, ((i / 300) as f64 + 0.5) / 200.0);
            // JPEG blurs the border.
            let far = |at: f64, edge: f64, size: f64| (at - edge).abs() * size > 16.0;
            if far(x, place[0], 300.0)
                && far(x, place[2], 300.0)
                && far(y, place[1], 200.0)
                && far(y, place[3], 200.0)
            {
                let inside = x > place[0] && x < place[2] && y > place[1] && y < place[3];
                assert_eq!(rgb[0] > 120, inside, "{x} {y}");
            }
        }
        let mut host = vec![0.1; 12 * SECOND];
        let donor: Vec<f32> = (0..4 * SECOND).map(|i| if i % 2 == 0 { 0.5 } else { -0.5 }).collect();
        let [start, end] = recording(&mut host, &donor, &mut rng()).unwrap();
        let changed = host.iter().filter(|v| **v < 0.0).count() as f64 / f64::from(Waveform::RATE);
        assert!((2.0 * changed - (end - start)).abs() < 0.05, "{changed} of {start} to {end}");
        assert!(host.iter().all(|v| v.abs() < 0.11), "the part is brought to the level of the host");

        let sentence = |what: &str| format!("Here the {what} says something of its own. ");
        let (text, [from, to]) =
            text(&sentence("host").repeat(9), &sentence("donor").repeat(9), &mut rng()).unwrap();
        assert!(text[from..to].contains("donor") && !text[from..to].contains("host"));
        assert!(!text[..from].contains("donor") && !text[to..].contains("donor"));
    }

    #[test]
    fn what_is_too_small_is_left_out() {
        assert!(picture(&plain(300, 200, 0), &plain(30, 400, 0), &mut rng()).is_none());
        assert!(recording(&mut vec![0.1; 4 * SECOND], &vec![0.1; 4 * SECOND], &mut rng()).is_none());
        assert!(text("One sentence.", "Another one. And more. And more.", &mut rng()).is_none());
    }

    #[test]
    fn parts_of_a_map_know_whether_they_were_put_in() {
        let grid = ScoreMap::Grid { cols: 2, rows: 2, logits: vec![1.0, 2.0, 3.0, 4.0] };
        let found = parts(&grid, &Place::Rectangle([0.5, 0.0, 1.0, 0.5]));
        assert_eq!(found, [(1.0, false), (2.0, true), (3.0, false), (4.0, false)]);
        let timeline = ScoreMap::Timeline { windows: vec![(0.0, 2.0), (1.0, 3.0)], logits: vec![1.0, 3.0] };
        let found = parts(&timeline, &Place::Seconds([1.4, 3.0]));
        assert_eq!(found, [(1.0, false), (2.0, true), (3.0, true)]);
        let sentences = ScoreMap::Sentences { ranges: vec![0..10, 11..20], logits: vec![0.5, -0.5] };
        assert_eq!(parts(&sentences, &Place::Bytes([11, 20])), [(0.5, false), (-0.5, true)]);
    }

    #[test]
    fn a_map_that_finds_every_part_has_the_highest_figures() {
        let of = |right: bool| -> Vec<Composite> {
            (0..6)
                .map(|i| Composite {
                    name: i.to_string(),
                    group: format!("g{}", i % 3),
                    parts: (0..8).map(|j| (if right == (j < 3) { 1.0 } else { 0.0 }, j < 3)).collect(),
                })
                .collect()
        };
        for (right, value) in [(true, 1.0), (false, 0.0)] {
            let found = localisation(&of(right), MediaKind::Audio).unwrap();
            assert_eq!(found.composites, 6);
            assert_eq!(found.metrics[0].estimate.value, value);
            assert_eq!(found.metrics[2].estimate.value, value);
            assert_eq!(found.metrics[4].estimate.value, value);
            assert!((found.metrics[5].estimate.value - (2.0 * value - 1.0)).abs() < 1e-9);
        }
        assert_eq!(localisation(&[], MediaKind::Image), None);
    }
}
