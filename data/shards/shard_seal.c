/* shard_seal.c: the seal of a shard: checksums by which a changed byte is found (shard_layout.h). Called by shard.c and shard_writer.c. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "data/formats/file.h"
#include "data/shards/shard_layout.h"
#include "data/shards/shard_writer.h"
#include "kernels/base/arena.h"

#define MAGIC "GENLLAVA SHARD 2\n"
#define OLDER "GENLLAVA SHARD 1\n" /* each shard held the pictures of all its samples */
static const char TEMPLATE[] = MAGIC "file_bytes %020" PRIu64 "\nimage_offset %020" PRIu64 "\nimage_bytes %020" PRIu64 "\nindex_xxh3 %s\n";

static void render(char block[SEAL_BYTES], const ShardSeal *s)
{
    memset(block, 0, SEAL_BYTES);
    snprintf(block, SEAL_BYTES, TEMPLATE, s->file_bytes, s->image_offset, s->image_bytes, s->index_xxh3);
}

/* Everything but the image bytes, mem_free. The checksum leaves out the seal. */
static Status read_index(int fd, const char *path, const ShardSeal *s, uint8_t **index, char xxh3[33])
{
    const uint64_t n = s->file_bytes - s->image_bytes, before = s->image_bytes ? s->image_offset : n;
    uint8_t *bytes = *index = mem_alloc(n);
    if (!bytes)
        return fail(ERR_NOMEM, "%s: no memory for %" PRIu64 " bytes of it", path, n);
    Status r = file_read_at(fd, path, bytes, before, 0);
    if (!r)
        r = file_read_at(fd, path, bytes + before, n - before, (int64_t)(before + s->image_bytes));
    XXH128_hash_t h = XXH3_128bits(bytes + SEAL_BYTES, r ? 0 : n - SEAL_BYTES);
    snprintf(xxh3, 33, "%016" PRIx64 "%016" PRIx64, (uint64_t)h.high64, (uint64_t)h.low64);
    if (r) {
        mem_free(bytes);
        *index = NULL;
    }
    return r;
}

Status shard_seal(int fd, const char *path, uint64_t image_offset, uint64_t image_bytes)
{
    struct stat st;
    if (fstat(fd, &st))
        return fail(ERR_IO, "%s: %s", path, strerror(errno));
    ShardSeal s = {.file_bytes = (uint64_t)st.st_size, .image_offset = image_offset, .image_bytes = image_bytes};
    if (s.file_bytes - image_bytes > SHARD_INDEX_MOST)
        return fail(ERR_USAGE, "%s: its samples take %" PRIu64 " bytes, at most %d are read; lower data.shard_samples", path,
                    s.file_bytes - image_bytes, SHARD_INDEX_MOST);
    uint8_t *index;
    TRY(read_index(fd, path, &s, &index, s.index_xxh3));
    mem_free(index);
    char block[SEAL_BYTES];
    render(block, &s);
    return file_write_at(fd, path, block, sizeof block, 0);
}

/* Whatever the numbers, the block must be what we would write for them: every byte of it is checked. */
static bool parse(const char block[SEAL_BYTES], ShardSeal *s)
{
    char text[SEAL_BYTES + 1], again[SEAL_BYTES];
    memcpy(text, block, SEAL_BYTES);
    text[SEAL_BYTES] = 0;
    *s = (ShardSeal){0};
    if (sscanf(text, MAGIC "file_bytes %20" SCNu64 "\nimage_offset %20" SCNu64 "\nimage_bytes %20" SCNu64 "\nindex_xxh3 %32[0-9a-f]\n",
               &s->file_bytes, &s->image_offset, &s->image_bytes, s->index_xxh3) != 4)
        return false;
    render(again, s);
    return !memcmp(again, block, SEAL_BYTES) && (!s->image_bytes || s->image_offset >= SEAL_BYTES) && s->image_offset <= s->file_bytes &&
           s->image_bytes <= s->file_bytes - s->image_offset;
}

Status shard_read_sealed(int fd, const char *path, ShardSeal *seal, uint8_t **index)
{
    struct stat st;
    char block[SEAL_BYTES] = {0}, found[33];
    if (fstat(fd, &st))
        return fail(ERR_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return fail(ERR_DATA, "%s: not a shard made by prepare (not a file)", path);
    ssize_t n = pread(fd, block, sizeof block, 0);
    if (n < 0)
        return fail(ERR_IO, "%s: reading: %s", path, strerror(errno));
    if (!memcmp(block, OLDER, strlen(OLDER)))
        return fail(ERR_DATA, "%s: a shard of the older layout genllava.shard/1, this program reads " SHARD_SCHEMA "; run prepare again",
                    path);
    if (memcmp(block, MAGIC, strlen(MAGIC)))
        return fail(ERR_DATA, "%s: not a shard made by prepare (%s)", path,
                    n >= 8 && !memcmp(block, "\x89HDF\r\n\x1a\n", 8) ? "an HDF5 file without the GenLLaVA seal" : "no GenLLaVA seal");
    if (!parse(block, seal))
        return fail(ERR_DATA, "%s: damaged: its first %d bytes were changed; run prepare again", path, SEAL_BYTES);
    if (seal->file_bytes != (uint64_t)st.st_size)
        return fail(ERR_DATA, "%s: damaged: %" PRIu64 " bytes, should be %" PRIu64 "; run prepare again", path, (uint64_t)st.st_size,
                    seal->file_bytes);
    if (seal->file_bytes - seal->image_bytes > SHARD_INDEX_MOST)
        return fail(ERR_DATA, "%s: has %" PRIu64 " bytes beside its images, more than prepare writes (%d)", path,
                    seal->file_bytes - seal->image_bytes, SHARD_INDEX_MOST);
    TRY(read_index(fd, path, seal, index, found));
    if (!strcmp(found, seal->index_xxh3))
        return OK;
    mem_free(*index);
    *index = NULL;
    return fail(ERR_DATA, "%s: damaged: its index was changed after it was finished (checksum %s, should be %s); run prepare again", path,
                found, seal->index_xxh3);
}
