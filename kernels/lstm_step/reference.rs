//! The definition: one series, one tick, in f64, with the standard library's functions. Slow and clear.

use super::abi::{Cell, Dims, GATES, Head, LEVELS, TARGETS, Weights};

/// Recurrent state of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Output of the cells, [layers * hidden], each in (-1, 1).
    pub h: Vec<f64>,
    /// Memory of the cells, [layers * hidden].
    pub c: Vec<f64>,
}

impl State {
    /// The state before the first tick.
    pub fn zero(dims: Dims) -> Self {
        let n = dims.layers * dims.hidden;
        Self { h: vec![0.0; n], c: vec![0.0; n] }
    }
}

/// One tick: updates `state` and returns the quantiles [target][level], ascending per target, in units of the window's
/// scale relative to the last value. `None` where the weights have no head.
///
/// `x` is [input], `stats` [stats]; shorter slices leave the missing values out of the sums.
pub fn step(w: &Weights, state: &mut State, x: &[f64], stats: &[f64]) -> Option<[[f64; LEVELS]; TARGETS]> {
    let hidden = w.dims().hidden;
    let mut below = x.to_vec();
    for ((cell, h), c) in w.layers().iter().zip(state.h.chunks_mut(hidden)).zip(state.c.chunks_mut(hidden)) {
        layer(cell, &below, h, c);
        below = h.to_vec();
    }
    w.head().map(|head| quantiles(&raw(head, &below, stats)))
}

/// One layer on its input: h and c, [hidden] each, become those after the tick.
fn layer(cell: &Cell, below: &[f64], h: &mut [f64], c: &mut [f64]) {
    const { assert!(GATES == 4) };
    let hidden = cell.hidden;
    let before = h.to_vec();
    let gate = |g: usize, u: usize| {
        let row = g * hidden + u;
        f64::from(cell.b_ih[row])
            + f64::from(cell.b_hh[row])
            + dot(&cell.w_ih, row, cell.input, below)
            + dot(&cell.w_hh, row, hidden, &before)
    };
    for u in 0..hidden {
        let (i, f, g, o) = (sigmoid(gate(0, u)), sigmoid(gate(1, u)), gate(2, u).tanh(), sigmoid(gate(3, u)));
        c[u] = f * c[u] + i * g;
        h[u] = o * c[u].tanh();
    }
}

/// The head's 20 outputs before they are put in order.
fn raw(head: &Head, h: &[f64], stats: &[f64]) -> Vec<f64> {
    let v: Vec<f64> = h.iter().chain(stats).copied().collect();
    let z: Vec<f64> =
        (0..head.width).map(|j| (f64::from(head.b1[j]) + dot(&head.w1, j, v.len(), &v)).max(0.0)).collect();
    (0..TARGETS * LEVELS).map(|j| f64::from(head.b2[j]) + dot(&head.w2, j, head.width, &z)).collect()
}

/// Outputs -> quantiles that cannot cross: the median, one softplus below it, a running sum of softplus above it.
fn quantiles(raw: &[f64]) -> [[f64; LEVELS]; TARGETS] {
    let mut q = [[0.0; LEVELS]; TARGETS];
    for (q, o) in q.iter_mut().zip(raw.chunks_exact(LEVELS)) {
        q[0] = o[1] - softplus(o[0]);
        q[1] = o[1];
        for level in 2..LEVELS {
            q[level] = q[level - 1] + softplus(o[level]);
        }
    }
    q
}

fn dot(w: &[f32], row: usize, width: usize, v: &[f64]) -> f64 {
    w[row * width..(row + 1) * width].iter().zip(v).map(|(&w, &v)| f64::from(w) * v).sum()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
