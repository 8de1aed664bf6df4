//! The trace reader on good, odd and damaged files.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Float32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt8Array, UInt16Array,
};
use bytes::Bytes;
use foreshade_telemetry::trace::{Trace, TraceError};
use foreshade_types::{Resource, Transform};
use parquet::arrow::ArrowWriter;

fn file(columns: Vec<(&str, ArrayRef)>) -> Bytes {
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap();
    let mut out = Vec::new();
    let mut w = ArrowWriter::try_new(&mut out, batch.schema(), None).unwrap();
    w.write(&batch).unwrap();
    w.close().unwrap();
    out.into()
}

fn f(v: Vec<Option<f32>>) -> ArrayRef {
    Arc::new(Float32Array::from(v))
}

fn slots(v: Vec<u16>) -> ArrayRef {
    Arc::new(UInt16Array::from(v))
}

fn vm(v: Vec<u16>) -> ArrayRef {
    Arc::new(UInt16Array::from(v))
}

fn some(v: &[f32]) -> ArrayRef {
    f(v.iter().copied().map(Some).collect())
}

fn fails(columns: Vec<(&str, ArrayRef)>, says: &str) {
    let e = Trace::from_bytes(file(columns), None).unwrap_err().to_string();
    assert!(e.contains(says), "{e}");
    assert!(!e.contains('\n'));
}

#[test]
fn sorts_fills_gaps_and_orders_numbers_as_numbers() {
    let t = Trace::from_bytes(
        file(vec![
            ("vm", vm(vec![10, 9, 10, 9, 10, 9])),
            ("slot", slots(vec![5, 2, 3, 1, 2, 0])),
            ("state", Arc::new(UInt8Array::from(vec![2; 6]))),
            ("cpu_pct", f(vec![Some(3.0), Some(22.0), Some(2.0), None, Some(1.0), Some(20.0)])),
            ("queue", some(&[0.0; 6])),
        ]),
        None,
    )
    .unwrap();
    assert_eq!(t.cadence_s, 300);
    assert_eq!(t.vms.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(), ["9", "10"]);
    assert_eq!(t.columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["cpu_pct", "queue"]);
    assert_eq!(t.columns[0].transform, Transform::Points);
    assert_eq!((t.columns[1].resource, t.columns[1].transform), (None, Transform::Log));
    let v = &t.vms[1].values[0];
    assert_eq!((v[0], v[1], v[3], v.len()), (1.0, 2.0, 3.0, 4));
    assert!(v[2].is_nan());
    assert!(t.vms[0].values[0][1].is_nan());
    assert_eq!(t.vms[1].start_ms, 600_000);
    assert_eq!(t.time_ms(&t.vms[1], 3), 1_500_000);
}

#[test]
fn dictionary_names_and_microseconds() {
    let name: DictionaryArray<Int32Type> = vec!["b", "b", "a", "a"].into_iter().collect();
    let ts = TimestampMicrosecondArray::from(vec![0, 5_000_000, 0, 5_000_000]).with_timezone("UTC");
    let t = Trace::from_bytes(
        file(vec![
            ("series", Arc::new(name)),
            ("ts", Arc::new(ts)),
            ("cpu_pct", some(&[1.0, 2.0, 3.0, 4.0])),
        ]),
        None,
    )
    .unwrap();
    assert_eq!(t.cadence_s, 5);
    assert_eq!((t.vms[0].name.as_str(), t.vms[0].values[0].as_slice()), ("a", &[3.0, 4.0][..]));
}

#[test]
fn memory_in_kib_becomes_percent_of_the_size_of_the_month() {
    let trace =
        file(vec![("vm", vm(vec![1, 1])), ("slot", slots(vec![0, 1])), ("mem_kb", some(&[512.0, 1024.0]))]);
    let sizes = file(vec![
        ("vm", vm(vec![1, 1])),
        ("month", Arc::new(StringArray::from(vec!["1970-02", "1970-01"]))),
        ("cores", Arc::new(Int64Array::from(vec![8, 2]))),
        ("mem_cap_kb", some(&[4096.0, 2048.0])),
    ]);
    let t = Trace::from_bytes(trace.clone(), Some(sizes)).unwrap();
    assert_eq!(t.vms[0].size.unwrap().cpu.0, 2000);
    assert_eq!(t.points(0, Resource::Memory).unwrap(), [25.0, 50.0]);
    assert_eq!(t.scale(0, 0).from_points(25.0), 512.0);
    let bare = Trace::from_bytes(trace.clone(), None).unwrap();
    assert_eq!(bare.points(0, Resource::Memory), None);
    // A file of that name about something else is no error.
    assert_eq!(Trace::from_bytes(trace.clone(), Some(trace)).unwrap().vms[0].size, None);
}

