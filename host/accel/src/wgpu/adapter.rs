//! Which adapters there are, and why one is passed over.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wgpu::{Adapter, Backends, DeviceType, Features, InstanceFlags};

use super::WgpuDevice;
use super::program::Builder;
use crate::backend::DeviceInfo;
use crate::probe::{Absent, Found, ProbeOptions, disabled};

/// The driver's name.
pub const DRIVER: &str = "wgpu";

/// Every Vulkan adapter, or why there is none.
pub fn probe(options: &ProbeOptions) -> Vec<Found> {
    if let Some(reason) = disabled("wgpu") {
        return vec![Err(Absent::driver(DRIVER, reason))];
    }
    let mut desc = wgpu::InstanceDescriptor::new_without_display_handle();
    desc.backends = Backends::VULKAN;
    // No validation layers, also in a debug build: they write to standard error.
    desc.flags = InstanceFlags::empty();
    let adapters = block_on(wgpu::Instance::new(desc).enumerate_adapters(Backends::VULKAN));
    if adapters.is_empty() {
        return vec![Err(Absent::driver(DRIVER, "no Vulkan adapter"))];
    }
    adapters.into_iter().map(|adapter| open(&adapter, options)).collect()
}

fn open(adapter: &Adapter, options: &ProbeOptions) -> Found {
    let about = adapter.get_info();
    let software = about.device_type == DeviceType::Cpu;
    if software && !options.software {
        let reason = "runs on the host's processor; used only when named";
        return Err(Absent::device(DRIVER, about.name, reason));
    }
    let cached = adapter.features() & Features::PIPELINE_CACHE;
    let opened = block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        required_features: cached,
        required_limits: adapter.limits(),
        ..Default::default()
    }));
    let (device, queue) = match opened {
        Ok(opened) => opened,
        Err(error) => return Err(Absent::device(DRIVER, about.name, error.to_string())),
    };
    let info = DeviceInfo {
        driver: DRIVER,
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
