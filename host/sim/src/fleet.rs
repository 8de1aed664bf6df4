//! A recorded fleet on simulated racks: sizes, hosts, placement and demand.

use foreshade_appliance_core::{HostSpec, RackSpec, VmSpec};
use foreshade_enact::fakes::rack::{Demand, RackConfig};
use foreshade_telemetry::trace::Trace;
use foreshade_types::{HostId, Mebibytes, Millicores, RackId, Resource, Tick, VmSize};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};
use thiserror::Error;

use crate::WARM_UP_TICKS;

/// Hosts one controller acts on.
pub const HOSTS_PER_RACK: usize = 8;

/// Mean load in warm-up that the number of hosts is chosen for, percent.
const MEAN_LOAD_PERCENT: u64 = 70;

/// How a trace becomes a fleet.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    /// What people call the trace.
    pub name: String,
    /// Draws the initial placement.
    pub seed: u64,
    /// Hosts; `None` = as many as give 70 % mean load in warm-up, at least two.
    pub hosts: Option<u32>,
    /// Size of VMs whose size the trace does not give.
    pub vm_size: VmSize,
    /// Is the trace's memory consumed memory?
    pub memory_consumed: bool,
    /// Decision ticks; `None` = all the trace has.
    pub ticks: Option<u64>,
}

/// A trace that cannot be replayed.
#[derive(Debug, Error)]
pub enum FleetError {
    /// Without CPU there is nothing to decide.
    #[error("trace {0} has no cpu_pct column; the replay needs one")]
    NoCpu(String),
    /// Not longer than the warm-up.
    #[error(
        "trace {name} has {samples} samples per VM; the replay needs {WARM_UP_TICKS} for warm-up and at least one more"
    )]
    TooShort {
        /// Its name.
        name: String,
        /// Its length.
        samples: usize,
    },
    /// No host.
    #[error("{0} hosts cannot hold a fleet that moves; give at least 2")]
    Hosts(u32),
}

/// A fleet, ready to run. The same trace, options and version give the same fleet.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// The trace's name.
    pub name: String,
    /// Seconds between samples.
    pub cadence_s: u32,
    /// Racks, ascending.
    pub racks: Vec<RackSpec>,
    /// VMs with their first host.
    pub vms: Vec<VmSpec>,
    /// Resources the trace has.
    pub resources: Vec<Resource>,
    /// The racks' sizes and latencies.
    pub rack: RackConfig,
    /// The last sample that is replayed.
    pub last: Tick,
    /// VMs whose size was the default.
    pub default_sized: usize,
    /// The size they got.
    pub default_size: VmSize,
    /// `[vm][sample]`.
    demand: Vec<Vec<Demand>>,
}

impl Fleet {
    /// Builds the fleet.
    pub fn new(trace: &Trace, options: &FleetOptions) -> Result<Self, FleetError> {
        let name = options.name.clone();
        let samples = grid_len(trace);
        if trace.column(Resource::Cpu).is_none() {
            return Err(FleetError::NoCpu(name));
        }
        if samples as u64 <= WARM_UP_TICKS {
            return Err(FleetError::TooShort { name, samples });
        }
        if let Some(n) = options.hosts.filter(|n| *n < 2) {
            return Err(FleetError::Hosts(n));
        }
        let sizes: Vec<_> = trace.vms.iter().map(|v| v.size.unwrap_or(options.vm_size)).collect();
        let resources = resources(trace);
        let demand: Vec<_> = (0..sizes.len()).map(|vm| demand(trace, vm, sizes[vm], samples)).collect();
        let rack = RackConfig { memory_contends: options.memory_consumed, ..RackConfig::default() };
        let hosts = options.hosts.unwrap_or_else(|| hosts_for(&demand, &rack));
        let placement = place(&sizes, hosts, options.seed);
        let vms = trace.vms.iter().zip(&sizes).zip(&placement);
        let most = samples as u64 - WARM_UP_TICKS;
        Ok(Self {
            name,
            cadence_s: trace.cadence_s,
            racks: racks(hosts, &rack),
            vms: vms
                .map(|((v, size), host)| VmSpec {
                    name: v.name.clone(),
                    size: *size,
                    host: *host,
                    customer: None,
                    care: Default::default(),
                })
                .collect(),
            resources,
            rack,
            last: Tick(WARM_UP_TICKS - 1 + options.ticks.unwrap_or(most).min(most)),
            default_size: options.vm_size,
            default_sized: trace.vms.iter().filter(|v| v.size.is_none()).count(),
            demand,
        })
    }

    /// What a VM asks for in the interval that ends at `tick`.
    pub fn demand(&self, vm: foreshade_types::VmId, tick: Tick) -> Demand {
        self.demand[vm.index()][tick.index()]
    }

