//! A second calibration: how strong was the evidence in earlier hours?
//!
//! The theory behind the evidence asks for residuals in no particular order. Real machines have jobs by the hour and
//! restless afternoons; the strongest evidence of an hour has far less order than their samples. Its own conformal p-value
//! keeps the stated rate where hours are exchangeable, whatever happens inside them.

use super::evidence::decades;
use super::ranks::Ranks;

/// Hours before which nothing is taken back.
const HOURS_MIN: u64 = 12;

/// The strongest evidence of each earlier hour, decades.
#[derive(Debug, Clone)]
pub(super) struct Hours {
    strongest: Ranks,
    per_hour: u32,
    /// One hour as samples and tests, decades: of the evidence of an hour only one is the strongest.
    samples: f64,
    now: f64,
    taken: u32,
}

/// Decades fall exponentially: a power of ten of them has the tail that [`Ranks`] continues. A quarter, to fit its range.
fn power(decades: f64) -> f32 {
    10f64.powf(decades / 4.0) as f32
}

impl Hours {
    /// `per_hour`: samples of an hour, at least 1. `tests`: how many of those that share the budget are the family whose
    /// evidence comes here. Remembers six weeks at most.
    pub(super) fn new(per_hour: u32, tests: f64) -> Self {
        let samples = (f64::from(per_hour) * tests).log10();
        Self { strongest: Ranks::upper(6 * 7 * 24), per_hour, samples, now: 0.0, taken: 0 }
    }

    /// Bytes beside the struct itself.
    pub(super) fn bytes(&self) -> usize {
        self.strongest.bytes()
    }

    /// Takes the evidence of a sample; what is left of it, no more than before.
    pub(super) fn temper(&mut self, score: f64) -> f64 {
        let left = if score > 0.0 && self.strongest.len() >= HOURS_MIN {
            let p = self.strongest.p_tail(power(score), 0.0);
            score.min(decades(p) + self.samples)
        } else {
            score
        };
        self.now = self.now.max(score);
        self.taken += 1;
        if self.taken == self.per_hour {
            self.strongest.push(power(self.now));
            (self.now, self.taken) = (0.0, 0);
        }
        left
    }
}
