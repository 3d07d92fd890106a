/* edits.c: EVR, GIER and MA5k as MGIE scores them: edited pictures against their goals, over a manifest. MGIE's authors published no code
 * for it; L1 is of EVR, L1 and SSIM of GIER and MA5k in their tables.
 *
 * DIR/SPLIT.jsonl has {"id", "source", "target", "instruction"} a line, paths below DIR; the edits are ID.png or ID.jpg in one folder. */
#include <limits.h>

#include "data/formats/file.h"
#include "eval/bench/bench.h"
#include "eval/metrics/pixels.h"

typedef struct Work {
    const BenchData *data;
    const char *made;
    char manifest[PATH_MAX];
    Scores *scores;
    PixelSums sums;
    Pool pool;
} Work;

/* The edit of an id; false: there is none. */
static bool find_edit(char path[PATH_MAX], const char *folder, Span id)
{
    static const char *const ENDINGS[] = {"png", "jpg"};
    char name[PATH_MAX];
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s.%s", id.s, ENDINGS[i]);
        if (file_exists(file_join(path, folder, name)))
            return true;
    }
    return false;
}

static Status add_row(void *arg, const Json *row)
{
    Work *w = arg;
    char edit[PATH_MAX], goal[PATH_MAX];
    bool number;
    Span id, target;
    Pixels p;
    pool_reset(&w->pool);
    TRY(official_id(&w->pool, &id, &number, row, "id", w->manifest));
    TRY(official_text(&target, row, "target", w->manifest));
    w->scores->n++;
    if (!find_edit(edit, w->made, id)) {
        w->scores->n_missing++;
        return OK;
    }
    TRY_IN(pixels_compare_files(&p, edit, file_join(goal, w->data->dir, target.s), true), "%s:%d", w->manifest, row->line);
    pixels_add(&w->sums, &p);
    return OK;
}

static Status score(const BenchData *d, const char *made, Scores *s)
{
    Work w = {.data = d, .made = made, .scores = s};
    Status status = official_rows(official_path(w.manifest, d, "%s.jsonl", d->split), NULL, add_row, &w);
    pool_free(&w.pool);
    TRY(status);
    const Pixels mean = pixels_mean(&w.sums);
    scores_add(s, mean.l1, "l1");
    scores_add(s, mean.l2, "l2");
    scores_add(s, mean.ssim, "ssim");
    scores_add(s, mean.psnr, "psnr");
    return OK;
}

#define EDITS(title)                                                                            \
    {.name = (title),                                                                           \
     .split = "test",                                                                           \
     .files = "SPLIT.jsonl ({\"id\", \"source\", \"target\", \"instruction\"}); --answers: a folder of ID.png", \
     .pictures = "as SPLIT.jsonl says",                                                         \
     .suffix = "",                                                                              \
     .metric = "L1, L2 (mean square), SSIM, PSNR",                                              \
     .score_pictures = score}

const Bench BENCH_EVR = EDITS("evr"), BENCH_GIER = EDITS("gier"), BENCH_MA5K = EDITS("ma5k");
