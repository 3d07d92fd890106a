/* config_write.c: the option table read backwards: config.resolved.json, the JSON Schema, the difference of two configs. */
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_compare.h"
#include "data/formats/json_write.h"
#include "data/records/records.h"
#include "kernels/base/arena.h"
#include "train/config/options.h"

/* ---------------------------------------------------------------- values */

static void add_option(cJSON *to, const char *key, const Option *o, const RunConfig *cfg)
{
    const void *p = (const char *)cfg + o->offset;
    const char *text = NULL;
    int which = 0;
    switch (o->kind) {
    case OPTION_STRING:
    case OPTION_PATH:
    case OPTION_INIT:
    case OPTION_PROJECTOR:
        text = *(char *const *)p;
        json_add_text(to, key, text || o->kind != OPTION_INIT ? text : "default");
        break;
    case OPTION_INT:
    case OPTION_AUTO_INT:
        if (o->kind == OPTION_AUTO_INT && *(const int64_t *)p < 0)
            json_add_text(to, key, "auto");
        else if (o->flags & OPTION_NULLABLE && !*(const int64_t *)p)
            json_add_text(to, key, NULL);
        else
            json_add_int(to, key, *(const int64_t *)p);
        break;
    case OPTION_REAL:
        if (o->flags & OPTION_NULLABLE && *(const double *)p == 0)
            json_add_text(to, key, NULL);
        else
            json_add_real(to, key, *(const double *)p);
        break;
    case OPTION_BOOL: cJSON_AddBoolToObject(to, key, *(const bool *)p); break;
    case OPTION_CHOICE:
        memcpy(&which, p, sizeof which);
        json_add_text(to, key, o->names[which]);
        break;
    case OPTION_LIST: json_add_texts(to, key, ((const StringList *)p)->items, ((const StringList *)p)->n); break;
    case OPTION_MIXTURE:
        if (((const MixtureSetting *)p)->json)
            cJSON_AddRawToObject(to, key, ((const MixtureSetting *)p)->json);
        else
            json_add_text(to, key, ((const MixtureSetting *)p)->file);
        break;
    }
}

typedef struct Writer {
    cJSON *to;
    const RunConfig *cfg;
} Writer;

static void add_member(void *arg, const char *key, const Option *o, const OptionSection *s)
{
    Writer *w = arg;
    if (o)
        add_option(w->to, option_leaf(key), o, w->cfg);
    else
        option_members(s->key, add_member, &(Writer){cJSON_AddObjectToObject(w->to, option_leaf(key)), w->cfg});
}

static cJSON *config_tree(const RunConfig *cfg)
{
    cJSON *top = cJSON_CreateObject();
    option_members("", add_member, &(Writer){top, cfg});
    return top;
}

Status config_to_json(const RunConfig *cfg, char **text)
{
    cJSON *top = config_tree(cfg);
    return json_to_text(text, &top, JSON_PRETTY, "the configuration");
}

Status config_save(const RunConfig *cfg, const char *path)
{
    cJSON *top = config_tree(cfg);
    return json_save(path, &top);
}

/* ---------------------------------------------------------------- difference */

/* The default place of the shards moves with save.dir and the data, and is no change of its own. Earlier versions had it in the run's
 * folder. */
static bool shards_at_default(const RunConfig *c)
{
    char path[PATH_MAX], folder[PATH_MAX];
    const char *hash = c->data.shards ? strrchr(c->data.shards, '/') : NULL;
    if (!hash || !strcmp(file_join(path, file_join(folder, c->save.dir, c->name), "shards"), c->data.shards))
        return true;
    file_join(path, c->save.dir, "shards");
    size_t n = strlen(path);
    return n == (size_t)(hash - c->data.shards) && !strncmp(path, c->data.shards, n) && strspn(hash + 1, "0123456789abcdef") == 16 &&
           !hash[17];
}

typedef struct Difference {
    const RunConfig *there, *here;
    FILE *out;
} Difference;

