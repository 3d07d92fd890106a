/* page.c: pages of runs that are whole, unfinished, damaged, large or written by an enemy (tools/report/report.h). */
#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/lock.h"
#include "data/pictures/png_write.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"
#include "tests/harness.h"
#include "tests/tools/report/check.h"

static const char CONFIG[] =
    "{\"name\":\"first\",\"seed\":42,\"model\":{\"llm\":{\"path\":\"/m/llm\",\"train\":\"lora\"},\"lora\":{\"r\":16,\"dropout\":0.0}},"
    "\"data\":{\"mixture\":[{\"name\":\"one\"},{\"files\":[\"two.json\"]}],\"shards\":\"/x/runs/shards/0123456789abcdef\"},"
    "\"train\":{\"steps\":40,\"epochs\":null,\"batch\":128},\"optim\":{\"lr\":0.001,\"lr_tokens\":1e-4,\"max_grad_norm\":1},"
    "\"save\":{\"dir\":\"/x/runs\"},\"sample\":{\"every\":10},\"later\":{\"key\":[1,2]}}";

static void put_picture(const char *folder, const char *name, int side)
{
    char path[PATH_MAX];
    uint8_t *rgb = mem_alloc((size_t)side * (size_t)side * 3);
    REQUIRE(rgb != NULL);
    for (int i = 0; i < side * side * 3; i++)
        rgb[i] = (uint8_t)((i * 2654435761u) >> 13); /* hard to compress */
    put_file(folder, name, "");
    CHECK_OK(png_write(file_join(path, folder, name), &(Image){side, side, rgb}, NULL, 0));
    mem_free(rgb);
}

/* Folders "runs/NAME" and what stands beside it. */
static const char *whole_run(void)
{
    const char *folder = run_folder("runs/first");
    put_file(folder, "config.resolved.json", CONFIG);
    put_file(folder, "environment.json",
             "{\"processor\":\"Abacus\",\"threads\":2,\"libraries\":[\"libz\",\"libm\"],\"planned\":{\"steps\":40,\"memory\":3145728}}");
    put_steps(folder, 1, 20, 4);
    put_file(folder, "checkpoint-000010/state.json", "{}");
    put_file(folder, "checkpoint-000020/state.json", "{}");
    put_file(
        folder, "samples/step-000010/answers.jsonl",
        "{\"ask\":\"What is it?\",\"image\":\"a/dog.png\",\"expected\":\"A dog\",\"answer\":\"A cat\"}\n{\"draw\":\"a dog\","
        "\"answer\":\"<gen>\",\"picture\":\"000001.png\"}\n");
    put_file(
        folder, "samples/step-000020/answers.jsonl",
        "{\"ask\":\"What is it?\",\"image\":\"a/dog.png\",\"expected\":\"A dog\",\"answer\":\" A dog\"}\n{\"draw\":\"a dog\","
        "\"answer\":\"<gen>\",\"picture\":\"000001.png\"}\n");
    put_picture(folder, "samples/step-000020/000001.png", 16);
    put_picture(folder, "samples/step-000010/000001.png", 300);
    put_file(folder, "history.jsonl",
             "{\"step\":7,\"from\":\"/x/runs/first/checkpoint-000007\",\"difference\":[\"optim.lr: 0.002 there, 0.001 here\"]}\n");
    put_file(run_folder("runs"), "shards/0123456789abcdef/manifest.jsonl",
             "{\"schema\":\"genllava.shards/1\",\"made_from\":{\"sources\":[{\"name\":\"one\"},{\"name\":\"two\"}]},\"good\":"
             "1500,\"bad\":2,"
             "\"outcome\":{\"sources\":[{\"good\":1000},{\"good\":500,\"missing\":2}]}}\n"
             "{\"bad_row\":{\"file\":\"two.json\",\"row\":3,\"id\":\"r3\",\"reason\":\"missing\",\"message\":\"no such "
             "picture\"}}\n{\"shard\":0}\n");
    return run_folder("runs/first");
}

