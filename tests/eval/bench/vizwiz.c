/* eval/bench/vizwiz.c: scores, submissions and damage. */
#include "tests/eval/bench/golden.h"

#include "data/formats/file.h"

TEST(vizwiz_scores_as_its_evaluators_do) { golden("vizwiz"); }
TEST(vizwiz_submits_every_question) { golden_submission("vizwiz", NULL, "submission.json"); }
TEST(vizwiz_file_cut_in_half) { golden_halves("vizwiz", (const char *const[]){"val.json", NULL}); }

TEST(vizwiz_asks_for_unanswerable)
{
    char out[4096];
    golden_world("vizwiz");
    golden_write("val.json", "[{\"image\":\"VizWiz_val_00000003.jpg\",\"question\":\"Who?\"}]");
    CHECK_OK(golden_questions(out, sizeof out, "vizwiz", NULL));
    CHECK_STR(out, "VizWiz_val_00000003.jpg|Who?\nWhen the provided information is insufficient, respond with 'Unanswerable'.\n"
                   "Answer the question using a single word or phrase.||val/VizWiz_val_00000003.jpg\n");
}

TEST(vizwiz_test_has_no_answers)
{
    Scores s;
    char wanted[512];
    golden_world("vizwiz");
    golden_write("test.json", "[{\"image\":\"a.jpg\",\"question\":\"Who?\"}]");
    snprintf(wanted, sizeof wanted, "%s/test.json:1:2: has no \"answers\", so this split cannot be scored here", test_dir());
    CHECK_FAILS(golden_score(&s, "vizwiz", "test"), ERR_DATA, wanted);
    scores_free(&s);
}

TEST(vizwiz_submission_is_never_short)
{
    const Bench *b = bench_named("vizwiz");
    const char *file;
    Answers *a;
    const BenchData d = {.dir = golden_world("vizwiz"), .split = "val"};
    golden_write("answers.jsonl", "{\"question_id\":\"VizWiz_val_00000000.jpg\",\"text\":\"x\"}\n");
    golden_write("out.json", "before");
    file = golden_path("answers.jsonl");
    REQUIRE_OK(answers_read(&a, &file, 1, b->key));
    CHECK_FAILS(b->submit(&d, a, golden_path("out.json")), ERR_DATA,
                "vizwiz: the question of VizWiz_val_00000001.jpg has no answer, and the server takes no submission that lacks one");
    answers_free(&a);
    char *bytes;
    size_t n;
    REQUIRE_OK(file_read(&bytes, &n, golden_path("out.json"), 100));
    CHECK_STR(bytes, "before");
}
