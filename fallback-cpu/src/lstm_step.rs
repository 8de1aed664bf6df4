//! The LSTM step in the layout of `kernels/lstm_step/spec.rs`, on vectors over the 64 lanes of a group.
//!
//! Four outputs (the gates of a unit, or four neurons of the head) times U vectors of lanes are kept in registers while
//! the inputs go by: each input vector is loaded once for four outputs, each weight once for U vectors. A unit's gates
//! never leave the registers: its non-linearities and its new h and c follow at once.

use fearless_simd::{dispatch, prelude::*};
use foreshade_kernels::lstm_step::{LEVELS, RESET, STEP, TARGETS};
use foreshade_kernels::spec::GROUP;
use rayon::prelude::*;

use crate::Exec;
use crate::simd_math::{gated, next_cell, softplus};

/// Outputs that share a load of an input.
const QUAD: usize = 4;
/// Values that the head gives per lane.
const OUTPUTS: usize = TARGETS * LEVELS;
/// Pieces of the batch per thread: enough that a late thread does not make the others wait for long.
const PIECES_PER_THREAD: usize = 8;

/// One feature of a group's lanes.
type Row = [f32; GROUP];

/// Sizes and weights, as packed.
struct Model<'a> {
    input: usize,
    hidden: usize,
    layers: usize,
    stats: usize,
    /// Width of the head in whole quads; 0 = no head.
    wide: usize,
    /// Per layer.
    cells: Vec<&'a [[f32; QUAD]]>,
    /// First layer of the head.
    first: &'a [[f32; QUAD]],
    /// Second layer of the head: biases, then a row of outputs per input.
    second: &'a [[f32; QUAD]],
}

/// What a thread needs beside the buffers of the kernel.
#[derive(Default)]
struct Scratch {
    /// x of a group, [input].
    x: Vec<Row>,
    /// stats of a group, [stats].
    stats: Vec<Row>,
    /// The head's hidden values, [wide].
    z: Vec<Row>,
    /// State of a group with lanes that are reset, before the step: [layers][h, c][hidden].
    before: Vec<Row>,
}

/// Inputs of the whole batch.
#[derive(Clone, Copy)]
struct Inputs<'a> {
    mode: &'a [[i32; GROUP]],
    x: &'a [f32],
    stats: &'a [f32],
    state: &'a [Row],
}

/// What a group writes: its state after the step, and its outputs (none without a head).
struct Output<'a> {
    after: &'a mut [Row],
    out: &'a mut [Row],
}

/// All that the arithmetic of one group touches.
struct Group<'a> {
    x: &'a [Row],
    stats: &'a [Row],
    z: &'a mut [Row],
    before: &'a [Row],
    after: &'a mut [Row],
    out: &'a mut [Row],
}

/// One launch of the kernel; arguments as in its spec, of the lengths that its extent gives for `ints`.
///
/// A lane's result depends on that lane's inputs and on the instruction set, and on nothing else. A buffer that is too
/// short is a bug of the caller and panics.
#[expect(clippy::too_many_arguments, reason = "the argument list of the kernel")]
pub fn step(
    exec: &Exec,
    ints: &[i32],
    mode: &[i32],
    x: &[f32],
    stats: &[f32],
    weights: &[f32],
    state_in: &[f32],
    state_out: &mut [f32],
    out: &mut [f32],
) {
    let model = Model::new(ints, weights);
    let (mode, state) = (mode.as_chunks().0, state_in.as_chunks().0);
    let inputs = Inputs { mode, x, stats, state };
    let groups = mode.len();
    let (state_out, out) = (state_out.as_chunks_mut::<GROUP>().0, out.as_chunks_mut::<GROUP>().0);
    let per = groups.div_ceil(exec.threads() * PIECES_PER_THREAD).max(1);
    let run = |piece: usize, state_out: &mut [Row], out: &mut [Row]| {
        dispatch!(exec.level(), simd => model.groups(simd, inputs, piece * per, state_out, out));
    };
    let states = per * model.state_rows();
    if model.wide == 0 {
        out.fill([0.0; GROUP]);
        if exec.threads() == 1 {
            return run(0, state_out, &mut []);
        }
        exec.install(|| {
            let pieces = state_out.par_chunks_mut(states).enumerate();
            pieces.for_each(|(piece, state_out)| run(piece, state_out, &mut []));
        });
    } else if exec.threads() == 1 {
        run(0, state_out, out);
    } else {
        exec.install(|| {
            let pieces = state_out.par_chunks_mut(states).zip(out.par_chunks_mut(per * OUTPUTS)).enumerate();
            pieces.for_each(|(piece, (state_out, out))| run(piece, state_out, out));
        });
    }
}

