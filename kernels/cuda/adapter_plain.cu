/* adapter_plain.cu: adapters with dropout for every type, stride and alignment, on plain multiply-adds. A block makes a tile of 16 × 16
 * elements of the result, a thread one of them, from tiles of the operands that are masked on their way to shared memory. */
#include "kernels/cuda/adapter.cuh"

enum { PLAIN = 16, PLAIN_THREADS = PLAIN * PLAIN, PLAIN_STRIDE = PLAIN + 1, PLAIN_SHARED = 2 * PLAIN * PLAIN_STRIDE * (int)sizeof(float) };

static __host__ __device__ __forceinline__ int64_t tiles_of(int64_t n) { return (n + PLAIN - 1) / PLAIN; }

/* The numbers of eight columns of a row; a threshold of 0 keeps them all, whatever they are. */
static __device__ __forceinline__ Philox4 mask_numbers(const AdapterParts &p, uint64_t key, uint32_t threshold, int64_t row, int64_t group)
{
    if (!threshold)
        return Philox4{};
    return philox4x32(key, (uint32_t)group, (uint32_t)load_int(p.row_pos + row), (uint32_t)load_int(p.row_item + row), 0);
}

/* x[row0 …][col0 …], dropped and widened; col0 is a multiple of 16. What is beyond the matrix is zero. */
template <class T>
static __device__ __forceinline__ void dropped_tile(float *tile, const AdapterParts &p, const AdapterPart &part, const T *x, int64_t ldx,
                                                    int64_t row0, int64_t col0)
{
    for (int i = threadIdx.x; i < PLAIN * PLAIN / MASK_GROUP; i += PLAIN_THREADS) {
        int r = i / (PLAIN / MASK_GROUP), c = i % (PLAIN / MASK_GROUP) * MASK_GROUP;
        bool inside = row0 + r < p.rows && col0 + c < p.in;
        Philox4 numbers = {};
        if (inside)
            numbers = mask_numbers(p, part.key, part.threshold, row0 + r, (col0 + c) / MASK_GROUP);
        for (int k = 0; k < MASK_GROUP; k++) {
            bool kept = inside && col0 + c + k < p.in && philox_half(&numbers, k) >= part.threshold;
            tile[r * PLAIN_STRIDE + c + k] = kept ? load(x + (row0 + r) * ldx + col0 + c + k) : 0.0f;
        }
    }
}

/* m[row0 …][col0 …] of a [rows, cols]. */
template <class T> static __device__ __forceinline__ void plain_tile(float *tile, const T *m, int64_t ld, int64_t rows, int64_t cols,
                                                                     int64_t row0, int64_t col0)
{
    int r = threadIdx.x / PLAIN, c = threadIdx.x % PLAIN;
    tile[r * PLAIN_STRIDE + c] = row0 + r < rows && col0 + c < cols ? load(m + (row0 + r) * ld + col0 + c) : 0.0f;
}

/* Whose tile it is, of all parts' tiles one after the other; tile becomes its number there. */
static __device__ const AdapterPart &part_of(const AdapterParts &p, int64_t &tile)
{
    int i = 0;
    for (; tile >= tiles_of(p.part[i].r); i++)
        tile -= tiles_of(p.part[i].r);
    return p.part[i];
}

/* u: blockIdx.x along the rows, blockIdx.y along the columns of all parts. */
template <class T, class A> __global__ void __launch_bounds__(PLAIN_THREADS) down_kernel(AdapterParts p, const T *x, int64_t ldx, T *u)
{
    SHARED_MEMORY(float, xs);
    float *as = xs + PLAIN * PLAIN_STRIDE;
    int64_t row0 = (int64_t)blockIdx.x * PLAIN, tile = blockIdx.y;
    int r = threadIdx.x / PLAIN, c = threadIdx.x % PLAIN;
    const AdapterPart &part = part_of(p, tile);
    float sum = 0;
    for (int64_t k = 0; k < p.in; k += PLAIN) {
        __syncthreads();
        dropped_tile(xs, p, part, x, ldx, row0, k);
        plain_tile(as, (const A *)part.a, p.in, part.r, p.in, tile * PLAIN, k);
        __syncthreads();
        for (int l = 0; l < PLAIN; l++)
            sum += xs[r * PLAIN_STRIDE + l] * as[c * PLAIN_STRIDE + l];
    }
    if (row0 + r < p.rows && tile * PLAIN + c < part.r)
        store(u + (row0 + r) * p.ldu + part.at + tile * PLAIN + c, part.factor * sum);
}

