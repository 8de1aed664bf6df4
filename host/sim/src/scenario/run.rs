//! A script through the core and the rack, in lockstep, and its account.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use foreshade_appliance_core::{
    Advice, Core, CoreConfig, CoreError, Effect, Event, HostEvent, HostSpec, Probe, RackSpec, Summary, VmSpec,
};
use foreshade_enact::fakes::rack::{Rack, RackConfig, Totals};
use foreshade_enact::{Desk, Hypervisor, Observed, ShadowSeen};
use foreshade_forecast::{Fleet as Forecaster, ForecastError};
use foreshade_plan::lifecycle::{Alert, Shadow};
use foreshade_types::{
    Action, Allocation, ControllerId, Decision, HoldReason, HostId, Outcome, OutcomeKind, RackId, Resource,
    ShadowPhase, SyncState, Tick, VmId,
};
use foreshade_wire::WireError;
use thiserror::Error;

use super::{Script, Show};
use crate::rows;

/// What stops a scenario.
#[derive(Debug, Error)]
pub enum RunError {
    /// The appliance stopped.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// The forecaster could not be set up.
    #[error(transparent)]
    Forecast(#[from] ForecastError),
    /// A row that cannot be sent.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// One tick after the warm-up.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its samples are the newest known.
    pub tick: Tick,
    /// What was measured, by VM.
    pub observed: Vec<Observed>,
    /// The shadows as the appliance believes them when it decides.
    pub shadows: BTreeMap<VmId, Shadow>,
    /// What people are told about shadows.
    pub shadow_alerts: Vec<(VmId, Alert)>,
    /// What was decided.
    pub decisions: Vec<Decision>,
    /// What became of it, decision by decision.
    pub outcomes: Vec<Outcome>,
    /// VMs left alone, by reason.
    pub holds: BTreeMap<HoldReason, u64>,
    /// Hosts that could not be relieved.
    pub unrelieved: Vec<(HostId, HoldReason)>,
    /// What was planned and not sent.
    pub advised: Vec<Advice>,
    /// What the operator did before it and what came of that.
    pub orders: Vec<String>,
    /// How many VMs the forecast made a difference for.
    pub changed: foreshade_plan::Changed,
    /// VMs for which no host has room, and what they need.
    pub provision: Vec<(VmId, Allocation)>,
    /// Where copies of each VM hold a write token, after the decisions.
    pub writers: BTreeMap<VmId, Vec<HostId>>,
    /// VM-seconds of contention in the interval that ended here.
    pub contention_s: u64,
}

/// A scenario that has been run.
#[derive(Debug, Clone)]
pub struct Run {
    /// The script.
    pub script: Script,
    /// From the first tick that was decided on to the last.
    pub steps: Vec<Step>,
    /// The sums.
    pub totals: Totals,
}

/// What the account has said last: it is said again when it changes.
#[derive(Default)]
struct Said {
    holds: BTreeMap<HoldReason, u64>,
    unrelieved: Vec<(HostId, HoldReason)>,
    shadows: BTreeMap<VmId, ShadowSeen>,
}

fn core(script: &Script) -> Result<Core, ForecastError> {
    let spec = |h| {
        let general = HostSpec::general(HostId(h), script.host_cpu, script.host_memory);
        script.kinds.get(&h).map_or(general, |k| HostSpec { pool: k.pool, domain: k.domain, ..general })
    };
    let vm = |v: &super::VmScript| VmSpec {
        name: v.name.clone(),
        size: v.size,
        host: v.host,
        customer: v.customer,
        care: v.care,
    };
    let config = CoreConfig {
        epoch: 1,
        cadence_s: script.cadence_s,
        racks: vec![RackSpec { id: RackId(0), hosts: (0..script.hosts).map(spec).collect() }],
        vms: script.vms.iter().map(vm).collect(),
        resources: vec![Resource::Cpu, Resource::Memory],
        manages_memory: script.manages_memory,
        first_decision: Tick(script.warm_up - 1),
        last: Tick(script.end),
        policy: script.policy.clone(),
        site: script.site(),
        backend: "cpu".into(),
        threads: 1,
        follow: None,
    };
    // Scripts are about decisions: the members that need no training forecast, so that new weights change no account.
    let forecaster = Forecaster::new(
        Core::fleet_config(&config),
        None,
        foreshade_accel::open("cpu", &foreshade_accel::OpenOptions::default())?,
    )?;
    Ok(Core::new(config, forecaster))
}

fn rack(script: &Script) -> Rack {
    let config = RackConfig {
        host_cpu: script.host_cpu,
        host_memory: script.host_memory,
        memory_contends: script.manages_memory,
        migration_mib_s: script.bandwidth_mib_s.max(1),
        ..RackConfig::default()
    };
    let vms: Vec<_> = script.vms.iter().enumerate().map(|(i, v)| (VmId(i as u32), v.size, v.host)).collect();
    Rack::new(config, (0..script.hosts).map(HostId).collect(), &vms)
        .with_rules(script.site().rules, script.domains())
}

/// The orders that are given before the plan of this tick.
fn given(script: &Script, tick: u64) -> impl Iterator<Item = &super::ScriptOrder> {
    script.orders.iter().filter(move |o| o.at + 1 == tick)
}

/// Sends a tick's samples to the core, as the agents of all hosts would; returns its plan.
fn sample(core: &mut Core, rack: &Rack, tick: Tick) -> Result<(Option<Summary>, Vec<Decision>), RunError> {
    let (mut plan, mut sends) = (None, Vec::new());
    let lost = rack.lost();
    for host in rack.hosts().iter().filter(|h| !lost.contains(h)) {
        let batch = rows::batch(&rack.observe(*host))?;
        let rows = batch.rows() as u32;
        core.apply(Event::Telemetry { host: *host, tick, ipc: batch.encode()? })?;
        for effect in core.apply(Event::EndOfTick { host: *host, tick, rows })? {
            match effect {
                Effect::Send { decisions, .. } => sends = decisions,
                Effect::Planned(summary) => plan = Some(*summary),
                _ => {}
            }
        }
    }
    Ok((plan, sends))
}

/// Runs a script. The same script gives the same account.
///
/// # Errors
/// Those of the core, the forecaster and the wire; a readable script causes none.
pub fn run(script: &Script) -> Result<Run, RunError> {
    let (mut core, mut rack, mut desk) = (core(script)?, rack(script), Desk::new(ControllerId(0)));
    let length_ms = u64::from(script.cadence_s) * 1000;
    let mut steps = Vec::new();
    let mut contention_ms = 0;
    for t in 0..=script.end {
        let tick = Tick(t);
        let demand = |vm: VmId| script.vms[vm.index()].demand(tick);
        rack.advance(t.saturating_sub(1) * length_ms, length_ms, t >= script.warm_up, demand);
        for (host, _) in script.kinds.iter().filter(|(_, k)| k.lost == Some(t)) {
            let (host, event) = (HostId(*host), HostEvent::Down);
            rack.lose(host);
            core.apply(Event::Host { host, tick, event })?;
        }
        let mut orders: Vec<_> = given(script, t).map(|o| o.give(&mut core, script)).collect();
        let probe = |(vm, heartbeat, errors)| (vm, Probe { heartbeat, error_percent: Some(errors) });
        let found = rack.probe().into_iter().map(probe).collect();
        core.apply(Event::Probed { tick, found })?;
        let (plan, sends) = sample(&mut core, &rack, tick)?;
        let shadows = core.shadows().map(|(vm, s)| (vm, *s)).collect();
        let mut observed: Vec<_> = rack.hosts().iter().flat_map(|h| rack.observe(*h)).collect();
        observed.sort_by_key(|o| o.vm);
        for (i, v) in script.vms.iter().enumerate() {
            let now = v.rules.carried.iter().filter(|(_, at)| *at == t);
            now.for_each(|(to, _)| rack.carry(VmId(i as u32), *to));
        }
        let outcomes = desk.work(&mut rack, t * length_ms, &sends);
        core.apply(Event::Outcomes { rack: RackId(0), tick, outcomes: outcomes.clone() })?;
        if let Some(plan) = plan.filter(|_| t + 1 >= script.warm_up) {
            let contention_s = (rack.totals().contention_ms - contention_ms) / 1000;
            contention_ms = rack.totals().contention_ms;
            let Summary { decisions, holds, unrelieved, advised, shadow_alerts, lapsed, changed, .. } = plan;
            let provision = plan.provision;
            let name = |vm: VmId| &script.vms[vm.index()].name;
            let lapse =
                |(vm, a): &(VmId, Action)| format!("approved, not wanted now: {} of {}", a.name(), name(*vm));
            orders.extend(lapsed.iter().map(lapse));
            let writers = rack.vms().map(|vm| (vm, rack.writers(vm))).collect();
            steps.push(Step {
                tick,
                observed,
                shadows,
                shadow_alerts,
                decisions,
                outcomes,
                holds,
                unrelieved,
                advised,
                orders,
                changed,
                provision,
                writers,
                contention_s,
            });
        }
    }
    Ok(Run { script: script.clone(), steps, totals: *rack.totals() })
}

impl Run {
    /// Decisions of one kind, by [`Action::name`].
    pub fn decisions<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Decision> {
        self.steps.iter().flat_map(|s| &s.decisions).filter(move |d| d.action.name() == name)
    }

