/* attention_plain.cu: attention of any head width without tensor cores, one warp a row, sums in double. Lanes first share out keys (a score
 * each), then the head's elements (element lane, lane+32 ... of o); WIDTH, the head's width or more, is what lanes have registers for. Also
 * the launchers, which choose between this and the tensor-core kernels, and decoding. */
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/backend.cuh"

enum { PLAIN_WARPS = 4 };

/* Calls `call` with WIDTH for heads of that width or less. */
#define WITH_WIDTH(head_dim, ...)                               \
    do {                                                        \
        if ((head_dim) <= 256) {                                \
            constexpr int WIDTH = 256;                          \
            __VA_ARGS__                                         \
        } else {                                                \
            constexpr int WIDTH = ATTENTION_MAX_HEAD_DIM;       \
            __VA_ARGS__                                         \
        }                                                       \
    } while (0)

/* A head's row, shared out over the lanes. */
template <int WIDTH, class T> static __device__ void store_row(T *p, const double (&x)[WIDTH / WARP], int head_dim)
{
    for (int i = 0; i < WIDTH / WARP; i++) {
        int d = warp_lane() + i * WARP;
        if (d < head_dim)
            store(p + d, (float)x[i]);
    }
}
template <class T> static __device__ double dot_rows(const float *shared, const T *p, int head_dim)
{
    double sum = 0;
    for (int d = 0; d < head_dim; d++)
        sum = fma((double)shared[d], (double)load(p + d), sum);
    return sum;
}
/* out += Σ over the lanes' keys of weight·row */
template <int WIDTH, class T>
static __device__ void add_weighted_rows(double (&out)[WIDTH / WARP], double weight, const T *rows, int64_t ld, int first, int n,
                                         int head_dim)
{
    for (int j = 0; j < WARP; j++) {
        double w = warp_shfl(weight, j);
        if (j >= n)
            continue;
        const T *p = rows + (int64_t)(first + j) * ld;
        for (int i = 0; i < WIDTH / WARP; i++) {
            int d = warp_lane() + i * WARP;
            if (d < head_dim)
                out[i] = fma(w, (double)load(p + d), out[i]);
        }
    }
}

/* ---- forward ---- */

template <class T, int WIDTH> __global__ void __launch_bounds__(PLAIN_WARPS *WARP)
    attention_plain_fwd(FwdShape a, const int32_t *cu_q, const int32_t *cu_k, const T *q, const T *k, const T *v, T *o, float *lse)
{
    SHARED_MEMORY(float, all_queries); /* [PLAIN_WARPS, WIDTH] */
    int warp = threadIdx.x / WARP, h = blockIdx.y, kv = h / a.kv_group;
    int start_q = load_int(cu_q + blockIdx.z), n_q = load_int(cu_q + blockIdx.z + 1) - start_q, row = blockIdx.x * PLAIN_WARPS + warp;
    if (row >= n_q)
        return;
    int start_k = load_int(cu_k + blockIdx.z), n_k = load_int(cu_k + blockIdx.z + 1) - start_k;
    float *query = all_queries + warp * WIDTH;
    double out[WIDTH / WARP] = {0};
    for (int d = warp_lane(); d < a.head_dim; d += WARP)
        query[d] = load(q + (start_q + row) * a.ldq + h * a.head_dim + d);
    __syncwarp();
    const T *keys = k + start_k * a.ldk + kv * a.head_dim, *values = v + start_k * a.ldv + kv * a.head_dim;
    KeyRange range = attention_keys(row, row + 1, n_k, a.causal, a.window);
    double largest = -INFINITY, total = 0;
    for (int first = range.low; first < range.high; first += WARP) {
        int key = first + warp_lane();
        double s = key < range.high ? a.scale * dot_rows(query, keys + key * a.ldk, a.head_dim) : -INFINITY;
        double top = fmax(largest, warp_max(s)), shrink = exp(largest - top), p = exp(s - top);
        total = total * shrink + warp_sum(p);
        for (int i = 0; i < WIDTH / WARP; i++)
            out[i] *= shrink;
        add_weighted_rows<WIDTH>(out, p, values, a.ldv, first, range.high - first, a.head_dim);
        largest = top;
    }
    for (int i = 0; i < WIDTH / WARP; i++)
        out[i] = total == 0 ? 0 : out[i] / total;
    store_row<WIDTH>(o + (start_q + row) * a.ldo + h * a.head_dim, out, a.head_dim);
    if (lse && warp_lane() == 0)
        store(lse + h * a.rows_q + start_q + row, (float)(largest + log(total)));
}

/* Tensor cores take bf16 rows that can be copied in 16-byte pieces; what is not wanted is not copied. */
static bool copies_in_vectors(const void *p, int64_t ld, int64_t head_dim)
{
    return !p || (is_aligned(p) && is_aligned_stride(ld, sizeof(__nv_bfloat16)) && is_aligned_stride(head_dim, sizeof(__nv_bfloat16)));
}

