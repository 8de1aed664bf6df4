//! Stand-ins beside the real drivers, behind the same trait.

mod place;
pub mod rack;
mod shadow;
