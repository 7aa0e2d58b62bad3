//! Named variables with reproducible initial values.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{Init, VarMap};
use half::f16;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use sha2::{Digest, Sha256};

use super::{FROZEN, nf4};
use crate::{Error, Result, hex};

/// How a variable starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Start {
    /// One value everywhere.
    Constant(f32),
    /// Normal values with variance `2 / fan_in` (He et al. 2015), fan-in from all but the first dimension.
    He,
}

/// Named variables of one network, over candle-nn's [`VarMap`].
///
/// candle's generator on the CPU takes no seed, so the starting values are drawn here: from the seed and the variable's
/// name, so that they do not depend on the order of construction.
#[derive(Clone)]
pub struct Params {
    map: VarMap,
    /// `None`: variables start at zero, since a file will set them.
    seed: Option<u64>,
}

impl std::fmt::Debug for Params {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Params").field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl Params {
    /// No variables yet.
    pub fn new(seed: u64) -> Self {
        Self { map: VarMap::new(), seed: Some(seed) }
    }

    /// No variables yet, and no starting values for those to come: a weight file will set them all.
    pub(crate) fn blank() -> Self {
        Self { map: VarMap::new(), seed: None }
    }

    /// A variable, made if it is not there.
    pub(crate) fn get(&mut self, name: &str, shape: &[usize], start: Start) -> Result<Tensor> {
        self.get_as(name, shape, start, DType::F32)
    }

    /// The same with values of type `dtype`, in f16 for half the memory.
    pub(crate) fn get_as(
        &mut self,
        name: &str,
        shape: &[usize],
        start: Start,
        dtype: DType,
    ) -> Result<Tensor> {
        let fresh = !self.vars().contains_key(name);
        let tensor = self.map.get(shape, name, Init::Const(0.0), dtype, &Device::Cpu)?;
        if let Some(seed) = self.seed.filter(|_| fresh) {
            let n = shape.iter().product();
            let values = match start {
                Start::Constant(v) => vec![v; n],
                Start::He => {
                    let fan_in: usize = shape.iter().skip(1).product();
                    normal(n, (2.0 / fan_in.max(1) as f32).sqrt(), seed, name)
                }
            };
            self.set(name, values)?;
        }
        Ok(tensor)
    }

