//! Whole jobs on small data: what comes out, that it comes out again, and what is said when nothing can.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, Int64Array, RecordBatch, StringArray};
use foreshade_forecast::lstm::{LstmModel, Profile};
use foreshade_train::{CARD, Event, Job, MODEL, Member, Net, Recipe, Task, TrainError, run};
use parquet::arrow::ArrowWriter;
use safetensors::SafeTensors;
use serde_json::Value;
use tempfile::TempDir;

const CHECKPOINT: &str = "checkpoint.safetensors";

/// Series of two waves and a pseudo-random part; every 50th sample of the first is missing.
fn write(path: &Path, columns: &[&str], vms: usize, samples: usize, cadence_slots: usize) {
    let (mut names, mut slots) = (vec![], vec![]);
    let mut values: Vec<Vec<Option<f32>>> = vec![vec![]; columns.len()];
    for vm in 0..vms {
        for i in 0..samples {
            names.push(format!("vm{vm}"));
            slots.push((i * cadence_slots) as i64);
            for (c, column) in values.iter_mut().enumerate() {
                let noise = ((i * 7919 + vm * 104_729 + c * 31) % 1009) as f32 / 100.0;
                let wave = ((i + 17 * vm) as f32 / (9.0 + vm as f32)).sin() * 15.0 + 25.0 + noise;
                column.push((vm > 0 || i % 50 != 49).then_some(wave));
            }
        }
    }
    let mut arrays: Vec<(&str, ArrayRef)> =
        vec![("series", Arc::new(StringArray::from(names))), ("slot", Arc::new(Int64Array::from(slots)))];
    for (name, v) in columns.iter().zip(values) {
        arrays.push((name, Arc::new(Float32Array::from(v))));
    }
    let batch = RecordBatch::try_from_iter(arrays).unwrap();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// A folder with an input of both profiles, and a job on it that takes a moment.
fn small() -> (TempDir, Job) {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("fleet.parquet");
    write(&input, &["cpu_pct", "net_tx_kbs"], 4, 400, 1);
    let job = Job {
        input: vec![input],
        calib: vec![],
        exclude: None,
        init: None,
        out: dir.path().join("model"),
        profile: None,
        member: None,
        resume: false,
        force: false,
        threads: 1,
        recipe: Recipe {
            hidden: 4,
            width: 6,
            behaviours: 2,
            epochs: Some(3),
            batches: 2,
            batch: 6,
            ..Recipe::default()
        },
        command: "foreshade train".into(),
        version: "0",
    };
    (dir, job)
}

fn quiet(job: &Job) -> Result<foreshade_train::card::Card, TrainError> {
    run(job, &mut |_| {})
}

fn model(job: &Job) -> Vec<u8> {
    fs::read(job.out.join(MODEL)).unwrap()
}

fn card(job: &Job) -> Value {
    serde_json::from_slice(&fs::read(job.out.join(CARD)).unwrap()).unwrap()
}

/// The error's line.
fn refused(job: &Job) -> String {
    let line = quiet(job).unwrap_err().to_string();
    assert!(!line.contains('\n') && line.len() < 300, "{line}");
    line
}

#[test]
fn a_job_makes_a_model_that_is_read_and_a_card_that_describes_it() {
    let (_dir, job) = small();
    let mut epochs = 0;
    let mut last = (0, 0);
    run(&job, &mut |e| match e {
        Event::Epoch { .. } => epochs += 1,
        Event::Batches { done, total } => {
            assert!(done > last.0, "progress goes on");
            last = (done, total);
        }
        _ => {}
    })
    .unwrap();
    // Of both weight sets: the LSTM, the network of all series, and those of two behaviours.
    assert_eq!((epochs, last), (2 * (3 + 3 + 1 + 1), (32, 32)));
    let read = LstmModel::from_safetensors(&model(&job)).unwrap();
    assert_eq!(read.weights(Profile::Cpu).dims().hidden, 4);
    assert_ne!(read.weights(Profile::Cpu), read.weights(Profile::Other));
    for profile in Profile::ALL {
        let mlps = read.mlps(profile).unwrap();
        assert_eq!((mlps.nets.len(), mlps.behaviours.centres.len()), (3, 2));
        assert!(mlps.nets.iter().all(|n| n.layers()[0].w_hh.iter().all(|w| *w == 0.0)), "no memory");
        assert!(mlps.nets[1] != mlps.nets[0] && mlps.nets[2] != mlps.nets[1]);
    }
    let card = card(&job);
    for (group, set) in [("cpu", "fleet:cpu_pct"), ("other", "fleet:net_tx_kbs")] {
        let group = &card["groups"][group];
        assert_eq!(group["series"][set], 3, "one of four is held out");
        assert_eq!(group["curve"].as_array().unwrap().len(), 3);
        let figures = &group["calib"][set];
        assert!(figures["origins"].as_u64().unwrap() > 10);
        assert!(figures["model"]["pinball"].as_f64().unwrap() > 0.0);
        assert!((0.0..=1.0).contains(&figures["model"]["coverage90"].as_f64().unwrap()));
        assert_ne!(figures["model"], figures["last_value_and_rise"]);
    }
    let hashes = card["trained_on"]["hashes"].as_array().unwrap();
    let known: Vec<String> = (0..4)
        .map(|vm| format!("{:016x}", foreshade_train::card::fnv1a64(format!("fleet:{vm}").as_bytes())))
        .collect();
    assert_eq!(hashes.len(), 3);
    assert!(hashes.iter().all(|h| known.contains(&h.as_str().unwrap().to_owned())), "{hashes:?}");
    assert!(!job.out.join(CHECKPOINT).exists(), "nothing is left to resume");
}

#[test]
fn the_same_job_gives_the_same_bytes_on_any_number_of_threads() {
    let (dir, job) = small();
    quiet(&job).unwrap();
    for threads in [2, 5] {
        let again = Job { threads, out: dir.path().join(format!("{threads}")), ..job.clone() };
        quiet(&again).unwrap();
        assert_eq!(model(&again), model(&job), "{threads} threads");
        assert_eq!(card(&again), card(&job), "{threads} threads");
    }
    let recipe = Recipe { seed: 2, ..job.recipe.clone() };
    let other = Job { recipe, out: dir.path().join("seed"), ..job.clone() };
    quiet(&other).unwrap();
    assert_ne!(model(&other), model(&job), "the seed counts");
}

/// Stops in the midst of the epoch after `whole` whole ones, as a crash would.
fn stop_after(job: &Job, whole: usize) {
    let mut epochs = 0;
    let stopped = catch_unwind(AssertUnwindSafe(|| {
        run(job, &mut |e| match e {
            Event::Epoch { .. } => epochs += 1,
            Event::Batches { .. } if epochs == whole => std::panic::resume_unwind(Box::new("stopped")),
            _ => {}
        })
    }));
    assert!(stopped.is_err());
}

#[test]
fn a_job_that_was_stopped_ends_in_the_same_bytes() {
    let (dir, job) = small();
    quiet(&job).unwrap();
    for whole in [1, 4, 7, 9, 15] {
        let stopped = Job { out: dir.path().join(format!("{whole}")), ..job.clone() };
        stop_after(&stopped, whole);
        assert!(!stopped.out.join(MODEL).exists());
        let why = refused(&stopped);
        assert!(why.contains("was stopped here") && why.contains("--resume"), "{why}");
        quiet(&Job { resume: true, ..stopped.clone() }).unwrap();
        assert_eq!(model(&stopped), model(&job), "after {whole} epochs");
        assert_eq!(card(&stopped), card(&job), "after {whole} epochs");
    }
}

#[test]
fn the_order_of_the_files_does_not_count() {
    let (dir, job) = small();
    let more = dir.path().join("another.parquet");
    write(&more, &["cpu_pct"], 3, 320, 1);
    let files = [job.input[0].clone(), more];
    let one = Job { input: files.to_vec(), ..job.clone() };
    let other = Job { input: files.into_iter().rev().collect(), out: dir.path().join("b"), ..job };
    quiet(&one).unwrap();
    quiet(&other).unwrap();
    assert_eq!(model(&one), model(&other));
}

#[test]
fn a_checkpoint_is_good_for_its_own_job_alone() {
    let (dir, job) = small();
    stop_after(&job, 2);
    let resumed = Job { resume: true, ..job.clone() };
    let other = Job { recipe: Recipe { epochs: Some(4), ..job.recipe.clone() }, ..resumed.clone() };
    assert!(refused(&other).contains("belongs to other inputs or options"), "{}", refused(&other));
    let more = dir.path().join("fleet2.parquet");
    write(&more, &["cpu_pct"], 2, 300, 1);
    let other = Job { input: vec![job.input[0].clone(), more], ..resumed.clone() };
    assert!(refused(&other).contains("belongs to other inputs or options"));
    let path = job.out.join(CHECKPOINT);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 4]).unwrap();
    assert!(refused(&resumed).contains("is damaged"), "{}", refused(&resumed));
    fs::write(&path, &whole).unwrap();
    quiet(&resumed).unwrap();
}

