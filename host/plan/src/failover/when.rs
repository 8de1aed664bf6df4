//! When a VM counts as failed: rules that an operator writes.
//!
//! ```text
//! rule  = all { "or" all }
//! all   = part { "and" part }
//! part  = ( "(" rule ")" | value op number | [ "not" ] "host_up" ) [ "for" number "s" ]
//! value = cpu_percent | memory_percent | error_rate_percent | heartbeat_age_s
//! op    = > | >= | < | <= | == | !=
//! ```
//! `cpu_percent > 90 for 300 s` holds at the first sample that comes 300 s or more after the first of an unbroken row of samples
//! for which `cpu_percent > 90` held. What is not known is not true.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A rule that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("fail-over rule {rule:?}, at {at:?}: {what}")]
pub struct WhenError {
    rule: String,
    at: String,
    what: &'static str,
}

/// What is known of a VM at a sample. `None` = not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// CPU it asks for, percent of its size.
    pub cpu_percent: Option<u64>,
    /// Memory it asks for, percent of its size.
    pub memory_percent: Option<u64>,
    /// Requests that it answered with an error, percent.
    pub error_rate_percent: Option<u64>,
    /// Since its last heartbeat, seconds; `None` = it never had one.
    pub heartbeat_age_s: Option<u64>,
    /// Its host runs.
    pub host_up: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Cpu,
    Memory,
    ErrorRate,
    HeartbeatAge,
}

