//! A model file is input like any other: whatever its bytes, reading it gives a sound model or one line that says why.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;

use foreshade_forecast::lstm::{DEFAULT_MODEL, LstmModel, ModelError, Profile, torch_lstm};
use proptest::prelude::*;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize};

type Tensors = Vec<(String, Dtype, Vec<usize>, Vec<u8>)>;

fn shipped() -> Tensors {
    let file = SafeTensors::deserialize(DEFAULT_MODEL).unwrap();
    file.tensors().into_iter().map(|(n, v)| (n, v.dtype(), v.shape().to_vec(), v.data().to_vec())).collect()
}

fn write(tensors: &Tensors, metadata: &[(&str, &str)]) -> Vec<u8> {
    let views = tensors.iter().map(|(n, d, s, v)| (n.clone(), TensorView::new(*d, s.clone(), v).unwrap()));
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    serialize(views, Some(metadata)).unwrap()
}

const META: [(&str, &str); 2] = [("format", "foreshade-lstm/1"), ("features", "1")];

/// The shipped model with one tensor changed -> the error.
fn refused(name: &str, change: impl Fn(&mut Vec<usize>, &mut Vec<u8>, &mut Dtype)) -> String {
    let mut tensors = shipped();
    let (_, dtype, shape, data) = tensors.iter_mut().find(|t| t.0 == name).unwrap();
    change(shape, data, dtype);
    LstmModel::from_safetensors(&write(&tensors, &META)).unwrap_err().to_string()
}

#[test]
fn the_shipped_model_is_sound_and_survives_rewriting() {
    let model = LstmModel::shipped().unwrap();
    assert_eq!(LstmModel::from_safetensors(&write(&shipped(), &META)).unwrap(), model);
    assert_ne!(model.weights(Profile::Cpu), model.weights(Profile::Other));
    let trained = |p: Profile| model.weights(p).layers()[0].w_hh.iter().any(|v| *v != 0.0);
    assert!(Profile::ALL.into_iter().all(trained), "weights are all zero");
}

