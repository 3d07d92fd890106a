/* attention_bwd.cu: flash attention backward on tensor cores, in two passes so that every sum has one owner and one order: dq by tiles of
 * queries, then dk and dv by tiles of keys over all query heads that read them. Both form S and P anew from q, k and lse (Dao 2023,
 * algorithm 2); in the second everything is transposed, so that Pᵀ and dSᵀ leave one product where the next one wants them. The right
 * operands' tiles have two places: while one is multiplied the next arrives. */
#include "kernels/cuda/attention_mma.cuh"
#include "kernels/cuda/backend.cuh"

/* Rows of the block's own two tiles (MT·16 a warp) and of the two tiles that pass by, twice. */
template <int WIDTH, int MT_> struct BwdTile {
    static constexpr int MT = MT_, OWN = MMA_WARPS * MT * 16, PASSING = 32;
    static constexpr size_t ELEMENTS = (size_t)(2 * OWN + 4 * PASSING) * TILE_STRIDE<WIDTH>;
    static constexpr size_t SHARED = ELEMENTS * sizeof(Bf16) + 4 * PASSING * sizeof(float); /* and lse, delta of passing queries, twice */
};
/* BLOCKS: how many a multiprocessor shall hold at once, where ptxas would take the registers of one for little; 0: as it likes. */
/* Every tile of keys is read for twice as many rows where shared memory has room for two such blocks: on Hopper, at width 128. */
template <int WIDTH> constexpr int DQ_LEAST = WIDTH <= 64 ? 2 : 1;
template <int WIDTH> constexpr int DQ_MOST = WIDTH == 128 ? 2 : DQ_LEAST<WIDTH>;
template <int WIDTH, int MT> struct DqTile : BwdTile<WIDTH, MT> {
    static constexpr int BLOCKS = WIDTH == 64 ? 3 : WIDTH == 128 && MT == 2 ? 2 : 0;
};
template <int WIDTH> struct DkvTile : BwdTile<WIDTH, WIDTH <= 32 ? 2 : 1> {
    static constexpr int BLOCKS = WIDTH == 80 || WIDTH == 96 ? 3 : 0;
};

/* What both passes read of the queries. */
struct QuerySource {
    const Bf16 *q, *d_o;
    const float *lse;
    const double *delta;
};

/* ---- dq ---- */

/* s = P∘(dP - delta) out of scores, masked, and dP; rows are queries, columns keys. */
template <int MT, int N>
static __device__ __forceinline__ void score_gradient(float (&s)[MT][N][4], const float (&dp)[MT][N][4], const float *lse_log2,
                                                      const float *delta, float scale_log2)
{
    UNROLL
    for (int mt = 0; mt < MT; mt++)
        UNROLL
        for (int j = 0; j < N; j++)
            UNROLL
            for (int i = 0; i < 4; i++) {
                float p = fast_exp2(fmaf(s[mt][j][i], scale_log2, -lse_log2[2 * mt + i / 2]));
                s[mt][j][i] = p * (dp[mt][j][i] - delta[2 * mt + i / 2]);
            }
}

