/* torch_zip.c: reads the directory of a zip archive of stored members (torch_zip.h). Layout: APPNOTE.TXT of PKWARE, 4.3 and 4.5.3. */
#include "data/formats/torch_zip.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/base/arena.h"

enum { END_BYTES = 22, LOCATOR_BYTES = 20, END64_BYTES = 56, ENTRY_BYTES = 46, LOCAL_BYTES = 30 };
enum { FLAG_ENCRYPTED = 1, FLAG_DESCRIPTOR = 8 /* sizes stand behind the data */, EXTRA_ZIP64 = 1, MAX_MEMBERS = 1000000 };
#define U32_FULL 0xffffffffu /* the number stands in the extra field instead */

/* The directory of the archive. */
typedef struct Directory {
    uint64_t start, n_bytes, n_entries;
} Directory;

/* What an entry of the directory, or a local header, says of a member. */
typedef struct Header {
    const char *name;
    uint64_t name_bytes, flags, method, crc, packed, size, local;
} Header;

static bool has_magic(const uint8_t *p, const char *magic) { return !memcmp(p, magic, 4); }

static Status fail_member(const Mapped *f, const Header *h, const char *problem)
{
    const int shown = h->name_bytes < 200 ? (int)h->name_bytes : 200;
    return fail(ERR_DATA, "%s: member \"%.*s\": %s", f->path, shown, h->name, problem);
}

/* ---------------------------------------------------------------- the end of the archive */

static Status read_end64(const Mapped *f, uint64_t at, Directory *d)
{
    if (at > f->n || f->n - at < END64_BYTES || !has_magic(f->bytes + at, "PK\6\6"))
        return fail(ERR_DATA, "%s: its end names byte %" PRIu64 " as that of the zip64 directory, where there is none", f->path, at);
    d->n_entries = mapped_number(f->bytes + at + 32, 8);
    d->n_bytes = mapped_number(f->bytes + at + 40, 8);
    d->start = mapped_number(f->bytes + at + 48, 8);
    return OK;
}

static Status read_end(const Mapped *f, Directory *d)
{
    const uint8_t *end = f->n < END_BYTES ? NULL : f->bytes + f->n - END_BYTES;
    if (!end || !has_magic(end, "PK\5\6") || mapped_number(end + 20, 2))
        return fail(ERR_DATA, "%s: does not end as a zip archive does (is it cut short?)", f->path);
    d->n_entries = mapped_number(end + 10, 2);
    d->n_bytes = mapped_number(end + 12, 4);
    d->start = mapped_number(end + 16, 4);
    if (f->n >= END_BYTES + LOCATOR_BYTES && has_magic(end - LOCATOR_BYTES, "PK\6\7"))
        TRY(read_end64(f, mapped_number(end - LOCATOR_BYTES + 8, 8), d));
    if (d->start > f->n || d->n_bytes > f->n - d->start)
        return fail(ERR_DATA, "%s: its zip directory goes beyond the end of the file (is it cut short?)", f->path);
    if (d->n_entries > MAX_MEMBERS || d->n_entries > d->n_bytes / ENTRY_BYTES)
        return fail(ERR_DATA, "%s: announces %" PRIu64 " members; %d are allowed, and its zip directory must have room for them", f->path,
                    d->n_entries, MAX_MEMBERS);
    return OK;
}

/* ---------------------------------------------------------------- one member */

/* Numbers that do not fit 32 bits stand in the extra field, in this order. False: one of them is missing. */
static bool read_zip64(const uint8_t *extra, size_t n, uint64_t *const numbers[3])
{
    const uint8_t *field = NULL, *end = extra;
    for (size_t at = 0; n - at >= 4;) {
        const size_t size = (size_t)mapped_number(extra + at + 2, 2);
        if (size > n - at - 4)
            return false;
        if (mapped_number(extra + at, 2) == EXTRA_ZIP64) {
            field = extra + at + 4;
            end = field + size;
            break;
        }
        at += 4 + size;
    }
    for (int i = 0; i < 3; i++) {
        if (!numbers[i] || *numbers[i] != U32_FULL)
            continue;
        if (!field || end - field < 8)
            return false;
        *numbers[i] = mapped_number(field, 8);
        field += 8;
    }
    return true;
}

/* An entry of the directory at p, of which n bytes are left; *length: its bytes. */
static Status read_entry(const Mapped *f, const uint8_t *p, size_t n, Header *h, size_t *length)
{
    if (n < ENTRY_BYTES || !has_magic(p, "PK\1\2"))
        return fail(ERR_DATA, "%s: its zip directory is damaged: an entry does not begin as it should", f->path);
    const uint64_t extra_bytes = mapped_number(p + 30, 2);
    *h = (Header){.name = (const char *)p + ENTRY_BYTES,
                  .name_bytes = mapped_number(p + 28, 2),
                  .flags = mapped_number(p + 8, 2),
                  .method = mapped_number(p + 10, 2),
                  .crc = mapped_number(p + 16, 4),
                  .packed = mapped_number(p + 20, 4),
                  .size = mapped_number(p + 24, 4),
                  .local = mapped_number(p + 42, 4)};
    *length = (size_t)(ENTRY_BYTES + h->name_bytes + extra_bytes + mapped_number(p + 32, 2));
    if (*length > n)
        return fail(ERR_DATA, "%s: its zip directory is damaged: an entry goes beyond its end", f->path);
    if (!read_zip64((const uint8_t *)h->name + h->name_bytes, (size_t)extra_bytes, (uint64_t *const[3]){&h->size, &h->packed, &h->local}))
        return fail_member(f, h, "its sizes are missing from the zip directory");
    if (h->flags & FLAG_ENCRYPTED)
        return fail_member(f, h, "is encrypted");
    if (h->method)
        return fail_member(f, h, "is compressed; torch.save stores: save it again, or as safetensors");
    if (h->packed != h->size)
        return fail_member(f, h, "its two sizes in the zip directory differ, though it is not compressed");
    return OK;
}

