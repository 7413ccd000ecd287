//! Candidates for a tensor that is protected weight by weight: one for each price of a protected bit.

use std::sync::Arc;

use qtaml_fault::{BitMask, Ecc};
use qtaml_quant::QuantizedTensor;
use rayon::prelude::*;

use super::power::Power;
use super::scores::{Scores, reached, top_masks};
use super::{PerWeightStorage, Shared};
use crate::storage::ends::{self, ends_at, relative_distances, spread};
use crate::storage::writer::Candidates;
use crate::storage::{BitChoice, GroupWeights, QuantizedMemory, QuantizedSpec, ScalePolicy};
use crate::{CodeHistogram, DecodeTable, StorageError, mean_square_error};

/// The number of prices that are tried at most, each the square root of 2 below the one before: 128
/// octaves, after which everything is protected.
const PRICES: usize = 256;
/// Output channels whose errors are summed up together: the sum must not depend on the threads.
const CHANNELS: usize = 64;

/// Refuses what cannot be protected weight by weight.
pub(in crate::storage) fn check(
    memory: &QuantizedMemory,
    spec: &QuantizedSpec,
) -> Result<(), StorageError> {
    let refused = |what: &'static str, given: String| StorageError::PerWeight { what, given };
    match memory.memory().ecc {
        Ecc::Ideal => {}
        ecc => return Err(refused("ideal protection", format!("the code {ecc}"))),
    }
    if !spec.range.is_symmetric() {
        return Err(refused("a symmetric range", format!("the range {}", spec.range)));
    }
    match &spec.protection {
        BitChoice::Top => Ok(()),
        other => Err(refused("top bits", format!("the bits {other:?}"))),
    }
}

/// The candidates for a tensor, by rising cost: nothing protected first, everything last.
pub(in crate::storage) fn candidates(
    group: &GroupWeights,
    memory: &Arc<QuantizedMemory>,
    spec: &QuantizedSpec,
) -> Result<Candidates, StorageError> {
    if group.weights().len() != group.tensor().len() {
        let (weights, tensor) = (group.weights().len(), group.tensor().len());
        return Err(StorageError::NotWhole { weights, tensor });
    }
    let power = Power::of_group(group)?;
    let (words, scales) = words(group, memory, spec)?;
    let (channels, format) = (group.channels(), memory.format());
    let scores = Scores::new(words.len(), channels, scales, power.exponents(channels));
    let masks = top_masks(format.bits())?;
    let all = QuantizedTensor::from_words(words.clone(), &[words.len()], format, 1.0)?;
    let stored = CodeHistogram::of(&all);
    let table = |mask: &BitMask| {
        let channel = memory.channel(*mask)?;
        Ok(DecodeTable::of_unit(spec.decoder, &channel, spec.prior, &stored)?)
    };
    let tables = masks.iter().map(table).collect::<Result<Vec<_>, StorageError>>()?;
    let fitted = || spec.prior.fitted_in(spec.range, &stored);
    let prior = spec.decoder.needs_prior().then(fitted);
    let (memory, decoder) = (memory.clone(), spec.decoder);
    let shared = Shared { memory, scores, words, decoder, prior, tables, masks };
    let gains = gains(&errors(&shared, &stored)?);
    let thresholds = offers(&shared.scores, &gains, shared.masks.len() - 1);
    let sums = sums(&shared, group.weights(), &power, &thresholds)?;
    Ok(distinct(shared, thresholds, &sums))
}

