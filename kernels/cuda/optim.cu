/* optim.cu: AdamW over spans of the flat buffers, and the sum of squares behind the gradient norm: one pass each, whatever the number of
 * tensors. */
#include "kernels/base/philox.h"
#include "kernels/cuda/device.cuh"

/* ---- AdamW: one launch for up to ADAMW_SPANS spans, whose settings travel as a kernel argument. A block takes one chunk of one span. */

enum { ADAMW_THREADS = 256, ADAMW_CHUNK = 4 * ADAMW_THREADS, ADAMW_SPANS = 96 };

struct AdamwSettings {
    int64_t begin, end;
    float decay_factor, step_size, inv_bias2;
    unsigned first_chunk; /* of this launch; the next span's begins where this one's end */
};

struct AdamwArgs {
    float *param;
    void *m, *v; /* of the type that the kernel is made for */
    const float *grad;
    __nv_bfloat16 *copy;
    uint64_t key;
    float beta1, rest1, beta2, rest2, eps, grad_scale;
    int n_spans;
    AdamwSettings span[ADAMW_SPANS];
};
static_assert(sizeof(AdamwArgs) <= 4096, "what a kernel takes as arguments");

/* Four neighbours of the BF16 copy. */
template <bool ALIGNED> static __device__ __forceinline__ void store_copy(__nv_bfloat16 *to, const float p[4], int n)
{
    if (ALIGNED && n >= 4) {
        store_half_vector(to, p);
        return;
    }
    for (int k = 0; k < 4; k++)
        if (k < n)
            store(to + k, p[k]);
}

/* Random words of four neighbours; a group of the contract's when ALIGNED. */
template <bool ALIGNED> static __device__ __forceinline__ void random_words(uint32_t word[4], uint64_t key, int64_t i)
{
    for (int k = 0; k < 4; k += ALIGNED ? 4 : 1) {
        int64_t group = (i + k) / 4;
        Philox4 r = philox4x32(key, (uint32_t)group, (uint32_t)(group >> 32), 0, 0);
        int at = (int)((i + k) % 4);
        if (ALIGNED)
            for (int j = 0; j < 4; j++)
                word[j] = r.v[j];
        else
            word[k] = at < 2 ? (at ? r.v[1] : r.v[0]) : at == 2 ? r.v[2] : r.v[3];
    }
}

/* Four neighbours of a moment. `shift`: which half of the words rounds it. */
template <bool ALIGNED> static __device__ __forceinline__ void load_moments(float x[4], const float *from, int n)
{
    load_some<float, ALIGNED>(x, from, n);
}
template <bool ALIGNED> static __device__ __forceinline__ void load_moments(float x[4], const __nv_bfloat16 *from, int n)
{
    if (ALIGNED && n >= 4) {
        load_as_vector<float>(x, from);
        return;
    }
    for (int k = 0; k < 4; k++)
        x[k] = k < n ? load(from + k) : 0.0f;
}
template <bool ALIGNED>
static __device__ __forceinline__ void store_moments(float *to, const float x[4], int n, const uint32_t *, int)
{
    store_some<float, ALIGNED>(to, x, n);
}
template <bool ALIGNED>
static __device__ __forceinline__ void store_moments(__nv_bfloat16 *to, const float x[4], int n, const uint32_t word[4], int shift)
{
    struct alignas(8) Half {
        uint16_t v[4];
    } y;
    for (int k = 0; k < 4; k++)
        y.v[k] = philox_bf16(x[k], word[k] >> shift & 0xffff);
    if (ALIGNED && n >= 4) {
        count_write(to, sizeof y);
        *reinterpret_cast<Half *>(to) = y;
        return;
    }
    for (int k = 0; k < 4; k++)
        if (k < n) {
            count_write(to + k, sizeof *to);
            reinterpret_cast<uint16_t *>(to)[k] = y.v[k];
        }
}

