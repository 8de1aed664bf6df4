//! The program behind `foreshade`: subcommands, and what they show. `main.rs` only maps results to exit codes.

mod bench;
pub mod cli;
pub mod demo;
mod devices;
mod error;
mod exclude;
mod explain;
mod hops;
mod offline;
mod output;
mod picture;
mod policy;
mod top;
mod trace;
mod train;
pub mod view;
mod warnings;

pub use error::Failure;
pub use trace::Traces;

use cli::{Cli, Command};

/// Runs a parsed command line. Returns when the command is done.
pub fn run(cli: Cli) -> Result<(), Failure> {
    // The demo installs them beside the timer of its hops.
    if !matches!(cli.command, Command::Demo(_)) {
        warnings::Warnings::install();
    }
    if let Some(problem) = foreshade_accel::probe::disable_problem() {
        eprintln!("foreshade: {problem}");
    }
    let done = match cli.command {
        Command::Demo(args) => demo::command(args),
        Command::Backtest(args) => offline::backtest(&args),
        Command::Forecast(args) => offline::forecast(&args),
        Command::Devices(args) => devices::command(&args),
        Command::Train(args) => train::command(&args),
        Command::Bench(args) => bench::command(&args),
        Command::Explain(args) => explain::command(&args),
        Command::Top(args) => top::command(&args),
        Command::Plan(args) => policy::command(&args),
        other => Err(Failure::NotBuilt(other.name())),
    };
    done.and_then(|()| view::said())
}
