/* weight_index.c: which tensor lies in which file (weight_index.h). */
#include "data/formats/weight_index.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/base/arena.h"

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static Status check_map(const Json *map, const char *index)
{
    if (!map || map->kind != JSON_OBJECT)
        return fail(ERR_DATA, "%s: no object \"weight_map\" in it", index);
    for (const Json *m = map->child; m; m = m->next) {
        if (m->kind != JSON_STRING)
            return fail(ERR_DATA, "%s:%d:%d: the file of tensor \"%.200s\" is %s, expected a string", index, m->line, m->column, m->key,
                        json_kind_name(m->kind));
        if (!m->length || strlen(m->string) != m->length || strchr(m->string, '/') || !strcmp(m->string, "..") || !strcmp(m->string, "."))
            return fail(ERR_DATA, "%s:%d:%d: tensor \"%.200s\": \"%.200s\" is not the name of a file beside the index", index, m->line,
                        m->column, m->key, m->string);
    }
    return OK;
}

static Status list_files(WeightIndex *w)
{
    int n = 0;
    w->files = mem_alloc(w->map->length * sizeof *w->files);
    if (!w->files)
        return fail(ERR_NOMEM, "%s: no memory for %zu names", w->path, w->map->length);
    for (const Json *m = w->map->child; m; m = m->next)
        w->files[n++] = m->string;
    qsort(w->files, (size_t)n, sizeof *w->files, by_text);
    for (int i = 0; i < n; i++)
        if (!i || strcmp(w->files[w->n_files - 1], w->files[i]))
            w->files[w->n_files++] = w->files[i];
    return OK;
}

Status weight_index_read(WeightIndex *w, const char *path)
{
    *w = (WeightIndex){.path = path};
    TRY(json_read_file(&w->doc, path));
    w->map = json_get(json_root(w->doc), "weight_map");
    TRY(check_map(w->map, path));
    return list_files(w);
}

void weight_index_free(WeightIndex *w)
{
    json_free(&w->doc);
    mem_free(w->files);
    *w = (WeightIndex){0};
}

Status weight_index_explain(Status s, const WeightIndex *w, int i)
{
    if (s != ERR_MISSING)
        return s;
    const Json *m = w->map->child;
    while (strcmp(m->string, w->files[i]))
        m = m->next;
    return fail(s, "%s (%s puts tensor \"%.200s\" there)", status_message(), w->path, m->key);
}

Status weight_index_check(const WeightIndex *w, const char *folder, FindTensor *find, const void *weights)
{
    for (const Json *m = w->map->child; m; m = m->next) {
        const StTensor *t = find(weights, m->key);
        if (!t)
            return fail(ERR_DATA, "%s/%s: no tensor \"%.200s\" in it, though %s puts it there", folder, m->string, m->key, w->path);
        if (strcmp(strrchr(t->file, '/') + 1, m->string))
            return fail(ERR_DATA, "%s: tensor \"%.200s\" is in it, though %s puts it into %s", t->file, m->key, w->path, m->string);
    }
    return OK;
}
