/* settings.c: which settings of a run are not at their defaults, and which differ between runs (report.h). Called by page.c, terminal.c.
 * Settings are read as JSON, not as a config: those of another version, or damaged ones, are shown as far as they go. */
#include <string.h>

#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"
#include "tools/report/report.h"
#include "train/config/options.h"

enum { VALUE_MOST = 400, SOURCES_SHOWN = 12 };

typedef struct Walk {
    const ReportRun *runs;
    int n;
    SettingVisit visit;
    void *arg;
} Walk;

static const Json *value_of(const ReportRun *run, const char *key)
{
    const Json *v = run->config ? json_root(run->config) : NULL;
    char part[128];
    for (const char *p = key; v && *p;) {
        const size_t n = strcspn(p, ".");
        snprintf(part, sizeof part, "%.*s", (int)n, p);
        v = json_get(v, part);
        p += n + (p[n] == '.');
    }
    return v;
}

/* ---------------------------------------------------------------- as people read it */

/* The names of a list of sources. */
static void put_sources(FILE *out, const Json *list)
{
    int n = 0;
    fprintf(out, "%zu source%s", list->length, status_plural(list->length));
    for (const Json *s = list->child; s && n <= SOURCES_SHOWN; s = s->next, n++) {
        const Json *name = json_get(s, "name"), *files = json_get(s, "files"), *root = json_get(s, "root");
        const Json *shown = name ? name : files && files->kind == JSON_ARRAY ? files->child : files ? files : root;
        fputs(n ? ", " : ": ", out);
        if (n == SOURCES_SHOWN)
            fputs("\xE2\x80\xA6", out);
        else if (shown && shown->kind == JSON_STRING)
            fwrite(shown->string, 1, shown->length, out);
        else
            fputs("?", out);
    }
}

static Status put_value(FILE *out, const Option *o, const Json *v)
{
    if (v->kind == JSON_STRING) {
        fwrite(v->string, 1, v->length, out);
        return OK;
    }
    if (v->kind == JSON_REAL) {
        fprintf(out, "%.15g", v->real);
        return OK;
    }
    if (o && o->kind == OPTION_MIXTURE && v->kind == JSON_ARRAY) {
        put_sources(out, v);
        return OK;
    }
    cJSON *tree = json_copy(v);
    return json_print(out, &tree, JSON_INLINE, "a setting");
}

/* mem_free; "" for NULL. */
static Status show_value(char **text, const Option *o, const Json *v)
{
    size_t n = 0;
    FILE *out = open_memstream(text, &n);
    if (!out)
        return fail(ERR_NOMEM, "settings: no memory");
    Status s = v ? put_value(out, o, v) : OK;
    if (fclose(out) && !s)
        s = fail(ERR_NOMEM, "settings: no memory");
    for (size_t i = 0; !s && i < n; i++) /* texts end at a NUL */
        (*text)[i] = (*text)[i] ? (*text)[i] : ' ';
    if (!s && n > VALUE_MOST)
        memcpy(*text + utf8_whole(*text, VALUE_MOST), "\xE2\x80\xA6", 4);
    return s;
}

/* ---------------------------------------------------------------- which to tell */

static bool is_number(const Json *v) { return v->kind == JSON_INT || v->kind == JSON_REAL; }

/* The default of a key, as people read it. mem_free; *json: parsed, or NULL where it is worked out from other keys. */
static Status show_default(char **text, JsonDoc **json, const Option *o)
{
    *json = NULL;
    if (o && o->fallback)
        TRY(json_parse(json, o->fallback, strlen(o->fallback), o->key));
    if (o && !o->fallback_text && *json)
        return show_value(text, o, json_root(*json));
    *text = mem_strdup(o && o->fallback_text ? o->fallback_text : "");
    return *text ? OK : fail(ERR_NOMEM, "settings: no memory");
}

/* Whether a value is the default of its key. One that is worked out from other keys is not looked at, nor are absolute paths. */
static bool is_default(const Option *o, const Json *v, const char *text, const Json *d, const char *fallback)
{
    const size_t n = strlen(text), m = d && d->kind == JSON_STRING ? d->length : 0;
    if (!v || (!d && o->fallback_text))
        return true;
    if (d && is_number(v) && is_number(d))
        return v->real == d->real;
    if (o->kind == OPTION_PATH && m) /* "runs" has become "/…/runs" */
        return n > m && text[n - m - 1] == '/' && !strcmp(text + n - m, d->string);
    return d && (!strcmp(text, fallback) || (d->kind == JSON_NULL && v->kind == JSON_NULL));
}

/* o: NULL for a key that nobody knows. */
static Status tell(const Walk *w, const char *key, const Option *o)
{
    char *values[REPORT_RUNS] = {NULL}, *fallback = NULL;
    JsonDoc *json = NULL;
    bool told = false;
    Status s = show_default(&fallback, &json, o);
    for (int i = 0; i < w->n && !s; i++) {
        s = show_value(&values[i], o, value_of(&w->runs[i], key));
        told |= !s && i && strcmp(values[i], values[0]);
    }
    if (!s && w->n == 1)
        told = *values[0] && !(o && is_default(o, value_of(w->runs, key), values[0], json ? json_root(json) : NULL, fallback));
    if (!s && told)
        s = w->visit(w->arg, key, o ? o->help : NULL, fallback, values);
    for (int i = 0; i < w->n; i++)
        mem_free(values[i]);
    mem_free(fallback);
    json_free(&json);
    return s;
}

/* Keys of a run's file that are not in the table, each told once: by the first run that has it. */
static Status tell_others(const Walk *w, int run, const Json *object, const char *above)
{
    char key[256];
    for (const Json *m = object->child; m; m = m->next) {
        if (json_is_comment(m->key) || snprintf(key, sizeof key, "%s%s%s", above, *above ? "." : "", m->key) >= (int)sizeof key)
            continue;
        if (option_find(key))
            continue;
        bool seen = false;
        for (int i = 0; i < run; i++)
            seen |= value_of(&w->runs[i], key) != NULL;
        if (m->kind == JSON_OBJECT)
            TRY(tell_others(w, run, m, key));
        else if (!seen)
            TRY(tell(w, key, NULL));
    }
    return OK;
}

Status report_settings(const ReportRun *runs, int n, SettingVisit visit, void *arg)
{
    const Walk w = {runs, n, visit, arg};
    for (int i = 0; i < N_OPTIONS; i++)
        if (strcmp(OPTIONS[i].key, "name"))
            TRY(tell(&w, OPTIONS[i].key, &OPTIONS[i]));
    for (int i = 0; i < n; i++)
        if (runs[i].config)
            TRY(tell_others(&w, i, json_root(runs[i].config), ""));
    return OK;
}
