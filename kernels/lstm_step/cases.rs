//! Large cases from a seed, and the check of a device's answer to one. Every parity test uses these.

use super::abi::{Cell, GATES, Head, LEVELS, TARGETS, Weights, WeightsError};
use super::reference::{State, step};
use super::{RESET, STEP, Tolerance, ints, pack, tolerance};
use crate::spec::{GROUP, blocked, padded};

/// Sizes of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Values of x per lane.
    pub input: usize,
    /// Units of a layer.
    pub hidden: usize,
    /// 1 or 2.
    pub layers: usize,
    /// Statistics per lane; 0 without a head.
    pub stats: usize,
    /// Width of the head; 0 = none.
    pub width: usize,
}

/// Inputs of one launch, as the device gets them.
#[derive(Debug, Clone)]
pub struct Case {
    /// The checked weight set.
    pub weights: Weights,
    /// Lanes that mean something; the rest of the last group is padding.
    pub lanes: usize,
    /// The kernel's i32 scalars.
    pub ints: [i32; 6],
    /// [padded lanes]
    pub mode: Vec<i32>,
    /// [input][padded lanes]
    pub x: Vec<f32>,
    /// [stats][padded lanes]; one group's worth of words without a head.
    pub stats: Vec<f32>,
    /// As packed.
    pub packed: Vec<f32>,
    /// [groups][layers][h, c][hidden][64]
    pub state_in: Vec<f32>,
}

/// Largest share of the tolerance that was used.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Worst {
    /// By h and c.
    pub state: f64,
    /// By the quantiles.
    pub out: f64,
}

/// Reproducible numbers in [-1, 1).
#[derive(Debug)]
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32) / (1u64 << 23) as f32 - 1.0
    }

    fn vec(&mut self, n: usize, scale: f32) -> Vec<f32> {
        (0..n).map(|_| self.next() * scale).collect()
    }
}

/// Weights about as large as trained ones: rows that sum to a few units whatever the width.
fn weights(noise: &mut Noise, s: Shape) -> Result<Weights, WeightsError> {
    let scale = (6.0 / (s.hidden as f32).sqrt()).min(0.6);
    let rows = GATES * s.hidden;
    let layers = (0..s.layers).map(|layer| {
        let input = if layer == 0 { s.input } else { s.hidden };
        Cell {
            input,
            hidden: s.hidden,
            w_ih: noise.vec(rows * input, 0.6),
            w_hh: noise.vec(rows * s.hidden, scale / 2.0),
            b_ih: noise.vec(rows, 0.5),
            b_hh: noise.vec(rows, 0.5),
        }
    });
    let layers = layers.collect();
    let head = (s.width > 0).then(|| Head {
        stats: s.stats,
        width: s.width,
        w1: noise.vec(s.width * (s.hidden + s.stats), 0.4),
        b1: noise.vec(s.width, 0.3),
        w2: noise.vec(TARGETS * LEVELS * s.width, 0.4),
        b2: noise.vec(TARGETS * LEVELS, 0.3),
    });
    Weights::new(layers, head)
}

/// A launch of `lanes` lanes: most take a step, every 7th is held, every 11th is reset, so some are both; every 13th has
/// inputs that saturate its gates, and held lanes have NaN in x and stats.
///
/// # Errors
/// A size out of its limits.
pub fn case(seed: u64, lanes: usize, shape: Shape) -> Result<Case, WeightsError> {
    let mut noise = Noise(seed);
    let weights = weights(&mut noise, shape)?;
    let all = padded(lanes);
    let mode: Vec<i32> = (0..all)
        .map(|lane| {
            let step = if lane >= lanes || lane % 7 == 3 { 0 } else { STEP };
            let reset = if lane < lanes && lane % 11 == 5 { RESET } else { 0 };
            step | reset
        })
        .collect();
    let mut column = |features: usize, scale: f32, saturated: f32| -> Vec<f32> {
        let value = |i: usize| {
            let (lane, v) = (i % all, noise.next());
            match () {
                () if lane >= lanes => 0.0,
                () if mode[lane] & STEP == 0 => f32::NAN,
                () if lane % 13 == 2 => saturated.copysign(v),
                () => v * scale,
            }
        };
        (0..features * all).map(value).collect()
    };
    let x = column(shape.input, 3.0, 1.0e4);
    let stats = if shape.width == 0 { vec![f32::NAN; GROUP] } else { column(shape.stats.max(1), 5.0, 8.0) };
    let mut state_in = vec![0.0; all * shape.layers * 2 * shape.hidden];
    for (row, values) in state_in.chunks_exact_mut(GROUP).enumerate() {
        let of_c = row / shape.hidden % 2 == 1;
        values.fill_with(|| noise.next() * if of_c { 2.0 } else { 1.0 });
    }
    Ok(Case { ints: ints(&weights, all), packed: pack(&weights), weights, lanes, mode, x, stats, state_in })
}

