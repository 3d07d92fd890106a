/* filter.c: `curate filter`: exclusion, scores and dedupe of records that are there already (gate.h). What stays keeps its order and, but
 * for its scores, its bytes. Called by curate. */
#include <inttypes.h>
#include <string.h>

#include "data/curate/commands.h"
#include "data/curate/gate.h"
#include "data/curate/outputs.h"
#include "data/curate/record_line.h"
#include "data/curate/tally.h"
#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"
#include "kernels/base/utf8.h"

typedef struct Flags {
    const char *in, *out;
    GateOptions gate;
    int format;
    bool quiet;
} Flags;

static Status parse(Flags *f, int argc, char **argv, bool *done)
{
    const CliOption options[] = {
        {"--in", CLI_STRING, &f->in, "FILE", "Unified records, a line each (\"-\": standard input).", 0, 0, NULL, false},
        {"--out", CLI_STRING, &f->out, "FILE.jsonl", "Those that stay; FILE.rejects.jsonl beside it says why others do not.", 0, 0, NULL,
         false},
        GATE_CLI_OPTIONS(f->gate),
        {"--exclude-image-ids", CLI_STRING, &f->gate.exclude, "FILE", "Ids of pictures, a line each, whose records go (\"-\": standard "
                                                                      "input).",
         0, 0, NULL, false},
        TALLY_CLI_OPTIONS(*f),
        {0},
    };
    const CliProgram program = {
        .name = "curate filter",
        .summary = "Leaves out records whose pictures are excluded or do not fit their texts, and those that say the same again.",
        .usage = "curate filter --in FILE --out FILE.jsonl",
        .options = options,
    };
    return cli_parse(&program, argc, argv, done);
}

static Status check_flags(Flags *f)
{
    if (!f->in)
        return fail(ERR_USAGE, "curate filter: --in FILE is needed: the records");
    if (!f->out)
        return fail(ERR_USAGE, "curate filter: --out FILE.jsonl is needed: where those that stay go");
    if (!strcmp(f->in, "-") && f->gate.exclude && !strcmp(f->gate.exclude, "-"))
        return fail(ERR_USAGE, "curate filter: standard input can be --in or --exclude-image-ids, not both");
    return gate_settle(&f->gate);
}

typedef struct Filter {
    Gate gate;
    Outputs outputs;
    RecordLine line;
    int64_t in, out;
    Tally tally;
} Filter;

/* ---------------------------------------------------------------- scores */

static bool is_ours(const char *key)
{
    for (int i = 0; i < N_CLIP_SCORES; i++)
        if (!strcmp(key, CLIP_SCORE_NAMES[i]))
            return true;
    return false;
}

/* What the record had, but for those that are computed here. */
static Status score_text(char **text, const Json *had, Task task, const GateScores *scores)
{
    cJSON *o = cJSON_CreateObject();
    for (const Json *m = had && had->kind == JSON_OBJECT ? had->child : NULL; m; m = m->next)
        if (!is_ours(m->key))
            json_add_value(o, m->key, m);
    for (ClipScore i = 0; i < N_CLIP_SCORES; i++)
        if (features_has_score(task, i))
            json_add_real(o, CLIP_SCORE_NAMES[i], scores->score[i]);
    return json_to_text(text, &o, JSON_INLINE, "scores");
}

/* The byte of a row at which a value begins. */
static size_t byte_of(const Row *row, const Json *v)
{
    size_t at = 0;
    for (int column = row->column; column < v->column; column++)
        at += (size_t)utf8_decode(row->text + at, row->n - at, NULL);
    return at;
}

/* Bytes of the value that begins a text, up to what ends a member: a comma or a bracket that it does not open. */
static size_t value_bytes(const char *text, size_t n)
{
    size_t end = 0; /* blanks behind it are not its own */
    int64_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < n; i++) {
        const char c = text[i];
        if (!in_string && !depth && (c == ',' || c == '}'))
            break;
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string)
            depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        end = in_string || !strchr(" \t\r", c) ? i + 1 : end;
    }
    return end;
}

