//! What the appliance believes about each VM, from telemetry and from the outcomes of its decisions.

use foreshade_plan::{CoolDown, ShadowState, ShadowView};
use foreshade_types::{Action, Allocation, Decision, HostId, Mebibytes, Millicores, Tick, VmId, VmSize};
use foreshade_wire::{Column, Flags, Row};

/// One VM.
#[derive(Debug, Clone)]
pub(crate) struct VmState {
    pub(crate) size: VmSize,
    pub(crate) host: HostId,
    pub(crate) allocation: Allocation,
    pub(crate) cpu_demand: Millicores,
    pub(crate) memory_demand: Mebibytes,
    pub(crate) last_sample: Option<Tick>,
    pub(crate) flags: Flags,
    pub(crate) shadow: Option<ShadowView>,
    /// A migration was accepted: the VM may show up there.
    pub(crate) moving_to: Option<HostId>,
    pub(crate) rest: CoolDown,
}

impl VmState {
    pub(crate) fn new(size: VmSize, host: HostId) -> Self {
        Self {
            size,
            host,
            allocation: size.into(),
            cpu_demand: Millicores(0),
            memory_demand: Mebibytes(0),
            last_sample: None,
            flags: Flags::default(),
            shadow: None,
            moving_to: None,
            rest: CoolDown::default(),
        }
    }

    /// May an agent of `host` speak for this VM?
    pub(crate) fn may_be_on(&self, host: HostId) -> bool {
        self.host == host || self.moving_to == Some(host)
    }

    /// Share of the load that the shadow serves, percent.
    pub(crate) fn away_percent(&self) -> u64 {
        match self.shadow {
            Some(ShadowView { state: ShadowState::Active { share_percent }, .. }) => {
                u64::from(share_percent).min(100)
            }
            _ => 0,
        }
    }

    /// Takes a row that has passed every check.
    pub(crate) fn see(&mut self, tick: Tick, host: HostId, row: &Row) {
        let value = |c: Column| row.values[c as usize];
        self.host = host;
        self.flags = row.flags;
        if !row.flags.has(Flags::MIGRATING) {
            self.moving_to = None;
        }
        if !value(Column::AllocCpuMc).is_nan() && !value(Column::AllocMemMib).is_nan() {
            self.allocation = Allocation {
                cpu: Millicores(value(Column::AllocCpuMc) as u64),
                memory: Mebibytes(value(Column::AllocMemMib) as u64),
            };
        }
        let cpu = demand(value(Column::CpuUsedMc), value(Column::CpuThrottledMc));
        if !cpu.is_nan() {
            self.cpu_demand = Millicores(cpu as u64);
            self.last_sample = Some(tick);
        }
        let memory = demand(value(Column::MemUsedMib), value(Column::MemThrottledMib));
        if !memory.is_nan() {
            self.memory_demand = Mebibytes(memory as u64);
        }
        self.see_shadow();
    }

    /// The agent's word on the shadow's state outweighs what outcomes made us expect.
    fn see_shadow(&mut self) {
        let (flags, shadow) = (self.flags, &mut self.shadow);
        if let Some(s) = shadow {
            s.state = if flags.has(Flags::TRAFFIC_SHIFTED) {
                match s.state {
                    ShadowState::Active { .. } => s.state,
                    _ => ShadowState::Active { share_percent: 50 },
                }
            } else if flags.has(Flags::SHADOW_READY) {
                ShadowState::Ready
            } else if flags.has(Flags::SHADOW_PROVISIONING) {
                ShadowState::Provisioning
            } else {
                *shadow = None;
                return;
            };
        }
    }

    /// Takes note of a decision that a controller has carried out.
    pub(crate) fn applied(&mut self, d: &Decision, cool_down_ticks: u64) {
        match d.action {
            Action::PreAllocate { to } | Action::GiveBack { to } => self.allocation = to,
            Action::CreateShadow { host, size } => {
                let state = ShadowState::Provisioning;
                let (created, last_needed) = (d.caused_by, d.caused_by);
                self.shadow = Some(ShadowView { host, size, state, created, last_needed });
            }
            Action::ReleaseShadow => self.shadow = None,
            Action::ShiftTraffic { share_percent, size } => {
                if let Some(s) = &mut self.shadow {
                    (s.state, s.size) = (ShadowState::Active { share_percent }, size);
                }
            }
            Action::ShiftBack { size } => {
                if let Some(s) = &mut self.shadow {
                    (s.state, s.size) = (ShadowState::Ready, size);
                }
            }
            Action::Migrate { to } => {
                self.moving_to = Some(to);
                self.rest.moved(d.caused_by, cool_down_ticks);
            }
        }
    }
}

/// Used + throttled: exact, since both are whole numbers below 2^24. NaN if either is missing.
pub(crate) fn demand(used: f32, throttled: f32) -> f32 {
    used + throttled
}

/// All VMs, by id.
#[derive(Debug, Clone)]
pub(crate) struct FleetState(pub(crate) Vec<VmState>);

impl FleetState {
    pub(crate) fn get_mut(&mut self, vm: VmId) -> Option<&mut VmState> {
        self.0.get_mut(vm.index())
    }
}
