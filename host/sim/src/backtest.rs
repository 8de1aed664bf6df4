//! Policies on a recorded fleet, in process: the same core, the same rack, the same rows as over the network.

use std::collections::BTreeMap;

use foreshade_appliance_core::{
    AnomalyReport, Core, CoreConfig, CoreError, Effect, Event, Journal, JournalError, OutlookReport, Summary,
};
use foreshade_enact::fakes::rack::Totals;
use foreshade_enact::{Desk, Hypervisor, Observed};
use foreshade_forecast::{ForecastError, Held, ResourceScore};
use foreshade_plan::baseline::{Baseline, BaselinePolicy, BaselineVm};
use foreshade_plan::{Policy, Site};
use foreshade_types::{Action, ControllerId, Decision, RackId, Reason, Resource, Rule, Tick, VmId};
use foreshade_wire::WireError;
use thiserror::Error;

use crate::fleet::Fleet;
use crate::report::PolicyReport;
use crate::rows;
use crate::world::World;

/// What stops a backtest.
#[derive(Debug, Error)]
pub enum BacktestError {
    /// The appliance stopped.
    #[error(transparent)]
    Core(#[from] CoreError),
    /// The forecaster could not be set up.
    #[error(transparent)]
    Forecast(#[from] ForecastError),
    /// A row that cannot be sent.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The lockstep stood still: a defect, not an input.
    #[error("tick {0} was neither released nor the last; report this with the trace")]
    Stuck(Tick),
}

/// How the appliance is configured for a fleet.
pub fn core_config(fleet: &Fleet, policy: &Policy, backend: &str, threads: usize) -> CoreConfig {
    CoreConfig {
        epoch: 1,
        cadence_s: fleet.cadence_s,
        racks: fleet.racks.clone(),
        vms: fleet.vms.clone(),
        resources: fleet.resources.clone(),
        manages_memory: fleet.rack.memory_contends && fleet.resources.contains(&Resource::Memory),
        first_decision: fleet.first_decision(),
        last: fleet.last,
        policy: policy.clone(),
        site: Site::default(),
        backend: backend.into(),
        threads,
        follow: None,
    }
}

/// What a run of the planner gives.
#[derive(Debug)]
pub struct Outcome {
    /// Its costs.
    pub policy: PolicyReport,
    /// The same as sums.
    pub totals: Totals,
    /// Forecast quality.
    pub forecast: BTreeMap<String, ResourceScore>,
    /// How often bounds held, by resource and horizon in seconds.
    pub coverage: BTreeMap<String, BTreeMap<u64, Held>>,
    /// What racks and hosts will need, at the end.
    pub outlook: OutlookReport,
    /// VMs that behaved as they never did.
    pub anomalies: AnomalyReport,
    /// How often forecasts changed what was planned.
    pub changed: foreshade_plan::Changed,
}

/// Runs the appliance in process, tick by tick. `watch` sees every planned tick.
pub fn foreshade(
    fleet: &Fleet,
    mut core: Core,
    journal: &mut dyn Journal,
    mut watch: impl FnMut(&Core, &Summary),
) -> Result<Outcome, BacktestError> {
    let mut world = World::new(fleet);
    let mut desks: BTreeMap<RackId, Desk> =
        fleet.racks.iter().map(|r| (r.id, Desk::new(ControllerId(r.id.0)))).collect();
    for t in 0..=fleet.last.0 {
        let tick = Tick(t);
        world.advance_to(fleet, tick);
        let mut sends = Vec::new();
        for host in fleet.hosts() {
            let batch = rows::batch(&world.observe(host))?;
            let rows = batch.rows() as u32;
            core.apply(Event::Telemetry { host, tick, ipc: batch.encode()? })?;
            for effect in core.apply(Event::EndOfTick { host, tick, rows })? {
                match effect {
                    Effect::Commit(record) => journal.commit(&record)?,
                    Effect::Send { rack, decisions, .. } => sends.push((rack, decisions)),
                    Effect::Planned(summary) => watch(&core, &summary),
                    _ => {}
                }
            }
        }
        let now_ms = core.config().time_ms(tick);
        let mut moved_on = false;
        for (rack, decisions) in sends {
            let Some(desk) = desks.get_mut(&rack) else { continue };
            let outcomes = desk.work(&mut world, now_ms, &decisions);
            let effects = core.apply(Event::Outcomes { rack, tick, outcomes })?;
            moved_on |= effects.iter().any(|e| matches!(e, Effect::Release(_) | Effect::Finished));
        }
        if !moved_on {
            return Err(BacktestError::Stuck(tick));
        }
    }
    let counts = core.decision_counts().iter().map(|(k, v)| ((*k).to_owned(), *v)).collect();
    let totals = world.totals();
    let (policy, outlook) = (PolicyReport::new(&totals, counts), core.outlook());
    Ok(Outcome {
        policy,
        totals,
        forecast: core.scores(),
        coverage: core.coverage(),
        outlook,
        anomalies: core.anomalies(),
        changed: core.changed(),
    })
}

/// Runs a baseline: same start, samples, latencies, cool-down and budget.
pub fn baseline(fleet: &Fleet, kind: Baseline, policy: &Policy) -> (PolicyReport, Totals) {
    let mut world = World::new(fleet);
    let manages_memory = fleet.rack.memory_contends && fleet.resources.contains(&Resource::Memory);
    let mut rules = BaselinePolicy::new(kind, fleet.vms.len(), fleet.cadence_s, manages_memory, policy);
    let mut counts = BTreeMap::new();
    let mut seq = 0;
    for t in 0..=fleet.last.0 {
        let tick = Tick(t);
        world.advance_to(fleet, tick);
        for spec in &fleet.racks {
            let observed: Vec<Observed> = spec.hosts.iter().flat_map(|h| world.observe(h.id)).collect();
            let mut vms: Vec<_> = observed.iter().map(|o| seen(o, fleet)).collect();
            vms.sort_by_key(|v| v.id);
            rules.see(&vms);
            if tick < fleet.first_decision() || tick >= fleet.last {
                continue;
            }
            let hosts: Vec<_> = spec.hosts.iter().map(|h| (h.id, h.cpu)).collect();
            let actions = rules.decide(tick, &vms, &hosts);
            *counts.entry("hold".to_owned()).or_default() +=
                (vms.len() - actions.len().min(vms.len())) as u64;
            for (vm, action) in actions {
                *counts.entry(action.name().to_owned()).or_default() += 1;
                seq += 1;
                let now_ms = tick.0 * u64::from(fleet.cadence_s) * 1000;
                world.enact(now_ms, &bare(spec.id, tick, seq, vm, action, &vms));
            }
        }
    }
    let totals = world.totals();
    (PolicyReport::new(&totals, counts), totals)
}

fn seen(o: &Observed, fleet: &Fleet) -> BaselineVm {
    BaselineVm {
        id: o.vm,
        host: o.host,
        size: fleet.vms[o.vm.index()].size,
        allocation: o.allocation,
        cpu_used: o.cpu_used,
        memory_used: o.memory_used,
        sampled: o.sampled,
    }
}

/// A baseline's action as the rack takes it; its reason is the threshold it crossed, which nobody reads.
fn bare(rack: RackId, tick: Tick, seq: u64, vm: VmId, action: Action, vms: &[BaselineVm]) -> Decision {
    let host = vms.iter().find(|v| v.id == vm).map(|v| v.host).unwrap_or_default();
    let reason = Reason {
        rule: Rule::DemandAboveAllocation,
        resource: Resource::Cpu,
        quantile_permille: 0,
        horizon_s: 0,
        predicted: 0,
        threshold: 0,
        worth: Default::default(),
        rejected: vec![],
    };
    let expires_at_ms = u64::MAX;
    Decision { epoch: 1, seq, rack, caused_by: tick, vm, observed_host: host, expires_at_ms, action, reason }
}
