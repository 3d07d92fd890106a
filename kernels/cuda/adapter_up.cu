/* adapter_up.cu: the backward of an adapter's second half (kernels/ops/adapter.h) with one look at dy, which at a small rank is nearly all
 * that is read. A block takes a range of its rows and UP_COLS of its columns, tile by tile, and multiplies each tile with B, for du, and,
 * transposed, with u, for dB. What blocks side by side and one below the other have made is added in order by a second kernel. Ranks and
 * addresses that this does not take are two products of matmul.cu. */
#include "kernels/cuda/adapter.cuh"
#include "kernels/cuda/backend.cuh"
#include "kernels/cuda/map.cuh"
#include "kernels/cuda/mma.cuh"

enum { UP_COLS = 256, UP_TILES = UP_COLS / TILE, UP_BLOCKS = 528 /* two on each multiprocessor of an H100, twice */ };
constexpr int LD_DY = TILE + PAD, LD_UP = ADAPTER_UP_RANK + PAD;
constexpr size_t UP_SHARED = (2 * TILE * LD_DY + UP_COLS * LD_UP + 2 * TILE * LD_UP) * sizeof(Bf16);

struct UpArgs {
    const Bf16 *dy, *b, *u;
    int64_t rows, out, r, lddy, ldu;
    int64_t column_ranges, rows_each; /* rows_each: of a range, a multiple of TILE */
    float *du, *db;                   /* [column_ranges, rows, r]; [row ranges, out, r], NULL: not wanted */
};

static __global__ void __launch_bounds__(MMA_THREADS, 2) adapter_up_mma(UpArgs a)
{
    SHARED_MEMORY(Bf16, dys);                                            /* 2 · [TILE rows][TILE] */
    Bf16 *bs = dys + 2 * TILE * LD_DY, *us = bs + UP_COLS * LD_UP; /* [UP_COLS][rank]; 2 · [TILE rows][rank] */
    int64_t column_range = blockIdx.x % a.column_ranges, row_range = blockIdx.x / a.column_ranges, col0 = column_range * UP_COLS;
    int64_t begin = row_range * a.rows_each, end = begin + a.rows_each < a.rows ? begin + a.rows_each : a.rows;
    auto fetch_dy = [&](int stage, int64_t row, int tile) {
        int64_t col = col0 + tile * TILE;
        fetch_rows<TILE, TILE, LD_DY>(dys + stage * TILE * LD_DY, a.dy + row * a.lddy + col, a.lddy, end - row, a.out - col);
    };
    auto fetch_u = [&](int stage, int64_t row) {
        if (a.db)
            fetch_rows<TILE, ADAPTER_UP_RANK, LD_UP>(us + stage * TILE * LD_UP, a.u + row * a.ldu, a.ldu, end - row, a.r);
    };
    typedef MmaTile<ADAPTER_UP_RANK> M;
    float of_rows[M::MT][M::NT][4], of_columns[UP_TILES][M::MT][M::NT][4];
    UNROLL
    for (int tile = 0; tile < UP_TILES; tile++)
        mma_clear(of_columns[tile]);
    fetch_rows<UP_COLS, ADAPTER_UP_RANK, LD_UP>(bs, a.b + col0 * a.r, a.r, a.out - col0, a.r);
    fetch_u(0, begin);
    fetch_dy(0, begin, 0);
    cp_async_commit();
    int stage = 0, stage_u = 0;
    for (int64_t row = begin; row < end; row += TILE, stage_u ^= 1) {
        mma_clear(of_rows);
        UNROLL
        for (int tile = 0; tile < UP_TILES; tile++, stage ^= 1) {
            cp_async_wait<0>();
            __syncthreads(); /* this tile is here; nobody reads the other place any more */
            if (tile + 1 < UP_TILES)
                fetch_dy(stage ^ 1, row, tile + 1);
            else if (row + TILE < end) {
                fetch_u(stage_u ^ 1, row + TILE);
                fetch_dy(stage ^ 1, row + TILE, 0);
            }
            cp_async_commit();
            const Bf16 *dy = dys + stage * TILE * LD_DY, *u = us + stage_u * TILE * LD_UP + M::column();
            UNROLL
            for (int k = 0; k < TILE; k += DEEP) {
                mma_deep<M::MT, M::NT, false, true, LD_DY, LD_UP>(of_rows, dy + M::row() * LD_DY + k,
                                                                  bs + (tile * TILE + k) * LD_UP + M::column());
                if (a.db)
                    mma_deep<M::MT, M::NT, true, true, LD_DY, LD_UP>(of_columns[tile], dy + k * LD_DY + M::row(), u + k * LD_UP);
            }
        }
        for_pairs<ADAPTER_UP_RANK>([&](int mt, int j, int half, int r, int rank) {
            float *to = a.du + (column_range * a.rows + row + r) * a.r + rank;
            for (int i = 0; i < 2 && row + r < end && rank + i < a.r; i++)
                store(to + i, of_rows[mt][j][2 * half + i]);
        });
    }
    if (!a.db)
        return;
    UNROLL
    for (int tile = 0; tile < UP_TILES; tile++)
        for_pairs<ADAPTER_UP_RANK>([&](int mt, int j, int half, int column, int rank) { /* a row of the tile is a column of dy */
            int64_t col = col0 + tile * TILE + column;
            float *to = a.db + (row_range * a.out + col) * a.r + rank;
            for (int i = 0; i < 2 && col < a.out && rank + i < a.r; i++)
                store(to + i, of_columns[tile][mt][j][2 * half + i]);
        });
}

