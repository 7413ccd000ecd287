//! From plain statistics of layers and a budget to a plan.

use qtaml_fault::{BitMask, Ecc, FaultError};
use qtaml_physics::FlipProfile;
use qtaml_quant::Format;

use crate::allocation::{AllocationProblem, Candidate, GreedyPath, MOST_STATES, Solution, exact};
use crate::protection_sets::{Protected, Reading};
use crate::{
    Accounting, CodeHistogram, CompensationError, Decoder, FittedPrior, Plan, PlanLayer, Prior,
    ProtectionSets,
};

/// What may be spent, or what must be reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// So many bits.
    Bits(u64),
    /// This share of all stored weight bits.
    Share(f64),
    /// As many bits as bring the predicted output noise down to this: the first allocation on the
    /// optimal path that does.
    Noise(f64),
}

impl Budget {
    /// The best allocation for units whose weights take so many bits in the memory.
    ///
    /// It is the optimum, up to the gap that [`exact`] leaves after [`MOST_STATES`] partial
    /// solutions. That of [`Noise`](Self::Noise) is one for what it costs; to get there for less
    /// may be possible between two steps of the path.
    ///
    /// # Errors
    /// [`CompensationError::BudgetShare`] for a share that is negative, NaN or infinite,
    /// [`CompensationError::Noise`] for noise that full protection exceeds, and
    /// [`CompensationError::Budget`] if not even the cheapest choices fit.
    pub fn solve(
        self,
        units: &AllocationProblem,
        weight_bits: u64,
    ) -> Result<Solution, CompensationError> {
        match self {
            Self::Bits(bits) => exact(units, bits, MOST_STATES),
            Self::Share(share) if share >= 0.0 && share.is_finite() => {
                exact(units, (share * weight_bits as f64) as u64, MOST_STATES)
            }
            Self::Share(share) => Err(CompensationError::BudgetShare(share)),
            Self::Noise(noise) => first_below(units, noise),
        }
    }
}

/// Decides which bits of which layer to protect.
///
/// ```
/// use qtaml_compensation::{Budget, CodeHistogram, Decoder, Planner};
/// use qtaml_physics::FlipProbability;
/// use qtaml_quant::{BitWidth, Format, QuantizedTensor};
///
/// let weights: Vec<f32> = (0..1000).map(|i| (i as f32).sin()).collect();
/// let stored = QuantizedTensor::quantize(&weights, &[1000], BitWidth::INT8)?;
/// let histogram = CodeHistogram::of(&stored);
///
/// let mut planner =
///     Planner::new(FlipProbability::symmetric(0.1)?, Format::INT8, Decoder::Raw)?;
/// planner.add_layer("first", &histogram, 1000, 30.0)?;
/// planner.add_layer("second", &histogram, 1000, 1.0)?;
/// let plan = planner.plan(Budget::Share(0.25))?;
/// // The most sensitive layer first: four bits in all, three of them there.
/// assert_eq!(plan.layers[0].protected, [7, 6, 5]);
/// assert_eq!(plan.layers[1].protected, [7]);
/// assert_eq!(plan.overhead, 0.25);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Planner {
    flips: FlipProfile,
    format: Format,
    decoder: Decoder,
    ecc: Ecc,
    sets: ProtectionSets,
    reading: Reading,
    layers: Vec<Layer>,
}

#[derive(Debug, Clone)]
struct Layer {
    name: String,
    weights: usize,
    score: f64,
    prior: Option<FittedPrior>,
    sets: Vec<Protected>,
}

impl Planner {
    /// A planner for words that flip like this and are read by this decoder, with ideal protection
    /// of top bits.
    ///
    /// # Errors
    /// [`CompensationError::Fault`] for flip probabilities of another width.
    pub fn new(
        flips: impl Into<FlipProfile>,
        format: impl Into<Format>,
        decoder: Decoder,
    ) -> Result<Self, CompensationError> {
        Self::build(flips.into(), format.into(), decoder, Ecc::Ideal, ProtectionSets::Top)
    }

    /// The same with protected bits in a real code: costs then count its check bits. For layers
    /// that are added afterwards; those added before are dropped.
    ///
    /// # Errors
    /// As [`Ecc::residual`].
    pub fn with_ecc(self, ecc: Ecc) -> Result<Self, CompensationError> {
        Self::build(self.flips, self.format, self.decoder, ecc, self.sets)
    }