impl<'a> Model<'a> {
    fn new(ints: &[i32], weights: &'a [f32]) -> Self {
        let int = |i: usize| usize::try_from(ints[i]).unwrap_or(0);
        let (input, hidden, layers, stats, width) = (int(1), int(2), int(3), int(4), int(5));
        let wide = width.next_multiple_of(QUAD);
        let mut rest = weights.as_chunks().0;
        let mut cut = |quads: usize| {
            let (part, left) = rest.split_at(quads);
            rest = left;
            part
        };
        let cells = (0..layers)
            .map(|layer| cut(hidden * (1 + hidden + if layer == 0 { input } else { hidden })))
            .collect();
        let first = cut(wide / QUAD * if wide == 0 { 0 } else { 1 + hidden + stats });
        let second = cut(if wide == 0 { 0 } else { OUTPUTS / QUAD * (1 + wide) });
        Self { input, hidden, layers, stats, wide, cells, first, second }
    }

    /// Rows of a group's state.
    fn state_rows(&self) -> usize {
        self.layers * 2 * self.hidden
    }

    /// Groups from `first_group` on, as many as `state_out` holds.
    #[inline(always)]
    fn groups<S: Simd>(
        &self,
        simd: S,
        inputs: Inputs<'_>,
        first_group: usize,
        state_out: &mut [Row],
        out: &mut [Row],
    ) {
        let mut scratch = Scratch::default();
        let rows = self.state_rows();
        let mut out = out.chunks_exact_mut(OUTPUTS);
        for (i, after) in state_out.chunks_exact_mut(rows).enumerate() {
            let out = out.next().unwrap_or_default();
            self.group(simd, inputs, first_group + i, &mut scratch, Output { after, out });
        }
    }

    /// One group. The common case goes straight from `before` to `after`; lanes that are reset or held are put right
    /// around it.
    #[inline(always)]
    fn group<S: Simd>(&self, simd: S, inputs: Inputs<'_>, group: usize, s: &mut Scratch, to: Output<'_>) {
        let Output { after, out } = to;
        let mode = &inputs.mode[group];
        let all = |bits: i32, want: i32| mode.iter().all(|m| m & bits == want);
        let before = &inputs.state[group * self.state_rows()..][..self.state_rows()];
        let before = if all(RESET, 0) {
            before
        } else {
            s.before.clear();
            s.before.extend_from_slice(before);
            let kept = mode.map(|m| if m & RESET == 0 { u32::MAX } else { 0 });
            s.before.iter_mut().for_each(|row| clear(row, &kept));
            &s.before
        };
        if all(STEP, 0) {
            after.copy_from_slice(before);
            out.fill([0.0; GROUP]);
            return;
        }
        let groups = inputs.mode.len();
        gather(inputs.x, self.input, group, groups, &mut s.x);
        if self.wide > 0 {
            gather(inputs.stats, self.stats, group, groups, &mut s.stats);
            s.z.resize(self.wide, [0.0; GROUP]);
        }
        let mut g = Group { x: &s.x, stats: &s.stats, z: &mut s.z, before, after, out };
        // 4 x U accumulators, U inputs and a weight must fit the registers; 4 x U must cover the latency of a
        // multiply-add on every pipe.
        match S::f32s::LEN {
            16 => self.compute::<S, 4>(simd, &mut g),
            4 if cfg!(target_arch = "aarch64") => self.compute::<S, 4>(simd, &mut g),
            _ => self.compute::<S, 2>(simd, &mut g),
        }
        if !all(STEP, STEP) {
            let stepped = mode.map(|m| if m & STEP == 0 { 0 } else { u32::MAX });
            for (new, old) in g.after.iter_mut().zip(before) {
                restore(new, old, &stepped);
            }
            g.out.iter_mut().for_each(|row| clear(row, &stepped));
        }
    }

