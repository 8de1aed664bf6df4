//! `--follow VM`: one sample's way through the ten hops, with its values.

use foreshade_types::{Tick, VmId};

/// The ten hops, in order: span names, rows of the latency table, lines of `--follow`.
pub const HOPS: [&str; 10] = [
    "link::ingress",
    "wire::decode",
    "telemetry::push",
    "telemetry::seal",
    "forecast::step",
    "accel::run",
    "forecast::calibrate",
    "plan::plan",
    "journal::commit",
    "link::egress",
];

/// What one hop did with the followed VM's sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowLine {
    /// The tick.
    pub tick: Tick,
    /// The VM.
    pub vm: VmId,
    /// One of [`HOPS`].
    pub hop: &'static str,
    /// What happened, with values; deterministic.
    pub text: String,
}
