//! What is kept of a host, and of a rack or site: a few hundred bytes, however long it has been watched.

use super::DAY_S;
use super::decay::Decayed;

/// Failure times kept per host, to say in words what the counts hold.
const OWN_RECENT: usize = 8;
/// Failure times kept per rack or site.
const GROUP_RECENT: usize = 32;
/// A clock that steps back by more is taken to have been wrong before.
const STEP_BACK_S: i64 = DAY_S;
/// Share of the newest run in the typical one.
const TYPICAL_SHARE: f64 = 0.3;

/// What can be said of a host. Both may be repeated at will: only a change counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It runs: seen for the first time, recovered, or just a heartbeat.
    Up,
    /// It does not.
    Down,
}

/// What an event changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// The host was up and is not any more.
    Failed,
    /// The host was down and runs again.
    Recovered,
}

/// The newest times, a ring.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Recent<const N: usize> {
    times_s: [i64; N],
    len: usize,
    next: usize,
}

impl<const N: usize> Recent<N> {
    const NEW: Self = Self { times_s: [0; N], len: 0, next: 0 };

    fn push(&mut self, at_s: i64) {
        self.times_s[self.next] = at_s;
        self.next = (self.next + 1) % N;
        self.len = (self.len + 1).min(N);
    }

    fn within(&self, now_s: i64, seconds: i64) -> usize {
        let after = now_s.saturating_sub(seconds);
        self.times_s[..self.len].iter().filter(|t| **t > after).count()
    }

    fn not_after(&mut self, now_s: i64) {
        self.times_s.iter_mut().for_each(|t| *t = now_s.min(*t));
    }
}

/// `now`, never before `seen`.
fn settled(now_s: i64, seen_s: i64) -> i64 {
    now_s.max(seen_s)
}

/// Was the clock put back?
fn put_back(now_s: i64, seen_s: i64) -> bool {
    now_s < seen_s.saturating_sub(STEP_BACK_S)
}

/// One host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HostState {
    pub(super) known: bool,
    pub(super) down: bool,
    seen_s: i64,
    pub(super) since_s: i64,
    /// Of the present state.
    pub(super) change_s: i64,
    pub(super) failed_s: Option<i64>,
    pub(super) failures: u32,
    pub(super) last_outage_s: i64,
    /// Smoothed ln(1 + hours) of the runs between failures.
    pub(super) typical_run: f64,
    counts: Decayed,
    counted_s: i64,
    recent: Recent<OWN_RECENT>,
}

impl Default for HostState {
    fn default() -> Self {
        Self {
            known: false,
            down: false,
            seen_s: 0,
            since_s: 0,
            change_s: 0,
            failed_s: None,
            failures: 0,
            last_outage_s: 0,
            typical_run: 0.0,
            counts: Decayed::default(),
            counted_s: 0,
            recent: Recent::NEW,
        }
    }
}

impl HostState {
    /// Takes one event at `now_s`, seconds of Unix time. A time before the last one counts as that one; more than a day
    /// before, as a clock that has been put right: what was dated later is dated now.
    pub fn observe(&mut self, event: Event, now_s: i64) -> Change {
        if !self.known {
            // A host first seen down has not failed while watched.
            *self = Self { known: true, down: event == Event::Down, ..Self::default() };
            (self.seen_s, self.since_s, self.change_s, self.counted_s) = (now_s, now_s, now_s, now_s);
            return Change::Nothing;
        }
        if put_back(now_s, self.seen_s) {
            self.not_after(now_s);
        }
        self.seen_s = settled(now_s, self.seen_s);
        match (event, self.down) {
            (Event::Up, true) => {
                self.last_outage_s = self.seen_s.saturating_sub(self.change_s);
                (self.down, self.change_s) = (false, self.seen_s);
                Change::Recovered
            }
            (Event::Down, false) => {
                self.fail();
                Change::Failed
            }
            _ => Change::Nothing,
        }
    }

