//! What every rack behind a controller must keep: a decision that does not fit changes nothing, both hosts pay for a
//! migration, a shadow's memory is held where it is, and nobody is granted more than there is.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use foreshade_enact::fakes::rack::{Demand, Rack, RackConfig};
use foreshade_enact::{Hypervisor, Observed};
use foreshade_types::{
    Action, Allocation, Decision, Disks, HostId, Mebibytes, Millicores, OutcomeKind, RackId, Reach, Reason,
    Resource, Rule, ShadowPhase, SyncState, Template, Tick, VmId, VmSize,
};
use proptest::prelude::*;

const MIN: u64 = 60_000;

fn decision(vm: u32, observed_host: u32, action: Action) -> Decision {
    Decision {
        epoch: 1,
        seq: 1,
        rack: RackId(0),
        caused_by: Tick(0),
        vm: VmId(vm),
        observed_host: HostId(observed_host),
        expires_at_ms: u64::MAX,
        action,
        reason: Reason {
            rule: Rule::HostPeak,
            resource: Resource::Cpu,
            quantile_permille: 950,
            horizon_s: 0,
            predicted: 0,
            threshold: 0,
            worth: Default::default(),
            rejected: vec![],
        },
    }
}

fn allocation(cpu: u64, memory: u64) -> Allocation {
    Allocation { cpu: Millicores(cpu), memory: Mebibytes(memory) }
}

fn demand(cpu: u64, memory: u64) -> Demand {
    Demand { cpu: Millicores(cpu), memory: Mebibytes(memory), sampled: true, ..Demand::default() }
}

/// Hosts of 8 cores and 8 GiB; VMs of 8 cores and 4 GiB where `on` says.
fn rack(hosts: u32, on: &[u32]) -> Rack {
    let config =
        RackConfig { host_cpu: Millicores(8000), host_memory: Mebibytes(8192), ..RackConfig::default() };
    let size = VmSize { cpu: Millicores(8000), memory: Mebibytes(4096) };
    let vms: Vec<_> = on.iter().enumerate().map(|(i, h)| (VmId(i as u32), size, HostId(*h))).collect();
    Rack::new(config, (0..hosts).map(HostId).collect(), &vms)
}

/// One of each action, all of which the rack would take if the VM were where they say.
fn every_action() -> [Action; 12] {
    let size = allocation(1000, 128);
    [
        Action::PreAllocate { to: size },
        Action::GiveBack { to: size },
        Action::CreateShadow { host: HostId(2), size },
        Action::Migrate { to: HostId(2) },
        Action::ShiftTraffic { share_percent: 50, size },
        Action::ShiftBack { size },
        Action::SuspendShadow,
        Action::ResumeShadow,
        Action::ReleaseShadow,
        Action::FailOver { host: HostId(2), size, generation: 1, hooks: 0 },
        Action::RecoverSync,
        Action::Restart { host: HostId(2), size, generation: 1 },
    ]
}

#[test]
fn a_decision_that_believes_the_vm_elsewhere_changes_nothing() {
    for with_shadow in [false, true] {
        let mut r = rack(3, &[0]);
        if with_shadow {
            let create = Action::CreateShadow { host: HostId(1), size: allocation(1000, 128) };
            assert_eq!(r.enact(0, &decision(0, 0, create)).0, OutcomeKind::Applied);
        }
        r.advance(0, 2 * MIN, true, |_| demand(2000, 1000));
        let before = format!("{r:?}");
        for action in every_action() {
            let outcome = r.enact(2 * MIN, &decision(0, 1, action));
            assert_eq!(outcome, (OutcomeKind::Precondition, 0), "{}", action.name());
            assert_eq!(before, format!("{r:?}"), "{} changed the rack", action.name());
        }
    }
}

#[test]
fn a_decision_for_a_vm_of_another_rack_changes_nothing() {
    let mut r = rack(3, &[0]);
    let before = format!("{r:?}");
    for action in every_action() {
        assert_eq!(r.enact(0, &decision(7, 0, action)), (OutcomeKind::Precondition, 0));
    }
    assert_eq!(before, format!("{r:?}"));
}

