//! Traces by name, file or folder.

use std::fs;
use std::path::{Path, PathBuf};

use foreshade_sim::fleet::{Fleet, FleetOptions};
use foreshade_telemetry::trace::{SIZES_FILE, Trace};

use crate::Failure;
use crate::cli::FleetArgs;

const GCD: &[u8] = include_bytes!("../../../traces/gcd_400/vms400.parquet");
const GCD_README: &str = include_str!("../../../traces/gcd_400/README.md");
const TINY: &[u8] = include_bytes!("../../../traces/bitbrains_tiny/tiny_40vms_7days.parquet");
const TINY_VMS: &[u8] = include_bytes!("../../../traces/bitbrains_tiny/vms.parquet");
const TINY_README: &str = include_str!("../../../traces/bitbrains_tiny/README.md");

/// A trace and what its README says of it.
#[derive(Debug)]
pub struct Traces {
    /// The recorded fleet.
    pub trace: Trace,
    /// How the report calls it.
    pub name: String,
    /// Is its memory consumed memory? Only then does memory join contention.
    pub memory_consumed: bool,
}

impl Traces {
    /// Loads `gcd`, `bitbrains`, a Parquet file or a folder that holds one.
    pub fn load(which: &str) -> Result<Self, Failure> {
        let shipped = |name: &str, trace, sizes, readme| {
            let trace = Trace::from_bytes(trace, sizes).map_err(|e| Failure::failed(&e))?;
            Ok(Self { trace, name: name.into(), memory_consumed: consumed(readme) })
        };
        match which {
            "gcd" => shipped("gcd_400", GCD.into(), None, GCD_README),
            "bitbrains" => shipped("bitbrains_tiny", TINY.into(), Some(TINY_VMS.into()), TINY_README),
            path => Self::read(Path::new(path)),
        }
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        if !path.exists() {
            let text = "there is no such trace; name a Parquet file, a folder with one, gcd or bitbrains";
            return Err(Failure::Usage(format!("{}: {text}", path.display())));
        }
        let file = if path.is_dir() { only_trace(path)? } else { path.to_owned() };
        let trace = Trace::read(&file).map_err(|e| Failure::failed(&e))?;
        let readme = fs::read_to_string(file.with_file_name("README.md")).unwrap_or_default();
        // The folder names the set; a file by itself is named by its stem, so that moving it changes nothing.
        let name = match file.parent().and_then(Path::file_name) {
            Some(folder) if !readme.is_empty() => folder.to_string_lossy().into_owned(),
            _ => file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        };
        Ok(Self { trace, name, memory_consumed: consumed(&readme) })
    }

    /// The fleet that the arguments ask for.
    pub fn fleet(&self, args: &FleetArgs) -> Result<Fleet, Failure> {
        let options = FleetOptions {
            name: self.name.clone(),
            seed: args.seed,
            hosts: args.hosts,
            vm_size: args.vm_size,
            memory_consumed: self.memory_consumed,
            ticks: args.ticks,
        };
        Fleet::new(&self.trace, &options).map_err(|e| Failure::Usage(e.to_string()))
    }
}

/// A trace's README says it on a line of its own.
fn consumed(readme: &str) -> bool {
    readme.lines().any(|l| l.trim() == "memory: consumed")
}

fn only_trace(folder: &Path) -> Result<PathBuf, Failure> {
    let unreadable = |e: std::io::Error| Failure::Usage(format!("cannot read {}: {e}", folder.display()));
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let p = entry.map_err(unreadable)?.path();
        let parquet = p.extension().is_some_and(|x| x == "parquet");
        if parquet && p.file_name().is_some_and(|n| n != SIZES_FILE) {
            found.push(p);
        }
    }
    found.sort();
    let sizes = folder.join(SIZES_FILE);
    if found.is_empty() && sizes.is_file() {
        found.push(sizes); // alone in its folder it is the trace
    }
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::Usage(format!(
            "{} holds no trace (*.parquet but {SIZES_FILE}); name a file",
            folder.display()
        ))),
        [first, ..] => Err(Failure::Usage(format!(
            "{} holds {} traces; name one, such as {}",
            folder.display(),
            found.len(),
            first.display()
        ))),
    }
}
