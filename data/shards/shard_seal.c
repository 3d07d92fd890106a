/* shard_seal.c: the seal of a shard: checksums by which a changed byte is found (shard_layout.h). Called by shard.c and shard_writer.c. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "data/shards/shard_layout.h"
#include "data/shards/shard_writer.h"
#include "kernels/base/arena.h"

#define MAGIC "GENLLAVA SHARD 2\n"
#define OLDER "GENLLAVA SHARD 1\n" /* each shard held the pictures of all its samples */
static const char TEMPLATE[] = MAGIC "file_bytes %020" PRIu64 "\nimage_offset %020" PRIu64 "\nimage_bytes %020" PRIu64 "\nindex_xxh3 %s\n";
enum { PIECE = 1 << 20 };

static void render(char block[SEAL_BYTES], const ShardSeal *s)
{
    memset(block, 0, SEAL_BYTES);
    snprintf(block, SEAL_BYTES, TEMPLATE, s->file_bytes, s->image_offset, s->image_bytes, s->index_xxh3);
}

static Status hash_range(XXH3_state_t *state, int fd, const char *path, uint8_t *piece, uint64_t from, uint64_t to)
{
    while (from < to) {
        size_t want = to - from < PIECE ? (size_t)(to - from) : PIECE;
        ssize_t n = pread(fd, piece, want, (off_t)from);
        if (n <= 0)
            return n < 0 && errno != EINTR ? fail(ERR_IO, "%s: reading: %s", path, strerror(errno))
                                           : fail(ERR_DATA, "%s: ends early at byte %" PRIu64, path, from);
        XXH3_128bits_update(state, piece, (size_t)n);
        from += (uint64_t)n;
    }
    return OK;
}

static Status hash_index(int fd, const char *path, const ShardSeal *s, char out[33])
{
    XXH3_state_t *state = XXH3_createState();
    uint8_t *piece = mem_alloc(PIECE);
    Status r = state && piece ? OK : fail(ERR_NOMEM, "%s: no memory for its checksum", path);
    if (!r) {
        XXH3_128bits_reset(state);
        uint64_t before = s->image_bytes ? s->image_offset : s->file_bytes;
        r = hash_range(state, fd, path, piece, SEAL_BYTES, before);
        if (!r && s->image_bytes)
            r = hash_range(state, fd, path, piece, s->image_offset + s->image_bytes, s->file_bytes);
    }
    if (!r) {
        XXH128_hash_t h = XXH3_128bits_digest(state);
        snprintf(out, 33, "%016" PRIx64 "%016" PRIx64, (uint64_t)h.high64, (uint64_t)h.low64);
    }
    XXH3_freeState(state);
    mem_free(piece);
    return r;
}

Status shard_seal(int fd, const char *path, uint64_t image_offset, uint64_t image_bytes)
{
    struct stat st;
    if (fstat(fd, &st))
        return fail(ERR_IO, "%s: %s", path, strerror(errno));
    ShardSeal s = {.file_bytes = (uint64_t)st.st_size, .image_offset = image_offset, .image_bytes = image_bytes};
    TRY(hash_index(fd, path, &s, s.index_xxh3));
    char block[SEAL_BYTES];
    render(block, &s);
    if (pwrite(fd, block, sizeof block, 0) != (ssize_t)sizeof block)
        return fail(ERR_IO, "%s: writing: %s", path, strerror(errno));
    return OK;
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
    return !memcmp(again, block, SEAL_BYTES) && (!s->image_bytes || s->image_offset >= SEAL_BYTES) &&
           s->image_offset <= s->file_bytes && s->image_bytes <= s->file_bytes - s->image_offset;
}

Status shard_check_seal(int fd, const char *path, bool all, ShardSeal *seal)
{
    struct stat st;
    char block[SEAL_BYTES] = {0};
    if (fstat(fd, &st))
        return fail(ERR_IO, "%s: %s", path, strerror(errno));
    ssize_t n = pread(fd, block, sizeof block, 0);
    if (n < 0)
        return fail(ERR_IO, "%s: reading: %s", path, strerror(errno));
    if (!memcmp(block, OLDER, strlen(OLDER)))
        return fail(ERR_DATA, "%s: a shard of the older layout genllava.shard/1, this program reads " SHARD_SCHEMA "; run prepare again", path);
    if (memcmp(block, MAGIC, strlen(MAGIC)))
        return fail(ERR_DATA, "%s: not a shard made by prepare (%s)", path,
                    n >= 8 && !memcmp(block, "\x89HDF\r\n\x1a\n", 8) ? "an HDF5 file without the GenLLaVA seal" : "no GenLLaVA seal");
    if (!parse(block, seal))
        return fail(ERR_DATA, "%s: damaged: its first %d bytes were changed; run prepare again", path, SEAL_BYTES);
    if (seal->file_bytes != (uint64_t)st.st_size)
        return fail(ERR_DATA, "%s: damaged: %" PRIu64 " bytes, should be %" PRIu64 "; run prepare again", path, (uint64_t)st.st_size,
                    seal->file_bytes);
    if (!all)
        return OK;
    char found[33];
    TRY(hash_index(fd, path, seal, found));
    if (strcmp(found, seal->index_xxh3))
        return fail(ERR_DATA, "%s: damaged: its index was changed after it was finished (checksum %s, should be %s); run prepare again", path,
                    found, seal->index_xxh3);
    return OK;
}
