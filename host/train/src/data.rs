//! Series to learn from: the columns of traces, in points, with gaps held as the forecaster holds them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use foreshade_forecast::features::FeatureWindow;
use foreshade_forecast::lstm::Profile;
use foreshade_telemetry::trace::Trace;

use crate::TrainError;
use crate::ident::{identity, set_name};

/// The cadence that the model is for, seconds. The forecaster asks it at no other.
pub const CADENCE_S: u32 = 300;
/// Steps of the far target.
pub const AHEAD: usize = 12;
/// Steps of the peak.
pub const PEAK: usize = 6;
/// Steps of the other targets.
pub const STEPS: [usize; 3] = [1, 6, 12];
/// Targets of a tick.
pub const TARGETS: usize = 4;
/// Ticks of a segment: a day. Shorter series are not learnt from.
pub const SEGMENT: usize = 288;

/// One series.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name in the file.
    pub name: String,
    /// The thing it was measured on, see [`identity`].
    pub id: String,
    /// Points from the first sample on; a missing one repeats the last.
    pub x: Vec<f32>,
    /// Was there a sample?
    pub real: Vec<bool>,
}

impl Series {
    /// `None` without a single sample.
    pub fn new(name: &str, id: String, points: impl Iterator<Item = f32>) -> Option<Self> {
        let mut window = FeatureWindow::new();
        let (mut x, mut real) = (vec![], vec![]);
        for p in points {
            window.push(p);
            // What the window holds is what the forecaster sees.
            if let Some(&last) = window.samples().last() {
                x.push(last);
                real.push(p.is_finite());
            }
        }
        (!x.is_empty()).then(|| Self { name: name.to_owned(), id, x, real })
    }

    /// Targets at a tick: the peak, then [`STEPS`]. [`AHEAD`] samples must follow it.
    pub fn targets(&self, tick: usize) -> [f32; TARGETS] {
        let peak = self.x[tick + 1..=tick + PEAK].iter().copied().fold(f32::MIN, f32::max);
        [peak, self.x[tick + STEPS[0]], self.x[tick + STEPS[1]], self.x[tick + STEPS[2]]]
    }

    /// Are the tick's own sample and all of its targets known?
    pub fn known(&self, tick: usize) -> bool {
        tick + AHEAD < self.real.len() && self.real[tick..=tick + AHEAD].iter().all(|r| *r)
    }
}

/// The series of one column of one file. Every data set counts the same.
#[derive(Debug, Clone, PartialEq)]
pub struct DataSet {
    /// Name of the file, and of the column where the file has several.
    pub name: String,
    /// The weight set it trains.
    pub profile: Profile,
    /// Its series, in the order of the file.
    pub series: Vec<Series>,
    /// Its typical distance of a target from the last value, points: the unit that its errors are measured in.
    pub unit: f32,
}

impl DataSet {
    /// A set of some series.
    pub fn new(name: String, profile: Profile, series: Vec<Series>) -> Self {
        let unit = typical_distance(&series);
        Self { name, profile, series, unit }
    }

    /// Series that are long enough to learn from.
    pub fn usable(&self) -> impl Iterator<Item = (usize, &Series)> {
        self.series.iter().enumerate().filter(|(_, s)| s.x.len() >= SEGMENT)
    }
}

/// Mean distance of known targets from the last value; at least a thousandth of a point.
fn typical_distance(series: &[Series]) -> f32 {
    let (mut sum, mut n) = (0.0, 0u64);
    for s in series {
        for tick in (0..s.x.len().saturating_sub(AHEAD)).filter(|&t| s.known(t)) {
            sum += s.targets(tick).iter().map(|y| f64::from((y - s.x[tick]).abs())).sum::<f64>();
            n += TARGETS as u64;
        }
    }
    ((sum / n.max(1) as f64) as f32).max(1e-3)
}

/// Reads every column of every file for the wanted profiles, without the excluded things.
///
/// # Errors
/// A file that is no trace or has another cadence; two data sets of one name.
pub fn read(
    files: &[PathBuf],
    wanted: &[Profile],
    excluded: &BTreeSet<String>,
) -> Result<Vec<DataSet>, TrainError> {
    let mut sets: Vec<DataSet> = vec![];
    for file in files {
        for set in read_file(file, wanted, excluded)? {
            if sets.iter().any(|s| s.name == set.name) {
                return Err(TrainError::Usage(format!(
                    "{}: another input is named {}, too; rename one of them",
                    file.display(),
                    set.name
                )));
            }
            sets.push(set);
        }
    }
    // The order in which files are named does not count.
    sets.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(sets)
}

