//! Samples that are not like those before, at a stated rate of false alarms (see `docs/forecasting.md`).
//!
//! ```text
//! sample - forecast, or - built-in prediction      residual in scales        predictor
//!   -> rank among earlier ones, Pareto tail         p-value, both sides       ranks
//!   -> alone | six in a row | martingale | stuck    decades                   evidence, detector
//!   -> the strongest, beside that of earlier hours  decades                   hours
//!   -> against one threshold                        Anomaly                   detector, group
//! ```
//!
//! Pure and online: memory per series is fixed (4.8 kB, in a group 4 kB a metric), nothing is allocated between alarms, and
//! the same samples and seed give the same alarms.

mod detector;
mod evidence;
mod group;
mod hours;
mod predictor;
mod ranks;

pub use detector::Detector;
pub use group::Group;

use serde::{Deserialize, Serialize};
use thiserror::Error;

const DAY_S: u32 = 86_400;

/// Tests that share the budget of a detector: spike, dip, high, low, run up, run down, lasting change, stuck.
const TESTS: f64 = 8.0;

/// What a detector is to keep to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// False alarms per day, above 0, while samples are as normal as those before (exchangeable residuals); the mean
    /// over a long time. A detector and a whole [`Group`] have one budget each.
    pub false_alarms_per_day: f64,
    /// Seconds from one sample to the next, 1..=86,400.
    pub cadence_s: u32,
    /// What differs by no more than this is as predicted, in the unit of the series, 0 or more. Half a point
    /// ([`Config::POINTS`]) keeps idle machines from alarming at every breath.
    pub least: f32,
    /// Of the noise that keeps samples in steps from being ranked by their step.
    pub seed: u64,
}

/// Why a detector cannot be set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AnomalyError {
    /// No such cadence.
    #[error("cadence {0} s: samples are 1 to {DAY_S} s apart; give the cadence of the series")]
    Cadence(u32),
    /// No such rate.
    #[error("false alarms per day must be above 0 and below one per sample; one a week is 0.143")]
    Rate,
    /// No such change.
    #[error("the least change that counts must be finite and not negative; 0 counts every change")]
    Least,
    /// A group of nothing.
    #[error("a group has at least 1 metric; give one sample per metric and tick")]
    Empty,
}

impl Config {
    /// [`Config::least`] of series in points.
    pub const POINTS: f32 = 0.5;

    fn per_day(&self) -> u32 {
        (DAY_S / self.cadence_s.max(1)).max(1)
    }

    /// Scores that a calibration set holds before it forgets half: two weeks, within reason.
    fn scores_max(&self) -> u64 {
        (14 * u64::from(self.per_day())).clamp(2048, 65_535)
    }

    fn per_hour(&self) -> u32 {
        (self.per_day() / 24).max(1)
    }

    /// Samples of silence after an alarm: an hour, at least six.
    fn hold(&self) -> u32 {
        self.per_hour().max(6)
    }

    /// Decades of evidence at which one of so many tests may alarm.
    fn threshold(&self, tests: f64) -> Result<f64, AnomalyError> {
        if !(1..=DAY_S).contains(&self.cadence_s) {
            return Err(AnomalyError::Cadence(self.cadence_s));
        }
        if !(0.0..=f32::MAX).contains(&self.least) {
            return Err(AnomalyError::Least);
        }
        let per_sample = self.false_alarms_per_day / f64::from(self.per_day());
        if per_sample > 0.0 && per_sample < 1.0 {
            Ok((tests / per_sample).log10())
        } else {
            Err(AnomalyError::Rate)
        }
    }
}

/// What an anomaly looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One sample far above the prediction.
    Spike,
    /// One sample far below.
    Dip,
    /// Above the prediction for several samples, or for good.
    Rise,
    /// Below for several samples, or for good.
    Fall,
    /// Predictions miss by more than they used to, on both sides.
    Unrest,
    /// Predictions miss by less than they ever did.
    Calm,
    /// The same value for longer than ever.
    Flat,
}

impl Kind {
    /// The name in reports and on screens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spike => "spike",
            Self::Dip => "dip",
            Self::Rise => "rise",
            Self::Fall => "fall",
            Self::Unrest => "unrest",
            Self::Calm => "calm",
            Self::Flat => "flat",
        }
    }
}

/// A metric's part in an anomaly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blame {
    /// Its index in the group; 0 of a single series.
    pub metric: usize,
    /// Its evidence of the last samples, decades.
    pub decades: f32,
}

/// An alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct Anomaly {
    /// What it looks like; of a group: what the first of `metrics` looks like.
    pub kind: Kind,
    /// Expected false alarms per sample of this strength, all tests and metrics counted; at most 1.
    pub p_value: f64,
    /// Evidence, decades: see [`Detector::score`].
    pub score: f64,
    /// The sample since which it lasts, counted from 0, gaps included.
    pub since: u64,
    /// Every metric, the one at fault first.
    pub metrics: Vec<Blame>,
}

/// Uniform numbers in [0, 1): SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
/// 2014, figure 17).
#[derive(Debug, Clone, Copy)]
struct Uniform(u64);

impl Uniform {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}
