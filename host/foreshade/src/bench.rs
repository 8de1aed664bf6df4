//! `foreshade bench`: how fast a device does the product's work, through the same door as the product.

mod forecast;
mod meter;
mod placement;

use std::time::Duration;

use foreshade_accel::Engine;
use serde::Serialize;

use crate::Failure;
use crate::cli::BenchArgs;
use crate::devices::{aligned, threads};
use crate::offline::options;
use crate::view::{name, say};

use meter::Times;

/// What a bench says. Its keys are stable.
#[derive(Debug, Clone, Serialize)]
struct Sheet {
    bench: &'static str,
    version: &'static str,
    backend: &'static str,
    device: String,
    device_version: String,
    /// Instruction set, compute capability or kernel form.
    form: String,
    /// Host threads; 0 where the device has its own.
    threads: usize,
    results: Vec<Figure>,
}

/// One figure.
#[derive(Debug, Clone, Serialize)]
struct Figure {
    case: String,
    /// Calls that were timed.
    calls: usize,
    ms_best: f64,
    ms_median: f64,
    ms_p99: f64,
    /// What is counted: VM steps, series, cells.
    unit: &'static str,
    /// In the best call.
    units_per_s: f64,
    /// Of the products alone (2 per multiply-add), in the best call.
    #[serde(skip_serializing_if = "Option::is_none")]
    mac_gflops: Option<f64>,
    /// Multiply-adds of the same threads with all operands in registers, measured in turns with the calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    fma_peak_gflops: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share_of_fma_peak: Option<f64>,
}

/// What a call does, for its figure.
struct Work {
    case: String,
    unit: &'static str,
    units: f64,
    /// Floating-point operations of the products; `None` where they are not what bounds it.
    flop: Option<f64>,
}

/// `foreshade bench`
pub(crate) fn command(args: &BenchArgs) -> Result<(), Failure> {
    let sheet = match args.what.as_str() {
        "forecast" => forecast::run(args)?,
        "placement" => placement::run(args)?,
        "ingest" => return Err(Failure::NotBuilt("bench ingest")),
        "decisions" => return Err(Failure::NotBuilt("bench decisions")),
        _ => return Err(Failure::NotBuilt("bench e2e")),
    };
    if args.json {
        let text = serde_json::to_string_pretty(&sheet).map_err(|e| Failure::failed(&e))?;
        say(&(text + "\n"));
    } else {
        say(&sheet.text());
    }
    Ok(())
}

/// A tick's deadline would end the measurement of work that no tick has.
const DEADLINE: Duration = Duration::from_secs(60);

fn device(args: &BenchArgs) -> Result<Engine, Failure> {
    let mut options = options(args.threads);
    options.care.deadline = DEADLINE;
    foreshade_accel::open(&args.backend, &options).map_err(|e| Failure::Usage(e.to_string()))
}

/// A result that cannot be: a figure of it would mean nothing.
fn check(ok: bool, what: &str) -> Result<(), Failure> {
    let wrong = || Failure::Failed(format!("bench: {what}; run foreshade devices --test"));
    ok.then_some(()).ok_or_else(wrong)
}

impl Sheet {
    fn new(bench: &'static str, engine: &Engine) -> Self {
        let i = engine.info();
        Self {
            bench,
            version: env!("CARGO_PKG_VERSION"),
            backend: i.driver,
            device: name(&i.device),
            device_version: name(&i.version),
            form: name(&i.simd),
            threads: i.threads,
            results: vec![],
        }
    }

    /// Adds a figure. A device that gave the work to another one has none of its own.
    fn add(&mut self, engine: &Engine, work: Work, times: &Times) -> Result<(), Failure> {
        let out = engine.standing().into_iter().find_map(|s| s.out.map(|why| (s.name, why)));
        if let Some((device, why)) = out {
            return Err(Failure::Failed(format!(
                "bench: {device} failed ({why}); run foreshade devices --test"
            )));
        }
        let best = times.best();
        let per_s = |n: f64| n / best.as_secs_f64().max(1e-12);
        let mac_gflops = work.flop.map(|flop| per_s(flop) / 1e9);
        let fma_peak_gflops = work.flop.and(times.peak_flops()).map(|p| p / 1e9);
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        self.results.push(Figure {
            case: work.case,
            calls: times.calls(),
            ms_best: ms(best),
            ms_median: ms(times.at(0.5)),
            ms_p99: ms(times.at(0.99)),
            unit: work.unit,
            units_per_s: per_s(work.units),
            mac_gflops,
            fma_peak_gflops,
            share_of_fma_peak: mac_gflops.zip(fma_peak_gflops).map(|(a, b)| a / b),
        });
        Ok(())
    }

    fn text(&self) -> String {
        let threads = threads(self.threads);
        let about = format!("{} {} {} {}", self.backend, self.device, self.device_version, self.form);
        let head = about.split_whitespace().collect::<Vec<_>>().join(" ");
        let names = ["case", "calls", "best ms", "median ms", "p99 ms", "rate", "GFLOP/s", "of FMA peak"];
        let mut rows = vec![names.map(str::to_owned)];
        for f in &self.results {
            let or_dash = |v: Option<String>| v.unwrap_or_else(|| "-".into());
            rows.push([
                f.case.clone(),
                f.calls.to_string(),
                format!("{:.3}", f.ms_best),
                format!("{:.3}", f.ms_median),
                format!("{:.3}", f.ms_p99),
                format!("{:.3e} {}/s", f.units_per_s, f.unit),
                or_dash(f.mac_gflops.map(|v| format!("{v:.1}"))),
                or_dash(f.share_of_fma_peak.map(|v| format!("{:.1} %", 100.0 * v))),
            ]);
        }
        format!("{head}{threads}\n{}", aligned(&rows))
    }
}
