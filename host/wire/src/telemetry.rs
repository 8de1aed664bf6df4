//! Telemetry of one host at one tick: an Arrow IPC RecordBatch message of a pinned schema.
//!
//! All columns have a fixed width and no nulls: a missing value is the one quiet NaN [`MISSING_BITS`]. Any other
//! non-finite or negative value rejects its row, with the reason, and no other row.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use arrow_array::{Array, ArrayRef, Float32Array, RecordBatch, UInt32Array};
use arrow_buffer::{Buffer, ScalarBuffer};
use arrow_ipc::MetadataVersion;
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use bytes::{BufMut, Bytes, BytesMut};
use foreshade_types::{Tick, VmId};

use crate::{WireError, precheck};

/// Most rows of one batch.
pub const MAX_ROWS: usize = 65_536;

/// Most bytes of an encoded batch: 4 MiB less room for the frame around it.
pub const MAX_BATCH_BYTES: usize = crate::MAX_FRAME_BYTES - 64;

/// The bits of a missing value: the quiet NaN.
pub const MISSING_BITS: u32 = 0x7FC0_0000;

/// A missing value.
pub const MISSING: f32 = f32::from_bits(MISSING_BITS);

/// Measured columns, `f32` each, after `vm` and `flags`.
pub const VALUE_COLUMNS: usize = 11;

/// Width of every column in bytes.
pub(crate) const COLUMN_BYTES: usize = 4;

/// Columns in all.
pub(crate) const COLUMNS: usize = VALUE_COLUMNS + 2;

/// A measured column; its position among the `f32` columns is `as usize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Column {
    /// CPU granted, millicores.
    CpuUsedMc = 0,
    /// CPU wanted and not granted, millicores.
    CpuThrottledMc = 1,
    /// Memory granted, MiB.
    MemUsedMib = 2,
    /// Memory wanted and not granted, MiB.
    MemThrottledMib = 3,
    /// Disk reads, KB/s.
    DiskReadKbs = 4,
    /// Disk writes, KB/s.
    DiskWriteKbs = 5,
    /// Received, KB/s.
    NetRxKbs = 6,
    /// Sent, KB/s.
    NetTxKbs = 7,
    /// CPU allocated, millicores.
    AllocCpuMc = 8,
    /// Memory allocated, MiB.
    AllocMemMib = 9,
    /// Memory dirtied, MiB/s.
    DirtyMibS = 10,
}

impl Column {
    /// All, in order.
    pub const ALL: [Self; VALUE_COLUMNS] = [
        Self::CpuUsedMc,
        Self::CpuThrottledMc,
        Self::MemUsedMib,
        Self::MemThrottledMib,
        Self::DiskReadKbs,
        Self::DiskWriteKbs,
        Self::NetRxKbs,
        Self::NetTxKbs,
        Self::AllocCpuMc,
        Self::AllocMemMib,
        Self::DirtyMibS,
    ];

    /// The name in the schema.
    pub fn name(self) -> &'static str {
        match self {
            Self::CpuUsedMc => "cpu_used_mc",
            Self::CpuThrottledMc => "cpu_throttled_mc",
            Self::MemUsedMib => "mem_used_mib",
            Self::MemThrottledMib => "mem_throttled_mib",
            Self::DiskReadKbs => "disk_read_kbs",
            Self::DiskWriteKbs => "disk_write_kbs",
            Self::NetRxKbs => "net_rx_kbs",
            Self::NetTxKbs => "net_tx_kbs",
            Self::AllocCpuMc => "alloc_cpu_mc",
            Self::AllocMemMib => "alloc_mem_mib",
            Self::DirtyMibS => "dirty_mib_s",
        }
    }
}

/// State bits of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u32);

