/* report.h: what report knows of runs, and the parts that show it. Private to tools/report. Everything in a run folder is a stranger's:
 * files are opened inside.h's way, sizes are bounded, and no text goes to a page or a terminal but through page_text or terminal.c. */
#ifndef GENLLAVA_TOOLS_REPORT_REPORT_H
#define GENLLAVA_TOOLS_REPORT_REPORT_H

#include <stdio.h>
#include <sys/types.h>

#include "data/formats/json_write.h"

enum {
    REPORT_RUNS = 8,
    CURVE_COLUMNS = 1024, /* of a curve, whatever the number of steps */
    CURVES_MAX = 64,      /* numbers of a step that are followed */
    SKIPS_MAX = 64,       /* skipped steps, changes, bad rows and checkpoints that are named */
    CHANGES_MAX = 16,
    BAD_ROWS_MAX = 8,
    CHECKPOINTS_MAX = 64,
    SAMPLE_STEPS = 8, /* of a run's samples: columns of the grid, and its rows */
    SAMPLE_PROMPTS = 16,
    CHART_SERIES = 16,
    FACTS_MAX = 16
};

/* ---- train.jsonl (curves.c) */

/* Steps that share a place on a curve. */
typedef struct Column {
    int64_t n; /* of them that have the number */
    double sum, low, high;
} Column;
typedef struct Curve {
    char key[64];
    Column *columns; /* [CURVE_COLUMNS] */
    int64_t n;
    double sum, first, last, low, high;
    int64_t first_step, last_step, low_step, high_step;
} Curve;

typedef struct Curves {
    Curve list[CURVES_MAX];
    int n, left_out;    /* left_out: keys beyond CURVES_MAX */
    int64_t per_column; /* steps: column i holds i·per_column … (i+1)·per_column - 1 */
    int64_t steps;      /* lines of steps */
    int64_t damaged;    /* lines that are none */
    char damage[256];   /* what is wrong with the first of them */
    int64_t first_step, last_step;
    double seconds;
    int64_t samples, tokens, images;
    int64_t skipped_steps, skipped_samples;
    int64_t skips[SKIPS_MAX]; /* the first steps that were skipped */
    int n_skips;
} Curves;

/* Reads the log. Memory does not grow with its steps. */
MUST_USE Status curves_read(Curves *c, const char *path);
void curves_free(Curves *c);
const Curve *curves_find(const Curves *c, const char *key); /* NULL: no step has it */
/* The mean over the last fortieth of the steps: where a curve of scattered numbers has come to. */
double curve_end(const Curves *c, const Curve *curve);
/* The columns of a curve with so many steps in each, a power of two and not below c->per_column; returns how many there are.
 * out: [CURVE_COLUMNS]. */
int curve_fold(Column *out, const Curves *c, const Curve *curve, int64_t per_column);

/* ---- samples/ (samples.c) */
typedef struct SampleCell {
    char *text; /* the answer; NULL: none */
    size_t n;
    bool expected; /* it is what was expected */
    char picture[256];
} SampleCell;
typedef struct SamplePromptRow {
    const char *key; /* "ask", "draw" or "edit" */
    char *text, *expected, image[256];
    size_t n_text, n_expected;
    SampleCell cells[SAMPLE_STEPS];
} SamplePromptRow;
typedef struct ReportSamples {
    int64_t steps[SAMPLE_STEPS];
    int n_steps, n_all, n_rows, n_prompts; /* n_all: steps that have samples; n_prompts: prompts of the last */
    SamplePromptRow rows[SAMPLE_PROMPTS];
} ReportSamples;
struct ReportRun;
MUST_USE Status report_samples_read(struct ReportRun *run);
void report_samples_free(ReportSamples *s);
/* A picture of a step as a data URI, scaled down to at most 128 pixels a side and, further, to about `most` letters; *uri: mem_free, NULL:
 * it cannot be shown. */
MUST_USE Status report_picture(char **uri, int *width, int *height, const struct ReportRun *run, int64_t step, const char *name,
                               size_t most);

