//! Every driver this version knows, in the order it prefers them, with the reason why one is passed over.

use crate::{AccelError, Backend, Cpu, DeviceInfo};

/// The name that takes the first driver that works.
pub const AUTO: &str = "auto";

/// How to open a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// Threads a job may use on the CPU; results do not depend on it.
    pub threads: usize,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { threads: 1 }
    }
}

/// A way to reach devices.
#[derive(Debug, Clone, Copy)]
pub struct Driver {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it would drive.
    pub about: &'static str,
    open: fn(&OpenOptions) -> Result<Box<dyn Backend>, AccelError>,
}

/// A driver's answer to "are you there?".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The driver.
    pub name: &'static str,
    /// What it drives.
    pub about: &'static str,
    /// The device, or the reason why it is passed over.
    pub device: Result<DeviceInfo, String>,
}

/// In order of preference.
pub const DRIVERS: &[Driver] = &[
    Driver {
        name: "opencl-fpga",
        about: "FPGA card through OpenCL and a bitstream",
        open: |_| not_built("opencl-fpga"),
    },
    Driver { name: "cuda", about: "NVIDIA GPU", open: |_| not_built("cuda") },
    Driver { name: "opencl-gpu", about: "GPU through OpenCL", open: |_| not_built("opencl-gpu") },
    Driver { name: "wgpu", about: "GPU through Vulkan, Metal or DX12", open: |_| not_built("wgpu") },
    Driver {
        name: "cpu",
        about: "this machine's processor",
        open: |options| Ok(Box::new(Cpu::new(options))),
    },
];

fn not_built(name: &'static str) -> Result<Box<dyn Backend>, AccelError> {
    Err(AccelError::Unavailable { name, reason: "not built yet".into() })
}

/// Opens a driver by name, or the first that works for [`AUTO`], with default options.
///
/// # Errors
/// An unknown name, or the reason why the driver cannot be used.
pub fn open(name: &str) -> Result<Box<dyn Backend>, AccelError> {
    open_with(name, &OpenOptions::default())
}

/// [`open`] with options.
///
/// # Errors
/// An unknown name, or the reason why the driver cannot be used.
pub fn open_with(name: &str, options: &OpenOptions) -> Result<Box<dyn Backend>, AccelError> {
    let unknown = || AccelError::UnknownDriver {
        name: name.escape_default().take(64).collect(),
        known: DRIVERS.iter().map(|d| d.name).collect::<Vec<_>>().join(", "),
    };
    let mut last = unknown();
    for driver in DRIVERS.iter().filter(|d| name == AUTO || name == d.name) {
        match (driver.open)(options) {
            Ok(device) => return Ok(device),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Asks every driver, in order of preference.
pub fn probe(options: &OpenOptions) -> Vec<Probe> {
    DRIVERS
        .iter()
        .map(|d| Probe {
            name: d.name,
            about: d.about,
            device: match (d.open)(options) {
                Ok(device) => Ok(device.info().clone()),
                Err(AccelError::Unavailable { reason, .. }) => Err(reason),
                Err(other) => Err(other.to_string()),
            },
        })
        .collect()
}
