//! Features against NumPy, the model against PyTorch: both within 1e-4 of the values in models/default.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::sync::Arc;

use foreshade_accel::lstm_step::STEP;
use foreshade_accel::{OpenOptions, open};
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
        let mut device = open("cpu", &OpenOptions::default()).unwrap();
        let mut fleet = LstmFleet::new(&model, profile, &mut device, n).unwrap();
        let mut out = Vec::new();
        for tick in 0..steps {
            // PyTorch's own inputs, so that this compares the model alone.
            let features: Vec<Option<Features>> = (0..n)
                .map(|s| s * steps + tick)
                .map(|at| Features {
                    input: get("input")[at * INPUT..(at + 1) * INPUT].try_into().unwrap(),
                    stats: get("stats")[at * STATS..(at + 1) * STATS].try_into().unwrap(),
                    last: get("last")[at],
                    scale: get("scale")[at],
                })
                .map(Some)
                .collect();
            fleet.step(&mut device, &features, &mut out).unwrap();
            for (series, got) in out.iter().enumerate() {
                let at = (series * steps + tick) * 20;
                let what = format!("{} series {series} tick {tick}", profile.name());
                near(&flat(got.as_ref().unwrap()), &get("q")[at..at + 20], &what);
            }
        }
        let state = fleet.snapshot(&mut device).unwrap();
        let all = |part: &dyn Fn(usize) -> Vec<f32>| (0..n).flat_map(part).collect::<Vec<_>>();
        near(&all(&|s| state.h(s)), get("h"), "h");
        near(&all(&|s| state.c(s)), get("c"), "c");
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
    let mut device = open("cpu", &OpenOptions::default()).unwrap();
    let id = device.load_lstm(&weights).unwrap();
    let state = device.new_state(id, 2).unwrap();
    let (x, h) = (&t["case.x"].1, &t["case.h"].1);
    for tick in 0..20 {
        let mut inputs = device.inputs(state).unwrap();
        let lanes = device.lanes(state).unwrap();
        for series in 0..2 {
            Arc::make_mut(&mut inputs.mode).i32_mut()[series] = STEP;
            let to = Arc::make_mut(&mut inputs.x).f32_mut();
            (0..5).for_each(|i| to[i * lanes + series] = x[(20 * series + tick) * 5 + i]);
        }
        device.step(state, inputs).unwrap();
        let now = device.snapshot(state).unwrap();
        let want = [&h[tick * 7..tick * 7 + 7], &h[(20 + tick) * 7..(20 + tick) * 7 + 7]].concat();
        near(&[now.h(0), now.h(1)].concat(), &want, &format!("h at tick {tick}"));
    }
    let end = device.snapshot(state).unwrap();
    near(&[end.h(0), end.h(1)].concat(), &t["case.hn"].1, "hn");
    near(&[end.c(0), end.c(1)].concat(), &t["case.cn"].1, "cn");
}

/// One tick after another of a fixture series through features and model, on a lane among `lanes`.
fn forecasts(lane: usize, lanes: usize, others: bool) -> Vec<u32> {
    let bytes = fixture();
    let t = tensors(&bytes);
    let x = &t["cpu.x"].1[..200];
    let model = LstmModel::shipped().unwrap();
    let mut device = open("cpu", &OpenOptions::default()).unwrap();
    let mut fleet = LstmFleet::new(&model, Profile::Cpu, &mut device, lanes).unwrap();
    let (mut w, mut out, mut bits) = (FeatureWindow::new(), Vec::new(), Vec::new());
    for &x in x {
        w.push(x);
        let f = w.features().unwrap();
        let mut features = vec![others.then_some(f); lanes];
        for (l, f) in features.iter_mut().enumerate() {
            f.iter_mut().for_each(|f| f.scale = 1.0 + l as f32);
        }
        features[lane] = Some(f);
        fleet.step(&mut device, &features, &mut out).unwrap();
        bits.extend(flat(out[lane].as_ref().unwrap()).iter().map(|v| v.to_bits()));
    }
    bits
}

#[test]
fn a_forecast_does_not_depend_on_the_other_series() {
    let alone = forecasts(0, 1, false);
    assert_eq!(alone, forecasts(4, 9, false));
    assert_eq!(alone, forecasts(70, 90, true));
}

#[test]
fn a_step_with_the_wrong_number_of_features_is_refused() {
    let model = LstmModel::shipped().unwrap();
    let mut device = open("cpu", &OpenOptions::default()).unwrap();
    let mut fleet = LstmFleet::new(&model, Profile::Other, &mut device, 2).unwrap();
    let mut w = FeatureWindow::new();
    w.push(1.0);
    let f = w.features();
    let mut out = Vec::new();
    assert!(fleet.step(&mut device, &[f], &mut out).is_err());
    assert!(fleet.step(&mut device, &[f, f, f], &mut out).is_err());
    assert!(fleet.step(&mut device, &[f, None], &mut out).is_ok());
    assert!(out[0].is_some() && out[1].is_none());
}
