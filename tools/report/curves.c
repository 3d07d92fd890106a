/* curves.c: reads train.jsonl into curves of bounded size (report.h). Called by run.c.
 *
 * A curve is CURVE_COLUMNS columns, each of so many steps that all fit; when a step comes that does not, neighbours are merged. A column
 * knows the smallest, the largest and the mean of its numbers, so that no spike is lost. */
#include <math.h>
#include <string.h>

#include "data/formats/rows.h"
#include "kernels/base/arena.h"
#include "tools/report/report.h"

enum { END_PARTS = 40 };
static const int64_t STEPS_MAX = 1000000000000000; /* as checkpoints have it: no run counts further */

static void add_to_column(Column *to, const Column *more)
{
    if (!more->n)
        return;
    to->low = to->n && to->low < more->low ? to->low : more->low;
    to->high = to->n && to->high > more->high ? to->high : more->high;
    to->sum += more->sum;
    to->n += more->n;
}

/* Each column takes in its right neighbour. */
static void halve(Column *columns, int n)
{
    for (int i = 0; i < n; i++) {
        Column sum = {0};
        if (2 * i < n)
            add_to_column(&sum, &columns[2 * i]);
        if (2 * i + 1 < n)
            add_to_column(&sum, &columns[2 * i + 1]);
        columns[i] = sum;
    }
}

const Curve *curves_find(const Curves *c, const char *key)
{
    for (int i = 0; i < c->n; i++)
        if (!strcmp(c->list[i].key, key))
            return &c->list[i];
    return NULL;
}

double curve_end(const Curves *c, const Curve *curve)
{
    const int64_t last = c->last_step / c->per_column, reach = (last - c->first_step / c->per_column) / END_PARTS;
    double sum = 0;
    int64_t n = 0;
    for (int64_t i = last; i >= 0 && (i >= last - reach || !n); i--) {
        sum += curve->columns[i].sum;
        n += curve->columns[i].n;
    }
    return n ? sum / (double)n : curve->last;
}

int curve_fold(Column *out, const Curves *c, const Curve *curve, int64_t per_column)
{
    memcpy(out, curve->columns, CURVE_COLUMNS * sizeof *out);
    for (int64_t span = c->per_column; span < per_column; span *= 2)
        halve(out, CURVE_COLUMNS);
    return (int)(c->last_step / per_column) + 1;
}

/* The curve of a key; NULL with OK: there are too many. */
static Status find_or_add(Curves *c, const char *key, Curve **curve)
{
    for (int i = 0; i < c->n; i++)
        if (!strcmp(c->list[i].key, key)) {
            *curve = &c->list[i];
            return OK;
        }
    *curve = NULL;
    if (c->n == CURVES_MAX) {
        c->left_out++;
        return OK;
    }
    *curve = &c->list[c->n];
    (*curve)->columns = mem_alloc(CURVE_COLUMNS * sizeof(Column));
    if (!(*curve)->columns)
        return fail(ERR_NOMEM, "a curve: no memory");
    snprintf((*curve)->key, sizeof(*curve)->key, "%s", key);
    c->n++;
    return OK;
}

static Status add_number(Curves *c, const char *key, int64_t step, double value)
{
    Curve *v;
    if (!isfinite(value))
        return OK;
    TRY(find_or_add(c, key, &v));
    if (!v)
        return OK;
    if (!v->n) {
        v->first = value;
        v->first_step = step;
    }
    if (!v->n || value < v->low) {
        v->low = value;
        v->low_step = step;
    }
    if (!v->n || value > v->high) {
        v->high = value;
        v->high_step = step;
    }
    v->n++;
    v->sum += value;
    v->last = value;
    v->last_step = step;
    add_to_column(&v->columns[step / c->per_column], &(Column){1, value, value, value});
    return OK;
}

/* Numbers that are counted or told otherwise, and no curves. */
static bool is_counter(const char *key)
{
    static const char *const KEYS[] = {"step", "samples", "tokens", "images", "seconds", "skipped_steps", "skipped_samples"};
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++)
        if (!strcmp(key, KEYS[i]))
            return true;
    return false;
}

