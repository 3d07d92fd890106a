/* cli.c: parses a command line by a program's table and prints its --help (cli.h). */
#include "kernels/base/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kernels/base/built_with.h"
#include "kernels/base/log.h"
#include "kernels/base/utf8.h"

const char GENLLAVA_VERSION[] = "0.1.0";

static bool pipes_end_us; /* whoever started the program wants SIGPIPE to do what it does */

/* Columns of the terminal behind stdout, 80 when unknown. */
static int find_width(void)
{
    struct winsize w;
    int columns = 80;
    if (isatty(STDOUT_FILENO) && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) && w.ws_col)
        columns = w.ws_col;
    return columns < 40 ? 40 : columns > 120 ? 120 : columns;
}

void cli_wrap(const char *text, int indent, int column)
{
    int width = find_width();
    while (*text) {
        int n = (int)strcspn(text, " \n"), columns = utf8_columns(text, (size_t)n);
        if (column > indent && column + 1 + columns > width) {
            fputc('\n', stdout);
            column = 0;
        }
        if (column < indent) {
            fprintf(stdout, "%*s", indent - column, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', stdout);
            column++;
        }
        fprintf(stdout, "%.*s", n, text);
        column += columns;
        text += n;
        if (*text == '\n')
            column = (fputc('\n', stdout), 0);
        if (*text)
            text++;
    }
    fputc('\n', stdout);
}

static const char *const FORMATS[] = {"text", "json", NULL};

/* Which every program has. */
static const CliOption COMMON[] = {
    {"--log-format", CLI_CHOICE, NULL, "text|json", "how messages are written", 0, 0, FORMATS, false},
    {"--version", CLI_FLAG, NULL, NULL, "print the version, and those of the libraries, and end", 0, 0, NULL, false},
    {"--help", CLI_FLAG, NULL, NULL, "print this and end", 0, 0, NULL, false},
    {0},
};

/* What stands over them where they would follow words that are no options. */
static const char IN_GENERAL[] = "In general:";

static bool ends_with_commands(const CliProgram *p)
{
    const CliOption *last = NULL;
    for (const CliOption *o = p->options; o->help; o++)
        last = o;
    return last && last->kind == CLI_COMMAND;
}

static void print_option(const CliOption *o)
{
    enum { INDENT = 28 };
    const char *argument = o->argument ? o->argument : "";
    fprintf(stdout, "  %s%s%s", o->name, *argument ? " " : "", argument);
    int column = 2 + (int)strlen(o->name) + !!*argument + utf8_columns(argument, strlen(argument));
    if (column > INDENT - 2)
        column = (fputc('\n', stdout), 0);
    cli_wrap(o->help, INDENT, column);
}

static void print_help(const CliProgram *p)
{
    cli_wrap(p->summary, 0, 0);
    fprintf(stdout, "\nusage: %s\n\n", p->usage);
    for (const CliOption *o = p->options; o->help; o++)
        if (o->kind == CLI_HEADING)
            fprintf(stdout, "%s%s\n", o == p->options ? "" : "\n", o->help);
        else
            print_option(o);
    if (ends_with_commands(p))
        fprintf(stdout, "\n%s\n", IN_GENERAL);
    for (const CliOption *o = COMMON; o->help; o++)
        print_option(o);
    if (p->notes) {
        fputc('\n', stdout);
        cli_wrap(p->notes, 0, 0);
    }
}

/* A row for each line of the text. */
static void describe_lines(FILE *out, const char *row, const char *text)
{
    while (*text) {
        int n = (int)strcspn(text, "\n");
        fprintf(out, "%s\t%.*s\n", row, n, text);
        text += n + !!text[n];
    }
}

/* "option", its name, kind, argument, sentence, and values with blanks between. */
static void describe_option(FILE *out, const CliOption *o)
{
    static const char *const KINDS[] = {
        [CLI_FLAG] = "flag", [CLI_STRING] = "one",    [CLI_STRINGS] = "one",       [CLI_INT] = "one",
        [CLI_REAL] = "one",  [CLI_CHOICE] = "one",    [CLI_OPTIONAL] = "optional", [CLI_REST] = "many",
    };
    if (o->kind == CLI_HEADING)
        fprintf(out, "heading\t%s\n", o->help);
    else if (o->kind == CLI_COMMAND)
        fprintf(out, "command\t%s\t%s\n", o->name, o->help);
    else {
        fprintf(out, "option\t%s\t%s\t%s\t%s\t", o->name, o->many ? "many" : KINDS[o->kind], o->argument ? o->argument : "", o->help);
        for (int i = 0; o->names && o->names[i]; i++)
            fprintf(out, "%s%s", i ? " " : "", o->names[i]);
        fputc('\n', out);
    }
}

void cli_describe(const CliProgram *p, FILE *out)
{
    fprintf(out, "program\t%s\t%s\nsummary\t%s\n", p->name, GENLLAVA_VERSION, p->summary);
    describe_lines(out, "usage", p->usage);
    if (p->positional)
        fprintf(out, "words\t%s\n", p->positional);
    for (const CliOption *o = p->options; o->help; o++)
        describe_option(out, o);
    if (p->describe)
        p->describe(out);
    if (ends_with_commands(p))
        fprintf(out, "heading\t%s\n", IN_GENERAL);
    for (const CliOption *o = COMMON; o->help; o++)
        describe_option(out, o);
    describe_lines(out, "notes", p->notes ? p->notes : "");
}

static void print_versions(const CliProgram *p)
{
    fprintf(stdout, "GenLLaVA %s %s\n", p->name, GENLLAVA_VERSION);
    built_with_print(stdout);
    if (p->found)
        p->found(stdout);
}

static int distance(const char *a, const char *b)
{
    enum { MOST = 64 };
    int n = (int)strlen(b), row[MOST + 1];
    if (n > MOST || strlen(a) > MOST)
        return MOST;
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            int gap = 1 + (row[j] < row[j - 1] ? row[j] : row[j - 1]);
            row[j] = change < gap ? change : gap;
        }
    }
    return row[n];
}

