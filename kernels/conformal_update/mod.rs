//! See README.md beside this file.

pub mod cases;
pub mod reference;
mod spec;
pub mod tolerance;

pub use spec::*;