template <int WIDTH, int MT> __global__ void __launch_bounds__(MMA_THREADS, DqTile<WIDTH, MT>::BLOCKS)
    attention_dq_kernel(BwdShape a, const int32_t *cu_q, const int32_t *cu_k, QuerySource from, const Bf16 *k, const Bf16 *v, Bf16 *dq)
{
    typedef DqTile<WIDTH, MT> Tile;
    constexpr int KEYS = Tile::PASSING, STRIDE = TILE_STRIDE<WIDTH>;
    SHARED_MEMORY(Bf16, queries);
    Bf16 *gradients = queries + Tile::OWN * STRIDE, *passing = gradients + Tile::OWN * STRIDE; /* [2][keys, values] */
    int start_q = load_int(cu_q + blockIdx.z), n_q = load_int(cu_q + blockIdx.z + 1) - start_q,
            first = (gridDim.x - 1 - blockIdx.x) * Tile::OWN;
    if (first >= n_q)
        return;
    int start_k = load_int(cu_k + blockIdx.z), n_k = load_int(cu_k + blockIdx.z + 1) - start_k;
    int h = blockIdx.y, kv = h / a.kv_group, warp_row = threadIdx.x / WARP * MT * 16, warp_first = first + warp_row;
    float row_lse[2 * MT], row_delta[2 * MT], scale_log2 = (float)a.scale * LOG2_E, acc[MT][WIDTH / 8][4];
    for (int i = 0; i < 2 * MT; i++) {
        int r = warp_first + i / 2 * 16 + i % 2 * 8 + warp_lane() / 4;
        int64_t at = h * a.rows_q + start_q + r;
        row_lse[i] = r < n_q ? load(from.lse + at) * LOG2_E : INFINITY; /* rows beyond the end get P = 0 */
        row_delta[i] = r < n_q ? (float)load(from.delta + at) : 0.0f;
    }
    mma_clear(acc);
    KeyRange range = attention_keys(first, first + Tile::OWN, n_k, a.causal, a.window);
    int key = range.low / KEYS * KEYS, place = 0;
    k += (int64_t)(start_k + key) * a.ldk + kv * a.head_dim;
    v += (int64_t)(start_k + key) * a.ldv + kv * a.head_dim;
    tile_fetch<Tile::OWN, WIDTH>(queries, from.q + (int64_t)(start_q + first) * a.ldq + h * a.head_dim, a.ldq, n_q - first, a.head_dim);
    tile_fetch<Tile::OWN, WIDTH>(gradients, from.d_o + (int64_t)(start_q + first) * a.lddo + h * a.head_dim, a.lddo, n_q - first,
                                 a.head_dim);
    tile_fetch<KEYS, WIDTH>(passing, k, a.ldk, n_k - key, a.head_dim);
    tile_fetch<KEYS, WIDTH>(passing + KEYS * STRIDE, v, a.ldv, n_k - key, a.head_dim);
    cp_async_commit();
    for (; key < range.high; key += KEYS, place ^= 1) {
        const Bf16 *keys = passing + place * 2 * KEYS * STRIDE, *values = keys + KEYS * STRIDE;
        cp_async_wait<0>();
        __syncthreads(); /* this tile is here; nobody reads the other place any more */
        if (key + KEYS < range.high) {
            Bf16 *next = passing + (place ^ 1) * 2 * KEYS * STRIDE;
            k += KEYS * a.ldk;
            v += KEYS * a.ldv;
            tile_fetch<KEYS, WIDTH>(next, k, a.ldk, n_k - key - KEYS, a.head_dim);
            tile_fetch<KEYS, WIDTH>(next + KEYS * STRIDE, v, a.ldv, n_k - key - KEYS, a.head_dim);
            cp_async_commit();
        }
        float s[MT][KEYS / 8][4], dp[MT][KEYS / 8][4];
        mma_clear(s);
        mma_rows<MT, KEYS, WIDTH>(s, queries + warp_row * STRIDE, keys);
        mma_clear(dp);
        mma_rows<MT, KEYS, WIDTH>(dp, gradients + warp_row * STRIDE, values);
        bool all_seen = key + KEYS <= n_k && (!a.causal || (key + KEYS - 1 <= warp_first &&
                                                           (a.window == 0 || warp_first + MT * 16 - 1 - key < a.window)));
        if (!all_seen)
            mask_scores<false>(s, warp_first, key, n_k, a.causal, a.window);
        score_gradient(s, dp, row_lse, row_delta, scale_log2);
        mma_columns<MT, KEYS, WIDTH>(acc, s, keys);
    }
    if (n_k == 0) { /* no tile of keys has waited for the queries, whose place the rows leave by */
        cp_async_wait<0>();
        __syncthreads();
    }
    float factor[2 * MT];
    for (int i = 0; i < 2 * MT; i++)
        factor[i] = (float)a.scale;
    tile_store<MT, WIDTH>(acc, factor, queries + warp_row * STRIDE, dq + (int64_t)(start_q + warp_first) * a.lddq + h * a.head_dim, a.lddq,
                          n_q - warp_first, a.head_dim);
}

