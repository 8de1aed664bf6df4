//! The placement score of the CPU back end against the f64 definition, at every instruction set of this machine.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use foreshade_fallback_cpu::{Exec, levels, placement};
use foreshade_kernels::placement_score::cases::{SHAPES, Shape, case};
use foreshade_kernels::placement_score::reference::{self, Inputs};
use foreshade_kernels::placement_score::{FORBIDDEN, SPEC, tolerance};

/// The kernel's outputs over poisoned memory of exactly the lengths that `SPEC` states.
fn run(exec: &Exec, x: &Inputs) -> (Vec<i32>, Vec<f32>) {
    let words = (SPEC.extent)(&x.ints).unwrap().words;
    let given = [x.demand.len(), x.room.len(), x.host.len(), x.vm.len(), x.allow.len()];
    assert_eq!(given, words[..5]);
    let (mut best, mut score) = (vec![i32::MIN; words[5]], vec![f32::NAN; words[6]]);
    placement::score(
        exec, &x.ints, &x.floats, &x.demand, &x.room, &x.host, &x.vm, &x.allow, &mut best, &mut score,
    );
    (best, score)
}

fn bits(v: &[f32]) -> Vec<u32> {
    v.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn every_level_is_within_the_derived_bounds() {
    for (level, _) in levels() {
        let exec = Exec::new(Some(level), 2).unwrap();
        for (seed, shape) in SHAPES.into_iter().enumerate() {
            let inputs = case(seed as u64, shape);
            let (best, score) = run(&exec, &inputs);
            tolerance::check(&inputs, &best, &score).unwrap_or_else(|e| panic!("{level} {shape:?}: {e}"));
        }
    }
}

#[test]
fn a_vm_does_not_feel_the_others_or_the_threads() {
    let shape = Shape { vms: 21, hosts: 150, paths: 6, steps: 3, resources: 4, top: 4 };
    let all = case(77, shape);
    for (level, _) in levels() {
        let (best, score) = run(&Exec::new(Some(level), 3).unwrap(), &all);
        let one_thread = Exec::new(Some(level), 1).unwrap();
        for vm in 0..shape.vms {
            let mut alone = all.clone();
            alone.ints[0] = 1;
            let part = |v: &[f32]| v[vm * v.len() / shape.vms..(vm + 1) * v.len() / shape.vms].to_vec();
            alone.demand = part(&all.demand);
            alone.vm = part(&all.vm);
            let words = all.allow.len() / shape.vms;
            alone.allow = all.allow[vm * words..(vm + 1) * words].to_vec();
            let (b, s) = run(&one_thread, &alone);
            assert_eq!(b, best[vm * 4..(vm + 1) * 4], "{level} vm {vm}");
            assert_eq!(bits(&s), bits(&score[vm * 12..(vm + 1) * 12]), "{level} vm {vm}");
        }
    }
}

/// More hosts than are laid out at a time: 2^20 words are 64 hosts of 16,384 cells.
#[test]
fn hosts_beyond_one_pack_are_ranked_with_the_others() {
    let shape = Shape { vms: 3, hosts: 130, paths: 64, steps: 32, resources: 8, top: 6 };
    let inputs = case(5, shape);
    for (level, _) in levels() {
        let (best, score) = run(&Exec::new(Some(level), 2).unwrap(), &inputs);
        tolerance::check(&inputs, &best, &score).unwrap_or_else(|e| panic!("{level}: {e}"));
    }
}

/// One VM, room as given per host, no costs: the answer can be told by hand.
fn plain(room: &[f32], demand: f32) -> Inputs {
    let mut row = vec![0.0; 64];
    row[..room.len()].copy_from_slice(room);
    let mut host = vec![0.0; 128];
    host[64..64 + room.len()].fill(0.25);
    Inputs {
        ints: [1, 64, 1, 1, 1, 3],
        floats: [10.0, 1.0],
        demand: vec![demand],
        room: row,
        host,
        vm: vec![0.5, -1.0],
        allow: vec![(1 << room.len()) - 1, 0],
    }
}

#[test]
fn a_host_that_is_full_to_the_last_bit_is_not_overloaded() {
    for (level, _) in levels() {
        let exec = Exec::new(Some(level), 1).unwrap();
        let (best, score) = run(&exec, &plain(&[0.5, 0.5f32.next_down(), 0.75], 2.0));
        assert_eq!(best, [2, 0, 1], "{level}");
        assert_eq!(score[..6], [0.0, 0.25, 0.25, 0.0, 0.0, 0.5], "{level}");
        assert_eq!(score[6], 1.0, "{level}");
    }
}

#[test]
fn equals_come_in_the_order_of_their_index_and_the_present_host_costs_nothing() {
    for (level, _) in levels() {
        let exec = Exec::new(Some(level), 1).unwrap();
        let mut inputs = plain(&[0.5; 6], 2.0);
        assert_eq!(run(&exec, &inputs).0, [0, 1, 2], "{level}");
        inputs.vm[1] = 4.0;
        let (best, score) = run(&exec, &inputs);
        assert_eq!(best, [4, 0, 1], "{level}");
        // No demand of its own, no move: only the room counts.
        assert_eq!(score[..3], [0.0, 0.5, -0.5], "{level}");
    }
}

#[test]
fn a_vm_that_may_be_nowhere_gets_no_host() {
    let mut inputs = plain(&[0.5; 6], 2.0);
    inputs.allow.fill(0);
    for (level, _) in levels() {
        let (best, score) = run(&Exec::new(Some(level), 1).unwrap(), &inputs);
        assert_eq!(best, [-1; 3], "{level}");
        assert_eq!(score, [0.0, 0.0, FORBIDDEN].repeat(3), "{level}");
    }
}

/// The check of the other tests must itself notice a wrong answer.
#[test]
fn the_check_refuses_wrong_answers() {
    let inputs = case(3, Shape { vms: 6, hosts: 40, paths: 4, steps: 3, resources: 2, top: 2 });
    let (best, score) = run(&Exec::new(None, 1).unwrap(), &inputs);
    tolerance::check(&inputs, &best, &score).unwrap();
    let apart = |b: &[(usize, reference::Scored)]| b.len() == 2 && b[1].1.cost > b[0].1.cost + 0.01;
    let vm = (0..6).find(|&vm| apart(&reference::best(&inputs, vm))).unwrap();
    let refused = |change: &dyn Fn(&mut [i32], &mut [f32])| {
        let (mut best, mut score) = (best.clone(), score.clone());
        change(&mut best[2 * vm..], &mut score[6 * vm..]);
        tolerance::check(&inputs, &best, &score).is_err()
    };
    assert!(refused(&|_, s| s[1] *= 1.000_01), "headroom");
    assert!(refused(&|_, s| s[0] += 0.25), "probability");
    assert!(refused(&|_, s| s[2] += 0.001), "cost");
    assert!(refused(&|b, _| b[0] = -1), "no host");
    assert!(
        refused(&|b, s| {
            b.swap(0, 1);
            (0..3).for_each(|i| s.swap(i, 3 + i))
        }),
        "order"
    );
    assert!(
        refused(&|b, s| {
            b[1] = b[0];
            s.copy_within(0..3, 3)
        }),
        "twice"
    );
    // The second and third host for the first and second.
    let mut more = inputs.clone();
    more.ints[5] = 3;
    let (three, words) = run(&Exec::new(None, 1).unwrap(), &more);
    assert!(
        refused(&|b, s| {
            b[..2].copy_from_slice(&three[3 * vm + 1..3 * vm + 3]);
            s[..6].copy_from_slice(&words[9 * vm + 3..9 * vm + 9]);
        }),
        "a better host is left out"
    );
}
