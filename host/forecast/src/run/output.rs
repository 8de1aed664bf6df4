//! The forecast file: one row per series, column, origin and horizon.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, Int32Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow_schema::ArrowError;
use foreshade_telemetry::trace::Trace;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::{Found, RunError};

/// The columns being filled.
pub(super) struct Rows {
    horizons_s: Vec<i32>,
    series: Vec<String>,
    resource: Vec<String>,
    origin_ms: Vec<i64>,
    horizon_s: Vec<i32>,
    /// mean, q05, q50, q90, q95, q99.
    values: [Vec<f32>; 6],
}

const VALUES: [&str; 6] = ["mean", "q05", "q50", "q90", "q95", "q99"];

impl Rows {
    pub(super) fn new(horizons_s: &[u32]) -> Self {
        Self {
            horizons_s: horizons_s.iter().map(|&s| s as i32).collect(),
            series: vec![],
            resource: vec![],
            origin_ms: vec![],
            horizon_s: vec![],
            values: Default::default(),
        }
    }

    /// Adds the rows of one origin, in the unit of the column.
    pub(super) fn push(&mut self, trace: &Trace, column: usize, found: &Found) {
        let vm = &trace.vms[found.vm];
        let scale = trace.scale(found.vm, column);
        for (&horizon_s, (mean, quantiles)) in self.horizons_s.iter().zip(&found.values) {
            self.series.push(vm.name.clone());
            self.resource.push(trace.columns[column].name.clone());
            self.origin_ms.push(trace.time_ms(vm, found.sample));
            self.horizon_s.push(horizon_s);
            self.values[0].push(scale.from_points(*mean));
            for (v, q) in self.values[1..].iter_mut().zip(quantiles.0) {
                v.push(scale.from_points(q));
            }
        }
    }

    fn batch(self) -> Result<RecordBatch, ArrowError> {
        let origin = TimestampMillisecondArray::from(self.origin_ms).with_timezone("UTC");
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("series", Arc::new(StringArray::from(self.series))),
            ("resource", Arc::new(StringArray::from(self.resource))),
            ("origin", Arc::new(origin)),
            ("horizon_s", Arc::new(Int32Array::from(self.horizon_s))),
        ];
        for (name, v) in VALUES.into_iter().zip(self.values) {
            columns.push((name, Arc::new(Float32Array::from(v))));
        }
        RecordBatch::try_from_iter(columns)
    }
}

/// Writes beside the file and renames: whoever looks sees the old file or the whole new one.
pub(super) fn write(rows: Rows, path: &Path) -> Result<RecordBatch, RunError> {
    let fail = |why: String| RunError::Output { path: path.to_owned(), why };
    if fs::metadata(path).is_ok_and(|m| !m.is_file()) {
        return Err(fail("it is not a regular file".into()));
    }
    let batch = rows.batch().map_err(|e| fail(e.to_string()))?;
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let written = write_batch(&batch, part).map_err(|e| e.to_string());
    let moved = written.and_then(|()| fs::rename(part, path).map_err(|e| e.to_string()));
    if let Err(why) = moved {
        // What is half written helps nobody; that it cannot be removed either is not worth a second error.
        let _ = fs::remove_file(part);
        return Err(fail(why));
    }
    Ok(batch)
}

fn write_batch(batch: &RecordBatch, path: &Path) -> Result<(), ParquetError> {
    let level = ZstdLevel::try_new(3)?;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
    let file = File::create(path)?;
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties))?;
    writer.write(batch)?;
    writer.into_inner()?.sync_all()?;
    Ok(())
}
