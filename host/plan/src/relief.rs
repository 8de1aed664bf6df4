//! Relief of hosts that are forecast to run over: shift to a shadow that is ready, migrate when the load will stay,
//! pre-warm a shadow when the peak will pass. One relief per host and tick; the next tick sees what it did.

use std::collections::BTreeSet;

use foreshade_types::{
    Action, Allocation, Alternative, HoldReason, HostId, Readiness, Reason, Rejected, Resource, Rule, VmId,
};

use crate::report::{Draft, Planned};
use crate::{Budget, HostView, MoveQuery, MoveScore, PlanInput, Policy, ShadowState, VmView};

/// VMs of an overrun host that are scored, and targets for each.
const VMS_PER_HOST: usize = 8;
const TARGETS_PER_HOST: usize = 3;

impl Policy {
    /// CPU above which a host is relieved.
    pub fn host_limit(&self, h: &HostView) -> u64 {
        h.cpu.0 * self.host_limit_percent / 100
    }

    /// Is the host's peak likely enough over the limit that relief is prepared?
    pub fn prepares(&self, h: &HostView) -> bool {
        h.peak.at(self.shadow_creation_threshold_permille) > self.host_limit(h)
    }

    /// Is the host's peak likely enough over the limit that relief is due?
    fn relieves(&self, h: &HostView) -> bool {
        h.peak.at(self.host_quantile_permille) > self.host_limit(h)
    }

    /// Will the load stay? Then a move pays, else a shadow does.
    fn stays(&self, h: &HostView) -> bool {
        h.hour.q50.max(h.peak.q50) > self.host_limit(h)
    }

    /// Idle footprint of a VM's shadow.
    pub fn idle_shadow(&self, v: &VmView) -> Allocation {
        let one_core = 1000.min(v.size.cpu.0);
        Allocation {
            cpu: foreshade_types::Millicores((v.size.cpu.0 / self.shadow_cpu_divisor).max(one_core)),
            memory: foreshade_types::Mebibytes(
                (v.size.memory.0 / self.shadow_memory_divisor).max(self.floor_mib.min(v.size.memory.0)),
            ),
        }
    }
}

/// Why a VM may not be moved now; `None` = it may.
fn blocked(v: &VmView, policy: &Policy) -> Option<HoldReason> {
    if v.readiness == Readiness::Cold {
        Some(HoldReason::Cold)
    } else if v.stale_ticks > policy.max_stale_ticks {
        Some(HoldReason::Stale)
    } else if v.migrating {
        Some(HoldReason::InFlight)
    } else if v.cool_down {
        Some(HoldReason::CoolDown)
    } else {
        None
    }
}

/// The moves worth scoring, in a fixed order: for each host over the limit its largest VMs against the least loaded
/// targets (whole and shared), shifts to shadows that are ready, and the way back of active ones.
pub fn candidates(input: &PlanInput<'_>, policy: &Policy) -> Vec<MoveQuery> {
    let mut out = Vec::new();
    for v in input.vms {
        if let Some(s) = &v.shadow {
            match s.state {
                ShadowState::Active { share_percent } => {
                    out.push(MoveQuery { vm: v.id, to: v.host, share_percent, back: true });
                }
                ShadowState::Ready => {
                    let share_percent = policy.shift_percent;
                    out.push(MoveQuery { vm: v.id, to: s.host, share_percent, back: false });
                }
                ShadowState::Provisioning => {}
            }
        }
    }
    for h in input.hosts.iter().filter(|h| policy.prepares(h)) {
        let mut vms: Vec<_> = input.vms.iter().filter(|v| v.host == h.id && v.shadow.is_none()).collect();
        vms.retain(|v| blocked(v, policy).is_none());
        vms.sort_by_key(|v| (std::cmp::Reverse(v.cpu.peak.q95), v.id));
        let mut targets: Vec<_> = input.hosts.iter().filter(|t| t.id != h.id).collect();
        targets.sort_by_key(|t| (t.peak.q95, t.id));
        for v in vms.iter().take(VMS_PER_HOST) {
            for t in targets.iter().take(TARGETS_PER_HOST) {
                for share_percent in [100, policy.shift_percent] {
                    out.push(MoveQuery { vm: v.id, to: t.id, share_percent, back: false });
                }
            }
        }
    }
    out.truncate(policy.max_candidates as usize);
    out
}

