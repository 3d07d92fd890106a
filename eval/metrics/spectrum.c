/* spectrum.c: the linear algebra of FID (spectrum.h). Called by fid.c.
 *
 * Singular values: Householder's reflections make the matrix bidiagonal (Golub and Van Loan, Matrix Computations, 5.4.8). Its singular
 * values and their negatives are the eigenvalues of the tridiagonal matrix with zeros on the diagonal and the bidiagonal's numbers, in
 * turn, beside it; these come from implicit QL with Wilkinson's shift. The error is that of one rounding of the largest. */
#include "eval/metrics/spectrum.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

#include "kernels/base/arena.h"

enum { MOST_SWEEPS = 60 };

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void add_scaled(double *y, double by, const double *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] += by * x[i];
}

/* out[n] += xᵀ·y of one column of x [rows], whose numbers are ldx apart, and of y [rows,n]. */
static void add_column(double *out, const double *x, int64_t ldx, const double *y, int64_t ldy, int64_t n, int64_t rows)
{
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) { /* four rows at a time: a number of `out` is read once for four products */
        const double *p = x + r * ldx, *q = y + r * ldy;
        const double p0 = p[0], p1 = p[ldx], p2 = p[2 * ldx], p3 = p[3 * ldx];
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            out[j] += p0 * q[j] + p1 * q[ldy + j] + (p2 * q[2 * ldy + j] + p3 * q[3 * ldy + j]);
    }
    for (; r < rows; r++)
        add_scaled(out, x[r * ldx], y + r * ldy, n);
}

void spectrum_add_product(double *c, int64_t m, int64_t n, const double *x, int64_t ldx, const double *y, int64_t ldy, int64_t rows)
{
#pragma omp parallel for schedule(dynamic, 16)
    for (int64_t i = 0; i < m; i++)
        add_column(c + i * n, x + i, ldx, y, ldy, n, rows);
}

void spectrum_add_square(double *c, int64_t d, const double *x, int64_t rows)
{
#pragma omp parallel for schedule(dynamic, 16)
    for (int64_t i = 0; i < d; i++)
        add_column(c + i * d + i, x + i, d, x + i, d, d - i, rows);
}

/* ---------------------------------------------------------------- Cholesky with pivots */

static int64_t largest(const double *v, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (v[i] > v[best])
            best = i;
    return best;
}

Status spectrum_factor(double *f, int64_t *rank, const double *a, int64_t d, const char *name)
{
    double *left = mem_alloc((size_t)d * sizeof *left); /* the diagonal of what is not yet in the factor */
    if (!left)
        return fail(ERR_NOMEM, "no memory for %lld numbers", (long long)d);
    for (int64_t i = 0; i < d; i++)
        left[i] = a[i * d + i];
    const double most = left[largest(left, d)], rounding = (double)d * (DBL_EPSILON / 2) * most;
    for (*rank = 0; *rank < d; ++*rank) {
        const int64_t k = *rank, pivot = largest(left, d);
        if (!(left[pivot] > rounding))
            break;
        const double root = sqrt(left[pivot]);
#pragma omp parallel for
        for (int64_t i = 0; i < d; i++) {
            const double v = (a[i * d + pivot] - dot(f + i * d, f + pivot * d, k)) / root;
            f[i * d + k] = i == pivot ? root : v;
            left[i] = i == pivot ? 0 : left[i] - v * v;
        }
    }
    double least = 0;
    for (int64_t i = 0; i < d; i++)
        least = fmin(least, left[i]);
    mem_free(left);
    return least < -1e-6 * most || most < 0 ? fail(ERR_DATA, "%s: is no covariance: it has negative eigenvalues", name) : OK;
}

/* ---------------------------------------------------------------- singular values */

/* A reflection that maps x[n] onto (*first, 0, …): x becomes its vector, whose first number is 1. Returns its factor. */
static double reflect(double *x, int64_t n, double *first)
{
    const double rest = dot(x + 1, x + 1, n - 1), x0 = x[0];
    *first = x0;
    x[0] = 1;
    if (rest == 0)
        return 0;
    *first = x0 > 0 ? -sqrt(x0 * x0 + rest) : sqrt(x0 * x0 + rest);
    for (int64_t i = 1; i < n; i++)
        x[i] /= x0 - *first;
    return (*first - x0) / *first;
}

