/* json_fields.c: see json_fields.h. Called by readers of model folders and of what runs leave behind. */
#include "data/formats/json_fields.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"

static Status check_top(JsonFields *f, Status s)
{
    if (!s) {
        f->top = json_root(f->doc);
        if (f->top->kind != JSON_OBJECT)
            s = fail(ERR_DATA, "%s:%d:%d: expected an object, found %s", f->file, f->top->line, f->top->column,
                     json_kind_name(f->top->kind));
    }
    if (s)
        fields_close(f);
    return s;
}

Status fields_open(JsonFields *f, const char *folder, const char *name)
{
    *f = (JsonFields){.doc = NULL};
    return check_top(f, json_read_file(&f->doc, file_join(f->file, folder, name)));
}

Status fields_parse(JsonFields *f, const char *text, size_t n, const char *name)
{
    *f = (JsonFields){.doc = NULL};
    snprintf(f->file, sizeof f->file, "%s", name);
    return check_top(f, json_parse(&f->doc, text, n, name));
}

void fields_close(JsonFields *f)
{
    json_free(&f->doc);
    f->top = NULL;
}

void fields_refuse(JsonFields *f, const Json *at, const char *key, const char *format, ...)
{
    if (f->status)
        return;
    char what[512], where[32] = "";
    va_list args;
    va_start(args, format);
    status_text_of(what, sizeof what, format, args);
    va_end(args);
    if (at)
        snprintf(where, sizeof where, ":%d:%d", at->line, at->column);
    f->status = fail(ERR_DATA, "%s%s: %s %s", f->file, where, key, what);
}

const Json *fields_get(const Json *object, const char *key)
{
    const Json *v = object ? json_get(object, key) : NULL;
    return v && v->kind != JSON_NULL ? v : NULL;
}

/* The value if it is of a kind, else NULL; a wrong kind is refused. */
static const Json *of_kind(JsonFields *f, const Json *object, const char *key, JsonKind kind, const char *expected)
{
    const Json *v = fields_get(object, key);
    if (v && v->kind != kind) {
        fields_refuse(f, v, key, "is %s, expected %s", json_kind_name(v->kind), expected);
        return NULL;
    }
    return v;
}

int64_t fields_int(JsonFields *f, const Json *object, const char *key, int64_t absent, int64_t low, int64_t high)
{
    const Json *v = of_kind(f, object, key, JSON_INT, "an integer");
    if (!v) {
        if (absent == FIELD_REQUIRED)
            fields_refuse(f, NULL, key, "is missing, expected an integer");
        return absent == FIELD_REQUIRED ? low : absent;
    }
    if (v->integer < low || v->integer > high)
        fields_refuse(f, v, key, "is %" PRId64 ", expected %" PRId64 " … %" PRId64, v->integer, low, high);
    return f->status ? low : v->integer;
}

double fields_real(JsonFields *f, const Json *object, const char *key, double absent)
{
    const Json *v = fields_get(object, key);
    if (!v)
        return absent;
    if (v->kind != JSON_INT && v->kind != JSON_REAL)
        fields_refuse(f, v, key, "is %s, expected a number", json_kind_name(v->kind));
    return f->status ? absent : v->real;
}

bool fields_bool(JsonFields *f, const Json *object, const char *key, bool absent)
{
    const Json *v = of_kind(f, object, key, JSON_BOOL, "true or false");
    return v ? v->boolean : absent;
}

const char *fields_string(JsonFields *f, const Json *object, const char *key, const char *absent)
{
    const Json *v = of_kind(f, object, key, JSON_STRING, "a string");
    return v ? v->string : absent;
}

const Json *fields_object(JsonFields *f, const Json *object, const char *key) { return of_kind(f, object, key, JSON_OBJECT, "an object"); }

void fields_schema(JsonFields *f, const char *schema)
{
    if (strcmp(fields_string(f, f->top, "schema", ""), schema) && !f->status)
        f->status = fail(ERR_DATA, "%s: is not of schema %s", f->file, schema);
}
