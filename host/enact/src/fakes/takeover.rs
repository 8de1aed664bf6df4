//! A simulated fail-over or cold start: the old primary ends, its token goes over, the new one begins.
//!
//! ```text
//! host up, guest shuts down: --shutdown--+
//! host up, guest hangs: --limit, fence---+--> hooks --> token --> serves (fail-over) | boots (restart)
//! host lost: --power fence---------------+
//! ```

use foreshade_types::{Allocation, HostId};

use super::rack::RackConfig;
use crate::fence::{Arbiter, FenceError, Guard, Message};

/// A VM's tokens: the controller's side, and each host's that has or had a copy of it.
#[derive(Debug, Clone)]
pub(super) struct Tokens {
    arbiter: Arbiter,
    guards: Vec<(HostId, Guard)>,
}

impl Tokens {
    pub(super) fn new(host: HostId) -> Self {
        Self { arbiter: Arbiter::new(host), guards: vec![(host, Guard::holding())] }
    }

    fn guard(&mut self, host: HostId) -> &mut Guard {
        let i = self.guards.iter().position(|g| g.0 == host).unwrap_or_else(|| {
            self.guards.push((host, Guard::default()));
            self.guards.len() - 1
        });
        &mut self.guards[i].1
    }

    /// The hosts on which a copy may write.
    pub(super) fn writers(&self) -> Vec<HostId> {
        self.guards.iter().filter(|g| g.1.writes()).map(|g| g.0).collect()
    }

    /// A live migration took the token along.
    pub(super) fn moved(&mut self, from: HostId, to: HostId) {
        let i = self.guards.iter().position(|g| g.0 == from);
        let there = i.map(|i| std::mem::take(&mut self.guards[i].1));
        *self.guard(to) = there.unwrap_or_default();
        self.arbiter.moved(to);
    }

    pub(super) fn begin(&mut self, to: HostId, generation: u32, now_ms: u64) -> Result<(), FenceError> {
        self.arbiter.fail_over(to, generation, now_ms)
    }

    /// The old primary's end has come, by itself or by force; `true` = the new one has its token.
    fn hand_over(&mut self, lost: &[HostId], now_ms: u64, hung: bool, config: &RackConfig) -> bool {
        for host in lost {
            self.guard(*host).power_off();
            self.arbiter.power_is_off(*host);
        }
        for _ in 0..3 {
            let Some((to, m)) = self.arbiter.tick(now_ms, config.shutdown_limit_ms) else { break };
            if !lost.contains(&to)
                && let Some(answer) = self.guard(to).hear(m, !hung)
            {
                self.arbiter.hear(to, answer);
                if let Message::Granted(_) = answer {
                    return true;
                }
            }
        }
        false
    }

    /// The host that was to take over is lost, too: the change is ended with nobody writing.
    pub(super) fn abandon(&mut self, to: HostId, lost: &[HostId]) {
        for _ in 0..3 {
            if let Some((host, Message::Stop(g) | Message::Fence(g))) = self.arbiter.tick(u64::MAX, 0) {
                let answer = self.guard(host).hear(Message::Fence(g), false);
                if let Some(a) = answer {
                    self.arbiter.hear(host, a);
                }
            }
            self.arbiter.power_is_off(to);
            lost.iter().for_each(|h| self.arbiter.power_is_off(*h));
        }
    }

    /// A host is lost: nothing writes there.
    pub(super) fn lose(&mut self, host: HostId) {
        self.guard(host).power_off();
    }
}

/// A VM on its way to another host after a failure.
#[derive(Debug, Clone)]
pub(super) struct Takeover {
    pub(super) to: HostId,
    pub(super) size: Allocation,
    /// When the old one has ended.
    ended_ms: u64,
    /// When the new one serves.
    pub(super) until_ms: u64,
    hung: bool,
    granted: bool,
}

/// What becomes of the old primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Old {
    ShutsDown,
    Hangs,
    Lost,
}

impl Takeover {
    /// Begins; `boots` = a cold start, else a shadow takes over.
    pub(super) fn new(
        (to, size): (HostId, Allocation),
        old: Old,
        hooks: u32,
        boots: bool,
        now_ms: u64,
        config: &RackConfig,
    ) -> Self {
        let ends_ms = match old {
            Old::ShutsDown => config.shutdown_ms,
            Old::Hangs => config.shutdown_limit_ms + config.fence_ms,
            Old::Lost => config.fence_ms,
        };
        let starts_ms = if boots { config.cold_start_ms } else { config.promote_ms };
        let ended_ms = now_ms + ends_ms;
        let until_ms = ended_ms + u64::from(hooks) * config.hook_ms + starts_ms;
        Self { to, size, ended_ms, until_ms, hung: old == Old::Hangs, granted: false }
    }

    /// Lets time pass; `true` = it serves.
    pub(super) fn settle(
        &mut self,
        tokens: &mut Tokens,
        lost: &[HostId],
        now_ms: u64,
        config: &RackConfig,
    ) -> bool {
        if !self.granted && now_ms >= self.ended_ms {
            self.granted = tokens.hand_over(lost, now_ms, self.hung, config);
        }
        self.granted && now_ms >= self.until_ms
    }
}
