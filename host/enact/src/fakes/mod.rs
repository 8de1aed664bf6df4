//! Stand-ins beside the real drivers, behind the same trait.

mod migration;
mod place;
pub mod rack;
mod shadow;
mod takeover;
