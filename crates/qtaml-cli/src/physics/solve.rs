//! The inverse problem: from a flip probability to one quantity of the cell.

use std::fmt;

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

use super::input::{Input, refused};
use super::quantity::Quantity;
use super::steps::Steps;
use crate::number::{duration, readable};

/// A quantity that can be solved for.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// The thinnest oxide that flips no more often
    OxideNm,
    /// The weakest field that flips as often
    FieldVPerNm,
    /// The time after which this many bits have flipped
    RetentionS,
}

impl Unknown {
    pub(super) const fn quantity(self) -> Quantity {
        match self {
            Self::OxideNm => Quantity::OxideNm,
            Self::FieldVPerNm => Quantity::FieldVPerNm,
            Self::RetentionS => Quantity::RetentionS,
        }
    }
}

/// The value found, and all steps from it forwards, which end at the wanted probability.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Solution {
    solved: Solved,
    #[serde(flatten)]
    steps: Steps,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Solved {
    quantity: &'static str,
    value: f64,
    unit: &'static str,
}

impl Solution {
    pub(super) fn find(unknown: Unknown, p: f64, input: &Input) -> Result<Self> {
        let quantity = unknown.quantity();
        // The quantity's own value plays no part in its search, but a cell has to have one.
        let (cell, condition) = input.with(quantity, 1.0).resolve()?;
        let value = match unknown {
            Unknown::OxideNm => cell.thickness_for(p, &condition),
            Unknown::FieldVPerNm => cell.field_for(p, &condition),
            Unknown::RetentionS => cell.retention_for(p, &condition),
        };
        let value = value.map_err(refused)?;
        let solved = Solved { quantity: quantity.name(), value, unit: quantity.unit() };
        Ok(Self { solved, steps: Steps::new(&input.with(quantity, value))? })
    }
}

/// What was found for each of several probabilities.
pub(super) fn table(unknown: Unknown, solutions: &[(f64, Solution)]) -> String {
    let quantity = unknown.quantity();
    let header = ["p".to_owned(), format!("{} [{}]", quantity.name(), quantity.unit())];
    let is_time = unknown == Unknown::RetentionS;
    let rows = solutions.iter().map(|&(p, Solution { solved, .. })| {
        let time = duration(solved.value).filter(|_| is_time);
        [readable(p), readable(solved.value)]
            .into_iter()
            .chain(is_time.then(|| time.unwrap_or_default()))
            .collect()
    });
    let header = header.into_iter().chain(is_time.then(String::new));
    crate::table::table(header, 0, rows) + "\n"
}

impl fmt::Display for Solution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Solved { quantity, value, unit } = self.solved;
        write!(f, "{quantity} = {} {unit}", readable(value))?;
        if let ("s", Some(time)) = (unit, duration(value)) {
            write!(f, " ({time})")?;
        }
        write!(f, "\n\n{}", self.steps)
    }
}
