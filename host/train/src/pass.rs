//! Forward and backward through a run of ticks of many streams: back-propagation through time, written out for the one
//! network there is (kernels/lstm_step/README.md). Time comes first in every array: [tick][stream][value].

use fearless_simd::{Level, dispatch};
use foreshade_accel::lstm_step::GATES;

use crate::loss::{Ahead, Outcome};
use crate::net::{OUTPUTS, Shape};
use crate::real::{Matrix, MatrixMut, Real};

/// Inputs of a run of ticks.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a, T> {
    /// Enter the LSTM, [tick][stream][input].
    pub x: &'a [T],
    /// Enter the head, [tick][stream][stats].
    pub stats: &'a [T],
}

/// h and c of the streams, [stream][hidden].
#[derive(Debug, Clone, Default)]
pub struct State<T> {
    /// Output of the cells.
    pub h: Vec<T>,
    /// Memory of the cells.
    pub c: Vec<T>,
}

impl<T: Real> State<T> {
    /// Before the first tick.
    pub fn zero(shape: Shape, streams: usize) -> Self {
        let zeros = vec![T::default(); streams * shape.hidden];
        Self { h: zeros.clone(), c: zeros }
    }
}

/// What a run of ticks leaves behind for the way back.
#[derive(Debug, Clone, Default)]
pub struct Tape<T> {
    ticks: usize,
    streams: usize,
    /// h before the first tick, [stream][hidden].
    h0: Vec<T>,
    /// [h, statistics], [tick][stream][hidden + stats].
    v: Vec<T>,
    /// Gates after their functions, [tick][stream][4 hidden].
    gates: Vec<T>,
    /// c before the first tick and after each, [tick + 1][stream][hidden].
    c: Vec<T>,
    /// tanh c after each tick.
    tanh_c: Vec<T>,
    /// The head's hidden values after relu, [tick][stream][width].
    z: Vec<T>,
    /// The head's outputs, [tick][stream][20].
    r: Vec<T>,
    /// Gradients of the same names.
    d_r: Vec<T>,
    d_z: Vec<T>,
    d_gates: Vec<T>,
    /// Of h at each tick, then of h and c that flow back in time, [stream][hidden].
    d_h: Vec<T>,
    d_back: Vec<T>,
    d_c: Vec<T>,
}

impl<T: Real> Tape<T> {
    /// The head's outputs of the last run, [tick][stream][20].
    pub fn outputs(&self) -> &[T] {
        &self.r
    }

    /// Runs the streams of `state` over the ticks of `inputs` and moves `state` to their end.
    pub fn forward(&mut self, shape: Shape, params: &[T], inputs: Inputs<'_, T>, state: &mut State<T>) {
        let Shape { input, hidden, stats, width } = shape;
        let streams = state.h.len() / hidden;
        let rows = inputs.x.len() / input;
        let [w_ih, w_hh, b_ih, b_hh, w1, b1, w2, b2] = shape.cut(params);
        (self.ticks, self.streams) = (rows / streams, streams);
        self.h0.clone_from(&state.h);
        self.v.resize(rows * (hidden + stats), T::default());
        for (v, s) in self.v.chunks_exact_mut(hidden + stats).zip(inputs.stats.chunks_exact(stats)) {
            v[hidden..].copy_from_slice(s);
        }
        let bias: Vec<T> = b_ih.iter().zip(b_hh).map(|(a, b)| *a + *b).collect();
        fill(&mut self.gates, rows, &bias);
        let gates = GATES * hidden;
        let (x, w_x) = (Matrix::new(inputs.x, rows, input, input), Matrix::new(w_ih, gates, input, input));
        T::product(x, w_x.t(), T::ONE, &mut MatrixMut::new(&mut self.gates, rows, gates, gates));
        self.c.resize((rows + streams) * hidden, T::default());
        self.c[..streams * hidden].copy_from_slice(&state.c);
        self.tanh_c.resize(rows * hidden, T::default());
        for tick in 0..self.ticks {
            let pre = &mut self.gates[tick * streams * gates..][..streams * gates];
            let w_h = Matrix::new(w_hh, gates, hidden, hidden).t();
            let h = Matrix::new(&state.h, streams, hidden, hidden);
            T::product(h, w_h, T::ONE, &mut MatrixMut::new(pre, streams, gates, gates));
            let (before, after) = self.c[tick * streams * hidden..].split_at_mut(streams * hidden);
            let tanh_c = &mut self.tanh_c[tick * streams * hidden..][..streams * hidden];
            dispatch!(Level::new(), _simd => cell(hidden, pre, before, after, tanh_c, &mut state.h));
            let v = self.v[tick * streams * (hidden + stats)..].chunks_exact_mut(hidden + stats);
            for (v, h) in v.zip(state.h.chunks_exact(hidden)) {
                v[..hidden].copy_from_slice(h);
            }
        }
        state.c.copy_from_slice(&self.c[rows * hidden..]);
        fill(&mut self.z, rows, b1);
        let (v, w1) = (Matrix::new(&self.v, rows, hidden + stats, hidden + stats), (w1, hidden + stats));
        let w1 = Matrix::new(w1.0, width, w1.1, w1.1).t();
        T::product(v, w1, T::ONE, &mut MatrixMut::new(&mut self.z, rows, width, width));
        dispatch!(Level::new(), _simd => relu(&mut self.z));
        fill(&mut self.r, rows, b2);
        let (z, w2) = (Matrix::new(&self.z, rows, width, width), Matrix::new(w2, OUTPUTS, width, width).t());
        T::product(z, w2, T::ONE, &mut MatrixMut::new(&mut self.r, rows, OUTPUTS, OUTPUTS));
    }

