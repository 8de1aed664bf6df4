//! The operator's orders: a pause that outlives a restart, and approval of one advised action at a time.
//!
//! Orders are values: [`OperatorState`] takes them with the tick they came at and is what its records say, so a state that is
//! read back from the journal is the state that was. An order is durable before it is believed ([`crate::Effect::Ordered`]).
//! Decisions that are on their way to a controller are not called back: they expire after one tick.

use std::collections::BTreeSet;
use std::fmt;

use foreshade_plan::{Approval, Hand, Planned};
use foreshade_types::{Action, HoldReason, RackId, Tick, VmId};
use serde::{Deserialize, Serialize};

/// Names an advised action: the tick that advised it, its rack and its place among the rack's advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AdviceKey {
    /// The tick whose plan had it.
    pub tick: Tick,
    /// Its rack.
    pub rack: RackId,
    /// From 0.
    pub n: u32,
}

impl fmt::Display for AdviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.tick.0, self.rack.0, self.n)
    }
}

/// An action that was planned and is not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// How an operator names it.
    pub key: AdviceKey,
    /// What would be done, for which VM, and why.
    pub planned: Planned,
    /// What keeps it back: advise, paused, demoted.
    pub why: HoldReason,
    /// An operator has turned it down; it is advised no more until the planner has given it up once.
    pub dismissed: bool,
}

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Send nothing until told otherwise; forecasts and advice go on.
    Pause,
    /// Go on as the policy says; what was demoted acts again.
    Resume,
    /// Let one advised action of the newest tick through, if the next plan still wants it.
    Approve(AdviceKey),
    /// Turn one advised action of the newest tick down; an approval of it is withdrawn.
    Dismiss(AdviceKey),
    /// The appliance's own: this kind of action is advice from now on. Not for operators.
    Demote(String),
}

impl Order {
    /// The order in words.
    pub fn text(&self) -> String {
        match self {
            Self::Pause => "pause".into(),
            Self::Resume => "resume".into(),
            Self::Approve(key) => format!("approve {key}"),
            Self::Dismiss(key) => format!("dismiss {key}"),
            Self::Demote(kind) => format!("{kind} is advice from now on"),
        }
    }
}

/// An order that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRecord {
    /// The newest planned tick when it came.
    pub tick: Tick,
    /// Who gave it, as they call themselves.
    pub who: String,
    /// What.
    pub order: Order,
    /// What was approved or dismissed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<(VmId, Action)>,
}

/// Longest name of an operator, characters; the rest is cut.
const WHO_CHARS: usize = 64;

/// What orders have made of the appliance.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OperatorState {
    hand: Hand,
    /// Advised actions that were turned down: VM and kind.
    dismissed: BTreeSet<(VmId, &'static str)>,
    /// Of the newest tick.
    advised: Vec<Advice>,
    tick: Tick,
}

impl OperatorState {
    /// As these records leave it. Approvals and dismissals are for the tick they were given at and do not come back.
    pub fn restored(records: &[OrderRecord]) -> Self {
        let mut s = Self::default();
        for r in records {
            match &r.order {
                Order::Pause => s.hand.paused = true,
                Order::Resume => s.hand = Hand::default(),
                Order::Demote(kind) => drop(s.hand.demoted.insert(kind.clone())),
                Order::Approve(_) | Order::Dismiss(_) => {}
            }
        }
        s
    }

    /// Is nothing sent?
    pub fn is_paused(&self) -> bool {
        self.hand.paused
    }

    /// Kinds of action that were demoted to advice.
    pub fn demoted(&self) -> &BTreeSet<String> {
        &self.hand.demoted
    }

    /// What lies over the next plan.
    pub fn hand(&self) -> &Hand {
        &self.hand
    }

    /// Takes an order; its record is to be made durable.
    ///
    /// # Errors
    /// Why it cannot be followed, in one line; nothing has changed.
    pub fn take(&mut self, who: &str, order: Order) -> Result<OrderRecord, String> {
        let action = match &order {
            Order::Approve(key) | Order::Dismiss(key) => Some(self.find(key)?),
            _ => None,
        };
        match (&order, action) {
            (Order::Approve(key), _) if self.hand.paused => {
                return Err(format!("{key} is not approved: the appliance is paused; resume it first"));
            }
            (Order::Pause, _) => {
                self.hand.paused = true;
                self.hand.approved.clear();
            }
            (Order::Resume, _) => self.hand = Hand::default(),
            (Order::Demote(kind), _) if Action::NAMES.contains(&kind.as_str()) => {
                self.hand.demoted.insert(kind.clone());
            }
            (Order::Demote(kind), _) => return Err(format!("{kind} is no kind of action")),
            (Order::Approve(_), Some((vm, action))) => {
                self.dismissed.remove(&(vm, action.name()));
                self.hand.approved.push(Approval { vm, action });
            }
            (Order::Dismiss(_), Some((vm, action))) => {
                self.dismissed.insert((vm, action.name()));
                self.hand.approved.retain(|a| !a.covers(vm, &action));
            }
            (Order::Approve(_) | Order::Dismiss(_), None) => {}
        }
        let who = who.chars().filter(|c| !c.is_control()).take(WHO_CHARS).collect();
        Ok(OrderRecord { tick: self.tick, who, order, action })
    }

    fn find(&self, key: &AdviceKey) -> Result<(VmId, Action), String> {
        let found = self.advised.iter().find(|a| a.key == *key);
        found.map(|a| (a.planned.vm, a.planned.action)).ok_or_else(|| {
            let newest = self.tick;
            format!("{key} is not advised at {newest}; only advice of the newest tick can be approved or dismissed")
        })
    }

