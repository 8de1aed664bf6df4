//! Progress with time left: a bar on a terminal, a line every tenth of the way otherwise.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::Instant;

use super::{note, say};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Progress of a long run, on stderr.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    what: &'static str,
    total: u64,
    start: Instant,
    tenth: Cell<u64>,
}

impl Progress {
    pub(crate) fn new(total: u64, what: &'static str, plain: bool) -> Self {
        let bar = (!plain && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len}, {eta} left");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
            bar.set_message(what);
            bar
        });
        Self { bar, what, total, start: Instant::now(), tenth: Cell::new(0) }
    }

    /// `done` of the total.
    pub(crate) fn at(&self, done: u64) {
        if let Some(bar) = &self.bar {
            return bar.set_position(done);
        }
        let tenth = done * 10 / self.total.max(1);
        if tenth > self.tenth.replace(tenth.max(self.tenth.get())) && done < self.total {
            let left = self.start.elapsed().as_secs_f64() * (self.total - done) as f64 / done as f64;
            let (what, total, percent) = (self.what, self.total, tenth * 10);
            note(&format!("{what}: {done}/{total} ({percent} %), {left:.0} s left\n"));
        }
    }

    /// Prints without disturbing the bar.
    pub(crate) fn print(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
