/* arima_fit for OpenCL on a CPU: one work item = one group, 16 series to a vector. README.md has the maths, spec.rs the
 * arguments; the passes are those of fallback-cpu/src/arima/.
 *
 * scratch, a group's share [2][samples][64], holds for the 16 series at hand y [samples][16], then [7 + samples][16] each:
 * there (1 or 0), z for d = 0 and 1, residuals for d = 0 and 1. 96 samples + 560 words of 128 samples: 24 samples are enough.
 */
#pragma OPENCL FP_CONTRACT OFF
#define P_MAX 6
#define PAD 7
#define WARM 7
#define CHUNK 16
#define WORDS 28
#define REACH_BITS 0x58800000
#define SCALE_MIN 8.8817842e-16f
#define FAR 3.0e38f
#define NOISE 6.1035156e-5f
#define SHARE_MIN 9.5367432e-7f
#define DET_MIN 9.0949470e-13f
#define VARIANCE_MIN 9.0949470e-13f
#define MARGIN 0.98f
#define GAIN_MIN 0.015625f

__constant float LEVELS[5] = {0.05f, 0.5f, 0.9f, 0.95f, 0.99f};
__constant float NORMAL[5] = {-1.6448536f, 0.0f, 1.2815516f, 1.6448536f, 2.3263479f};

typedef struct {
    float16 aicc, p, q, theta, variance;
    float16 phi[P_MAX];
} Choice;

/* a where the mask is set, else b */
static inline float16 pick(int16 mask, float16 a, float16 b) { return select(b, a, mask); }

static inline int16 is_there(float16 v) { return (as_int16(v) & 0x7fffffff) <= REACH_BITS; }

/* ln x = k ln 2 + 2 atanh((m - 1) / (m + 1)), x = 2^k m, m in [0.707, 1.414). */
static inline float16 ln(float16 x) {
    int16 bits = as_int16(x) + (0x3f800000 - 0x3f3504f3);
    float16 k = convert_float16((bits >> 23) - 127);
    float16 m = as_float16((bits & 0x007fffff) + 0x3f3504f3);
    float16 s = (m - 1.0f) / (m + 1.0f);
    float16 s2 = s * s;
    float16 twice = s + s;
    float16 series = fma((float16)(1.0f / 11.0f), s2, (float16)(1.0f / 9.0f));
    series = fma(series, s2, (float16)(1.0f / 7.0f));
    series = fma(series, s2, (float16)(1.0f / 5.0f));
    series = fma(series, s2, (float16)(1.0f / 3.0f));
    return fma(k, (float16)(0.69314718f), fma(twice * s2, series, twice));
}

/* 2 k + 2 k (k + 1) / (n - k - 1) */
static inline float16 penalty(float16 n, float16 k) {
    float16 twice = k + k;
    return fma(twice, (k + 1.0f) / (n - k - 1.0f), twice);
}

static inline void consider(Choice* best, int16 may, float16 aicc, float p, float q, const float16* phi, float16 theta) {
    int16 better = (aicc < best->aicc) & may;
    best->aicc = pick(better, aicc, best->aicc);
    best->p = pick(better, (float16)(p), best->p);
    best->q = pick(better, (float16)(q), best->q);
    best->theta = pick(better, theta, best->theta);
    for (int j = 0; j < P_MAX; j++) best->phi[j] = pick(better, phi[j], best->phi[j]);
}

/* r_0 .. r_7, sums in parts of 16 terms; z begins with PAD rows of zeros. */
static inline void moments(__global const float16* z, int samples, float16 n, float16* r) {
    for (int k = 0; k < P_MAX + 2; k++) r[k] = (float16)(0.0f);
    for (int chunk = 0; chunk < samples; chunk += CHUNK) {
        int end = min(chunk + CHUNK, samples);
        float16 sum[P_MAX + 2];
        for (int k = 0; k < P_MAX + 2; k++) sum[k] = (float16)(0.0f);
        for (int t = chunk; t < end; t++) {
            float16 now = z[PAD + t];
#pragma unroll
            for (int k = 0; k < P_MAX + 2; k++) sum[k] = fma(now, z[PAD + t - k], sum[k]);
        }
        for (int k = 0; k < P_MAX + 2; k++) r[k] += sum[k];
    }
    float16 share = (float16)(1.0f) / fmax(n, (float16)(1.0f));
    for (int k = 0; k < P_MAX + 2; k++) r[k] *= share;
}

