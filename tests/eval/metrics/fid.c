/* eval/metrics/fid.h and its linear algebra against SciPy (tests/oracle/bench_pictures.py wrote the numbers), and closed forms. */
#include "eval/metrics/fid.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "data/formats/file.h"
#include "eval/metrics/spectrum.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"

static char *fixture(char path[PATH_MAX], const char *name)
{
    char below[256];
    snprintf(below, sizeof below, "metrics/features/%s", name);
    snprintf(path, PATH_MAX, "%s", test_fixture(below));
    return path;
}

static Status distance_of(double *out, const char *first, const char *second)
{
    FidStatistics a = {0}, b = {0};
    Status s = fid_statistics(&a, first);
    if (!s)
        s = fid_statistics(&b, second);
    if (!s)
        s = fid_distance(out, &a, &b);
    fid_free(&a);
    fid_free(&b);
    return s;
}

TEST(fid_is_that_of_scipy)
{
    char names[2][64], a[PATH_MAX], b[PATH_MAX];
    double wanted, found;
    int n = 0;
    FILE *f = fopen(fixture(a, "fid.txt"), "r");
    REQUIRE(f);
    for (; fscanf(f, "%63s %63s %lf", names[0], names[1], &wanted) == 3; n++) {
        REQUIRE_OK(distance_of(&found, fixture(a, names[0]), fixture(b, names[1])));
        CHECK_MSG(fabs(found - wanted) <= 1e-8 * fmax(1, wanted), "%s %s: %.17g, wanted %.17g", names[0], names[1], found, wanted);
    }
    CHECK_INT(n, 7);
    fclose(f);
}

/* Diagonal covariances: Σ (m1-m2)² + Σ (s1-s2)², also where a deviation is 0. */
TEST(fid_of_diagonal_gaussians_is_the_closed_form)
{
    enum { D = 300 };
    double *memory = mem_alloc((2 * D * D + 2 * D) * sizeof *memory), wanted = 0, found;
    REQUIRE(memory);
    FidStatistics a = {"a", 0, D, memory, memory + 2 * D, ""},
                  b = {"b", 0, D, memory + D, memory + 2 * D + D * D, ""};
    for (int i = 0; i < D; i++) {
        const double s1 = i % 7 ? 0.1 + 0.01 * i : 0, s2 = i % 5 ? 3 - 0.008 * i : 0;
        a.mu[i] = 0.5 * i;
        b.mu[i] = 0.5 * i + 0.01 * (i % 3);
        a.sigma[i * D + i] = s1 * s1;
        b.sigma[i * D + i] = s2 * s2;
        wanted += (a.mu[i] - b.mu[i]) * (a.mu[i] - b.mu[i]) + (s1 - s2) * (s1 - s2);
    }
    REQUIRE_OK(fid_distance(&found, &a, &b));
    CHECK_MSG(fabs(found - wanted) <= 1e-10 * wanted, "%.17g, wanted %.17g", found, wanted);
    for (int i = 0; i < D * D; i++)
        b.sigma[i] = 0;
    wanted = 0;
    for (int i = 0; i < D; i++)
        wanted += (a.mu[i] - b.mu[i]) * (a.mu[i] - b.mu[i]) + a.sigma[i * D + i];
    REQUIRE_OK(fid_distance(&found, &a, &b));
    CHECK_MSG(fabs(found - wanted) <= 1e-12 * wanted, "%.17g, wanted %.17g", found, wanted);
    mem_free(memory);
}

/* An orthogonal matrix times numbers times another: the numbers are the singular values. Householder's mirrors give such matrices. */
TEST(fid_nuclear_norm_of_a_matrix_made_of_its_singular_values)
{
    static const int SIZES[][2] = {{1, 1}, {2, 1}, {2, 2}, {7, 7}, {40, 7}, {300, 257}};
    for (size_t c = 0; c < sizeof SIZES / sizeof *SIZES; c++) {
        const int m = SIZES[c][0], n = SIZES[c][1];
        double *a = mem_alloc((size_t)(m * n) * sizeof *a), wanted = 0, found, uu = 0, vv = 0;
        REQUIRE(a);
        for (int i = 0; i < m; i++)
            uu += (1 + i % 5) * (1 + i % 5);
        for (int i = 0; i < n; i++)
            vv += (2 + i % 3) * (2 + i % 3);
        for (int k = 0; k < n; k++) {
            const double s = k % 4 == 3 ? 0 : pow(10, -k % 9) * (1 + k);
            wanted += s;
            for (int i = 0; i < m; i++)
                for (int j = 0; j < n; j++)
                    a[i * n + j] +=
                        ((i == k) - 2.0 * (1 + i % 5) * (1 + k % 5) / uu) * s * ((j == k) - 2.0 * (2 + j % 3) * (2 + k % 3) / vv);
        }
        REQUIRE_OK(spectrum_nuclear_norm(&found, a, m, n));
        CHECK_MSG(fabs(found - wanted) <= 1e-13 * wanted * n, "%d × %d: %.17g, wanted %.17g", m, n, found, wanted);
        mem_free(a);
    }
}

