//! A run as it goes, told to the view.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foreshade_appliance::Observer;
use foreshade_appliance_core::{Core, FollowLine, LoadMc, Summary};
use foreshade_types::{Decision, Horizon, OutcomeKind, RESOURCES, Resource, VmId};

use super::log::{Item, Kind};
use super::state::{AheadRow, Facts, HeatRow, LoadRow, ShadowRow, Stage, State};
use crate::demo::{Demo, decision_tick};
use crate::hops::HopTimer;
use crate::view::reason;

/// Percentiles of all hops and the outlook of all hosts are worked out this often, not at each of many ticks a second.
const EVERY: Duration = Duration::from_millis(500);

/// The state that producer and screen share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared(Arc<Mutex<State>>);

impl Shared {
    /// The state, to read or to change; hold it shortly, the screen waits.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An observer of a run that shows it.
#[derive(Debug)]
pub(crate) struct Live {
    shared: Shared,
    hops: HopTimer,
    start: Instant,
    seldom: Option<Instant>,
}

impl Live {
    /// What will run, and nothing yet.
    pub(crate) fn new(demo: &Demo, hops: HopTimer, colour: bool) -> Self {
        let f = &demo.fleet;
        let racks = if f.racks.len() == 1 { "1 rack".into() } else { format!("{} racks", f.racks.len()) };
        let (vms, hosts) = (f.vms.len(), f.hosts().count());
        let facts = Facts {
            title: "foreshade demo".into(),
            subject: format!("{}: {vms} VMs, {hosts} hosts, {racks}; mode auto, simulated", f.name),
            tick: (0, f.ticks()),
            done: (0, f.last.0 + 1),
            horizons: Core::horizons(f.cadence_s)
                .try_into()
                .map_or_else(|_| Default::default(), |h| columns(h, f.cadence_s)),
            limit_percent: demo.policy.host_limit_percent,
            ..Facts::default()
        };
        let shared = Shared::default();
        *shared.lock() = State { facts, colour, ..State::default() };
        Self { shared, hops, start: Instant::now(), seldom: None }
    }

    /// What the screen shows.
    pub(crate) fn shared(&self) -> Shared {
        self.shared.clone()
    }

    /// Hears what became of a decision.
    pub(crate) fn enacted(&self) -> impl Fn(&Decision, OutcomeKind) + Send + Sync + use<> {
        let shared = self.shared.clone();
        move |d, kind| {
            shared.lock().log.answered(d.id(), kind);
        }
    }

