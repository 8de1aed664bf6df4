//! Nothing but a series' own past may show in its forecast.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::{Lcg, fleet, usage, write_origins, write_trace};
use foreshade_accel::{OpenOptions, open};
use foreshade_forecast::lstm::LstmModel;
use foreshade_forecast::run::{HORIZONS_S, Origins, Request, RunError, Summary, run};
use foreshade_forecast::{Fleet, FleetConfig, SeriesProfile};
use foreshade_types::{Horizon, Resource};
use tempfile::tempdir;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const SAMPLES: usize = 420;

fn forecast(dir: &Path, origins: &Origins, threads: usize) -> Result<(Summary, Vec<u8>), RunError> {
    let out = dir.join("out.parquet");
    let request = Request {
        input: &dir.join("in.parquet"),
        origins,
        horizons_s: &HORIZONS_S,
        out: &out,
        threads,
        model: Some(Arc::new(LstmModel::shipped().unwrap())),
        backend: &|| open("cpu", &OpenOptions::default()),
    };
    let summary = run(&request, |done, total| assert!(done <= total))?;
    Ok((summary, fs::read(&out).unwrap()))
}

fn rows(upto: impl Fn(usize) -> usize, which: &[usize]) -> Vec<(&'static str, usize, f32)> {
    let one = |&s: &usize| {
        let x = usage(s as u64 + 1, SAMPLES);
        (0..upto(s)).map(|i| (NAMES[s], i, x[i])).collect::<Vec<_>>()
    };
    which.iter().flat_map(one).collect()
}

#[test]
fn a_file_cut_at_the_origin_gives_the_same_bytes() {
    let dir = tempdir().unwrap();
    let (input, origins) = (dir.path().join("in.parquet"), Origins::File(dir.path().join("origins.parquet")));
    let mut g = Lcg(7);
    for _ in 0..4 {
        let s = (g.unit() * 4.0) as usize;
        let at = 30 + (g.unit() * (SAMPLES - 60) as f32) as usize;
        write_origins(&dir.path().join("origins.parquet"), &[(NAMES[s], at as i64 * 300_000)]);
        write_trace(&input, &rows(|_| SAMPLES, &[0, 1, 2, 3]));
        let full = forecast(dir.path(), &origins, 1).unwrap().1;
        // Cut there; alone; cut and alone; the others in another order and of other lengths.
        let mut backwards = rows(|o| if o == s { at + 1 } else { SAMPLES - 40 * o }, &[3, 2, 1, 0]);
        backwards.reverse();
        let variants =
            [rows(|_| at + 1, &[0, 1, 2, 3]), rows(|_| SAMPLES, &[s]), rows(|_| at + 1, &[s]), backwards];
        for (i, variant) in variants.iter().enumerate() {
            write_trace(&input, variant);
            assert_eq!(full, forecast(dir.path(), &origins, 1).unwrap().1, "series {s} at {at}, variant {i}");
        }
    }
}

#[test]
fn the_number_of_threads_shows_nowhere() {
    let series: Vec<Vec<f32>> = (0..150).map(|s| usage(s, 60)).collect();
    let (mut one, mut two) = (fleet(150, 300, 1, true), fleet(150, 300, 2, true));
    for t in 0..60 {
        let points: Vec<f32> = series.iter().map(|s| s[t]).collect();
        assert_eq!(one.step(&points).unwrap(), two.step(&points).unwrap(), "tick {t}");
    }
}

/// A fleet of these series, keyed by their number, with the shipped model.
fn keyed(series: &[usize], threads: usize) -> Fleet {
    let profile = |s: &usize| SeriesProfile { key: *s as u64, ..Resource::Cpu.into() };
    let config = FleetConfig {
        series: series.iter().map(profile).collect(),
        horizons: vec![Horizon::Peak(6), Horizon::Step(1), Horizon::Step(12)],
        cadence_s: 300,
        threads,
    };
    let engine = open("cpu", &OpenOptions::default()).unwrap();
    Fleet::new(config, Some(Arc::new(LstmModel::shipped().unwrap())), engine).unwrap()
}

