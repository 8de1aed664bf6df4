// One tick of the LSTM and its quantile head, one invocation per lane; README.md has the maths, spec.rs the layout.
//
// Sixteen outputs (the gates of four units, or four quads of the head) are summed at a time, so that a value of x or h is
// loaded once for sixteen multiply-adds. Where the outputs are not a multiple of four units, the last block repeats the
// last unit, which writes the same again.

struct Scalars {
    ints: array<vec4<i32>, 3>, // lanes, input, hidden, layers; stats, width
    floats: vec4<f32>,
}

@group(0) @binding(0) var<storage, read> mode: array<i32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> stats: array<f32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read> state_in: array<f32>;
@group(0) @binding(5) var<storage, read_write> state_out: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;
@group(0) @binding(8) var<uniform> scalars: Scalars;

const STEP: i32 = 1;
const RESET: i32 = 2;
const TARGETS: i32 = 4;
const LEVELS: i32 = 5;
const OUTPUTS: i32 = 20;

// x p(x^2) / q(x^2), held where it reaches 1; the coefficients of fallback-cpu/src/math.rs.
fn lstm_tanh(x: vec4<f32>) -> vec4<f32> {
    let v = clamp(x, vec4(-7.9f), vec4(7.9f));
    let y = v * v;
    var p = fma(vec4(1.1414602e-5f), y, vec4(2.9485042e-3f));
    p = fma(p, y, vec4(1.2922679e-1f));
    p = fma(p, y, vec4(9.999994e-1f));
    var q = fma(vec4(2.4572176e-7f), y, vec4(2.3839438e-4f));
    q = fma(q, y, vec4(2.380348e-2f));
    q = fma(q, y, vec4(4.62558e-1f));
    q = fma(q, y, vec4(1.0f));
    return p * v / q;
}

fn lstm_sigmoid(x: vec4<f32>) -> vec4<f32> {
    return fma(vec4(0.5f), lstm_tanh(0.5f * x), vec4(0.5f));
}

// ln(1 + e^x): e = e^-|x| by reduction to [-ln 2 / 2, ln 2 / 2], then 2 atanh(e / (2 + e)).
fn lstm_softplus(x: f32) -> f32 {
    let v = max(-abs(x), -87.0f);
    let k = i32(fma(v, 1.442695041f, -0.5f));
    let kf = f32(k);
    let r = fma(kf, 2.1219444e-4f, fma(kf, -0.6933594f, v));
    var p = fma(1.9875691e-4f, r, 1.3982e-3f);
    p = fma(p, r, 8.333452e-3f);
    p = fma(p, r, 4.1665796e-2f);
    p = fma(p, r, 1.6666665e-1f);
    p = fma(p, r, 0.5f);
    let e = (fma(p, r * r, r) + 1.0f) * bitcast<f32>((k + 127) << 23u);
    let t = e / (e + 2.0f);
    let y = t * t;
    p = fma(1.0f / 13.0f, y, 1.0f / 11.0f);
    p = fma(p, y, 1.0f / 9.0f);
    p = fma(p, y, 1.0f / 7.0f);
    p = fma(p, y, 1.0f / 5.0f);
    p = fma(p, y, 1.0f / 3.0f);
    p = fma(p, y, 1.0f);
    return fma(t + t, p, max(x, 0.0f));
}

// A quad of weights.
fn quad(at: i32) -> vec4<f32> {
    let i = 4 * at;
    return vec4(weights[i], weights[i + 1], weights[i + 2], weights[i + 3]);
}

// h or c of a lane before the tick, 0 after a reset.
fn before(at: i32, keep: bool) -> f32 {
    return select(0.0f, state_in[at], keep);
}

