/* inspect_metadata.c: the metadata of GGUF files, for inspect_weights.c (inspect.h). */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "data/formats/mapped.h"
#include "kernels/base/arena.h"
#include "kernels/base/utf8.h"
#include "tools/inspect/inspect.h"

/* The shortest decimal number that is this f32: 1e-05, where its double would show 9.9999997473787516e-06. */
static double shortest(float x)
{
    char text[40];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x)
            break;
    }
    return strtod(text, NULL);
}

/* Adds a value to an object, or to an array (key NULL); of an array how many elements it has. */
static Status add_value(cJSON *to, const char *key, const Gguf *g, const GgufEntry *e)
{
    int64_t whole;
    double real;
    bool yes = false;
    char *text;
    if (e->is_array) {
        json_add_int(json_add(to, key, cJSON_CreateObject()), "elements", (int64_t)e->n);
        return OK;
    }
    switch (e->kind) {
    case GGUF_TEXT:
        TRY(gguf_get_text(g, e->key, &text));
        json_add_text(to, key, text);
        mem_free(text);
        return OK;
    case GGUF_BOOL:
        TRY(gguf_get_bool(g, e->key, &yes));
        json_add(to, key, cJSON_CreateBool(yes));
        return OK;
    case GGUF_REAL32:
    case GGUF_REAL64:
        TRY(gguf_get_real(g, e->key, &real));
        json_add_real(to, key, e->kind == GGUF_REAL32 ? shortest((float)real) : real);
        return OK;
    default:
        if (gguf_get_int(g, e->key, &whole))
            json_add_real(to, key, (double)mapped_number(e->data, 8)); /* beyond 63 bits */
        else
            json_add_int(to, key, whole);
        return OK;
    }
}

Status inspect_add_metadata(cJSON *to, const Gguf *g)
{
    for (int i = 0; i < gguf_n_entries(g); i++)
        TRY(add_value(to, gguf_entry_at(g, i)->key, g, gguf_entry_at(g, i)));
    return OK;
}

/* A line: the key, and the value as JSON, of which only the beginning is shown when it is long. */
static Status print_entry(FILE *out, const Gguf *g, const GgufEntry *e, int widest, const char *path)
{
    enum { MOST = 100 };
    char *text;
    cJSON *one = cJSON_CreateArray();
    Status s = add_value(one, NULL, g, e);
    if (s) {
        cJSON_Delete(one);
        return s;
    }
    TRY(json_to_text(&text, &one, JSON_INLINE, path));
    const size_t n = strlen(text) - 2; /* without the brackets */
    utf8_cell(out, e->key, widest);
    fputs("  ", out);
    utf8_put(out, text + 1, n > MOST ? utf8_whole(text + 1, MOST) : n, UTF8_LINE);
    fputs(n > MOST ? "…\n" : "\n", out);
    mem_free(text);
    return OK;
}

Status inspect_print_metadata(FILE *out, const Gguf *g, const char *path)
{
    int widest = 4;
    for (int i = 0; i < gguf_n_entries(g); i++) {
        const int columns = utf8_columns(gguf_entry_at(g, i)->key, strlen(gguf_entry_at(g, i)->key));
        widest = columns > widest && columns <= 200 ? columns : widest;
    }
    for (int i = 0; i < gguf_n_entries(g); i++)
        TRY(print_entry(out, g, gguf_entry_at(g, i), widest, path));
    return OK;
}
