/* run_data.c: the samples of a run (run_data.h). Called by setup.c and prepare. */
#include "train/run_data.h"

#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"
#include "train/config/plan.h"
#include "train/prompts.h"

enum { DIGITS = 16 }; /* of the hash of what shards are made from, in the name of their folder */

static PrepareOptions options_of(RunData *d) { return plan_prepare(d->cfg, d->sizes, &d->mixture, d->tokenizer); }

Status run_data_place(RunData *rows, RunData *held, RunConfig *cfg, bool absent)
{
    char hash[65] = "";
    rows->prepare = options_of(rows);
    held->prepare = options_of(held);
    held->held = true;
    if (!absent)
        TRY(prepare_hash(&rows->prepare, hash));
    if (!cfg->data.shards) {
        snprintf(rows->shards, sizeof rows->shards, "%s/shards/%.*s", cfg->save.dir, (int)DIGITS, hash);
        cfg->data.shards = mem_strdup(rows->shards);
    }
    if (!cfg->data.shards)
        return fail(ERR_NOMEM, "data.shards: out of memory");
    snprintf(rows->shards, sizeof rows->shards, "%s", cfg->data.shards);
    if (!absent && run_data_any(held))
        TRY(prepare_hash(&held->prepare, hash));
    snprintf(held->shards, sizeof held->shards, "%.*s/validation-%.*s", (int)(sizeof held->shards - sizeof "/validation-" - DIGITS),
             rows->shards, (int)DIGITS, hash);
    rows->prepare.out = rows->shards;
    held->prepare.out = held->shards;
    return OK;
}

Status run_data_options(RunData *d, LoaderOptions *options)
{
    if (!d->source_weight)
        d->source_weight = mem_alloc((size_t)d->mixture.n_sources * sizeof(double));
    if (!d->source_weight)
        return fail(ERR_NOMEM, "the mixture's weights: out of memory");
    *options = plan_loader(d->cfg, d->sizes, &d->mixture, d->preprocessor, d->source_weight);
    options->shards = d->shards;
    if (d->held) { /* each once, in the order of the files, decoded when they are wanted */
        options->steps = 0;
        options->epochs = 1;
        options->most = d->cfg->eval.samples;
        options->shuffle = false;
        options->workers = 0;
    }
    return OK;
}

Status run_data_prepare(RunData *d, const char *own, bool *made)
{
    const PrepareOptions *o = &d->prepare;
    bool fresh;
    const char *why;
    TRY(prepare_is_fresh(o, &fresh, &why, &d->prepared));
    *made = !fresh;
    if (fresh)
        return OK;
    size_t n = own ? strlen(own) : 0;
    if (own && !strncmp(o->out, own, n) && o->out[n] == '/') {
        TRY_IN(file_make_folders(own), "save.dir");
        TRY_IN(file_make_own_folder(o->out), "data.shards");
    }
    TRY_IN(file_make_folders(o->out), "data.shards");
    return prepare_run(o, &d->prepared);
}

/* index: to plan with, in place of shards. cached: results that are cached are there. */
static Status open_loader(RunData *d, const Dist *dist, const RecordIndex *index, bool cached)
{
    LoaderOptions options;
    TRY(run_data_options(d, &options));
    options.index = index;
    if (cached)
        memcpy(options.cache, d->cache.spec, sizeof options.cache);
    TRY(loader_open(&d->loader, &options, dist->rank, dist->n_ranks));
    const LoaderTotals *totals = loader_totals(d->loader);
    if (d->sizes->positions && totals->longest > d->sizes->positions)
        log_warn("the longest sample has %lld tokens, more than the %lld positions that the language model was trained for "
                 "(max_position_embeddings in %s/config.json); data.max_tokens cuts samples",
                 (long long)totals->longest, (long long)d->sizes->positions, d->cfg->model.llm.path);
    if (totals->drawing && !d->cfg->model.diffusion.path)
        log_warn("%lld of %lld rows are of task \"generate\" or \"edit\", but model.diffusion.path is null: their text is learned, not "
                 "what they draw",
                 (long long)totals->drawing, (long long)totals->samples);
    return !index && plan_compares_prompts(d->cfg) ? prompts_say_cut(d->loader, d->cfg, d->sizes->queries) : OK;
}

Status run_data_open(RunData *d, const Dist *dist)
{
    Status s = open_loader(d, dist, NULL, true);
    return d->held ? fail_context(s, "data.validation") : s;
}

static Status plan(RunData *d, Backend *backend, const Dist *dist)
{
    bool fresh;
    const char *why;
    LoaderOptions options;
    TRY(prepare_is_fresh(&d->prepare, &fresh, &why, &d->prepared));
    TRY(run_data_options(d, &options));
    TRY(run_cache_tell(&d->cache, backend, &options, fresh));
    if (fresh)
        return open_loader(d, dist, NULL, false);
    TRY(prepare_index(&d->prepare, &d->index, &d->prepared));
    return open_loader(d, dist, &d->index, false);
}

Status run_data_plan(RunData *d, Backend *backend, const Dist *dist)
{
    Status s = plan(d, backend, dist);
    return d->held ? fail_context(s, "data.validation") : s;
}

void run_data_close(RunData *d)
{
    loader_close(&d->loader);
    index_free(&d->index);
    run_cache_free(&d->cache);
    mem_free(d->source_weight);
    mixture_free(&d->mixture);
}
