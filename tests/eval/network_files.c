/* eval/network_files.c: what networks are shown of drawings and goals: for FID the middles resized to 256, for VIST's LPIPS both stretched
 * to it, for edits the drawing at its goal's size; and the numbers that come of it, from weights that the tests of eval/features hold
 * against their packages. */
#include "eval/network_files.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/hdf5.h"
#include "data/pictures/picture_file.h"
#include "eval/bench/commands.h"
#include "eval/features/lpips.h"
#include "eval/features/picture_net.h"
#include "eval/metrics/fid.h"
#include "kernels/base/arena.h"
#include "tests/eval/bench/golden.h"
#include "tests/eval/features/inception_weights.h"
#include "train/dist/signals.h"

static void put_picture(const char *name, const char *fixture) { REQUIRE_OK(file_copy(test_fixture(fixture), golden_path(name))); }

static void load(Image *im, const char *path)
{
    PictureBuffer buf = {0};
    Reject reject;
    REQUIRE_OK(picture_load(&buf, NULL, path));
    REQUIRE_OK(image_decode(im, buf.bytes, buf.n, IMAGE_MAX_PIXELS, &reject));
    picture_buffer_free(&buf);
}

static double score(const char *bench, const NetworkFolders *folders, const char *key)
{
    char made[PATH_MAX], dir[PATH_MAX];
    Networks *n;
    Scores s;
    const Bench *b = bench_named(bench);
    snprintf(made, sizeof made, "%s", golden_path("made"));
    snprintf(dir, sizeof dir, "%s", test_dir());
    const BenchData d = {.dir = dir, .split = b->split};
    REQUIRE_OK(network_files_open(&n, folders, b, &d, made));
    REQUIRE_OK(bench_score_drawings(&s, b, &d, made, n, false));
    networks_close(&n);
    const double value = golden_value(&s, key);
    scores_free(&s);
    return value;
}

/* ---------------------------------------------------------------- FID */

enum { PICTURES = 3, SIDE = 256 };
static const char *const MADE[PICTURES] = {"features/lpips/a.jpg", "images/rgb.jpg", "features/lpips/c.jpg"},
                         *const GOALS[PICTURES] = {"features/lpips/b.jpg", "images/grey.jpg", "features/lpips/d.jpg"};

/* Crops to [left, left + side) by [top, top + side), then resizes. */
static void square_of(Image *out, const char *fixture)
{
    Image whole, middle;
    load(&whole, test_fixture(fixture));
    const int32_t side = whole.width < whole.height ? whole.width : whole.height, left = (whole.width - side) / 2,
                  top = (whole.height - side) / 2;
    middle = (Image){.width = side, .height = side, .rgb = mem_alloc((size_t)(side * side * 3))};
    REQUIRE(middle.rgb);
    for (int32_t y = 0; y < side; y++)
        for (int32_t x = 0; x < 3 * side; x++)
            middle.rgb[3 * y * side + x] = whole.rgb[3 * ((top + y) * whole.width + left) + x];
    REQUIRE_OK(image_resize(out, &middle, SIDE, SIDE, FILTER_BICUBIC));
    image_free(&whole);
    image_free(&middle);
}

/* The statistics of so many pictures, by the formula. */
static void statistics(FidStatistics *s, PictureNet *net, const char *const *fixtures)
{
    const int64_t d = picture_net_info(net)->width;
    Image squares[PICTURES];
    float *x = mem_alloc((size_t)(PICTURES * d) * sizeof *x);
    *s = (FidStatistics){.path = "wanted", .n = PICTURES, .d = d};
    s->mu = mem_alloc((size_t)d * sizeof *s->mu);
    s->sigma = mem_alloc((size_t)(d * d) * sizeof *s->sigma);
    REQUIRE(x && s->mu && s->sigma);
    for (int i = 0; i < PICTURES; i++)
        square_of(&squares[i], fixtures[i]);
    REQUIRE_OK(picture_net_images(net, squares, PICTURES, x));
    for (int64_t j = 0; j < d; j++)
        for (int i = 0; i < PICTURES; i++)
            s->mu[j] += (double)x[i * d + j] / PICTURES;
    for (int64_t j = 0; j < d * d; j++)
        for (int i = 0; i < PICTURES; i++)
            s->sigma[j] += ((double)x[i * d + j / d] - s->mu[j / d]) * ((double)x[i * d + j % d] - s->mu[j % d]) / (PICTURES - 1);
    for (int i = 0; i < PICTURES; i++)
        image_free(&squares[i]);
    mem_free(x);
}

