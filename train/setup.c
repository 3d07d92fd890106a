/* setup.c: from a config to what a run works with (setup.h). Called by the loop and --dry-run. */
#include "train/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "kernels/base/log.h"
#include "train/alike.h"
#include "train/dist/device.h"
#include "train/inputs.h"
#include "train/measure/pass_shape.h"
#include "train/config/options.h"
#include "train/models/parts.h"
#include "train/run_folder.h"

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
static Status check_weights(const RunConfig *cfg, int64_t *checkpoint)
{
    Backend null;
    GenLlava *model;
    TRY(null_open(&null));
    Status status = genllava_open(&model, &null, F32, cfg, NULL);
    if (status == OK && !genllava_params(model)->n_flat)
        status = refuse_all_frozen();
    if (status == OK)
        *checkpoint = checkpoint_bytes(model, cfg);
    genllava_close(&model);
    null.close(&null);
    return status;
}

static bool is_set(const RunConfig *cfg, const char *key)
{
    const ConfigPlace *p = &cfg->places[option_find(key) - OPTIONS];
    return p->given && !p->line;
}

/* The paths of config.resolved.json are absolute, so that of a copied run means the folder that it was copied from. */
static void say_copied(const Setup *s, const RunConfig *cfg)
{
    char here[PATH_MAX], folder[PATH_MAX], run[PATH_MAX];
    const char *name = strrchr(cfg->file, '/');
    if (strcmp(name ? name + 1 : cfg->file, "config.resolved.json") || is_set(cfg, "save.dir") || is_set(cfg, "name") ||
        !realpath(file_folder(folder, cfg->file), here))
        return;
    size_t n = realpath(s->folder, run) ? strlen(run) : 0;
    if (!n || strncmp(here, run, n) || (here[n] && here[n] != '/'))
        log_warn("%s: its save.dir and name mean the folder %s, not the one that the file lies in; another is taken with --set "
                 "save.dir=DIR",
                 cfg->file, s->folder);
}

Status setup_check(Setup *s, RunConfig *cfg)
{
    s->cfg = cfg;
    snprintf(s->folder, sizeof s->folder, "%s/%s", cfg->save.dir, cfg->name);
    TRY(dist_open(&s->dist));
    TRY(alike_settings(&s->dist, cfg));
    say_copied(s, cfg);
    TRY(device_check(cfg));
    if (s->suite.kind && cfg->eval.suite && file_exists(cfg->eval.suite))
        TRY(s->suite.kind->open(&s->suite.of, cfg, &s->preprocessor));
    TRY(inputs_check(&s->rows.mixture, &s->held.mixture, cfg, &s->suite, cfg->plan_only ? &s->absent : NULL));
    parts_say_unchecked(cfg);
    TRY(genllava_sizes(&s->sizes, cfg));
    if (cfg->model.vision.path)
        TRY(preprocessor_load(&s->preprocessor, cfg->model.vision.path, cfg->model.vision.aspect == ASPECT_PAD));
    s->preprocessor.prep.max_pixels = cfg->data.max_pixels;
    const Preprocessor *preprocessor = cfg->model.vision.path ? &s->preprocessor : NULL;
    s->rows.cfg = s->held.cfg = cfg;
    s->rows.sizes = s->held.sizes = &s->sizes;
    s->rows.preprocessor = s->held.preprocessor = preprocessor;
    TRY(run_data_place(&s->rows, &s->held, cfg, s->absent));
    TRY(samples_load(&s->samples, cfg, &s->sizes, &s->preprocessor));
    TRY(check_weights(cfg, &s->checkpoint_bytes));
    parts_warn_of_idle_rates(cfg);
    if (cfg->eval.patience && !cfg->eval.every)
        log_warn("eval.patience is set, but eval.every is 0: the held-out rows are judged only after the last step");
    return alike_files(&s->dist, cfg);
}

/* ---------------------------------------------------------------- start */

/* Adds lines to what differs. Frees them. */
static Status add_difference(Setup *s, char *lines)
{
    if (!lines)
        return OK;
    size_t n = s->difference ? strlen(s->difference) : 0, room = n + strlen(lines) + 2;
    char *grown = mem_grow(s->difference, room);
    if (grown) {
        s->difference = grown;
        snprintf(grown + n, room - n, "%s%s", n ? "\n" : "", lines);
    }
    mem_free(lines);
    return grown ? OK : fail(ERR_NOMEM, "comparing with %s: out of memory", s->start);
}

