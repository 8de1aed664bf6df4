//! What a controller needs of the machines it acts on.

use foreshade_types::{
    Allocation, Decision, HostId, Mebibytes, Millicores, OutcomeKind, ShadowPhase, SyncState, VmId,
};

/// What is known of a VM's shadow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShadowSeen {
    /// How far it is.
    pub phase: ShadowPhase,
    /// How its copy of its primary's state is.
    pub sync: SyncState,
}

/// One VM over the last sample interval. CPU figures are means over the interval, rounded down; `used + throttled` is
/// the demand, exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observed {
    /// The VM.
    pub vm: VmId,
    /// The host its primary runs on.
    pub host: HostId,
    /// CPU it was granted, shadow included.
    pub cpu_used: Millicores,
    /// CPU it asked for and was not granted.
    pub cpu_throttled: Millicores,
    /// Memory it was granted.
    pub memory_used: Mebibytes,
    /// Memory it asked for and was not granted.
    pub memory_throttled: Mebibytes,
    /// Disk read, disk write, network in, network out, KB/s; NaN = not sampled.
    pub io_kbs: [f32; 4],
    /// `false`: no sample was taken in this interval.
    pub sampled: bool,
    /// What it may use.
    pub allocation: Allocation,
    /// Memory it dirties, MiB/s.
    pub dirty_mib_s: f32,
    /// Its shadow.
    pub shadow: Option<ShadowSeen>,
    /// Its owner has suspended or terminated it.
    pub stopped: bool,
    /// A live migration is under way.
    pub migrating: bool,
}

/// A rack's machines. Implementations are held to one contract: `enact` is called once per decision that the
/// [`crate::Ledger`] admitted, answers at once, and either starts the action or changes nothing.
pub trait Hypervisor {
    /// Starts the decision's action at `now_ms`. Returns what became of it and, if applied, when it takes effect.
    fn enact(&mut self, now_ms: u64, decision: &Decision) -> (OutcomeKind, u64);

    /// The VMs whose primary is on `host`, by ascending id, as of the last completed sample.
    fn observe(&self, host: HostId) -> Vec<Observed>;
}