    /// The account: what was decided and why, who was left alone for a reason that is worth a line, who ran short.
    pub fn account(&self) -> String {
        let mut out = String::new();
        let mut said = Said::default();
        if self.script.show != Show::Totals {
            self.steps.iter().for_each(|s| self.step(s, &mut said, &mut out));
        }
        self.sums(&mut out);
        out
    }

    fn step(&self, s: &Step, said: &mut Said, out: &mut String) {
        let mut lines = s.orders.clone();
        let mut resizes = 0;
        for (d, o) in s.decisions.iter().zip(&s.outcomes) {
            let resize = matches!(d.action, Action::PreAllocate { .. } | Action::GiveBack { .. });
            if resize && self.script.show == Show::Moves {
                resizes += 1;
                continue;
            }
            let name = &self.script.vms[d.vm.index()].name;
            lines.push(format!("{name} on {}: {}: {}", d.observed_host, words(&d.action), d.reason));
            if o.kind != OutcomeKind::Applied {
                lines.push(format!("  refused: {:?}", o.kind));
            }
        }
        if s.unrelieved != said.unrelieved {
            lines.extend(s.unrelieved.iter().map(|(h, why)| format!("{h}: {}", why.text())));
            said.unrelieved.clone_from(&s.unrelieved);
        }
        let quiet = [HoldReason::WithinBounds, HoldReason::DeadBand];
        let mut holds = s.holds.clone();
        holds.retain(|why, _| !quiet.contains(why));
        if holds != said.holds {
            lines.extend(holds.iter().map(|(why, n)| format!("left alone: {n}, {}", why.text())));
            if holds.is_empty() {
                lines.push("left alone: none but those in bounds".into());
            }
            said.holds = holds;
        }
        let shadows: BTreeMap<_, _> = s.observed.iter().filter_map(|o| o.shadow.map(|s| (o.vm, s))).collect();
        lines.extend(self.shadows(&said.shadows, &shadows));
        said.shadows = shadows;
        let name = |vm: VmId| &self.script.vms[vm.index()].name;
        lines.extend(
            s.shadow_alerts.iter().map(|(vm, a)| format!("alert: {}'s shadow: {}", name(*vm), a.text())),
        );
        for (vm, needs) in &s.provision {
            lines.push(format!("request for machines: {} needs {}", name(*vm), size(needs)));
        }
        if s.contention_s > 0 {
            lines.push(format!("ran short: {} VM-seconds", s.contention_s));
        }
        if lines.is_empty() {
            return;
        }
        let demand = s.observed.iter().map(|o| {
            let v = &self.script.vms[o.vm.index()];
            let (used, short) = (o.cpu_used.0 as f64 / 1000.0, o.cpu_throttled.0 as f64 / 1000.0);
            let short = if short > 0.0 { format!(" (+{short:.2} short)") } else { String::new() };
            if o.sampled { format!("{} {used:.2}{short}", v.name) } else { format!("{} -", v.name) }
        });
        let tail = if resizes > 0 { format!("; {resizes} resizes") } else { String::new() };
        let _ = writeln!(out, "{}: {}{tail}", s.tick, demand.collect::<Vec<_>>().join(", "));
        lines.iter().for_each(|l| {
            let _ = writeln!(out, "  {l}");
        });
    }

