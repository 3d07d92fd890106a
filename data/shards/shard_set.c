/* shard_set.c: opens the shards of a folder and checks that they belong together (shard_set.h). Called by the loader and inspect. */
#include "data/shards/shard_set.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/kinds.h"
#include "kernels/base/arena.h"

void shards_close(ShardSet *s)
{
    for (int64_t i = 0; i < s->n && s->shards; i++)
        shard_close(&s->shards[i]);
    mem_free(s->shards);
    mem_free(s->first);
    index_free(&s->index);
    *s = (ShardSet){0};
}

void shard_file_name(char *out, size_t n, int64_t index, int64_t count)
{
    snprintf(out, n, "shard-%05" PRId64 "-of-%05" PRId64 ".h5", index, count);
}

const char *shard_read_name(const char *name, int64_t *index, int64_t *count)
{
    int end = 0;
    return sscanf(name, "shard-%5" SCNd64 "-of-%5" SCNd64 ".h5%n", index, count, &end) == 2 && end ? name + end : NULL;
}

/* The number of shards that a name speaks of. */
static Status read_count(void *count, const char *name)
{
    int64_t k, n, *before = count;
    const char *rest = shard_read_name(name, &k, &n);
    if (!rest || *rest)
        return OK;
    if (*before && n != *before)
        return fail(ERR_DATA, "holds shards of two preparations, of %" PRId64 " and of %" PRId64 "; run prepare again", *before, n);
    *before = n;
    return OK;
}

static Status count_shards(const char *folder, int64_t *count)
{
    *count = 0;
    if (!file_exists(folder))
        return fail(ERR_MISSING, "%s: there is no such folder; run prepare", folder);
    TRY_IN(file_list(folder, read_count, count), "%s", folder);
    return *count < 1 ? fail(ERR_MISSING, "%s: there are no shards; run prepare", folder) : OK;
}

static Status check_alike(const Shard *first, const Shard *s, int64_t k, int64_t n)
{
    const ShardAttributes *a = &s->attr, *b = &first->attr;
    if (a->shard_index != k || a->shard_count != n)
        return fail(ERR_DATA, "%s: says that it is shard %" PRId64 " of %" PRId64 "; run prepare again", s->path, a->shard_index,
                    a->shard_count);
    if (strcmp(a->config_sha256, b->config_sha256) || a->patches != b->patches || s->n_ids != first->n_ids)
        return fail(ERR_DATA, "%s: was made from something else than %s; run prepare again", s->path, first->path);
    return OK;
}

static void fill_rows(ShardSet *set, int64_t k, int32_t first_visual)
{
    const Shard *s = set->shards[k];
    for (int64_t i = 0; i < s->attr.n_samples; i++) {
        IndexRow *row = &set->index.rows[set->first[k] + i];
        *row = (IndexRow){.record = s->record[i], .expanded = s->exp_len[i], .source = s->source[i], .weight = s->weight[i],
                          .task = s->task[i]};
        memcpy(&row->uid, s->uid[i], sizeof row->uid);
        for (uint64_t r = s->img_off[i]; r < s->img_off[i + 1]; r++) {
            row->images += s->ref_role[r] == ROLE_INPUT;
            row->targets += s->ref_role[r] == ROLE_TARGET;
        }
        index_count_labels(row, s->id + s->tok_off[i], s->mask + s->tok_off[i], (int64_t)(s->tok_off[i + 1] - s->tok_off[i]), first_visual);
    }
}

static Status open_one(Shard **out, const char *folder, int64_t k, int64_t n)
{
    char path[PATH_MAX], name[64];
    shard_file_name(name, sizeof name, k, n);
    return shard_open(out, file_join(path, folder, name));
}

Status shard_open_beside(Shard **out, const Shard *s, int64_t index)
{
    char folder[PATH_MAX];
    TRY(open_one(out, file_folder(folder, s->path), index, s->attr.shard_count));
    Status r = check_alike(s, *out, index, s->attr.shard_count);
    if (r)
        shard_close(out);
    return r;
}

