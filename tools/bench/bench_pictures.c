/* How fast a picture becomes what a vision tower reads: decoding a file and bicubic resizing to a square, on the calling thread.
 *
 * usage: bench-pictures FILE SIDE   prints the median milliseconds of one picture */
#include <stdio.h>
#include <stdlib.h>

#include "data/formats/file.h"
#include "data/pictures/image.h"
#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "tools/bench/bench_clock.h"

enum { WARM_UP = 3, RUNS = 41, MAX_FILE = 1 << 28 };

static Status once(const char *bytes, size_t n, int32_t side)
{
    Image decoded = {0}, resized = {0};
    Reject reject;
    Status s = image_decode(&decoded, (const uint8_t *)bytes, n, IMAGE_MAX_PIXELS, &reject);
    if (!s)
        s = image_resize(&resized, &decoded, side, side, FILTER_BICUBIC);
    image_free(&decoded);
    image_free(&resized);
    return s;
}

static Status measure(double *milliseconds, const char *path, int32_t side)
{
    char *bytes;
    size_t n;
    double seconds[RUNS];
    TRY(file_read(&bytes, &n, path, MAX_FILE));
    Status s = OK;
    for (int i = -WARM_UP; i < RUNS && !s; i++) {
        double start = bench_now();
        s = once(bytes, n, side);
        if (i >= 0)
            seconds[i] = bench_now() - start;
    }
    mem_free(bytes);
    if (s)
        return s;
    *milliseconds = 1e3 * bench_median(seconds, RUNS);
    return OK;
}

int main(int argc, char **argv)
{
    cli_start();
    char *end = NULL;
    long side = argc == 3 ? strtol(argv[2], &end, 10) : 0;
    if (side < 1 || side > 16384 || *end) {
        fprintf(stderr, "usage: bench-pictures FILE SIDE\n");
        return status_exit_code(ERR_USAGE);
    }
    double milliseconds;
    Status s = measure(&milliseconds, argv[1], (int32_t)side);
    if (!s)
        printf("%.4f\n", milliseconds);
    return cli_finish(s);
}
