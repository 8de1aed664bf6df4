//! What every back end does with a job before it calls a device, and the smallest job of each kernel.

use foreshade_kernels::ShapeError;

use crate::backend::{BackendError, BufferId, Job, Launch};

/// Checks every length of a job, and that what a launch writes is no other argument of it.
///
/// # Errors
/// The first fault; nothing may be done then.
pub fn check(job: &Job, words: impl Fn(BufferId) -> Option<usize>) -> Result<(), BackendError> {
    job.check(words)?;
    job.launches.iter().try_for_each(distinct)
}

fn distinct(launch: &Launch) -> Result<(), BackendError> {
    let (spec, ids) = (launch.kernel.spec(), launch.buffers());
    for (i, arg) in spec.buffers.iter().enumerate().filter(|(_, arg)| arg.written) {
        if ids.iter().enumerate().any(|(j, id)| j != i && *id == ids[i]) {
            let source = ShapeError { name: arg.name, got: i64::from(ids[i].0), want: "a buffer of its own" };
            return Err(BackendError::Shape { kernel: launch.kernel, source });
        }
    }
    Ok(())
}

/// Buffer lengths and groups of a launch that was checked.
///
/// # Errors
/// A scalar is out of its limits.
#[cfg(any(feature = "opencl", feature = "cuda", feature = "wgpu"))]
pub fn extent(launch: &Launch) -> Result<foreshade_kernels::spec::Extent, BackendError> {
    let spec = launch.kernel.spec();
    (spec.extent)(launch.ints()).map_err(|source| BackendError::Shape { kernel: launch.kernel, source })
}

/// Scalars of a kernel's smallest launch that does all it can do, for a warm-up.
#[cfg(any(feature = "opencl", feature = "cuda", feature = "wgpu", test))]
pub fn smallest(kernel: foreshade_kernels::KernelId) -> (&'static [i32], &'static [f32]) {
    use foreshade_kernels::{GROUP, KernelId};
    const LANES: i32 = GROUP as i32;
    match kernel {
        KernelId::LstmStep => (&[LANES, 1, 1, 1, 1, 1], &[]),
        KernelId::ArimaFit => (&[LANES, 24], &[]),
        KernelId::ArimaForecast => (&[LANES, 1], &[]),
        KernelId::PlacementScore => (&[1, LANES, 1, 1, 1, 1], &[1.0, 1.0]),
        KernelId::ConformalUpdate => (&[LANES], &[0.01, 0.01, 10.0, 0.0]),
    }
}

#[cfg(test)]
mod tests {
    use foreshade_kernels::KernelId;

    use super::*;

    #[test]
    fn every_kernel_has_a_smallest_launch_within_its_limits() {
        for kernel in KernelId::ALL {
            let (ints, floats) = smallest(kernel);
            let spec = kernel.spec();
            assert_eq!((ints.len(), floats.len()), (spec.ints.len(), spec.floats.len()), "{kernel}");
            assert!((spec.extent)(ints).unwrap().groups >= 1, "{kernel}");
        }
    }

    #[test]
    fn an_output_that_is_an_input_is_refused() {
        let ids: Vec<BufferId> = (1..=3).map(BufferId).collect();
        let (ints, floats) = smallest(KernelId::ArimaForecast);
        let good = Launch::new(KernelId::ArimaForecast, &ids, ints, floats);
        distinct(&good).unwrap();
        for bad in [[1, 1, 3], [1, 3, 3]] {
            let launch = Launch::new(KernelId::ArimaForecast, &bad.map(BufferId), ints, floats);
            let error = distinct(&launch).unwrap_err().to_string();
            assert!(error.contains("a buffer of its own"), "{error}");
        }
    }
}