/// A what-if and its answer.
pub(crate) type Scored = (MoveQuery, MoveScore);

/// A scored move that its target can take.
#[derive(Debug, Clone, Copy)]
struct Move<'a> {
    vm: &'a VmView,
    to: HostId,
    source_after: u64,
    target_after: u64,
}

/// The scored moves off `host` that fit their target and help.
fn fitting<'a>(
    input: &PlanInput<'a>,
    scored: &[Scored],
    policy: &Policy,
    host: &HostView,
    share: u8,
    with_shadow: bool,
) -> Vec<Move<'a>> {
    let q = policy.host_quantile_permille;
    let mut out = Vec::new();
    for (query, score) in scored {
        let Ok(i) = input.vms.binary_search_by_key(&query.vm, |v| v.id) else { continue };
        let (vm, Some(target)) = (&input.vms[i], input.host(query.to)) else { continue };
        if query.back
            || query.share_percent != share
            || vm.host != host.id
            || vm.shadow.is_some() != with_shadow
        {
            continue;
        }
        let memory =
            if share == 100 { vm.memory_demand.scale_up(11, 10) } else { policy.idle_shadow(vm).memory };
        let fits = score.target.at(q) <= target.cpu.0 * policy.target_limit_percent / 100
            && (target.memory_load + memory).0 <= target.memory.0 * 95 / 100;
        if fits && score.source.at(q) < host.peak.at(q) {
            out.push(Move {
                vm,
                to: query.to,
                source_after: score.source.at(q),
                target_after: score.target.at(q),
            });
        }
    }
    out
}

/// Of the moves that suffice, the cheapest (least memory to copy). Where none suffices a share that helps most is still
/// worth its shadow; a migration is not: the host would run over all the same, and the VM would have moved for nothing.
fn best<'a>(
    mut moves: Vec<Move<'a>>,
    limit: u64,
    taken: &BTreeSet<HostId>,
    must_suffice: bool,
) -> Option<Move<'a>> {
    moves.retain(|m| !taken.contains(&m.to));
    let suffices = |m: &Move<'_>| m.source_after <= limit;
    if must_suffice || moves.iter().any(suffices) {
        moves.retain(suffices);
        moves.into_iter().min_by_key(|m| (m.vm.memory_demand, m.target_after, m.vm.id, m.to))
    } else {
        moves.into_iter().min_by_key(|m| (m.source_after, m.target_after, m.vm.id, m.to))
    }
}

/// What a relief needs to know while hosts are worked through.
struct Round<'r> {
    policy: &'r Policy,
    scored: &'r [Scored],
    taken: BTreeSet<HostId>,
    budget: Budget,
    shadows: u32,
}

/// Plans one relief for each host over its limit, the most overrun first.
pub(crate) fn relieve(input: &PlanInput<'_>, scored: &[Scored], policy: &Policy, draft: &mut Draft) {
    let shadows = input.vms.iter().filter(|v| v.shadow.is_some()).count() as u32;
    let budget = Budget::new(input.migrations_left, 0);
    let mut round = Round { policy, scored, taken: BTreeSet::new(), budget, shadows };
    let mut over: Vec<_> = input.hosts.iter().filter(|h| policy.prepares(h) || policy.relieves(h)).collect();
    let excess = |h: &HostView| h.peak.at(policy.host_quantile_permille).saturating_sub(policy.host_limit(h));
    over.sort_by_key(|h| (std::cmp::Reverse(excess(h)), h.id));
    for h in over {
        let done =
            if policy.relieves(h) { round.due(input, h, draft) } else { round.prepare(input, h, draft) };
        if let Err(why) = done {
            draft.unrelieved.push((h.id, why));
            input.vms.iter().filter(|v| v.host == h.id).for_each(|v| draft.hold(v.id, why));
        }
    }
}