static Status compare_data(Setup *s)
{
    bool known;
    char *lines;
    if (s->absent)
        return OK;
    mem_free(s->data);
    s->data = NULL;
    TRY(prepare_identity(&s->rows.prepare, &s->data));
    if (!*s->start)
        return OK;
    TRY(checkpoint_compare_data(s->start, s->data, &known, &lines));
    if (!known)
        log_warn("%s does not tell what data it was trained on (an earlier version saved it): that could not be compared", s->start);
    return add_difference(s, lines);
}

static Status check_shapes(const Setup *s)
{
    Backend null;
    GenLlava *model;
    TRY(null_open(&null));
    Status status = genllava_open(&model, &null, F32, s->cfg, NULL);
    if (status == OK)
        status = checkpoint_check_shapes(s->start, model);
    genllava_close(&model);
    null.close(&null);
    return status;
}

/* said: the difference that was told before, or NULL. */
static Status judge_difference(const Setup *s, const RunConfig *there, const char *said)
{
    if (!s->difference)
        return OK;
    if (!s->change)
        return fail(ERR_USAGE,
                    "%s was made with other settings or data; only name, device, save, log, sample, "
                    "eval, data.validation, data.workers and train.memory may change on resume; --resume --change takes "
                    "the rest too, to train longer or on other data. Different (there is the checkpoint, here this run):\n%s",
                    s->start, s->difference);
    const Part *dropped = parts_find_dropped(there, s->cfg, s->start);
    if (dropped)
        return fail(ERR_USAGE,
                    "%s: its %s holds %s as trained there, which these settings would not read; --change drops nothing: "
                    "take back what differs, or begin another run. Different (there is the checkpoint, here this run):\n%s",
                    s->start, dropped->saved, dropped->title, s->difference);
    TRY(check_shapes(s));
    if (!said || strcmp(said, s->difference))
        log_info("--change: going on from %s with other settings or data (there is the checkpoint, here this run):\n%s", s->start,
                 s->difference);
    return OK;
}

static Status check_same(Setup *s, const char *said)
{
    RunConfig there;
    char *lines;
    TRY_IN(checkpoint_config(s->start, NULL, 0, &there), "the settings of %s", s->start);
    Status status = config_difference(&there, s->cfg, &lines);
    if (!status)
        status = add_difference(s, lines);
    if (!status)
        status = compare_data(s);
    if (!status)
        status = judge_difference(s, &there, said);
    config_free(&there);
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
    return checkpoint_verify(path);
}

typedef struct StartRequest {
    Setup *setup;
    const SetupStart *how;
} StartRequest;

static Status find_start(void *arg)
{
    const StartRequest *request = arg;
    const SetupStart *how = request->how;
    Setup *s = request->setup;
    bool any;
    char real[PATH_MAX];
    TRY(run_folder_check(s->folder, s->checkpoint_bytes));
    if (how->resume && how->checkpoint && *how->checkpoint)
        TRY(find_named(s, how->checkpoint));
    else if (how->resume)
        TRY(checkpoint_newest(s->folder, s->start));
    else {
        TRY(checkpoint_any(s->folder, &any));
        if (any)
            return fail(ERR_USAGE,
                        "%s holds checkpoints of an earlier run: go on from them with --resume, or start afresh under another "
                        "name with --set name=NAME (or remove the folder)",
                        s->folder);
    }
    if (*s->start) {
        if (realpath(s->start, real)) /* "latest" is another one after the next save */
            memcpy(s->start, real, sizeof real);
        TRY(check_same(s, NULL));
        log_info("resuming from %s", s->start);
    } else if (how->resume)
        log_info("nothing to resume in %s: starting from the beginning", s->folder);
    return OK;
}

Status setup_start(Setup *s, const SetupStart *how)
{
    s->change = how->change;
    return dist_first(&s->dist, find_start, &(StartRequest){s, how}, s->start, sizeof s->start);
}

/* ---------------------------------------------------------------- data */