impl Value {
    const NAMES: [(&'static str, Self); 4] = [
        ("cpu_percent", Self::Cpu),
        ("memory_percent", Self::Memory),
        ("error_rate_percent", Self::ErrorRate),
        ("heartbeat_age_s", Self::HeartbeatAge),
    ];

    fn of(self, h: &Health) -> Option<u64> {
        match self {
            Self::Cpu => h.cpu_percent,
            Self::Memory => h.memory_percent,
            Self::ErrorRate => h.error_rate_percent,
            Self::HeartbeatAge => h.heartbeat_age_s,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Compare(Value, Op, u64),
    HostUp(bool),
    All(Vec<Node>),
    Any(Vec<Node>),
    /// The clock of this number, and how long it must have run, ms.
    For(Box<Node>, usize, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Above,
    AtLeast,
    Below,
    AtMost,
    Is,
    IsNot,
}

impl Op {
    const NAMES: [(&'static str, Self); 6] = [
        (">=", Self::AtLeast),
        ("<=", Self::AtMost),
        ("==", Self::Is),
        ("!=", Self::IsNot),
        (">", Self::Above),
        ("<", Self::Below),
    ];

    fn holds(self, a: u64, b: u64) -> bool {
        match self {
            Self::Above => a > b,
            Self::AtLeast => a >= b,
            Self::Below => a < b,
            Self::AtMost => a <= b,
            Self::Is => a == b,
            Self::IsNot => a != b,
        }
    }
}

/// A rule that has been read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct When {
    text: String,
    node: Node,
    clocks: usize,
}

/// Since when each `for` of a rule has held, ms.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clocks(Vec<Option<u64>>);

impl When {
    /// Does it hold at `now_ms`? Called once for every sample, in order.
    pub fn holds(&self, health: &Health, now_ms: u64, clocks: &mut Clocks) -> bool {
        clocks.0.resize(self.clocks, None);
        eval(&self.node, health, now_ms, clocks)
    }
}

/// Every part is looked at, so that no clock misses a sample.
fn eval(node: &Node, h: &Health, now_ms: u64, clocks: &mut Clocks) -> bool {
    match node {
        Node::Compare(value, op, than) => value.of(h).is_some_and(|x| op.holds(x, *than)),
        Node::HostUp(up) => h.host_up == *up,
        Node::All(parts) => parts.iter().filter(|p| eval(p, h, now_ms, clocks)).count() == parts.len(),
        Node::Any(parts) => parts.iter().filter(|p| eval(p, h, now_ms, clocks)).count() > 0,
        Node::For(part, clock, ms) => {
            let holds = eval(part, h, now_ms, clocks);
            let Some(since) = clocks.0.get_mut(*clock) else { return false };
            *since = if holds { Some(since.unwrap_or(now_ms)) } else { None };
            since.is_some_and(|s| now_ms.saturating_sub(s) >= *ms)
        }
    }
}

impl TryFrom<String> for When {
    type Error = WhenError;

    fn try_from(text: String) -> Result<Self, WhenError> {
        let mut reader = Reader { rule: &text, left: &text, clocks: 0, depth: 0 };
        let node = reader.rule()?;
        if !reader.word().is_empty() {
            return Err(reader.wrong("write \"and\", \"or\" or nothing here"));
        }
        let clocks = reader.clocks;
        Ok(Self { node, clocks, text })
    }
}

impl std::str::FromStr for When {
    type Err = WhenError;

    fn from_str(text: &str) -> Result<Self, WhenError> {
        text.to_owned().try_into()
    }
}

impl From<When> for String {
    fn from(w: When) -> Self {
        w.text
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

struct Reader<'a> {
    rule: &'a str,
    left: &'a str,
    clocks: usize,
    depth: usize,
}

/// Parentheses within parentheses; a file must not be able to exhaust the stack.
const DEPTH_MAX: usize = 16;

impl<'a> Reader<'a> {
    /// The next word, number or sign; empty at the end.
    fn word(&self) -> &'a str {
        let s = self.left.trim_start();
        let sign = Op::NAMES.iter().map(|o| o.0).chain(["(", ")"]).find(|o| s.starts_with(*o));
        let ends = |c: char| !(c.is_alphanumeric() || c == '_');
        let n = sign.map_or_else(|| s.find(ends).unwrap_or(s.len()), str::len);
        // A character that belongs to nothing is a word by itself.
        let n = if n == 0 { s.chars().next().map_or(0, char::len_utf8) } else { n };
        &s[..n]
    }

    fn next(&mut self) -> &'a str {
        let word = self.word();
        self.left = &self.left.trim_start()[word.len()..];
        word
    }

    fn takes(&mut self, word: &str) -> bool {
        let is = self.word() == word;
        if is {
            self.next();
        }
        is
    }

    fn wrong(&self, what: &'static str) -> WhenError {
        let at = if self.word().is_empty() { "its end" } else { self.word() };
        WhenError { rule: self.rule.to_owned(), at: at.to_owned(), what }
    }

    fn number(&mut self) -> Result<u64, WhenError> {
        let n = self.word().parse().map_err(|_| self.wrong("give a whole number"))?;
        self.next();
        Ok(n)
    }

    fn rule(&mut self) -> Result<Node, WhenError> {
        let mut parts = vec![self.all()?];
        while self.takes("or") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Node::Any(parts) })
    }

    fn all(&mut self) -> Result<Node, WhenError> {
        let mut parts = vec![self.part()?];
        while self.takes("and") {
            parts.push(self.part()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Node::All(parts) })
    }

    fn part(&mut self) -> Result<Node, WhenError> {
        let node = self.plain()?;
        if !self.takes("for") {
            return Ok(node);
        }
        let ms = self.number()?.saturating_mul(1000);
        if !self.takes("s") {
            return Err(self.wrong("write the unit, \"s\""));
        }
        self.clocks += 1;
        Ok(Node::For(Box::new(node), self.clocks - 1, ms))
    }

    fn plain(&mut self) -> Result<Node, WhenError> {
        if self.takes("(") {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(self.wrong("nest at most 16 parentheses"));
            }
            let node = self.rule()?;
            self.depth -= 1;
            return if self.takes(")") { Ok(node) } else { Err(self.wrong("close the parenthesis")) };
        }
        if self.takes("not") {
            return if self.takes("host_up") {
                Ok(Node::HostUp(false))
            } else {
                Err(self.wrong("only host_up is yes or no"))
            };
        }
        if self.takes("host_up") {
            return Ok(Node::HostUp(true));
        }
        let Some((_, value)) = Value::NAMES.into_iter().find(|v| v.0 == self.word()) else {
            return Err(self.wrong(
                "give cpu_percent, memory_percent, error_rate_percent, heartbeat_age_s, host_up or (",
            ));
        };
        self.next();
        let Some((_, op)) = Op::NAMES.into_iter().find(|o| o.0 == self.word()) else {
            return Err(self.wrong("compare with >, >=, <, <=, == or !="));
        };
        self.next();
        Ok(Node::Compare(value, op, self.number()?))
    }
}
