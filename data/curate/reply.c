/* reply.c: the text of a reply, or why it has none (reply.h). */
#include "data/curate/reply.h"

#include <string.h>

#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

/* Of the two kinds of body the same things. */
typedef struct Body {
    bool has_choice;
    bool cut;             /* the token limit was reached */
    bool filtered, whole; /* how it ended; neither of the three: otherwise */
    const Json *end;      /* what says how it ended; may be NULL */
    const Json *refusal;
    const Json *error; /* of a response that failed; may be NULL */
} Body;

static bool is_null(const Json *v) { return !v || v->kind == JSON_NULL; }

static bool is_string(const Json *v, const char *text) { return v && v->kind == JSON_STRING && !strcmp(v->string, text); }

static Status add_text(BatchReply *r, const Json *text)
{
    if (!text || text->kind != JSON_STRING)
        return OK;
    char *grown = mem_grow(r->text, r->n + text->length + 1);
    if (!grown)
        return fail(ERR_NOMEM, "no memory for a reply of %zu bytes", r->n + text->length);
    r->text = grown;
    memcpy(r->text + r->n, text->string, text->length + 1);
    r->n += text->length;
    return OK;
}

/* Of a list of parts, the texts of one type, and a refusal. */
static Status add_parts(Body *b, BatchReply *r, const Json *parts, const char *type)
{
    for (const Json *part = parts && parts->kind == JSON_ARRAY ? parts->child : NULL; part; part = part->next) {
        const Json *is = json_get_last(part, "type");
        if (is_string(is, type))
            TRY(add_text(r, json_get_last(part, "text")));
        else if (is_string(is, "refusal"))
            b->refusal = json_get_last(part, "refusal");
    }
    return OK;
}

static Status read_chat(Body *b, BatchReply *r, const Json *body)
{
    const Json *choices = json_get_last(body, "choices");
    const Json *choice = choices && choices->kind == JSON_ARRAY ? choices->child : NULL, *message = json_get_last(choice, "message");
    b->has_choice = choice && choice->kind == JSON_OBJECT;
    b->end = json_get_last(choice, "finish_reason");
    b->cut = is_string(b->end, "length");
    b->filtered = is_string(b->end, "content_filter");
    b->whole = is_string(b->end, "stop");
    b->refusal = json_get_last(message, "refusal");
    const Json *content = json_get_last(message, "content");
    TRY(add_text(r, content));
    return add_parts(b, r, content, "text");
}

static Status read_responses(Body *b, BatchReply *r, const Json *body)
{
    const Json *output = json_get_last(body, "output"), *why = json_get_last(json_get_last(body, "incomplete_details"), "reason");
    b->end = json_get_last(body, "status");
    const bool incomplete = is_string(b->end, "incomplete");
    b->cut = incomplete && is_string(why, "max_output_tokens");
    b->filtered = incomplete && is_string(why, "content_filter");
    b->whole = is_string(b->end, "completed");
    b->has_choice = true;
    if (is_string(b->end, "failed"))
        b->error = json_get_last(body, "error");
    for (const Json *item = output && output->kind == JSON_ARRAY ? output->child : NULL; item; item = item->next) {
        if (is_string(json_get_last(item, "type"), "message"))
            TRY(add_parts(b, r, json_get_last(item, "content"), "output_text"));
    }
    return OK;
}

static bool is_of_responses(const Json *body)
{
    return !json_get_last(body, "choices") && (json_get_last(body, "output") || json_get_last(body, "status"));
}

/* The codes after which the same request may succeed. */
static bool is_passing(double code) { return code == 0 || code == 408 || code == 409 || code == 429 || code >= 500; }

/* What an error object says, for people: its message, else its code. */
static const char *error_text(const Json *error, char *buf, size_t n)
{
    const Json *text = json_get_last(error, "message");
    if (is_null(text))
        text = json_get_last(error, "code");
    return json_show(is_null(text) ? error : text, buf, n);
}

