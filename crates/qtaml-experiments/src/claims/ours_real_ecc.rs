//! `ours.real_ecc`: what real codes ask for a kept bit, beside what ideal protection counts.

use anyhow::{Context as _, Result};
use qtaml::fault::ecc::{
    Bch, Code, EccCode, ErrorWeights, Repetition, Tally, capacity, least_overhead, simulate,
};
use qtaml::physics::FlipProbability;
use qtaml_chart::{Axis, Chart, Mark, Point, Rule, Series};
use serde_json::json;

use super::physics_decade::SOURCE_P;
use crate::context::Context;
use crate::results::{Claim, Figure, Outcome, Source, Table, Value, Verdict};

/// What is shown of each kind, from the cheapest to the strongest.
const CODES: [&str; 10] = [
    "parity:8",
    "secded:64",
    "secded:8",
    "bch:6:5",
    "bch:7:10",
    "repetition:3",
    "bch:4:2",
    "bch:8:42",
    "repetition:5",
    "repetition:9",
];
/// Raw flip probabilities.
const SWEEP: [f64; 9] = [1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.05, 0.1, 0.2];
/// Stored bits that each simulation is made of.
const BITS: usize = 1 << 21;
/// Failed words below which a simulated point says too little to be drawn.
const FEWEST_FAILURES: u64 = 10;
/// The residual flip rate that counts as kept (ours): a round value.
const KEPT: f64 = 1e-3;
/// Bits of a weight, and how many of them are protected in the two schemes that are compared.
const WEIGHT_BITS: f64 = 8.0;
const PROTECTED: [f64; 2] = [2.0, 8.0];

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let codes: Vec<Measured> =
        CODES.iter().map(|name| Measured::new(context, name.parse()?)).collect::<Result<_>>()?;
    let all = all_codes()?;
    let flips = FlipProbability::symmetric(SOURCE_P)?;
    let best = cheapest(&all, flips)?;
    let tally = simulated(context, best.spec, SOURCE_P, context.size(BITS << 3, BITS >> 7))?;
    Ok(Outcome {
        claims: vec![claim(&best, &tally, flips)],
        method: method(),
        figures: vec![
            sweep_figure(&codes)?,
            price_figure(&codes, &best, flips)?,
            weight_figure(&all)?,
        ],
        tables: vec![table(&codes)?, tallies(&codes)?],
    })
}

/// A code, its law and what was simulated, along the sweep.
struct Measured {
    spec: EccCode,
    code: Box<dyn Code>,
    law: Law,
    tallies: Vec<(f64, Tally)>,
}

impl Measured {
    fn new(context: &Context, spec: EccCode) -> Result<Self> {
        let task = context.progress.task(&format!("simulating {spec}"), SWEEP.len() as u64);
        let tally = |p: f64| {
            let tally = simulated(context, spec, p, context.size(BITS, BITS >> 7))?;
            task.tick(1);
            Ok((p, tally))
        };
        let tallies = SWEEP.into_iter().map(tally).collect::<Result<_>>()?;
        Ok(Self { spec, code: spec.build()?, law: Law::new(spec)?, tallies })
    }

    fn residual(&self, p: f64) -> Result<f64> {
        self.law.residual(FlipProbability::symmetric(p)?)
    }
}

/// Simulates as many words as `bits` stored bits make: long words take longer.
fn simulated(context: &Context, spec: EccCode, p: f64, bits: usize) -> Result<Tally> {
    let code = spec.build()?;
    let words = bits.div_ceil(code.stored_bits()) as u64;
    let name = format!("ours.real_ecc/{spec}/{p:?}");
    context.unit(&format!("{name}/{words}"), || {
        Ok(simulate(&*code, FlipProbability::symmetric(p)?, context.seed, &name, words)?)
    })
}

/// The residual flip probability of a code by computation.
enum Law {
    Majority(Repetition),
    Counted(ErrorWeights),
    /// Too long to count: as if it detected everything that it cannot correct.
    Detecting(Bch),
}

impl Law {
    fn new(spec: EccCode) -> Result<Self> {
        if let EccCode::Repetition { copies } = spec {
            return Ok(Self::Majority(Repetition::new(copies)?));
        }
        match (ErrorWeights::of(&*spec.build()?), spec) {
            (Ok(weights), _) => Ok(Self::Counted(weights)),
            (Err(_), EccCode::Bch { m, t, data: None }) => Ok(Self::Detecting(Bch::new(m, t)?)),
            (Err(error), _) => Err(error.into()),
        }
    }

    fn residual(&self, flips: FlipProbability) -> Result<f64> {
        Ok(match self {
            Self::Majority(code) => code.after_majority(flips).p01(),
            Self::Counted(weights) => weights.residual(flips)?.bit_flips,
            Self::Detecting(code) => code.flips_left(flips)?,
        })
    }
}

/// A code that keeps its bits, and at what price.
#[derive(Clone, Copy)]
struct Offer {
    spec: EccCode,
    overhead: f64,
    residual: f64,
}

/// Every kind of code to choose from.
struct AllCodes {
    repetitions: Vec<Repetition>,
    counted: Vec<(EccCode, f64, ErrorWeights)>,
    /// With its m.
    bch: Vec<(u32, Bch)>,
}

fn all_codes() -> Result<AllCodes> {
    let repetitions = (1..=31).step_by(2).map(Repetition::new).collect::<Result<_, _>>()?;
    let counted = [4, 8, 16, 32, 64].map(|data| {
        let spec = EccCode::SecDed { data };
        let code = spec.build()?;
        Ok((spec, code.overhead(), ErrorWeights::of(&*code)?))
    });
    let mut bch = Vec::new();
    for m in 3..=10 {
        let mut t = 1;
        while let Ok(code) = Bch::new(m, t) {
            t = code.errors() + 1;
            bch.push((m, code));
        }
    }
    Ok(AllCodes { repetitions, counted: counted.into_iter().collect::<Result<_>>()?, bch })
}

