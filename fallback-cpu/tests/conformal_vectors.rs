//! The quantile tracker against the answers of an independent oracle, `kernels/conformal_update/gen.py`: the f64 definition
//! and every instruction set of this machine.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use foreshade_fallback_cpu::{Exec, conformal, levels};
use foreshade_kernels::conformal_update::reference::{self, Inputs};
use foreshade_kernels::conformal_update::{LEVELS, tolerance};
use foreshade_kernels::spec::{blocked, padded};
use serde_json::Value;

const VECTORS: &str = include_str!("../../kernels/conformal_update/vectors/edges.json");
const N: usize = LEVELS.len();

fn five(v: &Value) -> [f64; N] {
    std::array::from_fn(|k| v[k].as_f64().unwrap())
}

fn inputs(case: &Value) -> Inputs {
    let lanes = case["lanes"].as_array().unwrap();
    let n = padded(lanes.len());
    let mut x = Inputs {
        ints: [n as i32],
        floats: std::array::from_fn(|i| case["tuning"][i].as_f64().unwrap() as f32),
        y: vec![0.0; n],
        issued: vec![0.0; N * n],
        scale: vec![0.0; n],
        base: vec![0.0; N * n],
        shift: vec![0.0; N * n],
    };
    for (i, lane) in lanes.iter().enumerate() {
        x.y[i] = lane["y"].as_f64().map_or(f32::NAN, |y| y as f32);
        x.scale[i] = lane["scale"].as_f64().unwrap() as f32;
        for (name, to) in [("issued", &mut x.issued), ("base", &mut x.base), ("shift", &mut x.shift)] {
            for (k, v) in five(&lane[name]).into_iter().enumerate() {
                to[blocked(i, k, N)] = v as f32;
            }
        }
    }
    x
}

/// Are these the oracle's values, to `tolerance` of the largest?
fn compare(got: &[[f64; N]; 3], lane: &Value, tolerance: f64) -> Result<(), String> {
    for (name, got) in ["shift_out", "raw", "ordered"].into_iter().zip(got) {
        let want = five(&lane[name]);
        let size = want.iter().fold(1.0f64, |m, v| m.max(v.abs()));
        if got.iter().zip(want).any(|(g, w)| (g - w).abs() > tolerance * size) {
            return Err(format!("{}: {name} is {got:?}, not {want:?}", lane["name"]));
        }
    }
    Ok(())
}

#[test]
fn the_definition_agrees_with_the_oracle() {
    let cases: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    for case in &cases {
        let x = inputs(case);
        for (i, lane) in case["lanes"].as_array().unwrap().iter().enumerate() {
            let known = x.lane(i);
            let shift = reference::learn(&known, x.tuning());
            let raw = reference::raw(&known, &shift);
            let ordered = reference::in_order(&raw, x.tuning()[3]);
            compare(&[shift, raw, ordered], lane, 1e-12).unwrap();
        }
    }
}

#[test]
fn every_level_gives_the_oracle_s_shifts_and_bounds() {
    let cases: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    for (level, _) in levels() {
        let exec = Exec::new(Some(level), 1).unwrap();
        for case in &cases {
            let x = inputs(case);
            let (mut shift, mut out) = (vec![f32::NAN; x.shift.len()], vec![f32::NAN; 2 * x.shift.len()]);
            conformal::update(
                &exec, &x.ints, &x.floats, &x.y, &x.issued, &x.scale, &x.base, &x.shift, &mut shift, &mut out,
            );
            tolerance::check(&x, &shift, &out).unwrap_or_else(|e| panic!("{level}: {e}"));
            for (i, lane) in case["lanes"].as_array().unwrap().iter().enumerate() {
                let [raw, ordered] = reference::outputs(&out, i);
                let got = [reference::five(&shift, i), raw, ordered];
                compare(&got, lane, 1e-6).unwrap_or_else(|e| panic!("{level}: {e}"));
            }
        }
    }
}