    /// The same with other sets of bits to choose from, for layers that are added afterwards.
    #[must_use]
    pub fn protecting(self, sets: ProtectionSets) -> Self {
        Self { sets, ..self }
    }

    fn build(
        flips: FlipProfile,
        format: Format,
        decoder: Decoder,
        ecc: Ecc,
        sets: ProtectionSets,
    ) -> Result<Self, CompensationError> {
        let reading = Reading::new(flips.clone(), format, decoder, ecc)?;
        Ok(Self { flips, format, decoder, ecc, sets, reading, layers: Vec::new() })
    }

    /// Adds a layer of so many weights. The score is the output noise per unit of mean square error
    /// of its codes ([`Score::of`](crate::Score::of)).
    ///
    /// With 9 sets of top bits it takes less than a millisecond at 8 bits, whatever the decoder. All 256
    /// sets take no longer with the raw decoder in two's complement and offset binary, where the
    /// error follows from that of single bits; otherwise each is summed over all words, some
    /// 10 ms together (`cargo xtask bench allocation`).
    ///
    /// # Errors
    /// [`CompensationError::EmptyLayer`] without weights, [`CompensationError::PlanNumber`] for a
    /// score that is negative, NaN or infinite, [`FaultError::Format`] for a histogram of another
    /// format, and as [`DecodeTable::new`](crate::DecodeTable::new).
    pub fn add_layer(
        &mut self,
        name: impl Into<String>,
        histogram: &CodeHistogram,
        weights: usize,
        score: f64,
    ) -> Result<(), CompensationError> {
        let name = name.into();
        if weights == 0 {
            return Err(CompensationError::EmptyLayer(name));
        }
        if !(score >= 0.0 && score.is_finite()) {
            let what = format!("score of layer {name:?}");
            return Err(CompensationError::PlanNumber { what, value: score });
        }
        if histogram.format() != self.format {
            let (given, expected) = (histogram.format(), self.format);
            return Err(FaultError::Format { given, expected }.into());
        }
        let prior = self.decoder.needs_prior().then(|| Prior::default().fitted_to(histogram));
        let believed = match &prior {
            Some(prior) => prior.histogram(histogram.format(), weights)?,
            None => histogram.clone(),
        };
        let sets = self.reading.sets(histogram, &believed, self.sets)?;
        self.layers.push(Layer { name, weights, score, prior, sets });
        Ok(())
    }

    /// The best plan for a budget.
    ///
    /// # Errors
    /// [`CompensationError::DuplicateLayer`] for two layers of one name, and as [`Budget::solve`] and
    /// [`AllocationProblem::push`].
    pub fn plan(&self, budget: Budget) -> Result<Plan, CompensationError> {
        self.write(&budget.solve(&self.units()?, self.weight_bits()?)?)
    }

    fn write(&self, solution: &Solution) -> Result<Plan, CompensationError> {
        let Solution { allocation, lower_bound, proven } = solution;
        let chosen = self.layers.iter().zip(allocation.chosen());
        let layers = chosen.map(|(layer, &set)| self.planned(layer, set));
        let plan = Plan {
            schema: Plan::SCHEMA,
            flips: self.flips.clone(),
            format: self.format,
            decoder: self.decoder,
            accounting: match self.ecc {
                Ecc::Ideal => Accounting::ProtectedBits,
                Ecc::Code(_) | Ecc::Interleaved { .. } => Accounting::CheckBits,
            },
            layers: layers.collect::<Result<_, _>>()?,
            // Nothing costs nothing.
            overhead: allocation.overhead(self.weight_bits()?.max(1)),
            predicted_output_noise: allocation.distortion(),
            lower_bound: *lower_bound,
            proven: *proven,
        };
        plan.check()?;
        Ok(plan)
    }

    /// The layers as units: their choices are sets of bits.
    ///
    /// # Errors
    /// As [`AllocationProblem::push`].
    pub fn units(&self) -> Result<AllocationProblem, CompensationError> {
        let mut units = AllocationProblem::default();
        for layer in &self.layers {
            let choices = layer.sets.iter().map(|set| {
                let cost = self.cost(layer, set.bits)?;
                Ok(Candidate { cost, distortion: layer.score * set.mean_square_error })
            });
            let choices = choices.collect::<Result<Vec<_>, CompensationError>>()?;
            units.push(layer.name.as_str(), choices)?;
        }
        Ok(units)
    }

