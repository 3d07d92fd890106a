/* features: files as h5py writes them (tests/oracle/curate_ingest_fixtures.py), what they give, and what is odd in others. */
#include "data/curate/features.h"

#include <math.h>
#include <stdio.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"

static const char *path_of(const char *name)
{
    static char path[512];
    char file[64];
    snprintf(file, sizeof file, "curate/features/%s.h5", name);
    snprintf(path, sizeof path, "%s", test_fixture(file));
    return path;
}

static void check_scores(Features *f, const char *uid, Task task, double s0, double s1, double dir, double image)
{
    double score[N_CLIP_SCORES];
    const double wanted[N_CLIP_SCORES] = {s0, s1, dir, image};
    bool found;
    REQUIRE_OK(features_score(f, uid, task, score, &found));
    CHECK(found);
    for (ClipScore i = 0; i < N_CLIP_SCORES; i++)
        CHECK_MSG(isnan(wanted[i]) ? isnan(score[i]) : fabs(score[i] - wanted[i]) < 1e-12, "%s %s is %.17g, wanted %.17g", uid,
                  CLIP_SCORE_NAMES[i], score[i], wanted[i]);
}

/* Numbers of curate_ingest.py. */
TEST(features_give_the_similarities_that_python_computes)
{
    static const char *const FILES[] = {"fixed", "variable"};
    for (int i = 0; i < 2; i++) {
        Features *f;
        double score[N_CLIP_SCORES];
        bool found;
        REQUIRE_OK(features_open(&f, path_of(FILES[i])));
        check_scores(f, "r/1", TASK_EDIT, 0.44036072834334694, -0.7131569869472763, -0.38864655156484, -0.7787326582604452);
        check_scores(f, "r/\u00fc", TASK_EDIT, -0.29591577553825027, 0.6160776057515379, -0.7817615760226805, -0.16652144967191482);
        check_scores(f, "r/3", TASK_EDIT, NAN, -0.6316141077517874, NAN, NAN); /* a picture of zeros */
        check_scores(f, "r/3", TASK_GENERATE, 0, -0.6316141077517874, 0, 0);
        REQUIRE_OK(features_score(f, "r/4", TASK_EDIT, score, &found));
        CHECK(!found);
        features_close(&f);
        CHECK(!f);
    }
    CHECK(features_has_score(TASK_GENERATE, CLIP_SIM_1) && !features_has_score(TASK_GENERATE, CLIP_SIM_0));
    CHECK(features_has_score(TASK_EDIT, CLIP_SIM_DIR) && !features_has_score(TASK_UNDERSTAND, CLIP_SIM_1));
}

TEST(features_may_be_of_either_byte_order)
{
    Features *f;
    double score[N_CLIP_SCORES];
    bool found;
    REQUIRE_OK(features_open(&f, path_of("big_endian")));
    REQUIRE_OK(features_score(f, "r/1", TASK_EDIT, score, &found));
    CHECK(found);
    CHECK_MSG(fabs(score[CLIP_SIM_0] - -0.4418557786785818) < 1e-12, "%.17g", score[CLIP_SIM_0]);
    features_close(&f);
}

TEST(features_that_are_odd_are_refused_by_name)
{
    static const char *const CASES[][2] = {
        {"missing", "text0 is missing; the file needs uid, image0, image1, text0 and text1"},
        {"group", "text0 is a link to another place, expected the array itself"},
        {"elsewhere", "image0 is a link to another place, expected the array itself"},
        {"real_group", "image1 is no array"},
        {"external", "image0 keeps its numbers in other files, expected the array itself"},
        {"virtual", "text1 keeps its numbers in other files, expected the array itself"},
        {"f64", "image1 holds another type of numbers, expected f32"},
        {"integers", "image1 holds another type of numbers, expected f32"},
        {"flat", "text1 has another shape, expected [n, d]"},
        {"rows", "text1 is [2, 4], expected [3, 4], a row for each of its uids, as wide as image0"},
        {"columns", "text1 is [3, 3], expected [3, 4], a row for each of its uids, as wide as image0"},
        {"numbers", "uid is no list of texts, expected [n] strings"},
        {"twice", "uid 2, \"r/1\", stands in it twice (first as 0)"},
    };
    Features *f;
    char text[1024];
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const char *path = path_of(CASES[i][0]);
        snprintf(text, sizeof text, "%s: %s", path, CASES[i][1]);
        CHECK_FAILS(features_open(&f, path), ERR_DATA, text);
        CHECK(!f);
    }
    CHECK_INT(features_open(&f, path_of("text")), ERR_DATA);
    CHECK_MSG(strstr(status_message(), "cannot be opened as an HDF5 file"), "%s", status_message());
    CHECK_INT(features_open(&f, path_of("none")), ERR_MISSING);
}

/* The version of the superblock is byte 8. */
TEST(features_of_a_later_hdf5_say_how_they_are_read)
{
    char path[512], wanted[768], *bytes;
    size_t n;
    Features *f;
    snprintf(path, sizeof path, "%s/later.h5", test_dir());
    REQUIRE_OK(file_read(&bytes, &n, path_of("fixed"), 1 << 20));
    bytes[8] = 99;
    REQUIRE_OK(file_write(path, bytes, n));
    mem_free(bytes);
    CHECK_INT(features_open(&f, path), ERR_DATA);
    snprintf(wanted, sizeof wanted, "%s", "; it is damaged, or of a version after 1.10: h5py.File(NAME, \"w\", libver=(\"earliest\", "
                                          "\"v110\")) writes one that is read");
    CHECK_MSG(strstr(status_message(), wanted), "%s", status_message());
    CHECK_INT(features_open(&f, path_of("text")), ERR_DATA);
    CHECK_MSG(!strstr(status_message(), wanted), "%s", status_message());
}
