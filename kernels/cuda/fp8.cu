/* fp8.cu: matrices of 8-bit floats (ops/fp8.h). Rows are quantized by a block each, which keeps them in registers between looking for the
 * largest number and scaling; weights, once, also by columns. Products are cuBLASLt's (matmul.cu), whose fp8 kernels want both operands
 * along k, as they lie here. Where it scales by row and column they are one call; elsewhere sums of a stretch of rows come out in f32
 * first. */
#include "kernels/cuda/backend.cuh"
#include "kernels/cuda/map.cuh"

enum { QUANTIZE_THREADS = 512, KEPT_SHORT = 2, KEPT_LONG = 8 /* vectors a thread keeps */, SIDE = 32, LANES = 8, DEPTH = 64, PIECE = 8,
       TILE_ROW = DEPTH + PIECE /* codes between rows of a tile */ };
/* Of sums that are scaled by a pass of their own. */
constexpr int64_t SUMS_BYTES = 64 << 20;

/* The larger magnitude; an infinity when x is not finite. */
static __device__ __forceinline__ float larger(float most, float x)
{
    float m = fabsf(x);
    return m <= 3.4028235e38f ? fmaxf(most, m) : INFINITY;
}

/* Codes of n neighbours. */
template <int N> struct alignas(N) Codes {
    uint16_t pair[N / 2];
};
template <class T> static __device__ __forceinline__ void store_codes(uint8_t *to, const float x[VEC<T>], float factor)
{
    Codes<VEC<T>> out;
    UNROLL
    for (int j = 0; j < VEC<T>; j += 2)
        out.pair[j / 2] = pack_fp8(x[j] * factor, x[j + 1] * factor);
    count_write(to, sizeof out);
    *reinterpret_cast<Codes<VEC<T>> *>(to) = out;
}
static __device__ __forceinline__ void store_code(uint8_t *to, uint8_t code)
{
    count_write(to, 1);
    *to = code;
}
/* A row that is zero, or not finite, has no number in its codes: 0 · an infinity would be one. */
static __device__ __forceinline__ uint8_t code_of(float x, float factor) { return factor == 0.0f ? 0 : f32_to_fp8(x * factor); }

/* The block's largest, in every thread. slots: 32 floats of shared memory. */
static __device__ __forceinline__ float block_largest(float v, float *slots)
{
    v = warp_max(v);
    if (warp_lane() == 0)
        slots[threadIdx.x / WARP] = v;
    __syncthreads();
    for (int i = 0; i < (int)(blockDim.x / WARP); i++)
        v = fmaxf(v, slots[i]);
    return v;
}

template <class T> struct QuantizeArgs {
    const T *x;
    uint8_t *code;
    float *scale;
    int64_t rows, cols, ldx;
};

/* A block a row, a vector a thread, KEPT times; KEPT 0: rows that are too wide or not aligned are read twice, element by element. */
template <class T, int KEPT> __global__ void __launch_bounds__(QUANTIZE_THREADS) quantize_kernel(QuantizeArgs<T> a)
{
    SHARED_MEMORY(float, slots);
    const T *x = a.x + blockIdx.x * a.ldx;
    uint8_t *code = a.code + blockIdx.x * a.cols;
    float kept[KEPT ? KEPT : 1][VEC<T>], most = 0;
    UNROLL
    for (int k = 0; k < KEPT; k++) {
        int64_t at = ((int64_t)k * blockDim.x + threadIdx.x) * VEC<T>;
        if (at < a.cols) {
            load_vector(kept[k], x + at);
            UNROLL
            for (int j = 0; j < VEC<T>; j++)
                most = larger(most, kept[k][j]);
        }
    }
    for (int64_t at = threadIdx.x; !KEPT && at < a.cols; at += blockDim.x)
        most = larger(most, load(x + at));
    most = block_largest(most, slots);
    const float factor = fp8_row_factor(most);
    if (threadIdx.x == 0)
        store(a.scale + blockIdx.x, fp8_row_scale(most));
    UNROLL
    for (int k = 0; k < KEPT; k++) {
        int64_t at = ((int64_t)k * blockDim.x + threadIdx.x) * VEC<T>;
        UNROLL
        for (int j = 0; j < VEC<T>; j++)
            kept[k][j] = factor == 0.0f ? 0.0f : kept[k][j];
        if (at < a.cols)
            store_codes<T>(code + at, kept[k], factor);
    }
    for (int64_t at = threadIdx.x; !KEPT && at < a.cols; at += blockDim.x)
        store_code(code + at, code_of(load(x + at), factor));
}