/* ARMA(p, 1) in moments: v, g and before as in reference.rs. */
static inline void mixed(Choice* best, int p, const float16* rho, float16 v, float16 g, float16 before, float16 n, float fixed) {
    float16 zero = (float16)(0.0f);
    float16 phi[P_MAX] = {zero, zero, zero, zero, zero, zero};
    float16 gap = rho[0] - v, rest = rho[1] - g;
    if (p == 1) phi[0] = rest / fmax(gap, (float16)(SHARE_MIN));
    if (p == 2) {
        float16 det = fmax(gap * rho[0] - rho[1] * rho[1], (float16)(DET_MIN));
        phi[0] = (rest * rho[0] - rho[1] * rho[2]) / det;
        phi[1] = (gap * rho[2] - rest * rho[1]) / det;
    }
    float16 theta = g / v - phi[0];
    float16 root = fmax(fabs(phi[0]) + phi[1], fabs(phi[1]));
    int16 may = (root <= MARGIN) & (fabs(theta) <= MARGIN);
    if (p > 0) may &= before - v >= before * GAIN_MIN;
    float16 share = rho[0] - phi[0] * rho[1] - phi[1] * rho[2] - theta * g;
    float16 aicc = fma(n, ln(fmax(share, (float16)(SHARE_MIN))), penalty(n, (float16)((float)(p + 1) + fixed)));
    consider(best, may, aicc, (float)p, 1.0f, phi, theta);
}

/* The order with the least criterion of one difference. */
static inline void choose(Choice* best, const float16* r, float16 n, float fixed) {
    float16 zero = (float16)(0.0f), one = (float16)(1.0f);
    int16 all = zero == zero;
    float16 rho[P_MAX + 2], phi[P_MAX], old[P_MAX];
    float16 scale = pick(r[0] > zero, one / r[0], zero);
    for (int k = 0; k < P_MAX + 2; k++) rho[k] = r[k] * scale;
    rho[0] = (float16)(1.0f + NOISE);
    for (int j = 0; j < P_MAX; j++) best->phi[j] = phi[j] = zero;
    float16 v = rho[0], first = v;
    best->p = best->q = best->theta = zero;
    best->aicc = fma(n, ln(v), penalty(n, (float16)(fixed)));
#pragma unroll
    for (int k = 0; k < P_MAX; k++) {
        float16 sum = rho[k + 1];
        for (int j = 0; j < k; j++) sum -= phi[j] * rho[k - j];
        float16 reflection = sum / v;
        for (int j = 0; j < k; j++) old[j] = phi[j];
        for (int j = 0; j < k; j++) phi[j] = old[j] - reflection * old[k - 1 - j];
        phi[k] = reflection;
        v *= one - reflection * reflection;
        if (k == 0) first = v;
        float16 aicc = fma(n, ln(fmax(v, (float16)(SHARE_MIN))), penalty(n, (float16)((float)(k + 1) + fixed)));
        consider(best, all, aicc, (float)(k + 1), 0.0f, phi, zero);
    }
    float16 g = rho[1];
    for (int j = 0; j < P_MAX; j++) g -= phi[j] * rho[j + 2];
    mixed(best, 0, rho, v, g, rho[0], n, fixed);
    mixed(best, 1, rho, v, g, rho[0], n, fixed);
    mixed(best, 2, rho, v, g, first, n, fixed);
}

