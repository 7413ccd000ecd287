//! `docs/results.md`: all claims, then the tables of each experiment, then times.

use std::fmt::Write as _;

use serde_json::Value;

use super::run::{APPENDIX, Claim, Experiment, Kind, Run, Seconds, Table};
use crate::numbers::{estimate, number};

const HEAD: &str = "# Results

<!-- Made by `cargo xtask docs` of docs/results.json. Changes by hand are lost. -->

What is measured and how it is judged: [reproduce.md](reproduce.md).
";

/// The page for the committed run.
pub(super) fn rendered(run: Option<&Run>) -> String {
    let Some(run) = run else {
        return format!(
            "{HEAD}\nThere is no run committed yet. `cargo xtask reproduce` makes one, and \
             `cargo xtask docs target/reproduce/results.json` this page.\n"
        );
    };
    let mut page = format!("{HEAD}\n{}\n## Claims\n\n{}", facts(run), claims(run, Kind::Claim));
    for experiment in &run.experiments {
        page.push_str(&section(run, experiment));
    }
    if let Some(laws) = run.laws() {
        let _ = write!(page, "\n## {APPENDIX}\n\n{laws}\n\n{}", claims(run, Kind::Consistency));
    }
    if !run.experiments.is_empty() {
        page.push_str(&times(&run.experiments));
    }
    page
}

/// Which run it is.
fn facts(run: &Run) -> String {
    let Run { profile, device, seed, version, commit, build, .. } = run;
    let mut facts = format!(
        "- Profile `{profile}`, backend `{device}`, seed {seed}, {:.0} minutes.\n\
         - qtaml {version}, commit `{commit}`{}.\n",
        run.seconds / 60.0,
        if build.is_empty() { String::new() } else { format!(", built of {build}") }
    );
    if run.taken > 0 {
        let _ = writeln!(
            facts,
            "- {} trainings are not of this run, but of docs/results/, where each names its commit.",
            grouped(run.taken)
        );
    }
    if let Some(others) = &run.other_runs {
        let _ = writeln!(facts, "- Not of this run: {others}.");
    }
    if let Some(reduced) = &run.reduced {
        let _ = writeln!(facts, "- In docs/results.json {reduced}.");
    }
    facts
}

/// All claims of a kind at a glance.
fn claims(run: &Run, kind: Kind) -> String {
    let told = |id: &str| run.experiments.iter().any(|experiment| experiment.id == id);
    let rows = run.of_kind(kind).into_iter().map(|claim| {
        let id = format!("`{}`", claim.id);
        vec![
            if told(&claim.id) { format!("[{id}](#{})", anchor(&claim.id)) } else { id },
            text(&claim.expected),
            text(&ours(claim)),
            grouped(claim.n),
            verdict(&claim.verdict),
        ]
    });
    let columns = ["claim", "source's value", "ours [95 % interval]", "n", "verdict"];
    markdown(&columns.map(String::from), rows)
}

/// Our value of a claim with its interval and unit.
pub(super) fn ours(claim: &Claim) -> String {
    let unit = if claim.unit == "1" { "" } else { &claim.unit };
    format!("{} {unit}", estimate(claim.measured, claim.interval)).trim_end().to_owned()
}

/// A verdict in words, with a symbol that tells it from the others.
fn verdict(verdict: &str) -> String {
    let symbol = match verdict {
        "reproduced" => "✓",
        "not_reproduced" => "✗",
        "contradicted" => "≠",
        "undecided" => "?",
        _ => "◆",
    };
    format!("{symbol} {}", verdict.replace('_', " "))
}

fn section(run: &Run, experiment: &Experiment) -> String {
    let mut section = format!("\n## `{}`\n\n{}.\n", experiment.id, text(&experiment.title));
    if let Some(claim) = run.claim(&experiment.id) {
        let _ = writeln!(section, "\n> {}", text(&claim.statement));
    }
    for Table { title, columns, rows } in &experiment.tables {
        let rows = rows.iter().map(|row| row.iter().map(cell).collect());
        let _ = write!(section, "\n**{}**\n\n{}", text(title), markdown(columns, rows));
    }
    section
}

