/* json_fields.h: reads the fields of a JSON document. Mistakes stick, so a reader is a list of fields and asks for `status` at the end;
 * messages are "FILE:line:column: KEY is X, expected Y", a line each. An absent field and null are the same. */
#ifndef GENLLAVA_DATA_FORMATS_JSON_FIELDS_H
#define GENLLAVA_DATA_FORMATS_JSON_FIELDS_H

#include <limits.h>

#include "data/formats/json.h"

typedef struct JsonFields {
    char file[PATH_MAX];
    JsonDoc *doc;
    const Json *top; /* the object of the whole document; NULL while there is none */
    Status status;
    char said[4096]; /* the mistakes so far */
    bool refused;    /* what comes behind may follow from a mistake: no more is said */
} JsonFields;

#define FIELD_REQUIRED INT64_MIN /* as `absent` of fields_int: the field must be there */

MUST_USE Status fields_open(JsonFields *f, const char *folder, const char *name);
MUST_USE Status fields_parse(JsonFields *f, const char *text, size_t n, const char *name);
void fields_close(JsonFields *f);

const Json *fields_get(const Json *object, const char *key); /* NULL when absent or null */
int64_t fields_int(JsonFields *f, const Json *object, const char *key, int64_t absent, int64_t low, int64_t high);
double fields_real(JsonFields *f, const Json *object, const char *key, double absent);
bool fields_bool(JsonFields *f, const Json *object, const char *key, bool absent);
const char *fields_string(JsonFields *f, const Json *object, const char *key, const char *absent); /* valid until fields_close */
const Json *fields_object(JsonFields *f, const Json *object, const char *key);                     /* NULL when absent */
/* A field whose value cannot be used: "FILE:line:column: KEY …". at: the value, or NULL. Behind another mistake it says nothing, as it
 * may follow from that, and behind it nothing more is said. Values of a wrong kind or size, missing ones and unknown keys are all told. */
void fields_refuse(JsonFields *f, const Json *at, const char *key, const char *format, ...) PRINTF_LIKE(4, 5);
/* A key of a class of configurations. `only`: the values at which it changes nothing here, as JSON split by '|'. NULL: any, since its
 * reader understands it or no result depends on it. null, false, 0, {} and [] pass always, so "" is a key whose feature is not supported.
 */
typedef struct FieldRule {
    const char *key, *only;
} FieldRule;
enum { FIELD_TABLES = 3 };
/* Tables of one class, up to FIELD_TABLES; each ends with a rule without key. */
typedef struct FieldClass {
    const FieldRule *tables[FIELD_TABLES];
    const FieldRule *others; /* whose keys pass at any value: another reader's; may be NULL */
} FieldClass;
const FieldRule *fields_rule(const FieldClass *c, const char *key); /* NULL: a key nobody knows */
bool fields_harmless(const FieldClass *c, const Json *member);      /* by its rule; without one as one with "" */
/* Refuses the keys of an object that are not harmless. */
void fields_known(JsonFields *f, const Json *object, const FieldClass *c);
/* The document says that it is of this schema. */
void fields_schema(JsonFields *f, const char *schema);
#endif
