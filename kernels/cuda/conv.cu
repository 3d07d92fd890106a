/* conv.cu: convolutions (ops/conv.h) as matrix products whose operand is never made: a block gathers the pixels of its tile where they lie.
 *
 *   forward  y  [pixels, out]    = x, gathered [pixels, (tap, in)]      · w [out, (tap, in)]ᵀ
 *   dx       dx [pixels, in]     = dy, gathered [pixels, (tap, out)]    · w [(tap, out), in]
 *   dw       dw [out, (tap, in)] = dy [pixels, out]ᵀ                    · x, gathered [pixels, (tap, in)]
 *
 * In bf16, with channels that are multiples of eight, the products are those of tensor cores, on tiles of 64 by 128 and DEEP steps at a
 * time, which arrive a step ahead (mma.cuh). All else takes the plain kernel: tiles of 32 by 32, a thread 4×4 elements, each one chain of
 * f32 FMAs. A block sums all of its elements, in one order, so equal inputs give equal bits.
 *
 * Where cuDNN is installed and takes a convolution, it computes the sums (cudnn.cuh), and only what is added to them is ours. */
#include "kernels/cuda/cudnn.cuh"
#include "kernels/cuda/map.cuh"
#include "kernels/cuda/mma.cuh"

/* ---- geometry: which pixel of the gathered images a tap reads ---- */

struct Gathering {
    int height, width;             /* of the images whose pixels are counted */
    int from_height, from_width;   /* of the gathered ones */
    int kernel_height, kernel_width, stride, top, left;
    int64_t rows, channels;        /* pixels; channels of the gathered images */
    bool back;                     /* dy is gathered, for dx */
};

struct Place {
    int b, y, z;
};

static __device__ __forceinline__ Place place_of(const Gathering &g, int64_t row)
{
    int64_t line = row / g.width;
    return Place{(int)(line / g.height), (int)(line % g.height), (int)(row % g.width)};
}

/* The gathered pixel, or -1: it lies outside. */
static __device__ __forceinline__ int64_t source_of(const Gathering &g, const Place &p, int tap)
{
    int u = tap / g.kernel_width, v = tap % g.kernel_width, y, z;
    if (g.back) {
        y = p.y + g.top - u, z = p.z + g.left - v;
        if (y % g.stride || z % g.stride)
            return -1;
        y /= g.stride, z /= g.stride;
    } else
        y = p.y * g.stride + u - g.top, z = p.z * g.stride + v - g.left;
    if (y < 0 || y >= g.from_height || z < 0 || z >= g.from_width)
        return -1;
    return ((int64_t)p.b * g.from_height + y) * g.from_width + z;
}

/* ---- where the sums go ---- */

template <class T> struct ForwardEnd {
    const void *bias;
    bool wide_bias; /* F32 */
    const T *shift, *add;
    T *y;
    int64_t out, pixels; /* of an image */
    __device__ __forceinline__ float bias_of(int64_t column) const
    {
        return wide_bias ? load((const float *)bias + column) : load((const __nv_bfloat16 *)bias + column);
    }
    __device__ __forceinline__ void put(int64_t row, int64_t column, float v) const
    {
        if (bias)
            v += bias_of(column);
        if (shift)
            v += load(shift + row / pixels * out + column);
        if (add)
            v += load(add + row * out + column);
        store(y + row * out + column, v);
    }
};

/* c [rows, ld] (+)= */
template <class T> struct SumEnd {
    T *c;
    int64_t ld;
    bool accumulate;
    __device__ __forceinline__ void put(int64_t row, int64_t column, float v) const
    {
        T *to = c + row * ld + column;
        store(to, accumulate ? load(to) + v : v);
    }
};

/* ---- plain: operands as functions of (row or column, k) ---- */

