//! Mean and variance of the next steps from a fitted model. README.md beside this file has the maths.

pub mod reference;
mod spec;
mod tolerance;

pub use spec::*;
pub use tolerance::check;
