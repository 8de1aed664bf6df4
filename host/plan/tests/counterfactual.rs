//! The count of decisions that a forecast has changed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)]
mod common;

use common::{OwnedInput, auto, forecast, host, vm};
use foreshade_plan::{Changed, MoveScore, VmView, changed, plan};
use foreshade_types::Millicores;

/// What the forecast changed, and what was planned with it.
fn of(x: &OwnedInput) -> Changed {
    let (p, _) = plan(&x.view(), &x.scores, &auto());
    changed(&x.view(), p.actions.iter(), &auto())
}

/// VMs that have just what they use.
fn snug(id: u32, cpu: u64) -> VmView {
    let v = vm(id, 0, cpu);
    let mut allocation = v.allocation;
    allocation.cpu = Millicores(cpu * 101 / 100);
    allocation.memory.0 = 1024 * 105 / 100;
    VmView { allocation, ..v }
}

#[test]
fn a_forecast_that_says_what_the_last_sample_says_changes_nothing() {
    let x = OwnedInput::new(vec![snug(0, 1000), snug(1, 2000)], vec![host(0, 3000, 3000, 3000)]);
    assert_eq!(of(&x), Changed { vm_ticks: 2, other_action: 0, other_size: 0 });
}

#[test]
fn a_forecast_that_grows_a_vm_ahead_of_its_demand_counts() {
    let rises = VmView { cpu: forecast(3000), ..snug(0, 1000) };
    let x = OwnedInput::new(vec![rises, snug(1, 2000)], vec![host(0, 3000, 3000, 3000)]);
    assert_eq!(of(&x), Changed { vm_ticks: 2, other_action: 1, other_size: 0 });
    // Both would grow it; the forecast further.
    let short = VmView { cpu_demand: Millicores(1500), ..rises };
    let x = OwnedInput::new(vec![short], vec![host(0, 3000, 3000, 3000)]);
    assert_eq!(of(&x), Changed { vm_ticks: 1, other_action: 0, other_size: 1 });
}

#[test]
fn a_move_that_only_the_forecast_asks_for_counts_and_one_that_both_ask_for_does_not() {
    let full = |load| {
        let hosts = vec![host(0, load, 33_000, 33_000), host(1, 0, 0, 0)];
        let mut x = OwnedInput::new(vec![snug(0, 3000)], hosts);
        x.scores = vec![MoveScore::default(); 200];
        of(&x).other_action
    };
    assert_eq!((full(20_000), full(33_000)), (1, 0));
}
