//! Invisible watermarks in pixels, and what the decoder of an inaudible one found.
//!
//! Stable Diffusion, SDXL and FLUX mark their pictures with the `dwtDct` scheme of the `invisible-watermark` library
//! (0.2.0): the chroma plane U is split by one Haar step, and in each 4x4 block of its low band the largest coefficient is
//! moved to a quarter or three quarters of a step of 36. The messages are public, so anybody can write them.
//!
//! Counting bits is not enough: on flat areas all blocks give the same bit, which matches more than half of a message by
//! itself. [`dwt_dct`] takes what a block votes beyond the blocks around it, and compares those that should be one with those
//! that should be zero.

use std::collections::VecDeque;

use crate::marks::Draft;
use crate::report::{Grade, Location, Says, Statement};

/// Step of the quantiser.
const STEP: f64 = 36.0;
/// Sides below this are not marked by the library.
const MIN_SIDE: usize = 256;
/// Bounds of `z` and of `t` from which on the mark is there, or may be.
const STRONG: (f64, f64) = (6.0, 4.5);
const WEAK: (f64, f64) = (4.5, 4.0);

const SDXL: &str = "101100111110110010010000011110111011000110011110";
/// The constant has 48 digits, of which the two leading zeros are lost in writing.
const FLUX: &str = "1010101111111010000111100111001111010100101110";

/// Variance that graded votes are taken to have at least when they are not held against those around them. Those of a flat picture lie
/// close together, and then small differences that mean nothing are many deviations.
const LEAST_SPREAD: f64 = 0.04;

/// Which public message was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// `StableDiffusionV1`, 136 bits: the scripts of Stable Diffusion 1.
    StableDiffusion1,
    /// `SDV2`, 32 bits: the scripts of Stable Diffusion 2.
    StableDiffusion2,
    /// 48 bits: SDXL, in Stability's code and in diffusers.
    Sdxl,
    /// 46 bits: FLUX.
    Flux,
}

impl Message {
    const ALL: [Self; 4] = [Self::StableDiffusion1, Self::StableDiffusion2, Self::Sdxl, Self::Flux];

    /// Name of the model.
    pub fn name(self) -> &'static str {
        match self {
            Self::StableDiffusion1 => "Stable Diffusion 1",
            Self::StableDiffusion2 => "Stable Diffusion 2",
            Self::Sdxl => "SDXL",
            Self::Flux => "FLUX",
        }
    }

    fn bits(self) -> Vec<bool> {
        let ascii =
            |text: &str| text.bytes().flat_map(|b| (0..8).rev().map(move |i| (b >> i) & 1 == 1)).collect();
        let digits = |text: &str| text.bytes().map(|b| b == b'1').collect();
        match self {
            Self::StableDiffusion1 => ascii("StableDiffusionV1"),
            Self::StableDiffusion2 => ascii("SDV2"),
            Self::Sdxl => digits(SDXL),
            Self::Flux => digits(FLUX),
        }
    }
}

/// How the marking program handled the colours; it is found by trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// U was computed from floating-point colours, where its zero lies at 0.5 and not at 128.
    pub float: bool,
    /// Red and blue were swapped (diffusers before February 2024).
    pub swapped: bool,
}

/// The best fit among messages and variants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    /// The message that fits best.
    pub message: Message,
    /// How it was read.
    pub variant: Variant,
    /// Difference between the votes for one and for zero, in standard deviations of as many independent votes; three quarters of it if votes
    /// were held against those around them, which lets more through by chance.
    pub z: f64,
    /// The same difference in standard errors with votes clustered by bit (the sandwich estimator of Liang and Zeger, 1986), and if they were
    /// held against those around them, by column and by row of the picture, whichever is largest. Votes of neighbouring blocks are
    /// not independent: where a bit falls on the same columns again and again, `z` alone is high by chance.
    pub t: f64,
    /// Bits of the message for which their blocks vote more than all blocks do.
    pub matching: usize,
    /// Bits of the message.
    pub bits: usize,
}