impl Flags {
    /// A shadow is being made: requested or booting.
    pub const SHADOW_PROVISIONING: Self = Self(1);
    /// A shadow is ready.
    pub const SHADOW_READY: Self = Self(1 << 1);
    /// The shadow serves part of the load.
    pub const TRAFFIC_SHIFTED: Self = Self(1 << 2);
    /// A live migration is under way.
    pub const MIGRATING: Self = Self(1 << 3);
    /// The shadow copies its primary's state.
    pub const SHADOW_SYNCING: Self = Self(1 << 4);
    /// The shadow's warm-up task runs before it is ready.
    pub const SHADOW_WARM: Self = Self(1 << 5);
    /// The shadow's last requests end.
    pub const SHADOW_DRAINING: Self = Self(1 << 6);
    /// The shadow's CPUs are stopped.
    pub const SHADOW_SUSPENDED: Self = Self(1 << 7);
    /// The shadow failed.
    pub const SHADOW_FAILED: Self = Self(1 << 8);
    /// The shadow's copy lags.
    pub const SYNC_BEHIND: Self = Self(1 << 9);
    /// The shadow's copy differs from its primary.
    pub const SYNC_CORRUPT: Self = Self(1 << 10);
    /// The VM itself is suspended or terminated.
    pub const STOPPED: Self = Self(1 << 11);
    /// All bits with a meaning.
    pub const KNOWN: Self = Self(0xfff);

    /// Are all bits of `other` set?
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With the bits of `other` set, if `on`.
    pub fn with(self, other: Self, on: bool) -> Self {
        if on { Self(self.0 | other.0) } else { self }
    }
}

/// One VM's samples at one tick. The default is all missing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// The VM.
    pub vm: VmId,
    /// Its state.
    pub flags: Flags,
    /// By [`Column`]; [`MISSING`] where not measured.
    pub values: [f32; VALUE_COLUMNS],
}

impl Row {
    /// A row without any measured value.
    pub fn new(vm: VmId, flags: Flags) -> Self {
        Self { vm, flags, values: [MISSING; VALUE_COLUMNS] }
    }

    /// With one value set.
    pub fn with(mut self, column: Column, value: f32) -> Self {
        self.values[column as usize] = value;
        self
    }
}

/// The schema of every batch.
pub fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let ints = ["vm", "flags"].map(|name| Field::new(name, DataType::UInt32, false));
        let floats = Column::ALL.map(|c| Field::new(c.name(), DataType::Float32, false));
        Arc::new(Schema::new(ints.into_iter().chain(floats).collect::<Vec<_>>()))
    });
    Arc::clone(&SCHEMA)
}

/// The Arrow schema message of HELLO, byte for byte; a client in any language sends these bytes as they are.
pub fn schema_bytes() -> &'static [u8] {
    include_bytes!("../schema/telemetry-v1.bin")
}

/// Checks a peer's schema message against the pinned one.
///
/// # Errors
/// Any difference.
pub fn check_schema(theirs: &[u8]) -> Result<(), WireError> {
    if theirs == schema_bytes() {
        Ok(())
    } else {
        Err(WireError::Schema { got: theirs.len(), want: schema_bytes().len() })
    }
}

/// Rows of one host at one tick, being collected.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TelemetryBatch {
    vm: Vec<u32>,
    flags: Vec<u32>,
    values: [Vec<f32>; VALUE_COLUMNS],
}

impl TelemetryBatch {
    /// An empty batch with room for `rows`.
    pub fn with_capacity(rows: usize) -> Self {
        Self {
            vm: Vec::with_capacity(rows),
            flags: Vec::with_capacity(rows),
            values: std::array::from_fn(|_| Vec::with_capacity(rows)),
        }
    }

    /// Adds a row; VM ids must ascend. Values are sent as they are: the appliance judges them.
    ///
    /// # Errors
    /// An id not above the last one, or more than [`MAX_ROWS`] rows.
    pub fn push(&mut self, row: &Row) -> Result<(), WireError> {
        if let Some(&before) = self.vm.last()
            && row.vm.0 <= before
        {
            return Err(WireError::Order { row: self.vm.len(), vm: row.vm.0, before });
        }
        if self.vm.len() == MAX_ROWS {
            return Err(WireError::TooMany { what: "rows", count: MAX_ROWS as u64 + 1, max: MAX_ROWS });
        }
        self.vm.push(row.vm.0);
        self.flags.push(row.flags.0);
        for (column, value) in self.values.iter_mut().zip(row.values) {
            column.push(value);
        }
        Ok(())
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.vm.len()
    }

