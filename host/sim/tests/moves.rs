//! Migrations: the rack's are those of the state machine, and the planner comes to know what they take.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use foreshade_enact::Hypervisor;
use foreshade_enact::fakes::rack::{Demand, Rack, RackConfig};
use foreshade_plan::migration::{Event, Limits, Migration, step};
use foreshade_types::{
    Action, Decision, HostId, Mebibytes, Millicores, MovePhase, RackId, Reason, Resource, Rule, Tick, VmId,
    VmSize,
};
use proptest::prelude::*;

const VM: VmId = VmId(0);
const LIMITS: Limits = Limits {
    prepare_ms: u64::MAX,
    snapshot_ms: u64::MAX,
    transfer_ms: u64::MAX,
    redirect_ms: u64::MAX,
    verify_ms: u64::MAX,
    finalise_ms: u64::MAX,
    window_ms: 30_000,
};

fn migrate() -> Decision {
    let (rule, resource) = (Rule::HostOverload, Resource::Cpu);
    let (quantile_permille, horizon_s, predicted, threshold) = (950, 0, 0, 0);
    let (worth, rejected) = (Default::default(), vec![]);
    Decision {
        epoch: 1,
        seq: 1,
        rack: RackId(0),
        caused_by: Tick(0),
        vm: VM,
        observed_host: HostId(0),
        expires_at_ms: u64::MAX,
        action: Action::Migrate { to: HostId(1) },
        reason: Reason {
            rule,
            resource,
            quantile_permille,
            horizon_s,
            predicted,
            threshold,
            worth,
            rejected,
        },
    }
}

/// The event by which the machine follows the rack one phase on.
fn towards(from: MovePhase, to: MovePhase) -> Event {
    use MovePhase::{Done, Kept, RolledBack};
    match (from, to) {
        (_, RolledBack) => Event::StepFailed,
        (Kept, Done) => Event::TimedOut,
        (_, Done) => Event::StepFailed,
        (MovePhase::Preparing, _) => Event::Prepared,
        (MovePhase::Snapshotting, _) => Event::SnapshotTaken,
        (MovePhase::Transferring, _) => Event::Converged,
        (MovePhase::Redirecting, _) => Event::Switched,
        (MovePhase::Verifying, _) => Event::Verified,
        _ => Event::Finalised,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn the_rack_moves_as_the_state_machine_does(
        memory in 500u64..20_000,
        cpu in 100u64..8_000,
        bandwidth in 200u64..1_000,
        fault in prop::option::of(prop::sample::select(&MovePhase::ALL[..7])),
        back_at in prop::option::of(0u64..200),
    ) {
        let config = RackConfig {
            substep_ms: 100,
            migration_mib_s: bandwidth,
            migration_prepare_ms: 500,
            ..RackConfig::default()
        };
        let size = VmSize { cpu: Millicores(8000), memory: Mebibytes(32_768) };
        let mut rack = Rack::new(config, vec![HostId(0), HostId(1)], &[(VM, size, HostId(0))]);
        let demand = |_| Demand { cpu: Millicores(cpu), memory: Mebibytes(memory), sampled: true, ..Demand::default() };
        rack.advance(0, 100, true, demand);
        let applied = rack.enact(100, &migrate()).0 == foreshade_types::OutcomeKind::Applied;
        prop_assert_eq!(applied, (bandwidth - cpu / 50) * 10 >= bandwidth, "refused where it would not converge");
        if !applied {
            return Ok(());
        }
        if let Some(f) = fault {
            rack.fail_move(VM, f);
        }
        let mut m = Migration::begin(HostId(0), HostId(1), 100).unwrap().0;
        for i in 0..4_000 {
            let now = 100 + i * 100;
            rack.advance(now, 100, true, demand);
            if back_at.is_some_and(|b| m.phase == MovePhase::Kept && now >= m.entered_ms + b * 100) {
                prop_assert!(rack.go_back(VM));
                m = step(&m, Event::GoBack, now, &LIMITS).unwrap().0;
            }
            let phase = rack.moving(VM).unwrap();
            for _ in 0..8 {
                if m.phase == phase {
                    break;
                }
                // The rack keeps time itself.
                let event = if m.phase.is_over() { Event::GoBack } else { towards(m.phase, phase) };
                let at = if event == Event::TimedOut { m.entered_ms + LIMITS.window_ms } else { now };
                let next = step(&m, event, at, &LIMITS);
                prop_assert!(next.is_ok(), "{:?} to {}: {:?}", m, phase.name(), next);
                m = next.unwrap().0;
            }
            prop_assert_eq!(m.phase, phase);
            let seen: Vec<_> = [0, 1].map(HostId).into_iter().filter(|h| !rack.observe(*h).is_empty()).collect();
            // While it stands still it is told of at its source.
            prop_assert_eq!(seen, vec![m.runs_on().unwrap_or(HostId(0))]);
            let held: Vec<_> = [0, 1].map(HostId).into_iter().filter(|h| rack.memory_held(*h).0 > 0).collect();
            let mut holds: Vec<_> = m.holds().collect();
            holds.sort();
            prop_assert_eq!(held, holds);
        }
        prop_assert!(m.phase.is_over());
    }
}