template <class T> struct GatheredPixels { /* row: a pixel, k: (tap, channel) */
    const T *p;
    Gathering g;
    __device__ __forceinline__ float at(int64_t row, int64_t k) const
    {
        int64_t from = source_of(g, place_of(g, row), (int)(k / g.channels));
        return from < 0 ? 0.0f : load(p + from * g.channels + k % g.channels);
    }
};
template <class T> struct GatheredColumns { /* column: (tap, channel), k: a pixel */
    GatheredPixels<T> pixels;
    __device__ __forceinline__ float at(int64_t column, int64_t k) const { return pixels.at(k, column); }
};
template <class T> struct Matrix { /* element k of row `row` */
    const T *p;
    int64_t row_stride, k_stride;
    __device__ __forceinline__ float at(int64_t row, int64_t k) const { return load(p + row * row_stride + k * k_stride); }
};
template <class T> struct TurnedWeights { /* column: in, k: (tap, out) */
    const T *w;
    int64_t taps, in, out;
    __device__ __forceinline__ float at(int64_t column, int64_t k) const { return load(w + (k % out * taps + k / out) * in + column); }
};

enum { CONV_TILE = 32, CONV_DEPTH = 16, CONV_SIDE = 8, CONV_EACH = CONV_TILE / CONV_SIDE, CONV_THREADS = CONV_SIDE * CONV_SIDE,
       CONV_ROW = CONV_TILE + 1 /* neighbours along k lie in different banks */ };

template <class X> static __device__ __forceinline__ void gather_piece(float *tile, const X &x, int64_t first, int64_t n, int64_t k,
                                                                      int64_t end)
{
    UNROLL_NOT
    for (int i = threadIdx.x; i < CONV_TILE * CONV_DEPTH; i += CONV_THREADS) {
        int row = i / CONV_DEPTH, depth = i % CONV_DEPTH;
        tile[depth * CONV_ROW + row] = first + row < n && k + depth < end ? x.at(first + row, k + depth) : 0.0f;
    }
}

template <class A, class B, class E> __global__ void __launch_bounds__(CONV_THREADS) conv_plain(A a, B b, E end, int64_t rows,
                                                                                               int64_t columns, int64_t depth_end,
                                                                                               int64_t column_tiles)
{
    SHARED_MEMORY(float, left);
    float *right = left + CONV_DEPTH * CONV_ROW;
    int column = threadIdx.x % CONV_SIDE, row = threadIdx.x / CONV_SIDE;
    int64_t first_row = blockIdx.x / column_tiles * CONV_TILE, first_column = blockIdx.x % column_tiles * CONV_TILE;
    float sum[CONV_EACH][CONV_EACH] = {};
    for (int64_t k = 0; k < depth_end; k += CONV_DEPTH) {
        __syncthreads(); /* nobody reads the last pieces any more */
        gather_piece(left, a, first_row, rows, k, depth_end);
        gather_piece(right, b, first_column, columns, k, depth_end);
        __syncthreads();
        UNROLL
        for (int depth = 0; depth < CONV_DEPTH; depth++) {
            float x[CONV_EACH], y[CONV_EACH];
            UNROLL
            for (int i = 0; i < CONV_EACH; i++) {
                x[i] = left[depth * CONV_ROW + row + i * CONV_SIDE];
                y[i] = right[depth * CONV_ROW + column + i * CONV_SIDE];
            }
            UNROLL
            for (int i = 0; i < CONV_EACH; i++)
                UNROLL
                for (int j = 0; j < CONV_EACH; j++)
                    sum[i][j] = fmaf(x[i], y[j], sum[i][j]);
        }
    }
    UNROLL
    for (int i = 0; i < CONV_EACH; i++)
        UNROLL
        for (int j = 0; j < CONV_EACH; j++) {
            int64_t r = first_row + row + i * CONV_SIDE, c = first_column + column + j * CONV_SIDE;
            if (r < rows && c < columns)
                end.put(r, c, sum[i][j]);
        }
}

/* ---- tensor cores ---- */

constexpr int CONV_WIDE = 128;

typedef float ConvSums[MmaTile<CONV_WIDE>::MT][MmaTile<CONV_WIDE>::NT][4];

