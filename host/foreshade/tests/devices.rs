//! `devices` and `bench` on any machine, also one without a single library to load.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn foreshade(args: &[&str]) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_foreshade"));
    c.args(args).env_remove("RUST_BACKTRACE").stdin(Stdio::null());
    c
}

/// No library is asked for anything.
fn bare(args: &[&str]) -> Output {
    foreshade(args).env("FORESHADE_ACCEL_DISABLE", "opencl,cuda,wgpu").output().expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(out: &Output) -> Value {
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    serde_json::from_slice(&out.stdout).expect("one JSON object")
}

fn driver<'a>(listing: &'a Value, name: &str) -> &'a Value {
    let drivers = listing["drivers"].as_array().expect("drivers");
    drivers.iter().find(|d| d["driver"] == name).unwrap_or_else(|| panic!("{name} is not listed"))
}

const KERNELS: [&str; 5] =
    ["lstm_step", "arima_fit", "arima_forecast", "placement_score", "conformal_update"];
const LOADED: [&str; 6] = ["opencl-fpga", "cuda", "opencl-gpu", "wgpu", "opencl-cpu", "wgpu-cpu"];

#[test]
fn a_bare_machine_has_its_processor_and_a_reason_for_each_of_the_rest() {
    let out = bare(&["devices"]);
    assert_eq!((out.status.code(), text(&out.stderr).as_str()), (Some(0), ""));
    let shown = text(&out.stdout);
    let line = |name: &str| {
        let lines: Vec<_> = shown.lines().filter(|l| l.split_whitespace().next() == Some(name)).collect();
        assert_eq!(lines.len(), 1, "one line of {name}:\n{shown}");
        lines[0].to_owned()
    };
    for name in LOADED {
        assert!(line(name).contains("passed over: disabled by FORESHADE_ACCEL_DISABLE"), "{}", line(name));
    }
    assert!(line("cpu").contains("taken by auto"), "{shown}");
    assert!(shown.contains("\n--backend auto takes cpu\n"), "{shown}");
    for kernel in KERNELS {
        assert_eq!(line(kernel).split_whitespace().nth(1), Some("yes"), "{shown}");
    }
    // The state stands in one column.
    let columns: Vec<_> =
        shown.lines().filter_map(|l| l.find("passed over").or_else(|| l.find("taken by"))).collect();
    assert!(columns.len() == LOADED.len() + 1 && columns.windows(2).all(|c| c[0] == c[1]), "{shown}");
}

/// The loaders are there or not, and find nothing to load.
#[test]
fn loaders_without_devices_are_no_error() {
    let empty = tempfile::tempdir().expect("folder");
    let list = |args: &[&str]| {
        let mut c = foreshade(args);
        c.env("OCL_ICD_VENDORS", empty.path()).env("OCL_ICD_FILENAMES", "");
        c.env("VK_ICD_FILENAMES", "/nonexistent").env("VK_DRIVER_FILES", "/nonexistent");
        c.env("FORESHADE_ACCEL_DISABLE", "cuda").output().expect("runs")
    };
    let out = list(&["devices"]);
    let err = text(&out.stderr);
    assert_eq!(out.status.code(), Some(0), "{err}");
    assert!(!err.contains("panicked") && !err.contains("stack backtrace"), "{err}");
    let listing = json(&list(&["devices", "--json"]));
    assert_eq!(listing["auto"], "cpu");
    for name in LOADED {
        let row = driver(&listing, name);
        assert_eq!(row["devices"], serde_json::json!([]), "{name}");
        let reason = row["passed_over"][0]["reason"].as_str().expect("a reason");
        assert!(reason.len() > 8 && !reason.contains('\n'), "{name}: {reason}");
    }
    let why = |name: &str| driver(&listing, name)["passed_over"][0]["reason"].as_str().unwrap_or_default();
    assert!(why("opencl-gpu").to_lowercase().contains("opencl"), "{}", why("opencl-gpu"));
    assert!(why("wgpu").contains("Vulkan"), "{}", why("wgpu"));
}

