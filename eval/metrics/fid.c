/* fid.c: statistics of features and the distance of two of them (fid.h). Called by `evaluate fid` and by COCO.
 *
 * tr sqrt(S1 S2) is the nuclear norm of F1' F2 where S = F F': the squares of its singular values are the eigenvalues of F1' S2 F1, which
 * are those of S1·S2. No root is taken of a small difference, so it holds for fewer pictures than features too. */
#include "eval/metrics/fid.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "data/formats/mapped.h"
#include "eval/metrics/feature_set.h"
#include "eval/metrics/npy.h"
#include "eval/metrics/spectrum.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

enum { BLOCK = 128, MOST_WIDTH = 16384 };

static Status allocate(FidStatistics *s)
{
    if (s->d > MOST_WIDTH)
        return fail(ERR_DATA, "%s: has %" PRId64 " features a row; up to %d are taken", s->path, s->d, MOST_WIDTH);
    s->mu = mem_alloc((size_t)s->d * sizeof *s->mu);
    s->sigma = mem_alloc((size_t)(s->d * s->d) * sizeof *s->sigma);
    return s->mu && s->sigma ? OK : fail(ERR_NOMEM, "%s: no memory for the covariance of %" PRId64 " features", s->path, s->d);
}

/* ---------------------------------------------------------------- from features */

static Status add_means(FidStatistics *s, const FeatureSet *f, double *row)
{
    for (int64_t i = 0; i < f->n; i++) {
        TRY(feature_set_row(f, i, row));
        for (int64_t j = 0; j < f->d; j++)
            s->mu[j] += row[j];
    }
    for (int64_t j = 0; j < f->d; j++)
        s->mu[j] /= (double)f->n;
    return OK;
}

static Status add_covariance(FidStatistics *s, const FeatureSet *f, double *block)
{
    for (int64_t i = 0; i < f->n; i += BLOCK) {
        const int64_t rows = f->n - i < BLOCK ? f->n - i : BLOCK;
        for (int64_t r = 0; r < rows; r++) {
            double *x = block + r * f->d;
            TRY(feature_set_row(f, i + r, x));
            for (int64_t j = 0; j < f->d; j++)
                x[j] -= s->mu[j];
        }
        spectrum_add_square(s->sigma, f->d, block, rows);
    }
    for (int64_t i = 0; i < f->d; i++)
        for (int64_t j = i; j < f->d; j++)
            s->sigma[j * f->d + i] = s->sigma[i * f->d + j] /= (double)(f->n - 1);
    return OK;
}

static Status from_features(FidStatistics *s)
{
    FeatureSet f;
    TRY(feature_set_open(&f, s->path));
    s->n = f.n;
    s->d = f.d;
    memcpy(s->network, f.network, sizeof s->network);
    Status status = f.n > 1 ? allocate(s) : fail(ERR_DATA, "%s: has one row, a covariance needs two", s->path);
    double *block = status ? NULL : mem_alloc((size_t)(BLOCK * f.d) * sizeof *block);
    if (!status && !block)
        status = fail(ERR_NOMEM, "%s: no memory for %d rows", s->path, BLOCK);
    if (!status)
        status = add_means(s, &f, block);
    if (!status)
        status = add_covariance(s, &f, block);
    mem_free(block);
    feature_set_close(&f);
    return status;
}

/* ---------------------------------------------------------------- from .npz */

static Status copy_member(double *out, const Npy *a, const char *path, const char *name)
{
    for (int64_t i = 0; i < a->shape[0]; i++)
        for (int64_t j = 0; j < a->shape[1]; j++)
            if (!isfinite(out[i * a->shape[1] + j] = npy_at(a, i, j)))
                return fail(ERR_DATA, "%s: %s holds what is no finite number, in row %" PRId64 " (from 0), column %" PRId64, path, name, i,
                            j);
    return OK;
}

/* The covariance, symmetric but for rounding. */
static Status check_symmetric(const FidStatistics *s)
{
    double most = 0, apart = 0;
    for (int64_t i = 0; i < s->d; i++)
        for (int64_t j = 0; j <= i; j++) {
            most = fmax(most, fabs(s->sigma[i * s->d + j]));
            apart = fmax(apart, fabs(s->sigma[i * s->d + j] - s->sigma[j * s->d + i]));
        }
    return apart <= 1e-6 * most ? OK : fail(ERR_DATA, "%s: sigma is not symmetric, so it is no covariance", s->path);
}

