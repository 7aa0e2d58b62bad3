//! `candor compare`: two files side by side: is it the same content, what was done to it, and which evidence differs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use candor::{Media, Pixels, Scan, SignalKind, Verdict};
use serde::Serialize;

use crate::args::{CompareArgs, InspectFormat};
use crate::escape::escape;
use crate::exit::Exit;
use crate::scan;

/// Longer side at which pictures are compared, in pixels.
const SIDE: usize = 96;
/// Correlation from which on two pictures or recordings are called the same.
const SAME: f64 = 0.95;
/// Share of common five-word stretches from which on two texts are called the same.
const SAME_TEXT: f64 = 0.8;

/// What two files have in common and what not.
#[derive(Debug, Serialize)]
struct Comparison {
    a: Side,
    b: Side,
    /// The files have the same bytes.
    identical: bool,
    /// The content in words; null when it cannot be compared.
    content: Option<String>,
    /// Likeness of the content from 0 to 1: correlation of pictures and of loudness over time, common stretches of texts.
    likeness: Option<f64>,
    /// What differs, in words.
    differences: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Side {
    path: String,
    sha256: Option<String>,
    label: candor::Label,
    llr: Option<f64>,
}

impl Side {
    fn of(v: &Verdict) -> Self {
        Self { path: v.path.clone(), sha256: v.sha256.clone(), label: v.label, llr: v.llr }
    }
}

/// Runs the command.
pub(crate) fn run(args: &CompareArgs) -> anyhow::Result<Exit> {
    // SAFETY: this is the only thread so far.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", "1") };
    let scanner = scan::scanner(&args.judge)?;
    scan::silence_workers();
    let read = |path: &Path| -> anyhow::Result<Scan> {
        let name = candor::path_text(path);
        let bytes = scanner.read(path).map_err(|f| anyhow::anyhow!("{}", f.message)).context(name.clone())?;
        Ok(scanner.scan_bytes(&name, &bytes))
    };
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let comparison = compare(&a, &b);
    let mut out = io::stdout().lock();
    match args.format {
        InspectFormat::Json => writeln!(out, "{}", serde_json::to_string(&comparison)?)?,
        InspectFormat::Text => {
            for (name, side) in [("A", &comparison.a), ("B", &comparison.b)] {
                let llr = side.llr.map_or_else(|| "no score".to_owned(), |l| format!("evidence {l:+.2}"));
                writeln!(out, "{name}  {:<13} {llr:<16} {}", side.label, escape(&side.path))?;
            }
            let content = comparison.content.as_deref().unwrap_or("the contents cannot be compared");
            writeln!(out, "\n{content}")?;
            for difference in &comparison.differences {
                writeln!(out, "- {}", escape(difference))?;
            }
        }
    }
    Ok(Exit::Done)
}

fn compare(a: &Scan, b: &Scan) -> Comparison {
    let (va, vb) = (&a.verdict, &b.verdict);
    let identical = va.sha256.is_some() && va.sha256 == vb.sha256;
    let mut differences = Vec::new();
    let found = if identical {
        Some(("the files are identical, byte by byte".to_owned(), 1.0))
    } else {
        content(a, b, &mut differences)
    };
    if !identical {
        file_facts(va, vb, &mut differences);
        declared(va, vb, &mut differences);
        if va.label != vb.label {
            differences.push(format!("conclusion: {} in A, {} in B", va.label, vb.label));
        }
        match (va.llr, vb.llr) {
            (Some(x), Some(y)) if (x - y).abs() >= 0.5 => differences.push(format!(
                "the evidence is {:.2} {} in B (natural-log likelihood ratio)",
                (x - y).abs(),
                if y > x { "higher" } else { "lower" }
            )),
            _ => {}
        }
    }
    Comparison {
        a: Side::of(va),
        b: Side::of(vb),
        identical,
        likeness: found.as_ref().map(|f| (f.1 * 1e4).round() / 1e4),
        content: found.map(|f| f.0),
        differences,
    }
}

fn file_facts(a: &Verdict, b: &Verdict, differences: &mut Vec<String>) {
    if let (Some(x), Some(y)) = (&a.media, &b.media)
        && x.format() != y.format()
    {
        differences.push(format!("format: {} in A, {} in B", x.format(), y.format()));
    }
    if let (Some(x), Some(y)) = (a.bytes, b.bytes)
        && x != y
    {
        differences.push(format!("size: {x} bytes in A, {y} in B"));
    }
    let facts = |v: &Verdict| -> BTreeMap<String, f64> {
        let signal = v.signals.iter().find(|s| s.kind == SignalKind::Statistical);
        let value = |(name, detail): (&String, &serde_json::Value)| {
            Some((name.clone(), detail.get("value")?.as_f64()?))
        };
        signal.map(|s| s.detail.iter().filter_map(value).collect()).unwrap_or_default()
    };
    let (x, y) = (facts(a), facts(b));
    for (name, &before) in x.iter().filter(|(name, _)| name.to_ascii_lowercase().contains("quality")) {
        if let Some(&after) = y.get(name)
            && (before - after).abs() >= 1.0
        {
            differences.push(format!("{name}: {before:.0} in A, {after:.0} in B"));
        }
    }
}

/// Statements that only one of them makes.
fn declared(a: &Verdict, b: &Verdict, differences: &mut Vec<String>) {
    let of = |v: &Verdict| -> BTreeSet<String> {
        let told = |kind| matches!(kind, SignalKind::Declared | SignalKind::Watermark);
        v.signals.iter().filter(|s| told(s.kind)).map(|s| s.id.clone()).collect()
    };
    let (x, y) = (of(a), of(b));
    differences.extend(
        x.difference(&y).map(|id| format!("only A declares {id}: it was removed, or B never had it")),
    );
    differences.extend(y.difference(&x).map(|id| format!("only B declares {id}")));
}

/// Whether it is the same content, and what was done to it.
fn content(a: &Scan, b: &Scan, differences: &mut Vec<String>) -> Option<(String, f64)> {
    match (a.media.as_ref()?, b.media.as_ref()?) {
        (Media::Image(x), Media::Image(y)) => Some(pictures(x, y, differences)),
        (Media::Audio(x), Media::Audio(y)) => {
            let (x, y) = (loudness(&x.samples), loudness(&y.samples));
            let (shift, likeness) = best_shift(&x, &y);
            let mut said = if likeness >= SAME {
                "the same recording, encoded or treated anew".to_owned()
            } else if likeness >= 0.8 {
                "probably the same recording, changed".to_owned()
            } else {
                "other recordings, or the same one changed beyond recognition".to_owned()
            };
            if likeness >= 0.8 && x.len() != y.len() {
                differences.push(format!("length: {} s in A, {} s in B", tenth(x.len()), tenth(y.len())));
                said.push_str(", and cut");
            }
            if likeness >= 0.8 && shift != 0 {
                differences.push(format!(
                    "B begins {} s {} A",
                    tenth(shift.unsigned_abs()),
                    if shift > 0 { "into" } else { "before" }
                ));
            }
            Some((said, likeness))
        }
        (Media::Text(x), Media::Text(y)) => {
            if x.text == y.text {
                return Some(("the same text, in another file or encoding".to_owned(), 1.0));
            }
            let likeness = shingles(&x.text, &y.text);
            let said = if likeness >= SAME_TEXT {
                "the same text but for some words"
            } else if likeness >= 0.2 {
                "texts with common stretches"
            } else {
                "other texts"
            };
            Some((said.to_owned(), likeness))
        }
        _ => Some(("different kinds of media".to_owned(), 0.0)),
    }
}

fn tenth(frames: usize) -> f64 {
    frames as f64 / 10.0
}

fn pictures(a: &Pixels, b: &Pixels, differences: &mut Vec<String>) -> (String, f64) {
    if (a.width, a.height) == (b.width, b.height) && a.rgb == b.rgb {
        return ("the same pixels: only the file around them differs".to_owned(), 1.0);
    }
    if (a.width, a.height) != (b.width, b.height) {
        differences.push(format!("dimensions: {}x{} in A, {}x{} in B", a.width, a.height, b.width, b.height));
    }
    let whole = correlation(&grey(a, SIDE, SIDE), &grey(b, SIDE, SIDE));
    let ratio = |p: &Pixels| p.width as f64 / p.height as f64;
    let alike = (ratio(a) / ratio(b)).ln().abs() < 0.03;
    if alike && whole >= SAME {
        let scaled = if a.width == b.width { "encoded or edited anew" } else { "scaled" };
        if (a.width, a.height) == (b.width, b.height) {
            let error =
                a.rgb.iter().zip(&b.rgb).map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2)).sum::<f64>()
                    / a.rgb.len().max(1) as f64;
            differences
                .push(format!("pixels: PSNR {:.1} dB", 10.0 * (255.0 * 255.0 / error.max(1e-9)).log10()));
        }
        return (format!("the same picture, {scaled}"), whole);
    }
    let (larger, smaller, which) = if a.width * a.height >= b.width * b.height {
        (a, b, "B is cut out of A")
    } else {
        (b, a, "A is cut out of B")
    };
    if let Some((x, y, likeness)) = cut_out(larger, smaller)
        && likeness >= SAME
    {
        differences.push(format!("{which} at about ({x}, {y})"));
        return ("the same picture, cropped".to_owned(), likeness);
    }
    if whole >= 0.8 {
        return ("probably the same picture, changed".to_owned(), whole);
    }
    ("other pictures, or the same one changed beyond recognition".to_owned(), whole.max(0.0))
}

