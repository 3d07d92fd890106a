/* bench.c: the official files of every benchmark of the table, and its answers, one of them replaced by the input: questions, score,
 * submission and requests to a judge. The world of a benchmark is tests/fixtures/bench/NAME; the first byte of an input chooses the
 * benchmark, the second the file. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/file.h"
#include "eval/bench/bench.h"
#include "kernels/base/arena.h"
#include "tests/fuzz/fuzz.h"

enum { MOST_BENCHES = 64, MOST_FILES = 64, MOST_BYTES = 1 << 22 };

typedef struct World {
    const Bench *bench;
    char *file[MOST_FILES]; /* below the fuzz folder */
    int n;
} World;
static World worlds[MOST_BENCHES];
static int n_worlds;

/* ---------------------------------------------------------------- the worlds */

typedef struct Copying {
    World *world;
    char from[PATH_MAX], to[PATH_MAX]; /* to: below the fuzz folder */
} Copying;

static Status copy(void *arg, const char *name)
{
    const Copying *c = arg;
    Copying below = {.world = c->world};
    file_join(below.from, c->from, name);
    file_join(below.to, c->to, name);
    if (!strchr(name, '.')) {
        fuzz_require(file_make_folders(fuzz_path(below.to)));
        return file_list(below.from, copy, &below);
    }
    fuzz_copy(below.to, below.from);
    if (c->world->n < MOST_FILES)
        c->world->file[c->world->n++] = mem_strdup(below.to);
    return OK;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    for (const Bench *const *b = BENCHES; *b; b++) {
        Copying c = {.world = &worlds[n_worlds]};
        c.world->bench = *b;
        snprintf(c.from, sizeof c.from, "tests/fixtures/bench/%s", (*b)->name);
        snprintf(c.to, sizeof c.to, "%s", (*b)->name);
        if (!file_exists(c.from))
            continue;
        fuzz_require(file_make_folders(fuzz_path(c.to)));
        fuzz_require(file_list(c.from, copy, &c));
        n_worlds += c.world->n > 0;
    }
    return 0;
}

/* ---------------------------------------------------------------- a benchmark */

static Status look(void *arg, const BenchQuestion *q)
{
    const Span texts[] = {q->id, q->prompt, q->suffix, q->after_id, q->after_text};
    size_t *sum = arg;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (size_t k = 0; k < texts[i].n; k++)
            *sum += (unsigned char)texts[i].s[k];
    *sum += q->image ? strlen(q->image) : 0;
    for (size_t k = 0; q->bytes && k < q->n_bytes; k++)
        *sum += q->bytes[k];
    return OK;
}

static Status look_at_request(void *arg, const JudgeRequest *r)
{
    size_t *sum = arg;
    if (!r->id.n || r->id.n > 64)
        abort();
    *sum += r->system.n + r->user.n;
    return OK;
}

static void finish(Status s, const Answers *a)
{
    fuzz_check(s);
    if (!s)
        fuzz_check(answers_all_known(a));
}

/* By a judge that reads what the answers say. */
static void score_judged(const World *w, const BenchData *d, Answers *a)
{
    char path[PATH_MAX];
    const char *file = fuzz_path(file_join(path, w->bench->name, "replies.jsonl"));
    Answers *replies;
    Scores scores = {0};
    if (answers_read_replies(&replies, &file, 1))
        return;
    fuzz_check(w->bench->score_replies(d, a, replies, &scores));
    scores_free(&scores);
    answers_free(&replies);
}

static void run_bench(const World *w)
{
    const Bench *b = w->bench;
    char folder[PATH_MAX], path[PATH_MAX];
    const char *file = file_join(path, w->bench->name, b->judge ? "replies.jsonl" : "answers.jsonl");
    snprintf(folder, sizeof folder, "%s", fuzz_path(b->name));
    const BenchData d = {.dir = folder, .split = b->split};
    Answers *a;
    size_t sum = 0;
    fuzz_check(b->questions(&d, look, &sum));
    file = fuzz_path(path);
    if (b->score && file_exists(file)) {
        Scores scores = {0};
        Status s = b->judge ? answers_read_replies(&a, &file, 1) : answers_read(&a, &file, 1, b->key);
        fuzz_check(s);
        if (!s) {
            s = b->score(&d, a, &scores);
            finish(s, a);
            if (!s)
                scores_print(stdout, &scores, b->name, d.split, answers_duplicate(a));
            answers_free(&a);
        }
        scores_free(&scores);
    }
    file_join(path, b->name, "answers.jsonl");
    file = fuzz_path(path);
    if (file_exists(file) && !answers_read(&a, &file, 1, b->key)) {
        if (b->submit)
            fuzz_check(b->submit(&d, a, fuzz_path("submission")));
        Scores counts = {0};
        if (b->judge)
            fuzz_check(b->judge(&d, a, &counts, look_at_request, &sum));
        scores_free(&counts);
        if (b->score_replies)
            score_judged(w, &d, a);
        answers_free(&a);
    }
    fuzz_require(file_remove(fuzz_path("submission")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    const World *w = &worlds[data[0] % n_worlds];
    const char *file = w->file[data[1] % w->n];
    char *whole;
    size_t n_whole;
    fuzz_require(file_read(&whole, &n_whole, fuzz_path(file), MOST_BYTES));
    fuzz_put(file, data + 2, n - 2);
    run_bench(w);
    fuzz_put(file, whole, n_whole);
    mem_free(whole);
    return 0;
}

/* Inputs begin with a file as it is. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed)
{
    if (n < 2 || most < 2 || seed % 64 == 0) {
        const World *w = &worlds[seed / 64 % (unsigned)n_worlds];
        const unsigned which = seed / 4096 % (unsigned)w->n;
        char *whole;
        size_t n_whole;
        if (most < 2 || file_read(&whole, &n_whole, fuzz_path(w->file[which]), MOST_BYTES))
            return n;
        n = n_whole + 2 < most ? n_whole + 2 : most;
        memcpy(data + 2, whole, n - 2);
        mem_free(whole);
        data[0] = (uint8_t)(w - worlds);
        data[1] = (uint8_t)which;
        return n;
    }
    return 2 + LLVMFuzzerMutate(data + 2, n - 2, most - 2);
}
