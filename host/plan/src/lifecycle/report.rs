//! From what a rack reports at a sample to what the planner believes: snapshots, between which phases may have passed.

use foreshade_types::ShadowPhase as Phase;

use super::{Alert, Effect, Event, Limits, Shadow, Sync, step};

/// What a rack says of a shadow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// How far it is.
    pub phase: Phase,
    /// How its copy is.
    pub sync: Sync,
}

/// The shadow as `report` makes it, by legal steps only; what no legal step leads to stays as it was believed. One that is
/// over stays so until the rack knows of none: then, and only then, the answer is `None`. The second value is what people
/// are to be told.
pub fn believe(
    s: &Shadow,
    report: Option<Report>,
    now_ms: u64,
    limits: &Limits,
) -> (Option<Shadow>, Vec<Alert>) {
    let mut alerts = Vec::new();
    let Some(report) = report else { return (None, alerts) };
    let mut s = *s;
    // The longest way: requested to active, seven steps, and a new copy on it.
    for _ in 0..10 {
        let Some(event) = towards(&s, report) else { break };
        match step(&s, event, now_ms, limits) {
            Ok((next, effects)) => {
                s = next;
                alerts.extend(effects.into_iter().filter_map(alert));
            }
            Err(_) => break,
        }
    }
    if matches!(report.sync, Sync::CaughtUp) && s.sync == Sync::CaughtUp {
        s.synced_ms = now_ms;
    }
    (Some(s), alerts)
}

fn alert(e: Effect) -> Option<Alert> {
    if let Effect::Alert(a) = e { Some(a) } else { None }
}

