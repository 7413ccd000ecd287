//! A picture: a chart or a heat map.

use serde::{Deserialize, Serialize};

use crate::chart::Chart;
use crate::error::ChartError;
use crate::heatmap::Heatmap;

/// A chart or a heat map.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Picture {
    /// Points between two axes.
    Chart(Chart),
    /// Values of pairs of things.
    Heatmap(Heatmap),
}

impl Picture {
    /// The picture as SVG.
    ///
    /// # Errors
    ///
    /// Those of [`Chart::to_svg`] and [`Heatmap::to_svg`].
    pub fn to_svg(&self, title: &str) -> Result<String, ChartError> {
        match self {
            Self::Chart(chart) => chart.to_svg(title),
            Self::Heatmap(heatmap) => heatmap.to_svg(title),
        }
    }
}

impl From<Chart> for Picture {
    fn from(chart: Chart) -> Self {
        Self::Chart(chart)
    }
}

impl From<Heatmap> for Picture {
    fn from(heatmap: Heatmap) -> Self {
        Self::Heatmap(heatmap)
    }
}
