//! Page-aligned memory for what goes to and from a device: the ingest writes it, Arrow reads it, a device uploads it or,
//! where it shares the host's memory, works in it.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ptr::NonNull;
use std::slice;

/// Start and size of a slab are multiples of this: what DMA engines and `CL_MEM_USE_HOST_PTR` ask for (XRT copies otherwise).
pub const PAGE_BYTES: usize = 4096;

/// Zeroed 32-bit words on whole pages. The tail up to the page's end belongs to the slab and is never read.
pub struct Slab {
    words: NonNull<u32>,
    len: usize,
}

// SAFETY: a slab owns its memory alone and has no interior mutability; sharing and sending follow the borrow rules of Vec.
unsafe impl Send for Slab {}
// SAFETY: as above.
unsafe impl Sync for Slab {}

impl Slab {
    /// `len` zero words.
    pub fn zeroed(len: usize) -> Self {
        let layout = layout(len);
        // SAFETY: `layout` is never of size 0.
        let memory = unsafe { alloc_zeroed(layout) };
        match NonNull::new(memory.cast()) {
            Some(words) => Self { words, len },
            None => handle_alloc_error(layout),
        }
    }

    /// A slab with these values.
    pub fn from_f32(values: &[f32]) -> Self {
        let mut slab = Self::zeroed(values.len());
        slab.f32_mut().copy_from_slice(values);
        slab
    }

    /// A slab with these values.
    pub fn from_i32(values: &[i32]) -> Self {
        let mut slab = Self::zeroed(values.len());
        slab.i32_mut().copy_from_slice(values);
        slab
    }

    /// Words.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No words?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first word; [`PAGE_BYTES`]-aligned, readable up to the end of its last page.
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.words.cast()
    }

    /// The words as f32.
    pub fn f32(&self) -> &[f32] {
        // SAFETY: `len` words are allocated and initialised; every bit pattern is an f32; alignment is a page's.
        unsafe { slice::from_raw_parts(self.words.as_ptr().cast(), self.len) }
    }

    /// The words as f32.
    pub fn f32_mut(&mut self) -> &mut [f32] {
        // SAFETY: as `f32`; `&mut self` makes it the only reference.
        unsafe { slice::from_raw_parts_mut(self.words.as_ptr().cast(), self.len) }
    }

    /// The words as i32.
    pub fn i32(&self) -> &[i32] {
        // SAFETY: as `f32`; every bit pattern is an i32.
        unsafe { slice::from_raw_parts(self.words.as_ptr().cast(), self.len) }
    }

    /// The words as i32.
    pub fn i32_mut(&mut self) -> &mut [i32] {
        // SAFETY: as `f32_mut`; every bit pattern is an i32.
        unsafe { slice::from_raw_parts_mut(self.words.as_ptr().cast(), self.len) }
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: allocated in `zeroed` with this layout, and not freed before.
        unsafe { dealloc(self.words.as_ptr().cast(), layout(self.len)) }
    }
}

impl Clone for Slab {
    fn clone(&self) -> Self {
        Self::from_f32(self.f32())
    }
}

impl fmt::Debug for Slab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slab {{ words: {} }}", self.len)
    }
}

impl PartialEq for Slab {
    /// By bits, so that NaN equals itself.
    fn eq(&self, other: &Self) -> bool {
        self.i32() == other.i32()
    }
}

/// Whole pages, at least one.
fn layout(len: usize) -> Layout {
    let bytes = len.saturating_mul(4).max(1).checked_next_multiple_of(PAGE_BYTES);
    match bytes.and_then(|b| Layout::from_size_align(b, PAGE_BYTES).ok()) {
        Some(layout) => layout,
        None => panic!("a slab of {len} words is larger than the address space"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_on_a_page_and_is_zero() {
        for len in [0, 1, 64, 1024, 1025] {
            let slab = Slab::zeroed(len);
            assert_eq!(slab.as_ptr().as_ptr() as usize % PAGE_BYTES, 0);
            assert_eq!(slab.i32(), vec![0; len]);
        }
    }

    #[test]
    fn the_same_words_are_read_either_way() {
        let slab = Slab::from_f32(&[1.0, f32::NAN]);
        assert_eq!(slab.i32()[0], 0x3f80_0000);
        assert_eq!(slab, slab.clone());
    }
}
