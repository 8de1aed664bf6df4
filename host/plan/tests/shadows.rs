//! Shadows as the planner makes, keeps and gives them up: how large, where, at what price, and never against their state
//! machine.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{NOW, OwnedInput, TICK_MS, any_input, auto, host, shadow, vm};
use foreshade_plan::lifecycle::{Event, Shadow, due, step};
use foreshade_plan::{Bound, MoveScore, Policy, Verdict, VmView, needed_shadows, plan};
use foreshade_types::{
    Action, Allocation, HoldReason, HostId, Mebibytes, Millicores, Pool, Rule, ShadowPhase, VmId, VmSize,
};
use proptest::prelude::*;

fn sized(cores: u64, gib: u64) -> VmView {
    let size = VmSize { cpu: Millicores(cores * 1000), memory: Mebibytes(gib * 1024) };
    VmView { size, allocation: size.into(), ..vm(0, 0, 500) }
}

fn holds(cpu: u64, mib: u64) -> Allocation {
    Allocation { cpu: Millicores(cpu), memory: Mebibytes(mib) }
}

#[test]
fn an_idle_shadow_has_a_sixteenth_of_the_cpu_and_a_thirty_second_of_the_memory() {
    let p = Policy::default();
    assert_eq!(p.idle_shadow(&sized(64, 256)), holds(4000, 8192));
    assert_eq!(p.idle_shadow(&sized(16, 64)), holds(1000, 2048));
    // The floor is one core, and never more than the VM itself.
    assert_eq!(p.idle_shadow(&sized(4, 16)), holds(1000, 512));
    let small = VmSize { cpu: Millicores(500), memory: Mebibytes(32) };
    assert_eq!(p.idle_shadow(&VmView { size: small, ..vm(0, 0, 100) }), holds(500, 32));
    let other = Policy { shadow_cpu_divisor: 8, shadow_memory_divisor: 4, ..p };
    assert_eq!(other.idle_shadow(&sized(64, 256)), holds(8000, 65_536));
}

#[test]
fn a_footprint_grows_with_the_migrations_of_its_vm() {
    let p = Policy { shadow_growth_percent_per_move: 25, ..Policy::default() };
    let of = |moves| p.idle_shadow(&VmView { moves, ..sized(64, 256) });
    assert_eq!([of(0), of(1), of(4)], [holds(4000, 8192), holds(5000, 10_240), holds(8000, 16_384)]);
    let most = p.idle_shadow(&VmView { moves: 1000, ..sized(64, 256) });
    assert_eq!(most, holds(64_000, 262_144), "never more than the VM");
}

#[test]
fn a_fail_over_target_has_what_its_vm_is_forecast_to_need() {
    let p = Policy { shadow_failover: true, ..Policy::default() };
    let bound = Bound { q50: 1000, q90: 2000, q95: 2500, q99: 3500 };
    let mut v = sized(8, 32);
    v.cpu.peak = bound;
    v.memory.as_mut().unwrap().peak = Bound { q99: 9000, ..bound };
    assert_eq!(p.shadow_size(&v), holds(3500, 9000));
    v.cpu.peak.q99 = 99_000;
    v.memory = None;
    assert_eq!(p.shadow_size(&v), holds(8000, 32_768), "its size at most; memory that is not forecast whole");
    v.cpu.peak.q99 = 10;
    assert_eq!(p.shadow_size(&v).cpu, Millicores(1000), "never under the idle footprint");
}

/// Host 0 peaks over its limit for a short time and VM 0's shadow would end that; host 1 has room.
fn peaking() -> OwnedInput {
    let mut over = host(0, 10_000, 0, 10_000);
    over.peak = Bound { q50: 10_000, q90: 33_000, q95: 34_000, q99: 36_000 };
    // It has what it needs: no resize is due.
    let v = VmView { allocation: holds(3030, 1075), ..vm(0, 0, 3000) };
    let mut x = OwnedInput::new(vec![v], vec![over, host(1, 0, 0, 0)]);
    let relieved = Bound { q50: 8000, q90: 20_000, q95: 21_000, q99: 22_000 };
    x.scores = vec![MoveScore { source: relieved, target: Bound::default() }; 200];
    x
}

fn decided(x: &OwnedInput, policy: &Policy) -> (Vec<Action>, Verdict) {
    let (p, report) = plan(&x.view(), &x.scores, policy);
    (p.actions.iter().map(|a| a.action).collect(), report.verdicts[0].1)
}

fn creates(x: &OwnedInput, policy: &Policy) -> bool {
    decided(x, policy).0.iter().any(|a| matches!(a, Action::CreateShadow { .. }))
}

