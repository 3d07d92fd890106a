/* attention_fwd.cu: flash attention forward on tensor cores (Dao 2023, algorithm 1). A block owns 64 or 128 query rows of one head of one
 * segment, a warp 16 or 32 of them. Tiles of keys and of values take turns: while one is multiplied the other arrives. */
#include "kernels/cuda/attention_mma.cuh"

template <int WIDTH> struct FwdTile {
    static constexpr int MT = WIDTH <= 128 ? 2 : 1, KEYS = WIDTH <= 128 ? 64 : 32, QUERIES = MMA_WARPS * MT * 16;
    static constexpr size_t SHARED = (size_t)(QUERIES + 2 * KEYS) * TILE_STRIDE<WIDTH> * sizeof(Bf16);
};

/* Maximum and sum over the four lanes that share a row. */
static __device__ __forceinline__ float quad_max(float v)
{
    v = fmaxf(v, warp_shfl_xor(v, 1));
    return fmaxf(v, warp_shfl_xor(v, 2));
}
static __device__ __forceinline__ float quad_sum(float v)
{
    v += warp_shfl_xor(v, 1);
    return v + warp_shfl_xor(v, 2);
}

/* What a row knows after some tiles, in units of unscaled scores: largest, Σ exp(scale·(s - largest)); this lane's part of the sum. */
template <int MT> struct RowState {
    float largest[2 * MT], total[2 * MT];
};

/* Scores to exponentials; shrinks what was gathered under a smaller maximum. */
template <int MT, int N, int D8>
static __device__ __forceinline__ void online_softmax(float (&s)[MT][N][4], RowState<MT> &row, float (&o)[MT][D8][4], float scale_log2)
{
    UNROLL
    for (int mt = 0; mt < MT; mt++)
        UNROLL
        for (int half = 0; half < 2; half++) {
            float &largest = row.largest[2 * mt + half], &total = row.total[2 * mt + half], top = largest;
            UNROLL
            for (int j = 0; j < N; j++)
                top = fmaxf(top, fmaxf(s[mt][j][2 * half], s[mt][j][2 * half + 1]));
            top = quad_max(top);
            /* Nothing seen yet: -inf - -inf would be NaN. */
            float shift = top == -INFINITY ? 0.0f : top * scale_log2, shrink = fast_exp2(fmaf(largest, scale_log2, -shift)), sum = 0;
            UNROLL
            for (int j = 0; j < N; j++)
                UNROLL
                for (int i = 2 * half; i < 2 * half + 2; i++) {
                    s[mt][j][i] = fast_exp2(fmaf(s[mt][j][i], scale_log2, -shift));
                    sum += s[mt][j][i];
                }
            total = fmaf(total, shrink, sum);
            largest = top;
            UNROLL
            for (int d = 0; d < D8; d++) {
                o[mt][d][2 * half] *= shrink;
                o[mt][d][2 * half + 1] *= shrink;
            }
        }
}