/* x by columns: a block makes SIDE rows of the result, SIDE threads beside each other read a row of x; DEPTH rows of x pass through shared
 * memory to be written along the result's rows. */
template <class T> __global__ void __launch_bounds__(SIDE *LANES) quantize_columns(QuantizeArgs<T> a, bool aligned)
{
    SHARED_MEMORY(float, largest);                                  /* [LANES][SIDE] */
    uint8_t *tile = reinterpret_cast<uint8_t *>(largest + LANES * SIDE); /* [SIDE][TILE_ROW] */
    const int column = threadIdx.x % SIDE, lane = threadIdx.x / SIDE;
    const int64_t first = (int64_t)blockIdx.x * SIDE, row = first + column;
    const bool inside = row < a.rows;
    float most = 0;
    for (int64_t j = lane; inside && j < a.cols; j += LANES)
        most = larger(most, load(a.x + j * a.ldx + row));
    largest[lane * SIDE + column] = most;
    __syncthreads();
    UNROLL
    for (int i = 0; i < LANES; i++)
        most = fmaxf(most, largest[i * SIDE + column]);
    const float factor = fp8_row_factor(most);
    if (inside && lane == 0)
        store(a.scale + row, fp8_row_scale(most));
    const int out = threadIdx.x / (DEPTH / PIECE), piece = threadIdx.x % (DEPTH / PIECE) * PIECE;
    for (int64_t j0 = 0; j0 < a.cols; j0 += DEPTH) {
        UNROLL_BY(2)
        for (int j = lane; j < DEPTH; j += LANES)
            if (inside && j0 + j < a.cols)
                tile[column * TILE_ROW + j] = code_of(load(a.x + (j0 + j) * a.ldx + row), factor);
        __syncthreads();
        uint8_t *to = a.code + (first + out) * a.cols + j0 + piece;
        if (first + out < a.rows && aligned && j0 + piece < a.cols) {
            count_write(to, PIECE);
            *reinterpret_cast<uint2 *>(to) = *reinterpret_cast<const uint2 *>(tile + out * TILE_ROW + piece);
        }
        for (int i = 0; i < PIECE && first + out < a.rows && !aligned && j0 + piece + i < a.cols; i++)
            store_code(to + i, tile[out * TILE_ROW + piece + i]);
        __syncthreads();
    }
}

template <class T> static void launch_rows(cudaStream_t stream, const QuantizeArgs<T> &x)
{
    const bool aligned = is_aligned(x.x) && is_aligned_stride(x.ldx, sizeof(T)) && is_aligned(x.code) && x.cols % VEC<T> == 0;
    const int64_t vectors = (x.cols + VEC<T> - 1) / VEC<T>, warps = (vectors + WARP - 1) / WARP * WARP;
    const unsigned threads = (unsigned)(warps < 1 ? (int64_t)WARP : warps < (int64_t)QUANTIZE_THREADS ? warps : (int64_t)QUANTIZE_THREADS);
    const int64_t each = (vectors + threads - 1) / threads;
    const size_t shared = WARP * sizeof(float);
    if (!aligned || each > (int64_t)KEPT_LONG)
        LAUNCH((quantize_kernel<T, 0>), (unsigned)x.rows, threads, shared, stream, x);
    else if (each > (int64_t)KEPT_SHORT)
        LAUNCH((quantize_kernel<T, KEPT_LONG>), (unsigned)x.rows, threads, shared, stream, x);
    else
        LAUNCH((quantize_kernel<T, KEPT_SHORT>), (unsigned)x.rows, threads, shared, stream, x);
}

