//! Method, figures and tables of the overhead of codes.

use qtaml::fault::ecc::{EccCode, least_overhead};
use qtaml_chart::{Axis, Chart, Mark, Point, Rule, Series};

use super::measure::{Measured, Shown, Simulated};
use super::verdict::interval;
use super::{FEWEST_FAILURES, IN_TABLE, KEPT, PROTECTED, WEIGHT_BITS};
use crate::results::{Figure, Table, Value};
use crate::workloads::reference_cell::SOURCE_P;

pub(super) fn method() -> Vec<String> {
    vec![
        "Words of random data are encoded, every stored bit, check bits included, flips with \
         probability p, and the real decoders run: majority, SEC-DED by syndrome, BCH by \
         Berlekamp-Massey and Chien search. The residual is the share of data bits that are wrong \
         afterwards; words that cannot be corrected are handed on as read. Intervals are over \
         words, whose errors come together."
            .into(),
        "Lines are computed, not fitted. Repetition: the binomial tail. Parity, SEC-DED and short \
         BCH codes: all error patterns, counted by weight and syndrome. Longer BCH codes: the \
         closed form for a decoder that detects what it cannot correct, which they nearly always \
         do; for codes of full length the truth is between 2/3 of it and twice it."
            .into(),
        format!(
            "The claim searches repetition up to 31 copies, SEC-DED of 4 to 64 bits, and every \
             binary primitive BCH code of length 7 to 1023 with every shortening, for the least \
             overhead that leaves at most {KEPT:e} by these computations; the code it finds is then \
             simulated, and more than five standard errors between the two would speak against the \
             claim. Concatenated, LDPC and polar codes are not among them: they come nearer \
             to the limit, with words of thousands of bits and decoders of another kind."
        ),
        "Shannon limit: with capacity C = 1 - H2(p) per stored bit, a residual r needs at least \
         (1 - H2(r)) / C - 1 extra stored bits per bit. Stored bits per weight are those of INT8 \
         with the two top bits, or all eight, in the code."
            .into(),
    ]
}

pub(super) fn sweep_figure(codes: &[Shown]) -> Figure {
    let shown: Vec<&Shown> =
        codes.iter().filter(|c| !matches!(c.spec, EccCode::Parity { .. })).collect();
    let curve =
        |code: &&Shown| Series::new(&code.spec.to_string(), Mark::Line, code.curve.iter().copied());
    let mut series: Vec<Series> = shown.iter().map(curve).collect();
    let enough =
        |seen: &&Simulated| seen.tally.detected + seen.tally.miscorrected >= FEWEST_FAILURES;
    let point = |Simulated { p, tally, .. }: &Simulated| {
        Point::from((*p, tally.residual().bit_flips, interval(tally)))
    };
    let seen = shown.iter().flat_map(|code| &code.simulated).filter(enough).map(point);
    series.push(Series::new("simulated", Mark::Points, seen));
    Figure {
        id: "ours.real_ecc.residual".into(),
        title: "What real codes leave of the flips".into(),
        caption: format!(
            "Lines are computed, points simulated with 95 % intervals, where at least \
             {FEWEST_FAILURES} words failed. A strong code is a cliff: nothing is left on one side \
             of it, and nothing is gained on the other. At p = {SOURCE_P} a word of (72, 64) \
             SEC-DED, which corrects one error, meets seven."
        ),
        picture: Chart {
            x: Axis::log10("raw flip probability", ""),
            y: Axis::log10("residual flip probability", "").between(1e-8, 1.0),
            series,
            rules: vec![Rule::horizontal(KEPT, "kept")],
        }
        .into(),
    }
}