/* Drawings and goals, in the folder of the test. */
static void put_coco(void)
{
    char name[64];
    REQUIRE_OK(file_make_folders(golden_path("made")));
    REQUIRE_OK(file_make_folders(golden_path("val2014")));
    golden_write("captions_val2014.jsonl", "{\"image_id\": 0, \"caption_id\": 5, \"caption\": \"a\"}\n{\"image_id\": 1, \"caption_id\": 6, "
                                           "\"caption\": \"b\"}\n{\"image_id\": 2, \"caption_id\": 7, \"caption\": \"c\"}\n");
    for (int i = 0; i < PICTURES; i++) {
        snprintf(name, sizeof name, "made/%d.png", i);
        put_picture(name, MADE[i]);
        snprintf(name, sizeof name, "val2014/COCO_val2014_%012d.jpg", i);
        put_picture(name, GOALS[i]);
    }
}

TEST(drawings_and_goals_of_coco_are_seen_as_squares)
{
    char weights[PATH_MAX];
    FidStatistics made, goals;
    PictureNet *net;
    double wanted;
    put_coco();
    inception_weights(weights, NULL);
    REQUIRE_OK(picture_net_open(&net, weights, NULL));
    statistics(&made, net, MADE);
    statistics(&goals, net, GOALS);
    REQUIRE_OK(fid_distance(&wanted, &made, &goals));
    picture_net_close(&net);
    fid_free(&made);
    fid_free(&goals);
    const double found = score("coco", &(NetworkFolders){.inception = weights}, "fid");
    CHECK_MSG(fabs(found - wanted) <= 1e-9 * fabs(wanted), "FID is %.17g, wanted %.17g", found, wanted);
}

static void write_digest(const char *path, const char *digest)
{
    static const char *const NAMES[] = {"0", "1", "2"};
    static const float FEATURES[] = {0, 1, 3};
    HdfFile *f;
    HdfRows rows;
    REQUIRE_OK(file_remove(path));
    REQUIRE_OK(hdf_create(&f, path, 0));
    REQUIRE_OK(hdf_set_text(f, "/", "weights_sha256", digest));
    REQUIRE_OK(hdf_write_texts(f, "/name", NAMES, PICTURES));
    REQUIRE_OK(hdf_rows_create(f, &rows, "/feat", PICTURES, 1));
    REQUIRE_OK(hdf_rows_write(f, &rows, 0, PICTURES, FEATURES));
    REQUIRE_OK(hdf_close(&f));
}

TEST(features_that_are_kept_are_of_the_weights_that_are_given)
{
    char weights[PATH_MAX], folder[PATH_MAX], dir[PATH_MAX], made[PATH_MAX], digest[65], path[PATH_MAX];
    PictureNet *net;
    Networks *n;
    const BenchData d = {.dir = dir, .split = "val2014"};
    const NetworkFolders folders = {.inception = weights, .features = folder};
    put_coco();
    inception_weights(weights, NULL);
    snprintf(dir, sizeof dir, "%s", test_dir());
    snprintf(made, sizeof made, "%s", golden_path("made"));
    snprintf(folder, sizeof folder, "%s", golden_path("features"));
    REQUIRE_OK(picture_net_open(&net, weights, NULL));
    REQUIRE_OK(picture_net_digest(net, digest));
    picture_net_close(&net);
    REQUIRE_OK(file_make_folders(folder));
    write_digest(file_join(path, folder, "inception-made.h5"), digest);
    write_digest(file_join(path, folder, "inception-goal.h5"), digest);
    REQUIRE_OK(network_files_open(&n, &folders, bench_named("coco"), &d, made));
    networks_close(&n);
    write_digest(path, "0123456789abcdef");
    CHECK_INT(network_files_open(&n, &folders, bench_named("coco"), &d, made), ERR_USAGE);
    CHECK(strstr(status_message(), "inception-goal.h5: was made by other weights than those of "));
    networks_close(&n);
}

/* ---------------------------------------------------------------- LPIPS */

static char weights_of_lpips[PATH_MAX];

static double distance_of(const Image *made, const Image *goal)
{
    Lpips *l;
    double distance;
    snprintf(weights_of_lpips, PATH_MAX, "%s", test_fixture("features/lpips/alex.safetensors"));
    REQUIRE_OK(lpips_open(&l, weights_of_lpips, DEVICE_AUTO));
    REQUIRE_OK(lpips_pair(l, made, goal, &distance));
    lpips_close(&l);
    return distance;
}

