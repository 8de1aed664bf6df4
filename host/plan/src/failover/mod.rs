//! Fail-over: a VM that has failed, or whose host is lost, goes on at its shadow where that is in sync and there is room;
//! else its copy is brought up to date, or it is started anew where there is room. In order of `failover_priority`, before
//! anything else is planned.
//!
//! The decision names the generation of the write token that the new primary is to have: the rack controller fences the old
//! one before it grants it (`enact::fence`), and takes each generation once.

mod policy;
mod when;

use foreshade_types::{
    Action, Allocation, Alternative, HoldReason, HostId, Mebibytes, Millicores, Part, Reason, Rejected,
    Resource, Rule, ShadowPhase, SyncState, Worth,
};

pub use policy::{Criterion, Failover, HOOKS_MAX, Hook, PRESETS, Watch, preset};
pub use when::{Clocks, Health, When, WhenError};

use crate::report::{Draft, Planned};
use crate::rules::keeps_rules;
use crate::{HostView, PlanInput, Policy, VmView};

/// What a VM's fail-over needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// The criterion that holds.
    pub failing: Option<Rule>,
    /// Its host is lost, and it with it.
    pub down: bool,
    /// It was failed over a short while ago.
    pub resting: bool,
    /// A recovery of its copy was asked for a short while ago.
    pub recovering: bool,
    /// Of its write token.
    pub generation: u32,
    /// Higher goes first where many are brought back at once.
    pub priority: u32,
    /// How long it may be away, seconds, where its owner pays for a time of its own.
    pub max_downtime_s: Option<u64>,
}

/// Room that was promised in this round, by host.
#[derive(Default)]
struct Promised(Vec<(HostId, Allocation)>);

impl Promised {
    fn on(&self, h: HostId) -> Allocation {
        let of = self.0.iter().filter(|p| p.0 == h).map(|p| p.1);
        of.fold(Allocation::default(), |a, b| Allocation { cpu: a.cpu + b.cpu, memory: a.memory + b.memory })
    }

    /// Has the host room for what the VM will need? What it holds of its shadow there already is not asked for again.
    fn fits(&self, h: &HostView, need: Allocation, held: Mebibytes, policy: &Policy) -> bool {
        let given = self.on(h.id);
        let cpu = h.peak.at(policy.host_quantile_permille) + given.cpu.0 + need.cpu.0;
        let memory = h.memory_load + given.memory + (need.memory - held);
        h.up && cpu <= h.cpu.0 * policy.target_limit_percent / 100 && memory.0 <= h.memory.0 * 95 / 100
    }
}

/// What a VM needs when it takes its whole load at once: the upper bound of its forecast; all it was sold where that is
/// not known.
fn need(v: &VmView) -> Allocation {
    let cold = v.readiness == foreshade_types::Readiness::Cold;
    let cpu = if cold { v.size.cpu } else { Millicores(v.cpu.peak.q99).min(v.size.cpu).max(v.cpu_demand) };
    let memory =
        v.memory.filter(|_| !cold).map_or(v.size.memory, |m| Mebibytes(m.peak.q99).max(v.memory_demand));
    Allocation { cpu: cpu.min(v.size.cpu), memory: memory.min(v.size.memory) }
}

/// Plans fail-overs, recoveries and cold starts. Returns why those that have failed were left, to be noted last: that is what
/// matters most about them.
pub(crate) fn decide(
    input: &PlanInput<'_>,
    policy: &Policy,
    draft: &mut Draft,
) -> Vec<(foreshade_types::VmId, HoldReason)> {
    let mut left = Vec::new();
    let fails = |v: &&VmView| {
        !v.stopped && (v.standing.down && policy.failover.on_host_loss || v.standing.failing.is_some())
    };
    let mut vms: Vec<_> = input.vms.iter().filter(fails).collect();
    vms.sort_by_key(|v| (std::cmp::Reverse(v.standing.priority), v.id));
    let mut promised = Promised::default();
    for v in vms {
        let host_lost = v.standing.down && policy.failover.on_host_loss;
        let mut round = Round { input, policy, draft: &*draft, promised: &mut promised };
        let done = if input.site.rules.is_opted_out(v.id) {
            Err(HoldReason::OptedOut)
        } else if host_lost {
            round.bring_back(v)
        } else {
            round.fail_over(v)
        };
        match done {
            Ok(p) => draft.act(p),
            Err(why) => {
                if why == HoldReason::NoRoom {
                    draft.provision(v.id, need(v));
                }
                left.push((v.id, why));
            }
        }
    }
    left
}

/// Has this VM nothing else to be decided about it: it is down, or it has failed?
pub(crate) fn settled(v: &VmView, draft: &Draft) -> bool {
    v.standing.down
        || draft
            .planned(v.id)
            .any(|a| matches!(a, Action::FailOver { .. } | Action::Restart { .. } | Action::RecoverSync))
}

