//! What the view shows and what its viewer has chosen. Keys change it; nothing here knows a terminal.

use std::collections::BTreeMap;

use foreshade_types::{DecisionId, Resource};

use super::log::Log;

/// A place on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Pane {
    /// VM x horizon.
    Vms,
    /// Hosts and racks with their bands.
    Hosts,
    /// The decision feed.
    #[default]
    Feed,
    /// Latency of the ten hops.
    Hops,
    /// Shadows and how far they are.
    Shadows,
    /// Racks, hours ahead.
    Outlook,
}

impl Pane {
    /// In the order of the tab key. The last three share a place.
    pub(super) const ALL: [Self; 6] =
        [Self::Vms, Self::Hosts, Self::Feed, Self::Hops, Self::Shadows, Self::Outlook];

    fn next(self, by: usize) -> Self {
        let at = Self::ALL.iter().position(|p| *p == self).unwrap_or(0);
        Self::ALL[(at + by) % Self::ALL.len()]
    }

    /// Is it one of those that share a place?
    pub(super) fn is_side(self) -> bool {
        matches!(self, Self::Hops | Self::Shadows | Self::Outlook)
    }
}

/// How far the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Stage {
    /// History is read; nothing is decided on yet.
    #[default]
    WarmUp,
    /// Decisions are taken.
    Running,
    /// Asked to stop.
    Stopping,
    /// The other policies run on the same trace.
    Comparing,
    /// Nothing more comes.
    Done,
}

impl Stage {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::WarmUp => "warm-up",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Comparing => "comparing with other policies",
            Self::Done => "done",
        }
    }
}

/// One VM's bounds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HeatRow {
    /// Its name.
    pub(crate) name: String,
    /// Where it runs.
    pub(crate) host: String,
    /// What it asks for now, percent of its size; NaN = not known.
    pub(crate) now: f32,
    /// q95 in points, in the order of [`Facts::horizons`].
    pub(crate) q95: [f32; 4],
}

/// A host, or a rack: what it carries and what it will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoadRow {
    /// Its name.
    pub(crate) name: String,
    /// A rack stands above its hosts.
    pub(crate) rack: bool,
    /// CPU it has, millicores.
    pub(crate) has_mc: u64,
    /// CPU that is asked of it, millicores.
    pub(crate) now_mc: u64,
    /// The largest sum of the next 30 min, q50 and q95, millicores.
    pub(crate) peak_mc: (u64, u64),
    /// It runs, as far as anybody has said.
    pub(crate) up: bool,
}

/// A shadow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShadowRow {
    /// Its VM.
    pub(crate) vm: String,
    /// How far it is.
    pub(crate) phase: &'static str,
    /// Where it is.
    pub(crate) host: String,
    /// What it is given, millicores.
    pub(crate) size_mc: u64,
    /// Share of the load it serves, percent.
    pub(crate) share_percent: u8,
}

/// A rack some time ahead: q05, q50, q95, millicores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AheadRow {
    /// The rack; said once.
    pub(crate) rack: String,
    /// What of it, and how far ahead.
    pub(crate) what: String,
    /// The band.
    pub(crate) band_mc: (u64, u64, u64),
}

/// What is known of the run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// What runs.
    pub(crate) title: String,
    /// On what.
    pub(crate) subject: String,
    /// How far.
    pub(crate) stage: Stage,
    /// Hours since the trace began.
    pub(crate) hours: f64,
    /// Ticks that were decided at, of how many.
    pub(crate) tick: (u64, u64),
    /// Samples done, of how many.
    pub(crate) done: (u64, u64),
    /// Seconds left; `None` = not known.
    pub(crate) left_s: Option<f64>,
    /// Of the newest tick: VMs left alone; advised decisions that the mode kept back.
    pub(crate) held: u64,
    /// See `held`.
    pub(crate) advised: u64,
    /// Decisions so far, by action.
    pub(crate) decided: BTreeMap<&'static str, u64>,
    /// Names of the columns of the heat map.
    pub(crate) horizons: [String; 4],
    /// The VMs by resource, hottest first.
    pub(crate) heat: BTreeMap<Resource, Vec<HeatRow>>,
    /// Share of a host that may be used, percent.
    pub(crate) limit_percent: u64,
    /// Racks, each followed by its hosts.
    pub(crate) loads: Vec<LoadRow>,
    /// Hop, p50 and p99 in microseconds.
    pub(crate) hops: Vec<(&'static str, f64, f64)>,
    /// The shadows there are.
    pub(crate) shadows: Vec<ShadowRow>,
    /// Racks ahead.
    pub(crate) ahead: Vec<AheadRow>,
    /// What stands in a pane that has nothing to show.
    pub(crate) notes: BTreeMap<Pane, Vec<String>>,
}

