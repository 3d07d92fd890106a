/* checkpoint.c: makes, finds, verifies and removes checkpoints (checkpoint.h). Called by the loop and generate. */
#include "train/store/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/held.h"
#include "data/formats/json_compare.h"
#include "data/formats/json_fields.h"
#include "kernels/base/log.h"
#include "kernels/base/utf8.h"
#include "train/store/algorithms.h"
#include "train/store/bases.h"
#include "train/store/checkpoint_files.h"
#include "train/store/manifest.h"

static const char SCHEMA[] = "genllava.state/1", CONFIG[] = "config.resolved.json", STATE[] = "state.json";

/* ---------------------------------------------------------------- state.json */

/* No run counts further: what does was not written by one. */
static const int64_t STEPS_MAX = 1000000000000000, COUNTED_MAX = 1000000000000000000;

/* -1 for other names. */
static int64_t step_of(const char *name)
{
    long long step;
    int used = 0;
    return sscanf(name, "checkpoint-%lld%n", &step, &used) == 1 && !name[used] && step >= 0 && name[11] != '-' && name[11] != '+' ? step
                                                                                                                                  : -1;
}

/* Nothing here may depend on the clock: a resumed run writes the same bytes as one that was never interrupted. */
static Status write_state(const char *folder, const RunConfig *cfg, const TrainState *state, Backend *backend)
{
    char path[PATH_MAX];
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "schema", SCHEMA);
    json_add_int(o, "step", state->step);
    json_add_int(o, "skipped_steps", state->skipped_steps);
    json_add_int(o, "skipped_samples", state->skipped_samples);
    json_add_int(o, "samples", state->samples);
    json_add_int(o, "tokens", state->tokens);
    json_add_int(o, "images", state->images);
    if (state->best_step) {
        cJSON *v = cJSON_AddObjectToObject(o, "validation");
        json_add_int(v, "best_step", state->best_step);
        json_add_real(v, "best_loss", state->best_loss);
        json_add_int(v, "since", state->validations);
    }
    Status s = bases_write(o, cfg);
    if (state->data)
        cJSON_AddRawToObject(o, "data", state->data);
    if (s == OK)
        s = algorithms_write(o, backend);
    if (s == OK)
        return json_save(file_join(path, folder, STATE), &o);
    cJSON_Delete(o);
    return s;
}

static void read_counters(JsonFields *f, TrainState *state)
{
    const struct {
        const char *key;
        int64_t *value;
    } counters[] = {{"step", &state->step},       {"skipped_steps", &state->skipped_steps}, {"skipped_samples", &state->skipped_samples},
                    {"samples", &state->samples}, {"tokens", &state->tokens},               {"images", &state->images}};
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++)
        *counters[i].value = fields_int(f, f->top, counters[i].key, FIELD_REQUIRED, 0, COUNTED_MAX);
    if (state->step > STEPS_MAX || state->skipped_steps > state->step || state->skipped_samples > state->samples)
        fields_refuse(f, json_get(f->top, "step"), "step", "is %lld, beside skipped_steps %lld of at most as many", (long long)state->step,
                      (long long)state->skipped_steps);
}

static void read_validation(JsonFields *f, TrainState *state)
{
    const Json *v = json_get(f->top, "validation");
    state->best_step = state->validations = 0;
    if (!v)
        return;
    state->best_step = fields_int(f, v, "best_step", FIELD_REQUIRED, 1, state->step);
    state->best_loss = fields_real(f, v, "best_loss", 0);
    state->validations = fields_int(f, v, "since", FIELD_REQUIRED, 0, COUNTED_MAX);
}

/* A folder that has kept its name tells the step too. */
static void check_folder_step(JsonFields *f, const char *folder, int64_t step)
{
    const char *slash = strrchr(folder, '/');
    int64_t named = step_of(slash ? slash + 1 : folder);
    if (named >= 0 && named != step)
        fields_refuse(f, json_get(f->top, "step"), "step", "is %lld, but the folder is that of step %lld", (long long)step,
                      (long long)named);
}

static Status read_state(const char *folder, const RunConfig *cfg, bool change, TrainState *state, Backend *backend)
{
    JsonFields f;
    TRY(fields_open(&f, folder, STATE));
    fields_schema(&f, SCHEMA);
    read_counters(&f, state);
    read_validation(&f, state);
    check_folder_step(&f, folder, state->step);
    Status s = f.status;
    if (s == OK && !change)
        s = bases_check(f.top, cfg, false, folder, "");
    if (s == OK)
        s = algorithms_read(f.top, backend);
    fields_close(&f);
    return s;
}

