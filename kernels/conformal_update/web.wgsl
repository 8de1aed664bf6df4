// Online quantile tracking, one invocation per lane; README.md has the maths, spec.rs the layout.

struct Scalars {
    ints: array<vec4<i32>, 3>, // lanes
    floats: vec4<f32>, // gamma, tie, reach, floor
}

@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read> issued: array<f32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read> base: array<f32>;
@group(0) @binding(4) var<storage, read> shift_in: array<f32>;
@group(0) @binding(5) var<storage, read_write> shift_out: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;
@group(0) @binding(8) var<uniform> scalars: Scalars;

const LEVELS: i32 = 5;
const MEDIAN: i32 = 1;

// How rarely a bound of each level is to be exceeded; the median's is not used.
fn rare(level: i32) -> f32 {
    switch level {
        case 0: { return 1.0f - 0.05f; }
        case 2: { return 1.0f - 0.9f; }
        case 3: { return 1.0f - 0.95f; }
        case 4: { return 1.0f - 0.99f; }
        default: { return 0.5f; }
    }
}

// WGSL may assume that there is no NaN, so the bits are asked.
fn is_nan(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;
}

@compute @workgroup_size(64)
fn conformal_update(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let group = i32(wid.x + wid.y * groups.x);
    let item = i32(local);
    let lanes = scalars.ints[0].x;
    if (group * 64 >= lanes) {
        return;
    }
    let gamma = scalars.floats.x;
    let tie = scalars.floats.y;
    let reach = scalars.floats.z;
    let least = scalars.floats.w;
    let five = group * (LEVELS * 64) + item;
    let ten = group * (2 * LEVELS * 64) + item;
    let outcome = y[group * 64 + item];
    let known = !is_nan(outcome);
    let unit = scale[group * 64 + item];
    var q: array<f32, 5>;
    for (var k = 0; k < LEVELS; k++) {
        let at = five + 64 * k;
        let above = outcome - issued[at];
        var shift = shift_in[at];
        if (known && k != MEDIAN && abs(above) > tie * unit) {
            let step = select(0.0 - rare(k), 1.0 - rare(k), above > 0.0);
            shift = min(max(shift + gamma * step, -reach), reach);
        }
        shift_out[at] = shift;
        q[k] = base[at] + shift * unit;
        out[ten + 64 * k] = q[k];
    }
    let median = max(q[1], least);
    let low = min(max(q[0], least), median);
    let a = max(q[2], median);
    let b = max(q[3], median);
    let c = max(q[4], median);
    // Sorts three: the larger of the first two against the third, then what is left against the smaller.
    let ab = max(a, b);
    let left = min(ab, c);
    let small = min(a, b);
    out[ten + 64 * 5] = low;
    out[ten + 64 * 6] = median;
    out[ten + 64 * 7] = min(small, left);
    out[ten + 64 * 8] = max(small, left);
    out[ten + 64 * 9] = max(ab, c);
}
