//! Decisions on disk, one record per tick, durable when `commit` returns.
//!
//! Records are chained: beside each stands the SHA-256 of the one before it and of its own bytes, from the header on. A record
//! that is changed, taken out or put in later breaks the chain there. Operators' orders stand in the same chain, each behind the
//! record it came after. Whoever may write the file could make a new chain from
//! there on; what they cannot keep is the last link, so who wants proof notes it elsewhere ([`RedbJournal::verify`] gives it).

use std::fmt;
use std::path::{Path, PathBuf};

use foreshade_appliance_core::{Header, Journal, JournalError, OrderRecord, Record};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// tick -> the record as JSON.
const DECISIONS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("decisions");
/// tick -> the link behind its record.
const CHAIN: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("chain");
/// "header" -> the header as JSON.
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const HEADER: &str = "header";
/// number, from 0 -> the order as JSON, with the tick of the record it came after.
const ORDERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("orders");
/// number -> the link behind its order.
const ORDER_CHAIN: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("order_chain");

/// One link of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link([u8; 32]);

impl Link {
    fn first(header: &[u8]) -> Self {
        Self(Sha256::digest(header).into())
    }

    fn next(self, tick: u64, record: &[u8]) -> Self {
        let hash = Sha256::new().chain_update(self.0).chain_update(tick.to_le_bytes());
        Self(hash.chain_update(record).finalize().into())
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// What became of a chain when it was walked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chain {
    /// Every record is as it was written.
    Whole {
        /// How many.
        records: u64,
        /// The last link.
        last: Link,
    },
    /// This is the first record that is not, or behind which one is missing.
    Broken {
        /// Its tick.
        tick: u64,
    },
}

/// A journal in one file.
#[derive(Debug)]
pub struct RedbJournal {
    path: PathBuf,
    db: Database,
    last: Link,
}

type Boxed = Box<dyn std::error::Error>;

impl RedbJournal {
    /// Makes a new file for what the header says.
    ///
    /// # Errors
    /// A file that is there; one that cannot be written.
    pub fn create(path: &Path, header: &Header) -> Result<Self, JournalError> {
        if path.exists() {
            let what = "there is a file already; a journal is not written over, name another".to_owned();
            return Err(JournalError { place: path.display().to_string(), what });
        }
        let write = || -> Result<Self, Boxed> {
            let db = Database::create(path)?;
            let bytes = serde_json::to_vec(header)?;
            let txn = db.begin_write()?;
            txn.open_table(META)?.insert(HEADER, bytes.as_slice())?;
            txn.commit()?;
            Ok(Self { path: path.to_owned(), db, last: Link::first(&bytes) })
        };
        write().map_err(|e| failed(path, e.as_ref()))
    }