template <class E> static __device__ __forceinline__ void put_tile(const E &end, ConvSums &acc, int64_t row0, int64_t rows, int64_t col0,
                                                                   int64_t columns)
{
    for_pairs<CONV_WIDE>([&](int mt, int j, int half, int row, int column) {
        UNROLL
        for (int i = 0; i < 2; i++)
            if (row0 + row < rows && col0 + column + i < columns)
                end.put(row0 + row, col0 + column + i, acc[mt][j][2 * half + i]);
    });
}

/* Pixels gathered from x times w. A tile of w is [columns][DEEP] (forward) or, back, [DEEP][columns]. */
template <bool BACK, class E> __global__ void __launch_bounds__(MMA_THREADS, 2) conv_mma(Gathering g, const Bf16 *x, const Bf16 *w, E end,
                                                                                        int64_t columns, int64_t column_tiles)
{
    constexpr int LDX = DEEP + PAD, LDW = BACK ? CONV_WIDE + PAD : DEEP + PAD, W_TILE = BACK ? DEEP * LDW : CONV_WIDE * LDW;
    SHARED_MEMORY(Bf16, xs); /* 2 · [TILE][DEEP] */
    Bf16 *ws = xs + 2 * TILE * LDX;
    int64_t row0 = blockIdx.x / column_tiles * TILE, col0 = blockIdx.x % column_tiles * CONV_WIDE;
    int taps = g.kernel_height * g.kernel_width, r = threadIdx.x / (DEEP / 8), c = threadIdx.x % (DEEP / 8) * 8;
    bool inside = row0 + r < g.rows;
    Place place = inside ? place_of(g, row0 + r) : Place{};
    auto fetch = [&](int stage, int tap, int64_t k) {
        int64_t from = inside && k + c < g.channels ? source_of(g, place, tap) : -1;
        cp_async_16(xs + stage * TILE * LDX + r * LDX + c, from < 0 ? x : x + from * g.channels + k + c, from < 0 ? 0 : 16);
        if (BACK)
            fetch_rows<DEEP, CONV_WIDE, LDW>(ws + stage * W_TILE, w + (k * taps + tap) * columns + col0, taps * columns, g.channels - k,
                                             columns - col0);
        else
            fetch_rows<CONV_WIDE, DEEP, LDW>(ws + stage * W_TILE, w + (col0 * taps + tap) * g.channels + k, taps * g.channels,
                                             columns - col0, g.channels - k);
        cp_async_commit();
    };
    typedef MmaTile<CONV_WIDE> M;
    ConvSums acc;
    mma_clear(acc);
    fetch(0, 0, 0);
    int tap = 0, stage = 0;
    for (int64_t k = 0; tap < taps; stage ^= 1) {
        cp_async_wait<0>();
        __syncthreads();
        k += DEEP;
        if (k >= g.channels)
            k = 0, tap++;
        if (tap < taps)
            fetch(stage ^ 1, tap, k);
        mma_deep<M::MT, M::NT, false, BACK, LDX, LDW>(acc, xs + stage * TILE * LDX + M::row() * LDX,
                                                      ws + stage * W_TILE + M::column() * (BACK ? 1 : LDW));
    }
    put_tile(end, acc, row0, g.rows, col0, columns);
}

