//! CI lanes, mutants and house rules: `cargo xtask ci [LANE...]`, `cargo xtask bite [--only NAME]`.
//!
//! A person runs what CI runs. Lanes are in [`ci`], one file each; the house rules are tests of this crate (`tidy/`).

mod bite;
mod bridge;
mod ci;
mod demo;
mod devices;
mod fast;
mod house;
mod report;
mod run;
mod sheet;
#[cfg(test)]
mod tidy;

use std::process::ExitCode;

use ci::Lane;
use house::House;

fn usage() -> String {
    let mut text = String::from(
        "usage:\n  cargo xtask ci [LANE...]         run lanes; all when none is named\n  \
         cargo xtask bite [--only NAME]   run the mutants, or one of them\n\nlanes:\n",
    );
    for lane in Lane::ALL {
        text.push_str(&format!("  {:<13} {}\n", lane.name(), lane.help()));
    }
    text.push_str(
        "\nenvironment:\n  FORESHADE_DATA   folder of larger traces; lane bench-bridge is skipped without it\n  \
         REQUIRE          comma list of data, bridge, cpu, cc, opencl, wgpu, cuda, ptx: what may not be skipped\n",
    );
    text
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Ask {
    Lanes(Vec<Lane>),
    Bite { only: Option<String> },
    Help,
}

fn parse(args: &[String]) -> Result<Ask, String> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["help" | "-h" | "--help"] => Ok(Ask::Help),
        ["ci"] => Ok(Ask::Lanes(Lane::ALL.to_vec())),
        ["ci", names @ ..] => names.iter().map(|n| Lane::parse(n)).collect::<Result<_, _>>().map(Ask::Lanes),
        ["bite"] => Ok(Ask::Bite { only: None }),
        ["bite", "--only", name] => Ok(Ask::Bite { only: Some((*name).into()) }),
        [] => Err("no command given".into()),
        _ => Err(format!("not understood: {}", words.join(" "))),
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match parse(&args) {
        Ok(Ask::Help) => {
            print!("{}", usage());
            return ExitCode::SUCCESS;
        }
        Ok(Ask::Lanes(lanes)) => House::find().map(|h| ci::run(&h, &lanes)),
        Ok(Ask::Bite { only }) => House::find().map(|h| ci::run_bite(&h, only.as_deref())),
        Err(why) => {
            eprint!("xtask: {why}\n\n{}", usage());
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("xtask: {e:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Ask, Lane, parse};

    fn ask(line: &str) -> Result<Ask, String> {
        parse(&line.split_whitespace().map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn names_lanes_and_mutants() {
        assert_eq!(ask("ci"), Ok(Ask::Lanes(Lane::ALL.to_vec())));
        assert_eq!(ask("ci bite fast"), Ok(Ask::Lanes(vec![Lane::Bite, Lane::Fast])));
        assert_eq!(ask("bite --only x"), Ok(Ask::Bite { only: Some("x".into()) }));
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert!(ask("ci fsat").unwrap_err().contains("fsat"));
        assert!(ask("bite --only").is_err());
        assert!(ask("").is_err());
    }
}
