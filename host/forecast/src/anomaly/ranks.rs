//! A bounded calibration set: how many earlier scores were larger, and how fast their tail falls.
//!
//! Scores are counted in bins of fixed relative width. A binned score is itself a nonconformity score, so that the smoothed
//! conformal p-value of Vovk, Gammerman and Shafer ("Algorithmic learning in a random world", 2005, section 2.2) stays
//! exactly uniform on exchangeable data; memory does not grow with history. No lot is drawn for ties: what they allow is
//! handed on as an interval, and whoever bets on it takes the mean over it.

/// Bins per doubling: each is 9 % wide.
const PER_OCTAVE: usize = 8;
/// Scores below 2^-7 count as zero.
const OCTAVE_LOW: i32 = -7;
/// Scores of 2^17 and more share the last bin.
const OCTAVES: usize = 24;
/// Bins of one sign.
const HALF: usize = OCTAVES * PER_OCTAVE;
const BINS: usize = 2 * HALF;
/// Bins whose sum is kept.
const BLOCK: usize = 16;
/// The tail is what lies above the largest 1/64 of the scores, but at least eight.
const TAIL_PART: u64 = 64;
const TAIL_MIN: u64 = 8;
/// A tail is followed this far beyond the rarest rank.
const BEYOND_MIN: f64 = 1e-4;
/// Relative width of a bin, as a logarithm: as if all bins of a doubling were equally wide.
const WIDTH: f64 = std::f64::consts::LN_2 / PER_OCTAVE as f64;
/// No tail falls faster than x^-20: beyond that the bins are too wide to tell.
const INDEX_MIN: f64 = 0.05;

/// Counts of scores.
#[derive(Debug, Clone)]
pub(super) struct Ranks {
    /// Of all bins, or of those from zero on; then of each block of them. At most `n_max` each, so that 16 bits will do.
    counts: Box<[u16]>,
    /// Bins.
    bins: u16,
    n: u64,
    n_max: u64,
}

/// The bin of a score, ascending. Must not be NaN.
fn bin(score: f32) -> usize {
    let size = score.abs();
    let scaled = size.to_bits() as i64 >> 20;
    let zero = i64::from((127 + OCTAVE_LOW) << 3);
    let i = (scaled - zero).clamp(0, HALF as i64 - 1) as usize;
    if score.is_sign_negative() && score != 0.0 { HALF - 1 - i } else { HALF + i }
}

impl Ranks {
    /// Counts are halved when `n_max` scores (at most 65,535) are in: what is older weighs less and less.
    pub(super) fn new(n_max: u64) -> Self {
        Self::of(BINS, n_max)
    }

    /// The same of scores that are never negative, in half the memory.
    pub(super) fn upper(n_max: u64) -> Self {
        Self::of(HALF, n_max)
    }

    fn of(bins: usize, n_max: u64) -> Self {
        let counts = vec![0; bins + bins / BLOCK].into_boxed_slice();
        Self { counts, bins: bins as u16, n: 0, n_max: n_max.min(u64::from(u16::MAX)) }
    }

    pub(super) fn len(&self) -> u64 {
        self.n
    }

    /// Counts of bins and of blocks, and the bin of zero.
    fn parts(&self) -> (&[u16], &[u16], usize) {
        let bins = usize::from(self.bins);
        let (counts, blocks) = self.counts.split_at(bins);
        (counts, blocks, bins - HALF)
    }

    /// The place of a score among the bins there are.
    fn place(&self, score: f32) -> usize {
        (bin(score) + usize::from(self.bins)).saturating_sub(BINS)
    }

    /// Earlier scores in higher bins, and in the same bin.
    fn above(&self, score: f32) -> (u64, u64) {
        let (counts, blocks, _) = self.parts();
        let at = self.place(score);
        let block = at / BLOCK;
        let sum = |counts: &[u16]| counts.iter().copied().map(u32::from).sum::<u32>();
        let above = sum(&blocks[block + 1..]) + sum(&counts[at + 1..(block + 1) * BLOCK]);
        (u64::from(above), u64::from(counts[at]))
    }

    /// Where P(score at least this large) lies: between the two, evenly, if ties were broken by lot.
    pub(super) fn p_above(&self, score: f32) -> (f64, f64) {
        self.between(self.above(score))
    }

    /// The same of P(score at least this far from zero).
    pub(super) fn p_beyond(&self, score: f32) -> (f64, f64) {
        let (above, same) = self.above(score.abs());
        let (upper, mirrored) = self.above(-score.abs() - f32::MIN_POSITIVE);
        self.between((above + self.n - upper - mirrored, same + mirrored))
    }

    fn between(&self, (above, same): (u64, u64)) -> (f64, f64) {
        let all = (self.n + 1) as f64;
        (above as f64 / all, (above + same + 1) as f64 / all)
    }

    /// The share of scores that are zero.
    pub(super) fn zeros(&self) -> f64 {
        let (counts, _, zero) = self.parts();
        f64::from(counts[zero]) / self.n.max(1) as f64
    }

