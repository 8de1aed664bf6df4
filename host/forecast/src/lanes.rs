//! Sixteen series side by side: what they have learnt lies in vectors over them, so that windows, ensemble and calibration
//! are a few vector operations for all. No lane sees another.

use fearless_simd::{Select, Simd, SimdBase, f32x16, mask32x16};

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

#[inline(always)]
pub(crate) fn load<S: Simd>(simd: S, lane: &Lane) -> f32x16<S> {
    f32x16::from_slice(simd, lane)
}

#[inline(always)]
pub(crate) fn all<S: Simd>(simd: S, value: f32) -> f32x16<S> {
    f32x16::splat(simd, value)
}

/// Writes the lanes that `mask` holds.
#[inline(always)]
pub(crate) fn put<S: Simd>(mask: mask32x16<S>, value: f32x16<S>, to: &mut Lane) {
    mask.select(value, load(value.simd, to)).store_slice(to);
}

/// Counts of lanes as a vector.
#[inline(always)]
pub(crate) fn counts<S: Simd>(simd: S, of: &[u8; LANES]) -> f32x16<S> {
    load(simd, &each(|l| f32::from(of[l])))
}

/// Where `at least` so many.
#[inline(always)]
pub(crate) fn at_least<S: Simd>(simd: S, of: &[u8; LANES], least: usize) -> mask32x16<S> {
    counts(simd, of).simd_ge(all(simd, least as f32))
}
