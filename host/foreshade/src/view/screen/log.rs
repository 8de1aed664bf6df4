//! The decision feed: the newest lines, which of them is chosen, and whether it runs on.

use std::collections::VecDeque;

use foreshade_types::{DecisionId, OutcomeKind};

/// Lines kept; older ones are in the journal.
const KEPT: usize = 5_000;

/// What a line of the feed tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A tick: how much was done and left alone.
    Tick,
    /// A decision.
    Decision,
    /// A VM, or a host, that was left alone.
    Hold,
    /// A VM that behaves as it never did, or a shadow that cannot be relied on.
    Alert,
    /// Samples or a peer that were refused; also a decision that a controller refused.
    Refused,
}

/// One line, and what stands behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// What it tells.
    pub(crate) kind: Kind,
    /// The line.
    pub(crate) text: String,
    /// The whole of it: label and text.
    pub(crate) detail: Vec<(&'static str, String)>,
    /// The decision that it is about.
    pub(crate) id: Option<DecisionId>,
}

impl Item {
    /// A line with nothing behind it.
    pub(crate) fn plain(kind: Kind, text: String) -> Self {
        Self { kind, detail: vec![("", text.clone())], text, id: None }
    }
}

/// The feed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    items: VecDeque<Item>,
    /// Lines that were dropped before the first that is kept.
    dropped: u64,
    /// Number of the chosen line, over all there ever were; `None` = the newest, and the feed runs on.
    chosen: Option<u64>,
    /// Lines there were when the feed was paused.
    seen: u64,
}

impl Log {
    /// Adds a line.
    pub(crate) fn push(&mut self, item: Item) {
        self.items.push_back(item);
        if self.items.len() > KEPT {
            self.items.pop_front();
            self.dropped += 1;
        }
        // What is chosen and no longer kept gives way to the oldest that is.
        self.chosen = self.chosen.map(|c| c.max(self.dropped));
    }

    fn end(&self) -> u64 {
        self.dropped + self.items.len() as u64
    }

    /// Stands it still?
    pub(super) fn paused(&self) -> bool {
        self.chosen.is_some()
    }

    /// Lines that came since it was paused.
    pub(super) fn unseen(&self) -> u64 {
        if self.paused() { self.end() - self.seen.min(self.end()) } else { 0 }
    }

    /// Pauses at the newest line, or runs on.
    pub(super) fn toggle(&mut self) {
        match self.chosen {
            Some(_) => self.chosen = None,
            None => self.go(0),
        }
    }

    /// Chooses the line that many further; this pauses.
    pub(super) fn go(&mut self, by: i64) {
        let Some(last) = self.end().checked_sub(1) else { return };
        if self.chosen.is_none() {
            self.seen = self.end();
        }
        let from = self.chosen.unwrap_or(last);
        self.chosen = Some(from.saturating_add_signed(by).clamp(self.dropped, last));
    }

    /// Runs on.
    pub(super) fn run_on(&mut self) {
        self.chosen = None;
    }

    /// The chosen line.
    pub(super) fn at(&self) -> Option<&Item> {
        let n = self.chosen.or(self.end().checked_sub(1))?;
        self.items.get(n.checked_sub(self.dropped)? as usize)
    }

    /// Notes beside a decision what became of it.
    pub(crate) fn answered(&mut self, id: DecisionId, kind: OutcomeKind) {
        if let Some(item) = self.items.iter_mut().rev().find(|i| i.id == Some(id)) {
            item.detail.push(("answer", kind.text().to_owned()));
            if kind != OutcomeKind::Applied {
                item.kind = Kind::Refused;
                // In front, where a line that is cut still tells it.
                item.text = format!("  {}; {}", kind.text(), item.text.trim_start());
            }
        }
    }

    /// Number of the newest decision.
    pub(crate) fn newest(&self) -> Option<DecisionId> {
        self.items.iter().rev().find_map(|i| i.id)
    }

    /// The newest lines, oldest first.
    pub(crate) fn last(&self, lines: usize) -> impl Iterator<Item = &Item> {
        self.items.iter().skip(self.items.len().saturating_sub(lines))
    }

    /// Takes another feed's lines and keeps what is chosen.
    pub(crate) fn take(&mut self, other: &Self) {
        self.items.clone_from(&other.items);
        self.dropped = other.dropped;
        self.chosen = self.chosen.map(|c| c.max(self.dropped));
    }

    /// The lines that fit, oldest first, and which of them is chosen. The chosen one stands last until the newest lines fit
    /// below it, so that a paused feed does not move.
    pub(super) fn window(&self, rows: usize) -> (impl Iterator<Item = &Item>, Option<usize>) {
        let len = self.items.len();
        let chosen = self.chosen.map(|c| (c - self.dropped) as usize);
        let end = chosen.map_or(len, |c| (c + 1 + rows / 3).max(rows)).min(len);
        let start = end.saturating_sub(rows);
        (self.items.range(start..end), chosen.and_then(|c| c.checked_sub(start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(n: usize) -> Log {
        let mut log = Log::default();
        (0..n).for_each(|i| log.push(Item::plain(Kind::Tick, i.to_string())));
        log
    }

    fn shown(log: &Log, rows: usize) -> Vec<&str> {
        log.window(rows).0.map(|i| i.text.as_str()).collect()
    }

    #[test]
    fn a_paused_feed_stands_still_while_lines_come() {
        let mut log = log(20);
        assert_eq!(shown(&log, 3), ["17", "18", "19"]);
        log.go(-5);
        let before = shown(&log, 3).join(" ");
        assert_eq!(log.at().unwrap().text, "14");
        (0..7).for_each(|_| log.push(Item::plain(Kind::Tick, "new".into())));
        assert_eq!((shown(&log, 3).join(" "), log.unseen()), (before, 7));
        log.run_on();
        assert_eq!(shown(&log, 3), ["new"; 3]);
    }

    #[test]
    fn the_oldest_lines_make_room_and_the_choice_moves_on() {
        let mut log = log(KEPT);
        log.go(i64::MIN);
        assert_eq!(log.at().unwrap().text, "0");
        log.push(Item::plain(Kind::Tick, "new".into()));
        assert_eq!(log.at().unwrap().text, "1");
        log.go(i64::MAX);
        assert_eq!(log.at().unwrap().text, "new");
    }

    #[test]
    fn an_empty_feed_has_nothing_to_choose() {
        let mut log = Log::default();
        log.go(-1);
        log.toggle();
        assert_eq!((log.at(), log.paused()), (None, false));
        assert_eq!(shown(&log, 0).len(), 0);
    }
}
