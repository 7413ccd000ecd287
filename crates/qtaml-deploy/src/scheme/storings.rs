//! The candidate storages of a scheme.

use std::ops::RangeInclusive;

use qtaml_compensation::storage::{BitChoice, CodeLibrary, QuantizedSpec, StorageSpec};
use qtaml_compensation::{Accounting, Plan};
use qtaml_fault::{BitMask, Ecc, MemoryModel};
use qtaml_physics::FlipProfile;
use qtaml_quant::{BitWidth, Format};

use super::{CodeFamily, Scheme};
use crate::{DeployError, Runner, StoredModel, Storing};

/// Bits of a codebook's word. To design wider ones takes 1 s (9 bits), 3 s (10) and 20 s (12) for each
/// flip probability, and they gain little: at p = 0.1 a word of 12 bits has five times the error of a
/// block code of 8 bits a weight, and groups too short for a block take quantized weights with copied
/// bits.
const WIDTHS: RangeInclusive<u32> = 1..=8;
/// Bits of a weight in a block code.
const RATES: RangeInclusive<u32> = 1..=8;
/// The width at which the response of a tensor is measured.
const EXPOSED: u32 = 8;

impl Scheme {
    /// The model of a runner with every way to store a group that this scheme knows, in a memory of
    /// these flip probabilities. Codes are taken from a library: they follow from the memory alone, and
    /// take seconds to design.
    ///
    /// # Errors
    /// As [`StoredModel::store_with`].
    pub fn store(
        &self,
        runner: &dyn Runner,
        flips: &FlipProfile,
        library: &CodeLibrary,
    ) -> Result<StoredModel, DeployError> {
        self.store_as(runner, &self.storings(flips), library)
    }

    /// The same where each tensor is offered what is worth while for some budget: see
    /// [`StoredModel::store_near`].
    ///
    /// # Errors
    /// As [`StoredModel::store_with`].
    pub fn store_near(
        &self,
        runner: &dyn Runner,
        flips: &FlipProfile,
        library: &CodeLibrary,
        accounting: Accounting,
    ) -> Result<StoredModel, DeployError> {
        let storings = self.storings(flips);
        StoredModel::store_near(runner, self.granularity, &storings, library, accounting)
    }

    /// The same in block codes alone.
    ///
    /// # Errors
    /// As [`StoredModel::store_with`].
    pub fn block_coded(
        &self,
        runner: &dyn Runner,
        flips: &FlipProfile,
        library: &CodeLibrary,
    ) -> Result<StoredModel, DeployError> {
        Self { code: CodeFamily::BlockCoded, ..self.clone() }.store(runner, flips, library)
    }

    /// The model of a runner as a plan stores it, with what the plan knows of the inputs of its weights:
    /// those of the runner do not matter.
    ///
    /// # Errors
    /// As [`StoredModel::store_with`].
    pub fn store_planned(
        &self,
        runner: &dyn Runner,
        plan: &Plan,
        library: &CodeLibrary,
    ) -> Result<StoredModel, DeployError> {
        let storings = self.storings(&plan.flips);
        StoredModel::store_planned(runner, self.granularity, &storings, library, plan)
    }

    /// The model with two ways to store a group at least, exposed as this would first, without faults last:
    /// to see what faults in one group alone do.
    ///
    /// # Errors
    /// As [`StoredModel::store_with`].
    pub fn exposable(
        &self,
        runner: &dyn Runner,
        flips: &FlipProfile,
        library: &CodeLibrary,
    ) -> Result<StoredModel, DeployError> {
        let mut storings = self.quantized(flips, self.bits, &[Ecc::Ideal]);
        if !self.code.is_quantized() {
            let codebook = StorageSpec::codebook([EXPOSED]);
            storings.insert(0, Storing::new(MemoryModel::new(flips.clone()), codebook));
        }
        self.store_as(runner, &storings, library)
    }

