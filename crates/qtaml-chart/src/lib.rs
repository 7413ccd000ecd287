//! Charts as data, and their picture as SVG: axes in any scale, intervals, reference lines.
//!
//! The picture is responsive (a view box, no size), needs no ids and no styles from outside, tells
//! series apart by colour *and* by marker and dash, and is the same bytes for the same data.

#![deny(missing_docs)]

use maud::{Markup, html};
use serde::{Deserialize, Serialize};

/// Why a chart cannot be drawn.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChartError {
    /// No point has a place on both axes, so there is nothing to see.
    #[error("figure {title:?}: none of its {points} points has a place on its axes")]
    NothingToShow {
        /// The title that the picture was to have.
        title: String,
        /// How many points the chart has.
        points: usize,
    },

    /// The range of an axis does not rise, is not finite, or leaves the positive numbers on a
    /// logarithmic scale.
    #[error("axis {axis:?}: range {low} to {high}, must rise and fit the {scale:?} scale")]
    ImpossibleRange {
        /// The label of the axis.
        axis: String,
        /// The low end that was given.
        low: f64,
        /// The high end that was given.
        high: f64,
        /// The scale of the axis.
        scale: Scale,
    },
}

/// Two axes and what is drawn between them.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Chart {
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// What was measured or computed.
    pub series: Vec<Series>,
    /// Labelled reference lines.
    pub rules: Vec<Rule>,
}

/// A labelled axis.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Axis {
    /// What is plotted.
    pub label: String,
    /// Its unit; empty for a pure number.
    pub unit: String,
    /// How values become lengths.
    pub scale: Scale,
    /// Both ends; from the data where absent.
    pub range: Option<[f64; 2]>,
}

impl Axis {
    /// A linear axis that fits the data.
    pub fn linear(label: &str, unit: &str) -> Self {
        Self { label: label.into(), unit: unit.into(), scale: Scale::Linear, range: None }
    }

    /// A logarithmic axis that fits the data.
    pub fn log10(label: &str, unit: &str) -> Self {
        Self { scale: Scale::Log10, ..Self::linear(label, unit) }
    }

    /// The same axis from `low` to `high`.
    #[must_use]
    pub fn between(self, low: f64, high: f64) -> Self {
        Self { range: Some([low, high]), ..self }
    }

    /// Label and unit, as they stand beside the axis.
    pub fn caption(&self) -> String {
        if self.unit.is_empty() {
            self.label.clone()
        } else {
            format!("{} [{}]", self.label, self.unit)
        }
    }
}

/// How values become lengths.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal steps.
    Linear,
    /// Equal factors; only positive values have a place.
    Log10,
}

impl Scale {
    fn shows(self, value: f64) -> bool {
        value.is_finite() && (self == Self::Linear || value > 0.0)
    }

    fn length(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            // The low end of an interval may reach zero: it then leaves the picture, as it should.
            Self::Log10 => value.max(f64::MIN_POSITIVE).log10(),
        }
    }
}

/// Points that belong together.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// How the points are drawn.
    pub mark: Mark,
    /// The points, in drawing order.
    pub points: Vec<Point>,
}

impl Series {
    /// A series from anything that becomes points, pairs `(x, y)` among it.
    pub fn new<P: Into<Point>>(
        name: &str,
        mark: Mark,
        points: impl IntoIterator<Item = P>,
    ) -> Self {
        let points = points.into_iter().map(Into::into).collect();
        Self { name: name.into(), mark, points }
    }
}

/// How a series is drawn; intervals become a band around lines and bars through points.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A line through the points: a law, a dense curve.
    Line,
    /// Each value holds from its point to the next: a histogram, a distribution function.
    Steps,
    /// Markers alone: independent measurements.
    Points,
    /// Markers joined by a line: measurements along a sweep.
    LinePoints,
}

impl Mark {
    const fn has_line(self) -> bool {
        !matches!(self, Self::Points)
    }

    const fn has_markers(self) -> bool {
        matches!(self, Self::Points | Self::LinePoints)
    }
}

