//! Hourly means and peaks of processor use, 1 h, 6 h and 24 h ahead, in both sizes, beside the last value and the same hour of
//! yesterday, which get their intervals from their own past errors in the same way, and beside the percentiles of the last
//! day's hours:
//! `seasonal_backtest FIRST_SCORED_MS SAMPLES.parquet...` (columns vm, ts, cpu_pct; files in order of time). An origin is
//! the end of every hour from FIRST_SCORED_MS on. Intervals of ratios: 95 %, 1,000 resamples of whole VMs.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, TimestampMillisecondType, UInt16Type};
use foreshade_forecast::seasonal::rollup::{HOUR_MS, Rollup};
use foreshade_forecast::seasonal::{Seasonal, Size};
use foreshade_types::{LEVELS, Transform};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

const HORIZONS_H: [usize; 3] = [1, 6, 24];
const METHODS: [&str; 5] = ["seasonal", "compact", "last value", "yesterday", "last day"];
/// The one that ratios are to.
const LAST_VALUE: usize = 2;
const YESTERDAY: usize = 3;
/// Outcomes that the naive methods remember, as the seasonal member does.
const KEPT: usize = 336;

/// Quantiles at LEVELS of (hourly mean, peak) of each method, as far as it speaks.
type Voice = Option<([f32; 5], [f32; 5])>;

#[derive(Debug, Clone, Copy, Default)]
struct Score {
    n: f64,
    pinball: f64,
    covered: f64,
    width: f64,
    peak_pinball: f64,
    peak_violations: f64,
}

fn pinball(q: &[f32; 5], y: f32) -> f64 {
    let loss = |(l, q): (&f32, &f32)| f64::from((l * (y - q)).max((l - 1.0) * (y - q)));
    LEVELS.iter().zip(q).map(loss).sum::<f64>() / 5.0
}

impl Score {
    fn add(&mut self, (mean, peak): &([f32; 5], [f32; 5]), y: f32, top: f32) {
        self.n += 1.0;
        self.pinball += pinball(mean, y);
        self.covered += f64::from(u8::from((mean[0]..=mean[3]).contains(&y)));
        self.width += f64::from(mean[3] - mean[0]);
        self.peak_pinball += pinball(peak, top);
        self.peak_violations += f64::from(u8::from(top > peak[3]));
    }

    fn plus(mut self, o: &Self) -> Self {
        self.n += o.n;
        self.pinball += o.pinball;
        self.covered += o.covered;
        self.width += o.width;
        self.peak_pinball += o.peak_pinball;
        self.peak_violations += o.peak_violations;
        self
    }
}

/// A centre with the quantiles of its newest errors.
fn around(centre: f32, past: &[f32]) -> Option<[f32; 5]> {
    let mut e: Vec<f32> = past.iter().copied().filter(|e| !e.is_nan()).collect();
    if e.len() < 24 || centre.is_nan() {
        return None;
    }
    e.sort_unstable_by(f32::total_cmp);
    let last = e.len() - 1;
    let at = |l: f32| {
        let rank = ((last + 2) as f32 * l - 1.0).clamp(0.0, last as f32);
        let (low, high) = (e[rank as usize], e[(rank as usize + 1).min(last)]);
        low + rank.fract() * (high - low)
    };
    Some(LEVELS.map(|l| (centre + at(l)).max(0.0)))
}

/// Largest of `n` hours from `from` on; NaN if one is unknown.
fn top(hours: &[Rollup], from: usize, n: usize) -> f32 {
    let hours = &hours[from..from + n];
    let known = hours.iter().all(|r| r.known > 0);
    if known { hours.iter().fold(0.0, |m: f32, r| m.max(r.max)) } else { f32::NAN }
}

/// (centre of the mean, centre of the peak) of a naive method at the end of hour `t`.
fn naive(method: usize, hours: &[Rollup], t: usize, h: usize) -> (f32, f32) {
    if method == LAST_VALUE {
        return (hours[t].mean, hours[t].max);
    }
    // The same hours, whole days ago.
    match (t + h).checked_sub(24 * h.div_ceil(24)) {
        Some(then) if then + 1 >= h => (hours[then].mean, top(hours, then + 1 - h, h)),
        _ => (f32::NAN, f32::NAN),
    }
}

fn naive_voice(method: usize, hours: &[Rollup], t: usize, h: usize) -> Voice {
    let first = (t + 1).saturating_sub(KEPT).max(h);
    let error = |u: usize| {
        let (mean, peak) = naive(method, hours, u - h, h);
        (hours[u].mean - mean, top(hours, u + 1 - h, h) - peak)
    };
    let (means, peaks): (Vec<f32>, Vec<f32>) = (first..=t).map(error).unzip();
    let (mean, peak) = naive(method, hours, t, h);
    Some((around(mean, &means)?, around(peak, &peaks)?))
}

/// Percentiles of the last 24 hours, of their means and of their maxima.
fn last_day(hours: &[Rollup], t: usize) -> Voice {
    let day = &hours[(t + 1).checked_sub(24)?..=t];
    let of = |value: fn(&Rollup) -> f32| around(0.0, &day.iter().map(value).collect::<Vec<_>>());
    Some((of(|r| r.mean)?, of(|r| if r.known > 0 { r.max } else { f32::NAN })?))
}

type Scores = [[Score; HORIZONS_H.len()]; METHODS.len()];

