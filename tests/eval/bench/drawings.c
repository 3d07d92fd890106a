/* eval/bench: which pictures COCO, VIST, MagicBrush and the manifests of edits ask for, and their scores by features of networks
 * (tests/oracle/bench_drawings.py wrote captions, features and numbers). */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "data/formats/file.h"
#include "data/formats/hdf5.h"
#include "eval/bench/commands.h"
#include "kernels/base/arena.h"
#include "tests/eval/bench/golden.h"

/* ---------------------------------------------------------------- what is asked for */

typedef struct Asked {
    char text[8192];
    size_t n;
    int64_t count;
} Asked;

/* "UNIT ID|NAME|PROMPT|IMAGES|FROM|GOAL|CAPTION\n", line breaks as "/" */
static Status note(void *arg, const BenchDrawing *q)
{
    Asked *a = arg;
    char line[2048];
    int n = snprintf(line, sizeof line, "%" PRId64 " %.*s|%s|%.*s|%s", q->unit, (int)q->id.n, q->id.s, q->name, (int)q->prompt.n,
                     q->prompt.s, q->edits ? "edit " : "");
    for (int i = 0; i < q->n_images; i++)
        n += snprintf(line + n, sizeof line - (size_t)n, "%s%s", i ? "," : "", q->images[i]);
    n += snprintf(line + n, sizeof line - (size_t)n, "|%s|%s|%.*s", q->from ? q->from : "", q->goal ? q->goal : "", (int)q->caption.n,
                  q->caption.s);
    for (char *c = line; *c; c++)
        *c = *c == '\n' ? '/' : *c;
    a->count++;
    if (a->n + (size_t)n + 2 < sizeof a->text)
        a->n += (size_t)snprintf(a->text + a->n, sizeof a->text - a->n, "%s\n", line);
    return OK;
}

static BenchData data(const char *bench) { return (BenchData){.dir = test_dir(), .split = bench_named(bench)->split}; }

static void check_asked(const char *bench, const BenchData *d, const char *wanted)
{
    static Asked a;
    a = (Asked){.n = 0};
    REQUIRE_OK(bench_drawings(bench_named(bench), d, note, &a));
    CHECK_STR(a.text, wanted);
}

static void refuse_asked(const char *bench, Status kind, const char *why)
{
    static Asked a;
    const BenchData d = data(bench);
    CHECK_INT(bench_drawings(bench_named(bench), &d, note, &a), kind);
    CHECK_MSG(strstr(status_message(), why), "says %s, wanted %s", status_message(), why);
}

static void cut_in_half(const char *name)
{
    char *bytes;
    size_t n;
    REQUIRE_OK(file_read(&bytes, &n, golden_path(name), 1 << 20));
    REQUIRE_OK(file_write(golden_path(name), bytes, n / 2));
    mem_free(bytes);
}

TEST(drawings_of_coco_are_of_a_caption_a_picture)
{
    static char wanted[8192];
    char *text, *line, *end;
    size_t n, at = 0;
    int64_t unit = 0;
    BenchData d = data("coco");
    golden_copy("drawings/coco");
    REQUIRE_OK(file_read(&text, &n, golden_path("asked.txt"), 1 << 20));
    for (line = text; (end = strchr(line, '\n')); line = end + 1) {
        char id[32], name[64], prompt[256], goal[256];
        REQUIRE(sscanf(line, "%31[^|]|%63[^|]|%255[^|]|%255[^\n]", id, name, prompt, goal) == 4);
        at += (size_t)snprintf(wanted + at, sizeof wanted - at, "%" PRId64 " %s|%s|%s|||%s|%s\n", unit++, id, name, prompt, goal, prompt);
    }
    CHECK_INT(unit, 7);
    mem_free(text);
    check_asked("coco", &d, wanted);
    /* The first ones alone; the file where COCO's own folder has it. */
    d.limit = 2;
    strchr(strchr(wanted, '\n') + 1, '\n')[1] = 0;
    REQUIRE_OK(file_make_folders(golden_path("annotations")));
    REQUIRE_OK(file_rename(golden_path("captions_val2014.json"), golden_path("annotations/captions_val2014.json")));
    check_asked("coco", &d, wanted);
    cut_in_half("annotations/captions_val2014.json");
    refuse_asked("coco", ERR_DATA, "annotations/captions_val2014.json:1:");
}

