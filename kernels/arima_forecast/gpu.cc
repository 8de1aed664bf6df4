/* arima_forecast, one item = one series. README.md has the maths, spec.rs the arguments; opencl.h says what the names mean.
 */
#define P_MAX 6
#define WORDS 28
#define VARIANCE_MAX 3.0e38f

KERNEL void arima_forecast(GLOBAL const float* RESTRICT fit, GLOBAL float* RESTRICT mean, GLOBAL float* RESTRICT variance,
                           int lanes, int steps) {
    int group = GROUP_ID;
    PHASE {
        GLOBAL const float* in = fit + group * WORDS * 64 + ITEM;
        GLOBAL float* out = mean + group * steps * 64 + ITEM;
        GLOBAL float* spread = variance + group * steps * 64 + ITEM;
        float phi[P_MAX], f[P_MAX], psi[P_MAX];
        int once = in[1 * 64] > 0.0f;
        float innovation = in[6 * 64], theta = in[14 * 64];
        float level = once || in[0 * 64] > 0.0f ? in[22 * 64] : in[5 * 64];
        /* theta meets the newest residual in the first step, and the first new shock in the second. */
        float shock = theta * in[21 * 64], impulse = 1.0f, then = theta;
        float weight = 0.0f, squares = 0.0f;
        int h, j;
        for (j = 0; j < P_MAX; j++) {
            phi[j] = in[(8 + j) * 64];
            f[j] = in[(15 + j) * 64];
            psi[j] = 0.0f;
        }
        for (h = 0; h < steps; h++) {
            float next = shock, response = impulse, value;
            for (j = 0; j < P_MAX; j++) {
                next = FMA(phi[j], f[j], next);
                response = FMA(phi[j], psi[j], response);
            }
            for (j = P_MAX - 1; j > 0; j--) {
                f[j] = f[j - 1];
                psi[j] = psi[j - 1];
            }
            f[0] = next;
            psi[0] = response;
            shock = 0.0f;
            impulse = then;
            then = 0.0f;
            value = level + next;
            level = once ? value : level;
            weight = once ? weight + response : response;
            squares = FMA(weight, weight, squares);
            out[h * 64] = value;
            spread[h * 64] = FMIN(innovation * squares, VARIANCE_MAX);
        }
    } END_PHASE
}
