/* edits.c: EVR, GIER and MA5k as MGIE scores them: edited pictures against their goals, over a manifest. MGIE's authors published no code
 * for it; their tables have L1, DINO and CVS of EVR, L1, SSIM and CVS of GIER, L1, SSIM and LPIPS of MA5k.
 *
 * DIR/SPLIT.jsonl has {"id", "source", "target", "instruction"} a line and may have "caption", what the target shows; paths
 * below DIR. The edits are ID.png or ID.jpg in one folder. */
#include <limits.h>

#include "data/formats/file.h"
#include "eval/bench/bench.h"
#include "eval/metrics/pixels.h"

typedef struct Work {
    const BenchData *data;
    const char *made;
    char manifest[PATH_MAX];
    Scores *scores;
    Networks *features;
    PixelSums sums;
    NetworkSums network_sums;
    int64_t row;
    Pool pool;
} Work;

static const char *name_of(Pool *p, Span id) { return span_print(p, "%.*s.png", (int)id.n, id.s).s; }

static Status add_row(void *arg, const Json *row)
{
    Work *w = arg;
    char edit[PATH_MAX], goal[PATH_MAX];
    bool number;
    Span id, target;
    Pixels p;
    if (w->data->limit && w->row++ >= w->data->limit)
        return OK;
    pool_reset(&w->pool);
    TRY(official_id(&w->pool, &id, &number, row, "id", w->manifest));
    TRY(official_text(&target, row, "target", w->manifest));
    w->scores->n++;
    const char *name = name_of(&w->pool, id);
    TRY(pool_status(&w->pool));
    if (!bench_find_drawing(edit, w->made, name, true)) {
        w->scores->n_missing++;
        return OK;
    }
    TRY_IN(pixels_compare_files(&p, edit, file_join(goal, w->data->dir, target.s), true), "%s:%d", w->manifest, row->line);
    pixels_add(&w->sums, &p);
    return networks_add(w->features, &w->network_sums, name);
}

/* Of cosines in percent, as MGIE's tables have them. */
static void add_percent(Scores *s, const Work *w, NetworkMetric m, const char *key)
{
    if (networks_know(w->features, m))
        scores_add(s, 100 * networks_mean(&w->network_sums, m), "%s", key);
}

static Status score(const BenchData *d, const char *made, Networks *f, Scores *s)
{
    Work w = {.data = d, .made = made, .features = f, .scores = s};
    Status status = official_rows(official_path(w.manifest, d, "%s.jsonl", d->split), NULL, add_row, &w);
    pool_free(&w.pool);
    TRY(status);
    const Pixels mean = pixels_mean(&w.sums);
    scores_add(s, mean.l1, "l1");
    scores_add(s, mean.l2, "l2");
    scores_add(s, mean.ssim, "ssim");
    scores_add(s, mean.psnr, "psnr");
    add_percent(s, &w, METRIC_DINO, "dino");
    add_percent(s, &w, METRIC_CLIP_I, "cvs");
    add_percent(s, &w, METRIC_CLIP_T, "cts");
    if (networks_know(f, METRIC_LPIPS))
        scores_add(s, networks_mean(&w.network_sums, METRIC_LPIPS), "lpips");
    return OK;
}

/* ---------------------------------------------------------------- asking */

typedef struct Pass {
    char manifest[PATH_MAX];
    DrawingVisit visit;
    void *arg;
    int64_t unit;
    Pool pool;
} Pass;

static Status ask_row(void *arg, const Json *row)
{
    Pass *k = arg;
    const Json *caption = json_get(row, "caption");
    bool number;
    Span id, source, target, instruction;
    pool_reset(&k->pool);
    TRY(official_id(&k->pool, &id, &number, row, "id", k->manifest));
    TRY(official_text(&source, row, "source", k->manifest));
    TRY(official_text(&target, row, "target", k->manifest));
    TRY(official_text(&instruction, row, "instruction", k->manifest));
    const char *const image = source.s;
    const BenchDrawing q = {.unit = k->unit++,
                            .id = id,
                            .name = name_of(&k->pool, id),
                            .prompt = instruction,
                            .images = &image,
                            .n_images = 1,
                            .edits = true,
                            .goal = target.s,
                            .caption = caption && caption->kind == JSON_STRING ? (Span){caption->string, caption->length} : SPAN("")};
    TRY(pool_status(&k->pool));
    return k->visit(k->arg, &q);
}

static Status drawings(const BenchData *d, DrawingVisit visit, void *arg)
{
    Pass k = {.visit = visit, .arg = arg};
    Status s = official_rows(official_path(k.manifest, d, "%s.jsonl", d->split), NULL, ask_row, &k);
    pool_free(&k.pool);
    return s;
}

#define EDITS(title)                                                                                                            \
    {.name = (title),                                                                                                           \
     .split = "test",                                                                                                           \
     .files = "SPLIT.jsonl ({\"id\", \"source\", \"target\", \"instruction\"[, \"caption\"]}); --answers: a folder of ID.png",  \
     .pictures = "as SPLIT.jsonl says",                                                                                         \
     .suffix = "",                                                                                                              \
     .metric = "L1, L2 (mean square), SSIM, PSNR; DINO, CVS and CTS (CLIP) in percent, LPIPS",                                  \
     .of_openai = true,                                                                                                         \
     .networks = "clip-made clip-goal clip-text dino-made dino-goal lpips",                                                     \
     .drawings = drawings,                                                                                                      \
     .score_pictures = score}

const Bench BENCH_EVR = EDITS("evr"), BENCH_GIER = EDITS("gier"), BENCH_MA5K = EDITS("ma5k");
