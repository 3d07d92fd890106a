/* npy.c: reads arrays that NumPy saved (npy.h). Formats: numpy.lib.format, and APPNOTE.TXT of PKWARE, 4.3 and 4.5.3. Called by
 * feature_set.c and fid.c. */
#include "eval/metrics/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "kernels/base/arena.h"

/* ---------------------------------------------------------------- .npy */

/* The header is a Python dict: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }. What follows 'KEY': in it, or NULL. */
static const char *find_value(const char *header, const char *key)
{
    char quoted[32];
    snprintf(quoted, sizeof quoted, "'%s':", key);
    const char *at = strstr(header, quoted);
    return at ? at + strlen(quoted) + strspn(at + strlen(quoted), " ") : NULL;
}

static bool read_shape(Npy *a, const char *at)
{
    if (!at || *at++ != '(')
        return false;
    for (a->rank = 0; a->rank < 3; at += strspn(at, ", ")) {
        int64_t v = 0;
        if (*at == ')')
            return a->rank > 0;
        if (a->rank == 2 || *at < '0' || *at > '9')
            return false;
        for (; *at >= '0' && *at <= '9'; at++) {
            if (v > INT64_MAX / 16)
                return false;
            v = 10 * v + (*at - '0');
        }
        a->shape[a->rank++] = v;
    }
    return false;
}

static Status read_header(Npy *a, const char *header, const char *where)
{
    const char *type = find_value(header, "descr"), *order = find_value(header, "fortran_order");
    if (!type || (strncmp(type, "'<f4'", 5) && strncmp(type, "'<f8'", 5)))
        return fail(ERR_DATA, "%s: holds numbers of type %.12s, expected '<f4' or '<f8' (astype(\"float32\"))", where,
                    type ? type : "none");
    if (!order || (strncmp(order, "True", 4) && strncmp(order, "False", 5)))
        return fail(ERR_DATA, "%s: its header does not say fortran_order (is it a file of numpy.save?)", where);
    a->is_double = type[3] == '8';
    a->by_columns = *order == 'T';
    a->shape[1] = 1;
    if (!read_shape(a, find_value(header, "shape")))
        return fail(ERR_DATA, "%s: its shape has to have one or two axes", where);
    return OK;
}

Status npy_parse(Npy *out, const uint8_t *bytes, size_t n, const char *where)
{
    *out = (Npy){0};
    if (n < 12 || memcmp(bytes, "\x93NUMPY", 6) || bytes[6] < 1 || bytes[6] > 3)
        return fail(ERR_DATA, "%s: is no array that numpy.save wrote (or is it cut short?)", where);
    const int width = bytes[6] == 1 ? 2 : 4;
    const size_t begin = 8 + (size_t)width, length = (size_t)mapped_number(bytes + 8, width);
    char header[4096];
    if (length > n - begin)
        return fail(ERR_DATA, "%s: ends within its header (is it cut short?)", where);
    if (length >= sizeof header)
        return fail(ERR_DATA, "%s: its header has %zu bytes, more than a plain array has", where, length);
    memcpy(header, bytes + begin, length);
    header[length] = 0;
    TRY(read_header(out, header, where));
    out->data = bytes + begin + length;
    const uint64_t size = out->is_double ? 8 : 4, room = (n - begin - length) / size;
    const uint64_t rows = (uint64_t)out->shape[0], columns = (uint64_t)out->shape[1];
    if ((columns && rows > room / columns) || rows * columns * size != n - begin - length)
        return fail(ERR_DATA, "%s: holds %zu bytes of numbers, which are not the %" PRIu64 " x %" PRIu64 " of its shape (is it cut short?)",
                    where, n - begin - length, rows, columns);
    return OK;
}

double npy_at(const Npy *a, int64_t row, int64_t column)
{
    const size_t at = (size_t)(a->by_columns ? column * a->shape[0] + row : row * a->shape[1] + column);
    float narrow;
    double wide;
    if (a->is_double) {
        memcpy(&wide, a->data + 8 * at, sizeof wide);
        return wide;
    }
    memcpy(&narrow, a->data + 4 * at, sizeof narrow);
    return (double)narrow;
}

/* ---------------------------------------------------------------- .npz */

