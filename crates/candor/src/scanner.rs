//! From bytes to a verdict.

use std::any::Any;
use std::fs;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use candor_features::sniff::{Format, sniff};
use candor_features::{DocumentKind, Limits, Media, MediaKind};
use candor_models::{Detection, FLAG_P, Registry};
use candor_provenance::Trust;
use serde_json::{Value, json};
use unicode_segmentation::UnicodeSegmentation;

use crate::verdict::path_text;
use crate::{
    Error, ErrorCode, Failure, Label, MediaFacts, Note, Reason, Result, SCHEMA_VERSION, Signal, SignalKind,
    Threshold, Verdict, decision, declared, reason, region,
};

/// Largest file that is read unless the options say otherwise, in bytes.
pub const MAX_FILE_BYTES: u64 = 512 << 20;

/// What a scanner looks for and how far it goes.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanOptions {
    /// Probability of machine-made before a file was looked at, in (0, 1), both excluded.
    pub prior: f64,
    /// Largest p-value that is flagged as `suspected`, in (0, 1), both excluded.
    pub flag_p: f64,
    /// The only kind of media to judge; files of other kinds are passed over without being decoded.
    pub only: Option<MediaKind>,
    /// Whether what a file declares about itself, and the watermark of its pixels, are weighed.
    pub declarations: bool,
    /// Whose signatures of Content Credentials count as proof; nobody's by default.
    pub trust: Trust,
    /// Limits on what decoding one file may take.
    pub limits: Limits,
    /// Largest file that is read, in bytes.
    pub max_file_bytes: u64,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            prior: 0.5,
            flag_p: FLAG_P,
            only: None,
            declarations: true,
            trust: Trust::default(),
            limits: Limits::default(),
            max_file_bytes: MAX_FILE_BYTES,
        }
    }
}

/// Puts a [`Scanner`] together.
#[derive(Default)]
pub struct ScannerBuilder {
    registry: Option<Registry>,
    options: ScanOptions,
}

impl ScannerBuilder {
    /// Uses these models in place of the embedded ones.
    #[must_use]
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Replaces all options.
    #[must_use]
    pub fn options(mut self, options: ScanOptions) -> Self {
        self.options = options;
        self
    }

    /// Checks the options and, unless other models were given, loads the embedded ones.
    ///
    /// # Errors
    /// [`Error::Option`] for a prior or p-value outside (0, 1), [`Error::Models`] when the models cannot be loaded.
    pub fn build(self) -> Result<Scanner> {
        for (name, value) in [("prior", self.options.prior), ("flag_p", self.options.flag_p)] {
            if !(value > 0.0 && value < 1.0) {
                return Err(Error::Option { name, value });
            }
        }
        let registry = match self.registry {
            Some(registry) => registry,
            None => Registry::embedded()?,
        };
        Ok(Scanner { registry, options: self.options })
    }
}

/// Judges files. It can be shared between threads; a file gets the same verdict whatever their number.
pub struct Scanner {
    registry: Registry,
    options: ScanOptions,
}

/// A verdict with what it was drawn from, so that [`crate::explain`] can draw.
#[derive(Debug)]
pub struct Scan {
    /// What was found.
    pub verdict: Verdict,
    /// The decoded file; `None` when it could not be decoded or was passed over.
    pub media: Option<Media>,
    /// What the detector said; `None` when there is none or it failed.
    pub detection: Option<Detection>,
    /// The detector's partial scores as evidence; `None` exactly when `detection` is.
    pub evidence: Option<Evidence>,
}

/// Partial scores in units of evidence: natural-log likelihood ratios, positive towards machine-made.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// One figure for each part of the detection's map, in its order. Rectangles and windows are ratios of their own;
    /// sentences are what they add to the ratio of the whole.
    pub parts: Vec<f64>,
    /// Evidence of the whole from which on a file is flagged; `None` when the calibration cannot reach the threshold.
    pub threshold: Option<f64>,
}

