//! The journal: what was decided is durable before it is sent.

use foreshade_types::{Decision, Tick};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// All decisions of one tick, in the order they are sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The tick.
    pub tick: Tick,
    /// The decisions.
    pub decisions: Vec<Decision>,
}

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
}

/// A journal that lasts as long as the process: for backtests, where nothing is sent.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    /// What was committed.
    pub records: Vec<Record>,
}

impl Journal for MemoryJournal {
    fn commit(&mut self, record: &Record) -> Result<(), JournalError> {
        self.records.push(record.clone());
        Ok(())
    }
}
