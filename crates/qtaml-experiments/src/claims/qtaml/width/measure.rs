//! Budgets of both on perceptrons of several widths.

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::bench::reading::Reading;
use crate::claims::qtaml::tac::{OfNet, judged};
use crate::context::Context;
use crate::stats::{Look, Mean, geometric_mean};
use crate::workloads::networks::Net;

/// All numbers.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    /// From the narrowest to the widest.
    pub(super) nets: Vec<OfNet>,
    /// The gain of the widest over that of the narrowest, with its interval over trainings.
    pub(super) growth: Mean,
}

pub(super) fn measure(context: &Context) -> Result<Measured> {
    let nets = &Net::MLPS[..context.size(Net::MLPS.len(), 2)];
    let look = Look::only(context.trainings());
    let judge = |net: &Net| judged(context, *net, Reading::FIXED, look);
    let nets = nets.iter().map(judge).collect::<Result<Vec<_>>>()?;
    let [narrow, wide] = [nets.first(), nets.last()].map(|net| net.context("no networks"));
    let (narrow, wide) = (&narrow?.trainings, &wide?.trainings);
    let growths =
        wide.iter().zip(narrow).map(|(wide, narrow)| wide.pair.ratio() / narrow.pair.ratio());
    let growth = geometric_mean(&growths.collect::<Vec<_>>())?;
    Ok(Measured { nets, growth })
}
