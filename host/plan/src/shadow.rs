//! What becomes of shadows that are there: one that serves traffic is tended by [`crate::traffic`]; one that nobody needs
//! is suspended and later terminated; one whose VM is stopped, or that failed, is terminated at once. Which of these an
//! event leads to is for the state machine ([`crate::lifecycle`]) to say; here its effects become actions with reasons.

use foreshade_types::{Action, HoldReason, Reason, Resource, Rule, ShadowPhase, VmId, Worth};

use crate::failover::settled;
use crate::lifecycle::{Effect, End, Event, Shadow, due, step};
use crate::relief::{Scored, relieved};
use crate::report::{Draft, Planned};
use crate::{PlanInput, Policy, VmView, traffic};

/// The shadows that are needed at this tick: those whose traffic has no way home yet, those of VMs whose policy gives them one, and those whose host
/// may run over, as long as they are worth what they cost. The rest begin to idle.
pub fn needed_shadows(input: &PlanInput<'_>, scores: &[crate::MoveScore], policy: &Policy) -> Vec<VmId> {
    let scored: Vec<_> = crate::candidates(input, policy).into_iter().zip(scores.iter().copied()).collect();
    let of = |v: &VmView| v.shadow.filter(|s| is_needed(input, v, *s, &scored, policy)).map(|_| v.id);
    input.vms.iter().filter_map(of).collect()
}

fn is_needed(input: &PlanInput<'_>, v: &VmView, s: Shadow, scored: &[Scored], policy: &Policy) -> bool {
    match s.phase {
        _ if v.stopped => false,
        ShadowPhase::Active => traffic::is_needed_there(input, v, scored, policy),
        ShadowPhase::Suspended | ShadowPhase::Failed | ShadowPhase::Terminated => false,
        _ if policy.keeps_shadow(v) => true,
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
        if settled(v, draft) {
            continue;
        }
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
            ShadowPhase::Active => traffic::tend(input, v, s, scored, policy, draft),
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
