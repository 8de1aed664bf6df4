//! The appliance without its I/O: [`Core::apply`] takes an [`Event`] and answers with [`Effect`]s. No socket, no file, no
//! clock: the shell (`foreshade-appliance` over QUIC, `foreshade-sim` in process) feeds it and carries out what it asks,
//! so both give the same decisions on the same samples.
//!
//! ```text
//! Telemetry, EndOfTick (all hosts) -> push, seal -> forecast -> plan -> Commit, then Send per rack
//! Outcomes (all racks)             -> cool-downs, shadows -> Release(next tick) | Finished
//! Operator (pause, approve, ...)   -> Ordered (durable), and the next plan follows it
//! Host (failed, runs again)        -> how likely each host is to fail, for the report
//! ```
//! Nothing depends on the order in which peers speak: samples land in lanes, outcomes are taken in the order
//! (tick, rack, seq), decision numbers derive from the epoch and a count per rack.

mod alerts;
mod chance;
mod config;
mod core;
mod exclude;
mod fleet_state;
mod follow;
mod guarded;
mod hazard;
mod journal;
mod operator;
mod outlook;
mod planning;

pub use alerts::{Alert, AnomalyReport, FALSE_ALARMS_PER_VM_DAY, KindReport};
pub use chance::{GuardBand, HeldBounds};
pub use config::{Care, CoreConfig, HostSpec, RackSpec, VmSpec};
pub use core::{Core, CoreError, Effect, Event, Summary};
pub use exclude::{Exclusion, Whose};
pub use follow::{FollowLine, HOPS};
pub use foreshade_forecast::hazard::Event as HostEvent;
pub use guarded::Probe;
pub use hazard::HazardReport;
pub use journal::{Header, Journal, JournalError, MemoryJournal, Record};
pub use operator::{Advice, AdviceKey, OperatorState, Order, OrderRecord};
pub use outlook::{HourAhead, LoadMc, LoadReport, LoadScore, OutlookReport, RackLoad};
