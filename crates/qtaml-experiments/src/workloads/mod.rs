//! Workloads that several claims measure: trained networks, regressions, samples of a channel.

#![allow(
    clippy::missing_errors_doc,
    reason = "every workload fails as its context does: interrupted, or a unit of work failed"
)]

pub mod networks;
pub mod normal;
pub mod qat_nets;
pub mod reference_cell;
pub mod regressions;
pub mod sampled_channel;
