/* replies.c: reads files of replies and keeps for each request the place of the one that counts (replies.h). */
#include "data/curate/replies.h"

#include <string.h>

#include "data/formats/rows.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

/* ---------------------------------------------------------------- a line */

Status judge_line(Judged *j, const Recipe *recipe, const char *src_prompt, const char *text, size_t n)
{
    TRY(json_parse_loose(&j->doc, text, n, "reply", 1, 1));
    TRY(batch_reply_read(&j->reply, &j->verdict, json_root(j->doc)));
    return j->verdict.reason ? OK : answer_read(&j->answer, &j->verdict, recipe, src_prompt, j->reply.text, j->reply.n);
}

void judged_free(Judged *j)
{
    json_free(&j->doc);
    batch_body_free(&j->reply);
    answer_free(&j->answer);
    *j = (Judged){.doc = NULL};
}

static Status find_stage(Replies *r, int8_t *stage, const char *text, size_t n)
{
    Judged j = {.doc = NULL};
    Status s = judge_line(&j, &r->requests->recipe, r->request.src_prompt, text, n);
    *stage = (int8_t)reason_stage(j.verdict.reason);
    judged_free(&j);
    return s;
}

static Status read_best(Replies *r, const BestReply *b) { return line_files_read(&r->files, &b->place, &r->text); }

/* ---------------------------------------------------------------- one more */

/* Whether the line comes before the best one. */
static Status comes_before(Replies *r, const BestReply *b, const char *text, size_t n, bool *before)
{
    TRY(read_best(r, b));
    const size_t common = n < b->place.n ? n : b->place.n;
    const int order = memcmp(text, r->text.text, common);
    *before = order < 0 || (order == 0 && n < b->place.n);
    return OK;
}

static Status compare(Replies *r, size_t number, const Row *row, const LinePlace *place)
{
    BestReply *b = &r->best[number];
    int8_t stage;
    TRY(request_read(r->requests, &r->request, number));
    if (b->stage < 0) {
        TRY(read_best(r, b));
        TRY(find_stage(r, &b->stage, r->text.text, b->place.n));
    }
    TRY(find_stage(r, &stage, row->text, row->n));
    bool better = stage > b->stage;
    if (stage == b->stage)
        TRY(comes_before(r, b, row->text, row->n, &better));
    if (better)
        *b = (BestReply){*place, true, stage};
    return OK;
}

/* What is told of a file when all of it has been read. */
typedef struct Found {
    int64_t lines, bad, known, requests;
    char first_bad[640]; /* what is wrong with the first line that is no reply */
} Found;

/* s: of reading the row as JSON. */
static void describe_bad(Found *f, const char *name, const Row *row, Status s)
{
    const char first = row->n ? *row->text : 0;
    char place[512];
    if (row->error)
        snprintf(place, sizeof place, "%s:%.400s", name, row->error);
    else if (s)
        snprintf(place, sizeof place, "%s", status_message());
    else
        snprintf(place, sizeof place, "%s:%d: has no \"custom_id\"", name, row->line);
    snprintf(f->first_bad, sizeof f->first_bad, "%s; a reply is a JSON object with a \"custom_id\", a line each%s", place,
             first == '['                  ? ": jq -c '.[]' FILE makes lines of an array"
             : first == '{' && row->n == 1 ? ": jq -c . FILE puts each object on a line"
                                           : "");
}

/* A request looks like a reply that lacks its response. */
static bool is_request(const Json *line)
{
    return json_get_last(line, "body") && !json_get_last(line, "response") && !json_get_last(line, "error");
}

static void tell(const Replies *r, const Found *f, const char *name)
{
    if (f->bad)
        log_warn("%s (lines that are no replies: %lld of %lld)", f->first_bad, (long long)f->bad, (long long)f->lines);
    if (f->requests)
        log_warn("%s: lines that are requests, no replies: %lld; --replies takes the output and error files of the batch", name,
                 (long long)f->requests);
    if (!f->known && f->lines > f->bad)
        log_warn("%s: none of its replies is to a request of %s; they belong to other requests", name, r->requests->folder);
}

static Status take_line(Replies *r, const Row *row, int file, Found *found)
{
    const char *name = r->files.files[file].name;
    JsonDoc *doc = NULL;
    r->lines++;
    found->lines++;
    Status s = row->error ? ERR_DATA : json_parse_loose(&doc, row->text, row->n, name, row->line, row->column);
    const Json *id = s ? NULL : json_get_last(json_root(doc), "custom_id");
    const bool named = id && id->kind == JSON_STRING, whole = named && strlen(id->string) == id->length;
    const int64_t number = whole ? ids_find(&r->requests->ids, id->string) : -1;
    found->requests += named && is_request(json_root(doc));
    json_free(&doc);
    if (s && s != ERR_DATA)
        return s;
    if (!named && !found->bad++)
        describe_bad(found, name, row, s);
    r->bad_lines += !named;
    r->unknown_ids += named && number < 0;
    if (number < 0)
        return OK;
    found->known++;
    const LinePlace place = {row->start, (uint32_t)row->n, (uint32_t)file};
    if (r->best[number].any) {
        r->duplicates++;
        return compare(r, (size_t)number, row, &place);
    }
    r->best[number] = (BestReply){place, true, -1};
    return OK;
}

/* ---------------------------------------------------------------- the files */

static Status read_file(Replies *r, int i)
{
    enum { TOLD = 1 << 14 };
    Rows *rows;
    Row row;
    Found found = {.lines = 0};
    bool end = false;
    TRY(rows_open(&rows, r->files.files[i].path, ROWS_LINES));
    Status s = OK;
    while (!s && !(s = rows_next(rows, &row, &end)) && !end) {
        s = take_line(r, &row, i, &found);
        if (r->lines % TOLD == 0)
            log_progress("%lld lines of replies read", (long long)r->lines);
    }
    rows_close(&rows);
    if (!s)
        tell(r, &found, r->files.files[i].name);
    return s;
}

Status replies_read(Replies *r, RequestSet *requests, const char *const *paths, int n)
{
    *r = (Replies){.requests = requests};
    r->best = mem_alloc((requests->ids.n + 1) * sizeof *r->best);
    Status s =
        r->best ? line_files_open(&r->files, paths, n) : fail(ERR_NOMEM, "no memory for the replies to %zu requests", requests->ids.n);
    for (int i = 0; i < n && !s; i++)
        s = read_file(r, i);
    if (s)
        replies_close(r);
    return s;
}

void replies_close(Replies *r)
{
    line_files_close(&r->files);
    mem_free(r->best);
    mem_free(r->text.text);
    request_free(&r->request);
    *r = (Replies){.requests = NULL};
}

Status replies_judge(Replies *r, Judged *j, const Request *request, size_t number)
{
    const BestReply *b = &r->best[number];
    if (!b->any) {
        verdict_set(&j->verdict, REASON_ABSENT, "there is no reply");
        return OK;
    }
    TRY(read_best(r, b));
    TRY_IN(judge_line(j, &r->requests->recipe, request->src_prompt, r->text.text, b->place.n), "%s", r->files.files[b->place.file].name);
    return OK;
}
