//! The ARIMA member: a closed-form fit per series every [`REFIT`] samples, in rotation, by the kernel `arima_fit`; between
//! two fits the model takes each new sample in (its last differences and its residual), which costs a few operations.
//!
//! Its bounds are the quantiles of what the model would have missed by at every sample of the window it was fitted to, per
//! horizon: so the bound of a peak is one of peaks, and no distribution is assumed.

use std::sync::Arc;

use fearless_simd::{Select, Simd, SimdBase, f32x16};
use foreshade_accel::{AccelError, Engine, KernelId, Slab, spec};
use foreshade_fallback_cpu::Exec;
use foreshade_fallback_cpu::arima::{Reach, SPREAD_WORDS, spread};
use foreshade_kernels::arima_fit::{
    D, FIT_WORDS, MEAN, P_MAX, PHI, RESIDUAL, SAMPLES_MIN, STATUS, TAIL, THETA,
};
use foreshade_types::{Horizon, LEVELS};

use crate::WINDOW;
use crate::ensemble::Voices;
use crate::history::History;
use crate::lanes::{LANES, Lane, ZERO, all, load};
use crate::members::{ARIMA, OUTCOMES_MIN};

/// Samples from one fit to the next: 30 min at 5 min. A series' turn follows from its own name and age.
pub(crate) const REFIT: u64 = 6;
/// Series fitted by one call: their samples stay in the second cache.
const BATCH: usize = 1024;

/// The fitted models of a group.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Models {
    phi: [Lane; P_MAX],
    theta: Lane,
    mean: Lane,
    differenced: Lane,
    /// The last values of what the model is of, newest first.
    tail: [Lane; P_MAX],
    residual: Lane,
    /// 1 = there is a model.
    fitted: Lane,
    /// By horizon: quantiles of the errors; 1 = enough of them.
    errors: Box<[([Lane; 5], Lane)]>,
}

impl Models {
    pub(crate) fn new(horizons: usize) -> Self {
        Self {
            phi: [ZERO; P_MAX],
            theta: ZERO,
            mean: ZERO,
            differenced: ZERO,
            tail: [ZERO; P_MAX],
            residual: ZERO,
            fitted: ZERO,
            errors: vec![([ZERO; 5], ZERO); horizons].into(),
        }
    }

    /// Takes the newest samples in: `x` filled, `before` the ones before them, `known` 1 where both were there.
    #[inline(always)]
    pub(crate) fn observe<S: Simd>(&mut self, simd: S, x: f32x16<S>, before: f32x16<S>, known: f32x16<S>) {
        let differenced = load(simd, &self.differenced).simd_gt(0.0);
        let z = (x - differenced.select(before, load(simd, &self.mean))) * known;
        let mut said = load(simd, &self.theta) * load(simd, &self.residual);
        let mut newer = z;
        for (phi, tail) in self.phi.iter().zip(&mut self.tail) {
            let old = load(simd, tail);
            said += load(simd, phi) * old;
            newer.store_slice(tail);
            newer = old;
        }
        ((z - said) * known).store_slice(&mut self.residual);
    }

    /// Says what the models say of the `i`-th horizon, in the lanes of `warm`; `path` is [`Self::prepare`]'s.
    #[inline(always)]
    pub(crate) fn speak<S: Simd>(
        &self,
        simd: S,
        i: usize,
        horizon: Horizon,
        path: &[Lane],
        warm: f32x16<S>,
        voices: &mut Voices,
    ) {
        let n = horizon.delay_steps() as usize;
        let point = match horizon {
            Horizon::Step(_) => load(simd, &path[n - 1]),
            Horizon::Peak(_) => {
                path[1..n].iter().fold(load(simd, &path[0]), |most, f| most.max(load(simd, f)))
            }
        };
        let (errors, enough) = &self.errors[i];
        let speaks = load(simd, enough) * load(simd, &self.fitted) * warm;
        speaks.store_slice(&mut voices.speaks[ARIMA]);
        for (q, error) in voices.q[ARIMA].iter_mut().zip(errors) {
            (point + load(simd, error)).store_slice(q);
        }
    }

