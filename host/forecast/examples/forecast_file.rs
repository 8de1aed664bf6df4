//! Forecasts a file: `forecast_file INPUT ORIGINS OUT [THREADS]`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use foreshade_forecast::run::{HORIZONS_S, Request, RunError, Summary, run};

fn forecast(args: &[String]) -> Result<Summary, RunError> {
    let [input, origins, out, rest @ ..] = args else {
        return Err(RunError::Origins("usage: forecast_file INPUT ORIGINS OUT [THREADS]".into()));
    };
    let threads = rest.first().and_then(|t| t.parse().ok()).unwrap_or(1);
    let origins = origins.parse()?;
    let (input, out) = (Path::new(input), Path::new(out));
    run(&Request { input, origins: &origins, horizons_s: &HORIZONS_S, out, threads }, |_, _| {})
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
