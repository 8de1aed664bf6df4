//! Recorded machines: what was labelled is found, and the stated rate of false alarms holds where nothing was.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::File;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int32Type};
use foreshade_forecast::anomaly::{Config, Detector, Group};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

fn read(path: &Path) -> Vec<RecordBatch> {
    let file = File::open(path).unwrap();
    ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().map(Result::unwrap).collect()
}

/// One a week.
fn config(least: f32) -> Config {
    Config { false_alarms_per_day: 1.0 / 7.0, cadence_s: 300, least, seed: 1 }
}

#[test]
fn the_failure_of_a_server_is_found() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/nab_request_latency.parquet");
    let mut detector = Detector::new(config(Config::POINTS)).unwrap();
    let (mut windows, mut found, mut outside, mut inside) = (0, 0, 0, false);
    for batch in read(&path) {
        let (x, label) = (batch.column(0).as_primitive::<Float32Type>(), batch.column(1).as_boolean());
        for i in 0..batch.num_rows() {
            let alarm = detector.observe(x.value(i), None).is_some();
            if label.value(i) && !inside {
                (windows, found) = (windows + 1, found << 1);
            }
            inside = label.value(i);
            found |= u32::from(alarm && inside);
            outside += u32::from(alarm && !inside);
        }
    }
    println!("{} of {windows} windows, {outside} alarms outside of them in two weeks", found.count_ones());
    assert_eq!(windows, 3);
    assert!(found.count_ones() >= 2 && outside <= 2, "{found:b}, {outside}");
}

/// Rows of the metrics.
fn rows(path: &Path) -> Vec<Vec<f32>> {
    let mut rows = Vec::new();
    for batch in read(path) {
        let metric = |n: &str| n.len() == 3 && n.starts_with('m');
        let columns: Vec<_> = batch.schema().fields().iter().map(|f| metric(f.name())).collect();
        let columns: Vec<_> =
            batch.columns().iter().zip(columns).filter(|(_, m)| *m).map(|(c, _)| c).collect();
        for i in 0..batch.num_rows() {
            rows.push(columns.iter().map(|c| c.as_primitive::<Float32Type>().value(i)).collect());
        }
    }
    rows
}

/// Labelled samples `from..=to` of a server's test part.
fn segments(folder: &Path, entity: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for batch in read(&folder.join("segments.parquet")) {
        let names = names_of(&batch);
        let at = |n: &str| batch.column_by_name(n).unwrap().as_primitive::<Int32Type>().clone();
        let (start, end) = (at("start"), at("end"));
        let own = (0..batch.num_rows()).filter(|&i| names[i] == entity);
        found.extend(own.map(|i| (start.value(i) as usize, end.value(i) as usize)));
    }
    found
}

fn names_of(batch: &RecordBatch) -> Vec<String> {
    let column = batch.column_by_name("entity").unwrap();
    match column.as_string_opt::<i32>() {
        Some(s) => s.iter().map(|s| s.unwrap().to_owned()).collect(),
        None => column.as_string::<i64>().iter().map(|s| s.unwrap().to_owned()).collect(),
    }
}

fn skip(what: &str) {
    println!("SKIPPED {what}: FORESHADE_DATA is not set; the failure of a server ran");
    let required = std::env::var("REQUIRE").unwrap_or_default();
    assert!(
        !required.split(',').any(|r| r == "data"),
        "REQUIRE=data: set FORESHADE_DATA to the folder of data sets"
    );
}

#[test]
fn seven_servers_keep_to_one_false_alarm_a_week() {
    let Ok(folder) = std::env::var("FORESHADE_DATA") else { return skip("seven servers") };
    let folder = Path::new(&folder).join("asd");
    let (mut outside, mut found, mut days) = (0, 0, 0.0);
    for entity in ["omi-1", "omi-2", "omi-4", "omi-6", "omi-7", "omi-9", "omi-11"] {
        let part = |p: &str| rows(&folder.join(format!("{entity}_{p}.parquet")));
        let segments = segments(&folder, entity);
        // Half a percent of what the publishers scaled to 0..1.
        let mut group = Group::new(config(0.005), 19).unwrap();
        part("train").iter().for_each(|x| drop(group.observe(x, None)));
        for (t, x) in part("test").iter().enumerate() {
            if group.observe(x, None).is_some() {
                // An hour around a segment belongs to it.
                let hit = segments.iter().any(|&(a, b)| a <= t + 12 && t <= b + 12);
                (found, outside) = (found + u32::from(hit), outside + u32::from(!hit));
            }
            days += 1.0 / 288.0;
        }
    }
    println!("{found} alarms at labelled segments, {outside} elsewhere in {days:.0} days");
    assert!(found >= 5, "{found}");
    assert!(f64::from(outside) <= days / 7.0, "{outside} in {days} days");
}
