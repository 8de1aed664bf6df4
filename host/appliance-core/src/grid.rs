//! The grid that forecasts are put on before anything is planned with them.
//!
//! Devices compute the same forecast up to a rounding error of a few units in the last place: about 1e-5 points at 100.
//! On the grid nearly all of that is gone, so the planner reads the same bytes whatever the device; a forecast that lies
//! that close to the middle between two grid values is the rare exception, and it is counted
//! (`foreshade_sim::same`).

use foreshade_types::{Quantiles, SeriesForecast};

/// 2^-7 of a point. Some 800 times the rounding error of a device, so that one forecast in some 400 at most is near a
/// middle; and 0.3 millicores of a VM with four cores, a thirtieth of the planner's own grid of 10. A power of two:
/// putting a value on the grid and reading it again is exact.
pub const STEP: f32 = 1.0 / 128.0;

/// Puts every mean and quantile on the grid. Quantiles stay in order: rounding is monotone.
pub fn round(f: &mut SeriesForecast) {
    let near = |x: f32| (x / STEP).round_ties_even() * STEP;
    f.mean.iter_mut().for_each(|m| *m = near(*m));
    f.quantiles.iter_mut().for_each(|q| *q = Quantiles(q.0.map(near)));
}

#[cfg(test)]
mod tests {
    use foreshade_types::Readiness;

    use super::*;

    fn rounded(x: f32) -> f32 {
        let mut f = SeriesForecast {
            readiness: Readiness::Ready,
            mean: vec![x],
            quantiles: vec![Quantiles([x; 5]), Quantiles([0.0, 1.0, x, 2.0 * x, 3.0 * x])],
        };
        round(&mut f);
        assert!(f.quantiles.iter().all(|q| q.0.iter().all(|v| (v / STEP).fract() == 0.0)));
        assert!(f.quantiles.iter().all(|q| q.0[2..].is_sorted()));
        assert_eq!(f.quantiles[0], Quantiles([f.mean[0]; 5]));
        f.mean[0]
    }

    #[test]
    fn a_last_bit_does_not_get_through() {
        for x in [0.0, 20.125, 37.53, 99.99, 16_777.0] {
            let value = rounded(x);
            assert!((value - x).abs() <= STEP / 2.0, "{x}: {value}");
            assert_eq!(rounded(value), value, "what is on the grid stays there");
            for near in [x.next_up(), x.next_down().max(0.0)] {
                assert_eq!(rounded(near), value, "{x} and {near}");
            }
        }
    }

    #[test]
    fn a_difference_that_means_something_does() {
        assert_eq!(rounded(20.0 + STEP), 20.0 + STEP);
        assert_ne!(rounded(20.01), rounded(20.03));
    }
}
