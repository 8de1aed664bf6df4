//! The core in process: what decisions may depend on, and what they may not.

use std::collections::BTreeMap;
use std::sync::Arc;

use foreshade::cli::DemoArgs;
use foreshade::demo::Demo;
use foreshade_appliance_core::{Core, Effect, Event, Exclusion, MemoryJournal, Whose};
use foreshade_enact::Desk;
use foreshade_plan::{Mode, Policy};
use foreshade_sim::fleet::Fleet;
use foreshade_sim::world::World;
use foreshade_sim::{backtest, rows};
use foreshade_types::{Action, ControllerId, Decision, HostId, RackId, Resource, Tick, VmId};
use proptest::prelude::*;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};

mod support;

use support::{FIRST_DECISION, HOSTS, VMS, core, demo_args, until, wave, write_trace};

fn fleet(args: &DemoArgs) -> Arc<Fleet> {
    Demo::new(args).expect("demo").fleet
}

fn auto() -> Policy {
    Policy { mode: Mode::Auto, ..Policy::default() }
}

/// What may go wrong on the way without changing a decision.
#[derive(Debug, Clone, Copy)]
struct Way {
    /// Draws the order in which hosts and racks speak; `None` = ascending.
    order: Option<u64>,
    /// Everything is said twice, and again a tick later.
    repeats: bool,
}

fn shuffle<T>(items: &mut [T], rng: &mut Option<Pcg64>) {
    let Some(rng) = rng else { return };
    for i in (1..items.len()).rev() {
        items.swap(i, (rng.next_u64() % (i as u64 + 1)) as usize);
    }
}

/// A run of the core, peer by peer.
struct Drive<'a> {
    fleet: &'a Fleet,
    way: Way,
    core: Core,
    world: World,
    desks: BTreeMap<RackId, Desk>,
    rng: Option<Pcg64>,
    decisions: Vec<Decision>,
    /// Said at the last tick.
    old: Vec<Event>,
}

impl<'a> Drive<'a> {
    fn run(fleet: &'a Fleet, way: Way) -> Self {
        Self::excluding(fleet, way, vec![])
    }

    fn excluding(fleet: &'a Fleet, way: Way, exclusions: Vec<Exclusion>) -> Self {
        let config = backtest::core_config(fleet, &auto(), "cpu", 1);
        let desks = fleet.racks.iter().map(|r| (r.id, Desk::new(ControllerId(r.id.0)))).collect();
        let mut d = Self {
            fleet,
            way,
            core: core(&config).excluding(exclusions),
            world: World::new(fleet),
            desks,
            rng: way.order.map(Pcg64::seed_from_u64),
            decisions: vec![],
            old: vec![],
        };
        for t in 0..=fleet.last.0 {
            d.tick(Tick(t));
        }
        d
    }

    fn say(&mut self, event: Event) -> Vec<Effect> {
        let effects = self.core.apply(event.clone()).expect("applied");
        self.old.push(event.clone());
        if self.way.repeats {
            let again = self.core.apply(event).expect("a repeat is no error");
            assert!(again.is_empty(), "{again:?}");
        }
        effects
    }

    fn tick(&mut self, tick: Tick) {
        let repeats = if self.way.repeats { std::mem::take(&mut self.old) } else { vec![] };
        for event in repeats {
            let again = self.core.apply(event).expect("an old event is no error");
            assert!(again.is_empty(), "{again:?}");
        }
        assert_eq!(self.core.released(), Some(tick));
        self.world.advance_to(self.fleet, tick);
        let mut hosts: Vec<HostId> = self.fleet.hosts().collect();
        shuffle(&mut hosts, &mut self.rng);
        let mut sends = vec![];
        for host in hosts {
            assert!(sends.is_empty(), "decided before all had spoken");
            let batch = rows::batch(&self.world.observe(host)).expect("batch");
            let rows = batch.rows() as u32;
            let ipc = batch.encode().expect("encoded");
            // Telemetry alone is not repeated: the link hands it over with its end mark.
            let telemetry = Event::Telemetry { host, tick, ipc };
            assert!(self.core.apply(telemetry.clone()).expect("applied").is_empty());
            self.old.push(telemetry);
            sends = self.say(Event::EndOfTick { host, tick, rows });
        }
        self.answer(tick, sends);
    }

