//! Weights of the members, per series and horizon, from how well each has done there.

use fearless_simd::{Select, Simd, SimdBase, f32x16};
use foreshade_types::LEVELS;

use crate::lanes::{Lane, ZERO, all, load};
use crate::members::{COUNT, LSTM, MLP};

/// How the weights follow the losses. Chosen on the calibration split of the bench.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tuning {
    /// Weight of a loss one tick later, against the newest.
    pub(crate) decay: f32,
    /// Outcomes that the members' common mean loss counts for: damps the weights while there are few.
    pub(crate) shrink: f32,
    /// Weight of each member before any outcome.
    pub(crate) prior: [f32; COUNT],
}

impl Default for Tuning {
    fn default() -> Self {
        let mut prior = [1.0; COUNT];
        prior[LSTM] = 8.0;
        prior[MLP] = 4.0;
        Self { decay: 0.99, shrink: 6.0, prior }
    }
}

/// What the members say of a horizon.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(crate) struct Voices {
    pub(crate) q: [[Lane; 5]; COUNT],
    /// 1 = it speaks, 0 = it does not.
    pub(crate) speaks: [Lane; COUNT],
}

impl Voices {
    pub(crate) const SILENT: Self = Self { q: [[ZERO; 5]; COUNT], speaks: [ZERO; COUNT] };

    pub(crate) fn say(&mut self, member: usize, lane: usize, q: Option<[f32; 5]>) {
        self.speaks[member][lane] = if q.is_some() { 1.0 } else { 0.0 };
        if let Some(q) = q {
            self.q[member].iter_mut().zip(q).for_each(|(row, v)| row[lane] = v);
        }
    }
}

/// Decayed losses of the members.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(crate) struct Ensemble {
    loss: [Lane; COUNT],
    count: [Lane; COUNT],
}

impl Ensemble {
    pub(crate) const NEW: Self = Self { loss: [ZERO; COUNT], count: [ZERO; COUNT] };

    /// Takes the outcomes `y` (NaN = unknown) that the members had forecast. Losses are in units of the scale of then, so
    /// that a burst does not decide the weights for a day.
    #[inline(always)]
    pub(crate) fn learn<S: Simd>(
        &mut self,
        simd: S,
        t: &Tuning,
        voices: &Voices,
        y: f32x16<S>,
        scale: f32x16<S>,
    ) {
        let known = y.simd_eq(y);
        for m in 0..COUNT {
            let loss = pinball(simd, &voices.q[m], y);
            let judged = load(simd, &voices.speaks[m]).simd_gt(0.0) & known;
            let (sum, n) = (load(simd, &self.loss[m]), load(simd, &self.count[m]));
            judged.select(sum * t.decay + loss / scale, sum).store_slice(&mut self.loss[m]);
            judged.select(n * t.decay + 1.0, n).store_slice(&mut self.count[m]);
        }
    }

    /// The members' weighted quantiles; lanes without a voice get zeros, and 0 in the second.
    #[inline(always)]
    pub(crate) fn combine<S: Simd>(
        &self,
        simd: S,
        t: &Tuning,
        voices: &Voices,
    ) -> ([f32x16<S>; 5], f32x16<S>) {
        let zero = all(simd, 0.0);
        let weight = self.weights(simd, t, voices);
        let total = weight.iter().skip(1).fold(weight[0], |sum, w| sum + *w);
        let heard = total.simd_gt(zero);
        let mut out = [zero; 5];
        for (weight, voice) in weight.iter().zip(&voices.q) {
            let share = heard.select(*weight / total, zero);
            for (out, q) in out.iter_mut().zip(voice) {
                // A silent member's numbers are old ones; its share is 0.
                *out += share * load(simd, q);
            }
        }
        (out, total)
    }

    /// A member's weight falls with the tenth power of its mean loss.
    #[inline(always)]
    fn weights<S: Simd>(&self, simd: S, t: &Tuning, voices: &Voices) -> [f32x16<S>; COUNT] {
        let (zero, one) = (all(simd, 0.0), all(simd, 1.0));
        let (mut common, mut n) = (zero, zero);
        for m in 0..COUNT {
            let count = load(simd, &self.count[m]);
            let judged = load(simd, &voices.speaks[m]).simd_gt(zero) & count.simd_gt(zero);
            let mean = load(simd, &self.loss[m]) / count.max(f32::MIN_POSITIVE);
            common += judged.select(mean, zero);
            n += judged.select(one, zero);
        }
        let common = common / n.max(one);
        let mut weight = [zero; COUNT];
        for (m, weight) in weight.iter_mut().enumerate() {
            let (loss, count) = (load(simd, &self.loss[m]), load(simd, &self.count[m]));
            let mean = (loss + common * t.shrink) / (count + t.shrink);
            // All losses zero (a constant series): the priors stand.
            let ratio = mean.simd_gt(zero).select((common / mean).min(100.0), one);
            let square = ratio * ratio;
            let eighth = square * square * square * square;
            *weight = load(simd, &voices.speaks[m]) * t.prior[m] * (eighth * square);
        }
        weight
    }
}

