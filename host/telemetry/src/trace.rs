//! Recorded usage of a fleet, read from Parquet in long form (one row per VM and sample).
//!
//! | column | type | meaning |
//! |---|---|---|
//! | `series`, else `vm` | string, dictionary or integer | whose sample it is |
//! | `ts`, else `slot` | timestamp of any unit, or integer | when: `slot` counts [`SLOT_S`] s steps from 1970-01-01 UTC |
//! | every other number, but `state` | float or integer | a value; null or NaN = missing |
//!
//! Rows may come in any order. The cadence is the most frequent distance between neighbouring samples of a series, and
//! every sample must lie on that grid, counted from its series' first row. What does not fit is an error that names
//! the row: a trace that is silently half read gives forecasts that are silently wrong.

mod exclude;
mod read;
mod sizes;

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use foreshade_types::{Resource, Transform, VmSize};
use thiserror::Error;

pub use self::exclude::Stretch;

/// Seconds of one `slot`.
pub const SLOT_S: u32 = 300;

/// A trace may hold at most this many cells (VMs x columns x samples, gaps included): 200 MB of values.
pub const CELLS_MAX: u64 = 50_000_000;

/// The file of VM sizes that belongs to a trace lies beside it under this name.
pub const SIZES_FILE: &str = "vms.parquet";

/// Why a trace cannot be used.
#[derive(Debug, Error)]
pub enum TraceError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}; check the path and its permissions", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Which file the error is about.
    #[error("{}: {inner}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        inner: Box<TraceError>,
    },
    /// The bytes are not a whole Parquet file.
    #[error("not a readable Parquet file ({0}); write it again, or copy it again if it was cut short")]
    Parquet(String),
    /// A column is missing or has a type that cannot be used.
    #[error("{0}")]
    Column(String),
    /// A row contradicts the others.
    #[error("{0}")]
    Row(String),
    /// There is nothing, or too much, to read.
    #[error("{0}")]
    Extent(String),
}

/// One value column of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name in the file.
    pub name: String,
    /// What it measures, if the name says so.
    pub resource: Option<Resource>,
    /// The scale it is forecast on.
    pub transform: Transform,
}

impl Column {
    /// Reads the meaning from the name. Unknown names: `*_pct` is a percentage, anything else a rate or an amount.
    pub fn named(name: &str) -> Self {
        let resource = match name {
            "cpu_pct" => Some(Resource::Cpu),
            "mem_pct" | "mem_kb" => Some(Resource::Memory),
            "disk_r_kbs" => Some(Resource::DiskRead),
            "disk_w_kbs" => Some(Resource::DiskWrite),
            "net_rx_kbs" => Some(Resource::NetRx),
            "net_tx_kbs" => Some(Resource::NetTx),
            _ => None,
        };
        let transform = if name.ends_with("_pct") { Transform::Points } else { Transform::Log };
        Self { name: name.to_owned(), resource, transform }
    }
}

/// Maps a column's unit to points and back, for one VM.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// The file's unit per unit of the transform: 1, or KiB per percent of the VM's memory.
    pub unit: f64,
    /// The scale of the forecast.
    pub transform: Transform,
}

impl Scale {
    /// Unit -> points; NaN stays NaN.
    pub fn to_points(self, x: f32) -> f32 {
        self.transform.to_points((f64::from(x) / self.unit) as f32)
    }

    /// Points -> unit.
    pub fn from_points(self, p: f32) -> f32 {
        (f64::from(self.transform.from_points(p)) * self.unit) as f32
    }
}

/// One VM (or any other series) of a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceVm {
    /// Its name in the file.
    pub name: String,
    /// Time of `values[..][0]`, milliseconds since 1970-01-01 UTC.
    pub start_ms: i64,
    /// Its size, where [`SIZES_FILE`] gives it.
    pub size: Option<VmSize>,
    /// `[column][sample]` in the file's unit, NaN = missing; all columns have one length, at least 1.
    pub values: Vec<Vec<f32>>,
}

