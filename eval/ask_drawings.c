/* ask_drawings.c: draws the pictures of a benchmark, one file each (ask_drawings.h). Called by evaluate. */
#include "eval/ask_drawings.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "data/formats/file.h"
#include "data/formats/json_compare.h"
#include "data/formats/json_write.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "kernels/base/table.h"
#include "train/dist/signals.h"

enum { SAID = 10 }; /* warnings about single drawings */
static const char CAPTION[] = "{caption}", LIST[] = "drawings.jsonl", HOW[] = "how.json";

/* A drawing as it is asked for; texts lie in the pool. */
typedef struct Item {
    int64_t unit;
    Span id, name, prompt;
    const char **images; /* [n_images], paths */
    int n_images;
    bool edits;
    const char *from; /* path; NULL: none */
} Item;

typedef struct Drawings {
    const Bench *bench;
    const BenchData *data;
    const DrawingsOptions *options;
    const RunConfig *cfg;
    Painter *painter;
    Pool pool;
    Item *item;
    int64_t n, room;
    bool *open; /* [n] of several ranks: what is not drawn yet, as all of them know it */
    int64_t drawn, kept, refused;
    int32_t signal; /* that stopped one of several ranks */
} Drawings;

/* ---------------------------------------------------------------- what is asked for */

static Status check_request(const char *request)
{
    const char *at = request ? strstr(request, CAPTION) : NULL;
    if (request && (!at || strstr(at + 1, CAPTION)))
        return fail(ERR_USAGE, "evaluate: --request \"%s\": expected a text that has {caption} once, as in \"Draw {caption}\"", request);
    return OK;
}

static Span put_request(Pool *p, const char *request, Span prompt)
{
    if (!request)
        return span_copy(p, prompt);
    const char *at = strstr(request, CAPTION), *rest = at + sizeof CAPTION - 1;
    return span_join(p, (const Span[]){{request, (size_t)(at - request)}, prompt, span_of(rest)}, 3, "");
}

static const char *path_in(Pool *p, const char *folder, const char *name)
{
    char path[PATH_MAX];
    return span_copy(p, span_of(file_join(path, folder, name))).s;
}

static Status add_drawing(void *arg, const BenchDrawing *q)
{
    Drawings *k = arg;
    if (k->n == k->room) {
        k->room = 2 * k->room + 1024;
        Item *more = mem_grow(k->item, (size_t)k->room * sizeof *more);
        if (!more)
            return fail(ERR_NOMEM, "no memory for %" PRId64 " drawings", k->n);
        k->item = more;
    }
    Pool *p = &k->pool;
    Item *item = &k->item[k->n];
    *item = (Item){.unit = q->unit, .id = span_copy(p, q->id), .name = span_copy(p, span_of(q->name)), .n_images = q->n_images,
                   .prompt = put_request(p, k->options->request, q->prompt), .edits = q->edits};
    item->images = pool_push(p, (size_t)(q->n_images + 1) * sizeof *item->images);
    item->from = q->from ? path_in(p, k->options->out, q->from) : NULL;
    TRY(pool_status(p));
    for (int i = 0; i < q->n_images; i++)
        item->images[i] = i || !q->from ? path_in(p, k->data->dir, q->images[i]) : item->from;
    k->n++;
    return pool_status(p);
}

/* Of drawings with one name the last counts where the benchmark's authors overwrite them so. */
static Status drop_overwritten(Drawings *k)
{
    Table by_name = {.kind = TABLE_64}; /* drawing + 1 */
    uint64_t *place = NULL;
    int64_t n = 0;
    Status s = OK;
    for (int64_t i = 0; i < k->n && !s; i++) {
        const Item *item = &k->item[i];
        TableKey at = table_key(XXH3_64bits(item->name.s, item->name.n));
        while (!(s = table_at(&by_name, at, &place)) && *place && !span_equal(k->item[*place - 1].name, item->name))
            at = table_next(at);
        if (s)
            break;
        if (*place && !k->data->gill_compat)
            s = fail(ERR_DATA, "%s: two drawings would be called \"%s\"", k->bench->name, item->name.s);
        *place = *place ? *place : (uint64_t)++n;
        k->item[*place - 1] = *item;
    }
    k->n = n;
    table_free(&by_name);
    return s;
}

