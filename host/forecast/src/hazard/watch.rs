//! Hosts, racks and sites together: events in, probabilities with reasons out.

use foreshade_types::Readiness;

use super::drive::{self, DriveState, Sample};
use super::explain::{Because, Reason, Topic};
use super::features;
use super::model::{Hazard, HazardError, Head, Layout};
use super::state::{Change, Event, GroupState, HostState};
use super::{DAY_S, HOUR_S, WEEK_S};

/// A host that has been watched for less is cold: its answer is the base rate.
pub(super) const COLD_S: i64 = DAY_S;
/// From then on, and with that many failures seen at its site, it is ready.
const READY_S: i64 = 30 * DAY_S;
const READY_FAILURES: u64 = 10;
/// Reasons per answer.
const REASONS: usize = 3;
/// A reason that changes the odds by less than 5 % is none.
const LOGIT_MIN: f64 = 0.05;

/// Where a host stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Index of its rack.
    pub rack: usize,
    /// Index of its site.
    pub site: usize,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// Of a failure within the horizon, in (0, 1).
    pub probability: f64,
    /// May this be acted on?
    pub readiness: Readiness,
    /// The heaviest reasons, heaviest first; none while cold.
    pub because: [Option<Because>; REASONS],
}

/// All hosts that one model watches.
#[derive(Debug, Clone)]
pub struct Watch {
    places: Vec<Place>,
    hosts: Vec<HostState>,
    racks: Vec<GroupState>,
    sites: Vec<GroupState>,
}

impl Watch {
    /// Hosts by index; racks and sites are as many as the largest index says.
    pub fn new(places: Vec<Place>) -> Self {
        let most = |of: fn(&Place) -> usize| places.iter().map(of).max().map_or(0, |m| m + 1);
        Self {
            hosts: vec![HostState::default(); places.len()],
            racks: vec![GroupState::default(); most(|p| p.rack)],
            sites: vec![GroupState::default(); most(|p| p.site)],
            places,
        }
    }

    /// Takes an event of `host` at `now_s`, seconds of Unix time.
    ///
    /// # Errors
    /// For an unknown host.
    pub fn observe(&mut self, host: usize, event: Event, now_s: i64) -> Result<Change, HazardError> {
        let of = self.hosts.len();
        let (Some(state), Some(place)) = (self.hosts.get_mut(host), self.places.get(host)) else {
            return Err(HazardError::Unknown { what: "host", index: host, of });
        };
        let joins = !state.known;
        let change = state.observe(event, now_s);
        for group in [&mut self.racks[place.rack], &mut self.sites[place.site]] {
            if joins {
                group.join(event == Event::Down, now_s);
            } else {
                group.change(change, now_s);
            }
        }
        Ok(change)
    }

    /// A host's own state.
    pub fn host(&self, host: usize) -> Option<&HostState> {
        self.hosts.get(host)
    }

    /// The inputs of the model for a host that is up.
    pub fn features(&self, host: usize, now_s: i64) -> Option<[f64; features::N]> {
        let state = self.hosts.get(host).filter(|s| s.known && !s.down)?;
        let place = self.places.get(host)?;
        Some(features::recurrence(state, &self.racks[place.rack], &self.sites[place.site], now_s))
    }

    /// How far an answer may be trusted.
    pub fn readiness(&self, host: usize, now_s: i64) -> Readiness {
        let (Some(state), Some(place)) = (self.hosts.get(host), self.places.get(host)) else {
            return Readiness::Cold;
        };
        match state.age_s(now_s) {
            age if age < COLD_S => Readiness::Cold,
            age if age < READY_S || self.sites[place.site].failures < READY_FAILURES => Readiness::Fallback,
            _ => Readiness::Ready,
        }
    }

    /// The probability that a host fails within `horizon_s`; `None` while it is down.
    ///
    /// # Errors
    /// For an unknown host, a horizon beyond the model's, or a model of something else than hosts.
    pub fn outlook(
        &self,
        model: &Hazard,
        host: usize,
        horizon_s: i64,
        now_s: i64,
    ) -> Result<Option<Outlook>, HazardError> {
        let of = self.hosts.len();
        let Some(state) = self.hosts.get(host) else {
            return Err(HazardError::Unknown { what: "host", index: host, of });
        };
        expects(model, Layout::Recurrence)?;
        let readiness = self.readiness(host, now_s);
        let base = model.base_rate(horizon_s)?;
        if readiness == Readiness::Cold && !state.down {
            return Ok(Some(Outlook { probability: base, readiness, because: [None; REASONS] }));
        }
        let (Some(x), Some(head)) = (self.features(host, now_s), model.head_for(horizon_s)) else {
            return Ok(None);
        };
        let probability = model.probability(&x, horizon_s)?;
        let because = because(head, Layout::Recurrence, &x, |topic| self.reason(host, topic, now_s));
        Ok(Some(Outlook { probability, readiness, because }))
    }

