//! Fixed little-endian frames of decisions and outcomes.
//!
//! Every byte has one meaning: fields an action does not use are zero and checked to be, so that a value has exactly one
//! encoding.

use foreshade_types::{
    Action, Allocation, Alternative, ControllerId, Decision, HoldReason, HostId, Mebibytes, Millicores,
    Outcome, OutcomeKind, RESOURCES, RackId, Reason, Rejected, Resource, Rule, Tick, VmId, Worth,
};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::WireError;

/// Layout version of both frames.
pub const FRAME_VERSION: u8 = 1;

/// Most decisions, or outcomes, of one rack in one tick. 32,768 decision frames fit one message frame.
pub const MAX_PER_TICK: usize = 32_768;

/// Most rejected alternatives of one reason.
pub const MAX_REJECTED: usize = 3;

/// Bytes of an encoded decision.
pub const DECISION_BYTES: usize = size_of::<DecisionFrame>();

/// Bytes of an encoded outcome.
pub const OUTCOME_BYTES: usize = size_of::<OutcomeFrame>();

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Default)]
#[repr(C)]
struct DecisionFrame {
    version: u8,
    action: u8,
    rule: u8,
    resource: u8,
    /// Share of traffic, or the bits of a fail-over's hooks.
    share_percent: u8,
    rejected_len: u8,
    quantile_permille: U16,
    /// Alternative and reason of each.
    rejected: [[u8; 2]; MAX_REJECTED],
    reserved: [u8; 2],
    rack: U32,
    vm: U32,
    observed_host: U32,
    target_host: U32,
    horizon_s: U32,
    /// What a shadow or a move saves and costs, hundredths of a core; 0 = not weighed.
    saves_centicores: U16,
    costs_centicores: U16,
    /// What a move takes; 0 = nothing is moved.
    move_s: U16,
    standstill_ms: U16,
    /// Of the write token that a new primary gets; 0 = nobody gets one.
    generation: U32,
    epoch: U64,
    seq: U64,
    caused_by: U64,
    expires_at_ms: U64,
    size_cpu_mc: U64,
    size_memory_mib: U64,
    predicted: U64,
    threshold: U64,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Default)]
#[repr(C)]
struct OutcomeFrame {
    version: u8,
    kind: u8,
    reserved: U16,
    controller: U32,
    seq: U64,
    effective_at_ms: U64,
}

// The layout is the protocol: a field added by accident must not compile.
const _: () = assert!(DECISION_BYTES == 112 && OUTCOME_BYTES == 24);

/// One decision as [`DECISION_BYTES`] bytes.
///
/// # Errors
/// More than [`MAX_REJECTED`] rejected alternatives.
pub fn encode_decision(d: &Decision) -> Result<[u8; DECISION_BYTES], WireError> {
    let count = d.reason.rejected.len();
    if count > MAX_REJECTED {
        return Err(WireError::TooMany {
            what: "rejected alternatives",
            count: count as u64,
            max: MAX_REJECTED,
        });
    }
    let mut f = DecisionFrame {
        version: FRAME_VERSION,
        rule: d.reason.rule as u8,
        resource: resource_code(d.reason.resource),
        rejected_len: count as u8,
        quantile_permille: d.reason.quantile_permille.into(),
        rack: d.rack.0.into(),
        vm: d.vm.0.into(),
        observed_host: d.observed_host.0.into(),
        horizon_s: d.reason.horizon_s.into(),
        epoch: d.epoch.into(),
        seq: d.seq.into(),
        caused_by: d.caused_by.0.into(),
        expires_at_ms: d.expires_at_ms.into(),
        saves_centicores: d.reason.worth.saves_centicores.into(),
        costs_centicores: d.reason.worth.costs_centicores.into(),
        move_s: d.reason.worth.move_s.into(),
        standstill_ms: d.reason.worth.standstill_ms.into(),
        predicted: d.reason.predicted.into(),
        threshold: d.reason.threshold.into(),
        ..Default::default()
    };
    for (slot, r) in f.rejected.iter_mut().zip(&d.reason.rejected) {
        *slot = [r.alternative as u8, r.why as u8];
    }
    put_action(&mut f, &d.action);
    Ok(zerocopy::transmute!(f))
}

