/* map.cuh: elementwise kernels. An operation is a struct with its pointers and a method  apply<ALIGNED>(row, column, n)  for one vector of
 * n <= VEC<T> neighbouring elements; map_rows runs it over a [rows, cols] matrix. Threads run along the columns, blockIdx.y along the rows,
 * both with a stride, so any size fits any grid. */
#ifndef GENLLAVA_KERNELS_CUDA_MAP_CUH
#define GENLLAVA_KERNELS_CUDA_MAP_CUH

#include "kernels/cuda/device.cuh"

enum { MAP_THREADS = 256, MAP_ROWS_MAX = 65535 };

template <class T, bool ALIGNED, class Op> __global__ void __launch_bounds__(MAP_THREADS) map_kernel(Op op, int64_t rows, int64_t cols)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x * VEC<T>;
    for (int64_t row = blockIdx.y; row < rows; row += gridDim.y)
        for (int64_t at = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) * VEC<T>; at < cols; at += step)
            op.template apply<ALIGNED>(row, at, (int)(cols - at < (int64_t)VEC<T> ? cols - at : (int64_t)VEC<T>));
}

template <class T, class Op> static Status map_rows(KernelCtx *ctx, const char *name, const Op &op, int64_t rows, int64_t cols,
                                                    bool aligned)
{
    if (rows <= 0 || cols <= 0)
        return OK;
    int64_t across = (cols + (int64_t)MAP_THREADS * VEC<T> - 1) / ((int64_t)MAP_THREADS * VEC<T>);
    dim3 grid((unsigned)(across < 1 << 20 ? across : 1 << 20), (unsigned)(rows < (int64_t)MAP_ROWS_MAX ? rows : (int64_t)MAP_ROWS_MAX));
    if (aligned)
        LAUNCH_FLAT((map_kernel<T, true, Op>), grid, MAP_THREADS, cuda_stream(ctx), op, rows, cols);
    else
        LAUNCH_FLAT((map_kernel<T, false, Op>), grid, MAP_THREADS, cuda_stream(ctx), op, rows, cols);
    return cuda_launched(name);
}
#endif
