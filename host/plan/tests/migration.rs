//! The migration's state machine, all of it: every event in every state as a table, and every state that can be reached.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{HashMap, HashSet, VecDeque};

use foreshade_plan::migration::{Copy, Effect, Event, Limits, Migration, Refusal, step};
use foreshade_types::{HostId, MovePhase as Phase};

const NOW: u64 = 1_000_000;
const LIMITS: Limits = Limits {
    prepare_ms: 10,
    snapshot_ms: 10,
    transfer_ms: 10,
    redirect_ms: 10,
    verify_ms: 10,
    finalise_ms: 10,
    window_ms: 10,
};
const EVENTS: [(&str, Event); 12] = [
    ("prepared", Event::Prepared),
    ("step failed", Event::StepFailed),
    ("snapshot taken", Event::SnapshotTaken),
    ("converged", Event::Converged),
    ("switched", Event::Switched),
    ("verified", Event::Verified),
    ("finalised", Event::Finalised),
    ("go back", Event::GoBack),
    ("source lost", Event::SourceLost),
    ("target lost", Event::TargetLost),
    ("controller restarted", Event::ControllerRestarted),
    ("timed out", Event::TimedOut),
];

fn begun() -> Migration {
    Migration::begin(HostId(0), HostId(1), 0).unwrap().0
}

fn in_phase(phase: Phase) -> Migration {
    use Event::*;
    let way = [Prepared, SnapshotTaken, Converged, Switched, Verified, Finalised];
    let events: Vec<Event> = match phase {
        Phase::Done => way.into_iter().chain([StepFailed]).collect(),
        Phase::RolledBack => vec![GoBack],
        Phase::Failed => vec![SourceLost],
        p => way[..p as usize - 1].to_vec(),
    };
    let m = events.iter().fold(begun(), |m, e| step(&m, *e, 0, &LIMITS).unwrap().0);
    assert_eq!(m.phase, phase);
    m
}

#[test]
fn every_event_in_every_state_is_as_written() {
    let mut table = format!("{:21}", "");
    Phase::ALL.iter().for_each(|p| table += &format!(" {:12}", p.name()));
    for (name, event) in EVENTS {
        table += &format!("\n{name:21}");
        for phase in Phase::ALL {
            let cell = match step(&in_phase(phase), event, NOW, &LIMITS) {
                Ok((next, _)) if next.phase == phase => "=",
                Ok((next, _)) => next.phase.name(),
                Err(Refusal::Final) => "final",
                Err(Refusal::NotNow { .. }) => "-",
                Err(Refusal::TooEarly { .. }) => "early",
            };
            table += &format!(" {cell:12}");
        }
    }
    let table = table.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n";
    assert_eq!(table, include_str!("migration.table"), "the table is now\n{table}");
}

/// The machines that carry effects out: what runs and what is held, by host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Machines {
    source: Copy,
    target: Copy,
}

impl Machines {
    fn carry_out(&mut self, effect: Effect, what: &str) {
        match effect {
            Effect::ReserveTarget => self.target = Copy::Reserved,
            Effect::StopSource | Effect::KeepSource if self.source != Copy::Absent => {
                self.source = Copy::Stopped
            }
            Effect::StartTarget => self.target = Copy::Running,
            Effect::StopTarget if self.target == Copy::Running => self.target = Copy::Stopped,
            Effect::StartSource => self.source = Copy::Running,
            Effect::FreeSource => self.source = Copy::Absent,
            Effect::FreeTarget => self.target = Copy::Absent,
            _ => {}
        }
        let both = self.source == Copy::Running && self.target == Copy::Running;
        assert!(!both, "two copies run after {effect:?}: {what}");
    }
}

type Node = (Migration, Machines);

fn explore() -> HashMap<Node, Vec<Node>> {
    let first = (begun(), Machines { source: Copy::Running, target: Copy::Reserved });
    let mut states = HashMap::from([(first, vec![])]);
    let mut queue = VecDeque::from([first]);
    while let Some((m, machines)) = queue.pop_front() {
        let mut on = Vec::new();
        for (_, event) in EVENTS {
            let Ok((next, effects)) = step(&m, event, NOW, &LIMITS) else { continue };
            let what = format!("{m:?} -{event:?}-> {next:?} {effects:?}");
            let mut after = machines;
            if event == Event::SourceLost {
                after.source = Copy::Absent;
            }
            effects.iter().for_each(|e| after.carry_out(*e, &what));
            on.push((next, after));
        }
        on.push((Migration { entered_ms: 0, ..m }, machines));
        for n in &on {
            if !states.contains_key(n) {
                states.insert(*n, vec![]);
                queue.push_back(*n);
            }
        }
        states.insert((m, machines), on);
    }
    states
}

#[test]
fn in_every_state_that_can_be_reached_at_most_one_copy_runs_and_every_end_is_clean() {
    let states = explore();
    let phases: HashSet<_> = states.keys().map(|(m, _)| m.phase).collect();
    assert_eq!(phases.len(), Phase::ALL.len(), "{phases:?}");
    for (m, machines) in states.keys() {
        let what = format!("{m:?} {machines:?}");
        assert!(!(m.source == Copy::Running && m.target == Copy::Running), "{what}");
        let end = match m.phase {
            Phase::Done => Some((Copy::Absent, Copy::Running)),
            Phase::RolledBack => Some((Copy::Running, Copy::Absent)),
            Phase::Failed => Some((Copy::Absent, Copy::Absent)),
            _ => None,
        };
        if let Some((source, target)) = end {
            assert_eq!((m.source, m.target), (source, target), "{what}");
            assert_eq!(*machines, Machines { source, target }, "what was believed is what is: {what}");
            assert_eq!(m.holds().count(), usize::from(m.phase != Phase::Failed), "{what}");
            assert!(EVENTS.iter().all(|e| step(m, e.1, NOW, &LIMITS) == Err(Refusal::Final)), "{what}");
            continue;
        }
        // The VM stands still in one phase alone.
        assert_eq!(m.runs_on().is_none(), m.phase == Phase::Redirecting, "{what}");
        // Before the end a lost host never takes the VM with it unless it was there alone.
        let (after, _) = step(m, Event::TargetLost, NOW, &LIMITS).unwrap();
        assert_eq!(after.runs_on(), Some(m.from), "{what}");
        let (after, _) = step(m, Event::SourceLost, NOW, &LIMITS).unwrap();
        assert_eq!(after.runs_on(), m.phase.is_at_target().then_some(m.to), "{what}");
    }
}

#[test]
fn every_phase_times_out_into_an_end() {
    for phase in Phase::ALL.into_iter().filter(|p| !p.is_over()) {
        let m = in_phase(phase);
        assert_eq!(step(&m, Event::TimedOut, 9, &LIMITS), Err(Refusal::TooEarly { left_ms: 1 }));
        let (next, _) = step(&m, Event::TimedOut, 10, &LIMITS).unwrap();
        assert!(next.phase.is_over(), "{} to {}", phase.name(), next.phase.name());
    }
}

#[test]
fn a_vm_is_not_moved_to_where_it_is() {
    assert_eq!(Migration::begin(HostId(3), HostId(3), 0), None);
}
