//! AASIST, a published network on raw waveforms, with its authors' weights; to measure beside our own.

use candle_core::{D, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Params, efficientnet::FROZEN, params::Start};
use crate::{
    Result,
    kernels::{Activation, Conv2d},
};

/// Which size of AASIST.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AasistSize {
    /// 0.30 M values.
    Aasist,
    /// 0.09 M values.
    AasistL,
}

/// Sizes and constants of one of them.
struct Plan {
    /// Channels of the six residual blocks.
    widths: [usize; 6],
    /// Width of the two homogeneous graph layers and of the four heterogeneous ones.
    graph: [usize; 2],
    /// Share of nodes kept: spectral, temporal, heterogeneous.
    keep: [f64; 3],
}

impl AasistSize {
    fn plan(self) -> Plan {
        match self {
            Self::Aasist => Plan { widths: [32, 32, 64, 64, 64, 64], graph: [64, 32], keep: [0.5, 0.7, 0.5] },
            Self::AasistL => {
                Plan { widths: [32, 32, 24, 24, 24, 24], graph: [24, 32], keep: [0.4, 0.5, 0.7] }
            }
        }
    }
}

/// Rows after the front end's pooling.
const ROWS: usize = 23;
const SINC_FILTERS: usize = 70;
const SINC_TAPS: usize = 129;
/// Temperatures of the homogeneous and of the heterogeneous attention.
const TEMPERATURE: [f64; 2] = [2.0, 100.0];
const SELU_ALPHA: f64 = 1.673_263_242_354_377_3;
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;

/// AASIST (Jung et al., ICASSP 2022, arXiv 2110.01200): fixed sinc filters, six residual blocks, graph attention over
/// frequencies and over time, two branches of heterogeneous attention with a node that gathers, two outputs. For inference
/// alone; batch normalisations are stored as scale and shift.
#[derive(Debug)]
pub struct Aasist {
    sinc: Tensor,
    first: Affine,
    blocks: Vec<Block>,
    position: Tensor,
    gatherers: [Tensor; 2],
    spectral: Graph,
    temporal: Graph,
    /// Of each branch: two layers, and the pooling of both kinds of nodes after the first.
    branches: [([Mixed; 2], [Linear; 2]); 2],
    pools: [Linear; 2],
    out: Linear,
    keep: [f64; 3],
}

#[derive(Debug)]
struct Affine {
    scale: Tensor,
    shift: Tensor,
}

#[derive(Debug)]
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

#[derive(Debug)]
struct Convolution {
    weight: Tensor,
    bias: Tensor,
    pad: [usize; 2],
}

/// The published blocks begin with a normalisation and an activation whose result is not used; it is left out here.
#[derive(Debug)]
struct Block {
    between: Affine,
    convolutions: [Convolution; 2],
    shortcut: Option<Convolution>,
}

/// Attention over nodes of one kind.
#[derive(Debug)]
struct Graph {
    attend: Linear,
    weight: Tensor,
    with: Linear,
    without: Linear,
    norm: Affine,
}

/// Attention over nodes of two kinds, and a node that gathers from all of them.
#[derive(Debug)]
struct Mixed {
    kinds: [Linear; 2],
    attend: Linear,
    gather: Linear,
    /// Within the first kind, within the second, across, to the gathering node.
    weights: [Tensor; 4],
    with: Linear,
    without: Linear,
    gather_with: Linear,
    gather_without: Linear,
    norm: Affine,
}

/// Makes the variables under the names of the published checkpoint.
struct Maker<'a>(&'a mut Params);