/* ---- a run (run.c) */
typedef struct ReportRun {
    const char *folder; /* as it was named */
    char *name;
    JsonDoc *config, *environment, *prepared; /* NULL: not there. prepared: the head of the shards' manifest */
    Curves *curves;
    ReportSamples samples;
    JsonDoc *changes[CHANGES_MAX]; /* lines of history.jsonl, the newest */
    int64_t n_changes;             /* all of them */
    JsonDoc *bad_rows[BAD_ROWS_MAX];
    int n_bad_rows;
    int64_t checkpoints[CHECKPOINTS_MAX]; /* steps, the newest */
    int n_checkpoints;
    bool going_on;  /* a process holds its lock */
    bool has_board; /* tb/ */
    int64_t total;  /* steps of the run; 0: not known */
    time_t written; /* when train.jsonl was */
    char *notes;    /* what is damaged or was not looked at, a line each */
    size_t n_notes;
    FILE *noting;
    char unread[256]; /* the first file that the disk does not give, and why; "": none */
} ReportRun;
/* Whether it is a run's folder at all. */
MUST_USE Status report_check(const char *folder);
MUST_USE Status report_read(ReportRun *run, const char *folder);
void report_free(ReportRun *run);
/* Adds a line to what the report says is damaged. */
void report_note(ReportRun *run, const char *format, ...) PRINTF_LIKE(2, 3);
/* A number of a JSON object, or `absent`. */
int64_t report_int(const Json *object, const char *key, int64_t absent);

/* ---- what is told of runs, whatever it is shown with (facts.c, settings.c, charts.c) */
typedef struct Fact {
    const char *label;
    char value[128], note[128]; /* note: in small print */
} Fact;
int report_facts(Fact facts[FACTS_MAX], const ReportRun *run);
/* What a run's state is: "finished", "going on", … */
const char *report_state(const ReportRun *run);

/* prefix: the folder of the programs, or "": they are called as genllava NAME. Calls visit with what each command line does. */
typedef Status (*CommandVisit)(void *arg, const char *what, const char *command);
MUST_USE Status report_commands(const ReportRun *run, const char *prefix, CommandVisit visit, void *arg);

/* Calls visit with each setting that is not at its default (of one run), or that is not the same in all. values: of each run, as people
 * read it; "" where it has none. help: NULL for a key that this version does not know. fallback: the default, or "". */
typedef Status (*SettingVisit)(void *arg, const char *key, const char *help, const char *fallback, char *const values[REPORT_RUNS]);
MUST_USE Status report_settings(const ReportRun *runs, int n, SettingVisit visit, void *arg);

typedef struct Series {
    const ReportRun *run;
    const Curve *curve;
    const char *label;
    int style;
} Series;
typedef struct Chart {
    char title[96];
    const char *note; /* or NULL */
    Series series[CHART_SERIES];
    int n;
    bool noisy; /* a step's number says less than the trend of many */
    bool rates; /* the highest says more than the last */
    bool steep; /* a few numbers may lie far above all others */
    bool main;  /* the one to look at first */
    bool is_score;
} Chart;
/* Calls visit with each chart, in order. */
typedef Status (*ChartVisit)(void *arg, const Chart *chart);
MUST_USE Status report_charts(const ReportRun *runs, int n, ChartVisit visit, void *arg);

/* What is told beside a curve's name: "0.25" or "up to 0.002", into buf. */
char *report_end(char buf[48], const Chart *chart, const Series *series);

/* Numbers for people, into buf. */
char *report_number(char buf[48], double value);
char *report_count(char buf[48], int64_t n);         /* "1,234,567" */
char *report_duration(char buf[48], double seconds); /* "1 h 02 min" */

/* ---- shown (page.c, plot.c, page_files.c; terminal.c) */
typedef struct ReportShow {
    const ReportRun *runs;
    int n;
    const char *prefix;
    int columns; /* of the terminal */
    bool utf8;
} ReportShow;
MUST_USE Status report_page(const ReportShow *show, FILE *out);
MUST_USE Status report_terminal(const ReportShow *show, FILE *out);

/* Text inside of HTML: markup, control characters and characters that turn lines around are shown, not obeyed; at most about `most` bytes.
 */
void page_text(FILE *out, const char *text, size_t n, size_t most);
void page_word(FILE *out, const char *text); /* a short one */
/* A chart with its legend and its numbers. columns: of each curve, at most. */
MUST_USE Status plot_write(FILE *out, const Chart *chart, int number, int columns);
extern const char REPORT_STYLE[], REPORT_SCRIPT[]; /* page.css, page.js */
#endif
