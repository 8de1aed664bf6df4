//! A simulated rack: hosts, VMs, shadows and migrations on trace time. Pure and in integers, so that the same decisions
//! on the same demand give the same figures to the last bit.
//!
//! ```text
//!  decision --enact--> pending (resize 5 s | shadow 60 s in three phases | migration M/(B-D) + downtime) --advance--> in force
//!  demand(t+1) --advance, 10 s sub-steps--> grants: min(demand, allocation), cut in proportion where a host runs over
//!                                           --observe--> what the agents report at t+1
//! ```
//! A sample at tick t+1 describes the interval that ends there: decisions taken at t meet demand nobody has seen yet.

use std::collections::{BTreeMap, VecDeque};

use foreshade_types::{
    Action, Allocation, Decision, HostId, Mebibytes, Millicores, MovePhase, OutcomeKind, Rules, SyncState,
    Template, VmId, VmSize,
};

use super::migration::{Transfer, Turn};
use super::shadow::Guest;
use super::takeover::{Old, Takeover, Tokens};
use crate::{Hypervisor, Observed};

/// Latencies and sizes of the simulated rack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RackConfig {
    /// CPU of each host.
    pub host_cpu: Millicores,
    /// Memory of each host.
    pub host_memory: Mebibytes,
    /// Length of a sub-step.
    pub substep_ms: u64,
    /// A resize takes effect after this.
    pub resize_ms: u64,
    /// A shadow has booted after this.
    pub shadow_boot_ms: u64,
    /// Its copy has caught up after this.
    pub shadow_sync_ms: u64,
    /// Its warm-up task has ended after this.
    pub shadow_warm_up_ms: u64,
    /// Its last requests have ended this long after its traffic went back.
    pub shadow_drain_ms: u64,
    /// Bandwidth of a migration, MiB/s.
    pub migration_mib_s: u64,
    /// The VM stands still this long at the switch-over.
    pub downtime_ms: u64,
    /// A migration's target has room after this.
    pub migration_prepare_ms: u64,
    /// A migrated VM is known to work this long after it was switched.
    pub migration_verify_ms: u64,
    /// The source is a copy to go back to this long after that.
    pub migration_finalise_ms: u64,
    /// And is kept for this long.
    pub rollback_window_ms: u64,
    /// A guest that is asked to has shut down after this.
    pub shutdown_ms: u64,
    /// One that has not after this is cut off.
    pub shutdown_limit_ms: u64,
    /// Which takes this long, as does making sure that a lost host is off.
    pub fence_ms: u64,
    /// Each hook of a fail-over takes this long.
    pub hook_ms: u64,
    /// A shadow serves this long after it was given the write token.
    pub promote_ms: u64,
    /// A VM that is started anew serves after this.
    pub cold_start_ms: u64,
    /// CPU that a migration takes on source and target while it copies.
    pub migration_cpu: Millicores,
    /// Power of an idle and of a full host.
    pub host_watts: (u64, u64),
    /// Does memory join contention? Only where the trace's memory is consumed memory.
    pub memory_contends: bool,
}

impl Default for RackConfig {
    fn default() -> Self {
        Self {
            host_cpu: Millicores(32_000),
            // 8 GiB a core, as on hosts sold for general use.
            host_memory: Mebibytes(256 * 1024),
            substep_ms: 10_000,
            resize_ms: 5_000,
            shadow_boot_ms: 30_000,
            shadow_sync_ms: 20_000,
            shadow_warm_up_ms: 10_000,
            shadow_drain_ms: 10_000,
            migration_mib_s: 500,
            downtime_ms: 300,
            shutdown_ms: 5_000,
            shutdown_limit_ms: 20_000,
            fence_ms: 5_000,
            hook_ms: 2_000,
            promote_ms: 2_000,
            cold_start_ms: 90_000,
            migration_prepare_ms: 0,
            migration_verify_ms: 1_000,
            migration_finalise_ms: 1_000,
            rollback_window_ms: 30_000,
            migration_cpu: Millicores(500),
            // Idle at 30 % of full: the median of published SPECpower curves.
            host_watts: (105, 350),
            memory_contends: true,
        }
    }
}

