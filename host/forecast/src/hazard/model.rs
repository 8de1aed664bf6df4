//! The fitted model: plain numbers, JSON in and out.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::explain::Topic;
use super::{drive, features};

/// What a model file must say.
const FORMAT: &str = "foreshade-hazard/1";
/// Far above any file that a fit writes.
const BYTES_MAX: usize = 1 << 20;
const HEADS_MAX: usize = 8;
/// Larger coefficients come from a broken fit.
const WEIGHT_MAX: f64 = 1e4;
/// A logit beyond is as good as certain, and its exponential is still finite.
const LOGIT_MAX: f64 = 30.0;

/// Why there is no model or no answer.
#[derive(Debug, Error, PartialEq)]
pub enum HazardError {
    /// No JSON of the right shape.
    #[error("not a hazard model ({0}); fit it again with example hazard_fit")]
    Json(String),
    /// Of another version, or with numbers that cannot be.
    #[error("hazard model: {0}; fit it again with example hazard_fit")]
    Model(String),
    /// Longer than anything it was fitted for.
    #[error(
        "horizon of {asked_s} s is not between 1 s and {longest_s} s; ask for a shorter one, or fit a longer one"
    )]
    Horizon {
        /// What was asked for.
        asked_s: i64,
        /// The longest horizon of the model.
        longest_s: i64,
    },
    /// Never heard of.
    #[error("{what} {index} is not one of the {of} known; add it first")]
    Unknown {
        /// Host, rack or site.
        what: &'static str,
        /// Which.
        index: usize,
        /// How many there are.
        of: usize,
    },
    /// Nothing to learn from.
    #[error("{0}")]
    Fit(String),
}

/// What the inputs of a model are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// [`features`].
    Recurrence,
    /// [`drive`].
    Drive,
}

impl Layout {
    /// Its name in a model file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recurrence => features::LAYOUT,
            Self::Drive => drive::LAYOUT,
        }
    }

    /// Name and topic of each input.
    pub fn inputs(self) -> &'static [(&'static str, Topic)] {
        match self {
            Self::Recurrence => &features::FEATURES,
            Self::Drive => &drive::FEATURES,
        }
    }
}

/// A logistic model of one horizon: p = 1 / (1 + exp(-(slope * (bias + weights . x) + offset))).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Seconds ahead.
    pub horizon_s: i64,
    /// Share of host-hours of the calibration period that were followed by a failure: the answer for a cold host.
    pub base_rate: f64,
    /// Constant of the fit.
    pub bias: f64,
    /// One per input.
    pub weights: Vec<f64>,
    /// Mean of each input over the training period: what a reason is compared with.
    pub mean: Vec<f64>,
    /// Calibration (Platt, "Probabilistic outputs for support vector machines", 1999): slope ..
    pub slope: f64,
    /// .. and offset of the logit.
    pub offset: f64,
}

impl Head {
    /// Logit before calibration.
    pub fn raw(&self, x: &[f64]) -> f64 {
        self.bias + self.weights.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()
    }

    /// Calibrated probability of `x`.
    pub fn probability(&self, x: &[f64]) -> f64 {
        sigmoid(self.slope * self.raw(x) + self.offset)
    }
}

/// 1 / (1 + exp(-z)), never 0 or 1; of NaN 1/2.
pub(super) fn sigmoid(z: f64) -> f64 {
    let z = if z.is_nan() { 0.0 } else { z.clamp(-LOGIT_MAX, LOGIT_MAX) };
    1.0 / (1.0 + (-z).exp())
}

/// The model of all horizons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hazard {
    format: String,
    layout: String,
    /// Names, so that a person can read the file.
    inputs: Vec<String>,
    heads: Vec<Head>,
}

