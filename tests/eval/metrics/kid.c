/* eval/metrics/kid.h against torch-fidelity and clean-fid (tests/oracle/kid.py wrote the numbers): of whole sets to the last digits; of
 * subsets in the mean, as the estimate is unbiased. */
#include "eval/metrics/kid.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/harness.h"

static Status distance_of(Kid *out, const char *first, const char *second, const KidOptions *o)
{
    char a_path[PATH_MAX], b_path[PATH_MAX], below[64];
    FeatureSet a, b;
    snprintf(below, sizeof below, "metrics/features/%s", first);
    snprintf(a_path, sizeof a_path, "%s", test_fixture(below));
    snprintf(below, sizeof below, "metrics/features/%s", second);
    snprintf(b_path, sizeof b_path, "%s", test_fixture(below));
    TRY(feature_set_open(&a, a_path));
    Status s = feature_set_open(&b, b_path);
    if (!s) {
        s = kid_distance(out, &a, &b, o);
        feature_set_close(&b);
    }
    feature_set_close(&a);
    return s;
}

static void read_wanted(double *whole, double *expected)
{
    FILE *f = fopen(test_fixture("metrics/features/kid.txt"), "r");
    REQUIRE(f && fscanf(f, "%lf %lf", whole, expected) == 2);
    fclose(f);
}

TEST(kid_of_whole_sets_is_that_of_torch_fidelity)
{
    double whole, expected;
    Kid k;
    read_wanted(&whole, &expected);
    REQUIRE_OK(distance_of(&k, "kid_some.npy", "kid_b.npy", &(KidOptions){.subsets = 100, .size = 1000, .seed = 1}));
    CHECK_MSG(fabs(k.mean - whole) <= 1e-12 * fabs(whole), "KID is %.17g, wanted %.17g", k.mean, whole);
    CHECK(k.deviation == 0);
    CHECK_INT(k.subsets, 1);
    CHECK_INT(k.size, 30);
}

TEST(kid_of_subsets_is_that_of_all_in_the_mean)
{
    double whole, expected;
    Kid k, again;
    read_wanted(&whole, &expected);
    for (int64_t size = 7; size <= 30; size += 23) {
        KidOptions o = {.subsets = 400, .size = size, .seed = 42};
        REQUIRE_OK(distance_of(&k, "kid_a.npy", "kid_b.npy", &o));
        CHECK_MSG(fabs(k.mean - expected) <= 4 * k.deviation / sqrt((double)o.subsets), "subsets of %d: %.9g, wanted %.9g, deviation %.9g",
                  (int)size, k.mean, expected, k.deviation);
        CHECK(k.deviation > 0);
        CHECK_INT(k.size, size);
        o.subsets = 5;
        REQUIRE_OK(distance_of(&k, "kid_a.npy", "kid_b.npy", &o));
        REQUIRE_OK(distance_of(&again, "kid_a.npy", "kid_b.npy", &o));
        CHECK(again.mean == k.mean && again.deviation == k.deviation);
        o.seed = 43;
        REQUIRE_OK(distance_of(&again, "kid_a.npy", "kid_b.npy", &o));
        CHECK(again.mean != k.mean);
    }
}

TEST(kid_refuses_sets_of_two_networks)
{
    Kid k;
    CHECK_INT(distance_of(&k, "kid_a.npy", "images.h5", &(KidOptions){.subsets = 1, .size = 5}), ERR_DATA);
    CHECK_MSG(strstr(status_message(), "they have to come from the same network"), "%s", status_message());
}
