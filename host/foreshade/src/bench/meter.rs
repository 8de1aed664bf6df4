//! Times of calls, and what the machine could do meanwhile.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use foreshade_accel::Engine;
use foreshade_fallback_cpu::{Exec, peak};

use crate::Failure;
use crate::view::Progress;

/// Calls before the first that counts: buffers are made, programs built, caches filled.
const WARM_UP: usize = 2;
/// A slow device is called this often at least.
const CALLS_MIN: usize = 3;
/// Rounds of the peak loop: about half a millisecond.
const PEAK_ROUNDS: u64 = 20_000;
/// Calls between two looks at the peak.
const TURN: usize = 8;

/// Times of one kind of call.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Times {
    /// Ascending.
    calls: Vec<Duration>,
    peak_flops: Option<f64>,
}

impl Times {
    pub(super) fn calls(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn best(&self) -> Duration {
        self.at(0.0)
    }

    /// The time that this share of the calls did not exceed.
    pub(super) fn at(&self, share: f64) -> Duration {
        let i = (share * self.calls.len() as f64) as usize;
        self.calls.get(i.min(self.calls.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    /// Best multiply-add rate of the processor, where the calls ran on it.
    pub(super) fn peak_flops(&self) -> Option<f64> {
        self.peak_flops
    }
}

/// Measures for a time.
pub(super) struct Meter {
    seconds: f64,
    /// Where the peak is looked at; `None` = the work is done elsewhere.
    exec: Option<Exec>,
}

impl Meter {
    /// The peak is that of the processor's own kernels: same instruction set, same threads.
    pub(super) fn new(engine: &Engine, seconds: f64) -> Result<Self, Failure> {
        let i = engine.info();
        let exec = (i.driver == "cpu").then(|| Exec::new(Some(&i.simd), i.threads)).transpose();
        Ok(Self { seconds, exec: exec.map_err(|e| Failure::failed(&e))? })
    }

    /// Times calls. `call` does one and returns how long the part that counts took.
    pub(super) fn run(
        &self,
        what: &'static str,
        mut call: impl FnMut() -> Result<Duration, Failure>,
    ) -> Result<Times, Failure> {
        for _ in 0..WARM_UP {
            call()?;
        }
        let total = (self.seconds * 1e3) as u64;
        let progress = std::io::stderr().is_terminal().then(|| Progress::new(total, what, false));
        let (start, mut times) = (Instant::now(), Times::default());
        while times.calls.len() < CALLS_MIN || start.elapsed().as_secs_f64() < self.seconds {
            times.calls.push(call()?);
            if times.calls.len().is_multiple_of(TURN) || times.calls.len() < CALLS_MIN {
                let now = self.exec.as_ref().map(peak_flops);
                times.peak_flops = now.map(|p| p.max(times.peak_flops.unwrap_or(0.0)));
                if let Some(p) = &progress {
                    p.at((start.elapsed().as_millis() as u64).min(total));
                }
            }
        }
        if let Some(p) = progress {
            p.finish();
        }
        times.calls.sort_unstable();
        Ok(times)
    }
}

fn peak_flops(exec: &Exec) -> f64 {
    let start = Instant::now();
    let done = std::hint::black_box(peak::run(exec, PEAK_ROUNDS));
    done.flop / start.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_median_and_tail_come_from_the_calls_after_the_warm_up() {
        let meter = Meter { seconds: 0.0, exec: None };
        let mut n = 0;
        let times = meter.run("test", || {
            n += 1;
            Ok(Duration::from_millis([900, 900, 3, 1, 2][n - 1]))
        });
        let times = times.unwrap();
        assert_eq!(times.calls(), CALLS_MIN);
        let ms = [times.best(), times.at(0.5), times.at(0.99)].map(|d| d.as_millis());
        assert_eq!(ms, [1, 2, 3]);
        assert_eq!(times.peak_flops(), None);
    }

    #[test]
    fn the_peak_is_looked_at_while_the_processor_is_measured() {
        let meter = Meter { seconds: 0.0, exec: Some(Exec::new(None, 1).unwrap()) };
        let times = meter.run("test", || Ok(Duration::from_millis(1))).unwrap();
        assert!(times.peak_flops().unwrap() > 1e8, "{times:?}");
    }
}