/* ---- dk, dv ---- */

/* s = Pᵀ and dp = Pᵀ∘(dP - delta)ᵀ out of the transposed products; rows are keys, columns queries. */
template <int MT, int N>
static __device__ __forceinline__ void score_gradient_transposed(float (&s)[MT][N][4], float (&dp)[MT][N][4], const float *lse_log2,
                                                                 const float *delta, float scale_log2)
{
    UNROLL
    for (int j = 0; j < N; j++)
        UNROLL
        for (int c = 0; c < 2; c++) {
            int column = j * 8 + warp_lane() % 4 * 2 + c;
            float column_lse = lse_log2[column], column_delta = delta[column]; /* +inf beyond the end: P = 0 */
            UNROLL
            for (int mt = 0; mt < MT; mt++)
                UNROLL
                for (int i = c; i < 4; i += 2) {
                    s[mt][j][i] = fast_exp2(fmaf(s[mt][j][i], scale_log2, -column_lse));
                    dp[mt][j][i] = s[mt][j][i] * (dp[mt][j][i] - column_delta);
                }
        }
}

/* The tiles of queries that pass by a block: those of one query head after the other. */
struct QueryWalk {
    int h, query; /* of the next tile */
    KeyRange range;
};
template <int QUERIES> static __device__ __forceinline__ void next_tile(QueryWalk &w)
{
    w.query += QUERIES;
    if (w.query >= w.range.high) {
        w.query = w.range.low;
        w.h++;
    }
}

/* Begins to copy one tile of queries and gradients; thread t gets lse and delta of query t, which must be stored before the barrier. */
template <int QUERIES, int WIDTH>
static __device__ __forceinline__ void fetch_queries(Bf16 *tile, float2 &statistics, const QueryWalk &w, const QuerySource &from,
                                                     const BwdShape &a,
                                                     int start_q, int n_q)
{
    int64_t row = start_q + w.query;
    tile_fetch<QUERIES, WIDTH>(tile, from.q + row * a.ldq + w.h * a.head_dim, a.ldq, n_q - w.query, a.head_dim);
    tile_fetch<QUERIES, WIDTH>(tile + QUERIES * TILE_STRIDE<WIDTH>, from.d_o + row * a.lddo + w.h * a.head_dim, a.lddo, n_q - w.query,
                               a.head_dim);
    cp_async_commit();
    int t = threadIdx.x;
    if (t < QUERIES) {
        bool inside = w.query + t < n_q;
        int64_t at = w.h * a.rows_q + row + t;
        statistics.x = inside ? load(from.lse + at) * LOG2_E : INFINITY;
        statistics.y = inside ? (float)load(from.delta + at) : 0.0f;
    }
}

/* DK and DV: which of the two this launch makes. Both at once share S, and are used up to the width whose accumulators fit the
 * registers. */
