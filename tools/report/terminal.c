/* terminal.c: the report for a terminal, as wide as that is (report.h). Called by report.c. Curves are columns of blocks, of letters where
 * the terminal takes nothing but ASCII. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"
#include "tools/report/report.h"

enum { MAIN_ROWS = 8, LABEL_LEAST = 16, LABEL_MOST = 28, TAIL_COLUMNS = 37, SPARK_LEAST = 8, COLUMNS_MOST = 240, LEVELS = 8 };

typedef struct Screen {
    const ReportShow *show;
    FILE *out;
    Column *columns; /* [CURVE_COLUMNS] */
    int label;       /* columns of what stands before values, with the gap behind it */
} Screen;

/* ---------------------------------------------------------------- text */

/* On one line, at most `width` columns; returns how many it took. */
static int put_text(const Screen *s, const char *text, size_t n, int width)
{
    const bool utf8 = s->show->utf8;
    const int dots = utf8 ? 1 : 3;
    int columns = 0;
    for (size_t i = 0; i < n;) {
        char shown[16];
        size_t taken = (size_t)utf8_decode(text + i, n - i, NULL);
        taken = taken ? taken : 1;
        size_t length = utf8_show(shown, sizeof shown, text + i, taken, UTF8_LINE);
        if (!utf8 && (shown[0] & 0x80))
            length = (size_t)snprintf(shown, sizeof shown, "?");
        const int more = utf8_columns(shown, length);
        if (columns + more > width - (i + taken < n ? dots : 0)) {
            fputs(utf8 ? "\xE2\x80\xA6" : "...", s->out);
            return columns + dots;
        }
        fwrite(shown, 1, length, s->out);
        columns += more;
        i += taken;
    }
    return columns;
}

/* A name and the gap to its value in column `to`; a long name has a line of its own. */
static void put_name(const Screen *s, const char *text, int to)
{
    int n = put_text(s, text, strlen(text), s->show->columns);
    if (n >= to) {
        fputc('\n', s->out);
        n = 0;
    }
    fprintf(s->out, "%*s", to - n, "");
}

static void put_label(const Screen *s, const char *text) { put_name(s, text, s->label); }

static void put_line(const Screen *s, const char *text)
{
    put_text(s, text, strlen(text), s->show->columns);
    fputc('\n', s->out);
}

static void put_heading(const Screen *s, const char *text)
{
    fputc('\n', s->out);
    put_line(s, text);
    for (int i = 0; i < s->show->columns && i < (int)strlen(text); i++)
        fputs(s->show->utf8 ? "\xE2\x94\x80" : "-", s->out);
    fputc('\n', s->out);
}

/* ---------------------------------------------------------------- curves */

/* As many columns of a curve as stand on the screen, each the range of its steps. */
static void squeeze(Column *to, int width, const Screen *s, const Series *series)
{
    const Curves *all = series->run->curves;
    const int n = curve_fold(s->columns, all, series->curve, all->per_column);
    const int first = (int)(all->first_step / all->per_column), span = n - first;
    memset(to, 0, (size_t)width * sizeof *to);
    for (int i = first; i < n; i++) {
        Column *t = &to[span < width ? i - first : (int)((int64_t)(i - first) * width / span)], *c = &s->columns[i];
        if (!c->n)
            continue;
        t->low = t->n && t->low < c->low ? t->low : c->low;
        t->high = t->n && t->high > c->high ? t->high : c->high;
        t->sum += c->sum;
        t->n += c->n;
    }
}

/* 0 … 1, on a logarithmic scale where the highest is far above the mean. */
static double level_of(const Curve *c, double v)
{
    const bool is_log = c->low > 0 && c->high > 8 * c->sum / (double)c->n;
    const double low = is_log ? log(c->low) : c->low, high = is_log ? log(c->high) : c->high, at = is_log ? log(v) : v;
    return high > low ? fmin(fmax((at - low) / (high - low), 0), 1) : 0.5;
}

/* One line: its letters are the means. */
static void put_spark(const Screen *s, const Series *series, int width)
{
    static const char *const BLOCKS[LEVELS] = {"\xE2\x96\x81", "\xE2\x96\x82", "\xE2\x96\x83", "\xE2\x96\x84",
                                               "\xE2\x96\x85", "\xE2\x96\x86", "\xE2\x96\x87", "\xE2\x96\x88"};
    static const char LETTERS[LEVELS + 1] = "_.,-=+*#";
    Column to[COLUMNS_MOST];
    squeeze(to, width, s, series);
    for (int i = 0; i < width; i++) {
        const int level = to[i].n ? (int)(level_of(series->curve, to[i].sum / (double)to[i].n) * (LEVELS - 1) + 0.5) : -1;
        if (level < 0)
            fputc(' ', s->out);
        else if (s->show->utf8)
            fputs(BLOCKS[level], s->out);
        else
            fputc(LETTERS[level], s->out);
    }
}

