//! The instants to forecast at.
//!
//! | text | meaning |
//! |---|---|
//! | `144:288:6` | samples 144, 150 .. 288 of each series, counted from 0 at its first; a series that is shorter has fewer |
//! | `2013-08-02T00:00:00Z:2013-08-03T00:00:00Z:3600` | those times, 3,600 s apart, in each series that has a sample there |
//! | `ORIGINS.parquet` | columns `series` and `origin` (timestamp): these instants, each of which must be a sample |
//!
//! Both ends are included. An origin is the time of the last sample that may influence its forecast.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use foreshade_telemetry::trace::{Trace, instants};

use super::RunError;

/// At most this many origins in all.
const ORIGINS_MAX: usize = 5_000_000;

/// Instants as they were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Samples of each series, both ends included.
    Samples {
        /// First.
        from: u64,
        /// Last.
        to: u64,
        /// Apart, at least 1.
        step: u64,
    },
    /// Times in milliseconds since 1970-01-01 UTC, both ends included.
    Times {
        /// First.
        from_ms: i64,
        /// Last.
        to_ms: i64,
        /// Apart, at least 1.
        step_ms: i64,
    },
    /// A Parquet file of (series, origin).
    File(PathBuf),
}

impl FromStr for Origins {
    type Err = RunError;

    /// Reads FROM:TO:STEP, or takes the text as the path of a file if it ends in `.parquet`.
    fn from_str(text: &str) -> Result<Self, RunError> {
        if text.ends_with(".parquet") {
            return Ok(Self::File(text.into()));
        }
        let bad = || {
            RunError::Origins(format!(
                "origins {text:?}: give FROM:TO:STEP as samples (144:288:6) or as times and seconds \
                 (2013-08-02T00:00:00Z:2013-08-03T00:00:00Z:3600), FROM <= TO, STEP >= 1, or a .parquet file"
            ))
        };
        let (range, step) = text.rsplit_once(':').ok_or_else(bad)?;
        let step: u32 = step.parse().ok().filter(|&s| s > 0).ok_or_else(bad)?;
        let samples = range.split_once(':').map(|(from, to)| (from.parse::<u32>(), to.parse::<u32>()));
        if let Some((Ok(from), Ok(to))) = samples {
            let (from, to, step) = (from.into(), to.into(), step.into());
            return if from <= to { Ok(Self::Samples { from, to, step }) } else { Err(bad()) };
        }
        // Times hold colons themselves: exactly one split leaves a time on both sides.
        let halves = range.match_indices(':').map(|(i, _)| (&range[..i], &range[i + 1..]));
        let (from_ms, to_ms) = halves
            .filter_map(|(a, b)| Some((rfc3339_ms(a)?, rfc3339_ms(b)?)))
            .find(|(a, b)| a <= b)
            .ok_or_else(bad)?;
        Ok(Self::Times { from_ms, to_ms, step_ms: i64::from(step) * 1000 })
    }
}

impl Origins {
    /// The samples asked of each VM of the trace, ascending.
    pub(super) fn resolve(&self, trace: &Trace) -> Result<Vec<Vec<usize>>, RunError> {
        let cadence_ms = i64::from(trace.cadence_s) * 1000;
        let asked: Vec<Vec<usize>> = match self {
            Self::Samples { from, to, step } => {
                let range =
                    |n: usize| (*from..=*to).step_by(*step as usize).take_while(move |&i| i < n as u64);
                trace.vms.iter().map(|v| range(v.len()).map(|i| i as usize).collect()).collect()
            }
            Self::Times { from_ms, to_ms, step_ms } => {
                let of = |start: i64, len: usize| {
                    let all = (0..len).map(|i| (i, start + i as i64 * cadence_ms));
                    let hit = |t: i64| t >= *from_ms && t <= *to_ms && (t - from_ms) % step_ms == 0;
                    all.filter(|&(_, t)| hit(t)).map(|(i, _)| i).collect()
                };
                trace.vms.iter().map(|v| of(v.start_ms, v.len())).collect()
            }
            Self::File(path) => return from_file(path, trace, cadence_ms),
        };
        let n: usize = asked.iter().map(Vec::len).sum();
        match n {
            0 => Err(RunError::Origins(
                "no sample of any series lies at these origins; look at the input's times".into(),
            )),
            n if n > ORIGINS_MAX => {
                Err(RunError::Origins(format!("{n} origins; at most {ORIGINS_MAX}: choose a longer STEP")))
            }
            _ => Ok(asked),
        }
    }
}

