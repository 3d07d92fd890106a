/* eval/bench/normalise.h: answers become what the official processors make of them (tests/oracle/bench_vqa.py wrote normalise.txt). */
#include "eval/bench/normalise.h"

#include <stdio.h>

#include "tests/harness.h"

enum { LINE_BYTES = 1024 };

static Span read_hex(const char *hex, char *out)
{
    size_t n = 0;
    for (unsigned byte; sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
        out[n] = (char)byte;
    return (Span){out, n};
}

static Span official(Pool *p, Span text) { return answer_words(p, answer_trim(p, text)); }

TEST(answers_are_those_of_the_official_processors)
{
    FILE *cases = fopen(test_fixture("bench/normalise.txt"), "r");
    char hex[3][LINE_BYTES], bytes[3][LINE_BYTES];
    int n = 0;
    Pool pool = {0};
    REQUIRE(cases);
    for (; fscanf(cases, "%1023s %1023s %1023s", hex[0], hex[1], hex[2]) == 3; n++) {
        Span text = read_hex(hex[0], bytes[0]), wanted = read_hex(hex[1], bytes[1]), wanted_vqa = read_hex(hex[2], bytes[2]);
        Span m4c = answer_m4c(&pool, text), vqa = official(&pool, text);
        CHECK_MSG(span_equal(m4c, wanted), "\"%.*s\" is \"%.*s\" to EvalAI, wanted \"%.*s\"", (int)text.n, text.s, (int)m4c.n, m4c.s,
                  (int)wanted.n, wanted.s);
        CHECK_MSG(span_equal(vqa, wanted_vqa), "\"%.*s\" is \"%.*s\" to VQA, wanted \"%.*s\"", (int)text.n, text.s, (int)vqa.n, vqa.s,
                  (int)wanted_vqa.n, wanted_vqa.s);
    }
    CHECK_OK(pool_status(&pool));
    pool_free(&pool);
    fclose(cases);
    CHECK(n > 400);
}

TEST(answers_that_people_checked)
{
    static const char *const CASES[][3] = {{"The Cat's, on a mat.", "cat 's on mat", "cat's on mat"},
                                           {"1,000 - 2,000", "1000 2000", "1000 2000"},
                                           {"a/b", "b", "b"},
                                           {"U.S.A.", "usa", "usa"},
                                           {"2:30 p.m.", "2:30 pm", "2:30 pm"},
                                           {"what's up?", "what 's up", "what's up"},
                                           {"x.y.z 1.2.", "xyz 1.2", "xyz 1.2"},
                                           {"An", "", ""},
                                           {"none", "0", "0"},
                                           {"isnt it", "isn't it", "isn't it"},
                                           {"1,,2", "12", "1 2"},
                                           {"somebody'd", "somebodyd", "somebodyd"}};
    Pool pool = {0};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        CHECK_STR(answer_m4c(&pool, span_of(CASES[i][0])).s, CASES[i][1]);
        CHECK_STR(official(&pool, span_of(CASES[i][0])).s, CASES[i][2]);
    }
    pool_free(&pool);
}
