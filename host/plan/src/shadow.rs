//! The end of relief: traffic comes back when the host can carry it again, and a shadow nobody needs is released.

use foreshade_types::{
    Action, Allocation, Alternative, HoldReason, Millicores, Reason, Rejected, Resource, Rule,
};

use crate::relief::{Scored, relieved};
use crate::report::{Draft, Planned};
use crate::{PlanInput, Policy, ShadowState, VmView};

/// Shifts back, resizes and releases.
pub(crate) fn wind_down(input: &PlanInput<'_>, scored: &[Scored], policy: &Policy, draft: &mut Draft) {
    for v in input.vms {
        let Some(s) = v.shadow else { continue };
        if relieved(draft, v.id) || v.stale_ticks > policy.max_stale_ticks {
            continue;
        }
        match s.state {
            ShadowState::Active { share_percent } => {
                let home = scored.iter().find(|(q, _)| q.vm == v.id && q.back).map(|(_, s)| s.target);
                let back = home
                    .and_then(|after| shift_back(input, v, after.at(policy.host_quantile_permille), policy));
                if let Some(p) = back.or_else(|| regrow(v, share_percent, s.size, input.cadence_s, policy)) {
                    draft.act(p);
                }
            }
            ShadowState::Ready => {
                let idle = input.tick.since(s.last_needed) >= policy.shadow_idle_ticks;
                let old = input.tick.since(s.created) > policy.max_shadow_age_ticks;
                let home = input.host(v.host);
                let needed = home.is_some_and(|h| policy.prepares(h));
                if (idle || old) && home.is_some() && !needed {
                    let peak = home.map_or(0, |h| h.peak.at(policy.shadow_creation_threshold_permille));
                    let reason = Reason {
                        rule: Rule::ShadowIdle,
                        resource: Resource::Cpu,
                        quantile_permille: policy.shadow_creation_threshold_permille,
                        horizon_s: 0,
                        predicted: peak,
                        threshold: home.map_or(0, |h| policy.host_limit(h)),
                        rejected: vec![],
                    };
                    draft.act(Planned { vm: v.id, host: v.host, action: Action::ReleaseShadow, reason });
                }
            }
            ShadowState::Provisioning => draft.hold(v.id, HoldReason::InFlight),
        }
    }
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
        rejected: vec![Rejected { alternative: Alternative::Hold, why: HoldReason::WouldIdle }],
    };
    let action = Action::ShiftBack { size: policy.idle_shadow(v) };
    (peak_after <= threshold).then_some(Planned { vm: v.id, host: v.host, action, reason })
}

/// The shadow's allocation follows its share of the forecast, as the primary's does.
fn regrow(v: &VmView, share_percent: u8, size: Allocation, step_s: u32, policy: &Policy) -> Option<Planned> {
    let (bound, quantile_permille) = v.cpu.step.priced(policy.contention_price_millicores);
    let need = (bound * u64::from(share_percent)).div_ceil(100);
    let need = Millicores(need).max(policy.idle_shadow(v).cpu);
    let close =
        need.0 * 100 <= size.cpu.0 * (100 + policy.grow_band_percent) && need.0 * 100 >= size.cpu.0 * 75;
    let reason = Reason {
        rule: if need > size.cpu { Rule::DemandAboveAllocation } else { Rule::AllocationAboveDemand },
        resource: Resource::Cpu,
        quantile_permille,
        horizon_s: step_s,
        predicted: need.0,
        threshold: size.cpu.0,
        rejected: vec![],
    };
    let action = Action::ShiftTraffic { share_percent, size: Allocation { cpu: need, ..size } };
    (!close).then_some(Planned { vm: v.id, host: v.host, action, reason })
}
