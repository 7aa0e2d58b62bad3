//! Detection of machine-written English by features that were learned from pairs of sentences, beside n-grams and style.

use candor_features::{
    Media, MediaKind,
    text::{Language, TextConfig},
};
use rayon::prelude::*;
use tokenizers::Tokenizer;

use crate::{
    Detection, Detector, Error, Fact, Result,
    net::{Encoder, FrozenLinear, NgramNetConfig, Params, WIDTH},
    text::{NgramDetector, Standard},
};

/// Tokens of a window, with one before and one after them that every window has: as long as the encoder was trained on.
const TOKENS: usize = 128;
/// Tokens of the text itself in a window.
const WITHIN: usize = TOKENS - 2;
/// Begins every window.
const FIRST: u32 = 101;
/// Ends every window.
const LAST: u32 = 102;
/// Windows of a text, evenly spread.
const WINDOWS: usize = 8;
/// Bytes that hold more than a window.
const BYTES: usize = 1024;

/// Name of the tokenizer in the encoder's weight file.
pub(crate) const TOKENIZER: &str = "tokenizer";

/// Numbers in a description by these layers: means and standard deviations.
pub(crate) fn len(layers: &[usize]) -> usize {
    layers.len() * 2 * WIDTH
}

/// The encoder with its tokenizer.
pub(crate) struct Reader {
    tokenizer: Tokenizer,
    net: Encoder,
}

impl Reader {
    /// Makes the variables; `file` has the tokenizer.
    pub(crate) fn new(params: &mut Params, file: &[u8]) -> Result<Self> {
        let wrong = |e: String| Error::model("text", e);
        let parts = safetensors::SafeTensors::deserialize(file).map_err(|e| wrong(e.to_string()))?;
        let view = parts.tensor(TOKENIZER).map_err(|e| wrong(format!("{TOKENIZER}: {e}")))?;
        let mut tokenizer = Tokenizer::from_bytes(view.data()).map_err(|e| wrong(e.to_string()))?;
        tokenizer.with_truncation(None).map_err(|e| wrong(e.to_string()))?.with_padding(None);
        Ok(Self { tokenizer, net: Encoder::new(params)? })
    }

    /// Call it after the parameters were set.
    pub(crate) fn ready(self) -> Result<Self> {
        Ok(Self { net: self.net.ready()?, ..self })
    }

    fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        let found =
            self.tokenizer.encode_fast(text, false).map_err(|e| Error::model("text", e.to_string()))?;
        Ok(found.get_ids().to_vec())
    }

    /// At most `most` windows of a text in its normal form, evenly spread; only as much of a long text is read as they need.
    pub(crate) fn windows(&self, text: &str, most: usize) -> Result<Vec<Vec<u32>>> {
        let frame = |tokens: &[u32]| [&[FIRST], tokens, &[LAST]].concat();
        // The first and the last place are those of the first and the last window.
        let place = |i: usize, of: usize, room: usize| room * i / (of - 1).max(1);
        if text.len() <= most * BYTES {
            let tokens = self.tokens(text)?;
            let n = tokens.len().div_ceil(WITHIN).min(most);
            let starts = (0..n).map(|i| place(i, n, tokens.len().saturating_sub(WITHIN)));
            return Ok(starts
                .map(|s| frame(tokens.get(s..(s + WITHIN).min(tokens.len())).unwrap_or_default()))
                .collect());
        }
        let windows = (0..most).map(|i| {
            let start = text.ceil_char_boundary(place(i, most, text.len() - BYTES));
            let excerpt = text.get(start..text.ceil_char_boundary(start + BYTES)).unwrap_or_default();
            // A word that is cut is another word.
            let excerpt =
                if start == 0 { excerpt } else { excerpt.split_once(' ').map_or(excerpt, |(_, rest)| rest) };
            let tokens = self.tokens(excerpt)?;
            Ok(frame(tokens.get(..WITHIN.min(tokens.len())).unwrap_or_default()))
        });
        windows.collect()
    }

    /// Mean and standard deviation over a window's tokens of each number in the wanted layers.
    pub(crate) fn describe(&self, layers: &[usize], window: &[u32]) -> Result<Vec<f32>> {
        let last = layers.iter().copied().max().unwrap_or_default();
        let found = self.net.forward(window, last)?;
        let mut out = Vec::with_capacity(len(layers));
        for layer in layers.iter().filter_map(|&l| found.get(l)) {
            let values = layer.flatten_all()?.to_vec1::<f32>()?;
            let n = window.len().saturating_sub(2).max(1);
            let within = values.get(WIDTH..(n + 1) * WIDTH).unwrap_or_default();
            let mut mean = [0.0_f32; WIDTH];
            for row in within.chunks_exact(WIDTH) {
                mean.iter_mut().zip(row).for_each(|(m, v)| *m += v / n as f32);
            }
            let mut variance = [0.0_f32; WIDTH];
            for row in within.chunks_exact(WIDTH) {
                variance
                    .iter_mut()
                    .zip(row)
                    .zip(&mean)
                    .for_each(|((s, v), m)| *s += (v - m).powi(2) / n as f32);
            }
            out.extend(mean);
            out.extend(variance.map(f32::sqrt));
        }
        Ok(out)
    }
}

