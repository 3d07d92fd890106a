/* adapter_mma.cu: adapters with dropout in bf16 on tensor cores.
 *
 * Three products with the same shape of block: 256 threads make a tile of 64 by TN, in steps of DEEP along what is summed over. One operand
 * comes by cp.async, a step ahead; x goes through registers, a step ahead as well, eight columns a thread: one call of Philox, bits of what
 * is dropped cleared, to shared memory. So x is read once for every adapter (and once more from the cache for every TN of its rank), and
 * what is dropped costs no memory at all. Rows in shared memory are an odd number of 16 bytes long, so that the eight rows of an ldmatrix
 * lie in different banks. */
#include "kernels/cuda/adapter_mma.cuh"

/* ---- u: a tile of 64 rows and R columns of one part; parts of the same rows follow each other, so that x is in the cache for all but the
 * first */

template <int R> __global__ void __launch_bounds__(MMA_THREADS, 2) down_mma(AdapterParts p, const Bf16 *x, int64_t ldx, Bf16 *u,
                                                                            int64_t tiles)
{
    constexpr int LD = DEEP + PAD;
    SHARED_MEMORY(Bf16, xs); /* 2 · [TILE][DEEP] */
    Bf16 *as = xs + 2 * TILE * LD; /* 2 · [R][DEEP] */
    int64_t row0 = blockIdx.x / tiles * TILE, rank0;
    const AdapterPart &part = p.part[find_part<R>(p, blockIdx.x % tiles, &rank0)];
    int r = threadIdx.x / (DEEP / 8), c = threadIdx.x % (DEEP / 8) * 8;
    bool row_inside = row0 + r < p.rows;
    RowPlace place = {};
    if (row_inside && part.threshold)
        place = row_place(p, row0 + r);
    auto fetch_x = [&](int64_t k) { return row_inside && k + c < p.in ? load_words(x + (row0 + r) * ldx + k + c) : Words{}; };
    auto fetch_a = [&](int stage, int64_t k) {
        fetch_rows<R, DEEP, LD>(as + stage * R * LD, (const Bf16 *)part.a + rank0 * p.in + k, p.in, part.r - rank0, p.in - k);
        cp_async_commit();
    };
    typedef MmaTile<R> M;
    float acc[M::MT][M::NT][4];
    mma_clear(acc);
    Words next = fetch_x(0);
    fetch_a(0, 0);
    int stage = 0;
    for (int64_t k = 0; k < p.in; k += DEEP, stage ^= 1) {
        Bf16 *tile = xs + stage * TILE * LD;
        store_words(tile + r * LD + c, masked(next, part, place, (k + c) / MASK_GROUP));
        cp_async_wait<0>();
        __syncthreads();
        if (k + DEEP < p.in) {
            next = fetch_x(k + DEEP);
            fetch_a(stage ^ 1, k + DEEP);
        }
        mma_deep<M::MT, M::NT, false, false, LD, LD>(acc, tile + M::row() * LD, as + stage * R * LD + M::column() * LD);
    }
    for_pairs<R>([&](int mt, int j, int half, int row, int column) {
        int64_t left = part.r - rank0 - column;
        if (row0 + row < p.rows && left > 0)
            store_pair(u + (row0 + row) * p.ldu + part.at + rank0 + column, part.factor * acc[mt][j][2 * half],
                       part.factor * acc[mt][j][2 * half + 1], left > 1);
    });
}

/* ---- dA: a tile of 64 columns of x and R rows of one part, over a range of the rows of x; sums of several ranges are added in order by
 * another kernel */

struct GradRanges {
    int64_t tiles, in_tiles, rows_each; /* rows_each: of a range, a multiple of DEEP */
    float *partial;                     /* NULL: there is one range, which goes to dA */
    int64_t partial_rows;               /* [ranges, partial_rows, in] */
};

