//! `qtaml.layer`: to first order the output varies by `Σ_l Var_l ||J_l||²`. Where does that end?

use anyhow::{Context as _, Result};
use qtaml::compensation::CodeHistogram;
use qtaml::fault::{BitMask, QuantizedChannel};
use qtaml::physics::FlipProbability;
use qtaml::quant::{BitWidth, QuantizedTensor};
use qtaml::train::sensitivity::{JacobianNorm, jacobian_norms};
use qtaml::train::{Evaluation, Granularity, LeNet, Memory, Parameter, StoredNetwork, parameters};
use qtaml_chart::{Axis, Chart, Mark, Point, Rule, Series};
use rayon::prelude::*;
use serde_json::json;

use super::networks::{self, Trained};
use crate::context::Context;
use crate::results::{Claim, Figure, Outcome, Source, Table, Verdict};
use crate::stats::{Mean, mean};

const BITS: BitWidth = BitWidth::INT8;
/// Flip probabilities from the edge of what shows to total confusion.
const SWEEP: [f64; 8] = [1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.2];
/// The claim is judged up to here.
const SMALL: f64 = 1e-3;
/// The flip probability at which layers are looked at one by one.
const ALONE: f64 = 1e-3;
/// The top bits that are protected to make each error small instead of rare.
const KEPT: u32 = 4;
/// How near to the law counts as obeying it (ours: the source gives no number).
const NEAR: f64 = 0.1;

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let trial = Trial::new(context)?;
    let rare: Vec<Compared> = trial.sweep(0, "all bits may flip")?;
    let fine: Vec<Compared> = trial.sweep(KEPT, "top four bits protected")?;
    let alone = trial.layers_alone()?;
    let claim = claim(&rare, &fine, &alone, trial.patterns(SMALL))?;
    Ok(Outcome {
        claims: vec![claim],
        method: method(&trial),
        figures: vec![ratio_figure(&rare, &fine), layer_figure(&alone)],
        tables: vec![table(
            "qtaml.layer.sweep",
            "Output variance over flip probabilities",
            &[&rare[..], &fine, &alone],
        )],
    })
}

/// The variance that the law predicts and the one that was sampled.
struct Compared {
    what: String,
    p: f64,
    predicted: f64,
    /// Relative standard error of the prediction, from the estimate of the Jacobian.
    uncertain: f64,
    sampled: Mean,
}

impl Compared {
    /// Sampled over predicted variance, with its 95 % interval: both are estimates.
    fn ratio(&self) -> (f64, [f64; 2]) {
        let Mean { value, interval, .. } = self.sampled;
        let ratio = value / self.predicted;
        let end = |end: f64, side: f64| {
            ratio + side * ((end - value) / self.predicted).hypot(1.96 * self.uncertain * ratio)
        };
        (ratio, [end(interval[0], -1.0), end(interval[1], 1.0)])
    }

    /// Whether the law may be right to within what counts as near.
    fn is_near(&self) -> bool {
        self.relative_error().1[0] <= NEAR
    }

    /// How far the ratio is from one, with the interval of that.
    fn relative_error(&self) -> (f64, [f64; 2]) {
        let (ratio, [low, high]) = self.ratio();
        let (low, high) = (low - 1.0, high - 1.0);
        let nearest = if low <= 0.0 && 0.0 <= high { 0.0 } else { low.abs().min(high.abs()) };
        ((ratio - 1.0).abs(), [nearest, low.abs().max(high.abs())])
    }
}

/// The stored network, and the images that its output is looked at on.
struct Trial<'a> {
    context: &'a Context,
    network: StoredNetwork<LeNet>,
    evaluation: Evaluation,
    norms: Vec<JacobianNorm>,
    images: usize,
}

impl<'a> Trial<'a> {
    fn new(context: &'a Context) -> Result<Self> {
        let Trained { model, data, .. } = networks::lenet(context)?;
        let network = StoredNetwork::store(&model, &memory(ALONE)?)?;
        let images = context.size(64, 8);
        let chosen = data.calibration.select(&(0..images).collect::<Vec<_>>());
        // Of the network as it is stored, so that nothing but linearity is put to the test.
        let projections = context.size(512, 16);
        let golden = network.golden();
        let norms = jacobian_norms(
            golden,
            Granularity::Tensor,
            &chosen,
            projections,
            context.seed,
            &context.device,
        )?;
        let evaluation = Evaluation::new(&chosen, &context.device)?;
        Ok(Self { context, network, evaluation, norms, images })
    }

    /// Fault patterns: rare faults need more of them, as few patterns hold most of the variance.
    fn patterns(&self, p: f64) -> u32 {
        let quick = if p <= SMALL { 2500 } else { 400 };
        self.context.size(quick, 20) as u32
    }

    /// All layers at once, the same number of top bits protected in each.
    fn sweep(&self, kept: u32, what: &str) -> Result<Vec<Compared>> {
        let task = self.context.progress.task(what, SWEEP.len() as u64);
        let at = |&p: &f64| {
            let layers = self.predict(p)?;
            let compared = self.compare(what.into(), p, &layers, &vec![kept; layers.len()])?;
            task.tick(1);
            Ok(compared)
        };
        SWEEP.iter().map(at).collect()
    }

