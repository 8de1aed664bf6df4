//! The definition: one VM on one host, in f64. Slow and clear.

use super::FORBIDDEN;

/// A request as the kernel gets it; layout in spec.rs. Lengths fit the scalars.
#[derive(Debug, Clone, PartialEq)]
pub struct Inputs {
    /// vms, hosts (padded), paths, steps, resources, top.
    pub ints: [i32; 6],
    /// Cost of certain overload, value of a unit of headroom; neither is negative.
    pub floats: [f32; 2],
    /// [vms][paths][steps][resources].
    pub demand: Vec<f32>,
    /// [paths][steps][resources][hosts].
    pub room: Vec<f32>,
    /// [1 + resources][hosts].
    pub host: Vec<f32>,
    /// [vms][2].
    pub vm: Vec<f32>,
    /// [vms][hosts / 32].
    pub allow: Vec<i32>,
}

/// A VM on a host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// Share of the paths on which some resource is overloaded at some step.
    pub probability: f64,
    /// Mean over the paths of the least room left, in units of the capacity.
    pub headroom: f64,
    /// What the choice costs.
    pub cost: f64,
}

impl Inputs {
    /// VMs.
    pub fn vms(&self) -> usize {
        self.ints[0] as usize
    }

    /// Hosts with their padding.
    pub fn hosts(&self) -> usize {
        self.ints[1] as usize
    }

    /// Sample paths.
    pub fn paths(&self) -> usize {
        self.ints[2] as usize
    }

    /// Resources.
    pub fn resources(&self) -> usize {
        self.ints[4] as usize
    }

    /// Steps times resources: the cells of a path.
    pub fn path_cells(&self) -> usize {
        (self.ints[3] * self.ints[4]) as usize
    }

    /// Hosts to name per VM.
    pub fn top(&self) -> usize {
        self.ints[5] as usize
    }

    /// May the VM be on this host?
    pub fn allowed(&self, vm: usize, host: usize) -> bool {
        self.allow[vm * (self.hosts() / 32) + host / 32] >> (host % 32) & 1 == 1
    }

    /// Is the VM on this host now?
    pub fn present(&self, vm: usize, host: usize) -> bool {
        self.vm[2 * vm + 1] == host as f32
    }

    /// Room on a host and share of its capacity that the VM asks for, per cell of a path.
    pub fn cells(&self, vm: usize, host: usize, path: usize) -> impl Iterator<Item = (f64, f64)> {
        let (n, hosts, stays) = (self.path_cells(), self.hosts(), self.present(vm, host));
        (path * n..(path + 1) * n).map(move |cell| {
            let demand = self.demand[vm * self.paths() * n + cell];
            let inv_cap = self.host[(1 + cell % self.resources()) * hosts + host];
            // Two f32 factors make an exact f64 product.
            let share = if stays { 0.0 } else { f64::from(demand) * f64::from(inv_cap) };
            (f64::from(self.room[cell * hosts + host]), share)
        })
    }

    /// Cost of being on the host and of getting there.
    pub fn base_cost(&self, vm: usize, host: usize) -> f64 {
        let moving = if self.present(vm, host) { 0.0 } else { f64::from(self.vm[2 * vm]) };
        f64::from(self.host[host]) + moving
    }

    /// Do both hosts give the VM the same numbers, so that every device must score them equal?
    pub fn same_host(&self, vm: usize, a: usize, b: usize) -> bool {
        let (rows, hosts) = (self.paths() * self.path_cells(), self.hosts());
        let equal = |v: &[f32], rows: usize| (0..rows).all(|r| v[r * hosts + a] == v[r * hosts + b]);
        self.present(vm, a) == self.present(vm, b)
            && equal(&self.host, 1 + self.resources())
            && equal(&self.room, rows)
    }
}

/// One VM on one host.
pub fn score(inputs: &Inputs, vm: usize, host: usize) -> Scored {
    let paths = inputs.paths();
    let (mut overloaded, mut sum) = (0, 0.0);
    for path in 0..paths {
        let worst =
            inputs.cells(vm, host, path).map(|(room, share)| room - share).fold(f64::INFINITY, f64::min);
        overloaded += usize::from(worst < 0.0);
        sum += worst;
    }
    let (probability, headroom) = (overloaded as f64 / paths as f64, sum / paths as f64);
    let [risk_cost, room_value] = inputs.floats.map(f64::from);
    let cost = risk_cost * probability - room_value * headroom + inputs.base_cost(vm, host);
    Scored { probability, headroom, cost }
}

/// The allowed hosts of a VM, least cost first, lower index first among equals; at most `top`.
pub fn best(inputs: &Inputs, vm: usize) -> Vec<(usize, Scored)> {
    let hosts = (0..inputs.hosts()).filter(|&h| inputs.allowed(vm, h));
    let mut all: Vec<_> = hosts.map(|h| (h, score(inputs, vm, h))).collect();
    all.retain(|(_, s)| s.cost < f64::from(FORBIDDEN));
    all.sort_by(|a, b| a.1.cost.total_cmp(&b.1.cost));
    all.truncate(inputs.top());
    all
}
