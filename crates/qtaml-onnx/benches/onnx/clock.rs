//! Processor time of this process, and blocks of work that are long enough to be timed.

use std::time::Instant;

/// Rounds that count.
const ROUNDS: u32 = 9;
/// What takes less than so many seconds is repeated until it has taken as much: a tick of the clock of
/// processor time is a hundredth of a second.
const LEAST: f64 = 0.2;
/// Seconds of a tick, which Linux has fixed for all that it tells to programs.
const TICK: f64 = 0.01;

/// So many turns of the same work.
#[derive(Clone, Copy)]
pub(super) struct Block {
    turns: u32,
}

impl Block {
    pub(super) fn turns(self) -> u32 {
        self.turns
    }

    /// The seconds of one turn.
    pub(super) fn seconds(self, mut work: impl FnMut(u32)) -> f64 {
        let start = Clock::now();
        (0..self.turns).for_each(&mut work);
        start.seconds() / f64::from(self.turns)
    }
}

/// Rounds of blocks.
pub(super) struct Blocks(Block);

impl Blocks {
    /// Blocks that last long enough for this work, which is also warmed up.
    pub(super) fn of(work: impl Fn()) -> Self {
        let mut turns = 1;
        loop {
            let block = Block { turns };
            if block.seconds(|_| work()) * f64::from(turns) >= LEAST {
                return Self(block);
            }
            turns *= 2;
        }
    }

    /// What each round gives. The first warms up and does not count.
    pub(super) fn rounds<T>(&self, mut round: impl FnMut(u32, Block) -> T) -> Vec<T> {
        (0..=ROUNDS).map(|number| round(number, self.0)).skip(1).collect()
    }
}

/// A moment in processor time, or in that of the wall where the system does not tell.
pub(super) struct Clock {
    wall: Instant,
    processor: Option<f64>,
}

impl Clock {
    pub(super) fn now() -> Self {
        Self { wall: Instant::now(), processor: processor_seconds() }
    }

    /// The seconds since then.
    pub(super) fn seconds(&self) -> f64 {
        let processor = self.processor.zip(processor_seconds()).map(|(then, now)| now - then);
        processor.unwrap_or_else(|| self.wall.elapsed().as_secs_f64())
    }
}

/// What all threads of this process have taken, those that ended included.
fn processor_seconds() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program stands in parentheses; user and system time are fields 14 and 15.
    let fields = status.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
    Some(fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() * TICK)
}
