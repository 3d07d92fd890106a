/* config_values.c: from a JSON value to the field of its key, or to a line in the list of mistakes. */
#include "train/config/config_reader.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "data/formats/json_write.h"
#include "data/records/records.h"
#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "kernels/base/utf8.h"

static void wrong_value(ConfigReader *r, const Option *o, const Json *at, const Json *v)
{
    char allowed[512], text[128], hint[128] = "";
    const char *names[16], *near;
    int n = 0;
    for (int i = 0; o->names && o->names[i] && n < 16; i++)
        if (*o->names[i])
            names[n++] = o->names[i];
    near = v->kind == JSON_STRING ? cli_nearest(v->string, names, n) : NULL;
    if (near)
        snprintf(hint, sizeof hint, "; did you mean \"%s\"?", near);
    config_mistake(r, at, "%s must be %s, found %s%s", o->key, option_allowed(o, allowed, sizeof allowed), json_show(v, text, sizeof text),
                   hint);
}

/* ---------------------------------------------------------------- values */

static void *slot(const ConfigReader *r, const Option *o) { return (char *)r->cfg + o->offset; }

void config_set_string(ConfigReader *r, char **where, const char *text)
{
    mem_free(*where);
    *where = text ? mem_strdup(text) : NULL;
    r->mistakes.no_memory |= text && !*where;
}

static void set_path(ConfigReader *r, char **where, const char *path)
{
    mem_free(*where);
    *where = config_absolute(r->base, path);
    r->mistakes.no_memory |= !*where;
}

void config_clear_list(StringList *l)
{
    for (int i = 0; i < l->n; i++)
        mem_free(l->items[i]);
    mem_free(l->items);
    *l = (StringList){0};
}

void config_clear_mixture(MixtureSetting *m)
{
    mem_free(m->exclude);
    mem_free(m->file);
    mem_free(m->json);
    mem_free(m->base_dir);
    *m = (MixtureSetting){0};
}

static bool in_range(const Option *o, double x)
{
    return (o->flags & OPTION_ABOVE ? x > o->low : x >= o->low) && (o->flags & OPTION_BELOW ? x < o->high : x <= o->high);
}

/* Integers may be written as 16384, 1.6384e4 or 16384.0. */
static bool read_int(const Option *o, const Json *v, int64_t *out)
{
    if (v->kind == JSON_INT)
        *out = v->integer;
    else if (v->kind == JSON_REAL && v->real == floor(v->real) && fabs(v->real) < 0x1p63)
        *out = (int64_t)v->real;
    else
        return false;
    return in_range(o, (double)*out);
}

static bool read_real(const Option *o, const Json *v, double *out)
{
    if (v->kind != JSON_INT && v->kind != JSON_REAL)
        return false;
    *out = v->real;
    return isfinite(v->real) && in_range(o, v->real);
}

static bool read_choice(const Option *o, const Json *v, int *out)
{
    const bool gpu = o->flags & OPTION_GPU && v->kind == JSON_STRING && !strcmp(v->string, "gpu");
    for (int i = 0; v->kind == JSON_STRING && o->names[i]; i++)
        if (*o->names[i] && !strcmp(o->names[i], gpu ? "cuda" : v->string)) {
            *out = i;
            return true;
        }
    return false;
}

static bool read_list(ConfigReader *r, const Option *o, const Json *at, const Json *v);

/* "q_proj,v_proj" or, of linear layers, "all-linear", as PEFT has them. */
static bool read_words(ConfigReader *r, const Option *o, const Json *at, const Json *v)
{
    enum { MOST = 16 };
    Json word[MOST], list = {.kind = JSON_ARRAY, .line = v->line, .column = v->column};
    char text[MOST][64];
    const bool all = o->flags & OPTION_ALL_LINEAR && !strcmp(v->string, "all-linear");
    const char *p = v->string;
    int n = 0;
    for (; n < MOST && (all ? o->names[n] != NULL : *p != 0); n++) {
        size_t length = all ? strlen(o->names[n]) : strcspn(p, ",");
        const char *from = all ? o->names[n] : p;
        p += all ? 0 : length + (p[length] == ',');
        utf8_strip(&from, &length);
        snprintf(text[n], sizeof text[n], "%.*s", (int)length, from);
        word[n] = (Json){.kind = JSON_STRING, .string = text[n], .length = strlen(text[n]), .line = v->line, .column = v->column};
        if (n)
            word[n - 1].next = &word[n];
    }
    list.child = n ? word : NULL;
    list.length = (size_t)n;
    return read_list(r, o, at, &list);
}

static bool read_list(ConfigReader *r, const Option *o, const Json *at, const Json *v)
{
    if (v->kind == JSON_STRING && v->length && strlen(v->string) == v->length)
        return read_words(r, o, at, v);
    if (v->kind != JSON_ARRAY || (!v->length && o->flags & OPTION_NOT_EMPTY))
        return false;
    StringList list = {mem_alloc(v->length * sizeof(char *)), 0};
    r->mistakes.no_memory |= !list.items;
    bool good = true;
    for (const Json *e = v->child; e && !r->mistakes.no_memory; e = e->next) {
        int which;
        if (!read_choice(o, e, &which)) {
            wrong_value(r, o, at, e);
            good = false;
            continue;
        }
        for (int i = 0; i < list.n; i++)
            if (!strcmp(list.items[i], e->string)) {
                config_mistake(r, at, "%s names \"%s\" twice", o->key, e->string);
                good = false;
            }
        if (good) {
            config_set_string(r, &list.items[list.n], e->string);
            good = list.items[list.n++];
        }
    }
    StringList *out = slot(r, o);
    if (!good) {
        config_clear_list(&list);
        return true; /* said already */
    }
    config_clear_list(out);
    *out = list;
    return true;
}

