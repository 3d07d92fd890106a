/* prepare: which rows are left out and why; the same bytes whatever the jobs, kills and repairs; what makes shards stale. */
#include "data/prepare.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "data/loader.h"
#include "data/shard.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "kernels/base/philox.h"
#include "tests/harness.h"

/* ---------------------------------------------------------------- a small world of rows and pictures */

static const char *in(const char *name)
{
    static char path[8][1200];
    static int next;
    next = (next + 1) % 8;
    snprintf(path[next], sizeof path[next], "%s/%s", test_dir(), name);
    return path[next];
}

static void put(const char *name, const char *text, size_t n)
{
    FILE *f = fopen(in(name), "w");
    REQUIRE(f && fwrite(text, 1, n, f) == n && !fclose(f));
}
static void put_text(const char *name, const char *text) { put(name, text, strlen(text)); }

static void copy_picture(const char *fixture, const char *name, size_t most)
{
    char *bytes;
    size_t n;
    char from[256];
    snprintf(from, sizeof from, "tests/fixtures/images/%s", fixture);
    REQUIRE_OK(file_read(&bytes, &n, from, 1 << 24));
    put(name, bytes, n < most ? n : most);
    mem_free(bytes);
}

typedef struct World {
    Mixture mixture;
    PrepareOptions o;
    char out[400];
} World;

static void open_world(World *w, const char *sources, const char *out)
{
    *w = (World){0};
    log_set(LOG_QUIET, false);
    REQUIRE_OK(mixture_load(&w->mixture, NULL, sources, test_dir()));
    snprintf(w->out, sizeof w->out, "%s", in(out));
    w->o = (PrepareOptions){.mixture = &w->mixture,
                            .encoder = {.chat = CHAT_MISTRAL_INSTRUCT, .vocab_size = 1000, .task_text = {"[I2T]", "[T2I]", "[I2I]"},
                                        .n_visual = 4, .max_tokens = 400, .patches = 4},
                            .tokenizer_path = "tests/fixtures/vocabulary/tokenizer.model",
                            .vision_folder = "tests/fixtures/parity/bases/vision-only",
                            .pad = true,
                            .shard_samples = 4,
                            .out = w->out,
                            .jobs = 2};
}

static void close_world(World *w) { mixture_free(&w->mixture); }

#define TURNS(q, a) "\"conversations\":[{\"from\":\"human\",\"value\":\"" q "\"},{\"from\":\"gpt\",\"value\":\"" a "\"}]"
#define SEEN(id, file) "{\"id\":\"" id "\",\"image\":\"" file "\"," TURNS("<image>\\nWhat is it?", "A picture.") "}"

