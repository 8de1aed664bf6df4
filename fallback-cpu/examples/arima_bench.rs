//! Series per second of the ARIMA fit and forecast, as one JSON object.
//!
//!     cargo run --release -p foreshade-fallback-cpu --example arima_bench -- [series] [threads] [rounds] [file]
//!
//! The file holds series as little-endian f32 [144][any number], which are repeated; without it they are the test cases.
//! Best of `rounds`; `all_per_cpu_s` is over the process's CPU time of all rounds, so it holds on a busy machine.

use std::time::Instant;

use foreshade_fallback_cpu::{Exec, arima, levels};
use foreshade_kernels::arima_fit::{FIT_WORDS, LEVELS, cases};
use foreshade_kernels::spec::padded;

const SAMPLES: usize = 144;
const STEPS: usize = 12;

fn main() {
    let number = |i: usize, or: usize| std::env::args().nth(i).and_then(|v| v.parse().ok()).unwrap_or(or);
    let (series, threads, rounds) = (number(1, 16_384), number(2, 1), number(3, 40));
    let lanes = padded(series);
    // Series repeat: making them takes longer than fitting them.
    let few = match std::env::args().nth(4) {
        None => cases::case(1, 4096, SAMPLES),
        Some(path) => match std::fs::read(&path) {
            Ok(bytes) => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Err(e) => {
                eprintln!("{path}: cannot be read ({e}); name a file of f32 [{SAMPLES}][series]");
                std::process::exit(2);
            }
        },
    };
    let distinct = few.len() / SAMPLES;
    let mut y = vec![0.0f32; lanes * SAMPLES];
    for (row, from) in y.chunks_exact_mut(lanes).zip(few.chunks_exact(distinct)) {
        row.iter_mut().enumerate().for_each(|(lane, v)| *v = from[lane % distinct]);
    }
    let mut reports = Vec::new();
    for (name, _) in levels() {
        let Ok(exec) = Exec::new(Some(name), threads) else { continue };
        let times = measure(&exec, &y, lanes, rounds);
        let rate = |seconds: f64| (series as f64 / seconds).round();
        reports.push(format!(
            "{{\"simd\": \"{name}\", \"fit_per_s\": {}, \"all_per_s\": {}, \"all_per_cpu_s\": {}, \"forecast_ms\": {:.3}, \
             \"bounds_ms\": {:.3}}}",
            rate(times.fit),
            rate(times.all),
            rate(times.cpu),
            times.forecast * 1e3,
            times.bounds * 1e3,
        ));
    }
    println!(
        "{{\"series\": {series}, \"samples\": {SAMPLES}, \"steps\": {STEPS}, \"threads\": {threads}, \"levels\": [\n  {}\n]}}",
        reports.join(",\n  ")
    );
}

/// Seconds, least of the rounds each; for `cpu` their mean.
struct Times {
    fit: f64,
    forecast: f64,
    bounds: f64,
    all: f64,
    cpu: f64,
}

fn measure(exec: &Exec, y: &[f32], lanes: usize, rounds: usize) -> Times {
    let mut words = vec![f32::NAN; lanes * FIT_WORDS];
    let mut scratch = vec![0.0; 2 * SAMPLES * lanes];
    let (mut mean, mut variance) = (vec![f32::NAN; lanes * STEPS], vec![f32::NAN; lanes * STEPS]);
    let mut out = vec![f32::NAN; lanes * STEPS * LEVELS.len()];
    let far = f64::INFINITY;
    let mut least = Times { fit: far, forecast: far, bounds: far, all: far, cpu: far };
    let before = cpu_seconds();
    for _ in 0..rounds {
        let start = Instant::now();
        arima::fit(exec, &[lanes as i32, SAMPLES as i32], y, &mut words, &mut scratch);
        let fit = start.elapsed().as_secs_f64();
        arima::forecast(exec, &[lanes as i32, STEPS as i32], &words, &mut mean, &mut variance);
        let forecast = start.elapsed().as_secs_f64();
        arima::bounds(exec, STEPS, &mean, &variance, &words, &mut out);
        let all = start.elapsed().as_secs_f64();
        least.fit = least.fit.min(fit);
        least.forecast = least.forecast.min(forecast - fit);
        least.bounds = least.bounds.min(all - forecast);
        least.all = least.all.min(all);
    }
    least.cpu = (cpu_seconds() - before) / rounds as f64;
    least
}

/// User and system time of this process in steps of 10 ms; 0 where there is no /proc.
fn cpu_seconds() -> f64 {
    const TICKS_PER_S: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
    fields.filter_map(|v| v.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_S
}
