//! See README.md beside this file.

mod spec;

pub use spec::*;
