//! Parquet bytes -> [`Trace`].

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Schema, TimeUnit};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{CELLS_MAX, Column, SLOT_S, Trace, TraceError, TraceVm};

/// Columns that are numbers but no measurements.
const NOT_VALUES: [&str; 5] = ["series", "vm", "ts", "slot", "state"];

/// Timestamps beyond this many milliseconds from 1970 (about 10,000 years) are damage, and would overflow.
const TIME_MAX_MS: i64 = 300_000_000_000_000;

/// The record batches of a Parquet file. The Parquet reader is careful, but not proven free of panics on damaged pages:
/// a panic there counts as damage, too.
pub(super) fn batches(bytes: Bytes) -> Result<(Schema, Vec<RecordBatch>), TraceError> {
    let read = move || -> Result<(Schema, Vec<RecordBatch>), String> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| e.to_string())?;
        let rows = builder.metadata().file_metadata().num_rows();
        if rows < 0 || rows as u64 > CELLS_MAX {
            return Err(format!("it claims {rows} rows; at most {CELLS_MAX} can be read"));
        }
        let schema = builder.schema().as_ref().clone();
        let reader = builder.with_batch_size(65_536).build().map_err(|e| e.to_string())?;
        let all = reader.collect::<Result<Vec<_>, _>>().map_err(|e| e.to_string())?;
        Ok((schema, all))
    };
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(r)) => Ok(r),
        Ok(Err(e)) => Err(TraceError::Parquet(e)),
        Err(_) => Err(TraceError::Parquet("its pages are damaged".into())),
    }
}

/// Names of a string, dictionary or integer column, row by row; `None` = null.
pub(super) fn names(array: &dyn Array, column: &str) -> Result<Vec<Option<String>>, TraceError> {
    let n = array.len();
    if let Some(dict) = array.as_any_dictionary_opt() {
        if dict.values().is_empty() {
            return Ok(vec![None; n]);
        }
        let values = names(dict.values().as_ref(), column)?;
        let keys = dict.normalized_keys();
        return Ok((0..n).map(|i| if array.is_valid(i) { values[keys[i]].clone() } else { None }).collect());
    }
    let text: Box<dyn Fn(usize) -> String> = match array.data_type() {
        DataType::Utf8 => Box::new(move |i| array.as_string::<i32>().value(i).to_owned()),
        DataType::LargeUtf8 => Box::new(move |i| array.as_string::<i64>().value(i).to_owned()),
        DataType::Utf8View => Box::new(move |i| array.as_string_view().value(i).to_owned()),
        t if t.is_integer() => {
            let v = integers(array, column)?;
            return Ok(v.into_iter().map(|v| v.map(|v| v.to_string())).collect());
        }
        t => {
            return Err(TraceError::Column(format!(
                "column {column} has type {t}: write it as string, dictionary or integer"
            )));
        }
    };
    Ok((0..n).map(|i| array.is_valid(i).then(|| text(i))).collect())
}

/// An integer column; `None` = null.
pub(super) fn integers(array: &dyn Array, column: &str) -> Result<Vec<Option<i64>>, TraceError> {
    macro_rules! take {
        ($t:ty) => {
            Ok(array.as_primitive::<$t>().iter().map(|v| v.map(|v| v as i64)).collect())
        };
    }
    match array.data_type() {
        DataType::Int8 => take!(Int8Type),
        DataType::Int16 => take!(Int16Type),
        DataType::Int32 => take!(Int32Type),
        DataType::Int64 => take!(Int64Type),
        DataType::UInt8 => take!(UInt8Type),
        DataType::UInt16 => take!(UInt16Type),
        DataType::UInt32 => take!(UInt32Type),
        DataType::UInt64 => take!(UInt64Type),
        t => Err(TraceError::Column(format!("column {column} has type {t}: write it as integer"))),
    }
}

