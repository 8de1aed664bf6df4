/* Online quantile tracking for OpenCL devices that are processors, one work item per group of 64 lanes; README.md has the
 * maths, spec.rs the layout. Nothing is fused.
 */
#pragma OPENCL FP_CONTRACT OFF
#define LEVELS 5
#define MEDIAN 1

/* How rarely a bound of each level is to be exceeded; the median's is not used. */
__constant float CONFORMAL_RARE[LEVELS] = {1.0f - 0.05f, 0.5f, 1.0f - 0.9f, 1.0f - 0.95f, 1.0f - 0.99f};

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void conformal_update(
    __global const float* restrict y, __global const float* restrict issued, __global const float* restrict scale,
    __global const float* restrict base, __global const float* restrict shift_in, __global float* restrict shift_out,
    __global float* restrict out, int lanes, float gamma, float tie, float reach, float floor_) {
    const int group = (int)get_global_id(0);
    for (int part = 0; part < 4; part++) {
        const int five = group * (LEVELS * 64) + 16 * part;
        const int ten = group * (2 * LEVELS * 64) + 16 * part;
        const float16 outcome = vload16(0, y + group * 64 + 16 * part);
        const float16 unit = vload16(0, scale + group * 64 + 16 * part);
        float16 q[LEVELS];
#pragma unroll
        for (int k = 0; k < LEVELS; k++) {
            const float16 before = vload16(0, shift_in + five + 64 * k);
            float16 shift = before;
            if (k != MEDIAN) {
                const float rare = CONFORMAL_RARE[k];
                const float16 above = outcome - vload16(0, issued + five + 64 * k);
                const float16 step = above > 0.0f ? (float16)(1.0f - rare) : (float16)(0.0f - rare);
                const float16 moved = fmin(fmax(before + gamma * step, -reach), reach);
                /* False where the outcome is not known, too. */
                shift = fabs(above) > tie * unit ? moved : before;
            }
            vstore16(shift, 0, shift_out + five + 64 * k);
            q[k] = vload16(0, base + five + 64 * k) + shift * unit;
            vstore16(q[k], 0, out + ten + 64 * k);
        }
        const float16 median = fmax(q[MEDIAN], floor_);
        const float16 low = fmin(fmax(q[0], floor_), median);
        const float16 a = fmax(q[2], median);
        const float16 b = fmax(q[3], median);
        const float16 c = fmax(q[4], median);
        /* Sorts three: the larger of the first two against the third, then what is left against the smaller. */
        const float16 ab = fmax(a, b);
        const float16 left = fmin(ab, c);
        const float16 small = fmin(a, b);
        vstore16(low, 0, out + ten + 64 * 5);
        vstore16(median, 0, out + ten + 64 * 6);
        vstore16(fmin(small, left), 0, out + ten + 64 * 7);
        vstore16(fmax(small, left), 0, out + ten + 64 * 8);
        vstore16(fmax(ab, c), 0, out + ten + 64 * 9);
    }
}
