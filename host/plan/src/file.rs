//! Policy files: TOML, strict. Whatever is wrong is said with its line, and all of it at once.
//!
//! ```toml
//! preset = "safe"             # what it begins with; balanced by default
//! mode = "advise"
//! host_limit_percent = 88     # any setting
//! [modes]
//! migrate = "off"             # a kind of action with a mode of its own
//! [[failover.when]]           # when a VM has failed
//! name = "cpu"
//! if = "cpu_percent > 90 for 300 s"
//! ```

use std::fmt;

use foreshade_types::Action;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::failover::Failover;
use crate::keys::{KEYS, Key, Range, Value, key};
use crate::{Mode, Policy, Preset};

/// Names at the top of a file that are no number or switch.
const WORDS: [&str; 4] = ["preset", "mode", "modes", "failover"];

/// The modes, as files name them.
const MODES: [(&str, Mode); 3] = [("off", Mode::Off), ("advise", Mode::Advise), ("auto", Mode::Auto)];

/// Names at least this alike are suggested (Jaro-Winkler, 1 = equal).
const ALIKE: f64 = 0.8;

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong and what would be right.
    pub what: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// Everything that is wrong with it, by line.
    pub fn parse(text: &str) -> Result<Self, Vec<FileError>> {
        let line = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
        let table = DeTable::parse(text).map_err(|e| {
            let what = e.message().trim_end().replace('\n', "; ");
            vec![FileError { line: e.span().map_or(1, |s| line(s.start)), what }]
        })?;
        let mut reader = Reader { policy: Self::default(), wrong: vec![] };
        let table = table.get_ref();
        if let Some((_, v)) = table.iter().find(|(k, _)| k.get_ref() == "preset") {
            reader.preset(v);
        }
        table.iter().for_each(|(k, v)| reader.entry(k.get_ref(), k.span().start, v));
        let mut wrong: Vec<_> =
            reader.wrong.into_iter().map(|(at, what)| FileError { line: line(at), what }).collect();
        wrong.sort_by_key(|e| e.line);
        if wrong.is_empty() { Ok(reader.policy) } else { Err(wrong) }
    }
}

/// A policy while it is read, and what was wrong where.
struct Reader {
    policy: Policy,
    wrong: Vec<(usize, String)>,
}

impl Reader {
    fn preset(&mut self, v: &Spanned<DeValue<'_>>) {
        match v.get_ref().as_str().and_then(Preset::named) {
            Some(p) => self.policy = p.policy(),
            None => {
                let what = format!("preset = {}; it is safe, balanced or dense", shown(v.get_ref()));
                self.wrong.push((v.span().start, what));
            }
        }
    }

    fn entry(&mut self, name: &str, at: usize, v: &Spanned<DeValue<'_>>) {
        match (name, v.get_ref()) {
            ("preset", _) => {}
            ("mode", _) => {
                if let Some(mode) = self.mode("mode", v) {
                    self.policy.mode = mode;
                }
            }
            ("failover", _) => self.failover(at, v),
            ("modes", DeValue::Table(modes)) => self.modes(modes),
            ("modes", other) => {
                self.wrong.push((at, format!("modes = {}; it is a table, [modes]", shown(other))));
            }
            (name, _) => match key(name) {
                Some(k) => self.setting(k, v),
                None => {
                    let names = KEYS.iter().map(|k| k.name).chain(WORDS);
                    self.wrong.push((at, format!("unknown key {name}{}", suggest(name, names))));
                }
            },
        }
    }

    fn setting(&mut self, k: &Key, v: &Spanned<DeValue<'_>>) {
        let value = match v.get_ref() {
            DeValue::Integer(i) => u64::from_str_radix(i.as_str(), i.radix()).ok().map(Value::Number),
            DeValue::Boolean(b) => Some(Value::Switch(*b)),
            _ => None,
        };
        match value.filter(|v| k.range.has(*v)) {
            Some(value) => (k.set)(&mut self.policy, value),
            None => {
                let number = if k.range == Range::Switch { "" } else { "a whole number, " };
                let what = format!("{} = {}; it is {number}{}", k.name, shown(v.get_ref()), k.range);
                self.wrong.push((v.span().start, what));
            }
        }
    }

    fn failover(&mut self, at: usize, v: &Spanned<DeValue<'_>>) {
        let read = Failover::deserialize(toml::de::ValueDeserializer::from(v.clone()));
        let wrong = |e: toml::de::Error| (e.span().map_or(at, |s| s.start), e.message().replace('\n', "; "));
        let checked = read.map_err(wrong).and_then(|f| match f.check() {
            Ok(()) => Ok(f),
            Err((key, value, range)) => Err((at, format!("{key} = {value}; it is {range}"))),
        });
        match checked {
            Ok(f) => self.policy.failover = f,
            Err((at, what)) => self.wrong.push((at, format!("failover: {}", what.trim_end()))),
        }
    }

    fn mode(&mut self, name: &str, v: &Spanned<DeValue<'_>>) -> Option<Mode> {
        let word = v.get_ref().as_str();
        let mode = MODES.iter().find(|(n, _)| Some(*n) == word).map(|(_, m)| *m);
        if mode.is_none() {
            let what = format!("{name} = {}; it is off, advise or auto", shown(v.get_ref()));
            self.wrong.push((v.span().start, what));
        }
        mode
    }

    fn modes(&mut self, modes: &DeTable<'_>) {
        for (k, v) in modes {
            let name = k.get_ref().as_ref();
            if !Action::NAMES.contains(&name) {
                let what = format!("modes: unknown action {name}{}", suggest(name, Action::NAMES));
                self.wrong.push((k.span().start, what));
            } else if let Some(mode) = self.mode(name, v) {
                self.policy.modes.0.insert(name.to_owned(), mode);
            }
        }
    }
}

/// "; did you mean x?", or where to find the names.
fn suggest(name: &str, names: impl IntoIterator<Item = &'static str>) -> String {
    let alike = names.into_iter().map(|n| (strsim::jaro_winkler(name, n), n));
    match alike.filter(|a| a.0 >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((_, n)) => format!("; did you mean {n}?"),
        None => "; `foreshade plan --print-policy` lists them".into(),
    }
}

/// A value as it may be shown in one line.
fn shown(v: &DeValue<'_>) -> String {
    match v {
        DeValue::Integer(i) => i.as_str().to_owned(),
        DeValue::Float(x) => x.as_str().to_owned(),
        DeValue::Boolean(b) => b.to_string(),
        DeValue::String(s) => format!("{:?}", s.chars().take(40).collect::<String>()),
        DeValue::Datetime(_) => "a date".into(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}
