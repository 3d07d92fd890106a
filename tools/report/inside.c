/* inside.c: see inside.h. Called by run.c and samples.c. */
#include "tools/report/inside.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "data/formats/beneath.h"
#include "data/formats/file.h"

static InsideFound refuse(Inside *f, const char **why, const char *sentence)
{
    inside_close(f);
    *why = sentence;
    return INSIDE_REFUSED;
}

InsideFound inside_open(Inside *f, const char *folder, const char *name, mode_t kind, const char **why)
{
    f->fd = beneath_find(folder, name);
    if (f->fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return INSIDE_NONE;
    if (f->fd < 0)
        return refuse(f, why, errno == EXDEV ? "leads out of the folder and is not followed" : strerror(errno));
    if (fstat(f->fd, &f->st))
        return refuse(f, why, strerror(errno));
    if ((f->st.st_mode & S_IFMT) != kind)
        return refuse(f, why, kind == S_IFDIR ? "is no folder" : "is no ordinary file");
    snprintf(f->path, sizeof f->path, "/proc/self/fd/%d", f->fd);
    return access(f->path, R_OK) ? refuse(f, why, strerror(errno)) : INSIDE_FOUND;
}

void inside_close(Inside *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}