impl TraceVm {
    /// Samples, gaps included.
    pub fn len(&self) -> usize {
        self.values.first().map_or(0, Vec::len)
    }

    /// Never true for a VM of a [`Trace`].
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A trace in memory. VMs are in a fixed order: by number if every name is one, else by the bytes of the name.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Seconds from one sample to the next, at least 1.
    pub cadence_s: u32,
    /// The value columns, in the file's order; at least one.
    pub columns: Vec<Column>,
    /// The VMs; at least one.
    pub vms: Vec<TraceVm>,
}

impl Trace {
    /// Reads a trace and, where [`SIZES_FILE`] lies beside it, the sizes of its VMs.
    pub fn read(path: &Path) -> Result<Self, TraceError> {
        let load = |p: &Path| {
            let bytes = fs::read(p).map_err(|source| TraceError::Io { path: p.to_owned(), source })?;
            Ok::<_, TraceError>(Bytes::from(bytes))
        };
        let at = |p: &Path| {
            let path = p.to_owned();
            move |e| TraceError::File { path, inner: Box::new(e) }
        };
        let mut trace = read::trace(load(path)?).map_err(at(path))?;
        let beside = path.with_file_name(SIZES_FILE);
        if beside != path && beside.is_file() {
            sizes::apply(&mut trace, load(&beside)?).map_err(at(&beside))?;
        }
        Ok(trace)
    }

    /// Reads a trace from the bytes of its file and, if given, of its [`SIZES_FILE`].
    pub fn from_bytes(trace: Bytes, sizes: Option<Bytes>) -> Result<Self, TraceError> {
        let mut trace = read::trace(trace)?;
        if let Some(bytes) = sizes {
            sizes::apply(&mut trace, bytes)?;
        }
        Ok(trace)
    }

    /// The column that measures `resource`; of several, a percentage before an amount, else the first.
    pub fn column(&self, resource: Resource) -> Option<usize> {
        let of = |i: &usize| self.columns[*i].resource == Some(resource);
        let pct = |i: &usize| self.columns[*i].name.ends_with("_pct");
        let all = 0..self.columns.len();
        all.clone().filter(of).find(pct).or_else(|| all.clone().find(of))
    }

    /// How a column of a VM maps to points. `mem_kb` of a VM of known size counts as percent of that size.
    ///
    /// # Panics
    /// If either index is out of range.
    pub fn scale(&self, vm: usize, column: usize) -> Scale {
        let c = &self.columns[column];
        match self.vms[vm].size {
            Some(size) if c.name == "mem_kb" && size.memory.0 > 0 => {
                Scale { unit: size.memory.0 as f64 * 1024.0 / 100.0, transform: Transform::Points }
            }
            _ => Scale { unit: 1.0, transform: c.transform },
        }
    }

    /// The samples of a VM's resource in points; `None` if the trace has no such column, or has memory in KiB but not
    /// the VM's size.
    ///
    /// # Panics
    /// If `vm` is out of range.
    pub fn points(&self, vm: usize, resource: Resource) -> Option<Vec<f32>> {
        let column = self.column(resource)?;
        let scale = self.scale(vm, column);
        if scale.transform != resource.transform() {
            return None;
        }
        Some(self.vms[vm].values[column].iter().map(|&x| scale.to_points(x)).collect())
    }

    /// Time of a VM's sample, milliseconds since 1970-01-01 UTC.
    pub fn time_ms(&self, vm: &TraceVm, sample: usize) -> i64 {
        vm.start_ms + sample as i64 * i64::from(self.cadence_s) * 1000
    }
}

/// Reads a file of (name, instant) rows: a string, dictionary or integer column and a timestamp column, in
/// milliseconds since 1970-01-01 UTC.
///
/// # Errors
/// A damaged file, a missing column or one of another type, a null.
pub fn instants(bytes: Bytes, name: &str, time: &str) -> Result<Vec<(String, i64)>, TraceError> {
    read::instants(bytes, name, time)
}
