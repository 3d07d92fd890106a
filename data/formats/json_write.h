/* json_write.h: writes JSON documents that are built as cJSON trees. Building is cJSON's own; what it cannot hold is added here: integers
 * of 64 bits, text with NUL. Out of memory is noticed once, when the tree is printed, so that building needs no checks.
 *
 *   cJSON *o = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(o, "files");
 *   json_add_int(o, "bytes", n);
 *   json_add_text(list, NULL, name);
 *   TRY(json_print(out, &o, JSON_LINE, path)); */
#ifndef GENLLAVA_DATA_FORMATS_JSON_WRITE_H
#define GENLLAVA_DATA_FORMATS_JSON_WRITE_H

#include <cjson/cJSON.h>
#include <stdio.h>

#include "data/formats/json.h"

/* Adds to an object under `key`, or to an array (key NULL). Each returns what it added; NULL without memory. */
cJSON *json_add(cJSON *to, const char *key, cJSON *item);
cJSON *json_add_text(cJSON *to, const char *key, const char *text);            /* NULL: null */
cJSON *json_add_bytes(cJSON *to, const char *key, const char *text, size_t n); /* text that may hold NUL */
cJSON *json_add_int(cJSON *to, const char *key, int64_t value);
cJSON *json_add_real(cJSON *to, const char *key, double value);               /* null unless finite */
cJSON *json_add_texts(cJSON *to, const char *key, char *const *texts, int n); /* an array */
cJSON *json_add_value(cJSON *to, const char *key, const Json *v);             /* a copy of a parsed value */
cJSON *json_copy(const Json *v);                                              /* such a copy, a tree of its own */

/* without blanks; the same and a newline; indented, and a newline */
typedef enum JsonStyle { JSON_INLINE, JSON_LINE, JSON_PRETTY } JsonStyle;
/* Each frees the tree. `name` stands in messages. Bytes that are not UTF-8 (file names can hold them) become U+FFFD; reals are the shortest
 * that read back as the same bits. */
MUST_USE Status json_print(FILE *out, cJSON **tree, JsonStyle style, const char *name);
MUST_USE Status json_to_text(char **text, cJSON **tree, JsonStyle style, const char *name); /* mem_free */
/* Single values, for lines by the million: text with its quotes; null unless finite. */
void json_put_text(FILE *out, const char *text, size_t n);
void json_put_real(FILE *out, double value);
MUST_USE Status json_save(const char *path, cJSON **tree); /* pretty, as a file that is replaced whole */
#endif