/// Reads the `dwtDct` watermark from interleaved 8-bit RGB; the best fit, however poor.
///
/// `None` if `rgb` is not `width * height * 3` bytes or a side is below 256 pixels. The pixels must be those of the file:
/// any change of size destroys the mark.
pub fn dwt_dct(rgb: &[u8], width: usize, height: usize) -> Option<Mark> {
    let len = width.checked_mul(height)?.checked_mul(3)?;
    if rgb.len() != len || width < MIN_SIDE || height < MIN_SIDE {
        return None;
    }
    let messages = Message::ALL.map(|m| (m, m.bits()));
    let mut best: Option<Mark> = None;
    for (swapped, float) in [(false, false), (false, true), (true, false), (true, true)] {
        let variant = Variant { float, swapped };
        for (i, votes) in votes(rgb, width, height, variant).iter().enumerate() {
            let beyond = beyond_neighbours(votes, width / 8);
            // Where much of the picture is flat, a mark that was kept as it was is read best without the neighbours.
            let least = if i == 0 { 0.0 } else { LEAST_SPREAD };
            for (message, bits) in &messages {
                let (beyond_z, beyond_t) = statistic(&beyond, Some(width / 8), 0.0, bits);
                let (z, t) = statistic(votes, None, least, bits);
                for (z, t, votes) in [(beyond_z * DISCOUNT, beyond_t * DISCOUNT, &beyond), (z, t, votes)] {
                    if best.is_none_or(|b| surety(z, t) > surety(b.z, b.t)) {
                        let matching = matching(votes, bits);
                        best = Some(Mark { message: *message, variant, z, t, matching, bits: bits.len() });
                    }
                }
            }
        }
    }
    best
}

/// How far both figures of a mark pass the bounds of [`STRONG`]; above 1 they do.
fn surety(z: f64, t: f64) -> f64 {
    (z / STRONG.0).min(t / STRONG.1)
}

/// Wraps a mark as a statement if it stands out: strong with `z` above 6 and `t` above 4.5, weak above 4.5 and 4.
pub fn statement(mark: &Mark) -> Option<Statement> {
    let above = |(z, t): (f64, f64)| mark.z > z && mark.t > t;
    let grade = if above(STRONG) {
        Grade::Strong
    } else if above(WEAK) {
        Grade::Weak
    } else {
        return None;
    };
    let words = if grade == Grade::Strong {
        "The file's pixels carry the public watermark of a picture generator; anyone can write it."
    } else {
        "The file's pixels hold traces that fit the public watermark of a picture generator, near chance."
    };
    let location = Location { place: "pixels".to_owned(), offset: None };
    let variant = match (mark.variant.float, mark.variant.swapped) {
        (false, false) => "8-bit",
        (true, false) => "float",
        (false, true) => "8-bit, swapped",
        (true, true) => "float, swapped",
    };
    let says = if grade == Grade::Strong { Says::Ai } else { Says::Other };
    let draft = Draft::new("watermark/dwt-dct", grade, says, &location, words)
        .generator(mark.message.name())
        .field("z", format!("{:.1}", mark.z))
        .field("t", format!("{:.1}", mark.t))
        .field("matching bits", format!("{} of {}", mark.matching, mark.bits))
        .field("variant", variant);
    Some(draft.done())
}

/// Wraps what the decoder of Perth, the audio watermark of Resemble AI, is sure of, in [0, 1]: strong above 0.9, weak above 0.5.
///
/// The decoder is a network, which this crate does not have.
pub fn perth_statement(confidence: f64) -> Option<Statement> {
    let (grade, says, words) = if confidence > 0.9 {
        let words = "The recording carries Perth, the inaudible watermark that Resemble AI's speech synthesis (Chatterbox) adds; its \
                     encoder is public.";
        (Grade::Strong, Says::Ai, words)
    } else if confidence > 0.5 {
        (
            Grade::Weak,
            Says::Other,
            "The recording holds traces that fit the audio watermark Perth, near chance.",
        )
    } else {
        return None;
    };
    let location = Location { place: "samples".to_owned(), offset: None };
    let draft = Draft::new("watermark/perth", grade, says, &location, words)
        .generator("Resemble AI")
        .field("confidence", format!("{confidence:.3}"));
    Some(draft.done())
}

