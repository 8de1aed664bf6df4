//! A made-up VM whose costs are known: what a replay is to find.

use foreshade_types::{EventKind, Resource, TraceData, Usage};

/// How the VM behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Truth {
    /// Ticks from a request to its work.
    pub lag: usize,
    /// Relative swing of the CPU cost of a request, 0 = none.
    pub drift: f64,
    /// Ticks of one swing.
    pub drift_ticks: f64,
    /// Deviation of the CPU that no event explains, millicores.
    pub noise: f64,
    /// The CPU costs are multiplied by this.
    pub weight: f64,
    /// False: the traces are those of another VM and say nothing of this one.
    pub informative: bool,
}

impl Default for Truth {
    fn default() -> Self {
        Self { lag: 2, drift: 0.0, drift_ticks: 4000.0, noise: 60.0, weight: 1.0, informative: true }
    }
}

/// CPU cost per event, millicore-seconds; the kinds that are not named cost nothing.
pub const CPU_COSTS: [(EventKind, f64); 5] = [
    (EventKind::Request, 6.0),
    (EventKind::Syscall, 0.02),
    (EventKind::PageFault, 0.15),
    (EventKind::DiskRead, 0.8),
    (EventKind::DiskWrite, 0.5),
];

/// CPU used without events, millicores.
pub const IDLE: f64 = 80.0;

/// MiB per page fault.
pub const FAULT_MIB: f64 = 4.0 / 1024.0;

/// KB per disk read and per disk write.
pub const READ_KB: f64 = 16.0;
/// See [`READ_KB`].
pub const WRITE_KB: f64 = 8.0;

/// Seconds of a tick.
pub const CADENCE_S: u32 = 5;

/// One tick: what was traced and what was used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tick {
    /// Counts.
    pub trace: TraceData,
    /// Use.
    pub usage: Usage,
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Nearly normal, variance 1.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// A positive rate: a slow log-scale wander, bursts, and the noise of counting.
#[derive(Debug, Clone)]
struct Rate {
    level: f64,
    wander: f64,
    burst: u32,
    burst_chance: f64,
}

impl Rate {
    fn new(level: f64, burst_chance: f64) -> Self {
        Self { level, wander: 0.0, burst: 0, burst_chance }
    }

    fn next(&mut self, dice: &mut Dice) -> f64 {
        self.wander = 0.97 * self.wander + 0.08 * dice.normal();
        if self.burst == 0 && dice.unit() < self.burst_chance {
            self.burst = 3 + (dice.unit() * 12.0) as u32;
        }
        let high = if self.burst > 0 { 3.0 } else { 1.0 };
        self.burst = self.burst.saturating_sub(1);
        let mean = self.level * high * self.wander.exp();
        (mean + (mean / f64::from(CADENCE_S)).sqrt() * dice.normal()).max(0.0)
    }
}

/// Events per second of one tick, by kind as in [`EventKind`]; instructions and dirty pages are not captured.
fn events(rates: &mut [Rate; 5], served: &mut Vec<f64>, lag: usize, dice: &mut Dice) -> [f64; 9] {
    let own: Vec<f64> = rates.iter_mut().map(|r| r.next(dice)).collect();
    let request = own[0];
    served.push(request);
    let work = served[served.len().saturating_sub(1 + lag)];
    let size = (0.3 * dice.normal()).exp();
    let mut e = [f64::NAN; 9];
    e[EventKind::Request as usize] = request;
    e[EventKind::NetIn as usize] = 2.0 * request * size;
    e[EventKind::NetOut as usize] = 12.0 * work * (0.3 * dice.normal()).exp();
    // A request that is served makes system calls, faults and writes; the rest is the VM's own.
    e[EventKind::Syscall as usize] = own[1] + 40.0 * work;
    e[EventKind::PageFault as usize] = own[2] + 2.0 * work;
    e[EventKind::DiskRead as usize] = own[3];
    e[EventKind::DiskWrite as usize] = own[4] + 0.3 * work;
    e
}

fn sources() -> [Rate; 5] {
    [
        Rate::new(100.0, 0.01),
        Rate::new(5000.0, 0.004),
        Rate::new(600.0, 0.004),
        Rate::new(150.0, 0.008),
        Rate::new(120.0, 0.004),
    ]
}

/// `n` ticks of a VM. The same seed gives the same ticks on every machine of one floating-point behaviour.
pub fn generate(truth: &Truth, seed: u64, n: usize) -> Vec<Tick> {
    let (mut dice, mut other) = (Dice(seed), Dice(seed ^ 0x5555_5555));
    let (mut rates, mut decoys) = (sources(), sources());
    let (mut served, mut decoy_served) = (Vec::new(), Vec::new());
    let (mut hidden, mut memory) = (0.0, 2048.0);
    (0..n)
        .map(|t| {
            let e = events(&mut rates, &mut served, truth.lag, &mut dice);
            let decoy = events(&mut decoys, &mut decoy_served, truth.lag, &mut other);
            hidden = 0.8 * hidden + 0.6 * truth.noise * dice.normal();
            let usage = used(truth, t, &e, &served, hidden, &mut memory, &mut dice);
            let span_ms = CADENCE_S * 1000;
            let seen = if truth.informative { e } else { decoy };
            let counts = seen.map(|r| r * f64::from(CADENCE_S));
            Tick { trace: TraceData { end_ms: (t as i64 + 1) * i64::from(span_ms), span_ms, counts }, usage }
        })
        .collect()
}

fn used(
    truth: &Truth,
    t: usize,
    e: &[f64; 9],
    served: &[f64],
    hidden: f64,
    memory: &mut f64,
    dice: &mut Dice,
) -> Usage {
    let swing = 1.0 + truth.drift * (std::f64::consts::TAU * t as f64 / truth.drift_ticks).sin();
    let work = served[served.len().saturating_sub(1 + truth.lag)];
    let cpu: f64 = CPU_COSTS
        .iter()
        .map(|&(kind, cost)| match kind {
            EventKind::Request => cost * swing * work,
            _ => cost * e[kind as usize],
        })
        .sum();
    let faults = FAULT_MIB * e[EventKind::PageFault as usize];
    let given_back = 3.0 + 0.002 * (*memory - 2048.0);
    *memory = (*memory + f64::from(CADENCE_S) * (faults - given_back + 0.1 * dice.normal())).max(64.0);
    let mut rate = |kind: EventKind, kb: f64| e[kind as usize] * kb * (1.0 + 0.05 * dice.normal()).max(0.0);
    Usage::UNKNOWN
        .with(Resource::Cpu, (IDLE + truth.weight * cpu + hidden).max(0.0))
        .with(Resource::DiskRead, rate(EventKind::DiskRead, READ_KB))
        .with(Resource::DiskWrite, rate(EventKind::DiskWrite, WRITE_KB))
        .with(Resource::NetRx, rate(EventKind::NetIn, 1.0))
        .with(Resource::NetTx, rate(EventKind::NetOut, 1.0))
        .with(Resource::Memory, *memory)
}
