/* algorithms.c: a backend's chosen algorithms in a checkpoint's state.json (algorithms.h). Called by checkpoint.c. */
#include "train/store/algorithms.h"

#include <string.h>

#include "kernels/base/arena.h"

static const char KEY[] = "algorithms";

Status algorithms_write(cJSON *state, Backend *b)
{
    char *text;
    if (!b->choices)
        return OK;
    TRY(b->choices(b, &text));
    cJSON *lines = cJSON_AddArrayToObject(state, KEY);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        json_add_text(lines, NULL, line);
    }
    mem_free(text);
    return OK;
}

Status algorithms_read(const Json *state, Backend *b)
{
    const Json *list = json_get(state, KEY);
    size_t n = 0;
    if (!list || !b->choose)
        return OK;
    for (const Json *line = list->child; line; line = line->next)
        n += line->kind == JSON_STRING ? line->length + 1 : 0;
    char *text = mem_alloc(n + 1), *to = text;
    if (!text)
        return fail(ERR_NOMEM, "the algorithms kept with the run: out of memory");
    for (const Json *line = list->child; line; line = line->next)
        if (line->kind == JSON_STRING) {
            memcpy(to, line->string, line->length);
            to += line->length;
            *to++ = '\n';
        }
    Status s = b->choose(b, text);
    mem_free(text);
    return s;
}