    fn planned(&self, layer: &Layer, set: u32) -> Result<PlanLayer, CompensationError> {
        let set = layer.sets[set as usize];
        Ok(PlanLayer {
            name: layer.name.clone(),
            weights: layer.weights,
            protected: PlanLayer::bits_of(set.bits),
            code: self.ecc,
            scale: None,
            prior: layer.prior.clone(),
            cost_bits: self.cost(layer, set.bits)?,
            predicted_mse: set.mean_square_error,
            predicted_output_noise: layer.score * set.mean_square_error,
        })
    }

    /// Protected bits, or the check bits that keep them.
    fn cost(&self, layer: &Layer, bits: BitMask) -> Result<u64, CompensationError> {
        let weights = layer.weights as u64;
        let per_bit =
            if self.ecc == Ecc::Ideal { weights } else { self.ecc.check_bits(weights)? };
        let cost = per_bit.checked_mul(u64::from(bits.count()));
        cost.ok_or_else(|| CompensationError::Cost(layer.name.clone()))
    }

    fn weight_bits(&self) -> Result<u64, CompensationError> {
        let width = u64::from(self.format.bits().get());
        self.layers.iter().try_fold(0_u64, |sum, layer| {
            let bits = (layer.weights as u64).checked_mul(width);
            let all = bits.and_then(|bits| sum.checked_add(bits));
            all.ok_or_else(|| CompensationError::Cost(layer.name.clone()))
        })
    }
}

