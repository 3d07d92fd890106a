/* attention_mma.cuh: tiles of bf16 rows in shared memory and the two products that attention makes of them, on tensor cores.
 *
 * A tile holds rows of one head, WIDTH elements each (the head's width or more; the rest is zero) and 8 more, so that eight rows lie in
 * different banks. A warp owns MT times 16 rows of the block's left operand; an accumulator acc[mt][j][·] is the 16×8 piece of columns 8j
 * of row group mt, laid out as mma_m16n8k16_bf16 leaves it: elements 0, 1 in row g, 2, 3 in row g+8, columns q, q+1. */
#ifndef GENLLAVA_KERNELS_CUDA_ATTENTION_MMA_CUH
#define GENLLAVA_KERNELS_CUDA_ATTENTION_MMA_CUH

#include "kernels/cuda/attention.cuh"

typedef __nv_bfloat16 Bf16;

enum { MMA_WARPS = 4, MMA_THREADS = MMA_WARPS * WARP, TILE_PAD = 8 };

template <int WIDTH> constexpr int TILE_STRIDE = WIDTH + TILE_PAD;

/* Begins to copy rows 0 to ROWS-1 of a head; those from n on, and columns from head_dim on, become zero. LANES threads share a row, so that
 * a thread's pieces lie below each other and one address serves them all. Where the width is no power of two some of them stand idle. */
template <int ROWS, int WIDTH> static __device__ __forceinline__ void tile_fetch(Bf16 *tile, const Bf16 *rows, int64_t ld, int n,
                                                                                 int head_dim)
{
    constexpr int PIECES = WIDTH / 8, LANES = PIECES <= 2 ? 2 : PIECES <= 4 ? 4 : PIECES <= 8 ? 8 : PIECES <= 16 ? 16 : 32;
    constexpr int STEP = MMA_THREADS / LANES;
    int r = threadIdx.x / LANES, c = threadIdx.x % LANES * 8, left = c < head_dim ? n - r : 0;
    Bf16 *to = tile + r * TILE_STRIDE<WIDTH> + c;
    const Bf16 *from = rows + r * ld + c; /* not read from where nothing is left */
    if (c >= WIDTH || r >= ROWS)
        return;
    UNROLL
    for (int i = 0; i < ROWS; i += STEP, left -= STEP, from += STEP * ld)
        cp_async_16(to + i * TILE_STRIDE<WIDTH>, from, left > 0 ? 16 : 0);
}

template <int MT, int N> static __device__ __forceinline__ void mma_clear(float (&acc)[MT][N][4])
{
    UNROLL
    for (int mt = 0; mt < MT; mt++)
        UNROLL
        for (int j = 0; j < N; j++)
            UNROLL
            for (int i = 0; i < 4; i++)
                acc[mt][j][i] = 0;
}

/* acc[rows, N columns] += A Bᵀ: `a` this warp's rows of the left tile, `b` N rows of the right one. */
template <int MT, int N, int WIDTH> static __device__ __forceinline__ void mma_rows(float (&acc)[MT][N / 8][4], const Bf16 *a,
                                                                                    const Bf16 *b)
{
    int lane = warp_lane();
    const Bf16 *at_a = a + lane % 16 * TILE_STRIDE<WIDTH> + lane / 16 * 8;
    const Bf16 *at_b = b + (lane / 16 * 8 + lane % 8) * TILE_STRIDE<WIDTH> + lane / 8 % 2 * 8;
    /* Wholly unrolled, ptxas loads so far ahead that it spills; with these rows already by two. */
    UNROLL_BY((WIDTH == 64 && N == 32 && MT == 2 ? 1 : 2))
    for (int k = 0; k < WIDTH; k += 16) {
        uint32_t left[MT][4], right[4];
        UNROLL
        for (int mt = 0; mt < MT; mt++)
            ldmatrix_x4(left[mt], at_a + mt * 16 * TILE_STRIDE<WIDTH> + k);
        UNROLL
        for (int j = 0; j < N / 8; j += 2) {
            ldmatrix_x4(right, at_b + j * 8 * TILE_STRIDE<WIDTH> + k);
            UNROLL
            for (int mt = 0; mt < MT; mt++) {
                mma_m16n8k16_bf16(acc[mt][j], left[mt], right);
                mma_m16n8k16_bf16(acc[mt][j + 1], left[mt], right + 2);
            }
        }
    }
}

