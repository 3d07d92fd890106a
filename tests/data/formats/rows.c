/* rows.h: where rows begin and end in a file of lines; records.c proves arrays and damage. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/rows.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"

static Rows *open_text(const char *text, size_t n, RowsForm form)
{
    char path[PATH_MAX];
    Rows *rows;
    REQUIRE_OK(file_write(file_join(path, test_dir(), "rows"), text, n));
    REQUIRE_OK(rows_open(&rows, path, form));
    return rows;
}

static void check_row(Rows *rows, const char *text, int line, int column, bool whole, int64_t end)
{
    Row row;
    bool over;
    REQUIRE_OK(rows_next(rows, &row, &over));
    REQUIRE(!over && !row.error);
    CHECK_MSG(row.n == strlen(text) && !memcmp(row.text, text, row.n), "%.*s, wanted %s", (int)row.n, row.text, text);
    CHECK_INT(row.line, line);
    CHECK_INT(row.column, column);
    CHECK_INT(row.whole, whole);
    CHECK_INT(row.end, end);
    if (!row.element) { /* the bytes of a line lie there in the file */
        char bytes[256] = "", path[PATH_MAX];
        FILE *f = fopen(file_join(path, test_dir(), "rows"), "rb");
        REQUIRE(f && row.n < sizeof bytes && !fseek(f, (long)row.start, SEEK_SET) && fread(bytes, 1, row.n, f) == row.n && !fclose(f));
        CHECK_MSG(!memcmp(bytes, text, row.n), "at %lld: %s, wanted %s", (long long)row.start, bytes, text);
    }
}

static void check_end(Rows **rows)
{
    Row row;
    bool over;
    REQUIRE_OK(rows_next(*rows, &row, &over));
    CHECK(over);
    rows_close(rows);
}

TEST(rows_of_lines_know_where_they_end)
{
    static const char TEXT[] = "\xEF\xBB\xBF{\"a\": 1}\r\n\n  [2] \n\t\nfour\nfive";
    for (RowsForm form = ROWS_LINES; form <= ROWS_LINES_OR_ARRAY; form++) {
        Rows *rows = open_text(TEXT, sizeof TEXT - 1, form);
        check_row(rows, "{\"a\": 1}", 1, 1, true, 13);
        check_row(rows, "[2]", 3, 3, true, 21);
        check_row(rows, "four", 5, 1, true, 28);
        check_row(rows, "five", 6, 1, false, 32);
        check_end(&rows);
    }
    Rows *rows = open_text("[1]\n", 4, ROWS_LINES); /* no array here */
    check_row(rows, "[1]", 1, 1, true, 4);
    check_end(&rows);
    rows = open_text("", 0, ROWS_LINES);
    check_end(&rows);
}

TEST(rows_pass_over_a_line_that_is_too_long)
{
    const size_t n = ((size_t)16 << 20) + 10;
    char *text = mem_alloc(n + 3);
    memset(text, 'x', n);
    memcpy(text + n, "\ny", 2);
    Rows *rows = open_text(text, n + 2, ROWS_LINES);
    mem_free(text);
    Row row;
    bool over;
    REQUIRE_OK(rows_next(rows, &row, &over));
    CHECK_STR(row.error, "1:1: a row of more than 16 MiB");
    check_row(rows, "y", 2, 1, false, (int64_t)n + 2);
    check_end(&rows);
}

/* Nothing is read beyond the file. */
TEST(rows_may_end_in_an_escape)
{
    Row row;
    bool over;
    Rows *rows = open_text("[\"abc\\", 6, ROWS_LINES_OR_ARRAY);
    REQUIRE_OK(rows_next(rows, &row, &over));
    CHECK_MSG(!over && row.n == 5 && !memcmp(row.text, "\"abc\\", 5), "%zu bytes", row.n);
    REQUIRE_OK(rows_next(rows, &row, &over));
    CHECK_STR(row.error, "1:7: expected ',' or ']' after a row, found the end of the file");
    check_end(&rows);
    rows = open_text("[{\"a\": \"\\", 9, ROWS_LINES_OR_ARRAY);
    REQUIRE_OK(rows_next(rows, &row, &over));
    CHECK_STR(row.error, "1:2: the file ends inside this row");
    check_end(&rows);
}

