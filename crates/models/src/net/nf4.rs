//! Weights in four bits.

use half::f16;

/// Weights that have a scale together.
pub(super) const GROUP: usize = 32;
/// Steps that a weight can have within its scale: quantiles of a normal distribution with zero and both ends among them (NF4; Dettmers et
/// al. 2023, appendix E).
const LEVELS: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];
/// Scales that are tried for a group, in shares of its largest value: the ends of a group are seldom worth the whole range.
const SHARES: [f32; 10] =
    [1.0, 0.966_667, 0.933_333, 0.9, 0.866_667, 0.833_333, 0.8, 0.766_667, 0.733_333, 0.7];

/// Steps of weights, two in a byte with the first one in its low half, and the scale of each [`GROUP`]: the one of some that leaves the smallest
/// squared error.
pub(super) fn encode(weights: &[f32]) -> (Vec<u8>, Vec<f16>) {
    let (mut steps, mut scales) = (Vec::with_capacity(weights.len() / 2), Vec::new());
    for group in weights.chunks(GROUP) {
        let largest = group.iter().fold(0.0_f32, |most, w| most.max(w.abs()));
        let tried = SHARES.map(|share| f16::from_f32(share * largest));
        let error = |scale: f16| {
            let scale = scale.to_f32();
            group.iter().map(|&w| (w - LEVELS[nearest(w, scale)] * scale).powi(2)).sum::<f32>()
        };
        let errors = tried.map(error);
        let best = (0..tried.len()).fold(0, |best, i| if errors[i] < errors[best] { i } else { best });
        let step = |&w: &f32| nearest(w, tried[best].to_f32()) as u8;
        steps.extend(group.chunks(2).map(|two| step(&two[0]) | two.get(1).map_or(0, step) << 4));
        scales.push(tried[best]);
    }
    (steps, scales)
}

/// The step whose level is nearest to a weight.
fn nearest(weight: f32, scale: f32) -> usize {
    if scale == 0.0 {
        return LEVELS.partition_point(|&level| level < 0.0);
    }
    let x = weight / scale;
    LEVELS.windows(2).filter(|pair| x > f32::midpoint(pair[0], pair[1])).count()
}

/// The weights that [`encode`] made steps of.
pub(super) fn decode(steps: &[u8], scales: impl Iterator<Item = f32>) -> Vec<f32> {
    let mut out = Vec::with_capacity(2 * steps.len());
    for (steps, scale) in steps.chunks(GROUP / 2).zip(scales) {
        let levels = LEVELS.map(|level| level * scale);
        out.extend(
            steps.iter().flat_map(|step| [levels[usize::from(step & 15)], levels[usize::from(step >> 4)]]),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_come_back_near_where_they_were() {
        // A normal distribution has an error of some 8 % in four bits; levels come back as they are.
        let uniform = |i: usize| (i as f32 * 0.618_034).fract() + (i as f32 * 0.754_878).fract() - 1.0;
        let weights: Vec<f32> = (0..64 * GROUP).map(|i| uniform(i) + uniform(7 * i + 3)).collect();
        let (steps, scales) = encode(&weights);
        assert_eq!((steps.len(), scales.len()), (weights.len() / 2, 64));
        let found = decode(&steps, scales.iter().map(|s| s.to_f32()));
        let squares = |x: &mut dyn Iterator<Item = f32>| x.map(|v| v * v).sum::<f32>();
        let off = squares(&mut found.iter().zip(&weights).map(|(a, b)| a - b));
        let share = (off / squares(&mut weights.iter().copied())).sqrt();
        assert!((0.05..0.1).contains(&share), "{share}");
        let exact = [LEVELS, LEVELS].concat();
        let (steps, scales) = encode(&exact);
        assert_eq!(decode(&steps, scales.iter().map(|s| s.to_f32())), exact);
        let (steps, scales) = encode(&[0.0; GROUP]);
        assert_eq!(decode(&steps, scales.iter().map(|s| s.to_f32())), [0.0; GROUP]);
    }
}