template <int WIDTH> __global__ void __launch_bounds__(MMA_THREADS)
    attention_fwd_kernel(FwdShape a, const int32_t *cu_q, const int32_t *cu_k, const Bf16 *q, const Bf16 *k, const Bf16 *v, Bf16 *o,
                         float *lse)
{
    typedef FwdTile<WIDTH> Tile;
    constexpr int MT = Tile::MT, KEYS = Tile::KEYS;
    SHARED_MEMORY(Bf16, queries);
    Bf16 *keys = queries + Tile::QUERIES * TILE_STRIDE<WIDTH>, *values = keys + KEYS * TILE_STRIDE<WIDTH>;
    int start_q = load_int(cu_q + blockIdx.z), n_q = load_int(cu_q + blockIdx.z + 1) - start_q;
    int first = (gridDim.x - 1 - blockIdx.x) * Tile::QUERIES; /* under a causal mask the last rows take longest: they begin */
    if (first >= n_q)
        return;
    int start_k = load_int(cu_k + blockIdx.z), n_k = load_int(cu_k + blockIdx.z + 1) - start_k;
    int h = blockIdx.y, kv = h / a.kv_group, warp_first = first + threadIdx.x / WARP * MT * 16;
    Bf16 *mine = queries + threadIdx.x / WARP * MT * 16 * TILE_STRIDE<WIDTH>;
    q += (int64_t)(start_q + first) * a.ldq + h * a.head_dim;
    k += (int64_t)start_k * a.ldk + kv * a.head_dim;
    v += (int64_t)start_k * a.ldv + kv * a.head_dim;
    KeyRange range = attention_keys(first, first + Tile::QUERIES, n_k, a.causal, a.window);
    int key = range.low / KEYS * KEYS;
    k += key * a.ldk;
    v += key * a.ldv;
    float scale_log2 = (float)a.scale * LOG2_E, out[MT][WIDTH / 8][4];
    RowState<MT> row;
    for (int i = 0; i < 2 * MT; i++) {
        row.largest[i] = -INFINITY;
        row.total[i] = 0;
    }
    mma_clear(out);
    tile_fetch<Tile::QUERIES, WIDTH>(queries, q, a.ldq, n_q - first, a.head_dim);
    tile_fetch<KEYS, WIDTH>(keys, k, a.ldk, n_k - key, a.head_dim);
    cp_async_commit();
    for (; key < range.high; key += KEYS) {
        cp_async_wait<0>();
        __syncthreads(); /* the keys are here; nobody reads the last values any more */
        tile_fetch<KEYS, WIDTH>(values, v, a.ldv, n_k - key, a.head_dim);
        cp_async_commit();
        float s[MT][KEYS / 8][4];
        mma_clear(s);
        mma_rows<MT, KEYS, WIDTH>(s, mine, keys);
        bool all_seen = key + KEYS <= n_k && (!a.causal || (key + KEYS - 1 <= warp_first &&
                                                           (a.window == 0 || warp_first + MT * 16 - 1 - key < a.window)));
        if (!all_seen)
            mask_scores<false>(s, warp_first, key, n_k, a.causal, a.window);
        online_softmax(s, row, out, scale_log2);
        cp_async_wait<0>();
        __syncthreads(); /* the values are here; nobody reads these keys any more */
        if (key + KEYS < range.high) {
            k += KEYS * a.ldk;
            v += KEYS * a.ldv;
            tile_fetch<KEYS, WIDTH>(keys, k, a.ldk, n_k - key - KEYS, a.head_dim);
            cp_async_commit();
        }
        mma_columns<MT, KEYS, WIDTH>(out, s, values);
    }
    if (n_k == 0) { /* no tile of keys has waited for the queries, whose place the rows leave by */
        cp_async_wait<0>();
        __syncthreads();
    }
    float inverse[2 * MT];
    UNROLL
    for (int i = 0; i < 2 * MT; i++) {
        row.total[i] = quad_sum(row.total[i]);
        inverse[i] = n_k == 0 ? 0.0f : 1.0f / row.total[i];
    }
    tile_store<MT, WIDTH>(out, inverse, mine, o + (int64_t)(start_q + warp_first) * a.ldo + h * a.head_dim, a.ldo, n_q - warp_first,
                          a.head_dim);
    UNROLL
    for (int i = 0; i < 2 * MT; i++) {
        int r = warp_first + i / 2 * 16 + i % 2 * 8 + warp_lane() / 4;
        if (lse && warp_lane() % 4 == 0 && r < n_q) /* in double: the backward's exponents are differences from it */
            store(lse + h * a.rows_q + start_q + r, (float)(a.scale * (double)row.largest[i] + log((double)row.total[i])));
    }
}

template <int WIDTH> static Status launch_fwd(KernelCtx *ctx, const AttentionFwd *a, const FwdShape &s)
{
    typedef FwdTile<WIDTH> Tile;
    TRY(allow_shared(attention_fwd_kernel<WIDTH>, Tile::SHARED));
    dim3 grid(ceil_div(a->max_q, Tile::QUERIES), (unsigned)a->heads, (unsigned)a->n_segments);
    LAUNCH((attention_fwd_kernel<WIDTH>), grid, MMA_THREADS, Tile::SHARED, cuda_stream(ctx), s, a->cu_q, a->cu_k, (const Bf16 *)a->q,
           (const Bf16 *)a->k, (const Bf16 *)a->v, (Bf16 *)a->o, (float *)a->lse);
    return cuda_launched("attention_fwd");
}

size_t attention_fwd_shared(int64_t head_dim)
{
#define SHARED_WIDTH(width)  \
    if (head_dim <= (width)) \
        return FwdTile<width>::SHARED;
    ATTENTION_WIDTHS(SHARED_WIDTH)
#undef SHARED_WIDTH
    return SIZE_MAX;
}

Status attention_fwd_mma(KernelCtx *ctx, const AttentionFwd *a, const FwdShape &s)
{
#define LAUNCH_WIDTH(width)     \
    if (a->head_dim <= (width)) \
        return launch_fwd<width>(ctx, a, s);
    ATTENTION_WIDTHS(LAUNCH_WIDTH)
#undef LAUNCH_WIDTH
    return fail(ERR_INTERNAL, "attention_fwd: head_dim is %lld", (long long)a->head_dim);
}
