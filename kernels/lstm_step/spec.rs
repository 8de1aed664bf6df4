//! Argument list and memory layout of the step. Weights are packed once on the host by `pack`.

use super::abi::{GATES, LEVELS, MAX_HEAD, MAX_HIDDEN, MAX_INPUT, MAX_LAYERS, MAX_STATS, TARGETS};
use crate::KernelId;
use crate::spec::{Arg, Extent, GROUP, KernelSpec, ShapeError, lanes, limit};

/// Bit of `mode`: the lane takes a step. Without it its state is copied and its output is 0.
pub const STEP: i32 = 1;
/// Bit of `mode`: the lane's state is zero before anything else happens to it.
pub const RESET: i32 = 2;

/// Buffers: mode [lanes]; x [input][lanes]; stats [stats][lanes]; weights, as packed; state [lanes/64][layers][h, c]
/// [hidden][64] before and after; out [lanes/64][20][64]. Without a head (width 0) stats and out are empty (one group's
/// worth of words is still there, unread).
pub const SPEC: KernelSpec = KernelSpec {
    id: KernelId::LstmStep,
    buffers: &[
        Arg::input_i32("mode"),
        Arg::input("x"),
        Arg::input("stats"),
        Arg::input("weights"),
        Arg::input("state_in"),
        Arg::output("state_out"),
        Arg::output("out"),
    ],
    ints: &["lanes", "input", "hidden", "layers", "stats", "width"],
    floats: &[],
    extent,
    gpu: include_str!("gpu.cc"),
    cpu_cl: include_str!("cpu.cl"),
    wgsl: include_str!("web.wgsl"),
    ptx: include_str!("../ptx/lstm_step.ptx"),
};

/// Words of packed weights.
///
/// Per layer, per unit: a quad of biases (b_ih + b_hh of the gates i, f, g, o), then for each value of [x or the h below,
/// own h] a quad of weights. Then the head's first layer in quads of outputs, width rounded up to whole quads with zeros:
/// per quad its biases, then for each value of [h of the top layer, stats] four weights. Then its second layer: 20 biases,
/// then for each of the (rounded up) hidden values 20 weights.
pub fn packed_words(input: usize, hidden: usize, layers: usize, stats: usize, width: usize) -> usize {
    let layer = |inputs: usize| hidden * GATES * (1 + inputs + hidden);
    let outputs = TARGETS * LEVELS;
    let wide = width.next_multiple_of(4);
    let head = if width == 0 { 0 } else { wide * (1 + hidden + stats) + outputs * (1 + wide) };
    layer(input) + (layers - 1) * layer(hidden) + head
}

fn extent(ints: &[i32]) -> Result<Extent, ShapeError> {
    let lanes = lanes(ints[0])?;
    let input = limit("input", ints[1], 1..=MAX_INPUT, "1 to 64")?;
    let hidden = limit("hidden", ints[2], 1..=MAX_HIDDEN, "1 to 128")?;
    let layers = limit("layers", ints[3], 1..=MAX_LAYERS, "1 or 2")?;
    let stats = limit("stats", ints[4], 0..=MAX_STATS, "0 to 256")?;
    let width = limit("width", ints[5], 0..=MAX_HEAD, "0 to 256")?;
    let state = lanes * layers * 2 * hidden;
    // Devices count words in 32 bits.
    if state.max(lanes * stats).max(lanes * TARGETS * LEVELS) > i32::MAX as usize {
        let want = "few enough that lanes x 2 x layers x hidden, or x stats, stays below 2147483648";
        return Err(ShapeError { name: "lanes", got: i64::from(ints[0]), want });
    }
    let out = if width == 0 { GROUP } else { lanes * TARGETS * LEVELS };
    let stats_words = if width == 0 { GROUP } else { lanes * stats.max(1) };
    let weights = packed_words(input, hidden, layers, stats, width);
    Ok(Extent {
        words: [lanes, input * lanes, stats_words, weights, state, state, out, 0],
        groups: lanes / GROUP,
    })
}
