//! The grid that forecasts are put on before anything is planned with them, or learnt from them.
//!
//! Devices compute the same forecast up to a rounding error of a few units in the last place: about 1e-5 points at 100.
//! On the grid nearly all of that is gone, so the planner reads the same bytes whatever the device, and whether a bound held
//! or was missed, which moves it for hours, is decided alike; a forecast that lies that close to the middle between two grid
//! values is the rare exception, and it is counted (`foreshade_sim::same`).

/// 2^-7 of a point. Some 800 times the rounding error of a device, so that one forecast in some 400 at most is near a
/// middle; and 0.3 millicores of a VM with four cores, a thirtieth of the planner's own grid of 10. A power of two:
/// putting a value on the grid and reading it again is exact.
pub const STEP: f32 = 1.0 / 128.0;

/// The nearest value on the grid; rounding is monotone, so quantiles stay in order.
#[inline(always)]
pub fn near(x: f32) -> f32 {
    (x / STEP).round_ties_even() * STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_bit_does_not_get_through() {
        for x in [0.0, 20.125, 37.53, 99.99, 16_777.0] {
            let value = near(x);
            assert!((value - x).abs() <= STEP / 2.0 && (value / STEP).fract() == 0.0, "{x}: {value}");
            assert_eq!(near(value), value, "what is on the grid stays there");
            for other in [x.next_up(), x.next_down().max(0.0)] {
                assert_eq!(near(other), value, "{x} and {other}");
            }
        }
    }

    #[test]
    fn a_difference_that_means_something_does() {
        assert_eq!(near(20.0 + STEP), 20.0 + STEP);
        assert_ne!(near(20.01), near(20.03));
    }
}