    /// What costs more than a tick should.
    fn seldom(&mut self, core: &Core, facts: &mut Facts) {
        if self.seldom.is_some_and(|t| t.elapsed() < EVERY) {
            return;
        }
        self.seldom = Some(Instant::now());
        let hops = self.hops.report();
        let row = |name: &&'static str| hops.get(*name).map(|h| (*name, h.p50_us, h.p99_us));
        facts.hops = foreshade_appliance_core::HOPS.iter().filter_map(row).collect();
        facts.ahead = ahead(core);
    }
}

/// The columns of the heat map: the names of the forecast's horizons in their order.
pub(super) fn columns(horizons: [Horizon; 4], cadence_s: u32) -> [String; 4] {
    let span = |steps: u32| match steps * cadence_s {
        s if s % 3600 == 0 => format!("{} h", s / 3600),
        s if s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    };
    horizons.map(|h| match h {
        Horizon::Peak(_) => "peak".into(),
        Horizon::Step(n) => span(n),
    })
}

/// All VMs by resource, the one with the highest bound of its peak first.
fn heat(core: &Core, r: Resource) -> Option<Vec<HeatRow>> {
    let forecasts = core.forecasts(r)?;
    let config = core.config();
    let row = |(i, f): (usize, &foreshade_types::SeriesForecast)| {
        let spec = &config.vms[i];
        let (host, _, demand) = core.placed(VmId(i as u32)).unwrap_or_default();
        let now = if r == Resource::Cpu { spec.size.cpu.points_of(demand) } else { f32::NAN };
        let bound = |h: usize| f.quantiles.get(h).map_or(f32::NAN, |q| q.q95());
        HeatRow {
            name: crate::view::name(&spec.name),
            host: host.to_string(),
            now,
            q95: [0, 1, 2, 3].map(bound),
        }
    };
    let mut rows: Vec<_> = forecasts.iter().enumerate().map(row).collect();
    hottest_first(&mut rows);
    Some(rows)
}

/// By the bound of the peak; of two alike the first stays first.
pub(super) fn hottest_first(rows: &mut [HeatRow]) {
    rows.sort_by(|a, b| b.q95[0].total_cmp(&a.q95[0]));
}

/// Each rack, then its hosts. Racks and hosts speak once something is decided.
fn loads(core: &Core, s: &Summary) -> Vec<LoadRow> {
    let mut out = vec![];
    for rack in &core.config().racks {
        let has_mc = rack.hosts.iter().map(|h| h.cpu.0).sum();
        let of = s.racks.iter().find(|r| r.rack == rack.id);
        out.extend(of.map(|r| LoadRow {
            name: rack.id.to_string(),
            rack: true,
            has_mc,
            now_mc: r.now.0,
            peak_mc: (r.peak.q50, r.peak.q95),
            up: true,
        }));
        let here = |h: &&foreshade_plan::HostView| rack.hosts.binary_search_by_key(&h.id, |s| s.id).is_ok();
        out.extend(s.hosts.iter().filter(here).map(|h| LoadRow {
            name: h.id.to_string(),
            rack: false,
            has_mc: h.cpu.0,
            now_mc: h.load.0,
            peak_mc: (h.peak.q50, h.peak.q95),
            up: h.up,
        }));
    }
    out
}

fn shadows(core: &Core) -> Vec<ShadowRow> {
    let row = |(vm, s): (VmId, &foreshade_plan::lifecycle::Shadow)| ShadowRow {
        vm: core.config().vms.get(vm.index()).map_or_else(|| vm.to_string(), |v| crate::view::name(&v.name)),
        phase: s.phase.name(),
        host: s.place.host.to_string(),
        size_mc: s.size.cpu.0,
        share_percent: s.share_percent,
    };
    core.shadows().map(row).collect()
}

fn ahead(core: &Core) -> Vec<AheadRow> {
    let mut out = vec![];
    for (name, rack) in &core.outlook().racks {
        let mut row = |what: String, q: &LoadMc| {
            out.push(AheadRow { rack: name.clone(), what, band_mc: (q.q05, q.q50, q.q95) });
        };
        rack.peak_30min.iter().for_each(|q| row("peak 30 min".into(), q));
        for (hours, h) in &rack.hours {
            row(format!("in {hours} h, mean"), &h.mean);
            row(format!("peak of {hours} h"), &h.peak);
        }
    }
    out
}

/// The lines of a tick, what matters most last, since that is what a feed that runs on shows: resizes, decisions that move
/// load, alerts, hosts that could not be relieved, and the sum of it.
fn lines(core: &Core, s: &Summary) -> Vec<Item> {
    let config = core.config();
    let hours = config.time_ms(s.tick) as f64 / 3.6e6;
    let names =
        |vm: VmId| config.vms.get(vm.index()).map_or_else(|| vm.to_string(), |v| crate::view::name(&v.name));
    let when = format!("[{hours:.2} h] tick {}", decision_tick(s.tick));
    let mut out = reason::items(&s.decisions, names, &when);
    out.extend(s.alerts.iter().map(|a| Item::plain(Kind::Alert, format!("  alert: {a}"))));
    for (vm, a) in &s.shadow_alerts {
        out.push(Item::plain(Kind::Alert, format!("  alert: {}'s shadow: {}", names(*vm), a.text())));
    }
    for (host, why) in &s.unrelieved {
        out.push(Item::plain(Kind::Hold, format!("  {host}: forecast to run over; {}", why.text())));
    }
    out.push(reason::tick(&when, &s.decisions, &s.holds));
    out
}

impl Observer for Live {
    fn planned(&mut self, core: &Core, s: &Summary) {
        let decided = (core.config().first_decision..core.config().last).contains(&s.tick);
        let heat = RESOURCES.into_iter().filter_map(|r| Some((r, heat(core, r)?))).collect();
        let mut facts = self.shared.lock().facts.clone();
        facts.heat = heat;
        let done = s.tick.0 + 1;
        facts.done.0 = done;
        facts.hours = core.config().time_ms(s.tick) as f64 / 3.6e6;
        let elapsed_s = self.start.elapsed().as_secs_f64();
        facts.left_s = Some(elapsed_s * (facts.done.1.saturating_sub(done)) as f64 / done as f64);
        facts.shadows = shadows(core);
        if decided {
            facts.tick.0 = decision_tick(s.tick);
            facts.loads = loads(core, s);
            facts.held = s.holds.values().sum();
            facts.advised = s.advised.len() as u64;
            facts.decided =
                core.decision_counts().iter().filter(|(k, _)| **k != "hold").map(|(k, n)| (*k, *n)).collect();
        }
        self.seldom(core, &mut facts);
        let lines = if decided { lines(core, s) } else { vec![] };
        let mut state = self.shared.lock();
        // A key may have changed the stage meanwhile.
        facts.stage = match state.facts.stage {
            Stage::WarmUp | Stage::Running if s.tick >= core.config().last => Stage::Comparing,
            Stage::WarmUp if decided => Stage::Running,
            stage => stage,
        };
        state.facts = facts;
        lines.into_iter().for_each(|l| state.log.push(l));
    }

    fn refused(&mut self, text: &str) {
        self.shared
            .lock()
            .log
            .push(Item::plain(Kind::Refused, format!("  refused: {}", crate::view::name(text))));
    }

    fn followed(&mut self, _: &FollowLine) {}
}
