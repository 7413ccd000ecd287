//! The design of a codebook.

use super::encoder::Encoder;
use super::start::starts;
use super::switch::switch_words;
use super::{Sample, WordChannel};

/// How long to look for a better code.
///
/// ```
/// use qtaml_compensation::codebook::{Codebook, DesignConfig, Sample, WordChannel};
/// use qtaml_physics::FlipProbability;
///
/// let channel = WordChannel::new(FlipProbability::symmetric(0.1)?, 6)?;
/// let quick = DesignConfig { switches: 0, ..DesignConfig::default() };
/// let quick = Codebook::design(&Sample::gaussian(), &channel, &quick);
/// let better = Codebook::design(&Sample::gaussian(), &channel, &DesignConfig::default());
/// assert!(better.mse() < quick.mse());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DesignConfig {
    /// A descent ends when a step takes off less than this share of the error.
    pub tolerance: f64,
    /// And after so many steps.
    pub iterations: usize,
    /// Starts that are followed to the end, for words of 8 bits and more; for shorter ones, which
    /// are faster, twice as many for each bit that is missing.
    pub finalists: usize,
    /// Changes of words that are weighed for each of these.
    pub switches: usize,
}

impl Default for DesignConfig {
    /// `1e-6`, 1000, 4 and 10,000.
    fn default() -> Self {
        Self { tolerance: 1e-6, iterations: 1000, finalists: 4, switches: 10_000 }
    }
}

/// Steps that every start is given to show what it is worth.
const TRIAL: usize = 4;
/// Steps between switches, before the last descent.
const BETWEEN: usize = 60;
/// Noisier channels on the way to the one of the design, and the steps on each.
const RELAXATION: (u32, usize) = (10, 50);

/// The table of the best code that is found.
///
/// All starts descend together. While they do, the worse half is given up again and again, and the
/// others go on twice as long (successive halving, Karnin, Koren and Somekh, ICML 2013), until the
/// finalists are left. One more comes out of a channel whose noise falls slowly to that of this one
/// (Gadkari and Rose, IEEE Transactions on Communications 47, 1113, 1999). Each is then improved by
/// switching words.
pub(super) fn design(sample: &Sample, channel: &WordChannel, config: &DesignConfig) -> Vec<f64> {
    let problem = Problem { sample, channel, config };
    let mut finalists = problem.halve(starts(sample, channel));
    finalists.push(problem.relax(finalists[0].encoder.clone()));
    let ends = finalists.into_iter().map(|start| problem.improve(start));
    let best = ends.min_by(|a, b| a.mse.total_cmp(&b.mse));
    best.map(|best| problem.descend(&best.encoder, config.iterations).table).unwrap_or_default()
}

/// A table, its encoder, and their error.
#[derive(Debug, Clone)]
struct Candidate {
    encoder: Encoder,
    table: Vec<f64>,
    mse: f64,
}

#[derive(Clone, Copy)]
struct Problem<'a> {
    sample: &'a Sample,
    channel: &'a WordChannel,
    config: &'a DesignConfig,
}

impl Problem<'_> {
    /// The two half steps, of which neither can make it worse.
    fn step(&self, encoder: &Encoder) -> Candidate {
        let table = encoder.best_table(self.sample, self.channel);
        let encoder = Encoder::best(&table, self.channel);
        let mse = encoder.mse(&table, self.sample, self.channel);
        Candidate { encoder, table, mse }
    }

    /// Alternates them until they hardly gain, at most so many times.
    fn descend(&self, encoder: &Encoder, steps: usize) -> Candidate {
        let mut best = self.step(encoder);
        for _ in 1..steps {
            let next = self.step(&best.encoder);
            let settled = next.mse >= best.mse * (1.0 - self.config.tolerance);
            best = next;
            if settled {
                break;
            }
        }
        best
    }

    /// The best few of many starts, best first.
    fn halve(&self, starts: Vec<Encoder>) -> Vec<Candidate> {
        let (mut left, mut steps) = (starts, TRIAL);
        loop {
            let mut all: Vec<_> = left.iter().map(|start| self.descend(start, steps)).collect();
            all.sort_by(|a, b| a.mse.total_cmp(&b.mse));
            let finalists =
                self.config.finalists.max(1) << 8_u32.saturating_sub(self.channel.width());
            if all.len() <= finalists {
                return all;
            }
            all.truncate(all.len().div_ceil(2).max(finalists));
            left = all.into_iter().map(|candidate| candidate.encoder).collect();
            steps *= 2;
        }
    }

    /// Follows the best code from a channel that tells almost nothing down to this one.
    fn relax(&self, start: Encoder) -> Candidate {
        let (channels, steps) = RELAXATION;
        let encoder = (1..=channels).rev().fold(start, |encoder, k| {
            let channel = self.channel.noisier(0.9 * f64::from(k) / f64::from(channels));
            Problem { channel: &channel, ..*self }.descend(&encoder, steps).encoder
        });
        self.step(&encoder)
    }

    /// Switches words and descends, in turn.
    fn improve(&self, start: Candidate) -> Candidate {
        let (mut best, mut tries) = (start, self.config.switches);
        loop {
            let mut encoder = best.encoder.clone();
            let switched = switch_words(&mut encoder, self.sample, self.channel, &mut tries);
            let next = self.descend(&encoder, BETWEEN);
            let settled = next.mse >= best.mse * (1.0 - self.config.tolerance);
            if !settled {
                best = next;
            }
            if !switched || settled {
                return best;
            }
        }
    }
}
