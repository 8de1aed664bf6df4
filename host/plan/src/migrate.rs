//! What a live migration will take, before it is chosen: rounds, time, standstill, and whether it ends at all.
//!
//! Pre-copy (Clark et al., "Live Migration of Virtual Machines", NSDI 2005): all memory `M` is sent at `B` while the VM
//! runs; what it dirtied meanwhile, at rate `D`, is sent in the next round, so that round `i` sends `M (D/B)^i`. When what
//! is left can be sent within the allowed standstill, the VM stops and it is. Where that never comes to pass, the
//! rounds are ended by their number or by what they have sent: Xen's limits, by which no migration sends more than `5 M`
//! and stands still for longer than `M / B` (Akoush et al., "Predicting the Performance of Virtual Machine
//! Migration", MASCOTS 2010). Such a move does not converge and is not chosen.

use foreshade_types::{HoldReason, Worth};

use crate::relief::Move;
use crate::{HostView, PlanInput, Policy};

/// Rounds after which Xen gives up on convergence.
pub const ROUNDS_MAX: u32 = 29;

/// Memory sent, in multiples of the VM's, after which it does.
pub const SENT_MAX: u64 = 3;

/// What is moved and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precopy {
    /// Memory in use, MiB.
    pub memory_mib: u64,
    /// Memory written anew, MiB/s.
    pub dirty_mib_s: u64,
    /// Bandwidth, MiB/s.
    pub bandwidth_mib_s: u64,
    /// How long the VM may stand still, ms.
    pub standstill_ms: u64,
}

/// What it will take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Rounds while the VM runs, the first with all its memory.
    pub rounds: u32,
    /// From the first byte to the VM running at its target, ms.
    pub duration_ms: u64,
    /// Of that, how long it stands still, ms.
    pub standstill_ms: u64,
    /// Memory sent, KiB.
    pub sent_kib: u64,
    /// What is left came to fit the allowed standstill.
    pub converges: bool,
}

impl Precopy {
    /// Goes through the rounds.
    pub fn estimate(&self) -> Estimate {
        let bandwidth = self.bandwidth_mib_s.max(1);
        let whole_kib = self.memory_mib * 1024;
        // 1 MiB/s = 1024 KiB in 1000 ms.
        let ms = |kib: u64| (kib * 1000).div_ceil(bandwidth * 1024);
        let (mut left_kib, mut sent_kib, mut rounds) = (whole_kib, 0, 0);
        loop {
            sent_kib += left_kib;
            rounds += 1;
            left_kib = (left_kib * self.dirty_mib_s / bandwidth).min(whole_kib);
            let converges = ms(left_kib) <= self.standstill_ms;
            if converges || rounds >= ROUNDS_MAX || sent_kib > SENT_MAX * whole_kib {
                let standstill_ms = ms(left_kib);
                let duration_ms = ms(sent_kib) + standstill_ms;
                return Estimate {
                    rounds,
                    duration_ms,
                    standstill_ms,
                    sent_kib: sent_kib + left_kib,
                    converges,
                };
            }
        }
    }
}

/// The bandwidth that finished migrations had: the mean of the last few. One that is far off what the policy says
/// (an eighth, eight times) counts as that far: a clock that jumped must not stop all moves or allow any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bandwidth {
    mib_s: [u64; Bandwidth::KEPT],
    learnt: usize,
}

impl Bandwidth {
    /// Migrations that are remembered.
    pub const KEPT: usize = 8;

    /// Takes a finished migration of `memory_mib`, dirtied at `dirty_mib_s`, that took `duration_ms` without its standstill:
    /// `M / (B - D)` is the sum of its rounds.
    pub fn learn(&mut self, memory_mib: u64, dirty_mib_s: u64, duration_ms: u64, policy: &Policy) {
        if memory_mib == 0 || duration_ms == 0 {
            return;
        }
        let told = policy.migration_mib_s;
        let mib_s = memory_mib * 1000 / duration_ms + dirty_mib_s;
        self.mib_s[self.learnt % Self::KEPT] = mib_s.clamp((told / 8).max(1), told * 8);
        self.learnt += 1;
    }

    /// The mean; the policy's where nothing was learnt.
    pub fn mib_s(&self, policy: &Policy) -> u64 {
        let n = self.learnt.min(Self::KEPT);
        if n == 0 { policy.migration_mib_s } else { self.mib_s[..n].iter().sum::<u64>() / n as u64 }
    }
}

/// A move with what it takes and what it is worth.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weighed<'a> {
    pub(crate) m: Move<'a>,
    pub(crate) worth: Worth,
}

/// Keeps the moves of a host's VMs that end, in time, and for more than they cost.
///
/// In time: before the predicted peak has passed, or, where the host is over its limit already, before the hour in which
/// it is forecast to stay so. The cost is the CPU that both hosts spend on it and what the VM lacks while it stands still, as
/// millicores held over the 30-min peak; the benefit is [`Policy::shadow_worth`]'s.
///
/// # Errors
/// Why the first that was turned down was.
pub(crate) fn weigh<'a>(
    input: &PlanInput<'_>,
    h: &HostView,
    moves: Vec<Move<'a>>,
    policy: &Policy,
) -> Result<Vec<Weighed<'a>>, HoldReason> {
    let mut why = HoldReason::NoBeneficialMove;
    let mut kept = Vec::new();
    for m in moves {
        match one(input, h, m, policy) {
            Ok(w) => kept.push(w),
            Err(e) if why == HoldReason::NoBeneficialMove => why = e,
            Err(_) => {}
        }
    }
    if kept.is_empty() { Err(why) } else { Ok(kept) }
}

fn one<'a>(
    input: &PlanInput<'_>,
    h: &HostView,
    m: Move<'a>,
    policy: &Policy,
) -> Result<Weighed<'a>, HoldReason> {
    let estimate = input.precopy(m.vm, policy).estimate();
    if !estimate.converges {
        return Err(HoldReason::WouldNotConverge);
    }
    let over = h.load.0 > policy.host_limit(h);
    let deadline_s = u64::from(if over { input.hour_s } else { input.peak_s });
    if estimate.duration_ms > deadline_s * 1000 {
        return Err(HoldReason::TooLate);
    }
    let spent = 2 * policy.migration_cpu_millicores * estimate.duration_ms
        + m.vm.cpu_demand.0 * estimate.standstill_ms;
    let costs = spent / (u64::from(input.peak_s).max(1) * 1000);
    let worth = policy.shadow_worth(input, h, &m.source, costs).moving(&estimate);
    if worth.pays() { Ok(Weighed { m, worth }) } else { Err(HoldReason::MoveNotWorth) }
}

/// A [`Worth`] with what the move takes.
trait Moving {
    fn moving(self, e: &Estimate) -> Self;
}

impl Moving for Worth {
    fn moving(self, e: &Estimate) -> Self {
        let told = |x: u64| u16::try_from(x).unwrap_or(u16::MAX);
        Self { move_s: told(e.duration_ms.div_ceil(1000)), standstill_ms: told(e.standstill_ms), ..self }
    }
}

impl PlanInput<'_> {
    /// What a migration of this VM would copy.
    pub fn precopy(&self, v: &crate::VmView, policy: &Policy) -> Precopy {
        Precopy {
            memory_mib: v.memory_demand.0,
            dirty_mib_s: v.dirty_mib_s,
            bandwidth_mib_s: self.bandwidth_mib_s,
            standstill_ms: policy.migration_standstill_ms,
        }
    }
}
