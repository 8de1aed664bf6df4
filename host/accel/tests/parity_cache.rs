//! Built programs on disk, through PoCL: a good file is used, and a torn, changed or foreign one is never handed to the
//! driver (PoCL 3.1 crashes on a truncated program) but built again.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![cfg(feature = "opencl")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use foreshade_accel::Slab;
use foreshade_accel::backend::{Backend, BackendError};
use foreshade_accel::opencl;
use foreshade_accel::probe::{Form, Found, ProbeOptions};
use foreshade_kernels::KernelId;
use foreshade_kernels::arima_fit::cases;
use support::{Work, required};

const KERNEL: KernelId = KernelId::ArimaForecast;

/// The processor's OpenCL device with programs in `dir`; `None`, said aloud, where there is no such runtime.
fn device(dir: &Path, form: Form, binary_only: bool) -> Option<Found> {
    let cache_dir = Some(dir.into());
    let options = ProbeOptions { cache_dir, form, binary_only, software: true, ..Default::default() };
    let mine = opencl::probe(&options).into_iter().find(|found| match found {
        Ok(device) => device.info().driver == opencl::CPU,
        Err(absent) => absent.driver == opencl::CPU && !absent.device.is_empty(),
    });
    if mine.is_none() {
        assert!(!required("opencl"), "required, but there is no OpenCL runtime for the processor");
        println!("SKIPPED: no OpenCL runtime for the processor");
    }
    mine
}

fn open(dir: &Path, form: Form) -> Option<Box<dyn Backend>> {
    device(dir, form, false).map(|found| found.map_err(|absent| absent.reason).unwrap())
}

fn answer(device: &mut dyn Backend) -> Result<Vec<Slab>, BackendError> {
    let words = cases::fitted(1, 64, 24);
    let inputs = vec![Slab::from_f32(&words).into()];
    Work { kernel: KERNEL, ints: vec![64, 4], floats: Vec::new(), inputs }.run(device)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|f| f.unwrap().path()).collect()
}

#[test]
fn a_kept_program_is_all_that_a_device_without_a_compiler_needs() {
    let _alone = support::alone();
    let dir = tempfile::tempdir().unwrap();
    let Some(mut builds) = open(dir.path(), Form::Cpu) else { return };
    let want = answer(builds.as_mut()).unwrap();
    assert_eq!(files(dir.path()).len(), 0, "written after the warm-up, when the native code is in it");
    builds.warm_up(KERNEL).unwrap();
    builds.warm_up(KERNEL).unwrap();
    assert_eq!(files(dir.path()).len(), 1);
    let mut loads = device(dir.path(), Form::Cpu, true).unwrap().unwrap();
    assert!(loads.supports(KERNEL) && !loads.supports(KernelId::ArimaFit), "only what is kept");
    assert_eq!(answer(loads.as_mut()).unwrap(), want);
}

#[test]
fn without_a_program_such_a_device_is_passed_over() {
    let _alone = support::alone();
    let dir = tempfile::tempdir().unwrap();
    let Some(found) = device(dir.path(), Form::Cpu, true) else { return };
    assert_eq!(found.unwrap_err().reason, "no bitstream");
}

#[test]
fn a_torn_or_changed_program_never_reaches_the_driver() {
    let _alone = support::alone();
    let dir = tempfile::tempdir().unwrap();
    let Some(mut first) = open(dir.path(), Form::Cpu) else { return };
    let want = answer(first.as_mut()).unwrap();
    first.warm_up(KERNEL).unwrap();
    let [file] = files(dir.path()).try_into().unwrap();
    let good = fs::read(&file).unwrap();
    let middle = good.len() / 2;
    let mut changed = good.clone();
    changed[middle] ^= 0x40;
    for bad in [&good[..middle], &good[..good.len() - 1], &good[..7], &[], &changed] {
        fs::write(&file, bad).unwrap();
        let only = device(dir.path(), Form::Cpu, true).unwrap();
        assert_eq!(only.unwrap_err().reason, "no bitstream", "{} bytes", bad.len());
        let mut again = open(dir.path(), Form::Cpu).unwrap();
        assert_eq!(answer(again.as_mut()).unwrap(), want, "built again");
        again.warm_up(KERNEL).unwrap();
        assert!(device(dir.path(), Form::Cpu, true).unwrap().is_ok(), "and kept again");
    }
}

#[test]
fn a_program_of_another_source_is_not_used() {
    let _alone = support::alone();
    let dir = tempfile::tempdir().unwrap();
    let Some(mut cpu) = open(dir.path(), Form::Cpu) else { return };
    cpu.warm_up(KERNEL).unwrap();
    assert!(device(dir.path(), Form::Gpu, true).unwrap().is_err(), "gpu.cc is not cpu.cl");
    let mut gpu = open(dir.path(), Form::Gpu).unwrap();
    gpu.warm_up(KERNEL).unwrap();
    assert_eq!(files(dir.path()).len(), 2);
}

#[test]
fn a_folder_that_cannot_be_written_costs_only_the_file() {
    let _alone = support::alone();
    let dir = tempfile::tempdir().unwrap();
    let blocked = dir.path().join("file");
    fs::write(&blocked, "in the way").unwrap();
    let Some(mut device) = open(&blocked, Form::Cpu) else { return };
    device.warm_up(KERNEL).unwrap();
    answer(device.as_mut()).unwrap();
}
