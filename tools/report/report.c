/* report: a run, or several beside each other, as a page to look at or for a terminal. */
#include "tools/report/report.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/mistakes.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"

enum { TERMINAL_COLUMNS = 80, COLUMNS_LEAST = 40, COLUMNS_MOST = 240 };

/* Whether texts may have other letters than those of ASCII, as the locale says. */
static bool speaks_utf8(void)
{
    static const char *const NAMES[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        const char *value = getenv(NAMES[i]);
        if (value && *value)
            return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
    }
    return false;
}

static int find_columns(void)
{
    struct winsize w;
    const char *said = getenv("COLUMNS");
    int columns = said ? (int)strtol(said, NULL, 10) : 0;
    if (!columns && isatty(STDOUT_FILENO) && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &w))
        columns = w.ws_col;
    columns = columns > 0 ? columns : TERMINAL_COLUMNS;
    return columns < COLUMNS_LEAST ? COLUMNS_LEAST : columns > COLUMNS_MOST ? COLUMNS_MOST : columns;
}

/* The folder that this program was called from, so that the commands it tells can be called alike; "" for a name without one, as genllava
 * gives it. */
static void find_prefix(char prefix[PATH_MAX], const char *program)
{
    if (strchr(program, '/'))
        file_folder(prefix, program);
    else
        *prefix = 0;
}

static Status write_page(void *arg, FILE *out) { return report_page(arg, out); }
static Status write_text(void *arg, FILE *out) { return report_terminal(arg, out); }

static Status check_words(const CliList *words, const char *out, bool text)
{
    static const char *const READ[] = {"train.jsonl", "config.resolved.json", "environment.json", "history.jsonl"};
    if (!words->n)
        return fail(ERR_USAGE, "no run to look at: give its folder, as train leaves it in save.dir/name; report --help says more");
    if (!out && !text)
        return fail(ERR_USAGE, "--out FILE.html is missing: where the page goes (\"-\": standard output); --format text needs none");
    for (int i = 0; out && i < words->n; i++)
        for (size_t k = 0; k < sizeof READ / sizeof *READ; k++) {
            char path[PATH_MAX];
            TRY(file_spare("--out", out, file_join(path, words->items[i], READ[k]), "a file of the run"));
        }
    return OK;
}

/* Of several words, as a shell makes of runs/…, what is no run is said and left out; it is an error where no run is left. */
static Status choose_runs(CliList *runs, const CliList *words)
{
    Mistakes others = {.n = 0};
    Status first = OK;
    for (int i = 0; i < words->n; i++) {
        const Status s = report_check(words->items[i]);
        if (!s)
            runs->items[runs->n++] = words->items[i];
        else
            mistakes_add_line(&others, status_message());
        first = first ? first : s;
    }
    first = mistakes_end(&others, first, "report");
    if (runs->n > REPORT_RUNS)
        return fail(ERR_USAGE, "%d runs were given, at most %d stand beside each other", runs->n, REPORT_RUNS);
    if (first && runs->n)
        log_warn("left out: %s", status_message());
    return runs->n ? OK : first;
}

static Status make_report(const CliList *words, const char *out, bool text, const char *program)
{
    ReportRun runs[REPORT_RUNS] = {{0}};
    char prefix[PATH_MAX];
    find_prefix(prefix, program);
    ReportShow show = {.runs = runs, .prefix = prefix, .columns = find_columns(), .utf8 = speaks_utf8()};
    Status s = OK;
    for (; show.n < words->n && !s; show.n++)
        s = report_read(&runs[show.n], words->items[show.n]);
    if (!s)
        s = file_deliver(out ? out : "-", text ? write_text : write_page, &show);
    if (!s && out && strcmp(out, "-"))
        log_info("%s: open it in a browser", out);
    for (int i = 0; i < show.n && !s; i++)
        if (*runs[i].unread)
            s = fail(ERR_IO, "%s/%s; the report lacks what is in it", runs[i].folder, runs[i].unread);
    for (int i = 0; i < show.n; i++)
        report_free(&runs[i]);
    return s;
}

int main(int argc, char **argv)
{
    static const char *const FORMATS[] = {"html", "text", NULL};
    CliList words = {.n = 0}, runs = {.n = 0};
    const char *out = NULL;
    int format = 0;
    bool done = false, quiet = false;
    const CliOption options[] = {
        {"--out", CLI_STRING, &out, "FILE", "Where the report goes (\"-\": standard output, where --format text goes "
                                               "by itself).", 0,
         0, NULL, false},
        {"--format", CLI_CHOICE, &format, "html|text", "A page for a browser, which needs nothing else, or text as wide as the "
                                                          "terminal.", 0,
         0, FORMATS, false},
        {"--quiet", CLI_FLAG, &quiet, NULL, "Only warnings and errors.", 0, 0, NULL, false},
        {0},
    };
    const CliProgram program = {
        .name = "report",
        .summary = "Shows a run: curves of losses, learning rates and speed, samples, settings, time and machine, what was damaged or left "
                   "out, and how to go on; or up to eight runs beside each other.",
        .usage = "report RUN … --out FILE.html\n       report RUN … --format text",
        .options = options,
        .positional = "RUN",
        .words = &words,
        .notes = "RUN is a run's folder. It may still go on, or be damaged: what cannot be read is left out, and the report says so "
                 "(exit code 74 where a disk gave an error). Of several words those that are no runs are left out.",
    };
    cli_start();
    Status s = cli_parse(&program, argc, argv, &done);
    if (s || done)
        return cli_finish(s);
    if (quiet)
        log_level(LOG_WARN);
    s = check_words(&words, out, format == 1);
    s = s ? s : choose_runs(&runs, &words);
    return cli_finish(s ? s : make_report(&runs, out, format == 1, argv[0]));
}
