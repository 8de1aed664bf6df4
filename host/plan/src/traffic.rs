//! Traffic that a shadow serves: its allocation follows its share, and it goes home with hysteresis.
//!
//! It is shifted when the host's peak exceeds `host_limit_percent`. It goes home when the peak with it would stay under
//! [`Policy::home_limit`], at least `shift_band_percent` lower, and has for `shift_dwell_ticks` in a row: a peak that
//! wanders around either line moves nothing to and fro. What-ifs bring one VM's traffic home at a time, so that only one VM
//! goes back to a host in a tick; whether there is room for the next one, the next tick says.

use foreshade_types::{
    Action, Allocation, Alternative, HoldReason, HostId, Millicores, Reason, Rejected, Resource, Rule, Worth,
};

use crate::lifecycle::Shadow;
use crate::relief::Scored;
use crate::report::{Draft, Planned};
use crate::{HostView, PlanInput, Policy, VmView};

impl Policy {
    /// CPU under which a host's peak must stay with traffic that goes home to it, millicores.
    pub fn home_limit(&self, h: &HostView) -> u64 {
        let percent =
            self.shift_back_percent.min(self.host_limit_percent.saturating_sub(self.shift_band_percent));
        h.cpu.0 * percent / 100
    }
}

/// Has this VM's traffic to stay at its shadow, because its host could not carry it? What was not scored stays.
pub(crate) fn is_needed_there(input: &PlanInput<'_>, v: &VmView, scored: &[Scored], policy: &Policy) -> bool {
    let (Some(h), Some(peak)) = (input.host(v.host), peak_with(v, scored, policy)) else { return true };
    peak > policy.home_limit(h)
}

/// The peak of the VM's host if its traffic came home.
fn peak_with(v: &VmView, scored: &[Scored], policy: &Policy) -> Option<u64> {
    let home = scored.iter().find(|(q, _)| q.vm == v.id && q.back)?;
    Some(home.1.target.at(policy.host_quantile_permille))
}

/// Sends the traffic home or resizes the shadow.
pub(crate) fn tend(
    input: &PlanInput<'_>,
    v: &VmView,
    s: Shadow,
    scored: &[Scored],
    policy: &Policy,
    draft: &mut Draft,
) {
    let back = go_home(input, v, s, scored, policy, draft);
    if let Some(p) = back.or_else(|| regrow(v, s.share_percent, s.size, input.cadence_s, policy)) {
        draft.act(p);
    }
}

fn go_home(
    input: &PlanInput<'_>,
    v: &VmView,
    s: Shadow,
    scored: &[Scored],
    policy: &Policy,
    draft: &Draft,
) -> Option<Planned> {
    let (h, peak) = (input.host(v.host)?, peak_with(v, scored, policy)?);
    let dwelt = input.now_ms().saturating_sub(s.needed_ms) >= policy.shift_dwell_ticks * input.tick_ms;
    if peak > policy.home_limit(h) || !dwelt || is_returning(draft, h.id) {
        return None;
    }
    let reason = Reason {
        rule: Rule::PeakPassed,
        resource: Resource::Cpu,
        quantile_permille: policy.host_quantile_permille,
        horizon_s: 0,
        predicted: peak,
        threshold: policy.home_limit(h),
        worth: Worth::default(),
        rejected: vec![Rejected { alternative: Alternative::Hold, why: HoldReason::WouldIdle }],
    };
    let action = Action::ShiftBack { size: policy.shadow_size(v) };
    Some(Planned { vm: v.id, host: v.host, action, reason })
}

/// Goes another VM's traffic home to this host in this tick?
fn is_returning(draft: &Draft, home: HostId) -> bool {
    let back = |a: &Action| matches!(a, Action::ShiftBack { .. });
    draft.plan.actions.iter().any(|p| p.host == home && back(&p.action))
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
