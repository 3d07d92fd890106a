/* eval/bench/gqa.c: scores, the submission, damage. */
#include "tests/eval/bench/golden.h"

TEST(gqa_scores_as_its_script_does) { golden("gqa"); }
TEST(gqa_submits_unbalanced_questions_too) { golden_submission("gqa", NULL, "submission.json"); }
TEST(gqa_file_cut_in_half) { golden_halves("gqa", (const char *const[]){"testdev_balanced_questions.json", NULL}); }

TEST(gqa_asks_balanced_questions)
{
    char out[1024];
    golden_write("testdev_balanced_questions.json",
                 "{\"a\":{\"isBalanced\":false},\"b\":{\"isBalanced\":true,\"question\":\"Who?\",\"imageId\":\"n1\"},\"c\":{}}");
    CHECK_OK(golden_questions(out, sizeof out, "gqa", NULL));
    CHECK_STR(out, "b|Who?\nAnswer the question using a single word or phrase.||images/n1.jpg\n");
}

static void refused(const char *question, const char *why)
{
    Scores s;
    char text[512];
    snprintf(text, sizeof text, "{\"a\":\n{\"isBalanced\":true%s}}", question);
    golden_write("testdev_balanced_questions.json", text);
    golden_write("answers.jsonl", "");
    CHECK_INT(golden_score(&s, "gqa", NULL), ERR_DATA);
    CHECK_MSG(strstr(status_message(), why), "%s, wanted %s", status_message(), why);
    scores_free(&s);
}

TEST(gqa_refuses_what_are_no_questions)
{
    refused("", "_questions.json:2:1: \"answer\" is absent, expected a string");
    refused(",\"answer\":5", "_questions.json:2:29: \"answer\" is 5, expected a string");
    refused(",\"answer\":\"x\"", "\"types\" is absent, expected an object");
    refused(",\"answer\":\"x\",\"types\":{}", "\"structural\" is absent, expected a string");
    refused(",\"answer\":\"x\",\"types\":{\"structural\":\"query\"}", "\"semantic\" is absent, expected a string");
}