template <int WIDTH, bool DK, bool DV> __global__ void __launch_bounds__(MMA_THREADS, DkvTile<WIDTH>::BLOCKS)
    attention_dkv_kernel(BwdShape a, const int32_t *cu_q, const int32_t *cu_k, QuerySource from, const Bf16 *k, const Bf16 *v, Bf16 *dk,
                         Bf16 *dv)
{
    typedef DkvTile<WIDTH> Tile;
    constexpr int MT = Tile::MT, QUERIES = Tile::PASSING, STRIDE = TILE_STRIDE<WIDTH>;
    SHARED_MEMORY(Bf16, keys);
    Bf16 *values = keys + Tile::OWN * STRIDE, *passing = values + Tile::OWN * STRIDE; /* [2][queries, gradients] */
    float *statistics = reinterpret_cast<float *>(keys + Tile::ELEMENTS);             /* [2][lse, delta][QUERIES] */
    int start_k = load_int(cu_k + blockIdx.z), n_k = load_int(cu_k + blockIdx.z + 1) - start_k, first = blockIdx.x * Tile::OWN;
    if (first >= n_k)
        return;
    int start_q = load_int(cu_q + blockIdx.z), n_q = load_int(cu_q + blockIdx.z + 1) - start_q;
    int kv = blockIdx.y, warp_row = threadIdx.x / WARP * MT * 16, warp_first = first + warp_row, place = 0;
    float scale_log2 = (float)a.scale * LOG2_E, acc_k[MT][WIDTH / 8][4], acc_v[MT][WIDTH / 8][4];
    float2 mine = {0, 0};
    mma_clear(acc_k);
    mma_clear(acc_v);
    QueryWalk walk;
    walk.range = attention_queries(first, first + Tile::OWN < n_k ? first + Tile::OWN : n_k, n_q, a.causal, a.window);
    walk.range.low = walk.range.low / QUERIES * QUERIES;
    walk.h = kv * a.kv_group;
    walk.query = walk.range.low;
    tile_fetch<Tile::OWN, WIDTH>(keys, k + (int64_t)(start_k + first) * a.ldk + kv * a.head_dim, a.ldk, n_k - first, a.head_dim);
    tile_fetch<Tile::OWN, WIDTH>(values, v + (int64_t)(start_k + first) * a.ldv + kv * a.head_dim, a.ldv, n_k - first, a.head_dim);
    fetch_queries<QUERIES, WIDTH>(passing, mine, walk, from, a, start_q, n_q);
    for (; walk.h < (kv + 1) * a.kv_group; place ^= 1) {
        const Bf16 *queries = passing + place * 2 * QUERIES * STRIDE, *gradients = queries + QUERIES * STRIDE;
        float *lse = statistics + place * 2 * QUERIES, *delta = lse + QUERIES;
        int query = walk.query;
        if ((int)threadIdx.x < QUERIES) {
            lse[threadIdx.x] = mine.x;
            delta[threadIdx.x] = mine.y;
        }
        cp_async_wait<0>();
        __syncthreads(); /* this tile is here; nobody reads the other place any more */
        next_tile<QUERIES>(walk);
        if (walk.h < (kv + 1) * a.kv_group)
            fetch_queries<QUERIES, WIDTH>(passing + (place ^ 1) * 2 * QUERIES * STRIDE, mine, walk, from, a, start_q, n_q);
        float s[MT][QUERIES / 8][4], dp[MT][QUERIES / 8][4];
        mma_clear(s);
        mma_rows<MT, QUERIES, WIDTH>(s, keys + warp_row * STRIDE, queries);
        mma_clear(dp);
        mma_rows<MT, QUERIES, WIDTH>(dp, values + warp_row * STRIDE, gradients);
        bool all_seen = !a.causal || (query >= warp_first + MT * 16 - 1 && (a.window == 0 || query + QUERIES - 1 - warp_first < a.window));
        if (!all_seen)
            mask_scores<true>(s, query, warp_first, n_k, a.causal, a.window);
        score_gradient_transposed(s, dp, lse, delta, scale_log2);
        if (DV)
            mma_columns<MT, QUERIES, WIDTH>(acc_v, s, gradients);
        if (DK)
            mma_columns<MT, QUERIES, WIDTH>(acc_k, dp, queries);
    }
    float one[2 * MT], scale[2 * MT];
    for (int i = 0; i < 2 * MT; i++) {
        one[i] = 1;
        scale[i] = (float)a.scale;
    }
    int64_t row = start_k + warp_first;
    if (DK)
        tile_store<MT, WIDTH>(acc_k, scale, keys + warp_row * STRIDE, dk + row * a.lddk + kv * a.head_dim, a.lddk, n_k - warp_first,
                              a.head_dim);
    if (DV)
        tile_store<MT, WIDTH>(acc_v, one, values + warp_row * STRIDE, dv + row * a.lddv + kv * a.head_dim, a.lddv, n_k - warp_first,
                              a.head_dim);
}

