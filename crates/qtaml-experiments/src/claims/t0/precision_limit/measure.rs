//! Accuracy and the change of scores by the bits of a weight, from 2 to 16.

use anyhow::Result;
use qtaml::deploy::{Evaluation, Metric, Values};
use qtaml::physics::XI;
use serde::Serialize;

use super::{TOLERANCE, WIDTHS};
use crate::bench::{Bench, on_replicate};
use crate::context::Context;
use crate::stats::{Mean, mean};
use crate::workloads::networks::{Net, Replicate};

/// All numbers.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) nets: Vec<OfNet>,
    /// The fewest bits from which on accuracy is that of floating point: in the mean over networks, with its
    /// interval over trainings.
    pub(super) enough: Mean,
    pub(super) trainings: usize,
}

/// One network, by width.
#[derive(Clone, Debug, Serialize)]
pub(super) struct OfNet {
    pub(super) net: Net,
    /// Points of accuracy that rounding loses, in the mean over trainings.
    pub(super) lost: Vec<f64>,
    /// Squared change of the scores over their square, in the mean over trainings.
    pub(super) change: Vec<f64>,
    /// The fewest bits that are enough, training by training.
    pub(super) enough: Vec<u32>,
}

/// The bits in which ξ is one step of a range of 1.
pub(super) fn bits_of_xi() -> f64 {
    -XI.log2()
}

pub(super) fn measure(context: &Context) -> Result<Measured> {
    let trainings = context.trainings();
    let nets = Net::ALL.into_iter().map(|net| {
        let mut all = Vec::new();
        for replicate in Replicate::first(trainings) {
            all.push(on_replicate(context, net, replicate, of_training)?);
        }
        let mean = |of: fn(&Rounded) -> f64| -> Vec<f64> {
            let at = |i: usize| all.iter().map(|r: &Vec<Rounded>| of(&r[i])).sum::<f64>();
            (0..WIDTHS.count()).map(|i| at(i) / all.len() as f64).collect()
        };
        Ok(OfNet {
            net,
            lost: mean(|rounded| rounded.lost),
            change: mean(|rounded| rounded.change),
            enough: all.iter().map(|rounded| enough(rounded)).collect(),
        })
    });
    let nets = nets.collect::<Result<Vec<_>>>()?;
    let of_training = |training: usize| {
        nets.iter().map(|net| f64::from(net.enough[training])).sum::<f64>() / nets.len() as f64
    };
    let enough = mean(&(0..trainings).map(of_training).collect::<Vec<_>>())?;
    Ok(Measured { nets, enough, trainings })
}

/// What rounding to one width does.
#[derive(Clone, Copy, Debug)]
struct Rounded {
    lost: f64,
    change: f64,
}

fn of_training(bench: &Bench<'_>) -> Result<Vec<Rounded>> {
    let runner = &*bench.calibration;
    let clean = Evaluation::new(runner.outputs(Values::new())?, Metric::RelativeError)?;
    let mut weights = Values::new();
    for (index, tensor) in runner.tensors().iter().enumerate() {
        if tensor.role.is_weight() {
            weights.insert(tensor.name.clone(), runner.values(index)?);
        }
    }
    let at = |bits: u32| {
        let rounded: Values =
            weights.iter().map(|(name, values)| (name.clone(), round(values, bits))).collect();
        let lost = 100.0 * (bench.judges.float() - bench.judges.accuracy_of(rounded.clone())?);
        Ok(Rounded { lost, change: clean.score(&runner.outputs(rounded)?)? })
    };
    WIDTHS.map(at).collect()
}

/// The nearest of so many evenly spaced values up to the largest.
fn round(values: &[f32], bits: u32) -> Vec<f32> {
    let largest = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
    let step = largest / ((1_u32 << (bits - 1)) - 1) as f32;
    values
        .iter()
        .map(|value| if step > 0.0 { (value / step).round() * step } else { 0.0 })
        .collect()
}

/// The fewest bits from which on no width loses more than the tolerance; one more than there are if even the
/// last does.
fn enough(rounded: &[Rounded]) -> u32 {
    let last_bad = rounded.iter().rposition(|rounded| rounded.lost > TOLERANCE);
    WIDTHS.start() + last_bad.map_or(0, |i| i as u32 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enough_is_from_where_on_nothing_is_lost() {
        let of = |lost: &[f64]| {
            enough(&lost.iter().map(|&lost| Rounded { lost, change: 0.0 }).collect::<Vec<_>>())
        };
        assert_eq!(of(&[80.0, 20.0, 0.4, 0.6, 0.1, -0.2]), 6);
        assert_eq!(of(&[0.0, 0.0]), 2);
        assert_eq!(of(&[80.0, 20.0]), 4);
    }

    #[test]
    fn rounding_halves_the_error_with_every_bit() {
        let values: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.618).fract() - 0.5).collect();
        let error = |bits| {
            let rounded = round(&values, bits);
            values.iter().zip(rounded).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
        };
        for bits in [4, 8, 12] {
            let ratio = error(bits) / error(bits + 1);
            assert!((1.7..2.4).contains(&ratio), "{bits}: {ratio}");
        }
        assert_eq!(round(&[0.0, 0.0], 4), [0.0, 0.0]);
    }

    #[test]
    fn xi_is_a_step_of_nearly_thirteen_bits() {
        assert!((bits_of_xi() - 12.87).abs() < 0.01);
    }
}