    /// The loss of the last run, times `share` per target and level; its gradient is kept for [`Self::backward`].
    pub fn loss(&mut self, ahead: Ahead<'_, T>, share: f64) -> Outcome {
        self.d_r.resize(self.r.len(), T::default());
        let (r, d_r) = (&self.r, &mut self.d_r);
        dispatch!(Level::new(), _simd => crate::loss::pinball(r, ahead, share, d_r))
    }

    /// Adds the gradient of the last loss to `grads`, which is laid out as the weights. The state before the run counts
    /// as given.
    pub fn backward(&mut self, shape: Shape, params: &[T], inputs: Inputs<'_, T>, grads: &mut [T]) {
        let Shape { input, hidden, stats, width } = shape;
        let (rows, gates) = (self.ticks * self.streams, GATES * hidden);
        let [_, w_hh, _, _, w1, _, w2, _] = shape.cut(params);
        let [g_ih, g_hh, gb_ih, gb_hh, g1, gb1, g2, gb2] = shape.cut_mut(grads);

        let d_r = Matrix::new(&self.d_r, rows, OUTPUTS, OUTPUTS);
        let z = Matrix::new(&self.z, rows, width, width);
        T::product(d_r.t(), z, T::ONE, &mut MatrixMut::new(g2, OUTPUTS, width, width));
        columns(&self.d_r, gb2);
        self.d_z.resize(rows * width, T::default());
        let w2 = Matrix::new(w2, OUTPUTS, width, width);
        T::product(d_r, w2, T::default(), &mut MatrixMut::new(&mut self.d_z, rows, width, width));
        let (d_z, z) = (&mut self.d_z, &self.z);
        dispatch!(Level::new(), _simd => relu_back(d_z, z));
        let d_z = Matrix::new(&self.d_z, rows, width, width);
        let inner = hidden + stats;
        let v = Matrix::new(&self.v, rows, inner, inner);
        T::product(d_z.t(), v, T::ONE, &mut MatrixMut::new(g1, width, inner, inner));
        columns(&self.d_z, gb1);
        self.d_h.resize(rows * hidden, T::default());
        let w1_h = Matrix::new(w1, width, hidden, inner);
        T::product(d_z, w1_h, T::default(), &mut MatrixMut::new(&mut self.d_h, rows, hidden, hidden));

        self.through_time(hidden, w_hh);

        let d_gates = Matrix::new(&self.d_gates, rows, gates, gates);
        let x = Matrix::new(inputs.x, rows, input, input);
        T::product(d_gates.t(), x, T::ONE, &mut MatrixMut::new(g_ih, gates, input, input));
        // h before each tick: that before the run, then those of the ticks but the last.
        let (first, later) = self.d_gates.split_at(self.streams * gates);
        let first = Matrix::new(first, self.streams, gates, gates);
        let h0 = Matrix::new(&self.h0, self.streams, hidden, hidden);
        let mut g_hh = MatrixMut::new(g_hh, gates, hidden, hidden);
        T::product(first.t(), h0, T::ONE, &mut g_hh);
        let more = rows - self.streams;
        let later = Matrix::new(later, more, gates, gates);
        T::product(later.t(), Matrix::new(&self.v, more, hidden, inner), T::ONE, &mut g_hh);
        columns(&self.d_gates, gb_ih);
        columns(&self.d_gates, gb_hh);
    }

    /// From the gradient of h at each tick to that of the gates before their functions.
    fn through_time(&mut self, hidden: usize, w_hh: &[T]) {
        let (one, gates) = (self.streams * hidden, GATES * hidden);
        self.d_gates.resize(self.gates.len(), T::default());
        self.d_c.clear();
        self.d_c.resize(one, T::default());
        self.d_back.clear();
        self.d_back.resize(one, T::default());
        for tick in (0..self.ticks).rev() {
            let a = &self.gates[tick * one * GATES..][..one * GATES];
            let d_a = &mut self.d_gates[tick * one * GATES..][..one * GATES];
            let back = Back {
                hidden,
                gates: a,
                tanh_c: &self.tanh_c[tick * one..][..one],
                c_before: &self.c[tick * one..][..one],
                d_h: [&self.d_h[tick * one..][..one], &self.d_back],
            };
            let d_c = &mut self.d_c;
            dispatch!(Level::new(), _simd => cell_back(&back, d_c, d_a));
            let d_a = Matrix::new(d_a, self.streams, gates, gates);
            let w_hh = Matrix::new(w_hh, gates, hidden, hidden);
            T::product(
                d_a,
                w_hh,
                T::default(),
                &mut MatrixMut::new(&mut self.d_back, self.streams, hidden, hidden),
            );
        }
    }
}

