//! What a driver is asked for when it looks for devices, and its answer when there is none.

use std::path::PathBuf;

use crate::backend::Backend;

/// Names a comma list of drivers that are to say that they are disabled: opencl, cuda, wgpu.
pub const DISABLE: &str = "FORESHADE_ACCEL_DISABLE";

/// Which form of a kernel an OpenCL device gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// `cpu.cl` on a processor, `gpu.cc` elsewhere.
    #[default]
    Auto,
    /// `gpu.cc`: one work item per lane.
    Gpu,
    /// `cpu.cl`: one work item per group of lanes, explicit vectors.
    Cpu,
}

/// How to look for devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeOptions {
    /// Threads a job may use on the CPU back end; results do not depend on it.
    pub threads: usize,
    /// Instruction set of the CPU back end; `None` = the best.
    pub simd: Option<String>,
    /// Folder of built programs; `None` = build each time.
    pub cache_dir: Option<PathBuf>,
    /// Take devices that run on the host's processor (PoCL, lavapipe), too.
    pub software: bool,
    /// Form of the kernels on OpenCL devices.
    pub form: Form,
    /// Never build an OpenCL program from source: take it from `cache_dir` or go without, as an FPGA card does.
    pub binary_only: bool,
}

impl Default for ProbeOptions {
    fn default() -> Self {
        Self {
            threads: 1,
            simd: None,
            cache_dir: None,
            software: false,
            form: Form::Auto,
            binary_only: false,
        }
    }
}

/// A driver or device that is passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// The driver's name in `DRIVERS`.
    pub driver: &'static str,
    /// The device, where one was seen.
    pub device: String,
    /// Why, in one line.
    pub reason: String,
}

/// One device, or why there is none.
pub type Found = Result<Box<dyn Backend>, Absent>;

impl Absent {
    /// A driver without a device.
    pub fn driver(driver: &'static str, reason: impl Into<String>) -> Self {
        Self { driver, device: String::new(), reason: one_line(&reason.into()) }
    }

    /// A device that is passed over.
    pub fn device(driver: &'static str, device: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { driver, device: device.into(), reason: one_line(&reason.into()) }
    }
}

/// What [`DISABLE`] may name.
const LIBRARIES: [&str; 3] = ["opencl", "cuda", "wgpu"];

/// Is this library named in [`DISABLE`]? Then the reason to give.
pub fn disabled(library: &str) -> Option<String> {
    let list = std::env::var(DISABLE).unwrap_or_default();
    list.split(',').any(|name| name.trim() == library).then(|| format!("disabled by {DISABLE}"))
}

/// A line about what [`DISABLE`] names and nobody knows.
pub fn disable_problem() -> Option<String> {
    problem(&std::env::var(DISABLE).unwrap_or_default())
}

fn problem(list: &str) -> Option<String> {
    let unknown =
        list.split(',').map(str::trim).find(|name| !name.is_empty() && !LIBRARIES.contains(name))?;
    let unknown: String = unknown.escape_default().take(64).collect();
    Some(format!("{DISABLE} names '{unknown}', which disables nothing; it takes {}", LIBRARIES.join(", ")))
}

/// The first lines of a compiler's log or a driver's words in one line of at most 300 characters.
pub(crate) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_disables_nothing_is_named() {
        assert_eq!(problem(""), None);
        assert_eq!(problem("opencl, wgpu,"), None);
        for word in ["OPENCL", "opencl;wgpu", "cpu", "all"] {
            assert!(
                problem(&format!("cuda,{word}")).is_some_and(|p| p.contains(&format!("'{word}'"))),
                "{word}"
            );
        }
    }

    #[test]
    fn a_reason_is_one_short_line() {
        let absent = Absent::driver("cuda", "no\n driver\t\u{1b}here ".to_string() + &"x".repeat(999));
        assert!(absent.reason.starts_with("no driver here xxx") && absent.reason.len() == 300, "{absent:?}");
    }
}