    /// Takes note of a tick's plan: what is advised now; approvals are used up, those that were not wanted any more are
    /// given back. `sent` = the VM and action of what was sent.
    pub(crate) fn planned(
        &mut self,
        tick: Tick,
        advised: Vec<(RackId, Planned, HoldReason)>,
        sent: &[(VmId, Action)],
    ) -> Vec<(VmId, Action)> {
        self.tick = tick;
        let wanted: BTreeSet<_> = advised.iter().map(|(_, p, _)| (p.vm, p.action.name())).collect();
        self.dismissed.retain(|d| wanted.contains(d));
        let mut n = 0;
        let mut last = RackId(0);
        let number = |(rack, planned, why): (RackId, Planned, HoldReason)| {
            n = if rack == last { n } else { 0 };
            last = rack;
            let key = AdviceKey { tick, rack, n };
            n += 1;
            let dismissed = self.dismissed.contains(&(planned.vm, planned.action.name()));
            Advice { key, planned, why, dismissed }
        };
        self.advised = advised.into_iter().map(number).collect();
        let approved = std::mem::take(&mut self.hand.approved);
        let went = |a: &Approval| sent.iter().any(|(vm, action)| a.covers(*vm, action));
        approved.iter().filter(|a| !went(a)).map(|a| (a.vm, a.action)).collect()
    }

    /// The newest tick's advice.
    pub fn advised(&self) -> &[Advice] {
        &self.advised
    }
}

#[cfg(test)]
mod tests {
    use foreshade_types::{HostId, Reason, Resource, Rule, Worth};

    use super::*;

    fn moved(vm: u32) -> (RackId, Planned, HoldReason) {
        let reason = Reason {
            rule: Rule::HostOverload,
            resource: Resource::Cpu,
            quantile_permille: 950,
            horizon_s: 0,
            predicted: 2,
            threshold: 1,
            worth: Worth::default(),
            rejected: vec![],
        };
        let action = Action::Migrate { to: HostId(2) };
        (RackId(0), Planned { vm: VmId(vm), host: HostId(0), action, reason }, HoldReason::Advise)
    }

    /// At tick 7 two moves are advised.
    fn state() -> OperatorState {
        let mut s = OperatorState::default();
        assert!(s.planned(Tick(7), vec![moved(1), moved(2)], &[]).is_empty());
        s
    }

    fn key(tick: u64, n: u32) -> AdviceKey {
        AdviceKey { tick: Tick(tick), rack: RackId(0), n }
    }

    #[test]
    fn what_was_written_down_is_the_state_that_was() {
        let mut s = state();
        let orders = [Order::Pause, Order::Demote("migrate".into()), Order::Approve(key(7, 0))];
        let records: Vec<_> = orders.into_iter().filter_map(|o| s.take("ann", o).ok()).collect();
        assert_eq!(records.len(), 2, "nothing is approved while paused");
        let back = OperatorState::restored(&records);
        assert!(back.is_paused() && back.demoted().contains("migrate"));
        assert_eq!(back.hand(), s.hand());
        let resumed = s.take("ann", Order::Resume).unwrap();
        let back = OperatorState::restored(&[records, vec![resumed]].concat());
        assert!(!back.is_paused() && back.demoted().is_empty() && back.hand() == s.hand());
    }

    #[test]
    fn an_approval_is_for_advice_of_the_newest_tick_and_for_the_next_plan_alone() {
        let mut s = state();
        let e = s.take("ann", Order::Approve(key(6, 0))).unwrap_err();
        assert!(e.contains("6.0.0") && e.contains("newest tick"), "{e}");
        let r = s.take("ann", Order::Approve(key(7, 1))).unwrap();
        assert_eq!(r.action, Some((VmId(2), Action::Migrate { to: HostId(2) })));
        assert_eq!(s.hand().approved.len(), 1);
        // The next plan does not want it any more: it lapses, and that is told.
        let lapsed = s.planned(Tick(8), vec![moved(1)], &[]);
        assert_eq!(lapsed.iter().map(|l| l.0).collect::<Vec<_>>(), [VmId(2)]);
        assert!(s.hand().approved.is_empty());
        // What was sent has not lapsed.
        s.take("ann", Order::Approve(key(8, 0))).unwrap();
        assert!(s.planned(Tick(9), vec![], &[(VmId(1), Action::Migrate { to: HostId(2) })]).is_empty());
    }

    #[test]
    fn a_pause_withdraws_approvals() {
        let mut s = state();
        s.take("ann", Order::Approve(key(7, 0))).unwrap();
        s.take("ann", Order::Pause).unwrap();
        s.take("ann", Order::Resume).unwrap();
        assert!(s.hand().is_idle());
    }

    #[test]
    fn what_is_dismissed_stays_so_until_it_was_given_up_once() {
        let mut s = state();
        s.take("ann", Order::Approve(key(7, 0))).unwrap();
        s.take("ann", Order::Dismiss(key(7, 0))).unwrap();
        assert!(s.hand().approved.is_empty(), "the later order counts");
        let told = |s: &OperatorState| s.advised().iter().map(|a| a.dismissed).collect::<Vec<_>>();
        s.planned(Tick(8), vec![moved(1), moved(2)], &[]);
        assert_eq!(told(&s), [true, false]);
        s.planned(Tick(9), vec![moved(2)], &[]);
        s.planned(Tick(10), vec![moved(1)], &[]);
        assert_eq!(told(&s), [false]);
    }
}
