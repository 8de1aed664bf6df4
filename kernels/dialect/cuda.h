/* Reads a kernel's gpu.cc as CUDA C. What the names mean and what a phase may do: opencl.h.
 * Compile with --fmad=false: a kernel says itself where it fuses.
 */
#define KERNEL extern "C" __global__ __launch_bounds__(64)
#define DEVFN static __device__ __forceinline__
#define GLOBAL
#define RESTRICT __restrict__
#define CONSTANT static __constant__
#define LOCAL __shared__
#define LOCAL_PTR

#define GROUP_ID ((int)blockIdx.x)
#define ITEM ((int)threadIdx.x)
#define PHASE
#define END_PHASE __syncthreads();

#define FMA(a, b, c) fmaf((a), (b), (c))
#define FMIN(a, b) fminf((a), (b))
#define FMAX(a, b) fmaxf((a), (b))
#define FABS(a) fabsf(a)
#define FLOOR(a) floorf(a)
#define SQRT(a) sqrtf(a)
#define EXP(a) expf(a)
#define LOG(a) logf(a)
#define ISNAN(a) isnan((float)(a))
#define AS_FLOAT(a) __int_as_float((int)(a))
#define AS_INT(a) __float_as_int((float)(a))

#define LOAD4(p, i, a, b, c, d)                          \
    do {                                                 \
        const float4 w4 = __ldg((const float4*)(p) + (i)); \
        (a) = w4.x;                                      \
        (b) = w4.y;                                      \
        (c) = w4.z;                                      \
        (d) = w4.w;                                      \
    } while (0)