TEST(fid_factor_finds_the_rank)
{
    enum { D = 20, R = 6 };
    double x[D * R], a[D * D] = {0}, f[D * D] = {0}, worst = 0;
    int64_t rank;
    for (int i = 0; i < D * R; i++)
        x[i] = sin(1 + i * i) * (1 + i % 4);
    for (int i = 0; i < D * D; i++)
        for (int k = 0; k < R; k++)
            a[i] += x[i / D * R + k] * x[i % D * R + k];
    REQUIRE_OK(spectrum_factor(f, &rank, a, D, "a"));
    CHECK_INT(rank, R);
    for (int i = 0; i < D * D; i++) {
        double sum = 0;
        for (int k = 0; k < rank; k++)
            sum += f[i / D * D + k] * f[i % D * D + k];
        worst = fmax(worst, fabs(sum - a[i]));
    }
    CHECK_MSG(worst < 1e-12, "f·fᵀ is off by %g", worst);
    a[0] = -a[0];
    CHECK_FAILS(spectrum_factor(f, &rank, a, D, "a"), ERR_DATA, "a: is no covariance: it has negative eigenvalues");
}

TEST(fid_files_cut_short)
{
    static const char *const FILES[] = {"a.npy", "b.npy", "few.h5", "b.npz", "b_deflated.npz"};
    char path[PATH_MAX], cut[PATH_MAX], *bytes;
    size_t n;
    FidStatistics s;
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        REQUIRE_OK(file_read(&bytes, &n, fixture(path, FILES[i]), 1 << 20));
        file_join(cut, test_dir(), FILES[i]);
        for (size_t k = 1; k < 8; k++) {
            REQUIRE_OK(file_write(cut, bytes, n * k / 8));
            CHECK_MSG(fid_statistics(&s, cut) == ERR_DATA, "%s, %zu of 8 parts: %s", FILES[i], k, status_message());
            CHECK_MSG(strstr(status_message(), FILES[i]), "the message names another file: %s", status_message());
        }
        mem_free(bytes);
    }
}

/* An .npy of f64, and what fid_statistics says of it. */
static void refused(const char *header, const double *numbers, size_t n, const char *why)
{
    char path[PATH_MAX], bytes[4096] = "\x93NUMPY\1";
    const size_t length = strlen(header);
    FidStatistics s;
    bytes[8] = (char)length;
    memcpy(bytes + 10, header, length);
    memcpy(bytes + 10 + length, numbers, n * sizeof *numbers);
    REQUIRE_OK(file_write(file_join(path, test_dir(), "x.npy"), bytes, 10 + length + n * sizeof *numbers));
    CHECK_INT(fid_statistics(&s, path), ERR_DATA);
    CHECK_MSG(strstr(status_message(), why), "says %s, wanted %s", status_message(), why);
}

TEST(fid_refuses_what_is_no_set_of_features)
{
    const double fine[4] = {1, 2, 3, 4}, broken[4] = {1, 2, 3, NAN};
    FidStatistics s;
    refused("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 2), }", broken, 4, "row 1 (from 0), column 1 is no finite number");
    refused("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }", fine, 4, "are not the 2 x 3 of its shape");
    refused("{'descr': '<f8', 'fortran_order': False, 'shape': (4,), }", fine, 4, "one axis");
    refused("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 4), }", fine, 4, "has one row");
    refused("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2, 2), }", fine, 4, "one or two axes");
    refused("{'descr': '<f8', 'fortran_order': False, 'shape': (), }", fine, 1, "one or two axes");
    refused("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 4), }", fine, 0, "holds no features");
    refused("{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 4), }", fine, 4, "of its shape");
    refused("{'descr': '<f8', 'fortran_order': False, 'shape': (92233720368547758080, 1), }", fine, 4, "one or two axes");
    refused("{'descr': '<i8', 'fortran_order': False, 'shape': (2, 2), }", fine, 4, "numbers of type '<i8'");
    refused("{'descr': '<f8', 'shape': (2, 2), }", fine, 4, "fortran_order");
    CHECK_FAILS(fid_statistics(&s, "x.png"), ERR_USAGE, "x.png: its name has to end in .npy or .h5 (features [n, d])");
    CHECK_INT(fid_statistics(&s, "absent.npz"), ERR_MISSING);
}