/* A tile of 64 rows of dw and 128 input channels of a tap, over all pixels. */
static __global__ void __launch_bounds__(MMA_THREADS, 2) conv_dw_mma(Gathering g, const Bf16 *x, const Bf16 *dy, SumEnd<float> end,
                                                                     int64_t out, int64_t column_tiles)
{
    constexpr int LDY = TILE + PAD, LDX = CONV_WIDE + PAD;
    SHARED_MEMORY(Bf16, ys); /* 2 · [DEEP][TILE] */
    Bf16 *xs = ys + 2 * DEEP * LDY; /* 2 · [DEEP][CONV_WIDE] */
    int64_t taps = g.kernel_height * g.kernel_width, at = blockIdx.x / column_tiles, col0 = blockIdx.x % column_tiles * CONV_WIDE;
    int64_t row0 = at / taps * TILE;
    int tap = (int)(at % taps);
    auto fetch = [&](int stage, int64_t pixel) {
        fetch_rows<DEEP, TILE, LDY>(ys + stage * DEEP * LDY, dy + pixel * out + row0, out, g.rows - pixel, out - row0);
        UNROLL
        for (int i = threadIdx.x; i < DEEP * CONV_WIDE / 8; i += MMA_THREADS) {
            int r = i / (CONV_WIDE / 8), c = i % (CONV_WIDE / 8) * 8;
            bool inside = pixel + r < g.rows && col0 + c < g.channels;
            int64_t from = inside ? source_of(g, place_of(g, pixel + r), tap) : -1;
            cp_async_16(xs + stage * DEEP * LDX + r * LDX + c, from < 0 ? x : x + from * g.channels + col0 + c, from < 0 ? 0 : 16);
        }
        cp_async_commit();
    };
    typedef MmaTile<CONV_WIDE> M;
    ConvSums acc;
    mma_clear(acc);
    fetch(0, 0);
    int stage = 0;
    for (int64_t pixel = 0; pixel < g.rows; pixel += DEEP, stage ^= 1) {
        cp_async_wait<0>();
        __syncthreads();
        if (pixel + DEEP < g.rows)
            fetch(stage ^ 1, pixel + DEEP);
        mma_deep<M::MT, M::NT, true, true, LDY, LDX>(acc, ys + stage * DEEP * LDY + M::row(), xs + stage * DEEP * LDX + M::column());
    }
    end.c += tap * g.channels;
    put_tile(end, acc, row0, out, col0, g.channels);
}

/* ---- host side ---- */

static Gathering gathering(const ConvShape *s, bool back)
{
    Plane to = conv_to(s), counted = back ? s->from : to, gathered = back ? to : s->from;
    return Gathering{(int)counted.height, (int)counted.width, (int)gathered.height, (int)gathered.width, (int)s->kernel_height,
                     (int)s->kernel_width, (int)s->stride, (int)s->top, (int)s->left, plane_rows(&counted), back ? s->out : s->in, back};
}

static int64_t taps_of(const ConvShape *s) { return s->kernel_height * s->kernel_width; }

/* Kernels count pixels of an image in int. */
static Status can_count(const char *op, const ConvShape *s)
{
    const int64_t most = 1 << 15, n[] = {s->from.height, s->from.width, s->kernel_height, s->kernel_width, s->stride,
                                         s->top,         s->left,       s->bottom,        s->right};
    for (size_t i = 0; i < sizeof n / sizeof *n; i++)
        if (n[i] > most)
            return fail(ERR_INTERNAL, "%s: %lld pixels along an image, at most %lld", op, (long long)n[i], (long long)most);
    return OK;
}

static Status blocks(const char *op, int64_t row_tiles, int64_t column_tiles, dim3 *grid)
{
    if (row_tiles * column_tiles > INT32_MAX)
        return fail(ERR_INTERNAL, "%s: %lld blocks, at most %d", op, (long long)(row_tiles * column_tiles), INT32_MAX);
    *grid = dim3((unsigned)(row_tiles * column_tiles));
    return OK;
}

template <class A, class B, class E> static Status plain(KernelCtx *ctx, const char *op, const A &a, const B &b, const E &end, int64_t rows,
                                                         int64_t columns, int64_t depth)
{
    dim3 grid;
    int64_t column_tiles = ceil_div(columns, CONV_TILE);
    TRY(blocks(op, (rows + CONV_TILE - 1) / CONV_TILE, column_tiles, &grid));
    LAUNCH((conv_plain<A, B, E>), grid, CONV_THREADS, 2 * CONV_DEPTH * CONV_ROW * sizeof(float), cuda_stream(ctx), a, b, end, rows, columns,
           depth, column_tiles);
    return cuda_launched(op);
}

