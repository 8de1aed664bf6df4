//! Small traces, and runs of the whole product on them.
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow_array::{ArrayRef, Float32Array, RecordBatch, StringArray, UInt16Array};
use clap::Parser;
use foreshade::Failure;
use foreshade::cli::{Cli, Command, DemoArgs};
use foreshade::demo::{Demo, Hooks};
use foreshade_accel::{Engine, OpenOptions};
use foreshade_appliance::Observer;
use foreshade_appliance_core::{Core, CoreConfig, FollowLine, Summary};
use foreshade_forecast::Fleet as Forecaster;
use foreshade_forecast::lstm::LstmModel;
use foreshade_sim::report::Report;
use foreshade_types::{Decision, Tick};
use parquet::arrow::ArrowWriter;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};

#[path = "../../../link/tests/support/proxy.rs"]
pub mod proxy;

/// The first tick that decisions are taken at: the last of 144 samples of warm-up.
pub const FIRST_DECISION: u64 = 143;

/// A device that every machine has alike, for what is compared with a file.
pub const BASELINE: &str = if cfg!(target_arch = "x86_64") { "cpu@sse2" } else { "cpu" };

/// VMs and hosts of [`small`]: two racks, each host sold twice over.
pub const VMS: u16 = 36;
pub const HOSTS: u32 = 9;

/// Percent of each VM's size, `[vm][sample]`: a slow wave, noise and bursts; now and then a sample is missing.
pub fn wave(vms: u16, samples: u16, seed: u64) -> Vec<Vec<Option<f32>>> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut below = move |n: u64| (rng.next_u64() % n) as f32;
    let mut vm = |_| {
        let (base, swing, phase) = (20.0 + below(30), 5.0 + below(20), below(288));
        let mut burst = 0;
        let sample = |i| {
            burst = if burst > 0 {
                burst - 1
            } else if below(30) == 0.0 {
                3 + below(6) as i32
            } else {
                0
            };
            let angle = (f32::from(i) + phase) / 48.0 * std::f32::consts::TAU;
            let x = base + swing * angle.sin() + below(600) / 100.0 + if burst > 0 { 45.0 } else { 0.0 };
            (below(50) != 0.0).then_some(x.clamp(0.0, 100.0))
        };
        (0..samples).map(sample).collect()
    };
    (0..vms).map(&mut vm).collect()
}

/// Writes a trace of these CPU samples; memory follows CPU slowly.
pub fn write_trace(path: &Path, cpu: &[Vec<Option<f32>>]) {
    let samples = cpu[0].len() as u16;
    let vm: Vec<u16> = (0..cpu.len() as u16).flat_map(|v| std::iter::repeat_n(v, samples.into())).collect();
    let slot: Vec<u16> = cpu.iter().flat_map(|_| 0..samples).collect();
    let used: Vec<Option<f32>> = cpu.iter().flatten().copied().collect();
    let memory: Vec<Option<f32>> = used.iter().map(|x| x.map(|x| 30.0 + x / 5.0)).collect();
    let columns: [(&str, ArrayRef); 4] = [
        ("vm", Arc::new(UInt16Array::from(vm))),
        ("slot", Arc::new(UInt16Array::from(slot))),
        ("cpu_pct", Arc::new(Float32Array::from(used))),
        ("mem_pct", Arc::new(Float32Array::from(memory))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(n, a)| (n, a, true))).expect("batch");
    let mut w =
        ArrowWriter::try_new(File::create(path).expect("file"), batch.schema(), None).expect("writer");
    w.write(&batch).expect("rows");
    w.close().expect("written");
}

