//! Members, ensemble, conformal calibration, scoring.

pub mod features;
pub mod lstm;
