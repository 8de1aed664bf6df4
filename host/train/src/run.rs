//! The whole job: files in, a model and its card out, a checkpoint after every epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use foreshade_forecast::behaviour::Behaviours;
use foreshade_forecast::lstm::{LstmModel, Profile};

use crate::TrainError;
use crate::card::{Card, Group, Trained, fnv1a64};
use crate::checkpoint;
use crate::data::{DataSet, SEGMENT, hold_out, read};
use crate::evaluate::{Comparison, evaluate};
use crate::file::{self, Init};
use crate::fit::{Fit, Recipe, Trainer, behaviours, generator};
use crate::net::Shape;
use crate::task::{Member, Net, Task};

/// Name of a model in its folder.
pub const MODEL: &str = "model.safetensors";
/// Name of its card.
pub const CARD: &str = "card.json";

/// What to train.
#[derive(Debug, Clone)]
pub struct Job {
    /// Traces to learn from.
    pub input: Vec<PathBuf>,
    /// Traces to judge by; none = a tenth of the input's things.
    pub calib: Vec<PathBuf>,
    /// Ids not to train on, one a line.
    pub exclude: Option<PathBuf>,
    /// Weights to start from.
    pub init: Option<PathBuf>,
    /// Folder of the model.
    pub out: PathBuf,
    /// Only this weight set.
    pub profile: Option<Profile>,
    /// Only these networks of it.
    pub member: Option<Member>,
    /// Go on from the checkpoint.
    pub resume: bool,
    /// Replace a model, or a checkpoint, that is there.
    pub force: bool,
    /// Threads; the result does not depend on it.
    pub threads: usize,
    /// How.
    pub recipe: Recipe,
    /// The command line, for the card.
    pub command: String,
    /// Version of the program, for the card.
    pub version: &'static str,
}

/// What is told while it runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event<'a> {
    /// The data sets of a network, about to be trained, and how many epochs it had before.
    Begins {
        /// The network.
        task: Task,
        /// Data sets.
        sets: usize,
        /// Series.
        series: usize,
        /// Epochs that a checkpoint has already.
        epochs: usize,
    },
    /// So many batches of all that are left to do.
    Batches {
        /// Done in this run.
        done: u64,
        /// At most.
        total: u64,
    },
    /// The end of an epoch.
    Epoch {
        /// The network.
        task: Task,
        /// Counted from 1.
        epoch: usize,
        /// At most.
        of: u32,
        /// Loss on what it is trained on, and on what it is judged by.
        loss: [f64; 2],
        /// Is it the best so far?
        best: bool,
    },
    /// Figures of the finished model on a data set.
    Figures {
        /// Its name.
        set: &'a str,
        /// The figures.
        figures: &'a Comparison,
    },
}

/// The data of a job.
struct Data {
    train: Vec<DataSet>,
    judge: Vec<DataSet>,
    judged_by: &'static str,
}

/// Trains, and writes the model and its card.
///
/// # Errors
/// See [`TrainError`]; the checkpoint of the last whole epoch stays.
pub fn run(job: &Job, tell: &mut dyn FnMut(Event<'_>)) -> Result<Card, TrainError> {
    check_folder(job)?;
    let (init, init_hash) = job.init.as_deref().map(|p| read_init(p, &job.recipe)).transpose()?.unzip();
    let data = gather(job)?;
    let name = identify(job, &data, init_hash);
    let mut tasks = Task::all(job.profile, job.member, job.recipe.behaviours);
    tasks.retain(|t| usable(&data.train, t.profile).next().is_some());
    if tasks.is_empty() {
        return Err(TrainError::Usage(
            "--behaviours 0 leaves no feed-forward network to train; ask for some, or leave out --member mlp"
                .into(),
        ));
    }
    if job.member == Some(Member::Mlp) && matches!(init, Some(Init::Torch { .. })) {
        return Err(TrainError::Usage(
            "--member mlp keeps the LSTM of a model, and --init names a bare one; leave one of them out"
                .into(),
        ));
    }
    let mut fits = resume(job, &name, &tasks)?;
    let run = Run { job, behaviours: kinds(job, &data, &tasks), data, init, name };
    let mut ahead = Ahead { done: 0, total: 0 };
    for task in &tasks {
        let had = fits.get(task).map_or(0, |f| f.curve.len() as u64);
        let left = u64::from(job.recipe.epochs_of(*task)).saturating_sub(had);
        ahead.total += left * u64::from(job.recipe.batches);
    }
    for &task in &tasks {
        run.train(task, &mut fits, &mut ahead, tell)?;
    }
    run.finish(&fits, tell)
}

/// Networks by what they are.
type Nets = BTreeMap<Task, (Shape, Vec<f32>)>;

/// A job and what was read for it.
struct Run<'a> {
    job: &'a Job,
    data: Data,
    /// Of the weight sets whose feed-forward networks are trained.
    behaviours: BTreeMap<Profile, Behaviours>,
    init: Option<Init>,
    /// See [`identify`].
    name: String,
}