template <int R> __global__ void __launch_bounds__(MMA_THREADS, 2) down_grad_mma(AdapterParts p, const Bf16 *x, int64_t ldx,
                                                                                 const Bf16 *du, GradRanges g)
{
    constexpr int LDX = TILE + PAD, LDU = R + PAD;
    SHARED_MEMORY(Bf16, xs); /* 2 · [DEEP][TILE] */
    Bf16 *us = xs + 2 * DEEP * LDX; /* 2 · [DEEP][R] */
    int64_t at = blockIdx.x / g.tiles, col0 = at % g.in_tiles * TILE, range = at / g.in_tiles, rank0;
    int64_t begin = range * g.rows_each, end = begin + g.rows_each < p.rows ? begin + g.rows_each : p.rows;
    const AdapterPart &part = p.part[find_part<R>(p, blockIdx.x % g.tiles, &rank0)];
    int r = threadIdx.x / (TILE / 8), c = threadIdx.x % (TILE / 8) * 8;
    bool column_inside = col0 + c < p.in;
    Words next = {};
    RowPlace place = {};
    auto fetch_x = [&](int64_t row) {
        bool inside = column_inside && row + r < end;
        next = inside ? load_words(x + (row + r) * ldx + col0 + c) : Words{};
        if (inside && part.threshold)
            place = row_place(p, row + r);
    };
    auto fetch_u = [&](int stage, int64_t row) {
        fetch_rows<DEEP, R, LDU>(us + stage * DEEP * LDU, du + row * p.ldu + part.at + rank0, p.ldu, end - row, part.r - rank0);
        cp_async_commit();
    };
    typedef MmaTile<R> M;
    float acc[M::MT][M::NT][4];
    mma_clear(acc);
    fetch_x(begin);
    fetch_u(0, begin);
    int stage = 0;
    for (int64_t row = begin; row < end; row += DEEP, stage ^= 1) {
        Bf16 *tile = xs + stage * DEEP * LDX;
        store_words(tile + r * LDX + c, masked(next, part, place, (col0 + c) / MASK_GROUP));
        cp_async_wait<0>();
        __syncthreads();
        if (row + DEEP < end) {
            fetch_x(row + DEEP);
            fetch_u(stage ^ 1, row + DEEP);
        }
        mma_deep<M::MT, M::NT, true, true, LDX, LDU>(acc, tile + M::row(), us + stage * DEEP * LDU + M::column());
    }
    for_pairs<R>([&](int mt, int j, int half, int row, int column) { /* a row of the tile is a column of dA */
        UNROLL
        for (int i = 0; i < 2; i++) {
            int64_t rank = rank0 + column + i, col = col0 + row;
            if (rank >= part.r || col >= p.in)
                continue;
            float v = part.factor * acc[mt][j][2 * half + i];
            float *to = g.partial ? g.partial + (range * g.partial_rows + part.at + rank) * p.in + col : part.da + rank * p.in + col;
            store(to, !g.partial && part.accumulate ? load(to) + v : v);
        }
    });
}

/* dA (+)= Σ ranges, in order. */
struct SumRanges {
    const float *partial;
    float *da;
    int64_t in, range; /* range: elements from one to the next */
    int n;
    bool accumulate;
    template <bool ALIGNED> __device__ void apply(int64_t row, int64_t at, int n_columns) const
    {
        float sum[VEC<float>], v[VEC<float>];
        load_some<float, ALIGNED>(sum, accumulate ? da + row * in + at : partial + row * in + at, n_columns);
        for (int i = !accumulate; i < n; i++) {
            load_some<float, ALIGNED>(v, partial + i * range + row * in + at, n_columns);
            for (int k = 0; k < VEC<float>; k++)
                sum[k] += v[k];
        }
        store_some<float, ALIGNED>(da + row * in + at, sum, n_columns);
    }
};

/* ---- dx: a tile of 64 rows and WIDE columns, over the ranks of all parts, each part's product masked as it is added ---- */

