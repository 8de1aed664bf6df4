//! What is kept of an identity between its connections, so that a lost one loses and repeats nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use foreshade_types::Tick;
use foreshade_wire::{Message, RefusalCode};
use tokio::sync::mpsc;

use super::{PeerId, SendError};

/// What a connection is to write next.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// One encoded message.
    Frame { tick: Option<Tick>, bytes: Bytes },
    /// The last message.
    Refuse { code: RefusalCode, text: String },
    /// The last message.
    Bye { text: String },
    /// A newer connection has taken over: leave without a word on the stream.
    Replaced,
}

/// Into the live connection of an identity.
#[derive(Debug)]
pub(super) struct Queue {
    id: PeerId,
    frames: mpsc::UnboundedSender<Outgoing>,
    /// Frames queued and not yet taken; what bounds the queue, so that a refusal always fits.
    depth: Arc<AtomicUsize>,
    max_depth: usize,
}

impl Queue {
    pub(super) fn new(id: PeerId, max_depth: usize) -> (Self, mpsc::UnboundedReceiver<Outgoing>) {
        let (frames, receiver) = mpsc::unbounded_channel();
        (Self { id, frames, depth: Arc::default(), max_depth }, receiver)
    }

    pub(super) fn depth(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.depth)
    }

    fn push(&self, tick: Option<Tick>, bytes: Bytes) -> Result<(), SendError> {
        if self.depth.fetch_add(1, Ordering::Relaxed) >= self.max_depth {
            self.depth.fetch_sub(1, Ordering::Relaxed);
            return Err(SendError::Full);
        }
        self.frames.send(Outgoing::Frame { tick, bytes }).map_err(|_| SendError::Gone)
    }
}

/// One identity.
#[derive(Debug, Default)]
pub(super) struct Slot {
    state: Mutex<State>,
    /// Held by the live connection; a newer one waits here until the older has said `Down`.
    pub(super) turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    live: Option<Queue>,
    /// The newest connection, live or waiting for its turn.
    newest: Option<PeerId>,
    /// The last `Release` or `Decisions`, until it is answered.
    unanswered: Option<(Tick, Bytes)>,
    /// The last tick handed to the appliance.
    done: Option<Tick>,
}

/// What to do with a tick a peer has sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Hand it over: it was asked for and is new.
    New,
    /// Drop it: it was handed over before.
    Repeated,
    /// Nobody asked for it; this tick, or none, was asked for.
    Unasked(Option<Tick>),
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while holding it; and if it did, the state is whole between statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection of this identity was authenticated: the live one is told to leave.
    pub(super) fn announce(&self, id: PeerId) {
        let mut state = self.lock();
        state.newest = state.newest.max(Some(id));
        if let Some(live) = &state.live {
            let _ = live.frames.send(Outgoing::Replaced);
        }
    }

    /// Makes a connection the live one. Returns the frame to repeat to it, or `Err` if a newer one is waiting.
    pub(super) fn enter(&self, queue: Queue) -> Result<Option<(Tick, Bytes)>, ()> {
        let mut state = self.lock();
        if state.newest > Some(queue.id) {
            return Err(());
        }
        state.live = Some(queue);
        Ok(state.unanswered.clone())
    }

    /// The connection has ended.
    pub(super) fn leave(&self, id: PeerId) {
        let mut state = self.lock();
        if state.live.as_ref().is_some_and(|q| q.id == id) {
            state.live = None;
        }
    }

    pub(super) fn send(&self, message: &Message) -> Result<(), SendError> {
        let bytes = message.encode()?;
        let tick = message.tick();
        let mut state = self.lock();
        if let (Message::Release { .. } | Message::Decisions { .. }, Some(tick)) = (message, tick) {
            state.unanswered = Some((tick, bytes.clone()));
        }
        state.live.as_ref().ok_or(SendError::Gone)?.push(tick, bytes)
    }

    pub(super) fn refuse(&self, id: PeerId, code: RefusalCode, text: String) {
        if let Some(live) = self.lock().live.as_ref().filter(|q| q.id == id) {
            let _ = live.frames.send(Outgoing::Refuse { code, text });
        }
    }

    pub(super) fn bye(&self, text: &str) {
        if let Some(live) = &self.lock().live {
            let _ = live.frames.send(Outgoing::Bye { text: text.into() });
        }
    }

    /// What a tick sent by the peer is worth, without taking it yet.
    pub(super) fn look(&self, tick: Tick) -> Claim {
        claim(&self.lock(), tick)
    }

    /// Takes a tick: after `New` it is done, and `hand_over` has run before anybody else can take it.
    pub(super) fn take(&self, tick: Tick, hand_over: impl FnOnce()) -> Claim {
        let mut state = self.lock();
        let claim = claim(&state, tick);
        if claim == Claim::New {
            state.done = Some(tick);
            state.unanswered = None;
            hand_over();
        }
        claim
    }
}

fn claim(state: &State, tick: Tick) -> Claim {
    let asked = state.unanswered.as_ref().map(|(tick, _)| *tick);
    if asked == Some(tick) {
        Claim::New
    } else if state.done.is_some_and(|done| tick <= done) {
        Claim::Repeated
    } else {
        Claim::Unasked(asked)
    }
}
