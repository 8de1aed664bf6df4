//! `foreshade`: forecasts what the VMs of a rack will need, and acts before they need it.

use std::process::ExitCode;

use clap::Parser;
use foreshade::cli::{Cli, one_line};

/// Mesa's layer that sorts devices looks for a Wayland display and, on a server without one, complains on stderr.
const MESA_NO_DEVICE_SELECT: &str = "NODEVICE_SELECT";

fn main() -> ExitCode {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: upheld by `main`: this is its first statement, so no other thread reads or writes the environment.
        unsafe { std::env::set_var(MESA_NO_DEVICE_SELECT, "1") };
    }
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
