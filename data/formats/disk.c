#include "data/formats/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/base/arena.h"

char *disk_join(char *buf, const char *folder, const char *name)
{
    snprintf(buf, PATH_MAX, "%s/%s", folder, name);
    return buf;
}

static bool is_full(int error) { return error == ENOSPC || error == EFBIG || error == EDQUOT || error == EIO; }

static Status fail_create(const char *path)
{
    int error = errno;
    return fail(is_full(error) ? ERR_IO : ERR_CREATE, "%s: cannot be created: %s", path, strerror(error));
}

static Status write_all(int fd, const char *path, const char *bytes, size_t n)
{
    while (n) {
        ssize_t done = write(fd, bytes, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done == 0)
            errno = ENOSPC;
        if (done <= 0)
            return fail(ERR_IO, "%s: cannot be written: %s", path, strerror(errno));
        bytes += done;
        n -= (size_t)done;
    }
    return OK;
}

static Status sync_close(int fd, const char *path)
{
    int error = fsync(fd) ? errno : 0;
    if (close(fd) && !error)
        error = errno;
    return error ? fail(ERR_IO, "%s: cannot be written: %s", path, strerror(error)) : OK;
}

static Status write_file(const char *path, const void *bytes, size_t n, const char *end)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return fail_create(path);
    Status s = write_all(fd, path, bytes, n);
    if (s == OK)
        s = write_all(fd, path, end, strlen(end));
    if (s != OK) {
        close(fd);
        return s;
    }
    return sync_close(fd, path);
}

Status disk_write(const char *path, const void *bytes, size_t n) { return write_file(path, bytes, n, ""); }
Status disk_write_text(const char *path, const char *text) { return write_file(path, text, strlen(text), "\n"); }

Status disk_replace(const char *path, const char *text)
{
    char temporary[PATH_MAX];
    snprintf(temporary, sizeof temporary, "%.*s.tmp", PATH_MAX - 8, path);
    Status s = disk_write_text(temporary, text);
    if (s == OK)
        s = disk_rename(temporary, path);
    if (s != OK)
        unlink(temporary);
    return s;
}

Status disk_copy(const char *from, const char *to)
{
    enum { PIECE = 1 << 20 };
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return fail(ERR_MISSING, "%s: cannot be opened: %s", from, strerror(errno));
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    char *buf = out >= 0 ? mem_alloc(PIECE) : NULL;
    Status s = out < 0 ? fail_create(to) : buf ? OK : fail(ERR_NOMEM, "%s: out of memory", to);
    for (ssize_t n = 1; s == OK && n > 0;) {
        n = read(in, buf, PIECE);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n < 0)
            s = fail(ERR_IO, "%s: cannot be read: %s", from, strerror(errno));
        else
            s = write_all(out, to, buf, (size_t)n);
    }
    mem_free(buf);
    close(in);
    if (s != OK) {
        if (out >= 0)
            close(out);
        return s;
    }
    return sync_close(out, to);
}

Status disk_make_folder(const char *path) { return mkdir(path, 0777) ? fail_create(path) : OK; }

Status disk_make_folders(const char *path)
{
    char part[PATH_MAX];
    snprintf(part, sizeof part, "%s", path);
    for (char *p = part + 1;; p++) {
        if (*p && *p != '/')
            continue;
        char end = *p;
        *p = 0;
        struct stat st;
        if (mkdir(part, 0777) && (errno != EEXIST || stat(part, &st) || !S_ISDIR(st.st_mode)))
            return fail_create(part);
        *p = end;
        if (!end)
            return OK;
    }
}

Status disk_check_folders(const char *path)
{
    char part[PATH_MAX];
    struct stat st;
    snprintf(part, sizeof part, "%s", path);
    while (lstat(part, &st) && errno == ENOENT) { /* up to the nearest name that is there */
        char *slash = strrchr(part, '/');
        if (!slash)
            snprintf(part, sizeof part, ".");
        else if (slash == part)
            snprintf(part, sizeof part, "/");
        else
            *slash = 0;
    }
    errno = 0;
    if (!stat(part, &st) && !S_ISDIR(st.st_mode))
        errno = ENOTDIR;
    return errno || access(part, W_OK | X_OK) ? fail_create(path) : OK;
}

Status disk_sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail(ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    return sync_close(fd, path);
}

Status disk_rename(const char *from, const char *to)
{
    return rename(from, to) ? fail(ERR_IO, "%s: cannot be renamed to %s: %s", from, to, strerror(errno)) : OK;
}

bool disk_exists(const char *path)
{
    struct stat st;
    return !lstat(path, &st);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

Status disk_list(const char *path, DiskVisit visit, void *arg)
{
    DIR *d = opendir(path);
    if (!d)
        return fail(ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    char **names = NULL;
    int n = 0;
    Status s = OK;
    for (struct dirent *e; s == OK && (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        char **grown = mem_grow(names, (size_t)(n + 1) * sizeof *names);
        if (grown)
            names = grown;
        if (!grown || !(names[n++] = mem_strdup(e->d_name)))
            s = fail(ERR_NOMEM, "%s: out of memory", path);
    }
    closedir(d);
    if (s == OK && n)
        qsort(names, (size_t)n, sizeof *names, by_name);
    for (int i = 0; i < n; i++) {
        if (s == OK)
            s = visit(arg, names[i]);
        mem_free(names[i]);
    }
    mem_free(names);
    return s;
}

static Status remove_member(void *folder, const char *name)
{
    char path[PATH_MAX];
    return disk_remove(disk_join(path, folder, name));
}

Status disk_remove(const char *path)
{
    struct stat st;
    if (lstat(path, &st))
        return errno == ENOENT ? OK : fail(ERR_IO, "%s: cannot be examined: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode)) {
        char folder[PATH_MAX];
        snprintf(folder, sizeof folder, "%s", path);
        TRY(disk_list(path, remove_member, folder));
        return rmdir(path) ? fail(ERR_IO, "%s: cannot be removed: %s", path, strerror(errno)) : OK;
    }
    return unlink(path) ? fail(ERR_IO, "%s: cannot be removed: %s", path, strerror(errno)) : OK;
}
