/* coco.c: COCO: pictures drawn of captions, 30,000 of one split: FID and CLIP score. Called through benches.c.
 * Official: captions_SPLIT.json. Which captions others drew was never published: here a caption a picture, both chosen by a hash, so that
 * the list is the same everywhere and every beginning of it is a sample too. */
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "data/formats/file.h"
#include "eval/bench/bench.h"
#include "kernels/base/arena.h"

enum { PICTURES = 30000, SEED = 42 };
extern const Bench BENCH_COCO;

typedef struct Caption {
    int64_t image, id;
    uint64_t of_image, of_id; /* hashes: the lowest is taken */
    Span text;
} Caption;

typedef struct List {
    char path[PATH_MAX];
    const char *id_key; /* of the caption in a row */
    Pool pool;
    Caption *item;
    int64_t n, room;
} List;

static uint64_t hash_of(int64_t id) { return XXH3_64bits_withSeed(&id, sizeof id, SEED); }

static Status add_caption(void *arg, const Json *row)
{
    List *l = arg;
    Caption c = {0};
    TRY(official_int(&c.image, row, "image_id", l->path));
    TRY(official_int(&c.id, row, l->id_key, l->path));
    TRY(official_text(&c.text, row, "caption", l->path));
    if (c.image < 0)
        return fail(ERR_DATA, "%s:%d: \"image_id\" is %" PRId64 ", expected 0 or more", l->path, row->line, c.image);
    c.text = span_copy(&l->pool, py_strip(c.text));
    c.of_image = hash_of(c.image);
    c.of_id = hash_of(c.id);
    if (l->n == l->room) {
        l->room = 2 * l->room + 4096;
        Caption *more = mem_grow(l->item, (size_t)l->room * sizeof *more);
        if (!more)
            return fail(ERR_NOMEM, "no memory for %" PRId64 " captions", l->n);
        l->item = more;
    }
    l->item[l->n++] = c;
    return pool_status(&l->pool);
}

static int compare(uint64_t a, uint64_t b) { return (a > b) - (a < b); }

static int by_hash(const void *x, const void *y)
{
    const Caption *a = x, *b = y;
    int order = compare(a->of_image, b->of_image);
    order = order ? order : compare((uint64_t)a->image, (uint64_t)b->image);
    order = order ? order : compare(a->of_id, b->of_id);
    return order ? order : compare((uint64_t)a->id, (uint64_t)b->id);
}

/* Keeps one caption of each of the first pictures. */
static void choose(List *l)
{
    int64_t n = 0;
    qsort(l->item, (size_t)l->n, sizeof *l->item, by_hash);
    for (int64_t i = 0; i < l->n && n < PICTURES; i++)
        if (!n || l->item[n - 1].image != l->item[i].image)
            l->item[n++] = l->item[i];
    l->n = n;
}

/* A list of one's own, as it is, or the official captions, of which some are chosen. */
static Status read_list(List *l, const BenchData *d)
{
    l->id_key = "caption_id";
    if (file_exists(official_path(l->path, d, "captions_%s.jsonl", d->split)))
        return official_rows(l->path, NULL, add_caption, l);
    l->id_key = "id";
    if (!file_exists(official_path(l->path, d, "captions_%s.json", d->split)))
        official_path(l->path, d, "annotations/captions_%s.json", d->split);
    TRY(official_rows(l->path, "annotations", add_caption, l));
    choose(l);
    return OK;
}

static Status ask_caption(const BenchData *d, Pool *pool, int64_t unit, const Caption *c, DrawingVisit visit, void *arg)
{
    const bool has_prefix = strstr(d->split, "2014") != NULL; /* later pictures are called by their number alone */
    pool_reset(pool);
    const Span id = span_print(pool, "%" PRId64, c->id), name = span_print(pool, "%" PRId64 ".png", c->image),
               goal = has_prefix ? span_print(pool, "%s/COCO_%s_%012" PRId64 ".jpg", d->split, d->split, c->image)
                                 : span_print(pool, "%s/%012" PRId64 ".jpg", d->split, c->image);
    TRY(pool_status(pool));
    return visit(arg, &(BenchDrawing){.unit = unit, .id = id, .name = name.s, .prompt = c->text, .goal = goal.s, .caption = c->text});
}

static Status drawings(const BenchData *d, DrawingVisit visit, void *arg)
{
    List l = {.n = 0};
    Pool pool = {0};
    Status s = read_list(&l, d);
    for (int64_t i = 0; i < l.n && !s; i++)
        s = ask_caption(d, &pool, i, &l.item[i], visit, arg);
    mem_free(l.item);
    pool_free(&l.pool);
    pool_free(&pool);
    return s;
}

static Status score(const BenchData *d, const char *made, Networks *f, Scores *s)
{
    NetworkSums sums = {0};
    bool known;
    double fid;
    TRY(bench_networks(&BENCH_COCO, d, made, f, &sums, s));
    TRY(networks_fid(f, s->n - s->n_missing, &known, &fid));
    if (known)
        scores_add(s, fid, "fid");
    if (networks_know(f, METRIC_CLIP_SCORE))
        scores_add(s, 100 * networks_mean(&sums, METRIC_CLIP_SCORE), "clip-score");
    return OK;
}

const Bench BENCH_COCO = {.name = "coco",
                          .split = "val2014",
                          .files = "captions_SPLIT.json, or captions_SPLIT.jsonl, a list of one's own; --answers: a folder of "
                                   "<image id>.png",
                          .pictures = "SPLIT/COCO_SPLIT_<12 digits>.jpg (2017: SPLIT/<12 digits>.jpg)",
                          .suffix = "",
                          .metric = "FID (pictures cropped to their middle and resized to 256) and CLIP score (100·max(cos, 0))",
                          .note = "30,000 captions, one a picture, chosen by a hash with seed 42; which ones others drew is not known",
                          .square_side = 256,
                          .networks = "inception-made inception-goal clip-made clip-text",
                          .drawings = drawings,
                          .score_pictures = score};