    /// One layer at a time; the others are read without faults.
    fn layers_alone(&self) -> Result<Vec<Compared>> {
        let layers = self.predict(ALONE)?;
        let task = self.context.progress.task("layers one by one", layers.len() as u64);
        let alone = |exposed: usize| {
            let kept = |l| if l == exposed { 0 } else { BITS.get() };
            let chosen: Vec<u32> = (0..layers.len()).map(kept).collect();
            let what = format!("only {}", layers[exposed].name);
            let compared = self.compare(what, ALONE, &layers, &chosen)?;
            task.tick(1);
            Ok(compared)
        };
        (0..layers.len()).map(alone).collect()
    }

    fn predict(&self, p: f64) -> Result<Vec<LayerVariance>> {
        let weights = parameters(self.network.golden());
        let layer = |norm: &JacobianNorm| {
            let layer = weights.iter().find(|p| p.name == norm.name).context("a layer is gone")?;
            LayerVariance::new(layer, norm, p)
        };
        self.norms.iter().map(layer).collect()
    }

    fn compare(
        &self,
        what: String,
        p: f64,
        layers: &[LayerVariance],
        chosen: &[u32],
    ) -> Result<Compared> {
        let predicted = layers.iter().zip(chosen).map(|(layer, &k)| layer.with(k)).sum();
        let sampled = mean(&self.squared_deviations(p, chosen)?)?;
        let uncertain = self.uncertain(layers, chosen, predicted);
        Ok(Compared { what, p, predicted, uncertain, sampled })
    }

    /// Relative standard error of the predicted variance: that of each layer's Jacobian norm,
    /// weighted with what the layer contributes.
    fn uncertain(&self, layers: &[LayerVariance], chosen: &[u32], predicted: f64) -> f64 {
        let error = |((layer, &k), norm): ((&LayerVariance, &u32), &JacobianNorm)| {
            layer.with(k) * norm.standard_error / norm.squared
        };
        let layers = layers.iter().zip(chosen);
        let errors = layers.zip(&self.norms).map(error).map(|error| error * error);
        errors.sum::<f64>().sqrt() / predicted
    }

    /// For each fault pattern the squared distance of the scores from their mean over patterns, per
    /// image: on average their total variance.
    fn squared_deviations(&self, p: f64, chosen: &[u32]) -> Result<Vec<f64>> {
        let network = StoredNetwork::store(self.network.golden(), &memory(p)?)?;
        let patterns = self.patterns(p);
        let key = format!("qtaml.layer/{p:?}/{chosen:?}/{patterns}x{}", self.images);
        self.context.unit(&key, || {
            let scores = (0..patterns).into_par_iter().map(|pattern| {
                let read = network.read(self.context.seed, pattern, chosen)?;
                Ok(self.evaluation.logits(&read))
            });
            let scores: Vec<Vec<f32>> = scores.collect::<Result<_>>()?;
            Ok(deviations(&scores, self.images))
        })
    }
}

/// The variance that faults in one layer give the output to first order, by the number of protected
/// top bits: `||J||² Δ² Var[q']`, averaged over the layer's own codes.
struct LayerVariance {
    name: String,
    by_protected: Vec<f64>,
}

impl LayerVariance {
    fn new(layer: &Parameter, norm: &JacobianNorm, p: f64) -> Result<Self> {
        let stored = QuantizedTensor::quantize(&layer.values, &layer.shape, BITS)?;
        let histogram = CodeHistogram::of(&stored);
        let of = |k| {
            let p = FlipProbability::symmetric(p)?;
            let channel = QuantizedChannel::new(p, BITS, BitMask::top(k, BITS)?)?;
            let variance = histogram.iter().map(|(word, share)| share * channel.variance(word));
            Ok(norm.squared * f64::from(stored.scale()).powi(2) * variance.sum::<f64>())
        };
        let by_protected = (0..=BITS.get()).map(of).collect::<Result<_>>()?;
        Ok(Self { name: layer.name.clone(), by_protected })
    }

    fn with(&self, protected: u32) -> f64 {
        self.by_protected[protected as usize]
    }
}

fn memory(p: f64) -> Result<Memory> {
    Ok(Memory::new(FlipProbability::symmetric(p)?))
}

fn deviations(scores: &[Vec<f32>], images: usize) -> Vec<f64> {
    let n = scores.len() as f64;
    let centre: Vec<f64> = (0..scores[0].len())
        .map(|i| scores.iter().map(|s| f64::from(s[i])).sum::<f64>() / n)
        .collect();
    let squared = |scores: &Vec<f32>| {
        let off = scores.iter().zip(&centre).map(|(s, mean)| (f64::from(*s) - mean).powi(2));
        // n / (n - 1), because the mean is that of the sample.
        off.sum::<f64>() / images as f64 * n / (n - 1.0)
    };
    scores.iter().map(squared).collect()
}