static void make_quirks(void)
{
    mkdir(in("images"), 0777);
    mkdir(in("elsewhere"), 0777);
    copy_picture("rgb.jpg", "images/good.jpg", SIZE_MAX);
    copy_picture("rgb.jpg", "images/again.jpg", SIZE_MAX); /* the same bytes under another name */
    copy_picture("plain.gif", "images/gif.jpg", SIZE_MAX); /* named after what it is not */
    copy_picture("rgb.png", "images/renamed.PnG", SIZE_MAX);
    copy_picture("exif6.jpg", "images/turned.jpg", SIZE_MAX);
    copy_picture("rgb.jpg", "images/half.jpg", 300);
    copy_picture("rgb.jpg", "elsewhere/secret.jpg", SIZE_MAX);
    put("images/empty.jpg", "", 0);
    put_text("images/words.jpg", "this is no picture");
    REQUIRE(!symlink("../elsewhere/secret.jpg", in("images/link.jpg")) && !symlink("good.jpg", in("images/inside.jpg")));
    put_text("rows.json",
             "[" SEEN("0", "good.jpg") ",\n" SEEN("1", "gif.jpg") "," SEEN("2", "renamed.jpg") "," SEEN("3", "again.jpg") ","
             SEEN("4", "gone.jpg") "," SEEN("5", "empty.jpg") "," SEEN("6", "words.jpg") "," SEEN("7", "half.jpg") ","
             SEEN("8", "link.jpg") "," SEEN("9", "../elsewhere/secret.jpg") "," SEEN("10", "/etc/passwd") "," SEEN("11", "inside.jpg") ","
             "{\"id\":12,\"image\":[\"good.jpg\",\"turned.jpg\"]," TURNS("<image><image>Compare", "Alike.") ",\"bbox\":[1]},"
             "{\"id\":\"13\"," TURNS("Hello", "Hi") "},"
             "{\"id\":\"13\"," TURNS("Hello again", "Hi") "}," /* a repeated id in an array is fine */
             "{\"id\":\"15\"," TURNS("Hello", "") "},"
             "{\"id\":\"16\",\"image\":\"good.jpg\"," TURNS("No marker", "x") "},"
             "{\"id\":\"17\"," TURNS("<image>\\nNo image", "x") "},"
             "{\"id\":\"18\",\"conversations\":[]},"
             SEEN("19", "gone.jpg") "]");
    put_text("rows.jsonl", "{\"uid\":\"a\",\"task\":\"understand\",\"turns\":[{\"from\":\"human\",\"value\":\"Q\"},{\"from\":\"gpt\",\"value\":\"A\"}]}\n"
                           "{\"uid\":\"a\",\"task\":\"understand\",\"turns\":[{\"from\":\"human\",\"value\":\"Q\"},{\"from\":\"gpt\",\"value\":\"B\"}]}\n"
                           "not json\n"
                           "{\"uid\":\"d\",\"task\":\"generate\",\"images\":[{\"path\":\"good.jpg\",\"role\":\"target\"}],\"turns\":[{\"from\":"
                           "\"human\",\"value\":\"Draw\"},{\"from\":\"gpt\",\"value\":\"<gen>\"}],\"sd\":{\"prompt\":\"a thing\"},\"weight\":0.5}\n");
}

static const char SOURCES[] = "[{\"name\":\"legacy\",\"files\":[\"rows.json\"],\"image_root\":\"images\"},"
                              "{\"name\":\"unified\",\"files\":[\"rows.jsonl\"],\"image_root\":\"images\"}]";

static void quirks(World *w, const char *out)
{
    make_quirks();
    open_world(w, SOURCES, out);
}

TEST(prepare_leaves_out_what_cannot_be_used_and_says_why)
{
    World w;
    quirks(&w, "out");
    const char *report = in("report.json");
    w.o.report = report;
    PrepareResult r;
    REQUIRE_OK(prepare_run(&w.o, &r));
    CHECK(r.good == 10 && r.bad == 14 && r.shards == 3);
    static const struct {
        int row;
        const char *file, *id, *path, *reason;
    } WANTED[] = {
        {4, "rows.json", "4", "gone.jpg", "missing"},
        {5, "rows.json", "5", "empty.jpg", "corrupt"},
        {6, "rows.json", "6", "words.jpg", "corrupt"},
        {7, "rows.json", "7", "half.jpg", "truncated"},
        {8, "rows.json", "8", "link.jpg", "outside_root"},
        {9, "rows.json", "9", "../elsewhere/secret.jpg", "outside_root"},
        {10, "rows.json", "10", "/etc/passwd", "outside_root"},
        {15, "rows.json", "15", "", "no_trained_tokens"},
        {16, "rows.json", "16", "", "marker_mismatch"},
        {17, "rows.json", "17", "", "marker_mismatch"},
        {18, "rows.json", "18", "", "bad_turns"},
        {19, "rows.json", "19", "gone.jpg", "missing"},
        {1, "rows.jsonl", "a", "", "dup"},
        {2, "rows.jsonl", "", "", "bad_json"},
    };
    JsonDoc *doc;
    REQUIRE_OK(json_read_file(&doc, report));
    const Json *root = json_root(doc), *row = json_get(root, "bad_rows")->child;
    CHECK_STR(json_get(root, "schema")->string, "genllava.report/1");
    CHECK_INT(json_get(root, "good")->integer, 10);
    for (size_t i = 0; i < sizeof WANTED / sizeof *WANTED; i++, row = row->next) {
        REQUIRE(row != NULL);
        CHECK_INT(json_get(row, "row")->integer, WANTED[i].row);
        CHECK_STR(json_get(row, "file")->string, in(WANTED[i].file));
        CHECK_STR(json_get(row, "path")->string, WANTED[i].path);
        CHECK_STR(json_get(row, "reason")->string, WANTED[i].reason);
        CHECK(json_get(row, "message")->length > 5);
        if (strcmp(WANTED[i].reason, "dup"))
            CHECK_STR(json_get(row, "id")->string, WANTED[i].id);
    }
    CHECK(row == NULL);
    json_free(&doc);
    close_world(&w);
}