    /// Layers and head of a group whose lanes all take a step; lanes that do not are put right later.
    #[inline(always)]
    fn compute<S: Simd, const U: usize>(&self, simd: S, g: &mut Group<'_>) {
        let rows = 2 * self.hidden;
        for (layer, w) in self.cells.iter().enumerate() {
            let (below, rest) = g.after.split_at_mut(layer * rows);
            let (h, c) = rest[..rows].split_at_mut(self.hidden);
            let (h_in, c_in) = g.before[layer * rows..(layer + 1) * rows].split_at(self.hidden);
            let input = if layer == 0 { g.x } else { &below[(layer - 1) * rows..][..self.hidden] };
            for at in tiles::<S, U>() {
                cell::<S, U>(simd, at, w, [input, h_in], c_in, (h, c));
            }
        }
        if self.wide > 0 {
            let h = &g.after[(self.layers - 1) * rows..][..self.hidden];
            for at in tiles::<S, U>() {
                hidden::<S, U>(simd, at, self.first, [h, g.stats], g.z);
                quantiles::<S, U>(simd, at, self.second, g.z, g.out);
            }
        }
    }
}

/// First lanes of the tiles of a group.
#[inline(always)]
fn tiles<S: Simd, const U: usize>() -> impl Iterator<Item = usize> {
    (0..GROUP).step_by(U * S::f32s::LEN)
}

/// U vectors of four outputs: `acc += weights x rows`, in the order of the rows.
#[inline(always)]
fn accumulate<'a, S: Simd, const U: usize>(
    simd: S,
    at: usize,
    mut acc: [[S::f32s; U]; QUAD],
    weights: impl Iterator<Item = &'a [f32; QUAD]>,
    rows: &[Row],
) -> [[S::f32s; U]; QUAD] {
    for (w, row) in weights.zip(rows) {
        let v = load::<S, U>(simd, at, row);
        for j in 0..QUAD {
            for u in 0..U {
                acc[j][u] = v[u].mul_add(w[j], acc[j][u]);
            }
        }
    }
    acc
}

/// Four biases in U vectors each.
#[inline(always)]
fn start<S: Simd, const U: usize>(simd: S, bias: &[f32; QUAD]) -> [[S::f32s; U]; QUAD] {
    let mut acc = [[S::f32s::splat(simd, 0.0); U]; QUAD];
    for j in 0..QUAD {
        acc[j] = [S::f32s::splat(simd, bias[j]); U];
    }
    acc
}

#[inline(always)]
fn load<S: Simd, const U: usize>(simd: S, at: usize, row: &Row) -> [S::f32s; U] {
    let n = S::f32s::LEN;
    let mut v = [S::f32s::splat(simd, 0.0); U];
    for (u, v) in v.iter_mut().enumerate() {
        *v = S::f32s::from_slice(simd, &row[at + u * n..at + (u + 1) * n]);
    }
    v
}

#[inline(always)]
fn store<S: Simd>(v: S::f32s, at: usize, row: &mut Row) {
    v.store_slice(&mut row[at..at + S::f32s::LEN]);
}

