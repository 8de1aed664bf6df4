//! Requests for tests, from a seed: every parity test of every device uses these.

use super::reference::Inputs;

/// Size of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// VMs.
    pub vms: usize,
    /// Hosts without padding.
    pub hosts: usize,
    /// Sample paths.
    pub paths: usize,
    /// Steps of a path.
    pub steps: usize,
    /// Resources.
    pub resources: usize,
    /// Hosts to name.
    pub top: usize,
}

/// Sizes at the edges: no VM, one, not a whole block, one host, more hosts asked for than there are, limits.
pub const SHAPES: [Shape; 9] = [
    Shape { vms: 0, hosts: 10, paths: 2, steps: 2, resources: 2, top: 1 },
    Shape { vms: 1, hosts: 1, paths: 1, steps: 1, resources: 1, top: 1 },
    Shape { vms: 1, hosts: 64, paths: 3, steps: 2, resources: 4, top: 8 },
    Shape { vms: 7, hosts: 65, paths: 5, steps: 3, resources: 3, top: 3 },
    Shape { vms: 8, hosts: 3, paths: 4, steps: 6, resources: 2, top: 8 },
    Shape { vms: 9, hosts: 200, paths: 32, steps: 6, resources: 4, top: 4 },
    Shape { vms: 63, hosts: 127, paths: 16, steps: 1, resources: 8, top: 2 },
    Shape { vms: 65, hosts: 128, paths: 2, steps: 64, resources: 1, top: 5 },
    Shape { vms: 4097, hosts: 40, paths: 1, steps: 2, resources: 2, top: 1 },
];

/// Reproducible numbers.
struct Noise(u64);

impl Noise {
    fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as u32
    }

    /// In [0, 1).
    fn unit(&mut self) -> f32 {
        self.bits() as f32 / (1u32 << 24) as f32
    }

    fn below(&mut self, n: usize) -> usize {
        self.bits() as usize % n
    }
}

/// Hosts of four sizes, a third of them equal to the one before; VMs with and without a present host, some with few or no
/// allowed hosts; quarters as demand and room, so that some hosts are full to the last bit.
pub fn case(seed: u64, shape: Shape) -> Inputs {
    let Shape { vms, hosts, paths, steps, resources, top } = shape;
    let mut r = Noise(seed ^ 0x9e37_79b9_7f4a_7c15);
    let (padded, cells) = (hosts.next_multiple_of(64), paths * steps * resources);
    let (host, mut room) = fleet(&mut r, hosts, padded, resources, cells);
    let demand: Vec<f32> = (0..vms * cells)
        .map(|_| match r.below(4) {
            0 => 8.0 * r.below(5) as f32,
            _ => 24.0 * r.unit() * r.unit(),
        })
        .collect();
    let vm = (0..vms)
        .flat_map(|_| {
            let present = if r.below(2) == 0 { -1.0 } else { r.below(hosts) as f32 };
            [r.below(4) as f32 * 0.25, present]
        })
        .collect();
    let mut allow = vec![0; vms * (padded / 32)];
    for (vm, words) in allow.chunks_exact_mut(padded / 32).enumerate() {
        // The first VM always has a host, so that an answer that was never written cannot pass for "no host".
        let share = if vm == 0 { 1.0 } else { [0.0, 0.05, 0.6, 0.9, 1.0, 1.0][r.below(6)] };
        for h in (0..hosts).filter(|_| r.unit() < share) {
            words[h / 32] |= 1 << (h % 32);
        }
    }
    // Whatever stands in the padding must not matter.
    for row in room.chunks_exact_mut(padded) {
        row[hosts..].fill(-1.0e30);
    }
    let ints = [vms, padded, paths, steps, resources, top].map(|v| v as i32);
    Inputs { ints, floats: [10.0, 0.5 + r.unit()], demand, room, host, vm, allow }
}

/// `host` and `room`.
fn fleet(r: &mut Noise, hosts: usize, padded: usize, resources: usize, cells: usize) -> (Vec<f32>, Vec<f32>) {
    let mut host = vec![1.0e30; (1 + resources) * padded];
    let mut room = vec![0.0; cells * padded];
    for h in 0..hosts {
        let twin = h > 0 && r.below(3) == 0;
        let capacity = [32.0, 64.0, 96.0, 100.0][r.below(4)];
        let full = r.below(8) == 0;
        let spare = 0.9 * r.unit();
        for row in 0..=resources {
            let value = if row == 0 { r.below(3) as f32 * 0.5 } else { 1.0 / capacity };
            host[row * padded + h] = if twin { host[row * padded + h - 1] } else { value };
        }
        for row in 0..cells {
            let value = if full { 0.25 * r.below(5) as f32 } else { spare + 0.3 * (r.unit() - 0.5) };
            room[row * padded + h] = if twin { room[row * padded + h - 1] } else { value };
        }
    }
    (host, room)
}