/// A full disk in the second epoch: the first one's checkpoint is still whole.
#[test]
fn a_full_disk_loses_no_checkpoint() {
    let (dir, job) = small();
    let done = run(&job, &mut |e| {
        if matches!(e, Event::Epoch { epoch: 1, task: Task { profile: Profile::Cpu, net: Net::Lstm }, .. }) {
            symlink("/dev/full", job.out.join(format!("{CHECKPOINT}.tmp"))).unwrap();
        }
    });
    let line = done.unwrap_err().to_string();
    assert!(
        line.contains(CHECKPOINT) && line.contains("No space left") && line.contains("--resume"),
        "{line}"
    );
    quiet(&Job { resume: true, ..job.clone() }).unwrap();
    let whole = Job { out: dir.path().join("whole"), ..job.clone() };
    quiet(&whole).unwrap();
    assert_eq!(model(&job), model(&whole));
}

#[test]
fn what_cannot_be_trained_on_is_said_in_one_line() {
    let (dir, job) = small();
    let with = |input: &str| Job { input: vec![dir.path().join(input)], ..job.clone() };
    let file = |name: &str| dir.path().join(name);
    assert!(refused(&with("gone.parquet")).contains("cannot read"), "{}", refused(&with("gone.parquet")));
    fs::write(file("text.parquet"), "no Parquet").unwrap();
    assert!(refused(&with("text.parquet")).contains("not a readable Parquet file"));
    write(&file("slow.parquet"), &["cpu_pct"], 3, 300, 2);
    let line = refused(&with("slow.parquet"));
    assert!(line.contains("a sample every 600 s") && line.contains("every 300 s"), "{line}");
    write(&file("short.parquet"), &["cpu_pct"], 3, 287, 1);
    let line = refused(&with("short.parquet"));
    assert!(line.contains("of 3 none has 288 samples"), "{line}");
    write(&file("alone.parquet"), &["cpu_pct"], 1, 400, 1);
    assert!(refused(&with("alone.parquet")).contains("nothing to judge the cpu weights by"));
    let line = refused(&Job { profile: Some(Profile::Other), ..with("alone.parquet") });
    assert!(line.contains("no series to train on for --profile other"), "{line}");
    let line = refused(&Job { exclude: Some(file("gone.txt")), ..job.clone() });
    assert!(line.contains("gone.txt"), "{line}");
    let line = refused(&Job { input: vec![job.input[0].clone(); 2], ..job.clone() });
    assert!(line.contains("another input is named fleet:cpu_pct"), "{line}");
    assert!(!job.out.join(MODEL).exists() && !job.out.join(CHECKPOINT).exists());
}

