//! `foreshade`: forecasts what the VMs of a rack will need, and acts before they need it.

use std::process::ExitCode;

use clap::Parser;
use foreshade::cli::Cli;

fn main() -> ExitCode {
    match foreshade::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("foreshade: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}