/// The code with the least overhead that leaves no more than [`KEPT`].
fn cheapest(all: &AllCodes, flips: FlipProbability) -> Result<Offer> {
    let mut offers = Vec::new();
    for code in &all.repetitions {
        let spec = EccCode::Repetition { copies: code.stored_bits() };
        let residual = code.after_majority(flips).p01();
        offers.push(Offer { spec, overhead: code.overhead(), residual });
    }
    for (spec, overhead, weights) in &all.counted {
        let residual = weights.residual(flips)?.bit_flips;
        offers.push(Offer { spec: *spec, overhead: *overhead, residual });
    }
    for (m, code) in &all.bch {
        offers.extend(longest(*m, code, flips)?);
    }
    let kept = offers.into_iter().filter(|offer| offer.residual <= KEPT);
    kept.min_by(|a, b| a.overhead.total_cmp(&b.overhead)).context("no code is strong enough")
}

/// A BCH code shortened no more than it takes: fewer bits, fewer errors, but more overhead.
fn longest(m: u32, code: &Bch, flips: FlipProbability) -> Result<Option<Offer>> {
    let (mut kept, mut lost) = (0, code.data_bits() + 1);
    let mut best = None;
    while lost - kept > 1 {
        let data = usize::midpoint(kept, lost);
        let short = code.clone().shortened(data)?;
        let residual = short.flips_left(flips)?;
        if residual <= KEPT {
            kept = data;
            let spec = EccCode::Bch { m, t: code.errors(), data: Some(data) };
            best = Some(Offer { spec, overhead: short.overhead(), residual });
        } else {
            lost = data;
        }
    }
    Ok(best)
}

fn interval(tally: &Tally) -> [f64; 2] {
    let (seen, half) = (tally.residual().bit_flips, 1.96 * tally.standard_error());
    [(seen - half).max(0.0), seen + half]
}

/// Whether what was simulated is what the law says, by five standard errors.
fn obeyed(best: &Offer, tally: &Tally) -> bool {
    (tally.residual().bit_flips - best.residual).abs() <= 5.0 * tally.standard_error()
}

fn claim(best: &Offer, tally: &Tally, flips: FlipProbability) -> Claim {
    let limit = least_overhead(flips, 0.0);
    Claim {
        id: "ours.real_ecc".into(),
        source: Source::Ours,
        statement: format!(
            "Protection is not free: at p = {SOURCE_P} a bit that is to flip no more than once in \
             a thousand reads costs several extra stored bits with a real code, and with no code \
             less than the Shannon limit."
        ),
        expected: format!("above {limit:.2} (Shannon limit)"),
        measured: best.overhead,
        unit: "bits/bit".into(),
        interval: [best.overhead; 2],
        n: tally.words(),
        // A price found with a law that the code does not obey would be no price.
        verdict: if obeyed(best, tally) { Verdict::New } else { Verdict::NotReproduced },
        details: json!({
            "code": best.spec, "p": SOURCE_P, "largest_residual": KEPT,
            "residual_by_formula": best.residual,
            "residual_simulated": tally.residual().bit_flips,
            "residual_simulated_interval": interval(tally),
            "words": { "clean": tally.clean, "corrected": tally.corrected,
                "detected": tally.detected, "miscorrected": tally.miscorrected },
            "capacity_bits": capacity(flips),
            "shannon_limit_nothing_lost": limit,
            "shannon_limit_same_residual": least_overhead(flips, KEPT),
            "times_the_shannon_limit": best.overhead / limit,
            "stored_bits_per_weight": {
                "top_2_protected": WEIGHT_BITS + 2.0 * best.overhead,
                "all_8_protected": WEIGHT_BITS + 8.0 * best.overhead,
            },
        }),
    }
}

fn method() -> Vec<String> {
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

fn sweep_figure(codes: &[Measured]) -> Result<Figure> {
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
fn grid(from: f64, to: f64) -> impl Iterator<Item = f64> {
    (0..=40).map(move |i| from * (to / from).powf(f64::from(i) / 40.0))
}

fn price_figure(codes: &[Measured], best: &Offer, flips: FlipProbability) -> Result<Figure> {
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

fn weight_figure(all: &AllCodes) -> Result<Figure> {
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

fn table(codes: &[Measured]) -> Result<Table> {
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

fn tallies(codes: &[Measured]) -> Result<Table> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing in reach was overlooked: one more data bit, and the code no longer keeps its bits.
    #[test]
    fn the_cheapest_code_keeps_its_bits_and_the_next_longer_one_does_not() {
        let flips = FlipProbability::symmetric(SOURCE_P).unwrap();
        let best = cheapest(&all_codes().unwrap(), flips).unwrap();
        assert!(best.residual <= KEPT && best.overhead > least_overhead(flips, KEPT));
        let EccCode::Bch { m, t, data: Some(data) } = best.spec else { panic!("{}", best.spec) };
        let longer = Bch::new(m, t).unwrap().shortened(data + 1).unwrap();
        assert!(longer.flips_left(flips).unwrap() > KEPT);
    }

    #[test]
    fn where_flips_are_rare_enough_nothing_has_to_be_bought() {
        let rare = FlipProbability::symmetric(KEPT / 2.0).unwrap();
        let best = cheapest(&all_codes().unwrap(), rare).unwrap();
        assert_eq!((best.spec, best.overhead), (EccCode::Repetition { copies: 1 }, 0.0));
    }
}