    /// All variables in the order of their names.
    pub fn vars(&self) -> BTreeMap<String, Var> {
        let data = self.map.data().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        data.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// Variables that the optimiser may move: everything but running statistics and frozen parts.
    pub fn trainable(&self) -> BTreeMap<String, Var> {
        let free = |name: &str| !name.contains(".running_") && !name.starts_with(FROZEN);
        self.vars().into_iter().filter(|(name, _)| free(name)).collect()
    }

    /// Number of trainable values.
    pub fn count(&self) -> usize {
        self.trainable().values().map(|v| v.elem_count()).sum()
    }

    /// Replaces the values of one variable.
    pub(crate) fn set(&mut self, name: &str, values: Vec<f32>) -> Result<()> {
        let vars = self.vars();
        let var = vars.get(name).ok_or_else(|| Error::model(name, "no such variable"))?;
        fill(var, values)
    }

    /// Values of every variable.
    pub fn snapshot(&self) -> Result<BTreeMap<String, Vec<f32>>> {
        self.vars().into_iter().map(|(k, v)| Ok((k, values(&v)?))).collect()
    }

    /// Sets every variable from a snapshot.
    ///
    /// # Errors
    /// When a variable is missing or has another size.
    pub fn restore(&mut self, snapshot: &BTreeMap<String, Vec<f32>>) -> Result<()> {
        for (name, var) in self.vars() {
            let values = snapshot.get(&name).ok_or_else(|| Error::model(&name, "missing"))?;
            fill(&var, values.clone())?;
        }
        Ok(())
    }

    /// A safetensors file of all variables in f16.
    pub fn to_safetensors(&self) -> Result<Vec<u8>> {
        self.to_safetensors_with(&[])
    }

    /// The same, naming the weight files that hold the rest of the model.
    pub(crate) fn to_safetensors_with(&self, parts: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
        let f16 =
            |values: Vec<f32>| values.into_iter().flat_map(|v| f16::from_f32(v).to_le_bytes()).collect();
        let data =
            self.tensors(|name, var, values| vec![(name, Dtype::F16, var.dims().into(), f16(values))])?;
        write(&data, parts)
    }

    /// A safetensors file of all variables in f32.
    pub fn to_safetensors_f32(&self) -> Result<Vec<u8>> {
        let f32 = |values: Vec<f32>| values.into_iter().flat_map(f32::to_le_bytes).collect();
        let data =
            self.tensors(|name, var, values| vec![(name, Dtype::F32, var.dims().into(), f32(values))])?;
        write(&data, &[])
    }

    /// A safetensors file of matrices in eight bits, `<name>.scale` beside each with the size of a step in each row, or, if they are kept
    /// in f16, in [four bits](nf4), with the scales of groups beside them; and of all else in f16, with a tensor of bytes where one is given.
    pub(crate) fn to_safetensors_rounded(&self, extra: Option<(&str, &[u8])>) -> Result<Vec<u8>> {
        let f16 = |values: Vec<f16>| values.into_iter().flat_map(f16::to_le_bytes).collect();
        let mut data = self.tensors(|name, var, values| {
            let shape = var.dims().to_vec();
            let &[rows, columns] = shape.as_slice() else {
                let values = values.into_iter().map(f16::from_f32).collect();
                return vec![(name, Dtype::F16, shape, f16(values))];
            };
            if var.dtype() == DType::F16 && columns % nf4::GROUP == 0 {
                let (steps, scales) = nf4::encode(&values);
                return vec![
                    (format!("{name}{SCALE}"), Dtype::F16, vec![rows, columns / nf4::GROUP], f16(scales)),
                    (name, Dtype::U8, vec![rows, columns / 2], steps),
                ];
            }
            let (mut steps, mut scales) = (Vec::new(), Vec::new());
            for row in values.chunks_exact(columns) {
                let largest = row.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
                let scale = if largest > 0.0 { largest / f32::from(i8::MAX) } else { 1.0 };
                steps.extend(row.iter().map(|v| (v / scale).round() as i8 as u8));
                scales.extend(scale.to_le_bytes());
            }
            vec![(format!("{name}{SCALE}"), Dtype::F32, vec![rows], scales), (name, Dtype::I8, shape, steps)]
        })?;
        data.extend(
            extra.map(|(name, bytes)| (name.to_owned(), Dtype::U8, vec![bytes.len()], bytes.to_vec())),
        );
        write(&data, &[])
    }

    /// What `f` makes of each variable, from its name and values.
    fn tensors(&self, f: impl Fn(String, &Var, Vec<f32>) -> Vec<Stored>) -> Result<Vec<Stored>> {
        let mut out = Vec::new();
        for (name, var) in self.vars() {
            out.extend(f(name, &var, values(&var)?));
        }
        Ok(out)
    }

    /// Sets every variable from a safetensors file.
    ///
    /// # Errors
    /// When the file is damaged, or a variable is missing, has another shape or a value that is not finite.
    pub fn load_safetensors(&mut self, bytes: &[u8]) -> Result<()> {
        self.load_files(&[bytes])
    }

    /// Sets every variable from the first of some safetensors files that has it, in f16, f32 or eight or four bits with scales.
    pub(crate) fn load_files(&mut self, files: &[&[u8]]) -> Result<()> {
        let files = files
            .iter()
            .map(|bytes| SafeTensors::deserialize(bytes).map_err(|e| Error::model("weights", e.to_string())))
            .collect::<Result<Vec<_>>>()?;
        for (name, var) in self.vars() {
            let with = files.iter().find(|f| f.tensor(&name).is_ok()).or(files.first());
            let Some(file) = with else { return Err(Error::model(name, "no weight file")) };
            let view = file.tensor(&name).map_err(|e| Error::model(&name, e.to_string()))?;
            let mut shape = view.shape().to_vec();
            if let (Dtype::U8, [_, columns]) = (view.dtype(), shape.as_mut_slice()) {
                *columns = columns.saturating_mul(2);
            }
            if shape != var.dims() {
                let reason = format!("shape {shape:?} in the file, {:?} in the network", var.dims());
                return Err(Error::model(name, reason));
            }
            let values: Vec<f32> = match view.dtype() {
                Dtype::F16 => {
                    view.data().chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
                }
                Dtype::F32 => {
                    let floats = view.data().chunks_exact(4);
                    floats.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
                }
                Dtype::I8 => {
                    let scale = format!("{name}{SCALE}");
                    let scales = file.tensor(&scale).map_err(|e| Error::model(&scale, e.to_string()))?;
                    let columns = view.data().len() / var.dim(0)?.max(1);
                    if scales.dtype() != Dtype::F32 || scales.shape() != [var.dim(0)?] || columns == 0 {
                        return Err(Error::model(scale, "is not a number in f32 for each row"));
                    }
                    let rows = view.data().chunks_exact(columns).zip(scales.data().as_chunks::<4>().0);
                    rows.flat_map(|(row, scale)| {
                        let scale = f32::from_le_bytes(*scale);
                        row.iter().map(move |&step| f32::from(step.cast_signed()) * scale)
                    })
                    .collect()
                }
                Dtype::U8 => {
                    let scale = format!("{name}{SCALE}");
                    let scales = file.tensor(&scale).map_err(|e| Error::model(&scale, e.to_string()))?;
                    let groups = scales.data().as_chunks::<2>().0;
                    // Groups lie within rows.
                    let whole = shape.last().is_some_and(|columns| columns % nf4::GROUP == 0);
                    if scales.dtype() != Dtype::F16 || !whole || groups.len() * nf4::GROUP != var.elem_count()
                    {
                        return Err(Error::model(scale, "is not a number in f16 for each group"));
                    }
                    nf4::decode(view.data(), groups.iter().map(|&b| f16::from_le_bytes(b).to_f32()))
                }
                other => return Err(Error::model(name, format!("{other:?} is not a type of weights"))),
            };
            if values.iter().any(|v| !v.is_finite()) {
                return Err(Error::model(name, "holds a value that is not finite"));
            }
            fill(&var, values)?;
        }
        Ok(())
    }

    /// Rounds every variable to f16, as the weight file does, so that what is measured is what is shipped.
    pub fn round_to_f16(&mut self) -> Result<()> {
        let rounded: BTreeMap<String, Vec<f32>> = self
            .snapshot()?
            .into_iter()
            .map(|(k, v)| (k, v.iter().map(|&x| f16::from_f32(x).to_f32()).collect()))
            .collect();
        self.restore(&rounded)
    }
}

/// Values of a variable of any type.
fn values(var: &Var) -> Result<Vec<f32>> {
    Ok(var.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?)
}

/// Gives a variable its values.
fn fill(var: &Var, values: Vec<f32>) -> Result<()> {
    Ok(var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu)?.to_dtype(var.dtype())?)?)
}

