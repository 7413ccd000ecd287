//! Several probabilities as they are typed: lists, ranges and percent.

use std::fmt;
use std::str::FromStr;

use crate::flags::probability;

/// More than anybody waits for.
const MOST: usize = 1000;
/// The smallest end of a range: below it there are decades of nothing.
const LEAST: f64 = 1e-30;

/// Probabilities, each once and at least one, in the order in which they were typed.
///
/// `1e-4,1%` is a list, and `1e-4..0.1` is both ends and what lies between them of 1, 2 and 5 times the
/// powers of ten: nearly equal factors, and numbers that can be read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Probabilities(Vec<f64>);

impl Probabilities {
    /// All of them.
    pub(crate) fn values(&self) -> &[f64] {
        &self.0
    }

    /// The only one, if there are no others.
    pub(crate) fn only(&self) -> Option<f64> {
        if let [p] = self.0[..] { Some(p) } else { None }
    }

    fn push(&mut self, value: f64) -> Result<(), String> {
        if !(0.0..=1.0).contains(&value) {
            return Err(format!("{value:?} is outside 0.0..=1.0"));
        }
        if !self.0.contains(&value) {
            self.0.push(value);
        }
        let enough = self.0.len() <= MOST;
        enough.then_some(()).ok_or_else(|| format!("more than {MOST} probabilities are too many"))
    }

    fn push_range(&mut self, low: f64, high: f64) -> Result<(), String> {
        if !(LEAST..=1.0).contains(&low) || high <= low || high.is_nan() {
            return Err(format!(
                "{low:?}..{high:?} is no range: it has to rise, from {LEAST:?} or more"
            ));
        }
        self.push(low)?;
        let first = low.log10().floor() as i32;
        for power in first..=0 {
            for digit in [1, 2, 5] {
                let value = decimal(digit, power);
                if low < value && value < high {
                    self.push(value)?;
                }
            }
        }
        self.push(high)
    }
}

/// The number nearest to `digit * 10^power`, as the parser rounds once.
fn decimal(digit: u32, power: i32) -> f64 {
    format!("{digit}e{power}").parse().unwrap_or(f64::NAN)
}

impl FromStr for Probabilities {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Self(Vec::new());
        for part in text.split(',') {
            match part.split_once("..") {
                // Three dots could belong to either number.
                Some((_, high)) if high.starts_with('.') => {
                    return Err(format!("{part:?} has three dots in a row: LOW..HIGH is a range"));
                }
                Some((low, high)) => all.push_range(probability(low)?, probability(high)?)?,
                None => all.push(probability(part)?)?,
            }
        }
        Ok(all)
    }
}

/// A list that is read as the same probabilities.
impl fmt::Display for Probabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<_> = self.0.iter().map(|value| format!("{value:?}")).collect();
        f.write_str(&texts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<f64>, String> {
        text.parse::<Probabilities>().map(|all| all.0)
    }

    #[test]
    fn lists_ranges_and_percent() {
        for (text, values) in [
            ("0.1", &[0.1][..]),
            ("0", &[0.0]),
            ("1e-4, 1% ,0.5", &[1e-4, 0.01, 0.5]),
            ("0.1,10%,0.1", &[0.1]),
            ("0.1,0.01", &[0.1, 0.01]),
            ("1e-3..0.1", &[1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1]),
            ("0.1%..1%", &[1e-3, 2e-3, 5e-3, 0.01]),
            ("3e-3..0.03", &[3e-3, 5e-3, 0.01, 0.02, 0.03]),
            ("0.2..1", &[0.2, 0.5, 1.0]),
            ("0,1e-2..2e-2,0.3", &[0.0, 0.01, 0.02, 0.3]),
        ] {
            assert_eq!(read(text).as_deref(), Ok(values), "{text}");
        }
        let decades = read("1e-4..0.1").unwrap();
        assert!([1e-4, 1e-3, 1e-2, 1e-1].iter().all(|power| decades.contains(power)));
    }

    #[test]
    fn what_is_printed_is_read_as_the_same() {
        for text in ["0.1", "1e-30..1", "33.3%,1e-300,0", "1e-9..1e-7,0.7%", "0.1..0.5,1e-17"] {
            let all: Probabilities = text.parse().unwrap();
            assert_eq!(all.to_string().parse(), Ok(all), "{text}");
        }
    }

    #[test]
    fn what_is_no_probability_is_named() {
        for (text, named) in [
            ("", "\"\" is no number"),
            ("0.1,", "\"\" is no number"),
            ("0.1,half", "\"half\" is no number"),
            ("-1e-3", "-0.001 is outside 0.0..=1.0"),
            ("0.1,120%", "1.2 is outside"),
            ("nan", "NaN is outside"),
            ("0..0.1", "0.0..0.1 is no range"),
            ("0.1..0.1", "0.1..0.1 is no range"),
            ("0.1..0.01", "has to rise"),
            ("nan..0.1", "NaN..0.1 is no range"),
            ("0.1..nan", "0.1..NaN is no range"),
            ("1e-3..2", "2.0 is outside"),
            ("1e-3...1", "three dots"),
            ("..0.1", "\"\" is no number"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(named), "{text}: {error}");
        }
        let many: Vec<_> = (0..=MOST).map(|i| format!("{:?}", i as f64 * 1e-4)).collect();
        assert!(read(&many.join(",")).unwrap_err().contains("too many"));
    }
}
