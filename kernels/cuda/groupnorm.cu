/* groupnorm.cu: GroupNorm with SiLU over images. A thread owns a vector of channels and a chunk of pixels, and leaves what it has summed
 * for each channel in the workspace; groups and images are put together from there in a fixed order. Then one pass over all elements. */
#include "kernels/cuda/map.cuh"

enum { GROUP_THREADS = 128, STATISTICS_THREADS = 512, CHUNK_PIXELS = 16, CHUNKS_MAX = 1024, TOTAL_LANES = 8 };

/* Chunks of the pixels of an image, by its size alone. */
struct GroupChunks {
    int64_t pixels, chunks;
};
static GroupChunks group_chunks(int64_t pixels)
{
    int64_t each = (pixels + CHUNKS_MAX - 1) / CHUNKS_MAX;
    each = each > (int64_t)CHUNK_PIXELS ? each : (int64_t)CHUNK_PIXELS;
    return {each, (pixels + each - 1) / each};
}

template <class T, class W> struct GroupView {
    const T *x;
    const W *w, *b;
    const float *mean, *rstd; /* [images, groups] */
    int64_t images, pixels;
    int cols, groups, width;
    bool silu;
    GroupChunks cut;
};

template <class T> static RowBlocks chunk_blocks(int64_t cols, int64_t items)
{
    return row_blocks(items, ceil_div(cols, VEC<T>), GROUP_THREADS);
}

/* Both are below 2^31: a division of 64 bits would take longer than the vector's way to memory. */
static __device__ __forceinline__ unsigned image_of(int64_t row, int64_t pixels) { return (unsigned)row / (unsigned)pixels; }

/* x̂ of the channels at … at+n-1 of a row, and 1/σ of their groups. */
template <bool ALIGNED, class T, class W>
static __device__ __forceinline__ void group_units(const GroupView<T, W> &v, int64_t row, int at, int n, float unit[VEC<T>],
                                                   float rstd[VEC<T>])
{
    int64_t first = (int64_t)image_of(row, v.pixels) * v.groups;
    int k = at / v.width, end = (k + 1) * v.width;
    load_some<T, ALIGNED>(unit, v.x + row * v.cols + at, n);
    for (int i = 0; i < VEC<T>; i++) {
        if (at + i == end) {
            k++;
            end += v.width;
        }
        rstd[i] = i < n ? load(v.rstd + first + k) : 0.0f;
        unit[i] = i < n ? (unit[i] - load(v.mean + first + k)) * rstd[i] : 0.0f;
    }
}

/* ---- forward ---- */

/* What is left of a chunk, [images, chunks, cols] each: Σ x of each channel, and Σ (x - mean)² around a running mean (Welford
 * 1962), counted from the chunk's first pixel, so that a mean far from zero costs no digits. */
struct GroupMoments {
    double *sums;
    float *squares;
};

template <class T, bool ALIGNED> __global__ void __launch_bounds__(GROUP_THREADS)
    group_moments(const T *x, GroupMoments of, int64_t items, int64_t pixels, int cols, GroupChunks cut, RowLanes of_block)
{
    int at = (int)first_vector(of_block) * VEC<T>, n = cols - at;
    if (n <= 0)
        return;
    for (int64_t item = first_row(of_block); item < items; item += row_step(of_block)) {
        int64_t from = item % cut.chunks * cut.pixels, row = item / cut.chunks * pixels + from;
        int rows = (int)(pixels - from < cut.pixels ? pixels - from : cut.pixels);
        double sum[VEC<T>] = {0};
        float first[VEC<T>], mean[VEC<T>] = {0}, squares[VEC<T>] = {0};
        UNROLL_BY(2) /* more of them at a time and ptxas spills */
        for (int r = 0; r < rows; r++) {
            float v[VEC<T>], share = 1.0f / (float)(r + 1);
            load_some<T, ALIGNED>(v, x + (row + r) * cols + at, n);
            for (int i = 0; i < VEC<T>; i++) {
                first[i] = r ? first[i] : v[i];
                float from_first = v[i] - first[i], d = from_first - mean[i];
                sum[i] += v[i];
                mean[i] += d * share;
                squares[i] += d * (from_first - mean[i]);
            }
        }
        for (int i = 0; i < VEC<T>; i++)
            if (i < n) {
                store(of.sums + item * cols + at + i, sum[i]);
                store(of.squares + item * cols + at + i, squares[i]);
            }
    }
}