#[test]
fn every_wrong_shape_type_and_value_is_named() {
    let nan = |at: usize| {
        move |_: &mut Vec<usize>, d: &mut Vec<u8>, _: &mut Dtype| {
            d[at * 4..at * 4 + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        }
    };
    assert_eq!(
        refused("other.lstm.weight_hh_l0", nan(5)),
        "weights of other: weight_hh_l0[5] is not finite or larger than 10000"
    );
    let huge = refused("cpu.head.2.bias", |_, d, _| d[..4].copy_from_slice(&2e4f32.to_le_bytes()));
    assert_eq!(huge, "weights of cpu: head.2.bias[0] is not finite or larger than 10000");
    let turned = refused("cpu.lstm.weight_ih_l0", |s, _, _| s.reverse());
    assert!(turned.contains("cpu.lstm.weight_ih_l0 is 6 rows"), "{turned}");
    let half = refused("cpu.head.0.bias", |s, _, d| {
        s[0] *= 2;
        *d = Dtype::F16;
    });
    assert!(half.contains("cpu.head.0.bias is F16"), "{half}");
    let short = refused("cpu.lstm.bias_hh_l0", |s, d, _| {
        s[0] -= 1;
        d.truncate(d.len() - 4);
    });
    assert_eq!(short, "weights of cpu: bias_hh_l0 has 127 values, needs 128");
    let flat = refused("cpu.head.2.weight", |s, _, _| *s = vec![s[0] * s[1]]);
    assert!(flat.contains("cpu.head.2.weight is F32 [1280]"), "{flat}");
    let wide = refused("cpu.head.2.weight", |s, _, _| *s = vec![s[0] / 2, s[1] * 2]);
    assert!(wide.contains("cpu.head.2.weight is [10, 128]"), "{wide}");
}

#[test]
fn behaviours_that_cannot_be_told_apart_or_are_not_there_are_named() {
    let put = |d: &mut Vec<u8>, v: f32| d[..4].copy_from_slice(&v.to_le_bytes());
    for bad in [0.0, -1.0, f32::NAN] {
        let unit = refused("cpu.behaviours.unit", |_, d, _| put(d, bad));
        assert_eq!(unit, "tensor cpu.behaviours.unit is something else, needs 8 values above 0");
    }
    let lost = refused("other.behaviours.centre", |_, d, _| put(d, f32::INFINITY));
    assert!(lost.contains("other.behaviours.centre is [4, 8] or not finite, needs 1 to 16 rows"), "{lost}");
    let turned = refused("other.behaviours.centre", |s, _, _| s.reverse());
    assert!(turned.contains("is [8, 4] or not finite"), "{turned}");
    let more = refused("cpu.behaviours.centre", |s, d, _| {
        s[0] += 1;
        d.extend([0; 32]);
    });
    assert_eq!(more, "model file has no tensor cpu.mlp5.lstm.weight_ih_l0");
    let none: Tensors = shipped().into_iter().filter(|t| !t.0.contains(".mlp")).collect();
    let model = LstmModel::from_safetensors(&write(&none, &META)).unwrap();
    assert!(Profile::ALL.into_iter().all(|p| model.mlps(p).is_none()), "a model may have an LSTM alone");
}

#[test]
fn missing_tensors_extra_layers_and_other_versions_are_named() {
    for gone in ["cpu.lstm.weight_ih_l0", "other.head.2.bias"] {
        let rest: Tensors = shipped().into_iter().filter(|t| t.0 != gone).collect();
        let error = LstmModel::from_safetensors(&write(&rest, &META)).unwrap_err();
        assert_eq!(error, ModelError::Missing(gone.into()));
    }
    for extra in ["cpu.lstm.weight_ih_l1", "other.lstm.bias_hh_l0_reverse", "cpu.lstm.weight_hr_l0"] {
        let mut more = shipped();
        more.push((extra.into(), Dtype::F32, vec![1], vec![0; 4]));
        let error = LstmModel::from_safetensors(&write(&more, &META)).unwrap_err();
        assert_eq!(error, ModelError::Layers(extra.into()));
    }
    let old = write(&shipped(), &[("format", "foreshade-lstm/1"), ("features", "0")]);
    let error = LstmModel::from_safetensors(&old).unwrap_err().to_string();
    assert_eq!(error, "model file says features = 0, this version reads 1; train the model again");
    let none = LstmModel::from_safetensors(&write(&shipped(), &[])).unwrap_err().to_string();
    assert!(none.starts_with("model file says format = nothing"), "{none}");
}

#[test]
fn every_truncation_is_refused() {
    let header = 8 + u64::from_le_bytes(DEFAULT_MODEL[..8].try_into().unwrap()) as usize;
    for end in (0..header + 64).chain((header..DEFAULT_MODEL.len()).step_by(1009)) {
        assert!(LstmModel::from_safetensors(&DEFAULT_MODEL[..end]).is_err(), "{end}");
    }
    let long = vec![0u8; (16 << 20) + 1];
    assert_eq!(LstmModel::from_safetensors(&long), Err(ModelError::TooLarge { got: long.len() }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_bytes_never_panic(
        edits in prop::collection::vec((0usize..2600, any::<u8>()), 1..6),
        far in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut bytes = DEFAULT_MODEL.to_vec();
        for (at, value) in edits {
            bytes[at] = value;
        }
        for (at, value) in far {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(model) = LstmModel::from_safetensors(&bytes) {
            let sound = |p| model.weights(p).layers()[0].w_ih.iter().all(|v| v.is_finite());
            prop_assert!(Profile::ALL.into_iter().all(sound));
        }
        let _ = torch_lstm(&bytes, "cpu.lstm.");
    }

    #[test]
    fn garbage_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(LstmModel::from_safetensors(&bytes).is_err());
        prop_assert!(torch_lstm(&bytes, "").is_err());
    }
}
