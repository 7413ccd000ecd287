//! Method, figures and tables of the overhead of codes.

use anyhow::Result;
use qtaml::fault::ecc::{Code, EccCode, Repetition, Tally, least_overhead};
use qtaml::physics::FlipProbability;
use qtaml_chart::{Axis, Chart, Mark, Point, Rule, Series};

use super::measure::{AllCodes, Measured, Offer, cheapest};
use super::verdict::interval;
use super::{FEWEST_FAILURES, KEPT, PROTECTED, WEIGHT_BITS};
use crate::claims::physics::decade::SOURCE_P;
use crate::results::{Figure, Table, Value};

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
             overhead that leaves at most {KEPT:e} by these laws; the code it finds is then \
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

pub(super) fn sweep_figure(codes: &[Measured]) -> Result<Figure> {
    let shown: Vec<&Measured> =
        codes.iter().filter(|c| !matches!(c.spec, EccCode::Parity { .. })).collect();
    let mut series = Vec::new();
    for code in &shown {
        let points: Result<Vec<_>> = grid(1e-4, 0.2).map(|p| Ok((p, code.residual(p)?))).collect();
        series.push(Series::new(&code.spec.to_string(), Mark::Line, points?));
    }
    let seen = shown.iter().flat_map(|code| &code.tallies);
    let enough = seen.filter(|(_, tally)| tally.detected + tally.miscorrected >= FEWEST_FAILURES);
    let point =
        |(p, tally): &(f64, Tally)| Point::from((*p, tally.residual().bit_flips, interval(tally)));
    series.push(Series::new("simulated", Mark::Points, enough.map(point)));
    Ok(Figure {
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
    })
}

/// Flip probabilities at equal factors.
pub(super) fn grid(from: f64, to: f64) -> impl Iterator<Item = f64> {
    (0..=40).map(move |i| from * (to / from).powf(f64::from(i) / 40.0))
}

pub(super) fn price_figure(
    codes: &[Measured],
    best: &Offer,
    flips: FlipProbability,
) -> Result<Figure> {
    let limit = (0..=150).map(|i| {
        let residual = SOURCE_P * 10_f64.powf(-f64::from(i) / 25.0);
        (least_overhead(flips, residual), residual)
    });
    let kind = |name: &str, of: fn(&EccCode) -> bool| -> Result<Series> {
        let codes = codes.iter().filter(|c| of(&c.spec));
        let points = codes.map(|c| Ok((c.code.overhead(), c.residual(SOURCE_P)?)));
        Ok(Series::new(name, Mark::Points, points.collect::<Result<Vec<_>>>()?))
    };
    let mut repetitions = Vec::new();
    for copies in (1..=11).step_by(2) {
        let code = Repetition::new(copies)?;
        repetitions.push((code.overhead(), code.after_majority(flips).p01()));
    }
    Ok(Figure {
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
                Series::new("repetition", Mark::LinePoints, repetitions),
                kind("SEC-DED", |spec| matches!(spec, EccCode::SecDed { .. }))?,
                kind("BCH", |spec| matches!(spec, EccCode::Bch { .. }))?,
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
    })
}

pub(super) fn weight_figure(all: &AllCodes) -> Result<Figure> {
    let price = |p: f64| {
        let flips = FlipProbability::symmetric(p)?;
        Ok((p, cheapest(all, flips)?.overhead, least_overhead(flips, KEPT)))
    };
    let prices: Vec<(f64, f64, f64)> = grid(KEPT, 0.2).map(price).collect::<Result<_>>()?;
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
    Ok(Figure {
        id: "ours.real_ecc.weight".into(),
        title: format!("Stored bits per INT8 weight, for a residual of {KEPT:e}"),
        caption: "The cheapest code of ours at each raw flip probability, by the computed laws, \
                  and what the best code possible would take."
            .into(),
        picture: Chart {
            x: Axis::log10("raw flip probability", ""),
            y: Axis::log10("stored bits per weight", "").between(7.0, 200.0),
            series: series.collect(),
            rules: vec![],
        }
        .into(),
    })
}

pub(super) fn table(codes: &[Measured]) -> Result<Table> {
    let shown = [1e-4, 1e-3, 0.01, 0.1, 0.2];
    let row = |c: &Measured| {
        let (k, n, overhead) = (c.code.data_bits(), c.code.stored_bits(), c.code.overhead());
        let mut row: Vec<Value> = vec![
            c.spec.to_string().as_str().into(),
            format!("({n}, {k})").as_str().into(),
            overhead.into(),
        ];
        row.extend(PROTECTED.map(|protected| (WEIGHT_BITS + protected * overhead).into()));
        for p in shown {
            row.push(c.residual(p)?.into());
        }
        Ok(row)
    };
    let columns = ["code", "(n, k)", "extra bits/bit", "bits/weight, top 2", "bits/weight, all 8"];
    let residuals = shown.map(|p| format!("residual at {p:?}"));
    Ok(Table {
        id: "ours.real_ecc.codes".into(),
        title: "Real codes: what they store, and what they leave (computed)".into(),
        columns: columns.into_iter().map(String::from).chain(residuals).collect(),
        rows: codes.iter().map(row).collect::<Result<_>>()?,
        in_report: true,
    })
}

pub(super) fn tallies(codes: &[Measured]) -> Result<Table> {
    let mut rows = Vec::new();
    for code in codes {
        for (p, tally) in &code.tallies {
            let [low, high] = interval(tally);
            let counts = [tally.clean, tally.corrected, tally.detected, tally.miscorrected];
            let mut row: Vec<Value> = vec![
                code.spec.to_string().as_str().into(),
                (*p).into(),
                code.residual(*p)?.into(),
                tally.residual().bit_flips.into(),
                low.into(),
                high.into(),
            ];
            row.extend(counts.map(|count| Value::from(count as i64)));
            rows.push(row);
        }
    }
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
    Ok(Table {
        id: "ours.real_ecc.tallies".into(),
        title: "Every simulation".into(),
        columns: columns.map(String::from).to_vec(),
        rows,
        in_report: false,
    })
}