#[test]
fn rows_that_contradict_each_other_are_refused() {
    let v = || some(&[1.0, 2.0, 3.0, 4.0]);
    let name = || vm(vec![1, 1, 1, 1]);
    fails(
        vec![("vm", name()), ("slot", slots(vec![0, 1, 1, 2])), ("cpu_pct", v())],
        "rows 2 and 3 are the same sample",
    );
    let ts: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![0, 1_000_000, 2_000_000, 2_500_000]));
    fails(vec![("vm", name()), ("ts", ts), ("cpu_pct", v())], "off its grid of 1000 ms");
    let ts: ArrayRef =
        Arc::new(TimestampMicrosecondArray::from(vec![0, 1_000_000, 2_000_000, 90_000_000_000_000]));
    fails(vec![("vm", name()), ("ts", ts), ("cpu_pct", v())], "over 50000000 cells");
    let ts: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![0, 1_000_000, 2_000_000, i64::MAX]));
    fails(vec![("vm", name()), ("ts", ts), ("cpu_pct", v())], "no whole millisecond");
    fails(
        vec![
            ("vm", name()),
            ("slot", slots(vec![0, 1, 2, 3])),
            ("cpu_pct", some(&[1.0, f32::INFINITY, 1.0, 1.0])),
        ],
        "row 2: cpu_pct is infinite",
    );
    let none: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("a"), Some("a")]));
    fails(vec![("vm", none), ("slot", slots(vec![0, 1, 2, 3])), ("cpu_pct", v())], "row 2: vm is null");
}

#[test]
fn missing_columns_and_empty_traces_are_refused() {
    let two = || vm(vec![1, 1]);
    fails(vec![("slot", two()), ("cpu_pct", some(&[1.0, 2.0]))], "no column series or vm");
    fails(vec![("vm", two()), ("cpu_pct", some(&[1.0, 2.0]))], "no column ts or slot");
    fails(vec![("vm", two()), ("slot", slots(vec![0, 1]))], "no value column");
    fails(
        vec![("vm", two()), ("ts", slots(vec![0, 1])), ("cpu_pct", some(&[1.0, 2.0]))],
        "write it as timestamp",
    );
    fails(
        vec![("vm", two()), ("slot", some(&[0.0, 1.0])), ("cpu_pct", some(&[1.0, 2.0]))],
        "write it as integer",
    );
    fails(vec![("vm", vm(vec![])), ("slot", slots(vec![])), ("cpu_pct", some(&[]))], "no rows");
    fails(
        vec![("vm", vm(vec![1, 2])), ("slot", slots(vec![0, 1])), ("cpu_pct", some(&[1.0, 2.0]))],
        "two samples",
    );
}

#[test]
fn damaged_bytes_are_an_error_and_never_a_panic() {
    let n = 400u16;
    let good = file(vec![
        ("vm", vm((0..n).map(|i| i / 100).collect())),
        ("slot", slots((0..n).map(|i| i % 100).collect())),
        ("cpu_pct", f((0..n).map(|i| (i % 7 != 0).then_some(f32::from(i))).collect())),
    ]);
    assert_eq!(Trace::from_bytes(good.clone(), None).unwrap().vms.len(), 4);
    for cut in [0, 1, 4, 8, good.len() / 2, good.len() - 9, good.len() - 1] {
        let e = Trace::from_bytes(good.slice(..cut), None).unwrap_err();
        assert!(matches!(e, TraceError::Parquet(_)), "{cut}: {e}");
    }
    // Any flipped byte: an error or a trace, whatever it says. A fixed generator keeps the run the same every day.
    let mut state = 1u64;
    for _ in 0..3000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut bytes = good.to_vec();
        let at = (state >> 33) as usize % bytes.len();
        bytes[at] ^= 1 << ((state >> 20) % 8);
        let _ = Trace::from_bytes(bytes.into(), None);
    }
}

#[test]
fn a_missing_file_is_named() {
    let e = Trace::read(std::path::Path::new("no/such.parquet")).unwrap_err().to_string();
    assert!(e.contains("no/such.parquet"), "{e}");
}
