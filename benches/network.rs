//! Speed of the kernels against candle's own, and of the networks.
//!
//! Pairs run in one process, one after the other; `benches/peers/onnx_kernels.py` adds onnxruntime on the same shapes.
#![allow(missing_docs, reason = "the macros of criterion make undocumented functions")]

use std::hint::black_box;
use std::time::Duration;

use candle_core::{Device, Tensor, Var};
use candor::{Media, MediaKind, Pixels, Registry, Waveform};
use candor_features::text::document;
use candor_models::kernels::{
    Activation, Conv2d, ConvNorm, Convolution, Depthwise2d, MaxPool2, Pointwise, keep_freed_memory,
};
use candor_models::net::{
    Clip, EfficientNetLite, Encoder, LfccNet, LfccNetConfig, LiteSize, Mode, Params, ResidualNet,
    ResidualNetConfig, Whisper,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array2;

fn values(n: usize) -> Vec<f32> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    std::iter::repeat_with(next).take(n).collect()
}

fn var(shape: &[usize]) -> Var {
    let n = shape.iter().product();
    let tensor = Tensor::from_vec(values(n), shape, &Device::Cpu).expect("the length fits the shape");
    Var::from_tensor(&tensor).expect("a tensor on the CPU")
}

type Op<'a> = &'a dyn Fn(&[Tensor]) -> candle_core::Result<Tensor>;

/// Forward alone, and forward with backward, of our operation and of candle's.
fn pair(
    c: &mut Criterion,
    name: &str,
    vars: &[Var],
    ours: impl Fn(&[Tensor]) -> candle_core::Result<Tensor>,
    theirs: impl Fn(&[Tensor]) -> candle_core::Result<Tensor>,
) {
    let tracked: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let plain: Vec<Tensor> = vars.iter().map(Var::as_detached_tensor).collect();
    let mut group = c.benchmark_group(name);
    group.measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500)).sample_size(20);
    for (who, op) in [("candor", &ours as Op<'_>), ("candle", &theirs as Op<'_>)] {
        group.bench_function(format!("{who} forward"), |b| b.iter(|| op(black_box(&plain))));
        group.bench_function(format!("{who} forward and backward"), |b| {
            b.iter(|| op(black_box(&tracked)).and_then(|y| y.sum_all()).and_then(|y| y.backward()));
        });
    }
    group.finish();
}

fn kernels(c: &mut Criterion) {
    // As `candor train` does; candle's operations have it, too. Whether a call gets fresh pages would decide else.
    keep_freed_memory();
    pair(
        c,
        "conv3x3 64-64 56x56",
        &[var(&[1, 64, 56, 56]), var(&[64, 64, 3, 3])],
        |v| v[0].apply_op2(&v[1], Conv2d::same(3, 1, Activation::None)),
        |v| v[0].conv2d(&v[1], 1, 1, 1, 1),
    );
    pair(
        c,
        "conv3x3 s2 7-24 128x128",
        &[var(&[1, 7, 128, 128]), var(&[24, 7, 3, 3])],
        |v| v[0].apply_op2(&v[1], Conv2d::same(3, 2, Activation::None)),
        |v| v[0].conv2d(&v[1], 1, 2, 1, 1),
    );
    pair(
        c,
        "conv1x1 64-128 56x56",
        &[var(&[1, 64, 56, 56]), var(&[128, 64, 1, 1])],
        |v| v[0].apply_op2(&v[1], Conv2d::same(1, 1, Activation::None)),
        |v| v[0].conv2d(&v[1], 0, 1, 1, 1),
    );
    let operands =
        [&[1, 64, 56, 56][..], &[128, 64, 1, 1], &[128]].map(|shape| var(shape).as_detached_tensor());
    let frozen = Pointwise { activation: Activation::None };
    c.bench_function("conv1x1 64-128 56x56/candor frozen", |b| {
        let [x, weight, bias] = &operands;
        b.iter(|| black_box(x).apply_op3_no_bwd(weight, bias, &frozen));
    });
    pair(
        c,
        "depthwise3x3 64 56x56",
        &[var(&[1, 64, 56, 56]), var(&[64, 1, 3, 3])],
        |v| v[0].apply_op2(&v[1], Depthwise2d { stride: 1, tensorflow: false, activation: Activation::None }),
        |v| v[0].conv2d(&v[1], 1, 1, 1, 64),
    );
    pair(
        c,
        "conv1x1 32-32, batch norm and relu 8x32x64x64",
        &[var(&[8, 32, 64, 64]), var(&[32, 32, 1, 1]), var(&[2, 32])],
        |v| {
            let convolution = Convolution::Full(Conv2d::same(1, 1, Activation::None));
            v[0].apply_op3(&v[1], &v[2], ConvNorm::new(convolution, 1e-5, Activation::Relu))
        },
        |v| {
            // Training-mode normalisation from candle's own operations.
            let x = v[0].conv2d(&v[1], 0, 1, 1, 1)?.transpose(0, 1)?.flatten_from(1)?;
            let centred = x.broadcast_sub(&x.mean_keepdim(1)?)?;
            let var = centred.sqr()?.mean_keepdim(1)?;
            let hat = centred.broadcast_div(&(var + 1e-5)?.sqrt()?)?;
            let y =
                hat.broadcast_mul(&v[2].get(0)?.unsqueeze(1)?)?.broadcast_add(&v[2].get(1)?.unsqueeze(1)?)?;
            y.reshape((32, 8, 64, 64))?.transpose(0, 1)?.relu()
        },
    );
    pair(
        c,
        "max pool 2x2 8x32x64x64",
        &[var(&[8, 32, 64, 64])],
        |v| v[0].apply_op1(MaxPool2),
        |v| v[0].max_pool2d(2),
    );
}

