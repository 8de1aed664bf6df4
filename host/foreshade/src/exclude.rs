//! `--exclude`: stretches of time that are neither learnt from nor scored.
//!
//! ```toml
//! [[exclude]]
//! vm = "db-7"                        # or host = "host3"; neither = every VM
//! from = 2026-11-02T22:00:00Z        # included
//! to = 2026-11-03T04:00:00Z          # not included
//! reason = "load test"
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use foreshade_appliance_core::{Exclusion, Whose as Named};
use foreshade_forecast::run::rfc3339_ms;
use foreshade_sim::fleet::Fleet;
use foreshade_telemetry::trace::{Stretch, Trace};
use foreshade_types::{Tick, VmId};
use serde::Deserialize;
use toml::Spanned;

use crate::Failure;
use crate::offline::at_line;
use crate::view::{name, note, say};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    #[serde(default)]
    exclude: Vec<Spanned<EntryText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryText {
    vm: Option<String>,
    host: Option<Spanned<String>>,
    from: Spanned<Time>,
    to: Spanned<Time>,
    reason: String,
}

/// A time as TOML writes it, or in quotes.
#[derive(Deserialize)]
#[serde(untagged, expecting = "no time with a zone; write 2026-11-02T22:00:00Z")]
enum Time {
    Toml(toml::value::Datetime),
    Text(String),
}

/// Whose samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whose {
    /// All.
    Everyone,
    /// The VM of this name.
    Vm(String),
    /// Whatever ran on this host then.
    Host(String),
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where it begins in the file.
    pub(crate) line: usize,
    pub(crate) whose: Whose,
    /// Included.
    pub(crate) from_ms: i64,
    /// Not included.
    pub(crate) to_ms: i64,
    pub(crate) reason: String,
}

/// All entries of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exclusions {
    path: PathBuf,
    pub(crate) entries: Vec<Entry>,
}

impl Exclusions {
    /// Reads a file; without one there is nothing to exclude.
    ///
    /// # Errors
    /// A usage error that names file and line.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self { path: PathBuf::new(), entries: vec![] }) };
        let wrong = |why: String| Failure::Usage(format!("{}: {why}", path.display()));
        let text = fs::read_to_string(path)
            .map_err(|e| wrong(format!("cannot read it: {e}; --exclude names a TOML file")))?;
        let file: FileText = toml::from_str(&text).map_err(|e| wrong(at_line(&text, &e)))?;
        let entries: Result<Vec<_>, _> = file.exclude.into_iter().map(|e| entry(&text, e)).collect();
        Ok(Self { path: path.to_owned(), entries: entries.map_err(wrong)? })
    }

    /// Makes the samples missing in a trace whose VMs are on no host. Says what was left out.
    ///
    /// # Errors
    /// A usage error if an entry names a host.
    pub(crate) fn leave_out(&self, trace: &mut Trace) -> Result<(), Failure> {
        let stretch = |e: &Entry| {
            let vm = match &e.whose {
                Whose::Everyone => None,
                Whose::Vm(vm) => Some(vm.clone()),
                Whose::Host(_) => {
                    let why = "a file of series knows no hosts; name the VMs instead";
                    return Err(Failure::Usage(format!("{}: line {}: {why}", self.path.display(), e.line)));
                }
            };
            Ok(Stretch { vm, from_ms: e.from_ms, until_ms: e.to_ms })
        };
        let stretches: Vec<Stretch> = self.entries.iter().map(stretch).collect::<Result<_, _>>()?;
        self.tell(&trace.leave_out(&stretches));
        Ok(())
    }

    /// The same for a fleet that is replayed from a trace: ticks count from the trace's first sample. What names nobody
    /// lasts no time.
    pub(crate) fn of_fleet(&self, trace: &Trace, fleet: &Fleet) -> Vec<Exclusion> {
        let first_ms = trace.vms.iter().map(|v| v.start_ms).min().unwrap_or(0);
        let step_ms = i128::from(trace.cadence_s) * 1000;
        let tick = |ms: i64| {
            let after = i128::from(ms) - i128::from(first_ms);
            Tick(((after + step_ms - 1).div_euclid(step_ms)).clamp(0, u64::MAX.into()) as u64)
        };
        let of = |e: &Entry| {
            let vm = |name: &String| fleet.vms.iter().position(|v| v.name == *name);
            let whose = match &e.whose {
                Whose::Everyone => Some(Named::Everyone),
                Whose::Vm(name) => vm(name).map(|i| Named::Vm(VmId(i as u32))),
                Whose::Host(name) => fleet.hosts().find(|h| h.to_string() == *name).map(Named::Host),
            };
            let (from, until) = (tick(e.from_ms), tick(e.to_ms));
            match whose {
                Some(whose) => Exclusion { whose, from, until },
                None => Exclusion { whose: Named::Everyone, from, until: from },
            }
        };
        self.entries.iter().map(of).collect()
    }

    /// Says how many samples each entry left out; one that left out none is a warning.
    pub(crate) fn tell(&self, counts: &[u64]) {
        for (e, n) in self.entries.iter().zip(counts) {
            let line = self.account(e, *n);
            match n {
                0 => note(&format!("foreshade: {line}")),
                _ => say(&line),
            }
        }
    }

    fn account(&self, e: &Entry, n: u64) -> String {
        let whose = match &e.whose {
            Whose::Everyone => "all VMs".to_owned(),
            Whose::Vm(vm) => format!("VM {}", name(vm)),
            Whose::Host(host) => format!("host {}", name(host)),
        };
        let end = match n {
            0 => "no sample is left out; check the name and the times".to_owned(),
            n => format!("{n} samples left out"),
        };
        format!("{}: line {}: {whose}, {}: {end}\n", self.path.display(), e.line, name(&e.reason))
    }
}

