//! Accuracy by flip probability, and the oxide and the years that have such a probability.

use anyhow::Result;
use qtaml::compensation::storage::ScalePolicy;
use qtaml::compensation::{Accounting, Decoder};
use qtaml::deploy::scheme::Scheme;
use qtaml::physics::{Barrier, Cell, Condition, YEAR_S};
use serde::Serialize;

use super::{OXIDE_NM, PROTECTED, SWEEP, YEARS};
use crate::bench::{Bench, Level, TARGET, falls, on_bench};
use crate::context::Context;
use crate::stats::{Mean, mean};
use crate::workloads::networks::Net;
use crate::workloads::reference_cell::reference;

/// All numbers.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) nets: Vec<OfNet>,
    /// Nanometres of oxide that protection saves, over networks.
    pub(super) saved_nm: Mean,
    pub(super) patterns: u32,
}

/// One network.
#[derive(Clone, Debug, Serialize)]
pub(super) struct OfNet {
    pub(super) net: Net,
    pub(super) clean: f64,
    /// By [`WAYS`].
    pub(super) ways: Vec<Way>,
}

/// One way to keep a network: its accuracy, and where it falls below the target.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) levels: Vec<Level>,
    /// The oxide of each of these in nanometres.
    pub(super) oxides: Vec<f64>,
    /// The largest flip probability that it bears.
    pub(super) bears: f64,
    /// The oxide that has it after [`YEARS`], in nanometres.
    pub(super) oxide_nm: f64,
    /// The years after which an oxide of [`OXIDE_NM`] has it.
    pub(super) years: f64,
}

/// What is compared; the first is without protection, the last is what saves oxide.
const WAYS: [&str; 3] = ["raw", "TAC, raw", "TAC, decoder and range of ours"];

pub(super) fn measure(context: &Context) -> Result<Measured> {
    let mut patterns = 0;
    let nets = Net::ALL.into_iter().map(|net| {
        on_bench(context, net, |bench| {
            patterns = bench.drawn;
            of_net(bench)
        })
    });
    let nets = nets.collect::<Result<Vec<_>>>()?;
    let saved = |of_net: &OfNet| of_net.ways[0].oxide_nm - of_net.ways[WAYS.len() - 1].oxide_nm;
    let saved: Vec<f64> = nets.iter().map(saved).collect();
    Ok(Measured { saved_nm: mean(&saved)?, nets, patterns })
}

fn of_net(bench: &Bench<'_>) -> Result<OfNet> {
    let decoded =
        Scheme { decoder: Decoder::BayesGain, scale: ScalePolicy::MinMse, ..Scheme::tac() };
    let schemes = [(Scheme::uniform(), 0.0), (Scheme::tac(), PROTECTED), (decoded, PROTECTED)];
    let sweep = &SWEEP[..bench.context.size(SWEEP.len(), 2)];
    let task =
        bench.context.progress.task(&format!("{} oxides", bench.net.id()), sweep.len() as u64);
    let mut levels = vec![Vec::new(); WAYS.len()];
    for &p in sweep {
        for (levels, (scheme, share)) in levels.iter_mut().zip(&schemes) {
            let stored = bench.store(scheme, p, Accounting::ProtectedBits)?;
            let path = stored.path();
            let budget = (share * stored.weight_bits()) as u64;
            let selection = path.at(path.step_within(budget)?).selection().clone();
            levels.push(Level::new(p, &bench.accuracies(&stored, &selection, 0..bench.drawn)?)?);
        }
        task.tick(1);
    }
    let target = 100.0 * TARGET * bench.judges.clean;
    let ways = WAYS.into_iter().zip(levels).map(|(name, levels)| Way::new(name, levels, target));
    Ok(OfNet { net: bench.net, clean: bench.judges.clean, ways: ways.collect::<Result<_>>()? })
}

impl Way {
    fn new(name: &'static str, levels: Vec<Level>, target: f64) -> Result<Self> {
        let (cell, _) = reference()?;
        let bears = bears(&levels, target);
        let kept = Condition::at_rest(YEARS * YEAR_S);
        let oxides = levels.iter().map(|level| Ok(cell.thickness_for(level.x, &kept)?));
        let oxide = Cell { barrier: Barrier::sio2(OXIDE_NM)?, ..cell };
        Ok(Self {
            name,
            oxides: oxides.collect::<Result<_>>()?,
            levels,
            bears,
            oxide_nm: cell.thickness_for(bears, &kept)?,
            years: oxide.retention_for(bears, &Condition::at_rest(0.0))? / YEAR_S,
        })
    }
}

/// The flip probability at which accuracy first falls below the target; the last one that was tried if it never
/// does.
fn bears(levels: &[Level], target: f64) -> f64 {
    let last = levels.last().map_or(0.0, |level| level.x);
    falls(levels, target).unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(x: f64, value: f64) -> Level {
        Level { x, accuracy: Mean { value, interval: [value; 2], deviation: 0.0 } }
    }

    #[test]
    fn a_curve_bears_what_lies_before_its_fall() {
        let curve = [level(1e-3, 99.0), level(1e-2, 97.0), level(0.1, 93.0)];
        let half = bears(&curve, 95.0);
        assert!((half / 10.0_f64.powf(-1.5) - 1.0).abs() < 1e-9, "{half}");
        assert_eq!((bears(&curve, 90.0), bears(&curve, 99.5)), (0.1, 1e-3));
    }

    /// A decade of flip probability is worth the oxide of `physics.decade`.
    #[test]
    fn oxides_and_years_have_the_flip_probability_that_is_borne() {
        let way = Way::new("raw", vec![level(1e-4, 99.0), level(1e-3, 90.0)], 95.0).unwrap();
        let (cell, _) = reference().unwrap();
        let barrier = Barrier::sio2(way.oxide_nm).unwrap();
        let kept = Condition::at_rest(YEARS * YEAR_S);
        let p = Cell { barrier, ..cell }.flip_probability(&kept).unwrap().p10();
        assert!((p / way.bears - 1.0).abs() < 1e-6, "{p} {}", way.bears);
        let oxide = Cell { barrier: Barrier::sio2(OXIDE_NM).unwrap(), ..cell };
        let after = Condition::at_rest(way.years * YEAR_S);
        let p = oxide.flip_probability(&after).unwrap().p10();
        assert!((p / way.bears - 1.0).abs() < 1e-6, "{p} {}", way.bears);
        assert!(way.oxides[0] > way.oxide_nm && way.oxide_nm > way.oxides[1]);
    }
}
