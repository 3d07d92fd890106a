/* config.c: reads the file of a run's settings and the --set overrides, and checks what concerns several keys (config.h). */
#include "train/config/config.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "kernels/ops/attention.h"
#include "train/config/config_reader.h"
#include "train/config/plan.h"

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

static void unknown_key(ConfigReader *r, const Json *at, const char *key)
{
    char section[256], hint[256] = "";
    snprintf(section, sizeof section, "%.*s", (int)(strrchr(key, '.') ? strrchr(key, '.') - key : 0), key);
    const char *near = option_suggest(key);
    if (near)
        snprintf(hint, sizeof hint, "; did you mean \"%s\"?", near);
    Names names = {.used = 0};
    option_members(section, add_name, &names);
    while (!names.used) { /* below a value, or below another unknown key */
        section[strrchr(section, '.') ? strrchr(section, '.') - section : 0] = 0;
        option_members(section, add_name, &names);
    }
    config_mistake(r, at, "unknown key \"%s\"%s %s takes %s", key, near ? hint : ";", *section ? section : "the file", names.text);
}

static void read_object(ConfigReader *r, const Json *object, const char *section);

/* null or a new object for a section whose keys stand and fall together. */
static void clear_section(ConfigReader *r, const char *section)
{
    for (int i = 0; i < N_OPTIONS; i++)
        if (option_in_section(OPTIONS[i].key, section))
            config_set_null(r, &OPTIONS[i]);
}

/* `at` holds the position of the key, `v` the value (the same node in a file). */
static void read_key(ConfigReader *r, const Json *at, const Json *v, const char *key)
{
    const Option *o = option_find(key);
    const OptionSection *s = option_section(key);
    char text[128];
    if (o) {
        r->places[o - OPTIONS] = (ConfigPlace){true, r->from_file ? at->key_line : 0, at->key_column};
        config_take_value(r, o, at, v);
    } else if (s && *key && (v->kind == JSON_OBJECT || (s->replaces && v->kind == JSON_NULL))) {
        if (s->replaces)
            clear_section(r, key);
        if (v->kind == JSON_OBJECT)
            read_object(r, v, key);
    } else if (s && *key) {
        char path[64];
        snprintf(path, sizeof path, "%s.path", key);
        bool hint = v->kind == JSON_NULL && option_find(path);
        config_mistake(r, at, "%s must be an object%s, found %s%s%s%s", key, s->replaces ? " or null" : "", json_show(v, text, sizeof text),
                       hint ? "; leave it out, or set " : "", hint ? path : "", hint ? " to null" : "");
    } else
        unknown_key(r, at, key);
}

static void read_object(ConfigReader *r, const Json *object, const char *section)
{
    for (const Json *m = object->child; m; m = m->next) {
        char key[256];
        if (json_is_comment(m->key))
            continue;
        snprintf(key, sizeof key, "%s%s%.100s", section, *section ? "." : "", m->key);
        if (m->repeated) {
            config_mistake(r, m, "%s stands a second time; keep one", key);
            continue;
        }
        if (strchr(m->key, '.') && option_find(key))
            config_mistake(r, m, "%s: a dotted key is for --set; in a file \"%s\" stands inside the object \"%.*s\"", key, option_leaf(key),
                           (int)(option_leaf(key) - key - 1), key);
        else
            read_key(r, m, m, key);
    }
}

static void read_defaults(ConfigReader *r)
{
    for (int i = 0; i < N_OPTIONS; i++) {
        const Option *o = &OPTIONS[i];
        JsonDoc *doc;
        if (!o->fallback)
            continue;
        if (json_parse(&doc, o->fallback, strlen(o->fallback), o->key) != OK)
            r->mistakes.no_memory = true;
        else {
            config_take_value(r, o, json_root(doc), json_root(doc));
            json_free(&doc);
        }
    }
}

/* Whether a part of a dotted key makes it a comment. */
static bool is_comment(const char *key)
{
    char part[256];
    for (;; key++) {
        snprintf(part, sizeof part, "%.*s", (int)strcspn(key, "."), key);
        if (json_is_comment(part))
            return true;
        key += strcspn(key, ".");
        if (!*key)
            return false;
    }
}

/* Whether this key's values are strings, and a bare number or true is one too. */
static bool takes_text(const char *key, const Json *v)
{
    const Option *o = option_find(key);
    bool text = o && (o->kind == OPTION_STRING || o->kind == OPTION_PATH || o->kind == OPTION_INIT || o->kind == OPTION_MIXTURE);
    return text && (v->kind == JSON_INT || v->kind == JSON_REAL || v->kind == JSON_BOOL);
}