impl Maker<'_> {
    fn get(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        Ok(self.0.get(&format!("{FROZEN}{name}"), shape, Start::Constant(0.0))?.detach())
    }

    fn affine(&mut self, name: &str, n: usize) -> Result<Affine> {
        Ok(Affine {
            scale: self.get(&format!("{name}.scale"), &[n])?,
            shift: self.get(&format!("{name}.shift"), &[n])?,
        })
    }

    fn linear(&mut self, name: &str, inp: usize, out: usize) -> Result<Linear> {
        Ok(Linear {
            weight: self.get(&format!("{name}.weight"), &[out, inp])?,
            bias: self.get(&format!("{name}.bias"), &[out])?,
        })
    }

    fn convolution(&mut self, name: &str, shape: [usize; 4], pad: [usize; 2]) -> Result<Convolution> {
        Ok(Convolution {
            weight: self.get(&format!("{name}.weight"), &shape)?,
            bias: self.get(&format!("{name}.bias"), &shape[..1])?,
            pad,
        })
    }

    fn graph(&mut self, name: &str, inp: usize, out: usize) -> Result<Graph> {
        Ok(Graph {
            attend: self.linear(&format!("{name}.att_proj"), inp, out)?,
            weight: self.get(&format!("{name}.att_weight"), &[out, 1])?,
            with: self.linear(&format!("{name}.proj_with_att"), inp, out)?,
            without: self.linear(&format!("{name}.proj_without_att"), inp, out)?,
            norm: self.affine(&format!("{name}.bn"), out)?,
        })
    }

    fn mixed(&mut self, name: &str, inp: usize, out: usize) -> Result<Mixed> {
        let mut weight = |what: &str| self.get(&format!("{name}.att_weight{what}"), &[out, 1]);
        let weights = [weight("11")?, weight("22")?, weight("12")?, weight("M")?];
        Ok(Mixed {
            kinds: [
                self.linear(&format!("{name}.proj_type1"), inp, inp)?,
                self.linear(&format!("{name}.proj_type2"), inp, inp)?,
            ],
            attend: self.linear(&format!("{name}.att_proj"), inp, out)?,
            gather: self.linear(&format!("{name}.att_projM"), inp, out)?,
            weights,
            with: self.linear(&format!("{name}.proj_with_att"), inp, out)?,
            without: self.linear(&format!("{name}.proj_without_att"), inp, out)?,
            gather_with: self.linear(&format!("{name}.proj_with_attM"), inp, out)?,
            gather_without: self.linear(&format!("{name}.proj_without_attM"), inp, out)?,
            norm: self.affine(&format!("{name}.bn"), out)?,
        })
    }
}

impl Affine {
    /// On dimension 1 of four, or on the last of fewer.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if x.rank() == 4 {
            let (scale, shift) = (self.scale.reshape((1, (), 1, 1))?, self.shift.reshape((1, (), 1, 1))?);
            return Ok(x.broadcast_mul(&scale)?.broadcast_add(&shift)?);
        }
        Ok(x.broadcast_mul(&self.scale)?.broadcast_add(&self.shift)?)
    }
}

impl Linear {
    /// On the last dimension.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (inp, out) = (x.dim(D::Minus1)?, self.weight.dim(0)?);
        let mut shape = x.dims().to_vec();
        shape.pop();
        shape.push(out);
        let y = x.reshape(((), inp))?.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)?;
        Ok(y.reshape(shape)?)
    }
}

impl Convolution {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let op = Conv2d { stride: [1; 2], pad: self.pad, activation: Activation::None };
        Ok(x.apply_op3(&self.weight, &self.bias, op)?)
    }
}

/// Self-normalising activation (Klambauer et al. 2017).
fn selu(x: &Tensor) -> Result<Tensor> {
    Ok((x.elu(SELU_ALPHA)? * SELU_SCALE)?)
}

impl Block {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [first, second] = &self.convolutions;
        let y = first.forward(x)?;
        let y = second.forward(&selu(&self.between.forward(&y)?)?)?;
        let short = match &self.shortcut {
            Some(convolution) => convolution.forward(x)?,
            None => x.clone(),
        };
        Ok((y + short)?.max_pool2d_with_stride((1, 3), (1, 3))?)
    }
}

/// Products of all pairs of nodes, `[n, nodes, nodes, dim]`.
fn pairs(x: &Tensor) -> Result<Tensor> {
    Ok(x.unsqueeze(2)?.broadcast_mul(&x.unsqueeze(1)?)?)
}

/// `x [.., d] * weight [d, 1]` as `[..]`.
fn score(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let mut shape = x.dims().to_vec();
    let d = shape.pop().unwrap_or_default();
    Ok(x.reshape(((), d))?.matmul(weight)?.reshape(shape)?)
}

fn softmax(x: &Tensor, dim: usize) -> Result<Tensor> {
    let e = x.broadcast_sub(&x.max_keepdim(dim)?)?.exp()?;
    Ok(e.broadcast_div(&e.sum_keepdim(dim)?)?)
}

impl Graph {
    /// `[n, nodes, inp]` to `[n, nodes, out]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let attention = score(&self.attend.forward(&pairs(x)?)?.tanh()?, &self.weight)?;
        let attention = softmax(&(attention / TEMPERATURE[0])?, 2)?;
        let y = (self.with.forward(&attention.matmul(x)?)? + self.without.forward(x)?)?;
        selu(&self.norm.forward(&y)?)
    }
}