const char *cli_nearest(const char *word, const char *const *candidates, int n)
{
    const char *best = NULL;
    int least = (int)strlen(word) / 3 + 2;
    for (int i = 0; i < n; i++) {
        bool begun = strlen(word) > 2 && !strncmp(candidates[i], word, strlen(word)); /* only its end is missing */
        int d = begun ? 0 : distance(word, candidates[i]);
        if (d < least) {
            least = d;
            best = candidates[i];
        }
    }
    return best;
}

static Status unknown(const CliProgram *p, const char *word, size_t n)
{
    const char *names[128];
    char given[128];
    int count = 0;
    for (const CliOption *o = p->options; o->help && count < 125; o++)
        if (o->name && o->kind != CLI_COMMAND)
            names[count++] = o->name;
    for (const CliOption *o = COMMON; o->help; o++)
        names[count++] = o->name;
    snprintf(given, sizeof given, "%.*s", (int)n, word);
    const char *near = cli_nearest(given, names, count);
    if (near)
        return fail(ERR_USAGE, "%s: unknown option %s (did you mean %s?); %s --help lists them", p->name, given, near, p->name);
    return fail(ERR_USAGE, "%s: unknown option %s; %s --help lists them", p->name, given, p->name);
}

static Status set_number(const CliProgram *p, const CliOption *o, const char *text)
{
    char *end;
    errno = 0;
    bool whole = o->kind == CLI_INT, bounded = o->low != 0 || o->high != 0;
    long long i = 0;
    double v;
    if (whole)
        v = (double)(i = strtoll(text, &end, 10));
    else
        v = strtod(text, &end);
    if (end == text || *end || errno || v != v || (bounded && (v < o->low || v > o->high))) {
        char range[96] = "";
        if (bounded)
            snprintf(range, sizeof range, " from %.15g to %.15g", o->low, o->high);
        return fail(ERR_USAGE, "%s: %s is \"%s\"; it takes %s%s", p->name, o->name, text, whole ? "an integer" : "a number", range);
    }
    if (whole)
        *(int64_t *)o->value = i;
    else
        *(double *)o->value = v;
    return OK;
}

static Status set_choice(const CliProgram *p, const CliOption *o, const char *text)
{
    char allowed[256] = "";
    int i = 0;
    for (; o->names[i]; i++) {
        if (!strcmp(o->names[i], text)) {
            *(int *)o->value = i;
            return OK;
        }
        size_t n = strlen(allowed);
        snprintf(allowed + n, sizeof allowed - n, "%s%s", i ? ", " : "", o->names[i]);
    }
    const char *near = cli_nearest(text, o->names, i);
    return fail(ERR_USAGE, "%s: %s is \"%s\"; it takes one of %s%s%s%s", p->name, o->name, text, allowed, near ? " (did you mean " : "",
                near ? near : "", near ? "?)" : "");
}

static Status add_string(const CliProgram *p, CliList *list, const char *text)
{
    if (list->n == CLI_MAX_STRINGS)
        return fail(ERR_USAGE, "%s: more than %d words at %s", p->name, CLI_MAX_STRINGS, text);
    list->items[list->n++] = text;
    return OK;
}

static bool is_flag(const char *word) { return word && word[0] == '-' && word[1] == '-' && word[2]; }

