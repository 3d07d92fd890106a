/* stats.c: `curate stats`: what is in files of records: tasks, sources, licences and the most frequent instructions. Texts are not kept:
 * of each the place of its first record is, and it is read again there. Called by curate. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "data/curate/commands.h"
#include "data/curate/gate.h"
#include "data/curate/ids.h"
#include "data/curate/record_line.h"
#include "data/curate/tally.h"
#include "data/formats/json_write.h"
#include "data/formats/line_file.h"
#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"
#include "kernels/base/utf8.h"

typedef struct Flags {
    CliList files;
    int format;
    bool quiet;
} Flags;

static Status parse(Flags *f, int argc, char **argv, bool *done)
{
    const CliOption options[] = {
        TALLY_CLI_OPTIONS(*f),
        {0},
    };
    const CliProgram program = {
        .name = "curate stats",
        .summary = "Counts unified records: by task, source and licence, and how often an instruction comes.",
        .usage = "curate stats FILE…",
        .options = options,
        .positional = "FILE",
        .words = &f->files,
    };
    return cli_parse(&program, argc, argv, done);
}

/* ---------------------------------------------------------------- counting */

/* What records are counted by. */
typedef enum Kind { BY_SOURCE, BY_LICENSE, BY_INSTRUCTION, N_COUNTS } Kind;

typedef struct Count {
    int64_t n;
    size_t number; /* in the order of their first records */
    LinePlace first;
} Count;

typedef struct Counts {
    Table names;
    Count *counts;
    size_t room;
} Counts;

typedef struct Stats {
    LineFiles files;
    int64_t records, tasks[N_TASKS];
    Counts by[N_COUNTS];
    RecordLine line;
    LineText read;   /* a line that is read again */
    LineText normal; /* an instruction, normalised */
} Stats;

/* What a record is counted under; *n is set too. NULL: not at all. */
static Status find_name(Stats *s, Kind kind, const RecordLine *line, const char **name, size_t *n)
{
    const Record *rec = &line->record;
    const RecordTurn *turn = rec->task == TASK_UNDERSTAND ? NULL : gate_instruction(rec);
    *name = NULL;
    if (kind != BY_INSTRUCTION) {
        *name = kind == BY_SOURCE ? line->source : rec->prov.license;
        *name = *name ? *name : "";
        *n = strlen(*name);
    } else if (turn) {
        if (turn->length + 1 > s->normal.room) {
            char *grown = mem_grow(s->normal.text, 2 * turn->length + 1);
            if (!grown)
                return fail(ERR_NOMEM, "no memory for an instruction of %zu bytes", turn->length);
            s->normal = (LineText){grown, 2 * turn->length + 1};
        }
        *n = record_comparable(s->normal.text, turn->text, turn->length, GATE_CLOSING);
        *name = s->normal.text;
    }
    return OK;
}

static Status count(Stats *s, Kind kind, const LinePlace *place)
{
    Counts *c = &s->by[kind];
    const char *name;
    size_t number, n = 0;
    bool added;
    TRY(find_name(s, kind, &s->line, &name, &n));
    if (!name)
        return OK;
    c->names.kind = TABLE_64;
    TRY_IN(table_number(&c->names, ids_key(name, n), &number, &added), "names");
    if (number >= c->room) {
        const size_t room = 2 * number + 64;
        Count *grown = mem_grow(c->counts, room * sizeof *grown);
        if (!grown)
            return fail(ERR_NOMEM, "no memory to count %zu names", room);
        c->counts = grown;
        c->room = room;
    }
    if (added)
        c->counts[number] = (Count){0, number, *place};
    c->counts[number].n++;
    return OK;
}

static Status count_row(Stats *s, const Row *row, int file)
{
    const LinePlace place = {row->start, (uint32_t)row->n, (uint32_t)file};
    TRY(record_line_read(&s->line, row, s->files.files[file].name));
    s->records++;
    s->tasks[s->line.record.task]++;
    for (Kind k = 0; k < N_COUNTS; k++)
        TRY(count(s, k, &place));
    return OK;
}

static Status count_file(Stats *s, int file)
{
    Rows *rows;
    Row row;
    bool end = false;
    TRY(rows_open(&rows, s->files.files[file].path, ROWS_LINES));
    Status status = OK;
    while (!status && !(status = rows_next(rows, &row, &end)) && !end)
        status = count_row(s, &row, file);
    rows_close(&rows);
    return status;
}

/* ---------------------------------------------------------------- telling */

static int by_frequency(const void *a, const void *b)
{
    const Count *x = a, *y = b;
    return x->n != y->n ? (x->n < y->n ? 1 : -1) : x->number < y->number ? -1 : x->number > y->number;
}