/// Batches of this run.
struct Ahead {
    done: u64,
    total: u64,
}

/// The behaviours that feed-forward networks are trained for.
fn kinds(job: &Job, data: &Data, tasks: &[Task]) -> BTreeMap<Profile, Behaviours> {
    let general = tasks.iter().filter(|t| t.net == Net::Mlp(0));
    let found = general.map(|t| {
        let sets: Vec<&DataSet> = usable(&data.train, t.profile).collect();
        (t.profile, behaviours(&job.recipe, t.profile, &sets))
    });
    found.collect()
}

fn usable(sets: &[DataSet], profile: Profile) -> impl Iterator<Item = &DataSet> {
    sets.iter().filter(move |s| s.profile == profile && s.usable().next().is_some())
}

/// May this folder be written, and is what is there meant to be replaced or gone on with?
fn check_folder(job: &Job) -> Result<(), TrainError> {
    let out = job.out.display();
    if job.out.exists() && !job.out.is_dir() {
        return Err(TrainError::Usage(format!("--out {out}: it is a file; name a folder")));
    }
    let [model, saved] = [MODEL, checkpoint::FILE].map(|f| job.out.join(f).exists());
    match (job.resume, job.force) {
        (true, true) => {
            Err(TrainError::Usage("--resume goes on and --force begins anew; give one of them".into()))
        }
        (true, _) if !saved && model => {
            Err(TrainError::Usage(format!("{out}: the model is finished, there is nothing to resume")))
        }
        (true, _) if !saved => Err(TrainError::Usage(format!(
            "{out}: no {} to resume from; train without --resume",
            checkpoint::FILE
        ))),
        (false, false) if saved => Err(TrainError::Usage(format!(
            "{out}: a training was stopped here; go on with --resume, or begin anew with --force"
        ))),
        (false, false) if model => Err(TrainError::Usage(format!(
            "{out}: there is a model already; name another folder, or replace it with --force"
        ))),
        _ => {
            fs::create_dir_all(&job.out).map_err(|source| TrainError::Write { path: job.out.clone(), source })
        }
    }
}

/// The weights to start from, and a number for the file.
fn read_init(path: &Path, recipe: &Recipe) -> Result<(Init, u64), TrainError> {
    let bytes = fs::read(path).map_err(|source| TrainError::Read { path: path.to_owned(), source })?;
    let init = Init::read(&bytes, recipe.width)
        .map_err(|source| TrainError::Init { path: path.to_owned(), source })?;
    Ok((init, fnv1a64(&bytes)))
}

