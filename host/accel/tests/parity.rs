//! Every device, every kernel, every case against the f64 definition of the kernel and its derived tolerance. The table is
//! printed (`-- --nocapture`). REQUIRE, a comma list of cpu, cc, opencl, wgpu, cuda, makes what cannot run a failure.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::time::Instant;

use foreshade_accel::backend::{Backend, BackendError};
use foreshade_kernels::KernelId;
use support::cases::{self, Case};
use support::devices::{self, Entry};
use support::required;

/// One line of the table.
struct Row {
    device: String,
    kernel: &'static str,
    case: String,
    verdict: Verdict,
    ms: u128,
}

enum Verdict {
    Ok,
    Fail(String),
    NotSupported,
    Skipped(String),
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ok => write!(f, "OK"),
            Self::Fail(why) => write!(f, "FAIL: {why}"),
            Self::NotSupported => write!(f, "NOT SUPPORTED"),
            Self::Skipped(why) => write!(f, "SKIPPED: {why}"),
        }
    }
}

fn run(device: &mut dyn Backend, case: &Case) -> Verdict {
    match case.work.run(device) {
        Ok(outputs) => match (case.check)(&outputs) {
            Ok(()) => Verdict::Ok,
            Err(why) => Verdict::Fail(why),
        },
        Err(BackendError::Unsupported(_)) => Verdict::NotSupported,
        Err(error) => Verdict::Fail(error.to_string()),
    }
}

fn rows(entry: &mut Entry, all: &[(KernelId, Vec<Case>)]) -> Vec<Row> {
    let row = |kernel, case: &str, verdict, ms| Row {
        device: entry.name.clone(),
        kernel,
        case: case.into(),
        verdict,
        ms,
    };
    let device = match &mut entry.device {
        Ok(device) => device,
        Err(reason) => return vec![row("*", "*", Verdict::Skipped(reason.clone()), 0)],
    };
    let mut rows = Vec::new();
    for (kernel, cases) in all {
        if !device.supports(*kernel) {
            rows.push(row(kernel.name(), "*", Verdict::NotSupported, 0));
            continue;
        }
        for case in cases.iter().filter(|c| c.small || !entry.slow) {
            let start = Instant::now();
            let verdict = run(device.as_mut(), case);
            rows.push(row(kernel.name(), &case.name, verdict, start.elapsed().as_millis()));
        }
    }
    rows
}

/// Is this line a failure, with what REQUIRE names?
fn failed(row: &Row, family: &str) -> bool {
    match row.verdict {
        Verdict::Ok => false,
        Verdict::Fail(_) => true,
        Verdict::NotSupported | Verdict::Skipped(_) => required(family),
    }
}

#[test]
fn every_device_agrees_with_the_definition_of_every_kernel() {
    let _alone = support::alone();
    let dir = tempfile::tempdir().unwrap();
    let all: Vec<_> = KernelId::ALL.into_iter().map(|k| (k, cases::of(k))).collect();
    let (mut sums, mut wrong) = (BTreeMap::new(), Vec::new());
    for mut entry in devices::all(dir.path()) {
        for row in rows(&mut entry, &all) {
            let line = format!(
                "{:<28} {:<17} {:<34} {:>6} ms  {}",
                row.device, row.kernel, row.case, row.ms, row.verdict
            );
            println!("{line}");
            let sum: &mut [u32; 4] = sums.entry(entry.family).or_default();
            sum[match row.verdict {
                Verdict::Ok => 0,
                Verdict::Fail(_) => 1,
                Verdict::NotSupported => 2,
                Verdict::Skipped(_) => 3,
            }] += 1;
            if failed(&row, entry.family) {
                wrong.push(line);
            }
        }
    }
    for (family, [ok, fail, unsupported, skipped]) in &sums {
        println!("parity {family}: {ok} OK, {fail} FAIL, {unsupported} NOT SUPPORTED, {skipped} SKIPPED");
    }
    assert!(sums["cpu"][0] > 0, "nothing ran");
    assert!(wrong.is_empty(), "{} lines fail:\n{}", wrong.len(), wrong.join("\n"));
}

/// The check bites: one word of an answer that is off is found in every kernel.
#[test]
fn a_changed_word_of_an_answer_is_found() {
    let _alone = support::alone();
    let mut entry = devices::cpu().remove(0);
    let device = entry.device.as_mut().unwrap();
    for kernel in KernelId::ALL {
        for case in cases::of(kernel).iter().filter(|c| c.small) {
            let mut outputs = case.work.run(device.as_mut()).unwrap();
            (case.check)(&outputs).unwrap();
            outputs[0].i32_mut()[0] = support::POISON; // lane 0 takes a step in every case
            assert!((case.check)(&outputs).is_err(), "{kernel} {}", case.name);
        }
    }
}
