#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "data/prepare/parts.h"
#include "kernels/base/arena.h"

/* The kernel's lock (flock) goes with the process and its workers; the host and pid in the file are for people, and for file systems shared by
 * hosts that do not share locks. */
enum { PATIENCE = 50, PAUSE_NS = 100000000 }; /* workers of a killed process may need a moment to go */

typedef struct Holder {
    char host[128];
    long pid;
} Holder;

static Holder read_holder(int fd)
{
    Holder h = {"", 0};
    char text[192] = "";
    if (pread(fd, text, sizeof text - 1, 0) > 0)
        sscanf(text, "%127s %ld", h.host, &h.pid);
    return h;
}

static bool is_alive(long pid) { return pid > 0 && (!kill((pid_t)pid, 0) || errno == EPERM); }

/* Another process may have removed the file between our open and our lock. */
static bool still_there(int fd, const char *path)
{
    struct stat a, b;
    return !fstat(fd, &a) && !stat(path, &b) && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static Status is_held(const char *folder, const char *path, const Holder *h)
{
    return fail(ERR_CREATE, "%s is being prepared by process %ld on %s; wait for it, or remove %s when it is gone", folder, h->pid,
                *h->host ? h->host : "another machine", path);
}

static Status take(PrepareLock *l, const char *folder, const char *host)
{
    for (int wait = 0;; wait++) {
        l->fd = open(l->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (l->fd < 0)
            return fail(errno == ENOSPC ? ERR_IO : ERR_CREATE, "%s: cannot create: %s", l->path, strerror(errno));
        bool locked = !flock(l->fd, LOCK_EX | LOCK_NB), no_locks = !locked && errno != EWOULDBLOCK;
        Holder h = read_holder(l->fd);
        locked = locked || (no_locks && (h.pid == getpid() || !is_alive(h.pid))); /* then the pid has to do */
        bool here = !*h.host || !strcmp(h.host, host);
        if (locked && still_there(l->fd, l->path)) {
            if (here)
                return OK;
            close(l->fd);
            return is_held(folder, l->path, &h);
        }
        close(l->fd);
        if (!locked && (wait == PATIENCE || !here || (h.pid != getpid() && is_alive(h.pid))))
            return is_held(folder, l->path, &h);
        if (!locked)
            nanosleep(&(struct timespec){0, PAUSE_NS}, NULL);
    }
}

Status prepare_lock(PrepareLock *l, const char *folder)
{
    char path[PATH_MAX], host[128] = "", text[192];
    *l = (PrepareLock){.fd = -1};
    if ((size_t)snprintf(path, sizeof path, "%s/.lock", folder) >= sizeof path)
        return fail(ERR_CREATE, "%s: the name is too long", folder);
    l->path = mem_strdup(path);
    if (!l->path)
        return fail(ERR_NOMEM, "no memory for the name of a lock");
    if (gethostname(host, sizeof host - 1) || !*host)
        snprintf(host, sizeof host, "localhost");
    Status s = take(l, folder, host);
    if (!s) {
        int n = snprintf(text, sizeof text, "%s %d\n", host, (int)getpid());
        s = file_write_at(l->fd, l->path, text, (size_t)n, 0);
        if (!s && ftruncate(l->fd, n))
            s = fail(ERR_IO, "%s: %s", l->path, strerror(errno));
        if (s)
            prepare_unlock(l);
        return s;
    }
    mem_free(l->path);
    *l = (PrepareLock){.fd = -1};
    return s;
}

void prepare_unlock(PrepareLock *l)
{
    if (l->path) {
        unlink(l->path); /* while the lock is still ours */
        close(l->fd);
        mem_free(l->path);
    }
    *l = (PrepareLock){.fd = -1};
}
