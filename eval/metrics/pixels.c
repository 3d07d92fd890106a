/* pixels.c: L1, L2, PSNR and SSIM of two pictures (pixels.h). Called by `evaluate pixels` and by the benchmarks of editing.
 *
 * SSIM: Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity", with K1 = 0.01 and K2 = 0.03. */
#include "eval/metrics/pixels.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "data/pictures/picture_file.h"
#include "kernels/base/arena.h"

enum { WINDOW = 11, MOMENTS = 5 /* windowed means of a, b, a², b² and a·b */ };

/* ---------------------------------------------------------------- differences */

static void measure_differences(Pixels *out, const Image *a, const Image *b)
{
    const size_t n = (size_t)b->width * (size_t)b->height * 3;
    uint64_t sum = 0, squares = 0; /* exact: n is below 2^31, a square below 2^16 */
    for (size_t i = 0; i < n; i++) {
        const int d = a->rgb[i] - b->rgb[i];
        sum += (uint64_t)(d < 0 ? -d : d);
        squares += (uint64_t)(d * d);
    }
    out->l1 = (double)sum / (255.0 * (double)n);
    out->l2 = (double)squares / (255.0 * 255.0 * (double)n);
    out->psnr = squares ? -10 * log10(out->l2) : NAN;
}

/* ---------------------------------------------------------------- SSIM */

static void fill_window(double w[WINDOW])
{
    double sum = 0;
    for (int i = 0; i < WINDOW; i++) {
        const double x = i - WINDOW / 2;
        sum += w[i] = exp(-x * x / (2 * 1.5 * 1.5));
    }
    for (int i = 0; i < WINDOW; i++)
        w[i] /= sum;
}

static double similarity_at(const double m[MOMENTS])
{
    const double c1 = 0.01 * 0.01, c2 = 0.03 * 0.03;
    const double va = m[2] - m[0] * m[0], vb = m[3] - m[1] * m[1], cov = m[4] - m[0] * m[1];
    return (2 * m[0] * m[1] + c1) * (2 * cov + c2) / ((m[0] * m[0] + m[1] * m[1] + c1) * (va + vb + c2));
}

/* The sum over the windows of one channel whose first row is `y`. down: memory for [MOMENTS, width]. */
static double sum_row(const Image *a, const Image *b, int32_t y, int channel, const double w[WINDOW], double *down)
{
    const int32_t width = b->width;
    memset(down, 0, (size_t)width * MOMENTS * sizeof *down);
    for (int32_t i = 0; i < WINDOW; i++)
        for (int32_t x = 0; x < width; x++) {
            const size_t at = ((size_t)(y + i) * (size_t)width + (size_t)x) * 3 + (size_t)channel;
            const double p = a->rgb[at] / 255.0, q = b->rgb[at] / 255.0, of[MOMENTS] = {p, q, p * p, q * q, p * q};
            for (int k = 0; k < MOMENTS; k++)
                down[(size_t)k * (size_t)width + (size_t)x] += w[i] * of[k];
        }
    double sum = 0;
    for (int32_t x = 0; x + WINDOW <= width; x++) {
        double m[MOMENTS] = {0};
        for (int k = 0; k < MOMENTS; k++)
            for (int i = 0; i < WINDOW; i++)
                m[k] += w[i] * down[(size_t)k * (size_t)width + (size_t)(x + i)];
        sum += similarity_at(m);
    }
    return sum;
}

static Status measure_ssim(double *out, const Image *a, const Image *b)
{
    *out = NAN;
    if (b->width < WINDOW || b->height < WINDOW)
        return OK;
    const int32_t rows = b->height - WINDOW + 1, columns = b->width - WINDOW + 1;
    const size_t n = (size_t)rows * 3, scratch = (size_t)b->width * MOMENTS;
    double w[WINDOW], *sums = mem_alloc((n + (size_t)omp_get_max_threads() * scratch) * sizeof *sums);
    if (!sums)
        return fail(ERR_NOMEM, "no memory to compare pictures of %d × %d pixels", b->width, b->height);
    fill_window(w);
#pragma omp parallel for
    for (int32_t y = 0; y < rows; y++)
        for (int c = 0; c < 3; c++)
            sums[(size_t)c * (size_t)rows + (size_t)y] = sum_row(a, b, y, c, w, sums + n + (size_t)omp_get_thread_num() * scratch);
    double mean = 0;
    for (int c = 0; c < 3; c++) {
        double sum = 0;
        for (int32_t y = 0; y < rows; y++)
            sum += sums[(size_t)c * (size_t)rows + (size_t)y];
        mean += sum / ((double)rows * columns) / 3;
    }
    mem_free(sums);
    *out = mean;
    return OK;
}

/* ---------------------------------------------------------------- pictures */

static Status compare_equal_sizes(Pixels *out, const Image *a, const Image *b, bool with_ssim)
{
    measure_differences(out, a, b);
    out->ssim = NAN;
    return with_ssim ? measure_ssim(&out->ssim, a, b) : OK;
}

Status pixels_compare(Pixels *out, const Image *a, const Image *b, bool with_ssim)
{
    Image resized;
    TRY(image_match(&resized, &a, b));
    Status s = compare_equal_sizes(out, a, b, with_ssim);
    image_free(&resized);
    return s;
}

Status pixels_compare_files(Pixels *out, const char *a, const char *b, bool with_ssim)
{
    PictureBuffer buf = {0};
    Image x = {0}, y = {0};
    Status s = picture_decode(&x, &buf, a);
    if (!s)
        s = picture_decode(&y, &buf, b);
    if (!s)
        s = pixels_compare(out, &x, &y, with_ssim);
    image_free(&x);
    image_free(&y);
    picture_buffer_free(&buf);
    return s;
}

/* ---------------------------------------------------------------- means */

void pixels_add(PixelSums *sums, const Pixels *p)
{
    sums->n++;
    sums->sum.l1 += p->l1;
    sums->sum.l2 += p->l2;
    if (!isnan(p->psnr)) {
        sums->n_psnr++;
        sums->sum.psnr += p->psnr;
    }
    if (!isnan(p->ssim)) {
        sums->n_ssim++;
        sums->sum.ssim += p->ssim;
    }
}

Pixels pixels_mean(const PixelSums *sums)
{
    const double n = (double)sums->n;
    return (Pixels){.l1 = sums->n ? sums->sum.l1 / n : NAN,
                    .l2 = sums->n ? sums->sum.l2 / n : NAN,
                    .psnr = sums->n_psnr ? sums->sum.psnr / (double)sums->n_psnr : NAN,
                    .ssim = sums->n_ssim ? sums->sum.ssim / (double)sums->n_ssim : NAN};
}
