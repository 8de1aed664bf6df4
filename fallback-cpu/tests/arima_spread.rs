//! The errors of a window's own forecasts against their plain definition in f64, on every instruction set.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use foreshade_fallback_cpu::arima::{Reach, SPREAD_WORDS, fit, spread};
use foreshade_fallback_cpu::{Exec, levels};
use foreshade_kernels::arima_fit::{D, FIT_WORDS, LEVELS, MEAN, P_MAX, PHI, THETA};
use foreshade_kernels::spec::blocked;

const LANES: usize = 64;
const SAMPLES: usize = 144;
const HORIZONS: [Reach; 4] = [Reach::Peak(6), Reach::Step(1), Reach::Step(6), Reach::Step(12)];

/// Levels, autocorrelation, bursts, gaps and late beginnings.
fn windows() -> Vec<f32> {
    let mut state = 9u32;
    let mut unit = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24)
    };
    let mut y = vec![f32::NAN; SAMPLES * LANES];
    for lane in 0..LANES {
        let mut level = 50.0;
        for t in 0..SAMPLES {
            level = 50.0 + 0.015 * lane as f64 * (level - 50.0) + 8.0 * (unit() - 0.5);
            let gap = (lane % 4 == 3 && unit() < 0.2) || (lane % 8 == 5 && t < 40);
            let burst = if unit() < 0.04 { 30.0 } else { 0.0 };
            y[t * LANES + lane] = if gap { f32::NAN } else { (level + burst) as f32 };
        }
    }
    y
}

/// Outcome minus forecast at every second sample that has all lags before it, the newest origins first served.
fn errors(y: &[f64], word: impl Fn(usize) -> f64, reach: Reach) -> Vec<f64> {
    let (n, d) = (y.len(), word(D) > 0.0);
    let known = |t: usize| !y[t].is_nan();
    let (mut z, mut e, mut filled) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    for t in 0..n {
        let counts = known(t) && (!d || (t > 0 && known(t - 1)));
        let before = if t > 0 { filled[t - 1] } else { 0.0 };
        z[t] = if counts { y[t] - if d { before } else { word(MEAN) } } else { 0.0 };
        let said: f64 = (0..P_MAX.min(t)).map(|j| word(PHI + j) * z[t - 1 - j]).sum();
        let shock = if t > 0 { word(THETA) * e[t - 1] } else { 0.0 };
        e[t] = if counts { z[t] - said - shock } else { 0.0 };
        filled[t] = if known(t) { y[t] } else { before };
    }
    let (steps, first) = match reach {
        Reach::Step(h) | Reach::Peak(h) => (h, P_MAX + (n - 1 - P_MAX) % 2),
    };
    let mut out = Vec::new();
    for k in (first..n - steps).step_by(2) {
        let mut path = z[..=k].to_vec();
        for h in 0..steps {
            let said: f64 = (0..P_MAX).map(|j| word(PHI + j) * path[path.len() - 1 - j]).sum();
            path.push(said + if h == 0 { word(THETA) * e[k] } else { 0.0 });
        }
        let value = |h: usize| match d {
            true => filled[k] + path[k + 1..=k + h].iter().sum::<f64>(),
            false => word(MEAN) + path[k + h],
        };
        let (said, came) = match reach {
            Reach::Step(h) => (value(h), y[k + h]),
            Reach::Peak(h) => {
                let there: Vec<f64> = y[k + 1..=k + h].iter().copied().filter(|v| !v.is_nan()).collect();
                let enough = 2 * there.len() >= h;
                let most = there.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let said = (1..=h).map(value).fold(f64::NEG_INFINITY, f64::max);
                (said, if enough { most } else { f64::NAN })
            }
        };
        if !came.is_nan() && (0..=k).any(known) {
            out.push(came - said);
        }
    }
    out
}

fn quantile(sorted: &[f64], level: f64) -> f64 {
    let at = level * (sorted.len() - 1) as f64;
    let low = at as usize;
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (at - low as f64) * (sorted[high] - sorted[low])
}

#[test]
fn errors_are_those_of_the_definition() {
    let y = windows();
    for (name, _) in levels() {
        let exec = Exec::new(Some(name), 1).unwrap();
        let mut model = vec![0.0; LANES * FIT_WORDS];
        fit(&exec, &[LANES as i32, SAMPLES as i32], &y, &mut model, &mut []);
        let mut out = vec![0.0; LANES * HORIZONS.len() * SPREAD_WORDS];
        spread(&exec, [LANES, SAMPLES], &HORIZONS, &y, &model, &mut out);
        for lane in 0..LANES {
            let word = |w: usize| f64::from(model[blocked(lane, w, FIT_WORDS)]);
            let column: Vec<f64> = (0..SAMPLES).map(|t| f64::from(y[t * LANES + lane])).collect();
            for (h, reach) in HORIZONS.iter().enumerate() {
                let mut want = errors(&column, word, *reach);
                want.sort_by(f64::total_cmp);
                let got = |k: usize| {
                    f64::from(out[blocked(lane, h * SPREAD_WORDS + k, HORIZONS.len() * SPREAD_WORDS)])
                };
                assert_eq!(got(LEVELS.len()) as usize, want.len(), "{name}, lane {lane}, {reach:?}");
                for (k, &level) in LEVELS.iter().enumerate() {
                    let want = quantile(&want, f64::from(level));
                    assert!(
                        (got(k) - want).abs() < 2e-3,
                        "{name}, lane {lane}, {reach:?}: {} {want}",
                        got(k)
                    );
                }
            }
        }
    }
}