TEST(drawings_and_goals_of_vist_are_stretched_for_lpips)
{
    Image whole[2], stretched[2];
    REQUIRE_OK(file_make_folders(golden_path("made")));
    REQUIRE_OK(file_make_folders(golden_path("images")));
    FILE *f = fopen(golden_path("val.story-in-sequence.json"), "w");
    REQUIRE(f);
    for (int i = 0; i < 5; i++) {
        char name[32];
        fprintf(f, "%s[{\"story_id\": \"4\", \"text\": \"t\", \"photo_flickr_id\": \"%d\"}]", i ? "," : "{\"annotations\": [", i);
        snprintf(name, sizeof name, "images/%d.jpg", i);
        put_picture(name, "features/lpips/a.jpg");
    }
    fputs("]}", f);
    fclose(f);
    put_picture("made/4.png", "features/lpips/b.jpg");
    load(&whole[0], test_fixture("features/lpips/b.jpg"));
    load(&whole[1], test_fixture("features/lpips/a.jpg"));
    for (int i = 0; i < 2; i++)
        REQUIRE_OK(image_resize(&stretched[i], &whole[i], 256, 256, FILTER_BILINEAR));
    const double wanted = distance_of(&stretched[0], &stretched[1]), plain = distance_of(&whole[0], &whole[1]);
    const double found = score("vist", &(NetworkFolders){.lpips = weights_of_lpips}, "lpips");
    CHECK_MSG(fabs(found - wanted) <= 1e-6 * wanted, "LPIPS is %.9g, wanted %.9g", found, wanted); /* kept in f32 */
    CHECK(fabs(plain - wanted) > 1e-3 * wanted);
    for (int i = 0; i < 2; i++) {
        image_free(&whole[i]);
        image_free(&stretched[i]);
    }
}

TEST(edits_are_seen_at_their_goals_size)
{
    Image made, goal;
    REQUIRE_OK(file_make_folders(golden_path("made")));
    golden_write("test.jsonl", "{\"id\": 1, \"source\": \"goal.jpg\", \"target\": \"goal.jpg\", \"instruction\": \"i\"}\n");
    put_picture("goal.jpg", "features/lpips/a.jpg");
    put_picture("made/1.png", "features/lpips/b.jpg");
    load(&made, test_fixture("features/lpips/b.jpg"));
    load(&goal, test_fixture("features/lpips/a.jpg"));
    const double wanted = distance_of(&made, &goal), found = score("ma5k", &(NetworkFolders){.lpips = weights_of_lpips}, "lpips");
    CHECK_MSG(fabs(found - wanted) <= 1e-6 * wanted, "LPIPS is %.9g, wanted %.9g", found, wanted);
    /* Edits of others may be .jpg. */
    REQUIRE_OK(file_rename(golden_path("made/1.png"), golden_path("made/1.jpg")));
    CHECK(score("ma5k", &(NetworkFolders){.lpips = weights_of_lpips}, "lpips") == found);
    image_free(&made);
    image_free(&goal);
}

/* ---------------------------------------------------------------- signals */

static Status count(void *n, const char *name)
{
    (void)name;
    ++*(int *)n;
    return OK;
}

static int files_in(const char *name)
{
    int n = 0;
    REQUIRE_OK(file_list(golden_path(name), count, &n));
    return n;
}

static void no_stop(void) {}

TEST(a_signal_leaves_no_features_behind)
{
    Networks *n;
    char made[PATH_MAX], dir[PATH_MAX], folder[PATH_MAX];
    const Bench *b = bench_named("ma5k");
    REQUIRE_OK(file_make_folders(golden_path("made")));
    REQUIRE_OK(file_make_folders(golden_path("tmp")));
    golden_write("test.jsonl", "{\"id\": 1, \"source\": \"goal.jpg\", \"target\": \"goal.jpg\", \"instruction\": \"i\"}\n");
    put_picture("goal.jpg", "features/lpips/a.jpg");
    put_picture("made/1.png", "features/lpips/b.jpg");
    snprintf(made, sizeof made, "%s", golden_path("made"));
    snprintf(dir, sizeof dir, "%s", test_dir());
    snprintf(folder, sizeof folder, "%s", golden_path("tmp"));
    snprintf(weights_of_lpips, PATH_MAX, "%s", test_fixture("features/lpips/alex.safetensors"));
    const BenchData d = {.dir = dir, .split = b->split};
    const NetworkFolders folders = {.lpips = weights_of_lpips};
    REQUIRE(!setenv("TMPDIR", folder, 1));
    /* While signals end the process. */
    REQUIRE_OK(network_files_open(&n, &folders, b, &d, made));
    CHECK_INT(files_in("tmp"), 1);
    network_files_abandon();
    CHECK_INT(files_in("tmp"), 0);
    networks_close(&n);
    /* While they are noted. */
    signals_install(no_stop);
    signals_hold();
    REQUIRE(!raise(SIGTERM));
    CHECK_INT(network_files_open(&n, &folders, b, &d, made), ERR_PREEMPTED);
    CHECK_INT(files_in("tmp"), 0);
}
