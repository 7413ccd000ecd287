//! `cargo xtask walk`: the commands of docs/your-model.md, done, and what they print written below them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::workspace::{built, root};

/// The page.
const PAGE: &str = "docs/your-model.md";
/// Pictures of the page, and what the commands leave them as.
const PICTURES: [(&str, &str); 2] =
    [("report/evaluate.svg", "evaluate.svg"), ("plan/frontier.svg", "plan.svg")];

/// Does all commands of the page in a folder of their own, and writes the page anew.
///
/// # Errors
/// A command that fails, or a page whose blocks do not pair.
pub(crate) fn run() -> Result<()> {
    let page = root().join(PAGE);
    let text = fs::read_to_string(&page).with_context(|| format!("cannot read {PAGE}"))?;
    let folder = root().join("target/walk");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(folder.join("examples"))?;
    for name in ["digits.onnx", "digits.npz", "digits.labels.npy"] {
        fs::copy(root().join("examples").join(name), folder.join("examples").join(name))?;
    }
    let program = built("qtaml-cli", "qtaml")?;
    let told = |line: &str| {
        eprintln!("$ {line}");
        done(line, &program, &folder)
    };
    fs::write(&page, with_output(&text, told)?)?;
    for (from, to) in PICTURES {
        fs::copy(folder.join(from), root().join("docs/images").join(to))
            .with_context(|| format!("the walk left no {from}"))?;
    }
    Ok(())
}

/// What a command prints.
fn done(line: &str, program: &Path, folder: &Path) -> Result<String> {
    let words =
        line.strip_prefix("qtaml ").with_context(|| format!("{line} is no qtaml command"))?;
    let output =
        Command::new(program).args(words.split_whitespace()).current_dir(folder).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{line}: {}\n{errors}", output.status);
    let lines = String::from_utf8(output.stdout)?;
    Ok(lines.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n"))
}

/// The page with the output of each `console` block in the `text` block that follows it.
fn with_output(page: &str, told: impl Fn(&str) -> Result<String>) -> Result<String> {
    let mut text = String::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once("```console\n") {
        let (commands, after) =
            after.split_once("```\n").context("a console block does not end")?;
        write!(text, "{before}```console\n{commands}```\n")?;
        let printed = commands.lines().filter_map(|line| line.strip_prefix("$ ")).map(&told);
        let printed = printed.collect::<Result<String>>()?;
        let (between, after) =
            after.split_once("```text\n").context("a console block has no text block behind it")?;
        ensure!(between.trim().is_empty(), "between a console block and its text is {between:?}");
        let (_, after) = after.split_once("```\n").context("a text block does not end")?;
        write!(text, "{between}```text\n{printed}```\n")?;
        rest = after;
    }
    Ok(text + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_lies_behind_its_command() {
        let page = "a\n```console\n$ qtaml x\n```\n\n```text\nold\n```\nb\n";
        let new = with_output(page, |line| Ok(format!("<{line}>\n"))).expect("the page is whole");
        assert_eq!(new, "a\n```console\n$ qtaml x\n```\n\n```text\n<qtaml x>\n```\nb\n");
        let torn = with_output("```console\n$ qtaml x\n```\nb\n", |_| Ok(String::new()));
        assert!(torn.is_err());
    }

    #[test]
    fn every_command_of_the_page_is_one_of_ours() {
        let page = fs::read_to_string(root().join(PAGE)).expect("it is there");
        let commands = std::cell::Cell::new(0);
        let counted = |line: &str| {
            assert!(line.starts_with("qtaml "), "{line}");
            commands.set(commands.get() + 1);
            Ok(String::new())
        };
        with_output(&page, counted).expect("blocks pair");
        assert!(commands.get() >= 4);
    }
}