/* M: the type of the moments. */
template <class M, bool ALIGNED> __global__ void __launch_bounds__(ADAMW_THREADS) adamw_kernel(AdamwArgs a)
{
    int s = 0;
    while (s + 1 < a.n_spans && a.span[s + 1].first_chunk <= blockIdx.x)
        s++;
    int64_t i = a.span[s].begin + (int64_t)(blockIdx.x - a.span[s].first_chunk) * ADAMW_CHUNK + 4 * threadIdx.x;
    int n = a.span[s].end - i < 4 ? (int)(a.span[s].end - i) : 4;
    if (n <= 0)
        return;
    float decay_factor = a.span[s].decay_factor, step_size = a.span[s].step_size, inv_bias2 = a.span[s].inv_bias2, p[4], g[4], m[4], v[4];
    load_some<float, ALIGNED>(p, a.param + i, n);
    load_some<float, ALIGNED>(g, a.grad + i, n);
    M *m_at = (M *)a.m + i, *v_at = (M *)a.v + i;
    uint32_t word[4];
    if (sizeof(M) == 2)
        random_words<ALIGNED>(word, a.key, i);
    load_moments<ALIGNED>(m, m_at, n);
    load_moments<ALIGNED>(v, v_at, n);
    for (int k = 0; k < 4; k++) {
        float d = g[k] * a.grad_scale;
        m[k] = a.beta1 * m[k] + a.rest1 * d;
        v[k] = a.beta2 * v[k] + a.rest2 * d * d;
        p[k] = p[k] * decay_factor - step_size * m[k] / (sqrtf(v[k] * inv_bias2) + a.eps);
    }
    store_some<float, ALIGNED>(a.param + i, p, n);
    store_moments<ALIGNED>(m_at, m, n, word, 0);
    store_moments<ALIGNED>(v_at, v, n, word, 16);
    if (a.copy)
        store_copy<ALIGNED>(a.copy + i, p, n);
}

static AdamwSettings adamw_settings(const Adamw *a, const AdamwSpan *span, unsigned first_chunk)
{
    double bias1 = 1.0 - pow(a->beta1, (double)span->t), bias2 = 1.0 - pow(a->beta2, (double)span->t);
    AdamwSettings s = {span->begin, span->end, (float)(1.0 - span->lr * span->decay), (float)(span->lr / bias1), (float)(1.0 / bias2),
                       first_chunk};
    return s;
}

/* Spans from *next on, as many as fit. */
static Status adamw_launch(KernelCtx *ctx, const Adamw *a, int64_t *next)
{
    AdamwArgs args = {};
    args.param = (float *)a->param, args.m = a->m, args.v = a->v, args.grad = (const float *)a->grad;
    args.copy = (__nv_bfloat16 *)a->copy, args.key = a->key;
    args.beta1 = (float)a->beta1, args.rest1 = (float)(1 - a->beta1), args.beta2 = (float)a->beta2, args.rest2 = (float)(1 - a->beta2);
    args.eps = (float)a->eps, args.grad_scale = (float)a->grad_scale;
    bool aligned = is_aligned(a->param) && is_aligned(a->grad) && is_aligned(a->m) && is_aligned(a->v) && is_aligned(a->copy);
    int64_t chunks = 0, largest = 0x7fffffff; /* of a grid */
    for (; *next < a->n_spans && args.n_spans < (int)ADAMW_SPANS; ++*next) {
        const AdamwSpan *span = &a->spans[*next];
        int64_t n = (span->end - span->begin + ADAMW_CHUNK - 1) / ADAMW_CHUNK;
        if (n > largest)
            return fail(ERR_INTERNAL, "adamw: a span of %lld elements", (long long)(span->end - span->begin));
        if (chunks + n > largest)
            break;
        if (n)
            args.span[args.n_spans++] = adamw_settings(a, span, (unsigned)chunks);
        aligned = aligned && span->begin % 4 == 0;
        chunks += n;
    }
    if (!chunks)
        return OK;
    WITH_TYPE(a->moments, M, {
        if (aligned)
            LAUNCH_FLAT((adamw_kernel<M, true>), (unsigned)chunks, ADAMW_THREADS, cuda_stream(ctx), args);
        else
            LAUNCH_FLAT((adamw_kernel<M, false>), (unsigned)chunks, ADAMW_THREADS, cuda_stream(ctx), args);
    });
    return cuda_launched("adamw");
}

