/* plot.c: a chart as inline SVG, with its legend and, below, its numbers as a table (report.h). Called by page.c.
 *
 * The drawing is stretched to whatever width there is, its lines are not, and words stand beside it in HTML: so they can be read on a
 * telephone. Of each curve there are the range of every column, its mean, thin, and where steps scatter a trend, thick: of a fortieth of
 * the chart to both sides. Curves differ by colour and by their dashes. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "kernels/base/arena.h"
#include "tools/report/report.h"

enum { WIDTH = 2000, HEIGHT = 1000, TICKS = 6, TREND_PARTS = 40, TREND_FROM = 24, DOTS_MOST = 60, TABLE_ROWS = 16 };

typedef struct Axes {
    int64_t x0, x1; /* steps */
    double y0, y1;
    bool log;
    double ticks[32];
    int n_ticks;
} Axes;

/* ---------------------------------------------------------------- axes */

static double level_of(const Axes *a, double v)
{
    const double low = a->log ? log(a->y0) : a->y0, high = a->log ? log(a->y1) : a->y1, at = a->log ? log(fmax(v, a->y0)) : v;
    return high > low ? fmin(fmax((at - low) / (high - low), 0), 1) : 0.5;
}

static int y_at(double level) { return (int)lround(HEIGHT * (1 - level)); }
static int y_of(const Axes *a, double v) { return y_at(level_of(a, v)); }

static int x_of(const Axes *a, double step)
{
    return a->x1 > a->x0 ? (int)lround(WIDTH * (step - (double)a->x0) / (double)(a->x1 - a->x0)) : WIDTH / 2;
}

/* 1, 2 or 5 times a power of ten, not below v. */
static double round_up(double v)
{
    const double power = pow(10, floor(log10(v))), part = v / power;
    return power * (part <= 1.0000001 ? 1 : part <= 2.0000001 ? 2 : part <= 5.0000001 ? 5 : 10);
}

static void add_tick(Axes *a, double v)
{
    if (a->n_ticks < 32 && v >= a->y0 - 1e-9 * fabs(a->y0) && v <= a->y1 + 1e-9 * fabs(a->y1))
        a->ticks[a->n_ticks++] = v;
}

static void choose_linear(Axes *a, double low, double high)
{
    if (low >= 0 && low < 0.5 * high)
        low = 0;
    const double room = high > low ? 0.04 * (high - low) : high ? 0.1 * fabs(high) : 1;
    a->y0 = low == 0 && high > 0 ? 0 : low - room;
    a->y1 = high + room;
    const double step = round_up((a->y1 - a->y0) / TICKS);
    for (int i = 0; i < 2 * TICKS; i++) {
        const double k = ceil(a->y0 / step) + i;
        add_tick(a, k == 0 ? 0 : k * step);
    }
}

static void choose_log(Axes *a, double low, double high)
{
    static const double PARTS[] = {1, 2, 5};
    a->y0 = low / 1.1;
    a->y1 = high * 1.1;
    const double decades = log10(a->y1 / a->y0);
    const int every = decades > 2 * TICKS ? (int)ceil(decades / TICKS) : 1, parts = decades > 2.5 ? 1 : 3;
    for (int d = (int)floor(log10(a->y0)); d <= (int)ceil(log10(a->y1)); d++)
        for (int i = 0; i < parts && d % every == 0; i++)
            add_tick(a, PARTS[i] * pow(10, d));
}

/* What all curves of a chart need. A logarithmic scale where a few steps are far above the others, so that these can still be told apart.
 */
static void choose_axes(Axes *a, const Chart *chart)
{
    double low = INFINITY, high = -INFINITY, sum = 0, n = 0;
    *a = (Axes){.x0 = INT64_MAX, .x1 = 0};
    for (int i = 0; i < chart->n; i++) {
        const Curve *c = chart->series[i].curve;
        const Curves *all = chart->series[i].run->curves;
        a->x0 = all->first_step < a->x0 ? all->first_step : a->x0;
        a->x1 = all->last_step > a->x1 ? all->last_step : a->x1;
        low = c->low < low ? c->low : low;
        high = c->high > high ? c->high : high;
        sum += c->sum;
        n += (double)c->n;
    }
    const double mean = sum / n, least = 1e-4 * mean; /* what is lower, or not positive, stands at the foot of a logarithmic scale */
    a->log = chart->steep && mean > 1e-250 && high < 1e250 && high > 8 * mean;
    if (a->log)
        choose_log(a, fmax(low, least), high);
    else
        choose_linear(a, fmax(low, -1e250), fmin(high, 1e250));
}

