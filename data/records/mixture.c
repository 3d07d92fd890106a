/* mixture.c: reads the list of sources of data.mixture and says all its mistakes at once (records.h). */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json.h"
#include "data/formats/mistakes.h"
#include "data/records/records.h"
#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "kernels/base/utf8.h"

enum { DEFAULT_SEED = 42 };

static const char SCHEMA[] = "genllava.mixture/1";

typedef struct Reader {
    const char *name, *base; /* what messages call the text; what relative paths start from, absolute */
    Mistakes mistakes;
} Reader;

/* ---------------------------------------------------------------- messages */

#define mistake(r, line, column, ...) mistakes_add(&(r)->mistakes, (r)->name, line, column, __VA_ARGS__)

static void wrong(Reader *r, const Json *v, const char *key, const char *allowed)
{
    char text[96];
    mistake(r, v->line, v->column, "%s must be %s, found %s", key, allowed, json_show(v, text, sizeof text));
}

/* Reports keys that are not among the n given, and repeated ones; "$schema" and comments pass. */
static void check_keys(Reader *r, const Json *object, const char *const *keys, int n)
{
    for (const Json *m = object->child; m; m = m->next) {
        if (m->repeated) {
            mistake(r, m->key_line, m->key_column, "the key \"%.200s\" stands twice in this object", m->key);
            continue;
        }
        bool known = json_is_comment(m->key);
        for (int i = 0; i < n && !known; i++)
            known = !strcmp(m->key, keys[i]);
        if (known)
            continue;
        const char *near = cli_nearest(m->key, keys, n);
        mistake(r, m->key_line, m->key_column, "unknown key \"%.100s\"%s%s%s", m->key, near ? "; did you mean \"" : "", near ? near : "",
                near ? "\"?" : "");
    }
}

/* ---------------------------------------------------------------- values */

static char *copied(Reader *r, const char *text)
{
    char *copy = mem_strdup(text);
    r->mistakes.no_memory |= !copy;
    return copy;
}

static char *path_from_base(Reader *r, const char *path)
{
    char whole[PATH_MAX];
    if (*path == '/')
        return copied(r, path);
    while (!strncmp(path, "./", 2))
        path += 2 + strspn(path + 2, "/");
    const char *slash = r->base[strlen(r->base) - 1] == '/' ? "" : "/";
    snprintf(whole, sizeof whole, "%s%s%s", r->base, strcmp(path, ".") ? slash : "", strcmp(path, ".") ? path : "");
    return copied(r, whole);
}

static bool is_text(const Json *v) { return v->kind == JSON_STRING && v->length && strlen(v->string) == v->length; }

static void *list(Reader *r, size_t n, size_t size)
{
    void *p = mem_alloc(n * size);
    r->mistakes.no_memory |= !p;
    return p;
}

static void read_files(Reader *r, MixtureSource *s, const Json *v)
{
    const Json *first = v->kind == JSON_ARRAY ? v->child : v;
    size_t n = v->kind == JSON_ARRAY ? v->length : 1;
    s->files = list(r, n, sizeof *s->files);
    if (!n)
        wrong(r, v, "files", "a list of file names");
    for (const Json *f = first; f && s->files; f = v->kind == JSON_ARRAY ? f->next : NULL) {
        if (is_text(f))
            s->files[s->n_files++] = path_from_base(r, f->string);
        else
            wrong(r, f, "files", "file names");
    }
}

static void read_task(Reader *r, MixtureSource *s, const Json *v)
{
    for (int t = 0; t < N_TASKS; t++) {
        if (v->kind == JSON_STRING && !strcmp(v->string, TASK_NAMES[t])) {
            s->task = (Task)t;
            return;
        }
    }
    wrong(r, v, "task", "understand, generate or edit");
}

static void read_bound(Reader *r, double *out, const Json *v, double open)
{
    if (v->kind != JSON_INT && v->kind != JSON_REAL && v->kind != JSON_NULL)
        wrong(r, v, "a bound of filter", "a number or null");
    *out = v->kind == JSON_NULL ? open : v->real;
}

static void read_filter(Reader *r, MixtureSource *s, const Json *v)
{
    if (v->kind != JSON_OBJECT) {
        wrong(r, v, "filter", "an object of {score: [least, most]}");
        return;
    }
    s->filters = list(r, v->length, sizeof *s->filters);
    for (const Json *m = v->child; m && s->filters; m = m->next) {
        if (json_is_comment(m->key))
            continue;
        if (m->kind != JSON_ARRAY || m->length != 2) {
            wrong(r, m, "each score of filter", "[least, most] with null for no bound");
            continue;
        }
        MixtureFilter *f = &s->filters[s->n_filters++];
        f->score = copied(r, m->key);
        read_bound(r, &f->least, m->child, -INFINITY);
        read_bound(r, &f->most, m->child->next, INFINITY);
    }
}