/// Scores one VM: its samples in order of time, NaN = missing. Origins count where all methods speak.
fn score(samples: &[(i64, f32)], first_scored_ms: i64) -> Scores {
    let mut series = Seasonal::new(Transform::Points);
    let mut compact = Seasonal::with_size(Transform::Points, Size::Compact);
    let mut hours: Vec<Rollup> = Vec::new();
    let mut said: Vec<[[Voice; HORIZONS_H.len()]; 2]> = Vec::new();
    let mut scored_from = usize::MAX;
    for &(t, x) in samples {
        let before = series.rollups().now_h();
        series.observe(t, x);
        compact.observe(t, x);
        let closed = before.and_then(|b| Some(series.rollups().now_h()? - b)).unwrap_or(0) as usize;
        if closed == 0 {
            continue;
        }
        let kept: Vec<Rollup> = series.rollups().hours().copied().collect();
        hours.extend(&kept[kept.len().saturating_sub(closed)..]);
        said.resize(hours.len(), [[None; HORIZONS_H.len()]; 2]);
        if t >= first_scored_ms {
            scored_from = scored_from.min(hours.len() - 1);
            for (k, series) in [&series, &compact].into_iter().enumerate() {
                for f in series.forecast(&HORIZONS_H) {
                    let i = HORIZONS_H.iter().position(|&h| h == f.horizon_h).unwrap_or(0);
                    said[hours.len() - 1][k][i] = Some((f.quantiles.0, f.peak.0));
                }
            }
        }
    }
    let mut out = Scores::default();
    for t in scored_from.min(hours.len())..hours.len() {
        for (i, &h) in HORIZONS_H.iter().enumerate().filter(|(_, h)| t + **h < hours.len()) {
            let (y, peak) = (hours[t + h].mean, top(&hours, t + 1, h));
            let of = |method| naive_voice(method, &hours, t, h);
            let [full, compact] = [said[t][0][i], said[t][1][i]];
            let voices = [full, compact, of(LAST_VALUE), of(YESTERDAY), last_day(&hours, t)];
            if let (Some(all), false) = (voices.into_iter().collect::<Option<Vec<_>>>(), peak.is_nan()) {
                all.iter().zip(&mut out).for_each(|(v, s)| s[i].add(v, y, peak));
            }
        }
    }
    out
}

/// Samples (milliseconds, percent) of each VM.
type Vms = BTreeMap<u16, Vec<(i64, f32)>>;

fn read(files: &[String]) -> Result<Vms, Box<dyn Error>> {
    let mut vms = Vms::new();
    for file in files {
        for batch in ParquetRecordBatchReaderBuilder::try_new(File::open(Path::new(file))?)?.build()? {
            let batch = batch?;
            let column = |n: &str| batch.column_by_name(n).ok_or_else(|| format!("{file}: no column {n}"));
            let (vm, cpu) = (
                column("vm")?.as_primitive::<UInt16Type>(),
                column("cpu_pct")?.as_primitive::<Float32Type>(),
            );
            let ts = column("ts")?.as_primitive::<TimestampMillisecondType>();
            for i in 0..batch.num_rows() {
                let x = if cpu.is_null(i) { f32::NAN } else { cpu.value(i) };
                vms.entry(vm.value(i)).or_default().push((ts.value(i), x));
            }
        }
    }
    Ok(vms)
}

/// 95 % interval of the ratio of two sums over VMs.
fn interval(pairs: &[(f64, f64)]) -> (f64, f64) {
    let mut seed = 1u64;
    let mut draw = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        pairs[(seed >> 33) as usize % pairs.len()]
    };
    let mut ratios: Vec<f64> = (0..1000)
        .map(|_| {
            let (a, b) = pairs.iter().map(|_| draw()).fold((0.0, 0.0), |s, p| (s.0 + p.0, s.1 + p.1));
            a / b
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    (ratios[25], ratios[974])
}

fn report(vms: &[Scores]) {
    println!(
        "horizon method      origins  pinball  ratio [95 %]           coverage90  width90  peak pinball  ratio [95 %]           peak>q95"
    );
    for (i, h) in HORIZONS_H.iter().enumerate() {
        for (m, name) in METHODS.iter().enumerate() {
            let all = vms.iter().fold(Score::default(), |s, v| s.plus(&v[m][i]));
            let ratio = |of: fn(&Score) -> f64| {
                let pairs: Vec<(f64, f64)> =
                    vms.iter().map(|v| (of(&v[m][i]), of(&v[LAST_VALUE][i]))).collect();
                let sum = pairs.iter().fold((0.0, 0.0), |s, p| (s.0 + p.0, s.1 + p.1));
                let (low, high) = interval(&pairs);
                format!("{:.3} [{low:.3}, {high:.3}]", sum.0 / sum.1)
            };
            println!(
                "{h:>4} h  {name:<11} {:>8} {:>8.3}  {:<22} {:>10.3} {:>8.2} {:>13.3}  {:<22} {:>8.3}",
                all.n,
                all.pinball / all.n,
                ratio(|s| s.pinball),
                all.covered / all.n,
                all.width / all.n,
                all.peak_pinball / all.n,
                ratio(|s| s.peak_pinball),
                all.peak_violations / all.n,
            );
        }
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((Ok(first_scored_ms), files)) = args.split_first().map(|(f, r)| (f.parse::<i64>(), r)) else {
        eprintln!("usage: seasonal_backtest FIRST_SCORED_MS SAMPLES.parquet...");
        return ExitCode::FAILURE;
    };
    match read(files) {
        Ok(vms) => {
            let scores: Vec<Scores> = vms.values().map(|v| score(v, first_scored_ms)).collect();
            println!("{} VMs, hours of {} s, ratios to the last value", scores.len(), HOUR_MS / 1000);
            report(&scores);
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
