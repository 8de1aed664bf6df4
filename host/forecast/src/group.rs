//! A group of series: what it takes in, what its members say, what it has learnt from it.

use fearless_simd::{Select, Simd, SimdBase, SimdMask, f32x16, mask32x16};
use foreshade_types::{Horizon, Quantiles, Readiness, SeriesForecast};

use crate::arima::Models;
use crate::conformal::{self, Shifts};
use crate::ensemble::{self, Ensemble, Voices};
use crate::features::{self, INPUT, Moments, STATS};
use crate::grid;
use crate::history::{CHANGE, History, Place};
use crate::lanes::{LANES, Lane, ZERO, all, each, load, put};
use crate::lstm::Profile;
use crate::members::{self, LSTM, MLP};
use crate::{SAMPLES_MIN, WINDOW};

/// Samples before the LSTM speaks: it was trained on no series shorter than two hours.
const LEARNED_MIN: usize = 24;

/// What a network says of a group, by target and level.
pub(crate) type Learned<'a> = dyn Fn(usize, usize) -> &'a Lane + 'a;

/// What every group of a fleet shares.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) horizons: Vec<Horizon>,
    pub(crate) places: Vec<Place>,
    /// Which output of the LSTM each horizon is.
    pub(crate) targets: Vec<Option<usize>>,
    pub(crate) tuning: ensemble::Tuning,
}

/// A forecast whose outcome is not known yet.
#[derive(Debug, Clone)]
#[repr(align(64))]
struct Pending {
    voices: Voices,
    shifted: [Lane; 5],
    scale: Lane,
    /// 1 = a forecast was made.
    made: Lane,
}

/// What one horizon has learnt.
#[derive(Debug)]
struct Track {
    /// Ring by tick: the forecast made `delay` ticks ago is where this one's goes.
    pending: Box<[Pending]>,
    ensemble: Ensemble,
    shifts: Shifts,
}

/// Sixteen series.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Group {
    tracks: Vec<Track>,
    pub(crate) models: Models,
    /// What the networks see: input, then statistics.
    pub(crate) features: Box<[Lane; INPUT + STATS]>,
    last: Lane,
    scale: Lane,
    /// Lanes that have a sample.
    pub(crate) begun: [bool; LANES],
    observed: [usize; LANES],
    readiness: [Readiness; LANES],
    /// Lowest, newest and highest sample of a lane that is cold.
    range: [[f32; 3]; LANES],
}

impl Group {
    pub(crate) fn new(plan: &Plan, profile: Profile) -> Self {
        let blank = Pending { voices: Voices::SILENT, shifted: [ZERO; 5], scale: [1.0; LANES], made: ZERO };
        let track = |(h, target): (&Horizon, &Option<usize>)| Track {
            pending: vec![blank.clone(); h.delay_steps() as usize].into_boxed_slice(),
            ensemble: Ensemble::NEW,
            shifts: Shifts::starting(conformal::start(profile, *target)),
        };
        Self {
            tracks: plan.horizons.iter().zip(&plan.targets).map(track).collect(),
            models: Models::new(plan.horizons.len()),
            features: Box::new([ZERO; INPUT + STATS]),
            last: ZERO,
            scale: [1.0; LANES],
            begun: [false; LANES],
            observed: [0; LANES],
            readiness: [Readiness::Cold; LANES],
            range: [[0.0; 3]; LANES],
        }
    }

