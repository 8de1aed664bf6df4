//! The experts of a series, what each misses by, and their common path.
//!
//! Which season there is, is a matter of evidence: experts with none, a daily and a weekly season run side by side, and
//! each horizon weighs them by one over their own mean absolute error at that horizon to the eighth power (the weights of
//! Bates and Granger, "The combination of forecasts", 1969, with a larger power).

use super::cells::Size;
use super::history::History;
use super::lags::Lags;
use super::profile::{Profile, Rates};
use super::{HOURS_MAX, Season};

/// Horizons at which forecasts are checked against what came, in hours. 36 is there because the last value is a good
/// forecast of 24 h and of 48 h of a daily season, and a bad one between.
pub(crate) const ANCHORS_H: [usize; 7] = [1, 3, 6, 12, 24, 36, HOURS_MAX];
/// Index of the day-ahead anchor.
pub(crate) const DAY: usize = 4;
/// Experts.
pub(crate) const EXPERTS: usize = 8;

/// The regression on lags among them.
const LAGS: usize = 4;

/// Season of each expert, in the order of [`Bank::path_of`].
const SEASONS: [Season; EXPERTS] = [
    Season::None,
    Season::Daily,
    Season::Weekly,
    Season::Weekly,
    Season::Weekly,
    Season::None,
    Season::Daily,
    Season::Weekly,
];

/// No season; daily; daily and weekly; the same, slow. Chosen on the training part of M4 hourly.
static RATES: [Rates; 4] = [
    Rates { level: 0.05, trend: 0.05, day: 0.0, week: 0.0 },
    Rates { level: 0.02, trend: 0.0, day: 0.3, week: 0.0 },
    Rates { level: 0.01, trend: 0.0, day: 0.3, week: 0.3 },
    Rates { level: 0.003, trend: 0.0, day: 0.03, week: 0.3 },
];

/// Outcomes below which an expert is not weighed.
const OUTCOMES_MIN: u16 = 24;
/// Outcomes that the mean error remembers: 2 weeks.
const OUTCOMES: u16 = 336;
/// A longer season must be better by this factor to be named.
const SEASON_MARGIN: f32 = 1.05;
/// Power of the error ratio: the best are averaged, a bad one is out.
const POWER: i32 = 8;
/// Points below which errors are equal.
const LOSS_MIN: f32 = 1e-4;

/// Mean absolute errors of an expert at the anchors.
#[derive(Debug, Clone, Copy, Default)]
struct Losses {
    mean: [f32; ANCHORS_H.len()],
    outcomes: [u16; ANCHORS_H.len()],
}

/// The experts of one series.
#[derive(Debug, Clone)]
pub(crate) struct Bank {
    profiles: [Profile; 4],
    lags: Lags,
    pub(crate) history: History,
    losses: [Losses; EXPERTS],
    /// The hour taken last.
    last_h: i64,
}

/// What the experts say at one anchor; NaN = nothing.
pub(crate) type Voices = [f32; EXPERTS];

impl Bank {
    pub(crate) fn new(size: Size) -> Self {
        Self {
            profiles: RATES.each_ref().map(|rates| Profile::new(rates, size)),
            lags: Lags::new(),
            history: History::new(size),
            losses: Default::default(),
            last_h: 0,
        }
    }

    /// Bytes beside the struct itself.
    pub(crate) fn bytes(&self) -> usize {
        self.history.bytes() + self.profiles.iter().map(Profile::bytes).sum::<usize>()
    }

    /// Takes the hour after the last; `None` = unknown: `expected` stands in for it, and nothing is learnt. `teach` =
    /// false: the level may be changing, so levels follow, but seasons and lags learn nothing from it.
    pub(crate) fn push(&mut self, hour: i64, z: Option<f32>, expected: f32, teach: bool) {
        self.last_h = hour;
        self.profiles.iter_mut().for_each(|p| p.push(hour, z, teach));
        if let (Some(z), true) = (z, teach) {
            self.lags.learn(&self.history, z);
        }
        self.history.push(z.unwrap_or(expected));
    }

    /// An outcome of what was said at an anchor.
    pub(crate) fn judge(&mut self, anchor: usize, voices: &Voices, z: f32) {
        for (losses, voice) in self.losses.iter_mut().zip(voices).filter(|(_, v)| v.is_finite()) {
            let (mean, outcomes) = (&mut losses.mean[anchor], &mut losses.outcomes[anchor]);
            *outcomes = (*outcomes + 1).min(OUTCOMES);
            *mean += ((z - voice).abs() - *mean) / f32::from(*outcomes);
        }
    }

