//! The claims, one file each, in the order of the report.

#![allow(
    clippy::missing_errors_doc,
    reason = "every experiment fails as its context does: interrupted, or a unit of work failed"
)]

pub mod networks;
pub mod ours_bayes;
pub mod ours_codec;
pub mod ours_opta;
pub mod ours_real_ecc;
pub mod physics_decade;
pub mod physics_wkb_exact;
pub mod qat_nets;
pub mod qtaml_drift;
pub mod qtaml_layer;
pub mod qtaml_rho;
pub mod qtaml_score;
pub mod qtaml_variance;
pub mod regressions;
pub mod sampled_channel;
pub mod t0_drop_law;
pub mod t0_noise_sweep;
pub mod t0_significance;
pub mod t0_sota;
pub mod t0_table1;
pub mod t0_vision;
pub mod tac;

use anyhow::Result;

use self::networks::Net;
use crate::context::Context;
use crate::results::Outcome;

/// One experiment: what it is called and how it is run.
pub struct Experiment {
    /// The id of its claim.
    pub id: &'static str,
    /// The heading of its section.
    pub title: &'static str,
    /// Measures it.
    pub run: fn(&Context) -> Result<Outcome>,
}

/// All experiments.
pub const EXPERIMENTS: [Experiment; 36] = [
    Experiment { id: "physics.wkb_exact", title: "What WKB is worth", run: physics_wkb_exact::run },
    Experiment {
        id: "physics.decade",
        title: "From oxide to flip probability",
        run: physics_decade::run,
    },
    Experiment { id: "qtaml.drift", title: "The mean drifts affinely", run: qtaml_drift::run },
    Experiment {
        id: "qtaml.variance",
        title: "The top bit owns the variance",
        run: qtaml_variance::run,
    },
    Experiment {
        id: "qtaml.layer",
        title: "Where the linear law of the layers ends",
        run: qtaml_layer::run,
    },
    Experiment { id: "ours.real_ecc", title: "What a kept bit costs", run: ours_real_ecc::run },
    Experiment {
        id: "qtaml.tac.lenet",
        title: "Tunneling-aware compensation on LeNet",
        run: |context| tac::run(context, Net::LeNet),
    },
    Experiment {
        id: "qtaml.tac.vgg",
        title: "Tunneling-aware compensation on VGG",
        run: |context| tac::run(context, Net::Vgg),
    },
    Experiment {
        id: "qtaml.tac.resnet",
        title: "Tunneling-aware compensation on ResNet",
        run: |context| tac::run(context, Net::ResNet),
    },
    Experiment {
        id: "qtaml.tac.mobilenet",
        title: "Tunneling-aware compensation on MobileNet",
        run: |context| tac::run(context, Net::MobileNet),
    },
    Experiment {
        id: "qtaml.tac.transformer",
        title: "Tunneling-aware compensation on a transformer",
        run: |context| tac::run(context, Net::Transformer),
    },
    Experiment { id: "qtaml.rho", title: "The gain, forecast", run: qtaml_rho::run },
    Experiment {
        id: "qtaml.score.lenet",
        title: "Scores on LeNet",
        run: |context| qtaml_score::run(context, Net::LeNet),
    },
    Experiment {
        id: "qtaml.score.vgg",
        title: "Scores on VGG",
        run: |context| qtaml_score::run(context, Net::Vgg),
    },
    Experiment {
        id: "qtaml.score.resnet",
        title: "Scores on ResNet",
        run: |context| qtaml_score::run(context, Net::ResNet),
    },
    Experiment {
        id: "qtaml.score.mobilenet",
        title: "Scores on MobileNet",
        run: |context| qtaml_score::run(context, Net::MobileNet),
    },
    Experiment {
        id: "qtaml.score.transformer",
        title: "Scores on a transformer",
        run: |context| qtaml_score::run(context, Net::Transformer),
    },
    Experiment {
        id: "ours.bayes.lenet",
        title: "Everything stored counted, on LeNet",
        run: |context| ours_bayes::run(context, Net::LeNet),
    },
    Experiment {
        id: "ours.bayes.vgg",
        title: "Everything stored counted, on VGG",
        run: |context| ours_bayes::run(context, Net::Vgg),
    },
    Experiment {
        id: "ours.bayes.resnet",
        title: "Everything stored counted, on ResNet",
        run: |context| ours_bayes::run(context, Net::ResNet),
    },
    Experiment {
        id: "ours.bayes.mobilenet",
        title: "Everything stored counted, on MobileNet",
        run: |context| ours_bayes::run(context, Net::MobileNet),
    },
    Experiment {
        id: "ours.bayes.transformer",
        title: "Everything stored counted, on a transformer",
        run: |context| ours_bayes::run(context, Net::Transformer),
    },
    Experiment { id: "ours.opta", title: "How far from Shannon's bound", run: ours_opta::run },
    Experiment {
        id: "ours.codec.lenet",
        title: "Codes that expect faults, on LeNet",
        run: |context| ours_codec::run(context, Net::LeNet),
    },
    Experiment {
        id: "ours.codec.vgg",
        title: "Codes that expect faults, on VGG",
        run: |context| ours_codec::run(context, Net::Vgg),
    },
    Experiment {
        id: "ours.codec.resnet",
        title: "Codes that expect faults, on ResNet",
        run: |context| ours_codec::run(context, Net::ResNet),
    },
    Experiment {
        id: "ours.codec.mobilenet",
        title: "Codes that expect faults, on MobileNet",
        run: |context| ours_codec::run(context, Net::MobileNet),
    },
    Experiment {
        id: "ours.codec.transformer",
        title: "Codes that expect faults, on a transformer",
        run: |context| ours_codec::run(context, Net::Transformer),
    },
    Experiment {
        id: "t0.table1",
        title: "Table 1 of T0-QAT, over many seeds",
        run: t0_table1::run,
    },
    Experiment {
        id: "t0.drop_law",
        title: "What noise costs a linear layer",
        run: t0_drop_law::run,
    },
    Experiment {
        id: "t0.significance",
        title: "Is the smaller drop more than luck?",
        run: t0_significance::run,
    },
    Experiment {
        id: "t0.noise_sweep",
        title: "How much ξ-scaled noise?",
        run: t0_noise_sweep::run,
    },
    Experiment {
        id: "t0.vision.lenet",
        title: "ξ-scaled noise and few bits, on LeNet",
        run: |context| t0_vision::run(context, Net::LeNet),
    },
    Experiment {
        id: "t0.vision.resnet",
        title: "ξ-scaled noise and few bits, on ResNet",
        run: |context| t0_vision::run(context, Net::ResNet),
    },
    Experiment {
        id: "t0.vision.transformer",
        title: "ξ-scaled noise and few bits, on a transformer",
        run: |context| t0_vision::run(context, Net::Transformer),
    },
    Experiment {
        id: "t0.sota",
        title: "ξ-scaled noise beside the state of the art",
        run: t0_sota::run,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::CLAIM_IDS;

    #[test]
    fn the_command_line_knows_every_experiment() {
        assert_eq!(EXPERIMENTS.map(|e| e.id), CLAIM_IDS);
    }
}
