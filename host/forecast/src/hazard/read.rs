//! Recorded outages and drive samples from Parquet, in the layouts of three public sets: LANL node failures
//! (LA-UR-05-7318), Grid'5000 availability (Failure Trace Archive) and Backblaze drive days.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Int16Type, Int32Type, Int64Type, TimestampMillisecondType, UInt8Type,
    UInt32Type,
};
use arrow_array::{Array, PrimitiveArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use thiserror::Error;

use super::DAY_S;
use super::drive::{ATTRIBUTES, Sample};
use super::replay::Record;
use super::watch::Place;

/// Nodes with neighbouring numbers that are taken for one rack: the source does not say how they stand.
const LANL_RACK_NODES: i32 = 32;

/// More nodes than any system has.
const NODES_MAX: i32 = 10_000;

/// Why there are no records.
#[derive(Debug, Error)]
#[error("{path}: {why}; give the file that the set's README describes")]
pub struct ReadError {
    path: String,
    why: String,
}

/// A recorded drive on one day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DriveDay {
    /// Number of the drive.
    pub drive: u32,
    /// Midnight UTC of the day.
    pub at_s: i64,
    /// SMART raw values.
    pub sample: Sample,
    /// Seconds from then to midnight of the day it failed, if it is known to have.
    pub fails_in_s: Option<i64>,
}

struct Source<'a> {
    path: &'a Path,
}

impl Source<'_> {
    fn wrong(&self, why: impl ToString) -> ReadError {
        ReadError { path: self.path.display().to_string(), why: why.to_string() }
    }

    fn batches(&self) -> Result<Vec<RecordBatch>, ReadError> {
        let file = File::open(self.path).map_err(|e| self.wrong(e))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|b| b.build());
        reader.map_err(|e| self.wrong(e))?.collect::<Result<_, _>>().map_err(|e| self.wrong(e))
    }

    fn column<'b, T: ArrowPrimitiveType>(
        &self,
        batch: &'b RecordBatch,
        name: &str,
    ) -> Result<&'b PrimitiveArray<T>, ReadError> {
        let column = batch.column_by_name(name).and_then(|c| c.as_primitive_opt::<T>());
        column.ok_or_else(|| self.wrong(format!("column {name} is missing or not of type {}", T::DATA_TYPE)))
    }
}

fn seconds(column: &PrimitiveArray<TimestampMillisecondType>, row: usize) -> i64 {
    column.value(row).div_euclid(1000)
}

/// Outages sorted, those that touch or overlap joined.
fn joined(mut outages_s: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    outages_s.sort_unstable();
    let mut all: Vec<(i64, i64)> = Vec::with_capacity(outages_s.len());
    for (start, end) in outages_s {
        match all.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => all.push((start, end.max(start))),
        }
    }
    all
}

/// Every node of every LANL system, also those that never failed: 0 to `nodes_in_system`. A system is a site and is
/// watched from its first failure to its last; rows without a node are left out. Names are `system/node`.
///
/// # Errors
/// If the file is not of that layout.
pub fn lanl(path: &Path) -> Result<Vec<Record>, ReadError> {
    let source = Source { path };
    let mut systems: BTreeMap<i16, BTreeMap<i32, Vec<(i64, i64)>>> = BTreeMap::new();
    for batch in source.batches()? {
        let system = source.column::<Int16Type>(&batch, "system")?;
        let node = source.column::<Int32Type>(&batch, "node")?;
        let nodes = source.column::<Int32Type>(&batch, "nodes_in_system")?;
        let start = source.column::<TimestampMillisecondType>(&batch, "start")?;
        let end = source.column::<TimestampMillisecondType>(&batch, "end")?;
        for row in (0..batch.num_rows()).filter(|r| node.is_valid(*r) && nodes.is_valid(*r)) {
            let hosts = systems.entry(system.value(row)).or_default();
            for n in 0..nodes.value(row).clamp(0, NODES_MAX) {
                hosts.entry(n).or_default();
            }
            // A number beyond the system is a slip of the pen: no such node.
            if let Some(outages) = hosts.get_mut(&node.value(row)) {
                outages.push((seconds(start, row), seconds(end, row)));
            }
        }
    }
    let mut records = Vec::new();
    let mut rack = 0;
    for (site, (system, hosts)) in systems.into_iter().enumerate() {
        let starts = || hosts.values().flatten().map(|o| o.0);
        let (Some(first), Some(last)) = (starts().min(), starts().max()) else { continue };
        let racks = hosts.keys().max().map_or(0, |m| m / LANL_RACK_NODES + 1) as usize;
        for (node, outages) in hosts {
            records.push(Record {
                name: format!("{system}/{node}"),
                place: Place { rack: rack + (node / LANL_RACK_NODES) as usize, site },
                watched_s: (first, last),
                outages_s: joined(outages),
                aside: false,
            });
        }
        rack += racks;
    }
    Ok(records)
}

