/* cache.c: which results are kept of a set of shards, and reading them (cache.h). Called by the loader. */
#include "data/loader/cache.h"

#include <inttypes.h>
#include <string.h>

#include "data/formats/sha256.h"
#include "kernels/base/arena.h"

/* ---------------------------------------------------------------- what is kept */

static Status make_room(CacheList *l, int64_t files, int64_t things)
{
    l->n_files = files;
    l->first = mem_alloc((size_t)(files + 1) * sizeof *l->first);
    l->first_picture = mem_alloc((size_t)(files + 1) * sizeof *l->first_picture);
    l->result_of = mem_alloc((size_t)things * sizeof *l->result_of);
    l->digest = mem_alloc((size_t)things * sizeof *l->digest);
    l->origin = mem_alloc((size_t)things * sizeof *l->origin);
    if (things > INT32_MAX || !l->first || !l->first_picture || !l->result_of || !l->digest || !l->origin)
        return fail(ERR_NOMEM, "no memory to list the cached results of %" PRId64 " pictures or prompts", things);
    for (int64_t i = 0; i < things; i++)
        l->result_of[i] = -1;
    return OK;
}

static bool is_wanted(const CacheWants *w, const IndexRow *r) { return r->targets && r->task != TASK_UNDERSTAND && w->task[r->task]; }

/* Marks the pictures that a sample's targets need: all targets, and the first input of an edit row. */
static void mark_pictures(CacheList *l, const CacheWants *w, const Shard *s, int64_t sample)
{
    bool source = w->sources && s->task[sample] == TASK_EDIT;
    for (uint64_t r = s->img_off[sample]; r < s->img_off[sample + 1]; r++) {
        bool first_input = s->ref_role[r] == ROLE_INPUT && source;
        if (s->ref_role[r] == ROLE_TARGET || first_input)
            l->result_of[l->first_picture[s->ref_shard[r]] + s->ref_image[r]] = 0;
        source = source && !first_input;
    }
}

static Status list_pictures(CacheList *l, const CacheWants *w, const ShardSet *set)
{
    int64_t pictures = 0;
    for (int64_t k = 0; k < set->n; k++)
        pictures += set->shards[k]->attr.n_images;
    TRY(make_room(l, set->n, pictures));
    for (int64_t k = 0; k < set->n; k++)
        l->first_picture[k + 1] = l->first_picture[k] + set->shards[k]->attr.n_images;
    for (int64_t row = 0; row < set->index.n; row++) {
        int64_t sample;
        const Shard *s = shards_find(set, (uint32_t)row, &sample);
        if (is_wanted(w, &set->index.rows[row]))
            mark_pictures(l, w, s, sample);
    }
    for (int64_t k = 0; k < set->n; k++) {
        for (int64_t i = l->first_picture[k]; i < l->first_picture[k + 1]; i++)
            if (l->result_of[i] >= 0) {
                const int64_t image = i - l->first_picture[k];
                l->origin[l->n] = (uint32_t)image;
                memcpy(l->digest[l->n], set->shards[k]->image_sha256[image], sizeof l->digest[0]);
                l->result_of[i] = (int32_t)l->n++;
            }
        l->first[k + 1] = l->n;
    }
    return OK;
}

/* The result of a prompt: by a table with open addressing (0: empty, else result + 1). */
static int32_t find_prompt(CacheList *l, int32_t *table, size_t places, const char *prompt, uint64_t target)
{
    uint8_t digest[32];
    size_t at;
    sha256_of(prompt, strlen(prompt), digest);
    memcpy(&at, digest, sizeof at);
    for (at &= places - 1; table[at] && memcmp(l->digest[table[at] - 1], digest, sizeof digest); at = (at + 1) & (places - 1))
        ;
    if (!table[at]) {
        memcpy(l->digest[l->n], digest, sizeof digest);
        l->origin[l->n] = (uint32_t)target;
        table[at] = (int32_t)++l->n;
    }
    return table[at] - 1;
}

