//! Commands without a network: `backtest` and `forecast`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foreshade_accel::{Engine, OpenOptions};
use foreshade_appliance_core::{Core, CoreConfig, Exclusion, MemoryJournal};
use foreshade_forecast::Fleet as Forecaster;
use foreshade_forecast::lstm::LstmModel;
use foreshade_forecast::run::{Origins, Request, RunError, Told};
use foreshade_plan::baseline::Baseline;
use foreshade_plan::{Mode, Policy};
use foreshade_sim::backtest;
use foreshade_sim::fleet::Fleet;
use foreshade_sim::report::{PolicyReport, Report};
use foreshade_telemetry::trace::Trace;

use crate::cli::{BacktestArgs, ForecastArgs};
use crate::exclude::Exclusions;
use crate::output::{check, write_json, write_text};
use crate::picture::{fan_chart, heat_map};
use crate::view::{Progress, say, table};
use crate::{Failure, Traces};

/// The baselines by name.
pub(crate) const BASELINES: [(&str, Baseline); 3] =
    [("none", Baseline::None), ("reactive", Baseline::Reactive), ("peak", Baseline::Peak)];

/// How this program opens devices: built kernels are kept in the user's cache folder.
pub(crate) fn options(threads: u16) -> OpenOptions {
    let folder = |name: &str, below: &str| {
        // The XDG specification has relative paths ignored.
        std::env::var_os(name).map(PathBuf::from).filter(|v| v.is_absolute()).map(|v| v.join(below))
    };
    let cache_dir = folder("XDG_CACHE_HOME", "foreshade").or_else(|| folder("HOME", ".cache/foreshade"));
    OpenOptions { threads: usize::from(threads), cache_dir, ..OpenOptions::default() }
}

/// Opens a device by name; a wrong name is a usage error.
pub(crate) fn open(backend: &str, threads: u16) -> Result<Engine, Failure> {
    let options = options(threads);
    foreshade_accel::open(backend, &options).map_err(|e| Failure::Usage(e.to_string()))
}

/// The shipped model on a device.
pub(crate) fn forecaster(config: &CoreConfig, backend: Engine) -> Result<Forecaster, Failure> {
    let model = LstmModel::shipped().map_err(|e| Failure::failed(&e))?;
    Forecaster::new(Core::fleet_config(config), Some(Arc::new(model)), backend)
        .map_err(|e| Failure::failed(&e))
}

/// Runs the named baselines on a fleet.
pub(crate) fn baselines(
    fleet: &Fleet,
    policy: &Policy,
    only: Option<&str>,
) -> BTreeMap<String, PolicyReport> {
    let wanted = BASELINES.iter().filter(|(name, _)| only.is_none_or(|o| o == *name));
    wanted.map(|(name, kind)| ((*name).to_owned(), backtest::baseline(fleet, *kind, policy).0)).collect()
}

fn policy(path: Option<&Path>) -> Result<Policy, Failure> {
    let Some(path) = path else { return Ok(Policy { mode: Mode::Auto, ..Policy::default() }) };
    let mut policy = crate::policy::read(path)?;
    // A backtest asks what the policy would have done: advice does not hold it back, what is off does.
    let act = |m: &mut Mode| *m = if *m == Mode::Off { Mode::Off } else { Mode::Auto };
    policy.modes.0.values_mut().chain([&mut policy.mode]).for_each(act);
    Ok(policy)
}

/// A TOML error without its drawing.
pub(crate) fn at_line(text: &str, e: &toml::de::Error) -> String {
    let line = e.span().map_or(1, |s| text[..s.start.min(text.len())].matches('\n').count() + 1);
    format!("line {line}: {}", e.message())
}

/// `foreshade backtest`
pub(crate) fn backtest(args: &BacktestArgs) -> Result<(), Failure> {
    check(&args.report)?;
    let policy = policy(args.policy.as_deref())?;
    let exclusions = Exclusions::read(args.fleet.exclude.as_deref())?;
    let fleet = |which: &String| {
        let traces = Traces::load(which)?;
        let fleet = traces.fleet(&args.fleet)?;
        let excluded = exclusions.of_fleet(&traces.trace, &fleet);
        Ok((fleet, excluded))
    };
    let fleets: Vec<_> = args.trace.iter().map(fleet).collect::<Result<_, Failure>>()?;
    let mode = if policy.mode == Mode::Off { "off" } else { "auto" };
    let mut reports = Vec::new();
    for (fleet, excluded) in &fleets {
        let (report, left_out) = replay(fleet, excluded, &policy, args)?;
        say(&format!(
            "{}: {} VMs on {} hosts, {} ticks of {} s; mode {mode}, on simulated racks only\n",
            fleet.name, report.vms, report.hosts, report.ticks, fleet.cadence_s
        ));
        exclusions.tell(&left_out);
        let tables = [
            table::policies(&report, None),
            table::forecast(&report),
            table::outlook(&report),
            table::anomalies(&report),
            table::changed(&report),
        ];
        say(&tables.concat());
        reports.push(report);
    }
    match reports.as_slice() {
        [one] => write_json(&args.report, one),
        many => write_json(&args.report, &many),
    }
}