TEST(report_tells_of_a_run)
{
    const char *folder = whole_run();
    char *html = page_of(&folder, 1);
    static const char *const PARTS[] = {
        "<title>first", "ended, saved", "of 40", "<h3>Loss</h3>", "<h3>Learning rate</h3>", "<h3>Tokens per second</h3>",
        "<dt>memory</dt><dd>3.0 MiB</dd>",
        "<code>model.lora.r</code>", "2 sources: one, two.json", "<code>later.key</code>", "not known to this version", "Abacus",
        "libz, libm",
        "went on behind step 7", "optim.lr: 0.002 there, 0.001 here", "checkpoint-000007", "no such picture", "<td>2 missing</td>",
        "1,500",
        "after step 10, 20", "build/train --config", "--resume", "build/convert --from", "data:image/png;base64,",
        "alt=\"after step 20: a dog\"", "expected <bdi>A dog",
        " A dog</bdi> <span class=\"tick\"", "A cat</bdi></td>", "class=\"change\""};
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++)
        CHECK_MSG(holds(html, PARTS[i]), "the page does not hold: %s", PARTS[i]);
    static const char *const NONE[] = {"<code>seed", "<code>train.batch", "<code>optim.lr_tokens", "<code>optim.max_grad_norm",
    "<code>save.dir", "<code>data.shards",
                                       "<code>name", "<h3>Loss: text", "could not be read", "train longer"};
    for (size_t i = 0; i < sizeof NONE / sizeof *NONE; i++)
        CHECK_MSG(!holds(html, NONE[i]), "the page holds: %s", NONE[i]);
    mem_free(html);
}

TEST(report_knows_defaults_however_they_are_written)
{
    const char *folder = run_folder("defaults");
    put_file(folder, "config.resolved.json",
             "{\"train\":{\"steps\":null,\"epochs\":1.0,\"batch\":128.0},\"optim\":{\"lr\":0.0002,\"warmup\":0.5,\"beta1\":9e-1},"
             "\"model\":{\"lora\":{\"targets\":[\"q_proj\",\"k_proj\",\"v_proj\",\"o_proj\",\"gate_proj\",\"up_proj\","
             "\"down_proj\"]},\"projector\":{\"init\":\"default\"}},\"save\":{\"dir\":\"/a/b/runs\",\"keep\":5},"
             "\"data\":{\"shards\":\"/a/b/runs/shards/0123456789abcdef\"}}");
    char *html = page_of(&folder, 1);
    CHECK_INT(count_of(html, "<tr><th scope=\"row\"><code>"), 2);
    CHECK(holds(html, "<code>optim.warmup</code></th><td><bdi>0.5</bdi></td><td class=\"small\">0.03</td>"));
    CHECK(holds(html, "<code>save.keep</code></th><td><bdi>5</bdi></td><td class=\"small\">3</td>"));
    mem_free(html);
}

TEST(report_gives_each_score_a_chart)
{
    const char *folder = run_folder("scored");
    put_file(folder, "train.jsonl", "{\"step\":1,\"loss\":1,\"suite_pope\":81.5}\n{\"step\":2,\"loss\":1,\"other\":{\"f1\":0.5}}\n"
                                    "{\"step\":3,\"loss\":1,\"suite_pope\":82.5}\n");
    char *html = page_of(&folder, 1);
    CHECK(holds(html, "<h2>Scores</h2>") && holds(html, "<h3>pope</h3><ul class=\"legend\"><li> <b>82.5</b>"));
    CHECK(holds(html, "<h3>other.f1</h3>") && !holds(html, "<h3>loss</h3>"));
    mem_free(html);
}

/* The path of this class of the drawing that comes first behind `from`. */
static void read_path(char d[4096], const char *html, const char *from, const char *class)
{
    char start[64];
    snprintf(start, sizeof start, "<path class=\"%s\" d=\"", class);
    const char *p = strstr(html, from), *drawing = p ? strstr(p, "role=\"img\"") : NULL;
    p = drawing ? strstr(drawing, start) : NULL;
    REQUIRE(p != NULL);
    snprintf(d, 4096, "%.*s", (int)strcspn(p + strlen(start), "\""), p + strlen(start));
}

