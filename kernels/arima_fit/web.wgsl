// arima_fit, one invocation = one series. README.md has the maths, spec.rs the arguments; gpu.cc is the same program in C.
// scratch [lanes/64][2][samples][64] holds the residuals of either difference, then the sorted ones.

struct Scalars { ints: array<vec4<i32>, 3>, floats: vec4<f32> }

@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read_write> fit: array<f32>;
@group(0) @binding(2) var<storage, read_write> scratch: array<f32>;
@group(0) @binding(8) var<uniform> scalars: Scalars;

const P_MAX = 6;
const WARM = 7;
const CHUNK = 16;
const WORDS = 28;
const REACH_BITS = 0x58800000; // 2^50: a larger magnitude, an infinity and NaN have more bits set
const SCALE_MIN = 8.8817842e-16;
const FAR = 3.0e38;
const NOISE = 6.1035156e-5;
const SHARE_MIN = 9.5367432e-7;
const DET_MIN = 9.0949470e-13;
const VARIANCE_MIN = 9.0949470e-13;
const MARGIN = 0.98;
const GAIN_MIN = 0.015625;

struct Choice { aicc: f32, p: f32, q: f32, theta: f32, variance: f32, phi: array<f32, 6> }
// What turns a sample into a scaled one.
struct Unit { centre: f32, inverse: f32, mean: f32 }

// A private variable: a candidate is compared in several functions.
var<private> best: Choice;

fn is_there(v: f32) -> bool { return (bitcast<i32>(v) & 0x7fffffff) <= REACH_BITS; }

// ln x = k ln 2 + 2 atanh((m - 1) / (m + 1)), x = 2^k m, m in [0.707, 1.414).
fn ln(x: f32) -> f32 {
    let bits = bitcast<i32>(x) + (0x3f800000 - 0x3f3504f3);
    let k = f32((bits >> 23u) - 127);
    let m = bitcast<f32>((bits & 0x007fffff) + 0x3f3504f3);
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let twice = s + s;
    var series = fma(1.0 / 11.0, s2, 1.0 / 9.0);
    series = fma(series, s2, 1.0 / 7.0);
    series = fma(series, s2, 1.0 / 5.0);
    series = fma(series, s2, 1.0 / 3.0);
    return fma(k, 0.69314718, fma(twice * s2, series, twice));
}

// 2 k + 2 k (k + 1) / (n - k - 1)
fn penalty(n: f32, k: f32) -> f32 {
    let twice = k + k;
    return fma(twice, (k + 1.0) / (n - k - 1.0), twice);
}

// The (differenced) series less its mean at a sample; 0 where missing.
fn z_at(d: i32, v: f32, before: f32, there: bool, pair: bool, unit: Unit) -> f32 {
    if (d == 0) {
        if (there) { return (v - unit.centre) * unit.inverse - unit.mean; }
    } else if (pair) {
        return (v - before) * unit.inverse;
    }
    return 0.0;
}

fn consider(aicc: f32, p: f32, q: f32, phi: array<f32, 6>, theta: f32) {
    if (aicc < best.aicc) {
        best.aicc = aicc;
        best.p = p;
        best.q = q;
        best.theta = theta;
        best.phi = phi;
    }
}

// r_0 .. r_7, sums in parts of 16 terms.
fn moments(first: i32, lanes: i32, samples: i32, d: i32, n: f32, unit: Unit) -> array<f32, 8> {
    var r = array<f32, 8>();
    var lag = array<f32, 8>();
    var before = 0.0;
    var was = false;
    for (var chunk = 0; chunk < samples; chunk += CHUNK) {
        // Written out: some translators clear such a variable once, not in every round.
        var sum = array<f32, 8>();
        for (var t = chunk; t < min(chunk + CHUNK, samples); t++) {
            let v = y[first + t * lanes];
            let there = is_there(v);
            for (var k = P_MAX + 1; k > 0; k--) { lag[k] = lag[k - 1]; }
            lag[0] = z_at(d, v, before, there, there && was, unit);
            for (var k = 0; k < P_MAX + 2; k++) { sum[k] = fma(lag[0], lag[k], sum[k]); }
            before = v;
            was = there;
        }
        for (var k = 0; k < P_MAX + 2; k++) { r[k] += sum[k]; }
    }
    let share = 1.0 / max(n, 1.0);
    for (var k = 0; k < P_MAX + 2; k++) { r[k] *= share; }
    return r;
}