/// `rows` copies of `row`.
fn fill<T: Real>(to: &mut Vec<T>, rows: usize, row: &[T]) {
    to.resize(rows * row.len(), T::default());
    to.chunks_exact_mut(row.len()).for_each(|to| to.copy_from_slice(row));
}

/// Adds the sum of each column.
fn columns<T: Real>(rows: &[T], to: &mut [T]) {
    for row in rows.chunks_exact(to.len()) {
        to.iter_mut().zip(row).for_each(|(to, x)| *to += *x);
    }
}

#[inline(always)]
fn relu<T: Real>(z: &mut [T]) {
    z.iter_mut().for_each(|z| *z = if *z > T::default() { *z } else { T::default() });
}

#[inline(always)]
fn relu_back<T: Real>(d_z: &mut [T], z: &[T]) {
    for (d, z) in d_z.iter_mut().zip(z) {
        *d = if *z > T::default() { *d } else { T::default() };
    }
}

/// The four gates of each unit, from before to after their functions, and the unit's new c and h.
#[inline(always)]
fn cell<T: Real>(hidden: usize, gates: &mut [T], c_before: &[T], c: &mut [T], tanh_c: &mut [T], h: &mut [T]) {
    let streams = gates.chunks_exact_mut(GATES * hidden);
    for (s, gates) in streams.enumerate() {
        let at = s * hidden..(s + 1) * hidden;
        let (i, rest) = gates.split_at_mut(hidden);
        let (f, rest) = rest.split_at_mut(hidden);
        let (g, o) = rest.split_at_mut(hidden);
        let (c_before, c) = (&c_before[at.clone()], &mut c[at.clone()]);
        let (tanh_c, h) = (&mut tanh_c[at.clone()], &mut h[at]);
        let (g, o) = (&mut g[..hidden], &mut o[..hidden]);
        for u in 0..hidden {
            i[u] = i[u].sigmoid();
            f[u] = f[u].sigmoid();
            g[u] = g[u].tanh();
            o[u] = o[u].sigmoid();
            c[u] = f[u] * c_before[u] + i[u] * g[u];
            tanh_c[u] = c[u].tanh();
            h[u] = o[u] * tanh_c[u];
        }
    }
}

/// What [`cell_back`] reads, of one tick.
struct Back<'a, T> {
    hidden: usize,
    gates: &'a [T],
    tanh_c: &'a [T],
    c_before: &'a [T],
    /// From the head, and from the tick after.
    d_h: [&'a [T]; 2],
}

/// Gradients of the gates before their functions; `d_c` goes from that of c after the tick to that of c before it.
#[inline(always)]
fn cell_back<T: Real>(b: &Back<'_, T>, d_c: &mut [T], d_gates: &mut [T]) {
    let hidden = b.hidden;
    let streams = b.gates.chunks_exact(GATES * hidden).zip(d_gates.chunks_exact_mut(GATES * hidden));
    for (s, (gates, to)) in streams.enumerate() {
        let at = s * hidden..(s + 1) * hidden;
        let [i, f, g, o] = [0, 1, 2, 3].map(|k| &gates[k * hidden..(k + 1) * hidden]);
        let (d_i, rest) = to.split_at_mut(hidden);
        let (d_f, rest) = rest.split_at_mut(hidden);
        let (d_g, d_o) = rest.split_at_mut(hidden);
        let (tanh_c, c_before) = (&b.tanh_c[at.clone()], &b.c_before[at.clone()]);
        let (d_head, d_back) = (&b.d_h[0][at.clone()], &b.d_h[1][at.clone()]);
        let (d_c, d_g, d_o) = (&mut d_c[at], &mut d_g[..hidden], &mut d_o[..hidden]);
        for u in 0..hidden {
            let d_h = d_head[u] + d_back[u];
            let d = d_c[u] + d_h * o[u] * (T::ONE - tanh_c[u] * tanh_c[u]);
            d_i[u] = d * g[u] * i[u] * (T::ONE - i[u]);
            d_f[u] = d * c_before[u] * f[u] * (T::ONE - f[u]);
            d_g[u] = d * i[u] * (T::ONE - g[u] * g[u]);
            d_o[u] = d_h * tanh_c[u] * o[u] * (T::ONE - o[u]);
            d_c[u] = d * f[u];
        }
    }
}
