//! `foreshade bench placement`: the candidates of one tick scored on every host.

use std::sync::Arc;
use std::time::Instant;

use foreshade_accel::{KernelId, Slab};
use foreshade_kernels::placement_score::cases::{Shape, case};

use super::meter::Meter;
use super::{Sheet, Work, check, device};
use crate::Failure;
use crate::cli::BenchArgs;

/// VMs when none are named: the most that are moved in a tick.
const VMS: u32 = 200;

pub(super) fn run(args: &BenchArgs) -> Result<Sheet, Failure> {
    let (vms, hosts) = (args.vms.unwrap_or(VMS) as usize, args.hosts as usize);
    let shape = Shape { vms, hosts, paths: 32, steps: 6, resources: 4, top: 4 };
    if let Err(e) = (KernelId::PlacementScore.spec().extent)(&ints(shape)) {
        return Err(Failure::Usage(format!("bench placement: {e}; choose fewer VMs or hosts")));
    }
    let mut engine = device(args)?;
    let mut sheet = Sheet::new("placement", &engine);
    let meter = Meter::new(&engine, args.seconds)?;
    let request = case(1, shape);
    let inputs: Vec<_> = [&request.demand, &request.room, &request.host, &request.vm]
        .into_iter()
        .map(|v| Arc::new(Slab::from_f32(v)))
        .chain([Arc::new(Slab::from_i32(&request.allow))])
        .collect();
    let times = meter.run("placement_score", || {
        let start = Instant::now();
        let out = engine
            .call(KernelId::PlacementScore, &request.ints, &request.floats, &inputs)
            .map_err(|e| Failure::failed(&e))?;
        let took = start.elapsed();
        check(named(&out, hosts), "hosts or scores that cannot be")?;
        Ok(took)
    })?;
    let cells = (vms * hosts * shape.paths * shape.steps * shape.resources) as f64;
    let case = format!("placement_score, {vms} VMs, {hosts} hosts, 32 paths, 6 steps, 4 resources");
    // A cell is one multiply-add and one minimum; padding hosts are not counted.
    let work = Work { case, unit: "cells", units: cells, flop: Some(2.0 * cells) };
    sheet.add(&engine, work, &times)?;
    Ok(sheet)
}

fn ints(s: Shape) -> [i32; 6] {
    [s.vms, s.hosts.next_multiple_of(64), s.paths, s.steps, s.resources, s.top].map(|v| v as i32)
}

/// Are the hosts among those there are, and the scores finite and not all zero?
fn named(out: &[Slab], hosts: usize) -> bool {
    let [best, score] = out else { return false };
    let (best, score) = (best.i32(), score.f32());
    best.iter().all(|h| (-1..hosts as i32).contains(h))
        && best.iter().any(|h| *h >= 0)
        && score.iter().all(|v| v.is_finite())
        && score.iter().any(|v| *v != 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_and_hosts_that_are_not_there_are_no_result() {
        let out = |best: &[i32], score: &[f32]| [Slab::from_i32(best), Slab::from_f32(score)];
        assert!(named(&out(&[3, -1], &[0.5, 0.0]), 4));
        assert!(named(&out(&[0, 0], &[0.0, 0.5]), 1));
        assert!(!named(&out(&[-1, -1], &[0.0, 0.5]), 4));
        assert!(!named(&out(&[3, 0], &[0.0, 0.0]), 4));
        assert!(!named(&out(&[4, 0], &[0.5, 0.0]), 4));
        assert!(!named(&out(&[3, 0], &[f32::NAN, 0.5]), 4));
        assert!(!named(&out(&[3, 0], &[f32::INFINITY, 0.5]), 4));
    }
}
