//! Stretches of a trace that an operator does not want to be learnt from: a broken agent, a load test, a maintenance.

use super::{Trace, TraceVm};

/// A stretch of time, of one VM or of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// The VM by its name in the file; `None` = all.
    pub vm: Option<String>,
    /// The first instant, milliseconds since 1970-01-01 UTC.
    pub from_ms: i64,
    /// The first instant after it.
    pub until_ms: i64,
}

impl Trace {
    /// Makes the samples inside the stretches missing, in every column. Gives how many instants of VMs each stretch holds
    /// with a value in them; one that several hold counts in each.
    pub fn leave_out(&mut self, stretches: &[Stretch]) -> Vec<u64> {
        let mut counts = vec![0; stretches.len()];
        let step_ms = i64::from(self.cadence_s) * 1000;
        for vm in &mut self.vms {
            let samples: Vec<_> = stretches.iter().map(|s| samples(vm, s, step_ms)).collect();
            for (count, samples) in counts.iter_mut().zip(&samples) {
                let known = |i: &usize| vm.values.iter().any(|column| !column[*i].is_nan());
                *count += samples.clone().filter(known).count() as u64;
            }
            for column in &mut vm.values {
                samples.iter().for_each(|s| column[s.clone()].fill(f32::NAN));
            }
        }
        counts
    }
}

/// The samples of a VM inside a stretch.
fn samples(vm: &TraceVm, stretch: &Stretch, step_ms: i64) -> std::ops::Range<usize> {
    if stretch.vm.as_ref().is_some_and(|name| *name != vm.name) {
        return 0..0;
    }
    // The first sample at or after an instant.
    let at = |ms: i64| {
        let after = i128::from(ms) - i128::from(vm.start_ms);
        let step = i128::from(step_ms);
        ((after + step - 1).div_euclid(step)).clamp(0, vm.len() as i128) as usize
    };
    let (from, until) = (at(stretch.from_ms), at(stretch.until_ms));
    from..until.max(from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Column;

    fn trace() -> Trace {
        let vm = |name: &str, start_ms: i64| TraceVm {
            name: name.into(),
            start_ms,
            size: None,
            values: vec![vec![1.0, 2.0, f32::NAN, 4.0, 5.0], vec![f32::NAN; 5]],
        };
        let columns = ["cpu_pct", "mem_pct"].map(Column::named).to_vec();
        Trace { cadence_s: 60, columns, vms: vec![vm("a", 0), vm("b", 120_000)] }
    }

    fn stretch(vm: Option<&str>, from_ms: i64, until_ms: i64) -> Stretch {
        Stretch { vm: vm.map(str::to_owned), from_ms, until_ms }
    }

    fn known(t: &Trace) -> Vec<Vec<usize>> {
        let of = |v: &TraceVm| (0..v.len()).filter(|i| !v.values[0][*i].is_nan()).collect();
        t.vms.iter().map(of).collect()
    }

    #[test]
    fn the_first_instant_is_left_out_and_the_last_is_not() {
        let mut t = trace();
        assert_eq!(t.leave_out(&[stretch(Some("a"), 60_000, 180_000)]), [1], "one of the two is a gap");
        assert_eq!(known(&t), [vec![0, 3, 4], vec![0, 1, 3, 4]]);
        let mut t = trace();
        assert_eq!(t.leave_out(&[stretch(None, 59_999, 180_001)]), [4]);
        assert_eq!(known(&t), [vec![0, 4], vec![3, 4]]);
    }

    #[test]
    fn what_is_outside_matches_nothing_and_overlaps_count_in_each() {
        let mut t = trace();
        let all = stretch(None, i64::MIN, i64::MAX);
        let none = [stretch(Some("c"), 0, 999), stretch(Some("a"), -500, 0), stretch(None, 900_000, 910_000)];
        assert_eq!(t.leave_out(&none), [0, 0, 0]);
        assert_eq!(known(&t), known(&trace()));
        assert_eq!(t.leave_out(&[all.clone(), stretch(Some("b"), 0, 180_000), all]), [8, 1, 8]);
        assert_eq!(known(&t), [vec![0usize; 0], vec![]]);
    }
}
