//! Relief of hosts that are forecast to run over: shift to a shadow that is ready, migrate when the load will stay,
//! pre-warm a shadow when the peak will pass. One relief per host and tick; the next tick sees what it did.

use std::collections::{BTreeMap, BTreeSet};

use foreshade_types::{
    Action, Allocation, Alternative, HoldReason, HostId, Mebibytes, Millicores, Part, Pool, Readiness,
    Reason, Rejected, Resource, Rule, ShadowPhase, VmId, Worth,
};

use crate::report::{Draft, Planned};
use crate::rules::keeps_rules;
use crate::{Bound, Budget, HostView, MoveQuery, MoveScore, PlanInput, Policy, VmView, Wanted, migrate};

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

    /// Memory that a VM, or its shadow for a share of its load, brings to a host.
    pub fn memory_brought(&self, v: &VmView, share_percent: u8) -> Mebibytes {
        if share_percent == 100 { v.memory_demand.scale_up(11, 10) } else { self.shadow_size(v).memory }
    }

    /// Will the load stay? Then a move pays, else a shadow does.
    fn stays(&self, h: &HostView) -> bool {
        h.hour.q50.max(h.peak.q50) > self.host_limit(h)
    }
}

/// Why a VM may not be moved now; `None` = it may.
pub(crate) fn blocked(input: &PlanInput<'_>, v: &VmView, policy: &Policy) -> Option<HoldReason> {
    if input.site.rules.is_opted_out(v.id) {
        Some(HoldReason::OptedOut)
    } else if v.stopped {
        Some(HoldReason::Stopped)
    } else if v.standing.down || v.standing.failing.is_some() {
        Some(HoldReason::InFlight)
    } else if v.readiness == Readiness::Cold {
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

/// The VMs that might leave a host that may run over, the most overrun hosts first: its largest, whole and shared.
pub fn wanted(input: &PlanInput<'_>, policy: &Policy) -> Vec<Wanted> {
    let mut out = Vec::new();
    let excess = |h: &HostView| h.peak.at(policy.host_quantile_permille).saturating_sub(policy.host_limit(h));
    let mut over: Vec<_> = input.hosts.iter().filter(|h| policy.prepares(h)).collect();
    over.sort_by_key(|h| (std::cmp::Reverse(excess(h)), h.id));
    let mut by_host: BTreeMap<HostId, Vec<&VmView>> = over.iter().map(|h| (h.id, vec![])).collect();
    for v in input.vms.iter().filter(|v| v.shadow.is_none() && blocked(input, v, policy).is_none()) {
        if let Some(vms) = by_host.get_mut(&v.host) {
            vms.push(v);
        }
    }
    for h in over {
        let mut vms = by_host.remove(&h.id).unwrap_or_default();
        vms.sort_by_key(|v| (std::cmp::Reverse(v.cpu.peak.q95), v.id));
        for v in vms.iter().take(VMS_PER_HOST) {
            out.extend([100, policy.shift_percent].map(|share_percent| Wanted { vm: v.id, share_percent }));
        }
    }
    out.truncate(policy.max_candidates as usize);
    out
}

/// The moves worth scoring, in a fixed order: shifts to shadows that are ready and the way back of active ones, then the
/// best few hosts for each VM that is [`wanted`].
pub fn candidates(input: &PlanInput<'_>, policy: &Policy) -> Vec<MoveQuery> {
    let mut out = Vec::new();
    for v in input.vms {
        let Some(s) = &v.shadow else { continue };
        match s.phase {
            ShadowPhase::Active => {
                out.push(MoveQuery { vm: v.id, to: v.host, share_percent: s.share_percent, back: true });
            }
            ShadowPhase::Ready | ShadowPhase::Suspended => {
                let share_percent = policy.shift_percent;
                out.push(MoveQuery { vm: v.id, to: s.place.host, share_percent, back: false });
            }
            _ => {}
        }
    }
    let wanted = wanted(input, policy);
    if wanted.is_empty() {
        return out;
    }
    let mut by_load: Vec<_> = input.hosts.iter().collect();
    by_load.sort_by_key(|t| (t.peak.q95, t.id));
    for w in wanted {
        let Some(v) = input.vm(w.vm) else { continue };
        let named = input.shortlist.iter().filter(|n| n.what == w).map(|n| n.to);
        let mut to: Vec<HostId> =
            named.filter(|h| w.share_percent < 100 || !v.trail.leads_back_to(*h)).collect();
        if to.len() < TARGETS_PER_HOST {
            let more = least_loaded(input, v, w.share_percent, &by_load);
            let more: Vec<_> = more.into_iter().filter(|h| !to.contains(h)).collect();
            to.extend(more.into_iter().take(TARGETS_PER_HOST - to.len()));
        }
        let query = |to| MoveQuery { vm: w.vm, to, share_percent: w.share_percent, back: false };
        out.extend(to.into_iter().map(query));
    }
    out
}

/// The hosts that may take it, the least loaded first. What would lead back is asked last: it is scored only to tell that it
/// was in the way. For a share, hosts that are reserved for shadows come first.
fn least_loaded(input: &PlanInput<'_>, v: &VmView, share_percent: u8, by_load: &[&HostView]) -> Vec<HostId> {
    let may = |first: bool| {
        let whole = share_percent == 100;
        let last =
            move |t: &HostView| if whole { v.trail.leads_back_to(t.id) } else { t.pool != Pool::Shadow };
        by_load
            .iter()
            .filter(move |t| last(t) != first)
            .filter(|t| input.may_take(v, share_percent, t))
            .map(|t| t.id)
    };
    may(true).chain(may(false)).take(TARGETS_PER_HOST).collect()
}

/// A what-if and its answer.
pub(crate) type Scored = (MoveQuery, MoveScore);

/// A scored move that its target can take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Move<'a> {
    pub(crate) vm: &'a VmView,
    pub(crate) to: HostId,
    /// The host's peak without what is moved.
    pub(crate) source: Bound,
    source_after: u64,
    target_after: u64,
    /// Its target is not reserved for what it brings.
    unreserved: bool,
}

/// How far the shadows are that a move is sought for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum With {
    Nothing,
    Usable,
    Suspended,
}

