/* config_write.c: the option table read backwards: config.resolved.json, the JSON Schema, the difference of two configs. */
#include <stdio.h>
#include <string.h>

#include "data/formats/json.h"
#include "kernels/base/arena.h"
#include "train/config/options.h"

/* ---------------------------------------------------------------- values */

static void write_option(JsonOut *out, const char *key, const Option *o, const RunConfig *cfg)
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
        jsonout_string(out, key, text || o->kind != OPTION_INIT ? text : "default");
        break;
    case OPTION_INT:
    case OPTION_AUTO_INT:
        if (o->kind == OPTION_AUTO_INT && *(const int64_t *)p < 0)
            jsonout_string(out, key, "auto");
        else if (o->flags & OPTION_NULLABLE && !*(const int64_t *)p)
            jsonout_string(out, key, NULL);
        else
            jsonout_int(out, key, *(const int64_t *)p);
        break;
    case OPTION_REAL:
        if (o->flags & OPTION_NULLABLE && *(const double *)p == 0)
            jsonout_string(out, key, NULL);
        else
            jsonout_real(out, key, *(const double *)p);
        break;
    case OPTION_BOOL: jsonout_bool(out, key, *(const bool *)p); break;
    case OPTION_CHOICE:
        memcpy(&which, p, sizeof which);
        jsonout_string(out, key, o->names[which]);
        break;
    case OPTION_LIST:
        jsonout_begin_array(out, key);
        for (int i = 0; i < ((const StringList *)p)->n; i++)
            jsonout_string(out, NULL, ((const StringList *)p)->items[i]);
        jsonout_end_array(out);
        break;
    case OPTION_MIXTURE:
        if (cfg->data.mixture_json)
            jsonout_raw(out, key, cfg->data.mixture_json);
        else
            jsonout_string(out, key, cfg->data.mixture);
        break;
    case OPTION_LATER: break;
    }
}

static Status finish_json(JsonOut *out, char **text)
{
    if (out->failed) {
        jsonout_free(out);
        return fail(ERR_NOMEM, "writing the configuration: out of memory");
    }
    *text = mem_strdup(out->text);
    jsonout_free(out);
    return *text ? OK : fail(ERR_NOMEM, "writing the configuration: out of memory");
}

typedef struct Writer {
    JsonOut *out;
    const RunConfig *cfg;
} Writer;

static void write_member(void *arg, const char *key, const Option *o, const OptionSection *s)
{
    Writer *w = arg;
    if (o) {
        write_option(w->out, option_leaf(key), o, w->cfg);
        return;
    }
    jsonout_begin_object(w->out, option_leaf(key));
    option_members(s->key, write_member, w);
    jsonout_end_object(w->out);
}

Status config_to_json(const RunConfig *cfg, char **text)
{
    JsonOut out = {.pretty = true};
    Writer w = {&out, cfg};
    jsonout_begin_object(&out, NULL);
    option_members("", write_member, &w);
    jsonout_end_object(&out);
    return finish_json(&out, text);
}

/* ---------------------------------------------------------------- difference */

/* The default place of the shards moves with save.dir and is no change of its own. */
static bool shards_at_default(const RunConfig *c)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s/shards", c->save.dir, c->name);
    return !strcmp(path, c->data.shards);
}

Status config_difference(const RunConfig *there, const RunConfig *here, char **text)
{
    *text = NULL;
    size_t length = 0;
    for (int i = 0; i < N_OPTIONS; i++) {
        const Option *o = &OPTIONS[i];
        JsonOut a = {0}, b = {0};
        if (o->kind == OPTION_LATER || o->flags & OPTION_FREE || (!strcmp(o->key, "data.shards") && shards_at_default(there) && shards_at_default(here)))
            continue;
        write_option(&a, NULL, o, there);
        write_option(&b, NULL, o, here);
        bool failed = a.failed || b.failed;
        if (!failed && strcmp(a.text, b.text)) {
            size_t n = strlen(o->key) + a.length + b.length + 32;
            char *grown = mem_grow(*text, length + n);
            failed = !grown;
            if (grown) {
                *text = grown;
                length += (size_t)snprintf(grown + length, n, "%s%s: %s there, %s here", length ? "\n" : "", o->key, a.text, b.text);
            }
        }
        jsonout_free(&a);
        jsonout_free(&b);
        if (failed) {
            mem_free(*text);
            *text = NULL;
            return fail(ERR_NOMEM, "comparing configurations: out of memory");
        }
    }
    return OK;
}

/* ---------------------------------------------------------------- schema */

static void schema_names(JsonOut *out, const char *const *names)
{
    jsonout_begin_array(out, "enum");
    for (int i = 0; names[i]; i++)
        if (*names[i])
            jsonout_string(out, NULL, names[i]);
    jsonout_end_array(out);
}

static void schema_text(JsonOut *out)
{
    jsonout_string(out, "type", "string");
    jsonout_int(out, "minLength", 1);
}

static void schema_bound(JsonOut *out, const char *key, double value)
{
    if (value == (double)(int64_t)value)
        jsonout_int(out, key, (int64_t)value);
    else
        jsonout_real(out, key, value);
}

