//! The score of a recording over time, below its waveform and its spectrogram.

use std::fmt::{self, Write};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use candor_features::Waveform;

use super::markup::escape;
use super::{base_name, headline, scale_limit};
use crate::{Evidence, Verdict};

/// Left and right edges of both panels, in SVG units.
const X: (f64, f64) = (64.0, 944.0);
/// Upper and lower edges of the waveform.
const WAVE: (f64, f64) = (56.0, 146.0);
/// Upper and lower edges of the spectrogram.
const SOUND: (f64, f64) = (158.0, 286.0);
/// Upper edge of the score panel without a spectrogram, and its height.
const SCORE: (f64, f64) = (170.0, 160.0);
/// Columns of the waveform's envelope.
const COLUMNS: usize = 880;

/// An SVG of the recording, with its spectrogram if the PNG of one is given; `None` when windows and figures do not fit each other.
pub(super) fn draw(
    verdict: &Verdict,
    wave: &Waveform,
    windows: &[(f64, f64)],
    evidence: &Evidence,
    spectrogram: Option<&[u8]>,
) -> Option<String> {
    if windows.is_empty() || windows.len() != evidence.parts.len() {
        return None;
    }
    let mut svg = String::new();
    write_svg(&mut svg, verdict, wave, windows, evidence, spectrogram).ok()?;
    Some(svg)
}

fn write_svg(
    svg: &mut String,
    verdict: &Verdict,
    wave: &Waveform,
    windows: &[(f64, f64)],
    evidence: &Evidence,
    spectrogram: Option<&[u8]>,
) -> fmt::Result {
    let upper = SCORE.0 + if spectrogram.is_some() { SOUND.1 - SOUND.0 + 12.0 } else { 0.0 };
    let score = (upper, upper + SCORE.1);
    let height = score.1 + 50.0;
    let limit = scale_limit(&evidence.parts);
    // The last window may reach beyond a short recording that was padded.
    let seconds = windows.iter().fold(wave.seconds(), |s, w| s.max(w.1)).max(1e-3);
    let x = |s: f64| X.0 + (s / seconds).clamp(0.0, 1.0) * (X.1 - X.0);
    let y = |e: f64| score.1 - f64::midpoint(e / limit, 1.0) * SCORE.1;
    let name = escape(base_name(&verdict.path));

    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 960 {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">"
    )?;
    writeln!(svg, "<title>{name}</title>")?;
    writeln!(svg, "<rect width=\"960\" height=\"{height}\" fill=\"#fff\"/>")?;
    writeln!(svg, "<text x=\"{}\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{name}</text>", X.0)?;
    writeln!(svg, "<text x=\"{}\" y=\"41\">{}</text>", X.0, escape(&headline(verdict)))?;
    writeln!(
        svg,
        "<path id=\"wave\" d=\"{}\" fill=\"#8a8f98\"/>",
        envelope(&wave.samples, wave.seconds() / seconds)
    )?;

    if let Some(png) = spectrogram {
        write_spectrogram(svg, png, x(wave.seconds()) - X.0)?;
    }
    // Grid and labels of the score axis.
    for step in -2..=2_i32 {
        let value = f64::from(step) * limit / 2.0;
        let at = y(value);
        let stroke = if step == 0 { "#888" } else { "#ddd" };
        writeln!(svg, "<path d=\"M{:.1} {at:.1}H{:.1}\" stroke=\"{stroke}\"/>", X.0, X.1)?;
        let text = if step == 0 { "0".to_owned() } else { format!("{value:+.0}") };
        writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            X.0 - 6.0,
            at + 4.0
        )?;
    }
    let middle = f64::midpoint(score.0, score.1);
    writeln!(
        svg,
        "<text transform=\"translate(18 {middle}) rotate(-90)\" text-anchor=\"middle\">evidence (ln LR)</text>"
    )?;
    // Ticks of the time axis.
    let step = tick(seconds);
    for i in 0..=(seconds / step + 1e-9) as usize {
        let (s, decimals) = (i as f64 * step, usize::from(step < 1.0));
        writeln!(svg, "<path d=\"M{0:.1} {1:.1}v5\" stroke=\"#333\"/>", x(s), score.1)?;
        writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{s:.decimals$}</text>",
            x(s),
            score.1 + 19.0
        )?;
    }
    writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">seconds</text>",
        f64::midpoint(X.0, X.1),
        height - 8.0
    )?;

    if let Some(threshold) = evidence.threshold.filter(|t| t.is_finite() && t.abs() <= limit) {
        let at = y(threshold);
        writeln!(
            svg,
            "<path d=\"M{:.1} {at:.1}H{:.1}\" stroke=\"#b2182b\" stroke-dasharray=\"6 4\"/>",
            X.0, X.1
        )?;
        writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#b2182b\">flagged from here (p &lt;= {})</text>",
            X.1,
            at - 4.0,
            verdict.threshold.p
        )?;
    }
    // A window's figure stands at its middle; the ends are drawn out so that the curve covers the recording.
    let mut curve = String::new();
    let last = windows.len() - 1;
    for (i, (&(start, end), &e)) in windows.iter().zip(&evidence.parts).enumerate() {
        let middle = x(f64::midpoint(start, end));
        if i == 0 {
            write!(curve, "M{:.1} {:.1}H{middle:.1}", x(start), y(e))?;
        } else {
            write!(curve, "L{middle:.1} {:.1}", y(e))?;
        }
        if i == last {
            write!(curve, "H{:.1}", x(end))?;
        }
    }
    writeln!(svg, "<path d=\"{curve}\" fill=\"none\" stroke=\"#2166ac\" stroke-width=\"2\"/>")?;
    for (&(start, end), &e) in windows.iter().zip(&evidence.parts) {
        writeln!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"#2166ac\"><title>{start:.2} s to {end:.2} s: \
             {e:+.2}</title></circle>",
            x(f64::midpoint(start, end)),
            y(e)
        )?;
    }
    writeln!(svg, "</svg>")
}

