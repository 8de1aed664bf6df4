//! Decisions on disk, one record per tick, durable when `commit` returns.

use std::path::{Path, PathBuf};

use foreshade_appliance_core::{Journal, JournalError, Record};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

/// tick -> the record as JSON.
const DECISIONS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("decisions");

/// A journal in one file.
#[derive(Debug)]
pub struct RedbJournal {
    path: PathBuf,
    db: Database,
}

impl RedbJournal {
    /// Opens the file, or makes it.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let db = Database::create(path).map_err(|e| failed(path, &e))?;
        Ok(Self { path: path.to_owned(), db })
    }

    /// All records, by tick.
    pub fn records(&self) -> Result<Vec<Record>, JournalError> {
        let read = || -> Result<Vec<Record>, Box<dyn std::error::Error>> {
            let txn = self.db.begin_read()?;
            let table = match txn.open_table(DECISIONS) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(vec![]),
                t => t?,
            };
            let mut out = Vec::new();
            for row in table.iter()? {
                out.push(serde_json::from_slice(row?.1.value())?);
            }
            Ok(out)
        };
        read().map_err(|e| failed(&self.path, e.as_ref()))
    }
}

impl Journal for RedbJournal {
    fn commit(&mut self, record: &Record) -> Result<(), JournalError> {
        let n = record.decisions.len();
        let _hop = tracing::info_span!("journal::commit", tick = record.tick.0, decisions = n).entered();
        let write = || -> Result<(), Box<dyn std::error::Error>> {
            let bytes = serde_json::to_vec(record)?;
            let txn = self.db.begin_write()?;
            txn.open_table(DECISIONS)?.insert(record.tick.0, bytes.as_slice())?;
            txn.commit()?;
            Ok(())
        };
        write().map_err(|e| failed(&self.path, e.as_ref()))
    }
}

fn failed(path: &Path, e: &dyn std::error::Error) -> JournalError {
    JournalError { place: path.display().to_string(), what: e.to_string() }
}

#[cfg(test)]
mod tests {
    use foreshade_types::Tick;

    use super::*;

    #[test]
    fn what_was_committed_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.redb");
        let record = |t| Record { tick: Tick(t), decisions: vec![] };
        let mut j = RedbJournal::open(&path).unwrap();
        assert_eq!(j.records().unwrap(), vec![]);
        j.commit(&record(3)).unwrap();
        j.commit(&record(4)).unwrap();
        drop(j);
        assert_eq!(RedbJournal::open(&path).unwrap().records().unwrap(), vec![record(3), record(4)]);
    }

    #[test]
    fn a_file_that_is_no_journal_is_an_error_in_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.redb");
        std::fs::write(&path, b"not a journal at all, but long enough to look at").unwrap();
        let e = RedbJournal::open(&path).unwrap_err().to_string();
        assert!(e.contains("journal.redb") && !e.contains('\n'), "{e}");
    }
}