/* "section.key=value": the value is JSON, else the text as it stands. */
static void read_set(ConfigReader *r, const char *set)
{
    char source[256], key[200];
    const char *equals = strchr(set, '=');
    size_t n = equals ? (size_t)(equals - set) : 0;
    r->source = "--set";
    if (!n || n >= sizeof key) {
        mistakes_add(&r->mistakes, r->source, 0, 0, "\"%.100s\" must be KEY=VALUE, as in optim.lr=1e-4", set);
        return;
    }
    snprintf(key, sizeof key, "%.*s", (int)n, set);
    if (is_comment(key))
        return;
    snprintf(source, sizeof source, "--set %s", key);
    r->source = source;
    JsonDoc *doc = NULL;
    Json text = {.kind = JSON_STRING, .string = equals + 1, .length = strlen(equals + 1)};
    Status s = json_parse(&doc, equals + 1, strlen(equals + 1), source);
    const Json *v = s == OK ? json_root(doc) : &text;
    r->mistakes.no_memory |= s == ERR_NOMEM;
    v = takes_text(key, v) ? &text : v;
    read_key(r, v, v, key);
    json_free(&doc);
}

/* ---------------------------------------------------------------- what concerns several keys */

static void cross(ConfigReader *r, const char *key, const char *format, ...) PRINTF_LIKE(3, 4);
static void cross(ConfigReader *r, const char *key, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    status_text_of(text, sizeof text, format, args);
    va_end(args);
    const ConfigPlace *p = &r->places[option_find(key) - OPTIONS];
    mistakes_add(&r->mistakes, r->source, p->line, p->column, "%s", text);
}

static void check_name(ConfigReader *r)
{
    const char *name = r->cfg->name;
    bool bad = !strcmp(name, ".") || !strcmp(name, "..") || strchr(name, '/');
    for (const char *p = name; *p; p++)
        bad |= (unsigned char)*p < 0x20;
    if (bad)
        cross(r, "name", "name must be the name of a folder without \"/\", found \"%.100s\"", name);
}

static void check_tasks(ConfigReader *r)
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

static void check_drawing(ConfigReader *r)
{
    const RunConfig *c = r->cfg;
    const int64_t width = c->model.gen_head.width, heads = c->model.gen_head.heads;
    if (width % heads)
        cross(r, "model.gen_head.heads", "model.gen_head.heads is %lld, but must divide model.gen_head.width, which is %lld",
              (long long)heads, (long long)width);
    else if (width / heads > ATTENTION_MAX_HEAD_DIM)
        cross(r, "model.gen_head.width",
              "model.gen_head.heads is %lld and model.gen_head.width %lld, which makes heads of %lld; at most %d are supported: raise "
              "heads or lower width",
              (long long)heads, (long long)width, (long long)(width / heads), ATTENTION_MAX_HEAD_DIM);
    if (c->model.diffusion.path && !c->model.tokens.image)
        cross(r, "model.tokens.image", "model.tokens.image is 0, but model.diffusion.path is set: what is drawn is read from visual output "
                                       "tokens, so there must be some (8 is the default)");
    if (c->model.diffusion.edit == EDIT_TRAIN_CONV_IN && c->model.diffusion.unet == TRAIN_FROZEN)
        cross(r, "model.diffusion.edit",
              "model.diffusion.edit is \"train_conv_in\", which adds input channels to the UNet that see nothing until they are trained: "
              "model.diffusion.unet must be \"conv_in\" or \"full\"");
    if (c->model.diffusion.unet != TRAIN_FROZEN && !plan_predicts_noise(c))
        cross(r, "model.diffusion.unet", "model.diffusion.unet is \"%s\", but nothing would train it: %s",
              c->model.diffusion.unet == TRAIN_FULL ? "full" : "conv_in",
              c->model.diffusion.path ? "neither loss.generate nor loss.edit is \"noise\"" : "model.diffusion.path is null");
}