#[test]
fn a_folder_in_use_is_not_touched() {
    let (dir, job) = small();
    let line = refused(&Job { resume: true, ..job.clone() });
    assert!(line.contains("no checkpoint.safetensors to resume from"), "{line}");
    quiet(&job).unwrap();
    let before = model(&job);
    assert!(refused(&job).contains("there is a model already"));
    assert!(refused(&Job { resume: true, ..job.clone() }).contains("the model is finished"));
    assert!(refused(&Job { resume: true, force: true, ..job.clone() }).contains("give one of them"));
    assert_eq!(model(&job), before);
    let recipe = Recipe { seed: 9, ..job.recipe.clone() };
    quiet(&Job { force: true, recipe, ..job.clone() }).unwrap();
    assert_ne!(model(&job), before);
    fs::write(dir.path().join("file"), "").unwrap();
    assert!(refused(&Job { out: dir.path().join("file"), ..job.clone() }).contains("it is a file"));
}

#[test]
fn excluded_things_are_not_trained_on() {
    let (dir, job) = small();
    let list = dir.path().join("shown.txt");
    fs::write(&list, "# shown\nfleet:1\n  fleet:2  \n\n").unwrap();
    let calib = dir.path().join("calib.parquet");
    write(&calib, &["cpu_pct", "net_tx_kbs"], 2, 300, 1);
    quiet(&Job { exclude: Some(list), calib: vec![calib], ..job.clone() }).unwrap();
    let card = card(&job);
    assert_eq!(card["groups"]["cpu"]["series"]["fleet:cpu_pct"], 2);
    assert_eq!(card["groups"]["cpu"]["judged_by"], "calibration input");
    assert!(card["groups"]["cpu"]["calib"]["calib:cpu_pct"]["origins"].as_u64().unwrap() > 0);
    let hash = |id: &str| format!("{:016x}", foreshade_train::card::fnv1a64(id.as_bytes()));
    let got: BTreeSet<&str> =
        card["trained_on"]["hashes"].as_array().unwrap().iter().map(|h| h.as_str().unwrap()).collect();
    assert_eq!(got, [hash("fleet:0"), hash("fleet:3")].iter().map(String::as_str).collect());
    let stretches = dir.path().join("stretches.toml");
    fs::write(&stretches, "[[exclude]]\nvm = \"1\"\n").unwrap();
    let wrong = Job { exclude: Some(stretches), out: dir.path().join("other"), ..job };
    assert!(
        refused(&wrong).contains("this is a file of stretches of time"),
        "the other commands' exclusions"
    );
}

