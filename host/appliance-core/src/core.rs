//! The state machine: events in, effects out.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use foreshade_accel::{AccelError, Engine};
use foreshade_forecast::outlook::HOURS;
use foreshade_forecast::paths::PathSum;
use foreshade_forecast::seasonal::{SeasonalForecast, SeasonalState};
use foreshade_forecast::{Fleet, FleetConfig, ForecastError, Held, ResourceScore, Scorer, SeriesProfile};
use foreshade_plan::lifecycle::{Alert as ShadowAlert, Event as LifeEvent, Shadow};
use foreshade_plan::migrate::Bandwidth;
use foreshade_plan::{
    Changed, HostView, PlanInput, PlanReport, Planned, Verdict, candidates, changed, needed_shadows, plan,
    wanted,
};
use foreshade_telemetry::{Arena, History, Sealed};
use foreshade_types::{
    Action, Allocation, Decision, HoldReason, Horizon, HostId, Outcome, OutcomeKind, RackId, Resource,
    SeriesForecast, Tick, VmId,
};
use foreshade_wire::{Column, Row, TelemetryView};
use thiserror::Error;

use crate::alerts::Alerts;
use crate::chance::{Chances, GuardBand};
use crate::exclude::{Excluded, Exclusion};
use crate::fleet_state::{FleetState, VmState, demand, points};
use crate::guarded::{self, Probe};
use crate::hazard::HostHazard;
use crate::journal;
use crate::operator::{Advice, OperatorState, Order, OrderRecord};
use crate::outlook::Ahead;
use crate::planning::{Forecasts, HALF, HOUR, PEAK, STEP, Scene, horizon_steps, show};
use crate::{Alert, AnomalyReport, CoreConfig, FollowLine, HostEvent, OutlookReport, RackLoad, Record};

/// Values per VM and tick in the arena: every measured column of the wire.
const COLUMNS: usize = Column::ALL.len();

/// Columns that become whole millicores and MiB.
const SIZES: [Column; 6] = [
    Column::CpuUsedMc,
    Column::CpuThrottledMc,
    Column::MemUsedMib,
    Column::MemThrottledMib,
    Column::AllocCpuMc,
    Column::AllocMemMib,
];

/// 2^24: up to here every whole number is exact in `f32`, and no sum over a fleet overflows. 16,777 cores, 16 TiB.
const SIZE_MAX: f32 = 16_777_216.0;

/// A decision expires this many sample intervals after the tick that caused it.
const EXPIRES_AFTER_TICKS: u64 = 1;

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// An agent's samples.
    Telemetry { host: HostId, tick: Tick, ipc: Bytes },
    /// An agent has sent all of a tick.
    EndOfTick { host: HostId, tick: Tick, rows: u32 },
    /// A host failed or runs again, as its BMC or an operator says; nothing sends this yet.
    Host { host: HostId, tick: Tick, event: HostEvent },
    /// An operator asks for something.
    Operator { who: String, order: Order },
    /// What probes of VMs found; nothing sends this over a network yet.
    Probed { tick: Tick, found: Vec<(VmId, Probe)> },
    /// A controller has answered all decisions of a tick.
    Outcomes { rack: RackId, tick: Tick, outcomes: Vec<Outcome> },
}

/// What the shell is to do, in order.
#[derive(Debug)]
pub enum Effect {
    /// Make this durable before any of its decisions is sent.
    Commit(Record),
    /// Make this order durable before anything else is done.
    Ordered(OrderRecord),
    /// An order that cannot be followed, and why; nothing has changed.
    OrderRefused { who: String, text: String },
    /// Send a rack its decisions of a tick (also when there are none).
    Send { rack: RackId, tick: Tick, decisions: Vec<Decision> },
    /// All racks have answered: agents may send this tick.
    Release(Tick),
    /// Samples that were not taken, and why; the rest of the tick stands.
    Refused { host: HostId, tick: Tick, text: String },
    /// A hop of the followed VM.
    Follow(FollowLine),
    /// A tick was planned: for whoever watches.
    Planned(Box<Summary>),
    /// The last tick is done.
    Finished,
}

/// A planned tick.
#[derive(Debug, Clone)]
pub struct Summary {
    /// The tick.
    pub tick: Tick,
    /// All decisions, by rack.
    pub decisions: Vec<Decision>,
    /// How many VMs were held, by reason.
    pub holds: BTreeMap<HoldReason, u64>,
    /// Hosts that could not be relieved.
    pub unrelieved: Vec<(HostId, HoldReason)>,
    /// The hosts as they were planned with, by rack.
    pub hosts: Vec<HostView>,
    /// What was planned and is not sent: advice, and all of it while paused.
    pub advised: Vec<Advice>,
    /// How many VMs the forecast made a difference for.
    pub changed: Changed,
    /// Nothing is sent until an operator resumes.
    pub paused: bool,
    /// Approved actions that this tick's plan did not want any more.
    pub lapsed: Vec<(VmId, Action)>,
    /// Each rack's total load, now and in the next 30 min; none before the first decision.
    pub racks: Vec<RackLoad>,
    /// VMs that began to behave as they never did; nothing acts on it.
    pub alerts: Vec<Alert>,
    /// VMs for which no host of their rack has room, and what they need: a request for machines.
    pub provision: Vec<(VmId, Allocation)>,
    /// Shadows whose copy fell behind or differs, or that failed.
    pub shadow_alerts: Vec<(VmId, ShadowAlert)>,
}