    /// Takes the samples of a tick (NaN = missing), learns from the forecasts whose outcome they complete, and lets the
    /// members speak that need no device.
    #[inline(always)]
    pub(crate) fn observe<S: Simd>(
        &mut self,
        simd: S,
        plan: &Plan,
        tick: u64,
        history: &mut History,
        points: &Lane,
    ) {
        // The sum means nothing; it keeps the reads.
        std::hint::black_box(self.touch(plan, tick) + history.touch());
        let before = load(simd, &self.last);
        history.push(simd, points);
        let changed = history.changed(simd);
        for lane in (0..LANES).filter(|l| changed >> l & 1 == 1) {
            // What was before says nothing of what comes; the weights and shifts do.
            history.forget(lane, CHANGE);
            self.models.forget(lane);
        }
        let known = each(|l| if history.known(l, 0) && history.known(l, 1) { 1.0 } else { 0.0 });
        self.last = *history.last();
        self.models.observe(simd, load(simd, &self.last), before, load(simd, &known));
        for (i, track) in self.tracks.iter_mut().enumerate() {
            let horizon = plan.horizons[i];
            let slot = (tick % u64::from(horizon.delay_steps())) as usize;
            let y = history.outcome(simd, horizon);
            track.learn(simd, &plan.tuning, conformal::gamma(plan.targets[i]), slot, y);
            members::speak(simd, history, horizon, plan.places[i], &mut track.pending[slot].voices);
        }
        self.look(simd, plan, history);
    }

    /// Reads a little of every forecast that is due: they come from far, and are waited for once.
    #[inline(always)]
    fn touch(&self, plan: &Plan, tick: u64) -> f32 {
        let due = |(track, h): (&Track, &Horizon)| {
            let pending = &track.pending[(tick % u64::from(h.delay_steps())) as usize];
            pending.made[0] + pending.scale[0] + pending.voices.q[0][0][0] + pending.voices.q[3][0][0]
        };
        self.tracks.iter().zip(&plan.horizons).map(due).sum()
    }

    /// Scale, readiness and features.
    #[inline(always)]
    fn look<S: Simd>(&mut self, simd: S, plan: &Plan, history: &History) {
        for lane in 0..LANES {
            self.observed[lane] = history.observed(lane);
            self.begun[lane] = history.len(lane) > 0;
            self.readiness[lane] = readiness(history.observed(lane), history.age(lane));
            if self.readiness[lane] == Readiness::Cold
                && let Some((low, high)) = history.range(lane)
            {
                self.range[lane] = [low, self.last[lane], high];
            }
        }
        let speaks = plan.targets.iter().any(Option::is_some);
        for (n, lanes) in history.lengths() {
            let lanes = mask32x16::from_bitmask(simd, lanes);
            let moments = Moments::of(simd, history, n);
            put(lanes, moments.scale, &mut self.scale);
            if speaks {
                let rows = features::describe(history, &moments);
                self.features.iter_mut().zip(rows).for_each(|(row, v)| put(lanes, v, row));
            }
        }
    }