    /// The scheme whose tensors are exposed to see what each does: all that may take codebooks share
    /// theirs.
    #[must_use]
    pub fn exposed(&self) -> Self {
        let code = if self.code == CodeFamily::Mixed { CodeFamily::Codebook } else { self.code };
        Self { code, ..self.clone() }
    }

    /// The ways to store a group, in a memory of these flip probabilities.
    pub fn storings(&self, flips: &FlipProfile) -> Vec<Storing> {
        let quantized = |bits| self.quantized(flips, bits, &self.eccs);
        let any_width = || BitWidth::all().filter(|bits| *bits <= self.bits).flat_map(quantized);
        let code = |spec: StorageSpec| Storing::new(MemoryModel::new(flips.clone()), spec);
        let codebook = || code(StorageSpec::codebook(WIDTHS));
        let blocks = || code(StorageSpec::block_coded(RATES));
        match self.code {
            CodeFamily::Quantized => quantized(self.bits),
            CodeFamily::PerWeight => by_weight(quantized(self.bits)),
            CodeFamily::AnyWidth => any_width().collect(),
            CodeFamily::Codebook => vec![codebook()],
            CodeFamily::BlockCoded => vec![blocks()],
            CodeFamily::Mixed => [codebook(), blocks()].into_iter().chain(any_width()).collect(),
        }
    }

    fn store_as(
        &self,
        runner: &dyn Runner,
        storings: &[Storing],
        library: &CodeLibrary,
    ) -> Result<StoredModel, DeployError> {
        StoredModel::store_with(runner, self.granularity, storings, library)
    }

    /// Quantized words, their protected bits kept by each of these codes.
    fn quantized(&self, flips: &FlipProfile, bits: BitWidth, eccs: &[Ecc]) -> Vec<Storing> {
        let spec = |protection| QuantizedSpec {
            format: Format::new(bits, self.encoding),
            scale: self.scale,
            range: self.range,
            decoder: self.decoder,
            protection,
            ..QuantizedSpec::default()
        };
        let storing = |(first, ecc): (usize, &Ecc)| {
            // Nothing protected is the same by any code.
            let some = || (1..=bits.get()).filter_map(|k| BitMask::top(k, bits).ok()).collect();
            let protection = if first == 0 { BitChoice::Top } else { BitChoice::Sets(some()) };
            Storing::new(MemoryModel::new(flips.clone()).with_ecc(*ecc), spec(protection))
        };
        eccs.iter().enumerate().map(storing).collect()
    }
}

