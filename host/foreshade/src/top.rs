//! `foreshade top`: the full-screen view of what a journal holds. A running appliance cannot be asked yet.

use std::collections::BTreeMap;
use std::fs;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use foreshade_appliance::{Chain, RedbJournal};
use foreshade_appliance_core::{Header, JournalError, Record};
use foreshade_types::{DecisionId, HoldReason, VmId};
use tokio::sync::watch;

use crate::Failure;
use crate::cli::TopArgs;
use crate::view::screen::{self, Facts, Log, Order, Orders, Pane, Screen, Shared, Stage};
use crate::view::{name, reason, say};

/// A journal that grows is looked at this often.
const EVERY: Duration = Duration::from_secs(1);

/// Lines of the feed where there is no terminal.
const LINES: usize = 20;

/// `foreshade top`
pub(crate) fn command(args: &TopArgs) -> Result<(), Failure> {
    let Some(path) = &args.journal else {
        let text = "top: give --journal FILE (`demo --journal` writes one); asking a running appliance is not built yet";
        return Err(Failure::Usage(text.into()));
    };
    let mut book = Book::default();
    book.read(path)?;
    if args.plain || !screen::wanted() || !std::io::stdout().is_terminal() {
        if args.follow {
            return Err(Failure::Usage(
                "top: --follow needs a terminal; without it the journal is shown once".into(),
            ));
        }
        say(&book.lines());
        return Ok(());
    }
    let shared = Shared::default();
    shared.lock().colour = screen::colour();
    book.show(path, &shared);
    let stop = Arc::new(watch::channel(false).0);
    let heard = Arc::clone(&stop);
    let _ = ctrlc::set_handler(move || {
        heard.send_replace(true);
    });
    let view = Screen::open(shared.clone(), Box::new(Keys(Arc::clone(&stop))))?;
    let (mut seen, mut looked) = (changed(path), Instant::now());
    view.wait(|| {
        if args.follow && looked.elapsed() >= EVERY {
            looked = Instant::now();
            let now = changed(path);
            // A copy that is torn or a file that is gone is tried again; what is shown stays.
            if now != seen && book.read(path).is_ok() {
                seen = now;
                book.show(path, &shared);
            }
        }
        *stop.borrow()
    });
    Ok(())
}

fn changed(path: &Path) -> Option<(u64, SystemTime)> {
    let m = fs::metadata(path).ok()?;
    Some((m.len(), m.modified().ok()?))
}

/// What a journal has told so far.
#[derive(Debug, Default)]
struct Book {
    header: Header,
    records: usize,
    last: Option<u64>,
    log: Log,
    decided: BTreeMap<&'static str, u64>,
    answered: BTreeMap<&'static str, u64>,
    /// Why each VM is left alone.
    holds: BTreeMap<VmId, HoldReason>,
    hours: f64,
    tick: u64,
}

impl Book {
    /// Reads what is new. From a copy: a writer is not kept from its file, and one that writes now does not keep it from
    /// us. The chain of records tells whether the copy is whole.
    fn read(&mut self, path: &Path) -> Result<(), Failure> {
        let cannot = |e: std::io::Error| {
            Failure::Failed(format!(
                "journal {}: {e}; name a file that `demo --journal` wrote",
                path.display()
            ))
        };
        let dir = tempfile::tempdir().map_err(cannot)?;
        let copy = dir.path().join("journal.redb");
        fs::copy(path, &copy).map_err(cannot)?;
        let wrong = |e: JournalError| {
            Failure::Failed(format!(
                "journal {}: {}; name a file that `demo --journal` wrote",
                path.display(),
                e.what
            ))
        };
        let journal = RedbJournal::open(&copy).map_err(wrong)?;
        if let Chain::Broken { tick } = journal.verify().map_err(wrong)? {
            let text =
                "is not what was written, or was being written; `foreshade explain --verify` tells which";
            return Err(Failure::Failed(format!(
                "journal {}: the record of tick {tick} {text}",
                path.display()
            )));
        }
        self.header = journal.header().map_err(wrong)?;
        let records = journal.records().map_err(wrong)?;
        self.records = records.len();
        let known = self.last;
        for r in records.iter().filter(|r| known.is_none_or(|last| r.tick.0 > last)) {
            self.record(r);
        }
        self.last = records.last().map(|r| r.tick.0).max(self.last);
        Ok(())
    }

