//! Scenarios of the operator's hand: modes, orders, budgets.

use super::*;

#[test]
fn each_kind_of_action_goes_as_far_as_its_own_mode() {
    let r = play("modes-by-kind");
    assert_eq!((r.decisions("migrate").count(), r.decisions("give-back").count()), (0, 0));
    assert!(r.decisions("pre-allocate").count() + r.decisions("create-shadow").count() > 0);
    let said = |name: &str| r.steps.iter().flat_map(|s| &s.advised).any(|a| a.planned.action.name() == name);
    assert!(said("give-back") && !said("migrate"), "advice is said, what is off is not");
}

#[test]
fn while_the_operator_pauses_nothing_is_sent_and_every_hold_says_so() {
    let r = play("paused");
    let between = |s: &foreshade_sim::scenario::Step| (149..=170).contains(&s.tick.0);
    assert!(r.steps.iter().filter(|s| between(s)).all(|s| s.decisions.is_empty()));
    let told = |s: &foreshade_sim::scenario::Step| s.holds.contains_key(&HoldReason::Paused);
    assert!(r.steps.iter().all(|s| !told(s) || between(s)));
    let overrun: Vec<_> = r.steps.iter().filter(|s| between(s) && s.tick.0 >= 153).collect();
    assert!(overrun.iter().all(|s| told(s) && !s.advised.is_empty()), "advice goes on, and why it is kept");
    let first = r.decisions("migrate").map(|d| d.caused_by.0).next().unwrap();
    assert_eq!(first, 171, "the first plan after the order to go on");
}

#[test]
fn an_approved_move_is_planned_again_before_it_is_sent() {
    let r = play("approved");
    let moves = when(&r, "migrate");
    assert_eq!(moves, [(155, 1)], "once, at the tick after the approval");
    assert!(r.steps.iter().any(|s| s.tick.0 > 160 && s.contention_s == 0));
    // A move that the next plan does not want is not sent: by then the load has gone.
    let text = std::fs::read_to_string(path("approved", "txt")).unwrap();
    let text = text.replace("at 154", "at 151").replace("cpu 4.0 from 150", "cpu 4.0 from 150 to 152");
    let gone = run(&Script::parse(&text).unwrap()).unwrap();
    assert_eq!(gone.decisions("migrate").count(), 0);
    assert!(gone.account().contains("approved, not wanted now: migrate of b"), "{}", gone.account());
}

/// How often a VM came back to a host that it had left.
fn returns(r: &Run) -> usize {
    let mut left: Vec<(VmId, HostId)> = vec![];
    let mut n = 0;
    for d in r.decisions("migrate") {
        let Action::Migrate { to } = d.action else { continue };
        n += usize::from(left.contains(&(d.vm, to)));
        left.push((d.vm, d.observed_host));
    }
    n
}

#[test]
fn two_equal_hosts_do_not_play_ping_pong_for_72_h() {
    let r = play("no-ping-pong-72h");
    assert_eq!((r.steps.len() as u64 - 1) * u64::from(r.script.cadence_s), 72 * 3600);
    assert_eq!((r.totals.migrations, returns(&r)), (1, 0));
    assert!(
        r.steps.iter().any(|s| s.unrelieved.contains(&(HostId(1), HoldReason::WouldReturn))),
        "and says why"
    );
    // Without the memory of where it came from it does.
    let mut forgetful = r.script.clone();
    forgetful.policy.cycle_window_ticks = 0;
    assert!(returns(&run(&forgetful).unwrap()) >= 2);
}

/// VM-ticks in which the forecast changed what is done, and those in which it changed a size.
fn changed(r: &Run, from: u64) -> (u64, u64) {
    let of = r.steps.iter().filter(|s| s.tick.0 >= from).map(|s| s.changed);
    of.fold((0, 0), |n, c| (n.0 + c.other_action, n.1 + c.other_size))
}

#[test]
fn a_forecast_counts_where_it_changes_decisions_and_not_where_it_does_not() {
    let still = play("forecast-changes-nothing");
    // The first plans bring the allocations down.
    assert_eq!(changed(&still, 150), (0, 0));
    let spikes = play("periodic-spike");
    assert!(
        changed(&spikes, 150).0 >= 3,
        "each of three spikes is grown for ahead: {:?}",
        changed(&spikes, 150)
    );
}
