//! The plan and its account: one verdict per VM, also for those left alone.

use std::collections::BTreeMap;

use foreshade_types::{Action, HoldReason, HostId, Reason, VmId};

use crate::{Mode, PlanInput, Policy};

/// One action the planner wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// For which VM.
    pub vm: VmId,
    /// Where the planner believes it is.
    pub host: HostId,
    /// What.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

/// What is to be done this tick, in order: relief first, then the rest by VM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The actions.
    pub actions: Vec<Planned>,
}

/// What was decided about one VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// So many actions in the plan.
    Act(u32),
    /// Nothing, because of this.
    Hold(HoldReason),
}

/// The account of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlanReport {
    /// One row per VM, in the input's order.
    pub verdicts: Vec<(VmId, Verdict)>,
    /// Hosts that are forecast to run over and could not be relieved, with the reason.
    pub unrelieved: Vec<(HostId, HoldReason)>,
    /// Actions that mode `advise` kept from being sent.
    pub advised: Vec<Planned>,
}

impl PlanReport {
    /// How many VMs were held, by reason.
    pub fn holds(&self) -> BTreeMap<HoldReason, u64> {
        let mut n = BTreeMap::new();
        for (_, v) in &self.verdicts {
            if let Verdict::Hold(r) = v {
                *n.entry(*r).or_default() += 1;
            }
        }
        n
    }
}

/// The plan while it is made.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) plan: Plan,
    pub(crate) unrelieved: Vec<(HostId, HoldReason)>,
    verdicts: Vec<(VmId, Verdict)>,
}

impl Draft {
    pub(crate) fn new(input: &PlanInput<'_>) -> Self {
        let held = |v: &crate::VmView| (v.id, Verdict::Hold(HoldReason::WithinBounds));
        Self { plan: Plan::default(), unrelieved: Vec::new(), verdicts: input.vms.iter().map(held).collect() }
    }

    pub(crate) fn act(&mut self, p: Planned) {
        if let Ok(i) = self.verdicts.binary_search_by_key(&p.vm, |v| v.0) {
            let n = if let Verdict::Act(n) = self.verdicts[i].1 { n } else { 0 };
            self.verdicts[i].1 = Verdict::Act(n + 1);
        }
        self.plan.actions.push(p);
    }

    /// Notes why nothing was done; an action already planned for the VM stands.
    pub(crate) fn hold(&mut self, vm: VmId, why: HoldReason) {
        if let Ok(i) = self.verdicts.binary_search_by_key(&vm, |v| v.0)
            && matches!(self.verdicts[i].1, Verdict::Hold(_))
        {
            self.verdicts[i].1 = Verdict::Hold(why);
        }
    }

    /// The actions planned for a VM so far.
    pub(crate) fn planned(&self, vm: VmId) -> impl Iterator<Item = &Action> {
        self.plan.actions.iter().filter(move |p| p.vm == vm).map(|p| &p.action)
    }

    pub(crate) fn finish(mut self, policy: &Policy) -> (Plan, PlanReport) {
        let mut advised = Vec::new();
        if policy.mode != Mode::Auto {
            advised = std::mem::take(&mut self.plan.actions);
            for (_, v) in &mut self.verdicts {
                if matches!(v, Verdict::Act(_)) {
                    *v = Verdict::Hold(HoldReason::Advise);
                }
            }
        }
        if policy.mode == Mode::Off {
            advised.clear();
        }
        (self.plan, PlanReport { verdicts: self.verdicts, unrelieved: self.unrelieved, advised })
    }
}
