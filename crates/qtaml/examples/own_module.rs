//! A module of your own in a leaking memory: store, score, plan, read with faults, evaluate.
//!
//! `cargo run --release -p qtaml --example own_module`

use burn::nn::{Linear, LinearConfig};
use burn::{module::Module, tensor::Tensor, tensor::activation::relu};
use qtaml::prelude::*;

#[derive(Module, Debug)]
struct Perceptron {
    hidden: Linear,
    output: Linear,
}

impl Classifier for Perceptron {
    fn logits(&self, images: Tensor<4>) -> Tensor<2> {
        self.output.forward(relu(self.hidden.forward(images.flatten(1, 3))))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (device, data) = (device::open("flex")?, Dataset::digits()?);
    let linear = |from, to| LinearConfig::new(from, to).init(&device);
    let model = Perceptron { hidden: linear(64, 64), output: linear(64, 10) };
    let model = train(model, &data.train, &TrainerConfig::new(), Seed(1), &device, |_| ())?;

    // One bit in ten flips; tables that expect it read the words.
    let p = FlipProbability::symmetric(0.1)?;
    let network =
        StoredNetwork::store(&model, &Memory { decoder: Decoder::Bayes, ..Memory::new(p) })?;
    // What the output feels of each layer, without labels, and a tenth of all bits spent on it.
    let norms = sensitivity::jacobian_norms(
        &model,
        Granularity::Tensor,
        &data.calibration,
        16,
        Seed(1),
        &device,
    )?;
    let choices = network.choices(Score::Wkb, &network.statistics(&norms)?, Cost::Protected)?;
    let plan = allocation::Path::optimal(&choices).within(network.weights() * 8 / 10)?;

    let test = Evaluation::new(&data.test, &device)?;
    let accuracy = |chosen: &[u32]| -> Result<f64, Box<dyn std::error::Error>> {
        Ok(test.accuracy(&network.read(Seed(2), 0, chosen)?))
    };
    println!("clean {:.3}", test.accuracy(network.golden()));
    println!("unprotected {:.3}", accuracy(&network.alike(0))?);
    println!("planned {:.3}", accuracy(plan.chosen())?);
    Ok(())
}
