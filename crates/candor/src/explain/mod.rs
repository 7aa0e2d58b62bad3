//! Pictures of where a score comes from: a heat map, a curve over time, a marked text.

mod audio;
mod colour;
mod exhibit;
mod font;
mod image;
mod markup;
mod text;

use candor_features::Media;
use candor_models::ScoreMap;

use crate::{Scan, Verdict};

pub use exhibit::{Exhibit, Marked, exhibit};

/// A file that shows where the score of another file comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// End of its name: `heatmap.png`, `timeline.svg` or `sentences.html`.
    pub suffix: &'static str,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl Artifact {
    /// A name for the artifact of this verdict: letters, digits, `.`, `-` and `_` of the scanned file's name, the start
    /// of its digest, and the suffix.
    ///
    /// It never names another folder, starts with a dot or a dash, or grows beyond 150 bytes.
    pub fn file_name(&self, verdict: &Verdict) -> String {
        let mut stem = String::new();
        for c in base_name(&verdict.path).chars() {
            let c = if c.is_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
            if stem.len() + c.len_utf8() > 100 {
                break;
            }
            stem.push(c);
        }
        let stem = match stem.trim_start_matches(['.', '-']) {
            "" => "stdin",
            stem => stem,
        };
        match &verdict.sha256 {
            Some(digest) => format!("{stem}.{:.8}.{}", digest, self.suffix),
            None => format!("{stem}.{}", self.suffix),
        }
    }
}

/// Draws where the score of a scan comes from.
///
/// A picture gets its heat map (PNG, longer side at most 1024 px), a recording its waveform, spectrogram and score over time (SVG), a text its
/// marked sentences (HTML without scripts). `None` when the file was not judged or its detector names no parts.
pub fn explain(scan: &Scan) -> Option<Artifact> {
    let (media, detection, evidence) =
        (scan.media.as_ref()?, scan.detection.as_ref()?, scan.evidence.as_ref()?);
    let (suffix, bytes) = match (media, &detection.map) {
        (Media::Image(pixels), &ScoreMap::Grid { cols, rows, .. }) => {
            ("heatmap.png", image::draw(pixels, cols, rows, &evidence.parts)?)
        }
        (Media::Audio(wave), ScoreMap::Timeline { windows, .. }) => {
            let sound = exhibit::spectrogram(&wave.samples);
            (
                "timeline.svg",
                audio::draw(&scan.verdict, wave, windows, evidence, sound.as_deref())?.into_bytes(),
            )
        }
        (Media::Text(document), ScoreMap::Sentences { ranges, .. }) => {
            ("sentences.html", text::draw(&scan.verdict, document, ranges, &evidence.parts).into_bytes())
        }
        _ => return None,
    };
    Some(Artifact { suffix, bytes })
}

/// The last component of a path that may come from any system.
fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// Label and confidence in one line.
fn headline(verdict: &Verdict) -> String {
    match verdict.confidence {
        Some(confidence) => format!(
            "{}, probability of machine-made {:.1} % (prior {:.1} %)",
            verdict.label,
            100.0 * confidence,
            100.0 * verdict.prior
        ),
        None => verdict.label.to_string(),
    }
}

/// End of a scale from `-limit` to `limit` that holds every value: an even number, so that its ticks are whole.
fn scale_limit(values: &[f64]) -> f64 {
    let largest = values.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    2.0 * (largest / 2.0).ceil().max(1.0)
}

#[cfg(test)]
mod tests {
    use candor_features::{Document, DocumentKind, OffsetMap, Pixels, Waveform};
    use candor_models::Detection;

    use super::*;
    use crate::{Evidence, Scanner};

    fn scan(name: &str, media: Media, map: ScoreMap, parts: Vec<f64>) -> Scan {
        let mut scan = Scanner::new().unwrap().scan_bytes(name, b"");
        scan.media = Some(media);
        scan.detection = Some(Detection {
            logit: 0.0,
            spread: 0.0,
            abstain: None,
            stratum: String::new(),
            map,
            facts: Vec::new(),
        });
        scan.evidence = Some(Evidence { parts, threshold: Some(1.5) });
        scan
    }

    #[test]
    fn a_heat_map_shows_the_strong_cell_and_stays_small() {
        let (w, h) = (2100, 700);
        let pixels = Pixels::from_rgb(w, h, vec![100; w * h * 3]).unwrap();
        let map = ScoreMap::Grid { cols: 3, rows: 1, logits: vec![0.0; 3] };
        let artifact = explain(&scan("a.png", Media::Image(pixels), map, vec![-3.0, 0.0, 3.9])).unwrap();
        let picture = ::image::load_from_memory(&artifact.bytes).unwrap().to_rgb8();
        assert_eq!(picture.width(), 1024);
        assert!(picture.height() > 341 && picture.height() < 450);
        let luma = |x| picture.get_pixel(x, 100).0.iter().map(|&c| u32::from(c)).sum::<u32>();
        assert!(luma(100) < luma(500) && luma(500) < luma(900));
    }

