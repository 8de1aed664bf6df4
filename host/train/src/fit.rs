//! One weight set's training: epochs of truncated back-propagation through time, judged after each.
//!
//! A stream is stepped as in service, one vector per tick, its state carried on: 48 ticks of back-propagation at a time,
//! the state cut, not reset, between them. All randomness of an epoch comes from (seed, weight set, epoch), so that a run
//! can go on from the end of any epoch. A batch is cut into a fixed number of parts whose gradients are added in order:
//! the result does not depend on the number of threads.

use std::ops::Range;
use std::thread;

use foreshade_accel::lstm_step::TARGETS;
use foreshade_forecast::behaviour::{Behaviours, traits};
use foreshade_forecast::features::{INPUT, STATS};
use foreshade_forecast::lstm::Profile;
use rand_pcg::Pcg64;
use rand_pcg::rand_core::SeedableRng;

use crate::TrainError;
use crate::data::DataSet;
use crate::kinds;
use crate::loss::{Ahead, Outcome};
use crate::net::{OUTPUTS, Shape};
use crate::optim::{Adam, OneCycle, clip};
use crate::pass::{Inputs, State, Tape};
use crate::segments::{Batch, Place, Segment, TICKS, draw, shuffle};
use crate::task::{Net, Task};

/// Ticks of back-propagation at a time.
pub const CHUNK: usize = 48;
/// Parts of a batch, the most threads that help.
const PARTS: usize = 4;
/// Times a segment is used before new ones are drawn: making its features costs about as much as learning from it once.
const REUSE: usize = 4;
/// Segments per data set that an epoch is judged by.
const JUDGED: usize = 96;
/// Segments per data set that behaviours are found in.
const LOOKED_AT: usize = 400;
/// What a tick of another behaviour counts for a behaviour's network.
const OTHERS: f32 = 0.05;

/// How to train.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// Draws weights and segments.
    pub seed: u64,
    /// Units of the LSTM.
    pub hidden: usize,
    /// Units of the head.
    pub width: usize,
    /// Behaviours with a feed-forward network of their own; 0 = no such networks at all.
    pub behaviours: usize,
    /// Cells of a feed-forward network.
    pub mlp_hidden: usize,
    /// Epochs at most; `None` = what served each weight set best, see [`Self::epochs_of`].
    pub epochs: Option<u32>,
    /// Batches of an epoch.
    pub batches: u32,
    /// Segments of a batch, over all data sets.
    pub batch: usize,
    /// Highest learning rate.
    pub rate: f64,
    /// Epochs without a better loss before it ends early.
    pub patience: u32,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            seed: 1,
            hidden: 32,
            width: 64,
            behaviours: 4,
            mlp_hidden: 8,
            epochs: None,
            batches: 50,
            batch: 120,
            rate: 4e-3,
            patience: 8,
        }
    }
}

impl Recipe {
    /// Epochs of a network. On the traces of the shipped model the CPU weights began to learn the VMs by heart after
    /// some 600 batches, the others after twice as many. A behaviour's network begins where that of all series ends.
    pub fn epochs_of(&self, task: Task) -> u32 {
        let chosen = match task.profile {
            Profile::Cpu => 12,
            Profile::Other => 24,
        };
        let epochs = self.epochs.unwrap_or(chosen);
        if task.kind().is_some() { epochs.div_ceil(4) } else { epochs }
    }

    /// The rate's way through all steps of the optimiser for a network.
    fn cycle(&self, task: Task) -> OneCycle {
        let batches = u64::from(self.batches) * u64::from(self.epochs_of(task));
        let rate = if task.kind().is_some() { self.rate / 4.0 } else { self.rate };
        OneCycle { rate, steps: batches * chunks().count() as u64 }
    }

    /// Sizes of a network.
    pub fn shape(&self, net: Net) -> Shape {
        let hidden = match net {
            Net::Lstm => self.hidden,
            Net::Mlp(_) => self.mlp_hidden,
        };
        Shape { input: INPUT, hidden, stats: STATS, width: self.width }
    }
}

/// Ticks of each chunk of a segment.
fn chunks() -> impl Iterator<Item = Range<usize>> {
    (0..TICKS).step_by(CHUNK).map(|start| start..(start + CHUNK).min(TICKS))
}

