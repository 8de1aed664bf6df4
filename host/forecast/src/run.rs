//! Forecasts for a file: every series is streamed from its first sample, as it would have come in, and its forecast is
//! written down at the origins asked for. What is written is what the appliance would have known.
//!
//! Up to [`crate::STEPS_MAX`] samples ahead a horizon is the value of that sample (0: the peak of 30 min). Beyond, whole
//! hours up to [`crate::seasonal::HOURS_MAX`] are the mean of the hour that ends there: see [`far`].

mod far;
mod origins;
mod output;
mod told;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foreshade_accel::{AccelError, Engine};
use foreshade_telemetry::trace::{Scale, Trace, TraceError, TraceVm};
use foreshade_types::{Horizon, Quantiles};
use thiserror::Error;

use self::far::Far;
pub use self::origins::{Origins, rfc3339_ms};
use self::output::Rows;
pub use self::told::{Row, Told};
use crate::lstm::LstmModel;
use crate::seasonal::HOURS_MAX;
use crate::{Fleet, FleetConfig, ForecastError, STEPS_MAX, SeriesProfile, key};

/// Seconds over which the peak is taken: horizon 0 of a file.
pub const PEAK_S: u32 = 1800;

/// Seconds of an hour.
const HOUR_S: u32 = 3600;

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
    /// Seconds ahead; 0 = the largest value of the next 30 min; beyond [`STEPS_MAX`] samples whole hours up to 48 h, each
    /// the mean of the hour that ends there. In the order of the output.
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
pub fn tell(request: &Request<'_>, progress: impl FnMut(u64, u64)) -> Result<(Summary, Told), RunError> {
    tell_of(Trace::read(request.input)?, request, progress)
}

/// As [`tell`], of a trace that was read from the request's input and perhaps changed since.
///
/// # Errors
/// See [`RunError`]; then no file was written.
pub fn tell_of(
    trace: Trace,
    request: &Request<'_>,
    mut progress: impl FnMut(u64, u64),
) -> Result<(Summary, Told), RunError> {
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
        let column = Column { request, trace: &trace, column: c, asked: &asked, ends: &ends };
        let found = column.found(&horizons, |t| progress(done + t, total))?;
        progress(done + ticks as u64, total);
        samples += ends.iter().sum::<usize>() as u64;
        found.into_iter().for_each(|f| rows.push(&trace, c, &f));
    }
    let rows = output::write(rows, request.out)?;
    let summary = Summary { series: trace.vms.len() * trace.columns.len(), samples, rows: rows.num_rows() };
    Ok((summary, Told::new(trace, rows)))
}

/// A horizon of the output, and who answers for it.
#[derive(Debug, Clone, Copy)]
enum Reach {
    /// [`Fleet`], by samples.
    Near(Horizon),
    /// [`far`], in hours.
    Far(usize),
}

/// A forecast at an asked origin, in points, by horizon of the output.
struct Found {
    vm: usize,
    sample: usize,
    values: Vec<(f32, Quantiles)>,
}

/// One column of all VMs: what to ask of whom.
struct Column<'a> {
    request: &'a Request<'a>,
    trace: &'a Trace,
    column: usize,
    asked: &'a [Vec<usize>],
    ends: &'a [usize],
}

