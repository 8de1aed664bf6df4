//! The gradient written out by hand is that of finite differences and that of PyTorch, and so are the steps it leads to.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use foreshade_train::loss::Ahead;
use foreshade_train::net::{OUTPUTS, Shape};
use foreshade_train::optim::{Adam, OneCycle, clip};
use foreshade_train::pass::{Inputs, State, Tape};
use foreshade_train::real::Real;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};
use safetensors::SafeTensors;

/// Everything a run of ticks needs, [tick][stream][...].
struct Case<T> {
    shape: Shape,
    streams: usize,
    x: Vec<T>,
    stats: Vec<T>,
    y: Vec<T>,
    last: Vec<T>,
    scale: Vec<T>,
    weight: Vec<T>,
}

impl<T: Real> Case<T> {
    fn rows(&self) -> usize {
        self.last.len()
    }

    fn share(&self) -> f64 {
        1.0 / (self.rows() * OUTPUTS) as f64
    }

    /// Loss and gradient from a state, which moves on.
    fn run(&self, params: &[T], state: &mut State<T>) -> (f64, Vec<T>) {
        let inputs = Inputs { x: &self.x, stats: &self.stats };
        let ahead = Ahead { y: &self.y, last: &self.last, scale: &self.scale, weight: &self.weight };
        let (mut tape, mut grads) = (Tape::default(), vec![T::default(); params.len()]);
        tape.forward(self.shape, params, inputs, state);
        let loss = tape.loss(ahead, self.share()).sum * self.share();
        tape.backward(self.shape, params, inputs, &mut grads);
        (loss, grads)
    }
}

/// Central differences in f64: the error of h = 1e-6 is some 1e-10, and no kink of relu or pinball lies within h of a value
/// drawn with this seed.
#[test]
fn every_gradient_is_that_of_finite_differences() {
    let mut rng = Pcg64::seed_from_u64(7);
    let mut draw = |n: usize, by: f64, plus: f64| -> Vec<f64> {
        (0..n).map(|_| ((rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64 - 0.5) * by + plus).collect()
    };
    let shape = Shape { input: 3, hidden: 4, stats: 2, width: 5 };
    let (streams, ticks) = (3, 6);
    let rows = streams * ticks;
    let case = Case {
        shape,
        streams,
        x: draw(rows * 3, 4.0, 0.0),
        stats: draw(rows * 2, 4.0, 0.0),
        y: draw(rows * 4, 40.0, 30.0),
        last: draw(rows, 20.0, 30.0),
        scale: draw(rows, 4.0, 3.0),
        weight: draw(rows, 1.0, 0.5),
    };
    let mut params = draw(shape.values(), 1.6, 0.0);
    let start = State { h: draw(streams * 4, 1.0, 0.0), c: draw(streams * 4, 2.0, 0.0) };
    let (loss, grads) = case.run(&params, &mut start.clone());
    assert!(
        loss > 0.1 && grads.iter().filter(|g| g.abs() > 1e-6).count() > shape.values() * 3 / 4,
        "too easy"
    );
    for i in 0..params.len() {
        let h = 1e-6;
        let mut at = |by: f64| {
            let kept = params[i];
            params[i] = kept + by;
            let loss = case.run(&params, &mut start.clone()).0;
            params[i] = kept;
            loss
        };
        let want = (at(h) - at(-h)) / (2.0 * h);
        assert!((grads[i] - want).abs() <= 1e-7 * want.abs().max(1.0), "value {i}: {}, {want}", grads[i]);
    }
}

fn fixture() -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/torch/steps.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let values = |d: &[u8]| d.chunks_exact(4).map(|w| f32::from_le_bytes(w.try_into().unwrap())).collect();
    file.tensors().into_iter().map(|(n, v)| (n, (v.shape().to_vec(), values(v.data())))).collect()
}

/// The tensors under a prefix as one vector, in the order of [`Shape::tensors`].
fn flat(t: &BTreeMap<String, (Vec<usize>, Vec<f32>)>, shape: Shape, prefix: &str) -> Vec<f32> {
    shape.tensors().iter().flat_map(|(name, ..)| t[&format!("{prefix}.{name}")].1.clone()).collect()
}