/* The option that a place in the file belongs to. */
static const Option *option_of(const char *path)
{
    for (int i = 0; i < N_OPTIONS; i++) {
        size_t n = strlen(OPTIONS[i].key);
        if (!strncmp(path, OPTIONS[i].key, n) && strchr(".[", path[n]))
            return &OPTIONS[i];
    }
    return NULL;
}

static Status print_difference(void *arg, const char *path, const Json *there, const Json *here)
{
    const Difference *d = arg;
    const Option *o = option_of(path);
    bool moved = o && !strcmp(o->key, "data.shards") && shards_at_default(d->there) && shards_at_default(d->here);
    return moved || (o && o->flags & OPTION_FREE) ? OK : json_difference_print(d->out, path, there, here);
}

static Status parse_config(JsonDoc **doc, const RunConfig *cfg)
{
    char *text;
    TRY(config_to_json(cfg, &text));
    Status s = json_parse(doc, text, strlen(text), "the configuration");
    mem_free(text);
    return s;
}

Status config_difference(const RunConfig *there, const RunConfig *here, char **text)
{
    JsonDoc *a = NULL, *b = NULL;
    size_t n;
    *text = NULL;
    Difference d = {there, here, open_memstream(text, &n)};
    Status s = d.out ? parse_config(&a, there) : fail(ERR_NOMEM, "comparing configurations: out of memory");
    if (s == OK)
        s = parse_config(&b, here);
    if (s == OK)
        s = json_compare(json_root(a), json_root(b), print_difference, &d);
    if (d.out && fclose(d.out) && s == OK)
        s = fail(ERR_NOMEM, "comparing configurations: out of memory");
    json_free(&a);
    json_free(&b);
    if (s != OK || !**text) {
        mem_free(*text);
        *text = NULL;
    }
    return s;
}

/* ---------------------------------------------------------------- schema */

static void schema_names(cJSON *to, const Option *o)
{
    cJSON *list = cJSON_AddArrayToObject(to, "enum");
    for (int i = 0; o->names[i]; i++)
        if (*o->names[i])
            json_add_text(list, NULL, o->names[i]);
    if (o->flags & OPTION_GPU)
        json_add_text(list, NULL, "gpu");
}

static void schema_text(cJSON *to)
{
    cJSON_AddStringToObject(to, "type", "string");
    json_add_int(to, "minLength", 1);
}

static void schema_bound(cJSON *to, const char *key, double value)
{
    if (value == (double)(int64_t)value)
        json_add_int(to, key, (int64_t)value);
    else
        json_add_real(to, key, value);
}

static void schema_number(cJSON *to, const Option *o)
{
    cJSON_AddStringToObject(to, "type", o->kind == OPTION_REAL ? "number" : "integer");
    if (o->low > -OPTION_UNBOUNDED)
        schema_bound(to, o->flags & OPTION_ABOVE ? "exclusiveMinimum" : "minimum", o->low);
    if (o->high < OPTION_UNBOUNDED)
        schema_bound(to, o->flags & OPTION_BELOW ? "exclusiveMaximum" : "maximum", o->high);
}

/* An object in a list of alternatives. */
static cJSON *schema_case(cJSON *list) { return json_add(list, NULL, cJSON_CreateObject()); }

static void schema_mixture(cJSON *to)
{
    cJSON *cases = cJSON_AddArrayToObject(to, "anyOf");
    schema_text(schema_case(cases));
    cJSON *list = schema_case(cases);
    cJSON_AddStringToObject(list, "type", "array");
    json_add_int(list, "minItems", 1);
    cJSON_AddRawToObject(list, "items", MIXTURE_SOURCE_SCHEMA);
}

