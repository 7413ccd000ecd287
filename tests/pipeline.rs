//! The whole story through the facade: an oxide leaks, bits flip, a network suffers, compensation
//! repairs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(feature = "flex")]

use qtaml::prelude::*;
use qtaml::train::sensitivity::JacobianNorm;
use qtaml::train::{LeNet, TrainError};

struct Story {
    digits: Dataset,
    device: Device,
    network: StoredNetwork<LeNet>,
    norms: Vec<JacobianNorm>,
}

fn story() -> Result<Story, TrainError> {
    let device = device::open("flex")?;
    let digits = Dataset::digits()?;
    let config = TrainingConfig { epochs: 4, ..TrainingConfig::new() };
    let model = LeNetConfig::digits().init(&device);
    let model = train(model, &digits.train, &config, Seed(7), &device, |_| ())?;
    let norms = sensitivity::jacobian_norms(
        &model,
        Granularity::Tensor,
        &digits.calibration,
        4,
        Seed(7),
        &device,
    )?;
    let network = StoredNetwork::quantize(&model, BitWidth::INT8)?;
    Ok(Story { digits, device, network, norms })
}

fn leaky_memory() -> Memory {
    let cell = Cell::new(Barrier::sio2(4.5).unwrap(), 1e13);
    let retention_s = cell.retention_for(0.1, &Condition::at_rest(0.0)).unwrap();
    let p = cell.flip_probability(&Condition::at_rest(retention_s)).unwrap();
    Memory::new(p, Seed(7))
}

#[test]
fn from_oxide_to_a_repaired_network() {
    let story = story().unwrap();
    let memory = leaky_memory();
    let test = Evaluation::new(&story.digits.test, &story.device).unwrap();
    let clean = test.accuracy(story.network.golden());
    assert!(clean > 0.7, "four epochs reach {clean}");

    let layers = story.network.distortions(&memory, Decoder::Affine, &story.norms).unwrap();
    let path = allocation::optimal_path(&layers);
    let accuracy = |allocation: &Allocation| {
        let read = |trial| story.network.read(&memory, trial, allocation, Decoder::Affine).unwrap();
        (0..5).map(|trial| test.accuracy(&read(trial))).sum::<f64>() / 5.0
    };
    let (nothing, everything) = (&path[0], &path[path.len() - 1]);
    assert!(accuracy(nothing) < clean - 0.2, "one flip in ten bits must hurt");
    assert!((accuracy(everything) - clean).abs() < 1e-12, "and without flips nothing is lost");

    // Half of all bits, spent well, keep most of the accuracy.
    let half = path.iter().rfind(|a| a.overhead(&layers) <= 0.5).unwrap();
    assert!(accuracy(half) > 0.9 * clean, "{} of {clean}", accuracy(half));
}

#[test]
fn at_the_same_budget_tac_predicts_no_more_distortion_than_uniform() {
    let story = story().unwrap();
    let layers = story.network.distortions(&leaky_memory(), Decoder::Raw, &story.norms).unwrap();
    let path = allocation::optimal_path(&layers);
    for uniform in allocation::uniform_path(&layers) {
        let next = path.iter().find(|a| a.cost() >= uniform.cost()).unwrap();
        // The path is optimal at its own costs; between two of them, at the dearer one.
        assert!(next.distortion(&layers) <= uniform.distortion(&layers) * (1.0 + 1e-12));
    }
}
