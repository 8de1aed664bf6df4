//! The demo: the whole product in one process. Agents, appliance and controllers are three threads that know each other
//! only by QUIC on loopback; the simulated racks are the machines that agents measure and controllers act on.
//!
//! ```text
//!  trace -> World --observe--> agents ==QUIC==> appliance (core, journal) ==QUIC==> controllers --enact--> World
//! ```

mod parts;
mod run;

pub(crate) use run::decision_tick;
pub use run::{Demo, Hooks, Peer, run};

use std::io::IsTerminal;

use crate::Failure;
use crate::cli::DemoArgs;
use crate::output::{check, write_json};
use crate::view::{Feed, say, table};

/// `foreshade demo`
pub(crate) fn command(args: DemoArgs) -> Result<(), Failure> {
    let plain = args.plain || !std::io::stdout().is_terminal();
    let hooks = Hooks { interrupt: true, ..Hooks::default() };
    args.report.as_deref().map(check).transpose()?;
    let demo = Demo::new(&args)?;
    let mut feed = Feed::new(&demo, plain);
    let report = run(&demo, hooks, &mut feed)?;
    feed.finish();
    let note = "foreshade ran over QUIC, the others in process on the same racks";
    let tables = [
        table::policies(&report, Some(note)),
        table::forecast(&report),
        table::outlook(&report),
        table::anomalies(&report),
        table::hops(&report),
    ];
    say(&tables.concat());
    if let Some(path) = &args.report {
        write_json(path, &report)?;
        say(&format!("report: {}\n", path.display()));
    }
    Ok(())
}
