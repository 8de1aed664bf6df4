//! Sample paths of VMs with a common index, for the demand of what runs, or would run, on one host.
//!
//! Draw `k` of every VM follows what the VM did from the same past instant `t_k`, so adding up draw `k` of some VMs gives
//! one way in which they may go on together. How far each goes is its own calibrated forecast's business; the past only
//! says who rises with whom, and when. That is the Schaake shuffle (Clark et al. 2004, J. Hydrometeorology 5, 243-262), or
//! empirical copula coupling (Schefzik, Thorarinsdottir & Gneiting 2013, Statistical Science 28, 616-640): per step, the
//! draws at the levels `(i + 1/2) / K` of the forecast are put in the order of the VM's rises from its `K` past instants.
//!
//! The largest of a sum over the next steps is not the sum of the largest: sums are kept per step, and the maximum is
//! taken of the summed path.
//!
//! ```text
//! history of a VM -> rises from t_k, per step -> ranks --+
//! its forecast per step -> K values, ascending ----------+--> Paths::draw: K x steps, whole millicores
//! draws of the VMs of a host -> PathSum: adding or taking out a VM is K x steps additions -> peak, exceeds
//! ```

use foreshade_types::{LEVELS, Quantiles};

use crate::quantile::{at_levels, sorted};

/// At most this many draws: a draw is named by a byte, and the kernel that scores moves takes as many.
pub const DRAWS_MAX: usize = 256;

/// The forecast of one VM some steps ahead, in the unit of the draws (millicores).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ahead {
    /// Steps ahead, at least 1.
    pub step: u32,
    /// What is forecast.
    pub quantiles: Quantiles,
}

/// Draws of many VMs, `draws x steps` each and contiguous: `[k * steps + step - 1]`, whole units, none negative.
///
/// Memory per VM: five bytes per draw and step, 4 kB for 138 draws of six steps.
#[derive(Debug, Clone)]
pub struct Paths {
    draws: usize,
    steps: usize,
    /// Samples per step.
    stride: usize,
    /// The draw of the oldest instant: the next one that comes takes its place.
    turn: usize,
    /// Per draw in ascending order: which two levels it lies between, and how far from the first to the second.
    levels: Vec<(usize, f32)>,
    /// Per VM and step: its draws by what the VM rose by from each, those that are known first.
    order: Vec<u8>,
    /// How many of them are known.
    known: Vec<u16>,
    values: Vec<f32>,
    sorting: Vec<u64>,
    ascending: Vec<f32>,
}

impl Paths {
    /// Room for `vms` VMs, all at 0. Each draw needs a past instant: of a window of 144 samples and 6 steps, 138.
    ///
    /// # Panics
    /// Without draws or steps, or with more than [`DRAWS_MAX`] draws.
    pub fn new(vms: usize, draws: usize, steps: usize) -> Self {
        assert!((1..=DRAWS_MAX).contains(&draws) && steps > 0, "{draws} draws of {steps} steps");
        Self {
            draws,
            steps,
            stride: 1,
            turn: 0,
            levels: levels(draws),
            order: vec![0; vms * draws * steps],
            known: vec![0; vms * steps],
            values: vec![0.0; vms * draws * steps],
            sorting: Vec::with_capacity(draws),
            ascending: vec![0.0; draws],
        }
    }

    /// The same, a step every `stride` samples, at least 1.
    pub fn every(mut self, stride: usize) -> Self {
        self.stride = stride.max(1);
        self
    }

    /// Draws per VM.
    pub fn draws(&self) -> usize {
        self.draws
    }

    /// Steps per draw.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The draws of a VM.
    ///
    /// # Panics
    /// If there is no such VM.
    pub fn of(&self, vm: usize) -> &[f32] {
        let n = self.draws * self.steps;
        &self.values[vm * n..(vm + 1) * n]
    }

    /// Draws a VM anew. `history` ends now for every VM, NaN = missing; `ahead` is by step in samples, ascending, and linear
    /// between the steps it has. `key` is the VM's own ([`crate::key`]): it puts instants in order that the history does
    /// not, because they are equal or not known, and makes them nobody else's: what is not known goes with nothing.
    ///
    /// # Panics
    /// If there is no such VM.
    pub fn draw(&mut self, vm: usize, key: u64, history: &[f32], ahead: &[Ahead]) {
        for step in 1..=self.steps {
            self.sort(vm, key, history, step);
        }
        self.fill(vm, ahead);
    }

