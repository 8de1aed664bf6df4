//! Stand-ins beside the real drivers, behind the same trait.

pub mod rack;
mod shadow;