/// What the name of the scales of a matrix in eight or four bits ends with.
const SCALE: &str = ".scale";
/// Key of a weight file's header under which it names those that hold the rest of its model.
const PARTS: &str = "parts";

/// Name, type, shape and bytes of a tensor.
type Stored = (String, Dtype, Vec<usize>, Vec<u8>);

/// A safetensors file.
fn write(data: &[Stored], parts: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let views = data
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(*dtype, shape.clone(), bytes)
                .map_err(|e| Error::model(name, e.to_string()))?;
            Ok((name, view))
        })
        .collect::<Result<Vec<_>>>()?;
    let named: Vec<String> =
        parts.iter().map(|(name, bytes)| format!("{name} {}", hex(&Sha256::digest(bytes)))).collect();
    // One key: more would be written in any order.
    let header = (!named.is_empty()).then(|| HashMap::from([(PARTS.to_owned(), named.join(", "))]));
    safetensors::serialize(views, header).map_err(|e| Error::model("weights", e.to_string()))
}

/// The weight files that hold the rest of a model: their names, without folder and ending, and their SHA-256.
pub(crate) fn parts(bytes: &[u8]) -> Result<Vec<(String, String)>> {
    let wrong = |e: String| Error::model("weights", e);
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| wrong(e.to_string()))?;
    let Some(named) = header.metadata().as_ref().and_then(|m| m.get(PARTS)) else { return Ok(Vec::new()) };
    named
        .split(", ")
        .map(|part| match part.split_once(' ') {
            Some((name, sha256)) if !name.is_empty() && !name.contains(['/', '\\', '.']) => {
                Ok((name.to_owned(), sha256.to_owned()))
            }
            _ => Err(wrong(format!("names the part \"{part}\""))),
        })
        .collect()
}

