//! The files of a report: written together, and figures where there is something to show.

use std::path::Path;

use anyhow::Result;
use qtaml_chart::{Chart, ChartError};

/// Writes files into a folder, each whole or not at all, and returns how many there are. What they hold is
/// rendered before the first byte is written.
pub(crate) fn write(folder: &Path, files: &[(&str, Vec<u8>)]) -> Result<usize> {
    for (name, bytes) in files {
        qtaml::files::write(&folder.join(name), bytes)?;
    }
    Ok(files.len())
}

/// A chart as SVG; none without a point, such as the variance of bits that never flip.
pub(crate) fn figure(chart: &Chart, title: &str) -> Result<Option<String>> {
    match chart.to_svg(title) {
        Err(ChartError::NothingToShow { .. }) => Ok(None),
        svg => Ok(Some(svg?)),
    }
}