fn claim(rare: &[Compared], fine: &[Compared], alone: &[Compared], patterns: u32) -> Result<Claim> {
    let errors = rare.iter().filter(|c| c.p <= SMALL).map(Compared::relative_error);
    let (measured, interval) =
        errors.max_by(|a, b| a.0.total_cmp(&b.0)).context("no small flip probability")?;
    let row = |c: &Compared| {
        json!({ "what": c.what, "p": c.p, "predicted": c.predicted, "sampled": c.sampled.value,
            "ratio": c.ratio().0, "interval": c.ratio().1 })
    };
    let rows = |rows: &[Compared]| rows.iter().map(row).collect::<Vec<_>>();
    Ok(Claim {
        id: "qtaml.layer".into(),
        source: Source::Qtaml,
        statement: "How much the output of a network varies depends on each layer through its \
                    largest weight and its Jacobian: Var f = Σ_l Var_l ‖J_l‖², to first order."
            .into(),
        expected: format!("within {} % for small p (bound ours)", 100.0 * NEAR),
        measured,
        unit: "relative error".into(),
        interval,
        n: u64::from(patterns),
        verdict: if rare.iter().filter(|c| c.p <= SMALL).all(Compared::is_near) {
            Verdict::Reproduced
        } else {
            Verdict::NotReproduced
        },
        details: json!({ "all_bits": rows(rare), "top_bits_protected": rows(fine),
            "one_layer": rows(alone) }),
    })
}

fn method(trial: &Trial) -> Vec<String> {
    vec![
        format!(
            "LeNet is stored as INT8 and read with independent faults, {} times for each p up to \
             {SMALL:e} and {} times beyond. The scores of {} calibration images vary from one \
             reading to the next; their total variance per image is compared with the closed form, \
             in which ‖J_l‖² is Hutchinson's estimate at the stored weights and Var_l the exact \
             variance of the layer's codes. Intervals hold the spread over fault patterns and that \
             of the Jacobian's estimate.",
            trial.patterns(SMALL),
            trial.patterns(1.0),
            trial.images
        ),
        "A first-order law needs small errors, and rare ones are not small: a flipped sign bit \
         moves a weight by the largest weight of its layer however seldom it happens. So the same \
         sweep is done twice: with every bit exposed, and with the top four bits protected, where \
         no error exceeds an eighth of the largest weight."
            .into(),
        format!(
            "The source states no accuracy. Our criterion: at every p up to {SMALL:e}, with all \
             bits exposed, the interval of the relative error reaches down to {} %.",
            100.0 * NEAR
        ),
    ]
}

fn ratio_figure(rare: &[Compared], fine: &[Compared]) -> Figure {
    let series = |name: &str, rows: &[Compared]| {
        let point = |c: &Compared| {
            let (ratio, interval) = c.ratio();
            Point::from((c.p, ratio, interval))
        };
        Series::new(name, Mark::Points, rows.iter().map(point).collect::<Vec<_>>())
    };
    Figure {
        id: "qtaml.layer.ratio".into(),
        title: "Output variance, sampled over predicted".into(),
        caption:
            "The dashed line is the first-order law. Bars are 95 % intervals over fault patterns."
                .into(),
        picture: Chart {
            x: Axis::log10("flip probability", ""),
            y: Axis::log10("sampled / predicted variance", ""),
            series: vec![
                series("every bit exposed", rare),
                series("top four bits protected", fine),
            ],
            rules: vec![Rule::horizontal(1.0, "")],
        }
        .into(),
    }
}

fn layer_figure(alone: &[Compared]) -> Figure {
    let series = |c: &Compared| {
        let Mean { value, interval, .. } = c.sampled;
        Series::new(&c.what, Mark::Points, [Point::from((c.predicted, value, interval))])
    };
    let ends = alone.iter().map(|c| c.predicted);
    let line = [ends.clone().fold(f64::INFINITY, f64::min), ends.fold(0.0, f64::max)];
    let law = Series::new("first-order law", Mark::Line, line.map(|x| (x, x)));
    Figure {
        id: "qtaml.layer.alone".into(),
        title: format!("One faulty layer at a time, p = {ALONE:e}"),
        caption: "Variance of the scores per image when only this layer is read with faults."
            .into(),
        picture: Chart {
            x: Axis::log10("predicted variance", ""),
            y: Axis::log10("sampled variance", ""),
            series: std::iter::once(law).chain(alone.iter().map(series)).collect(),
            rules: vec![],
        }
        .into(),
    }
}

fn table(id: &str, title: &str, groups: &[&[Compared]]) -> Table {
    let row = |c: &Compared| {
        let (ratio, [low, high]) = c.ratio();
        vec![
            c.what.as_str().into(),
            c.p.into(),
            c.predicted.into(),
            c.sampled.value.into(),
            ratio.into(),
            low.into(),
            high.into(),
        ]
    };
    Table {
        id: id.into(),
        title: title.into(),
        columns: ["faults", "p", "predicted", "sampled", "ratio", "95 % from", "to"]
            .map(String::from)
            .to_vec(),
        rows: groups.iter().flat_map(|group| group.iter().map(row)).collect(),
        in_report: true,
    }
}
