//! What an axis shows, and where on it a value lies.

use serde::{Deserialize, Serialize};

use crate::error::ChartError;
use crate::tick::{Tick, decade_ticks, linear_ticks};

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
}

impl Span {
    pub(crate) fn new(axis: &Axis, values: impl Iterator<Item = f64>) -> Result<Self, ChartError> {
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
    pub(crate) fn fraction(&self, value: f64) -> f64 {
        // Far outside is far enough: the frame cuts it off.
        ((self.scale.length(value) - self.low) / (self.high - self.low)).clamp(-9.0, 10.0)
    }

    pub(crate) fn ticks(&self) -> Vec<Tick> {
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
}
