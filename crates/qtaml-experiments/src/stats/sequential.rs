//! Trainings that are added until a claim on networks of a kind is decided.

use std::fmt;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::LEVEL;
use crate::results::Verdict;

/// A look at a claim: after how many trainings, and how often its interval may miss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Look {
    /// Trainings behind the interval.
    pub trainings: usize,
    /// The share of intervals that miss.
    pub level: f64,
    /// Whether there are others before or after it.
    is_one_of_several: bool,
}

/// Trainings and levels of the looks that may follow one another.
///
/// One after the other, intervals of 95 % would miss more often than once in twenty. The levels of all looks add up
/// to 5 %, most of it for the last: by the union bound all intervals together miss no more often than that, however
/// they depend on each other, and whichever of them ends the search.
const LOOKS: [(usize, f64); 4] = [(5, 0.005), (10, 0.01), (20, 0.015), (33, 0.02)];

impl Look {
    /// The only look.
    pub const fn only(trainings: usize) -> Self {
        Self { trainings, level: LEVEL, is_one_of_several: false }
    }

    /// All looks that may be needed, the first of them first.
    pub fn all() -> Vec<Self> {
        let look = |(trainings, level)| Self { trainings, level, is_one_of_several: true };
        LOOKS.map(look).to_vec()
    }
}

/// What a reader has to know of the interval; nothing of an only look.
impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_one_of_several {
            return Ok(());
        }
        let counts = LOOKS.map(|(trainings, _)| trainings.to_string()).join(", ");
        write!(
            f,
            " Trainings were added until the claim was decided, after {} of at most {counts}: this interval is one of \
             {:.1} %, so that all looks together miss no more than once in twenty.",
            self.trainings,
            100.0 * (1.0 - self.level)
        )
    }
}

/// What the first look finds that decides, or else the last.
///
/// # Errors
///
/// What a look fails with, or no looks.
pub fn until_decided<T>(
    looks: &[Look],
    mut measure: impl FnMut(Look) -> Result<T>,
    verdict: impl Fn(&T) -> Result<Verdict>,
) -> Result<T> {
    let (last, others) = looks.split_last().context("a claim needs a look")?;
    for &look in others {
        let found = measure(look)?;
        if verdict(&found)? != Verdict::Undecided {
            return Ok(found);
        }
    }
    measure(*last)
}

#[cfg(test)]
mod tests {
    use qtaml::fault::Seed;

    use super::*;
    use crate::stats::{Mean, judge, mean_at};
    use crate::workloads::normal::standard_normal;

    #[test]
    fn levels_add_up_to_one_in_twenty() {
        let looks = Look::all();
        assert!((looks.iter().map(|look| look.level).sum::<f64>() - 0.05).abs() < 1e-12);
        assert!(looks.windows(2).all(|pair| pair[0].trainings < pair[1].trainings));
        assert!(Look::only(3).to_string().is_empty());
        assert!(looks[1].to_string().contains("after 10 of at most 5, 10, 20, 33"));
    }

    #[test]
    fn a_search_ends_where_it_is_decided() {
        let looks = Look::all();
        let mut seen = Vec::new();
        let measure = |look: Look| {
            seen.push(look.trainings);
            Ok(look.trainings)
        };
        let few = |n: &usize| Ok(if *n < 20 { Verdict::Undecided } else { Verdict::Contradicted });
        let found = until_decided(&looks, measure, few);
        assert_eq!((found.unwrap(), seen), (20, vec![5, 10, 20]));
        let never = |_: &usize| Ok(Verdict::Undecided);
        assert_eq!(until_decided(&looks, |look| Ok(look.trainings), never).unwrap(), 33);
        assert!(until_decided(&[], |look| Ok(look.trainings), never).is_err());
    }

    /// Where there is no effect, a claim on one is ticked, in either direction, in 5 % of all searches at most; with
    /// an effect of two thirds of a deviation it is found in most of them.
    #[test]
    fn nothing_is_found_where_nothing_is() {
        let decided = |effect: f64| {
            let search = |number: u64| {
                let mut rng = Seed(1).rng("a search", number);
                let values: Vec<f64> =
                    (0..33).map(|_| effect + standard_normal(&mut rng)).collect();
                let at = |look: Look| mean_at(&values[..look.trainings], look.level);
                let verdict = |found: &Mean| {
                    Ok(judge(found.interval, [f64::MIN_POSITIVE, f64::INFINITY], 0.0))
                };
                let found = until_decided(&Look::all(), at, verdict).unwrap();
                usize::from(verdict(&found).unwrap() != Verdict::Undecided)
            };
            (0..2000).map(search).sum::<usize>()
        };
        let wrong = decided(0.0);
        // Three standard errors above 100 of 2000.
        assert!(wrong <= 130, "{wrong}");
        let right = decided(2.0 / 3.0);
        assert!(right >= 1700, "{right}");
    }
}
