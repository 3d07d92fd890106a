/* dry_run.c: train --dry-run: checks, sizes, memory, steps, as a table or JSON (dry_run.h). */
#include "train/dry_run.h"

#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "kernels/base/log.h"
#include "train/config/plan.h"

/* What the memory is for, in the order of the contract. */
static const struct {
    const char *name;
    size_t offset;
} MEMORY[] = {
    {"weights", offsetof(MemoryPlan, weights)},
    {"trainable", offsetof(MemoryPlan, trainable)},
    {"optimizer", offsetof(MemoryPlan, optimizer)},
    {"activations", offsetof(MemoryPlan, activations)},
    {"workspace", offsetof(MemoryPlan, workspace)},
    {"total", offsetof(MemoryPlan, total)},
    {"mapped", offsetof(MemoryPlan, mapped)},
    {"needed", offsetof(MemoryPlan, needed)},
};
enum { N_MEMORY = sizeof MEMORY / sizeof *MEMORY };

static int64_t bytes_of(const MemoryPlan *m, int i)
{
    int64_t n;
    memcpy(&n, (const char *)m + MEMORY[i].offset, sizeof n);
    return n;
}

/* The parameters of a part and of its pieces, or -1 for a piece. */
static int64_t count_of(const MemoryPlan *m, int part)
{
    int64_t n = PARTS[part].counted ? -1 : m->parameters[part];
    for (int i = 0; i < N_PARTS; i++)
        if (PARTS[i].counted && !strcmp(PARTS[i].counted, PARTS[part].name))
            n += m->parameters[i];
    return n;
}

/* totals: NULL where the data are not there. */
static Status print_json(const MemoryPlan *m, const LoaderTotals *totals, FILE *results)
{
    cJSON *o = cJSON_CreateObject(), *parameters = cJSON_AddObjectToObject(o, "parameters");
    for (int i = 0; i < N_PARTS; i++)
        if (count_of(m, i) >= 0)
            json_add_int(parameters, PARTS[i].name, count_of(m, i));
    json_add_int(o, "trainable", m->trainable_parameters);
    cJSON *memory = cJSON_AddObjectToObject(o, "memory");
    for (int i = 0; i < N_MEMORY; i++)
        json_add_int(memory, MEMORY[i].name, bytes_of(m, i));
    if (totals) {
        json_add_int(o, "samples", totals->samples);
        json_add_int(o, "steps", totals->steps);
        json_add_int(o, "tokens", totals->tokens);
    } else {
        cJSON_AddNullToObject(o, "samples");
        cJSON_AddNullToObject(o, "steps");
        cJSON_AddNullToObject(o, "tokens");
    }
    return json_print(results, &o, JSON_LINE, "--dry-run");
}

static void print_table(const MemoryPlan *m, const LoaderTotals *totals, FILE *results)
{
    char text[32];
    fputs("parameters\n", results);
    for (int i = 0; i < N_PARTS; i++)
        if (count_of(m, i) > 0)
            fprintf(results, "  %-14s %14lld\n", PARTS[i].name, (long long)count_of(m, i));
    fprintf(results, "  %-14s %14lld\nmemory\n", "trained", (long long)m->trainable_parameters);
    for (int i = 0; i < N_MEMORY; i++)
        fprintf(results, "  %-14s %14s\n", MEMORY[i].name, file_size_text(text, sizeof text, (size_t)bytes_of(m, i)));
    fputs("  (mapped: weights used where they lie in their files; the system may drop them and read them again)\n", results);
    if (m->pass_tokens)
        fprintf(results, "  (%d tokens a pass, activations of one take %s)\n", m->pass_tokens,
                file_size_text(text, sizeof text, (size_t)(m->activations / m->pass_tokens)));
    if (!totals)
        return;
    fprintf(results, "run\n  %-14s %14lld\n  %-14s %14lld\n  %-14s %14lld\n", "samples", (long long)totals->samples, "steps",
            (long long)totals->steps, "tokens", (long long)totals->tokens);
}

Status dry_run(RunConfig *cfg, const SetupStart *how, bool quick, bool json, FILE *results)
{
    Setup s = {0};
    cfg->plan_only = true;
    Status status = setup_check(&s, cfg);
    const bool elsewhere = s.absent;
    if (status == OK && quick && !s.absent) {
        log_info("the data are not read: samples are not counted, and passes are planned as full as train.micro_tokens allows");
        s.absent = true;
    }
    if (status == OK)
        status = setup_device(&s);
    if (status == OK)
        status = setup_weights(&s);
    if (status == OK) {
        status = setup_start(&s, how);
        if (status == ERR_USAGE && !how->resume) { /* a run that is there already can be planned again */
            log_warn("%s", status_message());
            status = OK;
        }
    }
    if (status == OK)
        status = setup_plan(&s);
    if (status == OK)
        status = setup_measure(&s);
    const LoaderTotals *totals = s.rows.loader ? loader_totals(s.rows.loader) : NULL;
    if (status == OK && s.dist.rank > 0) /* whose plan is as good as that of rank 0 */
        results = NULL;
    if (status == OK && results && json)
        status = print_json(&s.memory, totals, results);
    else if (status == OK && results)
        print_table(&s.memory, totals, results);
    if (status == OK) /* the plan is printed all the same */
        status = setup_room(&s);
    if (status == ERR_NOMEM && elsewhere) {
        log_warn("%s (only a warning: what the run needs is not all here, so it will be elsewhere)", status_message());
        status = OK;
    }
    status = dist_close(&s.dist, status);
    setup_close(&s);
    return status;
}
