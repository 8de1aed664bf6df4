//! Series per second of processor time of anofox-forecast: fit and 12 steps with intervals, one thread. Arguments: file of little-endian f64
//! [series][144], how many of them for ARIMA(1,0,1), ARIMA(2,1,1) and AutoARIMA. Prints one JSON object.

use anofox_forecast::models::Forecaster;
use anofox_forecast::models::arima::{ARIMA, AutoARIMA};
use anofox_forecast::prelude::TimeSeries;
use chrono::{DateTime, Duration, Utc};

const SAMPLES: usize = 144;
const STEPS: usize = 12;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let count = |i: usize| args.get(i).and_then(|v| v.parse::<usize>().ok()).unwrap_or(10);
    let bytes = match args.get(1).map(std::fs::read) {
        Some(Ok(bytes)) => bytes,
        _ => {
            eprintln!("name a file of f64 [series][{SAMPLES}]");
            std::process::exit(2);
        }
    };
    let values: Vec<f64> = bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
    let dates: Vec<DateTime<Utc>> =
        (0..SAMPLES).map(|t| DateTime::UNIX_EPOCH + Duration::minutes(5 * t as i64)).collect();
    let series: Vec<TimeSeries> = values
        .chunks_exact(SAMPLES)
        .filter_map(|v| TimeSeries::univariate(dates.clone(), v.to_vec()).ok())
        .collect();
    let rates = [
        ("anofox ARIMA(1,0,1)", rate(&series, count(2), || ARIMA::new(1, 0, 1))),
        ("anofox ARIMA(2,1,1)", rate(&series, count(3), || ARIMA::new(2, 1, 1))),
        ("anofox AutoARIMA", rate(&series, count(4), AutoARIMA::new)),
    ];
    let rows: Vec<String> = rates
        .iter()
        .map(|(name, (rate, failed))| format!("\"{name}\": {{\"per_s\": {rate:.1}, \"failed\": {failed}}}"))
        .collect();
    println!("{{{}}}", rows.join(", "));
}

/// User and system time of this process in steps of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    fields.filter_map(|v| v.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Series per second, and fits that failed.
fn rate<M: Forecaster>(series: &[TimeSeries], count: usize, model: impl Fn() -> M) -> (f64, usize) {
    let start = cpu_seconds();
    let mut failed = 0;
    for i in 0..count {
        let mut model = model();
        let fitted = model.fit(&series[i % series.len()]);
        let forecast = fitted.and_then(|()| model.predict_with_intervals(STEPS, 0.9));
        failed += usize::from(std::hint::black_box(forecast).is_err());
    }
    (count as f64 / (cpu_seconds() - start), failed)
}