/// A training as far as it has come. Everything that the next epoch depends on, beside the data.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// Sizes.
    pub shape: Shape,
    /// The weights.
    pub params: Vec<f32>,
    /// The optimiser.
    pub adam: Adam,
    /// The best weights so far.
    pub best: Vec<f32>,
    /// (training loss, loss on what it is judged by) per epoch.
    pub curve: Vec<[f64; 2]>,
}

impl Fit {
    /// Begins from these weights.
    pub fn new(shape: Shape, params: Vec<f32>) -> Self {
        Self { shape, adam: Adam::new(params.len()), best: params.clone(), params, curve: vec![] }
    }

    /// The epoch whose weights are the best, counted from 1, and its loss; `None` before the first.
    pub fn best(&self) -> Option<(usize, f64)> {
        let judged = self.curve.iter().map(|[_, loss]| *loss).enumerate();
        judged.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(epoch, loss)| (epoch + 1, loss))
    }

    /// Has it had its epochs, or not become better for too long?
    pub fn ended(&self, recipe: &Recipe, task: Task) -> bool {
        let epochs = self.curve.len();
        let since = epochs - self.best().map_or(0, |(epoch, _)| epoch);
        epochs >= recipe.epochs_of(task) as usize || since >= recipe.patience as usize
    }
}

/// A network to train and what to train it on.
#[derive(Debug)]
pub struct Trainer<'a> {
    /// How.
    pub recipe: &'a Recipe,
    /// Which.
    pub task: Task,
    /// The behaviour it is for.
    focus: Option<(&'a Behaviours, usize)>,
    /// The data sets of the profile that have usable series.
    pub sets: Vec<&'a DataSet>,
    /// Per data set to judge by: its segments, and its unit.
    judged: Vec<(Batch, f32)>,
    threads: usize,
}

/// One part of a batch on its way through the network.
#[derive(Debug, Default)]
struct Part {
    batch: Batch,
    state: State<f32>,
    tape: Tape<f32>,
    grads: Vec<f32>,
    outcome: Outcome,
}

