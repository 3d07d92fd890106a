/* setup.c: from a config to what a run works with (setup.h). Called by the loop and --dry-run. */
#include "train/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "kernels/base/log.h"
#include "train/dist/device.h"
#include "train/inputs.h"
#include "train/store/manifest.h"
#include "train/config/plan.h"

/* ---------------------------------------------------------------- checks */

static Status refuse_all_frozen(void)
{
    char keys[1024] = "";
    size_t n = 0;
    for (const Part *part = PARTS; part < PARTS + N_PARTS && n < sizeof keys; part++)
        if (part->train.name)
            n += (size_t)snprintf(keys + n, sizeof keys - n, "%s%s", n ? ", " : "", part->train.name);
    return fail(ERR_USAGE, "nothing is trained: set one of %s", keys);
}

/* Every weight is there and has its shape, and some of them are trained: better known before hours of preparing data than after. */
static Status check_weights(const RunConfig *cfg)
{
    Backend null;
    GenLlava *model;
    TRY(null_open(&null));
    Status status = genllava_open(&model, &null, F32, cfg, NULL);
    if (status == OK && !genllava_params(model)->n_flat)
        status = refuse_all_frozen();
    genllava_close(&model);
    null.close(&null);
    return status;
}

Status setup_check(Setup *s, const RunConfig *cfg)
{
    s->cfg = cfg;
    snprintf(s->folder, sizeof s->folder, "%s/%s", cfg->save.dir, cfg->name);
    TRY(dist_open(&s->dist));
    TRY(device_check(cfg));
    TRY(inputs_check(&s->mixture, cfg, false));
    TRY(genllava_sizes(&s->sizes, cfg));
    if (cfg->model.vision.path)
        TRY(preprocessor_load(&s->preprocessor, cfg->model.vision.path, cfg->model.vision.aspect == ASPECT_PAD));
    s->preprocessor.prep.max_pixels = cfg->data.max_pixels;
    s->prepare = plan_prepare(cfg, &s->sizes, &s->mixture, s->tokenizer);
    TRY(samples_load(&s->samples, cfg, &s->sizes, &s->preprocessor));
    return check_weights(cfg);
}

/* ---------------------------------------------------------------- start */

static Status check_same(const Setup *s)
{
    RunConfig there;
    char *difference;
    TRY_IN(checkpoint_config(s->start, NULL, 0, &there), "the settings of %s", s->start);
    Status status = config_difference(&there, s->cfg, &difference);
    config_free(&there);
    if (status == OK && difference) {
        status = fail(ERR_USAGE, "%s was made with other settings; only device, save, log, sample and data.workers may change on resume. "
                                 "Different (there is the checkpoint, here this run):\n%s", s->start, difference);
        mem_free(difference);
    }
    return status;
}

/* A checkpoint folder, or a run folder whose newest is meant; from the working directory, else inside the run folder. */
static Status find_named(Setup *s, const char *named)
{
    char path[PATH_MAX], manifest[PATH_MAX];
    snprintf(path, sizeof path, "%s", named);
    if (*named != '/' && !file_exists(path))
        file_join(path, s->folder, named);
    if (!file_exists(path))
        return fail(ERR_MISSING, "--resume: %s: there is no such checkpoint, neither here nor in %s", named, s->folder);
    struct stat st;
    if (!stat(path, &st) && !S_ISDIR(st.st_mode))
        return fail(ERR_USAGE, "--resume: %s is a file, expected the folder of a checkpoint", path);
    if (!file_exists(file_join(manifest, path, "MANIFEST.json"))) {
        TRY(checkpoint_newest(path, s->start));
        return *s->start ? OK : fail(ERR_DATA, "--resume: %s is neither a whole checkpoint nor a folder that holds some", path);
    }
    snprintf(s->start, sizeof s->start, "%s", path);
    return manifest_verify(path);
}

typedef struct StartRequest {
    Setup *setup;
    bool resume;
    const char *checkpoint;
} StartRequest;

static Status find_start(void *arg)
{
    const StartRequest *request = arg;
    Setup *s = request->setup;
    bool any;
    if (request->resume && request->checkpoint && *request->checkpoint)
        TRY(find_named(s, request->checkpoint));
    else if (request->resume)
        TRY(checkpoint_newest(s->folder, s->start));
    else {
        TRY(checkpoint_any(s->folder, &any));
        if (any)
            return fail(ERR_USAGE, "%s holds checkpoints of an earlier run: go on from them with --resume, or start afresh under another "
                                   "name with --set name=NAME (or remove the folder)", s->folder);
    }
    if (*s->start) {
        TRY(check_same(s));
        log_info("resuming from %s", s->start);
    } else if (request->resume)
        log_info("nothing to resume in %s: starting from the beginning", s->folder);
    return OK;
}

Status setup_start(Setup *s, bool resume, const char *checkpoint)
{
    return dist_first(&s->dist, find_start, &(StartRequest){s, resume, checkpoint}, s->start, sizeof s->start);
}

