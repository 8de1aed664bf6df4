//! What an agent would measure on a simulated host, as wire rows.

use foreshade_enact::{Observed, ShadowSeen};
use foreshade_types::{ShadowPhase, SyncState};
use foreshade_wire::{Column, Flags, Row, TelemetryBatch, WireError};

/// A shadow that serves traffic is also ready; what comes before that is told by itself.
fn shadow_flags(s: ShadowSeen) -> Flags {
    let phase = match s.phase {
        ShadowPhase::Requested | ShadowPhase::Provisioning => Flags::SHADOW_PROVISIONING,
        ShadowPhase::Syncing => Flags::SHADOW_SYNCING,
        ShadowPhase::Warm => Flags::SHADOW_WARM,
        ShadowPhase::Ready => Flags::SHADOW_READY,
        ShadowPhase::Active => Flags::SHADOW_READY.with(Flags::TRAFFIC_SHIFTED, true),
        ShadowPhase::Draining => Flags::SHADOW_DRAINING,
        ShadowPhase::Suspended => Flags::SHADOW_SUSPENDED,
        ShadowPhase::Failed => Flags::SHADOW_FAILED,
        ShadowPhase::Terminated => Flags::default(),
    };
    phase
        .with(Flags::SYNC_BEHIND, s.sync == SyncState::Behind)
        .with(Flags::SYNC_CORRUPT, s.sync == SyncState::Corrupt)
}

/// One VM's row. A VM without a sample keeps its state and allocation; its measurements are missing.
pub fn row(o: &Observed) -> Row {
    let flags = o.shadow.map_or(Flags::default(), shadow_flags);
    let flags = flags.with(Flags::MIGRATING, o.migrating).with(Flags::STOPPED, o.stopped);
    let mut r = Row::new(o.vm, flags)
        .with(Column::AllocCpuMc, o.allocation.cpu.0 as f32)
        .with(Column::AllocMemMib, o.allocation.memory.0 as f32);
    if o.sampled {
        r = r
            .with(Column::CpuUsedMc, o.cpu_used.0 as f32)
            .with(Column::CpuThrottledMc, o.cpu_throttled.0 as f32)
            .with(Column::MemUsedMib, o.memory_used.0 as f32)
            .with(Column::MemThrottledMib, o.memory_throttled.0 as f32)
            .with(Column::DirtyMibS, o.dirty_mib_s);
        let io = [Column::DiskReadKbs, Column::DiskWriteKbs, Column::NetRxKbs, Column::NetTxKbs];
        for (c, v) in io.into_iter().zip(o.io_kbs) {
            // Whatever NaN the trace held, the wire knows one.
            r = if v.is_nan() { r } else { r.with(c, v) };
        }
    }
    r
}

/// One host's batch.
pub fn batch(observed: &[Observed]) -> Result<TelemetryBatch, WireError> {
    let mut b = TelemetryBatch::with_capacity(observed.len());
    for o in observed {
        b.push(&row(o))?;
    }
    Ok(b)
}
