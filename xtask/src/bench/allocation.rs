//! The rows of `cargo xtask bench allocation`.

use comfy_table::{Table, presets};
use serde::Deserialize;

use super::{Goal, verdicts};

/// One line of the benchmark, as it prints it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Row {
    case: String,
    groups: usize,
    budget: f64,
    seconds: f64,
    gap: Option<f64>,
}

/// The optimum must not keep anyone waiting, whatever is decided about, nor must a plan.
pub(super) fn goals(row: &Row) -> Vec<Goal> {
    let within =
        |seconds: f64, text: &str| vec![Goal { text: text.into(), met: row.seconds <= seconds }];
    match (row.case.as_str(), row.groups) {
        ("exact, proven", 1000) => within(0.01, "<= 10 ms"),
        ("exact, proven", 1_000_000) => within(10.0, "<= 10 s"),
        // What took long and was not proven is no optimum.
        ("exact, unproven", _) => vec![Goal { text: "proven".into(), met: false }],
        (case, 1000) if case.starts_with("plan") && case.ends_with("top bits") => {
            within(1.0, "<= 1 s")
        }
        _ => Vec::new(),
    }
}

pub(super) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    let header = ["case", "groups", "budget", "ms", "gap", "goals"];
    table.load_preset(presets::ASCII_MARKDOWN).set_header(header);
    for row in rows {
        table.add_row([
            row.case.clone(),
            row.groups.to_string(),
            row.budget.to_string(),
            format!("{:.2}", 1e3 * row.seconds),
            row.gap.map_or_else(String::new, |gap| format!("{gap:.1e}")),
            verdicts(goals(row)),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(case: &str, groups: usize, seconds: f64) -> Row {
        Row { case: case.into(), groups, budget: 0.1, seconds, gap: Some(1e-9) }
    }

    #[test]
    fn optima_and_plans_are_judged() {
        let met = |case, groups, seconds| -> Vec<bool> {
            goals(&row(case, groups, seconds)).iter().map(|goal| goal.met).collect()
        };
        assert_eq!(met("exact, proven", 1000, 0.009), [true]);
        assert_eq!(met("exact, proven", 1000, 0.011), [false]);
        assert_eq!(met("exact, proven", 1_000_000, 11.0), [false]);
        assert_eq!(met("exact, unproven", 1000, 0.001), [false], "fast, but no optimum");
        assert_eq!(met("plan, bayes, top bits", 1000, 0.2), [true]);
        assert!(met("plan, bayes, any bits", 1000, 9.0).is_empty());
        assert!(met("greedy", 1000, 9.0).is_empty());
    }

    #[test]
    fn rows_are_read_and_shown() {
        let json = r#"[{"case": "greedy", "groups": 1000, "budget": 0.1, "seconds": 0.0007, "gap": 1e-9},
            {"case": "exact, proven", "groups": 1000, "budget": 0.1, "seconds": 0.02, "gap": null}]"#;
        let rows: Vec<Row> = serde_json::from_str(json).expect("two rows");
        assert_eq!(rows[0], row("greedy", 1000, 0.0007));
        let table = table(&rows).to_string();
        assert!(table.contains("0.70") && table.contains("1.0e-9"), "{table}");
        assert!(table.contains("<= 10 ms (MISSED)"), "{table}");
    }
}
