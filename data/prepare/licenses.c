/* The licenses of a shard's rows: prov.license of those that name one, else their source's. Called by build.c. */
#include <stdlib.h>
#include <string.h>

#include "data/formats/json_write.h"
#include "data/prepare/parts.h"
#include "kernels/base/arena.h"

typedef struct Licenses {
    char **names; /* none twice in a row */
    int n, capacity;
} Licenses;

static Status add_name(Licenses *l, const char *name)
{
    if (l->n && !strcmp(l->names[l->n - 1], name))
        return OK;
    if (l->n == l->capacity) {
        int capacity = 2 * l->capacity + 8;
        char **grown = mem_grow(l->names, (size_t)capacity * sizeof *grown);
        if (!grown)
            return fail(ERR_NOMEM, "no memory for %d names of licenses", capacity);
        l->names = grown;
        l->capacity = capacity;
    }
    if (!(l->names[l->n] = mem_strdup(name)))
        return fail(ERR_NOMEM, "no memory for the name of a license");
    l->n++;
    return OK;
}

/* of_source: NULL where its source names none. A row was read once already: what cannot be read again names no license. */
static Status add_row(Licenses *l, const char *row, size_t n, const char *of_source)
{
    static const char KEY[] = "\"license\"";
    JsonDoc *doc = NULL;
    Status s = OK;
    if (memmem(row, n, KEY, sizeof KEY - 1)) /* most rows have none: they are not worth reading again */
        s = json_parse(&doc, row, n, "row");
    const Json *own = doc ? json_get(json_get(json_root(doc), "prov"), "license") : NULL;
    const char *name = own && own->kind == JSON_STRING && own->length ? own->string : of_source;
    if (name && (!s || s == ERR_DATA))
        s = add_name(l, name);
    json_free(&doc);
    return s == ERR_DATA ? OK : s;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

Status prepare_licenses(const Gathered *g, const Mixture *m, char **json)
{
    Licenses l = {0};
    Status s = OK;
    *json = NULL;
    const Shard *shard = &g->shard;
    const uint64_t *at = shard->text_off;
    for (int64_t i = 0; i < shard->attr.n_samples && !s; i++)
        s = add_row(&l, g->text + at[i], (size_t)(at[i + 1] - at[i]), m->sources[shard->source[i]].license);
    if (l.n)
        qsort(l.names, (size_t)l.n, sizeof *l.names, by_name);
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < l.n && !s; i++)
        if (!i || strcmp(l.names[i], l.names[i - 1]))
            json_add_text(list, NULL, l.names[i]);
    if (!s)
        s = json_to_text(json, &list, JSON_INLINE, "the names of licenses");
    cJSON_Delete(list);
    for (int i = 0; i < l.n; i++)
        mem_free(l.names[i]);
    mem_free(l.names);
    return s;
}