/// Mean lightness of `cols` by `rows` fields, row by row.
fn grey(p: &Pixels, cols: usize, rows: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(cols * rows);
    for r in 0..rows {
        let (top, bottom) = (r * p.height / rows, ((r + 1) * p.height / rows).max(r * p.height / rows + 1));
        for c in 0..cols {
            let (left, right) = (c * p.width / cols, ((c + 1) * p.width / cols).max(c * p.width / cols + 1));
            let (mut sum, mut n) = (0_u64, 0_u64);
            for y in top..bottom.min(p.height) {
                let row = p.rgb.get(3 * (y * p.width + left)..3 * (y * p.width + right.min(p.width)));
                sum += row.unwrap_or_default().iter().map(|&v| u64::from(v)).sum::<u64>();
                n += row.map_or(0, <[u8]>::len) as u64;
            }
            out.push(sum as f64 / n.max(1) as f64);
        }
    }
    out
}

/// Pearson's correlation; 0 where one side is constant.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().min(b.len()) as f64;
    if n < 2.0 {
        return 0.0;
    }
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        ab += (x - ma) * (y - mb);
        aa += (x - ma).powi(2);
        bb += (y - mb).powi(2);
    }
    if aa * bb <= 1e-12 { 0.0 } else { ab / (aa * bb).sqrt() }
}

