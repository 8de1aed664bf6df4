//! Hours ahead: whole hours beyond what samples ahead can reach, by [`Seasonal`].
//!
//! A forecast of `h` hours is of the mean of the hour that *ends* at origin + h, both at the second: of the samples after
//! origin + h - 1 h, up to and with the one at origin + h. So hours are cut where the origin lies, not at the full hour:
//! origins at other minutes have hours of their own, and each of these clocks is streamed by itself. Its hours of the day
//! start at that minute, and so does what it learns.
//!
//! Only what came up to the origin is known: the origin's sample is the last of its hour, which a sample without a value
//! closes.

use std::collections::BTreeMap;

use foreshade_telemetry::trace::{Scale, Trace};
use foreshade_types::Quantiles;

use super::Found;
use crate::seasonal::Seasonal;
use crate::seasonal::rollup::HOUR_MS;

/// One column of a trace, and what is asked of it.
#[derive(Clone, Copy)]
pub(super) struct Far<'a> {
    pub(super) trace: &'a Trace,
    pub(super) column: usize,
    /// Samples by VM, ascending.
    pub(super) asked: &'a [Vec<usize>],
    pub(super) hours: &'a [usize],
}

impl Far<'_> {
    /// All forecasts, by VM and origin. Each series is by itself: threads show nowhere.
    pub(super) fn found(self, threads: usize) -> Vec<Found> {
        let vms: Vec<usize> = (0..self.asked.len()).collect();
        let part = vms.len().div_ceil(threads.max(1)).max(1);
        let of = move |vms: &[usize]| vms.iter().flat_map(|&vm| self.series(vm)).collect::<Vec<_>>();
        std::thread::scope(|s| {
            let running: Vec<_> = vms.chunks(part).map(|vms| (vms, s.spawn(move || of(vms)))).collect();
            // A thread that ended early had a defect; its part is done again here, where it can be seen.
            running.into_iter().flat_map(|(vms, t)| t.join().unwrap_or_else(|_| of(vms))).collect()
        })
    }

    fn series(self, vm: usize) -> Vec<Found> {
        let mut clocks: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for &sample in &self.asked[vm] {
            clocks.entry(time(self.trace, vm, sample).rem_euclid(HOUR_MS)).or_default().push(sample);
        }
        let of = |(offset, asked): (&i64, &Vec<usize>)| self.clock(vm, *offset, asked);
        let mut found: Vec<Found> = clocks.iter().flat_map(of).collect();
        found.sort_by_key(|f| f.sample);
        found
    }

    /// Streams one series with hours that end `offset_ms` after the full hour.
    fn clock(self, vm: usize, offset_ms: i64, asked: &[usize]) -> Vec<Found> {
        let scale = self.trace.scale(vm, self.column);
        let values = &self.trace.vms[vm].values[self.column];
        // The last millisecond of the hour is that of the origin's sample.
        let clock_ms = |sample: usize| time(self.trace, vm, sample) - offset_ms - 1;
        let mut series = Seasonal::new(scale.transform);
        let mut found = Vec::with_capacity(asked.len());
        let mut sample = 0;
        for &origin in asked {
            while sample <= origin {
                series.observe(clock_ms(sample), unit(scale, values[sample]));
                sample += 1;
            }
            series.observe(clock_ms(origin) + 1, f32::NAN);
            let values = self.hours.iter().map(|&h| points(scale, &series, h)).collect();
            found.push(Found { vm, sample: origin, values });
        }
        found
    }
}

fn time(trace: &Trace, vm: usize, sample: usize) -> i64 {
    trace.time_ms(&trace.vms[vm], sample)
}

/// In the unit of the transform: percent, or a rate.
fn unit(scale: Scale, x: f32) -> f32 {
    (f64::from(x) / scale.unit) as f32
}

fn points(scale: Scale, series: &Seasonal, h: usize) -> (f32, Quantiles) {
    let f = series.bound(h);
    (scale.transform.to_points(f.mean), Quantiles(f.quantiles.0.map(|q| scale.transform.to_points(q))))
}
