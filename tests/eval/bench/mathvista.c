/* eval/bench/mathvista.c and mathvista_answer.c: extraction, normalising, queries, the judge, the submission, damage. */
#include <math.h>
#include <stdlib.h>

#include "data/formats/file.h"
#include "eval/bench/mathvista_answer.h"
#include "kernels/base/arena.h"
#include "tests/eval/bench/golden.h"

TEST(mathvista_scores_as_its_authors_do) { golden("mathvista"); }
TEST(mathvista_files_cut_in_half) { golden_halves("mathvista", (const char *const[]){"testmini.json", "query.json", NULL}); }

/* ---------------------------------------------------------------- a reply */

static const MathQuestion CHOICE = {true, {"text", 4}, {(Span[]){{"cat", 3}, {"Big dog", 7}, {"dog", 3}}, 3}, 0},
                          INTEGER = {false, {"integer", 7}, {NULL, 0}, 0}, FLOAT1 = {false, {"float", 5}, {NULL, 0}, 1},
                          FLOAT2 = {false, {"float", 5}, {NULL, 0}, 2}, LIST = {false, {"list", 4}, {NULL, 0}, 0},
                          TEXT = {false, {"text", 4}, {NULL, 0}, 0};

TEST(mathvista_extracts_by_rules)
{
    static const struct {
        const MathQuestion *q;
        const char *reply, *wanted; /* a '=' before it: as it stands */
    } CASES[] = {
        {&CHOICE, "", "="},
        {&CHOICE, "dog", "=dog"},
        {&CHOICE, "Dog", "dog"},
        {&CHOICE, "(a) or (C), not (D)", "(C)"},
        {&CHOICE, "A, no (b)", "(B)"},
        {&CHOICE, "A then B. Cx éC C1", "(B)"},
        {&CHOICE, "Ich: C", "(C)"},
        {&CHOICE, "a big DOG and a cat", "Big dog"},
        {&CHOICE, "a bird", "a bird"},
        {&INTEGER, " +1_4 ", "= +1_4 "},
        {&INTEGER, "14.0", "14.0"},
        {&INTEGER, "12 of 1,234,5.5 men", "12345.5"},
        {&INTEGER, "x-3", "-3"},
        {&INTEGER, "3-.5e", "-.5"},
        {&INTEGER, "7e-2.", "7e-2"},
        {&INTEGER, "5.", "5"},
        {&INTEGER, "inf", ""},
        {&INTEGER, "none", ""},
        {&FLOAT1, "inf", "=inf"},
        {&FLOAT1, "1e400", "=1e400"},
        {&FLOAT1, "0.30 cm", "0.30"},
        {&LIST, "[1] or [2, 3]", "[2, 3]"},
        {&LIST, "[[1, 2]]", "[1, 2]"},
        {&LIST, "[3] and [ 4", "[3]"},
        {&LIST, "] 3", ""},
        {&TEXT, "any", "any"},
    };
    Pool pool = {0};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Span found;
        const bool direct = mathvista_is_direct(span_of(CASES[i].reply), CASES[i].q, &found);
        if (!direct)
            found = mathvista_extract(&pool, span_of(CASES[i].reply), CASES[i].q);
        found = span_print(&pool, "%s%.*s", direct ? "=" : "", (int)found.n, found.s);
        CHECK_MSG(span_is(found, CASES[i].wanted), "\"%s\": %s, wanted %s", CASES[i].reply, found.s, CASES[i].wanted);
    }
    pool_free(&pool);
}