static Status adamw(KernelCtx *ctx, const Adamw *a)
{
    TRY(check_adamw(a));
    if (a->type != F32)
        return fail(ERR_INTERNAL, "adamw: the cuda backend keeps masters in F32, not %s", dtype_name(a->type));
    for (int64_t next = 0; next < a->n_spans;)
        TRY(adamw_launch(ctx, a, &next));
    return OK;
}

/* ---- Σ x² in double: blocks as many as the size asks for, each a fixed share, then their sums in order ---- */

enum { SQUARES_THREADS = 256, SQUARES_BLOCKS = 1024, SQUARES_EACH = 2048 };

template <class T, bool ALIGNED> __global__ void __launch_bounds__(SQUARES_THREADS) sum_squares_kernel(const T *x, int64_t n,
        double *partial)
{
    SHARED_MEMORY(double, slots); /* [SQUARES_THREADS] */
    double total = 0;
    for (int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * VEC<T>; i < n; i += (int64_t)gridDim.x * blockDim.x * VEC<T>) {
        float v[VEC<T>];
        load_some<T, ALIGNED>(v, x + i, n - i < (int64_t)VEC<T> ? (int)(n - i) : VEC<T>);
        for (int k = 0; k < VEC<T>; k++)
            total = fma((double)v[k], (double)v[k], total);
    }
    slots[threadIdx.x] = total;
    for (int half = SQUARES_THREADS / 2; half; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half)
            slots[threadIdx.x] += slots[threadIdx.x + half];
    }
    if (threadIdx.x == 0)
        store(partial + blockIdx.x, slots[0]);
}

/* One warp. */
static __global__ void __launch_bounds__(WARP) sum_partials(const double *partial, int n, double *out)
{
    double total = 0;
    for (int i = (int)threadIdx.x; i < n; i += WARP)
        total += load(partial + i);
    total = warp_sum(total);
    if (threadIdx.x == 0)
        store(out, total);
}

static Status sum_squares(KernelCtx *ctx, const SumSquares *a)
{
    TRY(check_sum_squares(a));
    void *memory;
    TRY(cuda_workspace(ctx, "sum_squares", SQUARES_BLOCKS * sizeof(double), &memory));
    double *partial = (double *)memory;
    int64_t wanted = (a->n + SQUARES_EACH - 1) / SQUARES_EACH;
    unsigned blocks = wanted < 1 ? 1 : wanted < (int64_t)SQUARES_BLOCKS ? (unsigned)wanted : (unsigned)SQUARES_BLOCKS;
    WITH_TYPE(a->type, T, {
        if (is_aligned(a->x))
            LAUNCH((sum_squares_kernel<T, true>), blocks, SQUARES_THREADS, SQUARES_THREADS * sizeof(double), cuda_stream(ctx),
                   (const T *)a->x, a->n,
                   partial);
        else
            LAUNCH((sum_squares_kernel<T, false>), blocks, SQUARES_THREADS, SQUARES_THREADS * sizeof(double), cuda_stream(ctx),
                   (const T *)a->x,
                   a->n, partial);
    });
    LAUNCH(sum_partials, 1, WARP, 0, cuda_stream(ctx), partial, (int)blocks, a->out);
    return cuda_launched("sum_squares");
}

void cuda_optim(KernelTable *t)
{
    t->adamw = adamw;
    t->sum_squares = sum_squares;
}
