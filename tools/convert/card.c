/* card.c: the model card of an exported folder (card.h). */
#include "tools/convert/card.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_compare.h"
#include "data/formats/json_write.h"
#include "data/shards/shard.h"
#include "data/shards/shard_set.h"
#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"

/* The last part of a path, which is what people know a model by. */
static const char *last_part(const char *path)
{
    const char *at = path + strlen(path);
    while (at > path && at[-1] == '/')
        at--;
    while (at > path && at[-1] != '/')
        at--;
    return at;
}

/* ---------------------------------------------------------------- where it comes from */

static void print_bases(FILE *out, const RunConfig *cfg)
{
    const struct {
        const char *what, *path;
    } bases[] = {
        {"Language model", cfg->model.llm.path}, {"Vision tower", cfg->model.vision.path}, {"Diffusion model", cfg->model.diffusion.path}};
    fputs("\n## Base models\n\n", out);
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++)
        if (bases[i].path)
            fprintf(out, "- %s: `%s`\n", bases[i].what, last_part(bases[i].path));
    fputs("\nTheir licenses hold for this model too.\n", out);
}

/* ---------------------------------------------------------------- data */

/* What is not there any more, or damaged, is not told; a lack of memory is. */
static Status lack_of_memory(Status s) { return s == ERR_NOMEM ? s : OK; }

typedef struct Data {
    FILE *out;
    const char *folder;
    JsonDoc *licenses[16]; /* of the shards that had others than those before */
    int n;
    int64_t samples;
} Data;

static Status print_licenses(Data *d, const char *json)
{
    JsonDoc *doc;
    Status s = json ? json_parse(&doc, json, strlen(json), "licenses") : OK;
    if (!json || s)
        return lack_of_memory(s);
    for (const Json *v = json_root(doc)->child; v; v = v->next) {
        const char *name = v->kind == JSON_STRING ? v->string : v->key;
        bool seen = false;
        for (int i = 0; i < d->n; i++)
            for (const Json *w = json_root(d->licenses[i])->child; w; w = w->next)
                seen |= name && !strcmp(name, w->kind == JSON_STRING ? w->string : w->key);
        if (name && !seen)
            fprintf(d->out, "- license of rows: %s\n", name);
    }
    if (d->n < (int)(sizeof d->licenses / sizeof *d->licenses))
        d->licenses[d->n++] = doc;
    else
        json_free(&doc);
    return OK;
}

static Status print_inputs(FILE *out, const char *json)
{
    JsonDoc *doc;
    Status s = json ? json_parse(&doc, json, strlen(json), "inputs") : OK;
    if (!json || s)
        return lack_of_memory(s);
    for (const Json *v = json_root(doc)->child; v; v = v->next) {
        const Json *path = json_get(v, "path");
        if (path && path->kind == JSON_STRING)
            fprintf(out, "- `%s`\n", last_part(path->string));
    }
    json_free(&doc);
    return OK;
}

static Status add_shard(void *arg, const char *name)
{
    Data *d = arg;
    char path[PATH_MAX];
    int64_t index, count;
    const char *rest = shard_read_name(name, &index, &count);
    Shard *shard;
    if (!rest || *rest)
        return OK;
    Status s = shard_open(&shard, file_join(path, d->folder, name));
    if (s)
        return lack_of_memory(s);
    if (!d->samples)
        s = print_inputs(d->out, shard->attr.inputs);
    d->samples += shard->attr.n_samples;
    if (!s)
        s = print_licenses(d, shard->attr.licenses);
    shard_close(&shard);
    return s;
}

static Status print_data(FILE *out, const RunConfig *cfg)
{
    Data d = {.out = out, .folder = cfg->data.shards};
    fputs("\n## Data\n\n", out);
    Status s = d.folder && file_exists(d.folder) ? file_list(d.folder, add_shard, &d) : OK;
    if (d.samples)
        fprintf(out, "\n%" PRId64 " samples.\n", d.samples);
    else
        fprintf(out, "The prepared samples are not there any more; the mixture was `%s`.\n",
                cfg->data.mixture.file ? last_part(cfg->data.mixture.file) : "a list in the settings");
    for (int i = 0; i < d.n; i++)
        json_free(&d.licenses[i]);
    return s;
}

/* ---------------------------------------------------------------- settings */

