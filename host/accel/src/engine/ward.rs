//! Devices in order of preference: which is in use, which are out and why, and when one may come back.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, sync_channel};
use std::thread;

use super::Care;
use super::selftest::self_test;
use crate::backend::{Backend, DeviceInfo};
use crate::port::{Port, PortError};

/// Opens a device afresh, on any thread; the reason why not is one line.
pub type Opener = Arc<dyn Fn() -> Result<Box<dyn Backend>, String> + Send + Sync>;

/// Kinds of fault a device is ejected for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// No answer before the deadline.
    Late,
    /// The driver said that it failed, or crashed.
    Lost,
    /// A result was NaN or infinite.
    NotFinite,
    /// A result differs from the reference by more than the tolerance.
    Wrong,
    /// The self-test at the start failed.
    SelfTest,
}

impl FaultKind {
    /// All, in the order of the metrics.
    pub const ALL: [Self; 5] = [Self::Late, Self::Lost, Self::NotFinite, Self::Wrong, Self::SelfTest];

    /// One word for metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Lost => "lost",
            Self::NotFinite => "not_finite",
            Self::Wrong => "wrong",
            Self::SelfTest => "self_test",
        }
    }
}

/// A fault of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its kind.
    pub kind: FaultKind,
    /// What was seen, in one line.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl From<PortError> for Fault {
    fn from(error: PortError) -> Self {
        let kind = match error {
            PortError::Late(_) => FaultKind::Late,
            PortError::Backend(_) | PortError::Gone => FaultKind::Lost,
        };
        Self { kind, what: error.to_string() }
    }
}

/// A device that fails again and again is probed at least every 2^10 times the usual distance.
const DOUBLINGS: u32 = 10;

/// One device of the list.
pub(super) struct Slot {
    pub(super) name: String,
    open: Opener,
    out: Option<Out>,
    /// How often it was put out: each time it stays out twice as long.
    ejections: u32,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot {{ {}, out: {:?} }}", self.name, self.out)
    }
}

#[derive(Debug)]
struct Out {
    why: String,
    clean: u32,
    next_probe: u64,
    every: u64,
    probe: Option<Receiver<Result<Port, Fault>>>,
}

/// What a look at an ejected device brought.
pub(super) enum Probed {
    Nothing,
    Failed,
    Clean,
    /// Clean often enough: here it is, warm.
    Recovered(Box<Port>),
}

impl Slot {
    pub(super) fn new(name: String, open: Opener) -> Self {
        Self { name, open, out: None, ejections: 0 }
    }

    pub(super) fn usable(&self) -> bool {
        self.out.is_none()
    }

    /// Why it is out of use.
    pub(super) fn why_out(&self) -> Option<&str> {
        self.out.as_ref().map(|o| o.why.as_str())
    }

    pub(super) fn eject(&mut self, why: String, now: u64, care: &Care) {
        let every = care.probe_every.max(1) << self.ejections.min(DOUBLINGS);
        self.ejections += 1;
        self.out = Some(Out { why, clean: 0, next_probe: now + every, every, probe: None });
    }

    /// Opens it and tests it, on a thread of its own: a driver may hang in either.
    pub(super) fn start(&self, care: &Care) -> Result<Port, Fault> {
        let lost = |what: &str| Fault { kind: FaultKind::Lost, what: what.into() };
        let answer =
            start_thread(&self.open, care).ok_or_else(|| lost("no thread could be started for it"))?;
        match answer.recv_timeout(care.start_deadline) {
            Ok(started) => started,
            Err(RecvTimeoutError::Timeout) => Err(PortError::Late(care.start_deadline).into()),
            Err(RecvTimeoutError::Disconnected) => Err(lost("its driver crashed while it was opened")),
        }
    }

    /// Looks after an ejected device without waiting for it: probes run on threads of their own.
    pub(super) fn probe(&mut self, now: u64, care: &Care) -> Probed {
        let Some(out) = &mut self.out else { return Probed::Nothing };
        let Some(running) = &out.probe else {
            if now >= out.next_probe {
                out.probe = start_thread(&self.open, care);
                out.next_probe = now + out.every;
            }
            return Probed::Nothing;
        };
        let answer = match running.try_recv() {
            Err(TryRecvError::Empty) => return Probed::Nothing,
            Err(TryRecvError::Disconnected) => Err("its probe crashed".to_owned()),
            Ok(answer) => answer.map_err(|f| f.what),
        };
        out.probe = None;
        out.next_probe = now + out.every;
        match answer {
            Err(why) => {
                out.clean = 0;
                out.why = why;
                // One that hangs leaves a thread behind each time.
                out.every = (out.every * 2).min(care.probe_every.max(1) << DOUBLINGS);
                out.next_probe = now + out.every;
                Probed::Failed
            }
            Ok(port) => {
                out.clean += 1;
                if out.clean < care.clean_probes {
                    return Probed::Clean;
                }
                self.out = None;
                Probed::Recovered(Box::new(port))
            }
        }
    }
}

fn start(open: &Opener, care: &Care) -> Result<Port, Fault> {
    let lost = |what: String| Fault { kind: FaultKind::Lost, what };
    let device = open().map_err(lost)?;
    let mut port = Port::new(device)?;
    match self_test(&mut port, care.start_deadline) {
        Ok(()) => Ok(port),
        Err(what) => Err(Fault { kind: FaultKind::SelfTest, what }),
    }
}

/// A hanging driver hangs this thread alone: nobody waits for it, and `Disconnected` never comes from one that hangs.
fn start_thread(open: &Opener, care: &Care) -> Option<Receiver<Result<Port, Fault>>> {
    let (tell, hear) = sync_channel(1);
    let (open, care) = (Arc::clone(open), care.clone());
    let run = move || {
        let _ = tell.send(start(&open, &care));
    };
    thread::Builder::new().name("device-start".into()).spawn(run).ok().map(|_| hear)
}

/// The name and the reason of every device that is out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The driver's name, or that of the caller's own device.
    pub name: String,
    /// In use now?
    pub active: bool,
    /// Why it is out of use, if it is.
    pub out: Option<String>,
    /// What it is, if it is in use.
    pub info: Option<DeviceInfo>,
}
