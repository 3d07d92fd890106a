/* hdf5_read.c: the numbers and texts of an HDF5 file whose tree is known (hdf5_read.h). */
#include <inttypes.h>
#include <string.h>
#include <zlib.h>

#include "data/formats/hdf5_tree.h"
#include "kernels/base/arena.h"

/* Finds an array and holds it against what is expected: everything but the numbers in it is known beforehand. */
static Status find_array(const HdfTree *t, const HdfArray *want, const HdfFoundArray **out)
{
    const HdfFoundArray *a = NULL;
    for (int i = 0; i < t->n_arrays && !a; i++)
        a = strcmp(t->arrays[i].name, want->name) ? NULL : &t->arrays[i];
    if (!a)
        return fail(ERR_DATA, "%s: has no %s", t->path, want->name);
    const int rank = want->columns > 1 ? 2 : 1;
    const bool chunked = want->rows > 0 && want->chunk > 0;
    if (a->type != (int)want->type)
        return fail(ERR_DATA, "%s: %s should hold %s", t->path, a->name, hdf_type_name(want->type));
    if (a->rank != rank || (rank == 2 && a->dims[1] != want->columns))
        return fail(ERR_DATA, "%s: %s should have %d dimensions, %" PRIu64 " columns", t->path, a->name, rank, want->columns);
    if (a->dims[0] != want->rows)
        return fail(ERR_DATA, "%s: %s has %" PRIu64 " rows, should have %" PRIu64, t->path, a->name, a->dims[0], want->rows);
    if (chunked != (a->layout != HDF_LAYOUT_CONTIGUOUS))
        return fail(ERR_DATA, "%s: %s should be %s", t->path, a->name, chunked ? "chunked" : "contiguous");
    if (chunked && (a->deflate != want->deflate || a->element != hdf_type_size(want->type) || (rank == 2 && a->chunk[1] != want->columns) ||
                    a->chunk[0] != (want->chunk < want->rows ? want->chunk : want->rows)))
        return fail(ERR_DATA, "%s: %s has other chunks or filters than prepare writes", t->path, a->name);
    *out = a;
    return OK;
}

/* The stored bytes of chunk k of n (fixed array: VII.C). */
static HdfCursor chunk_at(const HdfTree *t, const HdfFoundArray *a, uint64_t k, uint64_t n)
{
    enum { FILTERED_CHUNKS = 1 };
    if (a->layout == HDF_LAYOUT_ONE_CHUNK)
        return hdf_bytes_at(t, a->address, a->stored);
    HdfCursor h = hdf_block_at(t, a->address, "FAHD", 0);
    const bool ours = hdf_take(&h, 1) == FILTERED_CHUNKS;
    const uint64_t entry = hdf_take(&h, 1), page_bits = hdf_take(&h, 1), n_entries = hdf_take(&h, HDF_ADDRESS),
                   at = hdf_take(&h, HDF_ADDRESS);
    HdfCursor d = hdf_block_at(t, at, "FADB", 0);
    if (h.bad || !ours || entry < HDF_ADDRESS + 5 || entry > HDF_ADDRESS + 12 || page_bits > 20 || n_entries != n)
        return (HdfCursor){NULL, NULL, true};
    hdf_take_bytes(&d, 1 + HDF_ADDRESS); /* kind, header */
    const uint64_t page = UINT64_C(1) << page_bits;
    if (n > page) /* pages: a bit for each, then pages of entries with a checksum each */
        hdf_take_bytes(&d, ((n + page - 1) / page + 7) / 8 + 4 + k / page * (page * entry + 4) + k % page * entry);
    else
        hdf_take_bytes(&d, k * entry);
    const uint64_t address = hdf_take(&d, HDF_ADDRESS), stored = hdf_take(&d, (int)entry - HDF_ADDRESS - 4);
    return hdf_take(&d, 4) || d.bad /* a filter was left out */ ? (HdfCursor){NULL, NULL, true} : hdf_bytes_at(t, address, stored);
}

/* fletcher32 put a checksum behind everything else. */
static bool decode_chunk(const HdfFoundArray *a, HdfCursor c, uint8_t *out, uint8_t *scratch, uint64_t n_bytes)
{
    enum { FLETCHER_BYTES = 4 };
    if (c.bad || c.end - c.at < FLETCHER_BYTES)
        return false;
    c.end -= FLETCHER_BYTES;
    if (!a->deflate) {
        if ((uint64_t)(c.end - c.at) != n_bytes)
            return false;
        memcpy(out, c.at, n_bytes);
        return true;
    }
    const uint64_t planes = a->element, per_plane = n_bytes / planes;
    uLongf n = n_bytes;
    if (uncompress(planes > 1 ? scratch : out, &n, c.at, (uLong)(c.end - c.at)) != Z_OK || n != n_bytes)
        return false;
    for (uint64_t p = 0; p < planes && planes > 1; p++) /* shuffle stored the first bytes of all numbers, then the second ones, … */
        for (uint64_t i = 0; i < per_plane; i++)
            out[i * planes + p] = scratch[p * per_plane + i];
    return true;
}

