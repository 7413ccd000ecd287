//! `qtaml.rho`: does a ratio that is computed before any simulation predict the measured gain?

use anyhow::Result;
use qtaml::compensation::allocation::{Source as WaterSource, WaterFilling};
use qtaml::compensation::{bits_saved, noise_for_disagreement, rho_star, rho_star_exact};
use qtaml::quant::BitWidth;
use qtaml::train::{Classifier, Cost};
use qtaml_chart::{Axis, Chart, Mark, Rule, Series};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::networks::{Net, Trained, WithNet};
use super::tac::TARGET;
use super::tac::bench::Bench;
use super::tac::budget::crossing;
use super::tac::scheme::{Allocator, Scheme};
use crate::context::Context;
use crate::results::{Claim, Figure, Outcome, Source, Table, Value, Verdict};
use crate::stats::{bootstrap, spearman};

const WIDTHS: [u32; 3] = [8, 6, 4];
const PROBABILITIES: [f64; 3] = [0.02, 0.05, 0.1];
/// Fault patterns behind each measured gain.
const PATTERNS: u32 = 20;
/// The share of predictions that noise may change: what is lost at 95 % of clean.
const DISAGREEMENT: f64 = 1.0 - TARGET;
const CLASSES: usize = 10;

/// Measures the claim on all networks.
pub fn run(context: &Context) -> Result<Outcome> {
    let mut cases = Vec::new();
    for net in Net::ALL {
        cases.extend(net.with(context, Measure)?);
    }
    outcome(context, &cases)
}

struct Measure;

/// One network at one width and flip probability.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Case {
    net: String,
    bits: u32,
    p: f64,
    /// From the closed form of water-filling, and from exact curves.
    closed_form: Option<f64>,
    exact_curves: f64,
    /// The large-budget law of the coding gain.
    coding_gain: Option<f64>,
    measured: f64,
}

impl WithNet for Measure {
    type Out = Vec<Case>;

    fn run<M: Classifier>(self, context: &Context, trained: Trained<M>) -> Result<Vec<Case>> {
        let bench = Bench::new(context, trained)?;
        let noise = noise_for_disagreement(&bench.margins(), CLASSES, DISAGREEMENT)?;
        let (widths, ps) = if context.smoke {
            (&WIDTHS[..1], &PROBABILITIES[2..])
        } else {
            (&WIDTHS[..], &PROBABILITIES[..])
        };
        let steps = (widths.len() * ps.len()) as u64;
        let task = context.progress.task(&format!("{} ρ*", bench.net.id()), steps);
        let mut cases = Vec::new();
        for &bits in widths {
            for &p in ps {
                cases.extend(case(&bench, BitWidth::new(bits)?, p, noise)?);
                task.tick(1);
            }
        }
        Ok(cases)
    }
}

/// Nothing comes of a case in which no protection is needed, or all of it is too little: there is
/// no gain to predict.
fn case<M: Classifier>(
    bench: &Bench<'_, M>,
    bits: BitWidth,
    p: f64,
    noise: f64,
) -> Result<Option<Case>> {
    let tac = Scheme { bits, ..Scheme::tac() };
    let uniform = Scheme { allocator: Allocator::Uniform, ..tac.clone() };
    let [tac, uniform] = [tac, uniform].map(|scheme| bench.store(&scheme, p, Cost::Protected));
    let (tac, uniform) = (tac?, uniform?);
    let (optimal, alike) = (tac.path(), uniform.path());
    let unprotected = optimal.distortion(0);
    let least = optimal.distortion(optimal.len() - 1);
    if !(least < noise && noise < unprotected) {
        return Ok(None);
    }
    let target = TARGET * bench.test.accuracy(tac.network.golden());
    let patterns = PATTERNS.min(bench.patterns);
    let crossed = |stored| crossing(bench, stored, target, patterns);
    let (Some(of_uniform), Some(of_tac)) = (crossed(&uniform)?, crossed(&tac)?) else {
        return Ok(None);
    };
    let sources = tac.units.iter().zip(tac.network.units()).map(|(choices, unit)| WaterSource {
        score: choices[0].distortion,
        weights: unit.unit().range.len(),
    });
    let water = WaterFilling::new(&sources.collect::<Vec<_>>(), f64::from(bits.get()))?;
    let large = water.uniform_cost(noise).map(|uniform| uniform / (uniform - bits_saved(&water)));
    Ok(Some(Case {
        net: bench.net.id().into(),
        bits: bits.get(),
        p,
        closed_form: rho_star(&water, noise).ok(),
        exact_curves: rho_star_exact(&alike, &optimal, noise)?,
        // Beyond its range, where it turns negative, the law says nothing.
        coding_gain: large.ok().filter(|ratio| *ratio >= 1.0),
        measured: of_uniform / of_tac,
    }))
}

