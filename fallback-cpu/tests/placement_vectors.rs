//! The placement score against the answers of an independent oracle, `kernels/placement_score/gen.py`: the f64 definition
//! and every instruction set of this machine.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use foreshade_fallback_cpu::{Exec, levels, placement};
use foreshade_kernels::placement_score::reference::{self, Inputs};
use foreshade_kernels::placement_score::tolerance;
use serde_json::Value;

const VECTORS: &str = include_str!("../../kernels/placement_score/vectors/edges.json");

/// All numbers of a nested list, row-major.
fn flat(v: &Value) -> Vec<f32> {
    match v {
        Value::Array(list) => list.iter().flat_map(flat).collect(),
        Value::Bool(b) => vec![f32::from(u8::from(*b))],
        v => vec![v.as_f64().unwrap() as f32],
    }
}

fn len(v: &Value) -> usize {
    v.as_array().unwrap().len()
}

/// Rows of `hosts` values, each padded with `filler` to whole groups.
fn padded(v: &Value, hosts: usize, filler: f32) -> Vec<f32> {
    let row = |row: &[f32]| [row, &vec![filler; hosts.next_multiple_of(64) - hosts]].concat();
    flat(v).chunks_exact(hosts).flat_map(row).collect()
}

fn inputs(case: &Value) -> Inputs {
    let demand = &case["demand"];
    let hosts = len(&case["host_cost"]);
    let sizes = [
        len(demand),
        hosts.next_multiple_of(64),
        len(&demand[0]),
        len(&demand[0][0]),
        len(&demand[0][0][0]),
        case["top"].as_u64().unwrap() as usize,
    ];
    let pairs = flat(&case["move_cost"]).into_iter().zip(flat(&case["present"]));
    let allow = padded(&case["allow"], hosts, 0.0);
    let word = |bits: &[f32]| bits.iter().enumerate().fold(0u32, |w, (i, &b)| w | (b as u32) << i) as i32;
    Inputs {
        ints: sizes.map(|v| v as i32),
        floats: [flat(&case["risk_cost"])[0], flat(&case["room_value"])[0]],
        demand: flat(demand),
        room: padded(&case["room"], hosts, -7.0),
        host: [padded(&case["host_cost"], hosts, -9.0), padded(&case["inv_cap"], hosts, 9.0)].concat(),
        vm: pairs.flat_map(|(cost, present)| [cost, present]).collect(),
        allow: allow.chunks_exact(32).map(word).collect(),
    }
}

/// Host, then probability, headroom, cost.
fn expected(case: &Value, vm: usize) -> Vec<(i32, [f64; 3])> {
    let number = |v: &Value| v.as_f64().unwrap();
    let one = |v: &Value| {
        let words = ["probability", "headroom", "cost"].map(|name| number(&v[name]));
        (number(&v["host"]) as i32, words)
    };
    case["answer"][vm].as_array().unwrap().iter().map(one).collect()
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * (1.0 + b.abs())
}

#[test]
fn the_definition_agrees_with_the_oracle() {
    let cases: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    for case in &cases {
        let inputs = inputs(case);
        for vm in 0..inputs.vms() {
            let got: Vec<_> = reference::best(&inputs, vm)
                .into_iter()
                .map(|(host, s)| (host as i32, [s.probability, s.headroom, s.cost]))
                .collect();
            let want = expected(case, vm);
            let name = &case["name"];
            assert_eq!(got.len(), want.len(), "{name} vm {vm}");
            for ((host, got), (want_host, want)) in got.iter().zip(&want) {
                assert_eq!(host, want_host, "{name} vm {vm}");
                assert!((0..3).all(|i| close(got[i], want[i], 1e-12)), "{name} vm {vm}: {got:?} {want:?}");
            }
        }
    }
}

#[test]
fn every_level_names_the_hosts_of_the_oracle() {
    let cases: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    for (level, _) in levels() {
        let exec = Exec::new(Some(level), 1).unwrap();
        for case in &cases {
            let x = inputs(case);
            let slots = x.vms() * x.top();
            let (mut best, mut score) = (vec![i32::MIN; slots], vec![f32::NAN; 3 * slots]);
            placement::score(
                &exec, &x.ints, &x.floats, &x.demand, &x.room, &x.host, &x.vm, &x.allow, &mut best,
                &mut score,
            );
            let name = &case["name"];
            tolerance::check(&x, &best, &score).unwrap_or_else(|e| panic!("{level} {name}: {e}"));
            for (vm, best) in best.chunks_exact(x.top()).enumerate() {
                let mut want: Vec<_> = expected(case, vm).into_iter().map(|(host, _)| host).collect();
                want.resize(x.top(), -1);
                assert_eq!(best, want, "{level} {name} vm {vm}");
            }
        }
    }
}