/* Numbers of an object, those of objects inside under both names. */
static Status add_numbers(Curves *c, const Json *object, const char *above, int64_t step)
{
    char key[64];
    for (const Json *m = object->child; m; m = m->next) {
        if (snprintf(key, sizeof key, "%s%s%s", above, *above ? "." : "", m->key) >= (int)sizeof key)
            continue;
        if (m->kind == JSON_OBJECT)
            TRY(add_numbers(c, m, key, step));
        if ((m->kind == JSON_INT || m->kind == JSON_REAL) && !is_counter(key))
            TRY(add_number(c, key, step, m->real));
    }
    return OK;
}

/* No step has more than 1e12 of anything, and so the sums of a log fit. */
static double positive(const Json *o, const char *key)
{
    const Json *v = json_get(o, key);
    return v && (v->kind == JSON_INT || v->kind == JSON_REAL) && v->real > 0 && v->real < 1e12 ? v->real : 0;
}

static void note_skips(Curves *c, const Json *o, int64_t step)
{
    const int64_t steps = (int64_t)positive(o, "skipped_steps");
    if (steps > c->skipped_steps && c->n_skips < SKIPS_MAX)
        c->skips[c->n_skips++] = step;
    c->skipped_steps = steps;
    c->skipped_samples = (int64_t)positive(o, "skipped_samples");
}

static Status add_step(Curves *c, const Json *o, int64_t step)
{
    while (step / c->per_column >= CURVE_COLUMNS) {
        for (int i = 0; i < c->n; i++)
            halve(c->list[i].columns, CURVE_COLUMNS);
        c->per_column *= 2;
    }
    const double seconds = positive(o, "seconds"), tokens = positive(o, "tokens");
    if (!c->steps++)
        c->first_step = step;
    c->last_step = step;
    c->seconds += seconds;
    c->tokens += (int64_t)tokens;
    c->samples += (int64_t)positive(o, "samples");
    c->images += (int64_t)positive(o, "images");
    note_skips(c, o, step);
    TRY(add_numbers(c, o, "", step));
    return seconds > 0 ? add_number(c, "tokens/s", step, tokens / seconds) : OK;
}

/* What is wrong with a line that should be a step's; NULL: nothing. */
static const char *find_fault(const Curves *c, const Json *o, char what[160])
{
    const Json *step = json_get(o, "step");
    if (!o)
        return "it is no JSON";
    if (!step || step->kind != JSON_INT || step->integer < 0 || step->integer > STEPS_MAX)
        return "it tells of no step";
    if (!c->steps || step->integer > c->last_step)
        return NULL;
    snprintf(what, 160, "step %lld comes behind step %lld", (long long)step->integer, (long long)c->last_step);
    return what;
}

/* What is no step's line is left out and counted. */
static Status read_row(Curves *c, const Row *row)
{
    JsonDoc *doc = NULL;
    char what[160];
    Status s = row->error ? OK : json_parse_at(&doc, row->text, row->n, "train.jsonl", row->line, row->column);
    if (s == ERR_NOMEM)
        return s;
    const Json *o = doc ? json_root(doc) : NULL;
    const char *fault = row->error ? row->error : find_fault(c, o, what);
    s = OK;
    if (!fault)
        s = add_step(c, o, json_get(o, "step")->integer);
    else if (!c->damaged++)
        snprintf(c->damage, sizeof c->damage, "line %d: %s", row->line, fault);
    json_free(&doc);
    return s;
}

Status curves_read(Curves *c, const char *path)
{
    Rows *rows;
    Row row;
    bool end = false;
    c->per_column = 1;
    TRY(rows_open(&rows, path, ROWS_LINES));
    Status s = OK;
    while (!s && !(s = rows_next(rows, &row, &end)) && !end)
        if (row.whole || row.error) /* else it is being written just now */
            s = read_row(c, &row);
    rows_close(&rows);
    return s;
}

void curves_free(Curves *c)
{
    for (int i = 0; i < c->n; i++)
        mem_free(c->list[i].columns);
    mem_free(c);
}