/// A safetensors file of f16 or f32 with the same values in f32.
///
/// # Errors
/// When the file is damaged or holds another type.
pub fn convert_safetensors(bytes: &[u8]) -> Result<Vec<u8>> {
    let wrong = |e: String| Error::model("weights", e);
    let file = SafeTensors::deserialize(bytes).map_err(|e| wrong(e.to_string()))?;
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| wrong(e.to_string()))?;
    let mut data = BTreeMap::new();
    for (name, view) in file.iter() {
        let bytes: Vec<u8> = match view.dtype() {
            Dtype::F16 => {
                let values = view.data().chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32());
                values.flat_map(f32::to_le_bytes).collect()
            }
            Dtype::F32 => view.data().to_vec(),
            other => return Err(Error::model(name, format!("{other:?} is neither f16 nor f32"))),
        };
        data.insert(name, (view.shape().to_vec(), bytes));
    }
    let views = data
        .iter()
        .map(|(name, (shape, bytes))| {
            TensorView::new(Dtype::F32, shape.clone(), bytes)
                .map(|view| (name, view))
                .map_err(|e| Error::model(*name, e.to_string()))
        })
        .collect::<Result<Vec<_>>>()?;
    safetensors::serialize(views, header.metadata().clone()).map_err(|e| wrong(e.to_string()))
}