impl Scan {
    fn failed(mut verdict: Verdict, code: ErrorCode, message: impl Into<String>) -> Self {
        verdict.label = Label::Error;
        verdict.error = Some(Failure { code, message: message.into() });
        Self::bare(verdict)
    }

    fn bare(verdict: Verdict) -> Self {
        Self { verdict, media: None, detection: None, evidence: None }
    }
}

impl Scanner {
    /// A scanner with the embedded models and the default options.
    ///
    /// # Errors
    /// [`Error::Models`] when an embedded model is damaged.
    pub fn new() -> Result<Self> {
        Self::builder().build()
    }

    /// Starts to put a scanner together.
    pub fn builder() -> ScannerBuilder {
        ScannerBuilder::default()
    }

    /// The models in use.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The options in use.
    pub fn options(&self) -> &ScanOptions {
        &self.options
    }

    /// Judges a file on disk. Folders, pipes, sockets and devices are not read.
    ///
    /// Never fails: a file that cannot be read gets an error verdict.
    pub fn scan_path(&self, path: &Path) -> Scan {
        let start = Instant::now();
        let name = path_text(path);
        let mut scan = match read(path, self.options.max_file_bytes) {
            Ok(bytes) => self.scan_bytes(&name, &bytes),
            Err((failure, bytes)) => {
                let mut verdict = self.blank(&name);
                verdict.bytes = bytes;
                Scan::failed(verdict, failure.code, failure.message)
            }
        };
        scan.verdict.elapsed_ms = elapsed_ms(start);
        scan
    }

    /// Judges what a reader gives until its end, for instance standard input; `name` as in [`Scanner::scan_bytes`].
    ///
    /// Never fails: input that cannot be read gets an error verdict.
    pub fn scan_reader(&self, name: &str, reader: impl Read) -> Scan {
        let start = Instant::now();
        let mut scan = match read_to_limit(reader, 0, self.options.max_file_bytes) {
            Ok(bytes) => self.scan_bytes(name, &bytes),
            Err(failure) => self.failure(name, failure.code, failure.message),
        };
        scan.verdict.elapsed_ms = elapsed_ms(start);
        scan
    }

    /// Judges a file in memory; `name` is what the verdict calls it, and its extension is compared with the content.
    ///
    /// Never fails: content that cannot be read gets an error verdict.
    pub fn scan_bytes(&self, name: &str, bytes: &[u8]) -> Scan {
        let start = Instant::now();
        let mut verdict = self.blank(name);
        verdict.bytes = Some(bytes.len() as u64);
        let mut scan = if bytes.len() as u64 > self.options.max_file_bytes {
            Scan::failed(verdict, ErrorCode::TooLarge, too_large(self.options.max_file_bytes))
        } else {
            verdict.sha256 = Some(candor_models::sha256(bytes));
            guard(verdict, |verdict| self.decode(verdict, bytes))
        };
        scan.verdict.elapsed_ms = elapsed_ms(start);
        scan
    }

    /// Judges media that is already decoded; the verdict has no digest and no length.
    pub fn scan_media(&self, name: &str, media: Media) -> Scan {
        let start = Instant::now();
        let mut scan = guard(self.blank(name), |verdict| self.judge(verdict, media));
        scan.verdict.elapsed_ms = elapsed_ms(start);
        scan
    }

    /// Reads a file as [`Scanner::scan_path`] does, for callers that look at the bytes before they scan them.
    ///
    /// # Errors
    /// Why it cannot be read: it is missing, closed, no file or larger than the limit.
    pub fn read(&self, path: &Path) -> std::result::Result<Vec<u8>, Failure> {
        read(path, self.options.max_file_bytes).map_err(|(failure, _)| failure)
    }

    /// An error verdict for a file that the caller could not hand over.
    pub fn failure(&self, name: &str, code: ErrorCode, message: impl Into<String>) -> Scan {
        Scan::failed(self.blank(name), code, message)
    }

