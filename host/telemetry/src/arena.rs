//! The arena: one open tick of columns by lane (= VM), published by [`Arena::seal`].
//!
//! A tick is one [`Slab`], [column][lanes], page-aligned and padded to whole groups of 64 lanes with NaN. Once sealed it
//! is immutable, and the same memory is the Arrow arrays and what a device uploads: no copy from ingest to device.
//! [`Arena::recycle`] takes it back, so a steady run allocates no columns.
//! Memory: `columns x lanes x 4` bytes per tick held.

use std::ptr::NonNull;
use std::sync::Arc;

use arrow_array::Float32Array;
use arrow_buffer::{Buffer, ScalarBuffer};
use foreshade_kernels::{GROUP, Slab};
use foreshade_types::{Tick, VmId};
use thiserror::Error;

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
    columns: usize,
    filling: Slab,
    seen: Vec<bool>,
    spare: Vec<Slab>,
}

/// A published tick: immutable, one Arrow array per column, lane = VM.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// Which tick.
    pub tick: Tick,
    /// The columns, padded to a multiple of 64 with NaN: views of `slab`.
    pub columns: Vec<Float32Array>,
    /// The same memory as a device takes it, [column][lanes].
    pub slab: Arc<Slab>,
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
        let lanes = vms.next_multiple_of(GROUP);
        let mut filling = Slab::zeroed(columns * lanes);
        filling.f32_mut().fill(f32::NAN);
        Self { vms, open: first, columns, filling, seen: vec![false; vms], spare: Vec::new() }
    }

    fn lanes(&self) -> usize {
        self.vms.next_multiple_of(GROUP)
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
        let lanes = self.lanes();
        for (column, v) in self.filling.f32_mut().chunks_exact_mut(lanes).zip(values) {
            column[lane] = *v;
        }
        Ok(())
    }

    /// Publishes the open tick and opens the next.
    pub fn seal(&mut self) -> Sealed {
        let lanes = self.lanes();
        let mut fresh = self.spare.pop().unwrap_or_else(|| Slab::zeroed(self.columns * lanes));
        fresh.f32_mut().fill(f32::NAN);
        let slab = Arc::new(std::mem::replace(&mut self.filling, fresh));
        let columns = views(&slab, self.columns, lanes);
        let seen = std::mem::replace(&mut self.seen, vec![false; self.vms]);
        let tick = self.open;
        self.open = tick.next();
        Sealed { tick, columns, slab, seen }
    }

    /// Takes back the memory of a tick nobody reads any more.
    pub fn recycle(&mut self, old: Sealed) {
        drop(old.columns);
        self.spare.extend(Arc::try_unwrap(old.slab).ok());
    }
}

/// The columns of a slab as Arrow arrays, without a copy.
fn views(slab: &Arc<Slab>, columns: usize, lanes: usize) -> Vec<Float32Array> {
    let start: NonNull<u8> = slab.as_ptr();
    // SAFETY: the slab owns `len` words from `start` and never moves them; the buffer holds it alive through the Arc, and
    // nobody writes to it while an Arc is shared (Slab gives `&mut` words to its only owner).
    let all = unsafe { Buffer::from_custom_allocation(start, slab.len() * 4, Arc::new(Arc::clone(slab))) };
    let view = |c: usize| ScalarBuffer::new(all.clone(), c * lanes, lanes);
    (0..columns).map(|c| Float32Array::new(view(c), None)).collect()
}

#[cfg(test)]
mod tests {
    use foreshade_kernels::PAGE_BYTES;

    use super::*;

    #[test]
    fn a_sealed_tick_is_the_memory_that_was_filled() {
        let mut a = Arena::new(3, 2, Tick(7));
        a.push(Tick(7), VmId(2), &[1.0, 2.0]).unwrap();
        let filled = a.filling.f32().as_ptr();
        let s = a.seal();
        assert_eq!(s.tick, Tick(7));
        assert_eq!(s.columns[0].values().as_ptr(), filled);
        assert_eq!((s.slab.f32().as_ptr(), filled as usize % PAGE_BYTES), (filled, 0));
        assert_eq!(s.columns[1].values().as_ptr(), s.slab.f32()[GROUP..].as_ptr());
        assert_eq!(s.columns[0].values().len(), GROUP);
        assert_eq!(s.column(1)[2], 2.0);
        assert!(s.column(0)[0].is_nan() && !s.seen[0] && s.seen[2]);
        a.recycle(s);
        a.push(Tick(8), VmId(0), &[5.0, 6.0]).unwrap();
        let s = a.seal();
        assert_eq!(a.filling.f32().as_ptr(), filled, "recycled");
        assert_eq!(s.column(0)[0], 5.0);
        assert!(s.column(0)[2].is_nan(), "nothing of the last tick is left");
    }

    #[test]
    fn a_column_that_somebody_keeps_stays_as_it_was() {
        let mut a = Arena::new(1, 1, Tick(0));
        a.push(Tick(0), VmId(0), &[3.0]).unwrap();
        let s = a.seal();
        let kept = s.columns[0].clone();
        a.recycle(s);
        for t in 1..4 {
            a.push(Tick(t), VmId(0), &[9.0]).unwrap();
            let s = a.seal();
            a.recycle(s);
        }
        assert_eq!(kept.value(0), 3.0);
    }

    #[test]
    fn no_vms_are_empty_columns() {
        let s = Arena::new(0, 3, Tick(0)).seal();
        assert_eq!((s.columns.len(), s.column(2).len()), (3, 0));
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
