//! Criterion benches and load generators.
