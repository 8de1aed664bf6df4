//! A device behind its own thread. The caller never waits longer than a deadline: a device that does not answer in time
//! is left alone with its thread and the memory it was given, and nothing of it is used again.

use std::collections::VecDeque;
use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use foreshade_kernels::KernelId;

use crate::backend::{Backend, BackendError, BufferId, DeviceInfo, Job, Ticket, Timing};

/// Commands that may wait for the device: two jobs in flight with their collects, each with buffers to free.
const QUEUE: usize = 64;

/// Longest to wait for a device to end: its driver may hang there too, and nobody needs it any more.
const TEARDOWN: Duration = Duration::from_millis(250);

enum Command {
    Alloc(usize),
    Free(Vec<BufferId>),
    WarmUp(KernelId),
    Submit(Job),
    Collect(Ticket),
}

enum Reply {
    Buffer(Result<BufferId, BackendError>),
    Warm(Result<(), BackendError>),
    Ticket(Result<Ticket, BackendError>),
    Done(Result<(Job, Timing), BackendError>),
}

/// Why a device did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// It said so.
    #[error("{0}")]
    Backend(#[from] BackendError),
    /// No answer in time.
    #[error("no answer within {} ms", .0.as_millis())]
    Late(Duration),
    /// Its thread ended.
    #[error("its driver crashed")]
    Gone,
}

/// The caller's end.
pub struct Port {
    info: DeviceInfo,
    supported: Vec<KernelId>,
    commands: Option<SyncSender<Command>>,
    replies: Receiver<Reply>,
    thread: Option<JoinHandle<()>>,
    /// Answers to submits that came while something else was waited for.
    tickets: VecDeque<Result<Ticket, BackendError>>,
    /// Buffers to free with the next command.
    freed: Vec<BufferId>,
    /// It answered too late or not at all: its thread is not waited for any more.
    dead: bool,
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Port {{ device: {:?}, dead: {} }}", self.info.device, self.dead)
    }
}

