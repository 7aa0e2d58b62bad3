//! What a training configuration says.

use std::path::Path;

use candor_features::{
    MediaKind,
    audio::{AudioLaundering, LfccConfig},
    image::launder::ImageLaundering,
    text::{TextConfig, TextLaundering},
};
use serde::{Deserialize, Serialize};

use crate::{
    Error, OptimizerConfig, Result,
    net::{
        AasistSize, Backbone, Encoder, LfccNetConfig, LiteSize, NgramNetConfig, PublishedImageNet,
        ResidualNetConfig, Whisper,
    },
};

/// A training configuration, as read from `weights/<media>/<name>.train.toml`. Unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// `<media>/<name>`, for instance `image/residual`.
    pub id: String,
    /// One paragraph for the model card.
    pub summary: String,
    /// Licence of the weights, as an SPDX expression.
    pub licence: String,
    /// Seed of everything random.
    pub seed: u64,
    /// Steps and intervals; with `pretrained`, neither this nor an optimiser is needed.
    pub schedule: Option<Schedule>,
    /// How items are drawn.
    pub sampling: Sampling,
    /// Optimiser.
    pub optimizer: Option<OptimizerConfig>,
    /// What a teacher's scores, given with `--teacher`, count for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distillation: Option<Distillation>,
    /// For a detector of images on features that were learned elsewhere; exactly one of `pretrained`, `spectral`, `encoded`,
    /// `imported`, `image`, `audio` and `text` is given.
    pub pretrained: Option<PretrainedTask>,
    /// For a detector of audio on features that were learned elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spectral: Option<SpectralTask>,
    /// For a detector of text on features that were learned elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoded: Option<EncodedTask>,
    /// For a published network of audio with its authors' weights: it is measured and calibrated, not trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<ImportedTask>,
    /// For a detector of images.
    pub image: Option<ImageTask>,
    /// For a detector of audio.
    pub audio: Option<AudioTask>,
    /// For a detector of text.
    pub text: Option<TextTask>,
}

/// Steps and intervals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Steps in all.
    pub steps: u64,
    /// Items in a batch; even, half of each class.
    pub batch: usize,
    /// Steps between two looks at the development items.
    pub evaluate_every: u64,
    /// Steps between two checkpoints.
    pub checkpoint_every: u64,
    /// Ends the training after this many looks at the development items without a higher AUROC than the best one so far,
    /// and takes the averaged weights of that best look. Without it all steps are made and the last weights are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
}

/// Learning from another detector as well as from labels (Hinton, Vinyals and Dean 2015).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distillation {
    /// Share of the teacher's probability in a target, from 0 to 1; the label has the rest.
    pub share: f64,
    /// What the teacher's logits are divided by before they become probabilities.
    pub temperature: f64,
}

/// How items are drawn: the classes in turn, a group with probability proportional to `size ^ group_power`, an item of
/// the group evenly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// 0 draws every group alike, 1 every item alike.
    pub group_power: f64,
    /// Draws the genuine and the machine-made item of a pair from one collection where it has both, so that a
    /// collection's microphones, rooms or cameras tell nothing about the class.
    #[serde(default)]
    pub within_collection: bool,
    /// Groups that are left out of training and development, with the reason in a comment.
    #[serde(default)]
    pub exclude_groups: Vec<String>,
    /// Targets are moved this far from 0 and 1.
    pub label_smoothing: f32,
}

/// Image part of a configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageTask {
    /// Shape of our network; without it, `published` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<ResidualNetConfig>,
    /// A published network in place of ours: `ferretnet-s`, `ferretnet-b` or `npr`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<PublishedImageNet>,
    /// Side of a training crop in pixels.
    pub crop: usize,
    /// Longest side of the region that is kept of each picture, at native resolution.
    pub region: usize,
    /// The laundering of both classes.
    pub laundering: ImageLaundering,
}

