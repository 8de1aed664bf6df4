//! Shadows that come with their VMs, where the policy says so: fail-over wants one before anything is forecast.

use foreshade_types::{
    Action, Alternative, HoldReason, HostId, Mebibytes, Millicores, Part, Pool, Readiness, Reason, Rejected,
    Resource, Rule, Worth,
};

use crate::failover::settled;
use crate::report::{Draft, Planned};
use crate::rules::keeps_rules;
use crate::{HostView, PlanInput, Policy, VmView};

/// Plans a shadow for every VM that has none, as far as the budgets go; by id, so that the same VMs have theirs first.
pub(crate) fn with_primaries(input: &PlanInput<'_>, policy: &Policy, draft: &mut Draft) {
    let premium = |v: &VmView| v.standing.max_downtime_s.is_some();
    if !policy.shadow_with_primary && !input.vms.iter().any(premium) {
        return;
    }
    let mut shadows = input.vms.iter().filter(|v| v.shadow.is_some()).count();
    let mut made = Millicores(0);
    let mut promised: Vec<(HostId, Mebibytes)> = Vec::new();
    for v in input.vms.iter().filter(|v| v.shadow.is_none() && (policy.shadow_with_primary || premium(v))) {
        if settled(v, draft) || draft.planned(v.id).next().is_some() {
            continue;
        }
        match choose(input, v, policy, (shadows, made), &promised, draft) {
            Ok(h) => {
                let size = policy.shadow_size(v);
                shadows += 1;
                made += size.cpu;
                promised.push((h.id, size.memory));
                draft.act(create(v, h, policy));
            }
            Err(why) => draft.hold(v.id, why),
        }
    }
}

/// The host that is to carry a shadow of `v`: reserved for shadows before others, then the one with the most CPU to spare.
fn choose<'a>(
    input: &PlanInput<'a>,
    v: &VmView,
    policy: &Policy,
    (shadows, made): (usize, Millicores),
    promised: &[(HostId, Mebibytes)],
    draft: &Draft,
) -> Result<&'a HostView, HoldReason> {
    if input.site.rules.is_opted_out(v.id) {
        return Err(HoldReason::OptedOut);
    }
    if v.stopped {
        return Err(HoldReason::Stopped);
    }
    if !policy.keeps_shadow(v) {
        return Err(HoldReason::DowntimeTolerated);
    }
    if v.readiness == Readiness::Cold {
        return Err(HoldReason::Cold);
    }
    if v.stale_ticks > policy.max_stale_ticks {
        return Err(HoldReason::Stale);
    }
    if v.migrating {
        return Err(HoldReason::InFlight);
    }
    let size = policy.shadow_size(v);
    if shadows >= policy.shadows_per_rack as usize {
        return Err(HoldReason::ShadowBudget);
    }
    policy.affords(input, size, made)?;
    let given = |h: &HostView| promised.iter().filter(|p| p.0 == h.id).map(|p| p.1).sum::<Mebibytes>();
    let fits = |h: &&HostView| {
        input.may_shadow(v, h)
            && keeps_rules(input, draft, v.id, Part::Shadow, h.id)
            && (h.memory_load + given(h) + size.memory).0 <= h.memory.0 * 95 / 100
            && h.peak.at(policy.host_quantile_permille) + size.cpu.0
                <= h.cpu.0 * policy.target_limit_percent / 100
    };
    let spare = |h: &&HostView| (h.pool != Pool::Shadow, given(h).0, h.peak.q95, h.id);
    input.hosts.iter().filter(fits).min_by_key(spare).ok_or(HoldReason::NoShadowHost)
}

fn create(v: &VmView, h: &HostView, policy: &Policy) -> Planned {
    let size = policy.shadow_size(v);
    let reason = Reason {
        rule: Rule::ShadowWithPrimary,
        resource: Resource::Cpu,
        quantile_permille: 990,
        horizon_s: 0,
        predicted: v.cpu.peak.q99,
        threshold: size.cpu.0,
        worth: Worth::default(),
        rejected: vec![Rejected { alternative: Alternative::Hold, why: HoldReason::WouldRunShort }],
    };
    Planned { vm: v.id, host: v.host, action: Action::CreateShadow { host: h.id, size }, reason }
}
