//! The shipped models are sound, and give the figures of their cards.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use foreshade_forecast::hazard::replay::Rows;
use foreshade_forecast::hazard::{Hazard, Layout, Shipped, read, study};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn card(of: Shipped) -> Value {
    let path = root().join(format!("models/hazard/{}.card.json", of.name()));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn rows(of: Shipped, path: &Path) -> Rows {
    let study = match of {
        Shipped::Lanl => study::lanl().unwrap(),
        Shipped::Grid5000 => study::grid5000().unwrap(),
        Shipped::Backblaze => return study::drive_rows(&read::backblaze(path).unwrap()),
    };
    let mut records =
        if of == Shipped::Lanl { read::lanl(path).unwrap() } else { read::grid5000(path).unwrap() };
    study.set_aside(&mut records);
    study.rows(&records).unwrap()
}

/// Compares with a card; returns how many figures there were.
fn compare(model: &Hazard, rows: &Rows, card: &Value, what: &str) -> usize {
    let mut compared = 0;
    for head in model.heads() {
        for (who, score) in ["known", "aside"].into_iter().zip(study::figures(rows, head)) {
            let card = &card[head.horizon_s.to_string()][who];
            assert_eq!(score.is_some(), card.is_object(), "{what} {who} {} s", head.horizon_s);
            let Some(s) = score else { continue };
            assert_eq!(s.rows as u64, card["rows"], "{what} {who}");
            let figures =
                [("auc", s.auc), ("brier_skill", s.skill), ("ece", s.ece), ("base_rate", s.base_rate)];
            for (name, ours) in figures {
                let told = card[name].as_f64().unwrap();
                assert!(
                    (ours - told).abs() < 1e-6,
                    "{what} {who} {} s: {name} {ours}, card {told}",
                    head.horizon_s
                );
                compared += 1;
            }
        }
    }
    compared
}

#[test]
fn the_sample_gives_the_figures_of_the_cards() {
    for of in Shipped::ALL {
        let model = of.model().unwrap();
        let sample = root().join(format!("host/forecast/tests/data/hazard/{}.parquet", of.name()));
        let n = compare(&model, &rows(of, &sample), &card(of)["sample"], of.name());
        assert!(n >= 4, "{}: {n} figures", of.name());
    }
}

#[test]
fn the_whole_set_gives_the_figures_of_the_cards() {
    let Ok(folder) = std::env::var("FORESHADE_DATA") else {
        println!("SKIPPED whole sets: FORESHADE_DATA is not set; the samples ran");
        let required = std::env::var("REQUIRE").unwrap_or_default();
        assert!(
            !required.split(',').any(|r| r == "data"),
            "REQUIRE=data: set FORESHADE_DATA to the folder of data sets"
        );
        return;
    };
    for (of, file) in [
        (Shipped::Lanl, "lanl_failures/failures.parquet"),
        (Shipped::Grid5000, "grid5000_availability/events.parquet"),
        (Shipped::Backblaze, "backblaze_smart/drive_days.parquet"),
    ] {
        let rows = rows(of, &Path::new(&folder).join(file));
        compare(&of.model().unwrap(), &rows, &card(of)["test"], file);
    }
}

#[test]
fn shipped_models_read_back_as_they_were_written() {
    for of in Shipped::ALL {
        let model = of.model().unwrap();
        assert_eq!(model.to_json().unwrap().as_bytes(), of.bytes(), "{}", of.name());
        let expected = if of == Shipped::Backblaze { Layout::Drive } else { Layout::Recurrence };
        assert_eq!(model.layout(), expected);
        let horizons: Vec<i64> = model.heads().iter().map(|h| h.horizon_s).collect();
        let all = if of == Shipped::Backblaze { vec![604_800] } else { study::HORIZONS_S.to_vec() };
        assert_eq!(horizons, all);
    }
}

#[test]
fn more_defects_never_make_a_drive_look_safer() {
    let model = Shipped::Backblaze.model().unwrap();
    for (i, (name, _)) in Layout::Drive.inputs().iter().enumerate() {
        if foreshade_forecast::hazard::drive::only_raises(name) {
            assert!(model.heads().iter().all(|h| h.weights[i] >= 0.0), "{name}");
        }
    }
}