impl Mixed {
    /// Nodes of both kinds and the gathering node `[n, 1, inp]`, all to the layer's width.
    fn forward(&self, [a, b]: [&Tensor; 2], gatherer: &Tensor) -> Result<([Tensor; 2], Tensor)> {
        let (na, nb) = (a.dim(1)?, b.dim(1)?);
        let x = Tensor::cat(&[self.kinds[0].forward(a)?, self.kinds[1].forward(b)?], 1)?;
        let attention = self.attend.forward(&pairs(&x)?)?.tanh()?;
        let [first, second, across, gather] = &self.weights;
        let part = |rows: (usize, usize), columns: (usize, usize), weight: &Tensor| {
            let part = attention.narrow(1, rows.0, rows.1)?.narrow(2, columns.0, columns.1)?;
            score(&part.contiguous()?, weight)
        };
        let (of_a, of_b) = ((0, na), (na, nb));
        let upper = Tensor::cat(&[part(of_a, of_a, first)?, part(of_a, of_b, across)?], 2)?;
        let lower = Tensor::cat(&[part(of_b, of_a, across)?, part(of_b, of_b, second)?], 2)?;
        let attention = softmax(&(Tensor::cat(&[upper, lower], 1)? / TEMPERATURE[1])?, 2)?;

        let to_gatherer = self.gather.forward(&x.broadcast_mul(gatherer)?)?.tanh()?;
        let to_gatherer = softmax(&(score(&to_gatherer, gather)? / TEMPERATURE[1])?, 1)?;
        let gathered = to_gatherer.unsqueeze(1)?.matmul(&x)?;
        let gathered =
            (self.gather_with.forward(&gathered)? + self.gather_without.forward(&gatherer.contiguous()?)?)?;

        let y = (self.with.forward(&attention.matmul(&x)?)? + self.without.forward(&x)?)?;
        let y = selu(&self.norm.forward(&y)?)?;
        Ok(([y.narrow(1, 0, na)?.contiguous()?, y.narrow(1, na, nb)?.contiguous()?], gathered))
    }
}

