//! `kernels/lstm_step/vectors/edges.json`, NumPy's answers: the f64 definition and the step at every level against them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use foreshade_fallback_cpu::{Exec, levels, lstm_step};
use foreshade_kernels::lstm_step::reference::{State, step};
use foreshade_kernels::lstm_step::{Cell, Head, RESET, STEP, Weights, ints, pack, tolerance};
use foreshade_kernels::spec::{GROUP, blocked};
use serde_json::Value;

const VECTORS: &str = include_str!("../../kernels/lstm_step/vectors/edges.json");
/// No kernel result has these bits.
const POISON: f32 = f32::from_bits(0xFFFF_FFFF);

fn f64s(v: &Value) -> Vec<f64> {
    v.as_array().unwrap().iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect()
}

fn f32s(v: &Value) -> Vec<f32> {
    f64s(v).into_iter().map(|v| v as f32).collect()
}

fn size(v: &Value) -> usize {
    usize::try_from(v.as_u64().unwrap()).unwrap()
}

fn weights(case: &Value) -> Weights {
    let layers = case["weights"].as_array().unwrap().iter().map(|w| Cell {
        input: size(&w["input"]),
        hidden: size(&case["hidden"]),
        w_ih: f32s(&w["w_ih"]),
        w_hh: f32s(&w["w_hh"]),
        b_ih: f32s(&w["b_ih"]),
        b_hh: f32s(&w["b_hh"]),
    });
    let head = case["head"].is_object().then(|| &case["head"]).map(|w| Head {
        stats: size(&case["stats"]),
        width: size(&w["width"]),
        w1: f32s(&w["w1"]),
        b1: f32s(&w["b1"]),
        w2: f32s(&w["w2"]),
        b2: f32s(&w["b2"]),
    });
    Weights::new(layers.collect(), head).unwrap()
}

fn cases() -> Vec<Value> {
    let cases: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    assert!(cases.len() >= 13);
    cases
}

#[track_caller]
fn near(what: &str, got: impl IntoIterator<Item = f64>, want: &[f64], allowed: f64) {
    let got: Vec<f64> = got.into_iter().collect();
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let off = (got - want).abs();
        assert!(off <= allowed, "{what}[{i}] is {got}, must be {want}: off by {off:e}, allowed {allowed:e}");
    }
}

#[test]
fn the_definition_is_that_of_numpy() {
    for case in cases() {
        let w = weights(&case);
        for lane in case["lanes"].as_array().unwrap() {
            let mode = lane["mode"].as_i64().unwrap() as i32;
            if mode & STEP == 0 {
                continue;
            }
            let mut state = State { h: f64s(&lane["h"]), c: f64s(&lane["c"]) };
            if mode & RESET != 0 {
                state = State::zero(w.dims());
            }
            let q = step(&w, &mut state, &f64s(&lane["x"]), &f64s(&lane["stats"]));
            let after = &lane["after"];
            let name = &case["name"];
            near(&format!("{name} h"), state.h, &f64s(&after["h"]), 1e-13);
            near(&format!("{name} c"), state.c, &f64s(&after["c"]), 1e-13);
            near(&format!("{name} q"), q.map_or(Vec::new(), |q| q.concat()), &f64s(&after["q"]), 1e-11);
        }
    }
}

/// Puts the lanes of a case into one group, from lane 61 backwards so that they meet the end of a vector, and steps it.
fn run(exec: &Exec, w: &Weights, lanes: &[Value]) -> (Vec<f32>, Vec<f32>) {
    let dims = w.dims();
    let values = dims.layers * 2 * dims.hidden;
    let mut mode = vec![0; GROUP];
    let mut x = vec![0.0; dims.input * GROUP];
    let mut stats = vec![0.0; w.stats().max(1) * GROUP];
    let mut before = vec![0.0; values * GROUP];
    for (i, lane) in lanes.iter().enumerate() {
        let at = 61 - i;
        mode[at] = lane["mode"].as_i64().unwrap() as i32;
        f32s(&lane["x"]).iter().enumerate().for_each(|(k, v)| x[k * GROUP + at] = *v);
        f32s(&lane["stats"]).iter().enumerate().for_each(|(k, v)| stats[k * GROUP + at] = *v);
        for (part, values_of) in [f32s(&lane["h"]), f32s(&lane["c"])].iter().enumerate() {
            for (v, value) in values_of.iter().enumerate() {
                let row = (v / dims.hidden * 2 + part) * dims.hidden + v % dims.hidden;
                before[blocked(at, row, values)] = *value;
            }
        }
    }
    let (mut after, mut out) = (vec![POISON; before.len()], vec![POISON; w.outputs().max(1) * GROUP]);
    let ints = ints(w, GROUP);
    lstm_step::step(exec, &ints, &mode, &x, &stats, &pack(w), &before, &mut after, &mut out);
    (after, out)
}

#[test]
fn every_level_agrees_with_numpy() {
    for case in cases() {
        let (w, lanes) = (weights(&case), case["lanes"].as_array().unwrap());
        let dims = w.dims();
        let values = dims.layers * 2 * dims.hidden;
        for (level, _) in levels() {
            let (after, out) = run(&Exec::new(Some(level), 1).unwrap(), &w, lanes);
            for (i, lane) in lanes.iter().enumerate() {
                let (at, name) = (61 - i, format!("{level} {} lane {i}", case["name"]));
                let most = |v: &Value| f64s(v).iter().fold(0.0f64, |m, v| m.max(v.abs()));
                let bound = tolerance(&w, most(&lane["x"]), most(&lane["stats"]), most(&lane["c"]));
                // Rounding a sum of 1e4 does not show through a gate that is saturated, so no case needs more than this.
                let most_c = 1.0 + most(&lane["c"]);
                let part = |part: usize| {
                    (0..dims.layers * dims.hidden).map(move |v| {
                        let row = (v / dims.hidden * 2 + part) * dims.hidden + v % dims.hidden;
                        blocked(at, row, values)
                    })
                };
                let state = |p: usize| part(p).map(|at| f64::from(after[at]));
                near(&format!("{name} h"), state(0), &f64s(&lane["after"]["h"]), bound.h.min(4e-6));
                near(&format!("{name} c"), state(1), &f64s(&lane["after"]["c"]), bound.c.min(4e-6 * most_c));
                let q = (0..w.outputs()).map(|v| f64::from(out[blocked(at, v, w.outputs())]));
                near(&format!("{name} q"), q, &f64s(&lane["after"]["q"]), bound.q);
            }
        }
    }
}
