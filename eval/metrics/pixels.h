/* pixels.h: how near a picture is to another, pixel by pixel: L1, L2, PSNR and SSIM. Called by `evaluate pixels` and by the benchmarks of
 * editing. */
#ifndef GENLLAVA_EVAL_METRICS_PIXELS_H
#define GENLLAVA_EVAL_METRICS_PIXELS_H

#include "data/pictures/image.h"

/* Of pixels from 0 to 1, over all pixels and channels. l1: mean |a-b|; l2: mean (a-b)², no root; psnr: -10·log10(l2), NaN for equal
 * pictures; ssim: as scikit-image's structural_similarity with Gaussian weights (sigma 1.5, 11 x 11), population covariance and data_range
 * 1, the mean of the channels; NaN for a side below 11. */
typedef struct Pixels {
    double l1, l2, psnr, ssim;
} Pixels;

/* `a` against the goal `b`; a takes b's size first (Pillow's bicubic). with_ssim false: ssim is NaN. */
MUST_USE Status pixels_compare(Pixels *out, const Image *a, const Image *b, bool with_ssim);
/* The same of two files. */
MUST_USE Status pixels_compare_files(Pixels *out, const char *a, const char *b, bool with_ssim);

/* Means over a set, in the order of the pictures; each leaves out where it is NaN. */
typedef struct PixelSums {
    int64_t n, n_psnr, n_ssim;
    Pixels sum;
} PixelSums;
void pixels_add(PixelSums *sums, const Pixels *p);
Pixels pixels_mean(const PixelSums *sums); /* NaN where there is none */
#endif
