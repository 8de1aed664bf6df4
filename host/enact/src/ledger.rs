//! The fence at the resource: at-least-once delivery, effect once.

use foreshade_types::{Decision, OutcomeKind};

/// What to do with a decision that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Enact it.
    Admit,
    /// Seen before: answer as before, change nothing.
    Duplicate,
    /// Refuse it, for this reason.
    Refuse(OutcomeKind),
}

/// The highest epoch seen and the last sequence number admitted in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ledger {
    epoch: u64,
    last_seq: u64,
}

impl Ledger {
    /// Judges `decision` at `now_ms`. An expired or duplicate decision still moves the high-water mark: it must not come
    /// back later.
    pub fn admit(&mut self, now_ms: u64, decision: &Decision) -> Admission {
        if decision.epoch < self.epoch {
            return Admission::Refuse(OutcomeKind::StaleEpoch);
        }
        if decision.epoch > self.epoch {
            *self = Self { epoch: decision.epoch, last_seq: 0 };
        }
        if decision.seq <= self.last_seq {
            return Admission::Duplicate;
        }
        self.last_seq = decision.seq;
        if now_ms > decision.expires_at_ms {
            return Admission::Refuse(OutcomeKind::Expired);
        }
        Admission::Admit
    }

    /// Highest epoch and sequence number seen, for resuming a stream.
    pub fn position(&self) -> (u64, u64) {
        (self.epoch, self.last_seq)
    }
}

#[cfg(test)]
mod tests {
    use foreshade_types::{Action, HostId, RackId, Reason, Resource, Rule, Tick, VmId};

    use super::*;

    fn decision(epoch: u64, seq: u64) -> Decision {
        Decision {
            epoch,
            seq,
            rack: RackId(0),
            caused_by: Tick(1),
            vm: VmId(1),
            observed_host: HostId(0),
            expires_at_ms: 1_000,
            action: Action::ReleaseShadow,
            reason: Reason {
                rule: Rule::ShadowIdle,
                resource: Resource::Cpu,
                quantile_permille: 990,
                horizon_s: 0,
                predicted: 0,
                threshold: 0,
                worth: Default::default(),
                rejected: vec![],
            },
        }
    }

    #[test]
    fn a_decision_is_admitted_once() {
        let mut l = Ledger::default();
        assert_eq!(l.admit(0, &decision(1, 1)), Admission::Admit);
        assert_eq!(l.admit(0, &decision(1, 1)), Admission::Duplicate);
        assert_eq!(l.admit(0, &decision(1, 2)), Admission::Admit);
        assert_eq!(l.position(), (1, 2));
    }

    #[test]
    fn an_old_epoch_is_refused_and_a_new_one_restarts_the_count() {
        let mut l = Ledger::default();
        assert_eq!(l.admit(0, &decision(2, 7)), Admission::Admit);
        assert_eq!(l.admit(0, &decision(1, 8)), Admission::Refuse(OutcomeKind::StaleEpoch));
        assert_eq!(l.admit(0, &decision(3, 1)), Admission::Admit);
    }

    #[test]
    fn an_expired_decision_is_refused_and_never_comes_back() {
        let mut l = Ledger::default();
        assert_eq!(l.admit(1_001, &decision(1, 1)), Admission::Refuse(OutcomeKind::Expired));
        assert_eq!(l.admit(0, &decision(1, 1)), Admission::Duplicate);
        assert_eq!(l.admit(1_000, &decision(1, 2)), Admission::Admit);
    }
}
