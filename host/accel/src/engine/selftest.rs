//! A device proves itself on every kernel it claims before it is used: a small seeded case against the f64 reference.

use std::time::Duration;

use foreshade_kernels::KernelId;

use super::calls::run_once;
use super::checks;
use crate::port::Port;

/// Builds, warms and tests every kernel.
///
/// # Errors
/// The first kernel that fails, with what was seen.
pub(super) fn self_test(port: &mut Port, patience: Duration) -> Result<(), String> {
    for kernel in KernelId::ALL {
        if !port.supports(kernel) {
            continue;
        }
        let fail = |why: String| format!("self-test: {kernel}: {why}");
        port.warm_up(kernel, patience).map_err(|e| fail(e.to_string()))?;
        checks::prove(kernel, |case| run_once(port, case, patience).map_err(|e| e.to_string()))
            .map_err(fail)?;
    }
    Ok(())
}
