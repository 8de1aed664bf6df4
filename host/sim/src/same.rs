//! Do two devices decide the same? Both run the whole product on the same recorded fleet and, tick by tick, in the same
//! world: whatever they decide, the reference's decisions are carried out and both see what became of them. So a
//! difference does not spread, and every VM at every tick is a comparison of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use foreshade_accel::Engine;
use foreshade_appliance_core::{Core, Effect, Event};
use foreshade_enact::Desk;
use foreshade_forecast::lstm::LstmModel;
use foreshade_forecast::{Fleet as Forecaster, grid};
use foreshade_plan::Policy;
use foreshade_types::{
    Action, ControllerId, Decision, HostId, Outcome, RackId, Reason, SeriesForecast, Tick, VmId,
};

use crate::backtest::{BacktestError, core_config};
use crate::fleet::Fleet;
use crate::rows;
use crate::world::World;

/// Forecasts of two devices are within tolerance when they differ by no more than this, in points: one step of the grid
/// (each may round another way).
pub const TOLERANCE_POINTS: f32 = grid::STEP;

/// What is done to a VM, and why.
type Act = (Action, Reason);
/// A tick's decisions by rack.
type Sent = BTreeMap<RackId, Vec<Decision>>;

/// A VM at a tick that was decided on otherwise than by the reference.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// When.
    pub tick: Tick,
    /// Which VM.
    pub vm: VmId,
    /// What the reference decided; empty = hold.
    pub reference: Vec<Act>,
    /// What the device decided.
    pub device: Vec<Act>,
    /// The largest difference between the two devices' forecasts of any VM on this VM's host, in points. The plan is a
    /// function of the forecasts, and nothing else differs: a threshold lies between the two, so no further from
    /// either than this.
    pub forecast_points: f32,
}

impl Difference {
    /// Is the action another, and not only a number in its reason?
    pub fn acts_otherwise(&self) -> bool {
        let actions = |d: &[Act]| d.iter().map(|(a, _)| *a).collect::<Vec<_>>();
        actions(&self.reference) != actions(&self.device)
    }

    /// Was the threshold that lies between the two within the tolerance of the forecasts?
    pub fn within_tolerance(&self) -> bool {
        self.forecast_points <= TOLERANCE_POINTS
    }
}

/// One device against the reference.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Comparison {
    /// The device's name.
    pub name: String,
    /// Jobs that the device did itself: steps of the LSTM.
    pub jobs: u64,
    /// Times it was found to fail, after which another one did its work: then the figures are not its own.
    pub ejections: u64,
    /// VM-ticks that were compared, holds included.
    pub decisions: u64,
    /// Of these, the reference acted on.
    pub acted: u64,
    /// Those that differ.
    pub differences: Vec<Difference>,
    /// Means and quantiles that were compared.
    pub values: u64,
    /// Of these, those that lie on another grid value.
    pub values_off: u64,
    /// The largest difference of any of them, in points.
    pub largest_points: f32,
}

/// Runs the fleet on `reference` and, in its world, on each of `devices`.
///
/// # Errors
/// Those of a backtest.
pub fn compare(
    fleet: &Fleet,
    policy: &Policy,
    model: &Arc<LstmModel>,
    reference: Engine,
    devices: Vec<(String, Engine)>,
) -> Result<Vec<Comparison>, BacktestError> {
    let core = |engine: Engine| -> Result<Core, BacktestError> {
        let config = core_config(fleet, policy, engine.info().driver, 1);
        let forecaster = Forecaster::new(Core::fleet_config(&config), Some(Arc::clone(model)), engine)?;
        Ok(Core::new(config, forecaster))
    };
    let mut reference = core(reference)?;
    let named =
        |(name, engine): (String, Engine)| Ok((core(engine)?, Comparison { name, ..Comparison::default() }));
    let mut devices = devices.into_iter().map(named).collect::<Result<Vec<_>, BacktestError>>()?;
    let mut world = World::new(fleet);
    let mut desks: BTreeMap<RackId, Desk> =
        fleet.racks.iter().map(|r| (r.id, Desk::new(ControllerId(r.id.0)))).collect();
    for t in 0..=fleet.last.0 {
        let tick = Tick(t);
        world.advance_to(fleet, tick);
        let sent = see(&mut reference, fleet, &world, tick)?;
        for (core, result) in &mut devices {
            let own = see(core, fleet, &world, tick)?;
            if tick >= fleet.first_decision() && tick < fleet.last {
                result.add(fleet, tick, (&reference, &sent), (core, &own));
            }
        }
        let now_ms = reference.config().time_ms(tick);
        for (rack, decisions) in &sent {
            let Some(desk) = desks.get_mut(rack) else { continue };
            let outcomes = desk.work(&mut world, now_ms, decisions);
            answer(&mut reference, *rack, tick, &outcomes)?;
            for (core, _) in &mut devices {
                core.adopt(*rack, decisions);
                answer(core, *rack, tick, &outcomes)?;
            }
        }
        if tick < fleet.last && reference.released() != Some(tick.next()) {
            return Err(BacktestError::Stuck(tick));
        }
    }
    Ok(devices.into_iter().map(|(core, result)| result.closed(&core)).collect())
}

