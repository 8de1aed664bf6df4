//! What the appliance believes about each VM, from telemetry and from the outcomes of its decisions.

use foreshade_plan::lifecycle::{Alert, Event, Limits, Report, Shadow, Sync, believe, step};
use foreshade_plan::{CoolDown, Rest};
use foreshade_telemetry::Sealed;
use foreshade_types::{
    Action, Allocation, Decision, HostId, Mebibytes, Millicores, Resource, ShadowPhase, Tick, VmId, VmSize,
};
use foreshade_wire::{Column, Flags, Row};

use crate::CoreConfig;
use crate::guarded::Guarded;

/// One VM.
#[derive(Debug, Clone)]
pub(crate) struct VmState {
    pub(crate) size: VmSize,
    pub(crate) host: HostId,
    pub(crate) allocation: Allocation,
    pub(crate) cpu_demand: Millicores,
    pub(crate) memory_demand: Mebibytes,
    pub(crate) last_sample: Option<Tick>,
    pub(crate) flags: Flags,
    pub(crate) shadow: Option<Shadow>,
    /// What people are to be told about it and have not been.
    pub(crate) shadow_alerts: Vec<Alert>,
    /// A migration was accepted: the VM may show up there.
    pub(crate) moving_to: Option<HostId>,
    pub(crate) rest: CoolDown,
    /// Memory it writes, MiB/s.
    pub(crate) dirty_mib_s: u64,
    /// Its health, and what became of its fail-overs.
    pub(crate) guarded: Guarded,
    /// The migration under way, to be learnt from when it has ended.
    pub(crate) copied: Option<Copied>,
}

impl VmState {
    pub(crate) fn new(size: VmSize, host: HostId) -> Self {
        Self {
            size,
            host,
            allocation: size.into(),
            cpu_demand: Millicores(0),
            memory_demand: Mebibytes(0),
            last_sample: None,
            flags: Flags::default(),
            shadow: None,
            shadow_alerts: Vec::new(),
            moving_to: None,
            rest: CoolDown::default(),
            dirty_mib_s: 0,
            copied: None,
            guarded: Guarded::default(),
        }
    }

    /// May an agent of `host` speak for this VM?
    pub(crate) fn may_be_on(&self, host: HostId) -> bool {
        self.host == host || self.moving_to == Some(host)
    }

    /// Share of the load that the shadow serves, percent.
    pub(crate) fn away_percent(&self) -> u64 {
        self.shadow.map_or(0, |s| s.away_percent().min(100))
    }

    /// Takes a row that has passed every check.
    pub(crate) fn see(&mut self, tick: Tick, host: HostId, row: &Row, config: &CoreConfig) {
        let value = |c: Column| row.values[c as usize];
        if self.host != host {
            self.primary_moved(host, tick, config);
        }
        self.flags = row.flags;
        if !row.flags.has(Flags::MIGRATING) {
            self.moving_to = None;
            self.guarded.taking_over = false;
        }
        if !value(Column::AllocCpuMc).is_nan() && !value(Column::AllocMemMib).is_nan() {
            self.allocation = Allocation {
                cpu: Millicores(value(Column::AllocCpuMc) as u64),
                memory: Mebibytes(value(Column::AllocMemMib) as u64),
            };
        }
        let cpu = demand(value(Column::CpuUsedMc), value(Column::CpuThrottledMc));
        if !cpu.is_nan() {
            self.cpu_demand = Millicores(cpu as u64);
            self.last_sample = Some(tick);
        }
        let memory = demand(value(Column::MemUsedMib), value(Column::MemThrottledMib));
        if !memory.is_nan() {
            self.memory_demand = Mebibytes(memory as u64);
        }
        if !value(Column::DirtyMibS).is_nan() {
            self.dirty_mib_s = value(Column::DirtyMibS) as u64;
        }
        if row.flags.has(Flags::STOPPED) {
            (self.cpu_demand, self.memory_demand) = (Millicores(0), Mebibytes(0));
        }
        let (now_ms, limits) = clock(config, tick);
        if let Some(s) = self.shadow {
            let (believed, alerts) = believe(&s, report(row.flags), now_ms, &limits);
            self.shadow = believed;
            self.shadow_alerts.extend(alerts);
        }
    }

    /// A shadow that would sit beside its primary now is not believed in any more; the rack has its own rule for that.
    fn primary_moved(&mut self, host: HostId, tick: Tick, config: &CoreConfig) {
        self.host = host;
        self.shadow_event(Event::PrimaryMoved { to: config.place(host) }, tick, config);
    }

    /// Takes an event of the shadow; one that does not apply changes nothing.
    pub(crate) fn shadow_event(&mut self, event: Event, tick: Tick, config: &CoreConfig) {
        let (now_ms, limits) = clock(config, tick);
        if let Some(s) = &mut self.shadow
            && let Ok((next, _)) = step(s, event, now_ms, &limits)
        {
            *s = next;
        }
    }

