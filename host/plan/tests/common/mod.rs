//! Racks for the planner, quiet ones by hand and random ones.

use foreshade_plan::lifecycle::{Place, Shadow, Sync, WarmUp};
use foreshade_plan::{Bound, HostView, Mode, MoveScore, PlanInput, Policy, Site, VmForecast, VmView};
use foreshade_types::{
    Allocation, HostId, Mebibytes, Millicores, Pool, RackId, Readiness, ShadowPhase, Tick, VmId, VmSize,
};
use proptest::prelude::*;

pub const NOW: Tick = Tick(100);
pub const TICK_MS: u64 = 300_000;

pub fn auto() -> Policy {
    Policy { mode: Mode::Auto, ..Policy::default() }
}

/// A bound with no spread: the planner has nothing to price.
pub fn sure(x: u64) -> Bound {
    Bound { q50: x, q90: x, q95: x, q99: x }
}

pub fn forecast(x: u64) -> VmForecast {
    VmForecast { peak: sure(x), step: sure(x), hour: sure(x) }
}

/// A VM of 4 cores and 8 GiB that has all it was sold, uses `cpu` millicores and 1 GiB and will go on to.
pub fn vm(id: u32, host: u32, cpu: u64) -> VmView {
    let size = VmSize { cpu: Millicores(4000), memory: Mebibytes(8192) };
    VmView {
        id: VmId(id),
        host: HostId(host),
        size,
        allocation: size.into(),
        cpu_demand: Millicores(cpu),
        memory_demand: Mebibytes(1024),
        cpu: forecast(cpu),
        memory: Some(forecast(1024)),
        readiness: Readiness::Ready,
        stale_ticks: 0,
        shadow: None,
        migrating: false,
        moving_to: None,
        dirty_mib_s: 20,
        trail: Default::default(),
        cool_down: false,
        standing: Default::default(),
        stopped: false,
        customer: None,
        moves: 0,
    }
}

/// A shadow on `on` of a VM on `home`, made and last needed at these ticks.
pub fn shadow(home: u32, on: u32, phase: ShadowPhase, created: u64, needed: u64) -> Shadow {
    let place = |h| Place { host: HostId(h), domain: h };
    let size = Allocation { cpu: Millicores(1000), memory: Mebibytes(256) };
    let ms = |t: u64| t * TICK_MS;
    let copied = !matches!(phase, ShadowPhase::Requested | ShadowPhase::Provisioning | ShadowPhase::Syncing);
    Shadow {
        phase,
        primary: place(home),
        place: place(on),
        size,
        share_percent: if phase == ShadowPhase::Active { 50 } else { 0 },
        sync: if copied && phase != ShadowPhase::Suspended { Sync::CaughtUp } else { Sync::Behind },
        warm_up: WarmUp::Passed,
        warmed_ms: ms(needed),
        created_ms: ms(created),
        entered_ms: ms(needed),
        needed_ms: ms(needed),
        synced_ms: ms(NOW.0),
        end: None,
    }
}

/// A host of 32 cores and 256 GiB.
pub fn host(id: u32, load: u64, peak: u64, hour: u64) -> HostView {
    HostView {
        id: HostId(id),
        cpu: Millicores(32_000),
        memory: Mebibytes(262_144),
        load: Millicores(load),
        memory_load: Mebibytes(8192),
        peak: sure(peak),
        hour: sure(hour),
        pool: Pool::General,
        domain: id,
        up: true,
    }
}

/// A rack that owns its rows.
#[derive(Debug, Clone)]
pub struct OwnedInput {
    pub vms: Vec<VmView>,
    pub hosts: Vec<HostView>,
    pub migrations_left: u32,
    pub scores: Vec<MoveScore>,
    pub site: Site,
}

impl OwnedInput {
    pub fn new(vms: Vec<VmView>, hosts: Vec<HostView>) -> Self {
        Self {
            vms,
            hosts,
            migrations_left: 2,
            scores: vec![MoveScore::default(); 200],
            site: Site::default(),
        }
    }

    pub fn view(&self) -> PlanInput<'_> {
        PlanInput {
            rack: RackId(0),
            tick: NOW,
            vms: &self.vms,
            hosts: &self.hosts,
            cadence_s: 300,
            tick_ms: TICK_MS,
            migrations_left: self.migrations_left,
            site: &self.site,
            bandwidth_mib_s: 500,
            peak_s: 1800,
            hour_s: 3600,
            shortlist: &[],
        }
    }
}

fn any_bound(most: u64) -> impl Strategy<Value = Bound> {
    prop::collection::vec(0..=most, 4).prop_map(|mut q| {
        q.sort_unstable();
        Bound { q50: q[0], q90: q[1], q95: q[2], q99: q[3] }
    })
}

