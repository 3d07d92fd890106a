/* loss.cu: cross entropy, one block a row of logits. The first sweep finds the largest logit and Σ exp together (online softmax, Milakov &
 * Gimelshein 2018), the second writes the gradient over the logits: two reads and one write of the row. Also weighted sums, and
 * distances of matrices. */
#include "kernels/cuda/map.cuh"

enum { LOSS_THREADS = 512 };

/* (largest, Σ exp(z - largest)) of a part of the row; nothing finite seen yet: (-inf, 0). */
struct SoftmaxSum {
    float largest;
    double total;
};
static __device__ __forceinline__ SoftmaxSum softmax_join(SoftmaxSum a, SoftmaxSum b)
{
    SoftmaxSum low = a.largest < b.largest ? a : b, high = a.largest < b.largest ? b : a;
    if (low.largest != high.largest)
        low.total *= expf(low.largest - high.largest);
    return {high.largest, high.total + low.total};
}

/* Over the block, in a fixed order; the same in every thread. */
static __device__ SoftmaxSum softmax_block(SoftmaxSum s, SoftmaxSum *slots)
{
    for (int m = WARP / 2; m; m >>= 1) {
        SoftmaxSum other = {warp_shfl_xor(s.largest, m), warp_shfl_xor(s.total, m)};
        s = softmax_join(s, other);
    }
    if (warp_lane() == 0)
        slots[threadIdx.x / WARP] = s;
    __syncthreads();
    SoftmaxSum all = slots[0];
    for (int w = 1; w < (int)(blockDim.x / WARP); w++)
        all = softmax_join(all, slots[w]);
    return all;
}

template <class T, bool ALIGNED> __global__ void __launch_bounds__(LOSS_THREADS)
    cross_entropy_kernel(T *logits, float *loss, const int32_t *label, const float *weight, int cols, int64_t ldz, bool backward)
{
    SHARED_MEMORY(SoftmaxSum, slots);
    T *z = logits + blockIdx.x * ldz;
    int target = load_int(label + blockIdx.x);
    SoftmaxSum s = {-INFINITY, 0.0};
    for (int at = threadIdx.x * VEC<T>; at < cols; at += blockDim.x * VEC<T>) {
        float v[VEC<T>];
        load_some<T, ALIGNED>(v, z + at, cols - at);
        SoftmaxSum part = {-INFINITY, 0.0};
        for (int i = 0; i < VEC<T>; i++)
            if (at + i < cols)
                part.largest = fmaxf(part.largest, v[i]);
        for (int i = 0; i < VEC<T>; i++)
            if (at + i < cols && v[i] != -INFINITY)
                part.total += expf(v[i] - part.largest);
        s = softmax_join(s, part);
    }
    s = softmax_block(s, slots);
    if (s.largest == -INFINITY)
        s.total = NAN; /* a row of -inf has no softmax */
    float at_target = load(z + target);
    if (threadIdx.x == 0)
        store(loss + blockIdx.x, (float)((double)s.largest - at_target + log(s.total)));
    if (!backward)
        return;
    __syncthreads(); /* the label's logit has been read */
    float w = load(weight + blockIdx.x), scale = (float)(1 / s.total);
    /* In double: 1 - softmax loses its digits when one class takes all. */
    float of_target = (float)(w * (exp((double)at_target - s.largest) / s.total - 1));
    for (int at = threadIdx.x * VEC<T>; at < cols; at += blockDim.x * VEC<T>) {
        float v[VEC<T>];
        load_some<T, ALIGNED>(v, z + at, cols - at);
        for (int i = 0; i < VEC<T>; i++)
            v[i] = at + i == target ? of_target : w * (expf(v[i] - s.largest) * scale);
        store_some<T, ALIGNED>(z + at, v, cols - at);
    }
}

static Status cross_entropy(KernelCtx *ctx, const CrossEntropy *a)
{
    TRY(check_cross_entropy(a));
    if (a->rows == 0)
        return OK;
    dim3 grid((unsigned)a->rows);
    size_t shared = LOSS_THREADS / WARP * sizeof(SoftmaxSum);
    WITH_TYPE(a->act, T, {
        WITH_BOOL(is_aligned(a->logits) && is_aligned_stride(a->ldz, sizeof(T)), ALIGNED, {
            LAUNCH((cross_entropy_kernel<T, ALIGNED>), grid, LOSS_THREADS, shared, cuda_stream(ctx), (T *)a->logits, (float *)a->loss,
                   a->label,
                   (const float *)a->weight, (int)a->cols, a->ldz, a->backward);
        });
    });
    return cuda_launched("cross_entropy");
}