/// One value, possibly with its 95 % interval.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Horizontal value.
    pub x: f64,
    /// Vertical value.
    pub y: f64,
    /// Ends of the interval of `y`.
    pub interval: Option<[f64; 2]>,
}

impl From<(f64, f64)> for Point {
    fn from((x, y): (f64, f64)) -> Self {
        Self { x, y, interval: None }
    }
}

impl From<(f64, f64, [f64; 2])> for Point {
    fn from((x, y, interval): (f64, f64, [f64; 2])) -> Self {
        Self { x, y, interval: Some(interval) }
    }
}

/// A labelled reference line.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Rule {
    /// Where the line lies and which way it runs.
    pub at: At,
    /// What it means.
    pub label: String,
}

impl Rule {
    /// A horizontal line at height `y`.
    pub fn horizontal(y: f64, label: &str) -> Self {
        Self { at: At::Y(y), label: label.into() }
    }

    /// A vertical line at `x`.
    pub fn vertical(x: f64, label: &str) -> Self {
        Self { at: At::X(x), label: label.into() }
    }
}

/// The place of a [`Rule`].
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
pub enum At {
    /// A vertical line.
    X(f64),
    /// A horizontal line.
    Y(f64),
}

impl Chart {
    /// The picture. Points without a place (not finite, or not positive on a logarithmic axis) are
    /// left out and counted in its description.
    ///
    /// # Errors
    ///
    /// [`ChartError::NothingToShow`] if no point has a place, [`ChartError::ImpossibleRange`] if the
    /// range of an axis cannot be shown.
    pub fn to_svg(&self, title: &str) -> Result<String, ChartError> {
        let shown = self.shown();
        let count = |series: &[Series]| series.iter().map(|s| s.points.len()).sum::<usize>();
        let (total, kept) = (count(&self.series), count(&shown));
        if kept == 0 {
            return Err(ChartError::NothingToShow { title: title.into(), points: total });
        }
        let plot = Plot::new(self, shown)?;
        Ok(plot.draw(title, &self.description(total, kept)).into_string())
    }

    /// The picture in words, for readers who do not see it.
    fn description(&self, total: usize, kept: usize) -> String {
        let axes = format!("{} against {}.", self.y.caption(), self.x.caption());
        let series = |s: &Series| format!("{}: {} points.", s.name, s.points.len());
        let rule = |rule: &Rule| {
            let (axis, value) = match rule.at {
                At::X(x) => (&self.x, x),
                At::Y(y) => (&self.y, y),
            };
            format!("Line at {} = {value}: {}.", axis.label, rule.label)
        };
        let left_out = (kept < total)
            .then(|| format!("{} of {total} points have no place here.", total - kept));
        let named = self.rules.iter().filter(|rule| !rule.label.is_empty());
        let sentences: Vec<String> = std::iter::once(axes)
            .chain(self.series.iter().map(series))
            .chain(named.map(rule))
            .chain(left_out)
            .collect();
        sentences.join(" ")
    }

    /// The series without the points that the axes cannot show.
    fn shown(&self) -> Vec<Series> {
        let has_place = |p: &&Point| self.x.scale.shows(p.x) && self.y.scale.shows(p.y);
        let ordered = |interval: &[f64; 2]| interval[0] <= interval[1];
        let shown = |series: &Series| Series {
            points: (series.points.iter().filter(has_place))
                .map(|p| Point { interval: p.interval.filter(ordered), ..*p })
                .collect(),
            ..series.clone()
        };
        self.series.iter().map(shown).collect()
    }
}

/// The visible part of an axis, in lengths of its scale.
#[derive(Debug)]
struct Span {
    scale: Scale,
    low: f64,
    high: f64,
}

