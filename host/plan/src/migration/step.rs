//! The transitions.

use foreshade_types::MovePhase as Phase;

use super::{Copy, Effect, Event, Limits, Migration, Refusal};

/// The next state and what is to be done.
type Next = Result<(Migration, Vec<Effect>), Refusal>;

/// Takes one event at `now_ms`.
///
/// # Errors
/// An event that does not apply; the migration stays as it is.
pub fn step(m: &Migration, event: Event, now_ms: u64, limits: &Limits) -> Next {
    if m.phase.is_over() {
        return Err(Refusal::Final);
    }
    match (m.phase, event) {
        (Phase::Preparing, Event::Prepared) => on(m, Phase::Snapshotting, now_ms, vec![Effect::Snapshot]),
        (Phase::Snapshotting, Event::SnapshotTaken) => {
            on(m, Phase::Transferring, now_ms, vec![Effect::SendRest])
        }
        (Phase::Transferring, Event::Converged) => {
            let still = Migration { source: Copy::Stopped, ..*m };
            on(&still, Phase::Redirecting, now_ms, vec![Effect::StopSource, Effect::StartTarget])
        }
        (Phase::Redirecting, Event::Switched) => {
            let there = Migration { target: Copy::Running, ..*m };
            on(&there, Phase::Verifying, now_ms, vec![Effect::Verify])
        }
        (Phase::Verifying, Event::Verified) => on(m, Phase::Finalising, now_ms, vec![Effect::KeepSource]),
        (Phase::Finalising, Event::Finalised) => on(m, Phase::Kept, now_ms, vec![]),
        // It works there: what does not is only the way back.
        (Phase::Finalising | Phase::Kept, Event::StepFailed) => done(m, now_ms),
        (_, Event::StepFailed | Event::GoBack) => go_back(m, now_ms),
        (_, Event::SourceLost) if m.phase.is_at_target() => {
            done(&Migration { source: Copy::Absent, ..*m }, now_ms)
        }
        (_, Event::SourceLost) => lost(m, now_ms),
        (_, Event::TargetLost) => go_back(m, now_ms),
        (_, Event::ControllerRestarted) => restarted(m, now_ms),
        (_, Event::TimedOut) => timed_out(m, now_ms, limits),
        _ => Err(Refusal::NotNow { phase: m.phase, event }),
    }
}

fn on(m: &Migration, phase: Phase, now_ms: u64, effects: Vec<Effect>) -> Next {
    Ok((Migration { phase, entered_ms: now_ms, ..*m }, effects))
}

fn done(m: &Migration, now_ms: u64) -> Next {
    let over = Migration { source: Copy::Absent, target: Copy::Running, ..*m };
    on(&over, Phase::Done, now_ms, vec![Effect::FreeSource])
}

/// The source has all of the VM in every phase that is not over. The target is stopped first, whatever is known of it.
fn go_back(m: &Migration, now_ms: u64) -> Next {
    let over = Migration { source: Copy::Running, target: Copy::Absent, ..*m };
    on(&over, Phase::RolledBack, now_ms, vec![Effect::StopTarget, Effect::FreeTarget, Effect::StartSource])
}

fn lost(m: &Migration, now_ms: u64) -> Next {
    let over = Migration { source: Copy::Absent, target: Copy::Absent, ..*m };
    on(&over, Phase::Failed, now_ms, vec![Effect::StopTarget, Effect::FreeTarget, Effect::AlertLost])
}

/// What was being copied is not known to be whole: it is thrown away. What runs at the target goes on.
fn restarted(m: &Migration, now_ms: u64) -> Next {
    match m.phase {
        Phase::Verifying => on(m, Phase::Verifying, now_ms, vec![Effect::StopSource, Effect::Verify]),
        Phase::Finalising => on(m, Phase::Finalising, now_ms, vec![Effect::KeepSource]),
        Phase::Kept => Ok((*m, vec![Effect::KeepSource])),
        _ => go_back(m, now_ms),
    }
}

fn timed_out(m: &Migration, now_ms: u64, limits: &Limits) -> Next {
    let limit = match m.phase {
        Phase::Preparing => limits.prepare_ms,
        Phase::Snapshotting => limits.snapshot_ms,
        Phase::Transferring => limits.transfer_ms,
        Phase::Redirecting => limits.redirect_ms,
        Phase::Verifying => limits.verify_ms,
        Phase::Finalising => limits.finalise_ms,
        _ => limits.window_ms,
    };
    let left_ms = limit.saturating_sub(now_ms.saturating_sub(m.entered_ms));
    match m.phase {
        _ if left_ms > 0 => Err(Refusal::TooEarly { left_ms }),
        Phase::Finalising | Phase::Kept => done(m, now_ms),
        _ => go_back(m, now_ms),
    }
}