/* Keeps the chunk's drawings: those of a unit stay together, since one may begin with another. */
static void keep_chunk(Drawings *k)
{
    const DrawingsOptions *o = k->options;
    int64_t units = 0, n = 0;
    if (!o->n_chunks)
        return;
    for (int64_t i = 0; i < k->n; i++)
        units = k->item[i].unit >= units ? k->item[i].unit + 1 : units;
    const int64_t piece = (units + o->n_chunks - 1) / o->n_chunks;
    for (int64_t i = 0; i < k->n; i++)
        if (k->item[i].unit / piece == o->chunk - 1)
            k->item[n++] = k->item[i];
    k->n = n;
}

/* ---------------------------------------------------------------- what lies beside the drawings */

/* A name for a file that other processes may be making too, in other containers and on other machines, where numbers of processes are the
 * same: it is written under this one, then renamed. "": there is none. */
static char *own_name(char *own, const char *path)
{
    uint64_t random;
    if (getentropy(&random, sizeof random) || (size_t)snprintf(own, PATH_MAX, "%s.%016" PRIx64, path, random) >= PATH_MAX)
        own[0] = 0;
    return own;
}

static Status save_list(const Drawings *k)
{
    FileDraft draft;
    char path[PATH_MAX], own[PATH_MAX];
    TRY(file_draft(&draft, own_name(own, file_join(path, k->options->out, LIST))));
    for (int64_t i = 0; i < k->n; i++) {
        const Item *item = &k->item[i];
        fputs("{\"file\":", draft.out);
        json_put_text(draft.out, item->name.s, item->name.n);
        fputs(",\"id\":", draft.out);
        json_put_text(draft.out, item->id.s, item->id.n);
        fputs(",\"prompt\":", draft.out);
        json_put_text(draft.out, item->prompt.s, item->prompt.n);
        fputs("}\n", draft.out);
    }
    TRY(file_publish(&draft, OK));
    return file_rename(own, path);
}

static cJSON *describe(const Drawings *k)
{
    static const char *const CONTEXTS[] = {[CONTEXT_ALL] = "all", [CONTEXT_CAPTIONS] = "captions", [CONTEXT_NONE] = "none"};
    const DrawingsOptions *o = k->options;
    cJSON *how = cJSON_CreateObject();
    json_add_text(how, "schema", "genllava.drawings/1");
    json_add_text(how, "bench", k->bench->name);
    json_add_text(how, "split", k->data->split);
    json_add_text(how, "context", k->bench->has_context ? CONTEXTS[k->data->context] : NULL);
    json_add_text(how, "request", o->request);
    json_add_text(how, "model", o->model);
    json_add_int(how, "size", k->cfg->model.diffusion.size);
    json_add_text(how, "sampler", o->how.sampler ? sampler_name(o->how.sampler) : NULL);
    json_add_int(how, "steps", o->how.steps);
    json_add_real(how, "guidance", o->how.guidance);
    json_add_real(how, "image_guidance", o->how.image_guidance);
    json_add_real(how, "strength", o->how.strength);
    json_add(how, "captions", cJSON_CreateBool(k->cfg->captions));
    json_add_int(how, "seed", (int64_t)o->seed);
    return how;
}

static Status refuse_difference(void *arg, const char *path, const Json *there, const Json *here)
{
    char found[96], wanted[96];
    return fail(ERR_USAGE, "%s: the drawings that are there were made with \"%s\" %s, asked for is %s; give another --out, or remove "
                           "the folder to begin anew", (const char *)arg, path, there ? json_show(there, found, sizeof found) : "absent",
                here ? json_show(here, wanted, sizeof wanted) : "none");
}

/* Drawings of different models and settings do not mix. */
static Status settle_how(const Drawings *k)
{
    char path[PATH_MAX], own[PATH_MAX];
    JsonDoc *there = NULL, *asked = NULL;
    cJSON *how = describe(k);
    file_join(path, k->options->out, HOW);
    TRY(json_save(own_name(own, path), &how));
    if (!file_exists(path))
        return file_rename(own, path);
    Status s = json_read_file(&there, path);
    if (!s)
        s = json_read_file(&asked, own);
    if (!s)
        s = json_compare(json_root(there), json_root(asked), refuse_difference, path);
    json_free(&there);
    json_free(&asked);
    unlink(own);
    return s;
}

/* ---------------------------------------------------------------- drawing */

