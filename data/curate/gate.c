/* gate.c: exclusion, scores and dedupe of records (gate.h). */
#include "data/curate/gate.h"

#include <string.h>

#include "data/curate/ids.h"
#include "kernels/base/arena.h"

Status gate_settle(GateOptions *o)
{
    const struct {
        const char *option;
        double *value, otherwise;
    } bounds[] = {{"--min-clip", &o->min_clip, 0.2},
                  {"--min-clip-image", &o->min_clip_image, 0.7},
                  {"--min-clip-dir", &o->min_clip_dir, 0.2}};
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        const bool given = !isnan(*bounds[i].value);
        if (given && !o->features)
            return fail(ERR_USAGE, "%s: there is nothing that it could be compared with; give --features FILE.h5 too", bounds[i].option);
        *bounds[i].value = given ? *bounds[i].value : bounds[i].otherwise;
    }
    return OK;
}

Status gate_spare(const Outputs *outputs, const GateOptions *o)
{
    const char *const inputs[] = {o->features, o->exclude};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        if (inputs[i])
            TRY(outputs_spare(outputs, inputs[i]));
    return OK;
}

Status gate_open(Gate *g, const GateOptions *o)
{
    *g = (Gate){.options = *o, .texts = {.kind = TABLE_SET}, .instructions = {.kind = TABLE_64}};
    Status s = o->exclude ? exclude_load(&g->exclude, o->exclude) : OK;
    if (!s && o->exclude)
        exclude_tell(&g->exclude, o->exclude);
    if (!s && o->features)
        s = features_open(&g->features, o->features);
    if (s)
        gate_close(g);
    return s;
}

void gate_close(Gate *g)
{
    features_close(&g->features);
    exclude_free(&g->exclude);
    table_free(&g->texts);
    table_free(&g->instructions);
    mem_free(g->buffer);
    *g = (Gate){.features = NULL};
}

const RecordTurn *gate_instruction(const Record *rec)
{
    for (int i = 0; i < rec->n_turns; i++)
        if (rec->turns[i].human)
            return &rec->turns[i];
    return NULL;
}

static void check_excluded(const Gate *g, Verdict *v, const Record *rec)
{
    for (int i = 0; i < rec->n_images && !v->reason; i++)
        if (exclude_fits(&g->exclude, rec->images[i].path))
            verdict_set(v, REASON_EXCLUDED, "its picture %s is in %s", rec->images[i].path, g->options.exclude);
}

/* ---------------------------------------------------------------- scores */

static double least_score(const GateOptions *o, ClipScore i)
{
    return i == CLIP_SIM_DIR ? o->min_clip_dir : i == CLIP_SIM_IMAGE ? o->min_clip_image : o->min_clip;
}

static Status check_scores(Gate *g, Verdict *v, const Record *rec, GateScores *scores)
{
    if (!g->features || rec->task == TASK_UNDERSTAND)
        return OK;
    TRY(features_score(g->features, rec->uid, rec->task, scores->score, &scores->any));
    if (!scores->any)
        verdict_set(v, REASON_NO_FEATURES, "%s has no features of \"%s\"", g->options.features, rec->uid);
    for (ClipScore i = 0; i < N_CLIP_SCORES && !v->reason; i++)
        if (features_has_score(rec->task, i) && !(scores->score[i] >= least_score(&g->options, i)))
            verdict_set(v, REASON_CLIP, "%s is %.4g, wanted at least %.4g", CLIP_SCORE_NAMES[i], scores->score[i],
                        least_score(&g->options, i));
    return OK;
}

/* ---------------------------------------------------------------- dedupe */

static Status make_room(Gate *g, const Record *rec)
{
    size_t n = 1;
    for (int i = 0; i < rec->n_images; i++)
        n += sizeof(size_t) + strlen(rec->images[i].path);
    for (int i = 0; i < rec->n_turns; i++)
        n += sizeof(size_t) + rec->turns[i].length;
    if (n <= g->buffer_bytes)
        return OK;
    char *grown = mem_grow(g->buffer, 2 * n);
    if (!grown)
        return fail(ERR_NOMEM, "no memory for a record of %zu bytes", n);
    g->buffer = grown;
    g->buffer_bytes = 2 * n;
    return OK;
}

/* Of everything that makes two records the same, each part behind its length. */
static TableKey hash_record(Gate *g, const Record *rec)
{
    char *at = g->buffer;
    *at++ = (char)rec->task;
    for (int i = 0; i < rec->n_images; i++) {
        const size_t n = strlen(rec->images[i].path);
        memcpy(at, &n, sizeof n);
        memcpy(at + sizeof n, rec->images[i].path, n);
        at += sizeof n + n;
    }
    for (int i = 0; i < rec->n_turns; i++) {
        const size_t n = record_comparable(at + sizeof n, rec->turns[i].text, rec->turns[i].length, GATE_CLOSING);
        memcpy(at, &n, sizeof n);
        at += sizeof n + n;
    }
    return ids_key(g->buffer, (size_t)(at - g->buffer));
}

/* *times: how often the instruction has come, this time included. */
static Status count_instruction(Gate *g, const RecordTurn *turn, uint64_t *times)
{
    const size_t n = record_comparable(g->buffer, turn->text, turn->length, GATE_CLOSING);
    uint64_t *count;
    TRY_IN(table_at(&g->instructions, ids_key(g->buffer, n), &count), "instructions");
    *times = ++*count;
    return OK;
}

static Status check_again(Gate *g, Verdict *v, const Record *rec)
{
    bool added;
    uint64_t times = 0;
    const RecordTurn *instruction = rec->task == TASK_UNDERSTAND || !g->options.max_same ? NULL : gate_instruction(rec);
    TRY(make_room(g, rec));
    TRY_IN(table_add(&g->texts, hash_record(g, rec), &added), "texts");
    if (!added)
        verdict_set(v, REASON_SAME_TEXT, "an earlier record has the same pictures and says the same");
    else if (instruction)
        TRY(count_instruction(g, instruction, &times));
    if (times > (uint64_t)g->options.max_same)
        verdict_set(v, REASON_TOO_FREQUENT, "its instruction has come %llu times before", (unsigned long long)times - 1);
    return OK;
}

Status gate_judge(Gate *g, Verdict *v, const Record *rec, GateScores *scores)
{
    *scores = (GateScores){.any = false};
    check_excluded(g, v, rec);
    if (!v->reason)
        TRY(check_scores(g, v, rec, scores));
    return v->reason ? OK : check_again(g, v, rec);
}
