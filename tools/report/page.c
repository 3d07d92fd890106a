/* page.c: the report as one HTML page (report.h). Called by report.c. Nothing is fetched, and the page forbids itself to: a policy in its
 * head lets no script run but the one below, by its hash, and no picture load but those inside. */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "data/formats/base64.h"
#include "data/formats/sha256.h"
#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "kernels/base/utf8.h"
#include "tools/report/report.h"

/* What the parts of a page may take: it stays below 2 MB whatever the runs hold. */
enum {
    CURVE_BYTES = 700000,
    POINT_BYTES = 40,
    PICTURE_BYTES = 600000,
    PICTURE_MOST = 24000,
    TEXT_BYTES = 200000,
    TEXT_MOST = 600,
    CHANGE_LINES = 8,
    SHORT_TEXT = 160
};

/* ---------------------------------------------------------------- text */

void page_text(FILE *out, const char *text, size_t n, size_t most)
{
    size_t used = 0;
    for (size_t i = 0; i < n;) {
        const char c = text[i];
        const char *entity = c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : c == '\'' ? "&#39;" : NULL;
        size_t taken = (size_t)utf8_decode(text + i, n - i, NULL);
        if (used >= most) {
            fputs("\xE2\x80\xA6", out);
            return;
        }
        taken = taken ? taken : 1;
        if (entity)
            fputs(entity, out);
        else
            utf8_put(out, text + i, taken, UTF8_TEXT);
        used += entity ? 5 : taken > 1 || (c >= ' ' && c < 0x7f) ? taken : 4;
        i += taken;
    }
}

void page_word(FILE *out, const char *text) { page_text(out, text, strlen(text), SHORT_TEXT); }

static void put_time(FILE *out, time_t t)
{
    struct tm utc;
    char text[64];
    strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", gmtime_r(&t, &utc));
    fputs(text, out);
}

/* ---------------------------------------------------------------- head */

static Status put_head(const ReportShow *show, FILE *out)
{
    uint8_t digest[32];
    char hash[48] = "";
    sha256_of(REPORT_SCRIPT, strlen(REPORT_SCRIPT), digest);
    base64_encode(hash, digest, sizeof digest);
    fprintf(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
                 "content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n"
                 "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
                 "script-src 'sha256-%s'; base-uri 'none'; form-action 'none'\">\n"
                 "<meta name=\"generator\" content=\"GenLLaVA %s\">\n<title>",
            hash, GENLLAVA_VERSION);
    if (show->n == 1)
        page_word(out, show->runs->name);
    else
        fprintf(out, "%d runs", show->n);
    fprintf(out, " \xC2\xB7 GenLLaVA</title>\n<style>%s</style>\n</head>\n<body>\n<a class=\"jump\" href=\"#curves\">To the curves</a>\n",
            REPORT_STYLE);
    return OK;
}

static const char *state_class(const ReportRun *run)
{
    const char *state = report_state(run);
    return !strcmp(state, "going on") ? "going" : !strcmp(state, "finished") ? "done" : "halted";
}

static void put_state(FILE *out, const ReportRun *run)
{
    fprintf(out, "<span class=\"state %s\">%s</span>", state_class(run), report_state(run));
}

static const char *text_of(const Json *object, const char *key)
{
    const Json *v = json_get(object, key);
    return v && v->kind == JSON_STRING ? v->string : NULL;
}

static void put_title(const ReportRun *run, FILE *out)
{
    const Json *environment = run->environment ? json_root(run->environment) : NULL;
    const char *device = text_of(environment, "device");
    fputs("<header><p class=\"brand\">GenLLaVA run</p><h1><bdi>", out);
    page_word(out, run->name);
    fputs("</bdi> ", out);
    put_state(out, run);
    fputs("</h1>\n<p class=\"small\">", out);
    if (run->written) {
        fputs("last step written ", out);
        put_time(out, run->written);
    }
    if (device) {
        fputs(run->written ? " \xC2\xB7 <bdi>" : "<bdi>", out);
        page_word(out, device);
        fputs("</bdi>", out);
    }
    fputs("</p></header>\n", out);
}