/// A run, and how many samples each exclusion left out.
fn replay(
    fleet: &Fleet,
    excluded: &[Exclusion],
    policy: &Policy,
    args: &BacktestArgs,
) -> Result<(Report, Vec<u64>), Failure> {
    let device = open(&args.fleet.backend, args.fleet.threads)?;
    let (name, simd) = (device.info().driver.to_owned(), device.info().simd.to_string());
    let config = backtest::core_config(fleet, policy, &name, usize::from(args.fleet.threads));
    let core = Core::new(config.clone(), forecaster(&config, device)?).excluding(excluded.to_vec());
    let mut left_out = vec![0; excluded.len()];
    let mut report = Report::new(fleet, args.fleet.seed, &name, &simd, env!("CARGO_PKG_VERSION"));
    let progress = Progress::new(fleet.last.0 + 1, "backtest", false);
    let outcome = backtest::foreshade(fleet, core, &mut MemoryJournal::default(), |core, s| {
        left_out.copy_from_slice(core.left_out());
        progress.at(s.tick.0 + 1);
    });
    let outcome = outcome.map_err(|e| Failure::failed(&e))?;
    progress.finish();
    report.policies = baselines(fleet, policy, args.baseline.as_deref());
    report.policies.insert("foreshade".into(), outcome.policy);
    report.forecast = outcome.forecast;
    report.coverage = outcome.coverage;
    report.outlook = Some(outcome.outlook);
    report.anomalies = Some(outcome.anomalies);
    report.changed_by_forecast = Some(outcome.changed);
    Ok((report, left_out))
}

/// `foreshade forecast`
pub(crate) fn forecast(args: &ForecastArgs) -> Result<(), Failure> {
    for file in [Some(&args.out), args.heat_map.as_ref(), args.fan_chart.as_ref()].into_iter().flatten() {
        check(file)?;
    }
    let origins: Origins = args.origins.parse().map_err(|e: RunError| Failure::Usage(e.to_string()))?;
    let exclusions = Exclusions::read(args.exclude.as_deref())?;
    drop(open(&args.backend, args.threads)?);
    let model = match &args.model {
        None => LstmModel::shipped(),
        Some(dir) => {
            let file = dir.join("model.safetensors");
            let cannot =
                |e| Failure::Usage(format!("cannot read {}: {e}; --model names its folder", file.display()));
            LstmModel::from_safetensors(&fs::read(&file).map_err(cannot)?)
        }
    };
    let options = options(args.threads);
    let request = Request {
        input: &args.input,
        origins: &origins,
        horizons_s: &args.horizons,
        out: &args.out,
        threads: usize::from(args.threads),
        model: Some(Arc::new(model.map_err(|e| Failure::failed(&e))?)),
        backend: &|| foreshade_accel::open(&args.backend, &options),
    };
    let mut progress = None;
    let mut trace = Trace::read(&args.input).map_err(|e| Failure::failed(&e))?;
    exclusions.leave_out(&mut trace)?;
    let done = foreshade_forecast::run::tell_of(trace, &request, |done, total| {
        progress.get_or_insert_with(|| Progress::new(total, "forecast", false)).at(done);
    });
    let (done, told) = done.map_err(|e| match e {
        RunError::Horizon(_) | RunError::Origins(_) => Failure::Usage(e.to_string()),
        e => Failure::failed(&e),
    })?;
    if let Some(p) = progress {
        p.finish();
    }
    let out = args.out.display();
    say(&format!("{out}: {} rows from {} series, {} samples\n", done.rows, done.series, done.samples));
    draw(args, &told)
}

/// The pictures that were asked for.
fn draw(args: &ForecastArgs, told: &Told) -> Result<(), Failure> {
    if let Some(path) = &args.heat_map {
        write_text(path, &heat_map(told))?;
    }
    if let (Some(path), Some(series)) = (&args.fan_chart, &args.series) {
        let (name, column) = match series.rsplit_once(':') {
            Some((name, column)) => (name, Some(column)),
            None => (series.as_str(), None),
        };
        let picture = fan_chart(told, name, column)
            .map_err(|why| Failure::Usage(format!("--series {series}: {why}")))?;
        write_text(path, &picture)?;
    }
    Ok(())
}
