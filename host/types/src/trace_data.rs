//! What a VM was asked to do in one tick, counted by kind, and what it used meanwhile.
//!
//! Counts only: a record holds no payload, so there is nothing in it that could be carried out.

use serde::{Deserialize, Serialize};

use crate::Resource;

/// A kind of event that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Requests (API calls) that arrived.
    Request,
    /// Network received, KB.
    NetIn,
    /// Network sent, KB.
    NetOut,
    /// System calls.
    Syscall,
    /// Instructions retired, millions.
    Instruction,
    /// Page faults.
    PageFault,
    /// Pages that became dirty.
    DirtyPage,
    /// Disk reads.
    DiskRead,
    /// Disk writes.
    DiskWrite,
}

/// All kinds, in the order of [`TraceData::counts`].
pub const EVENT_KINDS: [EventKind; 9] = [
    EventKind::Request,
    EventKind::NetIn,
    EventKind::NetOut,
    EventKind::Syscall,
    EventKind::Instruction,
    EventKind::PageFault,
    EventKind::DirtyPage,
    EventKind::DiskRead,
    EventKind::DiskWrite,
];

impl EventKind {
    /// Does the event come from outside, so that the work it causes may come ticks later? The others are the work.
    pub fn is_input(self) -> bool {
        matches!(self, Self::Request | Self::NetIn)
    }

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::NetIn => "net_in",
            Self::NetOut => "net_out",
            Self::Syscall => "syscall",
            Self::Instruction => "instruction",
            Self::PageFault => "page_fault",
            Self::DirtyPage => "dirty_page",
            Self::DiskRead => "disk_read",
            Self::DiskWrite => "disk_write",
        }
    }
}

/// The events of one VM in one tick.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TraceData {
    /// End of the tick, milliseconds since 1970-01-01 UTC.
    pub end_ms: i64,
    /// Length of the tick, milliseconds.
    pub span_ms: u32,
    /// Events per kind, in the order of [`EVENT_KINDS`]; NaN = not captured.
    pub counts: [f64; EVENT_KINDS.len()],
}

impl TraceData {
    /// Nothing captured yet.
    pub fn new(end_ms: i64, span_ms: u32) -> Self {
        Self { end_ms, span_ms, counts: [f64::NAN; EVENT_KINDS.len()] }
    }

    /// Sets one count.
    pub fn with(mut self, kind: EventKind, count: f64) -> Self {
        self.counts[kind as usize] = count;
        self
    }

    /// Events per second, in the order of [`EVENT_KINDS`]. NaN where not captured, infinite or negative.
    pub fn rates(&self) -> [f64; EVENT_KINDS.len()] {
        let span_s = f64::from(self.span_ms) / 1000.0;
        self.counts.map(|c| c / span_s).map(|r| if r.is_finite() && r >= 0.0 { r } else { f64::NAN })
    }
}

/// What a VM used in one tick: CPU in millicores, memory in MiB, disk and network in KB/s; NaN = not measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Usage(pub [f64; 6]);

impl Usage {
    /// Nothing measured.
    pub const UNKNOWN: Self = Self([f64::NAN; 6]);

    /// One resource.
    pub fn of(&self, resource: Resource) -> f64 {
        self.0[resource as usize]
    }

    /// Sets one resource.
    pub fn with(mut self, resource: Resource, value: f64) -> Self {
        self.0[resource as usize] = value;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RESOURCES;

    #[test]
    fn indices_follow_the_lists() {
        assert!(EVENT_KINDS.iter().enumerate().all(|(i, k)| *k as usize == i));
        assert!(RESOURCES.iter().enumerate().all(|(i, r)| *r as usize == i));
    }

    #[test]
    fn what_cannot_be_a_count_is_no_rate() {
        let trace = TraceData::new(0, 2000).with(EventKind::Request, 10.0).with(EventKind::Syscall, -1.0);
        let rates = trace.rates();
        assert_eq!(rates[0], 5.0);
        assert!(rates[1..].iter().all(|r| r.is_nan()));
        assert!(TraceData::new(0, 0).with(EventKind::Request, 1.0).rates()[0].is_nan());
    }
}