impl Span {
    fn new(axis: &Axis, values: impl Iterator<Item = f64>) -> Result<Self, ChartError> {
        let scale = axis.scale;
        if let Some([low, high]) = axis.range {
            if !(scale.shows(low) && scale.shows(high) && low < high) {
                let axis = axis.label.clone();
                return Err(ChartError::ImpossibleRange { axis, low, high, scale });
            }
            return Ok(Self { scale, low: scale.length(low), high: scale.length(high) });
        }
        let lengths = values.filter(|value| scale.shows(*value)).map(|value| scale.length(value));
        let (low, high) = lengths
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), length| {
                (low.min(length), high.max(length))
            });
        // A single value still deserves an axis around it: half a decade, a tenth, or one at zero.
        let margin = match (high - low, scale) {
            (0.0, Scale::Log10) => 0.5,
            (0.0, Scale::Linear) if low == 0.0 => 1.0,
            (0.0, Scale::Linear) => 0.1 * low.abs(),
            (width, _) => 0.05 * width,
        };
        Ok(Self { scale, low: low - margin, high: high + margin })
    }

    /// Position of a value along the axis, 0 to 1 where it is visible.
    fn fraction(&self, value: f64) -> f64 {
        // Far outside is far enough: the frame cuts it off.
        ((self.scale.length(value) - self.low) / (self.high - self.low)).clamp(-9.0, 10.0)
    }

    fn ticks(&self) -> Vec<Tick> {
        match self.scale {
            Scale::Linear => linear_ticks(self.low, self.high),
            // Within one decade powers of ten are too few.
            Scale::Log10 if self.high - self.low < 1.0 => {
                linear_ticks(10f64.powf(self.low), 10f64.powf(self.high))
            }
            Scale::Log10 => decade_ticks(self.low, self.high),
        }
    }
}

/// A mark on an axis; without a label it is a minor one.
#[derive(Clone, Debug, PartialEq)]
struct Tick {
    value: f64,
    label: Option<String>,
}

/// Three to seven round values: steps of 1, 2 or 5 times a power of ten.
fn linear_ticks(low: f64, high: f64) -> Vec<Tick> {
    let longest = (high - low) / 3.0;
    let power = 10f64.powf(longest.log10().floor());
    let step = [5.0, 2.0].into_iter().find(|m| m * power <= longest).unwrap_or(1.0) * power;
    let step_exponent = (step.log10() + 1e-9).floor() as i32;
    let exponent = low.abs().max(high.abs()).log10().floor() as i32;
    let label = |value: f64| match exponent {
        -3..=4 => format!("{value:.*}", (-step_exponent).max(0) as usize),
        _ if value == 0.0 => "0".into(),
        _ => {
            let digits = (exponent - step_exponent).max(0) as usize;
            format!("{:.digits$}·10{}", value / 10f64.powi(exponent), superscript(exponent))
        }
    };
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    (first..=last)
        // Zero is never "-0".
        .map(|i| if i == 0 { 0.0 } else { i as f64 * step })
        .map(|value| Tick { value, label: Some(label(value).replace('-', "−")) })
        .collect()
}

/// Powers of ten, few enough to read; over less than three decades their 2 and 5 fold as well.
fn decade_ticks(low: f64, high: f64) -> Vec<Tick> {
    let (first, last) = (low.floor() as i32, high.ceil() as i32);
    let stride = 1 + (last - first) / 8;
    let plain = low > -3.01 && high < 4.01;
    let label = |mantissa: i32, exponent: i32| match mantissa {
        _ if plain => {
            let value = f64::from(mantissa) * 10f64.powi(exponent);
            format!("{value:.*}", (-exponent).max(0) as usize)
        }
        1 => format!("10{}", superscript(exponent)),
        _ => format!("{mantissa}·10{}", superscript(exponent)),
    };
    let labelled = |mantissa: i32, exponent: i32| match mantissa {
        1 => exponent % stride == 0,
        2 | 5 => high - low < 2.5,
        _ => false,
    };
    let minor = if stride == 1 { 9 } else { 1 };
    (first..=last)
        .flat_map(|exponent| (1..=minor).map(move |mantissa| (mantissa, exponent)))
        .map(|(mantissa, exponent)| Tick {
            value: f64::from(mantissa) * 10f64.powi(exponent),
            label: labelled(mantissa, exponent).then(|| label(mantissa, exponent)),
        })
        .filter(|tick| (low - 1e-9..=high + 1e-9).contains(&tick.value.log10()))
        .collect()
}