Status setup_plan(Setup *s)
{
    if (!s->absent)
        TRY(run_data_plan(&s->rows, &s->backend, &s->dist));
    if (!s->absent && run_data_any(&s->held))
        TRY(run_data_plan(&s->held, &s->backend, &s->dist));
    return alike_data(&s->dist, &s->rows, &s->held, true);
}

static Status prepare_shards(void *arg)
{
    Setup *s = arg;
    bool made, held;
    TRY(run_data_prepare(&s->rows, s->folder, &made));
    if (run_data_any(&s->held))
        TRY_IN(run_data_prepare(&s->held, s->folder, &held), "data.validation");
    if (s->data && !made) /* compared already */
        return OK;
    char *said = s->difference;
    s->difference = NULL; /* now with the shards */
    Status status = *s->start ? check_same(s, said) : compare_data(s);
    mem_free(said);
    return status;
}

static Status make_cache(void *arg)
{
    Setup *s = arg;
    LoaderOptions options;
    TRY(run_data_options(&s->rows, &options));
    TRY(run_cache_make(&s->rows.cache, &s->backend, &options, false));
    if (!run_data_any(&s->held))
        return OK;
    TRY(run_data_options(&s->held, &options));
    return run_cache_make(&s->held.cache, &s->backend, &options, false);
}

Status setup_data(Setup *s)
{
    TRY(dist_first(&s->dist, prepare_shards, s, NULL, 0));
    TRY(dist_first(&s->dist, make_cache, s, NULL, 0));
    TRY(run_data_open(&s->rows, &s->dist));
    if (run_data_any(&s->held))
        TRY(run_data_open(&s->held, &s->dist));
    return alike_data(&s->dist, &s->rows, &s->held, false);
}

/* ---------------------------------------------------------------- device and model */

/* Two ranks on one device would each take as much of its memory as the plan has found free. */
static Status check_own_devices(Setup *s)
{
    enum { UNIT = sizeof s->backend.unit };
    void *all;
    size_t n;
    TRY(dist_gather(&s->dist, s->backend.unit, UNIT, &all, &n));
    const unsigned char(*unit)[UNIT] = all;
    Status status = OK;
    for (int i = 0; i < (int)(n / UNIT) && status == OK; i++)
        for (int k = 0; k < i && status == OK; k++)
            if (!memcmp(unit[i], unit[k], UNIT))
                status = fail(ERR_DEVICE,
                              "device: ranks %d and %d have the same GPU (%s); start at most as many ranks on a machine as it "
                              "has visible GPUs",
                              k, i, s->backend.description);
    mem_free(all);
    return status;
}

/* The first sum. */
static Status sum_zero(Setup *s)
{
    Backend *b = &s->backend;
    void *zero;
    TRY(b->mem_create(b, sizeof(float), &zero));
    Status status = b->upload(b, zero, &(float){0}, sizeof(float));
    if (status == OK)
        status = dist_sum(&s->dist, b, zero, 1, F32);
    if (status == OK)
        status = b->download(b, &(float){0}, zero, sizeof(float));
    b->mem_destroy(b, zero);
    return status;
}

/* How much memory NCCL takes depends on its version, the devices and what lies between them: it is seen here, when the first sum has taken
 * it, rather than foretold. */
static Status join_devices(Setup *s)
{
    Backend *b = &s->backend;
    DeviceMemory before, after;
    char size[32];
    TRY(b->memory(b, &before));
    TRY(sum_zero(s));
    TRY(b->memory(b, &after));
    s->sums = before.available > after.available ? (int64_t)(before.available - after.available) : 0;
    if (s->sums)
        log_info("sums over the ranks take %s of the device's memory", file_size_text(size, sizeof size, (size_t)s->sums));
    return OK;
}

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
    TRY(alike_machines(&s->dist, &s->backend, s->cfg->plan_only));
    if (host)
        return OK;
    TRY(check_own_devices(s));
    return s->dist.n_ranks > 1 ? join_devices(s) : OK;
}

/* Wherever train.recompute goes to a tape it is cast. */
_Static_assert((int)CONFIG_RECOMPUTE_NONE == (int)RECOMPUTE_NONE && (int)CONFIG_RECOMPUTE_SELECTIVE == (int)RECOMPUTE_SELECTIVE &&
                   (int)CONFIG_RECOMPUTE_BLOCK == (int)RECOMPUTE_BLOCK,
               "RecomputeChoice (train/config/config.h) and Recompute (train/nn/tape.h) name the same in the same order");