/// What a VM asks for over one sample interval.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Demand {
    /// CPU, at most the VM's size.
    pub cpu: Millicores,
    /// Memory, at most the VM's size.
    pub memory: Mebibytes,
    /// Disk read, disk write, network in, network out, KB/s.
    pub io_kbs: [f32; 4],
    /// `false`: the trace has no sample here; the demand is the last one known and the agent reports nothing.
    pub sampled: bool,
    /// Its guest hangs: no heartbeat, no answer, and it does not shut down when it is asked to.
    pub hangs: bool,
    /// Requests that it answers with an error, percent.
    pub error_percent: u64,
    /// Its owner has suspended or terminated it: it asks for nothing and is given nothing.
    pub stopped: bool,
    /// What goes wrong with the copy that its shadow holds: it lags, or is corrupt.
    pub copy_fault: Option<SyncState>,
}

/// What the run cost. All sums over scored sub-steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Milliseconds of VM time.
    pub vm_ms: u64,
    /// Milliseconds of VM time in contention.
    pub contention_ms: u64,
    /// The part of it in which CPU was short.
    pub cpu_contention_ms: u64,
    /// The part of it in which memory was short.
    pub memory_contention_ms: u64,
    /// Allocated (shadows included) and not granted, millicore-milliseconds.
    pub over_reserved_mc_ms: u128,
    /// Memory allocated (shadows included) and not granted, MiB-milliseconds.
    pub over_reserved_mib_ms: u128,
    /// Milliseconds of VM time in which a VM that should run did not answer.
    pub down_ms: u64,
    /// Migrations completed or under way.
    pub migrations: u64,
    /// Milliseconds of shadow time.
    pub shadow_ms: u64,
    /// Milliwatt-milliseconds.
    pub energy_mw_ms: u128,
}

impl Totals {
    /// Adds another rack's totals.
    pub fn add(&mut self, o: &Self) {
        self.vm_ms += o.vm_ms;
        self.contention_ms += o.contention_ms;
        self.cpu_contention_ms += o.cpu_contention_ms;
        self.memory_contention_ms += o.memory_contention_ms;
        self.over_reserved_mc_ms += o.over_reserved_mc_ms;
        self.over_reserved_mib_ms += o.over_reserved_mib_ms;
        self.down_ms += o.down_ms;
        self.migrations += o.migrations;
        self.shadow_ms += o.shadow_ms;
        self.energy_mw_ms += o.energy_mw_ms;
    }
}

#[derive(Debug, Clone)]
pub(super) struct Vm {
    id: VmId,
    size: VmSize,
    /// What it was booted from.
    template: Template,
    pub(super) host: HostId,
    allocation: Allocation,
    /// Resizes under way, in the order they take effect: a later one does not hold an earlier one up.
    resizes: VecDeque<(u64, Allocation)>,
    pub(super) shadow: Option<Guest>,
    pub(super) migration: Option<Transfer>,
    /// How the last migration ended.
    moved: Option<MovePhase>,
    /// It does not run, though its owner wants it to.
    down: bool,
    takeover: Option<Takeover>,
    tokens: Tokens,
    /// Where it began to hang: what takes over does not.
    hung_on: Option<HostId>,
    hung: bool,
    demand: Demand,
    granted_mc_sum: u64,
    granted_mib_sum: u64,
    substeps: u64,
}

impl Vm {
    /// CPU asked of the primary and of the shadow, each capped by its allocation.
    fn requests(&self) -> (Millicores, Millicores) {
        if self.down {
            return (Millicores(0), Millicores(0));
        }
        let share = self.shadow.as_ref().map_or(0, |s| u64::from(s.share_percent));
        let to_shadow = Millicores(self.demand.cpu.0 * share / 100);
        let size = self.shadow.as_ref().map_or(Millicores(0), |s| s.size.cpu);
        ((self.demand.cpu - to_shadow).min(self.allocation.cpu), to_shadow.min(size))
    }

    fn memory_request(&self) -> Mebibytes {
        if self.down {
            return Mebibytes(0);
        }
        self.demand.memory.min(self.allocation.memory)
    }

    /// A migration comes a step further.
    fn turn(&mut self, turn: Turn) {
        match turn {
            Turn::Switched(host) => {
                self.tokens.moved(self.host, host);
                self.host = host;
            }
            Turn::Over(phase) => (self.migration, self.moved) = (None, Some(phase)),
        }
    }

    /// Its primary ends, and it goes on elsewhere.
    fn take_over(
        &mut self,
        to: (HostId, Allocation),
        hooks: u32,
        boots: bool,
        host_lost: bool,
        now_ms: u64,
        config: &RackConfig,
    ) -> (OutcomeKind, u64) {
        let old = match (host_lost, self.hangs()) {
            (true, _) => Old::Lost,
            (_, true) => Old::Hangs,
            _ => Old::ShutsDown,
        };
        let t = Takeover::new(to, old, hooks, boots, now_ms, config);
        let at = t.until_ms;
        (self.takeover, self.down) = (Some(t), true);
        (OutcomeKind::Applied, at)
    }

