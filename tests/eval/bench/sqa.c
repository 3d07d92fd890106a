/* eval/bench/sqa.c: the letter of a reply, prompts, the splits, damage. */
#include "data/formats/file.h"
#include "tests/eval/bench/golden.h"

#define LETTER "\nAnswer with the option's letter from the given choices directly."

TEST(sqa_scores_as_llava_does) { golden("sqa"); }

TEST(sqa_files_cut_in_half) { golden_halves("sqa", (const char *const[]){"pid_splits.json", "problems.json", NULL}); }

static void put_problem(const char *rest)
{
    char problems[1024];
    snprintf(problems, sizeof problems, "{\"7\":{\"question\":\"Who  is   it?\",\"hint\":\" \",\"choices\":[\"a\",\"b\"]%s}}", rest);
    golden_write("pid_splits.json", "{\"test\":[\"7\"],\"val\":[]}");
    golden_write("problems.json", problems);
}

TEST(sqa_asks_with_and_without_a_picture)
{
    char out[4096];
    put_problem(",\"image\":\"image.png\",\"answer\":1");
    CHECK_OK(golden_questions(out, sizeof out, "sqa", NULL));
    CHECK_STR(out, "7|<image>\nContext: N/A\nQuestion: Who is  it?\nOptions: (A) a (B) b" LETTER "||images/test/7/image.png\n");
    put_problem(",\"image\":null,\"answer\":1");
    CHECK_OK(golden_questions(out, sizeof out, "sqa", NULL));
    CHECK_STR(out, "7|Context: N/A\nQuestion: Who is  it?\nOptions: (A) a (B) b" LETTER "||-\n");
    CHECK_OK(golden_questions(out, sizeof out, "sqa", "val"));
    CHECK_STR(out, "");
}

/* One problem with two choices, the second of them right. */
static Scores score_text(const char *text)
{
    char line[512];
    Scores s;
    put_problem(",\"image\":\"i.png\",\"answer\":1");
    snprintf(line, sizeof line, "{\"question_id\":\"7\",\"text\":\"%s\"}\n", text);
    golden_write("answers.jsonl", line);
    REQUIRE_OK(golden_score(&s, "sqa", NULL));
    return s;
}

TEST(sqa_reads_letters_by_three_rules)
{
    static const struct {
        const char *text;
        int right, failed, outside;
    } CASES[] = {
        {"B", 1, 0, 0},
        {"A", 0, 0, 0},
        {"E", 0, 0, 1},
        {"F", 0, 1, 0},
        {"b", 0, 1, 0},
        {" B", 0, 1, 0},
        {"B.", 0, 1, 0},
        {"B. ", 1, 0, 0},
        {"B. it", 1, 0, 0},
        {"B.\\u00a0it", 0, 1, 0},
        {"The answer is B.", 1, 0, 0},
        {"so The answer is B!", 1, 0, 0},
        {"The answer is B", 0, 1, 0},    /* something must follow */
        {"The answer is B\\n", 0, 1, 0}, /* and be no line break */
        {"The answer is Z.", 0, 0, 1},
        {"The answer is A. The answer is B.", 0, 1, 0},
        {"The answer is BThe answer is A.", 1, 0, 0}, /* the first match takes the T of the second */
        {"the answer is B.", 0, 1, 0},
        {"", 0, 1, 0},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Scores s = score_text(CASES[i].text);
        CHECK_MSG(golden_value(&s, "image") == 100 * CASES[i].right && golden_value(&s, "parse/failed") == CASES[i].failed &&
                      golden_value(&s, "parse/out_of_range") == CASES[i].outside,
                  "\"%s\": %g right, %g failed, %g out of range", CASES[i].text, golden_value(&s, "image"),
                  golden_value(&s, "parse/failed"), golden_value(&s, "parse/out_of_range"));
        scores_free(&s);
    }
}

TEST(sqa_counts_a_missing_answer_as_failed)
{
    Scores s;
    put_problem(",\"image\":\"i.png\",\"answer\":1");
    golden_write("answers.jsonl", "");
    REQUIRE_OK(golden_score(&s, "sqa", NULL));
    CHECK_INT(s.n_missing, 1);
    CHECK(golden_value(&s, "parse/failed") == 1 && golden_value(&s, "image") == 0 && golden_value(&s, "all") == 0);
    scores_free(&s);
}

static void refused(const char *splits, const char *problems, const char *file, const char *why)
{
    Scores s;
    char wanted[512];
    golden_write("pid_splits.json", splits);
    golden_write("problems.json", problems);
    golden_write("answers.jsonl", "");
    snprintf(wanted, sizeof wanted, "%s/%s%s", test_dir(), file, why);
    const Status status = golden_score(&s, "sqa", NULL);
    CHECK_MSG(status == ERR_DATA && !strncmp(status_message(), wanted, strlen(wanted)), "status %d: %s", (int)status, status_message());
    scores_free(&s);
}

TEST(sqa_refuses_what_is_no_problem)
{
    refused("{}", "{}", "pid_splits.json", ":1:1: \"test\" is absent, expected an array");
    refused("{\"test\":[7]}", "{}", "pid_splits.json", ":1:10: is 7, expected the id of a problem, a text");
    refused("{\"test\":[\"7\"]}", "{}", "problems.json", ": has no problem \"7\", which ");
    refused("{\"test\":[\"7\"]}", "{\"7\":{}}", "problems.json", ":1:6: \"choices\" is absent, expected an array");
    refused("{\"test\":[\"7\"]}", "{\"7\":{\"choices\":[]}}", "problems.json", ":1:17: problem \"7\" has 0 choices, expected 1 to 5");
    refused("{\"test\":[\"7\"]}", "{\"7\":{\"choices\":[1]}}", "problems.json", ":1:18: a choice is 1, expected a text");
    refused("{\"test\":[\"7\"]}", "{\"7\":{\"choices\":[\"a\"],\"image\":1}}", "problems.json", ":1:31: \"image\" is 1, expected a string");
    refused("{\"test\":[\"7\"]}", "{\"7\":{\"choices\":[\"a\"]}}", "problems.json", ":1:6: \"answer\" is absent, expected an integer");
    refused("{\"test\":[\"7\"]}", "{\"7\":{\"choices\":[\"a\"],\"answer\":1}}", "problems.json",
            ": problem \"7\" has the answer 1, expected one of its 1 choices, from 0");
}
