//! `forecast --heat-map` and `--fan-chart`: the pictures show the numbers of the file and of the trace.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, Int32Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;

const SAMPLES: usize = 60;
const ORIGIN: usize = 50;

/// One VM is always at 7 but for 9.5 in the half hour after the origin, one is at 80 and has markup for a name.
fn trace(dir: &Path) -> std::path::PathBuf {
    let (mut names, mut slots, mut values) = (vec![], vec![], vec![]);
    for t in 0..SAMPLES {
        for (name, v) in [("calm", if t == ORIGIN + 5 { 9.5 } else { 7.0 }), ("<b>&", 80.0f32)] {
            names.push(name);
            slots.push(t as i32);
            values.push(v);
        }
    }
    let columns: [(&str, ArrayRef); 3] = [
        ("vm", Arc::new(StringArray::from(names))),
        ("slot", Arc::new(Int32Array::from(slots))),
        ("cpu_pct", Arc::new(Float32Array::from(values))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let path = dir.join("vms.trace.parquet");
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

fn forecast(dir: &Path, series: &str) -> Output {
    let origins = format!("{ORIGIN}:{ORIGIN}:1");
    Command::new(env!("CARGO_BIN_EXE_foreshade"))
        .current_dir(dir)
        .args(["forecast", "--input"])
        .arg(trace(dir))
        .args([
            "--origins",
            &origins,
            "--out",
            "f.parquet",
            "--heat-map",
            "heat.svg",
            "--fan-chart",
            "fan.svg",
        ])
        .args(["--series", series])
        .output()
        .unwrap()
}

#[test]
fn the_pictures_show_the_bound_and_what_came() {
    let dir = tempfile::tempdir().unwrap();
    let out = forecast(dir.path(), "calm:cpu_pct");
    assert!(out.status.success(), "{out:?}");
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let (fan, heat) = (read("fan.svg"), read("heat.svg"));
    // A series that never moved is forecast exactly: its bound stands where it always was.
    assert!(fan.contains(">95 % bound of the peak 7.0<") && fan.contains(">peak that came 9.5<"), "{fan}");
    assert!(fan.contains(">calm, cpu_pct<") && fan.contains(">+1 h<"), "{fan}");
    assert_eq!(heat.matches(">80</text>").count(), 4, "{heat}");
    assert_eq!(heat.matches(">7</text>").count(), 4, "{heat}");
    assert!(heat.contains(">&lt;b&gt;&amp;<") && !heat.contains("<b>"), "{heat}");
    assert!(heat.find("&lt;b&gt;").unwrap() < heat.find(">calm<").unwrap(), "the highest comes first");
    for horizon in ["peak 30 min", "5 min", "30 min", "1 h"] {
        assert!(heat.contains(&format!(">{horizon}<")), "{horizon}");
    }
}

#[test]
fn a_series_that_is_not_there_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    for (series, why) in [("nobody", "no series nobody"), ("calm:disk", "no column disk; there are cpu_pct")]
    {
        let out = forecast(dir.path(), series);
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        let last = text.lines().last().unwrap_or_default();
        assert_eq!(out.status.code(), Some(2), "{text}");
        assert!(last.starts_with("foreshade: --series") && last.contains(why), "{text}");
    }
}