/// An [`NgramDetector`] and, for English, a linear layer on frozen features of windows, whose mean logit is added.
///
/// An encoder that learned which sentences mean the same has never seen a machine's text; simple statistics of its layers describe
/// how a text is worded, beyond the words themselves.
pub(crate) struct EncodedDetector {
    ngram: NgramDetector,
    reader: Reader,
    layers: Vec<usize>,
    linear: FrozenLinear,
}

impl EncodedDetector {
    /// From weight files: the detector's own, the encoder's and that of the n-grams.
    pub(crate) fn load(
        network: &NgramNetConfig,
        features: TextConfig,
        standard: &Standard,
        layers: &[usize],
        files: [&[u8]; 3],
    ) -> Result<Self> {
        if layers.is_empty() || layers.iter().any(|&l| l >= Encoder::LAYERS) {
            return Err(Error::model("text", format!("layers are 0 to {}", Encoder::LAYERS - 1)));
        }
        let [_, encoder, ngrams] = files;
        let mut params = Params::blank();
        let ngram = NgramDetector::new(&mut params, network, features, standard.clone())?;
        let reader = Reader::new(&mut params, encoder)?;
        let linear = FrozenLinear::new(&mut params, len(layers))?;
        params.load_files(&files)?;
        Ok(Self { ngram: ngram.ready(ngrams)?, reader: reader.ready()?, layers: layers.to_vec(), linear })
    }

    /// The answer of the n-grams' detector, and the layer's logit where it reads.
    pub(crate) fn both(&self, media: &Media) -> Result<(Detection, Option<f64>)> {
        let (features, found) = self.ngram.read(media)?;
        if features.language == Language::Chinese || found.abstain.is_some() {
            return Ok((found, None));
        }
        let windows = self.reader.windows(&features.normalised.text, WINDOWS)?;
        let logits: Vec<f64> = windows
            .par_iter()
            .map(|window| self.linear.logit(&self.reader.describe(&self.layers, window)?))
            .collect::<Result<_>>()?;
        let mean = logits.iter().sum::<f64>() / logits.len().max(1) as f64;
        Ok((found, (!logits.is_empty()).then_some(mean)))
    }
}

impl Detector for EncodedDetector {
    fn kind(&self) -> MediaKind {
        MediaKind::Text
    }

    /// The layer's logit is added; what is said of sentences is what the n-grams say.
    fn detect(&self, media: &Media) -> Result<Detection> {
        let (mut found, logit) = self.both(media)?;
        if let Some(logit) = logit {
            let [weight, of_ngrams] = self.linear.mix()?;
            let share = weight * logit;
            found.logit = share + of_ngrams * found.logit;
            found.facts.insert(0, Fact { name: "encoder_logit".into(), value: share, unit: String::new() });
        }
        if !found.logit.is_finite() {
            return Err(Error::NotFinite("text".into()));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader with a vocabulary of a few words and random weights.
    fn reader() -> Reader {
        let json = serde_json::json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": { "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                "strip_accents": null, "lowercase": true },
            "pre_tokenizer": { "type": "BertPreTokenizer" }, "post_processor": null, "decoder": null,
            "model": { "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": { "[UNK]": 0, "word": 1, "##s": 2, ",": 3 } }
        });
        let bytes = json.to_string().into_bytes();
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::U8, vec![bytes.len()], &bytes).unwrap();
        let file = safetensors::serialize([(TOKENIZER, view)], None).unwrap();
        Reader::new(&mut Params::new(5), &file).unwrap().ready().unwrap()
    }

    #[test]
    fn windows_cover_a_text_evenly_and_a_long_one_in_part() {
        let reader = reader();
        assert_eq!(reader.windows("Words, wörd, x", 8).unwrap(), [[FIRST, 1, 2, 3, 1, 3, 0, LAST]]);
        assert_eq!(reader.windows("", 8).unwrap(), Vec::<Vec<u32>>::new());
        let text = "word ".repeat(WITHIN + 1);
        let windows = reader.windows(&text, 8).unwrap();
        assert_eq!(windows.iter().map(Vec::len).collect::<Vec<_>>(), [TOKENS; 2]);
        // A word of some megabytes, and characters of three bytes where the cuts fall.
        for text in ["x".repeat(3 << 20), "字".repeat(1 << 20), "words ".repeat(1 << 18)] {
            let windows = reader.windows(&text, 8).unwrap();
            assert_eq!(windows.len(), 8);
            assert!(windows.iter().all(|w| (3..=TOKENS).contains(&w.len())));
        }
    }

    #[test]
    fn a_description_has_the_tokens_between_the_marks() {
        let reader = reader();
        let window = [FIRST, 1, 2, 3, LAST];
        let found = reader.describe(&[0, 2], &window).unwrap();
        assert_eq!(found.len(), len(&[0, 2]));
        let layers = reader.net.forward(&window, 2).unwrap();
        let rows = layers[2].to_vec2::<f32>().unwrap();
        let mean = (rows[1][7] + rows[2][7] + rows[3][7]) / 3.0;
        let sd = (1..4).map(|i| (rows[i][7] - mean).powi(2) / 3.0).sum::<f32>().sqrt();
        assert!((found[2 * WIDTH + 7] - mean).abs() < 1e-5);
        assert!((found[3 * WIDTH + 7] - sd).abs() < 1e-5);
    }
}