/// A key, as far as the view knows any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Esc,
    Tab,
    BackTab,
}

/// What a key asks of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// Nothing.
    None,
    /// To end.
    Quit,
    /// To stop acting, or to act again.
    PauseActing,
    /// To carry out what is only advised.
    Approve(DecisionId),
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// The run.
    pub(crate) facts: Facts,
    /// The decision feed.
    pub(crate) log: Log,
    /// Colours may be used.
    pub(crate) colour: bool,
    pub(super) pane: Pane,
    /// The last chosen of those that share a place.
    pub(super) side: Option<Pane>,
    pub(super) resource: Option<Resource>,
    /// The pane takes the whole screen.
    pub(super) zoom: bool,
    pub(super) help: bool,
    /// The chosen line of the feed is shown whole.
    pub(super) detail: bool,
    /// First row shown, by pane.
    pub(super) top: BTreeMap<Pane, usize>,
    /// What a key could not do.
    pub(super) said: String,
}

impl State {
    /// The resource of the heat map.
    pub(super) fn resource(&self) -> Resource {
        self.resource.unwrap_or(Resource::Cpu)
    }

    /// Which of those that share a place is seen.
    pub(super) fn side(&self) -> Pane {
        if self.pane.is_side() { self.pane } else { self.side.unwrap_or(Pane::Hops) }
    }

    /// Takes a key.
    pub(super) fn key(&mut self, key: Key) -> Act {
        self.said.clear();
        match key {
            Key::Char('q') => return Act::Quit,
            Key::Char('?' | 'h') => self.help = !self.help,
            Key::Esc if self.help || self.detail || self.zoom => {
                (self.help, self.detail, self.zoom) = (false, false, false);
            }
            _ if self.help => self.help = false,
            Key::Char('c') => self.resource = Some(Resource::Cpu),
            Key::Char('m') => self.resource = Some(Resource::Memory),
            Key::Char('d') => self.either(Resource::DiskRead, Resource::DiskWrite),
            Key::Char('n') => self.either(Resource::NetRx, Resource::NetTx),
            Key::Char(' ' | 'p') => self.log.toggle(),
            Key::Char('P') => return Act::PauseActing,
            Key::Char('a') => return self.approve(),
            Key::Tab => self.turn(1),
            Key::BackTab => self.turn(Pane::ALL.len() - 1),
            Key::Enter if self.pane == Pane::Feed => self.detail = !self.detail && self.log.at().is_some(),
            Key::Enter => self.zoom = !self.zoom,
            Key::Up => self.scroll(-1),
            Key::Down => self.scroll(1),
            Key::PageUp => self.scroll(-10),
            Key::PageDown => self.scroll(10),
            Key::Home => self.scroll(i64::MIN),
            Key::End if self.pane == Pane::Feed => self.log.run_on(),
            Key::End => self.scroll(i64::MAX),
            Key::Char(_) | Key::Esc => {}
        }
        Act::None
    }

    fn approve(&mut self) -> Act {
        match self.log.at().and_then(|i| i.id) {
            Some(id) => Act::Approve(id),
            None => {
                self.said = "choose a decision in the feed first".into();
                Act::None
            }
        }
    }

    /// The first of two resources, or the second where the first is shown.
    fn either(&mut self, a: Resource, b: Resource) {
        self.resource = Some(if self.resource() == a { b } else { a });
    }

    fn turn(&mut self, by: usize) {
        self.pane = self.pane.next(by);
        self.detail = false;
        if self.pane.is_side() {
            self.side = Some(self.pane);
        }
    }

    fn scroll(&mut self, by: i64) {
        if self.pane == Pane::Feed {
            return self.log.go(by);
        }
        let last = self.rows(self.pane).saturating_sub(1);
        let top = self.top.entry(self.pane).or_default();
        *top = (*top as u64).saturating_add_signed(by).min(last as u64) as usize;
    }

    /// Rows a pane has to show.
    pub(super) fn rows(&self, pane: Pane) -> usize {
        let f = &self.facts;
        match pane {
            Pane::Vms => f.heat.get(&self.resource()).map_or(0, Vec::len),
            Pane::Hosts => f.loads.len(),
            Pane::Feed => 0,
            Pane::Hops => f.hops.len(),
            Pane::Shadows => f.shadows.len(),
            Pane::Outlook => f.ahead.len(),
        }
    }
}
