/* What describes a target image: its own prompt, an instruction, or the question before it; and the form in which texts are compared. */
#include "data/record.h"

#include <string.h>

#include "kernels/base/arena.h"
#include "tests/harness.h"

static void check_prompt(const Record *r, int k, const char *wanted)
{
    char *prompt;
    REQUIRE_OK(record_prompt(r, k, &prompt));
    CHECK_STR(prompt, wanted);
    mem_free(prompt);
}

#define TURN(human, text) {human, text, sizeof(text) - 1}

TEST(record_describes_each_target)
{
    RecordTurn turns[] = {TURN(false, "<gen> is no part of the conversation"), TURN(true, "\xe2\x80\x83 <image>a <image>cat\n"),
                          TURN(false, "<gen><gen"), TURN(true, "<gen> is text here"), TURN(false, "no"), TURN(true, "<image>"),
                          TURN(false, "<gen> and <gen>")};
    Record r = {.task = TASK_EDIT, .turns = turns, .n_turns = 7};
    char *none;
    check_prompt(&r, 0, "a cat");
    check_prompt(&r, 1, "");
    check_prompt(&r, 2, "");
    CHECK_FAILS(record_prompt(&r, 3, &none), ERR_DATA, "the turns have no <gen> number 4");
    r.sd_instruction = "make it a dog";
    check_prompt(&r, 0, "make it a dog");
    check_prompt(&r, 2, "make it a dog");
    r.task = TASK_GENERATE;
    check_prompt(&r, 0, "a cat");
    r.sd_prompt = "a dog";
    check_prompt(&r, 0, "a dog");
    r.task = TASK_EDIT;
    check_prompt(&r, 1, "a dog");
}

TEST(what_rows_say_has_a_form_to_compare)
{
    static const char *const CASES[][2] = {
        {"<image>\nMake  it\tRed.", "make it red"},
        {" \u3000a <image> b\u00a0\n", "a b"},
        {"<image><image>x<image>y", "xy"},
        {"\u00c4B!?.", "\u00c4b"},
        {"a.b ?!", "a.b "}, /* the blank was inside */
        {".!?", ""},
        {"", ""},
        {"<IMAGE> <gen>", "<image> <gen>"},
    };
    char out[64];
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const size_t n = record_comparable(out, CASES[i][0], strlen(CASES[i][0]), ".!?");
        CHECK_MSG(n == strlen(CASES[i][1]) && !memcmp(out, CASES[i][1], n), "%s: \"%.*s\", wanted \"%s\"", CASES[i][0], (int)n, out,
                  CASES[i][1]);
    }
    CHECK_INT(record_comparable(out, "a\0", 2, ".!?"), 2);
    CHECK_INT(record_comparable(out, "a\0 B", 4, ".!?"), 4);
    CHECK(!memcmp(out, "a\0 b", 4));
    CHECK_INT(record_comparable(out, "a.b ?!", 6, " .!?"), 3);
}