#[test]
fn a_migration_loads_the_host_it_goes_to() {
    let mut r = rack(2, &[0, 1]);
    r.advance(0, MIN, true, |v| if v.0 == 0 { demand(1000, 4000) } else { demand(8000, 1000) });
    assert_eq!(r.totals().contention_ms, 0, "both hosts carry what they have");
    // 4000 MiB at 500 - 20 MiB/s = 8.3 s: one sub-step, in which vm1 has 8000 of 8500 millicores asked of its host.
    assert_eq!(r.enact(MIN, &decision(0, 0, Action::Migrate { to: HostId(1) })).0, OutcomeKind::Applied);
    r.advance(MIN, 10_000, true, |v| if v.0 == 0 { demand(1000, 4000) } else { demand(8000, 1000) });
    let vm1 = r.observe(HostId(1)).into_iter().find(|o| o.vm == VmId(1)).unwrap();
    assert_eq!(vm1.cpu_used, Millicores(8000 * 8000 / 8500));
    assert_eq!(r.totals().contention_ms, 10_000, "vm1 pays for the move of vm0");
}

#[test]
fn a_migration_holds_memory_on_both_hosts_until_it_is_done() {
    let mut r = rack(3, &[0, 0, 2]);
    r.advance(0, MIN, true, |_| demand(1000, 4096));
    for vm in [0, 1] {
        assert_eq!(r.enact(MIN, &decision(vm, 0, Action::Migrate { to: HostId(1) })).0, OutcomeKind::Applied);
    }
    // Host 1 is promised 2 x 4096 MiB: no room for a third.
    let third = r.enact(MIN, &decision(2, 2, Action::Migrate { to: HostId(1) }));
    assert_eq!(third.0, OutcomeKind::NoCapacity);
}

#[test]
fn the_memory_of_a_shadow_counts_on_its_host() {
    let mut r = rack(2, &[0, 1]);
    r.advance(0, MIN, true, |_| demand(100, 4096));
    let shadow = |mib| Action::CreateShadow { host: HostId(1), size: allocation(1000, mib) };
    assert_eq!(r.enact(MIN, &decision(0, 0, shadow(4097))).0, OutcomeKind::NoCapacity);
    assert_eq!(r.enact(MIN, &decision(0, 0, shadow(4096))).0, OutcomeKind::Applied, "the rest of the host");
    r.advance(MIN, MIN, true, |_| demand(100, 4096));
    assert_eq!(r.totals().memory_contention_ms, 0);
    let before = *r.totals();
    assert_eq!(r.enact(2 * MIN, &decision(0, 0, Action::ReleaseShadow)).0, OutcomeKind::Applied);
    r.advance(2 * MIN, MIN, true, |_| demand(100, 4096));
    assert_eq!(r.totals().shadow_ms, before.shadow_ms, "a released shadow costs nothing more");
}

#[test]
fn everything_a_migration_and_a_shadow_hold_is_kept_from_the_next() {
    let mut r = rack(3, &[0, 1, 2]);
    r.advance(0, MIN, true, |_| demand(100, 4096));
    let create = Action::CreateShadow { host: HostId(1), size: allocation(1000, 4096) };
    assert_eq!(r.enact(MIN, &decision(0, 0, create)).0, OutcomeKind::Applied);
    let moved = r.enact(MIN, &decision(2, 2, Action::Migrate { to: HostId(1) }));
    assert_eq!(moved.0, OutcomeKind::NoCapacity, "the shadow of vm0 has the rest of host 1");
}

#[test]
fn a_shadow_is_never_made_beside_its_primary() {
    let mut r = rack(2, &[0]);
    let create = Action::CreateShadow { host: HostId(0), size: allocation(1000, 128) };
    assert_eq!(r.enact(0, &decision(0, 0, create)), (OutcomeKind::Precondition, 0));
}

#[test]
fn everything_a_shadow_held_is_free_again_after_its_release() {
    let mut r = rack(2, &[0]);
    let steady = |_| demand(2000, 1000);
    r.advance(0, MIN, false, steady);
    let reserved = |r: &mut Rack, from| {
        let before = r.totals().over_reserved_mc_ms;
        r.advance(from, MIN, true, steady);
        r.totals().over_reserved_mc_ms - before
    };
    let without = reserved(&mut r, MIN);
    let create = Action::CreateShadow { host: HostId(1), size: allocation(1000, 128) };
    r.enact(2 * MIN, &decision(0, 0, create));
    assert_eq!(reserved(&mut r, 2 * MIN), without + 1000 * u128::from(MIN), "a shadow is counted");
    r.enact(3 * MIN, &decision(0, 0, Action::ReleaseShadow));
    assert_eq!(reserved(&mut r, 3 * MIN), without);
}