/* ---------------------------------------------------------------- curves */

typedef struct Folded {
    Column *columns; /* [CURVE_COLUMNS] */
    double *trend;   /* [CURVE_COLUMNS], heights from 0 to 1 */
    int n, filled;
    int64_t per_column;
    const Curves *all;
} Folded;

static double mean_of(const Column *c) { return c->sum / (double)c->n; }

/* The middle of a column's steps that there are. */
static double step_of(const Folded *f, int i)
{
    const int64_t first = i * f->per_column, last = first + f->per_column - 1;
    const int64_t from = first > f->all->first_step ? first : f->all->first_step, to = last < f->all->last_step ? last : f->all->last_step;
    return ((double)from + (double)to) / 2;
}

static int64_t span_of(const Chart *chart, int columns)
{
    int64_t last = 0, per_column = 1;
    for (int i = 0; i < chart->n; i++)
        last = chart->series[i].run->curves->last_step > last ? chart->series[i].run->curves->last_step : last;
    while (last / per_column >= columns)
        per_column *= 2;
    return per_column;
}

static void fold(Folded *f, const Series *s, int64_t per_column)
{
    f->all = s->run->curves;
    f->per_column = per_column;
    f->n = curve_fold(f->columns, s->run->curves, s->curve, per_column);
    f->filled = 0;
    for (int i = 0; i < f->n; i++)
        f->filled += f->columns[i].n > 0;
}

/* At each column the straight line that fits the means around it best, nearer ones counting for more: at the ends of a steep curve a mean
 * would lie to one side. On the scale that is drawn, so that a few high numbers do not lift it. */
static void find_trend(Folded *f, const Axes *a)
{
    const int reach = f->n / TREND_PARTS > 2 ? f->n / TREND_PARTS : 2;
    for (int i = 0; i < f->n; i++) {
        double w = 0, wx = 0, wy = 0, wxx = 0, wxy = 0;
        for (int k = i > reach ? i - reach : 0; k <= i + reach && k < f->n; k++) {
            if (!f->columns[k].n)
                continue;
            const double weight = reach + 1 - (k < i ? i - k : k - i), x = k - i, y = level_of(a, mean_of(&f->columns[k]));
            w += weight;
            wx += weight * x;
            wy += weight * y;
            wxx += weight * x * x;
            wxy += weight * x * y;
        }
        const double spread = w * wxx - wx * wx;
        f->trend[i] = spread > 0 ? (wxx * wy - wx * wxy) / spread : w > 0 ? wy / w : 0;
    }
}

static void put_point(FILE *out, char *command, int x, int y)
{
    fprintf(out, "%c%d %d", *command, x, y);
    *command = ' ';
}

static void put_band(FILE *out, const Axes *a, const Folded *f)
{
    char command = 'M';
    bool wide = false;
    for (int i = 0; i < f->n; i++)
        wide |= f->columns[i].n && f->columns[i].low < f->columns[i].high;
    if (!wide)
        return;
    fputs("<path class=\"band\" d=\"", out);
    for (int i = 0; i < f->n; i++)
        if (f->columns[i].n)
            put_point(out, &command, x_of(a, step_of(f, i)), y_of(a, f->columns[i].high));
    for (int i = f->n - 1; i >= 0; i--)
        if (f->columns[i].n)
            put_point(out, &command, x_of(a, step_of(f, i)), y_of(a, f->columns[i].low));
    fputs("z\"/>", out);
}

static void put_line(FILE *out, const Axes *a, const Folded *f, const char *class, bool trend)
{
    char command = 'M';
    fprintf(out, "<path class=\"%s\" d=\"", class);
    for (int i = 0; i < f->n; i++)
        if (f->columns[i].n)
            put_point(out, &command, x_of(a, step_of(f, i)), trend ? y_at(f->trend[i]) : y_of(a, mean_of(&f->columns[i])));
    fputs("\"/>", out);
}

static void put_dots(FILE *out, const Axes *a, const Folded *f)
{
    fputs("<path class=\"dots\" d=\"", out);
    for (int i = 0; i < f->n; i++)
        if (f->columns[i].n)
            fprintf(out, "M%d %dh.1", x_of(a, step_of(f, i)), y_of(a, mean_of(&f->columns[i])));
    fputs("\"/>", out);
}

