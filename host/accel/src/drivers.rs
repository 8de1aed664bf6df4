//! Every driver this version knows, in the order it prefers them, with the reason why one is passed over.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::backend::{Backend, DeviceInfo};
use crate::probe::{Absent, Found, ProbeOptions};
use crate::{AccelError, Care, Engine, KernelId, Opener, device_cpu};

/// The name that takes the first driver that works.
pub const AUTO: &str = "auto";

/// How to open an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// Threads a job may use on the CPU; results do not depend on it.
    pub threads: usize,
    /// Folder of built programs; `None` = build them each time.
    pub cache_dir: Option<PathBuf>,
    /// Limits of patience and trust.
    pub care: Care,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { threads: 1, cache_dir: None, care: Care::default() }
    }
}

/// A way to reach devices.
#[derive(Debug, Clone, Copy)]
pub struct Driver {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it would drive.
    pub about: &'static str,
    /// Is it taken by [`AUTO`]? A device that runs on the host's processor is not: our own CPU kernels are faster.
    pub auto: bool,
    find: fn(&ProbeOptions) -> Vec<Found>,
}

/// A driver's answer to "what is there?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The driver.
    pub name: &'static str,
    /// What it drives.
    pub about: &'static str,
    /// Is it taken by [`AUTO`]?
    pub auto: bool,
    /// Its devices, and those it passes over with the reason.
    pub devices: Vec<Result<Seen, Absent>>,
}

/// A device that a driver found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What it is.
    pub info: DeviceInfo,
    /// What it can run.
    pub kernels: Vec<KernelId>,
}

impl Seen {
    fn new(device: &dyn Backend) -> Self {
        let kernels = KernelId::ALL.into_iter().filter(|k| device.supports(*k)).collect();
        Self { info: device.info().clone(), kernels }
    }
}

/// In order of preference; those that must be named come last.
pub const DRIVERS: &[Driver] = &[
    Driver {
        name: "opencl-fpga",
        about: "FPGA card through OpenCL and a bitstream",
        auto: true,
        find: library::opencl,
    },
    Driver { name: "cuda", about: "NVIDIA GPU", auto: true, find: library::cuda },
    Driver { name: "opencl-gpu", about: "GPU through OpenCL", auto: true, find: library::opencl },
    Driver { name: "wgpu", about: "GPU through Vulkan", auto: true, find: library::wgpu },
    Driver { name: "cpu", about: "this machine's processor", auto: true, find: device_cpu::probe },
    Driver {
        name: "opencl-cpu",
        about: "processor through OpenCL (PoCL and others)",
        auto: false,
        find: library::opencl,
    },
    Driver {
        name: "wgpu-cpu",
        about: "processor through Vulkan (lavapipe)",
        auto: false,
        find: library::wgpu,
    },
];

/// Each library's devices, or that this program was built without it.
mod library {
    #[cfg(feature = "cuda")]
    pub(super) use crate::cuda::probe as cuda;
    #[cfg(feature = "opencl")]
    pub(super) use crate::opencl::probe as opencl;
    #[cfg(feature = "wgpu")]
    pub(super) use crate::wgpu::probe as wgpu;

    #[cfg(not(feature = "cuda"))]
    pub(super) fn cuda(_: &super::ProbeOptions) -> Vec<super::Found> {
        super::left_out(&["cuda"])
    }

    #[cfg(not(feature = "opencl"))]
    pub(super) fn opencl(_: &super::ProbeOptions) -> Vec<super::Found> {
        super::left_out(&["opencl-fpga", "opencl-gpu", "opencl-cpu"])
    }

    #[cfg(not(feature = "wgpu"))]
    pub(super) fn wgpu(_: &super::ProbeOptions) -> Vec<super::Found> {
        super::left_out(&["wgpu", "wgpu-cpu"])
    }
}

