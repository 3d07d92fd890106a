/* json_write.h and json_compare.h: what is written reads back bit for bit, whatever it holds; where two documents differ is named. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/json_compare.h"
#include "data/formats/json_write.h"
#include "kernels/base/arena.h"
#include "tests/harness.h"

TEST(json_written_text_reads_back)
{
    cJSON *o = cJSON_CreateObject();
    char *text;
    json_add_text(o, "text", "a\"\\\n\x01\xc3\xa9\xFF");
    json_add_text(o, "none", NULL);
    json_add_bytes(o, "bytes", "a\0b", 3);
    cJSON *numbers = cJSON_AddArrayToObject(o, "numbers");
    json_add_int(numbers, NULL, INT64_MIN);
    json_add_int(numbers, NULL, ((int64_t)1 << 53) + 1);
    json_add_real(numbers, NULL, 0.1);
    json_add_real(numbers, NULL, 1.0 / 3);
    json_add_real(numbers, NULL, 2);
    json_add_real(numbers, NULL, -0.0);
    json_add_real(numbers, NULL, 1e300);
    json_add_real(numbers, NULL, 4.9406564584124654e-324);
    json_add_real(numbers, NULL, NAN);
    json_add_real(numbers, NULL, -INFINITY);
    cJSON_AddObjectToObject(o, "empty");
    json_add_texts(o, "list", NULL, 0);
    cJSON_AddTrueToObject(o, "yes");
    cJSON_AddRawToObject(o, "raw", "[1]");
    REQUIRE_OK(json_to_text(&text, &o, JSON_PRETTY, "f.json"));
    CHECK_STR(text, "{\n  \"text\": \"a\\\"\\\\\\n\\u0001é\uFFFD\",\n  \"none\": null,\n  \"bytes\": \"a\\u0000b\",\n  \"numbers\": [\n"
                    "    -9223372036854775808,\n    9007199254740993,\n    0.1,\n    0.3333333333333333,\n    2.0,\n    -0.0,\n    "
                    "1e+300,\n    4.94065645841247e-324,\n    null,\n    null\n  ],\n  \"empty\": {},\n  \"list\": [],\n  \"yes\": "
                    "true,\n  \"raw\": [1]\n}\n");
    JsonDoc *d;
    REQUIRE_OK(json_parse(&d, text, strlen(text), "f.json"));
    CHECK(json_get(json_root(d), "numbers")->child->next->next->next->real == 1.0 / 3);
    CHECK_INT(json_get(json_root(d), "bytes")->length, 3);
    mem_free(text);
    cJSON *copy = json_copy(json_root(d));
    REQUIRE_OK(json_to_text(&text, &copy, JSON_INLINE, "f.json"));
    CHECK_STR(text, "{\"text\":\"a\\\"\\\\\\n\\u0001é\uFFFD\",\"none\":null,\"bytes\":\"a\\u0000b\",\"numbers\":[-9223372036854775808,"
                    "9007199254740993,0.1,0.3333333333333333,2.0,-0.0,1e+300,4.94065645841247e-324,null,null],\"empty\":{},\"list\":[],"
                    "\"yes\":true,\"raw\":[1]}");
    json_free(&d);
    mem_free(text);
}

/* What could not be made is said when it is printed; what is added to it is freed. */
TEST(json_without_memory_says_so)
{
    cJSON *none = NULL;
    char *text;
    json_add_int(json_add(none, NULL, cJSON_CreateObject()), "lost", 1);
    CHECK_FAILS(json_to_text(&text, &none, JSON_LINE, "f.json"), ERR_NOMEM, "f.json: no memory for its JSON");
    CHECK(!text);
}

static Status note(void *text, const char *path, const Json *there, const Json *here)
{
    sprintf((char *)text + strlen(text), "%s%s%s;", path, there ? "" : " new", here ? "" : " gone");
    return OK;
}

TEST(json_compare_names_what_differs)
{
    static const char A[] = "{\"same\": [1, 2.5, null, \"x\"], \"number\": 1, \"kind\": 1, \"inside\": {\"a\": [{\"b\": true}], \"gone\": "
                            "0}, \"list\": [1]}";
    static const char B[] = "{\"number\": 2, \"same\": [1, 2.5, null, \"x\"], \"kind\": 1.0, \"inside\": {\"a\": [{\"b\": false}], "
                            "\"new\": {}}, \"list\": [1, 2]}";
    JsonDoc *a, *b;
    char text[256] = "";
    REQUIRE_OK(json_parse(&a, A, strlen(A), "a"));
    REQUIRE_OK(json_parse(&b, B, strlen(B), "b"));
    REQUIRE_OK(json_compare(json_root(a), json_root(b), note, text));
    CHECK_STR(text, "number;kind;inside.a[0].b;inside.new new;inside.gone gone;list;");
    json_free(&a);
    json_free(&b);
}
