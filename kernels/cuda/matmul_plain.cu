/* matmul_plain.cu: matrix products without cuBLASLt and without tensor cores, for shapes of which the library wants nothing to know: any
 * size, stride and alignment. A block makes 32x32 elements of C, a thread 4x4 of them, 8 apart; both operands pass through shared memory in
 * pieces 16 deep. Every element is one chain of f32 FMAs from k = 0 on, so equal inputs give equal bits. */
#include "kernels/cuda/backend.cuh"

enum { PLAIN_TILE = 32, PLAIN_DEPTH = 16, PLAIN_SIDE = 8, PLAIN_EACH = PLAIN_TILE / PLAIN_SIDE, PLAIN_THREADS = PLAIN_SIDE * PLAIN_SIDE,
       PLAIN_ROW = PLAIN_TILE + 1, /* neighbours along k lie in different banks */
       PLAIN_ROWS_MAX = 65535, PLAIN_BLOCKS = 8 /* of a multiprocessor at least: without that said, ptxas aims at more and spills */ };

struct Fp8 {
    uint8_t code;
};
static __device__ __forceinline__ float widen(Fp8 x) { return fp8_to_f32(x.code); }

/* An operand as [rows, k]: `along`: neighbours in memory follow k. */
template <class T> struct PlainOperand {
    const T *p;
    int64_t rows, ld;
    bool along;
};
template <class T, class C> struct PlainArgs {
    PlainOperand<T> a, b;
    const C *bias, *addend; /* NULL: none */
    C *c;
    int64_t k, ldc;
    float alpha;
    const float *row_scale, *column_scale; /* NULL: none */
};

/* Rows first to first+31 and k to k+15 into tile[k][row], zero beyond the operand's end. Neighbouring threads read neighbours in memory. */
template <class T> static __device__ __forceinline__ void fetch_piece(float *tile, const PlainOperand<T> &x, int64_t first, int64_t k,
                                                                      int64_t end)
{
    UNROLL_BY(2)
    for (int i = threadIdx.x; i < PLAIN_TILE * PLAIN_DEPTH; i += PLAIN_THREADS) {
        int row = x.along ? i / PLAIN_DEPTH : i % PLAIN_TILE, depth = x.along ? i % PLAIN_DEPTH : i / PLAIN_TILE;
        bool inside = first + row < x.rows && k + depth < end;
        tile[depth * PLAIN_ROW + row] = inside ? load(x.p + (x.along ? (first + row) * x.ld + k + depth : (k + depth) * x.ld + first
                                                             + row)) : 0.0f;
    }
}

template <class T, class C> __global__ void __launch_bounds__(PLAIN_THREADS, PLAIN_BLOCKS) matmul_plain_kernel(PlainArgs<T, C> x)
{
    SHARED_MEMORY(float, left);
    float *right = left + PLAIN_DEPTH * PLAIN_ROW;
    int column = threadIdx.x % PLAIN_SIDE, row = threadIdx.x / PLAIN_SIDE;
    int64_t first_column = (int64_t)blockIdx.x * PLAIN_TILE;
    for (int64_t first_row = (int64_t)blockIdx.y * PLAIN_TILE; first_row < x.a.rows; first_row += (int64_t)gridDim.y * PLAIN_TILE) {
        float sum[PLAIN_EACH][PLAIN_EACH] = {};
        for (int64_t k = 0; k < x.k; k += PLAIN_DEPTH) {
            __syncthreads(); /* nobody reads the last pieces any more */
            fetch_piece(left, x.a, first_row, k, x.k);
            fetch_piece(right, x.b, first_column, k, x.k);
            __syncthreads();
            UNROLL
            for (int depth = 0; depth < PLAIN_DEPTH; depth++) {
                float a[PLAIN_EACH], b[PLAIN_EACH];
                UNROLL
                for (int i = 0; i < PLAIN_EACH; i++) {
                    a[i] = left[depth * PLAIN_ROW + row + i * PLAIN_SIDE];
                    b[i] = right[depth * PLAIN_ROW + column + i * PLAIN_SIDE];
                }
                UNROLL
                for (int i = 0; i < PLAIN_EACH; i++)
                    UNROLL
                    for (int j = 0; j < PLAIN_EACH; j++)
                        sum[i][j] = fmaf(a[i], b[j], sum[i][j]);
            }
        }
        UNROLL
        for (int i = 0; i < PLAIN_EACH; i++)
            UNROLL
            for (int j = 0; j < PLAIN_EACH; j++) {
                int64_t r = first_row + row + i * PLAIN_SIDE, c = first_column + column + j * PLAIN_SIDE, at = r * x.ldc + c;
                if (r >= x.a.rows || c >= x.b.rows)
                    continue;
                float v = x.alpha * sum[i][j];
                if (x.row_scale)
                    v *= load(x.row_scale + r) * load(x.column_scale + c);
                if (x.addend)
                    v += load(x.addend + at);
                if (x.bias)
                    v += load(x.bias + c);
                store(x.c + at, v);
            }
    }
}

template <class T, class C> static void launch_plain(cudaStream_t stream, const MatmulKey *key, const MatmulOperands *o, float alpha)
{
    int64_t rows = ceil_div(key->m, PLAIN_TILE);
    dim3 grid(ceil_div(key->n, PLAIN_TILE), (unsigned)(rows < (int64_t)PLAIN_ROWS_MAX ? rows : (int64_t)PLAIN_ROWS_MAX));
    size_t shared = 2 * PLAIN_DEPTH * PLAIN_ROW * sizeof(float);
    PlainArgs<T, C> x = {{(const T *)o->a, key->m, key->lda, !key->a_trans}, {(const T *)o->b, key->n, key->ldb, key->b_trans != 0},
                         (const C *)o->bias, (const C *)o->addend, (C *)o->c, key->k, key->ldc, alpha, o->a_scale, o->b_scale};
    LAUNCH((matmul_plain_kernel<T, C>), grid, PLAIN_THREADS, shared, stream, x);
}

Status matmul_plain(cudaStream_t stream, const MatmulKey *key, const MatmulOperands *o, float alpha)
{
    WITH_TYPE((DType)key->c_type, C, {
        if (key->a_type == (uint8_t)U8)
            launch_plain<Fp8, C>(stream, key, o, alpha);
        else
            WITH_TYPE((DType)key->a_type, T, { launch_plain<T, C>(stream, key, o, alpha); });
    });
    return cuda_launched("matmul");
}
