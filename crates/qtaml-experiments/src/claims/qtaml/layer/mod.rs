//! `qtaml.layer`: the first-order model of the output variance, `Σ_l Var_l ||J_l||²`, and its limits.

mod measure;
mod present;
mod verdict;

use anyhow::Result;
use qtaml::quant::BitWidth;

use self::measure::{Compared, Trial};
use self::present::{layer_figure, method, ratio_figure, table};
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
    let claim = claim(&rare, &fine, &alone, trial.patterns(SMALL))?;
    Ok(Outcome {
        claims: vec![claim],
        method: method(&trial),
        figures: vec![ratio_figure(&rare, &fine), layer_figure(&alone)],
        tables: vec![table(
            "qtaml.layer.sweep",
            "Output variance over flip probabilities",
            &[&rare[..], &fine, &alone],
        )],
        ..Outcome::default()
    })
}