/* One block a group of an image: its threads take every blockDim-th (chunk, channel). */
static __global__ void __launch_bounds__(STATISTICS_THREADS)
    group_statistics(GroupMoments of, float *mean, float *rstd, int64_t pixels, int cols, int groups, double eps, GroupChunks cut)
{
    SHARED_MEMORY(double, slots);
    int width = cols / groups, k = (int)(blockIdx.x % groups);
    int64_t image = blockIdx.x / groups, n = cut.chunks * width;
    double total = 0, size = (double)pixels * width;
    for (int pass = 0; pass < 2; pass++) {
        double of_group = total, sum = 0;
        for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
            int64_t chunk = i / width, from = chunk * cut.pixels, at = (image * cut.chunks + chunk) * cols + k * width + i % width;
            double rows = (double)(pixels - from < cut.pixels ? pixels - from : cut.pixels), of_chunk = load(of.sums + at);
            double d = of_chunk / rows - of_group;
            sum += pass ? load(of.squares + at) + rows * d * d : of_chunk;
        }
        total = size > 0 ? block_sum(sum, slots) / size : 0;
        if (threadIdx.x == 0)
            store((pass ? rstd : mean) + blockIdx.x, (float)(pass ? 1 / sqrt(total + eps) : total));
    }
}

template <class T, class W> struct GroupNormOp {
    GroupView<T, W> v;
    T *y;
    template <bool ALIGNED> __device__ void apply(int64_t row, int64_t at, int n) const
    {
        float z[VEC<T>], rstd[VEC<T>];
        group_units<ALIGNED>(v, row, (int)at, n, z, rstd);
        for (int i = 0; i < VEC<T>; i++) {
            z[i] = i < n ? load(v.w + at + i) * z[i] + load(v.b + at + i) : 0.0f;
            z[i] = v.silu ? z[i] / (1.0f + expf(-z[i])) : z[i];
        }
        store_some<T, ALIGNED>(y + row * v.cols + at, z, n);
    }
};

static Status groupnorm_fwd(KernelCtx *ctx, const GroupNormFwd *a)
{
    TRY(check_groupnorm_fwd(a));
    GroupChunks cut = group_chunks(a->pixels);
    int64_t items = a->images * cut.chunks;
    int cols = (int)a->cols, groups = (int)a->groups;
    void *memory;
    TRY(cuda_workspace(ctx, "groupnorm_fwd", (size_t)(items * a->cols) * (sizeof(double) + sizeof(float)), &memory));
    GroupMoments of = {(double *)memory, (float *)((double *)memory + items * a->cols)};
    if (a->images == 0)
        return OK;
    WITH_TYPE(a->act, T, {
        const T *x = (const T *)a->x;
        bool aligned = is_aligned(x) && is_aligned(a->y) && is_aligned_stride(cols, sizeof(T));
        if (items && cols)
            WITH_BOOL(aligned, ALIGNED, {
                const RowBlocks b = chunk_blocks<T>(cols, items);
                LAUNCH_FLAT((group_moments<T, ALIGNED>), b.grid, b.block, cuda_stream(ctx), x, of, items, a->pixels, cols, cut, b.of);
            });
        LAUNCH(group_statistics, dim3((unsigned)(a->images * groups)), STATISTICS_THREADS, STATISTICS_THREADS / WARP * sizeof(double),
               cuda_stream(ctx), of, (float *)a->mean, (float *)a->rstd, a->pixels, cols, groups, a->eps, cut);
        TRY(cuda_launched("groupnorm_fwd"));
        WITH_TYPE(a->w_type, W, {
            GroupNormOp<T, W> op = {{x, (const W *)a->w, (const W *)a->b, (const float *)a->mean, (const float *)a->rstd, a->images,
                                     a->pixels, cols, groups, cols / groups, a->silu, cut},
                                    (T *)a->y};
            return map_rows<T>(ctx, "groupnorm_fwd", op, a->images * a->pixels, cols, aligned);
        });
    });
}

/* ---- backward ---- */

/* x̂, dz and 1/σ. */
template <bool ALIGNED, class T, class W>
static __device__ __forceinline__ void group_gradient(const GroupView<T, W> &v, const T *dy, int64_t row, int at, int n, float unit[VEC<T>],
                                                      float dz[VEC<T>], float rstd[VEC<T>])
{
    group_units<ALIGNED>(v, row, at, n, unit, rstd);
    load_some<T, ALIGNED>(dz, dy + row * v.cols + at, n);
    for (int i = 0; v.silu && i < VEC<T>; i++) {
        float z = i < n ? load(v.w + at + i) * unit[i] + load(v.b + at + i) : 0.0f, s = 1.0f / (1.0f + expf(-z));
        dz[i] *= s * (1.0f + z * (1.0f - s));
    }
}

