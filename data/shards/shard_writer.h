/* shard_writer.h: writes one shard file. The same content gives the same bytes. */
#ifndef GENLLAVA_DATA_SHARDS_SHARD_WRITER_H
#define GENLLAVA_DATA_SHARDS_SHARD_WRITER_H

#include "data/shards/shard.h"

/* Puts the bytes of image i (image_off[i+1]-image_off[i] of them) into buf. */
typedef Status (*ShardImageBytes)(void *context, int64_t i, uint8_t *buf);

/* Writes arrays and attributes of `s` (fd, path, image_data_offset are not used) and the original lines text[text_off[0] … ) to `path`,
 * seals and fsyncs it. Bytes that do not match image_crc32c are ERR_DATA. On failure the file is removed. */
MUST_USE Status shard_write(const char *path, const Shard *s, const char *text, ShardImageBytes image_bytes, void *context);

/* The seal: the first 512 bytes of the file, which HDF5 leaves to us. They hold our magic, the sizes, and a checksum of everything but the
 * image bytes (each image has its own). */
enum { SEAL_BYTES = 512, SHARD_INDEX_MOST = 1 << 28 /* bytes of everything but the images: a reader takes them into memory */ };
typedef struct ShardSeal {
    uint64_t file_bytes, image_offset, image_bytes;
    char index_xxh3[33]; /* of the bytes after the seal, image bytes left out */
} ShardSeal;
/* Computes and writes the seal of the open file; offset and size of the image bytes are given. */
MUST_USE Status shard_seal(int fd, const char *path, uint64_t image_offset, uint64_t image_bytes);
/* Checks the seal and the checksum. *index: every byte of the file but those of the images, in their order; mem_free. */
MUST_USE Status shard_read_sealed(int fd, const char *path, ShardSeal *seal, uint8_t **index);
#endif
