//! What a controller does with the decisions of a tick, whoever brought them.

use std::collections::BTreeMap;

use foreshade_types::{ControllerId, Decision, Outcome, OutcomeKind};

use crate::{Admission, Hypervisor, Ledger};

/// A controller's memory of what it did: the fence, and the answers of the newest tick in case they are asked for again.
#[derive(Debug)]
pub struct Desk {
    controller: ControllerId,
    ledger: Ledger,
    answered: BTreeMap<u64, Outcome>,
}

impl Desk {
    /// A controller that has seen nothing.
    pub fn new(controller: ControllerId) -> Self {
        Self { controller, ledger: Ledger::default(), answered: BTreeMap::new() }
    }

    /// Who answers.
    pub fn controller(&self) -> ControllerId {
        self.controller
    }

    /// Carries out each admitted decision once, in order, and answers all of them.
    pub fn work(&mut self, rack: &mut dyn Hypervisor, now_ms: u64, decisions: &[Decision]) -> Vec<Outcome> {
        let mut out = Vec::with_capacity(decisions.len());
        for d in decisions {
            let answer = |kind, effective_at_ms| Outcome {
                controller: self.controller,
                seq: d.seq,
                kind,
                effective_at_ms,
            };
            let outcome = match self.ledger.admit(now_ms, d) {
                Admission::Admit => {
                    let (kind, at) = rack.enact(now_ms, d);
                    answer(kind, at)
                }
                Admission::Refuse(kind) => answer(kind, 0),
                Admission::Duplicate => {
                    self.answered.get(&d.seq).copied().unwrap_or_else(|| answer(OutcomeKind::Applied, 0))
                }
            };
            out.push(outcome);
        }
        self.answered = out.iter().map(|o| (o.seq, *o)).collect();
        out
    }
}
