//! The files of a run: results, report, figures and tables.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::results::{Results, Section, Table, Value};
use crate::{findings, report, stopwatch};

/// Writes `results.json`, `report.html`, and per figure or table `<id>.csv` (and `<id>.svg`) into
/// `folder`, and returns the paths.
///
/// Everything is rendered before the first byte is written, and each file appears whole or not at
/// all. Other files in the folder stay as they are. `command` is the line that repeats the run.
///
/// # Errors
///
/// An id that cannot be a file name or occurs twice, a number or chart that cannot be written, or
/// a failing file system; the file is named.
pub fn write(
    folder: &Path,
    results: &Results,
    sections: &[Section],
    command: &str,
) -> Result<Vec<PathBuf>> {
    let files = render(results, sections, command)?;
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot create folder {}", folder.display()))?;
    files
        .into_iter()
        .map(|(name, bytes)| {
            let path = folder.join(name);
            qtaml::files::write(&path, &bytes)?;
            Ok(path)
        })
        .collect()
}

/// Names and contents of all files, `results.json` and `report.html` first.
fn render(
    results: &Results,
    sections: &[Section],
    command: &str,
) -> Result<Vec<(String, Vec<u8>)>> {
    let mut data = Vec::new();
    if let Some(figure) = findings::figure(&results.claims) {
        data.push((
            format!("{}.svg", figure.id),
            figure.picture.to_svg(&figure.title)?.into_bytes(),
        ));
    }
    for outcome in sections.iter().map(|section| &section.outcome) {
        for figure in &outcome.figures {
            let stem = stem(&figure.id)?;
            data.push((format!("{stem}.svg"), figure.picture.to_svg(&figure.title)?.into_bytes()));
            data.push((format!("{stem}.csv"), csv(&figure.to_table())?));
        }
        for table in outcome.all_tables() {
            data.push((format!("{}.csv", stem(&table.id)?), csv(table)?));
        }
    }
    data.push(("times.csv".into(), csv(&stopwatch::table(sections))?));
    let mut seen = HashSet::new();
    for (name, _) in &data {
        ensure!(seen.insert(name), "two figures or tables would both write {name}");
    }
    let names: Vec<&str> = ["results.json", "report.html"]
        .into_iter()
        .chain(data.iter().map(|(name, _)| name.as_str()))
        .collect();
    let report = report::page(results, sections, command, &names)?;
    let mut files = vec![
        ("results.json".into(), results.to_json()?.into_bytes()),
        ("report.html".into(), report.into_bytes()),
    ];
    files.append(&mut data);
    Ok(files)
}

/// An id that is a portable file name on every system.
fn stem(id: &str) -> Result<&str> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    ensure!(
        id.starts_with(|c: char| c.is_ascii_alphanumeric()) && id.chars().all(allowed),
        "id {id:?} names files: allowed are a-z, 0-9, '.', '_' and '-', a letter or digit first"
    );
    Ok(id)
}

fn csv(table: &Table) -> Result<Vec<u8>> {
    let render = || -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&table.columns)?;
        for row in &table.rows {
            writer.write_record(row.iter().map(exact))?;
        }
        Ok(writer.into_inner()?)
    };
    render().with_context(|| format!("table {} does not fit CSV", table.id))
}

/// Every digit of a cell: what is read back is the same number.
fn exact(value: &Value) -> String {
    match value {
        Value::Integer(integer) => integer.to_string(),
        // The debug form keeps 1e-18 short.
        Value::Number(number) => format!("{number:?}"),
        Value::Text(text) => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::sample;

    const FILES: [&str; 8] = [
        "results.json",
        "report.html",
        "findings.svg",
        "qtaml.tac.lenet-budget.svg",
        "qtaml.tac.lenet-budget.csv",
        "qtaml.tac.budgets.csv",
        "qtaml.tac.trials.csv",
        "times.csv",
    ];

    fn error(results: &Results, sections: &[Section]) -> String {
        render(results, sections, "").err().map(|error| format!("{error:#}")).unwrap_or_default()
    }

    #[test]
    fn a_run_leaves_exactly_its_files_and_strangers_alone() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let folder = folder.path().join("new/reproduce");
        let write = || write(&folder, &sample::results(), &[sample::section()], "cargo run");
        assert_eq!(write()?, FILES.map(|name| folder.join(name)));
        fs::write(folder.join("earlier.csv"), "1")?;
        fs::write(folder.join("results.json"), "old")?;
        write()?;
        assert_eq!(fs::read_dir(&folder)?.count(), FILES.len() + 1, "no temporary file stays");
        let json = fs::read_to_string(folder.join("results.json"))?;
        assert_eq!(serde_json::from_str::<Results>(&json)?, sample::results());
        assert_eq!(fs::read_to_string(folder.join("earlier.csv"))?, "1");
        Ok(())
    }

    #[test]
    fn the_same_run_is_the_same_bytes() -> Result<()> {
        let render = || render(&sample::results(), &[sample::section()], "cargo run");
        assert_eq!(render()?, render()?);
        Ok(())
    }

    #[test]
    fn csv_keeps_every_digit_and_quotes_words() -> Result<()> {
        let table = Table {
            id: "t".into(),
            title: String::new(),
            columns: vec!["name".into(), "p [1]".into(), "n".into()],
            rows: vec![vec!["a, \"b\"".into(), 1e-18_f64.into(), 7_i64.into()]],
            in_report: false,
        };
        assert_eq!(csv(&table)?, b"name,p [1],n\n\"a, \"\"b\"\"\",1e-18,7\n");
        let third = exact(&(1.0 / 3.0_f64).into());
        assert_eq!(third.parse::<f64>()?.to_bits(), (1.0 / 3.0_f64).to_bits());
        Ok(())
    }

    #[test]
    fn a_short_row_is_refused_by_name() {
        let mut section = sample::section();
        section.outcome.tables[0].rows[0].pop();
        let error = error(&sample::results(), &[section]);
        assert!(error.contains("table qtaml.tac.budgets does not fit CSV"), "{error}");
    }

    #[test]
    fn ids_that_are_no_file_names_or_not_unique_are_refused() {
        for id in ["", "../x", "a/b", "A", "ξ", ".hidden", "a b"] {
            let mut section = sample::section();
            section.outcome.tables[0].id = id.into();
            let error = error(&sample::results(), &[section]);
            assert!(error.starts_with(&format!("id {id:?} names files")), "{error}");
        }
        let twice = error(&sample::results(), &[sample::section(), sample::section()]);
        assert!(twice.contains("both write qtaml.tac.lenet-budget.svg"), "{twice}");
    }

    #[test]
    fn a_failing_file_system_names_the_path() -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        let folder = file.path().join("below-a-file");
        let error = write(&folder, &sample::results(), &[], "").err();
        let error = error.map(|error| format!("{error:#}")).unwrap_or_default();
        assert!(
            error.starts_with(&format!("cannot create folder {}", folder.display())),
            "{error}"
        );
        Ok(())
    }
}