TEST(drawings_of_coco_of_a_list_of_ones_own)
{
    BenchData d = data("coco");
    golden_write("captions_val2014.jsonl", "{\"image_id\": 7, \"caption_id\": 70, \"caption\": \" b \"}\n"
                                           "{\"image_id\": 3, \"caption_id\": 30, \"caption\": \"a\"}\n");
    check_asked("coco", &d,
                "0 70|7.png|b|||val2014/COCO_val2014_000000000007.jpg|b\n1 30|3.png|a|||val2014/COCO_val2014_000000000003.jpg|a\n");
    d.split = "val2017";
    golden_write("captions_val2017.jsonl", "{\"image_id\": 7, \"caption_id\": 70, \"caption\": \"b\"}\n");
    check_asked("coco", &d, "0 70|7.png|b|||val2017/000000000007.jpg|b\n");
    golden_write("captions_val2014.jsonl", "{\"image_id\": 7, \"caption\": \"b\"}\n");
    refuse_asked("coco", ERR_DATA, "captions_val2014.jsonl:1:1: \"caption_id\" is absent");
    golden_write("captions_val2014.jsonl", "{\"image_id\": -7, \"caption_id\": 1, \"caption\": \"b\"}\n");
    refuse_asked("coco", ERR_DATA, "captions_val2014.jsonl:1: \"image_id\" is -7");
    REQUIRE_OK(file_remove(golden_path("captions_val2014.jsonl")));
    refuse_asked("coco", ERR_MISSING, "annotations/captions_val2014.json");
}

TEST(drawings_of_coco_are_thirty_thousand)
{
    static Asked a;
    const BenchData d = data("coco");
    FILE *f = fopen(golden_path("captions_val2014.json"), "w");
    REQUIRE(f);
    for (int i = 0; i < 30050; i++)
        fprintf(f, "%s{\"image_id\": %d, \"id\": %d, \"caption\": \"c\"}", i ? "," : "{\"annotations\": [", i, 7 * i);
    fputs("]}", f);
    fclose(f);
    REQUIRE_OK(bench_drawings(bench_named("coco"), &d, note, &a));
    CHECK_INT(a.count, 30000);
}

static void make_photos(void)
{
    static const char *const PHOTOS[] = {"0.jpg", "1.jpg", "2.jpg", "3.jpg", "900.png", "100.jpg", "101.jpg", "103.jpg", "104.jpg",
                                         "200.jpg", "201.gif", "202.jpg", "203.jpg", "300.jpg", "301.jpg", "302.webp", "303.jpeg"};
    char name[64];
    REQUIRE_OK(file_make_folders(golden_path("images/val")));
    for (size_t i = 0; i < sizeof PHOTOS / sizeof *PHOTOS; i++) {
        snprintf(name, sizeof name, "images/%s", PHOTOS[i]);
        golden_write(name, "");
    }
    golden_write("images/val/204.jpg", "");
}

