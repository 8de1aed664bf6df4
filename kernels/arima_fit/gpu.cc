/* arima_fit, one item = one series. README.md has the maths, spec.rs the arguments; opencl.h says what the names mean.
 * scratch [lanes/64][2][samples][64] holds the residuals of either difference, then the sorted ones.
 */
#define P_MAX 6
#define WARM 7
#define CHUNK 16
#define WORDS 28
#define REACH_BITS 0x58800000 /* 2^50: a larger magnitude, an infinity and NaN have more bits set */
#define SCALE_MIN 8.8817842e-16f
#define FAR 3.0e38f
#define NOISE 6.1035156e-5f
#define SHARE_MIN 9.5367432e-7f
#define DET_MIN 9.0949470e-13f
#define VARIANCE_MIN 9.0949470e-13f
#define MARGIN 0.98f
#define GAIN_MIN 0.015625f

CONSTANT float LEVELS[5] = {0.05f, 0.5f, 0.9f, 0.95f, 0.99f};
CONSTANT float NORMAL[5] = {-1.6448536f, 0.0f, 1.2815516f, 1.6448536f, 2.3263479f};

typedef struct {
    float aicc, p, q, theta, variance;
    float phi[P_MAX];
} ArimaChoice;

/* What turns a sample into a scaled one. */
typedef struct {
    float centre, inverse, mean;
} ArimaUnit;

DEVFN int arima_there(float v) { return (AS_INT(v) & 0x7fffffff) <= REACH_BITS; }

/* ln x = k ln 2 + 2 atanh((m - 1) / (m + 1)), x = 2^k m, m in [0.707, 1.414). */
DEVFN float arima_ln(float x) {
    int bits = AS_INT(x) + (0x3f800000 - 0x3f3504f3);
    float k = (float)((bits >> 23) - 127);
    float m = AS_FLOAT((bits & 0x007fffff) + 0x3f3504f3);
    float s = (m - 1.0f) / (m + 1.0f);
    float s2 = s * s;
    float series = 1.0f / 11.0f;
    float twice = s + s;
    series = FMA(series, s2, 1.0f / 9.0f);
    series = FMA(series, s2, 1.0f / 7.0f);
    series = FMA(series, s2, 1.0f / 5.0f);
    series = FMA(series, s2, 1.0f / 3.0f);
    return FMA(k, 0.69314718f, FMA(twice * s2, series, twice));
}

/* 2 k + 2 k (k + 1) / (n - k - 1) */
DEVFN float arima_penalty(float n, float k) {
    float twice = k + k;
    return FMA(twice, (k + 1.0f) / (n - k - 1.0f), twice);
}

/* The (differenced) series less its mean at a sample; 0 where missing. */
DEVFN float arima_z(int d, float v, float before, int there, int pair, const ArimaUnit* unit) {
    if (d == 0) {
        return there ? (v - unit->centre) * unit->inverse - unit->mean : 0.0f;
    }
    return pair ? (v - before) * unit->inverse : 0.0f;
}

DEVFN void arima_consider(ArimaChoice* best, float aicc, float p, float q, const float* phi, float theta) {
    int j;
    if (aicc < best->aicc) {
        best->aicc = aicc;
        best->p = p;
        best->q = q;
        best->theta = theta;
        for (j = 0; j < P_MAX; j++) {
            best->phi[j] = phi[j];
        }
    }
}