impl Round<'_> {
    /// The host is likely to run over: shift, migrate or make a shadow.
    fn due(&mut self, input: &PlanInput<'_>, h: &HostView, draft: &mut Draft) -> Result<(), HoldReason> {
        let shifts = fitting(input, self.scored, self.policy, h, self.policy.shift_percent, true);
        if let Some(m) = best(shifts, self.policy.host_limit(h), &BTreeSet::new(), false) {
            let share = self.policy.shift_percent;
            let size = Allocation {
                cpu: foreshade_types::Millicores(m.vm.cpu.peak.q95 * u64::from(share) / 100)
                    .max(self.policy.idle_shadow(m.vm).cpu),
                memory: self.policy.idle_shadow(m.vm).memory,
            };
            let not = [
                (Alternative::Hold, HoldReason::WouldRunShort),
                (Alternative::Migrate, HoldReason::Transient),
            ];
            self.act(draft, h, m.vm, Action::ShiftTraffic { share_percent: share, size }, &not);
            return Ok(());
        }
        if self.policy.stays(h) {
            return self.migrate(input, h, draft, HoldReason::Sustained);
        }
        match self.create(input, h, draft) {
            Err(why @ (HoldReason::ShadowBudget | HoldReason::NoBeneficialMove)) => {
                self.migrate(input, h, draft, why)
            }
            done => done,
        }
    }

    /// The host may run over: have a shadow ready.
    fn prepare(&mut self, input: &PlanInput<'_>, h: &HostView, draft: &mut Draft) -> Result<(), HoldReason> {
        if self.policy.stays(h) { Ok(()) } else { self.create(input, h, draft) }
    }

    fn migrate(
        &mut self,
        input: &PlanInput<'_>,
        h: &HostView,
        draft: &mut Draft,
        no_shadow: HoldReason,
    ) -> Result<(), HoldReason> {
        let moves = fitting(input, self.scored, self.policy, h, 100, false);
        let m =
            best(moves, self.policy.host_limit(h), &self.taken, true).ok_or(HoldReason::NoBeneficialMove)?;
        if !self.budget.take() {
            return Err(HoldReason::Budget);
        }
        self.taken.insert(m.to);
        let not = [(Alternative::Hold, HoldReason::WouldRunShort), (Alternative::Shadow, no_shadow)];
        self.act(draft, h, m.vm, Action::Migrate { to: m.to }, &not);
        Ok(())
    }

    fn create(&mut self, input: &PlanInput<'_>, h: &HostView, draft: &mut Draft) -> Result<(), HoldReason> {
        let waiting = |v: &VmView| {
            v.host == h.id && v.shadow.is_some_and(|s| !matches!(s.state, ShadowState::Active { .. }))
        };
        if input.vms.iter().any(waiting) {
            return Err(HoldReason::InFlight);
        }
        if self.shadows >= self.policy.shadows_per_rack {
            return Err(HoldReason::ShadowBudget);
        }
        let moves = fitting(input, self.scored, self.policy, h, self.policy.shift_percent, false);
        let m =
            best(moves, self.policy.host_limit(h), &self.taken, false).ok_or(HoldReason::NoBeneficialMove)?;
        self.shadows += 1;
        self.taken.insert(m.to);
        let size = self.policy.idle_shadow(m.vm);
        self.act(
            draft,
            h,
            m.vm,
            Action::CreateShadow { host: m.to, size },
            &[(Alternative::Migrate, HoldReason::Transient)],
        );
        Ok(())
    }

    fn act(
        &self,
        draft: &mut Draft,
        h: &HostView,
        vm: &VmView,
        action: Action,
        not: &[(Alternative, HoldReason)],
    ) {
        let (rule, quantile_permille) = match action {
            Action::Migrate { .. } => (Rule::HostOverload, self.policy.host_quantile_permille),
            Action::CreateShadow { .. } if !self.policy.relieves(h) => {
                (Rule::HostPeak, self.policy.shadow_creation_threshold_permille)
            }
            _ => (Rule::HostPeak, self.policy.host_quantile_permille),
        };
        let rejected = not.iter().map(|&(alternative, why)| Rejected { alternative, why }).collect();
        let reason = Reason {
            rule,
            resource: Resource::Cpu,
            quantile_permille,
            horizon_s: 0,
            predicted: h.peak.at(quantile_permille),
            threshold: self.policy.host_limit(h),
            rejected,
        };
        draft.act(Planned { vm: vm.id, host: vm.host, action, reason });
    }
}

/// Is a relief planned for this VM this tick?
pub(crate) fn relieved(draft: &Draft, vm: VmId) -> bool {
    draft.planned(vm).next().is_some()
}