#[test]
fn a_shadow_is_made_when_what_it_saves_is_worth_more_than_it_holds() {
    // 13.5 % of 6 cores is less than the one core that it holds; of 12 it is more.
    let x = peaking();
    let at = |price| Policy { contention_price_millicores: price, ..auto() };
    assert_eq!(decided(&x, &at(6000)).1, Verdict::Hold(HoldReason::NotWorth));
    let (p, _) = plan(&x.view(), &x.scores, &at(12_000));
    let reason = p.actions.iter().find(|a| matches!(a.action, Action::CreateShadow { .. })).unwrap();
    assert!(reason.reason.worth.pays());
    assert!(reason.reason.to_string().contains("; worth 1.62 cores for 1.00;"), "{}", reason.reason);
}

#[test]
fn a_cost_cap_and_an_idle_budget_block_creation_and_say_which() {
    let x = peaking();
    let dear = Policy { contention_price_millicores: 100_000, ..auto() };
    assert!(creates(&x, &dear));
    let capped = Policy { shadow_cost_cap_millicores: 999, ..dear.clone() };
    assert!(!creates(&x, &capped));
    let mut no_move = x.clone();
    no_move.migrations_left = 0;
    // Nothing else helps either, and the account names what was tried last: a migration without budget.
    assert_eq!(decided(&no_move, &capped).1, Verdict::Hold(HoldReason::Budget));
    let quiet = |shadow_cost_cap_millicores, shadow_idle_budget_percent| Policy {
        shadow_with_primary: true,
        shadow_cost_cap_millicores,
        shadow_idle_budget_percent,
        ..auto()
    };
    let calm = OwnedInput::new(vec![vm(0, 0, 3000)], vec![host(0, 0, 0, 0), host(1, 0, 0, 0)]);
    assert!(creates(&calm, &quiet(1000, 2)), "one core of 64 is less than 2 %");
    assert!(!creates(&calm, &quiet(999, 2)) && !creates(&calm, &quiet(1000, 1)));
}

#[test]
fn a_shadow_is_kept_only_while_it_is_worth_its_cost() {
    let mut x = peaking();
    // The host may run over, and is not likely to: its shadow waits.
    x.hosts[0].peak = Bound { q50: 10_000, q90: 28_000, q95: 30_000, q99: 33_000 };
    x.vms[0].shadow = Some(shadow(0, 1, ShadowPhase::Ready, 90, NOW.0 - 3));
    let at = |price| Policy { contention_price_millicores: price, ..auto() };
    let suspends = |price| {
        let (p, _) = plan(&x.view(), &x.scores, &at(price));
        p.actions.into_iter().find(|a| a.action == Action::SuspendShadow)
    };
    let needed = |price| needed_shadows(&x.view(), &x.scores, &at(price));
    assert_eq!((needed(60_000), suspends(60_000)), (vec![VmId(0)], None));
    assert_eq!(needed(6000), []);
    let why = suspends(6000).unwrap().reason;
    assert_eq!(why.rule, Rule::ShadowIdle);
    assert!(why.to_string().contains("worth 0.22 cores for 1.00"), "{why}");
}

#[test]
fn a_suspended_shadow_gives_way_to_one_that_is_needed() {
    let mut x = peaking();
    let asleep = VmView { shadow: Some(shadow(1, 0, ShadowPhase::Suspended, 90, 90)), ..vm(1, 1, 100) };
    x.vms.push(asleep);
    let dear = Policy { contention_price_millicores: 100_000, shadows_per_rack: 1, ..auto() };
    let (p, _) = plan(&x.view(), &x.scores, &dear);
    let of = |id| p.actions.iter().filter(move |a| a.vm == VmId(id));
    assert!(of(1).any(|a| a.action == Action::ReleaseShadow && a.reason.rule == Rule::ShadowOverBudget));
    assert!(of(0).any(|a| matches!(a.action, Action::CreateShadow { .. })));
    x.vms[1].shadow = Some(shadow(1, 0, ShadowPhase::Ready, 99, 99));
    assert!(!creates(&x, &dear), "one that is ready does not");
}

#[test]
fn a_suspended_shadow_is_resumed_instead_of_making_another() {
    let mut x = peaking();
    x.vms[0].shadow = Some(shadow(0, 1, ShadowPhase::Suspended, 90, 90));
    let dear = Policy { contention_price_millicores: 100_000, ..auto() };
    assert_eq!(decided(&x, &dear).0.first(), Some(&Action::ResumeShadow));
    let cheap = Policy { contention_price_millicores: 100, ..auto() };
    assert!(!decided(&x, &cheap).0.contains(&Action::ResumeShadow));
}

