//! `foreshade explain`: why, from the journal alone.

use std::collections::BTreeMap;
use std::path::Path;

use foreshade_appliance::{Chain, RedbJournal};
use foreshade_appliance_core::{Header, OrderRecord, Record};
use foreshade_types::{Decision, DecisionId, HoldReason, Outcome, Tick, VmId};
use serde_json::{Value, json};

use crate::Failure;
use crate::cli::ExplainArgs;
use crate::view::{name, reason, say, what};

/// `foreshade explain`
pub(crate) fn command(args: &ExplainArgs) -> Result<(), Failure> {
    let journal = RedbJournal::open(&args.journal).map_err(|e| Failure::failed(&e))?;
    if args.verify {
        return verify(&journal, &args.journal, args.json);
    }
    let read = || Ok((journal.header()?, journal.records()?, journal.orders()?));
    let (header, records, orders) =
        read().map_err(|e: foreshade_appliance_core::JournalError| Failure::failed(&e))?;
    let book = Book::new(&header, &records, &orders);
    let text = match (&args.id, &args.vm) {
        (Some(id), _) => book.one(id, args.json)?,
        (None, Some(vm)) => book.of_vm(vm, args.json)?,
        (None, None) => book.all(args.json),
    };
    say(&text);
    Ok(())
}

fn verify(journal: &RedbJournal, path: &Path, as_json: bool) -> Result<(), Failure> {
    let path = path.display();
    match journal.verify().map_err(|e| Failure::failed(&e))? {
        Chain::Whole { records, last } if as_json => {
            say(&(json!({ "records": records, "whole": true, "last_link": last.to_string() }).to_string()
                + "\n"));
            Ok(())
        }
        Chain::Whole { records, last } => {
            say(&format!("{path}: {records} records, as they were written\nlast link {last}\n"));
            Ok(())
        }
        Chain::Broken { tick } => Err(Failure::Failed(format!(
            "{path}: the record of tick {tick} is not what was written, or one beside it is missing; trust only what is before it"
        ))),
    }
}

/// The records, to look things up in.
struct Book<'a> {
    header: &'a Header,
    records: &'a [Record],
    orders: &'a [OrderRecord],
    answers: BTreeMap<(u32, u64), Outcome>,
}

impl<'a> Book<'a> {
    fn new(header: &'a Header, records: &'a [Record], orders: &'a [OrderRecord]) -> Self {
        let answers =
            records.iter().flat_map(|r| &r.answers).map(|(rack, o)| ((rack.0, o.seq), *o)).collect();
        Self { header, records, orders, answers }
    }

    fn decisions(&self) -> impl Iterator<Item = (&'a Record, &'a Decision)> {
        self.records.iter().flat_map(|r| r.decisions.iter().map(move |d| (r, d)))
    }

    fn vm_name(&self, vm: VmId) -> String {
        self.header.vms.get(vm.index()).map_or_else(|| vm.to_string(), |n| name(n))
    }

    /// Where in the recording: hours from its beginning, and the number among the ticks that are decided at.
    fn when(&self, tick: Tick) -> String {
        let hours = tick.0 as f64 * f64::from(self.header.cadence_s) / 3600.0;
        format!("[{hours:6.2} h] tick {:>4}", (tick.0 + 1).saturating_sub(self.header.first_decision.0))
    }

    fn answer(&self, d: &Decision) -> String {
        let Some(o) = self.answers.get(&(d.rack.0, d.seq)) else { return "not noted".into() };
        let hours = o.effective_at_ms as f64 / 3.6e6;
        match o.effective_at_ms {
            0 => o.kind.text().to_owned(),
            _ => format!("{}, in force at {hours:.2} h", o.kind.text()),
        }
    }

    fn one(&self, id: &str, as_json: bool) -> Result<String, Failure> {
        let wanted = parse(id)?;
        let found = self.decisions().find(|(_, d)| d.id() == wanted);
        let Some((record, d)) = found else {
            let last = self
                .decisions()
                .last()
                .map_or_else(String::new, |(_, d)| format!(", the last is {}", d.id()));
            return Err(Failure::Usage(format!(
                "no decision {id} is in this journal{last}; list them without an ID"
            )));
        };
        if as_json {
            return Ok(pretty(&self.json(record, d)));
        }
        let mut rows = vec![
            ("decision", format!("{}, {}", d.id(), self.when(record.tick))),
            ("vm", format!("{} ({}) on {}, {}", self.vm_name(d.vm), d.vm, d.observed_host, d.rack)),
            ("action", reason::action(d)),
        ];
        rows.extend(reason::rows(d));
        let header = self.header;
        rows.push(("valid until", format!("{:.2} h", d.expires_at_ms as f64 / 3.6e6)));
        rows.push(("answer", self.answer(d)));
        rows.push(("inputs", format!("{:016x}", record.inputs)));
        rows.push(("model", header.model.clone()));
        rows.push(("program", header.version.clone()));
        Ok(rows.iter().map(|(label, text)| format!("{label:<12}{text}\n")).collect())
    }