/// The profile that is not trained comes from the shipped model, to the bit.
#[test]
fn one_profile_can_be_trained_alone() {
    let (_dir, job) = small();
    quiet(&Job { profile: Some(Profile::Other), ..job.clone() }).unwrap();
    let (made, shipped) = (LstmModel::from_safetensors(&model(&job)).unwrap(), LstmModel::shipped().unwrap());
    assert_eq!(made.weights(Profile::Cpu), shipped.weights(Profile::Cpu));
    assert_ne!(made.weights(Profile::Other), shipped.weights(Profile::Other));
    assert_eq!(card(&job)["groups"]["cpu"]["kept_from"], "the shipped model");
}

#[test]
fn one_kind_of_network_can_be_trained_alone() {
    let (dir, job) = small();
    let shipped = LstmModel::shipped().unwrap();
    let job = Job { member: Some(Member::Mlp), ..job };
    quiet(&job).unwrap();
    let read = LstmModel::from_safetensors(&model(&job)).unwrap();
    assert_eq!(read.weights(Profile::Cpu), shipped.weights(Profile::Cpu), "the LSTM is the shipped one");
    assert_eq!(read.mlps(Profile::Other).unwrap().nets.len(), 3);
    assert_eq!(card(&job)["groups"]["cpu"]["kept_from"], "the shipped model");
    assert_eq!(card(&job)["groups"]["cpu.mlp2"]["hidden"], 8);

    let lstm = Job { member: Some(Member::Lstm), out: dir.path().join("lstm"), ..job.clone() };
    quiet(&lstm).unwrap();
    let read = LstmModel::from_safetensors(&model(&lstm)).unwrap();
    assert_eq!(read.mlps(Profile::Cpu), shipped.mlps(Profile::Cpu), "with the behaviours they were made for");
    assert_ne!(read.weights(Profile::Cpu), shipped.weights(Profile::Cpu));
}

#[test]
fn who_wants_no_behaviours_gets_an_lstm_alone() {
    let (_dir, job) = small();
    let none = Recipe { behaviours: 0, ..job.recipe.clone() };
    let job = Job { recipe: none, profile: Some(Profile::Cpu), ..job };
    quiet(&job).unwrap();
    let read = LstmModel::from_safetensors(&model(&job)).unwrap();
    assert!(read.mlps(Profile::Cpu).is_none());
    assert!(read.mlps(Profile::Other).is_some(), "what is not trained is as it was");
    let nothing = Job { member: Some(Member::Mlp), force: true, ..job };
    assert!(refused(&nothing).contains("--behaviours 0 leaves no feed-forward network"));
}

fn torch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torch").join(name)
}

