//! What the appliance is told about its fleet before the first sample.

use foreshade_plan::lifecycle::Place;
use foreshade_plan::{Policy, Site};
use foreshade_types::{HostId, Mebibytes, Millicores, Pool, RackId, Resource, Tick, VmId, VmSize};

/// One host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostSpec {
    /// Its id.
    pub id: HostId,
    /// CPU it has.
    pub cpu: Millicores,
    /// Memory it has.
    pub memory: Mebibytes,
    /// Whom it serves.
    pub pool: Pool,
    /// Its chassis or power feed: hosts of one domain fail together.
    pub domain: u32,
}

impl HostSpec {
    /// A host that serves everybody and fails by itself.
    pub fn general(id: HostId, cpu: Millicores, memory: Mebibytes) -> Self {
        Self { id, cpu, memory, pool: Pool::General, domain: id.0 }
    }
}

/// One rack: hosts that one controller acts on. VMs do not leave their rack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RackSpec {
    /// Its id.
    pub id: RackId,
    /// Its hosts, ascending.
    pub hosts: Vec<HostSpec>,
}

/// What a VM's owner wants when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Care {
    /// Higher is brought back first.
    pub failover_priority: u32,
    /// How long it may be away, seconds; `None` = as the policy says.
    pub max_downtime_s: Option<u64>,
}

/// One VM; its id is its place in [`CoreConfig::vms`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmSpec {
    /// The name people know it by.
    pub name: String,
    /// What it was sold.
    pub size: VmSize,
    /// Where it starts.
    pub host: HostId,
    /// Whose it is, where its customer has hosts of its own.
    pub customer: Option<u32>,
    /// What its owner wants when it fails.
    pub care: Care,
}

/// The fleet and how to run it.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// Fencing epoch.
    pub epoch: u64,
    /// Seconds between samples.
    pub cadence_s: u32,
    /// Racks, ascending.
    pub racks: Vec<RackSpec>,
    /// VMs.
    pub vms: Vec<VmSpec>,
    /// Resources that are forecast.
    pub resources: Vec<Resource>,
    /// Is memory consumed memory, and so managed?
    pub manages_memory: bool,
    /// The first tick that decisions are taken at; earlier ones are history.
    pub first_decision: Tick,
    /// The last tick with samples; no decisions are taken at it.
    pub last: Tick,
    /// The planner's settings.
    pub policy: Policy,
    /// What people have laid down about hosts and VMs.
    pub site: Site,
    /// The device that forecasts run on, for the account.
    pub backend: String,
    /// Threads of the forecaster.
    pub threads: usize,
    /// A VM whose ten hops are reported.
    pub follow: Option<VmId>,
}

impl CoreConfig {
    /// Trace time of a tick.
    pub fn time_ms(&self, tick: Tick) -> u64 {
        tick.0 * u64::from(self.cadence_s) * 1000
    }

    /// Length of a tick.
    pub fn tick_ms(&self) -> u64 {
        u64::from(self.cadence_s) * 1000
    }

    /// A host with what fails together with it; a host that is not in the fleet fails by itself.
    pub fn place(&self, host: HostId) -> Place {
        let spec = self
            .racks
            .iter()
            .find_map(|r| r.hosts.binary_search_by_key(&host, |h| h.id).ok().map(|i| &r.hosts[i]));
        Place { host, domain: spec.map_or(host.0, |s| s.domain) }
    }
}