TEST(prepare_takes_paths_that_come_back_into_the_root)
{
    mkdir(in("images"), 0777);
    mkdir(in("images/sub"), 0777);
    mkdir(in("elsewhere"), 0777);
    copy_picture("rgb.jpg", "images/good.jpg", SIZE_MAX);
    copy_picture("rgb.jpg", "elsewhere/secret.jpg", SIZE_MAX);
    REQUIRE(!symlink("../elsewhere", in("images/away")));
    put_text("rows.json", "[" SEEN("0", "sub/../good.jpg") "," SEEN("1", "./sub/.././/good.jpg") "," SEEN("2", "none/../good.jpg") ","
                          SEEN("3", "sub/../../elsewhere/secret.jpg") "," SEEN("4", "./../images/good.jpg") ","
                          SEEN("5", "away/../elsewhere/secret.jpg") "," SEEN("6", "sub/..") "]");
    World w;
    open_world(&w, "[{\"name\":\"legacy\",\"files\":[\"rows.json\"],\"image_root\":\"images\"}]", "out");
    const char *report = in("report.json");
    w.o.report = report;
    PrepareResult r;
    REQUIRE_OK(prepare_run(&w.o, &r));
    CHECK_INT(r.good, 2);
    static const char *const WANTED[] = {"missing", "outside_root", "outside_root", "outside_root", "missing"};
    JsonDoc *doc;
    REQUIRE_OK(json_read_file(&doc, report));
    const Json *row = json_get(json_root(doc), "bad_rows")->child;
    for (int i = 0; i < 5; i++, row = row->next) {
        REQUIRE(row != NULL);
        CHECK_INT(json_get(row, "row")->integer, i + 2);
        CHECK_STR(json_get(row, "reason")->string, WANTED[i]);
    }
    json_free(&doc);
    close_world(&w);
}

TEST(prepare_stores_each_picture_once_and_numbers_records_in_file_order)
{
    World w;
    quirks(&w, "out");
    PrepareResult r;
    REQUIRE_OK(prepare_run(&w.o, &r));
    static const uint32_t RECORDS[] = {0, 1, 2, 3, 11, 12, 13, 14, 20, 23};
    static const uint32_t IMAGES[] = {3, 2, 1}; /* good = again, gif, png | good = inside, turned | good */
    int64_t at = 0;
    for (int k = 0; k < 3; k++) {
        char name[64];
        snprintf(name, sizeof name, "out/shard-%05d-of-00003.h5", k);
        Shard *s;
        REQUIRE_OK(shard_open(&s, in(name)));
        CHECK_INT(s->attr.n_images, IMAGES[k]);
        for (int64_t i = 0; i < s->attr.n_samples; i++)
            CHECK_INT(s->record[i], RECORDS[at++]);
        if (k == 0) {
            CHECK(s->ref_image[0] == 0 && s->ref_image[1] == 1 && s->ref_image[2] == 2 && s->ref_image[3] == 0);
            CHECK(s->image_fmt[0] == IMAGE_JPEG && s->image_fmt[1] == IMAGE_GIF && s->image_fmt[2] == IMAGE_PNG);
            char *text, *bytes, path[300];
            size_t n, m;
            REQUIRE_OK(shard_text(s, 1, &text, &n));
            CHECK(n == strlen(SEEN("1", "gif.jpg")) && !memcmp(text, SEEN("1", "gif.jpg"), n));
            snprintf(path, sizeof path, "%s", in("images/gif.jpg"));
            REQUIRE_OK(file_read(&bytes, &m, path, 1 << 20));
            uint8_t *stored = mem_alloc(m);
            CHECK(s->image_off[2] - s->image_off[1] == m && !shard_image(s, 1, stored) && !memcmp(stored, bytes, m));
            mem_free(text);
            mem_free(bytes);
            mem_free(stored);
        } else if (k == 1) {
            CHECK(s->img_off[2] == 3 && s->ref_image[2] == 1 && s->image_orient[1] == 6 && s->image_wh[1][0] > 0);
        } else {
            CHECK(s->task[1] == TASK_GENERATE && s->weight[1] == 0.5f && s->ref_role[0] == ROLE_TARGET && s->flags[1] == FLAG_HAS_TARGET);
        }
        shard_close(&s);
    }
    CHECK_INT(at, 10);
    close_world(&w);
}

