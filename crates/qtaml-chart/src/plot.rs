//! The layout of a chart.

use maud::{Markup, html};

use crate::axis::Span;
use crate::chart::Chart;
use crate::error::ChartError;
use crate::look::Look;
use crate::rule::{At, Rule};
use crate::series::{Mark, Point, Series};
use crate::svg::{TEXT, fit_level, path, text_width, upright};
use crate::tick::{Tick, apart};

/// Width of the picture in its own units. Narrow, so that text survives a 360 px screen.
const WIDTH: f64 = 420.0;
/// Height of the frame between the axes, unless the rows of a named axis say otherwise.
const HEIGHT: f64 = 236.0;
/// Room above the frame, for the label of the vertical axis.
const TOP: f64 = 28.0;
/// Room right of the frame, for half a tick label.
const RIGHT: f64 = 16.0;
/// Markers on the frame's edge stay whole.
const BLEED: f64 = 5.0;
/// Height of one row of the legend, and of one name.
const ROW: f64 = 20.0;
/// Length of a line sample in the legend.
const SAMPLE: f64 = 30.0;

/// A chart with its lengths worked out.
pub(crate) struct Plot<'a> {
    chart: &'a Chart,
    series: Vec<Series>,
    x: Span,
    y: Span,
    left: f64,
    height: f64,
}

impl<'a> Plot<'a> {
    pub(crate) fn new(chart: &'a Chart, series: Vec<Series>) -> Result<Self, ChartError> {
        let points = || series.iter().flat_map(|series| &series.points);
        let place = |vertical: bool| {
            chart.rules.iter().filter_map(move |rule| match rule.at {
                At::X(x) => (!vertical).then_some(x),
                At::Y(y) => vertical.then_some(y),
                At::Diagonal => None,
            })
        };
        let corners = |p: &Point| {
            let [low, high] = ends(chart, p);
            [low, (p.x, p.y), high]
        };
        let xs = points().flat_map(corners).map(|(x, _)| x);
        let ys = points().flat_map(corners).map(|(_, y)| y);
        let x = Span::new(&chart.x, xs.chain(place(false)))?;
        let y = Span::new(&chart.y, ys.chain(place(true)))?.names_first();
        let label_width = |tick: Tick| text_width(&tick.label.unwrap_or_default());
        let left = 12.0 + y.ticks().into_iter().map(label_width).fold(20.0, f64::max);
        let height = y.places().map_or(HEIGHT, |rows| ROW * rows);
        Ok(Self { chart, series, x, y, left, height })
    }

    fn width(&self) -> f64 {
        WIDTH - self.left - RIGHT
    }

    /// Place of a value inside the frame.
    fn place(&self, x: f64, y: f64) -> (f64, f64) {
        (self.width() * self.x.fraction(x), self.height * (1.0 - self.y.fraction(y)))
    }

    /// Whether names along the horizontal axis stand upright, for want of room side by side.
    fn upright(&self) -> bool {
        let names = &self.chart.x.names;
        self.x.places().is_some_and(|places| !fit_level(names, self.width() / places))
    }

    /// How far the labels of the horizontal axis reach below it.
    fn label_depth(&self) -> f64 {
        let wide = |tick: Tick| text_width(&tick.label.unwrap_or_default());
        if self.upright() {
            8.0 + self.x.ticks().into_iter().map(wide).fold(0.0, f64::max)
        } else {
            22.0
        }
    }

