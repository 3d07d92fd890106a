/* json_compare.c: see json_compare.h; train/config and data/prepare call it. */
#include "data/formats/json_compare.h"

#include <string.h>

#include "data/formats/json_write.h"

typedef struct Walk {
    JsonDifference found;
    void *arg;
    char path[1024];
} Walk;

static bool is_same(const Json *a, const Json *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case JSON_NULL: return true;
    case JSON_BOOL: return a->boolean == b->boolean;
    case JSON_INT: return a->integer == b->integer;
    case JSON_REAL: return a->real == b->real;
    case JSON_STRING: return a->length == b->length && !memcmp(a->string, b->string, a->length);
    default: return false;
    }
}

static Status compare(Walk *w, size_t n, const Json *there, const Json *here)
{
    bool nested = there && here && there->kind == here->kind && (here->kind == JSON_OBJECT || here->kind == JSON_ARRAY);
    if (!nested || (here->kind == JSON_ARRAY && there->length != here->length))
        return there && here && is_same(there, here) ? OK : w->found(w->arg, w->path, there, here);
    int i = 0;
    const Json *a = there->child;
    for (const Json *b = here->child; b; b = b->next, a = a && here->kind == JSON_ARRAY ? a->next : a, i++) {
        char *end = w->path + n;
        size_t room = sizeof w->path - n;
        int more = b->key ? snprintf(end, room, "%s%s", n ? "." : "", b->key) : snprintf(end, room, "[%d]", i);
        TRY(compare(w, n + (size_t)more < sizeof w->path ? n + (size_t)more : sizeof w->path - 1, b->key ? json_get(there, b->key) : a, b));
        *end = 0;
    }
    for (a = here->kind == JSON_OBJECT ? there->child : NULL; a; a = a->next) {
        if (json_get(here, a->key))
            continue;
        snprintf(w->path + n, sizeof w->path - n, "%s%s", n ? "." : "", a->key);
        TRY(w->found(w->arg, w->path, a, NULL));
        w->path[n] = 0;
    }
    return OK;
}

Status json_compare(const Json *there, const Json *here, JsonDifference found, void *arg)
{
    Walk w = {.found = found, .arg = arg};
    return compare(&w, 0, there, here);
}

Status json_value_print(FILE *out, const Json *v)
{
    cJSON *tree = v ? json_copy(v) : cJSON_CreateRaw("nothing");
    return json_print(out, &tree, JSON_INLINE, "comparing");
}

Status json_difference_print(FILE *out, const char *path, const Json *there, const Json *here)
{
    fprintf(out, "%s%s: ", ftell(out) ? "\n" : "", path);
    TRY(json_value_print(out, there));
    fputs(" there, ", out);
    TRY(json_value_print(out, here));
    fputs(" here", out);
    return OK;
}
