//! The list of what the shipped model must not be trained on names everything that the demo shows.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use foreshade_telemetry::trace::Trace;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn every_vm_and_job_of_the_demo_is_excluded() {
    let text = std::fs::read_to_string(root().join("models/default/exclude.txt")).unwrap();
    let listed: BTreeSet<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    let vms = |file: &str| Trace::read(&root().join("traces").join(file)).unwrap().vms;
    let bitbrains = vms("bitbrains_tiny/tiny_40vms_7days.parquet");
    let jobs = vms("gcd_400/vms400.parquet");
    assert_eq!((bitbrains.len(), jobs.len()), (40, 400));
    let bitbrains = bitbrains.iter().map(|v| format!("bitbrains:{}", v.name));
    // vm_JOB_TASK
    let jobs = jobs.iter().map(|v| format!("gcd:{}", v.name.split('_').nth(1).unwrap()));
    let shown: BTreeSet<String> = bitbrains.chain(jobs).collect();
    let shown: BTreeSet<&str> = shown.iter().map(String::as_str).collect();
    assert_eq!(listed, shown);
}
