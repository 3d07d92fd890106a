/* eval/kept_features.h: of a file that is kept only the rows are computed whose pictures are new or have changed; the others stay to the
 * bit. */
#include "eval/kept_features.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "eval/metrics/feature_set.h"
#include "tests/harness.h"

enum { MOST = 200, WIDTH = 3 };

/* A world of rows, row i of which is computed as base + i. */
typedef struct World {
    char names[MOST][16], sources[MOST][65], path[PATH_MAX];
    const char *name[MOST], *source[MOST];
    int64_t n, computed, calls;
    float base;
} World;

static Status compute(void *arg, const int64_t *rows, int64_t n, float *features)
{
    World *w = arg;
    CHECK(n <= KEPT_BLOCK);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < WIDTH; j++)
            features[i * WIDTH + j] = w->base + (float)rows[i] + 0.25f * (float)j;
    w->computed += n;
    w->calls++;
    return OK;
}

static void create(World *w, int64_t n)
{
    *w = (World){.n = n};
    file_join(w->path, test_dir(), "f.h5");
    for (int64_t i = 0; i < n; i++) {
        snprintf(w->names[i], sizeof w->names[i], "%d", (int)(n - i)); /* not in the order of names */
        snprintf(w->sources[i], sizeof w->sources[i], "%064d", (int)i);
        w->name[i] = w->names[i];
        w->source[i] = w->sources[i];
    }
}

static Status make(World *w, const char *weights)
{
    FeatureMaker maker = {.model = "clip", .preparation = "none", .width = WIDTH};
    const KeptRows rows = {w->name, w->source, w->n};
    snprintf(maker.weights, sizeof maker.weights, "%s", weights);
    w->computed = w->calls = 0;
    return kept_features_make(w->path, &maker, &rows, compute, w, "WEIGHTS", "clip-made");
}

/* Row `row` of the file is what was computed as base + i. */
static void check_row(const World *w, int64_t row, float base, int64_t i)
{
    FeatureSet f;
    double x[WIDTH];
    REQUIRE_OK(feature_set_open(&f, w->path));
    REQUIRE(f.n == w->n && f.d == WIDTH && f.names && f.sources);
    CHECK_STR(f.names[row], w->name[row]);
    REQUIRE_OK(feature_set_row(&f, row, x));
    for (int64_t j = 0; j < WIDTH; j++)
        CHECK_MSG(x[j] == (double)(base + (float)i + 0.25f * (float)j), "row %d is %g", (int)row, x[j]);
    feature_set_close(&f);
}

TEST(features_that_are_kept_are_computed_where_a_picture_has_changed)
{
    static World w; /* large */
    create(&w, MOST);
    w.base = 1000;
    REQUIRE_OK(make(&w, "aa"));
    CHECK_INT(w.computed, MOST);
    CHECK_INT(w.calls, (MOST + KEPT_BLOCK - 1) / KEPT_BLOCK);
    w.base = 5000;
    REQUIRE_OK(make(&w, "aa"));
    CHECK_INT(w.computed, 0);
    for (int64_t i = 3; i < MOST; i += 2) /* drawn anew under the same name */
        w.sources[i][0] = 'f';
    REQUIRE_OK(make(&w, "aa"));
    CHECK_INT(w.computed, 99);
    check_row(&w, 2, 1000, 2);
    check_row(&w, 3, 5000, 3);
    check_row(&w, MOST - 1, 5000, MOST - 1);
}

TEST(features_that_are_kept_follow_the_rows_that_are_wanted)
{
    World w;
    create(&w, 4);
    REQUIRE_OK(make(&w, "aa"));
    /* One goes, one comes, and the order is another. */
    const char *const name[] = {w.name[3], "new", w.name[0]}, *const source[] = {w.source[3], w.source[1], w.source[0]};
    memcpy(w.name, name, sizeof name);
    memcpy(w.source, source, sizeof source);
    w.n = 3;
    w.base = 500;
    REQUIRE_OK(make(&w, "aa"));
    CHECK_INT(w.computed, 1);
    check_row(&w, 0, 0, 3);
    check_row(&w, 1, 500, 1);
    check_row(&w, 2, 0, 0);
    /* Of a picture that is not there the row stays, and is still known by what it was made of. */
    w.source[0] = NULL;
    w.source[1] = w.sources[2];
    REQUIRE_OK(make(&w, "aa"));
    CHECK_INT(w.computed, 1);
    check_row(&w, 0, 0, 3);
    w.source[0] = w.sources[3];
    REQUIRE_OK(make(&w, "aa"));
    CHECK_INT(w.computed, 0);
}

TEST(features_that_are_kept_are_checked_where_nothing_can_be_computed)
{
    World w;
    create(&w, 3);
    const KeptRows rows = {w.name, w.source, w.n};
    REQUIRE_OK(make(&w, "aa"));
    REQUIRE_OK(kept_features_check(w.path, &rows, "--model DIR"));
    w.source[2] = NULL;
    REQUIRE_OK(kept_features_check(w.path, &rows, "--model DIR"));
    w.sources[1][5] = 'f';
    CHECK_INT(kept_features_check(w.path, &rows, "--model DIR"), ERR_DATA);
    CHECK_MSG(strstr(status_message(), "f.h5: its row \"2\" was made of another picture or text than the one that is there now; give "
                                       "--model DIR, which makes it anew, or remove the file"), "%s", status_message());
    CHECK_INT(make(&w, "bb"), ERR_USAGE);
    CHECK_MSG(strstr(status_message(), "was made by other weights than those of WEIGHTS (weights_sha256 aa… and bb…)"), "%s",
              status_message());
}
