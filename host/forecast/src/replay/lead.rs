//! Usage ahead of time: inputs that have come but are not worked off yet, then the rates as they go on by themselves,
//! at the costs learned, plus what the residual does on its own.

use foreshade_types::{EVENT_KINDS, Horizon, RESOURCES, Resource, Usage};

use super::costs::{BASE, Costs, KINDS, LAGS, PARTS};
use super::echo::Echo;
use super::errors::Errors;

/// A forecast of one resource at one horizon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ahead {
    pub(super) mean: f64,
    pub(super) quantiles: [f64; 5],
    pub(super) parts: [f64; PARTS],
}

/// What one resource and horizon has promised and how it came.
#[derive(Debug, Clone, PartialEq)]
struct Track {
    /// Ring of forecasts whose outcome is open: the one made `delay` ticks ago is where this one's goes.
    pending: Box<[f64]>,
    errors: Errors,
    now: (f64, [f64; PARTS]),
}

/// State of all horizons of a VM.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lead {
    horizons: Vec<Horizon>,
    rates: [Echo; KINDS],
    residuals: [Echo; RESOURCES.len()],
    /// Rates per kind: the last LAGS - 1 known ones, then the forecast ones.
    path: [Box<[f64]>; KINDS],
    beyond: Box<[f64]>,
    /// Use per step ahead, with its parts.
    steps: Box<[[f64; PARTS]]>,
    tracks: Vec<Track>,
    /// Outcomes of the last ticks per resource, newest last, for the peaks.
    outcomes: [Box<[f64]>; RESOURCES.len()],
    age: u64,
}

/// Known rates at the head of a path, the newest included.
const KNOWN: usize = LAGS;

impl Lead {
    pub(super) fn new(horizons: &[Horizon]) -> Self {
        let reach = horizons.iter().map(|h| h.delay_steps() as usize).max().unwrap_or(0);
        let track = |resource: Resource, h: &Horizon| Track {
            pending: vec![f64::NAN; h.delay_steps().max(1) as usize].into_boxed_slice(),
            errors: Errors::new(resource.transform()),
            now: (f64::NAN, [0.0; PARTS]),
        };
        Self {
            horizons: horizons.to_vec(),
            rates: std::array::from_fn(Echo::new),
            residuals: std::array::from_fn(|i| Echo::new(KINDS + i)),
            path: std::array::from_fn(|_| vec![0.0; KNOWN + reach].into_boxed_slice()),
            beyond: vec![0.0; reach].into_boxed_slice(),
            steps: vec![[0.0; PARTS]; reach].into_boxed_slice(),
            tracks: RESOURCES.iter().flat_map(|&r| horizons.iter().map(move |h| track(r, h))).collect(),
            outcomes: std::array::from_fn(|_| vec![f64::NAN; reach].into_boxed_slice()),
            age: 0,
        }
    }

    /// The farthest horizon, ticks.
    pub(super) fn reach(&self) -> usize {
        self.steps.len()
    }

    /// Takes the use less its estimate; `None` = gap.
    pub(super) fn residual(&mut self, resource: Resource, residual: Option<f64>) {
        self.residuals[resource as usize].push(residual.unwrap_or(f64::NAN));
    }

    /// Takes the newest rates and outcomes and forecasts every horizon.
    pub(super) fn tick(&mut self, rates: &[f64; KINDS], usage: &Usage, costs: &[Costs], cadence_s: f64) {
        self.age += 1;
        if self.steps.is_empty() {
            return;
        }
        for (k, rate) in rates.iter().enumerate() {
            self.rates[k].push(*rate);
            let path = &mut self.path[k];
            path.copy_within(1..KNOWN, 0);
            path[KNOWN - 1] = self.rates[k].last();
            self.rates[k].forecast(&mut path[KNOWN..]);
            path[KNOWN..].iter_mut().for_each(|r| *r = r.max(0.0));
        }
        for resource in RESOURCES {
            let i = resource as usize;
            let y = usage.of(resource);
            self.outcomes[i].copy_within(1.., 0);
            let newest = self.outcomes[i].len() - 1;
            self.outcomes[i][newest] = y;
            if costs[i].chosen().updates() > 0 {
                self.walk(resource, &costs[i], y, cadence_s);
                self.conclude(i, y);
            }
        }
    }

    /// Fills `steps` with the parts of the use 1.. ticks ahead.
    fn walk(&mut self, resource: Resource, costs: &Costs, y: f64, cadence_s: f64) {
        self.residuals[resource as usize].forecast(&mut self.beyond);
        let (each, lag) = (costs.chosen().costs(), costs.lag());
        for (j, parts) in self.steps.iter_mut().enumerate() {
            for kind in EVENT_KINDS {
                let delay = if kind.is_input() { lag } else { 0 };
                parts[kind as usize] = each[kind as usize] * self.path[kind as usize][KNOWN + j - delay];
            }
            parts[BASE] = each[BASE] + self.beyond[j];
        }
        if resource == Resource::Memory {
            let mut held = [0.0; PARTS];
            held[BASE] = y;
            for parts in &mut self.steps {
                held.iter_mut().zip(&*parts).for_each(|(h, p)| *h += p * cadence_s);
                *parts = held;
            }
        }
    }

    /// Judges what falls due and writes what is said now.
    fn conclude(&mut self, resource: usize, y: f64) {
        let n = self.horizons.len();
        for (horizon, track) in self.horizons.iter().zip(&mut self.tracks[resource * n..(resource + 1) * n]) {
            let delay = horizon.delay_steps().max(1) as usize;
            let slot = (self.age % delay as u64) as usize;
            let outcome = match horizon {
                Horizon::Step(_) => y,
                Horizon::Peak(_) => {
                    let due = &self.outcomes[resource][self.outcomes[resource].len() - delay..];
                    let known = due.iter().filter(|v| !v.is_nan()).count();
                    if 2 * known >= delay { due.iter().copied().fold(f64::NAN, f64::max) } else { f64::NAN }
                }
            };
            track.errors.push(track.pending[slot], outcome);
            let total = |parts: &[f64; PARTS]| parts.iter().sum::<f64>();
            let due = match horizon {
                Horizon::Step(_) => &self.steps[delay - 1],
                Horizon::Peak(_) => self.steps[..delay]
                    .iter()
                    .max_by(|a, b| total(a).total_cmp(&total(b)))
                    .unwrap_or(&self.steps[0]),
            };
            track.now = (total(due), *due);
            track.pending[slot] = track.now.0;
        }
    }

    /// What is said now; `None` while it has no interval.
    pub(super) fn at(&self, resource: Resource, horizon: usize) -> Option<Ahead> {
        let track = &self.tracks[resource as usize * self.horizons.len() + horizon];
        let (mean, parts) = track.now;
        let quantiles = track.errors.around(mean)?;
        mean.is_finite().then_some(Ahead { mean, quantiles, parts })
    }
}