/// [stream][tick][..] -> [tick][stream][..] of some ticks.
fn time_first(t: &(Vec<usize>, Vec<f32>), ticks: std::ops::Range<usize>) -> Vec<f32> {
    let (streams, all) = (t.0[0], t.0[1]);
    let width: usize = t.0[2..].iter().product();
    let at = |tick: usize, s: usize| (s * all + tick) * width..(s * all + tick + 1) * width;
    ticks.flat_map(|tick| (0..streams).flat_map(move |s| at(tick, s))).map(|i| t.1[i]).collect()
}

fn near(got: &[f32], want: &[f32], relative: f32, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(0.0f32, |m, w| m.max(w.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= relative * largest, "{what}[{i}]: {g}, PyTorch {w}");
    }
}

/// Two chunks of ticks with the state carried on: losses, gradients, their length, and the weights after clipping, one step
/// of Adam each and the rate of the cycle. f32 sums of some 20 to 200 terms of both signs: 1e-5 of the largest.
#[test]
fn losses_gradients_and_steps_are_those_of_pytorch() {
    let t = fixture();
    let shape = Shape {
        input: t["x"].0[2],
        hidden: t["start.lstm.weight_hh_l0"].0[1],
        stats: t["stats"].0[2],
        width: t["start.head.0.bias"].0[0],
    };
    let streams = t["x"].0[0];
    let mut params = flat(&t, shape, "start");
    let mut state = State::zero(shape, streams);
    let mut adam = Adam::new(params.len());
    for (n, ticks) in [0..5, 5..9].into_iter().enumerate() {
        let get = |name: &str| time_first(&t[name], ticks.clone());
        let case = Case {
            shape,
            streams,
            x: get("x"),
            stats: get("stats"),
            y: get("y"),
            last: get("last"),
            scale: get("scale"),
            weight: get("weight"),
        };
        assert_eq!(case.rows(), case.streams * ticks.len());
        let (loss, mut grads) = case.run(&params, &mut state);
        near(&[loss as f32], &t[&format!("loss.{n}")].1, 1e-5, "loss");
        near(&grads, &flat(&t, shape, &format!("grad.{n}")), 1e-5, &format!("gradient {n}"));
        let norm = clip(&mut grads);
        assert!(norm > 1.0, "nothing to shorten");
        near(&[norm as f32], &t[&format!("norm.{n}")].1, 1e-5, "length");
        let (rate, beta1) = OneCycle { rate: 4e-3, steps: 40 }.at(adam.steps);
        let before = params.clone();
        adam.step(&mut params, &grads, rate, beta1);
        let after = flat(&t, shape, &format!("after.{n}"));
        assert!(before != params);
        // A step is at most the rate, 1.6e-4: compared as moves, not as weights.
        let moved = |to: &[f32]| to.iter().zip(&before).map(|(a, b)| a - b).collect::<Vec<_>>();
        near(&moved(&params), &moved(&after), 2e-3, &format!("step {n}"));
    }
}

#[test]
fn the_rate_goes_through_the_cycle_of_pytorch() {
    let t = fixture();
    let cycle = OneCycle { rate: 4e-3, steps: 40 };
    for (step, want) in t["rates"].1.chunks(2).enumerate() {
        let (rate, beta1) = cycle.at(step as u64);
        assert!(
            (rate as f32 - want[0]).abs() <= 1e-6 * 4e-3,
            "step {step}: rate {rate}, PyTorch {}",
            want[0]
        );
        assert!((beta1 as f32 - want[1]).abs() <= 1e-6, "step {step}: decay {beta1}, PyTorch {}", want[1]);
    }
    for steps in 1..9 {
        let rates = (0..steps + 3).map(|s| OneCycle { rate: 1.0, steps }.at(s).0);
        assert!(rates.into_iter().all(|r| (0.0..=1.0).contains(&r)), "a short cycle of {steps}");
    }
}

#[test]
fn a_row_of_weight_0_does_not_count_whatever_it_holds() {
    let t = fixture();
    let shape = Shape { input: 3, hidden: 5, stats: 4, width: 6 };
    let params = flat(&t, shape, "start");
    let case = |y: f32| {
        let get = |name: &str| time_first(&t[name], 0..5);
        let mut case = Case {
            shape,
            streams: 3,
            x: get("x"),
            stats: get("stats"),
            y: get("y"),
            last: get("last"),
            scale: get("scale"),
            weight: get("weight"),
        };
        let gap = case.weight.iter().position(|w| *w == 0.0).unwrap();
        case.y[gap * 4] = y;
        case.run(&params, &mut State::zero(shape, 3))
    };
    assert_eq!(case(1.0), case(1e6));
}