/* Columns after k of the rows below: from the left by v (factor l), then from the right by u (factor r). w: vᵀ·a. */
static void reflect_rows(double *a, int64_t m, int64_t n, int64_t k, const double *v, double l, const double *w, const double *u, double r)
{
#pragma omp parallel for
    for (int64_t i = k + 1; i < m; i++) {
        double *row = a + i * n + k + 1;
        add_scaled(row, -l * v[i - k], w, n - k - 1);
        add_scaled(row, -r * dot(row, u, n - k - 1), u, n - k - 1);
    }
}

/* w[n-k-1] = vᵀ·a, of the rows from k and the columns after it. */
static void project(double *w, const double *a, int64_t m, int64_t n, int64_t k, const double *v)
{
    enum { PIECE = 256 };
#pragma omp parallel for
    for (int64_t from = k + 1; from < n; from += PIECE) {
        const int64_t columns = n - from < PIECE ? n - from : PIECE;
        double *out = w + from - k - 1;
        for (int64_t j = 0; j < columns; j++)
            out[j] = 0;
        for (int64_t i = k; i < m; i++)
            add_scaled(out, v[i - k], a + i * n + from, columns);
    }
}

/* The bidiagonal of a: diagonal and what is above it, in turn, into b[2n-1]. scratch: [m + 2n]. */
static void make_bidiagonal(double *b, double *a, int64_t m, int64_t n, double *scratch)
{
    double *v = scratch, *w = v + m, *u = w + n;
    for (int64_t k = 0; k < n; k++) {
        for (int64_t i = k; i < m; i++)
            v[i - k] = a[i * n + k];
        const double l = reflect(v, m - k, &b[2 * k]);
        if (k == n - 1)
            break;
        project(w, a, m, n, k, v);
        for (int64_t j = 0; j < n - k - 1; j++)
            u[j] = a[k * n + k + 1 + j] - l * w[j];
        const double r = reflect(u, n - k - 1, &b[2 * k + 1]);
        reflect_rows(a, m, n, k, v, l, w, u, r);
    }
}

/* One step of QL on rows l … m, where nothing between them is negligible. d: diagonal, e: beside it. */
static void ql_step(double *d, double *e, int64_t l, int64_t m)
{
    double g = (d[l + 1] - d[l]) / (2 * e[l]), r = hypot(g, 1), s = 1, c = 1, p = 0;
    g = d[m] - d[l] + e[l] / (g + copysign(r, g));
    for (int64_t i = m - 1; i >= l; i--) {
        const double f = s * e[i], b = c * e[i];
        e[i + 1] = r = hypot(f, g);
        if (r == 0) { /* it falls into two */
            d[i + 1] -= p;
            e[m] = 0;
            return;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0;
}

/* The eigenvalues of a tridiagonal matrix into d[n]; e[n] is destroyed. False: it did not settle. */
static bool find_eigenvalues(double *d, double *e, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs(d[i]) + fabs(e[i]));
    for (int64_t l = 0; l < n; l++)
        for (int sweep = 0;; sweep++) {
            int64_t m = l;
            while (m < n - 1 && fabs(e[m]) > DBL_EPSILON / 2 * (fabs(d[m]) + fabs(d[m + 1])) && fabs(e[m]) > DBL_EPSILON * 1e-3 * most)
                m++;
            if (m == l)
                break;
            if (sweep == MOST_SWEEPS)
                return false;
            ql_step(d, e, l, m);
        }
    return true;
}

Status spectrum_nuclear_norm(double *sum, double *a, int64_t m, int64_t n)
{
    double *e = mem_alloc((size_t)(m + 6 * n) * sizeof *e), *d = e + 2 * n;
    if (!e)
        return fail(ERR_NOMEM, "no memory for %lld numbers", (long long)(m + 6 * n));
    make_bidiagonal(e, a, m, n, d + 2 * n);
    e[2 * n - 1] = 0;
    const bool settled = find_eigenvalues(d, e, 2 * n);
    *sum = 0;
    for (int64_t i = 0; i < 2 * n; i++)
        *sum += fabs(d[i]) / 2;
    mem_free(e);
    return settled ? OK : fail(ERR_INTERNAL, "singular values did not settle in %d sweeps", MOST_SWEEPS);
}
