/* file.c: see file.h. Every room that touches a file or folder calls it. */
#include "data/formats/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/held.h"
#include "kernels/base/arena.h"
#include "kernels/base/log.h"

/* ---------------------------------------------------------------- names */

char *file_join(char *path, const char *folder, const char *name)
{
    if (snprintf(path, PATH_MAX, "%s/%s", folder, name) >= PATH_MAX)
        memset(path + PATH_MAX - NAME_MAX - 3, '_', NAME_MAX + 2); /* a last name longer than any may be */
    return path;
}

char *file_folder(char *folder, const char *path)
{
    const char *slash = strrchr(path, '/');
    snprintf(folder, PATH_MAX, "%.*s", slash > path ? (int)(slash - path) : 1, slash ? path : ".");
    return folder;
}

char *file_join_beside(char *path, const char *folder, const char *name)
{
    char around[PATH_MAX];
    return strncmp(name, "../", 3) ? file_join(path, folder, name) : file_join(path, file_folder(around, folder), name + 3);
}

const char *file_name(const char *path) { return strcmp(path, "-") ? path : "standard input"; }

const char *file_size_text(char *buf, size_t n, size_t n_bytes)
{
    static const char *const UNITS[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double size = (double)n_bytes;
    int unit = 0;
    for (; size >= 1024 && unit < 6; unit++)
        size /= 1024;
    snprintf(buf, n, unit ? "%.1f %s" : "%.0f %s", size, UNITS[unit]);
    return buf;
}

bool file_same(const char *a, const char *b)
{
    struct stat sa, sb;
    char folder[PATH_MAX];
    const bool there = !stat(a, &sa);
    if (there != !stat(b, &sb))
        return false;
    if (there)
        return S_ISREG(sa.st_mode) && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
    const char *slash_a = strrchr(a, '/'), *slash_b = strrchr(b, '/');
    return !strcmp(slash_a ? slash_a + 1 : a, slash_b ? slash_b + 1 : b) && !stat(file_folder(folder, a), &sa) &&
           !stat(file_folder(folder, b), &sb) && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

Status file_spare(const char *option, const char *out, const char *input, const char *what)
{
    if (!out || !input || !strcmp(out, "-") || !strcmp(input, "-") || !file_same(out, input))
        return OK;
    return fail(ERR_USAGE, "%s %s: is the %s of this run, which would be lost; choose another name", option, out, what);
}

int64_t file_room(void)
{
    enum { OTHERS = 32 };
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur > INT32_MAX)
        return INT32_MAX;
    return files.rlim_cur > OTHERS ? (int64_t)files.rlim_cur - OTHERS : 0;
}

const char *file_kind(mode_t mode)
{
    return S_ISREG(mode)                      ? "a file"
           : S_ISDIR(mode)                    ? "a folder"
           : S_ISCHR(mode) || S_ISBLK(mode) ? "a device"
           : S_ISFIFO(mode)                   ? "a pipe"
           : S_ISSOCK(mode)                   ? "a socket"
                                              : "a link";
}

/* ---------------------------------------------------------------- reading */

bool file_exists(const char *path)
{
    struct stat st;
    return !lstat(path, &st) || (errno != ENOENT && errno != ENOTDIR);
}

static Status fail_read(const char *path) { return fail(ERR_IO, "%s: cannot be read: %s", path, strerror(errno)); }

static Status check_kind(int fd, const char *path, bool pipe)
{
    struct stat st;
    if (fstat(fd, &st))
        return fail(ERR_IO, "%s: cannot be examined: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) && !(pipe && S_ISFIFO(st.st_mode)))
        return fail(ERR_MISSING, "%s: is %s, expected a file", path, file_kind(st.st_mode));
    return OK;
}

Status file_check_kind(int fd, const char *path) { return check_kind(fd, path, true); }

static Status read_open_file(char **bytes, size_t *n, const char *path, size_t most, int fd)
{
    struct stat st;
    if (fstat(fd, &st))
        return fail(ERR_IO, "%s: cannot be examined: %s", path, strerror(errno));
    size_t capacity = S_ISREG(st.st_mode) && st.st_size > 0 ? (size_t)st.st_size + 2 : (size_t)64 << 10;
    char *text = NULL;
    size_t length = 0;
    for (;;) {
        if (length > most) {
            char limit[32];
            mem_free(text);
            return fail(ERR_DATA, "%s: larger than the %s allowed here", path, file_size_text(limit, sizeof limit, most));
        }
        if (capacity > most + 2)
            capacity = most + 2;
        char *grown = mem_grow(text, capacity);
        if (!grown) {
            mem_free(text);
            return fail(ERR_NOMEM, "%s: no memory for %zu bytes", path, capacity);
        }
        text = grown;
        ssize_t got = read(fd, text + length, capacity - 1 - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            mem_free(text);
            return fail_read(path);
        }
        if (!got)
            break;
        length += (size_t)got;
        if (length + 1 >= capacity)
            capacity *= 2;
    }
    text[length] = 0;
    *bytes = text;
    *n = length;
    return OK;
}

static Status open_named(int *fd, const char *path, bool pipe)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (pipe ? 0 : O_NONBLOCK)); /* which a pipe without a writer would wait for */
    if (*fd < 0)
        return fail(ERR_MISSING, "%s: cannot be opened: %s", path, strerror(errno));
    Status s = check_kind(*fd, path, pipe);
    if (s)
        close(*fd);
    return s;
}