constexpr int WIDE = 128, LD_SUM = WIDE + 4;
constexpr size_t BWD_SHARED = 2 * (TILE * (DEEP + PAD) + DEEP * (WIDE + PAD)) * sizeof(Bf16) + TILE * LD_SUM * sizeof(float);

static __global__ void __launch_bounds__(MMA_THREADS, 2) down_bwd_mma(AdapterParts p, const Bf16 *du, Bf16 *dx, int64_t lddx,
                                                                      bool accumulate, int64_t tiles)
{
    constexpr int LDU = DEEP + PAD, LDA = WIDE + PAD, VECTORS = TILE * WIDE / 8 / MMA_THREADS, ROWS = MMA_THREADS / (WIDE / 8);
    SHARED_MEMORY(Bf16, us); /* 2 · [TILE][DEEP] */
    Bf16 *as = us + 2 * TILE * LDU; /* 2 · [DEEP][WIDE] */
    /* [TILE][WIDE], to go from the layout of mma to rows of eight columns */
    float *product = reinterpret_cast<float *>(as + 2 * DEEP * LDA);
    int64_t row0 = blockIdx.x / tiles * TILE, col0 = blockIdx.x % tiles * WIDE;
    int r = threadIdx.x / (WIDE / 8), c = threadIdx.x % (WIDE / 8) * 8; /* this thread's vectors: rows r, r + ROWS, … */
    float total[VECTORS][8];
    UNROLL
    for (int v = 0; v < VECTORS; v++)
        UNROLL
        for (int i = 0; i < 8; i++)
            total[v][i] = 0;
    auto fetch = [&](int stage, int i, int64_t k) {
        const AdapterPart &part = p.part[i];
        fetch_rows<TILE, DEEP, LDU>(us + stage * TILE * LDU, du + row0 * p.ldu + part.at + k, p.ldu, p.rows - row0, part.r - k);
        fetch_rows<DEEP, WIDE, LDA>(as + stage * DEEP * LDA, (const Bf16 *)part.a + k * p.in + col0, p.in, part.r - k, p.in - col0);
        cp_async_commit();
    };
    typedef MmaTile<WIDE> M;
    float acc[M::MT][M::NT][4];
    mma_clear(acc);
    int i = 0, stage = 0;
    int64_t k = 0;
    if (p.n)
        fetch(0, 0, 0);
    while (i < p.n) {
        const AdapterPart &part = p.part[i];
        bool last = k + DEEP >= part.r;
        int next_i = last ? i + 1 : i;
        int64_t next_k = last ? 0 : k + DEEP;
        cp_async_wait<0>();
        __syncthreads();
        if (next_i < p.n)
            fetch(stage ^ 1, next_i, next_k);
        mma_deep<M::MT, M::NT, false, true, LDU, LDA>(acc, us + stage * TILE * LDU + M::row() * LDU, as + stage * DEEP * LDA + M::column());
        if (last) {
            for_pairs<WIDE>([&](int mt, int j, int half, int row, int column) {
                product[row * LD_SUM + column] = acc[mt][j][2 * half];
                product[row * LD_SUM + column + 1] = acc[mt][j][2 * half + 1];
            });
            mma_clear(acc);
            __syncthreads();
            UNROLL
            for (int v = 0; v < VECTORS; v++) {
                int64_t row = row0 + r + v * ROWS;
                RowPlace place = {};
                if (row < p.rows && part.threshold)
                    place = row_place(p, row);
                add_masked(total[v], product + (r + v * ROWS) * LD_SUM + c, part, place, (col0 + c) / MASK_GROUP);
            }
        }
        i = next_i, k = next_k, stage ^= 1;
    }
    UNROLL
    for (int v = 0; v < VECTORS; v++) {
        int64_t row = row0 + r + v * ROWS;
        if (row >= p.rows || col0 + c >= p.in)
            continue;
        Bf16 *to = dx + row * lddx + col0 + c;
        if (accumulate) {
            float before[8];
            load_vector(before, to);
            UNROLL
            for (int n = 0; n < 8; n++)
                total[v][n] += before[n];
        }
        store_vector(to, total[v]);
    }
}