/* ---- Σ w x: one block, whose threads take every SUM_THREADS-th element; there are no more of them than labels in a pass ---- */

enum { SUM_THREADS = 512 };

template <class T> __global__ void __launch_bounds__(SUM_THREADS)
    weighted_sum_kernel(const float *weight, const float *x, int64_t n, double scale, T *scaled, double *total, bool accumulate)
{
    SHARED_MEMORY(double, slots);
    double sum = 0;
    for (int64_t i = threadIdx.x; i < n; i += SUM_THREADS)
        sum = fma((double)load(weight + i), (double)load(x + i), sum);
    sum = block_sum(sum, slots);
    if (threadIdx.x)
        return;
    store(total, accumulate ? load(total) + sum : sum);
    if (scaled)
        store(scaled, (float)(scale * sum));
}

static Status weighted_sum(KernelCtx *ctx, const WeightedSum *a)
{
    TRY(check_weighted_sum(a));
    if (a->type != F32)
        return fail(ERR_INTERNAL, "weighted_sum: the cuda backend takes F32, not %s", dtype_name(a->type));
    WITH_TYPE(a->act, T, {
        LAUNCH((weighted_sum_kernel<T>), 1, SUM_THREADS, SUM_THREADS / WARP * sizeof(double), cuda_stream(ctx), a->weight,
               (const float *)a->x, a->n,
               a->scale, (T *)a->scaled, a->total, a->accumulate);
    });
    return cuda_launched("weighted_sum");
}

/* ---- distances: one block an item. For norms a warp takes a row, else the block takes the item's elements as they come ---- */

enum { DIFFERENCE_THREADS = 512, NORM_WARPS = 4 };

/* n elements of what T values are compared with, as load_some has them. */
template <class T, bool ALIGNED> static __device__ void load_wanted(float out[VEC<T>], const float *p, int n)
{
    for (int i = 0; i < VEC<T>; i += VEC<float>)
        load_some<float, ALIGNED>(out + i, p + i, n - i);
}

/* This lane's share of Σ (u-v)² over n elements, of which it takes every step-th vector from `first` on. */
template <class T, bool ALIGNED> static __device__ double square_share(const T *u, const float *v, int64_t first, int64_t step, int64_t n)
{
    double sum = 0;
    for (int64_t at = first * VEC<T>; at < n; at += step * VEC<T>) {
        float a[VEC<T>], b[VEC<T>];
        int left = (int)(n - at < (int64_t)VEC<T> ? n - at : (int64_t)VEC<T>);
        load_some<T, ALIGNED>(a, u + at, left);
        load_wanted<T, ALIGNED>(b, v + at, left);
        for (int i = 0; i < VEC<T>; i++)
            sum += (double)(a[i] - b[i]) * (a[i] - b[i]);
    }
    return sum;
}

template <class T, bool ALIGNED, bool NORM> __global__ void __launch_bounds__(DIFFERENCE_THREADS)
    difference_fwd_kernel(const T *u, const float *v, float *loss, int64_t rows, int64_t cols)
{
    SHARED_MEMORY(double, slots);
    int64_t item = (int64_t)blockIdx.x * rows * cols;
    double sum = 0, parts = (double)rows * (NORM ? 1 : cols);
    if (NORM)
        for (int64_t r = threadIdx.x / WARP; r < rows; r += DIFFERENCE_THREADS / WARP) {
            double square = warp_sum(square_share<T, ALIGNED>(u + item + r * cols, v + item + r * cols, warp_lane(), WARP, cols));
            sum += warp_lane() == 0 ? sqrt(square) : 0;
        }
    else
        sum = square_share<T, ALIGNED>(u + item, v + item, threadIdx.x, DIFFERENCE_THREADS, rows * cols);
    sum = block_sum(sum, slots);
    if (threadIdx.x == 0)
        store(loss + blockIdx.x, (float)(parts > 0 ? sum / parts : 0));
}

template <class T, bool NORM> static Status launch_difference_fwd(KernelCtx *ctx, const DifferenceFwd *a)
{
    int64_t stride = NORM ? a->cols : a->rows * a->cols;
    WITH_BOOL(is_aligned(a->u) && is_aligned(a->v) && is_aligned_stride(stride, sizeof(T)), ALIGNED, {
        LAUNCH((difference_fwd_kernel<T, ALIGNED, NORM>), dim3((unsigned)a->items), DIFFERENCE_THREADS,
               DIFFERENCE_THREADS / WARP * sizeof(double), cuda_stream(ctx), (const T *)a->u, (const float *)a->v, (float *)a->loss,
               a->rows, a->cols);
    });
    return cuda_launched("difference_fwd");
}