TEST(drawings_of_vist_end_a_story)
{
    BenchData d = data("vist");
    golden_copy("drawings/vist");
    make_photos();
    check_asked("vist", &d,
                "0 4500|4500.png|story 0 , scene 0 ./<image>/story 0 , scene 1 ./<image>/story 0 , scene 2 ./<image>/story 0 , scene 3 "
                "./<image>/story 0 , scene 4 .|images/0.jpg,images/1.jpg,images/2.jpg,images/3.jpg||images/900.png|\n"
                "1 4502|4502.png|story 2 , scene 0 ./<image>/story 2 , scene 1 ./<image>/story 2 , scene 2 ./<image>/story 2 , scene 3 "
                "./<image>/story 2 , scene 4 .|images/200.jpg,images/201.gif,images/202.jpg,images/203.jpg||images/val/204.jpg|\n"
                "2 4503|4503.png|story 3 , scene 0 ./<image>/story 3 , scene 1 ./<image>/story 3 , scene 2 ./<image>/story 3 , scene 3 "
                "./<image>/story 3 , scene 4 .|images/300.jpg,images/301.jpg,images/302.webp,images/303.jpeg||images/900.png|\n");
    d.context = CONTEXT_CAPTIONS;
    d.limit = 1;
    check_asked(
        "vist", &d,
        "0 4500|4500.png|story 0 , scene 0 ./story 0 , scene 1 ./story 0 , scene 2 ./story 0 , scene 3 ./story 0 , scene 4 .|||"
        "images/900.png|\n");
    d = data("vist");
    d.context = CONTEXT_NONE;
    d.gill_compat = true;
    check_asked("vist", &d, "0 4500|900.png|story 0 , scene 4 .|||images/900.png|\n"
                            "1 4502|204.png|story 2 , scene 4 .|||images/val/204.jpg|\n"
                            "2 4503|900.png|story 3 , scene 4 .|||images/900.png|\n");
    cut_in_half("val.story-in-sequence.json");
    refuse_asked("vist", ERR_DATA, "val.story-in-sequence.json:1:");
    golden_write("val.story-in-sequence.json", "{\"annotations\": [[{\"story_id\": \"1\", \"text\": \"t\", \"photo_flickr_id\": \"2\"}]]}");
    refuse_asked("vist", ERR_DATA, "val.story-in-sequence.json:1: the story \"1\" has 1 pictures, expected 5");
    golden_write("val.story-in-sequence.json", "{\"annotations\": [[1, 2]]}");
    refuse_asked("vist", ERR_DATA, "is an array, expected a list of one object");
    golden_write("val.story-in-sequence.json", "{\"annotations\": [[{\"story_id\": \"1\", \"text\": \"t\"}]]}");
    refuse_asked("vist", ERR_DATA, "\"photo_flickr_id\" is absent");
    golden_write("val.story-in-sequence.json", "{\"annotations\": []}");
    refuse_asked("vist", ERR_DATA, "hold no question of split val");
}

TEST(drawings_of_magicbrush_go_on_from_the_authors_picture_and_from_our_own)
{
    BenchData d = data("magicbrush");
    static const char SESSIONS[] =
        "{\"77\": [{\"input\": \"77-input.png\", \"output\": \"77-output1.png\", \"instruction\": \"one\"},\n"
        "{\"input\": \"77-output1.png\", \"output\": \"77-output2.png\", \"instruction\": \"two\"},\n"
        "{\"input\": \"77-output2.png\", \"output\": \"77-output3.png\", \"instruction\": \"three\"}],\n"
        "\"12\": [{\"input\": \"12-input.png\", \"output\": \"12-output1.png\", \"instruction\": \"only\"}]}";
    static const char WANTED[] = "0 77_1|77/77_1.png|one|edit images/77/77-input.png||images/77/77-output1.png|a\n"
                                 "0 77_inde_2|77/77_inde_2.png|two|edit images/77/77-output1.png||images/77/77-output2.png|\n"
                                 "0 77_iter_2|77/77_iter_2.png|two|edit images/77/77-output1.png|77/77_1.png|images/77/77-output2.png|\n"
                                 "0 77_inde_3|77/77_inde_3.png|three|edit images/77/77-output2.png||images/77/77-output3.png|\n"
                                 "0 77_iter_3|77/77_iter_3.png|three|edit images/77/77-output2.png|77/77_iter_2.png|"
                                 "images/77/77-output3.png|\n"
                                 "1 12_1|12/12_1.png|only|edit images/12/12-input.png||images/12/12-output1.png|b\n";
    refuse_asked("magicbrush", ERR_MISSING, "there is no edit_sessions.json");
    golden_write("edit_sessions.json", SESSIONS);
    golden_write("global_descriptions.json", "{\"77\": {\"77-output1.png\": \"not this\"}}");
    golden_write("local_descriptions.json", "{\"77\": {\"77-output1.png\": \"a\"}, \"12\": {\"12-output1.png\": \"b\"}}");
    REQUIRE_OK(file_make_folders(golden_path("images")));
    check_asked("magicbrush", &d, WANTED);
    /* The folder of pictures itself is fine too. */
    static char wanted[sizeof WANTED];
    size_t n = 0;
    for (const char *c = WANTED; *c;)
        if (!strncmp(c, "images/", 7))
            c += 7;
        else
            wanted[n++] = *c++;
    d.dir = golden_path("images");
    check_asked("magicbrush", &d, wanted);
    d.dir = golden_path("images//");
    check_asked("magicbrush", &d, wanted);
    d = data("magicbrush");
    cut_in_half("edit_sessions.json");
    refuse_asked("magicbrush", ERR_DATA, "edit_sessions.json:3:");
    golden_write("edit_sessions.json", "{\"77\": []}");
    refuse_asked("magicbrush", ERR_DATA, "edit_sessions.json:1:8: \"77\" is an array, expected a list of at least one turn");
    golden_write("edit_sessions.json", "{\"..\": [{\"input\": \"a\", \"output\": \"b\", \"instruction\": \"c\"}]}");
    refuse_asked("magicbrush", ERR_DATA, "a drawing would be called \"../.._1.png\", which leads out of the folder");
}

