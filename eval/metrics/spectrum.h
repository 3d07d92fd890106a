/* spectrum.h: the linear algebra of FID: a factor of a covariance, and a nuclear norm. In double; the same numbers for any number of
 * threads. Called by fid.c and kid.c. */
#ifndef GENLLAVA_EVAL_METRICS_SPECTRUM_H
#define GENLLAVA_EVAL_METRICS_SPECTRUM_H

#include <stdint.h>

#include "kernels/base/status.h"

/* Cholesky's factor with pivots of a symmetric matrix a [d,d] without negative eigenvalues: a = f·fᵀ, f [d,d] of which the first *rank
 * columns are used (the others stay as they are). Ends where what remains is rounding. name: for the message where an eigenvalue is clearly
 * negative, ERR_DATA. */
MUST_USE Status spectrum_factor(double *f, int64_t *rank, const double *a, int64_t d, const char *name);
/* The sum of the singular values of a [m,n], m ≥ n ≥ 1, which is destroyed. */
MUST_USE Status spectrum_nuclear_norm(double *sum, double *a, int64_t m, int64_t n);
/* c [m,n] += xᵀ·y, over `rows` rows of x [rows,ldx] and y [rows,ldy]. */
void spectrum_add_product(double *c, int64_t m, int64_t n, const double *x, int64_t ldx, const double *y, int64_t ldy, int64_t rows);
/* c [d,d] += xᵀ·x of x [rows,d], on and above its diagonal; the rest stays as it is. */
void spectrum_add_square(double *c, int64_t d, const double *x, int64_t rows);
#endif
