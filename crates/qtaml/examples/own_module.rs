//! Your own module and your own data in a leaking memory:
//! `cargo run --release -p qtaml --example own_module`
use burn::nn::{Linear, LinearConfig};
use burn::{module::Module, tensor::Tensor, tensor::activation::relu};
use qtaml::deploy::sensitivity::gradient_norms;
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

/// Waves in two channels: the second lags behind the first by an angle that is the label.
fn waves(numbers: std::ops::Range<usize>) -> Result<Images, Box<dyn std::error::Error>> {
    let labels: Vec<usize> = numbers.clone().map(|n| n % 4).collect();
    let pixel = |n: usize, channel: usize, at: usize| {
        let angle = 0.7 * at as f32 + 1.3 * n as f32 - (channel * (n % 4)) as f32;
        angle.sin() + 0.3 * ((n * 31 + channel * 17 + at) as f32 * 12.9898).sin()
    };
    let channels = |n| (0..2).flat_map(move |channel| (0..16).map(move |at| pixel(n, channel, at)));
    Ok(Images::new(numbers.flat_map(channels).collect(), [2, 1, 16], labels, 4)?)
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = device::open("flex")?;
    let (learn, calibration, test) = (waves(0..800)?, waves(800..900)?, waves(900..1300)?);
    let linear = |from, to| LinearConfig::new(from, to).init(&device);
    let model = Perceptron { hidden: linear(32, 64), output: linear(64, 4) };
    let model = train(model, &learn, &TrainerConfig::new(), Seed(1), &device, |_| ())?;
    // One bit in ten flips; tables that expect it read the INT8 words.
    let memory = MemoryModel::new(FlipProbability::symmetric(0.1)?);
    let spec = QuantizedSpec { decoder: Decoder::BayesGain, ..QuantizedSpec::default() };
    let calibration = BurnRunner::classifier(&model, &calibration, &device)?;
    let stored =
        StoredModel::store(&calibration, Granularity::Channel, &[Storing::new(memory, spec)])?;
    // A tenth of all bits is protected, where the outputs depend on it: found without labels.
    let groups = stored.weight_groups();
    let norms = gradient_norms(&calibration, &groups, 16, Seed(1))?;
    let (statistics, tenth) = (stored.statistics(&norms)?, Budget::Share(0.1));
    let plan = stored.plan(Score::Wkb, &statistics, Accounting::ProtectedBits, tenth)?.to_json();
    // The plan is a text that can be kept, and all that it takes to read the model so.
    let read = stored.read(Seed(2), 0, &stored.selection_of(&Plan::from_json(&plan)?)?)?;
    let test = AccuracyTest::new(&test, &device)?;
    let [read, golden] = [read, stored.golden()].map(|values| calibration.replaced(values));
    println!("{:.3}, clean {:.3}", test.accuracy(&read?), test.accuracy(&golden?));
    Ok(())
}
