/* teacher: stands in for GPT-4V where there is no network: answers the requests of `curate request --recipe draw` about the world of
 * sketches, and is wrong in the ways that models and batch services are. `make example-curate` calls it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/formats/rows.h"
#include "kernels/base/arena.h"
#include "kernels/base/cli.h"
#include "kernels/base/log.h"

/* What can be wrong with a reply; of every hundred first replies so many are. A request that is sent again is answered as it should be. */
typedef enum Fault {
    RIGHT,
    FENCED,        /* in a Markdown fence, which is taken off */
    CHATTY,        /* with a sentence around, which is too */
    CURLY,         /* with curly quotes and a comma too many, which are mended */
    REFUSED,       /* in words */
    REFUSAL_FIELD, /* in the field for it */
    CUT_OFF,       /* the token limit came first */
    NO_JSON,
    LEAKS,   /* talks of the caption that it was never shown */
    MARKERS, /* holds what the training text means something by */
    SHORT,
    SILENT,    /* no text */
    BUSY,      /* HTTP 429 */
    BAD_ASKED, /* HTTP 400 */
    EXPIRED,   /* the batch ended before it */
    FILTERED,  /* by the provider */
    LOST,      /* no line at all */
    N_FAULTS
} Fault;
static const int PERCENT[N_FAULTS] = {[FENCED] = 6, [CHATTY] = 4, [CURLY] = 3, [REFUSED] = 2, [REFUSAL_FIELD] = 1, [CUT_OFF] = 3,
                                      [NO_JSON] = 2, [LEAKS] = 2, [MARKERS] = 1, [SHORT] = 1, [SILENT] = 1, [BUSY] = 3, [BAD_ASKED] = 1,
                                      [EXPIRED] = 2, [FILTERED] = 1, [LOST] = 2};

/* Of a row of the world: what a person asks, and what the picture shows. */
typedef struct Truth {
    char *request, *caption;
} Truth;

typedef struct Truths {
    Truth *row;
    int64_t n, room;
} Truths;

static struct {
    const char *requests, *world, *out;
    CliList again;
} args;

/* ---------------------------------------------------------------- the world */

static Status add_truth(Truths *t, const Json *row)
{
    const Json *turns = json_get(row, "turns"), *value = json_get(turns ? turns->child : NULL, "value");
    const Json *caption = json_get(json_get(row, "sd"), "prompt");
    if (t->n == t->room) {
        t->room = 2 * t->room + 1024;
        Truth *more = mem_grow(t->row, (size_t)t->room * sizeof *more);
        if (!more)
            return fail(ERR_NOMEM, "no memory for %" PRId64 " rows", t->room);
        t->row = more;
    }
    Truth truth = {mem_strdup(value && value->kind == JSON_STRING ? value->string : ""),
                   mem_strdup(caption && caption->kind == JSON_STRING ? caption->string : "")};
    t->row[t->n++] = truth;
    return truth.request && truth.caption ? OK : fail(ERR_NOMEM, "no memory for a row");
}

static void truths_free(Truths *t)
{
    for (int64_t i = 0; i < t->n; i++) {
        mem_free(t->row[i].request);
        mem_free(t->row[i].caption);
    }
    mem_free(t->row);
}

typedef Status (*Visit)(void *arg, const Json *row);

static Status each_row(const char *path, Visit visit, void *arg)
{
    Rows *rows;
    Row row;
    JsonDoc *doc = NULL;
    bool end = false;
    TRY(rows_open(&rows, path, ROWS_LINES));
    Status s = OK;
    while (!s && !(s = rows_next(rows, &row, &end)) && !end) {
        s = row.error ? fail(ERR_DATA, "%s:%s", path, row.error) : json_parse_at(&doc, row.text, row.n, path, row.line, row.column);
        if (!s)
            s = visit(arg, json_root(doc));
        json_free(&doc);
    }
    rows_close(&rows);
    return s;
}