    /// The level has changed by this much, `hours` ago.
    pub(crate) fn restart(&mut self, hours: usize, by: f32) {
        self.history.shift(hours, by);
        self.profiles.iter_mut().for_each(Profile::restart);
    }

    /// Path of one expert; `false` = it has nothing to say.
    fn path_of(&self, expert: usize, out: &mut [f32; HOURS_MAX]) -> bool {
        let ready = match expert {
            0..4 => self.history.len() >= [1, 24, 192, 192][expert],
            LAGS => self.lags.ready(),
            _ => self.history.len() >= [1, 24, 168][expert - 5],
        };
        if !ready {
            return false;
        }
        match expert {
            0..4 => self.profiles[expert].path(self.last_h, out),
            LAGS => self.lags.path(&self.history, out),
            _ => {
                let season = [1, 24, 168][expert - 5];
                for (i, o) in out.iter_mut().enumerate() {
                    *o = self.history.back(season - 1 - i % season).unwrap_or(f32::NAN);
                }
            }
        }
        true
    }

    /// The common path of the next hours, and what each expert says at each anchor.
    pub(crate) fn speak(&self) -> ([f32; HOURS_MAX], [Voices; ANCHORS_H.len()]) {
        let (mut sum, mut total) = ([0.0; HOURS_MAX], [0.0; HOURS_MAX]);
        let mut voices = [[f32::NAN; EXPERTS]; ANCHORS_H.len()];
        let mut path = [0.0; HOURS_MAX];
        let best: [f32; HOURS_MAX] = std::array::from_fn(|i| self.best(i + 1));
        for expert in 0..EXPERTS {
            if !self.path_of(expert, &mut path) {
                continue;
            }
            for (said, h) in voices.iter_mut().zip(ANCHORS_H) {
                said[expert] = path[h - 1];
            }
            for (i, z) in path.iter().enumerate() {
                let weight = match self.loss(expert, i + 1) {
                    Some(loss) => (best[i] / loss).powi(POWER),
                    // As long as nobody was judged, all profiles speak.
                    None if best[i].is_infinite() && expert < 4 => 1.0,
                    None => continue,
                };
                sum[i] += weight * z;
                total[i] += weight;
            }
        }
        let mut common = [0.0; HOURS_MAX];
        common
            .iter_mut()
            .zip(sum.iter().zip(&total))
            .for_each(|(c, (s, t))| *c = s / t.max(f32::MIN_POSITIVE));
        (common, voices)
    }

    /// Mean absolute error of an expert some hours ahead; `None` = not judged enough.
    fn loss(&self, expert: usize, h: usize) -> Option<f32> {
        let (a, part) = between(h);
        let l = &self.losses[expert];
        let enough = l.outcomes[a].min(l.outcomes[a + 1]) >= OUTCOMES_MIN;
        enough.then(|| (l.mean[a] + part * (l.mean[a + 1] - l.mean[a])).max(LOSS_MIN))
    }

    fn best(&self, h: usize) -> f32 {
        (0..EXPERTS).filter_map(|e| self.loss(e, h)).fold(f32::INFINITY, f32::min)
    }

    /// The shortest season with an expert about as good as the best half a day and a day ahead (a day ahead alone, the last
    /// value would pass for a daily season); `None` = not judged yet. The regression has no say: its lags are daily and
    /// weekly at once.
    pub(crate) fn season(&self) -> Option<Season> {
        let best_of = |season: Season| {
            let of = (0..EXPERTS).filter(|&e| e != LAGS && SEASONS[e] == season);
            of.filter_map(|e| Some(self.loss(e, 12)? + self.loss(e, 24)?)).reduce(f32::min)
        };
        let judged = [Season::None, Season::Daily, Season::Weekly].map(|s| (s, best_of(s)));
        let best = judged.iter().filter_map(|(_, loss)| *loss).reduce(f32::min)?;
        judged.into_iter().find(|(_, loss)| loss.is_some_and(|l| l <= SEASON_MARGIN * best)).map(|(s, _)| s)
    }
}

/// The anchor at or before `h` hours (never the last one), and how far on the way to the next, on a logarithmic scale.
pub(crate) fn between(h: usize) -> (usize, f32) {
    let a = ANCHORS_H.iter().rposition(|&a| a <= h).unwrap_or(0).min(ANCHORS_H.len() - 2);
    let (low, high) = (ANCHORS_H[a] as f32, ANCHORS_H[a + 1] as f32);
    (a, ((h as f32 / low).ln() / (high / low).ln()).clamp(0.0, 1.0))
}
