//! Synthetic traces and fleets for the tests of this crate.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(dead_code, reason = "each test uses its part")]

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, RecordBatch, StringArray, TimestampMillisecondArray};
use foreshade_accel::{OpenOptions, open};
use foreshade_forecast::lstm::LstmModel;
use foreshade_forecast::{Fleet, FleetConfig};
use foreshade_types::{Horizon, Resource};
use parquet::arrow::ArrowWriter;

/// What decisions use, and the steps of the report.
pub const HORIZONS: [Horizon; 4] = [Horizon::Peak(6), Horizon::Step(1), Horizon::Step(6), Horizon::Step(12)];

/// A small fixed generator: the same numbers on every machine and day.
pub struct Lcg(pub u64);

impl Lcg {
    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Nearly normal, variance 1.
    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }
}

/// CPU of a VM with a level, memory, bursts and gaps, in percent.
pub fn usage(seed: u64, n: usize) -> Vec<f32> {
    let mut g = Lcg(seed);
    let mut level = 20.0;
    (0..n)
        .map(|i| {
            level += 0.2 * (20.0 + 10.0 * (i as f32 / 40.0).sin() - level) + g.normal();
            let burst = if g.unit() < 0.03 { 40.0 } else { 0.0 };
            if g.unit() < 0.02 || (250..260).contains(&(i + seed as usize)) {
                f32::NAN
            } else {
                (level + burst).max(0.0)
            }
        })
        .collect()
}

/// A fleet of CPU series.
pub fn fleet(n: usize, cadence_s: u32, threads: usize, model: bool) -> Fleet {
    let config = FleetConfig {
        series: vec![Resource::Cpu.into(); n],
        horizons: HORIZONS.to_vec(),
        cadence_s,
        threads,
    };
    let model = model.then(|| Arc::new(LstmModel::shipped().unwrap()));
    Fleet::new(config, model, open("cpu", &OpenOptions::default()).unwrap()).unwrap()
}

/// Writes rows (series, sample, value) of a trace at 300 s with the columns cpu_pct and net_tx_kbs.
pub fn write_trace(path: &Path, rows: &[(&str, usize, f32)]) {
    let value = |v: f32| (!v.is_nan()).then_some(v);
    let ts: Vec<i64> = rows.iter().map(|r| r.1 as i64 * 300_000).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("series", Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.0)))),
        ("ts", Arc::new(TimestampMillisecondArray::from(ts).with_timezone("UTC"))),
        ("cpu_pct", Arc::new(rows.iter().map(|r| value(r.2)).collect::<Float32Array>())),
        ("net_tx_kbs", Arc::new(rows.iter().map(|r| value(r.2 * r.2)).collect::<Float32Array>())),
    ];
    write(path, columns);
}

/// Writes an origins file.
pub fn write_origins(path: &Path, rows: &[(&str, i64)]) {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("series", Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.0)))),
        (
            "origin",
            Arc::new(
                TimestampMillisecondArray::from_iter_values(rows.iter().map(|r| r.1)).with_timezone("UTC"),
            ),
        ),
    ];
    write(path, columns);
}

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
    let mut w = ArrowWriter::try_new(std::fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    w.write(&batch).unwrap();
    w.close().unwrap();
}

/// Writes one column cpu_pct of samples `cadence_s` apart.
pub fn write_trace_every(path: &Path, cadence_s: i64, series: &[(&str, &[f32])]) {
    let rows = || series.iter().flat_map(|(n, x)| x.iter().enumerate().map(move |(i, x)| (*n, i, *x)));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("series", Arc::new(StringArray::from_iter_values(rows().map(|r| r.0)))),
        (
            "ts",
            Arc::new(
                TimestampMillisecondArray::from_iter_values(rows().map(|r| r.1 as i64 * cadence_s * 1000))
                    .with_timezone("UTC"),
            ),
        ),
        ("cpu_pct", Arc::new(rows().map(|r| (!r.2.is_nan()).then_some(r.2)).collect::<Float32Array>())),
    ];
    write(path, columns);
}