/// Where the smaller picture fits best into the larger one, both at their own scale: left, top, correlation.
fn cut_out(larger: &Pixels, smaller: &Pixels) -> Option<(usize, usize, f64)> {
    if smaller.width > larger.width || smaller.height > larger.height {
        return None;
    }
    let factor = (larger.width.max(larger.height) as f64 / SIDE as f64).max(1.0);
    let fields = |side: usize| ((side as f64 / factor).round() as usize).max(1);
    let (cols, rows) = (fields(larger.width), fields(larger.height));
    let (w, h) = (fields(smaller.width), fields(smaller.height));
    if w < 8 || h < 8 {
        return None;
    }
    let (whole, part) = (grey(larger, cols, rows), grey(smaller, w, h));
    let mut best: Option<(usize, usize, f64)> = None;
    for top in 0..=rows.checked_sub(h)? {
        for left in 0..=cols.checked_sub(w)? {
            let window: Vec<f64> = (0..h)
                .flat_map(|r| {
                    whole.get((top + r) * cols + left..(top + r) * cols + left + w).unwrap_or_default()
                })
                .copied()
                .collect();
            let likeness = correlation(&window, &part);
            if best.is_none_or(|b| likeness > b.2) {
                best = Some((left, top, likeness));
            }
        }
    }
    // A crop rarely falls on whole fields: blurring by half a field costs likeness, which this gives back.
    best.map(|(x, y, l)| ((x as f64 * factor) as usize, (y as f64 * factor) as usize, (l * 1.03).min(1.0)))
}

