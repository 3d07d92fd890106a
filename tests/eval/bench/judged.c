/* eval/bench/llava_bench.c and mm_vet.c: requests to a judge to the letter, scores from replies, damage. */
#include <math.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/rows.h"
#include "kernels/base/arena.h"
#include "tests/eval/bench/golden.h"

typedef struct Wanted {
    Rows *rows;
    int n;
} Wanted;

static Span member(const Json *o, const char *key)
{
    const Json *v = json_get(o, key);
    return v && v->kind == JSON_STRING ? (Span){v->string, v->length} : SPAN("");
}

/* Against the next line of requests.jsonl. */
static Status compare(void *arg, const JudgeRequest *r)
{
    Wanted *w = arg;
    Row row;
    bool end;
    JsonDoc *doc;
    TRY(rows_next(w->rows, &row, &end));
    REQUIRE(!end);
    TRY(json_parse(&doc, row.text, row.n, "requests.jsonl"));
    const Json *body = json_get(json_root(doc), "body"), *messages = json_get(body, "messages"), *user = messages->child;
    CHECK(span_equal(r->id, member(json_root(doc), "custom_id")));
    CHECK(span_equal(r->system, user->next ? member(user, "content") : SPAN("")));
    user = user->next ? user->next : user;
    CHECK_MSG(span_equal(r->user, member(user, "content")), "%.*s", (int)r->user.n, r->user.s);
    CHECK(json_get(body, "temperature")->real == r->temperature);
    CHECK_INT(json_get(body, "max_completion_tokens")->integer, r->max_tokens);
    json_free(&doc);
    w->n++;
    return OK;
}

static Status ask_judge(const char *bench, Scores *counts, JudgeVisit visit, void *arg)
{
    const Bench *b = bench_named(bench);
    const BenchData d = {.dir = test_dir(), .split = b->split};
    const char *file = golden_path("answers.jsonl");
    Answers *a;
    TRY(answers_read(&a, &file, 1, b->key));
    Status s = b->judge(&d, a, counts, visit, arg);
    if (!s)
        s = answers_all_known(a);
    answers_free(&a);
    return s;
}

static void check(const char *bench)
{
    Scores s = {0};
    Wanted w = {NULL, 0};
    golden_world(bench);
    REQUIRE_OK(rows_open(&w.rows, golden_path("requests.jsonl"), ROWS_LINES));
    CHECK_OK(ask_judge(bench, &s, compare, &w));
    CHECK_INT(w.n, 30);
    CHECK_INT(s.n, 30);
    CHECK_INT(s.n_missing, 0);
    rows_close(&w.rows);
    scores_free(&s);
    CHECK_OK(golden_score(&s, bench, NULL));
    golden_check(&s);
    CHECK_INT(s.n, 30);
    CHECK_INT(s.n_missing, 0);
    scores_free(&s);
}

TEST(llava_bench_asks_its_judge_and_scores_the_replies) { check("llava-bench"); }
TEST(mm_vet_asks_its_judge_and_scores_the_replies) { check("mm-vet"); }
TEST(mm_vet_submits_its_result_file) { golden_submission("mm-vet", NULL, "submission.json"); }

static Status nothing(void *arg, const JudgeRequest *r)
{
    (void)arg;
    (void)r;
    return OK;
}

static void check_half(const char *bench, const char *file)
{
    char *bytes;
    size_t n;
    Scores s = {0};
    REQUIRE_OK(file_read(&bytes, &n, golden_path(file), 1 << 20));
    REQUIRE_OK(file_write(golden_path(file), bytes, n / 2));
    Status status = ask_judge(bench, &s, nothing, NULL);
    CHECK_MSG(status == ERR_DATA && strstr(status_message(), file), "half of %s: status %d: %s", file, (int)status, status_message());
    REQUIRE_OK(file_write(golden_path(file), bytes, n));
    scores_free(&s);
    mem_free(bytes);
}

TEST(judged_files_cut_in_half)
{
    golden_world("llava-bench");
    check_half("llava-bench", "questions.jsonl");
    check_half("llava-bench", "context.jsonl");
    check_half("llava-bench", "answers_gpt4.jsonl");
    check_half("llava-bench", "rule.json");
    golden_world("mm-vet");
    check_half("mm-vet", "mm-vet.json");
}