/* "data/mix.json" to "mix". */
static char *stem_of(Reader *r, const char *path)
{
    char stem[NAME_MAX + 1];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    snprintf(stem, sizeof stem, "%s", name);
    char *dot = strrchr(stem, '.');
    if (dot && dot != stem)
        *dot = 0;
    return copied(r, stem);
}

const char MIXTURE_SOURCE_SCHEMA[] =
    "{\"type\":\"object\",\"required\":[\"files\"],\"additionalProperties\":false,\"patternProperties\":{\"^//\":true},\"properties\":{"
    "\"$schema\":true,"
    "\"name\":{\"type\":\"string\",\"minLength\":1,\"description\":\"Stands in messages and in the rows' uids; the file's name by "
    "default.\"},"
    "\"files\":{\"description\":\"Data files: LLaVA arrays (.json), or a row a line.\",\"anyOf\":[{\"type\":\"string\",\"minLength\":1},"
    "{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"string\",\"minLength\":1}}]},"
    "\"image_root\":{\"description\":\"Where the rows' picture paths start, and what they may not leave.\",\"anyOf\":[{\"type\":\"string\","
    "\"minLength\":1},{\"type\":\"null\"}]},"
    "\"task\":{\"enum\":[\"understand\",\"generate\",\"edit\"],\"default\":\"understand\",\"description\":\"Of rows that name none.\"},"
    "\"weight\":{\"type\":\"number\",\"minimum\":0,\"default\":1,\"description\":\"How often an epoch has each row.\"},"
    "\"max\":{\"type\":\"integer\",\"minimum\":0,\"default\":0,\"description\":\"At most so many rows of it; 0: all.\"},"
    "\"filter\":{\"type\":\"object\",\"description\":\"Only rows whose scores lie between least and most; null: no bound.\","
    "\"patternProperties\":{\"^//\":true},\"additionalProperties\":{\"type\":\"array\",\"minItems\":2,\"maxItems\":2,\"items\":{"
    "\"type\":[\"number\",\"null\"]}}}}}";

static void read_source(Reader *r, MixtureSource *s, const Json *v)
{
    static const char *const KEYS[] = {"name", "files", "image_root", "task", "weight", "max", "filter"};
    *s = (MixtureSource){.weight = 1};
    if (v->kind != JSON_OBJECT) {
        wrong(r, v, "a source", "an object");
        return;
    }
    check_keys(r, v, KEYS, sizeof KEYS / sizeof *KEYS);
    const Json *name = json_get(v, "name"), *files = json_get(v, "files"), *root = json_get(v, "image_root"), *task = json_get(v, "task"),
               *weight = json_get(v, "weight"), *max = json_get(v, "max"), *filter = json_get(v, "filter");
    if (files)
        read_files(r, s, files);
    else
        mistake(r, v->line, v->column, "this source has no \"files\"");
    if (name && is_text(name))
        s->name = copied(r, name->string);
    else if (name)
        wrong(r, name, "name", "a string");
    else if (s->n_files && s->files[0])
        s->name = stem_of(r, s->files[0]);
    if (root && is_text(root))
        s->image_root = path_from_base(r, root->string);
    else if (root && root->kind != JSON_NULL)
        wrong(r, root, "image_root", "a folder or null");
    if (task)
        read_task(r, s, task);
    if (weight && (weight->kind == JSON_INT || weight->kind == JSON_REAL) && weight->real >= 0)
        s->weight = weight->real;
    else if (weight)
        wrong(r, weight, "weight", "a number from 0");
    if (max && max->kind == JSON_INT && max->integer >= 0)
        s->max = max->integer;
    else if (max)
        wrong(r, max, "max", "a whole number from 0 (0: all rows)");
    if (filter)
        read_filter(r, s, filter);
}

static void read_sources(Reader *r, Mixture *m, const Json *v)
{
    if (v->kind != JSON_ARRAY || !v->length) {
        wrong(r, v, "sources", "a list of at least one source");
        return;
    }
    if (v->length > UINT16_MAX) {
        wrong(r, v, "sources", "a list of at most 65535 sources");
        return;
    }
    m->sources = list(r, v->length, sizeof *m->sources);
    for (const Json *s = v->child; s && m->sources; s = s->next)
        read_source(r, &m->sources[m->n_sources++], s);
}

