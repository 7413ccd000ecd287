//! A shard: one of several equal parts of a list of jobs.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::Fingerprint;

/// One part of several, such as the third of sixteen: `3/16`.
///
/// Parts count from 1. Every job belongs to exactly one part.
///
/// ```
/// use qtaml_deploy::job::Shard;
///
/// let shard: Shard = "3/16".parse()?;
/// assert!(shard.has_position(2) && shard.has_position(18) && !shard.has_position(3));
/// assert_eq!(shard.to_string(), "3/16");
/// # Ok::<(), qtaml_deploy::job::ShardError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shard {
    index: u32,
    count: u32,
}

/// Text or numbers that name no part.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is no shard: it must be I/N with I from 1 to N, such as 3/16")]
pub struct ShardError {
    /// What was given.
    pub text: String,
}

impl Shard {
    /// The only part of one.
    pub const ALL: Self = Self { index: 1, count: 1 };

    /// The part `index` of `count`, counted from 1.
    ///
    /// # Errors
    /// [`ShardError`] unless `1 <= index <= count`.
    pub fn new(index: u32, count: u32) -> Result<Self, ShardError> {
        if (1..=count).contains(&index) {
            Ok(Self { index, count })
        } else {
            Err(ShardError { text: format!("{index}/{count}") })
        }
    }

    /// Which part, from 1.
    pub const fn index(self) -> u32 {
        self.index
    }

    /// Of how many.
    pub const fn count(self) -> u32 {
        self.count
    }

    /// Whether the job at this position of the list, counted from 0, belongs to the part. The list
    /// must be in the same order for all parts. Parts differ by one job at most.
    pub const fn has_position(self, position: usize) -> bool {
        position % self.count as usize == self.index as usize - 1
    }

    /// Whether the job with this fingerprint belongs to the part: for lists that are not the same
    /// everywhere. Parts are equal only on average.
    pub fn has(self, fingerprint: Fingerprint) -> bool {
        fingerprint.modulo(self.count) == self.index - 1
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self::ALL
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let error = || ShardError { text: text.into() };
        let number = |digits: &str| {
            // `parse` would also accept a sign.
            let digits = Some(digits).filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
            digits.and_then(|d| d.parse().ok()).ok_or_else(error)
        };
        let (index, count) = text.split_once('/').ok_or_else(error)?;
        Self::new(number(index)?, number(count)?).map_err(|_| error())
    }
}

qtaml_quant::text_in_files!(Shard);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_belongs_to_exactly_one_part() {
        for count in 1..=7 {
            let shards: Vec<Shard> =
                (1..=count).map(|index| Shard::new(index, count).unwrap()).collect();
            for position in 0..50_usize {
                let fingerprint = Fingerprint::of(&position).unwrap();
                assert_eq!(shards.iter().filter(|s| s.has_position(position)).count(), 1);
                assert_eq!(shards.iter().filter(|s| s.has(fingerprint)).count(), 1);
            }
        }
    }

    #[test]
    fn parts_by_position_differ_by_one_at_most() {
        let sizes: Vec<usize> = (1..=4)
            .map(|index| Shard::new(index, 4).unwrap())
            .map(|shard| (0..10).filter(|&position| shard.has_position(position)).count())
            .collect();
        assert_eq!(sizes, [3, 3, 2, 2]);
    }

    #[test]
    fn what_is_printed_is_parsed_and_nonsense_is_refused() {
        let shard = Shard::new(3, 16).unwrap();
        assert_eq!(shard.to_string().parse(), Ok(shard));
        let json = serde_json::to_string(&shard).unwrap();
        assert_eq!(json, "\"3/16\"");
        assert_eq!(serde_json::from_str::<Shard>(&json).unwrap(), shard);
        for text in
            ["", "3", "/", "0/4", "5/4", "1/0", "0/0", "+1/2", "1/2/3", "1/99999999999", "a/b"]
        {
            assert_eq!(text.parse::<Shard>(), Err(ShardError { text: text.into() }), "{text}");
        }
    }
}
