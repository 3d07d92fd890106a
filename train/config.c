#include "train/config.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/json.h"
#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "train/options.h"

/* Where a value was given. */
typedef struct Place {
    bool given;
    int line, column; /* 0: by --set */
} Place;

typedef struct Reader {
    RunConfig *cfg;
    const char *source;   /* as messages name it: the file, or "--set KEY" */
    const char *base;     /* absolute folder that relative paths start from */
    bool from_file;       /* positions are meaningful */
    Place *places;        /* [N_OPTIONS] */
    char *mistakes;       /* lines */
    size_t n_mistakes, length;
    bool no_memory;
} Reader;

/* ---------------------------------------------------------------- mistakes */

static void add_line(Reader *r, const char *line)
{
    size_t n = strlen(line);
    char *grown = mem_grow(r->mistakes, r->length + n + 2);
    if (!grown) {
        r->no_memory = true;
        return;
    }
    r->mistakes = grown;
    if (r->length)
        r->mistakes[r->length++] = '\n';
    memcpy(r->mistakes + r->length, line, n + 1);
    r->length += n;
    r->n_mistakes++;
}

/* line 0: no position (a value given by --set, or a default). */
static void mistake(Reader *r, int line, int column, const char *format, ...) PRINTF_LIKE(4, 5);
static void mistake(Reader *r, int line, int column, const char *format, ...)
{
    char text[2048], whole[2048 + PATH_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (line)
        snprintf(whole, sizeof whole, "%s:%d:%d: %s", r->source, line, column, text);
    else
        snprintf(whole, sizeof whole, "%s: %s", r->source, text);
    add_line(r, whole);
}

/* As people wrote it, in short: "the string \"abc\"", "0", "an object". */
static const char *found(const Json *v, char *buf, size_t n)
{
    if (v->kind == JSON_STRING)
        snprintf(buf, n, "\"%.60s%s\"", v->string, v->length > 60 ? "..." : "");
    else if (v->kind == JSON_INT)
        snprintf(buf, n, "%lld", (long long)v->integer);
    else if (v->kind == JSON_REAL)
        snprintf(buf, n, "%.15g", v->real);
    else if (v->kind == JSON_BOOL)
        snprintf(buf, n, "%s", v->boolean ? "true" : "false");
    else
        snprintf(buf, n, "%s", v->kind == JSON_NULL ? "null" : json_kind_name(v->kind));
    return buf;
}

static void wrong_value(Reader *r, const Option *o, const Json *at, const Json *v)
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
    mistake(r, r->from_file ? at->key_line : 0, at->key_column, "%s must be %s, found %s%s", o->key,
            option_allowed(o, allowed, sizeof allowed), found(v, text, sizeof text), hint);
}

/* ---------------------------------------------------------------- values */

static void *slot(const Reader *r, const Option *o) { return (char *)r->cfg + o->offset; }

static void set_string(Reader *r, char **where, const char *text)
{
    mem_free(*where);
    *where = text ? mem_strdup(text) : NULL;
    r->no_memory |= text && !*where;
}

/* base + "/" + path for relative ones. Leading "./" and "../" are taken off exactly, because base has no symbolic links. */
static char *absolute(const char *base, const char *path)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", *path == '/' ? "" : base);
    size_t n = *path == '/' ? 0 : strlen(folder);
    while (n && folder[n - 1] == '/')
        folder[--n] = 0;
    for (bool more = *path != '/'; more;) {
        size_t skip = strspn(path, "/");
        path += skip;
        more = true;
        if (!strncmp(path, "./", 2) || !strcmp(path, "."))
            path += 1;
        else if (!strncmp(path, "../", 3) || !strcmp(path, "..")) {
            path += 2;
            while (n && folder[n - 1] != '/')
                n--;
            folder[n ? --n : 0] = 0;
        } else
            more = false;
    }
    while (*path == '/')
        path++;
    size_t m = strlen(path);
    while (m && path[m - 1] == '/')
        m--;
    char *out = mem_alloc(n + m + 2);
    if (out)
        snprintf(out, n + m + 2, "%.*s%s%.*s", (int)n, folder, m || !n ? "/" : "", (int)m, path);
    return out;
}

static void set_path(Reader *r, char **where, const char *path)
{
    mem_free(*where);
    *where = absolute(r->base, path);
    r->no_memory |= !*where;
}

static void clear_list(StringList *l)
{
    for (int i = 0; i < l->n; i++)
        mem_free(l->items[i]);
    mem_free(l->items);
    *l = (StringList){0};
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
    else if (v->kind == JSON_REAL && v->real == floor(v->real) && fabs(v->real) <= 0x1p53)
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
    for (int i = 0; v->kind == JSON_STRING && o->names[i]; i++)
        if (*o->names[i] && !strcmp(o->names[i], v->string)) {
            *out = i;
            return true;
        }
    return false;
}