/// The time of the run, experiment by experiment.
fn times(experiments: &[Experiment]) -> String {
    let sum =
        experiments.iter().fold(Seconds::default(), |sum, Experiment { seconds, .. }| Seconds {
            training: sum.training + seconds.training,
            sensitivity: sum.sensitivity + seconds.sensitivity,
            trials: sum.trials + seconds.trials,
            all: sum.all + seconds.all,
        });
    let row = |name: &str, seconds: Seconds| {
        let Seconds { training, sensitivity, trials, all } = seconds;
        let rest = (all - training - sensitivity - trials).max(0.0);
        let seconds = [training, sensitivity, trials, rest, all].map(|s| format!("{s:.1}"));
        std::iter::once(name.to_owned()).chain(seconds).collect::<Vec<String>>()
    };
    let rows = experiments.iter().map(|e| row(&format!("`{}`", e.id), e.seconds));
    let rows = std::iter::once(row("all", sum)).chain(rows);
    let columns = ["experiment", "training", "sensitivity", "trials", "rest", "all"];
    format!(
        "\n## Times\n\nSeconds by the clock, on the machine of this run. Networks are trained by the \
         first experiment that needs them; what an interrupted run had finished takes no time \
         again.\n\n{}",
        markdown(&columns.map(String::from), rows)
    )
}

/// A table in Markdown.
pub(super) fn markdown(columns: &[String], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let columns: Vec<String> = columns.iter().map(|column| text(column)).collect();
    let rule = vec!["---".to_owned(); columns.len()];
    let rows = rows.map(|row| line(&row));
    [line(&columns), line(&rule)].into_iter().chain(rows).collect()
}

/// A cell of a table of the run.
fn cell(value: &Value) -> String {
    match value {
        Value::Number(value) if value.is_f64() => value.as_f64().map(number).unwrap_or_default(),
        Value::Number(value) => value.to_string(),
        Value::String(words) => text(words),
        other => other.to_string(),
    }
}

/// Words of the run as words of a page: nothing in them is Markdown.
pub(super) fn text(words: &str) -> String {
    let mut text = String::new();
    for c in words.chars() {
        if "\\`*_|<>[]".contains(c) {
            text.push('\\');
        }
        text.push(if c == '\n' { ' ' } else { c });
    }
    text
}

/// The anchor of a heading that is an id, as GitHub makes it.
fn anchor(id: &str) -> String {
    id.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
}

/// An integer with commas.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::super::tests::fixture;
    use super::*;

    #[test]
    fn without_a_run_the_page_says_how_to_make_one() {
        let page = rendered(None);
        assert!(page.contains("no run committed yet"), "{page}");
        assert!(!page.contains("## "), "{page}");
    }

    #[test]
    fn the_page_has_the_claims_their_tables_and_the_times() {
        let page = rendered(Some(&fixture()));
        for line in [
            "- Profile `quick`, backend `flex`, seed 42, 7 minutes.",
            "- qtaml 0.1.0, commit `0123abc`, built of sources 4567def.",
            "| claim | source's value | ours \\[95 % interval\\] | n | verdict |",
            "| `t0.table1` | 3.4 to 33.6 | 4.18 \\[3.87, 4.51\\] ratio | 50 | ≠ contradicted |",
            "## Consistency: laws against sampled faults",
            "Consistency: 1 of 1 laws holds.",
            "## `qtaml.tac`",
            "Protection where it counts.",
            "**Budgets that reach 95 % of clean**",
            "| net | budget \\[%\\] | patterns |",
            "| lenet | 9.04 | 50 |",
            "| all | 0.0 | 0.0 | 0.0 | 0.0 | 0.0 |",
        ] {
            assert!(page.lines().any(|of_page| of_page == line), "{line}\n{page}");
        }
        assert!(!page.contains("Raw trials"), "they stay in their file");
        let (claims, laws) = page.split_once(APPENDIX).expect("an appendix");
        assert!(laws.contains("| `qtaml.drift` |") && !claims.contains("`qtaml.drift`"), "{page}");
    }

    #[test]
    fn a_claim_leads_to_its_section() {
        let mut run = fixture();
        run.experiments[0].id = "t0.drop_law".into();
        run.claims[0].id = "t0.drop_law".into();
        let page = rendered(Some(&run));
        assert!(page.contains("| [`t0.drop_law`](#t0drop_law) |"), "{page}");
        assert!(page.contains("\n> TAC reaches 95 % of clean accuracy"), "{page}");
    }

    #[test]
    fn words_stay_words_and_numbers_are_short() {
        assert_eq!(text("largest |z| <b>\n*x*"), "largest \\|z\\| \\<b\\> \\*x\\*");
        assert_eq!(cell(&serde_json::json!(0.123_456)), "0.1235");
        assert_eq!(cell(&serde_json::json!(123_456_789)), "123456789");
        assert_eq!(cell(&serde_json::json!("")), "");
        assert_eq!(["0", "999", "1,000", "335,544,320"], [0, 999, 1000, 335_544_320].map(grouped));
    }
}
