//! What the drive model looks at: SMART raw values of one drive, one sample at a time.
//!
//! Counters of defects are taken as logarithms, whether they are above zero, and how fast they grow of late (Pinheiro,
//! Weber and Barroso, "Failure trends in a large disk drive population", FAST 2007, section 3.5: what matters is the
//! first error and those after it, far more than the sum). A value that was not reported is no zero: it has an input
//! of its own.

use super::DAY_S;
use super::explain::Topic;

/// Attributes in the order of a [`Sample`]: reallocated sectors, reported uncorrectable errors, command timeouts,
/// pending sectors, offline uncorrectable sectors, CRC errors of the cable; temperature; hours of operation.
pub const ATTRIBUTES: [u8; 8] = [5, 187, 188, 197, 198, 199, 194, 9];

/// The first attributes are counters.
const COUNTERS: usize = 6;

/// Raw values in the order of [`ATTRIBUTES`]; NaN = not reported. Temperature in degrees Celsius, operation in hours.
pub type Sample = [f64; ATTRIBUTES.len()];

/// Numbers per drive.
pub const N: usize = COUNTERS * 4 + 5;

/// Of which layout.
pub const LAYOUT: &str = "drive/1";

/// Half-life of growth.
const GROWTH_HALF_LIFE_S: f64 = 7.0 * DAY_S as f64;
/// Above any counter of a drive; vendors pack other numbers into the upper bits.
const COUNT_MAX: f64 = 1e9;

/// Name and reason of each number.
pub const FEATURES: [(&str, Topic); N] = {
    use Topic::Attribute as A;
    [
        ("smart_5_log", A(5)),
        ("smart_5_any", A(5)),
        ("smart_5_growth", A(5)),
        ("smart_5_missing", A(5)),
        ("smart_187_log", A(187)),
        ("smart_187_any", A(187)),
        ("smart_187_growth", A(187)),
        ("smart_187_missing", A(187)),
        ("smart_188_log", A(188)),
        ("smart_188_any", A(188)),
        ("smart_188_growth", A(188)),
        ("smart_188_missing", A(188)),
        ("smart_197_log", A(197)),
        ("smart_197_any", A(197)),
        ("smart_197_growth", A(197)),
        ("smart_197_missing", A(197)),
        ("smart_198_log", A(198)),
        ("smart_198_any", A(198)),
        ("smart_198_growth", A(198)),
        ("smart_198_missing", A(198)),
        ("smart_199_log", A(199)),
        ("smart_199_any", A(199)),
        ("smart_199_growth", A(199)),
        ("smart_199_missing", A(199)),
        ("smart_194_over_30", A(194)),
        ("smart_194_missing", A(194)),
        ("smart_9_years", A(9)),
        ("smart_9_over_4_years", A(9)),
        ("smart_9_missing", A(9)),
    ]
};

/// May the weight of this input only raise the risk? More defects never make a drive safer.
pub fn only_raises(name: &str) -> bool {
    ["_log", "_any", "_growth"].iter().any(|end| name.ends_with(end))
}

/// One drive: its newest values and their recent growth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DriveState {
    known: bool,
    since_s: i64,
    seen_s: i64,
    last: Sample,
    growth: [f64; COUNTERS],
}

impl Default for DriveState {
    fn default() -> Self {
        Self {
            known: false,
            since_s: 0,
            seen_s: 0,
            last: [f64::NAN; ATTRIBUTES.len()],
            growth: [0.0; COUNTERS],
        }
    }
}

impl DriveState {
    /// Takes the values of one moment. Anything that is no count (NaN, negative, infinite) was not reported. A clock
    /// that steps back makes nothing decay.
    pub fn observe(&mut self, sample: &Sample, now_s: i64) {
        let dt = if self.known { now_s.saturating_sub(self.seen_s).max(0) as f64 } else { 0.0 };
        let left = (-dt / GROWTH_HALF_LIFE_S).exp2();
        for (i, raw) in sample.iter().enumerate() {
            let value = if raw.is_finite() && *raw >= 0.0 { raw.min(COUNT_MAX) } else { f64::NAN };
            if let Some(growth) = self.growth.get_mut(i) {
                // A counter that falls was reset: no growth. So is one that is reported for the first time.
                let more = (value - self.last[i]).max(0.0);
                *growth = *growth * left + if more.is_finite() { more } else { 0.0 };
            }
            self.last[i] = value;
        }
        if !self.known {
            (self.known, self.since_s) = (true, now_s);
        }
        self.seen_s = now_s;
    }

    /// Seconds between its first and its newest sample; `None` before the first.
    pub fn age_s(&self) -> Option<i64> {
        self.known.then(|| self.seen_s.saturating_sub(self.since_s).max(0))
    }

    /// The newest value of an attribute, if it was reported.
    pub fn value(&self, attribute: u8) -> Option<f64> {
        let i = ATTRIBUTES.iter().position(|a| *a == attribute)?;
        Some(self.last[i]).filter(|v| v.is_finite())
    }

    /// The features as of the newest sample.
    pub fn features(&self) -> [f64; N] {
        let mut out = [0.0; N];
        for i in 0..COUNTERS {
            let value = self.last[i];
            let known = if value.is_finite() { value } else { 0.0 };
            out[i * 4] = known.ln_1p();
            out[i * 4 + 1] = f64::from(u8::from(known > 0.0));
            out[i * 4 + 2] = self.growth[i].ln_1p();
            out[i * 4 + 3] = f64::from(u8::from(!value.is_finite()));
        }
        let (celsius, hours) = (self.last[COUNTERS], self.last[COUNTERS + 1]);
        let years = if hours.is_finite() { hours.min(1e6) / 8766.0 } else { 0.0 };
        let warm = if celsius.is_finite() { (celsius.min(100.0) - 30.0).max(0.0) / 10.0 } else { 0.0 };
        let rest = [
            warm,
            f64::from(u8::from(!celsius.is_finite())),
            years,
            (years - 4.0).max(0.0),
            f64::from(u8::from(!hours.is_finite())),
        ];
        out[COUNTERS * 4..].copy_from_slice(&rest);
        out
    }
}