    /// Does its guest hang where it runs now?
    fn hangs(&self) -> bool {
        self.hung_on == Some(self.host)
    }

    /// Its new primary serves.
    fn taken_over(&mut self, t: Takeover) {
        (self.host, self.allocation, self.down) = (t.to, t.size, false);
        (self.shadow, self.hung_on) = (None, None);
        self.resizes.clear();
    }

    fn dirty_mib_s(&self) -> u64 {
        // 20 MiB/s per busy core: the middle of what a guest under a write load showed.
        self.demand.cpu.0 * 20 / 1000
    }
}

/// One rack.
#[derive(Debug, Clone)]
pub struct Rack {
    config: RackConfig,
    hosts: Vec<HostId>,
    pub(super) rules: Rules,
    /// What fails together, where a host is not alone.
    pub(super) domains: BTreeMap<HostId, u32>,
    vms: Vec<Vm>,
    now_ms: u64,
    totals: Totals,
    /// Hosts that are lost.
    lost: Vec<HostId>,
}

/// What one host was asked for in one sub-step.
#[derive(Debug, Clone, Copy, Default)]
struct HostLoad {
    cpu: u64,
    memory: u64,
}

impl Rack {
    /// A rack of `hosts` (ascending) with VMs `(id, size, host)` in ascending order of id, each allocated its size.
    pub fn new(config: RackConfig, hosts: Vec<HostId>, vms: &[(VmId, VmSize, HostId)]) -> Self {
        let vms = vms.iter().map(|&(id, size, host)| Vm {
            id,
            size,
            template: Template::primary(&format!("image of {id}"), "linux", size),
            host,
            allocation: size.into(),
            resizes: VecDeque::new(),
            shadow: None,
            migration: None,
            moved: None,
            down: false,
            takeover: None,
            tokens: Tokens::new(host),
            hung_on: None,
            hung: false,
            demand: Demand::default(),
            granted_mc_sum: 0,
            granted_mib_sum: 0,
            substeps: 0,
        });
        let (rules, domains) = (Rules::default(), BTreeMap::new());
        Self {
            config,
            hosts,
            rules,
            domains,
            vms: vms.collect(),
            now_ms: 0,
            totals: Totals::default(),
            lost: vec![],
        }
    }

    /// The same, refusing what would break a rule. `domains`: what fails together, where a host is not alone.
    #[must_use]
    pub fn with_rules(self, rules: Rules, domains: BTreeMap<HostId, u32>) -> Self {
        Self { rules, domains, ..self }
    }

    /// Its hosts.
    pub fn hosts(&self) -> &[HostId] {
        &self.hosts
    }