    /// The next samples, each from those before it.
    #[inline(always)]
    pub(crate) fn prepare<S: Simd>(
        &self,
        simd: S,
        last: f32x16<S>,
        horizons: &[Horizon],
        path: &mut Vec<Lane>,
    ) {
        let steps = horizons.iter().map(|h| h.delay_steps()).max().unwrap_or(0) as usize;
        path.resize(steps, ZERO);
        let zero = all(simd, 0.0);
        let (mut phi, mut tail) = ([zero; P_MAX], [zero; P_MAX]);
        for j in 0..P_MAX {
            (phi[j], tail[j]) = (load(simd, &self.phi[j]), load(simd, &self.tail[j]));
        }
        let (mean, differenced) = (load(simd, &self.mean), load(simd, &self.differenced).simd_gt(zero));
        let mut shock = load(simd, &self.theta) * load(simd, &self.residual);
        let mut sum = last;
        for to in path {
            let mut f = shock;
            for j in 0..P_MAX {
                f += phi[j] * tail[j];
            }
            sum += f;
            differenced.select(sum, mean + f).store_slice(to);
            for j in (1..P_MAX).rev() {
                tail[j] = tail[j - 1];
            }
            (tail[0], shock) = (f, zero);
        }
    }

    /// A lane says nothing until it is fitted again.
    pub(crate) fn forget(&mut self, lane: usize) {
        self.fitted[lane] = 0.0;
    }

    /// Says nothing from now on.
    pub(crate) fn silence(&mut self) {
        self.fitted = ZERO;
    }

    /// Takes the model of a lane from what the kernel made; `at` is its place there.
    fn take(&mut self, lane: usize, fit: &[f32], spread: &[f32], at: usize) {
        let word = |w: usize| fit[spec::blocked(at, w, FIT_WORDS)];
        let many = |rows: &mut [Lane; P_MAX], from: usize| {
            rows.iter_mut().enumerate().for_each(|(j, row)| row[lane] = word(from + j));
        };
        many(&mut self.phi, PHI);
        many(&mut self.tail, TAIL);
        self.theta[lane] = word(THETA);
        self.mean[lane] = word(MEAN);
        self.differenced[lane] = word(D);
        self.residual[lane] = word(RESIDUAL);
        self.fitted[lane] = if word(STATUS) == 0.0 { 1.0 } else { 0.0 };
        let words = self.errors.len() * SPREAD_WORDS;
        for (h, (errors, enough)) in self.errors.iter_mut().enumerate() {
            let error = |k: usize| spread[spec::blocked(at, h * SPREAD_WORDS + k, words)];
            errors.iter_mut().enumerate().for_each(|(k, row)| row[lane] = error(k));
            enough[lane] = if error(LEVELS.len()) >= OUTCOMES_MIN as f32 { 1.0 } else { 0.0 };
        }
    }
}

/// Is it this series' turn? `phase` is its own, below [`REFIT`].
pub(crate) fn due(age: u64, phase: u64) -> bool {
    age == SAMPLES_MIN as u64 || (age > SAMPLES_MIN as u64 && age % REFIT == phase)
}

/// Fits the models of some series: (group, lane) and their windows. Nothing changes if the devices fail.
pub(crate) fn refit<'a>(
    engine: &mut Engine,
    exec: &Exec,
    horizons: &[Horizon],
    due: &[(usize, usize)],
    history: impl Fn(usize) -> &'a History,
    mut models: impl FnMut(usize, &mut dyn FnMut(&mut Models)),
) -> Result<(), AccelError> {
    let reach: Vec<Reach> = horizons
        .iter()
        .map(|h| match *h {
            Horizon::Step(n) => Reach::Step(n as usize),
            Horizon::Peak(n) => Reach::Peak(n as usize),
        })
        .collect();
    for batch in due.chunks(BATCH) {
        let lanes = spec::padded(batch.len());
        let y = Arc::new(windows(batch, lanes, &history));
        let ints = [lanes as i32, WINDOW as i32];
        let out = engine.call(KernelId::ArimaFit, &ints, &[], &[Arc::clone(&y)])?;
        let Some(fit) = out.first() else { continue };
        let mut errors = vec![0.0; lanes * reach.len() * SPREAD_WORDS];
        spread(exec, [lanes, WINDOW], &reach, y.f32(), fit.f32(), &mut errors);
        for (at, &(group, lane)) in batch.iter().enumerate() {
            models(group, &mut |m| m.take(lane, fit.f32(), &errors, at));
        }
    }
    Ok(())
}