fn superscript(exponent: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let raise = |c: char| c.to_digit(10).map_or('⁻', |digit| DIGITS[digit as usize]);
    exponent.to_string().chars().map(raise).collect()
}

/// Width of the picture in its own units. Narrow, so that text survives a 360 px screen.
const WIDTH: f64 = 420.0;
/// Height of the frame between the axes.
const HEIGHT: f64 = 236.0;
/// Size of all text.
const TEXT: f64 = 13.0;
/// Room above the frame, for the label of the vertical axis.
const TOP: f64 = 28.0;
/// Room right of the frame, for half a tick label.
const RIGHT: f64 = 16.0;
/// Markers on the frame's edge stay whole.
const BLEED: f64 = 5.0;
/// Height of one row of the legend.
const ROW: f64 = 20.0;
/// Length of a line sample in the legend.
const SAMPLE: f64 = 30.0;

/// A generous guess, because the reader's font is unknown.
fn text_width(text: &str) -> f64 {
    0.57 * TEXT * text.chars().count() as f64
}

/// Coordinates as SVG reads them; a tenth of a unit is finer than the eye.
fn path(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let corners: Vec<_> = points.into_iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
    format!("M{}", corners.join("L"))
}

/// What tells one series from another.
#[derive(Clone, Copy)]
struct Look {
    colour: &'static str,
    dash: &'static str,
    marker: usize,
    radius: f64,
}

impl Look {
    fn of(index: usize, points: usize) -> Self {
        // Okabe and Ito's palette without yellow, which white paper swallows.
        const COLOURS: [&str; 7] =
            ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];
        const DASHES: [&str; 5] = ["none", "7 3", "2 3", "9 3 2 3", "12 4"];
        Self {
            colour: COLOURS[index % COLOURS.len()],
            dash: DASHES[index % DASHES.len()],
            marker: index,
            radius: if points > 80 { 2.2 } else { 3.6 },
        }
    }

    /// Outlines of one area, around (0, 0).
    fn marker_at(self, (x, y): (f64, f64)) -> Markup {
        let r = self.radius;
        let polygon = |corners: &[(f64, f64)]| {
            path(corners.iter().map(|(dx, dy)| (x + r * dx, y + r * dy))) + "Z"
        };
        let outline = match self.marker % 6 {
            0 => format!(
                "M{:.1} {y:.1}a{r} {r} 0 1 0 {} 0a{r} {r} 0 1 0 -{} 0Z",
                x - r,
                2.0 * r,
                2.0 * r
            ),
            1 => polygon(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
            2 => polygon(&[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)]),
            3 => polygon(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]),
            4 => polygon(&[(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)]),
            _ => polygon(&[(-1.3, -0.4), (1.3, -0.4), (1.3, 0.4), (-1.3, 0.4)]),
        };
        html! { path d=(outline) fill=(self.colour) stroke="#fff" stroke-width="0.7" {} }
    }
}

/// A chart with its lengths worked out.
struct Plot<'a> {
    chart: &'a Chart,
    series: Vec<Series>,
    x: Span,
    y: Span,
    left: f64,
}

impl<'a> Plot<'a> {
    fn new(chart: &'a Chart, series: Vec<Series>) -> Result<Self, ChartError> {
        let points = || series.iter().flat_map(|series| &series.points);
        let place = |vertical: bool| {
            chart.rules.iter().filter_map(move |rule| match rule.at {
                At::X(x) => (!vertical).then_some(x),
                At::Y(y) => vertical.then_some(y),
            })
        };
        let heights = |p: &Point| [p.y].into_iter().chain(p.interval.into_iter().flatten());
        let x = Span::new(&chart.x, points().map(|p| p.x).chain(place(false)))?;
        let y = Span::new(&chart.y, points().flat_map(heights).chain(place(true)))?;
        let label_width = |tick: Tick| text_width(&tick.label.unwrap_or_default());
        let left = 12.0 + y.ticks().into_iter().map(label_width).fold(20.0, f64::max);
        Ok(Self { chart, series, x, y, left })
    }

    fn width(&self) -> f64 {
        WIDTH - self.left - RIGHT
    }