impl Summary {
    fn new(tick: Tick) -> Self {
        Self {
            tick,
            decisions: vec![],
            holds: BTreeMap::new(),
            unrelieved: vec![],
            hosts: vec![],
            advised: vec![],
            changed: Changed::default(),
            paused: false,
            lapsed: vec![],
            racks: vec![],
            alerts: vec![],
            shadow_alerts: vec![],
            provision: vec![],
        }
    }
}

/// What stops the appliance.
#[derive(Debug, Error)]
pub enum CoreError {
    /// The forecaster or its device failed.
    #[error("forecast of tick {tick}: {source}")]
    Forecast {
        /// When.
        tick: Tick,
        /// What.
        #[source]
        source: ForecastError,
    },
    /// Moves could not be scored.
    #[error("moves of tick {tick}: {source}")]
    Score {
        /// When.
        tick: Tick,
        /// What.
        #[source]
        source: AccelError,
    },
    /// A peer spoke of something that cannot be.
    #[error("{0}")]
    Protocol(String),
}

/// The appliance's state.
#[derive(Debug)]
pub struct Core {
    config: CoreConfig,
    arena: Arena,
    fleet: FleetState,
    history: History,
    forecaster: Fleet,
    forecasts: Vec<SeriesForecast>,
    scorer: Scorer,
    ahead: Ahead,
    chances: Chances,
    /// Memory of the sums of hosts.
    sums: Vec<PathSum>,
    hazard: HostHazard,
    /// Hosts that were said to have failed.
    down: BTreeSet<HostId>,
    excluded: Excluded,
    /// What migrations were copied at.
    bandwidth: Bandwidth,
    operator: OperatorState,
    changed: Changed,
    /// The newest tick whose samples are all in.
    sealed: Tick,
    alerts: Alerts,
    /// Of the newest tick.
    alerted: Vec<Alert>,
    ended: BTreeSet<HostId>,
    rows: BTreeMap<HostId, u32>,
    answers: BTreeMap<RackId, Vec<Outcome>>,
    /// Over every sample so far.
    inputs: u64,
    /// Why each VM was left alone the last time; `None` = it was not.
    holds: Vec<Option<HoldReason>>,
    /// What of that is new since the last record.
    new_holds: Vec<(VmId, HoldReason)>,
    sent: BTreeMap<RackId, Vec<Decision>>,
    next_seq: BTreeMap<RackId, u64>,
    counts: BTreeMap<&'static str, u64>,
    phase: Phase,
    points: Vec<f32>,
}

/// What the lockstep waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Samples of this tick.
    Samples(Tick),
    /// Answers to the decisions of this tick.
    Answers(Tick),
    /// Nothing.
    Done,
}

impl Core {
    /// Horizons of every series: the 30-min peak, the next sample, 30 min, 1 h; in steps of the cadence, at least one.
    pub fn horizons(cadence_s: u32) -> Vec<Horizon> {
        let (peak, step, half, hour) = horizon_steps(cadence_s);
        vec![Horizon::Peak(peak), Horizon::Step(step), Horizon::Step(half), Horizon::Step(hour)]
    }

    /// What the forecaster must be set up for: one series per resource and VM, in that order, then the total CPU of each
    /// rack: a sum is a series of its own.
    pub fn fleet_config(config: &CoreConfig) -> FleetConfig {
        let vms = config.vms.len();
        // Fits are spread over the ticks by VM and resource, so that neither does all of its own at once.
        let profile =
            |(r, vm): (&Resource, usize)| SeriesProfile { key: (*r as usize + vm) as u64, ..(*r).into() };
        let of_series = config.resources.iter().flat_map(|r| (0..vms).map(move |vm| (r, vm)));
        FleetConfig {
            series: of_series.map(profile).chain(config.racks.iter().map(|_| Resource::Cpu.into())).collect(),
            horizons: Self::horizons(config.cadence_s),
            cadence_s: config.cadence_s,
            threads: config.threads,
        }
    }

