//! Sorts the rows of an array of vectors, lane by lane, and reads quantiles. A sorting network does the same for every
//! lane, so it needs no branches, and any exact method gives the same values.

use fearless_simd::{Simd, SimdBase, SimdFloat};

use super::{put, row};

/// Sorts `n` rows: Batcher's merge exchange (Knuth, The Art of Computer Programming 3, algorithm 5.2.2 M).
#[inline(always)]
pub(super) fn sort_rows<S: Simd>(simd: S, rows: &mut [f32], n: usize) {
    let top = n.next_power_of_two() / 2;
    let mut p = top;
    while p > 0 {
        let (mut q, mut r, mut d) = (top, 0, p);
        loop {
            // Rows i with (i & p) == r come in runs of p.
            let mut first = r;
            while first + d < n {
                let end = (first + p).min(n - d);
                exchange(simd, &mut rows[..], first, end, d);
                first += 2 * p;
            }
            if q == p {
                break;
            }
            d = q - p;
            q /= 2;
            r = p;
        }
        p /= 2;
    }
}

/// The smaller of rows i and i + d goes to i, for i in `first..end`.
#[inline(always)]
fn exchange<S: Simd>(simd: S, rows: &mut [f32], first: usize, end: usize, d: usize) {
    for i in first..end {
        let (a, b) = (row(simd, rows, i), row(simd, rows, i + d));
        put::<S>(rows, i, a.min(b));
        put::<S>(rows, i + d, a.max(b));
    }
}

/// Quantile of the first `n` (per lane, at least 1) of the sorted rows, by linear interpolation (R's type 7).
#[inline(always)]
pub(super) fn quantile<S: Simd>(simd: S, rows: &[f32], n: &[f32], level: f32) -> S::f32s {
    let width = S::f32s::LEN;
    let (mut low, mut high, mut share) = ([0.0; 16], [0.0; 16], [0.0; 16]);
    for lane in 0..width {
        let top = n[lane] - 1.0;
        let at = level * top;
        let below = at as usize;
        let above = (below + 1).min(top as usize);
        low[lane] = rows[below * width + lane];
        high[lane] = rows[above * width + lane];
        share[lane] = at - below as f32;
    }
    let low = S::f32s::from_slice(simd, &low[..width]);
    let high = S::f32s::from_slice(simd, &high[..width]);
    let share = S::f32s::from_slice(simd, &share[..width]);
    share.mul_add(high - low, low)
}
