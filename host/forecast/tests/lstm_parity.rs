//! Features against NumPy, the model against PyTorch: both within 1e-4 of the values in models/default.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use foreshade_accel::open;
use foreshade_accel::{Backend, Job, LstmStepJob};
use foreshade_forecast::features::{FeatureWindow, Features, INPUT, STATS};
use foreshade_forecast::lstm::{LstmFleet, LstmModel, Profile, TargetQuantiles, torch_lstm};
use safetensors::SafeTensors;

const TOLERANCE: f32 = 1e-4;

fn fixture() -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/default/fixture.safetensors");
    std::fs::read(path).unwrap()
}

/// All tensors of the fixture: shape and values.
fn tensors(bytes: &[u8]) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    file.tensors()
        .into_iter()
        .map(|(name, view)| {
            let values = view.data().chunks_exact(4).map(|w| f32::from_le_bytes(w.try_into().unwrap()));
            (name, (view.shape().to_vec(), values.collect()))
        })
        .collect()
}

fn near(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let scale = w.abs().max(1.0);
        assert!((g - w).abs() <= TOLERANCE * scale, "{what}[{i}]: {g}, the fixture says {w}");
    }
}

#[test]
fn features_are_those_of_numpy() {
    let bytes = fixture();
    let t = tensors(&bytes);
    for set in ["cpu", "other"] {
        let get = |name: &str| &t[&format!("{set}.{name}")].1;
        let (shape, x) = &t[&format!("{set}.x")];
        let steps = shape[1];
        assert!(shape[0] >= 3 && steps >= 200 && x.iter().any(|v| v.is_nan()), "too easy");
        for series in 0..shape[0] {
            let mut w = FeatureWindow::new();
            for tick in 0..steps {
                let at = series * steps + tick;
                w.push(x[at]);
                let f = w.features().unwrap();
                let what = format!("{set} series {series} tick {tick}");
                near(&f.input, &get("input")[at * INPUT..(at + 1) * INPUT], &format!("{what} input"));
                near(&f.stats, &get("stats")[at * STATS..(at + 1) * STATS], &format!("{what} stats"));
                near(&[f.last, f.scale], &[get("last")[at], get("scale")[at]], &what);
            }
        }
    }
}

#[test]
fn forecasts_and_states_are_those_of_pytorch() {
    let bytes = fixture();
    let t = tensors(&bytes);
    let model = LstmModel::shipped().unwrap();
    for profile in Profile::ALL {
        let get = |name: &str| &t[&format!("{}.{name}", profile.name())].1;
        let shape = &t[&format!("{}.x", profile.name())].0;
        let (n, steps) = (shape[0], shape[1]);
        let mut device = open("cpu").unwrap();
        let mut fleet = LstmFleet::new(&model, profile, device.as_mut(), n).unwrap();
        let lanes: Vec<u32> = (0..n as u32).collect();
        let mut out = Vec::new();
        for tick in 0..steps {
            // PyTorch's own inputs, so that this compares the model alone.
            let features: Vec<Features> = (0..n)
                .map(|s| s * steps + tick)
                .map(|at| Features {
                    input: get("input")[at * INPUT..(at + 1) * INPUT].try_into().unwrap(),
                    stats: get("stats")[at * STATS..(at + 1) * STATS].try_into().unwrap(),
                    last: get("last")[at],
                    scale: get("scale")[at],
                })
                .collect();
            fleet.step(device.as_mut(), &lanes, &features, &mut out).unwrap();
            for (series, got) in out.iter().enumerate() {
                let at = (series * steps + tick) * 20;
                let what = format!("{} series {series} tick {tick}", profile.name());
                near(&flat(got), &get("q")[at..at + 20], &what);
            }
        }
        let state = fleet.snapshot(device.as_ref()).unwrap();
        near(&state.h, get("h"), "h");
        near(&state.c, get("c"), "c");
    }
}

fn flat(q: &TargetQuantiles) -> Vec<f32> {
    q.iter().flat_map(|q| q.0).collect()
}

#[test]
fn a_plain_torch_lstm_can_be_brought_in() {
    let bytes = fixture();
    let t = tensors(&bytes);
    let weights = torch_lstm(&bytes, "plain.").unwrap();
    let mut device = open("cpu").unwrap();
    let id = device.load_lstm(&weights).unwrap();
    let state = device.new_state(id, 2).unwrap();
    let (x, h) = (&t["case.x"].1, &t["case.h"].1);
    for tick in 0..20 {
        let input = [&x[tick * 5..tick * 5 + 5], &x[(20 + tick) * 5..(20 + tick) * 5 + 5]].concat();
        let job = LstmStepJob { state, lanes: &[0, 1], x: &input, stats: &[], out: &mut [] };
        device.run(Job::LstmStep(job)).unwrap();
        let got = device.snapshot(state).unwrap().h;
        let want = [&h[tick * 7..tick * 7 + 7], &h[(20 + tick) * 7..(20 + tick) * 7 + 7]].concat();
        near(&got, &want, &format!("h at tick {tick}"));
    }
    let end = device.snapshot(state).unwrap();
    near(&end.h, &t["case.hn"].1, "hn");
    near(&end.c, &t["case.cn"].1, "cn");
}

/// One tick after another of a fixture series through features and model, on a lane among `lanes`.
fn forecasts(lane: u32, lanes: u32, others: bool) -> Vec<u32> {
    let bytes = fixture();
    let t = tensors(&bytes);
    let x = &t["cpu.x"].1[..200];
    let model = LstmModel::shipped().unwrap();
    let mut device = open("cpu").unwrap();
    let mut fleet = LstmFleet::new(&model, Profile::Cpu, device.as_mut(), lanes as usize).unwrap();
    let (mut w, mut out, mut bits) = (FeatureWindow::new(), Vec::new(), Vec::new());
    for &x in x {
        w.push(x);
        let f = w.features().unwrap();
        let batch: Vec<u32> = if others { (0..lanes).rev().collect() } else { vec![lane] };
        let features: Vec<Features> = batch
            .iter()
            .map(|&l| if l == lane { f } else { Features { scale: 1.0 + l as f32, ..f } })
            .collect();
        fleet.step(device.as_mut(), &batch, &features, &mut out).unwrap();
        let at = batch.iter().position(|&l| l == lane).unwrap();
        bits.extend(flat(&out[at]).iter().map(|v| v.to_bits()));
    }
    bits
}

#[test]
fn a_forecast_does_not_depend_on_the_other_series() {
    let alone = forecasts(0, 1, false);
    assert_eq!(alone, forecasts(4, 9, false));
    assert_eq!(alone, forecasts(4, 9, true));
}

#[test]
fn a_step_with_the_wrong_number_of_features_is_refused() {
    let model = LstmModel::shipped().unwrap();
    let mut device: Box<dyn Backend> = open("cpu").unwrap();
    let mut fleet = LstmFleet::new(&model, Profile::Other, device.as_mut(), 2).unwrap();
    let mut w = FeatureWindow::new();
    w.push(1.0);
    let f = w.features().unwrap();
    let mut out = Vec::new();
    assert!(fleet.step(device.as_mut(), &[0, 1], &[f], &mut out).is_err());
    assert!(fleet.step(device.as_mut(), &[0], &[f, f], &mut out).is_err());
    assert!(fleet.step(device.as_mut(), &[0, 1], &[f, f], &mut out).is_ok());
    assert_eq!(out.len(), 2);
}