    /// Opens a file, to read it or to go on.
    ///
    /// # Errors
    /// A file that is not there, or no journal.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let read = || -> Result<Self, Boxed> {
            let db = Database::open(path)?;
            let txn = db.begin_read()?;
            let meta = txn.open_table(META)?;
            let header = meta.get(HEADER)?.ok_or("it has no header, so it is no journal")?;
            let last = newest(&txn)?.unwrap_or_else(|| Link::first(header.value()));
            drop(header);
            drop((meta, txn));
            Ok(Self { path: path.to_owned(), db, last })
        };
        read().map_err(|e| failed(path, e.as_ref()))
    }

    /// What the journal is of.
    ///
    /// # Errors
    /// A damaged file.
    pub fn header(&self) -> Result<Header, JournalError> {
        self.read(|txn| {
            let meta = txn.open_table(META)?;
            let bytes = meta.get(HEADER)?.ok_or("it has no header")?;
            Ok(serde_json::from_slice(bytes.value())?)
        })
    }

    /// All records, by tick.
    ///
    /// # Errors
    /// A damaged file.
    pub fn records(&self) -> Result<Vec<Record>, JournalError> {
        self.read(|txn| {
            let mut out = Vec::new();
            if let Some(table) = there(txn.open_table(DECISIONS))? {
                for row in table.iter()? {
                    out.push(serde_json::from_slice(row?.1.value())?);
                }
            }
            Ok(out)
        })
    }

    /// Walks the chain.
    ///
    /// # Errors
    /// A damaged file; one that has no chain is broken at its first record.
    pub fn verify(&self) -> Result<Chain, JournalError> {
        self.read(|txn| {
            let meta = txn.open_table(META)?;
            let header = meta.get(HEADER)?.ok_or("it has no header")?;
            let (mut last, mut records) = (Link::first(header.value()), 0);
            let orders = orders(txn)?;
            let mut said = orders.iter().peekable();
            let (rows, links) = (there(txn.open_table(DECISIONS))?, there(txn.open_table(CHAIN))?);
            let order_links = there(txn.open_table(ORDER_CHAIN))?;
            // Orders stand behind the record that they came after.
            let mut walk = |last: &mut Link, before: Option<u64>| -> Result<bool, Boxed> {
                while let Some((n, bytes, _)) = said.next_if(|(_, _, o)| before.is_none() || o.after < before)
                {
                    *last = last.next(*n, bytes);
                    let noted = order_links.as_ref().map(|l| l.get(n)).transpose()?.flatten();
                    if noted.is_none_or(|l| l.value() != last.0) {
                        return Ok(false);
                    }
                }
                Ok(true)
            };
            let mut end = 0;
            if let Some(rows) = &rows {
                for row in rows.iter()? {
                    let (tick, bytes) = row?;
                    let tick = tick.value();
                    if !walk(&mut last, Some(tick))? {
                        return Ok(Chain::Broken { tick: end });
                    }
                    last = last.next(tick, bytes.value());
                    let noted = links.as_ref().map(|l| l.get(tick)).transpose()?.flatten();
                    if noted.is_none_or(|l| l.value() != last.0) {
                        return Ok(Chain::Broken { tick });
                    }
                    records += 1;
                    end = tick;
                }
            }
            if !walk(&mut last, None)? {
                return Ok(Chain::Broken { tick: end });
            }
            // A link without its record or order: the newest were taken away.
            let behind = links.map(|l| l.last().map(|x| x.map(|(t, _)| t.value()))).transpose()?.flatten();
            let behind_orders =
                order_links.map(|l| l.last().map(|x| x.map(|(n, _)| n.value()))).transpose()?.flatten();
            match behind {
                Some(tick) if records == 0 || tick != end => Ok(Chain::Broken { tick }),
                _ if behind_orders != orders.last().map(|o| o.0) => Ok(Chain::Broken { tick: end }),
                _ => Ok(Chain::Whole { records, last }),
            }
        })
    }

    /// All orders, in the order they were given.
    ///
    /// # Errors
    /// A damaged file.
    pub fn orders(&self) -> Result<Vec<OrderRecord>, JournalError> {
        self.read(|txn| Ok(orders(txn)?.into_iter().map(|(_, _, o)| o.order).collect()))
    }

    fn read<T>(&self, f: impl FnOnce(&redb::ReadTransaction) -> Result<T, Boxed>) -> Result<T, JournalError> {
        let read = || f(&self.db.begin_read()?);
        read().map_err(|e| failed(&self.path, e.as_ref()))
    }
}

/// An order as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Ordered {
    /// The tick of the newest record when it came.
    after: Option<u64>,
    order: OrderRecord,
}

/// All orders with their numbers and bytes.
fn orders(txn: &redb::ReadTransaction) -> Result<Vec<(u64, Vec<u8>, Ordered)>, Boxed> {
    let mut out = Vec::new();
    if let Some(table) = there(txn.open_table(ORDERS))? {
        for row in table.iter()? {
            let (n, bytes) = row?;
            let order = serde_json::from_slice(bytes.value())?;
            out.push((n.value(), bytes.value().to_vec(), order));
        }
    }
    Ok(out)
}

/// The last link: that of the newest order if it came after the newest record.
fn newest(txn: &redb::ReadTransaction) -> Result<Option<Link>, Boxed> {
    let chain = there(txn.open_table(CHAIN))?;
    let record = chain.map(|c| -> Result<_, Boxed> {
        let row = c.last()?;
        row.map(|(t, l)| -> Result<_, Boxed> { Ok((t.value(), Link(l.value().try_into()?))) }).transpose()
    });
    let record = record.transpose()?.flatten();
    let after = orders(txn)?.last().map(|o| (o.0, o.2.after));
    let Some((n, _)) = after.filter(|(_, after)| *after == record.map(|r| r.0)) else {
        return Ok(record.map(|r| r.1));
    };
    let links = there(txn.open_table(ORDER_CHAIN))?.ok_or("its orders have no chain")?;
    let link = links.get(n)?.ok_or("its newest order has no link")?;
    Ok(Some(Link(link.value().try_into()?)))
}

/// A table, or `None` where nothing was ever written to it.
fn there<T>(table: Result<T, redb::TableError>) -> Result<Option<T>, redb::TableError> {
    match table {
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        t => t.map(Some),
    }
}

