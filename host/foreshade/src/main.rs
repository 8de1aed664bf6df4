//! `foreshade`: forecasts what the VMs of a rack will need, and acts before they need it.

use std::process::ExitCode;

use clap::Parser;
use foreshade::cli::{Cli, one_line};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are answers; of a wrong command line one line is enough.
        Err(e) => match one_line(&e) {
            None => e.exit(),
            Some(line) => {
                eprintln!("foreshade: {line}");
                return ExitCode::from(2);
            }
        },
    };
    match foreshade::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("foreshade: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}
