/* limit.c: scores of a limited number of questions (BenchData.limit): those that were asked count, and no others. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "eval/bench/commands.h"
#include "kernels/base/arena.h"
#include "tests/eval/bench/golden.h"

/* The ids of the first questions. */
typedef struct Ids {
    Pool pool;
    Span id[128];
    int n, most;
} Ids;

/* MME's ids end as their pictures do, which are not here; MM-Vet's answers may begin as its file does. */
static Span stem_of(Span id)
{
    id = py_starts(id, "v1_") ? span_of(id.s + 3) : id;
    const ptrdiff_t stop = py_rfind(id, SPAN("."));
    return (Span){id.s, stop > 0 ? (size_t)stop : id.n};
}

static Status add_id(void *arg, const BenchQuestion *q)
{
    Ids *ids = arg;
    if (ids->n < ids->most)
        ids->id[ids->n++] = stem_of(span_copy(&ids->pool, q->id));
    return OK;
}

static bool is_among(const Ids *ids, const Json *id)
{
    Pool pool = {0};
    bool found = false;
    const Span text = id->kind == JSON_INT ? span_print(&pool, "%lld", (long long)id->integer) : (Span){id->string, id->length};
    for (int i = 0; i < ids->n; i++)
        found |= span_equal(ids->id[i], stem_of(text));
    pool_free(&pool);
    return found;
}

/* few.jsonl: the answers of answers.jsonl to the questions of these ids. */
static void keep_answers(const Ids *ids)
{
    char *bytes, *line;
    size_t n;
    FILE *out = fopen(golden_path("few.jsonl"), "w");
    REQUIRE(out);
    REQUIRE_OK(file_read(&bytes, &n, golden_path("answers.jsonl"), 1 << 20));
    for (line = strtok(bytes, "\n"); line; line = strtok(NULL, "\n")) {
        JsonDoc *doc;
        REQUIRE_OK(json_parse(&doc, line, strlen(line), "answers"));
        if (is_among(ids, json_get(json_root(doc), "question_id")))
            fprintf(out, "%s\n", line);
        json_free(&doc);
    }
    fclose(out);
    mem_free(bytes);
}

static Status score(Scores *s, const char *bench, int64_t limit, bool allow_missing)
{
    const char *file = golden_path("few.jsonl");
    const Bench *b = bench_named(bench);
    int64_t n_duplicate;
    BenchData d;
    TRY(bench_data(&d, b, test_dir(), NULL));
    d.limit = limit;
    return bench_score(s, &n_duplicate, b, &d, (BenchFiles){&file, 1}, (BenchFiles){NULL, 0}, allow_missing);
}

static void keep_first(const char *bench, int limit)
{
    Ids ids = {.most = limit};
    golden_world(bench);
    const BenchData d = {.dir = test_dir(), .split = bench_named(bench)->split};
    REQUIRE_OK(bench_named(bench)->questions(&d, add_id, &ids));
    REQUIRE(ids.n == limit);
    keep_answers(&ids);
    pool_free(&ids.pool);
}

static const struct {
    const char *bench, *key;
    int limit;
} CASES[] = {{"gqa", "accuracy", 17},   {"vqav2", "overall", 20}, {"vizwiz", "overall", 11}, {"sqa", "all", 13},
             {"seed", "total", 19},     {"mmmu", "overall", 15},  {"mathvista", "average", 20}};

/* Where a question without an answer counts as wrong, all questions together have as many right ones. */
TEST(questions_that_were_not_asked_do_not_count)
{
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Scores all, few;
        keep_first(CASES[i].bench, CASES[i].limit);
        REQUIRE_OK(score(&few, CASES[i].bench, CASES[i].limit, false));
        REQUIRE_OK(score(&all, CASES[i].bench, 0, true));
        CHECK_INT(few.n, CASES[i].limit);
        CHECK_INT(few.n_missing, 0);
        CHECK_INT(all.n_missing, all.n - few.n);
        const double right = golden_value(&few, CASES[i].key) * (double)few.n, wanted = golden_value(&all, CASES[i].key) * (double)all.n;
        CHECK_MSG(wanted > 0 && fabs(right - wanted) <= 1e-9 * wanted, "%s: %.17g hundredths of a question are right, wanted %.17g",
                  CASES[i].bench, right, wanted);
        scores_free(&few);
        scores_free(&all);
    }
}

/* Of POPE the mean of the categories that were asked, of MME the tasks; MMBench joins the rotations that were asked. */
TEST(groups_that_were_not_asked_are_left_out)
{
    Scores s;
    keep_first("pope", 30);
    REQUIRE_OK(score(&s, "pope", 30, false));
    CHECK_INT(s.n, 30);
    CHECK(isnan(golden_value(&s, "popular/f1")) && isnan(golden_value(&s, "adversarial/accuracy")));
    CHECK(golden_value(&s, "f1") > 0 && golden_value(&s, "f1") == golden_value(&s, "random/f1"));
    scores_free(&s);

    keep_first("mme", 10);
    REQUIRE_OK(score(&s, "mme", 10, false));
    CHECK_INT(s.n, 10);
    CHECK(golden_value(&s, "existence") == 162.5); /* as of all questions: its eight are among these */
    CHECK(isnan(golden_value(&s, "color")) && isnan(golden_value(&s, "code_reasoning")));
    CHECK(golden_value(&s, "perception") == golden_value(&s, "existence") + golden_value(&s, "count"));
    CHECK(golden_value(&s, "cognition") == 0);
    scores_free(&s);

    keep_first("mmbench", 20);
    REQUIRE_OK(score(&s, "mmbench", 20, false));
    CHECK_INT(s.n, 20);
    CHECK(golden_value(&s, "parse/base") <= 20);
    scores_free(&s);
}