TEST(drawings_of_a_manifest_are_edits)
{
    BenchData d = data("evr");
    golden_write("test.jsonl", "{\"id\": 3, \"source\": \"s.png\", \"target\": \"t.png\", \"instruction\": \"brighter\"}\n"
                               "{\"id\": \"x/y\", \"source\": \"s2.png\", \"target\": \"t2.png\", \"instruction\": \"darker\", "
                               "\"caption\": \"dark\"}\n");
    check_asked("evr", &d, "0 3|3.png|brighter|edit s.png||t.png|\n1 x/y|x/y.png|darker|edit s2.png||t2.png|dark\n");
    golden_write("test.jsonl", "{\"id\": \"/tmp/x\", \"source\": \"s.png\", \"target\": \"t.png\", \"instruction\": \"brighter\"}\n");
    refuse_asked("gier", ERR_DATA, "which leads out of the folder of drawings");
    golden_write("test.jsonl", "{\"id\": \"x\", \"source\": \"s.png\", \"target\": \"t.png\"}\n");
    refuse_asked("ma5k", ERR_DATA, "\"instruction\" is absent");
}

/* ---------------------------------------------------------------- scores */

static char reference_path[PATH_MAX];
static const char *reference;

static void set_reference(const char *name)
{
    snprintf(reference_path, sizeof reference_path, "%s", name ? golden_path(name) : "");
    reference = name ? reference_path : NULL;
}

/* made: the folder of drawings. */
static Status score(Scores *s, const char *bench, const BenchData *d, const char *made, bool allow_missing)
{
    Networks *n;
    Status status = networks_open(&n, golden_path("features"), reference, false);
    *s = (Scores){.n = 0};
    if (!status)
        status = bench_score_drawings(s, bench_named(bench), d, made, n, allow_missing);
    networks_close(&n);
    return status;
}

static void check_scores(const char *bench, const BenchData *d, const char *made, const char *wanted, int64_t n, int64_t n_missing)
{
    char key[64];
    double value;
    int i = 0;
    Scores s;
    REQUIRE_OK(score(&s, bench, d, made, true));
    FILE *f = fopen(golden_path(wanted), "r");
    REQUIRE(f);
    for (; fscanf(f, "%63s %lf", key, &value) == 2; i++) {
        REQUIRE(i < s.n_scores);
        CHECK_STR(s.score[i].key, key);
        CHECK_MSG(fabs(s.score[i].value - value) <= 1e-9 * fmax(1, value), "%s is %.17g, wanted %.17g", key, s.score[i].value, value);
    }
    CHECK_INT(s.n_scores, i);
    CHECK_INT(s.n, n);
    CHECK_INT(s.n_missing, n_missing);
    fclose(f);
    scores_free(&s);
}

