/* cache_make.c: makes files of cached results (cache_make.h). Called by train/cache. */
#include "data/loader/cache_make.h"

#include <inttypes.h>
#include <stdio.h>

#include "data/loader/pixels.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

/* What making takes, and where it stands. */
typedef struct Making {
    const CacheMaker *m;
    const ShardSet *set;
    const Prompts *prompts;
    CacheList list;
    Pixels *pixels;
    PixelUse *uses;      /* [at_once] */
    uint8_t *rgb;        /* [at_once] pictures */
    const char **prompt; /* [at_once] */
    float *results;      /* [at_once, n_elems] */
    int64_t steps;       /* calls of compute so far */
} Making;

static size_t picture_bytes(const CacheMaker *m) { return 3 * (size_t)m->size * (size_t)m->size; }

/* ---------------------------------------------------------------- one file */

static const uint8_t (*digests(const Making *k, int64_t first))[32] { return (const uint8_t(*)[32])(k->list.digest + first); }

/* Why a file has to be made; "" where it stands. */
static Status judge(const Making *k, const char *path, int64_t first, int64_t n, char *why, size_t room)
{
    CacheFile f;
    *why = 0;
    Status s = cache_file_open(&f, path, &k->m->spec, digests(k, first), n);
    for (int64_t i = 0; k->m->verify && i < n && !s; i++)
        s = cache_file_read(&f, &k->m->spec, i, k->results);
    cache_file_close(&f);
    if (s != ERR_MISSING && s != ERR_DATA)
        return s;
    snprintf(why, room, "%s", s == ERR_MISSING ? "there are none yet" : status_message());
    return OK;
}

static int64_t count(const CacheMaker *m, int64_t at, int64_t end) { return end - at < m->at_once ? end - at : m->at_once; }

/* Asks for the pictures of results `at` … of a shard: `ahead` of need, or now. */
static Status want(Making *k, const Shard *shard, int64_t at, int64_t n, bool ahead)
{
    for (int64_t i = 0; i < n; i++)
        k->uses[i] = (PixelUse){.shard = shard, .image = k->list.origin[at + i], .eye = EYE_DIFFUSION};
    return pixels_want(k->pixels, k->steps + ahead, k->uses, (int32_t)n, ahead);
}

static Status take_pictures(Making *k, const Shard *shard, int64_t at, int64_t end)
{
    const int64_t n = count(k->m, at, end);
    TRY(want(k, shard, at, n, false));
    if (at + n < end)
        TRY(want(k, shard, at + n, count(k->m, at + n, end), true));
    for (int64_t i = 0; i < n; i++)
        TRY(pixels_take(k->pixels, (int32_t)i, k->rgb + (size_t)i * picture_bytes(k->m)));
    return OK;
}

static Status add_results(Making *k, CacheWriter *w, const Shard *shard, int64_t at, int64_t end)
{
    const CacheMaker *m = k->m;
    for (int64_t n; at < end; at += n, k->steps++) {
        n = count(m, at, end);
        if (k->pixels)
            TRY(take_pictures(k, shard, at, end));
        for (int64_t i = 0; i < n && !k->pixels; i++)
            k->prompt[i] = k->prompts->text + k->prompts->at[k->list.origin[at + i]];
        TRY(m->compute(m->arg, k->rgb, k->prompt, n, k->results));
        for (int64_t i = 0; i < n; i++)
            TRY(cache_writer_add(w, k->results + i * m->spec.n_elems));
        log_progress("data.cache: %" PRId64 " of %" PRId64, at + n, k->list.n);
    }
    return OK;
}

static Status make_file(Making *k, int64_t file, const char *path)
{
    const int64_t first = k->list.first[file], end = k->list.first[file + 1];
    CacheWriter *w;
    TRY(cache_writer_open(&w, path, &k->m->spec, digests(k, first), end - first));
    return cache_writer_close(&w, add_results(k, w, k->set->shards[file], first, end));
}

/* ---------------------------------------------------------------- all files */

static Status make_room(Making *k)
{
    const CacheMaker *m = k->m;
    const size_t n = (size_t)m->at_once;
    ImagePrep preps[N_EYES] = {[EYE_DIFFUSION] = image_prep_target(m->size, m->max_pixels)};
    k->results = mem_alloc(n * (size_t)m->spec.n_elems * sizeof *k->results);
    k->uses = mem_alloc(n * sizeof *k->uses);
    k->prompt = mem_alloc(n * sizeof *k->prompt);
    k->rgb = mem_alloc(m->kind == CACHE_LATENTS ? n * picture_bytes(m) : 0);
    if (!k->results || !k->uses || !k->prompt || !k->rgb)
        return fail(ERR_NOMEM, "no memory for the results of %zu pictures or prompts", n);
    return m->kind == CACHE_LATENTS && m->compute ? pixels_open(&k->pixels, preps, pixels_workers(m->workers)) : OK;
}

static Status make_files(Making *k, CacheMade *made)
{
    const CacheMaker *m = k->m;
    const CacheList *l = &k->list;
    TRY(make_room(k));
    for (int64_t file = 0; file < l->n_files; file++) {
        const int64_t n = l->first[file + 1] - l->first[file];
        char path[PATH_MAX], why[1024];
        if (!n)
            continue;
        cache_file_path(path, m->folder, m->kind, &m->spec, file);
        TRY(judge(k, path, l->first[file], n, why, sizeof why));
        made->files++;
        made->new_files += *why != 0;
        made->new_ones += *why ? n : 0;
        if (!*why || !m->compute)
            continue;
        log_info("data.cache: making %s of %" PRId64 " %s of shard %" PRId64 ": %s", CACHE_NAMES[m->kind], n,
                 m->kind == CACHE_LATENTS ? "pictures" : "prompts", file, why);
        TRY(make_file(k, file, path));
    }
    return OK;
}

Status cache_make(const CacheMaker *m, const ShardSet *set, const Prompts *prompts, CacheMade *made)
{
    Making k = {.m = m, .set = set, .prompts = prompts};
    *made = (CacheMade){0};
    TRY(cache_list(&k.list, m->kind, &m->wants, set, prompts));
    made->results = k.list.n;
    Status s = make_files(&k, made);
    pixels_close(&k.pixels);
    void *const arrays[] = {k.uses, k.rgb, k.prompt, k.results};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        mem_free(arrays[i]);
    cache_list_free(&k.list);
    return s;
}