#[test]
fn the_object_has_stable_keys_and_the_processor_proves_its_kernels() {
    let listing = json(&bare(&["devices", "--test", "--json"]));
    assert_eq!(listing["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(listing["kernels"], serde_json::json!(KERNELS));
    let names: Vec<_> =
        listing["drivers"].as_array().expect("drivers").iter().map(|d| &d["driver"]).collect();
    assert_eq!(names, ["opencl-fpga", "cuda", "opencl-gpu", "wgpu", "cpu", "opencl-cpu", "wgpu-cpu"]);
    let cpu = driver(&listing, "cpu");
    assert_eq!(cpu["auto"], true);
    assert_eq!(cpu["self_test"]["ok"], true, "{cpu}");
    assert!(cpu["self_test"]["ms"].is_u64());
    let device = &cpu["devices"][0];
    assert_eq!(device["kernels"], serde_json::json!(KERNELS));
    assert_eq!((&device["software"], &device["threads"]), (&true.into(), &1.into()));
    let best = foreshade_fallback_cpu::levels().last().map_or("", |l| l.0);
    assert_eq!(device["form"], best);
    for key in ["device", "version", "memory_bytes"] {
        assert!(!device[key].is_null(), "{key}: {device}");
    }
    assert_eq!(driver(&listing, "opencl-cpu")["auto"], false);
    // Nothing was found there, so nothing was tested.
    assert!(driver(&listing, "cuda").get("self_test").is_none());
    assert_eq!(listing["auto"], "cpu");
}

#[test]
fn a_device_that_is_not_there_is_named_with_its_reason() {
    for name in LOADED {
        let out = bare(&["bench", "placement", "--backend", name]);
        let err = text(&out.stderr);
        assert_eq!((out.status.code(), err.lines().count()), (Some(2), 1), "{err}");
        assert!(err.contains(name) && err.contains("disabled by FORESHADE_ACCEL_DISABLE"), "{err}");
    }
}

/// Where REQUIRE names a library, its software device is listed and proves its kernels.
#[test]
fn required_software_devices_prove_their_kernels() {
    let required = std::env::var("REQUIRE").unwrap_or_default();
    let wanted = [("opencl", "opencl-cpu"), ("wgpu", "wgpu-cpu")]
        .into_iter()
        .filter(|(library, _)| required.split(',').any(|r| r.trim() == *library));
    let wanted: Vec<_> = wanted.collect();
    if wanted.is_empty() {
        return println!("SKIPPED software devices - REQUIRE names neither opencl nor wgpu");
    }
    let server =
        foreshade(&["devices", "--test", "--json"]).env_remove("XDG_RUNTIME_DIR").output().expect("runs");
    assert_eq!(text(&server.stderr), "", "a server has no display, and that is no news");
    let listing = json(&server);
    for (_, name) in wanted {
        assert_eq!(driver(&listing, name)["self_test"]["ok"], true, "{}", driver(&listing, name));
    }
}

fn number(figure: &Value, key: &str) -> f64 {
    let n = figure[key].as_f64().unwrap_or_else(|| panic!("{key} of {figure}"));
    assert!(n.is_finite() && n > 0.0, "{key} of {figure}");
    n
}

/// The figures of a bench, checked against each other.
fn figures(args: &[&str], units: f64) -> Vec<Value> {
    let short = ["--json", "--seconds", "0.05", "--threads", "1"];
    let sheet = json(&bare(&[args, &short].concat()));
    assert_eq!((&sheet["bench"], &sheet["backend"]), (&args[1].into(), &"cpu".into()));
    assert_eq!((&sheet["version"], &sheet["threads"]), (&env!("CARGO_PKG_VERSION").into(), &1.into()));
    assert!(sheet["device"].is_string() && sheet["form"].is_string());
    let results = sheet["results"].as_array().expect("results").clone();
    for f in &results {
        let [best, median, p99] = ["ms_best", "ms_median", "ms_p99"].map(|k| number(f, k));
        assert!(best <= median && median <= p99 && number(f, "calls") >= 3.0, "{f}");
        let rate = units / best * 1e3;
        assert!((number(f, "units_per_s") / rate - 1.0).abs() < 1e-6, "{f}");
        if f.get("mac_gflops").is_some() {
            let share = number(f, "mac_gflops") / number(f, "fma_peak_gflops");
            assert!((number(f, "share_of_fma_peak") / share - 1.0).abs() < 1e-6 && share < 1.5, "{f}");
        }
    }
    results
}

#[test]
fn benches_measure_work_that_was_done() {
    let results = figures(&["bench", "forecast", "--vms", "300"], 300.0);
    let cases: Vec<_> = results.iter().map(|f| f["case"].as_str().unwrap_or_default()).collect();
    assert!(cases[0].starts_with("lstm_step 6->32, head 80->64->20, shipped model, 300 VMs"), "{cases:?}");
    assert!(cases[1].starts_with("lstm_step 8->32, without a head"), "{cases:?}");
    assert!(cases[2].starts_with("arima_fit, 144 samples"), "{cases:?}");
    assert!(cases[3].starts_with("arima_forecast, 12 steps") && cases.len() == 4, "{cases:?}");
    // 2 x 4 x 32 x 40 operations for each of the 320 lanes that 300 VMs are rounded up to.
    let flop = number(&results[1], "mac_gflops") * number(&results[1], "ms_best") * 1e6;
    assert!((flop / (2.0 * 4.0 * 32.0 * 40.0 * 320.0) - 1.0).abs() < 1e-6, "{flop}");
    let cells = 5.0 * 70.0 * 32.0 * 6.0 * 4.0;
    let results = figures(&["bench", "placement", "--vms", "5", "--hosts", "70"], cells);
    assert_eq!(results.len(), 1);
    assert_eq!(results[0]["unit"], "cells");
    let out = bare(&["bench", "placement", "--vms", "5", "--seconds", "0.01"]);
    let table = text(&out.stdout);
    assert!(table.lines().count() == 3 && table.contains("of FMA peak"), "{table}");
    assert_eq!(text(&out.stderr), "", "progress is for terminals");
}

#[test]
fn what_cannot_be_measured_is_said_in_one_line() {
    let bad: [(&[&str], &[&str]); 7] = [
        (&["bench", "ingest"], &["bench ingest: not built yet"]),
        (&["bench", "decisions", "--json"], &["bench decisions: not built yet"]),
        (&["bench", "e2e"], &["bench e2e: not built yet"]),
        (&["bench", "luck"], &["luck", "forecast"]),
        (&["bench", "forecast", "--backend", "abacus"], &["abacus", "cpu"]),
        (&["bench", "forecast", "--seconds", "0"], &["--seconds"]),
        (&["bench", "placement", "--vms", "70000"], &["vms", "70000", "choose fewer"]),
    ];
    for (args, says) in bad {
        let out = bare(args);
        let err = text(&out.stderr);
        assert_eq!((out.status.code(), err.lines().count()), (Some(2), 1), "{args:?}: {err}");
        assert!(says.iter().all(|s| err.contains(s)), "{args:?}: {err}");
        assert_eq!(text(&out.stdout), "", "{args:?}");
    }
}
