//! The command line. Subcommands that are not built yet take any arguments and say so.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use foreshade_train::Recipe;
use foreshade_types::{Mebibytes, Millicores, VmSize};

/// Forecasts the demand of every VM in a rack and acts before contention.
#[derive(Debug, Parser)]
#[command(name = "foreshade", version, about, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Replay real VM traces through the whole product: QUIC, forecasts, decisions, a simulated rack
    Demo(DemoArgs),
    /// Compare policies on recorded telemetry, in process; the same input gives the same bytes
    Backtest(BacktestArgs),
    /// Forecast the series of a Parquet file at given instants
    Forecast(ForecastArgs),
    /// List every device that can do the work, and why others are passed over
    Devices(DevicesArgs),
    /// Train the LSTM on recorded telemetry
    Train(TrainArgs),
    /// Run the appliance (not built yet)
    Serve(Any),
    /// Run a telemetry agent (not built yet)
    Agent(Any),
    /// Run a rack controller (not built yet)
    Controller(Any),
    /// Issue certificates (not built yet)
    Certs(Any),
    /// Full-screen view of what a journal holds: decisions with their reasons, holds, counts
    Top(TopArgs),
    /// Why a decision was taken or a VM left alone, from a journal
    Explain(ExplainArgs),
    /// Print every setting of a policy, or check a policy file
    Plan(PlanArgs),
    /// State of a running appliance (not built yet)
    Status(Any),
    /// Measure how fast a device forecasts or places
    Bench(BenchArgs),
}

impl Command {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Demo(_) => "demo",
            Self::Backtest(_) => "backtest",
            Self::Forecast(_) => "forecast",
            Self::Devices(_) => "devices",
            Self::Train(_) => "train",
            Self::Serve(_) => "serve",
            Self::Agent(_) => "agent",
            Self::Controller(_) => "controller",
            Self::Certs(_) => "certs",
            Self::Top(_) => "top",
            Self::Explain(_) => "explain",
            Self::Plan(_) => "plan",
            Self::Status(_) => "status",
            Self::Bench(_) => "bench",
        }
    }
}

/// Arguments of a subcommand that is not built yet.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub struct Any {
    /// Not looked at.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub rest: Vec<String>,
}

/// What demo and backtest replay.
#[derive(Debug, Clone, Args)]
pub struct FleetArgs {
    /// Draws the initial placement
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Decision ticks after the warm-up of 144 samples; all the trace has by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub ticks: Option<u64>,
    /// 32-core hosts; by default as many as give 70 % mean load in the warm-up
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=4096))]
    pub hosts: Option<u32>,
    /// Size of VMs whose size the trace does not give
    #[arg(long, value_name = "CORES:GIB", default_value = "4:16", value_parser = vm_size)]
    pub vm_size: VmSize,
    /// Device that forecasts run on
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    pub backend: String,
    /// Threads of the forecaster; results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,
    /// TOML file of stretches of time that are neither learnt from nor scored, as for `forecast`, or by `host`
    #[arg(long, value_name = "FILE")]
    pub exclude: Option<PathBuf>,
}

const DEMO_EXAMPLES: &str = "Examples:
  foreshade demo                                    # 400 VMs of a Google trace, one day
  foreshade demo --trace bitbrains                  # 40 VMs, seven days, six resources
  foreshade demo --trace my.parquet --vm-size 8:32 --report out.json
  foreshade demo --ticks 3 --follow vm7             # one VM's sample through the ten hops";

/// `foreshade demo`
#[derive(Debug, Clone, Args)]
#[command(after_help = DEMO_EXAMPLES)]
pub struct DemoArgs {
    /// Trace to replay: a Parquet file, a folder with one, or the shipped `gcd` or `bitbrains`
    #[arg(long, value_name = "DIR|FILE", default_value = "gcd")]
    pub trace: String,
    /// The fleet.
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// Trace seconds per wall second after the warm-up; as fast as it goes by default
    #[arg(long, value_name = "X", value_parser = positive, allow_negative_numbers = true)]
    pub speed: Option<f64>,
    /// Write the report as JSON
    #[arg(long, value_name = "OUT.json")]
    pub report: Option<PathBuf>,
    /// Plain lines, as when piped, in place of the full-screen view
    #[arg(long)]
    pub plain: bool,
    /// Keep the journal of decisions in this new file, for `foreshade explain`
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
    /// Print the ten hops of this VM's samples at every decision tick (a name of the trace, or vmN)
    #[arg(long, value_name = "VM")]
    pub follow: Option<String>,
}