    fn fail(&mut self) {
        let now_s = self.seen_s;
        let run = super::features::log_hours(now_s.saturating_sub(self.change_s));
        let share = if self.failures == 0 { 1.0 } else { TYPICAL_SHARE };
        self.typical_run += share * (run - self.typical_run);
        self.counts = self.counts_at(now_s);
        self.counts.add_one();
        self.counted_s = now_s;
        self.failures = self.failures.saturating_add(1);
        (self.down, self.change_s, self.failed_s) = (true, now_s, Some(now_s));
        self.recent.push(now_s);
    }

    fn not_after(&mut self, now_s: i64) {
        for t in [&mut self.seen_s, &mut self.since_s, &mut self.change_s, &mut self.counted_s] {
            *t = now_s.min(*t);
        }
        self.failed_s = self.failed_s.map(|t| now_s.min(t));
        self.recent.not_after(now_s);
    }

    /// The instant that a question about `now_s` is answered for.
    pub(super) fn at(&self, now_s: i64) -> i64 {
        settled(now_s, self.seen_s)
    }

    pub(super) fn counts_at(&self, now_s: i64) -> Decayed {
        self.counts.after(now_s.saturating_sub(self.counted_s))
    }

    /// Failures in the last `seconds` before `now_s`; the largest number that can be told apart is 8.
    pub fn failures_within(&self, now_s: i64, seconds: i64) -> usize {
        self.recent.within(self.at(now_s), seconds)
    }

    /// Is it down?
    pub fn is_down(&self) -> bool {
        self.down
    }

    /// Seconds since it was first seen.
    pub fn age_s(&self, now_s: i64) -> i64 {
        if self.known { self.at(now_s).saturating_sub(self.since_s) } else { 0 }
    }
}

/// The hosts of one rack or site together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupState {
    pub(super) hosts: u32,
    pub(super) down: u32,
    pub(super) failures: u64,
    seen_s: i64,
    pub(super) since_s: i64,
    counts: Decayed,
    counted_s: i64,
    recent: Recent<GROUP_RECENT>,
}

impl Default for GroupState {
    fn default() -> Self {
        Self {
            hosts: 0,
            down: 0,
            failures: 0,
            seen_s: 0,
            since_s: 0,
            counts: Decayed::default(),
            counted_s: 0,
            recent: Recent::NEW,
        }
    }
}

impl GroupState {
    /// One more host, seen first in state `down` at `now_s`.
    pub(super) fn join(&mut self, down: bool, now_s: i64) {
        if self.hosts == 0 {
            (self.seen_s, self.since_s, self.counted_s) = (now_s, now_s, now_s);
        }
        self.seen(now_s);
        self.hosts = self.hosts.saturating_add(1);
        self.down += u32::from(down);
    }

    /// A host of the group changed.
    pub(super) fn change(&mut self, change: Change, now_s: i64) {
        self.seen(now_s);
        match change {
            Change::Nothing => {}
            Change::Recovered => self.down = self.down.saturating_sub(1),
            Change::Failed => {
                self.counts = self.counts_at(self.seen_s);
                self.counts.add_one();
                self.counted_s = self.seen_s;
                self.down = self.down.saturating_add(1).min(self.hosts);
                self.failures = self.failures.saturating_add(1);
                self.recent.push(self.seen_s);
            }
        }
    }

    fn seen(&mut self, now_s: i64) {
        if put_back(now_s, self.seen_s) {
            for t in [&mut self.seen_s, &mut self.since_s, &mut self.counted_s] {
                *t = now_s.min(*t);
            }
            self.recent.not_after(now_s);
        }
        self.seen_s = settled(now_s, self.seen_s);
    }

    pub(super) fn at(&self, now_s: i64) -> i64 {
        settled(now_s, self.seen_s)
    }

    pub(super) fn counts_at(&self, now_s: i64) -> Decayed {
        self.counts.after(now_s.saturating_sub(self.counted_s))
    }

    /// Failures in the last `seconds` before `now_s`; the largest number that can be told apart is 32.
    pub fn failures_within(&self, now_s: i64, seconds: i64) -> usize {
        self.recent.within(self.at(now_s), seconds)
    }
}
