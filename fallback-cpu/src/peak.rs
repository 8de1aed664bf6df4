//! How fast this machine multiplies and adds: the ceiling that a bench is compared with.

use fearless_simd::{dispatch, prelude::*};

use crate::Exec;

/// What a run of the loop did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// Multiplications and additions, over all threads.
    pub flop: f64,
    /// Depends on all of them, so that none can be left out.
    pub sum: f64,
}

/// `rounds` rounds of independent multiply-adds on every thread of `exec`, all operands in registers. The caller takes
/// the time.
pub fn run(exec: &Exec, rounds: u64) -> Peak {
    let one = || dispatch!(exec.level(), simd => rounds_of(simd, rounds));
    let all = if exec.threads() == 1 { vec![one()] } else { exec.install(|| rayon::broadcast(|_| one())) };
    Peak { flop: all.iter().map(|p| p.flop).sum(), sum: all.iter().map(|p| p.sum).sum() }
}

#[inline(always)]
fn rounds_of<S: Simd>(simd: S, rounds: u64) -> Peak {
    // Enough chains for the latency of every pipe, few enough for the registers: 16 of 32, or 12 of 16.
    let (chains, sum) = if S::f32s::LEN == 16 || cfg!(target_arch = "aarch64") {
        (16, chains::<S, 16>(simd, rounds))
    } else {
        (12, chains::<S, 12>(simd, rounds))
    };
    Peak { flop: 2.0 * rounds as f64 * (chains * S::f32s::LEN) as f64, sum }
}

/// `acc = acc * a + b` on `N` chains, which tends to b / (1 - a) = 1 and stays there.
#[inline(always)]
fn chains<S: Simd, const N: usize>(simd: S, rounds: u64) -> f64 {
    let a = S::f32s::splat(simd, std::hint::black_box(0.75));
    let b = S::f32s::splat(simd, std::hint::black_box(0.25));
    let mut acc = [b; N];
    for (i, acc) in acc.iter_mut().enumerate() {
        *acc = S::f32s::splat(simd, std::hint::black_box(i as f32));
    }
    for _ in 0..rounds {
        for acc in &mut acc {
            *acc = acc.mul_add(a, b);
        }
    }
    acc.iter().map(|v| v.as_slice().iter().map(|v| f64::from(*v)).sum::<f64>()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chain_of_every_level_runs() {
        for (name, _) in crate::levels() {
            for threads in [1, 2] {
                let peak = run(&Exec::new(Some(name), threads).unwrap(), 200);
                let values = peak.flop / 2.0 / 200.0;
                assert!(values >= 48.0 * threads as f64, "{name}: {values}");
                assert!((peak.sum / values - 1.0).abs() < 1e-5, "{name}: {}", peak.sum);
            }
        }
    }
}
