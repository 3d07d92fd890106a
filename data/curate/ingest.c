/* ingest.c: `curate ingest`: replies of a model to records, in the nine stages of verdict.h; what is left out and what is to be sent again
 * is written beside them (outputs.h). Called by curate. */
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "data/curate/commands.h"
#include "data/curate/gate.h"
#include "data/curate/made.h"
#include "data/curate/outputs.h"
#include "data/curate/replies.h"
#include "data/curate/request_files.h"
#include "data/curate/tally.h"
#include "data/records/unified.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"
#include "kernels/base/utf8.h"

typedef struct Flags {
    const char *requests, *out;
    CliList replies;
    int64_t max_lines, max_bytes;
    GateOptions gate;
    int format;
    bool quiet;
} Flags;

static Status parse(Flags *f, int argc, char **argv, bool *done)
{
    const CliOption options[] = {
        {"--requests", CLI_STRING, &f->requests, "DIR", "The folder that curate request made.", 0, 0, NULL, false},
        {"--replies", CLI_STRINGS, &f->replies, "FILE…", "Output and error files of batches (\"-\": standard input).", 0, 0, NULL,
         true},
        {"--out", CLI_STRING, &f->out, "FILE.jsonl", "The records; FILE.rejects.jsonl and FILE.retry-NNNNN.jsonl appear beside them.", 0,
         0, NULL, false},
        REQUEST_FILES_CLI_OPTIONS(*f),
        GATE_CLI_OPTIONS(f->gate),
        TALLY_CLI_OPTIONS(*f),
        {0},
    };
    const CliProgram program = {
        .name = "curate ingest",
        .summary = "Turns the replies of a batch service into records, and tells what to ask again.",
        .usage = "curate ingest --requests DIR --replies FILE… --out FILE.jsonl",
        .options = options,
        .notes = "Send FILE.retry-*.jsonl as further batches, then ingest all replies, old and new, with the same DIR. The order of "
                 "replies and of their files makes no difference. Exit code 65: no record came out.",
    };
    return cli_parse(&program, argc, argv, done);
}

static Status check_flags(Flags *f)
{
    int inputs = 0;
    if (!f->requests)
        return fail(ERR_USAGE, "curate ingest: --requests DIR is needed: the folder that curate request made");
    if (!f->replies.n)
        return fail(ERR_USAGE, "curate ingest: --replies FILE… is needed: what the batch service gave back");
    if (!f->out)
        return fail(ERR_USAGE, "curate ingest: --out FILE.jsonl is needed: where the records go");
    for (int i = 0; i < f->replies.n; i++)
        inputs += !strcmp(f->replies.items[i], "-");
    if (inputs > 1)
        return fail(ERR_USAGE, "curate ingest: standard input can be one of --replies, not %d", inputs);
    return gate_settle(&f->gate);
}

/* ---------------------------------------------------------------- a request */

typedef struct Ingest {
    RequestSet requests;
    Replies replies;
    Gate gate;
    Outputs outputs;
    Request request; /* at hand, and the record made of its reply */
    Made made;
    int64_t accepted, retries;
    Tally tally;
} Ingest;

/* Makes the record, unless j->verdict says no by now. */
static Status make_record(Ingest *g, Judged *j)
{
    GateScores scores;
    TRY(made_fill(&g->made, &g->requests.recipe, &g->request, &j->answer, j->reply.model));
    TRY(gate_judge(&g->gate, &j->verdict, &g->made.record, &scores));
    if (j->verdict.reason)
        return OK;
    if (scores.any)
        made_score(&g->made, scores.score);
    unified_write(g->outputs.records.out, &g->made.record, g->request.source ? g->request.source : "curate", NULL);
    fputc('\n', g->outputs.records.out);
    g->accepted++;
    return OK;
}

static Status reject_request(Ingest *g, const Verdict *v)
{
    Again again;
    FILE *out;
    outputs_reject(&g->outputs, g->request.custom_id, g->request.uid, v);
    g->tally.n[v->reason]++;
    if (!v->retry)
        return OK;
    g->retries++;
    TRY(request_again(&g->requests, &again, &g->request, v->reason));
    TRY_IN(outputs_retry(&g->outputs, again.n_bytes, &out), "%s", g->request.uid);
    return request_write_again(&g->requests, &again, &g->request, out);
}

static Status ingest_request(Ingest *g, size_t number)
{
    Judged j = {.doc = NULL};
    TRY(request_read(&g->requests, &g->request, number));
    Status s = replies_judge(&g->replies, &j, &g->request, number);
    if (!s && !j.verdict.reason)
        s = make_record(g, &j);
    if (!s && j.verdict.reason)
        s = reject_request(g, &j.verdict);
    judged_free(&j);
    return s ? s : outputs_check(&g->outputs);
}

