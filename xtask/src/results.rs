//! `cargo xtask docs`: the pages and tables of the documentation, made of the results of a run.
//!
//! `docs/results.json` is a copy of what a run left as `results.json`. All numbers of results in the
//! documentation follow from it: `docs/results.md`, and the blocks between two marks of `README.md`.

mod blocks;
mod page;
mod run;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde_json::Value;

use self::run::Run;
use crate::workspace::root;

/// The committed results, which everything is made of.
const DATA: &str = "docs/results.json";
/// The page of all results.
const PAGE: &str = "docs/results.md";
/// The pages with blocks.
const WITH_BLOCKS: [&str; 2] = ["README.md", "docs/sources.md"];
/// Pictures of README.md, and the figures of a run that they are.
const PICTURES: [(&str, &str); 2] = [
    ("findings.svg", "docs/images/findings.svg"),
    ("ours.tac.resnet.budget.svg", "docs/images/budget.svg"),
];
/// How large the committed results may be; larger ones are committed without the claims' details.
const LARGEST: usize = 300_000;

/// Write docs/results.md, and the tables and pictures of README.md, from the results of a run
#[derive(Debug, Args)]
pub(crate) struct DocsArgs {
    /// The `results.json` of a run, to be kept as docs/results.json; without it, that file is used
    ///
    /// Those of more runs take the place of single claims: what was done once more with more trainings.
    #[arg(value_name = "RESULTS.json")]
    results: Vec<PathBuf>,
}

/// Keeps the results of a run, if one is named, and writes all that is made of them.
///
/// # Errors
/// Results that cannot be read or are none, a page with wrong marks, or files that cannot be written.
pub(crate) fn run(args: &DocsArgs) -> Result<()> {
    if let Some((path, others)) = args.results.split_first() {
        let mut whole = results_in(path)?;
        for other in others {
            replace(&mut whole, &results_in(other)?)
                .with_context(|| other.display().to_string())?;
        }
        let text = serde_json::to_string_pretty(&whole)?;
        let kept = committed(&text).with_context(|| path.display().to_string())?;
        write(DATA, &kept)?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        for (figure, picture) in PICTURES {
            let figure = folder.join(figure);
            // A run of some claims has not all figures.
            if figure.exists() {
                fs::copy(&figure, root().join(picture))
                    .with_context(|| format!("cannot copy {}", figure.display()))?;
            }
        }
    }
    for (path, text) in pages(read()?.as_ref())? {
        if fs::read_to_string(root().join(path)).ok().as_ref() != Some(&text) {
            write(path, &text)?;
        }
    }
    Ok(())
}

/// The results of a run.
fn results_in(path: &Path) -> Result<Value> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Run::parse(&text).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// Puts the claims and experiments of another run in place of those of the same name, and says so.
///
/// # Errors
/// One that has no place.
fn replace(whole: &mut Value, other: &Value) -> Result<()> {
    let mut replaced = BTreeSet::new();
    for list in ["claims", "experiments"] {
        for item in other[list].as_array().into_iter().flatten() {
            let id = item["id"].as_str().context("an item without id")?;
            let mut places = whole[list].as_array_mut().into_iter().flatten();
            let place = places.find(|place| place["id"] == *id);
            *place.with_context(|| format!("the first run has no {id} among its {list}"))? =
                item.clone();
            replaced.insert(format!("`{id}`"));
        }
    }
    let before =
        whole["other_runs"].as_str().map(|before| format!("{before}; ")).unwrap_or_default();
    whole["other_runs"] = format!(
        "{before}{} of a run of their own with more trainings, of commit `{}`",
        replaced.into_iter().collect::<Vec<_>>().join(", "),
        other["commit"].as_str().unwrap_or("unknown"),
    )
    .into();
    Ok(())
}

/// The rule of `cargo xtask tidy`: all pages are what this program makes of the committed results.
pub(crate) fn violations() -> Vec<String> {
    let is_old = |(path, text): &(&str, String)| {
        fs::read_to_string(root().join(path)).ok().as_ref() != Some(text)
    };
    match read().and_then(|run| pages(run.as_ref())) {
        Ok(pages) => pages
            .into_iter()
            .filter(is_old)
            .map(|(path, _)| format!("{path} is not what {DATA} says: cargo xtask docs"))
            .collect(),
        Err(error) => vec![format!("{error:#}")],
    }
}

/// The committed results, if there are any yet.
fn read() -> Result<Option<Run>> {
    let path = root().join(DATA);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {DATA}"))?;
    Run::parse(&text).context(DATA).map(Some)
}

/// All pages with their texts.
fn pages(run: Option<&Run>) -> Result<Vec<(&'static str, String)>> {
    let mut pages = vec![(PAGE, page::rendered(run))];
    for path in WITH_BLOCKS {
        let old =
            fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {path}"))?;
        pages.push((path, blocks::filled(&old, run).context(path)?));
    }
    Ok(pages)
}

