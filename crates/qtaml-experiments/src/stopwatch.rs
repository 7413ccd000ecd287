//! The stopwatch: the time of a run by kind of work.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::results::{Section, Table, Value};

/// Work that is worth telling apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Making networks.
    Training,
    /// Finding out which weights matter.
    Sensitivity,
    /// Reading stored networks with faults, and asking them.
    Trials,
}

/// Wall-clock seconds of one experiment.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// By [`Phase`].
    pub phases: [f64; 3],
    /// Of everything, what is in no phase included.
    pub all: f64,
}

/// Measures one experiment after the other.
#[derive(Debug)]
pub struct Stopwatch {
    phases: Mutex<[Duration; 3]>,
    lap: Mutex<Instant>,
}

impl Default for Stopwatch {
    fn default() -> Self {
        Self { phases: Mutex::default(), lap: Mutex::new(Instant::now()) }
    }
}

impl Stopwatch {
    /// Does the work and books its time. Only the thread that runs the experiments is on the clock:
    /// what others do side by side is part of what it waits for.
    pub fn time<T>(&self, phase: Phase, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        if rayon::current_thread_index().is_none() {
            // What is in it is whole at any time.
            let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
            phases[phase as usize] += start.elapsed();
        }
        done
    }

    /// What was spent since the last lap, or since the start.
    pub fn lap(&self) -> Spent {
        let mut lap = self.lap.lock().unwrap_or_else(PoisonError::into_inner);
        let all = std::mem::replace(&mut *lap, Instant::now()).elapsed().as_secs_f64();
        let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        let phases = std::mem::take(&mut *phases).map(|phase| phase.as_secs_f64());
        Spent { phases, all }
    }
}

/// What all experiments took, and each of them.
pub fn table(sections: &[Section]) -> Table {
    let columns = ["experiment", "training", "sensitivity", "trials", "rest", "all"];
    let row = |name: &str, spent: Spent| -> Vec<Value> {
        let rest = (spent.all - spent.phases.iter().sum::<f64>()).max(0.0);
        let seconds = spent.phases.into_iter().chain([rest, spent.all]);
        let tenths = seconds.map(|s| Value::from((10.0 * s).round() / 10.0));
        std::iter::once(name.into()).chain(tenths).collect()
    };
    let sum = sections.iter().fold(Spent::default(), |sum, Section { spent, .. }| Spent {
        phases: std::array::from_fn(|i| sum.phases[i] + spent.phases[i]),
        all: sum.all + spent.all,
    });
    let rows = std::iter::once(row("all", sum));
    Table {
        id: "times".into(),
        title: "Where the time went, in seconds".into(),
        columns: columns.map(String::from).to_vec(),
        rows: rows.chain(sections.iter().map(|s| row(&s.id, s.spent))).collect(),
        in_report: true,
    }
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;
    use crate::results::sample;

    const NAP: Duration = Duration::from_millis(20);

    #[test]
    fn laps_know_their_phases() {
        let stopwatch = Stopwatch::default();
        stopwatch.time(Phase::Training, || std::thread::sleep(NAP));
        std::thread::sleep(NAP);
        let Spent { phases, all } = stopwatch.lap();
        assert!(phases[0] >= NAP.as_secs_f64() && all >= phases[0] + NAP.as_secs_f64());
        assert_eq!(phases[1..], [0.0; 2]);
        assert_eq!(stopwatch.lap().phases, [0.0; 3]);
    }

    #[test]
    fn what_is_done_side_by_side_counts_once() {
        let stopwatch = Stopwatch::default();
        let nap = |_| stopwatch.time(Phase::Training, || std::thread::sleep(NAP));
        stopwatch.time(Phase::Trials, || (0..4).into_par_iter().for_each(nap));
        let Spent { phases, all } = stopwatch.lap();
        assert_eq!(phases[0], 0.0);
        assert!(phases[2] > 0.0 && phases[2] <= all);
    }

    #[test]
    fn the_table_adds_up() {
        let spent = Spent { phases: [1.0, 0.5, 2.0], all: 4.0 };
        let section = |id: &str| Section { id: id.into(), spent, ..sample::section() };
        let rows = table(&[section("one"), section("two")]).rows;
        let row = |name: &str, seconds: [f64; 5]| -> Vec<Value> {
            std::iter::once(name.into()).chain(seconds.map(Value::from)).collect()
        };
        assert_eq!(rows[0], row("all", [2.0, 1.0, 4.0, 1.0, 8.0]));
        assert_eq!(rows[2], row("two", [1.0, 0.5, 2.0, 0.5, 4.0]));
    }
}