fn phase(r: &Rack) -> Option<ShadowPhase> {
    r.observe(HostId(0))[0].shadow.map(|s| s.phase)
}

/// Host 1 carries a shadow of the VM on host 0, ready at the end of the first minute.
fn with_shadow() -> Rack {
    let mut r = rack(2, &[0]);
    let create = Action::CreateShadow { host: HostId(1), size: allocation(1000, 128) };
    assert_eq!(r.enact(0, &decision(0, 0, create)), (OutcomeKind::Applied, MIN));
    r
}

#[test]
fn a_shadow_boots_copies_and_warms_up_before_it_is_ready() {
    let mut r = with_shadow();
    let mut seen = Vec::new();
    for t in 0..6 {
        seen.push(phase(&r).unwrap());
        r.advance(t * 10_000, 10_000, true, |_| demand(1000, 100));
    }
    use ShadowPhase::{Provisioning, Syncing, Warm};
    assert_eq!(seen, [Provisioning, Provisioning, Provisioning, Syncing, Syncing, Warm]);
    assert_eq!(phase(&r), Some(ShadowPhase::Ready));
}

#[test]
fn a_shadow_inherits_its_vm_and_is_reached_by_nobody_else() {
    let r = with_shadow();
    let (vm, shadow) = r.templates(VmId(0)).unwrap();
    let shadow = shadow.unwrap();
    let made_of = |t: &Template| {
        let Template { image, os, machine, cpu_model, .. } = t.clone();
        (image, os, machine, cpu_model, t.size)
    };
    assert_eq!(made_of(shadow), made_of(vm), "the same guest, able to grow as large");
    assert_eq!((shadow.boot, shadow.disks), (allocation(1000, 128), Disks::Overlay), "and little of it");
    assert_eq!((shadow.reach, shadow.exposed), (Reach::PrimaryAndManager(VmId(0)), false));
    assert!(vm.exposed && vm.reach == Reach::Customer && vm.boot == vm.size.into());
    let other = rack(2, &[0, 0]);
    let image = |id| other.templates(VmId(id)).unwrap().0.image.clone();
    assert_ne!(image(0), image(1), "a template per primary");
}

#[test]
fn a_suspended_shadow_keeps_its_memory_and_no_cpu_until_it_is_resumed() {
    let mut r = with_shadow();
    assert_eq!(r.enact(0, &decision(0, 0, Action::SuspendShadow)).0, OutcomeKind::Precondition, "not ready");
    r.advance(0, MIN, true, |_| demand(1000, 4096));
    let held = |r: &mut Rack, from| {
        let before = *r.totals();
        r.advance(from, MIN, true, |_| demand(1000, 4096));
        let t = r.totals();
        let (mc, mib) = (
            t.over_reserved_mc_ms - before.over_reserved_mc_ms,
            t.over_reserved_mib_ms - before.over_reserved_mib_ms,
        );
        (mc / u128::from(MIN), mib / u128::from(MIN))
    };
    let ready = held(&mut r, MIN);
    assert_eq!(r.enact(2 * MIN, &decision(0, 0, Action::SuspendShadow)).0, OutcomeKind::Applied);
    assert_eq!(phase(&r), Some(ShadowPhase::Suspended));
    let suspended = held(&mut r, 2 * MIN);
    assert_eq!((ready.0 - suspended.0, ready.1 - suspended.1), (1000, 0));
    let shift = Action::ShiftTraffic { share_percent: 50, size: allocation(1000, 128) };
    assert_eq!(r.enact(3 * MIN, &decision(0, 0, shift)).0, OutcomeKind::Precondition, "its CPUs are stopped");
    // 20 s to copy, 10 s to warm up.
    assert_eq!(
        r.enact(3 * MIN, &decision(0, 0, Action::ResumeShadow)),
        (OutcomeKind::Applied, 3 * MIN + 30_000)
    );
    assert_eq!(phase(&r), Some(ShadowPhase::Syncing));
    assert_eq!(held(&mut r, 3 * MIN).0, ready.0);
    assert_eq!(phase(&r), Some(ShadowPhase::Ready));
}