/* What the value itself must be, null apart. */
static void schema_value(cJSON *to, const Option *o)
{
    cJSON *cases;
    switch (o->kind) {
    case OPTION_STRING:
    case OPTION_PATH:
    case OPTION_INIT: schema_text(to); break;
    case OPTION_INT:
    case OPTION_REAL: schema_number(to, o); break;
    case OPTION_BOOL: cJSON_AddStringToObject(to, "type", "boolean"); break;
    case OPTION_CHOICE: schema_names(to, o); break;
    case OPTION_PROJECTOR:
        cJSON_AddStringToObject(to, "type", "string");
        cJSON_AddStringToObject(to, "pattern", "^(linear|mlp[1-9][0-9]?x_gelu)$");
        break;
    case OPTION_AUTO_INT:
        cases = cJSON_AddArrayToObject(to, "anyOf");
        json_add(cases, NULL, cJSON_CreateRaw("{\"const\":\"auto\"}"));
        schema_number(schema_case(cases), o);
        break;
    case OPTION_LIST:
        cases = cJSON_AddArrayToObject(to, "anyOf");
        schema_text(schema_case(cases)); /* with commas, or "all-linear" */
        to = schema_case(cases);
        cJSON_AddStringToObject(to, "type", "array");
        cJSON_AddTrueToObject(to, "uniqueItems");
        if (o->flags & OPTION_NOT_EMPTY)
            json_add_int(to, "minItems", 1);
        schema_names(cJSON_AddObjectToObject(to, "items"), o);
        break;
    case OPTION_MIXTURE: schema_mixture(to); break;
    }
}

static void schema_option(cJSON *to, const Option *o)
{
    cJSON_AddStringToObject(to, "description", o->help);
    const char *fallback = o->kind == OPTION_REAL && o->fallback_text ? o->fallback_text : o->fallback;
    if (fallback)
        cJSON_AddRawToObject(to, "default", fallback);
    if (!(o->flags & OPTION_NULLABLE)) {
        schema_value(to, o);
        return;
    }
    cJSON *cases = cJSON_AddArrayToObject(to, "anyOf");
    schema_value(schema_case(cases), o);
    json_add(cases, NULL, cJSON_CreateRaw("{\"type\":\"null\"}"));
}

static void schema_section(cJSON *to, const OptionSection *s);

static void schema_member(void *properties, const char *key, const Option *o, const OptionSection *s)
{
    cJSON *to = cJSON_AddObjectToObject(properties, option_leaf(key));
    if (o)
        schema_option(to, o);
    else {
        cJSON_AddStringToObject(to, "description", s->help);
        schema_section(to, s);
    }
}

static void required_member(void *list, const char *key, const Option *o, const OptionSection *s)
{
    bool required = o && o->flags & OPTION_REQUIRED;
    for (int i = 0; s && i < N_OPTIONS; i++) /* a section with a required key somewhere inside is required itself */
        required |= OPTIONS[i].flags & OPTION_REQUIRED && !strncmp(OPTIONS[i].key, key, strlen(key)) && OPTIONS[i].key[strlen(key)] == '.';
    if (required)
        json_add_text(list, NULL, option_leaf(key));
}

static void schema_section(cJSON *to, const OptionSection *s)
{
    cJSON_AddRawToObject(to, "type", s->replaces ? "[\"object\",\"null\"]" : "\"object\"");
    cJSON *properties = cJSON_AddObjectToObject(to, "properties");
    cJSON_AddTrueToObject(properties, "$schema");
    option_members(s->key, schema_member, properties);
    cJSON_AddRawToObject(to, "patternProperties", "{\"^//\":true}");
    cJSON_AddFalseToObject(to, "additionalProperties");
    option_members(s->key, required_member, cJSON_AddArrayToObject(to, "required"));
    if (!strcmp(s->key, "train"))
        cJSON_AddRawToObject(to, "not", "{\"required\":[\"steps\",\"epochs\"],\"properties\":{\"steps\":{\"type\":\"integer\"},"
                                        "\"epochs\":{\"type\":\"number\"}}}");
}

Status config_schema(char **text)
{
    cJSON *top = cJSON_CreateObject();
    cJSON_AddStringToObject(top, "$schema", "https://json-schema.org/draft/2020-12/schema");
    cJSON_AddStringToObject(top, "title", "GenLLaVA run");
    cJSON_AddStringToObject(top, "description", OPTION_SECTIONS[0].help);
    schema_section(top, &OPTION_SECTIONS[0]);
    return json_to_text(text, &top, JSON_PRETTY, "the schema");
}