    /// Its VMs.
    pub fn vms(&self) -> impl Iterator<Item = VmId> + '_ {
        self.vms.iter().map(|v| v.id)
    }

    /// What a VM, and its shadow where it has one, were booted from.
    pub fn templates(&self, vm: VmId) -> Option<(&Template, Option<&Template>)> {
        let v = self.vms.binary_search_by_key(&vm, |v| v.id).ok().map(|i| &self.vms[i])?;
        Some((&v.template, v.shadow.as_ref().map(|s| &s.template)))
    }

    /// Loses a host: its VMs stop, its shadows fail, and no copy there may write.
    pub fn lose(&mut self, host: HostId) {
        self.lost.push(host);
        for v in &mut self.vms {
            v.shadow.iter_mut().filter(|s| s.host == host).for_each(Guest::lose);
            v.tokens.lose(host);
            let hit = v.migration.as_ref().is_some_and(|m| m.from == host || m.to == host);
            if let Some(turn) =
                v.migration.as_mut().filter(|m| hit && m.to == host).and_then(Transfer::go_back)
            {
                v.turn(turn);
            }
            if hit {
                v.turn(Turn::Over(if v.host == host { MovePhase::Failed } else { MovePhase::RolledBack }));
            }
            if v.takeover.take_if(|t| t.to == host).is_some() {
                v.tokens.abandon(host, &self.lost);
                (v.host, v.shadow) = (host, None);
            }
            v.down |= v.host == host;
        }
    }

    /// The hosts that are lost.
    pub fn lost(&self) -> &[HostId] {
        &self.lost
    }

    /// Where copies of a VM hold a valid write token: one host, or none while it is handed over.
    pub fn writers(&self, vm: VmId) -> Vec<HostId> {
        self.vms.iter().find(|v| v.id == vm).map(|v| v.tokens.writers()).unwrap_or_default()
    }

    /// What a probe of each VM that runs finds: does it answer, and how many requests it fails, percent.
    pub fn probe(&self) -> Vec<(VmId, bool, u64)> {
        let runs = self.vms.iter().filter(|v| !v.down && !v.demand.stopped);
        runs.map(|v| (v.id, !v.hangs(), v.demand.error_percent)).collect()
    }

    /// Somebody moves a VM by hand, at once and past every rule: what the appliance sees of it is a VM that is elsewhere.
    pub fn carry(&mut self, vm: VmId, to: HostId) {
        self.vms.iter_mut().filter(|v| v.id == vm).for_each(|v| v.host = to);
    }

    /// How far a VM's migration is, or how its last one ended.
    pub fn moving(&self, vm: VmId) -> Option<MovePhase> {
        let v = self.vms.iter().find(|v| v.id == vm)?;
        v.migration.as_ref().map(|m| m.phase).or(v.moved)
    }

    /// Lays a fault in a step of the VM's migration; `false` where there is none.
    pub fn fail_move(&mut self, vm: VmId, at: MovePhase) -> bool {
        let migration = self.vms.iter_mut().find(|v| v.id == vm).and_then(|v| v.migration.as_mut());
        migration.map(|m| m.fault = Some(at)).is_some()
    }

    /// Brings a VM back to where it came from while the source is kept; `false` where it is not.
    pub fn go_back(&mut self, vm: VmId) -> bool {
        let Some(v) = self.vms.iter_mut().find(|v| v.id == vm) else { return false };
        let kept = v.migration.as_mut().filter(|m| m.phase == MovePhase::Kept);
        let Some(turn) = kept.and_then(Transfer::go_back) else { return false };
        v.turn(turn);
        v.turn(Turn::Over(MovePhase::RolledBack));
        true
    }

    /// Memory that is in use on a host, or promised there.
    pub fn memory_held(&self, host: HostId) -> Mebibytes {
        Mebibytes(self.loads()[self.slot(host)].memory)
    }

    /// The sums so far.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Runs the interval `[from_ms, from_ms + length_ms)` with each VM's demand held. `scored`: count it in the totals.
    pub fn advance(&mut self, from_ms: u64, length_ms: u64, scored: bool, demand: impl Fn(VmId) -> Demand) {
        for v in &mut self.vms {
            v.demand = demand(v.id);
            if v.demand.stopped {
                (v.demand.cpu, v.demand.memory, v.demand.sampled) = (Millicores(0), Mebibytes(0), false);
            }
            if v.demand.hangs != v.hung {
                v.hung_on = v.demand.hangs.then_some(v.host);
            }
            v.hung = v.demand.hangs;
            if let Some(s) = &mut v.shadow {
                s.fault(v.demand.copy_fault, from_ms, &self.config);
            }
            (v.granted_mc_sum, v.granted_mib_sum, v.substeps) = (0, 0, 0);
        }
        let mut now = from_ms;
        while now < from_ms + length_ms {
            let step = self.config.substep_ms.min(from_ms + length_ms - now);
            let standstill = self.settle(now);
            self.grant(step, scored, &standstill);
            now += step;
        }
        self.settle(now);
    }

    /// Puts in force what is due at `now`; returns the VMs that switched host, and so stood still for the downtime.
    fn settle(&mut self, now_ms: u64) -> Vec<VmId> {
        self.now_ms = now_ms;
        let mut switched = Vec::new();
        for v in &mut self.vms {
            while let Some(&(_, to)) = v.resizes.front().filter(|(at, _)| *at <= now_ms) {
                v.allocation = to;
                v.resizes.pop_front();
            }
            if let Some(s) = &mut v.shadow {
                s.settle(now_ms, &self.config);
            }
            if let Some(t) = v.takeover.take_if(|t| t.settle(&mut v.tokens, &self.lost, now_ms, &self.config))
            {
                v.taken_over(t);
            }
            let turns = v.migration.as_mut().map(|m| m.settle(now_ms, &self.config)).unwrap_or_default();
            for turn in turns {
                v.turn(turn);
                if let Turn::Switched(_) = turn {
                    switched.push(v.id);
                }
            }
        }
        switched
    }

    pub(super) fn vm(&self, id: VmId) -> Option<&Vm> {
        self.vms.binary_search_by_key(&id, |v| v.id).ok().map(|i| &self.vms[i])
    }

    fn slot(&self, host: HostId) -> usize {
        self.hosts.binary_search(&host).unwrap_or(0)
    }

    fn loads(&self) -> Vec<HostLoad> {
        let mut load = vec![HostLoad::default(); self.hosts.len()];
        for v in &self.vms {
            let (primary, shadow) = v.requests();
            let home = self.slot(v.host);
            load[home].cpu += primary.0;
            load[home].memory += v.memory_request().0;
            if let Some(s) = &v.shadow {
                let i = self.slot(s.host);
                load[i].cpu += shadow.0;
                load[i].memory += s.size.memory.0;
            }
            if let Some(m) = &v.migration {
                let to = self.slot(m.other_host());
                if m.copies() {
                    load[home].cpu += self.config.migration_cpu.0;
                    load[to].cpu += self.config.migration_cpu.0;
                }
                load[to].memory += v.memory_request().0;
            }
            if let Some(t) = &v.takeover {
                // Its shadow holds some of it already.
                let held =
                    v.shadow.as_ref().filter(|s| s.host == t.to).map_or(Mebibytes(0), |s| s.size.memory);
                let to = self.slot(t.to);
                load[to].memory += (t.size.memory - held).0;
            }
        }
        load
    }

    /// One sub-step: grants, and their cost when scored.
    fn grant(&mut self, step_ms: u64, scored: bool, standstill: &[VmId]) {
        let load = self.loads();
        let (cpu_cap, mem_cap) = (self.config.host_cpu.0, self.config.host_memory.0);
        let cut = |want: u64, asked: u64, cap: u64| if asked > cap { want * cap / asked } else { want };
        let mut busy = vec![0u64; self.hosts.len()];
        for i in 0..self.vms.len() {
            let home = self.slot(self.vms[i].host);
            let away = self.vms[i].shadow.as_ref().map(|s| self.slot(s.host));
            let v = &mut self.vms[i];
            let (primary, shadow) = v.requests();
            let mut granted = cut(primary.0, load[home].cpu, cpu_cap);
            if standstill.contains(&v.id) {
                granted = granted * step_ms.saturating_sub(self.config.downtime_ms) / step_ms;
            }
            busy[home] += granted;
            if let Some(a) = away {
                let g = cut(shadow.0, load[a].cpu, cpu_cap);
                busy[a] += g;
                granted += g;
            }
            let memory = cut(v.memory_request().0, load[home].memory, mem_cap);
            v.granted_mc_sum += granted;
            v.granted_mib_sum += memory;
            v.substeps += 1;
            if scored {
                let cpu_short = !v.down && granted * 100 < v.demand.cpu.0 * 99;
                let memory_short =
                    self.config.memory_contends && !v.down && memory * 100 < v.demand.memory.0 * 99;
                let shadow = v.shadow.as_ref().map(Guest::held).unwrap_or_default();
                let down = !v.demand.stopped && (v.down || v.hangs());
                let own = if v.demand.stopped || v.down { Allocation::default() } else { v.allocation };
                let t = &mut self.totals;
                t.vm_ms += if v.demand.stopped { 0 } else { step_ms };
                t.down_ms += if down { step_ms } else { 0 };
                t.contention_ms += if cpu_short || memory_short { step_ms } else { 0 };
                t.cpu_contention_ms += if cpu_short { step_ms } else { 0 };
                t.memory_contention_ms += if memory_short { step_ms } else { 0 };
                let reserved = (own.cpu.0 + shadow.cpu.0).saturating_sub(granted);
                t.over_reserved_mc_ms += u128::from(reserved) * u128::from(step_ms);
                let reserved = (own.memory.0 + shadow.memory.0).saturating_sub(memory);
                t.over_reserved_mib_ms += u128::from(reserved) * u128::from(step_ms);
                t.shadow_ms += if v.shadow.is_some() { step_ms } else { 0 };
            }
        }
        if scored {
            let (idle, full) = self.config.host_watts;
            for b in busy {
                let mw = idle * 1000 + (full - idle) * 1000 * b.min(cpu_cap) / cpu_cap;
                self.totals.energy_mw_ms += u128::from(mw) * u128::from(step_ms);
            }
        }
    }

    fn clamp(v: &Vm, to: Allocation) -> Allocation {
        Allocation { cpu: to.cpu.min(v.size.cpu), memory: to.memory.min(v.size.memory) }
    }

    /// Memory that is free on `host`, everything already promised to it counted.
    fn free_memory(&self, host: HostId) -> Mebibytes {
        self.config.host_memory - Mebibytes(self.loads()[self.slot(host)].memory)
    }
}

