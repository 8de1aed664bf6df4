//! Placement scores in vectors of hosts. A block of VMs shares each load of room; both, and the hosts, are first laid out
//! so that the inner loop reads forward: it is a fused multiply-add and a minimum per cell, and nothing else.

use fearless_simd::{Select, Simd, SimdBase, SimdFloat, SimdMask, dispatch};
use foreshade_kernels::placement_score::{FORBIDDEN, SCORE_WORDS};
use rayon::prelude::*;

use crate::Exec;

/// Words of room that are laid out at a time (4 MiB): they stay in a shared cache while all VMs are scored against them.
const PACKED_WORDS: usize = 1 << 20;

/// Words of demand that a thread lays out at a time (256 KiB).
const DEMAND_WORDS: usize = 1 << 16;

/// What all threads read; layouts in `kernels/placement_score/spec.rs`.
struct Request<'a> {
    hosts: usize,
    paths: usize,
    resources: usize,
    /// Cells of a path.
    path_cells: usize,
    top: usize,
    risk_cost: f32,
    room_value: f32,
    demand: &'a [f32],
    room: &'a [f32],
    host: &'a [f32],
    vm: &'a [f32],
    allow: &'a [i32],
}

/// `TILE` neighbouring hosts, ready for the inner loop.
struct Tile<'a, const TILE: usize> {
    /// Index of the first host.
    first: usize,
    /// [cells].
    room: &'a [Row<TILE>],
    /// [resources], 1 / capacity.
    inv_cap: Vec<Row<TILE>>,
    /// What a VM without demand gets: that is what a host's present VM sees, since the load has its use.
    still: Shares<TILE>,
}

/// A row of a tile, in whole cache lines: a load that straddles two takes twice as long.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Row<const TILE: usize>([f32; TILE]);

/// Of one VM on the hosts of a tile.
#[derive(Clone, Copy)]
struct Shares<const TILE: usize> {
    probability: [f32; TILE],
    headroom: [f32; TILE],
}

/// Where a VM's answer goes: [top] and [top][3], least cost first.
struct Answer<'a> {
    best: &'a mut [i32],
    score: &'a mut [f32],
}

/// The kernel, arguments as in its `SPEC`. Lengths have been checked; a wrong one is a bug of the caller and panics.
#[expect(clippy::too_many_arguments, reason = "the kernel's argument list in its order")]
pub fn score(
    exec: &Exec,
    ints: &[i32],
    floats: &[f32],
    demand: &[f32],
    room: &[f32],
    host: &[f32],
    vm: &[f32],
    allow: &[i32],
    best: &mut [i32],
    score: &mut [f32],
) {
    let int = |i: usize| usize::try_from(ints[i]).unwrap_or(0);
    let (resources, path_cells) = (int(4), int(3) * int(4));
    let request = Request {
        hosts: int(1),
        paths: int(2),
        resources,
        path_cells,
        top: int(5),
        risk_cost: floats[0],
        room_value: floats[1],
        demand,
        room,
        host,
        vm,
        allow,
    };
    best.fill(-1);
    for words in score.chunks_exact_mut(SCORE_WORDS) {
        words.copy_from_slice(&[0.0, 0.0, FORBIDDEN]);
    }
    dispatch!(exec.level(), simd => by_level(simd, exec, &request, best, score));
}

/// Chooses VMs and vectors per block: as many running minima as the registers hold beside room and demand.
#[inline(always)]
fn by_level<S: Simd>(simd: S, exec: &Exec, request: &Request<'_>, best: &mut [i32], score: &mut [f32]) {
    match S::f32s::LEN {
        // 32 registers.
        16 => blocks::<S, 4, 4, 64>(simd, exec, request, best, score),
        // 16 registers.
        8 => blocks::<S, 4, 2, 16>(simd, exec, request, best, score),
        _ => blocks::<S, 3, 4, 16>(simd, exec, request, best, score),
    }
}