    /// All histories are one sample longer: the oldest instant makes room for a new one. Each VM must [`Self::follow`].
    pub fn turn(&mut self) {
        self.turn = (self.turn + 1) % self.draws;
    }

    /// Puts the instant that came with the last [`Self::turn`] in its place among the others, which is what sorting anew
    /// would give. The VM has been drawn or followed at every turn before.
    ///
    /// # Panics
    /// If there is no such VM.
    pub fn follow(&mut self, vm: usize, key: u64, history: &[f32]) {
        // The newest instant takes the name of the one that left.
        let k = if self.turn == 0 { self.draws - 1 } else { self.turn - 1 };
        for step in 1..=self.steps {
            let (row, at) = self.row(vm, step);
            let place = |k: usize| self.place(key, history, step, k);
            let (newest, was_known) = (place(k), self.known[at] as usize);
            let mut order: [u8; DRAWS_MAX] = [0; DRAWS_MAX];
            let order = &mut order[..self.draws];
            order.copy_from_slice(&self.order[row.clone()]);
            let Some(left) = order.iter().position(|o| usize::from(*o) == k) else { continue };
            order.copy_within(left + 1.., left);
            let rest = order.len() - 1;
            let to = order[..rest].partition_point(|o| place(usize::from(*o)) < newest);
            order.copy_within(to..rest, to + 1);
            order[to] = k as u8;
            self.order[row].copy_from_slice(order);
            let known = was_known - usize::from(left < was_known) + usize::from(newest < UNKNOWN);
            self.known[at] = known as u16;
        }
    }

    /// Gives every draw its value, as far up the forecast as its instant stands among the others.
    ///
    /// # Panics
    /// If there is no such VM.
    pub fn fill(&mut self, vm: usize, ahead: &[Ahead]) {
        for step in 1..=self.steps {
            let q = at_step(ahead, (step * self.stride) as u32);
            for (v, &(level, part)) in self.ascending.iter_mut().zip(&self.levels) {
                let v_at = q[level] + part * (q[level + 1] - q[level]);
                // To the nearest whole; far below 2^24, where the half added would be lost.
                *v = (v_at.max(0.0) + 0.5) as u32 as f32;
            }
            let (row, at) = self.row(vm, step);
            let (known, unknown) = self.order[row].split_at(self.known[at] as usize);
            let first = vm * self.draws * self.steps + step - 1;
            let n = (known.len(), unknown.len());
            let (mut i, mut j) = (0, 0);
            for &value in &self.ascending {
                // The unknown are spread evenly over the known: the middle of each in its own list comes in order.
                let of_known = j == n.1 || i < n.0 && (2 * i + 1) * n.1 <= (2 * j + 1) * n.0;
                let k = usize::from(if of_known { known[i] } else { unknown[j] });
                (i, j) = if of_known { (i + 1, j) } else { (i, j + 1) };
                self.values[first + k * self.steps] = value;
            }
        }
    }

    /// Where the order of a VM's step is, and its number of known instants.
    fn row(&self, vm: usize, step: usize) -> (std::ops::Range<usize>, usize) {
        let at = vm * self.steps + step - 1;
        (at * self.draws..(at + 1) * self.draws, at)
    }

    /// Sorts the instants by what the VM rose by in `step` steps from each.
    fn sort(&mut self, vm: usize, key: u64, history: &[f32], step: usize) {
        let mut sorting = std::mem::take(&mut self.sorting);
        sorting.clear();
        sorting.extend((0..self.draws).map(|k| self.place(key, history, step, k)));
        sorting.sort_unstable();
        let (row, at) = self.row(vm, step);
        self.known[at] = sorting.partition_point(|p| *p < UNKNOWN) as u16;
        self.order[row].iter_mut().zip(&sorting).for_each(|(o, p)| *o = (p & 0xff) as u8);
        self.sorting = sorting;
    }

    /// What an instant is sorted by: rise, tie-breaker, draw. Those that are not known come last.
    fn place(&self, key: u64, history: &[f32], step: usize, k: usize) -> u64 {
        // `turn` stays below the number of draws, so neither remainder needs a division.
        let k_now = if k >= self.turn { k - self.turn } else { k + self.draws - self.turn };
        let age = self.draws - 1 - k_now;
        let from = history.len().checked_sub(self.steps * self.stride + 1 + age);
        let rise = from.map_or(f32::NAN, |i| history[i + step * self.stride] - history[i]);
        let low = u64::from(mix(key, k) & 0xffff) << 8 | k as u64;
        if rise.is_nan() { UNKNOWN | low } else { u64::from(ascending(rise)) << 24 | low }
    }
}

