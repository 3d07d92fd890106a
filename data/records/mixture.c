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
#include "data/records/format.h"
#include "data/records/records.h"
#include "data/records/requests.h"
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

static void check_ending(Reader *r, const Format *format, const Json *file)
{
    const Feed *feed = format->feed[format->as];
    const char *const *e = feed ? feed->endings : NULL;
    if (!feed && utf8_ends(file->string, ".tsv"))
        mistake(r, file->line, file->column, "a table of captions (.tsv) has \"format\": \"captions\", found \"%s\"", format->name);
    if (!e || !e[0] || utf8_ends(file->string, e[0]) || utf8_ends(file->string, e[1]) || utf8_ends(file->string, e[2]))
        return;
    mistake(r, file->line, file->column, "the ending of a file says what is in it: files of the format \"%s\" end in %s, %s or %s, found "
                                         "\"%.200s\"", format->name, e[0], e[1], e[2], file->string);
}

static void read_files(Reader *r, MixtureSource *s, const Json *v)
{
    const Json *first = v->kind == JSON_ARRAY ? v->child : v;
    size_t n = v->kind == JSON_ARRAY ? v->length : 1;
    s->files = list(r, n, sizeof *s->files);
    if (!n)
        mistake(r, v->line, v->column, "files is an empty list, expected at least one file name");
    for (const Json *f = first; f && s->files; f = v->kind == JSON_ARRAY ? f->next : NULL) {
        if (!is_text(f)) {
            wrong(r, f, "files", "file names");
            continue;
        }
        check_ending(r, s->format, f);
        s->files[s->n_files++] = path_from_base(r, f->string);
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
        if (f->least > f->most)
            mistake(r, m->line, m->column, "the bounds of \"%.100s\" are [%g, %g], expected [least, most]", m->key, f->least, f->most);
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
    "{\"type\":\"object\",\"anyOf\":[{\"required\":[\"files\"]},{\"required\":[\"root\"]}],"
    "\"additionalProperties\":false,\"patternProperties\":{\"^//\":true},\"properties\":{"
    "\"$schema\":true,"
    "\"name\":{\"type\":\"string\",\"minLength\":1,\"description\":\"Stands in messages and in the rows' uids; the file's name by "
    "default.\"},"
    "\"format\":{\"type\":\"string\",\"description\":\"Layout of the files; LLaVA's or unified rows by default (told by content).\"},"
    "\"files\":{\"description\":\"Data files: LLaVA arrays (.json), or a row a line.\",\"anyOf\":[{\"type\":\"string\",\"minLength\":1},"
    "{\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"string\",\"minLength\":1}}]},"
    "\"image_root\":{\"description\":\"Where the rows' picture paths start, and what they may not leave.\",\"anyOf\":[{\"type\":\"string\","
    "\"minLength\":1},{\"type\":\"null\"}]},"
    "\"task\":{\"enum\":[\"understand\",\"generate\",\"edit\"],\"default\":\"understand\",\"description\":\"Of rows that name none.\"},"
    "\"weight\":{\"type\":\"number\",\"minimum\":0,\"default\":1,\"description\":\"How often an epoch has each row.\"},"
    "\"max\":{\"type\":\"integer\",\"minimum\":0,\"default\":0,\"description\":\"At most so many rows of it; 0: all.\"},"
    "\"license\":{\"type\":[\"string\",\"null\"],\"description\":\"Of rows that name none.\"},"
    "\"as\":{\"enum\":[\"understand\",\"generate\"],\"description\":\"What rows of captions become.\"},"
    "\"requests\":{\"type\":\"string\",\"description\":\"File of request templates; built-in ones by default.\"},"
    "\"each\":{\"type\":\"integer\",\"minimum\":0,\"default\":0,\"description\":\"Rows of a picture or prompt; 0: all.\"},"
    "\"root\":{\"type\":\"string\",\"minLength\":1,\"description\":\"Folder of a layout that is one.\"},"
    "\"split\":{\"enum\":[\"train\",\"val\"],\"default\":\"train\"},"
    "\"filter\":{\"type\":\"object\",\"description\":\"Only rows whose scores lie between least and most; null: no bound.\","
    "\"patternProperties\":{\"^//\":true},\"additionalProperties\":{\"type\":\"array\",\"minItems\":2,\"maxItems\":2,\"items\":{"
    "\"type\":[\"number\",\"null\"]}}}}}";

/* ---------------------------------------------------------------- a source */

/* Keys of sources: bit of FormatKeys, or 0, where every layout has it. */
static const struct {
    unsigned bit;
    const char *name;
} SOURCE_KEYS[] = {{0, "name"},       {0, "format"},     {0, "weight"},         {0, "max"},           {0, "filter"},
                   {0, "license"},    {KEY_FILES, "files"}, {KEY_IMAGE_ROOT, "image_root"}, {KEY_TASK, "task"}, {KEY_AS, "as"},
                   {KEY_REQUESTS, "requests"}, {KEY_EACH, "each"}, {KEY_ROOT, "root"}, {KEY_SPLIT, "split"}};
enum { N_SOURCE_KEYS = sizeof SOURCE_KEYS / sizeof *SOURCE_KEYS };

bool mixture_key_is_path(const char *key) { return !strcmp(key, "image_root") || !strcmp(key, "root") || !strcmp(key, "requests"); }

/* Only keys that the layout has; one of another layout is named as such. */
static void check_source_keys(Reader *r, const Json *v, const Format *format)
{
    const char *keys[N_SOURCE_KEYS];
    int n = 0;
    for (int i = 0; i < N_SOURCE_KEYS; i++) {
        const Json *other = json_get(v, SOURCE_KEYS[i].name);
        bool has = !SOURCE_KEYS[i].bit || (SOURCE_KEYS[i].bit & format->keys);
        if (has || other)
            keys[n++] = SOURCE_KEYS[i].name;
        if (!has && other)
            mistake(r, other->key_line, other->key_column, "sources of the format \"%s\" have no \"%s\"", format->name,
                    SOURCE_KEYS[i].name);
    }
    check_keys(r, v, keys, n);
}

/* Layouts that have no name here: their rows are told by their content. */
static bool needs_no_format(const Json *v)
{
    static const char *const NAMES[] = {"sharegpt", "messages", "conversations", "chat", "chatml", "openai", "trl", "llama-factory"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (v->kind == JSON_STRING && !strcmp(v->string, NAMES[i]))
            return true;
    return false;
}

static const Format *read_format(Reader *r, const Json *v)
{
    const char *names[16];
    int n = 0;
    if (!v)
        return &FORMATS[0];
    const Format *format = v->kind == JSON_STRING ? format_named(v->string) : NULL;
    for (; n < format_count(); n++)
        names[n] = FORMATS[n].name;
    const char *near = v->kind == JSON_STRING ? cli_nearest(v->string, names, n) : NULL;
    if (!format && needs_no_format(v)) {
        mistake(r, v->line, v->column, "format is \"%s\": rows of \"conversations\" or \"messages\" are told by their content; leave "
                                       "\"format\" out", v->string);
    } else if (!format) {
        char list[256] = "", found[96];
        for (int i = 0; i < n; i++)
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", names[i]);
        mistake(r, v->line, v->column, "format is %s, expected one of %s%s%s%s", json_show(v, found, sizeof found), list,
                near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
    return format;
}

/* "sets/magicbrush/" is sets/magicbrush: its last name is that of the source. */
static char *folder_from_base(Reader *r, const char *path)
{
    char *folder = path_from_base(r, path);
    for (size_t n = folder ? strlen(folder) : 0; n > 1 && folder[n - 1] == '/'; n--)
        folder[n - 1] = 0;
    return folder;
}

static void read_place(Reader *r, MixtureSource *s, const Json *v)
{
    const Json *files = json_get(v, "files"), *root = json_get(v, "root"), *image_root = json_get(v, "image_root");
    const bool folder = s->format->keys & KEY_ROOT;
    if (!folder && files)
        read_files(r, s, files);
    else if (!folder || !root)
        mistake(r, v->line, v->column, "this source has no \"%s\"", folder ? "root" : "files");
    else if (!is_text(root))
        wrong(r, root, "root", "a folder");
    else if ((s->files = list(r, 1, sizeof *s->files))) {
        s->files[s->n_files++] = folder_from_base(r, root->string);
        s->image_root = folder_from_base(r, root->string);
    }
    if (!folder && image_root && is_text(image_root))
        s->image_root = path_from_base(r, image_root->string);
    else if (!folder && image_root && image_root->kind != JSON_NULL)
        wrong(r, image_root, "image_root", "a folder or null");
}

/* Of a layout whose rows are captions: their templates. A file of them that is missing is told with the data files. */
static void read_requests(Reader *r, MixtureSource *s, const Json *v)
{
    if (v && !is_text(v)) {
        wrong(r, v, "requests", "a file of request templates");
        return;
    }
    if (v)
        s->requests_file = path_from_base(r, v->string);
    if (!s->format->feed[s->as] || s->as == TASK_EDIT || (v && !s->requests_file) || !(s->requests = list(r, 1, sizeof *s->requests)))
        return;
    Status failed = requests_load(s->requests, s->requests_file);
    if (failed == ERR_USAGE)
        mistakes_add_line(&r->mistakes, status_message());
    r->mistakes.no_memory |= failed == ERR_NOMEM;
}

static void read_choice(Reader *r, MixtureSource *s, const Json *as, const Json *split)
{
    const unsigned keys = s->format->keys;
    s->as = s->format->as;
    if (as && (keys & KEY_AS)) {
        bool known = as->kind == JSON_STRING && (!strcmp(as->string, "understand") || !strcmp(as->string, "generate"));
        if (known)
            s->as = !strcmp(as->string, "generate") ? TASK_GENERATE : TASK_UNDERSTAND;
        else
            wrong(r, as, "as", "understand or generate");
    }
    if (!(keys & KEY_SPLIT))
        return;
    bool val = split && split->kind == JSON_STRING && !strcmp(split->string, "val");
    s->split = copied(r, val ? "val" : "train");
    if (split && split->kind == JSON_STRING && !strcmp(split->string, "test"))
        mistake(r, split->line, split->column, "split is \"test\": rows to test with are never trained on; expected train or val");
    else if (split && !val && (split->kind != JSON_STRING || strcmp(split->string, "train")))
        wrong(r, split, "split", "train or val");
}

/* Of a layout that is a folder. */
static void check_refused(Reader *r, const MixtureSource *s, const Json *root, bool is_default)
{
    char sentence[256];
    const Feed *feed = s->format->feed[s->as];
    if (root && s->n_files && s->files[0] && s->split && feed && feed->refuses &&
        feed->refuses(s->files[0], s->split, is_default, sentence))
        mistake(r, root->line, root->column, "%s", sentence);
}

static void read_whole(Reader *r, const Json *v, const char *key, int64_t *out)
{
    char allowed[64];
    const Json *n = json_get(v, key);
    snprintf(allowed, sizeof allowed, "a whole number from 0 (0: all rows)");
    if (n && n->kind == JSON_INT && n->integer >= 0)
        *out = n->integer;
    else if (n)
        wrong(r, n, key, allowed);
}

static void read_name(Reader *r, MixtureSource *s, const Json *name, const Json *license)
{
    if (name && is_text(name))
        s->name = copied(r, name->string);
    else if (name)
        wrong(r, name, "name", "a string");
    else if (s->n_files && s->files[0])
        s->name = stem_of(r, s->files[0]);
    if (license && is_text(license))
        s->license = copied(r, license->string);
    else if (license && license->kind != JSON_NULL)
        wrong(r, license, "license", "a string or null");
}

static void read_source(Reader *r, MixtureSource *s, const Json *v)
{
    *s = (MixtureSource){.weight = 1, .format = &FORMATS[0]};
    if (v->kind != JSON_OBJECT) {
        wrong(r, v, "a source", "an object");
        return;
    }
    const Format *format = read_format(r, json_get(v, "format"));
    if (!format)
        return;
    s->format = format;
    check_source_keys(r, v, format);
    read_place(r, s, v);
    read_name(r, s, json_get(v, "name"), json_get(v, "license"));
    const Json *task = json_get(v, "task"), *weight = json_get(v, "weight"), *filter = json_get(v, "filter");
    read_choice(r, s, json_get(v, "as"), json_get(v, "split"));
    check_refused(r, s, json_get(v, "root"), !json_get(v, "split"));
    if (task && (format->keys & KEY_TASK))
        read_task(r, s, task);
    if (weight && (weight->kind == JSON_INT || weight->kind == JSON_REAL) && weight->real >= 0)
        s->weight = weight->real;
    else if (weight)
        wrong(r, weight, "weight", "a number from 0");
    read_whole(r, v, "max", &s->max);
    if (format->keys & KEY_EACH)
        read_whole(r, v, "each", &s->each);
    if (filter)
        read_filter(r, s, filter);
    if (format->keys & KEY_REQUESTS)
        read_requests(r, s, json_get(v, "requests"));
}

static void read_sources(Reader *r, Mixture *m, const Json *v)
{
    if (v->kind == JSON_ARRAY && !v->length)
        mistake(r, v->line, v->column, "sources is an empty list, expected at least one source");
    else if (v->kind != JSON_ARRAY)
        wrong(r, v, "sources", "a list of at least one source");
    if (v->kind != JSON_ARRAY || !v->length)
        return;
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

static void read_exclusion(Reader *r, Mixture *m, const Json *v)
{
    if (v && is_text(v))
        m->exclude_file = path_from_base(r, v->string);
    else if (v && v->kind != JSON_NULL)
        wrong(r, v, "exclude_image_ids", "a file or null");
}

static void read_near(Reader *r, Mixture *m, const Json *v)
{
    m->drop_near = v && v->kind == JSON_STRING && !strcmp(v->string, "drop");
    if (v && !m->drop_near && (v->kind != JSON_STRING || strcmp(v->string, "keep")))
        wrong(r, v, "near_duplicates", "\"keep\" or \"drop\"");
}

static void read_mixture(Reader *r, Mixture *m, const Json *root)
{
    static const char *const KEYS[] = {"schema", "seed", "epoch", "exclude_image_ids", "near_duplicates", "sources"};
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
    read_exclusion(r, m, json_get(root, "exclude_image_ids"));
    read_near(r, m, json_get(root, "near_duplicates"));
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

Status mixture_exclude(Mixture *m, const char *file)
{
    char path[PATH_MAX];
    if (!file)
        return OK;
    mem_free(m->exclude_file);
    m->exclude_file = mem_strdup(realpath(file, path) ? path : file);
    return m->exclude_file ? OK : fail(ERR_NOMEM, "%s: no memory for its name", file);
}

static void source_free(MixtureSource *s)
{
    for (int i = 0; i < s->n_files; i++)
        mem_free(s->files[i]);
    for (int i = 0; i < s->n_filters; i++)
        mem_free(s->filters[i].score);
    mem_free(s->files);
    mem_free(s->filters);
    if (s->requests)
        requests_free(s->requests);
    mem_free(s->requests);
    mem_free(s->requests_file);
    mem_free(s->license);
    mem_free(s->split);
    mem_free(s->name);
    mem_free(s->image_root);
}

void mixture_free(Mixture *m)
{
    for (int i = 0; i < m->n_sources; i++)
        source_free(&m->sources[i]);
    mem_free(m->sources);
    mem_free(m->exclude_file);
    *m = (Mixture){0};
}
