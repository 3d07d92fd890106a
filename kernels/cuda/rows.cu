/* rows.cu: moving rows: gather, scatter, patches of pictures, position tables. */
#include "kernels/cuda/map.cuh"

/* ---- gather ---- */

template <class S, class Y> struct GatherOp {
    const S *src;
    Y *y;
    const int32_t *index;
    int64_t lds, ldy;
    template <bool ALIGNED> __device__ void apply(int64_t row, int64_t at, int n) const
    {
        int from = load_int(index + row);
        if (from < 0)
            return;
        const S *p = src + from * lds + at;
        float v[VEC<Y>];
        if (ALIGNED && sizeof(S) == sizeof(Y)) {
            load_some<S, ALIGNED>(v, p, n);
        } else {
            for (int i = 0; i < VEC<Y>; i++)
                v[i] = i < n ? load(p + i) : 0.0f;
        }
        store_some<Y, ALIGNED>(y + row * ldy + at, v, n);
    }
};

static Status rows_gather(KernelCtx *ctx, const RowsGather *a)
{
    TRY(check_rows_gather(a));
    WITH_TYPE(a->src_type, S, {
        WITH_TYPE(a->y_type, Y, {
            GatherOp<S, Y> op = {(const S *)a->src, (Y *)a->y, a->index, a->lds, a->ldy};
            bool aligned = is_aligned(a->src) && is_aligned(a->y) && is_aligned_stride(a->lds, sizeof(S)) &&
                    is_aligned_stride(a->ldy, sizeof(Y));
            return map_rows<Y>(ctx, "rows_gather", op, a->n, a->cols, aligned);
        });
    });
}

/* ---- scatter: one thread owns a column of a destination row and looks through the index in order, so repeated rows add up in a fixed
 * order. A block first finds, together, which of the next sources are its own. ---- */

enum { SCATTER_THREADS = 128, SCATTER_ROWS_MAX = 4096 /* blocks along the rows; a grid takes 65535 */ };

template <class X, class D> __global__ void __launch_bounds__(SCATTER_THREADS)
    scatter_add_kernel(const X *x, D *dst, const int32_t *index, int64_t n, int64_t n_dst, int64_t cols, int64_t ldx, int64_t ldd)
{
    SHARED_MEMORY(int, mine); /* [SCATTER_THREADS]: does source (base + t) go to this row? */
    int64_t c = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    for (int64_t row = blockIdx.y; row < n_dst; row += gridDim.y) {
        float total = 0;
        bool any = false;
        for (int64_t base = 0; base < n; base += blockDim.x) {
            mine[threadIdx.x] = base + threadIdx.x < n && load_int(index + base + threadIdx.x) == row;
            __syncthreads();
            for (int t = 0; t < (int)blockDim.x; t++)
                if (mine[t] && c < cols) {
                    if (!any)
                        total = load(dst + row * ldd + c);
                    any = true;
                    total = rounded<D>(total + load(x + (base + t) * ldx + c)); /* rounded each time: as if added in memory */
                }
            __syncthreads();
        }
        if (any)
            store(dst + row * ldd + c, total);
    }
}

template <class X, class D> struct ScatterOp {
    const X *x;
    D *dst;
    const int32_t *index;
    int64_t ldx, ldd;
    template <bool ALIGNED> __device__ void apply(int64_t row, int64_t at, int n) const
    {
        int to = load_int(index + row);
        if (to < 0)
            return;
        float v[VEC<D>];
        for (int i = 0; i < VEC<D>; i++)
            v[i] = i < n ? load(x + row * ldx + at + i) : 0.0f;
        store_some<D, ALIGNED>(dst + to * ldd + at, v, n);
    }
};

static Status rows_scatter(KernelCtx *ctx, const RowsScatter *a)
{
    TRY(check_rows_scatter(a));
    if (a->n <= 0 || a->cols <= 0)
        return OK;
    WITH_TYPE(a->x_type, X, {
        WITH_TYPE(a->dst_type, D, {
            if (!a->accumulate) {
                ScatterOp<X, D> op = {(const X *)a->x, (D *)a->dst, a->index, a->ldx, a->ldd};
                return map_rows<D>(ctx, "rows_scatter", op, a->n, a->cols, is_aligned(a->dst) && is_aligned_stride(a->ldd, sizeof(D)));
            }
            dim3 grid(ceil_div(a->cols, SCATTER_THREADS), (unsigned)(a->n_dst < (int64_t)SCATTER_ROWS_MAX ? a->n_dst
                                                                     : (int64_t)SCATTER_ROWS_MAX));
            LAUNCH((scatter_add_kernel<X, D>), grid, SCATTER_THREADS, SCATTER_THREADS * sizeof(int), cuda_stream(ctx), (const X *)a->x,
                   (D *)a->dst, a->index, a->n, a->n_dst, a->cols, a->ldx, a->ldd);
        });
    });
    return cuda_launched("rows_scatter");
}

