/* Reads a kernel's gpu.cc as OpenCL C 1.2. The same names are in cuda.h and native.h.
 *
 * A kernel is a list of phases over a group of 64 items:
 *
 *     KERNEL void name(GLOBAL const float* x, GLOBAL float* out, int lanes) {
 *         LOCAL float shared[64];
 *         int base = GROUP_ID * 64;
 *         PHASE { shared[ITEM] = x[base + ITEM]; } END_PHASE
 *         PHASE { out[base + ITEM] = shared[63 - ITEM]; } END_PHASE
 *     }
 *
 * Every item ends a phase before one begins the next. Code between phases is the same for all items and does not use
 * ITEM; it may loop over phases and return early for the whole group. A phase has no return, break or continue that
 * leaves it. A variable of one item lives in one phase; what lives longer is a LOCAL array, with index ITEM.
 */
#pragma OPENCL FP_CONTRACT OFF

#define KERNEL __kernel __attribute__((reqd_work_group_size(64, 1, 1))) /* entry function, before its type */
#define DEVFN static inline                                             /* helper function, before its type */
#define GLOBAL __global                                                 /* pointer to a buffer */
#define RESTRICT restrict                                               /* no other pointer leads there */
#define CONSTANT __constant                                             /* table at file scope, before its type */
#define LOCAL __local                                                   /* array that the group shares, in a kernel */
#define LOCAL_PTR __local                                               /* pointer to such an array, in a helper */

#define GROUP_ID ((int)get_group_id(0)) /* which group */
#define ITEM ((int)get_local_id(0))     /* which item of it, 0 to 63, within a phase */
#define PHASE                           /* all 64 items do the block that follows */
#define END_PHASE barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);

#define FMA(a, b, c) fma((float)(a), (float)(b), (float)(c)) /* a * b + c, rounded once */
#define FMIN(a, b) fmin((float)(a), (float)(b))              /* the other one where one is NaN, as for FMAX */
#define FMAX(a, b) fmax((float)(a), (float)(b))
#define FABS(a) fabs((float)(a))
#define FLOOR(a) floor((float)(a))
#define SQRT(a) sqrt((float)(a))
#define EXP(a) exp((float)(a))
#define LOG(a) log((float)(a))
#define ISNAN(a) isnan((float)(a))
#define AS_FLOAT(a) as_float((int)(a)) /* the same 32 bits */
#define AS_INT(a) as_int((float)(a))

/* The i-th four of the words at p, which begin at a multiple of 16 bytes. */
#define LOAD4(p, i, a, b, c, d)          \
    do {                                 \
        const float4 w4 = vload4((i), (p)); \
        (a) = w4.x;                      \
        (b) = w4.y;                      \
        (c) = w4.z;                      \
        (d) = w4.w;                      \
    } while (0)
