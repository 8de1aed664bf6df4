//! The shadow's state machine, all of it: every event in every state as a table, and every state that can be reached.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use foreshade_plan::lifecycle::{
    Alert, Effect, Event, Limits, Place, Refusal, Shadow, Sync, WarmUp, due, step,
};
use foreshade_types::{Allocation, HostId, Mebibytes, Millicores, ShadowPhase as Phase};

/// Far from every limit below.
const NOW: u64 = 1_000_000;
/// What limits are measured from: fresh, or long ago.
const LONG_AGO: u64 = 0;

fn limits(suspend_ms: u64) -> Limits {
    Limits {
        request_ms: 10,
        provision_ms: 10,
        sync_ms: 10,
        warm_up_ms: 10,
        drain_ms: 10,
        suspend_ms,
        clean_ms: 10,
        silence_ms: 10,
        warm_up_every_ms: 10,
        idle_ms: 10,
        age_ms: 10,
    }
}

fn place(host: u32, domain: u32) -> Place {
    Place { host: HostId(host), domain }
}

fn size(cpu: u64) -> Allocation {
    Allocation { cpu: Millicores(cpu), memory: Mebibytes(256) }
}

const PRIMARY: u32 = 0;

fn request(now: u64) -> Shadow {
    Shadow::request(place(PRIMARY, 0), place(1, 1), size(1000), now).unwrap().0
}

fn shift(share_percent: u8) -> Event {
    Event::TrafficShifted { share_percent, size: size(3000) }
}

fn events() -> Vec<(&'static str, Event)> {
    vec![
        ("accepted", Event::Accepted),
        ("refused", Event::Refused),
        ("booted", Event::Booted),
        ("caught up", Event::SyncCaughtUp),
        ("fell behind", Event::SyncBehind),
        ("corrupt", Event::SyncCorrupt),
        ("resync began", Event::ResyncStarted),
        ("warm-up due", Event::WarmUpDue),
        ("warm-up passed", Event::WarmUpPassed),
        ("warm-up failed", Event::WarmUpFailed),
        ("needed", Event::Needed),
        ("shifted", shift(50)),
        ("shifted 60 %", shift(60)),
        ("shifted 95 %", shift(95)),
        ("shifted back", Event::TrafficShiftedBack { size: size(1000) }),
        ("drained", Event::Drained),
        ("host suspended it", Event::Suspended),
        ("primary suspended", Event::PrimarySuspended),
        ("primary gone", Event::PrimaryTerminated),
        ("primary moved away", Event::PrimaryMoved { to: place(2, 2) }),
        ("primary moved here", Event::PrimaryMoved { to: place(1, 1) }),
        ("primary moved beside", Event::PrimaryMoved { to: place(3, 1) }),
        ("idle", Event::Idle),
        ("aged", Event::Aged),
        ("over budget", Event::OverBudget),
        ("not worth it", Event::NotWorth),
        ("controller restarted", Event::ControllerRestarted),
        ("host lost", Event::HostLost),
        ("cleaned", Event::Cleaned),
        ("timed out", Event::TimedOut),
    ]
}

/// A shadow brought to a phase by legal steps, then left there for long.
fn in_phase(phase: Phase) -> Shadow {
    let way: &[Event] = match phase {
        Phase::Requested => &[],
        Phase::Provisioning => &[Event::Accepted],
        Phase::Syncing => &[Event::Accepted, Event::Booted],
        Phase::Warm => &[Event::Accepted, Event::Booted, Event::SyncCaughtUp],
        Phase::Terminated => &[Event::PrimaryTerminated],
        Phase::Failed => &[Event::HostLost],
        _ => &[Event::Accepted, Event::Booted, Event::SyncCaughtUp, Event::WarmUpPassed],
    };
    let then: &[Event] = match phase {
        Phase::Active => &[shift(50)],
        Phase::Draining => &[shift(50), Event::TrafficShiftedBack { size: size(1000) }],
        Phase::Suspended => &[Event::Suspended],
        _ => &[],
    };
    let mut s = request(LONG_AGO);
    for e in way.iter().chain(then) {
        s = step(&s, *e, LONG_AGO, &limits(10)).unwrap().0;
    }
    assert_eq!(s.phase, phase);
    s
}

fn cell(s: &Shadow, event: Event) -> &'static str {
    match step(s, event, NOW, &limits(10)) {
        Ok((next, _)) if next.phase == s.phase => "=",
        Ok((next, _)) => next.phase.name(),
        Err(Refusal::Final) => "final",
        Err(Refusal::NotNow { .. }) => "-",
        Err(Refusal::NotSynced { .. }) => "unsynced",
        Err(Refusal::InUse) => "in use",
        Err(Refusal::TooEarly { .. }) => "early",
        Err(Refusal::SharesFate) => "fate",
        Err(Refusal::Share { .. }) => "share",
    }
}

#[test]
fn every_event_in_every_state_is_as_written() {
    let mut table = format!("{:21}", "");
    Phase::ALL.iter().for_each(|p| table += &format!(" {:12}", p.name()));
    for (name, event) in events() {
        table += &format!("\n{name:21}");
        Phase::ALL.iter().for_each(|p| table += &format!(" {:12}", cell(&in_phase(*p), event)));
    }
    let table = table.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n";
    assert_eq!(table, include_str!("lifecycle.table"), "the table is now\n{table}");
}

