#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/prepare_parts.h"

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

Status prepare_make_folders(const char *path)
{
    char part[PATH_MAX];
    if (strlen(path) >= sizeof part)
        return fail(ERR_CREATE, "%s: the name is too long", path);
    for (size_t n = 1;; n++) {
        if (path[n] && path[n] != '/')
            continue;
        memcpy(part, path, n);
        part[n] = 0;
        struct stat st;
        if (mkdir(part, 0777) && (errno != EEXIST || stat(part, &st) || !S_ISDIR(st.st_mode)))
            return fail(ERR_CREATE, "%s: cannot create the folder: %s", part, strerror(errno));
        if (!path[n])
            return OK;
    }
}

Status prepare_remove_folder(const char *path)
{
    DIR *d = opendir(path);
    if (!d)
        return errno == ENOENT ? OK : fail(ERR_IO, "%s: %s", path, strerror(errno));
    Status s = OK;
    for (struct dirent *e; !s && (e = readdir(d));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && unlinkat(dirfd(d), e->d_name, 0) && errno != ENOENT)
            s = fail(ERR_IO, "%s/%s: cannot be removed: %s", path, e->d_name, strerror(errno));
    closedir(d);
    if (!s && rmdir(path) && errno != ENOENT)
        s = fail(ERR_IO, "%s: cannot be removed: %s", path, strerror(errno));
    return s;
}

Status prepare_sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail(ERR_IO, "%s: %s", path, strerror(errno));
    /* Some file systems cannot sync a folder and say EINVAL; there is nothing more to do then. */
    Status s = fsync(fd) && errno != EINVAL ? fail(ERR_IO, "%s: fsync: %s", path, strerror(errno)) : OK;
    close(fd);
    return s;
}

Status prepare_replace(const char *path, const char *text, size_t n)
{
    char tmp[PATH_MAX], folder[PATH_MAX];
    if ((size_t)snprintf(tmp, sizeof tmp, "%s.tmp.%d", path, (int)getpid()) >= sizeof tmp)
        return fail(ERR_CREATE, "%s: the name is too long", path);
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return fail(errno == ENOSPC ? ERR_IO : ERR_CREATE, "%s: %s", tmp, strerror(errno));
    Status s = prepare_write_at(fd, tmp, text, n, 0);
    if (!s && fsync(fd))
        s = fail(ERR_IO, "%s: fsync: %s", tmp, strerror(errno));
    if (close(fd) && !s)
        s = fail(ERR_IO, "%s: closing: %s", tmp, strerror(errno));
    if (!s && rename(tmp, path))
        s = fail(ERR_IO, "%s: renaming: %s", tmp, strerror(errno));
    if (s) {
        unlink(tmp);
        return s;
    }
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = 0;
    return prepare_sync_folder(slash ? folder : ".");
}
