/* What a benchmark may give with its questions and gets back in its answers (eval/ask.h); that answers are right is proved by
 * tests/cli/ask.sh. */
#include "eval/ask.h"

#include <string.h>

#include "data/formats/file.h"
#include "tests/harness.h"

static bool suffix_in_prompt; /* asks the same, and repeats it in the answer */

static Status questions(const BenchData *d, BenchVisit visit, void *arg)
{
    static const uint8_t BROKEN[] = {1, 2, 3};
    char *picture;
    size_t n;
    (void)d;
    TRY(file_read(&picture, &n, test_fixture("images/rgb.jpg"), 1 << 20));
    BenchQuestion q = {.id = SPAN("7"), .number = true, .prompt = suffix_in_prompt ? SPAN("What?\nA letter.") : SPAN("What?"),
                       .suffix = suffix_in_prompt ? SPAN("") : SPAN("\nA letter."), .bytes = (const uint8_t *)picture, .n_bytes = n,
                       .after_id = SPAN("\"round_id\": 0"), .after_text = SPAN("\"options\": [\"a\"], \"option_char\": [\"A\"]")};
    Status s = visit(arg, &q);
    if (!s)
        s = visit(arg, &(BenchQuestion){.id = SPAN("x\"y"), .prompt = SPAN("Why?")});
    q.after_id = SPAN("\"round_id\": 1");
    if (!s)
        s = visit(arg, &q);
    if (!s)
        s = visit(arg, &(BenchQuestion){.id = SPAN("8"), .prompt = SPAN("Who?"), .bytes = BROKEN, .n_bytes = sizeof BROKEN});
    if (!s)
        s = visit(arg, &(BenchQuestion){.id = SPAN("9"), .prompt = SPAN("What is <image>?")});
    mem_free(picture);
    return s;
}

enum { LINES = 5 };
typedef struct Lines {
    char *bytes, *line[LINES];
    AskCounts counts;
} Lines;

/* limit 0: all questions */
static void ask(Lines *l, const char *name, int64_t limit)
{
    static const char *const SETS[] = {"device=cpu"};
    static const Bench BENCH = {.name = "test", .split = "s", .max_new_tokens = 8, .questions = questions};
    char out[PATH_MAX];
    size_t n;
    RunConfig cfg;
    Answerer *a;
    const AskOptions o = {.out = file_join(out, test_dir(), name), .model = "the \"model\""};
    REQUIRE_OK(config_load(&cfg, test_fixture("parity/noise_edit/config.json"), SETS, 1));
    REQUIRE_OK(answerer_open(&a, &cfg, NULL));
    REQUIRE_OK(bench_ask(&BENCH, &(BenchData){.dir = ".", .split = "s", .limit = limit}, a, &o, &l->counts));
    answerer_close(&a);
    config_free(&cfg);
    REQUIRE_OK(file_read(&l->bytes, &n, out, 1 << 20));
    char *at = l->bytes;
    for (int i = 0; i < LINES; i++) {
        l->line[i] = at;
        at = at ? strchr(at, '\n') : NULL;
        if (at)
            *at++ = 0;
    }
}

static bool begins(const char *text, const char *with) { return !strncmp(text, with, strlen(with)); }

/* From the text of the answer to what follows it. */
static Span text_of(const char *line)
{
    const char *text = strstr(line, "\"text\": "), *end = strstr(line, "\"answer_id\": ");
    REQUIRE(text && end);
    return (Span){text, (size_t)(end - text)};
}

TEST(answers_hold_what_the_benchmark_adds_to_them)
{
    Lines l;
    ask(&l, "a.jsonl", 0);
    CHECK_INT(l.counts.n, 5);
    CHECK_INT(l.counts.asked, 5);
    CHECK_INT(l.counts.n_no_picture, 1);
    CHECK_INT(l.counts.n_refused, 1);
    REQUIRE(l.line[4]);
    CHECK(begins(l.line[0], "{\"question_id\": 7, \"round_id\": 0, \"prompt\": \"What?\", \"text\": \""));
    CHECK(strstr(l.line[0], "\", \"options\": [\"a\"], \"option_char\": [\"A\"], \"answer_id\": \""));
    CHECK(begins(l.line[1], "{\"question_id\": \"x\\\"y\", \"prompt\": \"Why?\", \"text\": \""));
    CHECK(strstr(l.line[1], "\"model_id\": \"the \\\"model\\\"\", \"metadata\": {}}"));
    CHECK(begins(l.line[2], "{\"question_id\": 7, \"round_id\": 1, \"prompt\": \"What?\", \"text\": \""));
    CHECK(span_equal(text_of(l.line[0]), text_of(l.line[2])));
    CHECK(begins(l.line[3], "{\"question_id\": \"8\", \"prompt\": \"Who?\", \"text\": \"\", \"answer_id\": \""));
    CHECK(begins(l.line[4], "{\"question_id\": \"9\", \"prompt\": \"What is <image>?\", \"text\": \"\", \"answer_id\": \""));
    mem_free(l.bytes);
}

TEST(a_suffix_is_asked_and_not_repeated)
{
    Lines hidden, shown;
    ask(&hidden, "a.jsonl", 1);
    suffix_in_prompt = true;
    ask(&shown, "b.jsonl", 1);
    CHECK_INT(shown.counts.n, 1);
    CHECK(begins(shown.line[0], "{\"question_id\": 7, \"round_id\": 0, \"prompt\": \"What?\\nA letter.\", \"text\": \""));
    CHECK(span_equal(text_of(hidden.line[0]), text_of(shown.line[0])));
    mem_free(hidden.bytes);
    mem_free(shown.bytes);
}

TEST(a_whole_file_of_answers_is_left_alone)
{
    Lines l;
    char path[PATH_MAX];
    REQUIRE_OK(file_replace(file_join(path, test_dir(), "a.jsonl"), "mine"));
    ask(&l, "a.jsonl", 0);
    CHECK_STR(l.line[0], "mine");
    CHECK_INT(l.counts.n, 0);
    mem_free(l.bytes);
}
