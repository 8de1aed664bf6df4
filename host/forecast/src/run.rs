//! Forecasts for a file.