    fn blank(&self, name: &str) -> Verdict {
        Verdict {
            schema_version: SCHEMA_VERSION.to_owned(),
            path: name.to_owned(),
            sha256: None,
            bytes: None,
            media: None,
            label: Label::NoSign,
            confidence: None,
            llr: None,
            p_value: None,
            prior: self.options.prior,
            threshold: Threshold { p: self.options.flag_p, score: None },
            reasons: Vec::new(),
            signals: Vec::new(),
            warnings: Vec::new(),
            abstention: None,
            error: None,
            models: Vec::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            elapsed_ms: 0.0,
        }
    }

    fn decode(&self, verdict: Verdict, bytes: &[u8]) -> Scan {
        if let Some(only) = self.options.only
            && !bytes.is_empty()
        {
            let found = sniff(bytes).ok().and_then(kind_of);
            if found != Some(only) {
                return skipped(verdict, found, only);
            }
        }
        let mut scan = match candor_features::decode(bytes, &self.options.limits) {
            Ok(media) => self.judge(verdict, media),
            Err(error) => Scan::failed(verdict, code_of(&error), error.to_string()),
        };
        if self.options.declarations && !scan.verdict.is_skipped() {
            declared::add(&mut scan, bytes, &self.options.trust);
        }
        scan
    }

    fn judge(&self, mut verdict: Verdict, media: Media) -> Scan {
        let kind = media.kind();
        if let Some(only) = self.options.only
            && only != kind
        {
            return skipped(verdict, Some(kind), only);
        }
        let facts = media_facts(&media);
        verdict.warnings.extend(media.warnings().iter().map(|w| Note::of(w.code, &w.message)));
        verdict.warnings.extend(extension_mismatch(&verdict.path, &facts));
        verdict.media = Some(facts);

        let Some(model) = self.registry.get(kind) else {
            verdict.label = Label::Inconclusive;
            verdict.abstention =
                Some(Note::new(Note::NO_MODEL, format!("there is no model for {kind} in this program")));
            return Scan { media: Some(media), ..Scan::bare(verdict) };
        };
        verdict.models.push(model.id.clone());
        let detection = match model.detector.detect(&media) {
            Ok(detection) => detection,
            Err(error) => {
                let code = match error {
                    candor_models::Error::NotFinite(_) => ErrorCode::NotFinite,
                    _ => ErrorCode::Detector,
                };
                return Scan { media: Some(media), ..Scan::failed(verdict, code, error.to_string()) };
            }
        };
        let calibration = model.calibrations.of(&detection.stratum);
        let mut evidence = Evidence {
            parts: region::evidence(&detection.map, calibration),
            threshold: calibration.threshold(self.options.flag_p).map(|s| calibration.llr(s)),
        };
        // No figure that is written may be NaN; a detector that abstains may leave its own open.
        let finite_parts = evidence.parts.iter().all(|e| e.is_finite());
        if detection.abstain.is_none() && !(finite_parts && detection.logit.is_finite()) {
            let message = format!("the score of {} is not finite", model.id.id);
            return Scan { media: Some(media), ..Scan::failed(verdict, ErrorCode::NotFinite, message) };
        }
        if !finite_parts {
            evidence.parts.clear();
        }

        let decision = decision::decide(&detection, calibration, self.options.flag_p, reason::nouns(kind).1);
        verdict.label = decision.label;
        verdict.llr = decision.llr;
        verdict.p_value = decision.p_value;
        verdict.confidence = decision.llr.map(|llr| candor_models::posterior(llr, self.options.prior));
        verdict.threshold.score = calibration.threshold(self.options.flag_p).filter(|s| s.is_finite());
        verdict.warnings.extend(decision.warning);
        verdict.abstention = decision.abstention;

        let regions = region::regions(&detection.map, &media, &evidence.parts);
        let mut say = |text| verdict.reasons.push(Reason { signal: model.id.id.clone(), text });
        if let Some(llr) = decision.llr {
            say(reason::rank(detection.logit, &model.calibrations, &detection.stratum, kind));
            say(reason::ratio(llr, kind));
            if decision.label != Label::NoSign
                && let Some(place) = reason::place(&regions)
            {
                say(place);
            }
        }
        // The abstention is what a reader needs first.
        if let Some(abstention) = &verdict.abstention {
            let text = abstention.message.clone();
            verdict.reasons.insert(0, Reason { signal: model.id.id.clone(), text });
        }
        let parts = regions.len();
        verdict.signals.push(Signal {
            id: model.id.id.clone(),
            kind: SignalKind::Learned,
            score: finite(detection.logit),
            llr: decision.llr,
            detail: [("parts", json!(parts)), ("spread", json!(finite(detection.spread)))]
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            regions: region::strongest(regions),
        });
        verdict.signals.extend(facts_signal(kind, &detection));
        Scan { verdict, media: Some(media), detection: Some(detection), evidence: Some(evidence) }
    }
}

