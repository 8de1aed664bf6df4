//! Which crate may depend on which, and what the pure crates may never pull in.
//!
//! A new edge is a decision: write it here with the change that needs it, and change the picture in ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{house, none};

/// Crate, crates of the house it may depend on (development included). `types` is open to all.
const EDGES: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("wire", &[]),
    // kernels: a sealed tick lies in the memory that devices read (`Slab`).
    ("telemetry", &["kernels"]),
    ("kernels", &[]),
    ("fallback-cpu", &["kernels"]),
    ("accel", &["fallback-cpu", "kernels"]),
    // fallback-cpu: what a window's own forecasts missed by is computed beside the windows, on the host's vectors.
    ("forecast", &["accel", "fallback-cpu", "kernels", "telemetry"]),
    ("train", &["accel", "forecast", "telemetry"]),
    ("plan", &[]),
    ("link", &["wire"]),
    ("client", &["link", "wire"]),
    ("enact", &[]),
    ("agent", &["client", "wire"]),
    ("controller", &["client", "enact", "wire"]),
    // accel: the core holds the back-end handle that it hands to forecast; devices are opened outside.
    ("appliance-core", &["accel", "forecast", "plan", "telemetry", "wire"]),
    ("appliance", &["accel", "appliance-core", "link", "wire"]),
    // The simulator sees no network: all but link, client, appliance, agent, controller.
    ("sim", &["accel", "appliance-core", "enact", "forecast", "plan", "telemetry", "wire"]),
    ("foreshade", &ALL),
    ("xtask", &[]),
    ("benches", &ALL),
];

const ALL: [&str; 17] = [
    "types",
    "wire",
    "telemetry",
    "kernels",
    "fallback-cpu",
    "accel",
    "forecast",
    "train",
    "plan",
    "link",
    "client",
    "enact",
    "agent",
    "controller",
    "appliance-core",
    "appliance",
    "sim",
];

/// Pure crates: no sockets, no journal, no device, whoever brings them in.
const PURE: [&str; 5] = ["types", "wire", "telemetry", "plan", "appliance-core"];
const IMPURE: [&str; 6] = ["tokio", "quinn", "redb", "opencl3", "cudarc", "wgpu"];
/// Crates that do not know Arrow either.
const NO_ARROW: [&str; 2] = ["types", "plan"];

/// The name without the house's prefix, where it has it.
fn short(name: &str) -> &str {
    name.strip_prefix("foreshade-").unwrap_or(name)
}

/// Crate -> crates of the house it depends on, from `cargo metadata`.
fn read_edges(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let empty = Vec::new();
    let list = |v: &Value| v.as_array().unwrap_or(&empty).clone();
    let mut edges = BTreeMap::new();
    for package in list(&metadata["packages"]) {
        let deps = list(&package["dependencies"]);
        let inside = deps.iter().filter(|d| d["path"].is_string()).filter_map(|d| d["name"].as_str());
        let inside = inside.map(|d| short(d).to_string()).collect();
        edges.insert(short(package["name"].as_str().unwrap_or_default()).to_string(), inside);
    }
    edges
}

fn wrong_edges(edges: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let table: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    let mut wrong = Vec::new();
    for (from, tos) in edges {
        let Some(allowed) = table.get(from.as_str()) else {
            wrong.push(format!("{from} is not in EDGES: say there what it may depend on"));
            continue;
        };
        let bad = tos.iter().filter(|to| *to != "types" && !allowed.contains(&to.as_str()));
        wrong.extend(bad.map(|to| format!("{from} -> {to} is not an allowed edge")));
    }
    let gone = table.keys().filter(|k| !edges.contains_key(**k));
    wrong.extend(gone.map(|k| format!("EDGES names {k}, which is no crate of the workspace")));
    wrong
}

/// `tree` is one package name a line: everything `name` builds on.
fn impure(name: &str, tree: &str) -> Vec<String> {
    let arrow = NO_ARROW.contains(&name);
    let bad = |d: &str| IMPURE.contains(&d) || (arrow && (d.starts_with("arrow") || d == "parquet"));
    let names: BTreeSet<&str> = tree.lines().filter_map(|l| l.split_whitespace().next()).collect();
    names.into_iter().filter(|d| bad(d)).map(|d| format!("{name} is pure, but builds on {d}")).collect()
}

fn cargo(args: &str) -> String {
    let out = house().cargo(args).output().unwrap();
    assert!(out.status.success(), "cargo {args}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn edges_are_as_drawn() {
    let metadata = cargo("metadata --no-deps --format-version 1");
    let edges = read_edges(&serde_json::from_str(&metadata).unwrap());
    assert!(edges["wire"].contains("types"), "the metadata names no edges: {edges:?}");
    none(wrong_edges(&edges));
}

#[test]
fn pure_crates_stay_pure() {
    let mut wrong = Vec::new();
    for name in PURE {
        let tree = cargo(&format!("tree -p foreshade-{name} -e normal --prefix none --format {{p}}"));
        assert!(tree.contains("foreshade-types"), "no tree of {name}: {tree}");
        wrong.extend(impure(name, &tree));
    }
    none(wrong);
}

#[test]
fn another_edge_is_refused() {
    let edges = |from: &str, to: &str| {
        let mut all: BTreeMap<String, BTreeSet<String>> =
            EDGES.iter().map(|(k, _)| (k.to_string(), BTreeSet::new())).collect();
        all.entry(from.into()).or_default().insert(to.into());
        all
    };
    assert!(wrong_edges(&edges("plan", "types")).is_empty());
    assert_eq!(wrong_edges(&edges("plan", "telemetry")).len(), 1);
    assert_eq!(wrong_edges(&edges("sim", "link")).len(), 1);
    assert_eq!(wrong_edges(&edges("newcomer", "types")).len(), 1);
    assert_eq!(wrong_edges(&BTreeMap::new()).len(), EDGES.len());
}

#[test]
fn an_impure_dependency_is_refused() {
    assert_eq!(impure("plan", "foreshade-plan v0.1.0\ntokio v1.0.0\narrow-array v60\n").len(), 2);
    assert_eq!(impure("wire", "arrow-array v60\nredb v4\n").len(), 1);
    assert!(impure("types", "serde v1\ntokio-like v1\n").is_empty());
}