Status file_open(int *fd, const char *path) { return open_named(fd, path, false); }

static Status read_named(char **bytes, size_t *n, const char *path, size_t most, bool pipe)
{
    *bytes = NULL;
    *n = 0;
    if (!strcmp(path, "-"))
        return read_open_file(bytes, n, file_name(path), most, STDIN_FILENO);
    int fd;
    TRY(open_named(&fd, path, pipe));
    Status s = read_open_file(bytes, n, path, most, fd);
    close(fd);
    return s;
}

Status file_read(char **bytes, size_t *n, const char *path, size_t most) { return read_named(bytes, n, path, most, false); }
Status file_read_pipe(char **bytes, size_t *n, const char *path, size_t most) { return read_named(bytes, n, path, most, true); }

Status file_read_at(int fd, const char *path, void *bytes, size_t n, int64_t at)
{
    for (char *p = bytes; n;) {
        ssize_t done = pread(fd, p, n, at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return fail_read(path);
        if (!done)
            return fail(ERR_DATA, "%s: the file ends early", path);
        p += done;
        n -= (size_t)done;
        at += done;
    }
    return OK;
}

/* ---------------------------------------------------------------- writing */

static bool is_full(int error) { return error == ENOSPC || error == EFBIG || error == EDQUOT || error == EIO; }

static Status fail_create(const char *path)
{
    int error = errno;
    return fail(is_full(error) ? ERR_IO : ERR_CREATE, "%s: cannot be created: %s", path, strerror(error));
}

static Status fail_write(const char *path) { return fail(ERR_IO, "%s: cannot be written: %s", path, strerror(errno)); }

static int create_file(const char *path) { return held_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666); }

Status file_create(int *fd, const char *path)
{
    *fd = create_file(path);
    return *fd < 0 ? fail_create(path) : OK;
}

/* name: what messages call it. */
static Status open_stream(FILE **out, const char *path, const char *name, int flags, const char *mode)
{
    *out = NULL;
    int fd = held_open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | flags, 0666);
    if (fd < 0)
        return fail_create(name);
    if ((*out = fdopen(fd, mode)))
        return OK;
    close(fd);
    return fail(ERR_NOMEM, "%s: out of memory", name);
}

Status file_create_new(FILE **out, const char *path) { return open_stream(out, path, path, O_EXCL, "w"); }