/* r_0 .. r_7, sums in parts of 16 terms. */
DEVFN void arima_moments(GLOBAL const float* y, int lanes, int samples, int d, float n, const ArimaUnit* unit, float* r) {
    float lag[P_MAX + 2], sum[P_MAX + 2];
    float before = 0.0f, share = 1.0f / FMAX(n, 1.0f);
    int t, k, chunk, was = 0;
    for (k = 0; k < P_MAX + 2; k++) {
        r[k] = 0.0f;
        lag[k] = 0.0f;
    }
    for (chunk = 0; chunk < samples; chunk += CHUNK) {
        int end = chunk + CHUNK < samples ? chunk + CHUNK : samples;
        for (k = 0; k < P_MAX + 2; k++) {
            sum[k] = 0.0f;
        }
        for (t = chunk; t < end; t++) {
            float v = y[t * lanes];
            int there = arima_there(v);
            for (k = P_MAX + 1; k > 0; k--) {
                lag[k] = lag[k - 1];
            }
            lag[0] = arima_z(d, v, before, there, there & was, unit);
            for (k = 0; k < P_MAX + 2; k++) {
                sum[k] = FMA(lag[0], lag[k], sum[k]);
            }
            before = v;
            was = there;
        }
        for (k = 0; k < P_MAX + 2; k++) {
            r[k] += sum[k];
        }
    }
    for (k = 0; k < P_MAX + 2; k++) {
        r[k] *= share;
    }
}

/* ARMA(p, 1) in moments: v, g and before as in reference.rs. */
DEVFN void arima_mixed(ArimaChoice* best, int p, const float* rho, float v, float g, float before, float n, float fixed) {
    float phi[P_MAX] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
    float gap = rho[0] - v, rest = rho[1] - g;
    float theta, root, share;
    int may = 1;
    if (p == 1) {
        phi[0] = rest / FMAX(gap, SHARE_MIN);
    }
    if (p == 2) {
        float det = FMAX(gap * rho[0] - rho[1] * rho[1], DET_MIN);
        phi[0] = (rest * rho[0] - rho[1] * rho[2]) / det;
        phi[1] = (gap * rho[2] - rest * rho[1]) / det;
    }
    theta = g / v - phi[0];
    root = FMAX(FABS(phi[0]) + phi[1], FABS(phi[1]));
    if (p > 0) {
        may = before - v >= before * GAIN_MIN;
    }
    if (may && root <= MARGIN && FABS(theta) <= MARGIN) {
        float k = (float)(p + 1) + fixed;
        share = rho[0] - phi[0] * rho[1] - phi[1] * rho[2] - theta * g;
        arima_consider(best, FMA(n, arima_ln(FMAX(share, SHARE_MIN)), arima_penalty(n, k)), (float)p, 1.0f, phi, theta);
    }
}

/* The order with the least criterion of one difference. */
DEVFN void arima_choose(ArimaChoice* best, const float* r, float n, float fixed) {
    float rho[P_MAX + 2], phi[P_MAX], old[P_MAX], shares[P_MAX + 1];
    float scale = r[0] > 0.0f ? 1.0f / r[0] : 0.0f;
    float v, g;
    int j, k;
    for (k = 0; k < P_MAX + 2; k++) {
        rho[k] = r[k] * scale;
    }
    rho[0] = 1.0f + NOISE;
    for (j = 0; j < P_MAX; j++) {
        phi[j] = 0.0f;
    }
    v = rho[0];
    shares[0] = v;
    best->aicc = FAR;
    best->p = best->q = best->theta = 0.0f;
    for (j = 0; j < P_MAX; j++) {
        best->phi[j] = 0.0f;
    }
    arima_consider(best, FMA(n, arima_ln(v), arima_penalty(n, fixed)), 0.0f, 0.0f, phi, 0.0f);
    for (k = 0; k < P_MAX; k++) {
        float sum = rho[k + 1], reflection;
        for (j = 0; j < k; j++) {
            sum -= phi[j] * rho[k - j];
        }
        reflection = sum / v;
        for (j = 0; j < k; j++) {
            old[j] = phi[j];
        }
        for (j = 0; j < k; j++) {
            phi[j] = old[j] - reflection * old[k - 1 - j];
        }
        phi[k] = reflection;
        v *= 1.0f - reflection * reflection;
        shares[k + 1] = v;
        arima_consider(best, FMA(n, arima_ln(FMAX(v, SHARE_MIN)), arima_penalty(n, (float)(k + 1) + fixed)),
                       (float)(k + 1), 0.0f, phi, 0.0f);
    }
    g = rho[1];
    for (j = 0; j < P_MAX; j++) {
        g -= phi[j] * rho[j + 2];
    }
    arima_mixed(best, 0, rho, v, g, shares[0], n, fixed);
    arima_mixed(best, 1, rho, v, g, shares[0], n, fixed);
    arima_mixed(best, 2, rho, v, g, shares[1], n, fixed);
}

