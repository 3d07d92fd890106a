/* eval/metrics/pixels.h against scikit-image (tests/oracle/bench_pictures.py wrote the numbers), and closed forms. */
#include "eval/metrics/pixels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <limits.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"

static void check(const char *id, const char *what, double found, double wanted)
{
    bool equal = isnan(wanted) ? isnan(found) : fabs(found - wanted) <= 1e-12 * fmax(1, fabs(wanted));
    CHECK_MSG(equal, "%s of %s is %.17g, wanted %.17g", what, id, found, wanted);
}

static void check_all(const char *id, const Pixels *p, const double wanted[4])
{
    check(id, "l1", p->l1, wanted[0]);
    check(id, "l2", p->l2, wanted[1]);
    check(id, "psnr", p->psnr, wanted[2]);
    check(id, "ssim", p->ssim, wanted[3]);
}

TEST(pixels_are_those_of_scikit_image)
{
    FILE *f = fopen(test_fixture("metrics/pixels/pixels.txt"), "r");
    char id[64], name[128], a[PATH_MAX], b[PATH_MAX];
    double wanted[4];
    PixelSums sums = {0};
    Pixels p;
    REQUIRE(f);
    while (fscanf(f, "%63s %lf %lf %lf %lf", id, &wanted[0], &wanted[1], &wanted[2], &wanted[3]) == 5) {
        if (!strcmp(id, "mean")) {
            p = pixels_mean(&sums);
        } else {
            snprintf(name, sizeof name, "metrics/pixels/%s.a.png", id);
            snprintf(a, sizeof a, "%s", test_fixture(name));
            snprintf(name, sizeof name, "metrics/pixels/%s.b.png", id);
            snprintf(b, sizeof b, "%s", test_fixture(name));
            REQUIRE_OK(pixels_compare_files(&p, a, b, true));
            pixels_add(&sums, &p);
        }
        check_all(id, &p, wanted);
    }
    CHECK_INT(sums.n, 9);
    CHECK_INT(sums.n_psnr, 8); /* not of the equal ones */
    CHECK_INT(sums.n_ssim, 8); /* not of the small one */
    fclose(f);
}

TEST(pixels_l2_is_the_mean_square_without_a_root)
{
    uint8_t black[3] = {0}, grey[3] = {51, 51, 51}; /* 51/255 = 0.2 */
    const Image a = {1, 1, black}, b = {1, 1, grey};
    Pixels p;
    REQUIRE_OK(pixels_compare(&p, &a, &b, true));
    check("grey", "l1", p.l1, 0.2);
    check("grey", "l2", p.l2, 0.04);
    check("grey", "psnr", p.psnr, -10 * log10(0.04));
    CHECK(isnan(p.ssim));
}

TEST(pixels_of_nothing_have_no_mean)
{
    const PixelSums none = {0};
    const Pixels mean = pixels_mean(&none);
    CHECK(isnan(mean.l1) && isnan(mean.l2) && isnan(mean.psnr) && isnan(mean.ssim));
}