impl With {
    fn of(v: &VmView) -> Option<Self> {
        match v.shadow {
            None => Some(Self::Nothing),
            Some(s) if s.phase == ShadowPhase::Ready && s.takes_traffic() => Some(Self::Usable),
            Some(s) if s.phase == ShadowPhase::Suspended => Some(Self::Suspended),
            Some(_) => None,
        }
    }
}

/// The scored moves off `host` that fit their target and help.
pub(crate) fn fitting<'a>(
    input: &PlanInput<'a>,
    scored: &[Scored],
    policy: &Policy,
    host: &HostView,
    share: u8,
    with: With,
) -> Vec<Move<'a>> {
    let q = policy.host_quantile_permille;
    let mut out = Vec::new();
    for (query, score) in scored {
        let Ok(i) = input.vms.binary_search_by_key(&query.vm, |v| v.id) else { continue };
        let (vm, Some(target)) = (&input.vms[i], input.host(query.to)) else { continue };
        if query.back
            || query.share_percent != share
            || vm.host != host.id
            || vm.stopped
            || vm.standing.down
            || vm.standing.failing.is_some()
            || With::of(vm) != Some(with)
        {
            continue;
        }
        let memory = match with {
            With::Nothing => policy.memory_brought(vm, share),
            // It is there already.
            With::Usable | With::Suspended => Mebibytes(0),
        };
        let fits = score.target.at(q) <= target.cpu.0 * policy.target_limit_percent / 100
            && (target.memory_load + memory).0 <= target.memory.0 * 95 / 100;
        if fits && score.source.at(q) < host.peak.at(q) {
            out.push(Move {
                vm,
                to: query.to,
                source: score.source,
                source_after: score.source.at(q),
                target_after: score.target.at(q),
                unreserved: target.pool != Pool::Shadow,
            });
        }
    }
    out
}

