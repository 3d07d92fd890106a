/* drawings.c: what all benchmarks of drawings share: their requests, checked and up to a limit (bench.h). Called by evaluate. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "eval/bench/bench.h"

typedef struct Filter {
    const Bench *bench;
    const BenchData *data;
    DrawingVisit visit;
    void *arg;
    bool any;
} Filter;

/* Whether a file of that name lies in the folder of drawings: names come from data files. */
static bool is_inside(const char *name)
{
    const char *part = name;
    for (size_t n; *part; part += n + (part[n] == '/')) {
        n = strcspn(part, "/");
        if (!n || (n == 1 && *part == '.') || (n == 2 && !strncmp(part, "..", 2)))
            return false;
    }
    return *name && name[strlen(name) - 1] != '/';
}

static Status pass_on(void *arg, const BenchDrawing *q)
{
    Filter *f = arg;
    if (f->data->limit && q->unit >= f->data->limit)
        return OK;
    if (!is_inside(q->name))
        return fail(ERR_DATA, "%s: a drawing would be called \"%s\", which leads out of the folder of drawings", f->bench->name, q->name);
    f->any = true;
    return f->visit(f->arg, q);
}

Status bench_drawings(const Bench *b, const BenchData *d, DrawingVisit visit, void *arg)
{
    Filter f = {b, d, visit, arg, false};
    TRY(b->drawings(d, pass_on, &f));
    return f.any ? OK : bench_empty(b, d);
}

bool bench_find_drawing(char *path, const char *made, const char *name, bool edits)
{
    char jpeg[PATH_MAX];
    if (file_exists(file_join(path, made, name)))
        return true;
    const Span stem = networks_row(name);
    snprintf(jpeg, sizeof jpeg, "%.*s.jpg", (int)stem.n, stem.s);
    return edits && file_exists(file_join(path, made, jpeg));
}

typedef struct Work {
    const char *made;
    Networks *features;
    NetworkSums *sums;
    Scores *scores;
} Work;

static Status add_drawing(void *arg, const BenchDrawing *q)
{
    const Work *w = arg;
    char path[PATH_MAX];
    w->scores->n++;
    if (bench_find_drawing(path, w->made, q->name, q->edits))
        return networks_add(w->features, w->sums, q->name);
    w->scores->n_missing++;
    return OK;
}

Status bench_networks(const Bench *b, const BenchData *d, const char *made, Networks *f, NetworkSums *sums, Scores *s)
{
    return bench_drawings(b, d, add_drawing, &(Work){made, f, sums, s});
}
