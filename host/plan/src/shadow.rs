//! What becomes of shadows that are there: traffic comes back when the host can carry it again; a shadow that nobody needs
//! is suspended and later terminated; one whose VM is stopped, or that failed, is terminated at once. Which of these an
//! event leads to is for the state machine ([`crate::lifecycle`]) to say; here its effects become actions with reasons.

use foreshade_types::{
    Action, Allocation, Alternative, HoldReason, Millicores, Reason, Rejected, Resource, Rule, ShadowPhase,
    VmId, Worth,
};

use crate::lifecycle::{Effect, End, Event, Shadow, due, step};
use crate::relief::{Scored, relieved};
use crate::report::{Draft, Planned};
use crate::{PlanInput, Policy, VmView};

/// The shadows that are needed at this tick: those in use, those of VMs whose policy gives them one, and those whose host
/// may run over, as long as they are worth what they cost. The rest begin to idle.
pub fn needed_shadows(input: &PlanInput<'_>, scores: &[crate::MoveScore], policy: &Policy) -> Vec<VmId> {
    let scored: Vec<_> = crate::candidates(input, policy).into_iter().zip(scores.iter().copied()).collect();
    let of = |v: &VmView| v.shadow.filter(|s| is_needed(input, v, *s, &scored, policy)).map(|_| v.id);
    input.vms.iter().filter_map(of).collect()
}

fn is_needed(input: &PlanInput<'_>, v: &VmView, s: Shadow, scored: &[Scored], policy: &Policy) -> bool {
    match s.phase {
        _ if v.stopped => false,
        ShadowPhase::Active => true,
        ShadowPhase::Suspended | ShadowPhase::Failed | ShadowPhase::Terminated => false,
        _ if policy.keeps_shadows() => true,
        ShadowPhase::Ready => {
            input.host(v.host).is_some_and(|h| policy.prepares(h))
                && worth(input, v, s, scored, policy).pays()
        }
        _ => input.host(v.host).is_some_and(|h| policy.prepares(h)),
    }
}

/// What a shadow that takes no traffic is worth now.
fn worth(input: &PlanInput<'_>, v: &VmView, s: Shadow, scored: &[Scored], policy: &Policy) -> Worth {
    let Some(h) = input.host(v.host) else { return Worth::default() };
    let after = scored.iter().find(|(q, _)| q.vm == v.id && !q.back).map(|(_, m)| m.source);
    policy.shadow_worth(input, h, &after.unwrap_or_default(), s.size.cpu.0)
}

/// Shifts back, resizes, suspends and terminates.
pub(crate) fn wind_down(input: &PlanInput<'_>, scored: &[Scored], policy: &Policy, draft: &mut Draft) {
    for v in input.vms {
        let Some(s) = v.shadow else { continue };
        if v.stopped || matches!(s.phase, ShadowPhase::Failed | ShadowPhase::Terminated) {
            let rule = match s.end {
                _ if v.stopped => Rule::PrimaryGone,
                Some(End::SharedFate) => Rule::SharedFate,
                _ => Rule::ShadowFailed,
            };
            draft.act(end(input, v, s, rule, scored, policy, Action::ReleaseShadow));
            continue;
        }
        if relieved(draft, v.id) || v.stale_ticks > policy.max_stale_ticks {
            continue;
        }
        match s.phase {
            ShadowPhase::Active => {
                let home = scored.iter().find(|(q, _)| q.vm == v.id && q.back).map(|(_, s)| s.target);
                let back = home
                    .and_then(|after| shift_back(input, v, after.at(policy.host_quantile_permille), policy));
                if let Some(p) = back.or_else(|| regrow(v, s.share_percent, s.size, input.cadence_s, policy))
                {
                    draft.act(p);
                }
            }
            _ => by_the_clock(input, v, s, scored, policy, draft),
        }
    }
}

