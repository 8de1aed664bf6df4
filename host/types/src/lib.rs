//! Ids, units, forecasts and decisions shared by every part of Foreshade. No I/O, no clock, no arrow.
//!
//! Quantities that the rack adds up are integers ([`Millicores`], [`Mebibytes`]): sums do not depend on the order of
//! the summands, and a sample split into "granted" and "throttled" adds up to the demand exactly.

mod decision;
mod forecast;
mod ids;
mod migration;
mod resource;
mod rules;
mod shadow;
mod template;
mod trace_data;
mod units;
mod worth;

pub use decision::{
    Action, Alternative, Decision, DecisionId, HoldReason, Outcome, OutcomeKind, Reason, Rejected, Rule,
};
pub use forecast::{Horizon, LEVELS, Quantiles, Readiness, SeriesForecast};
pub use ids::{ControllerId, HostId, RackId, Tick, VmId};
pub use migration::MovePhase;
pub use resource::{RESOURCES, Resource, Transform};
pub use rules::{Broken, Part, Rules, Scope, Whereabouts};
pub use shadow::{Pool, ShadowPhase, SyncState};
pub use template::{Disks, Reach, Template};
pub use trace_data::{EVENT_KINDS, EventKind, TraceData, Usage};
pub use units::{Allocation, Mebibytes, Millicores, VmClass, VmSize};
pub use worth::Worth;
