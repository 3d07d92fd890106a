/* map.cuh: elementwise kernels. An operation is a struct with its pointers and a method  apply<ALIGNED>(row, column, n)  for one vector of
 * n <= VEC<T> neighbouring elements; map_rows runs it over a [rows, cols] matrix. A block takes a piece of a row, or several rows where
 * they are short, so that its threads have something to do. It goes on with a stride both ways, so any size fits any grid. */
#ifndef GENLLAVA_KERNELS_CUDA_MAP_CUH
#define GENLLAVA_KERNELS_CUDA_MAP_CUH

#include "kernels/cuda/device.cuh"

enum { MAP_THREADS = 256, MAP_ROWS_MAX = 65535, MAP_BLOCKS = 3 /* of a multiprocessor at least: without that said, ptxas spills */ };

/* How threads are laid over rows of vectors: `lanes` of them along a row, in pieces that are alike, and several rows in a block where
 * they are short. */
struct RowLanes {
    unsigned lanes, rows; /* of a block */
};
struct RowBlocks {
    RowLanes of;
    dim3 grid, block;
};
static inline RowBlocks row_blocks(int64_t rows, int64_t vectors, int64_t threads)
{
    const int64_t across = (vectors + threads - 1) / threads, lanes = (vectors + across - 1) / across;
    const int64_t each = across > 1 ? 1 : threads / lanes, down = (rows + each - 1) / each;
    return {{(unsigned)lanes, (unsigned)each},
            dim3((unsigned)(across < 1 << 20 ? across : 1 << 20), (unsigned)(down < (int64_t)MAP_ROWS_MAX ? down : (int64_t)MAP_ROWS_MAX)),
            dim3((unsigned)(lanes * each))};
}
/* The calling thread's first row, the step to its next one, and its vector of a row. */
static __device__ __forceinline__ int64_t first_row(RowLanes of) { return (int64_t)blockIdx.y * of.rows + threadIdx.x / of.lanes; }
static __device__ __forceinline__ int64_t row_step(RowLanes of) { return (int64_t)gridDim.y * of.rows; }
static __device__ __forceinline__ unsigned first_vector(RowLanes of) { return blockIdx.x * of.lanes + threadIdx.x % of.lanes; }

template <class T, bool ALIGNED, class Op> __global__ void __launch_bounds__(MAP_THREADS, MAP_BLOCKS)
    map_kernel(Op op, int64_t rows, int64_t cols, RowLanes of)
{
    const unsigned vector = first_vector(of);
    for (int64_t row = first_row(of); row < rows; row += row_step(of))
        for (int64_t at = (int64_t)vector * VEC<T>; at < cols; at += (int64_t)gridDim.x * of.lanes * VEC<T>)
            op.template apply<ALIGNED>(row, at, (int)(cols - at < (int64_t)VEC<T> ? cols - at : (int64_t)VEC<T>));
}

template <class T, class Op> static Status map_rows(KernelCtx *ctx, const char *name, const Op &op, int64_t rows, int64_t cols,
                                                    bool aligned)
{
    if (rows <= 0 || cols <= 0)
        return OK;
    const RowBlocks b = row_blocks(rows, (cols + VEC<T> - 1) / VEC<T>, MAP_THREADS);
    if (aligned)
        LAUNCH_FLAT((map_kernel<T, true, Op>), b.grid, b.block, cuda_stream(ctx), op, rows, cols, b.of);
    else
        LAUNCH_FLAT((map_kernel<T, false, Op>), b.grid, b.block, cuda_stream(ctx), op, rows, cols, b.of);
    return cuda_launched(name);
}
#endif
