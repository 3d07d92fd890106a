/* rope.cu: rotary embedding in place. A thread turns a vector of pairs (j, j+half) of some heads of a row, so that their angles are formed
 * once. */
#include "kernels/cuda/map.cuh"

enum { ROPE_MAX = 768, ROPE_HEADS = 8 /* of a thread; two of them are under way at a time */ };

/* The angles of position 1, made on the host by the function all backends share. */
struct RopeTable {
    float theta[ROPE_MAX];
};

template <class T> struct RopeArgs {
    T *x;
    const int32_t *pos;
    int64_t rows, ldx;
    unsigned heads, half, lanes, groups; /* lanes: threads along half a head; groups of heads */
    float sign;
};

/* ALIGNED: half a head is so many vectors; else a vector is one number. */
template <class T, bool ALIGNED> constexpr int ROPE_VEC = ALIGNED ? VEC<T> : 1;
template <class T, bool ALIGNED> static __device__ __forceinline__ void load_pairs(float *a, float *b, const T *p, unsigned half)
{
    if (ALIGNED) {
        load_vector(a, p);
        load_vector(b, p + half);
    } else {
        *a = load(p);
        *b = load(p + half);
    }
}
template <class T, bool ALIGNED>
static __device__ __forceinline__ void store_turned(T *p, unsigned half, const float *a, const float *b, const float *s, const float *c)
{
    constexpr int V = ROPE_VEC<T, ALIGNED>;
    float low[V], high[V];
    for (int i = 0; i < V; i++) {
        low[i] = a[i] * c[i] - b[i] * s[i];
        high[i] = b[i] * c[i] + a[i] * s[i];
    }
    if (ALIGNED) {
        store_vector(p, low);
        store_vector(p + half, high);
    } else {
        store(p, *low);
        store(p + half, *high);
    }
}

template <class T, bool ALIGNED> __global__ void __launch_bounds__(MAP_THREADS) rope_kernel(RopeArgs<T> a, RowLanes of, RopeTable table)
{
    constexpr int V = ROPE_VEC<T, ALIGNED>;
    for (int64_t row = first_row(of); row < a.rows; row += row_step(of))
        for (unsigned at = first_vector(of); at < a.lanes * a.groups; at += gridDim.x * of.lanes) {
            unsigned j = at % a.lanes * V, first = at / a.lanes * ROPE_HEADS;
            unsigned end = first + ROPE_HEADS < a.heads ? first + ROPE_HEADS : a.heads;
            float position = (float)load_int(a.pos + row), s[V], c[V], x[2][V], y[2][V];
            for (int i = 0; i < V; i++) {
                sincosf(position * table.theta[j + i], &s[i], &c[i]);
                s[i] *= a.sign;
            }
            for (unsigned h = first; h < end; h += 2) {
                T *p = a.x + row * a.ldx + (int64_t)h * 2 * a.half + j, *q = p + 2 * a.half;
                bool both = h + 1 < end;
                load_pairs<T, ALIGNED>(x[0], y[0], p, a.half);
                if (both)
                    load_pairs<T, ALIGNED>(x[1], y[1], q, a.half);
                store_turned<T, ALIGNED>(p, a.half, x[0], y[0], s, c);
                if (both)
                    store_turned<T, ALIGNED>(q, a.half, x[1], y[1], s, c);
            }
        }
}

static Status rope(KernelCtx *ctx, const Rope *a)
{
    TRY(check_rope(a));
    if (a->rows == 0 || a->heads == 0)
        return OK;
    int64_t half = a->head_dim / 2;
    if (half > (int64_t)ROPE_MAX)
        return fail(ERR_INTERNAL, "rope: head_dim is %lld; the cuda backend turns at most %d", (long long)a->head_dim, 2 * (int)ROPE_MAX);
    RopeTable table;
    for (int64_t j = 0; j < half; j++)
        table.theta[j] = rope_theta(a, j);
    WITH_TYPE(a->act, T, {
        WITH_BOOL(is_aligned(a->x) && is_aligned_stride(a->ldx, sizeof(T)) && half % VEC<T> == 0, ALIGNED, {
            RopeArgs<T> args = {(T *)a->x, a->pos, a->rows, a->ldx, (unsigned)a->heads, (unsigned)half,
                                (unsigned)half / ROPE_VEC<T, ALIGNED>, ceil_div(a->heads, ROPE_HEADS), a->inverse ? -1.0f : 1.0f};
            const RowBlocks b = row_blocks(a->rows, (int64_t)args.lanes * args.groups, MAP_THREADS);
            LAUNCH_FLAT((rope_kernel<T, ALIGNED>), b.grid, b.block, cuda_stream(ctx), args, b.of, table);
        });
    });
    return cuda_launched("rope");
}

void cuda_rope(KernelTable *t)
{
    t->rope = rope;
}
