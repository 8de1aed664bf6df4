//! Members, ensemble, conformal calibration, scoring.
//!
//! # Following a sample
//! [`Fleet::step`] takes one sample per series, in points. Sixteen of them go side by side in vectors, and yet each is a
//! state machine of its own: what it answers depends on its own samples up to now and on nothing else, whatever it is
//! batched with and however many threads run.
//!
//! ```text
//! sample -> window of 144, its orders and features                            | span forecast::step
//!        -> outcomes of earlier forecasts -> losses and misses                |
//!        -> members: last value + rise, recent                                |
//!        -> ARIMA fits in turn; LSTM, all series in one batch                 | span accel::run
//!        -> weights per horizon -> weighted quantiles -> conformal shift      | span forecast::calibrate
//! ```
//!
//! [`seasonal`] looks 1 h to 48 h ahead, on hourly rollups of any cadence; [`outlook`] is a bank of such series.
//!
//! A *series* is one resource of one VM (or of a host). A *point* is a percent of its capacity, or one unit of
//! [`foreshade_types::Transform::Log`].

pub mod aggregate;
pub mod anomaly;
mod arima;
mod bank;
pub mod behaviour;
mod conformal;
mod ensemble;
pub mod exact;
pub mod features;
mod fleet;
pub mod grid;
mod group;
pub mod hazard;
mod history;
mod lanes;
pub mod levinson;
pub mod lstm;
mod members;
mod order;
pub mod outlook;
pub mod paths;
mod quantile;
pub mod replay;
pub mod run;
mod scorer;
pub mod seasonal;
mod set;

pub use fleet::{Fleet, FleetConfig, ForecastError, SeriesProfile, key};
pub use scorer::{Held, ResourceScore, Scorer};

/// Samples a series is judged by: 12 h at 300 s.
pub const WINDOW: usize = 144;

/// The farthest horizon, in steps: half a window, so that the window holds enough outcomes to learn from.
pub const STEPS_MAX: u32 = 72;

/// Observed samples below which a series is cold.
pub const SAMPLES_MIN: usize = 12;
