//! Members, ensemble, conformal calibration, scoring.
