/* inspect_shard.c: pages of inspect about a shard or a folder of shards (inspect.h). */
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "data/text/encode.h"
#include "data/formats/file.h"
#include "data/shards/shard_set.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"
#include "tools/inspect/inspect.h"

typedef struct Sums {
    int64_t samples, tokens, trained, images, refs, elsewhere, by_task[N_TASKS], longest, image_bytes;
    bool verified; /* the pictures' bytes have their checksums */
    int64_t cache_files[N_CACHES], cache_bytes[N_CACHES];
} Sums;

static int64_t bytes_of(const Shard *s, int64_t image) { return (int64_t)(s->image_off[image + 1] - s->image_off[image]); }

static Status verify_images(const Shard *s)
{
    int64_t most = 1;
    for (int64_t i = 0; i < s->attr.n_images; i++)
        most = bytes_of(s, i) > most ? bytes_of(s, i) : most;
    uint8_t *bytes = mem_grow(NULL, (size_t)most);
    Status r = bytes ? OK : fail(ERR_NOMEM, "%s: no memory for a picture of %" PRId64 " bytes", s->path, most);
    for (int64_t i = 0; i < s->attr.n_images && !r; i++)
        r = shard_image(s, i, bytes);
    mem_free(bytes);
    return r;
}

/* Few bytes, or all when they are asked for. */
static Status verify_shards(const InspectOptions *o, Shard *const *shards, int64_t n, Sums *t)
{
    const int64_t few = (int64_t)256 << 20;
    t->verified = o->verify || t->image_bytes <= few;
    for (int64_t k = 0; k < n && t->verified; k++)
        TRY(verify_images(shards[k]));
    return OK;
}

static void add_shard(Sums *t, const Shard *s, const InspectLabels *labels)
{
    t->samples += s->attr.n_samples;
    t->tokens += s->attr.n_tokens;
    t->images += s->attr.n_images;
    t->image_bytes += (int64_t)s->image_off[s->attr.n_images];
    t->refs += s->attr.n_refs;
    for (int64_t r = 0; r < s->attr.n_refs; r++)
        t->elsewhere += s->ref_shard[r] != s->attr.shard_index;
    for (uint64_t i = 0; i < (uint64_t)s->attr.n_tokens; i++)
        t->trained += inspect_is_label(s, i, labels);
    for (int64_t i = 0; i < s->attr.n_samples; i++) {
        t->by_task[s->task[i]]++;
        t->longest = s->exp_len[i] > t->longest ? s->exp_len[i] : t->longest;
    }
}

typedef struct CacheCount {
    const char *folder;
    Sums *sums;
} CacheCount;

static Status count_cached(void *arg, const char *name)
{
    const CacheCount *c = arg;
    for (CacheKind k = 0; k < N_CACHES; k++) {
        char prefix[64], path[PATH_MAX];
        struct stat st;
        snprintf(prefix, sizeof prefix, "cache-%s-", CACHE_NAMES[k]);
        if (strncmp(name, prefix, strlen(prefix)) || !utf8_ends(name, ".safetensors") || stat(file_join(path, c->folder, name), &st))
            continue;
        c->sums->cache_files[k]++;
        c->sums->cache_bytes[k] += st.st_size;
    }
    return OK;
}

static void add_sums(cJSON *j, const Sums *t)
{
    json_add_int(j, "samples", t->samples);
    json_add_int(j, "tokens", t->tokens);
    json_add_int(j, "trained_tokens", t->trained);
    json_add_int(j, "longest", t->longest);
    json_add_int(j, "images", t->images);
    json_add_int(j, "image_bytes", t->image_bytes);
    cJSON_AddBoolToObject(j, "image_bytes_verified", t->verified);
    json_add_int(j, "references", t->refs);
    json_add_int(j, "references_to_other_shards", t->elsewhere);
    cJSON *cached = cJSON_AddObjectToObject(j, "cached");
    for (int k = 0; k < N_CACHES; k++) {
        cJSON *kind = cJSON_AddObjectToObject(cached, CACHE_NAMES[k]);
        json_add_int(kind, "files", t->cache_files[k]);
        json_add_int(kind, "bytes", t->cache_bytes[k]);
    }
    cJSON *tasks = cJSON_AddObjectToObject(j, "tasks");
    for (int k = 0; k < N_TASKS; k++)
        json_add_int(tasks, TASK_NAMES[k], t->by_task[k]);
}

/* A text that the reader of shards has found to be JSON: written anew, so that control characters in its strings are escaped. */
static Status add_parsed(cJSON *j, const char *key, const char *text)
{
    JsonDoc *doc;
    TRY(json_parse(&doc, text, strlen(text), key));
    json_add_value(j, key, json_root(doc));
    json_free(&doc);
    return OK;
}

static Status add_attributes(cJSON *j, const ShardAttributes *a)
{
    json_add_int(j, "shard_index", a->shard_index);
    json_add_int(j, "shard_count", a->shard_count);
    cJSON_AddStringToObject(j, "template", a->template_name);
    json_add_int(j, "model_max_length", a->model_max_length);
    json_add_int(j, "vocab_size", a->vocab_size);
    json_add_int(j, "n_visual_tokens", a->n_visual_tokens);
    json_add_int(j, "patches", a->patches);
    cJSON_AddStringToObject(j, "image_aspect_ratio", a->aspect);
    cJSON_AddStringToObject(j, "config_sha256", a->config_sha256);
    cJSON_AddStringToObject(j, "tok_sha256", a->tok_sha256);
    TRY(add_parsed(j, "tok_added", a->tok_added));
    TRY(add_parsed(j, "licenses", a->licenses));
    return add_parsed(j, "inputs", a->inputs);
}

