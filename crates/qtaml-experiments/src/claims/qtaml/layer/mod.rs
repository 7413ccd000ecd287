//! `qtaml.layer`: faults act through the largest weight and the Jacobian of a layer.
//!
//! And the limits of the first-order model, `Σ_l Var_l ||J_l||²`.

mod measure;
mod present;
mod slopes;
mod verdict;

use anyhow::Result;
use qtaml::quant::BitWidth;

use self::measure::{Compared, Trial};
use self::present::{layer_figure, method, ratio_figure, slope_figure, slope_table, table};
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;

const BITS: BitWidth = BitWidth::INT8;
/// Flip probabilities from the edge of what shows to total confusion.
const SWEEP: [f64; 8] = [1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.2];
/// The claim is judged up to here.
const SMALL: f64 = 1e-3;
/// The flip probability at which layers are looked at one by one.
const ALONE: f64 = 1e-3;
/// The top bits that are protected to make each error small instead of rare.
const KEPT: u32 = 4;
/// How near to the model counts as obeying it (ours: the source gives no number).
const NEAR: f64 = 0.1;

/// Measures the claim.
pub fn run(context: &Context) -> Result<Outcome> {
    let trial = Trial::new(context)?;
    let rare: Vec<Compared> = trial.sweep(0, "all bits may flip")?;
    let fine: Vec<Compared> = trial.sweep(KEPT, "top four bits protected")?;
    let alone = trial.layers_alone()?;
    let slopes = slopes::measure(context)?;
    let claim = claim(&slopes, [&rare, &fine, &alone])?;
    Ok(Outcome {
        claims: vec![claim],
        method: method(&trial, &slopes),
        figures: vec![slope_figure(&slopes), ratio_figure(&rare, &fine), layer_figure(&alone)],
        tables: vec![
            slope_table(&slopes),
            table(
                "qtaml.layer.sweep",
                "Output variance over flip probabilities",
                &[&rare[..], &fine, &alone],
            ),
        ],
        ..Outcome::default()
    })
}
