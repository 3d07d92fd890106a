/* json_values.c: looks into a parsed document and shows its values (json.h). For every reader of JSON. */
#include <stdio.h>
#include <string.h>

#include "data/formats/json.h"
#include "kernels/base/utf8.h"

const Json *json_get(const Json *object, const char *key)
{
    if (!object || object->kind != JSON_OBJECT)
        return NULL;
    for (const Json *m = object->child; m; m = m->next)
        if (!strcmp(m->key, key))
            return m;
    return NULL;
}

const Json *json_get_last(const Json *object, const char *key)
{
    const Json *last = json_get(object, key);
    for (const Json *m = last; m; m = m->next)
        last = strcmp(m->key, key) ? last : m;
    return last;
}

bool json_is_comment(const char *key) { return !strcmp(key, "$schema") || !strncmp(key, "//", 2); }

const char *json_kind_name(JsonKind k)
{
    static const char *const NAMES[] = {"null", "true or false", "an integer", "a number", "a string", "an array", "an object"};
    return NAMES[k];
}

const char *json_show(const Json *v, char *buf, size_t n)
{
    if (v->kind == JSON_STRING)
        snprintf(buf, n, v->length > 60 ? "\"%.*s...\"" : "\"%.*s\"", (int)utf8_whole(v->string, v->length < 60 ? v->length : 60),
                 v->string);
    else if (v->kind == JSON_INT)
        snprintf(buf, n, "%lld", (long long)v->integer);
    else if (v->kind == JSON_REAL)
        snprintf(buf, n, "%.15g", v->real);
    else
        snprintf(buf, n, "%s", v->kind != JSON_BOOL ? json_kind_name(v->kind) : v->boolean ? "true" : "false");
    return buf;
}