/// The same words, protected one by one.
fn by_weight(storings: Vec<Storing>) -> Vec<Storing> {
    let of = |Storing { memory, spec }: Storing| match spec {
        StorageSpec::Quantized(spec) => Storing { memory, spec: StorageSpec::PerWeight(spec) },
        spec => Storing { memory, spec },
    };
    storings.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use qtaml_compensation::allocation::{Allocation, AllocationProblem, GreedyPath};
    use qtaml_compensation::storage::{ScalePolicy, StoredAs};
    use qtaml_compensation::{Budget, Decoder, Plan, Score};
    use qtaml_fault::Seed;
    use qtaml_physics::FlipProbability;
    use rand::RngExt as _;

    use super::*;
    use crate::sensitivity::shared_norms;
    use crate::{
        Granularity, GroupSensitivity, Output, Role, RunnerError, Values, WeightTensor,
        check_values,
    };

    const OUTPUTS: usize = 32;
    const INPUTS: usize = 24;
    const SAMPLES: usize = 40;

    /// `y = x w` with `w` of shape `[inputs, outputs]`: output channels lie across the rows.
    struct Linear {
        tensors: Vec<WeightTensor>,
        weights: Vec<f32>,
        inputs: Vec<f32>,
    }

    impl Linear {
        /// Two inputs carry nearly all the power; which two is said by `loud`.
        fn new(loud: [usize; 2]) -> Self {
            let mut rng = Seed(3).rng("linear", 0);
            let mut draw = |size: f32| size * rng.random_range(-1.0_f32..1.0);
            let weights = (0..INPUTS * OUTPUTS).map(|_| draw(1.0).powi(3)).collect();
            // The others are above the floor of power, which would count more of them than there is.
            let size = |i: usize| if loud.contains(&i) { 10.0 } else { 0.25 };
            let inputs = (0..SAMPLES * INPUTS).map(|at| draw(size(at % INPUTS))).collect();
            let tensor = WeightTensor::new("w", [INPUTS, OUTPUTS], Role::Linear);
            Self { tensors: vec![tensor.with_output_axis(1)], weights, inputs }
        }

        fn power_of(&self, input: usize) -> f64 {
            let squares = self.inputs.iter().skip(input).step_by(INPUTS);
            squares.map(|x| f64::from(*x).powi(2)).sum::<f64>() / SAMPLES as f64
        }

        /// `||J||_F²`, which is exact here.
        fn sensitivity(&self) -> f64 {
            OUTPUTS as f64 * (0..INPUTS).map(|input| self.power_of(input)).sum::<f64>()
        }

        /// The mean squared change of the outputs of a sample, over some devices.
        fn noise(&self, model: &StoredModel, allocation: &Allocation) -> f64 {
            let golden = self.outputs(Values::new()).unwrap().remove(0).values;
            let trial = |trial| {
                let read = model.read(Seed(8), trial, allocation.selection()).unwrap();
                let outputs = self.outputs(read).unwrap().remove(0).values;
                let changes = outputs.iter().zip(&golden);
                changes.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / SAMPLES as f64
            };
            (0..400).map(trial).sum::<f64>() / 400.0
        }
    }

    impl Runner for Linear {
        fn tensors(&self) -> &[WeightTensor] {
            &self.tensors
        }

        fn values(&self, _: usize) -> Result<Vec<f32>, RunnerError> {
            Ok(self.weights.clone())
        }

        fn outputs(&self, replaced: Values) -> Result<Vec<Output>, RunnerError> {
            check_values(&self.tensors, &replaced)?;
            let weights = replaced.get("w").unwrap_or(&self.weights);
            let of = |x: &[f32], output: usize| -> f32 {
                (0..INPUTS).map(|input| x[input] * weights[input * OUTPUTS + output]).sum()
            };
            let rows = self.inputs.chunks(INPUTS);
            let values = rows.flat_map(|x| (0..OUTPUTS).map(move |output| of(x, output)));
            Ok(vec![Output::new("y", [SAMPLES, OUTPUTS], values.collect())?])
        }

        fn input_power(&self, _: usize) -> Result<Option<Vec<f32>>, RunnerError> {
            let of = |at: usize| self.power_of(at / OUTPUTS) as f32;
            Ok(Some((0..INPUTS * OUTPUTS).map(of).collect()))
        }
    }

    fn channels(decoder: Decoder) -> Scheme {
        let (granularity, scale) = (Granularity::Channel, ScalePolicy::PerGroup);
        Scheme { decoder, granularity, scale, ..Scheme::tac() }
    }

    fn flips(p: f64) -> FlipProfile {
        FlipProbability::symmetric(p).unwrap().into()
    }

    fn stored(scheme: &Scheme, runner: &Linear, p: f64) -> (StoredModel, AllocationProblem) {
        let model = scheme.store(runner, &flips(p), &CodeLibrary::default()).unwrap();
        let whole = [GroupSensitivity::known("w", runner.sensitivity())];
        let norms = shared_norms(runner, &whole, &model.weight_groups()).unwrap();
        let statistics = model.statistics(&norms).unwrap();
        let problem = model.problem(Score::Wkb, &statistics, Accounting::ProtectedBits).unwrap();
        (model, problem)
    }

    /// Cost, predicted noise and measured noise of the first budget that is predicted to leave so little.
    fn budget(scheme: &Scheme, runner: &Linear, p: f64, noise: f64) -> (u64, f64, f64) {
        let (model, problem) = stored(scheme, runner, p);
        let path = GreedyPath::optimal(&problem);
        let step = (0..path.len()).find(|&step| path.distortion(step) <= noise).unwrap();
        (path.cost(step), path.distortion(step), runner.noise(&model, &path.at(step)))
    }

    /// Two of 24 inputs carry all the power: protecting their weights alone is enough.
    #[test]
    fn two_loud_inputs_take_less_than_half_the_bits() {
        let (runner, p) = (Linear::new([3, 17]), 0.02);
        for decoder in [Decoder::Raw, Decoder::BayesGain] {
            let channels = channels(decoder);
            let by_weight = channels.clone().by_weight();
            let exposed = GreedyPath::optimal(&stored(&channels, &runner, p).1).distortion(0);
            for share in [0.1, 0.01] {
                let (cost, _, noise) = budget(&channels, &runner, p, share * exposed);
                let (ours, predicted, measured) = budget(&by_weight, &runner, p, share * exposed);
                assert!(2 * ours < cost, "{decoder} {share}: {ours} {cost}");
                // The linear model is linear: what is predicted is what is measured.
                let ratio = measured / predicted;
                assert!((0.7..1.4).contains(&ratio), "{decoder} {share}: {ratio}");
                assert!(measured < 1.3 * noise, "{decoder} {share}: {measured} {noise}");
            }
        }
    }

    /// Through the text of a plan, by a runner with other inputs: what the plan knows of power counts.
    #[test]
    fn plans_are_carried_out_on_other_inputs() {
        let scheme = Scheme::tac().by_weight();
        let (runner, other) = (Linear::new([3, 17]), Linear::new([0, 1]));
        let (model, problem) = stored(&scheme, &runner, 0.02);
        let solution = Budget::Share(0.1).solve(&problem, model.weight_bits()).unwrap();
        let plan = model.plan_of(&solution, Accounting::ProtectedBits, &problem).unwrap();
        let plan = Plan::from_json(&plan.to_json()).unwrap();
        let selection = model.selection_of(&plan).unwrap();
        assert_eq!(selection, *solution.allocation.selection());
        assert!(matches!(
            model.stored_as(&selection).unwrap()[..],
            [StoredAs::PerWeight { bits: 8, protected: 1.. }]
        ));
        let read = model.read(Seed(1), 4, &selection).unwrap();
        for runner in [&runner, &other] {
            let again = scheme.store_planned(runner, &plan, &CodeLibrary::default()).unwrap();
            let selection = again.selection_of(&plan).unwrap();
            assert_eq!(again.read(Seed(1), 4, &selection).unwrap(), read);
        }
        let unlike = scheme.store(&other, &plan.flips, &CodeLibrary::default()).unwrap();
        let error = unlike.selection_of(&plan).unwrap_err().to_string();
        assert!(error.contains("in 32 channels, protected by weight"), "{error}");
    }

    /// The faults of a weight are those of its row-major position, as under any other scheme.
    #[test]
    fn faults_are_those_of_other_schemes() {
        let runner = Linear::new([3, 17]);
        let (ours, _) = stored(&Scheme::tac().by_weight(), &runner, 0.05);
        let (theirs, _) = stored(&channels(Decoder::Raw), &runner, 0.05);
        for trial in 0..3 {
            let read = |model: &StoredModel| model.read(Seed(2), trial, &model.uniform(0)).unwrap();
            assert_eq!(read(&ours), read(&theirs));
        }
        assert_eq!(ours.golden(), theirs.golden());
    }

    #[test]
    fn parts_of_tensors_are_refused() {
        let granularity = Granularity::Channel;
        let scheme = Scheme { granularity, ..Scheme::tac().by_weight() };
        let runner = Linear::new([3, 17]);
        let error = scheme.store(&runner, &flips(0.1), &CodeLibrary::default()).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("the group has 24 of the 768 weights"), "{source}");
    }
}
