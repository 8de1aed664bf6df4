//! Which adapters there are, and why one is passed over.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wgpu::{Adapter, Backends, DeviceType, Features, InstanceFlags};

use super::WgpuDevice;
use super::program::Builder;
use crate::backend::DeviceInfo;
use crate::probe::{Absent, Found, ProbeOptions, disabled};

/// The driver of GPUs.
pub const DRIVER: &str = "wgpu";
/// The driver of adapters that run on the host's processor.
pub const SOFTWARE: &str = "wgpu-cpu";

/// Every Vulkan adapter, or why there is none.
pub fn probe(options: &ProbeOptions) -> Vec<Found> {
    if let Some(reason) = disabled("wgpu") {
        return [DRIVER, SOFTWARE].map(|d| Err(Absent::driver(d, reason.as_str()))).into();
    }
    let mut desc = wgpu::InstanceDescriptor::new_without_display_handle();
    desc.backends = Backends::VULKAN;
    // No validation layers, also in a debug build: they write to standard error.
    desc.flags = InstanceFlags::empty();
    let adapters = block_on(wgpu::Instance::new(desc).enumerate_adapters(Backends::VULKAN));
    if adapters.is_empty() {
        return [DRIVER, SOFTWARE].map(|d| Err(Absent::driver(d, "no Vulkan adapter"))).into();
    }
    let mut found: Vec<Found> = adapters.into_iter().map(|adapter| open(&adapter, options)).collect();
    for driver in [DRIVER, SOFTWARE] {
        let is = |f: &Found| match f {
            Ok(device) => device.info().driver == driver,
            Err(absent) => absent.driver == driver,
        };
        if !found.iter().any(is) {
            found.push(Err(Absent::driver(driver, "no Vulkan adapter of this kind")));
        }
    }
    found
}

fn open(adapter: &Adapter, options: &ProbeOptions) -> Found {
    let about = adapter.get_info();
    let software = about.device_type == DeviceType::Cpu;
    let driver = if software { SOFTWARE } else { DRIVER };
    if software && !options.software {
        let reason = "runs on the host's processor; used only when named";
        return Err(Absent::device(driver, about.name, reason));
    }
    let cached = adapter.features() & Features::PIPELINE_CACHE;
    let opened = block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        required_features: cached,
        required_limits: adapter.limits(),
        ..Default::default()
    }));
    let (device, queue) = match opened {
        Ok(opened) => opened,
        Err(error) => return Err(Absent::device(driver, about.name, error.to_string())),
    };
    let info = DeviceInfo {
        driver,
        device: about.name.clone(),
        version: format!("{} {}", about.driver, about.driver_info).trim().into(),
        simd: "web.wgsl".into(),
        threads: 0,
        memory_bytes: 0,
        software,
    };
    let ids = format!("{:x} {:x} {:?}", about.vendor, about.device, about.backend);
    let builder = Builder {
        identity: vec![about.name, about.driver, about.driver_info, ids],
        dir: options.cache_dir.clone().filter(|_| !cached.is_empty()),
    };
    Ok(Box::new(WgpuDevice::new(info, device, queue, builder)))
}

/// Waits for a future of wgpu. On native platforms these are ready when they are first asked.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::yield_now(),
        }
    }
}
