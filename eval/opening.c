/* opening.c: see opening.h. Called by generate and evaluate. */
#include "eval/opening.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/log.h"
#include "train/dist/signals.h"
#include "train/store/checkpoint.h"

Status opening_check(const Opening *o)
{
    if (!!o->config == !!o->checkpoint)
        return fail(ERR_USAGE, "%s: say which model, with --config RUN.json or --checkpoint DIR (one of them)", o->program);
    return OK;
}

/* A checkpoint's settings stand as they are, but for where it is asked: its bases may have moved, and the device be another. */
static Status check_sets(const Opening *o)
{
    static const char *const FREE[] = {"device", "train.compute", "train.memory", "data.max_pixels",
                                       "model.llm.multiply", "model.llm.path", "model.vision.path", "model.diffusion.path"};
    for (int i = 0; i < o->sets.n; i++) {
        bool is_free = false;
        for (size_t k = 0; k < sizeof FREE / sizeof *FREE; k++)
            is_free |= strcspn(o->sets.items[i], "=") == strlen(FREE[k]) && !strncmp(o->sets.items[i], FREE[k], strlen(FREE[k]));
        if (!is_free)
            return fail(ERR_USAGE, "%s: --set %s: a checkpoint's own settings stand as they are; only device, train.compute, "
                                   "train.memory, data.max_pixels, model.llm.multiply, model.llm.path, model.vision.path and "
                                   "model.diffusion.path can be set with --checkpoint (use --config for others)",
                        o->program, o->sets.items[i]);
    }
    return OK;
}

/* A checkpoint folder brings its own config; of a run folder the newest is meant. */
static Status open_checkpoint(const Opening *o, RunConfig *cfg, char checkpoint[PATH_MAX])
{
    TRY(check_sets(o));
    if (!file_exists(o->checkpoint))
        return fail(ERR_MISSING, "--checkpoint %s: there is no such folder", o->checkpoint);
    bool any = false;
    char manifest[PATH_MAX];
    snprintf(checkpoint, PATH_MAX, "%s", o->checkpoint);
    if (!file_exists(file_join(manifest, checkpoint, "MANIFEST.json")))
        TRY_IN(checkpoint_any(checkpoint, &any), "--checkpoint");
    if (any) { /* a run folder */
        TRY_IN(checkpoint_newest(o->checkpoint, checkpoint), "--checkpoint");
        log_info("using %s", checkpoint);
    } else if (file_exists(manifest)) {
        TRY_IN(checkpoint_verify(checkpoint), "--checkpoint");
    } else {
        return fail(ERR_MISSING, "--checkpoint %s: is neither a checkpoint, which has a MANIFEST.json, nor a run folder (save.dir/name of "
                                 "its config), which has checkpoint-NNNNNN folders", o->checkpoint);
    }
    return checkpoint_config(checkpoint, o->sets.items, o->sets.n, cfg);
}

Status opening_check_bases(const Opening *o, const RunConfig *cfg, const char *checkpoint)
{
    Status s = *checkpoint ? checkpoint_check_bases(checkpoint, cfg) : OK;
    if (s != ERR_DATA || !o->base_changed)
        return s;
    log_warn("%s", status_message());
    return OK;
}

/* A run's newest whole checkpoint, or nothing: the starting point. */
static Status open_run(const Opening *o, RunConfig *cfg, char checkpoint[PATH_MAX])
{
    char folder[PATH_MAX];
    bool any = false;
    TRY(config_load(cfg, o->config, o->sets.items, o->sets.n));
    file_join(folder, cfg->save.dir, cfg->name);
    if (file_exists(folder))
        TRY(checkpoint_any(folder, &any));
    if (any)
        TRY(checkpoint_newest(folder, checkpoint));
    if (*checkpoint)
        log_info("using %s", checkpoint);
    else
        log_info("no checkpoint in %s: using the starting point of %s", folder, o->config);
    return OK;
}

Status opening_read(const Opening *o, RunConfig *cfg, char checkpoint[PATH_MAX])
{
    *checkpoint = 0;
    return o->checkpoint ? open_checkpoint(o, cfg, checkpoint) : open_run(o, cfg, checkpoint);
}

Status opening_model(Answerer **out, const Opening *o, const RunConfig *cfg, const char *checkpoint)
{
    return answerer_open_rank(out, cfg, *checkpoint ? checkpoint : NULL, o->local_rank, o->processes ? o->processes : 1);
}

Status opening_answerer(Answerer **out, const Opening *o, RunConfig *cfg, char checkpoint[PATH_MAX])
{
    const char *const read[] = {"model.llm.path", "model.vision.path", NULL};
    *out = NULL;
    TRY(opening_read(o, cfg, checkpoint));
    TRY(config_check_paths(cfg, read, NULL));
    TRY(opening_check_bases(o, cfg, checkpoint));
    Status s = opening_model(out, o, cfg, checkpoint);
    signals_hold();
    return s;
}

void opening_name(char *name, size_t n, const RunConfig *cfg, const char *checkpoint)
{
    char real[PATH_MAX];
    if (*checkpoint && realpath(checkpoint, real))
        snprintf(name, n, "%s/%s", cfg->name, strrchr(real, '/') + 1);
    else
        snprintf(name, n, "%s", cfg->name);
}