/// Of the moves that suffice, the cheapest (least memory to copy). Where none suffices a share that helps most is still
/// worth its shadow; a migration is not: the host would run over all the same, and the VM would have moved for nothing.
pub(crate) fn best<'a>(
    mut moves: Vec<Move<'a>>,
    limit: u64,
    taken: &BTreeSet<HostId>,
    must_suffice: bool,
) -> Option<Move<'a>> {
    moves.retain(|m| !taken.contains(&m.to));
    if must_suffice || moves.iter().any(|m| suffices(m, limit)) {
        moves.retain(|m| suffices(m, limit));
        moves.into_iter().min_by_key(|m| (m.unreserved, m.vm.memory_demand, m.target_after, m.vm.id, m.to))
    } else {
        moves.into_iter().min_by_key(|m| (m.unreserved, m.source_after, m.target_after, m.vm.id, m.to))
    }
}

/// Does the move bring its host under the limit?
fn suffices(m: &Move<'_>, limit: u64) -> bool {
    m.source_after <= limit
}

/// What a relief needs to know while hosts are worked through.
pub(crate) struct Round<'r> {
    pub(crate) policy: &'r Policy,
    pub(crate) scored: &'r [Scored],
    pub(crate) taken: BTreeSet<HostId>,
    budget: Budget,
    /// Sources and targets of the migrations that are planned in this round.
    moving: Vec<HostId>,
    /// Shadows that the rack has or is to have.
    pub(crate) shadows: u32,
    /// CPU of those that are planned in this round.
    pub(crate) made: Millicores,
    /// Why shadows are preferred to a migration.
    pub(crate) no_move: HoldReason,
}

/// Plans one relief for each host over its limit, the most overrun first.
pub(crate) fn relieve(input: &PlanInput<'_>, scored: &[Scored], policy: &Policy, draft: &mut Draft) {
    let shadows = input.vms.iter().filter(|v| v.shadow.is_some()).count() as u32;
    let budget = Budget::new(input.migrations_left, 0);
    let (taken, made, no_move) = (BTreeSet::new(), Millicores(0), HoldReason::Transient);
    let mut round = Round { policy, scored, taken, budget, moving: vec![], shadows, made, no_move };
    let mut over: Vec<_> = input.hosts.iter().filter(|h| policy.prepares(h) || policy.relieves(h)).collect();
    let excess = |h: &HostView| h.peak.at(policy.host_quantile_permille).saturating_sub(policy.host_limit(h));
    over.sort_by_key(|h| (std::cmp::Reverse(excess(h)), h.id));
    for h in over {
        let done =
            if policy.relieves(h) { round.due(input, h, draft) } else { round.prepare(input, h, draft) };
        if let Err(why) = done {
            draft.unrelieved.push((h.id, why));
            let why = |v| input.held_by_rule(v).unwrap_or(why);
            input.vms.iter().filter(|v| v.host == h.id).for_each(|v| draft.hold(v.id, why(v)));
        }
    }
}

