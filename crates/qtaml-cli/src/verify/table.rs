//! The tables of a report on the terminal.

use qtaml::fault::{Ecc, QuantizedChannel};

use super::report::{LayerMean, Outcome, Quantity, Reading, Report, Row, StoredCode, Verdict};
use crate::number::{grouped, readable, rounded};
use crate::printable::printable;
use crate::table::table;

/// How many codes stand for all of them.
const WORST: usize = 5;

/// The whole report.
pub(super) fn text(report: &Report, channel: &QuantizedChannel, all_codes: bool) -> String {
    let mut parts = vec![header(report, channel)];
    if !report.bits.is_empty() {
        parts.push(bits(report));
    }
    parts.push(layers(report));
    parts.push(codes(report, all_codes));
    let unjudged = report.layers.iter().filter(|row| !row.reading.judged).count();
    if unjudged > 0 && report.outcome.verdict != Verdict::NotJudged {
        parts.push(format!(
            "z in parentheses: {unjudged} scores of layers rest on too few flips and are not judged"
        ));
    }
    parts.push(verdict(report));
    parts.join("\n\n") + "\n"
}

/// A row for each of several flip probabilities.
pub(super) fn summary(reports: &[Report]) -> String {
    let header = ["p", "verdict", "largest |z|", "bound", "of scores", "worst"];
    let rows = reports.iter().map(|report| {
        let Outcome { verdict, largest_z, worst, scores, bound, .. } = &report.outcome;
        let verdict = match verdict {
            Verdict::Holds => "holds",
            Verdict::Contradicted => "CONTRADICTED",
            Verdict::NotJudged => "not judged",
        };
        let p = report.flips.to_string();
        let p = p.strip_prefix("p = ").unwrap_or(&p).to_owned();
        let scores = grouped(*scores as u64);
        let numbers = [format!("{largest_z:.2}"), format!("{bound:.2}"), scores];
        [p, verdict.into()].into_iter().chain(numbers).chain([worst.clone()]).collect()
    });
    let table = table(header, 2, rows);
    let unjudged = reports.iter().filter(|report| report.outcome.verdict == Verdict::NotJudged);
    let needed = unjudged.map(|report| report.outcome.trials_needed).fold(0.0, f64::max);
    let remedy = if needed > 0.0 {
        format!("\nnot judged: too few reads of the rarest flips; {}", enough(needed))
    } else {
        String::new()
    };
    let run = reports.first().map(|report| {
        let reads = grouped(report.trials);
        format!("{}, seed {}, {reads} reads per code\n\n", report.format, report.seed.0)
    });
    format!("{}{table}\n{remedy}", run.unwrap_or_default()).trim_end().to_owned() + "\n"
}

/// The run and what is expected of it, in words.
fn header(report: &Report, channel: &QuantizedChannel) -> String {
    let protected = match report.protected_bits.as_slice() {
        [] => String::new(),
        [bit] => format!(", bit {bit} protected"),
        bits => {
            let bits: Vec<_> = bits.iter().rev().map(u32::to_string).collect();
            format!(", bits {} protected", bits.join(", "))
        }
    };
    let (by, counted) = match report.ecc {
        Ecc::Ideal => (String::new(), ""),
        code => (
            format!(" by {code}"),
            "\none word of each code word is counted: those are independent",
        ),
    };
    let words = || channel.bits().words();
    let drift = range(words().map(|word| channel.drift(word)));
    let deviation = range(words().map(|word| channel.variance(word).sqrt()));
    format!(
        "{}, {}{protected}{by}, seed {}, {} reads per code{counted}\n\
         closed forms of a code: mean error {drift}, standard deviation {deviation}, in steps",
        report.format,
        report.flips,
        report.seed.0,
        grouped(report.trials)
    )
}

/// Smallest and largest of some values, one number if they read the same.
fn range(values: impl Iterator<Item = f64>) -> String {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    let (low, high) = (readable(low), readable(high));
    if low == high { low } else { format!("{low} to {high}") }
}

fn bits(report: &Report) -> String {
    let header = ["bit", "stored", "p", "measured", "s.e.", "z", "share of variance"];
    let rows = report.bits.iter().map(|row| {
        let of = &row.of;
        // A bit owns its share whatever it stores: it is said once.
        let share =
            if of.stored == 0 { format!("{:.3} %", 100.0 * of.share) } else { String::new() };
        let id = [of.bit.to_string(), of.stored.to_string()];
        id.into_iter().chain(cells(&row.reading)).chain([share]).collect()
    });
    format!("Flips of each bit, over all codes\n{}", table(header, 0, rows))
}

