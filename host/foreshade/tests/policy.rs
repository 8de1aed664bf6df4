//! Policies from the command line: printed, checked, and read the same way by `backtest`.
#![allow(clippy::expect_used)]

use std::path::Path;
use std::process::{Command, Output};

fn foreshade(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_foreshade")).args(args).output().expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn check(path: &Path) -> Output {
    foreshade(&["plan", "--policy", &path.display().to_string(), "--check-config"])
}

#[test]
fn a_printed_policy_passes_its_own_check() {
    let dir = tempfile::tempdir().expect("folder");
    for preset in ["safe", "balanced", "dense"] {
        let printed = foreshade(&["plan", "--print-policy", "--preset", preset]);
        assert_eq!(printed.status.code(), Some(0));
        let file = dir.path().join(format!("{preset}.toml"));
        std::fs::write(&file, &printed.stdout).expect("written");
        let out = check(&file);
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    }
    let schema = foreshade(&["plan", "--json-schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).expect("JSON");
    assert_eq!(schema["properties"]["host_limit_percent"]["maximum"], 100);
    assert_eq!(foreshade(&["plan"]).status.code(), Some(2));
}

#[test]
fn a_wrong_file_is_told_line_by_line_and_a_backtest_refuses_it_too() {
    let dir = tempfile::tempdir().expect("folder");
    let file = dir.path().join("my.toml");
    std::fs::write(&file, "mode = \"auto\"\nhost_limit_precent = 90\nshift_percent = 91\n").expect("written");
    let out = check(&file);
    let (said, err) = (text(&out.stdout), text(&out.stderr));
    assert_eq!(out.status.code(), Some(2));
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(
        said.contains("my.toml: line 2: unknown key host_limit_precent; did you mean host_limit_percent?"),
        "{said}"
    );
    assert!(said.contains("my.toml: line 3: shift_percent = 91; it is a whole number, 1 to 90"), "{said}");
    assert!(err.contains("2 settings to correct") && err.lines().count() == 1, "{err}");
    let report = dir.path().join("report.json").display().to_string();
    let out = foreshade(&["backtest", "--policy", &file.display().to_string(), "--report", &report]);
    assert_eq!(out.status.code(), Some(2));
    assert!(
        text(&out.stderr).contains("line 2: unknown key host_limit_precent; did you mean"),
        "{}",
        text(&out.stderr)
    );
    let out = check(&dir.path().join("absent.toml"));
    assert!(out.status.code() == Some(2) && text(&out.stderr).contains("absent.toml: cannot read it"));
}
