/* attention.cuh: what the attention kernels share: which keys a query sees, and where tiles lie.
 *
 * Two families: attention_plain.cu works without tensor cores, one warp a row (f32 activations, rows that cannot be copied in 16-byte
 * pieces, heads wider than the shared memory of the device has room for); attention_fwd.cu and attention_bwd.cu use bf16 tensor cores on
 * tiles. All launch a grid of (tiles of the longest segment, heads, segments); tiles beyond a segment's end leave at once. Rows are counted
 * within a segment: n_q queries, n_k keys. */
#ifndef GENLLAVA_KERNELS_CUDA_ATTENTION_CUH
#define GENLLAVA_KERNELS_CUDA_ATTENTION_CUH

#include "kernels/cuda/device.cuh"

/* Keys of a segment of n that some query of rows begin … end-1 sees: low … high-1. */
struct KeyRange {
    int low, high;
};
static __device__ __forceinline__ KeyRange attention_keys(int begin, int end, int n, bool causal, int window)
{
    KeyRange r = {0, n};
    if (causal) {
        r.high = end < n ? end : n;
        r.low = window && begin - window + 1 > 0 ? begin - window + 1 : 0;
    }
    return r;
}
/* Queries of a segment of n that see some key of rows begin … end-1. */
static __device__ __forceinline__ KeyRange attention_queries(int begin, int end, int n, bool causal, int window)
{
    KeyRange r = {0, n};
    if (causal) {
        r.low = begin;
        r.high = window && end - 1 + window < n ? end - 1 + window : n;
    }
    return r;
}
/* A query sees the keys from `behind` before it on, `reach` after the first of them at most: one comparison, whatever the mask. */
struct Sight {
    int behind;
    unsigned reach;
};
static __device__ __forceinline__ Sight attention_sight(bool causal, int window)
{
    const int everything = 1 << 30;
    int behind = causal && window ? window - 1 : everything;
    return {behind, (unsigned)behind + (causal ? 0u : (unsigned)everything)};
}
static __device__ __forceinline__ bool attention_sees(Sight s, int query, int key)
{
    return (unsigned)(key - query + s.behind) <= s.reach;
}

struct FwdShape {
    int kv_group, head_dim, window;
    int64_t rows_q, ldq, ldk, ldv, ldo;
    double scale;
    bool causal;
};
struct BwdShape {
    int kv_group, head_dim, window;
    int64_t rows_q, ldq, ldk, ldv, ldo, lddo, lddq, lddk, lddv;
    double scale;
    bool causal;
};

/* Head widths that the tensor-core kernels are compiled for: the next one at or above takes a width. */
#define ATTENTION_WIDTHS(X) X(16) X(32) X(64) X(80) X(96) X(128) X(160) X(192) X(256)

/* Shared memory that a block of the tensor-core kernels takes at most: wide heads ask for more than a GeForce has. */
size_t attention_fwd_shared(int64_t head_dim);
size_t attention_bwd_shared(int64_t head_dim);
/* Launchers of the tensor-core kernels; the caller has checked that rows can be copied in 16-byte pieces, that scale is above 0 and the
 * shared memory. */
Status attention_fwd_mma(KernelCtx *ctx, const AttentionFwd *a, const FwdShape &s);
Status attention_bwd_mma(KernelCtx *ctx, const AttentionBwd *a, const BwdShape &s, const double *delta);
#endif
