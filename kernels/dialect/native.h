/* Reads a kernel's gpu.cc as plain C11, for tests. What the names mean and what a phase may do: opencl.h.
 * A phase is a loop over the 64 items, and RUN_GROUPS runs the groups one after the other:
 *
 *     RUN_GROUPS(lanes / 64, name(x, out, lanes));
 *
 * Compile with -ffp-contract=off: a kernel says itself where it fuses.
 */
#include <math.h>
#include <string.h>

static int native_group;

#define RUN_GROUPS(groups, call) \
    for (native_group = 0; native_group < (groups); native_group++) call

#define KERNEL
#define DEVFN static inline
#define GLOBAL
#define RESTRICT restrict
#define CONSTANT static const
#define LOCAL
#define LOCAL_PTR

#define GROUP_ID native_group
#define ITEM native_item
#define PHASE for (int native_item = 0; native_item < 64; native_item++)
#define END_PHASE

#define FMA(a, b, c) fmaf((a), (b), (c))
#define FMIN(a, b) fminf((a), (b))
#define FMAX(a, b) fmaxf((a), (b))
#define FABS(a) fabsf(a)
#define FLOOR(a) floorf(a)
#define SQRT(a) sqrtf(a)
#define EXP(a) expf(a)
#define LOG(a) logf(a)
#define ISNAN(a) isnan((float)(a))
#define AS_FLOAT(a) native_as_float((int)(a))
#define AS_INT(a) native_as_int((float)(a))

static inline float native_as_float(int bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline int native_as_int(float value) {
    int bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

#define LOAD4(p, i, a, b, c, d)     \
    do {                            \
        (a) = (p)[4 * (i)];         \
        (b) = (p)[4 * (i) + 1];     \
        (c) = (p)[4 * (i) + 2];     \
        (d) = (p)[4 * (i) + 3];     \
    } while (0)