#[test]
fn an_idle_shadow_is_suspended_then_terminated_and_an_old_one_terminated() {
    let calm = |s: Shadow| {
        let v = VmView { shadow: Some(s), ..vm(0, 0, 3000) };
        OwnedInput::new(vec![v], vec![host(0, 0, 0, 0), host(1, 0, 0, 0)])
    };
    let rule = |s, policy: &Policy| {
        let x = calm(s);
        let (p, _) = plan(&x.view(), &x.scores, policy);
        let of_shadow =
            |a: &&foreshade_plan::Planned| matches!(a.action, Action::SuspendShadow | Action::ReleaseShadow);
        p.actions.iter().find(of_shadow).map(|a| (a.action, a.reason.rule))
    };
    let p = auto();
    let ready = |created, needed| shadow(0, 1, ShadowPhase::Ready, created, needed);
    assert_eq!(rule(ready(90, NOW.0 - 2), &p), None, "needed a short while ago");
    assert_eq!(rule(ready(90, NOW.0 - 3), &p), Some((Action::SuspendShadow, Rule::ShadowIdle)));
    let at_once = Policy { shadow_suspend_ticks: 0, ..auto() };
    assert_eq!(rule(ready(90, NOW.0 - 3), &at_once), Some((Action::ReleaseShadow, Rule::ShadowIdle)));
    let old = Policy { max_shadow_age_ticks: 50, ..auto() };
    assert_eq!(rule(ready(50, NOW.0 - 3), &old), Some((Action::ReleaseShadow, Rule::ShadowAged)));
    assert_eq!(rule(ready(51, NOW.0 - 3), &old), Some((Action::SuspendShadow, Rule::ShadowIdle)));
    let asleep = |since| shadow(0, 1, ShadowPhase::Suspended, 60, since);
    assert_eq!(rule(asleep(NOW.0 - 11), &p), None);
    assert_eq!(rule(asleep(NOW.0 - 12), &p), Some((Action::ReleaseShadow, Rule::ShadowIdle)));
    let stuck = shadow(0, 1, ShadowPhase::Provisioning, NOW.0 - 2, NOW.0 - 2);
    assert_eq!(rule(stuck, &p), Some((Action::ReleaseShadow, Rule::ShadowFailed)), "600 s to boot");
}

