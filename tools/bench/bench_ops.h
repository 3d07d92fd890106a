/* bench_ops.h: arguments for timing operators, the same for every backend: each operator over arrays of the backend's memory, of a size
 * that is asked for. Who asks gets every call's arguments and does the timing. */
#ifndef GENLLAVA_TOOLS_BENCH_BENCH_OPS_H
#define GENLLAVA_TOOLS_BENCH_BENCH_OPS_H

#include "kernels/ops/cost.h"
#include "kernels/ops/op.h"

typedef struct BenchOps {
    Backend *b;
    char *memory; /* backend memory of `size` bytes, contents finite; cut up anew for every group of calls */
    size_t size, used;
    void *arg;
    /* One call to time: args as op_call takes them, `what` for people. */
    Status (*line)(void *arg, Op op, const char *what, const void *args);
} BenchOps;

/* Every operator over [rows, cols] activations of type t. Fails with ERR_NOMEM when the memory does not hold them. */
MUST_USE Status bench_elementwise(BenchOps *x, DType t, int64_t rows, int64_t cols);
/* Norms and sums over n elements of masters in F32. */
MUST_USE Status bench_optimiser(BenchOps *x, int64_t n);
/* Three adapters of rank r with dropout over [rows, cols]. */
MUST_USE Status bench_adapters(BenchOps *x, DType t, int64_t rows, int64_t cols, int64_t r);
/* GroupNorm with SiLU and upsampling to twice the side, over square images. */
MUST_USE Status bench_images(BenchOps *x, DType t, int64_t images, int64_t side, int64_t cols);
/* A 3×3 convolution of stride 1 over square images, its input's and its weight's gradient. */
MUST_USE Status bench_conv(BenchOps *x, DType t, int64_t images, int64_t side, int64_t in, int64_t out);
/* Causal, packed segments of one length: forward, backward and a step of generation. */
MUST_USE Status bench_attention(BenchOps *x, DType t, int64_t segments, int64_t length, int64_t heads, int64_t kv_heads, int64_t head_dim);
#endif