    /// How far each shadow is, where that is new.
    fn shadows(&self, before: &BTreeMap<VmId, ShadowSeen>, now: &BTreeMap<VmId, ShadowSeen>) -> Vec<String> {
        let name = |vm: &VmId| &self.script.vms[vm.index()].name;
        let gone = before.keys().filter(|vm| !now.contains_key(vm));
        let gone = gone.map(|vm| format!("{}'s shadow is gone", name(vm)));
        let changed = now.iter().filter(|(vm, s)| before.get(vm) != Some(s));
        let changed = changed.map(|(vm, s)| {
            let copy = match s.sync {
                SyncState::Corrupt => ", its copy corrupt",
                SyncState::Behind if s.phase == ShadowPhase::Active => ", its copy behind",
                _ => "",
            };
            format!("{}'s shadow is {}{copy}", name(vm), s.phase.name())
        });
        gone.chain(changed).collect()
    }

    fn sums(&self, out: &mut String) {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for d in self.steps.iter().flat_map(|s| &s.decisions) {
            *counts.entry(d.action.name()).or_default() += 1;
        }
        let t = &self.totals;
        let counts: Vec<_> = counts.iter().map(|(k, n)| format!("{n} {k}")).collect();
        let counts = if counts.is_empty() { "none".into() } else { counts.join(", ") };
        let _ = writeln!(out, "decisions: {counts}");
        let advised: usize = self.steps.iter().map(|s| s.advised.len()).sum();
        if advised > 0 {
            let _ = writeln!(out, "advised, not sent: {advised}");
        }
        let _ = writeln!(out, "ran short: {} of {} VM-seconds", t.contention_ms / 1000, t.vm_ms / 1000);
        if t.down_ms > 0 {
            let _ = writeln!(out, "down: {} VM-seconds", t.down_ms / 1000);
        }
        let hours = t.over_reserved_mc_ms as f64 / 3.6e9;
        let _ = writeln!(out, "over-reserved: {hours:.2} core-hours; migrations: {}", t.migrations);
    }
}

/// An allocation in words.
fn size(x: &Allocation) -> String {
    format!("{:.2} cores, {:.2} GiB", x.cpu.0 as f64 / 1000.0, x.memory.0 as f64 / 1024.0)
}

/// An action in words.
fn words(a: &Action) -> String {
    let of = size;
    let name = a.name();
    match a {
        Action::PreAllocate { to } | Action::GiveBack { to } => format!("{name} to {}", of(to)),
        Action::CreateShadow { host, size } => format!("{name} on {host}, {}", of(size)),
        Action::ReleaseShadow => name.into(),
        Action::ShiftTraffic { share_percent, size } => format!("{name} {share_percent} %, {}", of(size)),
        Action::ShiftBack { size } => format!("{name}, shadow keeps {}", of(size)),
        Action::Migrate { to } => format!("{name} to {to}"),
        Action::SuspendShadow | Action::ResumeShadow | Action::RecoverSync => name.into(),
        Action::FailOver { host, size, generation, hooks } => {
            let hooks = if *hooks > 0 { format!(", {} hooks", hooks.count_ones()) } else { String::new() };
            format!("{name} to {host}, {}, token {generation}{hooks}", of(size))
        }
        Action::Restart { host, size, generation } => {
            format!("{name} on {host}, {}, token {generation}", of(size))
        }
    }
}