/// Mean pinball loss over the levels.
#[inline(always)]
pub(crate) fn pinball<S: Simd>(simd: S, q: &[Lane; 5], y: f32x16<S>) -> f32x16<S> {
    let mut sum = all(simd, 0.0);
    for (q, level) in q.iter().zip(LEVELS) {
        let above = y - load(simd, q);
        sum += (above * level).max(above * (level - 1.0));
    }
    sum / LEVELS.len() as f32
}

#[cfg(test)]
mod tests {
    use fearless_simd::{Level, dispatch};

    use super::*;
    use crate::lanes::{LANES, each};
    use crate::members::{ARIMA, LAST, RECENT};

    fn learn(e: &mut Ensemble, t: &Tuning, v: &Voices, y: &Lane, scale: f32) {
        dispatch!(Level::new(), simd => e.learn(simd, t, v, load(simd, y), all(simd, scale)));
    }

    fn combine(e: &Ensemble, t: &Tuning, v: &Voices) -> ([Lane; 5], Lane) {
        dispatch!(Level::new(), simd => {
            let (q, total) = e.combine(simd, t, v);
            (q.map(Into::into), total.into())
        })
    }

    fn pinball(q: &[Lane; 5], y: &Lane) -> Lane {
        dispatch!(Level::new(), simd => super::pinball(simd, q, load(simd, y)).into())
    }

    fn voices(of: [Option<f32>; COUNT]) -> Voices {
        let mut v = Voices::SILENT;
        for (m, x) in of.into_iter().enumerate() {
            (0..LANES).for_each(|l| v.say(m, l, x.map(|x| [x; 5])));
        }
        v
    }

    #[test]
    fn a_silent_member_has_no_say_and_a_bad_one_little() {
        let t = Tuning::default();
        let mut e = Ensemble::NEW;
        let v = voices([Some(10.0), Some(20.0), None, None, None]);
        assert_eq!(combine(&e, &t, &v).0[1], [15.0; LANES]);
        for _ in 0..20 {
            learn(&mut e, &t, &v, &[10.5; LANES], 1.0);
        }
        let q = combine(&e, &t, &v).0[1][3];
        assert!((10.0..10.1).contains(&q), "{q}");
        assert_eq!(combine(&e, &t, &voices([None; COUNT])).1, ZERO);
    }

    #[test]
    fn the_whole_is_no_worse_than_its_best_member() {
        // Members forecast a noisy level each with its own error; which of them is best changes three times.
        let t = Tuning::default();
        let mut e = Ensemble::NEW;
        let mut state = 1u64;
        let mut noise = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        let spread = [-0.9, 0.0, 0.8, 0.9, 0.98];
        let (mut own, mut whole) = ([0.0f64; COUNT], 0.0f64);
        for tick in 0..4000 {
            let level = 50.0 + 5.0 * noise();
            let best = tick / 1000;
            let mut v = Voices::SILENT;
            for m in 0..COUNT {
                let bias = if m == best { 0.0 } else { 1.0 + m as f32 };
                v.say(m, 0, Some(spread.map(|s| level + bias + 2.0 * s)));
            }
            let y = [level + 2.0 * noise(); LANES];
            whole += f64::from(pinball(&combine(&e, &t, &v).0, &y)[0]);
            for (sum, q) in own.iter_mut().zip(&v.q) {
                *sum += f64::from(pinball(q, &y)[0]);
            }
            learn(&mut e, &t, &v, &y, 1.0);
        }
        let best = own.iter().copied().fold(f64::INFINITY, f64::min);
        println!("members {own:?}, ensemble {whole}");
        // No fixed member is best throughout, so following the best of late must be ahead of each of them.
        assert!(whole < 0.9 * best, "{whole} {best}");
    }

    #[test]
    fn a_perfect_member_does_not_divide_by_zero() {
        let t = Tuning::default();
        let mut e = Ensemble::NEW;
        let v = voices([Some(1.0); COUNT]);
        learn(&mut e, &t, &v, &[1.0; LANES], 0.5);
        assert_eq!(combine(&e, &t, &v).0, [[1.0; LANES]; 5]);
    }

    #[test]
    fn a_lane_does_not_feel_its_neighbours() {
        let t = Tuning::default();
        let run = |other: f32| {
            let mut e = Ensemble::NEW;
            let mut v = Voices::SILENT;
            for (m, x) in [(LAST, 1.0), (RECENT, 2.0), (ARIMA, 4.0)] {
                v.say(m, 0, Some([x; 5]));
                v.say(m, 1, Some([other * x; 5]));
            }
            let y = each(|l| if l == 0 { 1.5 } else { other });
            (0..5).for_each(|_| learn(&mut e, &t, &v, &y, 1.0));
            combine(&e, &t, &v).0.map(|q| q[0].to_bits())
        };
        assert_eq!(run(3.0), run(f32::NAN));
    }

    #[test]
    fn pinball_by_hand() {
        // y = 3, all quantiles 1: mean of level * 2 = 2 * (0.05 + 0.5 + 0.9 + 0.95 + 0.99) / 5.
        let one = |q: f32, y: f32| pinball(&[[q; LANES]; 5], &[y; LANES])[0];
        assert!((one(1.0, 3.0) - 1.356).abs() < 1e-5);
        assert!((one(3.0, 1.0) - 2.0 * (0.95 + 0.5 + 0.1 + 0.05 + 0.01) / 5.0).abs() < 1e-5);
    }
}