/// Part of a configuration for a linear head on frozen features, with a network that was trained on residuals beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PretrainedTask {
    /// Weights of the backbone, beside the configuration; `candor model import` makes them.
    pub backbone: String,
    /// Which backbone it is.
    #[serde(default)]
    pub size: Backbone,
    /// Name of the trained residual network beside the configuration whose logit is added.
    pub residual: String,
    /// Maps of the backbone, from 0 (stride 4) to the last, that tiles are described by; none: tiles are not looked at.
    pub tile_maps: Vec<usize>,
    /// The same for the whole picture, scaled down.
    pub whole_maps: Vec<usize>,
    /// Laundered copies of each training picture.
    pub copies: usize,
    /// Weight of the squared length of the head, for map 0.
    pub ridge: f64,
    /// Factor by which the ridge grows from each map to the next one: the deeper a map, the more it knows of what is seen or who
    /// is heard, and the less of how it was made.
    #[serde(default = "alike")]
    pub ridge_growth: f64,
    /// The same weight for the part of the head that is on colour. It is fitted apart from the other, which has four
    /// hundred times the numbers and would leave it nothing to explain.
    pub chroma_ridge: f64,
    /// Share of that part in the head, from 0 to 1, both parts in units of their standard deviation on the training pictures.
    pub chroma_share: f64,
    /// Steps of the solver.
    pub steps: u32,
    /// Share of the residual network's logit in the sum, from 0 to 1, both logits in units of their standard deviation on the
    /// development items. It is set and not fitted: those items come from generators that training knows, on which a network
    /// that remembers does better than it will elsewhere.
    pub residual_share: f64,
    /// The laundering of both classes.
    pub laundering: ImageLaundering,
}

fn alike() -> f64 {
    1.0
}

/// Part of a configuration for a linear head on frozen features of spectrograms, with a cepstral network that was trained
/// beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpectralTask {
    /// Weights of the backbone, relative to the configuration; `candor model import` makes them.
    pub backbone: String,
    /// Size of the backbone.
    #[serde(default)]
    pub size: LiteSize,
    /// Name of the trained cepstral network beside the configuration whose logit is added.
    pub cepstral: String,
    /// Maps of the backbone, from 0 (stride 4) to 6 (the last), that windows are described by.
    pub maps: Vec<usize>,
    /// Copies of each training recording: the first as it is, the others laundered, each a window of its own.
    pub copies: usize,
    /// Weight of the squared length of the head, for map 0.
    pub ridge: f64,
    /// Factor by which the ridge grows from each map to the next one: the deeper a map, the more it knows of what is seen or who
    /// is heard, and the less of how it was made.
    #[serde(default = "alike")]
    pub ridge_growth: f64,
    /// Steps of the solver.
    pub steps: u32,
    /// Share of the cepstral network's logit in the sum, from 0 to 1, both logits in units of their standard deviation on the
    /// development items. Set and not fitted.
    pub cepstral_share: f64,
    /// Probability that a laundered copy also goes through a real codec (MP3, Opus or AAC by an installed `ffmpeg`).
    #[serde(default)]
    pub encoded: f64,
    /// Whether both classes of a collection weigh alike and collections with only one class do not count, so that voices, rooms and
    /// microphones say little. The sizes of groups alone decide otherwise.
    #[serde(default)]
    pub matched: bool,
    /// Features of an encoder of speech beside those of the backbone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speech: Option<SpeechTask>,
    /// The laundering of both classes.
    pub laundering: AudioLaundering,
}

/// Part of a configuration for features of Whisper's encoder, with a layer of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpeechTask {
    /// Weights of the encoder, relative to the configuration; `candor model import` makes them.
    pub encoder: String,
    /// Layers of the encoder, from 0 (before the first block) to 3, that windows are described by.
    pub layers: Vec<usize>,
    /// Weight of the squared length of the layer, for layer 0.
    pub ridge: f64,
    /// Factor by which the ridge grows from each layer to the next one.
    #[serde(default = "alike")]
    pub ridge_growth: f64,
    /// Share of the layer's logit in that of both, from 0 to 1, in units of their standard deviation on the training items. Set and not
    /// fitted.
    pub share: f64,
}

/// Part of a configuration for a linear head on frozen features of English, with a network on n-grams and style that was trained beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncodedTask {
    /// Name of the encoder's weights beside the configuration; `candor model import` makes them.
    pub encoder: String,
    /// Name of the trained network on n-grams beside the configuration whose logit is added.
    pub ngrams: String,
    /// Layers of the encoder, from 0 (before the first block) to 6, that windows are described by.
    pub layers: Vec<usize>,
    /// Copies of each training text, each cut and laundered anew.
    pub copies: usize,
    /// Weight of the squared length of the head, for layer 0.
    pub ridge: f64,
    /// Factor by which the ridge grows from each layer to the next one.
    #[serde(default = "alike")]
    pub ridge_growth: f64,
    /// Steps of the solver.
    pub steps: u32,
    /// Share of the n-grams' logit in the sum, above 0 up to 1, both logits in units of their standard deviation on the development items.
    /// Set and not fitted.
    pub ngram_share: f64,
    /// How often a text stays as it is.
    pub clean_probability: f64,
    /// Words that a training text is cut to, drawn evenly in the logarithm from this range.
    pub words: [usize; 2],
    /// How often a text is cut at all.
    pub cut_probability: f64,
    /// As in [`TextTask`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near_copies: Option<f64>,
    /// The laundering of both classes.
    pub laundering: TextLaundering,
}

