//! Errors of charts that cannot be drawn.

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

    /// A heat map has another number of rows than names for them.
    #[error("heat map with {names} names of rows: {rows} rows of cells, must be one per name")]
    UnnamedRows {
        /// How many names there are.
        names: usize,
        /// How many rows of cells there are.
        rows: usize,
    },

    /// A row of a heat map has another number of cells than there are names of columns.
    #[error("row {row:?} of a heat map: {cells} cells, must be {columns}, one per column")]
    RaggedRow {
        /// The name of the row.
        row: String,
        /// How many cells it has.
        cells: usize,
        /// How many it should have.
        columns: usize,
    },

    /// A cell of a heat map holds a number that its colours cannot show.
    #[error(
        "cell ({row:?}, {column:?}): {value}, must fit the {scale:?} scale, or be no value at all"
    )]
    ImpossibleCell {
        /// The name of its row.
        row: String,
        /// The name of its column.
        column: String,
        /// What it holds.
        value: f64,
        /// The scale of the colours.
        scale: Scale,
    },
}