/* Σ dz and Σ dz∘x̂ of each channel over a chunk: partial [images, chunks, 2, cols]. */
template <class T, class W, bool ALIGNED> __global__ void __launch_bounds__(GROUP_THREADS)
    group_sums(GroupView<T, W> v, const T *dy, float *partial, RowLanes of_block)
{
    int at = (int)first_vector(of_block) * VEC<T>, n = v.cols - at;
    if (n <= 0)
        return;
    for (int64_t item = first_row(of_block); item < v.images * v.cut.chunks; item += row_step(of_block)) {
        int64_t from = item % v.cut.chunks * v.cut.pixels, row = item / v.cut.chunks * v.pixels + from;
        int rows = (int)(v.pixels - from < v.cut.pixels ? v.pixels - from : v.cut.pixels);
        float sum[VEC<T>] = {0}, product[VEC<T>] = {0};
        for (int r = 0; r < rows; r++) {
            float unit[VEC<T>], dz[VEC<T>], rstd[VEC<T>];
            group_gradient<ALIGNED>(v, dy, row + r, at, n, unit, dz, rstd);
            for (int i = 0; i < VEC<T>; i++) {
                sum[i] += dz[i];
                product[i] += dz[i] * unit[i];
            }
        }
        for (int i = 0; i < VEC<T>; i++)
            if (i < n) {
                store(partial + 2 * item * v.cols + at + i, sum[i]);
                store(partial + (2 * item + 1) * v.cols + at + i, product[i]);
            }
    }
}

/* Both sums over the chunks of an image: total [images, 2, cols]. A block has WARP channels, TOTAL_LANES threads for each. */
static __global__ void __launch_bounds__(WARP *TOTAL_LANES) group_totals(const float *partial, double *total, int64_t chunks, int cols)
{
    SHARED_MEMORY(double, sums); /* [2, TOTAL_LANES, WARP] */
    int lane = threadIdx.x % WARP, part = threadIdx.x / WARP, c = (int)blockIdx.x * WARP + lane;
    double sum[2] = {0, 0};
    for (int64_t k = part; c < cols && k < chunks; k += TOTAL_LANES)
        for (int which = 0; which < 2; which++)
            sum[which] += load(partial + (2 * (blockIdx.y * chunks + k) + which) * cols + c);
    for (int which = 0; which < 2; which++)
        sums[(which * TOTAL_LANES + part) * WARP + lane] = sum[which];
    __syncthreads();
    if (part >= 2 || c >= cols)
        return;
    double all = 0;
    for (int k = 0; k < TOTAL_LANES; k++)
        all += sums[(part * TOTAL_LANES + k) * WARP + lane];
    store(total + (2 * (int64_t)blockIdx.y + part) * cols + c, all);
}

/* db and dw: over the images. */
static __global__ void __launch_bounds__(GROUP_THREADS)
    group_weights(const double *total, float *dw, float *db, int64_t images, int cols, bool accumulate)
{
    int c = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (c >= cols)
        return;
    for (int which = 0; which < 2; which++) {
        float *out = which ? dw : db;
        double sum = 0;
        if (!out)
            continue;
        for (int64_t image = 0; image < images; image++)
            sum += load(total + (2 * image + which) * cols + c);
        store(out + c, (float)(accumulate ? load(out + c) + sum : sum));
    }
}

/* mean(g) and mean(g∘x̂) of each group: means [images, groups, 2]. */
template <class W> __global__ void __launch_bounds__(GROUP_THREADS)
    group_means(const double *total, const W *w, float *means, int64_t images, int64_t pixels, int cols, int groups)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, image = i / groups;
    int width = cols / groups, first = (int)(i % groups) * width;
    if (image >= images)
        return;
    for (int which = 0; which < 2; which++) {
        double sum = 0;
        for (int c = first; c < first + width; c++)
            sum = fma((double)load(w + c), load(total + (2 * image + which) * cols + c), sum);
        store(means + 2 * i + which, (float)(sum / ((double)pixels * width)));
    }
}