    /// As one encapsulated Arrow IPC RecordBatch message, uncompressed: 54 bytes a row.
    ///
    /// # Errors
    /// Only if the Arrow writer fails, which it does not for these columns.
    pub fn encode(self) -> Result<Bytes, WireError> {
        let ints = [self.vm, self.flags].map(|c| Arc::new(UInt32Array::from(c)) as ArrayRef);
        let floats = self.values.map(|c| Arc::new(Float32Array::from(c)) as ArrayRef);
        let columns = ints.into_iter().chain(floats).collect();
        let batch = RecordBatch::try_new(schema(), columns).map_err(arrow)?;
        let options = IpcWriteOptions::try_new(ALIGNMENT_BYTES, false, MetadataVersion::V5).map_err(arrow)?;
        let mut dictionaries = DictionaryTracker::new(false);
        let mut context = IpcWriteContext::default();
        let (_, data) = IpcDataGenerator::default()
            .encode(&batch, &mut dictionaries, &options, &mut context)
            .map_err(arrow)?;
        Ok(encapsulate(&data.ipc_message, &data.arrow_data))
    }
}

/// Alignment of metadata and body: what the format demands at least; SIMD loads do not need more here.
const ALIGNMENT_BYTES: usize = 8;

/// `[0xFFFFFFFF][i32 metadata length][metadata, padded to 8][body]`, as the Arrow format defines it.
fn encapsulate(metadata: &[u8], body: &[u8]) -> Bytes {
    let padded = metadata.len().next_multiple_of(ALIGNMENT_BYTES);
    let mut out = BytesMut::with_capacity(precheck::PREFIX_BYTES + padded + body.len());
    out.put_u32_le(precheck::CONTINUATION);
    out.put_u32_le(padded as u32);
    out.put_slice(metadata);
    out.put_bytes(0, padded - metadata.len());
    out.put_slice(body);
    out.freeze()
}

/// A row that was not accepted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RejectedRow {
    /// Its index in the batch.
    pub row: usize,
    /// The VM it was for.
    pub vm: VmId,
    /// What was wrong.
    pub why: RowError,
}

/// Why a row was rejected; the first offending column counts.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum RowError {
    /// A NaN other than the missing value, or an infinity.
    #[error("{column} is not finite (bits {bits:#010x})", column = column.name())]
    NotFinite {
        /// Where.
        column: Column,
        /// The bits sent.
        bits: u32,
    },
    /// Below zero.
    #[error("{column} is negative ({value})", column = column.name())]
    Negative {
        /// Where.
        column: Column,
        /// The value sent.
        value: f32,
    },
    /// Flag bits without a meaning.
    #[error("flags {flags:#x} has unknown bits")]
    UnknownFlags {
        /// The flags sent.
        flags: u32,
    },
}

/// A checked batch; the columns are views of the received bytes.
#[derive(Debug, Clone)]
pub struct TelemetryView {
    vm: ScalarBuffer<u32>,
    flags: ScalarBuffer<u32>,
    values: [ScalarBuffer<f32>; VALUE_COLUMNS],
    rejected: Vec<RejectedRow>,
}

impl TelemetryView {
    /// Checks and borrows a batch. Copies nothing if the body lies on a 4-byte boundary.
    ///
    /// # Errors
    /// Bytes that are not one uncompressed RecordBatch message of the pinned schema within the caps, or VM ids that do
    /// not ascend strictly. A bad value in a row is no error: see [`Self::rejected`].
    pub fn decode(ipc: Bytes) -> Result<Self, WireError> {
        let layout = precheck::check(&ipc)?;
        // The check is meant to make this infallible; if arrow-rs still panics on some input, only the batch is lost.
        let batch = catch_unwind(AssertUnwindSafe(|| read(&ipc, &layout)))
            .map_err(|_| WireError::Layout("the Arrow reader panicked".into()))??;
        let mut columns = batch.columns().iter();
        let mut next = || columns.next().ok_or_else(|| WireError::Layout("a column is missing".into()));
        let (vm, flags) = (ints(next()?)?, ints(next()?)?);
        let mut values: [ScalarBuffer<f32>; VALUE_COLUMNS] = Default::default();
        for slot in &mut values {
            *slot = floats(next()?)?;
        }
        check_order(&vm)?;
        let rejected = judge(&vm, &flags, &values);
        Ok(Self { vm, flags, values, rejected })
    }

