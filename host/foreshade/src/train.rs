//! `foreshade train`: options to a job, progress to the terminal.

use std::path::{Path, PathBuf};
use std::time::Instant;

use foreshade_forecast::lstm::Profile;
use foreshade_train::{Comparison, Event, Job, MODEL, Member, Recipe, TrainError, run};

use crate::Failure;
use crate::cli::TrainArgs;
use crate::view::{Progress, say};

/// Characters of a command line that no shell takes for its own.
const PLAIN: &str = "-_./:=,+@%";

/// `foreshade train`
pub(crate) fn command(args: &TrainArgs) -> Result<(), Failure> {
    let job = job(args);
    let start = Instant::now();
    let mut progress: Option<Progress> = None;
    let line = |text: &str, progress: &Option<Progress>| match (args.json, progress) {
        (true, _) => {}
        (false, Some(p)) => p.print(text),
        (false, None) => say(text),
    };
    let card = run(&job, &mut |event| match event {
        Event::Batches { done, total } => {
            progress.get_or_insert_with(|| Progress::new(total, "train", false)).at(done);
        }
        event => line(&text(&event), &progress),
    });
    if let Some(p) = progress {
        p.finish();
    }
    let card = card.map_err(|e| match e {
        TrainError::Usage(_) => Failure::Usage(e.to_string()),
        e => Failure::failed(&e),
    })?;
    if args.json {
        let card = serde_json::to_string_pretty(&card).map_err(|e| Failure::Failed(e.to_string()))?;
        say(&(card + "\n"));
        return Ok(());
    }
    let file = args.out.join(MODEL);
    say(&format!("{}: trained in {:.0} s\n", file.display(), start.elapsed().as_secs_f64()));
    Ok(())
}

fn job(args: &TrainArgs) -> Job {
    let default = Recipe::default();
    let profile = |name: &String| Profile::ALL.into_iter().find(|p| p.name() == name);
    Job {
        input: args.input.clone(),
        calib: args.calib.clone(),
        exclude: args.exclude.clone(),
        init: args.init.as_deref().map(model_file),
        out: args.out.clone(),
        profile: args.profile.as_ref().and_then(profile),
        member: args.member.as_deref().map(|m| if m == "lstm" { Member::Lstm } else { Member::Mlp }),
        resume: args.resume,
        force: args.force,
        threads: usize::from(args.threads),
        recipe: Recipe {
            seed: args.seed,
            hidden: args.hidden.map_or(default.hidden, usize::from),
            width: args.width.map_or(default.width, usize::from),
            behaviours: usize::from(args.behaviours),
            mlp_hidden: default.mlp_hidden,
            epochs: args.epochs,
            batches: args.batches,
            batch: args.batch as usize,
            rate: args.rate,
            patience: args.patience,
        },
        command: typed(),
        version: env!("CARGO_PKG_VERSION"),
    }
}

/// A folder stands for the model in it.
fn model_file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(MODEL) } else { path.to_owned() }
}

/// The command line as a person would type it again.
fn typed() -> String {
    let word = |w: std::ffi::OsString| {
        let w = w.to_string_lossy().into_owned();
        let plain = !w.is_empty() && w.chars().all(|c| c.is_ascii_alphanumeric() || PLAIN.contains(c));
        if plain { w } else { format!("'{}'", w.replace('\'', "'\\''")) }
    };
    let words = std::env::args_os().skip(1).map(word);
    std::iter::once("foreshade".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// One line per event.
fn text(event: &Event<'_>) -> String {
    match event {
        Event::Begins { task, sets, series, epochs } => {
            let on = format!("{}: {series} series in {sets} data sets", task.name());
            if *epochs == 0 { on + "\n" } else { format!("{on}, {epochs} epochs done\n") }
        }
        Event::Epoch { task, epoch, of, loss: [trained, judged], best } => {
            let best = if *best { ", the best" } else { "" };
            format!("{} epoch {epoch}/{of}: loss {trained:.4}, judged {judged:.4}{best}\n", task.name())
        }
        Event::Figures { set, figures } => figures_line(set, figures),
        Event::Batches { .. } => String::new(),
    }
}

fn figures_line(set: &str, f: &Comparison) -> String {
    let (m, r) = (f.model, f.last_value_and_rise);
    format!(
        "{set}: pinball {:.4} (last value and rise {:.4}), coverage of 90 % {:.3}, peak above its 95 % bound {:.3}; {} forecasts\n",
        m.pinball, r.pinball, m.coverage90, m.peak_violations95, f.origins
    )
}
