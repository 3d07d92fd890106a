/* request_form.c: see request_form.h. The members stand in the order in which the services document them; the id comes first. */
#include "data/curate/request_form.h"

#include <inttypes.h>
#include <string.h>

#include "data/formats/json_write.h"
#include "kernels/base/arena.h"

static const struct {
    const char *url, *tokens, *json_mode, *system, *messages, *text, *picture, *picture_end;
} FORMS[N_APIS] = {
    [API_CHAT] = {"/v1/chat/completions", "max_completion_tokens", "\"response_format\":{\"type\":\"json_object\"}",
                  NULL, "messages", "text", "{\"type\":\"image_url\",\"image_url\":{\"url\":", "}}"},
    [API_RESPONSES] = {"/v1/responses", "max_output_tokens", "\"text\":{\"format\":{\"type\":\"json_object\"}}", "instructions", "input",
                       "input_text", "{\"type\":\"input_image\",\"image_url\":", "}"},
};

static void put(Line *l, const char *text) { line_put(l, text, strlen(text)); }

static void put_real(Line *l, double value)
{
    char *text = NULL;
    cJSON *number = cJSON_CreateNumber(value);
    l->no_memory |= json_to_text(&text, &number, JSON_INLINE, "a number") != OK;
    put(l, text ? text : "");
    mem_free(text);
}

Status request_form_make(RequestForm *f, const Recipe *recipe, Api api, const char *detail)
{
    *f = (RequestForm){.api = api, .detail = detail};
    Line *l = &f->head;
    line_print(l, "\",\"method\":\"POST\",\"url\":\"%s\",\"body\":{\"model\":", FORMS[api].url);
    line_quote(l, recipe->model);
    if (recipe->has_temperature) {
        put(l, ",\"temperature\":");
        put_real(l, recipe->temperature);
    }
    line_print(l, ",\"%s\":%" PRId64 ",%s,", FORMS[api].tokens, recipe->max_tokens, FORMS[api].json_mode);
    size_t n = recipe->body ? strlen(recipe->body) : 0;
    if (n > 2) { /* not {} */
        line_put(l, recipe->body + 1, n - 2);
        put(l, ",");
    }
    if (FORMS[api].system && recipe->system) {
        line_print(l, "\"%s\":", FORMS[api].system);
        line_quote(l, recipe->system);
        put(l, ",");
    }
    line_print(l, "\"%s\":[", FORMS[api].messages);
    if (!FORMS[api].system && recipe->system) {
        put(l, "{\"role\":\"system\",\"content\":");
        line_quote(l, recipe->system);
        put(l, "},");
    }
    line_print(l, "{\"role\":\"user\",\"content\":[{\"type\":\"%s\",\"text\":\"", FORMS[api].text);
    return line_check(l);
}

void request_form_free(RequestForm *f) { line_free(&f->head); }

void request_begin(const RequestForm *f, Line *out, const char *id, const Line *prompt)
{
    out->n = 0;
    put(out, "{\"custom_id\":\"");
    put(out, id);
    line_put(out, f->head.text, f->head.n);
    line_put(out, prompt->text, prompt->n);
    put(out, "\"}");
}

void request_add_picture(const RequestForm *f, Line *out, const SentPicture *picture)
{
    put(out, ",");
    put(out, FORMS[f->api].picture);
    line_print(out, "\"data:%s;base64,", picture->mime);
    line_base64(out, picture->bytes, picture->n);
    line_print(out, "\",\"detail\":\"%s\"%s", f->detail, FORMS[f->api].picture_end);
}

void request_end(Line *out) { put(out, "]}]}}"); }