/* few.jsonl without its last line. */
static void drop_last(void)
{
    char *bytes;
    size_t n;
    REQUIRE_OK(file_read(&bytes, &n, golden_path("few.jsonl"), 1 << 20));
    for (n--; n && bytes[n - 1] != '\n'; n--)
        ;
    REQUIRE_OK(file_write(golden_path("few.jsonl"), bytes, n));
    mem_free(bytes);
}

/* A question that was asked and has no answer is wrong, as without a limit: the others give as many right ones. */
TEST(of_a_limited_number_an_answer_may_be_missing)
{
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Scores all, few;
        const int limit = CASES[i].limit;
        keep_first(CASES[i].bench, limit);
        drop_last();
        CHECK_INT(score(&few, CASES[i].bench, limit, false), ERR_DATA);
        CHECK_MSG(strstr(status_message(), "questions have no answer, which is more than 1 %; --allow-missing counts them as wrong"),
                  "%s: %s", CASES[i].bench, status_message());
        scores_free(&few);
        REQUIRE_OK(score(&few, CASES[i].bench, limit, true));
        REQUIRE_OK(score(&all, CASES[i].bench, 0, true));
        CHECK_INT(few.n, limit);
        CHECK(few.n_missing >= 1);
        CHECK_INT(all.n_missing - few.n_missing, all.n - few.n);
        const double right = golden_value(&few, CASES[i].key) * (double)few.n, wanted = golden_value(&all, CASES[i].key) * (double)all.n;
        CHECK_MSG(fabs(right - wanted) <= 1e-9 * wanted, "%s: %.17g hundredths of a question are right, wanted %.17g", CASES[i].bench,
                  right, wanted);
        scores_free(&few);
        scores_free(&all);
    }
}

/* An answer to a question beyond the limit is one that was not asked. */
TEST(of_a_limited_number_no_other_answers_count)
{
    Scores s;
    keep_first("gqa", 17);
    CHECK(score(&s, "gqa", 10, true) == ERR_DATA);
    CHECK_STR(status_message(), "there are answers to 17 questions, expected those to the first 10, and no others");
    scores_free(&s);
}

/* judged.jsonl: the lines of replies.jsonl about the first questions. */
static void keep_replies(const char *bench, int limit)
{
    char *bytes, *line, *end = NULL, id[64];
    size_t n;
    FILE *out = fopen(golden_path("judged.jsonl"), "w");
    REQUIRE(out);
    REQUIRE_OK(file_read(&bytes, &n, golden_path("replies.jsonl"), 1 << 20));
    snprintf(id, sizeof id, "\"custom_id\":\"%s-", bench);
    for (line = strtok(bytes, "\n"); line; line = strtok(NULL, "\n")) {
        const char *at = strstr(line, id);
        if (at && strtol(at + strlen(id), &end, 10) < limit)
            fprintf(out, "%s\n", line);
    }
    fclose(out);
    mem_free(bytes);
}

static int count_lines(const char *name)
{
    char *bytes;
    size_t n;
    int lines = 0;
    REQUIRE_OK(file_read(&bytes, &n, golden_path(name), 1 << 20));
    for (size_t i = 0; i < n; i++)
        lines += bytes[i] == '\n';
    mem_free(bytes);
    return lines;
}

TEST(a_judge_is_asked_about_a_limited_number)
{
    enum { LIMIT = 5 };
    static const char *const JUDGED[] = {"mm-vet", "llava-bench"};
    for (int i = 0; i < 2; i++) {
        Scores s;
        int64_t n_duplicate;
        BenchData d;
        const Bench *b = bench_named(JUDGED[i]);
        keep_first(JUDGED[i], LIMIT);
        keep_replies(JUDGED[i], LIMIT);
        const char *answers = golden_path("few.jsonl"), *replies = golden_path("judged.jsonl");
        REQUIRE_OK(bench_data(&d, b, test_dir(), NULL));
        d.limit = LIMIT;
        REQUIRE_OK(bench_requests(b, &d, (BenchFiles){&answers, 1}, golden_path("requests.jsonl"), NULL, false));
        CHECK_INT(count_lines("requests.jsonl"), LIMIT);
        REQUIRE_OK(bench_score(&s, &n_duplicate, b, &d, (BenchFiles){0}, (BenchFiles){&replies, 1}, false));
        CHECK_INT(s.n, LIMIT);
        CHECK_INT(s.n_missing, 0);
        if (i == 0) /* marks 1, 0.5, 0, 1 and one that cannot be read */
            CHECK(fabs(golden_value(&s, "total") - 50) <= 1e-12);
        scores_free(&s);
    }
}