/// The shipped networks on one megapixel, ten seconds and one kilobyte.
fn networks(c: &mut Criterion) {
    let registry = Registry::embedded().expect("the embedded models are sound");
    let bytes = values(1024 * 1024 * 3).iter().map(|v| (v * 40.0 + 128.0) as u8).collect();
    let image = Media::Image(Pixels::from_rgb(1024, 1024, bytes).expect("the length fits the sides"));
    let audio = Media::Audio(Waveform {
        samples: values(10 * Waveform::RATE as usize),
        source_rate: Waveform::RATE,
        source_channels: 1,
        format: "wav".to_owned(),
        warnings: Vec::new(),
    });
    let sentence = "Whoever counts the words of this sentence will find that it has fifteen of them. ";
    let text = Media::Text(document(&sentence.repeat(13)[..1024]));
    let mut group = c.benchmark_group("network");
    group.measurement_time(Duration::from_secs(3)).sample_size(10);
    for (media, name, amount) in [
        (&image, "image, 1 megapixel", Throughput::Elements(1024 * 1024)),
        (&audio, "audio, 10 seconds", Throughput::Elements(10)),
        (&text, "text, 1 kilobyte", Throughput::Bytes(1024)),
    ] {
        let kind: MediaKind = media.kind();
        let Some(model) = registry.get(kind) else { continue };
        group.throughput(amount);
        group.bench_function(name, |b| b.iter(|| model.detector.detect(black_box(media))));
    }
    let encoder = Encoder::new(&mut Params::new(1)).expect("the variables are new");
    let encoder = encoder.ready().expect("the shapes fit");
    let tokens: Vec<u32> = (0..128).map(|i| 1000 + 37 * i).collect();
    group.throughput(Throughput::Elements(128));
    group.bench_function("encoder, 128 tokens", |b| {
        b.iter(|| encoder.forward(black_box(&tokens), Encoder::LAYERS - 1));
    });
    let whisper = Whisper::new(&mut Params::new(1)).expect("the variables are new");
    let whisper = whisper.ready().expect("the shapes fit");
    let frames = Array2::from_shape_vec((400, 80), values(400 * 80)).expect("the length fits the shape");
    group.throughput(Throughput::Elements(4));
    group.bench_function("speech encoder, 4 seconds", |b| {
        b.iter(|| whisper.forward(black_box(&frames), Whisper::LAYERS - 1));
    });
    let backbone =
        EfficientNetLite::new(&mut Params::new(1), LiteSize::Lite2).expect("the variables are new");
    let picture = var(&[1, 3, 224, 224]).as_detached_tensor();
    group.throughput(Throughput::Elements(224 * 224));
    group.bench_function("EfficientNet-Lite2, 224x224", |b| b.iter(|| backbone.forward(black_box(&picture))));
    let backbone = Clip::new(&mut Params::new(1)).expect("the variables are new");
    let backbone = backbone.ready().expect("the shapes fit");
    group.bench_function("CLIP ViT-B/16, 224x224", |b| b.iter(|| backbone.forward(black_box(&picture))));
    group.finish();
}

/// Forward and backward of the networks in training mode, on a batch as their configurations have it;
/// `benches/peers/training.py` does the same in PyTorch.
fn training(c: &mut Criterion) {
    keep_freed_memory();
    let mut group = c.benchmark_group("training");
    group.measurement_time(Duration::from_secs(10)).sample_size(10);
    let mut params = Params::new(1);
    let shape = ResidualNetConfig { planes: 7, widths: [16, 24, 48, 96], blocks: [1, 1, 2] };
    let image = ResidualNet::new(&mut params, &shape).expect("the shape makes sense");
    let x = var(&[64, 7, 96, 96]).as_detached_tensor();
    group.throughput(Throughput::Elements(64));
    group.bench_function("image/residual, batch of 64 at 96x96", |b| {
        b.iter(|| {
            let map = image.forward(black_box(&x), Mode::Train).expect("a forward pass");
            map.sqr().and_then(|y| y.mean_all()).and_then(|y| y.backward())
        });
    });
    let mut params = Params::new(1);
    let audio = LfccNet::new(&mut params, &LfccNetConfig { widths: [16, 24, 32, 32, 48] })
        .expect("the shape makes sense");
    let x = var(&[32, 1, 60, 200]).as_detached_tensor();
    group.throughput(Throughput::Elements(32));
    group.bench_function("audio/lfcc, batch of 32 at 60x200", |b| {
        b.iter(|| {
            let y = audio.forward(black_box(&x), Mode::Train).expect("a forward pass");
            y.clip.sqr().and_then(|y| y.mean_all()).and_then(|y| y.backward())
        });
    });
    group.finish();
}

criterion_group!(benches, kernels, networks, training);
criterion_main!(benches);