/// U of one pixel as `OpenCV` computes it (BT.601); in floating point, less the 127.5 by which its zero is off.
fn chroma(pixel: &[u8], variant: Variant) -> f64 {
    let &[mut r, g, mut b] = pixel else { return 0.0 };
    if variant.swapped {
        (r, b) = (b, r);
    }
    if variant.float {
        let luma = 0.299 * f64::from(r) + 0.587 * f64::from(g) + 0.114 * f64::from(b);
        return 0.492 * (f64::from(b) - luma) + 0.5;
    }
    // Fixed point with 14 bits, rounded, as in `cvtColor` for bytes.
    let (r, g, b) = (i32::from(r), i32::from(g), i32::from(b));
    let luma = (r * 4899 + g * 9617 + b * 1868 + 8192) >> 14;
    let u = ((b - luma) * 8061 + (128 << 14) + 8192) >> 14;
    f64::from(u.clamp(0, 255))
}

/// One row of the low band: half the sum of each two by two values of U.
fn low_row(rgb: &[u8], width: usize, low_width: usize, y: usize, variant: Variant) -> Vec<f64> {
    let top = y * 2 * width * 3;
    let Some(rows) = rgb.get(top..top + 2 * width * 3) else { return vec![0.0; low_width] };
    let (upper, lower) = rows.split_at(width * 3);
    let pairs = upper.chunks_exact(6).zip(lower.chunks_exact(6)).take(low_width);
    let sum = |up: &[u8], down: &[u8]| -> f64 {
        up.chunks_exact(3).chain(down.chunks_exact(3)).map(|p| chroma(p, variant)).sum()
    };
    pairs.map(|(up, down)| sum(up, down) / 2.0).collect()
}

/// What undoes, in one direction, the smoothing of colour by JPEG. Colour is stored at half the size; a decoder widens it with weights
/// of three quarters and one quarter, so that the mean of each two values is an eighth, three quarters and an eighth of three stored
/// ones. The inverse of that, up to four values away: `sqrt(2) (sqrt(8) - 3)^k`.
const SHARPEN: [f64; 2 * REACH + 1] = [
    0.001_225_489,
    -0.007_142_675,
    0.041_630_56,
    -0.242_640_687,
    std::f64::consts::SQRT_2,
    -0.242_640_687,
    0.041_630_56,
    -0.007_142_675,
    0.001_225_489,
];
const REACH: usize = 4;

/// The places up to `reach` from place `i` of `len`, mirrored at both ends: as a decoder repeats the outermost stored values, so their
/// smoothed ones lie.
fn around(i: usize, len: usize, reach: usize) -> impl Iterator<Item = usize> {
    (0..=2 * reach).map(move |k| match (i + k).checked_sub(reach) {
        None => reach - i - k - 1,
        Some(place) if place < len => place,
        Some(place) => (2 * len).saturating_sub(place + 1),
    })
}

/// [`SHARPEN`] along `row`.
fn sharpen_along(row: &[f64]) -> Vec<f64> {
    let at = |i: usize| row.get(i).copied().unwrap_or(0.0);
    let before = around(0, row.len(), REACH).take(REACH);
    let after = around(row.len().saturating_sub(1), row.len(), REACH).skip(REACH + 1);
    let wide: Vec<f64> = before.map(at).chain(row.iter().copied()).chain(after.map(at)).collect();
    wide.windows(SHARPEN.len())
        .map(|near| near.iter().zip(SHARPEN).map(|(value, w)| value * w).sum())
        .collect()
}

/// The vote of a coefficient by where in its step it lies: 0 at the first quarter, 1 at the third, and between them less sure along a
/// sine; the library asks only for the half of the step.
fn vote(coefficient: f64) -> f64 {
    0.5 - 0.5 * (std::f64::consts::TAU * coefficient.abs() / STEP).sin()
}

/// The vote of a block's largest coefficient, the first left out.
fn of_largest(block: &[f64; 16]) -> f64 {
    vote(block.iter().skip(1).fold(0.0, |a, b| a.max(b.abs())))
}

/// The vote of a block's coefficients, the first left out, each with `exp(d / 2)` of its distance `d` from the block's mean: what
/// was moved down is not the largest any more, but stands out.
fn of_outliers(block: &[f64; 16]) -> f64 {
    let mean = block.iter().sum::<f64>() / 16.0;
    let farthest = block.iter().skip(1).fold(0.0_f64, |a, b| a.max((b - mean).abs()));
    let (mut sum, mut total) = (0.0, 0.0);
    for value in block.iter().skip(1) {
        let behind = farthest - (value - mean).abs();
        // The rest weighs less than a hundredth.
        if behind < 10.0 {
            let weight = (-behind / 2.0).exp();
            sum += weight * vote(*value);
            total += weight;
        }
    }
    sum / total
}