/// Every state that any events and any passing of time lead to, with what leads on from each.
struct Reached {
    states: HashMap<(Shadow, bool), Vec<(Shadow, bool)>>,
}

/// `(state, tainted)`: tainted = its copy was found corrupt and no new one has begun.
fn explore(limits: &Limits) -> Reached {
    let first = (request(NOW), false);
    let mut states = HashMap::from([(first, vec![])]);
    let mut queue = VecDeque::from([first]);
    while let Some((s, tainted)) = queue.pop_front() {
        let mut on = Vec::new();
        for (_, event) in events() {
            if let Ok((next, effects)) = step(&s, event, NOW, limits) {
                check_edge(&s, event, &next, &effects);
                let fresh = matches!(event, Event::ResyncStarted | Event::Booted);
                on.push((next, (tainted || event == Event::SyncCorrupt) && !fresh));
            }
        }
        // Time passes, for one clock at a time.
        let aged = [
            Shadow { created_ms: LONG_AGO, ..s },
            Shadow { entered_ms: LONG_AGO, ..s },
            Shadow { needed_ms: LONG_AGO, ..s },
            Shadow { synced_ms: LONG_AGO, warmed_ms: LONG_AGO, ..s },
        ];
        on.extend(aged.map(|s| (s, tainted)));
        for n in &on {
            if !states.contains_key(n) {
                states.insert(*n, vec![]);
                queue.push_back(*n);
            }
        }
        states.insert((s, tainted), on);
    }
    Reached { states }
}

fn check_edge(s: &Shadow, event: Event, next: &Shadow, effects: &[Effect]) {
    let what = format!("{s:?} -{event:?}-> {next:?} {effects:?}");
    if next.share_percent > s.share_percent {
        assert!(s.takes_traffic() && s.sync == Sync::CaughtUp, "traffic before ready: {what}");
    }
    let ends = |p| matches!(p, Phase::Terminated | Phase::Failed);
    assert_eq!(
        ends(next.phase) && !ends(s.phase),
        effects.contains(&Effect::Free) && !ends(s.phase),
        "{what}"
    );
    if next.phase == Phase::Terminated {
        assert!(effects.contains(&Effect::Free), "ends without freeing: {what}");
    }
    if s.phase == Phase::Active && !matches!(next.phase, Phase::Active | Phase::Draining) {
        assert!(effects.contains(&Effect::ShiftBack), "traffic goes nowhere: {what}");
    }
    if s.phase == Phase::Active && next.phase == Phase::Draining {
        let by_itself = !matches!(event, Event::TrafficShiftedBack { .. });
        assert_eq!(effects.contains(&Effect::ShiftBack), by_itself, "{what}");
    }
    let told = |a| effects.contains(&Effect::Alert(a));
    assert!(!(told(Alert::SyncBehind) && told(Alert::SyncCorrupt)), "two alerts for one thing: {what}");
    assert_eq!(event == Event::SyncCorrupt, told(Alert::SyncCorrupt), "{what}");
}

fn check_state(s: &Shadow, tainted: bool, limits: &Limits) {
    assert_eq!(s.share_percent > 0, s.phase == Phase::Active, "{s:?}");
    let usable = matches!(s.phase, Phase::Warm | Phase::Ready | Phase::Active | Phase::Draining);
    assert!(!(usable && (tainted || s.sync == Sync::Corrupt)), "used a corrupt copy: {s:?}");
    if s.phase == Phase::Ready {
        assert!(s.sync == Sync::CaughtUp && matches!(s.warm_up, WarmUp::Passed | WarmUp::Running), "{s:?}");
    }
    if s.phase == Phase::Suspended {
        assert_eq!(s.held().cpu, Millicores(0), "{s:?}");
    }
    if s.phase == Phase::Terminated {
        assert_eq!(s.held(), Allocation::default());
        assert!(s.end.is_some());
        for (_, e) in events() {
            assert_eq!(step(s, e, NOW, limits), Err(Refusal::Final), "{s:?} {e:?}");
        }
        return;
    }
    assert!(!s.primary.shares_fate(&s.place), "one fault takes both: {s:?}");
    for e in [Event::PrimarySuspended, Event::PrimaryTerminated] {
        let (dead, effects) = step(s, e, NOW, limits).expect("dies with its primary");
        assert_eq!((dead.phase, dead.held()), (Phase::Terminated, Allocation::default()), "{s:?}");
        assert!(effects.contains(&Effect::Free));
    }
    if let Some(e) = due(s, NOW, limits) {
        assert!(step(s, e, NOW, limits).is_ok(), "{e:?} is due and refused in {s:?}");
    }
}

