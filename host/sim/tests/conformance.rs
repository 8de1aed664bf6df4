//! The rack knows what its shadows do; the appliance knows what flags and outcomes tell it, and walks its own state machine.
//! Whatever happens to the copies, the VMs and the load, the two agree at every sample.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use foreshade_sim::scenario::{Run, Script, run};
use foreshade_types::{Action, ShadowPhase, SyncState};
use proptest::prelude::*;

/// A fault: 0 = the copy lags, 1 = it is corrupt, 2 = the VM is stopped; from a tick, for so many.
type Fault = (u8, u64, u64);

/// Two VMs that peak together, with faults at any time.
fn script(cadence: u64, vms: &[(u64, u64, Vec<Fault>)], policy: (bool, u64, u64, u64)) -> String {
    let (with_primary, price, idle, suspend) = policy;
    let mut s = format!(
        "cadence {cadence}\nwarm-up 144\nend 230\nhosts 3 cores 8 gib 64\nmemory fixed\n\
         policy shadow_with_primary {with_primary}\npolicy contention_price_millicores {price}\n\
         policy shadow_idle_ticks {idle}\npolicy shadow_suspend_ticks {suspend}\n"
    );
    for (i, (period, length, faults)) in vms.iter().enumerate() {
        let _ = write!(
            s,
            "vm v{i} cores 8 gib 8 on 0\n  cpu 1.5\n  cpu 4.5 every {period} at 3 for {length}\n  memory 2\n"
        );
        for (kind, from, length) in faults {
            let kind = ["behind", "corrupt", "stopped"][usize::from(*kind)];
            let _ = writeln!(s, "  {kind} from {from} to {}", from + length);
        }
    }
    s
}

fn any_script() -> impl Strategy<Value = String> {
    let faults = prop::collection::vec((0u8..3, 144u64..225, 1u64..15), 0..5);
    let vm = (10u64..40, 1u64..9, faults);
    let policy = (any::<bool>(), prop::sample::select(vec![2_000u64, 6_000, 40_000]), 1u64..6, 0u64..10);
    (prop::sample::select(vec![10u64, 60, 300]), prop::collection::vec(vm, 2), policy)
        .prop_map(|(cadence, vms, policy)| script(cadence, &vms, policy))
}

/// Both agree at every sample; returns the phases seen.
fn agree(r: &Run) -> Result<BTreeSet<(ShadowPhase, SyncState)>, TestCaseError> {
    let mut seen = BTreeSet::new();
    for s in &r.steps {
        for o in &s.observed {
            let believed = s.shadows.get(&o.vm);
            let (b, k) = (believed.map(|b| (b.phase, b.sync)), o.shadow.map(|x| (x.phase, x.sync)));
            // A copy that was never begun and one that lags are the same to the appliance.
            let k = k.map(|(p, c)| {
                (
                    p,
                    if c == SyncState::Never && p != ShadowPhase::Provisioning {
                        SyncState::Behind
                    } else {
                        c
                    },
                )
            });
            prop_assert_eq!(b, k, "{} at {}", o.vm, s.tick);
            seen.extend(k);
        }
        for (d, o) in s.decisions.iter().zip(&s.outcomes) {
            let of_shadow = !matches!(d.action, Action::PreAllocate { .. } | Action::GiveBack { .. });
            prop_assert!(!of_shadow || o.kind == foreshade_types::OutcomeKind::Applied, "{:?}: {:?}", d, o);
        }
    }
    Ok(seen)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn the_appliance_believes_what_the_rack_does(text in any_script()) {
        agree(&run(&Script::parse(&text).unwrap()).unwrap())?;
    }
}

#[test]
fn a_run_with_faults_goes_through_every_phase() {
    let text =
        script(10, &[(30, 6, vec![(0, 175, 4), (1, 186, 4)]), (30, 6, vec![])], (false, 40_000, 3, 30));
    let seen = agree(&run(&Script::parse(&text).unwrap()).unwrap()).unwrap();
    let phases: BTreeSet<_> = seen.iter().map(|s| s.0).collect();
    use ShadowPhase::{Active, Draining, Provisioning, Ready, Suspended, Syncing};
    for p in [Provisioning, Syncing, Ready, Active, Draining, Suspended] {
        assert!(phases.contains(&p), "{} is missing: {phases:?}", p.name());
    }
    assert!(seen.iter().any(|s| s.1 == SyncState::Corrupt), "{seen:?}");
}
