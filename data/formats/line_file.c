/* line_file.c: opens files and pipes whose lines are read again (line_file.h). */
#include "data/formats/line_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"

/* A file that is gone when it is closed. */
static Status open_nameless(int *fd)
{
    char folder[PATH_MAX], path[PATH_MAX];
    TRY(file_make_temporary(folder, "pipe"));
    *fd = open(file_join(path, folder, "copy"), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    const int error = errno;
    unlink(path);
    rmdir(folder);
    return *fd < 0 ? fail(ERR_CREATE, "%s: cannot be created: %s", path, strerror(error)) : OK;
}

/* The rest of a pipe; the copy takes its place. */
static Status copy_pipe(LineFile *f)
{
    enum { PIECE_BYTES = 1 << 16 };
    char piece[PIECE_BYTES];
    int copy;
    TRY_IN(open_nameless(&copy), "%s is a pipe, and must be kept", f->name);
    Status s = OK;
    for (ssize_t n = 1; n && !s;) {
        n = read(f->fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        s = n < 0 ? fail(ERR_IO, "%s: cannot be read: %s", f->name, strerror(errno))
                  : fail_context(file_write_at(copy, "the copy of a pipe", piece, (size_t)n, -1), "%s", f->name);
    }
    close(f->fd);
    f->fd = copy;
    return s;
}

static Status open_file(LineFile *f, const char *path)
{
    const bool standard = !strcmp(path, "-");
    struct stat st;
    *f = (LineFile){.name = file_name(path), .path = path};
    f->fd = standard ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (f->fd < 0 || fstat(f->fd, &st))
        return fail(ERR_MISSING, "%s: cannot be opened: %s", f->name, strerror(errno));
    if (!standard)
        TRY(file_check_kind(f->fd, f->name));
    if (!S_ISREG(st.st_mode))
        TRY(copy_pipe(f));
    if (standard || !S_ISREG(st.st_mode)) {
        snprintf(f->kept, sizeof f->kept, "/proc/self/fd/%d", f->fd);
        f->path = f->kept;
        return OK;
    }
    close(f->fd);
    f->fd = -1;
    return OK;
}

Status line_files_open(LineFiles *f, const char *const *paths, int n)
{
    *f = (LineFiles){.files = mem_alloc((size_t)n * sizeof *f->files)};
    if (!f->files)
        return fail(ERR_NOMEM, "no memory for %d files", n);
    Status s = OK;
    while (f->n < n && !s) {
        s = open_file(&f->files[f->n], paths[f->n]);
        f->n++;
    }
    if (s)
        line_files_close(f);
    return s;
}

void line_files_close(LineFiles *f)
{
    for (int i = 0; i < f->n; i++)
        if (f->files[i].fd >= 0)
            close(f->files[i].fd);
    mem_free(f->files);
    *f = (LineFiles){.n = 0};
}

/* A file that is not open, in place of the one that was opened longest ago. */
static Status open_again(LineFiles *f, int i)
{
    int *place = &f->open[f->next];
    if (*place) {
        close(f->files[*place - 1].fd);
        f->files[*place - 1].fd = -1;
        *place = 0;
    }
    TRY(file_open(&f->files[i].fd, f->files[i].path));
    *place = i + 1;
    f->next = (f->next + 1) % LINE_FILES_OPEN;
    return OK;
}

Status line_read(int fd, const char *name, const LinePlace *place, LineText *out)
{
    if (place->n + (size_t)1 > out->room) {
        const size_t room = 2 * (size_t)place->n + 1;
        char *grown = mem_grow(out->text, room);
        if (!grown)
            return fail(ERR_NOMEM, "%s: no memory for a line of %zu bytes", name, (size_t)place->n);
        out->text = grown;
        out->room = room;
    }
    out->text[place->n] = 0;
    return file_read_at(fd, name, out->text, place->n, place->start);
}

Status line_files_read(LineFiles *f, const LinePlace *place, LineText *out)
{
    const LineFile *file = &f->files[place->file];
    if (file->fd < 0)
        TRY(open_again(f, (int)place->file));
    return line_read(file->fd, file->name, place, out);
}