static void put_series(FILE *out, const Chart *chart, const Series *s, const Axes *a, Folded *f)
{
    const bool trend = chart->noisy && f->filled >= TREND_FROM && f->filled * 2 > f->n;
    fprintf(out, "<g class=\"s%d%s\" data-name=\"", s->style % REPORT_RUNS, chart->noisy ? " noisy" : "");
    page_text(out, s->label, strlen(s->label), 80);
    fputs("\">", out);
    put_band(out, a, f);
    put_line(out, a, f, trend ? "mean thin" : "mean", false);
    if (trend) {
        find_trend(f, a);
        put_line(out, a, f, "trend", true);
    }
    if (f->filled <= DOTS_MOST && (!chart->noisy || f->filled * 2 <= f->n || f->filled < TREND_FROM))
        put_dots(out, a, f);
    fputs("</g>\n", out);
}

/* Steps that were skipped, and those from which on settings were others; of one run alone. */
static void put_marks(FILE *out, const Chart *chart, const Axes *a)
{
    const ReportRun *run = chart->series[0].run;
    for (int i = 1; i < chart->n; i++)
        if (chart->series[i].run != run)
            return;
    const int n = run->n_changes < CHANGES_MAX ? (int)run->n_changes : CHANGES_MAX;
    for (int i = 0; i < n; i++) {
        const int64_t step = report_int(json_root(run->changes[i]), "step", -1);
        if (step >= a->x0 && step <= a->x1)
            fprintf(out, "<path class=\"change\" d=\"M%d 0V%d\"/>", x_of(a, (double)step), HEIGHT);
    }
    for (int i = 0; i < run->curves->n_skips && chart->main; i++)
        fprintf(out, "<path class=\"skipped\" d=\"M%d %dV%d\"/>", x_of(a, (double)run->curves->skips[i]), HEIGHT - 50, HEIGHT);
}

/* ---------------------------------------------------------------- words around it */

static void put_description(FILE *out, const Chart *chart)
{
    char a[48], b[48], c[48], d[48];
    for (int i = 0; i < chart->n; i++) {
        const Curve *v = chart->series[i].curve;
        page_word(out, chart->series[i].label);
        fprintf(out,
                ": from %s at step %" PRId64 " to %s at step %" PRId64 "; lowest %s at step %" PRId64 ", highest %s at step %" PRId64 ". ",
                report_number(a, v->first), v->first_step, report_number(b, v->last), v->last_step, report_number(c, v->low), v->low_step,
                report_number(d, v->high), v->high_step);
    }
}

static void put_legend(FILE *out, const Chart *chart)
{
    char end[48];
    fputs("<ul class=\"legend\">", out);
    for (int i = 0; i < chart->n; i++) {
        const Series *s = &chart->series[i];
        fputs("<li>", out);
        if (*s->label) {
            fprintf(out, "<svg class=\"key s%d\" viewBox=\"0 0 28 8\" aria-hidden=\"true\"><path class=\"trend\" d=\"M1 4H27\"/></svg> ",
                    s->style % REPORT_RUNS);
            page_word(out, s->label);
        }
        fprintf(out, " <b>%s</b></li>", report_end(end, chart, s));
    }
    fputs("</ul>", out);
}

static void put_ticks(FILE *out, const Axes *a)
{
    char text[48];
    fputs("<div class=\"y\" aria-hidden=\"true\">", out);
    for (int i = 0; i < a->n_ticks; i++)
        fprintf(out, "<span style=\"top:%.1f%%\">%s</span>", 100.0 * y_of(a, a->ticks[i]) / HEIGHT, report_number(text, a->ticks[i]));
    fputs("</div>", out);
}

/* Round numbers of steps, as many as fit a telephone. */
static void put_steps(FILE *out, const Axes *a)
{
    char text[48];
    const double wanted = (double)(a->x1 - a->x0) / 4;
    const int64_t every = wanted > 1 ? (int64_t)round_up(wanted) : 1;
    fputs("<div class=\"xname\" aria-hidden=\"true\">step</div><div class=\"x\" aria-hidden=\"true\">", out);
    for (int64_t step = (a->x0 + every - 1) / every * every; step <= a->x1; step += every) {
        const double left = 100.0 * x_of(a, (double)step) / WIDTH;
        fprintf(out, left > 95 ? "<span class=\"end\" style=\"right:%.1f%%\">%s</span>" : "<span style=\"left:%.1f%%\">%s</span>",
                left > 95 ? 100 - left : left, report_count(text, step));
    }
    fputs("</div>", out);
}

static void put_grid(FILE *out, const Axes *a)
{
    fputs("<path class=\"grid\" d=\"", out);
    for (int i = 0; i < a->n_ticks; i++)
        fprintf(out, "M0 %dH%d", y_of(a, a->ticks[i]), WIDTH);
    fputs("\"/>", out);
}

