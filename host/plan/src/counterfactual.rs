//! What a forecast is good for: the plan beside the one that the last sample alone would have given. A forecaster that
//! changes no decision is worth nothing, however good its scores are.

use std::collections::BTreeMap;

use foreshade_types::{Action, HostId, Mebibytes, Millicores, VmId};
use serde::{Deserialize, Serialize};

use crate::{
    Bound, HostView, MoveQuery, MoveScore, PlanInput, Planned, Policy, VmForecast, VmView, candidates, plan,
};

/// How often a forecast made a difference, in VM-ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Changed {
    /// VM-ticks that were planned.
    pub vm_ticks: u64,
    /// With the last sample in place of the forecast something else would have been done, or nothing, or something.
    pub other_action: u64,
    /// The same would have been done, with another size.
    pub other_size: u64,
}

impl Changed {
    /// Adds another count.
    pub fn add(&mut self, o: &Self) {
        self.vm_ticks += o.vm_ticks;
        self.other_action += o.other_action;
        self.other_size += o.other_size;
    }
}

/// A bound that knows no more than this value.
fn flat(x: u64) -> Bound {
    let x = x.div_ceil(Bound::GRID) * Bound::GRID;
    Bound { q50: x, q90: x, q95: x, q99: x }
}

fn vm_without_forecast(v: &VmView) -> VmView {
    let of = |x: u64| VmForecast { peak: flat(x), step: flat(x), hour: flat(x) };
    VmView { cpu: of(v.cpu_demand.0), memory: v.memory.map(|_| of(v.memory_demand.0)), ..*v }
}

fn host_without_forecast(h: &HostView) -> HostView {
    HostView { peak: flat(h.load.0), hour: flat(h.load.0), ..*h }
}

/// A what-if answered from the last sample: the loads of both hosts, with the share moved.
fn score(input: &PlanInput<'_>, q: &MoveQuery) -> MoveScore {
    let vm = input.vms.binary_search_by_key(&q.vm, |v| v.id).ok().map(|i| &input.vms[i]);
    let from = vm.and_then(|v| if q.back { v.shadow.map(|s| s.place.host) } else { Some(v.host) });
    let load = |h: Option<HostId>| h.and_then(|h| input.host(h)).map_or(0, |h| h.load.0);
    let moved = vm.map_or(0, |v| v.cpu_demand.0 * u64::from(q.share_percent) / 100);
    MoveScore { source: flat(load(from).saturating_sub(moved)), target: flat(load(Some(q.to)) + moved) }
}

/// Everything that is planned, sent or only said, by VM: kind and target, and sizes.
type Wanted = BTreeMap<VmId, (Vec<(&'static str, Option<HostId>)>, Vec<(Millicores, Mebibytes)>)>;

fn wanted<'p>(actions: impl Iterator<Item = &'p Planned>) -> Wanted {
    let mut out = Wanted::new();
    for p in actions {
        let (host, size) = match p.action {
            Action::PreAllocate { to } | Action::GiveBack { to } => (None, Some(to)),
            Action::CreateShadow { host, size } => (Some(host), Some(size)),
            Action::ShiftTraffic { size, .. } | Action::ShiftBack { size } => (None, Some(size)),
            Action::Migrate { to } => (Some(to), None),
            Action::FailOver { host, size, .. } | Action::Restart { host, size, .. } => {
                (Some(host), Some(size))
            }
            _ => (None, None),
        };
        let entry = out.entry(p.vm).or_default();
        entry.0.push((p.action.name(), host));
        entry.1.extend(size.map(|s| (s.cpu, s.memory)));
    }
    out
}

/// Plans again without the forecast and counts the VMs for which it made a difference. `actions` = all that the plan with it
/// wants.
pub fn changed<'p>(
    input: &PlanInput<'_>,
    actions: impl Iterator<Item = &'p Planned>,
    policy: &Policy,
) -> Changed {
    let vms: Vec<_> = input.vms.iter().map(vm_without_forecast).collect();
    let hosts: Vec<_> = input.hosts.iter().map(host_without_forecast).collect();
    let blind = PlanInput { vms: &vms, hosts: &hosts, ..*input };
    let scores: Vec<_> = candidates(&blind, policy).iter().map(|q| score(&blind, q)).collect();
    let (other, report) = plan(&blind, &scores, policy);
    let other = wanted(other.actions.iter().chain(report.advised.iter().map(|(p, _)| p)));
    let ours = wanted(actions);
    let mut out = Changed { vm_ticks: input.vms.len() as u64, ..Changed::default() };
    for v in input.vms {
        match (ours.get(&v.id), other.get(&v.id)) {
            (a, b) if a.map(|x| &x.0) != b.map(|x| &x.0) => out.other_action += 1,
            (a, b) if a != b => out.other_size += 1,
            _ => {}
        }
    }
    out
}
