//! Standard output that may go away: a reader that has seen enough (`| head`) ends nothing, a full disk is said once.

use std::io::{ErrorKind, Write};
use std::sync::{Mutex, PoisonError};

use crate::Failure;

/// The first thing that could not be printed, and whether anybody still listens.
#[derive(Debug)]
struct Lost {
    silent: bool,
    why: Option<String>,
}

static LOST: Mutex<Lost> = Mutex::new(Lost { silent: false, why: None });

/// Prints, or notes why not; after that nothing more is tried.
pub(crate) fn say(text: &str) {
    let mut lost = LOST.lock().unwrap_or_else(PoisonError::into_inner);
    if lost.silent {
        return;
    }
    let mut out = std::io::stdout().lock();
    if let Err(e) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        lost.silent = true;
        lost.why = (e.kind() != ErrorKind::BrokenPipe).then(|| e.to_string());
    }
}

/// Prints to standard error; who closed it does not want to know.
pub(crate) fn note(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Was everything printed that anybody wanted to read?
pub(crate) fn said() -> Result<(), Failure> {
    let lost = LOST.lock().unwrap_or_else(PoisonError::into_inner);
    match &lost.why {
        None => Ok(()),
        Some(e) => Err(Failure::Failed(format!(
            "cannot write standard output: {e}; free space or send it elsewhere"
        ))),
    }
}