/// Logarithm of the energy of every tenth of a second.
fn loudness(samples: &[f32]) -> Vec<f64> {
    let energy = |piece: &[f32]| piece.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>();
    samples.chunks(1600).map(|piece| (energy(piece) / piece.len() as f64 + 1e-7).ln()).collect()
}

/// The shift of `b` against `a` in tenths of a second with the best correlation over what both cover.
fn best_shift(a: &[f64], b: &[f64]) -> (isize, f64) {
    let least = (a.len().min(b.len()) / 2).max(2);
    let mut best = (0, 0.0);
    for shift in -(b.len() as isize)..=a.len() as isize {
        let (from_a, from_b) = (shift.max(0) as usize, (-shift).max(0) as usize);
        let (x, y) = (a.get(from_a..).unwrap_or_default(), b.get(from_b..).unwrap_or_default());
        let common = x.len().min(y.len());
        if common >= least {
            let likeness =
                correlation(x.get(..common).unwrap_or_default(), y.get(..common).unwrap_or_default());
            if likeness > best.1 {
                best = (shift, likeness);
            }
        }
    }
    best
}

/// Share of common stretches of five words, or of five characters where words are not parted by spaces.
fn shingles(a: &str, b: &str) -> f64 {
    let set = |text: &str| -> BTreeSet<Vec<String>> {
        let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        let units: Vec<String> = if words.len() * 12 < text.chars().count() {
            text.chars().filter(|c| !c.is_whitespace()).map(String::from).collect()
        } else {
            words
        };
        units.windows(5.min(units.len().max(1))).map(<[String]>::to_vec).collect()
    };
    let (a, b) = (set(a), set(b));
    let common = a.intersection(&b).count();
    common as f64 / a.union(&b).count().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture without repetition.
    fn picture(w: usize, h: usize, from: (usize, usize)) -> Pixels {
        let value = |x: usize, y: usize| {
            let (x, y) = ((x + from.0) as f64, (y + from.1) as f64);
            (127.0 + 60.0 * (x / 37.0).sin() * (y / 23.0).cos() + 60.0 * ((x + 2.0 * y) / 91.0).sin()) as u8
        };
        let rgb = (0..h).flat_map(|y| (0..w).flat_map(move |x| [value(x, y); 3])).collect();
        Pixels::from_rgb(w, h, rgb).unwrap()
    }

    #[test]
    fn what_was_done_to_a_picture_is_told() {
        let whole = picture(600, 400, (0, 0));
        let told = |other: &Pixels| {
            let mut differences = Vec::new();
            (pictures(&whole, other, &mut differences).0, differences.join("; "))
        };
        assert!(told(&whole).0.starts_with("the same pixels"));
        let (said, where_from) = told(&picture(300, 200, (180, 100)));
        assert_eq!(said, "the same picture, cropped");
        assert!(where_from.contains("B is cut out of A at about (1"), "{where_from}");
        let half: Vec<u8> = grey(&whole, 300, 200).iter().flat_map(|&v| [v as u8; 3]).collect();
        assert_eq!(told(&Pixels::from_rgb(300, 200, half).unwrap()).0, "the same picture, scaled");
        let mut edited = picture(600, 400, (0, 0));
        edited.rgb.iter_mut().for_each(|v| *v = v.saturating_add(5));
        assert_eq!(told(&edited).0, "the same picture, encoded or edited anew");
        assert!(told(&picture(600, 400, (5000, 3111))).0.starts_with("other pictures"));
    }

    #[test]
    fn recordings_and_texts_are_told_apart() {
        let a: Vec<f64> = (0..80).map(|i| (f64::from(i) * f64::from(i) / 40.0).sin()).collect();
        assert_eq!(best_shift(&a, &a[20..]).0, 20);
        assert!(best_shift(&a, &a[20..]).1 > 0.999);
        let text = "the quick brown fox jumps over the lazy dog and runs away into the dark wood";
        assert!((shingles(text, text) - 1.0).abs() < 1e-12);
        assert!(shingles(text, "nothing of this stands in the other text at all, not one stretch") < 0.1);
    }
}
