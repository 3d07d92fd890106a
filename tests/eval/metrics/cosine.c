/* eval/metrics/cosine.h against NumPy (tests/oracle/bench_pictures.py wrote the numbers): by name, by row, and what cannot be paired. */
#include "eval/metrics/cosine.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>

#include "data/formats/file.h"
#include "tests/harness.h"

static Status score_of(CosineScore *out, const char *first, const char *second)
{
    FeatureSet a, b;
    TRY(feature_set_open(&a, first));
    Status s = feature_set_open(&b, second);
    if (!s) {
        s = cosine_score(out, &a, &b);
        feature_set_close(&b);
    }
    feature_set_close(&a);
    return s;
}

static char *fixture(char path[PATH_MAX], const char *name)
{
    char below[256];
    snprintf(below, sizeof below, "metrics/features/%s", name);
    snprintf(path, PATH_MAX, "%s", test_fixture(below));
    return path;
}

TEST(cosine_scores_are_those_of_numpy)
{
    char names[2][64], a[PATH_MAX], b[PATH_MAX];
    double wanted;
    CosineScore found;
    int n = 0;
    FILE *f = fopen(fixture(a, "cosine.txt"), "r");
    REQUIRE(f);
    for (; fscanf(f, "%63s %63s %lf", names[0], names[1], &wanted) == 3; n++) {
        REQUIRE_OK(score_of(&found, fixture(a, names[0]), fixture(b, names[1])));
        CHECK_INT(found.n, 7);
        CHECK_MSG(fabs(found.score - 100 * wanted) <= 1e-12 && fabs(found.clipscore - 2.5 * wanted) <= 1e-13, "%s %s: %.17g, wanted %.17g",
                  names[0], names[1], found.score, 100 * wanted);
    }
    CHECK_INT(n, 4);
    fclose(f);
}

/* Two rows of two numbers as NAME.npy, named by NAME.txt. */
static char *write_pair(char path[PATH_MAX], const char *name, const float numbers[4], const char *names)
{
    static const char HEADER[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }";
    char bytes[256] = "\x93NUMPY\1", list[PATH_MAX];
    bytes[8] = (char)(sizeof HEADER - 1);
    memcpy(bytes + 10, HEADER, sizeof HEADER - 1);
    memcpy(bytes + 9 + sizeof HEADER, numbers, 4 * sizeof *numbers);
    snprintf(path, PATH_MAX, "%s/%s.npy", test_dir(), name);
    snprintf(list, sizeof list, "%s/%s.txt", test_dir(), name);
    REQUIRE_OK(file_write(path, bytes, 9 + sizeof HEADER + 4 * sizeof *numbers));
    REQUIRE_OK(names ? file_write(list, names, strlen(names)) : file_remove(list));
    return path;
}

static void refused(const float *b_numbers, const char *a_names, const char *b_names, const char *why)
{
    const float numbers[4] = {1, 2, 3, 4};
    char a[PATH_MAX], b[PATH_MAX];
    CosineScore found;
    write_pair(a, "a", numbers, a_names);
    write_pair(b, "b", b_numbers ? b_numbers : numbers, b_names);
    CHECK_INT(score_of(&found, a, b), ERR_DATA);
    CHECK_MSG(strstr(status_message(), why), "says %s, wanted %s", status_message(), why);
}

TEST(cosine_does_not_pair_what_does_not_belong_together)
{
    const float zeros[4] = {1, 2, 0, 0};
    char a[PATH_MAX], b[PATH_MAX];
    CosineScore found;
    refused(NULL, "x\ny\n", "x\nz\n", "b.npy: row 1 (from 0) is \"z\", a name that ");
    refused(NULL, "x\nx\n", "x\ny\n", "a.npy: two rows have the name \"x\"");
    refused(NULL, "x\ny\n", "y\ny\n", "b.npy: two rows have the name \"y\"");
    refused(NULL, "x\n", "x\ny\n", "a.txt: names 1 rows, but there are 2");
    refused(NULL, "x\ny\nz\n", NULL, "a.txt: names 3 rows, but there are 2");
    refused(zeros, NULL, NULL, "b.npy: row 1 (from 0) is all zeros");
    CHECK_INT(score_of(&found, fixture(a, "few.h5"), fixture(b, "texts.h5")), ERR_DATA);
    CHECK(strstr(status_message(), "features a row"));
    CHECK_INT(score_of(&found, fixture(a, "fewer.npy"), fixture(b, "few.h5")), ERR_DATA);
    CHECK(strstr(status_message(), "row by row"));
}

TEST(cosine_of_scaled_vectors_is_one)
{
    const float x[4] = {1, 2, 3, 4}, scaled[4] = {-0.5f, -1, 300, 400};
    char a[PATH_MAX], b[PATH_MAX];
    CosineScore found;
    write_pair(a, "a", x, NULL);
    write_pair(b, "b", scaled, "p\nq\n"); /* names on one side only: by row */
    REQUIRE_OK(score_of(&found, a, b));
    CHECK_MSG(fabs(found.score - 50) < 1e-12, "%.17g", found.score); /* -1 counts as 0 */
}