static Status list_prompts(CacheList *l, const CacheWants *w, const ShardSet *set, const Prompts *prompts)
{
    size_t places = 16;
    uint64_t targets = 0;
    for (int64_t row = 0; row < set->index.n; row++)
        targets += is_wanted(w, &set->index.rows[row]) ? set->index.rows[row].targets : 0;
    while (places < 2 * targets)
        places *= 2;
    TRY(make_room(l, set->n, prompts->n_targets));
    int32_t *table = mem_alloc(places * sizeof *table);
    if (!table)
        return fail(ERR_NOMEM, "no memory to tell %" PRIu64 " prompts apart", targets);
    for (int64_t k = 0; k < set->n; k++) {
        for (int64_t row = set->first[k]; row < set->first[k + 1]; row++)
            for (int t = 0; is_wanted(w, &set->index.rows[row]) && t < set->index.rows[row].targets; t++) {
                const uint64_t target = prompts->first[row] + (uint64_t)t;
                l->result_of[target] = find_prompt(l, table, places, prompts_of(prompts, (uint32_t)row, t), target);
            }
        l->first[k + 1] = l->n;
    }
    mem_free(table);
    return OK;
}

Status cache_list(CacheList *l, CacheKind kind, const CacheWants *wants, const ShardSet *set, const Prompts *prompts)
{
    *l = (CacheList){0};
    Status s = kind == CACHE_LATENTS ? list_pictures(l, wants, set) : list_prompts(l, wants, set, prompts);
    if (s)
        cache_list_free(l);
    return s;
}

void cache_list_free(CacheList *l)
{
    void *const arrays[] = {l->first, l->digest, l->origin, l->first_picture, l->result_of};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        mem_free(arrays[i]);
    *l = (CacheList){0};
}

/* ---------------------------------------------------------------- reading */

static Status open_files(Cache *c, CacheKind kind, const char *folder)
{
    const CacheList *l = &c->list;
    c->files = mem_alloc((size_t)l->n_files * sizeof *c->files);
    if (!c->files)
        return fail(ERR_NOMEM, "no memory for %" PRId64 " files of cached results", l->n_files);
    for (int64_t k = 0; k < l->n_files; k++) {
        char path[PATH_MAX];
        if (l->first[k + 1] == l->first[k])
            continue;
        cache_file_path(path, folder, kind, &c->spec, k);
        TRY(cache_file_open(&c->files[k], path, &c->spec, (const uint8_t(*)[32])(l->digest + l->first[k]), l->first[k + 1] - l->first[k]));
    }
    return OK;
}

Status cache_open(Cache *c, CacheKind kind, const CacheSpec *spec, const CacheWants *wants, const ShardSet *set, const char *folder,
                  const Prompts *prompts)
{
    *c = (Cache){.spec = *spec};
    Status s = cache_list(&c->list, kind, wants, set, prompts);
    if (!s)
        s = fail_context(open_files(c, kind, folder), "data.cache");
    mem_free(c->list.digest); /* compared */
    mem_free(c->list.origin);
    c->list.digest = NULL;
    c->list.origin = NULL;
    if (s)
        cache_close(c);
    return s;
}

void cache_close(Cache *c)
{
    for (int64_t k = 0; c->files && k < c->list.n_files; k++)
        cache_file_close(&c->files[k]);
    mem_free(c->files);
    cache_list_free(&c->list);
    *c = (Cache){0};
}

static Status read_result(const Cache *c, int64_t result, float *to)
{
    int64_t low = 0, high = c->list.n_files; /* first[low] <= result < first[high] */
    if (result < 0)
        return fail(ERR_INTERNAL, "data.cache: a result that is not kept");
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (c->list.first[middle] <= result)
            low = middle;
        else
            high = middle;
    }
    Status s = cache_file_read(&c->files[low], &c->spec, result - c->list.first[low], to);
    return s == ERR_DATA ? fail(s, "data.cache: %s; prepare makes it again", status_message()) : s;
}

Status cache_of_picture(const Cache *c, uint32_t shard, uint32_t image, float *to)
{
    return read_result(c, c->list.result_of[c->list.first_picture[shard] + image], to);
}

Status cache_of_prompt(const Cache *c, const Prompts *prompts, uint32_t row, int k, float *to)
{
    return read_result(c, c->list.result_of[prompts->first[row] + (uint64_t)k], to);
}