TEST(report_draws_numbers_where_they_belong)
{
    char mean[4096], trend[4096], path[PATH_MAX];
    const char *folder = run_folder("three");
    put_file(folder, "train.jsonl", "{\"step\":1,\"score\":0}\n{\"step\":2,\"score\":100}\n{\"step\":3,\"score\":50}\n");
    char *html = page_of(&folder, 1);
    read_path(mean, html, "<h3>score</h3>", "mean"); /* from 0 to 104: some room above */
    CHECK_STR(mean, "M0 1000 1000 38 2000 519");
    mem_free(html);

    /* The trend of a straight line is that line, to both ends. A number far above the others makes the scale logarithmic. */
    folder = run_folder("straight");
    FILE *f;
    REQUIRE_OK(file_append(&f, file_join(path, folder, "train.jsonl")));
    for (int k = 1; k <= 99; k++)
        fprintf(f, "{\"step\":%d,\"loss\":%d,\"grad_norm\":%d}\n", k, 100 - k, k == 50 ? 1000 : 10);
    REQUIRE(!fclose(f));
    html = page_of(&folder, 1);
    read_path(mean, html, "<h3>Loss</h3>", "mean thin");
    read_path(trend, html, "<h3>Loss</h3>", "trend");
    CHECK_STR(trend, mean);
    CHECK_INT(count_of(html, "data-log=\"1\""), 1);
    CHECK(holds(html, "<th scope=\"row\">1 to 7</th><td>96 <small>93 to 99</small></td>"));
    CHECK(holds(html, "<th scope=\"row\">96 to 99</th><td>2.5 <small>1 to 4</small></td>"));
    read_path(mean, html, "<h3>Norm of the gradient</h3>", "mean thin"); /* from 10 / 1.1 to 1000 · 1.1 */
    CHECK(holds(mean, "M0 980 20 980") && holds(mean, " 1000 20 ") && holds(mean, " 2000 980"));
    mem_free(html);
}

TEST(report_knows_how_a_run_stands)
{
    Lock lock = {.held = false};
    const char *folder = whole_run();
    CHECK_OK(lock_take(&lock, folder, "trained", false));
    char *html = page_of(&folder, 1);
    CHECK(holds(html, ">going on</span>") && holds(html, "<dt>left</dt><dd>10 s</dd>") && !holds(html, "--resume"));
    mem_free(html);
    lock_release(&lock);
    put_steps(folder, 21, 39, 4);
    html = page_of(&folder, 1);
    CHECK(holds(html, ">stopped</span>"));
    mem_free(html);
    put_steps(folder, 40, 40, 4);
    html = page_of(&folder, 1);
    CHECK(holds(html, ">finished</span>") && holds(html, "train longer"));
    mem_free(html);
}

TEST(report_shows_one_step_and_none)
{
    const char *folder = run_folder("one");
    put_steps(folder, 1, 1, 4);
    char *html = page_of(&folder, 1);
    CHECK(holds(html, "class=\"dots\"") && holds(html, ">1</span></div>") && !holds(html, "nan") &&
          !holds(html, "class=\"trend\" d=\"M0 "));
    mem_free(html);
    folder = run_folder("none");
    put_file(folder, "config.resolved.json", CONFIG);
    html = page_of(&folder, 1);
    CHECK(holds(html, "not begun") && holds(html, "There is no step yet") && !holds(html, "<figure"));
    mem_free(html);
}

