//! Your own module in a leaking memory: `cargo run --release -p qtaml --example own_module`
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

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (device, data) = (device::open("flex")?, Dataset::digits()?);
    let linear = |from, to| LinearConfig::new(from, to).init(&device);
    let model = Perceptron { hidden: linear(64, 64), output: linear(64, 10) };
    let model = train(model, &data.train, &TrainerConfig::new(), Seed(1), &device, |_| ())?;
    // One bit in ten flips; tables that expect it read the INT8 words.
    let p = FlipProbability::symmetric(0.1)?;
    let memory = Memory { decoder: Decoder::Bayes, ..Memory::new(p) };
    let network = StoredNetwork::store(&model, &memory)?;
    // A tenth of all bits is protected, where the output feels it: found without labels.
    let (unit, images) = (Granularity::Tensor, &data.calibration);
    let norms = sensitivity::jacobian_norms(&model, unit, images, 16, Seed(1), &device)?;
    let (felt, tenth) = (network.statistics(&norms)?, Budget::Share(0.1));
    let plan = network.plan(Score::Wkb, &felt, Cost::Protected, tenth)?.to_json();
    // The plan is a text that can be kept, and all that it takes to read the network so.
    let read = network.read(Seed(2), 0, &network.chosen(&Plan::from_json(&plan)?)?)?;
    let test = Evaluation::new(&data.test, &device)?;
    println!("{:.3}, clean {:.3}", test.accuracy(&read), test.accuracy(network.golden()));
    Ok(())
}
