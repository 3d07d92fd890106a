/* save.c: a checkpoint by one rank or by all (save.h). Called by the loop. */
#include "train/save.h"

#include "kernels/base/log.h"

typedef struct Save {
    const Saver *of;
    CheckpointSave checkpoint;
    ManifestFile *shares; /* of rank 0 */
} Save;

static bool is_split(const Saver *s) { return s->cfg->save.split && s->dist->n_ranks > 1; }

static Save make_save(const Saver *s)
{
    return (Save){.of = s,
                  .checkpoint = {.run_folder = s->path, .step = s->state->step, .rank = s->dist->rank, .n_ranks = s->dist->n_ranks}};
}

static void say_saved(const Saver *s) { log_info("saved %s/checkpoint-%06lld", s->path, (long long)s->state->step); }

/* ---------------------------------------------------------------- by rank 0 */

static Status save_alone(void *arg)
{
    const Saver *s = ((const Save *)arg)->of;
    TRY(runlog_sync(s->log));
    TRY(run_folder_same(s->folder));
    TRY(checkpoint_save(s->path, s->model, s->cfg, s->state));
    TRY(run_folder_same(s->folder));
    say_saved(s);
    return OK;
}

/* ---------------------------------------------------------------- by all */

static Status begin(void *arg)
{
    Save *save = arg;
    if (save->of->log) /* not yet where it is tried */
        TRY(runlog_sync(save->of->log));
    TRY(run_folder_same(save->of->folder));
    return checkpoint_begin(&save->checkpoint);
}

static Status end(void *arg)
{
    const Save *save = arg;
    Status same = run_folder_same(save->of->folder);
    if (same != OK)
        return checkpoint_drop(&save->checkpoint, same);
    TRY(checkpoint_end(&save->checkpoint, save->of->cfg, save->of->state, save->shares));
    TRY(run_folder_same(save->of->folder));
    say_saved(save->of);
    return OK;
}

/* What a rank does for its part, once rank 0 has made the folder; ends when no rank writes any more. Where one has failed, so do all. */
static Status work_together(Save *save, Status (*work)(Save *save, ManifestFile *share))
{
    Dist *d = save->of->dist;
    ManifestFile share = {0};
    size_t n_bytes;
    void *shares;
    TRY(dist_first(d, begin, save, save->checkpoint.word, sizeof save->checkpoint.word));
    Status s = work(save, &share);
    int32_t failed = s != OK;
    Status met = dist_agree(d, &failed, 1);
    if (met == OK)
        met = s;
    if (met == OK) /* another's failure is heard of here */
        met = dist_gather(d, &share, sizeof share, &shares, &n_bytes);
    if (met == OK)
        save->shares = shares;
    else if (d->rank == 0)
        met = checkpoint_drop(&save->checkpoint, met);
    return met;
}

static Status write_share(Save *save, ManifestFile *share)
{
    const Saver *s = save->of;
    return checkpoint_write(&save->checkpoint, s->model, s->cfg, s->state, share);
}

Status save_checkpoint(const Saver *s)
{
    Save save = make_save(s);
    if (!is_split(s))
        return dist_first(s->dist, save_alone, &save, NULL, 0);
    TRY(work_together(&save, write_share));
    Status status = dist_first(s->dist, end, &save, NULL, 0);
    mem_free(save.shares);
    return status;
}

/* ---------------------------------------------------------------- before the first step */

static Status try_share(Save *save, ManifestFile *share)
{
    (void)share;
    return checkpoint_try(&save->checkpoint);
}

static Status drop(void *arg) { return checkpoint_drop(&((const Save *)arg)->checkpoint, OK); }

Status save_try(const Saver *s)
{
    if (!is_split(s))
        return OK;
    Save save = make_save(s);
    TRY(work_together(&save, try_share));
    mem_free(save.shares);
    return dist_first(s->dist, drop, &save, NULL, 0);
}
