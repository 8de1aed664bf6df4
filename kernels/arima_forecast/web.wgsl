// arima_forecast, one invocation = one series. README.md has the maths, spec.rs the arguments.

struct Scalars { ints: array<vec4<i32>, 3>, floats: vec4<f32> }

@group(0) @binding(0) var<storage, read> fit: array<f32>;
@group(0) @binding(1) var<storage, read_write> mean: array<f32>;
@group(0) @binding(2) var<storage, read_write> variance: array<f32>;
@group(0) @binding(8) var<uniform> scalars: Scalars;

const P_MAX = 6;
const WORDS = 28;
const VARIANCE_MAX = 3.0e38;

@compute @workgroup_size(64)
fn arima_forecast(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) item: vec3<u32>,
) {
    let lanes = scalars.ints[0].x;
    let steps = scalars.ints[0].y;
    let group = i32(wid.x + wid.y * groups.x);
    if (group * 64 >= lanes) { return; }
    let first = group * WORDS * 64 + i32(item.x);
    let out = group * steps * 64 + i32(item.x);
    var phi = array<f32, 6>();
    var f = array<f32, 6>();
    var psi = array<f32, 6>();
    for (var j = 0; j < P_MAX; j++) {
        phi[j] = fit[first + (8 + j) * 64];
        f[j] = fit[first + (15 + j) * 64];
        psi[j] = 0.0;
    }
    let once = fit[first + 64] > 0.0;
    let innovation = fit[first + 6 * 64];
    let theta = fit[first + 14 * 64];
    var level = fit[first + 5 * 64];
    if (once || fit[first] > 0.0) { level = fit[first + 22 * 64]; }
    // theta meets the newest residual in the first step, and the first new shock in the second.
    var shock = theta * fit[first + 21 * 64];
    var impulse = 1.0;
    var then = theta;
    var weight = 0.0;
    var squares = 0.0;
    for (var h = 0; h < steps; h++) {
        var next = shock;
        var response = impulse;
        for (var j = 0; j < P_MAX; j++) {
            next = fma(phi[j], f[j], next);
            response = fma(phi[j], psi[j], response);
        }
        for (var j = P_MAX - 1; j > 0; j--) {
            f[j] = f[j - 1];
            psi[j] = psi[j - 1];
        }
        f[0] = next;
        psi[0] = response;
        shock = 0.0;
        impulse = then;
        then = 0.0;
        let value = level + next;
        if (once) {
            level = value;
            weight += response;
        } else {
            weight = response;
        }
        squares = fma(weight, weight, squares);
        mean[out + h * 64] = value;
        variance[out + h * 64] = min(innovation * squares, VARIANCE_MAX);
    }
}