static Status visit_truth(void *arg, const Json *row) { return add_truth(arg, row); }

/* ---------------------------------------------------------------- replies */

static Fault fault_of(const char *id)
{
    int at = (int)(XXH3_64bits(id, strlen(id)) % 100);
    for (int f = FENCED; f < N_FAULTS; f++) {
        if (at < PERCENT[f])
            return (Fault)f;
        at -= PERCENT[f];
    }
    return RIGHT;
}

/* The text of the message; texts of the world hold nothing that JSON escapes. */
static void say(char *out, size_t n, Fault fault, const Truth *t)
{
    char json[1024];
    snprintf(json, sizeof json, "{\"request\": \"%s%s\", \"caption\": \"%s\"}", t->request,
             fault == LEAKS     ? " The caption says so."
             : fault == MARKERS ? " <image>"
                                : "",
             fault == SHORT ? "a shape" : t->caption);
    if (fault == FENCED)
        snprintf(out, n, "```json\n%s\n```", json);
    else if (fault == CHATTY)
        snprintf(out, n, "Here is what you asked for:\n\n%s\n\nTell me if you need more.", json);
    else if (fault == CURLY)
        snprintf(out, n, "{“request”: “%s”, “caption”: “%s”,}", t->request, t->caption);
    else if (fault == REFUSED)
        snprintf(out, n, "I'm sorry, but I can't help with that picture.");
    else if (fault == CUT_OFF)
        snprintf(out, n, "%.*s", (int)strlen(json) / 2, json);
    else if (fault == NO_JSON)
        snprintf(out, n, "request: %s; caption: %s {", t->request, t->caption);
    else
        snprintf(out, n, "%s", fault == REFUSAL_FIELD || fault == SILENT ? "" : json);
}

static void add_body(cJSON *body, Fault fault, const Truth *t)
{
    char text[2048];
    if (fault == BUSY || fault == BAD_ASKED) {
        json_add_text(cJSON_AddObjectToObject(body, "error"), "message", fault == BUSY ? "Rate limit reached" : "Invalid image");
        return;
    }
    say(text, sizeof text, fault, t);
    json_add_text(body, "model", "stand-in");
    cJSON *choice = json_add(cJSON_AddArrayToObject(body, "choices"), NULL, cJSON_CreateObject());
    json_add_int(choice, "index", 0);
    cJSON *message = cJSON_AddObjectToObject(choice, "message");
    json_add_text(message, "role", "assistant");
    json_add_text(message, "content", *text ? text : NULL);
    json_add_text(message, "refusal", fault == REFUSAL_FIELD ? "I can't describe this." : NULL);
    json_add_text(choice, "finish_reason", fault == CUT_OFF ? "length" : fault == FILTERED ? "content_filter" : "stop");
}

static Status put_reply(FILE *out, const char *id, Fault fault, const Truth *t)
{
    cJSON *o = cJSON_CreateObject();
    json_add_text(o, "id", "batch_req");
    json_add_text(o, "custom_id", id);
    if (fault == EXPIRED) {
        json_add_text(o, "response", NULL);
        cJSON *error = cJSON_AddObjectToObject(o, "error");
        json_add_text(error, "code", "batch_expired");
        json_add_text(error, "message", "This request could not be executed before the completion window expired.");
    } else {
        cJSON *response = cJSON_AddObjectToObject(o, "response");
        json_add_int(response, "status_code", fault == BUSY ? 429 : fault == BAD_ASKED ? 400 : 200);
        add_body(cJSON_AddObjectToObject(response, "body"), fault, t);
        json_add_text(o, "error", NULL);
    }
    return json_print(out, &o, JSON_LINE, "the replies");
}

/* ---------------------------------------------------------------- which are asked */

typedef struct Asked {
    const Truths *truths;
    FILE *out;
    char (*again)[65]; /* ids that are asked again; NULL: all are asked for the first time */
    int64_t n_again, room, told;
} Asked;