/* ---- patches: the table of 256 values a channel is three numbers, formed as the contract says ---- */

template <class T> __global__ void __launch_bounds__(MAP_THREADS)
    patchify_kernel(const uint8_t *pixels, T *y, int64_t patches, int height, int width, int patch, double rescale, float3 mean, float3 std)
{
    int pw = width / patch, per_image = height / patch * pw, cols = 3 * patch * patch;
    for (int64_t p = blockIdx.y; p < patches; p += gridDim.y) {
        int64_t image = p / per_image;
        int in_image = (int)(p % per_image), py = in_image / pw * patch, px = in_image % pw * patch;
        for (int at = blockIdx.x * blockDim.x + threadIdx.x; at < cols; at += gridDim.x * blockDim.x) {
            int c = at / (patch * patch), row = at / patch % patch, column = at % patch;
            const uint8_t *pixel = &pixels[((image * height + py + row) * width + px + column) * 3 + c];
            count_read(pixel, 1);
            uint8_t v = *pixel;
            float m = c == 0 ? mean.x : c == 1 ? mean.y : mean.z, s = c == 0 ? std.x : c == 1 ? std.y : std.z;
            store(y + p * cols + at, ((float)((double)v * rescale) - m) / s);
        }
    }
}

static Status patchify(KernelCtx *ctx, const Patchify *a)
{
    TRY(check_patchify(a));
    int64_t patches = a->patch > 0 ? a->images * (a->height / a->patch) * (a->width / a->patch) : 0;
    if (patches <= 0)
        return OK;
    float3 mean = {(float)a->mean[0], (float)a->mean[1], (float)a->mean[2]}, std = {(float)a->std[0], (float)a->std[1], (float)a->std[2]};
    dim3 grid(ceil_div(3 * a->patch * a->patch, MAP_THREADS), (unsigned)(patches < (int64_t)MAP_ROWS_MAX ? patches
                                                                         : (int64_t)MAP_ROWS_MAX));
    WITH_TYPE(a->act, T, {
        LAUNCH_FLAT((patchify_kernel<T>), grid, MAP_THREADS, cuda_stream(ctx), a->pixels, (T *)a->y, patches, (int)a->height, (int)a->width,
                    (int)a->patch, a->rescale, mean, std);
    });
    return cuda_launched("patchify");
}

/* ---- position table ---- */

template <class T, class W> struct AddRowsOp {
    const T *x;
    const W *table;
    T *y;
    int64_t cols, period;
    template <bool ALIGNED> __device__ void apply(int64_t row, int64_t at, int n) const
    {
        const W *t = table + row % period * cols + at;
        float v[VEC<T>];
        load_some<T, ALIGNED>(v, x + row * cols + at, n);
        for (int i = 0; i < VEC<T>; i++)
            if (i < n)
                v[i] += load(t + i);
        store_some<T, ALIGNED>(y + row * cols + at, v, n);
    }
};

static Status add_rows(KernelCtx *ctx, const AddRows *a)
{
    TRY(check_add_rows(a));
    WITH_TYPE(a->act, T, {
        WITH_TYPE(a->table_type, W, {
            AddRowsOp<T, W> op = {(const T *)a->x, (const W *)a->table, (T *)a->y, a->cols, a->period};
            return map_rows<T>(ctx, "add_rows", op, a->rows, a->cols,
                               is_aligned(a->x) && is_aligned(a->y) && is_aligned_stride(a->cols, sizeof(T)));
        });
    });
}

template <class T> struct AddRowsBwdOp {
    const T *dy;
    float *table;
    int64_t rows, cols, period;
    bool accumulate;
    template <bool ALIGNED> __device__ void apply(int64_t p, int64_t at, int n) const
    {
        double total[VEC<float>] = {0};
        for (int64_t row = p; row < rows; row += period)
            for (int i = 0; i < VEC<float>; i++)
                if (i < n)
                    total[i] += load(dy + row * cols + at + i);
        if (accumulate)
            for (int i = 0; i < VEC<float>; i++)
                if (i < n)
                    total[i] += load(table + p * cols + at + i);
        float sum[VEC<float>];
        for (int i = 0; i < VEC<float>; i++)
            sum[i] = (float)total[i];
        store_some<float, ALIGNED>(table + p * cols + at, sum, n);
    }
};

