/* One tick of the LSTM and its quantile head, one item per lane; README.md has the maths, spec.rs the layout.
 *
 * Sixteen outputs (the gates of four units, or four quads of the head) are summed at a time, so that a value of x or h is
 * loaded once for sixteen multiply-adds. Weights are the same for all items: one load of four feeds a whole group. Where
 * the outputs are not a multiple of four units, the last block repeats the last unit, which writes the same again.
 */
#define STEP 1
#define RESET 2
#define TARGETS 4
#define LEVELS 5
#define OUTPUTS (TARGETS * LEVELS)

/* x p(x^2) / q(x^2), held where it reaches 1; the coefficients of fallback-cpu/src/math.rs. */
DEVFN float lstm_tanh(float x) {
    const float v = FMIN(FMAX(x, -7.9f), 7.9f);
    const float y = v * v;
    float p = FMA(1.1414602e-5f, y, 2.9485042e-3f);
    p = FMA(p, y, 1.2922679e-1f);
    p = FMA(p, y, 9.999994e-1f);
    float q = FMA(2.4572176e-7f, y, 2.3839438e-4f);
    q = FMA(q, y, 2.380348e-2f);
    q = FMA(q, y, 4.62558e-1f);
    q = FMA(q, y, 1.0f);
    return p * v / q;
}

DEVFN float lstm_sigmoid(float x) {
    return FMA(0.5f, lstm_tanh(0.5f * x), 0.5f);
}

/* ln(1 + e^x): e = e^-|x| by reduction to [-ln 2 / 2, ln 2 / 2], then 2 atanh(e / (2 + e)). */
DEVFN float lstm_softplus(float x) {
    const float v = FMAX(-FABS(x), -87.0f);
    const int k = (int)FMA(v, 1.442695041f, -0.5f);
    const float kf = (float)k;
    const float r = FMA(kf, 2.1219444e-4f, FMA(kf, -0.6933594f, v));
    float p = FMA(1.9875691e-4f, r, 1.3982e-3f);
    p = FMA(p, r, 8.333452e-3f);
    p = FMA(p, r, 4.1665796e-2f);
    p = FMA(p, r, 1.6666665e-1f);
    p = FMA(p, r, 0.5f);
    const float e = (FMA(p, r * r, r) + 1.0f) * AS_FLOAT((k + 127) << 23);
    const float t = e / (e + 2.0f);
    const float y = t * t;
    p = FMA(1.0f / 13.0f, y, 1.0f / 11.0f);
    p = FMA(p, y, 1.0f / 9.0f);
    p = FMA(p, y, 1.0f / 7.0f);
    p = FMA(p, y, 1.0f / 5.0f);
    p = FMA(p, y, 1.0f / 3.0f);
    p = FMA(p, y, 1.0f);
    return FMA(t + t, p, FMAX(x, 0.0f));
}

/* The j-th of four things from `first` on, at most the last. */
DEVFN int lstm_at_most(int index, int last) {
    return index < last ? index : last;
}

/* acc[0..3] = quad `at` of w. */
DEVFN void lstm_bias(float* acc, GLOBAL const float* RESTRICT w, int at) {
    LOAD4(w, at, acc[0], acc[1], acc[2], acc[3]);
}

/* acc[0..3] += v times quad `at` of w. */
DEVFN void lstm_add(float* acc, float v, GLOBAL const float* RESTRICT w, int at) {
    float a, b, c, d;
    LOAD4(w, at, a, b, c, d);
    acc[0] = FMA(v, a, acc[0]);
    acc[1] = FMA(v, b, acc[1]);
    acc[2] = FMA(v, c, acc[2]);
    acc[3] = FMA(v, d, acc[3]);
}

/* Four units of a layer, from `unit` on, for one lane. `below` is what enters the layer, [input] with a stride; h_in and
 * state_out are [h, c][hidden] with stride 64. The state counts as 0 where `keep` is 0.
 */
DEVFN void lstm_units(GLOBAL const float* RESTRICT w, GLOBAL const float* below, int stride, int input, int hidden,
                      GLOBAL const float* RESTRICT state_in, int keep, GLOBAL float* state_out, int unit) {
    const int quads = 1 + input + hidden;
    float acc[16];
    int at[4];
    for (int j = 0; j < 4; j++) {
        at[j] = lstm_at_most(unit + j, hidden - 1) * quads;
        lstm_bias(acc + 4 * j, w, at[j]);
    }
    for (int k = 0; k < input; k++) {
        const float v = below[k * stride];
        for (int j = 0; j < 4; j++) lstm_add(acc + 4 * j, v, w, at[j] + 1 + k);
    }
    for (int k = 0; k < hidden; k++) {
        const float v = keep ? state_in[k * 64] : 0.0f;
        for (int j = 0; j < 4; j++) lstm_add(acc + 4 * j, v, w, at[j] + 1 + input + k);
    }
    for (int j = 0; j < 4; j++) {
        const int u = lstm_at_most(unit + j, hidden - 1);
        const float before = keep ? state_in[(hidden + u) * 64] : 0.0f;
        const float added = lstm_sigmoid(acc[4 * j]) * lstm_tanh(acc[4 * j + 2]);
        const float c = FMA(lstm_sigmoid(acc[4 * j + 1]), before, added);
        state_out[(hidden + u) * 64] = c;
        state_out[u * 64] = lstm_sigmoid(acc[4 * j + 3]) * lstm_tanh(c);
    }
}

