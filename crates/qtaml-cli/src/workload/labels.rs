//! Labels: the right class of each sample, from an array or a text.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use qtaml::deploy::UNLABELLED;
use qtaml::files::{NumpyValues, read_numpy};

/// Reads labels. -1 stands for a row that is not judged.
pub(super) fn read(path: &Path) -> Result<Vec<usize>> {
    let shown = path.display();
    let cannot = || format!("cannot read labels from {shown}");
    if path.extension().is_some_and(|extension| extension == "npy") {
        let arrays = read_numpy(path).with_context(cannot)?;
        let [(_, array)] = &arrays[..] else {
            bail!("{shown} is an archive of arrays: one is needed")
        };
        let NumpyValues::Integer(values) = &array.values else {
            bail!("the labels in {shown} are no integers");
        };
        return values
            .iter()
            .map(|&value| label(value))
            .collect::<Result<_>>()
            .with_context(cannot);
    }
    let text = std::fs::read_to_string(path).with_context(cannot)?;
    of_text(&text).with_context(cannot)
}

/// One number a line; empty lines are none.
fn of_text(text: &str) -> Result<Vec<usize>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let labels = lines.map(|(number, line)| {
        let value = line.trim().parse();
        let value = value.with_context(|| format!("line {} is {line:?}", number + 1))?;
        label(value).with_context(|| format!("line {}", number + 1))
    });
    let labels = labels.collect::<Result<Vec<_>>>()?;
    ensure!(!labels.is_empty(), "there is no label in it");
    Ok(labels)
}

fn label(value: i64) -> Result<usize> {
    match value {
        -1 => Ok(UNLABELLED),
        _ => usize::try_from(value).with_context(|| {
            format!("label {value} is no class: 0 and up, or -1 for a row that is not judged")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_label() {
        assert_eq!(of_text("3\n0\n\n-1\n").unwrap(), [3, 0, UNLABELLED]);
        for (text, named) in [("", "no label"), ("1\nx\n", "line 2 is \"x\""), ("-2", "label -2")] {
            let error = format!("{:#}", of_text(text).unwrap_err());
            assert!(error.contains(named), "{error}");
        }
    }
}
