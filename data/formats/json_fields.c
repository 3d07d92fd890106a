/* json_fields.c: see json_fields.h. Called by readers of model folders and of what runs leave behind. */
#include "data/formats/json_fields.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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
    return check_top(f, json_read_python(&f->doc, file_join(f->file, folder, name)));
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

/* Adds a line to the mistakes. The same value may be read, and refused, twice; what does not fit is left out. */
static void add_mistake(JsonFields *f, const Json *at, const char *key, const char *format, va_list args)
{
    char what[512], where[32] = "", line[sizeof f->said];
    status_text_of(what, sizeof what, format, args);
    if (at)
        snprintf(where, sizeof where, ":%d:%d", at->line, at->column);
    status_text(line, sizeof line, "%s%s: %s %s", f->file, where, key, what);
    const size_t n = strlen(f->said);
    if (!strstr(f->said, line) && n + strlen(line) + 1 < sizeof f->said)
        snprintf(f->said + n, sizeof f->said - n, "%s%s", n ? "\n" : "", line);
    f->status = fail(ERR_DATA, "%s", f->said);
}

/* A value that is wrong by itself, whatever is wrong with others. */
static void refuse_value(JsonFields *f, const Json *at, const char *key, const char *format, ...) PRINTF_LIKE(4, 5);
static void refuse_value(JsonFields *f, const Json *at, const char *key, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!f->refused)
        add_mistake(f, at, key, format, args);
    va_end(args);
}

void fields_refuse(JsonFields *f, const Json *at, const char *key, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!f->status) {
        add_mistake(f, at, key, format, args);
        f->refused = true;
    }
    va_end(args);
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
        refuse_value(f, v, key, "is %s, expected %s", json_kind_name(v->kind), expected);
        return NULL;
    }
    return v;
}

int64_t fields_int(JsonFields *f, const Json *object, const char *key, int64_t absent, int64_t low, int64_t high)
{
    const Json *v = of_kind(f, object, key, JSON_INT, "an integer");
    if (!v) {
        if (absent == FIELD_REQUIRED && !fields_get(object, key))
            refuse_value(f, NULL, key, "is missing, expected an integer");
        return absent == FIELD_REQUIRED ? low : absent;
    }
    if (v->integer < low || v->integer > high)
        refuse_value(f, v, key, "is %" PRId64 ", expected %" PRId64 " … %" PRId64, v->integer, low, high);
    return f->status ? low : v->integer;
}

double fields_real(JsonFields *f, const Json *object, const char *key, double absent)
{
    const Json *v = fields_get(object, key);
    if (!v)
        return absent;
    if (v->kind != JSON_INT && v->kind != JSON_REAL)
        refuse_value(f, v, key, "is %s, expected a number", json_kind_name(v->kind));
    else if (!isfinite(v->real))
        refuse_value(f, v, key, "is %g, expected a finite number", v->real);
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

/* ---------------------------------------------------------------- keys that may stand in a configuration */

static const FieldRule *find_rule(const FieldRule *table, const char *key)
{
    while (table && table->key && strcmp(table->key, key))
        table++;
    return table && table->key ? table : NULL;
}

const FieldRule *fields_rule(const FieldClass *c, const char *key)
{
    const FieldRule *found = NULL;
    for (int i = 0; i < FIELD_TABLES && !found; i++)
        found = find_rule(c->tables[i], key);
    return found ? found : find_rule(c->others, key);
}

static bool is_nothing(const Json *v)
{
    switch (v->kind) {
    case JSON_NULL: return true;
    case JSON_BOOL: return !v->boolean;
    case JSON_INT:
    case JSON_REAL: return v->real == 0;
    case JSON_ARRAY:
    case JSON_OBJECT: return !v->child;
    default: return false;
    }
}

/* Whether v is the JSON value of n bytes: a plain string, a number or true. */
static bool equals(const Json *v, const char *text, size_t n)
{
    if (v->kind == JSON_STRING)
        return n == v->length + 2 && *text == '"' && !memcmp(text + 1, v->string, v->length);
    if (v->kind == JSON_BOOL)
        return v->boolean && n == 4 && !memcmp(text, "true", 4);
    return (v->kind == JSON_INT || v->kind == JSON_REAL) && (*text == '-' || (*text >= '0' && *text <= '9')) &&
           strtod(text, NULL) == v->real;
}

static bool passes(const FieldRule *r, const Json *v)
{
    if (is_nothing(v) || (r && !r->only))
        return true;
    for (const char *at = r ? r->only : ""; *at;) {
        size_t n = strcspn(at, "|");
        if (equals(v, at, n))
            return true;
        at += n + (at[n] == '|');
    }
    return false;
}

bool fields_harmless(const FieldClass *c, const Json *member)
{
    const FieldRule *r = fields_rule(c, member->key);
    return json_is_comment(member->key) || (r && r == find_rule(c->others, member->key)) || passes(r, member);
}

void fields_known(JsonFields *f, const Json *object, const FieldClass *c)
{
    for (const Json *v = object ? object->child : NULL; v; v = v->next) {
        char shown[64], expected[256] = "";
        const FieldRule *r = fields_rule(c, v->key);
        if (fields_harmless(c, v))
            continue;
        json_show(v, shown, sizeof shown);
        size_t at = 0;
        for (const char *p = r ? r->only : ""; *p && at + 5 < sizeof expected; p++)
            at += (size_t)snprintf(expected + at, sizeof expected - at, *p == '|' ? " or " : "%c", *p);
        if (!r)
            refuse_value(f, v, v->key, "is %s; this key is not known, so it passes only as null, false, 0, {} or []", shown);
        else if (*r->only)
            refuse_value(f, v, v->key, "is %s, expected %s", shown, expected);
        else
            refuse_value(f, v, v->key, "is %s, which is not supported", shown);
    }
}

void fields_schema(JsonFields *f, const char *schema)
{
    if (strcmp(fields_string(f, f->top, "schema", ""), schema) && !f->status)
        f->status = fail(ERR_DATA, "%s: is not of schema %s", f->file, schema);
}