/* Sets one option; value is what follows "=", or NULL. *i is advanced past the words taken. */
static Status set_option(const CliProgram *p, const CliOption *o, const char *value, int argc, char **argv, int *i)
{
    const char *next = *i + 1 < argc ? argv[*i + 1] : NULL;
    if (o->kind == CLI_FLAG || o->kind == CLI_REST) {
        if (value)
            return fail(ERR_USAGE, "%s: %s takes no value", p->name, o->name);
        *(bool *)o->value = true;
        return OK;
    }
    if (o->kind == CLI_OPTIONAL) {
        if (!value)
            value = next && !is_flag(next) ? argv[++*i] : "";
        *(const char **)o->value = value;
        return OK;
    }
    if (!value) {
        if (!next || is_flag(next))
            return fail(ERR_USAGE, "%s: %s needs %s after it", p->name, o->name, o->argument ? o->argument : "a value");
        value = argv[++*i];
    }
    switch (o->kind) {
    case CLI_STRING: *(const char **)o->value = value; return OK;
    case CLI_INT:
    case CLI_REAL: return set_number(p, o, value);
    case CLI_CHOICE: return set_choice(p, o, value);
    default: break;
    }
    TRY(add_string(p, o->value, value));
    while (o->many && *i + 1 < argc && !is_flag(argv[*i + 1]))
        TRY(add_string(p, o->value, argv[++*i]));
    return OK;
}

static Status set_format(const CliProgram *p, const char *value, int argc, char **argv, int *i)
{
    int format = 0;
    CliOption o = COMMON[0];
    o.value = &format;
    TRY(set_option(p, &o, value, argc, argv, i));
    log_format(format == 1);
    return OK;
}

Status cli_parse(const CliProgram *p, int argc, char **argv, bool *done)
{
    *done = false;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
            print_help(p);
            *done = true;
            return OK;
        }
        if (!strcmp(word, "--version")) {
            print_versions(p);
            *done = true;
            return OK;
        }
        if (!strcmp(word, "--describe")) {
            cli_describe(p, stdout);
            *done = true;
            return OK;
        }
        if (!is_flag(word)) {
            if (!p->positional)
                return fail(ERR_USAGE, "%s: \"%s\" does not belong to an option; %s --help shows the usage", p->name, word, p->name);
            TRY(add_string(p, p->words, word));
            continue;
        }
        size_t n = strcspn(word, "=");
        if (n == strlen("--log-format") && !strncmp(word, "--log-format", n)) {
            TRY(set_format(p, word[n] ? word + n + 1 : NULL, argc, argv, &i));
            continue;
        }
        const CliOption *found = NULL;
        for (const CliOption *o = p->options; o->help; o++)
            if (o->name && strlen(o->name) == n && !strncmp(o->name, word, n))
                found = o;
        if (!found)
            return unknown(p, word, n);
        if (found->kind == CLI_REST && !word[n]) {
            *(CliRest *)found->value = (CliRest){(const char *const *)argv + i + 1, argc - i - 1};
            return OK;
        }
        TRY(set_option(p, found, word[n] ? word + n + 1 : NULL, argc, argv, &i));
    }
    return OK;
}

/* libgomp's own choice, a millisecond of spinning, makes a run ten times slower beside another busy process (measured: 16 small steps 10 s,
 * with this 1 s); about 30 us cost an idle machine nothing. */
static const char SPIN[] = "10000";

void cli_settle_threads(char **argv)
{
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY") || setenv("GOMP_SPINCOUNT", SPIN, 1))
        return;
    if (pipes_end_us)
        signal(SIGPIPE, SIG_DFL); /* as it was found */
    execv("/proc/self/exe", argv);
    signal(SIGPIPE, SIG_IGN); /* it failed: the program just goes on as it is */
}

/* ---------------------------------------------------------------- beginning and end */

void cli_start(void)
{
    bool opened = true;
    for (int fd = 0; fd <= 2 && opened; fd++) /* open takes the lowest number that is free */
        opened = fcntl(fd, F_GETFD) >= 0 || open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) == fd;
    pipes_end_us = signal(SIGPIPE, SIG_IGN) == SIG_DFL;
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files); /* refused: as many as before */
    }
}

Status cli_flush(void)
{
    errno = 0;
    bool failed = fflush(stdout) || ferror(stdout); /* what failed before has left no errno */
    return failed ? fail(ERR_IO, "standard output: %s", errno ? strerror(errno) : "the results could not be written") : OK;
}

static bool reader_has_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};
    return poll(&out, 1, 0) == 1 && out.revents & POLLERR;
}

int cli_finish(Status s)
{
    log_progress_end();
    if (s == OK)
        s = cli_flush();
    if (s == OK && fclose(stdout)) /* some file systems tell only now */
        s = fail(ERR_IO, "standard output: %s", strerror(errno));
    if (s == ERR_IO && pipes_end_us && reader_has_gone()) {
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    if (s != OK && s != ERR_PREEMPTED)
        log_error("%s", status_message());
    return status_exit_code(s);
}