static Status take_memory(Setup *s)
{
    TRY_IN(device_arena_create(&s->keep, &s->backend, s->memory.keep), "activations");
    TRY_IN(device_arena_create(&s->scratch, &s->backend, s->memory.scratch), "block workspace");
    s->backend.ctx.scratch = &s->scratch;
    s->numbers = arena_push(&s->scratch, sizeof(StepNumbers)); /* before the tape marks where it begins */
    return tape_create(&s->tape, &(TapeOptions){.backend = &s->backend,
                                                .keep = &s->keep,
                                                .scratch = &s->scratch,
                                                .compute = s->compute,
                                                .recompute = (Recompute)s->cfg->train.recompute,
                                                .seed = (uint64_t)s->cfg->seed,
                                                .winograd = s->cfg->train.winograd});
}

Status setup_weights(Setup *s)
{
    TRY(dist_processes(&s->dist, &s->processes));
    run_cache_say_idle(s->cfg);
    TRY(run_cache_identify(&s->rows.cache, s->cfg, &s->sizes, &s->backend, s->compute, s->rows.shards));
    if (run_data_any(&s->held))
        TRY(run_cache_identify(&s->held.cache, s->cfg, &s->sizes, &s->backend, s->compute, s->held.shards));
    return memory_measure(&s->memory, s->cfg, &s->backend, s->compute, &(MemoryRun){.sums = s->sums});
}

/* The worst passes of both, those that nothing is learned from at the end. mem_free */
static PassShape *list_passes(const Setup *s, int *n, int *forward)
{
    const PassShape *rows = NULL, *held = NULL, fullest = pass_fullest(s->cfg, &s->sizes);
    int n_rows = s->absent ? 1 : loader_worst_passes(s->rows.loader, &rows);
    *forward = s->held.loader ? loader_worst_passes(s->held.loader, &held) : 0;
    *n = n_rows + *forward;
    PassShape *all = mem_alloc((size_t)*n * sizeof *all);
    if (all)
        memcpy(all, rows ? rows : &fullest, (size_t)n_rows * sizeof *all);
    if (all && *forward)
        memcpy(all + n_rows, held, (size_t)*forward * sizeof *all);
    return all;
}

Status setup_measure(Setup *s)
{
    MemoryRun run = {.samples = &s->samples,
                     .suite = &s->suite,
                     .planned = {s->rows.index.rows ? &s->rows.index : NULL, s->held.index.rows ? &s->held.index : NULL},
                     .resumed = *s->start,
                     .sums = s->sums};
    PassShape *passes = list_passes(s, &run.n_passes, &run.n_forward);
    if (!passes)
        return fail(ERR_NOMEM, "the passes of the run: out of memory");
    run.passes = passes;
    run.tokens = s->absent ? passes->tokens : loader_totals(s->rows.loader)->tokens;
    mem_trim(); /* what reading the data took does not come again */
    Status status = memory_measure(&s->memory, s->cfg, &s->backend, s->compute, &run);
    mem_free(passes);
    TRY(status);
    memory_say(&s->memory);
    return OK;
}

Status setup_room(const Setup *s) { return memory_check(&s->memory, s->cfg, s->processes); }

Status setup_model(Setup *s)
{
    TRY(setup_measure(s));
    TRY(setup_room(s));
    TRY(genllava_open(&s->model, &s->backend, s->compute, s->cfg, *s->start ? s->start : NULL));
    mem_trim(); /* nor does what reading weights took */
    mem_reuse(MEM_REUSED);
    return take_memory(s);
}

void setup_close(Setup *s)
{
    tape_free(&s->tape);
    genllava_close(&s->model);
    device_arena_free(&s->keep, &s->backend);
    device_arena_free(&s->scratch, &s->backend);
    if (s->device_open)
        s->backend.close(&s->backend);
    run_data_close(&s->rows);
    run_data_close(&s->held);
    samples_free(&s->samples);
    if (s->suite.of)
        s->suite.kind->close(&s->suite.of);
    mem_free(s->difference);
    mem_free(s->data);
    *s = (Setup){0};
}