/// Votes of the blocks, row by row, read in four ways: the largest coefficient as the library reads it, yes or no; the same, graded;
/// and, of the band without the smoothing of JPEG, the largest and the outlying ones, graded.
///
/// A block is 8x8 pixels.
fn votes(rgb: &[u8], width: usize, height: usize, variant: Variant) -> [Vec<f64>; 4] {
    // The plane is cropped to multiples of 4; its low band has half of that.
    let (low_width, low_height) = (width / 4 * 2, height / 4 * 2);
    let mut out: [Vec<f64>; 4] = Default::default();
    // Rows of the band as they are and sharpened along them, from `REACH` before those of the blocks to as many after them.
    let mut rows: VecDeque<(Vec<f64>, Vec<f64>)> = VecDeque::new();
    let mut next = 0;
    let mut sharp = vec![vec![0.0; low_width]; 4];
    for top in (0..low_height / 4).map(|r| r * 4) {
        while next < (top + 4 + REACH).min(low_height) {
            let row = low_row(rgb, width, low_width, next, variant);
            let along = sharpen_along(&row);
            rows.push_back((row, along));
            next += 1;
        }
        let first = next - rows.len();
        for (y, out) in (top..).zip(&mut sharp) {
            out.fill(0.0);
            for (place, weight) in around(y, low_height, REACH).zip(SHARPEN) {
                let Some((_, along)) = rows.get(place.saturating_sub(first)) else { continue };
                for (slot, value) in out.iter_mut().zip(along) {
                    *slot += weight * value;
                }
            }
        }
        let plain: Vec<&[f64]> =
            rows.iter().skip(top - first).take(4).map(|(row, _)| row.as_slice()).collect();
        let sharp: Vec<&[f64]> = sharp.iter().map(Vec::as_slice).collect();
        for left in (0..low_width / 4).map(|b| b * 4) {
            let block = |rows: &[&[f64]]| {
                let mut out = [0.0; 16];
                for (cells, row) in out.chunks_exact_mut(4).zip(rows) {
                    cells.copy_from_slice(row.get(left..left + 4).unwrap_or(&[0.0; 4]));
                }
                out
            };
            let (plain, sharp) = (block(&plain), block(&sharp));
            let graded = of_largest(&plain);
            let found = [f64::from(u8::from(graded > 0.5)), graded, of_largest(&sharp), of_outliers(&sharp)];
            for (list, value) in out.iter_mut().zip(found) {
                list.push(value);
            }
        }
        while rows.len() > 2 * REACH {
            rows.pop_front();
        }
    }
    out
}

/// Blocks on each side whose votes a block's own are held against.
const NEAR: usize = 2;
/// Spread of votes that counts little. The rounding of a flat area to whole levels makes as much.
const LITTLE: f64 = 0.03;
/// What the figures of such votes count. Taken in full, one of 10,499 crops without a mark passed the bounds of [`STRONG`] by 4 %, and two of
/// 8,000 others did; so taken, the nearest reached 78 % of them.
const DISCOUNT: f64 = 0.75;

/// Mean of each five by five values in rows of `across`, mirrored at the edges.
fn local_mean(values: &[f64], across: usize) -> Vec<f64> {
    let rows: Vec<&[f64]> = values.chunks_exact(across.max(1)).collect();
    let mut out = Vec::with_capacity(values.len());
    for y in 0..rows.len() {
        let mut sums = vec![0.0; across];
        for row in around(y, rows.len(), NEAR).filter_map(|place| rows.get(place)) {
            sums.iter_mut().zip(*row).for_each(|(sum, value)| *sum += value);
        }
        let mean = |x: usize| -> f64 {
            let near: f64 = around(x, across, NEAR).filter_map(|place| sums.get(place)).sum();
            near / (2.0 * NEAR as f64 + 1.0).powi(2)
        };
        out.extend((0..across).map(mean));
    }
    out
}

/// What each vote has beyond the mean of the five by five around it, in standard deviations there.
///
/// What a picture votes by itself is much alike in neighbouring blocks, and the bits of a message are not. Where the whole colour of an area
/// was cut off or smoothed, little is left of the mark but still the same for each bit.
fn beyond_neighbours(votes: &[f64], across: usize) -> Vec<f64> {
    let mut beyond = votes.to_vec();
    beyond.iter_mut().zip(local_mean(votes, across)).for_each(|(vote, mean)| *vote -= mean);
    let squares: Vec<f64> = beyond.iter().map(|b| b * b).collect();
    let spread = local_mean(&squares, across);
    beyond.iter_mut().zip(spread).for_each(|(vote, square)| *vote /= square.sqrt() + LITTLE);
    beyond
}

