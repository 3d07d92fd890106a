/* reply.c: the text of a reply, or why it has none (reply.h). */
#include "data/curate/reply.h"

#include <string.h>

#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"

static bool is_null(const Json *v) { return !v || v->kind == JSON_NULL; }

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
    const double code = batch_status(line, body);
    if (code != 200) {
        error = json_get_last(*body, "error");
        verdict_set(v, REASON_HTTP, "status %.15g%s%s", code, is_null(error) ? "" : ": ",
                    is_null(error) ? "" : error_text(error, shown, sizeof shown));
        v->retry = is_passing(code);
    }
    return code == 200;
}

static bool is_blank(const BatchBody *b)
{
    const char *text = b->text ? b->text : "";
    size_t n = b->n;
    utf8_strip(&text, &n);
    return !n;
}

static void check_end(Verdict *v, const BatchBody *b)
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
    else if (is_blank(b) && is_null(b->refusal))
        verdict_set(v, REASON_EMPTY, "the reply has no text");
    else if (!is_null(b->refusal))
        verdict_set(v, REASON_REFUSAL, "the model refuses: %s", json_show(b->refusal, shown, sizeof shown));
    else if (batch_reply_refuses(b->text, b->n))
        verdict_set(v, REASON_REFUSAL, "the text is a refusal: \"%.*s\"", (int)utf8_whole(b->text, b->n < 100 ? b->n : 100), b->text);
}

Status batch_reply_read(BatchBody *b, Verdict *v, const Json *line)
{
    const Json *body = NULL;
    *b = (BatchBody){0};
    if (!check_transport(v, line, &body))
        return OK;
    TRY(batch_body_read(b, body));
    check_end(v, b);
    return OK;
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