impl<'a> Trainer<'a> {
    /// Prepares the segments to judge by.
    pub fn new(
        recipe: &'a Recipe,
        (task, behaviours): (Task, Option<&'a Behaviours>),
        sets: Vec<&'a DataSet>,
        judge: &[&DataSet],
        threads: usize,
    ) -> Self {
        // Networks of one weight set are judged by the same days.
        let mut rng = generator(recipe.seed, Task { net: Net::Lstm, ..task }, 0);
        let focus = behaviours.zip(task.kind());
        let mut judged = vec![];
        for set in judge {
            let places = draw(0, set, JUDGED, &mut rng);
            let segments = segments(&[set], &places, threads);
            let mut batch = Batch::new(segments.iter());
            batch.focus(focus);
            judged.push((batch, set.unit));
        }
        Self { recipe, task, focus, sets, judged, threads }
    }

    /// Runs one epoch. `batch(done)` is called after each batch.
    ///
    /// # Errors
    /// A loss that is not finite; the fit is then of no use.
    pub fn epoch(&self, fit: &mut Fit, mut batch: impl FnMut(u32)) -> Result<(), TrainError> {
        let recipe = self.recipe;
        let number = fit.curve.len() as u64 + 1;
        let mut rng = generator(recipe.seed, self.task, number);
        let per = (recipe.batch / self.sets.len()).max(1);
        let draws = per * recipe.batches as usize;
        let count = draws.div_ceil(REUSE).max(per);
        let places: Vec<Place> =
            self.sets.iter().enumerate().flat_map(|(i, set)| draw(i, set, count, &mut rng)).collect();
        let pool = segments(&self.sets, &places, self.threads);
        let orders: Vec<Vec<usize>> =
            (0..self.sets.len()).map(|i| order(i * count..(i + 1) * count, draws, &mut rng)).collect();
        let mut parts: Vec<Part> = (0..PARTS).map(|_| Part::default()).collect();
        let (mut sum, mut steps) = (0.0, 0u32);
        for b in 0..recipe.batches as usize {
            let chosen: Vec<&Segment> =
                orders.iter().flat_map(|o| &o[b * per..(b + 1) * per]).map(|&i| &pool[i]).collect();
            self.load(fit.shape, &chosen, &mut parts);
            for ticks in chunks() {
                sum += self.step(fit, &mut parts, ticks);
                steps += 1;
            }
            batch(b as u32 + 1);
        }
        let trained = sum / f64::from(steps.max(1));
        let judged = self.judge(fit.shape, &fit.params);
        if !(trained.is_finite() && judged.is_finite()) {
            let name = self.task.name();
            return Err(TrainError::Diverged(format!(
                "{name}: the loss of epoch {number} is no number; train again with a lower --rate than {}",
                recipe.rate
            )));
        }
        if fit.best().is_none_or(|(_, best)| judged < best) {
            fit.best.clone_from(&fit.params);
        }
        fit.curve.push([trained, judged]);
        Ok(())
    }

    /// Deals a batch out to its parts, their states before the first tick.
    fn load(&self, shape: Shape, chosen: &[&Segment], parts: &mut [Part]) {
        let each = chosen.len().div_ceil(PARTS).max(1);
        let mut dealt = chosen.chunks(each);
        for part in parts.iter_mut() {
            let mine = dealt.next().unwrap_or_default();
            part.batch = Batch::new(mine.iter().copied());
            part.batch.focus(self.focus);
            part.state = State::zero(shape, mine.len());
        }
    }

    /// One step of the optimiser on a chunk of ticks; returns its loss.
    fn step(&self, fit: &mut Fit, parts: &mut [Part], ticks: Range<usize>) -> f64 {
        let (shape, params) = (fit.shape, &fit.params);
        let streams: usize = parts.iter().map(|p| p.batch.streams).sum();
        let share = 1.0 / (streams * ticks.len() * OUTPUTS) as f64;
        let remembers = self.task.remembers();
        each(parts, self.threads, |p| p.run((shape, remembers), params, ticks.clone(), share));
        let (first, others) = parts.split_at_mut(1);
        let grads = &mut first[0].grads;
        for other in others.iter().filter(|p| p.batch.streams > 0) {
            grads.iter_mut().zip(&other.grads).for_each(|(g, o)| *g += o);
        }
        clip(grads);
        let (rate, beta1) = self.recipe.cycle(self.task).at(fit.adam.steps);
        fit.adam.step(&mut fit.params, grads, rate, beta1);
        parts.iter().map(|p| p.outcome.sum).sum::<f64>() * share
    }

    /// Mean loss over the data sets to judge by, each in its own unit.
    pub fn judge(&self, shape: Shape, params: &[f32]) -> f64 {
        let mut jobs: Vec<(&Batch, f32, f64)> = self.judged.iter().map(|(b, unit)| (b, *unit, 0.0)).collect();
        each(&mut jobs, self.threads, |(batch, unit, loss)| {
            let streams = if self.task.remembers() { batch.streams } else { batch.streams * TICKS };
            let (mut tape, mut state) = (Tape::default(), State::zero(shape, streams));
            tape.forward(shape, params, Inputs { x: &batch.x, stats: &batch.stats }, &mut state);
            let Outcome { sum, weight } = tape.loss(batch.ahead(0..TICKS), 0.0);
            *loss = sum / (weight * f64::from(*unit) * OUTPUTS as f64);
        });
        jobs.iter().map(|(.., loss)| loss).sum::<f64>() / jobs.len() as f64
    }
}

impl Part {
    fn run(&mut self, (shape, remembers): (Shape, bool), params: &[f32], ticks: Range<usize>, share: f64) {
        self.grads.clear();
        self.grads.resize(params.len(), 0.0);
        self.outcome = Outcome::default();
        if self.batch.streams == 0 {
            return;
        }
        let inputs = self.batch.inputs(ticks.clone());
        if !remembers {
            // Every tick of every stream is the first of a stream of its own.
            self.state = State::zero(shape, self.batch.streams * ticks.len());
        }
        self.tape.forward(shape, params, inputs, &mut self.state);
        self.outcome = self.tape.loss(self.batch.ahead(ticks), share);
        self.tape.backward(shape, params, inputs, &mut self.grads);
    }
}

impl Batch {
    /// Lets ticks that look like another behaviour count little.
    fn focus(&mut self, on: Option<(&Behaviours, usize)>) {
        let Some((behaviours, kind)) = on else { return };
        for (weight, row) in self.weight.iter_mut().zip(self.stats.chunks_exact(STATS)) {
            if behaviours.nearest(&traits(|i| row[i])) != kind {
                *weight *= OTHERS;
            }
        }
    }

    /// What the network reads of some ticks.
    fn inputs(&self, ticks: Range<usize>) -> Inputs<'_, f32> {
        let rows = ticks.start * self.streams..ticks.end * self.streams;
        Inputs {
            x: &self.x[rows.start * INPUT..rows.end * INPUT],
            stats: &self.stats[rows.start * STATS..rows.end * STATS],
        }
    }

