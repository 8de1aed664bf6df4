//! What can go wrong between a job and a device.

use foreshade_kernels::KernelId;

/// One line: what, where, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccelError {
    /// No such driver.
    #[error("no back end is called '{name}'; there are auto, {known}")]
    UnknownDriver {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The driver is listed but cannot be used.
    #[error("back end '{name}' cannot be used: {reason}; use --backend cpu")]
    Unavailable {
        /// The driver.
        name: &'static str,
        /// Why.
        reason: String,
    },
    /// The device does not run this kernel.
    #[error("device {device} does not run kernel {kernel}; use --backend cpu")]
    Unsupported {
        /// The device.
        device: &'static str,
        /// The kernel.
        kernel: KernelId,
    },
    /// A handle of another device, or one that was freed.
    #[error("device {device} holds no {what} {id}: it was freed or belongs to another device")]
    UnknownHandle {
        /// The device.
        device: &'static str,
        /// "weights" or "state".
        what: &'static str,
        /// The handle.
        id: u32,
    },
    /// An array of a job has the wrong length.
    #[error("{kernel} on {device}: {what} has {got} values for {rows} series, needs {want}")]
    Length {
        /// The device.
        device: &'static str,
        /// The kernel.
        kernel: KernelId,
        /// The array.
        what: &'static str,
        /// Series in the job.
        rows: usize,
        /// Values it has.
        got: usize,
        /// Values it must have.
        want: usize,
    },
    /// A lane does not exist or is named twice.
    #[error("{kernel} on {device}: lane {lane} is {problem} (the state has {lanes} lanes)")]
    Lane {
        /// The device.
        device: &'static str,
        /// The kernel.
        kernel: KernelId,
        /// The lane.
        lane: u32,
        /// "out of range" or "named twice".
        problem: &'static str,
        /// Lanes of the state.
        lanes: usize,
    },
    /// An input or a restored state holds NaN or infinity.
    #[error("{kernel} on {device}: {what}[{at}] is not finite")]
    NotFinite {
        /// The device.
        device: &'static str,
        /// The kernel.
        kernel: KernelId,
        /// The array.
        what: &'static str,
        /// Index of the first such value.
        at: usize,
    },
}
