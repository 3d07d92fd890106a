/* held.c: see held.h. Called by file.c, and by the writers of checkpoints and logs. */
#include "data/formats/held.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { HELD_MAX = 8 }; /* a run, what is filled in it, and the folders inside */
typedef struct Held {
    char path[PATH_MAX];
    int fd;
} Held;
static _Thread_local Held held[HELD_MAX];
static _Thread_local int n_held;

static Held *find_held(const char *path)
{
    for (int i = 0; i < n_held; i++)
        if (!strcmp(held[i].path, path))
            return &held[i];
    return NULL;
}

Status held_take(const char *path)
{
    if (n_held == HELD_MAX || find_held(path))
        return fail(ERR_INTERNAL, "%s: too many folders are held, or it is held already", path);
    int fd = held_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        return fail(ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    held[n_held].fd = fd;
    snprintf(held[n_held++].path, PATH_MAX, "%s", path);
    return OK;
}

/* Also a folder itself. */
static bool lies_in(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return !strncmp(path, folder, n) && (!path[n] || path[n] == '/');
}

void held_release(const char *path)
{
    for (int i = n_held - 1; i >= 0; i--)
        if (lies_in(held[i].path, path)) {
            close(held[i].fd);
            held[i] = held[--n_held];
        }
}

bool held_is_at(const char *path, const char *name)
{
    struct stat now, then;
    const Held *h = find_held(path);
    return h && !held_lstat(name, &now) && !fstat(h->fd, &then) && now.st_dev == then.st_dev && now.st_ino == then.st_ino;
}

bool held_same(const char *path)
{
    bool same = find_held(path) != NULL;
    for (int i = 0; i < n_held; i++)
        same = same && (!lies_in(held[i].path, path) || held_is_at(held[i].path, held[i].path));
    return same;
}

/* ---------------------------------------------------------------- where a path is used */

typedef struct Place {
    int folder; /* an open folder, AT_FDCWD, or -1: there is none, see errno */
    bool ours;  /* opened on the way, to be closed */
    const char *name;
    int nofollow;
} Place;

/* The innermost held folder that the path lies below; *rest: the part below it. */
static const Held *find_above(const char *path, const char **rest)
{
    const Held *above = NULL;
    size_t longest = 0;
    for (int i = 0; i < n_held; i++) {
        size_t n = strlen(held[i].path);
        if (n > longest && lies_in(path, held[i].path) && path[n] && path[n + 1]) {
            above = &held[i];
            longest = n;
            *rest = path + n + 1;
        }
    }
    return above;
}

/* Opens folder after folder up to the last name. */
static void walk(Place *p)
{
    char step[NAME_MAX + 1];
    for (const char *slash; p->folder >= 0 && (slash = strchr(p->name, '/')); p->name = slash + 1) {
        size_t n = (size_t)(slash - p->name);
        if (!n)
            continue;
        int next = -1;
        errno = ENAMETOOLONG;
        if (n < sizeof step) {
            snprintf(step, sizeof step, "%.*s", (int)n, p->name);
            next = openat(p->folder, step, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        }
        int error = errno;
        if (p->ours)
            close(p->folder);
        errno = error;
        p->folder = next;
        p->ours = true;
    }
}

static Place find_place(const char *path)
{
    const char *rest;
    const Held *above = find_above(path, &rest);
    Place p = {.folder = AT_FDCWD, .name = path};
    if (above) {
        p = (Place){.folder = above->fd, .name = rest, .nofollow = O_NOFOLLOW};
        walk(&p);
    }
    return p;
}

static bool is_found(const Place *p) { return p->folder != -1; }

/* Returns what the call did, errno kept. */
static int leave(const Place *p, int result)
{
    int error = errno;
    if (p->ours && is_found(p))
        close(p->folder);
    errno = error;
    return result;
}

/* ---------------------------------------------------------------- the calls */

int held_open(const char *path, int flags, mode_t mode)
{
    const Held *itself = find_held(path);
    if (itself)
        return openat(itself->fd, ".", flags, mode);
    Place p = find_place(path);
    return leave(&p, is_found(&p) ? openat(p.folder, p.name, flags | p.nofollow, mode) : -1);
}

int held_lstat(const char *path, struct stat *st)
{
    Place p = find_place(path);
    return leave(&p, is_found(&p) ? fstatat(p.folder, p.name, st, AT_SYMLINK_NOFOLLOW) : -1);
}

int held_mkdir(const char *path)
{
    Place p = find_place(path);
    return leave(&p, is_found(&p) ? mkdirat(p.folder, p.name, 0777) : -1);
}

int held_symlink(const char *target, const char *path)
{
    Place p = find_place(path);
    return leave(&p, is_found(&p) ? symlinkat(target, p.folder, p.name) : -1);
}

static int rename_in_place(const char *from, const char *to, unsigned flags)
{
    Place a = find_place(from), b = find_place(to);
    int done = is_found(&a) && is_found(&b) ? renameat2(a.folder, a.name, b.folder, b.name, flags) : -1;
    return leave(&a, leave(&b, done));
}

int held_rename(const char *from, const char *to) { return rename_in_place(from, to, 0); }
int held_exchange(const char *from, const char *to) { return rename_in_place(from, to, RENAME_EXCHANGE); }

int held_remove(const char *path, bool folder)
{
    Place p = find_place(path);
    return leave(&p, is_found(&p) ? unlinkat(p.folder, p.name, folder ? AT_REMOVEDIR : 0) : -1);
}
