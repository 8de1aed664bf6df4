//! The LSTM step on the CPU, laid out so that the inner loops run over units and become vector code.
//!
//! Weights are transposed and padded: value `k` of the input meets [`LANES`] neighbouring outputs at a time, and
//! [`BLOCK`] series share each load of a weight. Padded units have zero weights, so they stay at h = c = 0.

use foreshade_kernels::lstm_step::{GATES, LEVELS, TARGETS, Weights};

use crate::math::{sigmoid, softplus, tanh};

/// Outputs per inner loop: two SSE registers, one AVX register.
const LANES: usize = 8;
/// Series that share a load of a weight: 4 x 2 accumulators are half of the 16 SSE registers.
const BLOCK: usize = 4;
/// Series per thread below which a thread costs more than it saves (a start is about 30 us, a step below 2).
const ROWS_PER_THREAD: usize = 512;
/// Outputs of the head, padded to whole [`LANES`].
const OUT_PADDED: usize = (TARGETS * LEVELS).next_multiple_of(LANES);

/// A linear layer, transposed: `w[(tile * inputs + k) * LANES + lane]`, `tile * LANES + lane` = output.
#[derive(Debug, Clone)]
struct Linear {
    inputs: usize,
    w: Vec<f32>,
    b: Vec<f32>,
}

impl Linear {
    /// `get(output, input)` and `bias(output)` are asked for every padded place and give 0 for padding.
    fn new(
        outputs: usize,
        inputs: usize,
        get: impl Fn(usize, usize) -> f32,
        bias: impl Fn(usize) -> f32,
    ) -> Self {
        let padded = outputs.next_multiple_of(LANES);
        let mut w = Vec::with_capacity(padded * inputs);
        for tile in 0..padded / LANES {
            for k in 0..inputs {
                w.extend((0..LANES).map(|lane| get(tile * LANES + lane, k)));
            }
        }
        Self { inputs, w, b: (0..padded).map(bias).collect() }
    }

    /// y[series] = b + W v[series] for `B` series, `v` [inputs][B]. The sum over the inputs runs in one order for every
    /// series and any `B`.
    #[inline(always)]
    fn apply<const B: usize>(&self, v: &[f32], y: &mut [f32], stride: usize) {
        let (v, _) = v[..self.inputs * B].as_chunks::<B>();
        for (tile, w) in self.w.chunks_exact(self.inputs * LANES).enumerate() {
            let first = tile * LANES;
            let mut acc = [[0.0f32; LANES]; B];
            for acc in &mut acc {
                acc.copy_from_slice(&self.b[first..first + LANES]);
            }
            for (w, x) in w.as_chunks::<LANES>().0.iter().zip(v) {
                for b in 0..B {
                    for lane in 0..LANES {
                        acc[b][lane] += x[b] * w[lane];
                    }
                }
            }
            for (series, acc) in acc.iter().enumerate() {
                y[series * stride + first..series * stride + first + LANES].copy_from_slice(acc);
            }
        }
    }
}

/// A weight set, packed for this back end.
#[derive(Debug, Clone)]
pub struct LstmCpu {
    input: usize,
    hidden: usize,
    padded: usize,
    stats: usize,
    /// [4 padded] outputs, inputs [x | h padded].
    gates: Linear,
    /// Layers of the head: inputs [h padded | stats], then [width padded].
    head: Option<(Linear, Linear)>,
}

/// The recurrent state of many series, [lane][padded hidden].
#[derive(Debug, Clone)]
pub struct LstmCpuState {
    padded: usize,
    h: Vec<f32>,
    c: Vec<f32>,
}

/// Buffers for one block of series, kept over the loop.
struct Scratch {
    v: Vec<f32>,
    gates: Vec<f32>,
    hidden: Vec<f32>,
    out: Vec<f32>,
}

/// One thread's share of a step; all slices have `rows` rows.
struct Share<'a> {
    x: &'a [f32],
    stats: &'a [f32],
    h: &'a mut [f32],
    c: &'a mut [f32],
    out: &'a mut [f32],
}