    fn reason(&self, host: usize, topic: Topic, now_s: i64) -> Reason {
        let (state, place) = (&self.hosts[host], self.places[host]);
        let now_s = state.at(now_s);
        let counts = |g: &GroupState| (g.failures_within(now_s, HOUR_S), g.failures_within(now_s, DAY_S));
        match topic {
            Topic::OwnFailures => {
                let seen = |days: u32| state.failures_within(now_s, i64::from(days) * DAY_S);
                let days = [1, 7].into_iter().find(|d| seen(*d) > 0).unwrap_or(30);
                // The longer span where it tells more.
                let days = if days == 1 && seen(7) > seen(1) { 7 } else { days };
                Reason::OwnFailures { count: seen(days), days }
            }
            Topic::Quiet => Reason::Quiet {
                seconds: now_s.saturating_sub(state.failed_s.unwrap_or(state.since_s)),
                ever: state.failed_s.is_some(),
            },
            Topic::Uptime => Reason::Uptime { seconds: now_s.saturating_sub(state.change_s) },
            Topic::Age => Reason::Age { seconds: state.age_s(now_s) },
            Topic::Rack => {
                let (hour, day) = counts(&self.racks[place.rack]);
                Reason::Rack { hour, day }
            }
            Topic::Site => {
                let (hour, day) = counts(&self.sites[place.site]);
                Reason::Site { hour, day }
            }
            Topic::Calendar | Topic::Attribute(_) => Reason::Calendar,
        }
    }
}

fn expects(model: &Hazard, layout: Layout) -> Result<(), HazardError> {
    if model.layout() == layout {
        return Ok(());
    }
    Err(HazardError::Model(format!("it is of {}, asked for {}", model.layout().name(), layout.name())))
}

/// The topics whose inputs move the logit furthest from that of an average host.
fn because(
    head: &Head,
    layout: Layout,
    x: &[f64],
    reason: impl Fn(Topic) -> Reason,
) -> [Option<Because>; REASONS] {
    let mut top: [Option<(Topic, f64)>; REASONS] = [None; REASONS];
    let inputs = layout.inputs();
    for (first, (_, topic)) in inputs.iter().enumerate() {
        if inputs[..first].iter().any(|(_, t)| t == topic) {
            continue;
        }
        let of_topic = (first..inputs.len()).filter(|i| inputs[*i].1 == *topic);
        let logit = head.slope * of_topic.map(|i| head.weights[i] * (x[i] - head.mean[i])).sum::<f64>();
        if logit.abs() < LOGIT_MIN {
            continue;
        }
        let mut next = Some((*topic, logit));
        for slot in &mut top {
            if slot.is_none_or(|(_, l)| next.is_some_and(|(_, n)| n.abs() > l.abs())) {
                std::mem::swap(slot, &mut next);
            }
        }
    }
    top.map(|t| {
        t.map(|(topic, logit)| Because { reason: reason(topic), odds: logit.clamp(-30.0, 30.0).exp() })
    })
}

/// Drives that one model watches. A drive has no rack here: SMART says nothing of its neighbours.
#[derive(Debug, Clone, Default)]
pub struct DriveWatch {
    drives: Vec<DriveState>,
}

impl DriveWatch {
    /// `drives` drives by index.
    pub fn new(drives: usize) -> Self {
        Self { drives: vec![DriveState::default(); drives] }
    }

    /// Takes one SMART sample.
    ///
    /// # Errors
    /// For an unknown drive.
    pub fn observe(&mut self, drive: usize, sample: &Sample, now_s: i64) -> Result<(), HazardError> {
        let of = self.drives.len();
        let state = self.drives.get_mut(drive);
        state.map(|s| s.observe(sample, now_s)).ok_or(HazardError::Unknown {
            what: "drive",
            index: drive,
            of,
        })
    }

    /// The inputs of the model.
    pub fn features(&self, drive: usize) -> Option<[f64; drive::N]> {
        self.drives.get(drive).map(DriveState::features)
    }

    /// The risk of a drive. The shipped model ranks; its probabilities hold for the biased set it was fitted on.
    ///
    /// # Errors
    /// For an unknown drive, a horizon beyond the model's, or a model of something else than drives.
    pub fn outlook(&self, model: &Hazard, drive: usize, horizon_s: i64) -> Result<Outlook, HazardError> {
        let of = self.drives.len();
        let Some(state) = self.drives.get(drive) else {
            return Err(HazardError::Unknown { what: "drive", index: drive, of });
        };
        expects(model, Layout::Drive)?;
        let base = model.base_rate(horizon_s)?;
        // Growth needs a week; without any sample there is nothing to rank by.
        let readiness = match state.age_s() {
            None => Readiness::Cold,
            Some(age) if age < WEEK_S => Readiness::Fallback,
            Some(_) => Readiness::Ready,
        };
        let (Some(head), true) = (model.head_for(horizon_s), readiness != Readiness::Cold) else {
            return Ok(Outlook { probability: base, readiness, because: [None; REASONS] });
        };
        let x = state.features();
        let of_topic = |topic| match topic {
            Topic::Attribute(id) => Reason::Attribute { id, raw: state.value(id) },
            _ => Reason::Calendar,
        };
        let because = because(head, Layout::Drive, &x, of_topic);
        Ok(Outlook { probability: model.probability(&x, horizon_s)?, readiness, because })
    }
}