fn entry(text: &str, e: Spanned<EntryText>) -> Result<Entry, String> {
    let line = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
    let first = line(e.span().start);
    let e = e.into_inner();
    if let (Some(_), Some(host)) = (&e.vm, &e.host) {
        return Err(format!("line {}: an entry has vm or host, not both; split it", line(host.span().start)));
    }
    let time = |t: &Spanned<Time>| {
        let written = match t.get_ref() {
            Time::Toml(t) => t.to_string(),
            Time::Text(t) => t.clone(),
        };
        rfc3339_ms(&written).ok_or_else(|| {
            let at = line(t.span().start);
            format!("line {at}: {written:?} is no time with a zone; write 2026-11-02T22:00:00Z")
        })
    };
    let (from_ms, to_ms) = (time(&e.from)?, time(&e.to)?);
    if from_ms >= to_ms {
        let at = line(e.to.span().start);
        return Err(format!("line {at}: to is not after from, so nothing is excluded; correct one of them"));
    }
    let whose = match (e.vm, e.host) {
        (Some(vm), _) => Whose::Vm(vm),
        (None, Some(host)) => Whose::Host(host.into_inner()),
        (None, None) => Whose::Everyone,
    };
    Ok(Entry { line: first, whose, from_ms, to_ms, reason: e.reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Exclusions, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.toml");
        fs::write(&path, text).unwrap();
        Exclusions::read(Some(&path)).map_err(|e| e.to_string())
    }

    const TIMES: &str = "from = 1970-01-01T00:00:00Z\nto = \"1970-01-01T01:00:00+00:30\"\n";

    #[test]
    fn entries_are_read_with_times_in_quotes_or_not() {
        let text = format!(
            "# maintenance\n[[exclude]]\n{TIMES}reason = \"a\"\n\n[[exclude]]\nvm = \"v\"\n{TIMES}reason = \"b\"\n\
             [[exclude]]\nhost = \"host3\"\n{TIMES}reason = \"c\"\n"
        );
        let all = read(&text).unwrap().entries;
        let whose: Vec<_> = all.iter().map(|e| e.whose.clone()).collect();
        assert_eq!(whose, [Whose::Everyone, Whose::Vm("v".into()), Whose::Host("host3".into())]);
        assert!(all.iter().all(|e| (e.from_ms, e.to_ms) == (0, 1_800_000)));
        assert_eq!(all.iter().map(|e| e.line).collect::<Vec<_>>(), [2, 7, 12]);
        assert_eq!(read("").unwrap().entries, []);
        assert_eq!(Exclusions::read(None).unwrap().entries, []);
    }

    #[test]
    fn what_is_wrong_is_one_line_with_its_place() {
        let entry = |more: &str| format!("[[exclude]]\nreason = \"x\"\n{more}");
        for (text, says) in [
            (entry(&format!("{TIMES}vms = \"a\"\n")), "x.toml: line 5: unknown field `vms`"),
            ("[[exclud]]\n".into(), "x.toml: line 1: unknown field `exclud`"),
            (entry("from = 1970-01-01T00:00:00Z\n"), "missing field `to`"),
            (format!("[[exclude]]\n{TIMES}"), "missing field `reason`"),
            (
                entry("from = 1970-01-01T00:00:00\nto = 1970-01-02T00:00:00Z\n"),
                "line 3: \"1970-01-01T00:00:00\" is",
            ),
            (entry("from = \"yesterday\"\nto = 1970-01-02T00:00:00Z\n"), "line 3: \"yesterday\" is no time"),
            (entry("from = 7\nto = 1970-01-02T00:00:00Z\n"), "x.toml: line 3: no time with a zone; write"),
            (
                entry("from = 1970-01-02T00:00:00Z\nto = 1970-01-02T00:00:00Z\n"),
                "line 4: to is not after from",
            ),
            (
                entry(&format!("{TIMES}vm = \"a\"\nhost = \"b\"\n")),
                "line 6: an entry has vm or host, not both",
            ),
            ("exclude = [".into(), "x.toml: line 1"),
        ] {
            let e = read(&text).unwrap_err();
            assert!(e.contains(says) && !e.contains('\n'), "{e}");
        }
        assert!(
            Exclusions::read(Some(Path::new("no/x.toml"))).unwrap_err().to_string().contains("no/x.toml")
        );
    }
}
