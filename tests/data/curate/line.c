/* line: pieces of JSON, and memory that is used again. */
#include "data/curate/line.h"

#include "tests/harness.h"

TEST(line_of_every_piece)
{
    Line l = {.n = 0};
    line_put(&l, "{\"a\":", 5);
    line_quote(&l, "b\"\\\n\x1b\xc3\xa9");
    line_print(&l, ",\"n\":%d,\"c\":", 7);
    line_quote(&l, NULL);
    line_put(&l, ",\"d\":\"", 6);
    line_base64(&l, (const uint8_t *)"\xff\x00\x01", 3);
    line_escape(&l, "\xff", 1);
    line_put(&l, "\"}", 3); /* with the NUL */
    CHECK_OK(line_check(&l));
    CHECK_STR(l.text, "{\"a\":\"b\\\"\\\\\\n\\u001b\xc3\xa9\",\"n\":7,\"c\":null,\"d\":\"/wAB\xef\xbf\xbd\"}");
    line_free(&l);
    CHECK(!l.text && !l.room);
}

TEST(line_without_memory)
{
    Line l = {.n = 0};
    line_put(&l, "x", 1);
    line_base64(&l, NULL, SIZE_MAX / 4);
    line_put(&l, "y", 1);
    CHECK(line_check(&l) == ERR_NOMEM);
    line_free(&l);
}
