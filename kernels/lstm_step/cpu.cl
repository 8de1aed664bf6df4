/* One tick of the LSTM and its quantile head for OpenCL devices that are processors: one work item per group of 64 lanes,
 * in vectors of 16; README.md has the maths, spec.rs the layout.
 *
 * Four outputs (the gates of a unit, or a quad of the head) times UNROLL vectors stay in registers while the inputs go by.
 */
#pragma OPENCL FP_CONTRACT OFF
#define STEP 1
#define RESET 2
#define TARGETS 4
#define LEVELS 5
#define OUTPUTS (TARGETS * LEVELS)
#define UNROLL 2
#define TILE (16 * UNROLL)
/* 128 values of h and 256 statistics; the width of the head. */
#define MAX_INPUTS 384
#define MAX_WIDE 256

/* x p(x^2) / q(x^2), held where it reaches 1; the coefficients of fallback-cpu/src/math.rs. */
static inline float16 lstm_tanh(float16 x) {
    x = x > -7.9f ? x : -7.9f;
    x = x < 7.9f ? x : 7.9f;
    const float16 y = x * x;
    float16 p = fma((float16)1.1414602e-5f, y, (float16)2.9485042e-3f);
    p = fma(p, y, (float16)1.2922679e-1f);
    p = fma(p, y, (float16)9.999994e-1f);
    float16 q = fma((float16)2.4572176e-7f, y, (float16)2.3839438e-4f);
    q = fma(q, y, (float16)2.380348e-2f);
    q = fma(q, y, (float16)4.62558e-1f);
    q = fma(q, y, (float16)1.0f);
    return p * x / q;
}

/* (1 + tanh(x / 2)) / 2 with the halves in the coefficients: powers of two change no rounding. */
static inline float16 lstm_sigmoid(float16 x) {
    x = x > -15.8f ? x : -15.8f;
    x = x < 15.8f ? x : 15.8f;
    const float16 y = x * x;
    float16 p = fma((float16)(1.1414602e-5f / 256.0f), y, (float16)(2.9485042e-3f / 64.0f));
    p = fma(p, y, (float16)(1.2922679e-1f / 16.0f));
    p = fma(p, y, (float16)(9.999994e-1f / 4.0f));
    float16 q = fma((float16)(2.4572176e-7f / 256.0f), y, (float16)(2.3839438e-4f / 64.0f));
    q = fma(q, y, (float16)(2.380348e-2f / 16.0f));
    q = fma(q, y, (float16)(4.62558e-1f / 4.0f));
    q = fma(q, y, (float16)1.0f);
    return p * x / q + 0.5f;
}

/* ln(1 + e^x): e = e^-|x| by reduction to [-ln 2 / 2, ln 2 / 2], then 2 atanh(e / (2 + e)). */
static inline float16 lstm_softplus(float16 x) {
    const float16 v = fmax(-fabs(x), (float16)-87.0f);
    const int16 k = convert_int16(fma(v, (float16)1.442695041f, (float16)-0.5f));
    const float16 kf = convert_float16(k);
    const float16 r = fma(kf, (float16)2.1219444e-4f, fma(kf, (float16)-0.6933594f, v));
    float16 p = fma((float16)1.9875691e-4f, r, (float16)1.3982e-3f);
    p = fma(p, r, (float16)8.333452e-3f);
    p = fma(p, r, (float16)4.1665796e-2f);
    p = fma(p, r, (float16)1.6666665e-1f);
    p = fma(p, r, (float16)0.5f);
    const float16 e = (fma(p, r * r, r) + 1.0f) * as_float16((k + 127) << 23);
    const float16 t = e / (e + 2.0f);
    const float16 y = t * t;
    p = fma((float16)(1.0f / 13.0f), y, (float16)(1.0f / 11.0f));
    p = fma(p, y, (float16)(1.0f / 9.0f));
    p = fma(p, y, (float16)(1.0f / 7.0f));
    p = fma(p, y, (float16)(1.0f / 5.0f));
    p = fma(p, y, (float16)(1.0f / 3.0f));
    p = fma(p, y, (float16)1.0f);
    return fma(t + t, p, fmax(x, 0.0f));
}

/* Four sums of a tile, from a quad of biases and, `skip` quads apart, a quad of weights per row of v. */
#define SUMS(acc, w, bias, first, skip, v, count)                                         \
    float16 acc[4][UNROLL];                                                               \
    _Pragma("unroll") for (int j = 0; j < 4; j++)                                         \
        _Pragma("unroll") for (int u = 0; u < UNROLL; u++) acc[j][u] = (w)[4 * (bias) + j]; \
    for (int k = 0; k < (count); k++) {                                                   \
        float16 in[UNROLL];                                                               \
        _Pragma("unroll") for (int u = 0; u < UNROLL; u++) in[u] = vload16(k * UNROLL + u, (v)); \
        _Pragma("unroll") for (int j = 0; j < 4; j++) {                                   \
            const float16 weight = (w)[4 * ((first) + k * (skip)) + j];                   \
            _Pragma("unroll") for (int u = 0; u < UNROLL; u++) acc[j][u] = fma(in[u], weight, acc[j][u]); \
        }                                                                                 \
    }

/* The bits of v where the mask is set, 0 elsewhere. */
static inline float16 lstm_masked(float16 v, int16 mask) {
    return as_float16(as_int16(v) & mask);
}