#[test]
fn a_shadow_drains_before_it_is_ready_again() {
    let mut r = with_shadow();
    r.advance(0, MIN, true, |_| demand(4000, 100));
    let shift = Action::ShiftTraffic { share_percent: 50, size: allocation(2000, 128) };
    r.enact(MIN, &decision(0, 0, shift));
    assert_eq!(phase(&r), Some(ShadowPhase::Active), "under way");
    r.advance(MIN, MIN, true, |_| demand(4000, 100));
    assert_eq!(
        r.enact(2 * MIN, &decision(0, 0, Action::SuspendShadow)).0,
        OutcomeKind::Precondition,
        "in use"
    );
    r.enact(2 * MIN, &decision(0, 0, Action::ShiftBack { size: allocation(1000, 128) }));
    r.advance(2 * MIN, 10_000, true, |_| demand(4000, 100));
    assert_eq!(phase(&r), Some(ShadowPhase::Draining));
    assert_eq!(r.enact(2 * MIN + 10_000, &decision(0, 0, shift)).0, OutcomeKind::Precondition, "it drains");
    r.advance(2 * MIN + 10_000, 10_000, true, |_| demand(4000, 100));
    assert_eq!(phase(&r), Some(ShadowPhase::Ready));
}

#[test]
fn a_copy_that_lags_or_is_corrupt_takes_no_traffic_until_it_is_made_anew() {
    let faulty = |fault| Demand { copy_fault: Some(fault), ..demand(4000, 100) };
    let shift = Action::ShiftTraffic { share_percent: 50, size: allocation(2000, 128) };
    for fault in [SyncState::Behind, SyncState::Corrupt] {
        let mut r = with_shadow();
        r.advance(0, MIN, true, |_| demand(4000, 100));
        r.advance(MIN, MIN, true, |_| faulty(fault));
        let seen = r.observe(HostId(0))[0].shadow.unwrap();
        assert_eq!((seen.phase, seen.sync), (ShadowPhase::Syncing, fault));
        assert_eq!(r.enact(2 * MIN, &decision(0, 0, shift)).0, OutcomeKind::Precondition);
        r.advance(2 * MIN, 20_000, true, |_| demand(4000, 100));
        assert_eq!(phase(&r), Some(ShadowPhase::Warm));
        r.advance(2 * MIN + 20_000, 10_000, true, |_| demand(4000, 100));
        assert_eq!(phase(&r), Some(ShadowPhase::Ready));
    }
}

#[test]
fn a_stopped_vm_is_given_nothing_and_its_account_ends() {
    let mut r = rack(2, &[0]);
    r.advance(0, MIN, true, |_| demand(4000, 100));
    let before = *r.totals();
    r.advance(MIN, MIN, true, |_| Demand { stopped: true, ..demand(4000, 100) });
    let (o, t) = (r.observe(HostId(0))[0], r.totals());
    assert!(o.stopped && !o.sampled && o.cpu_used.0 + o.memory_used.0 == 0);
    assert_eq!((t.vm_ms, t.over_reserved_mc_ms), (before.vm_ms, before.over_reserved_mc_ms));
    assert_eq!(t.over_reserved_mib_ms, before.over_reserved_mib_ms);
}

#[test]
fn a_resize_within_the_latency_of_another_does_not_undo_it() {
    let mut r = rack(1, &[0]);
    r.enact(0, &decision(0, 0, Action::GiveBack { to: allocation(1000, 4096) }));
    r.advance(0, 10_000, false, |_| demand(1000, 100));
    // Each second a little more, as on samples of one second: each takes effect 5 s after it was asked for.
    for s in 10..20u64 {
        r.enact(s * 1000, &decision(0, 0, Action::PreAllocate { to: allocation(s * 200, 4096) }));
        r.advance(s * 1000, 1000, false, |_| demand(8000, 100));
        let granted = r.observe(HostId(0))[0].cpu_used.0;
        assert_eq!(granted, if s < 15 { 1000 } else { (s - 5) * 200 }, "second {s}");
    }
}

#[derive(Debug, Clone)]
struct Move {
    vm: u32,
    believed: u32,
    action: Action,
}

fn any_allocation() -> impl Strategy<Value = Allocation> {
    (0u64..12_000, 0u64..6000).prop_map(|(c, m)| allocation(c, m))
}

fn any_move() -> impl Strategy<Value = Move> {
    let action = prop_oneof![
        any_allocation().prop_map(|to| Action::PreAllocate { to }),
        any_allocation().prop_map(|to| Action::GiveBack { to }),
        (0u32..5, any_allocation()).prop_map(|(h, size)| Action::CreateShadow { host: HostId(h), size }),
        Just(Action::ReleaseShadow),
        Just(Action::SuspendShadow),
        Just(Action::ResumeShadow),
        (0u8..=100, any_allocation())
            .prop_map(|(share_percent, size)| Action::ShiftTraffic { share_percent, size }),
        any_allocation().prop_map(|size| Action::ShiftBack { size }),
        (0u32..5).prop_map(|h| Action::Migrate { to: HostId(h) }),
    ];
    (0u32..7, 0u32..4, action).prop_map(|(vm, believed, action)| Move { vm, believed, action })
}

