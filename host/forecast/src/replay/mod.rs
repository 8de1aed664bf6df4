//! Replay: what the inputs of a VM will have it use.
//!
//! Inputs are mirrored as counts ([`foreshade_types::TraceData`]) and never carried out: a replay is arithmetic on
//! numbers and touches nothing outside itself. What one event of a kind costs is learned online per VM and resource,
//! starting from the fleet's costs:
//!
//! ```text
//! counts -> rates -> RLS per resource and lag -> costs            | rls, costs
//!                 -> costs x rates = simulated usage + interval   | model
//!                 -> rates ahead, at the costs + residual ahead   | echo, lead
//!                 -> beside the forecast from metrics alone       | blend
//! ```

pub mod blend;
mod costs;
mod echo;
mod errors;
mod fleet;
pub mod gain;
pub mod generate;
mod lead;
mod model;
pub mod rls;

pub use costs::{BASE, KINDS, LAGS, PARTS};
pub use fleet::FleetCosts;
pub use model::{Estimate, Replay, ReplayConfig, ReplayError, Why};