/// Normal values from the seed and a name (Box and Muller 1958).
fn normal(n: usize, sd: f32, seed: u64, name: &str) -> Vec<f32> {
    let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(name).finalize();
    let mut key = [0u8; 32];
    key.copy_from_slice(&digest);
    let mut rng = ChaCha8Rng::from_seed(key);
    let mut out = Vec::with_capacity(n + 1);
    while out.len() < n {
        let u: f64 = 1.0 - rng.random::<f64>();
        let v: f64 = rng.random();
        let r = (-2.0 * u.ln()).sqrt();
        let a = 2.0 * std::f64::consts::PI * v;
        out.push((r * a.cos()) as f32 * sd);
        out.push((r * a.sin()) as f32 * sd);
    }
    out.truncate(n);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starting_values_depend_on_seed_and_name_only() {
        let mut a = Params::new(1);
        a.get("x.weight", &[64, 32], Start::He).unwrap();
        a.get("y.weight", &[8], Start::Constant(1.0)).unwrap();
        let mut b = Params::new(1);
        b.get("y.weight", &[8], Start::Constant(1.0)).unwrap();
        b.get("x.weight", &[64, 32], Start::He).unwrap();
        assert_eq!(a.snapshot().unwrap(), b.snapshot().unwrap());
        let x = &a.snapshot().unwrap()["x.weight"];
        let var = x.iter().map(|v| v * v).sum::<f32>() / x.len() as f32;
        assert!((var - 2.0 / 32.0).abs() < 0.01, "{var}");
        let mut c = Params::new(2);
        c.get("x.weight", &[64, 32], Start::He).unwrap();
        assert_ne!(&c.snapshot().unwrap()["x.weight"], x);
    }

    #[test]
    fn a_file_comes_back_and_a_wrong_one_is_refused() {
        let mut a = Params::new(1);
        a.get("x.weight", &[4, 3], Start::He).unwrap();
        a.round_to_f16().unwrap();
        let file = a.to_safetensors().unwrap();
        assert_eq!(file, a.to_safetensors().unwrap());
        let mut b = Params::new(9);
        b.get("x.weight", &[4, 3], Start::He).unwrap();
        b.load_safetensors(&file).unwrap();
        assert_eq!(a.snapshot().unwrap(), b.snapshot().unwrap());
        let mut c = Params::new(9);
        c.get("x.weight", &[3, 4], Start::He).unwrap();
        assert!(c.load_safetensors(&file).unwrap_err().to_string().contains("shape"));
        assert!(b.load_safetensors(&file[..file.len() - 1]).is_err());
    }

    #[test]
    fn a_matrix_in_eight_bits_comes_back_within_half_a_step() {
        let mut a = Params::new(1);
        a.get("x.weight", &[4, 30], Start::He).unwrap();
        a.get("x.bias", &[4], Start::Constant(0.5)).unwrap();
        a.get("none", &[2, 3], Start::Constant(0.0)).unwrap();
        let file = a.to_safetensors_rounded(Some(("text", b"more"))).unwrap();
        let mut b = Params::new(9);
        b.get("x.weight", &[4, 30], Start::He).unwrap();
        b.get("x.bias", &[4], Start::He).unwrap();
        b.get("none", &[2, 3], Start::He).unwrap();
        b.load_safetensors(&file).unwrap();
        let (a, b) = (a.snapshot().unwrap(), b.snapshot().unwrap());
        assert_eq!((&a["x.bias"], &a["none"]), (&b["x.bias"], &b["none"]));
        for (a, b) in a["x.weight"].chunks_exact(30).zip(b["x.weight"].chunks_exact(30)) {
            let step = a.iter().fold(0.0_f32, |most, v| most.max(v.abs())) / 127.0;
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 0.501 * step));
        }
        assert_eq!(SafeTensors::deserialize(&file).unwrap().tensor("text").unwrap().data(), b"more");
    }

    #[test]
    fn a_matrix_in_half_precision_comes_back_from_four_bits() {
        let mut a = Params::new(1);
        a.get_as("x.weight", &[4, 64], Start::He, DType::F16).unwrap();
        let file = a.to_safetensors_rounded(None).unwrap();
        assert!(file.len() < 500, "{}", file.len());
        let mut b = Params::blank();
        b.get_as("x.weight", &[4, 64], Start::He, DType::F16).unwrap();
        b.load_safetensors(&file).unwrap();
        let (a, b) = (a.snapshot().unwrap(), b.snapshot().unwrap());
        let squares = |x: &mut dyn Iterator<Item = f32>| x.map(|v| v * v).sum::<f32>();
        let off = squares(&mut a["x.weight"].iter().zip(&b["x.weight"]).map(|(a, b)| a - b));
        assert!(off < 0.01 * squares(&mut a["x.weight"].iter().copied()));
        let mut c = Params::blank();
        c.get_as("x.weight", &[4, 32], Start::He, DType::F16).unwrap();
        assert!(c.load_safetensors(&file).unwrap_err().to_string().contains("shape [4, 64]"));
        // Scales of another shape, and groups that would cross rows.
        for (columns, scales) in [(64, 7), (16, 2)] {
            let stored = vec![
                ("x.weight".to_owned(), Dtype::U8, vec![4, columns / 2], vec![0; 2 * columns]),
                ("x.weight.scale".to_owned(), Dtype::F16, vec![scales], vec![0; 2 * scales]),
            ];
            let mut d = Params::blank();
            d.get_as("x.weight", &[4, columns], Start::He, DType::F16).unwrap();
            let error = d.load_safetensors(&write(&stored, &[]).unwrap()).unwrap_err().to_string();
            assert!(error.contains("for each group"), "{error}");
        }
    }

    #[test]
    fn a_file_names_the_others_of_its_model_and_takes_from_them_what_it_lacks() {
        let mut whole = Params::new(1);
        whole.get("a", &[3], Start::He).unwrap();
        let first = whole.to_safetensors().unwrap();
        let mut other = Params::new(2);
        other.get("b", &[3], Start::He).unwrap();
        let second = other.to_safetensors_with(&[("first".into(), first.clone())]).unwrap();
        assert_eq!(parts(&second).unwrap(), [("first".to_owned(), hex(&Sha256::digest(&first)))]);
        assert_eq!(parts(&first).unwrap(), []);
        assert_eq!(parts(&convert_safetensors(&second).unwrap()).unwrap().len(), 1);
        whole.get("b", &[3], Start::He).unwrap();
        whole.load_files(&[&second, &first]).unwrap();
        assert!(whole.load_files(&[&first]).unwrap_err().to_string().contains('b'));
        // A name never leads out of the folder.
        let named = HashMap::from([(PARTS.to_owned(), "../x 00".to_owned())]);
        let data: Vec<(String, TensorView<'_>)> = Vec::new();
        assert!(parts(&safetensors::serialize(data, Some(named)).unwrap()).is_err());
    }
}
