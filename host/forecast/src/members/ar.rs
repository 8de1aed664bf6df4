//! Closed-form autoregression of order <= 6, on the series or on its differences.
//!
//! The window is forecast from each of its own samples, `steps` ahead, in lanes over the origins. The errors of those
//! forecasts are the spread; whichever of d = 0 and d = 1 has the smaller ones speaks, horizon by horizon.

use foreshade_types::Horizon;

use super::{Voice, voice_of};
use crate::levinson::{self, Ar, ORDER_MAX};

/// Samples below which no autoregression is fitted.
const SAMPLES_MIN: usize = 24;

/// Multi-step forecasts of one window; `path[d]` is [step][origin], origins from ORDER_MAX on.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    path: [Vec<f32>; 2],
    /// Origins per step.
    lanes: usize,
    z: Vec<f32>,
    best: Vec<f32>,
}

/// Fits both and forecasts; false = too few samples.
pub(super) fn fit(x: &[f32], steps: usize, s: &mut Scratch) -> bool {
    if x.len() < SAMPLES_MIN {
        return false;
    }
    s.lanes = x.len() - ORDER_MAX;
    let mean = (x.iter().map(|&v| f64::from(v)).sum::<f64>() / x.len() as f64) as f32;
    s.z.clear();
    s.z.extend(x.iter().map(|v| v - mean));
    let level = levinson::select(&levinson::autocovariance(&s.z), x.len());
    forecast(&level, &s.z, s.lanes, steps, &mut s.path[0]);
    s.path[0].iter_mut().for_each(|v| *v += mean);
    // The first difference is unknown; 0 keeps both paths aligned.
    s.z.clear();
    s.z.push(0.0);
    s.z.extend(x.windows(2).map(|w| w[1] - w[0]));
    let change = levinson::select(&levinson::autocovariance(&s.z[1..]), x.len() - 1);
    forecast(&change, &s.z, s.lanes, steps, &mut s.path[1]);
    let (origins, path) = (&x[ORDER_MAX..], &mut s.path[1]);
    for h in 0..steps {
        let (before, row) = path.split_at_mut(h * s.lanes);
        let base = if h == 0 { origins } else { &before[(h - 1) * s.lanes..] };
        row.iter_mut().zip(base).take(s.lanes).for_each(|(v, b)| *v += b);
    }
    true
}

/// `out[h][k]` = forecast of z[ORDER_MAX + k + 1 + h] from the samples up to z[ORDER_MAX + k].
fn forecast(ar: &Ar, z: &[f32], lanes: usize, steps: usize, out: &mut Vec<f32>) {
    out.clear();
    out.resize(steps * lanes, 0.0);
    for h in 0..steps {
        let (before, row) = out.split_at_mut(h * lanes);
        let row = &mut row[..lanes];
        for j in 0..ar.order {
            let c = ar.coef[j] as f32;
            let from = if j < h { &before[(h - 1 - j) * lanes..] } else { &z[ORDER_MAX + h - j..] };
            row.iter_mut().zip(from).for_each(|(y, x)| *y += c * x);
        }
    }
}

/// What the better of the two says; `target` as in [`super::targets`].
pub(super) fn voice(
    s: &mut Scratch,
    horizon: Horizon,
    target: &[f32],
    errors: &mut Vec<f32>,
) -> Option<Voice> {
    let n = horizon.delay_steps() as usize;
    let target = target.get(ORDER_MAX..)?;
    let mut best: Option<(f32, f32)> = None;
    for path in &s.path {
        let point = |k: usize| match horizon {
            Horizon::Step(_) => path[(n - 1) * s.lanes + k],
            Horizon::Peak(_) => (0..n).map(|h| path[h * s.lanes + k]).fold(f32::NEG_INFINITY, f32::max),
        };
        errors.clear();
        errors.extend(target.iter().enumerate().map(|(k, t)| t - point(k)).filter(|e| !e.is_nan()));
        let size = errors.iter().map(|e| e.abs()).sum::<f32>();
        if best.is_none_or(|(least, _)| size < least) {
            best = Some((size, point(s.lanes - 1)));
            s.best.clone_from(errors);
        }
    }
    voice_of(best?.1, &mut s.best)
}
