//! `qtaml.rho`: the forecast of the gain of TAC before any simulation, against the measured gain.

mod measure;
mod present;
mod verdict;

use anyhow::Result;

use self::measure::measure;
use self::present::{figure, method, table};
use self::verdict::claim;
use crate::bench::TARGET;
use crate::context::Context;
use crate::results::Outcome;

const WIDTHS: [u32; 3] = [8, 6, 4];
const PROBABILITIES: [f64; 3] = [0.02, 0.05, 0.1];
/// Fault patterns behind each measured gain.
const PATTERNS: u32 = 20;
/// The share of predictions that noise may change: what is lost at 95 % of clean.
const DISAGREEMENT: f64 = 1.0 - TARGET;
const CLASSES: usize = 10;

/// Measures the claim on all networks.
pub fn run(context: &Context) -> Result<Outcome> {
    let measured = measure(context)?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: method(&measured),
        figures: vec![figure(&measured.cases)],
        tables: vec![table(&measured.cases)],
        ..Outcome::default()
    })
}

#[cfg(test)]
mod tests {
    use super::measure::{Case, Forecast};
    use crate::workloads::networks::Net;

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