/// The difference of the means of votes whose bit is 1 and 0, in standard errors: as if votes were independent, and in the largest of
/// the errors that remain if those of one bit are not, nor with `across`, the length of a row, those of one column or one row. Votes are
/// taken to have a variance of at least `least`.
fn statistic(votes: &[f64], across: Option<usize>, least: f64, bits: &[bool]) -> (f64, f64) {
    let length = bits.len().max(1);
    let all = votes.len() as f64;
    // Of the votes whose bit is 1.
    let (mut ones, mut one_sum) = (0.0, 0.0);
    for chunk in votes.chunks(length) {
        for (vote, _) in chunk.iter().zip(bits).filter(|(_, bit)| **bit) {
            ones += 1.0;
            one_sum += vote;
        }
    }
    let zeros = all - ones;
    let sum: f64 = votes.iter().sum();
    let mean = sum / all;
    let variance = votes.iter().map(|v| v * v).sum::<f64>() / all - mean * mean;
    // Flat pictures vote alike, but for rounding; and a picture of few blocks may have none for a bit.
    if variance.is_nan() || variance < 1e-9 || zeros < 1.0 || ones < 1.0 {
        return (0.0, 0.0);
    }
    let (zero_mean, one_mean) = ((sum - one_sum) / zeros, one_sum / ones);
    let by_votes = variance.max(least) * (1.0 / ones + 1.0 / zeros);
    let parts: Vec<f64> = votes
        .chunks(length)
        .flat_map(|chunk| chunk.iter().zip(bits))
        .map(|(&vote, &bit)| if bit { (vote - one_mean) / ones } else { (zero_mean - vote) / zeros })
        .collect();
    let mut largest = by_votes.max(clustered(&sums_across(&parts, length)));
    if let Some(across) = across.filter(|a| *a > 0) {
        let rows: Vec<f64> = parts.chunks(across).map(|row| row.iter().sum()).collect();
        largest = largest.max(clustered(&sums_across(&parts, across))).max(clustered(&rows));
    }
    let difference = one_mean - zero_mean;
    (difference / by_votes.sqrt(), difference / largest.sqrt())
}

/// Sums of the values that stand at the same place of their stretch of `length`.
fn sums_across(values: &[f64], length: usize) -> Vec<f64> {
    let mut sums = vec![0.0; length];
    for stretch in values.chunks(length.max(1)) {
        sums.iter_mut().zip(stretch).for_each(|(sum, value)| *sum += value);
    }
    sums
}

/// Variance of the sum of all, if `sums` are those of the clusters that are independent.
fn clustered(sums: &[f64]) -> f64 {
    let n = sums.len() as f64;
    sums.iter().map(|s| s * s).sum::<f64>() * n / (n - 1.0).max(1.0)
}