/// [WINDOW][lanes], NaN = missing or before the first sample; lanes of no series are 0 or NaN.
fn windows<'a>(batch: &[(usize, usize)], lanes: usize, history: impl Fn(usize) -> &'a History) -> Slab {
    let mut y = Slab::zeroed(WINDOW * lanes);
    let rows = y.f32_mut();
    for (i, batch) in batch.chunks(LANES).enumerate() {
        let mut block = [[f32::NAN; LANES]; WINDOW];
        for (l, &(group, lane)) in batch.iter().enumerate() {
            let (history, rows) = (history(group), block.iter_mut().rev());
            if history.whole(lane) {
                let rows = rows.take(history.len(lane)).enumerate();
                rows.for_each(|(back, row)| row[l] = history.sample(lane, back));
            } else {
                rows.enumerate().for_each(|(back, row)| row[l] = history.raw(lane, back));
            }
        }
        for (t, row) in block.iter().enumerate() {
            rows[t * lanes + i * LANES..t * lanes + (i + 1) * LANES].copy_from_slice(row);
        }
    }
    y
}

#[cfg(test)]
mod tests {
    use fearless_simd::{Level, dispatch};

    use super::*;

    /// A lane with z_t = phi z_{t-1} + e_t + theta e_{t-1}.
    fn model(phi: f32, theta: f32, mean: f32, differenced: bool) -> Models {
        let mut m = Models::new(1);
        m.phi[0] = [phi; LANES];
        (m.theta, m.mean) = ([theta; LANES], [mean; LANES]);
        m.differenced = [if differenced { 1.0 } else { 0.0 }; LANES];
        m
    }

    fn next(m: &Models, last: f32, steps: u32) -> Vec<f32> {
        let mut path = Vec::new();
        dispatch!(Level::new(), simd => {
            m.prepare(simd, all(simd, last), &[Horizon::Step(steps)], &mut path);
        });
        path.iter().map(|row| row[3]).collect()
    }

    fn observe(m: &mut Models, x: f32, before: f32, known: f32) {
        dispatch!(Level::new(), simd => m.observe(simd, all(simd, x), all(simd, before), all(simd, known)));
    }

    #[test]
    fn a_model_takes_samples_in_by_hand() {
        // ARMA(1, 1) around 10: z = 2, then 4; e = 2, then 4 - (0.5 * 2 + 0.25 * 2) = 2.5.
        let mut m = model(0.5, 0.25, 10.0, false);
        observe(&mut m, 12.0, 0.0, 1.0);
        observe(&mut m, 14.0, 12.0, 1.0);
        assert_eq!(next(&m, 14.0, 3), [10.0 + 2.625, 10.0 + 1.3125, 10.0 + 0.65625]);
        // A gap: nothing is known of it, so it counts as the mean, without a shock.
        observe(&mut m, 14.0, 14.0, 0.0);
        assert_eq!(next(&m, 14.0, 1), [10.0]);
    }

    #[test]
    fn a_differenced_model_goes_on_from_the_last_value() {
        let mut m = model(0.5, 0.0, 0.0, true);
        observe(&mut m, 14.0, 12.0, 1.0);
        assert_eq!(next(&m, 14.0, 3), [15.0, 15.5, 15.75]);
    }

    #[test]
    fn turns_are_spread_by_the_series_own_key() {
        let fits: Vec<u64> = (1..60).filter(|age| due(*age, 2)).collect();
        assert_eq!(fits, [24, 26, 32, 38, 44, 50, 56]);
    }
}
