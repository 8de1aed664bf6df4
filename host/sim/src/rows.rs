//! What an agent would measure on a simulated host, as wire rows.

use foreshade_enact::{Observed, ShadowStatus};
use foreshade_wire::{Column, Flags, Row, TelemetryBatch, WireError};

/// One VM's row. A VM without a sample keeps its state and allocation; its measurements are missing.
pub fn row(o: &Observed) -> Row {
    let flags = Flags::default()
        .with(Flags::SHADOW_PROVISIONING, o.shadow == ShadowStatus::Provisioning)
        .with(Flags::SHADOW_READY, matches!(o.shadow, ShadowStatus::Ready | ShadowStatus::Active))
        .with(Flags::TRAFFIC_SHIFTED, o.shadow == ShadowStatus::Active)
        .with(Flags::MIGRATING, o.migrating);
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