/// Runs a step that works on untrusted content; a panic in it becomes an error verdict.
fn guard(verdict: Verdict, step: impl FnOnce(Verdict) -> Scan) -> Scan {
    // The step owns what it changes and shares only models, which keep no state between calls.
    catch_unwind(AssertUnwindSafe(|| step(verdict.clone()))).unwrap_or_else(|payload| {
        let message = format!("internal error on {:?}: {}", verdict.path, panic_text(payload.as_ref()));
        Scan::failed(verdict, ErrorCode::Internal, message)
    })
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given")
}

fn skipped(mut verdict: Verdict, found: Option<MediaKind>, only: MediaKind) -> Scan {
    let found = found.map_or_else(|| "of an unknown kind".to_owned(), |kind| kind.to_string());
    verdict.label = Label::Inconclusive;
    verdict.abstention =
        Some(Note::new(Note::NOT_ASKED_FOR, format!("the file is {found}; only {only} was asked for")));
    Scan::bare(verdict)
}

/// Reads a regular file of at most `limit` bytes; the error carries the length if it is known.
fn read(path: &Path, limit: u64) -> std::result::Result<Vec<u8>, (Failure, Option<u64>)> {
    let fail = |code, message: String| (Failure { code, message }, None);
    // Asked before opening, because opening a pipe waits for its writer.
    let metadata = fs::metadata(path).map_err(|e| (io_failure(&e), None))?;
    if metadata.is_dir() {
        return Err(fail(ErrorCode::NotAFile, "this is a folder, not a file".to_owned()));
    }
    if !metadata.is_file() {
        return Err(fail(ErrorCode::NotAFile, "this is a pipe, a socket or a device, not a file".to_owned()));
    }
    if metadata.len() > limit {
        let failure = Failure { code: ErrorCode::TooLarge, message: too_large(limit) };
        return Err((failure, Some(metadata.len())));
    }
    // The file may have grown since, so the limit is checked again.
    fs::File::open(path)
        .map_err(|e| io_failure(&e))
        .and_then(|file| read_to_limit(file, metadata.len(), limit))
        .map_err(|failure| (failure, None))
}

/// Reads to the end; `expected` bytes are made room for.
fn read_to_limit(reader: impl Read, expected: u64, limit: u64) -> std::result::Result<Vec<u8>, Failure> {
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or_default());
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| io_failure(&e))?;
    if bytes.len() as u64 > limit {
        return Err(Failure { code: ErrorCode::TooLarge, message: too_large(limit) });
    }
    Ok(bytes)
}

fn io_failure(error: &io::Error) -> Failure {
    let (code, message) = match error.kind() {
        io::ErrorKind::NotFound => (ErrorCode::NotFound, "there is no such file".to_owned()),
        io::ErrorKind::PermissionDenied => {
            (ErrorCode::PermissionDenied, "permission to read it is denied".to_owned())
        }
        _ => (ErrorCode::Read, format!("cannot read it: {error}")),
    };
    Failure { code, message }
}

fn too_large(limit: u64) -> String {
    format!("the file is larger than the limit of {limit} bytes")
}