/// Predicted and measured gains, with their networks.
struct Forecast<'a>(Vec<(&'a str, f64, f64)>);

impl<'a> Forecast<'a> {
    fn new(cases: &'a [Case], predicted: impl Fn(&Case) -> Option<f64>) -> Self {
        let of = |case: &'a Case| Some((case.net.as_str(), predicted(case)?, case.measured));
        Self(cases.iter().filter_map(of).collect())
    }

    fn of(&self, net: Net) -> Vec<(&'a str, f64, f64)> {
        self.0.iter().filter(|(of, ..)| *of == net.id()).copied().collect()
    }

    /// Spearman's; 0 of so few or so equal cases that they have no order.
    fn correlation(&self) -> f64 {
        let (predicted, measured): (Vec<f64>, Vec<f64>) = self.0.iter().map(|c| (c.1, c.2)).unzip();
        spearman(&predicted, &measured).unwrap_or(0.0)
    }

    /// The factor by which a prediction is typically off.
    fn error(&self) -> f64 {
        let logs = self.0.iter().map(|(_, predicted, measured)| (predicted / measured).ln().abs());
        (logs.sum::<f64>() / self.0.len().max(1) as f64).exp()
    }
}

fn outcome(context: &Context, cases: &[Case]) -> Result<Outcome> {
    let exact = Forecast::new(cases, |case| Some(case.exact_curves));
    let closed_form = Forecast::new(cases, |case| case.closed_form);
    // Cases of one network are alike: whole networks are drawn again.
    let interval = bootstrap(Net::ALL.len(), 2000, context.seed, |drawn| {
        let of_net = |&net: &usize| closed_form.of(Net::ALL[net]);
        Ok(Forecast(drawn.iter().flat_map(of_net).collect()).correlation())
    })?;
    let claim = Claim {
        id: "qtaml.rho".into(),
        source: Source::Qtaml,
        statement:
            "A closed-form saturation ratio ρ*, computed before any simulation, forecasts by \
                    how much TAC needs less than Uniform-MSP."
                .into(),
        expected: "accurate forecasts, here: in order".into(),
        measured: closed_form.correlation(),
        unit: "rank correlation".into(),
        interval,
        n: Net::ALL.len() as u64,
        // Accuracy has no number in the abstract; ours is that the order is right.
        verdict: match () {
            () if interval[0] > 0.0 => Verdict::Reproduced,
            () if interval[1] < 0.0 => Verdict::Contradicted,
            () => Verdict::NotReproduced,
        },
        details: json!({
            "typical_factor": closed_form.error(),
            "exact_curves_correlation": exact.correlation(),
            "exact_curves_typical_factor": exact.error(),
            "disagreement": DISAGREEMENT,
            "patterns": PATTERNS,
            "cases": cases,
        }),
    };
    Ok(Outcome {
        claims: vec![claim],
        method: method(&closed_form, &exact),
        figures: vec![figure(cases)],
        tables: vec![table(cases)],
    })
}

