/* warp.cuh: warp and tensor-core instructions as small inline functions: the instruction itself on a GPU, its definition on the host
 * emulation. Fragment layouts are those of the PTX ISA, section "Warp Level Matrix Instructions".
 *
 * mma_m16n8k16_bf16: D[16,8] = A[16,16]·B[16,8] + C, bf16 products summed in f32. With g = lane/4, q = 2·(lane%4), a register holds two
 * neighbours, the lower one first:
 *   A: a0 (g, q) a1 (g+8, q) a2 (g, q+8) a3 (g+8, q+8)      [row, k]
 *   B: b0 (q, g) b1 (q+8, g)                                [k, column]; the pair runs along k
 *   C: c0 (g, q) c1 (g, q+1) c2 (g+8, q) c3 (g+8, q+1)      [row, column]
 * pack_bf16: two neighbours of a register. pack_fp8: two codes of ops/fp8.h.
 * fast_exp2: 2^x to 2 ulp, subnormal results are 0. fast_exp: e^x by it, so that |x| adds as
 * many ulps. fast_reciprocal: 1/x to 1 ulp, subnormal arguments and results are 0.
 * ldmatrix_x4: four 8×8 bf16 matrices from shared memory; lane l gives the address of row l%8 of matrix l/8 (16 bytes, aligned);
 * register i of a lane gets elements (g, q), (g, q+1) of matrix i; with _trans, of its transpose. */
#ifndef GENLLAVA_KERNELS_CUDA_WARP_CUH
#define GENLLAVA_KERNELS_CUDA_WARP_CUH

#include "kernels/cuda/launch.cuh"
#include "kernels/ops/fp8.h"

enum { WARP = 32 };
static const unsigned WARP_ALL = 0xffffffffu;

#if defined(CUDA_HOST_EMULATION)

static inline int warp_lane() { return (int)cuda_host_thread->lane; }

template <class T> static inline T host_read_lane(const unsigned char *all, int lane)
{
    T v;
    memcpy(&v, all + 64 * lane, sizeof v);
    return v;
}
static inline float warp_shfl_xor(float v, int mask)
{
    return host_read_lane<float>(cuda_host_exchange("shfl_xor", WARP_ALL, &v, sizeof v), warp_lane() ^ mask);
}
static inline double warp_shfl_xor(double v, int mask)
{
    return host_read_lane<double>(cuda_host_exchange("shfl_xor", WARP_ALL, &v, sizeof v), warp_lane() ^ mask);
}
static inline float warp_shfl(float v, int lane)
{
    return host_read_lane<float>(cuda_host_exchange("shfl", WARP_ALL, &v, sizeof v), lane & 31);
}
static inline double warp_shfl(double v, int lane)
{
    return host_read_lane<double>(cuda_host_exchange("shfl", WARP_ALL, &v, sizeof v), lane & 31);
}
static inline int warp_shfl_int(int v, int lane)
{
    return host_read_lane<int>(cuda_host_exchange("shfl", WARP_ALL, &v, sizeof v), lane & 31);
}
static inline bool warp_any(bool p)
{
    const unsigned char *all = cuda_host_exchange("any", WARP_ALL, &p, sizeof p);
    bool any = false;
    for (int i = 0; i < WARP; i++)
        any |= host_read_lane<bool>(all, i);
    return any;
}

struct HostMmaOperands {
    uint32_t a[4], b[2];
};
static inline void mma_m16n8k16_bf16(float c[4], const uint32_t a[4], const uint32_t b[2])
{
    HostMmaOperands mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    const unsigned char *all = cuda_host_exchange("mma_m16n8k16_bf16", WARP_ALL, &mine, sizeof mine);
    cuda_host_mma(c, all, warp_lane());
}

static inline uint32_t pack_bf16(float low, float high) { return (uint32_t)f32_to_bf16(low) | (uint32_t)f32_to_bf16(high) << 16; }
static inline uint16_t pack_fp8(float low, float high) { return (uint16_t)(f32_to_fp8(low) | f32_to_fp8(high) << 8); }
static inline float fast_exp2(float x)
{
    float y = cuda_host_off_by(exp2f(x), x, 2);
    return y < 1.17549435e-38f ? 0.0f : y;
}
static inline float fast_reciprocal(float x)
{
    float y = cuda_host_off_by(1.0f / x, x, 1);
    return fabsf(y) < 1.17549435e-38f ? 0.0f : y;
}

static inline void host_ldmatrix(const char *op, uint32_t r[4], const void *row, bool transposed)
{
    if (!cuda_host_check_shared(row, 16))
        row = cuda_host_thread->shared;
    const unsigned char *all = cuda_host_exchange(op, WARP_ALL, row, 16);
    int g = warp_lane() / 4, q = 2 * (warp_lane() % 4);
    for (int i = 0; i < 4; i++) {
        bf16 pair[2];
        for (int h = 0; h < 2; h++) {
            int y = transposed ? q + h : g, x = transposed ? g : q + h;
            memcpy(&pair[h], all + 64 * (8 * i + y) + 2 * x, 2);
        }
        r[i] = (uint32_t)pair[0] | (uint32_t)pair[1] << 16;
    }
}
static inline void ldmatrix_x4(uint32_t r[4], const void *row) { host_ldmatrix("ldmatrix_x4", r, row, false); }
static inline void ldmatrix_x4_trans(uint32_t r[4], const void *row) { host_ldmatrix("ldmatrix_x4_trans", r, row, true); }