TEST(report_says_what_is_damaged)
{
    const char *folder = whole_run();
    put_file(folder, "config.resolved.json", "{\"name\": ");
    put_file(folder, "environment.json", "[]");
    put_file(folder, "history.jsonl", "{}\nnonsense\n");
    put_file(folder, "samples/step-000010/answers.jsonl", "{\"ask\":\"What is it?\",\"answer\":\"A cat\"}\n{\"ask\n");
    put_file(folder, "samples/step-000020/000001.png", "no picture");
    put_file(folder, "train.jsonl", "nonsense\n");
    put_steps(folder, 3, 5, 1);
    char *html = page_of(&folder, 1);
    static const char *const PARTS[] = {"config.resolved.json is damaged", "environment.json is damaged",
    "history.jsonl: 1 of its lines", "the samples after step 10: 1 of their lines",
                                        "train.jsonl: 1 of its lines are damaged and left out, the first of them line 1: it is "
                                        "no JSON", "the picture cannot be shown", "<h3>Loss</h3>"};
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++)
        CHECK_MSG(holds(html, PARTS[i]), "the page does not hold: %s", PARTS[i]);
    mem_free(html);
}

TEST(report_refuses_what_is_no_run)
{
    ReportRun run;
    char path[PATH_MAX], wanted[PATH_MAX + 200];
    const char *folder = run_folder("other");
    snprintf(wanted, sizeof wanted,
             "%s: is no run folder, as it holds neither train.jsonl nor config.resolved.json; expected what train leaves in "
             "save.dir/name",
             folder);
    CHECK_FAILS(report_read(&run, folder), ERR_DATA, wanted);
    put_file(folder, "MANIFEST.json", "{}");
    snprintf(wanted, sizeof wanted, "%s: is a checkpoint, expected the run folder that it lies in", folder);
    CHECK_FAILS(report_read(&run, folder), ERR_DATA, wanted);
    file_join(path, folder, "MANIFEST.json");
    snprintf(wanted, sizeof wanted, "%s: is a file, expected a run folder, as train leaves in save.dir/name", path);
    CHECK_FAILS(report_read(&run, path), ERR_DATA, wanted);
    file_join(path, folder, "nowhere");
    snprintf(wanted, sizeof wanted, "%s: No such file or directory; expected a run folder, as train leaves in save.dir/name", path);
    CHECK_FAILS(report_read(&run, path), ERR_MISSING, wanted);
}

/* ---------------------------------------------------------------- strangers */

#define EVIL "</title></bdi><script>alert(1)</script><img src=x onerror=alert(1)>\\\" '&amp;&lt; \\u202e\\u2066\\u0000\\u001b[2J \xff\xc3"

TEST(report_shows_hostile_texts_and_obeys_none)
{
    const char *folder = run_folder("runs/<b>&\"'");
    char *config = NULL;
    size_t n;
    put_steps(folder, 1, 30, 4);
    FILE *f = open_memstream(&config, &n);
    /* bytes that are no UTF-8 are refused by the reader of JSON, so files with them are damaged */
    fputs(
        "{\"name\":\"</title></bdi><script>alert(1)</script> \\\" ' &amp; \\u001b[2J\\u202e\\u2066\\u0000\",\"<i>\":"
        "\"</td><script>\",\"data\":{\"shards\":\"/../..\"}}",
        f);
    REQUIRE(!fclose(f));
    put_file(folder, "config.resolved.json", config);
    mem_free(config);
    put_file(folder, "environment.json", "{\"<u>\\u202e\":\"</dd><script>\\u009b\",\"device\":\"<script>\\u2028\"}");
    put_file(folder, "history.jsonl",
             "{\"step\":\"<b>\",\"from\":\"<script>/<script>\",\"difference\":[\"<script>\\u202e\",3]}\n" EVIL "\n");
    put_file(folder, "samples/step-000010/answers.jsonl",
             "{\"ask\":\"</th><script>\\u202e\",\"image\":\"../<script>\",\"expected\":\"<script>\",\"answer\":\"<script>\"}\n"
             "{\"draw\":\"\\\"><script>\",\"answer\":\"<gen>\",\"picture\":\"\\\"><script>.png\"}\n");
    f = NULL;
    put_steps(folder, 31, 31, 4);
    char path[PATH_MAX];
    REQUIRE_OK(file_append(&f, file_join(path, folder, "train.jsonl")));
    fputs("{\"step\":32,\"loss_</h3><script>\\u202e\":1,\"<script>\":{\"\\\"\":2}}\n" EVIL "\n", f);
    REQUIRE(!fclose(f));
    char *html = page_of(&folder, 1); /* checked */
    CHECK(holds(html, "&lt;script&gt;alert(1)") && holds(html, "\\u202e") && holds(html, "\\x1b[2J"));
    mem_free(html);
    const char *both[] = {folder, whole_run()};
    mem_free(page_of(both, 2));
    char *text = text_of(both, 2, 80, true);
    for (const char *p = text; *p; p++)
        CHECK(*p == '\n' || (unsigned char)*p >= ' ');
    CHECK(!holds(text, "\u202e") && holds(text, "\\u202e"));
    mem_free(text);
}