/* False: the transport has failed. */
static bool check_transport(Verdict *v, const Json *line, const Json **body)
{
    char shown[128];
    const Json *error = json_get_last(line, "error"), *response = json_get_last(line, "response");
    if (!is_null(error))
        verdict_set(v, REASON_ERROR, "the batch says %s", error_text(error, shown, sizeof shown));
    else if (!response || response->kind != JSON_OBJECT)
        verdict_set(v, REASON_ERROR, "there is no response");
    if (v->reason)
        return false;
    const Json *status = json_get_last(response, "status_code");
    const double code = status && (status->kind == JSON_INT || status->kind == JSON_REAL) ? status->real : 0;
    *body = json_get_last(response, "body");
    if (code != 200) {
        error = json_get_last(*body, "error");
        verdict_set(v, REASON_HTTP, "status %.15g%s%s", code, is_null(error) ? "" : ": ",
                    is_null(error) ? "" : error_text(error, shown, sizeof shown));
        v->retry = is_passing(code);
    }
    return code == 200;
}

static bool is_blank(const BatchReply *r)
{
    const char *text = r->text ? r->text : "";
    size_t n = r->n;
    utf8_strip(&text, &n);
    return !n;
}

static void check_end(Verdict *v, const Body *b, const BatchReply *r)
{
    char shown[128];
    if (!is_null(b->error))
        verdict_set(v, REASON_ERROR, "the response failed: %s", error_text(b->error, shown, sizeof shown));
    else if (!b->has_choice)
        verdict_set(v, REASON_EMPTY, "the body has no choices");
    else if (b->cut)
        verdict_set(v, REASON_LENGTH, "the reply ended at the token limit");
    else if (b->filtered)
        verdict_set(v, REASON_CONTENT_FILTER, "the reply was ended by the content filter");
    else if (!b->whole)
        verdict_set(v, REASON_FINISH, "the reply ended with %s", b->end ? json_show(b->end, shown, sizeof shown) : "nothing said");
    else if (is_blank(r) && is_null(b->refusal))
        verdict_set(v, REASON_EMPTY, "the reply has no text");
    else if (!is_null(b->refusal))
        verdict_set(v, REASON_REFUSAL, "the model refuses: %s", json_show(b->refusal, shown, sizeof shown));
    else if (batch_reply_refuses(r->text, r->n))
        verdict_set(v, REASON_REFUSAL, "the text is a refusal: \"%.*s\"", (int)utf8_whole(r->text, r->n < 100 ? r->n : 100), r->text);
}

Status batch_reply_read(BatchReply *r, Verdict *v, const Json *line)
{
    Body b = {0};
    const Json *body = NULL;
    *r = (BatchReply){0};
    if (!check_transport(v, line, &body))
        return OK;
    const Json *model = json_get_last(body, "model");
    r->model = model && model->kind == JSON_STRING ? model->string : NULL;
    TRY(is_of_responses(body) ? read_responses(&b, r, body) : read_chat(&b, r, body));
    check_end(v, &b, r);
    return OK;
}

void batch_reply_free(BatchReply *r)
{
    mem_free(r->text);
    *r = (BatchReply){0};
}

/* ---------------------------------------------------------------- refusals in words */

static const char *const REFUSALS[] = {"i'm sorry", "i am sorry", "sorry", "i cannot", "i can't", "i can not", "i won't", "i'm unable",
                                       "i am unable", "i'm not able", "i am not able", "i apologize", "i'm afraid", "unable to",
                                       "as an ai"};
enum { N_REFUSALS = sizeof REFUSALS / sizeof *REFUSALS, LONGEST_REFUSAL = 16, REFUSAL_CHARACTERS = 200 };

static bool is_apostrophe(uint32_t c) { return c == 0x2018 || c == 0x2019; }
static bool is_quote(uint32_t c) { return c == '"' || c == '\'' || c == 0x201C || c == 0x201D || is_apostrophe(c); }

bool batch_reply_refuses(const char *text, size_t n)
{
    char start[LONGEST_REFUSAL];
    int n_start = 0, n_characters = 0;
    bool leading = true;
    for (size_t i = 0; i < n;) {
        uint32_t c = 0;
        i += (size_t)utf8_decode(text + i, n - i, &c);
        if (c == '{' || ++n_characters >= REFUSAL_CHARACTERS)
            return false;
        leading = leading && (utf8_is_space(c) || is_quote(c) || c == '*');
        if (leading || n_start == LONGEST_REFUSAL)
            continue;
        c = is_apostrophe(c) ? '\'' : c >= 'A' && c <= 'Z' ? c + 32 : c;
        start[n_start++] = c < 0x80 ? (char)c : '?';
    }
    for (int k = 0; k < N_REFUSALS; k++)
        if (strlen(REFUSALS[k]) <= (size_t)n_start && !memcmp(start, REFUSALS[k], strlen(REFUSALS[k])))
            return true;
    return false;
}