/// Part of a configuration for a network whose weights `candor model import` made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportedTask {
    /// Which network.
    pub network: AasistSize,
}

/// Audio part of a configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudioTask {
    /// Shape of the network.
    pub network: LfccNetConfig,
    /// Front end.
    pub lfcc: LfccConfig,
    /// Most seconds that are kept of each recording.
    pub keep_seconds: f64,
    /// The laundering of both classes.
    pub laundering: AudioLaundering,
    /// How often a clip stays as it is.
    pub clean_probability: f64,
    /// How often a spoofed clip is a copy of the bona fide one beside it, made by a simple vocoder.
    #[serde(default)]
    pub copy_synthesis: f64,
}

/// Text part of a configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextTask {
    /// Shape of the network; `style` must be the number of style features that are used.
    pub network: NgramNetConfig,
    /// N-grams and their hash.
    pub features: TextConfig,
    /// The laundering of both classes.
    pub laundering: TextLaundering,
    /// How often a text stays as it is.
    pub clean_probability: f64,
    /// Words that a training text is cut to, drawn evenly in the logarithm from this range.
    pub words: [usize; 2],
    /// How often a text is cut at all.
    pub cut_probability: f64,
    /// Share of the n-grams of a text that are dropped in a step.
    pub dropout: f64,
    /// Training texts that share more than this of their runs of eight words, or ideographs, with a text that is measured on, or of its runs with
    /// theirs, are left out: other parts or versions of one text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near_copies: Option<f64>,
}

