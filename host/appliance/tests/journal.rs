//! The journal on disks that fail, and after a process that was killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use foreshade_appliance::RedbJournal;
use foreshade_appliance_core::{Header, Journal, Record};
use foreshade_types::{
    Action, Allocation, Decision, HostId, Mebibytes, Millicores, RackId, Reason, Resource, Rule, Tick, VmId,
};

/// Names the file that a child process of these tests writes to.
const CHILD: &str = "FORESHADE_TEST_JOURNAL";

/// A tick with `n` decisions.
fn record(tick: u64, n: u64) -> Record {
    let reason = Reason {
        rule: Rule::DemandAboveAllocation,
        resource: Resource::Cpu,
        quantile_permille: 981,
        horizon_s: 300,
        predicted: 2_000 + tick,
        threshold: 1_000,
        worth: Default::default(),
        rejected: vec![],
    };
    let to = Allocation { cpu: Millicores(2_000 + tick), memory: Mebibytes(1_024) };
    let decision = |seq| Decision {
        epoch: 1,
        seq,
        rack: RackId(0),
        caused_by: Tick(tick),
        vm: VmId(seq as u32),
        observed_host: HostId(0),
        expires_at_ms: (tick + 1) * 300_000,
        action: Action::PreAllocate { to },
        reason: reason.clone(),
    };
    Record { tick: Tick(tick), decisions: (1..=n).map(decision).collect(), ..Record::default() }
}

fn records(path: &Path) -> Vec<Record> {
    RedbJournal::open(path).expect("opens").records().expect("reads")
}

fn check_error(text: &str, path: &Path) {
    assert!(text.starts_with(&format!("journal {}: ", path.display())), "{text}");
    assert!(text.ends_with("; free space or fix the permissions, then start again"), "{text}");
    assert!(!text.contains('\n'), "{text}");
}

#[test]
fn a_place_that_cannot_be_written_is_an_error_in_one_line() {
    let dir = tempfile::tempdir().expect("folder");
    let places: [PathBuf; 3] =
        [dir.path().join("no/such/folder/journal.redb"), dir.path().into(), "/proc/journal.redb".into()];
    for path in places {
        let e = RedbJournal::create(&path, &Header::default()).expect_err("no file");
        check_error(&e.to_string(), &path);
    }
}

#[test]
fn a_damaged_journal_is_an_error_in_one_line_and_is_left_as_it_is() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("journal.redb");
    let mut j = RedbJournal::create(&path, &Header::default()).expect("makes");
    j.commit(&record(1, 3)).expect("committed");
    drop(j);
    let whole = fs::read(&path).expect("read");
    let damaged: [Vec<u8>; 3] = [whole[..100].to_vec(), vec![0xA5; whole.len()], {
        let mut bytes = whole.clone();
        bytes[..64].fill(0);
        bytes
    }];
    for bytes in damaged {
        fs::write(&path, &bytes).expect("written");
        let e = RedbJournal::open(&path).expect_err("damaged");
        check_error(&e.to_string(), &path);
        assert_eq!(fs::read(&path).expect("read"), bytes, "nothing is overwritten");
    }
    fs::write(&path, &whole).expect("written");
    assert_eq!(records(&path), [record(1, 3)]);
}

#[test]
fn a_journal_that_another_appliance_holds_is_refused() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("journal.redb");
    let _held = RedbJournal::create(&path, &Header::default()).expect("makes");
    let e = RedbJournal::open(&path).expect_err("held");
    check_error(&e.to_string(), &path);
}

/// Runs one of the tests below in a process of its own, through `sh`, which may set limits first.
fn child(test: &str, journal: &Path, limits: &str) -> ExitStatus {
    let this = std::env::current_exe().expect("this test");
    Command::new("sh")
        .args(["-c", &format!("{limits} exec \"$0\" --exact {test} --nocapture")])
        .arg(this)
        .env(CHILD, journal)
        .status()
        .expect("sh")
}

/// The child's part: commits ticks until the disk is full, and expects that to be said.
#[test]
fn child_fills_the_disk() {
    let Some(path) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let mut j = RedbJournal::open(&path).expect("opens");
    for tick in 3..10_000 {
        if let Err(e) = j.commit(&record(tick, 200)) {
            return check_error(&e.to_string(), &path);
        }
        fs::write(path.with_extension("last"), tick.to_string()).expect("written");
    }
    panic!("the disk was never full");
}

/// The child's part: commits, and is gone without a word.
#[test]
fn child_is_killed() {
    let Some(path) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let mut j = RedbJournal::create(&path, &Header::default()).expect("makes");
    for tick in 1..=3 {
        j.commit(&record(tick, 5)).expect("committed");
    }
    std::process::abort();
}

#[test]
fn a_journal_on_a_full_disk_fails_the_commit_and_keeps_what_it_had() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("journal.redb");
    let mut j = RedbJournal::create(&path, &Header::default()).expect("makes");
    j.commit(&record(2, 4)).expect("committed");
    drop(j);
    // A limit on the size of a file stands for the disk: blocks of 512 or 1,024 bytes, by shell.
    let status = child("child_fills_the_disk", &path, "trap '' XFSZ; ulimit -f 6000;");
    assert!(status.success(), "{status}");
    let last: u64 =
        fs::read_to_string(path.with_extension("last")).expect("some ticks").parse().expect("tick");
    let kept = records(&path);
    let ticks: Vec<_> = kept.iter().map(|r| r.tick.0).collect();
    assert_eq!(ticks, (2..=last).collect::<Vec<_>>());
    assert_eq!(kept[0], record(2, 4));
    assert_eq!(kept.last(), Some(&record(last, 200)));
}

#[test]
fn what_was_committed_survives_a_killed_process() {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("journal.redb");
    let status = child("child_is_killed", &path, "");
    assert!(!status.success(), "it was to be killed");
    assert_eq!(records(&path), [record(1, 5), record(2, 5), record(3, 5)]);
}
