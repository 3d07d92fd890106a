/* batch_body.c: see batch_body.h. */
#include "data/formats/batch_body.h"

#include <string.h>

#include "kernels/base/arena.h"

static bool is_string(const Json *v, const char *text) { return v && v->kind == JSON_STRING && !strcmp(v->string, text); }

static Status add_text(BatchBody *b, const Json *text)
{
    if (!text || text->kind != JSON_STRING)
        return OK;
    char *grown = mem_grow(b->text, b->n + text->length + 1);
    if (!grown)
        return fail(ERR_NOMEM, "no memory for a reply of %zu bytes", b->n + text->length);
    b->text = grown;
    memcpy(b->text + b->n, text->string, text->length + 1);
    b->n += text->length;
    return OK;
}

/* Of a list of parts, the texts of one type, and a refusal. */
static Status add_parts(BatchBody *b, const Json *parts, const char *type)
{
    for (const Json *part = parts && parts->kind == JSON_ARRAY ? parts->child : NULL; part; part = part->next) {
        const Json *is = json_get_last(part, "type");
        if (is_string(is, type))
            TRY(add_text(b, json_get_last(part, "text")));
        else if (is_string(is, "refusal"))
            b->refusal = json_get_last(part, "refusal");
    }
    return OK;
}

static Status read_chat(BatchBody *b, const Json *body)
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
    TRY(add_text(b, content));
    return add_parts(b, content, "text");
}

static Status read_responses(BatchBody *b, const Json *body)
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
            TRY(add_parts(b, json_get_last(item, "content"), "output_text"));
    }
    return OK;
}

static bool is_of_responses(const Json *body)
{
    return !json_get_last(body, "choices") && (json_get_last(body, "output") || json_get_last(body, "status"));
}

double batch_status(const Json *line, const Json **body)
{
    const Json *response = json_get_last(line, "response"), *status = json_get_last(response, "status_code");
    *body = json_get_last(response, "body");
    return status && (status->kind == JSON_INT || status->kind == JSON_REAL) ? status->real : 0;
}

Status batch_body_read(BatchBody *b, const Json *body)
{
    const Json *model = json_get_last(body, "model");
    *b = (BatchBody){.model = model && model->kind == JSON_STRING ? model->string : NULL};
    return is_of_responses(body) ? read_responses(b, body) : read_chat(b, body);
}

void batch_body_free(BatchBody *b)
{
    mem_free(b->text);
    *b = (BatchBody){0};
}