    /// P(score at least this far out on its own side of zero) without randomisation: by rank, and beyond the largest 1/64
    /// by a Pareto tail (Weissman, "Estimation of parameters and large quantiles based on the k largest observations",
    /// 1978) whose index is the likeliest plus half its standard error, and at least `index_min`.
    pub(super) fn p_tail(&self, score: f32, index_min: f64) -> f64 {
        let (above, same) = self.above(score);
        let upper = score > 0.0;
        let beyond = if upper { above } else { self.n - above - same };
        let by_rank = (beyond + same + 1) as f64 / (self.n + 1) as f64;
        let k_min = TAIL_MIN.max(self.n / TAIL_PART);
        if score == 0.0 || beyond + same >= k_min {
            return by_rank;
        }
        // Scores of the other side are among the k largest: there is no tail to speak of.
        let Some((k, edge, sum)) = self.largest(k_min, upper) else { return by_rank };
        // A Pareto tail in bins of equal relative width is geometric: its likeliest index from the mean number of bins.
        // Hill's estimate (1975) would count the width of a bin as tail.
        let likeliest = WIDTH / (k as f64 / sum as f64).ln_1p();
        let index = (likeliest * (1.0 + 0.5 / (k as f64).sqrt())).max(INDEX_MIN).max(index_min);
        let bins = (bin(score.abs()) - HALF - edge) as f64;
        let p = (k + 1) as f64 / (self.n + 1) as f64 * (-bins * WIDTH / index).exp();
        p.clamp(BEYOND_MIN / (self.n + 1) as f64, 1.0)
    }

    /// The count of the outermost bins of a side that hold at least `k_min` scores, the innermost of those bins, and how
    /// many bins the scores lie beyond it, added up; `None` = the side has not as many.
    fn largest(&self, k_min: u64, upper: bool) -> Option<(u64, usize, u64)> {
        let (mut k, mut sum) = (0, 0);
        let (counts, _, zero) = self.parts();
        for i in (0..if upper { HALF } else { zero }).rev() {
            sum += k;
            k += u64::from(counts[if upper { zero + i } else { zero - 1 - i }]);
            if k >= k_min {
                return Some((k, i, sum));
            }
        }
        None
    }

    /// Counts a score.
    pub(super) fn push(&mut self, score: f32) {
        let (at, bins) = (self.place(score), usize::from(self.bins));
        self.counts[at] += 1;
        self.counts[bins + at / BLOCK] += 1;
        self.n += 1;
        if self.n >= self.n_max {
            self.forget();
        }
    }

    /// Bytes beside the struct itself.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.counts)
    }

    /// Halves all counts.
    fn forget(&mut self) {
        self.n = 0;
        let (counts, blocks) = self.counts.split_at_mut(usize::from(self.bins));
        for (block, counts) in blocks.iter_mut().zip(counts.chunks_exact_mut(BLOCK)) {
            counts.iter_mut().for_each(|c| *c = c.div_ceil(2));
            *block = counts.iter().sum();
            self.n += u64::from(*block);
        }
        // Rounding up keeps rare scores; were every bin rare, the limit must still hold.
        self.n_max = self.n_max.max(self.n + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_ascend() {
        let mut last = 0;
        for s in [-1e9, -3.0, -2.9, -0.5, -1e-9, 0.0, 1e-9, 0.01, 1.0, 1.2, 2.0, 1e9, f32::INFINITY] {
            assert!(bin(s) >= last, "{s}");
            last = bin(s);
        }
        assert_eq!(bin(-0.0), bin(0.0));
        assert_eq!((bin(1.0) - bin(0.5), bin(0.1) + bin(-0.1)), (PER_OCTAVE, BINS - 1));
    }

    #[test]
    fn ranks_count_what_is_larger_and_split_ties() {
        let mut r = Ranks::new(1000);
        [-1.0, 0.0, 1.0, 2.0, 2.0, 4.0].iter().for_each(|&s| r.push(s));
        assert_eq!(r.p_above(2.0), (1.0 / 7.0, 4.0 / 7.0));
        assert_eq!(r.p_above(-9.0), (6.0 / 7.0, 1.0));
        assert_eq!(r.p_beyond(-1.0), (3.0 / 7.0, 6.0 / 7.0));
        assert_eq!((r.p_beyond(0.0), r.zeros()), ((5.0 / 7.0, 1.0), 1.0 / 6.0));
        assert!((r.p_tail(4.0, 0.0) - 2.0 / 7.0).abs() < 1e-9);
    }

    #[test]
    fn half_the_memory_ranks_what_is_not_negative_the_same() {
        let (mut all, mut upper) = (Ranks::new(500), Ranks::upper(500));
        for i in 0..2000u32 {
            let score = (i.wrapping_mul(2_654_435_761) >> 16) as f32 / 6000.0;
            let of = |r: &Ranks| (r.p_above(score), r.p_tail(score, 0.1), r.zeros(), r.len());
            assert_eq!(of(&all), of(&upper), "{i}: {score}");
            let pushed = if i.is_multiple_of(9) { 0.0 } else { score };
            all.push(pushed);
            upper.push(pushed);
        }
        assert_eq!(2 * upper.bytes(), all.bytes());
    }

    #[test]
    fn a_pareto_tail_is_continued() {
        // 4,096 quantiles of P(X > x) = x^-2.
        let mut r = Ranks::new(1 << 20);
        (0..4096).for_each(|i| r.push((1.0 - (i as f32 + 0.5) / 4096.0).powf(-0.5)));
        for x in [100.0, 1000.0] {
            let (p, truth) = (r.p_tail(x, 0.0), f64::from(x).powi(-2));
            assert!(p > 0.5 * truth && p < 8.0 * truth, "{x}: {p} for {truth}");
        }
    }

    #[test]
    fn forgetting_halves_and_keeps_the_limit() {
        let mut r = Ranks::new(100);
        (0..10_000).for_each(|i| r.push((i % 30) as f32));
        assert!(r.len() < 100 && r.len() > 40, "{}", r.len());
        let (counts, blocks, _) = r.parts();
        let total = |of: &[u16]| of.iter().copied().map(u64::from).sum::<u64>();
        assert_eq!((total(counts), total(blocks)), (r.len(), r.len()));
    }
}