/// Long enough that every series is heard by the network of its behaviour, and changes it: late starts, gaps, new levels.
#[test]
fn a_series_is_forecast_as_if_it_were_alone_whatever_behaves_beside_it() {
    const TICKS: usize = 330;
    let series: Vec<Vec<f32>> = (0..200).map(|s| usage(s, TICKS)).collect();
    let sample = |s: usize, t: usize| {
        if t < s % 40 || (s % 9 == 4 && t % 60 == 7) {
            return f32::NAN;
        }
        let level = if s.is_multiple_of(5) && t > 200 { 40.0 } else { 0.0 };
        series[s][t] * (1.0 + (s % 7) as f32) / 4.0 + level
    };
    let all: Vec<usize> = (0..200).collect();
    let backwards: Vec<usize> = (0..200).rev().collect();
    let picked = [3, 64, 70, 130, 195];
    let mut fleets = [keyed(&all, 1), keyed(&backwards, 2), keyed(&picked, 1)];
    for t in 0..TICKS {
        let [whole, turned, few] = [(0, &all[..]), (1, &backwards), (2, &picked)]
            .map(|(i, which)| {
                let points: Vec<f32> = which.iter().map(|s| sample(*s, t)).collect();
                (i, points)
            })
            .map(|(i, points)| fleets[i].step(&points).unwrap().to_vec());
        for s in 0..200 {
            assert_eq!(whole[s], turned[199 - s], "series {s} at {t}, in another order");
        }
        for (i, s) in picked.into_iter().enumerate() {
            assert_eq!(whole[s], few[i], "series {s} at {t}, with few others");
        }
    }
}

#[test]
fn origins_that_are_no_samples_are_refused() {
    let dir = tempdir().unwrap();
    write_trace(&dir.path().join("in.parquet"), &rows(|_| 60, &[0, 1]));
    let path = dir.path().join("origins.parquet");
    let fails = |rows: &[(&str, i64)], says: &str| {
        write_origins(&path, rows);
        let e = forecast(dir.path(), &Origins::File(path.clone()), 1).unwrap_err().to_string();
        assert!(e.contains(says) && !e.contains('\n'), "{e}");
        assert!(!dir.path().join("out.parquet").exists());
    };
    fails(&[("z", 0)], "series z is not in the input");
    fails(&[("a", 1)], "origin 1 ms is no sample of series a");
    fails(&[("a", 60 * 300_000)], "is no sample of series a");
    fails(&[("a", -300_000)], "is no sample of series a");
    fails(&[("a", 0), ("a", 0)], "asked for twice");
    let none = "100:200:1".parse::<Origins>().unwrap();
    assert!(forecast(dir.path(), &none, 1).unwrap_err().to_string().contains("no sample of any series"));
    let some = "50:59:3".parse::<Origins>().unwrap();
    assert_eq!(forecast(dir.path(), &some, 1).unwrap().0.rows, 2 * 2 * 4 * 4);
}

#[test]
fn a_broken_run_leaves_no_file() {
    let dir = tempdir().unwrap();
    write_trace(&dir.path().join("in.parquet"), &rows(|_| 60, &[0]));
    let origins = "50:59:3".parse::<Origins>().unwrap();
    let request = |out: &Path, horizons: &[u32]| {
        let request = Request {
            input: &dir.path().join("in.parquet"),
            origins: &origins,
            horizons_s: horizons,
            out,
            threads: 1,
            model: None,
            backend: &|| open("cpu", &OpenOptions::default()),
        };
        run(&request, |_, _| {}).unwrap_err().to_string()
    };
    let out = dir.path().join("out.parquet");
    assert!(request(&out, &[60]).contains("horizon 60 s (a step ahead) is no multiple"));
    let far = request(&out, &[176_400]);
    assert!(far.contains("588 samples ahead") && far.contains("up to 172800 s (48 h)"), "{far}");
    assert!(request(&out, &[27_000]).contains("90 samples ahead"), "no whole hour");
    assert!(!far.contains('\n'));
    assert!(request(&out, &[300, 300]).contains("given twice"));
    assert!(request(&out, &[]).contains("no horizon"));
    assert!(request(&dir.path().join("none/out.parquet"), &[300]).contains("none/out.parquet"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
