//! Neighbouring-pixel relations.

use rayon::prelude::*;

use super::Planes;

/// Each value minus the top left value of its 2x2 cell: the picture minus its own nearest-neighbour copy at half size
/// and back.
///
/// Channels are treated apart; the result has the shape of `planes` and, for values in [0, 1], lies in [-1, 1]. An odd
/// last row or column belongs to cells that are cut off. The authors multiply by 2/3 before their network; that factor
/// is left to the network here.
///
/// C. Tan et al., "Rethinking the Up-Sampling Operations in CNN-based Generative Network for Generalizable Deepfake
/// Detection", CVPR 2024, arXiv 2312.10461.
#[must_use]
pub fn npr(planes: &Planes) -> Planes {
    let mut out = Planes::zeros(planes.channels, planes.height, planes.width);
    let width = planes.width;
    if planes.data.is_empty() {
        return out;
    }
    // A chunk is a plane, so that the pairs of rows start anew in each.
    for (to, from) in
        out.data.chunks_exact_mut(planes.height * width).zip(planes.data.chunks_exact(planes.height * width))
    {
        to.par_chunks_mut(2 * width).zip(from.par_chunks(2 * width)).with_min_len(16).for_each(
            |(to, from)| {
                let anchors = from.get(..width).unwrap_or(from);
                for (to, from) in to.chunks_exact_mut(width).zip(from.chunks_exact(width)) {
                    for ((to, from), anchor) in to.chunks_mut(2).zip(from.chunks(2)).zip(anchors.chunks(2)) {
                        let [anchor, ..] = anchor else { continue };
                        for (to, from) in to.iter_mut().zip(from) {
                            *to = from - anchor;
                        }
                    }
                }
            },
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtracts_the_corner_of_each_cell() {
        // x = np.arange(30.).reshape(2, 3, 5) ** 2
        // up = x[:, ::2, ::2].repeat(2, 1).repeat(2, 2)[:, :3, :5]; print((x - up).ravel())
        let data = (0..30).map(|i| (i * i) as f32).collect();
        let r = npr(&Planes { channels: 2, height: 3, width: 5, data });
        assert_eq!(
            r.data,
            [
                0., 1., 0., 5., 0., 25., 36., 45., 60., 65., 0., 21., 0., 25., 0., 0., 31., 0., 35., 0.,
                175., 216., 195., 240., 215., 0., 51., 0., 55., 0.
            ]
        );
        assert_eq!(npr(&Planes { channels: 1, height: 1, width: 1, data: vec![0.3] }).data, [0.0]);
        assert!(npr(&Planes::zeros(3, 0, 4)).data.is_empty());
    }
}
