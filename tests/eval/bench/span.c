/* eval/bench/span.h: texts and numbers are what Python makes of them (tests/oracle/bench_python.py wrote python.txt). */
#include "eval/bench/span.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/harness.h"

enum { FIELD_BYTES = 2048 };

static Span read_hex(const char *hex, char *out)
{
    size_t n = 0;
    for (unsigned byte; sscanf(hex + 2 * n, "%2x", &byte) == 1; n++)
        out[n] = (char)byte;
    return (Span){out, n};
}

/* ---------------------------------------------------------------- as Python's table has it */

static void put_hex(char *out, Span a)
{
    for (size_t i = 0; i < a.n; i++)
        snprintf(out + 2 * i, 3, "%02x", (unsigned char)a.s[i]);
    if (!a.n)
        strcpy(out, "-");
}

static void put_list(char *out, Spans parts)
{
    *out = 0;
    for (int i = 0; i < parts.n; i++) {
        if (i)
            strcat(out, ",");
        put_hex(out + strlen(out), parts.item[i]);
    }
    if (!parts.n)
        strcpy(out, "[]");
}

static void put_double(char *out, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    snprintf(out, FIELD_BYTES, isnan(v) ? "nan" : "%016" PRIx64, bits);
}

static bool is(const char *op, const char *name) { return !strcmp(op, name); }

/* What ours makes of an argument, into out as the table has results; false: no such operation. */
static bool result_of(Pool *p, const char *op, const char *hex, char *out)
{
    char bytes[FIELD_BYTES];
    Span a = read_hex(hex, bytes);
    double real = 0;
    int64_t integer = 0;
    if (is(op, "lower"))
        put_hex(out, py_lower(p, a));
    else if (is(op, "strip"))
        put_hex(out, py_strip(a));
    else if (is(op, "rstrip"))
        put_hex(out, py_rstrip_set(a, ".?"));
    else if (is(op, "stripset"))
        put_hex(out, py_strip_set(a, "aA."));
    else if (is(op, "split"))
        put_list(out, py_split(p, a));
    else if (is(op, "splitat"))
        put_list(out, py_split_at(p, a, " "));
    else if (is(op, "replace"))
        put_hex(out, py_replace(p, a, "a", "-a-"));
    else if (is(op, "len"))
        snprintf(out, FIELD_BYTES, "%zu", span_chars(a));
    else if (is(op, "float") && py_float(a, &real))
        put_double(out, real);
    else if (is(op, "int") && py_int(a, &integer))
        snprintf(out, FIELD_BYTES, "%" PRId64, integer);
    else if (is(op, "float") || is(op, "int"))
        strcpy(out, "!");
    else if (is(op, "repr")) {
        uint64_t bits = strtoull(hex, NULL, 16);
        memcpy(&real, &bits, sizeof real);
        put_hex(out, py_float_text(p, real));
    } else
        return false;
    return true;
}

TEST(texts_and_numbers_are_those_of_python)
{
    const char *other = getenv("PYTHON_CASES"); /* a larger table of the same script */
    FILE *cases = fopen(other ? other : test_fixture("bench/python.txt"), "r");
    char op[16], argument[FIELD_BYTES], wanted[FIELD_BYTES], found[2 * FIELD_BYTES];
    int n = 0;
    Pool pool = {0};
    REQUIRE(cases);
    for (; fscanf(cases, "%15s %2047s %2047s", op, argument, wanted) == 3; n++) {
        REQUIRE(result_of(&pool, op, argument, found));
        CHECK_MSG(!strcmp(found, wanted), "%s of %s is %s, wanted %s", op, argument, found, wanted);
        pool_reset(&pool);
    }
    pool_free(&pool);
    fclose(cases);
    CHECK(n > 1500);
}

/* ---------------------------------------------------------------- what Python has no name for */

