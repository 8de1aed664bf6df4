//! Adaptive conformal shifts (Gibbs and Candès, "Adaptive conformal inference under distribution shift", 2021): a bound
//! that was missed moves out, one that held moves in, so that in the long run each misses as often as its level says,
//! whatever the series does.

use foreshade_types::LEVELS;

/// How the shifts move. Chosen on the calibration split of the bench.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tuning {
    /// Step of a shift per outcome, in units of the window's scale.
    pub(crate) gamma: f32,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { gamma: 0.02 }
    }
}

/// A shift this many scales away explains nothing any more; it would take too long to come back.
const SHIFT_MAX: f32 = 4.0;

/// A bound this close to the outcome (in scales) neither held nor was missed: an idle series that is forecast exactly
/// must not be driven into jitter.
const TIE: f32 = 1e-4;

/// The median's index in LEVELS: it is not shifted.
const MEDIAN: usize = 1;

/// Shifts of one series and horizon.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Shifts([f32; 5]);

impl Shifts {
    /// The shifted quantiles, before they are put in order.
    pub(crate) fn apply(&self, q: &[f32; 5], scale: f32) -> [f32; 5] {
        let mut out = *q;
        out.iter_mut().zip(self.0).for_each(|(q, d)| *q += d * scale);
        out
    }

    /// Takes the outcome of shifted quantiles that [`Self::apply`] gave. Unknown outcomes must not come here.
    pub(crate) fn learn(&mut self, t: &Tuning, shifted: &[f32; 5], y: f32, scale: f32) {
        for i in (0..LEVELS.len()).filter(|&i| i != MEDIAN) {
            let above = y - shifted[i];
            if above.abs() <= TIE * scale {
                continue;
            }
            // P(y > q) is to be 1 - level: for a lower bound being above is the rule, for an upper one the miss.
            let step = f32::from(u8::from(above > 0.0)) - (1.0 - LEVELS[i]);
            self.0[i] = (self.0[i] + t.gamma * step).clamp(-SHIFT_MAX, SHIFT_MAX);
        }
    }
}

/// Quantiles in order, none negative; the median stays where it is.
pub(crate) fn in_order(shifted: [f32; 5]) -> [f32; 5] {
    let mid = shifted[MEDIAN].max(0.0);
    let mut q = shifted.map(|v| v.max(0.0));
    q[0] = q[0].min(mid);
    q[2..].iter_mut().for_each(|v| *v = v.max(mid));
    q[2..].sort_unstable_by(f32::total_cmp);
    q[MEDIAN] = mid;
    q
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misses_move_out_and_hits_move_in() {
        let t = Tuning { gamma: 0.1 };
        let mut s = Shifts::default();
        s.learn(&t, &[1.0, 2.0, 3.0, 4.0, 5.0], 4.5, 1.0);
        let want = [0.1 * 0.05, 0.0, 0.1 * 0.9, 0.1 * 0.95, -0.1 * 0.01];
        for (got, want) in s.0.iter().zip(want) {
            assert!((got - want).abs() < 1e-6, "{got} {want}");
        }
        let q = s.apply(&[0.0; 5], 2.0);
        assert!((q[2] - 0.18).abs() < 1e-6);
    }

    #[test]
    fn a_tie_moves_nothing() {
        let mut s = Shifts::default();
        s.learn(&Tuning::default(), &[0.0; 5], 0.0, 0.5);
        assert_eq!(s, Shifts::default());
    }

    #[test]
    fn crossed_quantiles_are_put_in_order_around_the_median() {
        assert_eq!(in_order([3.0, 2.0, 1.0, 9.0, 8.0]), [2.0, 2.0, 2.0, 8.0, 9.0]);
        assert_eq!(in_order([-3.0, -1.0, 1.0, 2.0, 3.0]), [0.0, 0.0, 1.0, 2.0, 3.0]);
    }
}
