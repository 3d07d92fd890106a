/* stwriter.c: writes safetensors files, a tensor after the other. For checkpoints and dumps (safetensors.h). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "data/formats/json_write.h"
#include "data/formats/safetensors.h"
#include "data/formats/sink.h"
#include "kernels/base/arena.h"

enum { ALIGN_BYTES = 8 };

struct StWriter {
    Sink sink;
    uint64_t announced, received; /* bytes of tensor data */
};

/* The header's JSON; *total becomes the bytes of all tensors. */
static Status make_header(char **text, const char *path, const StSpec *specs, int n, uint64_t *total)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(cJSON_AddObjectToObject(o, "__metadata__"), "format", "pt");
    *total = 0;
    for (int i = 0; i < n; i++) {
        uint64_t bytes = dtype_size(specs[i].type);
        cJSON *tensor = cJSON_AddObjectToObject(o, specs[i].name);
        cJSON_AddStringToObject(tensor, "dtype", dtype_name(specs[i].type));
        cJSON *shape = cJSON_AddArrayToObject(tensor, "shape"), *offsets = cJSON_AddArrayToObject(tensor, "data_offsets");
        for (int d = 0; d < specs[i].n_dims; d++) {
            json_add_int(shape, NULL, specs[i].shape[d]);
            bytes *= (uint64_t)specs[i].shape[d];
        }
        json_add_int(offsets, NULL, (int64_t)*total);
        *total += bytes;
        json_add_int(offsets, NULL, (int64_t)*total);
    }
    return json_to_text(text, &o, JSON_INLINE, path);
}

static Status write_header(StWriter *w, const char *text)
{
    static const char SPACES[ALIGN_BYTES] = "        ";
    uint64_t n = strlen(text), padding = -n % ALIGN_BYTES, length = n + padding;
    uint8_t prefix[8];
    for (int i = 0; i < 8; i++)
        prefix[i] = (uint8_t)(length >> 8 * i);
    TRY(sink_put(&w->sink, prefix, sizeof prefix));
    TRY(sink_put(&w->sink, text, n));
    return sink_put(&w->sink, SPACES, (size_t)padding);
}

Status stwriter_open(StWriter **out, const char *path, const StSpec *specs, int n)
{
    *out = NULL;
    StWriter *w = mem_grow(NULL, sizeof *w); /* not zeroed: a small file touches little of the buffer */
    if (!w)
        return fail(ERR_NOMEM, "%s: no memory to write it", path);
    w->announced = w->received = 0;
    w->sink.path = NULL;
    w->sink.fd = -1;
    char *header;
    Status s = make_header(&header, path, specs, n, &w->announced);
    if (!s)
        s = sink_open(&w->sink, path);
    if (!s)
        s = write_header(w, header);
    mem_free(header);
    if (s)
        stwriter_abandon(&w);
    *out = w;
    return s;
}

Status stwriter_write(StWriter *w, const void *bytes, size_t n)
{
    if (n > w->announced - w->received)
        return fail(ERR_INTERNAL, "%s: more data than its header announces (%" PRIu64 " bytes)", w->sink.path, w->announced);
    w->received += n;
    return sink_put(&w->sink, bytes, n);
}

Status stwriter_close(StWriter **w)
{
    StWriter *x = *w;
    Status s = OK;
    if (x->received != x->announced)
        s = fail(ERR_INTERNAL, "%s: %" PRIu64 " bytes of data came, its header announces %" PRIu64, x->sink.path, x->received,
                 x->announced);
    if (!s)
        s = sink_close(&x->sink);
    stwriter_abandon(w);
    return s;
}

void stwriter_abandon(StWriter **w)
{
    if (!w || !*w)
        return;
    sink_abandon(&(*w)->sink);
    mem_free(*w);
    *w = NULL;
}