    fn json(&self, record: &Record, d: &Decision) -> Value {
        json!({
            "id": d.id().to_string(),
            "tick": record.tick,
            "time_ms": record.tick.0 * u64::from(self.header.cadence_s) * 1000,
            "vm": self.header.vms.get(d.vm.index()),
            "decision": d,
            "text": d.reason.to_string(),
            "answer": self.answers.get(&(d.rack.0, d.seq)),
            "inputs": format!("{:016x}", record.inputs),
            "model": self.header.model,
            "program": self.header.version,
        })
    }

    fn line(&self, record: &Record, d: &Decision) -> String {
        let what = what(d);
        let space = if what.is_empty() { "" } else { " " };
        let (when, vm, action) = (self.when(record.tick), self.vm_name(d.vm), d.action.name());
        format!("{when} {}  {action} {vm}{space}{what}; because {}\n", d.id(), d.reason)
    }

    fn all(&self, as_json: bool) -> String {
        if as_json {
            return pretty(&self.decisions().map(|(r, d)| self.json(r, d)).collect());
        }
        let ordered = |after: u64, before: u64| {
            let these = self.orders.iter().filter(move |o| (after..before).contains(&o.tick.0));
            these
                .map(|o| format!("{} {} by {}\n", self.when(o.tick), o.order.text(), o.who))
                .collect::<String>()
        };
        let mut lines = String::new();
        let mut from = 0;
        for r in self.records {
            lines += &ordered(from, r.tick.0);
            from = r.tick.0;
            lines.extend(r.decisions.iter().map(|d| self.line(r, d)));
        }
        lines += &ordered(from, u64::MAX);
        let (n, ticks) = (self.decisions().count(), self.records.len());
        format!("{lines}{n} decisions in {ticks} ticks\n")
    }

    /// Decisions about a VM and why it was left alone between them, in order.
    fn of_vm(&self, wanted: &str, as_json: bool) -> Result<String, Failure> {
        let by_name = self.header.vms.iter().position(|n| n == wanted);
        let by_id = || wanted.strip_prefix("vm")?.parse().ok().filter(|i| *i < self.header.vms.len());
        let vm = by_name.or_else(by_id).map(|i| VmId(i as u32)).ok_or_else(|| {
            let known: Vec<&str> = self.header.vms.iter().take(3).map(String::as_str).collect();
            Failure::Usage(format!("--vm: no VM is called {wanted}; there are {}, ...", known.join(", ")))
        })?;
        let held = |r: &Record| r.holds.iter().find(|(v, _)| *v == vm).map(|(_, why)| *why);
        if as_json {
            let of = |r: &Record| {
                let hold = held(r).map(|why| json!({ "tick": r.tick, "hold": why, "text": why.text() }));
                let acts = r.decisions.iter().filter(|d| d.vm == vm).map(|d| self.json(r, d));
                hold.into_iter().chain(acts).collect::<Vec<_>>()
            };
            return Ok(pretty(&self.records.iter().flat_map(of).collect()));
        }
        let of = |r: &Record| {
            let hold =
                |why: HoldReason| format!("{} left alone from here: {}\n", self.when(r.tick), why.text());
            let acts = r.decisions.iter().filter(|d| d.vm == vm).map(|d| self.line(r, d));
            held(r).map(hold).into_iter().chain(acts).collect::<String>()
        };
        Ok(self.records.iter().map(of).collect())
    }
}

/// EPOCH.RACK.SEQ
fn parse(id: &str) -> Result<DecisionId, Failure> {
    let parts: Vec<&str> = id.split('.').collect();
    let number = |i: usize| parts.get(i).and_then(|p| p.parse::<u64>().ok());
    match (parts.len(), number(0), number(1).and_then(|r| u32::try_from(r).ok()), number(2)) {
        (3, Some(epoch), Some(rack), Some(seq)) if epoch <= u64::from(u32::MAX) => {
            Ok(DecisionId::new(epoch, foreshade_types::RackId(rack), seq))
        }
        _ => Err(Failure::Usage(format!("{id}: a decision's number is EPOCH.RACK.SEQ, as in 1.0.17"))),
    }
}

/// Values always become JSON.
fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}
