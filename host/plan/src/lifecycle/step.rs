//! The transitions.

use foreshade_types::ShadowPhase as Phase;

use super::{Alert, Effect, End, Event, Limits, Place, Refusal, Shadow, Sync, WarmUp};

/// The next state and what is to be done.
type Next = Result<(Shadow, Vec<Effect>), Refusal>;

/// Takes one event at `now_ms`.
///
/// # Errors
/// An event that does not apply; the shadow stays as it is.
pub fn step(s: &Shadow, event: Event, now_ms: u64, limits: &Limits) -> Next {
    if s.phase == Phase::Terminated {
        return Err(Refusal::Final);
    }
    match event {
        Event::Accepted | Event::Refused | Event::Booted | Event::Suspended | Event::Cleaned => {
            host_says(s, event, now_ms)
        }
        Event::SyncCaughtUp | Event::SyncBehind | Event::SyncCorrupt | Event::ResyncStarted => {
            sync_says(s, event, now_ms)
        }
        Event::WarmUpDue | Event::WarmUpPassed | Event::WarmUpFailed => warm_up_says(s, event, now_ms),
        Event::TrafficShifted { .. } | Event::TrafficShiftedBack { .. } | Event::Drained => {
            traffic_says(s, event, now_ms)
        }
        Event::Needed => needed(s, now_ms),
        Event::PrimarySuspended | Event::PrimaryTerminated => ended(s, End::PrimaryGone, now_ms),
        Event::PrimaryMoved { to } => primary_moved(s, to, now_ms),
        Event::HostLost if s.phase == Phase::Failed => not_now(s, event),
        Event::HostLost => failed(s, End::HostLost, now_ms),
        Event::ControllerRestarted => restarted(s, now_ms),
        Event::Idle | Event::Aged | Event::OverBudget | Event::NotWorth => {
            dispensable(s, event, now_ms, limits)
        }
        Event::TimedOut => timed_out(s, now_ms, limits),
    }
}

fn not_now(s: &Shadow, event: Event) -> Next {
    Err(Refusal::NotNow { phase: s.phase, event })
}

fn to(s: &Shadow, phase: Phase, now_ms: u64) -> Shadow {
    Shadow { phase, entered_ms: now_ms, ..*s }
}

/// Traffic that it serves, or the last requests of it, go to the primary first.
fn give_back(s: &Shadow) -> Option<Effect> {
    matches!(s.phase, Phase::Active | Phase::Draining).then_some(Effect::ShiftBack)
}

fn ended(s: &Shadow, why: End, now_ms: u64) -> Next {
    let end = s.end.or(Some(why));
    let next = Shadow { share_percent: 0, end, ..to(s, Phase::Terminated, now_ms) };
    Ok((next, give_back(s).into_iter().chain([Effect::Free]).collect()))
}

fn failed(s: &Shadow, why: End, now_ms: u64) -> Next {
    let next = Shadow { share_percent: 0, end: Some(why), ..to(s, Phase::Failed, now_ms) };
    let effects = [Effect::Alert(Alert::Failed), Effect::Free];
    Ok((next, give_back(s).into_iter().chain(effects).collect()))
}

/// Out of date: traffic needs a copy that has caught up and a warm-up after it.
fn resynced(s: &Shadow, sync: Sync, now_ms: u64) -> Shadow {
    Shadow { sync, warm_up: WarmUp::NotRun, share_percent: 0, ..to(s, Phase::Syncing, now_ms) }
}

fn suspended(s: &Shadow, now_ms: u64) -> Next {
    let next = Shadow { sync: Sync::Behind, warm_up: WarmUp::NotRun, ..to(s, Phase::Suspended, now_ms) };
    Ok((next, vec![Effect::Suspend]))
}

fn host_says(s: &Shadow, event: Event, now_ms: u64) -> Next {
    match (s.phase, event) {
        (Phase::Requested, Event::Accepted) => Ok((to(s, Phase::Provisioning, now_ms), vec![])),
        (Phase::Requested, Event::Refused) => ended(s, End::Refused, now_ms),
        (Phase::Provisioning, Event::Booted) => Ok((resynced(s, Sync::Behind, now_ms), vec![Effect::Resync])),
        (Phase::Ready, Event::Suspended) => suspended(s, now_ms),
        (Phase::Failed, Event::Cleaned) => ended(s, End::HostLost, now_ms),
        _ => not_now(s, event),
    }
}