fn code_of(error: &candor_features::Error) -> ErrorCode {
    match error {
        candor_features::Error::Empty => ErrorCode::Empty,
        candor_features::Error::UnknownKind => ErrorCode::UnknownKind,
        candor_features::Error::Unsupported { .. } => ErrorCode::Unsupported,
        candor_features::Error::Limit { .. } => ErrorCode::Limit,
        _ => ErrorCode::Decode,
    }
}

fn kind_of(format: Format) -> Option<MediaKind> {
    match format {
        Format::Image(_) => Some(MediaKind::Image),
        Format::Audio(_) => Some(MediaKind::Audio),
        Format::Text(_) => Some(MediaKind::Text),
        _ => None,
    }
}

fn media_facts(media: &Media) -> MediaFacts {
    match media {
        Media::Image(m) => {
            MediaFacts::Image { format: m.format.to_owned(), width: m.width, height: m.height }
        }
        Media::Audio(m) => MediaFacts::Audio {
            format: m.format.clone(),
            seconds: m.seconds(),
            source_rate: m.source_rate,
            source_channels: m.source_channels,
        },
        Media::Text(m) => MediaFacts::Text {
            format: match m.kind {
                DocumentKind::Plain => "plain",
                DocumentKind::Markdown => "markdown",
                DocumentKind::Html => "html",
                DocumentKind::Docx => "docx",
                DocumentKind::Pptx => "pptx",
                DocumentKind::OpenDocument => "opendocument",
                DocumentKind::Epub => "epub",
                DocumentKind::Pdf => "pdf",
                DocumentKind::Rtf => "rtf",
                DocumentKind::Mail => "mail",
            }
            .to_owned(),
            chars: m.text.chars().count(),
            words: words(&m.text),
            encoding: m.encoding.to_owned(),
            document: m.kind,
        },
    }
}

/// Words by Unicode Standard Annex 29, none of which holds a space. Most of what lies between spaces is letters, or letters and a
/// mark after them, and needs none of its rules.
fn words(text: &str) -> usize {
    text.split_ascii_whitespace()
        .map(|part| {
            let plain = part.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', '"']);
            let plain = plain.trim_start_matches(['(', '"']);
            if !plain.is_empty() && plain.bytes().all(|b| b.is_ascii_alphanumeric()) {
                1
            } else {
                part.unicode_words().count()
            }
        })
        .sum()
}

/// Warns when a well-known extension promises something else than the content is.
fn extension_mismatch(name: &str, facts: &MediaFacts) -> Option<Note> {
    let extension = Path::new(name).extension()?.to_str()?.to_ascii_lowercase();
    // Pictures are compared by format; other kinds by kind, because one extension may hold many containers.
    let image = match extension.as_str() {
        "jpg" | "jpeg" | "jpe" | "jfif" => Some("jpeg"),
        "tif" | "tiff" => Some("tiff"),
        "bmp" | "dib" => Some("bmp"),
        "png" => Some("png"),
        "webp" => Some("webp"),
        "gif" => Some("gif"),
        "heic" | "heif" => Some("heic"),
        "avif" => Some("avif"),
        "jxl" => Some("jxl"),
        _ => None,
    };
    let fits = match (image, extension.as_str()) {
        (Some(format), _) => facts.kind() == MediaKind::Image && facts.format() == format,
        (
            _,
            "wav" | "mp3" | "flac" | "ogg" | "oga" | "opus" | "m4a" | "aac" | "mp4" | "mov" | "mkv" | "webm"
            | "aif" | "aiff" | "caf" | "wma",
        ) => facts.kind() == MediaKind::Audio,
        (_, "txt" | "md" | "markdown" | "html" | "htm") => facts.kind() == MediaKind::Text,
        _ => true,
    };
    let message =
        || format!("the name ends in .{extension}, but the content is {} ({})", facts.kind(), facts.format());
    (!fits).then(|| Note::of(candor_features::WarningCode::ExtensionMismatch, &message()))
}

