//! A chart as data, with its description in words and its SVG.

use serde::{Deserialize, Serialize};

use crate::axis::Axis;
use crate::error::ChartError;
use crate::plot::Plot;
use crate::rule::{At, Rule};
use crate::series::{Point, Series};

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

impl Chart {
    /// The picture. Points without a place (not finite, not positive on a logarithmic axis, or at
    /// none of the names) are left out and counted in its description.
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
            let place = match rule.at {
                At::X(x) => format!("{} = {x}", self.x.label),
                At::Y(y) => format!("{} = {y}", self.y.label),
                At::Diagonal => format!("{} = {}", self.y.label, self.x.label),
            };
            format!("Line at {place}: {}.", rule.label)
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
    pub(crate) fn shown(&self) -> Vec<Series> {
        let has_place = |p: &&Point| self.x.shows(p.x) && self.y.shows(p.y);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Mark;

    fn line(x: Axis, y: Axis, points: &[(f64, f64)]) -> Chart {
        let series = vec![Series::new("a", Mark::LinePoints, points.iter().copied())];
        Chart { x, y, series, rules: vec![] }
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
        let measured = Series::new("b", Mark::Points, [(2.0, 80.0, [79.0, 82.0])]);
        let mut chart =
            line(Axis::linear("budget", "%"), Axis::linear("accuracy", "%"), &[(1.0, 70.0)]);
        chart.series.push(measured);
        chart.rules.push(Rule::horizontal(84.3, "95 % of clean"));
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
    fn a_point_that_has_no_name_is_counted_and_never_drawn() -> Result<(), ChartError> {
        let points = [(1e-3, 0.0), (1e-2, 1.0), (1e-1, 2.0), (1.0, 0.5)];
        let names = Axis::named("layer", ["conv1", "<fc>"]);
        let svg = line(Axis::log10("sensitivity", ""), names, &points).to_svg("t")?;
        assert!(svg.contains("2 of 4 points have no place here."), "{svg}");
        assert!(svg.contains(">conv1</text>") && svg.contains(">&lt;fc&gt;</text>"));
        Ok(())
    }

    #[test]
    fn a_diagonal_is_drawn_and_told() -> Result<(), ChartError> {
        let axes = (Axis::log10("predicted", ""), Axis::log10("measured", ""));
        let mut chart = line(axes.0, axes.1, &[(1e-3, 2e-3), (1e-1, 1e-1)]);
        chart.rules.push(Rule::diagonal("as predicted"));
        let svg = chart.to_svg("t")?;
        assert!(svg.contains("Line at measured = predicted: as predicted."));
        assert!(svg.contains(">as predicted</text>"));
        Ok(())
    }
}