template <int WIDTH, bool DK, bool DV>
static Status launch_dkv(KernelCtx *ctx, const AttentionBwd *a, const BwdShape &s, const QuerySource &from)
{
    typedef DkvTile<WIDTH> Tile;
    TRY(allow_shared(attention_dkv_kernel<WIDTH, DK, DV>, Tile::SHARED));
    dim3 grid(ceil_div(a->max_k, Tile::OWN), (unsigned)a->kv_heads, (unsigned)a->n_segments);
    LAUNCH((attention_dkv_kernel<WIDTH, DK, DV>), grid, MMA_THREADS, Tile::SHARED, cuda_stream(ctx), s, a->cu_q, a->cu_k, from,
           (const Bf16 *)a->k,
           (const Bf16 *)a->v, (Bf16 *)a->dk, (Bf16 *)a->dv);
    return cuda_launched("attention_bwd");
}

template <int WIDTH, int MT> static Status launch_dq(KernelCtx *ctx, const AttentionBwd *a, const BwdShape &s, const QuerySource &from)
{
    typedef DqTile<WIDTH, MT> Tile;
    TRY(allow_shared((attention_dq_kernel<WIDTH, MT>), Tile::SHARED));
    dim3 grid(ceil_div(a->max_q, Tile::OWN), (unsigned)a->heads, (unsigned)a->n_segments);
    LAUNCH((attention_dq_kernel<WIDTH, MT>), grid, MMA_THREADS, Tile::SHARED, cuda_stream(ctx), s, a->cu_q, a->cu_k, from,
           (const Bf16 *)a->k, (const Bf16 *)a->v, (Bf16 *)a->dq);
    return cuda_launched("attention_bwd");
}

template <int WIDTH> static Status launch_bwd(KernelCtx *ctx, const AttentionBwd *a, const BwdShape &s, const double *delta)
{
    QuerySource from = {(const Bf16 *)a->q, (const Bf16 *)a->d_o, (const float *)a->lse, delta};
    if (a->dq && a->max_q > 0) {
        bool most = 2 * DqTile<WIDTH, DQ_MOST<WIDTH>>::SHARED <= cuda_state(ctx)->shared_most;
        TRY((most ? launch_dq<WIDTH, DQ_MOST<WIDTH>>(ctx, a, s, from) : launch_dq<WIDTH, DQ_LEAST<WIDTH>>(ctx, a, s, from)));
    }
    if (!a->dk || a->max_k == 0)
        return OK;
    constexpr bool BOTH = WIDTH <= 160;
    TRY((launch_dkv<WIDTH, true, BOTH>(ctx, a, s, from)));
    return BOTH ? OK : launch_dkv<WIDTH, BOTH, true>(ctx, a, s, from);
}

template <int WIDTH> static constexpr size_t bwd_shared()
{
    constexpr size_t dq = DqTile<WIDTH, DQ_LEAST<WIDTH>>::SHARED, dkv = DkvTile<WIDTH>::SHARED;
    return dq > dkv ? dq : dkv;
}

size_t attention_bwd_shared(int64_t head_dim)
{
#define SHARED_WIDTH(width)  \
    if (head_dim <= (width)) \
        return bwd_shared<width>();
    ATTENTION_WIDTHS(SHARED_WIDTH)
#undef SHARED_WIDTH
    return SIZE_MAX;
}

Status attention_bwd_mma(KernelCtx *ctx, const AttentionBwd *a, const BwdShape &s, const double *delta)
{
#define LAUNCH_WIDTH(width)     \
    if (a->head_dim <= (width)) \
        return launch_bwd<width>(ctx, a, s, delta);
    ATTENTION_WIDTHS(LAUNCH_WIDTH)
#undef LAUNCH_WIDTH
    return fail(ERR_INTERNAL, "attention_bwd: head_dim is %lld", (long long)a->head_dim);
}
