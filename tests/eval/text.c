/* eval/text.h: answers are the same when Python's NFC and casefold say so (tests/oracle/unicode.py wrote the values). */
#include "eval/text.h"

#include <stdio.h>
#include <stdlib.h>

#include "kernels/base/arena.h"
#include "tests/harness.h"

enum { LINE_BYTES = 1024 };

static size_t read_hex(const char *hex, char *out)
{
    size_t n = 0;
    for (unsigned byte; sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
        out[n] = (char)byte;
    return n;
}

TEST(answers_are_folded_as_python_does)
{
    const char *other = getenv("UNICODE_CASES"); /* a larger table of the same script */
    FILE *cases = fopen(other ? other : test_fixture("unicode.txt"), "r");
    REQUIRE(cases);
    char text[LINE_BYTES], wanted[LINE_BYTES], line[2 * LINE_BYTES];
    int n_cases = 0;
    for (; fscanf(cases, "%1023s %1023s", text, wanted) == 2; n_cases++) {
        Text found;
        size_t n = read_hex(text, line), n_wanted = read_hex(wanted, line + LINE_BYTES);
        REQUIRE_OK(text_normalise(&found, line, n));
        CHECK_MSG(found.n == n_wanted && !memcmp(found.bytes, line + LINE_BYTES, n_wanted), "%s is not folded to %s but to %zu bytes: %s",
                  text, wanted, found.n, found.bytes);
        mem_free(found.bytes);
    }
    fclose(cases);
    CHECK(n_cases > 300);
}

TEST(bytes_that_are_not_utf8_are_replaced)
{
    Text t;
    bool damaged = false;
    REQUIRE_OK(text_repair(&t, "caf\xC3\xA9", 5, &damaged));
    CHECK_STR(t.bytes, "café");
    CHECK(!damaged);
    mem_free(t.bytes);
    REQUIRE_OK(text_repair(&t, "\xE9\033\xE6\xBC", 4, &damaged));
    CHECK_STR(t.bytes, "\uFFFD\033\uFFFD");
    CHECK(damaged && t.n == 7);
    mem_free(t.bytes);
}