Status file_append(FILE **out, const char *path)
{
    struct stat st;
    *out = NULL;
    if (!held_lstat(path, &st) && !S_ISREG(st.st_mode))
        return fail(ERR_CREATE, "%s: is %s, expected a file of this run; move it away", path, file_kind(st.st_mode));
    return open_stream(out, path, path, O_APPEND, "a");
}

Status file_write_at(int fd, const char *path, const void *bytes, size_t n, int64_t at)
{
    for (const char *p = bytes; n;) {
        ssize_t done = at < 0 ? write(fd, p, n) : pwrite(fd, p, n, at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done == 0)
            errno = ENOSPC;
        if (done <= 0)
            return fail_write(path);
        p += done;
        n -= (size_t)done;
        at += at < 0 ? 0 : done;
    }
    return OK;
}

/* Closes; after OK so that it is there after a power cut, if asked. */
static Status close_file(int fd, const char *path, Status s, bool sync)
{
    if (!s && sync && fsync(fd))
        s = fail_write(path);
    if (close(fd) && !s)
        s = fail_write(path);
    return s;
}

static Status write_file(const char *path, const void *bytes, size_t n, bool sync)
{
    int fd = create_file(path);
    return fd < 0 ? fail_create(path) : close_file(fd, path, file_write_at(fd, path, bytes, n, -1), sync);
}

Status file_write(const char *path, const void *bytes, size_t n) { return write_file(path, bytes, n, false); }
Status file_save(const char *path, const void *bytes, size_t n) { return write_file(path, bytes, n, true); }

Status file_copy(const char *from, const char *to)
{
    enum { PIECE = 1 << 20 };
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return fail(ERR_MISSING, "%s: cannot be opened: %s", from, strerror(errno));
    int out = create_file(to);
    char *buf = out >= 0 ? mem_grow(NULL, PIECE) : NULL;
    Status s = out < 0 ? fail_create(to) : buf ? OK : fail(ERR_NOMEM, "%s: out of memory", to);
    for (ssize_t n = 1; s == OK && n > 0;) {
        n = read(in, buf, PIECE);
        if (n < 0 && errno == EINTR)
            n = 1;
        else
            s = n < 0 ? fail_read(from) : file_write_at(out, to, buf, (size_t)n, -1);
    }
    mem_free(buf);
    close(in);
    return out < 0 ? s : close_file(out, to, s, true);
}

Status file_rename(const char *from, const char *to)
{
    return held_rename(from, to) ? fail(ERR_IO, "%s: cannot be renamed to %s: %s", from, to, strerror(errno)) : OK;
}

#define ASIDE "aside"

/* "FOLDER/.NAME.END" */
static void hide_name(char hidden[PATH_MAX], const char *path, const char *end)
{
    char folder[PATH_MAX], name[NAME_MAX + 16];
    const char *slash = strrchr(path, '/');
    snprintf(name, sizeof name, ".%s.%s", slash ? slash + 1 : path, end);
    file_join(hidden, slash == path ? "" : file_folder(folder, path), name);
}

Status file_draft(FileDraft *d, const char *path)
{
    snprintf(d->path, sizeof d->path, "%s", path);
    hide_name(d->hidden, path, "new");
    d->out = NULL;
    TRY(file_remove(d->hidden));
    return open_stream(&d->out, d->hidden, d->path, O_EXCL, "w");
}

Status file_settle(FileDraft *d, Status s)
{
    if (!d->out)
        return s;
    if (!s && (fflush(d->out) || ferror(d->out) || fsync(fileno(d->out))))
        s = fail_write(d->path);
    if (fclose(d->out) && !s)
        s = fail_write(d->path);
    d->out = NULL;
    if (s)
        held_remove(d->hidden, false);
    return s;
}

Status file_publish(FileDraft *d, Status s)
{
    if (!d->out)
        return s;
    TRY(file_settle(d, s));
    s = file_rename(d->hidden, d->path);
    if (s)
        held_remove(d->hidden, false);
    return s;
}

