/* eval/bench/mme.c: points, the folder of results, both layouts, damage. */
#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "tests/eval/bench/golden.h"

#define SHORT "\nAnswer the question using a single word or phrase."

TEST(mme_scores_as_its_tool_does) { golden("mme"); }

TEST(mme_files_cut_in_half)
{
    golden_halves("mme", (const char *const[]){"existence/0000.txt", "count/questions_answers_YN/0003.txt",
                                               "OCR/questions_answers_YN/0001.txt", NULL});
}

TEST(mme_asks_two_questions_a_picture)
{
    static char out[1 << 16];
    golden_world("mme");
    REQUIRE_OK(file_make_folders(golden_path("count/images")));
    golden_write("existence/0001.png", "");
    golden_write("count/images/0000.jpg", "");
    CHECK_OK(golden_questions(out, sizeof out, "mme", NULL));
    CHECK(strstr(out, "existence/0000.jpg|Is this existence a?" SHORT "||existence/0000.jpg\n"
                        "existence/0000.jpg|Is this existence b?" SHORT "||existence/0000.jpg\n"
                        "existence/0001.png|Is this existence a?" SHORT "||existence/0001.png\n") == out);
    CHECK(strstr(out, "count/0000.jpg|Is this count a?" SHORT "||count/images/0000.jpg\n"));
}

static Status submit(const char *out)
{
    const Bench *b = bench_named("mme");
    const BenchData d = {.dir = test_dir(), .split = "test"};
    const char *file = golden_path("answers.jsonl");
    Answers *a;
    REQUIRE_OK(answers_read(&a, &file, 1, b->key));
    Status s = b->submit(&d, a, golden_path(out));
    answers_free(&a);
    return s;
}

TEST(mme_writes_the_folder_of_results)
{
    char *bytes;
    size_t n;
    golden_world("mme");
    golden_write("answers.jsonl", "{\"question_id\":\"existence/0000.png\",\"prompt\":\"Is this existence b?"
                                  "\\nAnswer the question using a "
                                  "single word or phrase.\",\"text\":\"Y\\tes\\nno\"}\n");
    for (int twice = 0; twice < 2; twice++) { /* the second time over the first */
        REQUIRE_OK(submit("results"));
        REQUIRE_OK(file_read(&bytes, &n, golden_path("results/existence.txt"), 1 << 20));
        CHECK_MSG(strstr(bytes, "0000.jpg\tIs this existence a? Please answer yes or no.\tNo\t\n"
                                  "0000.jpg\tIs this existence b? Please answer yes or no.\tYes\tY es no\n") == bytes, "%s", bytes);
        mem_free(bytes);
    }
    CHECK(file_exists(golden_path("results/code_reasoning.txt")));
    golden_write("results/notes.md", "mine");
    CHECK_INT(submit("results"), ERR_CREATE);
    CHECK(strstr(status_message(), "holds \"notes.md\", which is no file of a task"));
    CHECK(file_exists(golden_path("results/notes.md")));
}

TEST(mme_leaves_no_half_of_a_folder)
{
    golden_world("mme");
    golden_write("position/0002.txt", "x");
    CHECK_INT(submit("results"), ERR_DATA);
    CHECK(!file_exists(golden_path("results")) && !file_exists(golden_path("results.partial")));
}

static void refused(const char *text, const char *why)
{
    Scores s;
    char wanted[512];
    golden_write("existence/0002.txt", text);
    snprintf(wanted, sizeof wanted, "%s/existence/0002.txt%s", test_dir(), why);
    CHECK_FAILS(golden_score(&s, "mme", NULL), ERR_DATA, wanted);
    scores_free(&s);
}

TEST(mme_refuses_what_are_no_questions)
{
    Scores s;
    golden_world("mme");
    refused("a\tYes\n", ": has 1 questions, expected two a picture");
    refused("a\tYes\nb\tNo\n\nc\tNo", ":4: is a third question, expected two a picture");
    refused("a Yes\nb\tNo\n", ":1: has 0 tabs, expected QUESTION, a tab and Yes or No");
    refused("a\tYes\nb\tb\tNo\n", ":2: has 2 tabs, expected QUESTION, a tab and Yes or No");
    refused("a\tYes\nb\tMaybe\n", ":2: answers \"Maybe\", expected Yes or No");
    golden_world("mme");
    REQUIRE_OK(file_remove(golden_path("celebrity")));
    CHECK_INT(golden_score(&s, "mme", NULL), ERR_MISSING);
    CHECK(strstr(status_message(), "/celebrity"));
    scores_free(&s);
    REQUIRE_OK(file_make_folders(golden_path("celebrity")));
    CHECK_INT(golden_score(&s, "mme", NULL), ERR_MISSING);
    CHECK(strstr(status_message(), "/celebrity: holds no .txt file, expected one a picture"));
    scores_free(&s);
}

TEST(mme_needs_the_prompt)
{
    Scores s;
    golden_world("mme");
    golden_write("answers.jsonl", "{\"question_id\":\"existence/0000.png\",\"text\":\"yes\"}\n");
    CHECK_INT(golden_score(&s, "mme", NULL), ERR_DATA);
    CHECK(strstr(status_message(), "answers.jsonl:1: has no \"prompt\", which tells the questions of a picture apart"));
    scores_free(&s);
}
