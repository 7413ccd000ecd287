//! Backwards: from a flip probability to the quantity that leads to it.

use std::fmt;

use miette::Result;
use serde::Serialize;

use super::input::{Input, refused};
use super::number::{duration, readable};
use super::quantity::Quantity;
use super::steps::Steps;
use crate::usage::WrongUsage;

/// The value found, and all steps from it forwards, which end at the wanted probability.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Solution {
    solved: Solved,
    #[serde(flatten)]
    steps: Steps,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Solved {
    quantity: Quantity,
    value: f64,
    unit: &'static str,
}

impl Solution {
    pub(super) fn find(quantity: Quantity, p: f64, input: Input) -> Result<Self> {
        // The quantity's own value plays no part in its search, but a cell has to have one.
        let (cell, condition) = input.with(quantity, 1.0).resolve()?;
        let value = match quantity {
            Quantity::OxideNm => cell.thickness_for(p, &condition),
            Quantity::RetentionS => cell.retention_for(p, condition.field_v_per_nm),
            Quantity::FieldVPerNm => {
                let message = "field-v-per-nm cannot be solved for".into();
                return Err(
                    WrongUsage { message, help: "solve for another quantity".into() }.into()
                );
            }
        };
        let value = value.map_err(refused)?;
        let steps = Steps::new(input.with(quantity, value))?;
        Ok(Self { solved: Solved { quantity, value, unit: quantity.unit() }, steps })
    }
}

impl fmt::Display for Solution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Solved { quantity, value, unit } = self.solved;
        write!(f, "{} = {} {unit}", quantity.name(), readable(value))?;
        if let (Quantity::RetentionS, Some(time)) = (quantity, duration(value)) {
            write!(f, " ({time})")?;
        }
        write!(f, "\n\n{}", self.steps)
    }
}