/// Above every instant that is known.
const UNKNOWN: u64 = 1 << 56;

/// Quantiles at a step: linear between the steps that are forecast, those of the first or last one outside.
fn at_step(ahead: &[Ahead], step: u32) -> [f32; 5] {
    let next = ahead.iter().position(|a| a.step >= step);
    match next {
        None => ahead.last().map_or([0.0; 5], |a| a.quantiles.0),
        Some(0) => ahead[0].quantiles.0,
        Some(i) => {
            let (a, b) = (&ahead[i - 1], &ahead[i]);
            let part = (step - a.step) as f32 / (b.step - a.step) as f32;
            std::array::from_fn(|l| a.quantiles.0[l] + part * (b.quantiles.0[l] - a.quantiles.0[l]))
        }
    }
}

/// Unsigned numbers in the order of the floats.
fn ascending(x: f32) -> u32 {
    // + 0.0: both zeros are one value.
    let bits = (x + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// Thirty-two bits that follow from a VM and a draw: the finalizer of SplitMix64 (Steele, Lea & Flood 2014).
fn mix(key: u64, k: usize) -> u32 {
    let mut x = key.wrapping_add((k as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 32) as u32
}

/// Where the levels `(i + 1/2) / n` lie among [`LEVELS`], linear in the normal score, and outside as in the nearest pair.
/// In the level itself the upper half of a skewed forecast would come out too large, and sums of many with it.
fn levels(n: usize) -> Vec<(usize, f32)> {
    let scores = LEVELS.map(|p| normal_score(f64::from(p)));
    let place = |i: usize| {
        let z = normal_score((i as f64 + 0.5) / n as f64);
        let pair = scores[1..LEVELS.len() - 1].iter().filter(|s| **s <= z).count();
        (pair, ((z - scores[pair]) / (scores[pair + 1] - scores[pair])) as f32)
    };
    (0..n).map(place).collect()
}

/// The standard normal quantile, by halving: the distribution function is the series 26.2.11 of Abramowitz & Stegun.
fn normal_score(p: f64) -> f64 {
    let below = |z: f64| {
        let (mut term, mut sum) = (z, z);
        for i in 1..200 {
            term *= z * z / f64::from(2 * i + 1);
            sum += term;
        }
        0.5 + sum * (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt()
    };
    let (mut low, mut high) = (-6.0, 6.0);
    for _ in 0..60 {
        let mid = (low + high) / 2.0;
        if below(mid) < p { low = mid } else { high = mid }
    }
    (low + high) / 2.0
}

/// A VM, or a part of one, that a what-if adds to a host or takes from it.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Its draws.
    pub draws: &'a [f32],
    /// How much of it, percent; negative = taken out.
    pub percent: i32,
}

/// The summed draws of the VMs of a host.
///
/// Sums are whole hundredths of a unit in `f64`, so they are exact: their order shows nowhere, and a VM that is taken out
/// again leaves no trace.
#[derive(Debug, Clone)]
pub struct PathSum {
    steps: usize,
    /// `[draw][step]`, hundredths.
    sums: Vec<f64>,
    peaks: Vec<f32>,
}

impl PathSum {
    /// No VM yet, as many draws and steps as [`Paths`] has.
    ///
    /// # Panics
    /// Without draws or steps.
    pub fn new(draws: usize, steps: usize) -> Self {
        assert!(draws > 0 && steps > 0, "{draws} draws of {steps} steps");
        Self { steps, sums: vec![0.0; draws * steps], peaks: vec![0.0; draws] }
    }

    /// Takes all VMs out.
    pub fn clear(&mut self) {
        self.sums.fill(0.0);
    }

    /// Adds a VM.
    pub fn add(&mut self, draws: &[f32]) {
        self.change(Part { draws, percent: 100 });
    }

    /// Takes a VM out that was added with the same draws.
    pub fn remove(&mut self, draws: &[f32]) {
        self.change(Part { draws, percent: -100 });
    }

    /// Adds a part of a VM, or takes it out.
    pub fn change(&mut self, part: Part<'_>) {
        let by = f64::from(part.percent);
        self.sums.iter_mut().zip(part.draws).for_each(|(s, d)| *s += by * f64::from(*d));
    }

    /// The summed draws, `[draw][step]`.
    pub fn draws(&self) -> impl Iterator<Item = f32> {
        self.sums.iter().map(|s| (s / 100.0) as f32)
    }

    /// Share of the draws in which the sum rises above `capacity` within the steps.
    pub fn exceeds(&mut self, capacity: f32) -> f32 {
        self.exceeds_if(&[], capacity)
    }

    /// [`Self::exceeds`] as if `parts` were there, or gone. The sum itself stays as it is.
    pub fn exceeds_if(&mut self, parts: &[Part<'_>], capacity: f32) -> f32 {
        self.top(parts);
        self.peaks.iter().filter(|p| **p > capacity).count() as f32 / self.peaks.len() as f32
    }

    /// Quantiles of the largest sum of the steps.
    pub fn peak(&mut self) -> Quantiles {
        self.peak_if(&[])
    }

    /// [`Self::peak`] as if `parts` were there, or gone.
    pub fn peak_if(&mut self, parts: &[Part<'_>]) -> Quantiles {
        self.top(parts);
        Quantiles(at_levels(&mut self.peaks))
    }

    /// The largest sum of the steps that a share of `level` of the draws stays at or below, as if `parts` were there, or
    /// gone.
    pub fn peak_at(&mut self, level: f32, parts: &[Part<'_>]) -> f32 {
        self.top(parts);
        self.peaks.sort_unstable_by(f32::total_cmp);
        sorted(&self.peaks, level.clamp(0.0, 1.0))
    }

    /// Quantiles of the sum at a step, at least 1.
    ///
    /// # Panics
    /// If there is no such step.
    pub fn step(&mut self, step: usize) -> Quantiles {
        assert!((1..=self.steps).contains(&step), "step {step} of {}", self.steps);
        for (p, s) in self.peaks.iter_mut().zip(self.sums.chunks_exact(self.steps)) {
            *p = (s[step - 1] / 100.0) as f32;
        }
        Quantiles(at_levels(&mut self.peaks))
    }

    /// The largest sum of each draw.
    fn top(&mut self, parts: &[Part<'_>]) {
        for (k, p) in self.peaks.iter_mut().enumerate() {
            let all = k * self.steps..(k + 1) * self.steps;
            let of = |i: usize| {
                let other = parts.iter().map(|p| f64::from(p.percent) * f64::from(p.draws[i])).sum::<f64>();
                self.sums[i] + other
            };
            *p = (all.map(of).fold(f64::NEG_INFINITY, f64::max) / 100.0) as f32;
        }
    }
}

/// How far the bounds of a sum lie from its median, learnt from what came: adaptive conformal inference (Gibbs & Candes
/// 2021) on the scale. Draws know what the VMs did together lately; what they never did together is learnt here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch(f32);

/// A miss of the 95 % bound moves it out by 1.9 %, a bound that held moves it in by 0.1 %: at 0.05 the bounds held a little
/// better on recorded hosts, and their pinball loss was 1 to 4 % higher.
const STRETCH_RATE: f32 = 0.02;

/// The least and the largest factor: what is learnt in one bad day is not to make a host unusable.
const STRETCH_RANGE: (f32, f32) = (0.5, 4.0);

impl Default for Stretch {
    fn default() -> Self {
        Self(1.0)
    }
}

impl Stretch {
    /// Takes an outcome: was the stretched 95 % bound of a sum's peak missed? A sum that was sure, its bound no higher than
    /// its median, says nothing about its scale; callers leave it out.
    pub fn learn(&mut self, missed: bool) {
        let by = STRETCH_RATE * (if missed { 1.0 } else { 0.0 } - (1.0 - LEVELS[3]));
        self.0 = (self.0 * by.exp()).clamp(STRETCH_RANGE.0, STRETCH_RANGE.1);
    }

    /// The factor.
    pub fn factor(self) -> f32 {
        self.0
    }

    /// Quantiles with those above the median stretched.
    pub fn bounds(self, q: Quantiles) -> Quantiles {
        Quantiles(q.0.map(|x| if x > q.q50() { q.q50() + self.0 * (x - q.q50()) } else { x }))
    }

    /// The capacity to ask [`PathSum::exceeds`] for, so that its answer is that of the stretched draws; `q` are the sum's.
    pub fn capacity(self, q: &Quantiles, capacity: f32) -> f32 {
        if capacity > q.q50() { q.q50() + (capacity - q.q50()) / self.0 } else { capacity }
    }
}
