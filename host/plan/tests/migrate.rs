//! What a move is expected to take, and which moves are not made because of it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)]
mod common;

use common::{OwnedInput, auto, host, sure, vm};
use foreshade_plan::migrate::{Bandwidth, Precopy, ROUNDS_MAX, SENT_MAX};
use foreshade_plan::{MoveScore, Policy, Verdict, VmView, plan};
use foreshade_types::{Action, Alternative, HoldReason, HostId, Mebibytes, VmId, VmSize};
use proptest::prelude::*;

fn of(memory_mib: u64, dirty_mib_s: u64, bandwidth_mib_s: u64) -> Precopy {
    Precopy { memory_mib, dirty_mib_s, bandwidth_mib_s, standstill_ms: 300 }
}

#[test]
fn rounds_are_those_of_the_paper() {
    // 1000, 250, 62.5 MiB; what is left after each at a quarter of the bandwidth: 250, 62.5 (313 ms), 15.6 (79 ms).
    let e = of(1000, 50, 200).estimate();
    assert_eq!((e.rounds, e.standstill_ms, e.converges), (3, 79, true));
    assert_eq!((e.duration_ms, e.sent_kib), (6563 + 79, 1_024_000 + 256_000 + 64_000 + 16_000));
    let idle = of(1000, 0, 500).estimate();
    assert_eq!((idle.rounds, idle.duration_ms, idle.standstill_ms), (1, 2000, 0));
    assert!(!of(100_000, 500, 500).estimate().converges, "as fast as it is copied");
    assert!(!of(100_000, 450, 500).estimate().converges, "more than three times its memory is sent");
    assert!(of(100, 450, 500).estimate().converges, "what is written in 200 ms is 90 MiB");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    /// Akoush et al.: between `M / B` and `5 M / B` in all, and at most `M / B` at a standstill.
    #[test]
    fn an_estimate_keeps_the_bounds(memory in 1u64..4_000_000, dirty in 0u64..2_000, bandwidth in 1u64..4_000) {
        let e = of(memory, dirty, bandwidth).estimate();
        let whole_ms = memory * 1000 / bandwidth;
        prop_assert!(e.duration_ms >= whole_ms && e.duration_ms <= 5 * (whole_ms + 1) + 2, "{e:?}");
        prop_assert!(e.standstill_ms <= whole_ms + 1, "{e:?}");
        prop_assert!(e.rounds <= ROUNDS_MAX && e.sent_kib <= (SENT_MAX + 2) * memory * 1024, "{e:?}");
        prop_assert!(!e.converges || e.standstill_ms <= 300, "{e:?}");
        // More memory, more writing or less bandwidth never makes it shorter.
        let slower = of(memory, dirty, bandwidth.div_ceil(2)).estimate();
        prop_assert!(!slower.converges || slower.duration_ms >= e.duration_ms, "{e:?} {slower:?}");
    }

    /// `M / (B - D)` is what pre-copy takes when its rounds go on to the end: a model that knows no rounds.
    #[test]
    fn what_was_learnt_from_a_few_moves_tells_the_next_within_a_fifth(
        bandwidth in 80u64..3_000,
        moves in prop::collection::vec((2_000u64..200_000, 0u64..60), 4..12),
        next in (2_000u64..200_000, 0u64..60),
    ) {
        let policy = Policy::default();
        let took_ms = |(memory, percent): (u64, u64)| memory * 1000 / (bandwidth - bandwidth * percent / 100);
        let dirty = |percent: u64| bandwidth * percent / 100;
        let mut b = Bandwidth::default();
        moves.iter().for_each(|m| b.learn(m.0, dirty(m.1), took_ms(*m), &policy));
        let e = of(next.0, dirty(next.1), b.mib_s(&policy)).estimate();
        let took = took_ms(next);
        prop_assert!(e.duration_ms * 5 >= took * 4 && e.duration_ms * 5 <= took * 6, "{e:?} took {took}");
    }
}

#[test]
fn a_measurement_that_cannot_be_is_bounded_and_forgotten() {
    let policy = Policy::default();
    let mut b = Bandwidth::default();
    assert_eq!(b.mib_s(&policy), 500, "until something is measured");
    b.learn(1_000_000, 0, 1, &policy);
    assert_eq!(b.mib_s(&policy), 4000);
    b.learn(0, 0, 1000, &policy);
    b.learn(1000, 0, 0, &policy);
    assert_eq!(b.mib_s(&policy), 4000, "nothing was copied");
    (0..Bandwidth::KEPT).for_each(|_| b.learn(3000, 100, 15_000, &policy));
    assert_eq!(b.mib_s(&policy), 300);
}