impl Journal for RedbJournal {
    fn commit(&mut self, record: &Record) -> Result<(), JournalError> {
        let n = record.decisions.len();
        let _hop = tracing::info_span!("journal::commit", tick = record.tick.0, decisions = n).entered();
        let last = self.last;
        let write = || -> Result<Link, Boxed> {
            let bytes = serde_json::to_vec(record)?;
            let link = last.next(record.tick.0, &bytes);
            let txn = self.db.begin_write()?;
            txn.open_table(DECISIONS)?.insert(record.tick.0, bytes.as_slice())?;
            txn.open_table(CHAIN)?.insert(record.tick.0, link.0.as_slice())?;
            txn.commit()?;
            Ok(link)
        };
        self.last = write().map_err(|e| failed(&self.path, e.as_ref()))?;
        Ok(())
    }

    fn order(&mut self, order: &OrderRecord) -> Result<(), JournalError> {
        let last = self.last;
        let write = || -> Result<Link, Boxed> {
            let txn = self.db.begin_write()?;
            let link = {
                let mut table = txn.open_table(ORDERS)?;
                let after = txn.open_table(DECISIONS)?.last()?.map(|(t, _)| t.value());
                let n = table.last()?.map_or(0, |(n, _)| n.value() + 1);
                let bytes = serde_json::to_vec(&Ordered { after, order: order.clone() })?;
                let link = last.next(n, &bytes);
                table.insert(n, bytes.as_slice())?;
                txn.open_table(ORDER_CHAIN)?.insert(n, link.0.as_slice())?;
                link
            };
            txn.commit()?;
            Ok(link)
        };
        let link = write().map_err(|e| failed(&self.path, e.as_ref()))?;
        self.last = link;
        Ok(())
    }
}

fn failed(path: &Path, e: &dyn std::error::Error) -> JournalError {
    JournalError { place: path.display().to_string(), what: e.to_string() }
}

#[cfg(test)]
mod tests {
    use foreshade_types::Tick;

    use super::*;

    type Rows<'a> = redb::Table<'a, u64, &'static [u8]>;

    fn record(t: u64) -> Record {
        Record { tick: Tick(t), inputs: t, ..Record::default() }
    }

    /// A journal of these ticks.
    fn journal(path: &Path, ticks: &[u64]) -> RedbJournal {
        let mut j = RedbJournal::create(path, &Header::default()).unwrap();
        ticks.iter().for_each(|t| j.commit(&record(*t)).unwrap());
        j
    }

    #[test]
    fn what_was_committed_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.redb");
        let header = Header { vms: vec!["a".into()], cadence_s: 300, ..Header::default() };
        let mut j = RedbJournal::create(&path, &header).unwrap();
        assert_eq!((j.records().unwrap(), j.header().unwrap()), (vec![], header));
        j.commit(&record(3)).unwrap();
        drop(j);
        let mut j = RedbJournal::open(&path).unwrap();
        j.commit(&record(4)).unwrap();
        drop(j);
        let j = RedbJournal::open(&path).unwrap();
        assert_eq!(j.records().unwrap(), vec![record(3), record(4)]);
        assert!(matches!(j.verify().unwrap(), Chain::Whole { records: 2, .. }), "one chain over both runs");
        let again = RedbJournal::create(&path, &Header::default()).unwrap_err().to_string();
        assert!(again.contains("not written over"), "{again}");
    }

    #[test]
    fn what_is_changed_taken_out_or_put_in_later_breaks_the_chain() {
        let dir = tempfile::tempdir().unwrap();
        let mut n = 0;
        let mut broken = |meddle: &dyn Fn(&mut Rows<'_>)| {
            n += 1;
            let j = journal(&dir.path().join(format!("{n}.redb")), &[5, 6, 7]);
            let txn = j.db.begin_write().unwrap();
            meddle(&mut txn.open_table(DECISIONS).unwrap());
            txn.commit().unwrap();
            j.verify().unwrap()
        };
        let bytes = |t: u64| serde_json::to_vec(&record(t)).unwrap();
        let at = |tick| Chain::Broken { tick };
        assert!(matches!(broken(&|_| ()), Chain::Whole { records: 3, .. }));
        assert_eq!(broken(&|d| drop(d.insert(6, bytes(60).as_slice()).unwrap())), at(6), "changed");
        assert_eq!(broken(&|d| drop(d.remove(5).unwrap())), at(6), "the first taken out");
        assert_eq!(broken(&|d| drop(d.remove(7).unwrap())), at(7), "the last taken out");
        assert_eq!(broken(&|d| drop(d.insert(8, bytes(8).as_slice()).unwrap())), at(8), "put in");
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