impl Round<'_> {
    /// The host is likely to run over: shift, migrate or make a shadow.
    fn due(&mut self, input: &PlanInput<'_>, h: &HostView, draft: &mut Draft) -> Result<(), HoldReason> {
        let mut shifts = fitting(input, self.scored, self.policy, h, self.policy.shift_percent, With::Usable);
        shifts.retain(|_| !self.policy.rules_out("shift-traffic"));
        if let Some(m) = best(shifts, self.policy.host_limit(h), &BTreeSet::new(), false) {
            let share = self.policy.shift_percent;
            let size = Allocation {
                cpu: Millicores(m.vm.cpu.peak.q95 * u64::from(share) / 100)
                    .max(self.policy.shadow_size(m.vm).cpu),
                memory: self.policy.shadow_size(m.vm).memory,
            };
            let not = [
                (Alternative::Hold, HoldReason::WouldRunShort),
                (Alternative::Migrate, HoldReason::Transient),
            ];
            let action = Action::ShiftTraffic { share_percent: share, size };
            self.act(draft, h, m.vm, action, Worth::default(), &not);
            return Ok(());
        }
        self.no_move = HoldReason::Transient;
        if self.policy.stays(h) {
            return match self.migrate(input, h, draft, HoldReason::Sustained) {
                // A shadow for long is better than a move that does not end, or ends too late.
                Err(why @ (HoldReason::WouldNotConverge | HoldReason::TooLate)) => {
                    self.no_move = why;
                    self.create(input, h, draft).map_err(|_| why)
                }
                // A shadow is held for long, and is what is left.
                Err(HoldReason::TurnedOff) => self.create(input, h, draft),
                done => done,
            };
        }
        match self.create(input, h, draft) {
            // What is not worth a shadow is not worth a move.
            Err(
                why @ (HoldReason::ShadowBudget
                | HoldReason::NoBeneficialMove
                | HoldReason::ShadowCost
                | HoldReason::TurnedOff),
            ) => self.migrate(input, h, draft, why),
            done => done,
        }
    }

    /// The host may run over: have a shadow ready.
    fn prepare(&mut self, input: &PlanInput<'_>, h: &HostView, draft: &mut Draft) -> Result<(), HoldReason> {
        self.no_move = HoldReason::Transient;
        if self.policy.stays(h) { Ok(()) } else { self.create(input, h, draft) }
    }

    fn migrate(
        &mut self,
        input: &PlanInput<'_>,
        h: &HostView,
        draft: &mut Draft,
        no_shadow: HoldReason,
    ) -> Result<(), HoldReason> {
        if self.policy.rules_out("migrate") {
            return Err(HoldReason::TurnedOff);
        }
        let mut moves = fitting(input, self.scored, self.policy, h, 100, With::Nothing);
        moves.retain(|m| keeps_rules(input, draft, m.vm.id, Part::Primary, m.to));
        let limit = self.policy.host_limit(h);
        moves.retain(|m| suffices(m, limit) && !self.taken.contains(&m.to));
        let may = |m: &Move<'_>| input.may_start(self.policy, m.vm, m.to, &self.moving);
        let (moves, barred): (Vec<_>, Vec<_>) = moves.into_iter().partition(|m| may(m).is_ok());
        if let Some(why) = barred.first().and_then(|m| may(m).err()).filter(|_| moves.is_empty()) {
            return Err(why);
        }
        let weighed = migrate::weigh(input, h, moves, self.policy)?;
        let moves = weighed.iter().map(|w| w.m).collect();
        let m = best(moves, limit, &self.taken, true).ok_or(HoldReason::NoBeneficialMove)?;
        let worth = weighed.iter().find(|w| w.m.vm.id == m.vm.id && w.m.to == m.to).map(|w| w.worth);
        if !self.budget.take() {
            return Err(HoldReason::Budget);
        }
        self.taken.insert(m.to);
        self.moving.extend([h.id, m.to]);
        let not = [(Alternative::Hold, HoldReason::WouldRunShort), (Alternative::Shadow, no_shadow)];
        self.act(draft, h, m.vm, Action::Migrate { to: m.to }, worth.unwrap_or_default(), &not);
        Ok(())
    }

    pub(crate) fn act(
        &self,
        draft: &mut Draft,
        h: &HostView,
        vm: &VmView,
        action: Action,
        worth: Worth,
        not: &[(Alternative, HoldReason)],
    ) {
        let (rule, quantile_permille) = match action {
            Action::Migrate { .. } => (Rule::HostOverload, self.policy.host_quantile_permille),
            Action::CreateShadow { .. } | Action::ResumeShadow if !self.policy.relieves(h) => {
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
            worth,
            rejected,
        };
        draft.act(Planned { vm: vm.id, host: vm.host, action, reason });
    }
}

/// Is a relief planned for this VM this tick?
pub(crate) fn relieved(draft: &Draft, vm: VmId) -> bool {
    draft.planned(vm).next().is_some()
}