/* K of "mlpKx_gelu", 1 for "linear", 0 for anything else. */
static int projector_depth(const char *type)
{
    int depth = 0, used = 0;
    if (!strcmp(type, "linear"))
        return 1;
    if (sscanf(type, "mlp%2dx_gelu%n", &depth, &used) == 1 && used && !type[used] && type[3] >= '1' && type[3] <= '9')
        return depth;
    return 0;
}

/* A source of an inline list. Its paths are made absolute, so that config.resolved.json means the same from its own folder. */
static void write_source(ConfigReader *r, cJSON *out, const Json *source)
{
    for (const Json *m = source->child; m; m = m->next) {
        if (json_is_comment(m->key))
            continue;
        bool named = !strcmp(m->key, "files"), files = named && m->kind == JSON_ARRAY;
        bool path = m->kind == JSON_STRING && m->length && (named || mixture_key_is_path(m->key));
        if (!path && !files) {
            json_add_value(out, m->key, m);
            continue;
        }
        cJSON *to = files ? cJSON_AddArrayToObject(out, m->key) : out;
        for (const Json *e = files ? m->child : m; e; e = files ? e->next : NULL) {
            char *full = e->kind == JSON_STRING ? config_absolute(r->base, e->string) : NULL;
            r->mistakes.no_memory |= e->kind == JSON_STRING && !full;
            if (full)
                json_add_text(to, files ? NULL : m->key, full);
            else
                json_add_value(to, files ? NULL : m->key, e);
            mem_free(full);
        }
    }
}

static bool read_mixture(ConfigReader *r, const Option *o, const Json *v)
{
    MixtureSetting *m = slot(r, o);
    bool list = v->kind == JSON_ARRAY && v->length > 0;
    for (const Json *e = v->kind == JSON_ARRAY ? v->child : NULL; e; e = e->next)
        list &= e->kind == JSON_OBJECT;
    if (!list && (v->kind != JSON_STRING || !v->length))
        return false;
    config_clear_mixture(m);
    config_set_string(r, &m->base_dir, r->base);
    if (!list) {
        set_path(r, &m->file, v->string);
        return true;
    }
    Status s = mixture_check(v, r->source); /* now, while its places in the file are known */
    r->mistakes.no_memory |= s == ERR_NOMEM;
    if (s == ERR_USAGE)
        mistakes_add_line(&r->mistakes, status_message());
    cJSON *sources = cJSON_CreateArray();
    for (const Json *e = v->child; e; e = e->next)
        write_source(r, json_add(sources, NULL, cJSON_CreateObject()), e);
    r->mistakes.no_memory |= json_to_text(&m->json, &sources, JSON_INLINE, o->key) != OK;
    return true;
}

void config_set_null(ConfigReader *r, const Option *o)
{
    if (o->kind == OPTION_INT)
        *(int64_t *)slot(r, o) = 0;
    else if (o->kind == OPTION_REAL)
        *(double *)slot(r, o) = 0;
    else if (o->kind == OPTION_MIXTURE)
        config_clear_mixture(slot(r, o));
    else
        config_set_string(r, slot(r, o), NULL);
}

/* Text without NUL and not empty. */
static bool is_text(const Json *v) { return v->kind == JSON_STRING && v->length && strlen(v->string) == v->length; }

static bool take(ConfigReader *r, const Option *o, const Json *at, const Json *v)
{
    int which;
    int64_t i;
    double x;
    if (v->kind == JSON_NULL && o->flags & OPTION_NULLABLE) {
        config_set_null(r, o);
        return true;
    }
    switch (o->kind) {
    case OPTION_STRING:
        if (!is_text(v))
            return false;
        config_set_string(r, slot(r, o), v->string);
        return true;
    case OPTION_PATH:
    case OPTION_INIT:
        if (!is_text(v))
            return false;
        if (o->kind == OPTION_INIT && !strcmp(v->string, "default"))
            config_set_string(r, slot(r, o), NULL);
        else
            set_path(r, slot(r, o), v->string);
        return true;
    case OPTION_AUTO_INT:
        if (v->kind == JSON_STRING && !strcmp(v->string, "auto")) {
            *(int64_t *)slot(r, o) = -1;
            return true;
        }
        /* fall through */
    case OPTION_INT:
        if (!read_int(o, v, &i))
            return false;
        *(int64_t *)slot(r, o) = i;
        return true;
    case OPTION_REAL:
        if (!read_real(o, v, &x))
            return false;
        *(double *)slot(r, o) = x;
        return true;
    case OPTION_BOOL:
        if (v->kind != JSON_BOOL)
            return false;
        *(bool *)slot(r, o) = v->boolean;
        return true;
    case OPTION_CHOICE:
        if (!read_choice(o, v, &which))
            return false;
        memcpy(slot(r, o), &which, sizeof which);
        return true;
    case OPTION_LIST: return read_list(r, o, at, v);
    case OPTION_PROJECTOR:
        if (!is_text(v) || !projector_depth(v->string))
            return false;
        config_set_string(r, slot(r, o), v->string);
        r->cfg->model.projector.depth = projector_depth(v->string);
        return true;
    case OPTION_MIXTURE: return read_mixture(r, o, v);
    }
    return false;
}

void config_take_value(ConfigReader *r, const Option *o, const Json *at, const Json *v)
{
    if (!take(r, o, at, v))
        wrong_value(r, o, at, v);
}
