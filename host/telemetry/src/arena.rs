//! The arena: one open tick of columns by lane (= VM), published by [`Arena::seal`].
//!
//! A column is padded to 64 lanes with NaN, and becomes an Arrow array without a copy: the allocation that was filled is
//! the Arrow buffer. [`Arena::recycle`] takes it back, so a steady run allocates nothing.
//! Memory: `columns x lanes x 4` bytes per tick held.

use arrow_array::Float32Array;
use foreshade_types::{Tick, VmId};
use thiserror::Error;

/// Lanes a column is padded to.
pub const LANES: usize = 64;

/// A sample the arena did not take. The tick goes on without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PushError {
    /// The VM is not in the inventory.
    #[error("{0} is not in the inventory of {1} VMs; register it before sending its samples")]
    UnknownVm(VmId, usize),
    /// The tick was sealed before.
    #[error("sample of {vm} for tick {got} is late: tick {open} is open")]
    Late {
        /// Whose.
        vm: VmId,
        /// Its tick.
        got: Tick,
        /// The open tick.
        open: Tick,
    },
    /// The tick is not open yet.
    #[error("sample of {vm} for tick {got} is early: tick {open} is open")]
    Early {
        /// Whose.
        vm: VmId,
        /// Its tick.
        got: Tick,
        /// The open tick.
        open: Tick,
    },
    /// A second sample of one VM in one tick; the first stands.
    #[error("second sample of {0} for tick {1}; the first stands")]
    Duplicate(VmId, Tick),
}

/// The tick being filled.
#[derive(Debug)]
pub struct Arena {
    vms: usize,
    open: Tick,
    columns: Vec<Vec<f32>>,
    seen: Vec<bool>,
    spare: Vec<Vec<f32>>,
}

/// A published tick: immutable, one Arrow array per column, lane = VM.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// Which tick.
    pub tick: Tick,
    /// The columns, padded to a multiple of [`LANES`] with NaN.
    pub columns: Vec<Float32Array>,
    /// Which VMs sent a sample.
    pub seen: Vec<bool>,
}

impl Sealed {
    /// A column without its padding.
    pub fn column(&self, i: usize) -> &[f32] {
        &self.columns[i].values()[..self.seen.len()]
    }
}

impl Arena {
    /// An arena for VMs `0..vms` whose first tick is `first`.
    pub fn new(vms: usize, columns: usize, first: Tick) -> Self {
        let mut a = Self { vms, open: first, columns: Vec::new(), seen: vec![false; vms], spare: Vec::new() };
        a.columns = (0..columns).map(|_| a.blank()).collect();
        a
    }

    fn blank(&mut self) -> Vec<f32> {
        let lanes = self.vms.next_multiple_of(LANES);
        let mut c = self.spare.pop().unwrap_or_default();
        c.clear();
        c.resize(lanes, f32::NAN);
        c
    }

    /// The tick that takes samples now.
    pub fn open_tick(&self) -> Tick {
        self.open
    }

    /// Scatters one VM's values into the columns of the open tick.
    pub fn push(&mut self, tick: Tick, vm: VmId, values: &[f32]) -> Result<(), PushError> {
        let lane = vm.index();
        if lane >= self.vms {
            return Err(PushError::UnknownVm(vm, self.vms));
        }
        if tick < self.open {
            return Err(PushError::Late { vm, got: tick, open: self.open });
        }
        if tick > self.open {
            return Err(PushError::Early { vm, got: tick, open: self.open });
        }
        if std::mem::replace(&mut self.seen[lane], true) {
            return Err(PushError::Duplicate(vm, tick));
        }
        for (column, v) in self.columns.iter_mut().zip(values) {
            column[lane] = *v;
        }
        Ok(())
    }

    /// Publishes the open tick and opens the next.
    pub fn seal(&mut self) -> Sealed {
        let fresh: Vec<_> = (0..self.columns.len()).map(|_| self.blank()).collect();
        let columns =
            std::mem::replace(&mut self.columns, fresh).into_iter().map(Float32Array::from).collect();
        let seen = std::mem::replace(&mut self.seen, vec![false; self.vms]);
        let tick = self.open;
        self.open = tick.next();
        Sealed { tick, columns, seen }
    }

    /// Takes back the buffers of a tick nobody reads any more.
    pub fn recycle(&mut self, old: Sealed) {
        for c in old.columns {
            let (_, values, _) = c.into_parts();
            if let Ok(v) = values.into_inner().into_vec::<f32>() {
                self.spare.push(v);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_tick_is_the_memory_that_was_filled() {
        let mut a = Arena::new(3, 2, Tick(7));
        a.push(Tick(7), VmId(2), &[1.0, 2.0]).unwrap();
        let filled = a.columns[0].as_ptr();
        let s = a.seal();
        assert_eq!(s.tick, Tick(7));
        assert_eq!(s.columns[0].values().as_ptr(), filled);
        assert_eq!(s.columns[0].values().len(), LANES);
        assert_eq!(s.column(1)[2], 2.0);
        assert!(s.column(0)[0].is_nan() && !s.seen[0] && s.seen[2]);
        a.recycle(s);
        a.push(Tick(8), VmId(0), &[5.0, 6.0]).unwrap();
        let s = a.seal();
        assert!(a.columns[0].as_ptr() == filled || a.columns[1].as_ptr() == filled, "recycled");
        assert_eq!(s.column(0)[0], 5.0);
        assert!(s.column(0)[2].is_nan(), "nothing of the last tick is left");
    }

    #[test]
    fn late_early_duplicate_and_unknown_samples_are_refused_and_harm_nobody() {
        let mut a = Arena::new(2, 1, Tick(5));
        a.push(Tick(5), VmId(0), &[1.0]).unwrap();
        assert_eq!(a.push(Tick(5), VmId(0), &[9.0]), Err(PushError::Duplicate(VmId(0), Tick(5))));
        assert!(matches!(a.push(Tick(4), VmId(1), &[9.0]), Err(PushError::Late { .. })));
        assert!(matches!(a.push(Tick(6), VmId(1), &[9.0]), Err(PushError::Early { .. })));
        assert!(matches!(a.push(Tick(5), VmId(2), &[9.0]), Err(PushError::UnknownVm(..))));
        let s = a.seal();
        assert_eq!(s.column(0)[0], 1.0);
        assert!(!s.seen[1]);
    }
}
