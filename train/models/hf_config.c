/* hf_config.c: reads fields of Hugging Face and PEFT settings (hf_config.h). Called by the models. */
#include "train/models/hf_config.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"

Status hf_open(HfConfig *c, const char *folder, const char *name)
{
    char path[PATH_MAX];
    *c = (HfConfig){.file = mem_strdup(file_join(path, folder, name))};
    if (!c->file)
        return fail(ERR_NOMEM, "%s: no memory to read it", path);
    Status s = json_read_file(&c->doc, c->file);
    if (!s) {
        c->top = json_root(c->doc);
        if (c->top->kind != JSON_OBJECT)
            s = fail(ERR_DATA, "%s:%d:%d: expected an object, found %s", c->file, c->top->line, c->top->column,
                     json_kind_name(c->top->kind));
    }
    if (s)
        hf_close(c);
    return s;
}

void hf_close(HfConfig *c)
{
    json_free(&c->doc);
    mem_free(c->file);
    c->file = NULL;
    c->top = NULL;
}

void hf_refuse(HfConfig *c, const Json *at, const char *key, const char *format, ...)
{
    if (c->status)
        return;
    char what[512], where[32] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (at)
        snprintf(where, sizeof where, ":%d:%d", at->line, at->column);
    c->status = fail(ERR_DATA, "%s%s: %s %s", c->file, where, key, what);
}

const Json *hf_get(const Json *object, const char *key)
{
    const Json *v = object ? json_get(object, key) : NULL;
    return v && v->kind != JSON_NULL ? v : NULL;
}

/* The value if it is of a kind, else NULL; a wrong kind is refused. */
static const Json *of_kind(HfConfig *c, const Json *object, const char *key, JsonKind kind, const char *expected)
{
    const Json *v = hf_get(object, key);
    if (v && v->kind != kind) {
        hf_refuse(c, v, key, "is %s, expected %s", json_kind_name(v->kind), expected);
        return NULL;
    }
    return v;
}

int64_t hf_int(HfConfig *c, const Json *object, const char *key, int64_t absent, int64_t low, int64_t high)
{
    const Json *v = of_kind(c, object, key, JSON_INT, "an integer");
    if (!v) {
        if (absent == HF_REQUIRED)
            hf_refuse(c, NULL, key, "is missing, expected an integer");
        return absent == HF_REQUIRED ? low : absent;
    }
    if (v->integer < low || v->integer > high)
        hf_refuse(c, v, key, "is %" PRId64 ", expected %" PRId64 " … %" PRId64, v->integer, low, high);
    return c->status ? low : v->integer;
}

double hf_real(HfConfig *c, const Json *object, const char *key, double absent)
{
    const Json *v = hf_get(object, key);
    if (!v)
        return absent;
    if (v->kind != JSON_INT && v->kind != JSON_REAL)
        hf_refuse(c, v, key, "is %s, expected a number", json_kind_name(v->kind));
    return c->status ? absent : v->real;
}

bool hf_bool(HfConfig *c, const Json *object, const char *key, bool absent)
{
    const Json *v = of_kind(c, object, key, JSON_BOOL, "true or false");
    return v ? v->boolean : absent;
}

const char *hf_string(HfConfig *c, const Json *object, const char *key, const char *absent)
{
    const Json *v = of_kind(c, object, key, JSON_STRING, "a string");
    return v ? v->string : absent;
}

const Json *hf_object(HfConfig *c, const Json *object, const char *key) { return of_kind(c, object, key, JSON_OBJECT, "an object"); }