static void put_series(const Screen *s, const Chart *chart, const Series *series)
{
    char end[48], low[48], high[48], tail[192];
    const int n = snprintf(tail, sizeof tail, " %11s  (%s to %s)", report_end(end, chart, series), report_number(low, series->curve->low),
                           report_number(high, series->curve->high));
    const int width = s->show->columns - s->label - (n > TAIL_COLUMNS ? n : TAIL_COLUMNS);
    put_label(s, series->label);
    if (width >= SPARK_LEAST) {
        put_spark(s, series, width < COLUMNS_MOST ? width : COLUMNS_MOST);
        fputs(tail, s->out);
    } else {
        fprintf(s->out, " %11s", end);
    }
    fputc('\n', s->out);
}

/* Several lines: the mean of each column, and its range. */
static void put_tall(const Screen *s, const Series *series)
{
    char text[48];
    Column to[COLUMNS_MOST];
    const int room = s->show->columns - 11, width = room < COLUMNS_MOST ? room : COLUMNS_MOST;
    const Curve *c = series->curve;
    squeeze(to, width, s, series);
    for (int row = MAIN_ROWS - 1; row >= 0; row--) {
        const char *label = row == MAIN_ROWS - 1 ? report_number(text, c->high) : row ? "" : report_number(text, c->low);
        fprintf(s->out, "%9s %s", label, s->show->utf8 ? "\xE2\x94\x82" : "|");
        int blanks = 0;
        for (int i = 0; i < width; i++) {
            const double top = MAIN_ROWS - 1 + 0.499;
            const int mean = to[i].n ? (int)(level_of(c, to[i].sum / (double)to[i].n) * top + 0.5) : -1;
            const int low = to[i].n ? (int)(level_of(c, to[i].low) * top + 0.5) : -1,
                      high = to[i].n ? (int)(level_of(c, to[i].high) * top + 0.5) : -1;
            const char *mark = row == mean                 ? (s->show->utf8 ? "\xE2\x80\xA2" : "*")
                               : row >= low && row <= high ? (s->show->utf8 ? "\xE2\x94\x82" : ":")
                                                           : NULL;
            if (!mark) {
                blanks++;
                continue;
            }
            fprintf(s->out, "%*s%s", blanks, "", mark);
            blanks = 0;
        }
        fputc('\n', s->out);
    }
}

static Status put_chart(void *arg, const Chart *chart)
{
    const Screen *s = arg;
    fputc('\n', s->out);
    put_line(s, chart->title);
    if (chart->main && s->show->n == 1)
        put_tall(s, &chart->series[0]);
    for (int i = 0; i < chart->n; i++)
        put_series(s, chart, &chart->series[i]);
    return OK;
}

/* ---------------------------------------------------------------- the rest */

static void put_facts(const Screen *s, const ReportRun *run)
{
    Fact facts[FACTS_MAX];
    char line[320];
    const int n = report_facts(facts, run);
    put_label(s, "state");
    put_line(s, report_state(run));
    for (int i = 0; i < n; i++) {
        snprintf(line, sizeof line, "%s%s%s", facts[i].value, *facts[i].note ? ", " : "", facts[i].note);
        put_label(s, facts[i].label);
        put_text(s, line, strlen(line), s->show->columns - s->label);
        fputc('\n', s->out);
    }
}

static void put_notes(const Screen *s, const ReportRun *run)
{
    for (const char *line = run->notes; *line; line += strcspn(line, "\n") + 1) {
        fputs("! ", s->out);
        put_text(s, line, strcspn(line, "\n"), 2 * s->show->columns);
        fputc('\n', s->out);
    }
}

static void put_samples(const Screen *s, const ReportRun *run)
{
    char step[48];
    const ReportSamples *all = &run->samples;
    if (!all->n_rows)
        return;
    put_heading(s, "Samples");
    for (int i = 0; i < all->n_rows; i++) {
        const SamplePromptRow *row = &all->rows[i];
        put_label(s, row->key);
        put_text(s, row->text, row->n_text, s->show->columns - s->label);
        fputc('\n', s->out);
        for (int k = 0; k < all->n_steps; k++) {
            const SampleCell *cell = &row->cells[k];
            if (!cell->text && !*cell->picture)
                continue;
            fprintf(s->out, "  step %-*s", s->label - 7, report_count(step, all->steps[k]));
            const char *text = *cell->picture ? cell->picture : cell->text;
            put_text(s, text, *cell->picture ? strlen(text) : cell->n, s->show->columns - s->label - 4);
            fputs(cell->expected ? (s->show->utf8 ? "  \xE2\x9C\x93\n" : "  ok\n") : "\n", s->out);
        }
    }
}

