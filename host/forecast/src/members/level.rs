//! Exponential smoothing: the level of an ARIMA(0,1,1), whose best weight the window chooses.

/// Weights of the newest sample that are tried.
const ALPHA: [f32; 5] = [0.05, 0.12, 0.25, 0.45, 0.7];

/// `out[k]` = the level after sample k, for the weight with the least mean absolute one-step error in the window.
pub(super) fn track(x: &[f32], out: &mut Vec<f32>) {
    out.clear();
    let Some(&first) = x.first() else { return };
    let mut level = [first; ALPHA.len()];
    let mut error = [0f32; ALPHA.len()];
    for &v in x {
        for i in 0..ALPHA.len() {
            error[i] += (v - level[i]).abs();
            level[i] += ALPHA[i] * (v - level[i]);
        }
    }
    let best = (0..ALPHA.len()).fold(0, |b, i| if error[i] < error[b] { i } else { b });
    let mut level = first;
    for &v in x {
        level += ALPHA[best] * (v - level);
        out.push(level);
    }
}
