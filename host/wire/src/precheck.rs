//! The structure of a telemetry batch, checked before the Arrow reader sees a byte: that reader trusts offsets and
//! lengths of the metadata and panics, or allocates without bound, on bad ones.

use std::ops::Range;

use arrow_ipc::{MessageHeader, MetadataVersion, RecordBatch};

use crate::WireError;
use crate::telemetry::{COLUMN_BYTES, COLUMNS, MAX_BATCH_BYTES, MAX_ROWS};

/// The first four bytes of an encapsulated message.
pub(crate) const CONTINUATION: u32 = 0xFFFF_FFFF;

/// Continuation marker and metadata length.
pub(crate) const PREFIX_BYTES: usize = 8;

/// Most bytes of metadata. A batch of the pinned schema has under 1 KiB.
const MAX_METADATA_BYTES: usize = 64 << 10;

/// Buffers a column: validity and values.
const BUFFERS_PER_COLUMN: usize = 2;

/// Writers may count padding, up to a cache line, as part of a buffer.
const MAX_PADDING_BYTES: usize = 64;

/// Where metadata and body lie in the message.
pub(crate) struct Layout {
    pub(crate) metadata: Range<usize>,
    pub(crate) body: Range<usize>,
}

/// Checks one encapsulated RecordBatch message of the pinned schema.
pub(crate) fn check(ipc: &[u8]) -> Result<Layout, WireError> {
    let layout = split(ipc)?;
    let message = arrow_ipc::root_as_message(&ipc[layout.metadata.clone()])
        .map_err(|e| fail(format!("metadata is no Arrow message ({})", one_line(&e.to_string()))))?;
    if message.version() != MetadataVersion::V5 {
        return Err(fail("metadata version is not V5"));
    }
    if message.header_type() != MessageHeader::RecordBatch {
        return Err(fail("message is not a RecordBatch"));
    }
    let batch = message.header_as_record_batch().ok_or_else(|| fail("message has no RecordBatch"))?;
    if message.bodyLength() != layout.body.len() as i64 {
        let (said, have) = (message.bodyLength(), layout.body.len());
        return Err(fail(format!("body of {said} bytes announced, {have} there")));
    }
    if batch.compression().is_some() {
        return Err(fail("compressed body: send it uncompressed"));
    }
    if batch.variadicBufferCounts().is_some_and(|counts| !counts.is_empty()) {
        return Err(fail("variadic buffers"));
    }
    let rows = row_count(&batch)?;
    check_nodes(&batch, rows)?;
    check_buffers(&batch, rows, layout.body.len())?;
    Ok(layout)
}

fn split(ipc: &[u8]) -> Result<Layout, WireError> {
    let what = "telemetry batch";
    if ipc.len() > MAX_BATCH_BYTES {
        return Err(WireError::TooMany {
            what: "batch bytes",
            count: ipc.len() as u64,
            max: MAX_BATCH_BYTES,
        });
    }
    let Some((prefix, rest)) = ipc.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(WireError::Truncated { what, need: PREFIX_BYTES, have: ipc.len() });
    };
    let [a, b, c, d, e, f, g, h] = *prefix;
    if u32::from_le_bytes([a, b, c, d]) != CONTINUATION {
        return Err(fail("no continuation marker 0xFFFFFFFF at its start"));
    }
    let metadata_bytes = u32::from_le_bytes([e, f, g, h]) as usize;
    if metadata_bytes > MAX_METADATA_BYTES {
        return Err(WireError::TooMany {
            what: "metadata bytes",
            count: metadata_bytes as u64,
            max: MAX_METADATA_BYTES,
        });
    }
    if !metadata_bytes.is_multiple_of(8) {
        return Err(fail("metadata length is not a multiple of 8"));
    }
    if metadata_bytes > rest.len() {
        return Err(WireError::Truncated { what, need: PREFIX_BYTES + metadata_bytes, have: ipc.len() });
    }
    let body = PREFIX_BYTES + metadata_bytes;
    Ok(Layout { metadata: PREFIX_BYTES..body, body: body..ipc.len() })
}

fn row_count(batch: &RecordBatch<'_>) -> Result<usize, WireError> {
    let rows = batch.length();
    let checked = usize::try_from(rows).map_err(|_| fail(format!("{rows} rows")))?;
    if checked > MAX_ROWS {
        return Err(WireError::TooMany { what: "rows", count: checked as u64, max: MAX_ROWS });
    }
    Ok(checked)
}

fn check_nodes(batch: &RecordBatch<'_>, rows: usize) -> Result<(), WireError> {
    let nodes = batch.nodes().ok_or_else(|| fail("no columns"))?;
    if nodes.len() != COLUMNS {
        return Err(fail(format!("{} columns, {COLUMNS} in the schema", nodes.len())));
    }
    for (column, node) in nodes.iter().enumerate() {
        if node.length() != rows as i64 || node.null_count() != 0 {
            let (len, nulls) = (node.length(), node.null_count());
            return Err(fail(format!("column {column}: {len} values, {nulls} nulls; {rows} and 0 expected")));
        }
    }
    Ok(())
}

fn check_buffers(batch: &RecordBatch<'_>, rows: usize, body_bytes: usize) -> Result<(), WireError> {
    let buffers = batch.buffers().ok_or_else(|| fail("no buffers"))?;
    let want = COLUMNS * BUFFERS_PER_COLUMN;
    if buffers.len() != want {
        return Err(fail(format!("{} buffers, {want} expected", buffers.len())));
    }
    for (i, buffer) in buffers.iter().enumerate() {
        let range = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
        let inside = range.filter(|(at, len)| at.checked_add(*len).is_some_and(|end| end <= body_bytes));
        let Some((at, len)) = inside else {
            let (at, len) = (buffer.offset(), buffer.length());
            return Err(fail(format!("buffer {i} at {at} of {len} bytes, body has {body_bytes}")));
        };
        if !at.is_multiple_of(8) {
            return Err(fail(format!("buffer {i} at {at} is not aligned to 8 bytes")));
        }
        let is_validity = i % BUFFERS_PER_COLUMN == 0;
        let need = if is_validity { rows.div_ceil(8) } else { rows * COLUMN_BYTES };
        // Without nulls a writer may leave the validity bitmap out.
        let left_out = is_validity && len == 0;
        if len < need && !left_out {
            return Err(fail(format!("buffer {i} has {len} bytes, {need} needed for {rows} rows")));
        }
        // Wider values than the schema's would otherwise pass as numbers without meaning.
        if len > need.next_multiple_of(MAX_PADDING_BYTES) {
            return Err(fail(format!("buffer {i} has {len} bytes, {need} expected for {rows} rows")));
        }
    }
    Ok(())
}

fn fail(text: impl Into<String>) -> WireError {
    WireError::Layout(text.into())
}

/// The verifier's report spans lines; an error of ours does not.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