#define DRAWN(id, n_images, answers) "{\"prov\":{\"license\":\"cc-" id "\"},\"schema\":\"genllava.sample/1\",\"uid\":\"" id "\",\"task\":\"edit\",\"sd\":{\"prompt\":\"x\"},\"images\":" n_images ",\"turns\":" answers "}\n"
#define TURN(from, value) "{\"from\":\"" from "\",\"value\":\"" value "\"}"
#define PICTURE(file, role) "{\"path\":\"" file "\",\"role\":\"" role "\"}"

/* Rows of two rounds, with an input, a target and a mask each; the second round of the first row is too long. */
TEST(prepare_drops_the_pictures_of_rounds_that_were_cut)
{
    static const char ALL[] = "[" PICTURE("a.png", "input") "," PICTURE("b.png", "target") "," PICTURE("c.png", "mask") "," PICTURE("d.png", "input") ","
                              PICTURE("e.png", "target") "," PICTURE("f.png", "mask") "]";
    char rows[4096], longer[401] = "";
    memset(longer, 'x', sizeof longer - 1);
    int n = 0;
    for (int i = 0; i < 2; i++)
        n += snprintf(rows + n, sizeof rows - (size_t)n, DRAWN("u%d", "%s", "[" TURN("human", "<image>\\nred") "," TURN("gpt", "<gen>") ","
                      TURN("human", "<image>%s") "," TURN("gpt", "<gen>") "]"), 1 - i, i, ALL, i ? "" : longer);
    put_text("drawn.jsonl", rows);
    mkdir(in("images"), 0777);
    for (const char *c = "abcdef"; *c; c++) {
        char name[64], bytes[] = {*c};
        snprintf(name, sizeof name, "images/%c.png", *c);
        copy_picture("rgb.png", name, SIZE_MAX);
        FILE *f = fopen(in(name), "a"); /* so that no two are the same picture */
        REQUIRE(f && fwrite(bytes, 1, 1, f) == 1 && !fclose(f));
    }
    World w;
    open_world(&w, "[{\"name\":\"drawn\",\"files\":[\"drawn.jsonl\"],\"image_root\":\"images\"}]", "out");
    w.o.encoder.max_tokens = 100;
    PrepareResult r;
    REQUIRE_OK(prepare_run(&w.o, &r));
    Shard *s;
    REQUIRE_OK(shard_open(&s, in("out/shard-00000-of-00001.h5")));
    static const uint8_t ROLES[] = {ROLE_INPUT, ROLE_TARGET, ROLE_MASK, ROLE_INPUT, ROLE_TARGET, ROLE_MASK, ROLE_INPUT, ROLE_TARGET, ROLE_MASK};
    CHECK_STR(s->attr.licenses, "[\"cc-u0\",\"cc-u1\"]");
    CHECK_INT(s->img_off[1], 3);
    CHECK_INT(s->img_off[2], 9);
    CHECK(!memcmp(s->ref_role, ROLES, sizeof ROLES));
    for (int i = 0; i < 9; i++)
        CHECK_INT(s->ref_image[i], i < 3 ? i : i - 3);
    shard_close(&s);
    close_world(&w);
}