    /// Place of a value inside the frame.
    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        (self.width() * self.x.fraction(x), HEIGHT * (1.0 - self.y.fraction(y)))
    }

    fn draw(&self, title: &str, description: &str) -> Markup {
        let legend = self.legend();
        let legend_top = TOP + HEIGHT + 48.0;
        let height = legend_top + ROW * legend.len() as f64;
        let inner = format!(
            "{} {} {} {}",
            -BLEED,
            -BLEED,
            self.width() + 2.0 * BLEED,
            HEIGHT + 2.0 * BLEED
        );
        html! {
            svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox={ "0 0 " (WIDTH) " " (height) }
                font-family="system-ui, 'DejaVu Sans', sans-serif" font-size=(TEXT) fill="#1a1a1a" {
                title { (title) }
                desc { (description) }
                rect width=(WIDTH) height=(height) fill="#fff" {}
                (self.axes())
                // A nested picture cuts off what leaves the frame, and needs no id to do so.
                svg x=(self.left - BLEED) y=(TOP - BLEED) width=(self.width() + 2.0 * BLEED)
                    height=(HEIGHT + 2.0 * BLEED) viewBox=(inner) overflow="hidden" {
                    @for rule in &self.chart.rules { (self.rule(rule)) }
                    @for (index, series) in self.series.iter().enumerate() {
                        (self.series(series, Look::of(index, series.points.len())))
                    }
                    @for rule in &self.chart.rules { (self.rule_label(rule)) }
                }
                @for (row, entries) in legend.iter().enumerate() {
                    @for (left, index) in entries {
                        (self.legend_entry(*index, *left, legend_top + ROW * row as f64))
                    }
                }
            }
        }
    }

    fn axes(&self) -> Markup {
        let (left, width, bottom) = (self.left, self.width(), TOP + HEIGHT);
        html! {
            text x="4" y="16" font-weight="600" { (self.chart.y.caption()) }
            text x=(left + width / 2.0) y=(bottom + 38.0) text-anchor="middle" font-weight="600" {
                (self.chart.x.caption())
            }
            @for tick in self.y.ticks() {
                @let y = format!("{:.1}", TOP + HEIGHT * (1.0 - self.y.fraction(tick.value)));
                @if let Some(label) = tick.label {
                    line x1=(left) x2=(left + width) y1=(y) y2=(y) stroke="#e4e4e4" {}
                    text x=(left - 7.0) y=(y) dy="0.35em" text-anchor="end" { (label) }
                } @else {
                    line x1=(left - 3.0) x2=(left) y1=(y) y2=(y) stroke="#8a8a8a" {}
                }
            }
            @for tick in self.x.ticks() {
                @let x = format!("{:.1}", left + width * self.x.fraction(tick.value));
                @if let Some(label) = tick.label {
                    line x1=(x) x2=(x) y1=(TOP) y2=(bottom) stroke="#e4e4e4" {}
                    text x=(x) y=(bottom + 17.0) text-anchor="middle" { (label) }
                } @else {
                    line x1=(x) x2=(x) y1=(bottom) y2=(bottom + 3.0) stroke="#8a8a8a" {}
                }
            }
            path d=(path([(left, TOP), (left, bottom), (left + width, bottom)])) fill="none"
                stroke="#1a1a1a" {}
        }
    }

    fn series(&self, series: &Series, look: Look) -> Markup {
        let trace = |height: fn(&Point) -> f64| self.trace(series, height);
        html! {
            @if series.mark.has_markers() {
                @for point in &series.points { (self.bar(point, look)) }
            } @else if series.points.iter().any(|point| point.interval.is_some()) {
                @let low = trace(|p| p.interval.map_or(p.y, |interval| interval[0]));
                @let high = trace(|p| p.interval.map_or(p.y, |interval| interval[1]));
                path d={ (path(high.into_iter().chain(low.into_iter().rev()))) "Z" }
                    fill=(look.colour) fill-opacity="0.16" {}
            }
            @if series.mark.has_line() {
                path d=(path(trace(|p| p.y))) fill="none" stroke=(look.colour) stroke-width="1.9"
                    stroke-dasharray=(look.dash) stroke-linejoin="round" {}
            }
            @if series.mark.has_markers() {
                @for point in &series.points { (look.marker_at(self.place(point.x, point.y))) }
            }
        }
    }

    /// The corners of a line at some height of the points: at the value or an end of its interval.
    fn trace(&self, series: &Series, height: fn(&Point) -> f64) -> Vec<(f64, f64)> {
        let mut corners: Vec<(f64, f64)> = Vec::new();
        for point in &series.points {
            let (x, y) = self.place(point.x, height(point));
            if let (Mark::Steps, Some((_, before))) = (series.mark, corners.last()) {
                corners.push((x, *before));
            }
            corners.push((x, y));
        }
        corners
    }

    fn bar(&self, point: &Point, look: Look) -> Markup {
        let Some([low, high]) = point.interval else { return html! {} };
        let ((x, bottom), (_, top)) = (self.place(point.x, low), self.place(point.x, high));
        let cap = |y: f64| path([(x - 3.0, y), (x + 3.0, y)]);
        html! {
            path d={ (path([(x, bottom), (x, top)])) (cap(bottom)) (cap(top)) } fill="none"
                stroke=(look.colour) stroke-width="1.2" {}
        }
    }

    fn rule(&self, rule: &Rule) -> Markup {
        let ends = match rule.at {
            At::X(x) if self.x.scale.shows(x) => {
                let x = self.width() * self.x.fraction(x);
                [(x, 0.0), (x, HEIGHT)]
            }
            At::Y(y) if self.y.scale.shows(y) => {
                let y = HEIGHT * (1.0 - self.y.fraction(y));
                [(0.0, y), (self.width(), y)]
            }
            _ => return html! {},
        };
        html! {
            path d=(path(ends)) fill="none" stroke="#555" stroke-width="1.2"
                stroke-dasharray="4 3" {}
        }
    }

    /// The rule's words, beside it where they hide the least.
    fn rule_label(&self, rule: &Rule) -> Markup {
        let (width, wide) = (self.width(), text_width(&rule.label));
        // Left end and base line of every place to choose from.
        let places: Vec<(f64, f64)> = match rule.at {
            At::Y(y) => {
                let y = HEIGHT * (1.0 - self.y.fraction(y));
                let lefts = [width - wide - 2.0, 4.0, (width - wide) / 2.0];
                lefts.into_iter().flat_map(|left| [(left, y - 5.0), (left, y + 14.0)]).collect()
            }
            At::X(x) => {
                let x = width * self.x.fraction(x);
                let lines = [14.0, HEIGHT - 8.0, HEIGHT / 2.0];
                lines.into_iter().flat_map(|y| [(x + 5.0, y), (x - 5.0 - wide, y)]).collect()
            }
        };
        let fits = |(left, base): &(f64, f64)| {
            *left >= 0.0 && left + wide <= width && *base >= TEXT && *base <= HEIGHT - 3.0
        };
        let hidden = |(left, base): &(f64, f64)| {
            let covered = |(x, y): &(f64, f64)| {
                (left - 4.0..left + wide + 4.0).contains(x) && (base - TEXT..base + 5.0).contains(y)
            };
            self.ink().iter().filter(|place| covered(place)).count()
        };
        html! {
            @if let Some((left, base)) = places.into_iter().filter(fits).min_by_key(hidden) {
                text x=(format!("{left:.1}")) y=(format!("{base:.1}")) fill="#444" stroke="#fff"
                    stroke-width="3" stroke-linejoin="round" paint-order="stroke" { (rule.label) }
            }
        }
    }

    /// Places that are drawn on: all points and, along lines, some between them.
    fn ink(&self) -> Vec<(f64, f64)> {
        let along = |ends: &[(f64, f64)]| {
            let ((x0, y0), (x1, y1)) = (ends[0], ends[1]);
            (0..8)
                .map(move |i| f64::from(i) / 8.0)
                .map(move |t| (x0 + t * (x1 - x0), y0 + t * (y1 - y0)))
        };
        let mut ink = Vec::new();
        for series in &self.series {
            let corners = self.trace(series, |point| point.y);
            if series.mark.has_line() {
                ink.extend(corners.windows(2).flat_map(along));
            }
            ink.extend(corners);
        }
        ink
    }

    /// Rows of the legend: left end and index of each named series.
    fn legend(&self) -> Vec<Vec<(f64, usize)>> {
        let mut rows: Vec<Vec<(f64, usize)>> = Vec::new();
        let mut right = WIDTH;
        for (index, series) in self.series.iter().enumerate().filter(|(_, s)| !s.name.is_empty()) {
            let wide = SAMPLE + 6.0 + text_width(&series.name) + 14.0;
            if right + wide > WIDTH {
                rows.push(Vec::new());
                right = 8.0;
            }
            rows.last_mut().into_iter().for_each(|row| row.push((right, index)));
            right += wide;
        }
        rows
    }

    fn legend_entry(&self, index: usize, left: f64, top: f64) -> Markup {
        let series = &self.series[index];
        let look = Look::of(index, 1);
        let y = top + ROW / 2.0;
        html! {
            @if series.mark.has_line() {
                path d=(path([(left, y), (left + SAMPLE, y)])) stroke=(look.colour)
                    stroke-width="1.9" stroke-dasharray=(look.dash) {}
            }
            @if series.mark.has_markers() { (look.marker_at((left + SAMPLE / 2.0, y))) }
            text x=(left + SAMPLE + 6.0) y=(y) dy="0.35em" { (series.name) }
        }
    }
}

