/* utf8.h: what is shown of text that others wrote; status.h: that sentences about it are fit to be shown. */
#include "kernels/base/utf8.h"

#include <stdio.h>
#include <stdlib.h>

#include "kernels/base/status.h"
#include "tests/harness.h"

static const char *shown(const char *text, size_t n, Utf8Form form)
{
    static char out[256];
    CHECK_INT(utf8_show(out, sizeof out, text, n, form), strlen(out));
    return out;
}

TEST(controls_are_shown_as_escapes)
{
    static const struct {
        const char *text, *as_text, *as_line, *as_json;
    } CASES[] = {
        {"plain é Д 漢 🙂", "plain é Д 漢 🙂", "plain é Д 漢 🙂", "plain é Д 漢 🙂"},
        {"\033[31mred\a\b\r", "\\x1b[31mred\\x07\\x08\\r", "\\x1b[31mred\\x07\\x08\\r", "\\u001b[31mred\\u0007\\u0008\\r"},
        {"a\tb\nc", "a\tb\nc", "a\\tb\\nc", "a\\tb\\nc"},
        {"\x7F\xC2\x80\xC2\x9B" "2J\xC2\x9F\xC2\xA0", "\\x7f\\x80\\x9b2J\\x9f\xC2\xA0", "\\x7f\\x80\\x9b2J\\x9f\xC2\xA0",
         "\\u007f\\u0080\\u009b2J\\u009f\xC2\xA0"},
        {"\u202A\u202E\u2066\u2069\u2028\u2029", "\\u202a\\u202e\\u2066\\u2069\\u2028\\u2029", "\\u202a\\u202e\\u2066\\u2069\\u2028\\u2029",
         "\\u202a\\u202e\\u2066\\u2069\\u2028\\u2029"},
        {"\u200F\u202F\u2065\u206A", "\u200F\u202F\u2065\u206A", "\u200F\u202F\u2065\u206A", "\u200F\u202F\u2065\u206A"},
        {"caf\xE9 \xC3", "caf\\xe9 \\xc3", "caf\\xe9 \\xc3", "caf\uFFFD \uFFFD"},
        {"\xED\xA0\x80\xF5\xC0\x80", "\\xed\\xa0\\x80\\xf5\\xc0\\x80", "\\xed\\xa0\\x80\\xf5\\xc0\\x80",
         "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD"},
        {"\xE6\xBC|\xF0\x9F\x99|\xE0\x80|\xF4\x90", "\\xe6\\xbc|\\xf0\\x9f\\x99|\\xe0\\x80|\\xf4\\x90",
         "\\xe6\\xbc|\\xf0\\x9f\\x99|\\xe0\\x80|\\xf4\\x90",
         "\uFFFD|\uFFFD|\uFFFD\uFFFD|\uFFFD\uFFFD"}, /* as Python */
        {"\"\\", "\"\\", "\"\\", "\\\"\\\\"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        size_t n = strlen(CASES[i].text);
        CHECK_STR(shown(CASES[i].text, n, UTF8_TEXT), CASES[i].as_text);
        CHECK_STR(shown(CASES[i].text, n, UTF8_LINE), CASES[i].as_line);
        CHECK_STR(shown(CASES[i].text, n, UTF8_JSON), CASES[i].as_json);
    }
    CHECK_STR(shown("a\0b", 3, UTF8_TEXT), "a\\x00b");
    CHECK_STR(shown("a\0b", 3, UTF8_JSON), "a\\u0000b");
    CHECK_STR(shown("\033\n\"\xE6\xBC\u202E", 8, UTF8_VALID), "\033\n\"\uFFFD\u202E");
}

TEST(what_is_shown_never_ends_inside_a_character)
{
    char out[8];
    CHECK_INT(utf8_show(out, 6, "abc\033", 4, UTF8_TEXT), 3);
    CHECK_STR(out, "abc");
    CHECK_INT(utf8_show(out, 5, "abcé", 5, UTF8_TEXT), 3);
    CHECK_INT(utf8_show(out, 6, "abcé", 5, UTF8_TEXT), 5);
    CHECK_STR(out, "abcé");
    static const char TEXT[] = "aé漢🙂";
    static const size_t WHOLE[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10};
    for (size_t n = 0; n < sizeof TEXT; n++)
        CHECK_INT(utf8_whole(TEXT, n), WHOLE[n]);
    CHECK_INT(utf8_whole("ab\xFF", 3), 3); /* not the beginning of a character */
    CHECK_INT(utf8_whole("a\x80\x80\x80\x80", 5), 5);
}

TEST(cells_are_padded_by_columns)
{
    char *text;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    REQUIRE(out);
    utf8_cell(out, "é\n", 5);
    utf8_cell(out, "long", 2);
    fclose(out);
    CHECK_STR(text, "é\\n  long");
    free(text);
}

TEST(blanks_are_stripped_at_whole_characters)
{
    const char *text = "\u3000 a\u00A0\x1F ";
    size_t n = strlen(text);
    utf8_strip(&text, &n);
    CHECK(n == 1 && *text == 'a');
    text = "a \x80\x80"; /* bytes that are no character are no blank either */
    n = 4;
    utf8_strip(&text, &n);
    CHECK_INT(n, 4);
}

TEST(sentences_are_fit_to_be_shown)
{
    CHECK_FAILS(fail(ERR_DATA, "%s: is damaged", "a\033[2J\nerror: b\xE9"), ERR_DATA, "a\\x1b[2J\\nerror: b\\xe9: is damaged");
    CHECK_FAILS(fail_context(ERR_DATA, "%s", "\u202Ex"), ERR_DATA, "\\u202ex: a\\x1b[2J\\nerror: b\\xe9: is damaged");
    CHECK_FAILS(fail(ERR_DATA, "%s", "two\nlines\a"), ERR_DATA, "two\nlines\\x07"); /* gathered elsewhere */
    CHECK_FAILS(fail(ERR_DATA, "first\n%s", "second"), ERR_DATA, "first\nsecond");
    char *name = malloc(20001);
    REQUIRE(name);
    for (int shift = 0; shift < 4; shift++) {
        for (int i = 0; i < 20000; i++)
            name[i] = "\xF0\x9F\x99\x82"[(i + shift) % 4];
        name[20000] = 0;
        CHECK_INT(fail(ERR_DATA, "%s", name + (4 - shift) % 4), ERR_DATA);
        size_t n = strlen(status_message());
        CHECK(n > STATUS_BYTES - 8 && n % 4 == 0 && utf8_whole(status_message(), n) == n && !strchr(status_message(), '\\'));
        CHECK_INT(fail_context(ERR_DATA, "%.*s", shift, "abc"), ERR_DATA);
        CHECK(!strchr(status_message(), '\\') && utf8_whole(status_message(), strlen(status_message())) == strlen(status_message()));
    }
    free(name);
}