/* ---------------------------------------------------------------- saving */

typedef struct Listing {
    int64_t steps[4096]; /* sorted by name; more are not looked at */
    int n;
} Listing;

static Status add_step(void *arg, const char *name)
{
    Listing *l = arg;
    if (step_of(name) >= 0 && l->n < (int)(sizeof l->steps / sizeof *l->steps))
        l->steps[l->n++] = step_of(name);
    return OK;
}

static char *checkpoint_path(char path[PATH_MAX], const char *run_folder, int64_t step)
{
    snprintf(path, PATH_MAX, "%s/checkpoint-%06lld", run_folder, (long long)step);
    return path;
}

static Status list_checkpoints(const char *run_folder, Listing *l)
{
    l->n = 0;
    if (!file_exists(run_folder))
        return OK;
    TRY(file_list(run_folder, add_step, l));
    for (int i = 1; i < l->n; i++) /* beyond a million steps names sort otherwise */
        for (int k = i; k > 0 && l->steps[k - 1] > l->steps[k]; k--) {
            int64_t swap = l->steps[k];
            l->steps[k] = l->steps[k - 1];
            l->steps[k - 1] = swap;
        }
    return OK;
}

/* Only those up to the present step count: later ones are damaged, or the run was sent back before them on purpose. */
static Status remove_older(const char *run_folder, int64_t step, int64_t keep, int64_t but)
{
    Listing l;
    char path[PATH_MAX];
    TRY(list_checkpoints(run_folder, &l));
    int older = 0;
    while (older < l.n && l.steps[older] <= step)
        older++;
    for (int i = 0; i < older - keep; i++)
        if (l.steps[i] != but)
            TRY(file_retire_folder(checkpoint_path(path, run_folder, l.steps[i])));
    return OK;
}

static Status point(const char *run_folder, const char *name, int64_t step)
{
    char target[64], link[PATH_MAX], to[PATH_MAX];
    snprintf(target, sizeof target, "checkpoint-%06lld", (long long)step);
    file_join(link, run_folder, ".latest.tmp");
    TRY(file_remove(link));
    if (held_symlink(target, link))
        return fail(ERR_IO, "%s: cannot be created: %s", link, strerror(errno));
    return file_rename(link, file_join(to, run_folder, name));
}

Status checkpoint_rotate(const char *run_folder, const RunConfig *cfg, const TrainState *state)
{
    char path[PATH_MAX];
    const int64_t best = cfg->save.best ? state->best_step : 0;
    if (best && file_exists(checkpoint_path(path, run_folder, best)))
        TRY(point(run_folder, "best", best));
    return remove_older(run_folder, state->step, cfg->save.keep, best);
}

static Status publish(const char *run_folder, const char *temporary, int64_t step)
{
    char path[PATH_MAX];
    TRY(file_publish_folder(temporary, checkpoint_path(path, run_folder, step)));
    TRY(point(run_folder, "latest", step));
    return file_sync_folder(run_folder);
}

static const char WORD[] = ".word";

static char *hidden_path(char path[PATH_MAX], const CheckpointSave *save)
{
    snprintf(path, PATH_MAX, "%s/.checkpoint-%06lld.tmp", save->run_folder, (long long)save->step);
    return path;
}

static Status saving(const CheckpointSave *save, Status s)
{
    return s == OK ? OK : fail_context(s == ERR_CREATE ? ERR_IO : s, "saving checkpoint-%06lld", (long long)save->step);
}

static Status begin(CheckpointSave *save)
{
    char folder[PATH_MAX], path[PATH_MAX];
    unsigned char random[(CHECKPOINT_WORD - 1) / 2];
    TRY(file_stage_folder(hidden_path(folder, save)));
    if (save->n_ranks == 1)
        return OK;
    if (getentropy(random, sizeof random))
        return fail(ERR_DEVICE, "the system gives no random numbers: %s", strerror(errno));
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(save->word + 2 * i, 3, "%02x", random[i]);
    return file_save(file_join(path, folder, WORD), save->word, CHECKPOINT_WORD);
}

