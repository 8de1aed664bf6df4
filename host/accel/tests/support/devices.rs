//! Every way to run a kernel that this machine has, and a reason for each that it lacks.

use std::path::Path;

use foreshade_accel::backend::Backend;
use foreshade_accel::device_cpu;
use foreshade_accel::probe::{Found, ProbeOptions};

use super::cc;

/// A device with its name in the table, or the reason why it is left out.
pub struct Entry {
    pub name: String,
    /// Its word in REQUIRE.
    pub family: &'static str,
    pub device: Result<Box<dyn Backend>, String>,
    /// A hundred times slower than the others: small cases only.
    pub slow: bool,
}

impl Entry {
    fn of(family: &'static str, form: &str, found: Found) -> Self {
        match found {
            Ok(device) => {
                let info = device.info();
                let name = format!("{} {form}", info.driver).trim_end().to_string();
                let slow = family.starts_with("wgpu") && info.software;
                Self { name, family, device: Ok(device), slow }
            }
            Err(absent) => {
                let name = format!("{} {form}", absent.driver).trim_end().to_string();
                let reason = format!("{} {}", absent.device, absent.reason).trim_start().to_string();
                Self { name, family, device: Err(reason), slow: false }
            }
        }
    }
}

/// All of them. `dir` is an empty folder for built programs.
pub fn all(dir: &Path) -> Vec<Entry> {
    let mut all = cpu();
    all.push(match cc::missing() {
        None => Entry {
            name: "cc gpu.cc".into(),
            family: "cc",
            device: Ok(Box::new(cc::PlainC::new())),
            slow: false,
        },
        Some(reason) => {
            Entry { name: "cc gpu.cc".into(), family: "cc", device: Err(reason.into()), slow: false }
        }
    });
    all.extend(opencl(dir));
    all.extend(wgpu());
    all.extend(cuda());
    all
}

/// The CPU at each of its instruction sets.
pub fn cpu() -> Vec<Entry> {
    let levels = foreshade_fallback_cpu::levels();
    let one = |(level, _): &(&'static str, _)| {
        let options = ProbeOptions { threads: 2, simd: Some((*level).into()), ..Default::default() };
        device_cpu::probe(&options).into_iter().map(|f| Entry::of("cpu", level, f)).collect::<Vec<_>>()
    };
    levels.iter().flat_map(one).collect()
}

#[cfg(feature = "opencl")]
pub fn opencl(dir: &Path) -> Vec<Entry> {
    use foreshade_accel::opencl;
    use foreshade_accel::probe::Form;
    let software = ProbeOptions { software: true, ..Default::default() };
    let cpu = |form, options: &ProbeOptions| {
        let found = opencl::probe(options).into_iter();
        let mine = found.filter(|f| match f {
            Ok(device) => device.info().driver == opencl::CPU,
            Err(absent) => absent.driver == opencl::CPU,
        });
        mine.map(|f| Entry::of("opencl", form, f)).collect::<Vec<_>>()
    };
    let mut all = cpu("cpu.cl", &ProbeOptions { cache_dir: Some(dir.into()), ..software.clone() });
    // Fills the folder; the next device may build nothing.
    for entry in &mut all {
        if let Ok(device) = &mut entry.device {
            for kernel in foreshade_kernels::KernelId::ALL {
                if device.supports(kernel) {
                    device.warm_up(kernel).unwrap();
                }
            }
        }
    }
    let from_file = ProbeOptions { cache_dir: Some(dir.into()), binary_only: true, ..software.clone() };
    all.extend(cpu("cpu.cl, program file", &from_file));
    all.extend(cpu("gpu.cc", &ProbeOptions { form: Form::Gpu, ..software.clone() }));
    let others = opencl::probe(&ProbeOptions::default()).into_iter().filter(|f| match f {
        Ok(_) => true,
        Err(absent) => absent.driver != opencl::CPU,
    });
    // A machine without a card is not short of anything that REQUIRE asks for.
    all.extend(others.map(|f| Entry::of("opencl-card", "", f)));
    all
}

#[cfg(not(feature = "opencl"))]
pub fn opencl(_: &Path) -> Vec<Entry> {
    vec![not_built("opencl")]
}

#[cfg(feature = "wgpu")]
pub fn wgpu() -> Vec<Entry> {
    use foreshade_accel::wgpu;
    let options = ProbeOptions { software: true, ..Default::default() };
    let entry = |found: Found| {
        let driver = found.as_ref().map_or_else(|absent| absent.driver, |d| d.info().driver);
        // A machine without a card is not short of anything that REQUIRE asks for.
        let family = if driver == wgpu::SOFTWARE { "wgpu" } else { "wgpu-card" };
        Entry::of(family, "", found)
    };
    wgpu::probe(&options).into_iter().map(entry).collect()
}

#[cfg(not(feature = "wgpu"))]
pub fn wgpu() -> Vec<Entry> {
    vec![not_built("wgpu")]
}

#[cfg(feature = "cuda")]
pub fn cuda() -> Vec<Entry> {
    foreshade_accel::cuda::probe(&ProbeOptions::default())
        .into_iter()
        .map(|f| Entry::of("cuda", "", f))
        .collect()
}

#[cfg(not(feature = "cuda"))]
pub fn cuda() -> Vec<Entry> {
    vec![not_built("cuda")]
}

#[cfg(not(all(feature = "opencl", feature = "wgpu", feature = "cuda")))]
fn not_built(name: &'static str) -> Entry {
    let reason = format!("tests built without --features {name}");
    Entry { name: name.into(), family: name, device: Err(reason), slow: false }
}