    /// An appliance that has seen nothing yet. `forecaster` was made for [`Self::fleet_config`].
    pub fn new(config: CoreConfig, forecaster: Fleet) -> Self {
        let vms = config.vms.len();
        let of_series = config.resources.iter().flat_map(|r| std::iter::repeat_n(*r, vms)).collect();
        let (peak, step, half, hour) = horizon_steps(config.cadence_s);
        let scorer = Scorer::new(of_series, &Self::horizons(config.cadence_s), &[step, half, hour]);
        let keys = config.vms.iter().map(|v| foreshade_forecast::key(&v.name)).collect();
        let classes = config.vms.iter().map(|v| v.size.into()).collect::<Vec<_>>();
        let scorer = scorer.by_class(classes.repeat(config.resources.len()));
        Self {
            arena: Arena::new(vms, COLUMNS, Tick(0)),
            fleet: FleetState(config.vms.iter().map(|v| VmState::new(v.size, v.host)).collect()),
            history: History::new(vms, foreshade_forecast::WINDOW),
            forecaster,
            forecasts: Vec::new(),
            scorer,
            ahead: Ahead::new(&config, peak as usize),
            chances: Chances::new(keys, peak as usize),
            sums: Vec::new(),
            hazard: HostHazard::new(&config),
            down: BTreeSet::new(),
            excluded: Excluded::default(),
            bandwidth: Bandwidth::default(),
            operator: OperatorState::default(),
            changed: Changed::default(),
            sealed: Tick(0),
            alerts: Alerts::new(&config),
            alerted: Vec::new(),
            ended: BTreeSet::new(),
            rows: BTreeMap::new(),
            answers: BTreeMap::new(),
            inputs: journal::FOLD,
            holds: vec![None; vms],
            new_holds: Vec::new(),
            sent: BTreeMap::new(),
            next_seq: config.racks.iter().map(|r| (r.id, 1)).collect(),
            counts: BTreeMap::new(),
            phase: Phase::Samples(Tick(0)),
            points: Vec::new(),
            config,
        }
    }

    /// The same, leaving samples out of what is learnt and scored.
    pub fn excluding(mut self, exclusions: Vec<Exclusion>) -> Self {
        self.excluded = Excluded::new(exclusions, &self.fleet);
        self
    }

    /// The same, as the orders in its journal left it: paused if nobody has resumed it.
    pub fn ordered(mut self, records: &[OrderRecord]) -> Self {
        self.operator = OperatorState::restored(records);
        self
    }

    /// What operators have ordered.
    pub fn operator(&self) -> &OperatorState {
        &self.operator
    }

    /// How often forecasts have made a difference so far.
    pub fn changed(&self) -> Changed {
        self.changed
    }

    /// Samples left out so far, by exclusion.
    pub fn left_out(&self) -> &[u64] {
        self.excluded.left_out()
    }

    /// The configuration it runs with.
    pub fn config(&self) -> &CoreConfig {
        &self.config
    }

    /// Forecast quality per resource so far.
    pub fn scores(&self) -> BTreeMap<String, ResourceScore> {
        self.scorer.report()
    }

    /// How often the bounds held so far, by resource (`cpu`; `cpu/small` for VMs of that class alone) and horizon, the
    /// horizon in seconds and 0 for the peak.
    pub fn coverage(&self) -> BTreeMap<String, BTreeMap<u64, Held>> {
        let cadence_s = u64::from(self.config.cadence_s);
        let seconds = |(steps, held): (usize, Held)| (steps as u64 * cadence_s, held);
        self.scorer.held().into_iter().map(|(r, h)| (r, h.into_iter().map(seconds).collect())).collect()
    }

    /// What racks and hosts will need, and how good earlier forecasts of it were.
    pub fn outlook(&self) -> OutlookReport {
        self.ahead.report(&self.hazard.report(self.sealed), &self.guard_bands())
    }

    /// A VM 1 h, 6 h and 24 h ahead, in percent of its size, and how far its days and weeks are known; `None` = no such VM.
    pub fn vm_outlook(&self, vm: VmId) -> Option<(SeasonalState, [SeasonalForecast; HOURS.len()])> {
        self.ahead.vm(vm)
    }

    /// How far the bounds of each host are stretched, from how often they held.
    pub fn guard_bands(&self) -> BTreeMap<HostId, GuardBand> {
        self.chances.guards()
    }

    /// Anomalies so far.
    pub fn anomalies(&self) -> AnomalyReport {
        self.alerts.report()
    }

    /// Decisions sent so far by action, and `hold` = VM-ticks that were left alone.
    pub fn decision_counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// The devices behind the LSTM, where there is one.
    pub fn engine(&self) -> Option<&Engine> {
        self.forecaster.engine()
    }

    /// The newest forecasts of a resource, by VM; `None` if it is not forecast or nothing was sealed yet.
    pub fn forecasts(&self, r: Resource) -> Option<&[SeriesForecast]> {
        let i = self.config.resources.iter().position(|x| *x == r)?;
        let n = self.config.vms.len();
        self.forecasts.get(i * n..(i + 1) * n)
    }