static Status as_json(const InspectOptions *o, const char *kind, const Shard *s, const Sums *t)
{
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "kind", kind);
    cJSON_AddStringToObject(j, "path", o->path);
    add_sums(j, t);
    Status status = add_attributes(cJSON_AddObjectToObject(j, "attributes"), &s->attr);
    if (status == OK)
        return json_print(o->out, &j, JSON_PRETTY, o->path);
    cJSON_Delete(j);
    return status;
}

static void as_text(const InspectOptions *o, const Shard *s, const Sums *t, const InspectLabels *labels)
{
    const ShardAttributes *a = &s->attr;
    char n[32], note[128], size[32], config[128], tokenizer[128];
    utf8_show(config, sizeof config, a->config_sha256, strnlen(a->config_sha256, 16), UTF8_LINE);
    utf8_show(tokenizer, sizeof tokenizer, a->tok_sha256, strnlen(a->tok_sha256, 16), UTF8_LINE);
    fprintf(o->out, "samples    %s", inspect_count(n, t->samples));
    const char *before = " (";
    for (int k = 0; k < N_TASKS; k++)
        if (t->by_task[k]) {
            fprintf(o->out, "%s%s %s", before, inspect_count(n, t->by_task[k]), TASK_NAMES[k]);
            before = ", ";
        }
    fprintf(o->out, "%s\n", t->samples ? ")" : "");
    fprintf(o->out, "tokens     %s", inspect_count(n, t->tokens));
    fprintf(o->out, ", %s trained%s", inspect_count(n, t->trained), inspect_labels_note(note, o, s, labels));
    fprintf(o->out, "; longest sample %s with its images\n", inspect_count(n, t->longest));
    fprintf(o->out, "images     %s, %s; %" PRId64 " rows each, aspect ", inspect_count(n, t->images),
            file_size_text(size, sizeof size, (size_t)t->image_bytes), a->patches);
    utf8_cell(o->out, a->aspect, 0);
    fputs(t->verified ? "; their bytes are verified" : "; their bytes are not read, which --verify does", o->out);
    fprintf(o->out, "\nreferences %s", inspect_count(n, t->refs));
    fprintf(o->out, " to them, %s from one shard to another\n", inspect_count(n, t->elsewhere));
    for (int k = 0; k < N_CACHES; k++)
        if (t->cache_files[k])
            fprintf(o->out, "cached     %s in %" PRId64 " file%s, %s; prepare verifies them\n", CACHE_NAMES[k], t->cache_files[k],
                    status_plural(t->cache_files[k]), file_size_text(size, sizeof size, (size_t)t->cache_bytes[k]));
    fputs("template   ", o->out);
    utf8_cell(o->out, a->template_name, 0);
    fprintf(o->out, ", at most %" PRId64 " tokens\nvocabulary %" PRId64 ", added ", a->model_max_length, a->vocab_size);
    utf8_cell(o->out, a->tok_added, 0);
    fprintf(o->out, "\nmade from  %s… (config), %s… (tokenizer)\n", config, tokenizer);
}

static Status asked_of(const InspectOptions *o, const Shard *s) { return o->pixels ? inspect_pixels(o, s) : inspect_sample(o, s); }

/* title: what follows the path. folder: where results are cached; NULL: they are not asked for. */
static Status show(const InspectOptions *o, const char *kind, const char *title, Shard *const *shards, int64_t n, const char *folder)
{
    Sums t = {0};
    InspectLabels labels;
    TRY(inspect_labels(o, &labels));
    if (folder)
        TRY(file_list(folder, count_cached, &(CacheCount){folder, &t}));
    for (int64_t k = 0; k < n; k++)
        add_shard(&t, shards[k], &labels);
    TRY(verify_shards(o, shards, n, &t));
    if (o->json)
        return as_json(o, kind, shards[0], &t);
    utf8_cell(o->out, o->path, 0);
    fprintf(o->out, ": %s\n", title);
    as_text(o, shards[0], &t, &labels);
    return OK;
}

Status inspect_shard(const InspectOptions *o)
{
    Shard *s;
    char title[64];
    TRY(shard_open(&s, o->path));
    snprintf(title, sizeof title, "shard %" PRId64 " of %" PRId64, s->attr.shard_index, s->attr.shard_count);
    Status r = o->sample >= 0 ? asked_of(o, s) : show(o, "shard", title, &s, 1, NULL);
    shard_close(&s);
    return r;
}

static Status show_sample(const InspectOptions *o, const ShardSet *set)
{
    InspectOptions one = *o;
    if (o->sample >= set->index.n)
        return fail(ERR_USAGE, "--sample %" PRId64 ": %s holds %" PRId64 " samples, numbered from 0", o->sample, o->path, set->index.n);
    const Shard *s = shards_find(set, (uint32_t)o->sample, &one.sample);
    return asked_of(&one, s);
}

Status inspect_shard_folder(const InspectOptions *o)
{
    ShardSet set;
    char title[64];
    TRY(shards_open(&set, o->path, -1, 0));
    snprintf(title, sizeof title, "%" PRId64 " shard%s", set.n, status_plural(set.n));
    Status r = o->sample >= 0 ? show_sample(o, &set) : show(o, "shards", title, set.shards, set.n, o->path);
    shards_close(&set);
    return r;
}