static bool can_mma(const ConvShape *s, DType a, DType b, const void *x, const void *y)
{
    return a == BF16 && b == BF16 && s->in % 8 == 0 && s->out % 8 == 0 && s->in && s->out && is_aligned(x) && is_aligned(y);
}

template <bool BACK, class E> static Status gathered_mma(KernelCtx *ctx, const char *op, const Gathering &g, const void *x, const void *w,
                                                         const E &end, int64_t columns)
{
    dim3 grid;
    int64_t column_tiles = ceil_div(columns, CONV_WIDE);
    size_t w_tile = BACK ? DEEP * (CONV_WIDE + PAD) : CONV_WIDE * (DEEP + PAD), shared = 2 * (TILE * (DEEP + PAD) + w_tile) * sizeof(Bf16);
    TRY(blocks(op, (g.rows + TILE - 1) / TILE, column_tiles, &grid));
    LAUNCH((conv_mma<BACK, E>), grid, MMA_THREADS, shared, cuda_stream(ctx), g, (const Bf16 *)x, (const Bf16 *)w, end, columns,
           column_tiles);
    return cuda_launched(op);
}

/* y += bias + shift + add, over the whole of y as one row. */
template <class T> struct AddToSums {
    ForwardEnd<T> end;
    template <bool ALIGNED> __device__ __forceinline__ void apply(int64_t, int64_t at, int n) const
    {
        const uint32_t out = (uint32_t)end.out;
        if (!ALIGNED) { /* neighbours may lie in different rows */
            UNROLL_NOT
            for (uint32_t i = (uint32_t)at; i < (uint32_t)at + (uint32_t)n; i++)
                end.put(i / out, i % out, load(end.y + i));
            return;
        }
        float y[VEC<T>], v[VEC<T>];
        const uint32_t row = (uint32_t)at / out, column = (uint32_t)at % out;
        load_vector(y, end.y + at);
        if (end.bias)
            for (int i = 0; i < VEC<T>; i++)
                y[i] += end.bias_of(column + i);
        if (end.shift) {
            load_vector(v, end.shift + row / (uint32_t)end.pixels * out + column);
            for (int i = 0; i < VEC<T>; i++)
                y[i] += v[i];
        }
        if (end.add) {
            load_vector(v, end.add + at);
            for (int i = 0; i < VEC<T>; i++)
                y[i] += v[i];
        }
        store_vector(end.y + at, y);
    }
};

/* The sums lie in y, which is less than 2^31 elements. */
template <class T> static Status add_to_sums(KernelCtx *ctx, const ForwardEnd<T> &end, int64_t rows)
{
    if (!end.bias && !end.shift && !end.add)
        return OK;
    bool aligned = is_aligned_stride(end.out, sizeof(T)) && is_aligned(end.y) && is_aligned(end.shift) && is_aligned(end.add);
    return map_rows<T>(ctx, "conv2d_fwd", AddToSums<T>{end}, 1, rows * end.out, aligned);
}

static Status conv2d_fwd(KernelCtx *ctx, const Conv2dFwd *a)
{
    const ConvShape *s = &a->shape;
    TRY(check_conv2d_fwd(a));
    TRY(can_count("conv2d_fwd", s));
    Gathering g = gathering(s, false);
    if (!g.rows || !s->out)
        return OK;
    bool onto_addend = a->add == a->y, taken = false;
    if (s->in)
        TRY(conv_by_cudnn(ctx, {CONV_FORWARD, s, a->act, a->w_type, onto_addend, a->x, a->w, a->y}, &taken));
    WITH_TYPE(a->act, T, {
        ForwardEnd<T> end = {a->bias, a->bias_type == F32, (const T *)a->shift, (const T *)a->add, (T *)a->y, s->out,
                             (int64_t)g.height * g.width};
        if (taken) {
            end.add = onto_addend ? nullptr : end.add;
            return add_to_sums(ctx, end, g.rows);
        }
        if (can_mma(s, a->act, a->w_type, a->x, a->w))
            return gathered_mma<false>(ctx, "conv2d_fwd", g, a->x, a->w, end, s->out);
        WITH_TYPE(a->w_type, W, {
            GatheredPixels<T> x = {(const T *)a->x, g};
            Matrix<W> w = {(const W *)a->w, taps_of(s) * s->in, 1};
            return plain(ctx, "conv2d_fwd", x, w, end, g.rows, s->out, taps_of(s) * s->in);
        });
    });
}

