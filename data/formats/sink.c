/* sink.c: buffered writing of one file (sink.h). */
#include "data/formats/sink.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"

static Status fail_write(const Sink *s) { return fail(ERR_IO, "%s: cannot be written: %s", s->path, strerror(errno)); }

static Status flush(Sink *s)
{
    size_t n = s->buffered;
    s->buffered = 0;
    return file_write_at(s->fd, s->path, s->buffer, n, -1);
}

Status sink_open(Sink *s, const char *path)
{
    s->fd = -1;
    s->buffered = 0;
    s->path = mem_strdup(path);
    if (!s->path)
        return fail(ERR_NOMEM, "%s: no memory to write it", path);
    return file_create(&s->fd, path);
}

Status sink_put(Sink *s, const void *bytes, size_t n)
{
    if (n > sizeof s->buffer - s->buffered)
        TRY(flush(s));
    if (n > sizeof s->buffer)
        return file_write_at(s->fd, s->path, bytes, n, -1);
    if (n)
        memcpy(s->buffer + s->buffered, bytes, n);
    s->buffered += n;
    return OK;
}

Status sink_close(Sink *s)
{
    Status status = flush(s);
    if (!status && fsync(s->fd))
        status = fail_write(s);
    int fd = s->fd;
    s->fd = -1;
    if (close(fd) && !status)
        status = fail_write(s);
    return status;
}

void sink_abandon(Sink *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    mem_free(s->path);
    s->path = NULL;
}