/* Residuals of a model; returns the sum of squares of those that judge. */
static inline float16 residuals(__global const float16* z, __global const float16* there, __global float16* e, int samples,
                                int d, const Choice* c) {
    float16 shock = (float16)(0.0f), before = shock, total = shock, minus[P_MAX];
    for (int j = 0; j < P_MAX; j++) minus[j] = 0.0f - c->phi[j];
    for (int chunk = 0; chunk < samples; chunk += CHUNK) {
        int end = min(chunk + CHUNK, samples);
        float16 sum = (float16)(0.0f);
        for (int t = chunk; t < end; t++) {
            float16 a = z[PAD + t];
#pragma unroll
            for (int j = 0; j < P_MAX; j++) a = fma(minus[j], z[PAD + t - 1 - j], a);
            float16 now = there[PAD + t], pair = now * before;
            shock = (a - c->theta * shock) * (d == 0 ? now : pair);
            e[PAD + t] = shock;
            if (t >= WARM) sum = fma(shock * pair, shock * pair, sum);
            before = now;
        }
        total += sum;
    }
    return total;
}

/* Sorts n rows: Batcher's merge exchange (Knuth, volume 3, algorithm 5.2.2 M). */
static inline void sort_rows(__global float16* rows, int n) {
    int top = 1;
    while (top * 2 < n) top *= 2;
    for (int p = top; p > 0; p /= 2) {
        int q = top, r = 0, d = p;
        while (d > 0) {
            for (int first = r; first + d < n; first += 2 * p) {
                int end = min(first + p, n - d);
                for (int i = first; i < end; i++) {
                    float16 a = rows[i], b = rows[i + d];
                    rows[i] = pick(b < a, b, a);
                    rows[i + d] = pick(b < a, a, b);
                }
            }
            d = q - p;
            q /= 2;
            r = p;
        }
    }
}

/* Quantile of the first n (per lane) sorted rows by linear interpolation (R's type 7). */
static inline float16 quantile(__global const float* rows, float16 n, float level) {
    float count[16], low[16], high[16], share[16];
    vstore16(n, 0, count);
    for (int lane = 0; lane < 16; lane++) {
        float top = count[lane] - 1.0f, at = level * top;
        int below = (int)at, above = min(below + 1, (int)top);
        low[lane] = rows[below * 16 + lane];
        high[lane] = rows[above * 16 + lane];
        share[lane] = at - (float)below;
    }
    float16 lower = vload16(0, low);
    return fma(vload16(0, share), vload16(0, high) - lower, lower);
}

static inline void write(__global float* out, int word, float16 v) { vstore16(v, 0, out + word * 64); }