/* ---------------------------------------------------------------- data */

static Status open_loader(Setup *s, const RecordIndex *index)
{
    s->source_weight = mem_alloc((size_t)s->mixture.n_sources * sizeof(double));
    if (!s->source_weight)
        return fail(ERR_NOMEM, "the mixture's weights: out of memory");
    LoaderOptions options =
        plan_loader(s->cfg, &s->sizes, &s->mixture, s->cfg->model.vision.path ? &s->preprocessor : NULL, s->source_weight);
    options.index = index;
    TRY(loader_open(&s->loader, &options, s->dist.rank, s->dist.n_ranks));
    const LoaderTotals *totals = loader_totals(s->loader);
    if (totals->drawing)
        log_warn("%lld of %lld rows are of task \"generate\" or \"edit\": this version does not draw or edit pictures yet, so it learns "
                 "their text and not their target pictures", (long long)totals->drawing, (long long)totals->samples);
    return OK;
}

Status setup_plan(Setup *s)
{
    bool fresh;
    const char *why;
    TRY(prepare_is_fresh(&s->prepare, &fresh, &why, &s->prepared));
    if (fresh)
        return open_loader(s, NULL);
    TRY(prepare_index(&s->prepare, &s->index, &s->prepared));
    return open_loader(s, &s->index);
}

static Status prepare_shards(void *arg)
{
    Setup *s = arg;
    bool fresh;
    const char *why;
    TRY(prepare_is_fresh(&s->prepare, &fresh, &why, &s->prepared));
    if (fresh)
        return OK;
    TRY_IN(file_make_folders(s->prepare.out), "data.shards");
    return prepare_run(&s->prepare, &s->prepared);
}

Status setup_data(Setup *s)
{
    TRY(dist_first(&s->dist, prepare_shards, s, NULL, 0));
    return open_loader(s, NULL);
}

/* ---------------------------------------------------------------- device and model */

Status setup_device(Setup *s)
{
    TRY(device_open(&s->backend, s->cfg, s->dist.local_rank, &s->compute));
    s->device_open = true;
    bool host = s->backend.host_memory, narrow = s->compute == BF16;
    int32_t seen[] = {host, !host, narrow, !narrow};
    TRY(dist_agree(&s->dist, seen, 4));
    if (seen[0] && seen[1])
        return fail(ERR_DEVICE, "device: some ranks have found a GPU and others none; set it to \"cuda\" or \"cpu\"");
    if (seen[2] && seen[3])
        return fail(ERR_DEVICE, "train.compute: some ranks would compute in bf16 and others in f32; set it to one of them");
    return OK;
}

static Status take_arena(Setup *s, Arena *a, size_t n_bytes)
{
    if (s->backend.host_memory)
        return arena_create(a, n_bytes);
    void *base;
    TRY(s->backend.mem_create(&s->backend, n_bytes, &base));
    arena_borrow(a, base, n_bytes);
    return OK;
}

static void give_back_arena(Setup *s, Arena *a)
{
    if (!a->owns && a->base)
        s->backend.mem_destroy(&s->backend, a->base);
    arena_free(a);
}

static Status take_memory(Setup *s)
{
    TRY_IN(take_arena(s, &s->keep, s->memory.keep), "activations");
    TRY_IN(take_arena(s, &s->scratch, s->memory.scratch), "block workspace");
    s->backend.ctx.scratch = &s->scratch;
    s->numbers = arena_push(&s->scratch, sizeof(StepNumbers)); /* before the tape marks where it begins */
    return tape_create(&s->tape, &(TapeOptions){.backend = &s->backend,
                                               .keep = &s->keep,
                                               .scratch = &s->scratch,
                                               .compute = s->compute,
                                               .recompute = (Recompute)s->cfg->train.recompute,
                                               .seed = (uint64_t)s->cfg->seed});
}

Status setup_measure(Setup *s)
{
    const PassShape *worst;
    int n = loader_worst_passes(s->loader, &worst);
    TRY(memory_measure(&s->memory, s->cfg, &s->backend, s->compute, worst, n, &s->samples, s->index.rows ? &s->index : NULL));
    memory_say(&s->memory);
    return OK;
}

Status setup_model(Setup *s)
{
    TRY(setup_measure(s));
    TRY(memory_check(&s->memory, s->cfg));
    TRY(take_memory(s));
    return genllava_open(&s->model, &s->backend, s->compute, s->cfg, *s->start ? s->start : NULL);
}

void setup_close(Setup *s)
{
    tape_free(&s->tape);
    genllava_close(&s->model);
    give_back_arena(s, &s->keep);
    give_back_arena(s, &s->scratch);
    if (s->device_open)
        s->backend.close(&s->backend);
    loader_close(&s->loader);
    index_free(&s->index);
    samples_free(&s->samples);
    mem_free(s->source_weight);
    mixture_free(&s->mixture);
    *s = (Setup){0};
}