static Status print_setting(void *arg, const char *path, const Json *there, const Json *here)
{
    char *text;
    (void)there;
    const bool told = strstr(path, "path") || !strncmp(path, "data.shards", strlen("data.shards")) ||
                      !strncmp(path, "data.mixture", strlen("data.mixture")) || !strncmp(path, "save.", strlen("save.")) ||
                      !strcmp(path, "name") || strstr(path, "init") || strstr(path, "prompts");
    if (!here || told)
        return OK;
    cJSON *value = json_copy(here);
    TRY(json_to_text(&text, &value, JSON_INLINE, path));
    fprintf(arg, "- `%s`: %s\n", path, text);
    mem_free(text);
    return OK;
}

static Status parse(JsonDoc **doc, const RunConfig *cfg)
{
    char *text;
    TRY(config_to_json(cfg, &text));
    Status s = json_parse(doc, text, strlen(text), "settings");
    mem_free(text);
    return s;
}

static Status print_settings(FILE *out, const RunConfig *cfg)
{
    static const char *const LEAST[] = {"model.llm.path=.", "data.mixture=mixture.json"};
    RunConfig usual;
    JsonDoc *a = NULL, *b = NULL;
    fputs("\n## Settings that are not the defaults\n\n", out);
    TRY(config_load(&usual, CONFIG_NO_FILE, LEAST, 2));
    Status s = parse(&a, &usual);
    if (!s)
        s = parse(&b, cfg);
    if (!s)
        s = json_compare(json_root(a), json_root(b), print_setting, out);
    json_free(&a);
    json_free(&b);
    config_free(&usual);
    return s;
}

/* ---------------------------------------------------------------- losses */

enum { TAIL_BYTES = 1 << 16 };

/* The losses of the step that a checkpoint was saved after, from the run's train.jsonl. */
static Status print_losses(FILE *out, const Model *m)
{
    char run[PATH_MAX], path[PATH_MAX], tail[TAIL_BYTES + 1], last[4096] = "";
    int64_t step = 0;
    const char *digits = strrchr(m->checkpoint, '-');
    if (!digits || sscanf(digits + 1, "%" SCNd64, &step) != 1)
        return OK;
    FILE *f = fopen(file_join(path, file_folder(run, m->checkpoint), "train.jsonl"), "r");
    if (!f)
        return OK;
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    fseek(f, size > TAIL_BYTES ? size - TAIL_BYTES : 0, SEEK_SET);
    tail[fread(tail, 1, TAIL_BYTES, f)] = 0;
    fclose(f);
    for (char *line = strtok(tail, "\n"); line; line = strtok(NULL, "\n")) {
        JsonDoc *doc;
        const Status s = json_parse(&doc, line, strlen(line), "train.jsonl");
        if (s) {
            TRY(lack_of_memory(s));
            continue;
        }
        const Json *at = json_get(json_root(doc), "step");
        if (at && at->kind == JSON_INT && at->integer <= step)
            snprintf(last, sizeof last, "%s", line);
        json_free(&doc);
    }
    JsonDoc *doc;
    if (!*last)
        return OK;
    TRY(json_parse(&doc, last, strlen(last), "train.jsonl"));
    fprintf(out, "\n## Losses of step %" PRId64 "\n\n", step);
    for (const Json *v = json_root(doc)->child; v; v = v->next)
        if (!strncmp(v->key, "loss", strlen("loss")) && (v->kind == JSON_REAL || v->kind == JSON_INT))
            fprintf(out, "- %s: %.4g\n", v->key, v->real);
    json_free(&doc);
    return OK;
}

/* ---------------------------------------------------------------- the card */

static Status print_card(FILE *out, const Model *m, const Writer *w, const WriteOptions *o)
{
    static const char *const TYPES[N_OUT_TYPES] = {"bf16", "f16", "f32", "q8_0"};
    fprintf(out, "# %s\n\nThis folder holds %s. It was made by GenLLaVA %s from %s (`convert --to %s%s%s`).\n",
            *m->checkpoint ? m->cfg.name : last_part(m->path), w->holds, GENLLAVA_VERSION, m->what, w->name,
            w->takes_type && (o->type_given || !w->keeps_types) ? " --type " : "",
            w->takes_type && (o->type_given || !w->keeps_types) ? TYPES[o->type] : "");
    if (w->use)
        fprintf(out, "\n## Use\n\n%s", w->use);
    print_bases(out, &m->cfg);
    if (!*m->checkpoint)
        return OK;
    TRY(print_data(out, &m->cfg));
    TRY(print_settings(out, &m->cfg));
    return print_losses(out, m);
}

Status card_write(const Model *m, const Writer *w, const WriteOptions *o, const char *folder)
{
    char path[PATH_MAX];
    FileDraft d;
    TRY(file_draft(&d, file_join(path, folder, "README.md")));
    return file_publish(&d, print_card(d.out, m, w, o));
}
