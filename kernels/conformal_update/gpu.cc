/* Online quantile tracking, one item per lane; README.md has the maths, spec.rs the layout. Nothing is fused. */
#define LEVELS 5
#define MEDIAN 1

/* How rarely a bound of each level is to be exceeded; the median's is not used. */
CONSTANT float CONFORMAL_RARE[LEVELS] = {1.0f - 0.05f, 0.5f, 1.0f - 0.9f, 1.0f - 0.95f, 1.0f - 0.99f};

KERNEL void conformal_update(GLOBAL const float* RESTRICT y, GLOBAL const float* RESTRICT issued,
                             GLOBAL const float* RESTRICT scale, GLOBAL const float* RESTRICT base,
                             GLOBAL const float* RESTRICT shift_in, GLOBAL float* RESTRICT shift_out,
                             GLOBAL float* RESTRICT out, int lanes, float gamma, float tie, float reach, float floor_) {
    PHASE {
        const int lane = GROUP_ID * 64 + ITEM;
        const int five = GROUP_ID * (LEVELS * 64) + ITEM;
        const int ten = GROUP_ID * (2 * LEVELS * 64) + ITEM;
        const float outcome = y[lane];
        const float unit = scale[lane];
        float q[LEVELS];
        for (int k = 0; k < LEVELS; k++) {
            const int at = five + 64 * k;
            const float above = outcome - issued[at];
            float shift = shift_in[at];
            /* False where the outcome is not known, too. */
            if (k != MEDIAN && FABS(above) > tie * unit) {
                const float rare = CONFORMAL_RARE[k];
                const float step = above > 0.0f ? 1.0f - rare : 0.0f - rare;
                shift = FMIN(FMAX(shift + gamma * step, -reach), reach);
            }
            shift_out[at] = shift;
            q[k] = base[at] + shift * unit;
            out[ten + 64 * k] = q[k];
        }
        const float median = FMAX(q[MEDIAN], floor_);
        const float low = FMIN(FMAX(q[0], floor_), median);
        const float a = FMAX(q[2], median);
        const float b = FMAX(q[3], median);
        const float c = FMAX(q[4], median);
        /* Sorts three: the larger of the first two against the third, then what is left against the smaller. */
        const float ab = FMAX(a, b);
        const float left = FMIN(ab, c);
        const float small = FMIN(a, b);
        out[ten + 64 * 5] = low;
        out[ten + 64 * 6] = median;
        out[ten + 64 * 7] = FMIN(small, left);
        out[ten + 64 * 8] = FMAX(small, left);
        out[ten + 64 * 9] = FMAX(ab, c);
    } END_PHASE
}