    #[test]
    fn a_small_picture_is_enlarged_enough_for_its_legend() {
        let pixels = Pixels::from_rgb(1, 3, vec![0; 9]).unwrap();
        let map = ScoreMap::Grid { cols: 1, rows: 1, logits: vec![0.0] };
        let artifact = explain(&scan("a.png", Media::Image(pixels), map, vec![0.0])).unwrap();
        let picture = ::image::load_from_memory(&artifact.bytes).unwrap();
        assert!(picture.width() >= 320 && picture.height() >= 320);
    }

    #[test]
    fn a_timeline_draws_curve_threshold_and_axes() {
        let wave = Waveform {
            samples: (0..48_000).map(|i| (i as f32 * 0.05).sin() * 0.5).collect(),
            source_rate: 16_000,
            source_channels: 1,
            format: "wav/pcm_s16le".to_owned(),
            warnings: Vec::new(),
        };
        let map =
            ScoreMap::Timeline { windows: vec![(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)], logits: vec![0.0; 3] };
        let name = "dir/<script>\u{1b}[31m\u{202e}.wav";
        let artifact = explain(&scan(name, Media::Audio(wave), map, vec![-1.0, 0.5, 2.5])).unwrap();
        let svg = String::from_utf8(artifact.bytes.clone()).unwrap();
        insta::assert_snapshot!(
            svg.lines()
                .filter(|l| !l.contains("id=\"wave\"") && !l.contains("id=\"spectrogram\""))
                .collect::<Vec<_>>()
                .join("\n")
        );
        assert!(svg.contains("<image id=\"spectrogram\" x=\"64\" y=\"158\" width=\"880.0\""));
        assert!(!svg.contains("<script") && !svg.contains('\u{1b}') && !svg.contains('\u{202e}'));
    }

    #[test]
    fn marked_text_is_escaped_and_has_no_script() {
        let text = "First <script>alert(1)</script> here. Second \u{202e}one & \"more\"\0.\nThird.";
        let document = Document {
            text: text.to_owned(),
            map: OffsetMap::identity(text.len()),
            encoding: "UTF-8",
            kind: DocumentKind::Plain,
            markup: candor_features::Markup::default(),
            warnings: Vec::new(),
        };
        let second = text.find("Second").unwrap();
        let third = text.find("Third").unwrap();
        // The last range is broken on purpose.
        let ranges = vec![0..second - 1, second..third - 1, third..third + 6, 900..901];
        let map = ScoreMap::Sentences { ranges, logits: vec![0.0; 4] };
        let parts = vec![1.8, -0.4, 0.0, 1.0];
        let artifact = explain(&scan("<b>.txt", Media::Text(document), map, parts)).unwrap();
        insta::assert_snapshot!(String::from_utf8(artifact.bytes).unwrap());
    }

    #[test]
    fn hostile_names_stay_in_their_folder() {
        let artifact = Artifact { suffix: "heatmap.png", bytes: Vec::new() };
        let name = |path: &str| {
            let mut scan = Scanner::new().unwrap().scan_bytes(path, b"");
            scan.verdict.sha256 = Some("0123456789abcdef".to_owned());
            artifact.file_name(&scan.verdict)
        };
        assert_eq!(name("a/b/../cat.jpg"), "cat.jpg.01234567.heatmap.png");
        assert_eq!(name("a/.."), "stdin.01234567.heatmap.png");
        assert_eq!(name("-"), "stdin.01234567.heatmap.png");
        assert_eq!(name("x\\..\\-rf \n\u{1b}[2J$(id).png"), "rf____2J__id_.png.01234567.heatmap.png");
        assert!(name(&"é".repeat(400)).len() <= 150);
    }

    #[test]
    fn nothing_is_drawn_without_parts() {
        let pixels = Pixels::from_rgb(1, 1, vec![0; 3]).unwrap();
        assert_eq!(explain(&scan("a", Media::Image(pixels), ScoreMap::None, Vec::new())), None);
        assert_eq!(explain(&Scanner::new().unwrap().scan_bytes("a", b"")), None);
    }

    #[test]
    fn scales_end_on_even_numbers() {
        let limit = |values: &[f64]| scale_limit(values) as i32;
        assert_eq!([limit(&[]), limit(&[0.3, -2.1]), limit(&[-6.0])], [2, 4, 6]);
    }
}