template <class T, class W> struct GroupInputOp {
    GroupView<T, W> v;
    const T *dy;
    const float *means;
    T *dx;
    bool accumulate;
    template <bool ALIGNED> __device__ void apply(int64_t row, int64_t at, int n) const
    {
        float unit[VEC<T>], d[VEC<T>], rstd[VEC<T>], old[VEC<T>];
        const float *of_image = means + 2 * ((int64_t)image_of(row, v.pixels) * v.groups);
        int k = (int)at / v.width, end = (k + 1) * v.width;
        group_gradient<ALIGNED>(v, dy, row, (int)at, n, unit, d, rstd);
        if (accumulate)
            load_some<T, ALIGNED>(old, dx + row * v.cols + at, n);
        for (int i = 0; i < VEC<T>; i++) {
            if (at + i == end) {
                k++;
                end += v.width;
            }
            if (i < n)
                d[i] = rstd[i] * (d[i] * load(v.w + at + i) - load(of_image + 2 * k) - unit[i] * load(of_image + 2 * k + 1));
            d[i] += accumulate ? old[i] : 0.0f;
        }
        store_some<T, ALIGNED>(dx + row * v.cols + at, d, n);
    }
};

template <class T, class W> static Status launch_backward(KernelCtx *ctx, const GroupNormBwd *a, const GroupView<T, W> &v, double *total,
                                                          float *partial, float *means)
{
    const T *dy = (const T *)a->dy;
    int64_t items = v.images * v.cut.chunks, of_groups = v.images * v.groups;
    bool aligned = is_aligned(v.x) && is_aligned(dy) && is_aligned(a->dx) && is_aligned_stride(v.cols, sizeof(T));
    if (items)
        WITH_BOOL(aligned, ALIGNED, {
            const RowBlocks b = chunk_blocks<T>(v.cols, items);
            LAUNCH_FLAT((group_sums<T, W, ALIGNED>), b.grid, b.block, cuda_stream(ctx), v, dy, partial, b.of);
        });
    if (v.images)
        LAUNCH(group_totals, dim3(ceil_div(v.cols, WARP), (unsigned)v.images), WARP *TOTAL_LANES, 2 * TOTAL_LANES * WARP * sizeof(double),
               cuda_stream(ctx), partial, total, v.cut.chunks, v.cols);
    if (a->dw || a->db)
        LAUNCH_FLAT(group_weights, dim3(ceil_div(v.cols, GROUP_THREADS)), GROUP_THREADS, cuda_stream(ctx), total, (float *)a->dw,
                    (float *)a->db, v.images, v.cols, a->accumulate_w);
    if (!a->dx || !items)
        return cuda_launched("groupnorm_bwd");
    LAUNCH_FLAT((group_means<W>), dim3(ceil_div(of_groups, GROUP_THREADS)), GROUP_THREADS, cuda_stream(ctx), total, v.w, means, v.images,
                v.pixels, v.cols, v.groups);
    TRY(cuda_launched("groupnorm_bwd"));
    GroupInputOp<T, W> op = {v, dy, means, (T *)a->dx, a->accumulate};
    return map_rows<T>(ctx, "groupnorm_bwd", op, v.images * v.pixels, v.cols, aligned);
}

static Status groupnorm_bwd(KernelCtx *ctx, const GroupNormBwd *a)
{
    TRY(check_groupnorm_bwd(a));
    if (a->cols == 0)
        return OK;
    GroupChunks cut = group_chunks(a->pixels);
    size_t totals = (size_t)(2 * a->images * a->cols), partials = (size_t)(2 * a->images * cut.chunks * a->cols);
    void *memory;
    TRY(cuda_workspace(ctx, "groupnorm_bwd", totals * sizeof(double) + (partials + (size_t)(2 * a->images * a->groups)) * sizeof(float),
                       &memory));
    double *total = (double *)memory;
    float *partial = (float *)(total + totals);
    int cols = (int)a->cols, groups = (int)a->groups;
    WITH_TYPE(a->act, T, {
        WITH_TYPE(a->w_type, W, {
            GroupView<T, W> v = {(const T *)a->x, (const W *)a->w, (const W *)a->b, (const float *)a->mean, (const float *)a->rstd,
                                 a->images, a->pixels, cols, groups, cols / groups, a->silu, cut};
            return launch_backward<T, W>(ctx, a, v, total, partial, partial + partials);
        });
    });
}

void cuda_groupnorm(KernelTable *t)
{
    t->groupnorm_fwd = groupnorm_fwd;
    t->groupnorm_bwd = groupnorm_bwd;
}
