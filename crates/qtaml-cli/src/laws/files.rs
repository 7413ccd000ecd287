//! Tables and figures as files.

use std::fs;
use std::io::Write;
use std::path::Path;

use miette::{Context, IntoDiagnostic, Result};
use serde::Serialize;

use super::plot;
use super::report::{Report, Row};

/// Writes `laws.codes.csv`, `laws.bits.csv`, `laws.layers.csv` and the figures into `folder`, and
/// returns how many files that were. Everything is rendered before the first byte is written, and
/// each file appears whole or not at all.
pub(super) fn write(folder: &Path, report: &Report) -> Result<usize> {
    let mut files = vec![
        ("laws.codes.csv", csv(&report.codes)?),
        ("laws.bits.csv", csv(&report.bits)?),
        ("laws.layers.csv", csv(&report.layers)?),
    ];
    let figures = plot::figures(report)?;
    files.extend(figures.into_iter().map(|(name, svg)| (name, svg.into_bytes())));
    let folder_error = || format!("cannot create folder {}", folder.display());
    fs::create_dir_all(folder).into_diagnostic().wrap_err_with(folder_error)?;
    for (name, bytes) in &files {
        let path = folder.join(name);
        let error = || format!("cannot write {}", path.display());
        write_whole(folder, &path, bytes).into_diagnostic().wrap_err_with(error)?;
    }
    Ok(files.len())
}

fn csv<T: Serialize>(rows: &[Row<T>]) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        // The format knows structs side by side, but not one within the other.
        writer.serialize((&row.of, &row.reading)).into_diagnostic()?;
    }
    writer.into_inner().into_diagnostic()
}

/// Writes a neighbour and renames it: a reader sees the old file or the new one, never half of it.
fn write_whole(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Temporary files are private by default; these are meant to be read, as the umask allows.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
