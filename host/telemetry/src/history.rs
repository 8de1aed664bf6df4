//! The aligned recent past of one quantity, per VM: what sums of VMs are forecast from.

/// The last `window` values of each VM, oldest first, contiguous. Memory: at most `2 x window x 4` bytes per VM.
#[derive(Debug, Clone)]
pub struct History {
    window: usize,
    rows: Vec<Vec<f32>>,
}

impl History {
    /// For VMs `0..vms`.
    pub fn new(vms: usize, window: usize) -> Self {
        Self { window, rows: vec![Vec::with_capacity(2 * window); vms] }
    }

    /// Appends one value per VM. NaN repeats the VM's last value (0 at the start), so that rows stay aligned.
    pub fn push(&mut self, values: impl Iterator<Item = f32>) {
        for (row, v) in self.rows.iter_mut().zip(values) {
            let v = if v.is_nan() { row.last().copied().unwrap_or(0.0) } else { v };
            if row.len() == 2 * self.window {
                row.drain(..self.window);
            }
            row.push(v);
        }
    }

    /// The last values of a VM, at most `window`, oldest first.
    pub fn of(&self, vm: usize) -> &[f32] {
        let row = &self.rows[vm];
        &row[row.len().saturating_sub(self.window)..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_values_in_order_and_holds_gaps() {
        let mut h = History::new(2, 3);
        for i in 0..10 {
            h.push([i as f32, if i == 9 { f32::NAN } else { -(i as f32) }].into_iter());
        }
        assert_eq!(h.of(0), [7.0, 8.0, 9.0]);
        assert_eq!(h.of(1), [-7.0, -8.0, -8.0]);
    }
}
