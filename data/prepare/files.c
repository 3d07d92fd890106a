#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "data/prepare/parts.h"

Status prepare_write_at(int fd, const char *name, const void *bytes, size_t n, int64_t at)
{
    const uint8_t *p = bytes;
    while (n) {
        ssize_t done = pwrite(fd, p, n, at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return fail(ERR_IO, "%s: writing: %s", name, strerror(done ? errno : ENOSPC));
        p += done;
        n -= (size_t)done;
        at += done;
    }
    return OK;
}

Status prepare_read_at(int fd, const char *name, void *bytes, size_t n, int64_t at)
{
    uint8_t *p = bytes;
    while (n) {
        ssize_t done = pread(fd, p, n, at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return fail(ERR_IO, "%s: reading: %s", name, done ? strerror(errno) : "it ends early");
        p += done;
        n -= (size_t)done;
        at += done;
    }
    return OK;
}
