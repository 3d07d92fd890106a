/* mapped.c: maps files to read them in place (mapped.h). */
#include "data/formats/mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/base/arena.h"

static Status map_whole(Mapped *m, int fd, const char *kind)
{
    struct stat st;
    if (fstat(fd, &st))
        return fail(ERR_IO, "%s: cannot be examined: %s", m->path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return fail(ERR_MISSING, "%s: is %s, expected %s", m->path, S_ISDIR(st.st_mode) ? "a folder" : "not a regular file", kind);
    if (!st.st_size)
        return OK;
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return fail(errno == ENOMEM ? ERR_NOMEM : ERR_IO, "%s: cannot be mapped: %s", m->path,
                    errno == ENOMEM ? "no memory" : strerror(errno));
    m->bytes = map;
    m->n = (size_t)st.st_size;
    return OK;
}

Status mapped_open(Mapped *m, const char *path, const char *kind)
{
    *m = (Mapped){.path = mem_strdup(path)};
    if (!m->path)
        return fail(ERR_NOMEM, "%s: no memory to open it", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(ERR_MISSING, "%s: cannot be opened: %s", path, strerror(errno));
    Status s = map_whole(m, fd, kind);
    close(fd);
    return s;
}

void mapped_close(Mapped *m)
{
    if (m->bytes)
        munmap((void *)(uintptr_t)m->bytes, m->n);
    mem_free(m->path);
    *m = (Mapped){0};
}

/* A fault maps up to 64 KiB around it, so the last pages of what lies before may have come back with the first of these: they go too. */
void mapped_release(const void *map, size_t map_bytes, const void *data, size_t n)
{
    const uintptr_t around = 1 << 16, first = (uintptr_t)map, at = (uintptr_t)data;
    uintptr_t from = at & ~(around - 1), to = (at + n + around - 1) & ~(around - 1);
    from = from > first ? from : first;
    to = to < first + map_bytes ? to : first + map_bytes;
    madvise((void *)from, to - from, MADV_DONTNEED); /* refused: they stay, which is no matter */
}
