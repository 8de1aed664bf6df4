//! Rules about where VMs may run, over whole plans on random racks.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeSet;

use common::{OwnedInput, any_input, auto};
use foreshade_plan::{Planned, Policy, Site, Verdict, plan};
use foreshade_types::{Action, HoldReason, HostId, Rules, Scope, VmId};
use proptest::prelude::*;

/// Groups of every third, pins and opt-outs by the bits of a number each, so that most racks have some of all.
fn rules(x: &OwnedInput, seed: &[u8]) -> Rules {
    let ids: Vec<_> = x.vms.iter().map(|v| v.id).collect();
    let members =
        |bits: u8| ids.iter().enumerate().filter(move |(i, _)| bits >> (i % 8) & 1 == 1).map(|(_, v)| *v);
    let mut r = Rules::default()
        .keep_apart(Scope::Host, members(seed[0]).collect())
        .keep_apart(Scope::Domain, members(seed[1]).collect())
        .keep_together(members(seed[2] & seed[3]).collect());
    for vm in members(seed[4]) {
        r = r.pin(vm, [HostId(u32::from(seed[5]) % 4), HostId(u32::from(seed[5] / 4) % 4)].into());
    }
    members(seed[6] & seed[7]).fold(r, Rules::opt_out)
}

fn lands(p: &Planned) -> Option<HostId> {
    match p.action {
        Action::Migrate { to } | Action::CreateShadow { host: to, .. } => Some(to),
        _ => None,
    }
}

/// Policies under which something moves.
fn eager(shadows: bool) -> Policy {
    Policy {
        contention_price_millicores: 50_000,
        shadow_with_primary: shadows,
        shadows_per_rack: 12,
        shadow_idle_budget_percent: 100,
        ..auto()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

    /// Where each VM and its shadow is before the plan, is going, and will be: in none of these pictures, nor in any that mixes
    /// them, does the plan bring two VMs of a group together.
    #[test]
    fn no_plan_brings_vms_together_that_stay_apart(
        x in any_input(), seed in prop::collection::vec(any::<u8>(), 8), shadows in any::<bool>(),
    ) {
        let x = OwnedInput { site: Site { rules: rules(&x, &seed) }, ..x };
        let (p, _) = plan(&x.view(), &x.scores, &eager(shadows));
        let domain = |h: HostId| x.hosts[h.index()].domain;
        for (scope, group) in x.site.rules.apart() {
            for a in p.actions.iter().filter(|a| group.contains(&a.vm)) {
                let Some(to) = lands(a) else { continue };
                let near = |h: HostId| h == to || scope == Scope::Domain && domain(h) == domain(to);
                for other in x.vms.iter().filter(|v| v.id != a.vm && group.contains(&v.id)) {
                    let planned = p.actions.iter().filter(|b| b.vm == other.id).filter_map(lands);
                    let is = [Some(other.host), other.shadow.map(|s| s.place.host)].into_iter().flatten();
                    prop_assert!(!is.chain(planned).any(near), "{:?} beside {}", a, other.id);
                }
            }
        }
    }

    #[test]
    fn pins_and_opt_outs_hold_and_company_is_kept(
        x in any_input(), seed in prop::collection::vec(any::<u8>(), 8), shadows in any::<bool>(),
    ) {
        let x = OwnedInput { site: Site { rules: rules(&x, &seed) }, ..x };
        let rules = &x.site.rules;
        let (p, report) = plan(&x.view(), &x.scores, &eager(shadows));
        let pinned: BTreeSet<HostId> = [HostId(u32::from(seed[5]) % 4), HostId(u32::from(seed[5] / 4) % 4)].into();
        for a in &p.actions {
            let ends = matches!(a.action, Action::ReleaseShadow | Action::SuspendShadow | Action::ShiftBack { .. });
            let shifts = matches!(a.action, Action::ShiftTraffic { .. } | Action::ResumeShadow);
            prop_assert!(!rules.is_opted_out(a.vm) || ends || shifts, "{:?}", a);
            let place = x.vms.iter().position(|v| v.id == a.vm).unwrap();
            if let (Some(to), true) = (lands(a), seed[4] >> (place % 8) & 1 == 1) {
                prop_assert!(pinned.contains(&to), "{:?}", a);
            }
            if let Action::Migrate { to } = a.action {
                let home = |vm: VmId| x.vms.iter().find(|v| v.id == vm).unwrap().host;
                prop_assert!(rules.company(a.vm).all(|other| home(other) == to), "{:?}", a);
            }
        }
        for (vm, verdict) in &report.verdicts {
            let alone = x.vms.iter().any(|v| v.id == *vm && v.shadow.is_none());
            if rules.is_opted_out(*vm) && alone {
                prop_assert_eq!(*verdict, Verdict::Hold(HoldReason::OptedOut));
            }
        }
    }
}

#[test]
fn an_overrun_host_says_which_rule_keeps_its_vms() {
    let rack = || {
        let hosts = vec![common::host(0, 20_000, 40_000, 40_000), common::host(1, 0, 0, 0)];
        let mut other = common::vm(9, 1, 100);
        other.size.cpu.0 = 1000;
        let mut v = common::vm(0, 0, 3000);
        (v.allocation.cpu.0, v.memory) = (3030, None); // nothing to resize
        OwnedInput::new(vec![v, other], hosts)
    };
    let held = |rules: Rules| {
        let x = OwnedInput { site: Site { rules }, ..rack() };
        let (p, report) = plan(&x.view(), &x.scores, &auto());
        let moved = p.actions.iter().any(|a| a.vm == VmId(0) && lands(a).is_some());
        if moved { None } else { report.verdicts.iter().find(|v| v.0 == VmId(0)).map(|v| v.1) }
    };
    let both = || vec![VmId(0), VmId(9)];
    assert_eq!(held(Rules::default()), None, "it would move");
    let hold = |why| Some(Verdict::Hold(why));
    assert_eq!(held(Rules::default().keep_apart(Scope::Host, both())), hold(HoldReason::Apart));
    assert_eq!(held(Rules::default().keep_together(both())), None, "it comes to its company");
    assert_eq!(held(Rules::default().pin(VmId(0), [HostId(0)].into())), hold(HoldReason::Pinned));
    assert_eq!(held(Rules::default().opt_out(VmId(0))), hold(HoldReason::OptedOut));
}