    fn answer(&mut self, tick: Tick, effects: Vec<Effect>) {
        assert_eq!(self.core.released(), None);
        let mut committed = None;
        let mut sends = vec![];
        for effect in effects {
            match effect {
                Effect::Commit(record) => committed = Some(record.decisions),
                Effect::Send { rack, decisions, .. } => {
                    assert!(committed.is_some(), "sent before it was committed");
                    sends.push((rack, decisions));
                }
                _ => {}
            }
        }
        let all: Vec<_> = sends.iter().flat_map(|(_, d)| d.clone()).collect();
        assert_eq!(committed, Some(all.clone()));
        self.decisions.extend(all);
        shuffle(&mut sends, &mut self.rng);
        for (rack, decisions) in sends {
            assert_eq!(self.core.unanswered(rack), Some((tick, decisions.as_slice())));
            let now_ms = self.core.config().time_ms(tick);
            let desk = self.desks.get_mut(&rack).expect("desk");
            let outcomes = desk.work(&mut self.world, now_ms, &decisions);
            if self.way.repeats {
                // Decisions that come again are answered as before and change nothing.
                let before = self.world.totals();
                assert_eq!(desk.work(&mut self.world, now_ms, &decisions), outcomes);
                assert_eq!(self.world.totals(), before);
            }
            self.say(Event::Outcomes { rack, tick, outcomes });
            assert_eq!(self.core.unanswered(rack), None);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_in_which_peers_speak_changes_nothing(seed: u64) {
        let fleet = fleet(&demo_args(&["--ticks", "8"]));
        let plain = Drive::run(&fleet, Way { order: None, repeats: false });
        let mixed = Drive::run(&fleet, Way { order: Some(seed), repeats: false });
        prop_assert!(!plain.decisions.is_empty());
        prop_assert_eq!(&mixed.decisions, &plain.decisions);
        prop_assert_eq!(mixed.world.totals(), plain.world.totals());
        prop_assert_eq!(mixed.core.scores(), plain.core.scores());
    }
}

#[test]
fn what_is_said_twice_changes_nothing() {
    let fleet = fleet(&demo_args(&["--ticks", "10"]));
    let plain = Drive::run(&fleet, Way { order: None, repeats: false });
    let twice = Drive::run(&fleet, Way { order: Some(5), repeats: true });
    assert!(!plain.decisions.is_empty());
    assert_eq!(twice.decisions, plain.decisions);
    assert_eq!(twice.world.totals(), plain.world.totals());
    assert_eq!(twice.core.scores(), plain.core.scores());
}

#[test]
fn decisions_are_numbered_without_a_gap_and_expire_after_one_interval() {
    let fleet = fleet(&demo_args(&["--ticks", "10"]));
    let run = Drive::run(&fleet, Way { order: None, repeats: false });
    for rack in &fleet.racks {
        let of_rack: Vec<_> = run.decisions.iter().filter(|d| d.rack == rack.id).collect();
        let seqs: Vec<_> = of_rack.iter().map(|d| d.seq).collect();
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
        for d in of_rack {
            assert_eq!(d.expires_at_ms, (d.caused_by.0 + 1) * 300_000);
            assert!((FIRST_DECISION..fleet.last.0).contains(&d.caused_by.0), "{d:?}");
            assert!(rack.hosts.iter().any(|h| h.id == d.observed_host), "{d:?}");
            if let Action::Migrate { to } | Action::CreateShadow { host: to, .. } = d.action {
                assert!(rack.hosts.iter().any(|h| h.id == to) && to != d.observed_host, "{d:?}");
            }
        }
    }
}

/// Decisions of a backtest on this trace.
fn decisions_on(cpu: &[Vec<Option<f32>>], hosts: Option<u32>) -> Vec<Decision> {
    let dir = tempfile::tempdir().expect("folder");
    let file = dir.path().join("t.parquet");
    write_trace(&file, cpu);
    let mut args = demo_args(&[]);
    args.trace = file.display().to_string();
    args.fleet.hosts = hosts;
    let fleet = fleet(&args);
    let config = backtest::core_config(&fleet, &auto(), "cpu", 2);
    let mut journal = MemoryJournal::default();
    backtest::foreshade(&fleet, core(&config), &mut journal, |_, _| ()).expect("backtest");
    journal.records.into_iter().flat_map(|r| r.decisions).collect()
}

#[test]
fn no_decision_knows_a_sample_of_its_future() {
    let whole = wave(VMS, 160, 11);
    for hosts in [Some(HOSTS), None] {
        let full = decisions_on(&whole, hosts);
        for now in [FIRST_DECISION + 1, 151] {
            let past = until(&full, Tick(now));
            assert!(past.len() > 5, "{} decisions", past.len());
            let cut: Vec<_> = whole.iter().map(|v| v[..=now as usize + 1].to_vec()).collect();
            assert_eq!(decisions_on(&cut, hosts), past, "cut after {now}");
            let mut other = whole.clone();
            let future =
                |v: &mut Vec<Option<f32>>| v[now as usize + 1..].iter_mut().for_each(|x| *x = Some(97.0));
            other.iter_mut().for_each(future);
            let other = decisions_on(&other, hosts);
            assert_eq!(until(&other, Tick(now)), past, "another future after {now}");
            assert_ne!(other, full, "the future matters when it comes");
        }
    }
}

#[test]
fn excluded_samples_are_as_if_they_had_not_come() {
    let dir = tempfile::tempdir().expect("folder");
    let file = dir.path().join("t.parquet").display().to_string();
    let mut args = demo_args(&["--ticks", "18"]);
    args.trace = file.clone();
    let on = |cpu: &[Vec<Option<f32>>]| {
        write_trace(file.as_ref(), cpu);
        fleet(&args)
    };
    let mut cpu = wave(VMS, 164, 9);
    let whole = on(&cpu);
    let known = cpu[3][90..120].iter().flatten().count() as u64;
    cpu[3][90..120].fill(None);
    let gaps = on(&cpu);
    let way = Way { order: None, repeats: false };
    let of = |whose, from, until| Exclusion { whose, from: Tick(from), until: Tick(until) };
    let entries = vec![of(Whose::Vm(VmId(3)), 90, 120), of(Whose::Vm(VmId(4)), 500, 900)];
    let (excluded, missing) = (Drive::excluding(&whole, way, entries), Drive::run(&gaps, way));
    let plain = Drive::run(&whole, way);
    assert_eq!(excluded.core.left_out(), [known, 0]);
    assert!(!missing.decisions.is_empty());
    assert_eq!(excluded.decisions, missing.decisions);
    assert_eq!(excluded.core.scores(), missing.core.scores());
    assert_eq!(excluded.core.outlook(), missing.core.outlook());
    assert_eq!(excluded.core.forecasts(Resource::Cpu), missing.core.forecasts(Resource::Cpu));
    assert_ne!(excluded.core.forecasts(Resource::Cpu), plain.core.forecasts(Resource::Cpu));
    // While decisions are taken: what is excluded is not scored, and what others are forecast is untouched.
    let host = HostId(1);
    let entries = vec![of(Whose::Host(host), FIRST_DECISION + 2, FIRST_DECISION + 3)];
    let late = Drive::excluding(&whole, way, entries);
    assert!(late.core.left_out()[0] > 0);
    assert!(late.core.coverage()["cpu"][&0].n < plain.core.coverage()["cpu"][&0].n);
    assert_eq!(late.core.coverage()["cpu/large"], late.core.coverage()["cpu"], "all have 16 cores");
}
