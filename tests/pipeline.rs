//! The whole story through the facade: an oxide leaks, bits flip, a network suffers, compensation
//! repairs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(feature = "flex")]

use burn::tensor::Tensor;
use qtaml::compensation::allocation::{AllocationProblem, GreedyPath};
use qtaml::deploy::sensitivity::gradient_norms;
use qtaml::deploy::{Recalibration, Recalibrator, Trials};
use qtaml::prelude::*;
use qtaml::train::LeNet;

type Run = BurnRunner<LeNet, Tensor<4>>;

struct Story {
    calibration: Run,
    test: Run,
    labels: Vec<usize>,
}

fn story() -> Result<Story, Box<dyn std::error::Error>> {
    let device = device::open("flex")?;
    let digits = Dataset::digits()?;
    let config = TrainerConfig { epochs: 4, ..TrainerConfig::new() };
    let model = LeNetConfig::digits().init(&device);
    let model = train(model, &digits.train, &config, Seed(7), &device, |_| ())?;
    let on = |images: &Images| BurnRunner::classifier(&model, images, &device);
    let labels = digits.test.labels().to_vec();
    Ok(Story { calibration: on(&digits.calibration)?, test: on(&digits.test)?, labels })
}

fn leaky_memory() -> MemoryModel {
    let cell = Cell::new(Barrier::sio2(4.5).unwrap(), 1e13);
    let retention_s = cell.retention_for(0.1, &Condition::at_rest(0.0)).unwrap();
    MemoryModel::new(cell.flip_probability(&Condition::at_rest(retention_s)).unwrap())
}

fn stored(story: &Story, spec: QuantizedSpec) -> StoredModel {
    let storing = [Storing::new(leaky_memory(), spec)];
    StoredModel::store(&story.test, Granularity::Tensor, &storing).unwrap()
}

fn problem(story: &Story, model: &StoredModel) -> AllocationProblem {
    let groups = model.weight_groups();
    let norms = gradient_norms(&story.calibration, &groups, 4, Seed(7)).unwrap();
    let statistics = model.statistics(&norms).unwrap();
    model.problem(Score::Wkb, &statistics, Accounting::ProtectedBits).unwrap()
}

/// Accuracy without faults, and in the mean over five fault patterns of a selection.
fn accuracies(story: &Story, model: &StoredModel, selection: &Selection) -> [f64; 2] {
    let golden = model.golden();
    let outputs = story.test.outputs(golden.clone()).unwrap();
    let labels = story.labels.clone();
    let evaluation = Evaluation::labelled(outputs, Metric::Accuracy, labels).unwrap();
    let none = Recalibrator::new(Recalibration::None, &story.calibration, &golden).unwrap();
    let trials = Trials::new(&story.test, &none, &evaluation);
    let scores = trials.scores(0..5, |trial| model.read(Seed(7), trial, selection)).unwrap();
    [evaluation.clean(), scores.iter().sum::<f64>() / 5.0]
}

#[test]
fn from_oxide_to_a_repaired_network() {
    let story = story().unwrap();
    let affine = QuantizedSpec { decoder: Decoder::Affine, ..QuantizedSpec::default() };
    let model = stored(&story, affine);
    let [clean, exposed] = accuracies(&story, &model, &model.uniform(0));
    assert!(clean > 0.7, "four epochs reach {clean}");
    assert!(exposed < clean - 0.2, "one flip in ten bits must hurt");
    let [_, everything] = accuracies(&story, &model, &model.uniform(8));
    assert!((everything - clean).abs() < 1e-12, "and without flips nothing is lost");

    // Half of all bits, spent well, keep most of the accuracy.
    let problem = problem(&story, &model);
    let half = GreedyPath::optimal(&problem).within(model.weights() * 4).unwrap();
    let [_, half] = accuracies(&story, &model, half.selection());
    assert!(half > 0.9 * clean, "{half} of {clean}");

    // A table that knows what weights look like, and a range that expects faults, undo much of it
    // with no protection at all.
    let bayes = QuantizedSpec {
        decoder: Decoder::BayesGain,
        scale: ScalePolicy::MinMse,
        ..QuantizedSpec::default()
    };
    let bayes = stored(&story, bayes);
    let [_, believed] = accuracies(&story, &bayes, &bayes.uniform(0));
    assert!(believed > exposed + 0.1, "{believed} and {exposed}");
}

#[test]
fn at_the_same_budget_tac_predicts_no_more_distortion_than_uniform() {
    let story = story().unwrap();
    let model = stored(&story, QuantizedSpec::default());
    let problem = problem(&story, &model);
    let (uniform, optimal) = (GreedyPath::uniform(&problem), GreedyPath::optimal(&problem));
    for step in 0..uniform.len() {
        let spent = optimal.within(uniform.cost(step)).unwrap();
        // The path is optimal at its own costs; between two of them, nearly.
        assert!(spent.distortion() <= uniform.distortion(step) * 1.05, "step {step}");
    }
}