/* ---- host side ---- */

static bool can_vector(const AdapterParts &p, DType act, DType a_type, const void *x, int64_t ldx)
{
    bool can = act == BF16 && a_type == BF16 && p.in % 8 == 0 && is_aligned(x) && ldx % 8 == 0;
    for (int i = 0; i < p.n; i++)
        can = can && is_aligned(p.part[i].a);
    return can;
}

/* The parts' columns of du, too. */
static bool can_copy(const AdapterParts &p, const void *du)
{
    bool can = is_aligned(du) && p.ldu % 8 == 0;
    for (int i = 0; i < p.n; i++)
        can = can && p.part[i].at % 8 == 0;
    return can;
}

static int64_t longest_rank(const AdapterParts &p)
{
    int64_t r = 0;
    for (int i = 0; i < p.n; i++)
        r = p.part[i].r > r ? p.part[i].r : r;
    return r;
}

static Status blocks(const char *op, int64_t n, dim3 *grid)
{
    if (n > INT32_MAX)
        return fail(ERR_INTERNAL, "%s: %lld blocks, at most %d", op, (long long)n, INT32_MAX);
    *grid = dim3((unsigned)n);
    return OK;
}

/* Calls `call` with the constant R, the width of tiles along the rank. */
#define WITH_RANK(longest, R, ...)      \
    do {                                \
        if ((longest) > 64) {           \
            constexpr int R = 128;      \
            __VA_ARGS__                 \
        } else if ((longest) > 32) {    \
            constexpr int R = 64;       \
            __VA_ARGS__                 \
        } else {                        \
            constexpr int R = 32;       \
            __VA_ARGS__                 \
        }                               \
    } while (0)

static int64_t rank_tiles(const AdapterParts &p, int64_t width)
{
    int64_t tiles = 0;
    for (int i = 0; i < p.n; i++)
        tiles += (p.part[i].r + width - 1) / width;
    return tiles;
}

static Status adapter_down(KernelCtx *ctx, const AdapterDown *a)
{
    AdapterParts p;
    dim3 grid;
    TRY(check_adapter_down(a));
    adapter_parts(&p, &a->g, true);
    if (p.rows <= 0 || !p.n)
        return OK;
    if (!can_vector(p, a->g.act, a->g.a_type, a->x, a->ldx))
        return adapter_down_plain(ctx, a, p);
    WITH_RANK(longest_rank(p), R, {
        int64_t tiles = rank_tiles(p, R);
        size_t shared = 2 * (TILE + R) * (DEEP + PAD) * sizeof(Bf16);
        TRY(blocks("adapter_down", tiles * ceil_div(p.rows, TILE), &grid));
        LAUNCH((down_mma<R>), grid, MMA_THREADS, shared, cuda_stream(ctx), p, (const Bf16 *)a->x, a->ldx, (Bf16 *)a->u, tiles);
    });
    return cuda_launched("adapter_down");
}

/* Into how many ranges the rows are cut: what takes the fewest steps of DEEP rows, with SLOTS blocks at work at a time (two on each
 * multiprocessor of an H100) and for each the time of COST steps besides. It depends on the shape alone, and so do the bits. */
static int64_t choose_ranges(int64_t tiles, int64_t rows)
{
    enum { SLOTS = 264, COST = 8, MOST = 32 };
    int64_t best = 1, best_steps = INT64_MAX;
    for (int64_t n = 1; n <= MOST; n++) {
        int64_t steps = ceil_div(tiles * n, SLOTS) * (int64_t)(ceil_div(ceil_div(rows, n), DEEP) + COST);
        if (steps < best_steps)
            best = n, best_steps = steps;
    }
    return best;
}