/// Bits whose mean vote lies on their side of the mean of all. The library asks for the majority of a bit's blocks, which a flat part of
/// the picture gives to ones or to zeros alike.
fn matching(votes: &[f64], bits: &[bool]) -> usize {
    let mean = votes.iter().sum::<f64>() / votes.len() as f64;
    let beside: Vec<f64> = votes.iter().map(|vote| vote - mean).collect();
    sums_across(&beside, bits.len()).iter().zip(bits).filter(|(sum, bit)| (**sum > 0.0) == **bit).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(width: usize, height: usize) -> Vec<u8> {
        let mut state = 1_u32;
        (0..width * height * 3)
            .map(|i| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (90 + (i / 3 % width) / 8 + (state >> 28) as usize) as u8
            })
            .collect()
    }

    /// Marks a picture in the library's way, but in the pixel domain: the blue of the four pixels under the largest
    /// coefficient is moved until U has the wanted value.
    fn mark(rgb: &mut [u8], width: usize, height: usize, bits: &[bool]) {
        let low_width = width / 4 * 2;
        let variant = Variant { float: false, swapped: false };
        let mut k = 0;
        for block_row in 0..height / 8 {
            for block in 0..low_width / 4 {
                let bit = bits[k % bits.len()];
                k += 1;
                let cell = |x: usize, y: usize| ((block_row * 4 + y) * 2, (block * 4 + x) * 2);
                let sum = |rgb: &[u8], (y, x): (usize, usize)| {
                    let at = |y: usize, x: usize| (y * width + x) * 3;
                    [at(y, x), at(y, x + 1), at(y + 1, x), at(y + 1, x + 1)]
                        .iter()
                        .map(|&i| chroma(&rgb[i..i + 3], variant))
                        .sum::<f64>()
                        / 2.0
                };
                let cells: Vec<_> = (1..16).map(|i| cell(i % 4, i / 4)).collect();
                let best =
                    cells.iter().copied().max_by(|a, b| sum(rgb, *a).total_cmp(&sum(rgb, *b))).unwrap();
                let wanted = ((sum(rgb, best) / 36.0).floor() + if bit { 0.75 } else { 0.25 }) * 36.0;
                for _ in 0..300 {
                    let off = wanted - sum(rgb, best);
                    if off.abs() < 4.0 {
                        break;
                    }
                    let (y, x) = best;
                    for (dy, dx) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                        let i = ((y + dy) * width + x + dx) * 3 + 2;
                        rgb[i] = if off > 0.0 { rgb[i].saturating_add(1) } else { rgb[i].saturating_sub(1) };
                    }
                }
            }
        }
    }

    #[test]
    fn messages_have_their_lengths() {
        assert_eq!(Message::ALL.map(|m| m.bits().len()), [136, 32, 48, 46]);
    }

    #[test]
    fn a_marked_picture_is_told_from_a_clean_one() {
        let (width, height) = (258, 261);
        let mut rgb = noise(width, height);
        let clean = dwt_dct(&rgb, width, height).unwrap();
        assert!(clean.z < WEAK.0, "{clean:?}");
        assert_eq!(statement(&clean), None);
        mark(&mut rgb, width, height, &Message::StableDiffusion2.bits());
        let marked = dwt_dct(&rgb, width, height).unwrap();
        assert_eq!(marked.message, Message::StableDiffusion2);
        assert!(marked.z > STRONG.0, "{marked:?}");
        assert_eq!(statement(&marked).unwrap().grade, Grade::Strong);
    }

    /// Blue as a JPEG with colour at half the size gives it back: means of two by two, widened with three quarters of the nearest and
    /// one quarter of the next.
    fn halve_colour(rgb: &mut [u8], width: usize, height: usize) {
        let (half_width, half_height) = (width / 2, height / 2);
        let stored: Vec<f64> = (0..half_width * half_height)
            .map(|i| {
                let (x, y) = (i % half_width * 2, i / half_width * 2);
                let at = |dx, dy| f64::from(rgb[((y + dy) * width + x + dx) * 3 + 2]);
                (at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1)) / 4.0
            })
            .collect();
        let beside = |i: usize, len: usize| {
            let next = if i.is_multiple_of(2) { (i / 2).saturating_sub(1) } else { (i / 2 + 1).min(len - 1) };
            (i / 2, next)
        };
        for y in 0..half_height * 2 {
            for x in 0..half_width * 2 {
                let ((x0, x1), (y0, y1)) = (beside(x, half_width), beside(y, half_height));
                let across =
                    |y: usize| 0.75 * stored[y * half_width + x0] + 0.25 * stored[y * half_width + x1];
                rgb[(y * width + x) * 3 + 2] = (0.75 * across(y0) + 0.25 * across(y1)).round() as u8;
            }
        }
    }

    #[test]
    fn sharpening_undoes_the_smoothing_of_colour() {
        let stored: Vec<f64> = (0..40).map(|i| f64::from(i * i * 7 % 83)).collect();
        let at = |i: i32| stored[i.clamp(0, 39) as usize];
        let smooth: Vec<f64> = (0..40).map(|i| 0.75 * at(i) + 0.125 * (at(i - 1) + at(i + 1))).collect();
        for (i, value) in stored.iter().enumerate() {
            let back = sharpen_along(&smooth)[i];
            assert!((back - value).abs() < 0.2, "{i}: {value} and {back}");
        }
    }

    #[test]
    fn a_mark_outlives_colour_at_half_the_size() {
        let (width, height) = (320, 328);
        let mut rgb = noise(width, height);
        halve_colour(&mut rgb, width, height);
        assert_eq!(statement(&dwt_dct(&rgb, width, height).unwrap()), None);
        let mut rgb = noise(width, height);
        mark(&mut rgb, width, height, &Message::StableDiffusion2.bits());
        halve_colour(&mut rgb, width, height);
        let found = dwt_dct(&rgb, width, height).unwrap();
        assert_eq!(found.message, Message::StableDiffusion2);
        assert_eq!(statement(&found).unwrap().grade, Grade::Strong, "{found:?}");
        // Of the blocks, most are read as they were written with the sharpening, and many are not without it.
        let bits = Message::StableDiffusion2.bits();
        let read = votes(&rgb, width, height, found.variant).map(|votes| {
            let right = votes.iter().zip(bits.iter().cycle()).filter(|(vote, bit)| (**vote > 0.5) == **bit);
            right.count() as f64 / votes.len() as f64
        });
        assert!(read[0] < 0.7 && read[2] > 0.97 && read[3] > 0.85, "{read:?}");
    }

    #[test]
    fn a_coefficient_that_was_moved_down_is_heard() {
        let mut block = [270.0; 16];
        block[6] = 36.0 * 6.0 + 9.0;
        assert!(of_outliers(&block) < 0.05);
        assert!((of_largest(&block) - 0.5).abs() < 0.01);
    }

    #[test]
    fn a_faint_mark_on_strong_colours_is_heard_beside_its_neighbours() {
        // Votes that follow the picture, and a tenth of them the message.
        let bits = Message::Sdxl.bits();
        let votes: Vec<f64> = (0..64 * 60)
            .map(|i| {
                let picture = 0.5 + 0.4 * ((i % 64) as f64 / 9.0).sin() * ((i / 64) as f64 / 7.0).cos();
                picture + if bits[i % 48] { 0.05 } else { -0.05 }
            })
            .collect();
        let (plain, _) = statistic(&votes, None, LEAST_SPREAD, &bits);
        let (z, t) = statistic(&beyond_neighbours(&votes, 64), Some(64), 0.0, &bits);
        assert!(z > 3.0 * plain && t > 15.0, "{plain}, {z} and {t}");
        // Of another message, nothing.
        let (z, t) = statistic(&beyond_neighbours(&votes, 64), Some(64), 0.0, &Message::Flux.bits());
        assert!(z.abs() < 3.0 && t.abs() < 3.0, "{z} and {t}");
    }

    #[test]
    fn local_means_are_those_of_five_by_five() {
        let values: Vec<f64> = (0..48).map(|i| f64::from(i * i % 11)).collect();
        let at = |x: i32, y: i32| {
            let fold = |i: i32, n: i32| {
                if i < 0 {
                    -i - 1
                } else if i < n {
                    i
                } else {
                    2 * n - 1 - i
                }
            };
            values[(fold(y, 6) * 8 + fold(x, 8)) as usize]
        };
        for (i, mean) in local_mean(&values, 8).into_iter().enumerate() {
            let (x, y) = (i as i32 % 8, i as i32 / 8);
            let sum: f64 = (-2..=2)
                .flat_map(|dy| (-2..=2).map(move |dx| (dx, dy)))
                .map(|(dx, dy)| at(x + dx, y + dy))
                .sum();
            assert!((mean - sum / 25.0).abs() < 1e-12, "{i}");
        }
    }

    #[test]
    fn stripes_are_no_mark() {
        // 46 blocks in a row: each bit of FLUX is a column of the picture.
        let (width, height) = (368, 368);
        let mut rgb = noise(width, height);
        for (i, pixel) in rgb.chunks_exact_mut(3).enumerate() {
            let column = i % width / 8;
            pixel[2] = pixel[2].saturating_add(if (column * column + column / 3) % 7 < 3 { 40 } else { 0 });
        }
        let found = dwt_dct(&rgb, width, height).unwrap();
        assert_eq!(statement(&found), None, "{found:?}");
    }

    #[test]
    fn flat_and_small_pictures_say_nothing() {
        for level in [0, 1, 100, 128, 255] {
            let flat = dwt_dct(&vec![level; 300 * 300 * 3], 300, 300).unwrap();
            assert!(flat.z.abs() < 1e-9);
        }
        assert_eq!(dwt_dct(&[0; 300], 10, 10), None);
        assert_eq!(dwt_dct(&[0; 300], usize::MAX, 10), None);
    }
}