    /// The tick that the first decisions are taken at: the last of the warm-up. They meet demand that is scored.
    pub fn first_decision(&self) -> Tick {
        Tick(WARM_UP_TICKS - 1)
    }

    /// Decision ticks.
    pub fn ticks(&self) -> u64 {
        self.last.since(self.first_decision())
    }

    /// All hosts, ascending.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + '_ {
        self.racks.iter().flat_map(|r| r.hosts.iter().map(|h| h.id))
    }
}

/// Samples on the common grid of all VMs.
fn grid_len(trace: &Trace) -> usize {
    trace.vms.iter().map(|v| offset(trace, v.start_ms) + v.len()).max().unwrap_or(0)
}

/// A VM's first sample on the grid that starts with the earliest VM.
fn offset(trace: &Trace, start_ms: i64) -> usize {
    let first = trace.vms.iter().map(|v| v.start_ms).min().unwrap_or(0);
    ((start_ms - first) / (i64::from(trace.cadence_s) * 1000)) as usize
}

fn resources(trace: &Trace) -> Vec<Resource> {
    let whole_fleet = |r: &Resource| (0..trace.vms.len()).all(|vm| trace.points(vm, *r).is_some());
    foreshade_types::RESOURCES.into_iter().filter(whole_fleet).collect()
}

/// A VM's demand on the grid, whole millicores and MiB, at most its size. A gap repeats the last demand, unsampled.
fn demand(trace: &Trace, vm: usize, size: VmSize, samples: usize) -> Vec<Demand> {
    let points = |r| trace.points(vm, r).unwrap_or_default();
    let (cpu, memory) = (points(Resource::Cpu), points(Resource::Memory));
    let io =
        [Resource::DiskRead, Resource::DiskWrite, Resource::NetRx, Resource::NetTx].map(|r| trace.column(r));
    let start = offset(trace, trace.vms[vm].start_ms);
    let share = |p: f32, whole: u64| ((f64::from(p).clamp(0.0, 100.0) * whole as f64 / 100.0).round()) as u64;
    let mut last = Demand { io_kbs: [f32::NAN; 4], ..Demand::default() };
    let mut out = Vec::with_capacity(samples);
    for grid in 0..samples {
        let at = |v: &[f32]| grid.checked_sub(start).and_then(|i| v.get(i)).copied().unwrap_or(f32::NAN);
        last.sampled = !at(&cpu).is_nan();
        if last.sampled {
            last.cpu = Millicores(share(at(&cpu), size.cpu.0));
            let m = at(&memory);
            if !m.is_nan() {
                last.memory = Mebibytes(share(m, size.memory.0));
            }
        }
        last.io_kbs = io.map(|c| c.map_or(f32::NAN, |c| at(&trace.vms[vm].values[c]).max(0.0)));
        out.push(last);
    }
    out
}

fn hosts_for(demand: &[Vec<Demand>], rack: &RackConfig) -> u32 {
    let warm = WARM_UP_TICKS as usize;
    let sum: u64 = demand.iter().flat_map(|d| d.iter().take(warm)).map(|d| d.cpu.0).sum();
    let per_host = rack.host_cpu.0 * MEAN_LOAD_PERCENT / 100 * WARM_UP_TICKS;
    ((sum + per_host / 2) / per_host).max(2) as u32
}

fn racks(hosts: u32, rack: &RackConfig) -> Vec<RackSpec> {
    let n = hosts.div_ceil(HOSTS_PER_RACK as u32);
    let rack_of = |h: u32| (u64::from(h) * u64::from(n) / u64::from(hosts)) as u32;
    let spec = |h| HostSpec::general(HostId(h), rack.host_cpu, rack.host_memory);
    let of =
        |r| RackSpec { id: RackId(r), hosts: (0..hosts).filter(|h| rack_of(*h) == r).map(spec).collect() };
    (0..n).map(of).collect()
}

/// In an order drawn from the seed, each VM goes to the host with the fewest cores sold: what a scheduler does that knows
/// sizes and no load.
fn place(sizes: &[VmSize], hosts: u32, seed: u64) -> Vec<HostId> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    for i in (1..order.len()).rev() {
        // The bias of the remainder is below 2^-50 for any fleet.
        order.swap(i, (rng.next_u64() % (i as u64 + 1)) as usize);
    }
    let mut sold = vec![0; hosts as usize];
    let mut out = vec![HostId(0); sizes.len()];
    for vm in order {
        let least = (0..sold.len()).min_by_key(|h| (sold[*h], *h)).unwrap_or(0);
        sold[least] += sizes[vm].cpu.0;
        out[vm] = HostId(least as u32);
    }
    out
}
