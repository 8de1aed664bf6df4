//! How far an f32 device may be from the f64 reference after one tick from the same state. README.md derives it.

use super::abi::{Cell, GATES, LEVELS, Weights};

/// Largest absolute error a device's sigmoid and tanh may have: 5e-7 with a correctly rounded division, and OpenCL's may
/// be 2.5 units in the last place off (1.5e-7 at 1).
pub const ACTIVATION_ABS_ERR: f64 = 6.5e-7;
/// Largest absolute error a device's softplus may have, beside one rounding of its result.
pub const SOFTPLUS_ABS_ERR: f64 = 3.0e-7;

/// Half a unit in the last place of 1 in f32.
const U: f64 = 1.0 / (1u64 << 24) as f64;

/// Absolute bounds for one tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// For every h.
    pub h: f64,
    /// For every c.
    pub c: f64,
    /// For every quantile; 0 without a head.
    pub q: f64,
}

/// Bounds for inputs with |x| <= `x_max`, |stats| <= `stats_max`, and states with |c| <= `c_max` before the tick.
pub fn tolerance(w: &Weights, x_max: f64, stats_max: f64, c_max: f64) -> Tolerance {
    // The first layer's input is exact; that of the second is the first one's h.
    let (mut below_err, mut below_max) = (0.0, x_max);
    let mut worst = Tolerance { h: 0.0, c: 0.0, q: 0.0 };
    for cell in w.layers() {
        let (h, c) = layer(cell, below_max, below_err, c_max);
        worst = Tolerance { h: worst.h.max(h), c: worst.c.max(c), q: head_bound(w, h, stats_max) };
        (below_err, below_max) = (h, 1.0);
    }
    worst
}

/// Bounds for h and c of a layer whose input is at most `below_max` large and `below_err` off.
fn layer(cell: &Cell, below_max: f64, below_err: f64, c_max: f64) -> (f64, f64) {
    let (input, hidden) = (cell.input, cell.hidden);
    let (mut sum_abs, mut carried) = (0.0f64, 0.0f64);
    for row in 0..GATES * hidden {
        let from_below = abs_sum(&cell.w_ih, row, input);
        let s = f64::from(cell.b_ih[row].abs())
            + f64::from(cell.b_hh[row].abs())
            + from_below * below_max
            + abs_sum(&cell.w_hh, row, hidden);
        sum_abs = sum_abs.max(s);
        carried = carried.max(from_below * below_err);
    }
    let a = (input + hidden + 3) as f64 * U * sum_abs + carried;
    let sigmoid = a / 4.0 + ACTIVATION_ABS_ERR;
    let tanh = a + ACTIVATION_ABS_ERR;
    let c = c_max * sigmoid + sigmoid + tanh + 8.0 * U * (c_max + 1.0);
    let h = sigmoid + c + ACTIVATION_ABS_ERR + 4.0 * U;
    (h, c)
}

fn head_bound(w: &Weights, h_err: f64, stats_max: f64) -> f64 {
    let Some(head) = w.head() else { return 0.0 };
    let hidden = w.dims().hidden;
    let width = hidden + head.stats;
    let (mut z_err, mut z_max) = (0.0f64, 0.0f64);
    for j in 0..head.width {
        let row = &head.w1[j * width..(j + 1) * width];
        let from_h: f64 = row[..hidden].iter().map(|v| f64::from(v.abs())).sum();
        let from_stats: f64 = row[hidden..].iter().map(|v| f64::from(v.abs())).sum();
        let magnitude = f64::from(head.b1[j].abs()) + from_h + from_stats * stats_max;
        z_err = z_err.max(from_h * h_err + (width + 2) as f64 * U * magnitude);
        z_max = z_max.max(magnitude);
    }
    let (mut o_err, mut o_max) = (0.0f64, 0.0f64);
    for (j, b) in head.b2.iter().enumerate() {
        let sum = abs_sum(&head.w2, j, head.width);
        let magnitude = f64::from(b.abs()) + sum * z_max;
        o_err = o_err.max(sum * z_err + (head.width + 2) as f64 * U * magnitude);
        o_max = o_max.max(magnitude);
    }
    // The highest level adds LEVELS - 2 softplus (slope <= 1) to the median; each sum rounds once.
    let terms = (LEVELS - 1) as f64;
    terms * (o_err + SOFTPLUS_ABS_ERR + 2.0 * U * terms * (o_max + 1.0))
}

fn abs_sum(w: &[f32], row: usize, width: usize) -> f64 {
    w[row * width..(row + 1) * width].iter().map(|v| f64::from(v.abs())).sum()
}
