//! Who may write: one write token per VM, with a generation that only grows.
//!
//! ```text
//! controller (Arbiter, durable)                          host of a copy (Guard, durable)
//!   held --fail over--> stopping --Stop(g)------------->  shuts its guest down -----Fenced(g)-->
//!                          | limit                                                             |
//!                          v                                                                    v
//!                       fencing --Fence(g)-------------->  cuts its disks off ------Fenced(g)--> granting
//!                                 (or its power is cut)                                              |
//!   held(g+1) <--Granted(g+1)-- takes token g+1, never one that is <= g fenced <--Grant(g+1)---------+
//! ```
//!
//! A host that lost its power takes no token before the controller has told it, in answer to that very boot, which are void: a
//! grant from before may still be under way.
//!
//! Two rules make two writers impossible, whatever the network loses, repeats, delays or reorders, and whenever a controller
//! restarts: a token is granted only after the holder of the one before is known to have none, and a guard that was
//! fenced at a generation never takes that one or an older one again. Both sides write their state down before they send.

use foreshade_types::HostId;
use thiserror::Error;

/// What controller and hosts say to each other about one VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Message {
    /// Shut the guest down and give the token of this generation up.
    Stop(u32),
    /// Give it up now, guest or no guest.
    Fence(u32),
    /// It was given up.
    Fenced(u32),
    /// Take the token of this generation.
    Grant(u32),
    /// It was taken.
    Granted(u32),
    /// A host has booted, for this many times, and takes no token before it is answered.
    Hello(u32),
    /// The answer to that boot: tokens of generations below this are void.
    Rejoin { boot: u32, below: u32 },
}

/// How far a change of the holder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Nothing is under way.
    Held,
    /// The old primary is asked to shut down, since a time in ms.
    Stopping(u64),
    /// It did not, in time: it is cut off.
    Fencing,
    /// It has no token: the new one gets it.
    Granting,
}

/// Why a fail-over is not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FenceError {
    /// Another one is under way.
    #[error("a fail-over is under way; wait for its end")]
    UnderWay,
    /// A repeat, or from somebody who missed one.
    #[error("generation {got} was asked for where {want} is next; read the VM's state anew")]
    Generation {
        /// What was asked for.
        got: u32,
        /// What is next.
        want: u32,
    },
    /// It is there already.
    #[error("the VM is on that host; choose another")]
    SameHost,
}

/// The controller's side, for one VM.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Arbiter {
    generation: u32,
    holder: HostId,
    next: HostId,
    stage: Stage,
}

impl Arbiter {
    /// The VM starts on `holder` with the token of generation 0.
    pub fn new(holder: HostId) -> Self {
        Self { generation: 0, holder, next: holder, stage: Stage::Held }
    }

    /// The newest generation that was granted, or is being.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// How far a change is.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// A live migration brought the VM, token and all, to another host: the hypervisors' hand-over is one step.
    pub fn moved(&mut self, to: HostId) {
        (self.holder, self.next) = (to, to);
    }

    /// Begins to take the token from its holder and give the next generation to `to`.
    ///
    /// # Errors
    /// A generation that is not the next one: each is given once.
    pub fn fail_over(&mut self, to: HostId, generation: u32, now_ms: u64) -> Result<(), FenceError> {
        if self.stage != Stage::Held {
            return Err(FenceError::UnderWay);
        }
        let want = self.generation + 1;
        if generation != want {
            return Err(FenceError::Generation { got: generation, want });
        }
        if to == self.holder {
            return Err(FenceError::SameHost);
        }
        (self.next, self.stage) = (to, Stage::Stopping(now_ms));
        Ok(())
    }

    /// What is to be sent now, again and again until it is answered. A holder that does not shut down within `limit_ms` is
    /// cut off.
    pub fn tick(&mut self, now_ms: u64, limit_ms: u64) -> Option<(HostId, Message)> {
        if let Stage::Stopping(since) = self.stage
            && now_ms.saturating_sub(since) >= limit_ms
        {
            self.stage = Stage::Fencing;
        }
        match self.stage {
            Stage::Held => None,
            Stage::Stopping(_) => Some((self.holder, Message::Stop(self.generation))),
            Stage::Fencing => Some((self.holder, Message::Fence(self.generation))),
            Stage::Granting => Some((self.next, Message::Grant(self.generation))),
        }
    }

    /// Takes an answer; one that belongs to nothing under way changes nothing. Returns what a host that booted is told.
    pub fn hear(&mut self, from: HostId, m: Message) -> Option<Message> {
        if let Message::Hello(boot) = m {
            let below = self.generation + u32::from(from != self.holder);
            return Some(Message::Rejoin { boot, below });
        }
        match (self.stage, m) {
            (Stage::Stopping(_) | Stage::Fencing, Message::Fenced(g))
                if from == self.holder && g == self.generation =>
            {
                self.generation += 1;
                (self.holder, self.stage) = (self.next, Stage::Granting);
            }
            (Stage::Granting, Message::Granted(g)) if from == self.holder && g == self.generation => {
                self.stage = Stage::Held;
            }
            _ => {}
        }
        None
    }

    /// The power of a host is known to be off: whatever ran there has no token.
    pub fn power_is_off(&mut self, host: HostId) {
        match self.stage {
            // It was to get the token and cannot take it: nobody has one until the next fail-over.
            Stage::Granting if host == self.holder => self.stage = Stage::Held,
            _ if host == self.holder => {
                self.hear(host, Message::Fenced(self.generation));
            }
            _ => {}
        }
    }
}

/// The host's side, for its copy of one VM.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Guard {
    token: Option<u32>,
    /// Tokens up to this generation are void here; `None` = none is.
    fenced: Option<u32>,
    boots: u32,
    /// It has booted and was not told yet which tokens are void.
    locked: bool,
}

impl Guard {
    /// A copy that has the first token.
    pub fn holding() -> Self {
        Self { token: Some(0), ..Self::default() }
    }

    /// May this copy write?
    pub fn writes(&self) -> bool {
        self.token.is_some()
    }

    /// Takes a message; the answer, if any. `shuts_down`: its guest does as it is asked.
    pub fn hear(&mut self, m: Message, shuts_down: bool) -> Option<Message> {
        match m {
            Message::Stop(g) if shuts_down || self.token.is_none() => Some(self.fence(g)),
            Message::Fence(g) => Some(self.fence(g)),
            Message::Rejoin { boot, below } if boot == self.boots => {
                self.fenced = self.fenced.max(below.checked_sub(1));
                self.locked = false;
                None
            }
            Message::Grant(g) if self.locked || self.fenced.is_some_and(|f| g <= f) => None,
            Message::Grant(g) if self.token.is_none_or(|t| t <= g) => {
                self.token = Some(g);
                Some(Message::Granted(g))
            }
            _ => None,
        }
    }

    fn fence(&mut self, g: u32) -> Message {
        self.fenced = self.fenced.max(Some(g));
        self.token = self.token.filter(|t| *t > g);
        Message::Fenced(g)
    }

    /// Its host lost its power: a guest that boots again has no token.
    pub fn power_off(&mut self) {
        (self.token, self.locked) = (None, true);
        self.boots += 1;
    }

    /// What it asks the controller until it is told.
    pub fn asks(&self) -> Option<Message> {
        self.locked.then_some(Message::Hello(self.boots))
    }
}