/// All VMs, `V` at a time, against all hosts, in tiles of `TILE` hosts, which are `H` vectors.
#[inline(always)]
fn blocks<S: Simd, const V: usize, const H: usize, const TILE: usize>(
    simd: S,
    exec: &Exec,
    request: &Request<'_>,
    best: &mut [i32],
    score: &mut [f32],
) {
    assert_eq!(H * S::f32s::LEN, TILE, "a tile is whole vectors");
    let cells = request.paths * request.path_cells;
    let tiles_at_once = (PACKED_WORDS / (cells * TILE)).clamp(1, request.hosts / TILE);
    let mut packed = vec![Row([0.0; TILE]); tiles_at_once * cells];
    let vms = best.len() / request.top;
    // Enough chunks that the threads end together, and not more words than a second-level cache holds beside a tile.
    let blocks = vms.div_ceil(V).div_ceil(4 * exec.threads()).clamp(1, (DEMAND_WORDS / (cells * V)).max(1));
    exec.install(|| {
        for first in (0..request.hosts).step_by(tiles_at_once * TILE) {
            let tiles: Vec<Tile<'_, TILE>> = packed
                .par_chunks_exact_mut(cells)
                .take(((request.hosts - first) / TILE).min(tiles_at_once))
                .enumerate()
                .map(|(i, room)| tile::<S, H, TILE>(simd, request, first + i * TILE, room))
                .collect();
            best.par_chunks_mut(blocks * V * request.top)
                .zip(score.par_chunks_mut(blocks * V * request.top * SCORE_WORDS))
                .enumerate()
                .for_each_init(
                    || vec![[0.0f32; V]; blocks * cells],
                    |demand, (chunk, (best, score))| {
                        let answer = Answer { best, score };
                        simd.vectorize(
                            #[inline(always)]
                            || {
                                score_chunk::<S, V, H, TILE>(
                                    simd,
                                    request,
                                    &tiles,
                                    chunk * blocks * V,
                                    demand,
                                    answer,
                                )
                            },
                        );
                    },
                );
        }
    });
}

/// Lays out the hosts from `first` on in `room` [cells].
fn tile<'a, S: Simd, const H: usize, const TILE: usize>(
    simd: S,
    request: &Request<'_>,
    first: usize,
    room: &'a mut [Row<TILE>],
) -> Tile<'a, TILE> {
    let row = |v: &[f32], row: usize| {
        let at = row * request.hosts + first;
        Row(std::array::from_fn(|i| v[at + i]))
    };
    for (cell, to) in room.iter_mut().enumerate() {
        *to = row(request.room, cell);
    }
    let inv_cap: Vec<_> = (0..request.resources).map(|r| row(request.host, 1 + r)).collect();
    let none = vec![[0.0]; room.len()];
    let [still] = simd.vectorize(
        #[inline(always)]
        || shares::<S, 1, H, TILE>(simd, request.path_cells, &none, room, &inv_cap),
    );
    Tile { first, room, inv_cap, still }
}