impl TrainConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// Names the file and the key.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        let config: Self = toml::from_str(&text).map_err(|e| Error::config(path, e.to_string()))?;
        config.check().map_err(|reason| Error::config(path, reason))?;
        Ok(config)
    }

    /// Kind of media that the detector reads.
    pub fn kind(&self) -> MediaKind {
        if self.image.is_some() || self.pretrained.is_some() {
            MediaKind::Image
        } else if self.audio.is_some() || self.spectral.is_some() || self.imported.is_some() {
            MediaKind::Audio
        } else {
            MediaKind::Text
        }
    }

    /// Whether a layer on frozen features is fitted, rather than a network trained step by step.
    pub fn frozen(&self) -> bool {
        self.pretrained.is_some() || self.spectral.is_some() || self.encoded.is_some()
    }

    fn check(&self) -> std::result::Result<(), String> {
        let frozen = self.frozen();
        let tasks = [
            self.pretrained.is_some(),
            self.spectral.is_some(),
            self.encoded.is_some(),
            self.imported.is_some(),
            self.image.is_some(),
            self.audio.is_some(),
            self.text.is_some(),
        ];
        if tasks.iter().filter(|&&t| t).count() != 1 {
            return Err(
                "give exactly one of [pretrained], [spectral], [encoded], [imported], [image], [audio] and [text]"
                    .into(),
            );
        }
        if frozen && (self.schedule.is_some() || self.optimizer.is_some() || self.distillation.is_some()) {
            return Err("a layer on frozen features has a solver of its own and learns from labels alone: leave out [schedule], \
                 [optimizer] and [distillation]"
                .into());
        }
        if let Some(task) = &self.pretrained {
            let maps = task.size.channels().len();
            if !(task.ridge_growth.is_finite() && task.ridge_growth > 0.0) {
                return Err("pretrained.ridge_growth must be positive".into());
            }
            if task.tile_maps.is_empty() && task.whole_maps.is_empty() {
                return Err("pretrained: neither tile_maps nor whole_maps".into());
            }
            if task.copies == 0 || task.tile_maps.iter().chain(&task.whole_maps).any(|&m| m >= maps) {
                return Err(format!("pretrained: copies must be positive, maps below {maps}"));
            }
            if !(0.0..=1.0).contains(&task.residual_share) {
                return Err("pretrained.residual_share is 0 to 1".into());
            }
        }
        if let Some(task) = &self.spectral {
            let maps = LiteSize::MAPS;
            if !(task.ridge_growth.is_finite() && task.ridge_growth > 0.0) {
                return Err("spectral.ridge_growth must be positive".into());
            }
            if task.copies == 0 || task.maps.is_empty() || task.maps.iter().any(|&m| m >= maps) {
                return Err(format!("spectral: copies must be positive, maps below {maps}"));
            }
            if let Some(speech) = &task.speech {
                let layers = Whisper::LAYERS;
                if speech.layers.is_empty() || speech.layers.iter().any(|&l| l >= layers) {
                    return Err(format!("spectral.speech.layers are below {layers}, at least one"));
                }
                let positive = speech.ridge_growth.is_finite() && speech.ridge_growth > 0.0;
                if !positive || !(0.0..=1.0).contains(&speech.share) {
                    return Err("spectral.speech: ridge_growth must be positive, share 0 to 1".into());
                }
            }
            if !(0.0..=1.0).contains(&task.encoded) {
                return Err("spectral.encoded is 0 to 1".into());
            }
            if !(0.0..=1.0).contains(&task.cepstral_share) {
                return Err("spectral.cepstral_share is 0 to 1".into());
            }
        }
        if let Some(task) = &self.encoded {
            if !(task.ridge_growth.is_finite() && task.ridge_growth > 0.0) {
                return Err("encoded.ridge_growth must be positive".into());
            }
            let layers = Encoder::LAYERS;
            if task.copies == 0 || task.layers.is_empty() || task.layers.iter().any(|&l| l >= layers) {
                return Err(format!("encoded: copies must be positive, layers below {layers}"));
            }
            if !(task.ngram_share > 0.0 && task.ngram_share <= 1.0) {
                return Err("encoded.ngram_share is above 0, up to 1".into());
            }
            if task.words[0] > task.words[1] {
                return Err("encoded.words ascend".into());
            }
        }
        let near_copies =
            self.text.as_ref().map(|t| t.near_copies).or(self.encoded.as_ref().map(|t| t.near_copies));
        if let Some(Some(share)) = near_copies
            && !(0.0..1.0).contains(&share)
        {
            return Err("near_copies is a share, from 0 to below 1".into());
        }
        if let Some(text) = &self.text
            && text.network.surprisal > 0
            && !crate::surprisal::BITS.contains(&text.network.surprisal)
        {
            return Err(format!("text.network.surprisal is 0 or {:?}", crate::surprisal::BITS));
        }
        let media = self.id.split_once('/').map(|(media, name)| (media, !name.is_empty()));
        if media != Some((&self.kind().to_string(), true)) {
            return Err(format!("id: \"{}\" must be \"{}/<name>\"", self.id, self.kind()));
        }
        if self.imported.is_some() {
            return Ok(());
        }
        if !frozen && self.optimizer.is_none() {
            return Err("give an [optimizer]".into());
        }
        if let Some(d) = &self.distillation
            && (!(0.0..=1.0).contains(&d.share) || !d.temperature.is_finite() || d.temperature <= 0.0)
        {
            return Err("distillation: share is 0 to 1, temperature positive".into());
        }
        let Some(s) = &self.schedule else {
            return if frozen { Ok(()) } else { Err("give a [schedule]".into()) };
        };
        if s.steps == 0
            || s.batch < 2
            || !s.batch.is_multiple_of(2)
            || s.evaluate_every == 0
            || s.checkpoint_every == 0
            || s.patience == Some(0)
        {
            return Err("schedule: counts must be positive and the batch even".into());
        }
        if let Some(image) = &self.image
            && image.network.is_some() == image.published.is_some()
        {
            return Err("image: give either [image.network] or published".into());
        }
        if let Some(image) = &self.image
            && (image.network.as_ref().is_some_and(|n| n.planes != crate::image::PLANES)
                || image.crop < 32
                || image.region < image.crop)
        {
            return Err(format!("image: {} planes, crop >= 32, region >= crop", crate::image::PLANES));
        }
        if let Some(text) = &self.text
            && (text.network.buckets() != text.features.ngrams.buckets() || text.words[0] > text.words[1])
        {
            return Err("text: the network's bits must equal those of features.ngrams, words ascend".into());
        }
        Ok(())
    }
}
