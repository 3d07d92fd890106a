/* json.h: JSON read strictly: line and column of every key and value, duplicate keys found, integers exact to 64 bits, size and depth
 * capped, UTF-8 checked, a BOM accepted. Columns count characters from 1.
 *
 * The reader is our own because cJSON, the obvious library, keeps none of that: no positions, integers through double, text cut at
 * \u0000, equal keys side by side, a lone surrogate refusing the document. What programs write are cJSON trees: json_write.h. */
#ifndef GENLLAVA_DATA_FORMATS_JSON_H
#define GENLLAVA_DATA_FORMATS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/base/status.h"

typedef enum JsonKind { JSON_NULL, JSON_BOOL, JSON_INT, JSON_REAL, JSON_STRING, JSON_ARRAY, JSON_OBJECT } JsonKind;

/* A value of a parsed document; belongs to it. JSON_INT: a number written without fraction or exponent that fits 64 bits. */
typedef struct Json {
    JsonKind kind;
    bool boolean;
    int64_t integer;
    double real;        /* also set for JSON_INT */
    const char *string; /* UTF-8, NUL-terminated; may hold \u0000 inside: see length. Lone surrogates become U+FFFD */
    size_t length;      /* bytes of string; elements of an array or object */
    struct Json *child; /* first element or member */
    struct Json *next;  /* next element or member */
    const char *key;    /* of a member, else NULL */
    int line, column;   /* where the value begins */
    int key_line, key_column;
    bool repeated; /* json_read_settings and json_parse_loose only: an earlier member of the same object has this key */
} Json;

typedef struct JsonDoc JsonDoc;

/* Parses n bytes. `name` stands in messages ("NAME:3:14: …"). Errors: ERR_DATA with the position and what was expected.
 * A duplicate key is an error. Nesting beyond 64 and documents over 1 GiB are refused. */
MUST_USE Status json_parse(JsonDoc **out, const char *text, size_t n, const char *name);
/* A row, which begins there in its file: messages count lines and columns from that place. It may have 2^20 values, a document 2^24. */
MUST_USE Status json_parse_at(JsonDoc **out, const char *text, size_t n, const char *name, int line, int column);
MUST_USE Status json_read_file(JsonDoc **out, const char *path); /* "-" reads standard input */
/* As json_parse_at, of what strangers wrote: equal keys are kept and marked; json_get_last takes the last, as most readers do. */
MUST_USE Status json_parse_loose(JsonDoc **out, const char *text, size_t n, const char *name, int line, int column);
/* As json_read_file, but equal keys are kept and marked, for readers that list all mistakes of a file at once. */
MUST_USE Status json_read_settings(JsonDoc **out, const char *path);
/* As json_read_file; Infinity and -Infinity are numbers, as Python writes them. */
MUST_USE Status json_read_python(JsonDoc **out, const char *path);
const Json *json_root(const JsonDoc *d);
void json_free(JsonDoc **d);
int64_t json_replaced_surrogates(const JsonDoc *d); /* how many lone surrogates became U+FFFD */

const Json *json_get(const Json *object, const char *key);      /* NULL when absent or not an object */
const Json *json_get_last(const Json *object, const char *key); /* of equal keys the last */
bool json_is_comment(const char *key);                     /* "$schema" or one that begins with "//": accepted and ignored in settings */
const char *json_kind_name(JsonKind k);                    /* "a string", "an integer", … */
const char *json_show(const Json *v, char *buf, size_t n); /* what a value is, in short: "\"abc\"", "-1", "an object"; returns buf */
#endif
