//! The body for GPUs, read as plain C and run on this processor, against the f64 reference.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;

use foreshade_kernels::arima_fit::{self, FIT_WORDS, cases};
use foreshade_kernels::dialect::NATIVE;
use foreshade_kernels::{KernelSpec, arima_forecast};

/// Reads its input, runs the kernel on poisoned outputs, writes them one after the other.
const FIT_MAIN: &str = r#"
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char** argv) {
    int lanes = atoi(argv[1]), samples = atoi(argv[2]);
    size_t in = (size_t)lanes * samples, out = (size_t)lanes * 28;
    float* y = malloc(in * 4);
    float* fit = malloc(out * 4);
    float* scratch = malloc(in * 8);
    FILE* file = fopen(argv[3], "rb");
    if (argc != 5 || !file || fread(y, 4, in, file) != in) return 2;
    memset(fit, 0xff, out * 4);
    memset(scratch, 0xff, in * 8);
    RUN_GROUPS(lanes / 64, arima_fit(y, fit, scratch, lanes, samples));
    file = fopen(argv[4], "wb");
    if (!file || fwrite(fit, 4, out, file) != out) return 3;
    return fclose(file);
}
"#;
const FORECAST_MAIN: &str = r#"
#include <stdio.h>
#include <stdlib.h>
int main(int argc, char** argv) {
    int lanes = atoi(argv[1]), steps = atoi(argv[2]);
    size_t in = (size_t)lanes * 28, out = (size_t)lanes * steps;
    float* fit = malloc(in * 4);
    float* mean = malloc(out * 8);
    FILE* file = fopen(argv[3], "rb");
    if (argc != 5 || !file || fread(fit, 4, in, file) != in) return 2;
    memset(mean, 0xff, out * 8);
    RUN_GROUPS(lanes / 64, arima_forecast(fit, mean, mean + out, lanes, steps));
    file = fopen(argv[4], "wb");
    if (!file || fwrite(mean, 4, 2 * out, file) != 2 * out) return 3;
    return fclose(file);
}
"#;

/// Is there a C compiler? Without one the test is skipped, aloud, unless REQUIRE names it.
fn has_cc() -> bool {
    let found = Command::new("cc").arg("--version").output().is_ok_and(|o| o.status.success());
    let required = std::env::var("REQUIRE").is_ok_and(|r| r.split(',').any(|v| v == "cc"));
    assert!(found || !required, "REQUIRE=cc, and there is no cc");
    if !found {
        println!("SKIPPED: there is no cc on this machine");
    }
    found
}

fn build(dir: &Path, spec: &KernelSpec, main: &str) {
    let source = dir.join("kernel.c");
    std::fs::write(&source, format!("{NATIVE}\n{}\n{main}", spec.gpu)).expect("source");
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-O2", "-Wall", "-Werror", "-ffp-contract=off", "-o"]);
    let out = cc.arg(dir.join("kernel")).arg(&source).arg("-lm").output().expect("cc");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

fn run(dir: &Path, lanes: usize, size: usize, input: &[f32]) -> Vec<f32> {
    let bytes: Vec<u8> = input.iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(dir.join("in"), bytes).expect("input");
    let mut kernel = Command::new(dir.join("kernel"));
    kernel.args([lanes.to_string(), size.to_string()]).arg(dir.join("in")).arg(dir.join("out"));
    let status = kernel.status().expect("kernel");
    assert!(status.success(), "{status}");
    let bytes = std::fs::read(dir.join("out")).expect("output");
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

#[test]
fn the_gpu_body_fits_like_the_reference() {
    if !has_cc() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), &arima_fit::SPEC, FIT_MAIN);
    for (seed, lanes, samples) in [(11, 256, 144), (12, 64, 24), (13, 64, 288)] {
        let y = cases::case(seed, lanes, samples);
        let words = run(dir.path(), lanes, samples, &y);
        assert_eq!(words.len(), lanes * FIT_WORDS);
        for lane in 0..lanes {
            arima_fit::check(&y, samples, &words, lane).unwrap();
        }
    }
}

#[test]
fn the_gpu_body_forecasts_like_the_reference() {
    if !has_cc() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    build(dir.path(), &arima_forecast::SPEC, FORECAST_MAIN);
    for (lanes, steps) in [(256, 12), (64, 1), (64, 288)] {
        let words = cases::fitted(14, lanes, 96);
        let out = run(dir.path(), lanes, steps, &words);
        let (mean, variance) = out.split_at(lanes * steps);
        for lane in 0..lanes {
            arima_forecast::check(&words, steps, mean, variance, lane).unwrap();
        }
    }
}
