//! Plots as inline SVG.
//!
//! The drawing is our own: plotters was tried, and its SVG back end fixes every colour as a hexadecimal attribute, so
//! that a page cannot follow a dark theme or a printer, writes each dash as an element of its own (33 kB for one
//! curve), and has no titles for screen readers and no quantile axis. Here colours, dashes and fonts are classes of the
//! page's style sheet.

use std::fmt::Write;

use maud::{Markup, html};

use super::data::{Bin, Estimate, Histogram, Threshold};
use super::number;
use super::scale::{Kind, Scale, thin, ticks};
use candor::visible;

/// Points that a curve keeps.
const POINTS: usize = 200;
/// Distinct looks of a curve; further ones begin anew.
pub(super) const LOOKS: usize = 6;

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 330.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 350.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 284.0;

/// Shares of the probit axes, in percent.
const PROBIT_TICKS: [(f64, &str); 9] = [
    (0.001, "0.1"),
    (0.005, "0.5"),
    (0.02, "2"),
    (0.05, "5"),
    (0.1, "10"),
    (0.2, "20"),
    (0.4, "40"),
    (0.6, "60"),
    (0.8, "80"),
];
const PROBIT_RANGE: (f64, f64) = (0.001, 0.9);

const FLAGGED_GENUINE: &str = "genuine items flagged, %";
const FLAGGED_FABRICATED: &str = "machine-made items flagged, %";
const MISSED: &str = "machine-made items missed, %";

/// A curve to draw.
pub(super) struct Curve<'a> {
    /// Index of its look.
    pub(super) look: usize,
    /// Points (share of genuine items flagged, share of machine-made items flagged).
    pub(super) roc: &'a [(f64, f64)],
}

struct Axis {
    scale: Scale,
    ticks: Vec<(f64, String)>,
    label: String,
}

impl Axis {
    /// Shares from 0 to 1, in percent.
    fn shares(label: &str) -> Self {
        let ticks = (0..=5).map(|i| (f64::from(i) / 5.0, (20 * i).to_string())).collect();
        Self { scale: Scale::new(Kind::Linear, 0.0, 1.0), ticks, label: label.to_owned() }
    }

    /// Shares from `10^-decades` to 1, in percent.
    fn log_shares(label: &str, decades: u32) -> Self {
        let ticks = (0..=decades)
            .map(|d| {
                let share = 0.1f64.powi(d as i32);
                (share, format!("{:.*}", d.saturating_sub(2) as usize, 100.0 * share))
            })
            .collect();
        let low = 0.1f64.powi(decades as i32);
        Self { scale: Scale::new(Kind::Log, low, 1.0), ticks, label: label.to_owned() }
    }

    fn probit(label: &str) -> Self {
        let ticks = PROBIT_TICKS.iter().map(|(v, t)| (*v, (*t).to_owned())).collect();
        Self {
            scale: Scale::new(Kind::Probit, PROBIT_RANGE.0, PROBIT_RANGE.1),
            ticks,
            label: label.to_owned(),
        }
    }