/// Host 0 runs over for long; moving any of its VMs to host 1 suffices.
fn overloaded(change: impl Fn(&mut VmView)) -> OwnedInput {
    let mut x = OwnedInput::new(
        vec![vm(0, 0, 3_000), vm(1, 0, 3_000)],
        vec![host(0, 33_000, 34_000, 34_000), host(1, 1_000, 1_000, 1_000)],
    );
    for v in &mut x.vms {
        v.size = VmSize { memory: Mebibytes(2_000_000), ..v.size };
        v.allocation.memory = Mebibytes(2_000_000);
        change(v);
    }
    x.hosts.iter_mut().for_each(|h| h.memory = Mebibytes(4_000_000));
    x.scores = vec![MoveScore { source: sure(30_000), target: sure(4_000) }; 200];
    x
}

fn decided(x: &OwnedInput, policy: &Policy) -> (Vec<Action>, Verdict, Vec<(HostId, HoldReason)>) {
    let (p, r) = plan(&x.view(), &x.scores, policy);
    let moves = |a: &Action| !matches!(a, Action::GiveBack { .. } | Action::PreAllocate { .. });
    (p.actions.into_iter().map(|a| a.action).filter(moves).collect(), r.verdicts[0].1, r.unrelieved)
}

/// A rack that may hold no shadow.
fn no_shadows() -> Policy {
    Policy { shadows_per_rack: 0, ..auto() }
}

#[test]
fn a_move_that_would_not_converge_is_not_made_and_a_shadow_is() {
    let quiet = overloaded(|_| {});
    assert!(matches!(decided(&quiet, &auto()).0[..], [Action::Migrate { .. }]));
    let busy = overloaded(|v| (v.memory_demand, v.dirty_mib_s) = (Mebibytes(100_000), 480));
    let (actions, ..) = decided(&busy, &auto());
    assert!(matches!(actions[..], [Action::CreateShadow { .. }]), "{actions:?}");
    let (p, _) = plan(&busy.view(), &busy.scores, &auto());
    let made = p.actions.iter().find(|a| matches!(a.action, Action::CreateShadow { .. })).unwrap();
    let why = |a| made.reason.rejected.iter().find(|r| r.alternative == a).map(|r| r.why);
    assert_eq!(why(Alternative::Migrate), Some(HoldReason::WouldNotConverge));
    let (actions, _, unrelieved) = decided(&busy, &no_shadows());
    assert_eq!((actions, unrelieved), (vec![], vec![(HostId(0), HoldReason::WouldNotConverge)]));
}

#[test]
fn of_two_vms_the_one_whose_move_ends_is_moved() {
    let x = overloaded(|v| {
        if v.id == VmId(0) {
            (v.memory_demand, v.dirty_mib_s) = (Mebibytes(90_000), 480);
        } else {
            v.memory_demand = Mebibytes(100_000);
        }
    });
    let (p, _) = plan(&x.view(), &x.scores, &auto());
    let moved = p.actions.iter().find(|a| matches!(a.action, Action::Migrate { .. })).unwrap();
    assert_eq!(moved.vm, VmId(1));
    assert_eq!((moved.reason.worth.move_s, moved.reason.worth.pays()), (209, true), "{}", moved.reason);
}

#[test]
fn a_move_that_ends_after_what_it_prevents_is_not_made() {
    // 500 MiB/s: 900,000 MiB take 30 min, 1,800,000 an hour; the peak comes within 30 min and stays for an hour.
    let at = |mib, load| {
        let mut x = overloaded(|v| (v.memory_demand, v.dirty_mib_s) = (Mebibytes(mib), 0));
        x.hosts[0].load.0 = load;
        decided(&x, &no_shadows())
    };
    assert!(matches!(at(899_000, 20_000).0[..], [Action::Migrate { .. }]));
    assert_eq!(at(901_000, 20_000).2, [(HostId(0), HoldReason::TooLate)]);
    // It is over its limit already: what comes within the hour still helps.
    assert!(matches!(at(901_000, 33_000).0[..], [Action::Migrate { .. }]));
    assert_eq!(at(1_801_000, 33_000).2, [(HostId(0), HoldReason::TooLate)]);
}

#[test]
fn a_move_that_costs_more_than_it_saves_is_not_made() {
    let x = overloaded(|v| (v.memory_demand, v.dirty_mib_s) = (Mebibytes(800_000), 0));
    assert!(matches!(decided(&x, &no_shadows()).0[..], [Action::Migrate { .. }]));
    // 2 x 0.5 cores for 1600 of 1800 s are 0.89 cores.
    let cheap = Policy { contention_price_millicores: 880, ..no_shadows() };
    assert_eq!(decided(&x, &cheap).2, [(HostId(0), HoldReason::MoveNotWorth)]);
}
