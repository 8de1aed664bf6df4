//! What can go wrong between a caller and its devices. A fault of a device is no error as long as another takes over.

use foreshade_kernels::{KernelId, ShapeError};

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
        name: String,
        /// Why.
        reason: String,
    },
    /// The device in use failed and no other is left to do its work.
    #[error("device {device} failed ({reason}) and no other can take over; restart with --backend cpu")]
    NoDevice {
        /// The device.
        device: String,
        /// Why.
        reason: String,
    },
    /// A handle of another engine, or one that was freed.
    #[error("this engine holds no {0} {1}: it was freed or belongs to another engine")]
    UnknownHandle(&'static str, u32),
    /// The wrong number of arguments.
    #[error("{kernel}: {got} {what} given, needs {want}")]
    Count {
        /// The kernel.
        kernel: KernelId,
        /// Which arguments.
        what: &'static str,
        /// Given.
        got: usize,
        /// Needed.
        want: usize,
    },
    /// A scalar out of its limits.
    #[error("{kernel}: {source}")]
    Shape {
        /// The kernel.
        kernel: KernelId,
        /// Which and how.
        #[source]
        source: ShapeError,
    },
    /// An array has the wrong length.
    #[error("{kernel}: {what} has {got} words, needs {want} ({shape})")]
    Length {
        /// The kernel.
        kernel: KernelId,
        /// The argument.
        what: &'static str,
        /// Words it has.
        got: usize,
        /// Words it must have.
        want: usize,
        /// What that follows from.
        shape: String,
    },
    /// A lane that does not exist, or that was told something unknown.
    #[error("lstm_step: lane {lane}: {problem} (the state has {lanes} series)")]
    Lane {
        /// The lane.
        lane: u32,
        /// What is wrong.
        problem: &'static str,
        /// Series of the state.
        lanes: usize,
    },
    /// An input holds NaN or infinity where it must not.
    #[error("{kernel}: {what}[{at}] is not finite")]
    NotFinite {
        /// The kernel.
        kernel: KernelId,
        /// The argument.
        what: &'static str,
        /// Index of the first such value.
        at: usize,
    },
}
