/* device.cuh: what kernels share: element types, counted loads and stores, sums over a block, and the launchers' checks.
 *
 * Kernels compute in f32; T is float or __nv_bfloat16. A vector is 16 bytes, VEC<T> elements; vector accesses need pointers and row strides
 * that are multiples of 16 bytes, which launchers establish with is_aligned() and otherwise take the scalar instance (ALIGNED = false). */
#ifndef GENLLAVA_KERNELS_CUDA_DEVICE_CUH
#define GENLLAVA_KERNELS_CUDA_DEVICE_CUH

#include "kernels/cuda/warp.cuh"
#include "kernels/ops/check.h"

template <class T> constexpr int VEC = 16 / (int)sizeof(T);

#if defined(CUDA_HOST_EMULATION)
static inline void count_read(const void *p, size_t n) { cuda_host_access(p, n, n, false); }
static inline void count_write(const void *p, size_t n) { cuda_host_access(p, n, n, true); }
static inline void check_shared(const void *p, size_t n) { cuda_host_check_shared(p, n); }
#else
static __device__ __forceinline__ void count_read(const void *, size_t) {}
static __device__ __forceinline__ void count_write(const void *, size_t) {}
static __device__ __forceinline__ void check_shared(const void *, size_t) {}
#endif

static __device__ __forceinline__ float widen(float x) { return x; }
static __device__ __forceinline__ float widen(__nv_bfloat16 x) { return __bfloat162float(x); }
template <class T> static __device__ __forceinline__ T narrow(float x);
template <> __device__ __forceinline__ float narrow<float>(float x) { return x; }
template <> __device__ __forceinline__ __nv_bfloat16 narrow<__nv_bfloat16>(float x) { return __float2bfloat16_rn(x); }
/* x as it will be read back after having been stored as T. */
template <class T> static __device__ __forceinline__ float rounded(float x) { return widen(narrow<T>(x)); }

template <class T> static __device__ __forceinline__ float load(const T *p)
{
    count_read(p, sizeof(T));
    return widen(*p);
}
static __device__ __forceinline__ double load(const double *p)
{
    count_read(p, sizeof *p);
    return *p;
}
static __device__ __forceinline__ void store(double *p, double x)
{
    count_write(p, sizeof *p);
    *p = x;
}
template <class T> static __device__ __forceinline__ void store(T *p, float x)
{
    count_write(p, sizeof(T));
    *p = narrow<T>(x);
}
static __device__ __forceinline__ int load_int(const int32_t *p)
{
    count_read(p, sizeof *p);
    return *p;
}

template <class T> struct alignas(16) Vector {
    T v[VEC<T>];
};
template <class T> static __device__ __forceinline__ void load_vector(float out[VEC<T>], const T *p)
{
    count_read(p, 16);
    Vector<T> x = *reinterpret_cast<const Vector<T> *>(p);
    for (int i = 0; i < VEC<T>; i++)
        out[i] = widen(x.v[i]);
}
template <class T> static __device__ __forceinline__ void store_vector(T *p, const float x[VEC<T>])
{
    count_write(p, 16);
    Vector<T> y;
    for (int i = 0; i < VEC<T>; i++)
        y.v[i] = narrow<T>(x[i]);
    *reinterpret_cast<Vector<T> *>(p) = y;
}

/* Four BF16: 8 bytes, which p is a multiple of. */
static __device__ __forceinline__ void store_half_vector(__nv_bfloat16 *p, const float x[4])
{
    struct alignas(8) Half {
        __nv_bfloat16 v[4];
    } y;
    count_write(p, sizeof y);
    for (int i = 0; i < 4; i++)
        y.v[i] = narrow<__nv_bfloat16>(x[i]);
    *reinterpret_cast<Half *>(p) = y;
}

/* VEC<T> neighbours of another type, as wide vectors as they make: two of 16 bytes, one, or a half. p is a multiple of their size. */
template <class T, class W> static __device__ __forceinline__ void load_as_vector(float out[VEC<T>], const W *p)
{
    struct alignas(VEC<T> * sizeof(W) < 16 ? VEC<T> * sizeof(W) : 16) Half {
        W v[VEC<T> < VEC<W> ? VEC<T> : VEC<W>];
    };
    constexpr int EACH = sizeof(Half) / sizeof(W);
    for (int i = 0; i < VEC<T>; i += EACH) {
        count_read(p + i, sizeof(Half));
        Half x = *reinterpret_cast<const Half *>(p + i);
        for (int j = 0; j < EACH; j++)
            out[i + j] = widen(x.v[j]);
    }
}