/* The name of a count, from its first record. */
static Status read_name(Stats *s, Kind kind, const Count *c, const char **name, size_t *n)
{
    TRY(line_files_read(&s->files, &c->first, &s->read));
    const Row row = {.text = s->read.text, .n = c->first.n, .line = 1, .column = 1};
    TRY(record_line_read(&s->line, &row, s->files.files[c->first.file].name));
    return find_name(s, kind, &s->line, name, n);
}

static Status put_names(Stats *s, Kind kind, FILE *out)
{
    const char *name = "";
    size_t n = 0;
    for (size_t i = 0; i < s->by[kind].names.n; i++) {
        const Count *c = &s->by[kind].counts[i];
        TRY(read_name(s, kind, c, &name, &n));
        fputs(i ? "," : "", out);
        fputs(kind == BY_INSTRUCTION ? "{\"text\":" : "", out);
        json_put_text(out, name, n);
        fprintf(out, kind == BY_INSTRUCTION ? ",\"n\":%" PRId64 "}" : ":%" PRId64, c->n);
    }
    return OK;
}

/* Written as it comes: there may be as many instructions as records. */
static Status print_json(Stats *s, FILE *out)
{
    const char *before = "";
    fprintf(out, "{\"records\":%" PRId64 ",\"tasks\":{", s->records);
    for (int i = 0; i < N_TASKS; i++) {
        if (!s->tasks[i])
            continue;
        fprintf(out, "%s\"%s\":%" PRId64, before, TASK_NAMES[i], s->tasks[i]);
        before = ",";
    }
    fputs("},\"sources\":{", out);
    TRY(put_names(s, BY_SOURCE, out));
    fputs("},\"licenses\":{", out);
    TRY(put_names(s, BY_LICENSE, out));
    fputs("},\"instructions\":[", out);
    TRY(put_names(s, BY_INSTRUCTION, out));
    fputs("]}\n", out);
    return OK;
}

/* The most frequent ones for people. */
static Status print_names(Stats *s, Kind kind, const char *title, FILE *out)
{
    enum { MOST = 20, SHOWN = 400 };
    char shown[SHOWN];
    const char *name = "";
    size_t n = 0;
    const size_t all = s->by[kind].names.n;
    if (all)
        fprintf(out, "%s\n", title);
    for (size_t i = 0; i < all && i < MOST; i++) {
        TRY(read_name(s, kind, &s->by[kind].counts[i], &name, &n));
        utf8_show(shown, sizeof shown, name, n, UTF8_LINE);
        fprintf(out, "%12" PRId64 "  %s\n", s->by[kind].counts[i].n, n ? shown : "(none)");
    }
    if (all > MOST)
        fprintf(out, "%12s  and %zu more\n", "", all - MOST);
    return OK;
}

static Status print_text(Stats *s, FILE *out)
{
    fprintf(out, "%" PRId64 " record%s\n", s->records, status_plural(s->records));
    for (int i = 0; i < N_TASKS; i++)
        if (s->tasks[i])
            fprintf(out, "%12" PRId64 "  %s\n", s->tasks[i], TASK_NAMES[i]);
    TRY(print_names(s, BY_SOURCE, "sources", out));
    TRY(print_names(s, BY_LICENSE, "licences", out));
    return print_names(s, BY_INSTRUCTION, "instructions", out);
}

static Status run(Stats *s, const Flags *f, FILE *out)
{
    TRY(line_files_open(&s->files, f->files.items, f->files.n));
    for (int i = 0; i < s->files.n; i++)
        TRY(count_file(s, i));
    for (Kind k = 0; k < N_COUNTS; k++)
        if (s->by[k].names.n)
            qsort(s->by[k].counts, s->by[k].names.n, sizeof *s->by[k].counts, by_frequency);
    return f->format || log_is_json() ? print_json(s, out) : print_text(s, out);
}

static void stats_free(Stats *s)
{
    for (Kind k = 0; k < N_COUNTS; k++) {
        table_free(&s->by[k].names);
        mem_free(s->by[k].counts);
    }
    line_files_close(&s->files);
    mem_free(s->read.text);
    mem_free(s->normal.text);
    record_line_free(&s->line);
}

Status curate_stats(int argc, char **argv, FILE *out)
{
    Flags f = {.format = 0};
    Stats s = {.records = 0};
    bool done;
    TRY(parse(&f, argc, argv, &done));
    if (done)
        return OK;
    if (!f.files.n)
        return fail(ERR_USAGE, "curate stats: FILE… is needed: records, a line each");
    if (f.quiet)
        log_level(LOG_ERROR);
    Status status = run(&s, &f, out);
    stats_free(&s);
    return status;
}