Status file_reveal(const char *path)
{
    char hidden[PATH_MAX];
    hide_name(hidden, path, "new");
    return file_rename(hidden, path);
}

void file_withdraw(const char *path)
{
    char hidden[PATH_MAX];
    hide_name(hidden, path, "new");
    held_remove(hidden, false);
}

static bool is_ordinary(const char *path)
{
    struct stat st;
    return lstat(path, &st) || S_ISREG(st.st_mode);
}

static Status write_in_place(FILE *out, const char *path, FileWrite write, void *arg)
{
    TRY(write(arg, out));
    return fflush(out) || ferror(out) ? fail_write(path) : OK;
}

Status file_deliver(const char *path, FileWrite write, void *arg)
{
    FileDraft d;
    if (!strcmp(path, "-"))
        return write_in_place(stdout, "standard output", write, arg);
    if (is_ordinary(path)) {
        TRY(file_draft(&d, path));
        return file_publish(&d, write(arg, d.out));
    }
    FILE *out = fopen(path, "we");
    if (!out)
        return fail_create(path);
    Status s = write_in_place(out, path, write, arg);
    return fclose(out) && !s ? fail_write(path) : s;
}

Status file_check_delivery(const char *path)
{
    FileDraft d;
    if (!strcmp(path, "-") || !is_ordinary(path))
        return OK;
    TRY(file_draft(&d, path));
    fclose(d.out);
    return file_remove(d.hidden);
}

Status file_replace(const char *path, const char *text)
{
    FileDraft d;
    TRY(file_draft(&d, path));
    return file_publish(&d, fprintf(d.out, "%s\n", text) < 0 ? fail_write(path) : OK);
}

/* ---------------------------------------------------------------- folders */

Status file_make_folders(const char *path)
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

Status file_make_own_folder(const char *path)
{
    struct stat st;
    if (!held_mkdir(path))
        return OK;
    if (errno != EEXIST || held_lstat(path, &st))
        return fail_create(path);
    return S_ISDIR(st.st_mode) ? OK
                               : fail(ERR_CREATE, "%s: is %s, expected a folder of this run; move it away", path, file_kind(st.st_mode));
}

Status file_make_temporary(char *folder, const char *name)
{
    const char *tmp = getenv("TMPDIR");
    const int n = snprintf(folder, PATH_MAX, "%s/genllava-%s-XXXXXX", tmp && *tmp ? tmp : "/tmp", name);
    if (n < PATH_MAX && mkdtemp(folder))
        return OK;
    return fail(ERR_CREATE, "%s: cannot create a temporary folder: %s; TMPDIR names another place", folder,
                strerror(n < PATH_MAX ? errno : ENAMETOOLONG));
}

Status file_check_folders(const char *path)
{
    char part[PATH_MAX];
    struct stat st;
    snprintf(part, sizeof part, "%s", path);
    while (lstat(part, &st) && errno == ENOENT) { /* up to the nearest name that is there */
        char above[PATH_MAX];
        memcpy(part, file_folder(above, part), sizeof part);
    }
    errno = 0;
    if (!stat(part, &st) && !S_ISDIR(st.st_mode))
        errno = ENOTDIR;
    bool whole = !strcmp(part, path); /* then it will be listed too */
    return errno || access(part, W_OK | X_OK | (whole ? R_OK : 0)) ? fail_create(path) : OK;
}

