//! Every step of a simulated migration, with and without a fault in it: the VM is on one host, and what the move held is
//! free afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use foreshade_enact::Hypervisor;
use foreshade_enact::fakes::rack::{Demand, Rack, RackConfig};
use foreshade_types::{
    Action, Decision, HostId, Mebibytes, Millicores, MovePhase, OutcomeKind, RackId, Reason, Resource, Rule,
    Tick, VmId, VmSize,
};

const VM: VmId = VmId(0);
const STEP: u64 = 1_000;

fn config() -> RackConfig {
    RackConfig {
        host_cpu: Millicores(8000),
        substep_ms: STEP,
        migration_prepare_ms: 1_000,
        migration_verify_ms: 1_000,
        migration_finalise_ms: 1_000,
        rollback_window_ms: 10_000,
        downtime_ms: 1_000,
        ..RackConfig::default()
    }
}

fn rack() -> Rack {
    let size = VmSize { cpu: Millicores(8000), memory: Mebibytes(8192) };
    let mut r = Rack::new(config(), vec![HostId(0), HostId(1)], &[(VM, size, HostId(0))]);
    r.advance(0, STEP, true, demand);
    r
}

fn demand(_: VmId) -> Demand {
    Demand { cpu: Millicores(4000), memory: Mebibytes(4000), sampled: true, ..Demand::default() }
}

fn migrate(r: &mut Rack, now_ms: u64) -> (OutcomeKind, u64) {
    let (rule, resource) = (Rule::HostOverload, Resource::Cpu);
    let (quantile_permille, horizon_s, predicted, threshold) = (950, 0, 0, 0);
    let (worth, rejected) = (Default::default(), vec![]);
    let reason =
        Reason { rule, resource, quantile_permille, horizon_s, predicted, threshold, worth, rejected };
    let decision = Decision {
        epoch: 1,
        seq: 1,
        rack: RackId(0),
        caused_by: Tick(0),
        vm: VM,
        observed_host: HostId(0),
        expires_at_ms: u64::MAX,
        action: Action::Migrate { to: HostId(1) },
        reason,
    };
    r.enact(now_ms, &decision)
}

/// Where the VM is seen: on exactly one host.
fn on(r: &Rack) -> HostId {
    let seen: Vec<_> = [0, 1].into_iter().filter(|h| !r.observe(HostId(*h)).is_empty()).collect();
    assert_eq!(seen.len(), 1, "on {seen:?}");
    HostId(seen[0])
}

fn held(r: &Rack) -> [u64; 2] {
    [0, 1].map(|h| r.memory_held(HostId(h)).0)
}

/// Runs on until the move is over or a minute has passed; returns the phases seen.
fn run(r: &mut Rack, from_ms: u64) -> Vec<MovePhase> {
    let mut seen = vec![r.moving(VM).unwrap()];
    for t in 0..60 {
        r.advance(from_ms + t * STEP, STEP, true, demand);
        on(r);
        let phase = r.moving(VM).unwrap();
        if *seen.last().unwrap() != phase {
            seen.push(phase);
        }
    }
    seen
}

#[test]
fn a_migration_goes_through_every_step_and_leaves_nothing_behind() {
    use MovePhase::*;
    let mut r = rack();
    assert_eq!(held(&r), [4000, 0]);
    // 1 s to prepare, 4000 MiB at 500 - 80 MiB/s, 1 s of standstill.
    assert_eq!(migrate(&mut r, STEP), (OutcomeKind::Applied, STEP + 1_000 + 9_523 + 1_000));
    assert_eq!(held(&r), [4000, 4000], "room is reserved at once");
    let way = [Preparing, Snapshotting, Transferring, Redirecting, Verifying, Finalising, Kept, Done];
    assert_eq!(run(&mut r, STEP), way);
    assert_eq!((on(&r), held(&r)), (HostId(1), [0, 4000]));
    assert!(!r.observe(HostId(1))[0].migrating);
}

#[test]
fn a_fault_in_any_step_ends_clean() {
    for phase in MovePhase::ALL.into_iter().filter(|p| *p < MovePhase::Done) {
        let mut r = rack();
        migrate(&mut r, STEP);
        assert!(r.fail_move(VM, phase), "{}", phase.name());
        let seen = run(&mut r, STEP);
        // Once it is known to work at the target, what fails is only the way back.
        let there = phase >= MovePhase::Finalising;
        let (end, host) = if there { (MovePhase::Done, 1) } else { (MovePhase::RolledBack, 0) };
        assert_eq!((*seen.last().unwrap(), on(&r)), (end, HostId(host)), "{}", phase.name());
        let alone = if there { [0, 4000] } else { [4000, 0] };
        assert_eq!(held(&r), alone, "{}: everything is released", phase.name());
        let from = on(&r);
        assert_eq!(r.observe(from)[0].cpu_used, Millicores(4000), "{}: it runs in full", phase.name());
        assert!(!r.observe(from)[0].migrating);
    }
}

#[test]
fn going_back_works_while_the_source_is_kept_and_not_after() {
    let mut r = rack();
    assert!(!r.go_back(VM), "it has not moved");
    migrate(&mut r, STEP);
    let mut now = STEP;
    while r.moving(VM) != Some(MovePhase::Kept) {
        assert!(now < 60 * STEP, "the source is never kept");
        r.advance(now, STEP, true, demand);
        now += STEP;
    }
    assert_eq!((on(&r), held(&r)), (HostId(1), [4000, 4000]), "the source is kept");
    let mut late = r.clone();
    assert!(r.go_back(VM));
    assert_eq!((on(&r), held(&r), r.moving(VM)), (HostId(0), [4000, 0], Some(MovePhase::RolledBack)));
    assert!(!r.go_back(VM), "once");
    late.advance(now, 10 * STEP, true, demand);
    assert_eq!((late.moving(VM), late.go_back(VM)), (Some(MovePhase::Done), false));
    assert_eq!((on(&late), held(&late)), (HostId(1), [0, 4000]));
}

#[test]
fn a_vm_that_is_stopped_on_its_way_leaves_nothing_at_its_target() {
    let mut r = rack();
    migrate(&mut r, STEP);
    for t in 1..40 {
        r.advance(t * STEP, STEP, true, |_| Demand { stopped: true, ..demand(VM) });
    }
    assert_eq!(held(&r), [0, 0]);
}