fn method(closed_form: &Forecast<'_>, exact: &Forecast<'_>) -> Vec<String> {
    vec![
        format!(
            "The source says that its saturation ratio is closed-form and computed before any \
             simulation; the formula is not in its abstract, so this one is ours. ρ* is the budget at \
             which Uniform-MSP brings the predicted output noise down to τ, over that of TAC. τ is \
             the noise at which {:.0} % of the predictions would change: with normal noise of total \
             power τ over {CLASSES} scores, the two highest swap with probability Q(m / √(2τ/10)) \
             where m is their lead on a calibration image. No labels and no faults are involved. The \
             closed form is reverse water-filling over continuous bits: it needs the sizes, scores and \
             errors of the layers, and has an answer in {} cases.",
            100.0 * DISAGREEMENT,
            closed_form.0.len()
        ),
        format!(
            "Measured is the ratio of the budgets at which accuracy crosses 95 % of clean, each \
             between two steps of its path on the line through them, under {PATTERNS} fault patterns, \
             raw decoder, layer by layer. Predictions are typically off by a factor of {:.2}: the \
             ratio of budgets depends on τ, and the linear law that it rests on overrates large noise. \
             What is judged is the order of the cases; the interval is a bootstrap over the five \
             networks, as cases of one are alike, and rough, as five are few. Cases in which no bit or \
             every bit is needed are left out.",
            closed_form.error()
        ),
        format!(
            "With the exact error of every number of protected bits of every layer in place of the \
             closed form, the rank correlation over {} cases is {:.2}, and forecasts are typically off \
             by a factor of {:.2}.",
            exact.0.len(),
            exact.correlation(),
            exact.error()
        ),
    ]
}

fn figure(cases: &[Case]) -> Figure {
    let series = Net::ALL.map(|net| {
        let of_it = cases.iter().filter(|case| case.net == net.id());
        let points: Vec<(f64, f64)> =
            of_it.filter_map(|case| Some((case.closed_form?, case.measured))).collect();
        Series::new(net.title(), Mark::Points, points)
    });
    Figure {
        id: "qtaml.rho.forecast".into(),
        title: "Gain of TAC over Uniform-MSP, predicted and measured".into(),
        caption:
            "One point for each width and flip probability; on the line the prediction is exact."
                .into(),
        picture: Chart {
            x: Axis::log10("ρ*, predicted", ""),
            y: Axis::log10("ratio of budgets, measured", ""),
            series: series.to_vec(),
            rules: vec![Rule::diagonal("equal")],
        }
        .into(),
    }
}

fn table(cases: &[Case]) -> Table {
    let columns = [
        "network",
        "bits",
        "p",
        "ρ*, closed form",
        "ρ*, exact curves",
        "coding gain, large budgets",
        "measured",
    ];
    let optional = |value: Option<f64>| value.map_or(Value::Text(String::new()), Value::Number);
    let rows = cases.iter().map(|case| -> Vec<Value> {
        vec![
            case.net.as_str().into(),
            case.bits.into(),
            case.p.into(),
            optional(case.closed_form),
            case.exact_curves.into(),
            optional(case.coding_gain),
            case.measured.into(),
        ]
    });
    Table {
        id: "qtaml.rho.cases".into(),
        title: "Every case".into(),
        columns: columns.map(String::from).to_vec(),
        rows: rows.collect(),
        in_report: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forecasts of 2 for each measured gain.
    fn cases(measured: &[(&str, Option<f64>, f64)]) -> Vec<Case> {
        let case = |&(net, closed_form, measured): &(&str, Option<f64>, f64)| Case {
            net: net.into(),
            bits: 8,
            p: 0.1,
            closed_form,
            exact_curves: 2.0,
            coding_gain: None,
            measured,
        };
        measured.iter().map(case).collect()
    }

    #[test]
    fn a_forecast_is_judged_by_its_order_and_missing_ones_are_left_out() {
        let cases = cases(&[
            ("lenet", Some(1.5), 2.0),
            ("vgg", None, 9.0),
            ("vgg", Some(40.0), 3.0),
            ("resnet", Some(100.0), 4.0),
        ]);
        let closed_form = Forecast::new(&cases, |case| case.closed_form);
        assert_eq!(closed_form.0.len(), 3);
        assert!((closed_form.correlation() - 1.0).abs() < 1e-12);
        assert_eq!(closed_form.of(Net::Vgg), [("vgg", 40.0, 3.0)]);

        // Equal forecasts have no order, and are off by factors of 1, 4.5, 1.5 and 2.
        let constant = Forecast::new(&cases, |case| Some(case.exact_curves));
        assert!(constant.correlation().abs() < f64::EPSILON);
        assert!((constant.error() - 13.5_f64.powf(0.25)).abs() < 1e-12);
    }

    #[test]
    fn without_a_case_there_is_no_order_and_no_error() {
        let none = Forecast::new(&[], |case| case.closed_form);
        assert!(none.correlation().abs() < f64::EPSILON);
        assert!((none.error() - 1.0).abs() < f64::EPSILON);
    }
}