/* A seed that generate --seed takes. */
static uint64_t seed_of(const Item *item, uint64_t seed) { return XXH3_64bits_withSeed(item->id.s, item->id.n, seed) >> 2; }

/* The whole picture to edit, stretched to the square that is drawn: its goal has the same place in the result then. */
static Status read_source(const Drawings *k, const char *path, uint8_t **pixels)
{
    const int32_t side = (int32_t)k->cfg->model.diffusion.size;
    const ImagePrep prep = {.width = side, .height = side, .filter = FILTER_BILINEAR, .max_pixels = k->cfg->data.max_pixels};
    *pixels = mem_alloc((size_t)side * (size_t)side * 3);
    return *pixels ? answer_picture(&prep, NULL, path, *pixels) : fail(ERR_NOMEM, "no memory for a picture of %dx%d pixels", side, side);
}

static Status draw(const Drawings *k, const Item *item, const char *path)
{
    const RecordTurn turn = {.human = true, .text = item->prompt.s, .length = item->prompt.n};
    const Question q = {.turns = &turn, .n_turns = 1, .images = item->images, .n_images = item->n_images};
    uint8_t *pixels = NULL;
    Image picture;
    if (memchr(item->prompt.s, 0, item->prompt.n))
        return fail(ERR_DATA, "its text holds the character NUL");
    Status s = item->edits ? read_source(k, item->images[0], &pixels) : OK;
    const Picture what = {.task = item->edits ? TASK_EDIT : TASK_GENERATE,
                          .prompt = {item->prompt.s, item->prompt.n},
                          .question = &q,
                          .caption = item->prompt.s,
                          .pixels = pixels,
                          .seed = seed_of(item, k->options->seed)};
    if (!s)
        s = painter_draw(k->painter, &what, &picture);
    mem_free(pixels);
    if (s)
        return s;
    char folder[PATH_MAX];
    s = file_make_folders(file_folder(folder, path));
    if (!s)
        s = painter_save(k->painter, &what, &picture, path);
    image_free(&picture);
    return s;
}

static bool is_of_the_drawing(Status s) { return s == ERR_DATA || s == ERR_MISSING; }

static Status draw_item(Drawings *k, const Item *item)
{
    char path[PATH_MAX];
    if (file_exists(file_join(path, k->options->out, item->name.s))) {
        k->kept++;
        return OK;
    }
    Status s = draw(k, item, path);
    if (is_of_the_drawing(s)) {
        if (++k->refused <= SAID)
            log_warn("%s: %s; it is left out", item->name.s, status_message());
        return OK;
    }
    k->drawn += !s;
    log_progress("%" PRId64 " of %" PRId64 " drawings", k->kept + k->drawn, k->n);
    return s;
}

/* ---------------------------------------------------------------- ranks */

static bool is_first(const Drawings *k) { return !k->options->dist || !k->options->dist->rank; }

static Status find_open(void *arg)
{
    Drawings *k = arg;
    char path[PATH_MAX];
    for (int64_t i = 0; i < k->n; i++)
        k->open[i] = !file_exists(file_join(path, k->options->out, k->item[i].name.s));
    return OK;
}

/* The end of the unit that begins at `first`; *open: something of it is not drawn. */
static int64_t end_of_unit(const Drawings *k, int64_t first, bool *open)
{
    int64_t i = first;
    for (*open = false; i < k->n && k->item[i].unit == k->item[first].unit; i++)
        *open |= k->open[i];
    return i;
}

static Status draw_items(Drawings *k, int64_t first, int64_t end)
{
    Status s = OK;
    for (int64_t i = first; i < end && !s; i++)
        s = draw_item(k, &k->item[i]);
    return s;
}

/* All stop together. */
static Status meet(Drawings *k, Status s)
{
    k->signal = signals_received();
    if (s != ERR_PREEMPTED)
        TRY(s);
    TRY(dist_agree(k->options->dist, &k->signal, 1));
    return k->signal ? fail(ERR_PREEMPTED, "%s", signals_name(k->signal)) : OK;
}

