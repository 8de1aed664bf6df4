//! The shipped model was not trained on anything the demo shows.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::DictionaryArray;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, UInt16Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn card() -> Value {
    serde_json::from_slice(&std::fs::read(root().join("models/default/card.json")).unwrap()).unwrap()
}

fn fnv1a64(bytes: impl AsRef<[u8]>) -> String {
    let hash = bytes
        .as_ref()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

/// The values of `vm` in a trace, as text.
fn vms(trace: &str) -> BTreeSet<String> {
    let file = File::open(root().join("traces").join(trace)).unwrap();
    let mut all = BTreeSet::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
        let batch = batch.unwrap();
        let vm = batch.column_by_name("vm").unwrap();
        if let Some(ids) = vm.as_primitive_opt::<UInt16Type>() {
            all.extend(ids.values().iter().map(u16::to_string));
        } else {
            let names: &DictionaryArray<Int32Type> = vm.as_dictionary();
            let values = names.values().as_string::<i32>();
            all.extend(names.keys().values().iter().map(|k| values.value(*k as usize).to_owned()));
        }
    }
    all
}

#[test]
fn no_vm_or_job_of_the_demo_was_trained_on() {
    let card = card();
    let hashes = card["trained_on"]["hashes"].as_array().unwrap();
    let trained: BTreeSet<&str> = hashes.iter().map(|h| h.as_str().unwrap()).collect();
    assert!(trained.len() > 300, "the card lists {} ids", trained.len());
    let bitbrains = vms("bitbrains_tiny/tiny_40vms_7days.parquet");
    let gcd = vms("gcd_400/vms400.parquet");
    assert_eq!((bitbrains.len(), gcd.len()), (40, 400));
    // A series is a day of a job: the job counts, not the series.
    let jobs: BTreeSet<&str> = gcd.iter().map(|name| name.split('_').nth(1).unwrap()).collect();
    let shown = bitbrains.iter().map(|v| format!("bitbrains:{v}"));
    let shown: Vec<String> = shown.chain(jobs.iter().map(|j| format!("gcd:{j}"))).collect();
    for id in &shown {
        assert!(!trained.contains(fnv1a64(id).as_str()), "{id} is in the demo and was trained on");
    }
    // The comparison itself works: a job of the training split would be found.
    assert!(trained.contains(fnv1a64(KNOWN_TRAINED).as_str()), "the card no longer lists {KNOWN_TRAINED}");
}

/// One id that the training split holds, so that a change of spelling on one side cannot pass unseen.
const KNOWN_TRAINED: &str = "gcd:1329653148";

#[test]
fn the_card_belongs_to_the_model() {
    let card = card();
    assert_eq!(card["model_fnv1a64"], fnv1a64(foreshade_forecast::lstm::DEFAULT_MODEL));
    assert_eq!(card["features"], foreshade_forecast::features::VERSION);
    assert_eq!(card["targets"].as_array().unwrap().len(), foreshade_forecast::lstm::MODEL_HORIZONS.len());
    for group in ["cpu", "other"] {
        for (set, row) in card["groups"][group]["calib"].as_object().unwrap() {
            let of = |who: &str, what: &str| row[who][what].as_f64().unwrap();
            let (model, rule) = (of("model", "pinball"), of("last_value_and_rise", "pinball"));
            assert!(model < rule, "{set}: pinball {model} against {rule} of the last value");
            assert!((0.80..0.97).contains(&of("model", "coverage90")), "{set}");
        }
    }
}