impl Hypervisor for Rack {
    fn enact(&mut self, now_ms: u64, d: &Decision) -> (OutcomeKind, u64) {
        let refused = |kind| (kind, 0);
        let Ok(i) = self.vms.binary_search_by_key(&d.vm, |v| v.id) else {
            return refused(OutcomeKind::Precondition);
        };
        if self.vms[i].host != d.observed_host {
            return refused(OutcomeKind::Precondition);
        }
        if self.breaks_rule(d) {
            return refused(OutcomeKind::Precondition);
        }
        let free = match d.action {
            Action::CreateShadow { host, .. }
            | Action::Migrate { to: host }
            | Action::FailOver { host, .. }
            | Action::Restart { host, .. } => {
                if !self.hosts.contains(&host) || self.lost.contains(&host) || host == d.observed_host {
                    return refused(OutcomeKind::Precondition);
                }
                self.free_memory(host)
            }
            _ => Mebibytes(0),
        };
        let config = self.config;
        let host_lost = self.lost.contains(&self.vms[i].host);
        let v = &mut self.vms[i];
        if v.takeover.is_some()
            || v.down && !matches!(d.action, Action::FailOver { .. } | Action::Restart { .. })
        {
            return refused(OutcomeKind::Precondition);
        }
        let ready = v.shadow.as_ref().is_some_and(Guest::takes_shifts);
        match d.action {
            Action::PreAllocate { to } | Action::GiveBack { to } => {
                let at = now_ms + config.resize_ms;
                let to = Self::clamp(v, to);
                v.resizes.push_back((at, to));
                (OutcomeKind::Applied, at)
            }
            Action::CreateShadow { host, size } => {
                if v.shadow.is_some() || v.migration.is_some() {
                    return refused(OutcomeKind::Precondition);
                }
                if free < size.memory {
                    return refused(OutcomeKind::NoCapacity);
                }
                let (guest, at) = Guest::boot(host, v.template.shadow_of(v.id, size), now_ms, &config);
                v.shadow = Some(guest);
                (OutcomeKind::Applied, at)
            }
            Action::ReleaseShadow => {
                if v.shadow.take().is_none() {
                    return refused(OutcomeKind::Precondition);
                }
                (OutcomeKind::Applied, now_ms)
            }
            Action::ShiftTraffic { share_percent, size } if ready && share_percent <= 90 => {
                let (at, size) = (now_ms + config.resize_ms, Self::clamp(v, size));
                v.shadow.iter_mut().for_each(|s| s.shift(at, share_percent, size));
                (OutcomeKind::Applied, at)
            }
            Action::ShiftBack { size } if ready => {
                let (at, size) = (now_ms + config.resize_ms, Self::clamp(v, size));
                v.shadow.iter_mut().for_each(|s| s.shift(at, 0, size));
                (OutcomeKind::Applied, at)
            }
            Action::ShiftTraffic { .. } | Action::ShiftBack { .. } => refused(OutcomeKind::Precondition),
            Action::SuspendShadow => match v.shadow.as_mut().map(Guest::suspend) {
                Some(true) => (OutcomeKind::Applied, now_ms),
                _ => refused(OutcomeKind::Precondition),
            },
            Action::ResumeShadow => match v.shadow.as_mut().and_then(|s| s.resume(now_ms, &config)) {
                Some(at) => (OutcomeKind::Applied, at),
                None => refused(OutcomeKind::Precondition),
            },
            Action::RecoverSync => match v.shadow.as_mut().and_then(|s| s.copy_anew(now_ms, &config)) {
                Some(at) => (OutcomeKind::Applied, at),
                None => refused(OutcomeKind::Precondition),
            },
            Action::FailOver { host, size, generation, hooks } => {
                let size = Self::clamp(v, size);
                let ready = v.shadow.as_ref().filter(|s| s.host == host && s.is_in_sync());
                let Some(held) = ready.map(|s| s.size.memory) else {
                    return refused(OutcomeKind::Precondition);
                };
                if free < size.memory - held {
                    return refused(OutcomeKind::NoCapacity);
                }
                if v.migration.is_some() || v.tokens.begin(host, generation, now_ms).is_err() {
                    return refused(OutcomeKind::Precondition);
                }
                v.take_over((host, size), hooks.count_ones(), false, host_lost, now_ms, &config)
            }
            Action::Restart { host, size, generation } => {
                let size = Self::clamp(v, size);
                if !v.down || v.migration.is_some() {
                    return refused(OutcomeKind::Precondition);
                }
                if free < size.memory {
                    return refused(OutcomeKind::NoCapacity);
                }
                if v.tokens.begin(host, generation, now_ms).is_err() {
                    return refused(OutcomeKind::Precondition);
                }
                v.shadow = None;
                v.take_over((host, size), 0, true, host_lost, now_ms, &config)
            }
            Action::Migrate { to } => {
                if v.migration.is_some() || v.shadow.is_some() {
                    return refused(OutcomeKind::Precondition);
                }
                if free < v.memory_request() {
                    return refused(OutcomeKind::NoCapacity);
                }
                let (memory_mib, dirty) = (v.memory_request().0, v.dirty_mib_s());
                let Some((m, done_at_ms)) = Transfer::begin((v.host, to), memory_mib, dirty, now_ms, &config)
                else {
                    return refused(OutcomeKind::Unsupported); // pre-copy would not converge
                };
                (v.migration, v.moved) = (Some(m), None);
                self.totals.migrations += 1;
                (OutcomeKind::Applied, done_at_ms)
            }
        }
    }