    /// [`Self::decode`] as hop 2 of a sample's way: in the span `wire::decode` with the tick.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn decode_tick(tick: Tick, ipc: Bytes) -> Result<Self, WireError> {
        tracing::info_span!("wire::decode", tick = tick.0).in_scope(|| Self::decode(ipc))
    }

    /// Rows, rejected ones included.
    pub fn rows(&self) -> usize {
        self.vm.len()
    }

    /// VM ids, strictly ascending.
    pub fn vm(&self) -> &[u32] {
        &self.vm
    }

    /// State bits, see [`Flags`].
    pub fn flags(&self) -> &[u32] {
        &self.flags
    }

    /// One measured column; missing = [`MISSING_BITS`].
    pub fn column(&self, column: Column) -> &[f32] {
        &self.values[column as usize]
    }

    /// Rows to leave out, ascending.
    pub fn rejected(&self) -> &[RejectedRow] {
        &self.rejected
    }

    /// Indices of the rows to use, ascending.
    pub fn accepted(&self) -> impl Iterator<Item = usize> + '_ {
        let mut rejected = self.rejected.iter().map(|r| r.row).peekable();
        (0..self.rows()).filter(move |row| rejected.next_if_eq(row).is_none())
    }

    /// One row, by index.
    pub fn row(&self, row: usize) -> Option<Row> {
        let (vm, flags) = (*self.vm.get(row)?, *self.flags.get(row)?);
        let values = std::array::from_fn(|c| self.values[c].get(row).copied().unwrap_or(MISSING));
        Some(Row { vm: VmId(vm), flags: Flags(flags), values })
    }
}

fn read(ipc: &Bytes, layout: &precheck::Layout) -> Result<RecordBatch, WireError> {
    let message = arrow_ipc::root_as_message(&ipc[layout.metadata.clone()])
        .map_err(|e| WireError::Layout(e.to_string()))?;
    let head = message.header_as_record_batch().ok_or_else(|| WireError::Layout("no batch".into()))?;
    let body = Buffer::from(ipc.slice(layout.body.clone()));
    arrow_ipc::reader::read_record_batch(&body, head, schema(), &HashMap::new(), None, &MetadataVersion::V5)
        .map_err(arrow)
}

fn ints(column: &ArrayRef) -> Result<ScalarBuffer<u32>, WireError> {
    let array = column.as_any().downcast_ref::<UInt32Array>();
    array.map(|a| a.values().clone()).ok_or_else(|| WireError::Layout("a column is not u32".into()))
}

fn floats(column: &ArrayRef) -> Result<ScalarBuffer<f32>, WireError> {
    let array = column.as_any().downcast_ref::<Float32Array>();
    array.map(|a| a.values().clone()).ok_or_else(|| WireError::Layout("a column is not f32".into()))
}

fn check_order(vm: &[u32]) -> Result<(), WireError> {
    match vm.array_windows().position(|[a, b]| b <= a) {
        None => Ok(()),
        Some(i) => Err(WireError::Order { row: i + 1, vm: vm[i + 1], before: vm[i] }),
    }
}

/// The rejected rows, ascending, each with the first reason in column order (flags last).
fn judge(vm: &[u32], flags: &[u32], values: &[ScalarBuffer<f32>; VALUE_COLUMNS]) -> Vec<RejectedRow> {
    let bad = |row: usize| {
        let in_column = |c: Column| judge_value(c, values[c as usize][row]);
        let unknown = flags[row] & !Flags::KNOWN.0 != 0;
        let in_flags = || unknown.then_some(RowError::UnknownFlags { flags: flags[row] });
        Column::ALL.into_iter().find_map(in_column).or_else(in_flags)
    };
    let rows = vm.iter().enumerate();
    rows.filter_map(|(row, &vm)| bad(row).map(|why| RejectedRow { row, vm: VmId(vm), why })).collect()
}

fn judge_value(column: Column, value: f32) -> Option<RowError> {
    let bits = value.to_bits();
    if bits == MISSING_BITS {
        None
    } else if !value.is_finite() {
        Some(RowError::NotFinite { column, bits })
    } else if value < 0.0 {
        Some(RowError::Negative { column, value })
    } else {
        None
    }
}

fn arrow(e: ArrowError) -> WireError {
    WireError::Layout(e.to_string())
}
