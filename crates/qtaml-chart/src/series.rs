//! Series: points and their marks.

use serde::{Deserialize, Serialize};

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
    /// A line through the points: a formula, a dense curve.
    Line,
    /// Each value holds from its point to the next: a histogram, a distribution function.
    Steps,
    /// Markers alone: independent measurements.
    Points,
    /// Markers joined by a line: measurements along a sweep.
    LinePoints,
}

impl Mark {
    pub(crate) const fn has_line(self) -> bool {
        !matches!(self, Self::Points)
    }

    pub(crate) const fn has_markers(self) -> bool {
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
    /// Ends of the interval of `y`, or of `x` where the vertical axis has names.
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