/// What of the frame an action uses.
#[derive(Default)]
struct Used {
    size: Option<Allocation>,
    host: Option<HostId>,
    share: u8,
    generation: u32,
}

fn put_action(f: &mut DecisionFrame, action: &Action) {
    let sized = |to| Used { size: Some(to), ..Used::default() };
    let (code, used) = match *action {
        Action::PreAllocate { to } => (1, sized(to)),
        Action::GiveBack { to } => (2, sized(to)),
        Action::CreateShadow { host, size } => (3, Used { host: Some(host), ..sized(size) }),
        Action::ReleaseShadow => (4, Used::default()),
        Action::ShiftTraffic { share_percent, size } => (5, Used { share: share_percent, ..sized(size) }),
        Action::ShiftBack { size } => (6, sized(size)),
        Action::Migrate { to } => (7, Used { host: Some(to), ..Used::default() }),
        Action::SuspendShadow => (8, Used::default()),
        Action::ResumeShadow => (9, Used::default()),
        Action::FailOver { host, size, generation, hooks } => {
            (10, Used { host: Some(host), share: hooks, generation, ..sized(size) })
        }
        Action::RecoverSync => (11, Used::default()),
        Action::Restart { host, size, generation } => {
            (12, Used { host: Some(host), generation, ..sized(size) })
        }
    };
    let size = used.size.unwrap_or_default();
    f.action = code;
    f.size_cpu_mc = size.cpu.0.into();
    f.size_memory_mib = size.memory.0.into();
    f.target_host = used.host.unwrap_or_default().0.into();
    f.share_percent = used.share;
    f.generation = used.generation.into();
}

/// The decision in exactly [`DECISION_BYTES`] bytes.
///
/// # Errors
/// Another length or version, an enum value without meaning, or an unused field that is not zero.
pub fn decode_decision(bytes: &[u8]) -> Result<Decision, WireError> {
    let f = DecisionFrame::ref_from_bytes(bytes)
        .map_err(|_| wrong_length("decision frame", DECISION_BYTES, bytes.len()))?;
    if f.version != FRAME_VERSION {
        return Err(WireError::Version { what: "decision", got: f.version, want: FRAME_VERSION });
    }
    let reason = Reason {
        rule: known("rule", f.rule, &Rule::ALL, |r| r as u8)?,
        resource: known("resource", f.resource, &RESOURCES, resource_code)?,
        quantile_permille: permille(f.quantile_permille.get())?,
        horizon_s: f.horizon_s.get(),
        predicted: f.predicted.get(),
        threshold: f.threshold.get(),
        worth: Worth {
            saves_centicores: f.saves_centicores.get(),
            costs_centicores: f.costs_centicores.get(),
            move_s: f.move_s.get(),
            standstill_ms: f.standstill_ms.get(),
        },
        rejected: take_rejected(f)?,
    };
    zero("decision reserved bytes", u64::from(u16::from_le_bytes(f.reserved)))?;
    Ok(Decision {
        epoch: f.epoch.get(),
        seq: f.seq.get(),
        rack: RackId(f.rack.get()),
        caused_by: Tick(f.caused_by.get()),
        vm: VmId(f.vm.get()),
        observed_host: HostId(f.observed_host.get()),
        expires_at_ms: f.expires_at_ms.get(),
        action: take_action(f)?,
        reason,
    })
}

fn take_action(f: &DecisionFrame) -> Result<Action, WireError> {
    let size =
        Allocation { cpu: Millicores(f.size_cpu_mc.get()), memory: Mebibytes(f.size_memory_mib.get()) };
    let host = HostId(f.target_host.get());
    let (action, sized, hosted, shared) = match f.action {
        1 => (Action::PreAllocate { to: size }, true, false, false),
        2 => (Action::GiveBack { to: size }, true, false, false),
        3 => (Action::CreateShadow { host, size }, true, true, false),
        4 => (Action::ReleaseShadow, false, false, false),
        5 => (Action::ShiftTraffic { share_percent: f.share_percent, size }, true, false, true),
        6 => (Action::ShiftBack { size }, true, false, false),
        7 => (Action::Migrate { to: host }, false, true, false),
        8 => (Action::SuspendShadow, false, false, false),
        9 => (Action::ResumeShadow, false, false, false),
        10 => {
            let hooks = f.share_percent;
            (Action::FailOver { host, size, generation: f.generation.get(), hooks }, true, true, true)
        }
        11 => (Action::RecoverSync, false, false, false),
        12 => (Action::Restart { host, size, generation: f.generation.get() }, true, true, false),
        value => return Err(WireError::BadValue { what: "action", value: u64::from(value) }),
    };
    if !sized {
        zero("unused size", f.size_cpu_mc.get() | f.size_memory_mib.get())?;
    }
    if !hosted {
        zero("unused target host", u64::from(f.target_host.get()))?;
    }
    if !matches!(f.action, 10 | 12) {
        zero("unused generation", u64::from(f.generation.get()))?;
    }
    // The bits of hooks take its place in a fail-over.
    let share_max = match f.action {
        10 => u8::MAX,
        _ if shared => 100,
        _ => 0,
    };
    if f.share_percent > share_max {
        return Err(WireError::BadValue { what: "share_percent", value: u64::from(f.share_percent) });
    }
    Ok(action)
}