static Status sum_ranges(KernelCtx *ctx, const AdapterParts &p, const GradRanges &g, int n)
{
    for (int i = 0; i < p.n; i++) {
        const AdapterPart &part = p.part[i];
        SumRanges op = {g.partial + part.at * p.in, part.da, p.in, g.partial_rows * p.in, n, part.accumulate};
        TRY(map_rows<float>(ctx, "adapter_down_grad", op, part.r, p.in, is_aligned(part.da)));
    }
    return OK;
}

static Status adapter_down_grad(KernelCtx *ctx, const AdapterDownGrad *a)
{
    AdapterParts p;
    dim3 grid;
    TRY(check_adapter_down_grad(a));
    int64_t columns = adapter_parts(&p, &a->g, false);
    int n = 0;
    for (int i = 0; i < p.n; i++) { /* those whose gradient is wanted */
        p.part[n] = p.part[i];
        n += p.part[i].da != nullptr;
    }
    p.n = n;
    if (p.in <= 0 || !p.n)
        return OK;
    if (!can_vector(p, a->g.act, BF16, a->x, a->ldx) || !can_copy(p, a->du) || p.rows <= 0)
        return adapter_down_grad_plain(ctx, a, p);
    WITH_RANK(longest_rank(p), R, {
        GradRanges g = {rank_tiles(p, R), ceil_div(p.in, TILE), 0, nullptr, columns};
        int64_t ranges = choose_ranges(g.tiles * g.in_tiles, p.rows);
        g.rows_each = (int64_t)ceil_div(ceil_div(p.rows, ranges), DEEP) * DEEP;
        ranges = ceil_div(p.rows, g.rows_each);
        if (ranges > 1) {
            void *memory;
            TRY(cuda_workspace(ctx, "adapter_down_grad", (size_t)(ranges * columns * p.in) * sizeof(float), &memory));
            g.partial = (float *)memory;
        }
        size_t shared = 2 * DEEP * (TILE + PAD + R + PAD) * sizeof(Bf16);
        TRY(blocks("adapter_down_grad", g.tiles * g.in_tiles * ranges, &grid));
        LAUNCH((down_grad_mma<R>), grid, MMA_THREADS, shared, cuda_stream(ctx), p, (const Bf16 *)a->x, a->ldx, (const Bf16 *)a->du, g);
        if (g.partial)
            TRY(sum_ranges(ctx, p, g, (int)ranges));
    });
    return cuda_launched("adapter_down_grad");
}

static Status adapter_down_bwd(KernelCtx *ctx, const AdapterDownBwd *a)
{
    AdapterParts p;
    dim3 grid;
    TRY(check_adapter_down_bwd(a));
    adapter_parts(&p, &a->g, false);
    int64_t lddx = row_stride(a->lddx, p.in), tiles = ceil_div(p.in, WIDE);
    if (p.rows <= 0 || p.in <= 0)
        return OK;
    if (!can_vector(p, a->g.act, a->g.a_type, a->dx, lddx) || !can_copy(p, a->du))
        return adapter_down_bwd_plain(ctx, a, p);
    if (cuda_stream(ctx) != NO_STREAM && cudaFuncSetAttribute(down_bwd_mma, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                              (int)BWD_SHARED) != cudaSuccess) {
        cudaGetLastError();
        return fail(ERR_DEVICE, "adapter_down_bwd: the device gives a block less than %zu bytes of shared memory", BWD_SHARED);
    }
    TRY(blocks("adapter_down_bwd", tiles * ceil_div(p.rows, TILE), &grid));
    LAUNCH(down_bwd_mma, grid, MMA_THREADS, BWD_SHARED, cuda_stream(ctx), p, (const Bf16 *)a->du, (Bf16 *)a->dx, lddx, a->accumulate,
           tiles);
    return cuda_launched("adapter_down_bwd");
}

void cuda_adapter(KernelTable *t)
{
    t->adapter_down = adapter_down;
    t->adapter_down_grad = adapter_down_grad;
    t->adapter_down_bwd = adapter_down_bwd;
    t->adapter_up_bwd = adapter_up_bwd;
}