TEST(mathvista_writes_answers_as_python_does)
{
    static const struct {
        const MathQuestion *q;
        const char *extraction, *wanted; /* NULL: no number */
    } CASES[] = {
        {&CHOICE, " (b) it", "Big dog"},
        {&CHOICE, "C", "dog"},
        {&CHOICE, "c", "cat"},
        {&CHOICE, "(z)", "cat"}, /* the letter is nearest to the first of equals */
        {&CHOICE, "", "cat"},
        {&CHOICE, "Big cat", "Big dog"},
        {&CHOICE, "d\u00f6g", "dog"}, /* of characters, not of bytes */
        {&INTEGER, "14.9", "14"},
        {&INTEGER, "-0.4", "0"},
        {&INTEGER, "1e22", "10000000000000000000000"},
        {&INTEGER, "nan", NULL},
        {&INTEGER, "1e400", NULL},
        {&INTEGER, "", NULL},
        {&FLOAT1, "2", "2.0"},
        {&FLOAT1, "0.30", "0.3"},
        {&FLOAT1, "0.25", "0.2"},
        {&FLOAT1, "-0.01", "-0.0"},
        {&FLOAT1, "nan", "nan"},
        {&FLOAT1, "1e400", "inf"},
        {&FLOAT1, "1e16", "1e+16"},
        {&FLOAT2, "2.675", "2.67"},
        {&FLOAT2, "1.005", "1.0"},
        {&FLOAT2, "x", NULL},
        {&LIST, "[1, 2]", "[1, 2]"},
    };
    Pool pool = {0};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Span found;
        const bool is = mathvista_normalise(&pool, span_of(CASES[i].extraction), CASES[i].q, &found);
        CHECK_MSG(is ? CASES[i].wanted && span_is(found, CASES[i].wanted) : !CASES[i].wanted, "\"%s\": %.*s, wanted %s",
                  CASES[i].extraction, is ? (int)found.n : 4, is ? found.s : "none", CASES[i].wanted ? CASES[i].wanted : "none");
    }
    pool_free(&pool);
}

/* ---------------------------------------------------------------- queries */

static void check_query(const char *rest, const char *wanted)
{
    char out[4096], file[1024];
    snprintf(file, sizeof file, "{\"5\":{\"question\":\"How many?\",\"image\":\"images/5.jpg\",%s}}", rest);
    golden_write("testmini.json", file);
    CHECK_OK(golden_questions(out, sizeof out, "mathvista", NULL));
    CHECK_STR(out, wanted);
}

TEST(mathvista_builds_queries_that_the_file_lacks)
{
    check_query(
        "\"question_type\":\"multi_choice\",\"answer_type\":\"text\",\"choices\":[\"1\",\"2\"]",
        "5|Question: How many?\nChoices:\n(A) 1\n(B) 2\nHint: Please answer the question and provide the correct option letter, "
        "e.g., A, B, C, "
        "D, at the end.\nSolution:||images/5.jpg\n");
    check_query(
        "\"question_type\":\"free_form\",\"answer_type\":\"integer\",\"unit\":\"cm\"",
        "5|Question: How many? (Unit: cm)\nHint: Please answer the question requiring an integer answer and provide the final "
        "value, e.g., 1, "
        "2, 3, at the end.\nSolution:||images/5.jpg\n");
    check_query(
        "\"question_type\":\"free_form\",\"answer_type\":\"float\",\"precision\":1.0",
        "5|Question: How many?\nHint: Please answer the question requiring a floating-point number with one decimal place and "
        "provide the final "
        "value, e.g., 1.2, 1.3, 1.4, at the end.\nSolution:||images/5.jpg\n");
    check_query(
        "\"question_type\":\"free_form\",\"answer_type\":\"float\",\"precision\":2,\"unit\":null",
        "5|Question: How many?\nHint: Please answer the question requiring a floating-point number with two decimal places and "
        "provide the final "
        "value, e.g., 1.23, 1.34, 1.45, at the end.\nSolution:||images/5.jpg\n");
    check_query(
        "\"question_type\":\"free_form\",\"answer_type\":\"list\",\"unit\":\"\"",
        "5|Question: How many?\nHint: Please answer the question requiring a Python list as an answer and provide the final list, "
        "e.g., [1, 2, 3], "
        "[1.2, 1.3, 1.4], at the end.\nSolution:||images/5.jpg\n");
    check_query("\"question_type\":\"free_form\",\"answer_type\":\"float\",\"precision\":3",
                "5|Question: How many?\nSolution:||images/5.jpg\n");
    golden_write("query.json", "{\"5\":\"Hint: go.\\nQuestion: How many?\"}");
    check_query("\"question_type\":\"free_form\",\"answer_type\":\"list\"", "5|Hint: go.\nQuestion: How many?||images/5.jpg\n");
}

