//! What is decided about: units and their choices.

use crate::CompensationError;

/// One way to treat a unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// What it costs, in bits.
    pub cost: u64,
    /// What it leaves of the output's distortion.
    pub distortion: f64,
}

impl Candidate {
    /// The choices of a layer of so many weights whose distortion is `by_protected[k]` with `k`
    /// protected bits in each of them: `k` bits a weight.
    pub fn top_bits(weights: usize, by_protected: &[f64]) -> impl Iterator<Item = Self> {
        let cost = move |k| (weights as u64).saturating_mul(k);
        (0..).zip(by_protected).map(move |(k, &distortion)| Self { cost: cost(k), distortion })
    }
}

/// Units and their choices, in any order and of any shape, side by side in memory: a million units
/// of nine choices are 200 MB.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AllocationProblem {
    names: Vec<Box<str>>,
    /// Where the choices of each unit end.
    ends: Vec<usize>,
    choices: Vec<Candidate>,
    /// The dearest and the worst choices of all units together.
    most_cost: u64,
    most_distortion: f64,
}

impl AllocationProblem {
    /// Adds a unit.
    ///
    /// # Errors
    /// [`CompensationError::NoCandidate`] without choices, [`CompensationError::Distortion`] for a
    /// distortion that is negative, NaN or infinite, or so large that their sum is, and
    /// [`CompensationError::Cost`] if the dearest choices of all units together cost more than 64
    /// bits can count. The units are then as before.
    pub fn push(
        &mut self,
        name: impl Into<Box<str>>,
        choices: impl IntoIterator<Item = Candidate>,
    ) -> Result<(), CompensationError> {
        let (name, start) = (name.into(), self.choices.len());
        self.choices.extend(choices);
        let checked = self.check(&name, start);
        match checked {
            Ok((cost, distortion)) => {
                (self.most_cost, self.most_distortion) = (cost, distortion);
                self.names.push(name);
                self.ends.push(self.choices.len());
            }
            Err(_) => self.choices.truncate(start),
        }
        checked.map(|_| ())
    }

    /// The most that all units together can cost and leave, the new one included.
    fn check(&self, name: &str, start: usize) -> Result<(u64, f64), CompensationError> {
        let new = &self.choices[start..];
        let unit = || name.to_owned();
        let Some(cost) = new.iter().map(|choice| choice.cost).max() else {
            return Err(CompensationError::NoCandidate(unit()));
        };
        let cost =
            self.most_cost.checked_add(cost).ok_or_else(|| CompensationError::Cost(unit()))?;
        let bad = |c: &Candidate| {
            !(c.distortion >= 0.0 && (self.most_distortion + c.distortion).is_finite())
        };
        if let Some(choice) = new.iter().position(bad) {
            let value = new[choice].distortion;
            return Err(CompensationError::Distortion { unit: unit(), choice, value });
        }
        let worst = new.iter().map(|choice| choice.distortion).fold(0.0, f64::max);
        Ok((cost, self.most_distortion + worst))
    }

    /// The number of units.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no unit.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The name of a unit.
    ///
    /// # Panics
    /// If there is no such unit.
    pub fn name(&self, unit: usize) -> &str {
        &self.names[unit]
    }

    /// The choices of a unit, as they were given.
    ///
    /// # Panics
    /// If there is no such unit.
    pub fn choices(&self, unit: usize) -> &[Candidate] {
        let start = if unit == 0 { 0 } else { self.ends[unit - 1] };
        &self.choices[start..self.ends[unit]]
    }

    /// The choices of every unit.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[Candidate]> {
        (0..self.len()).map(|unit| self.choices(unit))
    }

    /// What the cheapest choices cost: no budget below it can be met.
    pub fn least_cost(&self) -> u64 {
        self.iter().map(|choices| choices.iter().map(|choice| choice.cost).min().unwrap_or(0)).sum()
    }

    /// One choice of a unit.
    pub(super) fn choice(&self, unit: u32, choice: u32) -> Candidate {
        self.choices(unit as usize)[choice as usize]
    }

    /// Refuses budgets that no allocation meets.
    pub(super) fn check_budget(&self, budget: u64) -> Result<(), CompensationError> {
        match self.least_cost() {
            least if least > budget => Err(CompensationError::Budget { budget, least }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(cost: u64, distortion: f64) -> Candidate {
        Candidate { cost, distortion }
    }

    #[test]
    fn units_keep_their_choices() {
        let mut units = AllocationProblem::default();
        units.push("fc", Candidate::top_bits(10, &[4.0, 1.0])).unwrap();
        units.push("head", [choice(7, 1.0), choice(3, 2.0), choice(5, 2.5)]).unwrap();
        assert_eq!((units.len(), units.name(1), units.least_cost()), (2, "head", 3));
        assert_eq!(units.choices(0), [choice(0, 4.0), choice(10, 1.0)]);
        assert_eq!(units.choices(1)[2], choice(5, 2.5));
        assert!(units.check_budget(2).is_err() && units.check_budget(3).is_ok());
    }

    #[test]
    fn bad_units_are_named_and_leave_no_trace() {
        let mut units = AllocationProblem::default();
        units.push("a", [choice(1, 1.0)]).unwrap();
        let before = units.clone();
        let no_choice: [Candidate; 0] = [];
        let error = units.push("b", no_choice).unwrap_err();
        assert_eq!(error, CompensationError::NoCandidate("b".into()));
        for bad in [-1.0, f64::NAN, f64::INFINITY, f64::MAX] {
            let mut units = units.clone();
            units.push("much", [choice(0, f64::MAX)]).unwrap();
            let error = units.push("b", [choice(0, 0.0), choice(1, bad)]).unwrap_err().to_string();
            assert!(error.starts_with("choice 1 of unit \"b\" has distortion"), "{error}");
        }
        let error = units.push("b", [choice(0, 0.0), choice(u64::MAX, 0.0)]).unwrap_err();
        assert_eq!(error, CompensationError::Cost("b".into()));
        assert_eq!(units, before);
    }
}
