//! Anomaly scores of recorded metrics: `anomaly_scores CADENCE_S FALSE_ALARMS_PER_DAY LEAST OUT.csv
//! PART.parquet...`
//!
//! Columns `m...` are the metrics of one machine, one row a sample, null or NaN = missing. The parts follow each other;
//! the scores of the last one are written: row, score, alarm (kind, empty = none), and each metric's own evidence.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};

use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use arrow_array::{Array, RecordBatch};
use foreshade_forecast::anomaly::{Anomaly, Config, Detector, Group};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// One series or several.
enum Watch {
    One(Box<Detector>),
    Many(Box<Group>),
}

impl Watch {
    fn new(config: Config, metrics: usize) -> Result<Self, Box<dyn Error>> {
        Ok(match metrics {
            1 => Self::One(Box::new(Detector::new(config)?)),
            n => Self::Many(Box::new(Group::new(config, n)?)),
        })
    }

    fn observe(&mut self, values: &[f32]) -> (Option<Anomaly>, f64, Vec<f64>) {
        match self {
            Self::One(d) => (d.observe(values[0], None), d.score(), vec![d.score()]),
            Self::Many(g) => (g.observe(values, None), g.score(), g.heat().to_vec()),
        }
    }
}

/// The rows of a batch, metric by metric.
fn rows(batch: &RecordBatch) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
    let mut columns = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if field.name().starts_with('m') {
            let column = column
                .as_primitive_opt::<Float32Type>()
                .ok_or_else(|| format!("column {} is not float32; convert it", field.name()))?;
            columns.push(column.clone());
        }
    }
    let value =
        |i: usize| move |c: &arrow_array::Float32Array| if c.is_null(i) { f32::NAN } else { c.value(i) };
    Ok((0..batch.num_rows()).map(|i| columns.iter().map(value(i)).collect()).collect())
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [cadence, rate, least, out, parts @ ..] = args.as_slice() else {
        return Err(
            "usage: anomaly_scores CADENCE_S FALSE_ALARMS_PER_DAY LEAST OUT.csv PART.parquet...".into()
        );
    };
    let (cadence_s, false_alarms_per_day, least) = (cadence.parse()?, rate.parse()?, least.parse()?);
    let config = Config { cadence_s, false_alarms_per_day, least, seed: 1 };
    let mut watch: Option<Watch> = None;
    let mut out = BufWriter::new(File::create(out)?);
    for (i, part) in parts.iter().enumerate() {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(part)?)?.build()?;
        let mut row = 0;
        for batch in reader {
            for values in rows(&batch?)? {
                let watch = match &mut watch {
                    Some(w) => w,
                    none => none.insert(Watch::new(config, values.len())?),
                };
                let (alarm, score, heat) = watch.observe(&values);
                if i + 1 == parts.len() {
                    let kind = alarm.map_or(String::new(), |a| format!("{:?}", a.kind));
                    write!(out, "{row},{score:.4},{kind}")?;
                    heat.iter().try_for_each(|h| write!(out, ",{h:.2}"))?;
                    writeln!(out)?;
                }
                row += 1;
            }
        }
    }
    Ok(())
}
