//! Forecasts for a file: every series is streamed from its first sample, as it would have come in, and its forecast is
//! written down at the origins asked for. What is written is what the appliance would have known.

mod origins;
mod output;
mod told;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foreshade_accel::{AccelError, Engine};
use foreshade_telemetry::trace::{Scale, Trace, TraceError, TraceVm};
use foreshade_types::Horizon;
use thiserror::Error;

pub use self::origins::Origins;
use self::output::Rows;
pub use self::told::{Row, Told};
use crate::lstm::LstmModel;
use crate::{Fleet, FleetConfig, ForecastError, SeriesProfile, key};

/// Seconds over which the peak is taken: horizon 0 of a file.
pub const PEAK_S: u32 = 1800;

/// Horizons of a file unless asked otherwise, in seconds.
pub const HORIZONS_S: [u32; 4] = [0, 300, 1800, 3600];

/// Why there is no forecast file.
#[derive(Debug, Error)]
pub enum RunError {
    /// The input cannot be used.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The origins cannot be used.
    #[error("{0}")]
    Origins(String),
    /// A horizon cannot be served at this cadence.
    #[error("{0}")]
    Horizon(String),
    /// The forecaster refused.
    #[error(transparent)]
    Forecast(#[from] ForecastError),
    /// The device cannot be opened, or failed on the way.
    #[error(transparent)]
    Accel(#[from] AccelError),
    /// The output cannot be written.
    #[error("cannot write {}: {why}; check the folder, its permissions and the space left", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        why: String,
    },
}

/// What to forecast and where to write it.
pub struct Request<'a> {
    /// The trace, see [`foreshade_telemetry::trace`].
    pub input: &'a Path,
    /// The instants.
    pub origins: &'a Origins,
    /// Seconds ahead; 0 = the largest value of the next 30 min. In the order of the output.
    pub horizons_s: &'a [u32],
    /// The file to write. It appears whole or not at all.
    pub out: &'a Path,
    /// Threads to use, at least 1.
    pub threads: usize,
    /// The LSTM; `None` = the other members alone.
    pub model: Option<Arc<LstmModel>>,
    /// Opens the device; called once per column.
    pub backend: &'a dyn Fn() -> Result<Engine, AccelError>,
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request {{ input: {:?}, origins: {:?}, out: {:?} }}", self.input, self.origins, self.out)
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Series of the input (VMs x columns).
    pub series: usize,
    /// Samples streamed, gaps included.
    pub samples: u64,
    /// Rows written.
    pub rows: usize,
}

/// Runs a request. `progress(done, total)` is called after every tick, in ticks over all columns.
///
/// # Errors
/// See [`RunError`]; then no file was written.
pub fn run(request: &Request<'_>, progress: impl FnMut(u64, u64)) -> Result<Summary, RunError> {
    tell(request, progress).map(|(summary, _)| summary)
}

/// As [`run`], and hands over what was written, beside the trace it came from.
///
/// # Errors
/// See [`RunError`]; then no file was written.
pub fn tell(request: &Request<'_>, mut progress: impl FnMut(u64, u64)) -> Result<(Summary, Told), RunError> {
    let trace = Trace::read(request.input)?;
    let horizons = horizons(request.horizons_s, trace.cadence_s)?;
    let asked = request.origins.resolve(&trace)?;
    // Nothing after a series' last origin can matter.
    let ends: Vec<usize> = asked.iter().map(|a| a.last().map_or(0, |l| l + 1)).collect();
    let ticks = ends.iter().copied().max().unwrap_or(0);
    let total = ticks as u64 * trace.columns.len() as u64;
    let mut rows = Rows::new(request.horizons_s);
    let mut samples = 0;
    for c in 0..trace.columns.len() {
        let done = c as u64 * ticks as u64;
        let mut found = column(request, &trace, c, &asked, &ends, &horizons, |t| progress(done + t, total))?;
        samples += ends.iter().sum::<usize>() as u64;
        // By series, then by origin: the order does not depend on how long the other series are.
        found.sort_by_key(|f| (f.vm, f.sample));
        found.into_iter().for_each(|f| rows.push(&trace, c, &f));
    }
    let rows = output::write(rows, request.out)?;
    let summary = Summary { series: trace.vms.len() * trace.columns.len(), samples, rows: rows.num_rows() };
    Ok((summary, Told::new(trace, rows)))
}

