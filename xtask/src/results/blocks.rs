//! Blocks of a page between two marks, filled with numbers of the committed run.

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use super::page::{markdown, ours, text};
use super::run::{APPENDIX, Claim, Kind, Run};
use crate::numbers::estimate;

/// The details of claims that blocks show.
pub(super) const DETAILS: [&str; 3] =
    ["flip_probability", "over_plain_uniform", "over_plain_uniform_interval"];

/// A block: its name, and what fills it.
type Block = (&'static str, fn(&Run) -> String);
const BLOCKS: [Block; 3] = [("run", tally), ("networks", networks), ("verdicts", verdicts)];

const BEGIN: &str = "<!-- results: begin ";
const END: &str = "<!-- results: end -->";

/// The page with every block filled anew.
///
/// # Errors
/// A block that nobody knows, or whose end is missing.
pub(super) fn filled(page: &str, run: Option<&Run>) -> Result<String> {
    let mut filled = String::new();
    let mut rest = page;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let Some((name, after)) = after.split_once(" -->") else {
            bail!("a mark `{BEGIN}NAME -->` is not closed");
        };
        let Some((old, after)) = after.split_once(END) else {
            bail!("block {name} has no end `{END}`");
        };
        ensure!(!old.contains(BEGIN), "block {name} has no end `{END}`");
        filled += &[before, BEGIN, name, " -->\n", &block(name, run)?, END].concat();
        rest = after;
    }
    ensure!(!rest.contains(END), "a mark `{END}` ends no block");
    Ok(filled + rest)
}

fn block(name: &str, run: Option<&Run>) -> Result<String> {
    let Some((_, fill)) = BLOCKS.iter().find(|(known, _)| *known == name) else {
        bail!("there is no block {name:?}, only {}", BLOCKS.map(|(known, _)| known).join(" and "));
    };
    Ok(run.map_or_else(
        || "\nNo run is committed yet.\n\n".into(),
        |run| format!("\n{}\n", fill(run)),
    ))
}

/// How many claims have which verdict, and of which run.
fn tally(run: &Run) -> String {
    let mut verdicts: Vec<(&str, usize)> = Vec::new();
    let claims = run.of_kind(Kind::Claim);
    for claim in &claims {
        match verdicts.iter_mut().find(|(verdict, _)| *verdict == claim.verdict) {
            Some((_, count)) => *count += 1,
            None => verdicts.push((&claim.verdict, 1)),
        }
    }
    let counts: Vec<String> = verdicts
        .iter()
        .map(|(verdict, count)| format!("{count} {}", verdict.replace('_', " ")))
        .collect();
    format!(
        "Of {} claims (profile `{}`, backend `{}`, seed {}, commit `{}`): {}.{}\n",
        claims.len(),
        run.profile,
        run.device,
        run.seed,
        run.commit,
        counts.join(", "),
        run.laws().map(|laws| format!(" {laws}")).unwrap_or_default(),
    )
}

/// Every claim with its value and verdict, then every law.
fn verdicts(run: &Run) -> String {
    let row = |claim: &Claim| {
        vec![
            format!("`{}`", claim.id),
            text(&claim.expected),
            text(&ours(claim)),
            claim.verdict.replace('_', " "),
        ]
    };
    let columns = ["claim", "expected", "measured", "verdict"].map(String::from);
    let table = |kind| markdown(&columns, run.of_kind(kind).into_iter().map(row));
    let laws =
        run.laws().map(|laws| format!("\n**{APPENDIX}.** {laws}\n\n{}", table(Kind::Consistency)));
    table(Kind::Claim) + &laws.unwrap_or_default()
}

/// What protection and storage the networks need.
fn networks(run: &Run) -> String {
    let nets: Vec<&str> =
        run.claims.iter().filter_map(|claim| claim.id.strip_prefix("qtaml.tac.")).collect();
    let row = |what: &str, family: &str, show: &dyn Fn(&Claim) -> Option<String>| {
        let cell = |net: &&str| {
            let claim = run.claim(&format!("{family}.{net}"));
            text(&claim.and_then(show).unwrap_or_default())
        };
        std::iter::once(what.to_owned()).chain(nets.iter().map(cell)).collect::<Vec<String>>()
    };
    let detail = |name: &'static str| move |claim: &Claim| detail(claim, name);
    let p = |claim: &Claim| claim.details["flip_probability"].as_f64().map(|p| p.to_string());
    let value = |claim: &Claim| Some(estimate(claim.measured, claim.interval));
    let in_words = |claim: &Claim| Some(ours(claim));
    let rows = [
        row("flip probability", "qtaml.tac", &p),
        row("TAC as derived: times less protection than Uniform-MSP", "qtaml.tac", &value),
        row(
            "TAC with all that is ours: than Uniform-MSP with the same decoder, ranges and repairs",
            "ours.tac",
            &value,
        ),
        row("the same, than Uniform-MSP without them", "ours.tac", &detail("over_plain_uniform")),
        row("copies and Bayes tables, everything counted", "ours.bayes", &in_words),
        row("codes that expect faults, everything counted", "ours.codec", &in_words),
    ];
    let columns: Vec<String> =
        std::iter::once("").chain(nets.iter().copied()).map(String::from).collect();
    let needs = "\nRecalibration is among what is ours: it needs images without labels, kept beside the weights, and a \
                 forward pass over them after every read. Statistics of another read are stale: every `ours.tac` says what \
                 they are worth.\n";
    markdown(&columns, rows.into_iter()) + needs
}