TEST(report_follows_no_link_out_of_the_folder)
{
    char path[PATH_MAX];
    const char *folder = whole_run(), *outside = run_folder("outside");
    static const char SECRET[] = "{\"step\":1,\"loss\":1,\"secret\":123456}\n{\"ask\":\"secret\",\"answer\":\"secret\"}\n";
    put_file(outside, "lines", SECRET);
    put_picture(outside, "picture.png", 8);
    static const char *const NAMES[] = {"train.jsonl", "history.jsonl", "environment.json", "samples/step-000010/answers.jsonl"};
    static const char *const TARGETS[] = {"../../outside/lines", "../../outside/lines", "/etc/passwd", "../../../../outside/lines"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        REQUIRE(!unlink(file_join(path, folder, NAMES[i])));
        REQUIRE(!symlink(TARGETS[i], path));
    }
    REQUIRE(!unlink(file_join(path, folder, "samples/step-000020/000001.png")));
    REQUIRE(!symlink("../../../../outside/picture.png", path));
    char *html = page_of(&folder, 1);
    CHECK(!holds(html, "secret") && !holds(html, "root:") && !holds(html, "data:image/png"));
    CHECK(holds(html, "train.jsonl leads out of the folder and is not followed"));
    CHECK(holds(html, "samples/step-000010/answers.jsonl leads out of the folder and is not followed"));
    mem_free(html);
    put_file(folder, "samples/step-000020/answers.jsonl",
             "{\"draw\":\"x\",\"answer\":\"\",\"picture\":\"../../../../outside/picture.png\"}\n");
    html = page_of(&folder, 1);
    CHECK(!holds(html, "data:image/png") && holds(html, "the picture cannot be shown"));
    mem_free(html);
}

/* ---------------------------------------------------------------- size */

#ifdef __SANITIZE_ADDRESS__
enum { SLOWER = 8 };
#else
enum { SLOWER = 1 };
#endif

enum { PAGE_BYTES = 2000000 };

/* Samples of 12 steps: 40 prompts with texts that grow when they are escaped, and pictures that cannot be compressed. */
static void put_large_samples(const char *folder)
{
    char name[64], *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    for (int i = 0; i < 40; i++) {
        fprintf(f, i % 2 ? "{\"draw\":\"%d " : "{\"ask\":\"%d ", i);
        for (int k = 0; k < 3000; k++)
            fputs("<\\u0001", f);
        fputs(i % 2 ? "\",\"picture\":\"p.png\"}\n" : "\",\"answer\":\"&&\\u202e\"}\n", f);
    }
    REQUIRE(!fclose(f));
    for (int k = 1; k <= 12; k++) {
        snprintf(name, sizeof name, "samples/step-%06d/answers.jsonl", k);
        put_file(folder, name, text);
        snprintf(name, sizeof name, "samples/step-%06d/p.png", k);
        put_picture(folder, name, 140);
    }
    mem_free(text);
}

TEST(report_of_many_steps_is_bounded)
{
    enum { STEPS = 100000 };
    const char *folder = run_folder("long");
    put_steps(folder, 1, STEPS, 1);
    put_large_samples(folder);
    const clock_t start = clock();
    char *html = page_of(&folder, 1);
    const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
    CHECK_MSG(strlen(html) < PAGE_BYTES, "%zu bytes", strlen(html));
    CHECK_MSG(seconds < 2 * SLOWER, "%d steps: %.2f s of the processor", STEPS, seconds);
    CHECK(holds(html, "8 of 12 steps that have samples, and 16 of 40 prompts, are shown"));
    CHECK_INT(count_of(html, "src=\"data:image/"), 64);
    mem_free(html);
}