fn all(r: &Rack) -> Vec<Observed> {
    r.hosts().iter().flat_map(|h| r.observe(*h)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    /// Whatever is decided on whatever demand: nobody is granted more than it asks for or is allocated, no host gives
    /// more than it has, used + throttled is the demand, no VM is lost, and the account of time is complete.
    #[test]
    fn nobody_is_granted_more_than_there_is(
        on in prop::collection::vec(0u32..4, 1..6),
        steps in prop::collection::vec((prop::collection::vec((0u64..=8000, 0u64..=4096), 6), prop::collection::vec(any_move(), 0..6)), 1..12),
    ) {
        let mut r = rack(4, &on);
        for (i, (wants, moves)) in steps.iter().enumerate() {
            let now = i as u64 * 10_000;
            for m in moves {
                // Half of them believe the VM where it is, the rest somewhere.
                let here = all(&r).iter().find(|o| o.vm.0 == m.vm).map(|o| o.host.0);
                let believed = if m.believed % 2 == 0 { here.unwrap_or(9) } else { m.believed };
                let before = format!("{r:?}");
                let (kind, at) = r.enact(now, &decision(m.vm, believed, m.action));
                if kind == OutcomeKind::Applied {
                    prop_assert!(at >= now);
                } else {
                    prop_assert_eq!(at, 0);
                    prop_assert_eq!(before, format!("{r:?}"), "a refused decision changed the rack");
                }
            }
            let moving = all(&r).iter().any(|o| o.migrating);
            r.advance(now, 10_000, true, |v| demand(wants[v.index()].0, wants[v.index()].1));
            let seen = all(&r);
            prop_assert_eq!(seen.len(), on.len());
            let granted: u64 = seen.iter().map(|o| o.cpu_used.0).sum();
            prop_assert!(granted <= 4 * 8000);
            // A VM that switched host in this interval is seen where it is now.
            for host in (0..4).filter(|_| !moving) {
                let without_shadows = r.observe(HostId(host));
                let memory: u64 = without_shadows.iter().map(|o| o.memory_used.0).sum();
                prop_assert!(memory <= 8192, "host {} gives {} MiB", host, memory);
                if seen.iter().all(|o| o.shadow.is_none()) {
                    let cpu: u64 = without_shadows.iter().map(|o| o.cpu_used.0).sum();
                    prop_assert!(cpu <= 8000, "host {} gives {} millicores", host, cpu);
                }
            }
            for o in &seen {
                let (cpu, memory) = wants[o.vm.index()];
                prop_assert_eq!((o.cpu_used + o.cpu_throttled).0, cpu);
                prop_assert_eq!((o.memory_used + o.memory_throttled).0, memory);
                prop_assert!(o.allocation.cpu.0 <= 8000 && o.allocation.memory.0 <= 4096);
            }
        }
        let t = r.totals();
        prop_assert_eq!(t.vm_ms, on.len() as u64 * steps.len() as u64 * 10_000);
        prop_assert!(t.contention_ms <= t.vm_ms);
        prop_assert!(t.cpu_contention_ms.max(t.memory_contention_ms) <= t.contention_ms);
        prop_assert!(t.contention_ms <= t.cpu_contention_ms + t.memory_contention_ms);
    }

    /// Without shadows and with a settled allocation, the grant is at most the allocation.
    #[test]
    fn a_grant_is_at_most_the_allocation(cpu in 0u64..=8000, memory in 0u64..=4096, to in any_allocation()) {
        let mut r = rack(1, &[0]);
        r.enact(0, &decision(0, 0, Action::GiveBack { to }));
        r.advance(0, 10_000, false, |_| demand(cpu, memory));
        r.advance(10_000, MIN, true, |_| demand(cpu, memory));
        let o = r.observe(HostId(0))[0];
        prop_assert_eq!(o.cpu_used.0, cpu.min(to.cpu.0).min(8000));
        prop_assert_eq!(o.memory_used.0, memory.min(to.memory.0).min(4096));
    }
}
