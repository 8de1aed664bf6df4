//! Once set up, sample paths ask for no memory: a rack's what-ifs run inside a decision.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use foreshade_forecast::paths::{Ahead, Part, PathSum, Paths};
use foreshade_types::Quantiles;

thread_local! {
    /// Of this thread alone: the test's own machinery allocates on others.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Count;

fn count() {
    // A thread that is ending has no counter any more, and nobody reads it.
    let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
}

// SAFETY: every call goes to `System` unchanged; the counter is a `Cell` without a destructor and allocates nothing.
unsafe impl GlobalAlloc for Count {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`, which is the same here.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from `System` with this layout, as the caller promises.
        unsafe { System.dealloc(ptr, layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: as `dealloc`; `new_size` is the caller's promise.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Count = Count;

#[test]
fn drawing_adding_and_asking_ask_for_no_memory() {
    let history: Vec<f32> =
        (0..144).map(|i| if i % 17 == 0 { f32::NAN } else { (i * 37 % 101) as f32 }).collect();
    let ahead = [1, 6].map(|step| Ahead { step, quantiles: Quantiles([1.0, 5.0, 9.0, 10.0, 12.0]) });
    let (mut paths, mut sum) = (Paths::new(3, 138, 6), PathSum::new(138, 6));
    let before = ALLOCATIONS.get();
    for vm in 0..3 {
        paths.draw(vm, vm as u64, &history[vm..], &ahead);
        sum.add(paths.of(vm));
    }
    sum.remove(paths.of(0));
    let moved = [Part { draws: paths.of(0), percent: 50 }, Part { draws: paths.of(1), percent: -100 }];
    let asked = sum.peak_if(&moved).q95() + sum.exceeds(9.0) + sum.step(3).q50() + sum.peak_at(0.9, &[]);
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert!(asked > 0.0);
    drop(std::hint::black_box(vec![0u8; 64]));
    assert!(ALLOCATIONS.get() > before, "the counter counts");
}