impl Case {
    /// Words of `state_out`.
    pub fn state_words(&self) -> usize {
        self.state_in.len()
    }

    /// Words of `out`.
    pub fn out_words(&self) -> usize {
        if self.weights.head().is_none() { GROUP } else { self.mode.len() * TARGETS * LEVELS }
    }

    /// Holds a device's answer to the definition: every `stride`-th lane that takes a step within the tolerance of its own
    /// inputs, every other lane bit for bit.
    ///
    /// # Errors
    /// The first value that is off: lane, what, got, wanted.
    pub fn check(&self, state_out: &[f32], out: &[f32], stride: usize) -> Result<Worst, String> {
        if state_out.len() != self.state_words() || out.len() != self.out_words() {
            return Err(format!("{} words of state and {} of output", state_out.len(), out.len()));
        }
        let mut worst = Worst::default();
        for lane in 0..self.mode.len() {
            if self.mode[lane] & STEP == 0 {
                self.check_held(lane, state_out, out)?;
            } else if lane.is_multiple_of(stride.max(1)) {
                self.check_stepped(lane, state_out, out, &mut worst)?;
            }
        }
        Ok(worst)
    }

    /// Number of h and c values per lane.
    fn values(&self) -> usize {
        let dims = self.weights.dims();
        dims.layers * 2 * dims.hidden
    }

    fn check_held(&self, lane: usize, state_out: &[f32], out: &[f32]) -> Result<(), String> {
        let values = self.values();
        for v in 0..values {
            let at = blocked(lane, v, values);
            let want = if self.mode[lane] & RESET == 0 { self.state_in[at] } else { 0.0 };
            if state_out[at].to_bits() != want.to_bits() {
                return Err(format!("held lane {lane}: state {v} is {}, was {want}", state_out[at]));
            }
        }
        for v in 0..self.weights.outputs() {
            let got = out[blocked(lane, v, self.weights.outputs())];
            if got.to_bits() != 0 {
                return Err(format!("held lane {lane}: output {v} is {got}, must be 0"));
            }
        }
        Ok(())
    }

    fn check_stepped(
        &self,
        lane: usize,
        state_out: &[f32],
        out: &[f32],
        worst: &mut Worst,
    ) -> Result<(), String> {
        let (q, state, bound) = self.expected(lane);
        let values = self.values();
        for (v, want) in state.iter().enumerate() {
            let got = state_out[blocked(lane, v, values)];
            let allowed = if (v / self.weights.dims().hidden).is_multiple_of(2) { bound.h } else { bound.c };
            near(&mut worst.state, got, *want, allowed)
                .map_err(|e| format!("lane {lane}: state {v} is {e}"))?;
        }
        for (v, want) in q.iter().enumerate() {
            let got = out[blocked(lane, v, q.len())];
            near(&mut worst.out, got, *want, bound.q)
                .map_err(|e| format!("lane {lane}: output {v} is {e}"))?;
        }
        Ok(())
    }

    /// Outputs, state in the order of the layout, and the bound, for a lane that takes a step.
    fn expected(&self, lane: usize) -> (Vec<f64>, Vec<f64>, Tolerance) {
        let (all, dims, values) = (self.mode.len(), self.weights.dims(), self.values());
        let column = |from: &[f32], n: usize| -> Vec<f64> {
            (0..n).map(|k| f64::from(from[k * all + lane])).collect()
        };
        let (x, stats) = (column(&self.x, dims.input), column(&self.stats, self.weights.stats()));
        let mut state = State::zero(dims);
        if self.mode[lane] & RESET == 0 {
            for v in 0..values {
                let (layer, unit) = (v / dims.hidden / 2, v % dims.hidden);
                let part = if v / dims.hidden % 2 == 0 { &mut state.h } else { &mut state.c };
                part[layer * dims.hidden + unit] = f64::from(self.state_in[blocked(lane, v, values)]);
            }
        }
        let most = |v: &[f64]| v.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let bound = tolerance(&self.weights, most(&x), most(&stats), most(&state.c));
        let q = step(&self.weights, &mut state, &x, &stats).map_or(Vec::new(), |q| q.concat());
        let layers = state.h.chunks(dims.hidden).zip(state.c.chunks(dims.hidden));
        (q, layers.flat_map(|(h, c)| [h, c].concat()).collect(), bound)
    }
}

