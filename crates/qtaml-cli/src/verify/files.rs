//! Tables and figures as files.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::plot;
use super::report::{Report, Row};
use crate::report_files;

/// Writes `verify.codes.csv`, `verify.bits.csv`, `verify.layers.csv` and the figures into `folder`, and
/// returns how many files that were. Everything is rendered before the first byte is written, and
/// each file appears whole or not at all.
pub(super) fn write(folder: &Path, report: &Report) -> Result<usize> {
    let mut files = vec![
        ("verify.codes.csv", csv(&report.codes)?),
        ("verify.bits.csv", csv(&report.bits)?),
        ("verify.layers.csv", csv(&report.layers)?),
    ];
    let figures = plot::figures(report)?;
    files.extend(figures.into_iter().map(|(name, svg)| (name, svg.into_bytes())));
    report_files::write(folder, &files)
}

fn csv<T: Serialize>(rows: &[Row<T>]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        // The format knows structs side by side, but not one within the other.
        writer.serialize((&row.of, &row.reading))?;
    }
    Ok(writer.into_inner()?)
}