    /// The shadows there are, by VM, as their racks report them.
    pub fn shadows(&self) -> impl Iterator<Item = (VmId, &Shadow)> {
        (0u32..).map(VmId).zip(&self.fleet.0).filter_map(|(vm, s)| Some((vm, s.shadow.as_ref()?)))
    }

    /// The newest CPU demand of a VM and where it runs.
    pub fn placed(
        &self,
        vm: VmId,
    ) -> Option<(HostId, foreshade_types::Allocation, foreshade_types::Millicores)> {
        self.fleet.0.get(vm.index()).map(|s| (s.host, s.allocation, s.cpu_demand))
    }

    /// The peers that the lockstep waits for.
    pub fn waiting_for(&self) -> (Vec<HostId>, Vec<RackId>) {
        let hosts = self.config.racks.iter().flat_map(|r| r.hosts.iter().map(|h| h.id));
        let racks = self.config.racks.iter().map(|r| r.id);
        match self.phase {
            Phase::Samples(_) => {
                (hosts.filter(|h| !self.ended.contains(h) && !self.down.contains(h)).collect(), vec![])
            }
            Phase::Answers(_) => (vec![], racks.filter(|r| !self.answers.contains_key(r)).collect()),
            Phase::Done => (vec![], vec![]),
        }
    }

    /// The decisions a rack has not answered yet, to be sent again to a controller that came back.
    pub fn unanswered(&self, rack: RackId) -> Option<(Tick, &[Decision])> {
        match self.phase {
            Phase::Answers(t) if !self.answers.contains_key(&rack) => {
                Some((t, self.sent.get(&rack).map_or(&[], Vec::as_slice)))
            }
            _ => None,
        }
    }

    /// Takes another appliance's decisions of this tick in place of its own, so that both go on in one world and every
    /// tick is a comparison of its own; for runs that compare devices. Ignored once the tick is answered.
    pub fn adopt(&mut self, rack: RackId, decisions: &[Decision]) {
        if let (Phase::Answers(_), Some(sent)) = (self.phase, self.sent.get_mut(&rack)) {
            if let Some(first) = decisions.first().or(sent.first()).map(|d| d.seq) {
                self.next_seq.insert(rack, first + decisions.len() as u64);
            }
            sent.clear();
            sent.extend_from_slice(decisions);
        }
    }

    /// The tick that agents may send now.
    pub fn released(&self) -> Option<Tick> {
        match self.phase {
            Phase::Samples(t) => Some(t),
            _ => None,
        }
    }

    /// Takes one event. Errors are fatal; a sample or frame that is merely wrong is a [`Effect::Refused`].
    pub fn apply(&mut self, event: Event) -> Result<Vec<Effect>, CoreError> {
        let mut out = Vec::new();
        match event {
            Event::Telemetry { host, tick, ipc } => self.telemetry(host, tick, ipc, &mut out),
            Event::EndOfTick { host, tick, rows } => self.end_of_tick(host, tick, rows, &mut out)?,
            Event::Probed { tick, found } => {
                for (vm, probe) in found {
                    self.fleet.get_mut(vm).into_iter().for_each(|s| s.guarded.probed(tick, &probe));
                }
            }
            Event::Host { host, tick, event } => match self.hazard.observe(host, event, tick) {
                Ok(()) => self.host_said(host, event, &mut out)?,
                Err(text) => out.push(Effect::Refused { host, tick, text }),
            },
            Event::Operator { who, order: order @ Order::Demote(_) } => {
                let text = format!("{}: only the appliance demotes", order.text());
                out.push(Effect::OrderRefused { who, text });
            }
            Event::Operator { who, order } => out.push(match self.operator.take(&who, order) {
                Ok(record) => Effect::Ordered(record),
                Err(text) => Effect::OrderRefused { who, text },
            }),
            Event::Outcomes { rack, tick, outcomes } => self.outcomes(rack, tick, outcomes, &mut out)?,
        }
        Ok(out)
    }

    /// A host that failed takes nothing more; what becomes of its shadows, their racks report.
    fn host_said(&mut self, host: HostId, event: HostEvent, out: &mut Vec<Effect>) -> Result<(), CoreError> {
        match event {
            HostEvent::Down => {
                self.down.insert(host);
                guarded::host_lost(&mut self.fleet, host);
            }
            HostEvent::Up => {
                self.down.remove(&host);
            }
        }
        // Its agent is not waited for any more.
        match self.phase {
            Phase::Samples(tick) if !self.ended.is_empty() && self.all_ended() => self.close_tick(tick, out),
            _ => Ok(()),
        }
    }

