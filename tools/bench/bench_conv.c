/* How fast a 3×3 convolution is, or its input gradient: f32, stride 1, square images, as a UNet has them. For tools/bench/bench.sh, which
 * times PyTorch's beside it.
 *
 * usage: bench-conv forward|backward IMAGES SIDE IN OUT   prints the median milliseconds */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/ops/table.h"
#include "tools/bench/bench_clock.h"

enum { WARM_UP = 3, RUNS = 21, MOST = 1 << 14 };

typedef struct Arrays {
    float *x, *y, *w;
} Arrays;

static Status once(Backend *b, const ConvShape *s, const Arrays *v, bool backward)
{
    if (backward)
        return b->ops.conv2d_dx(&b->ctx, &(Conv2dDx){.shape = *s, .winograd = true, .dy = v->y, .w = v->w, .dx = v->x});
    return b->ops.conv2d_fwd(&b->ctx, &(Conv2dFwd){.shape = *s, .winograd = true, .x = v->x, .w = v->w, .y = v->y});
}

static float *numbers(int64_t n)
{
    float *x = mem_alloc((size_t)n * sizeof *x);
    for (int64_t i = 0; x && i < n; i++)
        x[i] = (float)(i * 37 % 101) / 101 - 0.5f;
    return x;
}

static Status measure(double *milliseconds, const ConvShape *s, bool backward)
{
    Backend b;
    double seconds[RUNS];
    TRY(cpu_open(&b));
    const int64_t rows = plane_rows(&s->from);
    Arrays v = {numbers(rows * s->in), numbers(rows * s->out), numbers(9 * s->in * s->out)};
    Status status = v.x && v.y && v.w ? OK : fail(ERR_NOMEM, "images of %lld pixels: out of memory", (long long)rows);
    for (int i = -WARM_UP; i < RUNS && !status; i++) {
        double start = bench_now();
        status = once(&b, s, &v, backward);
        if (i >= 0)
            seconds[i] = bench_now() - start;
    }
    mem_free(v.x);
    mem_free(v.y);
    mem_free(v.w);
    b.close(&b);
    if (!status)
        *milliseconds = 1e3 * bench_median(seconds, RUNS);
    return status;
}

int main(int argc, char **argv)
{
    long n[4] = {0};
    bool right = argc == 6 && (!strcmp(argv[1], "forward") || !strcmp(argv[1], "backward"));
    for (int i = 0; i < 4 && right; i++) {
        char *end;
        n[i] = strtol(argv[2 + i], &end, 10);
        right = !*end && n[i] >= 1 && n[i] <= MOST;
    }
    if (!right) {
        fprintf(stderr, "usage: bench-conv forward|backward IMAGES SIDE IN OUT\n");
        return status_exit_code(ERR_USAGE);
    }
    const ConvShape s = {.from = {n[0], n[1], n[1]}, .in = n[2], .out = n[3], .kernel_height = 3, .kernel_width = 3, .stride = 1,
                         .top = 1, .left = 1, .bottom = 1, .right = 1};
    double milliseconds;
    Status status = measure(&milliseconds, &s, !strcmp(argv[1], "backward"));
    if (status)
        fprintf(stderr, "bench-conv: %s\n", status_message());
    else
        printf("%.4f\n", milliseconds);
    return status_exit_code(status);
}
