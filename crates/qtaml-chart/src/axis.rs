//! Axes: label, scale and range, and the place of a value or a name on them.

use serde::{Deserialize, Serialize};

use crate::error::ChartError;
use crate::tick::{Tick, decade_ticks, linear_ticks, named_ticks};

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
    /// What stands at 0, 1, 2, ... on an axis of things with names; empty for a quantity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

impl Axis {
    /// A linear axis that fits the data.
    pub fn linear(label: &str, unit: &str) -> Self {
        let (label, unit) = (label.into(), unit.into());
        Self { label, unit, scale: Scale::Linear, range: None, names: vec![] }
    }

    /// A logarithmic axis that fits the data.
    pub fn log10(label: &str, unit: &str) -> Self {
        Self { scale: Scale::Log10, ..Self::linear(label, unit) }
    }

    /// An axis of things with names, which lie at 0, 1, 2, ...; everything else has no place on it.
    ///
    /// Up a vertical axis go quantities; names go down, one line each, and so does the reader. That
    /// is the side for long names: W. S. Cleveland's dot chart (The American Statistician 38, 270,
    /// 1984), which unlike bars makes sense on a logarithmic scale. On a horizontal axis names that
    /// do not fit side by side stand upright.
    ///
    /// ```
    /// use qtaml_chart::{Axis, Chart, Mark, Series};
    ///
    /// let chart = Chart {
    ///     x: Axis::log10("Jacobian norm", ""),
    ///     y: Axis::named("layer", ["conv1.weight", "fc1.weight"]),
    ///     series: vec![Series::new("seed 1", Mark::Points, [(3e2, 0.0), (7.5, 1.0)])],
    ///     rules: vec![],
    /// };
    /// assert!(chart.to_svg("Sensitivity")?.contains(">fc1.weight</text>"));
    /// # Ok::<(), qtaml_chart::ChartError>(())
    /// ```
    pub fn named<N: Into<String>>(label: &str, names: impl IntoIterator<Item = N>) -> Self {
        Self { names: names.into_iter().map(Into::into).collect(), ..Self::linear(label, "") }
    }

    /// The name at a value of an axis of names.
    pub fn name(&self, value: f64) -> Option<&str> {
        let index = value as usize;
        (index as f64 == value).then(|| self.names.get(index).map(String::as_str)).flatten()
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

    pub(crate) fn is_named(&self) -> bool {
        !self.names.is_empty()
    }

    pub(crate) fn shows(&self, value: f64) -> bool {
        self.scale.shows(value) && (!self.is_named() || self.name(value).is_some())
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
    pub(crate) fn shows(self, value: f64) -> bool {
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

/// The visible part of an axis, in lengths of its scale.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) scale: Scale,
    low: f64,
    high: f64,
    names: Vec<String>,
}

impl Span {
    pub(crate) fn new(axis: &Axis, values: impl Iterator<Item = f64>) -> Result<Self, ChartError> {
        let (scale, names) = (axis.scale, axis.names.clone());
        let around_names = || axis.is_named().then(|| [-0.5, names.len() as f64 - 0.5]);
        if let Some([low, high]) = axis.range.or_else(around_names) {
            if !(scale.shows(low) && scale.shows(high) && low < high) {
                let axis = axis.label.clone();
                return Err(ChartError::ImpossibleRange { axis, low, high, scale });
            }
            return Ok(Self { scale, low: scale.length(low), high: scale.length(high), names });
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
        Ok(Self { scale, low: low - margin, high: high + margin, names })
    }

    /// The same span with names from its high end to its low one, as they are read down a page.
    pub(crate) fn names_first(self) -> Self {
        if self.names.is_empty() { self } else { Self { low: self.high, high: self.low, ..self } }
    }

    /// How many names it has room for, if it has names.
    pub(crate) fn places(&self) -> Option<f64> {
        (!self.names.is_empty()).then(|| (self.high - self.low).abs())
    }

    /// Its ends as values.
    pub(crate) fn ends(&self) -> [f64; 2] {
        [self.low, self.high].map(|length| match self.scale {
            Scale::Linear => length,
            Scale::Log10 => 10f64.powf(length),
        })
    }

    /// Position of a value along the axis, 0 to 1 where it is visible.
    pub(crate) fn fraction(&self, value: f64) -> f64 {
        // Far outside is far enough: the frame cuts it off.
        ((self.scale.length(value) - self.low) / (self.high - self.low)).clamp(-9.0, 10.0)
    }

    pub(crate) fn ticks(&self) -> Vec<Tick> {
        let [low, high] = self.ends();
        match self.scale {
            _ if !self.names.is_empty() => {
                named_ticks(&self.names, |value| (0.0..=1.0).contains(&self.fraction(value)))
            }
            Scale::Linear => linear_ticks(low, high),
            // Within one decade powers of ten are too few.
            Scale::Log10 if self.high - self.low < 1.0 => linear_ticks(low, high),
            Scale::Log10 => decade_ticks(self.low, self.high),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn names_lie_at_whole_numbers_and_are_read_downwards() -> Result<(), ChartError> {
        let axis = Axis::named("layer", ["conv1", "fc1"]);
        assert_eq!([0.0, 1.0].map(|value| axis.name(value)), [Some("conv1"), Some("fc1")]);
        for nowhere in [-1.0, 0.5, 2.0, f64::NAN, f64::INFINITY] {
            assert!(!axis.shows(nowhere), "{nowhere}");
        }
        let across = Span::new(&axis, std::iter::empty())?;
        assert_eq!([0.0, 1.0].map(|value| across.fraction(value)), [0.25, 0.75]);
        let down = across.names_first();
        assert_eq!([0.0, 1.0].map(|value| down.fraction(value)), [0.75, 0.25]);
        assert_eq!((down.places(), down.ticks().len()), (Some(2.0), 2));
        let first = Span::new(&axis.between(-0.5, 0.5), std::iter::empty())?;
        assert_eq!((first.places(), first.ticks().len()), (Some(1.0), 1));
        Ok(())
    }
}