impl Port {
    /// Gives a device its thread.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn new(device: Box<dyn Backend>) -> Result<Self, PortError> {
        let info = device.info().clone();
        let supported = KernelId::ALL.into_iter().filter(|&k| device.supports(k)).collect();
        let (commands, inbox) = sync_channel(QUEUE);
        let (outbox, replies) = sync_channel(QUEUE);
        let name = format!("device-{}", info.driver);
        let thread = thread::Builder::new()
            .name(name.chars().take(15).collect())
            .spawn(move || serve(device, &inbox, &outbox))
            .map_err(|_| PortError::Gone)?;
        Ok(Self {
            info,
            supported,
            commands: Some(commands),
            replies,
            thread: Some(thread),
            tickets: VecDeque::new(),
            freed: Vec::new(),
            dead: false,
        })
    }

    /// What the device is.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// Can it run this kernel?
    pub fn supports(&self, kernel: KernelId) -> bool {
        self.supported.contains(&kernel)
    }

    /// As [`Backend::alloc`].
    ///
    /// # Errors
    /// The device's, or no answer in time.
    pub fn alloc(&mut self, words: usize, patience: Duration) -> Result<BufferId, PortError> {
        self.send(Command::Alloc(words))?;
        match self.receive(patience)? {
            Reply::Buffer(buffer) => Ok(buffer?),
            _ => Err(self.give_up(PortError::Gone)),
        }
    }

    /// As [`Backend::free`], with the next command: any number of them takes one place in the queue.
    pub fn free(&mut self, buffer: BufferId) {
        self.freed.push(buffer);
    }

    /// As [`Backend::warm_up`].
    ///
    /// # Errors
    /// The device's, or no answer in time.
    pub fn warm_up(&mut self, kernel: KernelId, patience: Duration) -> Result<(), PortError> {
        self.send(Command::WarmUp(kernel))?;
        match self.receive(patience)? {
            Reply::Warm(done) => Ok(done?),
            _ => Err(self.give_up(PortError::Gone)),
        }
    }

    /// As [`Backend::submit`], without waiting: what goes wrong is said by [`Self::collect`], once per submit and in the
    /// same order.
    ///
    /// # Errors
    /// The device is dead.
    pub fn submit(&mut self, job: Job) -> Result<(), PortError> {
        self.send(Command::Submit(job))
    }

    /// Waits for the oldest job that was not collected.
    ///
    /// # Errors
    /// The device's, or no answer in time.
    pub fn collect(&mut self, patience: Duration) -> Result<(Job, Timing), PortError> {
        let started = Instant::now();
        let ticket = match self.tickets.pop_front() {
            Some(ticket) => ticket?,
            None => match self.answer(patience)? {
                Reply::Ticket(ticket) => ticket?,
                _ => return Err(self.give_up(PortError::Gone)),
            },
        };
        self.send(Command::Collect(ticket))?;
        match self.receive(patience.saturating_sub(started.elapsed())) {
            Ok(Reply::Done(done)) => Ok(done?),
            Ok(_) => Err(self.give_up(PortError::Gone)),
            // What was left of the deadline says nothing to a reader.
            Err(PortError::Late(_)) => Err(PortError::Late(patience)),
            Err(other) => Err(other),
        }
    }

    /// Submits and waits.
    ///
    /// # Errors
    /// As both.
    pub fn run(&mut self, job: Job, patience: Duration) -> Result<(Job, Timing), PortError> {
        self.submit(job)?;
        self.collect(patience)
    }

    /// Never waits for this device again, not even to end its thread.
    pub fn abandon(&mut self) {
        self.dead = true;
    }

    /// May it still be asked? Not after it was late, crashed or was abandoned.
    pub fn is_alive(&self) -> bool {
        !self.dead
    }

    fn send(&mut self, command: Command) -> Result<(), PortError> {
        let Some(commands) = self.commands.as_ref().filter(|_| !self.dead) else {
            return Err(PortError::Gone);
        };
        let freed = std::mem::take(&mut self.freed);
        let frees = (!freed.is_empty()).then_some(Command::Free(freed));
        match frees.into_iter().chain([command]).try_for_each(|c| commands.try_send(c)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(self.give_up(PortError::Late(Duration::ZERO))),
            Err(TrySendError::Disconnected(_)) => Err(self.give_up(PortError::Gone)),
        }
    }

    /// The next answer that is not one to a submit.
    fn receive(&mut self, patience: Duration) -> Result<Reply, PortError> {
        let started = Instant::now();
        loop {
            match self.answer(patience.saturating_sub(started.elapsed()))? {
                Reply::Ticket(ticket) => self.tickets.push_back(ticket),
                other => return Ok(other),
            }
        }
    }

    fn answer(&mut self, patience: Duration) -> Result<Reply, PortError> {
        match self.replies.recv_timeout(patience) {
            Ok(reply) => Ok(reply),
            Err(RecvTimeoutError::Timeout) => Err(self.give_up(PortError::Late(patience))),
            Err(RecvTimeoutError::Disconnected) => Err(self.give_up(PortError::Gone)),
        }
    }

    fn give_up(&mut self, why: PortError) -> PortError {
        self.dead = true;
        why
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.commands = None;
        // A dead device may never come back; waiting for it would hang its user too.
        let Some(thread) = self.thread.take().filter(|_| !self.dead) else { return };
        let started = Instant::now();
        loop {
            match self.replies.recv_timeout(TEARDOWN.saturating_sub(started.elapsed())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return,
                // The device is dropped before its end of the channel.
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let _ = thread.join();
    }
}

fn serve(mut device: Box<dyn Backend>, inbox: &Receiver<Command>, outbox: &SyncSender<Reply>) {
    while let Ok(command) = inbox.recv() {
        let reply = match command {
            Command::Alloc(words) => Reply::Buffer(device.alloc(words)),
            Command::Free(buffers) => {
                buffers.into_iter().for_each(|b| device.free(b));
                continue;
            }
            Command::WarmUp(kernel) => Reply::Warm(device.warm_up(kernel)),
            Command::Submit(job) => Reply::Ticket(device.submit(job)),
            Command::Collect(ticket) => Reply::Done(device.collect(ticket)),
        };
        if outbox.send(reply).is_err() {
            return;
        }
    }
}