/* Those to earlier shards; there are none to later ones. */
static Status check_refs(const ShardSet *set, const Shard *s)
{
    for (uint64_t r = 0; r < (uint64_t)s->attr.n_refs; r++)
        if (s->ref_shard[r] != s->attr.shard_index)
            TRY(shard_check_ref(s, r, set->shards[s->ref_shard[r]]));
    return OK;
}

static Status open_next(ShardSet *s, const char *folder, int64_t k, int64_t n_ids)
{
    TRY(open_one(&s->shards[k], folder, k, s->n));
    TRY(check_alike(s->shards[0], s->shards[k], k, s->n));
    if (n_ids && s->shards[k]->n_ids != n_ids)
        return fail(ERR_DATA, "%s: was made for %" PRId64 " token ids, the run has %" PRId64 "; run prepare again", s->shards[k]->path,
                    s->shards[k]->n_ids, n_ids);
    if (k >= file_room())
        shard_let_go(s->shards[k]);
    s->first[k + 1] = s->first[k] + s->shards[k]->attr.n_samples;
    s->index.n_images += s->shards[k]->attr.n_images;
    return check_refs(s, s->shards[k]);
}

/* A set whose shards are not open yet. */
static Status start_set(ShardSet *out, const char *folder)
{
    *out = (ShardSet){0};
    TRY(count_shards(folder, &out->n));
    out->shards = mem_alloc((size_t)out->n * sizeof(Shard *));
    out->first = mem_alloc((size_t)(out->n + 1) * sizeof *out->first);
    return out->shards && out->first ? OK : fail(ERR_NOMEM, "no memory for %" PRId64 " shards", out->n);
}

static Status check_size(const ShardSet *s, const char *folder)
{
    const int64_t n = s->first[s->n];
    return n < 1 || n > UINT32_MAX ? fail(ERR_DATA, "%s: holds %" PRId64 " samples", folder, n) : OK;
}

Status shards_open(ShardSet *out, const char *folder, int32_t first_visual, int64_t n_ids)
{
    Status s = start_set(out, folder);
    for (int64_t k = 0; k < out->n && !s; k++)
        s = open_next(out, folder, k, n_ids);
    if (!s)
        s = check_size(out, folder);
    if (!s) {
        out->index.n = out->first[out->n];
        out->index.patches = (int32_t)out->shards[0]->attr.patches;
        out->index.rows = mem_alloc((size_t)out->index.n * sizeof *out->index.rows);
        s = out->index.rows ? OK : fail(ERR_NOMEM, "no memory for the index of %" PRId64 " samples", out->index.n);
    }
    for (int64_t k = 0; k < out->n && !s; k++)
        fill_rows(out, k, first_visual);
    if (s)
        shards_close(out);
    return s;
}

static void count_targets(const Shard *s, ShardTargets *t)
{
    for (int64_t i = 0; i < s->attr.n_samples; i++) {
        int64_t targets = 0;
        for (uint64_t r = s->img_off[i]; r < s->img_off[i + 1]; r++)
            targets += s->ref_role[r] == ROLE_TARGET;
        t->rows[s->task[i]] += targets > 0;
        t->pictures[s->task[i]] += targets;
    }
}

Status shards_check(const char *folder, int64_t n_ids, ShardTargets *targets)
{
    ShardSet set;
    *targets = (ShardTargets){{0}, {0}};
    Status s = start_set(&set, folder);
    for (int64_t k = 0; k < set.n && !s; k++) {
        s = open_next(&set, folder, k, n_ids);
        if (s)
            break;
        count_targets(set.shards[k], targets);
        shard_keep_pictures(set.shards[k]);
    }
    if (!s)
        s = check_size(&set, folder);
    shards_close(&set);
    return s;
}

const Shard *shards_find(const ShardSet *s, uint32_t row, int64_t *sample)
{
    int64_t low = 0, high = s->n; /* first[low] <= row < first[high] */
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (s->first[middle] <= row)
            low = middle;
        else
            high = middle;
    }
    *sample = row - s->first[low];
    return s->shards[low];
}
