//! One VM's replay: learns what its events cost and tells what a set of events would use.

use foreshade_types::{EVENT_KINDS, EventKind, Horizon, RESOURCES, Readiness, Resource, TraceData, Usage};
use thiserror::Error;

use super::costs::{BASE, Costs, KINDS, LAGS, PARTS, Recent, regressors};
use super::errors;
use super::fleet::FleetCosts;
use super::lead::Lead;

/// What a replay is made for.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayConfig {
    /// Seconds from one tick to the next.
    pub cadence_s: u32,
    /// How long costs are remembered, at least 200. A share of it is tried beside it and taken while costs drift.
    pub memory_ticks: u32,
    /// What to lead on.
    pub horizons: Vec<Horizon>,
}

impl ReplayConfig {
    /// A memory of 1,000 ticks and the horizons given.
    pub fn new(cadence_s: u32, horizons: &[Horizon]) -> Self {
        Self { cadence_s, memory_ticks: 1000, horizons: horizons.to_vec() }
    }
}

/// Why a record was not taken. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReplayError {
    /// Older than what is known, or the same again.
    #[error("trace record of {end_ms} ms is not after {known_ms} ms; send each tick once and in order")]
    Order {
        /// End of the record.
        end_ms: i64,
        /// End of the newest record taken.
        known_ms: i64,
    },
    /// From the future.
    #[error("trace record of {end_ms} ms ends after now ({now_ms} ms); set the clock of its host")]
    Future {
        /// End of the record.
        end_ms: i64,
        /// The clock.
        now_ms: i64,
    },
}

/// Why an estimate is not better than it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Nothing to say against it.
    Learned,
    /// Too few ticks and no fleet to lean on.
    TooYoung,
    /// The costs are mostly the fleet's.
    FleetCosts,
    /// Too few ticks for costs of its own to be trusted.
    FewTicks,
    /// A kind of event that is usually there is missing; its last rate stands in.
    MissingEvents,
}

/// Usage of one resource as the events explain it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// May it be acted on?
    pub readiness: Readiness,
    /// Why not, or why so.
    pub why: Why,
    /// Millicores, MiB or KB/s, as in [`Usage`].
    pub mean: f64,
    /// At [`foreshade_types::LEVELS`]; all equal to the mean while there are too few outcomes.
    pub quantiles: [f64; 5],
    /// What each kind contributes, in the order of [`EVENT_KINDS`], and at last what is used without events (of
    /// memory: what was held before, and what is given back). They add up to the mean where that is not held at 0.
    pub parts: [f64; PARTS],
}

/// Ticks of its own below which a resource is not ready: five for each coefficient.
const READY_TICKS: u64 = 5 * PARTS as u64;

/// One VM. Memory is fixed at the start; a tick allocates nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    cadence_s: f64,
    costs: [Costs; RESOURCES.len()],
    from_fleet: [bool; RESOURCES.len()],
    recent: Recent,
    /// Was the kind ever captured? One that never was counts as 0, one that fell silent as a gap.
    captured: [bool; KINDS],
    memory: f64,
    end_ms: Option<i64>,
    lead: Lead,
}

impl Replay {
    /// A VM without history, leaning on what the fleet knows.
    pub fn new(config: &ReplayConfig, fleet: Option<&FleetCosts>) -> Self {
        let memory_ticks = f64::from(config.memory_ticks.max(200));
        Self {
            cadence_s: f64::from(config.cadence_s.max(1)),
            costs: RESOURCES.map(|r| Costs::new(r, memory_ticks, fleet)),
            from_fleet: RESOURCES.map(|r| fleet.is_some_and(|f| f.prior(r).is_some())),
            recent: [[f64::NAN; KINDS]; LAGS],
            captured: [false; KINDS],
            memory: f64::NAN,
            end_ms: None,
            lead: Lead::new(&config.horizons),
        }
    }

    /// Takes the events of a tick and what was used in it. Records come once each and in order; a tick that was
    /// skipped is a gap.
    ///
    /// # Errors
    /// [`ReplayError`]; then nothing has changed.
    pub fn observe(&mut self, now_ms: i64, trace: &TraceData, usage: &Usage) -> Result<(), ReplayError> {
        let end_ms = trace.end_ms;
        if end_ms > now_ms {
            return Err(ReplayError::Future { end_ms, now_ms });
        }
        if let Some(known_ms) = self.end_ms.filter(|known| end_ms <= *known) {
            return Err(ReplayError::Order { end_ms, known_ms });
        }
        for _ in 0..self.skipped(end_ms) {
            self.tick([f64::NAN; KINDS], &Usage::UNKNOWN);
        }
        self.end_ms = Some(end_ms);
        self.tick(trace.rates(), usage);
        Ok(())
    }

    /// Ticks between the newest record and this one; no more than matter.
    fn skipped(&self, end_ms: i64) -> usize {
        let Some(known) = self.end_ms else { return 0 };
        let ticks = end_ms.saturating_sub(known) as f64 / (1000.0 * self.cadence_s);
        (ticks.round() as usize).saturating_sub(1).min(2 * LAGS + self.lead.reach())
    }

