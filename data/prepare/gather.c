/* The content of one shard, collected from the scan. */
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "data/prepare/parts.h"
#include "data/shards/shard_layout.h"
#include "kernels/base/arena.h"

static void **member(Shard *s, const ShardArray *a) { return (void **)(void *)((char *)s + a->member); }

void gather_free(Gathered *g)
{
    for (int i = 0; i < N_SHARD_ARRAYS; i++)
        mem_free(*member(&g->shard, &SHARD_ARRAYS[i]));
    mem_free(g->text);
    mem_free(g->picture);
    mem_free(g->rows);
    mem_free(g->refs);
    *g = (Gathered){0};
}

/* Arrays of the sizes that the rows announce; images for the case that none is met twice. */
static Status make_room(Gathered *g, int64_t n)
{
    ShardAttributes *a = &g->shard.attr;
    uint64_t text = 0, most_pictures = 1;
    a->n_samples = n;
    for (int64_t i = 0; i < n; i++) {
        a->n_tokens += g->rows[i].n_tokens;
        a->n_refs += g->rows[i].n_refs;
        text += g->rows[i].n_text;
        most_pictures = g->rows[i].n_pictures > most_pictures ? g->rows[i].n_pictures : most_pictures;
    }
    a->n_images = a->n_refs;
    bool ok = true;
    for (int i = 0; i < N_SHARD_ARRAYS; i++) {
        const HdfArray h = shard_array(&SHARD_ARRAYS[i], a);
        *member(&g->shard, &SHARD_ARRAYS[i]) = mem_alloc(h.rows * h.columns * hdf_type_size(h.type));
        ok = ok && *member(&g->shard, &SHARD_ARRAYS[i]);
    }
    g->text = mem_alloc(text);
    g->picture = mem_alloc((size_t)a->n_refs * sizeof *g->picture);
    g->refs = mem_alloc(most_pictures * sizeof *g->refs);
    a->n_images = 0;
    return ok && g->text && g->picture && g->refs ? OK : fail(ERR_NOMEM, "no memory for a shard of %lld samples", (long long)n);
}

static void add_image(Gathered *g, uint32_t picture, const PictureInfo *info)
{
    Shard *s = &g->shard;
    const int64_t i = s->attr.n_images++;
    g->picture[i] = picture;
    s->image_off[i + 1] = s->image_off[i] + (uint64_t)info->bytes;
    s->image_wh[i][0] = info->width;
    s->image_wh[i][1] = info->height;
    s->image_fmt[i] = info->format;
    s->image_orient[i] = info->orientation;
    memcpy(s->image_sha256[i], info->sha256, sizeof info->sha256);
    s->image_dhash[i] = info->dhash;
    s->image_crc32c[i] = info->crc32c;
}

/* References stand in the order in which the merge gave pictures their places. */
static Status add_ref(Gathered *g, const ScanFiles *scan, const ScanRef *ref, uint64_t at)
{
    Shard *s = &g->shard;
    ScanPicture p;
    TRY(scan_picture(scan, ref->picture, &p));
    if (ref->shard == s->attr.shard_index && ref->image == s->attr.n_images)
        add_image(g, ref->picture, &p.info);
    s->ref_shard[at] = ref->shard;
    s->ref_image[at] = ref->image;
    s->ref_crc32c[at] = p.info.crc32c;
    s->ref_role[at] = (uint8_t)ref->role;
    return OK;
}

static Status add_row(Gathered *g, const ScanFiles *scan, int64_t i)
{
    Shard *s = &g->shard;
    const ScanRow *row = &g->rows[i];
    TRY(scan_row_contents(scan, row, g->refs, s->id + s->tok_off[i], s->mask + s->tok_off[i], g->text + s->text_off[i]));
    uint64_t at = s->img_off[i];
    for (uint32_t r = 0; r < row->n_pictures; r++)
        if (g->refs[r].kept) {
            if (at == s->img_off[i] + row->n_refs)
                return fail(ERR_DATA, "%s: damaged: row %u refers to more pictures than it has; remove it and run prepare again",
                            scan->folder, row->index.record);
            TRY(add_ref(g, scan, &g->refs[r], at++));
        }
    memcpy(s->uid[i], row->uid, sizeof row->uid);
    s->task[i] = row->index.task;
    s->flags[i] = row->flags;
    s->source[i] = row->index.source;
    s->weight[i] = row->index.weight;
    s->n_train[i] = row->n_trained;
    s->exp_len[i] = row->index.expanded;
    s->record[i] = row->index.record;
    s->tok_off[i + 1] = s->tok_off[i] + row->n_tokens;
    s->img_off[i + 1] = s->img_off[i] + row->n_refs;
    s->text_off[i + 1] = s->text_off[i] + row->n_text;
    return OK;
}

/* XXH3 over every array and the lines: two gatherings with the same hash make the same shard. */
static void hash_content(Gathered *g)
{
    XXH3_state_t *state = XXH3_createState();
    if (!state) {
        *g->content = 0; /* never equal to one in the journal */
        return;
    }
    XXH3_128bits_reset(state);
    for (int i = 0; i < N_SHARD_ARRAYS; i++) {
        const HdfArray h = shard_array(&SHARD_ARRAYS[i], &g->shard.attr);
        XXH3_128bits_update(state, *member(&g->shard, &SHARD_ARRAYS[i]), h.rows * h.columns * hdf_type_size(h.type));
    }
    XXH3_128bits_update(state, g->text, g->shard.text_off[g->shard.attr.n_samples]);
    XXH128_hash_t h = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    snprintf(g->content, sizeof g->content, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
}

Status gather_shard(Gathered *g, const ScanFiles *scan, int64_t k, int64_t first, int64_t n)
{
    *g = (Gathered){.shard.attr.shard_index = k, .rows = mem_alloc((size_t)n * sizeof *g->rows)};
    Status s = g->rows ? scan_rows(scan, first, n, g->rows) : fail(ERR_NOMEM, "no memory for a shard of %lld samples", (long long)n);
    if (!s)
        s = make_room(g, n);
    for (int64_t i = 0; i < n && !s; i++)
        s = add_row(g, scan, i);
    if (s)
        gather_free(g);
    else
        hash_content(g);
    return s;
}
