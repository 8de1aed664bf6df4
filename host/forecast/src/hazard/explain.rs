//! Why a probability is what it is, in words.

use std::fmt;

use super::{DAY_S, HOUR_S};

/// What a number of the model is about. Inputs of one topic are one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Failures of this host.
    OwnFailures,
    /// Time without one.
    Quiet,
    /// Time since it came up.
    Uptime,
    /// Time it has been watched.
    Age,
    /// Failures of other hosts of its rack.
    Rack,
    /// Failures of other hosts of its site.
    Site,
    /// Hour of the day and of the week.
    Calendar,
    /// A SMART attribute.
    Attribute(u8),
}

/// A reason with its figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// Failures of this host in the last `days`; `count` stops at 8.
    OwnFailures {
        /// How many.
        count: usize,
        /// In how long.
        days: u32,
    },
    /// Seconds since the last failure, or since it was first seen.
    Quiet {
        /// How long.
        seconds: i64,
        /// Has it failed at all?
        ever: bool,
    },
    /// Seconds since it came up.
    Uptime {
        /// How long.
        seconds: i64,
    },
    /// Seconds it has been watched.
    Age {
        /// How long.
        seconds: i64,
    },
    /// Failures in its rack in the last hour and day; counts stop at 32.
    Rack {
        /// In the last hour.
        hour: usize,
        /// In the last day.
        day: usize,
    },
    /// The same for its site.
    Site {
        /// In the last hour.
        hour: usize,
        /// In the last day.
        day: usize,
    },
    /// The hour of the day and of the week.
    Calendar,
    /// A SMART attribute and its raw value, if it was reported.
    Attribute {
        /// Its number.
        id: u8,
        /// Raw value.
        raw: Option<f64>,
    },
}

/// A reason and how much it weighs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Because {
    /// What.
    pub reason: Reason,
    /// The odds of a failure are this many times those of the average host of the training data.
    pub odds: f64,
}

/// At least two units of the larger kind, so that nothing reads as "1 day" that was 47 hours.
fn span(seconds: i64) -> String {
    match seconds {
        s if s < 2 * HOUR_S => format!("{} min", s / 60),
        s if s < 2 * DAY_S => format!("{} h", s / HOUR_S),
        s => format!("{} days", s / DAY_S),
    }
}

fn times(count: usize, most: usize) -> String {
    match count {
        0 => "no failure".into(),
        1 => "1 failure".into(),
        n if n >= most => format!("{most} or more failures"),
        n => format!("{n} failures"),
    }
}

fn attribute(id: u8) -> &'static str {
    match id {
        5 => "reallocated sectors",
        187 => "reported uncorrectable errors",
        188 => "command timeouts",
        194 => "degrees Celsius",
        197 => "pending sectors",
        198 => "offline uncorrectable sectors",
        199 => "CRC errors on the cable",
        _ => "hours of operation",
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::OwnFailures { count, days: 1 } => {
                write!(f, "{} of this host in the last day", times(count, 8))
            }
            Self::OwnFailures { count, days } => {
                write!(f, "{} of this host in the last {days} days", times(count, 8))
            }
            Self::Quiet { seconds, ever: true } => write!(f, "last failure {} ago", span(seconds)),
            Self::Quiet { seconds, ever: false } => write!(f, "no failure seen in {}", span(seconds)),
            Self::Uptime { seconds } => write!(f, "up for {}", span(seconds)),
            Self::Age { seconds } => write!(f, "watched for {}", span(seconds)),
            Self::Rack { hour, day } => group(f, "rack", hour, day),
            Self::Site { hour, day } => group(f, "site", hour, day),
            Self::Calendar => write!(f, "this hour of the day and week"),
            Self::Attribute { id, raw: Some(raw) } => write!(f, "{raw} {} (SMART {id})", attribute(id)),
            Self::Attribute { id, raw: None } => write!(f, "{} not reported (SMART {id})", attribute(id)),
        }
    }
}

fn group(f: &mut fmt::Formatter<'_>, what: &str, hour: usize, day: usize) -> fmt::Result {
    match hour {
        0 => write!(f, "{} in its {what} in the last day", times(day, 32)),
        n => write!(f, "{} in its {what} in the last hour", times(n, 32)),
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: odds x{:.2}", self.reason, self.odds)
    }
}