/// The spectrogram at the given width, with the ticks of its axis.
fn write_spectrogram(svg: &mut String, png: &[u8], width: f64) -> fmt::Result {
    let (top, bottom) = SOUND;
    writeln!(
        svg,
        "<image id=\"spectrogram\" x=\"{}\" y=\"{top}\" width=\"{width:.1}\" height=\"{}\" preserveAspectRatio=\"none\" \
         href=\"data:image/png;base64,{}\"/>",
        X.0,
        bottom - top,
        BASE64_STANDARD.encode(png)
    )?;
    for (khz, at) in [(8, top), (4, f64::midpoint(top, bottom)), (0, bottom)] {
        writeln!(svg, "<path d=\"M{:.1} {at:.1}h-4\" stroke=\"#333\"/>", X.0)?;
        writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{khz}</text>", X.0 - 6.0, at + 4.0)?;
    }
    let middle = f64::midpoint(top, bottom);
    writeln!(svg, "<text transform=\"translate(18 {middle}) rotate(-90)\" text-anchor=\"middle\">kHz</text>")
}

/// Outline of the lowest and highest sample of each column, over the given share of the width.
fn envelope(samples: &[f32], share: f64) -> String {
    let middle = f64::midpoint(WAVE.0, WAVE.1);
    let half = (WAVE.1 - WAVE.0) / 2.0;
    let columns = COLUMNS.min(samples.len());
    let (mut upper, mut lower) = (String::new(), Vec::with_capacity(columns));
    for i in 0..columns {
        let column = &samples[i * samples.len() / columns..(i + 1) * samples.len() / columns];
        let (low, high) = column.iter().fold((0.0_f32, 0.0_f32), |(l, h), &s| (l.min(s), h.max(s)));
        let x = X.0 + (i as f64 + 0.5) / columns as f64 * (X.1 - X.0) * share;
        let y = |s: f32| middle - f64::from(s.clamp(-1.0, 1.0)) * half;
        let _ = write!(upper, "{}{x:.1} {:.1}", if i == 0 { 'M' } else { 'L' }, y(high));
        lower.push(format!("L{x:.1} {:.1}", y(low)));
    }
    lower.reverse();
    if upper.is_empty() {
        return format!("M{} {middle}", X.0);
    }
    format!("{upper}{}Z", lower.concat())
}

/// Distance of time ticks in seconds: 1, 2 or 5 times a power of ten, at most twelve of them.
pub(super) fn tick(seconds: f64) -> f64 {
    let mut step = 0.1;
    for factor in [2.0, 2.5, 2.0].into_iter().cycle() {
        if seconds / step <= 12.0 {
            break;
        }
        step *= factor;
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        for (seconds, expected) in
            [(1.0, 0.1), (2.0, 0.2), (5.0, 0.5), (12.0, 1.0), (60.0, 5.0), (600.0, 50.0)]
        {
            assert!((tick(seconds) - expected).abs() < 1e-9, "{seconds}: {}", tick(seconds));
        }
    }

    #[test]
    fn an_empty_recording_has_an_outline() {
        assert!(envelope(&[], 1.0).starts_with('M'));
        assert!(envelope(&[0.5; 3], 1.0).ends_with('Z'));
    }
}