static void check_together(ConfigReader *r)
{
    RunConfig *c = r->cfg;
    const ConfigPlace *steps = &r->places[option_find("train.steps") - OPTIONS],
                      *epochs = &r->places[option_find("train.epochs") - OPTIONS];
    check_name(r);
    check_tasks(r);
    check_drawing(r);
    if (c->model.llm.store != STORE_AS_IS && c->model.llm.train == TRAIN_FULL)
        cross(r, "model.llm.store", "model.llm.store is for frozen weights, but model.llm.train is \"full\": train \"lora\", or take "
                                    "model.llm.store out");
    if (c->model.llm.multiply == MULTIPLY_FP8 && c->model.llm.train == TRAIN_FULL)
        cross(r, "model.llm.multiply",
              "model.llm.multiply is \"fp8\", which is for frozen weights, but model.llm.train is \"full\": set it to \"compute\", or "
              "model.llm.train to \"lora\" or \"frozen\"");
    if (c->model.llm.multiply == MULTIPLY_FP8 && (c->model.llm.store == STORE_INT8 || c->model.llm.store == STORE_NF4))
        cross(r, "model.llm.multiply",
              "model.llm.multiply is \"fp8\", but model.llm.store holds the weights in other codes: take one of the two out");
    if (c->train.steps && c->train.epochs > 0) {
        bool later = steps->line > epochs->line || !steps->line;
        cross(r, later ? "train.steps" : "train.epochs",
              "train.steps and train.epochs are both set; they exclude each other, take one out (or set it to null)");
    }
    if (!mixture_is_set(&c->data.validation)) {
        const char *key = c->eval.every && !c->eval.suite ? "eval.every"
                          : c->eval.patience              ? "eval.patience"
                          : c->save.best                  ? "save.best"
                                                          : NULL;
        if (key)
            cross(r, key, "%s is set, but data.validation names no held-out rows to judge by", key);
    }
    if (c->sample.every && !c->sample.prompts)
        cross(r, "sample.every", "sample.every is %lld but sample.prompts names no file", (long long)c->sample.every);
}

static void check_required(ConfigReader *r)
{
    for (int i = 0; i < N_OPTIONS; i++)
        if (OPTIONS[i].flags & OPTION_REQUIRED && !r->places[i].given)
            mistakes_add(&r->mistakes, r->source, 0, 0, "%s is missing: %.*s", OPTIONS[i].key, (int)strlen(OPTIONS[i].help) - 1,
                         OPTIONS[i].help);
}

/* ---------------------------------------------------------------- loading */

/* The default name: what stands between the last slash and the last dot. */
static void name_after(ConfigReader *r, const char *file)
{
    const char *slash = strrchr(file, '/'), *start = slash ? slash + 1 : file, *dot = strrchr(start, '.');
    char stem[NAME_MAX + 1];
    snprintf(stem, sizeof stem, "%.*s", dot && dot > start ? (int)(dot - start) : (int)strlen(start), start);
    if (!r->cfg->name)
        config_set_string(r, &r->cfg->name, strcmp(file, "-") ? stem : "run");
}

static Status folder_of(const char *file, const char *cwd, char out[PATH_MAX])
{
    char path[PATH_MAX];
    if (strchr(file, '/'))
        return realpath(file_folder(path, file), out) ? OK : fail(ERR_MISSING, "%s: %s", path, strerror(errno));
    snprintf(out, PATH_MAX, "%s", cwd);
    return OK;
}

/* base: room for the folder of the file. */
static Status read_file(ConfigReader *r, const char *file, const char *cwd, char base[PATH_MAX])
{
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
    r->from_file = false;
    return s;
}

static Status load(ConfigReader *r, const char *file, const char *const *sets, int n_sets)
{
    char cwd[PATH_MAX], base[PATH_MAX];
    if (!getcwd(cwd, sizeof cwd))
        return fail(ERR_MISSING, "the working directory: %s", strerror(errno));
    r->base = cwd;
    r->source = "default";
    read_defaults(r);
    if (r->mistakes.no_memory)
        return mistakes_end(&r->mistakes, ERR_USAGE, file);
    if (strcmp(file, CONFIG_NO_FILE))
        TRY(read_file(r, file, cwd, base));
    r->base = cwd;
    for (int i = 0; i < n_sets; i++)
        read_set(r, sets[i]);
    r->source = file;
    name_after(r, file);
    if (!r->mistakes.no_memory) {
        check_together(r);
        check_required(r);
    }
    if (!r->cfg->train.steps && !(r->cfg->train.epochs > 0))
        r->cfg->train.epochs = 1;
    return mistakes_end(&r->mistakes, ERR_USAGE, file);
}

Status config_load(RunConfig *cfg, const char *file, const char *const *sets, int n_sets)
{
    *cfg = (RunConfig){0};
    cfg->file = mem_strdup(file);
    cfg->places = mem_alloc((size_t)N_OPTIONS * sizeof *cfg->places);
    ConfigReader r = {.cfg = cfg, .places = cfg->places};
    Status s = cfg->file && r.places ? load(&r, file, sets, n_sets) : fail(ERR_NOMEM, "reading the configuration: out of memory");
    mem_free(r.mistakes.lines);
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
        case OPTION_PROJECTOR: mem_free(*(char **)p); break;
        case OPTION_MIXTURE: config_clear_mixture(p); break;
        case OPTION_LIST: config_clear_list(p); break;
        default: break;
        }
    }
    mem_free(cfg->file);
    mem_free(cfg->places);
    *cfg = (RunConfig){0};
}