/* The ranks take a unit each, and meet: one that found much of its share drawn already would have others wait for too long. */
static Status draw_shared(Drawings *k)
{
    const Dist *d = k->options->dist;
    for (int64_t i = 0; i < k->n;) {
        Status s = OK;
        for (int64_t taken = 0, end; i < k->n && taken < d->n_ranks; i = end) {
            bool open;
            end = end_of_unit(k, i, &open);
            if (open && taken++ == d->rank)
                s = draw_items(k, i, end);
            else if (!open && is_first(k))
                k->kept += end - i;
        }
        TRY(meet(k, s));
    }
    return OK;
}

/* Rank 0 knows what is there, and tells of all ranks. */
static Status draw_together(Drawings *k)
{
    k->open = mem_alloc((size_t)k->n * sizeof *k->open);
    if (!k->open)
        return fail(ERR_NOMEM, "no memory for %" PRId64 " drawings", k->n);
    TRY(dist_first(k->options->dist, find_open, k, k->open, (size_t)k->n * sizeof *k->open));
    Status s = draw_shared(k);
    if (s && s != ERR_PREEMPTED)
        return s;
    double counts[] = {(double)k->drawn, (double)k->kept, (double)k->refused};
    TRY(dist_sum_host(k->options->dist, counts, 3));
    k->drawn = (int64_t)counts[0];
    k->kept = (int64_t)counts[1];
    k->refused = (int64_t)counts[2];
    return s ? fail(ERR_PREEMPTED, "%s", signals_name(k->signal)) : OK;
}

static Status draw_all(Drawings *k)
{
    const bool shared = k->options->dist && k->options->dist->n_ranks > 1;
    Status s = shared ? draw_together(k) : draw_items(k, 0, k->n);
    if (!is_first(k))
        return s;
    if (s == ERR_PREEMPTED)
        log_info("stopped by %s: %" PRId64 " of %" PRId64 " drawings are there, in %s; the same command goes on", status_message(),
                 k->kept + k->drawn, k->n, k->options->out);
    if (k->refused)
        log_warn("%" PRId64 " of %" PRId64
                 " drawings are left out, as a picture of theirs is missing or broken, or they cannot be asked for",
                 k->refused, k->n);
    return s;
}

static Status draw_bench(Drawings *k)
{
    TRY(bench_drawings(k->bench, k->data, add_drawing, k));
    TRY(drop_overwritten(k));
    TRY(file_make_folders(k->options->out));
    TRY(settle_how(k));
    TRY(save_list(k));
    keep_chunk(k);
    return draw_all(k);
}

static const char *stopped(void) { return signals_name(signals_received()); }

DrawOptions ask_drawings_how(const DrawingArgs *d)
{
    DrawOptions how = drawing_options(d);
    how.progress = NULL; /* drawings are counted, not their steps */
    how.stopped = stopped;
    return how;
}

Status bench_draw(const Bench *b, const BenchData *d, Painter *p, const RunConfig *cfg, const DrawingsOptions *o)
{
    Drawings k = {.bench = b, .data = d, .options = o, .cfg = cfg, .painter = p};
    Status s = draw_bench(&k);
    mem_free(k.item);
    mem_free(k.open);
    pool_free(&k.pool);
    return s;
}

/* What is looked for in a folder, and whether it is all there. */
typedef struct Looking {
    const char *folder;
    bool whole;
} Looking;

static Status look_for(void *arg, const BenchDrawing *q)
{
    Looking *l = arg;
    char path[PATH_MAX];
    l->whole = l->whole && file_exists(file_join(path, l->folder, q->name));
    return OK;
}

typedef struct Contents {
    bool any, ours;
} Contents;

static Status look(void *arg, const char *name)
{
    Contents *c = arg;
    c->any = true;
    c->ours |= !strcmp(name, HOW);
    return OK;
}

Status ask_drawings_check(const Bench *b, const BenchData *d, const DrawingsOptions *o, bool *whole)
{
    Contents c = {false, false};
    Looking l = {o->out, true};
    TRY(check_request(o->request));
    TRY(bench_drawings(b, d, look_for, &l));
    *whole = l.whole;
    if (!file_exists(o->out))
        return fail_context(file_check_folders(o->out), "--out");
    TRY_IN(file_list(o->out, look, &c), "--out");
    if (c.any && !c.ours)
        return fail(ERR_CREATE, "--out %s: holds other things than drawings of a benchmark (there is no %s): give another name", o->out,
                    HOW);
    return access(o->out, W_OK) ? fail(ERR_CREATE, "--out %s: nothing can be written there", o->out) : OK;
}
