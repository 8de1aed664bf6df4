//! A shadow for a host that may run over: one that is suspended is resumed, else one is made, where it is worth its cost and
//! the budgets have room.

use std::collections::BTreeSet;

use foreshade_types::{
    Action, Alternative, HoldReason, Part, Reason, Rejected, Resource, Rule, ShadowPhase, Worth,
};

use crate::lifecycle::{Event, step};
use crate::relief::{Round, With, best, fitting, relieved};
use crate::report::{Draft, Planned};
use crate::rules::keeps_rules;
use crate::{HostView, PlanInput, Policy, VmView};

impl Round<'_> {
    /// Resumes or makes a shadow of a VM of `h`.
    pub(crate) fn create(
        &mut self,
        input: &PlanInput<'_>,
        h: &HostView,
        draft: &mut Draft,
    ) -> Result<(), HoldReason> {
        if let Some(done) = self.resume(input, h, draft) {
            return done;
        }
        if input.vms.iter().any(|v| v.host == h.id && awaited(v)) {
            return Err(HoldReason::InFlight);
        }
        let policy = self.policy;
        if policy.rules_out("create-shadow") {
            return Err(HoldReason::TurnedOff);
        }
        let full = self.shadows >= policy.shadows_per_rack;
        let gives_way = input.vms.iter().filter(|v| full && gives_way(input, v, policy, draft));
        let gives_way = gives_way.min_by_key(|v| (v.shadow.map(|s| s.needed_ms), v.id));
        if full && gives_way.is_none() {
            return Err(HoldReason::ShadowBudget);
        }
        let mut moves = fitting(input, self.scored, policy, h, policy.shift_percent, With::Nothing);
        moves.retain(|m| keeps_rules(input, draft, m.vm.id, Part::Shadow, m.to));
        let m = best(moves, policy.host_limit(h), &self.taken, false).ok_or(HoldReason::NoBeneficialMove)?;
        let size = policy.shadow_size(m.vm);
        policy.affords(input, size, self.made)?;
        let worth = policy.shadow_worth(input, h, &m.source, size.cpu.0);
        if !worth.pays() {
            return Err(HoldReason::NotWorth);
        }
        if let Some(v) = gives_way {
            draft.act(make_room(v, h, policy));
            self.shadows -= 1;
        }
        self.shadows += 1;
        self.made += size.cpu;
        self.taken.insert(m.to);
        self.act(
            draft,
            h,
            m.vm,
            Action::CreateShadow { host: m.to, size },
            worth,
            &[(Alternative::Migrate, self.no_move)],
        );
        Ok(())
    }

    /// `None`: no VM of the host has a suspended shadow that would help.
    fn resume(
        &self,
        input: &PlanInput<'_>,
        h: &HostView,
        draft: &mut Draft,
    ) -> Option<Result<(), HoldReason>> {
        let policy = self.policy;
        if policy.rules_out("resume-shadow") {
            return None;
        }
        let asleep = fitting(input, self.scored, policy, h, policy.shift_percent, With::Suspended);
        let m = best(asleep, policy.host_limit(h), &BTreeSet::new(), false)?;
        let costs = m.vm.shadow.map_or(0, |s| s.size.cpu.0);
        let worth = policy.shadow_worth(input, h, &m.source, costs);
        if !worth.pays() {
            return Some(Err(HoldReason::NotWorth));
        }
        self.act(draft, h, m.vm, Action::ResumeShadow, worth, &[(Alternative::Migrate, self.no_move)]);
        Some(Ok(()))
    }
}

/// Has the VM a shadow that is to relieve its host, and does not yet?
fn awaited(v: &VmView) -> bool {
    v.shadow.is_some_and(|s| !matches!(s.phase, ShadowPhase::Active | ShadowPhase::Suspended))
}

/// May this VM's shadow be terminated for another's sake? Only one that is suspended.
fn gives_way(input: &PlanInput<'_>, v: &VmView, policy: &Policy, draft: &Draft) -> bool {
    let limits = policy.shadow_limits(input.tick_ms);
    // A place that is only said to become free is not free.
    policy.mode_of("release-shadow") >= policy.mode_of("create-shadow")
        && v.shadow.is_some_and(|s| {
            s.phase == ShadowPhase::Suspended && step(&s, Event::OverBudget, input.now_ms(), &limits).is_ok()
        })
        && !relieved(draft, v.id)
}

fn make_room(v: &VmView, for_host: &HostView, policy: &Policy) -> Planned {
    let reason = Reason {
        rule: Rule::ShadowOverBudget,
        resource: Resource::Cpu,
        quantile_permille: policy.shadow_creation_threshold_permille,
        horizon_s: 0,
        predicted: for_host.peak.at(policy.shadow_creation_threshold_permille),
        threshold: policy.host_limit(for_host),
        worth: Worth::default(),
        rejected: vec![Rejected { alternative: Alternative::Hold, why: HoldReason::ShadowBudget }],
    };
    Planned { vm: v.id, host: v.host, action: Action::ReleaseShadow, reason }
}
