#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/json.h"
#include "data/formats/utf8.h"
#include "kernels/base/arena.h"

static void put(JsonOut *o, const char *bytes, size_t n)
{
    if (o->failed)
        return;
    if (n + 1 > o->capacity - o->length) {
        size_t capacity = o->capacity ? o->capacity : 256;
        while (capacity - o->length < n + 1)
            capacity *= 2;
        char *grown = mem_grow(o->text, capacity);
        if (!grown) {
            o->failed = true;
            return;
        }
        o->text = grown;
        o->capacity = capacity;
    }
    memcpy(o->text + o->length, bytes, n);
    o->length += n;
    o->text[o->length] = 0;
}

static void put_text(JsonOut *o, const char *s) { put(o, s, strlen(s)); }

static void put_line(JsonOut *o)
{
    if (!o->pretty)
        return;
    put(o, "\n", 1);
    for (int i = 0; i < o->depth; i++)
        put(o, "  ", 2);
}

/* Bytes that are not UTF-8 (file names can hold them) become U+FFFD, so that what is written is JSON. */
static void put_quoted(JsonOut *o, const char *s, size_t n)
{
    size_t plain = 0, i = 0;
    put(o, "\"", 1);
    while (i < n) {
        unsigned char c = (unsigned char)s[i];
        int length = utf8_decode(s + i, n - i, NULL);
        if (length && c >= 0x20 && c != '"' && c != '\\') {
            i += (size_t)length;
            continue;
        }
        char escape[8];
        const char *special = c == '"' ? "\\\"" : c == '\\' ? "\\\\" : c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '\t' ? "\\t" : NULL;
        put(o, s + plain, i - plain);
        if (length && !special)
            snprintf(escape, sizeof escape, "\\u%04x", c);
        put_text(o, !length ? UTF8_REPLACEMENT : special ? special : escape);
        plain = ++i;
    }
    put(o, s + plain, n - plain);
    put(o, "\"", 1);
}

/* What stands before any value: the comma, the line, the key. */
static void put_start(JsonOut *o, const char *key)
{
    if (o->need_comma)
        put(o, ",", 1);
    if (o->depth)
        put_line(o);
    if (key) {
        put_quoted(o, key, strlen(key));
        put_text(o, o->pretty ? ": " : ":");
    }
    o->need_comma = true;
}

static void begin(JsonOut *o, const char *key, const char *bracket)
{
    put_start(o, key);
    put_text(o, bracket);
    o->depth++;
    o->need_comma = false;
}

static void end(JsonOut *o, const char *bracket)
{
    o->depth--;
    if (o->need_comma)
        put_line(o);
    put_text(o, bracket);
    o->need_comma = true;
}

void jsonout_begin_object(JsonOut *o, const char *key) { begin(o, key, "{"); }
void jsonout_end_object(JsonOut *o) { end(o, "}"); }
void jsonout_begin_array(JsonOut *o, const char *key) { begin(o, key, "["); }
void jsonout_end_array(JsonOut *o) { end(o, "]"); }

void jsonout_string(JsonOut *o, const char *key, const char *value)
{
    put_start(o, key);
    if (value)
        put_quoted(o, value, strlen(value));
    else
        put_text(o, "null");
}

void jsonout_bytes(JsonOut *o, const char *key, const char *text, size_t n)
{
    put_start(o, key);
    put_quoted(o, text, n);
}

void jsonout_int(JsonOut *o, const char *key, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    jsonout_raw(o, key, text);
}

void jsonout_real(JsonOut *o, const char *key, double value)
{
    char text[40];
    if (!isfinite(value)) {
        jsonout_raw(o, key, "null");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    if (!strpbrk(text, ".e")) /* a real stays a real when read again */
        memcpy(text + strlen(text), ".0", 3);
    jsonout_raw(o, key, text);
}

void jsonout_bool(JsonOut *o, const char *key, bool value) { jsonout_raw(o, key, value ? "true" : "false"); }

void jsonout_raw(JsonOut *o, const char *key, const char *json)
{
    put_start(o, key);
    put_text(o, json);
}

void jsonout_value(JsonOut *o, const char *key, const Json *v)
{
    switch (v->kind) {
    case JSON_NULL: jsonout_string(o, key, NULL); break;
    case JSON_BOOL: jsonout_bool(o, key, v->boolean); break;
    case JSON_INT: jsonout_int(o, key, v->integer); break;
    case JSON_REAL: jsonout_real(o, key, v->real); break;
    case JSON_STRING: jsonout_bytes(o, key, v->string, v->length); break;
    case JSON_ARRAY:
        jsonout_begin_array(o, key);
        for (const Json *e = v->child; e; e = e->next)
            jsonout_value(o, NULL, e);
        jsonout_end_array(o);
        break;
    case JSON_OBJECT:
        jsonout_begin_object(o, key);
        for (const Json *e = v->child; e; e = e->next)
            jsonout_value(o, e->key, e);
        jsonout_end_object(o);
        break;
    }
}

void jsonout_free(JsonOut *o)
{
    mem_free(o->text);
    *o = (JsonOut){0};
}