/* As many runs as there may be, with as many numbers in each step. */
TEST(report_of_many_runs_is_bounded)
{
    enum { STEPS = 600 };
    const char *folders[REPORT_RUNS];
    for (int r = 0; r < REPORT_RUNS; r++) {
        char name[32], path[PATH_MAX];
        FILE *f;
        snprintf(name, sizeof name, "many/%d", r);
        folders[r] = run_folder(name);
        REQUIRE_OK(file_append(&f, file_join(path, folders[r], "train.jsonl")));
        for (int k = 1; k <= STEPS; k++) {
            fprintf(f, "{\"step\":%d,\"loss\":1", k);
            for (int i = 0; i < CURVES_MAX - 1; i++)
                fprintf(f, ",\"suite_%d\":%.9g", i, 1e-5 * ((k * 7919 + i) % 10007));
            fputs("}\n", f);
        }
        REQUIRE(!fclose(f));
    }
    put_large_samples(folders[0]);
    char *html = page_of(folders, REPORT_RUNS);
    CHECK_MSG(strlen(html) < PAGE_BYTES, "%zu bytes", strlen(html));
    CHECK_INT(count_of(html, "<figure"), CURVES_MAX);
    CHECK_INT(count_of(html, "<g class="), CURVES_MAX * REPORT_RUNS);
    mem_free(html);
}

/* ---------------------------------------------------------------- several runs; a terminal */

TEST(report_compares_runs)
{
    const char *folders[] = {whole_run(), run_folder("second")};
    put_file(
        folders[1], "config.resolved.json",
        "{\"name\":\"second\",\"seed\":42,\"model\":{\"llm\":{\"path\":\"/m/llm\",\"train\":\"lora\"},\"lora\":{\"r\":64,"
        "\"dropout\":0.0}}}");
    put_steps(folders[1], 1, 50, 2);
    char *html = page_of(folders, 2);
    CHECK(holds(html, "<h1>2 runs</h1>") && holds(html, "<g class=\"s0 noisy\" data-name=\"first\">") &&
          holds(html, "<g class=\"s1 noisy\" data-name=\"second\">"));
    CHECK(holds(html, "<code>model.lora.r</code></th><td><bdi>16</bdi></td><td><bdi>64</bdi></td>"));
    CHECK(!holds(html, "<code>model.llm.path") && !holds(html, "<code>seed") && !holds(html, "<code>model.lora.dropout"));
    CHECK_INT(count_of(html, "<h3>Loss</h3>"), 1);
    mem_free(html);
}

static void check_width(const char *text, int columns)
{
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        const size_t n = strcspn(line, "\n");
        const bool command = !strncmp(line, "  build/", 8);
        CHECK_MSG(command || utf8_columns(line, n) <= columns, "%d columns, at most %d are wanted: %.*s", utf8_columns(line, n), columns,
                  (int)n, line);
    }
}

TEST(report_fits_a_terminal)
{
    const char *folder = whole_run();
    static const int WIDTHS[] = {40, 80, 200};
    for (size_t i = 0; i < sizeof WIDTHS / sizeof *WIDTHS; i++) {
        char *text = text_of(&folder, 1, WIDTHS[i], true);
        check_width(text, WIDTHS[i]);
        CHECK(holds(text, "first\n") && holds(text, "Learning rate") && holds(text, "model.lora.r") && holds(text, "--resume"));
        mem_free(text);
    }
    char *text = text_of(&folder, 1, 80, false);
    check_width(text, 80);
    for (const char *p = text; *p; p++)
        CHECK(*p > 0);
    CHECK(holds(text, "time of the steps   ")); /* whole, though longer than most */
    CHECK(holds(text, " A dog  ok\n") && holds(text, "training            #"));
    mem_free(text);
    text = text_of(&folder, 1, 80, true);
    CHECK(holds(text, "training            \u2588\u2584"));
    mem_free(text);
}
