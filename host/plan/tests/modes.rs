//! Modes by kind of action: what is off is not said, what is advice is not sent, and the rest goes on.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeSet;

use common::{any_input, auto};
use foreshade_plan::{Mode, Modes, Policy, Verdict, plan};
use foreshade_types::{Action, HoldReason, VmId};
use proptest::prelude::*;

fn with(of: &[(&str, Mode)]) -> Policy {
    Policy { modes: Modes(of.iter().map(|(k, m)| ((*k).to_owned(), *m)).collect()), ..auto() }
}

fn any_modes() -> impl Strategy<Value = Policy> {
    let mode = prop::sample::select(vec![Mode::Off, Mode::Advise, Mode::Auto]);
    prop::collection::vec(mode, Action::NAMES.len()).prop_map(|modes| {
        let of: Vec<_> = Action::NAMES.into_iter().zip(modes).collect();
        with(&of)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn each_kind_of_action_follows_its_own_mode(x in any_input(), policy in any_modes()) {
        let (p, report) = plan(&x.view(), &x.scores, &policy);
        for a in &p.actions {
            prop_assert_eq!(policy.mode_of(a.action.name()), Mode::Auto, "{:?}", a);
        }
        for (a, why) in &report.advised {
            prop_assert_eq!((policy.mode_of(a.action.name()), *why), (Mode::Advise, HoldReason::Advise), "{:?}", a);
        }
        // A verdict says what became of the VM: so many actions sent, or why none was.
        let advised: BTreeSet<VmId> = report.advised.iter().map(|(a, _)| a.vm).collect();
        for (vm, verdict) in &report.verdicts {
            let sent = p.actions.iter().filter(|a| a.vm == *vm).count() as u32;
            match verdict {
                Verdict::Act(n) => prop_assert_eq!(*n, sent),
                Verdict::Hold(why) => {
                    prop_assert_eq!(sent, 0);
                    prop_assert_eq!(*why == HoldReason::Advise, advised.contains(vm));
                }
            }
        }
    }
}

/// A host that stays over its limit, one VM that would help, one host with room.
fn overload() -> common::OwnedInput {
    let vms = vec![common::vm(0, 0, 3000), common::vm(1, 0, 3000)];
    common::OwnedInput::new(vms, vec![common::host(0, 33_000, 33_000, 33_000), common::host(1, 0, 0, 0)])
}

#[test]
fn where_live_migration_is_off_a_shadow_is_what_is_left() {
    let x = overload();
    let named = |policy: &Policy, name: &str| {
        plan(&x.view(), &x.scores, policy).0.actions.iter().filter(|a| a.action.name() == name).count()
    };
    assert_eq!((named(&auto(), "migrate"), named(&auto(), "create-shadow")), (1, 0));
    let off = with(&[("migrate", Mode::Off)]);
    assert_eq!((named(&off, "migrate"), named(&off, "create-shadow")), (0, 1));
    let both = with(&[("migrate", Mode::Off), ("create-shadow", Mode::Off)]);
    let (_, report) = plan(&x.view(), &x.scores, &both);
    assert_eq!(report.unrelieved, [(foreshade_types::HostId(0), HoldReason::TurnedOff)], "and it says so");
}

#[test]
fn a_name_that_no_action_has_is_refused_and_the_names_are_told() {
    let e = with(&[("teleport", Mode::Auto)]).check().unwrap_err().to_string();
    assert!(e.contains("teleport") && e.contains("migrate, "), "{e}");
    with(&[("migrate", Mode::Off)]).check().unwrap();
}
