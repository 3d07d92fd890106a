/* mma.cuh: tiles and products on tensor cores, for adapter_mma.cu and conv.cu. */
#ifndef GENLLAVA_KERNELS_CUDA_MMA_CUH
#define GENLLAVA_KERNELS_CUDA_MMA_CUH

#include "kernels/cuda/device.cuh"

typedef __nv_bfloat16 Bf16;

enum { MMA_THREADS = 256, TILE = 64, DEEP = 32, PAD = 8 };

/* The eight warps of a block over a tile of TILE rows and TN columns: each has MT · 16 rows and NT · 8 columns, from row(), column() on. */
template <int TN> struct MmaTile {
    static constexpr int WARPS_N = TN > 32 ? 4 : 2, WARPS_M = MMA_THREADS / WARP / WARPS_N;
    static constexpr int MT = TILE / WARPS_M / 16, NT = TN / WARPS_N / 8;
    static __device__ __forceinline__ int row() { return (int)threadIdx.x / WARP / WARPS_N * MT * 16; }
    static __device__ __forceinline__ int column() { return (int)threadIdx.x / WARP % WARPS_N * NT * 8; }
};

template <int MT, int NT> static __device__ __forceinline__ void mma_clear(float (&acc)[MT][NT][4])
{
    UNROLL
    for (int mt = 0; mt < MT; mt++)
        UNROLL
        for (int j = 0; j < NT; j++)
            UNROLL
            for (int i = 0; i < 4; i++)
                acc[mt][j][i] = 0;
}

/* acc += A B over DEEP. A lies as [row][k] or, A_TRANS, as [k][row]; B as [column][k] or, B_TRANS, as [k][column]; both from this warp's
 * first row or column on. */
template <int MT, int NT, bool A_TRANS, bool B_TRANS, int LDA, int LDB>
static __device__ __forceinline__ void mma_deep(float (&acc)[MT][NT][4], const Bf16 *a, const Bf16 *b)
{
    int lane = warp_lane();
    const Bf16 *at_a = A_TRANS ? a + (lane / 16 * 8 + lane % 8) * LDA + lane / 8 % 2 * 8 : a + lane % 16 * LDA + lane / 16 * 8;
    const Bf16 *at_b = B_TRANS ? b + lane % 16 * LDB + lane / 16 * 8 : b + (lane / 16 * 8 + lane % 8) * LDB + lane / 8 % 2 * 8;
    UNROLL
    for (int k = 0; k < DEEP; k += 16) {
        uint32_t left[MT][4], right[4];
        UNROLL
        for (int mt = 0; mt < MT; mt++)
            if (A_TRANS)
                ldmatrix_x4_trans(left[mt], at_a + k * LDA + mt * 16);
            else
                ldmatrix_x4(left[mt], at_a + mt * 16 * LDA + k);
        UNROLL
        for (int j = 0; j < NT; j += 2) {
            if (B_TRANS)
                ldmatrix_x4_trans(right, at_b + k * LDB + j * 8);
            else
                ldmatrix_x4(right, at_b + j * 8 * LDB + k);
            UNROLL
            for (int mt = 0; mt < MT; mt++) {
                mma_m16n8k16_bf16(acc[mt][j], left[mt], right);
                mma_m16n8k16_bf16(acc[mt][j + 1], left[mt], right + 2);
            }
        }
    }
}

/* f(mt, j, half, row, column) for every pair acc[mt][j][2·half …]: elements (row, column) and (row, column + 1) of the tile. */
template <int TN, class F> static __device__ __forceinline__ void for_pairs(const F &f)
{
    typedef MmaTile<TN> M;
    int lane = warp_lane(), row = M::row() + lane / 4, column = M::column() + lane % 4 * 2;
    UNROLL
    for (int mt = 0; mt < M::MT; mt++)
        UNROLL
        for (int j = 0; j < M::NT; j++)
            UNROLL
            for (int half = 0; half < 2; half++)
                f(mt, j, half, row + mt * 16 + half * 8, column + j * 8);
}

/* Begins to copy a tile of ROWS rows and COLS columns; what lies beyond `rows` and `cols` becomes zero. Rows of the matrix are multiples of
 * 16 bytes. */
template <int ROWS, int COLS, int LD> static __device__ __forceinline__ void fetch_rows(Bf16 *tile, const Bf16 *from, int64_t ld,
                                                                                        int64_t rows, int64_t cols)
{
    UNROLL
    for (int i = threadIdx.x; i < ROWS * COLS / 8; i += MMA_THREADS) {
        int r = i / (COLS / 8), c = i % (COLS / 8) * 8;
        int64_t left = r < rows ? cols - c : 0;
        cp_async_16(tile + r * LD + c, left > 0 ? from + r * ld + c : from, left >= 8 ? 16 : left > 0 ? (int)left * 2 : 0);
    }
}

/* Two neighbours, or only the first. */
static __device__ __forceinline__ void store_pair(Bf16 *p, float low, float high, bool both)
{
    if (both && ((uintptr_t)p & 3) == 0) {
        count_write(p, 4);
        *reinterpret_cast<uint32_t *>(p) = pack_bf16(low, high);
        return;
    }
    store(p, low);
    if (both)
        store(p + 1, high);
}
#endif
