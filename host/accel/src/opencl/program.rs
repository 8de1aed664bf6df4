//! Kernels of an OpenCL device, from source or from a program file.

use std::path::PathBuf;

use foreshade_kernels::{KernelId, dialect};
use opencl3::context::Context;
use opencl3::device::{CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT, Device};
use opencl3::error_codes::ClError;
use opencl3::kernel::Kernel;
use opencl3::program::Program;

use crate::backend::BackendError;
use crate::container::{self, Key};
use crate::probe::{Form, one_line};

/// Builds for one device.
#[derive(Debug)]
pub struct Builder {
    /// Device name, driver version, platform version: a program is good for no other.
    identity: [String; 3],
    options: String,
    form: Form,
    source_ok: bool,
    dir: Option<PathBuf>,
}

/// A kernel that can be launched.
#[derive(Debug)]
pub struct Built {
    pub kernel: Kernel,
    pub form: Form,
    program: Program,
    saved: bool,
}

impl Builder {
    /// `form` is never [`Form::Auto`]; without `source_ok` only program files in `dir` count.
    pub fn new(
        device: &Device,
        platform_version: String,
        form: Form,
        source_ok: bool,
        dir: Option<PathBuf>,
    ) -> Self {
        let rounded = device.single_fp_config().unwrap_or(0) & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT != 0;
        let rounded = if rounded { " -cl-fp32-correctly-rounded-divide-sqrt" } else { "" };
        let text = |t: Result<String, ClError>| t.unwrap_or_default();
        Self {
            identity: [text(device.name()), text(device.driver_version()), platform_version],
            options: format!("-cl-std=CL1.2{rounded}"),
            form,
            source_ok,
            dir,
        }
    }

    /// The form of the kernels.
    pub fn form(&self) -> Form {
        self.form
    }

    fn source(&self, kernel: KernelId) -> Option<String> {
        let spec = kernel.spec();
        let (dialect, body) = match self.form {
            Form::Cpu => ("", spec.cpu_cl),
            Form::Gpu | Form::Auto => (dialect::OPENCL, spec.gpu),
        };
        (!body.trim().is_empty()).then(|| format!("{dialect}\n{body}"))
    }

    fn key(&self, source: &str) -> Key {
        let [device, driver, platform] = &self.identity;
        Key::of(&["opencl", source, &self.options, device, driver, platform])
    }

    /// Can this kernel be built here?
    pub fn has(&self, kernel: KernelId) -> bool {
        match self.source(kernel) {
            None => false,
            Some(_) if self.source_ok => true,
            Some(source) => self.file(kernel, &source).is_some(),
        }
    }

    fn file(&self, kernel: KernelId, source: &str) -> Option<Vec<u8>> {
        container::load(self.dir.as_deref()?, kernel.name(), &self.key(source))
    }

    /// From the program file where there is a good one, else from source.
    ///
    /// # Errors
    /// It does not build, or there is no file and no source may be built.
    pub fn build(&self, context: &Context, kernel: KernelId) -> Result<Built, BackendError> {
        let source = self.source(kernel).ok_or(BackendError::Unsupported(kernel))?;
        let failed = |log: String| BackendError::Build { kernel, log: one_line(&log) };
        if let Some(file) = self.file(kernel, &source) {
            match self.load(context, kernel, &file) {
                Ok(built) => return Ok(built),
                Err(log) if !self.source_ok => return Err(failed(log)),
                Err(why) => tracing::warn!(%kernel, why, "program file refused by the driver; built again"),
            }
        }
        if !self.source_ok {
            return Err(BackendError::Unsupported(kernel));
        }
        let program = Program::create_and_build_from_source(context, &source, &self.options);
        self.built(program.map_err(failed)?, kernel, false).map_err(failed)
    }

    /// The file was checked whole: a driver may crash on a torn one.
    fn load(&self, context: &Context, kernel: KernelId, file: &[u8]) -> Result<Built, String> {
        let text = |e: ClError| format!("{e} ({})", e.0);
        let devices = [context.default_device()];
        // SAFETY: the device is the context's own, and there is one binary for it.
        let program = unsafe { Program::create_from_binary(context, &devices, &[file]) };
        let mut program = program.map_err(text)?;
        program.build(&devices, &self.options).map_err(text)?;
        self.built(program, kernel, true)
    }

    fn built(&self, program: Program, kernel: KernelId, saved: bool) -> Result<Built, String> {
        let entry = Kernel::create(&program, kernel.name());
        let entry = entry.map_err(|e| format!("entry point {}: {e} ({})", kernel.name(), e.0))?;
        let want = kernel.spec().buffers.len() + kernel.spec().ints.len() + kernel.spec().floats.len();
        match entry.num_args() {
            Ok(got) if got as usize == want => Ok(Built { kernel: entry, form: self.form, program, saved }),
            Ok(got) => Err(format!("{} takes {got} arguments, needs {want}", kernel.name())),
            Err(e) => Err(format!("{e} ({})", e.0)),
        }
    }

    /// Writes the program file, once, after the first launch: only then is the native code in it.
    pub fn save(&self, kernel: KernelId, built: &mut Built) {
        let (Some(dir), Some(source), false) = (&self.dir, self.source(kernel), built.saved) else {
            return;
        };
        built.saved = true;
        match built.program.get_binaries() {
            Ok(binaries) => {
                if let [program] = binaries.as_slice() {
                    container::save(dir, kernel.name(), &self.key(&source), program);
                }
            }
            Err(error) => tracing::warn!(%kernel, %error, "the driver gives no program to keep"),
        }
    }
}
