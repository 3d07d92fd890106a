/* stwriter.c: writes safetensors files, a tensor after the other. For checkpoints and dumps (safetensors.h). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/json_write.h"
#include "data/formats/safetensors.h"
#include "kernels/base/arena.h"

enum { BUFFER_BYTES = 1 << 20, ALIGN_BYTES = 8 };

struct StWriter {
    char *path;
    int fd;
    uint64_t announced, received; /* bytes of tensor data */
    size_t buffered;
    uint8_t buffer[BUFFER_BYTES];
};

static Status fail_write(const StWriter *w) { return fail(ERR_IO, "%s: cannot be written: %s", w->path, strerror(errno)); }

static Status flush(StWriter *w)
{
    size_t n = w->buffered;
    w->buffered = 0;
    return file_write_at(w->fd, w->path, w->buffer, n, -1);
}

static Status put(StWriter *w, const void *bytes, size_t n)
{
    if (n > sizeof w->buffer - w->buffered)
        TRY(flush(w));
    if (n > sizeof w->buffer)
        return file_write_at(w->fd, w->path, bytes, n, -1);
    memcpy(w->buffer + w->buffered, bytes, n);
    w->buffered += n;
    return OK;
}

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
    TRY(put(w, prefix, sizeof prefix));
    TRY(put(w, text, n));
    return put(w, SPACES, (size_t)padding);
}

static Status create(StWriter *w, const char *path)
{
    w->path = mem_strdup(path);
    if (!w->path)
        return fail(ERR_NOMEM, "%s: no memory to write it", path);
    return file_create(&w->fd, path);
}

Status stwriter_open(StWriter **out, const char *path, const StSpec *specs, int n)
{
    *out = NULL;
    StWriter *w = mem_alloc(sizeof *w);
    if (!w)
        return fail(ERR_NOMEM, "%s: no memory to write it", path);
    w->fd = -1;
    char *header;
    Status s = make_header(&header, path, specs, n, &w->announced);
    if (!s)
        s = create(w, path);
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
        return fail(ERR_INTERNAL, "%s: more data than its header announces (%" PRIu64 " bytes)", w->path, w->announced);
    w->received += n;
    return put(w, bytes, n);
}

Status stwriter_close(StWriter **w)
{
    StWriter *x = *w;
    Status s = OK;
    if (x->received != x->announced)
        s = fail(ERR_INTERNAL, "%s: %" PRIu64 " bytes of data came, its header announces %" PRIu64, x->path, x->received, x->announced);
    if (!s)
        s = flush(x);
    if (!s && fsync(x->fd))
        s = fail_write(x);
    int fd = x->fd;
    x->fd = -1;
    if (close(fd) && !s)
        s = fail_write(x);
    stwriter_abandon(w);
    return s;
}

void stwriter_abandon(StWriter **w)
{
    if (!w || !*w)
        return;
    if ((*w)->fd >= 0)
        close((*w)->fd);
    mem_free((*w)->path);
    mem_free(*w);
    *w = NULL;
}