    /// Has every agent spoken whose host runs?
    fn all_ended(&self) -> bool {
        let mut hosts = self.config.racks.iter().flat_map(|r| r.hosts.iter().map(|h| h.id));
        hosts.all(|h| self.ended.contains(&h) || self.down.contains(&h))
    }

    /// Are decisions taken at this tick? Not in the warm-up, and not when nothing comes after it.
    fn decides_at(&self, tick: Tick) -> bool {
        (self.config.first_decision..self.config.last).contains(&tick)
    }

    fn telemetry(&mut self, host: HostId, tick: Tick, ipc: Bytes, out: &mut Vec<Effect>) {
        let refused = |text: String| Effect::Refused { host, tick, text };
        // A tick that is sealed, or that this host has closed, is a repeat after a reconnect.
        if self.phase != Phase::Samples(tick) || self.ended.contains(&host) {
            return;
        }
        let bytes = ipc.len();
        let view = {
            let _hop = tracing::info_span!("wire::decode", tick = tick.0, host = host.0, bytes).entered();
            TelemetryView::decode(ipc)
        };
        let view = match view {
            Ok(v) => v,
            Err(e) => {
                return out.push(refused(format!("batch of {host} for tick {tick}: {e}; it was not used")));
            }
        };
        for r in view.rejected() {
            out.push(refused(format!(
                "{} in row {} of {host}: {}; the row was not used",
                r.vm, r.row, r.why
            )));
        }
        let _hop = tracing::info_span!("telemetry::push", tick = tick.0, rows = view.rows()).entered();
        let mut taken = 0;
        for row in view.accepted().filter_map(|i| view.row(i)) {
            match self.push(host, tick, &row) {
                Ok(()) => taken += 1,
                Err(text) => out.push(refused(text)),
            }
            if self.config.follow == Some(row.vm) && self.decides_at(tick) {
                self.follow_arrival(tick, &row, bytes, view.rows(), out);
            }
        }
        *self.rows.entry(host).or_default() += taken;
    }

    fn push(&mut self, host: HostId, tick: Tick, row: &Row) -> Result<(), String> {
        let vms = self.fleet.0.len();
        let Some(vm) = self.fleet.get_mut(row.vm) else {
            return Err(format!(
                "{} is not in the inventory of {vms} VMs; its row from {host} was not used",
                row.vm
            ));
        };
        if !vm.may_be_on(host) {
            return Err(format!("{} is on {}, not on {host}; the row was not used", row.vm, vm.host));
        }
        if let Some(c) = SIZES.into_iter().find(|c| row.values[*c as usize] > SIZE_MAX) {
            let (name, v) = (c.name(), row.values[c as usize]);
            return Err(format!(
                "{} from {host}: {name} {v} is more than any machine has ({SIZE_MAX}); the row was not used",
                row.vm
            ));
        }
        self.arena.push(tick, row.vm, &row.values).map_err(|e| e.to_string())?;
        vm.see(tick, host, row, &self.config);
        Ok(())
    }

    fn end_of_tick(
        &mut self,
        host: HostId,
        tick: Tick,
        rows: u32,
        out: &mut Vec<Effect>,
    ) -> Result<(), CoreError> {
        if self.phase != Phase::Samples(tick) {
            return Ok(());
        }
        if !self.config.racks.iter().any(|r| r.hosts.iter().any(|h| h.id == host)) {
            return Err(CoreError::Protocol(format!("end of tick {tick} from {host}, which no rack has")));
        }
        let taken = self.rows.get(&host).copied().unwrap_or(0);
        if self.ended.insert(host) && rows != taken {
            let text = format!("{host} sent {rows} rows for tick {tick}, {taken} were used");
            out.push(Effect::Refused { host, tick, text });
        }
        if self.all_ended() {
            self.close_tick(tick, out)?;
        }
        Ok(())
    }

    /// Every agent has spoken: seal, forecast, plan.
    fn close_tick(&mut self, tick: Tick, out: &mut Vec<Effect>) -> Result<(), CoreError> {
        self.ended.clear();
        self.rows.clear();
        let sealed = {
            let _hop =
                tracing::info_span!("telemetry::seal", tick = tick.0, vms = self.fleet.0.len()).entered();
            self.arena.seal()
        };
        self.forecast(tick, &sealed)?;
        self.sealed = tick;
        self.follow_forecast(tick, &sealed, out);
        for column in Column::ALL {
            self.inputs = journal::fold(self.inputs, sealed.column(column as usize));
        }
        self.arena.recycle(sealed);
        let mut summary = Summary::new(tick);
        summary.racks = self.ahead.racks();
        summary.alerts.clone_from(&self.alerted);
        summary.shadow_alerts = self.fleet.shadow_alerts();
        for c in self.fleet.copied() {
            let policy = &self.config.policy;
            let running_ms = c.took_ms.saturating_sub(policy.migration_standstill_ms);
            self.bandwidth.learn(c.memory_mib, c.dirty_mib_s, running_ms, policy);
        }
        guarded::watch(&mut self.fleet, tick, &self.down, &self.config);
        if self.decides_at(tick) {
            let _hop = tracing::info_span!("plan::plan", tick = tick.0).entered();
            let mut advised = Vec::new();
            self.draw_paths();
            for rack in 0..self.config.racks.len() {
                self.plan_rack(tick, rack, &mut summary, &mut advised, out)?;
            }
            let sent: Vec<_> = summary.decisions.iter().map(|d| (d.vm, d.action)).collect();
            summary.lapsed = self.operator.planned(tick, advised, &sent);
            summary.advised = self.operator.advised().to_vec();
            summary.paused = self.operator.is_paused();
            self.changed.add(&summary.changed);
        }
        self.emit(tick, summary, out);
        Ok(())
    }