static void refuse_scores(const char *bench, const BenchData *d, const char *made, Status kind, const char *why)
{
    Scores s;
    CHECK_INT(score(&s, bench, d, made, true), kind);
    CHECK_MSG(strstr(status_message(), why), "says %s, wanted %s", status_message(), why);
    scores_free(&s);
}

/* Drawings that are only looked for. */
static void make_drawings(const char *const *names)
{
    char name[64];
    REQUIRE_OK(file_make_folders(golden_path("made")));
    for (; *names; names++) {
        snprintf(name, sizeof name, "made/%s.png", *names);
        golden_write(name, "");
    }
}

static void coco_world(void)
{
    golden_copy("drawings/coco");
    make_drawings((const char *const[]){"9", "391895", "184613", "522418", "25", "574769", NULL});
    set_reference(NULL);
}

TEST(drawings_of_coco_score)
{
    const BenchData d = data("coco");
    Scores s;
    coco_world();
    check_scores("coco", &d, golden_path("made"), "scores.txt", 7, 1);
    CHECK_INT(score(&s, "coco", &d, golden_path("made"), false), ERR_DATA);
    CHECK(strstr(status_message(), "1 of 7 pictures are missing, which is more than 1 %; --allow-missing"));
    scores_free(&s);
    set_reference("reference.npy");
    check_scores("coco", &d, golden_path("made"), "scores_reference.txt", 7, 1);
    coco_world();
    golden_write("made/30.png", "");
    refuse_scores("coco", &d, golden_path("made"), ERR_DATA, "clip-made.h5: has no row \"30\", for the drawing 30.png");
    REQUIRE_OK(file_remove(golden_path("features/clip-made.h5")));
    refuse_scores("coco", &d, golden_path("made"), ERR_DATA, "inception-made.npy has 6 rows, and there are 7 drawings");
    REQUIRE_OK(file_remove(golden_path("features/inception-made.npy")));
    REQUIRE_OK(score(&s, "coco", &d, golden_path("made"), true));
    CHECK_INT(s.n_scores, 0);
    scores_free(&s);
    set_reference("none.npy");
    REQUIRE_OK(file_copy(golden_path("features/inception-goal.npz"), golden_path("features/inception-made.npz")));
    refuse_scores("coco", &d, golden_path("made"), ERR_MISSING, "none.npy");
    set_reference(NULL);
    REQUIRE_OK(file_remove(golden_path("features")));
    refuse_scores("coco", &d, golden_path("made"), ERR_MISSING, "--features");
}

TEST(drawings_of_coco_score_up_to_a_limit)
{
    BenchData d = data("coco");
    Scores s;
    coco_world();
    d.limit = 3;
    REQUIRE_OK(file_remove(golden_path("features/inception-goal.npz")));
    REQUIRE_OK(score(&s, "coco", &d, golden_path("made"), false));
    CHECK_INT(s.n, 3);
    CHECK_INT(s.n_missing, 0);
    scores_free(&s);
}

/* Features of two numbers, of a network whose weights have this digest. */
static void write_features(const char *name, const char *network)
{
    static const char *const NAMES[] = {"4500", "4502", "4503"};
    static const float FEATURES[] = {1, 2, 3, 4, 5, 6};
    HdfFile *f;
    HdfRows rows;
    REQUIRE_OK(file_remove(golden_path(name)));
    REQUIRE_OK(hdf_create(&f, golden_path(name), 0));
    REQUIRE_OK(hdf_set_text(f, "/", "weights_sha256", network));
    REQUIRE_OK(hdf_write_texts(f, "/name", NAMES, 3));
    REQUIRE_OK(hdf_rows_create(f, &rows, "/feat", 3, 2));
    REQUIRE_OK(hdf_rows_write(f, &rows, 0, 3, FEATURES));
    REQUIRE_OK(hdf_close(&f));
}