fn from_file(path: &Path, trace: &Trace, cadence_ms: i64) -> Result<Vec<Vec<usize>>, RunError> {
    let at = |why: String| RunError::Origins(format!("{}: {why}", path.display()));
    let bytes = fs::read(path).map_err(|e| at(format!("cannot read it: {e}; check the path")))?;
    let rows = instants(bytes.into(), "series", "origin").map_err(|e| at(e.to_string()))?;
    if rows.is_empty() || rows.len() > ORIGINS_MAX {
        return Err(at(format!("{} origins; give 1 to {ORIGINS_MAX}", rows.len())));
    }
    let index: BTreeMap<&str, usize> =
        trace.vms.iter().enumerate().map(|(i, v)| (v.name.as_str(), i)).collect();
    let mut asked = vec![vec![]; trace.vms.len()];
    for (name, t) in rows {
        let Some(&v) = index.get(name.as_str()) else {
            return Err(at(format!("series {name} is not in the input; remove it or give the right input")));
        };
        let vm = &trace.vms[v];
        let offset = t.saturating_sub(vm.start_ms);
        let sample = usize::try_from(offset / cadence_ms).ok().filter(|&i| i < vm.len());
        match sample.filter(|_| offset >= 0 && offset % cadence_ms == 0) {
            Some(i) => asked[v].push(i),
            None => {
                return Err(at(format!(
                    "origin {t} ms is no sample of series {name} ({} to {} ms, every {cadence_ms}); correct it",
                    vm.start_ms,
                    trace.time_ms(vm, vm.len() - 1)
                )));
            }
        }
    }
    for (v, samples) in asked.iter_mut().enumerate() {
        samples.sort_unstable();
        if let Some(w) = samples.windows(2).find(|w| w[0] == w[1]) {
            let (t, name) = (trace.time_ms(&trace.vms[v], w[0]), &trace.vms[v].name);
            return Err(at(format!("origin {t} ms of series {name} is asked for twice; keep one")));
        }
    }
    Ok(asked)
}

/// `YYYY-MM-DDTHH:MM:SS[.fff](Z|+HH:MM|-HH:MM)` to milliseconds since 1970-01-01 UTC; `None` = no such time.
pub fn rfc3339_ms(text: &str) -> Option<i64> {
    let number = |s: Option<&str>, len: usize, max: i64| -> Option<i64> {
        let s = s.filter(|s| s.len() == len && s.bytes().all(|b| b.is_ascii_digit()))?;
        s.parse().ok().filter(|v| *v <= max)
    };
    let b = text.as_bytes();
    let punctuation = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if b.len() < 20 || punctuation.iter().any(|&(i, c)| b[i] != c) {
        return None;
    }
    let part = |a: usize, e: usize| text.get(a..e);
    let (year, month, day) =
        (number(part(0, 4), 4, 9999)?, number(part(5, 7), 2, 12)?, number(part(8, 10), 2, 31)?);
    let (hour, minute) = (number(part(11, 13), 2, 23)?, number(part(14, 16), 2, 59)?);
    let second = number(part(17, 19), 2, 59)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = [31, 28 + i64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if month == 0 || day == 0 || day > length[month as usize - 1] {
        return None;
    }
    let (millis, zone) = match text.get(19..)?.strip_prefix('.') {
        Some(rest) => (number(rest.get(..3), 3, 999)?, rest.get(3..)?),
        None => (0, text.get(19..)?),
    };
    let offset_min = match zone.as_bytes() {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let min = number(zone.get(1..3), 2, 23)? * 60 + number(zone.get(4..6), 2, 59)?;
            if *sign == b'-' { -min } else { min }
        }
        _ => return None,
    };
    let days = days_from_civil(year, month, day);
    Some((((days * 24 + hour) * 60 + minute - offset_min) * 60 + second) * 1000 + millis)
}

/// Days since 1970-01-01, as in Howard Hinnant's `days_from_civil`.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    era * 146_097 + doe - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_damage_is_not() {
        assert_eq!(rfc3339_ms("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(rfc3339_ms("2013-08-01T00:00:00+02:00"), Some(1_375_308_000_000));
        assert_eq!(rfc3339_ms("2000-02-29T12:34:56.789Z"), Some(951_827_696_789));
        for bad in [
            "2013-02-29T00:00:00Z",
            "2013-13-01T00:00:00Z",
            "2013-08-01 00:00:00Z",
            "2013-08-01T00:00:00",
            "é",
        ] {
            assert_eq!(rfc3339_ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn ranges_are_read_and_nonsense_is_refused() {
        let ok = |s: &str| s.parse::<Origins>().unwrap();
        assert_eq!(ok("144:288:6"), Origins::Samples { from: 144, to: 288, step: 6 });
        let times = Origins::Times { from_ms: 0, to_ms: 86_400_000, step_ms: 3_600_000 };
        assert_eq!(ok("1970-01-01T00:00:00Z:1970-01-02T00:00:00Z:3600"), times);
        assert_eq!(ok("1970-01-01T01:00:00+01:00:1970-01-02T00:00:00Z:3600"), times);
        assert_eq!(ok("a/o.parquet"), Origins::File("a/o.parquet".into()));
        for bad in [
            "",
            "1:2",
            "2:1:1",
            "1:2:0",
            "1:2:-3",
            "x:y:z",
            "::",
            "1970-01-02T00:00:00Z:1970-01-01T00:00:00Z:1",
        ] {
            assert!(bad.parse::<Origins>().unwrap_err().to_string().contains("FROM:TO:STEP"), "{bad}");
        }
    }
}
