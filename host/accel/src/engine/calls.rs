//! Kernels without resident state: inputs in, outputs back. Buffers stay on the device between calls of one shape.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use foreshade_kernels::{KernelId, Word};

use super::checks::Case;
use crate::backend::{BufferId, Job, Launch, Read, Timing, Write};
use crate::port::{Port, PortError};
use crate::{AccelError, Slab};

/// The buffer a kernel keeps its intermediate values in; nobody reads it back.
const SCRATCH: &str = "scratch";

/// Device buffers by kernel and argument.
#[derive(Debug, Default)]
pub(super) struct CallBuffers(BTreeMap<(KernelId, usize), (BufferId, usize)>);

impl CallBuffers {
    fn get(
        &mut self,
        port: &mut Port,
        kernel: KernelId,
        arg: usize,
        words: usize,
        patience: Duration,
    ) -> Result<BufferId, PortError> {
        if let Some(&(id, len)) = self.0.get(&(kernel, arg)) {
            if len == words {
                return Ok(id);
            }
            port.free(id);
            self.0.remove(&(kernel, arg));
        }
        let id = port.alloc(words, patience)?;
        self.0.insert((kernel, arg), (id, words));
        Ok(id)
    }

    /// One call; the case has been checked.
    pub(super) fn run(
        &mut self,
        port: &mut Port,
        case: &Case,
        patience: Duration,
    ) -> Result<(Vec<Slab>, Timing), PortError> {
        let spec = case.kernel.spec();
        let mut job = Job::default();
        let mut ids = Vec::with_capacity(spec.buffers.len());
        let mut inputs = case.inputs.iter();
        let extent = (spec.extent)(&case.ints)
            .map_err(|source| crate::backend::BackendError::Shape { kernel: case.kernel, source })?;
        for (i, arg) in spec.buffers.iter().enumerate() {
            let id = self.get(port, case.kernel, i, extent.words[i], patience)?;
            ids.push(id);
            if !arg.written {
                job.writes.extend(inputs.next().map(|from| Write { to: id, from: Arc::clone(from) }));
            } else if arg.name != SCRATCH {
                job.reads.push(Read { from: id, into: Slab::zeroed(extent.words[i]), take: true });
            }
        }
        job.launches.push(Launch::new(case.kernel, &ids, &case.ints, &case.floats));
        let (job, timing) = port.run(job, patience)?;
        Ok((job.reads.into_iter().map(|r| r.into).collect(), timing))
    }

    fn free_all(self, port: &mut Port) {
        self.0.into_values().for_each(|(id, _)| port.free(id));
    }
}

/// One call whose buffers are freed again.
pub(super) fn run_once(port: &mut Port, case: &Case, patience: Duration) -> Result<Vec<Slab>, PortError> {
    let mut buffers = CallBuffers::default();
    let done = buffers.run(port, case, patience).map(|(out, _)| out);
    buffers.free_all(port);
    done
}

/// Shapes and values, once for every device. An input called `y` may hold NaN = missing; nothing else may.
///
/// # Errors
/// The first scalar, length or value that is wrong, with the kernel, the argument and both lengths.
pub(super) fn check_case(case: &Case) -> Result<(), AccelError> {
    let kernel = case.kernel;
    let spec = kernel.spec();
    let count = |what, got, want| match got == want {
        true => Ok(()),
        false => Err(AccelError::Count { kernel, what, got, want }),
    };
    count("i32 scalars", case.ints.len(), spec.ints.len())?;
    count("f32 scalars", case.floats.len(), spec.floats.len())?;
    count("input buffers", case.inputs.len(), spec.buffers.iter().filter(|a| !a.written).count())?;
    let extent = (spec.extent)(&case.ints).map_err(|source| AccelError::Shape { kernel, source })?;
    if let Some(i) = case.floats.iter().position(|v| !v.is_finite()) {
        return Err(AccelError::NotFinite { kernel, what: spec.floats[i], at: 0 });
    }
    let read = spec.buffers.iter().zip(extent.words).filter(|(arg, _)| !arg.written);
    for ((arg, want), slab) in read.zip(&case.inputs) {
        if slab.len() != want {
            let shape = shape(spec.ints, &case.ints);
            return Err(AccelError::Length { kernel, what: arg.name, got: slab.len(), want, shape });
        }
        if arg.word == Word::F32 && arg.name != "y" {
            finite(kernel, arg.name, slab.f32())?;
        }
    }
    Ok(())
}

/// The scalars that a length follows from, for an error.
pub(super) fn shape(names: &[&str], values: &[i32]) -> String {
    names.iter().zip(values).map(|(n, v)| format!("{n} {v}")).collect::<Vec<_>>().join(", ")
}

pub(super) fn finite(kernel: KernelId, what: &'static str, values: &[f32]) -> Result<(), AccelError> {
    // Whole chunks first: the search for the place is for the bad case only.
    if values.chunks(1024).all(|c| c.iter().fold(true, |ok, v| ok & v.is_finite())) {
        return Ok(());
    }
    let at = values.iter().position(|v| !v.is_finite()).unwrap_or(0);
    Err(AccelError::NotFinite { kernel, what, at })
}
