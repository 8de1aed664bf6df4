//! The lanes, in the order CI runs them.

use std::time::Instant;

use crate::bite::Pick;
use crate::house::House;
use crate::sheet::{Sheet, table};
use crate::{bite, bridge, demo, devices, fast};

/// One part of CI, run by `cargo xtask ci LANE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// See [`Lane::help`], as for all.
    Fast,
    Devices,
    Demo,
    BenchBridge,
    Bite,
}

impl Lane {
    /// All of them, cheapest answer first.
    pub const ALL: [Self; 5] = [Self::Fast, Self::Devices, Self::Demo, Self::BenchBridge, Self::Bite];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Devices => "devices",
            Self::Demo => "demo",
            Self::BenchBridge => "bench-bridge",
            Self::Bite => "bite",
        }
    }

    /// One line for the usage text.
    pub fn help(self) -> &'static str {
        match self {
            Self::Fast => "format, clippy, every test of the workspace, house rules",
            Self::Devices => "every kernel on every device against its definition, and the CUDA assembly",
            Self::Demo => "the README's command on both shipped traces: wins, same bytes twice, time limits",
            Self::BenchBridge => "forecast and backtest on larger traces, and proof that no future leaks in",
            Self::Bite => {
                "mutants of the sources, a quarter by turns: the tests named in docs/status.md must catch each"
            }
        }
    }

    /// Seconds on two cores from a cold start, for the time left only.
    fn usual_s(self) -> f64 {
        match self {
            Self::Fast => 540.0,
            Self::Devices => 100.0,
            Self::Demo => 320.0,
            Self::BenchBridge => 90.0,
            Self::Bite => 800.0,
        }
    }

    /// The lane of this name.
    pub fn parse(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|l| l.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|l| l.name()).collect();
            format!("no lane named {name}; lanes are {}", known.join(", "))
        })
    }

    fn run(self, house: &House) -> Sheet {
        let mut sheet = Sheet::new(self.name());
        match self {
            Self::Fast => fast::run_lane(house, &mut sheet),
            Self::Devices => devices::run_lane(house, &mut sheet),
            Self::Demo => demo::run_lane(house, &mut sheet),
            Self::BenchBridge => bridge::run_lane(house, &mut sheet),
            Self::Bite => bite::run_lane(house, &mut sheet, Pick::Turn),
        }
        sheet.close()
    }
}

/// Is `what` in the comma list REQUIRE?
pub fn required(what: &str) -> bool {
    listed(&std::env::var("REQUIRE").unwrap_or_default(), what)
}

fn listed(list: &str, what: &str) -> bool {
    list.split(',').any(|w| w.trim() == what)
}

/// Runs the lanes one after the other, all of them even after a failure; true when nothing failed.
pub fn run(house: &House, lanes: &[Lane]) -> bool {
    let start = Instant::now();
    let mut sheets = Vec::new();
    for (i, lane) in lanes.iter().enumerate() {
        let done_s: f64 = lanes[..i].iter().map(|l| l.usual_s()).sum();
        let left_s: f64 = lanes[i..].iter().map(|l| l.usual_s()).sum();
        let elapsed_s = start.elapsed().as_secs_f64();
        let pace = if i == 0 { 1.0 } else { elapsed_s / done_s };
        println!(
            "\n==== lane {} of {}: {} - {} ({elapsed_s:.0} s so far, at most about {:.0} min left)",
            i + 1,
            lanes.len(),
            lane.name(),
            lane.help(),
            (left_s * pace / 60.0).ceil()
        );
        sheets.push(lane.run(house));
    }
    print!("{}", table(&sheets));
    sheets.iter().all(|s| s.failed.is_empty())
}

/// The mutants alone, or one of them.
pub fn run_bite(house: &House, only: Option<&str>) -> bool {
    let mut sheet = Sheet::new(Lane::Bite.name());
    bite::run_lane(house, &mut sheet, only.map_or(Pick::All, Pick::Named));
    let sheet = sheet.close();
    let ok = sheet.failed.is_empty();
    print!("{}", table(&[sheet]));
    ok
}

#[cfg(test)]
mod tests {
    use super::{Lane, listed};

    #[test]
    fn lanes_are_found_by_name() {
        for lane in Lane::ALL {
            assert_eq!(Lane::parse(lane.name()), Ok(lane));
        }
    }

    #[test]
    fn require_is_a_comma_list() {
        assert!(listed("data, bridge", "bridge"));
        assert!(!listed("database", "data"));
        assert!(!listed("", "data"));
    }
}
