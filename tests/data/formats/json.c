/* json: values, positions, every refusal with its sentence, damage, and cJSON as a second reader. */
#include "data/formats/json_fields.h"
#include "data/formats/json_write.h"

#include <cjson/cJSON.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "tests/data/mutate.h"
#include "tests/harness.h"

static Status parse(JsonDoc **d, const char *text) { return json_parse(d, text, strlen(text), "f.json"); }

TEST(json_reads_values_exactly)
{
    JsonDoc *d;
    REQUIRE_OK(parse(&d, "\xEF\xBB\xBF {\"a\":[1,-0,9223372036854775807,-9223372036854775808,9223372036854775808,1.5e3,1e-400],\n"
                         " \"b\":{\"t\":true,\"f\":false,\"n\":null},\"\":\"x\"}\r\n"));
    const Json *a = json_get(json_root(d), "a"), *e = a->child;
    CHECK_INT(a->length, 7);
    CHECK(e->kind == JSON_INT && e->integer == 1 && e->real == 1.0);
    e = e->next;
    CHECK(e->kind == JSON_INT && e->integer == 0 && signbit(e->real));
    e = e->next;
    CHECK(e->kind == JSON_INT && e->integer == INT64_MAX);
    e = e->next;
    CHECK(e->kind == JSON_INT && e->integer == INT64_MIN);
    e = e->next;
    CHECK(e->kind == JSON_REAL && e->real == 0x1p63);
    e = e->next;
    CHECK(e->kind == JSON_REAL && e->real == 1500.0);
    e = e->next;
    CHECK(e->kind == JSON_REAL && e->real == 0.0);
    const Json *b = json_get(json_root(d), "b");
    CHECK(json_get(b, "t")->boolean && !json_get(b, "f")->boolean && json_get(b, "n")->kind == JSON_NULL);
    CHECK_STR(json_get(json_root(d), "")->string, "x");
    CHECK(!json_get(json_root(d), "A") && !json_get(a, "a") && !json_get(NULL, "a"));
    json_free(&d);
    CHECK(!d);
}

TEST(json_knows_line_and_column_in_characters)
{
    JsonDoc *d;
    REQUIRE_OK(parse(&d, "{\"é\u2581\": 1, \"k\":\n\t[true, \"🦙\", 7]}"));
    const Json *m = json_root(d)->child;
    CHECK(m->line == 1 && m->column == 8 && m->key_line == 1 && m->key_column == 2);
    m = m->next;
    CHECK(m->line == 2 && m->column == 2 && m->key_line == 1 && m->key_column == 11);
    CHECK(m->child->next->column == 9 && m->child->next->next->column == 14);
    json_free(&d);
}

TEST(json_decodes_escapes)
{
    JsonDoc *d;
    REQUIRE_OK(parse(&d, "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20aC\\ud83e\\udd99\", \"a\\u0000b\", "
                         "\"\\ud800x\\udc00\\ud800\\ud83e\\udd99\"]"));
    const Json *e = json_root(d)->child;
    CHECK_STR(e->string, "\"\\/\b\f\n\r\tA\u00e9\u20ac\U0001f999");
    e = e->next;
    CHECK(e->length == 3 && !memcmp(e->string, "a\0b", 4));
    CHECK_STR(e->next->string, "\uFFFDx\uFFFD\uFFFD\U0001f999");
    CHECK_INT(json_replaced_surrogates(d), 3);
    json_free(&d);
}

