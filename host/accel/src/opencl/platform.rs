//! Which OpenCL devices there are, and why one is passed over.

use std::sync::{Mutex, PoisonError};

use foreshade_kernels::KernelId;
use opencl3::context::Context;
use opencl3::device::{CL_DEVICE_TYPE_ACCELERATOR, CL_DEVICE_TYPE_ALL, CL_DEVICE_TYPE_CPU, Device};
use opencl3::error_codes::{ClError, DLOPEN_RUNTIME_LOAD_FAILED};
use opencl3::platform::{Platform, get_platforms};

use super::OpenClDevice;
use super::memory::Memory;
use super::program::Builder;
use crate::backend::DeviceInfo;
use crate::probe::{Absent, Form, Found, ProbeOptions, disabled};

/// FPGA cards.
pub const FPGA: &str = "opencl-fpga";
/// GPUs.
pub const GPU: &str = "opencl-gpu";
/// Runtimes that use the host's processor, such as PoCL.
pub const CPU: &str = "opencl-cpu";

/// One look at a time: PoCL sets itself up when it is first asked for devices, and two threads that ask at once crash it.
static LOOK: Mutex<()> = Mutex::new(());

const DRIVERS: [&str; 3] = [FPGA, GPU, CPU];
/// The loader has no platform (cl_khr_icd).
const PLATFORM_NOT_FOUND: i32 = -1001;

/// What a platform does otherwise than OpenCL 1.2 says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Quirks {
    /// It compiles OpenCL C. FPGA platforms take finished images alone.
    source_ok: bool,
}

impl Quirks {
    fn of(platform: &str) -> Self {
        Self { source_ok: !platform.contains("Xilinx") }
    }
}

/// Every device of every platform, and a reason for each driver that has none.
pub fn probe(options: &ProbeOptions) -> Vec<Found> {
    let _alone = LOOK.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found: Vec<Found> = match disabled("opencl").map_or_else(platforms, Err) {
        Ok(platforms) => platforms.iter().flat_map(|p| devices(p, options)).collect(),
        Err(reason) => return DRIVERS.map(|d| Err(Absent::driver(d, reason.as_str()))).into(),
    };
    for driver in DRIVERS {
        let is = |f: &Found| match f {
            Ok(device) => device.info().driver == driver,
            Err(absent) => absent.driver == driver,
        };
        if !found.iter().any(is) {
            found.push(Err(Absent::driver(driver, "no OpenCL platform has such a device")));
        }
    }
    found
}

fn platforms() -> Result<Vec<Platform>, String> {
    let none = "no platform is installed for the OpenCL loader";
    match get_platforms() {
        Ok(platforms) if platforms.is_empty() => Err(none.into()),
        Ok(platforms) => Ok(platforms),
        Err(ClError(DLOPEN_RUNTIME_LOAD_FAILED)) => Err("no libOpenCL.so.1 on this machine".into()),
        Err(ClError(PLATFORM_NOT_FOUND)) => Err(none.into()),
        Err(error) => Err(format!("the OpenCL loader failed: {error} ({})", error.0)),
    }
}

fn devices(platform: &Platform, options: &ProbeOptions) -> Vec<Found> {
    // A platform without a device answers with an error.
    let ids = platform.get_devices(CL_DEVICE_TYPE_ALL).unwrap_or_default();
    ids.into_iter().map(|id| open(platform, Device::new(id), options)).collect()
}

fn open(platform: &Platform, device: Device, options: &ProbeOptions) -> Found {
    let name = device.name().unwrap_or_else(|_| "unnamed".into());
    let kind = device.dev_type().unwrap_or(0);
    let driver = match kind {
        k if k & CL_DEVICE_TYPE_ACCELERATOR != 0 => FPGA,
        k if k & CL_DEVICE_TYPE_CPU != 0 => CPU,
        _ => GPU,
    };
    let absent = |reason: String| Absent::device(driver, name.as_str(), reason);
    if driver == CPU && !options.software {
        return Err(absent("runs on the host's processor; used only when named".into()));
    }
    let quirks = Quirks::of(&platform.name().unwrap_or_default());
    let form = match options.form {
        Form::Auto if driver == CPU => Form::Cpu,
        Form::Auto => Form::Gpu,
        named => named,
    };
    let source_ok = quirks.source_ok && driver != FPGA && !options.binary_only;
    let version = platform.version().unwrap_or_default();
    let builder = Builder::new(&device, version.clone(), form, source_ok, options.cache_dir.clone());
    if !KernelId::ALL.into_iter().any(|kernel| builder.has(kernel)) {
        return Err(absent(if source_ok { "no kernel is written for it" } else { "no bitstream" }.into()));
    }
    let context = Context::from_device(&device).map_err(|e| absent(format!("no context: {e} ({})", e.0)))?;
    let info = info(&device, driver, &name, &version, builder.form());
    let opened = OpenClDevice::new(info, Memory::new(context, &device), builder);
    match opened {
        Ok(device) => Ok(Box::new(device)),
        Err(e) => Err(absent(format!("no command queue: {e} ({})", e.0))),
    }
}

fn info(device: &Device, driver: &'static str, name: &str, version: &str, form: Form) -> DeviceInfo {
    let driver_version = device.driver_version().unwrap_or_default();
    let shared = device.host_unified_memory().unwrap_or(false);
    DeviceInfo {
        driver,
        device: name.trim().into(),
        version: format!("{} driver {driver_version}", version.trim()),
        simd: if form == Form::Cpu { "cpu.cl" } else { "gpu.cc" }.into(),
        threads: 0,
        memory_bytes: if shared { 0 } else { device.global_mem_size().unwrap_or(0) },
        software: driver == CPU,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_fpga_platform_takes_no_source() {
        assert!(!Quirks::of("Xilinx").source_ok);
        assert!(Quirks::of("Portable Computing Language").source_ok);
    }
}