/// Every node of Grid'5000: a cluster is a rack, a site a site. Being unavailable is an outage, however short. Names
/// are `grid/site/cluster/node`.
///
/// # Errors
/// If the file is not of that layout.
pub fn grid5000(path: &Path) -> Result<Vec<Record>, ReadError> {
    let source = Source { path };
    let mut hosts: BTreeMap<String, Vec<(i64, i64, bool)>> = BTreeMap::new();
    for batch in source.batches()? {
        let names = batch.column_by_name("node").and_then(|c| c.as_dictionary_opt::<Int32Type>());
        let names =
            names.ok_or_else(|| source.wrong("column node is missing or no dictionary of strings"))?;
        let texts = names.values().as_string_opt::<i32>();
        let texts = texts.ok_or_else(|| source.wrong("column node is no dictionary of strings"))?;
        let state = source.column::<UInt8Type>(&batch, "state")?;
        let start = source.column::<TimestampMillisecondType>(&batch, "start")?;
        let end = source.column::<TimestampMillisecondType>(&batch, "end")?;
        for row in 0..batch.num_rows() {
            let Some(key) = names.key(row) else { continue };
            let span = (seconds(start, row), seconds(end, row), state.value(row) == 0);
            hosts.entry(texts.value(key).to_owned()).or_default().push(span);
        }
    }
    let mut racks: BTreeMap<String, usize> = BTreeMap::new();
    let mut sites: BTreeMap<String, usize> = BTreeMap::new();
    let index = |of: &mut BTreeMap<String, usize>, key: &str| {
        let next = of.len();
        *of.entry(key.to_owned()).or_insert(next)
    };
    let mut records = Vec::new();
    for (name, mut spans) in hosts {
        spans.sort_unstable();
        let rack = name.rsplit_once('/').map_or("", |r| r.0);
        let site = rack.rsplit_once('/').map_or("", |s| s.0);
        let place = Place { rack: index(&mut racks, rack), site: index(&mut sites, site) };
        // A node that is first seen down has not failed while watched.
        let Some(first) = spans.iter().find(|s| !s.2).map(|s| s.0) else { continue };
        let last = spans.iter().map(|s| s.1).max().unwrap_or(first);
        let outages = spans.iter().filter(|s| s.2 && s.0 > first).map(|s| (s.0, s.1)).collect();
        records.push(Record {
            name,
            place,
            watched_s: (first, last),
            outages_s: joined(outages),
            aside: false,
        });
    }
    Ok(records)
}

/// Every drive and day, in order of drive and time.
///
/// # Errors
/// If the file is not of that layout.
pub fn backblaze(path: &Path) -> Result<Vec<DriveDay>, ReadError> {
    let source = Source { path };
    let mut days = Vec::new();
    for batch in source.batches()? {
        let drive = source.column::<UInt32Type>(&batch, "drive")?;
        let date = source.column::<Date32Type>(&batch, "date")?;
        let to_failure = source.column::<Int16Type>(&batch, "days_to_failure")?;
        // Attributes that a file does not have were not reported.
        let values = ATTRIBUTES.map(|a| source.column::<Int64Type>(&batch, &format!("smart_{a}_raw")).ok());
        for row in 0..batch.num_rows() {
            let of = |c: Option<&PrimitiveArray<Int64Type>>| {
                c.filter(|c| c.is_valid(row)).map_or(f64::NAN, |c| c.value(row) as f64)
            };
            days.push(DriveDay {
                drive: drive.value(row),
                at_s: i64::from(date.value(row)) * DAY_S,
                sample: values.map(of),
                fails_in_s: to_failure.is_valid(row).then(|| i64::from(to_failure.value(row)) * DAY_S),
            });
        }
    }
    days.sort_by_key(|d| (d.drive, d.at_s));
    Ok(days)
}