    /// Lets the ARIMA and the networks speak (`learned`: the quantiles of this group by the LSTM and by the feed-forward
    /// networks, [target][level][lane], of those that run), then makes the forecasts of now and writes them down.
    #[inline(always)]
    pub(crate) fn conclude<S: Simd>(
        &mut self,
        simd: S,
        plan: &Plan,
        tick: u64,
        learned: [Option<&Learned<'_>>; 2],
        path: &mut Vec<Lane>,
        out: &mut [SeriesForecast],
    ) {
        std::hint::black_box(self.touch(plan, tick));
        let (last, scale) = (load(simd, &self.last), load(simd, &self.scale));
        self.models.prepare(simd, last, &plan.horizons, path);
        let warm = each(|l| if self.observed[l] >= SAMPLES_MIN { 1.0 } else { 0.0 });
        let ready = each(|l| if self.observed[l] >= LEARNED_MIN { 1.0 } else { 0.0 });
        for (lane, out) in out.iter_mut().enumerate() {
            out.readiness = self.readiness[lane];
        }
        for (i, track) in self.tracks.iter_mut().enumerate() {
            let horizon = plan.horizons[i];
            let slot = (tick % u64::from(horizon.delay_steps())) as usize;
            let pending = &mut track.pending[slot];
            self.models.speak(simd, i, horizon, path, load(simd, &warm), &mut pending.voices);
            for (member, learned) in [LSTM, MLP].into_iter().zip(learned) {
                pending.voices.speaks[member] = ZERO;
                let (Some(learned), Some(target)) = (learned, plan.targets[i]) else { continue };
                pending.voices.speaks[member] = ready;
                for (level, q) in pending.voices.q[member].iter_mut().enumerate() {
                    (last + scale * load(simd, learned(target, level))).max(0.0).store_slice(q);
                }
            }
            let (q, total) = track.ensemble.combine(simd, &plan.tuning, &pending.voices);
            pending.shifted = track.shifts.apply(simd, q, scale).map(Into::into);
            let (q, total): ([Lane; 5], Lane) = (q.map(Into::into), total.into());
            for row in &mut pending.shifted {
                (0..LANES).for_each(|l| row[l] = grid::near(row[l]));
            }
            pending.scale = self.scale;
            pending.made = each(|l| if total[l] > 0.0 { 1.0 } else { 0.0 });
            let ordered = conformal::in_order(&pending.shifted);
            let middle = each(|l| grid::near(mean(&q, l).max(0.0)));
            for (lane, out) in out.iter_mut().enumerate() {
                if total[lane] > 0.0 {
                    out.mean[i] = middle[lane];
                    let [a, b, c, d, e] = &ordered;
                    out.quantiles[i] = Quantiles([a[lane], b[lane], c[lane], d[lane], e[lane]]);
                } else {
                    // Before any member speaks: the range seen so far. Finite, and marked as cold.
                    let [low, last, high] = self.range[lane];
                    (out.mean[i], out.quantiles[i]) = (last, Quantiles([low, last, high, high, high]));
                }
            }
        }
    }
}

impl Track {
    #[inline(always)]
    fn learn<S: Simd>(&mut self, simd: S, t: &ensemble::Tuning, gamma: f32, slot: usize, y: f32x16<S>) {
        let p = &mut self.pending[slot];
        let y = load(simd, &p.made).simd_gt(0.0).select(y, all(simd, f32::NAN));
        let scale = load(simd, &p.scale);
        self.ensemble.learn(simd, t, &p.voices, y, scale);
        self.shifts.learn(simd, gamma, &p.shifted, y, scale);
    }
}

fn readiness(observed: usize, age: u64) -> Readiness {
    match (observed, age) {
        (n, _) if n < SAMPLES_MIN => Readiness::Cold,
        // A window that is mostly gaps says as little as a short one.
        (n, age) if age < WINDOW as u64 || n < WINDOW / 2 => Readiness::Fallback,
        _ => Readiness::Ready,
    }
}

/// The mean of a distribution known by five quantiles: each stands for the probability nearer to it than to the others.
#[inline(always)]
fn mean(q: &[Lane; 5], lane: usize) -> f32 {
    0.275 * q[0][lane] + 0.425 * q[1][lane] + 0.225 * q[2][lane] + 0.045 * q[3][lane] + 0.03 * q[4][lane]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::places;

    #[test]
    fn the_networks_are_averaged_by_how_well_they_did() {
        let horizons = vec![Horizon::Peak(6)];
        let plan = Plan {
            places: places(&horizons),
            targets: vec![Some(0)],
            tuning: ensemble::Tuning::default(),
            horizons,
        };
        let mut group = Group::new(&plan, Profile::Cpu);
        let mut history = History::new(&plan.horizons);
        let mut out = vec![crate::set::blank(&plan); LANES];
        // A level of 50 that every window, and the LSTM, says goes on; the other network says one point more.
        let (lstm, mlp) = (|_: usize, _: usize| &ZERO, |_: usize, _: usize| &[2.0; LANES]);
        let mut medians = vec![];
        for tick in 0..60 {
            fearless_simd::dispatch!(fearless_simd::Level::new(), simd => {
                group.observe(simd, &plan, tick, &mut history, &[50.0; LANES]);
                group.conclude(simd, &plan, tick, [Some(&lstm), Some(&mlp)], &mut vec![], &mut out);
            });
            medians.push(out[3].quantiles[0].0[1]);
        }
        assert_eq!(medians[LEARNED_MIN - 2], 50.0, "a young series: the windows alone");
        let first = 50.0 + 4.0 / (1.0 + 1.0 + 8.0 + 4.0);
        assert!((medians[LEARNED_MIN - 1] - first).abs() < 1.0 / 64.0, "by what they are worth at first");
        assert!(
            (medians[59] - 50.0).abs() < 1.0 / 64.0,
            "whoever missed is not heard any more: {}",
            medians[59]
        );
    }
}