static Status difference_fwd(KernelCtx *ctx, const DifferenceFwd *a)
{
    TRY(check_difference_fwd(a));
    if (a->items == 0)
        return OK;
    WITH_TYPE(a->act, T, {
        return a->kind == DIFFERENCE_L2NORM ? launch_difference_fwd<T, true>(ctx, a) : launch_difference_fwd<T, false>(ctx, a);
    });
}

template <class T> struct DifferenceOp {
    const T *u, *dloss;
    T *du;
    const float *v, *weight;
    double scale; /* with 2/(rows·cols), or 1/rows */
    int64_t rows, cols;
    bool accumulate;

    __device__ double factor(int64_t item) const { return scale * load(weight + item) * load(dloss); }

    /* The gradients of n neighbours from element `at` on, given what the difference is multiplied with. */
    template <bool ALIGNED> __device__ void write(int64_t at, int n, float factor) const
    {
        float a[VEC<T>], b[VEC<T>];
        load_some<T, ALIGNED>(a, u + at, n);
        load_wanted<T, ALIGNED>(b, v + at, n);
        for (int i = 0; i < VEC<T>; i++)
            a[i] = factor * (a[i] - b[i]);
        if (accumulate)
            load_some<T, ALIGNED>(b, du + at, n);
        for (int i = 0; accumulate && i < VEC<T>; i++)
            a[i] += b[i];
        store_some<T, ALIGNED>(du + at, a, n);
    }
    /* MSE: a row of the map is an item. */
    template <bool ALIGNED> __device__ void apply(int64_t item, int64_t at, int n) const
    {
        write<ALIGNED>(item * rows * cols + at, n, (float)factor(item));
    }
};

/* A warp a row. */
template <class T, bool ALIGNED> __global__ void __launch_bounds__(NORM_WARPS *WARP)
    difference_norm_bwd(DifferenceOp<T> op, int64_t all_rows)
{
    const double least = 1e-12;
    int64_t r = (int64_t)blockIdx.x * NORM_WARPS + threadIdx.x / WARP, row = r * op.cols;
    if (r >= all_rows)
        return;
    double norm = sqrt(warp_sum(square_share<T, ALIGNED>(op.u + row, op.v + row, warp_lane(), WARP, op.cols)));
    float factor = (float)(op.factor(r / op.rows) / (norm > least ? norm : least));
    for (int64_t at = warp_lane() * VEC<T>; at < op.cols; at += WARP * VEC<T>)
        op.template write<ALIGNED>(row + at, (int)(op.cols - at < (int64_t)VEC<T> ? op.cols - at : (int64_t)VEC<T>), factor);
}

static Status difference_bwd(KernelCtx *ctx, const DifferenceBwd *a)
{
    TRY(check_difference_bwd(a));
    int64_t rows = a->items * a->rows;
    bool norm = a->kind == DIFFERENCE_L2NORM;
    if (rows * a->cols == 0)
        return OK;
    WITH_TYPE(a->act, T, {
        DifferenceOp<T> op = {(const T *)a->u, (const T *)a->dloss, (T *)a->du, (const float *)a->v, a->weight,
                              a->scale / (double)a->rows * (norm ? 1 : 2 / (double)a->cols), a->rows, a->cols, a->accumulate};
        bool aligned = is_aligned(a->u) && is_aligned(a->v) && is_aligned(a->du) &&
                       is_aligned_stride(norm ? a->cols : a->rows * a->cols, sizeof(T));
        if (!norm)
            return map_rows<T>(ctx, "difference_bwd", op, a->items, a->rows * a->cols, aligned);
        WITH_BOOL(aligned, ALIGNED, {
            LAUNCH((difference_norm_bwd<T, ALIGNED>), dim3(ceil_div(rows, NORM_WARPS)), NORM_WARPS *WARP, 0, cuda_stream(ctx), op, rows);
        });
        return cuda_launched("difference_bwd");
    });
}

void cuda_loss(KernelTable *t)
{
    t->cross_entropy = cross_entropy;
    t->weighted_sum = weighted_sum;
    t->difference_fwd = difference_fwd;
    t->difference_bwd = difference_bwd;
}