static bool read_list(Reader *r, const Option *o, const Json *at, const Json *v)
{
    if (v->kind != JSON_ARRAY || (!v->length && o->flags & OPTION_NOT_EMPTY))
        return false;
    StringList list = {mem_alloc(v->length * sizeof(char *)), 0};
    r->no_memory |= !list.items;
    bool good = true;
    for (const Json *e = v->child; e && list.items; e = e->next) {
        int which;
        if (!read_choice(o, e, &which)) {
            wrong_value(r, o, at, e);
            good = false;
            continue;
        }
        for (int i = 0; i < list.n; i++)
            if (!strcmp(list.items[i], e->string)) {
                mistake(r, r->from_file ? at->key_line : 0, at->key_column, "%s names \"%s\" twice", o->key, e->string);
                good = false;
            }
        if (good)
            set_string(r, &list.items[list.n++], e->string);
    }
    StringList *out = slot(r, o);
    if (!good) {
        clear_list(&list);
        return true; /* said already */
    }
    clear_list(out);
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
static void write_source(Reader *r, JsonOut *out, const Json *source)
{
    jsonout_begin_object(out, NULL);
    for (const Json *m = source->child; m; m = m->next) {
        bool root = m->kind == JSON_STRING && !strcmp(m->key, "image_root"), files = m->kind == JSON_ARRAY && !strcmp(m->key, "files");
        if (!root && !files) {
            jsonout_value(out, m->key, m);
            continue;
        }
        if (files)
            jsonout_begin_array(out, m->key);
        for (const Json *e = files ? m->child : m; e; e = files ? e->next : NULL) {
            char *full = e->kind == JSON_STRING ? absolute(r->base, e->string) : NULL;
            if (full)
                jsonout_string(out, files ? NULL : m->key, full);
            else
                jsonout_value(out, NULL, e);
            mem_free(full);
        }
        if (files)
            jsonout_end_array(out);
    }
    jsonout_end_object(out);
}

static bool read_mixture(Reader *r, const Json *v)
{
    bool list = v->kind == JSON_ARRAY && v->length > 0;
    for (const Json *e = v->kind == JSON_ARRAY ? v->child : NULL; e; e = e->next)
        list &= e->kind == JSON_OBJECT;
    if (!list && (v->kind != JSON_STRING || !v->length))
        return false;
    set_string(r, &r->cfg->data.mixture, NULL);
    set_string(r, &r->cfg->data.mixture_json, NULL);
    set_string(r, &r->cfg->data.base_dir, r->base);
    if (!list) {
        set_path(r, &r->cfg->data.mixture, v->string);
        return true;
    }
    JsonOut out = {0};
    jsonout_begin_array(&out, NULL);
    for (const Json *e = v->child; e; e = e->next)
        write_source(r, &out, e);
    jsonout_end_array(&out);
    r->no_memory |= out.failed;
    if (!out.failed)
        set_string(r, &r->cfg->data.mixture_json, out.text);
    jsonout_free(&out);
    return true;
}

static void set_null(Reader *r, const Option *o)
{
    if (o->kind == OPTION_INT)
        *(int64_t *)slot(r, o) = 0;
    else if (o->kind == OPTION_REAL)
        *(double *)slot(r, o) = 0;
    else
        set_string(r, slot(r, o), NULL);
}

/* Text without NUL and not empty. */
static bool is_text(const Json *v) { return v->kind == JSON_STRING && v->length && strlen(v->string) == v->length; }

static bool take_value(Reader *r, const Option *o, const Json *at, const Json *v)
{
    int which;
    int64_t i;
    double x;
    if (v->kind == JSON_NULL && o->flags & OPTION_NULLABLE) {
        set_null(r, o);
        return true;
    }
    switch (o->kind) {
    case OPTION_STRING:
        if (!is_text(v))
            return false;
        set_string(r, slot(r, o), v->string);
        return true;
    case OPTION_PATH:
    case OPTION_INIT:
        if (!is_text(v))
            return false;
        if (o->kind == OPTION_INIT && !strcmp(v->string, "default"))
            set_string(r, slot(r, o), NULL);
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
    case OPTION_LIST:
        return read_list(r, o, at, v);
    case OPTION_PROJECTOR:
        if (!is_text(v) || !projector_depth(v->string))
            return false;
        set_string(r, slot(r, o), v->string);
        r->cfg->model.projector.depth = projector_depth(v->string);
        return true;
    case OPTION_MIXTURE:
        return read_mixture(r, v);
    }
    return false;
}

/* ---------------------------------------------------------------- objects */

typedef struct Names {
    char text[1024];
    size_t used;
} Names;

static void add_name(void *arg, const char *key, const Option *o, const OptionSection *s)
{
    (void)o, (void)s;
    Names *names = arg;
    if (names->used < sizeof names->text)
        names->used += (size_t)snprintf(names->text + names->used, sizeof names->text - names->used, "%s%s", names->used ? ", " : "",
                                        option_leaf(key));
}

static void unknown_key(Reader *r, const Json *at, const char *key)
{
    char section[256], hint[256] = "";
    snprintf(section, sizeof section, "%.*s", (int)(strrchr(key, '.') ? strrchr(key, '.') - key : 0), key);
    const char *near = option_suggest(key);
    if (near)
        snprintf(hint, sizeof hint, "; did you mean \"%s\"?", near);
    Names names = {.used = 0};
    while (*section && !option_section(section)) /* below a value, or below another unknown key */
        section[strrchr(section, '.') ? strrchr(section, '.') - section : 0] = 0;
    option_members(section, add_name, &names);
    mistake(r, r->from_file ? at->key_line : 0, at->key_column, "unknown key \"%s\"%s %s takes %s", key, near ? hint : ";",
            *section ? section : "the file", names.text);
}

static void read_object(Reader *r, const Json *object, const char *section);

/* null or a new object for a section whose keys stand and fall together. */
static void clear_section(Reader *r, const char *section)
{
    for (int i = 0; i < N_OPTIONS; i++)
        if (option_in_section(OPTIONS[i].key, section))
            set_null(r, &OPTIONS[i]);
}

/* `at` holds the position of the key, `v` the value (the same node in a file). */
static void read_key(Reader *r, const Json *at, const Json *v, const char *key)
{
    const Option *o = option_find(key);
    const OptionSection *s = option_section(key);
    char text[128];
    if (o) {
        r->places[o - OPTIONS] = (Place){true, r->from_file ? at->key_line : 0, at->key_column};
        if (!take_value(r, o, at, v))
            wrong_value(r, o, at, v);
    } else if (s && *key && (v->kind == JSON_OBJECT || (s->replaces && v->kind == JSON_NULL))) {
        if (s->replaces)
            clear_section(r, key);
        if (v->kind == JSON_OBJECT)
            read_object(r, v, key);
    } else if (s && *key)
        mistake(r, r->from_file ? at->key_line : 0, at->key_column, "%s must be an object%s, found %s", key, s->replaces ? " or null" : "",
                found(v, text, sizeof text));
    else
        unknown_key(r, at, key);
}

static void read_object(Reader *r, const Json *object, const char *section)
{
    for (const Json *m = object->child; m; m = m->next) {
        char key[256];
        if (!strcmp(m->key, "$schema") || !strncmp(m->key, "//", 2))
            continue;
        snprintf(key, sizeof key, "%s%s%.100s", section, *section ? "." : "", m->key);
        if (m->repeated) {
            mistake(r, r->from_file ? m->key_line : 0, m->key_column, "%s stands a second time; keep one", key);
            continue;
        }
        if (strchr(m->key, '.') && option_find(key))
            mistake(r, r->from_file ? m->key_line : 0, m->key_column, "%s: a dotted key is for --set; in a file \"%s\" stands inside the object \"%.*s\"",
                    key, option_leaf(key), (int)(option_leaf(key) - key - 1), key);
        else
            read_key(r, m, m, key);
    }
}

static void read_defaults(Reader *r)
{
    for (int i = 0; i < N_OPTIONS; i++) {
        const Option *o = &OPTIONS[i];
        JsonDoc *doc;
        if (!o->fallback)
            continue;
        if (json_parse(&doc, o->fallback, strlen(o->fallback), o->key) != OK)
            r->no_memory = true;
        else {
            if (!take_value(r, o, json_root(doc), json_root(doc)))
                wrong_value(r, o, json_root(doc), json_root(doc));
            json_free(&doc);
        }
    }
}

/* "section.key=value": the value is JSON, else the text as it stands. */
static void read_set(Reader *r, const char *set)
{
    char source[256], key[200];
    const char *equals = strchr(set, '=');
    size_t n = equals ? (size_t)(equals - set) : 0;
    r->source = "--set";
    if (!n || n >= sizeof key) {
        mistake(r, 0, 0, "\"%.100s\" must be KEY=VALUE, as in optim.lr=1e-4", set);
        return;
    }
    snprintf(key, sizeof key, "%.*s", (int)n, set);
    snprintf(source, sizeof source, "--set %s", key);
    r->source = source;
    JsonDoc *doc = NULL;
    Json text = {.kind = JSON_STRING, .string = equals + 1, .length = strlen(equals + 1)};
    const Json *v = json_parse(&doc, equals + 1, strlen(equals + 1), source) == OK ? json_root(doc) : &text;
    read_key(r, v, v, key);
    json_free(&doc);
}

/* ---------------------------------------------------------------- what concerns several keys */

static void cross(Reader *r, const char *key, const char *format, ...) PRINTF_LIKE(3, 4);
static void cross(Reader *r, const char *key, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const Place *p = &r->places[option_find(key) - OPTIONS];
    mistake(r, p->line, p->column, "%s", text);
}

static void check_name(Reader *r)
{
    const char *name = r->cfg->name;
    bool bad = !strcmp(name, ".") || !strcmp(name, "..") || strchr(name, '/');
    for (const char *p = name; *p; p++)
        bad |= (unsigned char)*p < 0x20;
    if (bad)
        cross(r, "name", "name must be the name of a folder without \"/\", found \"%.100s\"", name);
}

static void check_tasks(Reader *r)
{
    static const char *const KEYS[] = {"model.tokens.task.understand", "model.tokens.task.generate", "model.tokens.task.edit"};
    const char *texts[] = {r->cfg->model.tokens.task_understand, r->cfg->model.tokens.task_generate, r->cfg->model.tokens.task_edit};
    for (int i = 0; i < 3; i++) {
        int k, used = 0;
        for (int j = 0; texts[i] && j < i; j++)
            if (texts[j] && !strcmp(texts[i], texts[j]))
                cross(r, KEYS[i], "%s and %s are both \"%.100s\"; added tokens must differ", KEYS[j], KEYS[i], texts[i]);
        if (texts[i] && sscanf(texts[i], "[IMG%d]%n", &k, &used) == 1 && used && !texts[i][used])
            cross(r, KEYS[i], "%s is \"%.100s\", which is the name of a visual output token; added tokens must differ", KEYS[i], texts[i]);
    }
}

static void check_together(Reader *r)
{
    RunConfig *c = r->cfg;
    const Place *steps = &r->places[option_find("train.steps") - OPTIONS], *epochs = &r->places[option_find("train.epochs") - OPTIONS];
    check_name(r);
    check_tasks(r);
    if (c->train.steps && c->train.epochs > 0) {
        bool later = steps->line > epochs->line || !steps->line;
        cross(r, later ? "train.steps" : "train.epochs",
              "train.steps and train.epochs are both set; they exclude each other, take one out (or set it to null)");
    }
    if (c->model.diffusion.edit == EDIT_TRAIN_CONV_IN && c->model.diffusion.unet == TRAIN_FROZEN)
        cross(r, "model.diffusion.edit", "model.diffusion.edit = \"train_conv_in\" needs model.diffusion.unet = \"conv_in\" or \"full\", found \"frozen\"");
    if (c->model.gen_head.heads && c->model.gen_head.width % c->model.gen_head.heads)
        cross(r, "model.gen_head.heads", "model.gen_head.heads must divide model.gen_head.width, found %lld and %lld",
              (long long)c->model.gen_head.heads, (long long)c->model.gen_head.width);
    if (c->sample.every && !c->sample.prompts)
        cross(r, "sample.every", "sample.every is %lld but sample.prompts names no file", (long long)c->sample.every);
}

static void check_required(Reader *r)
{
    for (int i = 0; i < N_OPTIONS; i++)
        if (OPTIONS[i].flags & OPTION_REQUIRED && !r->places[i].given)
            mistake(r, 0, 0, "%s is missing: %.*s", OPTIONS[i].key, (int)strlen(OPTIONS[i].help) - 1, OPTIONS[i].help);
}

/* ---------------------------------------------------------------- loading */

/* The default name: what stands between the last slash and the last dot. */
static void name_after(Reader *r, const char *file)
{
    const char *slash = strrchr(file, '/'), *start = slash ? slash + 1 : file, *dot = strrchr(start, '.');
    char stem[NAME_MAX + 1];
    snprintf(stem, sizeof stem, "%.*s", dot && dot > start ? (int)(dot - start) : (int)strlen(start), start);
    if (!r->cfg->name)
        set_string(r, &r->cfg->name, strcmp(file, "-") ? stem : "run");
}

static void default_shards(Reader *r)
{
    RunConfig *c = r->cfg;
    char path[PATH_MAX];
    if (c->data.shards || !c->save.dir || !c->name)
        return;
    snprintf(path, sizeof path, "%s/%s/shards", c->save.dir, c->name);
    set_string(r, &c->data.shards, path);
}

static Status folder_of(const char *file, const char *cwd, char out[PATH_MAX])
{
    char path[PATH_MAX];
    const char *slash = strrchr(file, '/');
    if (!slash || !strcmp(file, "-"))
        snprintf(out, PATH_MAX, "%s", cwd);
    else {
        snprintf(path, sizeof path, "%.*s", (int)(slash == file ? 1 : slash - file), file);
        if (!realpath(path, out))
            return fail(ERR_MISSING, "%s: %s", path, strerror(errno));
    }
    return OK;
}

static Status finish(Reader *r)
{
    if (r->no_memory)
        return fail(ERR_NOMEM, "reading the configuration: out of memory");
    return r->n_mistakes ? fail(ERR_USAGE, "%s", r->mistakes) : OK;
}

static Status load(Reader *r, const char *file, const char *const *sets, int n_sets)
{
    char cwd[PATH_MAX], base[PATH_MAX];
    if (!getcwd(cwd, sizeof cwd))
        return fail(ERR_MISSING, "the working directory: %s", strerror(errno));
    r->base = cwd;
    r->source = "default";
    read_defaults(r);
    TRY(finish(r));
    JsonDoc *doc;
    Status s = json_read_settings(&doc, file);
    if (s != OK)
        return s == ERR_DATA ? fail(ERR_USAGE, "%s", status_message()) : s;
    s = folder_of(file, cwd, base);
    r->base = base;
    r->source = file;
    r->from_file = true;
    if (s == OK && json_root(doc)->kind != JSON_OBJECT)
        s = fail(ERR_USAGE, "%s:%d:%d: the settings must be an object, found %s", file, json_root(doc)->line, json_root(doc)->column,
                 json_kind_name(json_root(doc)->kind));
    if (s == OK)
        read_object(r, json_root(doc), "");
    json_free(&doc);
    TRY(s);
    r->from_file = false;
    r->base = cwd;
    for (int i = 0; i < n_sets; i++)
        read_set(r, sets[i]);
    r->source = file;
    name_after(r, file);
    if (!r->no_memory) {
        check_together(r);
        check_required(r);
        default_shards(r);
    }
    if (!r->cfg->train.steps && !(r->cfg->train.epochs > 0))
        r->cfg->train.epochs = 1;
    return finish(r);
}

Status config_load(RunConfig *cfg, const char *file, const char *const *sets, int n_sets)
{
    *cfg = (RunConfig){0};
    Reader r = {.cfg = cfg, .places = mem_alloc((size_t)N_OPTIONS * sizeof(Place))};
    Status s = r.places ? load(&r, file, sets, n_sets) : fail(ERR_NOMEM, "reading the configuration: out of memory");
    mem_free(r.places);
    mem_free(r.mistakes);
    if (s != OK)
        config_free(cfg);
    return s;
}

void config_free(RunConfig *cfg)
{
    for (int i = 0; i < N_OPTIONS; i++) {
        void *p = (char *)cfg + OPTIONS[i].offset;
        switch (OPTIONS[i].kind) {
        case OPTION_STRING:
        case OPTION_PATH:
        case OPTION_INIT:
        case OPTION_PROJECTOR:
        case OPTION_MIXTURE: mem_free(*(char **)p); break;
        case OPTION_LIST: clear_list(p); break;
        default: break;
        }
    }
    mem_free(cfg->data.mixture_json);
    mem_free(cfg->data.base_dir);
    *cfg = (RunConfig){0};
}

/* ---------------------------------------------------------------- at the start of a run */

static Status check_path(const char *key, const char *path, bool folder)
{
    struct stat st;
    if (stat(path, &st))
        return fail(ERR_MISSING, "%s: %s: %s", key, path, errno == ENOENT ? "there is no such file or folder" : strerror(errno));
    if (folder && !S_ISDIR(st.st_mode))
        return fail(ERR_MISSING, "%s: %s is a file; a folder is expected", key, path);
    if (!folder && S_ISDIR(st.st_mode))
        return fail(ERR_MISSING, "%s: %s is a folder; a file is expected", key, path);
    return OK;
}

Status config_check_paths(const RunConfig *cfg)
{
    for (int i = 0; i < N_OPTIONS; i++) {
        const Option *o = &OPTIONS[i];
        const char *path = o->flags & (OPTION_FOLDER | OPTION_FILE) ? *(char *const *)((const char *)cfg + o->offset) : NULL;
        if (path)
            TRY(check_path(o->key, path, o->flags & OPTION_FOLDER));
    }
    return OK;
}