    /// Takes note of a decision that a controller has carried out, with effect at a trace time.
    pub(crate) fn applied(&mut self, d: &Decision, effective_at_ms: u64, config: &CoreConfig) {
        let tick = d.caused_by;
        match d.action {
            Action::PreAllocate { to } | Action::GiveBack { to } => self.allocation = to,
            Action::CreateShadow { host, size } => {
                let (primary, place) = (config.place(self.host), config.place(host));
                let asked = Shadow::request(primary, place, size, clock(config, tick).0);
                self.shadow = asked.ok().map(|(s, _)| s);
                self.shadow_event(Event::Accepted, tick, config);
            }
            Action::ReleaseShadow => self.shadow = None,
            Action::ShiftTraffic { share_percent, size } => {
                self.shadow_event(Event::TrafficShifted { share_percent, size }, tick, config);
            }
            Action::ShiftBack { size } => {
                self.shadow_event(Event::TrafficShiftedBack { size }, tick, config);
            }
            Action::SuspendShadow => self.shadow_event(Event::Suspended, tick, config),
            Action::ResumeShadow => self.shadow_event(Event::Needed, tick, config),
            Action::FailOver { host, size, generation, .. } | Action::Restart { host, size, generation } => {
                (self.moving_to, self.allocation, self.shadow) = (Some(host), size, None);
                let rests = matches!(d.action, Action::FailOver { .. });
                let base_ticks = config.policy.failover.cool_down_ticks;
                let rest = Rest { base_ticks, ..config.policy.rest() };
                self.guarded.moved(tick, d.observed_host, generation, rests.then_some(rest));
            }
            Action::RecoverSync => {
                self.guarded.recovers_until = Tick(tick.0 + config.policy.failover.recovery_ticks);
                self.shadow_event(Event::SyncBehind, tick, config);
            }
            Action::Migrate { to } => {
                self.moving_to = Some(to);
                let took_ms = effective_at_ms.saturating_sub(config.time_ms(tick));
                let (memory_mib, dirty_mib_s) = (self.memory_demand.0, self.dirty_mib_s);
                self.copied = Some(Copied { to, memory_mib, dirty_mib_s, took_ms });
                self.rest.moved(tick, d.observed_host, &config.policy.rest());
            }
        }
    }
}

fn clock(config: &CoreConfig, tick: Tick) -> (u64, Limits) {
    (config.time_ms(tick), config.policy.shadow_limits(config.tick_ms()))
}

/// What the flags of a row say of its VM's shadow; the later phase counts.
fn report(flags: Flags) -> Option<Report> {
    let phases = [
        (Flags::SHADOW_FAILED, ShadowPhase::Failed),
        (Flags::SHADOW_SUSPENDED, ShadowPhase::Suspended),
        (Flags::SHADOW_DRAINING, ShadowPhase::Draining),
        (Flags::TRAFFIC_SHIFTED, ShadowPhase::Active),
        (Flags::SHADOW_READY, ShadowPhase::Ready),
        (Flags::SHADOW_WARM, ShadowPhase::Warm),
        (Flags::SHADOW_SYNCING, ShadowPhase::Syncing),
        (Flags::SHADOW_PROVISIONING, ShadowPhase::Provisioning),
    ];
    let phase = phases.iter().find(|(f, _)| flags.has(*f)).map(|(_, p)| *p)?;
    let copied = !matches!(phase, ShadowPhase::Provisioning | ShadowPhase::Syncing);
    let sync = match (flags.has(Flags::SYNC_CORRUPT), flags.has(Flags::SYNC_BEHIND)) {
        (true, _) => Sync::Corrupt,
        (_, true) => Sync::Behind,
        _ if copied => Sync::CaughtUp,
        _ => Sync::Behind,
    };
    Some(Report { phase, sync })
}

/// Used + throttled: exact, since both are whole numbers below 2^24. NaN if either is missing.
pub(crate) fn demand(used: f32, throttled: f32) -> f32 {
    used + throttled
}

/// What a migration copied, and how long that took by its rack's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Copied {
    pub(crate) to: HostId,
    pub(crate) memory_mib: u64,
    pub(crate) dirty_mib_s: u64,
    pub(crate) took_ms: u64,
}

/// One resource of one VM in points; NaN = missing.
pub(crate) fn points(r: Resource, sealed: &Sealed, vm: usize, state: &VmState) -> f32 {
    let column = |c: Column| sealed.column(c as usize)[vm];
    let share = |x: f32, whole: u64| if whole == 0 { f32::NAN } else { x * 100.0 / whole as f32 };
    match r {
        Resource::Cpu => {
            share(demand(column(Column::CpuUsedMc), column(Column::CpuThrottledMc)), state.size.cpu.0)
        }
        Resource::Memory => {
            share(demand(column(Column::MemUsedMib), column(Column::MemThrottledMib)), state.size.memory.0)
        }
        Resource::DiskRead => r.transform().to_points(column(Column::DiskReadKbs)),
        Resource::DiskWrite => r.transform().to_points(column(Column::DiskWriteKbs)),
        Resource::NetRx => r.transform().to_points(column(Column::NetRxKbs)),
        Resource::NetTx => r.transform().to_points(column(Column::NetTxKbs)),
    }
}

/// All VMs, by id.
#[derive(Debug, Clone)]
pub(crate) struct FleetState(pub(crate) Vec<VmState>);

impl FleetState {
    pub(crate) fn get_mut(&mut self, vm: VmId) -> Option<&mut VmState> {
        self.0.get_mut(vm.index())
    }

    /// The migrations that have ended at their targets since the last call; those that did not are forgotten.
    pub(crate) fn copied(&mut self) -> Vec<Copied> {
        let over = |s: &mut VmState| {
            let under_way = s.moving_to.is_some() && s.copied.is_some_and(|c| c.to != s.host);
            let ended = if under_way { None } else { s.copied.take() };
            ended.filter(|c| c.to == s.host)
        };
        self.0.iter_mut().filter_map(over).collect()
    }

    /// What people are to be told about shadows, once.
    pub(crate) fn shadow_alerts(&mut self) -> Vec<(VmId, Alert)> {
        let of = |(vm, s): (VmId, &mut VmState)| {
            std::mem::take(&mut s.shadow_alerts).into_iter().map(move |a| (vm, a))
        };
        (0u32..).map(VmId).zip(&mut self.0).flat_map(of).collect()
    }
}