/* ---------------------------------------------------------------- the judge */

static Answers *read_answers(void)
{
    const char *file = golden_path("answers.jsonl");
    Answers *a;
    REQUIRE_OK(answers_read(&a, &file, 1, NULL));
    return a;
}

static Status check_request(void *arg, const JudgeRequest *r)
{
    ++*(int *)arg;
    CHECK(span_is(r->id, "5") && !r->system.n && r->temperature == 0 && r->max_tokens == 1024);
    CHECK_STR(r->user.s, "Demo\n1.\n\nHow?\n\nabout 7 \n\nExtracted answer: ");
    return OK;
}

TEST(mathvista_asks_its_judge_for_what_is_not_direct)
{
    const Bench *b = bench_named("mathvista");
    const BenchData d = {.dir = test_dir(), .split = "testmini"};
    Scores counts = {0};
    int n = 0;
    golden_write("testmini.json",
                 "{\"5\":{\"question_type\":\"free_form\",\"answer_type\":\"integer\"},\"6\":{\"question_type\":\"free_form\","
                 "\"answer_type\":\"integer\"},\"7\":{\"question_type\":\"free_form\",\"answer_type\":\"integer\"}}");
    golden_write("query.json", "{\"5\":\"How?\",\"6\":\"How?\",\"7\":\"How?\"}");
    golden_write("answers.jsonl", "{\"question_id\":\"5\",\"text\":\"about 7 \"}\n{\"question_id\":\"6\",\"text\":\"7\"}\n"
                                  "{\"question_id\":\"7\",\"text\":\"\"}\n");
    Answers *a = read_answers();
    CHECK_INT(b->judge(&d, a, &counts, check_request, &n), ERR_MISSING);
    CHECK(strstr(status_message(), "ext_ans.txt"));
    golden_write("ext_ans.txt", "\nDemo\n1.\n\n");
    CHECK_OK(b->judge(&d, a, &counts, check_request, &n));
    CHECK_INT(n, 1);
    CHECK_INT(counts.n, 3);
    CHECK_INT(counts.n_missing, 0);
    answers_free(&a);
    golden_write("testmini.json", "{\"a b\":{\"question_type\":\"free_form\",\"answer_type\":\"integer\"}}");
    golden_write("answers.jsonl", "{\"question_id\":\"a b\",\"text\":\"about 7 \"}\n");
    a = read_answers();
    CHECK_INT(b->judge(&d, a, &counts, check_request, &n), ERR_DATA);
    CHECK(strstr(status_message(), "/testmini.json:1: \"a b\" cannot name a request: expected at most 64 of A-Z a-z 0-9 _ -"));
    answers_free(&a);
}

TEST(mathvista_scores_by_its_judge)
{
    const Bench *b = bench_named("mathvista");
    const BenchData d = {.dir = golden_world("mathvista"), .split = "testmini"};
    const char *file = golden_path("replies.jsonl");
    Answers *a = read_answers(), *replies;
    Scores s = {0};
    REQUIRE_OK(answers_read_replies(&replies, &file, 1));
    REQUIRE_OK(b->score_replies(&d, a, replies, &s));
    CHECK_OK(answers_all_known(replies));
    REQUIRE_OK(file_copy(golden_path("judged.txt"), golden_path("scores.txt")));
    golden_check(&s);
    CHECK_INT(s.n_missing, 0);
    scores_free(&s);
    answers_free(&replies);
    golden_write("replies.jsonl", "");
    file = golden_path("replies.jsonl");
    REQUIRE_OK(answers_read_replies(&replies, &file, 1));
    REQUIRE_OK(b->score_replies(&d, a, replies, &s));
    CHECK_MSG(s.n_missing > 20 && s.n_missing < 48, "%d are missing", (int)s.n_missing); /* of what is direct nothing is asked */
    scores_free(&s);
    answers_free(&replies);
    answers_free(&a);
}