static Status add_rows_bwd(KernelCtx *ctx, const AddRowsBwd *a)
{
    TRY(check_add_rows_bwd(a));
    WITH_TYPE(a->act, T, {
        AddRowsBwdOp<T> op = {(const T *)a->dy, (float *)a->dtable, a->rows, a->cols, a->period, a->accumulate};
        return map_rows<float>(ctx, "add_rows_bwd", op, a->period, a->cols,
                               is_aligned(a->dtable) && is_aligned_stride(a->cols, sizeof(float)));
    });
}

/* ---- nearest neighbours; all fits 31 bits, and a division of 64 would take longer than the vector's way to memory ---- */

struct Pixels {
    unsigned images, height, width;
};
static Pixels pixels_of(Plane p) { return {(unsigned)p.images, (unsigned)p.height, (unsigned)p.width}; }

template <class T> struct UpsampleFwdOp {
    const T *x;
    T *y;
    int64_t cols;
    Pixels from, to;
    template <bool ALIGNED> __device__ void apply(int64_t row, int64_t at, int n) const
    {
        unsigned line = (unsigned)row / to.width, j = (unsigned)row % to.width, image = line / to.height, i = line % to.height;
        unsigned source = (image * from.height + i * from.height / to.height) * from.width + j * from.width / to.width;
        float v[VEC<T>];
        load_some<T, ALIGNED>(v, x + source * cols + at, n);
        store_some<T, ALIGNED>(y + row * cols + at, v, n);
    }
};

static Status upsample_fwd(KernelCtx *ctx, const UpsampleFwd *a)
{
    TRY(check_upsample_fwd(a));
    WITH_TYPE(a->act, T, {
        UpsampleFwdOp<T> op = {(const T *)a->x, (T *)a->y, a->cols, pixels_of(a->from), pixels_of(a->to)};
        return map_rows<T>(ctx, "upsample_fwd", op, plane_rows(&a->to), a->cols,
                           is_aligned(a->x) && is_aligned(a->y) && is_aligned_stride(a->cols, sizeof(T)));
    });
}

template <class T> struct UpsampleBwdOp {
    const T *dy;
    T *dx;
    int64_t cols;
    Pixels from, to;
    bool accumulate;
    static __device__ unsigned first(unsigned i, unsigned n, unsigned n_to) { return (i * n_to + n - 1) / n; } /* upsample_first */
    template <bool ALIGNED> __device__ void apply(int64_t row, int64_t at, int n) const
    {
        unsigned line = (unsigned)row / from.width, j = (unsigned)row % from.width, image = line / from.height, i = line % from.height;
        unsigned y_end = first(i + 1, from.height, to.height), x_first = first(j, from.width, to.width),
                 x_end = first(j + 1, from.width, to.width);
        float sum[VEC<T>] = {0}, v[VEC<T>];
        for (unsigned y = first(i, from.height, to.height); y < y_end; y++)
            for (unsigned x = x_first; x < x_end; x++) {
                load_some<T, ALIGNED>(v, dy + ((image * to.height + y) * to.width + x) * cols + at, n);
                for (int k = 0; k < VEC<T>; k++)
                    sum[k] += v[k];
            }
        if (accumulate) {
            load_some<T, ALIGNED>(v, dx + row * cols + at, n);
            for (int k = 0; k < VEC<T>; k++)
                sum[k] += v[k];
        }
        store_some<T, ALIGNED>(dx + row * cols + at, sum, n);
    }
};

static Status upsample_bwd(KernelCtx *ctx, const UpsampleBwd *a)
{
    TRY(check_upsample_bwd(a));
    WITH_TYPE(a->act, T, {
        UpsampleBwdOp<T> op = {(const T *)a->dy, (T *)a->dx, a->cols, pixels_of(a->from), pixels_of(a->to), a->accumulate};
        return map_rows<T>(ctx, "upsample_bwd", op, plane_rows(&a->from), a->cols,
                           is_aligned(a->dy) && is_aligned(a->dx) && is_aligned_stride(a->cols, sizeof(T)));
    });
}

void cuda_rows(KernelTable *t)
{
    t->rows_gather = rows_gather;
    t->rows_scatter = rows_scatter;
    t->patchify = patchify;
    t->add_rows = add_rows;
    t->add_rows_bwd = add_rows_bwd;
    t->upsample_fwd = upsample_fwd;
    t->upsample_bwd = upsample_bwd;
}
