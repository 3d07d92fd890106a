/* charts.c: which curves stand together on which chart (report.h), whatever draws them. Called by page.c and terminal.c.
 *
 * Of one run a loss stands beside that of the held-out rows, and the learning rates stand together; of several runs each number has a
 * chart of its own, with a curve of each. Numbers that are not known here are scores. */
#include <string.h>

#include "tools/report/report.h"

static const char LOSS[] = "loss", HELD[] = "loss_validation", SUITE[] = "suite_";

static bool begins(const char *key, const char *start) { return !strncmp(key, start, strlen(start)); }

static bool is_known(const char *key)
{
    return begins(key, LOSS) || !strcmp(key, "lr") || begins(key, "lr_") || !strcmp(key, "grad_norm") || !strcmp(key, "tokens/s") ||
           !strcmp(key, "peak_share") || !strcmp(key, "waited");
}

typedef struct Walk {
    const ReportRun *runs;
    int n;
    ChartVisit visit;
    void *arg;
} Walk;

static void add_series(Chart *c, const ReportRun *run, const Curve *curve, const char *label)
{
    if (curve && c->n < CHART_SERIES) {
        c->series[c->n] = (Series){run, curve, label, c->n};
        c->n++;
    }
}

/* A number of each run. */
static void add_key(const Walk *w, Chart *c, const char *key, const char *label)
{
    for (int i = 0; i < w->n; i++) {
        const Curve *curve = curves_find(w->runs[i].curves, key);
        const int at = c->n;
        add_series(c, &w->runs[i], curve, w->n > 1 ? w->runs[i].name : label);
        if (w->n > 1 && c->n > at)
            c->series[at].style = i; /* a run looks the same on all charts */
    }
}

static Status give(const Walk *w, Chart *c) { return c->n ? w->visit(w->arg, c) : OK; }

static bool same_curve(const Curve *a, const Curve *b)
{
    return a && b && a->n == b->n && a->sum == b->sum && a->low == b->low && a->high == b->high;
}

/* The loss of a task, or with "" the whole one; beside it that of held-out rows. */
static Status give_loss(const Walk *w, const char *task)
{
    char key[80], held[80];
    Chart c = {.noisy = true, .steep = true, .main = !*task}, h = {.steep = true};
    snprintf(key, sizeof key, "%s%s%s", LOSS, *task ? "_" : "", task);
    snprintf(held, sizeof held, "%s%s%s", HELD, *task ? "_" : "", task);
    snprintf(c.title, sizeof c.title, "Loss%s%s", *task ? ": " : "", task);
    snprintf(h.title, sizeof h.title, "Loss of held-out rows%s%s", *task ? ": " : "", task);
    add_key(w, &c, key, "training");
    if (w->n > 1)
        add_key(w, &h, held, "");
    else
        add_series(&c, w->runs, curves_find(w->runs->curves, held), "held-out rows");
    if (*task && w->n == 1 && c.n && same_curve(c.series[0].curve, curves_find(w->runs->curves, LOSS)))
        return OK; /* the only task */
    TRY(give(w, &c));
    return give(w, &h);
}

/* Whether a run before, or this one before, has the key. */
static bool is_seen(const Walk *w, int run, int at)
{
    for (int i = 0; i < run; i++)
        if (curves_find(w->runs[i].curves, w->runs[run].curves->list[at].key))
            return true;
    return false;
}

static Status give_losses(const Walk *w)
{
    TRY(give_loss(w, ""));
    for (int i = 0; i < w->n; i++)
        for (int k = 0; k < w->runs[i].curves->n; k++) {
            const char *key = w->runs[i].curves->list[k].key;
            if (begins(key, "loss_") && !begins(key, HELD) && !is_seen(w, i, k))
                TRY(give_loss(w, key + sizeof LOSS));
        }
    return OK;
}

static Status give_rates(const Walk *w)
{
    Chart c = {.title = "Learning rate", .rates = true};
    for (int i = 0; i < w->runs->curves->n && w->n == 1; i++)
        if (begins(w->runs->curves->list[i].key, "lr_"))
            add_series(&c, w->runs, &w->runs->curves->list[i], w->runs->curves->list[i].key + 3);
    if (!c.n)
        add_key(w, &c, "lr", "");
    return give(w, &c);
}

static Status give_one(const Walk *w, const char *key, const char *title, const char *note)
{
    Chart c = {.noisy = true, .steep = true, .note = note};
    snprintf(c.title, sizeof c.title, "%s", title);
    add_key(w, &c, key, "");
    return give(w, &c);
}

static Status give_scores(const Walk *w)
{
    for (int i = 0; i < w->n; i++)
        for (int k = 0; k < w->runs[i].curves->n; k++) {
            const char *key = w->runs[i].curves->list[k].key;
            if (is_known(key) || is_seen(w, i, k))
                continue;
            Chart c = {.is_score = true};
            snprintf(c.title, sizeof c.title, "%s", begins(key, SUITE) ? key + strlen(SUITE) : key);
            add_key(w, &c, key, "");
            TRY(give(w, &c));
        }
    return OK;
}

char *report_end(char buf[48], const Chart *chart, const Series *s)
{
    char number[48];
    if (!chart->rates)
        return report_number(buf, chart->noisy ? curve_end(s->run->curves, s->curve) : s->curve->last);
    snprintf(buf, 48, "up to %.40s", report_number(number, s->curve->high));
    return buf;
}

Status report_charts(const ReportRun *runs, int n, ChartVisit visit, void *arg)
{
    const Walk w = {runs, n, visit, arg};
    TRY(give_losses(&w));
    TRY(give_rates(&w));
    TRY(give_one(&w, "grad_norm", "Norm of the gradient", "before it is clipped"));
    TRY(give_one(&w, "tokens/s", "Tokens per second", NULL));
    TRY(give_one(&w, "peak_share", "Share of peak", "arithmetic needed, of what the processors could do in the time"));
    TRY(give_one(&w, "waited", "Waiting for other ranks", "share of the time"));
    return give_scores(&w);
}