// ARMA(p, 1) in moments: v, g and before as in reference.rs.
fn mixed(p: i32, rho: array<f32, 8>, v: f32, g: f32, before: f32, n: f32, fixed: f32) {
    var phi = array<f32, 6>();
    let gap = rho[0] - v;
    let rest = rho[1] - g;
    if (p == 1) { phi[0] = rest / max(gap, SHARE_MIN); }
    if (p == 2) {
        let det = max(gap * rho[0] - rho[1] * rho[1], DET_MIN);
        phi[0] = (rest * rho[0] - rho[1] * rho[2]) / det;
        phi[1] = (gap * rho[2] - rest * rho[1]) / det;
    }
    let theta = g / v - phi[0];
    let root = max(abs(phi[0]) + phi[1], abs(phi[1]));
    let may = p == 0 || before - v >= before * GAIN_MIN;
    if (may && root <= MARGIN && abs(theta) <= MARGIN) {
        let share = rho[0] - phi[0] * rho[1] - phi[1] * rho[2] - theta * g;
        let k = f32(p + 1) + fixed;
        consider(fma(n, ln(max(share, SHARE_MIN)), penalty(n, k)), f32(p), 1.0, phi, theta);
    }
}

// The order with the least criterion of one difference.
fn choose(r: array<f32, 8>, n: f32, fixed: f32) {
    var rho = r;
    var phi = array<f32, 6>();
    var scale = 0.0;
    if (r[0] > 0.0) { scale = 1.0 / r[0]; }
    for (var k = 0; k < P_MAX + 2; k++) { rho[k] *= scale; }
    rho[0] = 1.0 + NOISE;
    var v = rho[0];
    var once = v;
    best = Choice(FAR, 0.0, 0.0, 0.0, 0.0, phi);
    consider(fma(n, ln(v), penalty(n, fixed)), 0.0, 0.0, phi, 0.0);
    for (var k = 0; k < P_MAX; k++) {
        var sum = rho[k + 1];
        for (var j = 0; j < k; j++) { sum -= phi[j] * rho[k - j]; }
        let reflection = sum / v;
        let old = phi;
        for (var j = 0; j < k; j++) { phi[j] = old[j] - reflection * old[k - 1 - j]; }
        phi[k] = reflection;
        v *= 1.0 - reflection * reflection;
        if (k == 0) { once = v; }
        let parameters = f32(k + 1) + fixed;
        consider(fma(n, ln(max(v, SHARE_MIN)), penalty(n, parameters)), f32(k + 1), 0.0, phi, 0.0);
    }
    var g = rho[1];
    for (var j = 0; j < P_MAX; j++) { g -= phi[j] * rho[j + 2]; }
    mixed(0, rho, v, g, rho[0], n, fixed);
    mixed(1, rho, v, g, rho[0], n, fixed);
    mixed(2, rho, v, g, once, n, fixed);
}

// Residuals of the chosen model into scratch from `e` on; returns the sum of squares of those that judge.
fn residuals(first: i32, e: i32, lanes: i32, samples: i32, d: i32, unit: Unit) -> f32 {
    var lag = array<f32, 6>();
    var before = 0.0;
    var shock = 0.0;
    var total = 0.0;
    var was = false;
    for (var chunk = 0; chunk < samples; chunk += CHUNK) {
        var sum = 0.0;
        for (var t = chunk; t < min(chunk + CHUNK, samples); t++) {
            let v = y[first + t * lanes];
            let there = is_there(v);
            let pair = there && was;
            let z = z_at(d, v, before, there, pair, unit);
            var a = z;
            for (var j = 0; j < P_MAX; j++) { a = fma(-best.phi[j], lag[j], a); }
            shock = select(0.0, a - best.theta * shock, select(pair, there, d == 0));
            scratch[e + t * 64] = shock;
            if (t >= WARM && pair) { sum = fma(shock, shock, sum); }
            for (var j = P_MAX - 1; j > 0; j--) { lag[j] = lag[j - 1]; }
            lag[0] = z;
            before = v;
            was = there;
        }
        total += sum;
    }
    return total;
}

// Sorts n rows, 64 apart: Batcher's merge exchange (Knuth, volume 3, algorithm 5.2.2 M).
fn sort_rows(first: i32, n: i32) {
    var top = 1;
    while (top * 2 < n) { top *= 2; }
    for (var p = top; p > 0; p /= 2) {
        var q = top;
        var r = 0;
        var d = p;
        while (d > 0) {
            for (var i = 0; i < n - d; i++) {
                if ((i & p) == r) {
                    let a = scratch[first + i * 64];
                    let b = scratch[first + (i + d) * 64];
                    scratch[first + i * 64] = min(a, b);
                    scratch[first + (i + d) * 64] = max(a, b);
                }
            }
            d = q - p;
            q /= 2;
            r = p;
        }
    }
}

// Quantile of the first n sorted rows by linear interpolation (R's type 7).
fn quantile(first: i32, n: f32, level: f32) -> f32 {
    let top = n - 1.0;
    let at = level * top;
    let below = i32(at);
    let above = min(below + 1, i32(top));
    let low = scratch[first + below * 64];
    return fma(at - f32(below), scratch[first + above * 64] - low, low);
}

