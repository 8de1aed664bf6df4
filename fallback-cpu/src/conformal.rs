//! Online quantile tracking in vectors of lanes. No operation is fused, so every instruction set gives the same bytes.

use fearless_simd::{Select, Simd, SimdBase, dispatch};
use foreshade_kernels::GROUP;
use foreshade_kernels::conformal_update::LEVELS;
use foreshade_kernels::conformal_update::reference::MEDIAN;
use rayon::prelude::*;

use crate::Exec;

/// Words of a group in a [lanes/64][5][64] array.
const FIVE: usize = LEVELS.len() * GROUP;

/// Groups that a thread takes at a time: enough work to pay for handing it over.
const GROUPS_PER_TASK: usize = 16;

/// gamma, tie, reach, floor.
type Tuning = [f32; 4];

/// What one group reads; layouts in `kernels/conformal_update/spec.rs`.
struct Group<'a> {
    y: &'a [f32],
    issued: &'a [f32],
    scale: &'a [f32],
    base: &'a [f32],
    shift: &'a [f32],
}

/// The kernel, arguments as in its `SPEC`. Lengths have been checked; a wrong one is a bug of the caller and panics.
#[expect(clippy::too_many_arguments, reason = "the kernel's argument list in its order")]
pub fn update(
    exec: &Exec,
    ints: &[i32],
    floats: &[f32],
    y: &[f32],
    issued: &[f32],
    scale: &[f32],
    base: &[f32],
    shift_in: &[f32],
    shift_out: &mut [f32],
    out: &mut [f32],
) {
    let tuning: Tuning = std::array::from_fn(|i| floats[i]);
    assert_eq!(usize::try_from(ints[0]), Ok(y.len()), "lanes");
    let task = |first: usize, shift_out: &mut [f32], out: &mut [f32]| {
        let groups = shift_out.chunks_exact_mut(FIVE).zip(out.chunks_exact_mut(2 * FIVE));
        dispatch!(exec.level(), simd => {
            for (i, (shift_out, out)) in groups.enumerate() {
                let g = first + i;
                let group = Group {
                    y: &y[g * GROUP..(g + 1) * GROUP],
                    issued: &issued[g * FIVE..(g + 1) * FIVE],
                    scale: &scale[g * GROUP..(g + 1) * GROUP],
                    base: &base[g * FIVE..(g + 1) * FIVE],
                    shift: &shift_in[g * FIVE..(g + 1) * FIVE],
                };
                update_group(simd, &tuning, &group, shift_out, out);
            }
        });
    };
    exec.install(|| {
        shift_out
            .par_chunks_mut(GROUPS_PER_TASK * FIVE)
            .zip(out.par_chunks_mut(GROUPS_PER_TASK * 2 * FIVE))
            .enumerate()
            .for_each(|(i, (shift_out, out))| task(i * GROUPS_PER_TASK, shift_out, out));
    });
}

/// One group; `shift_out` [5][64], `out` [2][5][64].
#[inline(always)]
fn update_group<S: Simd>(simd: S, t: &Tuning, g: &Group<'_>, shift_out: &mut [f32], out: &mut [f32]) {
    let n = S::f32s::LEN;
    let [gamma, tie, reach, floor] = t.map(|v| S::f32s::splat(simd, v));
    let zero = S::f32s::splat(simd, 0.0);
    for lane in (0..GROUP).step_by(n) {
        let load = |v: &[f32], row: usize| S::f32s::from_slice(simd, &v[row * GROUP + lane..][..n]);
        let (y, scale) = (load(g.y, 0), load(g.scale, 0));
        let mut q = [zero; LEVELS.len()];
        for k in 0..LEVELS.len() {
            let before = load(g.shift, k);
            let mut shift = before;
            if k != MEDIAN {
                let rare = 1.0 - LEVELS[k];
                let (hit, miss) = (S::f32s::splat(simd, 1.0 - rare), S::f32s::splat(simd, 0.0 - rare));
                let above = y - load(g.issued, k);
                let step = above.simd_gt(zero).select(hit, miss);
                let moved = (before + gamma * step).max(-reach).min(reach);
                // False where the outcome is NaN, too.
                let told = above.abs().simd_gt(tie * scale);
                shift = told.select(moved, before);
            }
            q[k] = load(g.base, k) + shift * scale;
            shift.store_slice(&mut shift_out[k * GROUP + lane..][..n]);
            q[k].store_slice(&mut out[k * GROUP + lane..][..n]);
        }
        let ordered = in_order::<S>(q, floor);
        for (k, v) in ordered.into_iter().enumerate() {
            v.store_slice(&mut out[(LEVELS.len() + k) * GROUP + lane..][..n]);
        }
    }
}

/// Quantiles in order, none below `floor`; the median stays where it is.
#[inline(always)]
fn in_order<S: Simd>(q: [S::f32s; LEVELS.len()], floor: S::f32s) -> [S::f32s; LEVELS.len()] {
    let median = q[MEDIAN].max(floor);
    let low = q[0].max(floor).min(median);
    let [a, b, c] = [q[2].max(median), q[3].max(median), q[4].max(median)];
    let (a, b) = (a.min(b), a.max(b));
    let (b, c) = (b.min(c), b.max(c));
    let (a, b) = (a.min(b), a.max(b));
    [low, median, a, b, c]
}