fn gather(job: &Job) -> Result<Data, TrainError> {
    let excluded = match &job.exclude {
        None => BTreeSet::new(),
        Some(path) => {
            let text =
                fs::read_to_string(path).map_err(|source| TrainError::Read { path: path.clone(), source })?;
            if text.lines().any(|l| l.trim().starts_with("[[")) {
                return Err(TrainError::Usage(format!(
                    "--exclude {}: this is a file of stretches of time; `train` takes ids of things, one a line, as in bitbrains:411",
                    path.display()
                )));
            }
            text.lines()
                .map(str::trim)
                .filter(|l| !l.is_empty() && !l.starts_with('#'))
                .map(str::to_owned)
                .collect()
        }
    };
    let wanted: Vec<Profile> = job.profile.map_or(Profile::ALL.to_vec(), |p| vec![p]);
    let mut train = read(&job.input, &wanted, &excluded)?;
    if !wanted.iter().any(|p| usable(&train, *p).next().is_some()) {
        let series: usize = train.iter().map(|s| s.series.len()).sum();
        let which = job.profile.map_or(String::new(), |p| format!(" for --profile {}", p.name()));
        return Err(TrainError::Data(format!(
            "no series to train on{which}: of {series} none has {SEGMENT} samples (a day); give longer ones"
        )));
    }
    let (judge, judged_by) = match job.calib.as_slice() {
        [] => (hold_out(&mut train), "a tenth of the things, held out"),
        files => (read(files, &wanted, &BTreeSet::new())?, "calibration input"),
    };
    for profile in wanted {
        if usable(&train, profile).next().is_some() && usable(&judge, profile).next().is_none() {
            return Err(TrainError::Data(format!(
                "nothing to judge the {} weights by: give --calib files with series of {SEGMENT} samples, or an input with two VMs",
                profile.name()
            )));
        }
    }
    Ok(Data { train, judge, judged_by })
}

/// A name for data, recipe and beginning: a checkpoint is good for what it was made from, and for nothing else.
fn identify(job: &Job, data: &Data, init: Option<u64>) -> String {
    let mut words = vec![format!("{:?} {:?} {init:?}", job.recipe, job.member)];
    for set in data.train.iter().chain(&data.judge) {
        let mut hash = 0u64;
        for s in &set.series {
            let bytes: Vec<u8> =
                s.x.iter()
                    .zip(&s.real)
                    .flat_map(|(x, r)| {
                        let [a, b, c, d] = x.to_le_bytes();
                        [a, b, c, d, u8::from(*r)]
                    })
                    .collect();
            hash = hash.rotate_left(1) ^ fnv1a64(&bytes);
        }
        words.push(format!("{} {} {hash}", set.name, set.series.len()));
    }
    format!("{:016x}", fnv1a64(words.join("\n").as_bytes()))
}

fn resume(job: &Job, name: &str, tasks: &[Task]) -> Result<BTreeMap<Task, Fit>, TrainError> {
    let path = job.out.join(checkpoint::FILE);
    if !job.resume {
        return Ok(BTreeMap::new());
    }
    let bytes = fs::read(&path).map_err(|source| TrainError::Read { path: path.clone(), source })?;
    checkpoint::from_bytes(&bytes, name, tasks)
        .map_err(|why| TrainError::Usage(format!("--resume: {} {why}", path.display())))
}

