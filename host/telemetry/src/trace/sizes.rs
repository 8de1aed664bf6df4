//! VM sizes from the file beside a trace: `vm`, `cores`, `mem_cap_kb` and, where sizes change, `month` ("2013-08").

use std::collections::BTreeMap;

use arrow_schema::Schema;
use bytes::Bytes;
use foreshade_types::{Mebibytes, Millicores, VmSize};

use super::{Trace, TraceError, read};

/// Half a day: a trace that begins on the last evening of a month (in UTC) belongs to the next one.
const HALF_DAY_MS: i64 = 43_200_000;

/// Sets the size of every VM that the file knows. A file without the columns is not about sizes and is left alone.
/// Of several months the one counts in which the trace begins, else the latest before it, else the earliest.
pub(super) fn apply(trace: &mut Trace, bytes: Bytes) -> Result<(), TraceError> {
    let (schema, batches) = read::batches(bytes)?;
    let Some([vm, cores, memory]) = pick(&schema) else { return Ok(()) };
    let month = schema.index_of("month").ok();
    let first_ms = trace.vms.iter().map(|v| v.start_ms).min().unwrap_or(0);
    let now = month_of(first_ms + HALF_DAY_MS);
    // By VM: the best row's rank, then its size.
    let mut best: BTreeMap<String, ((bool, String), VmSize)> = BTreeMap::new();
    for batch in &batches {
        let names = read::names(batch.column(vm), "vm")?;
        let number = |at: usize, what: &str| {
            read::floats(batch.column(at))
                .ok_or_else(|| TraceError::Column(format!("column {what} is no number; write it as one")))
        };
        let (cores, memory) = (number(cores, "cores")?, number(memory, "mem_cap_kb")?);
        let months = match month {
            Some(at) => read::names(batch.column(at), "month")?,
            None => vec![None; names.len()],
        };
        for (i, (name, month)) in names.into_iter().zip(months).enumerate() {
            let (Some(name), Some(size)) = (name, size(cores[i], memory[i])) else { continue };
            let month = month.unwrap_or_else(|| now.clone());
            let better = best.get(&name).is_none_or(|((_, old), _)| prefer(&month, old, &now));
            if better {
                best.insert(name, ((month <= now, month), size));
            }
        }
    }
    for vm in &mut trace.vms {
        vm.size = best.get(&vm.name).map(|(_, size)| *size);
    }
    Ok(())
}

fn pick(schema: &Schema) -> Option<[usize; 3]> {
    let at = |n: &str| schema.index_of(n).ok();
    Some([at("vm").or_else(|| at("series"))?, at("cores")?, at("mem_cap_kb")?])
}

/// Is month `a` a better choice than `b` for a trace that begins in `now`?
fn prefer(a: &str, b: &str, now: &str) -> bool {
    match (a <= now, b <= now) {
        (true, true) => a > b,
        (false, false) => a < b,
        (a_past, _) => a_past,
    }
}

/// `None` for a size that no VM has.
fn size(cores: f32, memory_kib: f32) -> Option<VmSize> {
    let ok = |x: f32| x.is_finite() && x > 0.0 && x < 1e12;
    let mebibytes = (f64::from(memory_kib) / 1024.0).round() as u64;
    (ok(cores) && ok(memory_kib) && mebibytes > 0).then(|| VmSize {
        cpu: Millicores((f64::from(cores) * 1000.0).round() as u64),
        memory: Mebibytes(mebibytes),
    })
}

/// "YYYY-MM" of a time in UTC. Days to civil date as in Howard Hinnant's `civil_from_days`.
fn month_of(ms: i64) -> String {
    let z = ms.div_euclid(86_400_000) + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_follow_the_calendar() {
        assert_eq!(month_of(0), "1970-01");
        assert_eq!(month_of(1_375_308_000_000), "2013-07"); // 2013-07-31 22:00
        assert_eq!(month_of(1_375_308_000_000 + HALF_DAY_MS), "2013-08");
        assert_eq!(month_of(951_782_400_000), "2000-02"); // 2000-02-29
    }

    #[test]
    fn the_month_of_the_trace_then_the_latest_before_it() {
        assert!(prefer("2013-08", "2013-07", "2013-08"));
        assert!(!prefer("2013-09", "2013-07", "2013-08"));
        assert!(prefer("2013-09", "2013-10", "2013-08"));
    }
}