fn any_forecast(most: u64) -> impl Strategy<Value = VmForecast> {
    (any_bound(most), any_bound(most), any_bound(most)).prop_map(|(peak, step, hour)| VmForecast {
        peak,
        step,
        hour,
    })
}

fn any_shadow(hosts: u32) -> impl Strategy<Value = Shadow> {
    let phases: Vec<_> = ShadowPhase::ALL.into_iter().filter(|p| *p != ShadowPhase::Terminated).collect();
    let phase = prop::sample::select(phases);
    (0..hosts, phase, 1u8..=90, 500u64..4000, 64u64..1024, 0u64..100, 0u64..100).prop_map(
        |(h, phase, share_percent, c, m, a, b)| {
            let made = shadow(u32::MAX, h, phase, a.min(b), a.max(b));
            let share_percent = if phase == ShadowPhase::Active { share_percent } else { 0 };
            Shadow { share_percent, size: Allocation { cpu: Millicores(c), memory: Mebibytes(m) }, ..made }
        },
    )
}

fn any_vm(hosts: u32) -> impl Strategy<Value = VmView> {
    let size = (500u64..=16_000, 512u64..=65_536);
    let state = (
        prop::option::weighted(0.2, any_shadow(hosts)),
        prop_oneof![8 => Just(0u64), 1 => 1u64..4, 1 => 4u64..50, 1 => Just(u64::MAX)],
        prop_oneof![4 => Just(Readiness::Ready), 1 => Just(Readiness::Fallback), 1 => Just(Readiness::Cold)],
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.2),
        any::<bool>(),
        (prop::bool::weighted(0.1), prop::option::weighted(0.3, 0u32..2), 0u32..3),
    );
    (size, 0..hosts, state).prop_flat_map(move |((c, m), home, state)| {
        let load = (0..=c, 0..=m, 20..=c, 64..=m, any_forecast(c), any_forecast(m));
        load.prop_map(move |(cpu, memory, ac, am, cpu_forecast, memory_forecast)| {
            let (shadow, stale_ticks, readiness, migrating, cool_down, managed, (stopped, customer, moves)) =
                state;
            // A shadow is on another host by the rack's contract.
            let shadow = shadow.filter(|s| s.place.host.0 != home && !migrating);
            let primary = Place { host: HostId(home), domain: home };
            let shadow = shadow.map(|s| Shadow { primary, ..s });
            VmView {
                id: VmId(0),
                host: HostId(home),
                size: VmSize { cpu: Millicores(c), memory: Mebibytes(m) },
                allocation: Allocation { cpu: Millicores(ac), memory: Mebibytes(am.max(memory)) },
                cpu_demand: Millicores(cpu),
                memory_demand: Mebibytes(memory),
                cpu: cpu_forecast,
                memory: managed.then_some(memory_forecast),
                readiness,
                stale_ticks,
                shadow,
                migrating,
                moving_to: None,
                dirty_mib_s: cpu / 50,
                trail: Default::default(),
                cool_down,
                standing: Default::default(),
                stopped,
                customer,
                moves,
            }
        })
    })
}

/// Any rack of 2 to 4 hosts and up to 12 VMs: ids with gaps, hosts that run over or idle, scores that fit or not.
pub fn any_input() -> impl Strategy<Value = OwnedInput> {
    (2u32..=4).prop_flat_map(|n| {
        let pool = prop_oneof![
            4 => Just(Pool::General),
            1 => (0u32..2).prop_map(Pool::Dedicated),
            1 => Just(Pool::Shadow),
        ];
        // Two of four hosts may share a chassis.
        let own =
            (any_bound(48_000), any_bound(48_000), 0u64..40_000, pool, 0u32..4, prop::bool::weighted(0.9));
        let hosts = prop::collection::vec(own, n as usize);
        let score =
            (any_bound(40_000), any_bound(40_000)).prop_map(|(source, target)| MoveScore { source, target });
        let low =
            (any_bound(24_000), any_bound(24_000)).prop_map(|(source, target)| MoveScore { source, target });
        let scores = prop::collection::vec(prop_oneof![score, low], 200);
        (prop::collection::vec(any_vm(n), 0..12), hosts, 0u32..4, scores).prop_map(
            |(mut vms, hosts, migrations_left, scores)| {
                vms.iter_mut().enumerate().for_each(|(i, v)| v.id = VmId(i as u32 * 3 + 1));
                let hosts =
                    hosts.into_iter().enumerate().map(|(i, (peak, hour, load, pool, domain, up))| HostView {
                        id: HostId(i as u32),
                        cpu: Millicores(32_000),
                        memory: Mebibytes(262_144),
                        load: Millicores(load),
                        memory_load: Mebibytes(load),
                        peak,
                        hour,
                        pool,
                        domain,
                        up,
                    });
                OwnedInput { vms, hosts: hosts.collect(), migrations_left, scores, site: Site::default() }
            },
        )
    })
}
