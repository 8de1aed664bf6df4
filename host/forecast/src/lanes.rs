//! Sixteen series side by side: what they have learnt lies in vectors over them, so that ensemble and calibration are a few
//! vector operations for all. No lane sees another.

/// Series in a group.
pub(crate) const LANES: usize = 16;

/// One value per series of a group.
pub(crate) type Lane = [f32; LANES];

pub(crate) const ZERO: Lane = [0.0; LANES];

/// `f` of every lane.
#[inline(always)]
pub(crate) fn each(f: impl Fn(usize) -> f32) -> Lane {
    // A loop, not `array::from_fn`: the standard library's functions do not see the caller's instruction set.
    let mut lanes = ZERO;
    for (l, v) in lanes.iter_mut().enumerate() {
        *v = f(l);
    }
    lanes
}