    fn record(&mut self, r: &Record) {
        for (rack, o) in &r.answers {
            *self.answered.entry(o.kind.text()).or_default() += 1;
            let id = DecisionId::new(self.epoch(), *rack, o.seq);
            self.log.answered(id, o.kind);
        }
        for d in &r.decisions {
            *self.decided.entry(d.action.name()).or_default() += 1;
            self.holds.remove(&d.vm);
        }
        self.holds.extend(r.holds.iter().copied());
        self.hours = r.tick.0 as f64 * f64::from(self.header.cadence_s) / 3600.0;
        if r.tick < self.header.first_decision {
            return;
        }
        self.tick = r.tick.0 + 1 - self.header.first_decision.0;
        let when = format!("[{:.2} h] tick {}", self.hours, self.tick);
        let vms = &self.header.vms;
        let named = |vm: VmId| vms.get(vm.index()).map_or_else(|| vm.to_string(), |n| name(n));
        reason::items(&r.decisions, named, &when).into_iter().for_each(|i| self.log.push(i));
        self.log.push(reason::tick(&when, &r.decisions, &self.held()));
    }

    /// The epoch of the newest decision: answers are to decisions of the tick before.
    fn epoch(&self) -> u64 {
        self.log.newest().map_or(1, |id| (id.0 >> 96) as u64)
    }

    fn held(&self) -> BTreeMap<HoldReason, u64> {
        let mut held = BTreeMap::new();
        self.holds.values().for_each(|why| *held.entry(*why).or_default() += 1);
        held
    }

    fn subject(&self, path: &Path) -> String {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let h = &self.header;
        format!(
            "{}: {} VMs, {} ticks; written by {}",
            name(&file),
            h.vms.len(),
            self.records,
            name(&h.version)
        )
    }

    /// Tables of what a journal does hold, and a word on what it does not.
    fn notes(&self) -> BTreeMap<Pane, Vec<String>> {
        let count = |(what, n): (&&str, &u64)| format!("{n:>8}  {what}");
        let mut decided = vec!["decisions".to_owned()];
        decided.extend(self.decided.iter().map(count));
        decided.push("answers of the controllers".into());
        decided.extend(self.answered.iter().map(count));
        decided.push("Forecasts are not in a journal.".into());
        let mut held = vec!["VMs left alone now".to_owned()];
        held.extend(self.held().iter().map(|(why, n)| format!("{n:>8}  {}", why.text())));
        held.push("Loads of hosts are not in a journal.".into());
        let lacks = |what: &str| vec![format!("{what} not in a journal.")];
        BTreeMap::from([
            (Pane::Vms, decided),
            (Pane::Hosts, held),
            (Pane::Hops, lacks("Latencies are")),
            (
                Pane::Shadows,
                vec!["States of shadows are not in a journal; their decisions are in the feed.".into()],
            ),
            (Pane::Outlook, lacks("Hours ahead are")),
        ])
    }

    fn show(&mut self, path: &Path, shared: &Shared) {
        let facts = Facts {
            title: "foreshade top".into(),
            subject: self.subject(path),
            stage: Stage::Done,
            hours: self.hours,
            tick: (self.tick, 0),
            held: self.holds.len() as u64,
            decided: self.decided.clone(),
            notes: self.notes(),
            ..Facts::default()
        };
        let mut state = shared.lock();
        state.facts = facts;
        state.log.take(&self.log);
    }

    /// The same in lines.
    fn lines(&self) -> String {
        let notes = self.notes();
        let tables = [Pane::Vms, Pane::Hosts].into_iter().filter_map(|p| notes.get(&p)).flatten();
        let mut out: String = tables.map(|l| format!("{l}\n")).collect();
        out += &self.log.last(LINES).map(|i| format!("{}\n", i.text)).collect::<String>();
        out
    }
}

/// The view's keys: a journal cannot be told anything.
struct Keys(Arc<watch::Sender<bool>>);

impl Orders for Keys {
    fn quit(&mut self) {
        self.0.send_replace(true);
    }

    fn order(&mut self, _: Order) -> String {
        "a journal is only looked at; orders go to a running appliance".into()
    }
}
