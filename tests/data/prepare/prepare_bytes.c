/* prepare: the same bytes whatever the jobs, kills and repairs; what makes shards stale; failures. */
#include "data/prepare/prepare.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "data/formats/file.h"
#include "data/loader/loader.h"
#include "data/prepare/parts.h"
#include "kernels/base/arena.h"
#include "kernels/base/philox.h"
#include "tests/data/prepare/world.h"
#include "tests/harness.h"

/* ---------------------------------------------------------------- the same bytes */

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
        DIR *d = opendir(world_path(side ? b : a));
        REQUIRE(d != NULL);
        for (struct dirent *e; (e = readdir(d));) {
            char name[2][512];
            if (e->d_name[0] == '.' && (!e->d_name[1] || e->d_name[1] == '.'))
                continue;
            count[side]++;
            snprintf(name[0], sizeof name[0], "%s/%s", a, e->d_name);
            snprintf(name[1], sizeof name[1], "%s/%s", b, e->d_name);
            if (side == 0)
                same_file(world_path(name[0]), world_path(name[1]));
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
        world_many(&w, out, 60);
        /* rewritten each time with the same text: the times must be the same too */
        REQUIRE(!utimensat(AT_FDCWD, world_path("many.json"), (struct timespec[2]){{1000, 0}, {1000, 0}}, 0));
        for (int p = 0; p < 5; p++) {
            char name[32];
            snprintf(name, sizeof name, "images/p%d.jpg", p);
            REQUIRE(!utimensat(AT_FDCWD, world_path(name), (struct timespec[2]){{1000, 0}, {1000, 0}}, 0));
        }
        w.o.jobs = JOBS[i];
        PrepareResult r;
        REQUIRE_OK(prepare_run(&w.o, &r));
        CHECK(r.good == 50 && r.bad == 10);
        if (i)
            same_folder("out0", out);
        world_close(&w);
    }
}