/* The head for one lane: h [hidden] with stride 64, stats [count] with stride lanes, out [OUTPUTS] with stride 64. A value
 * of the first layer goes into all outputs as soon as it is known.
 */
DEVFN void lstm_head(GLOBAL const float* RESTRICT w, GLOBAL const float* h, int hidden, GLOBAL const float* RESTRICT stats,
                     int lanes, int count, int width, GLOBAL float* RESTRICT out) {
    const int rows = (width + 3) / 4;
    const int quads = 1 + hidden + count;
    const int second = rows * quads;
    float o[OUTPUTS];
    for (int j = 0; j < OUTPUTS / 4; j++) lstm_bias(o + 4 * j, w, second + j);
    for (int row = 0; row < rows; row += 4) {
        float acc[16];
        int at[4];
        for (int j = 0; j < 4; j++) {
            at[j] = lstm_at_most(row + j, rows - 1) * quads;
            lstm_bias(acc + 4 * j, w, at[j]);
        }
        for (int k = 0; k < hidden; k++) {
            const float v = h[k * 64];
            for (int j = 0; j < 4; j++) lstm_add(acc + 4 * j, v, w, at[j] + 1 + k);
        }
        for (int k = 0; k < count; k++) {
            const float v = stats[k * lanes];
            for (int j = 0; j < 4; j++) lstm_add(acc + 4 * j, v, w, at[j] + 1 + hidden + k);
        }
        for (int j = 0; j < 16; j++) {
            const int z = 4 * row + j;
            if (z < 4 * rows) {
                const float v = FMAX(acc[j], 0.0f);
                for (int i = 0; i < OUTPUTS / 4; i++) lstm_add(o + 4 * i, v, w, second + OUTPUTS / 4 * (1 + z) + i);
            }
        }
    }
    for (int target = 0; target < TARGETS; target++) {
        const int first = target * LEVELS;
        float q = o[first + 1];
        out[first * 64] = q - lstm_softplus(o[first]);
        out[(first + 1) * 64] = q;
        for (int level = 2; level < LEVELS; level++) {
            q += lstm_softplus(o[first + level]);
            out[(first + level) * 64] = q;
        }
    }
}

KERNEL void lstm_step(GLOBAL const int* RESTRICT mode, GLOBAL const float* RESTRICT x, GLOBAL const float* RESTRICT stats,
                      GLOBAL const float* RESTRICT weights, GLOBAL const float* RESTRICT state_in,
                      GLOBAL float* RESTRICT state_out, GLOBAL float* RESTRICT out, int lanes, int input, int hidden,
                      int layers, int stats_count, int width) {
    PHASE {
        const int lane = GROUP_ID * 64 + ITEM;
        const int values = layers * 2 * hidden;
        const int state = GROUP_ID * values * 64 + ITEM;
        const int result = GROUP_ID * OUTPUTS * 64 + ITEM;
        const int keep = (mode[lane] & RESET) == 0;
        if (mode[lane] & STEP) {
            GLOBAL const float* w = weights;
            GLOBAL const float* below = x + lane;
            int stride = lanes;
            int entering = input;
            for (int layer = 0; layer < layers; layer++) {
                const int at = state + layer * 2 * hidden * 64;
                for (int unit = 0; unit < hidden; unit += 4)
                    lstm_units(w, below, stride, entering, hidden, state_in + at, keep, state_out + at, unit);
                w += 4 * hidden * (1 + entering + hidden);
                below = state_out + at;
                stride = 64;
                entering = hidden;
            }
            if (width > 0) lstm_head(w, below, hidden, stats + lane, lanes, stats_count, width, out + result);
        } else {
            for (int v = 0; v < values; v++) state_out[state + v * 64] = keep ? state_in[state + v * 64] : 0.0f;
            if (width > 0)
                for (int v = 0; v < OUTPUTS; v++) out[result + v * 64] = 0.0f;
        }
        if (width == 0 && GROUP_ID == 0) out[ITEM] = 0.0f;
    } END_PHASE
}