/* ---------------------------------------------------------------- the same bytes */

/* A world of n text and picture rows, enough that a preparation takes a while. */
static void many(World *w, const char *out, int n)
{
    mkdir(in("images"), 0777);
    static const char *const PICTURES[] = {"rgb.jpg", "progressive.jpg", "rgb.png", "lossy.webp", "sub2.jpg"};
    for (int i = 0; i < 5; i++) {
        char name[64];
        snprintf(name, sizeof name, "images/p%d.jpg", i);
        copy_picture(PICTURES[i], name, SIZE_MAX);
    }
    FILE *f = fopen(in("many.json"), "w");
    REQUIRE(f != NULL);
    fputs("[", f);
    for (int i = 0; i < n; i++) {
        fprintf(f, "%s{\"id\":%d,", i ? "," : "", i);
        if (i % 3)
            fprintf(f, "\"image\":\"p%d.jpg\",", i % 7); /* p5 and p6 are missing */
        fprintf(f, TURNS("%sQuestion %d?", "Answer %d.") "}", i % 3 ? "<image>\\n" : "", i, i * i);
    }
    fputs("]", f);
    REQUIRE(!fclose(f));
    open_world(w, "[{\"name\":\"many\",\"files\":[\"many.json\"],\"image_root\":\"images\"}]", out);
    w->o.shard_samples = 16;
}

static void same_file(const char *a, const char *b)
{
    char *x, *y;
    size_t n, m;
    REQUIRE_OK(file_read(&x, &n, a, 1 << 26));
    REQUIRE_OK(file_read(&y, &m, b, 1 << 26));
    CHECK_MSG(n == m && !memcmp(x, y, n), "%s and %s differ", a, b);
    mem_free(x);
    mem_free(y);
}

/* Compares all files of two folders, which must have the same names. */
static void same_folder(const char *a, const char *b)
{
    int count[2] = {0};
    for (int side = 0; side < 2; side++) {
        DIR *d = opendir(in(side ? b : a));
        REQUIRE(d != NULL);
        for (struct dirent *e; (e = readdir(d));) {
            char name[2][512];
            if (e->d_name[0] == '.' && (!e->d_name[1] || e->d_name[1] == '.'))
                continue;
            count[side]++;
            snprintf(name[0], sizeof name[0], "%s/%s", a, e->d_name);
            snprintf(name[1], sizeof name[1], "%s/%s", b, e->d_name);
            if (side == 0)
                same_file(in(name[0]), in(name[1]));
        }
        closedir(d);
    }
    CHECK_INT(count[0], count[1]);
}

TEST(prepare_makes_the_same_bytes_with_any_number_of_jobs)
{
    static const int JOBS[] = {1, 2, 5};
    for (int i = 0; i < 3; i++) {
        World w;
        char out[16];
        snprintf(out, sizeof out, "out%d", i);
        many(&w, out, 60);
        /* rewritten each time with the same text: the times must be the same too */
        REQUIRE(!utimensat(AT_FDCWD, in("many.json"), (struct timespec[2]){{1000, 0}, {1000, 0}}, 0));
        for (int p = 0; p < 5; p++) {
            char name[32];
            snprintf(name, sizeof name, "images/p%d.jpg", p);
            REQUIRE(!utimensat(AT_FDCWD, in(name), (struct timespec[2]){{1000, 0}, {1000, 0}}, 0));
        }
        w.o.jobs = JOBS[i];
        PrepareResult r;
        REQUIRE_OK(prepare_run(&w.o, &r));
        CHECK(r.good == 50 && r.bad == 10);
        if (i)
            same_folder("out0", out);
        close_world(&w);
    }
}

