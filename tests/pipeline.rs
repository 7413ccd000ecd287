//! The whole story through the facade: an oxide leaks, bits flip, a network suffers, compensation
//! repairs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(feature = "flex")]

use qtaml::compensation::allocation::{AllocationProblem, GreedyPath};
use qtaml::prelude::*;
use qtaml::train::sensitivity::JacobianNorm;
use qtaml::train::{LeNet, Range, TrainError};

struct Story {
    model: LeNet,
    digits: Dataset,
    device: Device,
    norms: Vec<JacobianNorm>,
}

fn story() -> Result<Story, TrainError> {
    let device = device::open("flex")?;
    let digits = Dataset::digits()?;
    let config = TrainerConfig { epochs: 4, ..TrainerConfig::new() };
    let model = LeNetConfig::digits().init(&device);
    let model = train(model, &digits.train, &config, Seed(7), &device, |_| ())?;
    let (units, images) = (Granularity::Tensor, &digits.calibration);
    let norms = sensitivity::jacobian_norms(&model, units, images, 4, Seed(7), &device)?;
    Ok(Story { model, digits, device, norms })
}

fn leaky_memory() -> Memory {
    let cell = Cell::new(Barrier::sio2(4.5).unwrap(), 1e13);
    let retention_s = cell.retention_for(0.1, &Condition::at_rest(0.0)).unwrap();
    Memory::new(cell.flip_probability(&Condition::at_rest(retention_s)).unwrap())
}

fn choices(story: &Story, network: &StoredNetwork<LeNet>) -> AllocationProblem {
    let statistics = network.statistics(&story.norms).unwrap();
    network.choices(Score::Wkb, &statistics, Cost::Protected).unwrap()
}

#[test]
fn from_oxide_to_a_repaired_network() {
    let story = story().unwrap();
    let memory = Memory { decoder: Decoder::Affine, ..leaky_memory() };
    let network = StoredNetwork::store(&story.model, &memory).unwrap();
    let test = Evaluation::new(&story.digits.test, &story.device).unwrap();
    let clean = test.accuracy(network.golden());
    assert!(clean > 0.7, "four epochs reach {clean}");

    let accuracy = |network: &StoredNetwork<LeNet>, chosen: &[u32]| {
        let read = |trial| network.read(Seed(7), trial, chosen).unwrap();
        (0..5).map(|trial| test.accuracy(&read(trial))).sum::<f64>() / 5.0
    };
    let exposed = accuracy(&network, &network.alike(0));
    assert!(exposed < clean - 0.2, "one flip in ten bits must hurt");
    let everything = accuracy(&network, &network.alike(8));
    assert!((everything - clean).abs() < 1e-12, "and without flips nothing is lost");

    // Half of all bits, spent well, keep most of the accuracy.
    let units = choices(&story, &network);
    let half = GreedyPath::optimal(&units).within(network.weights() * 4).unwrap();
    let half = accuracy(&network, half.chosen());
    assert!(half > 0.9 * clean, "{half} of {clean}");

    // A table that knows what weights look like, and a range that expects faults, undo much of it
    // with no protection at all.
    let bayes = Memory { decoder: Decoder::BayesGain, range: Range::Best, ..memory };
    let bayes = StoredNetwork::store(&story.model, &bayes).unwrap();
    let believed = accuracy(&bayes, &bayes.alike(0));
    assert!(believed > exposed + 0.1, "{believed} and {exposed}");
}

#[test]
fn at_the_same_budget_tac_predicts_no_more_distortion_than_uniform() {
    let story = story().unwrap();
    let network = StoredNetwork::store(&story.model, &leaky_memory()).unwrap();
    let units = choices(&story, &network);
    let (uniform, optimal) = (GreedyPath::uniform(&units), GreedyPath::optimal(&units));
    for step in 0..uniform.len() {
        let spent = optimal.within(uniform.cost(step)).unwrap();
        // The path is optimal at its own costs; between two of them, nearly.
        assert!(spent.distortion() <= uniform.distortion(step) * 1.05, "step {step}");
    }
}
