//! Many series, one tick at a time.

use std::sync::Arc;
use std::thread;

use foreshade_accel::{AccelError, Engine};
use foreshade_types::{Horizon, Quantiles, Readiness, Resource, SeriesForecast, Transform};
use thiserror::Error;

use crate::STEPS_MAX;
use crate::learned::Learned;
use crate::lstm::LstmModel;
use crate::members::Scratch;
use crate::series::{Series, Tuning};

/// Series per unit of work: a thread costs more than fewer of them.
const CHUNK: usize = 64;

/// What a series measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesProfile {
    /// The resource; `None` = something of the user's own.
    pub resource: Option<Resource>,
    /// The scale its points are on.
    pub transform: Transform,
}

impl From<Resource> for SeriesProfile {
    fn from(resource: Resource) -> Self {
        Self { resource: Some(resource), transform: resource.transform() }
    }
}

/// What a [`Fleet`] is made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetConfig {
    /// One per series, in the order of `points`.
    pub series: Vec<SeriesProfile>,
    /// What to forecast, each 1..=[`STEPS_MAX`] steps; the peak first by convention.
    pub horizons: Vec<Horizon>,
    /// Seconds from one sample to the next.
    pub cadence_s: u32,
    /// Threads to use, at least 1. The results do not depend on it.
    pub threads: usize,
}