static Status read_members(FidStatistics *s, const uint8_t *mu, size_t n_mu, const uint8_t *sigma, size_t n_sigma)
{
    Npy m, c;
    TRY_IN(npy_parse(&m, mu, n_mu, "mu.npy"), "%s", s->path);
    TRY_IN(npy_parse(&c, sigma, n_sigma, "sigma.npy"), "%s", s->path);
    s->d = m.shape[0];
    if (m.rank != 1 || c.rank != 2 || s->d < 1 || c.shape[0] != s->d || c.shape[1] != s->d)
        return fail(ERR_DATA, "%s: mu is %" PRId64 " × %" PRId64 " and sigma %" PRId64 " × %" PRId64 ", expected [d] and [d, d]", s->path,
                    m.shape[0], m.shape[1], c.shape[0], c.shape[1]);
    TRY(allocate(s));
    TRY(copy_member(s->mu, &m, s->path, "mu"));
    TRY(copy_member(s->sigma, &c, s->path, "sigma"));
    return check_symmetric(s);
}

static Status from_npz(FidStatistics *s)
{
    Mapped file;
    uint8_t *mu = NULL, *sigma = NULL;
    size_t n_mu, n_sigma;
    TRY(mapped_open(&file, s->path, "an .npz file"));
    Status status = npz_read(&mu, &n_mu, &file, "mu.npy");
    if (!status)
        status = npz_read(&sigma, &n_sigma, &file, "sigma.npy");
    if (!status)
        status = read_members(s, mu, n_mu, sigma, n_sigma);
    mem_free(mu);
    mem_free(sigma);
    mapped_close(&file);
    return status;
}

Status fid_statistics(FidStatistics *out, const char *path)
{
    *out = (FidStatistics){.path = path};
    Status s = feature_set_ends(path, ".npz") ? from_npz(out) : from_features(out);
    if (s)
        fid_free(out);
    return s;
}

void fid_free(FidStatistics *s)
{
    mem_free(s->mu);
    mem_free(s->sigma);
    *s = (FidStatistics){0};
}

/* ---------------------------------------------------------------- the distance */

/* The factors of both covariances in f [2,d,d]; their product and its nuclear norm. */
static Status trace_root(double *out, double *f, const FidStatistics *a, const FidStatistics *b)
{
    const int64_t d = a->d;
    int64_t m, n;
    double *x = f, *y = f + d * d;
    TRY(spectrum_factor(x, &m, a->sigma, d, a->path));
    TRY(spectrum_factor(y, &n, b->sigma, d, b->path));
    *out = 0;
    if (!m || !n)
        return OK;
    const int64_t tall = m > n ? m : n, wide = m > n ? n : m;
    double *product = mem_alloc((size_t)(tall * wide) * sizeof *product);
    if (!product)
        return fail(ERR_NOMEM, "no memory for %" PRId64 " × %" PRId64 " numbers", tall, wide);
    spectrum_add_product(product, tall, wide, m > n ? x : y, d, m > n ? y : x, d, d);
    Status s = spectrum_nuclear_norm(out, product, tall, wide);
    mem_free(product);
    return s;
}

Status fid_distance(double *out, const FidStatistics *a, const FidStatistics *b)
{
    const int64_t d = a->d;
    double sum = 0, root;
    if (b->d != d)
        return fail(ERR_DATA, "%s has %" PRId64 " features a row, %s has %" PRId64 "; they have to come from the same network", a->path, d,
                    b->path, b->d);
    TRY(feature_set_same_network(a->path, a->network, b->path, b->network));
    double *factors = mem_alloc((size_t)(2 * d * d) * sizeof *factors);
    if (!factors)
        return fail(ERR_NOMEM, "no memory for factors of covariances of %" PRId64 " features", d);
    Status s = trace_root(&root, factors, a, b);
    mem_free(factors);
    TRY(s);
    for (int64_t i = 0; i < d; i++) {
        const double apart = a->mu[i] - b->mu[i];
        sum += apart * apart + a->sigma[i * d + i] + b->sigma[i * d + i];
    }
    *out = sum - 2 * root;
    return isfinite(*out) ? OK : fail(ERR_DATA, "%s and %s: their numbers are too large for a distance in double", a->path, b->path);
}

void fid_warn_of_few(const FidStatistics *s)
{
    if (s->n && s->n <= s->d)
        log_warn("%s: %" PRId64 " pictures are too few for a distance of %" PRId64 " features that compares with others; take more than "
                 "%" PRId64, s->path, s->n, s->d, s->d);
}