fn sync_says(s: &Shadow, event: Event, now_ms: u64) -> Next {
    if matches!(s.phase, Phase::Requested | Phase::Provisioning | Phase::Suspended | Phase::Failed) {
        return not_now(s, event);
    }
    let seen = Shadow { synced_ms: now_ms, ..*s };
    match (s.phase, event) {
        (Phase::Syncing, Event::ResyncStarted) => Ok((Shadow { sync: Sync::Behind, ..seen }, vec![])),
        (_, Event::ResyncStarted) => not_now(s, event),
        // What a broken session says proves nothing.
        (_, Event::SyncCaughtUp | Event::SyncBehind) if s.sync == Sync::Corrupt => {
            Err(Refusal::NotSynced { sync: s.sync })
        }
        (Phase::Syncing, Event::SyncCaughtUp) => {
            let warm = Shadow { sync: Sync::CaughtUp, warm_up: WarmUp::Running, ..seen };
            Ok((to(&warm, Phase::Warm, now_ms), vec![Effect::RunWarmUp]))
        }
        (_, Event::SyncCaughtUp) => Ok((Shadow { sync: Sync::CaughtUp, ..seen }, vec![])),
        (Phase::Syncing, Event::SyncBehind) => Ok((seen, vec![])),
        (Phase::Active | Phase::Draining, Event::SyncBehind) => {
            // Its share of new requests is served as before; no more is shifted, nothing fails over to it.
            let alert = (s.sync != Sync::Behind).then_some(Effect::Alert(Alert::SyncBehind));
            Ok((Shadow { sync: Sync::Behind, ..seen }, alert.into_iter().collect()))
        }
        (_, Event::SyncBehind) => {
            let effects = vec![Effect::Alert(Alert::SyncBehind), Effect::Sync];
            Ok((resynced(&seen, Sync::Behind, now_ms), effects))
        }
        (_, _) => {
            let effects = [Effect::Alert(Alert::SyncCorrupt), Effect::Resync];
            let next = resynced(&seen, Sync::Corrupt, now_ms);
            Ok((next, give_back(s).into_iter().chain(effects).collect()))
        }
    }
}

fn warm_up_says(s: &Shadow, event: Event, now_ms: u64) -> Next {
    let ran = |warm_up| Shadow { warm_up, warmed_ms: now_ms, ..*s };
    match (s.phase, event) {
        (Phase::Warm, Event::WarmUpPassed) => Ok((to(&ran(WarmUp::Passed), Phase::Ready, now_ms), vec![])),
        (Phase::Warm, Event::WarmUpFailed) => failed(&ran(WarmUp::Failed), End::WarmUpFailed, now_ms),
        (Phase::Ready, Event::WarmUpDue) if s.warm_up != WarmUp::Running => {
            Ok((Shadow { warm_up: WarmUp::Running, ..*s }, vec![Effect::RunWarmUp]))
        }
        (Phase::Ready, Event::WarmUpPassed) => Ok((ran(WarmUp::Passed), vec![])),
        // Begun while it was ready; a failure counts when its traffic has gone.
        (Phase::Active | Phase::Draining, Event::WarmUpPassed) => Ok((ran(WarmUp::Passed), vec![])),
        (Phase::Active | Phase::Draining, Event::WarmUpFailed) => Ok((ran(WarmUp::Failed), vec![])),
        // Once more, without traffic; the second failure is one.
        (Phase::Ready, Event::WarmUpFailed) => {
            Ok((to(&ran(WarmUp::Failed), Phase::Warm, now_ms), vec![Effect::RunWarmUp]))
        }
        _ => not_now(s, event),
    }
}

fn traffic_says(s: &Shadow, event: Event, now_ms: u64) -> Next {
    match (s.phase, event) {
        (_, Event::TrafficShifted { share_percent, .. }) if !(1..=90).contains(&share_percent) => {
            Err(Refusal::Share { share_percent })
        }
        (Phase::Active, Event::TrafficShifted { share_percent, .. })
            if s.sync != Sync::CaughtUp && share_percent > s.share_percent =>
        {
            Err(Refusal::NotSynced { sync: s.sync })
        }
        (Phase::Ready, Event::TrafficShifted { .. }) if s.sync != Sync::CaughtUp => {
            Err(Refusal::NotSynced { sync: s.sync })
        }
        (Phase::Ready, Event::TrafficShifted { share_percent, size }) => {
            let next = Shadow { share_percent, size, needed_ms: now_ms, ..*s };
            Ok((to(&next, Phase::Active, now_ms), vec![]))
        }
        (Phase::Active, Event::TrafficShifted { share_percent, size }) => {
            Ok((Shadow { share_percent, size, ..*s }, vec![]))
        }
        (Phase::Active, Event::TrafficShiftedBack { size }) => {
            let next = Shadow { share_percent: 0, size, ..*s };
            Ok((to(&next, Phase::Draining, now_ms), vec![Effect::Drain]))
        }
        (Phase::Draining, Event::Drained) => drained(s, now_ms),
        _ => not_now(s, event),
    }
}

