//! What the events of one resource cost, learned online for each lag that is tried.

use foreshade_types::{EVENT_KINDS, Resource};

use super::errors::Errors;
use super::fleet::FleetCosts;
use super::rls::{Prior, Rls};

/// Kinds of event.
pub const KINDS: usize = EVENT_KINDS.len();

/// Regressors: the kinds, and what is used without any event.
pub const PARTS: usize = KINDS + 1;

/// Index of the use without events.
pub const BASE: usize = KINDS;

/// Lags from an input to its work that are tried: 0 to 3 ticks.
pub const LAGS: usize = 4;

/// A lag is given up for one whose mean square error is this much lower.
const LEAD: f64 = 0.97;

/// The short memory, as a share of the long one: for costs that drift.
const SHORT: f64 = 0.06;

/// It is used where its mean square error is this much lower. More than that it gains from any noise with a memory.
const DRIFT: f64 = 0.85;

/// Weight of a squared error one tick later, against the newest.
const DECAY: f64 = 0.99;

/// The rates of the last ticks, newest first; NaN = gap.
pub(super) type Recent = [[f64; KINDS]; LAGS];

/// Regressors of a tick when inputs take `lag` ticks to become work.
pub(super) fn regressors(recent: &Recent, lag: usize) -> [f64; PARTS] {
    let mut x = [1.0; PARTS];
    for kind in EVENT_KINDS {
        x[kind as usize] = recent[if kind.is_input() { lag } else { 0 }][kind as usize];
    }
    x
}

/// Costs of one resource. What is regressed is the use; of memory, its change in MiB/s.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Costs {
    lags: [Rls<PARTS>; LAGS],
    /// At the lag in use, with the short memory.
    short: Rls<PARTS>,
    /// Decayed squared errors per lag, and of the short memory.
    square: [f64; LAGS + 1],
    weight: f64,
    lag: usize,
    drifts: bool,
    /// Errors of the estimate from inputs alone.
    pub(super) errors: Errors,
}

impl Costs {
    pub(super) fn new(resource: Resource, memory_ticks: f64, fleet: Option<&FleetCosts>) -> Self {
        let vague = [Prior { mean: 0.0, spread: None }; PARTS];
        let prior = fleet.and_then(|f| f.prior(resource)).unwrap_or(vague);
        let mut bounded = [true; PARTS];
        // Memory is given back without an event.
        bounded[BASE] = resource != Resource::Memory;
        let lag = fleet.and_then(|f| f.lag(resource)).unwrap_or(0);
        Self {
            lags: std::array::from_fn(|_| Rls::new(forget(memory_ticks), bounded, prior)),
            short: Rls::new(forget(SHORT * memory_ticks), bounded, prior),
            square: [0.0; LAGS + 1],
            weight: 0.0,
            lag,
            drifts: false,
            errors: Errors::new(resource.transform()),
        }
    }

    /// Ticks from an input to its work, as far as known.
    pub(super) fn lag(&self) -> usize {
        self.lag
    }

    /// The costs in use.
    pub(super) fn chosen(&self) -> &Rls<PARTS> {
        if self.drifts { &self.short } else { &self.lags[self.lag] }
    }

    /// Mean square error of the costs in use.
    pub(super) fn variance(&self) -> f64 {
        self.square[if self.drifts { LAGS } else { self.lag }] / self.weight.max(1.0)
    }

    /// Takes what was used in the newest tick of `recent`; returns the use less the estimate.
    pub(super) fn learn(&mut self, recent: &Recent, used: f64) -> Option<f64> {
        let expected = self.chosen().predict(&regressors(recent, self.lag));
        let mut errors = [None; LAGS + 1];
        for (lag, (rls, error)) in self.lags.iter_mut().zip(&mut errors).enumerate() {
            *error = rls.update(&regressors(recent, lag), used);
        }
        errors[LAGS] = self.short.update(&regressors(recent, self.lag), used);
        // All are judged by the same ticks.
        if errors.iter().all(Option::is_some) {
            self.weight = DECAY * self.weight + 1.0;
            for (square, error) in self.square.iter_mut().zip(errors) {
                *square = DECAY * *square + error.map_or(0.0, |e| e * e);
            }
            self.choose();
        }
        if self.drifts {
            self.short.settle();
        } else {
            self.lags[self.lag].settle();
        }
        let error = used - expected;
        if self.chosen().updates() > PARTS as u64 {
            self.errors.push(expected, used);
        }
        error.is_finite().then_some(error)
    }

    fn choose(&mut self) {
        if self.weight < 2.0 * PARTS as f64 {
            return;
        }
        let best = (0..LAGS).min_by(|a, b| self.square[*a].total_cmp(&self.square[*b])).unwrap_or(0);
        if self.square[best] < LEAD * self.square[self.lag] {
            self.lag = best;
            self.short.restart_from(&self.lags[best]);
            self.square[LAGS] = self.square[best];
            self.drifts = false;
        }
        let (long, short) = (self.square[self.lag], self.square[LAGS]);
        self.drifts = short < if self.drifts { long } else { DRIFT * long };
    }
}

/// The factor that remembers so many ticks.
fn forget(ticks: f64) -> f64 {
    1.0 - 1.0 / ticks
}