    /// What came after some ticks.
    fn ahead(&self, ticks: Range<usize>) -> Ahead<'_, f32> {
        let rows = ticks.start * self.streams..ticks.end * self.streams;
        Ahead {
            y: &self.y[rows.start * TARGETS..rows.end * TARGETS],
            last: &self.last[rows.clone()],
            scale: &self.scale[rows.clone()],
            weight: &self.weight[rows],
        }
    }
}

/// The kinds of series that a weight set's data show.
pub fn behaviours(recipe: &Recipe, profile: Profile, sets: &[&DataSet]) -> Behaviours {
    let mut rng = generator(recipe.seed, Task { profile, net: Net::Mlp(0) }, u64::MAX - 1);
    let looks = |set: &&DataSet| kinds::looks(set, &draw(0, set, LOOKED_AT, &mut rng));
    let looked_at: Vec<_> = sets.iter().map(looks).collect();
    kinds::find(&looked_at, recipe.behaviours, &mut rng)
}

/// The generator of an epoch; epoch 0 chooses what is judged by, u64::MAX draws the weights, the one before behaviours.
pub fn generator(seed: u64, task: Task, epoch: u64) -> Pcg64 {
    let name = task.name();
    let mixed =
        name.bytes().fold(seed, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3).rotate_left(17));
    Pcg64::seed_from_u64(mixed ^ epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Segments of places, made on all threads.
fn segments(sets: &[&DataSet], places: &[Place], threads: usize) -> Vec<Segment> {
    let mut jobs: Vec<(Place, Segment)> = places.iter().map(|p| (*p, Segment::default())).collect();
    each(&mut jobs, threads, |(p, segment)| {
        let set = sets[p.set];
        *segment = Segment::new(&set.series[p.series], p.start, p.fresh, set.unit);
    });
    jobs.into_iter().map(|(_, s)| s).collect()
}

/// `draws` indices: the range in one random order after another.
fn order(range: Range<usize>, draws: usize, rng: &mut Pcg64) -> Vec<usize> {
    let mut order = Vec::with_capacity(draws + range.len());
    while order.len() < draws {
        let mut round: Vec<usize> = range.clone().collect();
        shuffle(&mut round, rng);
        order.extend(round);
    }
    order
}

/// Runs `f` on every item, on at most `threads` threads. Items are independent, so their results are the same whatever
/// the number of threads.
fn each<T: Send>(items: &mut [T], threads: usize, f: impl Fn(&mut T) + Sync) {
    let per = items.len().div_ceil(threads.max(1)).max(1);
    let f = &f;
    thread::scope(|scope| {
        let mut pieces = items.chunks_mut(per);
        // The first piece is for this thread.
        let mine = pieces.next();
        pieces.for_each(|piece| {
            scope.spawn(move || piece.iter_mut().for_each(f));
        });
        mine.into_iter().flatten().for_each(f);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use foreshade_forecast::behaviour::TRAITS;

    #[test]
    fn ticks_that_look_like_another_behaviour_count_little() {
        let kinds = Behaviours { centres: vec![[0.0; TRAITS], [1.0; TRAITS]], unit: [1.0; TRAITS] };
        let row = |v: f32| vec![v; STATS];
        let batch = Batch {
            streams: 3,
            stats: [row(0.1), row(0.9), row(0.2)].concat(),
            weight: vec![1.0, 1.0, 0.25],
            ..Batch::default()
        };
        for (kind, want) in [(0, [1.0, 0.05, 0.25]), (1, [0.05, 1.0, 0.0125])] {
            let mut own = batch.clone();
            own.focus(Some((&kinds, kind)));
            assert_eq!(own.weight, want);
        }
        let mut all = batch.clone();
        all.focus(None);
        assert_eq!(all.weight, batch.weight);
    }

    #[test]
    fn a_behaviours_network_is_trained_shorter_and_slower() {
        let recipe = Recipe::default();
        let task = |net| Task { profile: Profile::Other, net };
        assert_eq!([Net::Lstm, Net::Mlp(0), Net::Mlp(2)].map(|n| recipe.epochs_of(task(n))), [24, 24, 6]);
        let highest = |net| {
            let cycle = recipe.cycle(task(net));
            (0..cycle.steps).map(|s| cycle.at(s).0).fold(0.0, f64::max)
        };
        assert!((highest(Net::Mlp(1)) / highest(Net::Mlp(0)) - 0.25).abs() < 0.01);
    }
}