/* 16 series: y their first sample, out their first word. */
static void fit16(__global const float* y, __global float* out, __global float16* work, int lanes, int samples) {
    const float16 zero = (float16)(0.0f), one = (float16)(1.0f);
    __global float16* in = work;
    __global float16* there = in + samples;
    __global float16* z[2] = {there + PAD + samples, there + 2 * (PAD + samples)};
    __global float16* e[2] = {there + 3 * (PAD + samples), there + 4 * (PAD + samples)};
    for (int t = 0; t < PAD; t++) there[t] = z[0][t] = z[1][t] = zero;
    float16 low = (float16)(FAR), high = (float16)(-FAR), last = zero;
    float16 n = zero, pairs = zero, judged = zero, before = zero;
    for (int t = 0; t < samples; t++) {
        float16 v = vload16(0, y + t * lanes);
        int16 is = is_there(v);
        float16 now = pick(is, one, zero), pair = now * before;
        in[t] = v;
        there[PAD + t] = now;
        low = pick(is & (v < low), v, low);
        high = pick(is & (v > high), v, high);
        last = pick(is, v, last);
        n += now;
        pairs += pair;
        if (t >= WARM) judged += pair;
        before = now;
    }
    float16 half_range = high * 0.5f - low * 0.5f;
    int16 varied = half_range >= SCALE_MIN;
    float16 scale = as_float16(as_int16(pick(varied, half_range, one)) & 0x7f800000);
    float16 centre = pick(varied, high * 0.5f + low * 0.5f, zero);
    float16 inverse = pick(varied, one / scale, zero);
    float16 mean = zero;
    for (int chunk = 0; chunk < samples; chunk += CHUNK) {
        int end = min(chunk + CHUNK, samples);
        float16 sum = zero;
        for (int t = chunk; t < end; t++) sum += pick(there[PAD + t] > zero, (in[t] - centre) * inverse, zero);
        mean += sum;
    }
    mean /= fmax(n, one);
    for (int t = 0; t < samples; t++) {
        int16 is = there[PAD + t] > zero, was = there[PAD + t - 1] > zero;
        z[0][PAD + t] = pick(is, (in[t] - centre) * inverse - mean, zero);
        z[1][PAD + t] = t > 0 ? pick(is & was, (in[t] - in[t > 0 ? t - 1 : 0]) * inverse, zero) : zero;
    }

    Choice c[2];
    float16 spread = zero;
    for (int d = 0; d < 2; d++) {
        float16 r[P_MAX + 2], count = d == 0 ? n : pairs;
        float fixed = d == 0 ? 2.0f : 1.0f;
        moments(z[d], samples, count, r);
        if (d == 0) spread = r[0];
        choose(&c[d], r, count, fixed);
        float16 squares = residuals(z[d], there, e[d], samples, d, &c[d]);
        c[d].variance = fmax(squares / fmax(judged, one), (float16)(VARIANCE_MIN));
        c[d].aicc = fma(judged, ln(c[d].variance), penalty(judged, c[d].p + c[d].q + fixed));
    }

    int16 fitted = varied & (n >= 24.0f) & (judged >= 12.0f);
    int16 once = (c[1].aicc < c[0].aicc) & fitted;
#define CHOSEN(a, b) pick(fitted, pick(once, b, a), zero)
    float16 in_unit = (judged + judged) * ln(scale);
    write(out, 0, pick(fitted, zero, one));
    write(out, 1, pick(once, one, zero));
    write(out, 2, CHOSEN(c[0].p, c[1].p));
    write(out, 3, CHOSEN(c[0].q, c[1].q));
    write(out, 4, pick(once, pairs, n));
    write(out, 5, CHOSEN(fma(mean, scale, centre), zero));
    write(out, 6, pick(fitted, pick(once, c[1].variance, c[0].variance), spread) * scale * scale);
    write(out, 7, CHOSEN(c[0].aicc + in_unit, c[1].aicc + in_unit));
    for (int j = 0; j < P_MAX; j++) {
        int t = PAD + samples - 1 - j;
        write(out, 8 + j, CHOSEN(c[0].phi[j], c[1].phi[j]));
        write(out, 15 + j, CHOSEN(z[0][t], z[1][t]) * scale);
    }
    write(out, 14, CHOSEN(c[0].theta, c[1].theta));
    int newest = PAD + samples - 1;
    write(out, 21, CHOSEN(e[0][newest], e[1][newest]) * scale);
    write(out, 22, last);

    int judges = samples - WARM;
    for (int i = 0; i < judges; i++) {
        int t = PAD + WARM + i;
        float16 pair = there[t] * there[t - 1];
        e[0][i] = pick(pair > zero, pick(once, e[1][t], e[0][t]), (float16)(FAR));
    }
    sort_rows(e[0], judges);
    float16 deviation = sqrt(spread);
    for (int i = 0; i < 5; i++) {
        float16 q = quantile((__global const float*)e[0], fmax(judged, one), LEVELS[i]);
        write(out, 23 + i, pick(fitted, q, deviation * NORMAL[i]) * scale);
    }
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void arima_fit(__global const float* restrict y,
                                                                       __global float* restrict fit,
                                                                       __global float* restrict scratch, int lanes,
                                                                       int samples) {
    int group = get_global_id(0);
    __global float16* work = (__global float16*)(scratch + group * 2 * samples * 64);
    for (int first = 0; first < 64; first += 16) {
        fit16(y + group * 64 + first, fit + group * WORDS * 64 + first, work, lanes, samples);
    }
}
