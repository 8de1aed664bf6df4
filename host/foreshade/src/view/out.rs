//! Standard output that may go away: a reader that has seen enough (`| head`) ends nothing, a full disk is said once.

use std::io::{ErrorKind, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Failure;

/// The first thing that could not be printed, and whether anybody still listens.
#[derive(Debug)]
struct Lost {
    silent: bool,
    why: Option<String>,
}

static LOST: Mutex<Lost> = Mutex::new(Lost { silent: false, why: None });

/// What was said while a screen has the terminal; `None` = nothing has it. True = for standard error.
static HELD: Mutex<Option<Vec<(bool, String)>>> = Mutex::new(None);

fn held() -> MutexGuard<'static, Option<Vec<(bool, String)>>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps what is said until [`let_go`].
pub(super) fn hold() {
    *held() = Some(vec![]);
}

/// Says what was kept, in its order.
pub(super) fn let_go() {
    let kept = held().take().unwrap_or_default();
    kept.iter().for_each(|(aside, text)| if *aside { note(text) } else { say(text) });
}

/// Keeps a text while a screen has the terminal. False = it is to be said now.
fn kept(aside: bool, text: &str) -> bool {
    held().as_mut().map(|kept| kept.push((aside, text.to_owned()))).is_some()
}

/// Prints, or notes why not; after that nothing more is tried.
pub(crate) fn say(text: &str) {
    if kept(false, text) {
        return;
    }
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
    if !kept(true, text) {
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
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