static bool forward_fits_tensor_cores(KernelCtx *ctx, const AttentionFwd *a)
{
    return a->act == BF16 && a->scale > 0 && copies_in_vectors(a->q, a->ldq, a->head_dim) && copies_in_vectors(a->k, a->ldk, a->head_dim) &&
           copies_in_vectors(a->v, a->ldv, a->head_dim) && copies_in_vectors(a->o, a->ldo, a->head_dim) &&
           attention_fwd_shared(a->head_dim) <= cuda_state(ctx)->shared_most;
}

static Status attention_fwd(KernelCtx *ctx, const AttentionFwd *a)
{
    TRY(check_attention_fwd(a));
    if (a->rows_q == 0 || a->n_segments == 0 || a->max_q == 0)
        return OK;
    FwdShape s = {(int)(a->heads / a->kv_heads), (int)a->head_dim, (int)a->window, a->rows_q, a->ldq, a->ldk, a->ldv, a->ldo, a->scale,
                  a->causal};
    if (forward_fits_tensor_cores(ctx, a))
        return attention_fwd_mma(ctx, a, s);
    dim3 grid(ceil_div(a->max_q, PLAIN_WARPS), (unsigned)a->heads, (unsigned)a->n_segments);
    WITH_TYPE(a->act, T, {
        WITH_WIDTH(a->head_dim, {
            LAUNCH((attention_plain_fwd<T, WIDTH>), grid, PLAIN_WARPS *WARP, PLAIN_WARPS * WIDTH * sizeof(float), cuda_stream(ctx), s,
                   a->cu_q, a->cu_k, (const T *)a->q, (const T *)a->k, (const T *)a->v, (T *)a->o, (float *)a->lse);
        });
    });
    return cuda_launched("attention_fwd");
}

/* ---- backward: delta = rowsum(do∘o), then dq by query rows, then dk and dv by key rows ---- */

template <class T> __global__ void __launch_bounds__(PLAIN_WARPS *WARP) attention_delta(BwdShape a, const T *o, const T *d_o, double *delta)
{
    int64_t row = (int64_t)blockIdx.x * PLAIN_WARPS + threadIdx.x / WARP;
    int h = blockIdx.y;
    if (row >= a.rows_q)
        return;
    double sum = 0;
    for (int d = warp_lane(); d < a.head_dim; d += WARP)
        sum += (double)load(o + row * a.ldo + h * a.head_dim + d) * load(d_o + row * a.lddo + h * a.head_dim + d);
    sum = warp_sum(sum);
    if (warp_lane() == 0)
        store(delta + h * a.rows_q + row, sum);
}

template <class T, int WIDTH> __global__ void __launch_bounds__(PLAIN_WARPS *WARP)
    attention_plain_dq(BwdShape a, const int32_t *cu_q, const int32_t *cu_k, const T *q, const T *k, const T *v, const T *d_o,
                       const float *lse,
                       const double *delta, T *dq)
{
    SHARED_MEMORY(float, all_rows); /* [PLAIN_WARPS, 2, WIDTH]: q and do */
    int warp = threadIdx.x / WARP, h = blockIdx.y, kv = h / a.kv_group;
    int start_q = load_int(cu_q + blockIdx.z), n_q = load_int(cu_q + blockIdx.z + 1) - start_q, row = blockIdx.x * PLAIN_WARPS + warp;
    if (row >= n_q)
        return;
    int start_k = load_int(cu_k + blockIdx.z), n_k = load_int(cu_k + blockIdx.z + 1) - start_k;
    float *query = all_rows + 2 * warp * WIDTH, *gradient = query + WIDTH;
    double out[WIDTH / WARP] = {0};
    for (int d = warp_lane(); d < a.head_dim; d += WARP) {
        query[d] = load(q + (start_q + row) * a.ldq + h * a.head_dim + d);
        gradient[d] = load(d_o + (start_q + row) * a.lddo + h * a.head_dim + d);
    }
    __syncwarp();
    double row_lse = load(lse + h * a.rows_q + start_q + row), row_delta = load(delta + h * a.rows_q + start_q + row);
    const T *keys = k + start_k * a.ldk + kv * a.head_dim, *values = v + start_k * a.ldv + kv * a.head_dim;
    KeyRange range = attention_keys(row, row + 1, n_k, a.causal, a.window);
    for (int first = range.low; first < range.high; first += WARP) {
        int key = first + warp_lane();
        double ds = 0;
        if (key < range.high) {
            double p = exp(a.scale * dot_rows(query, keys + key * a.ldk, a.head_dim) - row_lse);
            ds = p * (dot_rows(gradient, values + key * a.ldv, a.head_dim) - row_delta);
        }
        add_weighted_rows<WIDTH>(out, a.scale * ds, keys, a.ldk, first, range.high - first, a.head_dim);
    }
    store_row<WIDTH>(dq + (start_q + row) * a.lddq + h * a.head_dim, out, a.head_dim);
}