static Status ingest_all(Ingest *g)
{
    enum { TOLD = 1 << 12 };
    Status s = OK;
    for (size_t i = 0; i < g->requests.ids.n && !s; i++) {
        s = ingest_request(g, i);
        if (i % TOLD == 0)
            log_progress("%zu of %zu requests, %" PRId64 " records", i, g->requests.ids.n, g->accepted);
    }
    return s;
}

/* ---------------------------------------------------------------- the whole */

static Status print_result(const Ingest *g, const Flags *f, FILE *out)
{
    const Replies *r = &g->replies;
    if (f->format || log_is_json()) {
        cJSON *o = cJSON_CreateObject();
        json_add_int(o, "requests", (int64_t)g->requests.ids.n);
        json_add_int(o, "lines", r->lines);
        json_add_int(o, "accepted", g->accepted);
        json_add_int(o, "retry", g->retries);
        tally_add(o, &g->tally);
        json_add_int(o, "unknown_id", r->unknown_ids);
        json_add_int(o, "bad_line", r->bad_lines);
        json_add_int(o, "duplicate", r->duplicates);
        return json_print(out, &o, JSON_LINE, "curate ingest");
    }
    const size_t n = g->requests.ids.n;
    utf8_cell(out, f->out, 0);
    fprintf(out, ": %" PRId64 " record%s of %zu request%s\n", g->accepted, status_plural(g->accepted), n, status_plural((int64_t)n));
    fprintf(out,
            "%12" PRId64 "  line%s of replies (further ones to a request: %" PRId64 "; of unknown ids: %" PRId64 "; no replies: %" PRId64
            ")\n",
            r->lines, status_plural(r->lines), r->duplicates, r->unknown_ids, r->bad_lines);
    tally_print(out, &g->tally);
    if (!g->retries)
        return OK;
    fprintf(out, "%12" PRId64 "  request%s to send again, in %d file%s: ", g->retries, status_plural(g->retries), g->outputs.n_files,
            status_plural(g->outputs.n_files));
    utf8_cell(out, g->outputs.base, 0);
    fputs(".retry-*.jsonl\n", out);
    return OK;
}

/* What has been paid for is not written over: neither requests nor replies. */
static Status spare_inputs(const Ingest *g, const Flags *f)
{
    char folder[PATH_MAX], ours[PATH_MAX], asked[PATH_MAX];
    if (realpath(file_folder(folder, f->out), ours) && realpath(f->requests, asked) && !strcmp(ours, asked))
        return fail(ERR_USAGE, "--out %s: lies in the folder of the requests, which holds nothing else; give another place", f->out);
    for (int i = 0; i < f->replies.n; i++)
        TRY(outputs_spare(&g->outputs, f->replies.items[i]));
    return gate_spare(&g->outputs, &f->gate);
}

static Status write_outputs(Ingest *g, const Flags *f)
{
    TRY(outputs_open(&g->outputs, f->out, f->max_lines, f->max_bytes));
    Status s = spare_inputs(g, f);
    if (!s)
        s = replies_read(&g->replies, &g->requests, f->replies.items, f->replies.n);
    if (!s)
        s = ingest_all(g);
    return outputs_close(&g->outputs, s);
}

static Status run(Ingest *g, const Flags *f, FILE *out)
{
    TRY(request_set_open(&g->requests, f->requests));
    TRY(gate_open(&g->gate, &f->gate));
    TRY(write_outputs(g, f));
    TRY(print_result(g, f, out));
    return g->accepted ? OK
                       : fail(ERR_DATA, "%s: no record came out of %zu request%s; %s.rejects.jsonl says why", f->out, g->requests.ids.n,
                              status_plural((int64_t)g->requests.ids.n), g->outputs.base);
}

Status curate_ingest(int argc, char **argv, FILE *out)
{
    Flags f = {REQUEST_FILES_DEFAULTS, .gate = GATE_DEFAULTS};
    Ingest g = {.requests = {.lines = -1}};
    bool done;
    TRY(parse(&f, argc, argv, &done));
    if (done)
        return OK;
    TRY(check_flags(&f));
    if (f.quiet)
        log_level(LOG_ERROR);
    Status s = run(&g, &f, out);
    made_free(&g.made);
    request_free(&g.request);
    replies_close(&g.replies);
    gate_close(&g.gate);
    request_set_close(&g.requests);
    return s;
}
