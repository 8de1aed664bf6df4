//! Many series, one tick at a time.

use std::sync::Arc;

use foreshade_accel::{AccelError, Engine};
use foreshade_fallback_cpu::Exec;
use foreshade_types::{Horizon, Resource, SeriesForecast, Transform};
use thiserror::Error;

use crate::STEPS_MAX;
use crate::ensemble;
use crate::group::Plan;
use crate::history;
use crate::lstm::{CADENCE_S, LstmModel, MODEL_HORIZONS};
use crate::set::{self, Set};

/// What a series measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesProfile {
    /// The resource; `None` = something of the user's own.
    pub resource: Option<Resource>,
    /// The scale its points are on.
    pub transform: Transform,
    /// Which series it is, by its own name ([`key`]): the work that comes round by turns is spread by it.
    pub key: u64,
}

/// A number that follows from a name and from nothing else: FNV-1a, 64 bits.
pub fn key(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

impl From<Resource> for SeriesProfile {
    fn from(resource: Resource) -> Self {
        Self { resource: Some(resource), transform: resource.transform(), key: 0 }
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
    /// The threads asked for could not be started.
    #[error("{0}")]
    Threads(String),
    /// The model cannot be set up on this device.
    #[error(transparent)]
    Accel(#[from] AccelError),
}

/// All series of a rack and what was learnt of each. See the crate's documentation.
#[derive(Debug)]
pub struct Fleet {
    config: FleetConfig,
    plan: Plan,
    exec: Exec,
    engine: Engine,
    sets: Vec<Set>,
    out: Vec<SeriesForecast>,
    ticks: u64,
    learned: bool,
    model_error: Option<AccelError>,
    fits: bool,
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
        mut engine: Engine,
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
        let exec = Exec::new(None, config.threads).map_err(|e| ForecastError::Threads(e.to_string()))?;
        let speaks = model.is_some() && config.cadence_s == CADENCE_S;
        let target = |h: &Horizon| MODEL_HORIZONS.iter().position(|m| m == h).filter(|_| speaks);
        let plan = Plan {
            horizons: config.horizons.clone(),
            places: history::places(&config.horizons),
            targets: config.horizons.iter().map(target).collect(),
            tuning: ensemble::Tuning::default(),
        };
        let model = model.filter(|_| plan.targets.iter().any(Option::is_some));
        let sets = Set::all(&config.series, &plan, model.as_deref(), &mut engine)?;
        let out = vec![set::blank(&plan); config.series.len()];
        let learned = model.is_some();
        Ok(Self { config, plan, exec, engine, sets, out, ticks: 0, learned, model_error: None, fits: true })
    }

    /// What the fleet was made for.
    pub fn config(&self) -> &FleetConfig {
        &self.config
    }

    /// Does the LSTM speak in this fleet?
    pub fn has_model(&self) -> bool {
        self.learned
    }

    /// Why the LSTM fell silent, if its device failed. The other members go on.
    pub fn model_error(&self) -> Option<&AccelError> {
        self.model_error.as_ref()
    }

    /// The devices behind the LSTM, as long as it speaks: what they are and what has been seen of them.
    pub fn engine(&self) -> Option<&Engine> {
        self.learned.then_some(&self.engine)
    }

    /// The same devices for work of others between two steps, also where the LSTM is silent.
    pub fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
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
        if points.len() != self.out.len() {
            return Err(ForecastError::Samples { got: points.len(), want: self.out.len() });
        }
        if let Some(i) = points.iter().position(|x| x.is_infinite()) {
            return Err(ForecastError::Infinite(i));
        }
        let (plan, exec, tick) = (&self.plan, &self.exec, self.ticks);
        self.ticks += 1;
        {
            let _span = tracing::info_span!("forecast::step", series = points.len()).entered();
            self.sets.iter_mut().for_each(|set| set.observe(plan, exec, tick, points));
        }
        self.run(points.len());
        {
            let _span = tracing::info_span!("forecast::calibrate", series = points.len()).entered();
            let (plan, exec) = (&self.plan, &self.exec);
            for set in &mut self.sets {
                set.conclude(plan, exec, tick);
                set.hand_over(&mut self.out);
            }
        }
        Ok(&self.out)
    }

    /// What needs a device: the LSTM's step, and the fits whose turn it is.
    fn run(&mut self, series: usize) {
        let device = self.engine.info().driver;
        let _span = tracing::info_span!("accel::run", device, series).entered();
        self.sets.iter_mut().for_each(Set::look);
        if self.fits {
            let fit = |set: &mut Set| set.refit(&mut self.engine, &self.exec, &self.plan);
            if let Err(error) = self.sets.iter_mut().try_for_each(fit) {
                tracing::error!(%error, "no device fits models any more; forecasting without the ARIMA");
                self.fits = false;
                self.sets.iter_mut().for_each(Set::forget_models);
            }
        }
        if !self.learned {
            return;
        }
        // All are sent before one is waited for.
        let submitted = self.sets.iter_mut().try_for_each(|set| set.submit(&mut self.engine));
        let done =
            submitted.and_then(|()| self.sets.iter_mut().try_for_each(|s| s.collect(&mut self.engine)));
        if let Err(error) = done {
            tracing::error!(%error, "the model's device failed; forecasting without the LSTM");
            self.learned = false;
            self.model_error = Some(error);
            self.sets.iter_mut().for_each(Set::drop_model);
        }
    }
}
