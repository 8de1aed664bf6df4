//! What an operator says about fail-over.

use foreshade_types::Rule;
use serde::{Deserialize, Serialize};

use super::when::{Clocks, Health, When};

/// Hooks that a policy may name: a decision carries them as bits.
pub const HOOKS_MAX: usize = 8;

/// `[failover]` of the policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Failover {
    /// The VMs of a host that is lost are brought back: on their shadows, else by a cold start.
    pub on_host_loss: bool,
    /// A VM rests this many ticks after a fail-over; twice as many after each further one.
    pub cool_down_ticks: u64,
    /// Between two attempts to bring a copy up to date for a fail-over, ticks.
    pub recovery_ticks: u64,
    /// When a VM counts as failed; the first that holds is the reason.
    pub when: Vec<Criterion>,
    /// What the controller runs at a fail-over, in this order.
    pub hook: Vec<Hook>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Criterion {
    /// `cpu`, `errors` and `heartbeat` name themselves in reasons; any other name is an operator's own rule.
    pub name: String,
    /// In the language of [`When`].
    #[serde(rename = "if")]
    pub when: When,
}

impl Criterion {
    /// The rule that a reason names.
    pub fn rule(&self) -> Rule {
        match self.name.as_str() {
            "cpu" => Rule::CpuSaturated,
            "errors" => Rule::ErrorRate,
            "heartbeat" => Rule::HeartbeatLost,
            _ => Rule::OperatorsRule,
        }
    }
}

/// A program of the operator's, run by the rack controller; a fail-over never waits for it longer than its limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// Its name at the controller.
    pub name: String,
    /// After this it is ended, seconds.
    pub limit_s: u64,
}

/// Rules to copy into a policy. Heartbeat loss alone is on by default: a VM that is busy is not a VM that has failed.
pub const PRESETS: [(&str, &str); 3] = [
    ("cpu", "cpu_percent > 90 for 300 s"),
    ("errors", "error_rate_percent > 5"),
    ("heartbeat", "heartbeat_age_s > 60"),
];

/// The preset of this name.
pub fn preset(name: &str) -> Option<Criterion> {
    let (name, text) = PRESETS.into_iter().find(|p| p.0 == name)?;
    Some(Criterion { name: name.into(), when: text.parse().ok()? })
}

impl Default for Failover {
    fn default() -> Self {
        Self {
            on_host_loss: true,
            cool_down_ticks: 12,
            recovery_ticks: 3,
            when: preset("heartbeat").into_iter().collect(),
            hook: vec![],
        }
    }
}

impl Failover {
    /// Checks ranges.
    ///
    /// # Errors
    /// The first setting that is outside: its name, its value, what it may be.
    pub fn check(&self) -> Result<(), (&'static str, String, &'static str)> {
        let is =
            |ok: bool, key, value: u64, range| if ok { Ok(()) } else { Err((key, value.to_string(), range)) };
        let ticks = "0 to 1000000";
        is(self.cool_down_ticks <= 1_000_000, "failover.cool_down_ticks", self.cool_down_ticks, ticks)?;
        is(self.recovery_ticks <= 1_000_000, "failover.recovery_ticks", self.recovery_ticks, ticks)?;
        let hooks = self.hook.len();
        is(hooks <= HOOKS_MAX, "failover.hook entries", hooks as u64, "at most 8")?;
        let limit =
            |h: &Hook| is((1..=600).contains(&h.limit_s), "failover.hook.limit_s", h.limit_s, "1 to 600");
        self.hook.iter().try_for_each(limit)
    }

    /// The hooks of a decision as bits: all that are named.
    pub fn hooks(&self) -> u8 {
        self.hook.iter().take(HOOKS_MAX).enumerate().fold(0, |bits, (i, _)| bits | 1 << i)
    }

    /// The hooks that a decision's bits name.
    pub fn hooks_of(&self, bits: u8) -> impl Iterator<Item = &Hook> {
        self.hook.iter().take(HOOKS_MAX).enumerate().filter(move |(i, _)| bits >> i & 1 == 1).map(|h| h.1)
    }
}

/// The clocks of one VM's rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Watch(Vec<Clocks>);

impl Watch {
    /// Takes a sample; the rule that holds, if any. All clocks run on.
    pub fn see(&mut self, health: &Health, now_ms: u64, policy: &Failover) -> Option<Rule> {
        self.0.resize(policy.when.len(), Clocks::default());
        let mut first = None;
        for (c, clocks) in policy.when.iter().zip(&mut self.0) {
            if c.when.holds(health, now_ms, clocks) {
                first = first.or(Some(c.rule()));
            }
        }
        first
    }
}