/// Keeps the share of the nodes with the highest scores, each times its score.
fn pool(x: &Tensor, proj: &Linear, share: f64) -> Result<Tensor> {
    let (n, nodes, _) = x.dims3()?;
    let scores = proj.forward(x)?;
    let scores = ((scores.neg()?.exp()? + 1.0)?).recip()?;
    let weighted = x.broadcast_mul(&scores)?;
    let keep = ((nodes as f64 * share) as usize).max(1);
    let kept = (0..n)
        .map(|i| {
            let of: Vec<f32> = scores.get(i)?.flatten_all()?.to_vec1()?;
            let mut order: Vec<u32> = (0..nodes as u32).collect();
            order.sort_by(|&a, &b| of[b as usize].total_cmp(&of[a as usize]));
            order.truncate(keep);
            Ok(weighted.get(i)?.index_select(&Tensor::new(order, &Device::Cpu)?, 0)?)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Tensor::stack(&kept, 0)?)
}

/// Band-pass filters on the mel scale as differences of sinc functions under a Hamming window, `[70, 1, 1, 129]`.
fn sinc_filters() -> Result<Tensor> {
    const RATE: f64 = 16_000.0;
    let mel = |hz: f64| 2595.0 * (1.0 + hz / 700.0).log10();
    let hz = |mel: f64| 700.0 * (10f64.powf(mel / 2595.0) - 1.0);
    let edges: Vec<f64> =
        (0..=SINC_FILTERS).map(|i| hz(mel(RATE / 2.0) * i as f64 / SINC_FILTERS as f64)).collect();
    let sinc = |x: f64| {
        let x = std::f64::consts::PI * x;
        if x == 0.0 { 1.0 } else { x.sin() / x }
    };
    let mut taps = Vec::with_capacity(SINC_FILTERS * SINC_TAPS);
    for edge in edges.windows(2) {
        for i in 0..SINC_TAPS {
            let t = i as f64 - (SINC_TAPS / 2) as f64;
            let low_pass = |edge: f64| 2.0 * edge / RATE * sinc(2.0 * edge * t / RATE);
            let phase = 2.0 * std::f64::consts::PI * i as f64 / (SINC_TAPS - 1) as f64;
            let window = 0.54 - 0.46 * phase.cos();
            // Both factors were rounded before they were multiplied.
            taps.push(window as f32 * (low_pass(edge[1]) - low_pass(edge[0])) as f32);
        }
    }
    Ok(Tensor::from_vec(taps, (SINC_FILTERS, 1, 1, SINC_TAPS), &Device::Cpu)?)
}

impl Aasist {
    /// Samples that it reads, at 16 kHz: 4.04 s.
    pub const SAMPLES: usize = 64_600;

    /// Builds the network, making the variables that are missing.
    pub fn new(params: &mut Params, size: AasistSize) -> Result<Self> {
        let Plan { widths, graph: [narrow, wide], keep } = size.plan();
        let mut make = Maker(params);
        let mut blocks = Vec::new();
        let mut inp = 1;
        for (i, &out) in widths.iter().enumerate() {
            let name = format!("encoder.{i}.0");
            blocks.push(Block {
                between: make.affine(&format!("{name}.bn2"), out)?,
                convolutions: [
                    make.convolution(&format!("{name}.conv1"), [out, inp, 2, 3], [1, 1])?,
                    make.convolution(&format!("{name}.conv2"), [out, out, 2, 3], [0, 1])?,
                ],
                shortcut: (inp != out)
                    .then(|| make.convolution(&format!("{name}.conv_downsample"), [out, inp, 1, 3], [0, 1]))
                    .transpose()?,
            });
            inp = out;
        }
        let mut branch = |i: usize| {
            let name = |j: usize| format!("HtrgGAT_layer_ST{i}{j}");
            let layers = [make.mixed(&name(1), narrow, wide)?, make.mixed(&name(2), wide, wide)?];
            let pools = [
                make.linear(&format!("pool_hT{i}.proj"), wide, 1)?,
                make.linear(&format!("pool_hS{i}.proj"), wide, 1)?,
            ];
            Ok::<_, crate::Error>((layers, pools))
        };
        let branches = [branch(1)?, branch(2)?];
        Ok(Self {
            sinc: sinc_filters()?,
            first: make.affine("first_bn", 1)?,
            blocks,
            position: make.get("pos_S", &[1, ROWS, inp])?,
            gatherers: [make.get("master1", &[1, 1, narrow])?, make.get("master2", &[1, 1, narrow])?],
            spectral: make.graph("GAT_layer_S", inp, narrow)?,
            temporal: make.graph("GAT_layer_T", inp, narrow)?,
            branches,
            pools: [make.linear("pool_S.proj", narrow, 1)?, make.linear("pool_T.proj", narrow, 1)?],
            out: make.linear("out_layer", 5 * wide, 2)?,
            keep,
        })
    }

    /// Waveforms `[n, SAMPLES]` to logits `[n, 2]`: spoof, bona fide.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (n, samples) = x.dims2()?;
        let op = Conv2d { stride: [1; 2], pad: [0; 2], activation: Activation::None };
        let x = x.reshape((n, 1, 1, samples))?.apply_op2(&self.sinc, op)?;
        let (_, filters, _, len) = x.dims4()?;
        let x = x.reshape((n, 1, filters, len))?.abs()?.max_pool2d(3)?;
        let mut x = selu(&self.first.forward(&x)?)?;
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        let size = x.abs()?;
        let rows = size.max(3)?.transpose(1, 2)?.contiguous()?.broadcast_add(&self.position)?;
        let frames = size.max(2)?.transpose(1, 2)?.contiguous()?;
        let rows = pool(&self.spectral.forward(&rows)?, &self.pools[0], self.keep[0])?;
        let frames = pool(&self.temporal.forward(&frames)?, &self.pools[1], self.keep[1])?;
        let mut found = Vec::new();
        for (([first, second], [of_frames, of_rows]), gatherer) in self.branches.iter().zip(&self.gatherers) {
            let (_, _, d) = gatherer.dims3()?;
            let gatherer = gatherer.broadcast_as((n, 1, d))?.contiguous()?;
            let ([t, s], gathered) = first.forward([&frames, &rows], &gatherer)?;
            let (t, s) = (pool(&t, of_frames, self.keep[2])?, pool(&s, of_rows, self.keep[2])?);
            let ([t2, s2], more) = second.forward([&t, &s], &gathered)?;
            found.push([(t + t2)?, (s + s2)?, (gathered + more)?]);
        }
        let [t, s, gathered] = [0, 1, 2].map(|i| found[0][i].maximum(&found[1][i]));
        let (t, s, gathered) = (t?, s?, gathered?);
        let hidden = [t.abs()?.max(1)?, t.mean(1)?, s.abs()?.max(1)?, s.mean(1)?, gathered.squeeze(1)?];
        self.out.forward(&Tensor::cat(&hidden, 1)?)
    }
}