/// The words of all weights, channel by channel, and the scales.
fn words(
    group: &GroupWeights,
    memory: &QuantizedMemory,
    spec: &QuantizedSpec,
) -> Result<(Vec<u8>, Vec<f32>), StorageError> {
    let length = group.weights().len() / group.channels();
    let ranges = (0..group.channels()).map(|channel| channel * length..(channel + 1) * length);
    let shared = ends::of_tensor(group, spec)?;
    let parts = match shared {
        Some(_) => vec![group.clone()],
        None => GroupWeights::parts(group.tensor(), ranges)?,
    };
    // What is clipped is lost whatever is protected: the range is that of a memory without faults.
    let all = BitMask::top(spec.format.bits().get(), spec.format.bits())?;
    let distance = match spec.scale {
        ScalePolicy::MinMse => relative_distances(group, memory, spec, &[all])?.pop(),
        _ => None,
    };
    let quantize = |part: &GroupWeights| {
        let ends = match (distance, shared) {
            (Some(distance), _) => ends_at(distance * spread(part.weights(), spec), part, spec),
            (None, Some(shared)) => shared,
            (None, None) => part.ends(spec.range),
        };
        part.quantize(spec.format, spec.range, ends)
    };
    let stored: Vec<QuantizedTensor> = parts.par_iter().map(quantize).collect::<Result<_, _>>()?;
    let scales = stored.iter().map(QuantizedTensor::scale).collect();
    Ok((stored.iter().flat_map(QuantizedTensor::words).copied().collect(), scales))
}

/// The mean square error of the codes by the number of protected bits, in squared steps.
fn errors(shared: &Shared, stored: &CodeHistogram) -> Result<Vec<f64>, StorageError> {
    let error = |(mask, table): (&BitMask, &DecodeTable)| {
        let channel = shared.memory.channel(*mask)?;
        Ok(mean_square_error(stored, &channel, table)?)
    };
    shared.masks.iter().zip(&shared.tables).map(error).collect()
}

/// What each protected bit takes from the error: the slopes of its lower convex hull, which fall. Bits
/// behind the last that takes something are left out.
fn gains(errors: &[f64]) -> Vec<f64> {
    let mut gains = Vec::new();
    let mut at = 0;
    while at + 1 < errors.len() {
        let slope = |end: usize| (errors[at] - errors[end]) / (end - at) as f64;
        let steepest = (at + 1..errors.len()).max_by(|&a, &b| slope(a).total_cmp(&slope(b)));
        let Some(end) = steepest.filter(|&end| slope(end) > 0.0) else { break };
        gains.extend(std::iter::repeat_n(slope(end), end - at));
        at = end;
    }
    gains
}

/// The thresholds of all candidates: nothing protected, then by falling price, then everything.
fn offers(scores: &Scores, gains: &[f64], bits: usize) -> Vec<Vec<f64>> {
    let scores = (0..scores.channels).flat_map(|channel| scores.of_channel(channel));
    let (least, most) = scores
        .filter(|&score| score > 0.0)
        .fold((f64::INFINITY, 0.0_f64), |(least, most), score| (least.min(score), most.max(score)));
    let mut offers = vec![Vec::new()];
    if let (Some(first), Some(last), true) = (gains.first(), gains.last(), most > 0.0) {
        let half_octave = |price: f64| (2.0 * price.log2()) as i32;
        let steps = half_octave(least * last) - 1..=half_octave(most * first) + 1;
        offers.extend(steps.rev().take(PRICES).map(|step| {
            let price = price(step);
            // A score of 0 reaches no threshold, and no score the largest.
            gains.iter().map(|gain| (price / gain).clamp(f64::MIN_POSITIVE, f64::MAX)).collect()
        }));
    }
    offers.push(vec![0.0; bits]);
    offers
}

/// The price of so many half octaves, the same on every machine.
fn price(half_octaves: i32) -> f64 {
    let odd = if half_octaves.rem_euclid(2) == 1 { std::f64::consts::SQRT_2 } else { 1.0 };
    odd * 2.0_f64.powi(half_octaves.div_euclid(2))
}

/// What a candidate protects, and the weighted sum of its square errors.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    protected: u64,
    error: f64,
}

/// The sums of all candidates over all weights.
fn sums(
    shared: &Shared,
    weights: &[f32],
    power: &Power,
    offers: &[Vec<f64>],
) -> Result<Vec<Sum>, StorageError> {
    let moments = |(mask, table): (&BitMask, &DecodeTable)| {
        Ok(shared.memory.channel(*mask)?.moments_of(table.values())?)
    };
    let tables = shared.masks.iter().zip(&shared.tables);
    let moments = tables.map(moments).collect::<Result<Vec<_>, StorageError>>()?;
    let cells = Cells { shared, weights, power, moments };
    let channels = shared.scores.channels;
    let starts: Vec<usize> = (0..channels).step_by(CHANNELS).collect();
    let chunk = |&start: &usize| {
        let mut sums = vec![Sum::default(); offers.len()];
        for channel in start..(start + CHANNELS).min(channels) {
            cells.add(channel, offers, &mut sums);
        }
        sums
    };
    let chunks: Vec<Vec<Sum>> = starts.par_iter().map(chunk).collect();
    let mut all = vec![Sum::default(); offers.len()];
    for chunk in chunks {
        for (all, sum) in all.iter_mut().zip(chunk) {
            all.protected += sum.protected;
            all.error += sum.error;
        }
    }
    Ok(all)
}

