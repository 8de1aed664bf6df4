//! The CPU kernel against the f64 definition, and the promise that a series' bytes depend on that series alone.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use foreshade_fallback_cpu::lstm::LstmCpu;
use foreshade_kernels::lstm_step::reference::{self, State};
use foreshade_kernels::lstm_step::{Cell, GATES, Head, LEVELS, TARGETS, Weights, tolerance};
use proptest::prelude::*;

/// Reproducible numbers in [-1, 1).
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

/// Random weights about as large as trained ones.
fn weights(seed: u64, input: usize, hidden: usize, stats: usize, width: usize) -> Weights {
    let mut r = Noise(seed);
    let rows = GATES * hidden;
    let cell = Cell {
        input,
        hidden,
        w_ih: r.vec(rows * input, 0.6),
        w_hh: r.vec(rows * hidden, 0.6),
        b_ih: r.vec(rows, 0.5),
        b_hh: r.vec(rows, 0.5),
    };
    let head = (width > 0).then(|| Head {
        stats,
        width,
        w1: r.vec(width * (hidden + stats), 0.4),
        b1: r.vec(width, 0.3),
        w2: r.vec(TARGETS * LEVELS * width, 0.4),
        b2: r.vec(TARGETS * LEVELS, 0.3),
    });
    Weights::new(vec![cell], head).unwrap()
}

fn wide(v: &[f32]) -> Vec<f64> {
    v.iter().copied().map(f64::from).collect()
}

/// Steps each series from the same f32 state with both, and compares after every tick.
fn check(input: usize, hidden: usize, stats: usize, width: usize) {
    const SERIES: usize = 7;
    let w = weights(11, input, hidden, stats, width);
    let model = LstmCpu::new(&w);
    let mut state = model.zero_state(SERIES);
    let lanes: Vec<u32> = (0..SERIES as u32).collect();
    let mut r = Noise(5);
    for tick in 0..60 {
        let x = r.vec(SERIES * input, 4.0);
        let stats_in = r.vec(SERIES * w.stats(), 8.0);
        let mut out = vec![0.0; SERIES * w.outputs()];
        let (h0, c0) = state.export(&model);
        model.step(&mut state, &lanes, &x, &stats_in, &mut out, 1);
        let (h1, c1) = state.export(&model);
        let c_max = c0.iter().fold(0.0f64, |m, &c| m.max(f64::from(c.abs())));
        let bound = tolerance(&w, 4.0, 8.0, c_max);
        assert!(bound.h < 2e-3 && bound.q < 0.2, "the bound itself says nothing: {bound:?}");
        for i in 0..SERIES {
            let units = i * hidden..(i + 1) * hidden;
            let mut s = State { h: wide(&h0[units.clone()]), c: wide(&c0[units.clone()]) };
            let x = wide(&x[i * input..(i + 1) * input]);
            let stats_in = wide(&stats_in[i * w.stats()..(i + 1) * w.stats()]);
            let q = reference::step(&w, &mut s, &x, &stats_in);
            assert_eq!(q.is_some(), width > 0);
            let near = |got: &[f32], want: &[f64], most: f64, what: &str| {
                for (got, want) in got.iter().zip(want) {
                    let off = (f64::from(*got) - want).abs();
                    assert!(off <= most, "tick {tick} series {i} {what}: off by {off:e}, allowed {most:e}");
                }
            };
            near(&h1[units.clone()], &s.h, bound.h, "h");
            near(&c1[units], &s.c, bound.c, "c");
            let q = q.map_or(Vec::new(), |q| q.concat());
            near(&out[i * w.outputs()..(i + 1) * w.outputs()], &q, bound.q, "q");
        }
    }
}

#[test]
fn stays_within_the_derived_bound_of_the_reference() {
    check(6, 32, 48, 64);
    check(5, 7, 3, 9);
    check(1, 1, 1, 1);
    check(3, 40, 0, 0);
}

#[test]
fn quantiles_cannot_cross() {
    let w = weights(3, 6, 32, 48, 64);
    let model = LstmCpu::new(&w);
    let mut state = model.zero_state(1);
    let mut r = Noise(9);
    let mut out = vec![0.0; w.outputs()];
    for _ in 0..300 {
        model.step(&mut state, &[0], &r.vec(6, 9.0), &r.vec(48, 8.0), &mut out, 1);
        assert!(out.chunks(LEVELS).all(|q| q.windows(2).all(|p| p[0] <= p[1])), "{out:?}");
    }
}

/// Ten ticks of `series` series, `order` within the batch, the batch cut in groups of `group`; bits of everything.
fn bits(series: usize, order: &[u32], group: usize, threads: usize) -> Vec<u32> {
    let w = weights(21, 6, 16, 10, 12);
    let model = LstmCpu::new(&w);
    let mut state = model.zero_state(series);
    let mut all = Vec::new();
    let mut r = Noise(77);
    for _ in 0..10 {
        let (x, stats) = (r.vec(series * 6, 3.0), r.vec(series * 10, 3.0));
        let mut tick = vec![0u32; series * w.outputs()];
        for lanes in order.chunks(group) {
            let pick = |v: &[f32], n: usize| -> Vec<f32> {
                lanes.iter().flat_map(|&l| v[l as usize * n..(l as usize + 1) * n].to_vec()).collect()
            };
            let mut out = vec![0.0; lanes.len() * w.outputs()];
            model.step(&mut state, lanes, &pick(&x, 6), &pick(&stats, 10), &mut out, threads);
            for (&lane, out) in lanes.iter().zip(out.chunks(w.outputs())) {
                let at = lane as usize * w.outputs();
                tick[at..at + out.len()]
                    .copy_from_slice(&out.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
            }
        }
        all.extend(tick);
    }
    let (h, c) = state.export(&model);
    all.extend(h.iter().chain(&c).map(|v| v.to_bits()));
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_series_does_not_feel_its_batch(
        order in Just((0..23u32).collect::<Vec<_>>()).prop_shuffle(),
        group in 1usize..=23,
    ) {
        let alone = bits(23, &(0..23).collect::<Vec<_>>(), 1, 1);
        prop_assert_eq!(alone, bits(23, &order, group, 1));
    }
}

#[test]
fn threads_change_the_time_only() {
    let order: Vec<u32> = (0..1201).collect();
    let one = bits(1201, &order, 1201, 1);
    assert_eq!(one, bits(1201, &order, 1201, 2));
    assert_eq!(one, bits(1201, &order, 1201, 3));
}

#[test]
fn state_survives_export_and_import() {
    let w = weights(8, 6, 13, 4, 5);
    let model = LstmCpu::new(&w);
    let mut r = Noise(1);
    let mut state = model.zero_state(3);
    let mut out = vec![0.0; 3 * w.outputs()];
    model.step(&mut state, &[0, 1, 2], &r.vec(18, 2.0), &r.vec(12, 2.0), &mut out, 1);
    let (h, c) = state.export(&model);
    let mut copy = foreshade_fallback_cpu::lstm::LstmCpuState::import(&model, &h, &c);
    let (x, stats) = (r.vec(18, 2.0), r.vec(12, 2.0));
    let mut again = out.clone();
    model.step(&mut state, &[0, 1, 2], &x, &stats, &mut out, 1);
    model.step(&mut copy, &[0, 1, 2], &x, &stats, &mut again, 1);
    assert_eq!(out, again);
    assert_eq!(state.export(&model), copy.export(&model));
}
