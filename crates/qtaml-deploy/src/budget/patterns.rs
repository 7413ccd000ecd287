//! The fault patterns of a search, each used for one purpose.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::BudgetError;

/// Between patterns for one purpose and those for the next.
const APART: u32 = 1 << 20;

/// The fault patterns of a search. One pattern is one device. None is used for two purposes: so many
/// find a budget, as many confirm it, and as many tell its value.
///
/// ```
/// use qtaml_deploy::budget::Patterns;
///
/// let (compare, judge) = (Patterns::to_compare(20), Patterns::to_judge(20));
/// assert_eq!(compare.find(), 0..20);
/// assert!(compare.tell().end <= judge.find().start);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Patterns {
    /// The number of the first one.
    pub first: u32,
    /// So many for each purpose.
    pub count: u32,
}

impl Patterns {
    /// Those that schemes are compared under.
    pub const fn to_compare(count: u32) -> Self {
        Self { first: 0, count }
    }

    /// Those that a scheme is judged by: it was not chosen under any of them.
    pub const fn to_judge(count: u32) -> Self {
        Self { first: 3 * APART, count }
    }

    /// Those that find a budget.
    pub const fn find(self) -> Range<u32> {
        self.purpose(0)
    }

    /// Those that confirm it.
    pub const fn confirm(self) -> Range<u32> {
        self.purpose(1)
    }

    /// Those that tell its value, and had no say in it.
    pub const fn tell(self) -> Range<u32> {
        self.purpose(2)
    }

    const fn purpose(self, number: u32) -> Range<u32> {
        let start = self.first.saturating_add(number * APART);
        start..start.saturating_add(self.count)
    }

    /// Refuses too few for a spread, or so many that purposes would meet.
    pub(super) fn check(self) -> Result<(), BudgetError> {
        let (what, given) = ("the number of fault patterns", u64::from(self.count));
        if self.count < 2 {
            return Err(BudgetError::TooFew { what, given, least: 2 });
        }
        if self.count > APART {
            return Err(BudgetError::TooMany { what, given, most: APART.into() });
        }
        let most = u32::MAX - 3 * APART;
        if self.first > most {
            let (what, given) = ("the number of the first fault pattern", self.first.into());
            return Err(BudgetError::TooMany { what, given, most: most.into() });
        }
        Ok(())
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} fault patterns from number {}", self.count, self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pattern_serves_two_purposes() {
        let all = [Patterns::to_compare(APART), Patterns::to_judge(APART)];
        let ranges: Vec<Range<u32>> =
            all.into_iter().flat_map(|p| [p.find(), p.confirm(), p.tell()]).collect();
        assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start), "{ranges:?}");
        assert!(ranges.iter().all(|range| range.len() == APART as usize));
        // The numbers that published results were found under.
        assert_eq!(Patterns::to_judge(50).confirm(), 4_194_304..4_194_354);
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused() {
        assert!(Patterns::to_judge(APART).check().is_ok());
        let error = |patterns: Patterns| patterns.check().unwrap_err().to_string();
        assert_eq!(
            error(Patterns::to_compare(1)),
            "the number of fault patterns is 1: at least 2 are needed"
        );
        assert_eq!(
            error(Patterns::to_compare(APART + 1)),
            "the number of fault patterns is 1048577: at most 1048576 are allowed"
        );
        assert!(Patterns { first: u32::MAX, count: 2 }.check().is_err());
    }
}