/* dA: blockIdx.x along the columns, blockIdx.y along the rows of all parts. */
template <class T> __global__ void __launch_bounds__(PLAIN_THREADS) down_grad_kernel(AdapterParts p, const T *x, int64_t ldx, const T *du)
{
    SHARED_MEMORY(float, xs);
    float *us = xs + PLAIN * PLAIN_STRIDE;
    int64_t col0 = (int64_t)blockIdx.x * PLAIN, tile = blockIdx.y;
    int r = threadIdx.x / PLAIN, c = threadIdx.x % PLAIN;
    const AdapterPart &part = part_of(p, tile);
    float sum = 0;
    for (int64_t row0 = 0; row0 < p.rows && part.da; row0 += PLAIN) {
        __syncthreads();
        dropped_tile(xs, p, part, x, ldx, row0, col0);
        plain_tile(us, du + part.at, p.ldu, p.rows, part.r, row0, tile * PLAIN);
        __syncthreads();
        for (int l = 0; l < PLAIN; l++)
            sum += us[l * PLAIN_STRIDE + r] * xs[l * PLAIN_STRIDE + c];
    }
    if (part.da && tile * PLAIN + r < part.r && col0 + c < p.in) {
        float *to = part.da + (tile * PLAIN + r) * p.in + col0 + c;
        store(to, (part.accumulate ? load(to) : 0.0f) + part.factor * sum);
    }
}

/* dx: blockIdx.x along the rows, blockIdx.y along the columns. */
template <class T, class A>
__global__ void __launch_bounds__(PLAIN_THREADS) down_bwd_kernel(AdapterParts p, const T *du, T *dx, int64_t lddx, bool accumulate)
{
    SHARED_MEMORY(float, us);
    float *as = us + PLAIN * PLAIN_STRIDE;
    int r = threadIdx.x / PLAIN, c = threadIdx.x % PLAIN;
    int64_t row0 = (int64_t)blockIdx.x * PLAIN, col0 = (int64_t)blockIdx.y * PLAIN, row = row0 + r, col = col0 + c;
    bool inside = row < p.rows && col < p.in;
    float total = inside && accumulate ? load(dx + row * lddx + col) : 0.0f;
    for (int i = 0; i < p.n; i++) {
        const AdapterPart &part = p.part[i];
        float sum = 0;
        for (int64_t k = 0; k < part.r; k += PLAIN) {
            __syncthreads();
            plain_tile(us, du + part.at, p.ldu, p.rows, part.r, row0, k);
            plain_tile(as, (const A *)part.a, p.in, part.r, p.in, k, col0);
            __syncthreads();
            for (int l = 0; l < PLAIN; l++)
                sum += us[r * PLAIN_STRIDE + l] * as[l * PLAIN_STRIDE + c];
        }
        Philox4 numbers = {};
        if (inside)
            numbers = mask_numbers(p, part.key, part.threshold, row, col / MASK_GROUP);
        total += philox_half(&numbers, (int)(col % MASK_GROUP)) >= part.threshold ? part.factor * sum : 0.0f;
    }
    if (inside)
        store(dx + row * lddx + col, total);
}

static int64_t rank_tiles(const AdapterParts &p)
{
    int64_t tiles = 0;
    for (int i = 0; i < p.n; i++)
        tiles += tiles_of(p.part[i].r);
    return tiles;
}

/* blockIdx.x may be anything that a tensor has; blockIdx.y not. */
static Status plain_grid(const char *op, int64_t x, int64_t y, dim3 *grid)
{
    const int64_t most = 65535;
    if (y > most)
        return fail(ERR_INTERNAL, "%s: %lld tiles of 16 columns, at most %lld", op, (long long)y, (long long)most);
    *grid = dim3((unsigned)x, (unsigned)y);
    return OK;
}

Status adapter_down_plain(KernelCtx *ctx, const AdapterDown *a, const AdapterParts &p)
{
    dim3 grid;
    TRY(plain_grid("adapter_down", tiles_of(p.rows), rank_tiles(p), &grid));
    WITH_TYPE(a->g.act, T, {
        WITH_TYPE(a->g.a_type, A, { LAUNCH((down_kernel<T, A>), grid, PLAIN_THREADS, PLAIN_SHARED, cuda_stream(ctx), p, (const T *)a->x,
                                           a->ldx, (T *)a->u); });
    });
    return cuda_launched("adapter_down");
}

Status adapter_down_grad_plain(KernelCtx *ctx, const AdapterDownGrad *a, const AdapterParts &p)
{
    dim3 grid;
    TRY(plain_grid("adapter_down_grad", tiles_of(p.in), rank_tiles(p), &grid));
    WITH_TYPE(a->g.act, T, {
        LAUNCH((down_grad_kernel<T>), grid, PLAIN_THREADS, PLAIN_SHARED, cuda_stream(ctx), p, (const T *)a->x, a->ldx, (const T *)a->du);
    });
    return cuda_launched("adapter_down_grad");
}

Status adapter_down_bwd_plain(KernelCtx *ctx, const AdapterDownBwd *a, const AdapterParts &p)
{
    dim3 grid;
    TRY(plain_grid("adapter_down_bwd", tiles_of(p.rows), tiles_of(p.in), &grid));
    WITH_TYPE(a->g.act, T, {
        WITH_TYPE(a->g.a_type, A, {
            LAUNCH((down_bwd_kernel<T, A>), grid, PLAIN_THREADS, PLAIN_SHARED, cuda_stream(ctx), p, (const T *)a->du, (T *)a->dx,
                   row_stride(a->lddx, p.in),
                   a->accumulate);
        });
    });
    return cuda_launched("adapter_down_bwd");
}