fn near(worst: &mut f64, got: f32, want: f64, allowed: f64) -> Result<(), String> {
    let off = (f64::from(got) - want).abs();
    *worst = worst.max(off / allowed);
    if off <= allowed {
        Ok(())
    } else {
        Err(format!("{got}, must be {want}: off by {off:e}, allowed {allowed:e}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KernelId;

    const SHAPES: [Shape; 4] = [
        Shape { input: 8, hidden: 32, layers: 1, stats: 0, width: 0 },
        Shape { input: 6, hidden: 32, layers: 1, stats: 48, width: 64 },
        Shape { input: 3, hidden: 5, layers: 2, stats: 2, width: 7 },
        Shape { input: 64, hidden: 128, layers: 2, stats: 1, width: 3 },
    ];

    #[test]
    fn buffers_are_as_long_as_the_kernel_says() {
        for shape in SHAPES {
            for lanes in [0, 1, 63, 64, 65] {
                let c = case(1, lanes, shape).unwrap();
                let extent = (KernelId::LstmStep.spec().extent)(&c.ints).unwrap();
                let have = [
                    c.mode.len(),
                    c.x.len(),
                    c.stats.len(),
                    c.packed.len(),
                    c.state_words(),
                    c.state_words(),
                ];
                assert_eq!(extent.words[..6], have, "{shape:?} {lanes}");
                assert_eq!(extent.words[6], c.out_words(), "{shape:?} {lanes}");
            }
        }
    }

    #[test]
    fn a_size_that_a_device_cannot_count_is_refused() {
        let extent = KernelId::LstmStep.spec().extent;
        assert!(extent(&[1 << 23, 8, 32, 2, 48, 64]).is_ok());
        for ints in [[1 << 22, 8, 128, 2, 1, 4], [1 << 23, 8, 16, 1, 256, 4], [1 << 24, 8, 64, 1, 0, 0]] {
            assert_eq!(extent(&ints).unwrap_err().name, "lanes", "{ints:?}");
        }
    }

    #[test]
    fn a_packed_unit_holds_its_biases_then_a_quad_per_input() {
        let c = case(4, 1, SHAPES[2]).unwrap();
        let (cell, top) = (&c.weights.layers()[0], &c.weights.layers()[1]);
        let (input, hidden, unit) = (3, 5, 2);
        let quads: Vec<&[f32]> = c.packed.chunks(4).collect();
        let at = unit * (1 + input + hidden);
        #[allow(clippy::needless_range_loop, reason = "the gate names a row of several arrays")]
        for gate in 0..GATES {
            let row = gate * hidden + unit;
            assert_eq!(quads[at][gate], cell.b_ih[row] + cell.b_hh[row]);
            assert_eq!(quads[at + 1 + 2][gate], cell.w_ih[row * input + 2]);
            assert_eq!(quads[at + 1 + input + 4][gate], cell.w_hh[row * hidden + 4]);
            let second = hidden * (1 + input + hidden) + unit * (1 + 2 * hidden);
            assert_eq!(quads[second + 1 + hidden + 1][gate], top.w_hh[row * hidden + 1]);
        }
        let head = c.weights.head().unwrap();
        let first = hidden * (1 + input + hidden) + hidden * (1 + 2 * hidden);
        assert_eq!(
            quads[first + (1 + hidden + 2) + 1 + hidden + 1][2],
            head.w1[6 * (hidden + 2) + hidden + 1]
        );
        assert_eq!(
            quads[first + (1 + hidden + 2)][3],
            0.0,
            "the eighth output of a head of seven is padding"
        );
    }

    #[test]
    fn the_check_sees_one_wrong_value() {
        let c = case(9, 70, SHAPES[1]).unwrap();
        let (values, outputs) = (c.values(), c.weights.outputs());
        let (mut state, mut out) = (c.state_in.clone(), vec![0.0; c.out_words()]);
        for lane in 0..c.mode.len() {
            if c.mode[lane] & STEP == 0 {
                let reset = c.mode[lane] & RESET != 0;
                (0..values).filter(|_| reset).for_each(|v| state[blocked(lane, v, values)] = 0.0);
                continue;
            }
            let (q, s, _) = c.expected(lane);
            s.iter().enumerate().for_each(|(v, s)| state[blocked(lane, v, values)] = *s as f32);
            q.iter().enumerate().for_each(|(v, q)| out[blocked(lane, v, outputs)] = *q as f32);
        }
        assert!(c.check(&state, &out, 1).is_ok());
        for (lane, v) in [(0, 0), (3, 1), (69, values - 1)] {
            let mut wrong = state.clone();
            wrong[blocked(lane, v, values)] += 0.01;
            assert!(c.check(&wrong, &out, 1).is_err(), "lane {lane} value {v}");
        }
        for lane in [3, 64] {
            let mut wrong = out.clone();
            wrong[blocked(lane, 19, outputs)] = f32::NAN;
            assert!(c.check(&state, &wrong, 1).is_err(), "lane {lane}");
        }
    }
}