fn first_below(units: &AllocationProblem, noise: f64) -> Result<Solution, CompensationError> {
    let path = GreedyPath::optimal(units);
    let found = (0..path.len()).find(|&step| path.distortion(step) <= noise);
    let range = |step| path.distortion(step);
    let step = found.ok_or_else(|| CompensationError::Noise {
        noise,
        least: range(path.len() - 1),
        most: range(0),
    })?;
    let allocation = path.at(step);
    Ok(Solution { lower_bound: allocation.distortion(), allocation, proven: true })
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use qtaml_fault::QuantizedChannel;
    use qtaml_physics::FlipProbability;
    use qtaml_quant::{BitWidth, QuantizedTensor};

    use super::*;
    use crate::mean_square_error;

    fn histogram(power: i32) -> CodeHistogram {
        let weights: Vec<f32> = (0..800).map(|i| (i as f32 * 0.37).sin().powi(power)).collect();
        CodeHistogram::of(&QuantizedTensor::quantize(&weights, &[800], BitWidth::INT8).unwrap())
    }

    fn planner(decoder: Decoder) -> Planner {
        Planner::new(FlipProbability::symmetric(0.1).unwrap(), Format::INT8, decoder).unwrap()
    }

    fn filled(mut planner: Planner) -> Planner {
        for (i, (weights, score)) in [(800, 1.0), (64, 300.0), (5000, 0.1)].into_iter().enumerate()
        {
            planner
                .add_layer(format!("{i}"), &histogram(2 * i as i32 + 1), weights, score)
                .unwrap();
        }
        planner
    }

    /// What a plan predicts is what the channel with these bits protected does.
    #[test]
    fn predictions_are_those_of_the_channel() {
        for decoder in Decoder::ALL {
            let plan = filled(planner(decoder)).plan(Budget::Share(0.2)).unwrap();
            assert!(plan.overhead <= 0.2 && plan.accounting == Accounting::ProtectedBits);
            let mut noise = 0.0;
            for (i, (layer, score)) in plan.layers.iter().zip([1.0, 300.0, 0.1]).enumerate() {
                let protection = layer.protection(plan.format).unwrap();
                let channel =
                    QuantizedChannel::new(plan.flips.clone(), plan.format, protection).unwrap();
                let stored = histogram(2 * i as i32 + 1);
                let table = plan.table(layer).unwrap();
                let mse = mean_square_error(&stored, &channel, &table);
                assert_relative_eq!(layer.predicted_mse, mse, max_relative = 1e-9);
                assert_eq!(layer.cost_bits, u64::from(protection.count()) * layer.weights as u64);
                noise += score * mse;
            }
            assert_relative_eq!(plan.predicted_output_noise, noise, max_relative = 1e-9);
            assert_eq!(Plan::from_json(&plan.to_json()).unwrap(), plan);
        }
    }

    #[test]
    fn noise_is_brought_down_to_what_is_asked() {
        let planner = filled(planner(Decoder::Raw));
        let wanted = planner.plan(Budget::Bits(0)).unwrap().predicted_output_noise / 50.0;
        let plan = planner.plan(Budget::Noise(wanted)).unwrap();
        assert!(plan.predicted_output_noise <= wanted && plan.overhead < 1.0);
        assert!(plan.proven && plan.gap() == 0.0);
        assert_eq!(planner.plan(Budget::Noise(0.0)).unwrap().overhead, 1.0);
        for bad in [-1.0, f64::NAN] {
            assert!(planner.plan(Budget::Noise(bad)).is_err());
            assert!(planner.plan(Budget::Share(bad)).is_err());
        }
    }

    /// What the search did not settle is said, and the bound is kept.
    #[test]
    fn an_unproven_plan_says_so() {
        let planner = filled(planner(Decoder::Raw));
        let (units, best) = (planner.units().unwrap(), planner.plan(Budget::Share(0.3)).unwrap());
        assert!(best.proven && best.lower_bound == best.predicted_output_noise);
        let early = exact(&units, (0.3 * 8.0 * 5864.0) as u64, 0).unwrap();
        let early = planner.write(&early).unwrap();
        assert!(!early.proven && early.gap() > 0.0);
        assert!(early.lower_bound <= best.predicted_output_noise);
        assert!(Plan::from_json(&early.to_json()).unwrap() == early);
    }

    /// Three copies of a bit store two check bits, and leave some of the errors.
    #[test]
    fn a_real_code_costs_check_bits() {
        let ecc = "repetition:3".parse().unwrap();
        let plan = filled(planner(Decoder::Raw).with_ecc(ecc).unwrap());
        let plan = plan.plan(Budget::Share(3.0)).unwrap();
        assert_eq!(plan.accounting, Accounting::CheckBits);
        for layer in &plan.layers {
            assert_eq!(layer.cost_bits, 2 * 8 * layer.weights as u64, "everything is affordable");
            assert!(layer.predicted_mse > 0.0);
        }
        assert_eq!(plan.overhead, 2.0);
    }

    #[test]
    fn a_histogram_of_other_words_is_refused() {
        let flips = FlipProbability::symmetric(0.1).unwrap();
        for decoder in Decoder::ALL {
            let mut narrow = Planner::new(flips, BitWidth::INT4, decoder).unwrap();
            let error = narrow.add_layer("a", &histogram(1), 1, 1.0).unwrap_err();
            assert!(
                matches!(error, CompensationError::Fault(FaultError::Format { .. })),
                "{error}"
            );
        }
    }

    #[test]
    fn bad_layers_are_refused() {
        let mut planner = planner(Decoder::Raw);
        let empty = planner.add_layer("a", &histogram(1), 0, 1.0);
        assert_eq!(empty, Err(CompensationError::EmptyLayer("a".into())));
        let error = planner.add_layer("a", &histogram(1), 1, f64::NAN).unwrap_err().to_string();
        assert!(error.contains("score of layer \"a\" is NaN"), "{error}");
        let mut many = planner.clone();
        many.add_layer("all", &histogram(1), usize::MAX, 1.0).unwrap();
        assert_eq!(many.plan(Budget::Bits(1)), Err(CompensationError::Cost("all".into())));
        planner.add_layer("a", &histogram(1), 1, 1.0).unwrap();
        planner.add_layer("a", &histogram(1), 1, 1.0).unwrap();
        let twice = planner.plan(Budget::Bits(1));
        assert_eq!(twice, Err(CompensationError::DuplicateLayer("a".into())));
        assert!(
            Planner::new(FlipProbability::NEVER, BitWidth::INT8, Decoder::Raw)
                .unwrap()
                .plan(Budget::Share(0.1))
                .unwrap()
                .layers
                .is_empty()
        );
    }
}
