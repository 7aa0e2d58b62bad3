//! Checkpoints that continue a training to the same bits.

use std::{collections::BTreeMap, path::Path};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::{
    Error, Result,
    net::Params,
    optimizer::{AdamW, Slot},
};

/// Writes variables, moments, averages and the step, atomically: a crash leaves the old file or the new one.
pub(crate) fn save(path: &Path, identity: &str, params: &Params, optimizer: &AdamW) -> Result<()> {
    let mut tensors: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let bytes = |v: &[f32]| v.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    for (name, values) in params.snapshot()? {
        tensors.insert(format!("theta/{name}"), bytes(&values));
    }
    for (name, slot) in &optimizer.slots {
        tensors.insert(format!("first/{name}"), bytes(&slot.first));
        tensors.insert(format!("second/{name}"), bytes(&slot.second));
        tensors.insert(format!("average/{name}"), bytes(&slot.average));
    }
    let views = tensors
        .iter()
        .map(|(name, data)| {
            TensorView::new(Dtype::F32, vec![data.len() / 4], data)
                .map(|v| (name, v))
                .map_err(|e| Error::model(name, e.to_string()))
        })
        .collect::<Result<Vec<_>>>()?;
    let about = std::collections::HashMap::from([
        ("identity".to_owned(), identity.to_owned()),
        ("step".to_owned(), optimizer.step.to_string()),
    ]);
    let file =
        safetensors::serialize(views, Some(about)).map_err(|e| Error::model("checkpoint", e.to_string()))?;
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, file).map_err(|e| Error::io(&temporary, e))?;
    std::fs::rename(&temporary, path).map_err(|e| Error::io(path, e))
}

/// Reads a checkpoint if there is one of the same configuration and data; says whether it did.
///
/// # Errors
/// When the file is damaged or of another configuration: continuing silently from nothing would lose work.
pub(crate) fn load(path: &Path, identity: &str, params: &mut Params, optimizer: &mut AdamW) -> Result<bool> {
    let file = match std::fs::read(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(Error::io(path, e)),
    };
    let bad = |reason: String| Error::config(path, reason);
    let (_, about) = SafeTensors::read_metadata(&file).map_err(|e| bad(e.to_string()))?;
    let about = about.metadata().clone().unwrap_or_default();
    if about.get("identity").map(String::as_str) != Some(identity) {
        return Err(bad("belongs to another configuration or other data; remove it to start anew".into()));
    }
    optimizer.step =
        about.get("step").and_then(|s| s.parse().ok()).ok_or_else(|| bad("has no step".into()))?;
    let tensors = SafeTensors::deserialize(&file).map_err(|e| bad(e.to_string()))?;
    let mut theta = BTreeMap::new();
    for (name, view) in tensors.tensors() {
        let floats = view.data().chunks_exact(4);
        let values: Vec<f32> = floats.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        match name.split_once('/') {
            Some(("theta", name)) => {
                theta.insert(name.to_owned(), values);
            }
            Some((part, name)) => {
                let slot: &mut Slot = optimizer.slots.entry(name.to_owned()).or_default();
                match part {
                    "first" => slot.first = values,
                    "second" => slot.second = values,
                    "average" => slot.average = values,
                    _ => return Err(bad(format!("unknown entry {part}/{name}"))),
                }
            }
            None => return Err(bad(format!("unknown entry {name}"))),
        }
    }
    params.restore(&theta)?;
    Ok(true)
}