/// The event that brings `s` nearer to what was reported.
fn towards(s: &Shadow, r: Report) -> Option<Event> {
    let copying =
        !matches!(s.phase, Phase::Requested | Phase::Provisioning | Phase::Suspended | Phase::Failed);
    if copying && r.sync == Sync::Corrupt && s.sync != Sync::Corrupt {
        return Some(Event::SyncCorrupt);
    }
    if copying && s.sync == Sync::Corrupt && r.sync != Sync::Corrupt {
        return Some(Event::ResyncStarted);
    }
    if s.phase == r.phase {
        let lags = s.sync == Sync::CaughtUp && r.sync == Sync::Behind;
        let leads = s.sync == Sync::Behind && r.sync == Sync::CaughtUp && copying;
        return if lags { Some(Event::SyncBehind) } else { leads.then_some(Event::SyncCaughtUp) };
    }
    let size = s.size;
    match (s.phase, r.phase) {
        (Phase::Failed | Phase::Terminated, _) => None,
        (Phase::Warm, Phase::Failed) => Some(Event::WarmUpFailed),
        (_, Phase::Failed) => Some(Event::HostLost),
        (Phase::Requested, _) => Some(Event::Accepted),
        (Phase::Provisioning, Phase::Requested) => None,
        (Phase::Provisioning, _) => Some(Event::Booted),
        (Phase::Syncing, Phase::Warm | Phase::Ready | Phase::Active | Phase::Draining) => {
            (r.sync == Sync::CaughtUp).then_some(Event::SyncCaughtUp)
        }
        (Phase::Warm | Phase::Ready, Phase::Syncing) => Some(Event::SyncBehind),
        (Phase::Warm, Phase::Ready | Phase::Active | Phase::Draining) => Some(Event::WarmUpPassed),
        // Shifted by someone else: the wire does not say how much.
        (Phase::Ready, Phase::Active | Phase::Draining) => {
            Some(Event::TrafficShifted { share_percent: 50, size })
        }
        (Phase::Ready, Phase::Suspended) => Some(Event::Suspended),
        (Phase::Active, Phase::Ready | Phase::Draining | Phase::Syncing | Phase::Suspended) => {
            Some(Event::TrafficShiftedBack { size })
        }
        (Phase::Draining, Phase::Ready | Phase::Active | Phase::Suspended | Phase::Syncing | Phase::Warm) => {
            Some(Event::Drained)
        }
        (Phase::Suspended, Phase::Syncing | Phase::Warm | Phase::Ready | Phase::Active) => {
            Some(Event::Needed)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use foreshade_types::{Allocation, HostId, Mebibytes, Millicores};

    use super::super::{Place, WarmUp};
    use super::*;
    use crate::Policy;

    const SIZE: Allocation = Allocation { cpu: Millicores(1000), memory: Mebibytes(64) };

    fn requested() -> Shadow {
        let place = |n| Place { host: HostId(n), domain: n };
        Shadow::request(place(0), place(1), SIZE, 0).unwrap().0
    }

    fn seen(s: &Shadow, phase: Phase, sync: Sync) -> Shadow {
        let limits = Policy::default().shadow_limits(300_000);
        believe(s, Some(Report { phase, sync }), 300_000, &limits).0.unwrap()
    }

    #[test]
    fn phases_that_passed_between_two_samples_are_caught_up_with() {
        let s = seen(&requested(), Phase::Ready, Sync::CaughtUp);
        assert_eq!((s.phase, s.sync, s.warm_up), (Phase::Ready, Sync::CaughtUp, WarmUp::Passed));
        let s = seen(&s, Phase::Active, Sync::CaughtUp);
        assert_eq!((s.phase, s.share_percent), (Phase::Active, 50));
        let s = seen(&s, Phase::Suspended, Sync::Behind);
        assert_eq!((s.phase, s.share_percent), (Phase::Suspended, 0));
        assert_eq!(seen(&s, Phase::Ready, Sync::CaughtUp).phase, Phase::Ready);
    }

    #[test]
    fn a_corrupt_copy_is_not_used_whatever_phase_is_reported() {
        let ready = seen(&requested(), Phase::Ready, Sync::CaughtUp);
        let s = seen(&ready, Phase::Ready, Sync::Corrupt);
        assert_eq!((s.phase, s.sync), (Phase::Syncing, Sync::Corrupt));
        assert_eq!(seen(&s, Phase::Ready, Sync::Corrupt).phase, Phase::Syncing);
        assert_eq!(seen(&s, Phase::Ready, Sync::CaughtUp).phase, Phase::Ready, "a new copy was made");
    }

    #[test]
    fn a_copy_that_lags_takes_the_shadow_out_of_readiness() {
        let ready = seen(&requested(), Phase::Ready, Sync::CaughtUp);
        assert_eq!(seen(&ready, Phase::Ready, Sync::Behind).phase, Phase::Syncing);
        assert_eq!(believe(&ready, None, 0, &Policy::default().shadow_limits(300_000)).0, None);
    }

    #[test]
    fn lagging_and_corrupt_are_told_apart_and_once() {
        let limits = Policy::default().shadow_limits(300_000);
        let told = |s: &Shadow, sync| {
            let (s, alerts) = believe(s, Some(Report { phase: Phase::Syncing, sync }), 300_000, &limits);
            (s.unwrap(), alerts)
        };
        let ready = seen(&requested(), Phase::Ready, Sync::CaughtUp);
        let (behind, alerts) = told(&ready, Sync::Behind);
        assert_eq!((alerts, told(&behind, Sync::Behind).1), (vec![Alert::SyncBehind], vec![]));
        let (corrupt, alerts) = told(&ready, Sync::Corrupt);
        assert_eq!((alerts, told(&corrupt, Sync::Corrupt).1), (vec![Alert::SyncCorrupt], vec![]));
    }

    #[test]
    fn nothing_leads_back_from_failed_but_its_end() {
        let s = seen(&requested(), Phase::Failed, Sync::Never);
        assert_eq!(s.phase, Phase::Failed);
        assert_eq!(seen(&s, Phase::Ready, Sync::CaughtUp).phase, Phase::Failed);
    }
}
