//! Forecasts a file: `forecast_file INPUT ORIGINS OUT [THREADS [nomodel]]`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use foreshade_accel::{OpenOptions, open};
use foreshade_forecast::lstm::LstmModel;
use foreshade_forecast::run::{HORIZONS_S, Request, RunError, Summary, run};

fn forecast(args: &[String]) -> Result<Summary, RunError> {
    let [input, origins, out, rest @ ..] = args else {
        return Err(RunError::Origins("usage: forecast_file INPUT ORIGINS OUT [THREADS [nomodel]]".into()));
    };
    let threads = rest.first().and_then(|t| t.parse().ok()).unwrap_or(1);
    let model = match rest.get(1) {
        Some(_) => None,
        None => Some(Arc::new(LstmModel::shipped().map_err(|e| RunError::Origins(e.to_string()))?)),
    };
    let origins = origins.parse()?;
    let request = Request {
        input: Path::new(input),
        origins: &origins,
        horizons_s: &HORIZONS_S,
        out: Path::new(out),
        threads,
        model,
        backend: &|| open("cpu", &OpenOptions::default()),
    };
    run(&request, |_, _| {})
}

fn main() -> ExitCode {
    let start = Instant::now();
    let args: Vec<String> = std::env::args().skip(1).collect();
    match forecast(&args) {
        Ok(s) => {
            let us = start.elapsed().as_secs_f64() * 1e6 / s.samples as f64;
            println!(
                "{} series, {} samples, {} rows, {us:.1} us per series-tick",
                s.series, s.samples, s.rows
            );
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
