/* arima_forecast for OpenCL on a CPU: one work item = one group, 16 series to a vector. README.md has the maths, spec.rs the
 * arguments.
 */
#pragma OPENCL FP_CONTRACT OFF
#define P_MAX 6
#define WORDS 28
#define VARIANCE_MAX 3.0e38f

/* 16 series from the first of each. */
static inline void ahead(__global const float* in, __global float* mean, __global float* variance, int steps) {
    const float16 zero = (float16)(0.0f);
#define WORD(i) vload16(0, in + (i) * 64)
    float16 phi[P_MAX], f[P_MAX], psi[P_MAX];
    int16 once = WORD(1) > zero;
    int16 sums = once | (WORD(0) > zero);
    float16 innovation = WORD(6), theta = WORD(14);
    float16 level = select(WORD(5), WORD(22), sums);
    /* theta meets the newest residual in the first step, and the first new shock in the second. */
    float16 shock = theta * WORD(21), impulse = (float16)(1.0f), then = theta;
    float16 weight = zero, squares = zero;
    for (int j = 0; j < P_MAX; j++) {
        phi[j] = WORD(8 + j);
        f[j] = WORD(15 + j);
        psi[j] = zero;
    }
    for (int h = 0; h < steps; h++) {
        float16 next = shock, response = impulse;
#pragma unroll
        for (int j = 0; j < P_MAX; j++) {
            next = fma(phi[j], f[j], next);
            response = fma(phi[j], psi[j], response);
        }
#pragma unroll
        for (int j = P_MAX - 1; j > 0; j--) {
            f[j] = f[j - 1];
            psi[j] = psi[j - 1];
        }
        f[0] = next;
        psi[0] = response;
        shock = zero;
        impulse = then;
        then = zero;
        float16 value = level + next;
        level = select(level, value, once);
        weight = select(response, weight + response, once);
        squares = fma(weight, weight, squares);
        vstore16(value, 0, mean + h * 64);
        vstore16(fmin(innovation * squares, (float16)(VARIANCE_MAX)), 0, variance + h * 64);
    }
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void arima_forecast(__global const float* restrict fit,
                                                                            __global float* restrict mean,
                                                                            __global float* restrict variance, int lanes,
                                                                            int steps) {
    int group = get_global_id(0);
    for (int first = 0; first < 64; first += 16) {
        int at = group * steps * 64 + first;
        ahead(fit + group * WORDS * 64 + first, mean + at, variance + at, steps);
    }
}