@compute @workgroup_size(64)
fn arima_fit(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) item: vec3<u32>,
) {
    let lanes = scalars.ints[0].x;
    let samples = scalars.ints[0].y;
    let group = i32(wid.x + wid.y * groups.x);
    if (group * 64 >= lanes) { return; }
    let first = group * 64 + i32(item.x);
    let out = group * WORDS * 64 + i32(item.x);
    let e0 = group * 2 * samples * 64 + i32(item.x);
    let e1 = e0 + samples * 64;

    var low = FAR;
    var high = -FAR;
    var last = 0.0;
    var n = 0.0;
    var pairs = 0.0;
    var judged = 0.0;
    var was = false;
    for (var t = 0; t < samples; t++) {
        let v = y[first + t * lanes];
        let there = is_there(v);
        if (there) {
            low = min(low, v);
            high = max(high, v);
            last = v;
            n += 1.0;
        }
        if (there && was) {
            pairs += 1.0;
            if (t >= WARM) { judged += 1.0; }
        }
        was = there;
    }
    let span = high * 0.5 - low * 0.5;
    let varied = span >= SCALE_MIN;
    var scale = 1.0;
    var unit = Unit(0.0, 0.0, 0.0);
    if (varied) {
        scale = bitcast<f32>(bitcast<i32>(span) & 0x7f800000);
        unit.centre = high * 0.5 + low * 0.5;
        unit.inverse = bitcast<f32>(0x7f000000 - bitcast<i32>(scale)); // 1 / scale, exactly
    }
    var total = 0.0;
    for (var chunk = 0; chunk < samples; chunk += CHUNK) {
        var sum = 0.0;
        for (var t = chunk; t < min(chunk + CHUNK, samples); t++) {
            let v = y[first + t * lanes];
            if (is_there(v)) { sum += (v - unit.centre) * unit.inverse; }
        }
        total += sum;
    }
    unit.mean = total / max(n, 1.0);

    var spread = 0.0;
    var chosen: array<Choice, 2>;
    for (var d = 0; d < 2; d++) {
        let fixed = select(1.0, 2.0, d == 0);
        let count = select(pairs, n, d == 0);
        let r = moments(first, lanes, samples, d, count, unit);
        if (d == 0) { spread = r[0]; }
        choose(r, count, fixed);
        let squares = residuals(first, select(e1, e0, d == 0), lanes, samples, d, unit);
        best.variance = max(squares / max(judged, 1.0), VARIANCE_MIN);
        best.aicc = fma(judged, ln(best.variance), penalty(judged, best.p + best.q + fixed));
        chosen[d] = best;
    }

    let fitted = varied && n >= 24.0 && judged >= 12.0;
    let once = fitted && chosen[1].aicc < chosen[0].aicc;
    var nothing = array<f32, 6>();
    var c = Choice(0.0, 0.0, 0.0, 0.0, spread, nothing);
    if (once) { c = chosen[1]; } else if (fitted) { c = chosen[0]; }
    let d = select(0, 1, once);
    fit[out] = select(1.0, 0.0, fitted);
    fit[out + 64] = f32(d);
    fit[out + 2 * 64] = c.p;
    fit[out + 3 * 64] = c.q;
    fit[out + 4 * 64] = select(n, pairs, once);
    fit[out + 5 * 64] = select(0.0, fma(unit.mean, scale, unit.centre), fitted && !once);
    fit[out + 6 * 64] = c.variance * scale * scale;
    fit[out + 7 * 64] = select(0.0, c.aicc + (judged + judged) * ln(scale), fitted);
    for (var i = 0; i < P_MAX; i++) {
        let v = y[first + (samples - 1 - i) * lanes];
        let before = y[first + (samples - 2 - i) * lanes];
        let there = is_there(v);
        let pair = there && is_there(before);
        fit[out + (8 + i) * 64] = c.phi[i];
        fit[out + (15 + i) * 64] = select(0.0, z_at(d, v, before, there, pair, unit) * scale, fitted);
    }
    fit[out + 14 * 64] = c.theta;
    let e = select(e0, e1, once);
    fit[out + 21 * 64] = select(0.0, scratch[e + (samples - 1) * 64] * scale, fitted);
    fit[out + 22 * 64] = last;

    was = is_there(y[first + (WARM - 1) * lanes]);
    for (var t = WARM; t < samples; t++) {
        let there = is_there(y[first + t * lanes]);
        let own = scratch[e + t * 64];
        scratch[e0 + (t - WARM) * 64] = select(FAR, own, there && was);
        was = there;
    }
    if (fitted) { sort_rows(e0, samples - WARM); }
    var levels = array<f32, 5>(0.05, 0.5, 0.9, 0.95, 0.99);
    var normal = array<f32, 5>(-1.6448536, 0.0, 1.2815516, 1.6448536, 2.3263479);
    for (var i = 0; i < 5; i++) {
        var q = sqrt(spread) * normal[i];
        if (fitted) { q = quantile(e0, judged, levels[i]); }
        fit[out + (23 + i) * 64] = q * scale;
    }
}