static Status conv2d_dx(KernelCtx *ctx, const Conv2dDx *a)
{
    const ConvShape *s = &a->shape;
    TRY(check_conv2d_dx(a));
    TRY(can_count("conv2d_dx", s));
    Gathering g = gathering(s, true);
    if (!g.rows || !s->in)
        return OK;
    bool taken = false;
    if (s->out && g.from_height && g.from_width)
        TRY(conv_by_cudnn(ctx, {CONV_DX, s, a->act, a->w_type, a->accumulate, a->dy, a->w, a->dx}, &taken));
    if (taken)
        return OK;
    WITH_TYPE(a->act, T, {
        SumEnd<T> end = {(T *)a->dx, s->in, a->accumulate};
        if (can_mma(s, a->act, a->w_type, a->dy, a->w))
            return gathered_mma<true>(ctx, "conv2d_dx", g, a->dy, a->w, end, s->in);
        WITH_TYPE(a->w_type, W, {
            GatheredPixels<T> dy = {(const T *)a->dy, g};
            TurnedWeights<W> w = {(const W *)a->w, taps_of(s), s->in, s->out};
            return plain(ctx, "conv2d_dx", dy, w, end, g.rows, s->in, taps_of(s) * s->out);
        });
    });
}

static Status conv2d_dw(KernelCtx *ctx, const Conv2dDw *a)
{
    const ConvShape *s = &a->shape;
    TRY(check_conv2d_dw(a));
    TRY(can_count("conv2d_dw", s));
    if (a->dw_type != F32)
        return fail(ERR_INTERNAL, "conv2d_dw: the cuda backend has F32 gradients of weights, not %s", dtype_name(a->dw_type));
    if (!s->in || !s->out)
        return OK;
    Gathering g = gathering(s, false);
    bool taken = false;
    if (g.rows)
        TRY(conv_by_cudnn(ctx, {CONV_DW, s, a->act, a->dw_type, a->accumulate, a->x, a->dy, a->dw}, &taken));
    if (taken)
        return OK;
    SumEnd<float> end = {(float *)a->dw, taps_of(s) * s->in, a->accumulate};
    if (g.rows && can_mma(s, a->act, BF16, a->x, a->dy)) {
        dim3 grid;
        int64_t column_tiles = ceil_div(s->in, CONV_WIDE);
        size_t shared = 2 * DEEP * (TILE + PAD + CONV_WIDE + PAD) * sizeof(Bf16);
        TRY(blocks("conv2d_dw", (int64_t)ceil_div(s->out, TILE) * taps_of(s), column_tiles, &grid));
        LAUNCH(conv_dw_mma, grid, MMA_THREADS, shared, cuda_stream(ctx), g, (const Bf16 *)a->x, (const Bf16 *)a->dy, end, s->out,
               column_tiles);
        return cuda_launched("conv2d_dw");
    }
    WITH_TYPE(a->act, T, {
        Matrix<T> dy = {(const T *)a->dy, 1, s->out};
        GatheredColumns<T> x = {{(const T *)a->x, g}};
        return plain(ctx, "conv2d_dw", dy, x, end, s->out, taps_of(s) * s->in, g.rows);
    });
}

void cuda_conv(KernelTable *t)
{
    t->conv2d_fwd = conv2d_fwd;
    t->conv2d_dx = conv2d_dx;
    t->conv2d_dw = conv2d_dw;
}