    fn emit(&mut self, tick: Tick, summary: Summary, out: &mut Vec<Effect>) {
        for d in &summary.decisions {
            *self.counts.entry(d.action.name()).or_default() += 1;
        }
        *self.counts.entry("hold").or_default() += summary.holds.values().sum::<u64>();
        let answers = self.answers.iter().flat_map(|(rack, all)| all.iter().map(|o| (*rack, *o))).collect();
        out.push(Effect::Commit(Record {
            tick,
            inputs: self.inputs,
            decisions: summary.decisions.clone(),
            holds: std::mem::take(&mut self.new_holds),
            answers,
        }));
        self.sent = self.config.racks.iter().map(|r| (r.id, vec![])).collect();
        for d in &summary.decisions {
            self.sent.entry(d.rack).or_default().push(d.clone());
        }
        for (rack, decisions) in &self.sent {
            out.push(Effect::Send { rack: *rack, tick, decisions: decisions.clone() });
        }
        out.push(Effect::Planned(Box::new(summary)));
        self.answers.clear();
        self.phase = Phase::Answers(tick);
    }

    fn forecast(&mut self, tick: Tick, sealed: &Sealed) -> Result<(), CoreError> {
        let n = self.fleet.0.len();
        let excluded = self.excluded.tick(tick, &self.fleet);
        let (fleet, out) = excluded.as_ref().map_or((&self.fleet, &[][..]), |(f, out)| (f, out.as_slice()));
        let kept = |vm: usize, x: f32| if out.get(vm) == Some(&true) { f32::NAN } else { x };
        self.points.clear();
        for r in &self.config.resources {
            for vm in 0..n {
                self.points.push(kept(vm, points(*r, sealed, vm, &fleet.0[vm])));
            }
        }
        let cpu = sealed.column(Column::CpuUsedMc as usize).iter();
        let throttled = sealed.column(Column::CpuThrottledMc as usize);
        self.history.push(cpu.zip(throttled).enumerate().map(|(vm, (u, t))| kept(vm, demand(*u, *t))));
        self.chances.tick(&self.history);
        let (first, resources) = (self.config.first_decision, &self.config.resources);
        self.alerted = self.alerts.tick(tick, first, resources, &self.points, fleet);
        let series = self.points.len();
        self.points.extend(self.ahead.add_up(tick, &self.config, fleet));
        let f = self.forecaster.step(&self.points).map_err(|source| CoreError::Forecast { tick, source })?;
        f.clone_into(&mut self.forecasts);
        let scored = tick >= self.config.first_decision;
        let racks = self.forecasts.split_off(series);
        self.points.truncate(series);
        self.scorer.tick(&self.points, scored.then_some(&self.forecasts));
        let cpu = self.config.resources.iter().position(|r| *r == Resource::Cpu);
        let cpu = cpu.and_then(|i| self.points.get(i * n..(i + 1) * n)).unwrap_or_default();
        let peaks = racks.iter().map(|f| f.quantiles[PEAK]).collect();
        self.ahead.tick(tick, peaks, scored, cpu);
        Ok(())
    }

    /// Sample paths of every VM from its newest forecast.
    fn draw_paths(&mut self) {
        let cpu = self.config.resources.iter().position(|r| *r == Resource::Cpu);
        let n = self.fleet.0.len();
        let Some(cpu) = cpu.and_then(|i| self.forecasts.get(i * n..(i + 1) * n)) else { return };
        let (_, next, half, hour) = horizon_steps(self.config.cadence_s);
        let whole = self.fleet.0.iter().map(|s| s.size.cpu.0);
        self.chances.draw(cpu, &[(STEP, next), (HALF, half), (HOUR, hour)], whole);
    }