/// Nobody needs it and nothing is heard of it: time alone must end it.
fn ends_by_itself(mut s: Shadow, limits: &Limits) -> bool {
    for _ in 0..12 {
        if s.phase == Phase::Terminated {
            return true;
        }
        let (created_ms, entered_ms, needed_ms, synced_ms) = (LONG_AGO, LONG_AGO, LONG_AGO, LONG_AGO);
        s = Shadow { created_ms, entered_ms, needed_ms, synced_ms, warmed_ms: LONG_AGO, ..s };
        let Some(e) = due(&s, NOW, limits) else { return false };
        let Ok((next, _)) = step(&s, e, NOW, limits) else { return false };
        s = next;
    }
    false
}

fn every_state_reached(suspend_ms: u64) -> Reached {
    let limits = limits(suspend_ms);
    let reached = explore(&limits);
    let mut phases: BTreeMap<Phase, usize> = BTreeMap::new();
    for (s, tainted) in reached.states.keys() {
        check_state(s, *tainted, &limits);
        assert!(ends_by_itself(*s, &limits), "stuck: {s:?}");
        *phases.entry(s.phase).or_default() += 1;
    }
    assert_eq!(phases.len(), Phase::ALL.len(), "states never reached: {phases:?}");
    reached
}

#[test]
fn every_state_that_can_be_reached_keeps_the_invariants() {
    let reached = every_state_reached(10);
    // Fewer would mean that the walk no longer goes everywhere.
    assert!(reached.states.len() > 1_000, "{} states", reached.states.len());
}

#[test]
fn every_state_has_a_way_to_its_end() {
    let Reached { states } = explore(&limits(10));
    let mut back: HashMap<_, Vec<_>> = HashMap::new();
    states.iter().for_each(|(from, on)| on.iter().for_each(|to| back.entry(*to).or_default().push(*from)));
    let ends = states.keys().filter(|(s, _)| s.phase == Phase::Terminated).copied();
    let mut queue: VecDeque<_> = ends.collect();
    let mut reach: HashSet<_> = queue.iter().copied().collect();
    while let Some(n) = queue.pop_front() {
        for p in back.get(&n).into_iter().flatten() {
            if reach.insert(*p) {
                queue.push_back(*p);
            }
        }
    }
    assert_eq!(reach.len(), states.len());
}

#[test]
fn a_policy_that_suspends_nothing_terminates_instead() {
    let limits = limits(0);
    let idle = Shadow { needed_ms: LONG_AGO, ..in_phase(Phase::Ready) };
    let (next, effects) = step(&idle, Event::Idle, NOW, &limits).unwrap();
    assert_eq!((next.phase, effects), (Phase::Terminated, vec![Effect::Free]));
}

#[test]
fn a_shadow_beside_its_primary_is_not_requested() {
    for (host, domain) in [(0, 0), (0, 7), (5, 0)] {
        let asked = Shadow::request(place(0, 0), place(host, domain), size(1000), NOW);
        assert_eq!(asked, Err(Refusal::SharesFate));
    }
    assert!(Shadow::request(place(0, 0), place(5, 7), size(1000), NOW).is_ok());
}

#[test]
fn a_shadow_that_is_needed_is_neither_idle_nor_aged_out_of_use() {
    let limits = limits(10);
    let busy = Shadow { needed_ms: NOW, ..in_phase(Phase::Active) };
    assert_eq!(due(&busy, NOW, &limits), None);
    for e in [Event::Idle, Event::Aged, Event::OverBudget, Event::NotWorth, Event::TimedOut] {
        assert_eq!(step(&busy, e, NOW, &limits), Err(Refusal::InUse), "{e:?}");
    }
    let old = Shadow { needed_ms: NOW, synced_ms: NOW, warmed_ms: NOW, ..in_phase(Phase::Ready) };
    assert_eq!(due(&old, NOW, &limits), None, "old but needed");
    assert_eq!(due(&Shadow { needed_ms: LONG_AGO, ..old }, NOW, &limits), Some(Event::Aged));
}

#[test]
fn the_warm_up_runs_on_schedule_and_fails_at_the_second_failure() {
    let limits = Limits { idle_ms: u64::MAX, age_ms: u64::MAX, silence_ms: u64::MAX, ..limits(10) };
    let s = Shadow { warmed_ms: NOW - 9, ..in_phase(Phase::Ready) };
    assert_eq!(due(&s, NOW, &limits), None);
    assert_eq!(due(&s, NOW + 1, &limits), Some(Event::WarmUpDue));
    let (s, effects) = step(&s, Event::WarmUpDue, NOW + 1, &limits).unwrap();
    assert_eq!((s.phase, s.warm_up, effects), (Phase::Ready, WarmUp::Running, vec![Effect::RunWarmUp]));
    assert_eq!(due(&s, NOW + 50, &limits), None, "it runs once at a time");
    let (s, effects) = step(&s, Event::WarmUpFailed, NOW + 2, &limits).unwrap();
    assert_eq!((s.phase, s.warm_up, effects), (Phase::Warm, WarmUp::Failed, vec![Effect::RunWarmUp]));
    let (s, effects) = step(&s, Event::WarmUpFailed, NOW + 3, &limits).unwrap();
    assert_eq!(s.phase, Phase::Failed);
    assert!(effects.contains(&Effect::Alert(Alert::Failed)) && effects.contains(&Effect::Free));
}