/// The event that an action on a shadow is, where the state machine has a say in it.
fn event(a: &Action) -> Option<Event> {
    match *a {
        Action::ShiftTraffic { share_percent, size } => Some(Event::TrafficShifted { share_percent, size }),
        Action::ShiftBack { size } => Some(Event::TrafficShiftedBack { size }),
        Action::SuspendShadow => Some(Event::Suspended),
        Action::ResumeShadow => Some(Event::Needed),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    /// With shadows of every kind wanted and dear, whatever is decided is a step of the state machine.
    #[test]
    fn every_action_on_a_shadow_is_a_step_of_its_state_machine(x in any_input(), with_primary: bool) {
        let policy = Policy { contention_price_millicores: 50_000, shadow_with_primary: with_primary, ..auto() };
        let limits = policy.shadow_limits(TICK_MS);
        let (p, _) = plan(&x.view(), &x.scores, &policy);
        for a in &p.actions {
            let v = x.vms.iter().find(|v| v.id == a.vm).unwrap();
            let Some(s) = v.shadow else {
                prop_assert!(event(&a.action).is_none() && a.action != Action::ReleaseShadow, "no shadow: {:?}", a);
                continue;
            };
            prop_assert!(!matches!(a.action, Action::CreateShadow { .. } | Action::Migrate { .. }), "{:?}", a);
            if let Some(e) = event(&a.action) {
                prop_assert!(step(&s, e, NOW.0 * TICK_MS, &limits).is_ok(), "{:?} of {:?}", a, s);
            }
            if a.action == Action::ReleaseShadow && s.phase == ShadowPhase::Active {
                prop_assert!(v.stopped, "a shadow that serves is terminated with its VM alone: {:?}", a);
            }
        }
    }

    /// Never on the primary's host, in its failure domain, or on a host of another pool.
    #[test]
    fn shadows_and_vms_stay_in_their_pools_and_apart(x in any_input(), with_primary: bool) {
        let policy = Policy { contention_price_millicores: 50_000, shadow_with_primary: with_primary, ..auto() };
        let (p, _) = plan(&x.view(), &x.scores, &policy);
        for a in &p.actions {
            let v = x.vms.iter().find(|v| v.id == a.vm).unwrap();
            let of = |h: HostId| x.hosts.iter().find(|x| x.id == h).unwrap();
            match a.action {
                Action::CreateShadow { host, .. } => {
                    prop_assert_ne!(host, v.host);
                    prop_assert_ne!(of(host).domain, of(v.host).domain);
                    prop_assert!(of(host).up, "a host that is lost takes nothing");
                    let takes = match of(host).pool {
                        Pool::General | Pool::Shadow => true,
                        Pool::Dedicated(c) => v.customer == Some(c),
                    };
                    prop_assert!(takes, "{:?} on {:?}", v, of(host));
                }
                Action::Migrate { to } => {
                    prop_assert_ne!(of(to).pool, Pool::Shadow, "reserved for shadows");
                    prop_assert!(of(to).up, "a host that is lost takes nothing");
                    prop_assert!(!matches!(of(to).pool, Pool::Dedicated(c) if v.customer != Some(c)));
                }
                _ => {}
            }
        }
    }

    /// Dies with its primary from every phase; nothing else is done for a stopped VM.
    #[test]
    fn the_shadow_of_a_stopped_vm_is_terminated_and_nothing_else_is_done(x in any_input()) {
        let (p, _) = plan(&x.view(), &x.scores, &Policy { shadow_with_primary: true, ..auto() });
        for v in x.vms.iter().filter(|v| v.stopped) {
            let of: Vec<_> = p.actions.iter().filter(|a| a.vm == v.id).map(|a| (a.action, a.reason.rule)).collect();
            let want = v.shadow.map(|_| (Action::ReleaseShadow, Rule::PrimaryGone));
            prop_assert_eq!(of, want.into_iter().collect::<Vec<_>>());
        }
    }

    /// What is made or resumed for a forecast is worth its cost, and the reason tells both numbers.
    #[test]
    fn every_shadow_made_for_a_forecast_pays(x in any_input(), price in 1_000u64..100_000) {
        let policy = Policy { contention_price_millicores: price, ..auto() };
        let (p, _) = plan(&x.view(), &x.scores, &policy);
        for a in &p.actions {
            if matches!(a.action, Action::CreateShadow { .. } | Action::ResumeShadow) {
                prop_assert!(a.reason.worth.pays(), "{}", a.reason);
                prop_assert!(a.reason.to_string().contains(&a.reason.worth.to_string()));
            }
        }
    }

    /// A shadow that stays is one whose time has not come: nothing that is due is forgotten.
    #[test]
    fn what_is_due_is_decided(x in any_input()) {
        let policy = auto();
        let limits = policy.shadow_limits(TICK_MS);
        let (p, _) = plan(&x.view(), &x.scores, &policy);
        for v in x.vms.iter().filter(|v| !v.stopped && v.stale_ticks <= policy.max_stale_ticks) {
            let Some(s) = v.shadow.filter(|s| s.phase == ShadowPhase::Suspended) else { continue };
            if due(&s, NOW.0 * TICK_MS, &limits).is_some() {
                prop_assert!(p.actions.iter().any(|a| a.vm == v.id
                    && matches!(a.action, Action::ReleaseShadow | Action::ResumeShadow)));
            }
        }
    }
}

#[test]
fn a_policy_for_shadows_that_cannot_be_followed_is_refused_by_name() {
    let d = Policy::default;
    assert_eq!(d().check(), Ok(()));
    for (policy, key) in [
        (Policy { synchronization_interval_s: 0, ..d() }, "synchronization_interval_s = 0"),
        (Policy { warmup_interval_s: 604_801, ..d() }, "warmup_interval_s = 604801"),
        (Policy { shadow_provision_limit_s: 0, ..d() }, "shadow_provision_limit_s = 0"),
        (Policy { shadow_sync_limit_s: 86_401, ..d() }, "shadow_sync_limit_s = 86401"),
        (Policy { shadow_warm_up_limit_s: 0, ..d() }, "shadow_warm_up_limit_s = 0"),
        (Policy { shadow_drain_limit_s: 0, ..d() }, "shadow_drain_limit_s = 0"),
        (Policy { shadow_suspend_ticks: u64::MAX, ..d() }, "shadow_suspend_ticks"),
        (Policy { max_shadow_age_ticks: u64::MAX, ..d() }, "max_shadow_age_ticks"),
        (Policy { shadow_idle_budget_percent: 101, ..d() }, "shadow_idle_budget_percent = 101"),
        (Policy { shadow_growth_percent_per_move: 1001, ..d() }, "shadow_growth_percent_per_move = 1001"),
        (Policy { max_downtime_s: u64::MAX, ..d() }, "max_downtime_s"),
    ] {
        let e = policy.check().unwrap_err().to_string();
        assert!(e.contains(key) && !e.contains('\n'), "{e}");
    }
}