/* The sizes behind the data, of 32 bits or of 64. */
static bool descriptor_agrees(const uint8_t *p, uint64_t room, const Header *h)
{
    if (room < 16 || !has_magic(p, "PK\7\10") || mapped_number(p + 4, 4) != h->crc)
        return false;
    return (mapped_number(p + 8, 4) == h->packed && mapped_number(p + 12, 4) == h->size) ||
           (room >= 24 && mapped_number(p + 8, 8) == h->packed && mapped_number(p + 16, 8) == h->size);
}

/* Finds the data of a member, which ends before the directory begins. */
static Status find_data(const Mapped *f, const Directory *d, const Header *h, ZipMember *m)
{
    const uint64_t limit = d->start;
    if (h->local > limit || limit - h->local < LOCAL_BYTES || !has_magic(f->bytes + h->local, "PK\3\4"))
        return fail_member(f, h, "does not begin where the zip directory says");
    const uint8_t *p = f->bytes + h->local;
    const uint64_t name_bytes = mapped_number(p + 26, 2), extra_bytes = mapped_number(p + 28, 2);
    const uint64_t start = h->local + LOCAL_BYTES + name_bytes + extra_bytes;
    if (start > limit || h->size > limit - start)
        return fail_member(f, h, "its data goes beyond the zip directory (is the file damaged?)");
    uint64_t packed = mapped_number(p + 18, 4), size = mapped_number(p + 22, 4);
    const bool has_sizes = read_zip64(p + LOCAL_BYTES + name_bytes, (size_t)extra_bytes, (uint64_t *const[3]){&size, &packed, NULL});
    const bool is_deferred = h->flags & FLAG_DESCRIPTOR && !packed && !size;
    if (name_bytes != h->name_bytes || memcmp(p + LOCAL_BYTES, h->name, (size_t)name_bytes) || mapped_number(p + 6, 2) != h->flags ||
        mapped_number(p + 8, 2) != h->method || !has_sizes || (!is_deferred && (packed != h->packed || size != h->size)))
        return fail_member(f, h, "its header and the zip directory differ");
    if (h->flags & FLAG_DESCRIPTOR && !descriptor_agrees(f->bytes + start + h->size, limit - start - h->size, h))
        return fail_member(f, h, "the sizes behind its data and the zip directory differ");
    *m = (ZipMember){.name = h->name, .name_bytes = (size_t)h->name_bytes, .data = f->bytes + start, .n = (size_t)h->size};
    return OK;
}

/* ---------------------------------------------------------------- all of them */

static int by_name(const void *a, const void *b)
{
    const ZipMember *x = a, *y = b;
    const int order = memcmp(x->name, y->name, x->name_bytes < y->name_bytes ? x->name_bytes : y->name_bytes);
    return order ? order : (x->name_bytes > y->name_bytes) - (x->name_bytes < y->name_bytes);
}

static Status read_members(const Mapped *f, const Directory *d, ZipMembers *out)
{
    const uint8_t *p = f->bytes + d->start;
    size_t rest = (size_t)d->n_bytes, length = 0;
    for (uint64_t i = 0; i < d->n_entries; i++, p += length, rest -= length) {
        Header h;
        TRY(read_entry(f, p, rest, &h, &length));
        TRY(find_data(f, d, &h, &out->members[out->n]));
        out->n++;
    }
    if (out->n)
        qsort(out->members, (size_t)out->n, sizeof *out->members, by_name);
    for (int i = 1; i < out->n; i++)
        if (!by_name(&out->members[i - 1], &out->members[i]))
            return fail(ERR_DATA, "%s: two of its members are called \"%.*s\"", f->path, (int)out->members[i].name_bytes,
                        out->members[i].name);
    return OK;
}

Status torch_zip_members(ZipMembers *out, const Mapped *file)
{
    Directory d = {0};
    *out = (ZipMembers){0};
    TRY(read_end(file, &d));
    out->members = mem_alloc((size_t)d.n_entries * sizeof *out->members);
    Status s =
        out->members ? read_members(file, &d, out) : fail(ERR_NOMEM, "%s: no memory for its %" PRIu64 " members", file->path, d.n_entries);
    if (s) {
        mem_free(out->members);
        *out = (ZipMembers){0};
    }
    return s;
}

const ZipMember *torch_zip_find(const ZipMembers *z, const char *name, size_t name_bytes)
{
    const ZipMember key = {.name = name, .name_bytes = name_bytes};
    return z->n ? bsearch(&key, z->members, (size_t)z->n, sizeof key, by_name) : NULL;
}