TEST(json_of_strangers_takes_the_last_of_equal_keys)
{
    static const char TEXT[] = "{\"a\":1,\"b\":2,\"a\":[3]}";
    JsonDoc *d;
    CHECK_FAILS(json_parse_at(&d, TEXT, strlen(TEXT), "x", 1, 1), ERR_DATA, "x:1:14: the key \"a\" stands twice in this object");
    REQUIRE_OK(json_parse_loose(&d, TEXT, strlen(TEXT), "x", 1, 1));
    CHECK_INT(json_root(d)->length, 3);
    CHECK_INT(json_get(json_root(d), "a")->integer, 1);
    CHECK_INT(json_get_last(json_root(d), "a")->kind, JSON_ARRAY);
    CHECK_INT(json_get_last(json_root(d), "b")->integer, 2);
    CHECK(!json_get_last(json_root(d), "c") && !json_get_last(json_get(json_root(d), "a"), "a") && !json_get_last(NULL, "a"));
    json_free(&d);
    CHECK_FAILS(json_parse_loose(&d, "{\"a\":}", 6, "x", 7, 1), ERR_DATA, "x:7:6: expected a value, found '}'");
}

TEST(json_refuses_with_position_and_cause)
{
    static const char *const CASES[][2] = {
        {"", "1:1: expected a value, found the end of the file"},
        {" \n ", "2:2: expected a value, found the end of the file"},
        {"{\"a\":1 \"b\":2}", "1:8: expected ',' or '}' after a value, found '\"'"},
        {"[1 2]", "1:4: expected ',' or ']' after an element, found '2'"},
        {"{\n  \"a\": 1,\n}", "2:9: trailing comma: remove the ',' before '}'"},
        {"[1,]", "1:3: trailing comma: remove the ',' before ']'"},
        {"{\"a\" 1}", "1:6: expected ':' after a key, found '1'"},
        {"{a:1}", "1:2: expected a key in double quotes or '}', found 'a'"},
        {"{\"a\":1, b:1}", "1:9: expected a key in double quotes, found 'b'"},
        {"{\"é\":1,\n\"é\":2}", "2:1: the key \"é\" stands twice in this object"},
        {"{\"a\\u0000\":1}", "1:2: a key may not hold \\u0000"},
        {"{\"a\":}", "1:6: expected a value, found '}'"},
        {"{\"a\":1", "1:7: expected ',' or '}' after a value, found the end of the file"},
        {"[1] x", "1:5: expected nothing after the value, found 'x'"},
        {"[é]", "1:2: expected a value, found 'é'"},
        {"[\x01]", "1:2: expected a value, found the control character 0x01"},
        {"[\xFF]", "1:2: expected a value, found the byte 0xff, which is not UTF-8"},
        {"[NaN]", "1:2: NaN is not JSON: numbers are finite"},
        {"[-Infinity]", "1:2: -Infinity is not JSON: numbers are finite"},
        {"[True]", "1:2: 'True' is not JSON: write true"},
        {"['a']", "1:2: a string needs double quotes, found a single one"},
        {"// x\n1", "1:1: JSON has no comments: use a key that begins with //"},
        {"{\"a\": 3 // few\n}", "1:9: JSON has no comments: use a key that begins with //"},
        {"{ /* few */ \"a\": 3}", "1:3: JSON has no comments: use a key that begins with //"},
        {"{\"a\": [1, 2 # few\n]}", "1:13: JSON has no comments: use a key that begins with //"},
        {"[1] // few", "1:5: JSON has no comments: use a key that begins with //"},
        {"[01]", "1:2: a number may not begin with 0"},
        {"[-]", "1:3: expected a digit, found ']'"},
        {"[1.]", "1:4: expected a digit after the decimal point, found ']'"},
        {"[1e+]", "1:5: expected a digit of the exponent, found ']'"},
        {"[.5]", "1:2: expected a value, found '.'"},
        {"[1e999]", "1:2: this number is larger than a double can hold"},
        {"[\"a\nb\"]", "1:2: this string has no closing quote on its line (a line break inside is written \\n)"},
        {"[\"abc", "1:2: this string has no closing quote"},
        {"[\"abc\\", "1:7: expected the rest of a string, found the end of the file"},
        {"[\"\\q\"]", "1:3: unknown escape: a backslash before 'q'"},
        {"[\"\\u12G4\"]", "1:3: '\\u' needs four hexadecimal digits"},
        {"[\"a\tb\"]", "1:4: the control character 0x09 inside a string is written \\u0009"},
        {"[\"\xC0\x80\"]", "1:3: expected UTF-8 text, found the byte 0xc0, which is not UTF-8"},
        {"[\"\xED\xA0\x80\"]", "1:3: expected UTF-8 text, found the byte 0xed, which is not UTF-8"},
        {"\xFF\xFE{", "1:1: this is UTF-16; JSON is UTF-8"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        JsonDoc *d;
        char wanted[256];
        snprintf(wanted, sizeof wanted, "f.json:%s", CASES[i][1]);
        CHECK_FAILS(parse(&d, CASES[i][0]), ERR_DATA, wanted);
        CHECK(!d);
    }
}

TEST(json_caps_depth)
{
    char text[140];
    JsonDoc *d;
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    CHECK_OK(json_parse(&d, text, 128, "f.json"));
    json_free(&d);
    memset(text, '[', 65);
    CHECK_FAILS(json_parse(&d, text, 65, "f.json"), ERR_DATA, "f.json:1:65: nested deeper than 64 levels");
}

TEST(json_files_and_their_absence)
{
    JsonDoc *d;
    char path[256], wanted[512];
    snprintf(path, sizeof path, "%s/a.json", test_dir());
    snprintf(wanted, sizeof wanted, "%s: cannot be opened: No such file or directory", path);
    CHECK_FAILS(json_read_file(&d, path), ERR_MISSING, wanted);
    snprintf(wanted, sizeof wanted, "%s: is a folder, expected a file", test_dir());
    CHECK_FAILS(json_read_file(&d, test_dir()), ERR_MISSING, wanted);
    FILE *f = fopen(path, "w");
    REQUIRE(f);
    fputs("{\"a\":\n[1,}", f);
    fclose(f);
    snprintf(wanted, sizeof wanted, "%s:2:3: trailing comma: remove the ',' before '}'", path);
    CHECK_FAILS(json_read_file(&d, path), ERR_DATA, wanted);
    int fd = open(path, O_RDONLY);
    REQUIRE(fd >= 0 && dup2(fd, STDIN_FILENO) >= 0);
    CHECK_FAILS(json_read_file(&d, "-"), ERR_DATA, "standard input:2:3: trailing comma: remove the ',' before '}'");
}

TEST(json_finds_duplicates_among_many_keys)
{
    cJSON *o = cJSON_CreateObject();
    char key[32], *text;
    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        json_add_int(o, key, i);
    }
    json_add_int(o, "k500", 1);
    JsonDoc *d;
    REQUIRE_OK(json_to_text(&text, &o, JSON_INLINE, "f.json"));
    CHECK_INT(json_parse(&d, text, strlen(text), "f.json"), ERR_DATA);
    CHECK(strstr(status_message(), "the key \"k500\" stands twice in this object"));
    mem_free(text);
}

