//! What time alone brings: how long each phase may last, and what is due.

use foreshade_types::ShadowPhase;

use super::{Event, Shadow, WarmUp};

/// How long things may take, milliseconds. [`crate::Policy::shadow_limits`] makes one from the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From request to the host's answer.
    pub request_ms: u64,
    /// From the host's answer to a running guest.
    pub provision_ms: u64,
    /// Until the copy has caught up.
    pub sync_ms: u64,
    /// Until the warm-up task has ended.
    pub warm_up_ms: u64,
    /// Until requests have ended; then they are cut.
    pub drain_ms: u64,
    /// In suspension; 0 = a shadow is never suspended but terminated.
    pub suspend_ms: u64,
    /// Until what is left of a failed one is cleared.
    pub clean_ms: u64,
    /// A copy that was not reported on for this long counts as behind.
    pub silence_ms: u64,
    /// Between two runs of the warm-up task; 0 = it runs once.
    pub warm_up_every_ms: u64,
    /// Without need.
    pub idle_ms: u64,
    /// From request to the end.
    pub age_ms: u64,
}

impl Shadow {
    /// How long its phase has left; 0 = it has lasted long enough to be ended.
    pub(crate) fn phase_left_ms(&self, now_ms: u64, limits: &Limits) -> u64 {
        let (since, limit) = match self.phase {
            ShadowPhase::Requested => (self.entered_ms, limits.request_ms),
            ShadowPhase::Provisioning => (self.entered_ms, limits.provision_ms),
            ShadowPhase::Syncing => (self.entered_ms, limits.sync_ms),
            ShadowPhase::Warm => (self.entered_ms, limits.warm_up_ms),
            ShadowPhase::Ready => (self.synced_ms, limits.silence_ms),
            // Traffic ends with the need for it, not with a clock.
            ShadowPhase::Active => (self.needed_ms, limits.idle_ms),
            ShadowPhase::Draining => (self.entered_ms, limits.drain_ms),
            ShadowPhase::Suspended => (self.entered_ms, limits.suspend_ms),
            ShadowPhase::Failed => (self.entered_ms, limits.clean_ms),
            ShadowPhase::Terminated => (now_ms, u64::MAX),
        };
        left(since, limit, now_ms)
    }

    /// How long it may go on without need.
    pub(crate) fn idle_left_ms(&self, now_ms: u64, limits: &Limits) -> u64 {
        left(self.needed_ms, limits.idle_ms, now_ms)
    }

    /// How long it may live.
    pub(crate) fn age_left_ms(&self, now_ms: u64, limits: &Limits) -> u64 {
        left(self.created_ms, limits.age_ms, now_ms)
    }
}

fn left(since_ms: u64, limit_ms: u64, now_ms: u64) -> u64 {
    limit_ms.saturating_sub(now_ms.saturating_sub(since_ms))
}

/// The event that time alone brings at `now_ms`, if any: what [`super::step`] would take and act on.
pub fn due(s: &Shadow, now_ms: u64, limits: &Limits) -> Option<Event> {
    let over = |left: u64| left == 0;
    let idle = over(s.idle_left_ms(now_ms, limits));
    match s.phase {
        ShadowPhase::Terminated => None,
        ShadowPhase::Active | ShadowPhase::Draining | ShadowPhase::Failed => {
            over(s.phase_left_ms(now_ms, limits)).then_some(Event::TimedOut)
        }
        // A shadow that is needed lives on until the need ends, whatever its age.
        _ if idle && over(s.age_left_ms(now_ms, limits)) => Some(Event::Aged),
        ShadowPhase::Ready if idle => Some(Event::Idle),
        _ if over(s.phase_left_ms(now_ms, limits)) => Some(Event::TimedOut),
        ShadowPhase::Ready => {
            let waits = left(s.warmed_ms, limits.warm_up_every_ms, now_ms);
            let again = limits.warm_up_every_ms > 0 && s.warm_up != WarmUp::Running && over(waits);
            again.then_some(Event::WarmUpDue)
        }
        _ => None,
    }
}