const BACKTEST_EXAMPLES: &str = "Examples:
  foreshade backtest --trace traces/gcd_400/vms400.parquet --report out.json
  foreshade backtest --trace bitbrains --baseline reactive --policy my.toml --report out.json";

/// `foreshade backtest`
#[derive(Debug, Clone, Args)]
#[command(after_help = BACKTEST_EXAMPLES)]
pub struct BacktestArgs {
    /// Trace to replay (Parquet file, folder, `gcd` or `bitbrains`); of several each is run, one report per trace
    #[arg(long, value_name = "FILE", num_args = 1.., default_value = "gcd")]
    pub trace: Vec<String>,
    /// Policy as TOML; the default is the demo's
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Only this baseline beside foreshade; all by default
    #[arg(long, value_name = "none|reactive|peak", value_parser = ["none", "reactive", "peak"])]
    pub baseline: Option<String>,
    /// Write the report as JSON: an object for one trace, a list for several
    #[arg(long, value_name = "OUT.json")]
    pub report: PathBuf,
    /// The fleet.
    #[command(flatten)]
    pub fleet: FleetArgs,
}

const FORECAST_EXAMPLES: &str = "Examples:
  foreshade forecast --input vms.parquet --origins 144:288:6 --out forecasts.parquet
  foreshade forecast --input vms.parquet --origins 2013-08-02T00:00:00Z:2013-08-03T00:00:00Z:3600 --out f.parquet
  foreshade forecast --input vms.parquet --origins origins.parquet --horizons 0,300 --out f.parquet
  foreshade forecast --input vms.parquet --origins 8000:8640:12 --horizons 3600,43200,86400,172800 --out f.parquet
  foreshade forecast --input vms.parquet --origins 276:276:1 --out f.parquet --heat-map heat.svg
  foreshade forecast --input vms.parquet --origins 276:276:1 --out f.parquet --fan-chart fan.svg --series vm197:cpu_pct
  foreshade forecast --input vms.parquet --origins 8000:8640:12 --out f.parquet --exclude maintenance.toml

An excluded stretch is `[[exclude]]` with `vm` (a name; without it all), `from`, `to` and `reason`.
Only samples up to an origin influence its forecast. Horizon 0 is the largest value of the next 30 min. Up to 72 samples ahead
a horizon is the value of that sample; beyond, whole hours up to 172800 (48 h) are the mean of the hour that ends there.";

/// `foreshade forecast`
#[derive(Debug, Clone, Args)]
#[command(after_help = FORECAST_EXAMPLES)]
pub struct ForecastArgs {
    /// Long-form Parquet: `series` or `vm`, `ts` or `slot`, value columns
    #[arg(long, value_name = "FILE.parquet")]
    pub input: PathBuf,
    /// Model folder with model.safetensors; the shipped model by default
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// Device to run on
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    pub backend: String,
    /// Instants to forecast at: samples, times, or a Parquet file of (series, origin)
    #[arg(long, value_name = "FROM:TO:STEP|ORIGINS.parquet")]
    pub origins: String,
    /// Horizons in seconds; 0 = the 30-min peak; beyond 72 samples whole hours up to 172800
    #[arg(long, value_name = "S,...", value_delimiter = ',', default_value = "0,300,1800,3600")]
    pub horizons: Vec<u32>,
    /// Where to write
    #[arg(long, value_name = "OUT.parquet")]
    pub out: PathBuf,
    /// TOML file of stretches of time whose samples count as missing
    #[arg(long, value_name = "FILE")]
    pub exclude: Option<PathBuf>,
    /// Draw VM x horizon for every column, from each series' newest origin
    #[arg(long, value_name = "OUT.svg")]
    pub heat_map: Option<PathBuf>,
    /// Draw one series: its past, the fan of its forecast, and what came
    #[arg(long, value_name = "OUT.svg", requires = "series")]
    pub fan_chart: Option<PathBuf>,
    /// Series of the fan chart, and its column where that is not the first
    #[arg(long, value_name = "NAME[:COLUMN]", requires = "fan_chart")]
    pub series: Option<String>,
    /// Threads; results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,
}

const DEVICES_EXAMPLES: &str = "Examples:
  foreshade devices                                 # what there is, and what `--backend auto` takes
  foreshade devices --test --json                   # each device also proves its kernels

FORESHADE_ACCEL_DISABLE=opencl,cuda,wgpu leaves those libraries alone.";

/// `foreshade devices`
#[derive(Debug, Clone, Args)]
#[command(after_help = DEVICES_EXAMPLES)]
pub struct DevicesArgs {
    /// The same as an object
    #[arg(long)]
    pub json: bool,
    /// Build every kernel on every device and hold it to the reference
    #[arg(long)]
    pub test: bool,
}