TEST(drawings_of_vist_score)
{
    BenchData d = data("vist");
    Scores s;
    golden_copy("drawings/vist");
    make_photos();
    make_drawings((const char *const[]){"4500", "4502", "4503", NULL});
    check_scores("vist", &d, golden_path("made"), "scores.txt", 3, 0);
    REQUIRE_OK(file_remove(golden_path("features/clip-made.txt")));
    refuse_scores("vist", &d, golden_path("made"), ERR_DATA, "clip-made.npy: its rows have no names");
    golden_copy("drawings/vist");
    golden_write("features/clip-made.txt", "4500\n4500\n4503\n");
    refuse_scores("vist", &d, golden_path("made"), ERR_DATA, "clip-made.npy: two rows have the name \"4500\"");
    golden_copy("drawings/vist");
    REQUIRE_OK(file_copy(golden_path("features/clip-goal.h5"), golden_path("features/lpips.h5")));
    refuse_scores("vist", &d, golden_path("made"), ERR_DATA, "lpips.h5 has 6 numbers a row, expected one");
    golden_copy("drawings/vist");
    REQUIRE_OK(file_copy(golden_path("features/lpips.h5"), golden_path("features/clip-goal.h5")));
    refuse_scores("vist", &d, golden_path("made"), ERR_DATA, "6 features a row");
    golden_copy("drawings/vist");
    REQUIRE_OK(file_remove(golden_path("features/clip-made.npy")));
    write_features("features/clip-made.h5", "aaaa");
    write_features("features/clip-goal.h5", "bbbb");
    refuse_scores("vist", &d, golden_path("made"), ERR_DATA, "are of different networks (weights_sha256 aaaa… and bbbb…)");
    write_features("features/clip-goal.h5", "aaaa");
    REQUIRE_OK(score(&s, "vist", &d, golden_path("made"), false));
    scores_free(&s);
    /* Named as GILL names them, two stories are scored by the one drawing that is left of theirs. */
    golden_copy("drawings/vist");
    make_drawings((const char *const[]){"900", "204", NULL});
    REQUIRE_OK(file_remove(golden_path("features/clip-goal.h5")));
    REQUIRE_OK(file_remove(golden_path("features/lpips.h5")));
    d.gill_compat = true;
    REQUIRE_OK(score(&s, "vist", &d, golden_path("made"), false));
    CHECK_INT(s.n, 3);
    CHECK_INT(s.n_missing, 0);
    scores_free(&s);
}

TEST(drawings_of_magicbrush_score_by_networks)
{
    BenchData d = data("magicbrush");
    char pictures[PATH_MAX];
    golden_copy("drawings/magicbrush");
    snprintf(pictures, sizeof pictures, "%s", test_fixture("metrics/magicbrush/goals"));
    d.dir = pictures;
    check_scores("magicbrush", &d, test_fixture("metrics/magicbrush/edits"), "scores.txt", 15, 0);
    cut_in_half("features/clip-goal.h5");
    refuse_scores("magicbrush", &d, test_fixture("metrics/magicbrush/edits"), ERR_DATA, "clip-goal.h5");
}

TEST(drawings_of_magicbrush_up_to_a_limit)
{
    BenchData d = data("magicbrush");
    Scores s;
    golden_copy("metrics/magicbrush");
    d.dir = golden_path("goals");
    d.limit = 2;
    REQUIRE_OK(file_remove(golden_path("edits/99")));
    REQUIRE_OK(bench_score_drawings(&s, bench_named("magicbrush"), &d, golden_path("edits"), NULL, false));
    CHECK_INT(s.n, 13);
    scores_free(&s);
    d.limit = 3;
    CHECK_INT(bench_score_drawings(&s, bench_named("magicbrush"), &d, golden_path("edits"), NULL, false), ERR_DATA);
    scores_free(&s);
}

TEST(drawings_of_a_manifest_score_by_networks)
{
    BenchData d = data("gier");
    char pictures[PATH_MAX];
    golden_copy("drawings/edits");
    snprintf(pictures, sizeof pictures, "%s", test_fixture("metrics/edits/data"));
    d.dir = pictures;
    check_scores("gier", &d, test_fixture("metrics/edits/made"), "scores.txt", 5, 1);
    Scores s;
    d.limit = 3;
    REQUIRE_OK(score(&s, "gier", &d, test_fixture("metrics/edits/made"), false));
    CHECK_INT(s.n, 3);
    scores_free(&s);
}