static void put_tiles(const ReportRun *run, FILE *out)
{
    Fact facts[FACTS_MAX];
    const int n = report_facts(facts, run);
    fputs("<dl class=\"tiles\">\n", out);
    for (int i = 0; i < n; i++)
        fprintf(out, "<div><dt>%s</dt><dd>%s</dd><dd class=\"small\">%s</dd></div>\n", facts[i].label, facts[i].value, facts[i].note);
    fputs("</dl>\n", out);
}

/* Of several runs: a row each. A fact that a run does not have is left empty. */
static void put_comparison(const ReportShow *show, FILE *out)
{
    Fact facts[REPORT_RUNS][FACTS_MAX];
    int n[REPORT_RUNS], widest = 0;
    for (int i = 0; i < show->n; i++) {
        n[i] = report_facts(facts[i], &show->runs[i]);
        widest = n[i] > n[widest] ? i : widest;
    }
    fprintf(out, "<header><p class=\"brand\">GenLLaVA</p><h1>%d runs</h1></header>\n<div class=\"wide\"><table class=\"runs\"><thead><tr>"
                 "<th scope=\"col\">run</th>", show->n);
    for (int k = 0; k < n[widest]; k++)
        fprintf(out, "<th scope=\"col\">%s</th>", facts[widest][k].label);
    fputs("</tr></thead><tbody>\n", out);
    for (int i = 0; i < show->n; i++) {
        fprintf(out, "<tr><th scope=\"row\"><svg class=\"key s%d\" viewBox=\"0 0 28 8\" aria-hidden=\"true\"><path class=\"trend\" "
                     "d=\"M0 4H28\"/></svg> <bdi>", i);
        page_word(out, show->runs[i].name);
        fputs("</bdi> ", out);
        put_state(out, &show->runs[i]);
        fputs("</th>", out);
        for (int k = 0; k < n[widest]; k++) {
            const Fact *f = NULL;
            for (int j = 0; j < n[i]; j++)
                f = strcmp(facts[i][j].label, facts[widest][k].label) ? f : &facts[i][j];
            fprintf(out, "<td>%s<small>%s</small></td>", f ? f->value : "", f ? f->note : "");
        }
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div>\n", out);
}

static void put_notes(const ReportShow *show, FILE *out)
{
    size_t all = 0;
    for (int i = 0; i < show->n; i++)
        all += show->runs[i].n_notes;
    if (!all)
        return;
    fputs("<section class=\"notes\" aria-label=\"What could not be read\"><h2>What could not be read</h2><ul>\n", out);
    for (int i = 0; i < show->n; i++)
        for (const char *line = show->runs[i].notes; *line; line += strcspn(line, "\n") + 1) {
            fputs("<li>", out);
            if (show->n > 1) {
                page_word(out, show->runs[i].name);
                fputs(": ", out);
            }
            page_text(out, line, strcspn(line, "\n"), 2 * SHORT_TEXT);
            fputs("</li>\n", out);
        }
    fputs("</ul></section>\n", out);
}

/* ---------------------------------------------------------------- curves */

typedef struct Plotting {
    FILE *out;
    int number, columns, series;
    bool scores; /* whether these are drawn now, or the others */
    int n_scores, n_others;
} Plotting;

static Status count_series(void *arg, const Chart *chart)
{
    Plotting *p = arg;
    p->series += chart->n;
    p->n_scores += chart->is_score;
    p->n_others += !chart->is_score;
    return OK;
}

static Status put_chart(void *arg, const Chart *chart)
{
    Plotting *p = arg;
    return chart->is_score == p->scores ? plot_write(p->out, chart, p->number++, p->columns) : OK;
}

static Status put_charts(const ReportShow *show, FILE *out)
{
    Plotting p = {.out = out, .columns = CURVE_COLUMNS};
    TRY(report_charts(show->runs, show->n, count_series, &p));
    while (p.columns > 32 && p.series * p.columns * POINT_BYTES > CURVE_BYTES)
        p.columns /= 2;
    fputs("<section id=\"curves\"><h2>Curves</h2>\n", out);
    if (p.n_others)
        fputs("<p class=\"small\">Thin: each step, or the range and the mean of the steps that share a place. Thick: the trend. "
              "An upright line: settings were changed; a short one at the foot: a step was skipped.</p>\n<div class=\"charts\">\n", out);
    else
        fputs("<p>There is no step yet.</p>\n<div>", out);
    TRY(report_charts(show->runs, show->n, put_chart, &p));
    fputs("</div></section>\n", out);
    if (!p.n_scores)
        return OK;
    p.scores = true;
    fputs("<section id=\"scores\"><h2>Scores</h2>\n<div class=\"charts\">\n", out);
    TRY(report_charts(show->runs, show->n, put_chart, &p));
    fputs("</div></section>\n", out);
    return OK;
}

/* ---------------------------------------------------------------- samples */

static Status put_cell(FILE *out, const ReportRun *run, int column, const SamplePromptRow *row, size_t letters, size_t words)
{
    const SampleCell *cell = &row->cells[column];
    char *uri = NULL;
    int width = 0, height = 0;
    fprintf(out, "<td%s>", cell->expected ? " class=\"right\"" : "");
    if (*cell->picture)
        TRY(report_picture(&uri, &width, &height, run, run->samples.steps[column], cell->picture, letters));
    if (uri) {
        fprintf(out, "<img src=\"%s\" width=\"%d\" height=\"%d\" alt=\"after step %" PRId64 ": ", uri, width, height,
                run->samples.steps[column]);
        page_text(out, row->text, row->n_text, SHORT_TEXT);
        fputs("\">", out);
    } else if (*cell->picture) {
        fputs("<span class=\"small\">the picture cannot be shown</span>", out);
    } else if (cell->text) {
        fputs("<bdi>", out);
        page_text(out, cell->text, cell->n, words);
        fputs(cell->expected ? "</bdi> <span class=\"tick\" title=\"as expected\">\xE2\x9C\x93</span>" : "</bdi>", out);
    }
    mem_free(uri);
    fputs("</td>", out);
    return OK;
}

static void put_prompt(FILE *out, const SamplePromptRow *row, size_t words)
{
    fprintf(out, "<th scope=\"row\"><span class=\"kind\">%s</span> <bdi>", row->key);
    page_text(out, row->text, row->n_text, words);
    fputs("</bdi>", out);
    if (*row->image) {
        const char *slash = strrchr(row->image, '/');
        fputs("<span class=\"small\">picture <bdi>", out);
        page_word(out, slash ? slash + 1 : row->image);
        fputs("</bdi></span>", out);
    }
    if (row->expected) {
        fputs("<span class=\"small\">expected <bdi>", out);
        page_text(out, row->expected, row->n_expected, SHORT_TEXT);
        fputs("</bdi></span>", out);
    }
    fputs("</th>", out);
}

static Status put_grid(FILE *out, const ReportRun *run, size_t letters, size_t words)
{
    char step[48];
    const ReportSamples *s = &run->samples;
    fputs("<div class=\"wide\" tabindex=\"0\" role=\"group\" aria-label=\"Samples\"><table class=\"samples\"><thead><tr><th "
          "scope=\"col\">prompt</th>", out);
    for (int k = 0; k < s->n_steps; k++)
        fprintf(out, "<th scope=\"col\">step %s</th>", report_count(step, s->steps[k]));
    fputs("</tr></thead><tbody>\n", out);
    for (int i = 0; i < s->n_rows; i++) {
        fputs("<tr>", out);
        put_prompt(out, &s->rows[i], words);
        for (int k = 0; k < s->n_steps; k++)
            TRY(put_cell(out, run, k, &s->rows[i], letters, words));
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div>\n", out);
    if (s->n_all > s->n_steps || s->n_prompts > s->n_rows)
        fprintf(out, "<p class=\"small\">%d of %d steps that have samples, and %d of %d prompts, are shown.</p>\n", s->n_steps, s->n_all,
                s->n_rows, s->n_prompts);
    return OK;
}

static Status put_samples(const ReportShow *show, FILE *out)
{
    size_t pictures = 1, cells = 1;
    int runs = 0;
    for (int r = 0; r < show->n; r++) {
        const ReportSamples *s = &show->runs[r].samples;
        runs += s->n_rows > 0;
        cells += (size_t)s->n_rows * (size_t)(s->n_steps + 1);
        for (int i = 0; i < s->n_rows; i++)
            for (int k = 0; k < s->n_steps; k++)
                pictures += *s->rows[i].cells[k].picture != 0;
    }
    const size_t letters = PICTURE_BYTES / pictures < PICTURE_MOST ? PICTURE_BYTES / pictures : PICTURE_MOST;
    const size_t words = TEXT_BYTES / cells < TEXT_MOST ? TEXT_BYTES / cells : TEXT_MOST;
    if (!runs)
        return OK;
    fputs("<section id=\"samples\"><h2>Samples</h2>\n", out);
    for (int r = 0; r < show->n; r++) {
        if (!show->runs[r].samples.n_rows)
            continue;
        if (show->n > 1) {
            fputs("<h3><bdi>", out);
            page_word(out, show->runs[r].name);
            fputs("</bdi></h3>\n", out);
        }
        TRY(put_grid(out, &show->runs[r], letters, words));
    }
    fputs("</section>\n", out);
    return OK;
}

/* ---------------------------------------------------------------- settings */

typedef struct Setting {
    FILE *out;
    int n_runs, n;
} Setting;

static Status put_setting(void *arg, const char *key, const char *help, const char *fallback, char *const values[REPORT_RUNS])
{
    Setting *s = arg;
    const size_t most = s->n_runs > 1 ? SHORT_TEXT : 2 * SHORT_TEXT;
    if (s->n++ > 300) /* the table of keys has a third of that */
        return OK;
    fputs("<tr><th scope=\"row\"><code>", s->out);
    page_text(s->out, key, strlen(key), SHORT_TEXT);
    fputs("</code></th>", s->out);
    for (int i = 0; i < s->n_runs; i++) {
        fputs("<td><bdi>", s->out);
        page_text(s->out, values[i], strlen(values[i]), most);
        fputs("</bdi></td>", s->out);
    }
    fputs("<td class=\"small\">", s->out);
    page_word(s->out, *fallback ? fallback : "\xE2\x80\x93");
    fputs("</td><td class=\"small\">", s->out);
    page_text(s->out, help ? help : "not known to this version", help ? strlen(help) : 25, 4 * SHORT_TEXT);
    fputs("</td></tr>\n", s->out);
    return OK;
}

static Status put_settings(const ReportShow *show, FILE *out)
{
    Setting s = {.out = out, .n_runs = show->n};
    fprintf(out, "<section id=\"settings\"><h2>Settings that %s</h2>\n<div class=\"wide\"><table><thead><tr><th scope=\"col\">key</th>",
            show->n > 1 ? "differ" : "are not the default");
    for (int i = 0; i < show->n; i++) {
        fputs("<th scope=\"col\"><bdi>", out);
        page_word(out, show->n > 1 ? show->runs[i].name : "value");
        fputs("</bdi></th>", out);
    }
    fputs("<th scope=\"col\">default</th><th scope=\"col\">what it is</th></tr></thead><tbody>\n", out);
    TRY(report_settings(show->runs, show->n, put_setting, &s));
    fputs("</tbody></table></div>\n", out);
    if (!s.n)
        fputs("<p class=\"small\">There are none.</p>\n", out);
    fputs("</section>\n", out);
    return OK;
}

/* ---------------------------------------------------------------- data, machine, history, how to go on: of each run */

static void put_cell_of(FILE *out, const Json *object, const char *key)
{
    char buf[128];
    const Json *v = json_get(object, key);
    fputs("<td><bdi>", out);
    if (v && v->kind == JSON_STRING)
        page_text(out, v->string, v->length, SHORT_TEXT);
    else if (v)
        page_word(out, json_show(v, buf, sizeof buf));
    fputs("</bdi></td>", out);
}

/* Rows by source: what became of them. */
static void put_sources(FILE *out, const Json *head)
{
    const Json *names = json_get(json_get(head, "made_from"), "sources"), *counts = json_get(json_get(head, "outcome"), "sources");
    const Json *name = names && names->kind == JSON_ARRAY ? names->child : NULL;
    int n = 0;
    fputs("<div class=\"wide\"><table><thead><tr><th scope=\"col\">source</th><th scope=\"col\">rows used</th><th scope=\"col\">left out"
          "</th></tr></thead><tbody>\n", out);
    for (const Json *s = counts && counts->kind == JSON_ARRAY ? counts->child : NULL; s && n < SKIPS_MAX; s = s->next, n++) {
        char buf[48];
        const char *title = text_of(name, "name"), *comma = "";
        fputs("<tr><th scope=\"row\"><bdi>", out);
        page_word(out, title ? title : "?");
        fprintf(out, "</bdi></th><td>%s</td><td>", report_count(buf, report_int(s, "good", 0)));
        int reasons = 0;
        for (const Json *m = s->kind == JSON_OBJECT ? s->child : NULL; m && reasons < SAMPLE_PROMPTS; m = m->next) {
            if (!strcmp(m->key, "good") || m->kind != JSON_INT)
                continue;
            reasons++;
            fprintf(out, "%s%s ", comma, report_count(buf, m->integer));
            page_word(out, m->key);
            comma = ", ";
        }
        fputs(*comma ? "</td></tr>\n" : "none</td></tr>\n", out);
        name = name ? name->next : NULL;
    }
    fputs("</tbody></table></div>\n", out);
}

static void put_bad_rows(FILE *out, const ReportRun *run)
{
    static const char *const KEYS[] = {"file", "row", "id", "reason", "message"};
    if (!run->n_bad_rows)
        return;
    fputs("<details><summary>The first rows that were left out</summary><div class=\"wide\"><table><thead><tr>", out);
    for (size_t k = 0; k < sizeof KEYS / sizeof *KEYS; k++)
        fprintf(out, "<th scope=\"col\">%s</th>", KEYS[k]);
    fputs("</tr></thead><tbody>\n", out);
    for (int i = 0; i < run->n_bad_rows; i++) {
        const Json *row = json_get(json_root(run->bad_rows[i]), "bad_row");
        fputs("<tr>", out);
        for (size_t k = 0; k < sizeof KEYS / sizeof *KEYS; k++)
            put_cell_of(out, row, KEYS[k]);
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table></div></details>\n", out);
}

static void put_data(FILE *out, const ReportRun *run)
{
    fputs("<h3>Rows of the data</h3>\n", out);
    if (!run->prepared) {
        fputs("<p class=\"small\">The shards do not lie beside the run; <code>inspect</code> shows them.</p>\n", out);
        return;
    }
    put_sources(out, json_root(run->prepared));
    put_bad_rows(out, run);
}

static void put_skips(FILE *out, const ReportRun *run)
{
    char buf[48];
    const Curves *c = run->curves;
    if (!c->n_skips)
        return;
    fputs("<h3>Skipped steps</h3>\n<p>Loss or gradient was not finite, and no weight changed: ", out);
    for (int i = 0; i < c->n_skips; i++)
        fprintf(out, "%s%s", i ? ", " : "", report_count(buf, c->skips[i]));
    fprintf(out, c->n_skips == SKIPS_MAX ? ", \xE2\x80\xA6</p>\n" : "</p>\n");
}

static void put_history(FILE *out, const ReportRun *run)
{
    const int n = run->n_changes < CHANGES_MAX ? (int)run->n_changes : CHANGES_MAX;
    if (!n)
        return;
    fputs("<h3>History</h3>\n<ol class=\"history\">\n", out);
    for (int i = 0; i < n; i++) {
        char buf[48];
        int lines = 0;
        const Json *change = json_root(run->changes[i]), *difference = json_get(change, "difference");
        const char *from = text_of(change, "from"), *slash = from ? strrchr(from, '/') : NULL;
        fprintf(out, "<li>went on behind step %s", report_count(buf, report_int(change, "step", 0)));
        if (from) {
            fputs(" from <bdi>", out);
            page_word(out, slash ? slash + 1 : from);
            fputs("</bdi>", out);
        }
        fputs(", with other settings or data<ul>", out);
        for (const Json *line = difference && difference->kind == JSON_ARRAY ? difference->child : NULL; line && lines < CHANGE_LINES;
             line = line->next, lines++) {
            fputs("<li><bdi>", out);
            if (line->kind == JSON_STRING)
                page_text(out, line->string, line->length, SHORT_TEXT);
            fputs("</bdi></li>", out);
        }
        fputs(difference && difference->kind == JSON_ARRAY && difference->length > CHANGE_LINES ? "<li>\xE2\x80\xA6</li></ul></li>\n"
                                                                                                : "</ul></li>\n",
              out);
    }
    fputs("</ol>\n", out);
    if (run->n_changes > n)
        fprintf(out, "<p class=\"small\">The last %d of %" PRId64 " changes are shown.</p>\n", n, run->n_changes);
}

static void put_machine(FILE *out, const ReportRun *run)
{
    int n = 0;
    if (!run->environment)
        return;
    fputs("<h3>Machine</h3>\n<dl class=\"pairs\">\n", out);
    for (const Json *m = json_root(run->environment)->child; m && n < SKIPS_MAX; m = m->next) {
        char buf[128];
        if (m->kind == JSON_OBJECT)
            continue;
        n++;
        fputs("<dt>", out);
        page_word(out, m->key);
        fputs("</dt><dd><bdi>", out);
        int parts = 0;
        for (const Json *part = m->kind == JSON_ARRAY ? m->child : m; part && parts < SKIPS_MAX;
             part = m->kind == JSON_ARRAY ? part->next : NULL, parts++) {
            fputs(parts ? ", " : "", out);
            if (part->kind == JSON_STRING)
                page_text(out, part->string, part->length, SHORT_TEXT);
            else
                page_word(out, json_show(part, buf, sizeof buf));
        }
        fputs("</bdi></dd>\n", out);
    }
    fputs("</dl>\n", out);
}

static void put_checkpoints(FILE *out, const ReportRun *run)
{
    char buf[48];
    if (!run->n_checkpoints)
        return;
    fputs("<h3>Checkpoints</h3>\n<p>after step ", out);
    for (int i = 0; i < run->n_checkpoints; i++)
        fprintf(out, "%s%s", i ? ", " : "", report_count(buf, run->checkpoints[i]));
    fputs("</p>\n", out);
}

static Status put_command(void *arg, const char *what, const char *command)
{
    FILE *out = arg;
    fprintf(out, "<li>%s<pre><code>", what);
    page_text(out, command, strlen(command), 4 * SHORT_TEXT);
    fputs("</code></pre></li>\n", out);
    return OK;
}

static Status put_rest(const ReportShow *show, const ReportRun *run, FILE *out)
{
    if (show->n > 1) {
        fputs("<details><summary><bdi>", out);
        page_word(out, run->name);
        fputs("</bdi></summary>\n", out);
    }
    put_data(out, run);
    put_skips(out, run);
    put_history(out, run);
    put_checkpoints(out, run);
    put_machine(out, run);
    fputs("<h3>How to go on</h3>\n<ul class=\"commands\">\n", out);
    TRY(report_commands(run, show->prefix, put_command, out));
    fputs(show->n > 1 ? "</ul></details>\n" : "</ul>\n", out);
    return OK;
}

Status report_page(const ReportShow *show, FILE *out)
{
    TRY(put_head(show, out));
    if (show->n == 1) {
        put_title(show->runs, out);
        put_tiles(show->runs, out);
    } else {
        put_comparison(show, out);
    }
    fputs("<main>\n", out);
    put_notes(show, out);
    TRY(put_charts(show, out));
    TRY(put_samples(show, out));
    TRY(put_settings(show, out));
    fprintf(out, "<section id=\"rest\"><h2>The run%s</h2>\n", show->n > 1 ? "s" : "");
    for (int i = 0; i < show->n; i++)
        TRY(put_rest(show, &show->runs[i], out));
    fprintf(out, "</section>\n</main>\n<div id=\"tip\" hidden></div>\n<script>%s</script>\n</body>\n</html>\n", REPORT_SCRIPT);
    return OK;
}