pub(super) fn price_figure(measured: &Measured) -> Figure {
    let Measured { codes, best, repetitions, flips, .. } = measured;
    let flips = *flips;
    let limit = (0..=150).map(|i| {
        let residual = SOURCE_P * 10_f64.powf(-f64::from(i) / 25.0);
        (least_overhead(flips, residual), residual)
    });
    let kind = |name: &str, of: fn(&EccCode) -> bool| {
        let codes = codes.iter().filter(|code| of(&code.spec));
        Series::new(name, Mark::Points, codes.map(|code| (code.overhead, code.at_source)))
    };
    Figure {
        id: "ours.real_ecc.price".into(),
        title: format!("The price of a kept bit at p = {SOURCE_P}"),
        caption:
            "Extra stored bits per data bit, and what they leave. No code can lie to the left \
                  of the Shannon limit. Ideal protection would cost nothing extra and leave \
                  nothing."
                .into(),
        picture: Chart {
            x: Axis::linear("extra stored bits per bit", ""),
            y: Axis::log10("residual flip probability", ""),
            series: vec![
                Series::new("Shannon limit", Mark::Line, limit),
                Series::new("repetition", Mark::LinePoints, repetitions.iter().copied()),
                kind("SEC-DED", |spec| matches!(spec, EccCode::SecDed { .. })),
                kind("BCH", |spec| matches!(spec, EccCode::Bch { .. })),
                Series::new(
                    &format!("cheapest that keeps: {}", best.spec),
                    Mark::Points,
                    [(best.overhead, best.residual)],
                ),
            ],
            rules: vec![
                Rule::vertical(least_overhead(flips, 0.0), "nothing lost"),
                Rule::horizontal(KEPT, "kept"),
            ],
        }
        .into(),
    }
}

pub(super) fn weight_figure(prices: &[(f64, f64, f64)]) -> Figure {
    let series = PROTECTED.iter().flat_map(|&protected| {
        let kept = if protected == WEIGHT_BITS { "all bits" } else { "top two bits" };
        let stored = |overhead: f64| WEIGHT_BITS + protected * overhead;
        let real = prices.iter().map(|(p, real, _)| (*p, stored(*real)));
        let limit = prices.iter().map(|(p, _, limit)| (*p, stored(*limit)));
        [
            Series::new(&format!("{kept}, cheapest code"), Mark::Line, real),
            Series::new(&format!("{kept}, Shannon limit"), Mark::Line, limit),
        ]
    });
    Figure {
        id: "ours.real_ecc.weight".into(),
        title: format!("Stored bits per INT8 weight, for a residual of {KEPT:e}"),
        caption: "The cheapest code of ours at each raw flip probability, by computation, \
                  and what the best code possible would take."
            .into(),
        picture: Chart {
            x: Axis::log10("raw flip probability", ""),
            y: Axis::log10("stored bits per weight", "").between(7.0, 200.0),
            series: series.collect(),
            rules: vec![],
        }
        .into(),
    }
}

pub(super) fn table(codes: &[Shown]) -> Table {
    let row = |code: &Shown| {
        let mut row: Vec<Value> = vec![
            code.spec.to_string().as_str().into(),
            format!("({}, {})", code.stored_bits, code.data_bits).as_str().into(),
            code.overhead.into(),
        ];
        row.extend(PROTECTED.map(|protected| (WEIGHT_BITS + protected * code.overhead).into()));
        row.extend(code.in_table.map(Value::from));
        row
    };
    let columns = ["code", "(n, k)", "extra bits/bit", "bits/weight, top 2", "bits/weight, all 8"];
    let residuals = IN_TABLE.map(|p| format!("residual at {p:?}"));
    Table {
        id: "ours.real_ecc.codes".into(),
        title: "Real codes: what they store, and what they leave (computed)".into(),
        columns: columns.into_iter().map(String::from).chain(residuals).collect(),
        rows: codes.iter().map(row).collect(),
        in_report: true,
    }
}

pub(super) fn tallies(codes: &[Shown]) -> Table {
    let rows = codes.iter().flat_map(|code| {
        code.simulated.iter().map(|Simulated { p, computed, tally }| -> Vec<Value> {
            let [low, high] = interval(tally);
            let counts = [tally.clean, tally.corrected, tally.detected, tally.miscorrected];
            let numbers = [*p, *computed, tally.residual().bit_flips, low, high].map(Value::from);
            let counts = counts.map(|count| Value::from(count as i64));
            std::iter::once(code.spec.to_string().into()).chain(numbers).chain(counts).collect()
        })
    });
    let columns = [
        "code",
        "p",
        "residual, computed",
        "residual, simulated",
        "95 % from",
        "to",
        "clean words",
        "corrected",
        "detected",
        "miscorrected",
    ];
    Table {
        id: "ours.real_ecc.tallies".into(),
        title: "Every simulation".into(),
        columns: columns.map(String::from).to_vec(),
        rows: rows.collect(),
        in_report: false,
    }
}