Status hdf_read_range(const HdfTree *t, const HdfArray *want, uint64_t first, uint64_t n, void *data)
{
    const HdfFoundArray *a;
    TRY(find_array(t, want, &a));
    if (first > want->rows || n > want->rows - first)
        return fail(ERR_DATA, "%s: %s has %" PRIu64 " rows, %" PRIu64 " from %" PRIu64 " were asked for", t->path, a->name, want->rows, n,
                    first);
    if (!n)
        return OK;
    const uint64_t row = want->columns * hdf_type_size(want->type), rows = a->chunk[0], chunks = (want->rows + rows - 1) / rows;
    uint8_t *chunk = mem_alloc(2 * rows * row), *out = data;
    if (!chunk)
        return fail(ERR_NOMEM, "%s: no memory for %s, chunks of %" PRIu64 " rows", t->path, a->name, rows);
    Status s = OK;
    for (uint64_t k = first / rows; k <= (first + n - 1) / rows && !s; k++) {
        const uint64_t begin = k * rows > first ? k * rows : first, end = (k + 1) * rows < first + n ? (k + 1) * rows : first + n;
        if (decode_chunk(a, chunk_at(t, a, k, chunks), chunk, chunk + rows * row, rows * row))
            memcpy(out + (begin - first) * row, chunk + (begin - k * rows) * row, (end - begin) * row);
        else
            s = fail(ERR_DATA, "%s: chunk %" PRIu64 " of %s is damaged", t->path, k, a->name);
    }
    mem_free(chunk);
    return s;
}

Status hdf_read(const HdfTree *t, const HdfArray *want, void **data)
{
    const HdfFoundArray *a;
    TRY(find_array(t, want, &a));
    *data = mem_alloc(want->rows * want->columns * hdf_type_size(want->type));
    if (!*data)
        return fail(ERR_NOMEM, "%s: no memory for %s, %" PRIu64 " rows", t->path, want->name, want->rows);
    Status s = hdf_read_range(t, want, 0, want->rows, *data);
    if (s) {
        mem_free(*data);
        *data = NULL;
    }
    return s;
}

Status hdf_locate(const HdfTree *t, const char *name, uint64_t *offset, uint64_t *n_bytes)
{
    const HdfFoundArray *a = NULL;
    for (int i = 0; i < t->n_arrays && !a; i++)
        a = strcmp(t->arrays[i].name, name) ? NULL : &t->arrays[i];
    if (!a)
        return fail(ERR_DATA, "%s: has no %s", t->path, name);
    if (a->type != HDF_U8 || a->rank != 1 || a->layout != HDF_LAYOUT_CONTIGUOUS || (a->dims[0] && a->stored != a->dims[0]))
        return fail(ERR_DATA, "%s: %s is not contiguous", t->path, name);
    *n_bytes = a->dims[0];
    *offset = a->dims[0] ? a->address + t->bytes.user_block : 0;
    return OK;
}

static Status find_attribute(const HdfTree *t, const char *name, bool text, const HdfAttribute **out)
{
    for (int i = 0; i < t->n_attributes; i++)
        if (!strcmp(t->attributes[i].name, name)) {
            *out = &t->attributes[i];
            return (*out)->is_text == text ? OK
                                           : fail(ERR_DATA, "%s: attribute %s should be %s", t->path, name, text ? "text" : "an integer");
        }
    return fail(ERR_DATA, "%s: has no attribute %s", t->path, name);
}

Status hdf_get_int(const HdfTree *t, const char *name, int64_t *value)
{
    const HdfAttribute *a;
    TRY(find_attribute(t, name, false, &a));
    HdfCursor c = a->value;
    *value = (int64_t)hdf_take(&c, 8);
    return OK;
}

Status hdf_get_text(const HdfTree *t, const char *name, char **text)
{
    const HdfAttribute *a;
    TRY(find_attribute(t, name, true, &a));
    const size_t n = (size_t)(a->value.end - a->value.at);
    for (size_t i = 0; i < n; i++) /* NUL ends it; other control characters stand in no text that is written */
        if ((a->value.at[i] < ' ') != (i == n - 1) || (i == n - 1 && a->value.at[i]))
            return fail(ERR_DATA, "%s: attribute %s is no text that ends with NUL", t->path, name);
    *text = mem_alloc(n + 1);
    if (!*text)
        return fail(ERR_NOMEM, "%s: no memory for attribute %s", t->path, name);
    memcpy(*text, a->value.at, n);
    return OK;
}
