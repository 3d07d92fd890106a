/* bench_gpu.h: what the parts of bench-gpu share. */
#ifndef GENLLAVA_TOOLS_BENCH_BENCH_GPU_H
#define GENLLAVA_TOOLS_BENCH_BENCH_GPU_H

#include "kernels/base/cli.h"
#include "kernels/cuda/meter.h"
#include "kernels/ops/watch.h"
#include "tools/bench/bench_ops.h"
#include "tools/bench/bench_step.h"

/* How large things are: on a device, and on the emulation, which shows only that the program works. */
typedef struct BenchSizes {
    int64_t rows, cols, optimiser;            /* elementwise operators; masters */
    int64_t square, copy_bytes, memory_bytes; /* the matmul and the copy that are ceilings; room for operands */
    int64_t heads, kv_heads, head_dim, rows_of_attention, segment[2];
    struct {
        int64_t images, side, in, out;
    } images[2], convolutions[8], unet[2]; /* square ones; of images only `in` channels, of unet the latents' side; those with no images
                                              are left out */
    int batches, steps;
    double batch_seconds;
} BenchSizes;
extern const BenchSizes BENCH_GPU_LARGE, BENCH_GPU_TINY;

enum { BENCH_GPU_OFFERS = 8 /* timed for an algorithm, as in a run */ };

typedef struct BenchOptions {
    const char *config;
    CliList sets, steps;
    int only;
    int64_t tokens, segment, labels;
    bool tiny;
} BenchOptions;

/* Values of --only. */
enum { ONLY_ALL, ONLY_DEVICE, ONLY_ATTENTION, ONLY_CONV, ONLY_ELEMENTWISE, ONLY_MATMUL, ONLY_STEP, ONLY_UNET, ONLY_ONCE };

typedef struct Bench {
    Watched w;
    Meter *meter;
    const BenchOptions *o;
    const BenchSizes *sizes;
    BenchOps ops;
    double matmul_flops, copy_bytes; /* a second: the ceilings */
    double slowest;                  /* of the elementwise operators so far: the share of copying, and */
    char slowest_name[96];           /* … which it is */
    size_t used_before;              /* bytes of the device in use before a model was opened */
    int marked;                      /* operators of the step whose moments are noted */
    Status status;                   /* of a visitor */
} Bench;

typedef Status (*BenchWork)(Bench *x, const void *arg);

/* Seconds of one of n calls, on the device. */
MUST_USE Status bench_gpu_batch(Bench *x, BenchWork work, const void *arg, int n, double *seconds);
DType bench_gpu_compute(const RunConfig *cfg); /* auto: bf16, which every device that is taken multiplies */

/* A line that gpu-check's table reads: the row of tools/bench/gpu/targets.txt, the number, its unit; then what it is about. */
void bench_gpu_result(const char *row, double value, const char *unit, const char *format, ...) PRINTF_LIKE(4, 5);

/* Seconds of one call of work on the device. */
MUST_USE Status bench_gpu_time(Bench *x, BenchWork work, const void *arg, double *seconds);

/* G12: pictures a second through the UNet of cfg's model.diffusion.path, forwards and back to the context. */
MUST_USE Status bench_gpu_unet(Bench *x, const RunConfig *cfg);

/* Ceilings, attention, convolutions, elementwise operators, the matmuls of a step: those that --only names, a line each. */
MUST_USE Status bench_gpu_kernels(Bench *x, const RunConfig *cfg, const PassShape *shape);
#endif