/// A detail of a claim with its interval.
fn detail(claim: &Claim, name: &str) -> Option<String> {
    let value = claim.details[name].as_f64()?;
    let ends = claim.details[format!("{name}_interval")].as_array()?;
    let [low, high] = [ends.first()?, ends.get(1)?].map(Value::as_f64);
    Some(estimate(value, [low?, high?]))
}

#[cfg(test)]
mod tests {
    use super::super::tests::fixture;
    use super::*;

    fn page(name: &str) -> String {
        format!("# Page\n{BEGIN}{name} -->\nold\n{END}\nmore\n")
    }

    #[test]
    fn a_block_is_filled_and_all_around_it_stays() {
        let new = filled(&page("run"), Some(&fixture())).expect("a known block");
        assert_eq!(
            new,
            format!(
                "# Page\n{BEGIN}run -->\n\nOf 4 claims (profile `quick`, backend `flex`, seed 42, commit `0123abc`): \
                 1 reproduced, 1 not reproduced, 1 contradicted, 1 new. Consistency: 1 of 1 laws holds.\n\n{END}\nmore\n"
            )
        );
        assert_eq!(filled(&new, Some(&fixture())).expect("as before"), new);
        let none = filled(&new, None).expect("a known block");
        assert!(none.contains("No run is committed yet."), "{none}");
        assert_eq!(filled(&none, Some(&fixture())).expect("as before"), new);
        assert_eq!(filled("no block", None).expect("nothing to fill"), "no block");
    }

    #[test]
    fn two_blocks_are_filled_each() {
        let both = filled(&(page("run") + &page("networks")), Some(&fixture())).expect("known");
        assert!(both.contains("Of 4 claims (") && both.contains("| flip probability |"), "{both}");
        assert!(!both.contains("\nold\n"), "{both}");
    }

    #[test]
    fn every_claim_has_its_verdict() {
        let table = verdicts(&fixture());
        assert!(
            table.contains("| `t0.table1` |") && table.contains("| not reproduced |"),
            "{table}"
        );
        let (claims, laws) = table.split_once(APPENDIX).expect("an appendix");
        assert!(!claims.contains("qtaml.drift") && laws.contains("| `qtaml.drift` |"), "{table}");
        assert_eq!(
            laws.matches("| `").count() + claims.matches("| `").count(),
            fixture().claims.len()
        );
        assert!(table.contains("\\] ratio |") && !table.contains("ratio ratio"), "{table}");
    }

    #[test]
    fn networks_show_their_numbers_with_intervals() {
        let mut run = fixture();
        run.claims[0].details = serde_json::json!({ "flip_probability": 0.1 });
        run.claims[2].id = "ours.tac.lenet".into();
        run.claims[2].details = serde_json::json!({ "over_plain_uniform": 1.85,
            "over_plain_uniform_interval": [1.8, 1.9] });
        let table = networks(&run);
        for line in [
            "|  | lenet | vgg |",
            "| flip probability | 0.1 |  |",
            "| TAC as derived: times less protection than Uniform-MSP | 4.18 \\[3.87, 4.51\\] | 4.18 \\[3.87, 4.51\\] |",
            "| the same, than Uniform-MSP without them | 1.850 \\[1.800, 1.900\\] |  |",
            "| copies and Bayes tables, everything counted | 4.18 \\[3.87, 4.51\\] ratio |  |",
        ] {
            assert!(table.lines().any(|of_table| of_table == line), "{line}\n{table}");
        }
    }

    #[test]
    fn marks_that_do_not_fit_are_named() {
        let error = |page: &str| filled(page, None).expect_err("a bad mark").to_string();
        assert!(error(&page("nets")).contains("\"nets\""), "{}", error(&page("nets")));
        assert!(error(&format!("{BEGIN}run -->")).contains("no end"));
        assert!(error(&format!("{BEGIN}run -->{}", page("run"))).contains("no end"));
        assert!(error(&format!("{BEGIN}run")).contains("not closed"));
        assert!(error(END).contains("ends no block"));
    }
}
