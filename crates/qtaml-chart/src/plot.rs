//! Where everything in the picture lies.

use maud::{Markup, html};

use crate::axis::Span;
use crate::chart::Chart;
use crate::error::ChartError;
use crate::look::Look;
use crate::rule::{At, Rule};
use crate::series::{Mark, Point, Series};
use crate::svg::{TEXT, path, text_width};
use crate::tick::Tick;

/// Width of the picture in its own units. Narrow, so that text survives a 360 px screen.
const WIDTH: f64 = 420.0;
/// Height of the frame between the axes.
const HEIGHT: f64 = 236.0;
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

/// A chart with its lengths worked out.
pub(crate) struct Plot<'a> {
    chart: &'a Chart,
    series: Vec<Series>,
    x: Span,
    y: Span,
    left: f64,
}

impl<'a> Plot<'a> {
    pub(crate) fn new(chart: &'a Chart, series: Vec<Series>) -> Result<Self, ChartError> {
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

    pub(crate) fn draw(&self, title: &str, description: &str) -> Markup {
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
            @for tick in self.x_ticks() {
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

    /// The ticks of the horizontal axis, without labels that would run into the one before.
    fn x_ticks(&self) -> Vec<Tick> {
        let mut taken = f64::NEG_INFINITY;
        let mut fit = |mut tick: Tick| {
            tick.label = tick.label.filter(|label| {
                let middle = self.width() * self.x.fraction(tick.value);
                let half = text_width(label) / 2.0;
                let fits = taken <= middle - half;
                if fits {
                    taken = middle + half;
                }
                fits
            });
            tick
        };
        self.x.ticks().into_iter().map(&mut fit).collect()
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
        let corners = plot.trace(&chart.series[0], |point| point.y);
        assert_eq!(corners, [plot.place(0.0, 0.0), plot.place(1.0, 0.0), plot.place(1.0, 1.0)]);
        Ok(())
    }
}
