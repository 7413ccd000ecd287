//! Accuracy under flipped bits, and under normal noise with the mean and the variance that each code has then.

use std::collections::BTreeMap;

use anyhow::Result;
use qtaml::compensation::Accounting;
use qtaml::deploy::Values;
use qtaml::deploy::scheme::Scheme;
use qtaml::fault::{BitMask, QuantizedChannel};
use qtaml::physics::FlipProbability;
use qtaml::quant::{BitWidth, Word};
use serde::Serialize;

use super::PROBABILITIES;
use crate::bench::{Bench, on_replicate};
use crate::context::Context;
use crate::stats::{Look, Mean, mean, mean_at};
use crate::workloads::networks::{Net, Replicate};
use crate::workloads::normal::standard_normal;

/// All numbers.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) look: Look,
    pub(super) rows: Vec<Row>,
    /// Accuracy under flips less that under the twin, in points: in the mean over networks and flip
    /// probabilities, with its interval over trainings.
    pub(super) difference: Mean,
    pub(super) patterns: u32,
}

/// One network at one flip probability, in the mean over trainings, in percent.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) net: Net,
    pub(super) p: f64,
    pub(super) flips: Mean,
    pub(super) twin: Mean,
    pub(super) difference: Mean,
}

pub(super) fn measure(context: &Context, look: Look) -> Result<Measured> {
    let trainings = look.trainings;
    let probabilities = &PROBABILITIES[..context.size(PROBABILITIES.len(), 1)];
    // Of each network and flip probability: accuracies by training.
    let mut cells: BTreeMap<(usize, usize), [Vec<f64>; 2]> = BTreeMap::new();
    let mut patterns = 0;
    for (number, net) in Net::ALL.into_iter().enumerate() {
        let task = context.progress.task(&format!("{} twins", net.id()), trainings as u64);
        for replicate in Replicate::first(trainings) {
            on_replicate(context, net, replicate, |bench| {
                patterns = bench.few;
                for (which, &p) in probabilities.iter().enumerate() {
                    let accuracies = of_training(bench, p)?;
                    let cell = cells.entry((number, which)).or_default();
                    cell.iter_mut()
                        .zip(accuracies)
                        .for_each(|(all, value)| all.push(100.0 * value));
                }
                Ok(())
            })?;
            task.tick(1);
        }
    }
    let rows = cells.iter().map(|(&(net, p), [flips, twin])| {
        let differences: Vec<f64> = flips.iter().zip(twin).map(|(a, b)| a - b).collect();
        Ok(Row {
            net: Net::ALL[net],
            p: probabilities[p],
            flips: mean(flips)?,
            twin: mean(twin)?,
            difference: mean(&differences)?,
        })
    });
    let rows = rows.collect::<Result<Vec<_>>>()?;
    let of_training = |training: usize| {
        let differences = cells.values().map(|[flips, twin]| flips[training] - twin[training]);
        differences.sum::<f64>() / cells.len() as f64
    };
    let differences: Vec<f64> = (0..trainings).map(of_training).collect();
    let difference = mean_at(&differences, look.level)?;
    Ok(Measured { look, rows, difference, patterns })
}

/// Mean accuracy under flips and under the twin, nothing protected, read as it is.
fn of_training(bench: &Bench<'_>, p: f64) -> Result<[f64; 2]> {
    let stored = bench.store(&Scheme::uniform(), p, Accounting::ProtectedBits)?;
    let patterns = 0..bench.few;
    let flips = bench.accuracies(&stored, &stored.model.uniform(0), patterns.clone())?;
    let twin = Twin::new(p)?;
    let noisy = |pattern: u32| Ok(twin.read(bench, &stored.golden, pattern));
    let twins = bench.accuracies_where(&("gaussian twin", p), patterns, noisy)?;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    Ok([mean(&flips), mean(&twins)])
}

/// Mean and standard deviation of what each INT8 code is read as, in steps.
struct Twin(BTreeMap<i32, [f64; 2]>);

impl Twin {
    fn new(p: f64) -> Result<Self> {
        let bits = BitWidth::INT8;
        let channel = QuantizedChannel::new(FlipProbability::symmetric(p)?, bits, BitMask::NONE)?;
        let moments = (0..=u8::MAX).map(|word| {
            let (code, word) = (i32::from(word.cast_signed()), Word(word));
            (code, [channel.mean(word), channel.variance(word).sqrt()])
        });
        Ok(Self(moments.collect()))
    }

    /// Weights read with such noise, drawn for each of them alone.
    fn read(&self, bench: &Bench<'_>, golden: &Values, pattern: u32) -> Values {
        let read = golden.iter().map(|(name, values)| {
            let mut rng = bench.seed.rng(&format!("gaussian/{name}"), pattern.into());
            let largest = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            let step = f64::from(largest) / f64::from(BitWidth::INT8.max_code());
            let noisy = values.iter().map(|&value| {
                let code = if step > 0.0 { (f64::from(value) / step).round() as i32 } else { 0 };
                let [mean, deviation] = self.0.get(&code).copied().unwrap_or_default();
                (step * (mean + deviation * standard_normal(&mut rng))) as f32
            });
            (name.clone(), noisy.collect())
        });
        read.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the words themselves: each of eight bits flips on its own.
    #[test]
    fn a_twin_has_the_moments_of_flipped_words() {
        let p = 0.07;
        let twin = Twin::new(p).unwrap();
        for stored in [0_u8, 1, 127, 128, 200, 255] {
            let (mut mean, mut square) = (0.0, 0.0);
            for read in 0..=u8::MAX {
                let flipped = (stored ^ read).count_ones() as i32;
                let chance = p.powi(flipped) * (1.0 - p).powi(8 - flipped);
                let value = f64::from(read.cast_signed());
                mean += chance * value;
                square += chance * value * value;
            }
            let [of_twin, deviation] = twin.0[&i32::from(stored.cast_signed())];
            assert!((of_twin - mean).abs() < 1e-9, "{stored}");
            assert!((deviation.powi(2) - (square - mean * mean)).abs() < 1e-6, "{stored}");
        }
    }
}