/// Milliseconds since 1970 of a timestamp column.
pub(super) fn times_ms(array: &dyn Array, column: &str) -> Result<Vec<Option<i64>>, TraceError> {
    let DataType::Timestamp(unit, _) = array.data_type() else {
        let t = array.data_type();
        return Err(TraceError::Column(format!("column {column} has type {t}: write it as timestamp")));
    };
    let (raw, num, den): (Vec<Option<i64>>, i64, i64) = match unit {
        TimeUnit::Second => (array.as_primitive::<TimestampSecondType>().iter().collect(), 1000, 1),
        TimeUnit::Millisecond => (array.as_primitive::<TimestampMillisecondType>().iter().collect(), 1, 1),
        TimeUnit::Microsecond => (array.as_primitive::<TimestampMicrosecondType>().iter().collect(), 1, 1000),
        TimeUnit::Nanosecond => {
            (array.as_primitive::<TimestampNanosecondType>().iter().collect(), 1, 1_000_000)
        }
    };
    let to_ms = |v: i64| {
        let ms = v.checked_mul(num)?.div_euclid(den);
        (v.rem_euclid(den) == 0 && ms.abs() <= TIME_MAX_MS).then_some(ms)
    };
    let bad = |v: i64| {
        TraceError::Row(format!("column {column}: {v} is no whole millisecond of our age; mend the time"))
    };
    raw.into_iter().map(|v| v.map(|v| to_ms(v).ok_or_else(|| bad(v))).transpose()).collect()
}

/// A value column as f32; null = NaN. `None`: the type is no number.
pub(super) fn floats(array: &dyn Array) -> Option<Vec<f32>> {
    macro_rules! take {
        ($t:ty) => {
            array.as_primitive::<$t>().iter().map(|v| v.map_or(f32::NAN, |v| v as f32)).collect()
        };
    }
    Some(match array.data_type() {
        DataType::Float16 => {
            array.as_primitive::<Float16Type>().iter().map(|v| v.map_or(f32::NAN, |v| v.to_f32())).collect()
        }
        DataType::Float32 => take!(Float32Type),
        DataType::Float64 => take!(Float64Type),
        DataType::Int8 => take!(Int8Type),
        DataType::Int16 => take!(Int16Type),
        DataType::Int32 => take!(Int32Type),
        DataType::Int64 => take!(Int64Type),
        DataType::UInt8 => take!(UInt8Type),
        DataType::UInt16 => take!(UInt16Type),
        DataType::UInt32 => take!(UInt32Type),
        DataType::UInt64 => take!(UInt64Type),
        _ => return None,
    })
}

/// All rows, column by column, as they come.
struct Rows {
    name: Vec<String>,
    /// Index into `name`.
    series: Vec<u32>,
    time_ms: Vec<i64>,
    columns: Vec<Column>,
    values: Vec<Vec<f32>>,
}

/// Finds the columns by name: (series, time, values).
fn pick(schema: &Schema) -> Result<(usize, usize, Vec<usize>), TraceError> {
    let find = |a: &str, b: &str| {
        schema.index_of(a).or_else(|_| schema.index_of(b)).map_err(|_| {
            let have: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            TraceError::Column(format!("no column {a} or {b} among {have:?}; a trace needs one of them"))
        })
    };
    let (series, time) = (find("series", "vm")?, find("ts", "slot")?);
    let value = |i: &usize| {
        let f = schema.field(*i);
        let number = f.data_type().is_floating() || f.data_type().is_integer();
        number && !NOT_VALUES.contains(&f.name().as_str())
    };
    let values: Vec<usize> = (0..schema.fields().len()).filter(value).collect();
    if values.is_empty() {
        return Err(TraceError::Column(
            "no value column (a number, such as cpu_pct); a trace needs one".into(),
        ));
    }
    Ok((series, time, values))
}

