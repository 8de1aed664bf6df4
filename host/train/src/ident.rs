//! What a series was measured on: the VM, job or machine that must not be trained on and shown.

use std::path::Path;

/// Endings of file names that name a resource: `bitbrains_cpu` and `bitbrains_mem` are one trace.
const RESOURCES: [&str; 9] = ["cpu", "mem", "diskr", "diskw", "netrx", "nettx", "memory", "disk", "net"];

/// File name up to its first dot.
fn stem(file: &Path) -> &str {
    let name = file.file_name().and_then(|n| n.to_str()).unwrap_or("input");
    name.split('.').next().unwrap_or(name)
}

/// The trace that a file belongs to: its stem without the resource.
pub fn trace_name(file: &Path) -> &str {
    let stem = stem(file);
    match stem.rsplit_once('_') {
        Some((trace, resource)) if RESOURCES.contains(&resource) => trace,
        _ => stem,
    }
}

/// Name of a data set: the file's stem, and the column where it has several.
pub fn set_name(file: &Path, column: Option<&str>) -> String {
    match column {
        Some(column) => format!("{}:{column}", stem(file)),
        None => stem(file).to_owned(),
    }
}

/// `<trace>:<thing>`. Names of the public traces hold more than the thing: `vm_JOB_TASK` is a task of a job (gcd),
/// `DAY/SITE_HOST_SLICE...` one day of a machine, known by the first three words (PlanetLab), `vmN` the VM N. Any other name
/// is the thing.
pub fn identity(file: &Path, series: &str) -> String {
    let words: Vec<&str> = series.split('_').collect();
    let thing = match (series.split_once('/'), words.as_slice()) {
        (Some((_, machine)), _) => machine.split('_').take(3).collect::<Vec<_>>().join("_"),
        (None, ["vm", job, _task]) => (*job).to_owned(),
        _ => match series.strip_prefix("vm") {
            Some(n) if n.parse::<u64>().is_ok() => n.to_owned(),
            _ => series.to_owned(),
        },
    };
    format!("{}:{thing}", trace_name(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_one_thing_have_one_identity() {
        let id = |file: &str, series: &str| identity(Path::new(file), series);
        assert_eq!(id("P/train/gcd_cpu.input.parquet", "vm_1329653148_1"), "gcd:1329653148");
        assert_eq!(id("gcd_mem.input.parquet", "vm_1329653148_7"), "gcd:1329653148");
        let lab = "20110303/147-179_surfsnel_dsl_internl_net_tsinghua_xyz";
        assert_eq!(id("planetlab_cpu.input.parquet", lab), "planetlab:147-179_surfsnel_dsl");
        assert_eq!(id("bitbrains_diskw.input.parquet", "vm411"), "bitbrains:411");
        assert_eq!(id("mine.parquet", "vmware"), "mine:vmware");
        assert_eq!(id("rack_7.parquet", "db-1"), "rack_7:db-1");
    }

    #[test]
    fn a_column_is_named_where_there_are_several() {
        let file = Path::new("a/gcd_cpu.input.parquet");
        assert_eq!(set_name(file, None), "gcd_cpu");
        assert_eq!(set_name(Path::new("t.parquet"), Some("mem_pct")), "t:mem_pct");
    }
}