TEST(spans_are_found_joined_and_ordered)
{
    Pool p = {0};
    CHECK_INT(py_find(SPAN("abcabc"), SPAN("bc")), 1);
    CHECK_INT(py_rfind(SPAN("abcabc"), SPAN("bc")), 4);
    CHECK_INT(py_find(SPAN("ab"), SPAN("abc")), -1);
    CHECK_INT(py_rfind(SPAN("ab"), SPAN("abc")), -1);
    CHECK(py_contains(SPAN("ab"), SPAN("")) && py_starts(SPAN("ab"), "a") && !py_starts(SPAN("a"), "ab"));
    CHECK(py_ends(SPAN("ab"), "b") && !py_ends(SPAN("b"), "ab"));
    CHECK(span_compare(SPAN("a"), SPAN("ab")) < 0 && span_compare(SPAN("b"), SPAN("ab")) > 0 && !span_compare(SPAN("a"), SPAN("a")));
    CHECK(span_compare(SPAN("z"), SPAN("é")) < 0);
    CHECK_STR(span_join(&p, (Span[]){SPAN("a"), SPAN(""), SPAN("b")}, 3, ", ").s, "a, , b");
    CHECK_STR(span_join(&p, NULL, 0, ", ").s, "");
    CHECK_STR(span_print(&p, "%d-%s", 5, "x").s, "5-x");
    CHECK_STR(span_copy(&p, (Span){"abc", 2}).s, "ab");
    pool_free(&p);
}

TEST(a_pool_keeps_what_it_gave_until_it_is_reset)
{
    Pool p = {0};
    char *first = pool_push(&p, 10), *large = pool_push(&p, 1 << 20), *last = pool_push(&p, 70000);
    REQUIRE(first && large && last);
    memset(first, 1, 10);
    memset(large, 2, 1 << 20);
    memset(last, 3, 70000);
    CHECK(first[9] == 1 && large[0] == 2 && large[(1 << 20) - 1] == 2 && last[69999] == 3);
    CHECK((uintptr_t)last % 16 == 0);
    pool_reset(&p);
    char *again = pool_push(&p, 10);
    REQUIRE(again);
    CHECK(again[0] == 0 && again[9] == 0);
    CHECK_OK(pool_status(&p));
    pool_free(&p);
}

TEST(bytes_that_are_no_utf8_stay)
{
    Pool p = {0};
    CHECK_STR(py_lower(&p, SPAN("A\xFF\xE2\x82"
                                "B"))
                  .s,
              "a\xFF\xE2\x82"
              "b");
    CHECK_INT(py_split(&p, SPAN("\xFF \xFE")).n, 2);
    pool_free(&p);
}

TEST(numbers_in_digits_of_any_script)
{
    double value;
    int64_t integer;
    CHECK(py_float(SPAN("٣٫"), &value) == false && py_float(SPAN("٣.٤"), &value) && value == 3.4);
    CHECK(py_float(SPAN("\u3000-１２e１\u00a0"), &value) && value == -120);
    CHECK(py_float(SPAN("𝟗"), &value) && value == 9); /* mathematical digits stand five times in a row */
    CHECK(py_int(SPAN("१_०"), &integer) && integer == 10);
    CHECK(!py_int(SPAN("²"), &integer) && !py_int(SPAN("½"), &integer) && !py_int(SPAN("一"), &integer));
}

TEST(numbers_are_rounded_as_python_does)
{
    static const struct {
        double value, wanted;
        int places;
    } CASES[] = {{2.675, 2.67, 2}, {0.125, 0.12, 2}, {0.375, 0.38, 2}, {1.005, 1.0, 2},
                 {2.5, 2, 0},      {-0.25, -0.2, 1}, {1e22, 1e22, 2},  {1e300, 1e300, 2}};
    Pool p = {0};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        CHECK_MSG(py_round(&p, CASES[i].value, CASES[i].places) == CASES[i].wanted, "%g is not rounded to %g", CASES[i].value,
                  CASES[i].wanted);
    CHECK(isnan(py_round(&p, NAN, 2)) && isinf(py_round(&p, -INFINITY, 2)));
    pool_free(&p);
}