static bool is_row(const Json *v)
{
    return v && v->kind == JSON_OBJECT && (json_get(v, "conversations") || json_get(v, "turns") || json_get(v, "messages"));
}

static void read_mixture(Reader *r, Mixture *m, const Json *root)
{
    static const char *const KEYS[] = {"schema", "seed", "epoch", "sources"};
    if (is_row(root) || (root->kind == JSON_ARRAY && is_row(root->child))) {
        mistake(r, root->line, root->column, "this is a data file, a mixture is expected: name it in the \"files\" of a source, "
                                             "as in [{\"files\": [\"FILE\"], \"image_root\": \"DIR\"}]");
        return;
    }
    if (root->kind == JSON_ARRAY) {
        read_sources(r, m, root);
        return;
    }
    if (root->kind != JSON_OBJECT) {
        wrong(r, root, "a mixture", "an object with \"sources\", or a list of sources");
        return;
    }
    check_keys(r, root, KEYS, sizeof KEYS / sizeof *KEYS);
    const Json *schema = json_get(root, "schema"), *seed = json_get(root, "seed"), *epoch = json_get(root, "epoch"),
               *sources = json_get(root, "sources");
    if (schema && (schema->kind != JSON_STRING || strcmp(schema->string, SCHEMA)))
        wrong(r, schema, "schema", "\"genllava.mixture/1\"");
    if (seed && seed->kind == JSON_INT)
        m->seed = seed->integer;
    else if (seed)
        wrong(r, seed, "seed", "a whole number");
    if (epoch && (epoch->kind == JSON_INT || epoch->kind == JSON_REAL) && epoch->real > 0)
        m->epoch = epoch->real;
    else if (epoch && (epoch->kind != JSON_STRING || strcmp(epoch->string, "natural")))
        wrong(r, epoch, "epoch", "\"natural\" or a number of rows");
    if (sources)
        read_sources(r, m, sources);
    else
        mistake(r, root->line, root->column, "this mixture has no \"sources\"");
}

/* ---------------------------------------------------------------- from outside */

static Status read_document(Reader *r, Mixture *m, JsonDoc *doc)
{
    m->seed = DEFAULT_SEED;
    read_mixture(r, m, json_root(doc));
    return mistakes_end(&r->mistakes, ERR_USAGE, r->name);
}

Status mixture_check(const Json *list, const char *name)
{
    Mixture m = {0};
    Reader r = {.name = name, .base = "/"};
    read_sources(&r, &m, list);
    Status s = mistakes_end(&r.mistakes, ERR_USAGE, name);
    mixture_free(&m);
    return s;
}

/* The folder of `file`, absolute; symbolic links resolved. */
static Status folder_of(const char *file, char out[PATH_MAX])
{
    char folder[PATH_MAX];
    return realpath(file_folder(folder, file), out) ? OK : fail(ERR_MISSING, "%s: %s", folder, strerror(errno));
}

Status mixture_load(Mixture *m, const char *key, const char *file, const char *inline_json, const char *base_dir)
{
    *m = (Mixture){0};
    char base[PATH_MAX];
    JsonDoc *doc;
    Status s = file ? json_read_settings(&doc, file) : json_parse(&doc, inline_json, strlen(inline_json), key);
    if (s == ERR_DATA && file && utf8_ends(file, ".jsonl"))
        return fail(ERR_USAGE, "%s\n%s: if this is a data file, name it in the \"files\" of a source", status_message(), file);
    if (s)
        return s == ERR_DATA ? fail(ERR_USAGE, "%s", status_message()) : s;
    if (file)
        s = folder_of(file, base);
    else if (!realpath(base_dir, base))
        s = fail(ERR_MISSING, "%s: %s", base_dir, strerror(errno));
    Reader r = {.name = file ? file : key, .base = base};
    if (!s)
        s = read_document(&r, m, doc);
    json_free(&doc);
    if (s)
        mixture_free(m);
    return s;
}

static void source_free(MixtureSource *s)
{
    for (int i = 0; i < s->n_files; i++)
        mem_free(s->files[i]);
    for (int i = 0; i < s->n_filters; i++)
        mem_free(s->filters[i].score);
    mem_free(s->files);
    mem_free(s->filters);
    mem_free(s->name);
    mem_free(s->image_root);
}

void mixture_free(Mixture *m)
{
    for (int i = 0; i < m->n_sources; i++)
        source_free(&m->sources[i]);
    mem_free(m->sources);
    *m = (Mixture){0};
}
