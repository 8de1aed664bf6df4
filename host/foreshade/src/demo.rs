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
use std::sync::Arc;

use foreshade_appliance::Observer;
use foreshade_sim::report::Report;
use tokio::sync::watch;

use crate::Failure;
use crate::cli::DemoArgs;
use crate::output::{check, write_json};
use crate::view::screen::{self, Live, Order, Orders, Screen};
use crate::view::{Feed, say, table};

/// `foreshade demo`
pub(crate) fn command(args: DemoArgs) -> Result<(), Failure> {
    // Whoever follows one VM wants its lines.
    let lines = args.plain || args.follow.is_some() || !screen::wanted();
    args.report.as_deref().map(check).transpose()?;
    let demo = Demo::new(&args)?;
    let hooks = Hooks { interrupt: true, ..Hooks::default() };
    let report = if lines { in_lines(&demo, hooks, &args)? } else { on_screen(&demo, hooks, &args)? };
    let note = "foreshade ran over QUIC, the others in process on the same racks";
    let tables = [
        table::policies(&report, Some(note)),
        table::forecast(&report),
        table::outlook(&report),
        table::anomalies(&report),
        table::changed(&report),
        table::hops(&report),
    ];
    say(&tables.concat());
    if let Some(path) = &args.report {
        write_json(path, &report)?;
        say(&format!("report: {}\n", path.display()));
    }
    Ok(())
}

fn in_lines(demo: &Demo, hooks: Hooks, args: &DemoArgs) -> Result<Report, Failure> {
    let mut feed = Feed::new(demo, args.plain || !std::io::stdout().is_terminal());
    let report = run(demo, hooks, &mut feed)?;
    feed.finish();
    Ok(report)
}

/// The report is written before anybody is waited for.
fn on_screen(demo: &Demo, hooks: Hooks, args: &DemoArgs) -> Result<Report, Failure> {
    let live = Live::new(demo, hooks.hops.clone(), screen::colour());
    let stop = Arc::clone(&hooks.stop);
    let hooks = Hooks { enacted: Arc::new(live.enacted()), ..hooks };
    let view = Screen::open(live.shared(), Box::new(Keys(Arc::clone(&stop))))?;
    let mut live = live;
    let report = run(demo, hooks, &mut live as &mut dyn Observer)?;
    if let Some(path) = &args.report {
        write_json(path, &report)?;
    }
    if !*stop.borrow() {
        view.wait(|| *stop.borrow());
    }
    Ok(report)
}

/// What the view's keys do to a demo.
struct Keys(Arc<watch::Sender<bool>>);

impl Orders for Keys {
    fn quit(&mut self) {
        self.0.send_replace(true);
    }

    fn order(&mut self, order: Order) -> String {
        match order {
            Order::PauseActing => "the demo cannot be paused yet".into(),
            Order::Approve(id) => format!("{id} needs no approval: the demo acts by itself"),
        }
    }
}
