//! `foreshade plan`: policies on paper; and the reader of `--policy`.

use std::fs;
use std::path::Path;

use foreshade_plan::{FileError, Policy, Preset, describe};

use crate::Failure;
use crate::cli::PlanArgs;
use crate::view::say;

/// `foreshade plan`
pub(crate) fn command(args: &PlanArgs) -> Result<(), Failure> {
    if args.print_policy {
        let preset = args.preset.as_deref().and_then(Preset::named).unwrap_or_default();
        say(&describe::as_toml(preset));
    }
    if args.json_schema {
        say(&describe::as_json_schema());
    }
    if let Some(path) = &args.policy {
        check(path)?;
    }
    Ok(())
}

/// Says everything that is wrong with a file, a line each.
fn check(path: &Path) -> Result<(), Failure> {
    let file = path.display();
    match Policy::parse(&text(path)?) {
        Ok(_) => {
            say(&format!("{file}: every setting is known and in its range\n"));
            Ok(())
        }
        Err(wrong) => {
            say(&wrong.iter().map(|e| format!("{file}: {e}\n")).collect::<String>());
            let (n, s) = (wrong.len(), if wrong.len() == 1 { "" } else { "s" });
            Err(Failure::Usage(format!(
                "{file}: {n} setting{s} to correct; `foreshade plan --print-policy` lists what there is"
            )))
        }
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    let cannot =
        |e| Failure::Usage(format!("{}: cannot read it: {e}; --policy names a TOML file", path.display()));
    fs::read_to_string(path).map_err(cannot)
}

/// Reads the file that `--policy` names.
pub(crate) fn read(path: &Path) -> Result<Policy, Failure> {
    let told = |wrong: Vec<FileError>| {
        let all: Vec<_> = wrong.iter().map(ToString::to_string).collect();
        Failure::Usage(format!("{}: {}", path.display(), all.join("; ")))
    };
    Policy::parse(&text(path)?).map_err(told)
}