Status file_sync_folder(const char *path)
{
    int fd = held_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    return fd < 0 ? fail(ERR_IO, "%s: cannot be opened: %s", path, strerror(errno)) : close_file(fd, path, OK, true);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static Status list_folder(const char *path, int flags, FileVisit visit, void *arg)
{
    int fd = held_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags, 0);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && !d)
        close(fd);
    if (!d)
        return fail(errno == ENOENT || errno == EACCES ? ERR_MISSING : ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    char **names = NULL;
    int n = 0;
    Status s = OK;
    for (struct dirent *e; s == OK && (e = readdir(d));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        char **grown = mem_grow(names, (size_t)(n + 1) * sizeof *names);
        if (grown)
            names = grown;
        if (!grown || !(names[n++] = mem_strdup(e->d_name))) /* mem_free takes a NULL */
            s = fail(ERR_NOMEM, "%s: out of memory", path);
    }
    closedir(d);
    if (!s && n)
        qsort(names, (size_t)n, sizeof *names, by_name);
    for (int i = 0; i < n; i++) {
        if (s == OK)
            s = visit(arg, names[i]);
        mem_free(names[i]);
    }
    mem_free(names);
    return s;
}

Status file_list(const char *path, FileVisit visit, void *arg) { return list_folder(path, 0, visit, arg); }

static Status remove_member(void *folder, const char *name)
{
    char path[PATH_MAX];
    return file_remove(file_join(path, folder, name));
}

Status file_remove(const char *path)
{
    struct stat st;
    if (held_lstat(path, &st))
        return errno == ENOENT ? OK : fail(ERR_IO, "%s: cannot be examined: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode)) {
        char folder[PATH_MAX];
        snprintf(folder, sizeof folder, "%s", path);
        TRY(list_folder(path, O_NOFOLLOW, remove_member, folder));
    }
    return held_remove(path, S_ISDIR(st.st_mode)) ? fail(ERR_IO, "%s: cannot be removed: %s", path, strerror(errno)) : OK;
}

Status file_retire_folder(const char *path)
{
    char hidden[PATH_MAX];
    hide_name(hidden, path, "old");
    TRY(file_remove(hidden));
    TRY(file_rename(path, hidden));
    return file_remove(hidden);
}

Status file_stage_folder(const char *hidden)
{
    held_release(hidden);
    TRY(file_remove(hidden));
    if (held_mkdir(hidden))
        return fail_create(hidden);
    return held_take(hidden);
}

static Status fail_swapped(const char *path)
{
    return fail(ERR_IO, "%s: is no longer the folder that was being filled: it is moved, or swapped for another one or a link", path);
}

Status file_check_staged(const char *hidden) { return held_same(hidden) ? OK : fail_swapped(hidden); }

Status file_discard_folder(const char *hidden, Status s)
{
    char why[4096];
    bool ours = held_same(hidden);
    snprintf(why, sizeof why, "%s", status_message());
    held_release(hidden);
    if (ours && file_remove(hidden) != OK)
        log_warn("%s", status_message());
    return fail(s, "%s", why);
}

Status file_publish_folder(const char *hidden, const char *path)
{
    char around[PATH_MAX], aside[PATH_MAX];
    struct stat st;
    hide_name(aside, path, ASIDE);
    TRY(file_check_staged(hidden));
    TRY(file_sync_folder(hidden));
    bool exchanged = !held_exchange(hidden, path);
    if (!exchanged) { /* nothing is there, or the file system cannot do it */
        TRY(file_remove(aside));
        if (!held_lstat(path, &st))
            TRY(file_rename(path, aside));
        TRY(file_rename(hidden, path));
    }
    if (!held_is_at(hidden, path))
        return fail_swapped(path);
    held_release(hidden);
    TRY(file_sync_folder(file_folder(around, path)));
    return file_remove(exchanged ? hidden : aside); /* what was there; only now: it may be large */
}

Status file_put_back(const char *folder, const char *name)
{
    char aside[PATH_MAX], path[PATH_MAX], plain[NAME_MAX + 1];
    struct stat st;
    size_t n = strlen(name), end = strlen("." ASIDE);
    if (n <= end + 1 || name[0] != '.' || strcmp(name + n - end, "." ASIDE))
        return OK;
    snprintf(plain, sizeof plain, "%.*s", (int)(n - end - 1), name + 1);
    file_join(aside, folder, name);
    return held_lstat(file_join(path, folder, plain), &st) ? file_rename(aside, path) : OK;
}