/// A tick's samples of the world into a core; its decisions.
fn see(core: &mut Core, fleet: &Fleet, world: &World, tick: Tick) -> Result<Sent, BacktestError> {
    let mut sent = Sent::new();
    for host in fleet.hosts() {
        let batch = rows::batch(&world.observe(host))?;
        let rows = batch.rows() as u32;
        core.apply(Event::Telemetry { host, tick, ipc: batch.encode()? })?;
        for effect in core.apply(Event::EndOfTick { host, tick, rows })? {
            if let Effect::Send { rack, decisions, .. } = effect {
                sent.insert(rack, decisions);
            }
        }
    }
    Ok(sent)
}

fn answer(core: &mut Core, rack: RackId, tick: Tick, outcomes: &[Outcome]) -> Result<(), BacktestError> {
    core.apply(Event::Outcomes { rack, tick, outcomes: outcomes.to_vec() })?;
    Ok(())
}

/// What was decided about each VM, in order; absent = hold.
fn by_vm(sent: &Sent) -> BTreeMap<VmId, Vec<Act>> {
    let mut out: BTreeMap<_, Vec<Act>> = BTreeMap::new();
    for d in sent.values().flatten() {
        out.entry(d.vm).or_default().push((d.action, d.reason.clone()));
    }
    out
}

impl Comparison {
    fn add(&mut self, fleet: &Fleet, tick: Tick, reference: (&Core, &Sent), device: (&Core, &Sent)) {
        let by_host = self.forecasts(fleet, reference.0, device.0);
        let (want, got) = (by_vm(reference.1), by_vm(device.1));
        self.decisions += fleet.vms.len() as u64;
        self.acted += want.len() as u64;
        for vm in (0..fleet.vms.len()).map(|i| VmId(i as u32)) {
            let decided = |d: &BTreeMap<VmId, Vec<Act>>| d.get(&vm).cloned().unwrap_or_default();
            if want.get(&vm) != got.get(&vm) {
                let host = reference.0.placed(vm).map(|(host, ..)| host).unwrap_or_default();
                self.differences.push(Difference {
                    tick,
                    vm,
                    reference: decided(&want),
                    device: decided(&got),
                    forecast_points: by_host.get(&host).copied().unwrap_or(0.0),
                });
            }
        }
    }

    /// Compares every forecast; the largest difference by host.
    fn forecasts(&mut self, fleet: &Fleet, reference: &Core, device: &Core) -> BTreeMap<HostId, f32> {
        let mut by_host = BTreeMap::new();
        for r in &fleet.resources {
            let (Some(want), Some(got)) = (reference.forecasts(*r), device.forecasts(*r)) else { continue };
            for (vm, (want, got)) in want.iter().zip(got).enumerate() {
                let apart = self.values(want, got);
                let host = reference.placed(VmId(vm as u32)).map(|(host, ..)| host).unwrap_or_default();
                let largest: &mut f32 = by_host.entry(host).or_default();
                *largest = largest.max(apart);
            }
        }
        by_host
    }

    fn values(&mut self, want: &SeriesForecast, got: &SeriesForecast) -> f32 {
        let all = |f: &SeriesForecast| -> Vec<f32> {
            f.mean.iter().copied().chain(f.quantiles.iter().flat_map(|q| q.0)).collect()
        };
        let mut apart = 0.0f32;
        for (a, b) in all(want).into_iter().zip(all(got)) {
            self.values += 1;
            self.values_off += u64::from(a != b);
            apart = apart.max((a - b).abs());
        }
        self.largest_points = self.largest_points.max(apart);
        apart
    }

    /// With what the device has been through. One that fell silent altogether has been ejected, too.
    fn closed(mut self, core: &Core) -> Self {
        let metrics = core.engine().map(Engine::metrics);
        self.jobs = metrics.map_or(0, |m| m.jobs);
        self.ejections = metrics.map_or(1, |m| m.ejections);
        self
    }

    /// Decisions that differ by more than a number in their reason.
    pub fn acts_otherwise(&self) -> usize {
        self.differences.iter().filter(|d| d.acts_otherwise()).count()
    }

    /// Decisions that differ, per decision.
    pub fn rate(&self) -> f64 {
        self.differences.len() as f64 / self.decisions.max(1) as f64
    }
}