fn gather(schema: &Schema, batches: &[RecordBatch]) -> Result<Rows, TraceError> {
    let (series_at, time_at, value_at) = pick(schema)?;
    let columns: Vec<Column> = value_at.iter().map(|&i| Column::named(schema.field(i).name())).collect();
    let mut rows =
        Rows { name: vec![], series: vec![], time_ms: vec![], values: vec![vec![]; columns.len()], columns };
    let mut index: BTreeMap<String, u32> = BTreeMap::new();
    let time_name = schema.field(time_at).name();
    for batch in batches {
        let row0 = rows.series.len();
        let null = |what: &str, i: usize| {
            TraceError::Row(format!("row {}: {what} is null; fill it in", row0 + i + 1))
        };
        for (i, name) in
            names(batch.column(series_at), schema.field(series_at).name())?.into_iter().enumerate()
        {
            let name = name.ok_or_else(|| null(schema.field(series_at).name(), i))?;
            let next = index.len() as u32;
            rows.series.push(*index.entry(name).or_insert(next));
        }
        let time = match time_name.as_str() {
            "slot" => slots_ms(batch.column(time_at))?,
            _ => times_ms(batch.column(time_at), time_name)?,
        };
        for (i, t) in time.into_iter().enumerate() {
            rows.time_ms.push(t.ok_or_else(|| null(time_name, i))?);
        }
        for (c, &at) in value_at.iter().enumerate() {
            let name = &rows.columns[c].name;
            let v = floats(batch.column(at)).ok_or_else(|| {
                TraceError::Column(format!("column {name} is no number; write it as float"))
            })?;
            if let Some(i) = v.iter().position(|x| x.is_infinite()) {
                let row = row0 + i + 1;
                return Err(TraceError::Row(format!(
                    "row {row}: {name} is infinite; null stands for missing"
                )));
            }
            rows.values[c].extend(v);
        }
    }
    rows.name = vec![String::new(); index.len()];
    for (name, i) in index {
        rows.name[i as usize] = name;
    }
    Ok(rows)
}

fn slots_ms(array: &dyn Array) -> Result<Vec<Option<i64>>, TraceError> {
    let step = i64::from(SLOT_S) * 1000;
    let to_ms = |s: i64| s.checked_mul(step).filter(|ms| ms.abs() <= TIME_MAX_MS);
    let bad = |s: i64| TraceError::Row(format!("slot {s} lies beyond any calendar; count 300 s steps"));
    integers(array, "slot")?
        .into_iter()
        .map(|v| v.map(|s| to_ms(s).ok_or_else(|| bad(s))).transpose())
        .collect()
}

/// The order of series: by number if every name is one, else by bytes. Returns rank by index.
fn ranks(name: &[String]) -> Vec<u32> {
    let numbers: Option<Vec<u64>> = name.iter().map(|n| n.parse().ok()).collect();
    let mut order: Vec<usize> = (0..name.len()).collect();
    match numbers {
        Some(v) => order.sort_by_key(|&i| (v[i], &name[i])),
        None => order.sort_by_key(|&i| &name[i]),
    }
    let mut rank = vec![0; name.len()];
    for (r, &i) in order.iter().enumerate() {
        rank[i] = r as u32;
    }
    rank
}

/// The most frequent distance of neighbouring samples; of equally frequent ones the shortest.
fn cadence_ms(steps: impl Iterator<Item = i64>) -> Result<i64, TraceError> {
    let mut count: BTreeMap<i64, u64> = BTreeMap::new();
    for s in steps {
        *count.entry(s).or_default() += 1;
    }
    let most = count.iter().fold(None, |best: Option<(i64, u64)>, (&s, &n)| match best {
        Some((_, m)) if m >= n => best,
        _ => Some((s, n)),
    });
    let Some((step, _)) = most else {
        return Err(TraceError::Extent(
            "no series has two samples, so the cadence is unknown; give more rows".into(),
        ));
    };
    if step % 1000 != 0 || step > 86_400_000 {
        return Err(TraceError::Row(format!(
            "samples are mostly {step} ms apart; a cadence is whole seconds, at most a day: resample the trace"
        )));
    }
    Ok(step)
}

