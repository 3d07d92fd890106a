/* eval/bench/magicbrush.c and edits.c: pairs and means as the authors' script makes them (tests/oracle/bench_pictures.py wrote the
 * numbers), and what is no whole set of edits. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "data/formats/file.h"
#include "eval/bench/commands.h"
#include "kernels/base/arena.h"
#include "tests/eval/bench/golden.h"

static char *path_of(char path[PATH_MAX], const char *name) { return file_join(path, test_dir(), name); }

static Status score(Scores *s, const char *bench, const char *goals, const char *made, bool allow_missing)
{
    char from[PATH_MAX], to[PATH_MAX];
    const Bench *b = bench_named(bench);
    const BenchData d = {.dir = path_of(from, goals), .split = b->split};
    return bench_score_drawings(s, b, &d, path_of(to, made), NULL, allow_missing);
}

/* Every number of scores.txt, in its order, and no other. */
static void check(const Scores *s)
{
    char path[PATH_MAX], key[64];
    double wanted;
    int n = 0;
    FILE *f = fopen(path_of(path, "scores.txt"), "r");
    REQUIRE(f);
    for (; fscanf(f, "%63s %lf", key, &wanted) == 2; n++) {
        REQUIRE(n < s->n_scores);
        CHECK_STR(s->score[n].key, key);
        CHECK_MSG(fabs(s->score[n].value - wanted) <= 1e-12 * fmax(1, wanted), "%s is %.17g, wanted %.17g", key, s->score[n].value, wanted);
    }
    CHECK_INT(s->n_scores, n);
    fclose(f);
}

static void refused(const char *bench, const char *goals, const char *made, Status kind, const char *why)
{
    Scores s;
    CHECK_INT(score(&s, bench, goals, made, true), kind);
    CHECK_MSG(strstr(status_message(), why), "says %s, wanted %s", status_message(), why);
    scores_free(&s);
}

static void remove_file(const char *name)
{
    char path[PATH_MAX];
    REQUIRE_OK(file_remove(path_of(path, name)));
}

/* official.txt: what their script said of the sessions of fewer than ten turns, in f32. */
TEST(pictures_of_magicbrush_score_as_their_script_says)
{
    Scores s;
    char path[PATH_MAX], key[64];
    double wanted;
    int n = 0;
    golden_copy("metrics/magicbrush");
    remove_file("goals/327701");
    remove_file("edits/327701");
    REQUIRE_OK(score(&s, "magicbrush", "goals", "edits", false));
    FILE *f = fopen(path_of(path, "official.txt"), "r");
    REQUIRE(f);
    for (; fscanf(f, "%63s %lf", key, &wanted) == 2; n++)
        CHECK_MSG(fabs(golden_value(&s, key) - wanted) <= 5e-7, "%s is %.17g, wanted %.17g", key, golden_value(&s, key), wanted);
    CHECK_INT(n, 4);
    fclose(f);
    scores_free(&s);
}

TEST(pictures_of_magicbrush_score_by_every_turn)
{
    Scores s;
    golden_copy("metrics/magicbrush");
    REQUIRE_OK(score(&s, "magicbrush", "goals", "edits", false));
    check(&s);
    CHECK_INT(s.n, 15);
    CHECK_INT(s.n_missing, 0);
    scores_free(&s);
}

TEST(pictures_of_magicbrush_that_are_not_whole)
{
    golden_copy("metrics/magicbrush");
    remove_file("edits/327701/327701_inde_10.png");
    refused("magicbrush", "goals", "edits", ERR_DATA, "edits/327701: has 11 edits of single turns");
    golden_copy("metrics/magicbrush");
    remove_file("edits/99/99_iter_2.png");
    refused("magicbrush", "goals", "edits", ERR_DATA, "edits/99: has no edit after all turns");
    golden_copy("metrics/magicbrush");
    remove_file("edits/99");
    refused("magicbrush", "goals", "edits", ERR_DATA, "edits: has no folder \"99\", which ");
    golden_copy("metrics/magicbrush");
    remove_file("goals/500010");
    refused("magicbrush", "goals", "edits", ERR_DATA, "goals: has no folder \"500010\", which ");
    golden_copy("metrics/magicbrush");
    remove_file("goals/500010/500010-output1.png");
    refused("magicbrush", "goals", "edits", ERR_DATA, "goals/500010: has no picture with \"output\"");
    refused("magicbrush", "goals/99", "edits/99", ERR_DATA, "goals/99: holds no folders of goals");
    refused("magicbrush", "none", "edits", ERR_MISSING, "none");
}

TEST(pictures_cut_in_half)
{
    char path[PATH_MAX], *bytes;
    size_t n;
    golden_copy("metrics/magicbrush");
    REQUIRE_OK(file_read(&bytes, &n, path_of(path, "edits/99/99_1.png"), 1 << 20));
    REQUIRE_OK(file_write(path, bytes, n / 2));
    mem_free(bytes);
    refused("magicbrush", "goals", "edits", ERR_DATA, "edits/99/99_1.png");
}

TEST(pictures_of_a_manifest)
{
    static const char *const NAMES[] = {"evr", "gier", "ma5k"};
    golden_copy("metrics/edits");
    for (int i = 0; i < 3; i++) {
        Scores s;
        REQUIRE_OK(score(&s, NAMES[i], "data", "made", true));
        check(&s);
        CHECK_INT(s.n, 5);
        CHECK_INT(s.n_missing, 1);
        scores_free(&s);
    }
}

TEST(pictures_of_a_manifest_that_are_not_whole)
{
    Scores s;
    char path[PATH_MAX], *bytes;
    size_t n;
    golden_copy("metrics/edits");
    CHECK_INT(score(&s, "gier", "data", "made", false), ERR_DATA);
    CHECK(strstr(status_message(), "made: 1 of 5 pictures are missing, which is more than 1 %"));
    scores_free(&s);
    refused("gier", "data", "data", ERR_DATA, "data: 5 of 5 pictures are missing");
    refused("gier", "made", "made", ERR_MISSING, "test.jsonl");
    REQUIRE_OK(file_read(&bytes, &n, path_of(path, "data/test.jsonl"), 1 << 20));
    REQUIRE_OK(file_write(path, bytes, n / 2));
    mem_free(bytes);
    refused("gier", "data", "made", ERR_DATA, "test.jsonl:3");
    REQUIRE_OK(file_write(path, "{\"id\":\"a\",\"source\":\"x\"}\n", 24));
    refused("gier", "data", "made", ERR_DATA, "\"target\" is absent");
    REQUIRE_OK(file_write(path, "{\"id\":\"a\",\"target\":\"none.png\"}\n", 31));
    refused("gier", "data", "made", ERR_MISSING, "none.png");
}
