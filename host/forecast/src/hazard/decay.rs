//! Counts that forget: each failure adds one, and half of it is gone after a half-life.
//!
//! A sum of exponential kernels is the excitation of a Hawkes process (Hawkes, "Spectra of some self-exciting and
//! mutually exciting point processes", Biometrika 58, 1971, section 2), and the only kernel that needs no list of past
//! events. Several half-lives stand for kernels with a longer tail.

use super::{DAY_S, HOUR_S};

/// Half-lives in seconds, the same for a host, its rack and its site, so that a host can be taken out of a sum.
pub const HALF_LIVES_S: [f64; 7] = [
    600.0,
    HOUR_S as f64,
    6.0 * HOUR_S as f64,
    DAY_S as f64,
    7.0 * DAY_S as f64,
    30.0 * DAY_S as f64,
    180.0 * DAY_S as f64,
];

/// Failures counted with each half-life, as of one instant.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Decayed([f64; HALF_LIVES_S.len()]);

impl Decayed {
    /// What is left `seconds` later.
    pub fn after(&self, seconds: i64) -> Self {
        let dt = seconds.max(0) as f64;
        let mut left = *self;
        left.0.iter_mut().zip(HALF_LIVES_S).for_each(|(c, half)| *c *= (-dt / half).exp2());
        left
    }

    /// One failure more.
    pub fn add_one(&mut self) {
        self.0.iter_mut().for_each(|c| *c += 1.0);
    }

    /// The counts without those of `part`.
    pub fn without(&self, part: &Self) -> [f64; HALF_LIVES_S.len()] {
        let mut rest = self.0;
        // Decay in other steps rounds otherwise: nothing left may show as less than nothing.
        rest.iter_mut().zip(part.0).for_each(|(c, p)| *c = (*c - p).max(0.0));
        rest
    }

    /// The counts.
    pub fn counts(&self) -> [f64; HALF_LIVES_S.len()] {
        self.0
    }

    /// Events per second that count `i` stands for after `seconds` of watching: count / integral of its kernel.
    pub fn rate(&self, i: usize, seconds: f64) -> f64 {
        let half = HALF_LIVES_S[i];
        let weight = half / std::f64::consts::LN_2 * (1.0 - (-seconds.max(0.0) / half).exp2());
        if weight > 1.0 { self.0[i] / weight } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_halves_in_its_half_life_and_a_steady_rate_is_found() {
        let mut d = Decayed::default();
        d.add_one();
        for (i, half) in HALF_LIVES_S.into_iter().enumerate() {
            assert!((d.after(half as i64).counts()[i] - 0.5).abs() < 1e-12);
        }
        // A failure an hour for 20 days is 1/3600 a second, from the short start as from the full history.
        let mut d = Decayed::default();
        for _ in 0..480 {
            d = d.after(HOUR_S);
            d.add_one();
        }
        for i in 3..7 {
            let rate = d.rate(i, 480.0 * HOUR_S as f64) * HOUR_S as f64;
            assert!((0.99..1.05).contains(&rate), "half-life {i}: {rate} an hour");
        }
        assert_eq!(Decayed::default().rate(3, 0.0), 0.0);
    }
}
