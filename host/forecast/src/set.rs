//! The series that share a weight set: groups of lanes, their windows, and the LSTM over all of them.

use foreshade_accel::{AccelError, Engine, Slab, lstm_step, spec};
use foreshade_fallback_cpu::Exec;
use foreshade_types::{Quantiles, Readiness, SeriesForecast};
use rayon::prelude::*;

use crate::arima;
use crate::bank::Bank;
use crate::features::{INPUT, STATS};
use crate::fleet::SeriesProfile;
use crate::group::{Group, Learned, Plan};
use crate::history::History;
use crate::lanes::{LANES, Lane};
use crate::lstm::{LstmFleet, LstmModel, Profile};

/// Groups that a thread takes at a time.
const GROUPS_PER_TASK: usize = 8;

/// The series of one profile, by lane.
#[derive(Debug)]
pub(crate) struct Set {
    /// Series of the fleet by lane.
    members: Vec<usize>,
    /// By group.
    histories: Vec<History>,
    groups: Vec<Group>,
    /// When a lane's models are fitted.
    phases: Vec<u64>,
    /// NaN in lanes without a series.
    points: Vec<Lane>,
    out: Vec<SeriesForecast>,
    lstm: Option<LstmFleet>,
    bank: Option<Bank>,
    /// What the LSTM said last, [lanes/64][targets x levels][64].
    said: Option<Slab>,
    /// Lanes to be fitted, kept from tick to tick.
    due: Vec<(usize, usize)>,
}

/// A forecast before the first sample.
pub(crate) fn blank(plan: &Plan) -> SeriesForecast {
    let n = plan.horizons.len();
    SeriesForecast {
        readiness: Readiness::Cold,
        mean: vec![0.0; n],
        quantiles: vec![Quantiles::default(); n],
    }
}

impl Set {
    /// One set per profile that has series.
    pub(crate) fn all(
        series: &[SeriesProfile],
        plan: &Plan,
        model: Option<&LstmModel>,
        engine: &mut Engine,
    ) -> Result<Vec<Self>, AccelError> {
        let of = |p: &SeriesProfile| p.resource.map_or(Profile::Other, Profile::of);
        let mut sets = Vec::new();
        for profile in Profile::ALL {
            let members: Vec<usize> = (0..series.len()).filter(|&i| of(&series[i]) == profile).collect();
            if members.is_empty() {
                continue;
            }
            let lstm = model.map(|m| LstmFleet::new(m, profile, engine, members.len())).transpose()?;
            let mlps = model.and_then(|m| m.mlps(profile));
            let bank = mlps.map(|m| Bank::new(m, engine, members.len())).transpose()?;
            let groups = members.len().div_ceil(LANES);
            sets.push(Self {
                histories: (0..groups).map(|_| History::new(&plan.horizons)).collect(),
                groups: (0..groups).map(|_| Group::new(plan, profile)).collect(),
                phases: members.iter().map(|&i| series[i].key % arima::REFIT).collect(),
                points: vec![[f32::NAN; LANES]; groups],
                out: vec![blank(plan); members.len()],
                members,
                lstm,
                bank,
                said: None,
                due: Vec::new(),
            });
        }
        Ok(sets)
    }

    /// Samples in; the members speak that need no device.
    pub(crate) fn observe(&mut self, plan: &Plan, exec: &Exec, tick: u64, points: &[f32]) {
        for (to, &i) in self.points.as_flattened_mut().iter_mut().zip(&self.members) {
            *to = points[i];
        }
        let groups = self.groups.par_chunks_mut(GROUPS_PER_TASK);
        let histories = self.histories.par_chunks_mut(GROUPS_PER_TASK);
        let points = self.points.par_chunks(GROUPS_PER_TASK);
        exec.install(|| {
            groups.zip(histories).zip(points).for_each(|((groups, histories), points)| {
                fearless_simd::dispatch!(exec.level(), simd => {
                    for (group, (history, points)) in groups.iter_mut().zip(histories.iter_mut().zip(points)) {
                        group.observe(simd, plan, tick, history, points);
                    }
                });
            });
        });
    }

    /// Notes whose turn it is to be fitted, and looks at how those series behave.
    pub(crate) fn look(&mut self) {
        self.due.clear();
        for (l, phase) in self.phases.iter().enumerate() {
            let (group, lane) = (l / LANES, l % LANES);
            if arima::due(self.histories[group].age(lane), *phase) {
                self.due.push((group, lane));
            }
        }
        if let Some(bank) = &mut self.bank {
            for &(g, l) in &self.due {
                let history = &self.histories[g];
                bank.look(g * LANES + l, [history.len(l), history.observed(l)], &self.groups[g]);
            }
        }
    }

