//! The shell around the core: link events in, journal and link out. `select() -> Event`, then a synchronous `apply`.

mod journal;
mod serve;

pub use journal::{Chain, Link, RedbJournal};
pub use serve::{ApplianceError, Control, End, Observer, Options, Said, run};
