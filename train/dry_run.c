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

/* ---------------------------------------------------------------- ranks */

typedef struct RankPlan {
    int64_t needed, mapped, passes, samples, tokens;
} RankPlan;
static const char *const COLUMNS[] = {"needed", "mapped", "passes", "samples", "tokens"};
enum { N_COLUMNS = sizeof COLUMNS / sizeof *COLUMNS, N_SIZES = 2 }; /* samples that are not counted leave the sizes */
_Static_assert(sizeof(RankPlan) == N_COLUMNS * sizeof(int64_t), "COLUMNS names what a RankPlan holds");

/* *all: of rank 0, [n_ranks]; mem_free. */
static Status gather_plans(Setup *s, const LoaderTotals *totals, RankPlan **all)
{
    RankPlan own = {.needed = s->memory.needed, .mapped = s->memory.mapped};
    void *plans;
    size_t n;
    if (totals) {
        own.passes = totals->own_passes;
        own.samples = totals->own_samples;
        own.tokens = totals->own_tokens;
    }
    TRY(dist_gather(&s->dist, &own, sizeof own, &plans, &n));
    *all = plans;
    return OK;
}

static int64_t column(const RankPlan *p, int i)
{
    int64_t x[N_COLUMNS];
    memcpy(x, p, sizeof x);
    return x[i];
}

/* JSON holds every rank. */
static void add_ranks(cJSON *to, const RankPlan *plans, int n_ranks, int n_columns)
{
    cJSON *list = cJSON_AddArrayToObject(to, "ranks");
    for (int r = 0; r < n_ranks; r++) {
        cJSON *o = json_add(list, NULL, cJSON_CreateObject());
        for (int i = 0; i < n_columns; i++)
            json_add_int(o, COLUMNS[i], column(&plans[r], i));
    }
}

static void print_rank(const char *name, const RankPlan *p, int n_columns, FILE *results)
{
    char text[32];
    fprintf(results, "  %-14s", name);
    for (int i = 0; i < n_columns; i++)
        if (i < N_SIZES)
            fprintf(results, " %14s", file_size_text(text, sizeof text, (size_t)column(p, i)));
        else
            fprintf(results, " %14lld", (long long)column(p, i));
    fputc('\n', results);
}

/* What a process has taken before it plans differs a little from rank to rank. */
static bool is_like(const RankPlan *a, const RankPlan *b)
{
    bool same = true;
    for (int i = 0; i < N_COLUMNS; i++) {
        int64_t more = column(a, i) - column(b, i), most = i < N_SIZES ? a->needed / 50 : 0;
        same = same && more <= most && -more <= most;
    }
    return same;
}

/* A line for those that follow one another and are alike; of the sizes it has the first one's. */
static void print_ranks(const RankPlan *plans, int n_ranks, int n_columns, FILE *results)
{
    fprintf(results, "%-16s", "ranks");
    for (int i = 0; i < n_columns; i++)
        fprintf(results, " %14s", COLUMNS[i]);
    fputc('\n', results);
    for (int r = 0, end; r < n_ranks; r = end) {
        char name[32];
        for (end = r + 1; end < n_ranks && is_like(&plans[r], &plans[end]); end++)
            ;
        if (!r && end == n_ranks)
            snprintf(name, sizeof name, "all %d, each", n_ranks);
        else if (end == r + 1)
            snprintf(name, sizeof name, "%d", r);
        else
            snprintf(name, sizeof name, "%d to %d, each", r, end - 1);
        print_rank(name, &plans[r], n_columns, results);
    }
}

/* ---------------------------------------------------------------- the whole plan */

/* totals: NULL where the data are not there. */
static Status print_json(const MemoryPlan *m, const LoaderTotals *totals, const RankPlan *ranks, int n_ranks, FILE *results)
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
    if (n_ranks > 1)
        add_ranks(o, ranks, n_ranks, totals ? N_COLUMNS : N_SIZES);
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

Status dry_run(RunConfig *cfg, const SetupStart *how, const SuiteKind *suite, bool quick, bool json, FILE *results)
{
    Setup s = {.suite.kind = suite};
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
    RankPlan *ranks = NULL;
    if (status == OK)
        status = gather_plans(&s, totals, &ranks);
    const bool prints = status == OK && s.dist.rank == 0;
    if (prints && json)
        status = print_json(&s.memory, totals, ranks, s.dist.n_ranks, results);
    else if (prints) {
        print_table(&s.memory, totals, results);
        if (s.dist.n_ranks > 1)
            print_ranks(ranks, s.dist.n_ranks, totals ? N_COLUMNS : N_SIZES, results);
    }
    mem_free(ranks);
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