/// What fail-overs need to know while VMs are worked through.
struct Round<'r, 'a> {
    input: &'r PlanInput<'a>,
    policy: &'r Policy,
    draft: &'r Draft,
    promised: &'r mut Promised,
}

impl Round<'_, '_> {
    /// Its host is lost: onto its shadow, else a cold start.
    fn bring_back(&mut self, v: &VmView) -> Result<Planned, HoldReason> {
        if v.migrating {
            return Err(HoldReason::InFlight);
        }
        let (input, policy) = (self.input, self.policy);
        let why = match self.onto_shadow(v) {
            Ok(action) => return Ok(planned(input, v, Rule::HostLost, action, policy, &[])),
            Err(why) => why,
        };
        let need = need(v);
        let spare =
            |h: &&HostView| (h.peak.at(policy.host_quantile_permille) + self.promised.on(h.id).cpu.0, h.id);
        let fits = |h: &&HostView| {
            input.may_move(v, h)
                && keeps_rules(input, self.draft, v.id, Part::Primary, h.id)
                && self.promised.fits(h, need, Mebibytes(0), policy)
        };
        let host = input.hosts.iter().filter(fits).min_by_key(spare).ok_or(HoldReason::NoRoom)?.id;
        self.promised.0.push((host, need));
        let action = Action::Restart { host, size: need, generation: v.standing.generation + 1 };
        Ok(planned(input, v, Rule::HostLost, action, policy, &[(Alternative::FailOver, why)]))
    }

    /// It has failed where it is: onto its shadow, else its copy is brought up to date for the next attempt.
    fn fail_over(&mut self, v: &VmView) -> Result<Planned, HoldReason> {
        let rule = v.standing.failing.unwrap_or(Rule::OperatorsRule);
        if v.migrating {
            return Err(HoldReason::InFlight);
        }
        if v.standing.resting {
            return Err(HoldReason::FailOverRest);
        }
        let (action, not) = match self.onto_shadow(v) {
            Ok(action) => (action, (Alternative::Hold, HoldReason::WouldRunShort)),
            Err(HoldReason::NotSynchronised) if may_recover(v) => {
                (Action::RecoverSync, (Alternative::FailOver, HoldReason::NotSynchronised))
            }
            Err(why) => return Err(why),
        };
        Ok(planned(self.input, v, rule, action, self.policy, &[not]))
    }

    fn onto_shadow(&mut self, v: &VmView) -> Result<Action, HoldReason> {
        let s = v.shadow.ok_or(HoldReason::NoShadow)?;
        if !s.takes_traffic() {
            return Err(HoldReason::NotSynchronised);
        }
        let h = self.input.host(s.place.host).ok_or(HoldReason::NoShadow)?;
        let need = need(v);
        if !self.promised.fits(h, need, s.size.memory, self.policy)
            || !keeps_rules(self.input, self.draft, v.id, Part::Primary, h.id)
        {
            return Err(HoldReason::NoRoom);
        }
        self.promised.0.push((h.id, Allocation { memory: need.memory - s.size.memory, ..need }));
        let (generation, hooks) = (v.standing.generation + 1, self.policy.failover.hooks());
        Ok(Action::FailOver { host: h.id, size: need, generation, hooks })
    }
}

/// A copy that lags or is wrong can be made anew; one that was asked for is waited for.
fn may_recover(v: &VmView) -> bool {
    let copies =
        |p| matches!(p, ShadowPhase::Syncing | ShadowPhase::Warm | ShadowPhase::Ready | ShadowPhase::Active);
    !v.standing.recovering && v.shadow.is_some_and(|s| copies(s.phase) && s.sync != SyncState::CaughtUp)
}

/// The reason compares what the VM will need with what its host's limit leaves.
fn planned(
    input: &PlanInput<'_>,
    v: &VmView,
    rule: Rule,
    action: Action,
    policy: &Policy,
    not: &[(Alternative, HoldReason)],
) -> Planned {
    let to = match action {
        Action::FailOver { host, .. } | Action::Restart { host, .. } => Some(host),
        _ => v.shadow.map(|s| s.place.host),
    };
    let left = to.and_then(|h| input.host(h)).map_or(0, |h| {
        (h.cpu.0 * policy.target_limit_percent / 100).saturating_sub(h.peak.at(policy.host_quantile_permille))
    });
    let reason = Reason {
        rule,
        resource: Resource::Cpu,
        quantile_permille: 990,
        horizon_s: 0,
        predicted: need(v).cpu.0,
        threshold: left,
        worth: Worth::default(),
        rejected: not.iter().map(|&(alternative, why)| Rejected { alternative, why }).collect(),
    };
    Planned { vm: v.id, host: v.host, action, reason }
}