/// Reads and checks a trace; sizes are not set.
pub(super) fn trace(bytes: Bytes) -> Result<Trace, TraceError> {
    let (schema, batches) = batches(bytes)?;
    let rows = gather(&schema, &batches)?;
    drop(batches);
    let n = rows.series.len();
    if n == 0 {
        return Err(TraceError::Extent("the trace has no rows; give it some".into()));
    }
    let rank = ranks(&rows.name);
    let mut order: Vec<u32> = (0..n as u32).collect();
    order.sort_by_key(|&i| (rank[rows.series[i as usize] as usize], rows.time_ms[i as usize], i));
    let key = |i: u32| (rows.series[i as usize], rows.time_ms[i as usize]);
    let within = |w: &&[u32]| rows.series[w[0] as usize] == rows.series[w[1] as usize];
    if let Some(w) = order.windows(2).find(|w| key(w[0]) == key(w[1])) {
        let (a, b) = (w[0] + 1, w[1] + 1);
        let name = &rows.name[key(w[0]).0 as usize];
        return Err(TraceError::Row(format!(
            "rows {a} and {b} are the same sample of series {name}; keep one of them"
        )));
    }
    let step = cadence_ms(order.windows(2).filter(within).map(|w| key(w[1]).1 - key(w[0]).1))?;
    let groups: Vec<&[u32]> = order.chunk_by(|&a, &b| key(a).0 == key(b).0).collect();
    let mut cells = 0u64;
    for g in &groups {
        let span = key(g[g.len() - 1]).1 - key(g[0]).1;
        cells += (span / step + 1) as u64 * rows.columns.len() as u64;
        if cells > CELLS_MAX {
            let name = &rows.name[key(g[0]).0 as usize];
            return Err(TraceError::Extent(format!(
                "series {name} spans {span} ms at {step} ms: over {CELLS_MAX} cells in all; check its times, or split the trace"
            )));
        }
    }
    let vms = groups.iter().map(|g| lay_out(&rows, g, step)).collect::<Result<_, _>>()?;
    Ok(Trace { cadence_s: (step / 1000) as u32, columns: rows.columns, vms })
}

/// Puts one series' rows (in the order of time) on its grid.
fn lay_out(rows: &Rows, group: &[u32], step: i64) -> Result<TraceVm, TraceError> {
    let time = |i: u32| rows.time_ms[i as usize];
    let start_ms = time(group[0]);
    let n = ((time(group[group.len() - 1]) - start_ms) / step + 1) as usize;
    let name = rows.name[rows.series[group[0] as usize] as usize].clone();
    let mut values = vec![vec![f32::NAN; n]; rows.columns.len()];
    for &i in group {
        let offset = time(i) - start_ms;
        if offset % step != 0 {
            return Err(TraceError::Row(format!(
                "row {}: series {name} at {} ms is off its grid of {step} ms; resample the trace",
                i + 1,
                time(i)
            )));
        }
        for (c, column) in values.iter_mut().enumerate() {
            column[(offset / step) as usize] = rows.values[c][i as usize];
        }
    }
    Ok(TraceVm { name, start_ms, size: None, values })
}

/// See [`super::instants`].
pub(super) fn instants(bytes: Bytes, name: &str, time: &str) -> Result<Vec<(String, i64)>, TraceError> {
    let (schema, batches) = batches(bytes)?;
    let find = |c: &str| {
        schema
            .index_of(c)
            .map_err(|_| TraceError::Column(format!("no column {c}; it needs {name} and {time}")))
    };
    let (name_at, time_at) = (find(name)?, find(time)?);
    let mut out = Vec::new();
    for batch in &batches {
        let names = names(batch.column(name_at), name)?;
        let times = times_ms(batch.column(time_at), time)?;
        for (n, t) in names.into_iter().zip(times) {
            let row = out.len() + 1;
            let (Some(n), Some(t)) = (n, t) else {
                return Err(TraceError::Row(format!("row {row}: {name} or {time} is null; fill it in")));
            };
            out.push((n, t));
        }
    }
    Ok(out)
}