/* 16 bytes from shared to global memory. */
template <class T> static __device__ __forceinline__ void copy_out_vector(T *to, const T *shared)
{
    check_shared(shared, 16);
    count_write(to, 16);
    *reinterpret_cast<uint4 *>(to) = *reinterpret_cast<const uint4 *>(shared);
}

/* n elements from p: a whole vector when ALIGNED and n = VEC<T>, else one by one, the rest zero. */
template <class T, bool ALIGNED> static __device__ __forceinline__ void load_some(float out[VEC<T>], const T *p, int n)
{
    if (ALIGNED && n >= VEC<T>) {
        load_vector(out, p);
        return;
    }
    for (int i = 0; i < VEC<T>; i++)
        out[i] = i < n ? load(p + i) : 0.0f;
}
template <class T, bool ALIGNED> static __device__ __forceinline__ void store_some(T *p, const float x[VEC<T>], int n)
{
    if (ALIGNED && n >= VEC<T>) {
        store_vector(p, x);
        return;
    }
    for (int i = 0; i < VEC<T>; i++)
        if (i < n)
            store(p + i, x[i]);
}

/* Sum over the block, the same bits in every thread. `slots`: 32 doubles of shared memory that nobody else uses meanwhile. In double, as
 * all sums of kernels that wait for memory: it costs nothing there, and one rounding is left. */
static __device__ __forceinline__ double block_sum(double v, double *slots)
{
    int warps = (int)(blockDim.x / WARP);
    v = warp_sum(v);
    if (warps == 1)
        return v;
    __syncthreads(); /* the slots' former readers are done */
    if (warp_lane() == 0)
        slots[threadIdx.x / WARP] = v;
    __syncthreads();
    double total = 0;
    for (int i = 0; i < warps; i++)
        total += slots[i];
    return total;
}

/* ---- host side ---- */

cudaStream_t cuda_stream(KernelCtx *ctx); /* of the backend, the one compute stream */
/* n_bytes of device memory that the calling operator may use until it returns; one piece a call. ctx->scratch stays as it is: what the plan
 * of a run measured without operators' needs. */
Status cuda_workspace(KernelCtx *ctx, const char *op, size_t n_bytes, void **out);
/* Reads the launch error of the kernel just launched: ERR_DEVICE with its name. */
Status cuda_launched(const char *kernel);

static inline bool is_aligned(const void *p) { return ((uintptr_t)p & 15) == 0; }
/* A row stride in elements of a type of `size` bytes keeps 16-byte alignment. */
static inline bool is_aligned_stride(int64_t ld, size_t size) { return ((size_t)ld * size & 15) == 0; }
static inline unsigned ceil_div(int64_t a, int64_t b) { return (unsigned)((a + b - 1) / b); }

/* Calls `call` with T standing for the element type. Anything but F32 and BF16 is a caller's mistake. */
#define WITH_TYPE(type, T, ...)                                                                   \
    do {                                                                                          \
        if ((type) == F32) {                                                                      \
            typedef float T;                                                                      \
            __VA_ARGS__                                                                           \
        } else if ((type) == BF16) {                                                              \
            typedef __nv_bfloat16 T;                                                              \
            __VA_ARGS__                                                                           \
        } else                                                                                    \
            return fail(ERR_INTERNAL, "the cuda backend has no kernel for %s", dtype_name(type));  \
    } while (0)
#define WITH_BOOL(value, B, ...)          \
    do {                                  \
        if (value) {                      \
            constexpr bool B = true;      \
            __VA_ARGS__                   \
        } else {                          \
            constexpr bool B = false;     \
            __VA_ARGS__                   \
        }                                 \
    } while (0)

/* The families, each at the end of its file: it writes its launchers over what stood in the table. */
void cuda_act(KernelTable *t);
void cuda_adapter(KernelTable *t);
void cuda_attention(KernelTable *t);
void cuda_conv(KernelTable *t);
void cuda_dequantize(KernelTable *t);
void cuda_fp8(KernelTable *t);
void cuda_groupnorm(KernelTable *t);
void cuda_loss(KernelTable *t);
void cuda_matmul(KernelTable *t);
void cuda_norm(KernelTable *t);
void cuda_optim(KernelTable *t);
void cuda_pool(KernelTable *t);
void cuda_rope(KernelTable *t);
void cuda_rows(KernelTable *t);
void cuda_nothing(KernelTable *t); /* every operator is refused by name: what the families are laid over */
#endif