impl Hazard {
    /// A model from fitted heads, nearest horizon first.
    ///
    /// # Errors
    /// If a head has another number of inputs, or numbers that no fit gives.
    pub fn new(layout: Layout, heads: Vec<Head>) -> Result<Self, HazardError> {
        let inputs = layout.inputs().iter().map(|(name, _)| (*name).to_owned()).collect();
        Self { format: FORMAT.into(), layout: layout.name().into(), inputs, heads }.checked()
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// Whatever is wrong with it, in one line.
    pub fn from_json(bytes: &[u8]) -> Result<Self, HazardError> {
        if bytes.len() > BYTES_MAX {
            return Err(HazardError::Json(format!("{} bytes, more than {BYTES_MAX}", bytes.len())));
        }
        serde_json::from_slice::<Self>(bytes).map_err(|e| HazardError::Json(e.to_string()))?.checked()
    }

    /// The model file.
    ///
    /// # Errors
    /// Never for a checked model; the writer may say otherwise.
    pub fn to_json(&self) -> Result<String, HazardError> {
        let text = serde_json::to_string_pretty(self).map_err(|e| HazardError::Json(e.to_string()))?;
        Ok(text + "\n")
    }

    fn checked(self) -> Result<Self, HazardError> {
        let wrong = |what: String| Err(HazardError::Model(what));
        if self.format != FORMAT {
            return wrong(format!("format is {:.40}, this version reads {FORMAT}", self.format));
        }
        let Some(layout) = [Layout::Recurrence, Layout::Drive].into_iter().find(|l| l.name() == self.layout)
        else {
            return wrong(format!("layout {:.40} is not known", self.layout));
        };
        if !self.inputs.iter().map(String::as_str).eq(layout.inputs().iter().map(|(name, _)| *name)) {
            return wrong(format!("inputs are not those of {}", self.layout));
        }
        if self.heads.is_empty() || self.heads.len() > HEADS_MAX {
            return wrong(format!("{} horizons, needs 1 to {HEADS_MAX}", self.heads.len()));
        }
        let mut last_s = 0;
        for head in &self.heads {
            if head.horizon_s <= last_s {
                return wrong(format!("horizon {} s is not after {last_s} s", head.horizon_s));
            }
            last_s = head.horizon_s;
            if let Some(what) = unsound(head, self.inputs.len()) {
                return wrong(format!("horizon {last_s} s: {what}"));
            }
        }
        Ok(self)
    }

    /// What its inputs are.
    pub fn layout(&self) -> Layout {
        if self.layout == drive::LAYOUT { Layout::Drive } else { Layout::Recurrence }
    }

    /// One per horizon, nearest first.
    pub fn heads(&self) -> &[Head] {
        &self.heads
    }

    /// Probability of a failure within `horizon_s`. Between the horizons of the fit the cumulative hazard
    /// H = -ln(1 - p) is a power of time, before the first one it is proportional to it; it never falls with time.
    ///
    /// # Errors
    /// Beyond the last horizon.
    pub fn probability(&self, x: &[f64], horizon_s: i64) -> Result<f64, HazardError> {
        self.interpolated(horizon_s, |head| head.probability(x))
    }

    /// The same of a host of which nothing is known.
    ///
    /// # Errors
    /// Beyond the last horizon.
    pub fn base_rate(&self, horizon_s: i64) -> Result<f64, HazardError> {
        self.interpolated(horizon_s, |head| head.base_rate)
    }

    fn interpolated(&self, horizon_s: i64, of: impl Fn(&Head) -> f64) -> Result<f64, HazardError> {
        let longest_s = self.heads.last().map_or(0, |h| h.horizon_s);
        if horizon_s < 1 || horizon_s > longest_s {
            return Err(HazardError::Horizon { asked_s: horizon_s, longest_s });
        }
        let t = horizon_s as f64;
        let mut before = (0.0, 0.0);
        for head in &self.heads {
            let p = of(head);
            let here = (head.horizon_s as f64, (-(-p).ln_1p()).max(before.1));
            if horizon_s <= head.horizon_s {
                return Ok(-(-power(before, here, t)).exp_m1());
            }
            before = here;
        }
        Err(HazardError::Horizon { asked_s: horizon_s, longest_s })
    }

    /// The head that speaks for a horizon: the first that reaches it.
    pub(super) fn head_for(&self, horizon_s: i64) -> Option<&Head> {
        self.heads.iter().find(|h| h.horizon_s >= horizon_s)
    }
}

/// The power of t through two points; through the origin, a straight line.
fn power((t0, h0): (f64, f64), (t1, h1): (f64, f64), t: f64) -> f64 {
    if h0 <= 0.0 {
        return h1 * ((t - t0) / (t1 - t0));
    }
    h0 * (h1 / h0).powf((t / t0).ln() / (t1 / t0).ln())
}

fn unsound(head: &Head, inputs: usize) -> Option<String> {
    if head.weights.len() != inputs || head.mean.len() != inputs {
        return Some(format!("{} weights and {} means, needs {inputs}", head.weights.len(), head.mean.len()));
    }
    if !(head.base_rate > 0.0 && head.base_rate < 1.0) {
        return Some(format!("base rate {} is not between 0 and 1", head.base_rate));
    }
    if !(head.slope > 0.0 && head.slope <= WEIGHT_MAX) {
        return Some(format!("slope {} is not above 0", head.slope));
    }
    let all = head.weights.iter().chain(&head.mean).chain([&head.bias, &head.offset]);
    let bad = all.into_iter().find(|v| v.is_nan() || v.abs() > WEIGHT_MAX);
    bad.map(|v| format!("{v} is not finite or larger than {WEIGHT_MAX}"))
}
