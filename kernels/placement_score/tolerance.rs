//! What an f32 device may answer. README.md derives it.

use super::reference::Inputs;
use super::{FORBIDDEN, SCORE_WORDS};

/// Half a unit in the last place of 1 in f32.
const U: f64 = 1.0 / (1u64 << 24) as f64;

/// Smallest normal f32: a device may put 0 for anything below.
const TINY: f64 = f32::MIN_POSITIVE as f64;

/// Division may be wrong by 2.5 units in the last place (OpenCL and WGSL).
const DIVISION: f64 = 5.0 * U;

/// From least to largest value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Least.
    pub low: f64,
    /// Largest.
    pub high: f64,
}

impl Interval {
    fn around(a: f64, b: f64, slack: f64) -> Self {
        Self { low: a.min(b) - slack, high: a.max(b) + slack }
    }

    fn holds(self, v: f32) -> bool {
        (self.low..=self.high).contains(&f64::from(v))
    }

    fn magnitude(self) -> f64 {
        self.low.abs().max(self.high.abs())
    }
}

/// What a device may say of a VM on a host: probability, headroom, cost.
pub fn bounds(inputs: &Inputs, vm: usize, host: usize) -> [Interval; SCORE_WORDS] {
    let paths = inputs.paths() as f64;
    let (mut surely, mut perhaps) = (0.0, 0.0);
    let (mut low, mut high, mut magnitude) = (0.0, 0.0, 0.0);
    for path in 0..inputs.paths() {
        let worst = worst(inputs, vm, host, path);
        surely += f64::from(u8::from(worst.high < 0.0));
        perhaps += f64::from(u8::from(worst.low < 0.0));
        low += worst.low;
        high += worst.high;
        magnitude += worst.magnitude();
    }
    let probability = Interval {
        low: surely / paths * (1.0 - DIVISION), //
        high: perhaps / paths * (1.0 + DIVISION),
    };
    let slack = (paths * U + DIVISION) * magnitude / paths + TINY;
    let headroom = Interval::around(low / paths, high / paths, slack);
    let [risk_cost, room_value] = inputs.floats.map(f64::from);
    let base = inputs.base_cost(vm, host);
    let moving = f64::from(inputs.vm[2 * vm].abs());
    let host_cost = f64::from(inputs.host[host].abs());
    let size = host_cost + moving + room_value * headroom.magnitude() + risk_cost * probability.magnitude();
    let cost = Interval::around(
        risk_cost * probability.low - room_value * headroom.high + base,
        risk_cost * probability.high - room_value * headroom.low + base,
        6.0 * U * size + TINY,
    );
    [probability, headroom, cost]
}

/// The least room left on a path: with and without a fused multiply-add, and with subnormal numbers or 0 for them.
fn worst(inputs: &Inputs, vm: usize, host: usize, path: usize) -> Interval {
    let mut worst = Interval { low: f64::INFINITY, high: f64::INFINITY };
    for (room, share) in inputs.cells(vm, host, path) {
        let (fused, apart) = (room - share, room - f64::from(share as f32));
        let near = Interval::around(fused, apart, 0.0);
        let flush = if near.magnitude() < 4.0 * TINY && near.magnitude() > 0.0 { 4.0 * TINY } else { 0.0 };
        let slack = U * near.magnitude() + flush;
        // Rounding never changes a sign, and 0 stays 0.
        let side =
            |end: f64, moved: f64| if flush == 0.0 && end.signum() != moved.signum() { 0.0 } else { moved };
        worst.low = worst.low.min(side(near.low, near.low - slack));
        worst.high = worst.high.min(side(near.high, near.high + slack));
    }
    worst
}

/// Is this an answer that an f32 device may give? `best` [vms][top], `score` [vms][top][3].
///
/// A host other than the reference's is accepted only where the intervals of their costs meet, and never where both
/// hosts have the same numbers: then the lower index comes first.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(inputs: &Inputs, best: &[i32], score: &[f32]) -> Result<(), String> {
    let top = inputs.top();
    if best.len() != inputs.vms() * top || score.len() != best.len() * SCORE_WORDS {
        return Err(format!("{} hosts and {} words of scores", best.len(), score.len()));
    }
    for vm in 0..inputs.vms() {
        let slots = vm * top..(vm + 1) * top;
        let score = &score[slots.start * SCORE_WORDS..slots.end * SCORE_WORDS];
        check_vm(inputs, vm, &best[slots], score).map_err(|e| format!("vm {vm}: {e}"))?;
    }
    Ok(())
}

fn check_vm(inputs: &Inputs, vm: usize, best: &[i32], score: &[f32]) -> Result<(), String> {
    let hosts = (0..inputs.hosts()).filter(|&h| inputs.allowed(vm, h));
    let all: Vec<_> = hosts.map(|h| (h, bounds(inputs, vm, h))).collect();
    let mut named: Vec<(usize, f32)> = Vec::new();
    for (slot, (&host, words)) in best.iter().zip(score.chunks_exact(SCORE_WORDS)).enumerate() {
        if slot >= all.len() {
            if host != -1 || words != [0.0, 0.0, FORBIDDEN] {
                return Err(format!("slot {slot}: host {host} {words:?} where no host is left"));
            }
            continue;
        }
        let Some((host, bounds)) = all.iter().find(|(h, _)| i64::from(host) == *h as i64) else {
            return Err(format!("slot {slot}: host {host} is not allowed"));
        };
        for ((name, word), bound) in ["probability", "headroom", "cost"].iter().zip(words).zip(bounds) {
            if !bound.holds(*word) {
                return Err(format!("slot {slot}: host {host}: {name} {word} is not in {bound:?}"));
            }
        }
        if named.iter().any(|(h, _)| h == host) {
            return Err(format!("slot {slot}: host {host} is named twice"));
        }
        if let Some(&(before, cost)) = named.last()
            && (cost > words[2] || cost == words[2] && before > *host)
        {
            return Err(format!("slot {slot}: host {host} ({}) comes after {before} ({cost})", words[2]));
        }
        named.push((*host, words[2]));
    }
    check_unnamed(inputs, vm, &named, &all)
}

/// No host that was left out may be surely better than one that was named.
fn check_unnamed(
    inputs: &Inputs,
    vm: usize,
    named: &[(usize, f32)],
    all: &[(usize, [Interval; SCORE_WORDS])],
) -> Result<(), String> {
    let Some(&(_, last)) = named.last() else { return Ok(()) };
    for (host, [.., cost]) in all.iter().filter(|(h, _)| named.iter().all(|(n, _)| n != h)) {
        if cost.high < f64::from(last) {
            return Err(format!("host {host} ({cost:?}) is missing, {last} was named"));
        }
        if let Some((twin, _)) = named.iter().find(|(n, _)| n > host && inputs.same_host(vm, *n, *host)) {
            return Err(format!("host {twin} was named before its equal {host}"));
        }
    }
    Ok(())
}