/* ---------------------------------------------------------------- the submission */

TEST(mathvista_submits_problems_with_their_replies)
{
    const Bench *b = bench_named("mathvista");
    const BenchData d = {.dir = test_dir(), .split = "testmini"};
    char *text;
    size_t n;
    golden_write("testmini.json",
                 "{\"5\":{\"question\":\"Q\",\"query\":\"old\",\"question_type\":\"free_form\",\"answer_type\":\"integer\"},"
                 "\"6\":{\"question\":\"Q\",\"pid\":\"6\",\"question_type\":\"free_form\",\"answer_type\":\"integer\"},"
                 "\"7\":{\"question_type\":\"free_form\",\"answer_type\":\"integer\"}}");
    golden_write("query.json", "{\"5\":\"How?\",\"6\":\"Who?\"}");
    golden_write("answers.jsonl", "{\"question_id\":\"6\",\"text\":\"x\"}\n{\"question_id\":\"5\",\"text\":\"7\"}\n");
    Answers *a = read_answers();
    REQUIRE_OK(b->submit(&d, a, golden_path("out.json")));
    REQUIRE_OK(file_read(&text, &n, golden_path("out.json"), 1 << 20));
    CHECK_STR(text,
              "{\n\"5\": {\"question\":\"Q\",\"question_type\":\"free_form\",\"answer_type\":\"integer\",\"pid\":\"5\",\"query\":\"How?\","
              "\"response\":\"7\"},\n\"6\": {\"question\":\"Q\",\"pid\":\"6\",\"question_type\":\"free_form\",\"answer_type\":\"integer\","
              "\"query\":\"Who?\",\"response\":\"x\"}\n}\n");
    mem_free(text);
    answers_free(&a);
}

static void refused(const char *problem, const char *why)
{
    Scores s;
    char file[512], wanted[512];
    snprintf(file, sizeof file, "{\"5\":%s}", problem);
    golden_write("testmini.json", file);
    golden_write("answers.jsonl", "");
    snprintf(wanted, sizeof wanted, "%s/testmini.json%s", test_dir(), why);
    CHECK_FAILS(golden_score(&s, "mathvista", NULL), ERR_DATA, wanted);
    scores_free(&s);
}

TEST(mathvista_refuses_what_is_no_problem)
{
    refused("4", ":1:6: is an integer, expected a problem, an object");
    refused("{}", ":1:6: \"question_type\" is absent, expected a string");
    refused("{\"question_type\":\"multi_choice\",\"answer_type\":\"text\",\"choices\":null}",
            ":1:69: \"choices\" is null, expected an array");
    refused("{\"question_type\":\"multi_choice\",\"answer_type\":\"text\",\"choices\":[]}",
            ":1:69: problem \"5\" has 0 choices, expected 1 to 26");
    refused("{\"question_type\":\"multi_choice\",\"answer_type\":\"text\",\"choices\":[1]}", ":1:70: a choice is 1, expected a text");
    refused("{\"question_type\":\"free_form\",\"answer_type\":\"float\",\"precision\":1.5}",
            ":1: \"precision\" of problem \"5\" is 1.5, expected a number of decimals");
    refused(
        "{\"question_type\":\"free_form\",\"answer_type\":\"list\",\"answer\":\"\"}",
        ":1: problem \"5\" has no \"answer\": this split has no labels to score with; evaluate … submit writes what the benchmark's "
        "server takes");
    refused("{\"question_type\":\"free_form\",\"answer_type\":\"list\",\"answer\":\"x\"}",
            ":1:6: \"metadata\" is absent, expected an object");
}