const TRAIN_EXAMPLES: &str = "Examples:
  foreshade train --input vms.parquet --out models/mine
  foreshade train --input train/*.parquet --calib calib/*.parquet --out models/mine --exclude shown.txt
  foreshade train --input vms.parquet --out models/mine --resume          # after it was stopped
  foreshade train --input vms.parquet --out models/mine --init lstm.safetensors --epochs 8
  foreshade forecast --model models/mine ...                              # to use it

Inputs are as for `forecast`, a sample every 300 s. Each column of each file counts the same. The best epoch is kept. The
same inputs, options and instruction set give the same model, whatever the threads and however often it was stopped: it
can be stopped at any time, and goes on from the last whole epoch.";

/// `foreshade train`
#[derive(Debug, Clone, Args)]
#[command(after_help = TRAIN_EXAMPLES)]
pub struct TrainArgs {
    /// Traces to learn from: long-form Parquet
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub input: Vec<PathBuf>,
    /// Folder for model.safetensors and card.json
    #[arg(long, value_name = "MODEL_DIR")]
    pub out: PathBuf,
    /// Train only this weight set, cpu or other (memory, disk, network); the shipped model gives the other
    #[arg(long, value_name = "NAME", value_parser = ["cpu", "other"])]
    pub profile: Option<String>,
    /// Train only these networks; the others are those of --init or of the shipped model
    #[arg(long, value_name = "NAME", value_parser = ["lstm", "mlp"])]
    pub member: Option<String>,
    /// Epochs at most; 12 for cpu and 24 for other by default, a quarter for a behaviour's network
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub epochs: Option<u32>,
    /// Traces to judge each epoch by; a tenth of the VMs, held out, by default
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub calib: Vec<PathBuf>,
    /// Ids not to train on, one a line: bitbrains:411
    #[arg(long, value_name = "FILE")]
    pub exclude: Option<PathBuf>,
    /// Start the LSTM from these weights: a model, its folder, or a state dict of a torch.nn.LSTM in safetensors; feed-forward networks begin anew
    #[arg(long, value_name = "FILE|DIR")]
    pub init: Option<PathBuf>,
    /// Draws the first weights and the order of learning
    #[arg(long, value_name = "N", default_value_t = Recipe::default().seed)]
    pub seed: u64,
    /// Units of the LSTM
    #[arg(long, value_name = "N", conflicts_with = "init", value_parser = clap::value_parser!(u16).range(1..=128))]
    pub hidden: Option<u16>,
    /// Units of the head, unless --init brings one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub width: Option<u16>,
    /// Behaviours that get a feed-forward network of their own; 0 = none, and no such network for all series either
    #[arg(long, value_name = "N", default_value_t = Recipe::default().behaviours as u8, value_parser = clap::value_parser!(u8).range(0..=16))]
    pub behaviours: u8,
    /// Days of series in a batch, over all columns and files
    #[arg(long, value_name = "N", default_value_t = Recipe::default().batch as u32, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub batch: u32,
    /// Batches of an epoch
    #[arg(long, value_name = "N", default_value_t = Recipe::default().batches, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub batches: u32,
    /// Highest learning rate
    #[arg(long, value_name = "X", default_value_t = Recipe::default().rate, value_parser = positive)]
    pub rate: f64,
    /// Epochs without a better one before it ends
    #[arg(long, value_name = "N", default_value_t = Recipe::default().patience, value_parser = clap::value_parser!(u32).range(1..))]
    pub patience: u32,
    /// Go on where a training into this folder was stopped
    #[arg(long)]
    pub resume: bool,
    /// Replace what is in the folder
    #[arg(long)]
    pub force: bool,
    /// Threads; results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,
    /// Print the model card as JSON instead of lines
    #[arg(long)]
    pub json: bool,
}

const EXPLAIN_EXAMPLES: &str = "Examples:
  foreshade demo --ticks 12 --journal run.redb
  foreshade explain --journal run.redb                # every decision, a line each
  foreshade explain 1.0.17 --journal run.redb         # one of them
  foreshade explain --vm vm_5017010629_4 --journal run.redb
  foreshade explain --verify --journal run.redb       # was the journal changed afterwards?";

/// `foreshade explain`
#[derive(Debug, Clone, Args)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub struct ExplainArgs {
    /// Number of a decision, EPOCH.RACK.SEQ; every decision by default
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// The journal: `demo --journal` writes one
    #[arg(long, value_name = "FILE")]
    pub journal: PathBuf,
    /// What was decided about this VM, and why it was left alone otherwise (a name, or vmN)
    #[arg(long, value_name = "VM", conflicts_with = "id")]
    pub vm: Option<String>,
    /// Check that no record was changed, taken out or put in since it was written
    #[arg(long, conflicts_with_all = ["id", "vm"])]
    pub verify: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

const TOP_EXAMPLES: &str = "Examples:
  foreshade demo --journal run.redb
  foreshade top --journal run.redb
  foreshade top --journal run.redb --follow         # while the demo writes it

A running appliance cannot be asked yet; give the journal.";

/// `foreshade top`
#[derive(Debug, Clone, Args)]
#[command(after_help = TOP_EXAMPLES)]
pub struct TopArgs {
    /// The journal: `demo --journal` writes one
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,
    /// Show what is written to it from now on, too
    #[arg(long)]
    pub follow: bool,
    /// Plain lines, as when piped
    #[arg(long)]
    pub plain: bool,
}

const PLAN_EXAMPLES: &str = "Examples:
  foreshade plan --print-policy --preset safe > my.toml     # every setting with its range, ready to be changed
  foreshade plan --policy my.toml --check-config            # exit 2 and a line for each that is wrong
  foreshade plan --json-schema > policy.schema.json         # for editors

What would be decided now on a running fleet is not built yet.";

/// `foreshade plan`
#[derive(Debug, Clone, Args)]
#[command(after_help = PLAN_EXAMPLES)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["print_policy", "json_schema", "policy"]))]
pub struct PlanArgs {
    /// Print every setting with its default, range and what it is for, as TOML
    #[arg(long)]
    pub print_policy: bool,
    /// As this preset has them
    #[arg(long, value_name = "safe|balanced|dense", requires = "print_policy", value_parser = ["safe", "balanced", "dense"])]
    pub preset: Option<String>,
    /// Print the JSON Schema of policy files
    #[arg(long)]
    pub json_schema: bool,
    /// The policy file
    #[arg(long, value_name = "FILE", requires = "check_config")]
    pub policy: Option<PathBuf>,
    /// Say what is wrong with the policy file
    #[arg(long, requires = "policy")]
    pub check_config: bool,
}

const BENCH_EXAMPLES: &str = "Examples:
  foreshade bench forecast --threads 1
  foreshade bench placement --backend opencl-cpu --vms 2000 --json";

/// `foreshade bench`
#[derive(Debug, Clone, Args)]
#[command(after_help = BENCH_EXAMPLES)]
pub struct BenchArgs {
    /// What to measure; ingest, decisions and e2e are not built yet
    #[arg(value_name = "WHAT", value_parser = ["forecast", "placement", "ingest", "decisions", "e2e"])]
    pub what: String,
    /// Device to measure; cpu@avx2 = the processor with that instruction set
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    pub backend: String,
    /// VMs: 16,384 to forecast, 200 to place by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    pub vms: Option<u32>,
    /// Hosts to place them on
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub hosts: u32,
    /// Threads of the processor's kernels
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: u16,
    /// How long to measure each figure
    #[arg(long, value_name = "S", default_value = "2", value_parser = positive)]
    pub seconds: f64,
    /// The same as an object
    #[arg(long)]
    pub json: bool,
}

fn vm_size(text: &str) -> Result<VmSize, String> {
    let size = || {
        let (cores, gib) = text.split_once(':')?;
        let (cores, gib): (u64, u64) = (cores.parse().ok()?, gib.parse().ok()?);
        let fits = (1..=1024).contains(&cores) && (1..=65_536).contains(&gib);
        fits.then_some(VmSize { cpu: Millicores(cores * 1000), memory: Mebibytes(gib * 1024) })
    };
    size().ok_or_else(|| "give cores and GiB as 4:16".into())
}

fn positive(text: &str) -> Result<f64, String> {
    let x: f64 = text.parse().map_err(|_| "give a number".to_owned())?;
    if x.is_finite() && x > 0.0 { Ok(x) } else { Err("give a number above 0".into()) }
}

/// What is wrong with a command line, on one line; `None` if help or the version was asked for.
pub fn one_line(e: &clap::Error) -> Option<String> {
    let asked = [
        ErrorKind::DisplayHelp,
        ErrorKind::DisplayVersion,
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
    ];
    if asked.contains(&e.kind()) {
        return None;
    }
    let text = e.to_string();
    let what = text.strip_prefix("error: ").unwrap_or(&text);
    let lines = what.lines().map(str::trim).take_while(|l| !l.starts_with("Usage:"));
    let said = lines.filter(|l| !l.is_empty() && !l.starts_with("For more information"));
    Some(format!("{}; see --help", said.collect::<Vec<_>>().join("; ").replace(":; ", ": ")))
}
