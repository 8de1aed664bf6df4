//! What a forecast file says, row by row, for those who draw it.

use arrow_array::types::{ArrowPrimitiveType, Float32Type, Int32Type, TimestampMillisecondType};
use arrow_array::{Array, PrimitiveArray, RecordBatch, StringArray};
use foreshade_telemetry::trace::Trace;
use foreshade_types::Quantiles;

/// The forecasts of a file and the trace they were made from.
#[derive(Debug)]
pub struct Told {
    /// The input.
    pub trace: Trace,
    rows: RecordBatch,
}

/// One forecast, in the unit of its column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row<'a> {
    /// The VM.
    pub series: &'a str,
    /// The column.
    pub resource: &'a str,
    /// The newest sample that was known, milliseconds since 1970-01-01 UTC.
    pub origin_ms: i64,
    /// Seconds ahead; 0 = the largest value of the next 30 min.
    pub horizon_s: i32,
    /// Expected value.
    pub mean: f32,
    /// Quantiles at `foreshade_types::LEVELS`.
    pub quantiles: Quantiles,
}

impl Told {
    pub(super) fn new(trace: Trace, rows: RecordBatch) -> Self {
        Self { trace, rows }
    }

    /// By column, series, origin and horizon.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        // The columns are those that `output` makes; another batch would have no rows here.
        let text = |i: usize| self.rows.column(i).as_any().downcast_ref::<StringArray>();
        let named = text(0).zip(text(1));
        let times =
            numbers::<TimestampMillisecondType>(&self.rows, 2).zip(numbers::<Int32Type>(&self.rows, 3));
        let values: Option<Vec<_>> = (4..10).map(|i| numbers::<Float32Type>(&self.rows, i)).collect();
        let all = named.zip(times).zip(values);
        let n = if all.is_some() { self.rows.num_rows() } else { 0 };
        (0..n).filter_map(move |i| {
            let (((series, resource), (origin, horizon)), values) = all.as_ref()?;
            Some(Row {
                series: series.value(i),
                resource: resource.value(i),
                origin_ms: origin.value(i),
                horizon_s: horizon.value(i),
                mean: values[0].value(i),
                quantiles: Quantiles(std::array::from_fn(|k| values[k + 1].value(i))),
            })
        })
    }
}

fn numbers<T: ArrowPrimitiveType>(rows: &RecordBatch, column: usize) -> Option<&PrimitiveArray<T>> {
    rows.column(column).as_any().downcast_ref()
}