    pub(crate) fn draw(&self, title: &str, description: &str) -> Markup {
        let legend = self.legend();
        let legend_top = TOP + self.height + self.label_depth() + 26.0;
        let height = legend_top + ROW * legend.len() as f64;
        let inner = format!(
            "{} {} {} {}",
            -BLEED,
            -BLEED,
            self.width() + 2.0 * BLEED,
            self.height + 2.0 * BLEED
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
                    height=(self.height + 2.0 * BLEED) viewBox=(inner) overflow="hidden" {
                    @for rule in &self.chart.rules { (self.rule(rule)) }
                    @for (index, series) in self.series.iter().enumerate() {
                        g transform=[self.aside(index)] {
                            (self.series(series, Look::of(index, series.points.len())))
                        }
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
        let (left, width, bottom) = (self.left, self.width(), TOP + self.height);
        html! {
            text x="4" y="16" font-weight="600" { (self.chart.y.caption()) }
            text x=(left + width / 2.0) y=(bottom + self.label_depth() + 16.0)
                text-anchor="middle" font-weight="600" { (self.chart.x.caption()) }
            @for tick in self.y.ticks() {
                @let y = format!("{:.1}", TOP + self.place(0.0, tick.value).1);
                @if let Some(label) = tick.label {
                    line x1=(left) x2=(left + width) y1=(y) y2=(y) stroke="#e4e4e4" {}
                    text x=(left - 7.0) y=(y) dy="0.35em" text-anchor="end" { (label) }
                } @else {
                    line x1=(left - 3.0) x2=(left) y1=(y) y2=(y) stroke="#8a8a8a" {}
                }
            }
            @for tick in self.x_ticks() {
                @let x = format!("{:.1}", left + width * self.x.fraction(tick.value));
                @if let Some(label) = tick.label {
                    line x1=(x) x2=(x) y1=(TOP) y2=(bottom) stroke="#e4e4e4" {}
                    @if self.upright() {
                        (upright(&x, bottom + 7.0, "end", &label))
                    } @else {
                        text x=(x) y=(bottom + 17.0) text-anchor="middle" { (label) }
                    }
                } @else {
                    line x1=(x) x2=(x) y1=(bottom) y2=(bottom + 3.0) stroke="#8a8a8a" {}
                }
            }
            path d=(path([(left, TOP), (left, bottom), (left + width, bottom)])) fill="none"
                stroke="#1a1a1a" {}
        }
    }

    /// The ticks of the horizontal axis, without labels that would run into the one before.
    fn x_ticks(&self) -> Vec<Tick> {
        let extent = |label: &str| if self.upright() { TEXT } else { text_width(label) };
        apart(self.x.ticks(), |value| self.width() * self.x.fraction(value), extent)
    }

    /// At a name the markers of several series stand beside each other, or one would hide the rest.
    fn aside(&self, index: usize) -> Option<String> {
        const ROOM: f64 = 16.0;
        let markers = |series: &[Series]| {
            series.iter().filter(|series| series.mark == Mark::Points).count() as f64
        };
        let (before, all) = (markers(&self.series[..index]), markers(&self.series));
        let aside = (before - (all - 1.0) / 2.0) * (ROOM / all).min(4.0);
        if self.series[index].mark != Mark::Points || all < 2.0 {
            None
        } else if self.chart.y.is_named() {
            Some(format!("translate(0 {aside:.1})"))
        } else {
            self.chart.x.is_named().then(|| format!("translate({aside:.1} 0)"))
        }
    }

    fn series(&self, series: &Series, look: Look) -> Markup {
        let side = |high: usize| self.trace(series, |p| ends(self.chart, p)[high]);
        html! {
            @if series.mark.has_markers() {
                @for point in &series.points { (self.bar(point, look)) }
            } @else if series.points.iter().any(|point| point.interval.is_some()) {
                path d={ (path(side(1).into_iter().chain(side(0).into_iter().rev()))) "Z" }
                    fill=(look.colour) fill-opacity="0.16" {}
            }
            @if series.mark.has_line() {
                path d=(path(self.trace(series, |p| (p.x, p.y)))) fill="none"
                    stroke=(look.colour) stroke-width="1.9" stroke-dasharray=(look.dash)
                    stroke-linejoin="round" {}
            }
            @if series.mark.has_markers() {
                @for point in &series.points { (look.marker_at(self.place(point.x, point.y))) }
            }
        }
    }

    /// The corners of a line through the points: through their values or an end of their intervals.
    fn trace(&self, series: &Series, at: impl Fn(&Point) -> (f64, f64)) -> Vec<(f64, f64)> {
        let mut corners: Vec<(f64, f64)> = Vec::new();
        for point in &series.points {
            let (x, y) = at(point);
            let (x, y) = self.place(x, y);
            if let (Mark::Steps, Some((_, before))) = (series.mark, corners.last()) {
                corners.push((x, *before));
            }
            corners.push((x, y));
        }
        corners
    }

    fn bar(&self, point: &Point, look: Look) -> Markup {
        if point.interval.is_none() {
            return html! {};
        }
        let ends = ends(self.chart, point).map(|(x, y)| self.place(x, y));
        let (dx, dy) = if self.chart.y.is_named() { (0.0, 3.0) } else { (3.0, 0.0) };
        let cap = |(x, y): (f64, f64)| path([(x - dx, y - dy), (x + dx, y + dy)]);
        html! {
            path d={ (path(ends)) (cap(ends[0])) (cap(ends[1])) } fill="none"
                stroke=(look.colour) stroke-width="1.2" {}
        }
    }

    fn rule(&self, rule: &Rule) -> Markup {
        let line = match rule.at {
            At::X(x) if self.x.scale.shows(x) => {
                let x = self.width() * self.x.fraction(x);
                Some([(x, 0.0), (x, self.height)])
            }
            At::Y(y) if self.y.scale.shows(y) => {
                let y = self.place(0.0, y).1;
                Some([(0.0, y), (self.width(), y)])
            }
            At::Diagonal => self.diagonal(),
            _ => None,
        };
        html! {
            @if let Some(ends) = line {
                path d=(path(ends)) fill="none" stroke="#555" stroke-width="1.2"
                    stroke-dasharray="4 3" {}
            }
        }
    }

    /// Both ends of the visible values that are equal on both axes.
    fn diagonal(&self) -> Option<[(f64, f64); 2]> {
        let ([left, right], [bottom, top]) = (self.x.ends(), self.y.ends());
        let (low, high) = (left.max(bottom), right.min(top));
        let visible = self.x.scale == self.y.scale && low < high;
        visible.then(|| [low, high].map(|value| self.place(value, value)))
    }

    /// The rule's words, beside it where they hide the least.
    fn rule_label(&self, rule: &Rule) -> Markup {
        let (width, wide) = (self.width(), text_width(&rule.label));
        // Left end and base line of every place to choose from.
        let places: Vec<(f64, f64)> = match rule.at {
            At::Y(y) => {
                let y = self.place(0.0, y).1;
                let lefts = [width - wide - 2.0, 4.0, (width - wide) / 2.0];
                lefts.into_iter().flat_map(|left| [(left, y - 5.0), (left, y + 14.0)]).collect()
            }
            At::X(x) => {
                let x = width * self.x.fraction(x);
                let lines = [14.0, self.height - 8.0, self.height / 2.0];
                lines.into_iter().flat_map(|y| [(x + 5.0, y), (x - 5.0 - wide, y)]).collect()
            }
            At::Diagonal => self.along_diagonal(wide),
        };
        let fits = |(left, base): &(f64, f64)| {
            let lines = TEXT..=self.height - 3.0;
            *left >= 0.0 && left + wide <= width && lines.contains(base)
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

    /// Places for words of some width below and above the diagonal, from its top downwards.
    fn along_diagonal(&self, wide: f64) -> Vec<(f64, f64)> {
        let Some([(x0, y0), (x1, y1)]) = self.diagonal() else { return vec![] };
        [0.9, 0.75, 0.5, 0.25, 0.1]
            .into_iter()
            .map(|t| (x0 + t * (x1 - x0), y0 + t * (y1 - y0)))
            .flat_map(|(x, y)| [(x + 5.0, y + 14.0), (x - 5.0 - wide, y - 5.0)])
            .collect()
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
            let corners = self.trace(series, |point| (point.x, point.y));
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

/// The ends of a point's interval, which is one of a quantity and never of names; without an
/// interval the point itself, twice.
fn ends(chart: &Chart, point: &Point) -> [(f64, f64); 2] {
    match point.interval {
        Some(ends) if chart.y.is_named() => ends.map(|x| (x, point.y)),
        Some(ends) => ends.map(|y| (point.x, y)),
        None => [(point.x, point.y); 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::axis::Axis;

    #[test]
    fn labels_of_a_narrow_range_do_not_overlap() -> Result<(), ChartError> {
        let labels = |low, high| {
            let series = vec![Series::new("a", Mark::Line, [(low, 0.0), (high, 1.0)])];
            let axis = Axis::linear("", "");
            let chart = Chart { x: axis.clone(), y: axis, series, rules: vec![] };
            let plot = Plot::new(&chart, chart.shown())?;
            let label =
                |tick: Tick| Some((plot.width() * plot.x.fraction(tick.value), tick.label?));
            Ok::<_, ChartError>(plot.x_ticks().into_iter().filter_map(label).collect::<Vec<_>>())
        };
        let narrow = labels(300.0, 300.000_001)?;
        assert!(narrow.len() >= 2, "{narrow:?}");
        for pair in narrow.windows(2) {
            let apart = f64::midpoint(text_width(&pair[0].1), text_width(&pair[1].1));
            assert!(pair[1].0 - pair[0].0 >= apart, "{narrow:?}");
        }
        assert_eq!(labels(0.0, 100.0)?.len(), 6, "what fits stays");
        Ok(())
    }

    #[test]
    fn steps_hold_each_value_until_the_next_point() -> Result<(), ChartError> {
        let axis = Axis::linear("", "");
        let series = vec![Series::new("a", Mark::Steps, [(0.0, 0.0), (1.0, 1.0)])];
        let chart = Chart { x: axis.clone(), y: axis, series, rules: vec![] };
        let plot = Plot::new(&chart, chart.shown())?;
        let corners = plot.trace(&chart.series[0], |point| (point.x, point.y));
        assert_eq!(corners, [plot.place(0.0, 0.0), plot.place(1.0, 0.0), plot.place(1.0, 1.0)]);
        Ok(())
    }

    #[test]
    fn beside_names_intervals_lie_and_rows_have_room() -> Result<(), ChartError> {
        let series = vec![Series::new("a", Mark::Points, [(2.0, 1.0, [1.0, 4.0])])];
        let y = Axis::named("layer", (0..30).map(|i| format!("blocks.{i}.conv1.weight")));
        let chart = Chart { x: Axis::log10("norm", ""), y, series, rules: vec![] };
        let plot = Plot::new(&chart, chart.shown())?;
        assert_eq!(ends(&chart, &chart.series[0].points[0]), [(1.0, 1.0), (4.0, 1.0)]);
        assert!(plot.x.fraction(4.0) < 1.0, "the axis fits the interval");
        let below = plot.place(1.0, 1.0).1 - plot.place(1.0, 0.0).1;
        assert!((below - ROW).abs() < 1e-9 && ROW > TEXT, "{below}");
        assert!(plot.width() > 0.4 * WIDTH, "long names leave room for the values");
        Ok(())
    }

    #[test]
    fn names_that_do_not_fit_side_by_side_stand_upright_and_all_remain() -> Result<(), ChartError> {
        let labels = |names: Vec<String>| {
            let series = vec![Series::new("a", Mark::Points, [(0.0, 1.0)])];
            let x = Axis::named("layer", names);
            let chart = Chart { x, y: Axis::linear("", ""), series, rules: vec![] };
            let plot = Plot::new(&chart, chart.shown())?;
            let labelled = plot.x_ticks().into_iter().filter(|tick| tick.label.is_some()).count();
            Ok::<_, ChartError>((plot.upright(), labelled))
        };
        let layers = (0..20).map(|i| format!("blocks.{i}.conv1.weight")).collect();
        assert_eq!(labels(layers)?, (true, 20));
        assert_eq!(labels((0..8).map(|bit| bit.to_string()).collect())?, (false, 8));
        Ok(())
    }

    #[test]
    fn markers_at_one_name_stand_beside_each_other() -> Result<(), ChartError> {
        let aside = |y: Axis| {
            let marks = [Mark::Points, Mark::Line, Mark::Points];
            let series = marks.map(|mark| Series::new("", mark, [(1.0, 0.0)])).to_vec();
            let chart = Chart { x: Axis::linear("", ""), y, series, rules: vec![] };
            let plot = Plot::new(&chart, chart.shown())?;
            Ok::<_, ChartError>([0, 1, 2].map(|index| plot.aside(index).unwrap_or_default()))
        };
        let beside = aside(Axis::named("layer", ["conv1"]))?;
        assert_eq!(beside, ["translate(0 -2.0)", "", "translate(0 2.0)"]);
        assert_eq!(aside(Axis::linear("", ""))?, ["", "", ""]);
        Ok(())
    }

    #[test]
    fn the_diagonal_joins_the_ends_of_what_both_axes_show() -> Result<(), ChartError> {
        let diagonal = |x: Axis, y: Axis| {
            let series = vec![Series::new("a", Mark::Points, [(1.0, 1.0)])];
            let chart = Chart { x, y, series, rules: vec![] };
            let plot = Plot::new(&chart, chart.shown())?;
            let seen = plot.diagonal().map(|ends| ends.map(|(x, y)| (x.round(), y.round())));
            Ok::<_, ChartError>((seen, plot.width().round()))
        };
        let log = |low, high| Axis::log10("", "").between(low, high);
        let (ends, width) = diagonal(log(1e-4, 1.0), log(1e-2, 1e2))?;
        assert_eq!(ends, Some([((width / 2.0).round(), HEIGHT), (width, HEIGHT / 2.0)]));
        assert_eq!(diagonal(log(1e-4, 1e-2), log(1e-1, 1.0))?.0, None, "they share no value");
        assert_eq!(diagonal(log(1e-4, 1.0), Axis::linear("", ""))?.0, None, "not a straight line");
        Ok(())
    }
}