template <class T, int WIDTH> __global__ void __launch_bounds__(PLAIN_WARPS *WARP)
    attention_plain_dkv(BwdShape a, const int32_t *cu_q, const int32_t *cu_k, const T *q, const T *k, const T *v, const T *d_o,
                        const float *lse,
                        const double *delta, T *dk, T *dv)
{
    SHARED_MEMORY(float, all_rows); /* [PLAIN_WARPS, 2, WIDTH]: k and v */
    int warp = threadIdx.x / WARP, kv = blockIdx.y;
    int start_k = load_int(cu_k + blockIdx.z), n_k = load_int(cu_k + blockIdx.z + 1) - start_k, row = blockIdx.x * PLAIN_WARPS + warp;
    if (row >= n_k)
        return;
    int start_q = load_int(cu_q + blockIdx.z), n_q = load_int(cu_q + blockIdx.z + 1) - start_q;
    float *key = all_rows + 2 * warp * WIDTH, *value = key + WIDTH;
    double out_k[WIDTH / WARP] = {0}, out_v[WIDTH / WARP] = {0};
    for (int d = warp_lane(); d < a.head_dim; d += WARP) {
        key[d] = load(k + (start_k + row) * a.ldk + kv * a.head_dim + d);
        value[d] = load(v + (start_k + row) * a.ldv + kv * a.head_dim + d);
    }
    __syncwarp();
    KeyRange range = attention_queries(row, row + 1, n_q, a.causal, a.window);
    for (int h = kv * a.kv_group; h < (kv + 1) * a.kv_group; h++) {
        const T *queries = q + start_q * a.ldq + h * a.head_dim, *gradients = d_o + start_q * a.lddo + h * a.head_dim;
        for (int first = range.low; first < range.high; first += WARP) {
            int query = first + warp_lane();
            double p = 0, ds = 0;
            if (query < range.high) {
                int64_t at = h * a.rows_q + start_q + query;
                p = exp(a.scale * dot_rows(key, queries + query * a.ldq, a.head_dim) - load(lse + at));
                ds = p * (dot_rows(value, gradients + query * a.lddo, a.head_dim) - load(delta + at));
            }
            add_weighted_rows<WIDTH>(out_v, p, gradients, a.lddo, first, range.high - first, a.head_dim);
            add_weighted_rows<WIDTH>(out_k, a.scale * ds, queries, a.ldq, first, range.high - first, a.head_dim);
        }
    }
    store_row<WIDTH>(dk + (start_k + row) * a.lddk + kv * a.head_dim, out_k, a.head_dim);
    store_row<WIDTH>(dv + (start_k + row) * a.lddv + kv * a.head_dim, out_v, a.head_dim);
}

static bool backward_fits_tensor_cores(KernelCtx *ctx, const AttentionBwd *a)
{
    return a->act == BF16 && a->scale > 0 && copies_in_vectors(a->q, a->ldq, a->head_dim) && copies_in_vectors(a->k, a->ldk, a->head_dim) &&
           copies_in_vectors(a->v, a->ldv, a->head_dim) && copies_in_vectors(a->d_o, a->lddo, a->head_dim) &&
           copies_in_vectors(a->dq, a->lddq, a->head_dim) && copies_in_vectors(a->dk, a->lddk, a->head_dim) &&
           copies_in_vectors(a->dv, a->lddv, a->head_dim) && attention_bwd_shared(a->head_dim) <= cuda_state(ctx)->shared_most;
}

template <class T> static Status plain_bwd(KernelCtx *ctx, const AttentionBwd *a, const BwdShape &s, double *delta)
{
    const T *q = (const T *)a->q, *k = (const T *)a->k, *v = (const T *)a->v, *d_o = (const T *)a->d_o;
    const float *lse = (const float *)a->lse;
    dim3 rows(ceil_div(a->rows_q, PLAIN_WARPS), (unsigned)a->heads);
    if (a->rows_q > 0)
        LAUNCH((attention_delta<T>), rows, PLAIN_WARPS *WARP, 0, cuda_stream(ctx), s, (const T *)a->o, d_o, delta);
    if (backward_fits_tensor_cores(ctx, a))
        return attention_bwd_mma(ctx, a, s, delta);
    dim3 queries(ceil_div(a->max_q, PLAIN_WARPS), (unsigned)a->heads, (unsigned)a->n_segments);
    dim3 keys(ceil_div(a->max_k, PLAIN_WARPS), (unsigned)a->kv_heads, (unsigned)a->n_segments);
    WITH_WIDTH(a->head_dim, {
        size_t shared = 2 * PLAIN_WARPS * WIDTH * sizeof(float);
        if (a->dq && a->max_q > 0)
            LAUNCH((attention_plain_dq<T, WIDTH>), queries, PLAIN_WARPS *WARP, shared, cuda_stream(ctx), s, a->cu_q, a->cu_k, q, k, v, d_o,
                   lse, delta, (T *)a->dq);
        if (a->dk && a->max_k > 0)
            LAUNCH((attention_plain_dkv<T, WIDTH>), keys, PLAIN_WARPS *WARP, shared, cuda_stream(ctx), s, a->cu_q, a->cu_k, q, k, v, d_o,
                   lse, delta, (T *)a->dk, (T *)a->dv);
    });
    return cuda_launched("attention_bwd");
}

