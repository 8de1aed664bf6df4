//! Traffic goes to a shadow at once and home with patience.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(dead_code)]
mod common;

use common::{NOW, OwnedInput, TICK_MS, auto, host, shadow, sure, vm};
use foreshade_plan::lifecycle::{Event, Shadow, step};
use foreshade_plan::{MoveScore, PlanInput, Policy, candidates, needed_shadows, plan};
use foreshade_types::{Action, ShadowPhase, Tick, VmId};
use proptest::prelude::*;

/// One VM on host 0 with a shadow on host 1, over as many ticks as there are peaks: each is host 0's peak with all the VM's
/// traffic at home, millicores of 32,000. Returns when the traffic went (`true`) and came home (`false`).
fn over(peaks: &[u64], policy: &Policy) -> Vec<(u64, bool)> {
    const AWAY: u64 = 4_000;
    let mut s: Shadow = shadow(0, 1, ShadowPhase::Ready, NOW.0, NOW.0);
    let mut moves = Vec::new();
    for (tick, peak) in (NOW.0..).zip(peaks) {
        let (now_ms, limits) = (tick * TICK_MS, policy.shadow_limits(TICK_MS));
        s.synced_ms = now_ms;
        if s.phase == ShadowPhase::Draining {
            s = step(&s, Event::Drained, now_ms, &limits).unwrap().0;
        }
        let here = if s.share_percent > 0 { peak - AWAY } else { *peak };
        let hosts = vec![host(0, here, here, 0), host(1, 0, 0, 0)];
        let mut x = OwnedInput::new(vec![vm(0, 0, 2_000)], hosts);
        x.vms[0].shadow = Some(s);
        let back = MoveScore { source: sure(0), target: sure(*peak) };
        let there = MoveScore { source: sure(peak - AWAY), target: sure(AWAY) };
        x.scores = candidates(&x.view(), policy).iter().map(|q| if q.back { back } else { there }).collect();
        let scores = x.scores.clone();
        let rack = PlanInput { tick: Tick(tick), ..x.view() };
        for vm in needed_shadows(&rack, &scores, policy) {
            assert_eq!(vm, VmId(0));
            s = step(&s, Event::Needed, now_ms, &limits).unwrap().0;
        }
        x.vms[0].shadow = Some(s);
        let (p, _) = plan(&PlanInput { tick: Tick(tick), ..x.view() }, &scores, policy);
        for a in p.actions {
            let event = match a.action {
                Action::ShiftTraffic { share_percent, size } => Event::TrafficShifted { share_percent, size },
                Action::ShiftBack { size } => Event::TrafficShiftedBack { size },
                Action::SuspendShadow | Action::ReleaseShadow => panic!("{:?} at {tick}", a.action),
                _ => continue,
            };
            let was = s.share_percent > 0;
            s = step(&s, event, now_ms, &limits).unwrap().0;
            let is = s.share_percent > 0;
            if was != is {
                moves.push((tick, is));
            }
        }
    }
    moves
}

/// Its shadow is never idle long enough to be suspended.
fn policy() -> Policy {
    Policy { shadow_idle_ticks: 100_000, max_shadow_age_ticks: 100_000, ..auto() }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    /// Shifts above 97 % of 32 cores, home below 88 %: noise of ±1.4 cores around either line or between them.
    #[test]
    fn noise_around_a_threshold_moves_traffic_once(
        centre in prop_oneof![Just(31_040u64), Just(28_160), 28_160u64..31_040],
        noise in prop::collection::vec(-1_400i64..=1_400, 1_000),
    ) {
        let peaks: Vec<u64> = noise.iter().map(|n| centre.saturating_add_signed(*n)).collect();
        let moves = over(&peaks, &policy());
        let (went, home) = (moves.iter().filter(|m| m.1).count(), moves.iter().filter(|m| !m.1).count());
        prop_assert!(went <= 1 && home <= 1, "{moves:?}");
    }

    #[test]
    fn traffic_is_away_for_the_dwell_time_and_comes_home_after_calm_ticks_alone(
        peaks in prop::collection::vec(24_000u64..36_000, 300),
        dwell in 0u64..6,
    ) {
        let policy = Policy { shift_dwell_ticks: dwell, ..policy() };
        let moves = over(&peaks, &policy);
        let at = |t: u64| peaks[(t - NOW.0) as usize];
        for w in moves.windows(2).filter(|w| w[0].1) {
            let (went, home) = (w[0].0, w[1].0);
            prop_assert!(home - went >= dwell.max(1), "{went} to {home}");
            prop_assert!((home + 1 - dwell.max(1)..=home).all(|t| at(t) <= 28_160), "{went} to {home}");
        }
        prop_assert!(dwell > 3 || moves.iter().any(|m| !m.1), "it never comes home");
    }
}

#[test]
fn two_vms_do_not_go_home_to_the_same_host_at_once() {
    let hosts = vec![host(0, 10_000, 10_000, 0), host(1, 0, 0, 0), host(2, 10_000, 10_000, 0)];
    let mut x = OwnedInput::new(vec![vm(0, 0, 2_000), vm(1, 0, 2_000), vm(2, 2, 2_000)], hosts);
    for (v, home) in x.vms.iter_mut().zip([0, 0, 2]) {
        v.shadow = Some(shadow(home, 1, ShadowPhase::Active, 50, 60));
    }
    x.scores = vec![MoveScore { source: sure(0), target: sure(20_000) }; 200];
    let (p, _) = plan(&x.view(), &x.scores, &policy());
    let home: Vec<_> = p.actions.iter().filter(|a| matches!(a.action, Action::ShiftBack { .. })).collect();
    assert_eq!(home.iter().map(|a| a.vm).collect::<Vec<_>>(), [VmId(0), VmId(2)], "one to each host");
}

#[test]
fn the_band_holds_whatever_the_percentages() {
    let h = host(0, 0, 0, 0);
    let of = |limit, back, band| {
        let p = Policy {
            host_limit_percent: limit,
            shift_back_percent: back,
            shift_band_percent: band,
            ..auto()
        };
        p.home_limit(&h) * 100 / 32_000
    };
    assert_eq!([of(97, 88, 5), of(90, 88, 5), of(80, 88, 10), of(10, 5, 50)], [88, 85, 70, 0]);
}