    fn tick(&mut self, rates: [f64; KINDS], usage: &Usage) {
        self.recent.copy_within(..LAGS - 1, 1);
        for (k, rate) in rates.into_iter().enumerate() {
            self.captured[k] |= !rate.is_nan();
            self.recent[0][k] = if self.captured[k] { rate } else { 0.0 };
        }
        let memory_before = self.memory;
        self.memory = usage.of(Resource::Memory);
        for resource in RESOURCES {
            let used = match resource {
                Resource::Memory => (self.memory - memory_before) / self.cadence_s,
                _ => usage.of(resource),
            };
            let residual = self.costs[resource as usize].learn(&self.recent, used);
            self.lead.residual(resource, residual);
        }
        self.lead.tick(&self.recent[0], usage, &self.costs, self.cadence_s);
    }

    /// What these events use: read only, whatever they were. Inputs that act later count as in the ticks before this
    /// one, as far as they are known. Memory starts from what was last measured.
    pub fn estimate(&self, trace: &TraceData) -> [Estimate; RESOURCES.len()] {
        let mut recent = self.recent;
        if self.end_ms.is_none_or(|known| trace.end_ms > known) {
            recent.copy_within(..LAGS - 1, 1);
        }
        let rates = trace.rates();
        let mut missing = false;
        for k in 0..KINDS {
            missing |= self.captured[k] && rates[k].is_nan();
            recent[0][k] = rates[k];
        }
        fill(&mut recent);
        RESOURCES.map(|resource| self.one(resource, &recent, missing))
    }

    fn one(&self, resource: Resource, recent: &Recent, missing: bool) -> Estimate {
        let costs = self.costs_of(resource);
        let x = regressors(recent, costs.lag());
        let mut parts: [f64; PARTS] = std::array::from_fn(|k| costs.chosen().costs()[k] * x[k]);
        let mut unit = 1.0;
        if resource == Resource::Memory {
            unit = self.cadence_s;
            parts.iter_mut().for_each(|p| *p *= unit);
            parts[BASE] += if self.memory.is_nan() { 0.0 } else { self.memory };
        }
        let mean = parts.iter().sum::<f64>();
        // Of memory the errors are those of its change.
        let change = costs.chosen().predict(&x);
        let quantiles = match (costs.errors.around(change), resource) {
            (None, _) => [mean; 5],
            (Some(q), Resource::Memory) => q.map(|q| mean + (q - change) * unit),
            (Some(q), _) => q,
        };
        let (readiness, why) = self.standing(resource, missing);
        Estimate { readiness, why, mean: mean.max(0.0), quantiles: quantiles.map(|q| q.max(0.0)), parts }
    }

    fn standing(&self, resource: Resource, missing: bool) -> (Readiness, Why) {
        let costs = self.costs_of(resource);
        match (costs.chosen().updates(), self.from_fleet[resource as usize]) {
            (n, _) if n >= READY_TICKS && missing => (Readiness::Fallback, Why::MissingEvents),
            (n, _) if n >= READY_TICKS => (Readiness::Ready, Why::Learned),
            (_, true) => (Readiness::Fallback, Why::FleetCosts),
            (n, _) if n < 2 * PARTS as u64 || costs.errors.len() < errors::LEAST => {
                (Readiness::Cold, Why::TooYoung)
            }
            _ => (Readiness::Fallback, Why::FewTicks),
        }
    }

    /// The forecast of a resource at the i-th horizon of the configuration, from the forecast rates; `None` while
    /// cold, or without outcomes to take an interval from.
    ///
    /// # Panics
    /// If there is no such horizon.
    pub fn lead(&self, resource: Resource, horizon: usize) -> Option<Estimate> {
        let (readiness, why) = self.standing(resource, self.is_missing());
        let ahead = self.lead.at(resource, horizon)?;
        (readiness != Readiness::Cold).then_some(Estimate {
            readiness,
            why,
            mean: ahead.mean.max(0.0),
            quantiles: ahead.quantiles.map(|q| q.max(0.0)),
            parts: ahead.parts,
        })
    }

    fn is_missing(&self) -> bool {
        (0..KINDS).any(|k| self.captured[k] && self.recent[0][k].is_nan())
    }

    /// Cost of one event of a kind: millicore-seconds, MiB or KB.
    pub fn cost(&self, resource: Resource, kind: EventKind) -> f64 {
        self.costs_of(resource).chosen().costs()[kind as usize]
    }

    /// Ticks from an input to the work it causes, as learned.
    pub fn lag_ticks(&self, resource: Resource) -> usize {
        self.costs_of(resource).lag()
    }

    /// Has the resource learned enough of its own?
    pub fn is_ready(&self, resource: Resource) -> bool {
        self.costs_of(resource).chosen().updates() >= READY_TICKS
    }

    pub(super) fn costs_of(&self, resource: Resource) -> &Costs {
        &self.costs[resource as usize]
    }
}

/// Puts the newest known rate of a kind where it is missing; 0 where none is known.
fn fill(recent: &mut Recent) {
    for k in 0..EVENT_KINDS.len() {
        let mut known = recent.iter().map(|r| r[k]).find(|r| !r.is_nan()).unwrap_or(0.0);
        for rates in recent.iter_mut() {
            if rates[k].is_nan() {
                rates[k] = known;
            }
            known = rates[k];
        }
    }
}
