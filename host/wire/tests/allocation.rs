//! No input makes a decoder allocate much more than the input's own size.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use foreshade_types::{Tick, VmId};
use foreshade_wire::{Column, Flags, FrameReader, Message, Row, TelemetryBatch, TelemetryView};

/// Remembers the largest single allocation.
struct Watch;

static LARGEST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to `System` unchanged; the counter does not touch the memory.
unsafe impl GlobalAlloc for Watch {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.fetch_max(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same here.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from `System` with this layout, as the caller promises.
        unsafe { System.dealloc(ptr, layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        LARGEST.fetch_max(new_size, Ordering::Relaxed);
        // SAFETY: as `dealloc`; `new_size` is the caller's promise.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Watch = Watch;

/// More than the largest input here, far less than what a length field can claim.
const CAP_BYTES: usize = 64 << 10;

fn feed(bytes: &[u8]) {
    let mut reader = FrameReader::new();
    reader.push(bytes);
    while let Ok(Some(frame)) = reader.pop() {
        if let Ok(Message::Telemetry { ipc, .. }) = Message::decode(frame) {
            let _ = TelemetryView::decode(ipc);
        }
    }
}

// One test in this file: the counter is the process's.
#[test]
fn announced_lengths_are_not_allocated() {
    let mut batch = TelemetryBatch::default();
    for vm in 0..50 {
        batch.push(&Row::new(VmId(vm), Flags::default()).with(Column::CpuUsedMc, 1.0)).expect("row");
    }
    let ipc = batch.encode().expect("encodes");
    let telemetry = Message::Telemetry { tick: Tick(1), ipc }.encode().expect("encodes").to_vec();
    let decisions =
        Message::Decisions { tick: Tick(1), decisions: vec![] }.encode().expect("encodes").to_vec();
    LARGEST.store(0, Ordering::SeqCst);
    for base in [&telemetry, &decisions] {
        for at in 0..base.len().min(2_000) {
            for value in [0x00, 0x7F, 0x80, 0xFF] {
                let mut bytes = base.clone();
                bytes[at] = value;
                feed(&bytes);
                // Two bytes: the high half of a length or count.
                if at + 1 < bytes.len() {
                    bytes[at + 1] = value;
                    feed(&bytes);
                }
            }
        }
    }
    // A frame that announces the cap and brings nothing.
    feed(&[0, 0, 0x40, 0, 2]);
    // A list that announces as many items as allowed and brings none.
    let mut list = decisions.clone();
    list[13..17].copy_from_slice(&32_768u32.to_le_bytes());
    feed(&list);
    let largest = LARGEST.load(Ordering::SeqCst);
    assert!(largest < CAP_BYTES, "{largest} bytes were allocated at once");
}