/* Starts a preparation in a process of its own and kills it (not its workers: they must notice). */
static void run_and_kill(const World *w, long after_us)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        PrepareResult r;
        _exit(prepare_run(&w->o, &r) ? 1 : 0);
    }
    nanosleep(&(struct timespec){0, after_us * 1000}, NULL);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

TEST(prepare_killed_at_any_moment_goes_on_to_the_same_bytes)
{
    World straight, killed;
    many(&straight, "straight", 120);
    PrepareResult r;
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    REQUIRE_OK(prepare_run(&straight.o, &r));
    clock_gettime(CLOCK_MONOTONIC, &b);
    long whole_us = (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
    killed = straight;
    snprintf(killed.out, sizeof killed.out, "%s", in("killed"));
    killed.o.out = killed.out;
    killed.o.mixture = &straight.mixture;
    for (uint32_t round = 0; round < 20; round++) {
        run_and_kill(&killed, 1 + (long)(philox4x32(11, round, 0, 0, 0).v[0] % (uint32_t)(whole_us + whole_us / 8)));
        if (round % 5 == 4) { /* to the end, and from the beginning again */
            REQUIRE_OK(prepare_run(&killed.o, &r));
            CHECK(r.good == 98 && r.bad == 22);
            same_folder("straight", "killed");
            char command[600];
            snprintf(command, sizeof command, "rm -rf '%s'", killed.out);
            REQUIRE(!system(command));
        }
    }
    close_world(&straight);
}

TEST(prepare_makes_a_damaged_shard_again_and_leaves_the_others)
{
    World w;
    many(&w, "out", 40);
    PrepareResult r;
    REQUIRE_OK(prepare_run(&w.o, &r));
    char command[1200];
    snprintf(command, sizeof command, "cp -r '%s' '%s'", in("out"), in("copy"));
    REQUIRE(!system(command));
    struct stat before, after;
    char kept[512], damaged[512];
    snprintf(kept, sizeof kept, "%s/shard-00000-of-%05lld.h5", w.out, (long long)r.shards);
    snprintf(damaged, sizeof damaged, "%s/shard-00001-of-%05lld.h5", w.out, (long long)r.shards);
    REQUIRE(!stat(kept, &before));
    FILE *f = fopen(damaged, "r+");
    REQUIRE(f && !fseek(f, 3000, SEEK_SET) && fputc(0x5A, f) != EOF && !fclose(f));
    REQUIRE_OK(prepare_run(&w.o, &r));
    REQUIRE(!stat(kept, &after));
    CHECK(before.st_ino == after.st_ino);
    same_folder("copy", "out");
    close_world(&w);
}

/* ---------------------------------------------------------------- staleness */

static void expect_stale(const World *w, const char *wanted)
{
    bool fresh = true;
    const char *why;
    REQUIRE_OK(prepare_is_fresh(&w->o, &fresh, &why));
    CHECK_INT(fresh, !wanted);
    if (wanted)
        CHECK_STR(why, wanted);
}

TEST(prepare_knows_what_makes_shards_stale)
{
    World w;
    PrepareResult r;
    quirks(&w, "out");
    expect_stale(&w, "there are none yet");
    REQUIRE_OK(prepare_run(&w.o, &r));
    expect_stale(&w, NULL);
    PrepareOptions as_made = w.o;
    w.o.encoder.chat = CHAT_V1;
    expect_stale(&w, "data.template was mistral_instruct, is v1");
    w.o = as_made;
    w.o.encoder.max_tokens = 399;
    expect_stale(&w, "data.max_tokens was 400, is 399");
    w.o = as_made;
    w.o.encoder.task_text[TASK_EDIT] = NULL;
    expect_stale(&w, "model.tokens.task.edit was [I2I], is none");
    w.o = as_made;
    w.o.encoder.n_visual = 8;
    expect_stale(&w, "model.tokens.image was 4, is 8");
    w.o = as_made;
    w.o.pad = false;
    expect_stale(&w, "model.vision.aspect was pad, is stretch");
    w.o = as_made;
    w.o.tokenizer_path = "tests/fixtures/parity/bases/llm-gqa/tokenizer.model";
    expect_stale(&w, "the tokenizer changed");
    w.o = as_made;
    w.o.shard_samples = 5;
    expect_stale(&w, "data.shard_samples was 4, is 5");
    w.o = as_made;
    char wanted[600];
    REQUIRE(!utimensat(AT_FDCWD, in("rows.jsonl"), (struct timespec[2]){{5, 0}, {5, 0}}, 0));
    snprintf(wanted, sizeof wanted, "%s changed", in("rows.jsonl"));
    expect_stale(&w, wanted);
    REQUIRE_OK(prepare_run(&w.o, &r));
    expect_stale(&w, NULL);
    REQUIRE(!unlink(in("out/shard-00001-of-00003.h5")));
    expect_stale(&w, "shard-00001-of-00003.h5 is missing");
    REQUIRE_OK(prepare_run(&w.o, &r));
    expect_stale(&w, NULL);
    REQUIRE(!truncate(in("out/manifest.jsonl"), 20));
    snprintf(wanted, sizeof wanted, "%s/manifest.jsonl is damaged", w.o.out);
    expect_stale(&w, wanted);
    REQUIRE_OK(prepare_run(&w.o, &r));
    w.mixture.sources[1].weight = 3; /* chooses among rows, makes none */
    expect_stale(&w, NULL);
    close_world(&w);
}

TEST(prepare_takes_in_a_picture_that_was_put_in_place_later)
{
    World w;
    PrepareResult r;
    quirks(&w, "out");
    REQUIRE_OK(prepare_run(&w.o, &r));
    CHECK_INT(r.good, 10);
    copy_picture("sub1.jpg", "images/gone.jpg", SIZE_MAX);
    char wanted[600];
    snprintf(wanted, sizeof wanted, "%s/gone.jpg changed", in("images"));
    expect_stale(&w, wanted);
    REQUIRE_OK(prepare_run(&w.o, &r));
    CHECK_INT(r.good, 12);
    expect_stale(&w, NULL);
    copy_picture("sub2.jpg", "images/good.jpg", SIZE_MAX);
    snprintf(wanted, sizeof wanted, "%s/good.jpg changed", in("images"));
    expect_stale(&w, wanted);
    close_world(&w);
}

/* ---------------------------------------------------------------- failures */

TEST(prepare_strict_and_nothing_usable_are_errors)
{
    World w;
    PrepareResult r;
    quirks(&w, "out");
    w.o.strict = true;
    const char *report = in("strict.json");
    w.o.report = report;
    CHECK_FAILS(prepare_run(&w.o, &r), ERR_DATA, "14 of 24 rows cannot be used, and --strict allows none");
    CHECK(!access(report, R_OK));
    CHECK_FAILS(prepare_run(&w.o, &r), ERR_DATA, "14 of 24 rows cannot be used, and --strict allows none");
    w.o.strict = false;
    REQUIRE_OK(prepare_run(&w.o, &r));
    w.o.strict = true;
    CHECK_FAILS(prepare_run(&w.o, &r), ERR_DATA, "14 of 24 rows cannot be used, and --strict allows none");
    close_world(&w);
    put_text("bad.json", "[" SEEN("4", "gone.jpg") "," SEEN("5", "empty.jpg") "]");
    open_world(&w, "[{\"name\":\"bad\",\"files\":[\"bad.json\"],\"image_root\":\"images\"}]", "none");
    CHECK_FAILS(prepare_run(&w.o, &r), ERR_DATA, "none of the 2 rows of the mixture can be used");
    CHECK(r.bad == 2 && r.good == 0);
    close_world(&w);
}

TEST(prepare_says_when_the_run_cannot_see_or_the_tokenizer_is_foreign)
{
    World w;
    PrepareResult r;
    quirks(&w, "out");
    w.o.vision_folder = NULL;
    w.o.encoder.patches = 0;
    REQUIRE_OK(prepare_run(&w.o, &r)); /* text-only rows and the target stay */
    CHECK_INT(r.good, 4);
    w.o.encoder.vocab_size = 100;
    CHECK_INT(prepare_run(&w.o, &r), ERR_DATA);
    CHECK(strstr(status_message(), "vocab_size") != NULL);
    close_world(&w);
}

TEST(prepare_waits_for_nobody_but_takes_over_from_the_dead)
{
    World w;
    PrepareResult r;
    quirks(&w, "out");
    mkdir(w.out, 0777);
    char host[128] = "", text[200], wanted[1024];
    REQUIRE(!gethostname(host, sizeof host - 1));
    pid_t holder = fork();
    if (holder == 0) {
        alarm(60);
        pause();
        _exit(0);
    }
    snprintf(text, sizeof text, "%s %d\n", host, (int)holder);
    put_text("out/.lock", text); /* a file left behind by a process whose number another one has now: nobody holds the lock itself */
    CHECK_OK(prepare_run(&w.o, &r));
    put_text("out/.lock", "elsewhere 77\n");
    snprintf(wanted, sizeof wanted, "%s is being prepared by process 77 on elsewhere; wait for it, or remove %s/.lock when it is gone", w.out, w.out);
    CHECK_FAILS(prepare_run(&w.o, &r), ERR_CREATE, wanted);
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
    close_world(&w);
}

static void shrink_files(rlim_t most)
{
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit l = {most, most};
    REQUIRE(!setrlimit(RLIMIT_FSIZE, &l));
}

TEST(prepare_on_a_full_disk_names_the_file_and_leaves_nothing_half_done)
{
    World w;
    PrepareResult r;
    many(&w, "out", 40);
    shrink_files(12000); /* shards are larger, everything else is smaller */
    CHECK_INT(prepare_run(&w.o, &r), ERR_IO);
    CHECK_MSG(strstr(status_message(), "/out/") && strstr(status_message(), "File too large"), "%s", status_message());
    char command[700];
    snprintf(command, sizeof command, "ls -A '%s' | grep -q tmp", w.out);
    CHECK(system(command) != 0);
    close_world(&w);
}

TEST(prepare_index_plans_like_the_shards)
{
    World w;
    PrepareResult r, planned;
    many(&w, "out", 60);
    REQUIRE_OK(prepare_run(&w.o, &r));
    RecordIndex x;
    REQUIRE_OK(prepare_index(&w.o, &x, &planned));
    CHECK(planned.good == r.good && planned.bad == r.bad && planned.shards == r.shards && x.n == r.good);
    Preprocessor tower;
    REQUIRE_OK(preprocessor_load(&tower, w.o.vision_folder, true));
    LoaderOptions o = {.shards = w.out, .batch = 8, .micro_tokens = 200, .epochs = 1.5, .seed = 3, .shuffle = true, .preprocessor = &tower,
                       .image_tokens_first = true, .first_visual_id = encoder_visual_id(&w.o.encoder, 0)};
    Loader *ld;
    PassShape worst[2][256];
    const PassShape *passes;
    LoaderTotals totals[2];
    int n[2];
    for (int i = 0; i < 2; i++) {
        o.index = i ? &x : NULL;
        REQUIRE_OK(loader_open(&ld, &o, 0, 1));
        totals[i] = *loader_totals(ld);
        n[i] = loader_worst_passes(ld, &passes);
        memcpy(worst[i], passes, (size_t)n[i] * sizeof *passes);
        loader_close(&ld);
    }
    CHECK(!memcmp(&totals[0], &totals[1], sizeof totals[0]) && n[0] == n[1] && !memcmp(worst[0], worst[1], (size_t)n[0] * sizeof worst[0][0]));
    index_free(&x);
    close_world(&w);
}
