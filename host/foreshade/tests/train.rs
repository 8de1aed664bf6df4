//! `foreshade train` as people and scripts meet it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// One day of 400 VMs, as shipped.
const TRACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../traces/gcd_400/vms400.parquet");

/// A training of a tiny network that takes some seconds.
fn train(out: &Path, more: &[&str]) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_foreshade"));
    c.env_remove("RUST_BACKTRACE").stdin(Stdio::null());
    let tiny = "--profile cpu --hidden 4 --width 4 --batch 8 --batches 3 --epochs 20 --patience 20";
    c.args(["train", "--input", TRACE, "--out"]).arg(out).args(tiny.split(' ')).args(more);
    c
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn fine(out: &Output) {
    assert_eq!(out.status.code(), Some(0), "{}{}", text(&out.stdout), text(&out.stderr));
}

/// One line on stderr, progress aside, that says this.
fn fails(out: &Output, code: i32, says: &[&str]) {
    let err = text(&out.stderr);
    let lines: Vec<_> = err.lines().filter(|l| !l.contains(" s left")).collect();
    assert_eq!(lines.len(), 1, "{err}");
    assert!(lines[0].starts_with("foreshade: "), "{err}");
    says.iter().for_each(|s| assert!(lines[0].contains(s), "{s}: {err}"));
    assert_eq!(out.status.code(), Some(code), "{err}");
}

/// kill -9 between two checkpoints, on one thread; resumed on two; compared with a run that nobody disturbed.
#[test]
fn a_killed_training_goes_on_to_the_same_bytes() {
    let dir = tempfile::tempdir().expect("folder");
    let [killed, whole] = ["killed", "whole"].map(|d| dir.path().join(d));
    let mut child = train(&killed, &["--threads", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let start = Instant::now();
    while !killed.join("checkpoint.safetensors").exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "no checkpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("kill");
    child.wait().expect("ends");
    assert!(!killed.join("model.safetensors").exists(), "it was over before it was killed");
    fails(&train(&killed, &[]).output().expect("runs"), 2, &["was stopped here", "--resume"]);

    let resumed = train(&killed, &["--resume", "--threads", "2"]).output().expect("runs");
    fine(&resumed);
    assert!(text(&resumed.stdout).contains(" epochs done"), "{}", text(&resumed.stdout));
    fine(&train(&whole, &[]).output().expect("runs"));
    let model = |d: &Path| fs::read(d.join("model.safetensors")).expect("model");
    assert!(model(&killed) == model(&whole));
    let left: Vec<_> = fs::read_dir(&killed).expect("folder").map(|f| f.expect("file").file_name()).collect();
    assert_eq!(left.len(), 2, "model and card: {left:?}");
}

#[test]
fn a_trained_model_forecasts_and_its_card_is_printed() {
    let dir = tempfile::tempdir().expect("folder");
    let model = dir.path().join("m");
    let out = train(&model, &["--epochs", "2", "--json"]).output();
    // The last of an option given twice would be a surprise: it is refused.
    fails(&out.expect("runs"), 2, &["--epochs"]);
    let mut c = Command::new(env!("CARGO_BIN_EXE_foreshade"));
    c.args(["train", "--input", TRACE, "--epochs", "1", "--batches", "2", "--batch", "8", "--json", "--out"]);
    let out = c.arg(&model).output().expect("runs");
    fine(&out);
    let card: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let same: serde_json::Value =
        serde_json::from_slice(&fs::read(model.join("card.json")).expect("card")).expect("JSON");
    assert_eq!(card, same);
    assert!(card["command"].as_str().expect("text").starts_with("foreshade train --input "), "{card}");
    let learnt_from = card["groups"]["other"]["series"]["vms400:mem_pct"].as_u64().expect("a count");
    assert!((340..=380).contains(&learnt_from), "a tenth of the jobs is held out: {learnt_from} of 400 VMs");

    let forecasts = dir.path().join("f.parquet");
    let out = Command::new(env!("CARGO_BIN_EXE_foreshade"))
        .args(["forecast", "--input", TRACE, "--origins", "200:200:1", "--model"])
        .arg(&model)
        .arg("--out")
        .arg(&forecasts)
        .output()
        .expect("runs");
    fine(&out);
}

#[test]
fn progress_is_plain_lines_when_piped_and_figures_come_at_the_end() {
    let dir = tempfile::tempdir().expect("folder");
    let out = train(&dir.path().join("m"), &[]).output().expect("runs");
    fine(&out);
    let (said, progress) = (text(&out.stdout), text(&out.stderr));
    assert!(said.contains("cpu epoch 20/20: loss 0."), "{said}");
    assert!(said.contains("cpu.mlp4 epoch 5/5: loss 0."), "{said}");
    assert!(said.contains("vms400:cpu_pct: pinball "), "{said}");
    assert!(progress.contains("train: 90/180 (50 %), ") && progress.contains(" s left"), "{progress}");
    assert!(!progress.contains('\r') && !said.contains('\u{1b}'), "{progress}");
}

#[test]
fn what_is_wrong_is_one_line_with_the_right_code() {
    let dir = tempfile::tempdir().expect("folder");
    let out = dir.path().join("m");
    let run = |more: &[&str]| train(&out, more).output().expect("runs");
    fails(&run(&["--calib", "gone.parquet"]), 1, &["gone.parquet", "check the path"]);
    let init = |file: &str| {
        let mut c = Command::new(env!("CARGO_BIN_EXE_foreshade"));
        c.args(["train", "--input", TRACE, "--init", file, "--out"]).arg(&out).output().expect("runs")
    };
    fails(&init("gone.safetensors"), 1, &["gone.safetensors", "check the path"]);
    fails(&init(TRACE), 1, &["vms400.parquet", "not valid safetensors"]);
    fails(&run(&["--init", "gone.safetensors"]), 2, &["--hidden", "--init"]);
    fails(&run(&["--resume"]), 2, &["no checkpoint.safetensors to resume from"]);
    fails(&run(&["--rate", "0"]), 2, &["--rate", "give a number above 0"]);
    fails(&train(Path::new("/dev/null/m"), &[]).output().expect("runs"), 1, &["/dev/null/m", "cannot write"]);
    assert!(!out.join("model.safetensors").exists());
    let help =
        Command::new(env!("CARGO_BIN_EXE_foreshade")).args(["train", "--help"]).output().expect("runs");
    fine(&help);
    assert!(text(&help.stdout).contains("foreshade train --input vms.parquet --out models/mine --resume"));
}
