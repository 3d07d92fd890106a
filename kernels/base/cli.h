/* cli.h: command lines. A program describes its flags in one table; parsing, checks, "did you mean" and --help come from it. */
#ifndef GENLLAVA_KERNELS_BASE_CLI_H
#define GENLLAVA_KERNELS_BASE_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "kernels/base/status.h"

typedef enum CliKind {
    CLI_FLAG,     /* bool *: given or not */
    CLI_STRING,   /* const char ** */
    CLI_STRINGS,  /* CliList *: repeatable, or several words after one flag when `many` */
    CLI_INT,      /* int64_t *, low … high */
    CLI_REAL,     /* double *, low … high */
    CLI_CHOICE,   /* int *: index into names */
    CLI_OPTIONAL, /* const char **: a value may follow; "" when none does */
    CLI_REST,     /* CliRest *: all words that follow, whatever they look like */
    CLI_HEADING,  /* a line of --help between groups: only `help` is used */
    CLI_COMMAND   /* a first word that the program itself understands (or several with the same commands, blanks between): shown only */
} CliKind;

enum { CLI_MAX_STRINGS = 4096, CLI_VERSION_COLUMNS = 22 };
typedef struct CliList {
    const char *items[CLI_MAX_STRINGS];
    int n;
} CliList;

typedef struct CliRest {
    const char *const *words; /* NULL: the option is not given */
    int n;
} CliRest;

typedef struct CliOption {
    const char *name; /* "--config" */
    CliKind kind;
    void *value;
    const char *argument;     /* as --help shows it: "FILE" */
    const char *help;         /* one sentence, wrapped to the terminal */
    double low, high;         /* CLI_INT, CLI_REAL; both 0: no bounds */
    const char *const *names; /* NULL-terminated: of CLI_CHOICE all that it takes; of others what completion offers */
    bool many;
} CliOption;

typedef struct CliProgram {
    const char *name;         /* "generate" */
    const char *summary;      /* a sentence */
    const char *usage;        /* lines after "usage: ", each beginning with the program's name */
    const CliOption *options; /* ends with a zeroed entry */
    const char *positional;   /* what words without a flag are called ("FILE"), or NULL when there are none */
    CliList *words;
    const char *notes;           /* printed at the end of --help, or NULL */
    void (*found)(FILE *out);    /* prints lines of --version about what is found at run time, or NULL */
    void (*describe)(FILE *out); /* prints rows of --describe about more than options, or NULL */
} CliProgram;

/* What a program's table says, for the scripts of tools/manual, which make manual pages and completion of it: what the hidden option
 * --describe prints. A row a line, fields between tabs: program, summary, usage, words, heading, option, command, notes; here are the
 * fields of each. */
void cli_describe(const CliProgram *p, FILE *out);
/* What main does first. Of the standard descriptors those that are closed are taken by /dev/null, opened so that writing results fails: no
 * file of the program's gets their number and, with it, its messages. Files over a size limit and pipes that nobody reads show as errors of
 * writing, not as signals. As many files may be open as the hard limit allows. */
void cli_start(void);
/* Parses; --help and --version are understood everywhere and set *done (they print to stdout), and --log-format is (log.h). Both "--key
 * value" and "--key=value". Mistakes: ERR_USAGE with a sentence. */
MUST_USE Status cli_parse(const CliProgram *p, int argc, char **argv, bool *done);
/* Prints text wrapped at the width of the terminal behind stdout, between 40 and 120 columns, each line indented; the first line is taken
 * to begin at column `column`. */
void cli_wrap(const char *text, int indent, int column);
/* Whether the results so far could be written: ERR_IO, "standard output: …". */
MUST_USE Status cli_flush(void);
/* Ends a program: closes stdout (results that could not be written are a failure, ERR_IO), prints the sentence of a failure to stderr and
 * returns the exit code. Use as main's return value. Where the reader of the results has gone the program ends by SIGPIPE, as others do. */
int cli_finish(Status s);
/* How long OpenMP's threads spin for the next piece of work before they sleep is read from the environment when the library is loaded,
 * before main. Sets a short time and starts the program again in its place, unless the environment says something already; then it
 * returns. */
void cli_settle_threads(char **argv);
/* The candidate nearest to `word` by edit distance, or NULL when none is close. */
const char *cli_nearest(const char *word, const char *const *candidates, int n);

extern const char GENLLAVA_VERSION[];
#endif