impl Run<'_> {
    /// Trains one network to its end.
    fn train(
        &self,
        task: Task,
        fits: &mut BTreeMap<Task, Fit>,
        ahead: &mut Ahead,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), TrainError> {
        let (job, data) = (self.job, &self.data);
        let sets: Vec<&DataSet> = usable(&data.train, task.profile).collect();
        let judge: Vec<&DataSet> = usable(&data.judge, task.profile).collect();
        let general = fits.get(&Task { net: Net::Mlp(0), ..task }).filter(|_| task.kind().is_some());
        let start = general.map(|f| Fit::new(f.shape, f.best.clone()));
        let fit = fits.entry(task).or_insert_with(|| start.unwrap_or_else(|| self.begin(task)));
        let series = sets.iter().map(|s| s.usable().count()).sum();
        tell(Event::Begins { task, sets: sets.len(), series, epochs: fit.curve.len() });
        let kinds = self.behaviours.get(&task.profile);
        let trainer = Trainer::new(&job.recipe, (task, kinds), sets, &judge, job.threads);
        while let Some(fit) = fits.get_mut(&task).filter(|f| !f.ended(&job.recipe, task)) {
            let (before, total) = (ahead.done, ahead.total);
            trainer.epoch(fit, |batch| tell(Event::Batches { done: before + u64::from(batch), total }))?;
            ahead.done += u64::from(job.recipe.batches);
            let epoch = fit.curve.len();
            let (loss, best) = (fit.curve[epoch - 1], fit.best().is_some_and(|(e, _)| e == epoch));
            file::write(&job.out.join(checkpoint::FILE), &checkpoint::to_bytes(&self.name, fits))?;
            tell(Event::Epoch { task, epoch, of: job.recipe.epochs_of(task), loss, best });
        }
        // What an early end leaves undone is not ahead any more.
        let had = fits.get(&task).map_or(0, |f| f.curve.len() as u64);
        ahead.total -= (u64::from(job.recipe.epochs_of(task)) - had) * u64::from(job.recipe.batches);
        Ok(())
    }

    fn begin(&self, task: Task) -> Fit {
        let (recipe, init) = (&self.job.recipe, &self.init);
        let mut rng = generator(recipe.seed, task, u64::MAX);
        let drawn = |rng: &mut _| {
            let shape = recipe.shape(task.net);
            let mut params = shape.draw(rng);
            if !task.remembers() {
                // Nothing comes in from the tick before.
                shape.cut_mut(&mut params)[1].fill(0.0);
            }
            (shape, params)
        };
        let (shape, params) =
            init.as_ref().and_then(|i| i.start(task, &mut rng)).unwrap_or_else(|| drawn(&mut rng));
        Fit::new(shape, params)
    }

    /// Puts the model together, looks at it as it will be served, and writes model and card.
    fn finish(
        &self,
        fits: &BTreeMap<Task, Fit>,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<Card, TrainError> {
        let (job, data) = (self.job, &self.data);
        let (other, from) = match &self.init {
            Some(Init::Model(model)) => (model.as_ref().clone(), "--init"),
            _ => (LstmModel::shipped()?, "the shipped model"),
        };
        let (nets, behaviours) = self.nets(fits, &other);
        let bytes = file::model(&nets, &behaviours);
        let model = LstmModel::from_safetensors(&bytes)?;
        let (mut groups, mut ids) = (BTreeMap::new(), BTreeSet::new());
        for &task in nets.keys() {
            let Some(fit) = fits.get(&task) else {
                groups.insert(task.name(), Group::Kept { kept_from: from.to_owned() });
                continue;
            };
            let mut calib = BTreeMap::new();
            for set in usable(&data.judge, task.profile).filter(|_| task.net == Net::Lstm) {
                let figures = evaluate(&model, set, job.threads)?;
                tell(Event::Figures { set: &set.name, figures: &figures });
                calib.insert(set.name.clone(), figures);
            }
            let trained_on = || usable(&data.train, task.profile);
            ids.extend(trained_on().flat_map(|s| s.usable().map(|(_, s)| s.id.clone())));
            let series = trained_on().map(|s| (s.name.clone(), s.usable().count())).collect();
            let trained = Trained::new(fit, series, data.judged_by, calib);
            groups.insert(task.name(), Group::Trained(Box::new(trained)));
        }
        let card = Card::new(&bytes, &job.recipe, &job.command, job.version, groups, &ids);
        // Numbers and strings always become JSON.
        let text = serde_json::to_string_pretty(&card).unwrap_or_default() + "\n";
        file::write(&job.out.join(MODEL), &bytes)?;
        file::write(&job.out.join(CARD), text.as_bytes())?;
        // The model is there; a checkpoint that stays behind does no harm.
        let _ = fs::remove_file(job.out.join(checkpoint::FILE));
        Ok(card)
    }

    /// Every network of the model and its behaviours: those that were trained, and of the others those of `other`.
    fn nets(&self, fits: &BTreeMap<Task, Fit>, other: &LstmModel) -> (Nets, BTreeMap<Profile, Behaviours>) {
        let mut behaviours = self.behaviours.clone();
        let mut nets: Nets = fits.iter().map(|(task, fit)| (*task, (fit.shape, fit.best.clone()))).collect();
        for profile in Profile::ALL {
            let mut keep = |net, weights| {
                if let Some(kept) = Shape::of(weights) {
                    nets.entry(Task { profile, net }).or_insert(kept);
                }
            };
            keep(Net::Lstm, other.weights(profile));
            // Whoever wants none is given none, of a weight set that is trained.
            let none = self.job.recipe.behaviours == 0 && fits.keys().any(|t| t.profile == profile);
            if let (false, false, Some(mlps)) = (none, behaviours.contains_key(&profile), other.mlps(profile))
            {
                mlps.nets.iter().enumerate().for_each(|(k, weights)| keep(Net::Mlp(k), weights));
                behaviours.insert(profile, mlps.behaviours.clone());
            }
        }
        (nets, behaviours)
    }
}
