// Cheapest hosts of VMS virtual machines per workgroup; README.md has the maths, spec.rs the layout.
//
// The invocations take the hosts in tiles, SPAN hosts each, and score them for all VMS machines at once, so that a load of
// room or demand serves several sums. Then one invocation per machine puts the tile's costs into the machine's list.

struct Scalars {
    ints: array<vec4<i32>, 3>, // vms, hosts, paths, steps; resources, top
    floats: vec4<f32>, // risk_cost, room_value
}

@group(0) @binding(0) var<storage, read> demand: array<f32>;
@group(0) @binding(1) var<storage, read> room: array<f32>;
@group(0) @binding(2) var<storage, read> host: array<f32>;
@group(0) @binding(3) var<storage, read> vm: array<f32>;
@group(0) @binding(4) var<storage, read> allow: array<i32>;
@group(0) @binding(5) var<storage, read_write> best: array<i32>;
@group(0) @binding(6) var<storage, read_write> score: array<f32>;
@group(0) @binding(8) var<uniform> scalars: Scalars;

const VMS: i32 = 8;
const SPAN: i32 = 2;
const TILE: i32 = 128; // 64 * SPAN
const ROW: i32 = 129; // odd, so that the invocations that read the lists use different banks
const TOP_MAX: i32 = 8;
const FORBIDDEN: f32 = 3.0e38;
const FAR: f32 = 3.4e38;

var<workgroup> cost: array<f32, 1032>; // VMS * ROW
var<workgroup> probability: array<f32, 1032>;
var<workgroup> headroom: array<f32, 1032>;
var<workgroup> list_host: array<i32, 64>; // VMS * TOP_MAX
var<workgroup> list_words: array<f32, 192>;

// Puts a host into the list that begins at `list`, sorted by cost; equals stay in the order of their coming.
fn insert(list: i32, top: i32, host_index: i32, source: i32) {
    let new_cost = cost[source];
    var at = list + top - 1;
    while (at > list) {
        if (new_cost >= list_words[3 * at - 1]) {
            break;
        }
        list_host[at] = list_host[at - 1];
        list_words[3 * at] = list_words[3 * at - 3];
        list_words[3 * at + 1] = list_words[3 * at - 2];
        list_words[3 * at + 2] = list_words[3 * at - 1];
        at--;
    }
    list_host[at] = host_index;
    list_words[3 * at] = probability[source];
    list_words[3 * at + 1] = headroom[source];
    list_words[3 * at + 2] = new_cost;
}

// Probability and headroom of a host for the machine that is there: what it uses is in the load already.
fn still(h: i32, hosts: i32, paths: i32, path_cells: i32, to: i32) {
    var overloaded = 0.0;
    var sum = 0.0;
    for (var p = 0; p < paths; p++) {
        var worst = FAR;
        for (var c = 0; c < path_cells; c++) {
            worst = min(worst, room[(p * path_cells + c) * hosts + h]);
        }
        overloaded += select(0.0, 1.0, worst < 0.0);
        sum += worst;
    }
    probability[to] = overloaded / f32(paths);
    headroom[to] = sum / f32(paths);
}

@compute @workgroup_size(64)
fn placement_score(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let item = i32(local);
    let vms = scalars.ints[0].x;
    let hosts = scalars.ints[0].y;
    let paths = scalars.ints[0].z;
    let steps = scalars.ints[0].w;
    let resources = scalars.ints[1].x;
    let top = scalars.ints[1].y;
    let risk_cost = scalars.floats.x;
    let room_value = scalars.floats.y;
    let first_vm = i32(wid.x + wid.y * groups.x) * VMS;
    if (first_vm >= vms) {
        return;
    }
    let path_cells = steps * resources;
    let cells = paths * path_cells;

    // 64 invocations, 64 places.
    list_host[item] = -1;
    list_words[3 * item] = 0.0;
    list_words[3 * item + 1] = 0.0;
    list_words[3 * item + 2] = FORBIDDEN;
    workgroupBarrier();

    for (var first = 0; first < hosts; first += TILE) {
        // Some compilers zero a variable of a loop only once, so this is said.
        var overloaded = array<f32, 16>(); // VMS * SPAN
        var sum = array<f32, 16>();
        let host0 = min(first + item, hosts - 1);
        let host1 = min(first + 64 + item, hosts - 1);
        for (var p = 0; p < paths; p++) {
            var worst: array<f32, 16>;
            for (var i = 0; i < VMS * SPAN; i++) {
                worst[i] = FAR;
            }
            for (var r = 0; r < resources; r++) {
                let inv0 = host[(1 + r) * hosts + host0];
                let inv1 = host[(1 + r) * hosts + host1];
                for (var t = 0; t < steps; t++) {
                    let cell = p * path_cells + t * resources + r;
                    let left0 = room[cell * hosts + host0];
                    let left1 = room[cell * hosts + host1];
                    for (var v = 0; v < VMS; v++) {
                        // The last machine stands in for those that do not exist.
                        let d = -demand[min(first_vm + v, vms - 1) * cells + cell];
                        worst[v * SPAN] = min(worst[v * SPAN], fma(d, inv0, left0));
                        worst[v * SPAN + 1] = min(worst[v * SPAN + 1], fma(d, inv1, left1));
                    }
                }
            }
            for (var i = 0; i < VMS * SPAN; i++) {
                overloaded[i] += select(0.0, 1.0, worst[i] < 0.0);
                sum[i] += worst[i];
            }
        }
        for (var i = 0; i < VMS * SPAN; i++) {
            let v = i / SPAN;
            let id = first_vm + v;
            let h = first + 64 * (i % SPAN) + item;
            let to = v * ROW + 64 * (i % SPAN) + item;
            probability[to] = overloaded[i] / f32(paths);
            headroom[to] = sum[i] / f32(paths);
            cost[to] = FORBIDDEN;
            if (id < vms && h < hosts) {
                let word = allow[id * (hosts / 32) + h / 32];
                if (((word >> u32(h % 32)) & 1) == 1) {
                    let stays = vm[2 * id + 1] == f32(h);
                    if (stays) {
                        still(h, hosts, paths, path_cells, to);
                    }
                    let base = host[h] + select(vm[2 * id], 0.0, stays);
                    cost[to] = fma(risk_cost, probability[to], fma(-room_value, headroom[to], base));
                }
            }
        }
        workgroupBarrier();
        if (item < VMS) {
            for (var i = 0; i < TILE; i++) {
                let source = item * ROW + i;
                if (cost[source] < list_words[3 * (item * TOP_MAX + top) - 1]) {
                    insert(item * TOP_MAX, top, first + i, source);
                }
            }
        }
        workgroupBarrier();
    }

    let id = first_vm + item / TOP_MAX;
    let slot = item % TOP_MAX;
    if (id < vms && slot < top) {
        best[id * top + slot] = list_host[item];
        for (var k = 0; k < 3; k++) {
            score[3 * (id * top + slot) + k] = list_words[3 * item + k];
        }
    }
}
