//! The values of sixteen windows in ascending order, side by side: row `i` holds the `i`-th smallest value of every lane.
//!
//! A tick takes a value out of each lane and puts one in, in one pass without a branch: a row keeps its value or takes the
//! next one while the old value closes its gap, and the new one is held between its neighbours. Above a lane's values stand
//! infinities: a lane that is still filling has one of those leave.

use fearless_simd::{Select, Simd, SimdBase, f32x16};

use crate::WINDOW;
use crate::lanes::{LANES, Lane, all, load};

/// Values in ascending order, by lane.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    rows: Box<Rows>,
    /// Most values of a lane.
    most: usize,
}

/// One more than are ever used, always infinite. Rows begin on a cache line, so that no vector crosses one.
#[derive(Debug, Clone)]
#[repr(align(64))]
struct Rows([Lane; WINDOW + 1]);

/// Rows of a page of 4 KiB.
const PAGE: usize = 64;

impl Order {
    /// For at most `most` values, up to [`WINDOW`].
    pub(crate) fn new(most: usize) -> Self {
        Self { rows: Box::new(Rows([[f32::INFINITY; LANES]; WINDOW + 1])), most: most.min(WINDOW) }
    }

    /// Takes the values `out` out and puts `new` in, all of them finite or infinite; infinity stands for none.
    #[inline(always)]
    pub(crate) fn turn<S: Simd>(&mut self, simd: S, [out, new]: [f32x16<S>; 2]) {
        let rows = &mut self.rows.0[..self.most + 1];
        let (mut here, mut before) = (load(simd, &rows[0]), all(simd, f32::NEG_INFINITY));
        for i in 1..rows.len() {
            let next = load(simd, &rows[i]);
            let stays = here.simd_lt(out).select(here, next);
            stays.min(new.max(before)).store_slice(&mut rows[i - 1]);
            (before, here) = (stays, next);
        }
    }

    /// A value of every page that [`Self::turn`] will pass over.
    #[inline(always)]
    pub(crate) fn touch(&self) -> f32 {
        self.rows.0.iter().step_by(PAGE).fold(0.0, |sum, row| sum + row[0])
    }

    /// A lane anew.
    pub(crate) fn fill(&mut self, lane: usize, values: impl Iterator<Item = f32>) {
        let mut sorted: Vec<f32> = values.collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let values = sorted.into_iter().chain(std::iter::repeat(f32::INFINITY));
        self.rows.0.iter_mut().zip(values).for_each(|(row, v)| row[lane] = v);
    }

    /// The `rank`-th smallest value of a lane; infinite where there is none.
    #[inline(always)]
    pub(crate) fn at(&self, rank: usize, lane: usize) -> f32 {
        self.rows.0[rank][lane]
    }

    /// Quantiles with linear interpolation, as `numpy.quantile`, of the lanes that hold `n` values; 0 when empty. Other
    /// lanes get anything.
    #[inline(always)]
    pub(crate) fn quantiles<S: Simd, const N: usize>(
        &self,
        simd: S,
        n: usize,
        levels: [Level; N],
    ) -> [f32x16<S>; N] {
        let mut out = [all(simd, 0.0); N];
        if n == 0 {
            return out;
        }
        let at = &PLACES[n.min(WINDOW)];
        for (out, level) in out.iter_mut().zip(levels) {
            let (low, share) = at[level as usize];
            let (a, b) = (&self.rows.0[usize::from(low)], &self.rows.0[usize::from(low) + 1]);
            let a = load(simd, a);
            // Where there is no way to go, the next value may be none.
            *out = if share > 0.0 { a + (load(simd, b) - a) * share } else { a };
        }
        out
    }
}

/// The levels that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Q05,
    Q10,
    Q25,
    Q50,
    Q75,
    Q90,
    Q95,
    Q99,
}

impl Level {
    /// Those of a forecast, in the order of [`foreshade_types::LEVELS`].
    pub(crate) const FORECAST: [Self; 5] = [Self::Q05, Self::Q50, Self::Q90, Self::Q95, Self::Q99];
    const ALL: [f32; 8] = [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99];
}

/// By number of values: where each level lies, as the value below it and the share of the way to the next.
static PLACES: [[(u8, f32); Level::ALL.len()]; WINDOW + 1] = places();

const fn places() -> [[(u8, f32); Level::ALL.len()]; WINDOW + 1] {
    let mut table = [[(0, 0.0); Level::ALL.len()]; WINDOW + 1];
    let mut n = 2;
    while n <= WINDOW {
        let mut i = 0;
        while i < Level::ALL.len() {
            let at = Level::ALL[i] as f64 * (n - 1) as f64;
            table[n][i] = (at as u8, (at - (at as u8) as f64) as f32);
            i += 1;
        }
        n += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use fearless_simd::{Level as Set, dispatch};

    use super::*;
    use crate::lanes::each;

    #[test]
    fn an_order_is_a_sorted_window() {
        // Many equal values. Each lane begins when it likes.
        let mut state = 1u32;
        let mut seen: Vec<Lane> = Vec::new();
        let mut order = Order::new(WINDOW);
        for t in 0..1000usize {
            let now = [0; LANES].map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 29) as f32
            });
            seen.push(now);
            let begin = |l: usize| 9 * l;
            let new = each(|l| if t >= begin(l) { now[l] } else { f32::INFINITY });
            let out = each(|l| if t >= begin(l) + WINDOW { seen[t - WINDOW][l] } else { f32::INFINITY });
            dispatch!(Set::new(), simd => order.turn(simd, [load(simd, &out), load(simd, &new)]));
            for l in [0, 5, 15] {
                let from = begin(l).max((t + 1).saturating_sub(WINDOW));
                let mut want: Vec<f32> = seen.iter().skip(from).map(|row| row[l]).collect();
                want.sort_unstable_by(f32::total_cmp);
                let got: Vec<f32> = (0..want.len()).map(|i| order.at(i, l)).collect();
                assert_eq!(got, want, "lane {l} after {t}");
                if want.is_empty() {
                    continue;
                }
                let got = dispatch!(Set::new(), simd => {
                    order.quantiles(simd, want.len(), Level::FORECAST).map(|q| q.as_slice()[l])
                });
                let want = foreshade_types::LEVELS.map(|p| crate::quantile::sorted(&want, p));
                got.iter().zip(want).for_each(|(g, w)| assert!((g - w).abs() < 1e-5, "{g} {w}"));
            }
            let copy = order.rows.0[..].to_vec();
            let lane =
                (t > 9 * 7).then(|| seen[63.max((t + 1).saturating_sub(WINDOW))..].iter().map(|row| row[7]));
            if let Some(lane) = lane {
                order.fill(7, lane);
                assert_eq!(order.rows.0[..], copy[..], "filled anew it is the same");
            }
        }
    }
}