    /// Fits the models whose turn it is.
    pub(crate) fn refit(&mut self, engine: &mut Engine, exec: &Exec, plan: &Plan) -> Result<(), AccelError> {
        let (histories, groups) = (&self.histories, &mut self.groups);
        let history = |group: usize| &histories[group];
        arima::refit(engine, exec, &plan.horizons, &self.due, history, |g, take| take(&mut groups[g].models))
    }

    /// No models any more: they would go on from what they knew last.
    pub(crate) fn forget_models(&mut self) {
        self.groups.iter_mut().for_each(|g| g.models.silence());
    }

    /// Sends the networks' tick.
    pub(crate) fn submit(&mut self, engine: &mut Engine) -> Result<(), AccelError> {
        let Some(lstm) = &mut self.lstm else { return Ok(()) };
        let groups = &self.groups;
        lstm.submit_rows(engine, |mode, x, stats, lanes| {
            for (mode, group) in mode.chunks_exact_mut(LANES).zip(groups) {
                mode.iter_mut().zip(group.begun).for_each(|(m, b)| *m = if b { lstm_step::STEP } else { 0 });
            }
            // Some groups at a time: a row of the arrays is pages away from the next.
            for (part, groups) in groups.chunks(GROUPS_PER_TASK).enumerate() {
                for i in 0..INPUT + STATS {
                    let (to, row) = if i < INPUT { (&mut *x, i) } else { (&mut *stats, i - INPUT) };
                    let to = to[row * lanes + part * GROUPS_PER_TASK * LANES..].chunks_exact_mut(LANES);
                    to.zip(groups).for_each(|(to, group)| to.copy_from_slice(&group.features[i]));
                }
            }
        })?;
        self.bank.as_mut().map_or(Ok(()), |bank| bank.submit(engine, groups))
    }

    /// Waits for it.
    pub(crate) fn collect(&mut self, engine: &mut Engine) -> Result<(), AccelError> {
        let Some(lstm) = &mut self.lstm else { return Ok(()) };
        let out = lstm.collect_rows(engine)?;
        match &mut self.said {
            Some(said) if said.len() == out.len() => said.f32_mut().copy_from_slice(out.f32()),
            said => *said = Some(out.clone()),
        }
        self.bank.as_mut().map_or(Ok(()), |bank| bank.collect(engine))
    }

    /// The networks are silent from now on.
    pub(crate) fn drop_model(&mut self) {
        (self.lstm, self.said, self.bank) = (None, None, None);
    }

    /// Makes the forecasts of now, by lane.
    pub(crate) fn conclude(&mut self, plan: &Plan, exec: &Exec, tick: u64) {
        let (said, bank) = (self.said.as_ref().map(Slab::f32), self.bank.as_ref());
        let groups = self.groups.par_chunks_mut(GROUPS_PER_TASK).enumerate();
        let out = self.out.par_chunks_mut(GROUPS_PER_TASK * LANES);
        exec.install(|| {
            groups.zip(out).for_each_init(Vec::new, |path, ((task, groups), out)| {
                fearless_simd::dispatch!(exec.level(), simd => {
                    for (i, (group, out)) in groups.iter_mut().zip(out.chunks_mut(LANES)).enumerate() {
                        let own = task * GROUPS_PER_TASK + i;
                        let lstm = said.map(|said| move |target: usize, level: usize| row(said, own * LANES, target, level));
                        let mlp = bank.map(|bank| move |target: usize, level: usize| bank.row(own, target, level));
                        let learned = [lstm.as_ref().map(|f| f as &Learned<'_>), mlp.as_ref().map(|f| f as &Learned<'_>)];
                        group.conclude(simd, plan, tick, learned, path, out);
                    }
                });
            });
        });
    }

    /// Gives the forecasts of now to their series; what those held is written over next time.
    pub(crate) fn hand_over(&mut self, out: &mut [SeriesForecast]) {
        for (own, &i) in self.out.iter_mut().zip(&self.members) {
            std::mem::swap(own, &mut out[i]);
        }
    }
}

/// Sixteen lanes of one output of the LSTM.
fn row(said: &[f32], first: usize, target: usize, level: usize) -> &Lane {
    let at = spec::blocked(first, target * lstm_step::LEVELS + level, lstm_step::TARGETS * lstm_step::LEVELS);
    &said.as_chunks().0[at / LANES]
}

const _: () = assert!(INPUT + STATS == 54 && spec::GROUP.is_multiple_of(LANES));