/// Why a fleet cannot be set up or stepped.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ForecastError {
    /// A horizon that cannot be served.
    #[error(
        "horizon {0:?}: a forecast reaches 1 to {STEPS_MAX} samples ahead; choose another horizon or a longer cadence"
    )]
    Horizon(Horizon),
    /// A setting that makes no sense.
    #[error("{0}")]
    Config(&'static str),
    /// The wrong number of samples.
    #[error("a tick has {got} samples for {want} series; give one per series, NaN where missing")]
    Samples {
        /// Given.
        got: usize,
        /// Series of the fleet.
        want: usize,
    },
    /// A sample that cannot be.
    #[error("sample of series {0} is infinite; give NaN where it is missing")]
    Infinite(usize),
    /// The model cannot be set up on this device.
    #[error(transparent)]
    Accel(#[from] AccelError),
}

/// All series of a rack and what was learnt of each. See the crate's documentation.
#[derive(Debug)]
pub struct Fleet {
    config: FleetConfig,
    tuning: Tuning,
    series: Vec<Series>,
    out: Vec<SeriesForecast>,
    scratch: Vec<Scratch>,
    learned: Option<Learned>,
    model_error: Option<AccelError>,
}

impl Fleet {
    /// A fleet without history. The model speaks where the cadence and the horizon are its own; without one the other
    /// members forecast.
    ///
    /// # Errors
    /// A horizon beyond [`STEPS_MAX`] or of no steps, no cadence, no thread, a device that cannot take the model.
    pub fn new(
        config: FleetConfig,
        model: Option<Arc<LstmModel>>,
        engine: Engine,
    ) -> Result<Self, ForecastError> {
        if let Some(&h) = config.horizons.iter().find(|h| !(1..=STEPS_MAX).contains(&h.delay_steps())) {
            return Err(ForecastError::Horizon(h));
        }
        if config.cadence_s == 0 {
            return Err(ForecastError::Config("cadence 0 s: samples are at least 1 s apart"));
        }
        if config.threads == 0 {
            return Err(ForecastError::Config("0 threads cannot work; give at least 1"));
        }
        let n = config.horizons.len();
        let blank = SeriesForecast {
            readiness: Readiness::Cold,
            mean: vec![0.0; n],
            quantiles: vec![Quantiles::default(); n],
        };
        let learned = match &model {
            Some(m) => Learned::new(m, engine, &config.series, &config.horizons, config.cadence_s)?,
            None => None,
        };
        Ok(Self {
            series: config.series.iter().map(|_| Series::new(&config.horizons, learned.is_some())).collect(),
            out: vec![blank; config.series.len()],
            scratch: (0..config.threads).map(|_| Scratch::default()).collect(),
            tuning: Tuning::default(),
            config,
            learned,
            model_error: None,
        })
    }

    /// What the fleet was made for.
    pub fn config(&self) -> &FleetConfig {
        &self.config
    }

    /// Does the LSTM speak in this fleet?
    pub fn has_model(&self) -> bool {
        self.learned.is_some()
    }

    /// Why the LSTM fell silent, if its device failed. The other members go on.
    pub fn model_error(&self) -> Option<&AccelError> {
        self.model_error.as_ref()
    }

    /// The devices behind the LSTM, as long as it speaks: what they are and what has been seen of them.
    pub fn engine(&self) -> Option<&Engine> {
        self.learned.as_ref().map(Learned::engine)
    }

    /// The forecasts of the newest tick; cold ones before the first.
    pub fn latest(&self) -> &[SeriesForecast] {
        &self.out
    }

    /// Takes one sample per series, in points, NaN = missing; returns one forecast per series from all samples so far.
    ///
    /// # Errors
    /// The wrong number of samples, an infinite one. Then nothing has changed.
    pub fn step(&mut self, points: &[f32]) -> Result<&[SeriesForecast], ForecastError> {
        if points.len() != self.series.len() {
            return Err(ForecastError::Samples { got: points.len(), want: self.series.len() });
        }
        if let Some(i) = points.iter().position(|x| x.is_infinite()) {
            return Err(ForecastError::Infinite(i));
        }
        let (horizons, tuning) = (&self.config.horizons, &self.tuning);
        {
            let _span = tracing::info_span!("forecast::step", series = points.len()).entered();
            let work = |series: &mut Series, x: f32, _: &mut SeriesForecast, scratch: &mut Scratch| {
                series.observe(x, horizons, scratch);
            };
            spread_out(&mut self.series, points, &mut self.out, &mut self.scratch, work);
        }
        if let Some(Err(error)) = self.learned.as_mut().map(|l| l.step(&mut self.series)) {
            tracing::error!(%error, "the model's device failed; forecasting without the LSTM");
            self.learned = None;
            self.model_error = Some(error);
        }
        {
            let _span = tracing::info_span!("forecast::calibrate", series = points.len()).entered();
            let work = |series: &mut Series, _: f32, out: &mut SeriesForecast, _: &mut Scratch| {
                series.conclude(horizons, tuning, out);
            };
            spread_out(&mut self.series, points, &mut self.out, &mut self.scratch, work);
        }
        Ok(&self.out)
    }
}

/// Runs `work` on every series, on as many threads as there is scratch for. Series do not see each other, so the split
/// changes nothing but the time.
fn spread_out<W>(
    series: &mut [Series],
    points: &[f32],
    out: &mut [SeriesForecast],
    scratch: &mut [Scratch],
    work: W,
) where
    W: Fn(&mut Series, f32, &mut SeriesForecast, &mut Scratch) + Sync,
{
    let run = |series: &mut [Series], points: &[f32], out: &mut [SeriesForecast], scratch: &mut Scratch| {
        for ((s, &x), o) in series.iter_mut().zip(points).zip(out) {
            work(s, x, o, scratch);
        }
    };
    let threads = scratch.len().min(series.len().div_ceil(CHUNK)).max(1);
    let each = series.len().div_ceil(threads).max(1);
    if threads == 1 {
        if let Some(scratch) = scratch.first_mut() {
            run(series, points, out, scratch);
        }
        return;
    }
    thread::scope(|scope| {
        let parts = series.chunks_mut(each).zip(points.chunks(each)).zip(out.chunks_mut(each)).zip(scratch);
        for (((series, points), out), scratch) in parts {
            let run = &run;
            scope.spawn(move || run(series, points, out, scratch));
        }
    });
}