/// A forecast at an asked origin, in points.
struct Found {
    vm: usize,
    sample: usize,
    forecast: foreshade_types::SeriesForecast,
}

/// Streams one column of all VMs.
fn column(
    request: &Request<'_>,
    trace: &Trace,
    column: usize,
    asked: &[Vec<usize>],
    ends: &[usize],
    horizons: &[Horizon],
    mut progress: impl FnMut(u64),
) -> Result<Vec<Found>, RunError> {
    let scales: Vec<_> = (0..trace.vms.len()).map(|v| trace.scale(v, column)).collect();
    let config = FleetConfig {
        series: keyed(trace, column, &scales),
        horizons: horizons.to_vec(),
        cadence_s: trace.cadence_s,
        threads: request.threads,
    };
    let mut fleet = Fleet::new(config, request.model.clone(), (request.backend)()?)?;
    let mut next = vec![0; asked.len()];
    let mut found = Vec::new();
    let mut points = vec![f32::NAN; trace.vms.len()];
    for t in 0..ends.iter().copied().max().unwrap_or(0) {
        for (v, p) in points.iter_mut().enumerate() {
            *p = if t < ends[v] { scales[v].to_points(trace.vms[v].values[column][t]) } else { f32::NAN };
        }
        fleet.step(&points)?;
        if let Some(e) = fleet.model_error() {
            return Err(e.clone().into());
        }
        for (v, forecast) in fleet.latest().iter().enumerate() {
            if asked[v].get(next[v]) == Some(&t) {
                next[v] += 1;
                found.push(Found { vm: v, sample: t, forecast: forecast.clone() });
            }
        }
        progress(t as u64 + 1);
    }
    Ok(found)
}

/// One profile per VM; its turn follows from its name, so that it does not matter what else is in the file.
fn keyed(trace: &Trace, column: usize, scales: &[Scale]) -> Vec<SeriesProfile> {
    let resource = trace.columns[column].resource;
    let of = |(vm, scale): (&TraceVm, &Scale)| SeriesProfile {
        resource,
        transform: scale.transform,
        key: key(&vm.name),
    };
    trace.vms.iter().zip(scales).map(of).collect()
}

/// Seconds -> steps.
fn horizons(seconds: &[u32], cadence_s: u32) -> Result<Vec<Horizon>, RunError> {
    if seconds.is_empty() {
        return Err(RunError::Horizon("no horizon given; give some seconds, such as 0,300,1800".into()));
    }
    let each = |&s: &u32| {
        let (span, what) = if s == 0 { (PEAK_S, "the peak of 1800 s") } else { (s, "a step ahead") };
        if span < cadence_s || span % cadence_s != 0 {
            return Err(RunError::Horizon(format!(
                "horizon {s} s ({what}) is no multiple of the input's cadence of {cadence_s} s; choose others with --horizons"
            )));
        }
        let steps = span / cadence_s;
        if steps > crate::STEPS_MAX {
            let most = u64::from(crate::STEPS_MAX) * u64::from(cadence_s);
            return Err(RunError::Horizon(format!(
                "horizon {s} s ({what}) is {steps} samples ahead; at {cadence_s} s the farthest is {most} s: choose others with --horizons"
            )));
        }
        Ok(if s == 0 { Horizon::Peak(steps) } else { Horizon::Step(steps) })
    };
    let mut unique = seconds.to_vec();
    unique.sort_unstable();
    unique.dedup();
    if unique.len() != seconds.len() {
        return Err(RunError::Horizon("a horizon is given twice; give each once".into()));
    }
    seconds.iter().map(each).collect()
}
