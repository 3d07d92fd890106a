/* wording: the form in which records are compared. What makes a reply unfit is proved in reply.c. */
#include "data/curate/wording.h"

#include <string.h>

#include "tests/harness.h"

TEST(texts_are_normalised_to_find_equal_ones)
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
        const size_t n = wording_normalise(out, CASES[i][0], strlen(CASES[i][0]));
        CHECK_MSG(n == strlen(CASES[i][1]) && !memcmp(out, CASES[i][1], n), "%s: \"%.*s\", wanted \"%s\"", CASES[i][0], (int)n, out,
                  CASES[i][1]);
    }
    CHECK_INT(wording_normalise(out, "a\0 B", 4), 4);
    CHECK(!memcmp(out, "a\0 b", 4));
}
