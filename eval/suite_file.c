/* suite_file.c: see suite_file.h. */
#include "eval/suite_file.h"

#include <limits.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/mistakes.h"
#include "eval/bench/commands.h"
#include "kernels/base/cli.h"

static const char SCHEMA[] = "genllava.suite/1";

typedef struct Reader {
    Suite *suite;
    const char *file;
    char folder[PATH_MAX];
    Mistakes mistakes;
} Reader;

#define mistake(r, v, ...) mistakes_add(&(r)->mistakes, (r)->file, (v)->line, (v)->column, __VA_ARGS__)

static bool is_text(const Json *v) { return v && v->kind == JSON_STRING && v->length && strlen(v->string) == v->length; }

static const char *kept(Reader *r, const char *text) { return span_copy(&r->suite->pool, span_of(text)).s; }

static const char *path_of(Reader *r, const char *path)
{
    char whole[PATH_MAX];
    return kept(r, *path == '/' ? path : file_join(whole, r->folder, path));
}

static void check_keys(Reader *r, const Json *object, const char *const *keys, int n)
{
    for (const Json *m = object->child; m; m = m->next) {
        bool known = json_is_comment(m->key);
        for (int i = 0; i < n && !known; i++)
            known = !strcmp(m->key, keys[i]);
        const char *near = known ? NULL : cli_nearest(m->key, keys, n);
        if (m->repeated)
            mistakes_add(&r->mistakes, r->file, m->key_line, m->key_column, "the key \"%.100s\" stands twice in this object", m->key);
        else if (!known)
            mistakes_add(&r->mistakes, r->file, m->key_line, m->key_column, "unknown key \"%.100s\"%s%s%s", m->key,
                         near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
}

static void read_bench(Reader *r, SuiteEntry *e, const Json *o)
{
    const char *names[SUITE_MOST];
    char found[96];
    const Json *v = json_get(o, "bench");
    e->bench = is_text(v) ? bench_named(v->string) : NULL;
    if (e->bench)
        return;
    const char *near = is_text(v) ? cli_nearest(v->string, names, bench_names(names, SUITE_MOST)) : NULL;
    const Json *at = v ? v : o;
    mistake(r, at, "\"bench\" is %s, expected the name of a benchmark%s%s%s", v ? json_show(v, found, sizeof found) : "absent",
            near ? "; did you mean \"" : " (evaluate --list)", near ? near : "", near ? "\"?" : "");
}

static void read_limit(Reader *r, SuiteEntry *e, const Json *v)
{
    char found[96];
    if (v->kind == JSON_INT && v->integer > 0)
        e->data.limit = v->integer;
    else if (v->kind != JSON_NULL)
        mistake(r, v, "\"limit\" is %s, expected a number of questions from 1, or null: all", json_show(v, found, sizeof found));
}

static void read_replies(Reader *r, SuiteEntry *e, const Json *v)
{
    char found[96];
    const Json *first = v->kind == JSON_ARRAY ? v->child : v;
    for (const Json *f = first; f; f = v->kind == JSON_ARRAY ? f->next : NULL)
        if (is_text(f) && e->n_replies < SUITE_REPLIES)
            e->replies[e->n_replies++] = path_of(r, f->string);
        else
            mistake(r, f, "\"replies\" holds %s, expected up to %d file names", json_show(f, found, sizeof found), SUITE_REPLIES);
    if (e->bench && !e->bench->judge)
        mistake(r, v, "%s needs no judge, so it takes no \"replies\"", e->bench->name);
}

/* A path that only benchmarks of pictures have; NULL: it is not there. */
static const char *read_path(Reader *r, const SuiteEntry *e, const Json *o, const char *key)
{
    const Json *v = json_get(o, key);
    char found[96];
    if (!v)
        return NULL;
    if (e->bench && !e->bench->drawings)
        mistake(r, v, "%s draws nothing, so it takes no \"%s\"", e->bench->name, key);
    if (is_text(v))
        return path_of(r, v->string);
    mistake(r, v, "\"%s\" is %s, expected a path", key, json_show(v, found, sizeof found));
    return NULL;
}

/* Answers are known by benchmark and split, so these stand once. */
static void check_first(Reader *r, const SuiteEntry *e, const Json *o)
{
    for (const SuiteEntry *before = r->suite->entry; before < e && e->data.split; before++)
        if (before->bench == e->bench && before->data.split && !strcmp(before->data.split, e->data.split))
            mistake(r, o, "%s stands twice with split \"%s\"", e->bench->name, e->data.split);
}

static void read_entry(Reader *r, const Json *o)
{
    static const char *const KEYS[] = {"bench", "data", "split", "limit", "replies",   "model",
                                       "dino",  "inception", "lpips", "features", "reference"};
    char found[96];
    if (o->kind != JSON_OBJECT || r->suite->n == SUITE_MOST) {
        mistake(r, o, "a benchmark is %s, expected up to %d objects {\"bench\", \"data\"}", json_show(o, found, sizeof found), SUITE_MOST);
        return;
    }
    SuiteEntry *e = &r->suite->entry[r->suite->n++];
    const Json *data = json_get(o, "data"), *split = json_get(o, "split"), *replies = json_get(o, "replies"), *limit = json_get(o, "limit");
    *e = (SuiteEntry){0};
    check_keys(r, o, KEYS, sizeof KEYS / sizeof *KEYS);
    read_bench(r, e, o);
    if (is_text(data))
        e->data.dir = path_of(r, data->string);
    else
        mistake(r, data ? data : o, "\"data\" is %s, expected the folder of the official files",
                data ? json_show(data, found, sizeof found) : "absent");
    if (split && !is_text(split))
        mistake(r, split, "\"split\" is %s, expected a text", json_show(split, found, sizeof found));
    if (e->bench && bench_data(&e->data, e->bench, e->data.dir, is_text(split) ? kept(r, split->string) : NULL))
        mistake(r, split, "%s", status_message());
    check_first(r, e, o);
    if (limit)
        read_limit(r, e, limit);
    if (replies)
        read_replies(r, e, replies);
    e->networks.clip = read_path(r, e, o, "model");
    e->networks.dino = read_path(r, e, o, "dino");
    e->networks.inception = read_path(r, e, o, "inception");
    e->networks.lpips = read_path(r, e, o, "lpips");
    e->networks.features = read_path(r, e, o, "features");
    e->networks.reference = read_path(r, e, o, "reference");
}

static void read_document(Reader *r, const Json *root)
{
    static const char *const KEYS[] = {"schema", "benchmarks"};
    char found[96];
    const Json *schema = json_get(root, "schema"), *list = json_get(root, "benchmarks");
    if (root->kind != JSON_OBJECT) {
        mistake(r, root, "a suite is %s, expected an object with \"benchmarks\"", json_kind_name(root->kind));
        return;
    }
    check_keys(r, root, KEYS, sizeof KEYS / sizeof *KEYS);
    if (schema && (schema->kind != JSON_STRING || strcmp(schema->string, SCHEMA)))
        mistake(r, schema, "\"schema\" must be \"%s\"", SCHEMA);
    if (!list || list->kind != JSON_ARRAY || !list->length)
        mistake(r, list ? list : root, "\"benchmarks\" is %s, expected a list of at least one",
                list ? json_show(list, found, sizeof found) : "absent");
    for (const Json *o = list && list->kind == JSON_ARRAY ? list->child : NULL; o; o = o->next)
        read_entry(r, o);
}

Status suite_read(Suite *s, const char *file)
{
    JsonDoc *doc;
    Reader r = {.suite = s, .file = file};
    s->n = 0;
    file_folder(r.folder, file);
    Status status = json_read_settings(&doc, file);
    if (status)
        return status == ERR_DATA ? fail(ERR_USAGE, "%s", status_message()) : status;
    read_document(&r, json_root(doc));
    json_free(&doc);
    TRY(mistakes_end(&r.mistakes, ERR_USAGE, file));
    return pool_status(&s->pool);
}

void suite_free(Suite *s) { pool_free(&s->pool); }