    fn linear(label: &str, low: f64, high: f64, n: usize) -> Self {
        let (values, decimals) = ticks(low, high, n);
        let ticks = values.into_iter().map(|v| (v, plain(v, decimals))).collect();
        Self { scale: Scale::new(Kind::Linear, low, high), ticks, label: label.to_owned() }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.scale.place(value) * (RIGHT - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - self.scale.place(value) * (BOTTOM - TOP)
    }
}

/// A number for a tick; a zero has no sign, and a minus is one.
fn plain(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let zero = text.bytes().all(|b| matches!(b, b'0' | b'.'));
    if value < 0.0 && !zero { format!("−{text}") } else { text }
}

/// A coordinate with one decimal.
fn at(value: f64) -> String {
    format!("{value:.1}")
}

/// The whole picture: frame, grid, ticks, labels, and `content` inside.
fn frame(id: &str, title: &str, description: &str, x: &Axis, y: &Axis, content: &Markup) -> Markup {
    let (middle_x, middle_y) = (f64::midpoint(LEFT, RIGHT), f64::midpoint(TOP, BOTTOM));
    html! {
        svg class="plot" viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img"
            aria-labelledby=(format!("{id}-t {id}-d")) {
            title id=(format!("{id}-t")) { (title) }
            desc id=(format!("{id}-d")) { (description) }
            g class="grid" {
                @for (v, _) in &x.ticks {
                    line x1=(at(x.x(*v))) x2=(at(x.x(*v))) y1=(at(TOP)) y2=(at(BOTTOM)) {}
                }
                @for (v, _) in &y.ticks {
                    line x1=(at(LEFT)) x2=(at(RIGHT)) y1=(at(y.y(*v))) y2=(at(y.y(*v))) {}
                }
            }
            (content)
            path class="axis" d=(format!("M{LEFT} {TOP}V{BOTTOM}H{RIGHT}")) {}
            g class="ticks" {
                @for (v, text) in &x.ticks {
                    text x=(at(x.x(*v))) y=(at(BOTTOM + 17.0)) text-anchor="middle" { (text) }
                }
                @for (v, text) in &y.ticks {
                    text x=(at(LEFT - 7.0)) y=(at(y.y(*v) + 4.0)) text-anchor="end" { (text) }
                }
            }
            text class="label" x=(at(middle_x)) y=(at(HEIGHT - 8.0)) text-anchor="middle" { (visible::line(&x.label)) }
            text class="label" transform=(format!("translate(13 {}) rotate(-90)", at(middle_y)))
                text-anchor="middle" { (visible::line(&y.label)) }
        }
    }
}

/// A path through points of the plot.
fn line(points: &[(f64, f64)]) -> String {
    let mut d = String::with_capacity(12 * points.len());
    for (i, (x, y)) in points.iter().enumerate() {
        // Writing to a string does not fail.
        _ = write!(d, "{}{x:.1} {y:.1}", if i == 0 { 'M' } else { 'L' });
    }
    d
}

/// A small shape around a point; each look has its own.
pub(super) fn marker(look: usize, x: f64, y: f64) -> Markup {
    let r = 3.6;
    let d = match look % LOOKS {
        0 => format!("M{} {}a{r} {r} 0 1 0 {} 0a{r} {r} 0 1 0 {} 0Z", at(x - r), at(y), 2.0 * r, -2.0 * r),
        1 => format!("M{} {}h{w}v{w}h-{w}Z", at(x - 3.2), at(y - 3.2), w = 6.4),
        2 => format!("M{} {}l4.2 7.4h-8.4Z", at(x), at(y - 4.8)),
        3 => format!("M{} {}l4.4 4.4l-4.4 4.4l-4.4 -4.4Z", at(x), at(y - 4.4)),
        4 => format!("M{} {}l4.2 -7.4h-8.4Z", at(x), at(y + 4.8)),
        _ => format!("M{} {}l7 7m0 -7l-7 7", at(x - 3.5), at(y - 3.5)),
    };
    html! { path class=(format!("mark s{}", look % LOOKS)) d=(d) {} }
}

/// The points of a curve in order, without those that are no numbers.
fn ordered(roc: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut points: Vec<_> = roc.iter().copied().filter(|p| p.0.is_finite() && p.1.is_finite()).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    points
}

/// What the vertical axis shows, and whether the axes begin above zero.
#[derive(Clone, Copy, PartialEq)]
enum View {
    Found,
    FoundFromFew,
    Missed,
}

impl View {
    fn up(self, found: f64) -> f64 {
        if self == View::Missed { 1.0 - found } else { found }
    }