static void put_cell(FILE *out, const Column *c)
{
    char mean[48], low[48], high[48];
    fputs("<td>", out);
    if (c->n)
        fputs(report_number(mean, mean_of(c)), out);
    if (c->n > 1 && c->low < c->high)
        fprintf(out, " <small>%s to %s</small>", report_number(low, c->low), report_number(high, c->high));
    fputs("</td>", out);
}

/* The same numbers, of as many steps a row as give a short table. */
static void put_table(FILE *out, const Chart *chart, const Axes *axes, Folded *folded)
{
    const int64_t span = span_of(chart, TABLE_ROWS);
    char a[48], b[48];
    int rows = 0;
    fputs("<details><summary>Numbers</summary><div class=\"wide\"><table><thead><tr><th scope=\"col\">steps</th>", out);
    for (int i = 0; i < chart->n; i++) {
        fold(&folded[i], &chart->series[i], span);
        rows = folded[i].n > rows ? folded[i].n : rows;
        fputs("<th scope=\"col\">", out);
        page_word(out, chart->series[i].label);
        fputs("</th>", out);
    }
    fputs("</tr></thead><tbody>\n", out);
    for (int r = 0; r < rows; r++) {
        bool any = false;
        for (int i = 0; i < chart->n; i++)
            any |= r < folded[i].n && folded[i].columns[r].n;
        if (!any)
            continue;
        const int64_t from = r * span > axes->x0 ? r * span : axes->x0, to = (r + 1) * span - 1 < axes->x1 ? (r + 1) * span - 1 : axes->x1;
        fprintf(out, "<tr><th scope=\"row\">%s", report_count(a, from));
        if (to > from)
            fprintf(out, " to %s", report_count(b, to));
        fputs("</th>", out);
        for (int i = 0; i < chart->n; i++)
            put_cell(out, r < folded[i].n ? &folded[i].columns[r] : &(Column){0});
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div><p class=\"small\">Means; behind them the lowest and the highest.</p></details>", out);
}

/* ---------------------------------------------------------------- the whole */

static void put_drawing(FILE *out, const Chart *chart, int number, const Axes *a, Folded *folded)
{
    fprintf(out, "<div class=\"plot%s\">", chart->main ? " main" : "");
    put_ticks(out, a);
    fprintf(out, "<svg viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" role=\"img\" tabindex=\"0\" aria-labelledby=\"t%d d%d\" "
                 "data-x0=\"%" PRId64 "\" data-x1=\"%" PRId64 "\" data-y0=\"%.17g\" data-y1=\"%.17g\" data-log=\"%d\"><title id=\"t%d\">",
            WIDTH, HEIGHT, number, number, a->x0, a->x1, a->y0, a->y1, a->log, number);
    page_word(out, chart->title);
    fprintf(out, "</title><desc id=\"d%d\">", number);
    put_description(out, chart);
    fputs("</desc>\n", out);
    put_grid(out, a);
    for (int i = 0; i < chart->n; i++)
        put_series(out, chart, &chart->series[i], a, &folded[i]);
    put_marks(out, chart, a);
    fputs("</svg>", out);
    put_steps(out, a);
    fputs("</div>\n", out);
}

Status plot_write(FILE *out, const Chart *chart, int number, int columns)
{
    Axes a;
    Folded folded[CHART_SERIES] = {{0}};
    Status s = OK;
    const int64_t span = span_of(chart, columns);
    choose_axes(&a, chart);
    for (int i = 0; i < chart->n && !s; i++) {
        folded[i].columns = mem_alloc(CURVE_COLUMNS * sizeof(Column));
        folded[i].trend = mem_alloc(CURVE_COLUMNS * sizeof(double));
        if (!folded[i].columns || !folded[i].trend)
            s = fail(ERR_NOMEM, "a chart: no memory");
        else
            fold(&folded[i], &chart->series[i], span);
    }
    if (!s) {
        fprintf(out, "<figure class=\"chart%s\"><figcaption><h3>", chart->main ? " main" : "");
        page_word(out, chart->title);
        fprintf(out, "</h3>%s%s%s%s", chart->note || a.log ? "<span class=\"small\">" : "", chart->note ? chart->note : "",
                chart->note && a.log ? "; " : "", a.log ? "logarithmic" : "");
        fputs(chart->note || a.log ? "</span>" : "", out);
        put_legend(out, chart);
        fputs("</figcaption>\n", out);
        put_drawing(out, chart, number, &a, folded);
        put_table(out, chart, &a, folded);
        fputs("</figure>\n", out);
    }
    for (int i = 0; i < chart->n; i++) {
        mem_free(folded[i].columns);
        mem_free(folded[i].trend);
    }
    return s;
}
