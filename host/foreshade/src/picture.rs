//! Forecasts as pictures: a heat map of all VMs, and a fan chart of one with what came.

mod fan;
mod heat;
mod svg;

pub(crate) use fan::fan_chart;
pub(crate) use heat::heat_map;

/// A horizon for people.
fn ahead(horizon_s: i32) -> String {
    match horizon_s {
        0 => "peak 30 min".into(),
        s if s % 3600 == 0 => format!("{} h", s / 3600),
        s if s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}
