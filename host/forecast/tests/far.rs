//! Forecast files 1 h to 48 h ahead: what an hour is, that nothing of the future shows, and that intervals hold.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::f32::consts::TAU;
use std::fs;
use std::path::Path;

use common::{Lcg, usage, write_origins, write_trace};
use foreshade_accel::{OpenOptions, open};
use foreshade_forecast::run::{Origins, Request, Told, tell};
use tempfile::tempdir;

const HOURS_S: [u32; 3] = [12 * 3600, 24 * 3600, 48 * 3600];
/// Samples of a day and of an hour.
const DAY: usize = 288;
const HOUR: usize = 12;

fn forecast(dir: &Path, origins: &str, horizons_s: &[u32], threads: usize) -> (Told, Vec<u8>) {
    let (input, out) = (dir.join("in.parquet"), dir.join("out.parquet"));
    let origins: Origins = origins.parse().unwrap();
    let request = Request {
        input: &input,
        origins: &origins,
        horizons_s,
        out: &out,
        threads,
        model: None,
        backend: &|| open("cpu", &OpenOptions::default()),
    };
    let (_, told) = tell(&request, |done, total| assert!(done <= total)).unwrap();
    (told, fs::read(out).unwrap())
}

fn write(dir: &Path, series: &[(&'static str, &[f32])]) {
    let rows: Vec<_> =
        series.iter().flat_map(|(name, x)| x.iter().enumerate().map(|(i, x)| (*name, i, *x))).collect();
    write_trace(&dir.join("in.parquet"), &rows);
}

/// A day of 40 points, its noise, and gaps.
fn daily(seed: u64, days: usize) -> Vec<f32> {
    let mut g = Lcg(seed);
    let wave = |i: usize| 50.0 + 20.0 * (TAU * (i % DAY) as f32 / DAY as f32).sin();
    (0..days * DAY).map(|i| if g.unit() < 0.01 { f32::NAN } else { wave(i) + 6.0 * g.normal() }).collect()
}

/// Mean of the hour that ends with sample `last`.
fn hour(x: &[f32], last: usize) -> f32 {
    let known: Vec<f32> = x[last + 1 - HOUR..=last].iter().copied().filter(|x| !x.is_nan()).collect();
    known.iter().sum::<f32>() / known.len() as f32
}

#[test]
fn a_file_cut_at_the_origin_gives_the_same_bytes_hours_ahead() {
    let dir = tempdir().unwrap();
    let (a, b) = (usage(1, 5 * DAY), usage(2, 5 * DAY));
    let origins = dir.path().join("origins.parquet");
    let horizons = [0, 3600, 86_400, 43_200];
    for at in [7, 640, 1103] {
        write_origins(&origins, &[("b", at as i64 * 300_000)]);
        write(dir.path(), &[("a", &a), ("b", &b)]);
        let full = forecast(dir.path(), origins.to_str().unwrap(), &horizons, 2).1;
        for (i, series) in [
            vec![("b", &b[..=at])],
            vec![("b", &b[..=at]), ("a", &a[..300])],
            vec![("a", &a[..]), ("b", &b[..=at])],
        ]
        .iter()
        .enumerate()
        {
            write(dir.path(), series);
            let cut = forecast(dir.path(), origins.to_str().unwrap(), &horizons, 1).1;
            assert_eq!(full, cut, "origin {at}, variant {i}");
        }
        let mut other = b.clone();
        other[at] = 99.0;
        write(dir.path(), &[("b", &other)]);
        assert_ne!(
            full,
            forecast(dir.path(), origins.to_str().unwrap(), &horizons, 1).1,
            "its own sample counts"
        );
    }
}

#[test]
fn an_hour_ends_where_the_origin_lies_and_samples_ahead_stay_what_they_are() {
    // From 12:30 to 00:30 busy, else idle.
    let busy = |i: usize| i % DAY >= 150 || i % DAY < 6;
    let x: Vec<f32> = (0..14 * DAY).map(|i| if busy(i) { 80.0 } else { 4.0 }).collect();
    let dir = tempdir().unwrap();
    write(dir.path(), &[("a", &x)]);
    // The last sample before 12:30 of the last day: the hour that ends there tomorrow is idle, the next is busy.
    let origin = 13 * DAY + 149;
    assert_eq!((x[origin], x[origin + 1]), (4.0, 80.0));
    let both = forecast(dir.path(), &format!("{origin}:{origin}:1"), &[300, 86_400, 90_000, 3600], 1).0;
    let of = |told: &Told, h: i32| {
        let row = told.rows().find(|r| r.resource == "cpu_pct" && r.horizon_s == h);
        row.map(|r| (r.mean, r.quantiles)).unwrap()
    };
    let (idle, busy) = (of(&both, 86_400).1.q50(), of(&both, 90_000).1.q50());
    assert!(idle < 12.0 && busy > 72.0, "{idle} {busy}");
    let near = forecast(dir.path(), &format!("{origin}:{origin}:1"), &[300, 3600], 1).0;
    for h in [300, 3600] {
        assert_eq!(of(&both, h), of(&near, h), "{h} s");
    }
    // The hour of the rate is of its mean, 80 x 80 KB/s, not of the mean of its logarithms.
    let rate = both.rows().find(|r| r.resource == "net_tx_kbs" && r.horizon_s == 90_000).unwrap();
    assert!((5000.0..8000.0).contains(&rate.quantiles.q50()), "{rate:?}");
}

#[test]
fn a_daily_pattern_is_met_and_the_interval_holds() {
    const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
    let all: Vec<Vec<f32>> = (0..NAMES.len()).map(|s| daily(s as u64 + 1, 36)).collect();
    let series: Vec<_> = NAMES.iter().zip(&all).map(|(n, x)| (*n, &x[..])).collect();
    let dir = tempdir().unwrap();
    write(dir.path(), &series);
    let (from, to) = (19 * DAY + 7, 33 * DAY + 7);
    let told = forecast(dir.path(), &format!("{from}:{to}:{}", 5 * HOUR), &HOURS_S, 2).0;
    for h in HOURS_S {
        let (mut inside, mut below, mut error, mut yesterday, mut n) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for r in told.rows().filter(|r| r.resource == "cpu_pct" && r.horizon_s == h as i32) {
            let x = &all[NAMES.iter().position(|n| *n == r.series).unwrap()];
            let then = r.origin_ms as usize / 300_000 + h as usize / 300;
            let y = hour(x, then);
            inside += f64::from(u8::from((r.quantiles.q05()..=r.quantiles.q95()).contains(&y)));
            below += f64::from(u8::from(y <= r.quantiles.q95()));
            error += f64::from((r.quantiles.q50() - y).abs());
            yesterday += f64::from((hour(x, then - DAY * (h as usize).div_ceil(86_400)) - y).abs());
            n += 1.0;
        }
        let (inside, below) = (inside / n, below / n);
        assert!(n > 180.0, "{n}");
        assert!((0.86..=0.94).contains(&inside), "{h} s: 90 % interval holds {inside}");
        assert!((0.92..=0.98).contains(&below), "{h} s: 95 % bound holds {below}");
        assert!(error < 0.85 * yesterday, "{h} s: error {}, yesterday's {}", error / n, yesterday / n);
    }
}

#[test]
fn what_is_young_or_silent_gets_its_range_and_never_nan() {
    let dir = tempdir().unwrap();
    let silent = vec![f32::NAN; 700];
    let young: Vec<f32> = (0..700).map(|i| 10.0 + (i % 60) as f32).collect();
    // The first sample of a series is known, so that it has a row.
    let late: Vec<f32> = (0..700).map(|i| if (1..650).contains(&i) { f32::NAN } else { 7.0 }).collect();
    write(dir.path(), &[("a", &silent), ("b", &young), ("c", &late)]);
    let told = forecast(dir.path(), "0:699:50", &HOURS_S, 1).0;
    let mut rows = 0;
    for r in told.rows() {
        rows += 1;
        let q = r.quantiles.0;
        assert!(r.mean.is_finite() && q[0] >= 0.0 && q.is_sorted() && q[4].is_finite(), "{r:?}");
        if r.series == "a" {
            assert_eq!((r.mean, q), (0.0, [0.0; 5]));
        }
        if r.series == "b" && r.resource == "cpu_pct" && r.origin_ms == 150 * 300_000 {
            // Thirteen hours of a ramp from 10 to 69: the highest sample bounds them.
            assert!(q[0] >= 10.0 && q[3] < 69.0 && (68.9..=69.1).contains(&q[4]), "{r:?}");
        }
    }
    assert_eq!(rows, 3 * 2 * 14 * 3);
}

#[test]
fn samples_of_any_cadence_have_hours() {
    // Samples 40 min apart: 72 of them are 48 h, so that all horizons are samples; of 20 min and 7 s they are not.
    let rows = |horizons_s: &[u32], cadence_s: i64| {
        let dir = tempdir().unwrap();
        let x = daily(3, 4);
        write(dir.path(), &[("a", &x)]);
        let origins: Origins = "700:700:1".parse().unwrap();
        let out = dir.path().join("out.parquet");
        let input = dir.path().join("in.parquet");
        common::write_trace_every(&input, cadence_s, &[("a", &x)]);
        let request = Request {
            input: &input,
            origins: &origins,
            horizons_s,
            out: &out,
            threads: 1,
            model: None,
            backend: &|| open("cpu", &OpenOptions::default()),
        };
        tell(&request, |_, _| {}).map(|(s, _)| s.rows)
    };
    assert_eq!(rows(&[7 * 60, 3600, 7200], 7).unwrap(), 3);
    assert_eq!(rows(&[3600, 86_400 + 3600], 20 * 60).unwrap(), 2);
    assert!(rows(&[3600], 40 * 60).unwrap_err().to_string().contains("is no multiple"));
    assert_eq!(rows(&[7200, 172_800], 40 * 60).unwrap(), 2);
}
