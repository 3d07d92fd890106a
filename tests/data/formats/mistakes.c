/* mistakes.h: lines with their places, the first twenty of many. */
#include <stdio.h>
#include <string.h>

#include "data/formats/mistakes.h"
#include "tests/harness.h"

TEST(mistakes_are_told_together)
{
    Mistakes m = {.lines = NULL};
    CHECK_OK(mistakes_end(&m, ERR_USAGE, "f"));
    mistakes_add(&m, "f.json", 3, 14, "%s must be %d", "x", 1);
    mistakes_add(&m, "--set x", 0, 0, "no");
    mistakes_add_line(&m, "g:1:1: a\ng:2:1: b");
    CHECK_FAILS(mistakes_end(&m, ERR_USAGE, "f"), ERR_USAGE, "f.json:3:14: x must be 1\n--set x: no\ng:1:1: a\ng:2:1: b");
    char wanted[1024] = "";
    for (int i = 0; i < 23; i++) {
        mistakes_add(&m, "f", i + 1, 1, "wrong");
        if (i < 20)
            sprintf(wanted + strlen(wanted), "f:%d:1: wrong\n", i + 1);
    }
    strcat(wanted, "f: and 3 more");
    CHECK_FAILS(mistakes_end(&m, ERR_USAGE, "f"), ERR_USAGE, wanted);
    CHECK_OK(mistakes_end(&m, ERR_USAGE, "f"));
}