fn take_rejected(f: &DecisionFrame) -> Result<Vec<Rejected>, WireError> {
    let count = usize::from(f.rejected_len);
    if count > MAX_REJECTED {
        return Err(WireError::TooMany {
            what: "rejected alternatives",
            count: count as u64,
            max: MAX_REJECTED,
        });
    }
    let (used, unused) = f.rejected.split_at(count);
    for [a, b] in unused {
        zero("unused rejected alternative", u64::from(*a) | u64::from(*b))?;
    }
    used.iter()
        .map(|&[alternative, why]| {
            Ok(Rejected {
                alternative: known("alternative", alternative, &Alternative::ALL, |a| a as u8)?,
                why: known("hold reason", why, &HoldReason::ALL, |r| r as u8)?,
            })
        })
        .collect()
}

/// One outcome as [`OUTCOME_BYTES`] bytes.
pub fn encode_outcome(o: &Outcome) -> [u8; OUTCOME_BYTES] {
    let f = OutcomeFrame {
        version: FRAME_VERSION,
        kind: o.kind as u8,
        reserved: U16::ZERO,
        controller: o.controller.0.into(),
        seq: o.seq.into(),
        effective_at_ms: o.effective_at_ms.into(),
    };
    zerocopy::transmute!(f)
}

/// The outcome in exactly [`OUTCOME_BYTES`] bytes.
///
/// # Errors
/// Another length or version, or a kind without meaning.
pub fn decode_outcome(bytes: &[u8]) -> Result<Outcome, WireError> {
    let f = OutcomeFrame::ref_from_bytes(bytes)
        .map_err(|_| wrong_length("outcome frame", OUTCOME_BYTES, bytes.len()))?;
    if f.version != FRAME_VERSION {
        return Err(WireError::Version { what: "outcome", got: f.version, want: FRAME_VERSION });
    }
    zero("outcome reserved bytes", u64::from(f.reserved.get()))?;
    Ok(Outcome {
        controller: ControllerId(f.controller.get()),
        seq: f.seq.get(),
        kind: known("outcome kind", f.kind, &OutcomeKind::ALL, |k| k as u8)?,
        effective_at_ms: f.effective_at_ms.get(),
    })
}

fn resource_code(r: Resource) -> u8 {
    match r {
        Resource::Cpu => 1,
        Resource::Memory => 2,
        Resource::DiskRead => 3,
        Resource::DiskWrite => 4,
        Resource::NetRx => 5,
        Resource::NetTx => 6,
    }
}

fn known<T: Copy>(what: &'static str, code: u8, all: &[T], of: fn(T) -> u8) -> Result<T, WireError> {
    let found = all.iter().copied().find(|v| of(*v) == code);
    found.ok_or(WireError::BadValue { what, value: u64::from(code) })
}

fn permille(q: u16) -> Result<u16, WireError> {
    if q > 1000 { Err(WireError::BadValue { what: "quantile_permille", value: u64::from(q) }) } else { Ok(q) }
}

fn zero(what: &'static str, value: u64) -> Result<(), WireError> {
    if value == 0 { Ok(()) } else { Err(WireError::BadValue { what, value }) }
}

fn wrong_length(what: &'static str, need: usize, have: usize) -> WireError {
    if have < need {
        WireError::Truncated { what, need, have }
    } else {
        WireError::Trailing { what, extra: have - need }
    }
}
