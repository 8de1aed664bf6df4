//! The journal: what was decided is durable before it is sent.

use foreshade_types::{Decision, HoldReason, Outcome, RackId, Tick, VmId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::OrderRecord;

/// What was decided at one tick, and on what.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Record {
    /// The tick.
    pub tick: Tick,
    /// A number that follows from every sample up to here: the same telemetry gives the same, another another.
    #[serde(default)]
    pub inputs: u64,
    /// The decisions, in the order they are sent.
    pub decisions: Vec<Decision>,
    /// VMs that are left alone for another reason than the last time, and those that are left alone again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<(VmId, HoldReason)>,
    /// What became of the decisions of the tick before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<(RackId, Outcome)>,
}

/// What a journal is of: what the numbers in its records stand for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Header {
    /// Version of the program.
    pub version: String,
    /// The forecast model, as its card names it; empty without one.
    pub model: String,
    /// Seconds between ticks.
    pub cadence_s: u32,
    /// The first tick that decisions are taken at.
    pub first_decision: Tick,
    /// The policy, as JSON.
    pub policy: String,
    /// Names of the VMs by id.
    pub vms: Vec<String>,
}

/// A running number over samples: FNV-1a, 64 bits, over their bits.
pub(crate) fn fold(hash: u64, samples: &[f32]) -> u64 {
    samples.iter().fold(hash, |h, x| (h ^ u64::from(x.to_bits())).wrapping_mul(0x0100_0000_01b3))
}

/// What [`fold`] begins with.
pub(crate) const FOLD: u64 = 0xcbf2_9ce4_8422_2325;

/// A commit that did not happen. Nothing of that tick may be sent.
#[derive(Debug, Error)]
#[error("journal {place}: {what}; free space or fix the permissions, then start again")]
pub struct JournalError {
    /// Where the journal is.
    pub place: String,
    /// What failed.
    pub what: String,
}

/// Where decisions are kept.
pub trait Journal {
    /// Returns when the record is durable.
    fn commit(&mut self, record: &Record) -> Result<(), JournalError>;

    /// Returns when the order is durable.
    fn order(&mut self, order: &OrderRecord) -> Result<(), JournalError>;
}

/// A journal that lasts as long as the process: for backtests, where nothing is sent.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    /// What was committed.
    pub records: Vec<Record>,
    /// What was ordered.
    pub orders: Vec<OrderRecord>,
}

impl Journal for MemoryJournal {
    fn commit(&mut self, record: &Record) -> Result<(), JournalError> {
        self.records.push(record.clone());
        Ok(())
    }
    fn order(&mut self, order: &OrderRecord) -> Result<(), JournalError> {
        self.orders.push(order.clone());
        Ok(())
    }
}