/* max, equal uids and the pictures of other rows are decided alike by processes that do not speak with each other. */
TEST(prepare_decides_about_rows_alike_in_every_process)
{
    World w;
    PrepareResult r;
    world_quirks(&w, "out1");
    world_close(&w);
    for (int jobs = 1; jobs <= 4; jobs++) {
        char out[16];
        snprintf(out, sizeof out, "out%d", jobs);
        world_open(&w, "[{\"name\":\"legacy\",\"files\":[\"rows.json\"],\"image_root\":\"images\",\"max\":9},"
                       "{\"name\":\"again\",\"files\":[\"rows.jsonl\",\"rows.json\"],\"image_root\":\"images\",\"max\":2},"
                       "{\"name\":\"unified\",\"files\":[\"rows.jsonl\"],\"image_root\":\"images\"}]", out);
        w.o.jobs = jobs;
        REQUIRE_OK(prepare_run(&w.o, &r));
        CHECK(r.good == 6 && r.bad == 11); /* 4 of the first 9; a and d of the second; of the third all are there already, or no JSON */
        if (jobs > 1)
            same_folder("out1", out);
        world_close(&w);
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
    world_many(&straight, "straight", 120);
    PrepareResult r;
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    REQUIRE_OK(prepare_run(&straight.o, &r));
    clock_gettime(CLOCK_MONOTONIC, &b);
    long whole_us = (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
    killed = straight;
    snprintf(killed.out, sizeof killed.out, "%s", world_path("killed"));
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
    world_close(&straight);
}

/* Shards 1 and 2 show pictures that shard 0 holds: whichever is damaged or gone, that one alone is made again. */
TEST(prepare_makes_a_damaged_shard_again_and_leaves_the_others)
{
    World w;
    world_many(&w, "out", 60);
    PrepareResult r;
    REQUIRE_OK(prepare_run(&w.o, &r));
    CHECK(r.shards == 4 && r.images == 5);
    char command[1200], path[4][512];
    snprintf(command, sizeof command, "cp -r '%s' '%s'", world_path("out"), world_path("copy"));
    REQUIRE(!system(command));
    for (int bad = 0; bad < 3; bad++) {
        struct stat before[4], after;
        for (int k = 0; k < 4; k++) {
            snprintf(path[k], sizeof path[k], "%s/shard-%05d-of-00004.h5", w.out, k);
            REQUIRE(!stat(path[k], &before[k]));
        }
        FILE *f = fopen(path[bad], "r+");
        REQUIRE(f && !fseek(f, 3000, SEEK_SET) && fputc(0x5A, f) != EOF && !fclose(f));
        REQUIRE(bad < 2 || !unlink(path[bad]));
        REQUIRE_OK(prepare_run(&w.o, &r));
        for (int k = 0; k < 4; k++) {
            REQUIRE(!stat(path[k], &after));
            CHECK_MSG((before[k].st_mtim.tv_nsec == after.st_mtim.tv_nsec) == (k != bad), "shard %d, damaged %d", k, bad);
        }
        same_folder("copy", "out");
    }
    world_close(&w);
}

/* ---------------------------------------------------------------- staleness */

static void expect_stale(const World *w, const char *wanted)
{
    bool fresh = true;
    const char *why;
    PrepareResult r;
    REQUIRE_OK(prepare_is_fresh(&w->o, &fresh, &why, &r));
    CHECK_INT(fresh, !wanted);
    if (wanted)
        CHECK_STR(why, wanted);
}

TEST(prepare_knows_what_makes_shards_stale)
{
    World w;
    PrepareResult r;
    world_quirks(&w, "out");
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
    REQUIRE(!utimensat(AT_FDCWD, world_path("rows.jsonl"), (struct timespec[2]){{5, 0}, {5, 0}}, 0));
    snprintf(wanted, sizeof wanted, "%s changed", world_path("rows.jsonl"));
    expect_stale(&w, wanted);
    REQUIRE_OK(prepare_run(&w.o, &r));
    expect_stale(&w, NULL);
    REQUIRE(!unlink(world_path("out/shard-00001-of-00003.h5")));
    expect_stale(&w, "shard-00001-of-00003.h5 is missing");
    REQUIRE_OK(prepare_run(&w.o, &r));
    expect_stale(&w, NULL);
    struct stat st;
    const char *cut = world_path("out/shard-00002-of-00003.h5");
    REQUIRE(!stat(cut, &st) && !truncate(cut, st.st_size - 1));
    expect_stale(&w, "shard-00002-of-00003.h5 is of another size than it was made with");
    REQUIRE_OK(prepare_run(&w.o, &r));
    expect_stale(&w, NULL);
    REQUIRE(!truncate(world_path("out/manifest.jsonl"), 20));
    snprintf(wanted, sizeof wanted, "%s/manifest.jsonl is damaged", w.o.out);
    expect_stale(&w, wanted);
    REQUIRE_OK(prepare_run(&w.o, &r));
    w.mixture.sources[1].weight = 3; /* chooses among rows, makes none */
    expect_stale(&w, NULL);
    world_close(&w);
}

TEST(prepare_passes_over_damaged_rows_of_its_journal)
{
    World w;
    PrepareResult r;
    JsonDoc *doc;
    char report[PATH_MAX];
    world_quirks(&w, "out");
    REQUIRE_OK(prepare_run(&w.o, &r));
    FILE *f = fopen(world_path("out/manifest.jsonl"), "a");
    REQUIRE(f != NULL);
    fputs("{\"bad_row\":\n{\"bad_row\":x\n{\"bad_row\":{}\n", f);
    fclose(f);
    snprintf(report, sizeof report, "%s", world_path("report.json"));
    w.o.report = report;
    REQUIRE_OK(prepare_run(&w.o, &r));
    REQUIRE_OK(json_read_file(&doc, report));
    CHECK_INT(json_get(json_root(doc), "bad_rows")->length, r.bad);
    json_free(&doc);
    world_close(&w);
}

TEST(prepare_takes_in_a_picture_that_was_put_in_place_later)
{
    World w;
    PrepareResult r;
    world_quirks(&w, "out");
    REQUIRE_OK(prepare_run(&w.o, &r));
    CHECK_INT(r.good, 10);
    world_copy_picture("sub1.jpg", "images/gone.jpg", SIZE_MAX);
    char wanted[600];
    snprintf(wanted, sizeof wanted, "%s/gone.jpg changed", world_path("images"));
    expect_stale(&w, wanted);
    REQUIRE_OK(prepare_run(&w.o, &r));
    CHECK_INT(r.good, 12);
    expect_stale(&w, NULL);
    world_copy_picture("sub2.jpg", "images/good.jpg", SIZE_MAX);
    snprintf(wanted, sizeof wanted, "%s/good.jpg changed", world_path("images"));
    expect_stale(&w, wanted);
    world_close(&w);
}

static void edit_file(const char *name, const char *from, const char *to)
{
    char *text;
    size_t n;
    REQUIRE_OK(file_read(&text, &n, world_path(name), 1 << 24));
    for (char *at = text; n >= strlen(from) && (at = memmem(at, n - (size_t)(at - text), from, strlen(from))); at++)
        memcpy(at, to, strlen(to)); /* as long as `from` */
    world_put(name, text, n);
    mem_free(text);
}

/* Shards that each hold the pictures of all their samples, as they were made before. */
TEST(prepare_makes_shards_of_the_older_layout_again)
{
    World w;
    PrepareResult r;
    char command[1200], hash[2][65];
    world_many(&w, "out", 40);
    REQUIRE_OK(prepare_run(&w.o, &r));
    snprintf(command, sizeof command, "cp -r '%s' '%s'", w.out, world_path("copy"));
    REQUIRE(!system(command));
    Journal m;
    bool found;
    REQUIRE_OK(journal_read(&m, w.out, &found));
    memcpy(hash[0], m.config, sizeof hash[0]);
    journal_free(&m);
    memset(hash[1], 'a', 64);
    hash[1][64] = 0;
    edit_file("out/manifest.jsonl", "genllava.shard/2", "genllava.shard/1");
    edit_file("out/manifest.jsonl", hash[0], hash[1]);
    for (int k = 0; k < r.shards; k++) {
        char name[64];
        snprintf(name, sizeof name, "out/shard-%05d-of-%05d.h5", k, (int)r.shards);
        edit_file(name, "GENLLAVA SHARD 2", "GENLLAVA SHARD 1");
    }
    expect_stale(&w, "schema was genllava.shard/1, is genllava.shard/2");
    REQUIRE_OK(prepare_run(&w.o, &r));
    same_folder("copy", "out");
    expect_stale(&w, NULL);
    world_close(&w);
}

/* ---------------------------------------------------------------- failures */

TEST(prepare_strict_and_nothing_usable_are_errors)
{
    World w;
    PrepareResult r;
    world_quirks(&w, "out");
    w.o.strict = true;
    const char *report = world_path("strict.json");
    w.o.report = report;
    CHECK_FAILS(prepare_run(&w.o, &r), ERR_DATA, "14 of 24 rows cannot be used, and --strict allows none");
    CHECK(!access(report, R_OK));
    CHECK_FAILS(prepare_run(&w.o, &r), ERR_DATA, "14 of 24 rows cannot be used, and --strict allows none");
    w.o.strict = false;
    REQUIRE_OK(prepare_run(&w.o, &r));
    w.o.strict = true;
    CHECK_FAILS(prepare_run(&w.o, &r), ERR_DATA, "14 of 24 rows cannot be used, and --strict allows none");
    world_close(&w);
    world_put_text("bad.json", "[" SEEN("4", "gone.jpg") "," SEEN("5", "empty.jpg") "]");
    world_open(&w, "[{\"name\":\"bad\",\"files\":[\"bad.json\"],\"image_root\":\"images\"}]", "none");
    CHECK_FAILS(prepare_run(&w.o, &r), ERR_DATA, "none of the 2 rows of the mixture can be used");
    CHECK(r.bad == 2 && r.good == 0);
    world_close(&w);
}

TEST(prepare_says_when_the_run_cannot_see_or_the_tokenizer_is_foreign)
{
    World w;
    PrepareResult r;
    world_quirks(&w, "out");
    w.o.vision_folder = NULL;
    w.o.encoder.patches = 0;
    REQUIRE_OK(prepare_run(&w.o, &r)); /* text-only rows and the target stay */
    CHECK_INT(r.good, 4);
    w.o.encoder.vocab_size = 100;
    CHECK_INT(prepare_run(&w.o, &r), ERR_DATA);
    CHECK(strstr(status_message(), "vocab_size") != NULL);
    world_close(&w);
}

TEST(prepare_waits_for_nobody_but_takes_over_from_the_dead)
{
    World w;
    PrepareResult r;
    world_quirks(&w, "out");
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
    world_put_text("out/.lock", text); /* a file left behind by a process whose number another one has now: nobody holds the lock itself */
    CHECK_OK(prepare_run(&w.o, &r));
    world_put_text("out/.lock", "elsewhere 77\n");
    snprintf(wanted, sizeof wanted, "%s is being prepared by process 77 on elsewhere; wait for it, or remove %s/.lock when it is gone",
             w.out, w.out);
    CHECK_FAILS(prepare_run(&w.o, &r), ERR_CREATE, wanted);
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
    world_close(&w);
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
    world_many(&w, "out", 40);
    shrink_files(12000); /* shards are larger, everything else is smaller */
    CHECK_INT(prepare_run(&w.o, &r), ERR_IO);
    CHECK_MSG(strstr(status_message(), "/out/") && strstr(status_message(), "File too large"), "%s", status_message());
    char command[700];
    snprintf(command, sizeof command, "ls -A '%s' | grep -q tmp", w.out);
    CHECK(system(command) != 0);
    world_close(&w);
}

TEST(prepare_index_plans_like_the_shards)
{
    World w;
    PrepareResult r, planned;
    world_many(&w, "out", 60);
    REQUIRE_OK(prepare_run(&w.o, &r));
    RecordIndex x;
    REQUIRE_OK(prepare_index(&w.o, &x, &planned));
    CHECK(planned.good == r.good && planned.bad == r.bad && planned.shards == r.shards && x.n == r.good);
    Preprocessor tower;
    REQUIRE_OK(preprocessor_load(&tower, w.o.vision_folder, true));
    LoaderOptions o = {.shards = w.out, .batch = 8, .micro_tokens = 200, .epochs = 1.5, .seed = 3, .shuffle = true, .preprocessor = &tower,
                       .first_visual_id = encoder_visual_id(&w.o.encoder, 0)};
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
    CHECK(!memcmp(&totals[0], &totals[1], sizeof totals[0]) && n[0] == n[1] &&
          !memcmp(worst[0], worst[1], (size_t)n[0] * sizeof worst[0][0]));
    index_free(&x);
    world_close(&w);
}