/// The detector's measurements as one signal without a score of its own.
fn facts_signal(kind: MediaKind, detection: &Detection) -> Option<Signal> {
    if detection.facts.is_empty() {
        return None;
    }
    let detail = detection
        .facts
        .iter()
        .map(|f| (f.name.clone(), json!({ "unit": f.unit, "value": finite(f.value) })))
        .collect::<std::collections::BTreeMap<String, Value>>();
    Some(Signal {
        id: format!("{kind}/facts"),
        kind: SignalKind::Statistical,
        score: None,
        llr: None,
        detail,
        regions: Vec::new(),
    })
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// Hundredths of a millisecond are more than a clock can promise.
fn elapsed_ms(start: Instant) -> f64 {
    (start.elapsed().as_secs_f64() * 1e5).round() / 100.0
}

#[cfg(test)]
mod tests {
    use candor_features::{Document, OffsetMap, Pixels, Waveform};
    use candor_models::{
        Abstention, AbstentionCode, Calibration, Calibrations, Detector, Fact, Model, ModelId, ScoreMap,
    };

    use super::*;

    #[test]
    fn words_are_those_of_the_standard() {
        let alphabet: Vec<char> =
            "ab1 _.,;:!?()\"'’\n\t\u{301}\u{200d}é字か\u{a0}\u{3000}-".chars().collect();
        let mut state = 7_u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push(alphabet[(state >> 33) as usize % alphabet.len()]);
            }
            assert_eq!(words(&text), text.unicode_words().count(), "{text:?}");
        }
    }

    type Answer = fn() -> candor_models::Result<Detection>;

    struct Fake {
        kind: MediaKind,
        answer: Answer,
    }

    impl Detector for Fake {
        fn kind(&self) -> MediaKind {
            self.kind
        }

        fn detect(&self, _: &Media) -> candor_models::Result<Detection> {
            (self.answer)()
        }
    }

    fn scanner_with(kind: MediaKind, genuine: u16, answer: Answer, options: ScanOptions) -> Scanner {
        let model = Model {
            id: ModelId { id: format!("{kind}/fake"), sha256: "00".repeat(32) },
            detector: Box::new(Fake { kind, answer }),
            calibrations: Calibrations::from(Calibration {
                slope: 0.1,
                intercept: -5.0,
                fabricated: 100,
                genuine: vec![(0..genuine).map(f32::from).collect()],
            }),
        };
        let registry = Registry::from_models(vec![model]);
        Scanner::builder().registry(registry).options(options).build().unwrap()
    }

    fn scanner(kind: MediaKind, answer: Answer) -> Scanner {
        scanner_with(kind, 99, answer, ScanOptions::default())
    }

    fn detection(logit: f64, map: ScoreMap) -> Detection {
        Detection { logit, spread: 0.5, abstain: None, stratum: String::new(), map, facts: Vec::new() }
    }

    fn picture() -> Media {
        let mut pixels = Pixels::from_rgb(64, 32, vec![128; 64 * 32 * 3]).unwrap();
        pixels.format = "png";
        Media::Image(pixels)
    }

    const SUSPICIOUS: Answer = || {
        let map = ScoreMap::Grid { cols: 2, rows: 1, logits: vec![50.0, 99.0] };
        let mut d = detection(98.5, map);
        d.facts.push(Fact { name: "slope".to_owned(), value: -2.0, unit: "dB/octave".to_owned() });
        Ok(d)
    };

    #[test]
    fn a_suspected_image_says_why_and_where() {
        let scan = scanner(MediaKind::Image, SUSPICIOUS).scan_media("a.png", picture());
        let mut verdict = scan.verdict;
        verdict.elapsed_ms = 0.0;
        verdict.version = "test".to_owned();
        // Rounded, because the last bits of exp and ln differ between platforms.
        verdict.confidence = verdict.confidence.map(|c| (c * 1e6).round() / 1e6);
        insta::assert_json_snapshot!(verdict);
    }

    #[test]
    fn labels_follow_the_score() {
        let label = |answer: Answer| {
            let v = scanner(MediaKind::Image, answer).scan_media("a", picture()).verdict;
            (v.label, v.abstention.map(|a| a.code))
        };
        assert_eq!(label(|| Ok(detection(98.5, ScoreMap::None))), (Label::Suspected, None));
        assert_eq!(
            label(|| Ok(detection(95.5, ScoreMap::None))),
            (Label::Inconclusive, Some("weak-evidence".to_owned()))
        );
        assert_eq!(label(|| Ok(detection(10.0, ScoreMap::None))), (Label::NoSign, None));
    }

    #[test]
    fn an_abstaining_detector_gives_no_figures() {
        let answer = || {
            let mut d = detection(f64::NAN, ScoreMap::Grid { cols: 1, rows: 1, logits: vec![f32::NAN] });
            d.abstain = Some(Abstention {
                code: AbstentionCode::TooSmall,
                message: "too small: 64x32 px, at least 96 needed".to_owned(),
            });
            Ok(d)
        };
        let v = scanner(MediaKind::Image, answer).scan_media("a", picture()).verdict;
        assert_eq!(v.label, Label::Inconclusive);
        assert_eq!((v.confidence, v.llr, v.p_value), (None, None, None));
        assert_eq!(v.abstention.unwrap().code, "too-small");
        assert_eq!(v.reasons[0].text, "too small: 64x32 px, at least 96 needed");
        assert_eq!((v.signals[0].score, v.signals[0].llr), (None, None));
    }

    #[test]
    fn a_small_calibration_set_never_flags_and_warns() {
        let s = scanner_with(MediaKind::Image, 20, SUSPICIOUS, ScanOptions::default());
        let v = s.scan_media("a", picture()).verdict;
        assert_eq!(v.label, Label::Inconclusive);
        assert_eq!(v.warnings[0].code, Note::THRESHOLD_UNREACHABLE);
        assert_eq!(v.threshold.score, None);
    }

    #[test]
    fn a_score_that_is_not_finite_is_an_error() {
        let answers: [Answer; 3] = [
            || Ok(detection(f64::NAN, ScoreMap::None)),
            || Err(candor_models::Error::NotFinite("image/fake".to_owned())),
            || Ok(detection(1.0, ScoreMap::Grid { cols: 1, rows: 1, logits: vec![f32::NAN] })),
        ];
        for answer in answers {
            let v = scanner(MediaKind::Image, answer).scan_media("a", picture()).verdict;
            assert_eq!(v.label, Label::Error);
            assert_eq!(v.error.unwrap().code, ErrorCode::NotFinite);
            assert_eq!(v.confidence, None);
        }
    }

    #[test]
    fn a_failing_detector_is_an_error_and_a_panic_is_caught() {
        let failing = || Err(candor_models::Error::WrongKind("image/fake".to_owned()));
        let v = scanner(MediaKind::Image, failing).scan_media("a", picture()).verdict;
        assert_eq!(v.error.unwrap().code, ErrorCode::Detector);
        let v =
            scanner(MediaKind::Image, || panic!("index {} out of range", 7)).scan_media("b.png", picture());
        let error = v.verdict.error.unwrap();
        assert_eq!(error.code, ErrorCode::Internal);
        assert_eq!(error.message, "internal error on \"b.png\": index 7 out of range");
    }

    #[test]
    fn a_kind_without_a_model_is_inconclusive() {
        let wave = Media::Audio(Waveform {
            samples: vec![0.0; 16_000],
            source_rate: 44_100,
            source_channels: 2,
            format: "wav/pcm_s16le".to_owned(),
            warnings: Vec::new(),
        });
        let v = scanner(MediaKind::Image, SUSPICIOUS).scan_media("a.wav", wave).verdict;
        assert_eq!((v.label, v.abstention.unwrap().code.as_str()), (Label::Inconclusive, Note::NO_MODEL));
        assert!(v.models.is_empty());
    }

    #[test]
    fn other_kinds_are_skipped() {
        let options = ScanOptions { only: Some(MediaKind::Text), ..ScanOptions::default() };
        let s = scanner_with(MediaKind::Image, 99, SUSPICIOUS, options);
        assert!(s.scan_media("a.png", picture()).verdict.is_skipped());
        assert!(s.scan_bytes("a.bin", b"\0\x01\x02\x03\x80\x81\xc0\xc1").verdict.is_skipped());
        // Nothing can be said of what an empty file was meant to be.
        assert_eq!(s.scan_bytes("a.txt", b"").verdict.error.unwrap().code, ErrorCode::Empty);
    }

    #[test]
    fn a_text_names_its_words_and_source_bytes() {
        let answer =
            || Ok(detection(98.5, ScoreMap::Sentences { ranges: vec![0..4, 5..9], logits: vec![3.0, 1.0] }));
        let text = "One. 二三".to_owned();
        let media = Media::Text(Document {
            map: OffsetMap::identity(text.len()),
            text,
            encoding: "UTF-8",
            kind: DocumentKind::Plain,
            markup: candor_features::Markup::default(),
            warnings: Vec::new(),
        });
        let v = scanner(MediaKind::Text, answer).scan_media("a.txt", media).verdict;
        assert!(matches!(v.media, Some(MediaFacts::Text { chars: 7, words: 3, .. })), "{:?}", v.media);
        assert_eq!(v.reasons[2].text, "strongest in bytes 0 to 4");
    }

    #[test]
    fn a_misleading_extension_is_noted() {
        let mismatch = |name: &str| {
            let v = scanner(MediaKind::Image, SUSPICIOUS).scan_media(name, picture()).verdict;
            v.warnings.iter().any(|w| w.code == "extension-mismatch")
        };
        assert!(mismatch("a.jpg") && mismatch("a.WAV") && mismatch("a.txt"));
        assert!(!mismatch("a.png") && !mismatch("a.PNG") && !mismatch("a") && !mismatch("a.bak"));
    }

    #[test]
    fn options_outside_their_range_are_refused() {
        for value in [0.0, 1.0, -0.1, 1.1, f64::NAN] {
            for options in [
                ScanOptions { prior: value, ..ScanOptions::default() },
                ScanOptions { flag_p: value, ..ScanOptions::default() },
            ] {
                assert!(Scanner::builder().options(options).build().is_err());
            }
        }
    }

    #[test]
    fn files_that_cannot_be_read_name_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let s = scanner_with(
            MediaKind::Image,
            99,
            SUSPICIOUS,
            ScanOptions { max_file_bytes: 4, ..ScanOptions::default() },
        );
        let code = |path: &Path| s.scan_path(path).verdict.error.map(|e| e.code);
        assert_eq!(code(&folder.path().join("missing")), Some(ErrorCode::NotFound));
        assert_eq!(code(folder.path()), Some(ErrorCode::NotAFile));
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        assert_eq!(code(&file), Some(ErrorCode::Empty));
        fs::write(&file, b"12345").unwrap();
        assert_eq!(code(&file), Some(ErrorCode::TooLarge));
        let v = s.scan_path(&file).verdict;
        assert_eq!((v.bytes, v.sha256), (Some(5), None));
        assert_eq!(s.scan_bytes("-", b"12345").verdict.error.unwrap().code, ErrorCode::TooLarge);
        // How long a stream would have been is not known.
        let v = s.scan_reader("-", io::repeat(1)).verdict;
        assert_eq!((v.bytes, v.error.unwrap().code), (None, ErrorCode::TooLarge));
        #[cfg(unix)]
        assert_eq!(code(Path::new("/dev/null")), Some(ErrorCode::NotAFile));
    }

    #[test]
    fn the_digest_is_sha256() {
        let v = scanner(MediaKind::Image, SUSPICIOUS).scan_bytes("a", b"\0").verdict;
        let expected = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        assert_eq!(v.sha256.as_deref(), Some(expected));
    }
}