#[cfg(test)]
mod sample {
    //! A chart with everything in it.

    use super::{Axis, Chart, Mark, Rule, Series};

    /// Three schemes, intervals, and the line they have to reach.
    pub(super) fn accuracy_against_budget() -> Chart {
        let curve = |name: &str, half: f64| {
            let points = (0..12).map(|i| {
                let budget = f64::from(i) * 50.0 / 11.0;
                let mean = 21.0 + 67.0 * (1.0 - (-budget / half).exp());
                let spread = 0.6 + 4.0 * (-budget / half).exp();
                (budget, mean, [mean - spread, mean + spread])
            });
            Series::new(name, Mark::LinePoints, points)
        };
        Chart {
            x: Axis::linear("protected share of all bits", "%"),
            y: Axis::linear("accuracy", "%"),
            series: vec![
                curve("TAC, WKB score", 6.0),
                curve("TAC, magnitude score", 11.0),
                curve("Uniform-MSP", 19.0),
            ],
            rules: vec![Rule::horizontal(84.3, "95 % of clean")],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().filter_map(|tick| tick.label.as_deref()).collect()
    }

    fn line(x: Axis, y: Axis, points: &[(f64, f64)]) -> Chart {
        let series = vec![Series::new("a", Mark::LinePoints, points.iter().copied())];
        Chart { x, y, series, rules: vec![] }
    }

    #[test]
    fn linear_ticks_are_round_and_equally_precise() {
        assert_eq!(labels(&linear_ticks(-0.02, 1.04)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&linear_ticks(-3.1, 3.2)), ["−2", "0", "2"]);
        assert_eq!(labels(&linear_ticks(0.0, 100.0)), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(labels(&linear_ticks(0.0, 3e-6)), ["0", "1·10⁻⁶", "2·10⁻⁶", "3·10⁻⁶"]);
    }

    #[test]
    fn logarithmic_ticks_fit_the_number_of_decades() {
        let wide = decade_ticks(-4.05, -0.6);
        assert_eq!(labels(&wide), ["10⁻⁴", "10⁻³", "10⁻²", "10⁻¹"]);
        assert!(wide.iter().any(|t| t.label.is_none() && (t.value - 0.2).abs() < 1e-12));
        assert_eq!(
            labels(&decade_ticks(-2.01, 0.01)),
            ["0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1"]
        );
        assert!((3..=8).contains(&labels(&decade_ticks(-18.0, 0.0)).len()));
    }

    #[test]
    fn equal_steps_and_equal_factors_are_equally_long() -> Result<(), ChartError> {
        let linear = Span::new(&Axis::linear("x", "").between(2.0, 6.0), std::iter::empty())?;
        assert_eq!([2.0, 3.0, 6.0].map(|x| linear.fraction(x)), [0.0, 0.25, 1.0]);
        let log = Span::new(&Axis::log10("p", "").between(1e-4, 1.0), std::iter::empty())?;
        for (value, fraction) in [(1e-4, 0.0), (1e-3, 0.25), (1e-2, 0.5), (1.0, 1.0)] {
            assert!((log.fraction(value) - fraction).abs() < 1e-12, "{value}");
        }
        assert!(log.fraction(0.0) < 0.0, "zero lies below any logarithmic axis");
        Ok(())
    }

    #[test]
    fn points_without_a_place_are_counted_and_never_drawn() -> Result<(), ChartError> {
        let points = [(0.0, 1.0), (1e-3, -2.0), (1e-2, 1.0), (f64::NAN, 1.0), (1e-1, 2.0)];
        let svg = line(Axis::log10("p", ""), Axis::log10("y", ""), &points).to_svg("t")?;
        assert!(svg.contains("3 of 5 points have no place here."));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        Ok(())
    }

    #[test]
    fn a_chart_without_a_point_and_a_falling_range_are_errors() {
        let error = |chart: Chart| {
            chart.to_svg("drift").err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(
            error(line(Axis::log10("p", ""), Axis::linear("y", ""), &[(0.0, 1.0)])),
            "figure \"drift\": none of its 1 points has a place on its axes"
        );
        let range = Axis::log10("p", "").between(0.0, 1.0);
        assert_eq!(
            error(line(range, Axis::linear("y", ""), &[(0.5, 1.0)])),
            "axis \"p\": range 0 to 1, must rise and fit the Log10 scale"
        );
    }

    #[test]
    fn one_point_and_an_interval_down_to_zero_still_make_a_picture() -> Result<(), ChartError> {
        let mut chart = line(Axis::log10("p", ""), Axis::log10("y", "nm"), &[(0.1, 3.0)]);
        chart.series[0].points[0].interval = Some([0.0, 4.0]);
        let svg = chart.to_svg("t")?;
        assert!(svg.contains("y [nm]") && !svg.contains("NaN") && !svg.contains("inf"));
        Ok(())
    }

    #[test]
    fn the_picture_is_accessible_responsive_escaped_and_repeatable() -> Result<(), ChartError> {
        let chart = sample::accuracy_against_budget();
        let svg = chart.to_svg("a < b & c")?;
        assert!(svg.contains(r#"role="img""#) && svg.contains("<desc>accuracy [%] against"));
        assert!(svg.contains("Line at accuracy = 84.3: 95 % of clean."));
        assert!(svg.contains("<title>a &lt; b &amp; c</title>"));
        let opening = svg.split('>').next().unwrap_or_default();
        assert!(opening.contains("viewBox=") && !opening.contains(" width="));
        assert!(!svg.contains(" id="), "several pictures share one page");
        assert_eq!(svg, chart.to_svg("a < b & c")?);
        Ok(())
    }

    #[test]
    fn no_two_of_the_first_series_look_the_same() {
        let looks: std::collections::HashSet<_> =
            (0..30).map(|i| Look::of(i, 1)).map(|l| (l.colour, l.dash, l.marker % 6)).collect();
        assert_eq!(looks.len(), 30);
        let first: Vec<_> = (0..5).map(|i| Look::of(i, 1).dash).collect();
        assert_eq!(first.iter().collect::<std::collections::HashSet<_>>().len(), 5);
    }

    #[test]
    fn steps_hold_each_value_until_the_next_point() -> Result<(), ChartError> {
        let mut chart =
            line(Axis::linear("x", ""), Axis::linear("y", ""), &[(0.0, 0.0), (1.0, 1.0)]);
        chart.series[0].mark = Mark::Steps;
        let plot = Plot::new(&chart, chart.shown())?;
        let corners = plot.trace(&chart.series[0], |point| point.y);
        assert_eq!(corners, [plot.place(0.0, 0.0), plot.place(1.0, 0.0), plot.place(1.0, 1.0)]);
        Ok(())
    }
}