    fn plan_rack(
        &mut self,
        tick: Tick,
        rack: usize,
        summary: &mut Summary,
        advised: &mut Vec<(RackId, Planned, HoldReason)>,
        out: &mut Vec<Effect>,
    ) -> Result<(), CoreError> {
        let n = self.fleet.0.len();
        let spec = &self.config.racks[rack];
        let of = |r: Resource| {
            let i = self.config.resources.iter().position(|x| *x == r)?;
            self.forecasts.get(i * n..(i + 1) * n)
        };
        let Some(cpu) = of(Resource::Cpu) else { return Ok(()) };
        let (peak_steps, next_steps, _, hour_steps) = horizon_steps(self.config.cadence_s);
        let scene = Scene {
            config: &self.config,
            tick,
            fleet: &self.fleet,
            history: &self.history,
            down: &self.down,
            forecasts: Forecasts { cpu, memory: of(Resource::Memory) },
            chances: &self.chances,
            hour_steps: hour_steps as usize,
        };
        let mut view = scene.rack(spec, std::mem::take(&mut self.sums));
        let moving = view.vms.iter().filter(|v| v.migrating).count() as u32;
        let migrations_left = self.config.policy.migrations_left(moving);
        // What reasons name as the horizon of a resize: 5 s, not the 1 s between fast samples.
        let cadence_s = self.config.cadence_s * next_steps;
        let tick_ms = self.config.tick_ms();
        let (rack_id, hosts, site) = (spec.id, view.hosts.clone(), &self.config.site);
        summary.hosts.extend_from_slice(&hosts);
        let rack = PlanInput {
            rack: rack_id,
            tick,
            vms: &[],
            hosts: &hosts,
            cadence_s,
            tick_ms,
            migrations_left,
            site,
            bandwidth_mib_s: self.bandwidth.mib_s(&self.config.policy),
            peak_s: peak_steps * self.config.cadence_s,
            hour_s: hour_steps * self.config.cadence_s,
            shortlist: &[],
        };
        let (input, policy) = (PlanInput { vms: &view.vms, ..rack }, &self.config.policy);
        let engine = self.forecaster.engine_mut();
        let shortlist = self
            .chances
            .shortlist(&input, policy, &wanted(&input, policy), &mut view.sums, engine)
            .map_err(|source| CoreError::Score { tick, source })?;
        let rack = PlanInput { shortlist: &shortlist, ..rack };
        let input = PlanInput { vms: &view.vms, ..rack };
        let queries = candidates(&input, policy);
        let scores: Vec<_> = queries.iter().map(|q| self.chances.score(&input, &mut view.sums, q)).collect();
        let needed = needed_shadows(&input, &scores, policy);
        let (carried, known) = (view.carried(), view.known());
        for (i, h) in hosts.iter().enumerate() {
            self.chances.learn(tick, h.id, h.peak, known[i].then_some(h.load.0), carried[i]);
        }
        for vm in needed {
            self.fleet.0[vm.index()].shadow_event(LifeEvent::Needed, tick, &self.config);
            if let Ok(i) = view.vms.binary_search_by_key(&vm, |v| v.id) {
                view.vms[i].shadow = self.fleet.0[vm.index()].shadow;
            }
        }
        let (plan, report) = plan(&PlanInput { vms: &view.vms, ..rack }, &scores, &self.config.policy);
        let wanted = plan.actions.iter().chain(report.advised.iter().map(|(p, _)| p));
        summary.changed.add(&changed(&PlanInput { vms: &view.vms, ..rack }, wanted, &self.config.policy));
        let (plan, mut report) = self.operator.hand().over(plan, report);
        for &(vm, verdict) in &report.verdicts {
            let why = match verdict {
                Verdict::Hold(why) => Some(why),
                Verdict::Act(_) => None,
            };
            if let Some(last) = self.holds.get_mut(vm.index()).filter(|last| **last != why) {
                *last = why;
                self.new_holds.extend(why.map(|why| (vm, why)));
            }
        }
        for (why, count) in report.holds() {
            *summary.holds.entry(why).or_default() += count;
        }
        summary.unrelieved.extend(report.unrelieved.iter().copied());
        advised.extend(report.advised.drain(..).map(|(p, why)| (rack_id, p, why)));
        summary.provision.extend(report.provision.iter().copied());
        let first = summary.decisions.len();
        for p in plan.actions {
            let seq = self.next_seq.entry(rack_id).or_insert(1);
            let expires = Tick(tick.0 + EXPIRES_AFTER_TICKS);
            summary.decisions.push(Decision {
                epoch: self.config.epoch,
                seq: *seq,
                rack: rack_id,
                caused_by: tick,
                vm: p.vm,
                observed_host: p.host,
                expires_at_ms: self.config.time_ms(expires),
                action: p.action,
                reason: p.reason,
            });
            *seq += 1;
        }
        self.follow_plan(tick, &report, &summary.decisions[first..], out);
        self.sums = view.sums;
        Ok(())
    }

