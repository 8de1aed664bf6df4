//! A machine without loaders, drivers or permission: every driver gives a reason in one line, nothing panics, and nothing
//! is written to standard error. Each look is a process of its own, because loaders remember what they found.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

use foreshade_accel::probe::{DISABLE, Found, ProbeOptions};

const CHILD: &str = "FORESHADE_TEST_LOOK";

fn look() -> Vec<Found> {
    let options = ProbeOptions { software: true, ..ProbeOptions::default() };
    let parts = [
        foreshade_accel::device_cpu::probe(&options),
        #[cfg(feature = "opencl")]
        foreshade_accel::opencl::probe(&options),
        #[cfg(feature = "wgpu")]
        foreshade_accel::wgpu::probe(&options),
        #[cfg(feature = "cuda")]
        foreshade_accel::cuda::probe(&options),
    ];
    parts.into_iter().flatten().collect()
}

/// What the other process of `asked` does; on its own it looks at this machine as it is.
#[test]
fn child_looks() {
    let child = std::env::var_os(CHILD).is_some();
    for found in look() {
        let line = match found {
            Ok(device) => format!("{}: here", device.info().driver),
            Err(absent) => format!("{}: {}", absent.driver, absent.reason),
        };
        assert!(!line.contains('\n') && line.len() < 400, "{line}");
        if child {
            println!("LOOK {line}");
        }
    }
}

/// One line per driver, asked in a process with this environment.
fn asked(environment: &[(&str, &str)]) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child_looks", "--exact", "--nocapture"]).env(CHILD, "1").env_remove(DISABLE);
    // Without such a folder it is lavapipe itself that complains.
    let runtime = tempfile::tempdir().unwrap();
    command.env("XDG_RUNTIME_DIR", runtime.path());
    let output = command.envs(environment.iter().copied()).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    assert_eq!(stderr, "", "nothing on standard error");
    // The harness writes the test's name in front of the first line.
    stdout.lines().filter_map(|l| l.split_once("LOOK ")).map(|(_, said)| said.into()).collect()
}

#[test]
fn the_cpu_is_always_there() {
    assert!(asked(&[]).contains(&"cpu: here".to_string()));
}

#[cfg(all(feature = "opencl", feature = "wgpu", feature = "cuda"))]
#[test]
fn a_disabled_driver_says_so() {
    let lines = asked(&[(DISABLE, "opencl, cuda,wgpu")]);
    let drivers = ["opencl-fpga", "opencl-gpu", "opencl-cpu", "wgpu", "wgpu-cpu", "cuda"];
    for driver in drivers {
        assert!(lines.contains(&format!("{driver}: disabled by {DISABLE}")), "{lines:?}");
    }
    assert_eq!(lines.len(), drivers.len() + 1, "{lines:?}");
}

/// The loaders find nothing, as on a machine where nothing is installed.
#[cfg(all(feature = "opencl", feature = "wgpu", feature = "cuda"))]
#[test]
fn a_bare_machine_is_told_what_is_missing() {
    let empty = tempfile::tempdir().unwrap();
    let none = empty.path().to_str().unwrap();
    let lines = asked(&[
        ("OCL_ICD_VENDORS", none),
        ("OCL_ICD_FILENAMES", ""),
        ("VK_ICD_FILENAMES", "/nonexistent/icd.json"),
        ("VK_DRIVER_FILES", "/nonexistent/icd.json"),
    ]);
    let reasons = ["no platform is installed for the OpenCL loader", "no libOpenCL.so.1 on this machine"];
    for driver in ["opencl-fpga", "opencl-gpu", "opencl-cpu"] {
        let said = |reason: &&str| lines.contains(&format!("{driver}: {reason}"));
        assert!(reasons.iter().any(said), "{lines:?}");
    }
    for driver in ["wgpu", "wgpu-cpu"] {
        assert!(lines.contains(&format!("{driver}: no Vulkan adapter")), "{lines:?}");
    }
    let cuda = lines.iter().find(|l| l.starts_with("cuda")).unwrap();
    let here = std::path::Path::new("/dev/nvidiactl").exists();
    assert!(here || cuda == "cuda: no NVIDIA driver (libcuda.so.1)", "{cuda}");
}