/// Weights of one score: those of a channel whose columns have one exponent.
struct Cells<'a> {
    shared: &'a Shared,
    weights: &'a [f32],
    power: &'a Power,
    /// Mean and variance of what each word is read as, by the number of protected bits.
    moments: Vec<Vec<(f64, f64)>>,
}

impl Cells<'_> {
    /// Adds the weights of a channel to the sums of all candidates.
    fn add(&self, channel: usize, offers: &[Vec<f64>], sums: &mut [Sum]) {
        let scores = &self.shared.scores;
        let (count, errors) = self.errors(channel);
        for (offer, sum) in offers.iter().zip(sums) {
            for (class, score) in scores.of_channel(channel).enumerate() {
                let bits = reached(score, offer);
                sum.protected += u64::from(bits) * count[class];
                sum.error += errors[class * self.moments.len() + usize::from(bits)];
            }
        }
    }

    /// How many weights each cell of a channel has, and the sum of their square errors by the number of
    /// protected bits, weighted by their power.
    fn errors(&self, channel: usize) -> (Vec<u64>, Vec<f64>) {
        let scores = &self.shared.scores;
        let (length, levels) = (scores.channel_len(), self.moments.len());
        let scale = f64::from(scores.scale(channel));
        let mut count = vec![0; scores.classes()];
        let mut errors = vec![0.0; scores.classes() * levels];
        for (column, &class) in scores.class_of().iter().enumerate() {
            let (at, class) = (channel * length + column, usize::from(class));
            let (weight, word) = (f64::from(self.weights[at]), self.shared.words[at]);
            let power = self.power.of(at);
            count[class] += 1;
            for (error, moments) in errors[class * levels..].iter_mut().zip(&self.moments) {
                let (mean, variance) = moments[usize::from(word)];
                *error += power * ((weight - scale * mean).powi(2) + scale * scale * variance);
            }
        }
        (count, errors)
    }
}

/// The storages of all candidates but those that protect as much as the one before.
fn distinct(shared: Shared, offers: Vec<Vec<f64>>, sums: &[Sum]) -> Candidates {
    let (weights, shared) = (shared.words.len() as f64, Arc::new(shared));
    let mut storages: Candidates = Vec::new();
    let mut last = None;
    for (thresholds, sum) in offers.into_iter().zip(sums) {
        if last == Some(sum.protected) {
            continue;
        }
        last = Some(sum.protected);
        storages.push(Arc::new(PerWeightStorage {
            shared: shared.clone(),
            thresholds,
            protected_bits: sum.protected,
            mean_square_error: sum.error / weights,
        }));
    }
    storages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains_are_the_slopes_of_the_hull() {
        assert_eq!(gains(&[16.0, 8.0, 4.0, 2.0]), [8.0, 4.0, 2.0]);
        // The second bit gains more than the first: both have their mean.
        assert_eq!(gains(&[10.0, 9.0, 2.0, 2.0]), [4.0, 4.0]);
        // What a bit loses another may win back.
        assert_eq!(gains(&[10.0, 11.0, 4.0]), [3.0, 3.0]);
        assert!(gains(&[0.0, 0.0, 0.0]).is_empty() && gains(&[1.0]).is_empty());
    }

    #[test]
    fn prices_are_half_octaves() {
        assert_eq!([price(0), price(2), price(-4)], [1.0, 2.0, 0.25]);
        for step in -9..9 {
            assert!((price(step + 1) / price(step) - 2.0_f64.sqrt()).abs() < 1e-12);
        }
    }
}