/* Residuals of a model into e (rows 64 apart); returns the sum of squares of those that judge. */
DEVFN float arima_residuals(GLOBAL const float* y, GLOBAL float* e, int lanes, int samples, int d, const ArimaUnit* unit,
                            const ArimaChoice* c) {
    float lag[P_MAX], minus[P_MAX];
    float before = 0.0f, shock = 0.0f, total = 0.0f;
    int t, j, chunk, was = 0;
    for (j = 0; j < P_MAX; j++) {
        lag[j] = 0.0f;
        minus[j] = 0.0f - c->phi[j];
    }
    for (chunk = 0; chunk < samples; chunk += CHUNK) {
        int end = chunk + CHUNK < samples ? chunk + CHUNK : samples;
        float sum = 0.0f;
        for (t = chunk; t < end; t++) {
            float v = y[t * lanes];
            int there = arima_there(v), pair = there & was;
            float z = arima_z(d, v, before, there, pair, unit), a = z;
            for (j = 0; j < P_MAX; j++) {
                a = FMA(minus[j], lag[j], a);
            }
            shock = (d == 0 ? there : pair) ? a - c->theta * shock : 0.0f;
            e[t * 64] = shock;
            if (t >= WARM && pair) {
                sum = FMA(shock, shock, sum);
            }
            for (j = P_MAX - 1; j > 0; j--) {
                lag[j] = lag[j - 1];
            }
            lag[0] = z;
            before = v;
            was = there;
        }
        total += sum;
    }
    return total;
}

/* Sorts n rows 64 apart: Batcher's merge exchange (Knuth, volume 3, algorithm 5.2.2 M). */
DEVFN void arima_sort(GLOBAL float* rows, int n) {
    int top = 1, p, q, r, d, i;
    while (top * 2 < n) {
        top *= 2;
    }
    for (p = top; p > 0; p /= 2) {
        q = top;
        r = 0;
        d = p;
        while (d > 0) {
            for (i = 0; i < n - d; i++) {
                if ((i & p) == r) {
                    float a = rows[i * 64], b = rows[(i + d) * 64];
                    rows[i * 64] = FMIN(a, b);
                    rows[(i + d) * 64] = FMAX(a, b);
                }
            }
            d = q - p;
            q /= 2;
            r = p;
        }
    }
}

/* Quantile of the first n sorted rows by linear interpolation (R's type 7). */
DEVFN float arima_quantile(GLOBAL const float* rows, float n, float level) {
    float top = n - 1.0f;
    float at = level * top;
    int below = (int)at;
    int above = below + 1 < (int)top ? below + 1 : (int)top;
    float low = rows[below * 64];
    return FMA(at - (float)below, rows[above * 64] - low, low);
}