/* The row with its scores in place of those that it had, or at its end. */
static Status write_scored(FILE *out, const Row *row, const RecordLine *line, const GateScores *scores)
{
    const Json *had = json_get(json_root(line->doc), "scores");
    const size_t at = had ? byte_of(row, had) : row->n - 1; /* the closing brace */
    const size_t left_out = had ? value_bytes(row->text + at, row->n - at) : 0;
    char *text;
    TRY(score_text(&text, had, line->record.task, scores));
    fwrite(row->text, 1, at, out);
    fprintf(out, "%s%s", had ? "" : ",\"scores\":", text);
    fwrite(row->text + at + left_out, 1, row->n - at - left_out, out);
    mem_free(text);
    return OK;
}

/* ---------------------------------------------------------------- records */

static Status filter_row(Filter *f, const Row *row, const char *name)
{
    Verdict v = {.reason = REASON_NONE};
    GateScores scores;
    TRY(record_line_read(&f->line, row, name));
    f->in++;
    TRY(gate_judge(&f->gate, &v, &f->line.record, &scores));
    if (v.reason) {
        f->tally.n[v.reason]++;
        outputs_reject(&f->outputs, NULL, f->line.record.uid, &v);
        return outputs_check(&f->outputs);
    }
    f->out++;
    if (scores.any)
        TRY(write_scored(f->outputs.records.out, row, &f->line, &scores));
    else
        fwrite(row->text, 1, row->n, f->outputs.records.out);
    fputc('\n', f->outputs.records.out);
    return outputs_check(&f->outputs);
}

static Status filter_all(Filter *f, const char *path)
{
    enum { TOLD = 1 << 12 };
    Rows *rows;
    Row row;
    bool end = false;
    TRY(rows_open(&rows, path, ROWS_LINES));
    Status s = OK;
    while (!s && !(s = rows_next(rows, &row, &end)) && !end) {
        s = filter_row(f, &row, file_name(path));
        if (f->in % TOLD == 0)
            log_progress("%" PRId64 " records, %" PRId64 " stay", f->in, f->out);
    }
    rows_close(&rows);
    return s;
}

static Status print_result(const Filter *f, const Flags *flags, FILE *out)
{
    if (flags->format || log_is_json()) {
        cJSON *o = cJSON_CreateObject();
        json_add_int(o, "in", f->in);
        json_add_int(o, "out", f->out);
        tally_add(o, &f->tally);
        return json_print(out, &o, JSON_LINE, "curate filter");
    }
    utf8_cell(out, flags->out, 0);
    fprintf(out, ": %" PRId64 " of %" PRId64 " record%s\n", f->out, f->in, status_plural(f->in));
    tally_print(out, &f->tally);
    return OK;
}

static Status spare_inputs(const Filter *f, const Flags *flags)
{
    TRY(outputs_spare(&f->outputs, flags->in));
    return gate_spare(&f->outputs, &flags->gate);
}

static Status run(Filter *f, const Flags *flags, FILE *out)
{
    TRY(gate_open(&f->gate, &flags->gate));
    TRY(outputs_open(&f->outputs, flags->out, 0, 0));
    Status s = spare_inputs(f, flags);
    TRY(outputs_close(&f->outputs, s ? s : filter_all(f, flags->in)));
    return print_result(f, flags, out);
}

Status curate_filter(int argc, char **argv, FILE *out)
{
    Flags flags = {.gate = GATE_DEFAULTS};
    Filter f = {.in = 0};
    bool done;
    TRY(parse(&flags, argc, argv, &done));
    if (done)
        return OK;
    TRY(check_flags(&flags));
    if (flags.quiet)
        log_level(LOG_ERROR);
    Status s = run(&f, &flags, out);
    record_line_free(&f.line);
    gate_close(&f.gate);
    return s;
}
