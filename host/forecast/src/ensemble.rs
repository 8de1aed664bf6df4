//! Weights of the members, per series and horizon, from how well each has done there.

use foreshade_types::LEVELS;

use crate::members::{COUNT, LSTM, Voice};

/// How the weights follow the losses. Chosen on the calibration split of the bench.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tuning {
    /// Weight of a loss one tick later, against the newest.
    pub(crate) decay: f32,
    /// A member's weight falls with this power of its mean loss.
    pub(crate) power: i32,
    /// Outcomes that the members' common mean loss counts for: damps the weights while there are few.
    pub(crate) shrink: f32,
    /// Weight of each member before any outcome.
    pub(crate) prior: [f32; COUNT],
}

impl Default for Tuning {
    fn default() -> Self {
        let mut prior = [1.0; COUNT];
        prior[LSTM] = 8.0;
        Self { decay: 0.99, power: 10, shrink: 6.0, prior }
    }
}

/// Decayed losses of the members.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ensemble {
    loss: [f32; COUNT],
    count: [f32; COUNT],
}

impl Ensemble {
    /// Takes an outcome that the members had forecast. Losses are in units of the scale of then, so that a burst does
    /// not decide the weights for a day.
    pub(crate) fn learn(&mut self, t: &Tuning, voices: &[Option<Voice>; COUNT], y: f32, scale: f32) {
        for (m, voice) in voices.iter().enumerate() {
            if let Some(voice) = voice {
                self.loss[m] = t.decay * self.loss[m] + pinball(&voice.q, y) / scale;
                self.count[m] = t.decay * self.count[m] + 1.0;
            }
        }
    }

    /// The members' weighted voice; `None` while none speaks.
    pub(crate) fn combine(&self, t: &Tuning, voices: &[Option<Voice>; COUNT]) -> Option<Voice> {
        let weight = self.weights(t, voices);
        let total: f32 = weight.iter().sum();
        let mut out = Voice { mean: 0.0, q: [0.0; 5] };
        for (voice, w) in voices.iter().zip(weight) {
            if let Some(v) = voice {
                let w = w / total;
                out.mean += w * v.mean;
                out.q.iter_mut().zip(v.q).for_each(|(o, q)| *o += w * q);
            }
        }
        (total > 0.0).then_some(out)
    }

    fn weights(&self, t: &Tuning, voices: &[Option<Voice>; COUNT]) -> [f32; COUNT] {
        let judged = |m: &usize| voices[*m].is_some() && self.count[*m] > 0.0;
        let n = (0..COUNT).filter(judged).count() as f32;
        let common =
            (0..COUNT).filter(judged).map(|m| self.loss[m] / self.count[m]).sum::<f32>() / n.max(1.0);
        let mut weight = [0.0; COUNT];
        for m in 0..COUNT {
            if voices[m].is_some() {
                let mean = (self.loss[m] + t.shrink * common) / (self.count[m] + t.shrink);
                // All losses zero (a constant series): the priors stand.
                let ratio = if mean > 0.0 { common / mean } else { 1.0 };
                weight[m] = t.prior[m] * ratio.min(100.0).powi(t.power);
            }
        }
        weight
    }
}

/// Mean pinball loss over the levels.
pub(crate) fn pinball(q: &[f32; 5], y: f32) -> f32 {
    let each = |(q, level): (&f32, f32)| (level * (y - q)).max((level - 1.0) * (y - q));
    q.iter().zip(LEVELS).map(each).sum::<f32>() / LEVELS.len() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(x: f32) -> Option<Voice> {
        Some(Voice { mean: x, q: [x; 5] })
    }

    #[test]
    fn a_silent_member_has_no_say_and_a_bad_one_little() {
        let t = Tuning::default();
        let mut e = Ensemble::default();
        let voices = [voice(10.0), voice(20.0), None, None, None];
        assert_eq!(e.combine(&t, &voices).unwrap().q[1], 15.0);
        for _ in 0..20 {
            e.learn(&t, &voices, 10.5, 1.0);
        }
        let q = e.combine(&t, &voices).unwrap().q[1];
        assert!((10.0..10.1).contains(&q), "{q}");
        assert_eq!(e.combine(&t, &[None; COUNT]), None);
    }

    #[test]
    fn the_whole_is_no_worse_than_its_best_member() {
        // Members forecast a noisy level each with its own error; which of them is best changes three times.
        let t = Tuning::default();
        let mut e = Ensemble::default();
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
            let voices: [Option<Voice>; COUNT] = std::array::from_fn(|m| {
                let bias = if m == best { 0.0 } else { 1.0 + m as f32 };
                let q = spread.map(|s| level + bias + 2.0 * s);
                Some(Voice { mean: q[1], q })
            });
            let y = level + 2.0 * noise();
            whole += f64::from(pinball(&e.combine(&t, &voices).unwrap().q, y));
            for (sum, v) in own.iter_mut().zip(voices.iter().flatten()) {
                *sum += f64::from(pinball(&v.q, y));
            }
            e.learn(&t, &voices, y, 1.0);
        }
        let best = own.iter().copied().fold(f64::INFINITY, f64::min);
        println!("members {own:?}, ensemble {whole}");
        // No fixed member is best throughout, so following the best of late must be ahead of each of them.
        assert!(whole < 0.9 * best, "{whole} {best}");
    }

    #[test]
    fn a_perfect_member_does_not_divide_by_zero() {
        let t = Tuning::default();
        let mut e = Ensemble::default();
        let voices = [voice(1.0), voice(1.0), voice(1.0), voice(1.0), voice(1.0)];
        e.learn(&t, &voices, 1.0, 0.5);
        assert_eq!(e.combine(&t, &voices).unwrap().q, [1.0; 5]);
    }

    #[test]
    fn pinball_by_hand() {
        // y = 3, all quantiles 1: mean of level * 2 = 2 * (0.05 + 0.5 + 0.9 + 0.95 + 0.99) / 5.
        assert!((pinball(&[1.0; 5], 3.0) - 1.356).abs() < 1e-5);
        assert!((pinball(&[3.0; 5], 1.0) - 2.0 * (0.95 + 0.5 + 0.1 + 0.05 + 0.01) / 5.0).abs() < 1e-5);
    }
}