KERNEL void arima_fit(GLOBAL const float* RESTRICT y, GLOBAL float* RESTRICT fit, GLOBAL float* RESTRICT scratch, int lanes,
                      int samples) {
    int group = GROUP_ID;
    PHASE {
        int lane = group * 64 + ITEM;
        GLOBAL const float* in = y + lane;
        GLOBAL float* out = fit + group * WORDS * 64 + ITEM;
        GLOBAL float* e0 = scratch + group * 2 * samples * 64 + ITEM;
        GLOBAL float* e1 = e0 + samples * 64;
        ArimaChoice choice[2];
        ArimaUnit unit;
        float low = FAR, high = -FAR, last = 0.0f, n = 0.0f, pairs = 0.0f, judged = 0.0f;
        float span, scale, total, spread = 0.0f;
        int t, i, d, chunk, varied, fitted, was = 0;
        for (t = 0; t < samples; t++) {
            float v = in[t * lanes];
            int there = arima_there(v), pair = there & was;
            if (there) {
                low = FMIN(low, v);
                high = FMAX(high, v);
                last = v;
                n += 1.0f;
            }
            if (pair) {
                pairs += 1.0f;
                judged += t >= WARM ? 1.0f : 0.0f;
            }
            was = there;
        }
        span = high * 0.5f - low * 0.5f;
        varied = span >= SCALE_MIN;
        scale = varied ? AS_FLOAT(AS_INT(span) & 0x7f800000) : 1.0f;
        unit.centre = varied ? high * 0.5f + low * 0.5f : 0.0f;
        unit.inverse = varied ? AS_FLOAT(0x7f000000 - AS_INT(scale)) : 0.0f; /* 1 / scale, exactly */
        unit.mean = 0.0f;
        total = 0.0f;
        for (chunk = 0; chunk < samples; chunk += CHUNK) {
            int end = chunk + CHUNK < samples ? chunk + CHUNK : samples;
            float sum = 0.0f;
            for (t = chunk; t < end; t++) {
                float v = in[t * lanes];
                sum += arima_there(v) ? (v - unit.centre) * unit.inverse : 0.0f;
            }
            total += sum;
        }
        unit.mean = total / FMAX(n, 1.0f);
        for (d = 0; d < 2; d++) {
            float r[P_MAX + 2];
            float fixed = d == 0 ? 2.0f : 1.0f, count = d == 0 ? n : pairs, squares;
            arima_moments(in, lanes, samples, d, count, &unit, r);
            spread = d == 0 ? r[0] : spread;
            arima_choose(&choice[d], r, count, fixed);
            squares = arima_residuals(in, d == 0 ? e0 : e1, lanes, samples, d, &unit, &choice[d]);
            choice[d].variance = FMAX(squares / FMAX(judged, 1.0f), VARIANCE_MIN);
            choice[d].aicc = FMA(judged, arima_ln(choice[d].variance),
                                 arima_penalty(judged, choice[d].p + choice[d].q + fixed));
        }
        fitted = varied && n >= 24.0f && judged >= 12.0f;
        d = choice[1].aicc < choice[0].aicc;
        if (!fitted) {
            d = 0;
            choice[0].p = choice[0].q = choice[0].theta = 0.0f;
            for (i = 0; i < P_MAX; i++) {
                choice[0].phi[i] = 0.0f;
            }
            choice[0].variance = spread;
        }
        if (d == 1) {
            choice[0] = choice[1];
        }
        out[0 * 64] = fitted ? 0.0f : 1.0f;
        out[1 * 64] = (float)d;
        out[2 * 64] = choice[0].p;
        out[3 * 64] = choice[0].q;
        out[4 * 64] = d == 1 ? pairs : n;
        out[5 * 64] = fitted && d == 0 ? FMA(unit.mean, scale, unit.centre) : 0.0f;
        out[6 * 64] = choice[0].variance * scale * scale;
        out[7 * 64] = fitted ? choice[0].aicc + (judged + judged) * arima_ln(scale) : 0.0f;
        for (i = 0; i < P_MAX; i++) {
            float v = in[(samples - 1 - i) * lanes], before = in[(samples - 2 - i) * lanes];
            int there = arima_there(v), pair = there & arima_there(before);
            out[(8 + i) * 64] = choice[0].phi[i];
            out[(15 + i) * 64] = fitted ? arima_z(d, v, before, there, pair, &unit) * scale : 0.0f;
        }
        out[14 * 64] = choice[0].theta;
        out[21 * 64] = fitted ? (d == 1 ? e1 : e0)[(samples - 1) * 64] * scale : 0.0f;
        out[22 * 64] = last;
        was = arima_there(in[(WARM - 1) * lanes]);
        for (t = WARM; t < samples; t++) {
            int there = arima_there(in[t * lanes]);
            float e = d == 1 ? e1[t * 64] : e0[t * 64];
            e0[(t - WARM) * 64] = there & was ? e : FAR;
            was = there;
        }
        if (fitted) {
            arima_sort(e0, samples - WARM);
        }
        for (i = 0; i < 5; i++) {
            float q = fitted ? arima_quantile(e0, judged, LEVELS[i]) : SQRT(spread) * NORMAL[i];
            out[(23 + i) * 64] = q * scale;
        }
    } END_PHASE
}
