//! What p-values say over time. All evidence is in *decades*: samples as normal as those before reach d decades at most
//! once in 10^d samples on average, so that different tests share one threshold.

use std::f64::consts::LN_10;

/// Samples of the short-window test.
pub(super) const RUN: usize = 6;

/// Decades of a p-value.
pub(super) fn decades(p: f64) -> f64 {
    -p.max(1e-300).log10()
}

/// Fisher's combination of the last p-values: -2 sum ln p is chi-square with 2 `RUN` degrees of freedom when they are
/// independent and uniform, whose upper tail is a sum of `RUN` terms.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    surprise: [f64; RUN],
    next: usize,
    seen: usize,
}

impl Run {
    /// Takes the next p-value; the decades of the last few together, 0 while there are too few.
    pub(super) fn push(&mut self, p: f64) -> f64 {
        self.surprise[self.next] = -p.ln();
        self.next = (self.next + 1) % RUN;
        self.seen = (self.seen + 1).min(RUN);
        let sum = self.surprise.iter().sum::<f64>();
        // On average the sum is RUN: below twice that it says nothing.
        if self.seen < RUN || sum < 2.0 * RUN as f64 {
            return 0.0;
        }
        let (mut term, mut terms) = (1.0, 1.0);
        for i in 1..RUN {
            term *= sum / i as f64;
            terms += term;
        }
        sum / LN_10 - f64::log10(terms)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// What a lasting change looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drift {
    /// Values lie higher than predicted.
    Up,
    /// Lower.
    Down,
    /// Further away, on both sides.
    Wide,
    /// Nearer than ever.
    Calm,
}

const DRIFTS: [Drift; 4] = [Drift::Up, Drift::Down, Drift::Wide, Drift::Calm];
/// Exponents of the power bets e p^(e-1): 1/4 wins soon on a large change, 3/4 in time on a small one.
const BETS: usize = 3;
/// More evidence than this is not needed, and its product must stay finite.
const WEALTH_MAX: f64 = 1e30;

/// A mixture of conformal test martingales as a Shiryaev-Roberts procedure (Volkhonskiy, Burnaev, Nouretdinov,
/// Gammerman and Vovk, "Inductive conformal martingales for change-point detection", 2017, sections 3 and 4): each
/// statistic is R <- (R + stake) e p^(e-1), so that R - n is at most a martingale while p-values are uniform and independent, and
/// so is its mean over bets. By optional stopping the mean time until it passes A is at least A samples.
#[derive(Debug, Clone, Default)]
pub(super) struct Wealth {
    r: [[f64; BETS]; DRIFTS.len()],
    /// The middle bet as Page's CUSUM, and the samples since it was last at its start: when the change began.
    cusum: [(f64, u64); DRIFTS.len()],
}

/// The mean of each bet over p in (a, b): (b^e - a^e) / (b - a).
fn odds((a, b): (f64, f64)) -> [f64; BETS] {
    let (a2, b2) = (a.sqrt(), b.sqrt());
    let (a4, b4) = (a2.sqrt(), b2.sqrt());
    let width = (b - a).max(1e-12);
    [(b4 - a4) / width, (b2 - a2) / width, (b2 * b4 - a2 * a4) / width]
}

fn mirrored((a, b): (f64, f64)) -> (f64, f64) {
    (1.0 - b, 1.0 - a)
}

impl Wealth {
    /// Takes where the p-values of the upper side and of both sides lie. `stake`: what a change that begins here is given
    /// to bet with, 0..=1, chosen before the sample was seen; the less, the later and the rarer the alarm.
    pub(super) fn push(&mut self, up: (f64, f64), two: (f64, f64), stake: f64) {
        let sides = [up, mirrored(up), two, mirrored(two)];
        for ((r, (cusum, age)), side) in self.r.iter_mut().zip(&mut self.cusum).zip(sides) {
            let odds = odds(side);
            r.iter_mut().zip(odds).for_each(|(r, odds)| *r = ((*r + stake) * odds).min(WEALTH_MAX));
            *cusum = (*cusum * odds[1]).clamp(1.0, WEALTH_MAX);
            *age = if *cusum > 1.0 { *age + 1 } else { 0 };
        }
    }

    /// The statistic.
    pub(super) fn mean(&self) -> f64 {
        self.r.iter().flatten().sum::<f64>() / (BETS * DRIFTS.len()) as f64
    }

    /// Samples since that change began, as far as can be told.
    pub(super) fn age(&self) -> u64 {
        self.cusum[self.drift() as usize].1
    }

    /// The kind of change that explains most of it.
    pub(super) fn drift(&self) -> Drift {
        let sum = |i: usize| self.r[i].iter().sum::<f64>();
        DRIFTS[(1..DRIFTS.len()).fold(0, |best, i| if sum(i) > sum(best) { i } else { best })]
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_equal_p_values_give_the_chi_square_tail() {
        let mut run = Run::default();
        let d = (0..RUN).map(|_| run.push(0.01)).last().unwrap_or(0.0);
        // scipy.stats.chi2.sf(-12 ln 0.01, 12) = 1.6243e-7
        assert!((d - 6.7893).abs() < 1e-3, "{d}");
        run.clear();
        assert_eq!(run.push(1e-9), 0.0);
    }

    #[test]
    fn a_bet_wins_nothing_on_average() {
        // Any partition of 0..1 will do: the lot that ties would need is the mean over them.
        for n in [1, 7, 1000] {
            let mut mean = [0.0; BETS];
            for i in 0..n {
                let side = (f64::from(i) / f64::from(n), f64::from(i + 1) / f64::from(n));
                mean.iter_mut().zip(odds(side)).for_each(|(m, o)| *m += o / f64::from(n));
            }
            assert!(mean.iter().all(|m| (m - 1.0).abs() < 1e-9), "{mean:?}");
        }
        let p = 0.0123;
        let want = [0.25 * f64::powf(p, -0.75), 0.5 * f64::powf(p, -0.5), 0.75 * f64::powf(p, -0.25)];
        assert!(odds((p - 1e-6, p + 1e-6)).iter().zip(want).all(|(o, w)| (o - w).abs() < 1e-4 * w));
    }

    #[test]
    fn nothing_is_won_where_nothing_differs() {
        let mut w = Wealth::default();
        (0..100_000).for_each(|_| w.push((0.0, 1.0), (0.0, 1.0), 0.0));
        assert_eq!(w.mean(), 0.0);
    }

    #[test]
    fn a_change_is_named_and_dated() {
        let at = |p: f64| (p - 0.005, p + 0.005);
        for (p, want) in [(0.02, Drift::Up), (0.98, Drift::Down), (0.5, Drift::Calm)] {
            let mut w = Wealth::default();
            let mut push = |p: f64| w.push(at(p), at((2.0 * p.min(1.0 - p)).clamp(0.01, 0.99)), 1.0);
            (0..200).for_each(|i| push((f64::from(i) * 0.618).fract().clamp(0.01, 0.99)));
            (0..30).for_each(|_| push(p));
            assert_eq!(w.drift(), want);
            assert!((29..=33).contains(&w.age()), "{p}: {}", w.age());
        }
    }
}