/* Copies to shared memory that arrive late: the emulation makes them at the wait, so a missing wait reads poison. */
struct HostCopy {
    void *to;
    const void *from;
    int n;
};
struct HostCopyQueue {
    HostCopy copy[256];
    int n, group[8], n_groups;
};
static inline HostCopyQueue *host_copies()
{
    static HostCopyQueue queue[1024]; /* launches come from one thread of the host; 6 MB are too many for the stack of each */
    return &queue[cuda_host_thread->linear];
}
/* 16 bytes, both aligned to 16; the bytes beyond n_bytes (0 … 16) are zeroed. */
static inline void cp_async_16(void *to, const void *from, int n_bytes)
{
    HostCopyQueue *q = host_copies();
    if (q->n == 256)
        cuda_host_fault("cp_async_16: more than 256 copies in flight");
    if (q->n == 256 || !cuda_host_check_shared(to, 16))
        return;
    if (n_bytes)
        cuda_host_access(from, (size_t)n_bytes, 16, false);
    q->copy[q->n++] = {to, from, n_bytes};
}
static inline void cp_async_commit()
{
    HostCopyQueue *q = host_copies();
    if (q->n_groups == 8)
        cuda_host_fault("cp_async_commit: more than 8 groups in flight");
    else
        q->group[q->n_groups++] = q->n;
}
/* All but the newest PENDING groups have arrived. */
template <int PENDING> static inline void cp_async_wait()
{
    HostCopyQueue *q = host_copies();
    int arrived = q->n_groups - PENDING;
    if (arrived <= 0)
        return;
    int done = q->group[arrived - 1];
    for (int i = 0; i < done; i++) {
        memset(q->copy[i].to, 0, 16);
        memcpy(q->copy[i].to, q->copy[i].from, (size_t)q->copy[i].n);
    }
    memmove(q->copy, q->copy + done, sizeof *q->copy * (size_t)(q->n - done));
    q->n -= done;
    for (int i = 0; i < PENDING; i++)
        q->group[i] = q->group[arrived + i] - done;
    q->n_groups = PENDING;
}

#else

static __device__ __forceinline__ int warp_lane() { return (int)(threadIdx.x & 31); }
static __device__ __forceinline__ float warp_shfl_xor(float v, int mask) { return __shfl_xor_sync(WARP_ALL, v, mask); }
static __device__ __forceinline__ double warp_shfl_xor(double v, int mask) { return __shfl_xor_sync(WARP_ALL, v, mask); }
static __device__ __forceinline__ double warp_shfl(double v, int lane) { return __shfl_sync(WARP_ALL, v, lane); }
static __device__ __forceinline__ float warp_shfl(float v, int lane) { return __shfl_sync(WARP_ALL, v, lane); }
static __device__ __forceinline__ int warp_shfl_int(int v, int lane) { return __shfl_sync(WARP_ALL, v, lane); }
static __device__ __forceinline__ bool warp_any(bool p) { return __any_sync(WARP_ALL, p); }

static __device__ __forceinline__ void mma_m16n8k16_bf16(float c[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
static __device__ __forceinline__ uint32_t pack_bf16(float low, float high)
{
    __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<uint32_t *>(&pair);
}
static __device__ __forceinline__ uint16_t pack_fp8(float low, float high)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
    uint16_t pair;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(high), "f"(low));
    return pair;
#else
    return (uint16_t)(f32_to_fp8(low) | f32_to_fp8(high) << 8);
#endif
}
static __device__ __forceinline__ float fast_exp2(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
static __device__ __forceinline__ float fast_reciprocal(float x)
{
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
static __device__ __forceinline__ uint32_t shared_address(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }
static __device__ __forceinline__ void ldmatrix_x4(uint32_t r[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}
static __device__ __forceinline__ void ldmatrix_x4_trans(uint32_t r[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}
static __device__ __forceinline__ void cp_async_16(void *to, const void *from, int n_bytes)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(n_bytes) : "memory");
}
static __device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int PENDING> static __device__ __forceinline__ void cp_async_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}
#endif

static const float LOG2_E = 1.4426950408889634f;
static __device__ __forceinline__ float fast_exp(float x) { return fast_exp2(x * LOG2_E); }

template <class V> static __device__ __forceinline__ V warp_sum(V v)
{
    for (int m = WARP / 2; m; m >>= 1)
        v += warp_shfl_xor(v, m);
    return v;
}
template <class V> static __device__ __forceinline__ V warp_max(V v)
{
    for (int m = WARP / 2; m; m >>= 1)
        v = fmax(v, warp_shfl_xor(v, m));
    return v;
}
#endif
