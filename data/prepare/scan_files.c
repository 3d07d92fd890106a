#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "data/prepare/parts.h"
#include "kernels/base/arena.h"

static Status open_one(int *fd, const char *folder, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    return *fd < 0 ? fail(ERR_MISSING, "%s: %s", path, strerror(errno)) : OK;
}

Status scan_open(ScanFiles *f, const char *folder, const ScanTotals *totals)
{
    *f = (ScanFiles){.folder = mem_strdup(folder), .totals = *totals, .rows = -1, .pictures = -1, .names = -1, .places = -1};
    for (int i = 0; i < SCAN_MAX_JOBS; i++)
        f->tokens[i] = -1;
    Status s = f->folder ? open_one(&f->rows, folder, "rows") : fail(ERR_NOMEM, "no memory for a name");
    if (!s)
        s = open_one(&f->pictures, folder, "pictures");
    if (!s)
        s = open_one(&f->names, folder, "names");
    if (!s)
        s = open_one(&f->places, folder, "places");
    for (int i = 0; i < totals->jobs && !s; i++) {
        char name[32];
        snprintf(name, sizeof name, "tokens.%d", i);
        s = open_one(&f->tokens[i], folder, name);
    }
    if (s)
        scan_close(f);
    return s;
}

void scan_close(ScanFiles *f)
{
    int files[4] = {f->rows, f->pictures, f->names, f->places};
    for (int i = 0; i < 4 && f->folder; i++)
        if (files[i] >= 0)
            close(files[i]);
    for (int i = 0; i < SCAN_MAX_JOBS && f->folder; i++)
        if (f->tokens[i] >= 0)
            close(f->tokens[i]);
    mem_free(f->folder);
    *f = (ScanFiles){0};
}

Status scan_sync(const ScanFiles *f)
{
    int files[4 + SCAN_MAX_JOBS] = {f->rows, f->pictures, f->names, f->places};
    memcpy(files + 4, f->tokens, sizeof f->tokens);
    for (int i = 0; i < 4 + f->totals.jobs; i++)
        if (fsync(files[i]))
            return fail(ERR_IO, "%s: fsync: %s", f->folder, strerror(errno));
    return OK;
}

Status scan_rows(const ScanFiles *f, int64_t first, int64_t n, ScanRow *out)
{
    return file_read_at(f->rows, "the scan's rows", out, (size_t)n * sizeof *out, first * (int64_t)sizeof *out);
}

Status scan_row_contents(const ScanFiles *f, const ScanRow *row, int32_t *id, uint8_t *mask, ScanRef *refs, char *text)
{
    const size_t sizes[] = {row->n_tokens * sizeof *id, row->n_refs * sizeof *refs, row->n_tokens, row->n_text};
    void *const to[] = {id, refs, mask, text};
    int64_t at = (int64_t)row->at;
    if (row->worker >= f->totals.jobs)
        return fail(ERR_INTERNAL, "a row of the scan names worker %d of %d", row->worker, f->totals.jobs);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        TRY(file_read_at(f->tokens[row->worker], "the scan's tokens", to[i], sizes[i], at));
        at += (int64_t)sizes[i];
    }
    return OK;
}

Status scan_picture(const ScanFiles *f, uint32_t i, PictureInfo *info)
{
    return file_read_at(f->pictures, "the scan's pictures", info, sizeof *info, (int64_t)i * (int64_t)sizeof *info);
}

Status scan_name(const ScanFiles *f, uint32_t i, char *root, char *path)
{
    int64_t at;
    uint32_t head[4]; /* index, bytes of root, bytes of path, reserved */
    TRY(file_read_at(f->places, "the scan's places", &at, sizeof at, (int64_t)i * (int64_t)sizeof at));
    TRY(file_read_at(f->names, "the scan's names", head, sizeof head, at));
    uint32_t root_bytes = head[1] < PATH_MAX ? head[1] : PATH_MAX - 1, path_bytes = head[2] < PATH_MAX ? head[2] : PATH_MAX - 1;
    TRY(file_read_at(f->names, "the scan's names", root, root_bytes, at + (int64_t)sizeof head));
    TRY(file_read_at(f->names, "the scan's names", path, path_bytes, at + (int64_t)sizeof head + head[1] + 1));
    root[root_bytes] = 0;
    path[path_bytes] = 0;
    return OK;
}