fn layers(report: &Report) -> String {
    let header = ["layer", "error", "expected", "measured", "s.e.", "z"];
    let source = match &report.weights {
        Some(path) => format!("Layers of {}", printable(path)),
        None => "Three synthetic layers; --weights MODEL takes your own".into(),
    };
    let units =
        "In steps of the code, and [w] in units of the weights; below a name, weights x passes";
    let rows = report.layers.chunks(2).flat_map(layer);
    format!("{source}\n{units}\n{}", table(header, 1, rows))
}

/// Mean and variance of one layer, in steps and in weights; its name and how it was read beside.
fn layer(rows: &[Row<LayerMean>]) -> Vec<Vec<String>> {
    let in_steps = rows.iter().map(|row| {
        let error = short(row.reading.quantity).to_owned();
        [error].into_iter().chain(cells(&row.reading)).collect()
    });
    let in_weights = rows.iter().map(|row| {
        let unit = if row.reading.quantity == Quantity::Variance { "w²" } else { "w" };
        let error = format!("{} [{unit}]", short(row.reading.quantity));
        let of = &row.of;
        let standard_error = readable(rounded(of.weight_standard_error, 2));
        vec![error, readable(of.weight_expected), readable(of.weight_sampled), standard_error]
    });
    let lines: Vec<Vec<String>> = in_steps.chain(in_weights).collect();
    let id = rows.first().map(|Row { of, .. }| {
        let reads = format!("{} x {}", grouped(of.weights as u64), grouped(of.passes.into()));
        [of.layer.clone(), reads]
    });
    let id = id.into_iter().flatten().chain(std::iter::repeat(String::new()));
    id.zip(lines).map(|(id, line)| [id].into_iter().chain(line).collect()).collect()
}

fn codes(report: &Report, all: bool) -> String {
    let header = ["code", "word", "error", "expected", "measured", "s.e.", "z"];
    let mut shown: Vec<&Row<StoredCode>> = report.codes.iter().collect();
    let title = if all {
        format!("All {} words, in steps of the code", report.codes.len() / 2)
    } else {
        shown.sort_by(|a, b| b.reading.z.abs().total_cmp(&a.reading.z.abs()));
        shown.truncate(WORST);
        let (words, shown) = (report.codes.len() / 2, shown.len());
        format!("The {shown} largest |z| among the means and variances of {words} words, in steps")
    };
    let width = report.format.bits().get() as usize;
    let rows = shown.into_iter().map(|row| {
        let word = format!("{:0width$b}", row.of.word);
        let id = [row.of.code.to_string(), word, short(row.reading.quantity).into()];
        id.into_iter().chain(cells(&row.reading)).collect()
    });
    format!("{title}\n{}", table(header, 0, rows))
}

fn verdict(report: &Report) -> String {
    let Outcome { largest_z, worst, scores, beyond_bound, bound, false_alarm, .. } =
        &report.outcome;
    let worst = printable(worst);
    let seen = format!(
        "largest |z| {largest_z:.2} of {} scores, bound {bound:.2} (false alarm {false_alarm:?})",
        grouped(*scores as u64)
    );
    match report.outcome.verdict {
        Verdict::Holds => format!("{seen}: the closed forms hold"),
        Verdict::Contradicted if *beyond_bound == 1 => {
            format!("{seen}: the closed forms are CONTRADICTED by the {worst}")
        }
        Verdict::Contradicted => {
            let others = beyond_bound - 1;
            format!("{seen}: the closed forms are CONTRADICTED by the {worst} and {others} more")
        }
        Verdict::NotJudged => not_judged(report),
    }
}

fn not_judged(report: &Report) -> String {
    let needed = report.outcome.trials_needed;
    let remedy = enough(needed);
    let times = needed / report.trials as f64;
    let remedy = if needed <= super::MOST_TRIALS as f64 {
        format!("{remedy}, {} times as many", readable(times))
    } else {
        remedy
    };
    format!(
        "not judged: {} reads per code see too few of the rarest flips for their scores to be \
         normal; {remedy}",
        grouped(report.trials)
    )
}

/// How many reads would do.
fn enough(needed: f64) -> String {
    if needed <= super::MOST_TRIALS as f64 {
        format!("--trials {needed} would do")
    } else {
        format!("{needed:.1e} would be needed, more than can be drawn")
    }
}

/// A quantity in a column of its own.
const fn short(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::MeanError => "mean",
        Quantity::Variance => "variance",
        Quantity::FlipProbability => "p",
    }
}

/// Closed form, sample, standard error and score; a score that is not judged stands in parentheses.
fn cells(reading: &Reading) -> [String; 4] {
    let z = format!("{:.2}", reading.z);
    let z = if reading.judged { z } else { format!("({z})") };
    let error = readable(rounded(reading.standard_error, 2));
    [readable(reading.expected), readable(reading.sampled), error, z]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_one_value_is_that_value() {
        assert_eq!(range([-1.0, 2.0].into_iter()), "-1 to 2");
        assert_eq!(range([2.0, 2.0].into_iter()), "2");
    }
}
