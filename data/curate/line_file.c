/* line_file.c: opens files and pipes whose lines are read again (line_file.h). */
#include "data/curate/line_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/formats/file.h"
#include "kernels/base/arena.h"

enum { PIECE_BYTES = 1 << 16 };

/* The rest of a pipe. */
static Status copy_pipe(LineFile *f)
{
    char piece[PIECE_BYTES];
    f->copy = tmpfile();
    if (!f->copy)
        return fail(ERR_CREATE, "%s: is a pipe, and no temporary file can be made to keep it: %s", f->name, strerror(errno));
    for (ssize_t n = 1; n > 0;) {
        n = read(f->fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n < 0)
            return fail(ERR_IO, "%s: cannot be read: %s", f->name, strerror(errno));
        else if (fwrite(piece, 1, (size_t)n, f->copy) != (size_t)n)
            return fail(ERR_IO, "%s: the temporary file that keeps this pipe cannot be written: %s", f->name, strerror(errno));
    }
    if (fflush(f->copy))
        return fail(ERR_IO, "%s: the temporary file that keeps this pipe cannot be written: %s", f->name, strerror(errno));
    return OK;
}

Status line_file_open(LineFile *f, const char *path)
{
    struct stat st;
    *f = (LineFile){.name = file_name(path), .path = path, .fd = -1};
    f->fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
    if (f->fd < 0 || fstat(f->fd, &st))
        return fail(ERR_MISSING, "%s: cannot be opened: %s", f->name, strerror(errno));
    Status s = strcmp(path, "-") ? file_check_kind(f->fd, f->name) : OK;
    if (!s && !S_ISREG(st.st_mode))
        s = copy_pipe(f);
    if (s) {
        line_file_close(f);
        return s;
    }
    if (f->copy) {
        close(f->fd);
        f->fd = dup(fileno(f->copy));
    }
    if (f->copy || !strcmp(path, "-")) {
        snprintf(f->kept, sizeof f->kept, "/proc/self/fd/%d", f->fd);
        f->path = f->kept;
    }
    return OK;
}

void line_file_close(LineFile *f)
{
    if (f->copy)
        fclose(f->copy);
    if (f->fd >= 0)
        close(f->fd);
    *f = (LineFile){.fd = -1};
}

Status line_file_read(const LineFile *f, const LinePlace *place, LineText *out)
{
    if (place->n + (size_t)1 > out->room) {
        const size_t room = 2 * (size_t)place->n + 1;
        char *grown = mem_grow(out->text, room);
        if (!grown)
            return fail(ERR_NOMEM, "%s: no memory for a line of %zu bytes", f->name, (size_t)place->n);
        out->text = grown;
        out->room = room;
    }
    out->text[place->n] = 0;
    return file_read_at(f->fd, f->name, out->text, place->n, place->start);
}