impl Column<'_> {
    /// All forecasts, by VM and then by origin: the order does not depend on how long other series are.
    fn found(&self, horizons: &[Reach], progress: impl FnMut(u64)) -> Result<Vec<Found>, RunError> {
        let near = |r: &Reach| if let Reach::Near(h) = r { Some(*h) } else { None };
        let far = |r: &Reach| if let Reach::Far(h) = r { Some(*h) } else { None };
        let steps: Vec<Horizon> = horizons.iter().filter_map(near).collect();
        let hours: Vec<usize> = horizons.iter().filter_map(far).collect();
        let near = if steps.is_empty() { vec![] } else { self.near(steps, progress)? };
        let far = Far { trace: self.trace, column: self.column, asked: self.asked, hours: &hours };
        let far = if hours.is_empty() { vec![] } else { far.found(self.request.threads) };
        let keys = |f: &Found| (f.vm, f.sample);
        let all: Vec<_> = (if near.is_empty() { &far } else { &near }).iter().map(keys).collect();
        let merged = all.into_iter().enumerate().map(|(i, (vm, sample))| {
            let of = |side: &[Found]| side.get(i).map_or_else(Vec::new, |f| f.values.clone()).into_iter();
            let (mut near, mut far) = (of(&near), of(&far));
            let next = |r: &Reach| if matches!(r, Reach::Near(_)) { near.next() } else { far.next() };
            Found { vm, sample, values: horizons.iter().filter_map(next).collect() }
        });
        Ok(merged.collect())
    }

    /// Streams the column through a [`Fleet`].
    fn near(&self, horizons: Vec<Horizon>, mut progress: impl FnMut(u64)) -> Result<Vec<Found>, RunError> {
        let (request, trace, column) = (self.request, self.trace, self.column);
        let scales: Vec<_> = (0..trace.vms.len()).map(|v| trace.scale(v, column)).collect();
        let config = FleetConfig {
            series: keyed(trace, column, &scales),
            horizons,
            cadence_s: trace.cadence_s,
            threads: request.threads,
        };
        let mut fleet = Fleet::new(config, request.model.clone(), (request.backend)()?)?;
        let mut next = vec![0; self.asked.len()];
        let mut found = Vec::new();
        let mut points = vec![f32::NAN; trace.vms.len()];
        for t in 0..self.ends.iter().copied().max().unwrap_or(0) {
            for (v, p) in points.iter_mut().enumerate() {
                *p = if t < self.ends[v] {
                    scales[v].to_points(trace.vms[v].values[column][t])
                } else {
                    f32::NAN
                };
            }
            fleet.step(&points)?;
            if let Some(e) = fleet.model_error() {
                return Err(e.clone().into());
            }
            for (v, f) in fleet.latest().iter().enumerate() {
                if self.asked[v].get(next[v]) == Some(&t) {
                    next[v] += 1;
                    let values = f.mean.iter().copied().zip(f.quantiles.iter().copied()).collect();
                    found.push(Found { vm: v, sample: t, values });
                }
            }
            progress(t as u64 + 1);
        }
        found.sort_by_key(|f| (f.vm, f.sample));
        Ok(found)
    }
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

/// Seconds -> who answers, and how far ahead.
fn horizons(seconds: &[u32], cadence_s: u32) -> Result<Vec<Reach>, RunError> {
    if seconds.is_empty() {
        return Err(RunError::Horizon("no horizon given; give some seconds, such as 0,300,1800".into()));
    }
    let mut unique = seconds.to_vec();
    unique.sort_unstable();
    unique.dedup();
    if unique.len() != seconds.len() {
        return Err(RunError::Horizon("a horizon is given twice; give each once".into()));
    }
    seconds.iter().map(|&s| reach(s, cadence_s)).collect()
}

fn reach(s: u32, cadence_s: u32) -> Result<Reach, RunError> {
    let near_s = u64::from(STEPS_MAX) * u64::from(cadence_s);
    let far_s = HOURS_MAX as u32 * HOUR_S;
    let (span, what) = if s == 0 { (PEAK_S, "the peak of 1800 s") } else { (s, "a step ahead") };
    if u64::from(span) <= near_s {
        if span < cadence_s || span % cadence_s != 0 {
            return Err(RunError::Horizon(format!(
                "horizon {s} s ({what}) is no multiple of the input's cadence of {cadence_s} s; choose others with --horizons"
            )));
        }
        let steps = span / cadence_s;
        return Ok(Reach::Near(if s == 0 { Horizon::Peak(steps) } else { Horizon::Step(steps) }));
    }
    if s == 0 || !s.is_multiple_of(HOUR_S) || s > far_s {
        return Err(RunError::Horizon(format!(
            "horizon {s} s ({what}) is {} samples ahead; at {cadence_s} s those beyond {near_s} s are whole hours up to {far_s} s (48 h): choose others with --horizons",
            span / cadence_s
        )));
    }
    Ok(Reach::Far((s / HOUR_S) as usize))
}
