//! The claims, one folder each, in the order of the report.
//!
//! `measure` makes numbers, `verdict` judges them by the stated rule, and `present` makes prose, figures
//! and tables of them and measures nothing.

#![allow(
    clippy::missing_errors_doc,
    reason = "every experiment fails as its context does: interrupted, or a unit of work failed"
)]

pub mod ours;
pub mod physics;
pub mod qtaml;
pub mod t0;

use anyhow::Result;

use crate::context::Context;
use crate::results::Outcome;
use crate::workloads::networks::Net;

/// One experiment: what it is called and how it is run.
pub struct Experiment {
    /// The id of its claim.
    pub id: String,
    /// The heading of its section.
    pub title: String,
    measure: Measure,
}

impl Experiment {
    /// Measures it.
    pub fn run(&self, context: &Context) -> Result<Outcome> {
        match self.measure {
            Measure::Once(run) => run(context),
            Measure::Net(run, net) => run(context, net),
        }
    }
}

#[derive(Clone, Copy)]
enum Measure {
    Once(fn(&Context) -> Result<Outcome>),
    Net(fn(&Context, Net) -> Result<Outcome>, Net),
}

/// A claim that is measured once, or of each of some networks, with its id and title. The name of the
/// network follows both.
enum Claim {
    Once(&'static str, &'static str, fn(&Context) -> Result<Outcome>),
    Nets(&'static str, &'static str, &'static [Net], fn(&Context, Net) -> Result<Outcome>),
}

use Claim::{Nets, Once};

const CLAIMS: [Claim; 28] = [
    Once("physics.wkb_exact", "What WKB is worth", physics::wkb_exact::run),
    Once("physics.decade", "From oxide to flip probability", physics::decade::run),
    Once("qtaml.drift", "The mean drifts affinely", qtaml::drift::run),
    Once("qtaml.variance", "The top bit owns the variance", qtaml::variance::run),
    Once("qtaml.layer", "Where the first-order model of the layers ends", qtaml::layer::run),
    Once("qtaml.gaussian", "Does the structure of faults matter?", qtaml::gaussian::run),
    Once("ours.real_ecc", "What a kept bit costs", ours::real_ecc::run),
    Nets("qtaml.tac", "TAC as derived, on", &Net::ALL, qtaml::tac::run),
    Once("qtaml.reading", "Which reading of the source gives its numbers?", qtaml::reading::run),
    Once("qtaml.width", "Do wider networks gain more?", qtaml::width::run),
    Once("qtaml.mean_correction", "What the mean correction is worth", qtaml::mean_correction::run),
    Once("qtaml.rho", "The gain, forecast", qtaml::rho::run),
    Once("qtaml.codesign", "From the oxide to the accuracy", qtaml::codesign::run),
    Nets("ours.tac", "TAC with all that is ours, on", &Net::ALL, ours::tac::run),
    Nets("qtaml.score", "Scores on", &Net::ALL, qtaml::score::run),
    // A row of its own: the table of a family is of the five.
    Nets("qtaml.score", "Scores on", &[Net::HETEROGENEOUS], qtaml::score::run),
    Nets("ours.bayes", "Everything stored counted, on", &Net::ALL, ours::bayes::run),
    Once("ours.opta", "How far from Shannon's bound", ours::opta::run),
    Nets("ours.codec", "Codes that expect faults, on", &Net::ALL, ours::codec::run),
    Once("t0.code", "Is the published code complete?", t0::code::run),
    Once("t0.precision_limit", "Is ξ a limit of precision?", t0::precision_limit::run),
    Once("t0.low_bits", "Are lower bits ignored?", t0::low_bits::run),
    Once("t0.table1", "Table 1 of T0-QAT, over many seeds", t0::table1::run),
    Once("t0.drop_law", "What noise costs a linear layer", t0::drop_law::run),
    Once("t0.significance", "Is the smaller drop more than luck?", t0::significance::run),
    Once("t0.noise_sweep", "How much ξ-scaled noise?", t0::noise_sweep::run),
    Nets(
        "t0.vision",
        "ξ-scaled noise and few bits, on",
        &[Net::LeNet, Net::ResNet, Net::Transformer],
        t0::vision::run,
    ),
    Once("t0.sota", "ξ-scaled noise beside the state of the art", t0::sota::run),
];

/// All experiments.
pub fn experiments() -> Vec<Experiment> {
    let of_claim = |claim: &Claim| -> Vec<Experiment> {
        match *claim {
            Once(id, title, run) => {
                let measure = Measure::Once(run);
                vec![Experiment { id: id.into(), title: title.into(), measure }]
            }
            Nets(id, title, nets, run) => {
                let of_net = |&net: &Net| Experiment {
                    id: format!("{id}.{}", net.id()),
                    title: format!("{title} {}", net.phrase()),
                    measure: Measure::Net(run, net),
                };
                nets.iter().map(of_net).collect()
            }
        }
    };
    CLAIMS.iter().flat_map(of_claim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::claim_ids;

    #[test]
    fn the_command_line_knows_every_experiment() {
        let ids: Vec<String> = experiments().into_iter().map(|experiment| experiment.id).collect();
        assert_eq!(ids, claim_ids());
    }

    #[test]
    fn titles_read_as_sentences_do() {
        let all = experiments();
        let title = |id: &str| all.iter().find(|e| e.id == id).map(|e| e.title.as_str());
        assert_eq!(title("qtaml.score.lenet"), Some("Scores on LeNet"));
        assert_eq!(title("qtaml.score.transformer"), Some("Scores on a transformer"));
    }
}
