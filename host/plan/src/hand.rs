//! The operator's hand on a plan: what was paused, approved or taken back goes or stays, whatever the modes say.

use std::collections::{BTreeMap, BTreeSet};

use foreshade_types::{Action, HoldReason, HostId, VmId};

use crate::{Plan, PlanReport, Verdict};

/// An action that an operator has let through once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Approval {
    /// For which VM.
    pub vm: VmId,
    /// What was advised. Its size may differ when it is sent: that follows the newest forecast.
    pub action: Action,
}

impl Approval {
    /// Is this what was approved: the same kind of action, for the same VM, onto the same host?
    pub fn covers(&self, vm: VmId, action: &Action) -> bool {
        self.vm == vm && self.action.name() == action.name() && target(&self.action) == target(action)
    }
}

fn target(action: &Action) -> Option<HostId> {
    match *action {
        Action::CreateShadow { host, .. } => Some(host),
        Action::Migrate { to } => Some(to),
        Action::FailOver { host, .. } | Action::Restart { host, .. } => Some(host),
        _ => None,
    }
}

/// What stands over the modes at a tick.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hand {
    /// Nothing is sent.
    pub paused: bool,
    /// Sent although their mode is advise.
    pub approved: Vec<Approval>,
    /// Kinds of action that are advice for now although their mode is auto, by [`Action::name`].
    pub demoted: BTreeSet<String>,
}

impl Hand {
    /// Lays the hand on a plan. What is kept back is advice, and its VM is held with the reason unless something else is
    /// sent for it.
    pub fn over(&self, mut plan: Plan, mut report: PlanReport) -> (Plan, PlanReport) {
        let mut kept = Vec::new();
        plan.actions.retain(|p| {
            let why = match () {
                () if self.paused => HoldReason::Paused,
                () if self.demoted.contains(p.action.name()) => HoldReason::Demoted,
                () => return true,
            };
            kept.push((p.clone(), why));
            false
        });
        let approved = |vm, a: &Action| !self.paused && self.approved.iter().any(|x| x.covers(vm, a));
        let (through, mut advised): (Vec<_>, Vec<_>) =
            report.advised.into_iter().chain(kept).partition(|(p, _)| approved(p.vm, &p.action));
        if self.paused {
            advised.iter_mut().for_each(|(_, why)| *why = HoldReason::Paused);
        }
        plan.actions.extend(through.into_iter().map(|(p, _)| p));
        report.advised = advised;
        let kept: BTreeMap<VmId, HoldReason> = report.advised.iter().map(|(p, why)| (p.vm, *why)).collect();
        let mut sent: BTreeMap<VmId, u32> = BTreeMap::new();
        plan.actions.iter().for_each(|p| *sent.entry(p.vm).or_default() += 1);
        for (vm, verdict) in &mut report.verdicts {
            match (sent.get(vm), kept.get(vm)) {
                (Some(n), _) => *verdict = Verdict::Act(*n),
                (None, Some(why)) => *verdict = Verdict::Hold(*why),
                (None, None) => {}
            }
        }
        (plan, report)
    }

    /// Does it change anything?
    pub fn is_idle(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use foreshade_types::{Reason, Resource, Rule, Worth};

    use super::*;
    use crate::Planned;

    fn planned(vm: u32, action: Action) -> Planned {
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
        Planned { vm: VmId(vm), host: HostId(0), action, reason }
    }

    /// VM 1 is moved by itself, VMs 2 and 3 only in words.
    fn plan() -> (Plan, PlanReport) {
        let to = |h| Action::Migrate { to: HostId(h) };
        let advised = [planned(2, to(5)), planned(3, Action::ReleaseShadow)];
        let report = PlanReport {
            verdicts: vec![
                (VmId(1), Verdict::Act(1)),
                (VmId(2), Verdict::Hold(HoldReason::Advise)),
                (VmId(3), Verdict::Hold(HoldReason::Advise)),
                (VmId(4), Verdict::Hold(HoldReason::Cold)),
            ],
            advised: advised.into_iter().map(|p| (p, HoldReason::Advise)).collect(),
            ..PlanReport::default()
        };
        (Plan { actions: vec![planned(1, to(4))] }, report)
    }

    #[test]
    fn a_pause_keeps_everything_back_and_says_so() {
        let approved = vec![Approval { vm: VmId(2), action: Action::Migrate { to: HostId(5) } }];
        let (p, r) = plan();
        let (p, r) = Hand { paused: true, approved, ..Hand::default() }.over(p, r);
        assert!(p.actions.is_empty(), "an approval does not break a pause");
        assert_eq!(r.advised.len(), 3);
        let why = |vm| r.verdicts.iter().find(|v| v.0 == VmId(vm)).map(|v| v.1);
        assert_eq!([1, 2, 3].map(why), [Some(Verdict::Hold(HoldReason::Paused)); 3]);
        assert_eq!(why(4), Some(Verdict::Hold(HoldReason::Cold)), "it would not have been acted on");
    }

    #[test]
    fn what_is_approved_goes_and_nothing_else() {
        for (host, sent) in [(5, 2), (6, 1)] {
            let approved = vec![Approval { vm: VmId(2), action: Action::Migrate { to: HostId(host) } }];
            let (p, r) = plan();
            let (p, r) = Hand { approved, ..Hand::default() }.over(p, r);
            assert_eq!(p.actions.len(), sent, "onto {host}: another target is another decision");
            assert_eq!(p.actions.len() + r.advised.len(), 3);
        }
    }

    #[test]
    fn what_is_demoted_is_only_said() {
        let (p, r) = plan();
        let (p, r) = Hand { demoted: ["migrate".to_owned()].into(), ..Hand::default() }.over(p, r);
        assert!(p.actions.is_empty());
        assert_eq!(r.verdicts[0].1, Verdict::Hold(HoldReason::Demoted));
        assert_eq!(r.verdicts[1].1, Verdict::Hold(HoldReason::Advise));
    }
}