/// The same with names, each beginning with `prefix`, and CPU alone.
pub fn write_named_trace(path: &Path, prefix: &str, cpu: &[Vec<Option<f32>>]) {
    let samples = cpu[0].len() as u16;
    let name = |v| (0..samples).map(move |_| format!("{prefix}{v}"));
    let vm: Vec<String> = (0..cpu.len()).flat_map(name).collect();
    let slot: Vec<u16> = cpu.iter().flat_map(|_| 0..samples).collect();
    let used: Vec<Option<f32>> = cpu.iter().flatten().copied().collect();
    let columns: [(&str, ArrayRef); 3] = [
        ("vm", Arc::new(StringArray::from(vm))),
        ("slot", Arc::new(UInt16Array::from(slot))),
        ("cpu_pct", Arc::new(Float32Array::from(used))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(n, a)| (n, a, true))).expect("batch");
    let mut w =
        ArrowWriter::try_new(File::create(path).expect("file"), batch.schema(), None).expect("writer");
    w.write(&batch).expect("rows");
    w.close().expect("written");
}

/// The trace of most tests: written once per process, 144 + 30 samples.
pub fn small() -> PathBuf {
    static DIR: OnceLock<tempfile::TempDir> = OnceLock::new();
    let dir = DIR.get_or_init(|| {
        let dir = tempfile::tempdir().expect("folder");
        write_trace(&dir.path().join("small.parquet"), &wave(VMS, 174, 7));
        dir
    });
    dir.path().join("small.parquet")
}

/// Parsed arguments of `demo` on the small trace, and some more.
pub fn demo_args(more: &[&str]) -> DemoArgs {
    let (trace, hosts) = (small().display().to_string(), HOSTS.to_string());
    let fixed = ["foreshade", "demo", "--trace", &trace, "--hosts", &hosts, "--vm-size", "16:32"];
    match Cli::parse_from(fixed.iter().chain(more)).command {
        Command::Demo(args) => args,
        other => panic!("{other:?}"),
    }
}

/// What an operator would have seen.
#[derive(Debug, Default, Clone)]
pub struct Recorder {
    pub planned: Vec<Summary>,
    pub refused: Vec<String>,
    pub followed: Vec<FollowLine>,
}

impl Recorder {
    /// All decisions, in order.
    pub fn decisions(&self) -> Vec<Decision> {
        self.planned.iter().flat_map(|s| s.decisions.clone()).collect()
    }
}

impl Observer for Recorder {
    fn planned(&mut self, _: &Core, summary: &Summary) {
        self.planned.push(summary.clone());
    }

    fn refused(&mut self, text: &str) {
        self.refused.push(text.to_owned());
    }

    fn followed(&mut self, line: &FollowLine) {
        self.followed.push(line.clone());
    }
}

/// A run over QUIC.
pub fn run(args: &DemoArgs, hooks: Hooks) -> (Result<Report, Failure>, Recorder) {
    let mut seen = Recorder::default();
    let demo = Demo::new(args).expect("demo");
    (foreshade::demo::run(&demo, hooks, &mut seen), seen)
}

/// A run that ends well: the report's bytes without `hops`, and all decisions.
pub fn finished(args: &DemoArgs, hooks: Hooks) -> (String, Vec<Decision>) {
    let (report, seen) = run(args, hooks);
    assert_eq!(seen.refused, Vec::<String>::new());
    (without_hops(report.expect("a report")), seen.decisions())
}

pub fn without_hops(mut report: Report) -> String {
    let hops = report.hops.take().expect("hops");
    assert_eq!(hops.len(), 10);
    serde_json::to_string_pretty(&report).expect("json")
}

/// The appliance's core for a configuration, with the shipped model on the CPU.
pub fn core(config: &CoreConfig) -> Core {
    let options = OpenOptions { threads: config.threads, ..OpenOptions::default() };
    let device: Engine = foreshade_accel::open("cpu", &options).expect("cpu");
    let model = Arc::new(LstmModel::shipped().expect("model"));
    let forecaster = Forecaster::new(Core::fleet_config(config), Some(model), device).expect("forecaster");
    Core::new(config.clone(), forecaster)
}

/// Decisions taken at `tick` or before.
pub fn until(decisions: &[Decision], tick: Tick) -> Vec<Decision> {
    decisions.iter().filter(|d| d.caused_by <= tick).cloned().collect()
}