/* ---------------------------------------------------------------- damage, and a second reader */

static const char SAMPLE[] = "{\"name\": \"a\\u00e9\\ud83e\\udd99\\n\", \"n\": [1, -2.5e-3, 1e10, 123456789012], \"t\": true, \"f\": "
                             "false,\n \"deep\": {\"x\": {\"y\": [[], {}, null]}}, \"text\": \"grün\", \"last\": 0}";

static bool same(const Json *a, const cJSON *b)
{
    switch (a->kind) {
    case JSON_NULL: return cJSON_IsNull(b);
    case JSON_BOOL: return cJSON_IsBool(b) && cJSON_IsTrue(b) == a->boolean;
    case JSON_INT:
    case JSON_REAL: return cJSON_IsNumber(b) && b->valuedouble == a->real;
    case JSON_STRING: return cJSON_IsString(b) && !strcmp(a->string, b->valuestring);
    default: break;
    }
    if (a->kind == JSON_ARRAY ? !cJSON_IsArray(b) : !cJSON_IsObject(b))
        return false;
    const cJSON *y = b->child;
    for (const Json *x = a->child; x; x = x->next, y = y->next)
        if (!y || (x->key && strcmp(x->key, y->string)) || !same(x, y))
            return false;
    return !y;
}

TEST(json_damaged_documents_end_with_a_sentence_and_cjson_agrees)
{
    enum { ROUNDS = 30000 };
    int accepted = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        char text[sizeof SAMPLE + 64];
        memcpy(text, SAMPLE, sizeof SAMPLE);
        size_t n = mutate(text, sizeof SAMPLE - 1, round);
        char *exact = mem_alloc(n); /* so that a sanitizer sees a read past the end */
        memcpy(exact, text, n);
        JsonDoc *d = NULL;
        Status s = json_parse(&d, exact, n, "f.json");
        CHECK(s == OK || (s == ERR_DATA && !strncmp(status_message(), "f.json:", 7) && !d));
        if (!s && !json_replaced_surrogates(d) && !memchr(text, 0, n)) {
            cJSON *other = cJSON_ParseWithLength(exact, n);
            accepted++;
            CHECK_MSG(other && same(json_root(d), other), "round %u: cJSON reads another document from %.*s", round, (int)n, text);
            cJSON_Delete(other);
        }
        json_free(&d);
        mem_free(exact);
    }
    CHECK_MSG(accepted > 500, "only %d damaged documents were still JSON", accepted);
}