enum { END_BYTES = 22, ENTRY_BYTES = 46, LOCAL_BYTES = 30, STORED = 0, DEFLATED = 8, MOST_PACKING = 1040 };
#define MOST_BYTES ((uint64_t)1 << 32)

typedef struct Member {
    uint64_t method, crc, packed, size, local;
} Member;

/* The entry of the member in the archive's directory. Archives that need 64-bit numbers there hold more than statistics. */
static Status find_member(Member *m, const Mapped *f, const char *member)
{
    const uint8_t *end = f->n < END_BYTES ? NULL : f->bytes + f->n - END_BYTES;
    if (!end || memcmp(end, "PK\5\6", 4))
        return fail(ERR_DATA, "%s: does not end as an .npz file does (is it cut short?)", f->path);
    uint64_t n = mapped_number(end + 10, 2), at = mapped_number(end + 16, 4);
    for (; n; n--) {
        if (at > f->n || f->n - at < ENTRY_BYTES || memcmp(f->bytes + at, "PK\1\2", 4))
            return fail(ERR_DATA, "%s: its zip directory is damaged", f->path);
        const uint8_t *p = f->bytes + at;
        const uint64_t name = mapped_number(p + 28, 2);
        if (name > f->n - at - ENTRY_BYTES)
            return fail(ERR_DATA, "%s: its zip directory is damaged", f->path);
        if (name == strlen(member) && !memcmp(p + ENTRY_BYTES, member, (size_t)name)) {
            *m = (Member){mapped_number(p + 10, 2), mapped_number(p + 16, 4), mapped_number(p + 20, 4), mapped_number(p + 24, 4),
                          mapped_number(p + 42, 4)};
            return OK;
        }
        at += ENTRY_BYTES + name + mapped_number(p + 30, 2) + mapped_number(p + 32, 2);
    }
    return fail(ERR_DATA, "%s: has no member \"%s\"; expected the statistics mu and sigma, as numpy.savez(FILE, mu=m, sigma=s) has them",
                f->path, member);
}

static bool unpack(uint8_t *out, const Member *m, const uint8_t *in)
{
    if (m->method == STORED) {
        memcpy(out, in, (size_t)m->size);
        return true;
    }
    z_stream z = {.next_in = (Bytef *)(uintptr_t)in, .avail_in = (uInt)m->packed, .next_out = out, .avail_out = (uInt)m->size};
    if (inflateInit2(&z, -MAX_WBITS) != Z_OK)
        return false;
    const bool whole = inflate(&z, Z_FINISH) == Z_STREAM_END && !z.avail_out;
    inflateEnd(&z);
    return whole;
}

Status npz_read(uint8_t **bytes, size_t *n, const Mapped *file, const char *member)
{
    Member m = {0};
    TRY(find_member(&m, file, member));
    const uint8_t *p = file->bytes + m.local;
    if (m.local > file->n || file->n - m.local < LOCAL_BYTES || memcmp(p, "PK\3\4", 4))
        return fail(ERR_DATA, "%s: member \"%s\" does not begin where the zip directory says", file->path, member);
    const uint64_t start = m.local + LOCAL_BYTES + mapped_number(p + 26, 2) + mapped_number(p + 28, 2);
    if (start > file->n || m.packed > file->n - start)
        return fail(ERR_DATA, "%s: member \"%s\" goes beyond the end of the file (is it cut short?)", file->path, member);
    if ((m.method != STORED && m.method != DEFLATED) || (m.method == STORED && m.packed != m.size) || m.size >= MOST_BYTES - 1 ||
        m.size / MOST_PACKING > m.packed)
        return fail(ERR_DATA, "%s: member \"%s\" is neither stored nor deflated, or has sizes that cannot be", file->path, member);
    uint8_t *out = mem_alloc((size_t)m.size + 1);
    if (!out)
        return fail(ERR_NOMEM, "%s: no memory for the %" PRIu64 " bytes of \"%s\"", file->path, m.size, member);
    if (!unpack(out, &m, file->bytes + start) || crc32_z(0, out, (z_size_t)m.size) != m.crc) {
        mem_free(out);
        return fail(ERR_DATA, "%s: member \"%s\" is damaged (its checksum does not hold)", file->path, member);
    }
    *bytes = out;
    *n = (size_t)m.size;
    return OK;
}
