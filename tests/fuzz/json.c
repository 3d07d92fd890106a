/* json.c: the JSON reader. What it takes is written and read again to the same. */
#include <stdlib.h>
#include <string.h>

#include "data/formats/json_compare.h"
#include "data/formats/json_write.h"
#include "kernels/base/arena.h"
#include "tests/fuzz/fuzz.h"

static Status differs(void *arg, const char *path, const Json *there, const Json *here)
{
    (void)arg, (void)path, (void)there, (void)here;
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    JsonDoc *doc, *again;
    char *text;
    Status s = json_parse(&doc, (const char *)data, n, "input");
    fuzz_check(s);
    if (s)
        return 0;
    cJSON *copy = json_copy(json_root(doc));
    if (!json_to_text(&text, &copy, JSON_PRETTY, "copy")) {
        if (json_parse(&again, text, strlen(text), "again") || json_compare(json_root(doc), json_root(again), differs, NULL))
            abort();
        json_free(&again);
        mem_free(text);
    }
    json_free(&doc);
    return 0;
}
