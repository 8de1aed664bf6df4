//! ARIMA models of many series in closed form. README.md beside this file has the maths.

pub mod cases;
pub mod reference;
mod spec;
mod tolerance;

pub use spec::*;
pub use tolerance::check;