/// With a rate of next to nothing the weights stay those that PyTorch wrote.
#[test]
fn weights_made_by_pytorch_are_where_training_begins() {
    let (dir, job) = small();
    let still = Recipe { rate: 1e-12, epochs: Some(1), batches: 1, ..job.recipe.clone() };
    for (name, prefix, head) in [("plain.safetensors", "", false), ("net.safetensors", "lstm.", true)] {
        let job = Job {
            init: Some(torch(name)),
            recipe: still.clone(),
            profile: Some(Profile::Cpu),
            out: dir.path().join(name),
            ..job.clone()
        };
        quiet(&job).unwrap();
        let (theirs, ours) = (fs::read(torch(name)).unwrap(), model(&job));
        let (theirs, ours) =
            (SafeTensors::deserialize(&theirs).unwrap(), SafeTensors::deserialize(&ours).unwrap());
        let same = |a: &str, b: &str| {
            let (a, b) = (theirs.tensor(a).unwrap(), ours.tensor(b).unwrap());
            assert_eq!(a.shape(), b.shape());
            let f = |d: &[u8]| -> Vec<f32> {
                d.chunks_exact(4).map(|w| f32::from_le_bytes(w.try_into().unwrap())).collect()
            };
            for (x, y) in f(a.data()).iter().zip(f(b.data())) {
                assert!((x - y).abs() < 1e-6, "{name}: {x} {y}");
            }
        };
        for t in ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"] {
            same(&format!("{prefix}{t}"), &format!("cpu.lstm.{t}"));
        }
        if head {
            for t in ["0.weight", "0.bias", "2.weight", "2.bias"] {
                same(&format!("head.{t}"), &format!("cpu.head.{t}"));
            }
        } else {
            assert_eq!(ours.tensor("cpu.head.0.bias").unwrap().shape(), [6], "the width that was asked for");
        }
    }
}

#[test]
fn a_model_can_be_trained_further() {
    let (dir, job) = small();
    quiet(&job).unwrap();
    let still = Recipe { rate: 1e-12, epochs: Some(1), batches: 1, ..job.recipe.clone() };
    let init = Some(job.out.join(MODEL));
    let further =
        Job { init, recipe: still, profile: Some(Profile::Other), out: dir.path().join("b"), ..job.clone() };
    quiet(&further).unwrap();
    let [a, b] = [&job, &further].map(|j| LstmModel::from_safetensors(&model(j)).unwrap());
    assert_eq!(a.weights(Profile::Cpu), b.weights(Profile::Cpu), "the other set is that of --init");
    assert_eq!(card(&further)["groups"]["cpu"]["kept_from"], "--init");
    let (a, b) =
        (a.weights(Profile::Other).layers()[0].clone(), b.weights(Profile::Other).layers()[0].clone());
    assert!(a.w_hh.iter().zip(&b.w_hh).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn an_lstm_of_another_kind_is_refused_in_one_line() {
    let (_dir, job) = small();
    for (name, says) in [("stacked.safetensors", "_l1"), ("both_ways.safetensors", "_l0_reverse")] {
        let line = refused(&Job { init: Some(torch(name)), ..job.clone() });
        assert!(
            line.contains(name) && line.contains(says) && line.contains("more layers or directions"),
            "{line}"
        );
    }
    let line = refused(&Job { init: Some(job.input[0].clone()), ..job.clone() });
    assert!(line.contains("fleet.parquet") && line.contains("not valid safetensors"), "{line}");
}

#[test]
fn training_that_does_not_get_better_ends_early_with_the_best() {
    let (_dir, mut job) = small();
    // A rate that destroys what was learnt, so that later epochs are worse.
    job.recipe = Recipe { epochs: Some(40), patience: 2, rate: 0.5, batches: 1, ..job.recipe };
    job.profile = Some(Profile::Cpu);
    quiet(&job).unwrap();
    let card = card(&job);
    let group = &card["groups"]["cpu"];
    let judged: Vec<f64> =
        group["curve"].as_array().unwrap().iter().map(|e| e[1].as_f64().unwrap()).collect();
    let best = group["best_epoch"].as_u64().unwrap() as usize;
    assert_eq!(judged.len(), best + 2, "two epochs after the best: {judged:?}");
    assert!(judged.len() < 40);
    assert!(judged.iter().all(|l| *l >= judged[best - 1]));
}

#[test]
fn training_learns() {
    let (_dir, mut job) = small();
    job.recipe =
        Recipe { hidden: 8, width: 16, epochs: Some(6), batches: 10, batch: 8, rate: 1e-2, ..job.recipe };
    job.profile = Some(Profile::Cpu);
    quiet(&job).unwrap();
    let curve = &card(&job)["groups"]["cpu"]["curve"];
    let [first, last] = [0, 5].map(|e| curve[e][1].as_f64().unwrap());
    assert!(last < 0.7 * first, "{curve}");
}