    fn observe(&self, host: HostId) -> Vec<Observed> {
        let on_host = self.vms.iter().filter(|v| v.host == host && !v.down);
        on_host
            .map(|v| {
                let n = v.substeps.max(1);
                let cpu_used = Millicores(v.granted_mc_sum / n);
                let memory_used = Mebibytes(v.granted_mib_sum / n);
                Observed {
                    vm: v.id,
                    host,
                    cpu_used,
                    cpu_throttled: v.demand.cpu - cpu_used,
                    memory_used,
                    memory_throttled: v.demand.memory - memory_used,
                    io_kbs: v.demand.io_kbs,
                    sampled: v.demand.sampled,
                    allocation: v.resizes.back().map_or(v.allocation, |(_, to)| *to),
                    dirty_mib_s: v.dirty_mib_s() as f32,
                    shadow: v.shadow.as_ref().map(Guest::seen),
                    stopped: v.demand.stopped,
                    migrating: v.migration.is_some(),
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use foreshade_types::{RackId, Reason, Resource, Rule, ShadowPhase, Tick};

    use super::*;

    const MIN: u64 = 60_000;

    fn size(cores: u64) -> VmSize {
        VmSize { cpu: Millicores(cores * 1000), memory: Mebibytes(4096) }
    }

    /// Two hosts of 8 cores, `n` VMs of 8 cores on host 0.
    fn rack(n: u32) -> Rack {
        let config = RackConfig { host_cpu: Millicores(8000), ..RackConfig::default() };
        let vms: Vec<_> = (0..n).map(|i| (VmId(i), size(8), HostId(0))).collect();
        Rack::new(config, vec![HostId(0), HostId(1)], &vms)
    }

    fn cpu(mc: u64) -> Demand {
        Demand { cpu: Millicores(mc), memory: Mebibytes(1000), sampled: true, ..Demand::default() }
    }

    fn act(r: &mut Rack, now_ms: u64, vm: u32, action: Action) -> (OutcomeKind, u64) {
        let reason = Reason {
            rule: Rule::HostPeak,
            resource: Resource::Cpu,
            quantile_permille: 950,
            horizon_s: 0,
            predicted: 0,
            threshold: 0,
            worth: Default::default(),
            rejected: vec![],
        };
        r.enact(
            now_ms,
            &Decision {
                epoch: 1,
                seq: 1,
                rack: RackId(0),
                caused_by: Tick(0),
                vm: VmId(vm),
                observed_host: r.vms[vm as usize].host,
                expires_at_ms: u64::MAX,
                action,
                reason,
            },
        )
    }

    #[test]
    fn grants_are_capped_by_the_allocation() {
        let mut r = rack(1);
        act(
            &mut r,
            0,
            0,
            Action::GiveBack { to: Allocation { cpu: Millicores(2000), memory: Mebibytes(4096) } },
        );
        r.advance(0, MIN, true, |_| cpu(3000));
        // The resize of 5 s is in force from the second 10 s sub-step: (3000 + 5 x 2000) / 6, rounded down.
        let o = r.observe(HostId(0))[0];
        assert_eq!((o.cpu_used, o.cpu_throttled), (Millicores(2166), Millicores(834)));
        assert_eq!(r.totals().contention_ms, 50_000);
        assert_eq!(r.totals().vm_ms, 60_000);
        assert_eq!(r.totals().over_reserved_mc_ms, 10_000 * 5000); // 8000 - 3000 for one sub-step, then none
    }

    #[test]
    fn an_overrun_host_cuts_in_proportion() {
        let mut r = rack(2);
        r.advance(0, MIN, true, |v| cpu(if v.0 == 0 { 8000 } else { 4000 }));
        let o = r.observe(HostId(0));
        assert_eq!((o[0].cpu_used, o[1].cpu_used), (Millicores(5333), Millicores(2666)));
        assert_eq!(r.totals().contention_ms, 2 * MIN);
    }

    #[test]
    fn used_and_throttled_add_up_to_the_demand() {
        let mut r = rack(3);
        r.advance(0, MIN, true, |v| cpu(3333 + u64::from(v.0)));
        for o in r.observe(HostId(0)) {
            assert_eq!((o.cpu_used + o.cpu_throttled).0, 3333 + u64::from(o.vm.0));
            assert!(o.cpu_throttled.0 > 0);
        }
    }

    #[test]
    fn a_shadow_takes_its_share_once_it_is_ready() {
        let mut r = rack(2);
        let idle = Allocation { cpu: Millicores(1000), memory: Mebibytes(128) };
        let grown = Allocation { cpu: Millicores(4000), memory: Mebibytes(128) };
        let shift = Action::ShiftTraffic { share_percent: 50, size: grown };
        assert_eq!(act(&mut r, 0, 0, shift).0, OutcomeKind::Precondition);
        assert_eq!(
            act(&mut r, 0, 0, Action::CreateShadow { host: HostId(1), size: idle }),
            (OutcomeKind::Applied, MIN)
        );
        assert_eq!(act(&mut r, 0, 0, shift).0, OutcomeKind::Precondition, "still provisioning");
        r.advance(0, MIN, true, |_| cpu(6000));
        assert_eq!(r.observe(HostId(0))[0].shadow.map(|s| s.phase), Some(ShadowPhase::Ready));
        assert_eq!(act(&mut r, MIN, 0, shift).0, OutcomeKind::Applied);
        r.advance(MIN, MIN, true, |_| cpu(5000));
        r.advance(2 * MIN, MIN, true, |_| cpu(5000));
        let o = r.observe(HostId(0));
        assert_eq!(o[0].shadow.map(|s| s.phase), Some(ShadowPhase::Active));
        assert_eq!((o[0].cpu_used, o[1].cpu_used), (Millicores(5000), Millicores(5000)));
        assert_eq!(act(&mut r, 3 * MIN, 0, Action::ReleaseShadow).0, OutcomeKind::Applied);
        assert_eq!(r.totals().shadow_ms, 3 * MIN);
    }

    #[test]
    fn a_migration_takes_memory_over_bandwidth_and_loads_both_hosts() {
        let mut r = rack(1);
        r.advance(0, MIN, true, |_| cpu(8000));
        // 1000 MiB at 500 - 8 x 20 MiB/s = 2941 ms, plus 300 ms standstill.
        let (kind, at) = act(&mut r, MIN, 0, Action::Migrate { to: HostId(1) });
        assert_eq!((kind, at), (OutcomeKind::Applied, MIN + 3241));
        r.advance(MIN, MIN, true, |_| cpu(8000));
        let o = r.observe(HostId(1))[0];
        // First sub-step on the source beside 500 mc of migration work, second short of the standstill, four whole ones.
        assert_eq!(o.cpu_used.0, (8000 * 8000 / 8500 + 8000 * 9700 / 10_000 + 4 * 8000) / 6);
        assert_eq!(r.totals().contention_ms, 20_000);
        assert_eq!(r.totals().migrations, 1);
    }

    #[test]
    fn a_decision_about_another_host_changes_nothing() {
        let mut r = rack(1);
        let before = format!("{r:?}");
        assert_eq!(act(&mut r, 0, 0, Action::Migrate { to: HostId(0) }).0, OutcomeKind::Precondition);
        assert_eq!(act(&mut r, 0, 0, Action::Migrate { to: HostId(9) }).0, OutcomeKind::Precondition);
        assert_eq!(before, format!("{r:?}"));
    }
}
