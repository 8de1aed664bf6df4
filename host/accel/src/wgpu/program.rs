//! Kernels of a wgpu device: WGSL, and the driver's compiled form of it on disk.

use std::path::PathBuf;

use foreshade_kernels::KernelId;
use foreshade_kernels::spec::{MAX_BUFFERS, MAX_FLOATS, MAX_INTS};
use wgpu::{
    BindGroup, BindGroupEntry, BindGroupLayout, BindGroupLayoutEntry, BindingType, BufferBindingType,
    BufferUsages, ComputePipeline, Device, PipelineCache, ShaderStages,
};

use super::adapter::block_on;
use crate::backend::{BackendError, Launch};
use crate::container::{self, Key};
use crate::probe::one_line;

/// Binding of the scalars.
const SCALARS: u32 = MAX_BUFFERS as u32;

/// Builds for one adapter.
#[derive(Debug)]
pub struct Builder {
    /// Adapter and driver, as they name themselves.
    pub identity: Vec<String>,
    /// Where compiled forms are kept; `None` also where the driver gives none.
    pub dir: Option<PathBuf>,
}

/// A kernel that can be dispatched.
#[derive(Debug)]
pub struct Built {
    pipeline: ComputePipeline,
    layout: BindGroupLayout,
    cache: Option<PipelineCache>,
    saved: bool,
}

impl Builder {
    /// Is it written for this device?
    pub fn has(&self, kernel: KernelId) -> bool {
        !kernel.spec().wgsl.trim().is_empty()
    }

    fn key(&self, kernel: KernelId) -> Key {
        let mut parts = vec!["wgpu", kernel.spec().wgsl];
        parts.extend(self.identity.iter().map(String::as_str));
        Key::of(&parts)
    }

    /// Compiles a kernel.
    ///
    /// # Errors
    /// Not written for this device, or refused.
    pub fn build(&self, device: &Device, kernel: KernelId) -> Result<Built, BackendError> {
        if !self.has(kernel) {
            return Err(BackendError::Unsupported(kernel));
        }
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(kernel.name()),
            source: wgpu::ShaderSource::Wgsl(kernel.spec().wgsl.into()),
        });
        let layout = layout(device, kernel);
        let (cache, saved) = self.cache(device, kernel);
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(kernel.name()),
            layout: Some(&device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&layout)],
                immediate_size: 0,
            })),
            module: &module,
            entry_point: Some(kernel.name()),
            compilation_options: Default::default(),
            cache: cache.as_ref(),
        });
        match block_on(scope.pop()) {
            Some(error) => Err(BackendError::Build { kernel, log: one_line(&error.to_string()) }),
            None => Ok(Built { pipeline, layout, cache, saved }),
        }
    }

    /// The driver's cache, filled from disk where there is a good file.
    fn cache(&self, device: &Device, kernel: KernelId) -> (Option<PipelineCache>, bool) {
        let Some(dir) = &self.dir else { return (None, false) };
        let file = container::load(dir, kernel.name(), &self.key(kernel));
        let desc = wgpu::PipelineCacheDescriptor { label: None, data: file.as_deref(), fallback: true };
        // SAFETY: the data is what `get_data` gave for this adapter, driver and source: `container` checks key and sum.
        (Some(unsafe { device.create_pipeline_cache(&desc) }), file.is_some())
    }

    /// Writes the compiled form, once.
    pub fn save(&self, kernel: KernelId, built: &mut Built) {
        let (Some(dir), Some(cache), false) = (&self.dir, &built.cache, built.saved) else { return };
        built.saved = true;
        if let Some(data) = cache.get_data() {
            container::save(dir, kernel.name(), &self.key(kernel), &data);
        }
    }
}

impl Built {
    /// For a compute pass.
    pub fn pipeline(&self) -> &ComputePipeline {
        &self.pipeline
    }

    /// The arguments of one launch.
    pub fn bind(&self, device: &Device, launch: &Launch, buffers: &[&wgpu::Buffer]) -> BindGroup {
        let scalars = scalars(device, launch);
        let mut entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, b)| BindGroupEntry { binding, resource: b.as_entire_binding() })
            .collect();
        entries.push(BindGroupEntry { binding: SCALARS, resource: scalars.as_entire_binding() });
        let layout = &self.layout;
        device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
    }
}

/// The uniform: ints, then floats, each in its own place whatever the kernel has.
fn scalars(device: &Device, launch: &Launch) -> wgpu::Buffer {
    let ints = launch.ints.iter().flat_map(|v| v.to_le_bytes());
    let floats = launch.floats.iter().flat_map(|v| v.to_le_bytes());
    let bytes: Vec<u8> = ints.chain(floats).collect();
    let size = ((MAX_INTS + MAX_FLOATS) * 4) as u64;
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size,
        usage: BufferUsages::UNIFORM,
        mapped_at_creation: true,
    });
    // A lost device gives no mapping; its error comes with the job.
    if let Ok(mut view) = buffer.slice(..).get_mapped_range_mut() {
        view.copy_from_slice(&bytes);
    }
    buffer.unmap();
    buffer
}

fn layout(device: &Device, kernel: KernelId) -> BindGroupLayout {
    let entry = |binding, ty| BindGroupLayoutEntry {
        binding,
        visibility: ShaderStages::COMPUTE,
        ty: BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    };
    let storage = |written: bool| BufferBindingType::Storage { read_only: !written };
    let mut entries: Vec<_> =
        (0..).zip(kernel.spec().buffers).map(|(i, arg)| entry(i, storage(arg.written))).collect();
    entries.push(entry(SCALARS, BufferBindingType::Uniform));
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries })
}