/* Values of a byte each take a hundred times their text: a row may have a million of them. */
TEST(json_bounds_the_values_of_a_row)
{
    enum { MOST = 1 << 20 };
    char *text = mem_alloc(2 * MOST + 2);
    JsonDoc *d;
    for (size_t i = 0; i <= MOST; i++)
        memcpy(text + 2 * i, i ? ",0" : "[0", 2);
    text[2 * (MOST - 1)] = ']'; /* with the array itself: MOST values */
    REQUIRE_OK(json_parse_at(&d, text, 2 * MOST - 1, "rows.jsonl", 7, 1));
    json_free(&d);
    memcpy(text + 2 * (MOST - 1), ",0]", 3);
    CHECK_FAILS(json_parse_at(&d, text, 2 * MOST + 1, "rows.jsonl", 7, 1), ERR_DATA,
                "rows.jsonl:7:2097152: more than 1048576 values in one row");
    CHECK_OK(json_parse(&d, text, 2 * MOST + 1, "document.json"));
    json_free(&d);
    mem_free(text);
}

/* Python's json writes them, and strict readers refuse them. */
TEST(json_of_python_has_numbers_without_an_end)
{
    JsonDoc *d;
    char path[PATH_MAX];
    FILE *f = fopen(file_join(path, test_dir(), "python.json"), "w");
    REQUIRE(f && fputs("{\"low\": -Infinity, \"high\": Infinity}", f) >= 0 && !fclose(f));
    REQUIRE_OK(json_read_python(&d, path));
    CHECK(json_get(json_root(d), "low")->real == (double)-INFINITY && json_get(json_root(d), "high")->real == (double)INFINITY);
    json_free(&d);
    char wanted[PATH_MAX + 64];
    snprintf(wanted, sizeof wanted, "%s:1:9: -Infinity is not JSON: numbers are finite", path);
    CHECK_FAILS(json_read_file(&d, path), ERR_DATA, wanted);

    JsonFields fields;
    REQUIRE_OK(fields_open(&fields, test_dir(), "python.json"));
    CHECK(fields_real(&fields, fields.top, "high", 7) == 7);
    snprintf(wanted, sizeof wanted, "%s:1:28: high is inf, expected a finite number", path);
    CHECK_STR(status_message(), wanted);
    fields_close(&fields);
}