/// All units of a layer for a tile of lanes.
#[inline(always)]
fn cell<S: Simd, const U: usize>(
    simd: S,
    at: usize,
    weights: &[[f32; QUAD]],
    inputs: [&[Row]; 2],
    c_in: &[Row],
    (h, c): (&mut [Row], &mut [Row]),
) {
    let per_unit = 1 + inputs[0].len() + inputs[1].len();
    let units = weights.chunks_exact(per_unit).zip(c_in).zip(h).zip(c);
    for (((w, c_in), h), c) in units {
        let (from_below, from_self) = w[1..].split_at(inputs[0].len());
        let acc = start::<S, U>(simd, &w[0]);
        let acc = accumulate(simd, at, acc, from_below.iter(), inputs[0]);
        let [i, f, g, o] = accumulate(simd, at, acc, from_self.iter(), inputs[1]);
        let c_in = load::<S, U>(simd, at, c_in);
        let new = next_cell(simd, [i, f, g], c_in);
        let out = gated(simd, o, new);
        for u in 0..U {
            store::<S>(new[u], at + u * S::f32s::LEN, c);
            store::<S>(out[u], at + u * S::f32s::LEN, h);
        }
    }
}

/// The head's first layer for a tile of lanes.
#[inline(always)]
fn hidden<S: Simd, const U: usize>(
    simd: S,
    at: usize,
    weights: &[[f32; QUAD]],
    inputs: [&[Row]; 2],
    z: &mut [Row],
) {
    let per_quad = 1 + inputs[0].len() + inputs[1].len();
    for (w, z) in weights.chunks_exact(per_quad).zip(z.chunks_exact_mut(QUAD)) {
        let (from_h, from_stats) = w[1..].split_at(inputs[0].len());
        let acc = start::<S, U>(simd, &w[0]);
        let acc = accumulate(simd, at, acc, from_h.iter(), inputs[0]);
        let acc = accumulate(simd, at, acc, from_stats.iter(), inputs[1]);
        for (acc, z) in acc.iter().zip(z) {
            for (u, v) in acc.iter().enumerate() {
                store::<S>(v.max(0.0), at + u * S::f32s::LEN, z);
            }
        }
    }
}

/// The head's second layer for a tile of lanes, and its outputs put in order: q1 is the median, q0 one softplus below,
/// q2 to q4 a running sum of softplus above.
#[inline(always)]
fn quantiles<S: Simd, const U: usize>(
    simd: S,
    at: usize,
    weights: &[[f32; QUAD]],
    z: &[Row],
    out: &mut [Row],
) {
    const QUADS: usize = OUTPUTS / QUAD;
    for quad in 0..QUADS {
        let acc = start::<S, U>(simd, &weights[quad]);
        let acc = accumulate(simd, at, acc, weights[QUADS + quad..].iter().step_by(QUADS), z);
        for (acc, out) in acc.iter().zip(&mut out[quad * QUAD..]) {
            for (u, v) in acc.iter().enumerate() {
                store::<S>(*v, at + u * S::f32s::LEN, out);
            }
        }
    }
    for q in out.chunks_exact_mut(LEVELS) {
        for u in 0..U {
            let at = at + u * S::f32s::LEN;
            let raw = |level: usize| S::f32s::from_slice(simd, &q[level][at..at + S::f32s::LEN]);
            let median = raw(1);
            let mut soft = [median; LEVELS];
            for level in [0, 2, 3, 4] {
                soft[level] = softplus(simd, raw(level));
            }
            store::<S>(median - soft[0], at, &mut q[0]);
            let mut above = median;
            for level in 2..LEVELS {
                above += soft[level];
                store::<S>(above, at, &mut q[level]);
            }
        }
    }
}

/// The group's part of a feature-major array as rows.
fn gather(from: &[f32], features: usize, group: usize, groups: usize, to: &mut Vec<Row>) {
    let rows = from.as_chunks().0;
    to.clear();
    to.extend((0..features).map(|k| rows[k * groups + group]));
}

/// Values of lanes whose mask is 0 become 0.
fn clear(row: &mut Row, mask: &[u32; GROUP]) {
    for (v, m) in row.iter_mut().zip(mask) {
        *v = f32::from_bits(v.to_bits() & m);
    }
}

/// Values of lanes whose mask is 0 become the old ones, bit for bit.
fn restore(new: &mut Row, old: &Row, mask: &[u32; GROUP]) {
    for ((new, old), m) in new.iter_mut().zip(old).zip(mask) {
        *new = f32::from_bits(new.to_bits() & m | old.to_bits() & !m);
    }
}
