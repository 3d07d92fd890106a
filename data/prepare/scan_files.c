/* The files of a scan (scan.h): made by the first pass, read by the second. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "data/prepare/parts.h"
#include "kernels/base/arena.h"

static Status open_one(int *fd, const char *folder, const char *name, int flags)
{
    char path[PATH_MAX];
    *fd = open(file_join(path, folder, name), flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0666);
    return *fd < 0 ? fail(flags & O_CREAT ? ERR_IO : ERR_MISSING, "%s: %s", path, strerror(errno)) : OK;
}

static Status open_all(ScanFiles *f, const char *folder, const ScanTotals *totals, int flags)
{
    *f = (ScanFiles){.folder = mem_strdup(folder), .totals = *totals, .rows = -1, .pictures = -1};
    memset(f->more, -1, sizeof f->more);
    Status s = f->folder ? open_one(&f->rows, folder, "rows", flags) : fail(ERR_NOMEM, "no memory for a name");
    if (!s)
        s = open_one(&f->pictures, folder, "pictures", flags);
    for (int i = 0; i < totals->jobs && !s; i++) {
        char name[32];
        snprintf(name, sizeof name, "more.%d", i);
        s = open_one(&f->more[i], folder, name, flags);
    }
    if (s)
        scan_close(f);
    return s;
}

static Status unlink_all(const ScanFiles *f)
{
    char name[32], path[PATH_MAX];
    TRY(file_remove(file_join(path, f->folder, "rows")));
    TRY(file_remove(file_join(path, f->folder, "pictures")));
    for (int i = 0; i < f->totals.jobs; i++) {
        snprintf(name, sizeof name, "more.%d", i);
        TRY(file_remove(file_join(path, f->folder, name)));
    }
    return OK;
}

Status scan_create(ScanFiles *f, const char *folder, int jobs, bool temporary)
{
    TRY(open_all(f, folder, &(ScanTotals){.jobs = jobs}, O_RDWR | O_CREAT | O_TRUNC));
    Status s = temporary ? unlink_all(f) : OK;
    if (s)
        scan_close(f);
    return s;
}

Status scan_open(ScanFiles *f, const char *folder, const ScanTotals *totals) { return open_all(f, folder, totals, O_RDONLY); }

void scan_close(ScanFiles *f)
{
    if (f->folder) {
        close(f->rows);
        close(f->pictures);
        for (int i = 0; i < f->totals.jobs; i++)
            close(f->more[i]);
    }
    mem_free(f->folder);
    outcome_free(&f->outcome);
    *f = (ScanFiles){0};
}

Status scan_sync(const ScanFiles *f)
{
    bool ok = !fsync(f->rows) && !fsync(f->pictures);
    for (int i = 0; i < f->totals.jobs; i++)
        ok = ok && !fsync(f->more[i]);
    return ok ? OK : fail(ERR_IO, "%s: fsync: %s", f->folder, strerror(errno));
}

Status scan_rows(const ScanFiles *f, int64_t first, int64_t n, ScanRow *out)
{
    return file_read_at(f->rows, "the scan's rows", out, (size_t)n * sizeof *out, first * (int64_t)sizeof *out);
}

static int more_of(const ScanFiles *f, uint32_t number) { return f->more[number % (uint32_t)f->totals.jobs]; }

Status scan_row_contents(const ScanFiles *f, const ScanRow *row, ScanRef *refs, int32_t *id, uint8_t *mask, char *text)
{
    const struct iovec to[] = {{refs, row->n_pictures * sizeof *refs}, {id, row->n_tokens * sizeof *id}, {mask, row->n_tokens}};
    enum { N_PARTS = sizeof to / sizeof *to };
    const int more = more_of(f, row->index.record);
    const size_t n = to[0].iov_len + to[1].iov_len + to[2].iov_len;
    int64_t at = (int64_t)row->at;
    const bool whole = refs && id && mask && preadv(more, to, N_PARTS, at) == (ssize_t)n;
    for (size_t i = 0; i < N_PARTS; at += (int64_t)to[i++].iov_len)
        if (!whole && to[i].iov_base) /* one by one, which says what is wrong */
            TRY(file_read_at(more, "the scan", to[i].iov_base, to[i].iov_len, at));
    return file_read_at(more, "the scan", text, row->n_text, at + row->n_words);
}

Status scan_picture(const ScanFiles *f, uint32_t i, ScanPicture *out)
{
    return file_read_at(f->pictures, "the scan's pictures", out, sizeof *out, (int64_t)i * (int64_t)sizeof *out);
}

static Status read_name(int fd, char out[PATH_MAX], uint32_t bytes, uint64_t at)
{
    uint32_t n = bytes < PATH_MAX ? bytes : PATH_MAX;
    *out = 0;
    if (!n)
        return OK;
    TRY(file_read_at(fd, "the scan's names", out, n, (int64_t)at));
    out[n - 1] = 0;
    return OK;
}

Status scan_name(const ScanFiles *f, uint32_t i, const ScanPicture *p, char *root, char *path)
{
    TRY(read_name(more_of(f, i), root, p->root_bytes, p->at));
    return read_name(more_of(f, i), path, p->path_bytes, p->at + p->root_bytes);
}