static void schema_number(JsonOut *out, const Option *o)
{
    jsonout_string(out, "type", o->kind == OPTION_REAL ? "number" : "integer");
    if (o->low > -OPTION_UNBOUNDED)
        schema_bound(out, o->flags & OPTION_ABOVE ? "exclusiveMinimum" : "minimum", o->low);
    if (o->high < OPTION_UNBOUNDED)
        schema_bound(out, o->flags & OPTION_BELOW ? "exclusiveMaximum" : "maximum", o->high);
}

static void schema_mixture(JsonOut *out)
{
    jsonout_begin_array(out, "anyOf");
    jsonout_begin_object(out, NULL);
    schema_text(out);
    jsonout_end_object(out);
    jsonout_begin_object(out, NULL);
    jsonout_string(out, "type", "array");
    jsonout_int(out, "minItems", 1);
    jsonout_raw(out, "items", "{\"type\":\"object\"}");
    jsonout_end_object(out);
    jsonout_end_array(out);
}

/* What the value itself must be, null apart. */
static void schema_value(JsonOut *out, const Option *o)
{
    switch (o->kind) {
    case OPTION_STRING:
    case OPTION_PATH:
    case OPTION_INIT: schema_text(out); break;
    case OPTION_INT:
    case OPTION_REAL: schema_number(out, o); break;
    case OPTION_BOOL: jsonout_string(out, "type", "boolean"); break;
    case OPTION_CHOICE: schema_names(out, o->names); break;
    case OPTION_PROJECTOR:
        jsonout_string(out, "type", "string");
        jsonout_string(out, "pattern", "^(linear|mlp[1-9][0-9]?x_gelu)$");
        break;
    case OPTION_AUTO_INT:
        jsonout_begin_array(out, "anyOf");
        jsonout_raw(out, NULL, "{\"const\":\"auto\"}");
        jsonout_begin_object(out, NULL);
        schema_number(out, o);
        jsonout_end_object(out);
        jsonout_end_array(out);
        break;
    case OPTION_LIST:
        jsonout_string(out, "type", "array");
        jsonout_bool(out, "uniqueItems", true);
        if (o->flags & OPTION_NOT_EMPTY)
            jsonout_int(out, "minItems", 1);
        jsonout_begin_object(out, "items");
        schema_names(out, o->names);
        jsonout_end_object(out);
        break;
    case OPTION_MIXTURE: schema_mixture(out); break;
    case OPTION_LATER: break;
    }
}

static void schema_option(JsonOut *out, const Option *o)
{
    jsonout_begin_object(out, option_leaf(o->key));
    jsonout_string(out, "description", o->help);
    const char *fallback = o->kind == OPTION_REAL && o->fallback_text ? o->fallback_text : o->fallback;
    if (fallback)
        jsonout_raw(out, "default", fallback);
    if (o->flags & OPTION_NULLABLE) {
        jsonout_begin_array(out, "anyOf");
        jsonout_begin_object(out, NULL);
        schema_value(out, o);
        jsonout_end_object(out);
        jsonout_raw(out, NULL, "{\"type\":\"null\"}");
        jsonout_end_array(out);
    } else
        schema_value(out, o);
    jsonout_end_object(out);
}

static void schema_section(JsonOut *out, const OptionSection *s);

static void schema_member(void *arg, const char *key, const Option *o, const OptionSection *s)
{
    JsonOut *out = arg;
    if (o) {
        schema_option(out, o);
        return;
    }
    jsonout_begin_object(out, option_leaf(key));
    jsonout_string(out, "description", s->help);
    schema_section(out, s);
    jsonout_end_object(out);
}

static void required_member(void *arg, const char *key, const Option *o, const OptionSection *s)
{
    bool required = o && o->flags & OPTION_REQUIRED;
    for (int i = 0; s && i < N_OPTIONS; i++) /* a section with a required key somewhere inside is required itself */
        required |= OPTIONS[i].flags & OPTION_REQUIRED && !strncmp(OPTIONS[i].key, key, strlen(key)) && OPTIONS[i].key[strlen(key)] == '.';
    if (required)
        jsonout_string(arg, NULL, option_leaf(key));
}

static void schema_section(JsonOut *out, const OptionSection *s)
{
    if (s->replaces)
        jsonout_raw(out, "type", "[\"object\",\"null\"]");
    else
        jsonout_string(out, "type", "object");
    jsonout_begin_object(out, "properties");
    jsonout_raw(out, "$schema", "true");
    option_members(s->key, schema_member, out);
    jsonout_end_object(out);
    jsonout_raw(out, "patternProperties", "{\"^//\":true}");
    jsonout_bool(out, "additionalProperties", false);
    jsonout_begin_array(out, "required");
    option_members(s->key, required_member, out);
    jsonout_end_array(out);
    if (!strcmp(s->key, "train"))
        jsonout_raw(out, "not",
                    "{\"required\":[\"steps\",\"epochs\"],\"properties\":{\"steps\":{\"type\":\"integer\"},\"epochs\":{\"type\":\"number\"}}}");
}

Status config_schema(char **text)
{
    JsonOut out = {.pretty = true};
    jsonout_begin_object(&out, NULL);
    jsonout_string(&out, "$schema", "https://json-schema.org/draft/2020-12/schema");
    jsonout_string(&out, "title", "GenLLaVA run");
    jsonout_string(&out, "description", OPTION_SECTIONS[0].help);
    schema_section(&out, &OPTION_SECTIONS[0]);
    jsonout_end_object(&out);
    return finish_json(&out, text);
}