static Status attention_bwd(KernelCtx *ctx, const AttentionBwd *a)
{
    TRY(check_attention_bwd(a));
    if (a->n_segments == 0 || (a->max_q == 0 && a->max_k == 0))
        return OK;
    BwdShape s = {(int)(a->heads / a->kv_heads), (int)a->head_dim, (int)a->window, a->rows_q, a->ldq, a->ldk, a->ldv, a->ldo, a->lddo,
                  a->lddq, a->lddk,
                  a->lddv, a->scale, a->causal};
    void *memory;
    TRY(cuda_workspace(ctx, "attention_bwd", (size_t)(a->heads * a->rows_q) * sizeof(double), &memory));
    double *delta = (double *)memory;
    WITH_TYPE(a->act, T, {
        return plain_bwd<T>(ctx, a, s, delta);
    });
}

/* ---- decoding: one query row a sequence against its cache ---- */

struct DecodeShape {
    int kv_group, kv_heads, head_dim, window;
    int64_t capacity, ldq, ldo;
    double scale;
};

/* One warp a (head, sequence); its keys are taken 32 at a time. */
template <class T, int WIDTH> __global__ void __launch_bounds__(WARP)
    attention_decode_kernel(DecodeShape a, const int32_t *length, const T *q, const T *k, const T *v, T *o)
{
    SHARED_MEMORY(float, query); /* [WIDTH] */
    int h = blockIdx.x, kv = h / a.kv_group, n = load_int(length + blockIdx.y);
    int64_t sequence = blockIdx.y, ld = (int64_t)a.kv_heads * a.head_dim;
    const T *keys = k + sequence * a.capacity * ld + kv * a.head_dim, *values = v + sequence * a.capacity * ld + kv * a.head_dim;
    for (int d = warp_lane(); d < a.head_dim; d += WARP)
        query[d] = load(q + sequence * a.ldq + h * a.head_dim + d);
    __syncwarp();
    KeyRange range = attention_keys(n - 1, n, n, true, a.window);
    double largest = -INFINITY, total = 0, out[WIDTH / WARP] = {0};
    for (int first = range.low; first < range.high; first += WARP) {
        int key = first + warp_lane();
        double s = key < range.high ? a.scale * dot_rows(query, keys + key * ld, a.head_dim) : -INFINITY;
        double top = fmax(largest, warp_max(s)), shrink = exp(largest - top), p = exp(s - top);
        total = total * shrink + warp_sum(p);
        for (int i = 0; i < WIDTH / WARP; i++)
            out[i] *= shrink;
        add_weighted_rows<WIDTH>(out, p, values, ld, first, range.high - first, a.head_dim);
        largest = top;
    }
    for (int i = 0; i < WIDTH / WARP; i++)
        out[i] /= total;
    store_row<WIDTH>(o + sequence * a.ldo + h * a.head_dim, out, a.head_dim);
}

static Status attention_decode(KernelCtx *ctx, const AttentionDecode *a)
{
    TRY(check_attention_decode(a));
    if (a->n <= 0)
        return OK;
    const int64_t width = a->heads * a->head_dim;
    DecodeShape s = {(int)(a->heads / a->kv_heads), (int)a->kv_heads, (int)a->head_dim, (int)a->window, a->capacity,
                     row_stride(a->ldq, width), row_stride(a->ldo, width), a->scale};
    dim3 grid((unsigned)a->heads, (unsigned)a->n);
    WITH_TYPE(a->act, T, {
        WITH_WIDTH(a->head_dim, {
            LAUNCH((attention_decode_kernel<T, WIDTH>), grid, WARP, WIDTH * sizeof(float), cuda_stream(ctx), s, a->length,
                   (const T *)a->q, (const T *)a->k, (const T *)a->v, (T *)a->o);
        });
    });
    return cuda_launched("attention_decode");
}

void cuda_attention(KernelTable *t)
{
    t->attention_fwd = attention_fwd;
    t->attention_bwd = attention_bwd;
    t->attention_decode = attention_decode;
}
