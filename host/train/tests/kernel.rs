//! What is trained is what is served: the same forecasts as the shipped model's on the device.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use foreshade_accel::lstm_step::LEVELS;
use foreshade_accel::{OpenOptions, open};
use foreshade_forecast::features::{FeatureWindow, Features};
use foreshade_forecast::lstm::{LstmFleet, LstmModel, Profile};
use foreshade_train::net::{OUTPUTS, Shape};
use foreshade_train::pass::{Inputs, State, Tape};

/// 200 ticks in a row; the bound is that of the kernel against PyTorch, 1e-4 of a point (relative above 1).
#[test]
fn the_forward_pass_is_that_of_the_device() {
    let model = LstmModel::shipped().unwrap();
    for profile in Profile::ALL {
        let mut engine = open("cpu", &OpenOptions::default()).unwrap();
        let mut fleet = LstmFleet::new(&model, profile, &mut engine, 3).unwrap();
        let (shape, params) = Shape::of(model.weights(profile)).unwrap();
        let (mut state, mut tape, mut out) = (State::<f32>::zero(shape, 3), Tape::default(), vec![]);
        let mut windows = vec![FeatureWindow::new(); 3];
        for tick in 0..200u32 {
            for (s, w) in windows.iter_mut().enumerate() {
                let wave = (f64::from(tick) / (7.0 + 11.0 * s as f64)).sin() * 20.0 + 40.0;
                let spike = if (tick * 7 + s as u32 * 5).is_multiple_of(31) { 35.0 } else { 0.0 };
                w.push((wave + spike) as f32);
            }
            let features: Vec<Features> = windows.iter().map(|w| w.features().unwrap()).collect();
            let some: Vec<_> = features.iter().copied().map(Some).collect();
            fleet.step(&mut engine, &some, &mut out).unwrap();
            let x: Vec<f32> = features.iter().flat_map(|f| f.input).collect();
            let stats: Vec<f32> = features.iter().flat_map(|f| f.stats).collect();
            tape.forward(shape, &params, Inputs { x: &x, stats: &stats }, &mut state);
            for (s, f) in features.iter().enumerate() {
                let raw = &tape.outputs()[s * OUTPUTS..(s + 1) * OUTPUTS];
                for (target, want) in out[s].unwrap().iter().enumerate() {
                    for (level, want) in want.0.iter().enumerate() {
                        let got = (f.last + f.scale * quantile(&raw[target * LEVELS..], level)).max(0.0);
                        let what =
                            format!("{profile:?} tick {tick} series {s} target {target} level {level}");
                        assert!(
                            (got - want).abs() <= 1e-4 * want.abs().max(1.0),
                            "{what}: {got}, device {want}"
                        );
                    }
                }
            }
        }
    }
}

/// From raw outputs, as kernels/lstm_step/README.md has it.
fn quantile(raw: &[f32], level: usize) -> f32 {
    let soft = |x: f32| x.max(0.0) + (-x.abs()).exp().ln_1p();
    match level {
        0 => raw[1] - soft(raw[0]),
        _ => raw[1] + raw[2..=level.max(1)].iter().map(|r| soft(*r)).sum::<f32>(),
    }
}