fn write(path: &str, text: &str) -> Result<()> {
    fs::write(root().join(Path::new(path)), text).with_context(|| format!("cannot write {path}"))
}

/// What is committed of a run's results: a copy, or, if that is too large, all but the claims' details.
///
/// # Errors
/// A text that holds no results, those of a smoke run, and what is too large even so.
fn committed(text: &str) -> Result<String> {
    let run = Run::parse(text)?;
    ensure!(run.profile != "smoke", "these are the numbers of a smoke run, which are no results");
    if text.len() <= LARGEST {
        return Ok(text.to_owned());
    }
    let mut results: serde_json::Value = serde_json::from_str(text)?;
    for claim in results["claims"].as_array_mut().into_iter().flatten() {
        let Some(claim) = claim.as_object_mut() else { bail!("a claim is no object") };
        let told = claim.get_mut("details").and_then(serde_json::Value::as_object_mut);
        if let Some(details) = told {
            details.retain(|name, _| blocks::DETAILS.contains(&name.as_str()));
        }
    }
    results["reduced"] = format!(
        "details of claims that no page shows are left out, as the whole is {} bytes",
        text.len()
    )
    .into();
    let reduced = serde_json::to_string_pretty(&results)?;
    ensure!(
        reduced.len() <= LARGEST,
        "{} bytes without the details of claims, but {DATA} may have {LARGEST}",
        reduced.len()
    );
    Ok(reduced)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The results of a small run. The experiment runner has a test that it would write them so.
    pub(super) const FIXTURE: &str = include_str!("results/fixture.json");

    pub(super) fn fixture() -> Run {
        Run::parse(FIXTURE).expect("the fixture holds results")
    }

    #[test]
    fn the_results_of_a_run_are_kept_as_they_are() {
        assert_eq!(committed(FIXTURE).expect("it is small"), FIXTURE);
    }

    #[test]
    fn the_numbers_of_a_smoke_run_are_no_results() {
        let smoke = FIXTURE.replacen("\"quick\"", "\"smoke\"", 1);
        let error = committed(&smoke).expect_err("a smoke run");
        assert!(error.to_string().contains("smoke run"), "{error}");
        let error = committed("{}").expect_err("no results");
        assert!(format!("{error:#}").contains("schema"), "{error:#}");
    }

    #[test]
    fn large_results_lose_the_details_that_no_page_shows_and_say_so() {
        let mut results: serde_json::Value = serde_json::from_str(FIXTURE).expect("it is JSON");
        results["claims"][0]["details"] =
            serde_json::json!({ "raw": "x".repeat(LARGEST), "over_plain_uniform": 1.85 });
        let text = serde_json::to_string(&results).expect("it is JSON");
        let kept = committed(&text).expect("the rest is small");
        let kept: serde_json::Value = serde_json::from_str(&kept).expect("it is JSON");
        assert_eq!(kept["claims"][0]["details"], serde_json::json!({ "over_plain_uniform": 1.85 }));
        assert!(kept["reduced"].as_str().is_some_and(|why| why.contains("left out")), "{kept}");

        results["claims"][0]["details"] = serde_json::Value::Null;
        results["claims"][0]["statement"] = "x".repeat(LARGEST).into();
        let text = serde_json::to_string(&results).expect("it is JSON");
        let error = committed(&text).expect_err("nothing more can be left out");
        assert!(error.to_string().contains("300000"), "{error}");
    }

    #[test]
    fn claims_of_another_run_take_their_places_and_are_named() {
        let parsed = || serde_json::from_str::<Value>(FIXTURE).expect("it is JSON");
        let (mut whole, mut other) = (parsed(), parsed());
        let id = whole["claims"][1]["id"].as_str().expect("an id").to_owned();
        let one = other["claims"][1].take();
        other["claims"] = serde_json::json!([one]);
        other["claims"][0]["n"] = 33.into();
        other["experiments"] = serde_json::json!([]);
        replace(&mut whole, &other).expect("the claim has a place");
        other["claims"][0]["id"] = "t0.none".into();
        let error = replace(&mut parsed(), &other).expect_err("no such claim").to_string();
        assert_eq!(error, "the first run has no t0.none among its claims");
        assert_eq!(whole["claims"][1]["n"], 33);
        assert_eq!(whole["claims"][0], parsed()["claims"][0]);
        let told = whole["other_runs"].as_str().expect("it is said");
        assert!(told.starts_with(&format!("`{id}` of a run of their own")), "{told}");
        let run = Run::parse(&whole.to_string()).expect("still results");
        assert!(page::rendered(Some(&run)).contains("Not of this run: `"));
    }

    #[test]
    fn all_pages_can_be_made_with_a_run_and_without() -> Result<()> {
        for run in [None, Some(fixture())] {
            let pages = pages(run.as_ref())?;
            assert_eq!(
                pages.iter().map(|(path, _)| *path).collect::<Vec<_>>(),
                [PAGE, "README.md", "docs/sources.md"]
            );
        }
        Ok(())
    }
}
