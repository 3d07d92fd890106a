/* lock.c: see lock.h; prepare, train and evaluate call it. */
#include "data/formats/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "data/formats/held.h"

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
    return !fstat(fd, &a) && !held_lstat(path, &b) && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static Status is_held(const Lock *l, const char *what, const char *use, const Holder *h)
{
    return fail(ERR_CREATE, "%s is being %s by process %ld on %s; wait for it, or remove %s when it is gone", what, use, h->pid,
                *h->host ? h->host : "another machine", l->path);
}

static Status open_locked(Lock *l, const char *what, const char *use, const char *host, bool by_host)
{
    for (int wait = 0;; wait++) {
        struct stat st;
        if (!held_lstat(l->path, &st) && (!S_ISREG(st.st_mode) || st.st_nlink > 1)) /* which what is written into the lock would destroy */
            return fail(ERR_CREATE, "%s: is %s, expected a lock of this process; remove it", l->path,
                        S_ISREG(st.st_mode) ? "another name of a file elsewhere" : file_kind(st.st_mode));
        l->fd = held_open(l->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        bool made = l->fd >= 0;
        if (!made && errno == EEXIST)
            l->fd = held_open(l->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (l->fd < 0)
            return fail(errno == ENOSPC ? ERR_IO : ERR_CREATE, "%s: cannot be created: %s", l->path, strerror(errno));
        bool locked = !flock(l->fd, LOCK_EX | LOCK_NB), no_locks = !locked && errno != EWOULDBLOCK;
        Holder h = read_holder(l->fd);
        bool here = !*h.host || !strcmp(h.host, host);
        if (no_locks) /* then the pid has to do, and says nothing about a process of another host */
            locked = made || (*h.host && here && (h.pid == getpid() || !is_alive(h.pid)));
        bool there = locked && still_there(l->fd, l->path);
        if (there && (here || !by_host))
            return OK;
        close(l->fd);
        if (there || (!locked && (no_locks || wait == PATIENCE || !here || (h.pid != getpid() && is_alive(h.pid)))))
            return is_held(l, what, use, &h);
        if (!locked)
            nanosleep(&(struct timespec){0, PAUSE_NS}, NULL);
    }
}

/* l->path is set. */
static Status take(Lock *l, const char *what, const char *use, bool by_host)
{
    char host[128] = "", text[192];
    if (gethostname(host, sizeof host - 1) || !*host)
        snprintf(host, sizeof host, "localhost");
    TRY(open_locked(l, what, use, host, by_host));
    l->held = true;
    int n = snprintf(text, sizeof text, "%s %d\n", host, (int)getpid());
    Status s = file_write_at(l->fd, l->path, text, (size_t)n, 0);
    if (!s && ftruncate(l->fd, n))
        s = fail(ERR_IO, "%s: %s", l->path, strerror(errno));
    if (s)
        lock_release(l);
    return s;
}

Status lock_take(Lock *l, const char *folder, const char *use, bool by_host)
{
    file_join(l->path, folder, ".lock");
    return take(l, folder, use, by_host);
}

Status lock_take_file(Lock *l, const char *file, const char *use, bool by_host)
{
    if ((size_t)snprintf(l->path, sizeof l->path, "%s.lock", file) >= sizeof l->path)
        return fail(ERR_CREATE, "%s: the name is too long", file);
    return take(l, file, use, by_host);
}

void lock_release(Lock *l)
{
    if (!l->held)
        return;
    if (still_there(l->fd, l->path))
        held_remove(l->path, false); /* while the lock is still ours */
    close(l->fd);
    l->held = false;
}

bool lock_is_held(const char *folder)
{
    char path[PATH_MAX];
    struct stat st;
    const int fd = open(file_join(path, folder, ".lock"), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    const bool is_lock = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode);
    const bool held = is_lock && flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
    if (fd >= 0)
        close(fd);
    return held;
}