#[cfg(not(all(feature = "cuda", feature = "opencl", feature = "wgpu")))]
fn left_out(drivers: &[&'static str]) -> Vec<Found> {
    drivers.iter().map(|d| Err(Absent::driver(d, "this program was built without it"))).collect()
}

impl Driver {
    /// Its own devices: a library may answer for several drivers.
    fn find(&self, options: &ProbeOptions) -> Vec<Found> {
        let own = |f: &Found| match f {
            Ok(device) => device.info().driver == self.name,
            Err(absent) => absent.driver == self.name,
        };
        (self.find)(options).into_iter().filter(own).collect()
    }
}

/// Opens the best device ([`AUTO`]) or the named one (`cpu@avx2` = the CPU with that instruction set), with the CPU to
/// take over if it fails.
///
/// # Errors
/// An unknown name, or the reason why the driver cannot be used.
pub fn open(name: &str, options: &OpenOptions) -> Result<Engine, AccelError> {
    let (driver, simd) = match name.split_once('@') {
        Some((driver, simd)) => (driver, Some(simd.to_owned())),
        None => (name, None),
    };
    if simd.is_some() && driver != "cpu" {
        let reason = "only cpu takes an instruction set, such as cpu@avx2".into();
        return Err(AccelError::Unavailable { name: name.escape_default().take(64).collect(), reason });
    }
    let known = |d: &&Driver| d.name == driver;
    if driver != AUTO && !DRIVERS.iter().any(|d| known(&d)) {
        return Err(AccelError::UnknownDriver {
            name: name.escape_default().take(64).collect(),
            known: DRIVERS.iter().map(|d| d.name).collect::<Vec<_>>().join(", "),
        });
    }
    let ask = |d: &Driver| ProbeOptions {
        threads: options.threads,
        simd: simd.clone().filter(|_| d.name == "cpu"),
        cache_dir: options.cache_dir.clone(),
        software: !d.auto,
        ..ProbeOptions::default()
    };
    let wanted = DRIVERS.iter().filter(|d| if driver == AUTO { d.auto } else { known(d) });
    let mut devices = Vec::new();
    let mut reason = String::new();
    for d in wanted {
        match first(d, &ask(d)) {
            Ok(device) => {
                devices.push((d.name.to_owned(), opener(*d, ask(d), device)));
            }
            Err(absent) if reason.is_empty() => reason = absent.reason,
            Err(_) => {}
        }
    }
    if devices.is_empty() {
        return Err(AccelError::Unavailable { name: name.into(), reason });
    }
    if devices.iter().all(|(name, _)| name != "cpu") {
        devices.extend(DRIVERS.iter().filter(|d| d.name == "cpu").filter_map(|d| {
            let device = first(d, &ask(d)).ok()?;
            Some((d.name.to_owned(), opener(*d, ask(d), device)))
        }));
    }
    let engine = Engine::with(devices, options.care.clone())?;
    match engine.standing().into_iter().next().and_then(|s| s.out) {
        Some(reason) if driver != AUTO => Err(AccelError::Unavailable { name: name.into(), reason }),
        _ => Ok(engine),
    }
}

/// Opens a device as [`open`] does, which builds, warms up and proves each of its kernels, and says how long that took.
///
/// # Errors
/// Those of [`open`]: no such device, or the kernel that failed and what was seen.
pub fn test_device(name: &str, options: &OpenOptions) -> Result<Duration, AccelError> {
    let start = Instant::now();
    open(name, options)?;
    Ok(start.elapsed())
}

fn first(driver: &Driver, options: &ProbeOptions) -> Found {
    let mut absent = Absent::driver(driver.name, "no device");
    for found in driver.find(options) {
        match found {
            Ok(device) => return Ok(device),
            Err(why) => absent = why,
        }
    }
    Err(absent)
}

/// Gives the device that was found, and later, after an ejection, finds it again.
fn opener(driver: Driver, options: ProbeOptions, device: Box<dyn Backend>) -> Opener {
    let found = Mutex::new(Some(device));
    Arc::new(move || {
        let device = found.lock().ok().and_then(|mut d| d.take());
        device.map_or_else(|| first(&driver, &options).map_err(|absent| absent.reason), Ok)
    })
}

/// Asks every driver, in order of preference, software devices included.
pub fn probe(options: &OpenOptions) -> Vec<Probe> {
    DRIVERS
        .iter()
        .map(|d| {
            let options = ProbeOptions {
                threads: options.threads,
                cache_dir: options.cache_dir.clone(),
                software: !d.auto,
                ..ProbeOptions::default()
            };
            let devices = d.find(&options).into_iter().map(|f| f.map(|d| Seen::new(&*d)));
            Probe { name: d.name, about: d.about, auto: d.auto, devices: devices.collect() }
        })
        .collect()
}