static Status quantize_rows(KernelCtx *ctx, const QuantizeRows *a)
{
    TRY(check_quantize_rows(a));
    if (a->rows <= 0)
        return OK;
    WITH_TYPE(a->x_type, T, {
        QuantizeArgs<T> x = {(const T *)a->x, a->code, a->scale, a->rows, a->cols, a->ldx};
        if (a->transposed)
            LAUNCH((quantize_columns<T>), ceil_div(a->rows, SIDE), SIDE *LANES, LANES *SIDE * sizeof(float) + SIDE * TILE_ROW,
                   cuda_stream(ctx), x, is_aligned(a->code) && a->cols % PIECE == 0);
        else
            launch_rows(cuda_stream(ctx), x);
    });
    return cuda_launched("quantize_rows");
}

/* ---- products ---- */

/* c = row scale · column scale · sum (+ add); no sums: zeros. */
template <class C> struct ScaleSumsOp {
    const float *sum, *row_scale, *column_scale;
    const C *add;
    C *c;
    int64_t ld, ldc;
    template <bool ALIGNED> __device__ void apply(int64_t row, int64_t at, int n) const
    {
        const float scale = load(row_scale + row);
        UNROLL_NOT
        for (int i = 0; i < n; i++) {
            float v = sum ? scale * load(column_scale + at + i) * load(sum + row * ld + at + i) : 0.0f;
            store(c + row * ldc + at + i, add ? v + load(add + row * ldc + at + i) : v);
        }
    }
};

/* Rows first … first+rows-1. */
static Status scale_sums(KernelCtx *ctx, const MatmulFp8 *a, const float *sum, int64_t first, int64_t rows)
{
    WITH_TYPE(a->c_type, C, {
        const C *add = (const C *)(a->add ? a->add : a->accumulate ? a->c : nullptr);
        ScaleSumsOp<C> op = {sum, a->a_scale + first, a->b_scale, add ? add + first * a->ldc : nullptr, (C *)a->c + first * a->ldc, a->n,
                             a->ldc};
        return map_rows<float>(ctx, "matmul_fp8, scaling", op, rows, a->n, false);
    });
}

static MatmulKey key_of(const MatmulFp8 *a, int64_t rows, DType c_type, int64_t ldc)
{
    MatmulKey k = {};
    k.m = rows, k.n = a->n, k.k = a->k;
    k.lda = k.ldb = a->k, k.ldc = ldc;
    k.a_type = k.b_type = (uint8_t)U8, k.c_type = (uint8_t)c_type;
    k.b_trans = 1;
    return k;
}

static Status sum_then_scale(KernelCtx *ctx, const MatmulFp8 *a)
{
    const int64_t fit = SUMS_BYTES / (a->n * (int64_t)sizeof(float)) / 16 * 16, most = fit < 16 ? 16 : fit;
    const int64_t each = a->m < most ? a->m : most;
    void *sums;
    TRY(cuda_workspace(ctx, "matmul_fp8", (size_t)(each * a->n) * sizeof(float), &sums));
    for (int64_t first = 0; first < a->m; first += each) {
        const int64_t rows = a->m - first < each ? a->m - first : each;
        MatmulKey k = key_of(a, rows, F32, a->n);
        const MatmulOperands o = {a->a + first * a->k, a->b, nullptr, nullptr, sums, nullptr, nullptr};
        TRY(matmul_multiply(cuda_state(ctx), &k, &o, 1));
        TRY(scale_sums(ctx, a, (const float *)sums, first, rows));
    }
    return OK;
}

static Status matmul_fp8(KernelCtx *ctx, const MatmulFp8 *a)
{
    TRY(check_matmul_fp8(a));
    if (a->m <= 0 || a->n <= 0)
        return OK;
    if (a->k <= 0)
        return scale_sums(ctx, a, nullptr, 0, a->m);
    if (!cuda_state(ctx)->scales_rows)
        return sum_then_scale(ctx, a);
    MatmulKey k = key_of(a, a->m, a->c_type, a->ldc);
    const MatmulOperands o = {a->a, a->b, nullptr, a->add ? a->add : a->accumulate ? a->c : nullptr, a->c, a->a_scale, a->b_scale};
    return matmul_multiply(cuda_state(ctx), &k, &o, 1);
}

void cuda_fp8(KernelTable *t)
{
    t->quantize_rows = quantize_rows;
    t->matmul_fp8 = matmul_fp8;
}
