//! The CPU back end: batched f32 kernels.
