/* peak.c: ceilings of processors (peak.h). */
#include "train/measure/peak.h"

#include <math.h>
#include <string.h>
#include <time.h>

/* Data sheets of NVIDIA: A100 80GB SXM, H100 SXM, H200 SXM; without sparsity. The rate of integer instructions follows from
 * that of f32: a multiprocessor of the H100 does 128 multiply-adds and 64 integer instructions a cycle, one of the A100 64 of each.
 * All cards of the A100 do as many products; PCIe and NVL cards of the others do fewer, and have other names. */
const Device DEVICES[] = {
    {"h100", "H100 SXM", 989, 67, 3.35, 132, 67 / 4.0, 450, "NVIDIA H100 80GB HBM3,"},
    {"h200", "H200 SXM", 989, 67, 4.8, 132, 67 / 4.0, 450, "NVIDIA H200,"},
    {"a100", "A100 80GB SXM", 312, 19.5, 2.039, 108, 19.5 / 2, 300, "NVIDIA A100"},
    {0},
};

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of a product of square matrices; infinite: there is no room for them. Their values are such that no arithmetic is slow. */
static double time_product(Backend *b, DType compute, int64_t side, Arena *room)
{
    const ArenaMark mark = arena_mark(room);
    const size_t bytes = (size_t)(side * side) * dtype_size(compute);
    void *const x[] = {arena_push(room, bytes), arena_push(room, bytes), arena_push(room, bytes)};
    bool fits = x[0] && x[1] && x[2];
    for (int i = 0; i < 3 && fits; i++)
        fits = !b->ops.fill(&b->ctx, &(Fill){.n = side * side, .type = compute, .value = 1, .x = x[i]});
    const Matmul product = {.m = side, .n = side, .k = side, .a_type = compute, .b_type = compute, .c_type = compute, .b_trans = true,
                            .lda = side, .ldb = side, .ldc = side, .a = x[0], .b = x[1], .c = x[2], .alpha = 1};
    const double start = seconds_now();
    fits = fits && !b->ops.matmul(&b->ctx, &product);
    arena_release(room, mark);
    return fits ? seconds_now() - start : INFINITY;
}

/* Ever larger products, as long as they are short: in a short one, threads that wait for a processor weigh most. */
static double measure(Backend *b, DType compute, Arena *room)
{
    enum { LEAST = 64, MOST = 2048 };
    const double limit = 0.1, is_short = 0.01, start = seconds_now();
    double best = 0;
    for (int64_t side = LEAST; seconds_now() - start < limit;) {
        const double seconds = time_product(b, compute, side, room);
        if (isinf(seconds) && side == LEAST)
            break;
        best = fmax(best, 2.0 * (double)(side * side * side) / seconds);
        side = isinf(seconds) ? side / 2 : seconds < is_short && side < MOST ? 2 * side : side;
    }
    return best > 0 ? best : INFINITY;
}

double peak_flops(Backend *b, DType compute, Arena *room)
{
    if (!strcmp(b->name, "cpu"))
        return measure(b, compute, room);
    for (const Device *d = DEVICES; d->name; d++)
        if (!strncmp(b->description, d->begins, strlen(d->begins)))
            return 1e12 * (compute == BF16 ? d->bf16_tflops : d->f32_tflops);
    return INFINITY;
}
