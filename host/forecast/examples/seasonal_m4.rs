//! Forecasts of M4 hourly: `seasonal_m4 SERIES.parquet OUT.parquet [compact]`. From the column `train` alone, 48 h ahead; one row
//! per series with the lists q05, q50 and q95. Time and memory go to standard error.

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use arrow_array::builder::{Float32Builder, ListBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use arrow_array::{ArrayRef, RecordBatch};
use foreshade_forecast::seasonal::rollup::HOUR_MS;
use foreshade_forecast::seasonal::{HOURS_MAX, Seasonal, SeasonalForecast, Size};
use foreshade_types::Transform;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// The forecasts after the last of `hours`, and how long the whole history took, in microseconds per hour.
fn forecast(hours: &[f32], size: Size) -> (Vec<SeasonalForecast>, f64) {
    let start = Instant::now();
    let mut series = Seasonal::with_size(Transform::Log, size);
    let mut time_ms = 0;
    for &x in hours {
        series.observe(time_ms, x);
        time_ms += HOUR_MS;
    }
    // A sample of the next hour, even a missing one, closes the last.
    series.observe(time_ms, f32::NAN);
    let all: Vec<usize> = (1..=HOURS_MAX).collect();
    let out = series.forecast(&all);
    (out, start.elapsed().as_secs_f64() * 1e6 / hours.len() as f64)
}

fn run(input: &Path, output: &Path, size: Size) -> Result<(), Box<dyn Error>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(input)?)?.build()?;
    let mut lists: [ListBuilder<Float32Builder>; 3] = Default::default();
    let mut us = Vec::new();
    for batch in reader {
        let batch = batch?;
        let train = batch.column_by_name("train").ok_or("the file has no column train")?;
        for row in train.as_list::<i32>().iter().flatten() {
            let (forecasts, per_hour) = forecast(row.as_primitive::<Float32Type>().values(), size);
            us.push(per_hour);
            for (list, level) in lists.iter_mut().zip([0, 1, 3]) {
                forecasts.iter().for_each(|f| list.values().append_value(f.quantiles.0[level]));
                list.append(true);
            }
        }
    }
    let columns = ["q05", "q50", "q95"].into_iter().zip(&mut lists);
    let batch = RecordBatch::try_from_iter(columns.map(|(n, l)| (n, Arc::new(l.finish()) as ArrayRef)))?;
    let mut writer = ArrowWriter::try_new(File::create(output)?, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    let mean = us.iter().sum::<f64>() / us.len().max(1) as f64;
    eprintln!(
        "seasonal: {} series, {mean:.0} us per series and hour, {} bytes a series",
        us.len(),
        Seasonal::with_size(Transform::Log, size).bytes()
    );
    Ok(())
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (input, output, size) = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [input, output] => (input, output, Size::Full),
        [input, output, "compact"] => (input, output, Size::Compact),
        _ => {
            eprintln!("usage: seasonal_m4 SERIES.parquet OUT.parquet [compact]");
            return ExitCode::FAILURE;
        }
    };
    match run(Path::new(input), Path::new(output), size) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {input}: {e}");
            ExitCode::FAILURE
        }
    }
}