/* `new` where the mask is set, the bits of `old` elsewhere. */
static inline float16 lstm_chosen(float16 new, float16 old, int16 mask) {
    return as_float16((as_int16(new) & mask) | (as_int16(old) & ~mask));
}

/* `count` rows of a tile, `stride` words apart, to v. */
static inline void lstm_gather(__global const float* restrict from, int stride, int count, const int16* mask, float* v) {
    for (int k = 0; k < count; k++)
#pragma unroll
        for (int u = 0; u < UNROLL; u++)
            vstore16(lstm_masked(vload16(u, from + k * stride), mask[u]), k * UNROLL + u, v);
}

/* One layer for a tile: v is what enters it and the h before, [inputs]; before and after are [h, c][hidden] with stride
 * 64. Lanes that hold keep their state.
 */
static inline void lstm_layer(__global const float* restrict w, const float* v, int inputs, int hidden,
                              __global const float* restrict before, __global float* restrict after,
                              const int16* keep, const int16* move) {
    for (int unit = 0; unit < hidden; unit++) {
        const int quad = unit * (1 + inputs);
        SUMS(acc, w, quad, quad + 1, 1, v, inputs)
#pragma unroll
        for (int u = 0; u < UNROLL; u++) {
            const float16 old_h = lstm_masked(vload16(u, before + unit * 64), keep[u]);
            const float16 old_c = lstm_masked(vload16(u, before + (hidden + unit) * 64), keep[u]);
            const float16 added = lstm_sigmoid(acc[0][u]) * lstm_tanh(acc[2][u]);
            const float16 c = fma(lstm_sigmoid(acc[1][u]), old_c, added);
            const float16 h = lstm_sigmoid(acc[3][u]) * lstm_tanh(c);
            vstore16(lstm_chosen(h, old_h, move[u]), u, after + unit * 64);
            vstore16(lstm_chosen(c, old_c, move[u]), u, after + (hidden + unit) * 64);
        }
    }
}

/* The head for a tile: v is [h, stats], [inputs]; z has room for the first layer; out is [OUTPUTS] with stride 64. */
static inline void lstm_head(__global const float* restrict w, const float* v, int inputs, int width, float* z,
                             __global float* restrict out, const int16* move) {
    const int rows = (width + 3) / 4;
    for (int row = 0; row < rows; row++) {
        const int quad = row * (1 + inputs);
        SUMS(acc, w, quad, quad + 1, 1, v, inputs)
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int u = 0; u < UNROLL; u++) vstore16(fmax(acc[j][u], 0.0f), (4 * row + j) * UNROLL + u, z);
    }
    const int second = rows * (1 + inputs);
    float16 o[OUTPUTS][UNROLL];
    for (int quad = 0; quad < OUTPUTS / 4; quad++) {
        SUMS(acc, w, second + quad, second + OUTPUTS / 4 + quad, OUTPUTS / 4, z, 4 * rows)
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int u = 0; u < UNROLL; u++) o[4 * quad + j][u] = acc[j][u];
    }
    for (int first = 0; first < OUTPUTS; first += LEVELS)
        for (int u = 0; u < UNROLL; u++) {
            float16 q = o[first + 1][u];
            vstore16(lstm_masked(q - lstm_softplus(o[first][u]), move[u]), u, out + first * 64);
            vstore16(lstm_masked(q, move[u]), u, out + (first + 1) * 64);
            for (int level = 2; level < LEVELS; level++) {
                q += lstm_softplus(o[first + level][u]);
                vstore16(lstm_masked(q, move[u]), u, out + (first + level) * 64);
            }
        }
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void lstm_step(
    __global const int* restrict mode, __global const float* restrict x, __global const float* restrict stats,
    __global const float* restrict weights, __global const float* restrict state_in,
    __global float* restrict state_out, __global float* restrict out, int lanes, int input, int hidden, int layers,
    int stats_count, int width) {
    const int group = (int)get_global_id(0);
    const int values = layers * 2 * hidden;
    float v[MAX_INPUTS * TILE];
    float z[MAX_WIDE * TILE];
    if (width == 0 && group == 0)
        for (int i = 0; i < 64; i++) out[i] = 0.0f;
    for (int tile = 0; tile < 64; tile += TILE) {
        int16 keep[UNROLL], move[UNROLL], all[UNROLL];
        for (int u = 0; u < UNROLL; u++) {
            const int16 m = vload16(u, mode + group * 64 + tile);
            keep[u] = (m & RESET) == 0;
            move[u] = (m & STEP) != 0;
            all[u] = -1;
        }
        __global const float* w = weights;
        int entering = input;
        lstm_gather(x + group * 64 + tile, lanes, input, all, v);
        for (int layer = 0; layer < layers; layer++) {
            const int at = (group * values + layer * 2 * hidden) * 64 + tile;
            lstm_gather(state_in + at, 64, hidden, keep, v + entering * TILE);
            lstm_layer(w, v, entering + hidden, hidden, state_in + at, state_out + at, keep, move);
            w += 4 * hidden * (1 + entering + hidden);
            lstm_gather(state_out + at, 64, hidden, all, v);
            entering = hidden;
        }
        if (width > 0) {
            lstm_gather(stats + group * 64 + tile, lanes, stats_count, all, v + hidden * TILE);
            lstm_head(w, v, hidden + stats_count, width, z, out + group * OUTPUTS * 64 + tile, move);
        }
    }
}
