/* st_shards.c: a model's weights as safetensors files of limited size and an index (st_shards.h). */
#include "data/formats/st_shards.h"

#include <stdio.h>
#include <string.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "kernels/base/arena.h"

struct StShards {
    char *folder, *stem;
    const StSpec *specs;
    int *first; /* the number of each file's first tensor, and after the last file that of all tensors */
    int n_files, file;
    uint64_t rest; /* bytes that `file` still lacks */
    StWriter *writer;
};

static uint64_t bytes_of(const StSpec *t)
{
    uint64_t n = dtype_size(t->type);
    for (int d = 0; d < t->n_dims; d++)
        n *= (uint64_t)t->shape[d];
    return n;
}

static void divide_tensors(StShards *w, int n, uint64_t most)
{
    uint64_t used = 0;
    w->n_files = 1;
    for (int i = 0; i < n; i++) {
        const uint64_t bytes = bytes_of(&w->specs[i]);
        if (used && bytes > (used < most ? most - used : 0)) {
            w->first[w->n_files++] = i;
            used = 0;
        }
        used += bytes;
    }
    w->first[w->n_files] = n;
}

/* The name of file i into name[NAME_MAX + 1]; returns it. */
static char *name_file(const StShards *w, int i, char *name)
{
    if (w->n_files == 1)
        snprintf(name, NAME_MAX + 1, "%s.safetensors", w->stem);
    else
        snprintf(name, NAME_MAX + 1, "%s-%05d-of-%05d.safetensors", w->stem, i + 1, w->n_files);
    return name;
}

static Status open_file(StShards *w)
{
    char path[PATH_MAX], name[NAME_MAX + 1];
    const int from = w->first[w->file], to = w->first[w->file + 1];
    w->rest = 0;
    for (int i = from; i < to; i++)
        w->rest += bytes_of(&w->specs[i]);
    return stwriter_open(&w->writer, file_join(path, w->folder, name_file(w, w->file, name)), w->specs + from, to - from);
}

Status st_shards_open(StShards **out, const char *folder, const char *stem, const StSpec *specs, int n, uint64_t most)
{
    *out = NULL;
    StShards *w = mem_alloc(sizeof *w);
    if (w) {
        *w = (StShards){.folder = mem_strdup(folder), .stem = mem_strdup(stem), .specs = specs};
        w->first = mem_alloc(((size_t)n + 2) * sizeof *w->first);
    }
    Status s = OK;
    if (!w || !w->folder || !w->stem || !w->first)
        s = fail(ERR_NOMEM, "%s: no memory to write weights there", folder);
    if (!s) {
        divide_tensors(w, n, most);
        s = open_file(w);
    }
    if (s)
        st_shards_abandon(&w);
    *out = w;
    return s;
}

Status st_shards_write(StShards *w, const void *bytes, size_t n)
{
    const char *p = bytes;
    while (n > w->rest && w->file + 1 < w->n_files) {
        const size_t piece = (size_t)w->rest;
        TRY(stwriter_write(w->writer, p, piece));
        TRY(stwriter_close(&w->writer));
        w->file++;
        TRY(open_file(w));
        p += piece;
        n -= piece;
    }
    w->rest -= n < w->rest ? n : w->rest;
    return stwriter_write(w->writer, p, n);
}

static Status write_index(const StShards *w)
{
    char path[PATH_MAX], name[NAME_MAX + 1];
    uint64_t total = 0;
    cJSON *o = cJSON_CreateObject(), *metadata = cJSON_AddObjectToObject(o, "metadata"), *map = cJSON_AddObjectToObject(o, "weight_map");
    for (int f = 0; f < w->n_files; f++)
        for (int i = w->first[f]; i < w->first[f + 1]; i++) {
            json_add_text(map, w->specs[i].name, name_file(w, f, name));
            total += bytes_of(&w->specs[i]);
        }
    json_add_int(metadata, "total_size", (int64_t)total);
    snprintf(name, sizeof name, "%s.safetensors.index.json", w->stem);
    return json_save(file_join(path, w->folder, name), &o);
}

Status st_shards_close(StShards **w)
{
    StShards *x = *w;
    Status s = OK;
    if (x->file + 1 < x->n_files)
        s = fail(ERR_INTERNAL, "%s: data came for %d of %d files of weights", x->folder, x->file + 1, x->n_files);
    if (!s)
        s = stwriter_close(&x->writer);
    if (!s && x->n_files > 1)
        s = write_index(x);
    st_shards_abandon(w);
    return s;
}

void st_shards_abandon(StShards **w)
{
    if (!w || !*w)
        return;
    stwriter_abandon(&(*w)->writer);
    mem_free((*w)->folder);
    mem_free((*w)->stem);
    mem_free((*w)->first);
    mem_free(*w);
    *w = NULL;
}