/* acc[rows, WIDTH] += P B, with P [rows, N] in registers, rounded to bf16, and `b` N rows of a tile. */
template <int MT, int N, int WIDTH>
static __device__ __forceinline__ void mma_columns(float (&acc)[MT][WIDTH / 8][4], const float (&p)[MT][N / 8][4], const Bf16 *b)
{
    int lane = warp_lane();
    const Bf16 *at_b = b + lane % 16 * TILE_STRIDE<WIDTH> + lane / 16 * 8;
    UNROLL
    for (int k = 0; k < N / 8; k += 2) {
        uint32_t left[MT][4], right[4];
        UNROLL
        for (int mt = 0; mt < MT; mt++)
            UNROLL
            for (int i = 0; i < 4; i++)
                left[mt][i] = pack_bf16(p[mt][k + i / 2][i % 2 * 2], p[mt][k + i / 2][i % 2 * 2 + 1]);
        UNROLL
        for (int j = 0; j < WIDTH / 8; j += 2) {
            ldmatrix_x4_trans(right, at_b + k * 8 * TILE_STRIDE<WIDTH> + j * 8);
            UNROLL
            for (int mt = 0; mt < MT; mt++) {
                mma_m16n8k16_bf16(acc[mt][j], left[mt], right);
                mma_m16n8k16_bf16(acc[mt][j + 1], left[mt], right + 2);
            }
        }
    }
}

/* -inf where a query does not see a key of a segment of n. Rows of s are queries and columns keys, or, TRANSPOSED, the other way round.
 * Selected, not branched around: the mask costs three instructions an element. */
template <bool TRANSPOSED, int MT, int N> static __device__ __forceinline__ void mask_scores(float (&s)[MT][N][4], int first_query,
                                                                                             int first_key, int n, bool causal, int window)
{
    const Sight sight = attention_sight(causal, window);
    int g = warp_lane() / 4, q = warp_lane() % 4 * 2;
    UNROLL
    for (int mt = 0; mt < MT; mt++)
        UNROLL
        for (int j = 0; j < N; j++)
            UNROLL
            for (int i = 0; i < 4; i++) {
                int row = mt * 16 + i / 2 * 8 + g, column = j * 8 + q + i % 2;
                int query = first_query + (TRANSPOSED ? column : row), key = first_key + (TRANSPOSED ? row : column);
                s[mt][j][i] = attention_sees(sight, query, key) & (key < n) ? s[mt][j][i] : -INFINITY;
            }
}

/* Writes acc, each row times its factor (factor[2·mt] for rows g, [2·mt+1] for rows g+8), to the first n of the warp's rows in global
 * memory. By way of `stage`, rows of a tile that only this warp uses, so that stores are whole vectors. */
template <int MT, int WIDTH>
static __device__ __forceinline__ void tile_store(const float (&acc)[MT][WIDTH / 8][4], const float *factor, Bf16 *stage, Bf16 *rows,
                                                  int64_t ld,
                                                  int n, int head_dim)
{
    int lane = warp_lane(), g = lane / 4, q = lane % 4 * 2;
    __syncwarp(); /* all lanes have read what lay in the stage */
    UNROLL
    for (int mt = 0; mt < MT; mt++)
        UNROLL
        for (int j = 0; j < WIDTH / 8; j++)
            UNROLL
            for (int half = 0; half < 2; half++) {
                uint32_t pair = pack_bf16(acc[mt][j][2 * half] * factor[2 * mt + half], acc[mt][j][2 * half + 1] * factor[2 * mt + half]);
                *reinterpret_cast<uint32_t *>(stage + (mt * 16 + half * 8 + g) * TILE_STRIDE<WIDTH> + j * 8 + q) = pair;
            }
    __syncwarp();
    int pieces = head_dim / 8;
    for (int i = lane; i < MT * 16 * pieces; i += WARP) {
        int r = i / pieces, c = i % pieces * 8;
        if (r < n)
            copy_out_vector(rows + r * ld + c, stage + r * TILE_STRIDE<WIDTH> + c);
    }
}

/* The launch's shared memory beyond what every kernel may have. */
template <class Kernel> static Status allow_shared(Kernel kernel, size_t bytes)
{
    const size_t always = 48 << 10;
    if (bytes <= always || cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes) == cudaSuccess)
        return OK;
    cudaGetLastError();
    return fail(ERR_DEVICE, "attention: the device gives a block less than %zu bytes of shared memory", bytes);
}
#endif
