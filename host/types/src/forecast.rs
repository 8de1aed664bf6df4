//! What a forecast is, whoever made it.

use serde::{Deserialize, Serialize};

/// The quantile levels of every forecast, ascending.
pub const LEVELS: [f32; 5] = [0.05, 0.50, 0.90, 0.95, 0.99];

/// Values at [`LEVELS`], ascending.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quantiles(pub [f32; 5]);

impl Quantiles {
    /// 5 %.
    pub fn q05(&self) -> f32 {
        self.0[0]
    }
    /// Median.
    pub fn q50(&self) -> f32 {
        self.0[1]
    }
    /// 90 %.
    pub fn q90(&self) -> f32 {
        self.0[2]
    }
    /// 95 %.
    pub fn q95(&self) -> f32 {
        self.0[3]
    }
    /// 99 %.
    pub fn q99(&self) -> f32 {
        self.0[4]
    }

    /// Puts the values in order: a calibrated upper level may have crossed its neighbour.
    pub fn sorted(mut self) -> Self {
        self.0.sort_by(f32::total_cmp);
        self
    }
}

/// What is forecast: the value some steps ahead, or the largest value of the next steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Horizon {
    /// The maximum over the next `n` steps (30 min on 300 s samples: 6). `horizon_s` 0 in files.
    Peak(u32),
    /// The value `n` steps ahead, n >= 1.
    Step(u32),
}

impl Horizon {
    /// Steps until the outcome is known.
    pub fn delay_steps(self) -> u32 {
        match self {
            Self::Peak(n) | Self::Step(n) => n,
        }
    }
}

/// How far a series' forecast may be trusted; nothing acts on a cold one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// Too few samples for any interval.
    #[default]
    Cold,
    /// Only the always-on members (last value + rise, recent peak, AR) have enough history.
    Fallback,
    /// All members run and the calibration has seen outcomes.
    Ready,
}

/// The forecast of one series at one origin, in points. `horizons[i]` belongs to the i-th horizon the fleet was set up
/// with; the peak comes first by convention.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesForecast {
    /// May this be acted on?
    pub readiness: Readiness,
    /// Mean per horizon.
    pub mean: Vec<f32>,
    /// Quantiles per horizon.
    pub quantiles: Vec<Quantiles>,
}
