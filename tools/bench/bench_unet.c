/* How fast a UNet is, forward and back to the context: what a frozen UNet costs a step of the noise loss. For tools/bench/bench.sh, which
 * times diffusers' beside it.
 *
 * usage: bench-unet FOLDER SIDE f32|bf16   of one picture's latents, SIDE x SIDE; FOLDER holds the UNet's config.json, weights are drawn.
 *        Prints the median seconds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/bench/bench_clock.h"
#include "tools/bench/unet_step.h"

enum { WARM_UP = 1, RUNS = 3, MOST = 1 << 10 };

static Status run(double *seconds, const char *folder, DType compute, int64_t side)
{
    Backend backend;
    UnetStep step;
    double times[RUNS];
    TRY(cpu_open(&backend));
    Status s = unet_step_open(&step, &backend, folder, compute, 1, side);
    for (int i = -WARM_UP; i < RUNS && s == OK; i++) {
        double start = bench_now();
        s = unet_step_run(&step);
        if (i >= 0)
            times[i] = bench_now() - start;
    }
    unet_step_close(&step);
    backend.close(&backend);
    if (s == OK)
        *seconds = bench_median(times, RUNS);
    return s;
}

int main(int argc, char **argv)
{
    double seconds;
    char *end = NULL;
    long side = argc == 4 ? strtol(argv[2], &end, 10) : 0;
    bool narrow = argc == 4 && !strcmp(argv[3], "bf16");
    if (side < 1 || side > MOST || *end || (!narrow && strcmp(argv[3], "f32"))) {
        fprintf(stderr, "usage: bench-unet FOLDER SIDE f32|bf16\n");
        return status_exit_code(ERR_USAGE);
    }
    Status s = run(&seconds, argv[1], narrow ? BF16 : F32, side);
    if (s)
        fprintf(stderr, "bench-unet: %s\n", status_message());
    else
        printf("%.4f\n", seconds);
    return status_exit_code(s);
}
