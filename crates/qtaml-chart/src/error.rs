//! Why a chart cannot be drawn.

use crate::axis::Scale;

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