impl LstmCpu {
    /// Packs a weight set of one layer.
    pub fn new(w: &Weights) -> Self {
        let cell = &w.layers()[0];
        let (input, hidden) = (cell.input, cell.hidden);
        let padded = hidden.next_multiple_of(LANES);
        // Padded output `p` of a gate row -> PyTorch's row, if it is a real unit.
        let row = |p: usize| (p % padded < hidden).then(|| p / padded * hidden + p % padded);
        let gates = Linear::new(
            GATES * padded,
            input + padded,
            |p, k| match row(p) {
                Some(row) if k < input => cell.w_ih[row * input + k],
                Some(row) if k - input < hidden => cell.w_hh[row * hidden + k - input],
                _ => 0.0,
            },
            |p| row(p).map_or(0.0, |row| cell.b_ih[row] + cell.b_hh[row]),
        );
        let head = w.head().map(|head| {
            let inputs = hidden + head.stats;
            let column = |k: usize| match k {
                k if k < hidden => Some(k),
                k if k < padded => None,
                k => Some(k - padded + hidden),
            };
            let first = Linear::new(
                head.width,
                padded + head.stats,
                |j, k| match column(k) {
                    Some(k) if j < head.width => head.w1[j * inputs + k],
                    _ => 0.0,
                },
                |j| head.b1.get(j).copied().unwrap_or(0.0),
            );
            let second = Linear::new(
                TARGETS * LEVELS,
                head.width,
                |j, k| if j < TARGETS * LEVELS { head.w2[j * head.width + k] } else { 0.0 },
                |j| head.b2.get(j).copied().unwrap_or(0.0),
            );
            (first, second)
        });
        Self { input, hidden, padded, stats: w.stats(), gates, head }
    }

    /// State of `lanes` series before their first tick.
    pub fn zero_state(&self, lanes: usize) -> LstmCpuState {
        let n = lanes * self.padded;
        LstmCpuState { padded: self.padded, h: vec![0.0; n], c: vec![0.0; n] }
    }

    /// One tick for the series in `lanes` (each at most once, any order); row i of `x` [rows][input], `stats`
    /// [rows][stats] and `out` [rows][targets * levels] belongs to `lanes[i]`. `threads` changes the time only.
    ///
    /// The caller has checked lengths and lanes; a wrong one is a bug of the caller and panics.
    pub fn step(
        &self,
        state: &mut LstmCpuState,
        lanes: &[u32],
        x: &[f32],
        stats: &[f32],
        out: &mut [f32],
        threads: usize,
    ) {
        let rows = lanes.len();
        let p = self.padded;
        let mut h = Vec::with_capacity(rows * p);
        let mut c = Vec::with_capacity(rows * p);
        for &lane in lanes {
            let at = lane as usize * p;
            h.extend_from_slice(&state.h[at..at + p]);
            c.extend_from_slice(&state.c[at..at + p]);
        }
        let threads = threads.min(rows.div_ceil(ROWS_PER_THREAD)).max(1);
        let outputs = if self.head.is_some() { TARGETS * LEVELS } else { 0 };
        let per = rows.div_ceil(threads).max(1);
        let all = Share { x, stats, h: &mut h, c: &mut c, out };
        let shares = split(all, rows, per, [self.input, self.stats, p, outputs]);
        if threads == 1 {
            for (n, share) in shares {
                self.share(n, share);
            }
        } else {
            std::thread::scope(|scope| {
                for (n, share) in shares {
                    scope.spawn(move || self.share(n, share));
                }
            });
        }
        for (i, &lane) in lanes.iter().enumerate() {
            let at = lane as usize * p;
            state.h[at..at + p].copy_from_slice(&h[i * p..(i + 1) * p]);
            state.c[at..at + p].copy_from_slice(&c[i * p..(i + 1) * p]);
        }
    }

    fn share(&self, rows: usize, mut s: Share<'_>) {
        let width = self.head.as_ref().map_or(0, |(first, _)| first.b.len());
        let mut scratch = Scratch {
            v: vec![0.0; BLOCK * (self.padded + self.input.max(self.stats)).max(width)],
            gates: vec![0.0; BLOCK * GATES * self.padded],
            hidden: vec![0.0; BLOCK * width],
            out: vec![0.0; BLOCK * OUT_PADDED],
        };
        let mut row = 0;
        while row + BLOCK <= rows {
            self.block::<BLOCK>(row, &mut s, &mut scratch);
            row += BLOCK;
        }
        for row in row..rows {
            self.block::<1>(row, &mut s, &mut scratch);
        }
    }

    fn block<const B: usize>(&self, row: usize, s: &mut Share<'_>, scratch: &mut Scratch) {
        let p = self.padded;
        interleave::<B>(&s.x[row * self.input..], self.input, &mut scratch.v);
        interleave::<B>(&s.h[row * p..], p, &mut scratch.v[self.input * B..]);
        self.gates.apply::<B>(&scratch.v, &mut scratch.gates, GATES * p);
        for b in 0..B {
            let at = (row + b) * p;
            let gates = &scratch.gates[b * GATES * p..(b + 1) * GATES * p];
            cell(gates, &mut s.h[at..at + p], &mut s.c[at..at + p]);
        }
        let Some((first, second)) = &self.head else { return };
        interleave::<B>(&s.h[row * p..], p, &mut scratch.v);
        interleave::<B>(&s.stats[row * self.stats..], self.stats, &mut scratch.v[p * B..]);
        let wide = first.b.len();
        first.apply::<B>(&scratch.v, &mut scratch.hidden, wide);
        for z in &mut scratch.hidden {
            *z = z.max(0.0);
        }
        interleave::<B>(&scratch.hidden, wide, &mut scratch.v);
        second.apply::<B>(&scratch.v, &mut scratch.out, OUT_PADDED);
        for b in 0..B {
            let raw = &scratch.out[b * OUT_PADDED..(b + 1) * OUT_PADDED];
            let n = TARGETS * LEVELS;
            quantiles(raw, &mut s.out[(row + b) * n..(row + b + 1) * n]);
        }
    }
}