/* to (+)= scale · Σ ranges, in order; [rows, r] in vectors of four. */
template <class T> struct SumUp {
    const float *partial;
    T *to;
    int64_t r, ld, range; /* range: elements from one to the next */
    int n;
    float scale;
    bool accumulate;
    template <bool ALIGNED> __device__ void apply(int64_t row, int64_t at, int) const
    {
        float sum[VEC<float>], v[VEC<float>];
        load_vector(sum, partial + row * r + at);
        for (int i = 1; i < n; i++) {
            load_vector(v, partial + i * range + row * r + at);
            for (int k = 0; k < VEC<float>; k++)
                sum[k] += v[k];
        }
        for (int k = 0; k < VEC<float>; k++)
            sum[k] *= scale;
        if constexpr (sizeof(T) == sizeof(float)) {
            for (int k = 0; k < VEC<float> && accumulate; k++)
                sum[k] += load(to + row * ld + at + k);
            store_vector(to + row * ld + at, sum);
        } else
            store_half_vector(to + row * ld + at, sum);
    }
};

static bool can_read_once(const AdapterUpBwd *a)
{
    return a->act == BF16 && a->b_type == BF16 && a->r <= ADAPTER_UP_RANK && a->r % 8 == 0 && a->out % 8 == 0 && a->lddy % 8 == 0 &&
           a->ldu % 8 == 0 && a->lddu % 8 == 0 && is_aligned(a->dy) && is_aligned(a->b) && is_aligned(a->u) && is_aligned(a->du) &&
           is_aligned(a->db);
}

static Status read_once(KernelCtx *ctx, const AdapterUpBwd *a)
{
    UpArgs x = {(const Bf16 *)a->dy, (const Bf16 *)a->b, (const Bf16 *)a->u, a->rows, a->out, a->r, a->lddy, a->ldu,
                ceil_div(a->out, UP_COLS), 0, nullptr, nullptr};
    int64_t tiles = ceil_div(a->rows, TILE), wanted = UP_BLOCKS / x.column_ranges;
    x.rows_each = (int64_t)ceil_div(tiles, wanted < 1 ? 1 : wanted < tiles ? wanted : tiles) * TILE;
    int64_t row_ranges = ceil_div(a->rows, x.rows_each), of_rows = a->rows * a->r, of_columns = a->out * a->r;
    void *memory;
    TRY(cuda_workspace(ctx, "adapter_up_bwd", (size_t)(x.column_ranges * of_rows + (a->db ? row_ranges * of_columns : 0)) * sizeof(float),
                       &memory));
    x.du = (float *)memory;
    x.db = a->db ? x.du + x.column_ranges * of_rows : nullptr;
    LAUNCH(adapter_up_mma, dim3((unsigned)(x.column_ranges * row_ranges)), MMA_THREADS, UP_SHARED, cuda_stream(ctx), x);
    SumUp<Bf16> du = {x.du, (Bf16 *)a->du, a->r, a->lddu, of_rows, (int)x.column_ranges, (float)a->scale, false};
    TRY(map_rows<float>(ctx, "adapter_up_bwd", du, a->rows, a->r, true));
    if (!a->db)
        return cuda_launched("adapter_up_bwd");
    SumUp<float> db = {x.db, (float *)a->db, a->r, a->r, of_columns, (int)row_ranges, 1, a->accumulate};
    return map_rows<float>(ctx, "adapter_up_bwd", db, a->out, a->r, true);
}

Status adapter_up_bwd(KernelCtx *ctx, const AdapterUpBwd *a)
{
    TRY(check_adapter_up_bwd(a));
    if (a->rows > 0 && a->out > 0 && a->r > 0 && can_read_once(a))
        return read_once(ctx, a);
    Matmul du = {}, db = {};
    du.m = a->rows, du.n = a->r, du.k = a->out;
    du.a_type = du.c_type = a->act, du.b_type = a->b_type;
    du.lda = a->lddy, du.ldb = a->r, du.ldc = a->lddu;
    du.a = a->dy, du.b = a->b, du.c = a->du, du.alpha = a->scale;
    TRY(matmul_any(ctx, &du));
    if (!a->db)
        return OK;
    db.m = a->out, db.n = a->r, db.k = a->rows;
    db.a_type = db.b_type = a->act, db.c_type = a->grad_type, db.a_trans = true, db.accumulate = a->accumulate;
    db.lda = a->lddy, db.ldb = a->ldu, db.ldc = a->r;
    db.a = a->dy, db.b = a->u, db.c = a->db, db.alpha = 1;
    return matmul_any(ctx, &db);
}