    /// Takes off the points beyond the ends of the axes, which would lie on top of the frame; the last one before the
    /// curve comes in and the first one after it leaves stay.
    fn trim(self, points: &mut Vec<(f64, f64)>) {
        let before = |p: &(f64, f64)| match self {
            View::Found => false,
            View::FoundFromFew => p.0 <= LEFT,
            View::Missed => p.0 <= LEFT || p.1 <= TOP,
        };
        let after = |p: &(f64, f64)| self == View::Missed && (p.0 >= RIGHT || p.1 >= BOTTOM);
        let skipped = points.iter().take_while(|p| before(p)).count().saturating_sub(1);
        points.drain(..skipped.min(points.len()));
        let skipped = points.iter().rev().take_while(|p| after(p)).count().saturating_sub(1);
        points.truncate(points.len() - skipped);
    }
}

/// Curves on two axes.
fn curves(x: &Axis, y: &Axis, curves: &[Curve<'_>], thresholds: &[Threshold], view: View) -> Markup {
    let drawn: Vec<_> = curves
        .iter()
        .map(|c| {
            let mut points: Vec<_> = ordered(c.roc)
                .into_iter()
                // One decimal is what the path keeps.
                .map(|(f, t)| ((10.0 * x.x(f)).round() / 10.0, (10.0 * y.y(view.up(t))).round() / 10.0))
                .collect();
            view.trim(&mut points);
            (c.look, thin(&points, POINTS))
        })
        .collect();
    html! {
        @for (look, points) in &drawn {
            path class=(format!("line s{}", look % LOOKS)) d=(line(points)) {}
        }
        // One curve needs no marks to be told apart.
        @if drawn.len() > 1 {
            @for (look, points) in &drawn {
                @for k in 1..5 {
                    @let i = (k * points.len() + look * points.len() / (2 * LOOKS)) / 5;
                    @if let Some(p) = points.get(i) { (marker(*look, p.0, p.1)) }
                }
            }
        }
        @for t in thresholds {
            @let vertical = Estimate::new(view.up(t.tpr.value), view.up(t.tpr.low), view.up(t.tpr.high));
            @if x.scale.holds(t.fpr.value) && y.scale.holds(vertical.value) {
                (cross(x, y, t.fpr, vertical))
            }
        }
    }
}

/// A point with an interval on both axes.
fn cross(x: &Axis, y: &Axis, h: Estimate, v: Estimate) -> Markup {
    let (px, py) = (x.x(h.value), y.y(v.value));
    html! {
        g class="threshold" {
            @if let Some((low, high)) = h.interval() {
                path d=(format!("M{} {}H{}", at(x.x(low)), at(py), at(x.x(high)))) {}
            }
            @if let Some((low, high)) = v.interval() {
                path d=(format!("M{} {}V{}", at(px), at(y.y(low)), at(y.y(high)))) {}
            }
            circle cx=(at(px)) cy=(at(py)) r="4" {}
        }
    }
}

/// What a curve says, for those who cannot see it.
fn reading(curves: &[Curve<'_>]) -> String {
    let mut out = String::new();
    for (i, curve) in curves.iter().enumerate() {
        let points = ordered(curve.roc);
        let found = |limit: f64| points.iter().filter(|p| p.0 <= limit).map(|p| p.1).fold(f64::NAN, f64::max);
        let parts: Vec<_> = [(0.01, "1"), (0.05, "5"), (0.2, "20")]
            .into_iter()
            .filter(|(limit, _)| found(*limit).is_finite())
            .map(|(limit, name)| format!("{:.0} % found at {name} % flagged", 100.0 * found(limit)))
            .collect();
        if !parts.is_empty() {
            // Writing to a string does not fail.
            _ = write!(out, " Curve {}: {}.", i + 1, parts.join(", "));
        }
    }
    out
}

/// Share found against share of genuine items flagged.
pub(super) fn roc(id: &str, title: &str, list: &[Curve<'_>], thresholds: &[Threshold]) -> Markup {
    let (x, y) = (Axis::shares(FLAGGED_GENUINE), Axis::shares(FLAGGED_FABRICATED));
    let chance = line(&[(LEFT, BOTTOM), (RIGHT, TOP)]);
    let content = html! {
        path class="reference" d=(chance) {}
        (curves(&x, &y, list, thresholds, View::Found))
    };
    let description = format!("Both axes from 0 to 100 %; the dotted diagonal is chance.{}", reading(list));
    frame(id, title, &description, &x, &y, &content)
}

/// As [`roc`], with a logarithmic axis for the share of genuine items flagged.
pub(super) fn log_roc(id: &str, title: &str, list: &[Curve<'_>], thresholds: &[Threshold]) -> Markup {
    let smallest = list.iter().flat_map(|c| c.roc).map(|p| p.0).filter(|f| *f > 0.0).fold(1.0, f64::min);
    let decades = (-smallest.log10() - 0.3).ceil().clamp(2.0, 5.0) as u32;
    let (x, y) = (Axis::log_shares(FLAGGED_GENUINE, decades), Axis::shares(FLAGGED_FABRICATED));
    let diagonal: Vec<_> = (0..=60)
        .map(|i| 0.1f64.powf(f64::from(decades) * (1.0 - f64::from(i) / 60.0)))
        .map(|f| (x.x(f), y.y(f)))
        .collect();
    let content = html! {
        path class="reference" d=(line(&diagonal)) {}
        (curves(&x, &y, list, thresholds, View::FoundFromFew))
    };
    let description =
        format!("The horizontal axis is logarithmic; the dotted line is chance.{}", reading(list));
    frame(id, title, &description, &x, &y, &content)
}

/// Both kinds of error on quantile axes.
pub(super) fn det(id: &str, title: &str, list: &[Curve<'_>], thresholds: &[Threshold]) -> Markup {
    let (x, y) = (Axis::probit(FLAGGED_GENUINE), Axis::probit(MISSED));
    let content = html! {
        path class="reference" d=(line(&[(LEFT, BOTTOM), (RIGHT, TOP)])) {}
        (curves(&x, &y, list, thresholds, View::Missed))
    };
    let description = format!(
        "Both axes are quantiles of the normal distribution, from 0.1 to 90 %; the dotted diagonal is where both \
         errors are equal.{}",
        reading(list)
    );
    frame(id, title, &description, &x, &y, &content)
}

/// Stated probability against observed share.
pub(super) fn reliability(id: &str, title: &str, bins: &[Bin]) -> Markup {
    let (x, y) = (Axis::shares("stated probability, %"), Axis::shares("observed share machine-made, %"));
    let most = bins.iter().map(|b| b.n).max().unwrap_or(0).max(1) as f64;
    let shown: Vec<_> =
        bins.iter().filter(|b| b.mean_p.is_finite() && b.observed.value.is_finite()).collect();
    let points: Vec<_> = shown.iter().map(|b| (x.x(b.mean_p), y.y(b.observed.value))).collect();
    let content = html! {
        path class="reference" d=(line(&[(LEFT, BOTTOM), (RIGHT, TOP)])) {}
        path class="line s0" d=(line(&points)) {}
        @for (bin, (px, py)) in shown.iter().zip(&points) {
            @if let Some((low, high)) = bin.observed.interval() {
                path class="whisker s0" d=(format!("M{} {}V{}", at(*px), at(y.y(low)), at(y.y(high)))) {}
            }
            circle class="dot s0" cx=(at(*px)) cy=(at(*py)) r=(at(2.5 + 4.0 * (bin.n as f64 / most).sqrt())) {}
        }
    };
    let mut description = "Both axes from 0 to 100 %; the dotted diagonal is perfect calibration.".to_owned();
    for bin in &shown {
        // Writing to a string does not fail.
        _ = write!(
            description,
            " Stated {:.0} %, observed {:.0} %, {}.",
            100.0 * bin.mean_p,
            100.0 * bin.observed.value,
            number::items(bin.n, "item")
        );
    }
    frame(id, title, &description, &x, &y, &content)
}

/// The scores of both classes, as shares of their class.
pub(super) fn histogram(id: &str, title: &str, h: &Histogram, thresholds: &[Threshold]) -> Markup {
    let shares = |counts: &[u64]| -> Vec<f64> {
        let total = counts.iter().sum::<u64>().max(1) as f64;
        counts.iter().map(|n| *n as f64 / total).collect()
    };
    let (genuine, fabricated) = (shares(&h.genuine), shares(&h.fabricated));
    let edge = |v: Option<&f64>, other: f64| v.copied().filter(|v| v.is_finite()).unwrap_or(other);
    let (low, high) = (edge(h.edges.first(), 0.0), edge(h.edges.last(), 1.0));
    let top = genuine.iter().chain(&fabricated).copied().fold(0.0, f64::max);
    let x = Axis::linear(&h.axis, low, high, 6);
    let mut y = Axis::linear("share of the class, %", 0.0, (1.08 * 100.0 * top).max(1.0), 5);
    y.scale = Scale::new(Kind::Linear, 0.0, (1.08 * top).max(0.01));
    for (value, _) in &mut y.ticks {
        *value /= 100.0;
    }
    let outline = |shares: &[f64]| {
        let mut points = vec![(x.x(low), BOTTOM)];
        for (edges, share) in h.edges.windows(2).zip(shares) {
            if let [a, b] = edges {
                points.extend([(x.x(*a), y.y(*share)), (x.x(*b), y.y(*share))]);
            }
        }
        points.push((points.last().map_or(LEFT, |p| p.0), BOTTOM));
        line(&points)
    };
    let (genuine_line, fabricated_line) = (outline(&genuine), outline(&fabricated));
    let content = html! {
        pattern id=(format!("{id}-h")) width="6" height="6" patternUnits="userSpaceOnUse"
            patternTransform="rotate(45)" {
            line class="hatch" x1="0" x2="0" y1="0" y2="6" {}
        }
        path class="fill-genuine" d=(genuine_line) {}
        path fill=(format!("url(#{id}-h)")) d=(fabricated_line) {}
        path class="line genuine" d=(genuine_line) {}
        path class="line fabricated" d=(fabricated_line) {}
        @for t in thresholds.iter().filter(|t| t.score >= low && t.score <= high) {
            path class="threshold-line" d=(format!("M{} {TOP}V{BOTTOM}", at(x.x(t.score)))) {}
        }
    };
    let centre = |counts: &[u64]| {
        let half = counts.iter().sum::<u64>().div_ceil(2);
        let mut sum = 0;
        h.edges
            .windows(2)
            .zip(counts)
            .find(|(_, n)| {
                sum += **n;
                sum >= half && half > 0
            })
            .and_then(|(e, _)| Some((*e.first()?, *e.last()?)))
    };
    let mut description = "Shares of each class over the score.".to_owned();
    for (name, range) in [("genuine", centre(&h.genuine)), ("machine-made", centre(&h.fabricated))] {
        if let Some((a, b)) = range {
            // Writing to a string does not fail.
            _ = write!(
                description,
                " The median {name} item lies between {} and {}.",
                plain(a, 2),
                plain(b, 2)
            );
        }
    }
    frame(id, title, &description, &x, &y, &content)
}

/// The sample of a curve that a legend shows.
pub(super) fn swatch(look: usize) -> Markup {
    html! {
        svg class="swatch" viewBox="0 0 40 12" aria-hidden="true" {
            path class=(format!("line s{}", look % LOOKS)) d="M1 6H39" {}
            (marker(look, 20.0, 6.0))
        }
    }
}

/// The sample of a class that the legend of a histogram shows.
pub(super) fn class_swatch(fabricated: bool) -> Markup {
    html! {
        svg class="swatch" viewBox="0 0 40 12" aria-hidden="true" {
            @if fabricated {
                path class="hatch" d="M4 11L12 1M13 11L21 1M22 11L30 1M31 11L39 1" {}
                path class="line fabricated" d="M1 11V1H39V11" {}
            } @else {
                path class="fill-genuine" d="M1 11V1H39V11Z" {}
                path class="line genuine" d="M1 11V1H39V11" {}
            }
        }
    }
}

/// Intervals that stand in a column of a table, all on one axis.
pub(super) struct Forest {
    scale: Scale,
    ticks: Vec<(f64, String)>,
    reference: f64,
}

const STRIP: f64 = 220.0;
const STRIP_EDGE: f64 = 14.0;

impl Forest {
    /// An axis that holds all of the numbers.
    pub(super) fn new(estimates: impl IntoIterator<Item = Estimate>, reference: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        let values = estimates.into_iter().flat_map(|e| [e.value, e.low, e.high]);
        for value in values.chain([reference]).filter(|v| v.is_finite()) {
            low = low.min(value);
            high = high.max(value);
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        // Shares and areas stay between 0 and 1.
        let (floor, ceiling) =
            if low >= 0.0 && high <= 1.0 { (0.0, 1.0) } else { (f64::NEG_INFINITY, f64::INFINITY) };
        let margin = (0.05 * (high - low)).max(0.005);
        let (low, high) = ((low - margin).max(floor), (high + margin).min(ceiling));
        let (values, decimals) = ticks(low, high, 5);
        Self {
            scale: Scale::new(Kind::Linear, low, high),
            ticks: values.into_iter().map(|v| (v, plain(v, decimals))).collect(),
            reference,
        }
    }

    fn x(&self, value: f64) -> f64 {
        STRIP_EDGE + self.scale.place(value) * (STRIP - 2.0 * STRIP_EDGE)
    }

    /// The ticks, for the head of the column.
    pub(super) fn head(&self) -> Markup {
        html! {
            svg class="strip" viewBox=(format!("0 0 {STRIP} 18")) aria-hidden="true" {
                g class="ticks" {
                    @for (v, text) in &self.ticks {
                        text x=(at(self.x(*v))) y="12" text-anchor="middle" { (text) }
                    }
                }
            }
        }
    }

    /// One interval. The numbers stand in the table, so it is hidden from screen readers.
    pub(super) fn row(&self, e: Estimate, class: &str) -> Markup {
        html! {
            svg class="strip" viewBox=(format!("0 0 {STRIP} 24")) aria-hidden="true" {
                g class="grid" {
                    @for (v, _) in &self.ticks {
                        line x1=(at(self.x(*v))) x2=(at(self.x(*v))) y1="0" y2="24" {}
                    }
                }
                @if self.reference.is_finite() {
                    path class="reference" d=(format!("M{} 0V24", at(self.x(self.reference)))) {}
                }
                @if let Some((low, high)) = e.interval() {
                    path class=(format!("whisker {class}"))
                        d=(format!("M{} 12H{}", at(self.x(low)), at(self.x(high)))) {}
                }
                @if e.value.is_finite() {
                    circle class=(format!("dot {class}")) cx=(at(self.x(e.value))) cy="12" r="4.5" {}
                }
            }
        }
    }
}