/// After use it is ready again where its copy and its warm-up still count; without need, [`super::due`] says so next.
fn drained(s: &Shadow, now_ms: u64) -> Next {
    Ok(match (s.sync, s.warm_up) {
        (Sync::CaughtUp, WarmUp::Passed | WarmUp::Running) => (to(s, Phase::Ready, now_ms), vec![]),
        (Sync::CaughtUp, _) => {
            let warm = Shadow { warm_up: WarmUp::Running, ..*s };
            (to(&warm, Phase::Warm, now_ms), vec![Effect::RunWarmUp])
        }
        (sync, _) => (resynced(s, sync, now_ms), vec![Effect::Sync]),
    })
}

fn needed(s: &Shadow, now_ms: u64) -> Next {
    let next = Shadow { needed_ms: now_ms, ..*s };
    match s.phase {
        Phase::Failed => not_now(s, Event::Needed),
        Phase::Suspended => Ok((resynced(&next, Sync::Behind, now_ms), vec![Effect::Resume, Effect::Sync])),
        _ => Ok((next, vec![])),
    }
}

fn primary_moved(s: &Shadow, place: Place, now_ms: u64) -> Next {
    if place.shares_fate(&s.place) {
        return ended(s, End::SharedFate, now_ms);
    }
    let next = Shadow { primary: place, ..*s };
    Ok(match s.phase {
        // The copy comes from another host now.
        Phase::Warm | Phase::Ready => (resynced(&next, Sync::Behind, now_ms), vec![Effect::Sync]),
        _ => (next, vec![]),
    })
}

/// Nothing that was under way is taken as done: it is asked for again. Traffic goes on.
fn restarted(s: &Shadow, now_ms: u64) -> Next {
    Ok(match s.phase {
        Phase::Requested | Phase::Provisioning => (to(s, Phase::Requested, now_ms), vec![Effect::Provision]),
        Phase::Warm | Phase::Ready => (resynced(s, Sync::Behind, now_ms), vec![Effect::Sync]),
        Phase::Syncing => (resynced(s, s.sync, now_ms), vec![Effect::Resync]),
        Phase::Active | Phase::Terminated => (*s, vec![]),
        Phase::Draining => (*s, vec![Effect::ShiftBack, Effect::Drain]),
        Phase::Suspended => (*s, vec![Effect::Suspend]),
        Phase::Failed => (*s, vec![Effect::Free]),
    })
}

/// Reasons to do without it. None of them takes traffic from it.
fn dispensable(s: &Shadow, event: Event, now_ms: u64, limits: &Limits) -> Next {
    if matches!(s.phase, Phase::Active | Phase::Draining) {
        return Err(Refusal::InUse);
    }
    if s.phase == Phase::Failed {
        return not_now(s, event);
    }
    let (left_ms, why) = match event {
        Event::Idle => (s.idle_left_ms(now_ms, limits), End::Idle),
        Event::Aged => (s.age_left_ms(now_ms, limits), End::Aged),
        Event::OverBudget => (0, End::OverBudget),
        _ => (0, End::NotWorth),
    };
    if left_ms > 0 {
        return Err(Refusal::TooEarly { left_ms });
    }
    match (s.phase, event) {
        (Phase::Ready, Event::Idle) if limits.suspend_ms > 0 => suspended(s, now_ms),
        _ => ended(s, why, now_ms),
    }
}

fn timed_out(s: &Shadow, now_ms: u64, limits: &Limits) -> Next {
    let left_ms = s.phase_left_ms(now_ms, limits);
    if left_ms > 0 {
        return Err(if s.phase == Phase::Active { Refusal::InUse } else { Refusal::TooEarly { left_ms } });
    }
    match s.phase {
        Phase::Ready => {
            let effects = vec![Effect::Alert(Alert::SyncBehind), Effect::Sync];
            Ok((resynced(s, Sync::Behind, now_ms), effects))
        }
        Phase::Active => {
            let next = Shadow { share_percent: 0, ..to(s, Phase::Draining, now_ms) };
            Ok((next, vec![Effect::ShiftBack, Effect::Drain]))
        }
        Phase::Draining => drained(s, now_ms),
        Phase::Suspended => ended(s, End::Idle, now_ms),
        Phase::Failed => ended(s, End::HostLost, now_ms),
        phase => failed(s, End::TimedOut(phase), now_ms),
    }
}
