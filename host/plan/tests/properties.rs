//! What holds for every plan, whatever the rack, the forecasts and the scores.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeSet;

use common::{any_input, auto};
use foreshade_plan::{
    Bound, Mode, MoveQuery, Named, PlanInput, Policy, Verdict, VmView, candidates, plan, wanted,
};
use foreshade_types::{Action, HoldReason, HostId, Readiness, Rule, ShadowPhase, VmId};
use proptest::prelude::*;

fn find(vms: &[VmView], id: VmId) -> &VmView {
    vms.iter().find(|v| v.id == id).expect("a planned VM is in the input")
}

/// May nothing be decided about this VM?
fn blind(v: &VmView, policy: &Policy) -> bool {
    v.readiness == Readiness::Cold || v.stale_ticks > policy.max_stale_ticks
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn the_same_input_gives_the_same_plan(x in any_input()) {
        prop_assert_eq!(plan(&x.view(), &x.scores, &auto()), plan(&x.view(), &x.scores, &auto()));
    }

    #[test]
    fn allocations_stay_between_the_floor_and_the_size(x in any_input()) {
        let policy = auto();
        let (p, _) = plan(&x.view(), &x.scores, &policy);
        for a in &p.actions {
            let v = find(&x.vms, a.vm);
            if let Action::PreAllocate { to } | Action::GiveBack { to } = a.action {
                prop_assert!(to.cpu <= v.size.cpu && to.memory <= v.size.memory);
                // What is kept as it is may lie below the floor already.
                prop_assert!(to.cpu.0 >= policy.floor_millicores || to.cpu == v.allocation.cpu);
                prop_assert!(to.memory.0 >= policy.floor_mib || to.memory == v.allocation.memory);
            }
        }
    }

    #[test]
    fn memory_is_never_taken_below_the_working_set(x in any_input()) {
        let (p, _) = plan(&x.view(), &x.scores, &auto());
        for a in &p.actions {
            let v = find(&x.vms, a.vm);
            if let Action::PreAllocate { to } | Action::GiveBack { to } = a.action {
                prop_assert!(to.memory >= v.memory_demand.min(v.allocation.memory), "{:?} of {:?}", a, v);
                if to.memory < v.allocation.memory {
                    prop_assert!(to.memory >= v.memory_demand);
                }
                if v.memory.is_none() {
                    prop_assert_eq!(to.memory, v.allocation.memory, "memory that is not managed is left alone");
                }
            }
        }
    }

    #[test]
    fn a_pre_allocation_grows_and_a_give_back_only_shrinks(x in any_input()) {
        let (p, _) = plan(&x.view(), &x.scores, &auto());
        for a in &p.actions {
            let has = find(&x.vms, a.vm).allocation;
            match a.action {
                Action::PreAllocate { to } => prop_assert!(to.cpu > has.cpu || to.memory > has.memory),
                Action::GiveBack { to } => {
                    prop_assert!(to.cpu <= has.cpu && to.memory <= has.memory && to != has);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn nothing_is_moved_or_shadowed_onto_its_own_host(x in any_input()) {
        let policy = auto();
        for q in candidates(&x.view(), &policy) {
            prop_assert!(q.back || q.to != find(&x.vms, q.vm).host, "{:?} is not worth scoring", q);
        }
        let (p, _) = plan(&x.view(), &x.scores, &policy);
        for a in &p.actions {
            let v = find(&x.vms, a.vm);
            prop_assert_eq!(a.host, v.host);
            if let Action::Migrate { to } | Action::CreateShadow { host: to, .. } = a.action {
                prop_assert_ne!(to, v.host);
                prop_assert!(x.hosts.iter().any(|h| h.id == to));
                prop_assert!(v.shadow.is_none(), "one relief at a time");
            }
        }
    }

    #[test]
    fn no_host_is_the_target_of_two_moves_in_a_tick(x in any_input()) {
        // A shortage is so dear that shadows are worth their cost.
        let policy = Policy { contention_price_millicores: 50_000, ..auto() };
        let (p, _) = plan(&x.view(), &x.scores, &policy);
        let mut taken: BTreeSet<HostId> = BTreeSet::new();
        let mut moved: BTreeSet<VmId> = BTreeSet::new();
        for a in &p.actions {
            if let Action::Migrate { to } | Action::CreateShadow { host: to, .. } = a.action {
                prop_assert!(taken.insert(to), "{} takes two", to);
                prop_assert!(moved.insert(a.vm), "{} is moved twice", a.vm);
            }
        }
    }

    #[test]
    fn the_budgets_hold(x in any_input()) {
        let policy = auto();
        let (p, _) = plan(&x.view(), &x.scores, &policy);
        let n = |f: fn(&Action) -> bool| p.actions.iter().filter(|a| f(&a.action)).count();
        let moves = n(|a| matches!(a, Action::Migrate { .. }));
        prop_assert!(moves <= x.migrations_left as usize);
        let had = x.vms.iter().filter(|v| v.shadow.is_some()).count();
        let made = n(|a| matches!(a, Action::CreateShadow { .. }));
        prop_assert!(made == 0 || had + made <= policy.shadows_per_rack as usize);
    }

    #[test]
    fn a_vm_that_rests_or_is_on_its_way_is_not_moved(x in any_input()) {
        let (p, _) = plan(&x.view(), &x.scores, &auto());
        for a in &p.actions {
            let v = find(&x.vms, a.vm);
            if matches!(a.action, Action::Migrate { .. } | Action::CreateShadow { .. }) {
                prop_assert!(!v.cool_down && !v.migrating, "{:?} of {:?}", a, v);
            }
        }
    }

    #[test]
    fn what_a_device_names_is_tried_and_else_the_least_loaded_hosts(x in any_input(), at in 0usize..64) {
        let (policy, view) = (auto(), x.view());
        let all = wanted(&view, &policy);
        prop_assume!(!all.is_empty());
        let what = all[at % all.len()];
        let shortlist = [Named { what, to: HostId(77) }];
        let of = |queries: Vec<MoveQuery>| {
            let mine = queries.into_iter().filter(|q| q.vm == what.vm && q.share_percent == what.share_percent);
            mine.map(|q| q.to).collect::<Vec<_>>()
        };
        let tried = of(candidates(&PlanInput { shortlist: &shortlist, ..view }, &policy));
        prop_assert_eq!(tried[0], HostId(77), "first");
        prop_assert!(of(candidates(&view, &policy)).iter().all(|h| *h != HostId(77)));
    }

    #[test]
    fn a_move_fits_its_target(x in any_input()) {
        let policy = auto();
        let queries = candidates(&x.view(), &policy);
        let (p, _) = plan(&x.view(), &x.scores, &policy);
        for a in &p.actions {
            let (to, share) = match a.action {
                Action::Migrate { to } => (to, 100),
                Action::CreateShadow { host, .. } => (host, policy.shift_percent),
                _ => continue,
            };
            let asked = |q: &foreshade_plan::MoveQuery| {
                q.vm == a.vm && q.to == to && q.share_percent == share && !q.back
            };
            let i = queries.iter().position(asked).expect("a move that was scored");
            let cap = 32_000 * policy.target_limit_percent / 100;
            prop_assert!(x.scores[i].target.at(policy.host_quantile_permille) <= cap);
        }
    }

    #[test]
    fn nothing_is_resized_moved_or_shadowed_on_cold_or_stale_data(x in any_input()) {
        let policy = auto();
        let (p, report) = plan(&x.view(), &x.scores, &policy);
        for a in &p.actions {
            use Action::{ReleaseShadow, ResumeShadow, ShiftBack, ShiftTraffic, SuspendShadow};
            let shadows = matches!(a.action, ShiftTraffic { .. } | ShiftBack { .. } | ReleaseShadow | SuspendShadow | ResumeShadow);
            let growth = !shadows;
            prop_assert!(!(growth && blind(find(&x.vms, a.vm), &policy)), "{:?}", a);
        }
        for (v, (id, verdict)) in x.vms.iter().zip(&report.verdicts) {
            prop_assert_eq!(v.id, *id);
            if v.shadow.is_none() && blind(v, &policy) {
                prop_assert!(matches!(verdict, Verdict::Hold(_)));
            }
        }
    }

    #[test]
    fn every_vm_has_one_verdict_and_it_counts_its_actions(x in any_input()) {
        let (p, report) = plan(&x.view(), &x.scores, &auto());
        let ids: Vec<_> = report.verdicts.iter().map(|v| v.0).collect();
        prop_assert_eq!(ids, x.vms.iter().map(|v| v.id).collect::<Vec<_>>());
        for (id, verdict) in &report.verdicts {
            let n = p.actions.iter().filter(|a| a.vm == *id).count();
            match verdict {
                Verdict::Act(k) => prop_assert_eq!(*k as usize, n),
                Verdict::Hold(_) => prop_assert_eq!(n, 0),
            }
        }
        let held: u64 = report.holds().values().sum();
        let acted = report.verdicts.iter().filter(|v| matches!(v.1, Verdict::Act(_))).count();
        prop_assert_eq!(held as usize + acted, x.vms.len());
    }

    #[test]
    fn every_action_says_why(x in any_input()) {
        let (p, _) = plan(&x.view(), &x.scores, &auto());
        for a in &p.actions {
            let text = a.reason.to_string();
            prop_assert!(text.starts_with(a.reason.rule.text()) && text.contains(" against "), "{}", text);
            prop_assert!(a.reason.rejected.len() <= 3);
            for r in &a.reason.rejected {
                let not = format!("not {} ({})", r.alternative.name(), r.why.text());
                prop_assert!(text.contains(&not));
            }
        }
    }

    #[test]
    fn modes_advise_and_off_send_nothing_and_advise_says_all(x in any_input()) {
        let (sent, _) = plan(&x.view(), &x.scores, &auto());
        for mode in [Mode::Advise, Mode::Off] {
            let (p, report) = plan(&x.view(), &x.scores, &Policy { mode, ..auto() });
            prop_assert!(p.actions.is_empty());
            if mode == Mode::Advise {
                let said: Vec<_> = report.advised.iter().map(|(p, _)| p.clone()).collect();
                prop_assert_eq!(&said, &sent.actions);
            } else {
                prop_assert!(report.advised.is_empty());
            }
            let acted = sent.actions.iter().map(|a| a.vm).collect::<BTreeSet<_>>().len();
            let why = if mode == Mode::Advise { HoldReason::Advise } else { HoldReason::TurnedOff };
            let advise = report.holds().get(&why).copied().unwrap_or(0);
            prop_assert_eq!(advise as usize, acted);
        }
    }

    /// More need, or less confidence asked for, never takes a shadow away. (A load that stays is for a migration, so the
    /// median is kept low.)
    #[test]
    fn shadow_creation_is_monotone_in_need_and_in_confidence(
        need in 0u64..40_000, more in 0u64..20_000, tail in 0u64..20_000,
    ) {
        let creates = |q95: u64, q99: u64, permille: u16| {
            let mut peaks = common::host(0, 10_000, 0, 10_000);
            peaks.peak = Bound { q50: 10_000, q90: q95.max(10_000), q95: q95.max(10_000), q99: q99.max(10_000) };
            let vms = vec![common::vm(0, 0, 3000)];
            let x = common::OwnedInput::new(vms, vec![peaks, common::host(1, 0, 0, 0)]);
            // A shortage is so dear that every shadow is worth its cost.
            let policy = Policy {
                shadow_creation_threshold_permille: permille,
                contention_price_millicores: 1_000_000,
                ..auto()
            };
            let (p, _) = plan(&x.view(), &x.scores, &policy);
            p.actions.iter().any(|a| matches!(a.action, Action::CreateShadow { .. }))
        };
        let limit = 32_000 * auto().host_limit_percent / 100;
        prop_assert_eq!(creates(need, need + tail, 990), need + tail > limit);
        prop_assert!(creates(need + more, need + more + tail, 990) >= creates(need, need + tail, 990));
        prop_assert!(creates(need, need + tail, 990) >= creates(need, need + tail, 950));
    }

    /// All that a full host gives as fair share is at most what it has, but for the floor.
    #[test]
    fn the_fair_share_fits_the_host(needs in prop::collection::vec(0u64..=4000, 9..14)) {
        let vms: Vec<_> = needs.iter().enumerate().map(|(i, n)| common::vm(i as u32, 0, *n)).collect();
        let load: u64 = needs.iter().sum();
        let mut full = common::host(0, load, load, load);
        full.cpu.0 = 16_000;
        let mut idle = common::host(1, 0, 0, 0);
        idle.cpu.0 = 16_000;
        let mut x = common::OwnedInput::new(vms, vec![full, idle]);
        x.scores.clear(); // no move is known to help
        let policy = Policy { margin_percent: 0, grow_band_percent: 0, give_back_band_percent: 0, ..auto() };
        let (p, _) = plan(&x.view(), &x.scores, &policy);
        let shared: Vec<_> = p.actions.iter().filter(|a| a.reason.rule == Rule::FairShare).collect();
        prop_assert_eq!(load > 16_000, !shared.is_empty());
        if load > 16_000 {
            let given = |v: &VmView| p.actions.iter().find(|a| a.vm == v.id).map_or(v.allocation.cpu.0, |a| match a.action {
                Action::PreAllocate { to } | Action::GiveBack { to } => to.cpu.0,
                _ => v.allocation.cpu.0,
            });
            let floors = x.vms.len() as u64 * policy.floor_millicores;
            let sum: u64 = x.vms.iter().map(given).sum();
            prop_assert!(sum <= 16_000 + floors, "{} of 16000", sum);
            // Max-min: nobody who is cut has less than someone who is not.
            let least_cut = shared.iter().map(|a| given(find(&x.vms, a.vm))).min().unwrap_or(0);
            for v in x.vms.iter().filter(|v| shared.iter().all(|a| a.vm != v.id)) {
                prop_assert!(given(v) <= least_cut.max(policy.floor_millicores));
            }
        }
    }
}

#[test]
fn a_shadow_in_use_stays_while_telemetry_is_stale() {
    // A shadow that serves traffic is not taken from under a VM whose telemetry is stale.
    let mut v = common::vm(0, 0, 100);
    v.stale_ticks = 9;
    v.shadow = Some(common::shadow(0, 1, ShadowPhase::Active, 0, 0));
    let x = common::OwnedInput::new(vec![v], vec![common::host(0, 0, 0, 0), common::host(1, 0, 0, 0)]);
    let (p, report) = plan(&x.view(), &x.scores, &auto());
    assert!(p.actions.is_empty(), "{p:?}");
    assert_eq!(report.verdicts, [(VmId(0), Verdict::Hold(HoldReason::Stale))]);
}
