//! Samples into arena columns; traces and history in Parquet.

pub mod trace;