Status checkpoint_begin(CheckpointSave *save)
{
    Status s = begin(save);
    return s == OK ? OK : checkpoint_drop(save, saving(save, s));
}

static Status check_word(const CheckpointSave *save, const char *folder)
{
    char path[PATH_MAX], word[CHECKPOINT_WORD];
    int fd = held_open(file_join(path, folder, WORD), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    if (fd < 0)
        return fail(ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    Status s = file_read_at(fd, path, word, sizeof word, 0);
    close(fd);
    return s == OK && memcmp(word, save->word, sizeof word) != 0 ? fail(ERR_IO, "%s: is another save's", path) : s;
}

/* Holds the folder that rank 0 has made. */
static Status enter(const CheckpointSave *save, const char *folder)
{
    if (save->rank == 0) /* it holds it since it has made it */
        return OK;
    Status s = held_take(save->run_folder);
    if (s == OK)
        s = held_take(folder);
    if (s == OK)
        s = check_word(save, folder);
    return s == OK ? OK
                   : fail(ERR_CREATE, "%s; with save.split every rank must see the folder that rank 0 has made there", status_message());
}

/* Also after an error. */
static void leave(const CheckpointSave *save)
{
    if (save->rank > 0)
        held_release(save->run_folder);
}

Status checkpoint_try(const CheckpointSave *save)
{
    char folder[PATH_MAX], path[PATH_MAX], name[32];
    Status s = enter(save, hidden_path(folder, save));
    snprintf(name, sizeof name, ".rank-%d", save->rank);
    if (s == OK)
        s = file_save(file_join(path, folder, name), "", 0);
    if (s == OK)
        s = file_check_staged(folder);
    leave(save);
    return fail_context(s, "save.split");
}

/* Of rank 0. */
static Status write_rest(const CheckpointSave *save, const char *folder, GenLlava *model, const RunConfig *cfg, const TrainState *state)
{
    char path[PATH_MAX];
    TRY(checkpoint_write_weights(folder, model, cfg));
    TRY(config_save(cfg, file_join(path, folder, CONFIG)));
    TRY(write_state(folder, cfg, state, genllava_params(model)->backend));
    return save->n_ranks > 1 ? checkpoint_write_index(folder, genllava_params(model), save->n_ranks) : OK;
}

static Status write_share(const CheckpointSave *save, const char *folder, GenLlava *model, ManifestFile *share)
{
    char name[MOMENTS_NAME];
    TRY(checkpoint_write_moments(folder, genllava_params(model), save->rank, save->n_ranks, name));
    TRY(manifest_hash(share, folder, name));
    return file_check_staged(folder);
}

Status checkpoint_write(const CheckpointSave *save, GenLlava *model, const RunConfig *cfg, const TrainState *state, ManifestFile *share)
{
    char folder[PATH_MAX];
    Status s = enter(save, hidden_path(folder, save));
    if (s == OK)
        s = write_share(save, folder, model, share);
    if (s == OK && save->rank == 0)
        s = write_rest(save, folder, model, cfg, state);
    leave(save);
    return saving(save, s);
}

static Status end(const CheckpointSave *save, const ManifestFile *shares)
{
    char folder[PATH_MAX], path[PATH_MAX];
    TRY(file_remove(file_join(path, hidden_path(folder, save), WORD)));
    TRY(manifest_write(folder, shares, save->n_ranks));
    return publish(save->run_folder, folder, save->step);
}

Status checkpoint_end(const CheckpointSave *save, const RunConfig *cfg, const TrainState *state, const ManifestFile *shares)
{
    Status s = end(save, shares);
    if (s != OK)
        return checkpoint_drop(save, saving(save, s));
    TRY_IN(checkpoint_rotate(save->run_folder, cfg, state), "removing old checkpoints");
    return OK;
}

Status checkpoint_drop(const CheckpointSave *save, Status s)
{
    char folder[PATH_MAX];
    return file_discard_folder(hidden_path(folder, save), s);
}

Status checkpoint_save(const char *run_folder, GenLlava *model, const RunConfig *cfg, const TrainState *state)
{
    CheckpointSave save = {.run_folder = run_folder, .step = state->step, .n_ranks = 1};
    ManifestFile share;
    TRY(checkpoint_begin(&save));
    Status s = checkpoint_write(&save, model, cfg, state, &share);
    return s == OK ? checkpoint_end(&save, cfg, state, &share) : checkpoint_drop(&save, s);
}

/* ---------------------------------------------------------------- finding and loading */

static Status require(void *folder, const char *name) { return manifest_require(folder, name); }

Status checkpoint_verify(const char *folder)
{
    RunConfig cfg;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", folder);
    TRY(manifest_verify(folder));
    TRY(manifest_require(folder, CONFIG));
    TRY(manifest_require(folder, STATE));
    TRY(checkpoint_config(folder, NULL, 0, &cfg));
    Status s = checkpoint_each_file(folder, &cfg, require, path);
    config_free(&cfg);
    return s;
}

Status checkpoint_any(const char *run_folder, bool *any)
{
    Listing l;
    TRY(list_checkpoints(run_folder, &l));
    *any = l.n > 0;
    return OK;
}

Status checkpoint_newest(const char *run_folder, char path[PATH_MAX])
{
    Listing l;
    TRY(list_checkpoints(run_folder, &l));
    path[0] = 0;
    for (int i = l.n - 1; i >= 0; i--) {
        checkpoint_path(path, run_folder, l.steps[i]);
        Status s = checkpoint_verify(path);
        if (s == OK || s == ERR_NOMEM)
            return s;
        log_warn("%s; falling back to an older checkpoint", status_message());
    }
    if (l.n)
        return fail(ERR_DATA, "%s: none of its %d checkpoints is whole: start afresh under another name with --set name=NAME, or remove "
                              "the folder; the last looked at: %s", run_folder, l.n, status_message());
    path[0] = 0;
    return OK;
}

Status checkpoint_resume(const char *folder, GenLlava *model, const RunConfig *cfg, bool change, TrainState *state)
{
    TRY(read_state(folder, cfg, change, state, genllava_params(model)->backend));
    return checkpoint_read_moments(folder, genllava_params(model), change);
}

/* Of the shards only when both are made. */
static Status print_data(void *out, const char *path, const Json *there, const Json *here)
{
    bool shards = !strcmp(path, "shards"), both = there && here && there->kind == JSON_STRING && here->kind == JSON_STRING;
    if (!shards)
        return json_difference_print(out, path, there, here);
    if (both && !ftell(out)) /* whatever else differs is the reason */
        fputs("the pictures, or the rows made from these files, are others", out);
    return OK;
}

Status checkpoint_compare_data(const char *folder, const char *data, bool *known, char **difference)
{
    JsonFields f;
    JsonDoc *doc = NULL;
    size_t n;
    *difference = NULL;
    TRY(fields_open(&f, folder, STATE));
    const Json *there = json_get(f.top, "data");
    *known = there != NULL;
    FILE *out = open_memstream(difference, &n);
    Status s = out ? json_parse(&doc, data, strlen(data), "the data") : fail(ERR_NOMEM, "comparing the data: out of memory");
    if (s == OK && there)
        s = json_compare(there, json_root(doc), print_data, out);
    if (out && fclose(out) && s == OK)
        s = fail(ERR_NOMEM, "comparing the data: out of memory");
    json_free(&doc);
    fields_close(&f);
    if (*difference && (s != OK || !**difference)) {
        mem_free(*difference);
        *difference = NULL;
    }
    return s;
}

Status checkpoint_check_bases(const char *folder, const RunConfig *cfg)
{
    JsonFields f;
    TRY(fields_open(&f, folder, STATE));
    Status s = bases_check(f.top, cfg, true, folder, "; give that one (--set KEY=DIR), or go on with --base-changed");
    fields_close(&f);
    return s;
}

Status checkpoint_config(const char *folder, const char *const *sets, int n_sets, RunConfig *cfg)
{
    char path[PATH_MAX];
    return config_load(cfg, file_join(path, folder, CONFIG), sets, n_sets);
}

static Status clean_member(void *run_folder, const char *name)
{
    char path[PATH_MAX];
    bool ours = !strncmp(name, ".checkpoint-", 12) || !strcmp(name, ".latest.tmp");
    if (ours)
        TRY(file_put_back(run_folder, name));
    return ours ? file_remove(file_join(path, run_folder, name)) : OK;
}

Status checkpoint_clean(const char *run_folder)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", run_folder);
    return file_exists(run_folder) ? file_list(run_folder, clean_member, folder) : OK;
}
