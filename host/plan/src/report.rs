//! The plan and its account: one verdict per VM, also for those left alone.

use std::collections::{BTreeMap, BTreeSet};

use foreshade_types::{Action, Allocation, HoldReason, HostId, Reason, VmId};

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
    /// Actions that are kept from being sent, and by what.
    pub advised: Vec<(Planned, HoldReason)>,
    /// VMs for which no host has room, and what they need.
    pub provision: Vec<(VmId, Allocation)>,
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
    provision: Vec<(VmId, Allocation)>,
}

impl Draft {
    pub(crate) fn new(input: &PlanInput<'_>) -> Self {
        let held = |v: &crate::VmView| (v.id, Verdict::Hold(HoldReason::WithinBounds));
        let verdicts = input.vms.iter().map(held).collect();
        Self { plan: Plan::default(), unrelieved: Vec::new(), verdicts, provision: Vec::new() }
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

    /// Notes that no host has room for a VM.
    pub(crate) fn provision(&mut self, vm: VmId, needs: Allocation) {
        self.provision.push((vm, needs));
    }

    /// The actions planned for a VM so far.
    pub(crate) fn planned(&self, vm: VmId) -> impl Iterator<Item = &Action> {
        self.plan.actions.iter().filter(move |p| p.vm == vm).map(|p| &p.action)
    }

    /// Parts what is sent from what is only said; what is off is neither, and its VM is held with that reason.
    pub(crate) fn finish(self, policy: &Policy) -> (Plan, PlanReport) {
        let mut sent: BTreeMap<VmId, u32> = BTreeMap::new();
        let (mut plan, mut advised) = (Plan::default(), Vec::new());
        for p in self.plan.actions {
            match policy.mode_of(p.action.name()) {
                Mode::Auto => {
                    *sent.entry(p.vm).or_default() += 1;
                    plan.actions.push(p);
                }
                Mode::Advise => advised.push((p, HoldReason::Advise)),
                Mode::Off => {}
            }
        }
        let mut verdicts = self.verdicts;
        let said: BTreeSet<VmId> = advised.iter().map(|(p, _)| p.vm).collect();
        for (vm, v) in verdicts.iter_mut().filter(|(_, v)| matches!(v, Verdict::Act(_))) {
            *v = match sent.get(vm) {
                Some(n) => Verdict::Act(*n),
                None if said.contains(vm) => Verdict::Hold(HoldReason::Advise),
                None => Verdict::Hold(HoldReason::TurnedOff),
            };
        }
        let (unrelieved, provision) = (self.unrelieved, self.provision);
        (plan, PlanReport { verdicts, unrelieved, provision, advised })
    }
}