#define REPLY(id, status, body) "{\"custom_id\":\"" id "\",\"response\":{\"status_code\":" #status ",\"body\":{" body "}},\"error\":null}\n"
#define MARK(text) "\"choices\":[{\"message\":{\"content\":\"" text "\"}}]"

/* A judge's reply that failed is as if not there. */
TEST(judged_replies_that_failed_are_missing)
{
    Scores s;
    golden_world("mm-vet");
    golden_write("replies.jsonl",
                 REPLY("mm-vet-1", 200, MARK("1.0"))
                     REPLY("mm-vet-3", 429,
                           "\"error\":{}") "{\"custom_id\":\"mm-vet-2\",\"response\":null,\"error\":{\"code\":\"batch_expired\"}}\n");
    CHECK_OK(golden_score(&s, "mm-vet", NULL));
    CHECK_INT(s.n, 30);
    CHECK_INT(s.n_missing, 29);
    CHECK(golden_value(&s, "total") > 3.33 && golden_value(&s, "total") < 3.34);
    scores_free(&s);
    golden_write("replies.jsonl", REPLY("mm-vet-30", 200, MARK("1.0")));
    CHECK_INT(golden_score(&s, "mm-vet", NULL), ERR_DATA);
    CHECK_MSG(strstr(status_message(), "replies.jsonl:1: answers \"mm-vet-30\""), "%s", status_message());
    scores_free(&s);
}

/* The model gets no mark for it, the reference its mean one; with a reply to every question nothing changes. */
/* The authors' script lets it through, and all of its means are nan then. */
TEST(mm_vet_takes_nan_for_no_mark)
{
    Scores s;
    golden_world("mm-vet");
    golden_write("replies.jsonl", REPLY("mm-vet-0", 200, MARK("nan")) REPLY("mm-vet-1", 200, MARK("1.0")));
    CHECK_OK(golden_score(&s, "mm-vet", NULL));
    CHECK(golden_value(&s, "parse/unparsable") == 1);
    CHECK(fabs(golden_value(&s, "total") - 100.0 / 30) < 1e-12);
    scores_free(&s);
}

TEST(llava_bench_counts_a_missing_reply_as_wrong)
{
    Scores s;
    golden_world("llava-bench");
    golden_write("replies.jsonl", REPLY("llava-bench-0", 200, MARK("8 6")) REPLY("llava-bench-1", 200, MARK("10 3"))
                                      REPLY("llava-bench-2", 200, MARK("good")));
    CHECK_OK(golden_score(&s, "llava-bench", NULL));
    CHECK_INT(s.n, 30);
    CHECK_INT(s.n_missing, 27);
    CHECK(fabs(golden_value(&s, "all/reference") - 56.67) < 1e-9); /* 10·(8 + 10 - 1)/3 */
    CHECK(fabs(golden_value(&s, "all/model") - 2.67) < 1e-9);      /* 10·(6 + 3 - 1)/30 */
    CHECK(fabs(golden_value(&s, "all") - 100 * 0.267 / 5.667) < 1e-9);
    CHECK_INT((int64_t)golden_value(&s, "parse/malformed"), 1);
    scores_free(&s);
}

#define PART(type, text) "{\"type\":\"" type "\",\"text\":\"" text "\"}"

/* Both kinds of body, with a text in parts; one that is only a refusal has none. */
TEST(judged_replies_may_come_in_parts)
{
    Scores s;
    golden_world("mm-vet");
    golden_write("replies.jsonl",
                 REPLY("mm-vet-0", 200, "\"choices\":[{\"message\":{\"content\":[" PART("text", "0.") "," PART("text", "5") "]}}]")
                     REPLY("mm-vet-1", 200, "\"output\":[{\"type\":\"reasoning\",\"content\":[" PART("output_text", "9") "]},"
                                            "{\"type\":\"message\",\"content\":[" PART("output_text", "0.2") ","
                                            PART("output_text", "5") "]}]")
                         REPLY("mm-vet-2", 200, "\"choices\":[{\"message\":{\"content\":null,\"refusal\":\"No.\"}}]"));
    CHECK_OK(golden_score(&s, "mm-vet", NULL));
    CHECK_INT(s.n_missing, 28);
    CHECK(fabs(golden_value(&s, "total") - 100 * 0.75 / 30) < 1e-9);
    scores_free(&s);
}