/* Of one run the default stands behind its value, where there is room. */
static Status put_setting(void *arg, const char *key, const char *help, const char *fallback, char *const values[REPORT_RUNS])
{
    const Screen *s = arg;
    const int n = s->show->n, half = s->show->columns / 2, to = half < 2 * LABEL_LEAST ? half : 2 * LABEL_LEAST;
    const int room = (s->show->columns - to) / n, more = (int)strlen(fallback) + 4;
    (void)help;
    put_name(s, key, to);
    for (int i = 0; i < n; i++) {
        const bool both = n == 1 && *fallback && more <= room / 2;
        const int used = put_text(s, values[i], strlen(values[i]), both ? room - more : room - (i + 1 < n));
        if (both)
            fprintf(s->out, "  (%s)", fallback);
        fprintf(s->out, "%*s", i + 1 < n ? room - used : 0, "");
    }
    fputc('\n', s->out);
    return OK;
}

static Status put_command(void *arg, const char *what, const char *command)
{
    const Screen *s = arg;
    put_line(s, what);
    fputs("  ", s->out);
    put_text(s, command, strlen(command), 1 << 16); /* whole, so that it can be copied */
    fputc('\n', s->out);
    return OK;
}

static void put_changes(const Screen *s, const ReportRun *run)
{
    const int n = run->n_changes < CHANGES_MAX ? (int)run->n_changes : CHANGES_MAX;
    if (n)
        put_heading(s, "History");
    for (int i = 0; i < n; i++) {
        int lines = 0;
        char head[96];
        const Json *change = json_root(run->changes[i]), *difference = json_get(change, "difference");
        snprintf(head, sizeof head, "went on behind step %" PRId64 " with other settings or data", report_int(change, "step", 0));
        put_line(s, head);
        for (const Json *line = difference && difference->kind == JSON_ARRAY ? difference->child : NULL; line && lines++ < LEVELS;
             line = line->next) {
            fputs("  ", s->out);
            if (line->kind == JSON_STRING)
                put_text(s, line->string, line->length, s->show->columns - 2);
            fputc('\n', s->out);
        }
    }
}

static void put_machine(const Screen *s, const ReportRun *run)
{
    const Json *environment = run->environment ? json_root(run->environment) : NULL;
    int n = 0;
    if (environment)
        put_heading(s, "Machine");
    for (const Json *m = environment ? environment->child : NULL; m && n < SKIPS_MAX; m = m->next) {
        char buf[128];
        if (m->kind == JSON_OBJECT || m->kind == JSON_ARRAY)
            continue;
        n++;
        put_label(s, m->key);
        const char *text = m->kind == JSON_STRING ? m->string : json_show(m, buf, sizeof buf);
        put_text(s, text, strlen(text), s->show->columns - s->label);
        fputc('\n', s->out);
    }
}

static Status put_all(Screen *s)
{
    const ReportShow *show = s->show;
    for (int i = 0; i < show->n; i++) {
        fputs(i ? "\n" : "", s->out);
        put_line(s, show->runs[i].name);
        put_facts(s, &show->runs[i]);
        put_notes(s, &show->runs[i]);
    }
    TRY(report_charts(show->runs, show->n, put_chart, s));
    for (int i = 0; i < show->n; i++)
        put_samples(s, &show->runs[i]);
    put_heading(s, show->n > 1 ? "Settings that differ" : "Settings that are not the default");
    TRY(report_settings(show->runs, show->n, put_setting, s));
    for (int i = 0; i < show->n; i++) {
        put_changes(s, &show->runs[i]);
        put_machine(s, &show->runs[i]);
        put_heading(s, "How to go on");
        TRY(report_commands(&show->runs[i], show->prefix, put_command, s));
    }
    return OK;
}

Status report_terminal(const ReportShow *show, FILE *out)
{
    const int label = show->columns / 4;
    Screen s = {.show = show, .out = out, .label = label < LABEL_LEAST ? LABEL_LEAST : label < LABEL_MOST ? label : LABEL_MOST,
                .columns = mem_alloc(CURVE_COLUMNS * sizeof(Column))};
    if (!s.columns)
        return fail(ERR_NOMEM, "curves: no memory");
    const Status status = put_all(&s);
    mem_free(s.columns);
    return status;
}