/* Each would be read for ever. */
TEST(rows_and_files_of_devices_are_refused)
{
    Rows *rows;
    char *text;
    size_t n;
    CHECK_FAILS(rows_open(&rows, "/dev/zero", ROWS_LINES), ERR_MISSING, "/dev/zero: is a device, expected a file");
    CHECK_FAILS(rows_open(&rows, "/dev", ROWS_LINES), ERR_MISSING, "/dev: is a folder, expected a file");
    CHECK_FAILS(file_read(&text, &n, "/dev/zero", 1 << 30), ERR_MISSING, "/dev/zero: is a device, expected a file");
}

TEST(rows_of_raw_lines_keep_their_blanks)
{
    Rows *rows = open_text("\xEF\xBB\xBF\ta\t\r\n\n\r\n x \xff", 14, ROWS_RAW_LINES);
    check_row(rows, "\ta\t\r", 1, 1, true, 8);
    check_row(rows, "", 2, 1, true, 9);
    check_row(rows, "\r", 3, 1, true, 11);
    check_row(rows, " x ", 4, 1, false, 14);
    check_end(&rows);
    rows = open_text("\x1f\x8b\x08", 3, ROWS_RAW_LINES);
    Row row;
    bool over;
    REQUIRE_OK(rows_next(rows, &row, &over));
    CHECK_STR(row.error, "1:1: this is a gzip file; gunzip FILE unpacks it");
    check_end(&rows);
}

/* "KEY=TEXT|" of every row, and its error. */
static const char *members_of(const char *text)
{
    static char out[1024];
    size_t n = 0;
    Rows *rows = open_text(text, strlen(text), ROWS_MEMBERS);
    Row row;
    bool over;
    for (;;) {
        REQUIRE_OK(rows_next(rows, &row, &over));
        if (over)
            break;
        if (row.error)
            n += (size_t)snprintf(out + n, sizeof out - n, "%s%s|", row.error, row.last ? " (last)" : "");
        else
            n += (size_t)snprintf(out + n, sizeof out - n, "%s=%.*s|", row.key, (int)row.n, row.text);
    }
    out[n] = 0;
    check_end(&rows);
    return out;
}

TEST(rows_of_members)
{
    static const char *const CASES[][2] = {
        {"{}", ""},
        {"\xEF\xBB\xBF {\"a\": [ {\"x\":[1,2]} ,7,\"s,]\" ] , \"b\":{\"a\":[3]},\"c\":null , \"d\\u0041\\\"\":[],\"e\":\"t\" }\n",
         "a={\"x\":[1,2]}|a=7|a=\"s,]\"|b={\"a\":[3]}|c=null|e=\"t\"|"},
        {"{\"d\\u0041\\\"\":1}", "dA\"=1|"},
        {"", "1:1: expected '{' of a JSON object, found the end of the file (last)|"},
        {"[1]", "1:1: expected '{' of a JSON object, found '[' (last)|"},
        {"\xFF\xFE[\1", "1:1: this is a UTF-16 file; iconv -f UTF-16 -t UTF-8 FILE > FILE.utf8 makes UTF-8 of it (last)|"},
        {"PAR1....", "1:1: this is a Parquet file; python3 -c \"import pandas; pandas.read_parquet('FILE').to_json('FILE.jsonl', "
                     "orient='records', lines=True)\" makes rows of it (last)|"},
        {"{1:2}", "1:2: expected a key, found '1' (last)|"},
        {"{\"a\n\":2}", "1:2: expected a key, found '\"' (last)|"},
        {"{\"\\x\":2}", "1:2: this key is no JSON string (last)|"},
        {"{\"a\" 2}", "1:6: expected ':' after a key, found '2' (last)|"},
        {"{\"a\":}", "1:6: expected a value, found '}' (last)|"},
        {"{\"a\":1,}", "a=1|1:8: expected a key, found '}' (last)|"},
        {"{\"a\":[1,]}", "a=1|1:9: expected a row, found ']' (last)|"},
        {"{\"a\":[1 2]}", "a=1|1:9: expected ',' or ']' after a row, found '2' (last)|"},
        {"{\"a\":[1]", "a=1|1:9: expected ',' or '}' after a value, found the end of the file (last)|"},
        {"{\"a\":[{\"b\":1", "1:7: the file ends inside this row (last)|"},
        {"{\"a\":[1]} 2", "a=1|1:11: expected nothing after the object, found '2' (last)|"},
        {"{\"a\":[{\"b\":\"1\n2\"},3]}", "a={\"b\":\"1\n2\"}|a=3|"}, /* whoever parses the row finds what is wrong with it */
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        CHECK_STR(members_of(CASES[i][0]), CASES[i][1]);
}
