//! Migrations that are not started: back where the VM came from, or more at once than a host bears.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)]
mod common;

use common::{OwnedInput, auto, host, vm};
use foreshade_plan::{HostView, Policy, Trail, VmView, plan};
use foreshade_types::{Action, HoldReason, HostId};

fn left(h: u32) -> Trail {
    let mut trail = Trail::default();
    trail.left[0] = Some(HostId(h));
    trail
}

/// Host 0 stays over its limit; hosts 1 and 2 have room.
fn overload() -> OwnedInput {
    let vms = vec![vm(0, 0, 3000), vm(1, 0, 3000)];
    let full = host(0, 33_000, 33_000, 33_000);
    OwnedInput::new(vms, vec![full, host(1, 0, 0, 0), host(2, 0, 100, 100)])
}

/// Moves as (VM, target), and why host 0 was not relieved.
fn planned(x: &OwnedInput, policy: &Policy) -> (Vec<(u32, u32)>, Option<HoldReason>) {
    let (p, report) = plan(&x.view(), &x.scores, policy);
    let to = |a: &foreshade_plan::Planned| match a.action {
        Action::Migrate { to } => Some((a.vm.0, to.0)),
        _ => None,
    };
    (p.actions.iter().filter_map(to).collect(), report.unrelieved.first().map(|u| u.1))
}

#[test]
fn a_vm_does_not_go_back_where_it_came_from() {
    let mut x = overload();
    assert_eq!(planned(&x, &auto()), (vec![(0, 1)], None));
    x.vms[0].trail = left(1);
    assert_eq!(planned(&x, &auto()).0, [(0, 2)], "it may go elsewhere");
    x.hosts[2].up = false;
    assert_eq!(planned(&x, &auto()).0, [(1, 1)], "or another VM there");
    x.vms[1].trail = left(1);
    assert_eq!(planned(&x, &auto()), (vec![], Some(HoldReason::WouldReturn)), "or nothing, and that is told");
}

#[test]
fn no_host_sends_or_takes_more_at_once_than_it_bears() {
    let mut x = overload();
    let arriving = |id, to| VmView { migrating: true, moving_to: Some(HostId(to)), ..vm(id, 3, 10) };
    x.hosts.push(HostView { up: false, ..host(3, 0, 0, 0) });
    x.vms.extend([arriving(5, 1), arriving(6, 1)]);
    assert_eq!(planned(&x, &auto()).0, [(0, 2)], "two are on their way to host 1");
    assert_eq!(planned(&x, &Policy { migrations_per_host: 3, ..auto() }).0, [(0, 1)]);
    x.vms.extend([arriving(7, 2), arriving(8, 2)]);
    let (moves, why) = planned(&x, &auto());
    assert_eq!((moves, why), (vec![], Some(HoldReason::HostMoves)));
    // A host that gives up two already gives up no third.
    let mut x = overload();
    x.vms.extend([arriving(5, 9), arriving(6, 9)].map(|v| VmView { host: HostId(0), ..v }));
    assert_eq!(planned(&x, &auto()), (vec![], Some(HoldReason::HostMoves)));
}

#[test]
fn migrations_under_way_count_against_the_rack() {
    let p = Policy { migrations_per_tick: 5, migrations_per_rack: 3, ..auto() };
    assert_eq!([0, 1, 3, 9].map(|n| p.migrations_left(n)), [3, 2, 0, 0]);
}
