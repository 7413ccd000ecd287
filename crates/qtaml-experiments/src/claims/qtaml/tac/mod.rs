//! `qtaml.tac.<net>`: TAC as derived against the same number of protected bits everywhere.
//!
//! No idea of ours is in it: layer by layer, the linear score, no repair, and range and decoder the same for
//! both. What ours add is `ours.tac`, what other readings of the source make of it is `qtaml.reading`.

mod measure;
mod present;
mod verdict;

use anyhow::Result;

pub use self::measure::{OfNet, judged};
pub use self::present::networks;

use self::measure::measure;
use self::verdict::claim;
use crate::context::Context;
use crate::results::Outcome;
use crate::workloads::networks::Net;

/// The source's range.
pub const SOURCE: [f64; 2] = [3.4, 33.6];
/// Trainings of a quick run.
const TRAININGS: usize = 3;
/// Shares of all bits at which curves are drawn.
const BUDGETS: [f64; 10] = [0.0, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.125, 0.25, 0.375];

/// The claim on one network.
pub fn run(context: &Context, net: Net) -> Result<Outcome> {
    let measured = measure(context, net)?;
    Ok(Outcome {
        claims: vec![claim(&measured)],
        method: present::method(&measured),
        figures: vec![present::figure(&measured)],
        tables: vec![present::table(&measured.of_net)],
        ..Outcome::default()
    })
}