fn read_file(
    file: &Path,
    wanted: &[Profile],
    excluded: &BTreeSet<String>,
) -> Result<Vec<DataSet>, TrainError> {
    let trace = Trace::read(file)?;
    if trace.cadence_s != CADENCE_S {
        return Err(TrainError::Data(format!(
            "{}: a sample every {} s; the model is for every {CADENCE_S} s, resample the file",
            file.display(),
            trace.cadence_s
        )));
    }
    let mut sets = vec![];
    for (c, column) in trace.columns.iter().enumerate() {
        let profile = column.resource.map_or(Profile::Other, Profile::of);
        if !wanted.contains(&profile) {
            continue;
        }
        let one = trace.columns.len() == 1;
        let name = set_name(file, (!one).then_some(column.name.as_str()));
        let series = trace.vms.iter().enumerate().filter_map(|(v, vm)| {
            let id = identity(file, &vm.name);
            if excluded.contains(&id) {
                return None;
            }
            let scale = trace.scale(v, c);
            Series::new(&vm.name, id, vm.values[c].iter().map(|x| scale.to_points(*x)))
        });
        sets.push(DataSet::new(name, profile, series.collect()));
    }
    Ok(sets)
}

/// Takes a tenth of each set's things, at least one, out of it to judge by: those with the smallest hashes, so that the
/// choice does not depend on the order or on the other sets.
pub fn hold_out(sets: &mut [DataSet]) -> Vec<DataSet> {
    let mut held = vec![];
    for set in sets {
        let mut ids: Vec<&str> = set.usable().map(|(_, s)| s.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() < 2 {
            continue;
        }
        ids.sort_by_key(|id| crate::card::fnv1a64(id.as_bytes()));
        let out: BTreeSet<String> = ids[..ids.len().div_ceil(10)].iter().map(|s| (*s).to_owned()).collect();
        let (out, rest): (Vec<_>, Vec<_>) = set.series.drain(..).partition(|s| out.contains(&s.id));
        held.push(DataSet::new(set.name.clone(), set.profile, out));
        *set = DataSet::new(set.name.clone(), set.profile, rest);
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: &[f32]) -> Series {
        Series::new("a", "t:a".into(), points.iter().copied()).unwrap()
    }

    #[test]
    fn gaps_repeat_the_last_sample_and_leading_ones_are_cut_off() {
        let s = series(&[f32::NAN, f32::NAN, 3.0, f32::NAN, 5.0]);
        assert_eq!(s.x, [3.0, 3.0, 5.0]);
        assert_eq!(s.real, [true, false, true]);
        assert!(Series::new("a", "t:a".into(), [f32::NAN; 3].into_iter()).is_none());
    }

    #[test]
    fn targets_are_the_peak_of_half_an_hour_and_three_steps() {
        let s = series(&[0.0, 1.0, 2.0, 9.0, 3.0, 4.0, 5.0, 50.0, 7.0, 8.0, 10.0, 11.0, 12.0]);
        assert_eq!(s.targets(0), [9.0, 1.0, 5.0, 12.0]);
        assert!(s.known(0) && !s.known(1), "the twelfth sample after tick 1 is beyond the end");
    }

    #[test]
    fn a_tick_is_known_when_nothing_of_its_next_hour_is_missing() {
        let mut points = vec![1.0; 30];
        points[20] = f32::NAN;
        let s = series(&points);
        let known: Vec<usize> = (0..30).filter(|&t| s.known(t)).collect();
        assert_eq!(known, (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn a_tenth_is_held_out_by_thing_not_by_series() {
        let many = |n: usize| {
            let one = |i: usize| Series {
                name: format!("{i}"),
                id: format!("t:{}", i / 2),
                x: vec![1.0; SEGMENT],
                real: vec![true; SEGMENT],
            };
            DataSet::new("t".into(), Profile::Cpu, (0..n).map(one).collect())
        };
        let mut sets = [many(60)];
        let held = hold_out(&mut sets);
        assert_eq!((held[0].series.len(), sets[0].series.len()), (6, 54), "three things of thirty");
        let ids = |s: &DataSet| s.series.iter().map(|s| s.id.clone()).collect::<BTreeSet<_>>();
        assert!(ids(&held[0]).is_disjoint(&ids(&sets[0])));
        let mut one = [many(2)];
        assert!(hold_out(&mut one).is_empty(), "the only thing there is stays");
    }
}
