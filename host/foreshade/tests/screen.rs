//! The full-screen view on a terminal: what it shows, and that the terminal is given back whatever ends the run.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use support::{HOSTS, small};

const ENTER: &str = "\u{1b}[?1049h";
const LEAVE: &str = "\u{1b}[?1049l";

/// A terminal of 100 x 30, with a program on it.
struct Terminal {
    master: File,
    /// Kept open, so that what the program has written can be read after its end.
    slave: OwnedFd,
    child: Child,
    seen: Arc<Mutex<String>>,
}

impl Terminal {
    fn new(args: &[&str], env: &[(&str, &str)]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, vec![]).unwrap().into_string().unwrap();
        let slave: OwnedFd = File::options().read(true).write(true).open(Path::new(&name)).unwrap().into();
        tcsetwinsize(&slave, Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_foreshade"));
        command.args(args).env("TERM", "xterm-256color").envs(env.iter().copied());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let (master, seen) = (File::from(master), Arc::new(Mutex::new(String::new())));
        let (mut reader, out) = (master.try_clone().unwrap(), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut bytes = [0; 65_536];
            while let Ok(n @ 1..) = reader.read(&mut bytes) {
                out.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..n]));
            }
        });
        Self { master, slave, child, seen }
    }

    fn demo(more: &[&str], env: &[(&str, &str)]) -> Self {
        let (trace, hosts) = (small().display().to_string(), HOSTS.to_string());
        let args = ["demo", "--trace", &trace, "--hosts", &hosts, "--vm-size", "16:32"];
        Self::new(&[&args, more].concat(), env)
    }

    fn seen(&self) -> String {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until the program has written this word: between words it may only move the cursor.
    fn until(&self, text: &str) {
        let start = Instant::now();
        while !self.seen().contains(text) {
            assert!(start.elapsed() < Duration::from_secs(60), "{text:?} did not come");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for the program's end: its exit code and what it wrote. The terminal is as it was before.
    fn end(mut self) -> (i32, String) {
        let code = self.child.wait().unwrap().code().unwrap();
        let lines = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        assert!(
            tcgetattr(&self.slave).unwrap().local_modes.contains(lines),
            "the terminal takes lines again"
        );
        std::thread::sleep(Duration::from_millis(200));
        let seen = self.seen();
        assert_eq!(seen.matches(ENTER).count(), seen.matches(LEAVE).count());
        assert!(seen.rfind("\u{1b}[?25h") >= seen.rfind("\u{1b}[?25l"), "the cursor is seen again");
        (code, seen)
    }
}

#[test]
fn q_ends_a_run_with_the_report_so_far_and_gives_the_terminal_back() {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("r.json").display().to_string();
    // 300 s of the trace take 20 s: without the key it would run for minutes.
    let mut t = Terminal::demo(&["--speed", "15", "--report", &report], &[]);
    t.until("running");
    for said in ["decisions", "HOPS", "q95"] {
        t.until(said);
    }
    t.press("q");
    let (code, seen) = t.end();
    assert_eq!(code, 0);
    let after = &seen[seen.rfind(LEAVE).unwrap()..];
    assert!(after.contains("over-reservation") && after.contains("report: "));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert!(report["ticks"].as_u64().unwrap() < 10, "{}", report["ticks"]);
}

#[test]
fn ctrl_c_ends_a_run_as_in_lines() {
    let mut t = Terminal::demo(&["--speed", "15"], &[]);
    t.until("running");
    t.press("\u{3}");
    let (code, seen) = t.end();
    assert!(code == 0 && seen[seen.rfind(LEAVE).unwrap()..].contains("over-reservation"));
}

#[test]
fn a_run_that_is_done_stays_until_q() {
    let mut t = Terminal::demo(&["--ticks", "2"], &[]);
    t.until("leaves");
    std::thread::sleep(Duration::from_millis(300));
    assert!(t.child.try_wait().unwrap().is_none(), "it waits for its viewer");
    t.press("?\u{1b}q");
    assert_eq!(t.end().0, 0);
}

#[test]
fn an_error_is_one_line_on_a_terminal_that_was_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("there.redb");
    std::fs::write(&journal, "already").unwrap();
    let (code, seen) = Terminal::demo(&["--journal", &journal.display().to_string()], &[]).end();
    let after = &seen[seen.rfind(LEAVE).unwrap()..];
    assert!(code == 1 && after.contains("foreshade: ") && after.contains("there.redb"));
}

#[test]
fn lines_are_printed_where_a_screen_is_not_wanted() {
    for (more, env) in [(&["--plain"][..], &[][..]), (&[], &[("TERM", "dumb")]), (&["--follow", "vm1"], &[])]
    {
        let (code, seen) = Terminal::demo(&[&["--ticks", "2"], more].concat(), env).end();
        assert!(
            code == 0 && !seen.contains(ENTER) && seen.contains("foreshade demo: 36 VMs"),
            "{more:?} {seen}"
        );
    }
}

#[test]
fn top_shows_what_a_journal_tells_and_what_it_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("run.redb").display().to_string();
    assert_eq!(Terminal::demo(&["--plain", "--ticks", "3", "--journal", &journal], &[]).end().0, 0);
    let before = std::fs::read(&journal).unwrap();
    let mut t = Terminal::new(&["top", "--journal", &journal], &[]);
    for said in ["top", "run.redb:", "applied", "journal.", "give-back"] {
        t.until(said);
    }
    // Above the line of the last tick, at which nothing is decided, and of the one before.
    t.press("\u{1b}[A\u{1b}[A\r");
    t.until("compared");
    t.press("q");
    assert_eq!(t.end().0, 0);
    assert!(std::fs::read(&journal).unwrap() == before, "a journal is only looked at");
}