/// What time alone brings: idle, aged, timed out.
fn by_the_clock(
    input: &PlanInput<'_>,
    v: &VmView,
    s: Shadow,
    scored: &[Scored],
    policy: &Policy,
    draft: &mut Draft,
) {
    let (now_ms, limits) = (input.now_ms(), policy.shadow_limits(input.tick_ms));
    let needs = is_needed(input, v, s, scored, policy);
    let s = if needs { Shadow { needed_ms: now_ms, ..s } } else { s };
    let next = due(&s, now_ms, &limits).map(|e| (e, step(&s, e, now_ms, &limits)));
    let action = match &next {
        Some((_, Ok((_, effects)))) if effects.contains(&Effect::Free) => Some(Action::ReleaseShadow),
        Some((_, Ok((_, effects)))) if effects.contains(&Effect::Suspend) => Some(Action::SuspendShadow),
        _ => None,
    };
    match (action, next) {
        (Some(action), Some((event, _))) => {
            let rule = match event {
                Event::Aged => Rule::ShadowAged,
                Event::TimedOut if s.phase != ShadowPhase::Suspended => Rule::ShadowFailed,
                _ => Rule::ShadowIdle,
            };
            draft.act(end(input, v, s, rule, scored, policy, action));
        }
        _ if s.phase.is_preparing() || s.phase == ShadowPhase::Draining => {
            draft.hold(v.id, HoldReason::InFlight);
        }
        _ => {}
    }
}

/// A shadow is suspended or terminated, with the forecast of its host and what it is worth.
fn end(
    input: &PlanInput<'_>,
    v: &VmView,
    s: Shadow,
    rule: Rule,
    scored: &[Scored],
    policy: &Policy,
    action: Action,
) -> Planned {
    let home = input.host(v.host);
    let reason = Reason {
        rule,
        resource: Resource::Cpu,
        quantile_permille: policy.shadow_creation_threshold_permille,
        horizon_s: 0,
        predicted: home.map_or(0, |h| h.peak.at(policy.shadow_creation_threshold_permille)),
        threshold: home.map_or(0, |h| policy.host_limit(h)),
        worth: worth(input, v, s, scored, policy),
        rejected: vec![],
    };
    Planned { vm: v.id, host: v.host, action, reason }
}

fn shift_back(input: &PlanInput<'_>, v: &VmView, peak_after: u64, policy: &Policy) -> Option<Planned> {
    let threshold = input.host(v.host)?.cpu.0 * policy.shift_back_percent / 100;
    let reason = Reason {
        rule: Rule::PeakPassed,
        resource: Resource::Cpu,
        quantile_permille: policy.host_quantile_permille,
        horizon_s: 0,
        predicted: peak_after,
        threshold,
        worth: Worth::default(),
        rejected: vec![Rejected { alternative: Alternative::Hold, why: HoldReason::WouldIdle }],
    };
    let action = Action::ShiftBack { size: policy.shadow_size(v) };
    (peak_after <= threshold).then_some(Planned { vm: v.id, host: v.host, action, reason })
}

/// The shadow's allocation follows its share of the forecast, as the primary's does.
fn regrow(v: &VmView, share_percent: u8, size: Allocation, step_s: u32, policy: &Policy) -> Option<Planned> {
    let (bound, quantile_permille) = v.cpu.step.priced(policy.contention_price_millicores);
    let need = (bound * u64::from(share_percent)).div_ceil(100);
    let need = Millicores(need).max(policy.shadow_size(v).cpu);
    let close =
        need.0 * 100 <= size.cpu.0 * (100 + policy.grow_band_percent) && need.0 * 100 >= size.cpu.0 * 75;
    let reason = Reason {
        rule: if need > size.cpu { Rule::DemandAboveAllocation } else { Rule::AllocationAboveDemand },
        resource: Resource::Cpu,
        quantile_permille,
        horizon_s: step_s,
        predicted: need.0,
        threshold: size.cpu.0,
        worth: Worth::default(),
        rejected: vec![],
    };
    let action = Action::ShiftTraffic { share_percent, size: Allocation { cpu: need, ..size } };
    (!close).then_some(Planned { vm: v.id, host: v.host, action, reason })
}