static Status visit_again(void *arg, const Json *row)
{
    Asked *a = arg;
    const Json *id = json_get(row, "custom_id");
    if (a->n_again == a->room) {
        a->room = 2 * a->room + 256;
        void *more = mem_grow(a->again, (size_t)a->room * sizeof *a->again);
        if (!more)
            return fail(ERR_NOMEM, "no memory for %" PRId64 " requests", a->room);
        a->again = more;
    }
    snprintf(a->again[a->n_again++], sizeof *a->again, "%s", id && id->kind == JSON_STRING ? id->string : "");
    return OK;
}

static bool is_again(const Asked *a, const char *id)
{
    for (int64_t i = 0; i < a->n_again; i++)
        if (!strcmp(a->again[i], id))
            return true;
    return false;
}

/* A request's number in its row's uid: sketches are called sketches-train/NNNNNN. */
static Status visit_request(void *arg, const Json *row)
{
    Asked *a = arg;
    const Json *id = json_get(row, "custom_id"), *uid = json_get(row, "uid");
    int64_t number = -1;
    if (!id || id->kind != JSON_STRING || !uid || uid->kind != JSON_STRING ||
        sscanf(uid->string, "sketches-train/%" SCNd64, &number) != 1 || number < 0 || number >= a->truths->n)
        return fail(ERR_DATA, "%s/records.jsonl: a request that is not about a row of %s", args.requests, args.world);
    Fault fault = a->again ? RIGHT : fault_of(id->string);
    if (fault == LOST || (a->again && !is_again(a, id->string)))
        return OK;
    a->told++;
    return put_reply(a->out, id->string, fault, &a->truths->row[number]);
}

static Status answer(Asked *a)
{
    char path[PATH_MAX];
    FileDraft draft;
    for (int i = 0; i < args.again.n; i++)
        TRY(each_row(args.again.items[i], visit_again, a));
    TRY(file_draft(&draft, args.out));
    a->out = draft.out;
    TRY(file_publish(&draft, each_row(file_join(path, args.requests, "records.jsonl"), visit_request, a)));
    log_info("%s: %" PRId64 " replies", args.out, a->told);
    return OK;
}

static Status run(int argc, char **argv)
{
    static const CliOption OPTIONS[] = {
        {.name = "--requests", .kind = CLI_STRING, .value = &args.requests, .argument = "DIR", .help = "what `curate request` wrote"},
        {.name = "--world", .kind = CLI_STRING, .value = &args.world, .argument = "FILE", .help = "train.jsonl of the set of sketches"},
        {.name = "--out", .kind = CLI_STRING, .value = &args.out, .argument = "FILE", .help = "where the replies go"},
        {.name = "--again", .kind = CLI_STRINGS, .value = &args.again, .argument = "FILE…", .many = true,
         .help = "only requests of these retry files, without faults"},
        {.name = NULL}};
    static const CliProgram PROGRAM = {
        .name = "teacher",
        .summary = "Plays GPT-4V for the world of sketches: answers `curate request --recipe draw`, a third of it in some "
                   "way wrongly.",
        .usage = "teacher --requests DIR --world FILE --out FILE [--again FILE…]",
        .options = OPTIONS};
    bool done;
    TRY(cli_parse(&PROGRAM, argc, argv, &done));
    if (done)
        return OK;
    if (!args.requests || !args.world || !args.out)
        return fail(ERR_USAGE, "teacher needs --requests DIR, --world FILE and --out FILE");
    Truths truths = {0};
    Asked asked = {.truths = &truths};
    Status s = each_row(args.world, visit_truth, &truths);
    if (!s)
        s = answer(&asked);
    truths_free(&truths);
    mem_free(asked.again);
    return s;
}

int main(int argc, char **argv)
{
    cli_start();
    return cli_finish(run(argc, argv));
}
