/* eval/bench/answers.h: answers by key from lines, several files and replies of a batch. */
#include "eval/bench/answers.h"

#include "data/formats/file.h"
#include "tests/harness.h"

static const char *put(const char *name, const char *text)
{
    static char path[4][PATH_MAX];
    static int next;
    char *at = path[next++ % 4];
    REQUIRE_OK(file_write(file_join(at, test_dir(), name), text, strlen(text)));
    return at;
}

static Status read_text(Answers **a, const char *text)
{
    const char *file = put("a.jsonl", text);
    return answers_read(a, &file, 1, NULL);
}

/* What is said to a key, or "(none)". */
static const char *said(Answers *a, const char *key)
{
    static char text[256];
    Span s;
    if (!answers_find(a, span_of(key), &s))
        return "(none)";
    snprintf(text, sizeof text, "%.*s", (int)s.n, s.s);
    return text;
}

TEST(answers_are_found_by_id_of_either_type)
{
    Answers *a;
    REQUIRE_OK(read_text(&a, "\xEF\xBB\xBF{\"question_id\":7,\"text\":\"seven\"}\r\n\r\n{\"question_id\":\"b\",\"text\":\"\"}\r\n"
                             "{\"question_id\":\"-3\",\"text\":\"x\\u0000y\"}"));
    CHECK_STR(said(a, "7"), "seven");
    CHECK_STR(said(a, "b"), "");
    CHECK_STR(said(a, "c"), "(none)");
    Span text;
    CHECK(answers_find(a, SPAN("-3"), &text) && text.n == 3);
    CHECK_OK(answers_all_known(a));
    answers_free(&a);
    CHECK(a == NULL);
}

TEST(the_last_answer_counts_over_several_files)
{
    const char *files[2] = {put("1.jsonl", "{\"question_id\":1,\"text\":\"a\"}\n{\"question_id\":\"1\",\"text\":\"b\"}\n"),
                            put("2.jsonl", "{\"question_id\":1,\"text\":\"c\"}\n{\"question_id\":2,\"text\":\"d\"}\n")};
    Answers *a;
    REQUIRE_OK(answers_read(&a, files, 2, NULL));
    CHECK_STR(said(a, "1"), "c");
    CHECK_INT(answers_duplicate(a), 2);
    char wanted[512];
    snprintf(wanted, sizeof wanted, "%s:2: answers \"2\", which is no question of this benchmark and split", files[1]);
    CHECK_FAILS(answers_all_known(a), ERR_DATA, wanted);
    answers_free(&a);
}

TEST(many_answers_are_kept)
{
    enum { N = 20000 };
    char path[PATH_MAX];
    const char *file = file_join(path, test_dir(), "many.jsonl");
    FILE *f = fopen(file, "w");
    REQUIRE(f);
    for (int i = 0; i < N; i++)
        fprintf(f, "{\"question_id\":%d,\"text\":\"t%d\"}\n", i, i);
    fclose(f);
    Answers *a;
    REQUIRE_OK(answers_read(&a, &file, 1, NULL));
    for (int i = 0; i < N; i++) {
        char key[16], text[16];
        snprintf(key, sizeof key, "%d", i);
        snprintf(text, sizeof text, "t%d", i);
        CHECK_STR(said(a, key), text);
    }
    CHECK_OK(answers_all_known(a));
    answers_free(&a);
}

TEST(a_torn_last_line_is_left_out)
{
    Answers *a;
    REQUIRE_OK(read_text(&a, "{\"question_id\":1,\"text\":\"a\"}\n{\"question_id\":2,\"te"));
    CHECK_STR(said(a, "1"), "a");
    CHECK_STR(said(a, "2"), "(none)");
    answers_free(&a);
    REQUIRE_OK(read_text(&a, "")); /* none at all */
    CHECK_STR(said(a, "1"), "(none)");
    CHECK_OK(answers_all_known(a));
    answers_free(&a);
}

/* end: "\n", or "": the last line of a file that nothing follows. */
static void refused_with(const char *end, const char *line, const char *why)
{
    Answers *a;
    char text[512];
    snprintf(text, sizeof text, "{\"question_id\":1,\"text\":\"a\"}\n%s%s", line, end);
    CHECK_INT(read_text(&a, text), ERR_DATA);
    CHECK_MSG(strstr(status_message(), "a.jsonl:2:") && strstr(status_message(), why), "%s: %s", line, status_message());
    CHECK(a == NULL);
}

static void refused(const char *line, const char *why) { refused_with("\n", line, why); }

TEST(lines_that_are_no_answers)
{
    refused("[1]", "is no object, expected an answer a line");
    refused("{\"text\":\"a\"}", "has no \"question_id\", a text or an integer");
    refused("{\"question_id\":1.5,\"text\":\"a\"}", "has no \"question_id\", a text or an integer");
    refused("{\"question_id\":1}", "\"text\" is absent, expected the answer as text");
    refused("{\"question_id\":1,\"text\":null}", "\"text\" is null, expected the answer as text");
    refused("{\"question_id\":1,\"te", "a.jsonl:2:");
}

TEST(a_last_line_that_is_whole_is_not_torn)
{
    refused_with("", "[1]", "is no object, expected an answer a line");
    refused_with("", "{\"question_id\":1,\"text\":null}", "\"text\" is null, expected the answer as text");
}

TEST(replies_of_both_interfaces)
{
    Answers *a;
    const char *file = put("r.jsonl",
                           "{\"custom_id\":\"chat\",\"response\":{\"status_code\":200,"
                           "\"body\":{\"choices\":[{\"message\":{\"content\":\"8 7\"}}]}}}\n"
                           "{\"custom_id\":\"responses\",\"response\":{\"status_code\":200,\"body\":{\"output\":[{\"type\":\"reasoning\"},"
                           "{\"type\":\"message\",\"content\":[{\"type\":\"other\"},{\"type\":\"output_text\",\"text\":\"5\"}]}]}}}\n"
                           "{\"custom_id\":\"failed\",\"response\":{\"status_code\":429,"
                           "\"body\":{\"choices\":[{\"message\":{\"content\":\"x\"}}]}}}\n"
                           "{\"custom_id\":\"null\",\"response\":null,\"error\":{}}\n"
                           "{\"custom_id\":\"empty\",\"response\":{\"status_code\":200,\"body\":{\"choices\":[]}}}\n");
    REQUIRE_OK(answers_read_replies(&a, &file, 1));
    CHECK_STR(said(a, "chat"), "8 7");
    CHECK_STR(said(a, "responses"), "5");
    CHECK_STR(said(a, "failed"), "(none)");
    CHECK_STR(said(a, "null"), "(none)");
    CHECK_STR(said(a, "empty"), "(none)");
    answers_free(&a);
    file = put("r.jsonl", "{\"response\":{}}\n");
    CHECK_INT(answers_read_replies(&a, &file, 1), ERR_DATA);
    CHECK(strstr(status_message(), "r.jsonl:1: has no \"custom_id\", a text"));
}