    fn outcomes(
        &mut self,
        rack: RackId,
        tick: Tick,
        outcomes: Vec<Outcome>,
        out: &mut Vec<Effect>,
    ) -> Result<(), CoreError> {
        if self.phase != Phase::Answers(tick) {
            return Ok(());
        }
        let Some(sent) = self.sent.get(&rack) else {
            return Err(CoreError::Protocol(format!(
                "outcomes for tick {tick} from {rack}, which is not in the fleet"
            )));
        };
        if outcomes.len() != sent.len() || outcomes.iter().zip(sent).any(|(o, d)| o.seq != d.seq) {
            let (got, want) = (outcomes.len(), sent.len());
            return Err(CoreError::Protocol(format!(
                "{rack} answered {got} of {want} decisions of tick {tick}, or others; check that one controller runs per rack"
            )));
        }
        self.answers.entry(rack).or_insert(outcomes);
        if self.answers.len() < self.config.racks.len() {
            return Ok(());
        }
        for (rack, outcomes) in &self.answers {
            for (o, d) in outcomes.iter().zip(&self.sent[rack]) {
                if o.kind == OutcomeKind::Applied
                    && let Some(vm) = self.fleet.0.get_mut(d.vm.index())
                {
                    vm.applied(d, o.effective_at_ms, &self.config);
                }
            }
        }
        if tick >= self.config.last {
            self.phase = Phase::Done;
            out.push(Effect::Finished);
        } else {
            self.phase = Phase::Samples(tick.next());
            out.push(Effect::Release(tick.next()));
        }
        Ok(())
    }

    fn line(&self, tick: Tick, hop: &'static str, text: String) -> Effect {
        let vm = self.config.follow.unwrap_or_default();
        Effect::Follow(FollowLine { tick, vm, hop, text })
    }

    fn follow_arrival(&self, tick: Tick, row: &Row, bytes: usize, rows: usize, out: &mut Vec<Effect>) {
        let v = |c: Column| row.values[c as usize];
        out.push(self.line(tick, "link::ingress", format!("Arrow batch of {bytes} bytes")));
        let text = format!(
            "{rows} rows; {} used {} + throttled {} mc, memory {} + {} MiB",
            row.vm,
            v(Column::CpuUsedMc),
            v(Column::CpuThrottledMc),
            v(Column::MemUsedMib),
            v(Column::MemThrottledMib)
        );
        out.push(self.line(tick, "wire::decode", text));
        out.push(self.line(tick, "telemetry::push", format!("lane {} of {COLUMNS} columns", row.vm.0)));
    }

    fn follow_forecast(&self, tick: Tick, sealed: &Sealed, out: &mut Vec<Effect>) {
        let followed = self.config.follow.map(VmId::index).filter(|vm| *vm < self.fleet.0.len());
        let Some(vm) = followed.filter(|_| self.decides_at(tick)) else { return };
        let lanes = sealed.columns[0].values().len();
        out.push(self.line(
            tick,
            "telemetry::seal",
            format!("tick {tick}: {COLUMNS} columns of {lanes} lanes"),
        ));
        let x = self.points[vm];
        let text =
            format!("cpu {x:.3} points of {}; series {}", self.fleet.0[vm].size.cpu, self.points.len());
        out.push(self.line(tick, "forecast::step", text));
        out.push(self.line(tick, "accel::run", format!("lstm_step on {}", self.config.backend)));
        let f = &self.forecasts[vm];
        let text = format!("{:?}; 30-min peak {}", f.readiness, show(&f.quantiles[0]));
        out.push(self.line(tick, "forecast::calibrate", text));
    }

    fn follow_plan(&self, tick: Tick, report: &PlanReport, decisions: &[Decision], out: &mut Vec<Effect>) {
        let Some(vm) = self.config.follow else { return };
        let Some((_, verdict)) = report.verdicts.iter().find(|(v, _)| *v == vm) else { return };
        let mine: Vec<_> = decisions.iter().filter(|d| d.vm == vm).collect();
        if mine.is_empty() {
            let why = match verdict {
                foreshade_plan::Verdict::Hold(r) => r.text(),
                foreshade_plan::Verdict::Act(_) => "acted on",
            };
            let alert = self.alerted.iter().find(|a| a.vm == vm).map(|a| format!("; anomaly: {a}"));
            out.push(self.line(tick, "plan::plan", format!("hold: {why}{}", alert.unwrap_or_default())));
        }
        for d in &mine {
            out.push(self.line(tick, "plan::plan", format!("{} {}: {}", d.id(), d.action.name(), d.reason)));
        }
        let n = decisions.len();
        let own = mine.len();
        out.push(self.line(tick, "journal::commit", format!("{n} decisions of its rack, {own} of this VM")));
        out.push(self.line(tick, "link::egress", format!("{n} frames to its rack, {own} of this VM")));
    }
}