/// The VMs from `first` on against the tiles; `demand` is scratch, [blocks][cells].
#[inline(always)]
fn score_chunk<S: Simd, const V: usize, const H: usize, const TILE: usize>(
    simd: S,
    request: &Request<'_>,
    tiles: &[Tile<'_, TILE>],
    first: usize,
    demand: &mut [[f32; V]],
    answer: Answer<'_>,
) {
    let cells = request.paths * request.path_cells;
    let words = V * request.top;
    for (vm, from) in
        request.demand.chunks_exact(cells).skip(first).take(answer.best.len() / request.top).enumerate()
    {
        for (to, from) in demand[vm / V * cells..].iter_mut().zip(from) {
            to[vm % V] = -from;
        }
    }
    for tile in tiles {
        let blocks = answer.best.chunks_mut(words).zip(answer.score.chunks_mut(words * SCORE_WORDS));
        for ((block, (best, score)), demand) in blocks.enumerate().zip(demand.chunks_exact(cells)) {
            let shares = shares::<S, V, H, TILE>(simd, request.path_cells, demand, tile.room, &tile.inv_cap);
            let answers =
                best.chunks_exact_mut(request.top).zip(score.chunks_exact_mut(request.top * SCORE_WORDS));
            for (v, ((best, score), shares)) in answers.zip(shares).enumerate() {
                let vm = first + block * V + v;
                rank::<S, H, TILE>(simd, request, tile, vm, shares, Answer { best, score });
            }
        }
    }
}

/// Overload probability and headroom of `V` VMs on `H` vectors of hosts; `demand` is negative.
#[inline(always)]
fn shares<S: Simd, const V: usize, const H: usize, const TILE: usize>(
    simd: S,
    path_cells: usize,
    demand: &[[f32; V]],
    room: &[Row<TILE>],
    inv_cap: &[Row<TILE>],
) -> [Shares<TILE>; V] {
    let n = S::f32s::LEN;
    let load = |row: &Row<TILE>| -> [S::f32s; H] {
        std::array::from_fn(
            #[inline(always)]
            |h| S::f32s::from_slice(simd, &row.0[h * n..(h + 1) * n]),
        )
    };
    let (zero, one) = (S::f32s::splat(simd, 0.0), S::f32s::splat(simd, 1.0));
    let mut overloaded = [[zero; H]; V];
    let mut sum = [[zero; H]; V];
    for (demand, room) in demand.chunks_exact(path_cells).zip(room.chunks_exact(path_cells)) {
        let mut worst = [[S::f32s::splat(simd, f32::INFINITY); H]; V];
        let steps = demand.chunks_exact(inv_cap.len()).zip(room.chunks_exact(inv_cap.len()));
        for (demand, room) in steps {
            for ((demand, room), inv_cap) in demand.iter().zip(room).zip(inv_cap) {
                let (room, inv_cap) = (load(room), load(inv_cap));
                for v in 0..V {
                    let demand = S::f32s::splat(simd, demand[v]);
                    for h in 0..H {
                        worst[v][h] = demand.mul_add(inv_cap[h], room[h]).min(worst[v][h]);
                    }
                }
            }
        }
        for v in 0..V {
            for h in 0..H {
                overloaded[v][h] += worst[v][h].simd_lt(zero).select(one, zero);
                sum[v][h] += worst[v][h];
            }
        }
    }
    let paths = S::f32s::splat(simd, (demand.len() / path_cells) as f32);
    let mut out = [Shares { probability: [0.0; TILE], headroom: [0.0; TILE] }; V];
    for v in 0..V {
        for h in 0..H {
            (overloaded[v][h] / paths).store_slice(&mut out[v].probability[h * n..(h + 1) * n]);
            (sum[v][h] / paths).store_slice(&mut out[v].headroom[h * n..(h + 1) * n]);
        }
    }
    out
}

/// Costs of one VM on a tile; those that are among its best go into the answer.
#[inline(always)]
fn rank<S: Simd, const H: usize, const TILE: usize>(
    simd: S,
    request: &Request<'_>,
    tile: &Tile<'_, TILE>,
    vm: usize,
    mut shares: Shares<TILE>,
    mut answer: Answer<'_>,
) {
    let n = S::f32s::LEN;
    // A tile lies within one word: TILE divides 32.
    let words = &request.allow[(vm * request.hosts + tile.first) / 32..];
    let word = |i: usize| words.get(i).map_or(0, |&w| u64::from(w as u32));
    let allowed = (word(0) | word(1) << 32) >> (tile.first % 32) & (u64::MAX >> (64 - TILE));
    if allowed == 0 {
        return;
    }
    let mut moving = [request.vm[2 * vm]; TILE];
    let present = request.vm[2 * vm + 1] - tile.first as f32;
    if (0.0..TILE as f32).contains(&present) {
        let at = present as usize;
        moving[at] = 0.0;
        shares.probability[at] = tile.still.probability[at];
        shares.headroom[at] = tile.still.headroom[at];
    }
    let mut cost = [0.0f32; TILE];
    let limit = S::f32s::splat(simd, answer.score[answer.score.len() - 1]);
    let (risk, value) = (S::f32s::splat(simd, request.risk_cost), S::f32s::splat(simd, -request.room_value));
    let mut better = 0;
    for h in 0..H {
        let (from, to) = (h * n, (h + 1) * n);
        let load = |v: &[f32]| S::f32s::from_slice(simd, &v[from..to]);
        let host = S::f32s::from_slice(simd, &request.host[tile.first + from..tile.first + to]);
        let base = host + load(&moving);
        let c = risk.mul_add(load(&shares.probability), value.mul_add(load(&shares.headroom), base));
        c.store_slice(&mut cost[from..to]);
        better |= c.simd_lt(limit).to_bitmask() << from;
    }
    let mut rest = better & allowed;
    while rest != 0 {
        let at = rest.trailing_zeros() as usize;
        rest &= rest - 1;
        answer.insert(tile.first + at, [shares.probability[at], shares.headroom[at], cost[at]]);
    }
}

impl Answer<'_> {
    /// Takes a host unless there are enough better ones. Hosts come in ascending order, so equals stay in it.
    fn insert(&mut self, host: usize, words: [f32; SCORE_WORDS]) {
        let (slots, _) = self.score.as_chunks_mut::<SCORE_WORDS>();
        let Some(at) = slots.iter().position(|slot| words[2] < slot[2]) else { return };
        slots[at..].rotate_right(1);
        self.best[at..].rotate_right(1);
        slots[at] = words;
        self.best[at] = host as i32;
    }
}
