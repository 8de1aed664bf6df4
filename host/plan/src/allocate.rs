//! Each VM's allocation follows the forecast: grown before the demand comes, given back when it has gone.

use std::collections::BTreeMap;

use foreshade_types::{
    Action, Allocation, Alternative, HoldReason, Mebibytes, Millicores, Readiness, Reason, Rejected,
    Resource, Rule, Worth,
};

use crate::failover::settled;
use crate::fairshare::host_level;
use crate::report::{Draft, Planned};
use crate::{PlanInput, Policy, VmForecast, VmView};

/// What a resource should be, and the number that says so.
#[derive(Debug, Clone, Copy)]
struct Want {
    to: u64,
    quantile_permille: u16,
    horizon_s: u32,
    predicted: u64,
    fair: bool,
}

/// Which way an allocation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Grow,
    Shrink,
    Keep(HoldReason),
}

/// Plans resizes for every VM of the rack.
pub(crate) fn allocate(input: &PlanInput<'_>, policy: &Policy, draft: &mut Draft) {
    let levels: BTreeMap<_, _> =
        input.hosts.iter().filter_map(|h| host_level(input, h.id).map(|l| (h.id, l))).collect();
    for v in input.vms {
        if input.site.rules.is_opted_out(v.id) {
            draft.hold(v.id, HoldReason::OptedOut);
            continue;
        }
        if settled(v, draft) {
            continue;
        }
        let away = away_percent(v, draft, policy);
        match resize(v, away, levels.get(&v.host).copied(), input.cadence_s, policy) {
            Ok((action, reason)) => draft.act(Planned { vm: v.id, host: v.host, action, reason }),
            Err(HoldReason::WithinBounds) => {}
            Err(why) => draft.hold(v.id, why),
        }
    }
}

/// The share that the shadow will serve after this tick's relief: a shift that is only planned is not counted on yet.
fn away_percent(v: &VmView, draft: &Draft, policy: &Policy) -> u64 {
    // Traffic that is only said to come back does not, while resizes are made.
    let counts = |a: &Action| policy.mode_of(a.name()) >= policy.mode_of("pre-allocate");
    let comes_back = draft
        .planned(v.id)
        .any(|a| matches!(a, Action::ShiftBack { .. } | Action::ReleaseShadow) && counts(a));
    if comes_back { 0 } else { v.away_percent() }
}

/// CPU follows the next sample, priced: it can be regrown within seconds at the next one.
fn want_cpu(v: &VmView, away: u64, level: Option<u64>, step_s: u32, policy: &Policy) -> Want {
    let (predicted, quantile_permille) = v.cpu.step.priced(policy.contention_price_millicores);
    let need = predicted * (100 + policy.margin_percent) / 100 * (100 - away) / 100;
    let to = need.max(policy.floor_millicores).min(v.size.cpu.0);
    let fair = level.filter(|l| *l < to);
    let to = fair.map_or(to, |l| l.max(policy.floor_millicores));
    Want { to, quantile_permille, horizon_s: step_s, predicted, fair: fair.is_some() }
}

/// Memory follows the 30-min peak and never goes below the working set: what is taken away too soon is swapped.
fn want_memory(v: &VmView, f: &VmForecast, policy: &Policy) -> Want {
    let predicted = f.peak.at(policy.memory_quantile_permille);
    let need = predicted * (100 + policy.margin_percent) / 100;
    let working_set = v.memory_demand.0 * (100 + policy.working_set_margin_percent) / 100;
    let to = need.max(working_set).max(policy.floor_mib).min(v.size.memory.0);
    Want { to, quantile_permille: policy.memory_quantile_permille, horizon_s: 0, predicted, fair: false }
}

fn change(w: &Want, has: u64, size: u64, policy: &Policy) -> Change {
    // A host that runs over shares what it has at once; otherwise small changes are not worth a decision.
    let (grow, shrink) =
        if w.fair { (0, 0) } else { (policy.grow_band_percent, policy.give_back_band_percent) };
    if w.to * 100 > has * (100 + grow) {
        Change::Grow
    } else if w.to * 100 < has * (100 - shrink.min(100)) {
        Change::Shrink
    } else if w.to > has {
        Change::Keep(HoldReason::DeadBand)
    } else if has == size && w.predicted >= size {
        Change::Keep(HoldReason::AtSize)
    } else {
        Change::Keep(HoldReason::WithinBounds)
    }
}

fn reason(w: &Want, resource: Resource, grows: bool, has: u64) -> Reason {
    let rule = match (w.fair, grows) {
        (true, _) => Rule::FairShare,
        (false, true) => Rule::DemandAboveAllocation,
        (false, false) => Rule::AllocationAboveDemand,
    };
    // On a shared host somebody else would run short.
    let why = if grows || w.fair { HoldReason::WouldRunShort } else { HoldReason::WouldIdle };
    Reason {
        rule,
        resource,
        quantile_permille: w.quantile_permille,
        horizon_s: w.horizon_s,
        predicted: w.predicted,
        threshold: has,
        worth: Worth::default(),
        rejected: vec![Rejected { alternative: Alternative::Hold, why }],
    }
}

fn resize(
    v: &VmView,
    away: u64,
    level: Option<u64>,
    step_s: u32,
    policy: &Policy,
) -> Result<(Action, Reason), HoldReason> {
    if v.stopped {
        return Err(HoldReason::Stopped);
    }
    if v.readiness == Readiness::Cold {
        return Err(HoldReason::Cold);
    }
    if v.stale_ticks > policy.max_stale_ticks {
        return Err(HoldReason::Stale);
    }
    let cpu = want_cpu(v, away, level, step_s, policy);
    let memory = v.memory.as_ref().map(|f| want_memory(v, f, policy));
    let c = change(&cpu, v.allocation.cpu.0, v.size.cpu.0, policy);
    let m = memory.as_ref().map_or(Change::Keep(HoldReason::WithinBounds), |w| {
        change(w, v.allocation.memory.0, v.size.memory.0, policy)
    });
    let moves = |c| c == Change::Grow || c == Change::Shrink;
    let mut to = v.allocation;
    if moves(c) {
        to.cpu = Millicores(cpu.to);
    }
    if let Some(w) = memory.filter(|_| moves(m)) {
        to.memory = Mebibytes(w.to);
    }
    let because = |grows, mem: bool| match memory {
        Some(w) if mem => reason(&w, Resource::Memory, grows, v.allocation.memory.0),
        _ => reason(&cpu, Resource::Cpu, grows, v.allocation.cpu.0),
    };
    match (c, m) {
        (Change::Grow, _) => Ok((pre(to), because(true, false))),
        (_, Change::Grow) => Ok((pre(to), because(true, true))),
        (Change::Shrink, _) => Ok((Action::GiveBack { to }, because(false, false))),
        (_, Change::Shrink) => Ok((Action::GiveBack { to }, because(false, true))),
        (Change::Keep(why), Change::Keep(_)) => Err(why),
    }
}

fn pre(to: Allocation) -> Action {
    Action::PreAllocate { to }
}
