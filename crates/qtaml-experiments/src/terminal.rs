//! The closing table on the terminal.

use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table};

use crate::findings::laws;
use crate::numbers::estimate;
use crate::results::{Claim, Kind, Results, Verdict};

/// A line below the header and nothing else, in the notation of `comfy_table`.
const HEADER_LINE: &str = "     ──            ";
/// Width of a terminal that does not tell.
const USUAL_WIDTH: u16 = 80;

/// Claim, source's value, ours with its 95 % interval, and the verdict; laws in a table of their own, below.
///
/// `width` is in characters; `None` asks the terminal. Colours are for terminals only.
pub fn closing_table(results: &Results, width: Option<u16>, colour: bool) -> String {
    let of = |kind: Kind| of_kind(&kind.of(&results.claims), width, colour);
    let appendix = |laws| format!("{}\n{}\n{laws}", Kind::APPENDIX, of(Kind::Consistency));
    let claims = Some(of(Kind::Claim)).filter(|_| !Kind::Claim.of(&results.claims).is_empty());
    let parts = [claims, laws(&results.claims).map(appendix)];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n\n")
}

fn of_kind(claims: &[&Claim], width: Option<u16>, colour: bool) -> String {
    let mut table = Table::new();
    let width = width.or_else(|| table.width()).unwrap_or(USUAL_WIDTH);
    table
        .load_preset(HEADER_LINE)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width)
        .set_header(["claim", "source's value", "ours [95 % interval]", "verdict"]);
    if colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    for claim in claims {
        table.add_row([
            Cell::new(&claim.id),
            Cell::new(&claim.expected),
            Cell::new(measured(claim)),
            verdict(claim.verdict),
        ]);
    }
    // Names and verdicts stay whole; values and their words may wrap.
    for index in [0, 3] {
        if let Some(column) = table.column_mut(index) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table.to_string()
}

fn verdict(verdict: Verdict) -> Cell {
    let cell = Cell::new(format!("{} {}", verdict.symbol(), verdict.label()));
    match verdict {
        Verdict::Reproduced => cell.fg(Color::Green),
        Verdict::NotReproduced => cell.fg(Color::Yellow),
        Verdict::Contradicted => cell.fg(Color::Red).add_attribute(Attribute::Bold),
        Verdict::Undecided => cell.add_attribute(Attribute::Dim),
        Verdict::New => cell.fg(Color::Cyan),
    }
}

/// Our value of a claim with its interval and unit.
pub fn measured(claim: &Claim) -> String {
    format!("{} {}", estimate(claim.measured, claim.interval), unit(claim)).trim_end().to_owned()
}

/// Unit of a claim as people write it: a pure number's "1" goes without saying.
pub fn unit(claim: &Claim) -> &str {
    if claim.unit == "1" { "" } else { &claim.unit }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::sample;

    #[test]
    fn the_table_names_every_claim_and_fits() {
        let results = sample::results();
        for width in [80, 200] {
            let table = closing_table(&results, Some(width), false);
            assert!(table.lines().all(|line| line.chars().count() <= width.into()), "{table}");
            assert!(results.claims.iter().all(|claim| table.contains(&claim.id)), "{table}");
            assert!(
                table.contains("✗ not reproduced") && table.contains("4.18 [3.87, 4.51] ratio")
            );
        }
    }

    #[test]
    fn laws_follow_all_claims() {
        let table = closing_table(&sample::results(), Some(80), false);
        let (claims, laws) = table.split_once(Kind::APPENDIX).unwrap_or_default();
        assert!(claims.contains("t0.table1") && !claims.contains("qtaml.drift"), "{table}");
        assert!(laws.contains("qtaml.drift") && laws.ends_with("1 of 1 laws holds."), "{table}");
    }

    #[test]
    fn colour_only_when_asked_for() {
        let escapes = |colour| closing_table(&sample::results(), Some(80), colour).contains('\x1b');
        assert!(escapes(true));
        assert!(!escapes(false));
    }
}