impl LstmCpuState {
    /// Series it has room for.
    pub fn lanes(&self) -> usize {
        self.h.len() / self.padded
    }

    /// Adds zero lanes, or drops the last ones.
    pub fn resize(&mut self, lanes: usize) {
        self.h.resize(lanes * self.padded, 0.0);
        self.c.resize(lanes * self.padded, 0.0);
    }

    /// Puts a lane back before its first tick.
    pub fn reset(&mut self, lane: usize) {
        let at = lane * self.padded;
        self.h[at..at + self.padded].fill(0.0);
        self.c[at..at + self.padded].fill(0.0);
    }

    /// h and c without padding, [lane][hidden] each.
    pub fn export(&self, model: &LstmCpu) -> (Vec<f32>, Vec<f32>) {
        let plain =
            |v: &[f32]| v.chunks_exact(self.padded).flat_map(|l| &l[..model.hidden]).copied().collect();
        (plain(&self.h), plain(&self.c))
    }

    /// The state of [`Self::export`]; both slices hold a whole number of lanes, equally many.
    pub fn import(model: &LstmCpu, h: &[f32], c: &[f32]) -> Self {
        let mut state = model.zero_state(h.len() / model.hidden);
        for (to, from) in [(&mut state.h, h), (&mut state.c, c)] {
            for (to, from) in to.chunks_exact_mut(model.padded).zip(from.chunks_exact(model.hidden)) {
                to[..model.hidden].copy_from_slice(from);
            }
        }
        state
    }
}

/// The first `B` rows of `from` [rows][width] -> `to` [width][B], so that one input of all series is one load.
fn interleave<const B: usize>(from: &[f32], width: usize, to: &mut [f32]) {
    let (to, _) = to[..width * B].as_chunks_mut::<B>();
    for b in 0..B {
        for (to, from) in to.iter_mut().zip(&from[b * width..(b + 1) * width]) {
            to[b] = *from;
        }
    }
}

/// Cuts a step into shares of at most `per` rows; `widths` = values per row of x, stats, state, out.
fn split(all: Share<'_>, rows: usize, per: usize, widths: [usize; 4]) -> Vec<(usize, Share<'_>)> {
    let [wx, ws, wh, wo] = widths;
    let mut shares = Vec::new();
    let (mut rest, mut left) = (all, rows);
    while left > 0 {
        let n = per.min(left);
        let (x, x2) = rest.x.split_at(n * wx);
        let (stats, stats2) = rest.stats.split_at(n * ws);
        let (h, h2) = rest.h.split_at_mut(n * wh);
        let (c, c2) = rest.c.split_at_mut(n * wh);
        let (out, out2) = rest.out.split_at_mut(n * wo);
        shares.push((n, Share { x, stats, h, c, out }));
        rest = Share { x: x2, stats: stats2, h: h2, c: c2, out: out2 };
        left -= n;
    }
    shares
}

/// Gates before their non-linearity, [4][padded] -> new h and c.
fn cell(gates: &[f32], h: &mut [f32], c: &mut [f32]) {
    let p = h.len();
    let (i, rest) = gates.split_at(p);
    let (f, rest) = rest.split_at(p);
    let (g, o) = rest.split_at(p);
    for u in 0..p {
        c[u] = sigmoid(f[u]) * c[u] + sigmoid(i[u]) * tanh(g[u]);
        h[u] = sigmoid(o[u]) * tanh(c[u]);
    }
}

/// Outputs [target][level] -> quantiles that cannot cross.
fn quantiles(raw: &[f32], out: &mut [f32]) {
    let mut soft = [0.0f32; OUT_PADDED];
    for (s, &r) in soft.iter_mut().zip(raw) {
        *s = softplus(r);
    }
    for ((q, o), s) in out.chunks_exact_mut(LEVELS).zip(raw.chunks(LEVELS)).zip(soft.chunks(LEVELS)) {
        q[0] = o[1] - s[0];
        q[1] = o[1];
        for level in 2..LEVELS {
            q[level] = q[level - 1] + s[level];
        }
    }
}