// Four units of a layer, from `unit` on. `base` is the layer's first quad of weights, `state` the lane's place in the
// layer's [h, c][hidden]. What enters is x in the first layer, and the h below in the second, [input] from `below` on.
fn units(base: i32, layer: i32, below: i32, input: i32, hidden: i32, state: i32, keep: bool, unit: i32) {
    let quads = 1 + input + hidden;
    let u = min(vec4(unit, unit + 1, unit + 2, unit + 3), vec4(hidden - 1));
    let at = vec4(base) + u * quads;
    var a = quad(at.x);
    var b = quad(at.y);
    var c = quad(at.z);
    var d = quad(at.w);
    let lanes = scalars.ints[0].x;
    for (var k = 0; k < input; k++) {
        var v: f32;
        if (layer == 0) {
            v = x[below + k * lanes];
        } else {
            v = state_out[below + k * 64];
        }
        let w = at + 1 + k;
        a = fma(vec4(v), quad(w.x), a);
        b = fma(vec4(v), quad(w.y), b);
        c = fma(vec4(v), quad(w.z), c);
        d = fma(vec4(v), quad(w.w), d);
    }
    for (var k = 0; k < hidden; k++) {
        let v = before(state + k * 64, keep);
        let w = at + 1 + input + k;
        a = fma(vec4(v), quad(w.x), a);
        b = fma(vec4(v), quad(w.y), b);
        c = fma(vec4(v), quad(w.z), c);
        d = fma(vec4(v), quad(w.w), d);
    }
    // From four gates per unit to four units per gate.
    let i = lstm_sigmoid(vec4(a.x, b.x, c.x, d.x));
    let f = lstm_sigmoid(vec4(a.y, b.y, c.y, d.y));
    let g = lstm_tanh(vec4(a.z, b.z, c.z, d.z));
    let o = lstm_sigmoid(vec4(a.w, b.w, c.w, d.w));
    let place = vec4(state + hidden * 64) + u * 64;
    let old = vec4(
        before(place.x, keep), before(place.y, keep), before(place.z, keep), before(place.w, keep));
    let after = fma(f, old, i * g);
    let h = o * lstm_tanh(after);
    for (var j = 0; j < 4; j++) {
        state_out[place[j]] = after[j];
        state_out[state + u[j] * 64] = h[j];
    }
}

// The head: h from `h` on with stride 64, stats from `lane` on with stride lanes. A value of the first layer goes into all
// outputs as soon as it is known.
fn head(base: i32, h: i32, hidden: i32, lane: i32, result: i32) {
    let lanes = scalars.ints[0].x;
    let count = scalars.ints[1].x;
    let rows = (scalars.ints[1].y + 3) / 4;
    let quads = 1 + hidden + count;
    let second = base + rows * quads;
    var o: array<vec4<f32>, 5>;
    for (var j = 0; j < 5; j++) {
        o[j] = quad(second + j);
    }
    for (var row = 0; row < rows; row++) {
        let at = base + row * quads;
        var z = quad(at);
        for (var k = 0; k < hidden; k++) {
            z = fma(vec4(state_out[h + k * 64]), quad(at + 1 + k), z);
        }
        for (var k = 0; k < count; k++) {
            z = fma(vec4(stats[lane + k * lanes]), quad(at + 1 + hidden + k), z);
        }
        z = max(z, vec4(0.0f));
        for (var j = 0; j < 4; j++) {
            let w = second + 5 * (1 + 4 * row + j);
            for (var i = 0; i < 5; i++) {
                o[i] = fma(vec4(z[j]), quad(w + i), o[i]);
            }
        }
    }
    for (var target_ = 0; target_ < TARGETS; target_++) {
        let first = target_ * LEVELS;
        var q = o[(first + 1) / 4][(first + 1) % 4];
        out[result + first * 64] = q - lstm_softplus(o[first / 4][first % 4]);
        out[result + (first + 1) * 64] = q;
        for (var level = first + 2; level < first + LEVELS; level++) {
            q += lstm_softplus(o[level / 4][level % 4]);
            out[result + level * 64] = q;
        }
    }
}

@compute @workgroup_size(64)
fn lstm_step(
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
    let input = scalars.ints[0].y;
    let hidden = scalars.ints[0].z;
    let layers = scalars.ints[0].w;
    let width = scalars.ints[1].y;
    let lane = group * 64 + item;
    let values = layers * 2 * hidden;
    let state = group * values * 64 + item;
    let result = group * OUTPUTS * 64 + item;
    let keep = (mode[lane] & RESET) == 0;
    if (width == 0 && group == 0) {
        out[item] = 0.0f;
    }
    if ((mode[lane] & STEP) == 0) {
        for (var v = 0; v < values; v++) {
            state_out[state + v * 64] = before(state + v * 64, keep);
        }
        for (var v = 0; v < OUTPUTS && width > 0; v++) {
            out[result + v * 64] = 0.0f;
        }
        return;
    }
    var base = 0;
    var below = lane;
    var entering = input;
    for (var layer = 0; layer < layers; layer++) {
        let at = state + layer * 2 * hidden * 64;
        for (var unit = 0; unit < hidden; unit += 4) {
            units(base, layer, below, entering, hidden, at, keep, unit);
        }
        base += hidden * (1 + entering + hidden);
        below = at;
        entering = hidden;
    }
    if (width > 0) {
        head(base, below, hidden, lane, result);
    }
}
